/* Who gets which link of one cluster, and which links are opened and closed for it.
 *
 * A pure decider: places for links, a queue of waiters for each class, and one question,
 * bpi_pool_decide(): "what is to be done next?". The caller reports events (a waiter came or went, a
 * link opened, was released, closed), asks until the answer is "nothing", and carries the answers
 * out. No sockets, no clock, no allocation, so the same events give the same decisions.
 *
 * Who goes first: log-ins to be checked, then arrival, over all classes that are under their cap. An
 * older waiter is passed over only by one that an idle link fits exactly, only inside a window of
 * BPI_POOL_FIT_WINDOW waiters, and only while it has waited less than BPI_POOL_FIT_WAIT_US; so no
 * version and no identity starves another. After a link was opened for a check, a waiter is granted one
 * before the next check is served, so a flood of wrong passwords takes at most half of what there is.
 * Checks pass the caps: they are no operations, and a log-in that waits for a class would fail for its
 * driver's time limit.
 *
 * Caps (class, user, database) are never exceeded by grants, and links are opened or closed only for
 * waiters that their caps would let have them: leased + claimed < cap.
 *
 * Fit of an idle link for a waiter: exact (protocol and identity are equal and the log-in is
 * younger than auth_ttl_us); by log-in (the protocol is equal and allows LOGOFF and LOGON); else
 * none, and at the limit the longest idle unfitting link is closed so that another can be opened.
 *
 * States of a link -> function:
 *   CLOSED  -> decide (OPEN) -> OPENING
 *   OPENING -> link_opened -> IDLE | LEASED (a log-in check's own)    OPENING -> link_closed -> CLOSED
 *   IDLE    -> decide (GRANT) -> LEASED     IDLE -> decide (CLOSE) | link_closing -> CLOSING
 *   LEASED  -> link_released -> IDLE        LEASED -> link_closing -> CLOSING
 *   any but CLOSED -> link_closed -> CLOSED
 * Invariants (bpi_pool_check): open = opening + idle + leased + closing <= max_links, but for a limit
 * that was lowered; leased = the sum over classes; a waiter is in exactly one queue or in none; a tie
 * between a waiter and the link that is opened or closed for it is known to both.
 *
 * Times come from several loops, whose clocks are read once a turn: a time may lie a little after
 * `now_us`, which counts as no time passed.
 *
 * Lock: the cluster's mutex, held by the caller around every function here.
 */
#ifndef BPI_POOL_POOL_H
#define BPI_POOL_POOL_H

#include "pool/account.h"
#include "pool/class.h"

#include <boltpool/types.h>

#include <stdbool.h>

/* A log-in swap costs one to three small queries (0.6 ms measured), so 5 ms of patience for a better
 * fit costs the oldest waiter little; doubled, two identities that alternate wait noticeably. */
#define BPI_POOL_FIT_WAIT_US ((bp_usec)5000)
/* Waiters looked at for an exact fit: bounds the work at each release. */
#define BPI_POOL_FIT_WINDOW 64
/* Checks may take one place in so many (but always one) at a time: a flood of wrong passwords leaves the rest to
 * those who are logged on. */
#define BPI_POOL_CHECKS_PART    4
#define BPI_POOL_ENDPOINTS_MAX  64
#define BPI_POOL_LOOPS_MAX      64 /* bits of kicked_loops */
#define BPI_POOL_IDENTITY_BYTES 16

struct bpi_pool_key {
    uint32_t protocol; /* what a link can't change: Bolt version and patches, opaque here */
    uint8_t identity[BPI_POOL_IDENTITY_BYTES]; /* keyed digest of the log-in */
};

enum bpi_pool_link_state {
    BPI_POOL_CLOSED,
    BPI_POOL_OPENING,
    BPI_POOL_IDLE,
    BPI_POOL_LEASED,
    BPI_POOL_CLOSING,
    BPI_POOL_STATE_COUNT,
};

struct bpi_pool_waiter;

