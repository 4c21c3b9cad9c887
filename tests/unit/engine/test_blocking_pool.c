/* Shows what a program sees of the pool: leases that are one caller's at a time, time-outs, deadlines, classes,
 * connectors that fail, hang and are slow, misuse, the end while others wait, a fork, several pools at once.
 */
#include "leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Waits until so many wait in the pool. */
static void await_waiters(struct bp_pool *pool, unsigned count)
{
    for (int i = 0; i < 5000 && test_stats(pool).waiting != count; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).waiting, count);
}

/* A thread that asks once, holds, and gives back. */
struct asker {
    struct bp_pool *pool;
    struct bp_operation operation;
    bp_usec timeout_us;
    unsigned hold_us;
    int error;
    bp_usec waited_us;
    pthread_t thread;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct bp_lease *lease;
    bp_usec begin_us = bp_now_us();
    asker->error = bp_pool_acquire(asker->pool, &asker->operation, asker->timeout_us, &lease);
    asker->waited_us = bp_now_us() - begin_us;
    if (asker->error == 0) {
        test_sleep_us(asker->hold_us);
        (void)bp_pool_release(lease, BP_OUTCOME_OK);
    }
    return NULL;
}

static void asker_start(struct asker *asker, struct bp_pool *pool, bp_usec timeout_us)
{
    *asker = (struct asker){.pool = pool, .timeout_us = timeout_us};
    asker->operation = (struct bp_operation)BP_OPERATION_INIT;
    assert_int_equal(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

/* ---- leases ---- */

static void a_lease_has_a_connection_until_it_is_released(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *first = take(pool);
    struct bp_lease *second = take(pool);
    assert_non_null(bp_lease_connection(first));
    assert_ptr_not_equal(bp_lease_connection(first), bp_lease_connection(second));
    assert_int_equal(test_stats(pool).active, 2);
    assert_int_equal(bp_pool_release(first, BP_OUTCOME_OK), 0);
    assert_null(bp_lease_connection(first));
    assert_int_equal(bp_pool_release(second, BP_OUTCOME_OK), 0);
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.idle, 2);
    assert_int_equal(stats.acquired, 2);
    assert_int_equal(stats.returned, 2);
    end(pool, &connector);
}

static void a_lease_given_back_twice_is_refused_and_harms_nobody(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_lease *stale = take(pool);
    assert_int_equal(bp_pool_release(stale, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_release(stale, BP_OUTCOME_OK), BP_E_USAGE);
    for (int i = 0; i < 60; i++) {
        struct bp_lease *lease = take(pool);
        assert_int_equal(bp_pool_release(stale, BP_OUTCOME_BROKEN), BP_E_USAGE);
        assert_null(bp_lease_connection(stale));
        assert_true(test_use(lease, 0));
        assert_int_equal(bp_pool_release(lease, i % 2 ? BP_OUTCOME_OK : BP_OUTCOME_ERROR), 0);
    }
    assert_int_equal(bp_pool_release(NULL, BP_OUTCOME_OK), BP_E_USAGE);
    assert_null(bp_lease_connection(NULL));
#ifndef NDEBUG
    assert_non_null(strstr(connector.log, "released twice"));
#endif
    end(pool, &connector);
}

static void of_two_threads_that_release_a_lease_one_succeeds(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(release_by_two(take(pool)), 1);
    }
    assert_int_equal(test_stats(pool).idle, 1);
    end(pool, &connector);
}

static void calls_that_make_no_sense_are_usage_errors(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_lease *lease;
    struct bp_operation operation = {0};
    assert_int_equal(bp_pool_acquire(NULL, NULL, 0, &lease), BP_E_USAGE);
    assert_int_equal(bp_pool_acquire(pool, NULL, 0, NULL), BP_E_USAGE);
    assert_int_equal(bp_pool_acquire(pool, &operation, 0, &lease), BP_E_USAGE);
    operation = (struct bp_operation)BP_OPERATION_INIT;
    operation.work = (enum bp_work)99;
    assert_int_equal(bp_pool_acquire(pool, &operation, 0, &lease), BP_E_USAGE);
    struct bp_pool_stats stats = {0};
    assert_int_equal(bp_pool_get_stats(pool, &stats), BP_E_USAGE);
    end(pool, &connector);
    bp_pool_free(NULL);
}

static void a_configuration_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_connector functions = test_connector(&connector);
    struct bp_pool *pool;
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = 0;
    config.log = test_log;
    config.log_user = &connector;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), BP_E_CONFIG);
    assert_non_null(strstr(connector.log, "links_max"));
    bp_pool_config_init(&config);
    config.classes[0].min = config.classes[1].min = 26;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), BP_E_CONFIG);
    bp_pool_config_init(&config);
    config.struct_size = 1;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), BP_E_CONFIG);
    bp_pool_config_init(&config);
    functions.open = NULL;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), BP_E_CONFIG);
}

