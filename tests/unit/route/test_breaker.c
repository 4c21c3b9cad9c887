/* Shows the states of a circuit, and by a model that each endpoint and database has one of its own, whatever the order of
 * events; then that the table stays bounded. */
#include "base/random.h"
#include "route/breaker.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START  (1000 * BP_USEC_PER_SECOND)
#define SECOND BP_USEC_PER_SECOND

static struct bpi_route_breaker breaker;
static struct bpi_route_circuit circuit;

static int setup(void **state)
{
    (void)state;
    memset(&breaker, 0, sizeof(breaker));
    return 0;
}

static enum bpi_route_breaker_step
end(unsigned endpoint, uint64_t database, bool is_good, uint32_t probe, bp_usec now_us)
{
    return bpi_route_breaker_outcome(&breaker, endpoint, database, is_good, probe, 0.5, now_us,
                                     &circuit);
}

static void break_it(unsigned endpoint, uint64_t database, bp_usec now_us)
{
    for (unsigned i = 1; i < BPI_ROUTE_BREAKER_ROW; i++)
        assert_int_equal(end(endpoint, database, false, 0, now_us), BPI_ROUTE_BREAKER_NOTHING);
    assert_int_equal(end(endpoint, database, false, 0, now_us), BPI_ROUTE_BREAKER_OPENED);
}

static void a_database_that_fails_is_closed_and_its_neighbours_are_not(void **state)
{
    (void)state;
    break_it(1, 7, START);
    assert_false(bpi_route_breaker_may(&breaker, 1, 7, START));
    assert_true(bpi_route_breaker_may(&breaker, 1, 8, START));
    assert_true(bpi_route_breaker_may(&breaker, 2, 7, START));
}

static void failures_that_are_not_in_a_row_leave_it_closed(void **state)
{
    (void)state;
    end(1, 7, false, 0, START); /* from here on it is kept */
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned j = 0; j < BPI_ROUTE_BREAKER_ROW; j++)
            assert_int_equal(end(1, 7, true, 0, START + i), BPI_ROUTE_BREAKER_NOTHING);
        for (unsigned j = 1; j < BPI_ROUTE_BREAKER_ROW; j++)
            assert_int_equal(end(1, 7, false, 0, START + i), BPI_ROUTE_BREAKER_NOTHING);
        assert_true(bpi_route_breaker_may(&breaker, 1, 7, START + i));
    }
}

static void more_bad_than_good_opens_it(void **state)
{
    (void)state;
    bool is_open = false;
    for (unsigned i = 0; i < 40 && !is_open; i++)
        is_open = end(1, 7, i % 4 == 0, 0, START) == BPI_ROUTE_BREAKER_OPENED;
    assert_true(is_open);
}

static void one_goes_through_after_its_time_and_decides(void **state)
{
    (void)state;
    break_it(1, 7, START);
    bp_usec until_us = circuit.until_us;
    assert_true(until_us > START && until_us <= START + BPI_ROUTE_BREAKER_US);
    assert_false(bpi_route_breaker_may(&breaker, 1, 7, until_us - 1));
    assert_true(bpi_route_breaker_may(&breaker, 1, 7, until_us));
    uint32_t probe = bpi_route_breaker_started(&breaker, 1, 7, until_us);
    assert_int_not_equal(probe, 0);
    assert_false(bpi_route_breaker_may(&breaker, 1, 7, until_us));
    assert_int_equal(bpi_route_breaker_started(&breaker, 1, 7, until_us), 0);
    /* What was sent before is not the probe. */
    assert_int_equal(end(1, 7, true, 0, until_us), BPI_ROUTE_BREAKER_NOTHING);
    assert_int_equal(end(1, 7, false, 0, until_us), BPI_ROUTE_BREAKER_NOTHING);
    assert_int_equal(end(1, 7, true, probe + 1, until_us), BPI_ROUTE_BREAKER_NOTHING);
    assert_int_equal(end(1, 7, false, probe, until_us), BPI_ROUTE_BREAKER_OPENED);
    bp_usec again_us = circuit.until_us;
    assert_true(again_us - until_us > until_us - START);
    probe = bpi_route_breaker_started(&breaker, 1, 7, again_us);
    bpi_route_breaker_void(&breaker, 1, 7, probe);
    assert_true(bpi_route_breaker_may(&breaker, 1, 7, again_us));
    probe = bpi_route_breaker_started(&breaker, 1, 7, again_us);
    assert_int_equal(end(1, 7, true, probe, again_us), BPI_ROUTE_BREAKER_CLOSED);
    assert_true(bpi_route_breaker_may(&breaker, 1, 7, again_us));
    assert_int_equal(breaker.used_count, 0);
    assert_int_equal(breaker.broken_count, 0);
}

/* A model of a few circuits: what happened to each, written down plainly. */
struct model {
    enum { CLOSED, OPEN, HALF } state;
    bp_usec until_us;
    uint32_t probe;
    unsigned row;
};

