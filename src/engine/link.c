/* See link.h for the phases and the rules. */
#include "engine/link.h"

#include "base/assert.h"
#include "base/container.h"
#include "base/log.h"
#include "bolt/handshake.h"
#include "bolt/hello.h"
#include "bolt/packstream.h"
#include "engine/cluster.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"
#include "engine/identity.h"
#include "net/conn.h"

#include <boltpool/error.h>
#include <boltpool/version.h>

#include <uv.h>

#include <stdio.h>
#include <string.h>

/* A server closes at once on GOODBYE (measured: under 1 ms); one that doesn't is cut. */
#define GOODBYE_TIMEOUT_US BP_USEC_PER_SECOND
/* A summary is read whole; the largest hold a query's plan or profile. Records don't wait here. */
#define SUMMARY_BYTES_MAX ((size_t)64 << 20)

static void link_lost(struct bpi_link *link, int error);
static void link_drop_conn(struct bpi_link *link);

/* ---- what a link says about itself ---- */

int bpi_link_write_hello(struct bpi_buffer *out,
                         const struct bpi_url *url,
                         bpi_bolt_version version,
                         bool utc_patch,
                         struct bpi_bolt_span token)
{
    struct bpi_bolt_greeting greeting = {
        .version = version,
        .user_agent = "boltpool/" BP_VERSION_STRING,
        .url = url,
        .utc_patch = utc_patch,
        .token = token,
    };
    return bpi_bolt_write_hello(out, &greeting);
}

static struct bpi_endpoint *link_endpoint(struct bpi_link *link)
{
    return &link->cluster->endpoints[link->place.endpoint];
}

/* ---- what is known of its server's life ---- */

static void due_set(struct bpi_link *link, bp_usec due_us)
{
    atomic_store_explicit(&link->due_us, due_us, memory_order_relaxed);
}

/* An answer has become due that no other one was before. */
static void begin_waiting(struct bpi_link *link)
{
    link->heard_us = bpi_loop_now_us(link->loop);
    due_set(link, link->paused ? 0 : link->heard_us);
}

/* Something was heard, or may be heard again: whoever waits on waits from now. */
static void wait_on(struct bpi_link *link)
{
    bool is_due = link->state.pending_count > 0 && !link->paused;
    due_set(link, is_due ? bpi_loop_now_us(link->loop) : 0);
}

static void time_begin(struct bpi_link *link)
{
    link->timed_us = bpi_loop_now_us(link->loop);
}

static void time_end(struct bpi_link *link)
{
    if (link->timed_us != 0) {
        bp_usec took_us = bpi_loop_now_us(link->loop) - link->timed_us;
        link->round_trip_us = took_us == 0 ? 1 : took_us;
        link->timed_us = 0;
    }
}

/* ---- ending ---- */

static void lessee_clear(struct bpi_link *link)
{
    link->lessee = NULL;
    link->lessee_user = NULL;
}

/* A link's timer has its room on the loop that the link is on. */
static bool timer_take(struct bpi_link *link)
{
    if (!link->timer_reserved) {
        link->timer_reserved = bpi_timer_reserve(link->loop, 1) == 0;
    }
    return link->timer_reserved;
}

static void timer_give_back(struct bpi_link *link)
{
    if (link->timer_reserved) {
        link->timer_reserved = false;
        bpi_timer_clear(link->loop, &link->timer);
        int error = bpi_timer_reserve(link->loop, -1);
        (void)error; /* giving back can't fail */
    }
}

void bpi_link_leave(struct bpi_link *link)
{
    timer_give_back(link);
    if (link->conn != NULL) {
        bpi_conn_detach(link->conn);
    }
}

void bpi_link_arrive(struct bpi_link *link, struct bpi_loop *loop)
{
    link->loop = loop;
    if (link->conn != NULL) {
        bpi_conn_attach(link->conn, loop);
        if (!timer_take(link)) {
            link_drop_conn(link); /* as if it had died on the way */
        }
    }
}

