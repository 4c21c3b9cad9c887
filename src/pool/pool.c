/* See pool.h for the rules, the states and the invariants. */
#include "pool/pool.h"

#include "base/assert.h"

#include <string.h>
#include <utlist.h>

/* 0 where `since_us` was taken by a loop whose clock is ahead. */
static bp_usec elapsed(bp_usec now_us, bp_usec since_us)
{
    return now_us > since_us ? now_us - since_us : 0;
}

static void
link_set_state(struct bpi_pool *pool, struct bpi_pool_link *link, enum bpi_pool_link_state state)
{
    struct bpi_pool_endpoint *endpoint = &pool->endpoints[link->endpoint];
    if (link->state == BPI_POOL_LEASED) {
        pool->class_leased[link->class_]--;
        bpi_pool_accounts_remove(&pool->users, link->user_key, BPI_POOL_HELD);
        bpi_pool_accounts_remove(&pool->databases, link->database_key, BPI_POOL_HELD);
        endpoint->leased_count--;
    }
    if (link->state == BPI_POOL_IDLE && link->doomed) {
        pool->doomed_idle_count--;
    }
    if (link->state != BPI_POOL_CLOSED && state == BPI_POOL_CLOSED) {
        endpoint->open_count--;
    }
    DL_DELETE(pool->lists[link->state], link);
    pool->counts[link->state]--;
    if (link->state == BPI_POOL_CLOSED) {
        /* The endpoint was chosen just before. */
        endpoint->open_count++;
    }
    link->state = state;
    DL_PREPEND(pool->lists[state], link);
    pool->counts[state]++;
    if (state == BPI_POOL_LEASED) {
        pool->class_leased[link->class_]++;
        bpi_pool_accounts_add(&pool->users, link->user_key, BPI_POOL_HELD);
        bpi_pool_accounts_add(&pool->databases, link->database_key, BPI_POOL_HELD);
        endpoint->leased_count++;
        endpoint->granted_total++;
    }
    if (state == BPI_POOL_IDLE && link->doomed) {
        pool->doomed_idle_count++;
    }
}

/* A tie lasts while a link is opened or closed for a waiter, and counts for the waiter's caps. */
static void tie(struct bpi_pool *pool, struct bpi_pool_link *link, struct bpi_pool_waiter *waiter)
{
    link->sponsor = waiter;
    if (!waiter->is_check) {
        pool->class_claimed[waiter->class_]++;
        bpi_pool_accounts_add(&pool->users, waiter->user_key, BPI_POOL_CLAIMED);
        bpi_pool_accounts_add(&pool->databases, waiter->database_key, BPI_POOL_CLAIMED);
    }
}

static void untie(struct bpi_pool *pool, struct bpi_pool_link *link)
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
    if (!waiter->is_check) {
        pool->class_claimed[waiter->class_]--;
        bpi_pool_accounts_remove(&pool->users, waiter->user_key, BPI_POOL_CLAIMED);
        bpi_pool_accounts_remove(&pool->databases, waiter->database_key, BPI_POOL_CLAIMED);
    }
}

static void untie_waiter(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->opening != NULL) {
        untie(pool, waiter->opening);
    }
    if (waiter->evicted != NULL) {
        untie(pool, waiter->evicted);
    }
}

void bpi_pool_init(struct bpi_pool *pool,
                   const struct bpi_pool_limits *limits,
                   unsigned endpoints_count)
{
    BP_ASSERT(endpoints_count <= BPI_POOL_ENDPOINTS_MAX);
    memset(pool, 0, sizeof(*pool));
    pool->limits = *limits;
    pool->endpoints_count = endpoints_count;
}

void bpi_pool_add_place(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    BP_ASSERT(link->state == BPI_POOL_CLOSED);
    bpi_pool_accounts_add_storage(&pool->users, &link->user_account);
    bpi_pool_accounts_add_storage(&pool->databases, &link->database_account);
    DL_PREPEND(pool->lists[BPI_POOL_CLOSED], link);
    pool->counts[BPI_POOL_CLOSED]++;
}

