/* See conn_private.h. The way to an open connection: the name, the addresses one by one, the first
 * byte of an accepted one, the TLS handshake on a helper thread.
 *
 * Each address gets an equal share of the time that is left, so that a dead first one doesn't use up
 * the time of a living second.
 */
#include "net/conn_private.h"

#include "base/assert.h"
#include "base/container.h"
#include "net/conn.h"
#include "net/tls.h"
#include "net/tls_session.h"

#include <boltpool/error.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A TLS connection starts with a record of type handshake; a Bolt one with 0x60, HTTP with a letter. */
#define TLS_FIRST_BYTE 0x16

/* A peer that is gone without a word (power, cable) is noticed by keep-alive 90 s after its last sign
 * of life: 60 s of silence, then three questions 10 s apart. Halving finds it sooner and wakes twice
 * as many idle sockets. Of a server, where there are few, a third of the silence that it is allowed. */
#define KEEP_IDLE_S     60
#define KEEP_INTERVAL_S 10
#define KEEP_COUNT      3

/* A server that acknowledges nothing for so long is as good as dead. Not for clients: Linux (since
 * 5.11, measured on 6.18) also counts the time in which a living reader keeps its window closed, and
 * a driver that reads slowly would be cut off with half a result. There the system's own limit for
 * retransmissions holds, about 15 minutes. */
#define SERVER_SILENT_US (30 * BP_USEC_PER_SECOND)

/* Dropping. */

static void opening_free(struct conn_opening *opening)
{
    uv_freeaddrinfo(opening->addresses);
    bpi_tls_context_unref(opening->tls);
    free(opening->host_name);
    free(opening);
}

void bpi_conn_opening_drop(struct bpi_conn *conn)
{
    struct conn_opening *opening = conn->opening;
    conn->opening = NULL;
    if (opening == NULL) {
        return;
    }
    opening->conn = NULL;
    if (opening->on_helper) {
        uv_cancel((uv_req_t *)&opening->lookup);
    } else {
        opening_free(opening);
    }
}

static void tls_free(struct conn_tls *tls)
{
    bpi_tls_session_free(tls->session);
    free(tls);
}

void bpi_conn_tls_drop(struct bpi_conn *conn)
{
    struct conn_tls *tls = conn->tls;
    conn->tls = NULL;
    if (tls == NULL) {
        return;
    }
    tls->conn = NULL;
    if (!tls->working) {
        tls_free(tls);
    }
}

/* Opened. */

static void opened(struct bpi_conn *conn)
{
    bpi_timer_clear(conn->loop, &conn->timer);
    bpi_conn_opening_drop(conn);
    bpi_conn_state_set(conn, CONN_OPEN);
    conn->news |= NEWS_OPEN;
}

/* TLS. */

static void work_run(struct bpi_work *work)
{
    struct conn_tls *tls = BPI_CONTAINER(work, struct conn_tls, work);
    tls->progress = (int)bpi_tls_session_handshake(tls->session);
}

static void submit_step(struct bpi_conn *conn)
{
    const struct bpi_executor *executor = conn->opening->executor;
    conn->tls->working = true;
    int error = executor->submit(executor, conn->loop, &conn->tls->work);
    if (error != 0) {
        conn->tls->working = false;
        bpi_conn_fail(conn, error);
    }
}

static void work_done(struct bpi_work *work)
{
    struct conn_tls *tls = BPI_CONTAINER(work, struct conn_tls, work);
    struct bpi_conn *conn = tls->conn;
    tls->working = false;
    if (conn == NULL) {
        tls_free(tls);
        return;
    }
    if (conn->state != CONN_HANDSHAKE || conn->end == END_FAILED) {
        return; /* timed out meanwhile, and its owner hasn't closed it yet */
    }
    switch ((enum bpi_tls_progress)tls->progress) {
    case BPI_TLS_DONE:
        bpi_conn_write(conn);
        opened(conn);
        bpi_conn_read_left(conn);
        break;
    case BPI_TLS_AGAIN:
        bpi_conn_write(conn);
        if (conn->end != END_FAILED && bpi_tls_session_is_ready(tls->session)) {
            submit_step(conn);
        }
        break;
    case BPI_TLS_END:
    case BPI_TLS_FAILED:
        bpi_conn_send_last(conn); /* the alert */
        bpi_conn_fail(conn, BP_E_TLS);
        break;
    }
    bpi_conn_deliver(conn);
}

