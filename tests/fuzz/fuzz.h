/* What the fuzz targets share: a check that stops with file and line, the input's first bytes as
 * choices, and copies in allocations of their own so that the sanitizer sees every step outside.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/assert.h"
#include "base/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition) BP_ASSERT(condition)

/* Takes one byte off the front; 0 when there is none. */
static inline uint8_t fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0) {
        return 0;
    }
    uint8_t byte = **data;
    (*data)++;
    (*size)--;
    return byte;
}

static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    FUZZ_CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

static inline void fuzz_append(struct bpi_buffer *buffer, const void *data, size_t size)
{
    int error = bpi_buffer_append(buffer, data, size);
    FUZZ_CHECK(error == 0);
}

static inline int fuzz_same(const struct bpi_buffer *left, const struct bpi_buffer *right)
{
    size_t size = bpi_buffer_size(left);
    return size == bpi_buffer_size(right) &&
           (size == 0 || memcmp(bpi_buffer_head(left), bpi_buffer_head(right), size) == 0);
}

#endif
