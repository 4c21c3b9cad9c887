/* Pseudo-random numbers from a printed seed (xoshiro256**, Blackman and Vigna 2018).
 * For decisions and simulations; never for secrets, which come from OpenSSL.
 */
#ifndef BPI_BASE_RANDOM_H
#define BPI_BASE_RANDOM_H

#include <stdint.h>

struct bpi_random {
    uint64_t state[4];
};

void bpi_random_init(struct bpi_random *random, uint64_t seed);
uint64_t bpi_random_next(struct bpi_random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t bpi_random_below(struct bpi_random *random, uint64_t bound);
/* Uniform in [0, 1). */
double bpi_random_unit(struct bpi_random *random);
/* Exponential with the given mean. */
double bpi_random_exponential(struct bpi_random *random, double mean);

#endif
