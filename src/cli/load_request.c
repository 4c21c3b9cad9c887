/* What a client of the load generator writes: log-ins, transactions, PULLs, each noted as unanswered. Nothing
 * here decides or flushes.
 */
#include <boltpool/error.h>
#include <boltpool/version.h>

#include "base/assert.h"
#include "bolt/hello.h"
#include "bolt/message.h"
#include "cli/load_types.h"
#include "net/conn.h"

#include <stdio.h>
#include <string.h>

#define AGENT "boltpool-bench/" BP_VERSION_STRING

/* Writes a request with one map, or the empty one, and notes it. */
static int map_put(struct bpi_load_client *client, uint8_t tag, const struct bpi_buffer *map)
{
    struct bpi_bolt_span span = {0};
    if (map != NULL) {
        span = (struct bpi_bolt_span){bpi_buffer_head(map), bpi_buffer_size(map)};
    }
    int error = bpi_bolt_write_map(bpi_conn_out(client->conn), tag, span);
    return error != 0 ? error : bpi_client_state_sent(&client->bolt, tag);
}

static void token_write(struct bpi_pack_writer *writer, const char *user, const char *password)
{
    bpi_pack_text(writer, "scheme");
    bpi_pack_text(writer, *user == '\0' ? "none" : "basic");
    if (*user != '\0') {
        bpi_pack_text(writer, "principal");
        bpi_pack_text(writer, user);
        bpi_pack_text(writer, "credentials");
        bpi_pack_text(writer, password);
    }
}

static int hello_write(struct bpi_load_client *client,
                       struct bpi_pack_writer *writer,
                       const char *user,
                       const char *password)
{
    const struct bpi_url *url = &client->worker->load->options.urls[client->url_index];
    bool token = !bpi_bolt_has_logon(client->version);
    bool bolt_agent = bpi_bolt_has_bolt_agent(client->version);
    BP_ASSERT(user != NULL && url != NULL);
    size_t token_pairs = *user == '\0' ? 1 : 3;
    bpi_pack_map(writer, 1 + (size_t)bolt_agent + (size_t)url->routing + (token ? token_pairs : 0));
    bpi_pack_text(writer, "user_agent");
    bpi_pack_text(writer, AGENT);
    if (bolt_agent) {
        bpi_pack_text(writer, "bolt_agent");
        bpi_pack_map(writer, 1);
        bpi_pack_text(writer, "product");
        bpi_pack_text(writer, AGENT);
    }
    if (url->routing) {
        bpi_bolt_put_routing(writer, url);
    }
    if (token) {
        token_write(writer, user, password);
    }
    return writer->status;
}

int bpi_load_put_login(struct bpi_load_client *client)
{
    const struct bpi_load_options *options = &client->worker->load->options;
    const struct bpi_url *url = &options->urls[client->url_index];
    const char *user = options->user != NULL ? options->user : url->user;
    const char *password = options->user != NULL ? options->password : url->password;
    password = password == NULL ? "" : password;
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &map);
    int error = hello_write(client, &writer, user, password);
    if (error == 0) {
        error = map_put(client, BPI_BOLT_HELLO, &map);
    }
    if (error == 0 && bpi_bolt_has_logon(client->version)) {
        bpi_buffer_clear(&map);
        bpi_pack_map(&writer, *user == '\0' ? 1 : 3);
        token_write(&writer, user, password);
        error = writer.status != 0 ? writer.status : map_put(client, BPI_BOLT_LOGON, &map);
    }
    bpi_buffer_wipe(&map);
    return error;
}

