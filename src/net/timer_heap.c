/* See timer_heap.h. */
#include "net/timer_heap.h"

#include "base/assert.h"
#include "net/loop.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

/* 512 bytes: enough for the listeners and sessions of a small daemon. */
#define HEAP_CAPACITY_MIN ((size_t)64)

static void place(struct bpi_timer_heap *heap, size_t index, struct bpi_timer *timer)
{
    heap->timers[index] = timer;
    timer->position = index + 1;
}

static void sift_up(struct bpi_timer_heap *heap, size_t index, struct bpi_timer *timer)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->timers[parent]->deadline_us <= timer->deadline_us) {
            break;
        }
        place(heap, index, heap->timers[parent]);
        index = parent;
    }
    place(heap, index, timer);
}

static void sift_down(struct bpi_timer_heap *heap, size_t index, struct bpi_timer *timer)
{
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count &&
            heap->timers[child + 1]->deadline_us < heap->timers[child]->deadline_us) {
            child++;
        }
        if (heap->timers[child]->deadline_us >= timer->deadline_us) {
            break;
        }
        place(heap, index, heap->timers[child]);
        index = child;
    }
    place(heap, index, timer);
}

/* Finds the place of a timer that may be earlier or later than what stood at `index`. */
static void settle(struct bpi_timer_heap *heap, size_t index, struct bpi_timer *timer)
{
    if (index > 0 && heap->timers[(index - 1) / 2]->deadline_us > timer->deadline_us) {
        sift_up(heap, index, timer);
    } else {
        sift_down(heap, index, timer);
    }
}

void bpi_timer_heap_done(struct bpi_timer_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        heap->timers[i]->position = 0;
    }
    free(heap->timers);
    memset(heap, 0, sizeof(*heap));
}

int bpi_timer_heap_reserve(struct bpi_timer_heap *heap, int count)
{
    if (count <= 0) {
        size_t less = (size_t)(-(int64_t)count);
        BP_ASSERT(less <= heap->reserved);
        heap->reserved -= less;
        BP_ASSERT(heap->count <= heap->reserved);
        return 0;
    }
    size_t wanted = heap->reserved + (size_t)count;
    if (wanted > heap->capacity) {
        size_t capacity = heap->capacity < HEAP_CAPACITY_MIN ? HEAP_CAPACITY_MIN : heap->capacity;
        while (capacity < wanted) {
            capacity *= 2;
        }
        struct bpi_timer **timers = realloc(heap->timers, capacity * sizeof(struct bpi_timer *));
        if (timers == NULL) {
            return BP_E_NO_MEMORY;
        }
        heap->timers = timers;
        heap->capacity = capacity;
    }
    heap->reserved = wanted;
    return 0;
}

void bpi_timer_heap_set(struct bpi_timer_heap *heap, struct bpi_timer *timer, bp_usec deadline_us)
{
    timer->deadline_us = deadline_us;
    if (timer->position == 0) {
        BP_ASSERT(heap->count < heap->reserved);
        sift_up(heap, heap->count++, timer);
    } else {
        BP_DEBUG_ASSERT(heap->timers[timer->position - 1] == timer);
        settle(heap, timer->position - 1, timer);
    }
}

void bpi_timer_heap_clear(struct bpi_timer_heap *heap, struct bpi_timer *timer)
{
    if (timer->position == 0) {
        return;
    }
    size_t index = timer->position - 1;
    BP_ASSERT(index < heap->count && heap->timers[index] == timer);
    struct bpi_timer *last = heap->timers[--heap->count];
    timer->position = 0;
    if (last != timer) {
        settle(heap, index, last);
    }
}

struct bpi_timer *bpi_timer_heap_peek(const struct bpi_timer_heap *heap)
{
    return heap->count > 0 ? heap->timers[0] : NULL;
}

bool bpi_timer_heap_check(const struct bpi_timer_heap *heap)
{
    if (heap->count > heap->reserved || heap->reserved > heap->capacity) {
        return false;
    }
    for (size_t i = 0; i < heap->count; i++) {
        const struct bpi_timer *timer = heap->timers[i];
        if (timer->position != i + 1) {
            return false;
        }
        if (i > 0 && heap->timers[(i - 1) / 2]->deadline_us > timer->deadline_us) {
            return false;
        }
    }
    return true;
}
