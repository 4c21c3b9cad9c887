/* Takes a client's requests in order: answers them here, or passes them on to its link.
 *
 * Without a link the session's own state says what a request means (bolt/server_state.h). RUN, BEGIN and
 * ROUTE in READY ask the cluster for a link; the queue stands until it comes.
 *
 * With a link a request is passed on as soon as its meaning is sure: not behind one whose answer decides
 * whether the transaction goes on (`ending`), nor behind a failure. So a client that pipelines a whole
 * transaction in one write is served without a wait in between, and nothing ever reaches a link that
 * belongs to the next transaction.
 *
 * RESET acts on arrival, as it does in a server: what stands before it in the queue is answered IGNORED,
 * and of several only the last succeeds. It doesn't go to the link while the server is at a BEGIN, COMMIT
 * or ROLLBACK, because it would jump ahead of them and undo them.
 */
#include "proxy/session.h"

#include "base/assert.h"
#include "base/container.h"
#include "base/log.h"
#include "bolt/packstream.h"
#include "engine/config.h"
#include "net/conn.h"
#include "proxy/classify.h"
#include "proxy/daemon.h"

#include <boltpool/error.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* More unsent bytes for a server than this: requests wait in our queue, not in its socket. */
#define LINK_UNSENT_MAX ((size_t)1 << 20)
/* As real servers do, no more than this many requests are under way on a link. */
#define LINK_PENDING_MAX 300
/* Servers take any number of them until the log-in's time is over; nobody needs more than a few. */
#define MALFORMED_LOGINS_MAX 16

/* ---- requests whose bytes are wrong ---- */

/* What servers do, in whatever state they are: a tag that they don't know closes without a word; so does all
 * else before Bolt 5.0, and a broken limit before the log-in. From 5.0 on it is a FAILURE, which ends a
 * transaction but leaves a log-in possible. */
static void answer_malformed(struct bpi_session *session, const struct bpi_request *request)
{
    char text[160];
    bool logged_on = session->login_until_us == 0;
    if (request->error == BP_E_UNEXPECTED || session->version < BPI_BOLT(5, 0) ||
        (!logged_on && (request->error == BP_E_DEPTH || request->error == BP_E_ITEMS ||
                        request->error == BP_E_TRUNCATED || request->error == BP_E_SIZE))) {
        bpi_session_log(session, BPI_LOG_INFO,
                        "sent a malformed request (%s); its connection is closed",
                        bp_error_text(request->error));
        session->phase = BPI_SESSION_CLOSING;
        return;
    }
    snprintf(text, sizeof(text), "boltpool: a malformed request: %s",
             bp_error_text(request->error));
    bpi_session_fail(session, bp_error_neo4j_code(request->error), text, false);
    if (logged_on) {
        session->state = BPI_SERVER_FAILED;
    } else if (++session->malformed_count >= MALFORMED_LOGINS_MAX) {
        session->phase = BPI_SESSION_CLOSING;
    }
    bpi_session_pop(session);
}

/* What servers do with a request that its state doesn't allow. */
static void violate_state(struct bpi_session *session, enum bpi_server_state state, uint8_t tag)
{
    char text[160];
    snprintf(text, sizeof(text), "boltpool: %s is not possible in the %s state",
             bpi_bolt_tag_name(tag), bpi_server_state_name(state));
    bpi_session_violate(session, text);
}

/* ---- asking for a link ---- */

/* Which parts of HELLO's notification filter a transaction takes over: each that it says nothing of itself.
 * But a severity OFF is void for one that disables categories, even none (seen on 5.26 and 2026): then all
 * severities count again. */
static bool takes_severity(const struct bpi_hello_kept *hello, const struct bpi_bolt_tx_extra *tx)
{
    bool is_off =
        hello->severity_size == 4 && strncasecmp((const char *)hello->severity + 1, "OFF", 3) == 0;
    return hello->has_severity && !tx->has_severity && !(is_off && tx->has_disabled);
}

static bool takes_disabled(const struct bpi_hello_kept *hello, const struct bpi_bolt_tx_extra *tx)
{
    return hello->has_disabled && !tx->has_disabled;
}

