/* Writes values for people, as Cypher would show or take them. See <boltpool/value.h>.
 *
 *     null  true  1  1.0  1.0E10  NaN  "text\n"  bytes(00FF)  [1, 2]  {name: "Ann", `odd key`: 1}
 *     (:Person {...})  [:KNOWS {...}]  (:A)-[:KNOWS]->(:B)<-[:LIKES]-(:C)
 *     1980-02-29  12:00:00.5+01:00  1970-01-01T00:00:00Z  1970-01-01T00:00:00Z[Europe/Paris]  P1M-2DT3.000000004S
 *     point({srid: 7203, x: 1.0, y: 2.0})  vector([1, 2], 2, INTEGER8)  00010203-0405-...  <name of an unsupported type>
 *
 * Numbers, dates and durations look as Neo4j's toString() makes them. A date-time in a named zone is shown in UTC with
 * the name behind it, because the offset there needs a time zone database; one of an old server, of which only the
 * local time is known, has no offset at all.
 *
 * All output goes through struct out, character by character of UTF-8: what doesn't fit any more ends the text, and is
 * counted on. Bytes that are no UTF-8 come out as U+FFFD. Recursion ends at DEPTH_MAX.
 */
#include "client/value.h"
#include "client/view.h"

#include <boltpool/error.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Containers in each other that are shown; the next one is "...". Some 500 bytes of stack each: doubled, a thread with
 * a stack of 64 KiB could no longer format. The header names it. */
#define DEPTH_MAX 64

/* A path may go through the same node again and again: the longest text for a message of n bytes has some n * n
 * characters. What is longer than any one string can be takes seconds and helps nobody. */
#define TOTAL_MAX ((uint64_t)INT32_MAX)

#define DAY_S     86400
#define SECOND_NS 1000000000

struct out {
    char *text;
    size_t size;
    size_t used;    /* < size, where there is any */
    uint64_t total; /* what the whole text takes */
    bool is_full;   /* something didn't fit: nothing behind it may be written */
    bool is_in_path;
};

/* ---- output ---- */

/* One character of `size` bytes, or nothing of it. */
static void put_char(struct out *out, const void *bytes, size_t size)
{
    out->total += size;
    if (out->is_full || size >= out->size - out->used) {
        out->is_full = true;
        return;
    }
    memcpy(out->text + out->used, bytes, size);
    out->used += size;
}

/* ASCII, which may be cut anywhere. */
static void put_ascii(struct out *out, const char *text, size_t size)
{
    out->total += size;
    if (out->is_full) {
        return;
    }
    size_t room = out->size - out->used - 1;
    out->is_full = size > room;
    if (out->is_full) {
        size = room;
    }
    memcpy(out->text + out->used, text, size);
    out->used += size;
}

static void put(struct out *out, const char *ascii)
{
    put_ascii(out, ascii, strlen(ascii));
}

/* At most 127 characters. */
static BP_PRINTF(2, 3) void put_format(struct out *out, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size > 0) {
        put_ascii(out, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}

/* How many bytes the character at `text` has; 0 where there is none in valid UTF-8. */
static size_t char_size(const uint8_t *text, size_t size)
{
    for (size_t n = 1; n <= 4 && n <= size; n++) {
        if (bpi_utf8_valid(text, n)) {
            return n;
        }
    }
    return 0;
}

/* What a backslash and a letter stand for; 0 for none. */
static char escape_of(uint8_t byte)
{
    switch (byte) {
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    default:
        return 0;
    }
}

/* ASCII that needs an escape or another care: control characters, and `quote` with its own `escape`. */
static void put_special(struct out *out, uint8_t byte, char quote)
{
    char letter = escape_of(byte);
    char pair[2] = {'\\', letter};
    if (byte < 0x20 || byte == 0x7f) {
        if (letter != 0 && quote == '"') {
            put_ascii(out, pair, 2);
        } else {
            put_format(out, "\\u%04X", byte);
        }
        return;
    }
    /* Between backticks a backtick is doubled; a backslash is one of two only between quotes. */
    pair[0] = quote == '`' ? '`' : '\\';
    pair[1] = (char)byte;
    put_ascii(out, pair, 2);
}

static bool is_special(uint8_t byte, char quote)
{
    return byte < 0x20 || byte == 0x7f || byte == (uint8_t)quote || (byte == '\\' && quote == '"');
}

/* A text that a peer sent; `quote` is '"', '`', or 0 for bare text (control characters escaped). */
static void put_text(struct out *out, const struct bp_text *text, char quote)
{
    static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};
    const uint8_t *bytes = (const uint8_t *)text->data;
    size_t i = 0;
    if (quote != 0) {
        put_ascii(out, &quote, 1);
    }
    while (i < text->size) {
        size_t run = i;
        while (run < text->size && bytes[run] < 0x80 && !is_special(bytes[run], quote)) {
            run++;
        }
        if (run > i) {
            put_ascii(out, text->data + i, run - i);
            i = run;
            continue;
        }
        if (bytes[i] < 0x80) {
            put_special(out, bytes[i], quote);
            i++;
            continue;
        }
        size_t size = char_size(bytes + i, text->size - i);
        put_char(out, size > 0 ? bytes + i : replacement, size > 0 ? size : sizeof(replacement));
        i += size > 0 ? size : 1;
    }
    if (quote != 0) {
        put_ascii(out, &quote, 1);
    }
}

