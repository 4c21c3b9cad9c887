/* HELLO, LOGON and LOGOFF of a client.
 *
 * passthrough: the log-in is checked by a server (or was, within auth_cache_ttl), and the session keeps the
 * token, because its links log on with it. file: the log-in is checked against the users file here, and the
 * session works as the service account.
 * Up to Bolt 5.0 HELLO carries the log-in; later ones have LOGON for it.
 */
#include "proxy/session.h"

#include "base/container.h"
#include "base/log.h"
#include "bolt/packstream.h"
#include "engine/config.h"
#include "engine/identity.h"
#include "net/conn.h"
#include "proxy/daemon.h"
#include "proxy/users.h"

#include <boltpool/error.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Said to clients of servers that have not named themselves yet (before Bolt 5.1, none logged on). */
#define SERVER_UNKNOWN "Neo4j/4.4.0"
/* Password checks at one time, for each loop: libuv has four helper threads. */
#define HASHES_MAX 1

const char *bpi_session_advertised(struct bpi_session *session, char *text, size_t size)
{
    const struct bpi_cluster_config *config = bpi_session_config(session);
    if (config->advertised[0] != '\0') {
        snprintf(text, size, "%s", config->advertised);
    } else if (session->hello != NULL && session->hello->routing_address[0] != '\0') {
        snprintf(text, size, "%s", session->hello->routing_address);
    } else {
        bool brackets = strchr(config->listen_host, ':') != NULL;
        snprintf(text, size, "%s%s%s:%u", brackets ? "[" : "", config->listen_host,
                 brackets ? "]" : "", session->front->port);
    }
    return text;
}

/* Appends SUCCESS with the map that `write` writes. */
static void succeed_with(struct bpi_session *session, struct bpi_buffer *map, int status)
{
    if (status == 0) {
        status = bpi_bolt_write_success(
            bpi_session_out(session),
            (struct bpi_bolt_span){bpi_buffer_head(map), bpi_buffer_size(map)});
    }
    bpi_session_wrote(session, status);
    bpi_buffer_done(map);
}

static void answer_hello(struct bpi_session *session, bool expired)
{
    struct bpi_cluster_face face;
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    char id[40];
    char version[8];
    bpi_cluster_face_get(session->front->cluster, &face);
    bool hints = bpi_bolt_has_hints(session->version);
    bool timeout = face.recv_timeout_s > 0;
    session->hinted_us = (bp_usec)face.recv_timeout_s * BP_USEC_PER_SECOND;
    bool ssr = bpi_bolt_has_home_db(session->version) && face.ssr;
    snprintf(id, sizeof(id), "bolt-%" PRIu64, session->id);
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, 2 + (size_t)hints + (size_t)session->utc_patch +
                              (size_t)session->manifest + (size_t)expired);
    bpi_pack_text(&writer, "server");
    bpi_pack_text(&writer, face.server[0] == '\0' ? SERVER_UNKNOWN : face.server);
    bpi_pack_text(&writer, "connection_id");
    bpi_pack_text(&writer, id);
    if (hints) {
        bpi_pack_text(&writer, "hints");
        bpi_pack_map(&writer, (size_t)timeout + (size_t)ssr);
        if (timeout) {
            bpi_pack_text(&writer, "connection.recv_timeout_seconds");
            bpi_pack_int(&writer, face.recv_timeout_s);
        }
        if (ssr) {
            bpi_pack_text(&writer, "ssr.enabled");
            bpi_pack_bool(&writer, true);
        }
    }
    if (session->utc_patch) {
        bpi_pack_text(&writer, "patch_bolt");
        bpi_pack_list(&writer, 1);
        bpi_pack_text(&writer, "utc");
    }
    if (session->manifest) {
        bpi_pack_text(&writer, "protocol_version");
        bpi_pack_text(&writer, bpi_bolt_version_format(session->version, version, sizeof(version)));
    }
    if (expired) {
        bpi_pack_text(&writer, "credentials_expired");
        bpi_pack_bool(&writer, true);
    }
    succeed_with(session, &map, writer.status);
}

static void answer_logon(struct bpi_session *session, bool expired)
{
    struct bpi_buffer map = {0};
    struct bpi_pack_writer writer;
    char address[640];
    bool named = bpi_bolt_has_home_db(session->version);
    bpi_pack_writer_init(&writer, &map);
    bpi_pack_map(&writer, (size_t)named + (size_t)expired);
    if (named) {
        bpi_pack_text(&writer, "advertised_address");
        bpi_pack_text(&writer, bpi_session_advertised(session, address, sizeof(address)));
    }
    if (expired) {
        bpi_pack_text(&writer, "credentials_expired");
        bpi_pack_bool(&writer, true);
    }
    succeed_with(session, &map, writer.status);
}

/* ---- the log-in ---- */

