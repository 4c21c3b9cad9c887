/* Which endpoint a link is taken from or opened to. See pool_internal.h.
 *
 * The router (src/route, through the cluster) says who may serve a waiter and at what cost; the pool knows where links are, and
 * where one may be opened. Of the idle links the one of the best endpoint is taken. Where a much better endpoint has none, the
 * waiter doesn't wait for a connect, but a link is opened there for the next one: else all work would stay with
 * whoever had a link first, however slow it is. The same where it is as good, and has fewer links than this one has
 * transactions: or equal servers would not share the work.
 */
#include "base/assert.h"
#include "pool/pool_internal.h"

#include <utlist.h>

/* So much better an endpoint has to be that a link is opened to it ahead of need. At 0.9, noise in what is known of equal
 * servers opens links; at 0.3, a server that is twice as slow keeps its work. */
#define SPREAD_COST 0.67
/* Costs that lie so close are equal: then the endpoint with fewer leases is better, then the one that was used longest ago,
 * so that equal servers share the work at low load, too. */
#define TIE_COST 1.05

static uint64_t all_endpoints(const struct bpi_pool *pool)
{
    return pool->endpoints_count == 64 ? UINT64_MAX : (UINT64_C(1) << pool->endpoints_count) - 1;
}

void bpi_pool_set_router(struct bpi_pool *pool, const struct bpi_pool_router *router)
{
    pool->router = router == NULL ? (struct bpi_pool_router){0} : *router;
}

uint64_t bpi_pool_endpoints_for(const struct bpi_pool *pool,
                                const struct bpi_pool_waiter *waiter,
                                bp_usec now_us)
{
    if (pool->router.fit == NULL) {
        return all_endpoints(pool);
    }
    return pool->router.fit(pool->router.user, waiter, now_us) & all_endpoints(pool);
}

bool bpi_pool_endpoint_is_open(const struct bpi_pool *pool, unsigned endpoint, bp_usec now_us)
{
    const struct bpi_pool_endpoint *seen = &pool->endpoints[endpoint];
    const struct bpi_pool_limits *limits = &pool->limits;
    return seen->up && !seen->draining && seen->open_after_us <= now_us &&
           (limits->endpoint_links_max == 0 || seen->open_count < limits->endpoint_links_max) &&
           (limits->endpoint_connects_max == 0 ||
            seen->opening_count < limits->endpoint_connects_max) &&
           (limits->endpoint_transactions_max == 0 ||
            seen->leased_count < limits->endpoint_transactions_max);
}

bool bpi_pool_endpoint_is_only_full(const struct bpi_pool *pool, unsigned endpoint, bp_usec now_us)
{
    const struct bpi_pool_endpoint *seen = &pool->endpoints[endpoint];
    unsigned max = pool->limits.endpoint_links_max;
    return max != 0 && seen->open_count >= max && seen->up && !seen->draining &&
           seen->open_after_us <= now_us;
}

static bool speaks(const struct bpi_pool_endpoint *endpoint, uint32_t protocol_bit)
{
    return protocol_bit == 0 || (endpoint->protocols & protocol_bit) != 0;
}

uint64_t bpi_pool_open_endpoints(const struct bpi_pool *pool, bp_usec now_us)
{
    uint64_t open = 0;
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        if (bpi_pool_endpoint_is_open(pool, i, now_us)) {
            open |= UINT64_C(1) << i;
        }
    }
    return open;
}

bool bpi_pool_any_speaks(const struct bpi_pool *pool, uint64_t endpoints, uint32_t protocol_bit)
{
    for (; endpoints != 0; endpoints &= endpoints - 1) {
        if (speaks(&pool->endpoints[__builtin_ctzll(endpoints)], protocol_bit)) {
            return true;
        }
    }
    return false;
}