/* What the caller is about to do. A transaction's first query stands in a RUN behind its BEGIN, which is here
 * already where the driver pipelines. */
static struct bpi_operation describe(const struct bpi_session *session,
                                     const struct bpi_request *request)
{
    struct bpi_operation operation = {
        .user = bpi_session_user(session),
        .application = session->hello == NULL ? "" : session->hello->application,
        .query = request->read.query,
        .tx = request->tx,
        .is_explicit = request->tag == BPI_BOLT_BEGIN,
        .tenant_by = bpi_session_config(session)->tenant_by,
    };
    const struct bpi_request *next = request->next;
    if (operation.is_explicit && next != NULL && next->tag == BPI_BOLT_RUN && next->error == 0) {
        operation.query = next->read.query;
    }
    operation.tx.mode_read |= request->tag == BPI_BOLT_ROUTE;
    return operation;
}

/* Names of databases are compared without case. */
static uint64_t database_hash(const uint8_t *key, struct bpi_bolt_text name)
{
    char lower[64];
    size_t size = name.size < sizeof(lower) ? name.size : sizeof(lower); /* Neo4j allows 63 bytes */
    for (size_t i = 0; i < size; i++) {
        lower[i] = name.data[i];
        if (lower[i] >= 'A' && lower[i] <= 'Z') {
            lower[i] = (char)(lower[i] + ('a' - 'A'));
        }
    }
    return bpi_identity_hash(key, lower, size);
}

/* Hashes of the bookmarks that the client shows; more than are looked at, or what is no bookmark, become one that
 * nobody has issued. */
static void take_bookmarks(const struct bpi_session *session,
                           const struct bpi_request *request,
                           struct bpi_wish *wish)
{
    const struct bpi_cluster *cluster = session->front->cluster;
    struct bpi_pack_reader reader;
    uint32_t count;
    wish->bookmarks_count = 0;
    if (!request->tx.has_bookmarks || !bpi_cluster_wants_bookmarks(cluster)) {
        return;
    }
    struct bpi_bolt_span list = bpi_bolt_map_get(request->read.extra, "bookmarks");
    if (list.data == NULL) {
        return;
    }
    bpi_pack_reader_init(&reader, list.data, list.size);
    bool is_odd = bpi_pack_next_list(&reader, &count) != 0 || count > BPI_WISH_BOOKMARKS;
    for (uint32_t i = 0; !is_odd && i < count; i++) {
        struct bpi_bolt_text text;
        is_odd = bpi_pack_next_string(&reader, &text.data, &text.size) != 0;
        if (!is_odd) {
            wish->bookmarks[wish->bookmarks_count++] =
                bpi_identity_hash(bpi_cluster_key(cluster), text.data, text.size);
        }
    }
    if (is_odd) {
        wish->bookmarks[0] = 0;
        wish->bookmarks_count = 1;
    }
}

/* The query's shape under the cluster's key, so that nobody outside can make two that meet. */
static uint64_t shape_of(const struct bpi_session *session, struct bpi_bolt_text query)
{
    char text[BPI_LEARN_TEXT_BYTES];
    if (query.data == NULL) {
        return 0;
    }
    size_t size = bpi_learn_normalise(query.data, query.size, text);
    uint64_t hash = bpi_identity_hash(bpi_cluster_key(session->front->cluster), text, size);
    return hash == 0 ? 1 : hash;
}

/* 0 = none at all. */
static uint64_t tenant_key(const struct bpi_session *session, struct bpi_bolt_text tenant)
{
    if (tenant.data == NULL) {
        bool has_user = bpi_session_user(session)[0] != '\0';
        return !has_user ? 0 : session->user_key == 0 ? 1 : session->user_key;
    }
    if (tenant.size == 0) {
        return 0;
    }
    /* Another number than that of a user of this name, for whom it doesn't stand. */
    uint64_t hash =
        ~bpi_identity_hash(bpi_cluster_key(session->front->cluster), tenant.data, tenant.size);
    return hash == 0 ? 1 : hash;
}

