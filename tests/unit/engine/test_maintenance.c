/* Shows that each part of the maintenance runs, stops and starts again, by what a counting connector sees; and that what
 * those who take connections need goes on without it.
 */
#include "leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Nothing of a pool that was stopped runs or can be started. */
static void end_stopped(struct bp_pool *pool, struct test_connector *connector)
{
    assert_int_equal(bp_pool_stop(pool, 10 * BP_USEC_PER_SECOND), 0);
    assert_int_equal(bp_pool_maintenance(pool), 0);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_ALL), BP_E_CLOSED);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_ALL), 0);
    end(pool, connector);
}

static void await_idle(struct bp_pool *pool, unsigned count)
{
    for (int i = 0; i < 10000 && test_stats(pool).idle != count; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).idle, count);
}

/* `links` at most and kept idle; nothing ends by itself. */
static struct bp_pool_config config_of(unsigned links)
{
    struct bp_pool_config config;
    bp_pool_config_init(&config);
    config.links_max = config.idle_min = links;
    config.lifetime_us = 0;
    config.idle_timeout_us = 0;
    config.check_after_us = 0;
    config.keep_alive_us = 0;
    return config;
}

static struct bp_pool *pool_of(struct test_connector *connector,
                               const struct bp_pool_config *config)
{
    struct bp_connector functions = test_connector(connector);
    struct bp_pool *pool;
    assert_int_equal(bp_pool_new(config, &functions, &pool), 0);
    return pool;
}

static void all_parts_run_from_the_start_and_each_is_named(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool *pool = test_pool(&connector, 1);
    assert_int_equal(bp_pool_maintenance(pool), BP_MAINTENANCE_ALL);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    assert_int_equal(bp_pool_maintenance(pool), BP_MAINTENANCE_HEALTH | BP_MAINTENANCE_ANALYSIS);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_ALL), 0);
    assert_int_equal(bp_pool_maintenance(pool), 0);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    assert_int_equal(bp_pool_maintenance(pool), BP_MAINTENANCE_HEALTH);
    assert_int_equal(bp_pool_start_maintenance(pool, 0), BP_E_USAGE);
    assert_int_equal(bp_pool_stop_maintenance(pool, 8), BP_E_USAGE);
    assert_int_equal(bp_pool_start_maintenance(NULL, 1), BP_E_USAGE);
    assert_int_equal(bp_pool_maintenance(NULL), BP_E_USAGE);
    assert_int_equal(bp_pool_maintenance(pool), BP_MAINTENANCE_HEALTH);
    end_stopped(pool, &connector);
}

/* ---- health ---- */

static void idle_connections_are_kept_alive_while_health_runs(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(3);
    config.keep_alive_us = 50000;
    struct bp_pool *pool = pool_of(&connector, &config);
    await_idle(pool, 3);
    for (int i = 0; i < 10000 && atomic_load(&connector.checked) < 6; i++) {
        test_sleep_us(1000);
    }
    assert_true(atomic_load(&connector.checked) >= 6);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    while (atomic_load(&connector.checking) > 0) {
        test_sleep_us(1000);
    }
    test_sleep_us(1000); /* one that was between the pool and its first line here */
    unsigned checked = atomic_load(&connector.checked);
    test_sleep_us(300000);
    assert_int_equal(atomic_load(&connector.checked), checked);
    await_idle(pool, 3);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    for (int i = 0; i < 10000 && atomic_load(&connector.checked) < checked + 6; i++) {
        test_sleep_us(1000);
    }
    assert_true(atomic_load(&connector.checked) >= checked + 6);
    end_stopped(pool, &connector);
}

static void checks_that_nobody_has_begun_are_left_out_when_health_stops(void **state)
{
    (void)state;
    struct test_connector connector = {.check_hangs = true};
    struct bp_pool_config config = config_of(5);
    config.connects_max = 1;
    config.keep_alive_us = 200000;
    struct bp_pool *pool = pool_of(&connector, &config);
    for (int i = 0; i < 10000 && test_stats(pool).checking != 5; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).checking, 5);
    assert_true(test_await(&connector.checking, 1));
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    /* Four are idle again, although the one check hangs. */
    assert_int_equal(test_stats(pool).checking, 1);
    assert_int_equal(test_stats(pool).idle, 4);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    atomic_store(&connector.check_hangs, false);
    await_idle(pool, 5);
    assert_int_equal(atomic_load(&connector.checked), 1);
    /* Its queue of jobs is whole: what is pushed now is done. */
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_UNCLEAN), 0);
    assert_true(test_await(&connector.checked, 2));
    end_stopped(pool, &connector);
}

