/* One Bolt connection to a server: opened, logged on, lent, cleaned, closed.
 *
 * A link knows at any time which answers are due (bolt/client_state.h) and gives them to its lessee, the
 * one who holds the lease: records as framed bytes that nobody looks into, summaries as messages. Its
 * own traffic (HELLO, LOGON, LOGOFF, the cleaning RESET) is answered in here.
 *
 * Phases -> function:
 *   CLOSED -> open -> CONNECTING -> HANDSHAKE -> LOGIN -> READY (idle, or lent to a lessee)
 *   READY  -> clean -> CLEANING -> READY (released)       any -> lost -> CLOSED
 *   READY  -> check -> CHECKING -> READY (idle)
 *   READY  -> say_goodbye -> GOODBYE -> CLOSED
 * RESET jumps a server's queue, so it is written only while neither BEGIN, COMMIT, ROLLBACK nor a log-in
 * is unanswered (`bpi_client_state_may_reset`).
 *
 * Owner: the loop it is on, for all but `place` and `health` (Lock: the cluster's mutex). While it is idle it stays
 * with the loop of its last use; a grant to another loop hands it over by mail.
 */
#ifndef BPI_ENGINE_LINK_H
#define BPI_ENGINE_LINK_H

#include "bolt/chunk.h"
#include "bolt/client_state.h"
#include "bolt/message.h"
#include "net/loop.h"
#include "pool/health.h"
#include "pool/pool.h"
#include "route/route.h"

#include <boltpool/types.h>

#include <stdatomic.h>

struct bpi_cluster;
struct bpi_conn;
struct bpi_identity;
struct bpi_kill;
struct bpi_link;

enum bpi_link_phase {
    BPI_LINK_CLOSED,
    BPI_LINK_CONNECTING,
    BPI_LINK_HANDSHAKE,
    BPI_LINK_LOGIN,
    BPI_LINK_READY,
    BPI_LINK_CLEANING,
    BPI_LINK_CHECKING,
    BPI_LINK_GOODBYE,
};

/* What a lessee hears. All on the link's loop, none inside a call of the lessee's to the link. Inside an
 * event the lessee may release, clean or close the link; it hears no more then. */
struct bpi_lessee {
    /* The log-in that came with the lease was accepted. */
    void (*on_ready)(void *user);
    /* Framed RECORDs, whole ones unless `whole` is false: then the bytes end inside a record larger than
     * record_buffer_bytes, and more of it follows. */
    void (*on_records)(void *user, const uint8_t *framed, size_t size, bool whole);
    /* The answer to the oldest request: its summary as it came (framed) and read. */
    void (*on_summary)(void *user,
                       uint8_t request,
                       const struct bpi_bolt_answer *answer,
                       const uint8_t *framed,
                       size_t size);
    /* The server is still at work. */
    void (*on_noop)(void *user);
    /* What was sent has gone out; writing may go on. */
    void (*on_drain)(void *user);
    /* The server refused the log-in that came with the lease; the link is gone. */
    void (*on_login_failed)(void *user, const struct bpi_bolt_answer *answer);
    /* The connection is gone, with its unanswered requests. */
    void (*on_lost)(void *user, int error);
    /* Somebody ends the lease (KILL): the lessee gives the link back, or closes it, and tells its own client. NULL: it
     * hears of it as of a lost connection. */
    void (*on_killed)(void *user);
};

struct bpi_link {
    struct bpi_pool_link place; /* first: the pool's pointer is ours */
    struct bpi_cluster *cluster;
    struct bpi_loop *loop; /* whose mail and timers it uses */
    struct bpi_conn *conn; /* NULL: CLOSED, or dead while a grant is on its way */
    enum bpi_link_phase phase;
    bpi_bolt_version version;
    bool utc_patch;
    bool in_events;  /* inside the link's own walk over received bytes */
    bool reset_sent; /* CLEANING: the RESET is out */
    bool failed; /* the lease was failed by the server: not by its client, nor for want of room */
    enum bpi_route_outcome outcome; /* the worst that was said in the lease */
    uint8_t login_due;              /* answers due of LOGOFF and LOGON */
    bool paused;                    /* the lessee reads no more for now */
    bp_usec heard_us;               /* the last time that anything came, or an answer became due */
    bp_usec
        timed_us; /* since when a request that holds no work is the only one unanswered; 0 = none */
    bp_usec
        round_trip_us; /* how long the last such one took, until the cluster has counted it; 0 = none */
    /* For the watch, which looks from loop 0. Atomic: single values that may be a moment old. */
    _Atomic bp_usec
        due_us; /* since when an answer is due, with nothing heard; 0 = none is, or nobody reads */
    _Atomic bp_usec spoke_us; /* when the server was heard on this connection last; 0 = never */
    bp_usec silence_us; /* with an answer due, a longer silence is a dead server; 0 = no limit */
    bool mid_record;    /* part of a large record was passed on */

