/* Shows how long a routing table is good for, when it is asked for anew, and that one fetch is out at a time. */
#include "base/random.h"
#include "route/table.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START  (1000 * BP_USEC_PER_SECOND)
#define SECOND BP_USEC_PER_SECOND
#define TTL    (300 * SECOND)
#define NEO    7

static struct bpi_route_tables tables;

static int setup(void **state)
{
    (void)state;
    memset(&tables, 0, sizeof(tables));
    return 0;
}

static void put(uint64_t database, uint64_t readers, uint64_t writers, bp_usec now_us)
{
    struct bpi_route_table answer = {
        .database = database, .readers = readers, .writers = writers, .routers = 7, .ttl_us = TTL};
    bpi_route_tables_put(&tables, &answer, now_us);
}

static enum bpi_route_table_state state_of(uint64_t database, bp_usec now_us)
{
    const struct bpi_route_table *table = bpi_route_tables_get(&tables, database);
    return table == NULL ? BPI_ROUTE_TABLE_UNKNOWN : bpi_route_table_state(table, now_us);
}

static bool fetch(bp_usec now_us, uint64_t *ret_database)
{
    return bpi_route_tables_fetch(&tables, now_us, ret_database);
}

static void what_is_wanted_is_fetched_once_at_a_time(void **state)
{
    (void)state;
    uint64_t database = 0;
    assert_false(fetch(START, &database));
    bpi_route_tables_want(&tables, NEO, START);
    bpi_route_tables_want(&tables, NEO + 1, START);
    assert_true(fetch(START, &database));
    uint64_t first = database;
    assert_true(fetch(START, &database));
    assert_int_not_equal(first, database);
    assert_false(fetch(START, &database));
    bpi_route_tables_want(&tables, NEO, START + SECOND);
    assert_false(fetch(START + SECOND, &database));
    put(NEO, 6, 1, START + SECOND);
    put(NEO + 1, 6, 1, START + SECOND);
    assert_false(fetch(START + 2 * SECOND, &database));
    assert_int_equal(state_of(NEO, START + SECOND), BPI_ROUTE_TABLE_FRESH);
    assert_int_equal(bpi_route_tables_get(&tables, NEO)->readers, 6);
    assert_int_equal(bpi_route_tables_get(&tables, NEO)->writers, 1);
}

static void a_table_is_fresh_then_stale_then_unknown(void **state)
{
    (void)state;
    put(NEO, 6, 1, START);
    assert_int_equal(state_of(NEO, START + TTL - 1), BPI_ROUTE_TABLE_FRESH);
    assert_int_equal(state_of(NEO, START + TTL), BPI_ROUTE_TABLE_STALE);
    assert_int_equal(state_of(NEO, START + 2 * TTL), BPI_ROUTE_TABLE_STALE);
    assert_int_equal(state_of(NEO, START + 2 * TTL + 1), BPI_ROUTE_TABLE_UNKNOWN);
    uint64_t database = 0;
    assert_false(fetch(START + TTL - 1, &database));
    assert_true(fetch(START + TTL, &database));
    put(NEO, 5, 2, START + TTL + 1);
    assert_int_equal(state_of(NEO, START + 2 * TTL), BPI_ROUTE_TABLE_FRESH);
}

static void times_to_live_have_bounds(void **state)
{
    (void)state;
    struct bpi_route_table answer = {.database = NEO, .writers = 1, .ttl_us = UINT64_MAX};
    bpi_route_tables_put(&tables, &answer, START);
    assert_int_equal(state_of(NEO, START + BPI_ROUTE_TABLE_TTL_MAX_US), BPI_ROUTE_TABLE_STALE);
    answer.ttl_us = 0;
    bpi_route_tables_put(&tables, &answer, START);
    assert_int_equal(state_of(NEO, START), BPI_ROUTE_TABLE_STALE);
    assert_int_equal(state_of(NEO, START + 1), BPI_ROUTE_TABLE_UNKNOWN);
}

static void who_does_not_lead_is_no_writer_and_the_table_is_asked_for(void **state)
{
    (void)state;
    uint64_t database = 0;
    put(NEO, 6, 1, START);
    put(NEO + 1, 6, 1, START);
    bp_usec now_us = START + SECOND;
    bpi_route_tables_not_a_leader(&tables, NEO, 0);
    bpi_route_tables_not_a_leader(&tables, NEO + 5, 0);
    assert_int_equal(bpi_route_tables_get(&tables, NEO)->writers, 0);
    assert_int_equal(bpi_route_tables_get(&tables, NEO + 1)->writers, 1);
    assert_int_equal(state_of(NEO, now_us), BPI_ROUTE_TABLE_STALE);
    assert_true(fetch(now_us, &database));
    assert_int_equal(database, NEO);
    assert_false(fetch(now_us, &database));
    /* During an election nobody leads: asked again, but not all the time. */
    put(NEO, 6, 0, now_us);
    assert_false(fetch(now_us, &database));
    assert_true(fetch(now_us + BPI_ROUTE_TABLE_RETRY_US, &database));
    put(NEO, 5, 2, now_us + SECOND);
    assert_int_equal(state_of(NEO, now_us + SECOND), BPI_ROUTE_TABLE_FRESH);
}

