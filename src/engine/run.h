/* How long a thread goes on taking a connection while others wait.
 *
 * A thread that gives a connection back and asks again at once gets it again (barging): handing it to one that sleeps
 * costs 20 to 40 us in which nobody has it, as much as a fifth of a short query. Who has waited for pass_over_us isn't overtaken
 * any more by threads that have had their part; but from whom a connection is taken by that rule is chance, and
 * some threads would be cut off after one turn and others after twenty.
 *
 * So a run (from the moment when a thread got a connection by waiting) is spared until it is RUN_PARTS times as long as its part:
 * pass_over_us x connections / waiters, which is how long each runs where all take turns in pass_over_us. It is spared
 * until somebody has waited for RUN_BOUND x pass_over_us at most: that is the real bound. Measured with 64 threads on 8
 * connections held 100 us, 10 s: busiest over idlest thread 1.06 instead of 1.12, at the same number of hand-overs.
 *
 * Owner: each thread knows its own run, in one pool; it costs nothing where nobody waits.
 */
#ifndef BPI_ENGINE_RUN_H
#define BPI_ENGINE_RUN_H

#include "engine/blocking_pool.h"

/* The calling thread got a connection by waiting. */
void bpi_run_begin(const struct bp_pool *pool, bp_usec now_us);
/* With the lock: how long others must have waited for this thread to leave them a connection. */
bp_usec bpi_run_pass_over_us(const struct bp_pool *pool, bp_usec now_us);

#endif