/* A place for a link; embedded in the caller's link, lives as long as the pool. */
struct bpi_pool_link {
    struct bpi_pool_link *prev,
        *next; /* in the list of its state; IDLE: head = most recently used */
    enum bpi_pool_link_state state;
    struct bpi_pool_key key;
    bp_usec login_us; /* when it last logged on */
    bp_usec idle_us;  /* since when it is idle */
    bp_usec opened_us;
    uint16_t endpoint;
    unsigned loop; /* on whose loop it is, or goes to */
    bool doomed;   /* to be closed as soon as it is idle */
    bool is_check; /* OPENING: for a log-in check, which has no tie to it, being granted already */
    struct bpi_pool_waiter
        *sponsor; /* OPENING: the waiter it is opened for; CLOSING: evicted for */
    /* While LEASED. */
    enum bpi_class class_;
    uint64_t user_key;
    uint64_t database_key;
    bp_usec leased_us;
    /* Storage for the pool's accounts. */
    struct bpi_pool_account user_account;
    struct bpi_pool_account database_account;
};

enum bpi_pool_waiter_state {
    BPI_POOL_WAITER_NONE,
    BPI_POOL_WAITER_QUEUED,
    BPI_POOL_WAITER_GRANTED,
};

/* One wish for a link; embedded in the caller's object, which lives until granted or cancelled. */
struct bpi_pool_waiter {
    struct bpi_pool_waiter *prev, *next;
    enum bpi_pool_waiter_state state;
    /* Set by the caller before bpi_pool_wait(). */
    struct bpi_pool_key key;
    uint32_t protocol_bit; /* among bpi_pool_endpoint.protocols; 0 = any endpoint will do */
    bool relogin;          /* the protocol has LOGOFF and LOGON */
    bool is_check; /* a log-in to be checked: always gets a link of its own that is opened for it */
    enum bpi_class class_;
    enum bpi_priority priority;
    uint64_t user_key;     /* for max_user_links; 0 = not counted */
    uint64_t database_key; /* for max_database_links; 0 = not counted */
    uint64_t tenant_key;   /* between whom a class is fair; 0 = all such are one tenant */
    bp_usec expires_us;    /* it waits no longer than this; 0 = as long as it takes */
    bp_usec deadline_us;   /* when its work should be done; 0 = any time */
    bool sheddable;        /* CoDel may refuse it, where its class turned that on */
    unsigned loop;
    /* Set by the pool. */
    bp_usec arrived_us;
    uint64_t sequence;
    struct bpi_pool_link *opening; /* the link that is being opened for it */
    struct bpi_pool_link *evicted; /* the link that is being closed for it */
};

/* Limits; 0 = none where not said otherwise. May change between calls. */
struct bpi_pool_limits {
    unsigned links_max; /* at least 1 */
    unsigned user_links_max;
    unsigned database_links_max;
    unsigned class_links_max[BPI_CLASS_COUNT]; /* 0 = links_max */
    bp_usec auth_ttl_us;
    bp_usec idle_timeout_us; /* an idle link is closed after it */
    bp_usec lifetime_us;     /* a link is closed at its first idle moment after it */
};

struct bpi_pool_endpoint {
    bool up;               /* links may be opened to it */
    uint32_t protocols;    /* what it speaks, as the waiters' protocol_bit */
    bp_usec open_after_us; /* not before, though it is up: back-off after a failure */
    unsigned open_count;   /* links in any state but CLOSED */
    unsigned leased_count;
    uint64_t granted_total;
};

struct bpi_pool {
    struct bpi_pool_limits limits;
    struct bpi_pool_link *lists[BPI_POOL_STATE_COUNT];
    unsigned counts[BPI_POOL_STATE_COUNT];
    unsigned class_leased[BPI_CLASS_COUNT];
    unsigned class_claimed[BPI_CLASS_COUNT]; /* links opened or closed for its waiters */
    struct bpi_pool_accounts users;
    struct bpi_pool_accounts databases;
    struct bpi_pool_waiter *queues[BPI_CLASS_COUNT];
    struct bpi_pool_waiter *checks;
    unsigned waiters_count; /* in all queues, checks too */
    unsigned doomed_idle_count;
    bool check_was_last;   /* a check was served since the last grant: a waiter comes first */
    uint64_t kicked_loops; /* told to ask decide() and haven't asked since */
    uint64_t sequence;
    unsigned endpoints_count;
    struct bpi_pool_endpoint endpoints[BPI_POOL_ENDPOINTS_MAX];
};