static void a_change_of_servers_makes_all_stale(void **state)
{
    (void)state;
    put(NEO, 6, 1, START);
    put(NEO + 1, 2, 2, START);
    bpi_route_tables_remove_endpoint(&tables, 0);
    assert_int_equal(state_of(NEO, START), BPI_ROUTE_TABLE_STALE);
    assert_int_equal(bpi_route_tables_get(&tables, NEO)->writers, 0);
    assert_int_equal(bpi_route_tables_get(&tables, NEO)->routers, 6);
    put(NEO, 6, 2, START);
    put(NEO + 1, 6, 2, START);
    bpi_route_tables_changed(&tables);
    assert_int_equal(state_of(NEO, START), BPI_ROUTE_TABLE_STALE);
    assert_int_equal(state_of(NEO + 1, START), BPI_ROUTE_TABLE_STALE);
}

static void a_fetch_that_fails_is_tried_again_later_each_time(void **state)
{
    (void)state;
    uint64_t database = 0;
    bp_usec now_us = START;
    bp_usec wait_us = BPI_ROUTE_TABLE_RETRY_US;
    bpi_route_tables_want(&tables, NEO, now_us);
    for (unsigned i = 0; i < 12; i++) {
        assert_true(fetch(now_us, &database));
        bpi_route_tables_fetch_failed(&tables, NEO, now_us);
        assert_false(fetch(now_us + wait_us - 1, &database));
        now_us += wait_us;
        wait_us =
            2 * wait_us < BPI_ROUTE_TABLE_RETRY_MAX_US ? 2 * wait_us : BPI_ROUTE_TABLE_RETRY_MAX_US;
    }
    bpi_route_tables_fetch_failed(&tables, NEO + 1, now_us); /* which is not known */
}

static void a_fetch_that_never_ends_is_given_up(void **state)
{
    (void)state;
    uint64_t database = 0;
    bpi_route_tables_want(&tables, NEO, START);
    assert_true(fetch(START, &database));
    assert_false(fetch(START + BPI_ROUTE_TABLE_FETCH_US - 1, &database));
    assert_false(fetch(START + BPI_ROUTE_TABLE_FETCH_US, &database));
    assert_true(fetch(START + BPI_ROUTE_TABLE_FETCH_US + BPI_ROUTE_TABLE_RETRY_US, &database));
}

static void what_nobody_wants_is_not_refreshed_for_ever(void **state)
{
    (void)state;
    uint64_t database = 0;
    put(NEO, 6, 1, START);
    assert_false(fetch(START + 2 * TTL + 1, &database));
    bpi_route_tables_want(&tables, NEO, START + 3 * TTL);
    assert_true(fetch(START + 3 * TTL, &database));
}

static void the_databases_that_were_asked_about_last_are_kept(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < BPI_ROUTE_TABLES; i++)
        put(100 + i, 6, 1, START + i);
    for (uint64_t i = 0; i < BPI_ROUTE_TABLES / 2; i++)
        bpi_route_tables_want(&tables, 100 + i, START + 1000 + i);
    for (uint64_t i = 0; i < BPI_ROUTE_TABLES / 2; i++)
        put(1000 + i, 6, 1, START + 2000 + i);
    for (uint64_t i = 0; i < BPI_ROUTE_TABLES / 2; i++) {
        assert_non_null(bpi_route_tables_get(&tables, 100 + i));
        assert_null(bpi_route_tables_get(&tables, 100 + BPI_ROUTE_TABLES / 2 + i));
        assert_non_null(bpi_route_tables_get(&tables, 1000 + i));
    }
}

static void a_home_database_is_known_for_its_time(void **state)
{
    (void)state;
    uint64_t database = 0;
    assert_false(bpi_route_tables_home(&tables, 1, START, &database));
    bpi_route_tables_set_home(&tables, 1, NEO, START + TTL, START);
    bpi_route_tables_set_home(&tables, 2, NEO + 1, START + TTL, START);
    assert_true(bpi_route_tables_home(&tables, 1, START + TTL - 1, &database));
    assert_int_equal(database, NEO);
    assert_true(bpi_route_tables_home(&tables, 2, START, &database));
    assert_int_equal(database, NEO + 1);
    assert_false(bpi_route_tables_home(&tables, 1, START + TTL, &database));
    bpi_route_tables_set_home(&tables, 1, NEO + 2, START + 2 * TTL, START + TTL);
    assert_true(bpi_route_tables_home(&tables, 1, START + TTL, &database));
    assert_int_equal(database, NEO + 2);
    /* Bounded: those who asked last are kept. */
    for (uint64_t user = 10; user < 10 + BPI_ROUTE_HOMES; user++) {
        assert_true(bpi_route_tables_home(&tables, 2, START + user, &database));
        bpi_route_tables_set_home(&tables, user, user, START + TTL, START + user);
    }
    assert_true(bpi_route_tables_home(&tables, 2, START + 1000, &database));
    assert_int_equal(database, NEO + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_wanted_is_fetched_once_at_a_time, setup),
        cmocka_unit_test_setup(a_table_is_fresh_then_stale_then_unknown, setup),
        cmocka_unit_test_setup(times_to_live_have_bounds, setup),
        cmocka_unit_test_setup(who_does_not_lead_is_no_writer_and_the_table_is_asked_for, setup),
        cmocka_unit_test_setup(a_change_of_servers_makes_all_stale, setup),
        cmocka_unit_test_setup(a_fetch_that_fails_is_tried_again_later_each_time, setup),
        cmocka_unit_test_setup(a_fetch_that_never_ends_is_given_up, setup),
        cmocka_unit_test_setup(what_nobody_wants_is_not_refreshed_for_ever, setup),
        cmocka_unit_test_setup(the_databases_that_were_asked_about_last_are_kept, setup),
        cmocka_unit_test_setup(a_home_database_is_known_for_its_time, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
