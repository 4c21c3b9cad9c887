/* See conn.h and conn_private.h. The life of a connection: its states, its events, its place on a
 * loop. The bytes are conn_stream.c's, the way to an open connection is conn_open.c's.
 *
 * How events stay out of the owner's calls: what happens sets a bit in `news`. The loop's own
 * callbacks end with bpi_conn_deliver(), which calls the handler; the owner's calls only queue a
 * mail that does the same at the end of the turn.
 *
 * After each call of the handler the connection may be closed, moved to another loop, or moved and
 * freed there already. The port, which stays this loop's, tells: port->conn is NULL then.
 */
#include "net/conn.h"

#include "base/assert.h"
#include "net/conn_private.h"
#include "net/tls.h"
#include "net/tls_session.h"

#include <boltpool/error.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* A reader is told to go on at half of it; 256 KiB is some milliseconds of a 1 Gbit/s line. */
#define HIGH_BYTES_DEFAULT ((size_t)256 * 1024)
/* The largest message that is taken whole, unless the owner says otherwise. */
#define IN_BYTES_DEFAULT ((size_t)1024 * 1024)

/* Below lie our own error codes. */
#define LIBUV_ERROR_MIN (-4095)

static void on_poll(uv_poll_t *handle, int status, int events);

static bool transition_allowed(enum conn_state from, enum conn_state to)
{
#define TO(state) (1U << (state))
    static const unsigned allowed[CONN_STATE_COUNT] = {
        [CONN_NEW] = TO(CONN_RESOLVING) | TO(CONN_CONNECTING) | TO(CONN_FIRST_BYTE) | TO(CONN_OPEN),
        [CONN_RESOLVING] = TO(CONN_CONNECTING) | TO(CONN_DEAF),
        [CONN_CONNECTING] = TO(CONN_HANDSHAKE) | TO(CONN_OPEN) | TO(CONN_DEAF),
        [CONN_FIRST_BYTE] = TO(CONN_HANDSHAKE) | TO(CONN_OPEN) | TO(CONN_DEAF),
        [CONN_HANDSHAKE] = TO(CONN_OPEN) | TO(CONN_DEAF),
        [CONN_OPEN] = TO(CONN_DETACHED) | TO(CONN_DEAF) | TO(CONN_LINGERING),
        [CONN_DETACHED] = TO(CONN_OPEN),
        [CONN_DEAF] = TO(CONN_LINGERING),
        [CONN_LINGERING] = 0,
        [CONN_CLOSED] = 0,
    };
    return to == CONN_CLOSED ? from != CONN_CLOSED : (allowed[from] & TO(to)) != 0;
#undef TO
}

void bpi_conn_state_set(struct bpi_conn *conn, enum conn_state state)
{
    BP_ASSERT(transition_allowed(conn->state, state));
    conn->state = state;
}

/* Ports. */

static void port_free_if_left(struct conn_port *port)
{
    if (port->conn == NULL && !port->has_handle && !port->queued) {
        free(port);
    }
}

static void on_port_closed(uv_handle_t *handle)
{
    struct conn_port *port = handle->data;
    port->has_handle = false;
    port_free_if_left(port);
}

static void on_port_mail(struct bpi_mail *mail)
{
    struct conn_port *port = CONTAINER_OF(mail, struct conn_port, mail);
    port->queued = false;
    if (port->conn != NULL) {
        bpi_conn_deliver(port->conn);
    } else {
        port_free_if_left(port);
    }
}

static void port_queue(struct conn_port *port, struct bpi_loop *loop)
{
    if (!port->queued) {
        port->queued = true;
        bpi_loop_defer(loop, &port->mail);
    }
}

static struct conn_port *port_new(void)
{
    struct conn_port *port = calloc(1, sizeof(*port));
    if (port != NULL) {
        port->mail.deliver = on_port_mail;
    }
    return port;
}

static void port_close_handle(struct conn_port *port)
{
    if (port->has_handle && !uv_is_closing((uv_handle_t *)&port->poll)) {
        uv_close((uv_handle_t *)&port->poll, on_port_closed);
    }
    port->watched = 0;
}

/* The connection leaves; callers up the stack may still look at port->conn, so that the memory goes
 * in a later turn at the earliest. */
static void port_leave(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    conn->port = NULL;
    port->conn = NULL;
    if (port->has_handle) {
        port_close_handle(port);
    } else {
        port_queue(port, conn->loop);
    }
}

