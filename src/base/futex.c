/* See futex.h. */
#include "base/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void bpi_futex_wait(const _Atomic uint32_t *word, uint32_t expected, bp_usec until_us)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_us / BP_USEC_PER_SECOND),
        .tv_nsec = (long)(until_us % BP_USEC_PER_SECOND * 1000),
    };
    /* Unlike FUTEX_WAIT, the form with a bit set takes a point in time. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until_us == 0 ? NULL : &until,
            NULL, FUTEX_BITSET_MATCH_ANY);
}

void bpi_futex_wake(const _Atomic uint32_t *word, unsigned count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count > INT_MAX ? INT_MAX : (int)count, NULL, NULL,
            0);
}
