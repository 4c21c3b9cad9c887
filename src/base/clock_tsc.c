/* See clock_tsc.h. */
#include "base/clock_tsc.h"

#include <sched.h>

#define TIME_BITS  12
#define SLOPE_BITS 28
/* Looks while another thread compares, a turn of the scheduler each. It is never that long, but in a child that was
 * forked in the middle of a comparison there is no other thread. */
#define SYNC_TRIES 1000

__extension__ typedef unsigned __int128 bpi_wide;

static uint64_t time_of_ns(uint64_t ns)
{
    /* In two parts: ns x 4096 would overflow after 52 days. */
    return ((ns / 1000) << TIME_BITS) + ((ns % 1000) << TIME_BITS) / 1000;
}

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void publish(struct bpi_tsc *tsc, uint64_t ticks, uint64_t time, uint64_t slope)
{
    uint32_t version = atomic_load_explicit(&tsc->version, memory_order_relaxed) + 1;
    struct bpi_tsc_line *line = &tsc->lines[version & 1];
    uint64_t valid = 0;
    if (!atomic_load_explicit(&tsc->off, memory_order_relaxed)) {
        valid = (uint64_t)(((bpi_wide)BPI_TSC_SYNC_US << (TIME_BITS + SLOPE_BITS)) / slope);
    }
    /* A reader of the line before the last one that meets these stores must see the version of the last one. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&line->ticks, ticks, memory_order_relaxed);
    atomic_store_explicit(&line->time, time, memory_order_relaxed);
    atomic_store_explicit(&line->slope, slope, memory_order_relaxed);
    atomic_store_explicit(&line->valid, valid, memory_order_relaxed);
    atomic_store_explicit(&tsc->version, version, memory_order_release);
}

void bpi_tsc_init(struct bpi_tsc *tsc,
                  void (*sample)(uint64_t *ret_ticks, uint64_t *ret_ns),
                  double ticks_per_us)
{
    uint64_t ns;
    tsc->sample = sample;
    sample(&tsc->first_ticks, &ns);
    tsc->first_time = time_of_ns(ns);
    tsc->jumps = 0;
    atomic_flag_clear(&tsc->writing);
    atomic_store_explicit(&tsc->off, false, memory_order_relaxed);
    atomic_store_explicit(&tsc->floor_us, 0, memory_order_relaxed);
    double slope = (double)(UINT64_C(1) << (TIME_BITS + SLOPE_BITS)) / ticks_per_us;
    publish(tsc, tsc->first_ticks, tsc->first_time, (uint64_t)slope);
}

/* The rate since the beginning, which is known the better the longer that is. */
static uint64_t
measured_slope(const struct bpi_tsc *tsc, uint64_t ticks, uint64_t time, uint64_t slope)
{
    if (ticks <= tsc->first_ticks || time <= tsc->first_time) {
        return slope;
    }
    uint64_t measured =
        (uint64_t)(((bpi_wide)(time - tsc->first_time) << SLOPE_BITS) / (ticks - tsc->first_ticks));
    return measured == 0 ? slope : measured;
}

/* The line from here on; nobody was told more than `told`. */
static void draw(struct bpi_tsc *tsc, uint64_t ticks, uint64_t time, uint64_t told, uint64_t slope)
{
    if (told <= time) {
        publish(tsc, ticks, time, slope);
        return;
    }
    /* Ahead: it aims at the kernel's time at the next comparison, but never goes at less than half the speed. */
    uint64_t span = (uint64_t)BPI_TSC_SYNC_US << TIME_BITS;
    uint64_t ahead = told - time < span / 2 ? told - time : span / 2;
    publish(tsc, ticks, told, (uint64_t)((bpi_wide)slope * (span - ahead) / span));
}

static void turn_off(struct bpi_tsc *tsc, uint64_t told)
{
    atomic_store_explicit(&tsc->floor_us, told >> TIME_BITS, memory_order_relaxed);
    atomic_store_explicit(&tsc->off, true, memory_order_relaxed);
    publish(tsc, 0, 0, 1);
}

/* Lock: tsc->writing. */
static uint64_t compare(struct bpi_tsc *tsc, uint64_t ticks, uint64_t time)
{
    uint32_t version = atomic_load_explicit(&tsc->version, memory_order_relaxed);
    const struct bpi_tsc_line *line = &tsc->lines[version & 1];
    uint64_t valid = load(&line->valid);
    uint64_t slope = load(&line->slope);
    uint64_t since = ticks - load(&line->ticks);
    bool went_back = ticks < load(&line->ticks);
    /* Times from beyond the line's end weren't told. */
    uint64_t span = went_back || since > valid ? valid : since;
    uint64_t told = load(&line->time) + (uint64_t)(((bpi_wide)span * slope) >> SLOPE_BITS);
    uint64_t jump = (uint64_t)BPI_TSC_JUMP_US << TIME_BITS;
    if (went_back || told > time + jump || (since <= valid && time > told + jump)) {
        /* What was before says nothing about the rate from here. */
        tsc->first_ticks = ticks;
        tsc->first_time = time;
        tsc->jumps++;
    }
    if ((!went_back && told > time + jump) || tsc->jumps >= BPI_TSC_JUMPS_MAX) {
        turn_off(tsc, told);
    } else {
        draw(tsc, ticks, time, told, measured_slope(tsc, ticks, time, slope));
    }
    return told > time ? told : time;
}

/* Whether the clock is off; then it is the kernel's. */
static bool floored(const struct bpi_tsc *tsc, uint64_t ns, bp_usec *ret_us)
{
    if (!atomic_load_explicit(&tsc->off, memory_order_relaxed)) {
        return false;
    }
    bp_usec floor_us = atomic_load_explicit(&tsc->floor_us, memory_order_relaxed);
    bp_usec now_us = ns / 1000;
    *ret_us = now_us > floor_us ? now_us : floor_us;
    return true;
}

bp_usec bpi_tsc_sync(struct bpi_tsc *tsc)
{
    uint64_t ticks;
    uint64_t ns = 0;
    bp_usec now_us = 0;
    for (unsigned try = 0; try < SYNC_TRIES; try++) {
        if (atomic_load_explicit(&tsc->off, memory_order_acquire)) {
            tsc->sample(&ticks, &ns);
            (void)floored(tsc, ns, &now_us);
            return now_us;
        }
        if (!atomic_flag_test_and_set_explicit(&tsc->writing, memory_order_acquire)) {
            /* Taken inside, so that comparisons are in the order of their ticks. */
            tsc->sample(&ticks, &ns);
            bool is_off = floored(tsc, ns, &now_us);
            if (!is_off) {
                now_us = compare(tsc, ticks, time_of_ns(ns)) >> TIME_BITS;
            }
            atomic_flag_clear_explicit(&tsc->writing, memory_order_release);
            return now_us;
        }
        sched_yield();
        tsc->sample(&ticks, &ns);
        if (bpi_tsc_read(tsc, ticks, &now_us)) {
            return now_us;
        }
    }
    return ns / 1000;
}