static void classify(struct bpi_session *session, struct bpi_operation *operation)
{
    const struct bpi_config *config = bpi_daemon_config(session->worker->daemon);
    struct bpi_pool_waiter *waiter = &session->wish.waiter;
    bp_usec now_us = bpi_session_now_us(session);
    session->shape = config->learn_classes ? shape_of(session, operation->query) : 0;
    operation->is_slow = bpi_learn_is_slow(&session->worker->learn, session->shape);
    struct bpi_classified classified = bpi_classify(config, operation);
    bp_usec wait_us = config->classes[classified.class_].queue_timeout_us;
    if (wait_us == 0) {
        wait_us = bpi_session_config(session)->queue_timeout_us;
    }
    waiter->class_ = classified.class_;
    waiter->priority = classified.priority;
    waiter->tenant_key = tenant_key(session, classified.tenant);
    waiter->expires_us = now_us + wait_us;
    waiter->deadline_us = classified.deadline_us == 0 ? 0 : now_us + classified.deadline_us;
    waiter->sheddable = classified.sheddable;
    snprintf(session->operation, sizeof(session->operation), "%s", classified.name);
    if (classified.lowered > 0) {
        atomic_fetch_add_explicit(&session->worker->claims_lowered, classified.lowered,
                                  memory_order_relaxed);
    }
    if (classified.bad > 0) {
        atomic_fetch_add_explicit(&session->worker->claims_bad, classified.bad,
                                  memory_order_relaxed);
    }
}

/* Tells the client why the request at the head of its queue gets no link. */
static void refuse_wish(struct bpi_session *session, enum bpi_pool_refusal refusal)
{
    const struct bpi_wish *wish = &session->wish;
    const char *class_name = bpi_class_name(wish->waiter.class_);
    bp_usec ends_us = wish->waiter.expires_us;
    bool by_deadline = wish->waiter.deadline_us != 0 && wish->waiter.deadline_us < ends_us;
    int error = BP_E_FULL;
    char why[256];
    char text[512] = "";
    ends_us = by_deadline ? wish->waiter.deadline_us : ends_us;
    bpi_cluster_explain(session->front->cluster, wish, why, sizeof(why));
    switch (refusal) {
    case BPI_POOL_QUEUE_FULL:
        snprintf(text, sizeof(text),
                 "boltpool: max_waiting of [class %s] is reached: %s. Try again later.", class_name,
                 why);
        break;
    case BPI_POOL_HOPELESS:
        snprintf(text, sizeof(text),
                 "boltpool: refused at once, because its deadline can't be met: it would wait for "
                 "about %.3g s; %s. Try again later.",
                 (double)wish->waiter.estimate_us / 1e6, why);
        break;
    case BPI_POOL_SHED:
        snprintf(text, sizeof(text),
                 "boltpool: class %s has been overloaded for a while; %s. Try again later.",
                 class_name, why);
        break;
    case BPI_POOL_EXPIRED:
    case BPI_POOL_ADMITTED:
        error = BP_E_QUEUE_TIMEOUT;
        if (by_deadline) {
            snprintf(text, sizeof(text),
                     "boltpool: no server connection before the deadline of %.3g s: %s. Try again; "
                     "give more time, or raise the limit, if this happens often.",
                     (double)(ends_us - wish->waiter.arrived_us) / 1e6, why);
        } else {
            snprintf(text, sizeof(text),
                     "boltpool: no server connection within queue_timeout = %.3g s: %s. Try again; "
                     "raise the limit or queue_timeout if this happens often.",
                     (double)(ends_us - wish->waiter.arrived_us) / 1e6, why);
        }
        break;
    }
    atomic_fetch_add_explicit(&session->worker->refusals, 1, memory_order_relaxed);
    bpi_session_fail(session, bp_error_neo4j_code(error), text, true);
    session->state = BPI_SERVER_FAILED;
    bpi_session_pop(session);
}

static void lease_begin(struct bpi_session *session, struct bpi_link *link)
{
    session->link = link;
    bpi_session_lease_reset(session);
    session->unanswered = 0;
    session->link_dirty = false;
    session->link_paused = false;
    session->leased_us = bpi_session_now_us(session);
    session->active_us = session->leased_us;
    session->leak_reports = 0;
}

