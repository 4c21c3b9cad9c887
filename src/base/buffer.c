/* See buffer.h. */
#include "base/buffer.h"

#include "base/assert.h"

#include <boltpool/error.h>

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>

/* Small messages dominate: 256 bytes hold a RUN with its PULL. Doubling keeps appends amortised. */
#define BUFFER_CAPACITY_MIN ((size_t)256)

const uint8_t bpi_buffer_nothing = 0;

void bpi_buffer_init(struct bpi_buffer *buffer)
{
    memset(buffer, 0, sizeof(*buffer));
}

void bpi_buffer_done(struct bpi_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}

void bpi_buffer_wipe(struct bpi_buffer *buffer)
{
    if (buffer->data != NULL) {
        OPENSSL_cleanse(buffer->data, buffer->capacity);
    }
    bpi_buffer_done(buffer);
}

int bpi_buffer_reserve(struct bpi_buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->end >= size) {
        return 0;
    }
    size_t used = bpi_buffer_size(buffer);
    size_t wanted;
    if (__builtin_add_overflow(used, size, &wanted) || wanted > SIZE_MAX / 4) {
        return BP_E_NO_MEMORY;
    }
    /* Moving the rest to the front is cheaper than growing while at least half is free. */
    if (buffer->begin > 0 && wanted <= buffer->capacity && used <= buffer->capacity / 2) {
        memmove(buffer->data, buffer->data + buffer->begin, used);
        buffer->begin = 0;
        buffer->end = used;
        return 0;
    }
    size_t capacity =
        buffer->capacity < BUFFER_CAPACITY_MIN ? BUFFER_CAPACITY_MIN : buffer->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint8_t *data = malloc(capacity);
    if (data == NULL) {
        return BP_E_NO_MEMORY;
    }
    if (used > 0) {
        memcpy(data, buffer->data + buffer->begin, used);
    }
    free(buffer->data);
    buffer->data = data;
    buffer->begin = 0;
    buffer->end = used;
    buffer->capacity = capacity;
    return 0;
}

int bpi_buffer_append(struct bpi_buffer *buffer, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    int error = bpi_buffer_reserve(buffer, size);
    if (error != 0) {
        return error;
    }
    memcpy(buffer->data + buffer->end, data, size);
    buffer->end += size;
    return 0;
}

void bpi_buffer_consume(struct bpi_buffer *buffer, size_t size)
{
    BP_ASSERT(size <= bpi_buffer_size(buffer));
    buffer->begin += size;
    if (buffer->begin == buffer->end) {
        buffer->begin = 0;
        buffer->end = 0;
    }
}

void bpi_buffer_clear(struct bpi_buffer *buffer)
{
    buffer->begin = 0;
    buffer->end = 0;
}