/* A key, label or type: bare where Cypher would take it so. Letters beyond ASCII are quoted, too, which Cypher
 * takes always. */
static void put_name(struct out *out, const struct bp_text *name)
{
    bool is_bare = name->size > 0;
    for (size_t i = 0; i < name->size && is_bare; i++) {
        char c = name->data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        is_bare = is_letter || (i > 0 && c >= '0' && c <= '9');
    }
    if (is_bare) {
        put_ascii(out, name->data, name->size);
    } else {
        put_text(out, name, '`');
    }
}

/* ---- numbers ---- */

/* A finite number's decimal digits without zeros at the end, and its exponent. */
struct digits {
    char text[20];
    int count;
    int exponent; /* of the first digit */
};

/* Takes "d.ddde[+-]xx" apart; the point is the locale's. */
static void
digits_of(double value, int precision, struct digits *ret_digits, char *text, size_t size)
{
    (void)snprintf(text, size, "%.*e", precision - 1, value);
    const char *at = text;
    int count = 0;
    for (; *at != '\0' && *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9' && count < (int)sizeof(ret_digits->text)) {
            ret_digits->text[count++] = *at;
        }
    }
    while (count > 1 && ret_digits->text[count - 1] == '0') {
        count--;
    }
    ret_digits->count = count;
    ret_digits->exponent = *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
}

/* The fewest digits that read back as the same number. 15 (6) of them keep each decimal number, so that fewer need to be
 * tried only where a double (float) is too small to have all its bits. */
static void shortest(double value, bool is_single, struct digits *ret_digits)
{
    char text[64];
    int most = is_single ? 9 : 17;
    double smallest = is_single ? 1.17549435082228750797e-38 : 2.2250738585072014e-308;
    int least = fabs(value) < smallest ? 1 : most - (is_single ? 3 : 2);
    for (int precision = least; precision <= most; precision++) {
        digits_of(value, precision, ret_digits, text, sizeof(text));
        /* The same locale that has written the text reads it. */
        double again = is_single ? (double)strtof(text, NULL) : strtod(text, NULL);
        if (again == value) {
            return;
        }
    }
}

/* As Java and with it Neo4j: digits around a point from 0.001 up to 10000000, an exponent elsewhere. */
static void put_real(struct out *out, double value, bool is_single)
{
    if (isnan(value)) {
        put(out, "NaN");
        return;
    }
    if (signbit(value)) {
        put(out, "-");
        value = -value;
    }
    if (isinf(value)) {
        put(out, "Infinity");
        return;
    }
    struct digits digits;
    shortest(value, is_single, &digits);
    const char *text = digits.text;
    int count = digits.count;
    int before = digits.exponent + 1; /* digits before the point */
    bool has_exponent = value != 0.0 && (digits.exponent < -3 || digits.exponent >= 7);
    if (has_exponent) {
        before = 1;
    }
    if (before <= 0) {
        put_ascii(out, "0.000", (size_t)(2 - before));
        put_ascii(out, text, (size_t)count);
    } else if (before >= count) {
        put_ascii(out, text, (size_t)count);
        put_ascii(out, "000000", (size_t)(before - count));
        put(out, ".0");
    } else {
        put_ascii(out, text, (size_t)before);
        put(out, ".");
        put_ascii(out, text + before, (size_t)(count - before));
    }
    if (has_exponent) {
        put_format(out, "E%d", digits.exponent);
    }
}

static void put_hex(struct out *out, const uint8_t *bytes, size_t size, bool is_upper)
{
    const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        put_ascii(out, pair, 2);
    }
}

/* ---- temporal values ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    return a % b + (a % b < 0 ? b : 0);
}

/* Days since 1970-01-01 in the calendar that goes back before its time, as ISO 8601 has it; any number of days.
 * https://howardhinnant.github.io/date_algorithms.html#civil_from_days, with the division first, against overflow. */