static void more_idle_ones_than_there_may_be_are_as_many_as_there_may(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_connector functions = test_connector(&connector);
    struct bp_pool *pool;
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = 2; /* idle_min is 5 */
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    for (int i = 0; i < 5000 && test_stats(pool).idle < 2; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).idle, 2);
    end(pool, &connector);
}

static void work_belongs_to_its_class(void **state)
{
    (void)state;
    enum bp_priority normal = BP_PRIORITY_NORMAL;
    assert_int_equal(bp_work_class(BP_WORK_INHERITANCE_CHAIN_READ, normal), BP_CLASS_READ_ONLY);
    assert_int_equal(bp_work_class(BP_WORK_PROPERTY_RESOLUTION_READ, normal), BP_CLASS_READ_ONLY);
    assert_int_equal(bp_work_class(BP_WORK_CONCEPT_CREATION, normal), BP_CLASS_READ_WRITE);
    assert_int_equal(bp_work_class(BP_WORK_CONCEPT_UPDATE, BP_PRIORITY_HIGH), BP_CLASS_READ_WRITE);
    assert_int_equal(bp_work_class(BP_WORK_BULK_ANALYTICS, normal), BP_CLASS_ANALYTICS);
    assert_int_equal(bp_work_class(BP_WORK_GRAPH_TRAVERSAL, normal), BP_CLASS_ANALYTICS);
    assert_int_equal(bp_work_class(BP_WORK_MAINTENANCE_OPERATION, normal), BP_CLASS_MAINTENANCE);
    assert_int_equal(bp_work_class(BP_WORK_CRITICAL_OPERATION, normal), BP_CLASS_HIGH_PRIORITY);
    assert_int_equal(bp_work_class(BP_WORK_INHERITANCE_CHAIN_READ, BP_PRIORITY_HIGH),
                     BP_CLASS_HIGH_PRIORITY);
    for (unsigned i = 0; i < BP_WORK_COUNT; i++) {
        enum bp_work work;
        assert_true(bp_work_parse(bp_work_name((enum bp_work)i), &work));
        assert_int_equal(work, i);
    }
    enum bp_work work;
    assert_false(bp_work_parse("nothing", &work));
    assert_null(bp_class_name((enum bp_class)BP_CLASS_COUNT));
}

/* ---- waiting ---- */

