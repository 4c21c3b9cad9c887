/* See clock.h. */
#include "base/clock.h"

#include "base/clock_tsc.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t kernel_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

    #include <cpuid.h>
    #include <x86intrin.h>

    #define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    /* How long the rate is measured at first: a first error of 50 ns in it is 500 ppm, 5 us until the next comparison. */
    #define FIRST_RATE_NS 100000
    /* Looks of which the quickest is taken: one that was interrupted would be off by the interruption. */
    #define SAMPLE_TRIES 3

/* Immutable after bpi_clock's once: whether `process_tsc` is used. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool use_tsc;
static struct bpi_tsc process_tsc;

static bool kernel_uses_tsc(void)
{
    char name[16] = "";
    FILE *file = fopen(CLOCKSOURCE, "re");
    if (file == NULL) {
        return false;
    }
    bool is_tsc = fgets(name, sizeof(name), file) != NULL && strcmp(name, "tsc\n") == 0;
    fclose(file);
    return is_tsc;
}

static bool counter_is_invariant(void)
{
    unsigned a;
    unsigned b;
    unsigned c;
    unsigned d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1U << 8)) != 0;
}

static void sample(uint64_t *ret_ticks, uint64_t *ret_ns)
{
    uint64_t least = UINT64_MAX;
    *ret_ticks = *ret_ns = 0;
    for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
        uint64_t before = __rdtsc();
        uint64_t ns = kernel_ns();
        uint64_t took = __rdtsc() - before;
        if (took < least) {
            least = took;
            *ret_ticks = before + took / 2;
            *ret_ns = ns;
        }
    }
}

static void start_tsc(void)
{
    if (!kernel_uses_tsc() || !counter_is_invariant()) {
        return;
    }
    uint64_t ticks_a;
    uint64_t ns_a;
    uint64_t ticks_b;
    uint64_t ns_b;
    sample(&ticks_a, &ns_a);
    do {
        sample(&ticks_b, &ns_b);
    } while (ns_b - ns_a < FIRST_RATE_NS);
    if (ticks_b <= ticks_a) {
        return;
    }
    bpi_tsc_init(&process_tsc, sample,
                 (double)(ticks_b - ticks_a) / ((double)(ns_b - ns_a) / 1000));
    atomic_store_explicit(&use_tsc, true, memory_order_release);
}

static bp_usec slow_now_us(void)
{
    pthread_once(&once, start_tsc);
    if (atomic_load_explicit(&use_tsc, memory_order_acquire)) {
        return bpi_tsc_sync(&process_tsc);
    }
    return kernel_ns() / 1000;
}

bp_usec bpi_clock_now_us(void)
{
    bp_usec now_us;
    /* Before the first comparison its lines are valid for nothing. */
    if (bpi_tsc_read(&process_tsc, __rdtsc(), &now_us)) {
        return now_us;
    }
    return slow_now_us();
}

#else

bp_usec bpi_clock_now_us(void)
{
    return kernel_ns() / 1000;
}

#endif

int64_t bpi_clock_wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void bpi_clock_format(int64_t wall_us, char *text, size_t size)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
             (int)(wall_us / 1000 % 1000));
}
