/* See blocking_pool.h: which parts of the upkeep run.
 *
 * A part that doesn't run is a limit that the decider isn't told (or, for leases that are held too long, a report that
 * isn't made): there is no second way through the decider. The upkeep thread goes on, because whoever waits needs it for
 * time-outs and for connecting again.
 */
#include "base/clock.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

static bool runs(const struct bp_pool *pool, enum bp_maintenance part)
{
    return (pool->maintenance & (unsigned)part) != 0;
}

void bpi_maintenance_fill(const struct bp_pool *pool, struct bpi_pool_limits *limits)
{
    const struct bp_pool_config *config = &pool->config;
    bool health = runs(pool, BP_MAINTENANCE_HEALTH);
    bool scaling = runs(pool, BP_MAINTENANCE_SCALING);
    bool checks = pool->connector.check != NULL;
    *limits = (struct bpi_pool_limits){
        .links_max = config->links_max,
        .idle_min = scaling ? config->idle_min : 0,
        .endpoint_connects_max = config->connects_max,
        .errors_max = config->errors_max,
        .lend_max_hold_us = config->lend_max_hold_us,
        .pass_over_us = config->pass_over_us,
        .barging = true,
        .idle_timeout_us = scaling ? config->idle_timeout_us : 0,
        .lifetime_us = health ? config->lifetime_us : 0,
        .check_after_us = checks ? config->check_after_us : 0,
        .keep_alive_us = checks && health ? config->keep_alive_us : 0,
    };
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bp_class_config *from = &config->classes[i];
        limits->classes[i] = (struct bpi_pool_class_limits){
            .min = from->min,
            .max = from->max,
            .share = from->share,
            .waiting_max = from->waiting_max,
            .codel_target_us = from->codel_target_us,
        };
    }
}

bp_usec bpi_maintenance_leak_us(const struct bp_pool *pool)
{
    return runs(pool, BP_MAINTENANCE_ANALYSIS) ? pool->config.leak_report_after_us : 0;
}

/* The lock is held: the decider has them as CHECKING, and no helper has begun. */
static void leave_unchecked(struct bp_pool *pool, bp_usec now_us)
{
    struct bpi_place *place = bpi_helper_take_back(pool, BPI_JOB_KEEP_ALIVE);
    while (place != NULL) {
        struct bpi_place *next = place->next_job;
        bpi_pool_link_unchecked(&pool->decider, &place->link, now_us);
        place = next;
    }
}

/* The lock is held. */
static void change(struct bpi_turn *turn, unsigned parts, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    unsigned changed = pool->maintenance ^ parts;
    struct bpi_pool_limits limits;
    if (changed == 0) {
        return;
    }
    pool->maintenance = parts;
    bpi_maintenance_fill(pool, &limits);
    bpi_pool_set_limits(&pool->decider, &limits);
    if ((changed & BP_MAINTENANCE_HEALTH) != 0) {
        bpi_pool_renew_lives(&pool->decider, now_us);
        if (!runs(pool, BP_MAINTENANCE_HEALTH)) {
            leave_unchecked(pool, now_us);
        }
    }
    bpi_keep_sweep(pool, now_us); /* there may be something to do */
    /* It looks anew when it is next needed. */
    atomic_fetch_add_explicit(&pool->upkeep_word, 1, memory_order_relaxed);
    turn->wakes_upkeep = true;
}

static int set_parts(struct bp_pool *pool, unsigned parts, bool starts)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    if (parts == 0 || (parts & ~(unsigned)BP_MAINTENANCE_ALL) != 0) {
        return bpi_pool_misused(pool, "maintenance of parts that there are not");
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    if (pool->phase == BPI_POOL_STOPS) {
        bpi_lock_unlock(&pool->lock);
        return starts ? BP_E_CLOSED : 0;
    }
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    change(&turn, starts ? pool->maintenance | parts : pool->maintenance & ~parts, now_us);
    bpi_turn_end(&turn, 0, now_us);
    return 0;
}

int bp_pool_start_maintenance(struct bp_pool *pool, unsigned parts)
{
    return set_parts(pool, parts, true);
}

int bp_pool_stop_maintenance(struct bp_pool *pool, unsigned parts)
{
    return set_parts(pool, parts, false);
}

int bp_pool_maintenance(struct bp_pool *pool)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    bpi_lock_lock(&pool->lock);
    int parts = pool->phase == BPI_POOL_STOPS ? 0 : (int)pool->maintenance;
    bpi_lock_unlock(&pool->lock);
    return parts;
}
