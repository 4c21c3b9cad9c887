/* See blocking_pool.h: the asynchronous form.
 *
 * A request's answer is put on its mailbox's `ready` list by whoever finds it, under the pool's lock. Then the mailbox's
 * descriptor is written to, unless it was and wasn't looked at since. Its owner takes all that is ready in one go
 * (`due`) and runs the callbacks one by one, outside the lock. What the owner finds itself is due at once.
 *
 * A mailbox that was freed stays the pool's, for the next one: somebody may be about to write to its descriptor, which
 * then wakes its new owner once for nothing.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/container.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

/* Callbacks in one dispatch; then the loop gets a turn, so that callbacks that ask again at once don't keep it for
 * ever. */
#define CALLS_MAX 1024

struct bp_mailbox {
    /* Immutable while it is in use. */
    struct bp_pool *pool;
    int fd;
    unsigned loop;
    int thread; /* the owner's */
    /* Lock: the pool's. */
    bool in_use;
    struct bpi_want *ready;
    struct bp_mailbox *next; /* all of the pool */
    /* Atomic: hints for the owner that there is something, exact under the lock. */
    atomic_bool has_ready;
    atomic_bool is_signalled;
    /* Atomic: writes to the descriptor that were promised under the lock; they come some time after. */
    _Atomic uint64_t signals_count;
    /* Owner: its thread. */
    uint64_t signals_read;
    struct bpi_want *due;
    unsigned requests_count;
};

enum request_state {
    REQUEST_OUT = 0x0b01, /* not 0: fresh storage may be zeroed */
    REQUEST_DONE = 0x0b02,
};

struct request {
    struct bpi_want want; /* first */
    bp_acquired callback;
    void *user;
    uint32_t state;
    bool is_due; /* on `due`, else perhaps on `ready` */
    bool is_ready;
    char name[BPI_LEASE_NAME];
};

_Static_assert(sizeof(struct request) <= sizeof(struct bp_request), "a request has storage");
_Static_assert(_Alignof(struct request) <= _Alignof(struct bp_request), "aligned as it has to be");

static struct request *request_of(struct bpi_want *want)
{
    return (struct request *)(void *)want;
}

/* ---- signals ---- */

void bpi_mailbox_signal(struct bp_mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t size;
    do {
        size = write(mailbox->fd, &one, sizeof(one));
    } while (size < 0 && errno == EINTR);
}

/* With the lock. */
static void promise_signal(struct bp_mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->is_signalled, true, memory_order_relaxed);
    uint64_t count = atomic_load_explicit(&mailbox->signals_count, memory_order_relaxed);
    atomic_store_explicit(&mailbox->signals_count, count + 1, memory_order_relaxed);
}

/* Makes the descriptor unreadable. One that was promised may be written to later; then the next dispatch does it, so that
 * it never stays readable for nothing. */
static void read_signals(struct bp_mailbox *mailbox)
{
    uint64_t count;
    if (atomic_load_explicit(&mailbox->signals_count, memory_order_relaxed) !=
            mailbox->signals_read &&
        read(mailbox->fd, &count, sizeof(count)) == sizeof(count)) {
        mailbox->signals_read += count;
    }
}

void bpi_mailbox_deliver(struct bpi_turn *turn, struct bpi_want *want)
{
    struct bp_mailbox *mailbox = want->mailbox;
    struct request *request = request_of(want);
    if (turn->thread == mailbox->thread) {
        if (request->is_ready) {
            request->is_ready = false; /* it was called by another thread before */
            DL_DELETE(mailbox->ready, want);
        }
        request->is_due = true;
        DL_APPEND(mailbox->due, want);
        return;
    }
    if (!request->is_ready) {
        request->is_ready = true;
        DL_APPEND(mailbox->ready, want);
    }
    atomic_store_explicit(&mailbox->has_ready, true, memory_order_relaxed);
    if (!atomic_load_explicit(&mailbox->is_signalled, memory_order_relaxed)) {
        promise_signal(mailbox);
        bpi_turn_signal(turn, mailbox);
    }
}

