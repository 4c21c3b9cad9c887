/* See pool.h for the rules, the states and the invariants. Here: what happens to waiters and links; what is done
 * next is in decide.c. */
#include "pool/pool.h"

#include "base/assert.h"
#include "pool/pool_internal.h"

#include <utlist.h>

/* ---- links ---- */

static bool is_live(enum bpi_pool_link_state state)
{
    return state == BPI_POOL_OPENING || state == BPI_POOL_IDLE || state == BPI_POOL_CHECKING ||
           state == BPI_POOL_LEASED;
}

static void count_minima(struct bpi_pool *pool, enum bpi_class class_, int change)
{
    struct bpi_pool_class *own = &pool->classes[class_];
    unsigned min = pool->limits.classes[class_].min;
    if (change > 0) {
        pool->minima_unused -= own->leased < min;
        own->leased++;
    } else {
        own->leased--;
        pool->minima_unused += own->leased < min;
    }
}

static void account_change(struct bpi_pool_accounts *accounts, uint64_t key, bool is_more)
{
    if (is_more) {
        bpi_pool_accounts_add(accounts, key, BPI_POOL_HELD);
    } else {
        bpi_pool_accounts_remove(accounts, key, BPI_POOL_HELD);
    }
}

static void accounts_change(struct bpi_pool *pool, const struct bpi_pool_link *link, bool is_more)
{
    if (link->user_key != 0) {
        account_change(&pool->users, link->user_key, is_more);
    }
    if (link->database_key != 0) {
        account_change(&pool->databases, link->database_key, is_more);
    }
    if (link->tenant_key != 0) {
        account_change(&pool->tenants, bpi_pool_tenant_account(link->tenant_key, link->class_),
                       is_more);
    }
}

/* Links of the class that the tenant holds; those without one are one tenant. */
static unsigned tenant_held(const struct bpi_pool *pool, uint64_t tenant_key, enum bpi_class class_)
{
    if (tenant_key == 0) {
        return pool->classes[class_].untenanted;
    }
    const struct bpi_pool_account *account =
        bpi_pool_accounts_get(&pool->tenants, bpi_pool_tenant_account(tenant_key, class_));
    return account == NULL ? 0 : account->counts[BPI_POOL_HELD];
}

/* A lease began or ended. */
static void count_holder(struct bpi_pool *pool, const struct bpi_pool_link *link, bool is_more)
{
    struct bpi_pool_class *class_ = &pool->classes[link->class_];
    if ((link->user_key | link->database_key | link->tenant_key) != 0) {
        accounts_change(pool, link, is_more);
    }
    if (link->tenant_key == 0) {
        class_->untenanted = is_more ? class_->untenanted + 1 : class_->untenanted - 1;
    }
    if (class_->queue.count > 0) {
        bpi_pool_queue_held(&class_->queue, link->tenant_key,
                            tenant_held(pool, link->tenant_key, link->class_));
    }
}

static void rebase(struct bpi_pool *pool)
{
    int64_t by = BPI_POOL_PASS_MAX / 2;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        bpi_pool_share_rebase(&pool->classes[i].share, by);
    }
    pool->pass_now -= by;
}

/* Whether anybody of another class wants a link. */
static bool others_wait(const struct bpi_pool *pool, enum bpi_class class_)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT && pool->waiters_count > 0; i++) {
        waiting += i == (unsigned)class_ ? 0 : pool->classes[i].queue.count;
    }
    return waiting > 0;
}

static void lease_begins(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    struct bpi_pool_class *class_ = &pool->classes[link->class_];
    struct bpi_pool_endpoint *endpoint = &pool->endpoints[link->endpoint];
    DL_APPEND(class_->leases, link);
    if (class_->unjudged == NULL) {
        class_->unjudged = link;
    }
    link->judged = link->is_check; /* says nothing of how long the class's work takes */
    link->lease_id = ++pool->lease_ids;
    link->leases++;
    link->charged_us = 0;
    if (!link->is_check) {
        bool is_free = class_->leased < pool->limits.classes[link->class_].min ||
                       !others_wait(pool, link->class_);
        link->charged_us =
            bpi_pool_share_begin(&class_->share, class_->leased, is_free, link->leased_us);
    }
    count_minima(pool, link->class_, +1);
    class_->granted_total++;
    endpoint->leased_count++;
    endpoint->granted_total++;
    count_holder(pool, link, true);
}

