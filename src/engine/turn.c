/* See blocking_pool.h: the decider's answers, and carrying them out. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/futex.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

#include <string.h>

/* The upkeep thread isn't woken for what is due less than this before it looks anyway: a wake-up costs 5 us. */
#define UPKEEP_SLACK_US ((bp_usec)200)

void bpi_turn_begin(struct bpi_turn *turn, struct bp_pool *pool)
{
    /* The arrays at its end needn't be. */
    memset(turn, 0, offsetof(struct bpi_turn, wakes));
    turn->pool = pool;
    turn->thread = bpi_thread_id();
}

void bpi_turn_wake(struct bpi_turn *turn, const _Atomic uint32_t *word)
{
    turn->wakes[turn->wakes_count++] = word;
    turn->is_full |= turn->wakes_count == BPI_TURN_WAKES;
}

void bpi_turn_signal(struct bpi_turn *turn, struct bp_mailbox *mailbox)
{
    turn->mailboxes[turn->mailboxes_count++] = mailbox;
    turn->is_full |= turn->mailboxes_count == BPI_TURN_WAKES;
}

void bpi_turn_post(struct bpi_turn *turn, struct bpi_want *want, enum bpi_answer answer)
{
    uint32_t before = atomic_load_explicit(&want->answer, memory_order_relaxed);
    struct bp_mailbox *mailbox = want->mailbox;
    turn->has_posted = true;
    if (mailbox != NULL) {
        atomic_store_explicit(&want->answer, answer, memory_order_relaxed);
        bpi_mailbox_deliver(turn, want);
        return;
    }
    /* One that was called has been woken, and looks again before it sleeps; unless it came in vain just before: then the
     * link is most probably taken again by the thread that gave it back, and it looks by itself soon. */
    bool wakes = want != turn->self && (before == BPI_ANSWER_NONE || want->is_unwoken);
    want->is_unwoken = answer == BPI_ANSWER_CALLED && turn->now_us < want->quiet_until_us;
    wakes = wakes && !want->is_unwoken;
    /* From here on the thread may go, and its stack with it: the word is only an address now. */
    atomic_store_explicit(&want->answer, answer, memory_order_release);
    if (wakes) {
        bpi_turn_wake(turn, &want->answer);
    }
}

void bpi_wait_count(struct bp_pool *pool, const struct bpi_want *want, bp_usec now_us)
{
    bp_usec arrived_us = want->waiter.arrived_us;
    bpi_histogram_record(&pool->waits[want->waiter.class_],
                         now_us > arrived_us ? now_us - arrived_us : 0);
}

static void
lend_later(struct bpi_turn *turn, struct bpi_pool_link *link, struct bpi_want *want, bp_usec now_us)
{
    struct bpi_place *place = bpi_place_of(link);
    bpi_place_lend(place, want, now_us);
    bpi_wait_count(turn->pool, want, now_us);
    want->place = place;
    bpi_turn_post(turn, want, BPI_ANSWER_GRANTED);
}

void bpi_place_close(struct bpi_turn *turn,
                     struct bpi_place *place,
                     bool is_unhealthy,
                     bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    bpi_pool_link_closing(&pool->decider, &place->link, now_us);
    place->is_unhealthy = is_unhealthy;
    bpi_helper_push(turn, place, BPI_JOB_CLOSE);
}

void bpi_place_clean(struct bpi_turn *turn, struct bpi_place *place)
{
    turn->pool->cleaning[place->link.class_]++;
    bpi_helper_push(turn, place, BPI_JOB_CLEAN);
}

unsigned bpi_cleaning_count(const struct bp_pool *pool)
{
    unsigned count = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        count += pool->cleaning[i];
    }
    return count;
}

/* A thread is woken, and another one may be quicker. A request of this very thread is here already. */
static void call(struct bpi_turn *turn, struct bpi_want *want, bp_usec now_us)
{
    if (!bpi_mailbox_is_own(want->mailbox, turn->thread)) {
        bpi_turn_post(turn, want, BPI_ANSWER_CALLED);
    } else if (bpi_mailbox_come(turn->pool, want, now_us)) {
        bpi_turn_post(turn, want, BPI_ANSWER_GRANTED);
    } else {
        turn->gives_up = true;
    }
}