static void put_date(struct out *out, int64_t days)
{
    const int64_t era_days = 146097;
    /* 719468 days lie between 0000-03-01 and 1970-01-01. */
    int64_t era = floor_div(days, era_days) + 719468 / era_days;
    int64_t day_of_era = floor_mod(days, era_days) + 719468 % era_days;
    if (day_of_era >= era_days) {
        day_of_era -= era_days;
        era++;
    }
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* March is 0 */
    int day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    int month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    int64_t year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
    put(out, year > 9999 ? "+" : year < 0 ? "-" : "");
    put_format(out, "%04lld-%02d-%02d", (long long)(year < 0 ? -year : year), month, day);
}

/* ".5" of 500000000; nothing of 0. */
static void put_fraction(struct out *out, int64_t nanoseconds)
{
    if (nanoseconds == 0) {
        return;
    }
    char text[24];
    int size = snprintf(text, sizeof(text), ".%09d", (int)floor_mod(nanoseconds, SECOND_NS));
    while (size > 0 && text[size - 1] == '0') {
        size--;
    }
    put_ascii(out, text, (size_t)size);
}

/* A time of day. What isn't one (a caller's own value) is shown as it is. */
static void put_clock(struct out *out, int64_t seconds, int64_t nanoseconds)
{
    long long hours = (long long)floor_div(seconds, 3600);
    int rest = (int)floor_mod(seconds, 3600);
    put_format(out, "%02lld:%02d:%02d", hours, rest / 60, rest % 60);
    put_fraction(out, nanoseconds);
}

static void put_offset(struct out *out, int32_t offset_s)
{
    if (offset_s == 0) {
        put(out, "Z");
        return;
    }
    long long rest = offset_s < 0 ? -(long long)offset_s : offset_s;
    put_format(out, "%c%02lld:%02lld", offset_s < 0 ? '-' : '+', rest / 3600, rest / 60 % 60);
    if (rest % 60 != 0) {
        put_format(out, ":%02lld", rest % 60);
    }
}

static void put_time(struct out *out, const struct bp_time *time)
{
    put_clock(out, floor_div(time->nanoseconds, SECOND_NS),
              floor_mod(time->nanoseconds, SECOND_NS));
}

static void put_date_time(struct out *out, const struct bp_date_time *value, bool has_offset)
{
    bool has_zone = has_offset && value->zone.data != NULL;
    bool is_shifted = has_offset && !has_zone;
    int64_t days = floor_div(value->seconds, DAY_S);
    int64_t seconds = floor_mod(value->seconds, DAY_S) + (is_shifted ? value->offset_s : 0);
    put_date(out, days + floor_div(seconds, DAY_S));
    put(out, "T");
    put_clock(out, floor_mod(seconds, DAY_S), value->nanoseconds);
    if (is_shifted) {
        put_offset(out, value->offset_s);
    } else if (has_zone) {
        put(out, value->is_local ? "[" : "Z[");
        put_text(out, &value->zone, 0);
        put(out, "]");
    }
}

static void put_part(struct out *out, int64_t number, const char *unit)
{
    if (number != 0) {
        put_format(out, "%lld%s", (long long)number, unit);
    }
}

/* The seconds of a duration: a negative one with nanoseconds counts them towards zero, "-0.5" of -1 and 500000000. */
static void put_duration_seconds(struct out *out, int64_t seconds, int64_t nanoseconds)
{
    /* A caller's own value may have more of them than a second has, or fewer than none. */
    int64_t carry = floor_div(nanoseconds, SECOND_NS);
    nanoseconds = floor_mod(nanoseconds, SECOND_NS);
    seconds = __builtin_add_overflow(seconds, carry, &carry) ? seconds : carry;
    bool is_negative = seconds < 0;
    if (is_negative && nanoseconds != 0) {
        seconds++;
        nanoseconds = SECOND_NS - nanoseconds;
    }
    put(out, "T");
    put_part(out, seconds / 3600, "H");
    put_part(out, seconds / 60 % 60, "M");
    int64_t rest = seconds % 60;
    if (rest == 0 && nanoseconds == 0) {
        return;
    }
    put_format(out, "%s%d", is_negative ? "-" : "", (int)(rest < 0 ? -rest : rest));
    put_fraction(out, nanoseconds);
    put(out, "S");
}