/* Frees what belongs to the connection; the place stays. */
static void link_drop_conn(struct bpi_link *link)
{
    timer_give_back(link);
    if (link->conn != NULL) {
        bpi_conn_close(link->conn);
        link->conn = NULL;
    }
    bpi_client_state_done(&link->state);
    bpi_identity_unref(link->identity);
    link->identity = NULL;
    link->phase = BPI_LINK_CLOSED;
    memset(&link->scanner, 0, sizeof(link->scanner));
    link->scanned_bytes = 0;
    link->mid_record = false;
    link->login_due = 0;
    link->timed_us = 0;
    link->round_trip_us = 0;
    due_set(link, 0);
}

/* The connection is gone or of no use: tells the lessee, the cluster, and the check it was opened for. */
static void link_lost(struct bpi_link *link, int error)
{
    enum bpi_link_phase phase = link->phase;
    const struct bpi_lessee *lessee = link->lessee;
    void *user = link->lessee_user;
    struct bpi_pool_waiter *sponsor = NULL;
    /* Servers close after some FAILUREs; that says nothing about their health. */
    bool after_failure = (phase >= BPI_LINK_READY && link->state.state == BPI_SERVER_FAILED) ||
                         (phase == BPI_LINK_LOGIN && link->sponsor != NULL);
    if (phase < BPI_LINK_READY) {
        sponsor = link->sponsor;
        link->sponsor = NULL;
    }
    lessee_clear(link);
    link_drop_conn(link);
    if (lessee != NULL) {
        lessee->on_lost(user, error);
    }
    if (phase == BPI_LINK_READY && lessee == NULL) {
        bpi_cluster_idle_link_lost(link);
    } else {
        bool established =
            phase == BPI_LINK_READY || phase == BPI_LINK_CLEANING || phase == BPI_LINK_CHECKING;
        bpi_cluster_link_closed(link, established, after_failure ? 0 : error);
    }
    if (sponsor != NULL) {
        struct bpi_login_check *check = ((struct bpi_wish *)(void *)sponsor)->check;
        check->link = NULL;
        bpi_login_check_lost(check, phase == BPI_LINK_LOGIN);
    }
}

bool bpi_link_is_alive(struct bpi_link *link)
{
    return link->conn != NULL && link->phase == BPI_LINK_READY && bpi_conn_is_quiet(link->conn);
}

void bpi_link_close(struct bpi_link *link)
{
    lessee_clear(link);
    link_drop_conn(link);
    bpi_cluster_link_closed(link, false, 0);
}

/* Whether the server owes an answer for longer than it may. While the lessee has paused reading, nothing can
 * be heard. */
static bool is_overdue(struct bpi_link *link, bp_usec now_us)
{
    if (link->login_due > 0) {
        return true; /* the timer was set for it */
    }
    return link->lessee != NULL && link->state.pending_count > 0 && !link->paused &&
           now_us - link->heard_us >= link->silence_us;
}

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_link *link = BPI_CONTAINER(timer, struct bpi_link, timer);
    bp_usec now_us = bpi_loop_now_us(link->loop);
    if (link->phase < BPI_LINK_READY) {
        link_lost(link, UV_ETIMEDOUT);
        return;
    }
    if (link->phase == BPI_LINK_READY) {
        if (is_overdue(link, now_us)) {
            bpi_log(BPI_LOG_WARN, "link",
                    "%s has been silent for too long with an answer due; its connection is closed",
                    link_endpoint(link)->name);
            link_lost(link, UV_ETIMEDOUT);
        } else if (link->lessee != NULL && link->silence_us != 0) {
            bpi_timer_set(link->loop, &link->timer, now_us + link->silence_us);
        }
        return;
    }
    if (link->phase == BPI_LINK_CHECKING) {
        bpi_log(BPI_LOG_WARN, "link",
                "%s did not answer on an idle connection in time; it is closed",
                link_endpoint(link)->name);
        link_lost(link, UV_ETIMEDOUT);
        return;
    }
    if (link->phase == BPI_LINK_CLEANING) {
        bpi_log(BPI_LOG_WARN, "link", "%s did not answer a RESET in time; its connection is closed",
                link_endpoint(link)->name);
        link_lost(link, UV_ETIMEDOUT);
        return;
    }
    bpi_link_close(link);
}

