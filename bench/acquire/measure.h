/* What the C programs of this benchmark share: threads that take turns at a pool, and the figures they print.
 *
 * A case prints one JSON object: ops, seconds, cpu_ns (of the process), hold_ns (mean, measured), fairness (the
 * busiest thread's count over the idlest's), wait_ns at p50, p99, p99.9 and the largest.
 */
#ifndef BENCH_ACQUIRE_MEASURE_H
#define BENCH_ACQUIRE_MEASURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* 64 steps for each power of two: a quantile is at most 1.6 % off. */
#define MEASURE_BUCKETS (60 * 64)

struct waits {
    uint64_t buckets[MEASURE_BUCKETS];
    uint64_t count;
};

static inline uint64_t measure_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t measure_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void measure_wait(struct waits *waits, uint64_t ns)
{
    size_t bucket = ns;
    if (ns >= 64) {
        int top = 63 - __builtin_clzll(ns);
        bucket = (size_t)(top - 5) * 64 + ((ns >> (top - 6)) & 63);
    }
    waits->buckets[bucket]++;
    waits->count++;
}

static inline double measure_quantile(const struct waits *waits, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)waits->count + 0.999999);
    uint64_t seen = 0;
    for (size_t i = 0; i < MEASURE_BUCKETS; i++) {
        seen += waits->buckets[i];
        if (seen >= rank && waits->buckets[i] > 0) {
            if (i < 64) {
                return (double)i;
            }
            int shift = (int)(i / 64) - 1;
            return (double)((64 + (uint64_t)(i % 64)) << shift) +
                   (double)(UINT64_C(1) << shift) / 2;
        }
    }
    return 0;
}

/* One thread's turns. `turn` takes and gives back a connection; with a hold it sleeps in between. */
struct worker {
    void *context;
    uint64_t hold_ns;
    bool is_timed;
    uint64_t ops;
    uint64_t held_ns;
    struct waits waits;
    pthread_t thread;
};

/* The program's own: acquire and release for a worker. */
static void *bench_acquire(struct worker *worker);
static void bench_release(struct worker *worker, void *lease);

static atomic_bool measure_stop;
static atomic_bool measure_go;
static atomic_uint measure_ready;

static void *measure_run(void *argument)
{
    struct worker *worker = argument;
    uint64_t ops = 0;
    atomic_fetch_add(&measure_ready, 1);
    while (!atomic_load(&measure_go)) {
        usleep(500);
    }
    if (!worker->is_timed) {
        while (!atomic_load_explicit(&measure_stop, memory_order_relaxed)) {
            bench_release(worker, bench_acquire(worker));
            ops++;
        }
    }
    while (worker->is_timed && !atomic_load_explicit(&measure_stop, memory_order_relaxed)) {
        uint64_t before_ns = measure_now_ns();
        void *lease = bench_acquire(worker);
        uint64_t granted_ns = measure_now_ns();
        if (worker->hold_ns > 0) {
            struct timespec hold = {0, (long)worker->hold_ns};
            nanosleep(&hold, NULL);
            worker->held_ns += measure_now_ns() - granted_ns;
        }
        bench_release(worker, lease);
        measure_wait(&worker->waits, granted_ns - before_ns);
        ops++;
    }
    worker->ops = ops;
    return NULL;
}

struct result {
    double seconds;
    double cpu_ns;
    double held_ns;
    double fairness;
    uint64_t ops;
    struct waits waits;
};

static void measure_sum(struct result *result, const struct worker *workers, unsigned count)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    uint64_t held_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t ops = workers[i].ops;
        result->ops += ops;
        held_ns += workers[i].held_ns;
        least = ops < least ? ops : least;
        most = ops > most ? ops : most;
        result->waits.count += workers[i].waits.count;
        for (size_t j = 0; j < MEASURE_BUCKETS; j++) {
            result->waits.buckets[j] += workers[i].waits.buckets[j];
        }
    }
    result->fairness = (double)most / (double)(least == 0 ? 1 : least);
    result->held_ns = result->ops == 0 ? 0 : (double)held_ns / (double)result->ops;
}

static inline void measure(void *context,
                           unsigned threads,
                           double seconds,
                           bool is_timed,
                           uint64_t hold_ns,
                           struct result *result)
{
    struct worker *workers = calloc(threads, sizeof(*workers));
    if (workers == NULL) {
        exit(1);
    }
    memset(result, 0, sizeof(*result));
    measure_stop = measure_go = false;
    measure_ready = 0;
    for (unsigned i = 0; i < threads; i++) {
        workers[i].context = context;
        workers[i].hold_ns = hold_ns;
        workers[i].is_timed = is_timed;
        if (pthread_create(&workers[i].thread, NULL, measure_run, &workers[i]) != 0) {
            fputs("pthread_create failed\n", stderr);
            exit(1);
        }
    }
    while (measure_ready < threads) {
        usleep(500);
    }
    uint64_t cpu_ns = measure_cpu_ns();
    uint64_t begin_ns = measure_now_ns();
    measure_go = true;
    usleep((useconds_t)(seconds * 1e6));
    measure_stop = true;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    result->seconds = (double)(measure_now_ns() - begin_ns) / 1e9;
    result->cpu_ns = (double)(measure_cpu_ns() - cpu_ns);
    measure_sum(result, workers, threads);
    free(workers);
}

static inline void measure_print(const struct result *result)
{
    printf("{\"ops\": %llu, \"seconds\": %.6f, \"cpu_ns\": %.0f, \"hold_ns\": %.1f, \"fairness\": "
           "%.4f, "
           "\"wait_p50_ns\": %.0f, \"wait_p99_ns\": %.0f, \"wait_p999_ns\": %.0f, \"wait_max_ns\": "
           "%.0f}\n",
           (unsigned long long)result->ops, result->seconds, result->cpu_ns, result->held_ns,
           result->fairness, measure_quantile(&result->waits, 0.5),
           measure_quantile(&result->waits, 0.99), measure_quantile(&result->waits, 0.999),
           measure_quantile(&result->waits, 1.0));
    fflush(stdout);
}

/* The three cases with threads, as every peer runs them: warmed up, then measured. */
static inline bool
measure_case(const char *name, void *(*pool_new)(unsigned links), double warm_s, double seconds)
{
    static struct result result;
    unsigned threads = 1;
    unsigned links = 10;
    uint64_t hold_ns = 0;
    if (strcmp(name, "contended") == 0) {
        threads = 8;
        links = 4;
    } else if (strcmp(name, "waiting") == 0) {
        threads = 64;
        links = 8;
        hold_ns = 100000;
    } else if (strcmp(name, "uncontended") != 0) {
        return false;
    }
    void *pool = pool_new(links);
    measure(pool, threads, warm_s, hold_ns > 0, hold_ns, &result);
    measure(pool, threads, seconds, hold_ns > 0, hold_ns, &result);
    measure_print(&result);
    return true;
}

#endif
