/* The waiters of one class, in the order in which they are served.
 *
 * By priority first. A level that has had nothing for BPI_POOL_AGE_STEP_US while somebody waited in it counts as one
 * level higher, after twice that as two, and so on until it is served; between equal ones the one with the older
 * waiter goes first. Levels age, not single waiters, because else a thousand that have waited long would go ahead of
 * everybody, whatever their priority.
 * In a level: the tenant that holds the fewest links of this class; among equals the one that was served or let go
 * longest ago. So each tenant gets an equal part of the links, however many it asks for.
 * Of a tenant: by when they must be served (the earlier one of deadline_us and expires_us; those with neither by
 * BPI_POOL_ORDER_US after their arrival), then by arrival.
 *
 * Each tenant with waiters is represented by its first waiter, so that nothing is ever allocated.
 * All operations take constant time, but for the deadline order: a walk over those of the same tenant and level
 * that are due later.
 * Lock: the cluster's mutex.
 */
#ifndef BPI_POOL_QUEUE_H
#define BPI_POOL_QUEUE_H

#include "pool/class.h"

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_POOL_AGE_STEP_US BP_USEC_PER_SECOND
/* As long as drivers' users expect to wait. */
#define BPI_POOL_ORDER_US (30 * BP_USEC_PER_SECOND)
/* Tenants are ordered by links held up to this number; those above it take turns. */
#define BPI_POOL_HELD_MAX       63
#define BPI_POOL_TENANT_BUCKETS 256

struct bpi_pool_waiter;

/* In each waiter. */
struct bpi_pool_queue_node {
    struct bpi_pool_waiter *prev, *next;   /* of the same tenant and level */
    struct bpi_pool_waiter *older, *newer; /* of the same level, by arrival */
    bp_usec order_us;
    /* In the first waiter of a tenant. */
    struct bpi_pool_waiter *tenant_prev, *tenant_next; /* tenants that hold as many links */
    struct bpi_pool_waiter *hash_next;
    unsigned held;  /* as far as BPI_POOL_HELD_MAX */
    unsigned count; /* waiters of the tenant in this level */
};

struct bpi_pool_level {
    struct bpi_pool_waiter *by_age;                         /* head = the oldest */
    struct bpi_pool_waiter *tenants[BPI_POOL_HELD_MAX + 1]; /* by links held */
    uint64_t held_bits;                                     /* which of them aren't empty */
    unsigned tenants_count;
    unsigned count;
    bp_usec served_us;
};

struct bpi_pool_queue {
    struct bpi_pool_level levels[BPI_PRIORITY_COUNT];
    struct bpi_pool_waiter *buckets[BPI_POOL_TENANT_BUCKETS];
    unsigned count;
};

/* A walk over the waiters in order; the queue must not change meanwhile. */
struct bpi_pool_queue_walk {
    const struct bpi_pool_queue *queue;
    unsigned order[BPI_PRIORITY_COUNT]; /* levels, the first one first */
    unsigned position;                  /* in `order` */
    struct bpi_pool_waiter *tenant;     /* the first waiter of the current one */
    struct bpi_pool_waiter *waiter;     /* the next one to be told */
};

/* `held`: links of this class that the waiter's tenant holds. */
void bpi_pool_queue_add(struct bpi_pool_queue *queue,
                        struct bpi_pool_waiter *waiter,
                        unsigned held);
void bpi_pool_queue_remove(struct bpi_pool_queue *queue, struct bpi_pool_waiter *waiter);
/* A waiter of this level was served. */
void bpi_pool_queue_served(struct bpi_pool_queue *queue,
                           enum bpi_priority priority,
                           bp_usec now_us);
/* The tenant got or gave back a link of this class. */
void bpi_pool_queue_held(struct bpi_pool_queue *queue, uint64_t tenant_key, unsigned held);

void bpi_pool_queue_walk_init(struct bpi_pool_queue_walk *walk,
                              const struct bpi_pool_queue *queue,
                              bp_usec now_us);
/* NULL: that was the last one. */
struct bpi_pool_waiter *bpi_pool_queue_walk_next(struct bpi_pool_queue_walk *walk);
/* Leaves out the rest of the tenant of the waiter that was told last. */
void bpi_pool_queue_walk_skip_tenant(struct bpi_pool_queue_walk *walk);

/* The one that has waited longest; NULL: nobody waits. */
struct bpi_pool_waiter *bpi_pool_queue_oldest(const struct bpi_pool_queue *queue);
/* How many are served before a waiter that comes now, at most: those of higher levels, and in its own level as many
 * of each tenant as it has waiting itself. */
unsigned bpi_pool_queue_ahead(const struct bpi_pool_queue *queue,
                              enum bpi_priority priority,
                              uint64_t tenant_key);

#endif
