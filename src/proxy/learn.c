/* See learn.h. */
#include "proxy/learn.h"

#include <string.h>

_Static_assert(sizeof(((struct bpi_learn *)0)->entries) == (size_t)BPI_LEARN_SHAPES * 16,
               "learn.h says 16 bytes an entry");

/* ---- the shape ---- */

struct scan {
    const char *at;
    const char *end;
    char *out;
    size_t size;
    bool blank;  /* blanks or a comment stand before `at` */
    bool commas; /* a comma behind a `?` waits: another literal swallows it */
};

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Bytes of names and numbers; those of UTF-8 beyond ASCII count as letters. */
static bool is_word(char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           byte == '_' || (unsigned char)byte >= 0x80;
}

/* The byte `count` behind the next one, or 0 at the end. */
static char ahead(const struct scan *scan, size_t count)
{
    if ((size_t)(scan->end - scan->at) <= count) {
        return '\0';
    }
    return scan->at[count];
}

/* What is written is never longer than what was read (a `?` stands for a byte or more, a blank and a comma for
 * one each), so it fits. */
static void put(struct scan *scan, char byte)
{
    scan->out[scan->size++] = byte;
}

static char last_put(const struct scan *scan)
{
    if (scan->size == 0) {
        return '\0';
    }
    return scan->out[scan->size - 1];
}

static bool skip_comment(struct scan *scan)
{
    if (ahead(scan, 0) != '/' || (ahead(scan, 1) != '/' && ahead(scan, 1) != '*')) {
        return false;
    }
    bool is_line = ahead(scan, 1) == '/';
    scan->at += 2;
    while (scan->at < scan->end) {
        if (is_line ? *scan->at == '\n' : ahead(scan, 0) == '*' && ahead(scan, 1) == '/') {
            scan->at += is_line ? 1 : 2;
            break;
        }
        scan->at++;
    }
    return true;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end) {
        if (is_blank(*scan->at)) {
            scan->at++;
        } else if (!skip_comment(scan)) {
            return;
        }
        scan->blank = true;
    }
}

/* To behind the closing quote; a backslash takes the next byte with it, but in back-quotes. */
static void skip_quoted(struct scan *scan)
{
    char quote = *scan->at++;
    while (scan->at < scan->end) {
        char byte = *scan->at++;
        if (byte == quote) {
            return;
        }
        if (byte == '\\' && quote != '`' && scan->at < scan->end) {
            scan->at++;
        }
    }
}

/* 1, 0x1f, 1_000, 1.5, 1.5e-3; but 1..3 is two numbers. */
static void skip_number(struct scan *scan)
{
    while (scan->at < scan->end) {
        char byte = *scan->at;
        bool has_exponent = (byte == 'e' || byte == 'E') &&
                            (ahead(scan, 1) == '-' || ahead(scan, 1) == '+') &&
                            is_digit(ahead(scan, 2));
        if (!is_word(byte) && !(byte == '.' && is_digit(ahead(scan, 1)))) {
            return;
        }
        scan->at += has_exponent ? 2 : 1;
    }
}

static void literal(struct scan *scan)
{
    if (*scan->at == '\'' || *scan->at == '"') {
        skip_quoted(scan);
    } else {
        skip_number(scan);
    }
    if (scan->commas) {
        scan->commas = false; /* one more of the list */
        return;
    }
    put(scan, '?');
}

/* Names and parameters as a whole, so that digits in them are no numbers; else one byte. */
static void token(struct scan *scan)
{
    const char *from = scan->at;
    if (*from == '`') {
        skip_quoted(scan);
    } else {
        bool is_name = is_word(*from) || *from == '$';
        scan->at++;
        while (is_name && scan->at < scan->end && is_word(*scan->at)) {
            scan->at++;
        }
    }
    while (from < scan->at) {
        put(scan, *from++);
    }
}

size_t bpi_learn_normalise(const char *query, size_t size, char ret_text[BPI_LEARN_TEXT_BYTES])
{
    size_t read = size < BPI_LEARN_TEXT_BYTES ? size : BPI_LEARN_TEXT_BYTES;
    struct scan scan = {.at = query, .end = query + read, .out = ret_text};
    for (skip_blanks(&scan); scan.at < scan.end; skip_blanks(&scan)) {
        char byte = *scan.at;
        bool is_literal = byte == '\'' || byte == '"' || is_digit(byte);
        if (byte == ',' && last_put(&scan) == '?' && !scan.commas) {
            scan.commas = true;
            scan.blank = false;
            scan.at++;
            continue;
        }
        if (scan.commas && !is_literal) {
            put(&scan, ',');
            scan.commas = false;
        }
        bool joins = is_word(last_put(&scan)) || last_put(&scan) == '?';
        if (scan.blank && joins && !scan.commas && (is_word(byte) || is_literal || byte == '$')) {
            put(&scan, ' ');
        }
        scan.blank = false;
        if (is_literal) {
            literal(&scan);
        } else {
            token(&scan);
        }
    }
    if (scan.commas) {
        put(&scan, ',');
    }
    return scan.size;
}

/* ---- the table ---- */

/* Where the shape stands, or the entry that it would take. */
static size_t find(const struct bpi_learn *learn, uint64_t shape, bool *ret_found)
{
    size_t first = (size_t)(shape % (BPI_LEARN_SHAPES / BPI_LEARN_WAYS)) * BPI_LEARN_WAYS;
    size_t oldest = first;
    for (size_t i = first; i < first + BPI_LEARN_WAYS; i++) {
        if (learn->entries[i].shape == shape) {
            *ret_found = true;
            return i;
        }
        if (learn->entries[i].used < learn->entries[oldest].used) {
            oldest = i;
        }
    }
    *ret_found = false;
    return oldest;
}

void bpi_learn_note(struct bpi_learn *learn, uint64_t shape, bool is_slow)
{
    bool found;
    if (shape == 0) {
        return;
    }
    size_t i = find(learn, shape, &found);
    if (!is_slow) {
        if (found) {
            memset(&learn->entries[i], 0, sizeof(learn->entries[i]));
        }
        return;
    }
    unsigned run = found ? learn->entries[i].run : 0;
    learn->entries[i].shape = shape;
    learn->entries[i].run = (run < BPI_LEARN_RUN ? run + 1 : run) & 0xff;
    learn->entries[i].used = ++learn->ticks & (UINT64_MAX >> 8);
}

bool bpi_learn_is_slow(const struct bpi_learn *learn, uint64_t shape)
{
    bool found;
    if (shape == 0) {
        return false;
    }
    size_t i = find(learn, shape, &found);
    return found && learn->entries[i].run >= BPI_LEARN_RUN;
}