static void start_tls(struct bpi_conn *conn)
{
    struct conn_opening *opening = conn->opening;
    struct conn_tls *tls = calloc(1, sizeof(*tls));
    int error = BP_E_NO_MEMORY;
    if (tls != NULL) {
        error = bpi_tls_session_new(opening->tls, opening->host_name, &tls->session);
    }
    if (error != 0) {
        free(tls);
        bpi_conn_fail(conn, error);
        return;
    }
    tls->work.run = work_run;
    tls->work.on_done = work_done;
    tls->conn = conn;
    conn->tls = tls;
    bpi_conn_state_set(conn, CONN_HANDSHAKE);
    if (bpi_tls_session_is_ready(tls->session)) {
        submit_step(conn);
    }
}

/* An end in the middle of a handshake. A peer that connects and goes without a byte (a health check)
 * is no failure. */
static void fail_opening(struct bpi_conn *conn)
{
    bpi_conn_fail(conn, conn->opening->is_outgoing || conn->opening->got_bytes ? BP_E_TLS : 0);
}

/* Whether `size`, what recv() returned, holds bytes; notes an end or an error. */
static bool received(struct bpi_conn *conn, ssize_t size)
{
    if (size > 0) {
        conn->opening->got_bytes = true;
        return true;
    }
    if (size == 0) {
        fail_opening(conn);
    } else if (errno != EAGAIN && errno != EINTR) {
        bpi_conn_fail(conn, -errno);
    }
    return false;
}

void bpi_conn_on_handshake(struct bpi_conn *conn)
{
    struct bpi_tls_session *session = conn->tls->session;
    size_t scratch_size;
    uint8_t *scratch = bpi_loop_scratch(conn->loop, &scratch_size);
    BP_ASSERT(!conn->tls->working);
    /* Read first: a peer that refuses us and goes has said why. */
    ssize_t size = recv(conn->fd, scratch, scratch_size, 0);
    if (received(conn, size)) {
        int error = bpi_tls_session_feed(session, scratch, (size_t)size);
        if (error != 0) {
            bpi_conn_fail(conn, error);
        }
    }
    bpi_conn_write(conn);
    if (conn->end != END_FAILED && bpi_tls_session_is_ready(session)) {
        submit_step(conn);
    }
}

void bpi_conn_on_first_byte(struct bpi_conn *conn)
{
    uint8_t first = 0;
    if (!received(conn, recv(conn->fd, &first, sizeof(first), MSG_PEEK))) {
        return;
    }
    if (conn->opening->tls_optional && first != TLS_FIRST_BYTE) {
        opened(conn);
        bpi_conn_read(conn);
    } else {
        start_tls(conn);
    }
}

/* Connecting. */

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* At least a second: keep-alive knows no less, and 0 would mean none. */
static int seconds_of(bp_usec span_us)
{
    bp_usec seconds = span_us / BP_USEC_PER_SECOND;
    return seconds < 1 ? 1 : seconds > 3600 ? 3600 : (int)seconds;
}

void bpi_conn_socket_tune(int fd, bp_usec silent_max_us)
{
    int idle_s = KEEP_IDLE_S;
    int interval_s = KEEP_INTERVAL_S;
    if (silent_max_us != 0) {
        int third_s = seconds_of(silent_max_us / 3);
        unsigned silent_ms = (unsigned)seconds_of(silent_max_us) * 1000U;
        idle_s = third_s < idle_s ? third_s : idle_s;
        interval_s = third_s < interval_s ? third_s : interval_s;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof(silent_ms));
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
}

static void connected(struct bpi_conn *conn)
{
    socklen_t size = sizeof(conn->peer);
    if (getpeername(conn->fd, &conn->peer.any, &size) != 0) {
        conn->peer.any.sa_family = AF_UNSPEC;
    }
    if (conn->opening->tls != NULL) {
        start_tls(conn);
    } else {
        opened(conn);
    }
}

