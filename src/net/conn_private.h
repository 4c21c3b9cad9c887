/* What conn.c (life and events), conn_open.c (name, connect, TLS handshake) and conn_stream.c (bytes)
 * share of a connection; nobody else includes it but channel.c, for bpi_conn_socket_tune().
 */
#ifndef BPI_NET_CONN_PRIVATE_H
#define BPI_NET_CONN_PRIVATE_H

#include "base/buffer.h"
#include "net/executor.h"
#include "net/loop.h"

#include <boltpool/types.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct bpi_conn;
struct bpi_conn_handler;
struct bpi_tls_context;
struct bpi_tls_session;

/* Transitions -> function (bpi_conn_state_set() allows no other):
 *   NEW        -> RESOLVING, CONNECTING   bpi_conn_connect()
 *   NEW        -> FIRST_BYTE, OPEN        bpi_conn_accept()
 *   RESOLVING  -> CONNECTING              conn_open.c, on_looked_up()
 *   CONNECTING -> HANDSHAKE, OPEN         conn_open.c, connected()
 *   FIRST_BYTE -> HANDSHAKE, OPEN         conn_open.c, bpi_conn_on_first_byte()
 *   HANDSHAKE  -> OPEN                    conn_open.c, on_step_done()
 *   OPEN      <-> DETACHED                bpi_conn_detach(), bpi_conn_attach()
 *   any of these but NEW, DETACHED -> DEAF   bpi_conn_deliver(), with on_close
 *   OPEN, DEAF -> LINGERING               bpi_conn_close_flushed()
 *   any        -> CLOSED                  bpi_conn_close(), and the end of LINGERING
 */
enum conn_state {
    CONN_NEW,
    CONN_RESOLVING,  /* the name is on a helper thread; no socket yet */
    CONN_CONNECTING, /* waits for the socket to become writable */
    CONN_FIRST_BYTE, /* accepted, with TLS allowed: waits for the first byte */
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_DETACHED,  /* on no loop */
    CONN_DEAF,      /* on_close was called; waits for the owner to close it */
    CONN_LINGERING, /* closed by its owner: sends the rest, then waits for the peer's end */
    CONN_CLOSED,    /* freed at the end of the turn */
    CONN_STATE_COUNT,
};

/* How far the stream from the peer has come. */
enum conn_end {
    END_NONE,
    END_EOF,    /* the peer sends nothing more; it may still read */
    END_FAILED, /* nothing goes either way: `error` says why */
};

/* Events that the handler hasn't seen yet, told in this order. */
enum conn_news {
    NEWS_OPEN = 1,
    NEWS_DATA = 2,
    NEWS_DRAIN = 4,
    NEWS_CLOSE = 8,
};

/* A connection's place on one loop: the handle that watches the socket and the mail that brings late
 * events. Apart from the connection because both outlive its stay there: libuv gives a handle back
 * only in a close callback, and mail in a queue can't be taken out.
 * Owner: the loop; freed there when the handle is closed and the mail delivered.
 */
struct conn_port {
    uv_poll_t poll;
    struct bpi_mail mail;
    struct bpi_conn *conn; /* NULL once the connection has left; checked after every call out */
    int watched;           /* libuv's event bits that are on */
    bool has_handle;
    bool queued;
};

/* What only a connection that isn't open yet needs. */
struct conn_opening {
    struct bpi_conn *conn; /* NULL once the connection has left while the name is looked up */
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses;   /* of a name; NULL for a literal address */
    struct addrinfo *next;        /* to try next */
    struct addrinfo literal_info; /* a literal address as a list of one */
    struct sockaddr_storage literal;
    bp_usec deadline_us;        /* 0 = none */
    bp_usec peer_silent_max_us; /* as in the options */
    int last_error;             /* of the address tried last */
    bool on_helper;             /* the look-up is; its callback frees this struct */
    bool is_outgoing;
    bool tls_optional;
    bool got_bytes; /* the peer has sent anything at all */
    const struct bpi_executor *executor;
    struct bpi_tls_context *tls; /* own reference, or NULL */
    char *host_name;             /* to check and to send as SNI; own copy, or NULL */
};

/* TLS of one connection. While `working` a helper thread has the session and the loop leaves it
 * alone; if the connection is closed meanwhile it leaves this struct to the work's end. */