static void wish_done(struct bpi_session *session, struct bpi_link *link, bool login)
{
    struct bpi_wish *wish = &session->wish;
    bool abandoned = session->wish_wait == BPI_WAIT_ABANDONED;
    struct bpi_server_failure *failure = wish->failure;
    session->wish_wait = BPI_WAIT_NONE;
    wish->failure = NULL;
    if (link == NULL) {
        if (failure != NULL && !abandoned) {
            /* The server no longer takes this log-in: the client has to come again with another. */
            bpi_session_fail_as(session, failure);
            session->phase = BPI_SESSION_CLOSING;
        } else if (wish->refusal != BPI_POOL_ADMITTED && !abandoned) {
            refuse_wish(session, wish->refusal);
        }
        free(failure);
    } else if (bpi_link_lend(link, &bpi_session_lessee, session,
                             login ? session->identity : NULL) != 0) {
        bpi_link_close(link);
        if (!abandoned) {
            bpi_session_fail(session, bp_error_neo4j_code(BP_E_NO_MEMORY),
                             "boltpool: out of memory", true);
            session->state = BPI_SERVER_FAILED;
            bpi_session_pop(session);
        }
    } else if (abandoned) {
        bpi_link_clean(link);
    } else {
        lease_begin(session, link);
    }
    if (session->phase == BPI_SESSION_GONE) {
        bpi_session_identity_set(session, NULL);
        bpi_session_free_if_gone(session);
    }
}

void bpi_session_wish_done(struct bpi_wish *wish, struct bpi_link *link, bool login)
{
    struct bpi_session *session = BPI_CONTAINER(wish, struct bpi_session, wish);
    bool gone = session->phase == BPI_SESSION_GONE;
    wish_done(session, link, login);
    if (!gone) {
        bpi_session_pump(session);
    }
}

static void ask_for_link(struct bpi_session *session, struct bpi_request *request)
{
    if (session->worker->draining) {
        bpi_session_fail(session, bp_error_neo4j_code(BP_E_DRAINING),
                         "boltpool: it is shutting down (drain_timeout); try again elsewhere",
                         true);
        session->state = BPI_SERVER_FAILED;
        bpi_session_pop(session);
        return;
    }
    struct bpi_operation operation = describe(session, request);
    const struct bpi_cluster_config *config = bpi_session_config(session);
    struct bpi_wish *wish = &session->wish;
    classify(session, &operation);
    wish->waiter.user_key = config->max_user_links == 0 ? 0 : session->user_key;
    const struct bpi_cluster *cluster = session->front->cluster;
    bool is_asked = config->max_database_links != 0 || bpi_cluster_has_choice(cluster);
    wish->database =
        is_asked ? database_hash(bpi_cluster_key(cluster), operation.tx.db) : 0; /* 1 us */
    wish->waiter.database_key = config->max_database_links == 0 ? 0 : wish->database;
    wish->is_write = !operation.tx.mode_read;
    take_bookmarks(session, request, wish);
    wish->identity = session->identity;
    wish->version = session->version;
    wish->utc_patch = session->utc_patch;
    session->wish_wait = BPI_WAIT_ON;
    session->wish_notified = false;
    session->mode_read = operation.tx.mode_read;
    struct bpi_link *link;
    enum bpi_pool_refusal refusal = bpi_cluster_acquire(session->front->cluster, wish, &link);
    if (refusal != BPI_POOL_ADMITTED) {
        session->wish_wait = BPI_WAIT_NONE;
        refuse_wish(session, refusal);
    } else if (link != NULL) {
        wish_done(session, link, false); /* inside a pump, which goes on */
    }
}

/* ---- passing on ---- */

/* The request as it goes to the link: as it came, or with the notification filter of the client's HELLO,
 * which the link's own HELLO doesn't have. */
