/* See load_arrival.h. Each gap is one exponential draw at factor 1, used up the faster the higher the rate
 * is: that keeps the process Poisson over the edges of bursts, where drawing a gap at the rate of its
 * beginning would carry a slow gap far into a burst.
 */
#include "cli/load_arrival.h"

#include <float.h>

void bpi_load_arrivals_init(struct bpi_load_arrivals *arrivals,
                            uint64_t seed,
                            double mean_us,
                            const struct bpi_load_burst *bursts,
                            size_t burst_count)
{
    *arrivals = (struct bpi_load_arrivals){
        .mean_us = mean_us,
        .bursts = bursts,
        .burst_count = burst_count,
        .next_us = DBL_MAX,
    };
    bpi_random_init(&arrivals->random, seed);
}

/* The rate's factor at a time, and until when it holds. */
static double
factor_at(const struct bpi_load_arrivals *arrivals, double at_us, double *ret_until_us)
{
    double factor = 1;
    double until_us = DBL_MAX;
    for (size_t i = 0; i < arrivals->burst_count; i++) {
        const struct bpi_load_burst *burst = &arrivals->bursts[i];
        double from_us = arrivals->zero_us + burst->from_s * 1e6;
        double to_us = arrivals->zero_us + burst->to_s * 1e6;
        double edge_us = at_us < from_us ? from_us : to_us;
        if (at_us >= from_us && at_us < to_us) {
            factor *= burst->factor;
        }
        if (at_us < edge_us && edge_us < until_us) {
            until_us = edge_us;
        }
    }
    *ret_until_us = until_us;
    return factor;
}

static void advance(struct bpi_load_arrivals *arrivals)
{
    double gap_us = bpi_random_exponential(&arrivals->random, arrivals->mean_us);
    double at_us = arrivals->next_us;
    /* Each turn passes an edge of a burst, and there are two of each. */
    for (size_t left = 2 * arrivals->burst_count + 1; left > 0; left--) {
        double until_us;
        double factor = factor_at(arrivals, at_us, &until_us);
        if (factor > 0 && (until_us - at_us) * factor >= gap_us) {
            arrivals->next_us = at_us + gap_us / factor;
            return;
        }
        gap_us -= (until_us - at_us) * factor;
        at_us = until_us;
    }
    arrivals->next_us = DBL_MAX;
}

void bpi_load_arrivals_start(struct bpi_load_arrivals *arrivals, bp_usec start_us, bp_usec zero_us)
{
    arrivals->zero_us = (double)zero_us;
    arrivals->next_us = (double)start_us;
    if (arrivals->mean_us > 0) {
        advance(arrivals); /* so that the first one is random, too */
    } else {
        arrivals->next_us = DBL_MAX;
    }
}

bp_usec bpi_load_arrivals_take(struct bpi_load_arrivals *arrivals)
{
    if (!(arrivals->next_us < DBL_MAX)) {
        return UINT64_MAX;
    }
    bp_usec taken_us = (bp_usec)arrivals->next_us;
    advance(arrivals);
    return taken_us;
}
