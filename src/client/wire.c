/* See client.h: requests out, answers in. */
#include "base/assert.h"
#include "client/client.h"
#include "client/login.h"

#include <boltpool/error.h>

#include <string.h>
#include <uv.h>

/* A joined message gives its memory back before the next one if it was larger. Doubled, an idle connection may hold
 * twice as much for nothing. */
#define JOINED_KEEP_BYTES ((size_t)262144)
/* The same of what was read and written. */
#define BUFFER_KEEP_BYTES ((size_t)1048576)

/* ---- requests ---- */

int bpi_wire_expect(struct bpi_client *client, uint8_t request, struct bp_result *result)
{
    if (client->expected_count == BPI_EXPECTED_MAX) {
        return BP_E_INTERNAL;
    }
    int error = bpi_client_state_sent(&client->state, request);
    if (error != 0) {
        return error;
    }
    unsigned at = (client->expected_first + client->expected_count) % BPI_EXPECTED_MAX;
    client->expected[at] = result;
    client->expected_count++;
    return 0;
}

int bpi_wire_put(struct bpi_client *client, uint8_t request, struct bp_result *result)
{
    int error = bpi_bolt_write_simple(&client->out, request);
    return error != 0 ? error : bpi_wire_expect(client, request, result);
}

int bpi_wire_put_map(struct bpi_client *client, uint8_t request, struct bpi_bolt_span map)
{
    int error = bpi_bolt_write_map(&client->out, request, map);
    return error != 0 ? error : bpi_wire_expect(client, request, NULL);
}

int bpi_wire_put_run(struct bpi_client *client,
                     struct bpi_bolt_text query,
                     struct bpi_bolt_span params,
                     struct bpi_bolt_span extra,
                     struct bp_result *result)
{
    int error = bpi_bolt_write_run(&client->out, query, params, extra);
    return error != 0 ? error : bpi_wire_expect(client, BPI_BOLT_RUN, result);
}

int bpi_wire_put_fetch(
    struct bpi_client *client, uint8_t request, int64_t n, int64_t qid, struct bp_result *result)
{
    int error = bpi_bolt_write_fetch(&client->out, request, n, qid);
    return error != 0 ? error : bpi_wire_expect(client, request, result);
}

int bpi_wire_put_owed(struct bpi_client *client)
{
    if (!client->owes_reset) {
        return 0;
    }
    int error = bpi_wire_put(client, BPI_BOLT_RESET, NULL);
    if (error == 0) {
        client->owes_reset = false;
    }
    return error;
}

