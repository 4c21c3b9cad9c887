/* See query.h. The text is copied once, comments taken out; what is left is looked at word by word and
 * never rejected for its grammar beyond the first word, because only pools are tested here, not Cypher.
 */
#include "sim/query.h"

#include <boltpool/error.h>

#include "sim/query_options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const first_words[] = {
    "ALTER",    "CALL",      "CREATE", "DELETE", "DENY",   "DETACH", "DROP",  "EXPLAIN",
    "FINISH",   "FOREACH",   "GRANT",  "INSERT", "LET",    "LOAD",   "MATCH", "MERGE",
    "OPTIONAL", "PROFILE",   "REMOVE", "RETURN", "REVOKE", "SET",    "SHOW",  "START",
    "STOP",     "TERMINATE", "UNWIND", "USE",    "WITH",
};
static const char *const write_words[] = {"CREATE", "MERGE", "DELETE", "SET", "REMOVE", "INSERT"};
static const char *const schema_words[] = {"ALTER",  "DROP",  "GRANT", "DENY",
                                           "REVOKE", "START", "STOP"};
static const char *const schema_objects[] = {"INDEX", "CONSTRAINT", "DATABASE", "USER", "ROLE"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct slice {
    const char *data;
    size_t size;
};

static bool slice_is(struct slice slice, const char *word)
{
    return strlen(word) == slice.size && strncasecmp(slice.data, word, slice.size) == 0;
}

static bool slice_in(struct slice slice, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(slice, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice slice_trim(struct slice slice)
{
    while (slice.size > 0 && is_blank(slice.data[0])) {
        slice.data++;
        slice.size--;
    }
    while (slice.size > 0 && is_blank(slice.data[slice.size - 1])) {
        slice.size--;
    }
    return slice;
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Steps over a quoted part that begins at `at`; returns the place behind it. */
static const char *quote_end(const char *at, const char *end)
{
    char quote = *at++;
    while (at < end && *at != quote) {
        at += *at == '\\' && quote != '`' && end - at > 1 ? 2 : 1;
    }
    return at < end ? at + 1 : end;
}

/* Finds the next word outside quotes that isn't a property, a label or a parameter. */
static bool word_next(const char **at, const char *end, struct slice *ret_word)
{
    const char *start = *at;
    while (start < end) {
        if (*start == '\'' || *start == '"' || *start == '`') {
            start = quote_end(start, end);
        } else if (*start == '.' || *start == ':' || *start == '$') {
            start++;
            while (start < end && is_word_char(*start)) {
                start++;
            }
        } else if (is_word_char(*start)) {
            const char *stop = start;
            while (stop < end && is_word_char(*stop)) {
                stop++;
            }
            *ret_word = (struct slice){start, (size_t)(stop - start)};
            *at = stop;
            return true;
        } else {
            start++;
        }
    }
    *at = end;
    return false;
}

/* The part behind the last word `word`; data NULL where there is none. */
static struct slice behind_word(struct slice text, const char *word)
{
    struct slice found = {0};
    struct slice current;
    const char *at = text.data;
    const char *end = text.data + text.size;
    while (word_next(&at, end, &current)) {
        if (slice_is(current, word)) {
            found = (struct slice){at, (size_t)(end - at)};
        }
    }
    return found;
}

/* Cuts the next item of a comma list at the top level. */
static bool item_next(struct slice *rest, struct slice *ret_item)
{
    if (rest->size == 0) {
        return false;
    }
    const char *at = rest->data;
    const char *end = rest->data + rest->size;
    int depth = 0;
    while (at < end && !(*at == ',' && depth <= 0)) {
        if (*at == '\'' || *at == '"' || *at == '`') {
            at = quote_end(at, end);
            continue;
        }
        depth += (*at == '(' || *at == '[' || *at == '{');
        depth -= (*at == ')' || *at == ']' || *at == '}');
        at++;
    }
    *ret_item = slice_trim((struct slice){rest->data, (size_t)(at - rest->data)});
    at += at < end;
    *rest = (struct slice){at, (size_t)(end - at)};
    return true;
}

static int syntax_error(const char **reterr_code, const char **reterr_message)
{
    *reterr_code = "Neo.ClientError.Statement.SyntaxError";
    *reterr_message = "Invalid input: the simulated server doesn't know this query.";
    return BP_E_SERVER_FAILURE;
}

static int column_add(struct bpi_sim_query *query, struct slice name, size_t offset)
{
    if (query->column_count == BPI_SIM_COLUMNS_MAX) {
        return BP_E_FULL;
    }
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &query->fields);
    bpi_pack_string(&writer, name.data, name.size);
    query->columns[query->column_count++] =
        (struct bpi_sim_column){offset, bpi_buffer_size(&query->values) - offset};
    return writer.status;
}

/* A quoted literal with its escapes undone. */
static void literal_string(struct bpi_pack_writer *writer, struct slice text)
{
    char *copy = malloc(text.size + 1);
    if (copy == NULL) {
        writer->status = BP_E_NO_MEMORY;
        return;
    }
    size_t used = 0;
    for (size_t i = 1; i + 1 < text.size; i++) {
        i += text.data[i] == '\\' && i + 2 < text.size;
        copy[used++] = text.data[i];
    }
    bpi_pack_string(writer, copy, used);
    free(copy);
}

/* A number that fills the whole text. */
static bool literal_number(struct bpi_pack_writer *writer, struct slice text)
{
    char copy[64];
    if (text.size == 0 || text.size >= sizeof(copy) ||
        (!isdigit((unsigned char)text.data[0]) && text.data[0] != '-')) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    char *end;
    long long integer = strtoll(copy, &end, 10);
    if (*end == '\0' && end != copy) {
        bpi_pack_int(writer, integer);
        return true;
    }
    double real = strtod(copy, &end);
    if (*end != '\0' || end == copy) {
        return false;
    }
    bpi_pack_float(writer, real);
    return true;
}

/* Finds parameter `name`: 1, 0 or an error. */
static int
parameter_find(struct bpi_bolt_span parameters, struct slice name, struct bpi_bolt_span *ret_value)
{
    char key[256];
    if (parameters.data == NULL || name.size == 0 || name.size >= sizeof(key)) {
        return 0;
    }
    memcpy(key, name.data, name.size);
    key[name.size] = '\0';
    return bpi_pack_map_find(parameters.data, parameters.size, key, &ret_value->data,
                             &ret_value->size);
}

static int parameter_missing(const char **reterr_code, const char **reterr_message)
{
    *reterr_code = "Neo.ClientError.Statement.ParameterMissing";
    *reterr_message = "Expected a parameter that the request doesn't hold.";
    return BP_E_SERVER_FAILURE;
}

/* Writes the value of an expression to query->values; what isn't understood stays the row's number. */
static int expression_read(struct bpi_sim_query *query,
                           struct slice text,
                           const struct bpi_sim_query_context *context,
                           const char **reterr_code,
                           const char **reterr_message)
{
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &query->values);
    if (text.size >= 2 && (text.data[0] == '\'' || text.data[0] == '"') &&
        quote_end(text.data, text.data + text.size) == text.data + text.size) {
        literal_string(&writer, text);
    } else if (text.size > 0 && text.data[0] == '$') {
        struct slice name = {text.data + 1, text.size - 1};
        for (size_t i = 0; i < name.size; i++) {
            if (!is_word_char(name.data[i])) {
                return 0;
            }
        }
        struct bpi_bolt_span value;
        int found = parameter_find(context->parameters, name, &value);
        if (found <= 0) {
            return found < 0 ? found : parameter_missing(reterr_code, reterr_message);
        }
        bpi_pack_raw(&writer, value.data, value.size);
    } else if (slice_is(text, "true") || slice_is(text, "false")) {
        bpi_pack_bool(&writer, slice_is(text, "true"));
    } else if (slice_is(text, "null")) {
        bpi_pack_null(&writer);
    } else {
        (void)literal_number(&writer, text);
    }
    return writer.status;
}

static int returns_read(struct bpi_sim_query *query,
                        struct slice list,
                        const struct bpi_sim_query_context *context,
                        const char **reterr_code,
                        const char **reterr_message)
{
    struct slice item;
    while (item_next(&list, &item)) {
        struct slice name = item;
        struct slice alias = behind_word(item, "AS");
        if (alias.data != NULL) {
            name = slice_trim(alias);
            item = slice_trim((struct slice){item.data, (size_t)(alias.data - item.data) - 2});
        }
        if (name.size >= 2 && name.data[0] == '`') {
            name = (struct slice){name.data + 1, name.size - 2};
        }
        if (name.size == 0 || item.size == 0) {
            return syntax_error(reterr_code, reterr_message);
        }
        size_t offset = bpi_buffer_size(&query->values);
        int error = expression_read(query, item, context, reterr_code, reterr_message);
        if (error == 0) {
            error = column_add(query, name, offset);
        }
        if (error != 0) {
            return error;
        }
    }
    return query->column_count == 0 ? syntax_error(reterr_code, reterr_message) : 0;
}

/* UNWIND range(a, b) ... and UNWIND [] ... decide how many rows there are. */
static void unwind_read(struct bpi_sim_query *query, const char *text)
{
    text += strspn(text, " \t\r\n");
    if (strncmp(text, "[]", 2) == 0) {
        query->row_count = 0;
    }
    if (strncasecmp(text, "range(", 6) != 0) {
        return;
    }
    char *end;
    long long first = strtoll(text + 6, &end, 10);
    if (*end != ',') {
        return;
    }
    long long last = strtoll(end + 1, &end, 10);
    query->row_first = first;
    query->row_count = last < first ? 0 : (uint64_t)last - (uint64_t)first + 1;
}

/* The value of {id: ...}: a parameter or a literal, integer or string. */
static int id_read(struct bpi_sim_query *query,
                   const char *text,
                   const struct bpi_sim_query_context *context,
                   const char **reterr_code,
                   const char **reterr_message)
{
    const char *at = strstr(text, "id:");
    if (at == NULL || (at > text && is_word_char(at[-1]))) {
        return 0;
    }
    at += 3 + strspn(at + 3, " \t");
    struct slice value = {at, strcspn(at, ",} \t\r\n")};
    struct bpi_sim_query scratch = {0};
    int error = expression_read(&scratch, value, context, reterr_code, reterr_message);
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    if (error == 0 && bpi_buffer_size(&scratch.values) > 0) {
        bpi_pack_reader_init(&reader, bpi_buffer_head(&scratch.values),
                             bpi_buffer_size(&scratch.values));
        error = bpi_pack_next(&reader, &item);
        if (error == 0 && item.type == BPI_PACK_INT) {
            snprintf(query->id, sizeof(query->id), "%lld", (long long)item.integer);
        } else if (error == 0 && item.type == BPI_PACK_STRING && item.size < sizeof(query->id)) {
            memcpy(query->id, item.data, item.size);
        }
    }
    bpi_sim_query_done(&scratch);
    return error;
}

static int user_read(struct bpi_sim_query *query, const char *user, bool only_name)
{
    static const char *const names[] = {"user", "roles", "passwordChangeRequired", "suspended",
                                        "home"};
    int error = 0;
    for (size_t i = 0; i < COUNT_OF(names) && !(only_name && i > 0) && error == 0; i++) {
        size_t offset = bpi_buffer_size(&query->values);
        struct bpi_pack_writer writer;
        bpi_pack_writer_init(&writer, &query->values);
        if (i == 0) {
            bpi_pack_text(&writer, user);
        } else if (i == 2) {
            bpi_pack_bool(&writer, false);
        } else {
            bpi_pack_null(&writer);
        }
        error = writer.status;
        if (error == 0) {
            error = column_add(query, (struct slice){names[i], strlen(names[i])}, offset);
        }
    }
    return error;
}

const char *bpi_sim_routing_address(struct bpi_bolt_span context,
                                    const char *fallback,
                                    char *into,
                                    size_t into_size)
{
    struct bpi_bolt_span value;
    const char *text;
    size_t size;
    snprintf(into, into_size, "%s", fallback);
    if (context.data == NULL ||
        bpi_pack_map_find(context.data, context.size, "address", &value.data, &value.size) != 1) {
        return into;
    }
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, value.data, value.size);
    if (bpi_pack_next_string(&reader, &text, &size) != 0 || size + 6 >= into_size) {
        return into;
    }
    const char *colon = memrchr(text, ':', size);
    bool has_port = colon != NULL && memchr(colon, ']', (size_t)(text + size - colon)) == NULL;
    snprintf(into, into_size, "%.*s%s", (int)size, text, has_port ? "" : ":7687");
    return into;
}

/* The procedure that drivers before 4.3 ask instead of ROUTE. */
static int routing_read(struct bpi_sim_query *query, const struct bpi_sim_query_context *context)
{
    static const char *const roles[] = {"WRITE", "READ", "ROUTE"};
    char address[300];
    struct bpi_bolt_span map = {0};
    (void)parameter_find(context->parameters, (struct slice){"context", 7}, &map);
    bpi_sim_routing_address(map, context->address, address, sizeof(address));
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &query->values);
    bpi_pack_int(&writer, 300);
    int error = column_add(query, (struct slice){"ttl", 3}, 0);
    size_t offset = bpi_buffer_size(&query->values);
    bpi_pack_list(&writer, COUNT_OF(roles));
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        bpi_pack_map(&writer, 2);
        bpi_pack_text(&writer, "addresses");
        bpi_pack_list(&writer, 1);
        bpi_pack_text(&writer, address);
        bpi_pack_text(&writer, "role");
        bpi_pack_text(&writer, roles[i]);
    }
    if (error == 0) {
        error = writer.status != 0 ? writer.status
                                   : column_add(query, (struct slice){"servers", 7}, offset);
    }
    return error;
}

