/* See conn_private.h. The bytes of an open connection, both ways, and the end of a flushed close.
 *
 *   plain: socket -> scratch -> in                out -> socket
 *   TLS:   socket -> scratch -> session -> in     out -> session -> pending -> socket
 *
 * Reading goes through the loop's scratch room, so that a connection that is idle owns no buffer.
 */
#include "net/conn_private.h"

#include "base/assert.h"
#include "net/conn.h"
#include "net/tls_session.h"

#include <boltpool/error.h>

#include <errno.h>
#include <sys/socket.h>

/* Per wake-up, so that one fast peer can't hold the loop: 256 KiB in, at most 4 MiB out. */
#define READS_PER_WAKE  4
#define WRITES_PER_WAKE 16
#define WRITE_BYTES_MAX ((size_t)256 * 1024)

/* What a socket can still hold after its end: 8 MiB, tcp_rmem's maximum being 6 by default. More is
 * dropped. */
#define READS_TO_END 128

/* Ciphertext made ahead of the socket; the rest stays in `out`, where on_drain counts it. */
#define WIRE_BYTES_MAX ((size_t)64 * 1024)

static void end_reached(struct bpi_conn *conn)
{
    if (conn->end == END_NONE) {
        conn->end = END_EOF;
        conn->news |= NEWS_CLOSE;
    }
}

static void take_plain(struct bpi_conn *conn, const uint8_t *data, size_t size)
{
    int error = bpi_buffer_append(&conn->in, data, size);
    if (error != 0) {
        bpi_conn_fail(conn, error);
        return;
    }
    conn->news |= NEWS_DATA;
}

static void take_cipher(struct bpi_conn *conn, const uint8_t *data, size_t size)
{
    struct bpi_tls_session *session = conn->tls->session;
    int error = size > 0 ? bpi_tls_session_feed(session, data, size) : 0;
    if (error != 0) {
        bpi_conn_fail(conn, error);
        return;
    }
    size_t before = bpi_buffer_size(&conn->in);
    enum bpi_tls_progress progress = bpi_tls_session_decrypt(session, &conn->in);
    if (bpi_buffer_size(&conn->in) > before) {
        conn->news |= NEWS_DATA;
    }
    if (progress == BPI_TLS_END) {
        end_reached(conn);
    } else if (progress == BPI_TLS_FAILED) {
        bpi_conn_send_last(conn); /* the alert */
        bpi_conn_fail(conn, BP_E_TLS);
    }
}

static void take(struct bpi_conn *conn, const uint8_t *data, size_t size)
{
    if (conn->tls != NULL) {
        take_cipher(conn, data, size);
    } else {
        take_plain(conn, data, size);
    }
}

void bpi_conn_read(struct bpi_conn *conn)
{
    size_t scratch_size;
    uint8_t *scratch = bpi_loop_scratch(conn->loop, &scratch_size);
    for (int reads = 0; reads < READS_PER_WAKE && conn->end == END_NONE &&
                        bpi_buffer_size(&conn->in) < conn->in_max_bytes;
         reads++) {
        ssize_t size = recv(conn->fd, scratch, scratch_size, 0);
        if (size > 0) {
            take(conn, scratch, (size_t)size);
            /* A short read has emptied the socket; asking again would cost a call to hear so. */
            if ((size_t)size < scratch_size) {
                break;
            }
        } else if (size == 0) {
            end_reached(conn);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            bpi_conn_fail(conn, -errno);
        }
    }
    /* What TLS answers by itself; nothing in the common case. */
    if (conn->tls != NULL) {
        bpi_conn_write(conn);
    }
}

void bpi_conn_read_left(struct bpi_conn *conn)
{
    if (conn->tls != NULL) {
        take_cipher(conn, NULL, 0);
    }
}

void bpi_conn_read_rest(struct bpi_conn *conn)
{
    BP_ASSERT(conn->end == END_FAILED);
    size_t scratch_size;
    uint8_t *scratch = bpi_loop_scratch(conn->loop, &scratch_size);
    for (int reads = 0; reads < READS_TO_END; reads++) {
        ssize_t size = recv(conn->fd, scratch, scratch_size, 0);
        if (size > 0) {
            take(conn, scratch, (size_t)size);
        } else if (size == 0 || errno != EINTR) {
            break;
        }
    }
}

