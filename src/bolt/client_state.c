/* See client_state.h. The ring's capacity is a power of two, so that places are found by a mask. */
#include "bolt/client_state.h"

#include "base/assert.h"
#include "bolt/message.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>

/* LOGOFF+LOGON+RESET+BEGIN+RUN+PULL+COMMIT and some: a link that never grows costs 16 bytes. */
#define PENDING_CAPACITY_MIN 16

_Static_assert((BPI_CLIENT_PENDING_MAX & (BPI_CLIENT_PENDING_MAX - 1)) == 0, "a power of two");

void bpi_client_state_init(struct bpi_client_state *client, bpi_bolt_version version)
{
    memset(client, 0, sizeof(*client));
    client->version = version;
    client->state = BPI_SERVER_NEGOTIATION;
}

void bpi_client_state_done(struct bpi_client_state *client)
{
    free(client->pending);
    memset(client, 0, sizeof(*client));
    client->state = BPI_SERVER_DEFUNCT;
}

static uint8_t pending_at(const struct bpi_client_state *client, unsigned index)
{
    return client->pending[(client->pending_first + index) & (client->pending_capacity - 1u)];
}

static int pending_grow(struct bpi_client_state *client)
{
    if (client->pending_capacity >= BPI_CLIENT_PENDING_MAX) {
        return BP_E_FULL;
    }
    unsigned capacity =
        client->pending_capacity == 0 ? PENDING_CAPACITY_MIN : client->pending_capacity * 2u;
    uint8_t *pending = malloc(capacity);
    if (pending == NULL) {
        return BP_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < client->pending_count; i++) {
        pending[i] = pending_at(client, i);
    }
    free(client->pending);
    client->pending = pending;
    client->pending_first = 0;
    client->pending_capacity = (uint16_t)capacity;
    return 0;
}

int bpi_client_state_sent(struct bpi_client_state *client, uint8_t tag)
{
    if (tag == BPI_BOLT_GOODBYE) {
        client->state = BPI_SERVER_DEFUNCT;
        return 0;
    }
    if (client->pending_count == client->pending_capacity) {
        int error = pending_grow(client);
        if (error != 0) {
            return error;
        }
    }
    unsigned place =
        (client->pending_first + (unsigned)client->pending_count) & (client->pending_capacity - 1u);
    client->pending[place] = tag;
    client->pending_count++;
    if (tag == BPI_BOLT_RESET) {
        client->pending_resets++;
    } else if (tag == BPI_BOLT_BEGIN) {
        client->open_tx = true;
    }
    return 0;
}

/* Whether an answer fits the oldest request in the state that the earlier answers led to. */
static bool answer_fits(const struct bpi_client_state *client, uint8_t tag, uint8_t request)
{
    bool failed = client->state == BPI_SERVER_FAILED;
    switch (tag) {
    case BPI_BOLT_RECORD:
        return request == BPI_BOLT_PULL && !failed;
    case BPI_BOLT_SUCCESS:
        return request == BPI_BOLT_RESET || !failed;
    case BPI_BOLT_FAILURE:
        return true;
    case BPI_BOLT_IGNORED:
        /* A RESET overtakes what waits before it and other RESETs; the last one is never
         * ignored. */
        if (request == BPI_BOLT_RESET) {
            return client->pending_resets > 1;
        }
        return failed || client->pending_resets > 0;
    default:
        return false;
    }
}

static uint8_t pending_pop(struct bpi_client_state *client)
{
    uint8_t request = pending_at(client, 0);
    client->pending_first =
        (uint16_t)((client->pending_first + 1u) & (client->pending_capacity - 1u));
    client->pending_count--;
    if (request == BPI_BOLT_RESET) {
        client->pending_resets--;
    }
    return request;
}

/* A transaction ends with COMMIT or ROLLBACK, and with whatever fails, is ignored or is reset; a
 * BEGIN that waits behind counts again. */
static bool ends_tx(uint8_t tag, uint8_t request)
{
    return tag != BPI_BOLT_SUCCESS || request == BPI_BOLT_COMMIT || request == BPI_BOLT_ROLLBACK ||
           request == BPI_BOLT_RESET;
}

static enum bpi_server_state state_after_answer(const struct bpi_client_state *client,
                                                uint8_t tag,
                                                bool has_more,
                                                uint8_t request)
{
    if (client->state == BPI_SERVER_DEFUNCT) {
        return BPI_SERVER_DEFUNCT;
    }
    if (tag == BPI_BOLT_IGNORED) {
        return BPI_SERVER_FAILED; /* failed or interrupted: only a RESET leads on from either */
    }
    enum bpi_server_outcome outcome = BPI_SERVER_FAILED_OUTCOME;
    if (tag == BPI_BOLT_SUCCESS) {
        outcome = has_more ? BPI_SERVER_HAS_MORE : BPI_SERVER_SUCCEEDED;
    }
    return bpi_server_state_after(client->state, client->version, request, outcome);
}

int bpi_client_state_received(struct bpi_client_state *client,
                              uint8_t tag,
                              bool has_more,
                              uint8_t *ret_request)
{
    if (client->pending_count == 0 || !answer_fits(client, tag, pending_at(client, 0))) {
        return BP_E_UNEXPECTED;
    }
    if (tag == BPI_BOLT_RECORD) {
        *ret_request = BPI_BOLT_PULL;
        return 0;
    }
    uint8_t request = pending_pop(client);
    client->state = state_after_answer(client, tag, has_more, request);
    if (ends_tx(tag, request)) {
        client->open_tx = client->open_tx && bpi_client_state_awaits(client, BPI_BOLT_BEGIN);
    }
    *ret_request = request;
    return 0;
}

bool bpi_client_state_awaits(const struct bpi_client_state *client, uint8_t tag)
{
    for (unsigned i = 0; i < client->pending_count; i++) {
        if (pending_at(client, i) == tag) {
            return true;
        }
    }
    return false;
}

uint8_t bpi_client_state_oldest(const struct bpi_client_state *client)
{
    return client->pending_count == 0 ? 0 : pending_at(client, 0);
}

bool bpi_client_state_clean(const struct bpi_client_state *client)
{
    return client->state == BPI_SERVER_READY && client->pending_count == 0;
}

bool bpi_client_state_may_reset(const struct bpi_client_state *client)
{
    static const uint8_t fragile[] = {
        BPI_BOLT_BEGIN, BPI_BOLT_COMMIT, BPI_BOLT_ROLLBACK,
        BPI_BOLT_LOGON, BPI_BOLT_LOGOFF, BPI_BOLT_HELLO,
    };
    if (client->state == BPI_SERVER_NEGOTIATION || client->state == BPI_SERVER_AUTHENTICATION ||
        client->state == BPI_SERVER_DEFUNCT) {
        return false;
    }
    for (size_t i = 0; i < sizeof(fragile); i++) {
        if (bpi_client_state_awaits(client, fragile[i])) {
            return false;
        }
    }
    return true;
}
