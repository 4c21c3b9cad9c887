/* When the transactions of an open loop are due: a Poisson process whose rate bursts may multiply for a
 * while. It knows no clock: the same seed and the same bursts give the same times, whatever a server does.
 * Owner: one thread.
 */
#ifndef BPI_CLI_LOAD_ARRIVAL_H
#define BPI_CLI_LOAD_ARRIVAL_H

#include "base/random.h"

#include <boltpool/types.h>

#include <stddef.h>

/* From `from_s` until `to_s` the rate is `factor` times as high; 0 is silence. Bursts that overlap multiply. */
struct bpi_load_burst {
    double factor;
    double from_s;
    double to_s;
};

struct bpi_load_arrivals {
    struct bpi_random random;
    double mean_us; /* between two, outside of bursts; 0: no arrivals at all */
    const struct bpi_load_burst *bursts;
    size_t burst_count;
    double zero_us; /* what the bursts' times count from */
    double next_us;
};

/* Borrows the bursts. */
void bpi_load_arrivals_init(struct bpi_load_arrivals *arrivals,
                            uint64_t seed,
                            double mean_us,
                            const struct bpi_load_burst *bursts,
                            size_t burst_count);
/* Begins the process at `start_us`; the bursts' times count from `zero_us`. */
void bpi_load_arrivals_start(struct bpi_load_arrivals *arrivals, bp_usec start_us, bp_usec zero_us);
/* Takes the next one; UINT64_MAX where none comes any more. */
bp_usec bpi_load_arrivals_take(struct bpi_load_arrivals *arrivals);

#endif