static int payload_for_link(struct bpi_session *session,
                            const struct bpi_request *request,
                            const struct bpi_bolt_request *read,
                            struct bpi_bolt_span *ret_payload)
{
    *ret_payload = (struct bpi_bolt_span){request->payload, request->size};
    bool opens = (request->tag == BPI_BOLT_RUN && session->ahead == BPI_SERVER_READY) ||
                 request->tag == BPI_BOLT_BEGIN;
    if (!opens || session->hello == NULL) {
        return 0;
    }
    /* What can't be understood goes on as it is: the server says what is wrong with it. */
    if (!request->tx_read || !bpi_bolt_has_notification_filter(session->version) ||
        (!takes_severity(session->hello, &request->tx) &&
         !takes_disabled(session->hello, &request->tx))) {
        return 0;
    }
    const struct bpi_hello_kept *hello = session->hello;
    const char *keys[2];
    struct bpi_bolt_span values[2];
    size_t count = 0;
    if (takes_severity(hello, &request->tx)) {
        keys[count] = "notifications_minimum_severity";
        values[count++] = (struct bpi_bolt_span){hello->severity, hello->severity_size};
    }
    if (takes_disabled(hello, &request->tx)) {
        keys[count] = bpi_bolt_has_classifications(session->version)
                          ? "notifications_disabled_classifications"
                          : "notifications_disabled_categories";
        values[count++] = (struct bpi_bolt_span){hello->disabled, hello->disabled_size};
    }
    struct bpi_buffer *scratch = &session->worker->scratch;
    bpi_buffer_clear(scratch);
    int error =
        bpi_buffer_append(scratch, request->payload, (size_t)(read->extra.data - request->payload));
    if (error == 0) {
        error = bpi_bolt_map_extend(scratch, read->extra, count, keys, values);
    }
    *ret_payload = (struct bpi_bolt_span){bpi_buffer_head(scratch), bpi_buffer_size(scratch)};
    return error;
}

/* As servers do, the address in ROUTE's own context is what its table names, with a port added where it has
 * none; but a configured one comes first. */
static void keep_route_address(struct bpi_session *session, struct bpi_bolt_span context)
{
    free(session->route_address);
    session->route_address = NULL;
    if (bpi_session_config(session)->advertised[0] != '\0') {
        return;
    }
    struct bpi_bolt_text address = bpi_bolt_map_text(context, "address");
    if (address.data == NULL || address.size == 0 || address.size > 512) {
        return;
    }
    const char *text = address.data;
    size_t size = address.size;
    session->route_address = malloc(size + 8);
    if (session->route_address != NULL) {
        bool has_port = memchr(text, ':', size) != NULL && text[size - 1] != ']';
        snprintf(session->route_address, size + 8, "%.*s%s", (int)size, text,
                 has_port ? "" : ":7687");
    }
}

static void note_sent(struct bpi_session *session, uint8_t tag)
{
    session->unanswered++;
    session->link_dirty = true;
    switch (tag) {
    case BPI_BOLT_RUN:
        if (session->ahead == BPI_SERVER_READY) {
            session->ahead = BPI_SERVER_AUTO_COMMIT;
            session->lease_kind = BPI_LEASE_AUTO;
        }
        break;
    case BPI_BOLT_BEGIN:
        session->ahead = BPI_SERVER_IN_TRANSACTION;
        session->lease_kind = BPI_LEASE_EXPLICIT;
        break;
    case BPI_BOLT_ROUTE:
        session->lease_kind = BPI_LEASE_ROUTE;
        session->ending = true;
        break;
    case BPI_BOLT_COMMIT:
        session->commit_sent = true;
        session->ending = true;
        break;
    case BPI_BOLT_ROLLBACK:
        session->ending = true;
        break;
    default: /* PULL, DISCARD */
        session->ending = session->ahead == BPI_SERVER_AUTO_COMMIT;
        break;
    }
}

/* Whether the request may be written behind a log-in that is still unanswered on the link. */
static bool fits_before_login(const struct bpi_bolt_span *payload)
{
    struct bpi_pack_reader reader;
    if (payload->size > 8192) {
        return false;
    }
    bpi_pack_reader_init(&reader, payload->data, payload->size);
    return bpi_pack_skip(&reader, &bpi_pack_limits_login) == 0;
}

