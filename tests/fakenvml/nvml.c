/* What does NVML answer? The calls that energybench and its peers make; all others are missing, as in an old driver. */
#define _GNU_SOURCE
#include "fakenvml.h"

#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

int started;                                              /* how often, less shutdowns */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* the real driver takes calls one by one, too */

static void unlock(int *unused) {
    (void)unused;
    pthread_mutex_unlock(&mutex);
}
#define LOCKED                                                                                                         \
    __attribute__((cleanup(unlock))) int locked_ = pthread_mutex_lock(&mutex);                                         \
    (void)locked_

/* ---- NVML's structures, by layout */

typedef struct {
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    int type, code;
    union {
        unsigned ui;
        uint64_t ull;
    } value;
} FieldValue;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} PciInfo;
typedef struct {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
} ProcessInfo;
typedef struct {
    unsigned version, sensor;
    int temperature;
} Temperature;
typedef struct {
    unsigned long long timestamp_us;
    union {
        unsigned ui;
        uint64_t ull;
    } value;
} Sample;
typedef struct {
    unsigned gpu, memory;
} Utilization;
typedef struct {
    unsigned long long total, free, used;
} Memory;

static Counter *counter_of(Device *d, double scope) {
    for (int i = 0; i < d->counters; i++)
        if (d->counter[i].scope == scope) return &d->counter[i];
    return NULL;
}

/* ---- Calls */

static int entered(const Device *d, const char *call) {
    int code = refusal(call, d);
    if (!started) return UNINITIALIZED;
    return d && (d < devices || d >= devices + device_count) ? INVALID_ARGUMENT : code;
}
/* How every call begins: alone, and perhaps refused. */
#define CALL(device)                                                                                                   \
    LOCKED;                                                                                                            \
    int code_ = entered(device, __func__);                                                                             \
    if (code_) return code_

static void *watch_cpu(void *unused) { /* every millisecond, so that spans between two calls are known, too */
    for (int running = 1; running; usleep(1000)) {
        LOCKED;
        running = started > 0;
        for (int i = 0; running && i < device_count; i++)
            if (devices[i].source == CPU) sample_cpu(&devices[i]);
    }
    return unused;
}
static void start_watching(void) {
    pthread_t watcher;
    for (int i = 0; i < device_count; i++)
        if (devices[i].source == CPU) {
            if (!pthread_create(&watcher, NULL, watch_cpu, NULL)) pthread_detach(watcher);
            return;
        }
}
EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    LOCKED;
    int code = started ? SUCCESS : configure();
    if (!code) code = refusal(__func__, NULL);
    if (!code && ++started == 1) start_watching();
    return code;
}
EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
EXPORT int nvmlShutdown(void) {
    CALL(NULL);
    started--;
    return SUCCESS;
}
EXPORT const char *nvmlErrorString(int code) {
    static char words[32];
    snprintf(words, sizeof words, "fake error %d", code);
    return words;
}

static int text(char *into, unsigned length, const char *from) {
    return (unsigned)snprintf(into, length, "%s", from) < length ? SUCCESS : TOO_SMALL;
}
EXPORT int nvmlSystemGetDriverVersion(char *into, unsigned length) {
    CALL(NULL);
    return text(into, length, driver_version);
}
EXPORT int nvmlSystemGetNVMLVersion(char *into, unsigned length) {
    CALL(NULL);
    return text(into, length, nvml_version);
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    CALL(NULL);
    *count = (unsigned)device_count;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **handle) {
    CALL(NULL);
    if (index >= (unsigned)device_count) return INVALID_ARGUMENT;
    *handle = &devices[index];
    return SUCCESS;
}
static int found(Device **handle, const char *wanted, size_t member) { /* by a text that the device has */
    for (int i = 0; i < device_count; i++)
        if (!strcasecmp(wanted, (char *)&devices[i] + member)) {
            *handle = &devices[i];
            return SUCCESS;
        }
    return NOT_FOUND;
}
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, Device **handle) {
    CALL(NULL);
    return found(handle, uuid, offsetof(Device, uuid));
}
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, Device **handle) {
    CALL(NULL);
    return found(handle, pci, offsetof(Device, pci));
}