int bpi_conn_handle_open(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    BP_ASSERT(!port->has_handle);
    int error = uv_poll_init(bpi_loop_uv(conn->loop), &port->poll, conn->fd);
    if (error == 0) {
        port->poll.data = port;
        port->has_handle = true;
    }
    return error;
}

void bpi_conn_socket_drop(struct bpi_conn *conn)
{
    if (conn->port != NULL && conn->port->has_handle) {
        /* A handle that is closing can't be used again, but the address tried next needs one now. */
        struct conn_port *port = port_new();
        if (port == NULL) {
            port_close_handle(conn->port);
            bpi_conn_fail(conn, BP_E_NO_MEMORY);
        } else {
            bool queued = conn->port->queued;
            port_leave(conn);
            conn->port = port;
            port->conn = conn;
            if (queued) {
                port_queue(port, conn->loop);
            }
        }
    }
    /* Behind uv_close(), which takes the descriptor out of epoll by its number. */
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
}

/* Making and freeing. */

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_conn *conn = CONTAINER_OF(timer, struct bpi_conn, timer);
    if (conn->state == CONN_LINGERING) {
        bpi_conn_close(conn);
        return;
    }
    bpi_conn_on_open_timeout(conn);
    bpi_conn_deliver(conn);
}

static void conn_free(struct bpi_conn *conn)
{
    bpi_buffer_done(&conn->in);
    bpi_buffer_done(&conn->out);
    free(conn->spare_port);
    free(conn->port);
    free(conn);
}

static void on_free_mail(struct bpi_mail *mail)
{
    conn_free(CONTAINER_OF(mail, struct bpi_conn, free_mail));
}

static void timer_release(struct bpi_conn *conn)
{
    if (conn->timer_reserved) {
        bpi_timer_clear(conn->loop, &conn->timer);
        int error = bpi_timer_reserve(conn->loop, -1);
        BP_ASSERT(error == 0);
        conn->timer_reserved = false;
    }
}

static int
conn_new(struct bpi_loop *loop, const struct bpi_conn_options *options, struct bpi_conn **ret_conn)
{
    bpi_assert_on_loop(loop);
    struct bpi_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return BP_E_NO_MEMORY;
    }
    conn->loop = loop;
    conn->fd = -1;
    conn->handler = options->handler;
    conn->user = options->user;
    conn->high_bytes = options->high_bytes > 0 ? options->high_bytes : HIGH_BYTES_DEFAULT;
    conn->in_max_bytes = options->in_max_bytes > 0 ? options->in_max_bytes : IN_BYTES_DEFAULT;
    conn->timer.on_fire = on_timer;
    conn->free_mail.deliver = on_free_mail;
    conn->port = port_new();
    conn->spare_port = port_new();
    if (conn->port == NULL || conn->spare_port == NULL || bpi_timer_reserve(loop, 1) != 0) {
        goto fail;
    }
    conn->timer_reserved = true;
    conn->port->conn = conn;
    conn->opening = calloc(1, sizeof(*conn->opening));
    if (conn->opening == NULL) {
        goto fail;
    }
    conn->opening->conn = conn;
    conn->opening->executor = options->executor != NULL ? options->executor : &bpi_executor_uv;
    conn->opening->tls = options->tls != NULL ? bpi_tls_context_ref(options->tls) : NULL;
    conn->opening->tls_optional = options->tls_optional;
    conn->opening->peer_silent_max_us = options->peer_silent_max_us;
    if (options->open_timeout_us > 0) {
        conn->opening->deadline_us = bpi_loop_now_us(loop) + options->open_timeout_us;
        bpi_timer_set(loop, &conn->timer, conn->opening->deadline_us);
    }
    *ret_conn = conn;
    return 0;

fail:
    timer_release(conn);
    conn_free(conn);
    return BP_E_NO_MEMORY;
}

/* Undoes conn_new() where the caller will never see the connection; its handle isn't open. */
static void conn_undo(struct bpi_conn *conn)
{
    BP_ASSERT(!conn->port->has_handle && !conn->port->queued);
    bpi_conn_opening_drop(conn);
    timer_release(conn);
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn_free(conn);
}

