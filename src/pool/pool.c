/* See pool.h for the rules, the states and the invariants. */
#include "pool/pool.h"

#include "base/assert.h"

#include <string.h>
#include <utlist.h>

static void
link_set_state(struct bpi_pool *pool, struct bpi_pool_link *link, enum bpi_pool_link_state state)
{
    struct bpi_pool_endpoint *endpoint = &pool->endpoints[link->endpoint];
    if (link->state == BPI_POOL_LEASED) {
        pool->class_leased[link->class_]--;
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
        endpoint->leased_count++;
        endpoint->granted_total++;
    }
    if (state == BPI_POOL_IDLE && link->doomed) {
        pool->doomed_idle_count++;
    }
}

/* Forgets the tie between a waiter and the link that is opened or closed for it. */
static void untie_waiter(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->opening != NULL) {
        waiter->opening->sponsor = NULL;
        waiter->opening = NULL;
    }
    if (waiter->evicting) {
        struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[BPI_POOL_CLOSING], link)
        {
            if (link->sponsor == waiter) {
                link->sponsor = NULL;
            }
        }
        waiter->evicting = false;
    }
}

static void untie_link(struct bpi_pool_link *link)
{
    if (link->sponsor != NULL) {
        if (link->sponsor->opening == link) {
            link->sponsor->opening = NULL;
        } else {
            link->sponsor->evicting = false;
        }
        link->sponsor = NULL;
    }
}

static void queue_remove(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    if (waiter->is_check) {
        DL_DELETE(pool->checks, waiter);
    } else {
        DL_DELETE(pool->queues[waiter->class_], waiter);
    }
    pool->waiters_count--;
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
    DL_PREPEND(pool->lists[BPI_POOL_CLOSED], link);
    pool->counts[BPI_POOL_CLOSED]++;
}

void bpi_pool_wait(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    BP_ASSERT(waiter->state != BPI_POOL_WAITER_QUEUED);
    waiter->state = BPI_POOL_WAITER_QUEUED;
    waiter->arrived_us = now_us;
    waiter->sequence = ++pool->sequence;
    waiter->opening = NULL;
    waiter->evicting = false;
    waiter->kicked = false;
    if (waiter->is_check) {
        DL_APPEND(pool->checks, waiter);
    } else {
        DL_APPEND(pool->queues[waiter->class_], waiter);
    }
    pool->waiters_count++;
}

