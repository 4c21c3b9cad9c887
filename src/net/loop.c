/* See loop.h. What one turn does, in order:
 *
 *   uv timers     -> on_alarm: due timers fire (a precise loop's: with the sockets)
 *   uv prepare    -> deferred mail; the alarm is set to the earliest timer
 *   uv poll       -> sockets, on_wake: the mailbox
 *   uv check      -> deferred mail
 *   uv close callbacks
 *
 * Deferred mail and the mailbox are delivered in batches: what a delivery adds waits for the next
 * batch, so that a loop which mails itself still serves its sockets, and so that an object freed by
 * deferred mail outlives the delivery in which it was closed.
 *
 * The mailbox is a stack that senders push onto and the loop takes whole and turns round: no lock,
 * and no ABA since nothing is ever popped singly. Only the sender that finds it empty wakes the
 * loop.
 *
 * Of the loop's own handles only `wake` keeps it running, until bpi_loop_stop().
 */
#include "net/loop.h"

#include "base/assert.h"
#include "base/clock.h"
#include "net/timer_heap.h"

#include <boltpool/error.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

/* One read from a socket. 64 KiB is four full TLS records; twice as much gave nothing measurable
 * on loopback, and the memory is held once a loop. */
#define SCRATCH_BYTES ((size_t)64 * 1024)

enum loop_state {
    LOOP_NEW,
    LOOP_RUNNING,
    LOOP_ENDED,
};

/* Read at most once between two polls; `valid` is cleared when time may have passed. */
struct loop_clock {
    bp_usec now_us;
    bool valid;
};

struct bpi_loop {
    /* Immutable after publish. */
    unsigned index;
    uv_loop_t uv;
    uint8_t *scratch;
    struct loop_clock *clock; /* a pointer, so that reading a const loop's time may refresh it */

    /* Owner: init, the thread that starts and frees the loop. */
    pthread_t thread;
    bool has_thread;

    /* Owner: loop. */
    struct loop_clock clock_storage;
    uv_async_t wake;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_idle_t hurry; /* active while deferred mail waits, so that the poll doesn't sleep */
    uv_timer_t alarm;
    bp_usec alarm_us; /* what the alarm is set to; 0 = not set */
    int alarm_fd;     /* a timerfd in place of `alarm`; -1 = none */
    uv_poll_t alarm_poll;
    struct bpi_timer_heap timers;
    struct bpi_mail *deferred_first;
    struct bpi_mail *deferred_last;
    bool stopping;

    /* Atomic: `state` only guards assertions; `mailbox` is released by senders and acquired here;
     * `stop_asked` is ordered by the wake-up that follows it. */
    _Alignas(64) _Atomic(struct bpi_mail *) mailbox;
    atomic_int state;
    atomic_bool stop_asked;
};

static _Thread_local struct bpi_loop *current_loop;