static void flush_link(struct bpi_session *session)
{
    if (session->link != NULL && session->link_dirty) {
        session->link_dirty = false;
        bpi_link_flush(session->link);
    }
}

/* Session mode keeps its link for hours: the log-in is renewed between transactions. */
static int renew_login(struct bpi_session *session)
{
    struct bpi_link *link = session->link;
    bp_usec ttl_us = bpi_session_config(session)->link_auth_ttl_us;
    if (ttl_us == 0 || bpi_session_now_us(session) - link->place.login_us < ttl_us ||
        !bpi_bolt_has_logon(session->version)) {
        return 0;
    }
    link->place.login_us = bpi_session_now_us(session);
    session->link_dirty = true;
    return bpi_link_login(link, session->identity);
}

/* Gives the link back before a request that is answered here. */
static void drop_link(struct bpi_session *session)
{
    struct bpi_link *link = session->link;
    bpi_session_leak_end(session);
    session->link = NULL;
    session->state = session->ahead;
    bpi_link_clean(link);
}

/* Passes the head of the queue on. False: not now. */
static bool pass_on(struct bpi_session *session, struct bpi_request *request)
{
    const struct bpi_bolt_request *read = &request->read;
    struct bpi_bolt_span payload;
    request->error = payload_for_link(session, request, read, &payload);
    if (request->error != 0) {
        if (session->unanswered == 0) {
            drop_link(session);
            answer_malformed(session, request);
        }
        return session->unanswered == 0; /* answers come in order */
    }
    bool opens = session->ahead == BPI_SERVER_READY;
    if (opens && session->link->login_due == 0) {
        if (renew_login(session) != 0) {
            bpi_link_close(session->link);
            session->link = NULL;
            session->phase = BPI_SESSION_CLOSING;
            return true;
        }
    }
    if (session->link->login_due > 0 && !fits_before_login(&payload)) {
        session->link_dirty = true; /* the log-in itself has to go out */
        return false;
    }
    if (opens && request->tag != BPI_BOLT_ROUTE) {
        session->mode_read = request->tx.mode_read;
        session->leased_us = bpi_session_now_us(session);
        session->leak_reports = 0;
    }
    if (request->tag == BPI_BOLT_RUN && session->shape == 0 &&
        bpi_daemon_config(session->worker->daemon)->learn_classes) {
        session->shape = shape_of(session, read->query); /* the first of its transaction */
    }
    if (bpi_link_send(session->link, request->tag, payload.data, payload.size) != 0) {
        bpi_session_evict(session, bp_error_neo4j_code(BP_E_NO_MEMORY), "boltpool: out of memory");
        return true;
    }
    if (request->tag == BPI_BOLT_ROUTE) {
        keep_route_address(session, read->extra);
    }
    note_sent(session, request->tag);
    bpi_session_pop(session);
    return true;
}

/* A COMMIT or ROLLBACK that waits behind unanswered work doesn't hold a RESET: that work is to be stopped, and
 * the server answers the COMMIT by IGNORED where it isn't done. */
bool bpi_session_may_reset(const struct bpi_session *session)
{
    const struct bpi_client_state *state = &session->link->state;
    if (session->reset_sent || session->link->login_due > 0) {
        return false;
    }
    uint8_t oldest = bpi_client_state_oldest(state);
    return bpi_client_state_may_reset(state) || oldest == BPI_BOLT_RUN || oldest == BPI_BOLT_PULL ||
           oldest == BPI_BOLT_DISCARD;
}

static void answer_telemetry(struct bpi_session *session, const struct bpi_bolt_request *read)
{
    if (read->api >= 0 && read->api <= 3) {
        bpi_session_succeed(session);
    } else {
        bpi_session_fail(session, "Neo.ClientError.Request.Invalid",
                         "boltpool: TELEMETRY of an unknown API", false);
        if (session->link != NULL) {
            drop_link(session);
        }
        session->state = BPI_SERVER_FAILED;
    }
    bpi_session_pop(session);
}