static void who_waits_too_long_is_told_why(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.name = "nightly";
    operation.work = BP_WORK_CONCEPT_UPDATE;
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &lease), 0);
    test_sleep_us(2000);
    struct bp_refusal refusal;
    struct bp_operation other = BP_OPERATION_INIT;
    other.reterr_refusal = &refusal;
    struct bp_lease *none = NULL;
    assert_int_equal(bp_pool_acquire(pool, &other, 0, &none), BP_E_QUEUE_TIMEOUT);
    bp_usec begin_us = bp_now_us();
    assert_int_equal(bp_pool_acquire(pool, &other, 30000, &none), BP_E_QUEUE_TIMEOUT);
    bp_usec took_us = bp_now_us() - begin_us;
    assert_in_range(took_us, 30000, 1000000);
    assert_null(none);
    assert_int_equal(refusal.error, BP_E_QUEUE_TIMEOUT);
    assert_int_equal(refusal.limit, 1);
    assert_in_range(refusal.waited_us, 29000, 1000000);
    assert_non_null(strstr(refusal.text, "nightly"));
    assert_non_null(strstr(refusal.text, "links_max = 1"));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    assert_int_equal(test_stats(pool).waiting, 0);
    end(pool, &connector);
}

static void a_released_connection_reaches_who_waits(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    for (int i = 0; i < 50; i++) {
        struct bp_lease *lease = take(pool);
        struct asker askers[3];
        for (size_t j = 0; j < ARRAY_SIZE(askers); j++) {
            asker_start(&askers[j], pool, 10 * BP_USEC_PER_SECOND);
        }
        await_waiters(pool, 3);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
        for (size_t j = 0; j < ARRAY_SIZE(askers); j++) {
            pthread_join(askers[j].thread, NULL);
            assert_int_equal(askers[j].error, 0);
        }
    }
    end(pool, &connector);
}

static void what_was_kept_by_one_class_reaches_another(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    for (int i = 0; i < 300; i++) {
        struct bp_operation operation = BP_OPERATION_INIT;
        operation.work = (enum bp_work)(i % BP_WORK_COUNT);
        operation.tenant = i % 3 == 0 ? "somebody" : NULL;
        struct bp_lease *lease;
        assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &lease), 0);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.acquired, 300);
    assert_int_equal(stats.returned, 300);
    assert_int_equal(stats.created, 1);
    uint64_t granted = 0;
    for (unsigned i = 0; i < BP_CLASS_COUNT; i++) {
        assert_true(stats.classes[i].granted > 0);
        granted += stats.classes[i].granted;
    }
    assert_int_equal(granted, 300);
    end(pool, &connector);
}

static void a_full_queue_and_a_hopeless_deadline_are_refused_at_once(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 1;
    config.classes[BP_CLASS_READ_WRITE].waiting_max = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    for (int i = 0; i < 20; i++) {
        struct bp_lease *lease = take(pool);
        test_sleep_us(5000);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    }
    struct bp_lease *lease = take(pool);
    struct bp_refusal refusal;
    struct bp_lease *none;
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.reterr_refusal = &refusal;
    operation.deadline_us = bp_now_us() + 1000;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &none), BP_E_HOPELESS);
    assert_true(refusal.estimate_us > 0);
    assert_non_null(strstr(refusal.text, "deadline"));
    struct asker asker;
    asker_start(&asker, pool, 10 * BP_USEC_PER_SECOND);
    await_waiters(pool, 1);
    operation.deadline_us = 0;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &none), BP_E_FULL);
    assert_int_equal(refusal.limit, 1);
    assert_non_null(strstr(refusal.text, "waiting_max = 1"));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    pthread_join(asker.thread, NULL);
    assert_int_equal(asker.error, 0);
    assert_int_equal(test_stats(pool).classes[BP_CLASS_READ_WRITE].refused, 2);
    end(pool, &connector);
}

