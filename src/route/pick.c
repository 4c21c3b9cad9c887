/* See pick.h, and route.h for who may be picked at all. */
#include "route/pick.h"

#include "base/assert.h"
#include "route/route.h"

#include <math.h>

static unsigned lowest(uint64_t set)
{
    return (unsigned)__builtin_ctzll(set);
}

/* The first one at or after `from`, around the end. */
static unsigned next_of(uint64_t set, unsigned from)
{
    uint64_t after = from < 64 ? set & (UINT64_MAX << from) : 0;
    return lowest(after != 0 ? after : set);
}

static unsigned running_at(const struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    const struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    return route->is_shared ? bpi_route_report_running(&one->report, one->load.running, now_us)
                            : one->load.running;
}

static inline double adaptive_cost(const struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    const struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    double cost =
        route->is_shared
            ? bpi_route_load_cost_other_us(&one->load, running_at(route, endpoint, now_us),
                                           route->prior_us, now_us)
            : bpi_route_load_cost_us(&one->load, route->prior_us, now_us);
    return cost * one->weight_part;
}

/* Latency over success squared: half of the successes are as bad as four times the latency. */
static double performance_cost(const struct bpi_route *route, unsigned endpoint)
{
    const struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    unsigned good;
    unsigned bad;
    bpi_route_eject_counts(&one->eject, &good, &bad);
    double share = (good + 1.0) / (good + bad + 1.0);
    double latency_us = one->load.latency_us > 0 ? one->load.latency_us : route->prior_us;
    return latency_us * BPI_ROUTE_WEIGHT_DEFAULT / (share * share * one->weight);
}

double bpi_route_choose_cost(const struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    const struct bpi_route_endpoint *one = &route->endpoints[endpoint];
    switch (route->strategy) {
    case BPI_ROUTE_ADAPTIVE:
        return adaptive_cost(route, endpoint, now_us);
    case BPI_ROUTE_LEAST_CONNECTIONS:
        return running_at(route, endpoint, now_us);
    case BPI_ROUTE_WEIGHTED_ROUND_ROBIN:
        return (running_at(route, endpoint, now_us) + 1.0) / one->weight;
    case BPI_ROUTE_PERFORMANCE_BASED:
        return performance_cost(route, endpoint);
    case BPI_ROUTE_ROUND_ROBIN:
        break;
    }
    return 0;
}

/* Up to which multiple of the least cost the endpoint's is equal to it. */
static inline double tie_of(const struct bpi_route *route, unsigned endpoint, bp_usec now_us)
{
    return BPI_ROUTE_TIE + bpi_route_load_doubt(&route->endpoints[endpoint].load, now_us);
}

void bpi_route_choose_costs(const struct bpi_route *route,
                            uint64_t among,
                            bp_usec now_us,
                            double *ret_costs)
{
    double least = (double)INFINITY;
    for (uint64_t left = among; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        ret_costs[endpoint] = bpi_route_choose_cost(route, endpoint, now_us);
        least = ret_costs[endpoint] < least ? ret_costs[endpoint] : least;
    }
    for (uint64_t left = among; left != 0 && route->strategy == BPI_ROUTE_ADAPTIVE;
         left &= left - 1) {
        unsigned endpoint = lowest(left);
        if (ret_costs[endpoint] <= least * tie_of(route, endpoint, now_us)) {
            ret_costs[endpoint] = least;
        }
    }
}

/* The least cost; one of those that can't be told from it, at random. */
static unsigned adaptive(struct bpi_route *route, uint64_t among, bp_usec now_us)
{
    double costs[BPI_ROUTE_ENDPOINTS_MAX];
    unsigned endpoints[BPI_ROUTE_ENDPOINTS_MAX];
    unsigned count = 0;
    double least = (double)INFINITY;
    for (uint64_t left = among; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        double cost = adaptive_cost(route, endpoint, now_us);
        endpoints[count] = endpoint;
        costs[count++] = cost;
        least = cost < least ? cost : least;
    }
    unsigned ties = 0;
    for (unsigned i = 0; i < count; i++) {
        double bound = least * tie_of(route, endpoints[i], now_us);
        /* Without a branch, which would be guessed wrong half of the time. */
        endpoints[ties] = endpoints[i];
        ties += costs[i] <= bound ? 1 : 0;
    }
    return endpoints[ties > 1 ? bpi_random_below(&route->random, ties) : 0];
}

static unsigned round_robin(struct bpi_route *route, uint64_t among)
{
    unsigned endpoint = next_of(among, route->next);
    route->next = endpoint + 1;
    return endpoint;
}

/* As Neo4j's drivers: the fewest, looked for from where the last search began and one further. */
static unsigned least_connections(struct bpi_route *route, uint64_t among, bp_usec now_us)
{
    unsigned endpoint = round_robin(route, among);
    unsigned best = endpoint;
    unsigned least = running_at(route, best, now_us);
    for (uint64_t left = among & ~(UINT64_C(1) << endpoint); left != 0;
         left &= ~(UINT64_C(1) << endpoint)) {
        endpoint = next_of(left, endpoint + 1);
        unsigned running = running_at(route, endpoint, now_us);
        if (running < least) {
            best = endpoint;
            least = running;
        }
    }
    return best;
}

/* Smooth: each is given its weight, who has most goes and pays the sum (nginx's). */
static unsigned weighted_round_robin(struct bpi_route *route, uint64_t among)
{
    unsigned best = lowest(among);
    int64_t sum = 0;
    for (uint64_t left = among; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        struct bpi_route_endpoint *one = &route->endpoints[endpoint];
        one->turn += one->weight;
        sum += one->weight;
        if (one->turn > route->endpoints[best].turn) {
            best = endpoint;
        }
    }
    route->endpoints[best].turn -= sum;
    return best;
}

static unsigned performance_based(struct bpi_route *route, uint64_t among)
{
    double shares[BPI_ROUTE_ENDPOINTS_MAX];
    double sum = 0;
    for (uint64_t left = among; left != 0; left &= left - 1) {
        unsigned endpoint = lowest(left);
        shares[endpoint] = 1 / performance_cost(route, endpoint);
        sum += shares[endpoint];
    }
    double at = bpi_random_unit(&route->random) * sum;
    unsigned endpoint = lowest(among);
    for (uint64_t left = among; left != 0; left &= left - 1) {
        endpoint = lowest(left);
        at -= shares[endpoint];
        if (at < 0) {
            break;
        }
    }
    return endpoint;
}

unsigned bpi_route_choose(struct bpi_route *route, uint64_t among, bp_usec now_us)
{
    BP_DEBUG_ASSERT(among != 0 && (among & ~route->present) == 0);
    switch (route->strategy) {
    case BPI_ROUTE_ROUND_ROBIN:
        return round_robin(route, among);
    case BPI_ROUTE_LEAST_CONNECTIONS:
        return least_connections(route, among, now_us);
    case BPI_ROUTE_WEIGHTED_ROUND_ROBIN:
        return weighted_round_robin(route, among);
    case BPI_ROUTE_PERFORMANCE_BASED:
        return performance_based(route, among);
    case BPI_ROUTE_ADAPTIVE:
        break;
    }
    return adaptive(route, among, now_us);
}
