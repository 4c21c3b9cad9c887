/* What is to be done next; see pool.h for who goes first. */
#include "base/assert.h"
#include "base/container.h"
#include "pool/pool_internal.h"

#include <utlist.h>

/* Waiters whose caps are used up that are looked at for an idle link that fits. */
#define SKIM_WINDOW 512

static const struct bpi_pool_action nothing = {.kind = BPI_POOL_NOTHING};

/* ---- the order of the waiters over all classes ---- */

struct cursor {
    const struct bpi_pool *pool;
    bp_usec now_us;
    unsigned order[BPI_CLASS_COUNT]; /* the classes that may take a link, the first one first */
    unsigned count;
    unsigned position;
    struct bpi_pool_queue_walk walk;
};

static bool goes_first(const struct bpi_pool *pool, unsigned a, unsigned b)
{
    const struct bpi_pool_class *left = &pool->classes[a];
    const struct bpi_pool_class *right = &pool->classes[b];
    bool left_below = left->leased < pool->limits.classes[a].min;
    bool right_below = right->leased < pool->limits.classes[b].min;
    return left_below != right_below ? left_below : left->share.pass < right->share.pass;
}

static void cursor_init(struct cursor *cursor, struct bpi_pool *pool, bp_usec now_us)
{
    *cursor = (struct cursor){.pool = pool, .now_us = now_us};
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        if (pool->classes[i].queue.count == 0 ||
            !bpi_pool_class_may_take(pool, (enum bpi_class)i, 0, 0, now_us)) {
            continue;
        }
        unsigned at = cursor->count++;
        while (at > 0 && goes_first(pool, i, cursor->order[at - 1])) {
            cursor->order[at] = cursor->order[at - 1];
            at--;
        }
        cursor->order[at] = i;
    }
    if (cursor->count > 0) {
        bpi_pool_queue_walk_init(&cursor->walk, &pool->classes[cursor->order[0]].queue, now_us);
    }
}

static struct bpi_pool_waiter *cursor_next(struct cursor *cursor)
{
    while (cursor->position < cursor->count) {
        struct bpi_pool_waiter *waiter = bpi_pool_queue_walk_next(&cursor->walk);
        if (waiter != NULL) {
            return waiter;
        }
        if (++cursor->position < cursor->count) {
            const struct bpi_pool *pool = cursor->pool;
            bpi_pool_queue_walk_init(&cursor->walk,
                                     &pool->classes[cursor->order[cursor->position]].queue,
                                     cursor->now_us);
        }
    }
    return NULL;
}

/* The next one whose user and database are under their caps. Where each user is a tenant, all of a capped user are
 * left out in one step. */
static struct bpi_pool_waiter *cursor_next_uncapped(struct cursor *cursor)
{
    struct bpi_pool_waiter *waiter = cursor_next(cursor);
    while (waiter != NULL && bpi_pool_waiter_is_capped(cursor->pool, waiter)) {
        if (waiter->tenant_key != 0 && waiter->tenant_key == waiter->user_key &&
            cursor->pool->limits.database_links_max == 0) {
            bpi_pool_queue_walk_skip_tenant(&cursor->walk);
        }
        waiter = cursor_next(cursor);
    }
    return waiter;
}

/* ---- one run over the waiters ---- */

/* What it knows. */
struct scan {
    struct bpi_pool *pool;
    bp_usec now_us;
    unsigned loop;
    uint64_t open_endpoints; /* those that may be opened to now */
    /* Free places that older waiters of other loops get, whose loops were told. */
    unsigned promised;
    unsigned held_back;  /* waiters for whom it isn't worth to open a link */
    bool is_claimed_out; /* the last waiter: all that its caps allow is on its way */
    /* Bits of what the idle links' identities and protocols hash to, from the second waiter on. */
    bool idle_is_known;
    uint64_t idle_identities;
    uint64_t idle_protocols;
    uint64_t idle_endpoints;
};

static uint64_t identity_bit(const struct bpi_pool_key *key)
{
    return UINT64_C(1) << (key->identity[0] & 63); /* a digest: any byte is as good */
}

static uint64_t protocol_hash_bit(uint32_t protocol)
{
    return UINT64_C(1) << ((protocol * UINT32_C(0x9e3779b1)) >> 26);
}

