/* See blocking_pool.h: why somebody got nothing, as a sentence. */
#include "base/clock.h"
#include "engine/blocking_pool.h"

#include <stdio.h>
#include <string.h>

int bpi_refusal_error(enum bpi_pool_refusal refusal)
{
    switch (refusal) {
    case BPI_POOL_ADMITTED:
        return 0;
    case BPI_POOL_QUEUE_FULL:
        return BP_E_FULL;
    case BPI_POOL_HOPELESS:
        return BP_E_HOPELESS;
    case BPI_POOL_SHED:
        return BP_E_SHED;
    case BPI_POOL_EXPIRED:
        break;
    }
    return BP_E_QUEUE_TIMEOUT;
}

/* What is seen under the lock; the sentence is made after it. */
struct facts {
    unsigned class_leased, class_max, class_waiting, class_waiting_max;
    unsigned leased, open, links_max;
    unsigned cleaning; /* of those that are leased */
    bool paused;
    int open_error;
    char open_text[BPI_OPEN_TEXT];
    struct bp_lease_info oldest; /* the lease held longest; held_us = 0: there is none */
};

static void note_oldest(struct facts *facts, const struct bpi_pool *decider, bp_usec now_us)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_link *link = decider->classes[i].leases;
        struct bp_lease_info info;
        /* The first of each class has been out longest: while somebody waits, nothing is kept. It may be one that is
         * being cleaned. */
        while (link != NULL && !bpi_place_info(bpi_place_of(link), &info, now_us)) {
            link = link->next;
        }
        if (link != NULL && info.held_us > facts->oldest.held_us) {
            facts->oldest = info;
        }
    }
}

static void
look(struct bp_pool *pool, const struct bpi_want *want, struct facts *facts, bp_usec now_us)
{
    const struct bpi_pool *decider = &pool->decider;
    const struct bpi_pool_class *class_ = &decider->classes[want->waiter.class_];
    memset(facts, 0, sizeof(*facts));
    facts->class_leased = class_->leased;
    facts->class_max = decider->limits.classes[want->waiter.class_].max;
    facts->class_waiting = class_->queue.count;
    facts->class_waiting_max = decider->limits.classes[want->waiter.class_].waiting_max;
    facts->leased = decider->counts[BPI_POOL_LEASED];
    facts->cleaning = bpi_cleaning_count(pool);
    facts->open = bpi_pool_open_count(decider);
    facts->links_max = decider->limits.links_max;
    facts->paused = decider->paused;
    facts->open_error = pool->open_error;
    memcpy(facts->open_text, pool->open_text, sizeof(facts->open_text));
    note_oldest(facts, decider, now_us);
}

static void say_oldest(const struct facts *facts, char *text, size_t size)
{
    text[0] = '\0';
    const struct bp_lease_info *oldest = &facts->oldest;
    if (facts->cleaning > 0) {
        int used = snprintf(text, size, ", %u of them being cleaned", facts->cleaning);
        text += used;
        size -= (size_t)used;
    }
    if (oldest->held_us > 0) {
        snprintf(text, size, "; held longest: %.3f s by thread %d, %s%s%s",
                 (double)oldest->held_us / 1e6, oldest->thread, bp_work_name(oldest->work),
                 oldest->name[0] == '\0' ? "" : " ", oldest->name);
    }
}