/* The client's RESET goes to the link, once it may. */
static void pass_reset(struct bpi_session *session)
{
    if (!bpi_session_may_reset(session)) {
        return;
    }
    if (bpi_link_send(session->link, BPI_BOLT_RESET, "\xb0\x0f", 2) != 0) {
        bpi_session_evict(session, bp_error_neo4j_code(BP_E_NO_MEMORY), "boltpool: out of memory");
        return;
    }
    session->unanswered++;
    session->reset_sent = true;
    session->link_dirty = true;
}

/* Whether the meaning of the next request depends on an answer that is still due, or the link takes no more
 * for now. */
static bool has_to_wait(const struct bpi_session *session)
{
    return session->ending || session->reset_sent || session->mid_record || session->failed ||
           session->link->state.pending_count >= LINK_PENDING_MAX ||
           bpi_link_unsent(session->link) > LINK_UNSENT_MAX;
}

/* A request that is possible in this state, or is none: answered here once all before it are. */
static bool judge_held(struct bpi_session *session, struct bpi_request *request)
{
    enum bpi_server_verdict verdict =
        bpi_server_judge(session->ahead, session->version, request->tag);
    if (verdict == BPI_SERVER_ACCEPT) {
        return pass_on(session, request);
    }
    if (session->unanswered > 0) {
        return false;
    }
    if (verdict == BPI_SERVER_IGNORE) {
        bpi_session_ignore(session);
        bpi_session_pop(session);
    } else if (verdict == BPI_SERVER_CLOSE) {
        session->phase = BPI_SESSION_CLOSING;
    } else {
        violate_state(session, session->ahead, request->tag);
    }
    return true;
}

/* With a link. False: the head of the queue has to wait. */
static bool pump_held(struct bpi_session *session, struct bpi_request *request)
{
    if (request->tag == BPI_BOLT_GOODBYE && !session->commit_sent) {
        session->phase = BPI_SESSION_CLOSING; /* a server stops what runs, too */
        return true;
    }
    if (session->resets_count > 0) {
        pass_reset(session);
        return session->link == NULL;
    }
    if (has_to_wait(session)) {
        return false;
    }
    if (request->error != 0) {
        if (session->unanswered > 0) {
            return false;
        }
        drop_link(session);
        answer_malformed(session, request);
        return true;
    }
    if (session->ahead == BPI_SERVER_READY) {
        if (request->tag == BPI_BOLT_LOGOFF || session->worker->draining) {
            drop_link(session); /* new work is refused without one */
            return true;
        }
        if (request->tag == BPI_BOLT_TELEMETRY && bpi_bolt_has_telemetry(session->version)) {
            answer_telemetry(session, &request->read);
            return true;
        }
    }
    return judge_held(session, request);
}

/* ---- without a link ---- */

static void accept_free(struct bpi_session *session, struct bpi_request *request)
{
    switch (request->tag) {
    case BPI_BOLT_HELLO:
        bpi_session_hello(session, request);
        break;
    case BPI_BOLT_LOGON:
        bpi_session_logon(session, request);
        break;
    case BPI_BOLT_LOGOFF:
        bpi_session_logoff(session);
        break;
    case BPI_BOLT_TELEMETRY:
        answer_telemetry(session, &request->read);
        break;
    case BPI_BOLT_RESET:
        bpi_session_succeed(session);
        session->state = BPI_SERVER_READY;
        bpi_session_pop(session);
        break;
    default: /* RUN, BEGIN, ROUTE */
        ask_for_link(session, request);
        break;
    }
}

/* A transaction of this client was ended here while it wasn't looking: it is told now. */
static bool tell_doom(struct bpi_session *session, const struct bpi_request *request)
{
    if (session->doom_code == NULL || request->tag == BPI_BOLT_GOODBYE) {
        return false;
    }
    if (session->resets_count == 0) {
        bpi_session_fail(session, session->doom_code, session->doom_text, false);
        session->state = BPI_SERVER_FAILED;
        bpi_session_pop(session);
    }
    session->doom_code = NULL;
    free(session->doom_text);
    session->doom_text = NULL;
    session->state = BPI_SERVER_FAILED;
    return true;
}

/* Whether a RESET that stands behind it makes the head of the queue void. Once something was ignored, what
 * builds on it is, too, whatever the state says of it. */