static struct bpi_pool_waiter **queue_of(struct bpi_pool *pool,
                                         const struct bpi_pool_waiter *waiter)
{
    return waiter->is_check ? &pool->checks : &pool->queues[waiter->class_];
}

static void queue_remove(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_waiter **queue = queue_of(pool, waiter);
    DL_DELETE(*queue, waiter);
    pool->waiters_count--;
}

void bpi_pool_wait(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    BP_ASSERT(waiter->state != BPI_POOL_WAITER_QUEUED);
    BP_ASSERT(waiter->loop < BPI_POOL_LOOPS_MAX);
    struct bpi_pool_waiter **queue = queue_of(pool, waiter);
    waiter->state = BPI_POOL_WAITER_QUEUED;
    waiter->arrived_us = now_us;
    waiter->sequence = ++pool->sequence;
    waiter->opening = NULL;
    waiter->evicted = NULL;
    DL_APPEND(*queue, waiter);
    pool->waiters_count++;
}

void bpi_pool_wait_again(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    BP_ASSERT(waiter->state == BPI_POOL_WAITER_GRANTED);
    waiter->state = BPI_POOL_WAITER_QUEUED;
    /* Others may have come back too: the queue stays in the order of arrival. */
    struct bpi_pool_waiter **queue = queue_of(pool, waiter);
    struct bpi_pool_waiter *later;
    DL_FOREACH(*queue, later)
    {
        if (later->sequence > waiter->sequence) {
            break;
        }
    }
    DL_PREPEND_ELEM(*queue, later, waiter);
    pool->waiters_count++;
}

struct bpi_pool_waiter *bpi_pool_take_waiter(struct bpi_pool *pool, const struct bpi_pool_key *key)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_waiter *waiter;
        DL_FOREACH(pool->queues[i], waiter)
        {
            if (memcmp(waiter->key.identity, key->identity, sizeof(key->identity)) == 0) {
                untie_waiter(pool, waiter);
                queue_remove(pool, waiter);
                waiter->state = BPI_POOL_WAITER_GRANTED;
                return waiter;
            }
        }
    }
    return NULL;
}

bool bpi_pool_cancel(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->state == BPI_POOL_WAITER_GRANTED) {
        return false;
    }
    if (waiter->state == BPI_POOL_WAITER_QUEUED) {
        untie_waiter(pool, waiter);
        queue_remove(pool, waiter);
        waiter->state = BPI_POOL_WAITER_NONE;
    }
    return true;
}

unsigned bpi_pool_open_count(const struct bpi_pool *pool)
{
    return pool->counts[BPI_POOL_OPENING] + pool->counts[BPI_POOL_IDLE] +
           pool->counts[BPI_POOL_LEASED] + pool->counts[BPI_POOL_CLOSING];
}

unsigned bpi_pool_ahead_count(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    unsigned ahead = 0;
    const struct bpi_pool_waiter *other;
    DL_FOREACH(pool->queues[waiter->class_], other)
    {
        if (other->sequence >= waiter->sequence) {
            break;
        }
        ahead++;
    }
    return ahead;
}

static bool key_equal(const struct bpi_pool_key *a, const struct bpi_pool_key *b)
{
    return a->protocol == b->protocol && memcmp(a->identity, b->identity, sizeof(a->identity)) == 0;
}

static bool class_is_capped(const struct bpi_pool *pool, unsigned class_)
{
    unsigned max = pool->limits.class_links_max[class_];
    return max != 0 && pool->class_leased[class_] >= max;
}

static bool account_is_capped(const struct bpi_pool_accounts *accounts, uint64_t key, unsigned max)
{
    if (max == 0) {
        return false;
    }
    const struct bpi_pool_account *account = bpi_pool_accounts_get(accounts, key);
    return account != NULL && account->counts[BPI_POOL_HELD] >= max;
}

static bool waiter_is_capped(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    return account_is_capped(&pool->users, waiter->user_key, pool->limits.user_links_max) ||
           account_is_capped(&pool->databases, waiter->database_key,
                             pool->limits.database_links_max);
}

