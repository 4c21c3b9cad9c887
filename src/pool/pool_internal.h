/* For the files of this folder: pool.c (events), admit.c (the door), decide.c (what is next), grow.c (when to open).
 * Lock: the cluster's mutex, as for all of pool.h.
 */
#ifndef BPI_POOL_POOL_INTERNAL_H
#define BPI_POOL_POOL_INTERNAL_H

#include "pool/pool.h"

#include <string.h>

/* A class that is overloaded in the sense of CoDel (Nichols and Jacobson 2012): above the target for this long, or
 * for twenty times the target where that is more. */
#define BPI_POOL_CODEL_INTERVAL_US ((bp_usec)100000)

/* 0 where `since_us` was taken by a loop whose clock is ahead. */
static inline bp_usec bpi_pool_elapsed(bp_usec now_us, bp_usec since_us)
{
    return now_us > since_us ? now_us - since_us : 0;
}

static inline bool bpi_pool_key_equal(const struct bpi_pool_key *a, const struct bpi_pool_key *b)
{
    return a->protocol == b->protocol && memcmp(a->identity, b->identity, sizeof(a->identity)) == 0;
}

static inline unsigned bpi_pool_identity_bucket(const struct bpi_pool_key *key)
{
    /* A byte of a digest is as good as any; a link can't change its protocol. */
    return key->identity[0] ^ ((key->protocol * UINT32_C(0x9e3779b1)) >> 24);
}