static bool is_interrupted(const struct bpi_session *session, enum bpi_server_verdict verdict)
{
    bool logged_on = session->state == BPI_SERVER_READY || session->state == BPI_SERVER_FAILED;
    if (session->resets_count == 0 || !logged_on) {
        return false;
    }
    return verdict == BPI_SERVER_ACCEPT || verdict == BPI_SERVER_IGNORE ||
           (verdict == BPI_SERVER_FAIL_CLOSE && session->interrupted);
}

/* Without a link. False: an answer from elsewhere is due. */
static bool pump_free(struct bpi_session *session, struct bpi_request *request)
{
    if (session->wish_wait == BPI_WAIT_ON && session->resets_count > 0) {
        session->wish_wait = bpi_cluster_cancel(session->front->cluster, &session->wish)
                                 ? BPI_WAIT_NONE
                                 : BPI_WAIT_ABANDONED;
        session->wish.unwanted = session->wish_wait == BPI_WAIT_ABANDONED;
    }
    if (session->wish_wait == BPI_WAIT_ON && request->next != NULL) {
        /* A GOODBYE behind what waits for a link means that nobody waits any more. */
        const struct bpi_request *last = session->queue->prev;
        if (last->tag == BPI_BOLT_GOODBYE) {
            session->phase = BPI_SESSION_CLOSING;
            return true;
        }
    }
    if (session->wish_wait != BPI_WAIT_NONE || session->login_wait != BPI_WAIT_NONE ||
        session->hash_check != NULL) {
        return false;
    }
    if (session->refused) {
        return bpi_daemon_answer_refused(session, request);
    }
    if (tell_doom(session, request)) {
        return true;
    }
    if (request->error != 0) {
        answer_malformed(session, request);
        return true;
    }
    enum bpi_server_verdict verdict =
        bpi_server_judge(session->state, session->version, request->tag);
    if (is_interrupted(session, verdict)) {
        if (request->is_reset && session->resets_count == 1) {
            bpi_session_succeed(session);
            session->state = BPI_SERVER_READY;
            session->interrupted = false;
        } else {
            bpi_session_ignore(session);
            session->interrupted = true;
        }
        bpi_session_pop(session);
        return true;
    }
    switch (verdict) {
    case BPI_SERVER_ACCEPT:
        accept_free(session, request);
        return true;
    case BPI_SERVER_IGNORE:
        bpi_session_ignore(session);
        bpi_session_pop(session);
        return true;
    case BPI_SERVER_FAIL_CLOSE:
        violate_state(session, session->state, request->tag);
        return true;
    case BPI_SERVER_CLOSE:
        session->phase = BPI_SESSION_CLOSING;
        return true;
    }
    return false;
}

void bpi_session_pump(struct bpi_session *session)
{
    /* Not while the client leaves its answers unread: each request may make more of them. */
    while (session->phase == BPI_SESSION_MESSAGES && session->queue != NULL &&
           !bpi_conn_is_high(session->conn)) {
        bool went_on = session->link != NULL ? pump_held(session, session->queue)
                                             : pump_free(session, session->queue);
        if (!went_on) {
            break;
        }
    }
    if (session->phase == BPI_SESSION_GONE) {
        return;
    }
    if (session->link != NULL && session->link->login_due > 0) {
        session->link_dirty = true;
    }
    flush_link(session);
    if (session->phase == BPI_SESSION_CLOSING) {
        if (session->mid_record) {
            bpi_session_close(session);
        } else {
            bpi_session_close_flushed(session);
        }
        return;
    }
    if (bpi_buffer_size(bpi_session_out(session)) > 0) {
        bpi_conn_flush(session->conn);
    }
    if (session->read_paused && session->phase == BPI_SESSION_MESSAGES &&
        !bpi_session_has_enough(session) &&
        session->queue_count < bpi_session_config(session)->max_pipelined_requests / 3) {
        session->read_paused = false;
        bpi_conn_read_resume(session->conn);
    }
    if (session->worker->draining) {
        bpi_session_drain(session);
    }
    bpi_session_timer_update(session);
}
