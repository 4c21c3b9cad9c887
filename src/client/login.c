/* See client.h: versions, HELLO, LOGON. */
#include "client/login.h"

#include "bolt/handshake.h"

#include <boltpool/error.h>
#include <boltpool/version.h>

#include <openssl/crypto.h>

#include <stdio.h>
#include <string.h>

#define AGENT "boltpool/" BP_VERSION_STRING

/* ---- the version ---- */

static int refuse_version(struct bpi_client *client, int error)
{
    return bpi_failure_lose(client, error,
                            error == BP_E_VERSION
                                ? "the server speaks no Bolt version from 4.1 to 6.1"
                                : "the server doesn't answer as Bolt does: is it the Bolt port?");
}

static int choose(struct bpi_client *client, struct bpi_handshake_client *handshake)
{
    if (handshake->manifest) {
        bpi_bolt_versions common = handshake->spoken & handshake->wanted;
        if (common == 0) {
            return refuse_version(client, BP_E_VERSION);
        }
        client->version = bpi_bolt_versions_newest(common);
        /* It goes out with HELLO. */
        return bpi_handshake_client_choose(handshake, client->version, &client->out);
    }
    client->version = handshake->version;
    return 0;
}

static int agree(struct bpi_client *client)
{
    struct bpi_handshake_client handshake = {0};
    int error = bpi_handshake_client_start(&handshake, bpi_bolt_versions_all(), true, &client->out);
    if (error == 0) {
        error = bpi_wire_flush(client);
    }
    enum bpi_handshake_result result = BPI_HANDSHAKE_MORE;
    while (error == 0) {
        error = bpi_channel_read(&client->channel, &client->in, client->deadline_us);
        if (error != 0) {
            return bpi_failure_lose(client, error, NULL);
        }
        error = bpi_handshake_client_read(&handshake, &client->in, &result);
        if (error == 0 && result != BPI_HANDSHAKE_MORE) {
            break;
        }
    }
    if (error != 0) {
        return error;
    }
    if (result != BPI_HANDSHAKE_DONE) {
        return refuse_version(client,
                              result == BPI_HANDSHAKE_REFUSED ? BP_E_VERSION : BP_E_HANDSHAKE);
    }
    error = choose(client, &handshake);
    if (error == 0) {
        bpi_bolt_version_format(client->version, client->version_text,
                                sizeof(client->version_text));
        bpi_client_state_init(&client->state, client->version);
    }
    return error;
}

/* ---- HELLO ---- */

static void put_bolt_agent(struct bpi_pack_writer *writer)
{
    bpi_pack_text(writer, "bolt_agent");
    bpi_pack_map(writer, 2);
    bpi_pack_text(writer, "product");
    bpi_pack_text(writer, AGENT);
    bpi_pack_text(writer, "language");
    bpi_pack_text(writer, "C");
}

static void put_routing(struct bpi_pack_writer *writer, const struct bpi_url *url)
{
    char address[300];
    bool is_ip6 = strchr(url->host, ':') != NULL;
    snprintf(address, sizeof(address), "%s%s%s:%u", is_ip6 ? "[" : "", url->host, is_ip6 ? "]" : "",
             (unsigned)url->port);
    bpi_pack_text(writer, "routing");
    bpi_pack_map(writer, 1);
    bpi_pack_text(writer, "address");
    bpi_pack_text(writer, address);
}

static void put_notifications(struct bpi_pack_writer *writer,
                              const struct bpi_client_settings *settings,
                              bpi_bolt_version version)
{
    if (settings->min_severity != NULL) {
        bpi_pack_text(writer, "notifications_minimum_severity");
        bpi_pack_text(writer, settings->min_severity);
    }
    if (bpi_buffer_size(&settings->disabled) > 0) {
        bpi_pack_text(writer, bpi_bolt_has_classifications(version)
                                  ? "notifications_disabled_classifications"
                                  : "notifications_disabled_categories");
        bpi_pack_raw(writer, bpi_buffer_head(&settings->disabled),
                     bpi_buffer_size(&settings->disabled));
    }
}