static void lease_ends(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    struct bpi_pool_class *class_ = &pool->classes[link->class_];
    bp_usec hold_us = bpi_pool_elapsed(now_us, link->leased_us);
    if (class_->unjudged == link) {
        class_->unjudged = link->next;
    }
    DL_DELETE(class_->leases, link);
    if (!link->judged) {
        bpi_pool_share_judge(&class_->share, hold_us > pool->limits.lend_max_hold_us);
    }
    if (!link->is_check) {
        bpi_pool_share_end(&class_->share, class_->leased, hold_us, link->charged_us, now_us);
    }
    link->is_check = false;
    if (class_->share.pass > BPI_POOL_PASS_MAX) {
        rebase(pool);
    }
    count_minima(pool, link->class_, -1);
    pool->endpoints[link->endpoint].leased_count--;
    count_holder(pool, link, false);
}

static void leave_state(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    struct bpi_pool_endpoint *endpoint = &pool->endpoints[link->endpoint];
    pool->counts[link->state]--;
    if (link->state == BPI_POOL_LEASED) {
        lease_ends(pool, link, now_us);
        return;
    }
    DL_DELETE(pool->lists[link->state], link);
    if (link->state == BPI_POOL_IDLE) {
        pool->doomed_idle_count -= link->doomed;
    } else if (link->state == BPI_POOL_CLOSED) {
        endpoint->open_count++; /* the endpoint was chosen just before */
    } else if (link->state == BPI_POOL_OPENING) {
        endpoint->opening_count--;
    }
}

/* A link that was checked only to keep it alive stays as long idle as it is. */
static void insert_idle(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    struct bpi_pool_link **idle = &pool->lists[BPI_POOL_IDLE];
    struct bpi_pool_link *at = *idle;
    while (at != NULL && at->idle_us > link->idle_us) {
        at = at->next;
    }
    DL_PREPEND_ELEM(*idle, at, link);
}

void bpi_pool_link_set_state(struct bpi_pool *pool,
                             struct bpi_pool_link *link,
                             enum bpi_pool_link_state state,
                             bp_usec now_us)
{
    unsigned bucket = bpi_pool_identity_bucket(&link->key);
    bool was_live = is_live(link->state);
    leave_state(pool, link, now_us);
    if (was_live != is_live(state)) {
        if (was_live) {
            pool->identity_live[bucket]--;
        } else {
            pool->identity_live[bucket]++;
        }
    }
    bool was_checking = link->state == BPI_POOL_CHECKING;
    if (link->ending && !is_live(state)) {
        link->ending = false;
        pool->ending_count--;
    }
    link->state = state;
    pool->counts[state]++;
    if (state == BPI_POOL_LEASED) {
        lease_begins(pool, link);
        return;
    }
    if (state == BPI_POOL_IDLE) {
        pool->doomed_idle_count += link->doomed;
        if (was_checking) {
            insert_idle(pool, link);
            return;
        }
    } else if (state == BPI_POOL_CLOSED) {
        pool->endpoints[link->endpoint].open_count--;
    } else if (state == BPI_POOL_OPENING) {
        pool->endpoints[link->endpoint].opening_count++;
    }
    DL_PREPEND(pool->lists[state], link);
}

void bpi_pool_lease(struct bpi_pool *pool,
                    struct bpi_pool_link *link,
                    struct bpi_pool_waiter *waiter,
                    bp_usec now_us)
{
    struct bpi_pool_class *class_ = &pool->classes[waiter->class_];
    waiter->state = BPI_POOL_WAITER_GRANTED;
    pool->check_was_last = false;
    link->class_ = waiter->class_;
    link->priority = waiter->priority;
    link->user_key = waiter->user_key;
    link->database_key = waiter->database_key;
    link->tenant_key = waiter->tenant_key;
    link->leased_us = now_us;
    /* Virtual time stands at the pass of the class served last; a minimum is served whatever the pass. */
    if (class_->share.pass > pool->pass_now &&
        class_->leased >= pool->limits.classes[waiter->class_].min) {
        pool->pass_now = class_->share.pass;
    }
    bpi_pool_note_lease(pool, link, waiter, now_us);
    bpi_pool_link_set_state(pool, link, BPI_POOL_LEASED, now_us);
}

