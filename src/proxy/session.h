/* One client: its connection to boltpool, from accept to close.
 *
 * A session answers as a server would (bolt/server_state.h), and borrows a link for each transaction. What
 * arrives is cut into requests and queued (session.c); dispatch.c takes them in order and answers them
 * here, or asks for a link and passes them on; relay.c brings the answers back. login.c is HELLO, LOGON
 * and LOGOFF.
 *
 * Phases: HANDSHAKE -> (versions unknown: FACE_WAIT ->) MESSAGES -> CLOSING (what is written goes out) ->
 * GONE (waits for a grant or a check that is on its way, then freed).
 *
 * While a link is held (`link` != NULL):
 *   unanswered   requests passed on whose summary hasn't come
 *   ahead        the server's state once all of them have succeeded
 *   ending       one of them ends the lease, or may: nothing more is passed on before its answer
 *   failed       one was answered by FAILURE: the rest come back IGNORED, then the link is cleaned
 * What was passed on decides what a lost link means (relay.c).
 *
 * Owner: one loop, from accept to the end.
 */
#ifndef BPI_PROXY_SESSION_H
#define BPI_PROXY_SESSION_H

#include "base/log.h"
#include "bolt/chunk.h"
#include "bolt/handshake.h"
#include "bolt/message.h"
#include "bolt/server_state.h"
#include "engine/cluster.h"
#include "engine/config.h"
#include "engine/link.h"
#include "net/executor.h"
#include "net/loop.h"
#include "proxy/learn.h"

#include <boltpool/types.h>

#include <stdatomic.h>

struct bpi_conn;
struct bpi_front;
struct bpi_identity;
struct bpi_tls_context;
struct bpi_users;

/* One request of a client, whole and without its framing. */
struct bpi_request {
    struct bpi_request *prev, *next;
    size_t size;
    uint8_t tag;                  /* 0 where none could be read */
    bool is_reset;                /* a well-formed RESET: it acts on arrival */
    int error;                    /* of reading it: 0, or what is wrong with its bytes */
    struct bpi_bolt_request read; /* points into `payload` */
    /* RUN, BEGIN: what it says of a transaction; zeroed, which is a write to the home database, where that can't
     * be understood: the server will say what is wrong with it. */
    struct bpi_bolt_tx_extra tx;
    bool tx_read;
    uint8_t payload[];
};

enum bpi_session_phase {
    BPI_SESSION_HANDSHAKE,
    BPI_SESSION_FACE_WAIT,
    BPI_SESSION_MESSAGES,
    BPI_SESSION_CLOSING,
    BPI_SESSION_GONE,
};

/* Whether an answer from elsewhere is due. */
enum bpi_session_wait {
    BPI_WAIT_NONE,
    BPI_WAIT_ON,        /* the session waits for it */
    BPI_WAIT_ABANDONED, /* it comes, but nobody wants it any more */
};

enum bpi_lease_kind {
    BPI_LEASE_AUTO,     /* RUN outside a transaction */
    BPI_LEASE_EXPLICIT, /* BEGIN */
    BPI_LEASE_ROUTE,
    BPI_LEASE_SESSION, /* session mode, between transactions */
};

/* What HELLO said; kept only where it said something. */
struct bpi_hello_kept {
    bool has_severity;
    bool has_disabled;
    uint8_t *severity; /* encoded values, both in one allocation behind this struct */
    size_t severity_size;
    uint8_t *disabled;
    size_t disabled_size;
    char application[128]; /* user_agent */
    char routing_address[300];
};

struct bpi_session {
    struct bpi_session *prev, *next; /* in the worker's list */
    struct bpi_worker *worker;
    struct bpi_front *front;
    struct bpi_conn *conn;
    uint64_t id;
    enum bpi_session_phase phase;
    enum bpi_server_state state; /* while no link is held */
    bpi_bolt_version version;
    bool manifest;
    bool utc_patch;
    bool interrupted; /* something was IGNORED because a RESET stands behind it */
    bool refused;     /* max_clients: every request is answered, none is served */
    bool dead;        /* a malformed HELLO: nothing is answered any more */
    bool counted;     /* in front->clients_count */
    bool read_paused; /* too many requests wait */
    bp_usec accepted_us;
    bp_usec login_until_us; /* 0: logged on */
    bp_usec hinted_us;      /* the silence that HELLO's answer allows; 0 = any */
    struct bpi_timer timer;
    struct bpi_mail free_mail;
    bool free_queued;
    struct bpi_handshake_server handshake;
    struct bpi_face_waiter face_waiter;
    struct bpi_chunk_reader reader;
    struct bpi_request *queue;
    unsigned queue_count;
    size_t queue_bytes;
    unsigned resets_count;   /* RESETs in the queue */
    uint8_t malformed_count; /* before the log-in */
    struct bpi_hello_kept *hello;
    struct bpi_identity *identity;
    uint64_t user_key;

