/* See client.h: what went wrong. */
#include "client/client.h"

#include <boltpool/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

void bpi_failure_clear(struct bpi_client *client)
{
    struct bp_failure *failure = client->failure;
    failure->error = 0;
    failure->retryable = 0;
    failure->code[0] = '\0';
    failure->text[0] = '\0';
    failure->gql_status[0] = '\0';
    failure->gql_description[0] = '\0';
    failure->gql_classification[0] = '\0';
    failure->gql_cause_status[0] = '\0';
    failure->gql_cause_description[0] = '\0';
}

void bpi_failure_copy(struct bp_failure *to, const struct bp_failure *from)
{
    if (to != NULL) {
        *to = *from;
    }
}

int bpi_failure_say(struct bp_failure *failure, int error, const char *text)
{
    if (failure != NULL) {
        memset(failure, 0, sizeof(*failure));
        failure->error = error;
        failure->retryable = bp_error_retryable(error);
        snprintf(failure->text, sizeof(failure->text), "%s",
                 text != NULL && text[0] != '\0' ? text : bp_error_text(error));
    }
    return error;
}

int bpi_failure_set(struct bpi_client *client, int error, const char *format, ...)
{
    char text[BP_FAILURE_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    bpi_failure_clear(client);
    client->failure->error = error;
    client->failure->retryable = bp_error_retryable(error);
    snprintf(client->failure->text, sizeof(client->failure->text), "%s", text);
    return error;
}

/* ---- what a server says ---- */

/* A text of a map, cut to its place without cutting a character. */
static bool take_text(struct bpi_bolt_span map, const char *key, char *text, size_t size)
{
    struct bpi_bolt_text found = bpi_bolt_map_text(map, key);
    text[0] = '\0';
    if (found.data == NULL) {
        return false;
    }
    size_t take = found.size < size ? found.size : size - 1;
    if (take < found.size) {
        while (take > 0 && ((uint8_t)found.data[take] & 0xc0) == 0x80) {
            take--;
        }
    }
    memcpy(text, found.data, take);
    text[take] = '\0';
    return true;
}

static struct bpi_bolt_span take_map(struct bpi_bolt_span map, const char *key)
{
    struct bpi_bolt_span value = bpi_bolt_map_get(map, key);
    struct bpi_pack_reader reader;
    uint32_t pairs;
    if (value.data == NULL) {
        return value;
    }
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next_map(&reader, &pairs) == 0 ? value : (struct bpi_bolt_span){0};
}

/* Servers before 5.0 call what a client ended transient, though no retry helps: drivers rename it. */
static void rename_code(char *code)
{
    static const char *const wrong[] = {
        "Neo.TransientError.Transaction.Terminated",
        "Neo.TransientError.Transaction.LockClientStopped",
    };
    static const char *const right[] = {
        "Neo.ClientError.Transaction.Terminated",
        "Neo.ClientError.Transaction.LockClientStopped",
    };
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(code, wrong[i]) == 0) {
            snprintf(code, BP_FAILURE_CODE, "%s", right[i]);
        }
    }
}

static bool code_is_retryable(const char *code)
{
    static const char *const others[] = {
        "Neo.ClientError.Security.AuthorizationExpired",
        "Neo.ClientError.Cluster.NotALeader",
        "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
    };
    static const char transient[] = "Neo.TransientError.";
    if (strncmp(code, transient, sizeof(transient) - 1) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(code, others[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Causes may be nested deeper than anybody reads; a hostile server's even deeper. */
#define CAUSES_MAX 32

static void take_cause(struct bp_failure *failure, struct bpi_bolt_span map)
{
    struct bpi_bolt_span cause = take_map(map, "cause");
    for (unsigned i = 0; i < CAUSES_MAX && cause.data != NULL; i++) {
        take_text(cause, "gql_status", failure->gql_cause_status,
                  sizeof(failure->gql_cause_status));
        take_text(cause, "description", failure->gql_cause_description,
                  sizeof(failure->gql_cause_description));
        cause = take_map(cause, "cause");
    }
}

int bpi_failure_of_answer(struct bpi_client *client, const struct bpi_bolt_answer *answer)
{
    struct bp_failure *failure = client->failure;
    struct bpi_bolt_span map = answer->meta;
    bpi_failure_clear(client);
    failure->error = BP_E_SERVER_FAILURE;
    if (!take_text(map, "neo4j_code", failure->code, sizeof(failure->code))) {
        take_text(map, "code", failure->code, sizeof(failure->code));
    }
    rename_code(failure->code);
    take_text(map, "message", failure->text, sizeof(failure->text));
    take_text(map, "gql_status", failure->gql_status, sizeof(failure->gql_status));
    take_text(map, "description", failure->gql_description, sizeof(failure->gql_description));
    take_text(take_map(map, "diagnostic_record"), "_classification", failure->gql_classification,
              sizeof(failure->gql_classification));
    take_cause(failure, map);
    failure->retryable = code_is_retryable(failure->code);
    client->is_fault = client->is_fault || bpi_bolt_answer_is_fault(answer);
    return BP_E_SERVER_FAILURE;
}

int bpi_failure_of_ignored(struct bpi_client *client)
{
    if (client->failure->error != 0) {
        return client->failure->error;
    }
    return bpi_failure_set(client, BP_E_SERVER_FAILURE, "the server ignored the request");
}

/* ---- a connection that is lost ---- */

static const char *silence_text(const struct bpi_client *client)
{
    return client->deadline_us != 0 ? "the deadline passed before the server answered"
                                    : "the server was silent for longer than it may be";
}

/* Nobody knows whether the server did it: a COMMIT, or a query that commits by itself. */
static bool is_in_doubt(const struct bpi_client *client)
{
    if (bpi_client_state_awaits(&client->state, BPI_BOLT_COMMIT)) {
        return true;
    }
    return client->tx == BPI_TX_NONE && client->open != NULL;
}

int bpi_failure_lose(struct bpi_client *client, int error, const char *text)
{
    if (client->is_lost) {
        return client->failure->error != 0 ? client->failure->error : BP_E_SERVER_LOST;
    }
    client->is_lost = true;
    bpi_channel_cut(&client->channel);
    bool in_doubt = is_in_doubt(client);
    bool is_own = error == UV_ETIMEDOUT && client->deadline_us != 0;
    if (text == NULL && error == UV_ETIMEDOUT) {
        text = silence_text(client);
    }
    bool is_system = error > BP_E_PROTOCOL && error != UV_ETIMEDOUT;
    const char *reason =
        error == UV_EOF ? "the server closed the connection" : bp_error_text(error);
    if (is_system) {
        error = BP_E_SERVER_LOST;
    }
    bpi_failure_set(client, error, "%s%s", text != NULL ? text : reason,
                    in_doubt ? "; whether the work was committed isn't known" : "");
    client->failure->retryable =
        !in_doubt && !is_own && (error == BP_E_SERVER_LOST || error == UV_ETIMEDOUT);
    for (struct bp_result *result = client->results; result != NULL; result = result->next) {
        bpi_result_failed(result, error);
    }
    client->open = NULL;
    return error;
}
