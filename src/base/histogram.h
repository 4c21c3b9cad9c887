/* A histogram of spans of time with a bounded relative error.
 *
 * Buckets are log-linear: 64 steps for each power of two, so a reported quantile is at most 1/64
 * (1.6 %) above the true value. Range 0 .. 2^40 us (12 days); what is longer counts as that.
 * One writer, no locks; a reader merges copies.
 */
#ifndef BPI_BASE_HISTOGRAM_H
#define BPI_BASE_HISTOGRAM_H

#include <boltpool/types.h>

#define BPI_HISTOGRAM_STEPS   64
#define BPI_HISTOGRAM_BUCKETS (BPI_HISTOGRAM_STEPS * 36)

struct bpi_histogram {
    uint64_t count;
    uint64_t sum_us;
    bp_usec max_us;
    uint32_t buckets[BPI_HISTOGRAM_BUCKETS];
};

void bpi_histogram_init(struct bpi_histogram *histogram);
void bpi_histogram_record(struct bpi_histogram *histogram, bp_usec value_us);
void bpi_histogram_merge(struct bpi_histogram *into, const struct bpi_histogram *from);
/* The value below which the share `quantile` (0..1) of the records lies; 0 where there is none. */
bp_usec bpi_histogram_quantile(const struct bpi_histogram *histogram, double quantile);
double bpi_histogram_mean_us(const struct bpi_histogram *histogram);

#endif
