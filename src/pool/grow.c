/* When a link is opened: where waiting would cost more than connecting.
 *
 * A new link serves nobody before it is connected, and meanwhile the others go round. So one is opened for a waiter
 *   - if no live link has its identity, or nothing is known of connecting yet;
 *   - if the waiters of its identity, served by the live links of it (those that are being opened too), would be
 *     served later than a new link would be there: waiting x hold > live x connect;
 *   - if waiting goes on: once GROW_WAITED times as long as a connect was lost by such waiters lately (as in the
 *     ski-rental problem, what was paid for not opening is compared with the price of opening), or once the waiter
 *     itself has waited for so long.
 * A burst of 50 that five links serve in 20 ms opens none where connecting takes 150 ms; one that holds its links
 * for 200 ms opens 45 at once where connecting takes 20.
 */
#include "base/assert.h"
#include "pool/pool_internal.h"

/* At 1, two that happen to wait at one time open a link; at 16, a pool that is short of one link lets one in ten
 * wait for seconds. */
#define GROW_WAITED 4
/* What was waited counts for about this long. */
#define WAITED_FADE_US BP_USEC_PER_SECOND
/* A connect that took longer counts as this: a clock that jumped meanwhile must not keep all others from being opened. */
#define CONNECT_US_MAX BP_USEC_PER_SECOND
/* A link in use gets its replacement this long before its end, or two connects before. */
#define REPLACE_AHEAD_US BP_USEC_PER_SECOND

static uint64_t waited_us(const struct bpi_pool *pool, bp_usec now_us)
{
    bp_usec span_us = bpi_pool_elapsed(now_us, pool->waited_at_us);
    if (span_us >= WAITED_FADE_US) {
        return pool->held_back_count * WAITED_FADE_US;
    }
    return pool->waited_us - pool->waited_us * span_us / WAITED_FADE_US +
           pool->held_back_count * span_us;
}

void bpi_pool_count_waited(struct bpi_pool *pool, bp_usec now_us)
{
    pool->waited_us = waited_us(pool, now_us);
    if (now_us > pool->waited_at_us || pool->waited_at_us - now_us > BP_USEC_PER_SECOND) {
        pool->waited_at_us = now_us; /* later, or the clock was set back */
    }
}

void bpi_pool_set_held_back(struct bpi_pool *pool, unsigned count, bp_usec now_us)
{
    if (count != pool->held_back_count) {
        bpi_pool_count_waited(pool, now_us);
        pool->held_back_count = count;
    }
}

static bool
is_short_of_links(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    unsigned bucket = bpi_pool_identity_bucket(&waiter->key);
    unsigned live = bpi_pool_live_for(pool, waiter, pool->identity_live[bucket], now_us);
    if (live == 0 || pool->connect_us == 0) {
        return true;
    }
    const struct bpi_pool_class *class_ = &pool->classes[waiter->class_];
    bp_usec hold_us = bpi_pool_share_hold_us(&class_->share, class_->leased, now_us);
    return pool->identity_waiting[bucket] * hold_us > live * pool->connect_us;
}

bool bpi_pool_is_worth_opening(const struct bpi_pool *pool,
                               const struct bpi_pool_waiter *waiter,
                               bp_usec now_us)
{
    bp_usec price_us = GROW_WAITED * pool->connect_us;
    return is_short_of_links(pool, waiter, now_us) || waited_us(pool, now_us) >= price_us ||
           bpi_pool_elapsed(now_us, waiter->arrived_us) >= price_us;
}

void bpi_pool_opened_for(struct bpi_pool *pool,
                         const struct bpi_pool_waiter *waiter,
                         bp_usec now_us)
{
    if (!is_short_of_links(pool, waiter, now_us)) {
        bpi_pool_count_waited(pool, now_us);
        uint64_t price_us = GROW_WAITED * pool->connect_us;
        pool->waited_us -= pool->waited_us < price_us ? pool->waited_us : price_us;
    }
}

void bpi_pool_count_connect(struct bpi_pool *pool, bp_usec took_us)
{
    took_us = took_us < CONNECT_US_MAX ? took_us : CONNECT_US_MAX;
    if (pool->connect_us == 0) {
        pool->connect_us = took_us;
    } else {
        int64_t apart = (int64_t)took_us - (int64_t)pool->connect_us;
        pool->connect_us = (bp_usec)((int64_t)pool->connect_us + apart / 4);
    }
}

bool bpi_pool_has_place(const struct bpi_pool *pool, unsigned promised)
{
    return bpi_pool_open_count(pool) + promised < pool->limits.links_max &&
           pool->counts[BPI_POOL_CLOSED] > promised;
}

bp_usec bpi_pool_replace_ahead_us(const struct bpi_pool *pool)
{
    bp_usec ahead_us = 2 * pool->connect_us;
    return ahead_us > REPLACE_AHEAD_US ? ahead_us : REPLACE_AHEAD_US;
}
