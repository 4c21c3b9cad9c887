/* See client.h: one connection from open to close, and who may use a handle when. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/fork.h"
#include "client/client.h"
#include "client/quarantine.h"

#include <boltpool/error.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* The last connections that were closed: see quarantine.h. */
static struct bpi_quarantine closed;

static const struct bp_failure no_connection = {
    .error = BP_E_USAGE,
    .text = "this connection was closed or given back, or is used by another thread or process",
};

/* ---- who may use it ---- */

static bool is_handle(const struct bp_bolt *bolt, uint32_t word)
{
    return (word & BPI_CLIENT_USE) == BPI_CLIENT_FREE &&
           word / BPI_CLIENT_LEASE % BPI_CLIENT_HANDLES == bolt->index;
}

static int enter_at(struct bpi_client *client, uint32_t word)
{
    if (client->generation != bpi_fork_generation() ||
        !atomic_compare_exchange_strong_explicit(&client->word, &word, word | BPI_CLIENT_BUSY,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return BP_E_USAGE;
    }
    return 0;
}

int bpi_client_enter(const struct bp_bolt *bolt, struct bpi_client **ret_client)
{
    if (bolt == NULL) {
        return BP_E_USAGE;
    }
    struct bpi_client *client = bpi_client_of(bolt);
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    if (!is_handle(bolt, word) || enter_at(client, word) != 0) {
        return BP_E_USAGE;
    }
    *ret_client = client;
    return 0;
}

int bpi_client_enter_lease(struct bpi_client *client,
                           uint32_t lease,
                           struct bpi_client **ret_client)
{
    if (enter_at(client, lease) != 0) {
        return BP_E_USAGE;
    }
    *ret_client = client;
    return 0;
}

int bpi_client_enter_alive(const struct bp_bolt *bolt, struct bpi_client **ret_client)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter(bolt, &client);
    if (error != 0) {
        return error;
    }
    if (client->is_lost) {
        bpi_client_leave(client);
        return BP_E_SERVER_LOST;
    }
    *ret_client = client;
    return 0;
}

void bpi_client_leave(struct bpi_client *client)
{
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    atomic_store_explicit(&client->word, word & ~BPI_CLIENT_USE, memory_order_release);
}

struct bp_bolt *bpi_client_handle(struct bpi_client *client)
{
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    return &client->handles[word / BPI_CLIENT_LEASE % BPI_CLIENT_HANDLES];
}

/* Takes it from whoever is in, who comes out soon: the connection is cut. */
static void take(struct bpi_client *client)
{
    for (;;) {
        uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
        if ((word & BPI_CLIENT_USE) == BPI_CLIENT_FREE && enter_at(client, word) == 0) {
            return;
        }
        bpi_channel_cut(&client->channel);
        (void)poll(NULL, 0, 1);
    }
}

void bpi_client_end_lease(struct bpi_client *client)
{
    take(client);
    bpi_results_detach(client);
    client->deadline_us = 0; /* that was the caller's */
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    atomic_store_explicit(&client->word, (word & ~BPI_CLIENT_USE) + BPI_CLIENT_LEASE,
                          memory_order_release);
}

/* ---- open and close ---- */

/* What the struct holds; the struct itself stays. */
static void release_parts(struct bpi_client *client)
{
    bpi_client_state_done(&client->state);
    bpi_buffer_done(&client->in);
    bpi_buffer_wipe(&client->out); /* parameters may be secrets */
    bpi_buffer_done(&client->joined);
    bpi_client_settings_unref(client->settings);
    client->settings = NULL;
    free(client->failure);
    client->failure = NULL;
}

static struct bpi_client *client_new(struct bpi_client_settings *settings)
{
    struct bpi_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    client->failure = calloc(1, sizeof(*client->failure));
    if (client->failure == NULL) {
        free(client);
        return NULL;
    }
    for (unsigned i = 0; i < BPI_CLIENT_HANDLES; i++) {
        client->handles[i].index = (uint8_t)i;
    }
    atomic_init(&client->word, 0);
    client->generation = bpi_fork_generation();
    client->channel.fd = -1;
    client->settings = bpi_client_settings_ref(settings);
    return client;
}

static void discard(struct bpi_client *client)
{
    bpi_channel_abandon(&client->channel);
    release_parts(client);
    free(client);
}

