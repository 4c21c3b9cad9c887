/* See chunk.h. Both readers walk the same three steps: two header bytes, then that many payload
 * bytes, and a header of zero is a border: the end of a message that has payload, a NOOP else.
 */
#include "bolt/chunk.h"

#include "base/assert.h"

#include <boltpool/error.h>

#include <string.h>

#define CHUNK_HEADER_BYTES ((size_t)2)

/* A reader that once collected a large message gives the memory back before the next one. 64 KiB is
 * one full chunk; doubled, a thousand clients may hold 64 MiB more for nothing. */
#define READER_KEEP_BYTES_MAX ((size_t)64 * 1024)

/* Takes one header byte; true when the length is known. */
static bool header_take(uint8_t *have, uint8_t *first, uint8_t byte, uint32_t *ret_length)
{
    if (*have == 0) {
        *have = 1;
        *first = byte;
        return false;
    }
    *have = 0;
    *ret_length = (uint32_t)*first << 8 | byte;
    return true;
}

static void scanner_keep_head(struct bpi_chunk_scanner *scanner, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && scanner->head_have < sizeof(scanner->head); i++) {
        scanner->head[scanner->head_have++] = data[i];
    }
}

enum bpi_chunk_event bpi_chunk_scan(struct bpi_chunk_scanner *scanner,
                                    const uint8_t *data,
                                    size_t size,
                                    size_t *ret_used)
{
    if (scanner->fresh && size > 0) {
        scanner->fresh = false;
        scanner->message_bytes = 0;
        scanner->head_have = 0;
    }
    size_t used = 0;
    while (used < size) {
        if (scanner->chunk_left > 0) {
            size_t part = size - used;
            part = part < scanner->chunk_left ? part : scanner->chunk_left;
            scanner_keep_head(scanner, data + used, part);
            scanner->chunk_left -= (uint32_t)part;
            scanner->message_bytes += part;
            used += part;
            continue;
        }
        uint32_t length;
        uint8_t byte = data[used++];
        if (!header_take(&scanner->header_have, &scanner->header_first, byte, &length)) {
            continue;
        }
        scanner->chunk_left = length;
        if (length == 0) {
            scanner->fresh = true;
            *ret_used = used;
            return scanner->message_bytes == 0 ? BPI_CHUNK_NOOP : BPI_CHUNK_MESSAGE;
        }
    }
    *ret_used = used;
    return BPI_CHUNK_MORE;
}

bool bpi_chunk_scan_at_border(const struct bpi_chunk_scanner *scanner)
{
    return scanner->header_have == 0 && scanner->chunk_left == 0 &&
           (scanner->fresh || scanner->message_bytes == 0);
}

void bpi_chunk_reader_done(struct bpi_chunk_reader *reader)
{
    bpi_buffer_done(&reader->message);
    memset(reader, 0, sizeof(*reader));
}

static void reader_start_message(struct bpi_chunk_reader *reader)
{
    reader->complete = false;
    if (reader->message.capacity > READER_KEEP_BYTES_MAX) {
        bpi_buffer_done(&reader->message);
    } else {
        bpi_buffer_clear(&reader->message);
    }
}

int bpi_chunk_read(struct bpi_chunk_reader *reader, struct bpi_buffer *input, size_t message_max)
{
    if (reader->complete) {
        reader_start_message(reader);
    }
    while (bpi_buffer_size(input) > 0) {
        if (reader->chunk_left > 0) {
            size_t part = bpi_buffer_size(input);
            part = part < reader->chunk_left ? part : reader->chunk_left;
            int error = bpi_buffer_append(&reader->message, bpi_buffer_head(input), part);
            if (error != 0) {
                return error;
            }
            bpi_buffer_consume(input, part);
            reader->chunk_left -= (uint32_t)part;
            continue;
        }
        uint32_t length;
        uint8_t byte = *bpi_buffer_head(input);
        bpi_buffer_consume(input, 1);
        if (!header_take(&reader->header_have, &reader->header_first, byte, &length)) {
            continue;
        }
        size_t have = bpi_buffer_size(&reader->message);
        if (length == 0) {
            reader->complete = have > 0;
            return have > 0 ? BPI_CHUNK_MESSAGE : BPI_CHUNK_NOOP;
        }
        if (have > message_max || length > message_max - have) {
            return BP_E_SIZE;
        }
        reader->chunk_left = length;
    }
    return BPI_CHUNK_MORE;
}

int bpi_chunk_write(struct bpi_buffer *out, const void *payload, size_t size)
{
    size_t mark;
    int error = bpi_chunk_begin(out, &mark);
    if (error != 0) {
        return error;
    }
    error = bpi_buffer_append(out, payload, size);
    if (error == 0) {
        error = bpi_chunk_end(out, mark);
    }
    if (error != 0) {
        bpi_chunk_abort(out, mark);
    }
    return error;
}

/* The mark counts from the first readable byte, since the buffer may move while it grows. */
int bpi_chunk_begin(struct bpi_buffer *out, size_t *ret_mark)
{
    static const uint8_t placeholder[CHUNK_HEADER_BYTES];
    size_t mark = bpi_buffer_size(out);
    int error = bpi_buffer_append(out, placeholder, sizeof(placeholder));
    if (error == 0) {
        *ret_mark = mark;
    }
    return error;
}

static void header_store(uint8_t *at, size_t length)
{
    at[0] = (uint8_t)(length >> 8);
    at[1] = (uint8_t)length;
}

int bpi_chunk_end(struct bpi_buffer *out, size_t mark)
{
    size_t payload = bpi_buffer_size(out) - mark - CHUNK_HEADER_BYTES;
    if (payload == 0) {
        return BP_E_USAGE; /* its bytes would be two NOOPs, not a message */
    }
    size_t chunks = (payload - 1) / BPI_CHUNK_SIZE_MAX + 1;
    /* The first header is there; each further chunk needs one, and the end mark is one more. */
    size_t grown = chunks * CHUNK_HEADER_BYTES;
    int error = bpi_buffer_reserve(out, grown);
    if (error != 0) {
        return error;
    }
    uint8_t *message = out->data + (out->begin + mark);
    size_t last = payload - (chunks - 1) * BPI_CHUNK_SIZE_MAX;
    /* From the last chunk to the second, so that none is overwritten before it has moved. */
    for (size_t i = chunks - 1; i > 0; i--) {
        uint8_t *from = message + CHUNK_HEADER_BYTES + i * BPI_CHUNK_SIZE_MAX;
        uint8_t *to = from + i * CHUNK_HEADER_BYTES;
        size_t length = i == chunks - 1 ? last : BPI_CHUNK_SIZE_MAX;
        memmove(to, from, length);
        header_store(to - CHUNK_HEADER_BYTES, length);
    }
    header_store(message, chunks == 1 ? last : BPI_CHUNK_SIZE_MAX);
    out->end += grown;
    header_store(out->data + (out->end - CHUNK_HEADER_BYTES), 0);
    return 0;
}

void bpi_chunk_abort(struct bpi_buffer *out, size_t mark)
{
    BP_DEBUG_ASSERT(mark <= bpi_buffer_size(out));
    out->end = out->begin + mark;
}