/* ---- ties ---- */

void bpi_pool_tie(struct bpi_pool *pool, struct bpi_pool_link *link, struct bpi_pool_waiter *waiter)
{
    link->sponsor = waiter;
    if (waiter->is_check) {
        return;
    }
    pool->classes[waiter->class_].claimed++;
    pool->claimed_count++;
    if (waiter->user_key != 0) {
        bpi_pool_accounts_add(&pool->users, waiter->user_key, BPI_POOL_CLAIMED);
    }
    if (waiter->database_key != 0) {
        bpi_pool_accounts_add(&pool->databases, waiter->database_key, BPI_POOL_CLAIMED);
    }
}

void bpi_pool_untie(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    struct bpi_pool_waiter *waiter = link->sponsor;
    if (waiter == NULL) {
        return;
    }
    link->sponsor = NULL;
    if (waiter->opening == link) {
        waiter->opening = NULL;
    } else {
        BP_ASSERT(waiter->evicted == link);
        waiter->evicted = NULL;
    }
    if (waiter->is_check) {
        return;
    }
    pool->classes[waiter->class_].claimed--;
    pool->claimed_count--;
    if (waiter->user_key != 0) {
        bpi_pool_accounts_remove(&pool->users, waiter->user_key, BPI_POOL_CLAIMED);
    }
    if (waiter->database_key != 0) {
        bpi_pool_accounts_remove(&pool->databases, waiter->database_key, BPI_POOL_CLAIMED);
    }
}

void bpi_pool_untie_waiter(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->opening != NULL) {
        bpi_pool_untie(pool, waiter->opening);
    }
    if (waiter->evicted != NULL) {
        bpi_pool_untie(pool, waiter->evicted);
    }
}

/* ---- waiters ---- */

void bpi_pool_enqueue(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    bp_usec ends_us = waiter->expires_us;
    if (waiter->deadline_us != 0 && (ends_us == 0 || waiter->deadline_us < ends_us)) {
        ends_us = waiter->deadline_us;
    }
    waiter->state = BPI_POOL_WAITER_QUEUED;
    pool->waiters_count++;
    waiter->expiry.at_us = 0;
    if (ends_us != 0) {
        bpi_pool_expiry_add(&pool->expiry, &waiter->expiry, ends_us);
    }
    if (waiter->is_check) {
        /* Others may have come back too: the queue stays in the order of arrival. */
        struct bpi_pool_waiter *later = pool->checks;
        while (later != NULL && later->sequence < waiter->sequence) {
            later = later->node.next;
        }
        DL_PREPEND_ELEM2(pool->checks, later, waiter, node.prev, node.next);
        return;
    }
    struct bpi_pool_class *class_ = &pool->classes[waiter->class_];
    if (class_->queue.count == 0) {
        bpi_pool_share_wake(&class_->share, pool->pass_now - pool->wake_credit);
    }
    pool->identity_waiting[bpi_pool_identity_bucket(&waiter->key)]++;
    bpi_pool_queue_add(&class_->queue, waiter,
                       tenant_held(pool, waiter->tenant_key, waiter->class_));
}

void bpi_pool_dequeue(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    bpi_pool_untie_waiter(pool, waiter);
    bpi_pool_expiry_remove(&pool->expiry, &waiter->expiry);
    pool->waiters_count--;
    if (pool->held_back_count > pool->waiters_count) {
        bpi_pool_set_held_back(pool, pool->waiters_count, now_us);
    }
    pool->called_count -= waiter->called;
    waiter->called = false;
    if (waiter->is_check) {
        DL_DELETE2(pool->checks, waiter, node.prev, node.next);
        return;
    }
    pool->identity_waiting[bpi_pool_identity_bucket(&waiter->key)]--;
    bpi_pool_queue_remove(&pool->classes[waiter->class_].queue, waiter);
}

void bpi_pool_wait_again(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    BP_ASSERT(waiter->state == BPI_POOL_WAITER_GRANTED);
    waiter->called = false;
    bpi_pool_enqueue(pool, waiter);
}