/* Whether `own` fewer claims than there are leave room for one more link under the cap. */
static bool
account_has_room(const struct bpi_pool_accounts *accounts, uint64_t key, unsigned max, unsigned own)
{
    if (max == 0) {
        return true;
    }
    const struct bpi_pool_account *account = bpi_pool_accounts_get(accounts, key);
    return account == NULL ||
           account->counts[BPI_POOL_HELD] + account->counts[BPI_POOL_CLAIMED] - own < max;
}

/* Whether a link may be opened or closed for it: so that ten waiters of a class with a cap of two don't
 * have ten links opened, and eight idle ones of others closed for it. */
static bool waiter_may_claim(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    const struct bpi_pool_limits *limits = &pool->limits;
    unsigned own = waiter->evicted != NULL;
    unsigned class_max = limits->class_links_max[waiter->class_];
    return (class_max == 0 ||
            pool->class_leased[waiter->class_] + pool->class_claimed[waiter->class_] - own <
                class_max) &&
           account_has_room(&pool->users, waiter->user_key, limits->user_links_max, own) &&
           account_has_room(&pool->databases, waiter->database_key, limits->database_links_max,
                            own);
}

static bool
login_is_fresh(const struct bpi_pool *pool, const struct bpi_pool_link *link, bp_usec now_us)
{
    return pool->limits.auth_ttl_us == 0 ||
           elapsed(now_us, link->login_us) < pool->limits.auth_ttl_us;
}

static bool fits_exactly(const struct bpi_pool *pool,
                         const struct bpi_pool_link *link,
                         const struct bpi_pool_waiter *waiter,
                         bp_usec now_us)
{
    return !link->doomed && key_equal(&link->key, &waiter->key) &&
           login_is_fresh(pool, link, now_us);
}

/* Among the exactly fitting idle links: one of the waiter's own loop (handing over costs 5 us more),
 * then of the endpoint with the fewest leases, then the most recently used. */
static struct bpi_pool_link *
find_exact(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_pool_link *best = NULL;
    struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        if (!fits_exactly(pool, link, waiter, now_us)) {
            continue;
        }
        if (link->loop == waiter->loop && pool->endpoints_count == 1) {
            return link; /* there is no better one */
        }
        if (best == NULL) {
            best = link;
            continue;
        }
        unsigned busy = pool->endpoints[link->endpoint].leased_count;
        unsigned busy_best = pool->endpoints[best->endpoint].leased_count;
        if (busy < busy_best ||
            (busy == busy_best && link->loop == waiter->loop && best->loop != waiter->loop)) {
            best = link;
        }
    }
    return best;
}

/* The longest idle link that this waiter could log on to. */
static struct bpi_pool_link *find_relogin(const struct bpi_pool *pool,
                                          const struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_link *last = NULL;
    struct bpi_pool_link *link;
    if (!waiter->relogin) {
        return NULL;
    }
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        if (!link->doomed && link->key.protocol == waiter->key.protocol) {
            last = link;
        }
    }
    return last;
}

/* An idle link of the waiter's own identity whose log-in has grown old: it is renewed (or, where the
 * protocol can't, closed) before another one is opened beside it. */
static struct bpi_pool_link *
find_stale(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
    {
        if (!link->doomed && key_equal(&link->key, &waiter->key) &&
            !login_is_fresh(pool, link, now_us)) {
            return link;
        }
    }
    return NULL;
}

/* The queues merged by arrival, without the capped classes. */
struct cursor {
    struct bpi_pool_waiter *heads[BPI_CLASS_COUNT];
};

static void cursor_init(struct cursor *cursor, const struct bpi_pool *pool)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        cursor->heads[i] = class_is_capped(pool, i) ? NULL : pool->queues[i];
    }
}

static struct bpi_pool_waiter *cursor_next(struct cursor *cursor)
{
    unsigned oldest = BPI_CLASS_COUNT;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        if (cursor->heads[i] != NULL &&
            (oldest == BPI_CLASS_COUNT ||
             cursor->heads[i]->sequence < cursor->heads[oldest]->sequence)) {
            oldest = i;
        }
    }
    if (oldest == BPI_CLASS_COUNT) {
        return NULL;
    }
    struct bpi_pool_waiter *waiter = cursor->heads[oldest];
    cursor->heads[oldest] = waiter->next;
    return waiter;
}