void bpi_link_bury(struct bpi_link *link)
{
    if (link->conn != NULL && link->phase != BPI_LINK_CLOSED && link->phase != BPI_LINK_GOODBYE) {
        link_lost(link, UV_ETIMEDOUT);
    }
}

bool bpi_link_kill(struct bpi_link *link)
{
    if (link->phase == BPI_LINK_CLEANING) {
        bpi_link_close(link); /* nobody waits for it but us */
        return true;
    }
    if (link->lessee == NULL) {
        return false;
    }
    if (link->lessee->on_killed != NULL) {
        link->lessee->on_killed(link->lessee_user);
    } else {
        link_lost(link, UV_ECANCELED);
    }
    return true;
}

void bpi_link_say_goodbye(struct bpi_link *link)
{
    if (link->conn == NULL) {
        bpi_cluster_link_closed(link, false, 0);
        return;
    }
    link->phase = BPI_LINK_GOODBYE;
    if (bpi_bolt_write_simple(bpi_conn_out(link->conn), BPI_BOLT_GOODBYE) != 0) {
        bpi_link_close(link);
        return;
    }
    bpi_conn_flush(link->conn);
    bpi_timer_set(link->loop, &link->timer, bpi_loop_now_us(link->loop) + GOODBYE_TIMEOUT_US);
}

void bpi_link_release(struct bpi_link *link)
{
    BP_ASSERT(bpi_link_is_clean(link));
    lessee_clear(link);
    link->phase = BPI_LINK_READY;
    link->paused = false; /* the last rows and the summary may have come in one piece */
    bpi_timer_clear(link->loop, &link->timer);
    bpi_conn_read_resume(link->conn);
    if (bpi_buffer_size(bpi_conn_in(link->conn)) != link->scanned_bytes && !link->in_events) {
        /* Bytes that nothing asked for. */
        bpi_link_close(link);
        return;
    }
    bpi_cluster_link_released(link);
}

/* The next step of cleaning, after each answer. */
static void clean_step(struct bpi_link *link)
{
    if (bpi_link_is_clean(link)) {
        bpi_link_release(link);
        return;
    }
    if (!link->reset_sent && link->login_due == 0 && bpi_client_state_may_reset(&link->state)) {
        if (link->state.pending_count == 0) {
            time_begin(link);
        }
        if (bpi_link_send(link, BPI_BOLT_RESET, "\xb0\x0f", 2) != 0) {
            bpi_link_close(link);
            return;
        }
        link->reset_sent = true;
        bpi_link_flush(link);
        bpi_timer_set(link->loop, &link->timer,
                      bpi_loop_now_us(link->loop) +
                          bpi_cluster_config(link->cluster)->reset_timeout_us);
    }
}

void bpi_link_check(struct bpi_link *link)
{
    BP_ASSERT(link->phase == BPI_LINK_READY && link->lessee == NULL);
    link->phase = BPI_LINK_CHECKING;
    time_begin(link);
    if (bpi_link_send(link, BPI_BOLT_RESET, "\xb0\x0f", 2) != 0) {
        bpi_link_close(link);
        return;
    }
    bpi_link_flush(link);
    bpi_timer_set(link->loop, &link->timer,
                  bpi_loop_now_us(link->loop) +
                      bpi_cluster_config(link->cluster)->link_check_timeout_us);
}

