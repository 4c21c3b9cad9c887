/* How long a simulated server works on a request: a mean and how it is spread. */
#ifndef BPI_SIM_SERVICE_H
#define BPI_SIM_SERVICE_H

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_random;

enum bpi_sim_spread {
    BPI_SIM_FIXED,
    BPI_SIM_EXPONENTIAL,
    BPI_SIM_LOGNORMAL,
};

/* Zeroed = no time at all. */
struct bpi_sim_service {
    enum bpi_sim_spread spread;
    double mean_us;
    double sigma; /* lognormal: of the logarithm; 0 = 1.0 (p99 is then 6.2 times the mean) */
};

/* "0", "5ms", "fixed:5ms", "exp:250us", "lognormal:5ms", "lognormal:5ms:0.5"; units us, ms, s. */
bool bpi_sim_service_parse(const char *text, struct bpi_sim_service *ret_service);
bp_usec bpi_sim_service_draw(const struct bpi_sim_service *service, struct bpi_random *random);

#endif