/* The request at the head of the queue was a good log-in. Takes `identity`. */
static void logged_on(struct bpi_session *session, struct bpi_identity *identity, bool expired)
{
    bpi_session_identity_set(session, identity);
    const char *user = bpi_session_user(session);
    session->user_key =
        bpi_identity_hash(bpi_cluster_key(session->front->cluster), user, strlen(user));
    session->state = BPI_SERVER_READY;
    session->login_until_us = 0;
    if (session->queue->tag == BPI_BOLT_HELLO) {
        answer_hello(session, expired);
    } else {
        answer_logon(session, expired);
    }
    bpi_session_pop(session);
}

static void log_refusal(struct bpi_session *session, const char *code)
{
    bpi_session_log(session, BPI_LOG_INFO, "log-in refused: %s", code);
    session->phase = BPI_SESSION_CLOSING; /* servers close after a refused log-in */
}

static void refuse_login(struct bpi_session *session, const char *code, const char *text)
{
    log_refusal(session, code);
    bpi_session_fail(session, code, text, true);
}

static void on_login_done(struct bpi_login *login)
{
    struct bpi_session *session = BPI_CONTAINER(login, struct bpi_session, login);
    struct bpi_identity *identity = session->login_identity;
    session->login_wait = BPI_WAIT_NONE;
    session->login_identity = NULL;
    if (session->phase == BPI_SESSION_GONE) {
        bpi_identity_unref(identity);
        free(login->failure);
        bpi_session_free_if_gone(session);
        return;
    }
    if (login->status == 0) {
        logged_on(session, identity, login->expired);
    } else {
        bpi_identity_unref(identity);
        if (login->status == BP_E_FULL) {
            refuse_login(session, bp_error_neo4j_code(BP_E_FULL),
                         "boltpool: too many log-ins are being checked; try again");
        } else if (login->status == BP_E_SERVER_LOST) {
            session->phase = BPI_SESSION_CLOSING; /* as its server did */
        } else if (login->status == BP_E_SERVER_FAILURE) {
            log_refusal(session, login->failure->code);
            bpi_session_fail_as(session, login->failure);
            free(login->failure);
        } else {
            refuse_login(
                session, bp_error_neo4j_code(BP_E_QUEUE_TIMEOUT),
                "boltpool: no server could check the log-in within queue_timeout; try again");
        }
    }
    bpi_session_pump(session);
}

/* ---- auth_type = file ---- */

static void hash_start(struct bpi_session *session);

static void on_hash_done(struct bpi_work *work)
{
    struct bpi_session *session = BPI_CONTAINER(work, struct bpi_session, hash_work);
    struct bpi_worker *worker = session->worker;
    bool good = bpi_hash_check_passed(session->hash_check);
    char *user = good ? strdup(bpi_hash_check_user(session->hash_check)) : NULL;
    bpi_hash_check_free(session->hash_check);
    session->hash_check = NULL;
    worker->hash_running--;
    if (worker->hash_queue != NULL) {
        struct bpi_session *next = worker->hash_queue;
        worker->hash_queue = next->hash_next;
        hash_start(next);
    }
    if (session->phase == BPI_SESSION_GONE) {
        free(user);
        bpi_session_free_if_gone(session);
        return;
    }
    if (user != NULL) {
        free(session->file_user);
        session->file_user = user;
        logged_on(session, bpi_identity_ref(bpi_users_service(atomic_load(&session->front->users))),
                  false);
    } else {
        refuse_login(session, "Neo.ClientError.Security.Unauthorized",
                     "The client is unauthorized due to authentication failure.");
    }
    bpi_session_pump(session);
}

static void run_hash(struct bpi_work *work)
{
    struct bpi_session *session = BPI_CONTAINER(work, struct bpi_session, hash_work);
    bpi_hash_check_run(session->hash_check);
}

/* Each takes some 50 ms of a helper thread, which TLS and DNS need too: so few at one time, in turn. */
static void hash_start(struct bpi_session *session)
{
    struct bpi_worker *worker = session->worker;
    if (worker->hash_running >= HASHES_MAX) {
        struct bpi_session **last = &worker->hash_queue;
        while (*last != NULL) {
            last = &(*last)->hash_next;
        }
        session->hash_next = NULL;
        *last = session;
        return;
    }
    session->hash_work.run = run_hash;
    session->hash_work.on_done = on_hash_done;
    if (bpi_executor_uv.submit(&bpi_executor_uv, worker->loop, &session->hash_work) != 0) {
        bpi_hash_check_free(session->hash_check);
        session->hash_check = NULL;
        if (session->phase == BPI_SESSION_GONE) {
            bpi_session_free_if_gone(session);
        } else {
            refuse_login(session, bp_error_neo4j_code(BP_E_NO_MEMORY), "boltpool: out of memory");
        }
        return;
    }
    worker->hash_running++;
}

static void check_by_file(struct bpi_session *session, const struct bpi_bolt_auth *auth)
{
    struct bpi_users *users = atomic_load(&session->front->users);
    session->hash_check = bpi_users_check(users, auth);
    if (session->hash_check == NULL) {
        refuse_login(session, bp_error_neo4j_code(BP_E_NO_MEMORY), "boltpool: out of memory");
        return;
    }
    hash_start(session);
}

