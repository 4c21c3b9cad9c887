/* One TCP connection, plain or TLS, as two buffers and five events.
 *
 * The socket is non-blocking with TCP_NODELAY and keep-alive, watched by a uv_poll_t, so it can move
 * between loops. bpi_conn_flush() writes at once and waits for the socket only when it is full.
 * What it moves it doesn't look at.
 *
 * States -> function: RESOLVING, CONNECTING, TLS_HANDSHAKE -> (internal) -> OPEN -> on_close or
 * bpi_conn_close() -> CLOSED, freed at the end of the turn.
 * Invariants: events come only on the connection's loop, never inside a call to a bpi_conn_ function;
 * after on_close, or once bpi_conn_close() or bpi_conn_close_flushed() was called, no event comes.
 * TLS handshake steps run on the executor; the connection isn't touched by its loop meanwhile.
 *
 * Owner: the loop it is on. Buffers are given back to the allocator whenever they are empty and the
 * connection is idle, so that ten thousand idle clients cost little.
 */
#ifndef BPI_NET_CONN_H
#define BPI_NET_CONN_H

#include "base/buffer.h"

#include <boltpool/types.h>

#include <stdbool.h>
#include <sys/socket.h>

struct bpi_conn;
struct bpi_executor;
struct bpi_loop;
struct bpi_tls_context;

struct bpi_conn_handler {
    /* Connected, or accepted, and TLS is done where there is TLS. */
    void (*on_open)(struct bpi_conn *conn, void *user);
    /* bpi_conn_in() has grown. Bytes that the handler leaves there stay and are shown again with the next
     * ones. */
    void (*on_data)(struct bpi_conn *conn, void *user);
    /* bpi_conn_out() was above `high_bytes` after a flush and has fallen below half of it. */
    void (*on_drain)(struct bpi_conn *conn, void *user);
    /* The peer closed (error 0), or connecting, TLS or the socket failed: a libuv code, BP_E_TLS.
     * bpi_conn_in() still holds what came before. The handler calls bpi_conn_close(), now or later; until
     * then the struct stays, deaf. */
    void (*on_close)(struct bpi_conn *conn, void *user, int error);
};

struct bpi_conn_options {
    const struct bpi_conn_handler *handler;
    void *user;
    const struct bpi_executor *executor; /* NULL: bpi_executor_uv */
    struct bpi_tls_context *tls; /* borrowed: the connection takes its own reference; or NULL */
    bool tls_optional;           /* accepted connections: TLS if the first byte is 0x16 */
    const char *host_name;       /* outgoing TLS: the name to check and to send as SNI */
    bp_usec open_timeout_us;     /* connect and TLS together; 0 = none */
    bp_usec
        peer_silent_max_us; /* outgoing: the peer's system may leave bytes, and questions of keep-alive, without
                                 * an acknowledgement for so long; 0 = 30 s */
    size_t high_bytes;   /* see on_drain; 0 = 256 KiB */
    size_t in_max_bytes; /* reading pauses by itself while `in` holds this much; 0 = 1 MiB */
};

/* Opens a connection to `host` (a name is looked up on a helper thread and its addresses are tried in
 * order, a literal address is used at once). Failure to connect comes as on_close.
 * Errors: BP_E_NO_MEMORY, libuv's. Nothing has been made then. */
BP_MUST_CHECK int bpi_conn_connect(struct bpi_loop *loop,
                                   const char *host,
                                   uint16_t port,
                                   const struct bpi_conn_options *options,
                                   struct bpi_conn **ret_conn);
/* Takes over an accepted socket (also on failure: it is closed then). on_open follows in a later turn
 * or, for a plain connection, at the end of this one. */
BP_MUST_CHECK int bpi_conn_accept(struct bpi_loop *loop,
                                  int fd,
                                  const struct bpi_conn_options *options,
                                  struct bpi_conn **ret_conn);

struct bpi_loop *bpi_conn_loop(const struct bpi_conn *conn);
void bpi_conn_user_set(struct bpi_conn *conn, const struct bpi_conn_handler *handler, void *user);
void *bpi_conn_user(const struct bpi_conn *conn);
/* What was read and not consumed yet; what is to be written (append, then flush). Borrowed; of an open
 * or deaf connection only. Appending before on_open is fine: it goes out after it. Where reading had
 * stopped at in_max_bytes, asking for `in` has it looked at again at the end of the turn. */
struct bpi_buffer *bpi_conn_in(struct bpi_conn *conn);
struct bpi_buffer *bpi_conn_out(struct bpi_conn *conn);
/* Writes what it can now; the rest follows as the socket takes it. An error comes as on_close, later. */
void bpi_conn_flush(struct bpi_conn *conn);
/* Bytes of `out`, and inside TLS, that the socket hasn't taken. */
size_t bpi_conn_unsent(const struct bpi_conn *conn);
/* Whether `out` was above `high_bytes` after a flush, so that on_drain will come. */
bool bpi_conn_is_high(const struct bpi_conn *conn);
/* Stops and resumes reading from the socket. While paused a peer's close is still noticed where the
 * system tells (EPOLLRDHUP), but reported only after resume, behind the bytes that came before it. A
 * failure (reset, failed write) is reported at once, since two connections that wait for each other would
 * never hear of it. After resume on_data shows what is in `in`, new or not. */
void bpi_conn_read_pause(struct bpi_conn *conn);
void bpi_conn_read_resume(struct bpi_conn *conn);
/* Whether bytes or an end wait in the socket, asked of the kernel without reading: an idle connection
 * must be quiet. */
bool bpi_conn_is_quiet(const struct bpi_conn *conn);

/* Closes at once; what isn't sent is dropped. The struct is freed at the end of the turn. */
void bpi_conn_close(struct bpi_conn *conn);
/* Sends what is in `out` first, up to `timeout_us`, then a FIN; what the peer still sends is dropped. */
void bpi_conn_close_flushed(struct bpi_conn *conn, bp_usec timeout_us);
/* Closes so that the peer gets a TCP reset, as from a server that died. */
void bpi_conn_abort(struct bpi_conn *conn);

/* Moves an open connection with empty `out` to another loop: detach on its loop, hand over by mail, attach
 * on the new one. Between the two nobody may touch it but to attach or to close it (bpi_conn_close of a
 * detached one may be called on any loop). attach can't fail: its handle comes with the connection. */
void bpi_conn_detach(struct bpi_conn *conn);
void bpi_conn_attach(struct bpi_conn *conn, struct bpi_loop *loop);

/* "127.0.0.1:53412" or "[::1]:53412" of the peer, "unknown" before it is connected; `size` of at least 64.
 * Returns `text`. */
const char *bpi_conn_peer(const struct bpi_conn *conn, char *text, size_t size);
/* Why on_close came, as words for a log: the error's text, and what OpenSSL found where it was TLS. Until
 * the connection is closed. `size` of at least 256. Returns `text`. */
const char *bpi_conn_error_text(const struct bpi_conn *conn, char *text, size_t size);

#endif
