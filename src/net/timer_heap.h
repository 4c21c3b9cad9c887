/* The timers of one loop as a binary heap of pointers, earliest deadline on top.
 *
 * Invariants (bpi_timer_heap_check): count <= reserved <= capacity; timers[i]->position = i + 1;
 * no timer is due before its parent. Setting never allocates: room is reserved beforehand.
 * Knows no clock and no loop. Owner: one thread.
 */
#ifndef BPI_NET_TIMER_HEAP_H
#define BPI_NET_TIMER_HEAP_H

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_timer;

/* A zeroed struct is an empty heap. */
struct bpi_timer_heap {
    struct bpi_timer **timers;
    size_t count;
    size_t reserved;
    size_t capacity;
};

/* Timers that are still set are forgotten. */
void bpi_timer_heap_done(struct bpi_timer_heap *heap);
/* Errors: BP_E_NO_MEMORY, the heap stays as it was; a negative `count` can't fail. */
BP_MUST_CHECK int bpi_timer_heap_reserve(struct bpi_timer_heap *heap, int count);
void bpi_timer_heap_set(struct bpi_timer_heap *heap, struct bpi_timer *timer, bp_usec deadline_us);
/* Fine for a timer that isn't set. */
void bpi_timer_heap_clear(struct bpi_timer_heap *heap, struct bpi_timer *timer);
/* The earliest one, or NULL. */
struct bpi_timer *bpi_timer_heap_peek(const struct bpi_timer_heap *heap);
bool bpi_timer_heap_check(const struct bpi_timer_heap *heap);

#endif
