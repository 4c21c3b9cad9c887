/* Input: a byte that chooses a version and where to cut, then PackStream. Shown: a value that is read
 * can be written and reads the same again, every cut of it is truncated, limits hold, and a value
 * that a version accepts is a value.
 */
#include "bolt/packstream.h"

#include "bolt/value.h"

#include <boltpool/error.h>

#include "tests/fuzz/fuzz.h"

static void write_item(struct bpi_pack_writer *writer, const struct bpi_pack_item *item)
{
    switch (item->type) {
    case BPI_PACK_NULL:
        bpi_pack_null(writer);
        break;
    case BPI_PACK_BOOL:
        bpi_pack_bool(writer, item->boolean);
        break;
    case BPI_PACK_INT:
        bpi_pack_int(writer, item->integer);
        break;
    case BPI_PACK_FLOAT:
        bpi_pack_float(writer, item->real);
        break;
    case BPI_PACK_BYTES:
        bpi_pack_bytes(writer, item->data, item->size);
        break;
    case BPI_PACK_STRING:
        bpi_pack_string(writer, (const char *)item->data, item->size);
        break;
    case BPI_PACK_LIST:
        bpi_pack_list(writer, item->count);
        break;
    case BPI_PACK_MAP:
        bpi_pack_map(writer, item->count);
        break;
    case BPI_PACK_STRUCT:
        bpi_pack_struct(writer, item->tag, item->count);
        break;
    case BPI_PACK_UUID:
        bpi_pack_uuid(writer, item->data);
        break;
    default:
        FUZZ_CHECK(false);
    }
}

static int write_visited(const struct bpi_pack_item *item, void *context)
{
    write_item(context, item);
    return 0;
}

/* Writes one value again and returns where it ended. */
static const uint8_t *rewrite(const uint8_t *data, size_t size, struct bpi_buffer *out)
{
    struct bpi_pack_reader reader;
    struct bpi_pack_writer writer;
    bpi_pack_reader_init(&reader, data, size);
    bpi_pack_writer_init(&writer, out);
    int error = bpi_pack_walk(&reader, &bpi_pack_limits_open, write_visited, &writer);
    FUZZ_CHECK(error == 0 && writer.status == 0);
    return reader.at;
}

static void check_rewriting(const uint8_t *data, size_t size)
{
    struct bpi_buffer first = {0};
    struct bpi_buffer second = {0};
    const uint8_t *end = rewrite(data, size, &first);
    FUZZ_CHECK(end == data + size);
    FUZZ_CHECK(bpi_buffer_size(&first) <= size);
    end = rewrite(bpi_buffer_head(&first), bpi_buffer_size(&first), &second);
    FUZZ_CHECK(end == first.data + first.end);
    FUZZ_CHECK(fuzz_same(&first, &second));
    bpi_buffer_done(&first);
    bpi_buffer_done(&second);
}

static void check_cut(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, copy, size);
    int error = bpi_pack_skip(&reader, &bpi_pack_limits_open);
    FUZZ_CHECK(error == BP_E_TRUNCATED && reader.at == copy);
    free(copy);
}

static void check_map(const uint8_t *data, size_t size)
{
    const uint8_t *value = NULL;
    size_t value_size = 0;
    int found = bpi_pack_map_find(data, size, "a", &value, &value_size);
    FUZZ_CHECK(found == 0 || found == 1 || found == BP_E_TYPE || found == BP_E_PROTOCOL);
    if (found == 1) {
        FUZZ_CHECK(value > data && value_size > 0 && value_size < size);
        FUZZ_CHECK((size_t)(value - data) <= size - value_size);
    }
}

static void check_login_limits(const uint8_t *data, size_t size)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, data, size);
    int error = bpi_pack_skip(&reader, &bpi_pack_limits_login);
    FUZZ_CHECK(error == 0 || error == BP_E_DEPTH || error == BP_E_ITEMS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bpi_bolt_version versions[] = {BPI_BOLT(4, 1), BPI_BOLT(4, 4), BPI_BOLT(5, 8),
                                                BPI_BOLT(6, 1)};
    uint8_t choice = fuzz_byte(&data, &size);
    uint8_t *copy = fuzz_copy(data, size);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, copy, size);
    const uint8_t *value;
    size_t value_size;
    int error = bpi_pack_take(&reader, &bpi_pack_limits_open, &value, &value_size);
    if (error == 0) {
        FUZZ_CHECK(value == copy && value_size > 0 && value_size <= size);
        FUZZ_CHECK(reader.at == copy + value_size);
        check_rewriting(value, value_size);
        check_cut(value, choice % value_size);
        check_map(value, value_size);
        check_login_limits(value, value_size);
    } else {
        FUZZ_CHECK(reader.at == copy);
    }
    struct bpi_pack_reader checked;
    bpi_pack_reader_init(&checked, copy, size);
    int check = bpi_bolt_value_check(&checked, versions[choice & 3], (choice & 4) != 0,
                                     &bpi_pack_limits_open);
    FUZZ_CHECK(check != 0 || (error == 0 && checked.at == reader.at));
    FUZZ_CHECK(check == 0 || checked.at == copy);
    (void)bpi_utf8_valid(copy, size);
    free(copy);
    return 0;
}
