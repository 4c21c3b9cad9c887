/* The door: who may have one more link, who is refused at once, and who is refused while waiting.
 *
 * The wait of one that comes now is estimated by Little's law: those that go before it, times the mean hold of its
 * class, over the links that serve the class: those that it holds, or, where that is more, its minimum or its part
 * by shares. A deadline is hopeless where that wait and two holds don't fit into two thirds of the time left; two
 * thirds, because the mean hold of the last hundred is off by a tenth or two.
 *
 * Under overload that lasts, a queue as long as deadlines allow would only make everybody wait: it serves no more
 * than a short one, and takes its length over (1 - load) to drain. So once those that came would have waited longer
 * than the target (a mean hold, at least STANDING_US) for BPI_POOL_CODEL_INTERVAL_US, work with a deadline is
 * admitted only up to the target, or a small part of the time that it has, until waits have been below half of the target
 * for as long.
 */
#include "base/assert.h"
#include "pool/pool_internal.h"

#include <utlist.h>

#define STANDING_US ((bp_usec)5000)
/* A queue that stands doesn't matter to one whose wait is at most such a part of the time that it has. At 32, the queue
 * of work with 500 ms takes more than 100 ms to drain after an overload; at 256, work that has 20 s is refused for 80 ms. */
#define STANDING_PART 64
/* What was true before nobody came for this long says nothing of now. */
#define STANDING_FORGET_US BP_USEC_PER_SECOND
/* Waiters of a level that CoDel looks at in one go for one that may be refused. */
#define SHED_WINDOW 64

static bool account_is_capped(const struct bpi_pool_accounts *accounts, uint64_t key, unsigned max)
{
    if (max == 0 || key == 0) {
        return false;
    }
    const struct bpi_pool_account *account = bpi_pool_accounts_get(accounts, key);
    return account != NULL && account->counts[BPI_POOL_HELD] >= max;
}

bool bpi_pool_waiter_is_capped(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter)
{
    return account_is_capped(&pool->users, waiter->user_key, pool->limits.user_links_max) ||
           account_is_capped(&pool->databases, waiter->database_key,
                             pool->limits.database_links_max);
}

/* Whether `own` fewer claims than there are leave room for one more link under the cap. */
static bool
account_has_room(const struct bpi_pool_accounts *accounts, uint64_t key, unsigned max, unsigned own)
{
    if (max == 0 || key == 0) {
        return true;
    }
    const struct bpi_pool_account *account = bpi_pool_accounts_get(accounts, key);
    return account == NULL ||
           account->counts[BPI_POOL_HELD] + account->counts[BPI_POOL_CLAIMED] - own < max;
}

/* Leases that have lasted longer than lend_max_hold count as long holds before they end. */
static bool class_is_quick(struct bpi_pool *pool, struct bpi_pool_class *class_, bp_usec now_us)
{
    bp_usec max_us = pool->limits.lend_max_hold_us;
    while (class_->unjudged != NULL &&
           bpi_pool_elapsed(now_us, class_->unjudged->leased_us) > max_us) {
        if (!class_->unjudged->judged) {
            class_->unjudged->judged = true;
            bpi_pool_share_judge(&class_->share, true);
        }
        class_->unjudged = class_->unjudged->next;
    }
    return max_us != 0 && bpi_pool_share_is_quick(&class_->share);
}

bool bpi_pool_class_may_take(struct bpi_pool *pool,
                             enum bpi_class class_,
                             unsigned claims,
                             unsigned claims_all,
                             bp_usec now_us)
{
    struct bpi_pool_class *own = &pool->classes[class_];
    const struct bpi_pool_class_limits *limits = &pool->limits.classes[class_];
    unsigned used = own->leased + claims;
    if (limits->max != 0 && used >= limits->max) {
        return false;
    }
    if (used < limits->min) {
        return true;
    }
    unsigned used_all = pool->counts[BPI_POOL_LEASED] + claims_all;
    unsigned left = pool->slots > used_all ? pool->slots - used_all : 0;
    if (left > pool->minima_unused) {
        return true;
    }
    unsigned spare =
        pool->minima_unused < BPI_POOL_LENT_SPARE ? pool->minima_unused : BPI_POOL_LENT_SPARE;
    return left > spare && class_is_quick(pool, own, now_us);
}