/* What kind of statement it is, by its words. */
static void type_read(struct bpi_sim_query *query, struct slice text)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    bool writes = false;
    bool returns = false;
    bool schema = false;
    struct slice word;
    struct slice first = {0};
    while (word_next(&at, end, &word)) {
        first = first.data == NULL ? word : first;
        writes = writes || slice_in(word, write_words, COUNT_OF(write_words));
        returns = returns || slice_is(word, "RETURN");
        schema = schema || slice_in(word, schema_objects, COUNT_OF(schema_objects));
    }
    schema = slice_in(first, schema_words, COUNT_OF(schema_words)) ||
             (schema && slice_is(first, "CREATE"));
    if (slice_is(first, "SHOW")) {
        writes = false;
    }
    if (schema) {
        query->type = BPI_SIM_QUERY_SCHEMA;
    } else if (writes) {
        query->type = returns ? BPI_SIM_QUERY_READ_WRITE : BPI_SIM_QUERY_WRITE;
    }
}

/* `text` is zero-terminated and free of comments. */
static int text_read(struct slice text,
                     const struct bpi_sim_query_context *context,
                     struct bpi_sim_query *query,
                     const char **reterr_code,
                     const char **reterr_message)
{
    struct slice word = {0};
    const char *at = text.data;
    if (!word_next(&at, text.data + text.size, &word) ||
        !slice_in(word, first_words, COUNT_OF(first_words))) {
        return syntax_error(reterr_code, reterr_message);
    }
    type_read(query, text);
    if (strncasecmp(text.data, "SHOW CURRENT USER", 17) == 0) {
        const char *yield = text.data + 17;
        yield += strspn(yield, " \t\r\n");
        return user_read(query, context->user, strcasecmp(yield, "YIELD user") == 0);
    }
    if (slice_is(word, "CALL") && strstr(at, "dbms.routing.getRoutingTable") != NULL) {
        return routing_read(query, context);
    }
    if (slice_is(word, "UNWIND")) {
        unwind_read(query, at);
    }
    bool writes = query->type == BPI_SIM_QUERY_WRITE || query->type == BPI_SIM_QUERY_READ_WRITE;
    int error = writes ? id_read(query, text.data, context, reterr_code, reterr_message) : 0;
    struct slice list = behind_word(text, "RETURN");
    if (error == 0 && list.data != NULL) {
        error = returns_read(query, list, context, reterr_code, reterr_message);
    } else if (error == 0 && query->type == BPI_SIM_QUERY_READ) {
        error = column_add(query, (struct slice){"n", 1}, bpi_buffer_size(&query->values));
    } else {
        query->row_count = 0;
    }
    return error;
}