static struct bpi_pool_waiter *find_waiter_of(struct bpi_pool *pool, const struct bpi_pool_key *key)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        for (unsigned j = 0; j < BPI_PRIORITY_COUNT; j++) {
            struct bpi_pool_waiter *waiter = pool->classes[i].queue.levels[j].by_age;
            for (; waiter != NULL; waiter = waiter->node.newer) {
                if (memcmp(waiter->key.identity, key->identity, sizeof(key->identity)) == 0) {
                    return waiter;
                }
            }
        }
    }
    return NULL;
}

struct bpi_pool_waiter *
bpi_pool_take_waiter(struct bpi_pool *pool, const struct bpi_pool_key *key, bp_usec now_us)
{
    struct bpi_pool_waiter *waiter = find_waiter_of(pool, key);
    if (waiter != NULL) {
        bpi_pool_dequeue(pool, waiter, now_us);
        waiter->state = BPI_POOL_WAITER_GRANTED;
    }
    return waiter;
}

bool bpi_pool_cancel(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    if (waiter->state == BPI_POOL_WAITER_GRANTED) {
        return false;
    }
    if (waiter->state == BPI_POOL_WAITER_QUEUED) {
        bpi_pool_dequeue(pool, waiter, now_us);
        waiter->state = BPI_POOL_WAITER_NONE;
    }
    return true;
}

/* ---- fit ---- */

bool bpi_pool_login_is_fresh(const struct bpi_pool *pool,
                             const struct bpi_pool_link *link,
                             bp_usec now_us)
{
    return pool->limits.auth_ttl_us == 0 ||
           bpi_pool_elapsed(now_us, link->login_us) < pool->limits.auth_ttl_us;
}

bool bpi_pool_is_exact(const struct bpi_pool *pool,
                       const struct bpi_pool_link *link,
                       const struct bpi_pool_waiter *waiter,
                       bp_usec now_us)
{
    return bpi_pool_link_is_usable(link, now_us) && bpi_pool_key_equal(&link->key, &waiter->key) &&
           bpi_pool_login_is_fresh(pool, link, now_us);
}

bool bpi_pool_fits_exactly(const struct bpi_pool *pool,
                           const struct bpi_pool_link *link,
                           const struct bpi_pool_waiter *waiter,
                           bp_usec now_us)
{
    return bpi_pool_is_exact(pool, link, waiter, now_us) &&
           (bpi_pool_endpoints_for(pool, waiter, now_us) >> link->endpoint & 1) != 0;
}

/* ---- taking without a queue ---- */

/* Whether one that comes now may go ahead of those who wait: only of its own class and priority or less, none of
 * whom has waited for long. */
static bool
may_barge(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    const struct bpi_pool_queue *queue = &pool->classes[waiter->class_].queue;
    if (!pool->limits.barging || queue->count != pool->waiters_count) {
        return false;
    }
    for (unsigned i = (unsigned)waiter->priority + 1; i < BPI_PRIORITY_COUNT; i++) {
        if (queue->levels[i].count > 0) {
            return false;
        }
    }
    const struct bpi_pool_waiter *oldest = bpi_pool_queue_oldest(queue);
    return bpi_pool_elapsed(now_us, oldest->arrived_us) < pool->limits.pass_over_us;
}

static struct bpi_pool_link *
take_idle(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    if (pool->paused || waiter->is_check || pool->lists[BPI_POOL_IDLE] == NULL ||
        !bpi_pool_class_may_take(pool, waiter->class_, 0, 0, now_us) ||
        bpi_pool_waiter_is_capped(pool, waiter)) {
        return NULL;
    }
    return bpi_pool_find_exact(pool, waiter, now_us, NULL);
}

struct bpi_pool_link *
bpi_pool_take(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    BP_ASSERT(waiter->state != BPI_POOL_WAITER_QUEUED);
    if (pool->waiters_count > 0 && !may_barge(pool, waiter, now_us)) {
        return NULL;
    }
    struct bpi_pool_link *link = take_idle(pool, waiter, now_us);
    if (link == NULL) {
        return NULL;
    }
    waiter->arrived_us = now_us;
    waiter->sequence = ++pool->sequence;
    waiter->opening = NULL;
    waiter->evicted = NULL;
    waiter->called = false;
    bpi_pool_share_wake(&pool->classes[waiter->class_].share, pool->pass_now - pool->wake_credit);
    bpi_pool_lease(pool, link, waiter, now_us);
    return link;
}