static void carry_out(struct bpi_turn *turn, const struct bpi_pool_action *action, bp_usec now_us)
{
    struct bpi_pool *decider = &turn->pool->decider;
    switch (action->kind) {
    case BPI_POOL_GRANT:
        lend_later(turn, action->link, bpi_want_of(action->waiter), now_us);
        break;
    case BPI_POOL_REFUSE:
        bpi_want_of(action->waiter)->error = bpi_refusal_error(action->refusal);
        bpi_turn_post(turn, bpi_want_of(action->waiter), BPI_ANSWER_REFUSED);
        break;
    case BPI_POOL_CALL:
        call(turn, bpi_want_of(action->waiter), now_us);
        break;
    case BPI_POOL_OPEN:
        bpi_helper_push(turn, bpi_place_of(action->link), BPI_JOB_OPEN);
        break;
    case BPI_POOL_CHECK:
        bpi_helper_push(turn, bpi_place_of(action->link),
                        action->keep_alive ? BPI_JOB_KEEP_ALIVE : BPI_JOB_CHECK);
        break;
    case BPI_POOL_CLOSE: {
        unsigned errors_max = decider->limits.errors_max;
        bpi_place_close(turn, bpi_place_of(action->link),
                        errors_max != 0 && action->link->errors >= errors_max, now_us);
        break;
    }
    case BPI_POOL_KICK:
    case BPI_POOL_NOTHING:
        break;
    }
}

/* Asks for `loop`, and for every loop that the decider wants to be asked for, until there is nothing more. */
static void ask(struct bpi_turn *turn, unsigned loop, bp_usec now_us)
{
    struct bpi_pool *decider = &turn->pool->decider;
    uint64_t loops = UINT64_C(1) << loop;
    turn->now_us = now_us;
    while (loops != 0) {
        unsigned asked = (unsigned)__builtin_ctzll(loops);
        struct bpi_pool_action action = bpi_pool_decide(decider, asked, now_us);
        if (action.kind == BPI_POOL_NOTHING) {
            loops &= loops - 1;
        } else if (action.kind == BPI_POOL_KICK) {
            loops |= UINT64_C(1) << action.loop;
        } else {
            carry_out(turn, &action, now_us);
        }
        bool is_enough = turn->is_one_link && turn->has_posted &&
                         decider->called_count >= decider->counts[BPI_POOL_IDLE];
        if (turn->is_full || turn->gives_up || is_enough) {
            return;
        }
    }
}

static void mind_upkeep(struct bpi_turn *turn, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    bp_usec next_us = bpi_pool_next_us(&pool->decider, now_us);
    if (next_us != 0 && next_us + UPKEEP_SLACK_US < pool->upkeep_at_us) {
        pool->upkeep_at_us = next_us;
        atomic_fetch_add_explicit(&pool->upkeep_word, 1, memory_order_relaxed);
        turn->wakes_upkeep = true;
    }
}

/* Somebody may wait for the end of all leases, or of all threads. */
static void mind_quiet(struct bpi_turn *turn)
{
    struct bp_pool *pool = turn->pool;
    if (pool->phase == BPI_POOL_RUNS) {
        return;
    }
    if (pool->phase == BPI_POOL_DRAINS) {
        turn->wakes_quiet =
            pool->decider.waiters_count == 0 && pool->decider.counts[BPI_POOL_LEASED] == 0;
    } else if (bpi_pool_is_over(pool)) {
        turn->wakes_quiet = true;
        for (unsigned i = 0; i < BPI_HELPER_KINDS; i++) {
            atomic_fetch_add_explicit(&pool->jobs[i].word, 1, memory_order_relaxed);
            turn->helper_wakes[i] = BPI_HELPERS_MAX;
        }
        atomic_fetch_add_explicit(&pool->upkeep_word, 1, memory_order_relaxed);
        turn->wakes_upkeep = true;
    }
    if (turn->wakes_quiet) {
        atomic_fetch_add_explicit(&pool->quiet_word, 1, memory_order_relaxed);
    }
}