/* ---- life ---- */

static bool is_usable(const struct bp_mailbox *mailbox)
{
    return mailbox != NULL && bpi_pool_is_here(mailbox->pool) && mailbox->in_use;
}

static bool is_own(const struct bp_mailbox *mailbox)
{
    return mailbox->thread == bpi_thread_id();
}

/* The lock is held. */
static struct bp_mailbox *find_unused(struct bp_pool *pool)
{
    struct bp_mailbox *mailbox = pool->mailboxes;
    while (mailbox != NULL && mailbox->in_use) {
        mailbox = mailbox->next;
    }
    return mailbox;
}

static struct bp_mailbox *mailbox_alloc(struct bp_pool *pool)
{
    struct bp_mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (mailbox == NULL) {
        return NULL;
    }
    mailbox->pool = pool;
    mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->fd < 0) {
        free(mailbox);
        return NULL;
    }
    return mailbox;
}

int bp_mailbox_new(struct bp_pool *pool, struct bp_mailbox **ret_mailbox)
{
    if (pool == NULL || ret_mailbox == NULL || !bpi_pool_is_here(pool)) {
        return BP_E_USAGE;
    }
    bpi_lock_lock(&pool->lock);
    struct bp_mailbox *mailbox = find_unused(pool);
    if (mailbox != NULL) {
        mailbox->in_use = true;
        mailbox->thread = bpi_thread_id();
    }
    bpi_lock_unlock(&pool->lock);
    if (mailbox == NULL) {
        mailbox = mailbox_alloc(pool);
        if (mailbox == NULL) {
            return BP_E_NO_MEMORY;
        }
        bpi_lock_lock(&pool->lock);
        /* Loop 0 is the blocking threads; more mailboxes than loops share them. */
        mailbox->loop = 1 + pool->mailboxes_count++ % (BPI_POOL_LOOPS_MAX - 1);
        mailbox->next = pool->mailboxes;
        pool->mailboxes = mailbox;
        mailbox->in_use = true;
        mailbox->thread = bpi_thread_id();
        bpi_lock_unlock(&pool->lock);
    }
    *ret_mailbox = mailbox;
    return 0;
}

int bp_mailbox_free(struct bp_mailbox *mailbox)
{
    if (mailbox == NULL) {
        return 0;
    }
    if (!is_usable(mailbox) || !is_own(mailbox)) {
        return BP_E_USAGE;
    }
    if (mailbox->requests_count > 0) {
        return bpi_pool_misused(mailbox->pool, "a mailbox was freed while requests are out");
    }
    bpi_lock_lock(&mailbox->pool->lock);
    mailbox->in_use = false;
    bpi_lock_unlock(&mailbox->pool->lock);
    return 0;
}

void bpi_mailboxes_free(struct bp_pool *pool)
{
    while (pool->mailboxes != NULL) {
        struct bp_mailbox *mailbox = pool->mailboxes;
        pool->mailboxes = mailbox->next;
        close(mailbox->fd);
        free(mailbox);
    }
}

int bp_mailbox_fd(const struct bp_mailbox *mailbox)
{
    return is_usable(mailbox) ? mailbox->fd : BP_E_USAGE;
}

/* ---- requests ---- */