void bpi_link_clean(struct bpi_link *link)
{
    lessee_clear(link);
    if (link->conn == NULL) {
        bpi_cluster_link_closed(link, false, 0);
        return;
    }
    link->phase = BPI_LINK_CLEANING;
    link->paused = false;
    wait_on(link);
    /* A RESET that the lessee sent does the work, too. */
    link->reset_sent = link->state.pending_resets > 0;
    bpi_conn_read_resume(link->conn);
    bpi_conn_flush(link->conn);
    bpi_timer_set(link->loop, &link->timer,
                  bpi_loop_now_us(link->loop) +
                      bpi_cluster_config(link->cluster)->reset_timeout_us);
    clean_step(link);
}

/* ---- what arrives ---- */

static void
on_login_answer(struct bpi_link *link, uint8_t request, const struct bpi_bolt_answer *answer)
{
    if (answer->tag == BPI_BOLT_SUCCESS) {
        if (request == BPI_BOLT_HELLO && !bpi_cluster_learn(link, answer->meta)) {
            link_lost(link, BP_E_VERSION);
            return;
        }
        link->login_due--;
        if (link->login_due > 0) {
            return;
        }
        bpi_timer_clear(link->loop, &link->timer);
        time_end(link);
        if (link->phase == BPI_LINK_LOGIN) {
            struct bpi_pool_waiter *sponsor = link->sponsor;
            bool expired = bpi_bolt_map_true(answer->meta, "credentials_expired");
            link->phase = BPI_LINK_READY;
            link->silence_us = bpi_cluster_silence_us(link->cluster, link->place.endpoint);
            link->sponsor = NULL;
            bpi_cluster_link_opened(link);
            if (sponsor != NULL) {
                struct bpi_login_check *check = ((struct bpi_wish *)(void *)sponsor)->check;
                check->expired = expired;
                bpi_login_check_verified(check, link);
            }
            return;
        }
        if (link->phase == BPI_LINK_CLEANING) {
            bpi_timer_set(link->loop, &link->timer,
                          link->heard_us + bpi_cluster_config(link->cluster)->reset_timeout_us);
            clean_step(link);
        } else if (link->lessee != NULL) {
            link->lessee->on_ready(link->lessee_user);
        }
        return;
    }
    /* Servers close after a refused log-in, and so do we. */
    struct bpi_cluster *cluster = link->cluster;
    struct bpi_identity *identity = bpi_identity_ref(link->identity);
    const struct bpi_lessee *lessee = link->lessee;
    void *user = link->lessee_user;
    struct bpi_pool_waiter *sponsor = link->sponsor;
    struct bpi_loop *loop = link->loop;
    link->sponsor = NULL;
    lessee_clear(link);
    link_drop_conn(link);
    /* A rate limit says nothing of the credentials: anybody can bring it about for a user. */
    bool is_credentials =
        bpi_bolt_answer_is_security(answer) &&
        !bpi_bolt_text_is(answer->code, "Neo.ClientError.Security.AuthenticationRateLimit");
    if (is_credentials) {
        bpi_cluster_login_refused(cluster, identity, answer, link->version, loop);
    }
    if (sponsor != NULL) {
        struct bpi_login_check *check = ((struct bpi_wish *)(void *)sponsor)->check;
        check->link = NULL;
        if (bpi_bolt_answer_is_security(answer)) {
            bpi_login_check_refused(check, answer, link->version);
        } else {
            bpi_login_check_lost(check, false);
        }
    } else if (lessee != NULL) {
        lessee->on_login_failed(user, answer);
    }
    bpi_cluster_link_closed(link, false, is_credentials ? 0 : BP_E_SERVER_FAILURE);
    bpi_identity_unref(identity);
}

/* What a RESET that was answered by FAILURE says of its server: nothing, where it only has no thread for it. It closes
 * the connection then. */
static int refused_error(const struct bpi_bolt_answer *answer)
{
    return bpi_bolt_answer_is_transient(answer) ? 0 : BP_E_PROTOCOL;
}

