/* See keep.h. */
#include "engine/keep.h"

#include "base/assert.h"
#include "base/clock.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More processors than this share slots. */
#define SLOTS_MAX 256

int bpi_keep_init(struct bp_pool *pool)
{
    long processors = sysconf(_SC_NPROCESSORS_CONF);
    unsigned count = 1;
    while ((long)count < processors && count < SLOTS_MAX) {
        count *= 2;
    }
    pool->slots = aligned_alloc(alignof(struct bpi_keep_slot), count * sizeof(*pool->slots));
    if (pool->slots == NULL) {
        return BP_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < count; i++) {
        atomic_init(&pool->slots[i].place, NULL);
    }
    pool->slots_mask = count - 1;
    pool->may_keep = true;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        pool->may_keep &= pool->config.classes[i].min == 0;
    }
    return 0;
}

void bpi_keep_done(struct bp_pool *pool)
{
    free(pool->slots);
}

static inline struct bpi_keep_slot *slot_here(struct bp_pool *pool)
{
    int processor = sched_getcpu();
    return &pool->slots[processor < 0 ? 0 : (unsigned)processor & pool->slots_mask];
}

static inline enum bpi_place_state state_of(uint32_t word)
{
    return (enum bpi_place_state)(word & BPI_WORD_STATE);
}

/* ---- without the lock ---- */

/* The class, or -1 for what has to see the decider. */
static inline int class_for(const struct bp_operation *operation)
{
    if (operation == NULL) {
        return BP_CLASS_READ_WRITE;
    }
    if (operation->struct_size != sizeof(*operation) || operation->tenant != NULL) {
        return -1;
    }
    return bp_work_class(operation->work, operation->priority);
}

static void write_name(struct bpi_place *place, const char *name)
{
    uint64_t words[BPI_LEASE_NAME / 8] = {0};
    memcpy(words, name, strnlen(name, BPI_LEASE_NAME - 1));
    for (unsigned i = 0; i < BPI_LEASE_NAME / 8; i++) {
        atomic_store_explicit(&place->name[i], words[i], memory_order_relaxed);
    }
}

/* By its new owner. */
static inline void
describe(struct bpi_place *place, enum bp_work work, const char *name, int thread, bp_usec now_us)
{
    atomic_store_explicit(&place->since_us, now_us, memory_order_relaxed);
    atomic_store_explicit(&place->work, (int)work, memory_order_relaxed);
    atomic_store_explicit(&place->thread, thread, memory_order_relaxed);
    if (name != NULL) {
        write_name(place, name);
    } else {
        atomic_store_explicit(&place->name[0], 0, memory_order_relaxed);
    }
}

struct bp_lease *bpi_keep_take(struct bp_pool *pool, const struct bp_operation *operation)
{
    int class_ = class_for(operation);
    if (class_ < 0 || !atomic_load_explicit(&pool->keeps, memory_order_acquire)) {
        return NULL;
    }
    struct bpi_place *place = atomic_load_explicit(&slot_here(pool)->place, memory_order_relaxed);
    if (place == NULL) {
        return NULL;
    }
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    uint32_t number = word & ~(BPI_WORD_LEASE - 1);
    uint32_t same = BPI_WORD_KEEPABLE | (uint32_t)class_ << BPI_WORD_CLASS_SHIFT;
    uint32_t mine = (number + BPI_WORD_LEASE) | same | BPI_PLACE_OUT;
    if (word != (number | same | BPI_PLACE_KEPT) ||
        !atomic_compare_exchange_strong_explicit(&place->word, &word, mine, memory_order_acquire,
                                                 memory_order_relaxed)) {
        return NULL;
    }
    describe(place, operation == NULL ? BP_WORK_READ_WRITE : operation->work,
             operation == NULL ? NULL : operation->name, bpi_thread_id(), bpi_clock_now_us());
    uint32_t leases = atomic_load_explicit(&place->kept_leases, memory_order_relaxed);
    atomic_store_explicit(&place->kept_leases, leases + 1, memory_order_relaxed);
    return &place->handles[mine / BPI_WORD_LEASE % BPI_PLACE_HANDLES];
}