struct bpi_pool_link *
bpi_pool_come(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    if (waiter->state != BPI_POOL_WAITER_QUEUED) {
        return NULL;
    }
    pool->called_count -= waiter->called;
    waiter->called = false;
    struct bpi_pool_link *link = take_idle(pool, waiter, now_us);
    if (link != NULL) {
        bpi_pool_dequeue(pool, waiter, now_us);
        bpi_pool_queue_served(&pool->classes[waiter->class_].queue, waiter->priority, now_us);
        bpi_pool_lease(pool, link, waiter, now_us);
    }
    return link;
}

/* ---- events of links ---- */

/* When the link is to be closed for its age: up to a tenth early, so that links opened together don't end together. */
static void set_life(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    bp_usec life_us = pool->limits.lifetime_us;
    link->life_until_us = 0;
    if (life_us != 0) {
        bp_usec early_us = bpi_random_below(&pool->random, life_us / 10 + 1);
        link->life_until_us = link->opened_us + life_us - early_us;
    }
}

static void link_idle(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    bp_usec until_us = link->life_until_us;
    if ((until_us != 0 && now_us >= until_us) || pool->endpoints[link->endpoint].draining) {
        link->doomed = true;
    }
    if (link->state != BPI_POOL_CHECKING) {
        link->idle_us = now_us;
    }
    bpi_pool_link_set_state(pool, link, BPI_POOL_IDLE, now_us);
    if (until_us != 0 && !link->doomed && !link->replaced && !link->ending &&
        now_us + bpi_pool_replace_ahead_us(pool) >= until_us) {
        /* Until it has a replacement, or is closed: another lease may begin before anybody asks. */
        link->ending = true;
        pool->ending_count++;
    }
    bp_usec look_us = until_us == 0 ? UINT64_MAX : until_us;
    if (pool->limits.keep_alive_us != 0 && link->heard_us + pool->limits.keep_alive_us < look_us) {
        look_us = link->heard_us + pool->limits.keep_alive_us;
    }
    pool->idle_look_us = look_us < pool->idle_look_us ? look_us : pool->idle_look_us;
}

void bpi_pool_link_opened(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_OPENING);
    bpi_pool_untie(pool, link);
    bpi_pool_count_connect(pool, bpi_pool_elapsed(now_us, link->since_us));
    link->opened_us = now_us; /* its life doesn't count the connect, which may take longer */
    link->login_us = now_us;
    link->heard_us = now_us;
    link->errors = 0;
    link->leases = 0;
    set_life(pool, link);
    if (link->is_check) {
        link->leased_us = now_us;
        bpi_pool_link_set_state(pool, link, BPI_POOL_LEASED, now_us);
    } else {
        link_idle(pool, link, now_us);
    }
}

void bpi_pool_link_released(struct bpi_pool *pool,
                            struct bpi_pool_link *link,
                            bool failed,
                            bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_LEASED);
    link->errors = failed ? link->errors + 1 : 0;
    if (pool->limits.errors_max != 0 && link->errors >= pool->limits.errors_max) {
        link->doomed = true;
        pool->ending_count -= link->ending;
        link->ending = false;
    }
    link->heard_us = now_us;
    link_idle(pool, link, now_us);
}

void bpi_pool_link_checked(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_CHECKING);
    link->heard_us = now_us;
    link_idle(pool, link, now_us);
}

void bpi_pool_link_unchecked(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_CHECKING);
    link_idle(pool, link, now_us);
}

void bpi_pool_link_closing(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state != BPI_POOL_CLOSED);
    if (link->state != BPI_POOL_CLOSING) {
        bpi_pool_untie(pool, link);
        bpi_pool_link_set_state(pool, link, BPI_POOL_CLOSING, now_us);
    }
}

void bpi_pool_link_closed(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state != BPI_POOL_CLOSED);
    bpi_pool_untie(pool, link);
    bpi_pool_link_set_state(pool, link, BPI_POOL_CLOSED, now_us);
    link->doomed = false;
    link->replaced = false;
}

