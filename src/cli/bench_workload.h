/* The workload of `boltpool bench`: entries from arguments or from a file, with their parameters. */
#ifndef BPI_CLI_BENCH_WORKLOAD_H
#define BPI_CLI_BENCH_WORKLOAD_H

#include "cli/load.h"

#define BPI_BENCH_ENTRIES_MAX 256
#define BPI_BENCH_PARAMS_MAX  32
#define BPI_BENCH_STREAMS_MAX 32
#define BPI_BENCH_BURSTS_MAX  16
#define BPI_BENCH_PAIRS_MAX   5

/* What the entry of a stream points to. */
struct bpi_bench_stream {
    struct bpi_load_pair pairs[BPI_BENCH_PAIRS_MAX];
    struct bpi_load_burst bursts[BPI_BENCH_BURSTS_MAX];
};

/* Zeroed = empty. Owns the texts that its entries and parameters point to. */
struct bpi_bench_workload {
    struct bpi_load_entry entries[BPI_BENCH_ENTRIES_MAX];
    size_t entry_count;
    struct bpi_load_param params[BPI_BENCH_PARAMS_MAX];
    size_t param_count;
    struct bpi_bench_stream streams[BPI_BENCH_STREAMS_MAX];
    size_t stream_count;
    char *texts[BPI_BENCH_ENTRIES_MAX + BPI_BENCH_PARAMS_MAX + BPI_BENCH_STREAMS_MAX];
    size_t text_count;
};

void bpi_bench_workload_done(struct bpi_bench_workload *workload);
/* Adds one query. Errors: BP_E_FULL, BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_bench_workload_add(struct bpi_bench_workload *workload,
                                         const char *query,
                                         bool mode_read,
                                         bool is_explicit,
                                         uint32_t weight);
/* Adds the lines of a file: a query each, or weight TAB mode TAB query; empty lines and those that begin
 * with # are nothing. Errors: BP_E_CONFIG and libuv's; reterr_text names the line. */
BP_MUST_CHECK int bpi_bench_workload_read(struct bpi_bench_workload *workload,
                                          const char *path,
                                          bool mode_read,
                                          bool is_explicit,
                                          char *reterr_text,
                                          size_t reterr_text_size);
/* Adds a parameter that all queries get: name=5, name=text, name=unique, name=random:1:100.
 * Errors: BP_E_CONFIG, BP_E_FULL, BP_E_NO_MEMORY. */
BP_MUST_CHECK int bpi_bench_workload_param(struct bpi_bench_workload *workload, const char *text);
/* Adds an entry that is a stream, from pairs by commas; see bench_stream.c. Errors: BP_E_CONFIG,
 * BP_E_NO_MEMORY; reterr_text says which pair. */
BP_MUST_CHECK int bpi_bench_workload_stream(struct bpi_bench_workload *workload,
                                            const char *text,
                                            char *reterr_text,
                                            size_t reterr_text_size);
/* "500us", "5ms", "1.5s" -> microseconds. */
bool bpi_bench_span_parse(const char *text, bp_usec *ret_span_us);
/* Gives the parameters to the entries; when both are complete. */
void bpi_bench_workload_finish(struct bpi_bench_workload *workload);

#endif
