/* Shows how connections come back: what the connector says of it counts, once for each lease; one that is unclean
 * is checked before anybody gets it, while its lease is over and the limits hold; what happens to it when the check
 * fails or hangs, and when the pool is paused, drained, stopped and freed meanwhile.
 */
#include "leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_US           (20 * BP_USEC_PER_SECOND)

static void answer(struct test_connector *connector, enum bp_outcome outcome)
{
    atomic_store(&connector->returned_as, (int)outcome + 1);
}

static struct bp_pool *pool_of(struct test_connector *connector,
                               const struct bp_pool_config *config)
{
    struct bp_connector functions = test_connector(connector);
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(config, &functions, &pool), 0);
    return pool;
}

/* A thread that asks, and gives back clean. */
struct asker {
    struct bp_pool *pool;
    int error;
    pthread_t thread;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    struct bp_lease *lease;
    asker->error = bp_pool_acquire(asker->pool, NULL, LONG_US, &lease);
    if (asker->error == 0) {
        asker->error = test_use(lease, 0) ? bp_pool_release(lease, BP_OUTCOME_OK) : BP_E_INTERNAL;
    }
    return NULL;
}

static void askers_start(struct asker *askers, size_t count, struct bp_pool *pool)
{
    for (size_t i = 0; i < count; i++) {
        askers[i] = (struct asker){.pool = pool};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 5000 && test_stats(pool).waiting != count; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).waiting, count);
}

static void askers_join(struct asker *askers, size_t count, int error)
{
    for (size_t i = 0; i < count; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].error, error);
    }
}

/* ---- the connector is asked ---- */

static void the_connector_is_asked_once_for_each_lease(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true};
    struct bp_pool *pool = test_pool(&connector, 2);
    for (unsigned i = 1; i <= 300; i++) {
        struct bp_operation operation = BP_OPERATION_INIT;
        operation.work = (enum bp_work)(i % BP_WORK_COUNT);
        operation.tenant = i % 3 == 0 ? "somebody" : NULL;
        struct bp_lease *lease;
        assert_int_equal(bp_pool_acquire(pool, i % 2 ? NULL : &operation, LONG_US, &lease), 0);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
        assert_int_equal(atomic_load(&connector.returned), i);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_BROKEN), BP_E_USAGE);
        assert_int_equal(atomic_load(&connector.returned), i);
        assert_null(bp_lease_connection(lease));
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.returned, 300);
    assert_int_equal(stats.created, 2);
    end(pool, &connector);
}

static void what_the_connector_says_counts(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    /* OK becomes BROKEN. */
    answer(&connector, BP_OUTCOME_BROKEN);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_true(test_await(&connector.opened, 2));
    assert_int_equal(test_stats(pool).closed_unhealthy, 1);
    /* OK becomes ERROR, of which three are too many. */
    answer(&connector, BP_OUTCOME_ERROR);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    }
    assert_true(test_await(&connector.opened, 3));
    assert_int_equal(test_stats(pool).closed_unhealthy, 2);
    /* BROKEN becomes OK. */
    answer(&connector, BP_OUTCOME_OK);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_BROKEN), 0);
    /* OK becomes UNCLEAN. */
    assert_int_equal(atomic_load(&connector.checked), 0);
    answer(&connector, BP_OUTCOME_UNCLEAN);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_true(test_await(&connector.checked, 1));
    /* What isn't an outcome is no good. */
    answer(&connector, (enum bp_outcome)99);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_true(test_await(&connector.opened, 4));
    assert_int_equal(test_stats(pool).closed_unhealthy, 3);
    end(pool, &connector);
}

static void of_two_threads_that_release_a_lease_the_connector_sees_one(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    for (unsigned i = 1; i <= 200; i++) {
        assert_int_equal(release_by_two(take(pool)), 1);
        assert_int_equal(atomic_load(&connector.returned), i);
    }
    end(pool, &connector);
}

struct answered {
    struct bp_lease *lease;
    struct bp_request request;
};

static void
on_answer(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct answered *answered = user;
    (void)refusal;
    assert_int_equal(error, 0);
    answered->lease = lease;
}

static void a_request_that_is_cancelled_after_its_grant_gives_back_like_a_release(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    struct bp_mailbox *mailbox;
    assert_int_equal(bp_mailbox_new(pool, &mailbox), 0);
    struct answered answered;
    assert_int_equal(bp_pool_acquire_async(pool, mailbox, NULL, LONG_US, on_answer, &answered,
                                           &answered.request),
                     0);
    answer(&connector, BP_OUTCOME_UNCLEAN);
    assert_int_equal(bp_request_cancel(&answered.request), 0);
    assert_true(test_await(&connector.checked, 1));
    assert_int_equal(atomic_load(&connector.returned), 1);
    assert_int_equal(bp_mailbox_free(mailbox), 0);
    end(pool, &connector);
}

