/* See message.h. One table lists the tags: which version brought them and what their fields are.
 * Maps are read by walking their pairs once against a short list of known keys; a known key that
 * comes twice is an error, since real servers refuse it.
 */
#include "bolt/message.h"

#include "bolt/chunk.h"

#include <boltpool/error.h>

#include <string.h>
#include <strings.h>

struct tag_row {
    uint8_t tag;
    bool request;
    bpi_bolt_version first;
    const char *name;
    const char *fields; /* a letter each: m map, l list, s string, i integer, d ROUTE's database */
};

static const struct tag_row tags[] = {
    {BPI_BOLT_HELLO, true, 0, "HELLO", "m"},
    {BPI_BOLT_GOODBYE, true, 0, "GOODBYE", ""},
    {BPI_BOLT_RESET, true, 0, "RESET", ""},
    {BPI_BOLT_RUN, true, 0, "RUN", "smm"},
    {BPI_BOLT_BEGIN, true, 0, "BEGIN", "m"},
    {BPI_BOLT_COMMIT, true, 0, "COMMIT", ""},
    {BPI_BOLT_ROLLBACK, true, 0, "ROLLBACK", ""},
    {BPI_BOLT_DISCARD, true, 0, "DISCARD", "m"},
    {BPI_BOLT_PULL, true, 0, "PULL", "m"},
    {BPI_BOLT_TELEMETRY, true, BPI_BOLT(5, 4), "TELEMETRY", "i"},
    {BPI_BOLT_ROUTE, true, BPI_BOLT(4, 3), "ROUTE", "mld"},
    {BPI_BOLT_LOGON, true, BPI_BOLT(5, 1), "LOGON", "m"},
    {BPI_BOLT_LOGOFF, true, BPI_BOLT(5, 1), "LOGOFF", ""},
    {BPI_BOLT_SUCCESS, false, 0, "SUCCESS", "m"},
    {BPI_BOLT_RECORD, false, 0, "RECORD", "l"},
    {BPI_BOLT_IGNORED, false, 0, "IGNORED", ""},
    {BPI_BOLT_FAILURE, false, 0, "FAILURE", "m"},
};

static const struct tag_row *tag_find(uint8_t tag)
{
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (tags[i].tag == tag) {
            return &tags[i];
        }
    }
    return NULL;
}

const char *bpi_bolt_tag_name(uint8_t tag)
{
    const struct tag_row *row = tag_find(tag);
    return row == NULL ? "unknown" : row->name;
}

bool bpi_bolt_tag_is_request(uint8_t tag, bpi_bolt_version version)
{
    const struct tag_row *row = tag_find(tag);
    return row != NULL && row->request && version >= row->first;
}

bool bpi_bolt_text_is(struct bpi_bolt_text text, const char *word)
{
    return text.data != NULL && text.size == strlen(word) &&
           memcmp(text.data, word, text.size) == 0;
}

/* Single values of maps */

struct bpi_bolt_span bpi_bolt_map_get(struct bpi_bolt_span map, const char *key)
{
    struct bpi_bolt_span value = {0};
    if (map.data == NULL ||
        bpi_pack_map_find(map.data, map.size, key, &value.data, &value.size) != 1) {
        return (struct bpi_bolt_span){0};
    }
    return value;
}

struct bpi_bolt_text bpi_bolt_map_text(struct bpi_bolt_span map, const char *key)
{
    struct bpi_bolt_span value = bpi_bolt_map_get(map, key);
    struct bpi_pack_reader reader;
    struct bpi_bolt_text text;
    if (value.data == NULL) {
        return (struct bpi_bolt_text){0};
    }
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next_string(&reader, &text.data, &text.size) == 0 ? text
                                                                      : (struct bpi_bolt_text){0};
}

bool bpi_bolt_map_int(struct bpi_bolt_span map, const char *key, int64_t *ret_number)
{
    struct bpi_bolt_span value = bpi_bolt_map_get(map, key);
    struct bpi_pack_reader reader;
    if (value.data == NULL) {
        return false;
    }
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next_int(&reader, ret_number) == 0;
}