void bpi_pool_wait_again(struct bpi_pool *pool, struct bpi_pool_waiter *waiter)
{
    BP_ASSERT(waiter->state == BPI_POOL_WAITER_GRANTED);
    waiter->state = BPI_POOL_WAITER_QUEUED;
    waiter->opening = NULL;
    waiter->evicting = false;
    waiter->kicked = false;
    if (waiter->is_check) {
        DL_PREPEND(pool->checks, waiter);
    } else {
        /* Others may have come back too: the queue stays in the order of arrival. */
        struct bpi_pool_waiter *later;
        DL_FOREACH(pool->queues[waiter->class_], later)
        {
            if (later->sequence > waiter->sequence) {
                break;
            }
        }
        DL_PREPEND_ELEM(pool->queues[waiter->class_], later, waiter);
    }
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

/* The two limits below are rarely set; counting over the leased links (at most links_max) needs no
 * table that could grow under the lock. */
static bool waiter_is_capped(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    const struct bpi_pool_limits *limits = &pool->limits;
    if (limits->user_links_max == 0 && limits->database_links_max == 0) {
        return false;
    }
    unsigned of_user = 0;
    unsigned of_database = 0;
    const struct bpi_pool_link *link;
    DL_FOREACH(pool->lists[BPI_POOL_LEASED], link)
    {
        of_user += link->user_key == waiter->user_key;
        of_database += link->database_key == waiter->database_key;
    }
    return (limits->user_links_max != 0 && of_user >= limits->user_links_max) ||
           (limits->database_links_max != 0 && of_database >= limits->database_links_max);
}

static bool
login_is_fresh(const struct bpi_pool *pool, const struct bpi_pool_link *link, bp_usec now_us)
{
    return pool->limits.auth_ttl_us == 0 || now_us - link->login_us < pool->limits.auth_ttl_us;
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

/* The endpoint that may be opened to and has the fewest links; false where there is none. */
static bool find_endpoint(const struct bpi_pool *pool,
                          const struct bpi_pool_waiter *waiter,
                          bp_usec now_us,
                          uint16_t *ret_endpoint)
{
    bool found = false;
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        const struct bpi_pool_endpoint *endpoint = &pool->endpoints[i];
        if (!endpoint->up || endpoint->open_after_us > now_us ||
            (waiter->protocol_bit != 0 && (endpoint->protocols & waiter->protocol_bit) == 0)) {
            continue;
        }
        if (!found || endpoint->open_count < pool->endpoints[*ret_endpoint].open_count) {
            *ret_endpoint = (uint16_t)i;
            found = true;
        }
    }
    return found;
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

static struct bpi_pool_action
close_link(struct bpi_pool *pool, struct bpi_pool_link *link, struct bpi_pool_waiter *waiter)
{
    if (waiter != NULL) {
        link->sponsor = waiter;
        waiter->evicting = true;
    }
    link_set_state(pool, link, BPI_POOL_CLOSING);
    return (struct bpi_pool_action){.kind = BPI_POOL_CLOSE, .link = link};
}

/* Opens a link for the waiter, or wakes the loop that can. Nothing where its loop was woken already. */
static struct bpi_pool_action open_link(struct bpi_pool *pool,
                                        struct bpi_pool_waiter *waiter,
                                        unsigned loop,
                                        uint16_t endpoint,
                                        bp_usec now_us)
{
    if (waiter->loop != loop) {
        if (waiter->kicked) {
            return (struct bpi_pool_action){.kind = BPI_POOL_NOTHING};
        }
        waiter->kicked = true;
        return (struct bpi_pool_action){.kind = BPI_POOL_KICK, .loop = waiter->loop};
    }
    struct bpi_pool_link *link = pool->lists[BPI_POOL_CLOSED];
    link->endpoint = endpoint;
    link->key = waiter->key;
    link->loop = waiter->loop;
    link->doomed = false;
    link->sponsor = waiter;
    link->opened_us = now_us;
    link->login_us = now_us;
    waiter->opening = link;
    waiter->kicked = false;
    link_set_state(pool, link, BPI_POOL_OPENING);
    if (waiter->is_check) {
        queue_remove(pool, waiter);
        waiter->state = BPI_POOL_WAITER_GRANTED;
        link->class_ = waiter->class_;
        link->user_key = waiter->user_key;
        link->database_key = waiter->database_key;
    }
    return (struct bpi_pool_action){.kind = BPI_POOL_OPEN, .waiter = waiter, .link = link};
}

static bool has_place(const struct bpi_pool *pool)
{
    return bpi_pool_open_count(pool) < pool->limits.links_max &&
           pool->lists[BPI_POOL_CLOSED] != NULL;
}

static struct bpi_pool_link *longest_idle(const struct bpi_pool *pool)
{
    /* utlist keeps the tail in head->prev; new idle links are put at the head. */
    return pool->lists[BPI_POOL_IDLE] == NULL ? NULL : pool->lists[BPI_POOL_IDLE]->prev;
}

static struct bpi_pool_action decide_checks(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    struct bpi_pool_waiter *waiter;
    DL_FOREACH(pool->checks, waiter)
    {
        uint16_t endpoint = 0;
        if (has_place(pool)) {
            if (!find_endpoint(pool, waiter, now_us, &endpoint)) {
                break;
            }
            struct bpi_pool_action action = open_link(pool, waiter, loop, endpoint, now_us);
            if (action.kind != BPI_POOL_NOTHING) {
                return action;
            }
        } else if (!waiter->evicting) {
            struct bpi_pool_link *victim = longest_idle(pool);
            if (victim == NULL) {
                break;
            }
            return close_link(pool, victim, waiter);
        }
    }
    return (struct bpi_pool_action){.kind = BPI_POOL_NOTHING};
}

/* What can be done for one waiter that is under all caps. */
static struct bpi_pool_action
decide_waiter(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, unsigned loop, bp_usec now_us)
{
    struct bpi_pool_action nothing = {.kind = BPI_POOL_NOTHING};
    struct bpi_pool_link *link = find_exact(pool, waiter, now_us);
    if (link != NULL) {
        return grant(pool, waiter, link, false, now_us);
    }
    link = find_stale(pool, waiter, now_us);
    if (link != NULL) {
        return waiter->relogin ? grant(pool, waiter, link, true, now_us)
                               : close_link(pool, link, waiter->evicting ? NULL : waiter);
    }
    uint16_t endpoint = 0;
    /* A place that a check waits for is the check's. */
    if (waiter->opening == NULL && pool->checks == NULL && has_place(pool) &&
        find_endpoint(pool, waiter, now_us, &endpoint)) {
        struct bpi_pool_action action = open_link(pool, waiter, loop, endpoint, now_us);
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
        return nothing;
    }
    bool patient = now_us - waiter->arrived_us < BPI_POOL_FIT_WAIT_US;
    link = find_relogin(pool, waiter);
    if (link != NULL) {
        if (patient && (waiter->opening != NULL || anyone_fits_exactly(pool, link, now_us))) {
            return nothing;
        }
        return grant(pool, waiter, link, true, now_us);
    }
    if (waiter->opening == NULL && !waiter->evicting && !has_place(pool)) {
        link = longest_idle(pool);
        if (link != NULL && !(patient && anyone_fits_exactly(pool, link, now_us))) {
            return close_link(pool, link, waiter);
        }
    }
    return nothing;
}

struct bpi_pool_action bpi_pool_decide(struct bpi_pool *pool, unsigned loop, bp_usec now_us)
{
    struct bpi_pool_action action = {.kind = BPI_POOL_NOTHING};
    if (pool->doomed_idle_count > 0) {
        struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[BPI_POOL_IDLE], link)
        {
            if (link->doomed) {
                return close_link(pool, link, NULL);
            }
        }
    }
    if (pool->checks != NULL) {
        action = decide_checks(pool, loop, now_us);
        if (action.kind != BPI_POOL_NOTHING) {
            return action;
        }
    }
    if (pool->waiters_count > 0 && (pool->lists[BPI_POOL_IDLE] != NULL || has_place(pool))) {
        struct cursor cursor;
        cursor_init(&cursor, pool);
        struct bpi_pool_waiter *waiter;
        int looked = 0;
        while ((waiter = cursor_next(&cursor)) != NULL) {
            if (waiter_is_capped(pool, waiter)) {
                continue;
            }
            action = decide_waiter(pool, waiter, loop, now_us);
            if (action.kind != BPI_POOL_NOTHING || ++looked >= BPI_POOL_FIT_WINDOW) {
                return action;
            }
        }
    }
    /* Links that nobody needs grow old: the longest idle one is looked at. */
    struct bpi_pool_link *link = longest_idle(pool);
    if (link != NULL) {
        const struct bpi_pool_limits *limits = &pool->limits;
        if ((limits->idle_timeout_us != 0 && now_us - link->idle_us >= limits->idle_timeout_us) ||
            bpi_pool_open_count(pool) > limits->links_max) {
            return close_link(pool, link, NULL);
        }
    }
    return action;
}

bp_usec bpi_pool_next_us(const struct bpi_pool *pool, bp_usec now_us)
{
    bp_usec next_us = 0;
    if (pool->waiters_count > 0) {
        /* A waiter grows impatient, or an endpoint may be tried again. */
        if (pool->lists[BPI_POOL_IDLE] != NULL) {
            next_us = now_us + BPI_POOL_FIT_WAIT_US;
        }
        for (unsigned i = 0; has_place(pool) && i < pool->endpoints_count; i++) {
            bp_usec after_us = pool->endpoints[i].open_after_us;
            if (pool->endpoints[i].up && after_us > now_us &&
                (next_us == 0 || after_us < next_us)) {
                next_us = after_us;
            }
        }
    }
    struct bpi_pool_link *link = longest_idle(pool);
    if (link != NULL && pool->limits.idle_timeout_us != 0) {
        bp_usec over_us = link->idle_us + pool->limits.idle_timeout_us;
        if (next_us == 0 || over_us < next_us) {
            next_us = over_us;
        }
    }
    return next_us;
}

static void link_idle(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    if (pool->limits.lifetime_us != 0 && now_us - link->opened_us >= pool->limits.lifetime_us) {
        link->doomed = true;
    }
    link->idle_us = now_us;
    link_set_state(pool, link, BPI_POOL_IDLE);
}

void bpi_pool_link_opened(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us)
{
    BP_ASSERT(link->state == BPI_POOL_OPENING);
    struct bpi_pool_waiter *sponsor = link->sponsor;
    bool is_check = sponsor != NULL && sponsor->is_check;
    untie_link(link);
    link->login_us = now_us;
    if (is_check) {
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
        untie_link(link);
        link_set_state(pool, link, BPI_POOL_CLOSING);
    }
}

void bpi_pool_link_closed(struct bpi_pool *pool, struct bpi_pool_link *link)
{
    BP_ASSERT(link->state != BPI_POOL_CLOSED);
    untie_link(link);
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

bool bpi_pool_check(const struct bpi_pool *pool)
{
    unsigned class_leased[BPI_CLASS_COUNT] = {0};
    unsigned doomed_idle = 0;
    for (unsigned state = 0; state < BPI_POOL_STATE_COUNT; state++) {
        unsigned count = 0;
        const struct bpi_pool_link *link;
        DL_FOREACH(pool->lists[state], link)
        {
            count++;
            if (link->state != (enum bpi_pool_link_state)state) {
                return false;
            }
            if (link->state == BPI_POOL_LEASED) {
                class_leased[link->class_]++;
            }
            doomed_idle += link->state == BPI_POOL_IDLE && link->doomed;
            if (link->sponsor != NULL && link->sponsor->opening != link &&
                !link->sponsor->evicting) {
                return false;
            }
        }
        if (count != pool->counts[state]) {
            return false;
        }
    }
    unsigned waiters = 0;
    const struct bpi_pool_waiter *waiter;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        uint64_t last = 0;
        if (class_leased[i] != pool->class_leased[i]) {
            return false;
        }
        DL_FOREACH(pool->queues[i], waiter)
        {
            waiters++;
            if (waiter->state != BPI_POOL_WAITER_QUEUED || waiter->sequence <= last) {
                return false;
            }
            last = waiter->sequence;
        }
    }
    DL_FOREACH(pool->checks, waiter)
    {
        waiters++;
    }
    return waiters == pool->waiters_count && doomed_idle == pool->doomed_idle_count;
}
