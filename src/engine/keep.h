/* Leases that stay with their processor while nobody waits.
 *
 * Where threads take and give back all the time and there are connections enough, the lock is what they wait for. So
 * a connection that is given back while nobody waits for one is kept: for the decider it stays leased, by the same
 * class, and its place is remembered by the processor. The next one of that class there takes it by one
 * compare-and-swap, without the lock: 41 ns a turn instead of 78, and two processors don't meet (as HikariCP's threads
 * remember their connections).
 *
 * Rules:
 *   1. `pool->keeps` is true only while nobody waits and nothing is to be done. Whoever finds no connection under the
 *      lock clears it, and brings home all that is kept (bpi_keep_sweep) before it looks again and waits. Whoever keeps one
 *      looks at `keeps` after it has said so (both sequentially consistent, as in Dekker's algorithm), and brings it
 *      home itself if that was cleared. So nobody waits for a connection that is kept.
 *   2. Only leases without a tenant are kept, by which nothing but their class counts, and only for the same class.
 *   3. The decider learns of it within about a second (bpi_keep_look): how often the connection was leased, and how
 *      long it really was in use. Lifetimes, idle times and keep-alive are late by that.
 *   4. Not where a class has a minimum: whether it may be lent depends on each single hold.
 *
 * States of a place's word -> function:
 *   HOME -> bpi_place_lend (lock) -> OUT -> bpi_keep_back -> KEPT -> bpi_keep_take -> OUT
 *   OUT  -> bpi_keep_end (lock) -> HOME     KEPT -> bpi_keep_sweep, bpi_keep_look (lock) -> HOME
 *   OUT  -> bpi_keep_claim -> BACK, which goes on as OUT does, where a connector is asked how a connection came back
 * Every change is a compare-and-swap of the whole word, which has the number of the lease in it: a lease that is given
 * back twice, by two threads at the same time, too, fails at the second.
 */
#ifndef BPI_ENGINE_KEEP_H
#define BPI_ENGINE_KEEP_H

#include "engine/blocking_pool.h"

/* What a processor remembers: a hint, which may be wrong. Atomic: any thread on it. */
struct bpi_keep_slot {
    alignas(64) _Atomic(struct bpi_place *) place;
};

int bpi_keep_init(struct bp_pool *pool);
void bpi_keep_done(struct bp_pool *pool);

/* A lease for `operation` (NULL is fine) without the lock, or NULL. */
struct bp_lease *bpi_keep_take(struct bp_pool *pool, const struct bp_operation *operation);
/* The lease is over, and the caller's thread the only one that has it. False: it isn't out. */
bool bpi_keep_claim(struct bpi_place *place, const struct bp_lease *lease);
/* Whether the lease was given back so. False: by the lock, please. */
bool bpi_keep_back(struct bpi_place *place, const struct bp_lease *lease);

/* With the lock, from here on. bpi_pool_take(), with what is kept brought home where there is nothing else. */
struct bpi_pool_link *
bpi_keep_take_any(struct bp_pool *pool, struct bpi_want *want, bp_usec now_us);
/* The lease ends: its place is home, and the decider may be told that it was released. False: it isn't out. */
bool bpi_keep_end(struct bpi_place *place, const struct bp_lease *lease, bp_usec now_us);
/* Keeps nothing any more, and brings all home. */
void bpi_keep_sweep(struct bp_pool *pool, bp_usec now_us);
/* Keeps again, if nobody waits. */
void bpi_keep_resume(struct bp_pool *pool);
/* What the decider hasn't heard of for `older_us` comes home, or is told of when it comes back. */
void bpi_keep_look(struct bp_pool *pool, bp_usec older_us, bp_usec now_us);
/* Leases that the decider doesn't know of, and connections that are kept, of one class. */
void bpi_keep_count(const struct bp_pool *pool,
                    enum bpi_class class_,
                    uint64_t *ret_leases,
                    uint64_t *ret_held_us,
                    unsigned *ret_kept);

#endif