bool bpi_bolt_map_true(struct bpi_bolt_span map, const char *key)
{
    struct bpi_bolt_span value = bpi_bolt_map_get(map, key);
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    if (value.data == NULL) {
        return false;
    }
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next(&reader, &item) == 0 && item.type == BPI_PACK_BOOL && item.boolean;
}

/* Reading fields */

/* The reader stands on a message's struct: reads its head and steps to the fields.
 * *ret_tag is set as soon as two bytes are there, so that a cut message still has a name. */
static int message_open(struct bpi_pack_reader *reader, uint8_t *ret_tag, uint32_t *ret_fields)
{
    if (reader->end - reader->at >= 2 && (reader->at[0] & 0xf0) == 0xb0) {
        *ret_tag = reader->at[1];
    }
    return bpi_pack_next_struct(reader, ret_tag, ret_fields);
}

static int take_span(struct bpi_pack_reader *reader,
                     const struct bpi_pack_limits *limits,
                     struct bpi_bolt_span *ret_span)
{
    return bpi_pack_take(reader, limits, &ret_span->data, &ret_span->size);
}

static int span_peek(struct bpi_bolt_span span, struct bpi_pack_item *ret_item)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, span.data, span.size);
    return bpi_pack_next(&reader, ret_item);
}

/* Takes one value of the given type. */
static int take_typed(struct bpi_pack_reader *reader,
                      const struct bpi_pack_limits *limits,
                      enum bpi_pack_type type,
                      struct bpi_bolt_span *ret_span)
{
    struct bpi_bolt_span span;
    int error = take_span(reader, limits, &span);
    if (error != 0) {
        return error;
    }
    struct bpi_pack_item item;
    error = span_peek(span, &item);
    if (error != 0) {
        return error;
    }
    if (item.type != type) {
        return BP_E_TYPE;
    }
    *ret_span = span;
    return 0;
}

static int take_text(struct bpi_pack_reader *reader, struct bpi_bolt_text *ret_text)
{
    return bpi_pack_next_string(reader, &ret_text->data, &ret_text->size);
}

/* ROUTE's third field: a map from 4.4, a string or null in 4.3. */
static int take_route_db(struct bpi_pack_reader *reader,
                         bpi_bolt_version version,
                         const struct bpi_pack_limits *limits,
                         struct bpi_bolt_span *ret_span)
{
    if (bpi_bolt_has_route_map(version)) {
        return take_typed(reader, limits, BPI_PACK_MAP, ret_span);
    }
    struct bpi_pack_reader peek = *reader;
    struct bpi_pack_item item;
    int error = bpi_pack_next(&peek, &item);
    if (error != 0) {
        return error;
    }
    return take_typed(reader, limits, item.type == BPI_PACK_NULL ? BPI_PACK_NULL : BPI_PACK_STRING,
                      ret_span);
}

int bpi_bolt_request_read(const uint8_t *payload,
                          size_t size,
                          bpi_bolt_version version,
                          const struct bpi_pack_limits *limits,
                          struct bpi_bolt_request *ret_request)
{
    memset(ret_request, 0, sizeof(*ret_request));
    struct bpi_bolt_request request = {0};
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, payload, size);
    uint32_t fields = 0;
    int error = message_open(&reader, &ret_request->tag, &fields);
    request.tag = ret_request->tag;
    if (request.tag != 0 && !bpi_bolt_tag_is_request(request.tag, version)) {
        return BP_E_UNEXPECTED;
    }
    if (error != 0) {
        return error;
    }
    const struct tag_row *row = tag_find(request.tag);
    if (row == NULL) {
        return BP_E_UNEXPECTED;
    }
    if (fields != strlen(row->fields)) {
        return BP_E_FIELDS;
    }
    /* The message's own struct is the first level. */
    struct bpi_pack_limits inner = *limits;
    inner.depth_max = limits->depth_max > 0 ? limits->depth_max - 1 : 0;
    for (const char *field = row->fields; *field != '\0' && error == 0; field++) {
        switch (*field) {
        case 's':
            error = take_text(&reader, &request.query);
            break;
        case 'i':
            error = bpi_pack_next_int(&reader, &request.api);
            break;
        case 'l':
            error = take_typed(&reader, &inner, BPI_PACK_LIST, &request.bookmarks);
            break;
        case 'd':
            error = take_route_db(&reader, version, &inner, &request.route_db);
            break;
        default: {
            bool parameters = request.tag == BPI_BOLT_RUN && request.parameters.data == NULL;
            error = take_typed(&reader, &inner, BPI_PACK_MAP,
                               parameters ? &request.parameters : &request.extra);
            break;
        }
        }
    }
    if (error == 0) {
        *ret_request = request;
    }
    return error;
}