static double cost_of(const struct bpi_pool *pool,
                      const struct bpi_pool_waiter *waiter,
                      unsigned endpoint,
                      bp_usec now_us)
{
    if (pool->router.cost == NULL || waiter == NULL) {
        return pool->endpoints[endpoint].open_count;
    }
    return pool->router.cost(pool->router.user, waiter, endpoint, now_us);
}

static bool are_equal(double a, double b)
{
    return a <= b * TIE_COST && b <= a * TIE_COST;
}

unsigned bpi_pool_find_endpoint(const struct bpi_pool *pool,
                                const struct bpi_pool_waiter *waiter,
                                uint32_t protocol_bit,
                                bp_usec now_us)
{
    unsigned best = BPI_POOL_ENDPOINTS_MAX;
    double best_cost = 0;
    uint64_t left = bpi_pool_open_endpoints(pool, now_us);
    if (waiter != NULL) {
        left &= bpi_pool_endpoints_for(pool, waiter, now_us);
    }
    for (; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (!speaks(&pool->endpoints[i], protocol_bit)) {
            continue;
        }
        double cost = cost_of(pool, waiter, i, now_us);
        bool is_better = best == BPI_POOL_ENDPOINTS_MAX ||
                         (are_equal(cost, best_cost)
                              ? pool->endpoints[i].open_count < pool->endpoints[best].open_count
                              : cost < best_cost);
        if (is_better) {
            best = i;
            best_cost = cost;
        }
    }
    return best;
}

unsigned bpi_pool_live_for(const struct bpi_pool *pool,
                           const struct bpi_pool_waiter *waiter,
                           unsigned live,
                           bp_usec now_us)
{
    if (pool->router.fit == NULL || live == 0) {
        return live;
    }
    unsigned there = 0;
    uint64_t left = bpi_pool_endpoints_for(pool, waiter, now_us);
    for (; left != 0; left &= left - 1) {
        there += pool->endpoints[__builtin_ctzll(left)].open_count;
    }
    return live < there ? live : there;
}

/* ---- among idle links ---- */

bool bpi_pool_endpoint_has_slot(const struct bpi_pool *pool, const struct bpi_pool_link *link)
{
    unsigned max = pool->limits.endpoint_transactions_max;
    return max == 0 || pool->endpoints[link->endpoint].leased_count < max;
}

/* Whether `link` is better than `best`, whose endpoint costs *cost. */
static bool is_better(const struct bpi_pool *pool,
                      const struct bpi_pool_waiter *waiter,
                      const struct bpi_pool_link *link,
                      const struct bpi_pool_link *best,
                      double *cost,
                      bp_usec now_us)
{
    bool is_nearer = link->loop == waiter->loop && best->loop != waiter->loop;
    if (link->endpoint == best->endpoint) {
        return is_nearer;
    }
    const struct bpi_pool_endpoint *there = &pool->endpoints[link->endpoint];
    const struct bpi_pool_endpoint *at_best = &pool->endpoints[best->endpoint];
    bool is_as_busy = there->leased_count == at_best->leased_count;
    bool is_better = there->leased_count < at_best->leased_count;
    if (pool->router.cost == NULL) {
        return is_better || (is_as_busy && is_nearer);
    }
    is_better = is_better || (is_as_busy && there->turn < at_best->turn);
    double other = cost_of(pool, waiter, link->endpoint, now_us);
    if (!are_equal(other, *cost)) {
        is_better = other < *cost;
    }
    *cost = is_better ? other : *cost;
    return is_better;
}