int bpi_conn_connect(struct bpi_loop *loop,
                     const char *host,
                     uint16_t port,
                     const struct bpi_conn_options *options,
                     struct bpi_conn **ret_conn)
{
    struct bpi_conn *conn = NULL;
    int error = conn_new(loop, options, &conn);
    if (error != 0) {
        return error;
    }
    conn->opening->is_outgoing = true;
    if (conn->opening->tls != NULL) {
        conn->opening->host_name = strdup(options->host_name != NULL ? options->host_name : host);
        if (conn->opening->host_name == NULL) {
            error = BP_E_NO_MEMORY;
            goto fail;
        }
    }
    error = bpi_conn_open_start(conn, host, port);
    if (error != 0) {
        goto fail;
    }
    *ret_conn = conn;
    return 0;

fail:
    conn_undo(conn);
    return error;
}

int bpi_conn_accept(struct bpi_loop *loop,
                    int fd,
                    const struct bpi_conn_options *options,
                    struct bpi_conn **ret_conn)
{
    struct bpi_conn *conn = NULL;
    int error = conn_new(loop, options, &conn);
    if (error != 0) {
        close(fd);
        return error;
    }
    conn->fd = fd;
    error = bpi_conn_handle_open(conn);
    if (error != 0) {
        conn_undo(conn);
        return error;
    }
    bpi_conn_socket_tune(fd, 0);
    socklen_t size = sizeof(conn->peer);
    if (getpeername(fd, &conn->peer.any, &size) != 0) {
        conn->peer.any.sa_family = AF_UNSPEC;
    }
    if (conn->opening->tls != NULL) {
        bpi_conn_state_set(conn, CONN_FIRST_BYTE);
        bpi_conn_watch(conn);
    } else {
        bpi_conn_opening_drop(conn);
        bpi_timer_clear(loop, &conn->timer);
        bpi_conn_state_set(conn, CONN_OPEN);
        conn->news |= NEWS_OPEN;
        bpi_conn_queue_news(conn);
    }
    *ret_conn = conn;
    return 0;
}

/* Events. */

void bpi_conn_fail(struct bpi_conn *conn, int error)
{
    if (conn->end == END_FAILED) {
        return;
    }
    conn->end = END_FAILED;
    conn->error = error;
    conn->news |= NEWS_CLOSE;
}

void bpi_conn_queue_news(struct bpi_conn *conn)
{
    /* No port: see on_attach_failed(), whose mail is on its way. */
    if (conn->port != NULL) {
        port_queue(conn->port, conn->loop);
    }
}

static void trim(struct bpi_buffer *buffer)
{
    if (bpi_buffer_size(buffer) == 0) {
        bpi_buffer_done(buffer);
    }
}

/* Each of the four tells one piece of news and returns whether the connection is still here. */

static bool tell_open(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    conn->news &= ~(unsigned)NEWS_OPEN;
    if (conn->handler->on_open != NULL) {
        conn->handler->on_open(conn, conn->user);
    }
    if (port->conn == NULL || conn->state != CONN_OPEN) {
        return false;
    }
    /* What was appended before it was open. */
    bpi_conn_write(conn);
    return true;
}

static bool tell_data(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    conn->news &= ~(unsigned)NEWS_DATA;
    if (conn->handler->on_data != NULL && bpi_buffer_size(&conn->in) > 0) {
        conn->handler->on_data(conn, conn->user);
    }
    return port->conn != NULL && conn->state == CONN_OPEN;
}

static bool tell_drain(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    conn->news &= ~(unsigned)NEWS_DRAIN;
    if (conn->handler->on_drain != NULL) {
        conn->handler->on_drain(conn, conn->user);
    }
    return port->conn != NULL && conn->state == CONN_OPEN;
}

static bool tell_close(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    conn->news = 0;
    bpi_timer_clear(conn->loop, &conn->timer);
    bpi_conn_state_set(conn, CONN_DEAF);
    bpi_conn_watch(conn);
    if (conn->handler->on_close != NULL) {
        conn->handler->on_close(conn, conn->user, conn->error);
    }
    return port->conn != NULL;
}