static void scan_init(struct scan *scan, struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    *scan = (struct scan){.pool = pool, .now_us = now_us, .loop = loop};
    scan->open_endpoints = bpi_pool_open_endpoints(pool, now_us);
}

static bool scan_has_endpoint(const struct scan *scan, const struct bpi_pool_waiter *waiter)
{
    uint64_t open = scan->open_endpoints;
    if (open != 0) {
        open &= bpi_pool_endpoints_for(scan->pool, waiter, scan->now_us);
    }
    return bpi_pool_any_speaks(scan->pool, open, waiter->protocol_bit);
}

/* False where nothing can be done for the waiter whatever its turn, in constant time: a thousand
 * waiters for a version that no server speaks at the moment don't hold up the others. */
static bool scan_may_help(struct scan *scan, const struct bpi_pool_waiter *waiter)
{
    if (!scan->idle_is_known) {
        const struct bpi_pool_link *link;
        DL_FOREACH(scan->pool->lists[BPI_POOL_IDLE], link)
        {
            scan->idle_identities |= identity_bit(&link->key);
            scan->idle_protocols |= protocol_hash_bit(link->key.protocol);
            scan->idle_endpoints |= UINT64_C(1) << link->endpoint;
        }
        scan->idle_is_known = true;
    }
    if ((scan->idle_protocols & protocol_hash_bit(waiter->key.protocol)) != 0 &&
        (waiter->relogin || (scan->idle_identities & identity_bit(&waiter->key)) != 0) &&
        (scan->idle_endpoints & bpi_pool_endpoints_for(scan->pool, waiter, scan->now_us)) != 0) {
        return true;
    }
    return scan_has_endpoint(scan, waiter);
}

static bool anyone_fits_exactly(const struct scan *scan, const struct bpi_pool_link *link)
{
    struct cursor cursor;
    cursor_init(&cursor, scan->pool, scan->now_us);
    for (int i = 0; i < BPI_POOL_FIT_WINDOW; i++) {
        struct bpi_pool_waiter *waiter = cursor_next(&cursor);
        if (waiter == NULL) {
            return false;
        }
        if (bpi_pool_fits_exactly(scan->pool, link, waiter, scan->now_us) &&
            !bpi_pool_waiter_is_capped(scan->pool, waiter)) {
            return true;
        }
    }
    return false;
}

/* One of the link's own loop that may have it in the place of `waiter`: of the same class and priority. */
static struct bpi_pool_waiter *find_local(const struct scan *scan,
                                          const struct bpi_pool_link *link,
                                          struct bpi_pool_waiter *waiter)
{
    const struct bpi_pool *pool = scan->pool;
    struct bpi_pool_queue_walk walk;
    if (link->loop == waiter->loop ||
        bpi_pool_elapsed(scan->now_us, waiter->arrived_us) >= pool->limits.pass_over_us) {
        return waiter;
    }
    bpi_pool_queue_walk_init(&walk, &pool->classes[waiter->class_].queue, scan->now_us);
    for (int i = 0; i < BPI_POOL_FIT_WINDOW; i++) {
        struct bpi_pool_waiter *other = bpi_pool_queue_walk_next(&walk);
        if (other == NULL || other->priority != waiter->priority) {
            break;
        }
        if (!bpi_pool_fits_exactly(pool, link, other, scan->now_us) ||
            bpi_pool_waiter_is_capped(pool, other)) {
            continue;
        }
        if (other->loop == link->loop) {
            return other;
        }
        if (bpi_pool_elapsed(scan->now_us, other->arrived_us) >= pool->limits.pass_over_us) {
            break; /* it is passed over no more */
        }
    }
    return waiter;
}

/* ---- actions ---- */

static struct bpi_pool_action grant(const struct scan *scan,
                                    struct bpi_pool_waiter *waiter,
                                    struct bpi_pool_link *link,
                                    bool login)
{
    struct bpi_pool *pool = scan->pool;
    bpi_pool_dequeue(pool, waiter, scan->now_us);
    bpi_pool_queue_served(&pool->classes[waiter->class_].queue, waiter->priority, scan->now_us);
    if (login) {
        /* It counts for its new identity from now on. */
        pool->identity_live[bpi_pool_identity_bucket(&link->key)]--;
        pool->identity_live[bpi_pool_identity_bucket(&waiter->key)]++;
        link->key = waiter->key;
        link->login_us = scan->now_us;
    }
    bpi_pool_lease(pool, link, waiter, scan->now_us);
    return (struct bpi_pool_action){
        .kind = BPI_POOL_GRANT, .waiter = waiter, .link = link, .login = login};
}