int bpi_client_adopt(struct bpi_client_settings *settings,
                     struct bpi_channel *channel,
                     struct bpi_bolt_span token,
                     bp_usec deadline_us,
                     struct bpi_client **ret_client,
                     struct bp_failure *reterr_failure)
{
    struct bpi_client *client = client_new(settings);
    if (client == NULL) {
        bpi_channel_abandon(channel);
        return bpi_failure_say(reterr_failure, BP_E_NO_MEMORY, NULL);
    }
    client->channel = *channel;
    client->deadline_us = deadline_us;
    int error = bpi_client_greet(client, token);
    client->deadline_us = 0;
    if (error != 0) {
        if (client->failure->error == 0) {
            bpi_failure_set(client, error, "logging on: %s", bp_error_text(error));
        }
        bpi_failure_copy(reterr_failure, client->failure);
        discard(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

int bpi_client_open(struct bpi_client_settings *settings,
                    struct bpi_bolt_span token,
                    bp_usec deadline_us,
                    struct bpi_client **ret_client,
                    struct bp_failure *reterr_failure)
{
    char text[512] = "";
    struct bpi_channel channel;
    int error = bpi_channel_open(&channel, settings->url.host, settings->url.port, settings->tls,
                                 settings->server_name, deadline_us, text, sizeof(text));
    if (error != 0) {
        bpi_failure_say(reterr_failure, error, text);
        if (reterr_failure != NULL) {
            reterr_failure->retryable = error != BP_E_TLS;
        }
        return error;
    }
    return bpi_client_adopt(settings, &channel, token, deadline_us, ret_client, reterr_failure);
}

int bp_bolt_open(const struct bp_bolt_config *config,
                 struct bp_bolt **ret_bolt,
                 struct bp_failure *reterr_failure)
{
    if (config == NULL || ret_bolt == NULL) {
        return bpi_failure_say(reterr_failure, BP_E_USAGE, "open: no configuration, or no place");
    }
    struct bpi_client_settings *settings;
    char text[512] = "";
    int error = bpi_client_settings_new(config, &settings, text, sizeof(text));
    if (error != 0) {
        return bpi_failure_say(reterr_failure, error, text);
    }
    struct bpi_bolt_span token = {bpi_buffer_head(&settings->token),
                                  bpi_buffer_size(&settings->token)};
    struct bpi_client *client = NULL;
    error = bpi_client_open(settings, token, bpi_clock_now_us() + settings->connect_timeout_us,
                            &client, reterr_failure);
    bpi_client_settings_unref(settings);
    if (error == 0) {
        *ret_bolt = bpi_client_handle(client);
    }
    return error;
}

void bpi_client_close(struct bpi_client *client)
{
    if (client->generation != bpi_fork_generation()) {
        uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
        /* In a forked child the socket is still the parent's too, and whoever was in isn't there to come out. */
        if ((word & BPI_CLIENT_USE) != BPI_CLIENT_FREE) {
            return;
        }
        bpi_channel_abandon(&client->channel);
    } else {
        take(client);
        bpi_buffer_clear(&client->out);
        if (!client->is_lost && bpi_bolt_write_simple(&client->out, BPI_BOLT_GOODBYE) != 0) {
            bpi_buffer_clear(&client->out);
        }
        bpi_channel_close(&client->channel, client->is_lost ? NULL : &client->out);
    }
    bpi_results_detach(client);
    release_parts(client);
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    atomic_store_explicit(&client->word, (word & ~BPI_CLIENT_USE) | BPI_CLIENT_CLOSED,
                          memory_order_release);
    bpi_quarantine_put(&closed, client);
}

void bp_bolt_close(struct bp_bolt *bolt)
{
    if (bolt == NULL) {
        return;
    }
    struct bpi_client *client = bpi_client_of(bolt);
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    if ((word & BPI_CLIENT_USE) == BPI_CLIENT_CLOSED || client->is_leased ||
        word / BPI_CLIENT_LEASE % BPI_CLIENT_HANDLES != bolt->index) {
        return;
    }
    bpi_client_close(client);
}

void bp_bolt_cancel(struct bp_bolt *bolt)
{
    if (bolt == NULL) {
        return;
    }
    struct bpi_client *client = bpi_client_of(bolt);
    uint32_t word = atomic_load_explicit(&client->word, memory_order_relaxed);
    if ((word & BPI_CLIENT_USE) != BPI_CLIENT_CLOSED &&
        word / BPI_CLIENT_LEASE % BPI_CLIENT_HANDLES == bolt->index &&
        client->generation == bpi_fork_generation()) {
        bpi_channel_cut(&client->channel);
    }
}

/* ---- reset, log on ---- */

int bpi_client_reset(struct bpi_client *client, bp_usec timeout_us)
{
    bpi_results_detach(client);
    bp_usec silence_us = client->channel.silence_us;
    bp_usec limit_us = timeout_us != 0 ? timeout_us : silence_us;
    client->deadline_us = limit_us == 0 ? 0 : bpi_clock_now_us() + limit_us;
    client->owes_reset = false;
    int error = bpi_wire_put(client, BPI_BOLT_RESET, NULL);
    if (error != 0) {
        error = bpi_failure_lose(client, error, NULL);
    } else {
        error = bpi_wire_flush(client);
    }
    if (error == 0) {
        error = bpi_wire_settle(client, 0);
    }
    client->deadline_us = 0;
    client->owes_reset = false; /* what failed meanwhile is mended too */
    client->tx = BPI_TX_NONE;
    client->tx_bookmarks = NULL;
    return error;
}

int bp_bolt_reset(struct bp_bolt *bolt, bp_usec timeout_us)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = bpi_client_reset(client, timeout_us);
    bpi_client_leave(client);
    return error;
}

static int logon(struct bpi_client *client, const struct bp_login *login)
{
    if (login == NULL) {
        return bpi_failure_set(client, BP_E_USAGE, "no log-in");
    }
    if (client->tx != BPI_TX_NONE || client->open != NULL) {
        return bpi_failure_set(client, BP_E_USAGE,
                               "log-in in a transaction, or with an open result");
    }
    if (!bpi_bolt_has_logon(client->version)) {
        return bpi_failure_set(client, BP_E_VERSION, "another log-in needs Bolt 5.1; this is %s",
                               client->version_text);
    }
    struct bpi_buffer token = {0};
    int error = bpi_client_token_write(login, &token);
    if (error != 0) {
        bpi_buffer_wipe(&token);
        return bpi_failure_set(client, error, "the log-in: %s", bp_error_text(error));
    }
    error = bpi_wire_put_owed(client);
    if (error == 0) {
        error = bpi_wire_put(client, BPI_BOLT_LOGOFF, NULL);
    }
    if (error == 0) {
        error = bpi_wire_put_map(
            client, BPI_BOLT_LOGON,
            (struct bpi_bolt_span){bpi_buffer_head(&token), bpi_buffer_size(&token)});
    }
    bpi_buffer_wipe(&token);
    if (error != 0) {
        return bpi_failure_lose(client, error, NULL);
    }
    bp_usec timeout_us = client->settings->connect_timeout_us;
    client->deadline_us = bpi_clock_now_us() + timeout_us;
    error = bpi_wire_flush(client);
    if (error == 0) {
        error = bpi_wire_settle(client, 0);
    }
    client->deadline_us = 0;
    return error;
}

int bp_bolt_logon(struct bp_bolt *bolt, const struct bp_login *login)
{
    struct bpi_client *client = NULL;
    int error = bpi_client_enter_alive(bolt, &client);
    if (error != 0) {
        return error;
    }
    error = logon(client, login);
    bpi_client_leave(client);
    return error;
}

/* ---- questions ---- */

enum bp_bolt_state bpi_client_state(const struct bpi_client *client)
{
    if (client->is_lost) {
        return BP_BOLT_LOST;
    }
    switch (client->tx) {
    case BPI_TX_OPEN:
        return BP_BOLT_TRANSACTION;
    case BPI_TX_FAILED:
        return BP_BOLT_FAILED;
    case BPI_TX_NONE:
        break;
    }
    return client->open != NULL ? BP_BOLT_STREAMING : BP_BOLT_READY;
}

/* The connection of a handle that holds, without coming in: for what doesn't change, or changes under the caller's own
 * calls only. */
static const struct bpi_client *look(const struct bp_bolt *bolt)
{
    if (bolt == NULL) {
        return NULL;
    }
    const struct bpi_client *client = bpi_client_of(bolt);
    uint32_t word = atomic_load_explicit(&client->word, memory_order_acquire);
    return is_handle(bolt, word) ? client : NULL;
}

enum bp_bolt_state bp_bolt_get_state(const struct bp_bolt *bolt)
{
    const struct bpi_client *client = look(bolt);
    return client == NULL ? BP_BOLT_LOST : bpi_client_state(client);
}

const struct bp_failure *bp_bolt_failure(const struct bp_bolt *bolt)
{
    const struct bpi_client *client = look(bolt);
    return client == NULL ? &no_connection : client->failure;
}

const char *bp_bolt_version(const struct bp_bolt *bolt)
{
    const struct bpi_client *client = look(bolt);
    return client == NULL ? "" : client->version_text;
}

const char *bp_bolt_server(const struct bp_bolt *bolt)
{
    const struct bpi_client *client = look(bolt);
    return client == NULL ? "" : client->server;
}

const char *bp_bolt_connection_id(const struct bp_bolt *bolt)
{
    const struct bpi_client *client = look(bolt);
    return client == NULL ? "" : client->connection_id;
}