static void params_write(struct bpi_load_client *client,
                         struct bpi_pack_writer *writer,
                         const struct bpi_load_entry *entry)
{
    bpi_pack_map(writer, entry->param_count);
    for (size_t i = 0; i < entry->param_count; i++) {
        const struct bpi_load_param *param = &entry->params[i];
        bpi_pack_text(writer, param->name);
        switch (param->kind) {
        case BPI_LOAD_INT:
            bpi_pack_int(writer, param->low);
            break;
        case BPI_LOAD_TEXT:
            bpi_pack_text(writer, param->text);
            break;
        case BPI_LOAD_RANDOM: {
            uint64_t span = (uint64_t)param->high - (uint64_t)param->low + 1;
            uint64_t draw = span == 0 ? bpi_random_next(&client->worker->random)
                                      : bpi_random_below(&client->worker->random, span);
            bpi_pack_int(writer, (int64_t)((uint64_t)param->low + draw));
            break;
        }
        case BPI_LOAD_UNIQUE:
            bpi_pack_int(writer, (int64_t)client->unique);
            break;
        }
    }
}

static void extra_write(struct bpi_load_client *client,
                        struct bpi_pack_writer *writer,
                        const struct bpi_load_entry *entry)
{
    const char *database = client->worker->load->options.database;
    bpi_pack_map(writer, (size_t)entry->mode_read + (size_t)(database != NULL) +
                             (size_t)(entry->metadata_count > 0));
    if (entry->mode_read) {
        bpi_pack_text(writer, "mode");
        bpi_pack_text(writer, "r");
    }
    if (database != NULL) {
        bpi_pack_text(writer, "db");
        bpi_pack_text(writer, database);
    }
    if (entry->metadata_count > 0) {
        bpi_pack_text(writer, "tx_metadata");
        bpi_pack_map(writer, entry->metadata_count);
        for (size_t i = 0; i < entry->metadata_count; i++) {
            const struct bpi_load_pair *pair = &entry->metadata[i];
            bpi_pack_text(writer, pair->key);
            if (pair->value != NULL) {
                bpi_pack_text(writer, pair->value);
            } else {
                bpi_pack_int(writer, pair->number);
            }
        }
    }
}

int bpi_load_put_simple(struct bpi_load_client *client, uint8_t tag)
{
    int error = bpi_bolt_write_simple(bpi_conn_out(client->conn), tag);
    return error != 0 ? error : bpi_client_state_sent(&client->bolt, tag);
}

int bpi_load_put_pull(struct bpi_load_client *client)
{
    int64_t n = client->worker->load->options.fetch_size;
    int error = bpi_bolt_write_fetch(bpi_conn_out(client->conn), BPI_BOLT_PULL, n, -1);
    return error != 0 ? error : bpi_client_state_sent(&client->bolt, BPI_BOLT_PULL);
}

static int run_put(struct bpi_load_client *client,
                   const struct bpi_load_entry *entry,
                   const struct bpi_buffer *extra)
{
    struct bpi_bolt_text query = {entry->query, strlen(entry->query)};
    struct bpi_buffer params = {0};
    struct bpi_bolt_span extra_span = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &params);
    params_write(client, &writer, entry);
    int error = writer.status;
    if (extra != NULL) {
        extra_span = (struct bpi_bolt_span){bpi_buffer_head(extra), bpi_buffer_size(extra)};
    }
    if (error == 0) {
        struct bpi_bolt_span params_span = {bpi_buffer_head(&params), bpi_buffer_size(&params)};
        error = bpi_bolt_write_run(bpi_conn_out(client->conn), query, params_span, extra_span);
    }
    bpi_buffer_done(&params);
    return error != 0 ? error : bpi_client_state_sent(&client->bolt, BPI_BOLT_RUN);
}

int bpi_load_put_tx(struct bpi_load_client *client)
{
    const struct bpi_load_entry *entry = &client->worker->load->options.entries[client->entry];
    struct bpi_buffer extra = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &extra);
    extra_write(client, &writer, entry);
    int error = writer.status;
    if (error == 0 && entry->is_explicit) {
        error = map_put(client, BPI_BOLT_BEGIN, &extra);
    }
    if (error == 0) {
        error = run_put(client, entry, entry->is_explicit ? NULL : &extra);
    }
    bpi_buffer_done(&extra);
    return error != 0 ? error : bpi_load_put_pull(client);
}
