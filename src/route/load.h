/* How much work an endpoint has, how long it takes for a piece of it, and so what one more would cost.
 *
 * Shortest expected delay with an estimate from the utilisation law (SED-UL). Two sums that fade with
 * BPI_ROUTE_LOAD_FADE_US: `busy_us`, the time during which transactions ran, each counted while it runs, but at most
 * `limit` at a time (what is beyond waits); and `done`, how many have ended. Their quotient is the mean service time:
 *
 *   service = (busy + 2 x prior) / (done + 2)
 *
 * It rises while nothing completes, so a server that hangs grows dear before any time-out is over. `prior` is the mean of
 * all endpoints, which a new or long idle one is believed to have. With m = (running + 1) / limit:
 *
 *   cost = service x (m < 1 ? 1 + m^2 / 4 : 1.25 x m^3) x (1 + overload) / slow start
 *
 * `overload` is 0, doubles 1 + overload at each failure that says "too much" (Neo.TransientError, no memory) and fades;
 * slow start rises from 0.1 to 1 during BPI_ROUTE_SLOW_START_US after a return and lowers the limit, too.
 * Failures are no completions: a server that refuses everything at once would look like a fast one.
 *
 * `running` may be corrected by what the endpoint itself said of its load (report.h).
 *
 * Pure: the time is handed in; one that lies before the last counts as none passed. Lock: the owner's.
 */
#ifndef BPI_ROUTE_LOAD_H
#define BPI_ROUTE_LOAD_H

#include <boltpool/types.h>

#include <stdbool.h>

/* Between 1 and 4 s no figure of bench/balance changes by more than 4 %. Doubled, a transient slow-down is seen late;
 * halved, a quiet endpoint is forgotten sooner than it gets the next transaction. */
#define BPI_ROUTE_LOAD_FADE_US (2 * BP_USEC_PER_SECOND)
/* Doubled, a server that said "too much" is avoided twice as long. */
/* With one transaction in the last seconds, costs up to 2.5 times as high are equal, with 30 up to 1.15 times. Doubled, a
 * server that is three times as slow gets twice the tries at low load; halved, a cold one is left cold. */
#define BPI_ROUTE_LOAD_DOUBT 3.0
/* An endpoint without any work for so long gets the next transaction, whatever it costs: five a second at most. Halved, one
 * that is ten times as slow holds up twice as many. */
#define BPI_ROUTE_LOAD_IDLE_US     ((bp_usec)200000)
#define BPI_ROUTE_LOAD_DOUBT_IDLE  1e9
#define BPI_ROUTE_OVERLOAD_FADE_US (10 * BP_USEC_PER_SECOND)
/* 2^6: a failure more changes nothing about who is picked. */
#define BPI_ROUTE_OVERLOAD_MAX 63.0
/* As long as a JVM takes to warm its code up for short queries; doubled, a returned server gets nothing at low load for
 * 10 s. */
#define BPI_ROUTE_SLOW_START_US (5 * BP_USEC_PER_SECOND)
/* What share of its load an endpoint gets at the beginning of its slow start. */
#define BPI_ROUTE_SLOW_START_MIN 0.1
/* Transactions at a time where none is configured: what two to four cores work on. Half of the right value costs up to a
 * seventh of the p99, twice as much up to half of the mean (bench/balance). */
#define BPI_ROUTE_LIMIT_DEFAULT 16
/* How many completions the prior weighs as much as. Doubled, an endpoint that changes is seen later; at 2, one transaction that
 * found a cold server slow kept all others from it for a second, which kept it cold. */
#define BPI_ROUTE_LOAD_PRIOR_WEIGHT 16.0
/* Service time before anything was measured anywhere. */
#define BPI_ROUTE_SERVICE_DEFAULT_US 10000.0

struct bpi_route_load {
    /* What each pick reads, together. */
    bp_usec at_us;
    double busy_us; /* these as of `at_us` */
    double done;
    double
        busy_now_us; /* what `busy_us` tends to while nothing changes: min(running, limit) x fade */
    double queue;    /* the factor of m, for `running` and `limit` */
    unsigned running;
    bool is_plain; /* no overload, no slow start: cost = service x queue */