/* `token` inside, where the version wants it there. Its map is wiped: it may hold a password. */
static int put_hello(struct bpi_client *client, struct bpi_bolt_span token)
{
    const struct bpi_client_settings *settings = client->settings;
    bpi_bolt_version version = client->version;
    struct bpi_pack_reader reader = {0};
    uint32_t token_pairs = 0;
    if (!bpi_bolt_has_logon(version)) {
        bpi_pack_reader_init(&reader, token.data, token.size);
        int error = bpi_pack_next_map(&reader, &token_pairs);
        if (error != 0) {
            return error;
        }
    }
    bool patch = bpi_bolt_has_patch(version);
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, (size_t)1 + bpi_bolt_has_bolt_agent(version) + settings->url.routing +
                              (settings->min_severity != NULL) +
                              (bpi_buffer_size(&settings->disabled) > 0) + patch + token_pairs);
    bpi_pack_text(&writer, "user_agent");
    bpi_pack_text(&writer, settings->user_agent);
    if (bpi_bolt_has_bolt_agent(version)) {
        put_bolt_agent(&writer);
    }
    if (settings->url.routing) {
        put_routing(&writer, &settings->url);
    }
    put_notifications(&writer, settings, version);
    if (patch) {
        bpi_pack_text(&writer, "patch_bolt");
        bpi_pack_list(&writer, 1);
        bpi_pack_text(&writer, "utc");
    }
    if (token_pairs > 0) {
        bpi_pack_raw(&writer, reader.at, (size_t)(reader.end - reader.at));
    }
    int error = writer.status;
    if (error == 0) {
        error =
            bpi_wire_put_map(client, BPI_BOLT_HELLO,
                             (struct bpi_bolt_span){bpi_buffer_head(&map), bpi_buffer_size(&map)});
    }
    bpi_buffer_wipe(&map);
    return error;
}

static void
take_text(const struct bpi_bolt_answer *answer, const char *key, char *text, size_t size)
{
    const uint8_t *value;
    size_t value_size;
    struct bpi_pack_reader reader;
    struct bpi_bolt_text found;
    if (bpi_pack_map_find(answer->meta.data, answer->meta.size, key, &value, &value_size) != 1) {
        return;
    }
    bpi_pack_reader_init(&reader, value, value_size);
    if (bpi_pack_next_string(&reader, &found.data, &found.size) == 0) {
        snprintf(text, size, "%.*s", (int)(found.size < size ? found.size : size), found.data);
    }
}

/* After how much silence the server counts as gone, by itself. */
static bp_usec silence_of(const uint8_t *hints, size_t size)
{
    const uint8_t *value;
    size_t value_size;
    struct bpi_pack_reader reader;
    int64_t seconds;
    if (bpi_pack_map_find(hints, size, "connection.recv_timeout_seconds", &value, &value_size) !=
        1) {
        return 0;
    }
    bpi_pack_reader_init(&reader, value, value_size);
    if (bpi_pack_next_int(&reader, &seconds) != 0 || seconds < 1 || seconds > 86400) {
        return 0;
    }
    return (bp_usec)seconds * BP_USEC_PER_SECOND;
}

int bpi_login_greeted(struct bpi_client *client, const struct bpi_bolt_answer *answer)
{
    const uint8_t *value;
    size_t size;
    take_text(answer, "server", client->server, sizeof(client->server));
    take_text(answer, "connection_id", client->connection_id, sizeof(client->connection_id));
    int found = bpi_pack_map_find(answer->meta.data, answer->meta.size, "hints", &value, &size);
    client->channel.silence_us = client->settings->answer_timeout_us;
    if (found == 1 && client->channel.silence_us == 0) {
        client->channel.silence_us = silence_of(value, size);
    }
    client->utc_patch =
        bpi_bolt_has_patch(client->version) &&
        bpi_pack_map_find(answer->meta.data, answer->meta.size, "patch_bolt", &value, &size) == 1 &&
        size > 1; /* an empty list is one byte, and there is one patch to ask for */
    return found < 0 ? bpi_failure_lose(client, found, "HELLO's answer makes no sense") : 0;
}

int bpi_client_greet(struct bpi_client *client, struct bpi_bolt_span token)
{
    int error = agree(client);
    if (error != 0) {
        return error;
    }
    const struct bpi_client_settings *settings = client->settings;
    if ((settings->min_severity != NULL || bpi_buffer_size(&settings->disabled) > 0) &&
        !bpi_bolt_has_notification_filter(client->version)) {
        return bpi_failure_lose(client, BP_E_VERSION,
                                "notification filters need Bolt 5.2; the server is older");
    }
    error = put_hello(client, token);
    if (error == 0 && bpi_bolt_has_logon(client->version)) {
        error = bpi_wire_put_map(client, BPI_BOLT_LOGON, token);
    }
    if (error != 0) {
        return error;
    }
    error = bpi_wire_flush(client);
    if (error == 0) {
        error = bpi_wire_settle(client, 0);
    }
    if (client->out.data != NULL) {
        OPENSSL_cleanse(client->out.data, client->out.capacity);
    }
    return error;
}