static bool
anyone_fits_exactly(const struct bpi_pool *pool, const struct bpi_pool_link *link, bp_usec now_us)
{
    struct cursor cursor;
    cursor_init(&cursor, pool);
    for (int i = 0; i < BPI_POOL_FIT_WINDOW; i++) {
        struct bpi_pool_waiter *waiter = cursor_next(&cursor);
        if (waiter == NULL) {
            return false;
        }
        if (fits_exactly(pool, link, waiter, now_us) && !waiter_is_capped(pool, waiter)) {
            return true;
        }
    }
    return false;
}

/* What one run over the waiters knows. */
struct scan {
    bp_usec now_us;
    unsigned loop;
    bool has_endpoint;  /* some endpoint may be opened to now */
    uint32_t protocols; /* what those endpoints speak */
    /* Free places that older waiters of other loops get, whose loops were told. */
    unsigned promised;
    /* Bits of what the idle links' identities and protocols hash to, from the second waiter on. */
    bool idle_is_known;
    uint64_t idle_identities;
    uint64_t idle_protocols;
};

static uint64_t identity_bit(const struct bpi_pool_key *key)
{
    return UINT64_C(1) << (key->identity[0] & 63); /* a digest: any byte is as good */
}

static uint64_t protocol_hash_bit(uint32_t protocol)
{
    return UINT64_C(1) << ((protocol * UINT32_C(0x9e3779b1)) >> 26);
}

static bool endpoint_is_open(const struct bpi_pool_endpoint *endpoint, bp_usec now_us)
{
    return endpoint->up && endpoint->open_after_us <= now_us;
}

static void scan_init(struct scan *scan, const struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    *scan = (struct scan){.now_us = now_us, .loop = loop};
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        if (endpoint_is_open(&pool->endpoints[i], now_us)) {
            scan->has_endpoint = true;
            scan->protocols |= pool->endpoints[i].protocols;
        }
    }
}

static bool scan_has_endpoint(const struct scan *scan, const struct bpi_pool_waiter *waiter)
{
    return scan->has_endpoint &&
           (waiter->protocol_bit == 0 || (scan->protocols & waiter->protocol_bit) != 0);
}

/* False where nothing can be done for the waiter whatever its turn, in constant time: a thousand
 * waiters for a version that no server speaks at the moment don't hold up the others. */
static bool
scan_may_help(struct scan *scan, const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    if (!scan->idle_is_known) {
        const struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
        {
            scan->idle_identities |= identity_bit(&link->key);
            scan->idle_protocols |= protocol_hash_bit(link->key.protocol);
        }
        scan->idle_is_known = true;
    }
    return scan_has_endpoint(scan, waiter) ||
           ((scan->idle_protocols & protocol_hash_bit(waiter->key.protocol)) != 0 &&
            (waiter->relogin || (scan->idle_identities & identity_bit(&waiter->key)) != 0));
}

/* The endpoint that may be opened to and has the fewest links. There is one (scan_has_endpoint). */
static uint16_t
find_endpoint(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    unsigned best = BPI_POOL_ENDPOINTS_MAX;
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        const struct bpi_pool_endpoint *endpoint = &pool->endpoints[i];
        if (endpoint_is_open(endpoint, now_us) &&
            (waiter->protocol_bit == 0 || (endpoint->protocols & waiter->protocol_bit) != 0) &&
            (best == BPI_POOL_ENDPOINTS_MAX ||
             endpoint->open_count < pool->endpoints[best].open_count)) {
            best = i;
        }
    }
    BP_ASSERT(best != BPI_POOL_ENDPOINTS_MAX);
    return (uint16_t)best;
}

static struct bpi_pool_action grant(struct bpi_pool *pool,
                                    struct bpi_pool_waiter *waiter,
                                    struct bpi_pool_link *link,
                                    bool login,
                                    bp_usec now_us)
{
    untie_waiter(pool, waiter);
    queue_remove(pool, waiter);
    waiter->state = BPI_POOL_WAITER_GRANTED;
    pool->check_was_last = false;
    link->class_ = waiter->class_;
    link->user_key = waiter->user_key;
    link->database_key = waiter->database_key;
    link->leased_us = now_us;
    if (login) {
        link->key = waiter->key;
        link->login_us = now_us;
    }
    link_set_state(pool, link, BPI_POOL_LEASED);
    return (struct bpi_pool_action){
        .kind = BPI_POOL_GRANT, .waiter = waiter, .link = link, .login = login};
}