/* With the lock: whether what is to be done after it touches the pool. Words to wake by are only addresses. */
static void keep_pool(struct bpi_turn *turn)
{
    if (!turn->has_ref && (turn->helpers_count > 0 || turn->mailboxes_count > 0)) {
        turn->has_ref = true;
        atomic_fetch_add_explicit(&turn->pool->refs, 1, memory_order_relaxed);
    }
}

/* Without the lock. */
static void do_wakes(struct bpi_turn *turn)
{
    struct bp_pool *pool = turn->pool;
    for (unsigned i = 0; i < turn->wakes_count; i++) {
        bpi_futex_wake(turn->wakes[i], 1);
    }
    turn->wakes_count = 0;
    turn->is_full = false;
    for (unsigned i = 0; i < BPI_HELPER_KINDS; i++) {
        if (turn->helper_wakes[i] > 0) {
            bpi_futex_wake(&pool->jobs[i].word, turn->helper_wakes[i]);
            turn->helper_wakes[i] = 0;
        }
    }
    if (turn->wakes_upkeep) {
        bpi_futex_wake(&pool->upkeep_word, 1);
    }
    if (turn->wakes_quiet) {
        bpi_futex_wake(&pool->quiet_word, UINT32_MAX);
    }
    turn->wakes_upkeep = turn->wakes_quiet = false;
    if (!turn->has_ref) {
        return;
    }
    for (unsigned i = 0; i < turn->mailboxes_count; i++) {
        bpi_mailbox_signal(turn->mailboxes[i]);
    }
    turn->mailboxes_count = 0;
    if (turn->helpers_count > 0) {
        (void)bpi_helper_start(pool, turn->helpers_first, turn->helpers_count);
        turn->helpers_count = 0;
    }
}

static void let_pool_go(struct bpi_turn *turn)
{
    if (turn->has_ref) {
        turn->has_ref = false;
        bpi_pool_unref(turn->pool);
    }
}

void bpi_turn_flush(struct bpi_turn *turn)
{
    struct bp_pool *pool = turn->pool;
    if (!turn->has_ref) {
        turn->has_ref = true; /* it is touched again after the lock */
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    }
    bpi_lock_unlock(&pool->lock);
    do_wakes(turn);
    bpi_lock_lock(&pool->lock);
}

void bpi_turn_end(struct bpi_turn *turn, unsigned loop, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    bool more = pool->phase != BPI_POOL_STOPS;
    while (more) {
        ask(turn, loop, now_us);
        pool->decider.limits.pass_over_us = pool->config.pass_over_us; /* run.h */
        more = turn->is_full;
        if (more) {
            bpi_turn_flush(turn);
            now_us = bpi_clock_now_us();
            more = pool->phase != BPI_POOL_STOPS;
        } else if (!turn->is_one_link || !turn->has_posted) {
            mind_upkeep(turn, now_us);
        }
    }
    bpi_turn_end_quietly(turn);
}

/* What came home after the pool was stopped. */
static void close_idle(struct bpi_turn *turn)
{
    struct bp_pool *pool = turn->pool;
    struct bpi_pool_link *link;
    bp_usec now_us = bpi_clock_now_us();
    while ((link = pool->decider.lists[BPI_POOL_IDLE]) != NULL) {
        bpi_place_close(turn, bpi_place_of(link), false, now_us);
    }
}

void bpi_turn_end_quietly(struct bpi_turn *turn)
{
    struct bp_pool *pool = turn->pool;
    if (pool->phase == BPI_POOL_STOPS) {
        close_idle(turn);
    }
    mind_quiet(turn);
    bpi_keep_resume(pool);
    keep_pool(turn);
    bool drops_owner = pool->is_freed && pool->decider.counts[BPI_POOL_LEASED] == 0;
    if (drops_owner) {
        pool->is_freed = false; /* once */
    }
    bpi_lock_unlock(&pool->lock);
    do_wakes(turn);
    let_pool_go(turn);
    if (drops_owner) {
        bpi_pool_unref(pool);
    }
}