static bool deliver_mailbox(struct bpi_loop *loop)
{
    struct bpi_mail *newest = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
    struct bpi_mail *oldest = NULL;
    while (newest != NULL) {
        struct bpi_mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool any = oldest != NULL;
    while (oldest != NULL) {
        struct bpi_mail *mail = oldest;
        oldest = mail->next;
        mail->deliver(mail);
    }
    return any;
}

static bool deliver_deferred(struct bpi_loop *loop)
{
    struct bpi_mail *mail = loop->deferred_first;
    loop->deferred_first = NULL;
    loop->deferred_last = NULL;
    bool any = mail != NULL;
    while (mail != NULL) {
        struct bpi_mail *next = mail->next;
        mail->deliver(mail);
        mail = next;
    }
    return any;
}

static void on_hurry(uv_idle_t *handle)
{
    (void)handle;
}

static void flush_deferred(struct bpi_loop *loop)
{
    deliver_deferred(loop);
    if (loop->deferred_first != NULL) {
        uv_idle_start(&loop->hurry, on_hurry);
    } else {
        uv_idle_stop(&loop->hurry);
    }
}

static void timers_fire(struct bpi_loop *loop)
{
    loop->alarm_us = 0;
    loop->clock->valid = false;
    bp_usec now_us = bpi_loop_now_us(loop);
    /* No more than there are now: a timer that is set to the past again must not hold the loop. */
    for (size_t left = loop->timers.count; left > 0; left--) {
        struct bpi_timer *timer = bpi_timer_heap_peek(&loop->timers);
        if (timer == NULL || timer->deadline_us > now_us) {
            break;
        }
        bpi_timer_heap_clear(&loop->timers, timer);
        timer->on_fire(timer);
    }
}

static void on_alarm(uv_timer_t *handle)
{
    timers_fire(handle->data);
}

static void on_alarm_fd(uv_poll_t *handle, int status, int events)
{
    struct bpi_loop *loop = handle->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    /* Nothing to read where it was set anew since it expired: that is the next expiration's. */
    if (read(loop->alarm_fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations)) {
        timers_fire(loop);
    }
}

/* 0 = off. */
static void alarm_fd_set(struct bpi_loop *loop, bp_usec deadline_us)
{
    struct itimerspec when = {
        .it_value.tv_sec = (time_t)(deadline_us / BP_USEC_PER_SECOND),
        .it_value.tv_nsec = (long)(deadline_us % BP_USEC_PER_SECOND) * 1000,
    };
    int error = timerfd_settime(loop->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
    BP_ASSERT(error == 0);
}

/* Sets libuv's timer once a turn, however often the earliest deadline moved in it. libuv counts
 * whole milliseconds, so a deadline is rounded up: late by less than one, never early. A precise
 * loop's timerfd counts nanoseconds. */
static void arm(struct bpi_loop *loop)
{
    const struct bpi_timer *first = bpi_timer_heap_peek(&loop->timers);
    if (first == NULL) {
        if (loop->alarm_us != 0 && loop->alarm_fd >= 0) {
            alarm_fd_set(loop, 0);
        } else if (loop->alarm_us != 0) {
            uv_timer_stop(&loop->alarm);
        }
        loop->alarm_us = 0;
        return;
    }
    bp_usec deadline_us = first->deadline_us > 0 ? first->deadline_us : 1;
    if (deadline_us == loop->alarm_us) {
        return;
    }
    loop->alarm_us = deadline_us;
    if (loop->alarm_fd >= 0) {
        alarm_fd_set(loop, deadline_us);
        return;
    }
    uv_update_time(&loop->uv);
    uint64_t now_ms = uv_now(&loop->uv);
    uint64_t deadline_ms = (deadline_us - 1) / BP_USEC_PER_MS + 1;
    uv_timer_start(&loop->alarm, on_alarm, deadline_ms > now_ms ? deadline_ms - now_ms : 0, 0);
}

static void on_before_poll(uv_prepare_t *handle)
{
    struct bpi_loop *loop = handle->data;
    flush_deferred(loop);
    arm(loop);
    loop->clock->valid = false;
}

static void on_after_poll(uv_check_t *handle)
{
    struct bpi_loop *loop = handle->data;
    flush_deferred(loop);
}

static void on_wake(uv_async_t *handle)
{
    struct bpi_loop *loop = handle->data;
    /* Asked first: what was posted before the stop is then in this batch. */
    bool stop = atomic_load_explicit(&loop->stop_asked, memory_order_acquire);
    deliver_mailbox(loop);
    if (stop && !loop->stopping) {
        loop->stopping = true;
        uv_unref((uv_handle_t *)&loop->wake);
    }
}

/* Closes what was made; libuv needs turns of the loop for it. */
static void close_handles(struct bpi_loop *loop)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&loop->wake,       (uv_handle_t *)&loop->before_poll,
                              (uv_handle_t *)&loop->after_poll, (uv_handle_t *)&loop->hurry,
                              (uv_handle_t *)&loop->alarm,      (uv_handle_t *)&loop->alarm_poll};
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        /* Zeroed, so of no type, where it was never made. */
        if (handles[i]->type != UV_UNKNOWN_HANDLE) {
            uv_close(handles[i], NULL);
        }
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (loop->alarm_fd >= 0) {
        close(loop->alarm_fd);
        loop->alarm_fd = -1;
    }
}

int bpi_loop_new(unsigned index, struct bpi_loop **ret_loop)
{
    struct bpi_loop *loop = aligned_alloc(_Alignof(struct bpi_loop), sizeof(*loop));
    if (loop == NULL) {
        return BP_E_NO_MEMORY;
    }
    *loop = (struct bpi_loop){.index = index, .alarm_fd = -1};
    loop->clock = &loop->clock_storage;
    atomic_init(&loop->mailbox, NULL);
    atomic_init(&loop->state, LOOP_NEW);
    atomic_init(&loop->stop_asked, false);
    int error = BP_E_NO_MEMORY;
    loop->scratch = malloc(SCRATCH_BYTES);
    if (loop->scratch == NULL) {
        goto fail_loop;
    }
    error = uv_loop_init(&loop->uv);
    if (error != 0) {
        goto fail_scratch;
    }
    error = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (error != 0) {
        goto fail_uv;
    }
    /* These can't fail: they only join lists. */
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_check_init(&loop->uv, &loop->after_poll);
    uv_idle_init(&loop->uv, &loop->hurry);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->wake.data = loop;
    loop->before_poll.data = loop;
    loop->after_poll.data = loop;
    loop->alarm.data = loop;
    uv_prepare_start(&loop->before_poll, on_before_poll);
    uv_check_start(&loop->after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&loop->before_poll);
    uv_unref((uv_handle_t *)&loop->after_poll);
    uv_unref((uv_handle_t *)&loop->hurry);
    uv_unref((uv_handle_t *)&loop->alarm);
    *ret_loop = loop;
    return 0;

fail_uv:
    close_handles(loop);
    uv_loop_close(&loop->uv);
fail_scratch:
    free(loop->scratch);
fail_loop:
    free(loop);
    return error;
}