    struct bpi_health health; /* Lock: the cluster's mutex */
    struct bpi_route_ticket
        ticket; /* Lock: the cluster's mutex. Of the lease, where there is a choice of endpoints */
    struct bpi_identity *identity;
    struct bpi_client_state state;
    struct bpi_chunk_scanner scanner;
    size_t scanned_bytes; /* of conn's `in`, by the scanner */
    const struct bpi_lessee *lessee;
    void *lessee_user;
    struct bpi_timer timer; /* opening, log-in, silence, reset_timeout, or GOODBYE's end */
    bool timer_reserved;    /* on `loop` */
    struct bpi_mail mail;
    struct bpi_pool_waiter *sponsor; /* opening: the log-in check that it is for, or NULL */
    struct bpi_link *next_closed;    /* its place is freed at the end of the turn */
    struct bpi_wish *bound_for; /* written with `mail` by whoever granted it from another loop */
    /* A KILL of its lease that came before the link. Owner: the loop of the lease, even before the link is there. */
    struct bpi_kill *kill;
};

/* Opens it as BPI_POOL_OPEN asks, in the version of its place's key. `check`: the wish of the log-in check that it
 * is for, or NULL. On `loop`, which is the calling one. */
struct bpi_wish;
void bpi_link_open(struct bpi_link *link,
                   struct bpi_loop *loop,
                   struct bpi_identity *identity,
                   bool utc_patch,
                   struct bpi_wish *check);
/* Asks an idle link whether it is alive, as BPI_POOL_CHECK asks: a RESET, whose answer makes it idle again; it is
 * closed after link_check_timeout. On the link's loop. */
void bpi_link_check(struct bpi_link *link);

/* Lends it: from now on `lessee` hears. With `identity` the link logs on as that one first: LOGOFF and
 * LOGON are written, not flushed, so that small requests can join them; on_ready or on_login_failed
 * follows. Errors: BP_E_NO_MEMORY; the caller closes the link then. */
BP_MUST_CHECK int bpi_link_lend(struct bpi_link *link,
                                const struct bpi_lessee *lessee,
                                void *user,
                                struct bpi_identity *identity);
/* Renews the log-in of a lent, clean link (session mode), as above. */
BP_MUST_CHECK int bpi_link_login(struct bpi_link *link, struct bpi_identity *identity);

/* Writes one request, `payload` without its framing; flush sends. Errors: BP_E_NO_MEMORY, BP_E_FULL (too
 * many unanswered): nothing was written. */
BP_MUST_CHECK int
bpi_link_send(struct bpi_link *link, uint8_t tag, const void *payload, size_t size);
void bpi_link_flush(struct bpi_link *link);
/* Bytes written that the socket hasn't taken. */
size_t bpi_link_unsent(const struct bpi_link *link);
void bpi_link_pause(struct bpi_link *link);
void bpi_link_resume(struct bpi_link *link);
/* Nothing unanswered, no transaction, no log-in due: may be released. */
bool bpi_link_is_clean(const struct bpi_link *link);

/* Ends the lease of a clean link. */
void bpi_link_release(struct bpi_link *link);
/* Ends the lease whatever the link is in the middle of: unanswered BEGIN, COMMIT and ROLLBACK are waited
 * for, all else is stopped by a RESET; it is released once the server has answered that, or closed after
 * reset_timeout. */
void bpi_link_clean(struct bpi_link *link);
/* Ends the lease, and the link at once. */
void bpi_link_close(struct bpi_link *link);
/* Closes an idle link as BPI_POOL_CLOSE asks: GOODBYE, then the server's FIN is waited for, so that it
 * never sees more connections than allowed. On the link's loop. */
void bpi_link_say_goodbye(struct bpi_link *link);
/* The server is dead: what was due is lost. On the link's loop, inside no event of a link. */
void bpi_link_bury(struct bpi_link *link);
/* Ends its lease, whatever it is at. False: it isn't lent (yet). As above. */
bool bpi_link_kill(struct bpi_link *link);
/* Whether a link that was granted can be lent: false, it died meanwhile. */
bool bpi_link_is_alive(struct bpi_link *link);
/* Handing over: leaves its loop, arrives on another one. Each on the loop that it names. */
void bpi_link_leave(struct bpi_link *link);
void bpi_link_arrive(struct bpi_link *link, struct bpi_loop *loop);

#endif