static void on_check_answer(struct bpi_link *link, const struct bpi_bolt_answer *answer)
{
    if (answer->tag != BPI_BOLT_SUCCESS || !bpi_link_is_clean(link)) {
        link_lost(link, refused_error(answer));
        return;
    }
    bpi_timer_clear(link->loop, &link->timer);
    link->phase = BPI_LINK_READY;
    bpi_cluster_link_checked(link);
}

/* Gives one whole answer to whom it belongs. `framed` is the message as it came. */
static void on_answer(struct bpi_link *link, const uint8_t *framed, size_t framed_size)
{
    const uint8_t *payload = framed + 2;
    size_t payload_size = (size_t)framed[0] << 8 | framed[1];
    struct bpi_buffer joined = {0};
    int error = 0;
    if (payload_size + 4 != framed_size) {
        /* More than one chunk: an answer this large is a plan or a profile. */
        struct bpi_buffer copy = {0};
        struct bpi_chunk_reader reader = {0};
        error = bpi_buffer_append(&copy, framed, framed_size);
        if (error == 0) {
            int event = bpi_chunk_read(&reader, &copy, framed_size);
            error = event == BPI_CHUNK_MESSAGE ? 0 : event < 0 ? event : BP_E_PROTOCOL;
        }
        joined = reader.message;
        bpi_buffer_done(&copy);
        payload = joined.data + joined.begin;
        payload_size = bpi_buffer_size(&joined);
    }
    struct bpi_bolt_answer answer = {0};
    uint8_t request = 0;
    if (error == 0) {
        error = bpi_bolt_answer_read(payload, payload_size, &answer);
    }
    if (error == 0) {
        error = bpi_client_state_received(&link->state, answer.tag, answer.has_more, &request);
    }
    if (error != 0) {
        char quoted[64];
        bpi_log(
            BPI_LOG_WARN, "link",
            "%s sent what nothing asked for (%s; %s); its connection is closed",
            link_endpoint(link)->name, bp_error_text(error),
            bpi_log_quote(quoted, sizeof(quoted), payload, payload_size < 12 ? payload_size : 12));
        bpi_buffer_done(&joined);
        link_lost(link, error);
        return;
    }
    if (request == BPI_BOLT_RESET) {
        time_end(link);
    }
    if (request == BPI_BOLT_HELLO || request == BPI_BOLT_LOGON || request == BPI_BOLT_LOGOFF) {
        on_login_answer(link, request, &answer);
    } else if (link->phase == BPI_LINK_CHECKING) {
        on_check_answer(link, &answer);
    } else if (link->phase == BPI_LINK_CLEANING) {
        if (request == BPI_BOLT_RESET && answer.tag != BPI_BOLT_SUCCESS &&
            link->state.pending_resets == 0) {
            link_lost(link, refused_error(&answer));
        } else {
            clean_step(link);
        }
    } else if (link->lessee != NULL) {
        link->failed |= bpi_bolt_answer_is_fault(&answer);
        bpi_balance_note(link, &answer);
        link->lessee->on_summary(link->lessee_user, request, &answer, framed, framed_size);
    }
    bpi_buffer_done(&joined);
}

/* Passes on records [begin, end) of what was received. */
static void give_records(struct bpi_link *link, const uint8_t *data, size_t size, bool whole)
{
    if (size > 0 && link->lessee != NULL && link->phase == BPI_LINK_READY) {
        link->lessee->on_records(link->lessee_user, data, size, whole);
    }
}

/* Where the walk over received bytes stands, as offsets into what the connection has received. */
struct walk {
    size_t seen;   /* by the scanner */
    size_t at;     /* where the current message begins */
    size_t passed; /* all before it was dealt with */
};

/* No border is left in what was received: passes on the whole records, and from a record that is larger than
 * record_buffer_bytes what there is of it. False: the link is gone. */