static void a_class_at_its_cap_waits_and_others_pass(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 4;
    config.classes[BP_CLASS_ANALYTICS].max = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct bp_operation operation = BP_OPERATION_INIT;
    struct bp_refusal refusal;
    operation.work = BP_WORK_BULK_ANALYTICS;
    operation.reterr_refusal = &refusal;
    struct bp_lease *first;
    struct bp_lease *none;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &first), 0);
    assert_int_equal(bp_pool_acquire(pool, &operation, 10000, &none), BP_E_QUEUE_TIMEOUT);
    assert_non_null(strstr(refusal.text, "max = 1 of class analytics"));
    struct bp_lease *second = take(pool);
    assert_int_equal(bp_pool_release(second, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_release(first, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &first), 0);
    assert_int_equal(bp_pool_release(first, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

static void a_minimum_is_there_for_its_class(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 3;
    config.lend_max_hold_us = 0;
    config.classes[BP_CLASS_HIGH_PRIORITY].min = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct bp_lease *first = take(pool);
    struct bp_lease *second = take(pool);
    struct bp_lease *third;
    assert_int_equal(bp_pool_acquire(pool, NULL, 20000, &third), BP_E_QUEUE_TIMEOUT);
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = BP_WORK_CRITICAL_OPERATION;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_USEC_PER_SECOND, &third), 0);
    assert_int_equal(bp_pool_release(first, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_release(second, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_release(third, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

/* ---- connectors ---- */

static void connections_are_opened_in_parallel_but_bounded(void **state)
{
    (void)state;
    struct test_connector connector = {.open_us = 20000};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 12;
    config.connects_max = 4;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    for (int i = 0; i < 3000 && test_stats(pool).idle < 12; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.opened), 12);
    assert_in_range(atomic_load(&connector.opening_max), 2, 4);
    end(pool, &connector);
}

static void a_connector_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct test_connector connector = {.open_error = -ECONNREFUSED};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = 2;
    config.idle_min = 0;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct bp_refusal refusal;
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.reterr_refusal = &refusal;
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, &operation, 50000, &lease), BP_E_QUEUE_TIMEOUT);
    assert_int_equal(refusal.open_error, -ECONNREFUSED);
    assert_non_null(strstr(refusal.text, "told to fail"));
    atomic_store(&connector.open_error, 0);
    assert_int_equal(bp_pool_acquire(pool, NULL, 10 * BP_USEC_PER_SECOND, &lease), 0);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    assert_true(test_stats(pool).create_failed > 0);
    end(pool, &connector);
}

static void an_error_that_no_retry_helps_against_fails_all_waiters(void **state)
{
    (void)state;
    struct test_connector connector = {.open_us = 50000, .open_error = BP_E_SERVER_FAILURE};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = 2;
    config.idle_min = 0;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct asker askers[20];
    for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
        asker_start(&askers[i], pool, 20 * BP_USEC_PER_SECOND);
    }
    for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].error, BP_E_SERVER_FAILURE);
        assert_in_range(askers[i].waited_us, 0, 10 * BP_USEC_PER_SECOND);
    }
    end(pool, &connector);
}

static void a_connector_that_hangs_holds_up_nobody_longer_than_they_wait(void **state)
{
    (void)state;
    struct test_connector connector = {.hangs = true};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = 3;
    config.idle_min = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, NULL, 50000, &lease), BP_E_QUEUE_TIMEOUT);
    /* Stopping says that calls are under way; they end, and with them the pool. */
    assert_int_equal(bp_pool_stop(pool, 50000), -ETIMEDOUT);
    assert_int_equal(bp_pool_acquire(pool, NULL, 50000, &lease), BP_E_CLOSED);
    atomic_store(&connector.hangs, false);
    end(pool, &connector);
}

static void a_broken_connection_is_closed_and_replaced(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *lease = take(pool);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_BROKEN), 0);
    for (int i = 0; i < 5000 && atomic_load(&connector.opened) < 3; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.opened), 3);
    assert_int_equal(atomic_load(&connector.closed), 1);
    assert_int_equal(test_stats(pool).closed_unhealthy, 1);
    for (int i = 0; i < 3; i++) {
        lease = take(pool);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_ERROR), 0);
    }
    for (int i = 0; i < 5000 && test_stats(pool).closed_unhealthy < 2; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).closed_unhealthy, 2);
    end(pool, &connector);
}