/* It said KEPT when nobody kept any more. */
static void bring_home(struct bpi_place *place)
{
    struct bp_pool *pool = place->pool;
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    bpi_keep_sweep(pool, now_us);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end(&turn, 0, now_us);
}

static inline bool is_of(uint32_t word, const struct bp_lease *lease)
{
    return word / BPI_WORD_LEASE % BPI_PLACE_HANDLES == lease->index;
}

bool bpi_keep_claim(struct bpi_place *place, const struct bp_lease *lease)
{
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    do {
        if (state_of(word) != BPI_PLACE_OUT || !is_of(word, lease)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&place->word, &word,
                                                    (word & ~BPI_WORD_STATE) | BPI_PLACE_BACK,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool bpi_keep_back(struct bpi_place *place, const struct bp_lease *lease)
{
    struct bp_pool *pool = place->pool;
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    uint32_t flags = BPI_WORD_HELD | BPI_WORD_SYNC | BPI_WORD_KEEPABLE;
    if ((word & flags) != (BPI_WORD_HELD | BPI_WORD_KEEPABLE) || !is_of(word, lease) ||
        !atomic_load_explicit(&pool->keeps, memory_order_relaxed)) {
        return false;
    }
    /* Its time first: from the swap on the place is anybody's. */
    bp_usec now_us = bpi_clock_now_us();
    bp_usec since_us = atomic_load_explicit(&place->since_us, memory_order_relaxed);
    uint64_t held_us = atomic_load_explicit(&place->kept_held_us, memory_order_relaxed);
    uint64_t more_us = now_us > since_us ? now_us - since_us : 0;
    atomic_store_explicit(&place->kept_held_us, held_us + more_us, memory_order_relaxed);
    atomic_store_explicit(&place->since_us, now_us, memory_order_relaxed);
    uint32_t kept = (word & ~BPI_WORD_STATE) | BPI_PLACE_KEPT;
    if (!atomic_compare_exchange_strong_explicit(&place->word, &word, kept, memory_order_seq_cst,
                                                 memory_order_relaxed)) {
        /* It has to be told of after all; or another thread has just given it back. */
        atomic_store_explicit(&place->since_us, since_us, memory_order_relaxed);
        atomic_store_explicit(&place->kept_held_us, held_us, memory_order_relaxed);
        return false;
    }
    struct bpi_keep_slot *slot = slot_here(pool);
    if (atomic_load_explicit(&slot->place, memory_order_relaxed) != place) {
        atomic_store_explicit(&slot->place, place, memory_order_relaxed);
    }
    if (__builtin_expect(!atomic_load_explicit(&pool->keeps, memory_order_seq_cst), 0)) {
        bring_home(place);
    }
    return true;
}

/* ---- with the lock ---- */

void bpi_place_lend(struct bpi_place *place, const struct bpi_want *want, bp_usec now_us)
{
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    BP_DEBUG_ASSERT(state_of(word) == BPI_PLACE_HOME);
    uint32_t number = (word & ~(BPI_WORD_LEASE - 1)) + BPI_WORD_LEASE;
    uint32_t keepable =
        want->waiter.tenant_key == 0 && place->pool->may_keep ? BPI_WORD_KEEPABLE : 0;
    /* A connection belongs to no loop, but those of the loop that had it last get it more cheaply. */
    place->link.loop = want->waiter.loop;
    describe(place, want->work, want->name, want->thread, now_us);
    atomic_store_explicit(&place->word,
                          number | keepable |
                              (uint32_t)want->waiter.class_ << BPI_WORD_CLASS_SHIFT | BPI_PLACE_OUT,
                          memory_order_release);
}

/* Tells the decider that the link was leased `leases` times more than it knows, and that of the time for which it thinks
 * that it was in use it only rested for `rested_us`; both since it was leased by the decider. */
static void learn(struct bp_pool *pool,
                  struct bpi_place *place,
                  uint32_t leases,
                  uint64_t rested_us,
                  bp_usec now_us)
{
    struct bpi_pool_class *class_ = &pool->decider.classes[place->link.class_];
    struct bpi_pool_share *share = &class_->share;
    if (now_us > share->changed_us) {
        share->busy_us += class_->leased * (now_us - share->changed_us);
        share->changed_us = now_us;
    }
    uint64_t more_us = rested_us > place->told_rested_us ? rested_us - place->told_rested_us : 0;
    share->busy_us -= more_us < share->busy_us ? more_us : share->busy_us;
    share->done += leases - place->told_leases;
    while (share->done >= BPI_POOL_HOLD_WINDOW) {
        share->done /= 2;
        share->busy_us /= 2;
    }
    place->told_leases = leases;
    place->told_rested_us = rested_us;
}

/* The decider is about to be told that the link was released: as if its last lease had been an average one. */
static void tell(struct bp_pool *pool, struct bpi_place *place, uint64_t held_us, bp_usec now_us)
{
    struct bpi_pool_link *link = &place->link;
    uint32_t leases = atomic_load_explicit(&place->kept_leases, memory_order_relaxed);
    bp_usec span_us = now_us > link->leased_us ? now_us - link->leased_us : 0;
    learn(pool, place, leases, span_us > held_us ? span_us - held_us : 0, now_us);
    pool->busy_us[link->class_] += held_us;
    pool->kept_total[link->class_] += leases;
    pool->returned_total += leases;
    atomic_store_explicit(&place->kept_held_us, 0, memory_order_relaxed);
    atomic_store_explicit(&place->kept_leases, 0, memory_order_relaxed);
    place->told_leases = 0;
    place->told_rested_us = 0;
    bp_usec mean_us = held_us / (leases + 1);
    if (mean_us < span_us) {
        link->leased_us = now_us - mean_us;
    }
}

/* The same for one that is out, and stays so. Its owner may be about to give it back: then this is off by one hold. */
static void tell_so_far(struct bp_pool *pool, struct bpi_place *place, bp_usec now_us)
{
    uint32_t leases = atomic_load_explicit(&place->kept_leases, memory_order_relaxed);
    if (leases > place->told_leases) {
        uint64_t held_us = atomic_load_explicit(&place->kept_held_us, memory_order_relaxed);
        bp_usec since_us = atomic_load_explicit(&place->since_us, memory_order_relaxed);
        bp_usec busy_us = place->link.leased_us + held_us;
        learn(pool, place, leases, since_us > busy_us ? since_us - busy_us : 0, now_us);
    }
}

bool bpi_keep_end(struct bpi_place *place, const struct bp_lease *lease, bp_usec now_us)
{
    struct bp_pool *pool = place->pool;
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    do {
        if ((word & BPI_WORD_HELD) == 0 || !is_of(word, lease)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&place->word, &word,
                                                    word & ~(BPI_WORD_STATE | BPI_WORD_SYNC),
                                                    memory_order_acq_rel, memory_order_relaxed));
    bp_usec since_us = atomic_load_explicit(&place->since_us, memory_order_relaxed);
    uint64_t held_us = atomic_load_explicit(&place->kept_held_us, memory_order_relaxed);
    held_us += now_us > since_us ? now_us - since_us : 0;
    pool->returned_total++;
    if (atomic_load_explicit(&place->kept_leases, memory_order_relaxed) == 0) {
        pool->busy_us[place->link.class_] += held_us;
        atomic_store_explicit(&place->kept_held_us, 0, memory_order_relaxed);
    } else {
        tell(pool, place, held_us, now_us);
    }
    return true;
}

/* Whether it was kept, and is home now. */
static bool take_home(struct bp_pool *pool, struct bpi_place *place, bp_usec now_us)
{
    uint32_t word = atomic_load_explicit(&place->word, memory_order_seq_cst);
    if (state_of(word) != BPI_PLACE_KEPT ||
        !atomic_compare_exchange_strong_explicit(&place->word, &word, word & ~BPI_WORD_STATE,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return false;
    }
    uint64_t held_us = atomic_load_explicit(&place->kept_held_us, memory_order_relaxed);
    pool->returned_total++;
    tell(pool, place, held_us, now_us);
    bpi_pool_link_released(&pool->decider, &place->link, false, now_us);
    return true;
}

/* Brings home those of `class_` that were leased `older_us` ago or earlier; marks the others that are. */
static void bring_class(
    struct bp_pool *pool, enum bpi_class class_, bp_usec older_us, bool marks, bp_usec now_us)
{
    struct bpi_pool_link *link = pool->decider.classes[class_].leases;
    while (link != NULL) {
        struct bpi_place *place = bpi_place_of(link);
        struct bpi_pool_link *next = link->next;
        bool is_old = link->leased_us + older_us <= now_us || older_us == 0;
        bool is_out = is_old && !take_home(pool, place, now_us);
        if (is_out) {
            tell_so_far(pool, place, now_us);
        }
        if (is_out && marks) {
            uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
            if ((word & BPI_WORD_HELD) != 0) {
                /* Should it fail, its owner was quicker, and the next look will do. */
                (void)atomic_compare_exchange_strong_explicit(
                    &place->word, &word, word | BPI_WORD_SYNC, memory_order_relaxed,
                    memory_order_relaxed);
            }
        }
        link = next;
    }
}

void bpi_keep_sweep(struct bp_pool *pool, bp_usec now_us)
{
    atomic_store_explicit(&pool->keeps, false, memory_order_seq_cst);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        bring_class(pool, (enum bpi_class)i, 0, false, now_us);
    }
}

void bpi_keep_look(struct bp_pool *pool, bp_usec older_us, bp_usec now_us)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        bring_class(pool, (enum bpi_class)i, older_us, true, now_us);
    }
}

void bpi_keep_resume(struct bp_pool *pool)
{
    if (pool->may_keep && !atomic_load_explicit(&pool->keeps, memory_order_relaxed) &&
        pool->phase == BPI_POOL_RUNS && !pool->decider.paused && bpi_pool_is_calm(&pool->decider)) {
        atomic_store_explicit(&pool->keeps, true, memory_order_seq_cst);
    }
}

struct bpi_pool_link *bpi_keep_take_any(struct bp_pool *pool, struct bpi_want *want, bp_usec now_us)
{
    struct bpi_pool_link *link = bpi_pool_take(&pool->decider, &want->waiter, now_us);
    if (link == NULL && atomic_load_explicit(&pool->keeps, memory_order_relaxed)) {
        bpi_keep_sweep(pool, now_us);
        link = bpi_pool_take(&pool->decider, &want->waiter, now_us);
        if (link != NULL) {
            bpi_keep_resume(pool);
        }
    }
    return link;
}

void bpi_keep_count(const struct bp_pool *pool,
                    enum bpi_class class_,
                    uint64_t *ret_leases,
                    uint64_t *ret_held_us,
                    unsigned *ret_kept)
{
    struct bpi_pool_link *link = pool->decider.classes[class_].leases;
    *ret_leases = *ret_held_us = *ret_kept = 0;
    for (; link != NULL; link = link->next) {
        const struct bpi_place *place = bpi_place_of(link);
        *ret_leases += atomic_load_explicit(&place->kept_leases, memory_order_relaxed);
        *ret_held_us += atomic_load_explicit(&place->kept_held_us, memory_order_relaxed);
        *ret_kept +=
            state_of(atomic_load_explicit(&place->word, memory_order_relaxed)) == BPI_PLACE_KEPT;
    }
}
