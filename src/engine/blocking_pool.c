/* See blocking_pool.h: acquire and release. */
#include "engine/blocking_pool.h"

#include "base/clock.h"
#include "base/container.h"
#include "base/futex.h"
#include "engine/keep.h"
#include "engine/run.h"

/* A thread that was called and came in vain isn't woken again for so long, but looks by itself at its end: where
 * threads take their connections again at once, each release would wake it for nothing (14 us of CPU a turn instead of
 * 20). At twice as much, a connection that is really free may stay so for a millisecond. */
#define QUIET_US ((bp_usec)500)

bp_usec bp_now_us(void)
{
    return bpi_clock_now_us();
}

static struct bpi_place *place_of_lease(struct bp_lease *lease)
{
    return BPI_CONTAINER(lease - lease->index, struct bpi_place, handles);
}

/* ---- acquire ---- */

static int give(struct bpi_place *place, struct bp_lease **ret_lease)
{
    *ret_lease = bpi_place_lease(place);
    return 0;
}

/* The thread was called. Takes the lock; the lease, or NULL. */
static struct bpi_place *come(struct bp_pool *pool, struct bpi_want *want)
{
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_pool_link *link = NULL;
    if (atomic_load_explicit(&want->answer, memory_order_relaxed) == BPI_ANSWER_CALLED) {
        link = bpi_pool_come(&pool->decider, &want->waiter, now_us);
        atomic_store_explicit(&want->answer, BPI_ANSWER_NONE, memory_order_relaxed);
        want->is_unwoken = false;
    }
    if (link == NULL) {
        want->quiet_until_us = now_us + QUIET_US;
        /* Somebody else has got it; or the answer has changed meanwhile. */
        bpi_lock_unlock(&pool->lock);
        return NULL;
    }
    bpi_run_begin(pool, now_us);
    bpi_place_lend(bpi_place_of(link), want, now_us);
    bpi_wait_count(pool, want, now_us);
    if (bpi_pool_is_calm(&pool->decider) || pool->decider.counts[BPI_POOL_IDLE] == 0) {
        bpi_lock_unlock(&pool->lock);
    } else {
        struct bpi_turn turn;
        bpi_turn_begin(&turn, pool);
        bpi_turn_end(&turn, 0, now_us);
    }
    return bpi_place_of(link);
}

/* Whether the thread gave up. False: it has an answer. */
static bool give_up(struct bp_pool *pool, struct bpi_want *want, bp_usec now_us)
{
    bpi_lock_lock(&pool->lock);
    if (!bpi_pool_cancel(&pool->decider, &want->waiter, now_us)) {
        bpi_lock_unlock(&pool->lock);
        return false;
    }
    /* A link that was kept for it may be someone else's now. */
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end(&turn, 0, now_us);
    return true;
}

static int
sleep_for_answer(struct bp_pool *pool, struct bpi_want *want, struct bp_lease **ret_lease)
{
    bp_usec until_us = want->waiter.expires_us;
    bp_usec quiet_us = 0;
    for (;;) {
        switch (atomic_load_explicit(&want->answer, memory_order_acquire)) {
        case BPI_ANSWER_GRANTED:
            bpi_run_begin(pool, bpi_clock_now_us());
            return give(want->place, ret_lease);
        case BPI_ANSWER_REFUSED:
            return want->error;
        case BPI_ANSWER_CALLED: {
            struct bpi_place *place = come(pool, want);
            if (place != NULL) {
                return give(place, ret_lease);
            }
            quiet_us = want->quiet_until_us;
            break;
        }
        default: {
            if (quiet_us != 0) {
                bool is_first = until_us == 0 || quiet_us < until_us;
                bpi_futex_wait(&want->answer, BPI_ANSWER_NONE, is_first ? quiet_us : until_us);
                quiet_us = 0;
                break;
            }
            bpi_futex_wait(&want->answer, BPI_ANSWER_NONE, until_us);
            bp_usec now_us = until_us == 0 ? 0 : bpi_clock_now_us();
            if (until_us != 0 && now_us >= until_us &&
                atomic_load_explicit(&want->answer, memory_order_acquire) == BPI_ANSWER_NONE &&
                give_up(pool, want, now_us)) {
                return BP_E_QUEUE_TIMEOUT;
            }
            break;
        }
        }
    }
}

static int phase_error(const struct bp_pool *pool)
{
    return pool->phase == BPI_POOL_DRAINS ? BP_E_DRAINING : BP_E_CLOSED;
}

/* The lock is held. */
static int acquire_slowly(struct bp_pool *pool,
                          struct bpi_want *want,
                          bp_usec timeout_us,
                          bp_usec now_us,
                          struct bp_lease **ret_lease)
{
    int error = 0;
    if (pool->phase != BPI_POOL_RUNS) {
        error = phase_error(pool);
    } else if (timeout_us == 0) {
        error = BP_E_QUEUE_TIMEOUT;
    } else {
        if (timeout_us == BP_WAIT_DEFAULT) {
            timeout_us = pool->config.queue_timeout_us;
        }
        bpi_want_set_timeout(want, now_us, timeout_us);
        atomic_init(&want->answer, BPI_ANSWER_NONE);
        want->quiet_until_us = 0;
        want->is_unwoken = false;
        error = bpi_refusal_error(bpi_pool_wait(&pool->decider, &want->waiter, now_us));
    }
    if (error != 0) {
        bpi_lock_unlock(&pool->lock);
        return error;
    }
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    turn.self = want;
    bpi_turn_end(&turn, 0, now_us);
    return sleep_for_answer(pool, want, ret_lease);
}

