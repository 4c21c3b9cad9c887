/* See client.h: BEGIN, COMMIT, ROLLBACK, and how a transaction is run. */
#include "base/clock.h"
#include "bolt/hello.h"
#include "client/client.h"

#include <boltpool/error.h>

#include <string.h>
#include <uv.h>

int bpi_client_params_check(struct bpi_client *client, unsigned needs)
{
    bpi_bolt_version version = client->version;
    if ((needs & BPI_PARAMS_UTC) != 0 && version < BPI_BOLT(5, 0) && !client->utc_patch) {
        return bpi_failure_set(client, BP_E_TYPE,
                               "a date-time in UTC can't be sent by Bolt %s to this server",
                               client->version_text);
    }
    if ((needs & BPI_PARAMS_VECTOR) != 0 && version < BPI_BOLT(6, 0)) {
        return bpi_failure_set(client, BP_E_TYPE, "a vector needs Bolt 6.0; this is %s",
                               client->version_text);
    }
    if ((needs & BPI_PARAMS_UUID) != 0 && version < BPI_BOLT(6, 1)) {
        return bpi_failure_set(client, BP_E_TYPE, "a UUID needs Bolt 6.1; this is %s",
                               client->version_text);
    }
    return 0;
}

static int check_metadata(struct bpi_client *client, const struct bp_params *metadata)
{
    struct bpi_bolt_span map;
    unsigned needs = 0;
    int error = bpi_params_content(metadata, &map, &needs);
    if (error != 0) {
        return bpi_failure_set(client, error, "the metadata: %s", bp_error_text(error));
    }
    return bpi_client_params_check(client, needs);
}

static int check_notifications(struct bpi_client *client, const struct bp_tx_options *options)
{
    if (options->notifications_min_severity == NULL && options->notifications_disabled == NULL) {
        return 0;
    }
    if (!bpi_bolt_has_notification_filter(client->version)) {
        return bpi_failure_set(client, BP_E_VERSION,
                               "notification filters need Bolt 5.2; this is %s",
                               client->version_text);
    }
    const char *mistake = bpi_client_filter_mistake(options->notifications_min_severity,
                                                    options->notifications_disabled,
                                                    options->notifications_disabled_count);
    if (mistake != NULL) {
        return bpi_failure_set(client, BP_E_USAGE, "%s", mistake);
    }
    return 0;
}

int bpi_tx_options_check(struct bpi_client *client, const struct bp_tx_options *options)
{
    if (options == NULL) {
        return 0;
    }
    if (options->struct_size != sizeof(*options)) {
        return bpi_failure_set(client, BP_E_USAGE,
                               "struct_size isn't sizeof(struct bp_tx_options)");
    }
    if ((unsigned)options->access > BP_ACCESS_READ || options->timeout_ms < -1 ||
        options->fetch_size < -1) {
        return bpi_failure_set(client, BP_E_USAGE,
                               "access, timeout_ms or fetch_size is out of its range");
    }
    if (!bpi_client_is_text(options->database) || !bpi_client_is_text(options->impersonated_user)) {
        return bpi_failure_set(client, BP_E_UTF8, "database or impersonated_user isn't UTF-8");
    }
    if (options->impersonated_user != NULL && client->version < BPI_BOLT(4, 4)) {
        return bpi_failure_set(client, BP_E_VERSION, "impersonation needs Bolt 4.4; this is %s",
                               client->version_text);
    }
    if (options->deadline_us != 0 && bpi_clock_now_us() >= options->deadline_us) {
        return bpi_failure_set(client, UV_ETIMEDOUT, "the deadline has passed already");
    }
    int error = check_notifications(client, options);
    return error != 0 || options->metadata == NULL ? error
                                                   : check_metadata(client, options->metadata);
}

/* ---- as a map ---- */

static size_t put_disabled(struct bpi_pack_writer *writer,
                           const struct bp_tx_options *options,
                           bpi_bolt_version version)
{
    if (options->notifications_disabled == NULL) {
        return 0;
    }
    bpi_pack_text(writer, bpi_bolt_disabled_key(version));
    bpi_client_put_disabled(writer, options->notifications_disabled,
                            options->notifications_disabled_count);
    return 1;
}

static size_t put_text(struct bpi_pack_writer *writer, const char *key, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    bpi_pack_text(writer, key);
    bpi_pack_text(writer, text);
    return 1;
}

/* The pairs without their head; their number, or an error. */
static int put_pairs(struct bpi_client *client,
                     struct bpi_pack_writer *writer,
                     const struct bp_tx_options *options,
                     uint64_t *ret_serial)
{
    size_t pairs = 0;
    if (options->access == BP_ACCESS_READ) {
        pairs += put_text(writer, "mode", "r");
    }
    pairs += put_text(writer, "db", options->database);
    pairs += put_text(writer, "imp_user", options->impersonated_user);
    if (options->timeout_ms != 0) {
        bpi_pack_text(writer, "tx_timeout");
        bpi_pack_int(writer, options->timeout_ms == -1 ? 0 : options->timeout_ms);
        pairs++;
    }
    if (options->metadata != NULL) {
        struct bpi_bolt_span map;
        unsigned needs;
        int error = bpi_params_content(options->metadata, &map, &needs);
        if (error != 0) {
            return error;
        }
        bpi_pack_text(writer, "tx_metadata");
        bpi_pack_raw(writer, map.data, map.size);
        pairs++;
    }
    pairs +=
        put_text(writer, "notifications_minimum_severity", options->notifications_min_severity);
    pairs += put_disabled(writer, options, client->version);
    int wrote = bpi_bookmarks_write(options->bookmarks, writer, ret_serial);
    return wrote < 0 ? wrote : (int)pairs + wrote;
}