static void check_login(struct bpi_session *session, struct bpi_bolt_span token)
{
    struct bpi_bolt_auth auth;
    struct bpi_identity *identity = NULL;
    int error = bpi_bolt_auth_read(token, &auth);
    if (error == 0 && bpi_session_config(session)->auth_type == BPI_AUTH_FILE) {
        check_by_file(session, &auth);
        return;
    }
    if (error == 0) {
        error = bpi_identity_new(bpi_cluster_key(session->front->cluster), token, &identity);
    }
    if (error != 0) {
        bpi_session_violate(session, "boltpool: a malformed log-in");
        return;
    }
    session->login_identity = identity;
    session->login_wait = BPI_WAIT_ON;
    session->login.on_done = on_login_done;
    bpi_cluster_verify(session->front->cluster, &session->login, identity, session->version,
                       session->utc_patch);
}

/* ---- the messages ---- */

static void copy_cut(char *into, size_t size, struct bpi_bolt_text text)
{
    size_t kept = text.data == NULL ? 0 : text.size < size - 1 ? text.size : size - 1;
    if (kept > 0) {
        memcpy(into, text.data, kept);
    }
    into[kept] = '\0';
}

static int keep_hello(struct bpi_session *session, const struct bpi_bolt_hello *hello)
{
    bool disabled =
        hello->disabled.data != NULL &&
        hello->disabled_is_classifications == bpi_bolt_has_classifications(session->version);
    size_t severity_size = hello->severity.data != NULL ? hello->severity.size : 0;
    size_t disabled_size = disabled ? hello->disabled.size : 0;
    struct bpi_hello_kept *kept = calloc(1, sizeof(*kept) + severity_size + disabled_size);
    if (kept == NULL) {
        return BP_E_NO_MEMORY;
    }
    kept->severity = (uint8_t *)(kept + 1);
    kept->severity_size = severity_size;
    kept->has_severity = severity_size > 0;
    kept->disabled = kept->severity + severity_size;
    kept->disabled_size = disabled_size;
    kept->has_disabled = disabled_size > 0;
    if (severity_size > 0) {
        memcpy(kept->severity, hello->severity.data, severity_size);
    }
    if (disabled_size > 0) {
        memcpy(kept->disabled, hello->disabled.data, disabled_size);
    }
    copy_cut(kept->application, sizeof(kept->application), hello->user_agent);
    copy_cut(kept->routing_address, sizeof(kept->routing_address), hello->routing_address);
    free(session->hello);
    session->hello = kept;
    return 0;
}

void bpi_session_hello(struct bpi_session *session, struct bpi_request *request)
{
    struct bpi_bolt_span extra = request->read.extra;
    struct bpi_bolt_hello hello;
    const char *reason = "";
    int error = bpi_bolt_hello_check(extra, session->version, &reason);
    if (error == BP_E_UNEXPECTED) {
        session->phase = BPI_SESSION_CLOSING;
        return;
    }
    if (error != 0) {
        /* As servers do: the failure is told, and the connection is of no use from then on. */
        bpi_session_fail(session, "Neo.ClientError.Request.Invalid", reason, false);
        session->dead = true;
        while (session->queue != NULL) {
            bpi_session_pop(session);
        }
        return;
    }
    if (bpi_bolt_hello_read(extra, &hello) != 0) {
        bpi_session_violate(session, "boltpool: a malformed HELLO");
        return;
    }
    struct bpi_cluster_face face;
    bpi_cluster_face_get(session->front->cluster, &face);
    session->utc_patch = hello.patch_utc && bpi_bolt_has_patch(session->version) && !face.no_utc;
    if (keep_hello(session, &hello) != 0) {
        session->phase = BPI_SESSION_CLOSING;
        return;
    }
    if (bpi_bolt_has_logon(session->version)) {
        answer_hello(session, false);
        session->state = BPI_SERVER_AUTHENTICATION;
        bpi_session_pop(session);
        return;
    }
    struct bpi_buffer token = {0};
    error = bpi_identity_token_of_hello(extra, &token);
    if (error == 0) {
        check_login(session,
                    (struct bpi_bolt_span){bpi_buffer_head(&token), bpi_buffer_size(&token)});
    } else {
        bpi_session_violate(session, "boltpool: a malformed HELLO");
    }
    bpi_buffer_wipe(&token);
}

void bpi_session_logon(struct bpi_session *session, struct bpi_request *request)
{
    check_login(session, request->read.extra);
}

void bpi_session_logoff(struct bpi_session *session)
{
    bpi_session_identity_set(session, NULL);
    session->state = BPI_SERVER_AUTHENTICATION;
    session->login_until_us =
        bpi_session_now_us(session) + bpi_session_config(session)->client_login_timeout_us;
    bpi_session_succeed(session);
    bpi_session_pop(session);
}
