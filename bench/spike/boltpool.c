/* A burst on boltpool's pool, through the public functions only: 50 threads at once, at most 50 connections, 5 of
 * them idle before.
 *
 * usage: boltpool CONNECT_MS QUERY_MS
 *
 * Prints one JSON object: total_ms (from the start to the last caller served), slowest_ms (one caller's acquire and query),
 * opened (connections whose opening began after the start and within a second of the end, whether anybody got them or
 * not).
 */
#include <boltpool/pool.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CALLERS 50
#define IDLE    5

static long connect_ms;
static long query_ms;
static atomic_uint opened;
static pthread_barrier_t gate;

static void rest_ms(long ms)
{
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&rest, NULL);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int connector_open(void *user, const struct bp_open_request *request, void **ret_connection)
{
    (void)user;
    (void)request;
    atomic_fetch_add(&opened, 1);
    rest_ms(connect_ms);
    *ret_connection = malloc(64);
    return *ret_connection == NULL ? BP_E_NO_MEMORY : 0;
}

static void connector_close(void *user, void *connection)
{
    (void)user;
    free(connection);
}

struct caller {
    struct bp_pool *pool;
    double took_ms;
    pthread_t thread;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    pthread_barrier_wait(&gate);
    double begin_ms = now_ms();
    struct bp_lease *lease;
    int error = bp_pool_acquire(caller->pool, NULL, BP_WAIT_DEFAULT, &lease);
    if (error != 0) {
        fprintf(stderr, "bp_pool_acquire: %s\n", bp_error_text(error));
        exit(1);
    }
    rest_ms(query_ms);
    (void)bp_pool_release(lease, BP_OUTCOME_OK);
    caller->took_ms = now_ms() - begin_ms;
    return NULL;
}

static struct bp_pool *pool_new(void)
{
    struct bp_pool_config config;
    struct bp_connector connector = {
        .struct_size = sizeof(connector),
        .open = connector_open,
        .close = connector_close,
    };
    bp_pool_config_init(&config);
    config.links_max = CALLERS;
    config.idle_min = IDLE;
    struct bp_pool *pool;
    if (bp_pool_new(&config, &connector, &pool) != 0) {
        exit(1);
    }
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    do {
        rest_ms(10);
    } while (bp_pool_get_stats(pool, &stats) == 0 && stats.idle < IDLE);
    return pool;
}

/* Queries one after the other before the burst, as programs do: the pool knows how long one takes. HikariCP's part does the
 * same, and more of it, for its compiler. */
static void warm_up(struct bp_pool *pool)
{
    for (int i = 0; i < 50; i++) {
        struct bp_lease *lease;
        if (bp_pool_acquire(pool, NULL, BP_WAIT_DEFAULT, &lease) != 0) {
            exit(1);
        }
        rest_ms(query_ms);
        (void)bp_pool_release(lease, BP_OUTCOME_OK);
    }
    rest_ms(300);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: boltpool CONNECT_MS QUERY_MS\n", stderr);
        return 2;
    }
    connect_ms = strtol(argv[1], NULL, 10);
    query_ms = strtol(argv[2], NULL, 10);
    struct bp_pool *pool = pool_new();
    warm_up(pool);
    unsigned before = atomic_load(&opened);
    static struct caller callers[CALLERS];
    pthread_barrier_init(&gate, NULL, CALLERS + 1);
    for (int i = 0; i < CALLERS; i++) {
        callers[i].pool = pool;
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0) {
            return 1;
        }
    }
    rest_ms(100);
    double begin_ms = now_ms();
    pthread_barrier_wait(&gate);
    double slowest_ms = 0;
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        slowest_ms = callers[i].took_ms > slowest_ms ? callers[i].took_ms : slowest_ms;
    }
    double total_ms = now_ms() - begin_ms;
    rest_ms(1000);
    printf("{\"total_ms\": %.4f, \"slowest_ms\": %.4f, \"opened\": %u}\n", total_ms, slowest_ms,
           atomic_load(&opened) - before);
    (void)bp_pool_stop(pool, BP_USEC_PER_SECOND);
    bp_pool_free(pool);
    return 0;
}