static inline uint64_t bpi_pool_tenant_account(uint64_t tenant_key, enum bpi_class class_)
{
    return tenant_key ^ ((uint64_t)class_ + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline bool bpi_pool_link_is_usable(const struct bpi_pool_link *link, bp_usec now_us)
{
    return !link->doomed && (link->life_until_us == 0 || now_us < link->life_until_us);
}

/* Whether it has to be checked before use. */
static inline bool bpi_pool_link_is_silent(const struct bpi_pool *pool,
                                           const struct bpi_pool_link *link,
                                           bp_usec now_us)
{
    const struct bpi_pool_endpoint *endpoint = &pool->endpoints[link->endpoint];
    return (pool->limits.check_after_us != 0 &&
            bpi_pool_elapsed(now_us, link->heard_us) > pool->limits.check_after_us) ||
           (!endpoint->up && link->heard_us <= endpoint->down_us);
}

/* pool.c */
void bpi_pool_link_set_state(struct bpi_pool *pool,
                             struct bpi_pool_link *link,
                             enum bpi_pool_link_state state,
                             bp_usec now_us);
/* A tie lasts while a link is opened or closed for a waiter, and counts for the waiter's caps. */
void bpi_pool_tie(struct bpi_pool *pool,
                  struct bpi_pool_link *link,
                  struct bpi_pool_waiter *waiter);
void bpi_pool_untie(struct bpi_pool *pool, struct bpi_pool_link *link);
void bpi_pool_untie_waiter(struct bpi_pool *pool, struct bpi_pool_waiter *waiter);
/* Into and out of its queue. */
void bpi_pool_enqueue(struct bpi_pool *pool, struct bpi_pool_waiter *waiter);
void bpi_pool_dequeue(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);
/* The idle link is leased to the waiter, which is in no queue. */
void bpi_pool_lease(struct bpi_pool *pool,
                    struct bpi_pool_link *link,
                    struct bpi_pool_waiter *waiter,
                    bp_usec now_us);
void bpi_pool_count_slots(struct bpi_pool *pool);
bool bpi_pool_login_is_fresh(const struct bpi_pool *pool,
                             const struct bpi_pool_link *link,
                             bp_usec now_us);
/* As the next one, wherever the link is. */
bool bpi_pool_is_exact(const struct bpi_pool *pool,
                       const struct bpi_pool_link *link,
                       const struct bpi_pool_waiter *waiter,
                       bp_usec now_us);
bool bpi_pool_fits_exactly(const struct bpi_pool *pool,
                           const struct bpi_pool_link *link,
                           const struct bpi_pool_waiter *waiter,
                           bp_usec now_us);
/* admit.c: whether the class may have one more link, besides `claims` that are on their way to it. */
bool bpi_pool_class_may_take(struct bpi_pool *pool,
                             enum bpi_class class_,
                             unsigned claims,
                             unsigned claims_all,
                             bp_usec now_us);
bool bpi_pool_waiter_is_capped(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter);
/* Whether a link may be opened or closed for it: so that ten waiters of a class with a cap of two don't
 * have ten links opened, and eight idle ones of others closed for it. */
bool bpi_pool_waiter_may_claim(struct bpi_pool *pool,
                               const struct bpi_pool_waiter *waiter,
                               bp_usec now_us);
/* The next waiter that CoDel refuses, or NULL. */
struct bpi_pool_waiter *bpi_pool_find_shed(struct bpi_pool *pool, bp_usec now_us);
bp_usec bpi_pool_codel_interval_us(bp_usec target_us);

/* grow.c */
void bpi_pool_count_waited(struct bpi_pool *pool, bp_usec now_us);
/* So many wait only because it isn't worth to open a link for them. */
void bpi_pool_set_held_back(struct bpi_pool *pool, unsigned count, bp_usec now_us);
bool bpi_pool_is_worth_opening(const struct bpi_pool *pool,
                               const struct bpi_pool_waiter *waiter,
                               bp_usec now_us);
void bpi_pool_opened_for(struct bpi_pool *pool,
                         const struct bpi_pool_waiter *waiter,
                         bp_usec now_us);
void bpi_pool_count_connect(struct bpi_pool *pool, bp_usec took_us);
bool bpi_pool_has_place(const struct bpi_pool *pool, unsigned promised);
/* How long before its end a link gets a replacement. */
bp_usec bpi_pool_replace_ahead_us(const struct bpi_pool *pool);

/* endpoint.c */

/* Bits of the endpoints that may serve the waiter. */
uint64_t bpi_pool_endpoints_for(const struct bpi_pool *pool,
                                const struct bpi_pool_waiter *waiter,
                                bp_usec now_us);
bool bpi_pool_endpoint_is_open(const struct bpi_pool *pool, unsigned endpoint, bp_usec now_us);
/* Whether a link could be opened to it if one of its links were closed. */
bool bpi_pool_endpoint_is_only_full(const struct bpi_pool *pool, unsigned endpoint, bp_usec now_us);
/* Bits of those that may be opened to. */
uint64_t bpi_pool_open_endpoints(const struct bpi_pool *pool, bp_usec now_us);
/* Whether one of these speaks it. */
bool bpi_pool_any_speaks(const struct bpi_pool *pool, uint64_t endpoints, uint32_t protocol_bit);
/* The best endpoint that may be opened to, for the waiter or (NULL) for nobody in particular; without a router the one with the
 * fewest links. BPI_POOL_ENDPOINTS_MAX: none. */
unsigned bpi_pool_find_endpoint(const struct bpi_pool *pool,
                                const struct bpi_pool_waiter *waiter,
                                uint32_t protocol_bit,
                                bp_usec now_us);
/* Of `live` links with the waiter's identity, how many may be where it may go. */
unsigned bpi_pool_live_for(const struct bpi_pool *pool,
                           const struct bpi_pool_waiter *waiter,
                           unsigned live,
                           bp_usec now_us);
/* Whether its server may have one more transaction. */
bool bpi_pool_endpoint_has_slot(const struct bpi_pool *pool, const struct bpi_pool_link *link);
/* Among the exactly fitting idle links that may be leased: one of the best endpoint (without a router, of the one with
 * the fewest leases), then of the waiter's own loop (handing over costs 5 us more), then the most recently used. NULL:
 * there is none; then *ret_unchecked (which may be NULL) is one that has to be checked first, or NULL. */
struct bpi_pool_link *bpi_pool_find_exact(const struct bpi_pool *pool,
                                          const struct bpi_pool_waiter *waiter,
                                          bp_usec now_us,
                                          struct bpi_pool_link **ret_unchecked);
/* The link is about to be leased to the waiter: whether a link elsewhere is wanted. */
void bpi_pool_note_lease(struct bpi_pool *pool,
                         const struct bpi_pool_link *link,
                         const struct bpi_pool_waiter *waiter,
                         bp_usec now_us);
/* A live link as whose identity a link to spread_endpoint is to be opened, or NULL: then none is wanted any more. */
struct bpi_pool_link *bpi_pool_find_spread(struct bpi_pool *pool, bp_usec now_us);

#endif
