/* A growing run of bytes with a readable middle: 0 <= begin <= end <= capacity.
 *
 * Bytes are appended at `end` and consumed at `begin`; the memory moves when it grows, so a pointer
 * into it lives until the next append or reserve. One owner, no locks.
 */
#ifndef BPI_BASE_BUFFER_H
#define BPI_BASE_BUFFER_H

#include <boltpool/types.h>

struct bpi_buffer {
    uint8_t *data;
    size_t begin;
    size_t end;
    size_t capacity;
};

/* A zeroed struct is an empty buffer, so `init` is only for storage that holds something else. */
void bpi_buffer_init(struct bpi_buffer *buffer);
/* Frees the memory; the buffer is empty and usable again. */
void bpi_buffer_done(struct bpi_buffer *buffer);
/* The same for bytes that nobody may read afterwards: they are wiped first. */
void bpi_buffer_wipe(struct bpi_buffer *buffer);

/* Makes room for `size` more bytes at `end`. Errors: BP_E_NO_MEMORY, the buffer stays as it was. */
BP_MUST_CHECK int bpi_buffer_reserve(struct bpi_buffer *buffer, size_t size);
/* Errors: BP_E_NO_MEMORY, the buffer stays as it was. */
BP_MUST_CHECK int bpi_buffer_append(struct bpi_buffer *buffer, const void *data, size_t size);
/* Drops `size` readable bytes from the front; an emptied buffer starts over at 0. */
void bpi_buffer_consume(struct bpi_buffer *buffer, size_t size);
/* Drops all readable bytes and keeps the memory. */
void bpi_buffer_clear(struct bpi_buffer *buffer);

static inline size_t bpi_buffer_size(const struct bpi_buffer *buffer)
{
    return buffer->end - buffer->begin;
}

extern const uint8_t bpi_buffer_nothing;

/* Never NULL, also where the buffer has no memory yet. */
static inline const uint8_t *bpi_buffer_head(const struct bpi_buffer *buffer)
{
    return buffer->data == NULL ? &bpi_buffer_nothing : buffer->data + buffer->begin;
}

#endif
