/* See queue.h. */
#include "pool/queue.h"

#include "base/assert.h"
#include "pool/pool.h"

#include <utlist.h>

static unsigned bucket_of(uint64_t tenant_key, unsigned level)
{
    /* Fibonacci hashing (Knuth 6.4). */
    return (unsigned)(((tenant_key + level) * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* Where the pointer to the tenant's first waiter stands; it points to NULL if nobody of it waits. */
static struct bpi_pool_waiter **
find_tenant(struct bpi_pool_queue *queue, uint64_t tenant_key, unsigned level)
{
    struct bpi_pool_waiter **at = &queue->buckets[bucket_of(tenant_key, level)];
    while (*at != NULL && ((*at)->tenant_key != tenant_key || (unsigned)(*at)->priority != level)) {
        at = &(*at)->node.hash_next;
    }
    return at;
}

static unsigned held_index(unsigned held)
{
    return held < BPI_POOL_HELD_MAX ? held : BPI_POOL_HELD_MAX;
}

static void
tenant_append(struct bpi_pool_level *level, struct bpi_pool_waiter *first, unsigned held)
{
    first->node.held = held_index(held);
    DL_APPEND2(level->tenants[first->node.held], first, node.tenant_prev, node.tenant_next);
    level->held_bits |= UINT64_C(1) << first->node.held;
}

static void tenant_remove(struct bpi_pool_level *level, struct bpi_pool_waiter *first)
{
    struct bpi_pool_waiter **list = &level->tenants[first->node.held];
    DL_DELETE2(*list, first, node.tenant_prev, node.tenant_next);
    if (*list == NULL) {
        level->held_bits &= ~(UINT64_C(1) << first->node.held);
    }
}

/* `next` represents the tenant from now on, in the place of `first`. */
static void tenant_replace(struct bpi_pool_level *level,
                           struct bpi_pool_waiter **at,
                           struct bpi_pool_waiter *first,
                           struct bpi_pool_waiter *next)
{
    struct bpi_pool_waiter **list = &level->tenants[first->node.held];
    next->node.held = first->node.held;
    next->node.count = first->node.count;
    next->node.hash_next = first->node.hash_next;
    *at = next;
    DL_REPLACE_ELEM2(*list, first, next, node.tenant_prev, node.tenant_next);
}

static bool goes_before(const struct bpi_pool_waiter *a, const struct bpi_pool_waiter *b)
{
    return a->node.order_us != b->node.order_us ? a->node.order_us < b->node.order_us
                                                : a->sequence < b->sequence;
}

/* Mostly the last: those of one tenant usually wait equally long. Returns the new first one. */
static struct bpi_pool_waiter *insert_in_order(struct bpi_pool_waiter *first,
                                               struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_waiter *last = first->node.prev;
    while (last != first && goes_before(waiter, last)) {
        last = last->node.prev;
    }
    struct bpi_pool_waiter *head = first;
    if (last == first && goes_before(waiter, first)) {
        DL_PREPEND2(head, waiter, node.prev, node.next);
    } else {
        DL_APPEND_ELEM2(head, last, waiter, node.prev, node.next);
    }
    return head;
}

/* By arrival; only those that come back are not the last. */
static void insert_by_age(struct bpi_pool_level *level, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_waiter *last = level->by_age == NULL ? NULL : level->by_age->node.older;
    while (last != NULL && last->sequence > waiter->sequence) {
        last = last == level->by_age ? NULL : last->node.older;
    }
    if (last == NULL) {
        DL_PREPEND2(level->by_age, waiter, node.older, node.newer);
    } else {
        DL_APPEND_ELEM2(level->by_age, last, waiter, node.older, node.newer);
    }
}

void bpi_pool_queue_add(struct bpi_pool_queue *queue, struct bpi_pool_waiter *waiter, unsigned held)
{
    struct bpi_pool_level *level = &queue->levels[waiter->priority];
    struct bpi_pool_waiter **at = find_tenant(queue, waiter->tenant_key, waiter->priority);
    struct bpi_pool_waiter *first = *at;
    waiter->node = (struct bpi_pool_queue_node){0};
    waiter->node.order_us =
        waiter->expiry.at_us != 0 ? waiter->expiry.at_us : waiter->arrived_us + BPI_POOL_ORDER_US;
    insert_by_age(level, waiter);
    level->count++;
    queue->count++;
    if (first == NULL) {
        struct bpi_pool_waiter *head = NULL;
        DL_APPEND2(head, waiter, node.prev, node.next);
        waiter->node.count = 1;
        *at = waiter;
        tenant_append(level, waiter, held);
        level->tenants_count++;
        return;
    }
    first->node.count++;
    struct bpi_pool_waiter *head = insert_in_order(first, waiter);
    if (head != first) {
        tenant_replace(level, at, first, head);
    }
}

void bpi_pool_queue_remove(struct bpi_pool_queue *queue, struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_level *level = &queue->levels[waiter->priority];
    struct bpi_pool_waiter **at = find_tenant(queue, waiter->tenant_key, waiter->priority);
    struct bpi_pool_waiter *first = *at;
    BP_ASSERT(first != NULL);
    DL_DELETE2(level->by_age, waiter, node.older, node.newer);
    level->count--;
    queue->count--;
    first->node.count--;
    struct bpi_pool_waiter *head = first;
    DL_DELETE2(head, waiter, node.prev, node.next);
    if (head == NULL) {
        *at = first->node.hash_next;
        tenant_remove(level, first);
        level->tenants_count--;
    } else if (head != first) {
        tenant_replace(level, at, first, head);
    }
}

void bpi_pool_queue_served(struct bpi_pool_queue *queue, enum bpi_priority priority, bp_usec now_us)
{
    queue->levels[priority].served_us = now_us;
}

void bpi_pool_queue_held(struct bpi_pool_queue *queue, uint64_t tenant_key, unsigned held)
{
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT; i++) {
        struct bpi_pool_level *level = &queue->levels[i];
        if (level->count == 0) {
            continue;
        }
        struct bpi_pool_waiter *first = *find_tenant(queue, tenant_key, i);
        if (first != NULL) {
            tenant_remove(level, first);
            tenant_append(level, first, held);
        }
    }
}

/* What the level counts as, and since when its oldest waiter is there. */
static unsigned level_rank(const struct bpi_pool_level *level, unsigned own, bp_usec now_us)
{
    bp_usec since_us = level->by_age->arrived_us;
    if (level->served_us > since_us) {
        since_us = level->served_us;
    }
    bp_usec waited_us = now_us > since_us ? now_us - since_us : 0;
    bp_usec steps = waited_us / BPI_POOL_AGE_STEP_US;
    return own + (steps < BPI_PRIORITY_COUNT ? (unsigned)steps : BPI_PRIORITY_COUNT);
}

static void enter_level(struct bpi_pool_queue_walk *walk)
{
    walk->tenant = NULL;
    walk->waiter = NULL;
    if (walk->order[walk->position] < BPI_PRIORITY_COUNT) {
        const struct bpi_pool_level *level = &walk->queue->levels[walk->order[walk->position]];
        walk->tenant = level->tenants[__builtin_ctzll(level->held_bits)];
        walk->waiter = walk->tenant;
    }
}

void bpi_pool_queue_walk_init(struct bpi_pool_queue_walk *walk,
                              const struct bpi_pool_queue *queue,
                              bp_usec now_us)
{
    unsigned ranks[BPI_PRIORITY_COUNT];
    unsigned count = 0;
    walk->queue = queue;
    walk->position = 0;
    for (unsigned i = BPI_PRIORITY_COUNT; i-- > 0;) {
        const struct bpi_pool_level *level = &queue->levels[i];
        if (level->count == 0) {
            continue;
        }
        unsigned rank = level_rank(level, i, now_us);
        unsigned at = count++;
        while (at > 0 &&
               (ranks[at - 1] < rank ||
                (ranks[at - 1] == rank &&
                 queue->levels[walk->order[at - 1]].by_age->sequence > level->by_age->sequence))) {
            ranks[at] = ranks[at - 1];
            walk->order[at] = walk->order[at - 1];
            at--;
        }
        ranks[at] = rank;
        walk->order[at] = i;
    }
    for (; count < BPI_PRIORITY_COUNT; count++) {
        walk->order[count] = BPI_PRIORITY_COUNT;
    }
    enter_level(walk);
}

/* To the next tenant of the level, or to the next level. */
static void next_tenant(struct bpi_pool_queue_walk *walk)
{
    const struct bpi_pool_level *level = &walk->queue->levels[walk->order[walk->position]];
    struct bpi_pool_waiter *tenant = walk->tenant;
    unsigned held = tenant->node.held;
    tenant = tenant->node.tenant_next;
    if (tenant == NULL) {
        uint64_t above =
            held == BPI_POOL_HELD_MAX ? 0 : level->held_bits & (~UINT64_C(0) << (held + 1));
        tenant = above == 0 ? NULL : level->tenants[__builtin_ctzll(above)];
    }
    walk->tenant = tenant;
    walk->waiter = tenant;
    if (tenant == NULL && walk->position + 1 < BPI_PRIORITY_COUNT) {
        walk->position++;
        enter_level(walk);
    }
}

struct bpi_pool_waiter *bpi_pool_queue_walk_next(struct bpi_pool_queue_walk *walk)
{
    if (walk->waiter == NULL && walk->tenant != NULL) {
        next_tenant(walk);
    }
    struct bpi_pool_waiter *waiter = walk->waiter;
    if (waiter != NULL) {
        walk->waiter = waiter->node.next;
    }
    return waiter;
}

void bpi_pool_queue_walk_skip_tenant(struct bpi_pool_queue_walk *walk)
{
    walk->waiter = NULL;
}

struct bpi_pool_waiter *bpi_pool_queue_oldest(const struct bpi_pool_queue *queue)
{
    struct bpi_pool_waiter *oldest = NULL;
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT && queue->count > 0; i++) {
        struct bpi_pool_waiter *waiter = queue->levels[i].by_age;
        if (waiter != NULL && (oldest == NULL || waiter->sequence < oldest->sequence)) {
            oldest = waiter;
        }
    }
    return oldest;
}

unsigned bpi_pool_queue_ahead(const struct bpi_pool_queue *queue,
                              enum bpi_priority priority,
                              uint64_t tenant_key)
{
    unsigned ahead = 0;
    for (unsigned i = (unsigned)priority + 1; i < BPI_PRIORITY_COUNT; i++) {
        ahead += queue->levels[i].count;
    }
    const struct bpi_pool_level *level = &queue->levels[priority];
    const struct bpi_pool_waiter *first = queue->buckets[bucket_of(tenant_key, priority)];
    while (first != NULL && (first->tenant_key != tenant_key || first->priority != priority)) {
        first = first->node.hash_next;
    }
    unsigned own = first == NULL ? 0 : first->node.count;
    uint64_t turns = ((uint64_t)own + 1) * (level->tenants_count + (first == NULL)) - 1;
    return ahead + (turns < level->count ? (unsigned)turns : level->count);
}