struct bpi_pool_link *
bpi_pool_take_for_check(struct bpi_pool *pool, unsigned endpoint, bp_usec now_us)
{
    /* The longest idle one: the others are what the next waiters would get. */
    struct bpi_pool_link *last = NULL;
    struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        last = link->endpoint == endpoint && !link->doomed ? link : last;
    }
    if (last != NULL) {
        last->since_us = now_us;
        bpi_pool_link_set_state(pool, last, BPI_POOL_CHECKING, now_us);
    }
    return last;
}

/* ---- all links of a kind ---- */

static void doom_list(struct bpi_pool *pool,
                      struct bpi_pool_link *list,
                      const struct bpi_pool_key *key,
                      int endpoint)
{
    struct bpi_pool_link *link;
    DL_FOREACH(list, link)
    {
        bool same = (key == NULL ||
                     memcmp(link->key.identity, key->identity, sizeof(key->identity)) == 0) &&
                    (endpoint < 0 || link->endpoint == endpoint);
        if (same && !link->doomed) {
            link->doomed = true;
            pool->doomed_idle_count += link->state == BPI_POOL_IDLE;
            pool->ending_count -= link->ending; /* nothing takes its place */
            link->ending = false;
        }
    }
}

static void doom(struct bpi_pool *pool, const struct bpi_pool_key *key, int endpoint)
{
    doom_list(pool, pool->lists[BPI_POOL_OPENING], key, endpoint);
    doom_list(pool, pool->lists[BPI_POOL_IDLE], key, endpoint);
    doom_list(pool, pool->lists[BPI_POOL_CHECKING], key, endpoint);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        doom_list(pool, pool->classes[i].leases, key, endpoint);
    }
}

void bpi_pool_forget_identity(struct bpi_pool *pool, const struct bpi_pool_key *key)
{
    doom(pool, key, -1);
    if (memcmp(pool->warm_key.identity, key->identity, sizeof(key->identity)) == 0) {
        pool->has_warm_key = false;
    }
}

void bpi_pool_doom_all(struct bpi_pool *pool)
{
    doom(pool, NULL, -1);
}

static void renew_list(struct bpi_pool *pool, struct bpi_pool_link *list, bp_usec now_us)
{
    struct bpi_pool_link *link;
    DL_FOREACH(list, link)
    {
        set_life(pool, link);
        if (link->life_until_us != 0 && link->life_until_us <= now_us) {
            link->life_until_us =
                now_us + 1 + bpi_random_below(&pool->random, pool->limits.lifetime_us / 10 + 1);
        }
        pool->ending_count -= link->ending; /* it is looked at again when it comes back */
        link->ending = false;
    }
}

void bpi_pool_renew_lives(struct bpi_pool *pool, bp_usec now_us)
{
    renew_list(pool, pool->lists[BPI_POOL_IDLE], now_us);
    renew_list(pool, pool->lists[BPI_POOL_CHECKING], now_us);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        renew_list(pool, pool->classes[i].leases, now_us);
    }
    pool->idle_look_us = 0;
}

void bpi_pool_set_warm_key(struct bpi_pool *pool,
                           const struct bpi_pool_key *key,
                           uint32_t protocol_bit)
{
    pool->has_warm_key = key != NULL;
    if (key != NULL) {
        pool->warm_key = *key;
        pool->warm_protocol_bit = protocol_bit;
    }
}

void bpi_pool_pause(struct bpi_pool *pool, bool paused)
{
    pool->paused = paused;
}

void bpi_pool_endpoint_up(struct bpi_pool *pool, unsigned endpoint)
{
    pool->endpoints[endpoint].up = true;
    pool->endpoints[endpoint].open_after_us = 0;
}

void bpi_pool_endpoint_down(struct bpi_pool *pool,
                            unsigned endpoint,
                            bp_usec open_after_us,
                            bp_usec now_us)
{
    pool->endpoints[endpoint].up = false;
    pool->endpoints[endpoint].down_us = now_us;
    pool->endpoints[endpoint].open_after_us = open_after_us;
}