static void a_silent_connection_is_checked_before_use_and_one_that_fails_is_replaced(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = 1;
    config.idle_min = 1;
    config.check_after_us = 20000;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    /* Kept leases come home within two looks of a second. */
    test_sleep_us(2300000);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_in_range(atomic_load(&connector.checked), 1, 2);
    test_sleep_us(2300000);
    atomic_store(&connector.check_error, BP_E_SERVER_LOST);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_int_equal(atomic_load(&connector.opened), 2);
    assert_int_equal(test_stats(pool).closed_unhealthy, 1);
    end(pool, &connector);
}

/* ---- the whole ---- */

static void a_lease_held_too_long_is_reported_once(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config;
    struct bp_connector functions = test_connector(&connector);
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 2;
    config.leak_report_after_us = 30000;
    config.log = test_log;
    config.log_user = &connector;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.name = "forgotten";
    operation.work = BP_WORK_GRAPH_TRAVERSAL;
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, &operation, BP_WAIT_DEFAULT, &lease), 0);
    struct bp_lease *other = take(pool);
    struct bp_lease_info infos[4];
    assert_int_equal(bp_pool_leases(pool, infos, ARRAY_SIZE(infos)), 2);
    assert_int_equal(bp_pool_leases(pool, NULL, 0), 2);
    assert_int_equal(infos[0].work, BP_WORK_CONCEPT_CREATION - BP_WORK_CONCEPT_CREATION);
    assert_string_equal(infos[1].name, "forgotten");
    assert_int_equal(infos[1].work, BP_WORK_GRAPH_TRAVERSAL);
    assert_int_equal(infos[1].class_, BP_CLASS_ANALYTICS);
    assert_int_equal(infos[1].thread, gettid());
    assert_int_equal(bp_pool_release(other, BP_OUTCOME_OK), 0);
    for (int i = 0; i < 5000 && test_stats(pool).leaks_reported == 0; i++) {
        test_sleep_us(1000);
    }
    test_sleep_us(100000);
    assert_int_equal(test_stats(pool).leaks_reported, 1);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, &connector);
    assert_non_null(strstr(connector.log, "graph_traversal forgotten"));
}

static void nothing_is_granted_while_paused(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_pause(pool), 0);
    struct bp_refusal refusal;
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.reterr_refusal = &refusal;
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, &operation, 20000, &lease), BP_E_QUEUE_TIMEOUT);
    assert_non_null(strstr(refusal.text, "paused"));
    struct asker asker;
    asker_start(&asker, pool, 10 * BP_USEC_PER_SECOND);
    await_waiters(pool, 1);
    assert_int_equal(bp_pool_resume(pool), 0);
    pthread_join(asker.thread, NULL);
    assert_int_equal(asker.error, 0);
    end(pool, &connector);
}

static void reconnect_makes_all_connections_new(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 3);
    struct bp_lease *lease = take(pool);
    assert_int_equal(bp_pool_reconnect(pool), 0);
    for (int i = 0; i < 5000 && atomic_load(&connector.closed) < 2; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.closed), 2);
    assert_true(test_use(lease, 0));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    for (int i = 0; i < 5000 && atomic_load(&connector.closed) < 3; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.closed), 3);
    end(pool, &connector);
}

static void draining_serves_who_waits_and_refuses_who_comes(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_lease *lease = take(pool);
    struct asker asker;
    asker_start(&asker, pool, 10 * BP_USEC_PER_SECOND);
    await_waiters(pool, 1);
    assert_int_equal(bp_pool_drain(pool, 20000), -ETIMEDOUT);
    struct bp_lease *none;
    assert_int_equal(bp_pool_acquire(pool, NULL, BP_WAIT_DEFAULT, &none), BP_E_DRAINING);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_drain(pool, 10 * BP_USEC_PER_SECOND), 0);
    pthread_join(asker.thread, NULL);
    assert_int_equal(asker.error, 0);
    end(pool, &connector);
}

