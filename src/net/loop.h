/* One event loop and its thread, with a mailbox, timers and a deferred list.
 *
 * Threads: a loop's objects belong to its thread; only bpi_loop_post() and bpi_loop_stop() may be called
 * from others. The mailbox drains until empty at each wake-up, because wake-ups merge. The clock is read
 * once a turn: bpi_loop_now_us().
 */
#ifndef BPI_NET_LOOP_H
#define BPI_NET_LOOP_H

#include <boltpool/types.h>

#include <stdbool.h>

struct uv_loop_s;
struct bpi_loop;

/* A letter to a loop, or a call put off to the end of the turn. Embedded in the sender's object, which
 * lives until `deliver` runs (on the loop's thread, exactly once for each post). */
struct bpi_mail {
    struct bpi_mail *next;
    void (*deliver)(struct bpi_mail *mail);
};

/* Fires once at `deadline_us` or soon after, on the loop's thread. Zeroed = not set. Embedded; cleared
 * before its memory goes. A timer may be set again, or its memory freed, inside `on_fire`. */
struct bpi_timer {
    void (*on_fire)(struct bpi_timer *timer);
    bp_usec deadline_us;
    size_t position; /* 1 + place in the loop's heap; 0 = not set */
};

/* Not running yet; objects may be made on it before start. Errors: libuv's, BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_loop_new(unsigned index, struct bpi_loop **ret_loop);
/* Has its timers fire within microseconds instead of at libuv's whole milliseconds, for one system call
 * whenever the earliest deadline moves. For what imitates or measures times; before the loop runs.
 * Errors: libuv's, the loop stays as it was. */
BP_MUST_CHECK int bpi_loop_precise(struct bpi_loop *loop);
/* Runs it on a thread of its own until stopped. */
BP_MUST_CHECK int bpi_loop_start(struct bpi_loop *loop);
/* Runs it on the calling thread until stopped. */
void bpi_loop_run(struct bpi_loop *loop);
/* Asks it to end: mail that was posted before is still delivered, then it runs until every handle has
 * been closed by its owner. Threads: any. */
void bpi_loop_stop(struct bpi_loop *loop);
/* Waits for the end of its thread, if it has one. Loops that post to each other are all joined before the
 * first is freed: a sender may still be waking the loop whose mail has already been delivered. */
void bpi_loop_join(struct bpi_loop *loop);
/* Joins and frees it; the caller's pointer is NULL next. All its objects must be closed. */
void bpi_loop_free(struct bpi_loop *loop);

unsigned bpi_loop_index(const struct bpi_loop *loop);
struct uv_loop_s *bpi_loop_uv(struct bpi_loop *loop);
/* The loop whose thread this is, or NULL. */
struct bpi_loop *bpi_loop_current(void);
/* Asserts that the caller is on the loop's thread, or that the loop isn't running yet. */
void bpi_assert_on_loop(const struct bpi_loop *loop);
/* Monotonic time of this turn; off the loop's thread, the clock. */
bp_usec bpi_loop_now_us(const struct bpi_loop *loop);
/* Room that every callback on this loop may use until it returns or calls into `net`. On the loop only. */
uint8_t *bpi_loop_scratch(struct bpi_loop *loop, size_t *ret_size);

/* Threads: any. First in, first out for each sender. */
void bpi_loop_post(struct bpi_loop *loop, struct bpi_mail *mail);
/* Delivers at the end of this turn, after all I/O callbacks; the way to free an object inside its own
 * callback. What is deferred inside a delivery comes with the next turn, which doesn't wait then. On the
 * loop only. */
void bpi_loop_defer(struct bpi_loop *loop, struct bpi_mail *mail);

/* Sets or moves a timer. Never fails: the heap's room is reserved by bpi_timer_reserve() when an object
 * with timers is made. On the loop only. */
void bpi_timer_set(struct bpi_loop *loop, struct bpi_timer *timer, bp_usec deadline_us);
void bpi_timer_clear(struct bpi_loop *loop, struct bpi_timer *timer);
/* Makes room for `count` more timers on this loop, or fewer when negative (which can't fail). */
BP_MUST_CHECK int bpi_timer_reserve(struct bpi_loop *loop, int count);

#endif