static struct bpi_pool_action call(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->called || pool->called_count >= pool->counts[BPI_POOL_IDLE]) {
        return nothing; /* whoever was called comes, or another one takes the link and gives it back */
    }
    waiter->called = true;
    pool->called_count++;
    return (struct bpi_pool_action){.kind = BPI_POOL_CALL, .waiter = waiter};
}

static struct bpi_pool_action refuse(struct bpi_pool *pool,
                                     struct bpi_pool_waiter *waiter,
                                     enum bpi_pool_refusal refusal,
                                     bp_usec now_us)
{
    bpi_pool_dequeue(pool, waiter, now_us);
    waiter->state = BPI_POOL_WAITER_GRANTED;
    pool->classes[waiter->class_].refused_total[refusal]++;
    return (struct bpi_pool_action){.kind = BPI_POOL_REFUSE, .waiter = waiter, .refusal = refusal};
}

/* `waiter`: for whom, or NULL. */
static struct bpi_pool_action close_link(struct bpi_pool *pool,
                                         struct bpi_pool_link *link,
                                         struct bpi_pool_waiter *waiter,
                                         bp_usec now_us)
{
    if (waiter != NULL) {
        waiter->evicted = link;
        bpi_pool_tie(pool, link, waiter);
    }
    bpi_pool_link_set_state(pool, link, BPI_POOL_CLOSING, now_us);
    return (struct bpi_pool_action){.kind = BPI_POOL_CLOSE, .link = link};
}

static struct bpi_pool_action
check_link(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    link->since_us = now_us;
    bpi_pool_link_set_state(pool, link, BPI_POOL_CHECKING, now_us);
    return (struct bpi_pool_action){.kind = BPI_POOL_CHECK, .link = link};
}

static struct bpi_pool_action kick(struct bpi_pool *pool, unsigned loop)
{
    uint64_t bit = UINT64_C(1) << loop;
    if ((pool->kicked_loops & bit) != 0) {
        return nothing;
    }
    pool->kicked_loops |= bit;
    return (struct bpi_pool_action){.kind = BPI_POOL_KICK, .loop = loop};
}

/* A free place becomes a link that is being opened. */
static struct bpi_pool_link *start_opening(struct bpi_pool *pool,
                                           const struct bpi_pool_key *key,
                                           unsigned endpoint,
                                           unsigned loop,
                                           bp_usec now_us)
{
    struct bpi_pool_link *link = pool->lists[BPI_POOL_CLOSED];
    link->endpoint = (uint16_t)endpoint;
    link->key = *key;
    link->loop = loop;
    link->doomed = false;
    link->is_check = false;
    link->replaced = false;
    link->since_us = now_us;
    link->opened_us = now_us;
    link->login_us = now_us;
    bpi_pool_link_set_state(pool, link, BPI_POOL_OPENING, now_us);
    return link;
}

/* Opens a link for the waiter, or wakes the loop that can. Nothing where its loop was woken already: a
 * place is promised to it, so that younger waiters of this loop don't take it. */
static struct bpi_pool_action open_link(struct scan *scan, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool *pool = scan->pool;
    if (waiter->loop != scan->loop) {
        scan->promised++;
        return kick(pool, waiter->loop);
    }
    unsigned endpoint = bpi_pool_find_endpoint(pool, waiter, waiter->protocol_bit, scan->now_us);
    BP_ASSERT(endpoint != BPI_POOL_ENDPOINTS_MAX);
    if (!waiter->is_check) {
        bpi_pool_opened_for(pool, waiter, scan->now_us);
    }
    struct bpi_pool_link *link =
        start_opening(pool, &waiter->key, endpoint, waiter->loop, scan->now_us);
    if (waiter->is_check) {
        bpi_pool_dequeue(pool, waiter, scan->now_us);
        pool->check_was_last = true;
        waiter->state = BPI_POOL_WAITER_GRANTED;
        link->is_check = true;
        link->class_ = waiter->class_;
        link->priority = waiter->priority;
        link->user_key = waiter->user_key;
        link->database_key = waiter->database_key;
        link->tenant_key = waiter->tenant_key;
    } else {
        bpi_pool_untie_waiter(pool, waiter);
        waiter->opening = link;
        bpi_pool_tie(pool, link, waiter);
    }
    return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .waiter = waiter, .link = link};
}