static void put_duration(struct out *out, const struct bp_duration *duration)
{
    put(out, "P");
    put_part(out, duration->months / 12, "Y");
    put_part(out, duration->months % 12, "M");
    put_part(out, duration->days, "D");
    if (duration->seconds != 0 || duration->nanoseconds != 0) {
        put_duration_seconds(out, duration->seconds, duration->nanoseconds);
    } else if (duration->months == 0 && duration->days == 0) {
        put(out, "T0S");
    }
}

/* ---- other scalars ---- */

static void put_point(struct out *out, const struct bp_point *point)
{
    put_format(out, "point({srid: %d, x: ", (int)point->srid);
    put_real(out, point->x, false);
    put(out, ", y: ");
    put_real(out, point->y, false);
    if (point->dimensions == 3) {
        put(out, ", z: ");
        put_real(out, point->z, false);
    }
    put(out, "})");
}

static int put_vector(struct out *out, const struct bp_value *value)
{
    static const char *const names[] = {
        [BP_VECTOR_INT8] = "INTEGER8",   [BP_VECTOR_INT16] = "INTEGER16",
        [BP_VECTOR_INT32] = "INTEGER32", [BP_VECTOR_INT64] = "INTEGER64",
        [BP_VECTOR_FLOAT32] = "FLOAT32", [BP_VECTOR_FLOAT64] = "FLOAT64",
    };
    int type = bp_value_vector_type(value);
    if (type < 0 || type >= (int)(sizeof(names) / sizeof(names[0]))) {
        return BP_E_TYPE;
    }
    put(out, "vector([");
    for (uint32_t i = 0; i < value->count; i++) {
        int64_t integer = 0;
        double real = 0.0;
        bool is_real = type == BP_VECTOR_FLOAT32 || type == BP_VECTOR_FLOAT64;
        int error = is_real ? bp_value_vector_float(value, i, &real)
                            : bp_value_vector_int(value, i, &integer);
        if (error != 0) {
            return error;
        }
        put(out, i > 0 ? ", " : "");
        if (is_real) {
            put_real(out, real, type == BP_VECTOR_FLOAT32);
        } else {
            put_format(out, "%lld", (long long)integer);
        }
    }
    put_format(out, "], %u, %s)", (unsigned)value->count, names[type]);
    return 0;
}

static int put_uuid(struct out *out, const struct bp_text *uuid)
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    const uint8_t *at = (const uint8_t *)uuid->data;
    if (uuid->size != 16) {
        return BP_E_TYPE;
    }
    for (size_t i = 0; i < sizeof(groups); i++) {
        put(out, i > 0 ? "-" : "");
        put_hex(out, at, groups[i], false);
        at += groups[i];
    }
    return 0;
}

/* Any value that has nothing inside. */
static int put_scalar(struct out *out, const struct bp_value *value)
{
    switch ((unsigned)value->type) {
    case BP_TYPE_NULL:
        put(out, "null");
        return 0;
    case BP_TYPE_BOOL:
        put(out, value->as.boolean != 0 ? "true" : "false");
        return 0;
    case BP_TYPE_INT:
        put_format(out, "%lld", (long long)value->as.integer);
        return 0;
    case BP_TYPE_FLOAT:
        put_real(out, value->as.real, false);
        return 0;
    case BP_TYPE_STRING:
        put_text(out, &value->as.text, '"');
        return 0;
    case BP_TYPE_BYTES:
        put(out, "bytes(");
        put_hex(out, (const uint8_t *)value->as.text.data, value->as.text.size, true);
        put(out, ")");
        return 0;
    case BP_TYPE_DATE:
        put_date(out, value->as.date.days);
        return 0;
    case BP_TYPE_TIME:
        put_time(out, &value->as.time);
        put_offset(out, value->as.time.offset_s);
        return 0;
    case BP_TYPE_LOCAL_TIME:
        put_time(out, &value->as.time);
        return 0;
    case BP_TYPE_DATE_TIME:
    case BP_TYPE_LOCAL_DATE_TIME:
        put_date_time(out, &value->as.date_time, value->type == BP_TYPE_DATE_TIME);
        return 0;
    case BP_TYPE_DURATION:
        put_duration(out, &value->as.duration);
        return 0;
    case BP_TYPE_POINT:
        put_point(out, &value->as.point);
        return 0;
    case BP_TYPE_VECTOR:
        return put_vector(out, value);
    case BP_TYPE_UUID:
        return put_uuid(out, &value->as.text);
    case BP_TYPE_UNSUPPORTED:
        put(out, "<");
        put_text(out, &value->as.text, 0);
        put(out, ">");
        return 0;
    default:
        return BP_E_TYPE;
    }
}

/* ---- values with others inside ---- */

static int put_value(struct out *out, const struct bp_value *value, int depth);