/* Reading maps */

/* A walk over a map's pairs. `seen` has a bit for each of the known keys that has come by. */
struct pair_walk {
    struct bpi_pack_reader reader;
    uint32_t left;
    const char *const *known;
    size_t known_count;
    uint32_t seen;
};

#define KEY_OTHER SIZE_MAX

/* An absent span is an empty map. */
static int pairs_start(struct pair_walk *walk,
                       struct bpi_bolt_span map,
                       const char *const *known,
                       size_t known_count)
{
    memset(walk, 0, sizeof(*walk));
    walk->known = known;
    walk->known_count = known_count;
    if (map.data == NULL) {
        return 0;
    }
    bpi_pack_reader_init(&walk->reader, map.data, map.size);
    return bpi_pack_next_map(&walk->reader, &walk->left);
}

/* Steps to the next pair: returns 1 with the index of its key among the known ones (or KEY_OTHER)
 * and its value, 0 at the end. */
static int pairs_next(struct pair_walk *walk, size_t *ret_key, struct bpi_bolt_span *ret_value)
{
    *ret_key = KEY_OTHER;
    *ret_value = (struct bpi_bolt_span){NULL, 0};
    if (walk->left == 0) {
        return 0;
    }
    walk->left--;
    struct bpi_bolt_text key;
    int error = take_text(&walk->reader, &key);
    if (error != 0) {
        return error;
    }
    for (size_t i = 0; i < walk->known_count; i++) {
        if (!bpi_bolt_text_is(key, walk->known[i])) {
            continue;
        }
        if ((walk->seen >> i & 1) != 0) {
            return BP_E_PROTOCOL;
        }
        walk->seen |= (uint32_t)1 << i;
        *ret_key = i;
        break;
    }
    error = take_span(&walk->reader, &bpi_pack_limits_open, ret_value);
    return error == 0 ? 1 : error;
}

/* Reads a value as a string; null leaves the output absent. */
static int value_text(struct bpi_bolt_span value, struct bpi_bolt_text *ret_text)
{
    struct bpi_pack_item item;
    int error = span_peek(value, &item);
    if (error != 0 || item.type == BPI_PACK_NULL) {
        return error;
    }
    if (item.type != BPI_PACK_STRING) {
        return BP_E_TYPE;
    }
    ret_text->data = (const char *)item.data;
    ret_text->size = item.size;
    return 0;
}

/* Reads a value's head as a map or list; null leaves the outputs as they are. */
static int value_container(struct bpi_bolt_span value,
                           enum bpi_pack_type type,
                           struct bpi_bolt_span *ret_span,
                           uint32_t *ret_count)
{
    struct bpi_pack_item item;
    int error = span_peek(value, &item);
    if (error != 0 || item.type == BPI_PACK_NULL) {
        return error;
    }
    if (item.type != type) {
        return BP_E_TYPE;
    }
    *ret_span = value;
    *ret_count = item.count;
    return 0;
}

static int value_int(struct bpi_bolt_span value, int64_t *ret_value)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next_int(&reader, ret_value);
}

enum tx_key {
    TX_MODE,
    TX_DB,
    TX_IMP_USER,
    TX_METADATA,
    TX_BOOKMARKS,
    TX_TIMEOUT,
    TX_SEVERITY,
    TX_CATEGORIES,
    TX_CLASSIFICATIONS,
    TX_KEY_COUNT,
};

