/* A row that outlives its message: header, values and all their bytes in one allocation. See <boltpool/value.h>.
 *
 *     | struct bp_row | values[size] | bytes of values[0], values[1], ... |
 *
 * A value has at most one run of bytes that it points at (bpi_value_bytes()), and what lies inside a view has no
 * pointers: a deep copy is a flat one.
 */
#include "client/view.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

struct bp_row {
    size_t size;
    struct bp_value values[];
};

/* How many bytes a copy of the values takes. */
static int measure(const struct bp_value *values, size_t count, size_t *ret_size)
{
    size_t total;
    if (__builtin_mul_overflow(count, sizeof(struct bp_value), &total) ||
        __builtin_add_overflow(total, sizeof(struct bp_row), &total)) {
        return BP_E_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size;
        (void)bpi_value_bytes(&values[i], &size);
        if (__builtin_add_overflow(total, size, &total)) {
            return BP_E_NO_MEMORY;
        }
    }
    *ret_size = total;
    return 0;
}

/* Lets the value point at `bytes` instead. */
static void set_bytes(struct bp_value *value, const uint8_t *bytes)
{
    switch ((unsigned)value->type) {
    case BP_TYPE_STRING:
    case BP_TYPE_BYTES:
    case BP_TYPE_UUID:
    case BP_TYPE_UNSUPPORTED:
        value->as.text.data = (const char *)bytes;
        break;
    case BP_TYPE_DATE_TIME:
        value->as.date_time.zone.data = (const char *)bytes;
        break;
    default:
        value->as.inside.data = bytes;
        break;
    }
}

int bp_row_copy(const struct bp_value *values, size_t count, struct bp_row **ret_row)
{
    size_t size;
    int error = measure(values, count, &size);
    if (error != 0) {
        return error;
    }
    struct bp_row *row = malloc(size);
    if (row == NULL) {
        return BP_E_NO_MEMORY;
    }
    row->size = count;
    /* Behind the last value; where there is nothing to copy it is still an address, as empty texts have one. */
    uint8_t *bytes = (uint8_t *)&row->values[count];
    for (size_t i = 0; i < count; i++) {
        row->values[i] = values[i];
        const uint8_t *from = bpi_value_bytes(&values[i], &size);
        if (from == NULL) {
            continue;
        }
        memcpy(bytes, from, size);
        set_bytes(&row->values[i], bytes);
        bytes += size;
    }
    *ret_row = row;
    return 0;
}

const struct bp_value *bp_row_values(const struct bp_row *row)
{
    return row->values;
}

size_t bp_row_size(const struct bp_row *row)
{
    return row->size;
}

void bp_row_free(struct bp_row *row)
{
    free(row);
}
