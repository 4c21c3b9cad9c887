/* What `boltpool bench` prints: a line each second, a table or a JSON object at the end. */
#ifndef BPI_CLI_BENCH_REPORT_H
#define BPI_CLI_BENCH_REPORT_H

#include "cli/load.h"

#include <stdio.h>

struct json_t;

/* One line about the time since `before`, ended by a carriage return. */
void bpi_bench_report_progress(FILE *out,
                               const struct bpi_load_results *before,
                               const struct bpi_load_results *now);
void bpi_bench_report_table(FILE *out,
                            const struct bpi_load_options *options,
                            const struct bpi_load_results *results);
/* Streams in spans of `series_us`, too, unless that is 0. Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_bench_report_json(FILE *out,
                                        const struct bpi_load_options *options,
                                        const struct bpi_load_results *results,
                                        bp_usec series_us);

/* Parts of it; the caller owns the values, NULL: no memory. */
struct json_t *bpi_bench_latency_json(const struct bpi_histogram *histogram);
/* Sorts the streams' samples. */
struct json_t *bpi_bench_streams_json(const struct bpi_load_options *options,
                                      const struct bpi_load_results *results,
                                      bp_usec span_us);
void bpi_bench_streams_table(FILE *out, const struct bpi_load_results *results);
/* Each transaction of the streams as a line with tabs: stream, when it was due, latency and wait (-1: not told) in
 * microseconds, its fate. Errors: libuv's. */
BP_MUST_CHECK int bpi_bench_samples_write(const char *path, const struct bpi_load_results *results);

#endif