#define TEXT_CALL(call, member)                                                                                        \
    EXPORT int call(Device *d, char *into, unsigned length) {                                                          \
        CALL(d);                                                                                                       \
        return text(into, length, d->member);                                                                          \
    }
TEXT_CALL(nvmlDeviceGetName, name)
TEXT_CALL(nvmlDeviceGetUUID, uuid)
TEXT_CALL(nvmlDeviceGetVbiosVersion, vbios)

#define NUMBER_CALL(call, type, expression)                                                                            \
    EXPORT int call(Device *d, type *into) {                                                                           \
        CALL(d);                                                                                                       \
        *into = (type)(expression);                                                                                    \
        return SUCCESS;                                                                                                \
    }
NUMBER_CALL(nvmlDeviceGetIndex, unsigned, d - devices)
NUMBER_CALL(nvmlDeviceGetArchitecture, unsigned, d->architecture)
NUMBER_CALL(nvmlDeviceGetBrand, unsigned, d->brand)
NUMBER_CALL(nvmlDeviceGetPersistenceMode, unsigned, d->persistence)
NUMBER_CALL(nvmlDeviceGetComputeMode, unsigned, d->compute_mode)
NUMBER_CALL(nvmlDeviceGetVirtualizationMode, unsigned, d->virtualization)
NUMBER_CALL(nvmlDeviceGetEnforcedPowerLimit, unsigned, 1e3 * d->limit_w)
NUMBER_CALL(nvmlDeviceGetPowerManagementLimit, unsigned, 1e3 * d->limit_w)
NUMBER_CALL(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, 1e3 * d->limit_default_w)
NUMBER_CALL(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, d->event_bits)
NUMBER_CALL(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, d->event_bits)

#define PAIR_CALL(call, first, second)                                                                                 \
    EXPORT int call(Device *d, unsigned *one, unsigned *two) {                                                         \
        CALL(d);                                                                                                       \
        *one = (unsigned)(first);                                                                                      \
        *two = (unsigned)(second);                                                                                     \
        return SUCCESS;                                                                                                \
    }
PAIR_CALL(nvmlDeviceGetMigMode, d->mig, d->mig)
PAIR_CALL(nvmlDeviceGetEccMode, d->ecc, d->ecc)
PAIR_CALL(nvmlDeviceGetPowerManagementLimitConstraints, 1e3 * d->limit_min_w, 1e3 * d->limit_max_w)
PAIR_CALL(nvmlDeviceGetCudaComputeCapability, d->architecture, 0)

#define TYPED_CALL(call, expression)                                                                                   \
    EXPORT int call(Device *d, int type, unsigned *into) {                                                             \
        CALL(d);                                                                                                       \
        *into = (unsigned)(expression);                                                                                \
        return SUCCESS;                                                                                                \
    }
TYPED_CALL(nvmlDeviceGetClockInfo, 1e-6 * (type == 2 ? d->memory_clock_hz : d->sm_clock_hz))
TYPED_CALL(nvmlDeviceGetMaxClockInfo, 1e-6 * (type == 2 ? d->memory_clock_hz : d->sm_clock_hz))
TYPED_CALL(nvmlDeviceGetTemperature, type == 0 ? d->temperature_c : 0)

/* Kernel Tuner asks for clocks that it could set; boards of today have none of them. */
#define UNSUPPORTED_CALL(call)                                                                                         \
    EXPORT int call(Device *d) {                                                                                       \
        CALL(d);                                                                                                       \
        return NOT_SUPPORTED;                                                                                          \
    }