/* Copies the text without comments; the one that begins with "sim:" is read. */
static int comments_take(struct bpi_bolt_text text, struct bpi_sim_query *query, char *into)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    size_t used = 0;
    int error = 0;
    while (at < end && error == 0) {
        if (*at == '\'' || *at == '"' || *at == '`') {
            const char *stop = quote_end(at, end);
            memcpy(into + used, at, (size_t)(stop - at));
            used += (size_t)(stop - at);
            at = stop;
        } else if (end - at >= 2 && memcmp(at, "/*", 2) == 0) {
            const char *stop = memmem(at + 2, (size_t)(end - at) - 2, "*/", 2);
            stop = stop == NULL ? end : stop;
            error = bpi_sim_query_options_read(at + 2, (size_t)(stop - at) - 2, query);
            at = stop == end ? end : stop + 2;
        } else if (end - at >= 2 && memcmp(at, "//", 2) == 0) {
            const char *stop = memchr(at, '\n', (size_t)(end - at));
            at = stop == NULL ? end : stop;
        } else {
            into[used++] = *at++;
        }
    }
    into[used] = '\0';
    return error;
}

void bpi_sim_query_done(struct bpi_sim_query *query)
{
    bpi_buffer_done(&query->fields);
    bpi_buffer_done(&query->values);
}