    struct bpi_login login;
    enum bpi_session_wait login_wait;
    struct bpi_identity *login_identity; /* being checked */
    struct bpi_work hash_work;           /* auth_type = file */
    struct bpi_hash_check *hash_check;
    struct bpi_session *hash_next; /* in worker->hash_queue */
    char *file_user;               /* auth_type = file: the client's own name; allocated */

    struct bpi_wish wish;
    enum bpi_session_wait wish_wait;
    bool wish_notified; /* its long wait was logged */
    /* What the work was classed as, for reports; "" before the first. Longer names are cut. */
    char operation[40];
    uint64_t shape; /* of its query, while classes are learnt; 0 = none is known yet */

    /* While a link is held. */
    struct bpi_link *link;
    enum bpi_lease_kind lease_kind;
    enum bpi_server_state ahead;
    unsigned unanswered;
    bool ending;
    bool failed;
    bool commit_sent; /* COMMIT is unanswered */
    bool mode_read;
    bool reset_sent;   /* a RESET was passed on */
    bool stopping;     /* ... by us, see bpi_session_stop() */
    bool rows_dropped; /* while stopping */
    bp_usec stop_until_us;
    bool link_dirty;  /* written, not flushed */
    bool link_paused; /* the client reads too slowly */
    bool mid_record;  /* a part of a record is out: nothing else may be written */
    bp_usec leased_us;
    bp_usec active_us; /* the last time that either side did something */
    bp_usec spoke_us;  /* the last time that something was written to the client */
    /* A transaction that was ended here, while its client wasn't waiting for an answer: the next request
     * is told. Static strings, or NULL. */
    char *route_address; /* that the client's ROUTE named; allocated */
    const char *doom_code;
    char *doom_text;       /* allocated */
    const char *stop_code; /* what is told of it while `stopping` */
    unsigned leak_reports; /* of the transaction under way, see lease.c */
};

/* All that one loop serves. */
struct bpi_worker {
    struct bpi_daemon *daemon;
    struct bpi_loop *loop;
    struct bpi_session *sessions;
    _Atomic unsigned sessions_count; /* read by the accepting loop to balance */
    bool draining;
    struct bpi_buffer scratch;      /* maps that are written anew */
    struct bpi_session *hash_queue; /* password checks that wait for a helper thread */
    unsigned hash_running;
    struct bpi_log_limit queue_log;
    struct bpi_log_limit client_log;
    struct bpi_log_limit leak_log;
    _Atomic uint64_t transactions;
    _Atomic uint64_t refusals;
    _Atomic uint64_t claims_lowered; /* of tx_metadata, above what the client may claim */
    _Atomic uint64_t claims_bad;     /* ... that make no sense */
    struct bpi_learn learn;
};

/* One listener with its cluster. */
struct bpi_front {
    struct bpi_daemon *daemon;
    char name[BPI_CONFIG_NAME_BYTES]; /* Immutable: a reload can't change it */
    struct bpi_cluster *cluster;
    struct bpi_listener *listener;
    struct bpi_tls_context *_Atomic tls;
    struct bpi_users *_Atomic users;
    _Atomic unsigned clients_count; /* at most max_clients */
    _Atomic unsigned refused_count; /* those above it that are told so */
    uint16_t port;
};

/* Takes over the socket, also on failure. On the worker's loop. */
void bpi_session_accept(struct bpi_worker *worker, struct bpi_front *front, int fd);
/* Ends it now: what it held is cleaned and given back. */
void bpi_session_close(struct bpi_session *session);
/* What is written goes out first. */
void bpi_session_close_flushed(struct bpi_session *session);
/* While draining: closes it if it is in the middle of nothing. */
void bpi_session_drain(struct bpi_session *session);

/* ---- between the files of a session ---- */