static struct bpi_pool_link *longest_idle(const struct bpi_pool *pool)
{
    /* utlist keeps the tail in head->prev; new idle links are put at the head. */
    return pool->lists[BPI_POOL_IDLE] == NULL ? NULL : pool->lists[BPI_POOL_IDLE]->prev;
}

/* The longest idle link whose end lets another one be opened for this waiter. */
static struct bpi_pool_link *find_victim(const struct scan *scan,
                                         const struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_link *victim = NULL;
    struct bpi_pool_link *link;
    if (scan_has_endpoint(scan, waiter)) {
        return longest_idle(scan->pool);
    }
    if (scan->pool->limits.endpoint_links_max == 0) {
        return NULL;
    }
    uint64_t fit = bpi_pool_endpoints_for(scan->pool, waiter, scan->now_us);
    DL_FOREACH(scan->pool->lists[BPI_POOL_IDLE], link)
    {
        uint32_t protocols = scan->pool->endpoints[link->endpoint].protocols;
        if ((fit >> link->endpoint & 1) != 0 &&
            (waiter->protocol_bit == 0 || (protocols & waiter->protocol_bit) != 0) &&
            bpi_pool_endpoint_is_only_full(scan->pool, link->endpoint, scan->now_us)) {
            victim = link;
        }
    }
    return victim;
}

/* The longest idle link that this waiter could log on to; one that needs no check where there is one. */
static struct bpi_pool_link *
find_relogin(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_pool_link *last = NULL;
    struct bpi_pool_link *silent = NULL;
    struct bpi_pool_link *link;
    if (!waiter->relogin) {
        return NULL;
    }
    uint64_t fit = bpi_pool_endpoints_for(pool, waiter, now_us);
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        if ((fit >> link->endpoint & 1) != 0 && bpi_pool_link_is_usable(link, now_us) &&
            link->key.protocol == waiter->key.protocol && bpi_pool_endpoint_has_slot(pool, link)) {
            if (bpi_pool_link_is_silent(pool, link, now_us)) {
                silent = link;
            } else {
                last = link;
            }
        }
    }
    return last != NULL ? last : silent;
}

/* An idle link of the waiter's own identity whose log-in has grown old: it is renewed (or, where the
 * protocol can't, closed) before another one is opened beside it. */
static struct bpi_pool_link *
find_stale(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_pool_link *silent = NULL;
    struct bpi_pool_link *link;
    uint64_t fit = bpi_pool_endpoints_for(pool, waiter, now_us);
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        if ((fit >> link->endpoint & 1) != 0 && bpi_pool_link_is_usable(link, now_us) &&
            bpi_pool_key_equal(&link->key, &waiter->key) &&
            !bpi_pool_login_is_fresh(pool, link, now_us) &&
            bpi_pool_endpoint_has_slot(pool, link)) {
            if (!bpi_pool_link_is_silent(pool, link, now_us)) {
                return link;
            }
            silent = silent == NULL ? link : silent;
        }
    }
    return silent;
}

/* ---- log-ins to be checked ---- */

/* Whether checks take as many places as they may: links that are being opened, or closed, for them. */
static bool checks_have_enough(const struct bpi_pool *pool)
{
    unsigned limit = pool->limits.links_max / BPI_POOL_CHECKS_PART;
    unsigned busy = 0;
    const struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_OPENING], link)
    {
        busy += link->is_check;
    }
    DL_FOREACH(pool->lists[BPI_POOL_CLOSING], link)
    {
        busy += link->sponsor != NULL && link->sponsor->is_check;
    }
    return busy >= (limit == 0 ? 1 : limit);
}