/* ---- unclean ---- */

static void the_lease_of_an_unclean_connection_is_over_at_once(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *lease = take(pool);
    test_sleep_us(20000);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checking, 1));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), BP_E_USAGE);
    assert_null(bp_lease_connection(lease));
    assert_int_equal(bp_pool_leases(pool, NULL, 0), 0);
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.checking, 1);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(stats.open, 2);
    assert_int_equal(stats.returned, 1);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].active, 0);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].returned, 1);
    double busy_us = stats.utilisation * 2 * (double)stats.age_us;
    test_sleep_us(200000);
    stats = test_stats(pool);
    /* What it takes to clean it is nobody's use. */
    assert_true(stats.utilisation * 2 * (double)stats.age_us < busy_us + 20000);
    atomic_store(&connector.check_hangs, false);
    for (int i = 0; i < 5000 && test_stats(pool).idle != 2; i++) {
        test_sleep_us(1000);
    }
    stats = test_stats(pool);
    assert_int_equal(stats.idle, 2);
    assert_int_equal(stats.checking, 0);
    assert_int_equal(stats.closed, 0);
    end(pool, &connector);
}

static void nobody_gets_it_before_it_is_clean_and_then_who_waits_does(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checking, 1));
    struct bp_refusal refusal;
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.reterr_refusal = &refusal;
    struct bp_lease *none;
    assert_int_equal(bp_pool_acquire(pool, &operation, 20000, &none), BP_E_QUEUE_TIMEOUT);
    assert_non_null(strstr(refusal.text, "1 of them being cleaned"));
    struct asker askers[5];
    askers_start(askers, ARRAY_SIZE(askers), pool);
    atomic_store(&connector.check_hangs, false);
    askers_join(askers, ARRAY_SIZE(askers), 0);
    assert_int_equal(atomic_load(&connector.opened), 1);
    end(pool, &connector);
}

static void the_cap_of_its_class_holds_while_it_is_cleaned(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 3;
    config.classes[BP_CLASS_ANALYTICS].max = 1;
    struct bp_pool *pool = pool_of(&connector, &config);
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = BP_WORK_BULK_ANALYTICS;
    struct bp_lease *lease;
    assert_int_equal(bp_pool_acquire(pool, &operation, LONG_US, &lease), 0);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_UNCLEAN), 0);
    assert_int_equal(bp_pool_acquire(pool, &operation, 20000, &lease), BP_E_QUEUE_TIMEOUT);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    atomic_store(&connector.check_hangs, false);
    assert_int_equal(bp_pool_acquire(pool, &operation, LONG_US, &lease), 0);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, &connector);
}

static void one_that_cannot_be_cleaned_is_closed_and_replaced(void **state)
{
    (void)state;
    struct test_connector connector = {.check_error = BP_E_SERVER_LOST};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    struct bp_lease *lease = take(pool);
    assert_int_equal(atomic_load(&connector.opened), 2);
    assert_int_equal(test_stats(pool).closed_unhealthy, 1);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end(pool, &connector);
    assert_non_null(strstr(connector.log, "came back unclean failed its check"));
}

static void without_a_check_it_is_closed(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_connector functions = test_connector(&connector);
    functions.check = NULL;
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_int_equal(atomic_load(&connector.opened), 2);
    assert_int_equal(test_stats(pool).closed_unhealthy, 1);
    end(pool, &connector);
}

static void cleaning_that_hangs_holds_up_no_other_connection(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 8;
    config.connects_max = 5;
    struct bp_pool *pool = pool_of(&connector, &config);
    struct bp_lease *leases[7];
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
        leases[i] = take(pool);
    }
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
        assert_int_equal(bp_pool_release(leases[i], BP_OUTCOME_UNCLEAN), 0);
    }
    assert_true(test_await(&connector.checking, 5));
    /* One is closed and another one opened, although all that check are busy. */
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_BROKEN), 0);
    assert_true(test_await(&connector.closed, 1));
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_int_equal(test_stats(pool).checking, 7);
    atomic_store(&connector.check_hangs, false);
    assert_true(test_await(&connector.checked, 7));
    assert_in_range(atomic_load(&connector.checking_max), 5, 5);
    end(pool, &connector);
}

static void it_is_not_reported_as_a_leak(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 1;
    config.leak_report_after_us = 20000;
    struct bp_pool *pool = pool_of(&connector, &config);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    test_sleep_us(200000);
    assert_int_equal(test_stats(pool).leaks_reported, 0);
    atomic_store(&connector.check_hangs, false);
    end(pool, &connector);
}

/* ---- meanwhile the pool ... ---- */

