/* Bytes for tests of the protocol: written as hex, kept in exact allocations so that a sanitizer sees
 * any step outside, and a buffer that refuses to grow after a given number of bytes.
 */
#ifndef TESTS_UNIT_BOLT_BYTES_H
#define TESTS_UNIT_BOLT_BYTES_H

#include "base/buffer.h"
#include "bolt/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bytes {
    uint8_t *data;
    size_t size;
};

static inline int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return c == '\0' || at == NULL ? -1 : (int)(at - digits);
}

/* Reads hex, blanks between bytes allowed. The caller frees with bytes_free(). */
static inline struct bytes bytes_of(const char *hex)
{
    struct bytes bytes = {malloc(strlen(hex) / 2 + 1), 0};
    assert_non_null(bytes.data);
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        int high = hex_digit(hex[0]);
        int low = hex_digit(hex[1]);
        assert_true(high >= 0 && low >= 0);
        bytes.data[bytes.size++] = (uint8_t)(high * 16 + low);
        hex += 2;
    }
    /* Exactly as large as what it holds. */
    uint8_t *exact = malloc(bytes.size > 0 ? bytes.size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes.data, bytes.size);
    free(bytes.data);
    bytes.data = exact;
    return bytes;
}

static inline struct bytes bytes_copy(const void *data, size_t size)
{
    struct bytes bytes = {malloc(size > 0 ? size : 1), size};
    assert_non_null(bytes.data);
    if (size > 0) {
        memcpy(bytes.data, data, size);
    }
    return bytes;
}

static inline void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->size = 0;
}

static inline void buffer_put_hex(struct bpi_buffer *buffer, const char *hex)
{
    struct bytes bytes = bytes_of(hex);
    assert_int_equal(bpi_buffer_append(buffer, bytes.data, bytes.size), 0);
    bytes_free(&bytes);
}

static inline void assert_buffer_hex(const struct bpi_buffer *buffer, const char *hex)
{
    struct bytes bytes = bytes_of(hex);
    assert_int_equal(bpi_buffer_size(buffer), bytes.size);
    if (bytes.size > 0) {
        assert_memory_equal(bpi_buffer_head(buffer), bytes.data, bytes.size);
    }
    bytes_free(&bytes);
}

static inline void assert_text(struct bpi_bolt_text text, const char *expected)
{
    assert_non_null(text.data);
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static inline struct bpi_bolt_span span_of(const struct bytes *bytes)
{
    return (struct bpi_bolt_span){bytes->data, bytes->size};
}

static inline struct bpi_bolt_text text_of(const char *text)
{
    return (struct bpi_bolt_text){text, strlen(text)};
}

/* A buffer over `memory` that takes `room` bytes and then has no memory: its begin stands so far off
 * that it seems to hold half of the address space, so every growth is refused. Only for appending. */
#define FAR_OFF (SIZE_MAX / 2)

static inline struct bpi_buffer buffer_with_room(uint8_t *memory, size_t room)
{
    return (struct bpi_buffer){.data = memory, .begin = FAR_OFF, .end = 0, .capacity = room};
}

/* Whether a failed writer left such a buffer as it was. */
static inline bool buffer_is_untouched(const struct bpi_buffer *buffer)
{
    return buffer->begin == FAR_OFF && buffer->end == 0;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