int bpi_loop_precise(struct bpi_loop *loop)
{
    BP_ASSERT(atomic_load(&loop->state) == LOOP_NEW && loop->alarm_fd < 0);
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) {
        return uv_translate_sys_error(errno);
    }
    int error = uv_poll_init(&loop->uv, &loop->alarm_poll, fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    loop->alarm_fd = fd;
    loop->alarm_poll.data = loop;
    uv_poll_start(&loop->alarm_poll, UV_READABLE, on_alarm_fd);
    uv_unref((uv_handle_t *)&loop->alarm_poll);
    return 0;
}

static void run(struct bpi_loop *loop)
{
    current_loop = loop;
    bool busy;
    do {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        /* libuv doesn't count deferred mail as a reason to go on. */
        loop->clock->valid = false;
        busy = deliver_mailbox(loop);
        busy = deliver_deferred(loop) || busy;
    } while (busy || uv_loop_alive(&loop->uv) != 0);
    close_handles(loop);
    current_loop = NULL;
    atomic_store_explicit(&loop->state, LOOP_ENDED, memory_order_release);
}

static void *thread_main(void *argument)
{
    struct bpi_loop *loop = argument;
    char name[16];
    snprintf(name, sizeof(name), "loop-%u", loop->index);
    pthread_setname_np(pthread_self(), name);
    run(loop);
    return NULL;
}

int bpi_loop_start(struct bpi_loop *loop)
{
    BP_ASSERT(atomic_load(&loop->state) == LOOP_NEW);
    /* Signals are the main thread's: one that interrupts a loop would be handled by nobody. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&loop->state, LOOP_RUNNING);
    int error = pthread_create(&loop->thread, NULL, thread_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        atomic_store(&loop->state, LOOP_NEW);
        return uv_translate_sys_error(error);
    }
    loop->has_thread = true;
    return 0;
}

void bpi_loop_run(struct bpi_loop *loop)
{
    BP_ASSERT(atomic_load(&loop->state) == LOOP_NEW);
    BP_ASSERT(current_loop == NULL);
    atomic_store(&loop->state, LOOP_RUNNING);
    run(loop);
}

void bpi_loop_stop(struct bpi_loop *loop)
{
    atomic_store_explicit(&loop->stop_asked, true, memory_order_release);
    uv_async_send(&loop->wake);
}

void bpi_loop_join(struct bpi_loop *loop)
{
    if (loop->has_thread) {
        pthread_join(loop->thread, NULL);
        loop->has_thread = false;
    }
}

void bpi_loop_free(struct bpi_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    bpi_loop_join(loop);
    if (atomic_load(&loop->state) == LOOP_NEW) {
        /* What was closed before the loop ever ran needs its turn as well. */
        bpi_loop_stop(loop);
        bpi_loop_run(loop);
    }
    int error = uv_loop_close(&loop->uv);
    BP_ASSERT(error == 0);
    bpi_timer_heap_done(&loop->timers);
    free(loop->scratch);
    free(loop);
}

unsigned bpi_loop_index(const struct bpi_loop *loop)
{
    return loop->index;
}

struct uv_loop_s *bpi_loop_uv(struct bpi_loop *loop)
{
    return &loop->uv;
}

struct bpi_loop *bpi_loop_current(void)
{
    return current_loop;
}

void bpi_assert_on_loop(const struct bpi_loop *loop)
{
    BP_ASSERT(current_loop == loop ||
              atomic_load_explicit(&loop->state, memory_order_relaxed) != LOOP_RUNNING);
}

bp_usec bpi_loop_now_us(const struct bpi_loop *loop)
{
    if (current_loop != loop) {
        return bpi_clock_now_us();
    }
    struct loop_clock *clock = loop->clock;
    if (!clock->valid) {
        clock->now_us = bpi_clock_now_us();
        clock->valid = true;
    }
    return clock->now_us;
}

uint8_t *bpi_loop_scratch(struct bpi_loop *loop, size_t *ret_size)
{
    *ret_size = SCRATCH_BYTES;
    return loop->scratch;
}

void bpi_loop_post(struct bpi_loop *loop, struct bpi_mail *mail)
{
    struct bpi_mail *top = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
    do {
        mail->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &top, mail,
                                                    memory_order_release, memory_order_relaxed));
    /* `mail` may be gone by now. */
    if (top == NULL) {
        uv_async_send(&loop->wake);
    }
}

void bpi_loop_defer(struct bpi_loop *loop, struct bpi_mail *mail)
{
    bpi_assert_on_loop(loop);
    mail->next = NULL;
    if (loop->deferred_last == NULL) {
        loop->deferred_first = mail;
    } else {
        loop->deferred_last->next = mail;
    }
    loop->deferred_last = mail;
}

void bpi_timer_set(struct bpi_loop *loop, struct bpi_timer *timer, bp_usec deadline_us)
{
    bpi_assert_on_loop(loop);
    bpi_timer_heap_set(&loop->timers, timer, deadline_us);
}

void bpi_timer_clear(struct bpi_loop *loop, struct bpi_timer *timer)
{
    bpi_assert_on_loop(loop);
    bpi_timer_heap_clear(&loop->timers, timer);
}

int bpi_timer_reserve(struct bpi_loop *loop, int count)
{
    bpi_assert_on_loop(loop);
    return bpi_timer_heap_reserve(&loop->timers, count);
}
