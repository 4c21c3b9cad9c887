/* See log.h. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Longest line; what is longer is cut, so that no peer can make us allocate for a log line. */
#define LOG_LINE_BYTES 2048

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Atomic: relaxed is enough, a line more or less around a change is harmless. */
static _Atomic int log_level = BPI_LOG_INFO;

void bpi_log_level_set(enum bpi_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool bpi_log_enabled(enum bpi_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

bool bpi_log_level_parse(const char *word, enum bpi_log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *ret_level = (enum bpi_log_level)i;
            return true;
        }
    }
    return false;
}

void bpi_log(enum bpi_log_level level, const char *area, const char *format, ...)
{
    if (!bpi_log_enabled(level)) {
        return;
    }
    char line[LOG_LINE_BYTES];
    char time_text[32];
    bpi_clock_format(bpi_clock_wall_us(), time_text, sizeof(time_text));
    int used = snprintf(line, sizeof(line), "%s %-5s %s: ", time_text, level_names[level], area);
    if (used < 0 || (size_t)used >= sizeof(line)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
    va_end(arguments);
    size_t size = (size_t)used + (more < 0 ? 0 : (size_t)more);
    if (size > sizeof(line) - 2) {
        size = sizeof(line) - 2;
    }
    line[size] = '\n';
    /* A log that can't be written (a full disk, a closed pipe) must not stop the service. */
    ssize_t written = write(STDERR_FILENO, line, size + 1);
    (void)written;
}

bool bpi_log_allowed(struct bpi_log_limit *limit,
                     unsigned per_second,
                     bp_usec now_us,
                     const char **ret_suffix)
{
    static _Thread_local char suffix[48];
    suffix[0] = '\0';
    *ret_suffix = suffix;
    if (limit->count == 0 || now_us - limit->second_us >= BP_USEC_PER_SECOND) {
        limit->second_us = now_us;
        limit->count = 0;
        if (limit->left_out > 0) {
            snprintf(suffix, sizeof(suffix), " (and %u more like this)", limit->left_out);
            limit->left_out = 0;
        }
    }
    if (limit->count >= per_second) {
        limit->left_out++;
        return false;
    }
    limit->count++;
    return true;
}

const char *bpi_log_quote(char *text, size_t size, const void *data, size_t data_size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    size_t used = 0;
    for (size_t i = 0; i < data_size && used + 5 < size; i++) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\') {
            text[used++] = (char)bytes[i];
        } else {
            text[used++] = '\\';
            text[used++] = 'x';
            text[used++] = digits[bytes[i] >> 4];
            text[used++] = digits[bytes[i] & 15];
        }
    }
    text[used] = '\0';
    return text;
}