/* Errors: libuv's; the socket is gone then, or still to be dropped. */
static int connect_to(struct bpi_conn *conn, const struct sockaddr *address)
{
    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        return -errno;
    }
    bp_usec silent_us = conn->opening->peer_silent_max_us;
    bpi_conn_socket_tune(conn->fd, silent_us == 0 ? SERVER_SILENT_US : silent_us);
    socklen_t size =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (connect(conn->fd, address, size) != 0 && errno != EINPROGRESS) {
        return -errno;
    }
    /* A socket that is connected at once becomes writable like one that takes its time. */
    return bpi_conn_handle_open(conn);
}

/* How long this address may take, by the clock; the last one gets all that is left. */
static void set_attempt_timer(struct bpi_conn *conn)
{
    const struct conn_opening *opening = conn->opening;
    if (opening->deadline_us == 0) {
        return;
    }
    bp_usec now_us = bpi_loop_now_us(conn->loop);
    bp_usec left_us = opening->deadline_us > now_us ? opening->deadline_us - now_us : 0;
    bp_usec attempts = 1;
    for (const struct addrinfo *later = opening->next; later != NULL; later = later->ai_next) {
        attempts++;
    }
    bpi_timer_set(conn->loop, &conn->timer, now_us + left_us / attempts);
}

/* Bounded by the addresses of one name. */
static void try_next_address(struct bpi_conn *conn)
{
    struct conn_opening *opening = conn->opening;
    for (;;) {
        bpi_conn_socket_drop(conn);
        if (conn->end == END_FAILED) {
            return;
        }
        const struct addrinfo *address = opening->next;
        if (address == NULL) {
            bpi_conn_fail(conn, opening->last_error);
            return;
        }
        opening->next = address->ai_next;
        int error = connect_to(conn, address->ai_addr);
        if (error == 0) {
            set_attempt_timer(conn);
            return;
        }
        opening->last_error = error;
    }
}

void bpi_conn_on_writable(struct bpi_conn *conn)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error == 0) {
        connected(conn);
    } else {
        conn->opening->last_error = -error;
        try_next_address(conn);
    }
}

void bpi_conn_on_open_timeout(struct bpi_conn *conn)
{
    if (conn->state == CONN_CONNECTING && conn->opening->next != NULL) {
        conn->opening->last_error = UV_ETIMEDOUT;
        try_next_address(conn);
    } else {
        bpi_conn_fail(conn, UV_ETIMEDOUT);
    }
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct conn_opening *opening = request->data;
    struct bpi_conn *conn = opening->conn;
    opening->on_helper = false;
    opening->addresses = addresses;
    if (conn == NULL) {
        opening_free(opening);
        return;
    }
    if (conn->state != CONN_RESOLVING) {
        return; /* timed out meanwhile, and its owner hasn't closed it yet */
    }
    if (status != 0) {
        bpi_conn_fail(conn, status);
    } else {
        opening->next = addresses;
        opening->last_error = UV_EAI_NONAME;
        bpi_conn_state_set(conn, CONN_CONNECTING);
        try_next_address(conn);
    }
    bpi_conn_deliver(conn);
}

int bpi_conn_open_start(struct bpi_conn *conn, const char *host, uint16_t port)
{
    struct conn_opening *opening = conn->opening;
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&opening->literal) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)&opening->literal) == 0) {
        opening->literal_info.ai_addr = (struct sockaddr *)&opening->literal;
        opening->next = &opening->literal_info;
        bpi_conn_state_set(conn, CONN_CONNECTING);
        try_next_address(conn);
        bpi_conn_watch(conn);
        if (conn->news != 0) {
            bpi_conn_queue_news(conn);
        }
        return 0;
    }
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    opening->lookup.data = opening;
    int error = uv_getaddrinfo(bpi_loop_uv(conn->loop), &opening->lookup, on_looked_up, host,
                               service, &hints);
    if (error == 0) {
        opening->on_helper = true;
        bpi_conn_state_set(conn, CONN_RESOLVING);
    }
    return error;
}