UNSUPPORTED_CALL(nvmlDeviceGetAutoBoostedClocksEnabled)
UNSUPPORTED_CALL(nvmlDeviceGetDefaultApplicationsClock)
/* Zeus asks for the link between CPU and GPU: only boards that are a module have it. */
EXPORT int nvmlDeviceGetC2cModeInfoV(Device *d, unsigned *enabled) {
    CALL(d);
    int module = counter_of(d, 1) != NULL;
    for (int i = 0; i < d->streams; i++) module |= d->stream[i].scope == 1;
    if (!module) return NOT_SUPPORTED;
    *enabled = 1;
    return SUCCESS;
}
static int only_clock(double hz, unsigned *count, unsigned *mhz) {
    int fits = *count >= 1 && mhz;
    if (fits) *mhz = (unsigned)(1e-6 * hz);
    *count = 1;
    return fits ? SUCCESS : TOO_SMALL;
}
EXPORT int nvmlDeviceGetSupportedMemoryClocks(Device *d, unsigned *count, unsigned *mhz) {
    CALL(d);
    return only_clock(d->memory_clock_hz, count, mhz);
}
EXPORT int nvmlDeviceGetSupportedGraphicsClocks(Device *d, unsigned memory_mhz, unsigned *count, unsigned *mhz) {
    (void)memory_mhz;
    CALL(d);
    return only_clock(d->sm_clock_hz, count, mhz);
}

EXPORT int nvmlDeviceGetTemperatureV(Device *d, Temperature *t) {
    CALL(d);
    t->temperature = (int)d->temperature_c;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetMemoryInfo(Device *d, Memory *memory) {
    CALL(d);
    *memory = (Memory){(unsigned long long)d->memory_bytes, (unsigned long long)d->memory_bytes, 0};
    return SUCCESS;
}
EXPORT int nvmlDeviceGetUtilizationRates(Device *d, Utilization *rates) {
    CALL(d);
    *rates = (Utilization){0, 0};
    return SUCCESS;
}
EXPORT int nvmlDeviceGetPciInfo_v3(Device *d, PciInfo *info) {
    CALL(d);
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "%s", d->pci);
    snprintf(info->legacy, sizeof info->legacy, "%s", d->pci + 4);
    sscanf(d->pci, "%x:%x:%x", &info->domain, &info->bus, &info->device);
    return SUCCESS;
}
static int listed(Device *d, const char *list, unsigned *count, ProcessInfo *into) {
    unsigned found = 0;
    for (int i = 0; i < d->processes; i++)
        if (!strcmp(d->process[i].list, list) && ++found <= *count && into)
            into[found - 1] = (ProcessInfo){.pid = d->process[i].pid};
    int fits = found <= *count;
    *count = found;
    return fits ? SUCCESS : TOO_SMALL;
}
#define PROCESS_CALL(call, list)                                                                                       \
    EXPORT int call(Device *d, unsigned *count, ProcessInfo *into) {                                                   \
        CALL(d);                                                                                                       \
        return listed(d, list, count, into);                                                                           \
    }