void bpi_pool_endpoint_drain(struct bpi_pool *pool, unsigned endpoint, bool draining)
{
    pool->endpoints[endpoint].draining = draining;
    bpi_pool_count_slots(pool);
    if (draining) {
        doom(pool, NULL, (int)endpoint);
    }
}

/* ---- the whole ---- */

void bpi_pool_count_slots(struct bpi_pool *pool)
{
    unsigned max = pool->limits.endpoint_transactions_max;
    uint64_t slots = pool->limits.links_max;
    if (max != 0) {
        uint64_t transactions = 0;
        for (unsigned i = 0; i < pool->endpoints_count; i++) {
            transactions += pool->endpoints[i].draining ? 0 : max;
        }
        slots = transactions < slots ? transactions : slots;
    }
    pool->slots = (unsigned)slots;
    int64_t shares = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        shares += pool->limits.classes[i].share == 0 ? 1 : pool->limits.classes[i].share;
    }
    /* Virtual time in BPI_POOL_WAKE_US with all slots in use. */
    int64_t step_of_one = (int64_t)BPI_POOL_SHARE_MAX * BPI_POOL_STEP_SCALE;
    pool->wake_credit = (int64_t)(BPI_POOL_WAKE_US * slots) * step_of_one / shares;
}

void bpi_pool_init(struct bpi_pool *pool,
                   const struct bpi_pool_limits *limits,
                   unsigned endpoints_count,
                   uint64_t seed)
{
    BP_ASSERT(endpoints_count <= BPI_POOL_ENDPOINTS_MAX);
    memset(pool, 0, sizeof(*pool));
    pool->endpoints_count = endpoints_count;
    bpi_random_init(&pool->random, seed);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        bpi_pool_share_init(&pool->classes[i].share, limits->classes[i].share);
    }
    bpi_pool_set_limits(pool, limits);
}

void bpi_pool_set_limits(struct bpi_pool *pool, const struct bpi_pool_limits *limits)
{
    pool->limits = *limits;
    pool->minima_unused = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        unsigned min = limits->classes[i].min;
        unsigned leased = pool->classes[i].leased;
        bpi_pool_share_set(&pool->classes[i].share, limits->classes[i].share);
        pool->minima_unused += min > leased ? min - leased : 0;
    }
    pool->idle_look_us = 0;
    bpi_pool_count_slots(pool);
}

void bpi_pool_add_place(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    BP_ASSERT(link->state == BPI_POOL_CLOSED);
    bpi_pool_accounts_add_storage(&pool->users, &link->user_account);
    bpi_pool_accounts_add_storage(&pool->databases, &link->database_account);
    bpi_pool_accounts_add_storage(&pool->tenants, &link->tenant_account);
    DL_PREPEND(pool->lists[BPI_POOL_CLOSED], link);
    pool->counts[BPI_POOL_CLOSED]++;
}

unsigned bpi_pool_open_count(const struct bpi_pool *pool)
{
    return pool->counts[BPI_POOL_OPENING] + pool->counts[BPI_POOL_IDLE] +
           pool->counts[BPI_POOL_CHECKING] + pool->counts[BPI_POOL_LEASED] +
           pool->counts[BPI_POOL_CLOSING];
}

unsigned bpi_pool_ahead_count(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_queue_walk walk;
    unsigned ahead = 0;
    if (waiter->state != BPI_POOL_WAITER_QUEUED) {
        return pool->classes[waiter->class_].queue.count;
    }
    bpi_pool_queue_walk_init(&walk, &pool->classes[waiter->class_].queue, waiter->arrived_us);
    const struct bpi_pool_waiter *other = bpi_pool_queue_walk_next(&walk);
    while (other != NULL && other != waiter) {
        ahead++;
        other = bpi_pool_queue_walk_next(&walk);
    }
    return ahead;
}

bool bpi_pool_is_calm(const struct bpi_pool *pool)
{
    return pool->waiters_count == 0 && pool->doomed_idle_count == 0 && pool->ending_count == 0 &&
           !pool->spread_is_wanted && bpi_pool_open_count(pool) <= pool->limits.links_max &&
           (pool->limits.idle_min == 0 || bpi_pool_open_count(pool) >= pool->limits.idle_min);
}