static const char *const tx_keys[TX_KEY_COUNT] = {
    [TX_MODE] = "mode",
    [TX_DB] = "db",
    [TX_IMP_USER] = "imp_user",
    [TX_METADATA] = "tx_metadata",
    [TX_BOOKMARKS] = "bookmarks",
    [TX_TIMEOUT] = "tx_timeout",
    [TX_SEVERITY] = "notifications_minimum_severity",
    [TX_CATEGORIES] = "notifications_disabled_categories",
    [TX_CLASSIFICATIONS] = "notifications_disabled_classifications",
};

/* A mode other than "r" and a negative timeout are the server's to refuse: they read as absent. */
static int tx_extra_value(struct bpi_bolt_tx_extra *tx, size_t key, struct bpi_bolt_span value)
{
    struct bpi_bolt_span bookmarks = {0};
    uint32_t count = 0;
    struct bpi_bolt_text mode = {0};
    struct bpi_pack_item item;
    int error;
    switch (key) {
    case TX_MODE:
        error = value_text(value, &mode);
        tx->mode_read = bpi_bolt_text_is(mode, "r");
        return error;
    case TX_DB:
        return value_text(value, &tx->db);
    case TX_IMP_USER:
        return value_text(value, &tx->imp_user);
    case TX_METADATA:
        return value_container(value, BPI_PACK_MAP, &tx->metadata, &count);
    case TX_BOOKMARKS:
        error = value_container(value, BPI_PACK_LIST, &bookmarks, &count);
        tx->has_bookmarks = count > 0;
        return error;
    case TX_TIMEOUT:
        error = span_peek(value, &item);
        if (error != 0 || item.type == BPI_PACK_NULL) {
            return error;
        }
        if (item.type != BPI_PACK_INT) {
            return BP_E_TYPE;
        }
        tx->timeout_ms = item.integer < 0 ? -1 : item.integer;
        return 0;
    case TX_SEVERITY:
        tx->has_severity = true;
        return 0;
    case TX_CATEGORIES:
    case TX_CLASSIFICATIONS:
        tx->has_disabled = true;
        return 0;
    default:
        return 0;
    }
}

int bpi_bolt_tx_extra_read(struct bpi_bolt_span extra, struct bpi_bolt_tx_extra *ret_extra)
{
    struct bpi_bolt_tx_extra tx = {.timeout_ms = -1};
    struct pair_walk walk;
    int error = pairs_start(&walk, extra, tx_keys, TX_KEY_COUNT);
    if (error != 0) {
        return error;
    }
    size_t key;
    struct bpi_bolt_span value;
    int step;
    while ((step = pairs_next(&walk, &key, &value)) > 0) {
        error = tx_extra_value(&tx, key, value);
        if (error != 0) {
            return error;
        }
    }
    if (step == 0) {
        *ret_extra = tx;
    }
    return step;
}

int bpi_bolt_fetch_read(struct bpi_bolt_span extra, int64_t *ret_n, int64_t *ret_qid)
{
    static const char *const keys[] = {"n", "qid"};
    int64_t values[] = {0, -1};
    struct pair_walk walk;
    int error = pairs_start(&walk, extra, keys, 2);
    if (error != 0) {
        return error;
    }
    size_t key;
    struct bpi_bolt_span value;
    int step;
    while ((step = pairs_next(&walk, &key, &value)) > 0) {
        if (key == KEY_OTHER) {
            continue;
        }
        error = value_int(value, &values[key]);
        if (error != 0) {
            return error;
        }
    }
    if (step == 0) {
        *ret_n = values[0];
        *ret_qid = values[1];
    }
    return step;
}