static bool walk_rest(struct bpi_link *link, struct walk *walk, const uint8_t *data)
{
    size_t record_max = bpi_cluster_config(link->cluster)->record_buffer_bytes;
    bool is_record = link->scanner.head_have == 2 && link->scanner.head[1] == BPI_BOLT_RECORD;
    size_t part = walk->seen - walk->at;
    give_records(link, data + walk->passed, walk->at - walk->passed, true);
    walk->passed = walk->at;
    if (link->conn == NULL) {
        return false;
    }
    if (!is_record && part > SUMMARY_BYTES_MAX) {
        link_lost(link, BP_E_SIZE);
        return false;
    }
    if (is_record && part > record_max) {
        give_records(link, data + walk->at, part, false);
        link->mid_record = true;
        walk->passed = walk->seen;
    }
    return link->conn != NULL;
}

/* One whole message, or NOOP, ends at `seen`. False: the link is gone. */
static bool
walk_message(struct bpi_link *link, struct walk *walk, const uint8_t *data, bool is_noop)
{
    if (!is_noop && link->scanner.head_have == 2 && link->scanner.head[1] == BPI_BOLT_RECORD) {
        uint8_t request;
        if (bpi_client_state_received(&link->state, BPI_BOLT_RECORD, false, &request) != 0) {
            link_lost(link, BP_E_UNEXPECTED);
            return false;
        }
        link->mid_record = false;
        walk->at = walk->seen; /* it goes out with its neighbours */
        return true;
    }
    give_records(link, data + walk->passed, walk->at - walk->passed, true);
    if (link->conn == NULL) {
        return false;
    }
    size_t begin = walk->at;
    walk->at = walk->seen;
    walk->passed = walk->seen;
    if (!is_noop) {
        on_answer(link, data + begin, walk->seen - begin);
    } else if (link->lessee != NULL && link->lessee->on_noop != NULL) {
        link->lessee->on_noop(link->lessee_user);
    }
    return link->conn != NULL;
}

/* Walks over what was received: records are gathered and passed on in one piece, every other message is
 * read. Stops when the connection is gone. */
static void link_walk(struct bpi_link *link)
{
    struct bpi_buffer *in = bpi_conn_in(link->conn);
    struct walk walk = {.seen = link->scanned_bytes};
    while (true) {
        const uint8_t *data = bpi_buffer_head(in);
        size_t size = bpi_buffer_size(in);
        size_t used = 0;
        enum bpi_chunk_event event = BPI_CHUNK_MORE;
        if (walk.seen < size) {
            event = bpi_chunk_scan(&link->scanner, data + walk.seen, size - walk.seen, &used);
            walk.seen += used;
        }
        if (event == BPI_CHUNK_MORE) {
            if (!walk_rest(link, &walk, data)) {
                return;
            }
            break;
        }
        if (!walk_message(link, &walk, data, event == BPI_CHUNK_NOOP)) {
            return;
        }
    }
    bpi_buffer_consume(in, walk.passed);
    link->scanned_bytes = walk.seen - walk.passed;
    if (link->phase == BPI_LINK_READY && link->lessee == NULL && bpi_buffer_size(in) > 0) {
        link_lost(link, BP_E_UNEXPECTED); /* an idle link has to be quiet */
    }
}

static void start_login(struct bpi_link *link)
{
    struct bpi_endpoint *endpoint = link_endpoint(link);
    struct bpi_bolt_span token = bpi_identity_token(link->identity);
    struct bpi_bolt_span none = {0};
    struct bpi_buffer *out = bpi_conn_out(link->conn);
    bool logon = bpi_bolt_has_logon(link->version);
    link->phase = BPI_LINK_LOGIN;
    time_begin(link);
    bpi_client_state_init(&link->state, link->version);
    int error = bpi_link_write_hello(out, &endpoint->url, link->version, link->utc_patch,
                                     logon ? none : token);
    if (error == 0) {
        error = bpi_client_state_sent(&link->state, BPI_BOLT_HELLO);
    }
    link->login_due = 1;
    if (error == 0 && logon) {
        error = bpi_bolt_write_map(out, BPI_BOLT_LOGON, token);
        if (error == 0) {
            error = bpi_client_state_sent(&link->state, BPI_BOLT_LOGON);
        }
        link->login_due = 2;
    }
    if (error != 0) {
        link_lost(link, error);
        return;
    }
    bpi_conn_flush(link->conn);
}