    unsigned limit;    /* at least 1 */
    double limit_part; /* 1 / limit */
    double overload;   /* as of overload_us */
    bp_usec overload_us;
    bp_usec slow_from_us; /* when its slow start began; 0 = it has none */
    /* Of the last completions, a geometric mean, so that one long query doesn't hide sixteen short ones; 0 = none yet. */
    double latency_us;
};

void bpi_route_load_init(struct bpi_route_load *load, unsigned limit, bp_usec now_us);
/* 0 = the default. */
void bpi_route_load_set_limit(struct bpi_route_load *load, unsigned limit, bp_usec now_us);
void bpi_route_load_started(struct bpi_route_load *load, bp_usec now_us);
/* It ran to its end, after `took_us`. */
void bpi_route_load_done(struct bpi_route_load *load, bp_usec took_us, bp_usec now_us);
/* It ended in a way that says nothing about how fast the endpoint works. */
void bpi_route_load_gone(struct bpi_route_load *load, bp_usec now_us);
/* The endpoint said that it has too much to do, or couldn't be reached though nobody may be kept off it. */
void bpi_route_load_overloaded(struct bpi_route_load *load, bp_usec now_us);
/* It begins anew: what it said before is over. */
void bpi_route_load_slow_start(struct bpi_route_load *load, bp_usec now_us);
/* Forgets what has faded, so that costs are quick again. */
void bpi_route_load_tick(struct bpi_route_load *load, bp_usec now_us);
/* exp(-part) for what is too large for the series. */
double bpi_route_load_fade_far(double part);
/* The cost with another number of running ones, or where overload or a slow start count. */
double bpi_route_load_cost_other_us(const struct bpi_route_load *load,
                                    unsigned running,
                                    double prior_us,
                                    bp_usec now_us);

/* How much is left at `now_us` of what was at at_us. The series is good to 1e-5 where time goes on a little, as it does
 * under load, and takes 2 ns. */
static inline double bpi_route_load_kept(const struct bpi_route_load *load, bp_usec now_us)
{
    int64_t elapsed_us = (int64_t)(now_us - load->at_us);
    double part =
        (double)(elapsed_us > 0 ? elapsed_us : 0) * (1.0 / (double)BPI_ROUTE_LOAD_FADE_US);
    return part < 0.125 ? 1 - part * (1 - part * (0.5 - part * (1.0 / 6)))
                        : bpi_route_load_fade_far(part);
}

/* The mean service time. */
static inline double
bpi_route_load_service_us(const struct bpi_route_load *load, double prior_us, bp_usec now_us)
{
    double kept = bpi_route_load_kept(load, now_us);
    double busy_us = load->busy_now_us + (load->busy_us - load->busy_now_us) * kept;
    return (busy_us + BPI_ROUTE_LOAD_PRIOR_WEIGHT * prior_us) /
           (load->done * kept + BPI_ROUTE_LOAD_PRIOR_WEIGHT);
}

/* Up to which ratio another cost can't be told from the endpoint's own: the less was done there lately, the less is known.
 * One slow transaction at a server without work (cold caches, cold connections) would else keep work off it for seconds,
 * and that would keep it cold. What an endpoint says of too much work, or its slow start, is no guess. */
static inline double bpi_route_load_doubt(const struct bpi_route_load *load, bp_usec now_us)
{
    /* Idle for long: a little work makes it warm, and keeps what is known of it true. */
    if (load->running == 0 && load->overload <= 0 &&
        now_us > load->at_us + BPI_ROUTE_LOAD_IDLE_US) {
        return BPI_ROUTE_LOAD_DOUBT_IDLE;
    }
    if (!load->is_plain) {
        return 0;
    }
    return BPI_ROUTE_LOAD_DOUBT / (load->done * bpi_route_load_kept(load, now_us) + 1);
}

/* The expected delay of one more transaction, in microseconds. */
static inline double
bpi_route_load_cost_us(const struct bpi_route_load *load, double prior_us, bp_usec now_us)
{
    return load->is_plain ? bpi_route_load_service_us(load, prior_us, now_us) * load->queue
                          : bpi_route_load_cost_other_us(load, load->running, prior_us, now_us);
}

#endif