PROCESS_CALL(nvmlDeviceGetComputeRunningProcesses_v3, "compute")
PROCESS_CALL(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")
PROCESS_CALL(nvmlDeviceGetMPSComputeRunningProcesses_v3, "mps")

/* ---- Power and energy */

static Stream *stream_of(Device *d, const char *kind, double scope) {
    for (int i = 0; i < d->streams; i++)
        if (!strcmp(d->stream[i].kind, kind) && d->stream[i].scope == scope) return &d->stream[i];
    return NULL;
}
/* The older calls know no scope: they answer what the board has, the GPU's own first. */
EXPORT int nvmlDeviceGetPowerUsage(Device *d, unsigned *mw) {
    CALL(d);
    Stream *own = stream_of(d, "power_w", 0), *s = own ? own : stream_of(d, "power_w", 1);
    if (!s) return NOT_SUPPORTED;
    *mw = (unsigned)lround(1e3 * distorted(__func__, d, stream_w(d, s, now_s())));
    return SUCCESS;
}
EXPORT int nvmlDeviceGetTotalEnergyConsumption(Device *d, unsigned long long *mj) {
    CALL(d);
    Counter *own = counter_of(d, 0), *c = own ? own : counter_of(d, 1);
    if (!c) return NOT_SUPPORTED;
    *mj = (unsigned long long)llround(1e3 * distorted(__func__, d, counter_j(d, c, now_s())));
    return SUCCESS;
}
static Setting *setting_of(Device *d, unsigned field) {
    for (int i = 0; i < d->settings; i++)
        if (d->setting[i].field == (int)field) return &d->setting[i];
    return NULL;
}
static int field_value(Device *d, unsigned field, unsigned scope, double *value) { /* W, J, s, or as it was set */
    const char *kind = field == 186 ? "power_instant_w" : field == 185 ? "power_average_w" : "";
    Stream *s = stream_of(d, kind, scope);
    Counter *c = field == 83 || field == 191 ? counter_of(d, scope) : NULL;
    double limit_w[] = {d->limit_min_w, d->limit_max_w, d->limit_default_w, d->limit_w};
    Violation *violation = NULL;
    for (int i = 0; i < d->violations; i++)
        if (d->violation[i].field == (int)field) violation = &d->violation[i];
    if (s)
        *value = stream_w(d, s, now_s());
    else if (setting_of(d, field))
        *value = setting_of(d, field)->value;
    else if (c)
        *value = counter_j(d, c, now_s());
    else if (field >= 187 && field <= 190)
        *value = limit_w[field - 187];
    else if (violation)
        *value = violation->share * fmax(0, now_s() - violation->from_s);
    else
        return NOT_SUPPORTED;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetFieldValues(Device *d, int count, FieldValue *values) {
    CALL(d);
    for (int i = 0; i < count; i++) {
        FieldValue *v = &values[i];
        int power = v->field >= 185 && v->field <= 190, energy = v->field == 83 || v->field == 191;
        char call[32];
        double value = 0;
        snprintf(call, sizeof call, "field:%u", v->field);
        v->code = refusal(call, d);
        if (!v->code) v->code = field_value(d, v->field, v->scope, &value);
        v->timestamp_us = wall_us();
        v->latency_us = 0;
        double per_unit = setting_of(d, v->field) ? 1 : power || energy ? 1e3 : 1e9;
        v->type = power ? 1 : 3; /* unsigned int, unsigned long long */
        v->value.ull = 0;        /* what a reader sees who does not look at the code */
        if (!v->code) v->value.ull = (uint64_t)llround(per_unit * distorted(call, d, value));
    }
    return SUCCESS;
}
EXPORT int nvmlDeviceGetSamples(Device *d, int type, unsigned long long last_us, int *value_type, unsigned *count,
                                Sample *into) {
    CALL(d);
    Stream *s = d->streams ? &d->stream[0] : NULL;
    if (type != 0 || !s) return NOT_SUPPORTED;
    int64_t newest = latest_update(s, now_s()), shift_us = wall_us() - (int64_t)(1e6 * now_s());
    unsigned found = 0;
    *value_type = 1;
    for (int64_t k = newest - 119; k <= newest; k++) { /* about as many as a user of a real board got */
        double at_s = update_s(s, k);
        unsigned long long at_us = (unsigned long long)(shift_us + (int64_t)(1e6 * at_s));
        if (at_us <= last_us || (into && found == *count)) continue;
        if (into) into[found] = (Sample){at_us, {.ui = (unsigned)lround(1e3 * stream_w(d, s, at_s + 1e-9))}};
        found++;
    }
    *count = found;
    return SUCCESS;
}

/* ---- The test's own calls */

EXPORT double fake_now_s(void) {
    LOCKED;
    return now_s();
}
EXPORT void fake_set_time(double t) {
    LOCKED;
    if (virtual_now_s) *virtual_now_s = t;
}
EXPORT double fake_truth_joules(unsigned device, double from_s, double to_s) {
    LOCKED;
    return device < (unsigned)device_count ? truth_j(&devices[device], to_s) - truth_j(&devices[device], from_s) : NAN;
}
EXPORT void fake_set_power(unsigned device, double watts) {
    LOCKED;
    if (device < (unsigned)device_count && devices[device].source == LEDGER)
        append(devices[device].ledger, now_s(), watts);
}