static void on_open(struct bpi_conn *conn, void *user)
{
    struct bpi_link *link = user;
    struct bpi_handshake_client handshake;
    link->phase = BPI_LINK_HANDSHAKE;
    int error = bpi_handshake_client_start(&handshake, bpi_bolt_versions_of(link->version), false,
                                           bpi_conn_out(conn));
    if (error != 0) {
        link_lost(link, error);
        return;
    }
    bpi_conn_flush(conn);
}

static void on_data(struct bpi_conn *conn, void *user)
{
    struct bpi_link *link = user;
    link->heard_us = bpi_loop_now_us(link->loop);
    atomic_store_explicit(&link->spoke_us, link->heard_us, memory_order_relaxed);
    if (link->phase == BPI_LINK_HANDSHAKE) {
        /* One exact version was proposed, so the answer is told by its four bytes alone. */
        struct bpi_handshake_client handshake = {.wanted = bpi_bolt_versions_of(link->version)};
        enum bpi_handshake_result result;
        int error = bpi_handshake_client_read(&handshake, bpi_conn_in(conn), &result);
        if (error == 0 && result == BPI_HANDSHAKE_MORE) {
            return;
        }
        if (error != 0 || result != BPI_HANDSHAKE_DONE) {
            link_lost(link, error != 0 ? error : BP_E_VERSION);
            return;
        }
        start_login(link);
        return;
    }
    if (link->phase == BPI_LINK_GOODBYE) {
        bpi_buffer_clear(bpi_conn_in(conn));
        return;
    }
    link->in_events = true;
    link_walk(link);
    link->in_events = false;
    if (link->conn != NULL) {
        wait_on(link);
    }
}

static void on_drain(struct bpi_conn *conn, void *user)
{
    struct bpi_link *link = user;
    (void)conn;
    if (link->lessee != NULL && link->lessee->on_drain != NULL) {
        link->lessee->on_drain(link->lessee_user);
    }
}

static void on_close(struct bpi_conn *conn, void *user, int error)
{
    struct bpi_link *link = user;
    (void)conn;
    if (link->phase == BPI_LINK_GOODBYE) {
        link_drop_conn(link);
        bpi_cluster_link_closed(link, false, 0);
        return;
    }
    link_lost(link, error == 0 ? BP_E_SERVER_LOST : error);
}

static const struct bpi_conn_handler conn_handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- opening and lending ---- */

void bpi_link_open(struct bpi_link *link,
                   struct bpi_loop *loop,
                   struct bpi_identity *identity,
                   bool utc_patch,
                   struct bpi_wish *check)
{
    struct bpi_endpoint *endpoint = link_endpoint(link);
    const struct bpi_cluster_config *config = bpi_cluster_config(link->cluster);
    struct bpi_conn_options options = {
        .handler = &conn_handler,
        .user = link,
        .tls = endpoint->tls,
        .host_name = endpoint->url.host,
        .open_timeout_us = config->connect_timeout_us,
        .peer_silent_max_us = bpi_cluster_silent_max_us(config),
        .in_max_bytes = SUMMARY_BYTES_MAX + config->record_buffer_bytes,
    };
    link->loop = loop;
    link->version = (bpi_bolt_version)(link->place.key.protocol & 0xffff);
    link->utc_patch = utc_patch;
    link->failed = false;
    link->paused = false;
    atomic_store_explicit(&link->spoke_us, 0, memory_order_relaxed);
    link->identity = bpi_identity_ref(identity);
    link->sponsor = check != NULL ? &check->waiter : NULL;
    if (check != NULL) {
        check->check->link = link;
    }
    link->phase = BPI_LINK_CONNECTING;
    link->timer.on_fire = on_timer;
    int error = timer_take(link) ? bpi_conn_connect(link->loop, endpoint->url.host,
                                                    endpoint->url.port, &options, &link->conn)
                                 : BP_E_NO_MEMORY;
    if (error != 0) {
        link->conn = NULL;
        link_lost(link, error);
        return;
    }
    /* Handshake and log-in count too; the connection's own time-out ends with TLS. */
    bpi_timer_set(link->loop, &link->timer,
                  bpi_loop_now_us(link->loop) + config->connect_timeout_us);
}