/* What to send now, after TLS has made it; NULL when there is nothing, or on failure. */
static struct bpi_buffer *next_wire(struct bpi_conn *conn)
{
    struct bpi_buffer *wire = bpi_conn_wire(conn);
    if (conn->tls != NULL && bpi_buffer_size(wire) == 0 && bpi_buffer_size(&conn->out) > 0 &&
        bpi_tls_session_encrypt(conn->tls->session, &conn->out, WIRE_BYTES_MAX) == BPI_TLS_FAILED) {
        bpi_conn_fail(conn, BP_E_TLS);
        return NULL;
    }
    return bpi_buffer_size(wire) > 0 ? wire : NULL;
}

void bpi_conn_write(struct bpi_conn *conn)
{
    for (int writes = 0; writes < WRITES_PER_WAKE && conn->end != END_FAILED; writes++) {
        struct bpi_buffer *wire = next_wire(conn);
        if (wire == NULL) {
            break;
        }
        size_t size = bpi_buffer_size(wire);
        ssize_t sent = send(conn->fd, bpi_buffer_head(wire),
                            size < WRITE_BYTES_MAX ? size : WRITE_BYTES_MAX, MSG_NOSIGNAL);
        if (sent >= 0) {
            bpi_buffer_consume(wire, (size_t)sent);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            bpi_conn_fail(conn, -errno);
        }
    }
    if (bpi_buffer_size(&conn->out) == 0) {
        bpi_buffer_done(&conn->out);
    }
    if (conn->tls != NULL) {
        struct bpi_buffer *wire = bpi_conn_wire(conn);
        if (bpi_buffer_size(wire) == 0) {
            bpi_buffer_done(wire);
        }
    }
    if (conn->was_high && bpi_buffer_size(&conn->out) < conn->high_bytes / 2) {
        conn->was_high = false;
        conn->news |= NEWS_DRAIN;
    }
}

void bpi_conn_send_last(struct bpi_conn *conn)
{
    const struct bpi_buffer *wire = bpi_conn_wire(conn);
    if (bpi_buffer_size(wire) > 0) {
        (void)!send(conn->fd, bpi_buffer_head(wire), bpi_buffer_size(wire), MSG_NOSIGNAL);
    }
}

/* Reads and forgets, so that closing with unread bytes doesn't make the system send a reset, which
 * would destroy our last message in the peer's socket. */
static void drop_input(struct bpi_conn *conn)
{
    size_t scratch_size;
    uint8_t *scratch = bpi_loop_scratch(conn->loop, &scratch_size);
    for (int reads = 0; reads < READS_PER_WAKE && conn->end == END_NONE; reads++) {
        ssize_t size = recv(conn->fd, scratch, scratch_size, 0);
        if (size == 0) {
            conn->end = END_EOF;
        } else if (size < 0 && errno == EAGAIN) {
            break;
        } else if (size < 0 && errno != EINTR) {
            bpi_conn_fail(conn, -errno);
        }
    }
}

void bpi_conn_linger(struct bpi_conn *conn, bool broken)
{
    bpi_conn_write(conn);
    if (bpi_conn_unsent(conn) == 0 && !conn->fin_sent && conn->end != END_FAILED) {
        if (conn->tls != NULL) {
            bpi_tls_session_close_notify(conn->tls->session);
            bpi_conn_write(conn);
        }
        /* A full socket keeps the last record: the next step comes here again, and a second
         * close_notify is nothing. */
        if (bpi_conn_unsent(conn) == 0) {
            shutdown(conn->fd, SHUT_WR);
            conn->fin_sent = true;
        }
    }
    drop_input(conn);
    if (broken || conn->end == END_FAILED || (conn->fin_sent && conn->end == END_EOF)) {
        bpi_conn_close(conn);
        return;
    }
    bpi_conn_watch(conn);
}