/* What stood in the way, and which limit that is. */
static void say_why(const struct facts *facts, struct bp_refusal *refusal, char *text, size_t size)
{
    char oldest[160];
    say_oldest(facts, oldest, sizeof(oldest));
    if (facts->paused) {
        snprintf(text, size, "the pool is paused");
    } else if (facts->class_max != 0 && facts->class_leased >= facts->class_max) {
        refusal->limit = facts->class_max;
        snprintf(text, size, "max = %u of class %s is reached%s", facts->class_max,
                 bp_class_name(refusal->class_), oldest);
    } else if (facts->leased >= facts->links_max) {
        refusal->limit = facts->links_max;
        snprintf(text, size, "all links_max = %u connections are in use%s", facts->links_max,
                 oldest);
    } else if (facts->open_error != 0) {
        snprintf(text, size, "opening connections fails: %s%s%s", bp_error_text(facts->open_error),
                 facts->open_text[0] == '\0' ? "" : ": ", facts->open_text);
    } else {
        refusal->limit = facts->links_max;
        snprintf(text, size, "%u of %u open connections are in use (links_max = %u)%s",
                 facts->leased, facts->open, facts->links_max, oldest);
    }
}

static void say(const struct bp_pool *pool, const struct facts *facts, struct bp_refusal *refusal)
{
    char why[BP_REFUSAL_TEXT / 2];
    const char *class_ = bp_class_name(refusal->class_);
    char *text = refusal->text;
    size_t size = sizeof(refusal->text);
    say_why(facts, refusal, why, sizeof(why));
    switch (refusal->error) {
    case BP_E_QUEUE_TIMEOUT:
        snprintf(text, size, "pool %s: no connection for %s in %.0f ms, %u wait: %s", pool->name,
                 class_, (double)refusal->waited_us / 1e3, refusal->ahead, why);
        break;
    case BP_E_FULL:
        refusal->limit = facts->class_waiting_max;
        snprintf(text, size, "pool %s: waiting_max = %u of class %s is reached: %s", pool->name,
                 facts->class_waiting_max, class_, why);
        break;
    case BP_E_HOPELESS:
        snprintf(text, size,
                 "pool %s: the deadline can't be met: %s would wait about %.0f ms, %u wait: %s",
                 pool->name, class_, (double)refusal->estimate_us / 1e3, refusal->ahead, why);
        break;
    case BP_E_SHED:
        if (refusal->waited_us == 0) {
            snprintf(text, size,
                     "pool %s: class %s is overloaded, refused at once: it would wait about "
                     "%.0f ms, %u wait: %s",
                     pool->name, class_, (double)refusal->estimate_us / 1e3, refusal->ahead, why);
        } else {
            snprintf(text, size, "pool %s: class %s is overloaded, refused after %.0f ms: %s",
                     pool->name, class_, (double)refusal->waited_us / 1e3, why);
        }
        break;
    case BP_E_DRAINING:
        snprintf(text, size, "pool %s: it is being drained", pool->name);
        break;
    case BP_E_CLOSED:
        snprintf(text, size, "pool %s: it was stopped", pool->name);
        break;
    default:
        snprintf(text, size, "pool %s: %s%s%s", pool->name, bp_error_text(refusal->error),
                 facts->open_text[0] == '\0' ? "" : ": ", facts->open_text);
        break;
    }
}

int bpi_refusal_tell(struct bp_pool *pool,
                     const struct bpi_want *want,
                     int error,
                     struct bp_refusal *refusal)
{
    if (refusal == NULL) {
        return error;
    }
    struct facts facts;
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    look(pool, want, &facts, now_us);
    bpi_lock_unlock(&pool->lock);
    bp_usec arrived_us = want->waiter.arrived_us;
    memset(refusal, 0, sizeof(*refusal));
    refusal->error = error;
    refusal->class_ = (enum bp_class)want->waiter.class_;
    /* Who was refused at the door never arrived. */
    bool has_waited = want->waiter.expires_us != 0 &&
                      (error == BP_E_QUEUE_TIMEOUT || error == BP_E_SHED || error == BP_E_CLOSED);
    refusal->waited_us = has_waited && now_us > arrived_us ? now_us - arrived_us : 0;
    refusal->estimate_us =
        error == BP_E_HOPELESS || error == BP_E_SHED ? want->waiter.estimate_us : 0;
    refusal->ahead = facts.class_waiting;
    refusal->open_error = facts.open_error;
    say(pool, &facts, refusal);
    return error;
}