bool bpi_pool_waiter_may_claim(struct bpi_pool *pool,
                               const struct bpi_pool_waiter *waiter,
                               bp_usec now_us)
{
    const struct bpi_pool_limits *limits = &pool->limits;
    unsigned own = waiter->evicted != NULL;
    return bpi_pool_class_may_take(pool, waiter->class_,
                                   pool->classes[waiter->class_].claimed - own,
                                   pool->claimed_count - own, now_us) &&
           account_has_room(&pool->users, waiter->user_key, limits->user_links_max, own) &&
           account_has_room(&pool->databases, waiter->database_key, limits->database_links_max,
                            own);
}

/* The links that serve a class while others want some, too. */
static unsigned serving_count(const struct bpi_pool *pool, enum bpi_class class_)
{
    /* A step is the inverse of a share. */
    uint64_t all = 0;
    uint64_t own = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_pool_class *other = &pool->classes[i];
        uint64_t weight = UINT64_C(1) << 40;
        weight /= (uint64_t)other->share.step;
        if (i == (unsigned)class_) {
            own = weight;
        }
        if (i == (unsigned)class_ || other->leased > 0 || other->queue.count > 0) {
            all += weight;
        }
    }
    unsigned part = all == 0 ? 0 : (unsigned)(pool->slots * own / all);
    const struct bpi_pool_class_limits *limits = &pool->limits.classes[class_];
    part = part > limits->min ? part : limits->min;
    part = limits->max != 0 && part > limits->max ? limits->max : part;
    part = part > pool->classes[class_].leased ? part : pool->classes[class_].leased;
    return part == 0 ? 1 : part;
}

bp_usec bpi_pool_estimate_us(const struct bpi_pool *pool,
                             const struct bpi_pool_waiter *waiter,
                             bp_usec now_us)
{
    const struct bpi_pool_class *class_ = &pool->classes[waiter->class_];
    if (class_->queue.count == 0 &&
        (pool->counts[BPI_POOL_IDLE] > 0 || bpi_pool_has_place(pool, 0))) {
        return 0;
    }
    unsigned ahead = bpi_pool_queue_ahead(&class_->queue, waiter->priority, waiter->tenant_key);
    bp_usec hold_us = bpi_pool_share_hold_us(&class_->share, class_->leased, now_us);
    return (ahead + 1) * hold_us / serving_count(pool, waiter->class_);
}

/* Whether work with a deadline is turned away although it could be met. */
static bool
queue_stands(struct bpi_pool_class *class_, bp_usec wait_us, bp_usec hold_us, bp_usec now_us)
{
    bp_usec target_us = hold_us > STANDING_US ? hold_us : STANDING_US;
    if (bpi_pool_elapsed(now_us, class_->came_us) > STANDING_FORGET_US) {
        class_->queue_stands = false;
        class_->turning_since_us = 0;
    }
    class_->came_us = now_us;
    bool turns = class_->queue_stands ? wait_us <= target_us / 2 : wait_us > target_us;
    if (!turns) {
        class_->turning_since_us = 0;
    } else if (class_->turning_since_us == 0) {
        class_->turning_since_us = now_us;
    } else if (bpi_pool_elapsed(now_us, class_->turning_since_us) >= BPI_POOL_CODEL_INTERVAL_US) {
        class_->queue_stands = !class_->queue_stands;
        class_->turning_since_us = 0;
    }
    return class_->queue_stands && wait_us > target_us;
}