static void a_drain_waits_until_it_is_clean(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 2);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_int_equal(bp_pool_drain(pool, 20000), -ETIMEDOUT);
    atomic_store(&connector.check_hangs, false);
    assert_int_equal(bp_pool_drain(pool, 10 * BP_USEC_PER_SECOND), 0);
    end(pool, &connector);
}

static void a_stop_waits_for_the_check_that_has_begun_and_leaves_out_the_others(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 4;
    config.connects_max = 1;
    struct bp_pool *pool = pool_of(&connector, &config);
    struct bp_lease *leases[4];
    for (size_t i = 0; i < ARRAY_SIZE(leases); i++) {
        leases[i] = take(pool);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bp_pool_release(leases[i], BP_OUTCOME_UNCLEAN), 0);
    }
    assert_true(test_await(&connector.checking, 1));
    assert_int_equal(bp_pool_stop(pool, 20000), -ETIMEDOUT);
    assert_true(test_await(&connector.closed, 2));
    /* And what comes back unclean now is only closed. */
    assert_int_equal(bp_pool_release(leases[3], BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.closed, 3));
    assert_int_equal(test_stats(pool).checking, 1);
    atomic_store(&connector.check_hangs, false);
    assert_int_equal(bp_pool_stop(pool, 10 * BP_USEC_PER_SECOND), 0);
    assert_int_equal(atomic_load(&connector.checked), 1);
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.closed_unhealthy, 0);
    end(pool, &connector);
}

static void a_pool_that_is_freed_goes_when_the_check_has_ended(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true, .check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 3);
    struct bp_lease *lease = take(pool);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checking, 1));
    bp_pool_free(pool); /* doesn't wait, as a lease is out */
    assert_true(test_use(lease, 0));
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.closed, 2));
    atomic_store(&connector.check_hangs, false);
    assert_true(test_await(&connector.closed, 3));
    assert_int_equal(atomic_load(&connector.returned), 2);
    assert_true(test_await(&connector.done, 1)); /* the last helper frees the pool */
}

static void freeing_waits_for_a_check_that_behaves(void **state)
{
    (void)state;
    struct test_connector connector = {.check_us = 100000};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checking, 1));
    bp_pool_free(pool);
    assert_int_equal(atomic_load(&connector.closed), 1);
    assert_true(test_await(&connector.done, 1));
    assert_int_equal(atomic_load(&connector.wrong), 0);
}

static void what_is_cleaned_while_paused_is_granted_afterwards(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_int_equal(bp_pool_pause(pool), 0);
    struct asker asker;
    askers_start(&asker, 1, pool);
    atomic_store(&connector.check_hangs, false);
    for (int i = 0; i < 5000 && test_stats(pool).idle != 1; i++) {
        test_sleep_us(1000);
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(stats.waiting, 1);
    assert_int_equal(bp_pool_resume(pool), 0);
    askers_join(&asker, 1, 0);
    end(pool, &connector);
}

static void reconnect_closes_it_once_it_is_clean(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checking, 1));
    assert_int_equal(bp_pool_reconnect(pool), 0);
    atomic_store(&connector.check_hangs, false);
    assert_true(test_await(&connector.opened, 2));
    assert_int_equal(test_stats(pool).closed_unhealthy, 0);
    end(pool, &connector);
}

static atomic_bool in_returned;
static atomic_bool returned_may_go;

static enum bp_outcome returned_slowly(void *user, void *connection, enum bp_outcome said)
{
    (void)user;
    (void)connection;
    atomic_store(&in_returned, true);
    while (!atomic_load(&returned_may_go)) {
        test_sleep_us(100);
    }
    return said;
}

/* RECONNECT finds the lease over and the connection not yet back. */
static void a_reconnect_while_the_connector_is_asked_is_not_missed(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_connector functions = test_connector(&connector);
    functions.returned = returned_slowly;
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = 1;
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(&config, &functions, &pool), 0);
    atomic_store(&returned_may_go, true);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    struct bp_lease *lease = take(pool);
    atomic_store(&in_returned, false);
    atomic_store(&returned_may_go, false);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, release_one, lease), 0);
    while (!atomic_load(&in_returned)) {
        test_sleep_us(100);
    }
    assert_int_equal(test_stats(pool).active, 1);
    assert_int_equal(bp_pool_leases(pool, NULL, 0), 0);
    assert_int_equal(bp_pool_reconnect(pool), 0);
    atomic_store(&returned_may_go, true);
    pthread_join(thread, NULL);
    /* At once, not when upkeep looks, for leases of a second ago. */
    for (int i = 0; i < 700 && atomic_load(&connector.closed) == 0; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(atomic_load(&connector.closed), 1);
    end(pool, &connector);
}