/* The lock is held, and free afterwards. */
static int start(struct bp_pool *pool, struct bpi_want *want, bp_usec timeout_us, bp_usec now_us)
{
    struct bpi_turn turn;
    /* Handing over within a loop costs nothing, so here nobody goes ahead of those that wait. */
    struct bpi_pool_link *link = NULL;
    if (pool->decider.waiters_count == 0 || timeout_us == 0) {
        link = bpi_keep_take_any(pool, want, now_us);
    }
    bpi_turn_begin(&turn, pool);
    if (link != NULL) {
        want->place = bpi_place_of(link);
        bpi_place_lend(want->place, want, now_us);
        bpi_turn_post(&turn, want, BPI_ANSWER_GRANTED);
        bpi_turn_end_quietly(&turn);
        return 0;
    }
    if (timeout_us == 0) {
        want->error = BP_E_QUEUE_TIMEOUT;
    } else {
        if (timeout_us == BP_WAIT_DEFAULT) {
            timeout_us = pool->config.queue_timeout_us;
        }
        bpi_want_set_timeout(want, now_us, timeout_us);
        want->error = bpi_refusal_error(bpi_pool_wait(&pool->decider, &want->waiter, now_us));
    }
    if (want->error != 0) {
        bpi_turn_post(&turn, want, BPI_ANSWER_REFUSED);
        bpi_turn_end_quietly(&turn);
    } else {
        bpi_turn_end(&turn, want->waiter.loop, now_us);
    }
    return 0;
}

static void copy_name(struct request *request)
{
    if (request->want.name != NULL) {
        size_t size = strnlen(request->want.name, sizeof(request->name) - 1);
        memcpy(request->name, request->want.name, size);
        request->name[size] = '\0';
        request->want.name = request->name;
    }
}

int bp_pool_acquire_async(struct bp_pool *pool,
                          struct bp_mailbox *mailbox,
                          const struct bp_operation *operation,
                          bp_usec timeout_us,
                          bp_acquired callback,
                          void *user,
                          struct bp_request *storage)
{
    if (pool == NULL || callback == NULL || storage == NULL || !is_usable(mailbox)) {
        return BP_E_USAGE;
    }
    if (mailbox->pool != pool || !is_own(mailbox)) {
        return bpi_pool_misused(pool, "a mailbox of another pool or thread");
    }
    struct request *request = (struct request *)(void *)storage;
    if (bpi_want_init(&request->want, operation) != 0) {
        return bpi_pool_misused(pool, "acquire for unknown work");
    }
    request->want.mailbox = mailbox;
    request->want.waiter.loop = mailbox->loop;
    request->want.error = 0;
    atomic_init(&request->want.answer, BPI_ANSWER_NONE);
    request->callback = callback;
    request->user = user;
    request->is_due = request->is_ready = false;
    copy_name(request);
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    if (pool->phase != BPI_POOL_RUNS) {
        int error = pool->phase == BPI_POOL_DRAINS ? BP_E_DRAINING : BP_E_CLOSED;
        bpi_lock_unlock(&pool->lock);
        return error;
    }
    request->state = REQUEST_OUT;
    mailbox->requests_count++;
    return start(pool, &request->want, timeout_us, now_us);
}