static enum bpi_pool_refusal
judge(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_pool_class *class_ = &pool->classes[waiter->class_];
    unsigned waiting_max = pool->limits.classes[waiter->class_].waiting_max;
    if (waiting_max != 0 && class_->queue.count >= waiting_max) {
        return BPI_POOL_QUEUE_FULL;
    }
    if (waiter->expires_us != 0 && waiter->expires_us <= now_us) {
        return BPI_POOL_EXPIRED;
    }
    if (waiter->deadline_us == 0) {
        return BPI_POOL_ADMITTED;
    }
    bp_usec left_us = bpi_pool_elapsed(waiter->deadline_us, now_us);
    bp_usec hold_us = bpi_pool_share_hold_us(&class_->share, class_->leased, now_us);
    bp_usec wait_us = bpi_pool_estimate_us(pool, waiter, now_us);
    waiter->estimate_us = wait_us;
    bool stands = queue_stands(class_, wait_us, hold_us, now_us);
    if (left_us == 0 || (wait_us > 0 && wait_us + 2 * hold_us > left_us / 3 * 2)) {
        return BPI_POOL_HOPELESS;
    }
    return stands && wait_us > left_us / STANDING_PART ? BPI_POOL_SHED : BPI_POOL_ADMITTED;
}

enum bpi_pool_refusal
bpi_pool_wait(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    BP_ASSERT(waiter->state != BPI_POOL_WAITER_QUEUED);
    BP_ASSERT(waiter->loop < BPI_POOL_LOOPS_MAX);
    waiter->estimate_us = 0;
    if (!waiter->is_check) {
        enum bpi_pool_refusal refusal = judge(pool, waiter, now_us);
        if (refusal != BPI_POOL_ADMITTED) {
            waiter->state = BPI_POOL_WAITER_NONE;
            pool->classes[waiter->class_].refused_total[refusal]++;
            return refusal;
        }
    }
    waiter->arrived_us = now_us;
    waiter->sequence = ++pool->sequence;
    waiter->opening = NULL;
    waiter->evicted = NULL;
    waiter->called = false;
    bpi_pool_enqueue(pool, waiter);
    return BPI_POOL_ADMITTED;
}

bp_usec bpi_pool_codel_interval_us(bp_usec target_us)
{
    bp_usec interval_us = 20 * target_us;
    return interval_us > BPI_POOL_CODEL_INTERVAL_US ? interval_us : BPI_POOL_CODEL_INTERVAL_US;
}

static struct bpi_pool_waiter *
find_old_sheddable(const struct bpi_pool_queue *queue, bp_usec than_us, bp_usec now_us)
{
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT; i++) {
        struct bpi_pool_waiter *waiter = queue->levels[i].by_age;
        for (unsigned looked = 0; waiter != NULL && looked < SHED_WINDOW; looked++) {
            if (bpi_pool_elapsed(now_us, waiter->arrived_us) <= than_us) {
                break;
            }
            if (waiter->sheddable) {
                return waiter;
            }
            waiter = waiter->node.newer;
        }
    }
    return NULL;
}

struct bpi_pool_waiter *bpi_pool_find_shed(struct bpi_pool *pool, bp_usec now_us)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_class *class_ = &pool->classes[i];
        bp_usec target_us = pool->limits.classes[i].codel_target_us;
        if (target_us == 0) {
            continue;
        }
        const struct bpi_pool_waiter *oldest = bpi_pool_queue_oldest(&class_->queue);
        if (oldest == NULL || bpi_pool_elapsed(now_us, oldest->arrived_us) <= target_us) {
            class_->above_since_us = 0;
        } else if (class_->above_since_us == 0) {
            class_->above_since_us = now_us;
        } else if (bpi_pool_elapsed(now_us, class_->above_since_us) >=
                   bpi_pool_codel_interval_us(target_us)) {
            struct bpi_pool_waiter *waiter =
                find_old_sheddable(&class_->queue, 2 * target_us, now_us);
            if (waiter != NULL) {
                return waiter;
            }
        }
    }
    return NULL;
}
