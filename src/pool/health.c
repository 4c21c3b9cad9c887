/* See health.h for the formula and where it comes from. */
#include "pool/health.h"

#include <math.h>

static bp_usec elapsed_us(bp_usec now_us, bp_usec since_us)
{
    return now_us > since_us ? now_us - since_us : 0;
}

/* `value` plus 1/part of its distance to `to`; at least one step, so that small distances are gone, too. */
static bp_usec towards(bp_usec value, bp_usec to, bp_usec part)
{
    bp_usec distance = to > value ? to - value : value - to;
    bp_usec step = (distance + part - 1) / part;
    return to > value ? value + step : value - step;
}

void bpi_health_round_trip(struct bpi_health *health, bp_usec took_us)
{
    took_us = took_us == 0 ? 1 : took_us;
    if (health->round_trip_us == 0) {
        health->round_trip_us = took_us;
        health->deviation_us = took_us / 2;
        health->best_us = took_us;
        return;
    }
    bp_usec apart = took_us > health->round_trip_us ? took_us - health->round_trip_us
                                                    : health->round_trip_us - took_us;
    health->deviation_us = towards(health->deviation_us, apart, 4);
    health->round_trip_us = towards(health->round_trip_us, took_us, 8);
    if (took_us < health->best_us) {
        health->best_us = took_us;
    } else {
        health->best_us = towards(health->best_us, health->round_trip_us, 64);
    }
}

static double faults_now(const struct bpi_health *health, bp_usec now_us)
{
    bp_usec idle_us = elapsed_us(now_us, health->judged_us);
    return health->faults * exp2(-(double)idle_us / (double)BPI_HEALTH_FADE_US);
}

void bpi_health_outcome(struct bpi_health *health, bool failed, bp_usec now_us)
{
    double faults = faults_now(health, now_us);
    health->faults = faults + ((failed ? 1.0 : 0.0) - faults) / 8;
    health->judged_us = now_us;
}

void bpi_health_asked(struct bpi_health *health, bp_usec now_us)
{
    if (health->asked_us == 0) {
        health->asked_us = now_us;
    }
}

void bpi_health_answered(struct bpi_health *health)
{
    health->asked_us = 0;
    health->failures = 0;
}

void bpi_health_failed(struct bpi_health *health)
{
    health->failures++;
}

static double quick(const struct bpi_health *health)
{
    bp_usec normal_us = health->best_us + 4 * health->deviation_us;
    bp_usec lag_us = elapsed_us(health->round_trip_us, normal_us);
    return 1 / (1 + (double)lag_us / (double)BPI_HEALTH_LAG_US);
}

static double answering(const struct bpi_health *health, bp_usec dead_after_us, bp_usec now_us)
{
    if (health->asked_us == 0 || dead_after_us == 0) {
        return 1;
    }
    bp_usec silent_us = elapsed_us(now_us, health->asked_us);
    return silent_us >= dead_after_us ? 0 : 1 - (double)silent_us / (double)dead_after_us;
}

double bpi_health_score(const struct bpi_health *health, bp_usec dead_after_us, bp_usec now_us)
{
    return quick(health) * (1 - faults_now(health, now_us)) *
           answering(health, dead_after_us, now_us) * exp2(-(double)health->failures);
}
