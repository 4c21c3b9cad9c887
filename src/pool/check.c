/* bpi_pool_check(): counts anew what the pool keeps count of, and compares. For tests, after every step. */
#include "pool/pool_internal.h"

#include <utlist.h>

/* What bpi_pool_check() counts anew, to compare. */
struct census {
    unsigned class_claimed[BPI_CLASS_COUNT];
    unsigned endpoint_open[BPI_POOL_ENDPOINTS_MAX];
    unsigned endpoint_opening[BPI_POOL_ENDPOINTS_MAX];
    unsigned endpoint_leased[BPI_POOL_ENDPOINTS_MAX];
    unsigned live[BPI_POOL_IDENTITY_BUCKETS];
    unsigned waiting[BPI_POOL_IDENTITY_BUCKETS];
    unsigned user_held, database_held, tenant_held;
    unsigned user_claimed, database_claimed;
    unsigned claimed;
    unsigned doomed_idle;
    unsigned ending;
    unsigned leased;
    unsigned waiters;
    unsigned called;
    unsigned expiring;
};

static bool check_link(const struct bpi_pool_link *link, struct census *census)
{
    const struct bpi_pool_waiter *sponsor = link->sponsor;
    bool is_idle = link->state == BPI_POOL_IDLE;
    if (link->state != BPI_POOL_CLOSED) {
        census->endpoint_open[link->endpoint]++;
        census->live[bpi_pool_identity_bucket(&link->key)] += link->state != BPI_POOL_CLOSING;
    }
    census->endpoint_opening[link->endpoint] += link->state == BPI_POOL_OPENING;
    census->doomed_idle += is_idle && link->doomed;
    census->ending += link->ending;
    if (sponsor == NULL) {
        return true;
    }
    if (!sponsor->is_check) {
        census->class_claimed[sponsor->class_]++;
        census->claimed++;
        census->user_claimed += sponsor->user_key != 0;
        census->database_claimed += sponsor->database_key != 0;
    }
    return sponsor->state == BPI_POOL_WAITER_QUEUED &&
           ((link->state == BPI_POOL_OPENING && sponsor->opening == link) ||
            (link->state == BPI_POOL_CLOSING && sponsor->evicted == link));
}

static bool check_lists(const struct bpi_pool *pool, struct census *census)
{
    for (unsigned state = 0; state < BPI_POOL_STATE_COUNT; state++) {
        unsigned count = 0;
        const struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[state], link)
        {
            count++;
            if (link->state != (enum bpi_pool_link_state)state || !check_link(link, census)) {
                return false;
            }
        }
        if (state != BPI_POOL_LEASED && count != pool->counts[state]) {
            return false;
        }
    }
    return pool->lists[BPI_POOL_LEASED] == NULL;
}

static bool check_leases(const struct bpi_pool *pool, unsigned index, struct census *census)
{
    const struct bpi_pool_class *class_ = &pool->classes[index];
    const struct bpi_pool_link *link;
    unsigned count = 0;
    unsigned untenanted = 0;
    bool seen_unjudged = class_->unjudged == NULL;
    DL_FOREACH(class_->leases, link)
    {
        if (link->state != BPI_POOL_LEASED || link->class_ != (enum bpi_class)index ||
            !check_link(link, census)) {
            return false;
        }
        seen_unjudged = seen_unjudged || link == class_->unjudged;
        census->endpoint_leased[link->endpoint]++;
        census->user_held += link->user_key != 0;
        census->database_held += link->database_key != 0;
        census->tenant_held += link->tenant_key != 0;
        untenanted += link->tenant_key == 0;
        count++;
    }
    census->leased += count;
    return count == class_->leased && untenanted == class_->untenanted && seen_unjudged;
}

static bool check_waiter(const struct bpi_pool_waiter *waiter, bool is_check, struct census *census)
{
    census->waiters++;
    census->called += waiter->called;
    census->expiring += waiter->expiry.at_us != 0;
    if (!is_check) {
        census->waiting[bpi_pool_identity_bucket(&waiter->key)]++;
    }
    return waiter->state == BPI_POOL_WAITER_QUEUED && waiter->is_check == is_check &&
           (waiter->opening == NULL || waiter->opening->sponsor == waiter) &&
           (waiter->evicted == NULL || waiter->evicted->sponsor == waiter);
}

