/* What `boltpool bench` prints: a line each second, a table or a JSON object at the end. */
#ifndef BPI_CLI_BENCH_REPORT_H
#define BPI_CLI_BENCH_REPORT_H

#include "cli/load.h"

#include <stdio.h>

/* One line about the time since `before`, ended by a carriage return. */
void bpi_bench_report_progress(FILE *out,
                               const struct bpi_load_results *before,
                               const struct bpi_load_results *now);
void bpi_bench_report_table(FILE *out,
                            const struct bpi_load_options *options,
                            const struct bpi_load_results *results);
/* Errors: BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_bench_report_json(FILE *out,
                                        const struct bpi_load_options *options,
                                        const struct bpi_load_results *results);

#endif
