/* See lock.h. */
#include "base/lock.h"

#include "base/futex.h"

/* Looks at a taken lock before a thread goes to sleep, after 1, 2, 4 ... SPIN_PAUSES_MAX pauses (40 ns each on the
 * machine of lock.h): 6 us in all, about what falling asleep and being woken takes. Twice as many only burn CPU while
 * the owner isn't running; half as many sleep while the owner is about to leave. */
#define SPIN_ROUNDS     12
#define SPIN_PAUSES_MAX 16

static inline void pause_once(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool spin(struct bpi_lock *lock)
{
    unsigned pauses = 1;
    for (unsigned round = 0; round < SPIN_ROUNDS; round++) {
        for (unsigned i = 0; i < pauses; i++) {
            pause_once();
        }
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 && bpi_lock_try(lock)) {
            return true;
        }
        pauses = pauses < SPIN_PAUSES_MAX ? 2 * pauses : pauses;
    }
    return false;
}

void bpi_lock_wait(struct bpi_lock *lock)
{
    if (spin(lock)) {
        return;
    }
    /* One that has slept can't know whether others do, so it takes the lock as 2. */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) {
        bpi_futex_wait(&lock->state, 2, 0);
    }
}

void bpi_lock_wake(struct bpi_lock *lock)
{
    bpi_futex_wake(&lock->state, 1);
}