struct bpi_pool_link *bpi_pool_find_exact(const struct bpi_pool *pool,
                                          const struct bpi_pool_waiter *waiter,
                                          bp_usec now_us,
                                          struct bpi_pool_link **ret_unchecked)
{
    struct bpi_pool_link *best = NULL;
    struct bpi_pool_link *unchecked = NULL;
    struct bpi_pool_link *link = pool->lists[BPI_POOL_IDLE];
    uint64_t fit = bpi_pool_endpoints_for(pool, waiter, now_us);
    double cost = 0;
    for (; link != NULL; link = link->next) {
        if ((fit >> link->endpoint & 1) == 0 || !bpi_pool_is_exact(pool, link, waiter, now_us) ||
            !bpi_pool_endpoint_has_slot(pool, link)) {
            continue;
        }
        if (bpi_pool_link_is_silent(pool, link, now_us)) {
            unchecked = unchecked == NULL ? link : unchecked;
            continue;
        }
        if (link->loop == waiter->loop && pool->endpoints_count == 1) {
            return link; /* there is no better one */
        }
        if (best == NULL) {
            best = link;
            cost = cost_of(pool, waiter, link->endpoint, now_us);
        } else if (is_better(pool, waiter, link, best, &cost, now_us)) {
            best = link;
        }
    }
    if (ret_unchecked != NULL) {
        *ret_unchecked = unchecked;
    }
    return best;
}

/* ---- opening ahead where it would have been better ---- */

/* One that has no link at all, so that nothing is known of it but what others say: it is connected to, and its cost tells
 * whether it is used. BPI_POOL_ENDPOINTS_MAX: none. */
static unsigned
find_untried(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    uint64_t left =
        bpi_pool_open_endpoints(pool, now_us) & bpi_pool_endpoints_for(pool, waiter, now_us);
    for (; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (pool->endpoints[i].open_count == 0 &&
            speaks(&pool->endpoints[i], waiter->protocol_bit)) {
            return i;
        }
    }
    return BPI_POOL_ENDPOINTS_MAX;
}

void bpi_pool_note_lease(struct bpi_pool *pool,
                         const struct bpi_pool_link *link,
                         const struct bpi_pool_waiter *waiter,
                         bp_usec now_us)
{
    pool->endpoints[link->endpoint].turn = ++pool->turns;
    if (pool->router.cost == NULL || pool->spread_is_wanted || pool->endpoints_count < 2 ||
        !bpi_pool_has_place(pool, 0)) {
        return;
    }
    unsigned better = find_untried(pool, waiter, now_us);
    double own = cost_of(pool, waiter, link->endpoint, now_us);
    unsigned busy = pool->endpoints[link->endpoint].leased_count;
    if (better == BPI_POOL_ENDPOINTS_MAX) {
        better = bpi_pool_find_endpoint(pool, waiter, waiter->protocol_bit, now_us);
        if (better == BPI_POOL_ENDPOINTS_MAX || better == link->endpoint ||
            pool->endpoints[better].opening_count > 0) {
            return;
        }
        double cost = cost_of(pool, waiter, better, now_us);
        /* Of equals each has at least as many links as the other one works on. */
        bool is_behind = cost <= own * TIE_COST && pool->endpoints[better].open_count < busy;
        if (cost >= SPREAD_COST * own && !is_behind) {
            return;
        }
    }
    pool->spread_is_wanted = true;
    pool->spread_endpoint = (uint16_t)better;
    pool->spread_key = waiter->key;
}

struct bpi_pool_link *bpi_pool_find_spread(struct bpi_pool *pool, bp_usec now_us)
{
    if (!pool->spread_is_wanted) {
        return NULL;
    }
    struct bpi_pool_link *link = NULL;
    if (bpi_pool_has_place(pool, 0) &&
        bpi_pool_endpoint_is_open(pool, pool->spread_endpoint, now_us)) {
        link = pool->lists[BPI_POOL_IDLE];
        while (link != NULL && !bpi_pool_key_equal(&link->key, &pool->spread_key)) {
            link = link->next;
        }
        for (unsigned i = 0; i < BPI_CLASS_COUNT && link == NULL; i++) {
            link = pool->classes[i].leases;
            while (link != NULL && !bpi_pool_key_equal(&link->key, &pool->spread_key)) {
                link = link->next;
            }
        }
    }
    pool->spread_is_wanted = link != NULL;
    return link;
}
