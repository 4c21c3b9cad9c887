/* See client.h: what is known of a query that ran to its end. */
#include "client/client.h"

#include <boltpool/error.h>

#include <string.h>

static struct bp_text find_text(struct bpi_bolt_span map, const char *key)
{
    struct bpi_bolt_text text = bpi_bolt_map_text(map, key);
    return (struct bp_text){text.data, text.size};
}

static int64_t find_int(struct bpi_bolt_span map, const char *key, int64_t otherwise)
{
    int64_t number = otherwise;
    (void)bpi_bolt_map_int(map, key, &number);
    return number;
}

static int find_value(struct bpi_bolt_span map, const char *key, struct bp_value *ret_value)
{
    struct bpi_bolt_span span = bpi_bolt_map_get(map, key);
    struct bpi_pack_reader reader;
    if (span.data == NULL) {
        *ret_value = (struct bp_value){.type = BP_TYPE_NULL};
        return 0;
    }
    bpi_pack_reader_init(&reader, span.data, span.size);
    return bpi_value_read(&reader, ret_value);
}

static void read_counters(struct bpi_bolt_span meta, struct bp_counters *counters)
{
    struct bpi_bolt_span stats = bpi_bolt_map_get(meta, "stats");
    *counters = (struct bp_counters){
        .nodes_created = find_int(stats, "nodes-created", 0),
        .nodes_deleted = find_int(stats, "nodes-deleted", 0),
        .relationships_created = find_int(stats, "relationships-created", 0),
        .relationships_deleted = find_int(stats, "relationships-deleted", 0),
        .properties_set = find_int(stats, "properties-set", 0),
        .labels_added = find_int(stats, "labels-added", 0),
        .labels_removed = find_int(stats, "labels-removed", 0),
        .indexes_added = find_int(stats, "indexes-added", 0),
        .indexes_removed = find_int(stats, "indexes-removed", 0),
        .constraints_added = find_int(stats, "constraints-added", 0),
        .constraints_removed = find_int(stats, "constraints-removed", 0),
        .system_updates = find_int(stats, "system-updates", 0),
    };
    /* Servers before Bolt 4.4 don't say whether anything was changed: then a number does. */
    counters->contains_updates =
        bpi_bolt_map_get(stats, "contains-updates").data != NULL
            ? bpi_bolt_map_true(stats, "contains-updates")
            : counters->nodes_created + counters->nodes_deleted + counters->relationships_created +
                      counters->relationships_deleted + counters->properties_set +
                      counters->labels_added + counters->labels_removed + counters->indexes_added +
                      counters->indexes_removed + counters->constraints_added +
                      counters->constraints_removed >
                  0;
    counters->contains_system_updates =
        bpi_bolt_map_get(stats, "contains-system-updates").data != NULL
            ? bpi_bolt_map_true(stats, "contains-system-updates")
            : counters->system_updates > 0;
}

/* ---- notifications ---- */

/* Goes through a list of maps. False at its end, or where it isn't one. */
static bool next_map(struct bpi_pack_reader *reader, struct bpi_bolt_span *ret_map)
{
    const uint8_t *data;
    size_t size;
    if (bpi_pack_take(reader, &bpi_pack_limits_open, &data, &size) != 0) {
        return false;
    }
    *ret_map = (struct bpi_bolt_span){data, size};
    return true;
}

/* Notification `index` as the server's map, or nothing. With index = UINT32_MAX it counts them. */
static uint32_t find_notification(const struct bp_result *result,
                                  uint32_t index,
                                  struct bpi_bolt_span *ret_map,
                                  bool *ret_is_status)
{
    struct bpi_bolt_span meta = {bpi_buffer_head(&result->meta), bpi_buffer_size(&result->meta)};
    struct bpi_bolt_span list = bpi_bolt_map_get(meta, "statuses");
    bool is_status = list.data != NULL;
    if (!is_status) {
        list = bpi_bolt_map_get(meta, "notifications");
    }
    struct bpi_pack_reader reader;
    uint32_t left;
    uint32_t count = 0;
    *ret_is_status = is_status;
    if (list.data == NULL) {
        return 0;
    }
    bpi_pack_reader_init(&reader, list.data, list.size);
    if (bpi_pack_next_list(&reader, &left) != 0) {
        return 0;
    }
    struct bpi_bolt_span map;
    for (; left > 0 && next_map(&reader, &map); left--) {
        /* A status like "successful completion" is no notification: those have a code. */
        if (is_status && bpi_bolt_map_get(map, "neo4j_code").data == NULL) {
            continue;
        }
        if (count == index) {
            *ret_map = map;
        }
        count++;
    }
    return count;
}

int bpi_summary_notification(const struct bp_result *result,
                             size_t index,
                             struct bp_notification *ret_notification)
{
    struct bpi_bolt_span map = {0};
    bool is_status;
    uint32_t count = find_notification(result, index < UINT32_MAX ? (uint32_t)index : UINT32_MAX,
                                       &map, &is_status);
    if (index >= count || map.data == NULL) {
        return BP_E_USAGE;
    }
    struct bpi_bolt_span record = bpi_bolt_map_get(map, "diagnostic_record");
    struct bpi_bolt_span position =
        bpi_bolt_map_get(is_status ? record : map, is_status ? "_position" : "position");
    *ret_notification = (struct bp_notification){
        .code = find_text(map, is_status ? "neo4j_code" : "code"),
        .title = find_text(map, "title"),
        .description = find_text(map, "description"),
        .severity = is_status ? find_text(record, "_severity") : find_text(map, "severity"),
        .category = is_status ? find_text(record, "_classification") : find_text(map, "category"),
        .gql_status = find_text(map, "gql_status"),
        .status_description = find_text(map, "status_description"),
        .classification = find_text(record, "_classification"),
        .offset = find_int(position, "offset", -1),
        .line = find_int(position, "line", -1),
        .column = find_int(position, "column", -1),
    };
    return 0;
}

/* ---- all ---- */

static bp_usec milliseconds(struct bpi_bolt_span map, const char *key)
{
    int64_t number = find_int(map, key, 0);
    return number <= 0 ? 0 : (bp_usec)number * BP_USEC_PER_MS;
}

int bpi_summary_read(const struct bp_result *result, struct bp_summary *ret_summary)
{
    struct bpi_bolt_span meta = {bpi_buffer_head(&result->meta), bpi_buffer_size(&result->meta)};
    struct bpi_bolt_span run = {bpi_buffer_head(&result->run_meta),
                                bpi_buffer_size(&result->run_meta)};
    struct bp_summary summary = {0};
    struct bp_text type = find_text(meta, "type");
    if (type.size < sizeof(summary.query_type)) {
        memcpy(summary.query_type, type.data != NULL ? type.data : "", type.size);
    }
    summary.database = find_text(meta, "db");
    if (summary.database.data == NULL) {
        summary.database = find_text(run, "db");
    }
    summary.first_us = milliseconds(run, "t_first");
    summary.last_us = milliseconds(meta, "t_last");
    read_counters(meta, &summary.counters);
    struct bpi_bolt_span none;
    bool is_status;
    summary.notifications = find_notification(result, UINT32_MAX, &none, &is_status);
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, meta.data, meta.size);
    int error = bpi_value_read(&reader, &summary.meta);
    if (error == 0) {
        error = find_value(meta, "plan", &summary.plan);
    }
    if (error == 0) {
        error = find_value(meta, "profile", &summary.profile);
    }
    if (error == 0) {
        *ret_summary = summary;
    }
    return error;
}
