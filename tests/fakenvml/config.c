/* What does the configuration file ask for? One statement a line; and the faults among them. */
#define _GNU_SOURCE
#include "fakenvml.h"

#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

typedef enum { RETURN, SLOW, ZERO, FREEZE, BACK, RESET } Action;
static const char *ACTIONS[] = {"return", "slow", "zero", "freeze", "back", "reset"}; /* as in Action */

typedef struct {
    char call[64]; /* a symbol of NVML, or field:186 */
    int device;    /* -1: any */
    Action action;
    double amount, from_call, to_call, from_s, to_s, probability;
    int64_t calls;
    int holds; /* FREEZE and RESET remember the first value they met */
    double held;
} Fault;

Device devices[DEVICES];
int device_count;
char driver_version[80], nvml_version[80];
static Fault fault[FAULTS];
static int fault_count;

/* ---- Faults: what happens to a call, or to the value it answers */

static int strikes(Fault *f, const char *call, const Device *d) {
    if (strcmp(f->call, call) || (f->device >= 0 && d && d != &devices[f->device])) return 0;
    double t = now_s();
    f->calls++;
    return (double)f->calls >= f->from_call && (double)f->calls <= f->to_call && t >= f->from_s && t < f->to_s
           && uniform((double)(f - fault), f->calls, 3) < f->probability;
}
int refusal(const char *call, const Device *d) { /* the code a call has to return; may take its time first */
    for (int i = 0; i < fault_count; i++) {
        Fault *f = &fault[i];
        if (f->action > SLOW || !strikes(f, call, d)) continue;
        if (f->action == RETURN) return (int)f->amount;
        pass_s(f->amount);
    }
    return SUCCESS;
}
double distorted(const char *call, const Device *d, double value) {
    for (int i = 0; i < fault_count; i++) {
        Fault *f = &fault[i];
        if (f->action <= SLOW || !strikes(f, call, d)) continue;
        if (!f->holds) {
            f->holds = 1;
            f->held = value;
        }
        if (f->action == ZERO) value = 0;
        if (f->action == FREEZE) value = f->held;
        if (f->action == BACK) value -= f->amount;
        if (f->action == RESET) value -= f->held;
    }
    return fmax(0, value);
}

/* ---- Configuration: words, and where their numbers go */

typedef struct {
    const char *word;
    size_t at;
} Option;
#define OF(type, member) {#member, offsetof(type, member)}
static const Option TEXTS[] = {OF(Device, name), OF(Device, uuid), OF(Device, pci), OF(Device, vbios)};
static const Option NUMBERS[] = {OF(Device, architecture),    OF(Device, brand),       OF(Device, mig),
                                 OF(Device, virtualization),  OF(Device, persistence), OF(Device, ecc),
                                 OF(Device, compute_mode),    OF(Device, event_bits),  OF(Device, temperature_c),
                                 OF(Device, limit_w),         OF(Device, limit_min_w), OF(Device, limit_max_w),
                                 OF(Device, limit_default_w), OF(Device, sm_clock_hz), OF(Device, memory_clock_hz),
                                 OF(Device, memory_bytes)};
static const Option STREAM[] = {OF(Stream, refresh),     OF(Stream, span),       OF(Stream, phase),  OF(Stream, delay),
                                OF(Stream, rise),        OF(Stream, gain),       OF(Stream, offset), OF(Stream, noise),
                                OF(Stream, correlation), OF(Stream, resolution), OF(Stream, lost),   OF(Stream, zero),
                                OF(Stream, scope),       OF(Stream, seed),       OF(Stream, jitter), OF(Stream, wander)};
static const Option COUNTER[] = {OF(Counter, tick), OF(Counter, phase),      OF(Counter, delay),
                                 OF(Counter, gain), OF(Counter, resolution), OF(Counter, part_time),
                                 OF(Counter, lost), OF(Counter, scope),      OF(Counter, seed),
                                 OF(Counter, jitter), OF(Counter, wander)};
static const Option SQUARE_WAVE[] = {OF(Device, period_s), OF(Device, duty), OF(Device, low_w), OF(Device, high_w),
                                     OF(Device, phase_s)};
static const Option CPU_POWER[] = {OF(Device, idle_w), OF(Device, w_per_cpu)};
static const Option FAULT[] = {OF(Fault, from_call), OF(Fault, to_call), OF(Fault, from_s), OF(Fault, to_s),
                               OF(Fault, probability)};