int bpi_link_login(struct bpi_link *link, struct bpi_identity *identity)
{
    struct bpi_buffer *out = bpi_conn_out(link->conn);
    int error = bpi_bolt_write_simple(out, BPI_BOLT_LOGOFF);
    if (error == 0) {
        error = bpi_client_state_sent(&link->state, BPI_BOLT_LOGOFF);
    }
    if (error == 0) {
        error = bpi_bolt_write_map(out, BPI_BOLT_LOGON, bpi_identity_token(identity));
    }
    if (error == 0) {
        error = bpi_client_state_sent(&link->state, BPI_BOLT_LOGON);
    }
    if (error != 0) {
        return error;
    }
    bpi_identity_ref(identity);
    bpi_identity_unref(link->identity);
    link->identity = identity;
    link->login_due = 2;
    time_begin(link);
    begin_waiting(link);
    bpi_timer_set(link->loop, &link->timer,
                  bpi_loop_now_us(link->loop) +
                      bpi_cluster_config(link->cluster)->connect_timeout_us);
    return 0;
}

int bpi_link_lend(struct bpi_link *link,
                  const struct bpi_lessee *lessee,
                  void *user,
                  struct bpi_identity *identity)
{
    BP_ASSERT(link->phase == BPI_LINK_READY && link->lessee == NULL);
    link->lessee = lessee;
    link->lessee_user = user;
    link->paused = false;
    link->failed = false;
    if (link->kill != NULL) {
        bpi_kill_arrived(link); /* which ends it at the end of this turn */
    }
    return identity == NULL ? 0 : bpi_link_login(link, identity);
}

int bpi_link_send(struct bpi_link *link, uint8_t tag, const void *payload, size_t size)
{
    struct bpi_buffer *out = bpi_conn_out(link->conn);
    if (link->state.pending_count >= BPI_CLIENT_PENDING_MAX) {
        return BP_E_FULL;
    }
    size_t before = bpi_buffer_size(out);
    int error = bpi_chunk_write(out, payload, size);
    if (error != 0) {
        return error;
    }
    error = bpi_client_state_sent(&link->state, tag);
    if (error != 0) {
        out->end = out->begin + before; /* what isn't accounted for must not go out */
        return error;
    }
    if (link->state.pending_count == 1) {
        begin_waiting(link);
    }
    if (link->silence_us != 0 && link->timer.position == 0) {
        bpi_timer_set(link->loop, &link->timer, bpi_loop_now_us(link->loop) + link->silence_us);
    }
    return 0;
}

void bpi_link_flush(struct bpi_link *link)
{
    bpi_conn_flush(link->conn);
}

size_t bpi_link_unsent(const struct bpi_link *link)
{
    return bpi_conn_unsent(link->conn);
}

void bpi_link_pause(struct bpi_link *link)
{
    link->paused = true;
    due_set(link, 0);
    bpi_conn_read_pause(link->conn);
}

void bpi_link_resume(struct bpi_link *link)
{
    link->paused = false;
    link->heard_us = bpi_loop_now_us(link->loop);
    wait_on(link);
    bpi_conn_read_resume(link->conn);
}

bool bpi_link_is_clean(const struct bpi_link *link)
{
    return link->conn != NULL && link->login_due == 0 && !link->mid_record &&
           bpi_client_state_clean(&link->state);
}
