/* How long to wait before the next try after failures.
 *
 * Growing, capped, with equal jitter: the n-th wait is between half of and the whole of min x 2^(n-1), at most max.
 * (Brooker, "Exponential Backoff And Jitter", 2015: jitter keeps those that failed together from coming back
 * together; half of the wait is kept so that a failing server always gets some rest.)
 *
 * Pure: the random number is handed in.
 */
#ifndef BPI_POOL_BACKOFF_H
#define BPI_POOL_BACKOFF_H

#include <boltpool/types.h>

/* Zeroed = no failure yet. */
struct bpi_backoff {
    unsigned failures; /* in a row */
};

/* One more failure; how long to wait now. `unit` is random in [0, 1). */
bp_usec bpi_backoff_next(struct bpi_backoff *backoff, bp_usec min_us, bp_usec max_us, double unit);
/* It worked. */
void bpi_backoff_reset(struct bpi_backoff *backoff);

#endif