static struct bpi_pool_action decide_checks(struct scan *scan)
{
    struct bpi_pool *pool = scan->pool;
    struct bpi_pool_waiter *waiter;
    unsigned looked = 0;
    if (pool->checks == NULL) {
        return nothing;
    }
    bool have_enough = checks_have_enough(pool);
    for (waiter = pool->checks; waiter != NULL; waiter = waiter->node.next) {
        if (looked >= BPI_POOL_FIT_WINDOW) {
            break;
        }
        if (have_enough && waiter->evicted == NULL) {
            looked++;
            continue;
        }
        if (bpi_pool_has_place(pool, scan->promised) && scan_has_endpoint(scan, waiter)) {
            struct bpi_pool_action action = open_link(scan, waiter);
            if (action.kind != BPI_POOL_NOTHING) {
                return action;
            }
        } else if (waiter->evicted == NULL) {
            struct bpi_pool_link *victim = find_victim(scan, waiter);
            if (victim != NULL) {
                return close_link(pool, victim, waiter, scan->now_us);
            }
            if (!scan_has_endpoint(scan, waiter)) {
                continue; /* nothing helps it now; it doesn't keep the window from others */
            }
        }
        looked++;
    }
    return nothing;
}

/* ---- one waiter ---- */

/* Whether one more check may be started for those who wait: checks that take long don't count. */
static bool may_check(const struct bpi_pool *pool, bp_usec now_us)
{
    unsigned under_way = 0;
    const struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_CHECKING], link)
    {
        under_way += bpi_pool_elapsed(now_us, link->since_us) < BPI_POOL_CHECK_SLOW_US;
    }
    return under_way < pool->waiters_count;
}

/* How long a waiter is patient before a link that fits others is closed for it. Two versions that both have waiters
 * would else close and open a link for nearly every grant (measured: 200 a second on three links). */
static bp_usec evict_wait_us(const struct bpi_pool *pool)
{
    bp_usec wait_us = 4 * pool->connect_us;
    return wait_us > BPI_POOL_FIT_WAIT_US ? wait_us : BPI_POOL_FIT_WAIT_US;
}

/* At the limit, or where no link is worth opening: one of another identity is logged on anew, or closed. */
static struct bpi_pool_action
decide_misfit(struct scan *scan, struct bpi_pool_waiter *waiter, bool may_open)
{
    struct bpi_pool *pool = scan->pool;
    bool patient = bpi_pool_elapsed(scan->now_us, waiter->arrived_us) < BPI_POOL_FIT_WAIT_US;
    struct bpi_pool_link *link = find_relogin(pool, waiter, scan->now_us);
    if (link != NULL && bpi_pool_link_is_silent(pool, link, scan->now_us)) {
        return may_check(pool, scan->now_us) ? check_link(pool, link, scan->now_us) : nothing;
    }
    if (link != NULL) {
        if (patient && (waiter->opening != NULL || anyone_fits_exactly(scan, link))) {
            return nothing;
        }
        return grant(scan, waiter, link, true);
    }
    if (may_open && waiter->evicted == NULL) {
        patient = bpi_pool_elapsed(scan->now_us, waiter->arrived_us) < evict_wait_us(pool);
        link = find_victim(scan, waiter);
        if (link != NULL && !(patient && anyone_fits_exactly(scan, link))) {
            return close_link(pool, link, waiter, scan->now_us);
        }
    }
    return nothing;
}

/* What can be done for one waiter that is under all caps. */
static struct bpi_pool_action decide_waiter(struct scan *scan, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool *pool = scan->pool;
    bp_usec now_us = scan->now_us;
    struct bpi_pool_link *unchecked = NULL;
    struct bpi_pool_link *link = bpi_pool_find_exact(pool, waiter, now_us, &unchecked);
    if (link != NULL) {
        if (pool->limits.barging &&
            bpi_pool_elapsed(now_us, waiter->arrived_us) < pool->limits.pass_over_us) {
            return call(pool, waiter);
        }
        return grant(scan, find_local(scan, link, waiter), link, false);
    }
    if (unchecked != NULL && may_check(pool, now_us)) {
        return check_link(pool, unchecked, now_us);
    }
    bool may_claim = bpi_pool_waiter_may_claim(pool, waiter, now_us);
    link = find_stale(pool, waiter, now_us);
    if (link != NULL && waiter->relogin && bpi_pool_link_is_silent(pool, link, now_us)) {
        return may_check(pool, now_us) ? check_link(pool, link, now_us) : nothing;
    }
    if (link != NULL) {
        return waiter->relogin
                   ? grant(scan, waiter, link, true)
                   : close_link(pool, link, waiter->evicted == NULL && may_claim ? waiter : NULL,
                                now_us);
    }
    bool may_open = waiter->opening == NULL && may_claim;
    if (may_open && scan_has_endpoint(scan, waiter) && bpi_pool_has_place(pool, scan->promised)) {
        if (bpi_pool_is_worth_opening(pool, waiter, now_us)) {
            return open_link(scan, waiter);
        }
        scan->held_back++;
        may_open = false;
    }
    scan->is_claimed_out = waiter->opening == NULL && !may_claim;
    return decide_misfit(scan, waiter, may_open);
}