static int set_number(void *into, const Option *options, size_t count, const char *word, const char *text) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, options[i].word)) {
            char *end;
            *(double *)((char *)into + options[i].at) = strtod(text, &end);
            return *end == 0 && end != text;
        }
    return 0;
}
static int set_options(void *into, const Option *options, size_t count) { /* the rest of a line: word=number ... */
    for (char *word; (word = strtok(NULL, " \t"));) {
        char *number = strchr(word, '=');
        if (!number) return 0;
        *number++ = 0;
        if (!set_number(into, options, count, word, number)) return 0;
    }
    return 1;
}
static void *map_file(const char *path, size_t bytes) { /* created and filled with zeros where it is new */
    int file = open(path, O_RDWR | O_CREAT, 0600);
    void *memory = file < 0 || ftruncate(file, (off_t)bytes)
                       ? MAP_FAILED
                       : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    return memory == MAP_FAILED ? NULL : memory;
}
static int set_schedule(Device *d) { /* power from START_S WATTS */
    char *start = strtok(NULL, " \t"), *watts = strtok(NULL, " \t");
    if (!start || !watts || d->segments == SEGMENTS) return 0;
    double start_s = atof(start), before_j = changes_j(d->segment, 0, (uint64_t)d->segments, SEGMENTS, start_s);
    d->source = SCHEDULE;
    d->segment[d->segments++] = (Change){start_s, atof(watts), before_j};
    return 1;
}
static int set_ledger(Device *d) { /* power ledger FILE, or - for one of this process alone */
    char *path = strtok(NULL, " \t");
    if (!path) return 0;
    d->source = LEDGER;
    d->ledger = strcmp(path, "-") ? map_file(path, sizeof(Ledger)) : calloc(1, sizeof(Ledger));
    return d->ledger != NULL;
}
static int set_power(Device *d) {
    char *source = strtok(NULL, " \t");
    if (!source) return 0;
    if (!strcmp(source, "from")) return set_schedule(d);
    if (!strcmp(source, "ledger")) return set_ledger(d);
    if (!strcmp(source, "square")) {
        d->source = SQUARE;
        return set_options(d, SQUARE_WAVE, COUNT(SQUARE_WAVE)) && d->period_s > 0;
    }
    if (strcmp(source, "cpu")) return 0;
    d->source = CPU;
    d->ledger = calloc(1, sizeof(Ledger));
    return d->ledger && set_options(d, CPU_POWER, COUNT(CPU_POWER));
}
static int in_order(double every, double jitter, double wander) { /* whether no update can overtake another */
    return every > 0 && jitter >= 0 && wander >= 0 && FARTHEST * (2 * jitter + wander) < every;
}
static int add_stream(Device *d) {
    char *kind = strtok(NULL, " \t");
    if (!kind || d->streams == STREAMS) return 0;
    Stream *s = &d->stream[d->streams++];
    *s = (Stream){.gain = 1, .resolution = 1e-3, .seed = d->streams, .update = INT64_MIN};
    snprintf(s->kind, sizeof s->kind, "%s", kind);
    return set_options(s, STREAM, COUNT(STREAM)) && s->span > 0 && in_order(s->refresh, s->jitter, s->wander);
}
static int add_counter(Device *d) {
    if (d->counters == COUNTERS) return 0;
    Counter *c = &d->counter[d->counters++];
    *c = (Counter){.gain = 1, .resolution = 1e-3};
    return set_options(c, COUNTER, COUNT(COUNTER)) && in_order(c->tick, c->jitter, c->wander);
}
static int add_fault(void) {
    char *call = strtok(NULL, " \t"), *action = strtok(NULL, " \t"), *amount = NULL;
    if (!call || !action || fault_count == FAULTS) return 0;
    Fault *f = &fault[fault_count++];
    *f = (Fault){
        .device = device_count - 1, .to_call = INFINITY, .from_s = -INFINITY, .to_s = INFINITY, .probability = 1};
    snprintf(f->call, sizeof f->call, "%s", call);
    if ((amount = strchr(action, '='))) {
        *amount++ = 0;
        f->amount = atof(amount);
    }
    for (size_t i = 0; i < COUNT(ACTIONS); i++)
        if (!strcmp(action, ACTIONS[i])) {
            f->action = (Action)i;
            return set_options(f, FAULT, COUNT(FAULT));
        }
    return 0;
}
static int add_device(void) {
    if (device_count == DEVICES) return 0;
    Device *d = &devices[device_count++];
    *d = (Device){.architecture = 9,
                  .brand = 14,
                  .temperature_c = 40,
                  .limit_w = 700,
                  .limit_min_w = 200,
                  .limit_max_w = 700,
                  .limit_default_w = 700,
                  .sm_clock_hz = 1.98e9,
                  .memory_clock_hz = 2.619e9,
                  .memory_bytes = 80e9,
                  .persistence = 1,
                  .ecc = 1};
    snprintf(d->name, sizeof d->name, "NVIDIA Fake %d", device_count - 1);
    snprintf(d->uuid, sizeof d->uuid, "GPU-00000000-0000-0000-0000-%012d", device_count - 1);
    snprintf(d->pci, sizeof d->pci, "00000000:%02X:00.0", device_count);
    snprintf(d->vbios, sizeof d->vbios, "00.00.00.00.01");
    return 1;
}
static int device_statement(Device *d, const char *word) {
    char *rest;
    for (size_t i = 0; i < COUNT(TEXTS); i++)
        if (!strcmp(word, TEXTS[i].word)) {
            if (!(rest = strtok(NULL, ""))) return 0;
            snprintf((char *)d + TEXTS[i].at, i == 0 || i == 1 ? 96 : 32, "%s", rest);
            return 1;
        }
    if (!strcmp(word, "power")) return set_power(d);
    if (!strcmp(word, "stream")) return add_stream(d);
    if (!strcmp(word, "counter")) return add_counter(d);
    if (!strcmp(word, "violation") && d->violations < VIOLATIONS && (rest = strtok(NULL, ""))) {
        Violation *v = &d->violation[d->violations++];
        return sscanf(rest, "%d %lf %lf", &v->field, &v->share, &v->from_s) >= 2;
    }
    if (!strcmp(word, "field") && d->settings < SETTINGS && (rest = strtok(NULL, ""))) {
        Setting *s = &d->setting[d->settings++];
        return sscanf(rest, "%d %lf", &s->field, &s->value) == 2;
    }
    if (!strcmp(word, "process") && d->processes < PIDS && (rest = strtok(NULL, "")))
        return sscanf(rest, "%15s %u", d->process[d->processes].list, &d->process[d->processes].pid) == 2
               && ++d->processes;
    return (rest = strtok(NULL, " \t")) && set_number(d, NUMBERS, COUNT(NUMBERS), word, rest);
}
static int statement(char *line) {
    char *word = strtok(line, " \t"), *rest = NULL;
    if (!word) return 1;
    if (!strcmp(word, "device")) return add_device();
    if (!strcmp(word, "fault")) return add_fault();
    if (device_count) return device_statement(&devices[device_count - 1], word);
    if (!(rest = strtok(NULL, ""))) return 0;
    if (!strcmp(word, "driver")) return snprintf(driver_version, sizeof driver_version, "%s", rest) > 0;
    if (!strcmp(word, "nvml")) return snprintf(nvml_version, sizeof nvml_version, "%s", rest) > 0;
    if (!strcmp(word, "origin")) {
        origin_s = atof(rest);
        return 1;
    }
    if (strcmp(word, "clock")) return 0;
    if (!strcmp(rest, "monotonic")) return 1;
    virtual_now_s = strcmp(rest, "virtual") ? map_file(rest, sizeof(double)) : &private_now_s;
    return virtual_now_s != NULL;
}
int configure(void) {
    const char *path = getenv("FAKE_NVML_CONFIG");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return DRIVER_NOT_LOADED;
    char line[512];
    int number = 0, good = 1;
    device_count = fault_count = 0;
    virtual_now_s = NULL;
    origin_s = clock_s(CLOCK_MONOTONIC);
    snprintf(driver_version, sizeof driver_version, "580.00.00");
    snprintf(nvml_version, sizeof nvml_version, "13.580.00.00");
    while (good && fgets(line, sizeof line, file)) {
        line[strcspn(line, "#\n")] = 0;
        number++;
        if (!(good = statement(line))) fprintf(stderr, "fakenvml: %s, line %d: not understood\n", path, number);
    }
    fclose(file);
    return good ? SUCCESS : UNKNOWN;
}