int bpi_bolt_auth_read(struct bpi_bolt_span extra, struct bpi_bolt_auth *ret_auth)
{
    static const char *const keys[] = {"scheme", "principal", "credentials", "realm"};
    struct bpi_bolt_text texts[4] = {{0}};
    struct pair_walk walk;
    int error = pairs_start(&walk, extra, keys, 4);
    if (error != 0) {
        return error;
    }
    size_t key;
    struct bpi_bolt_span value;
    int step;
    while ((step = pairs_next(&walk, &key, &value)) > 0) {
        if (key == KEY_OTHER) {
            continue;
        }
        /* What is no text is left to the server to judge: 5.x takes bytes as credentials. */
        if (value_text(value, &texts[key]) != 0) {
            texts[key] = (struct bpi_bolt_text){0};
        }
    }
    if (step == 0) {
        ret_auth->scheme = texts[0];
        ret_auth->principal = texts[1];
        ret_auth->credentials = texts[2];
        ret_auth->realm = texts[3];
    }
    return step;
}

/* HELLO */

enum hello_key {
    HELLO_USER_AGENT,
    HELLO_BOLT_AGENT,
    HELLO_ROUTING,
    HELLO_PATCH,
    HELLO_SEVERITY,
    HELLO_CATEGORIES,
    HELLO_CLASSIFICATIONS,
    HELLO_KEY_COUNT,
};

static const char *const hello_keys[HELLO_KEY_COUNT] = {
    [HELLO_USER_AGENT] = "user_agent",
    [HELLO_BOLT_AGENT] = "bolt_agent",
    [HELLO_ROUTING] = "routing",
    [HELLO_PATCH] = "patch_bolt",
    [HELLO_SEVERITY] = "notifications_minimum_severity",
    [HELLO_CATEGORIES] = "notifications_disabled_categories",
    [HELLO_CLASSIFICATIONS] = "notifications_disabled_classifications",
};

/* The values of HELLO's known keys, absent where a key is. */
static int hello_values(struct bpi_bolt_span extra,
                        struct bpi_bolt_span ret_values[HELLO_KEY_COUNT])
{
    memset(ret_values, 0, HELLO_KEY_COUNT * sizeof(ret_values[0]));
    struct pair_walk walk;
    int error = pairs_start(&walk, extra, hello_keys, HELLO_KEY_COUNT);
    if (error != 0) {
        return error;
    }
    size_t key;
    struct bpi_bolt_span value;
    int step;
    while ((step = pairs_next(&walk, &key, &value)) > 0) {
        if (key != KEY_OTHER) {
            ret_values[key] = value;
        }
    }
    return step;
}

/* Whether the list at `value` holds the string; anything that is no list holds nothing. */
static bool list_holds(struct bpi_bolt_span value, const char *word)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, value.data, value.size);
    uint32_t items;
    if (bpi_pack_next_list(&reader, &items) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < items; i++) {
        struct bpi_bolt_span item;
        struct bpi_bolt_text text = {0};
        if (take_span(&reader, &bpi_pack_limits_open, &item) != 0) {
            return false;
        }
        if (value_text(item, &text) == 0 && bpi_bolt_text_is(text, word)) {
            return true;
        }
    }
    return false;
}

int bpi_bolt_hello_read(struct bpi_bolt_span extra, struct bpi_bolt_hello *ret_hello)
{
    struct bpi_bolt_span values[HELLO_KEY_COUNT];
    int error = hello_values(extra, values);
    if (error != 0) {
        return error;
    }
    struct bpi_bolt_hello hello = {0};
    uint32_t count;
    if (values[HELLO_USER_AGENT].data != NULL) {
        error = value_text(values[HELLO_USER_AGENT], &hello.user_agent);
    }
    if (error == 0 && values[HELLO_BOLT_AGENT].data != NULL &&
        value_container(values[HELLO_BOLT_AGENT], BPI_PACK_MAP, &hello.bolt_agent, &count) != 0) {
        hello.bolt_agent =
            (struct bpi_bolt_span){0}; /* before 5.3 it is just another unknown key */
    }
    struct bpi_bolt_span routing = {0};
    if (error == 0 && values[HELLO_ROUTING].data != NULL) {
        error = value_container(values[HELLO_ROUTING], BPI_PACK_MAP, &routing, &count);
    }
    if (error != 0) {
        return error;
    }
    hello.has_routing = routing.data != NULL;
    if (hello.has_routing) {
        struct bpi_bolt_span address;
        int found =
            bpi_pack_map_find(routing.data, routing.size, "address", &address.data, &address.size);
        error = found > 0 ? value_text(address, &hello.routing_address) : found;
        if (error != 0) {
            return error;
        }
    }
    hello.patch_utc = list_holds(values[HELLO_PATCH], "utc");
    hello.severity = values[HELLO_SEVERITY];
    hello.disabled_is_classifications = values[HELLO_CLASSIFICATIONS].data != NULL;
    hello.disabled = hello.disabled_is_classifications ? values[HELLO_CLASSIFICATIONS]
                                                       : values[HELLO_CATEGORIES];
    *ret_hello = hello;
    return 0;
}

