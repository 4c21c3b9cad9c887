/* Shows what each strategy does among endpoints that are all fit: turns, weights, the least load, and that costs lead away
 * from what is slow, full or fails. */
#include "base/random.h"
#include "route/route.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS    BP_USEC_PER_MS
#define START (1000 * BP_USEC_PER_SECOND)

static struct bpi_route route;
static const struct bpi_route_wish read_wish = {.database = 1};

static void start(enum bpi_route_strategy strategy, unsigned count)
{
    bpi_route_init(&route, BPI_ROUTE_EQUAL, 42);
    bpi_route_set_strategy(&route, strategy);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(bpi_route_add(&route, i, BPI_ROUTE_READ_WRITE, 8, START), 0);
}

static struct bpi_route_ticket pick_of(uint64_t candidates, bp_usec now_us)
{
    struct bpi_route_ticket ticket;
    assert_int_equal(bpi_route_pick(&route, candidates, &read_wish, now_us, &ticket), 0);
    assert_true((candidates >> ticket.endpoint & 1) != 0);
    bpi_route_started(&route, &ticket, now_us);
    return ticket;
}

static struct bpi_route_ticket pick(bp_usec now_us)
{
    return pick_of(UINT64_MAX, now_us);
}

static void end(struct bpi_route_ticket *ticket, bp_usec now_us)
{
    bpi_route_finished(&route, ticket, BPI_ROUTE_OK, now_us);
}

static void weigh(unsigned endpoint, unsigned weight)
{
    struct bpi_route_weight one = {endpoint, weight};
    assert_int_equal(bpi_route_set_weights(&route, &one, 1), 0);
}

static void round_robin_takes_turns(void **state)
{
    (void)state;
    start(BPI_ROUTE_ROUND_ROBIN, 5);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(pick(START).endpoint, i % 5);
    /* Endpoints 1 and 4 only. */
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pick_of(0x12, START).endpoint, i % 2 == 0 ? 1 : 4);
}

static void round_robin_takes_turns_among_all_sixty_four(void **state)
{
    (void)state;
    start(BPI_ROUTE_ROUND_ROBIN, BPI_ROUTE_ENDPOINTS_MAX);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(pick(START).endpoint, i % BPI_ROUTE_ENDPOINTS_MAX);
}

static void least_connections_finds_the_least_and_starts_where_it_was(void **state)
{
    (void)state;
    start(BPI_ROUTE_LEAST_CONNECTIONS, 4);
    /* All equal: in turn. */
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pick(START).endpoint, i % 4);
    struct bpi_random random;
    bpi_random_init(&random, 1);
    struct bpi_route_ticket tickets[64];
    unsigned count = 0;
    for (unsigned step = 0; step < 5000; step++) {
        if (count == 64 || (count > 0 && bpi_random_below(&random, 2) == 0)) {
            unsigned index = (unsigned)bpi_random_below(&random, count);
            end(&tickets[index], START);
            tickets[index] = tickets[--count];
            continue;
        }
        unsigned least = UINT_MAX;
        for (unsigned i = 0; i < 4; i++)
            least =
                route.endpoints[i].load.running < least ? route.endpoints[i].load.running : least;
        tickets[count] = pick(START);
        assert_int_equal(route.endpoints[tickets[count].endpoint].load.running, least + 1);
        count++;
    }
}

static void weights_are_met_within_two_percent(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct bpi_random random;
        bpi_random_init(&random, seed);
        unsigned count = 2 + (unsigned)bpi_random_below(&random, 15);
        start(BPI_ROUTE_WEIGHTED_ROUND_ROBIN, count);
        unsigned weights[BPI_ROUTE_ENDPOINTS_MAX];
        unsigned sum = 0;
        for (unsigned i = 0; i < count; i++) {
            weights[i] = 1 + (unsigned)bpi_random_below(&random, 500);
            weigh(i, weights[i]);
            sum += weights[i];
        }
        unsigned picks = 50 * sum;
        for (unsigned i = 0; i < picks; i++) {
            struct bpi_route_ticket ticket = pick(START);
            end(&ticket, START);
        }
        for (unsigned i = 0; i < count; i++) {
            double share = (double)route.endpoints[i].picked_total / picks;
            double wanted = (double)weights[i] / sum;
            if (fabs(share / wanted - 1) > 0.02) {
                fail_msg("seed %u: %f instead of %f", (unsigned)seed, share, wanted);
            }
        }
    }
}

static void weighted_turns_are_spread_evenly(void **state)
{
    (void)state;
    start(BPI_ROUTE_WEIGHTED_ROUND_ROBIN, 3);
    weigh(0, 500);
    char turns[8] = "";
    for (unsigned i = 0; i < 7; i++)
        turns[i] = (char)('a' + (int)pick(START).endpoint);
    assert_string_equal(turns, "aabacaa"); /* nginx's example */
}

/* Serves one pick after the other; endpoint i takes took_us[i]. */
static void serve(const bp_usec *took_us, unsigned picks, bool is_failing_0)
{
    bp_usec now_us = START;
    for (unsigned i = 0; i < picks; i++) {
        struct bpi_route_ticket ticket = pick(now_us);
        now_us += took_us[ticket.endpoint];
        bpi_route_finished(&route, &ticket,
                           is_failing_0 && ticket.endpoint == 0 && i % 2 == 0 ? BPI_ROUTE_OVERLOADED
                                                                              : BPI_ROUTE_OK,
                           now_us);
    }
}