/* `waiter`: for whom, or NULL. */
static struct bpi_pool_action
close_link(struct bpi_pool *pool, struct bpi_pool_link *link, struct bpi_pool_waiter *waiter)
{
    if (waiter != NULL) {
        waiter->evicted = link;
        tie(pool, link, waiter);
    }
    link_set_state(pool, link, BPI_POOL_CLOSING);
    return (struct bpi_pool_action){.kind = BPI_POOL_CLOSE, .link = link};
}

/* Opens a link for the waiter, or wakes the loop that can. Nothing where its loop was woken already: a
 * place is promised to it, so that younger waiters of this loop don't take it. */
static struct bpi_pool_action
open_link(struct bpi_pool *pool, struct scan *scan, struct bpi_pool_waiter *waiter)
{
    if (waiter->loop != scan->loop) {
        uint64_t bit = UINT64_C(1) << waiter->loop;
        scan->promised++;
        if ((pool->kicked_loops & bit) != 0) {
            return (struct bpi_pool_action){.kind = BPI_POOL_NOTHING};
        }
        pool->kicked_loops |= bit;
        return (struct bpi_pool_action){.kind = BPI_POOL_KICK, .loop = waiter->loop};
    }
    struct bpi_pool_link *link = pool->lists[BPI_POOL_CLOSED];
    link->endpoint = find_endpoint(pool, waiter, scan->now_us);
    link->key = waiter->key;
    link->loop = waiter->loop;
    link->doomed = false;
    link->is_check = waiter->is_check;
    link->opened_us = scan->now_us;
    link->login_us = scan->now_us;
    untie_waiter(pool, waiter);
    if (waiter->is_check) {
        pool->check_was_last = true;
        queue_remove(pool, waiter);
        waiter->state = BPI_POOL_WAITER_GRANTED;
        link->class_ = waiter->class_;
        link->user_key = waiter->user_key;
        link->database_key = waiter->database_key;
    } else {
        waiter->opening = link;
        tie(pool, link, waiter);
    }
    link_set_state(pool, link, BPI_POOL_OPENING);
    return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .waiter = waiter, .link = link};
}

static bool has_place(const struct bpi_pool *pool, unsigned promised)
{
    return bpi_pool_open_count(pool) + promised < pool->limits.links_max &&
           pool->counts[BPI_POOL_CLOSED] > promised;
}

static struct bpi_pool_link *longest_idle(const struct bpi_pool *pool)
{
    /* utlist keeps the tail in head->prev; new idle links are put at the head. */
    return pool->lists[BPI_POOL_IDLE] == NULL ? NULL : pool->lists[BPI_POOL_IDLE]->prev;
}

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

static struct bpi_pool_action decide_checks(struct bpi_pool *pool, struct scan *scan)
{
    struct bpi_pool_waiter *waiter;
    unsigned looked = 0;
    bool have_enough = checks_have_enough(pool);
    DL_FOREACH(pool->checks, waiter)
    {
        if (looked >= BPI_POOL_FIT_WINDOW) {
            break;
        }
        if (have_enough && waiter->evicted == NULL) {
            looked++;
            continue;
        }
        if (!scan_has_endpoint(scan, waiter)) {
            continue;
        }
        if (has_place(pool, scan->promised)) {
            struct bpi_pool_action action = open_link(pool, scan, waiter);
            if (action.kind != BPI_POOL_NOTHING) {
                return action;
            }
        } else if (waiter->evicted == NULL) {
            struct bpi_pool_link *victim = longest_idle(pool);
            if (victim != NULL) {
                return close_link(pool, victim, waiter);
            }
        }
        looked++;
    }
    return (struct bpi_pool_action){.kind = BPI_POOL_NOTHING};
}