static struct bpi_pool_action decide_waiters(struct scan *scan)
{
    struct bpi_pool *pool = scan->pool;
    struct bpi_pool_action action = nothing;
    struct cursor cursor;
    struct bpi_pool_waiter *waiter;
    unsigned looked = 0;
    unsigned skimmed = 0;
    bool is_first = true;
    scan->held_back = 0;
    if (pool->lists[BPI_POOL_IDLE] == NULL &&
        !(scan->open_endpoints != 0 && bpi_pool_has_place(pool, scan->promised))) {
        bpi_pool_set_held_back(pool, 0, scan->now_us);
        return action;
    }
    cursor_init(&cursor, pool, scan->now_us);
    while (looked < BPI_POOL_FIT_WINDOW && skimmed < SKIM_WINDOW &&
           (waiter = cursor_next_uncapped(&cursor)) != NULL) {
        if (!is_first && !scan_may_help(scan, waiter)) {
            continue;
        }
        is_first = false;
        scan->is_claimed_out = false;
        action = decide_waiter(scan, waiter);
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
        /* Those for whom something is under way are no more than links; those whose caps are used up by what is on
         * its way may be many, and must not hide others. */
        skimmed += scan->is_claimed_out;
        looked += waiter->opening == NULL && waiter->evicted == NULL && !scan->is_claimed_out;
    }
    bpi_pool_set_held_back(pool, scan->held_back, scan->now_us);
    return action;
}

/* ---- without a waiter ---- */

/* A link that has to go whoever waits: doomed, or above a limit that was lowered. */
static struct bpi_pool_link *find_surplus(const struct bpi_pool *pool)
{
    if (pool->doomed_idle_count > 0) {
        struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
        {
            if (link->doomed) {
                return link;
            }
        }
    }
    bool above =
        bpi_pool_open_count(pool) - pool->counts[BPI_POOL_CLOSING] > pool->limits.links_max;
    return above ? longest_idle(pool) : NULL;
}

static struct bpi_pool_link *find_ending(const struct bpi_pool *pool)
{
    struct bpi_pool_link *link = pool->lists[BPI_POOL_IDLE];
    while (link != NULL && !link->ending) {
        link = link->next;
    }
    for (unsigned i = 0; i < BPI_CLASS_COUNT && link == NULL; i++) {
        link = pool->classes[i].leases;
        while (link != NULL && !link->ending) {
            link = link->next;
        }
    }
    return link;
}

/* Opens what nobody waits for yet: up to idle_min, and in the place of links near the end of their lives. */
static struct bpi_pool_action decide_ahead(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    if (pool->ending_count > 0) {
        struct bpi_pool_link *link = find_ending(pool);
        if (link == NULL) {
            return nothing; /* it is being checked */
        }
        if (link->loop != loop) {
            return kick(pool, link->loop);
        }
        link->ending = false;
        pool->ending_count--;
        if (bpi_pool_has_place(pool, 0) &&
            bpi_pool_endpoint_is_open(pool, link->endpoint, now_us)) {
            link->replaced = true;
            struct bpi_pool_link *fresh =
                start_opening(pool, &link->key, link->endpoint, loop, now_us);
            return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .link = fresh, .like = link};
        }
    }
    struct bpi_pool_link *like = bpi_pool_find_spread(pool, now_us);
    if (like != NULL && like->loop != loop) {
        return kick(pool, like->loop);
    }
    if (like != NULL) {
        pool->spread_is_wanted = false;
        struct bpi_pool_link *fresh =
            start_opening(pool, &like->key, pool->spread_endpoint, loop, now_us);
        return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .link = fresh, .like = like};
    }
    unsigned live = bpi_pool_open_count(pool) - pool->counts[BPI_POOL_CLOSING];
    if (pool->has_warm_key && live < pool->limits.idle_min && bpi_pool_has_place(pool, 0)) {
        unsigned endpoint = bpi_pool_find_endpoint(pool, NULL, pool->warm_protocol_bit, now_us);
        if (endpoint != BPI_POOL_ENDPOINTS_MAX) {
            struct bpi_pool_link *link =
                start_opening(pool, &pool->warm_key, endpoint, loop, now_us);
            return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .link = link};
        }
    }
    return nothing;
}