/* All of one tenant: in order, and as many as are counted. */
static bool check_tenant(const struct bpi_pool *pool,
                         const struct bpi_pool_waiter *first,
                         unsigned class_,
                         unsigned level,
                         struct census *census)
{
    unsigned held = pool->classes[class_].untenanted;
    if (first->tenant_key != 0) {
        const struct bpi_pool_account *account = bpi_pool_accounts_get(
            &pool->tenants, bpi_pool_tenant_account(first->tenant_key, (enum bpi_class)class_));
        held = account == NULL ? 0 : account->counts[BPI_POOL_HELD];
    }
    if (first->node.held != (held < BPI_POOL_HELD_MAX ? held : BPI_POOL_HELD_MAX)) {
        return false;
    }
    unsigned count = 0;
    const struct bpi_pool_waiter *waiter;
    for (waiter = first; waiter != NULL; waiter = waiter->node.next) {
        const struct bpi_pool_waiter *next = waiter->node.next;
        if (!check_waiter(waiter, false, census) || waiter->class_ != (enum bpi_class)class_ ||
            waiter->priority != (enum bpi_priority)level ||
            waiter->tenant_key != first->tenant_key ||
            (next != NULL && (next->node.order_us < waiter->node.order_us ||
                              (next->node.order_us == waiter->node.order_us &&
                               next->sequence <= waiter->sequence)))) {
            return false;
        }
        count++;
    }
    return count == first->node.count;
}

static bool
check_level(const struct bpi_pool *pool, unsigned class_, unsigned index, struct census *census)
{
    const struct bpi_pool_level *level = &pool->classes[class_].queue.levels[index];
    const struct bpi_pool_waiter *waiter;
    unsigned tenants = 0;
    unsigned before = census->waiters;
    for (unsigned held = 0; held <= BPI_POOL_HELD_MAX; held++) {
        if ((level->tenants[held] != NULL) != ((level->held_bits >> held & 1) != 0)) {
            return false;
        }
        for (waiter = level->tenants[held]; waiter != NULL; waiter = waiter->node.tenant_next) {
            tenants++;
            if (waiter->node.held != held || !check_tenant(pool, waiter, class_, index, census)) {
                return false;
            }
        }
    }
    unsigned by_age = 0;
    uint64_t last = 0;
    for (waiter = level->by_age; waiter != NULL; waiter = waiter->node.newer) {
        by_age++;
        if (waiter->sequence <= last) {
            return false;
        }
        last = waiter->sequence;
    }
    return tenants == level->tenants_count && by_age == level->count &&
           census->waiters - before == level->count;
}

static bool check_queue(const struct bpi_pool *pool, unsigned class_, struct census *census)
{
    unsigned count = 0;
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT; i++) {
        if (!check_level(pool, class_, i, census)) {
            return false;
        }
        count += pool->classes[class_].queue.levels[i].count;
    }
    return count == pool->classes[class_].queue.count;
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

/* A heap: no node earlier than the one above it. Returns how many there are, or -1. */
static int check_expiry(const struct bpi_pool_expiry_node *node, bp_usec least_us)
{
    int count = 0;
    for (; node != NULL; node = node->sibling) {
        int below = check_expiry(node->child, node->at_us);
        if (node->at_us < least_us || node->at_us == 0 || below < 0) {
            return -1;
        }
        count += 1 + below;
    }
    return count;
}

static bool check_classes(const struct bpi_pool *pool, struct census *census)
{
    unsigned minima_unused = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        unsigned min = pool->limits.classes[i].min;
        if (!check_leases(pool, i, census) || !check_queue(pool, i, census)) {
            return false;
        }
        minima_unused += min > pool->classes[i].leased ? min - pool->classes[i].leased : 0;
    }
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        if (census->class_claimed[i] != pool->classes[i].claimed) {
            return false;
        }
    }
    uint64_t last = 0;
    const struct bpi_pool_waiter *check;
    for (check = pool->checks; check != NULL; check = check->node.next) {
        if (!check_waiter(check, true, census) || check->sequence <= last) {
            return false;
        }
        last = check->sequence;
    }
    return minima_unused == pool->minima_unused;
}

bool bpi_pool_check(const struct bpi_pool *pool)
{
    struct census census = {0};
    if (!check_lists(pool, &census) || !check_classes(pool, &census)) {
        return false;
    }
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        const struct bpi_pool_endpoint *endpoint = &pool->endpoints[i];
        if (census.endpoint_open[i] != endpoint->open_count ||
            census.endpoint_opening[i] != endpoint->opening_count ||
            census.endpoint_leased[i] != endpoint->leased_count) {
            return false;
        }
    }
    for (unsigned i = 0; i < BPI_POOL_IDENTITY_BUCKETS; i++) {
        if (census.live[i] != pool->identity_live[i] ||
            census.waiting[i] != pool->identity_waiting[i]) {
            return false;
        }
    }
    return census.leased == pool->counts[BPI_POOL_LEASED] &&
           census.waiters == pool->waiters_count && census.called == pool->called_count &&
           census.claimed == pool->claimed_count && census.doomed_idle == pool->doomed_idle_count &&
           census.ending == pool->ending_count &&
           check_expiry(pool->expiry.root, 0) == (int)census.expiring &&
           check_accounts(&pool->users, census.user_held, census.user_claimed) &&
           check_accounts(&pool->databases, census.database_held, census.database_claimed) &&
           check_accounts(&pool->tenants, census.tenant_held, 0);
}
