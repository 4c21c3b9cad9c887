/* The kernel's wait queue for one word of memory: how a thread sleeps until another one says something.
 * Not for words shared between processes.
 */
#ifndef BPI_BASE_FUTEX_H
#define BPI_BASE_FUTEX_H

#include <boltpool/types.h>

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word is `expected`, until woken or until `until_us` of the monotonic clock (0: without end).
 * May return for no reason: the caller looks at the word and at the time again. Threads: any. */
void bpi_futex_wait(const _Atomic uint32_t *word, uint32_t expected, bp_usec until_us);
/* Wakes at most `count` threads that sleep on the word. The word is only an address here: it need not be valid
 * memory any more, since whoever slept there may have seen the change and be gone. Threads: any. */
void bpi_futex_wake(const _Atomic uint32_t *word, unsigned count);

#endif