struct conn_tls {
    struct bpi_work work;
    struct bpi_tls_session *session;
    struct bpi_conn *conn; /* NULL once the connection has left */
    int progress;          /* an enum bpi_tls_progress: the step's answer */
    bool working;
};

union conn_address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

struct bpi_conn {
    /* Owner: the loop it is on; between two loops whoever has it in hand. */
    struct bpi_loop *loop;  /* NULL while detached */
    struct conn_port *port; /* NULL while detached, and when closed */
    struct conn_port *spare_port;
    int fd; /* -1 where there is none */
    enum conn_state state;
    enum conn_end end;
    int error;     /* of END_FAILED, or 0 */
    unsigned news; /* enum conn_news */

    const struct bpi_conn_handler *handler;
    void *user;
    struct bpi_buffer in;
    struct bpi_buffer out;
    size_t high_bytes;
    size_t in_max_bytes;
    struct conn_tls *tls;
    struct conn_opening *opening;

    struct bpi_timer timer; /* the open timeout; later that of a flushed close */
    bool timer_reserved;
    bool paused;
    bool in_is_full;       /* reading stopped because `in` holds in_max_bytes */
    bool hangup_seen;      /* while paused the system told that the peer has closed */
    bool was_high;         /* `out` was above high_bytes after a flush */
    bool fin_sent;         /* in LINGERING */
    bool free_mail_queued; /* by a failed attach; see on_attach_failed() */
    struct bpi_mail free_mail;
    union conn_address peer;
};

/* conn.c */
void bpi_conn_state_set(struct bpi_conn *conn, enum conn_state state);
/* Notes the failure; the handler hears of it from bpi_conn_deliver(). The first one counts. */
void bpi_conn_fail(struct bpi_conn *conn, int error);
/* Has bpi_conn_deliver() called at the end of the turn. */
void bpi_conn_queue_news(struct bpi_conn *conn);
/* Calls the handler for what is new, then watches for what comes next. From the loop only, never inside
 * a call of the connection's owner. `conn` may be gone afterwards. */
void bpi_conn_deliver(struct bpi_conn *conn);
/* Lets the socket be watched for what the state waits for. */
void bpi_conn_watch(struct bpi_conn *conn);
/* Makes the handle for a new socket. Errors: libuv's. */
BP_MUST_CHECK int bpi_conn_handle_open(struct bpi_conn *conn);
/* Gives handle and socket up and goes on without (the next address). */
void bpi_conn_socket_drop(struct bpi_conn *conn);
/* Bytes that go to the socket next: `out`, or what TLS made of it. */
struct bpi_buffer *bpi_conn_wire(struct bpi_conn *conn);

/* conn_open.c */
/* Starts what bpi_conn_connect() was asked for. Errors: BP_E_NO_MEMORY, libuv's. */
BP_MUST_CHECK int bpi_conn_open_start(struct bpi_conn *conn, const char *host, uint16_t port);
void bpi_conn_on_writable(struct bpi_conn *conn);
void bpi_conn_on_first_byte(struct bpi_conn *conn);
void bpi_conn_on_handshake(struct bpi_conn *conn);
/* The open timeout: the next address, or the end. */
void bpi_conn_on_open_timeout(struct bpi_conn *conn);
/* Frees `opening`, at once or when its look-up is back. */
void bpi_conn_opening_drop(struct bpi_conn *conn);
/* Frees `tls`, at once or when its work is back. */
void bpi_conn_tls_drop(struct bpi_conn *conn);
/* `silent_max_us`: how long a server's system may acknowledge nothing; 0 = for clients, no such limit. Errors are not
 * reported: a socket without an option still works. */
void bpi_conn_socket_tune(int fd, bp_usec silent_max_us);

/* conn_stream.c */
/* Reads what is there, at most four times. */
void bpi_conn_read(struct bpi_conn *conn);
/* Decrypts what the handshake has left. */
void bpi_conn_read_left(struct bpi_conn *conn);
/* Of a connection that has failed: takes what the peer sent before, past in_max_bytes too. */
void bpi_conn_read_rest(struct bpi_conn *conn);
/* Writes until the socket is full. */
void bpi_conn_write(struct bpi_conn *conn);
/* Best effort on the way out: one write of what TLS has pending, errors ignored. */
void bpi_conn_send_last(struct bpi_conn *conn);
/* One step of LINGERING. */
void bpi_conn_linger(struct bpi_conn *conn, bool broken);

#endif
