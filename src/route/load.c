/* See load.h for the formula and where it comes from. */
#include "route/load.h"

#include "base/assert.h"

#include <math.h>

/* Overload below this changes no pick. */
#define OVERLOAD_MIN 0.01

static bp_usec elapsed_us(bp_usec since_us, bp_usec now_us)
{
    return now_us > since_us ? now_us - since_us : 0;
}

static double queue_factor(double fill)
{
    return fill < 1 ? 1 + 0.25 * fill * fill : 1.25 * fill * fill * fill;
}

static double overload_at(const struct bpi_route_load *load, bp_usec now_us)
{
    double part =
        (double)elapsed_us(load->overload_us, now_us) / (double)BPI_ROUTE_OVERLOAD_FADE_US;
    return load->overload * exp(-part);
}

static double slow_start_at(const struct bpi_route_load *load, bp_usec now_us)
{
    if (load->slow_from_us == 0) {
        return 1;
    }
    double part = (double)elapsed_us(load->slow_from_us, now_us) / (double)BPI_ROUTE_SLOW_START_US;
    return part < BPI_ROUTE_SLOW_START_MIN ? BPI_ROUTE_SLOW_START_MIN : part < 1 ? part : 1;
}

/* What a pick reads follows from the rest. */
static void prepare(struct bpi_route_load *load)
{
    unsigned working = load->running < load->limit ? load->running : load->limit;
    load->busy_now_us = working * (double)BPI_ROUTE_LOAD_FADE_US;
    load->queue = queue_factor((load->running + 1.0) * load->limit_part);
    load->is_plain = load->overload <= 0 && load->slow_from_us == 0;
}

static void advance(struct bpi_route_load *load, bp_usec now_us)
{
    double kept = bpi_route_load_kept(load, now_us);
    load->busy_us = load->busy_now_us + (load->busy_us - load->busy_now_us) * kept;
    load->done *= kept;
    load->at_us = now_us > load->at_us ? now_us : load->at_us;
}

double bpi_route_load_fade_far(double part)
{
    return exp(-part);
}

void bpi_route_load_init(struct bpi_route_load *load, unsigned limit, bp_usec now_us)
{
    *load = (struct bpi_route_load){.at_us = now_us};
    bpi_route_load_set_limit(load, limit, now_us);
}

void bpi_route_load_set_limit(struct bpi_route_load *load, unsigned limit, bp_usec now_us)
{
    advance(load, now_us);
    load->limit = limit == 0 ? BPI_ROUTE_LIMIT_DEFAULT : limit;
    load->limit_part = 1.0 / load->limit;
    prepare(load);
}

void bpi_route_load_started(struct bpi_route_load *load, bp_usec now_us)
{
    advance(load, now_us);
    load->running++;
    prepare(load);
}

void bpi_route_load_gone(struct bpi_route_load *load, bp_usec now_us)
{
    BP_ASSERT(load->running > 0);
    advance(load, now_us);
    load->running--;
    prepare(load);
}

void bpi_route_load_done(struct bpi_route_load *load, bp_usec took_us, bp_usec now_us)
{
    bpi_route_load_gone(load, now_us);
    load->done += 1;
    double latency_us = took_us == 0 ? 1 : (double)took_us;
    load->latency_us = load->latency_us > 0
                           ? load->latency_us * exp2(log2(latency_us / load->latency_us) / 16)
                           : latency_us;
}

void bpi_route_load_overloaded(struct bpi_route_load *load, bp_usec now_us)
{
    double overload = 2 * overload_at(load, now_us) + 1;
    load->overload = overload < BPI_ROUTE_OVERLOAD_MAX ? overload : BPI_ROUTE_OVERLOAD_MAX;
    load->overload_us = now_us;
    prepare(load);
}

void bpi_route_load_slow_start(struct bpi_route_load *load, bp_usec now_us)
{
    load->slow_from_us = now_us == 0 ? 1 : now_us;
    load->overload = 0;
    prepare(load);
}

void bpi_route_load_tick(struct bpi_route_load *load, bp_usec now_us)
{
    if (overload_at(load, now_us) < OVERLOAD_MIN) {
        load->overload = 0;
    }
    if (slow_start_at(load, now_us) >= 1) {
        load->slow_from_us = 0;
    }
    prepare(load);
}

double bpi_route_load_cost_other_us(const struct bpi_route_load *load,
                                    unsigned running,
                                    double prior_us,
                                    bp_usec now_us)
{
    double slow_start = slow_start_at(load, now_us);
    double fill = (running + 1.0) * load->limit_part / slow_start;
    double weight = (1 + overload_at(load, now_us)) / slow_start;
    return bpi_route_load_service_us(load, prior_us, now_us) * queue_factor(fill) * weight;
}
