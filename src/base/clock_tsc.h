/* The processor's time-stamp counter as a monotonic clock: a look takes 9 ns where clock_gettime() takes 16.
 *
 * Used only where the kernel keeps time by it itself (clocksource "tsc") and the processor says that it ticks evenly in
 * all its states (CPUID 80000007h); elsewhere the clock is clock_gettime().
 *
 * It is kept to CLOCK_MONOTONIC: a look that comes more than SYNC_US after the last comparison (or whose counter lies
 * before it, as after a suspend) compares first and goes on from the kernel's time. So it is off by what the kernel's own
 * slewing (500 ppm at most) does in twice that time: 10 us.
 *
 * Never backwards: where a comparison finds that it ran ahead, it goes slower until the next one instead of
 * stepping back. A counter that is found far ahead, or that jumps again and again, isn't what it claimed to be: then the
 * clock is clock_gettime() from there on, held at what was already told until that has caught up.
 *
 * Nobody waits for a comparison: the line is kept twice, and while one thread draws the next one the others read the last.
 * The state is a value, so that tests can feed it; the process's own is in clock.c.
 */
#ifndef BPI_BASE_CLOCK_TSC_H
#define BPI_BASE_CLOCK_TSC_H

#include <boltpool/types.h>

#include <stdatomic.h>
#include <stdbool.h>

/* Time between comparisons. Twice as much doubles the error; half as much costs 0.4 ns a look at a million looks a
 * second and thread. */
#define BPI_TSC_SYNC_US ((bp_usec)10000)
/* A comparison that is off by more is a jump of the counter, not a slewing. */
#define BPI_TSC_JUMP_US ((bp_usec)1000)
/* Jumps after which the counter isn't believed any more. */
#define BPI_TSC_JUMPS_MAX 8

/* Time, in microseconds x 4096, as a line over ticks. Atomic only so that a torn read, which is thrown away, is
 * no data race. */
struct bpi_tsc_line {
    _Atomic uint64_t ticks; /* where it begins */
    _Atomic uint64_t time;
    _Atomic uint64_t slope; /* time per tick, x 2^28 */
    _Atomic uint64_t valid; /* so many ticks it is believed without a comparison */
};

struct bpi_tsc {
    /* Atomic: `version` says which line is the last one; a reader that finds it changed reads again. */
    _Atomic uint32_t version;
    _Atomic bool off; /* for ever: clock_gettime(), but never before floor_us */
    struct bpi_tsc_line lines[2];
    _Atomic uint64_t floor_us;
    /* Lock: `writing`, which is only tried. */
    atomic_flag writing;
    uint64_t first_ticks; /* the long line, for the rate */
    uint64_t first_time;
    unsigned jumps;
    /* Immutable: the counter, and CLOCK_MONOTONIC at that moment. */
    void (*sample)(uint64_t *ret_ticks, uint64_t *ret_ns);
};

/* `ticks_per_us` may be rough. */
void bpi_tsc_init(struct bpi_tsc *tsc,
                  void (*sample)(uint64_t *ret_ticks, uint64_t *ret_ns),
                  double ticks_per_us);
/* The time, after a comparison. Threads: any. */
bp_usec bpi_tsc_sync(struct bpi_tsc *tsc);

/* The time at `ticks`, which were read just now. False: bpi_tsc_sync() has to be asked. Threads: any. */
static inline bool bpi_tsc_read(const struct bpi_tsc *tsc, uint64_t ticks, bp_usec *ret_us)
{
    uint32_t version = atomic_load_explicit(&tsc->version, memory_order_acquire);
    const struct bpi_tsc_line *line = &tsc->lines[version & 1];
    uint64_t since = ticks - atomic_load_explicit(&line->ticks, memory_order_relaxed);
    uint64_t time = atomic_load_explicit(&line->time, memory_order_relaxed);
    uint64_t slope = atomic_load_explicit(&line->slope, memory_order_relaxed);
    uint64_t valid = atomic_load_explicit(&line->valid, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    /* A counter that lies before the line makes `since` huge; a clock that is off has lines that are valid for nothing. */
    if (__builtin_expect(since >= valid ||
                             atomic_load_explicit(&tsc->version, memory_order_relaxed) != version,
                         0)) {
        return false;
    }
    *ret_us = (time + ((since * slope) >> 28)) >> 12;
    return true;
}

#endif