static void who_waits_is_told_that_the_pool_stops(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_lease *lease = take(pool);
    struct asker askers[40];
    for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
        asker_start(&askers[i], pool, 20 * BP_USEC_PER_SECOND);
    }
    await_waiters(pool, ARRAY_SIZE(askers));
    assert_int_equal(bp_pool_stop(pool, 10000), -ETIMEDOUT);
    for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].error, BP_E_CLOSED);
    }
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

static void a_lease_outlives_its_pool(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *lease = take(pool);
    bp_pool_free(pool);
    assert_true(test_use(lease, 0));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    /* The last helper frees the pool. */
    for (int i = 0; i < 5000 && atomic_load(&connector.done) == 0; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.done), 1);
    assert_int_equal(atomic_load(&connector.closed), 2);
}

static void a_forked_child_is_told_so(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *lease = take(pool);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bp_lease *none;
        struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
        bool good = bp_pool_acquire(pool, NULL, 0, &none) == BP_E_USAGE &&
                    bp_pool_release(lease, BP_OUTCOME_OK) == BP_E_USAGE &&
                    bp_lease_connection(lease) == NULL && bp_pool_stop(pool, 0) == BP_E_USAGE &&
                    bp_pool_get_stats(pool, &stats) == BP_E_USAGE;
        bp_pool_free(pool);
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(test_use(lease, 0));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

static void each_class_has_its_part_of_the_figures(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = BP_WORK_BULK_ANALYTICS;
    for (int i = 0; i < 20; i++) {
        struct bp_lease *lease;
        assert_int_equal(bp_pool_acquire(pool, i % 4 ? NULL : &operation, 1000000, &lease), 0);
        test_sleep_us(2000);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    }
    struct bp_lease *out;
    assert_int_equal(bp_pool_acquire(pool, &operation, 1000000, &out), 0);
    struct bp_pool_stats stats = test_stats(pool);
    const struct bp_wait_stats *analytics = &stats.classes[BP_CLASS_ANALYTICS];
    const struct bp_wait_stats *read_write = &stats.classes[BP_CLASS_READ_WRITE];
    assert_int_equal(analytics->granted, 6);
    assert_int_equal(analytics->returned, 5);
    assert_int_equal(analytics->active, 1);
    assert_int_equal(read_write->returned, 15);
    assert_int_equal(stats.returned, 20);
    assert_true(analytics->utilisation > 0 && read_write->utilisation > analytics->utilisation);
    double sum = analytics->utilisation + read_write->utilisation - stats.utilisation;
    assert_true(sum > -1e-9 && sum < 1e-9);
    assert_int_equal(bp_pool_release(out, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

static void figures_add_up(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 2);
    for (int i = 0; i < 20; i++) {
        struct bp_lease *lease = take(pool);
        test_sleep_us(2000);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.open, 2);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].granted, 20);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].p99_us, 0);
    /* One of two connections was busy nearly all of the time, but for how the pool began. */
    assert_true(stats.utilisation > 0.1 && stats.utilisation < 0.6);
    struct bp_lease *leases[2] = {take(pool), take(pool)};
    struct asker asker;
    asker_start(&asker, pool, 10 * BP_USEC_PER_SECOND);
    await_waiters(pool, 1);
    test_sleep_us(20000);
    assert_int_equal(bp_pool_release(leases[0], BP_OUTCOME_OK), 0);
    assert_int_equal(bp_pool_release(leases[1], BP_OUTCOME_OK), 0);
    pthread_join(asker.thread, NULL);
    stats = test_stats(pool);
    assert_in_range(stats.classes[BP_CLASS_READ_WRITE].max_us, 20000, 5000000);
    assert_in_range(stats.classes[BP_CLASS_READ_WRITE].p999_us, 20000, 5000000);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].p50_us, 0);
    end(pool, &connector);
}

/* ---- many threads ---- */

#define CROWD 64

struct member {
    struct bp_pool *pools[2];
    uint32_t random;
    unsigned turns;
    atomic_uint *trouble;
    uint64_t granted, refused;
    pthread_t thread;
};

