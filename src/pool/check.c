/* bpi_pool_check(): counts anew what the pool keeps count of, and compares. For tests, after every step. */
#include "pool/pool.h"

#include <utlist.h>

/* What bpi_pool_check() counts anew, to compare. */
struct census {
    unsigned class_leased[BPI_CLASS_COUNT];
    unsigned class_claimed[BPI_CLASS_COUNT];
    unsigned endpoint_open[BPI_POOL_ENDPOINTS_MAX];
    unsigned endpoint_leased[BPI_POOL_ENDPOINTS_MAX];
    unsigned held;
    unsigned claimed;
    unsigned doomed_idle;
};

static bool check_link(const struct bpi_pool_link *link, struct census *census)
{
    const struct bpi_pool_waiter *sponsor = link->sponsor;
    if (link->state != BPI_POOL_CLOSED) {
        census->endpoint_open[link->endpoint]++;
    }
    if (link->state == BPI_POOL_LEASED) {
        census->endpoint_leased[link->endpoint]++;
        census->class_leased[link->class_]++;
        census->held++;
    }
    census->doomed_idle += link->state == BPI_POOL_IDLE && link->doomed;
    if (sponsor == NULL) {
        return true;
    }
    if (!sponsor->is_check) {
        census->class_claimed[sponsor->class_]++;
        census->claimed++;
    }
    return sponsor->state == BPI_POOL_WAITER_QUEUED &&
           ((link->state == BPI_POOL_OPENING && sponsor->opening == link) ||
            (link->state == BPI_POOL_CLOSING && sponsor->evicted == link));
}

static bool check_queue(const struct bpi_pool_waiter *queue,
                        bool is_check,
                        unsigned class_,
                        unsigned *ret_count)
{
    const struct bpi_pool_waiter *waiter;
    uint64_t last = 0;
    DL_FOREACH(queue, waiter)
    {
        if (waiter->state != BPI_POOL_WAITER_QUEUED || waiter->sequence <= last ||
            waiter->is_check != is_check || (!is_check && waiter->class_ != class_) ||
            (waiter->opening != NULL && waiter->opening->sponsor != waiter) ||
            (waiter->evicted != NULL && waiter->evicted->sponsor != waiter)) {
            return false;
        }
        last = waiter->sequence;
        (*ret_count)++;
    }
    return true;
}

static bool
check_accounts(const struct bpi_pool_accounts *accounts, unsigned held, unsigned claimed)
{
    for (unsigned i = 0; i < BPI_POOL_ACCOUNT_BUCKETS; i++) {
        const struct bpi_pool_account *account;
        for (account = accounts->buckets[i]; account != NULL; account = account->next) {
            held -= account->counts[BPI_POOL_HELD];
            claimed -= account->counts[BPI_POOL_CLAIMED];
        }
    }
    return held == 0 && claimed == 0;
}

bool bpi_pool_check(const struct bpi_pool *pool)
{
    struct census census = {0};
    for (unsigned state = 0; state < BPI_POOL_STATE_COUNT; state++) {
        unsigned count = 0;
        const struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[state], link)
        {
            count++;
            if (link->state != (enum bpi_pool_link_state)state || !check_link(link, &census)) {
                return false;
            }
        }
        if (count != pool->counts[state]) {
            return false;
        }
    }
    unsigned waiters = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        if (census.class_leased[i] != pool->class_leased[i] ||
            census.class_claimed[i] != pool->class_claimed[i] ||
            !check_queue(pool->queues[i], false, i, &waiters)) {
            return false;
        }
    }
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        if (census.endpoint_open[i] != pool->endpoints[i].open_count ||
            census.endpoint_leased[i] != pool->endpoints[i].leased_count) {
            return false;
        }
    }
    return check_queue(pool->checks, true, 0, &waiters) && waiters == pool->waiters_count &&
           census.doomed_idle == pool->doomed_idle_count &&
           check_accounts(&pool->users, census.held, census.claimed) &&
           check_accounts(&pool->databases, census.held, census.claimed);
}
