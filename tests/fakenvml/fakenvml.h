/* A libnvidia-ml.so.1 that knows the truth: what a board is, and what the three files of the fake share.
 *
 * sensor.c  clock, true power, and what a sensor publishes of it
 * config.c  the configuration file, and the faults it asks for
 * nvml.c    the NVML calls that are answered, and the test's own
 *
 * README.md explains the configuration.
 */
#ifndef FAKENVML_H
#define FAKENVML_H

#include <stdint.h>

/* Return codes that the fake gives by itself (nvml.h); a fault may ask for any. */
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };
enum { DRIVER_NOT_LOADED = 9, UNKNOWN = 999 };

enum { DEVICES = 8, STREAMS = 6, COUNTERS = 2, SEGMENTS = 512, FAULTS = 32, PIDS = 8, VIOLATIONS = 8, SETTINGS = 8 };
enum { CHANGES = 1 << 16 }; /* remembered changes of power: a minute at one a millisecond */
enum { FARTHEST = 4 };       /* standard deviations that an update may be early or late by */
typedef enum { SCHEDULE, SQUARE, LEDGER, CPU } Source;
typedef struct {
    double time_s, watts, energy_j;
} Change;
typedef struct {
    uint64_t count;
    Change change[CHANGES];
} Ledger; /* a ring; may be shared between processes */

typedef struct { /* how far a random walk has gone by its step k */
    int64_t k;
    double sum;
} Walk;

typedef struct {
    char kind[32];
    double refresh, span, phase, delay, rise, gain, offset, noise, correlation, resolution, lost, zero, scope, seed;
    double jitter, wander;
    Walk walk;
    int64_t update;
    double value_w;
} Stream;

typedef struct {
    double tick, phase, delay, gain, resolution, part_time, lost, scope, seed, jitter, wander;
    Walk walk;
    int64_t summed; /* samples of a part-time counter in sum_j */
    double sum_j;
} Counter;

typedef struct {
    int field;
    double share, from_s;
} Violation;
typedef struct {
    int field;
    double value;
} Setting;
typedef struct {
    char list[16];
    unsigned pid;
} Process;

typedef struct {
    char name[96], uuid[96], pci[32], vbios[32];
    double architecture, brand, mig, virtualization, persistence, ecc, compute_mode, event_bits, temperature_c;
    double limit_w, limit_min_w, limit_max_w, limit_default_w, sm_clock_hz, memory_clock_hz, memory_bytes;
    Source source;
    Change segment[SEGMENTS];
    int segments;
    double period_s, duty, low_w, high_w, phase_s; /* SQUARE */
    Ledger *ledger;                                /* LEDGER, CPU */
    double idle_w, w_per_cpu, cpu_before_s;        /* CPU */
    Stream stream[STREAMS];
    int streams;
    Counter counter[COUNTERS]; /* at most one a scope */
    int counters;
    Violation violation[VIOLATIONS];
    int violations;
    Setting setting[SETTINGS]; /* fields that answer a constant */
    int settings;
    Process process[PIDS];
    int processes;
} Device;

extern Device devices[DEVICES];
extern int device_count, started;
extern char driver_version[80], nvml_version[80];

/* sensor.c */
extern double origin_s, private_now_s, *virtual_now_s;
double clock_s(int clock);
double now_s(void);
int64_t wall_us(void);
void pass_s(double seconds);
double changes_j(const Change *change, uint64_t first, uint64_t count, uint64_t ring, double t);
void append(Ledger *ledger, double t, double watts);
void sample_cpu(Device *d);
double truth_j(Device *d, double t);
double uniform(double seed, int64_t k, int use);
double update_s(Stream *s, int64_t k);
int64_t latest_update(Stream *s, double t);
double stream_w(Device *d, Stream *s, double t);
double counter_j(Device *d, Counter *c, double t);

/* config.c */
int configure(void);
int refusal(const char *call, const Device *d);
double distorted(const char *call, const Device *d, double value);

#endif