static void a_forked_child_asks_nobody(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true, .check_us = 20000};
    struct bp_pool *pool = test_pool(&connector, 2);
    struct bp_lease *lease = take(pool);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool good = bp_pool_release(lease, BP_OUTCOME_UNCLEAN) == BP_E_USAGE &&
                    atomic_load(&connector.returned) == 1 &&
                    bp_pool_stop_maintenance(pool, BP_MAINTENANCE_ALL) == BP_E_USAGE;
        bp_pool_free(pool);
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checked, 2));
    end(pool, &connector);
}

/* ---- many threads ---- */

struct member {
    struct bp_pool *pool;
    uint32_t random;
    unsigned unclean;
    atomic_uint *trouble;
    pthread_t thread;
};

static void *run_member(void *argument)
{
    struct member *member = argument;
    for (int i = 0; i < 2000; i++) {
        struct bp_lease *lease;
        if (bp_pool_acquire(member->pool, NULL, LONG_US, &lease) != 0 || !test_use(lease, 0)) {
            atomic_fetch_add(member->trouble, 1);
            return NULL;
        }
        member->random = member->random * 1664525U + 1013904223U;
        unsigned dice = member->random >> 16;
        enum bp_outcome outcome = dice % 4 == 0 ? BP_OUTCOME_UNCLEAN : BP_OUTCOME_OK;
        member->unclean += outcome == BP_OUTCOME_UNCLEAN;
        if (bp_pool_release(lease, outcome) != 0 ||
            (dice % 16 == 1 && bp_pool_release(lease, BP_OUTCOME_UNCLEAN) != BP_E_USAGE)) {
            atomic_fetch_add(member->trouble, 1);
        }
    }
    return NULL;
}

static void a_crowd_gives_back_clean_and_unclean(void **state)
{
    (void)state;
    struct test_connector connector = {.has_returned = true};
    struct bp_pool *pool = test_pool(&connector, 4);
    static struct member members[12];
    atomic_uint trouble = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(members); i++) {
        members[i] =
            (struct member){.pool = pool, .random = 12345U + i * 7919U, .trouble = &trouble};
        assert_int_equal(pthread_create(&members[i].thread, NULL, run_member, &members[i]), 0);
    }
    unsigned unclean = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(members); i++) {
        pthread_join(members[i].thread, NULL);
        unclean += members[i].unclean;
    }
    assert_int_equal(atomic_load(&trouble), 0);
    assert_true(test_await(&connector.checked, unclean));
    for (int i = 0; i < 5000 && test_stats(pool).idle != 4; i++) {
        test_sleep_us(1000);
    }
    struct bp_pool_stats stats = test_stats(pool);
    assert_int_equal(stats.idle, 4);
    assert_int_equal(stats.acquired, ARRAY_SIZE(members) * 2000);
    assert_int_equal(stats.returned, stats.acquired);
    assert_int_equal(stats.classes[BP_CLASS_READ_WRITE].returned, stats.acquired);
    assert_int_equal(atomic_load(&connector.returned), stats.acquired);
    assert_int_equal(stats.closed, 0);
    end(pool, &connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_connector_is_asked_once_for_each_lease),
        cmocka_unit_test(what_the_connector_says_counts),
        cmocka_unit_test(of_two_threads_that_release_a_lease_the_connector_sees_one),
        cmocka_unit_test(a_request_that_is_cancelled_after_its_grant_gives_back_like_a_release),
        cmocka_unit_test(the_lease_of_an_unclean_connection_is_over_at_once),
        cmocka_unit_test(nobody_gets_it_before_it_is_clean_and_then_who_waits_does),
        cmocka_unit_test(the_cap_of_its_class_holds_while_it_is_cleaned),
        cmocka_unit_test(one_that_cannot_be_cleaned_is_closed_and_replaced),
        cmocka_unit_test(without_a_check_it_is_closed),
        cmocka_unit_test(cleaning_that_hangs_holds_up_no_other_connection),
        cmocka_unit_test(it_is_not_reported_as_a_leak),
        cmocka_unit_test(a_drain_waits_until_it_is_clean),
        cmocka_unit_test(a_stop_waits_for_the_check_that_has_begun_and_leaves_out_the_others),
        cmocka_unit_test(a_pool_that_is_freed_goes_when_the_check_has_ended),
        cmocka_unit_test(freeing_waits_for_a_check_that_behaves),
        cmocka_unit_test(what_is_cleaned_while_paused_is_granted_afterwards),
        cmocka_unit_test(reconnect_closes_it_once_it_is_clean),
        cmocka_unit_test(a_reconnect_while_the_connector_is_asked_is_not_missed),
        cmocka_unit_test(a_forked_child_asks_nobody),
        cmocka_unit_test(a_crowd_gives_back_clean_and_unclean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
