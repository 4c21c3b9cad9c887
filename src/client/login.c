/* See client.h: versions, HELLO, LOGON. */
#include "client/login.h"

#include "bolt/handshake.h"
#include "bolt/hello.h"

#include <boltpool/error.h>

#include <openssl/crypto.h>

#include <stdio.h>
#include <string.h>

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

static int put_hello(struct bpi_client *client, struct bpi_bolt_span token)
{
    const struct bpi_client_settings *settings = client->settings;
    struct bpi_bolt_greeting greeting = {
        .version = client->version,
        .user_agent = settings->user_agent,
        .url = &settings->url,
        .utc_patch = true,
        .min_severity = settings->min_severity,
    };
    if (!bpi_bolt_has_logon(client->version)) {
        greeting.token = token;
    }
    if (bpi_buffer_size(&settings->disabled) > 0) {
        greeting.disabled = (struct bpi_bolt_span){bpi_buffer_head(&settings->disabled),
                                                   bpi_buffer_size(&settings->disabled)};
    }
    int error = bpi_bolt_write_hello(&client->out, &greeting);
    return error != 0 ? error : bpi_wire_expect(client, BPI_BOLT_HELLO, NULL);
}

static void take_text(struct bpi_bolt_span map, const char *key, char *text, size_t size)
{
    struct bpi_bolt_text found = bpi_bolt_map_text(map, key);
    if (found.data != NULL) {
        snprintf(text, size, "%.*s", (int)(found.size < size ? found.size : size), found.data);
    }
}

/* After how much silence the server counts as gone, by itself. */
static bp_usec silence_of(struct bpi_bolt_span hints)
{
    int64_t seconds = 0;
    if (!bpi_bolt_map_int(hints, "connection.recv_timeout_seconds", &seconds) || seconds < 1 ||
        seconds > 86400) {
        return 0;
    }
    return (bp_usec)seconds * BP_USEC_PER_SECOND;
}

int bpi_login_greeted(struct bpi_client *client, const struct bpi_bolt_answer *answer)
{
    struct bpi_bolt_span meta = answer->meta;
    struct bpi_bolt_span hints = {0};
    int found = bpi_pack_map_find(meta.data, meta.size, "hints", &hints.data, &hints.size);
    if (found < 0) {
        return bpi_failure_lose(client, found, "HELLO's answer makes no sense");
    }
    take_text(meta, "server", client->server, sizeof(client->server));
    take_text(meta, "connection_id", client->connection_id, sizeof(client->connection_id));
    client->channel.silence_us = client->settings->answer_timeout_us;
    if (client->channel.silence_us == 0) {
        client->channel.silence_us = silence_of(hints);
    }
    /* An empty list is one byte, and there is one patch to ask for. */
    client->utc_patch =
        bpi_bolt_has_patch(client->version) && bpi_bolt_map_get(meta, "patch_bolt").size > 1;
    return 0;
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