static void the_model_agrees_after_any_history(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct bpi_random random;
        bpi_random_init(&random, seed);
        memset(&breaker, 0, sizeof(breaker));
        struct model models[3][2] = {{{CLOSED, 0, 0, 0}}};
        bp_usec now_us = START;
        for (unsigned step = 0; step < 400; step++) {
            now_us += bpi_random_below(&random, SECOND / 2);
            unsigned endpoint = (unsigned)bpi_random_below(&random, 3);
            unsigned database = (unsigned)bpi_random_below(&random, 2);
            struct model *model = &models[endpoint][database];
            bool may = model->state == CLOSED ||
                       (model->state == OPEN && now_us >= model->until_us) ||
                       (model->state == HALF && model->probe == 0);
            if (bpi_route_breaker_may(&breaker, endpoint, database, now_us) != may) {
                fail_msg("seed %llu, step %u", (unsigned long long)seed, step);
            }
            uint32_t probe = 0;
            if (may) {
                probe = bpi_route_breaker_started(&breaker, endpoint, database, now_us);
                assert_int_equal(probe != 0, model->state != CLOSED);
                if (probe != 0) {
                    model->state = HALF;
                    model->probe = probe;
                }
            } else if (model->state == HALF && bpi_random_below(&random, 3) == 0) {
                probe = model->probe;
            } else {
                continue;
            }
            bool is_good = bpi_random_below(&random, 8) == 0;
            if (probe != 0 && bpi_random_below(&random, 2) == 0) {
                continue; /* it runs on */
            }
            if (probe != 0 && bpi_random_below(&random, 4) == 0) {
                bpi_route_breaker_void(&breaker, endpoint, database, probe);
                model->probe = 0;
                continue;
            }
            enum bpi_route_breaker_step answer = end(endpoint, database, is_good, probe, now_us);
            bool is_closed = model->state == CLOSED;
            model->row = is_good ? 0 : model->row + 1;
            if ((is_closed && answer == BPI_ROUTE_BREAKER_OPENED) || (probe != 0 && !is_good)) {
                assert_int_equal(answer, BPI_ROUTE_BREAKER_OPENED);
                assert_false(is_good);
                *model = (struct model){.state = OPEN, .until_us = circuit.until_us};
                assert_true(circuit.until_us > now_us &&
                            circuit.until_us <= now_us + BPI_ROUTE_BREAKER_MAX_US);
            } else if (probe != 0) {
                assert_int_equal(answer, BPI_ROUTE_BREAKER_CLOSED);
                *model = (struct model){.state = CLOSED};
            } else {
                assert_int_equal(answer, BPI_ROUTE_BREAKER_NOTHING);
                assert_true(!is_closed || model->row < BPI_ROUTE_BREAKER_ROW);
            }
        }
    }
}

static void the_table_is_bounded_and_counts_what_it_holds(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, 23);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned endpoint = (unsigned)bpi_random_below(&random, 64);
        uint64_t database = bpi_random_below(&random, 1000);
        uint32_t probe = bpi_route_breaker_started(&breaker, endpoint, database, START + i * 1000);
        end(endpoint, database, bpi_random_below(&random, 4) == 0, probe, START + i * 1000);
        if (i % 1000 == 0) {
            bpi_route_breaker_forget(&breaker, endpoint);
        }
        unsigned used = 0;
        unsigned broken = 0;
        for (unsigned j = 0; j < BPI_ROUTE_BREAKERS; j++) {
            used += breaker.circuits[j].is_used ? 1 : 0;
            broken += breaker.circuits[j].state != BPI_ROUTE_CIRCUIT_CLOSED ? 1 : 0;
            assert_true(i % 1000 != 0 || !breaker.circuits[j].is_used ||
                        breaker.circuits[j].endpoint != endpoint);
        }
        assert_int_equal(breaker.used_count, used);
        assert_int_equal(breaker.broken_count, broken);
    }
    assert_true(breaker.used_count > BPI_ROUTE_BREAKERS / 2);
}

static void an_open_circuit_is_kept_while_closed_ones_can_go(void **state)
{
    (void)state;
    break_it(1, 7, START);
    for (uint64_t i = 0; i < 10000; i++)
        end((unsigned)(i % 64), 1000 + i, false, 0, START + 1 + i);
    assert_false(bpi_route_breaker_may(&breaker, 1, 7, START + 20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_database_that_fails_is_closed_and_its_neighbours_are_not, setup),
        cmocka_unit_test_setup(failures_that_are_not_in_a_row_leave_it_closed, setup),
        cmocka_unit_test_setup(more_bad_than_good_opens_it, setup),
        cmocka_unit_test_setup(one_goes_through_after_its_time_and_decides, setup),
        cmocka_unit_test_setup(the_model_agrees_after_any_history, setup),
        cmocka_unit_test_setup(the_table_is_bounded_and_counts_what_it_holds, setup),
        cmocka_unit_test_setup(an_open_circuit_is_kept_while_closed_ones_can_go, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