static int acquire_strangely(struct bp_pool *pool, const struct bp_operation *operation)
{
    if (pool == NULL) {
        return BP_E_USAGE;
    }
    if (!bpi_pool_is_here(pool)) {
        return bpi_pool_misused(pool, "acquire in a forked child: the pool is the parent's");
    }
    if (operation != NULL && operation->struct_size != sizeof(*operation)) {
        return bpi_pool_misused(pool, "acquire with a struct bp_operation of another size");
    }
    return bpi_pool_misused(pool, "acquire without a place for the lease, or for unknown work");
}

static int acquire_by_lock(struct bp_pool *pool,
                           const struct bp_operation *operation,
                           bp_usec timeout_us,
                           struct bp_lease **ret_lease)
{
    struct bpi_want want;
    if (bpi_want_init(&want, operation) != 0) {
        return acquire_strangely(pool, operation);
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_pool_link *link = NULL;
    if (__builtin_expect(pool->phase == BPI_POOL_RUNS, 1)) {
        pool->decider.limits.pass_over_us = bpi_run_pass_over_us(pool, now_us);
        link = bpi_keep_take_any(pool, &want, now_us);
        pool->decider.limits.pass_over_us = pool->config.pass_over_us;
    }
    if (link != NULL) {
        bpi_place_lend(bpi_place_of(link), &want, now_us);
        bpi_lock_unlock(&pool->lock);
        return give(bpi_place_of(link), ret_lease);
    }
    int error = acquire_slowly(pool, &want, timeout_us, now_us, ret_lease);
    struct bp_refusal *refusal = operation == NULL ? NULL : operation->reterr_refusal;
    return error == 0 ? 0 : bpi_refusal_tell(pool, &want, error, refusal);
}

int bp_pool_acquire(struct bp_pool *pool,
                    const struct bp_operation *operation,
                    bp_usec timeout_us,
                    struct bp_lease **ret_lease)
{
    if (__builtin_expect(pool == NULL || ret_lease == NULL || !bpi_pool_is_here(pool), 0)) {
        return acquire_strangely(pool, operation);
    }
    struct bp_lease *lease = bpi_keep_take(pool, operation);
    if (lease != NULL) {
        *ret_lease = lease;
        return 0;
    }
    return acquire_by_lock(pool, operation, timeout_us, ret_lease);
}

/* ---- release ---- */

void *bp_lease_connection(struct bp_lease *lease)
{
    if (lease == NULL) {
        return NULL;
    }
    struct bpi_place *place = place_of_lease(lease);
    struct bp_pool *pool = place->pool;
    if (!bpi_pool_is_here(pool)) {
        return NULL;
    }
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    if ((word & BPI_WORD_STATE) != BPI_PLACE_OUT ||
        word / BPI_WORD_LEASE % BPI_PLACE_HANDLES != lease->index) {
        bpi_pool_misused(pool, "the connection of a lease that was given back");
        return NULL;
    }
    return atomic_load_explicit(&place->connection, memory_order_relaxed);
}

/* Whether the connection can be lent again at once. */
static bool is_ready(enum bp_outcome outcome)
{
    return outcome == BP_OUTCOME_OK || outcome == BP_OUTCOME_ERROR;
}

/* The lock is held. */
static void release_slowly(struct bp_pool *pool,
                           struct bpi_place *place,
                           enum bp_outcome outcome,
                           bp_usec now_us)
{
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    turn.is_one_link = is_ready(outcome);
    if (outcome == BP_OUTCOME_UNCLEAN && pool->phase == BPI_POOL_STOPS) {
        bpi_place_close(&turn, place, false, now_us);
    } else if (outcome == BP_OUTCOME_UNCLEAN && pool->connector.check != NULL) {
        bpi_place_clean(&turn, place);
    } else if (!turn.is_one_link) {
        bpi_place_close(&turn, place, true, now_us);
    }
    pool->decider.limits.pass_over_us = bpi_run_pass_over_us(pool, now_us);
    bpi_turn_end(&turn, 0, now_us);
}

int bp_pool_release(struct bp_lease *lease, enum bp_outcome outcome)
{
    if (lease == NULL) {
        return BP_E_USAGE;
    }
    struct bpi_place *place = place_of_lease(lease);
    struct bp_pool *pool = place->pool;
    if (!bpi_pool_is_here(pool)) {
        return bpi_pool_misused(pool, "release in a forked child: the lease is the parent's");
    }
    if (__builtin_expect(pool->connector.returned != NULL, 0)) {
        /* Its connection is looked at only while no other thread, releasing it too, can give it away. */
        if (!bpi_keep_claim(place, lease)) {
            return bpi_pool_misused(pool, "a lease was released twice");
        }
        void *connection = atomic_load_explicit(&place->connection, memory_order_relaxed);
        outcome = pool->connector.returned(pool->connector.user, connection, outcome);
    }
    if (outcome == BP_OUTCOME_OK && bpi_keep_back(place, lease)) {
        return 0;
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    if (__builtin_expect(!bpi_keep_end(place, lease, now_us), 0)) {
        bpi_lock_unlock(&pool->lock);
        return bpi_pool_misused(pool, "a lease was released twice");
    }
    if (is_ready(outcome)) {
        bpi_pool_link_released(&pool->decider, &place->link, outcome != BP_OUTCOME_OK, now_us);
        if (pool->phase == BPI_POOL_RUNS && bpi_pool_is_calm(&pool->decider)) {
            bpi_keep_resume(pool);
            bpi_lock_unlock(&pool->lock);
            return 0;
        }
    }
    release_slowly(pool, place, outcome, now_us);
    return 0;
}