static void performance_goes_by_latency_and_success(void **state)
{
    (void)state;
    start(BPI_ROUTE_PERFORMANCE_BASED, 2);
    serve((bp_usec[]){30 * MS, 10 * MS}, 8000, false);
    double share = (double)route.endpoints[1].picked_total / 8000;
    assert_true(share > 0.72 && share < 0.78); /* 3 to 1 */
    start(BPI_ROUTE_PERFORMANCE_BASED, 2);
    bp_usec now_us = START;
    for (unsigned i = 0; i < 4000; i++) {
        struct bpi_route_ticket ticket = pick(now_us);
        now_us += MS;
        bool is_bad = ticket.endpoint == 0 && i % 2 == 0;
        bpi_route_finished(&route, &ticket, is_bad ? BPI_ROUTE_SERVER_FAULT : BPI_ROUTE_OK, now_us);
        route.breaker = (struct bpi_route_breaker){0};
    }
    share = (double)route.endpoints[1].picked_total / 4000;
    assert_true(share > 0.75 && share < 0.85); /* 1 to a quarter */
}

static void adaptive_leads_away_from_the_slow_one(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 3);
    serve((bp_usec[]){10 * MS, 10 * MS, 40 * MS}, 4000, false);
    assert_true(route.endpoints[2].picked_total < 400);
    assert_true(route.endpoints[0].picked_total > 1500);
    assert_true(route.endpoints[1].picked_total > 1500);
}

static void adaptive_leads_away_from_what_says_too_much(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 3);
    serve((bp_usec[]){10 * MS, 10 * MS, 10 * MS}, 3000, true);
    assert_true(route.endpoints[0].picked_total < 100);
}

static void adaptive_decides_at_random_among_equals_only(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 4);
    bpi_route_load_overloaded(&route.endpoints[3].load, START);
    for (unsigned i = 0; i < 6000; i++) {
        struct bpi_route_ticket ticket = pick(START);
        bpi_route_finished(&route, &ticket, BPI_ROUTE_CANCELLED, START);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(route.endpoints[i].picked_total, 1850, 2150);
    assert_int_equal(route.endpoints[3].picked_total, 0);
}

static void half_the_cost_is_what_twice_the_weight_means_to_adaptive(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 2);
    weigh(0, 200);
    assert_true(bpi_route_cost(&route, 0, START) * 2 - bpi_route_cost(&route, 1, START) < 1e-6);
    for (unsigned i = 0; i < 30; i++)
        pick(START);
    assert_true(route.endpoints[0].load.running > route.endpoints[1].load.running + 2);
}

static void what_was_reported_of_others_counts_where_it_is_turned_on(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 2);
    bpi_route_reported(&route, 0, 30, START);
    double cost = bpi_route_cost(&route, 0, START);
    bpi_route_set_shared(&route, true);
    assert_true(bpi_route_cost(&route, 0, START) > 10 * cost);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(pick(START).endpoint, 1);
    bpi_route_set_strategy(&route, BPI_ROUTE_LEAST_CONNECTIONS);
    assert_int_equal(pick(START).endpoint, 1);
    bpi_route_set_shared(&route, false);
    assert_int_equal(pick(START).endpoint, 0);
}

static void costs_say_what_the_strategy_would_pick(void **state)
{
    (void)state;
    static const enum bpi_route_strategy strategies[] = {
        BPI_ROUTE_ADAPTIVE, BPI_ROUTE_LEAST_CONNECTIONS, BPI_ROUTE_WEIGHTED_ROUND_ROBIN,
        BPI_ROUTE_PERFORMANCE_BASED};
    for (unsigned i = 0; i < 4; i++) {
        start(strategies[i], 2);
        serve((bp_usec[]){40 * MS, 10 * MS}, 200, false);
        if (strategies[i] != BPI_ROUTE_PERFORMANCE_BASED) {
            for (unsigned j = 0; j < 3; j++) {
                struct bpi_route_ticket ticket;
                bpi_route_ticket(&route, 0, &read_wish, &ticket);
                bpi_route_started(&route, &ticket, START + 20 * BP_USEC_PER_SECOND);
            }
        }
        assert_true(bpi_route_cost(&route, 0, START + 20 * BP_USEC_PER_SECOND) >
                    bpi_route_cost(&route, 1, START + 20 * BP_USEC_PER_SECOND));
        assert_true(isinf(bpi_route_cost(&route, 2, START)));
    }
}

static void a_strategy_may_change_in_the_middle(void **state)
{
    (void)state;
    start(BPI_ROUTE_ADAPTIVE, 3);
    struct bpi_route_ticket tickets[30];
    for (unsigned i = 0; i < 30; i++) {
        bpi_route_set_strategy(&route, (enum bpi_route_strategy)(i % BPI_ROUTE_STRATEGY_COUNT));
        tickets[i] = pick(START);
    }
    unsigned running = 0;
    for (unsigned i = 0; i < 3; i++)
        running += route.endpoints[i].load.running;
    assert_int_equal(running, 30);
    for (unsigned i = 0; i < 30; i++)
        end(&tickets[i], START + 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(route.endpoints[i].load.running, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_takes_turns),
        cmocka_unit_test(round_robin_takes_turns_among_all_sixty_four),
        cmocka_unit_test(least_connections_finds_the_least_and_starts_where_it_was),
        cmocka_unit_test(weights_are_met_within_two_percent),
        cmocka_unit_test(weighted_turns_are_spread_evenly),
        cmocka_unit_test(performance_goes_by_latency_and_success),
        cmocka_unit_test(adaptive_leads_away_from_the_slow_one),
        cmocka_unit_test(adaptive_leads_away_from_what_says_too_much),
        cmocka_unit_test(adaptive_decides_at_random_among_equals_only),
        cmocka_unit_test(half_the_cost_is_what_twice_the_weight_means_to_adaptive),
        cmocka_unit_test(what_was_reported_of_others_counts_where_it_is_turned_on),
        cmocka_unit_test(costs_say_what_the_strategy_would_pick),
        cmocka_unit_test(a_strategy_may_change_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