static uint32_t next_random(struct member *member)
{
    member->random ^= member->random << 13;
    member->random ^= member->random >> 17;
    member->random ^= member->random << 5;
    return member->random;
}

static const char *const tenants[] = {NULL, "red", "green", "blue"};
static const char *const names[] = {NULL, NULL, "report",
                                    "a name that is far longer than what is kept of it"};

static void member_turn(struct member *member)
{
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = (enum bp_work)(next_random(member) % BP_WORK_COUNT);
    operation.priority = (enum bp_priority)(next_random(member) % 4);
    operation.tenant = tenants[next_random(member) % 4];
    operation.name = names[next_random(member) % 4];
    if (next_random(member) % 8 == 0) {
        operation.deadline_us = bp_now_us() + next_random(member) % 20000;
    }
    struct bp_refusal refusal;
    operation.reterr_refusal = next_random(member) % 4 == 0 ? &refusal : NULL;
    bool is_plain = next_random(member) % 2 == 0;
    bp_usec timeout_us =
        next_random(member) % 4 == 0 ? next_random(member) % 5000 : 20 * BP_USEC_PER_SECOND;
    struct bp_lease *lease;
    struct bp_pool *pool = member->pools[next_random(member) % 2];
    int error = bp_pool_acquire(pool, is_plain ? NULL : &operation, timeout_us, &lease);
    if (error != 0) {
        member->refused++;
        if (error != BP_E_QUEUE_TIMEOUT && error != BP_E_HOPELESS) {
            atomic_fetch_add(member->trouble, 1);
        }
        return;
    }
    member->granted++;
    if (!test_use(lease, next_random(member) % 16 == 0 ? next_random(member) % 500 : 0)) {
        atomic_fetch_add(member->trouble, 1);
    }
    uint32_t dice = next_random(member) % 64;
    enum bp_outcome outcome = dice == 0  ? BP_OUTCOME_BROKEN
                              : dice < 4 ? BP_OUTCOME_ERROR
                                         : BP_OUTCOME_OK;
    if (bp_pool_release(lease, outcome) != 0) {
        atomic_fetch_add(member->trouble, 1);
    }
}

static void *run_member(void *argument)
{
    struct member *member = argument;
    for (unsigned i = 0; i < member->turns; i++) {
        member_turn(member);
    }
    return NULL;
}

static void a_crowd_shares_two_pools(void **state)
{
    (void)state;
    struct test_connector connectors[2] = {{.open_us = 500}, {.open_us = 100}};
    struct bp_pool *pools[2] = {test_pool(&connectors[0], 8), test_pool(&connectors[1], 3)};
    static struct member members[CROWD];
    atomic_uint trouble = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){.pools = {pools[0], pools[1]},
                                     .random = 2463534242U + i * 7919U,
                                     .turns = 500,
                                     .trouble = &trouble};
        assert_int_equal(pthread_create(&members[i].thread, NULL, run_member, &members[i]), 0);
    }
    /* Meanwhile everything else happens, too. */
    for (int i = 0; i < 20; i++) {
        test_sleep_us(5000);
        struct bp_lease_info infos[4];
        assert_true(bp_pool_leases(pools[i % 2], infos, ARRAY_SIZE(infos)) >= 0);
        assert_in_range(test_stats(pools[0]).open, 0, 8);
        assert_int_equal(i % 3 == 0   ? bp_pool_pause(pools[0])
                         : i % 3 == 1 ? bp_pool_resume(pools[0])
                                      : bp_pool_reconnect(pools[1]),
                         0);
    }
    assert_int_equal(bp_pool_resume(pools[0]), 0);
    uint64_t granted = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(members[i].thread, NULL);
        granted += members[i].granted;
    }
    assert_int_equal(atomic_load(&trouble), 0);
    struct bp_pool_stats first = test_stats(pools[0]);
    struct bp_pool_stats second = test_stats(pools[1]);
    assert_int_equal(first.acquired + second.acquired, granted);
    assert_int_equal(first.returned + second.returned, granted);
    assert_int_equal(first.active + second.active, 0);
    end(pools[0], &connectors[0]);
    end(pools[1], &connectors[1]);
}