/* What can be done for one waiter that is under all caps. */
static struct bpi_pool_action
decide_waiter(struct bpi_pool *pool, struct scan *scan, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_action nothing = {.kind = BPI_POOL_NOTHING};
    bp_usec now_us = scan->now_us;
    struct bpi_pool_link *link = find_exact(pool, waiter, now_us);
    if (link != NULL) {
        return grant(pool, waiter, link, false, now_us);
    }
    bool may_claim = waiter_may_claim(pool, waiter);
    link = find_stale(pool, waiter, now_us);
    if (link != NULL) {
        return waiter->relogin
                   ? grant(pool, waiter, link, true, now_us)
                   : close_link(pool, link, waiter->evicted == NULL && may_claim ? waiter : NULL);
    }
    bool may_open = waiter->opening == NULL && may_claim && scan_has_endpoint(scan, waiter);
    if (may_open && has_place(pool, scan->promised)) {
        return open_link(pool, scan, waiter);
    }
    bool patient = elapsed(now_us, waiter->arrived_us) < BPI_POOL_FIT_WAIT_US;
    link = find_relogin(pool, waiter);
    if (link != NULL) {
        if (patient && (waiter->opening != NULL || anyone_fits_exactly(pool, link, now_us))) {
            return nothing;
        }
        return grant(pool, waiter, link, true, now_us);
    }
    if (may_open && waiter->evicted == NULL) {
        link = longest_idle(pool);
        if (link != NULL && !(patient && anyone_fits_exactly(pool, link, now_us))) {
            return close_link(pool, link, waiter);
        }
    }
    return nothing;
}

static struct bpi_pool_action decide_waiters(struct bpi_pool *pool, struct scan *scan)
{
    struct bpi_pool_action action = {.kind = BPI_POOL_NOTHING};
    struct cursor cursor;
    struct bpi_pool_waiter *waiter;
    unsigned looked = 0;
    bool is_first = true;
    if (pool->lists[BPI_POOL_IDLE] == NULL &&
        !(scan->has_endpoint && has_place(pool, scan->promised))) {
        return action;
    }
    cursor_init(&cursor, pool);
    while (looked < BPI_POOL_FIT_WINDOW && (waiter = cursor_next(&cursor)) != NULL) {
        if (waiter_is_capped(pool, waiter) || !(is_first || scan_may_help(scan, pool, waiter))) {
            continue;
        }
        is_first = false;
        action = decide_waiter(pool, scan, waiter);
        if (action.kind != BPI_POOL_NOTHING) {
            break;
        }
        /* Those for whom something is under way are no more than links. */
        looked += waiter->opening == NULL && waiter->evicted == NULL;
    }
    return action;
}

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

/* When the longest idle link has been idle, or has lived, for long enough; 0 = never. */
static bp_usec over_us(const struct bpi_pool *pool, const struct bpi_pool_link *link)
{
    const struct bpi_pool_limits *limits = &pool->limits;
    bp_usec idle_us = limits->idle_timeout_us == 0 ? 0 : link->idle_us + limits->idle_timeout_us;
    bp_usec life_us = limits->lifetime_us == 0 ? 0 : link->opened_us + limits->lifetime_us;
    return idle_us == 0 || (life_us != 0 && life_us < idle_us) ? life_us : idle_us;
}

struct bpi_pool_action bpi_pool_decide(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    struct bpi_pool_action action = {.kind = BPI_POOL_NOTHING};
    BP_ASSERT(loop < BPI_POOL_LOOPS_MAX);
    pool->kicked_loops &= ~(UINT64_C(1) << loop);
    struct bpi_pool_link *link = find_surplus(pool);
    if (link != NULL) {
        return close_link(pool, link, NULL);
    }
    if (pool->waiters_count > 0) {
        struct scan scan;
        scan_init(&scan, pool, loop, now_us);
        bool checks_first = !pool->check_was_last;
        if (checks_first) {
            action = decide_checks(pool, &scan);
        }
        if (action.kind == BPI_POOL_NOTHING) {
            action = decide_waiters(pool, &scan);
        }
        if (action.kind == BPI_POOL_NOTHING && !checks_first) {
            action = decide_checks(pool, &scan);
        }
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
    }
    /* Links that nobody needs grow old: the longest idle one is looked at. */
    link = longest_idle(pool);
    if (link != NULL) {
        bp_usec at_us = over_us(pool, link);
        if (at_us != 0 && at_us <= now_us) {
            return close_link(pool, link, NULL);
        }
    }
    return action;
}