static void a_silent_connection_is_checked_before_use_without_health_too(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(1);
    config.check_after_us = 20000;
    struct bp_pool *pool = pool_of(&connector, &config);
    await_idle(pool, 1);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_ALL), 0);
    test_sleep_us(50000);
    struct bp_lease *lease = take(pool);
    assert_int_equal(atomic_load(&connector.checked), 1);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end_stopped(pool, &connector);
}

static void connections_end_of_age_only_while_health_runs(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(2);
    config.lifetime_us = 300000;
    struct bp_pool *pool = pool_of(&connector, &config);
    await_idle(pool, 2);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    unsigned closed = atomic_load(&connector.closed);
    test_sleep_us(600000);
    assert_int_equal(atomic_load(&connector.closed), closed);
    /* Neither those that are idle, nor those that are in use. */
    struct bp_lease *lease = take(pool);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    assert_int_equal(atomic_load(&connector.closed), closed);
    /* Those that were opened meanwhile, too, end when it runs again. */
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_BROKEN), 0);
    await_idle(pool, 2);
    unsigned opened = atomic_load(&connector.opened);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_HEALTH), 0);
    for (int i = 0; i < 5000 && atomic_load(&connector.opened) < opened + 2; i++) {
        test_sleep_us(1000);
    }
    assert_true(atomic_load(&connector.opened) >= opened + 2);
    end_stopped(pool, &connector);
}

/* ---- scaling ---- */

static void nothing_is_opened_ahead_without_scaling_but_who_waits_is_served(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(4);
    struct bp_pool *pool = pool_of(&connector, &config);
    await_idle(pool, 4);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    for (unsigned i = 0; i < 4; i++) {
        struct bp_lease *lease = take(pool);
        assert_int_equal(bp_pool_release(lease, BP_OUTCOME_BROKEN), 0);
        assert_true(test_await(&connector.closed, i + 1));
    }
    test_sleep_us(100000);
    assert_int_equal(test_stats(pool).open, 0);
    assert_int_equal(bp_pool_release(take(pool), BP_OUTCOME_OK), 0);
    assert_int_equal(test_stats(pool).open, 1);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    for (int i = 0; i < 10000 && test_stats(pool).open != 4; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).open, 4);
    end_stopped(pool, &connector);
}

static void idle_connections_are_closed_only_while_scaling_runs(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(3);
    config.idle_min = 1;
    config.idle_timeout_us = 100000;
    struct bp_pool *pool = pool_of(&connector, &config);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    struct bp_lease *leases[3] = {take(pool), take(pool), take(pool)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bp_pool_release(leases[i], BP_OUTCOME_OK), 0);
    }
    test_sleep_us(1500000); /* longer than upkeep takes to look */
    assert_int_equal(atomic_load(&connector.closed), 0);
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_SCALING), 0);
    assert_true(test_await(&connector.closed, 2));
    test_sleep_us(200000);
    assert_int_equal(atomic_load(&connector.closed), 2);
    end_stopped(pool, &connector);
}

/* ---- analysis ---- */

static void leaks_are_reported_only_while_analysis_runs(void **state)
{
    (void)state;
    struct test_connector connector = {0};
    struct bp_pool_config config = config_of(1);
    config.leak_report_after_us = 30000;
    config.log = test_log;
    config.log_user = &connector;
    struct bp_pool *pool = pool_of(&connector, &config);
    assert_int_equal(bp_pool_stop_maintenance(pool, BP_MAINTENANCE_ANALYSIS), 0);
    struct bp_lease *lease = take(pool);
    test_sleep_us(1300000);
    assert_int_equal(test_stats(pool).leaks_reported, 0);
    bp_usec begin_us = bp_now_us();
    assert_int_equal(bp_pool_start_maintenance(pool, BP_MAINTENANCE_ANALYSIS), 0);
    for (int i = 0; i < 5000 && test_stats(pool).leaks_reported == 0; i++) {
        test_sleep_us(1000);
    }
    assert_int_equal(test_stats(pool).leaks_reported, 1);
    assert_in_range(bp_now_us() - begin_us, 0, 800000);
    assert_int_equal(bp_pool_release(lease, BP_OUTCOME_OK), 0);
    end_stopped(pool, &connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_run_from_the_start_and_each_is_named),
        cmocka_unit_test(idle_connections_are_kept_alive_while_health_runs),
        cmocka_unit_test(checks_that_nobody_has_begun_are_left_out_when_health_stops),
        cmocka_unit_test(a_silent_connection_is_checked_before_use_without_health_too),
        cmocka_unit_test(connections_end_of_age_only_while_health_runs),
        cmocka_unit_test(nothing_is_opened_ahead_without_scaling_but_who_waits_is_served),
        cmocka_unit_test(idle_connections_are_closed_only_while_scaling_runs),
        cmocka_unit_test(leaks_are_reported_only_while_analysis_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
