/* What does the board draw, exactly, and what does its sensor publish of that? */
#define _GNU_SOURCE
#include "fakenvml.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

/* ---- Clock: monotonic time since an origin, or a number that the test sets */

double origin_s, private_now_s, *virtual_now_s;

double clock_s(int clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
double now_s(void) { return virtual_now_s ? *virtual_now_s : clock_s(CLOCK_MONOTONIC) - origin_s; }
int64_t wall_us(void) { return (int64_t)(1e6 * (virtual_now_s ? *virtual_now_s : clock_s(CLOCK_REALTIME))); }
void pass_s(double seconds) {
    if (virtual_now_s)
        *virtual_now_s += seconds;
    else
        usleep((useconds_t)(1e6 * seconds));
}

/* ---- Truth: exact joules up to a time */

double changes_j(const Change *change, uint64_t first, uint64_t count, uint64_t ring, double t) {
    if (count == 0) return 0;
    uint64_t i = count - 1;
    while (i > first && change[i % ring].time_s > t) i--;
    return change[i % ring].energy_j + change[i % ring].watts * (t - change[i % ring].time_s);
}
void append(Ledger *ledger, double t, double watts) {
    uint64_t n = ledger->count;
    double before_j = changes_j(ledger->change, n ? n - 1 : 0, n, CHANGES, t);
    ledger->change[n % CHANGES] = (Change){t, watts, before_j};
    __atomic_store_n(&ledger->count, n + 1, __ATOMIC_RELEASE);
}
void sample_cpu(Device *d) { /* power since the last sample is the slope between the two */
    Ledger *ledger = d->ledger;
    double t = now_s(), cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    if (ledger->count) {
        Change *last = &ledger->change[(ledger->count - 1) % CHANGES];
        if (t <= last->time_s) return;
        last->watts = d->idle_w + d->w_per_cpu * (cpu_s - d->cpu_before_s) / (t - last->time_s);
    }
    append(ledger, t, d->idle_w);
    d->cpu_before_s = cpu_s;
}
double truth_j(Device *d, double t) {
    if (d->source == SCHEDULE) return changes_j(d->segment, 0, (uint64_t)d->segments, SEGMENTS, t);
    if (d->source == SQUARE) { /* high for the first `duty` of every period */
        double periods = floor((t - d->phase_s) / d->period_s), high_s = d->duty * d->period_s;
        double on_s = periods * high_s + fmin(t - d->phase_s - periods * d->period_s, high_s);
        return d->low_w * t + (d->high_w - d->low_w) * on_s;
    }
    if (d->source == CPU) sample_cpu(d);
    uint64_t count = __atomic_load_n(&d->ledger->count, __ATOMIC_ACQUIRE);
    return changes_j(d->ledger->change, count > CHANGES ? count - CHANGES : 0, count, CHANGES, t);
}

/* ---- Sensor: a function of the truth, the seed and the number of the update */

static const double JITTER_SEED = 1 << 20, WANDER_SEED = 1 << 21;

static uint64_t mixed(uint64_t x) { /* splitmix64 */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
double uniform(double seed, int64_t k, int use) { /* in (0, 1) */
    return ((double)(mixed(mixed((uint64_t)(4 * (int64_t)seed + use)) ^ (uint64_t)k) >> 11) + 0.5) * 0x1p-53;
}
static double normal(double seed, int64_t k) {
    return sqrt(-2 * log(uniform(seed, k, 0))) * cos(2 * M_PI * uniform(seed, k, 1));
}
static double noise_at(const Stream *s, int64_t k) { /* first-order autoregressive, as a moving average */
    double sum = 0, weight = sqrt(1 - s->correlation * s->correlation);
    for (int j = 0; weight > 1e-9; j++, weight *= s->correlation) sum += weight * normal(s->seed, k - j);
    return sum;
}

/* Update k comes at phase + k x every, early or late by a normal error (jitter) and by a random walk that began at
 * update 0 (wander). Both are cut at FARTHEST standard deviations, so that no update overtakes another. */
static double cut_normal(double seed, int64_t k) { return fmax(-FARTHEST, fmin(FARTHEST, normal(seed, k))); }
static double update_at(Walk *walk, double phase, double every, double jitter, double wander, double seed, int64_t k) {
    double regular_s = phase + (double)k * every;
    if (jitter) regular_s += jitter * cut_normal(seed + JITTER_SEED, k);
    if (!wander) return regular_s;
    while (walk->k < k) walk->sum += cut_normal(seed + WANDER_SEED, ++walk->k);
    while (walk->k > k) walk->sum -= cut_normal(seed + WANDER_SEED, walk->k--);
    return regular_s + wander * walk->sum;
}
double update_s(Stream *s, int64_t k) {
    return update_at(&s->walk, s->phase, s->refresh, s->jitter, s->wander, s->seed, k);
}
static double tick_s(Counter *c, int64_t k) {
    return update_at(&c->walk, c->phase, c->tick, c->jitter, c->wander, c->seed, k);
}
int64_t latest_update(Stream *s, double t) {
    int64_t k = (int64_t)floor((t - s->walk.sum * s->wander - s->phase) / s->refresh);
    while (update_s(s, k + 1) <= t) k++;
    while (update_s(s, k) > t) k--;
    return k;
}
static int64_t latest_tick(Counter *c, double t) {
    int64_t k = (int64_t)floor((t - c->walk.sum * c->wander - c->phase) / c->tick);
    while (tick_s(c, k + 1) <= t) k++;
    while (tick_s(c, k) > t) k--;
    return k;
}

static double mean_w(Device *d, Stream *s, int64_t k) {
    double end_s = update_s(s, k) - s->delay;
    return (truth_j(d, end_s) - truth_j(d, end_s - s->span)) / s->span;
}
static double risen_w(Device *d, Stream *s, int64_t k) {
    if (s->rise == 0) return mean_w(d, s, k);
    double kept = exp(-s->refresh * log(9) / s->rise), weight = 1, sum = 0, weights = 0; /* rise: 10 to 90 % */
    for (int j = 0; weight > 1e-6; j++, weight *= kept) {
        sum += weight * mean_w(d, s, k - j);
        weights += weight;
    }
    return sum / weights;
}
static int64_t published(int64_t k, double seed, double zero, double lost) {
    for (double u = uniform(seed, k, 2); u >= zero && u < zero + lost; u = uniform(seed, k, 2)) k--;
    return k;
}
double stream_w(Device *d, Stream *s, double t) {
    int64_t k = published(latest_update(s, t), s->seed, s->zero, s->lost);
    if (k != s->update) {
        double w = (s->gain * risen_w(d, s, k) + s->offset) * (1 + (s->noise ? s->noise * noise_at(s, k) : 0));
        s->value_w = uniform(s->seed, k, 2) < s->zero ? 0 : round(w / s->resolution) * s->resolution;
        s->update = k;
    }
    return s->value_w;
}
double counter_j(Device *d, Counter *c, double t) {
    double true_s = tick_s(c, published(latest_tick(c, t), c->seed, 0, c->lost)) - c->delay, joules = fmax(0, truth_j(d, true_s));
    if (c->part_time) { /* the sum of the first stream's samples, each worth a whole refresh */
        Stream *s = &d->stream[0];
        int64_t count = latest_update(s, true_s) + 1;
        for (; c->summed < count; c->summed++) c->sum_j += mean_w(d, s, c->summed) * s->refresh;
        joules = c->sum_j;
    }
    return floor(c->gain * joules / c->resolution) * c->resolution;
}
