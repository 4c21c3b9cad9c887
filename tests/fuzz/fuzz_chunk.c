/* Input: a byte for the message limit, a byte for the size of pieces, then a stream of chunks. Shown:
 * pieces give the same events and messages as the whole, the scanner finds the same borders as the
 * reader, and a message that is framed again reads as itself.
 */
#include "bolt/chunk.h"

#include <boltpool/error.h>

#include "tests/fuzz/fuzz.h"

/* One byte for each event, each message's payload behind its own. */
static void read_pieces(
    const uint8_t *data, size_t size, size_t piece, size_t message_max, struct bpi_buffer *log)
{
    struct bpi_chunk_reader reader = {0};
    struct bpi_buffer in = {0};
    int event = BPI_CHUNK_MORE;
    for (size_t at = 0; at < size && event >= 0;) {
        size_t part = size - at < piece ? size - at : piece;
        fuzz_append(&in, data + at, part);
        at += part;
        while ((event = bpi_chunk_read(&reader, &in, message_max)) > 0) {
            fuzz_append(log, event == BPI_CHUNK_MESSAGE ? "M" : "N", 1);
            if (event == BPI_CHUNK_MESSAGE) {
                size_t have = bpi_buffer_size(&reader.message);
                FUZZ_CHECK(have > 0 && have <= message_max && reader.complete);
                fuzz_append(log, bpi_buffer_head(&reader.message), have);
            }
        }
        FUZZ_CHECK(event == BPI_CHUNK_MORE || event == BP_E_SIZE);
        FUZZ_CHECK(event != BPI_CHUNK_MORE || bpi_buffer_size(&in) == 0);
    }
    if (event < 0) {
        fuzz_append(log, "E", 1);
    }
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&in);
}

static void check_framing(const struct bpi_buffer *message)
{
    struct bpi_buffer framed = {0};
    struct bpi_chunk_reader reader = {0};
    size_t size = bpi_buffer_size(message);
    int error = bpi_chunk_write(&framed, bpi_buffer_head(message), size);
    FUZZ_CHECK(error == 0);
    int event = bpi_chunk_read(&reader, &framed, size);
    FUZZ_CHECK(event == BPI_CHUNK_MESSAGE && bpi_buffer_size(&framed) == 0);
    FUZZ_CHECK(fuzz_same(&reader.message, message));
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&framed);
}

/* Scanner and reader side by side: what the scanner passed at each border is what the reader needs. */
static void compare_scanner(const uint8_t *data, size_t size, size_t piece)
{
    struct bpi_chunk_scanner scanner = {0};
    struct bpi_chunk_reader reader = {0};
    struct bpi_buffer in = {0};
    for (size_t at = 0; at < size;) {
        size_t part = size - at < piece ? size - at : piece;
        size_t used;
        enum bpi_chunk_event event = bpi_chunk_scan(&scanner, data + at, part, &used);
        FUZZ_CHECK(used > 0 && used <= part);
        FUZZ_CHECK(event != BPI_CHUNK_MORE || used == part);
        FUZZ_CHECK((event != BPI_CHUNK_MORE) == bpi_chunk_scan_at_border(&scanner));
        fuzz_append(&in, data + at, used);
        at += used;
        int read = bpi_chunk_read(&reader, &in, SIZE_MAX);
        FUZZ_CHECK(read == (int)event && bpi_buffer_size(&in) == 0);
        if (event == BPI_CHUNK_MESSAGE) {
            const struct bpi_buffer *message = &reader.message;
            FUZZ_CHECK(scanner.message_bytes == bpi_buffer_size(message));
            FUZZ_CHECK(memcmp(scanner.head, bpi_buffer_head(message), scanner.head_have) == 0);
            check_framing(message);
        }
    }
    bpi_chunk_reader_done(&reader);
    bpi_buffer_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t message_max = (size_t)fuzz_byte(&data, &size) * 16;
    size_t piece = (size_t)fuzz_byte(&data, &size) + 1;
    struct bpi_buffer whole = {0};
    struct bpi_buffer pieces = {0};
    uint8_t *copy = fuzz_copy(data, size);
    read_pieces(copy, size, size + 1, message_max, &whole);
    read_pieces(copy, size, piece, message_max, &pieces);
    FUZZ_CHECK(fuzz_same(&whole, &pieces));
    compare_scanner(copy, size, piece);
    free(copy);
    bpi_buffer_done(&whole);
    bpi_buffer_done(&pieces);
    return 0;
}