int bpi_tx_extra_write(struct bpi_client *client,
                       const struct bp_tx_options *options,
                       struct bpi_buffer *out,
                       uint64_t *ret_serial)
{
    struct bpi_buffer body = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &body);
    int pairs = put_pairs(client, &writer, options, ret_serial);
    int error = pairs < 0 ? pairs : writer.status;
    if (error == 0) {
        struct bpi_pack_writer head;
        bpi_pack_writer_init(&head, out);
        bpi_pack_map(&head, (size_t)pairs);
        bpi_pack_raw(&head, bpi_buffer_head(&body), bpi_buffer_size(&body));
        error = head.status;
    }
    bpi_buffer_done(&body);
    return error;
}

/* ---- begin and end ---- */

static const struct bp_tx_options defaults = BP_TX_OPTIONS_INIT;

int bpi_tx_begin_put(struct bpi_client *client, const struct bp_tx_options *options)
{
    options = options == NULL ? &defaults : options;
    struct bpi_buffer extra = {0};
    uint64_t serial = 0;
    int error = bpi_tx_extra_write(client, options, &extra, &serial);
    if (error == 0) {
        error = bpi_wire_put_owed(client);
    }
    if (error == 0) {
        error = bpi_wire_put_map(
            client, BPI_BOLT_BEGIN,
            (struct bpi_bolt_span){bpi_buffer_head(&extra), bpi_buffer_size(&extra)});
    }
    bpi_buffer_done(&extra);
    if (error != 0) {
        return bpi_failure_lose(client, error, NULL);
    }
    client->tx = BPI_TX_OPEN;
    client->tx_bookmarks = options->bookmarks;
    client->tx_bookmarks_serial = serial;
    client->deadline_us = options->deadline_us;
    return 0;
}

int bpi_tx_begin_check(struct bpi_client *client, const struct bp_tx_options *options)
{
    if (client->tx != BPI_TX_NONE) {
        return bpi_failure_set(client, BP_E_USAGE, "a transaction is open already");
    }
    int error = bpi_tx_options_check(client, options);
    return error != 0 ? error : bpi_result_absorb(client);
}

int bp_bolt_begin(struct bp_bolt *bolt, const struct bp_tx_options *options)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = bpi_tx_begin_check(client, options);
    if (error == 0) {
        error = bpi_tx_begin_put(client, options);
    }
    if (error == 0) {
        error = bpi_wire_flush(client);
    }
    if (error == 0) {
        error = bpi_wire_settle(client, 0);
    }
    if (error == 0 && client->tx != BPI_TX_OPEN) {
        error = bpi_failure_of_ignored(client);
        client->deadline_us = 0;
    }
    bpi_client_leave(client);
    return error;
}

/* The transaction is over, one way or another. */
static void over(struct bpi_client *client)
{
    client->tx = BPI_TX_NONE;
    client->tx_bookmarks = NULL;
    client->deadline_us = 0;
}

int bpi_tx_commit(struct bpi_client *client)
{
    if (client->tx == BPI_TX_NONE) {
        return bpi_failure_set(client, BP_E_USAGE, "commit: no transaction is open");
    }
    if (client->tx == BPI_TX_FAILED) {
        return client->failure->error != 0 ? client->failure->error : BP_E_SERVER_FAILURE;
    }
    int error = bpi_results_finish(client);
    if (error != 0) {
        return error;
    }
    error = bpi_wire_put(client, BPI_BOLT_COMMIT, NULL);
    if (error != 0) {
        return bpi_failure_lose(client, error, NULL);
    }
    error = bpi_wire_flush(client);
    client->is_committed = false;
    if (error == 0) {
        bpi_failure_clear(client);
        error = bpi_wire_settle(client, 0);
    }
    if (error == 0 && !client->is_committed) {
        error = client->failure->error;
    }
    over(client);
    return error;
}

int bpi_tx_rollback(struct bpi_client *client)
{
    if (client->tx == BPI_TX_NONE) {
        return bpi_failure_set(client, BP_E_USAGE, "rollback: no transaction is open");
    }
    bpi_results_end(client);
    int error;
    if (client->tx == BPI_TX_FAILED) {
        error = bpi_client_reset(client, 0);
        over(client);
        return error;
    }
    error = bpi_wire_put(client, BPI_BOLT_ROLLBACK, NULL);
    if (error != 0) {
        return bpi_failure_lose(client, error, NULL);
    }
    error = bpi_wire_flush(client);
    if (error == 0) {
        error = bpi_wire_settle(client, 0);
    }
    /* A row that was still to come may have failed; then it is rolled back too, and a RESET is owed. */
    over(client);
    return error;
}

int bp_bolt_commit(struct bp_bolt *bolt)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = bpi_tx_commit(client);
    bpi_client_leave(client);
    return error;
}

int bp_bolt_rollback(struct bp_bolt *bolt)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = bpi_tx_rollback(client);
    bpi_client_leave(client);
    return error;
}