void bpi_conn_deliver(struct bpi_conn *conn)
{
    if (conn->state == CONN_DEAF || conn->state == CONN_LINGERING || conn->state == CONN_CLOSED) {
        return;
    }
    if ((conn->news & NEWS_OPEN) != 0 && !tell_open(conn)) {
        return;
    }
    /* What the peer sent before it went is still worth having, unless it is us who failed. */
    if (conn->end == END_FAILED && conn->state == CONN_OPEN && conn->error >= LIBUV_ERROR_MIN) {
        bpi_conn_read_rest(conn);
    }
    if ((conn->news & NEWS_DATA) != 0 && !conn->paused && !tell_data(conn)) {
        return;
    }
    if ((conn->news & NEWS_DRAIN) != 0 && conn->end != END_FAILED && !tell_drain(conn)) {
        return;
    }
    /* An orderly end waits behind bytes that a paused reader hasn't been shown; a failure can't, or
     * two connections that wait for each other would both wait for ever. */
    if ((conn->news & NEWS_CLOSE) != 0 && (conn->end == END_FAILED || !conn->paused)) {
        tell_close(conn);
        return;
    }
    trim(&conn->in);
    bpi_conn_watch(conn);
}

static int wanted_when_open(struct bpi_conn *conn)
{
    int wanted = 0;
    conn->in_is_full = bpi_buffer_size(&conn->in) >= conn->in_max_bytes;
    if (conn->end == END_NONE) {
        if (!conn->paused && !conn->in_is_full) {
            wanted |= UV_READABLE;
        } else if (!conn->hangup_seen) {
            wanted |= UV_DISCONNECT;
        }
    }
    if (bpi_conn_unsent(conn) > 0) {
        wanted |= UV_WRITABLE;
    }
    return wanted;
}

static int wanted_events(struct bpi_conn *conn)
{
    if (conn->end == END_FAILED) {
        return 0;
    }
    switch (conn->state) {
    case CONN_CONNECTING:
        return UV_WRITABLE;
    case CONN_FIRST_BYTE:
        return UV_READABLE;
    case CONN_HANDSHAKE:
        /* Level-triggered: bytes that nobody reads while the helper works would wake us all the time. */
        if (conn->tls->working) {
            return 0;
        }
        return UV_READABLE | (bpi_buffer_size(bpi_conn_wire(conn)) > 0 ? UV_WRITABLE : 0);
    case CONN_OPEN:
        return wanted_when_open(conn);
    case CONN_LINGERING:
        return (conn->end == END_NONE ? UV_READABLE : 0) |
               (bpi_conn_unsent(conn) > 0 ? UV_WRITABLE : 0);
    case CONN_NEW:
    case CONN_RESOLVING:
    case CONN_DETACHED:
    case CONN_DEAF:
    case CONN_CLOSED:
    case CONN_STATE_COUNT:
        break;
    }
    return 0;
}

void bpi_conn_watch(struct bpi_conn *conn)
{
    struct conn_port *port = conn->port;
    if (port == NULL || !port->has_handle || uv_is_closing((uv_handle_t *)&port->poll)) {
        return;
    }
    int wanted = wanted_events(conn);
    if (wanted == port->watched) {
        return;
    }
    port->watched = wanted;
    int error = uv_poll_start(&port->poll, wanted, on_poll);
    BP_ASSERT(error == 0);
}

