/* See histogram.h. */
#include "base/histogram.h"

#include <math.h>
#include <string.h>

/* 64 = 2^6 steps for each power of two. */
#define STEP_BITS 6

static size_t bucket_of(bp_usec value_us)
{
    if (value_us < BPI_HISTOGRAM_STEPS) {
        return (size_t)value_us;
    }
    int top = 63 - __builtin_clzll(value_us);
    size_t bucket = (size_t)(top - STEP_BITS + 1) * BPI_HISTOGRAM_STEPS +
                    (size_t)((value_us >> (top - STEP_BITS)) - BPI_HISTOGRAM_STEPS);
    return bucket < BPI_HISTOGRAM_BUCKETS ? bucket : BPI_HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into a bucket. */
static bp_usec bucket_top(size_t bucket)
{
    if (bucket < BPI_HISTOGRAM_STEPS) {
        return bucket;
    }
    int shift = (int)(bucket / BPI_HISTOGRAM_STEPS) - 1;
    bp_usec low = (bp_usec)(bucket % BPI_HISTOGRAM_STEPS + BPI_HISTOGRAM_STEPS) << shift;
    return low + ((bp_usec)1 << shift) - 1;
}

void bpi_histogram_init(struct bpi_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void bpi_histogram_record(struct bpi_histogram *histogram, bp_usec value_us)
{
    histogram->count++;
    histogram->sum_us += value_us;
    if (value_us > histogram->max_us) {
        histogram->max_us = value_us;
    }
    histogram->buckets[bucket_of(value_us)]++;
}

void bpi_histogram_merge(struct bpi_histogram *into, const struct bpi_histogram *from)
{
    into->count += from->count;
    into->sum_us += from->sum_us;
    if (from->max_us > into->max_us) {
        into->max_us = from->max_us;
    }
    for (size_t i = 0; i < BPI_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

bp_usec bpi_histogram_quantile(const struct bpi_histogram *histogram, double quantile)
{
    if (histogram->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(quantile * (double)histogram->count);
    if (rank == 0) {
        rank = 1;
    }
    uint64_t seen = 0;
    for (size_t i = 0; i < BPI_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            bp_usec top = bucket_top(i);
            return top < histogram->max_us ? top : histogram->max_us;
        }
    }
    return histogram->max_us;
}

double bpi_histogram_mean_us(const struct bpi_histogram *histogram)
{
    return histogram->count == 0 ? 0.0 : (double)histogram->sum_us / (double)histogram->count;
}