enum bpi_pool_action_kind {
    BPI_POOL_NOTHING,
    BPI_POOL_GRANT, /* `link` is `waiter`'s; with `login` it has to log on as the waiter first */
    BPI_POOL_OPEN, /* open `link` to `link->endpoint` as `waiter`'s identity; on the waiter's loop */
    BPI_POOL_CLOSE, /* close `link`, on its own loop */
    BPI_POOL_KICK,  /* let the loop of `loop` ask bpi_pool_decide() */
};

struct bpi_pool_action {
    enum bpi_pool_action_kind kind;
    struct bpi_pool_waiter *waiter;
    struct bpi_pool_link *link;
    bool login;
    unsigned loop;
};

void bpi_pool_init(struct bpi_pool *pool,
                   const struct bpi_pool_limits *limits,
                   unsigned endpoints_count);
/* Adds a place; it must be CLOSED (zeroed). */
void bpi_pool_add_place(struct bpi_pool *pool, struct bpi_pool_link *link);

/* A waiter joins the queue of its class (or the checks). It must not be queued already. */
void bpi_pool_wait(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);
/* Takes it out again; then the pool knows nothing of it. False: it was granted already (a check: its link
 * is being opened), and the grant is on its way to its loop. */
bool bpi_pool_cancel(struct bpi_pool *pool, struct bpi_pool_waiter *waiter);

/* A granted waiter whose link turned out to be dead, or a check whose link could not be opened: back into
 * the queue with its old place and time. */
void bpi_pool_wait_again(struct bpi_pool *pool, struct bpi_pool_waiter *waiter);
/* Takes one queued waiter of that identity out of the queue, as if it were granted: its owner is to be
 * told that the log-in failed. NULL: none is left. */
struct bpi_pool_waiter *bpi_pool_take_waiter(struct bpi_pool *pool, const struct bpi_pool_key *key);

/* The next thing to do, asked by `loop`, which asks on until the answer is NOTHING; the pool's state has
 * changed accordingly. */
struct bpi_pool_action bpi_pool_decide(struct bpi_pool *pool, unsigned loop, bp_usec now_us);
/* When decide() may have something to do by time alone; 0 = never. Later than now_us where decide() just
 * answered NOTHING. */
bp_usec bpi_pool_next_us(const struct bpi_pool *pool, bp_usec now_us);

/* An opening link is connected and logged on. A check's own becomes its lease (class of the waiter),
 * any other one IDLE. */
void bpi_pool_link_opened(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* The lease ended with the link READY and clean. */
void bpi_pool_link_released(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* Somebody closes the link; it still counts until bpi_pool_link_closed(). */
void bpi_pool_link_closing(struct bpi_pool *pool, struct bpi_pool_link *link);
void bpi_pool_link_closed(struct bpi_pool *pool, struct bpi_pool_link *link);
/* A log-in failed: no link that is logged on with it will be used again. */
void bpi_pool_forget_identity(struct bpi_pool *pool, const struct bpi_pool_key *key);
/* All links are closed as soon as they are idle (RECONNECT, changed endpoints). */
void bpi_pool_doom_all(struct bpi_pool *pool);

void bpi_pool_endpoint_up(struct bpi_pool *pool, unsigned endpoint);
/* Until bpi_pool_endpoint_up(). Its links stay as they are. */
void bpi_pool_endpoint_down(struct bpi_pool *pool, unsigned endpoint, bp_usec open_after_us);

unsigned bpi_pool_open_count(const struct bpi_pool *pool);
/* How many waiters are ahead of it in its class. */
unsigned bpi_pool_ahead_count(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter);
/* Walks everything; false where an invariant is broken. */
bool bpi_pool_check(const struct bpi_pool *pool);

#endif
