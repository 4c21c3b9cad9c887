/* A connector for tests: connections that do nothing, and fail, hang or take their time on request. */
#ifndef TESTS_UNIT_ENGINE_CONNECTOR_H
#define TESTS_UNIT_ENGINE_CONNECTOR_H

#include <boltpool/pool.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEST_ALIVE 0x0a11fe01U

struct test_connection {
    _Atomic unsigned magic; /* TEST_ALIVE until it is closed */
    atomic_uint users;      /* more than one is a lease given to two */
};

struct test_connector {
    atomic_uint open_us;   /* how long opening takes */
    atomic_int open_error; /* what it answers */
    atomic_int check_error;
    atomic_uint check_us;
    atomic_bool hangs; /* opening returns only when this is over */
    atomic_bool check_hangs;
    atomic_uint checking, checking_max;
    bool has_returned;      /* Immutable: there is the function */
    atomic_int returned_as; /* what it answers: an outcome + 1; 0 = as it was said */
    atomic_uint returned;   /* how often it was asked */
    atomic_uint opening, opening_max;
    atomic_uint opened, closed, checked;
    atomic_uint done;  /* how often the pool said that it was gone */
    atomic_uint wrong; /* a connection that was closed twice, or never opened */
    char log
        [4096]; /* Owner: whoever calls; appended under no lock, so tests look at it at the end */
    atomic_size_t log_size;
};

static inline void test_sleep_us(unsigned us)
{
    struct timespec rest = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&rest, NULL);
}

static inline int
test_open(void *user, const struct bp_open_request *request, void **ret_connection)
{
    struct test_connector *connector = user;
    unsigned opening = atomic_fetch_add(&connector->opening, 1) + 1;
    unsigned most = atomic_load(&connector->opening_max);
    while (opening > most &&
           !atomic_compare_exchange_weak(&connector->opening_max, &most, opening)) {
    }
    test_sleep_us(atomic_load(&connector->open_us));
    while (atomic_load(&connector->hangs)) {
        test_sleep_us(1000);
    }
    atomic_fetch_sub(&connector->opening, 1);
    int error = atomic_load(&connector->open_error);
    if (error != 0) {
        snprintf(request->reterr_text, request->reterr_size, "told to fail");
        return error;
    }
    struct test_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        return BP_E_NO_MEMORY;
    }
    atomic_store(&connection->magic, TEST_ALIVE);
    atomic_fetch_add(&connector->opened, 1);
    *ret_connection = connection;
    return 0;
}

static inline int test_check(void *user, void *connection, bp_usec timeout_us)
{
    struct test_connector *connector = user;
    struct test_connection *checked = connection;
    (void)timeout_us;
    atomic_fetch_add(&connector->checked, 1);
    unsigned checking = atomic_fetch_add(&connector->checking, 1) + 1;
    unsigned most = atomic_load(&connector->checking_max);
    while (checking > most &&
           !atomic_compare_exchange_weak(&connector->checking_max, &most, checking)) {
    }
    if (atomic_load(&checked->magic) != TEST_ALIVE || atomic_fetch_add(&checked->users, 1) != 0) {
        atomic_fetch_add(&connector->wrong, 1); /* while somebody has it */
    }
    test_sleep_us(atomic_load(&connector->check_us));
    while (atomic_load(&connector->check_hangs)) {
        test_sleep_us(1000);
    }
    atomic_fetch_sub(&checked->users, 1);
    atomic_fetch_sub(&connector->checking, 1);
    return atomic_load(&connector->check_error);
}

static inline enum bp_outcome test_returned(void *user, void *connection, enum bp_outcome said)
{
    struct test_connector *connector = user;
    struct test_connection *returned = connection;
    atomic_fetch_add(&connector->returned, 1);
    if (atomic_load(&returned->magic) != TEST_ALIVE || atomic_fetch_add(&returned->users, 1) != 0) {
        atomic_fetch_add(&connector->wrong, 1);
    }
    int answer = atomic_load(&connector->returned_as);
    atomic_fetch_sub(&returned->users, 1);
    return answer == 0 ? said : (enum bp_outcome)(answer - 1);
}

static inline void test_close(void *user, void *closed)
{
    struct test_connector *connector = user;
    struct test_connection *connection = closed;
    if (connection == NULL || atomic_exchange(&connection->magic, 0) != TEST_ALIVE ||
        atomic_load(&connection->users) != 0) {
        atomic_fetch_add(&connector->wrong, 1);
        return;
    }
    atomic_fetch_add(&connector->closed, 1);
    free(connection);
}

static inline void test_log(void *user, enum bp_log_level level, const char *text)
{
    struct test_connector *connector = user;
    (void)level;
    size_t size = strlen(text);
    size_t at = atomic_fetch_add(&connector->log_size, size + 1);
    if (at + size + 1 < sizeof(connector->log)) {
        memcpy(connector->log + at, text, size);
        connector->log[at + size] = '\n';
    }
}

static inline void test_done(void *user)
{
    struct test_connector *connector = user;
    atomic_fetch_add(&connector->done, 1);
}

static inline struct bp_connector test_connector(struct test_connector *connector)
{
    return (struct bp_connector){
        .struct_size = sizeof(struct bp_connector),
        .user = connector,
        .open = test_open,
        .check = test_check,
        .close = test_close,
        .done = test_done,
        .returned = connector->has_returned ? test_returned : NULL,
    };
}

/* A pool of `links`, all of which are open. */
static inline struct bp_pool *test_pool(struct test_connector *connector, unsigned links)
{
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = links;
    config.idle_min = links;
    config.log = test_log;
    config.log_user = connector;
    struct bp_connector functions = test_connector(connector);
    struct bp_pool *pool;
    if (bp_pool_new(&config, &functions, &pool) != 0) {
        return NULL;
    }
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    for (int i = 0; i < 5000; i++) {
        if (bp_pool_get_stats(pool, &stats) != 0 || stats.idle == links) {
            break;
        }
        test_sleep_us(1000);
    }
    return pool;
}

static inline struct bp_pool_stats test_stats(struct bp_pool *pool)
{
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    if (bp_pool_get_stats(pool, &stats) != 0) {
        stats.open = UINT32_MAX;
    }
    return stats;
}

/* Waits until the number is `wanted`, or 10 s. */
static inline bool test_await(const atomic_uint *number, unsigned wanted)
{
    for (int i = 0; i < 10000 && atomic_load(number) != wanted; i++) {
        test_sleep_us(1000);
    }
    return atomic_load(number) == wanted;
}

/* One user of a connection at a time. False: two had it. */
static inline int test_use(struct bp_lease *lease, unsigned us)
{
    struct test_connection *connection = bp_lease_connection(lease);
    if (connection == NULL || atomic_load(&connection->magic) != TEST_ALIVE) {
        return 0;
    }
    unsigned users = atomic_fetch_add(&connection->users, 1);
    if (us > 0) {
        test_sleep_us(us);
    }
    atomic_fetch_sub(&connection->users, 1);
    return users == 0;
}

#endif
