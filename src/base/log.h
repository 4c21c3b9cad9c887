/* Lines for people and for log collectors: time, level, area, sentence.
 *
 * Threads: any; one line is one write, so lines never mix. Secrets are never passed in.
 * What arrives from a peer is printed through bpi_log_quote(), so it can't forge lines.
 */
#ifndef BPI_BASE_LOG_H
#define BPI_BASE_LOG_H

#include <boltpool/types.h>

#include <stdbool.h>

enum bpi_log_level {
    BPI_LOG_DEBUG,
    BPI_LOG_INFO,
    BPI_LOG_WARN,
    BPI_LOG_ERROR,
};

/* Lines below `level` are dropped. Threads: any. Lines go to stderr. */
void bpi_log_level_set(enum bpi_log_level level);
bool bpi_log_enabled(enum bpi_log_level level);
/* "debug", "info", "warn", "error"; false for another word. */
bool bpi_log_level_parse(const char *word, enum bpi_log_level *ret_level);

void bpi_log(enum bpi_log_level level, const char *area, const char *format, ...) BP_PRINTF(3, 4);

/* Keeps a peer from filling the log: at most `per_second` lines a second of one kind; how many were left
 * out is told by the next one. Owner: one thread. Zeroed = nothing logged yet. */
struct bpi_log_limit {
    bp_usec second_us;
    unsigned count;
    unsigned left_out;
};

/* Whether a line may be written now. *ret_suffix is "" or " (and 12 more like this)", valid until the next
 * call on this thread. */
bool bpi_log_allowed(struct bpi_log_limit *limit,
                     unsigned per_second,
                     bp_usec now_us,
                     const char **ret_suffix);

/* Copies at most `size`-1 bytes, control characters and non-ASCII as \xNN. Returns `text`. */
const char *bpi_log_quote(char *text, size_t size, const void *data, size_t data_size);

#endif