static bool is_string(struct bpi_bolt_span value)
{
    struct bpi_pack_item item;
    return value.data != NULL && span_peek(value, &item) == 0 && item.type == BPI_PACK_STRING;
}

static bool is_null(struct bpi_bolt_span value)
{
    struct bpi_pack_item item;
    return value.data != NULL && span_peek(value, &item) == 0 && item.type == BPI_PACK_NULL;
}

/* Whether `value` is a map of strings that has `key` (NULL: any map of strings). */
static bool is_string_map(struct bpi_bolt_span value, const char *key)
{
    struct bpi_pack_item item;
    if (value.data == NULL || span_peek(value, &item) != 0 || item.type != BPI_PACK_MAP) {
        return false;
    }
    struct pair_walk walk;
    const char *known[] = {key};
    if (pairs_start(&walk, value, known, key == NULL ? 0 : 1) != 0) {
        return false;
    }
    size_t index;
    struct bpi_bolt_span part;
    int step;
    while ((step = pairs_next(&walk, &index, &part)) > 0) {
        if (!is_string(part)) {
            return false;
        }
    }
    return step == 0 && (key == NULL || walk.seen != 0);
}

/* Whether `value` is one of the words, in any case. */
static bool is_word_of(struct bpi_bolt_span value, const char *const *words, size_t count)
{
    struct bpi_bolt_text text = {0};
    if (value_text(value, &text) != 0 || text.data == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (text.size == strlen(words[i]) && strncasecmp(text.data, words[i], text.size) == 0) {
            return true;
        }
    }
    return false;
}

/* What a 2026 server takes; older ones know fewer names and say so themselves. */
static bool is_severity(struct bpi_bolt_span value)
{
    static const char *const words[] = {"OFF", "NONE", "WARNING", "INFORMATION"};
    return is_word_of(value, words, sizeof(words) / sizeof(words[0]));
}

static bool is_classifications(struct bpi_bolt_span value)
{
    static const char *const words[] = {
        "HINT",    "UNRECOGNIZED", "UNSUPPORTED", "PERFORMANCE", "DEPRECATION",
        "GENERIC", "SECURITY",     "TOPOLOGY",    "SCHEMA",
    };
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, value.data, value.size);
    uint32_t items;
    if (bpi_pack_next_list(&reader, &items) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < items; i++) {
        struct bpi_bolt_span item;
        if (take_span(&reader, &bpi_pack_limits_open, &item) != 0 ||
            !is_word_of(item, words, sizeof(words) / sizeof(words[0]))) {
            return false;
        }
    }
    return true;
}

