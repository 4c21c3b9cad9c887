/* Bolt's framing: a message is chunks of [u16 length][bytes], ended by a chunk of length 0.
 *
 * A chunk of length 0 between messages is a NOOP. Any split of the bytes gives the same messages.
 * Two readers: bpi_chunk_scan() finds message borders in bytes that are passed on verbatim, and
 * bpi_chunk_read() collects one whole message without its framing.
 */
#ifndef BPI_BOLT_CHUNK_H
#define BPI_BOLT_CHUNK_H

#include "base/buffer.h"

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_CHUNK_SIZE_MAX ((size_t)65535)

enum bpi_chunk_event {
    BPI_CHUNK_MORE,    /* all bytes used, no border reached */
    BPI_CHUNK_MESSAGE, /* `used` ends right behind a message's end mark */
    BPI_CHUNK_NOOP,    /* `used` ends right behind a NOOP */
};

/* Zeroed = at a message border. */
struct bpi_chunk_scanner {
    uint64_t message_bytes; /* payload of the current message so far */
    uint32_t chunk_left;    /* payload bytes of the current chunk still to come */
    uint8_t header_have;    /* 0 or 1 bytes of a chunk header seen */
    uint8_t header_first;
    uint8_t head_have; /* payload bytes kept in head[] */
    uint8_t head[2];   /* struct marker and tag of the current (or just ended) message */
    bool fresh;        /* internal: the last event was a border, counters restart */
};

/* Looks at the next `size` bytes of the stream and stops at the first border. */
enum bpi_chunk_event bpi_chunk_scan(struct bpi_chunk_scanner *scanner,
                                    const uint8_t *data,
                                    size_t size,
                                    size_t *ret_used);
/* Whether the scanner stands between messages, where a NOOP may be put in. */
bool bpi_chunk_scan_at_border(const struct bpi_chunk_scanner *scanner);

/* Zeroed (or after bpi_chunk_reader_done) = at a message border. `message` grows with what arrives,
 * never with what a header promises. */
struct bpi_chunk_reader {
    struct bpi_buffer message; /* payload of the current message */
    uint32_t chunk_left;
    uint8_t header_have;
    uint8_t header_first;
    bool complete; /* `message` is whole; cleared by the next bpi_chunk_read */
};

void bpi_chunk_reader_done(struct bpi_chunk_reader *reader);
/* Consumes bytes of `input`; returns an enum bpi_chunk_event (>= 0), or BP_E_SIZE when the message
 * would exceed `message_max` bytes, or BP_E_NO_MEMORY. After BPI_CHUNK_MESSAGE `message` holds the
 * payload until the next call, which clears it. */
BP_MUST_CHECK int
bpi_chunk_read(struct bpi_chunk_reader *reader, struct bpi_buffer *input, size_t message_max);

/* Appends `payload` framed as one message. Errors: BP_E_NO_MEMORY, BP_E_USAGE for an empty payload
 * (its frame would be a NOOP); `out` stays as it was. */
BP_MUST_CHECK int bpi_chunk_write(struct bpi_buffer *out, const void *payload, size_t size);

/* Framing in place: begin, append the payload to `out`, end. A payload above 65,535 bytes is split
 * by moving it. Between the two nothing may be consumed from `out`. bpi_chunk_abort() takes back
 * everything since begin, and has to be called where bpi_chunk_end() fails. */
BP_MUST_CHECK int bpi_chunk_begin(struct bpi_buffer *out, size_t *ret_mark);
BP_MUST_CHECK int bpi_chunk_end(struct bpi_buffer *out, size_t mark);
void bpi_chunk_abort(struct bpi_buffer *out, size_t mark);

#endif