int bpi_wire_flush(struct bpi_client *client)
{
    int error = bpi_channel_write(&client->channel, &client->out, &client->in, client->deadline_us);
    if (client->out.capacity > BUFFER_KEEP_BYTES) {
        bpi_buffer_done(&client->out);
    }
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

/* ---- whole messages ---- */

static int read_more(struct bpi_client *client)
{
    int error = bpi_channel_read(&client->channel, &client->in, client->deadline_us);
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

/* Joins a chunk, whose payload is there, to the message that it is a part of. */
static int join(struct bpi_client *client, const uint8_t *payload, size_t size)
{
    if (bpi_buffer_size(&client->joined) + size > client->settings->message_max) {
        return bpi_failure_lose(client, BP_E_SIZE, "a message is larger than message_max");
    }
    int error = bpi_buffer_append(&client->joined, payload, size);
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

int bpi_wire_receive(struct bpi_client *client, struct bpi_bolt_span *ret_message)
{
    if (client->joined.capacity > JOINED_KEEP_BYTES) {
        bpi_buffer_done(&client->joined);
    } else {
        bpi_buffer_clear(&client->joined);
    }
    for (;;) {
        const uint8_t *head = bpi_buffer_head(&client->in);
        size_t size = bpi_buffer_size(&client->in);
        size_t length = size < 2 ? 0 : (size_t)head[0] << 8 | head[1];
        if (size >= 2 && length == 0) {
            bpi_buffer_consume(&client->in, 2);
            if (bpi_buffer_size(&client->joined) > 0) {
                ret_message->data = bpi_buffer_head(&client->joined);
                ret_message->size = bpi_buffer_size(&client->joined);
                return 0;
            }
            continue; /* a NOOP */
        }
        /* A chunk is looked at with the header behind it, which says whether the message ends there. */
        if (size < 2 || size < length + 4) {
            int error = read_more(client);
            if (error != 0) {
                return error;
            }
            continue;
        }
        bool is_last = head[length + 2] == 0 && head[length + 3] == 0;
        if (is_last && bpi_buffer_size(&client->joined) == 0) {
            if (length > client->settings->message_max) {
                return bpi_failure_lose(client, BP_E_SIZE, "a message is larger than message_max");
            }
            ret_message->data = head + 2;
            ret_message->size = length;
            bpi_buffer_consume(&client->in, length + 4);
            return 0;
        }
        int error = join(client, head + 2, length);
        if (error != 0) {
            return error;
        }
        bpi_buffer_consume(&client->in, length + 2);
    }
}

/* ---- answers ---- */

/* A refusal outside a result. */
static int refused(struct bpi_client *client, uint8_t request, const struct bpi_bolt_answer *answer)
{
    if (answer->tag == BPI_BOLT_FAILURE) {
        bpi_failure_of_answer(client, answer);
    } else {
        bpi_failure_of_ignored(client);
    }
    switch (request) {
    case BPI_BOLT_HELLO:
    case BPI_BOLT_LOGON:
    case BPI_BOLT_LOGOFF:
        /* The server closes it; its own words stand. */
        client->is_lost = true;
        return BP_E_SERVER_FAILURE;
    case BPI_BOLT_RESET:
        if (answer->tag == BPI_BOLT_FAILURE) {
            return bpi_failure_lose(client, BP_E_SERVER_LOST, "the server refused a RESET");
        }
        return 0;
    case BPI_BOLT_BEGIN:
    case BPI_BOLT_COMMIT:
    case BPI_BOLT_ROLLBACK:
        client->tx = BPI_TX_NONE;
        client->owes_reset = true;
        return 0;
    default:
        if (client->tx != BPI_TX_NONE) {
            client->tx = BPI_TX_FAILED;
        } else {
            client->owes_reset = true;
        }
        return 0;
    }
}

static void committed(struct bpi_client *client, const struct bpi_bolt_answer *answer)
{
    struct bpi_bolt_text bookmark = bpi_bolt_map_text(answer->meta, "bookmark");
    if (client->tx_bookmarks != NULL && bookmark.data != NULL) {
        bpi_bookmarks_replace(client->tx_bookmarks, client->tx_bookmarks_serial, bookmark);
    }
    client->is_committed = true;
}

static int
succeeded(struct bpi_client *client, uint8_t request, const struct bpi_bolt_answer *answer)
{
    switch (request) {
    case BPI_BOLT_HELLO:
        return bpi_login_greeted(client, answer);
    case BPI_BOLT_COMMIT:
        committed(client, answer);
        return 0;
    default:
        return 0;
    }
}

/* An answer for a result that somebody wants. */
static int answer_result(struct bpi_client *client,
                         uint8_t request,
                         struct bp_result *result,
                         const struct bpi_bolt_answer *answer)
{
    if (answer->tag != BPI_BOLT_SUCCESS) {
        refused(client, request, answer);
        bpi_result_failed(result, BP_E_SERVER_FAILURE);
        return 0;
    }
    int error = request == BPI_BOLT_RUN ? bpi_result_ran(result, answer)
                                        : bpi_result_fetched(result, answer);
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

static int answered(struct bpi_client *client, struct bpi_bolt_span message)
{
    struct bpi_bolt_answer answer;
    int error = bpi_bolt_answer_read(message.data, message.size, &answer);
    uint8_t request = 0;
    if (error == 0) {
        error = bpi_client_state_received(&client->state, answer.tag, answer.has_more, &request);
    }
    if (error != 0) {
        return bpi_failure_lose(client, error, "the server broke the protocol");
    }
    BP_ASSERT(client->expected_count > 0);
    struct bp_result *result = client->expected[client->expected_first];
    client->expected_first = (client->expected_first + 1) % BPI_EXPECTED_MAX;
    client->expected_count--;
    if (result != NULL) {
        return answer_result(client, request, result, &answer);
    }
    return answer.tag == BPI_BOLT_SUCCESS ? succeeded(client, request, &answer)
                                          : refused(client, request, &answer);
}

int bpi_wire_step(struct bpi_client *client,
                  const struct bp_result *reader,
                  struct bpi_bolt_span *ret_record)
{
    struct bpi_bolt_span message;
    int error = bpi_wire_receive(client, &message);
    if (error != 0) {
        return error;
    }
    bool is_record =
        message.size > 2 && message.data[0] == 0xb1 && message.data[1] == BPI_BOLT_RECORD;
    if (!is_record) {
        return answered(client, message);
    }
    uint8_t request;
    error = bpi_client_state_received(&client->state, BPI_BOLT_RECORD, false, &request);
    if (error != 0 || request != BPI_BOLT_PULL) {
        return bpi_failure_lose(client, BP_E_UNEXPECTED, "a row that nobody asked for");
    }
    struct bp_result *result = client->expected[client->expected_first];
    struct bpi_bolt_span record = {message.data + 2, message.size - 2};
    if (result == NULL || result->discards) {
        return 0;
    }
    if (result == reader) {
        *ret_record = record;
        return 1;
    }
    error = bpi_result_keep_row(result, record);
    return error == 0 ? 0 : bpi_failure_lose(client, error, NULL);
}

int bpi_wire_settle(struct bpi_client *client, unsigned left)
{
    struct bpi_bolt_span record;
    while (client->expected_count > left) {
        int error = bpi_wire_step(client, NULL, &record);
        if (error < 0) {
            return error;
        }
    }
    if (client->in.capacity > BUFFER_KEEP_BYTES && bpi_buffer_size(&client->in) == 0) {
        bpi_buffer_done(&client->in);
    }
    return 0;
}

void bpi_wire_forget(struct bpi_client *client, const struct bp_result *result)
{
    for (unsigned i = 0; i < client->expected_count; i++) {
        unsigned at = (client->expected_first + i) % BPI_EXPECTED_MAX;
        if (client->expected[at] == result) {
            client->expected[at] = NULL;
        }
    }
}