int bpi_bolt_hello_check(struct bpi_bolt_span extra,
                         bpi_bolt_version version,
                         const char **ret_reason)
{
    struct bpi_bolt_span values[HELLO_KEY_COUNT];
    if (hello_values(extra, values) != 0) {
        *ret_reason = "HELLO must hold one map without duplicate keys.";
        return BP_E_PROTOCOL;
    }
    bool filter = bpi_bolt_has_notification_filter(version);
    struct bpi_bolt_span disabled =
        values[bpi_bolt_has_classifications(version) ? HELLO_CLASSIFICATIONS : HELLO_CATEGORIES];
    if (filter && (is_null(values[HELLO_SEVERITY]) || is_null(disabled))) {
        *ret_reason = "A notification filter is null.";
        return BP_E_UNEXPECTED;
    }
    const char *reason = NULL;
    if (!is_string(values[HELLO_USER_AGENT])) {
        reason = "HELLO must name a user_agent.";
    } else if (bpi_bolt_has_bolt_agent(version) &&
               !is_string_map(values[HELLO_BOLT_AGENT], "product")) {
        reason = "HELLO must have a bolt_agent with a product and string values.";
    } else if (values[HELLO_ROUTING].data != NULL && !is_null(values[HELLO_ROUTING]) &&
               !is_string_map(values[HELLO_ROUTING], NULL)) {
        reason = "The routing context must be a map of strings.";
    } else if (filter && values[HELLO_SEVERITY].data != NULL &&
               !is_severity(values[HELLO_SEVERITY])) {
        reason = "notifications_minimum_severity is unknown.";
    } else if (filter && disabled.data != NULL && !is_classifications(disabled)) {
        reason = "A disabled notification class is unknown.";
    }
    if (reason == NULL) {
        return 0;
    }
    *ret_reason = reason;
    return BP_E_PROTOCOL;
}

/* Answers */

static int answer_meta(struct bpi_bolt_answer *answer)
{
    static const char *const keys[] = {"has_more", "code", "neo4j_code", "message"};
    struct pair_walk walk;
    int error = pairs_start(&walk, answer->meta, keys, 4);
    if (error != 0) {
        return error;
    }
    bool failure = answer->tag == BPI_BOLT_FAILURE;
    size_t key;
    struct bpi_bolt_span value;
    int step;
    while ((step = pairs_next(&walk, &key, &value)) > 0) {
        if (failure && (key == 1 || key == 2)) {
            error = value_text(value, &answer->code);
        } else if (failure && key == 3) {
            error = value_text(value, &answer->message);
        } else if (!failure && key == 0) {
            struct bpi_pack_item item;
            error = span_peek(value, &item);
            answer->has_more = error == 0 && item.boolean;
        }
        if (error != 0) {
            return error;
        }
    }
    return step;
}

int bpi_bolt_answer_read(const uint8_t *payload, size_t size, struct bpi_bolt_answer *ret_answer)
{
    struct bpi_bolt_answer answer = {0};
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, payload, size);
    uint32_t fields = 0;
    int error = message_open(&reader, &answer.tag, &fields);
    if (error != 0) {
        return error;
    }
    const struct tag_row *row = tag_find(answer.tag);
    if (row == NULL || row->request) {
        return BP_E_UNEXPECTED;
    }
    if (fields != strlen(row->fields)) {
        return BP_E_FIELDS;
    }
    if (fields == 1) {
        struct bpi_pack_limits inner = bpi_pack_limits_open;
        inner.depth_max--;
        error =
            take_typed(&reader, &inner,
                       answer.tag == BPI_BOLT_RECORD ? BPI_PACK_LIST : BPI_PACK_MAP, &answer.meta);
    }
    if (error == 0 && (answer.tag == BPI_BOLT_SUCCESS || answer.tag == BPI_BOLT_FAILURE)) {
        error = answer_meta(&answer);
    }
    if (error == 0) {
        *ret_answer = answer;
    }
    return error;
}

static bool is_failure_of(const struct bpi_bolt_answer *answer, const char *class_)
{
    size_t size = strlen(class_);
    return answer->tag == BPI_BOLT_FAILURE && answer->code.size > size &&
           memcmp(answer->code.data, class_, size) == 0;
}

bool bpi_bolt_answer_is_security(const struct bpi_bolt_answer *answer)
{
    return is_failure_of(answer, "Neo.ClientError.Security");
}

bool bpi_bolt_answer_is_fault(const struct bpi_bolt_answer *answer)
{
    return is_failure_of(answer, "Neo.DatabaseError.");
}

bool bpi_bolt_answer_is_transient(const struct bpi_bolt_answer *answer)
{
    return is_failure_of(answer, "Neo.TransientError.");
}