/* An idle link beyond its life, or silent for keep_alive_us: all are looked through, but only when one may be due. */
static struct bpi_pool_action look_at_idle(struct bpi_pool *pool, bp_usec now_us)
{
    if (now_us < pool->idle_look_us) {
        return nothing;
    }
    bp_usec every_us = pool->limits.keep_alive_us;
    bp_usec next_us = UINT64_MAX;
    struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        bp_usec life_us = link->life_until_us == 0 ? UINT64_MAX : link->life_until_us;
        bp_usec silent_us = every_us == 0 ? UINT64_MAX : link->heard_us + every_us;
        if (life_us <= now_us) {
            return close_link(pool, link, NULL, now_us);
        }
        if (silent_us <= now_us) {
            struct bpi_pool_action action = check_link(pool, link, now_us);
            action.keep_alive = true;
            return action;
        }
        next_us = life_us < next_us ? life_us : next_us;
        next_us = silent_us < next_us ? silent_us : next_us;
    }
    pool->idle_look_us = next_us;
    return nothing;
}

/* When the longest idle link has been idle for long enough; 0 = never. */
static bp_usec over_us(const struct bpi_pool *pool, const struct bpi_pool_link *link)
{
    unsigned live = bpi_pool_open_count(pool) - pool->counts[BPI_POOL_CLOSING];
    bp_usec idle_us = pool->limits.idle_timeout_us;
    return idle_us == 0 || live <= pool->limits.idle_min ? 0 : link->idle_us + idle_us;
}

static struct bpi_pool_action decide_idle(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    if (!pool->paused) {
        struct bpi_pool_action action = decide_ahead(pool, loop, now_us);
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
    }
    struct bpi_pool_link *link = longest_idle(pool);
    if (link == NULL) {
        return nothing;
    }
    /* Links that nobody needs grow old: the longest idle one is looked at. */
    bp_usec at_us = over_us(pool, link);
    if (at_us != 0 && at_us <= now_us) {
        return close_link(pool, link, NULL, now_us);
    }
    return look_at_idle(pool, now_us);
}

static struct bpi_pool_action decide_queued(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    struct scan scan;
    struct bpi_pool_waiter *shed = bpi_pool_find_shed(pool, now_us);
    if (shed != NULL) {
        return refuse(pool, shed, BPI_POOL_SHED, now_us);
    }
    scan_init(&scan, pool, loop, now_us);
    bool checks_first = !pool->check_was_last;
    struct bpi_pool_action action = nothing;
    if (checks_first) {
        action = decide_checks(&scan);
    }
    if (action.kind == BPI_POOL_NOTHING) {
        action = decide_waiters(&scan);
    }
    if (action.kind == BPI_POOL_NOTHING && !checks_first) {
        action = decide_checks(&scan);
    }
    return action;
}

struct bpi_pool_action bpi_pool_decide(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    BP_ASSERT(loop < BPI_POOL_LOOPS_MAX);
    pool->kicked_loops &= ~(UINT64_C(1) << loop);
    struct bpi_pool_expiry_node *first = pool->expiry.root;
    if (first != NULL && first->at_us <= now_us) {
        return refuse(pool, BPI_CONTAINER(first, struct bpi_pool_waiter, expiry), BPI_POOL_EXPIRED,
                      now_us);
    }
    struct bpi_pool_link *link = find_surplus(pool);
    if (link != NULL) {
        return close_link(pool, link, NULL, now_us);
    }
    if (pool->paused) {
        bpi_pool_set_held_back(pool, 0, now_us);
    } else if (pool->waiters_count > 0) {
        struct bpi_pool_action action = decide_queued(pool, loop, now_us);
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
    }
    return decide_idle(pool, loop, now_us);
}