int bpi_sim_query_read(struct bpi_bolt_text text,
                       const struct bpi_sim_query_context *context,
                       struct bpi_sim_query *query,
                       const char **reterr_code,
                       const char **reterr_message)
{
    *query = (struct bpi_sim_query){
        .row_count = 1,
        .row_first = 1,
        .fail_at_row = -1,
        .drop_after = -1,
    };
    char *copy = malloc(text.size + 1);
    if (copy == NULL) {
        return BP_E_NO_MEMORY;
    }
    int error = comments_take(text, query, copy);
    if (error == 0) {
        uint64_t rows_asked = query->row_count;
        struct slice trimmed = slice_trim((struct slice){copy, strlen(copy)});
        copy[trimmed.data + trimmed.size - copy] = '\0';
        error = text_read(trimmed, context, query, reterr_code, reterr_message);
        if (error == 0 && rows_asked != 1 && query->column_count > 0) {
            query->row_count = rows_asked;
        }
        if (error == 0 && query->row_bytes > 0) {
            error =
                column_add(query, (struct slice){"payload", 7}, bpi_buffer_size(&query->values));
            query->column_count -= error == 0; /* the writer of rows adds it by row_bytes */
        }
    }
    free(copy);
    if (error == BP_E_CONFIG || error == BP_E_FULL) {
        return syntax_error(reterr_code, reterr_message);
    }
    return error;
}