int bp_request_cancel(struct bp_request *storage)
{
    struct request *request = (struct request *)(void *)storage;
    if (request == NULL || request->state != REQUEST_OUT) {
        return BP_E_USAGE;
    }
    struct bpi_want *want = &request->want;
    struct bp_mailbox *mailbox = want->mailbox;
    struct bp_pool *pool = mailbox->pool;
    if (!bpi_pool_is_here(pool) || !is_own(mailbox)) {
        return BP_E_USAGE;
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bp_lease *lease = NULL;
    if (request->is_due) {
        DL_DELETE(mailbox->due, want);
    } else if (request->is_ready) {
        DL_DELETE(mailbox->ready, want);
    }
    if (atomic_load_explicit(&want->answer, memory_order_relaxed) == BPI_ANSWER_GRANTED) {
        lease = bpi_place_lease(want->place);
    } else {
        (void)bpi_pool_cancel(&pool->decider, &want->waiter, now_us);
    }
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end(&turn, mailbox->loop, now_us);
    request->state = REQUEST_DONE;
    mailbox->requests_count--;
    return lease == NULL ? 0 : bp_pool_release(lease, BP_OUTCOME_OK);
}

/* ---- dispatch ---- */

bool bpi_mailbox_is_own(const struct bp_mailbox *mailbox, int thread)
{
    return mailbox != NULL && mailbox->thread == thread;
}

bool bpi_mailbox_come(struct bp_pool *pool, struct bpi_want *want, bp_usec now_us)
{
    struct bpi_pool_link *link = bpi_pool_come(&pool->decider, &want->waiter, now_us);
    if (link == NULL) {
        atomic_store_explicit(&want->answer, BPI_ANSWER_NONE, memory_order_relaxed);
        return false;
    }
    want->place = bpi_place_of(link);
    bpi_place_lend(want->place, want, now_us);
    bpi_wait_count(pool, want, now_us);
    atomic_store_explicit(&want->answer, BPI_ANSWER_GRANTED, memory_order_relaxed);
    return true;
}

static void take_ready(struct bp_mailbox *mailbox)
{
    struct bp_pool *pool = mailbox->pool;
    bp_usec now_us = bpi_clock_now_us();
    bool came = false;
    /* Before the lock: a signal that arrives after this is for something that isn't taken yet, or for nothing. */
    read_signals(mailbox);
    bpi_lock_lock(&pool->lock);
    atomic_store_explicit(&mailbox->is_signalled, false, memory_order_relaxed);
    atomic_store_explicit(&mailbox->has_ready, false, memory_order_relaxed);
    while (mailbox->ready != NULL) {
        struct bpi_want *want = mailbox->ready;
        struct request *request = request_of(want);
        DL_DELETE(mailbox->ready, want);
        request->is_ready = false;
        if (atomic_load_explicit(&want->answer, memory_order_relaxed) == BPI_ANSWER_CALLED) {
            came = true;
            if (!bpi_mailbox_come(pool, want, now_us)) {
                continue;
            }
        }
        request->is_due = true;
        DL_APPEND(mailbox->due, want);
    }
    if (came && !bpi_pool_is_calm(&pool->decider) && pool->decider.counts[BPI_POOL_IDLE] > 0) {
        struct bpi_turn turn;
        bpi_turn_begin(&turn, pool);
        bpi_turn_end(&turn, mailbox->loop, now_us);
    } else {
        bpi_lock_unlock(&pool->lock);
    }
}

static void call_back(struct bp_mailbox *mailbox, struct bpi_want *want)
{
    struct request *request = request_of(want);
    bp_acquired callback = request->callback;
    void *user = request->user;
    bool is_granted =
        atomic_load_explicit(&want->answer, memory_order_relaxed) == BPI_ANSWER_GRANTED;
    DL_DELETE(mailbox->due, want);
    request->is_due = false;
    mailbox->requests_count--;
    request->state = REQUEST_DONE;
    if (is_granted) {
        callback(user, 0, bpi_place_lease(want->place), NULL);
        return;
    }
    struct bp_refusal refusal;
    int error = bpi_refusal_tell(mailbox->pool, want, want->error, &refusal);
    callback(user, error, NULL, &refusal);
}

/* Lets the loop come back after its other work. */
static void come_back(struct bp_mailbox *mailbox)
{
    bpi_lock_lock(&mailbox->pool->lock);
    promise_signal(mailbox);
    bpi_lock_unlock(&mailbox->pool->lock);
    bpi_mailbox_signal(mailbox);
}

int bp_mailbox_dispatch(struct bp_mailbox *mailbox)
{
    if (!is_usable(mailbox)) {
        return BP_E_USAGE;
    }
    if (!is_own(mailbox)) {
        return bpi_pool_misused(mailbox->pool, "a mailbox was dispatched on another thread");
    }
    int count = 0;
    read_signals(mailbox);
    while (mailbox->due != NULL ||
           atomic_load_explicit(&mailbox->has_ready, memory_order_relaxed) ||
           atomic_load_explicit(&mailbox->is_signalled, memory_order_relaxed)) {
        if (count >= CALLS_MAX) {
            come_back(mailbox);
            break;
        }
        if (mailbox->due == NULL) {
            take_ready(mailbox);
        }
        if (mailbox->due != NULL) {
            call_back(mailbox, mailbox->due);
            count++;
        }
    }
    return count;
}