const struct bpi_cluster_config *bpi_session_config(const struct bpi_session *session);
bp_usec bpi_session_now_us(const struct bpi_session *session);
struct bpi_buffer *bpi_session_out(struct bpi_session *session);
/* Logs something that a client brought about; a flood of it is cut. `client N: ` is put before it. */
void bpi_session_log(struct bpi_session *session, enum bpi_log_level level, const char *format, ...)
    BP_PRINTF(3, 4);
/* An answer was appended to `out` (`error` 0), or could not be: the client is closed then. */
void bpi_session_wrote(struct bpi_session *session, int error);
void bpi_session_succeed(struct bpi_session *session);
void bpi_session_ignore(struct bpi_session *session);
void bpi_session_fail(struct bpi_session *session,
                      const char *code,
                      const char *text,
                      bool not_run);
/* Passes a server's own FAILURE on, in the client's form. */
void bpi_session_fail_as(struct bpi_session *session, const struct bpi_server_failure *failure);
/* FAILURE Request.Invalid, then close: what a server does with a request that its state doesn't allow. */
void bpi_session_violate(struct bpi_session *session, const char *what);
/* Enough requests wait, or enough answers aren't read: no more is read from the client for now. */
bool bpi_session_has_enough(const struct bpi_session *session);
void bpi_session_pop(struct bpi_session *session);
void bpi_session_timer_update(struct bpi_session *session);
void bpi_session_free_if_gone(struct bpi_session *session);
void bpi_session_identity_set(struct bpi_session *session, struct bpi_identity *identity);

/* dispatch.c: answers or passes on what is queued, as far as it can be now. */
void bpi_session_pump(struct bpi_session *session);
void bpi_session_wish_done(struct bpi_wish *wish, struct bpi_link *link, bool login);

/* relay.c */
extern const struct bpi_lessee bpi_session_lessee;
/* The link that is held is in READY: nothing of a transaction is known. */
void bpi_session_lease_reset(struct bpi_session *session);
/* The lease is over and the link clean. */
void bpi_session_lease_end(struct bpi_session *session);
/* Takes the link away: unanswered requests are told by a FAILURE (the first) and IGNORED, or the next
 * request is. The caller says that the outcome isn't unknown. */
void bpi_session_evict(struct bpi_session *session, const char *code, const char *text);
/* Stops what may be committed meanwhile (an auto-commit, or work with its COMMIT right behind) by a RESET, and
 * lets its answers tell whether that came in time: if it did, the client is told `text` in place of them. A
 * server that doesn't answer within reset_timeout is given up (bpi_session_stop_end). `code` is static. */
void bpi_session_stop(struct bpi_session *session, const char *code, const char *text);
void bpi_session_stop_end(struct bpi_session *session);
/* Whether a RESET may go to the link that is held: not while the server is at a BEGIN, COMMIT or ROLLBACK. */
bool bpi_session_may_reset(const struct bpi_session *session);
/* Something was passed on whose effect nobody can tell if the link is lost now. */
bool bpi_session_outcome_is_unknown(const struct bpi_session *session);
#define BPI_CODE_TIMED_OUT "Neo.ClientError.Transaction.TransactionTimedOut"
/* What drivers make of a server's "Transaction.Terminated": no reason to try again. */
#define BPI_CODE_TERMINATED "Neo.ClientError.Transaction.Terminated"

/* lease.c */
/* Work under way may be committed at any moment, unasked: what is said of it has to wait for the server. */
bool bpi_session_may_be_committed(const struct bpi_session *session);
/* When its transaction is to be reported as one that takes long; 0 = never. */
bp_usec bpi_session_leak_at_us(const struct bpi_session *session);
void bpi_session_leak_check(struct bpi_session *session, bp_usec now_us);
/* The transaction ends: if it was reported, that is, too. */
void bpi_session_leak_end(struct bpi_session *session);
/* KILL of its lease. */
void bpi_session_lease_killed(void *user);
/* KILL of the client: it is told, where it waits for an answer, and its connection closed. */
void bpi_session_kill(struct bpi_session *session);

/* Who the client is, whatever account it works as; "" before the log-in. */
const char *bpi_session_user(const struct bpi_session *session);
/* login.c; each handles the request at the head of the queue. */
void bpi_session_hello(struct bpi_session *session, struct bpi_request *request);
void bpi_session_logon(struct bpi_session *session, struct bpi_request *request);
void bpi_session_logoff(struct bpi_session *session);
/* The address that drivers are given. Returns `text`. */
const char *bpi_session_advertised(struct bpi_session *session, char *text, size_t size);

#endif