/* An open connection's socket is ready. */
static void on_open_ready(struct bpi_conn *conn, bool broken, int events)
{
    if (broken) {
        int error = 0;
        socklen_t error_size = sizeof(error);
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
        if (error != 0) {
            bpi_conn_fail(conn, -error);
        }
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        bpi_conn_write(conn);
    }
    if (conn->end == END_NONE && (events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        if (!conn->paused && bpi_buffer_size(&conn->in) < conn->in_max_bytes) {
            bpi_conn_read(conn);
        } else if ((events & UV_DISCONNECT) != 0) {
            conn->hangup_seen = true;
        }
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct conn_port *port = handle->data;
    struct bpi_conn *conn = port->conn;
    /* libuv gives EPOLLERR as a status and has stopped the handle by then. */
    bool broken = status < 0;
    if (broken) {
        port->watched = 0;
    }
    switch (conn->state) {
    case CONN_CONNECTING:
        bpi_conn_on_writable(conn);
        break;
    case CONN_FIRST_BYTE:
        bpi_conn_on_first_byte(conn);
        break;
    case CONN_HANDSHAKE:
        bpi_conn_on_handshake(conn);
        break;
    case CONN_OPEN:
        on_open_ready(conn, broken, events);
        break;
    case CONN_LINGERING:
        bpi_conn_linger(conn, broken);
        return;
    case CONN_NEW:
    case CONN_RESOLVING:
    case CONN_DETACHED:
    case CONN_DEAF:
    case CONN_CLOSED:
    case CONN_STATE_COUNT:
        return;
    }
    bpi_conn_deliver(conn);
}

/* What the owner calls. */

struct bpi_loop *bpi_conn_loop(const struct bpi_conn *conn)
{
    return conn->loop;
}

void bpi_conn_user_set(struct bpi_conn *conn, const struct bpi_conn_handler *handler, void *user)
{
    conn->handler = handler;
    conn->user = user;
}

void *bpi_conn_user(const struct bpi_conn *conn)
{
    return conn->user;
}

struct bpi_buffer *bpi_conn_in(struct bpi_conn *conn)
{
    /* The caller is likely to make room; whether it did is seen at the end of the turn. */
    if (conn->in_is_full && conn->state == CONN_OPEN) {
        bpi_conn_queue_news(conn);
    }
    return &conn->in;
}

struct bpi_buffer *bpi_conn_out(struct bpi_conn *conn)
{
    return &conn->out;
}

struct bpi_buffer *bpi_conn_wire(struct bpi_conn *conn)
{
    return conn->tls != NULL ? bpi_tls_session_pending(conn->tls->session) : &conn->out;
}

bool bpi_conn_is_high(const struct bpi_conn *conn)
{
    return conn->was_high;
}

size_t bpi_conn_unsent(const struct bpi_conn *conn)
{
    size_t size = bpi_buffer_size(&conn->out);
    if (conn->tls != NULL && !conn->tls->working) {
        size += bpi_buffer_size(bpi_tls_session_pending(conn->tls->session));
    }
    return size;
}

void bpi_conn_flush(struct bpi_conn *conn)
{
    if (conn->state != CONN_OPEN || conn->end == END_FAILED) {
        BP_ASSERT(conn->state != CONN_DETACHED && conn->state != CONN_CLOSED);
        return;
    }
    bpi_assert_on_loop(conn->loop);
    bpi_conn_write(conn);
    conn->was_high = conn->was_high || bpi_buffer_size(&conn->out) > conn->high_bytes;
    if (conn->news != 0) {
        bpi_conn_queue_news(conn);
    }
    bpi_conn_watch(conn);
}

void bpi_conn_read_pause(struct bpi_conn *conn)
{
    /* The socket is unwatched when it next wakes us: a pause is often over before. */
    conn->paused = true;
}

void bpi_conn_read_resume(struct bpi_conn *conn)
{
    if (!conn->paused) {
        return;
    }
    conn->paused = false;
    conn->hangup_seen = false;
    if (conn->state != CONN_OPEN) {
        return;
    }
    bpi_assert_on_loop(conn->loop);
    if (bpi_buffer_size(&conn->in) > 0) {
        conn->news |= NEWS_DATA;
    } else {
        trim(&conn->in);
    }
    if (conn->news != 0) {
        bpi_conn_queue_news(conn);
    }
    bpi_conn_watch(conn);
}

bool bpi_conn_is_quiet(const struct bpi_conn *conn)
{
    if ((conn->state != CONN_OPEN && conn->state != CONN_DETACHED) || conn->end != END_NONE ||
        conn->hangup_seen || bpi_buffer_size(&conn->in) > 0) {
        return false;
    }
    struct pollfd query = {.fd = conn->fd, .events = POLLIN | POLLRDHUP};
    return poll(&query, 1, 0) == 0;
}

void bpi_conn_close(struct bpi_conn *conn)
{
    bool detached = conn->state == CONN_DETACHED;
    if (!detached) {
        bpi_assert_on_loop(conn->loop);
    }
    if (conn->tls != NULL && !conn->tls->working && conn->end != END_FAILED && !conn->fin_sent &&
        (conn->state == CONN_OPEN || detached)) {
        bpi_tls_session_close_notify(conn->tls->session);
        bpi_conn_send_last(conn);
    }
    bpi_conn_state_set(conn, CONN_CLOSED);
    bpi_conn_opening_drop(conn);
    bpi_conn_tls_drop(conn);
    if (!detached) {
        timer_release(conn);
        if (conn->port != NULL) {
            port_leave(conn);
        }
    }
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    if (detached) {
        conn_free(conn);
    } else if (conn->free_mail_queued) {
        conn->free_mail.deliver = on_free_mail;
    } else {
        bpi_loop_defer(conn->loop, &conn->free_mail);
    }
}

void bpi_conn_close_flushed(struct bpi_conn *conn, bp_usec timeout_us)
{
    bpi_assert_on_loop(conn->loop);
    bool can_send = (conn->state == CONN_OPEN || conn->state == CONN_DEAF) && conn->fd >= 0 &&
                    conn->end != END_FAILED;
    if (can_send && !conn->timer_reserved) {
        conn->timer_reserved = bpi_timer_reserve(conn->loop, 1) == 0;
    }
    if (!can_send || !conn->timer_reserved) {
        bpi_conn_close(conn);
        return;
    }
    bpi_conn_state_set(conn, CONN_LINGERING);
    bpi_buffer_done(&conn->in);
    bpi_timer_set(conn->loop, &conn->timer, bpi_loop_now_us(conn->loop) + timeout_us);
    bpi_conn_linger(conn, false);
}

void bpi_conn_abort(struct bpi_conn *conn)
{
    if (conn->fd >= 0) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        /* No close_notify from a server that died. */
        bpi_conn_fail(conn, 0);
    }
    bpi_conn_close(conn);
}

void bpi_conn_detach(struct bpi_conn *conn)
{
    bpi_assert_on_loop(conn->loop);
    BP_ASSERT(conn->port != NULL);
    bpi_conn_state_set(conn, CONN_DETACHED);
    timer_release(conn);
    port_leave(conn);
    conn->loop = NULL;
    conn->in_is_full = false;
    if (conn->spare_port == NULL) {
        conn->spare_port = port_new();
    }
}

/* The connection came to a loop without a port to live on; it only gets to say so. */
static void on_attach_failed(struct bpi_mail *mail)
{
    struct bpi_conn *conn = CONTAINER_OF(mail, struct bpi_conn, free_mail);
    conn->free_mail.deliver = on_free_mail;
    conn->free_mail_queued = false;
    conn->news = 0;
    bpi_conn_state_set(conn, CONN_DEAF);
    if (conn->handler->on_close != NULL) {
        conn->handler->on_close(conn, conn->user, conn->error);
    }
}

void bpi_conn_attach(struct bpi_conn *conn, struct bpi_loop *loop)
{
    bpi_assert_on_loop(loop);
    bpi_conn_state_set(conn, CONN_OPEN);
    conn->loop = loop;
    conn->port = conn->spare_port != NULL ? conn->spare_port : port_new();
    conn->spare_port = port_new();
    if (conn->port == NULL) {
        /* Three allocations failed: after the last attach, in detach, and now. */
        bpi_conn_fail(conn, BP_E_NO_MEMORY);
        conn->free_mail.deliver = on_attach_failed;
        conn->free_mail_queued = true;
        bpi_loop_defer(loop, &conn->free_mail);
        return;
    }
    conn->port->conn = conn;
    /* Only a flushed close needs it, and does without. */
    conn->timer_reserved = bpi_timer_reserve(loop, 1) == 0;
    int error = bpi_conn_handle_open(conn);
    if (error != 0) {
        bpi_conn_fail(conn, error);
    }
    if (conn->news != 0) {
        bpi_conn_queue_news(conn);
    }
    bpi_conn_watch(conn);
}

const char *bpi_conn_peer(const struct bpi_conn *conn, char *text, size_t size)
{
    char address[INET6_ADDRSTRLEN];
    if (conn->peer.any.sa_family == AF_INET &&
        uv_ip4_name(&conn->peer.ip4, address, sizeof(address)) == 0) {
        snprintf(text, size, "%s:%u", address, (unsigned)ntohs(conn->peer.ip4.sin_port));
    } else if (conn->peer.any.sa_family == AF_INET6 &&
               uv_ip6_name(&conn->peer.ip6, address, sizeof(address)) == 0) {
        snprintf(text, size, "[%s]:%u", address, (unsigned)ntohs(conn->peer.ip6.sin6_port));
    } else {
        snprintf(text, size, "unknown");
    }
    return text;
}

const char *bpi_conn_error_text(const struct bpi_conn *conn, char *text, size_t size)
{
    const char *reason = conn->tls != NULL && !conn->tls->working
                             ? bpi_tls_session_reason(conn->tls->session)
                             : NULL;
    snprintf(text, size, "%s%s%s", bp_error_text(conn->error), reason != NULL ? ": " : "",
             reason != NULL ? reason : "");
    return text;
}