/* ---- by time alone ---- */

static void sooner(bp_usec *next_us, bp_usec at_us, bp_usec now_us)
{
    if (at_us > now_us && (*next_us == 0 || at_us < *next_us)) {
        *next_us = at_us;
    }
}

/* When a waiter grows impatient: 5 ms for a better fit; pass_over_us for a barging caller. */
static void sooner_by_patience(struct bpi_pool *pool, bp_usec *next_us, bp_usec now_us)
{
    struct cursor cursor;
    struct bpi_pool_waiter *waiter;
    cursor_init(&cursor, pool, now_us);
    for (int i = 0; (waiter = cursor_next(&cursor)) != NULL; i++) {
        if (i == BPI_POOL_FIT_WINDOW) {
            sooner(next_us, now_us + BPI_POOL_FIT_WAIT_US, now_us);
            break;
        }
        sooner(next_us, waiter->arrived_us + BPI_POOL_FIT_WAIT_US, now_us);
        sooner(next_us, waiter->arrived_us + evict_wait_us(pool), now_us);
        if (pool->limits.barging) {
            sooner(next_us, waiter->arrived_us + pool->limits.pass_over_us, now_us);
        }
    }
}

static void sooner_by_codel(const struct bpi_pool *pool, bp_usec *next_us, bp_usec now_us)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_pool_class *class_ = &pool->classes[i];
        bp_usec target_us = pool->limits.classes[i].codel_target_us;
        const struct bpi_pool_waiter *oldest = bpi_pool_queue_oldest(&class_->queue);
        if (target_us == 0 || oldest == NULL) {
            continue;
        }
        sooner(next_us, oldest->arrived_us + target_us + 1, now_us);
        sooner(next_us, oldest->arrived_us + 2 * target_us + 1, now_us);
        if (class_->above_since_us != 0) {
            sooner(next_us, class_->above_since_us + bpi_pool_codel_interval_us(target_us), now_us);
            /* One that may be refused may stand behind others. */
            sooner(next_us, now_us + target_us, now_us);
        }
    }
}

static void sooner_by_waiters(struct bpi_pool *pool, bp_usec *next_us, bp_usec now_us)
{
    bool has_idle = pool->lists[BPI_POOL_IDLE] != NULL;
    if (has_idle) {
        sooner_by_patience(pool, next_us, now_us);
    }
    if (has_idle || bpi_pool_has_place(pool, 0)) {
        /* An endpoint may be tried again. */
        for (unsigned i = 0; i < pool->endpoints_count; i++) {
            if (pool->endpoints[i].up) {
                sooner(next_us, pool->endpoints[i].open_after_us, now_us);
            }
        }
    }
    if (pool->held_back_count > 0) {
        bp_usec step_us = pool->connect_us / 8;
        sooner(next_us, now_us + (step_us > BP_USEC_PER_MS ? step_us : BP_USEC_PER_MS), now_us);
    }
    const struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_CHECKING], link)
    {
        sooner(next_us, link->since_us + BPI_POOL_CHECK_SLOW_US, now_us);
    }
    sooner_by_codel(pool, next_us, now_us);
}

bp_usec bpi_pool_next_us(struct bpi_pool *pool, bp_usec now_us)
{
    bp_usec next_us = 0;
    struct bpi_pool_link *link = longest_idle(pool);
    if (pool->expiry.root != NULL) {
        sooner(&next_us, pool->expiry.root->at_us, now_us);
    }
    if (pool->waiters_count > 0 && !pool->paused) {
        sooner_by_waiters(pool, &next_us, now_us);
    }
    if (link != NULL) {
        sooner(&next_us, over_us(pool, link), now_us);
        if (pool->idle_look_us != UINT64_MAX) {
            sooner(&next_us, pool->idle_look_us, now_us);
        }
    }
    if (pool->has_warm_key && !pool->paused && bpi_pool_open_count(pool) < pool->limits.idle_min) {
        for (unsigned i = 0; i < pool->endpoints_count; i++) {
            if (pool->endpoints[i].up) {
                sooner(&next_us, pool->endpoints[i].open_after_us, now_us);
            }
        }
    }
    return next_us;
}
