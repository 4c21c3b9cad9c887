/* See run.h. */
#include "engine/run.h"

/* At 1, half of the runs end by the bound of another one before they are full; at 4, most waiters wait until the
 * bound. */
#define RUN_PARTS 2
/* x pass_over_us, in quarters. */
#define RUN_BOUND_QUARTERS 7

static _Thread_local struct {
    const struct bp_pool *pool;
    bp_usec since_us;
} own_run __attribute__((tls_model("initial-exec")));

void bpi_run_begin(const struct bp_pool *pool, bp_usec now_us)
{
    own_run.pool = pool;
    own_run.since_us = now_us;
}

bp_usec bpi_run_pass_over_us(const struct bp_pool *pool, bp_usec now_us)
{
    bp_usec pass_over_us = pool->config.pass_over_us;
    if (own_run.pool != pool) {
        return pass_over_us;
    }
    bp_usec run_us = now_us > own_run.since_us ? now_us - own_run.since_us : 0;
    uint64_t links = pool->decider.counts[BPI_POOL_LEASED] + pool->decider.counts[BPI_POOL_IDLE];
    uint64_t part_us = pass_over_us * links / (pool->decider.waiters_count + 1);
    return run_us < RUN_PARTS * part_us ? pass_over_us * RUN_BOUND_QUARTERS / 4 : pass_over_us;
}