static void sooner(bp_usec *next_us, bp_usec at_us, bp_usec now_us)
{
    if (at_us > now_us && (*next_us == 0 || at_us < *next_us)) {
        *next_us = at_us;
    }
}

bp_usec bpi_pool_next_us(const struct bpi_pool *pool, bp_usec now_us)
{
    bp_usec next_us = 0;
    struct bpi_pool_link *link = longest_idle(pool);
    if (pool->waiters_count > 0 && link != NULL) {
        /* A waiter grows impatient. */
        struct cursor cursor;
        struct bpi_pool_waiter *waiter;
        cursor_init(&cursor, pool);
        for (int i = 0; (waiter = cursor_next(&cursor)) != NULL; i++) {
            if (i == BPI_POOL_FIT_WINDOW) {
                sooner(&next_us, now_us + BPI_POOL_FIT_WAIT_US, now_us);
                break;
            }
            sooner(&next_us, waiter->arrived_us + BPI_POOL_FIT_WAIT_US, now_us);
        }
    }
    if (pool->waiters_count > 0 && (link != NULL || has_place(pool, 0))) {
        /* An endpoint may be tried again. */
        for (unsigned i = 0; i < pool->endpoints_count; i++) {
            if (pool->endpoints[i].up) {
                sooner(&next_us, pool->endpoints[i].open_after_us, now_us);
            }
        }
    }
    if (link != NULL) {
        sooner(&next_us, over_us(pool, link), now_us);
    }
    return next_us;
}

static void link_idle(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    if (pool->limits.lifetime_us != 0 &&
        elapsed(now_us, link->opened_us) >= pool->limits.lifetime_us) {
        link->doomed = true;
    }
    link->idle_us = now_us;
    link_set_state(pool, link, BPI_POOL_IDLE);
}

void bpi_pool_link_opened(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_OPENING);
    untie(pool, link);
    link->login_us = now_us;
    if (link->is_check) {
        link->leased_us = now_us;
        link_set_state(pool, link, BPI_POOL_LEASED);
    } else {
        link_idle(pool, link, now_us);
    }
}

void bpi_pool_link_released(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_LEASED);
    link_idle(pool, link, now_us);
}

void bpi_pool_link_closing(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    BP_ASSERT(link->state != BPI_POOL_CLOSED);
    if (link->state != BPI_POOL_CLOSING) {
        untie(pool, link);
        link_set_state(pool, link, BPI_POOL_CLOSING);
    }
}

void bpi_pool_link_closed(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    BP_ASSERT(link->state != BPI_POOL_CLOSED);
    untie(pool, link);
    link_set_state(pool, link, BPI_POOL_CLOSED);
    link->doomed = false;
}

static void doom(struct bpi_pool *pool, const struct bpi_pool_key *key)
{
    static const enum bpi_pool_link_state live[] = {BPI_POOL_OPENING, BPI_POOL_IDLE,
                                                    BPI_POOL_LEASED};
    for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
        struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[live[i]], link)
        {
            bool same = key == NULL ||
                        memcmp(link->key.identity, key->identity, sizeof(key->identity)) == 0;
            if (same && !link->doomed) {
                link->doomed = true;
                pool->doomed_idle_count += live[i] == BPI_POOL_IDLE;
            }
        }
    }
}

void bpi_pool_forget_identity(struct bpi_pool *pool, const struct bpi_pool_key *key)
{
    doom(pool, key);
}

void bpi_pool_doom_all(struct bpi_pool *pool)
{
    doom(pool, NULL);
}

void bpi_pool_endpoint_up(struct bpi_pool *pool, unsigned endpoint)
{
    pool->endpoints[endpoint].up = true;
    pool->endpoints[endpoint].open_after_us = 0;
}

void bpi_pool_endpoint_down(struct bpi_pool *pool, unsigned endpoint, bp_usec open_after_us)
{
    pool->endpoints[endpoint].up = false;
    pool->endpoints[endpoint].open_after_us = open_after_us;
}
