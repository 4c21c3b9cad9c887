/* See random.h. */
#include "base/random.h"

#include <math.h>

static uint64_t rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

void bpi_random_init(struct bpi_random *random, uint64_t seed)
{
    /* splitmix64 spreads a small seed over the whole state, as the authors advise. */
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
        random->state[i] = mixed ^ (mixed >> 31);
    }
}

uint64_t bpi_random_next(struct bpi_random *random)
{
    uint64_t *state = random->state;
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

uint64_t bpi_random_below(struct bpi_random *random, uint64_t bound)
{
    /* The bias of a plain remainder is below 2^-40 for any bound that we use. */
    return bpi_random_next(random) % bound;
}

double bpi_random_unit(struct bpi_random *random)
{
    return (double)(bpi_random_next(random) >> 11) * 0x1.0p-53;
}

double bpi_random_exponential(struct bpi_random *random, double mean)
{
    return -mean * log1p(-bpi_random_unit(random));
}
