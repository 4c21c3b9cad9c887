/* See backoff.h. */
#include "pool/backoff.h"

/* 2^40 microseconds are twelve days: any cap is below. */
#define DOUBLINGS_MAX 40

bp_usec bpi_backoff_next(struct bpi_backoff *backoff, bp_usec min_us, bp_usec max_us, double unit)
{
    bp_usec whole_us = min_us;
    for (unsigned i = 0; i < backoff->failures && i < DOUBLINGS_MAX && whole_us < max_us; i++) {
        whole_us *= 2;
    }
    if (whole_us > max_us) {
        whole_us = max_us;
    }
    if (backoff->failures < DOUBLINGS_MAX) {
        backoff->failures++;
    }
    bp_usec half_us = whole_us / 2;
    return half_us + (bp_usec)(unit * (double)(whole_us - half_us));
}

void bpi_backoff_reset(struct bpi_backoff *backoff)
{
    backoff->failures = 0;
}