static void *run_until_closed(void *argument)
{
    struct member *member = argument;
    struct bp_lease *lease;
    int error;
    while ((error = bp_pool_acquire(member->pools[0], NULL, BP_WAIT_DEFAULT, &lease)) == 0) {
        if (!test_use(lease, 0) || bp_pool_release(lease, BP_OUTCOME_OK) != 0) {
            atomic_fetch_add(member->trouble, 1);
        }
    }
    if (error != BP_E_CLOSED) {
        atomic_fetch_add(member->trouble, 1);
    }
    return NULL;
}

static void a_pool_stops_under_load(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct test_connector connector = {0};
        struct bp_pool *pool = test_pool(&connector, 3);
        static struct member members[16];
        atomic_uint trouble = 0;
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
            members[i] = (struct member){.pools = {pool, pool}, .trouble = &trouble};
            assert_int_equal(
                pthread_create(&members[i].thread, NULL, run_until_closed, &members[i]), 0);
        }
        test_sleep_us(20000);
        assert_int_equal(bp_pool_stop(pool, 10 * BP_USEC_PER_SECOND), 0);
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
            pthread_join(members[i].thread, NULL);
        }
        assert_int_equal(atomic_load(&trouble), 0);
        end(pool, &connector);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_has_a_connection_until_it_is_released),
        cmocka_unit_test(a_lease_given_back_twice_is_refused_and_harms_nobody),
        cmocka_unit_test(of_two_threads_that_release_a_lease_one_succeeds),
        cmocka_unit_test(calls_that_make_no_sense_are_usage_errors),
        cmocka_unit_test(a_configuration_that_makes_no_sense_is_refused),
        cmocka_unit_test(more_idle_ones_than_there_may_be_are_as_many_as_there_may),
        cmocka_unit_test(work_belongs_to_its_class),
        cmocka_unit_test(who_waits_too_long_is_told_why),
        cmocka_unit_test(a_released_connection_reaches_who_waits),
        cmocka_unit_test(what_was_kept_by_one_class_reaches_another),
        cmocka_unit_test(a_full_queue_and_a_hopeless_deadline_are_refused_at_once),
        cmocka_unit_test(a_class_at_its_cap_waits_and_others_pass),
        cmocka_unit_test(a_minimum_is_there_for_its_class),
        cmocka_unit_test(connections_are_opened_in_parallel_but_bounded),
        cmocka_unit_test(a_connector_that_fails_is_tried_again),
        cmocka_unit_test(an_error_that_no_retry_helps_against_fails_all_waiters),
        cmocka_unit_test(a_connector_that_hangs_holds_up_nobody_longer_than_they_wait),
        cmocka_unit_test(a_broken_connection_is_closed_and_replaced),
        cmocka_unit_test(a_silent_connection_is_checked_before_use_and_one_that_fails_is_replaced),
        cmocka_unit_test(a_lease_held_too_long_is_reported_once),
        cmocka_unit_test(nothing_is_granted_while_paused),
        cmocka_unit_test(reconnect_makes_all_connections_new),
        cmocka_unit_test(draining_serves_who_waits_and_refuses_who_comes),
        cmocka_unit_test(who_waits_is_told_that_the_pool_stops),
        cmocka_unit_test(a_lease_outlives_its_pool),
        cmocka_unit_test(a_forked_child_is_told_so),
        cmocka_unit_test(each_class_has_its_part_of_the_figures),
        cmocka_unit_test(figures_add_up),
        cmocka_unit_test(a_crowd_shares_two_pools),
        cmocka_unit_test(a_pool_stops_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