static int put_list(struct out *out, const struct bp_value *list, int depth)
{
    struct bp_iter iter;
    int status = bp_iter_init(&iter, list);
    if (status != 0) {
        return status;
    }
    put(out, list->type == BP_TYPE_MAP ? "{" : "[");
    for (bool is_first = true;; is_first = false) {
        struct bp_text key;
        struct bp_value item;
        status = bp_iter_next(&iter, &key, &item);
        if (status != 1) {
            break;
        }
        put(out, is_first ? "" : ", ");
        if (list->type == BP_TYPE_MAP) {
            put_name(out, &key);
            put(out, ": ");
        }
        status = put_value(out, &item, depth);
        if (status != 0) {
            break;
        }
    }
    put(out, list->type == BP_TYPE_MAP ? "}" : "]");
    return status;
}

/* The properties of a node or relationship, which are left out where there are none. */
static int
put_properties(struct out *out, const struct bp_value *properties, bool is_first, int depth)
{
    if (properties->count == 0) {
        return 0;
    }
    put(out, is_first ? "" : " ");
    return put_value(out, properties, depth);
}

static int put_node(struct out *out, const struct bp_value *value, int depth)
{
    struct bp_node node;
    struct bp_iter iter;
    int status = bp_value_node(value, &node);
    if (status == 0) {
        status = bp_iter_init(&iter, &node.labels);
    }
    if (status != 0) {
        return status;
    }
    put(out, "(");
    struct bp_value label;
    while ((status = bp_iter_next(&iter, NULL, &label)) == 1) {
        if (label.type != BP_TYPE_STRING) {
            return BP_E_TYPE;
        }
        put(out, ":");
        put_name(out, &label.as.text);
    }
    if (status == 0) {
        status = put_properties(out, &node.properties, node.labels.count == 0, depth);
    }
    put(out, ")");
    return status;
}

static int put_relationship(struct out *out, const struct bp_value *value, int depth)
{
    struct bp_relationship relationship;
    int error = bp_value_relationship(value, &relationship);
    if (error != 0) {
        return error;
    }
    put(out, "[:");
    put_name(out, &relationship.type);
    error = put_properties(out, &relationship.properties, false, depth);
    put(out, "]");
    return error;
}

/* A node, and the arrow to the next one. */
static int put_step(struct out *out, const struct bp_path_step *step, int depth)
{
    int error = put_value(out, &step->node, depth);
    if (error != 0 || step->relationship.type == BP_TYPE_NULL) {
        return error;
    }
    put(out, step->is_reversed ? "<-" : "-");
    error = put_value(out, &step->relationship, depth);
    put(out, step->is_reversed ? "-" : "->");
    return error;
}

static int put_path(struct out *out, const struct bp_value *value, int depth)
{
    struct bpi_path path;
    struct bp_path_step step;
    int status = bpi_path_init(&path, value);
    if (status != 0) {
        return status;
    }
    /* Each level of paths that go through a node again and again would be a power more of the text; the database has no
     * such values. */
    if (out->is_in_path) {
        put(out, "...");
        return 0;
    }
    out->is_in_path = true;
    while ((status = bpi_path_next(&path, true, &step)) == 1) {
        status = put_step(out, &step, depth);
        if (status != 0) {
            break;
        }
    }
    out->is_in_path = false;
    return status;
}

/* `depth` containers are open around it. */
static int put_value(struct out *out, const struct bp_value *value, int depth)
{
    int (*put_inside)(struct out *, const struct bp_value *, int);
    switch ((unsigned)value->type) {
    case BP_TYPE_LIST:
    case BP_TYPE_MAP:
        put_inside = put_list;
        break;
    case BP_TYPE_NODE:
        put_inside = put_node;
        break;
    case BP_TYPE_RELATIONSHIP:
        put_inside = put_relationship;
        break;
    case BP_TYPE_PATH:
        put_inside = put_path;
        break;
    default:
        return put_scalar(out, value);
    }
    if (out->total > TOTAL_MAX) {
        return BP_E_SIZE;
    }
    if (depth >= DEPTH_MAX) {
        put(out, "...");
        return 0;
    }
    return put_inside(out, value, depth + 1);
}

int64_t bp_value_format(const struct bp_value *value, char *text, size_t size)
{
    struct out out = {.text = text, .size = size, .is_full = size == 0};
    int error = put_value(&out, value, 0);
    if (size > 0) {
        text[out.used] = '\0';
    }
    if (error == 0 && out.total > TOTAL_MAX) {
        error = BP_E_SIZE;
    }
    return error != 0 ? error : (int64_t)out.total;
}
