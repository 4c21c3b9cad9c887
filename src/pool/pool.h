/* Who gets which link of one cluster, and which links are opened, checked and closed for it.
 *
 * A pure decider: places for links, waiters in five classes, and one question, bpi_pool_decide(): "what is to be
 * done next?". The caller reports events (a waiter came or went, a link opened, was released, closed), asks
 * until the answer is "nothing", and carries the answers out. No sockets, no clock, no allocation, so the
 * same events give the same decisions.
 *
 * Who goes first:
 *   1. Log-ins to be checked and waiters take turns (checks pass the caps: they are no operations). Checks have
 *      at most one place in BPI_POOL_CHECKS_PART at a time, so that a flood of wrong passwords leaves the rest.
 *   2. Classes that hold less than their minimum; then the class that has had the least link time for its share
 *      (stride scheduling, share.h). A class may take a link while it is under its cap, and leaves free what others
 *      hold below their minima: all of it, or, where its own holds are short (lend_max_hold_us), only
 *      BPI_POOL_LENT_SPARE.
 *   3. In a class the order of queue.h: priority with ageing, the tenant that holds the least, deadline, arrival.
 * A waiter is passed over only by one whom an idle link fits better: of the same identity, inside a window of
 * BPI_POOL_FIT_WINDOW waiters and while the first has waited less than BPI_POOL_FIT_WAIT_US (four connects, where that
 * is more and a link would have to be closed for it); or, in the same
 * class and priority, of the link's own loop, while it has waited less than pass_over_us. So no version, identity,
 * tenant or loop starves another.
 *
 * Caps (class, user, database, transactions of an endpoint) are never exceeded by grants, and links are opened or
 * closed only for waiters that their caps would let have them: leased + claimed < cap.
 *
 * Fit of an idle link for a waiter: exact (protocol and identity are equal and the log-in is younger than
 * auth_ttl_us); by log-in (the protocol is equal and allows LOGOFF and LOGON); else none, and at the limit the
 * longest idle unfitting link is closed so that another can be opened. A link that was idle for longer than
 * check_after_us is checked before it is granted, while others are tried (grow.c says when one is opened).
 *
 * Barging (`limits.barging`, for callers that are threads): a returned link isn't handed over to a waiter that has
 * waited less than pass_over_us, because the time until that thread runs would be lost each time. The waiter is
 * called (BPI_POOL_CALL), the link stays idle, and whoever comes first takes it (bpi_pool_take).
 *
 * States of a link -> function:
 *   CLOSED  -> decide (OPEN) -> OPENING
 *   OPENING -> link_opened -> IDLE | LEASED (a log-in check's own)    OPENING -> link_closed -> CLOSED
 *   IDLE    -> decide (GRANT) | take -> LEASED     IDLE -> decide (CLOSE) | link_closing -> CLOSING
 *   IDLE    -> decide (CHECK) | take_for_check -> CHECKING -> link_checked | link_unchecked -> IDLE
 *   LEASED  -> link_released -> IDLE        LEASED | CHECKING -> link_closing -> CLOSING
 *   any but CLOSED -> link_closed -> CLOSED
 * Invariants (bpi_pool_check): open = opening + idle + checking + leased + closing <= links_max, but for a limit
 * that was lowered; leased = the sum over classes; a waiter is in exactly one queue or in none; a tie
 * between a waiter and the link that is opened or closed for it is known to both.
 *
 * Times come from several loops, whose clocks are read once a turn: a time may lie a little after or before the
 * last one. What lies ahead counts as no time passed, so a clock that jumps back only makes a wait seem shorter.
 *
 * Lock: the cluster's mutex, held by the caller around every function here.
 */
#ifndef BPI_POOL_POOL_H
#define BPI_POOL_POOL_H

#include "base/random.h"
#include "pool/account.h"
#include "pool/class.h"
#include "pool/expiry.h"
#include "pool/queue.h"
#include "pool/share.h"

#include <boltpool/types.h>

#include <stdbool.h>

/* A log-in swap costs one to three small queries (0.6 ms measured), so 5 ms of patience for a better
 * fit costs the oldest waiter little; doubled, two identities that alternate wait noticeably. */
#define BPI_POOL_FIT_WAIT_US ((bp_usec)5000)
/* Waiters looked at for an exact fit: bounds the work at each release. */
#define BPI_POOL_FIT_WINDOW 64
/* Checks may take one place in so many (but always one) at a time: a flood of wrong passwords leaves the rest to
 * those who are logged on. */
#define BPI_POOL_CHECKS_PART 4
/* Slots that even short-held classes leave to classes below their minimum, so that those find one at once. */
#define BPI_POOL_LENT_SPARE 2
/* A check of an idle link that takes longer than this no longer keeps another one from being tried. */
#define BPI_POOL_CHECK_SLOW_US  ((bp_usec)50000)
#define BPI_POOL_ENDPOINTS_MAX  64
#define BPI_POOL_LOOPS_MAX      64 /* bits of kicked_loops */
#define BPI_POOL_IDENTITY_BYTES 16
/* Keys are counted by a hash (grow.c): two that share a bucket only delay an opening. */
#define BPI_POOL_IDENTITY_BUCKETS 256

struct bpi_pool_key {
    uint32_t protocol; /* what a link can't change: Bolt version and patches, opaque here */
    uint8_t identity[BPI_POOL_IDENTITY_BYTES]; /* keyed digest of the log-in */
};

enum bpi_pool_link_state {
    BPI_POOL_CLOSED,
    BPI_POOL_OPENING,
    BPI_POOL_IDLE,
    BPI_POOL_CHECKING,
    BPI_POOL_LEASED,
    BPI_POOL_CLOSING,
    BPI_POOL_STATE_COUNT,
};

/* A place for a link; embedded in the caller's link, lives as long as the pool. */
struct bpi_pool_link {
    struct bpi_pool_link *prev,
        *next; /* in the list of its state; IDLE: head = most recently used; LEASED: in its class's */
    enum bpi_pool_link_state state;
    struct bpi_pool_key key;
    bp_usec login_us; /* when it last logged on */
    bp_usec idle_us;  /* since when it is idle */
    bp_usec heard_us; /* when it last proved to be alive */
    bp_usec opened_us;
    bp_usec life_until_us; /* 0 = no end */
    bp_usec since_us;      /* OPENING, CHECKING: when that began */
    uint16_t endpoint;
    unsigned loop;   /* on whose loop it is, or goes to */
    unsigned errors; /* leases that failed by the server's fault, one after the other */
    uint64_t leases; /* how often it was leased */
    bool doomed;     /* to be closed as soon as it is idle */
    bool ending;     /* wants a replacement before the end of its life */
    bool replaced;   /* has got one */
    bool is_check; /* OPENING: for a log-in check, which has no tie to it, being granted already */
    struct bpi_pool_waiter
        *sponsor; /* OPENING: the waiter it is opened for; CLOSING: evicted for */
    /* While LEASED. */
    enum bpi_class class_;
    enum bpi_priority priority;
    uint64_t user_key;
    uint64_t database_key;
    uint64_t tenant_key;
    uint64_t lease_id; /* names it for people; never used twice */
    bp_usec leased_us;
    bp_usec charged_us; /* link time that its class was charged in advance */
    bool judged;        /* counted as a long hold already */
    /* Storage for the pool's accounts. */
    struct bpi_pool_account user_account;
    struct bpi_pool_account database_account;
    struct bpi_pool_account tenant_account;
};

struct bpi_pool_waiter;

/* Which endpoints may serve whom, and at what cost: asked where that matters, under the pool's lock. They must not call
 * the pool. Without one any endpoint may, and the one with the fewest leases is the best. */
struct bpi_pool_router {
    void *user;
    /* Bits of the endpoints that may take the waiter now. */
    uint64_t (*fit)(void *user, const struct bpi_pool_waiter *waiter, bp_usec now_us);
    /* What the waiter would cost there; lower is better. Asked of endpoints that `fit` has just named for it. */
    double (*cost)(void *user,
                   const struct bpi_pool_waiter *waiter,
                   unsigned endpoint,
                   bp_usec now_us);
};

enum bpi_pool_waiter_state {
    BPI_POOL_WAITER_NONE,
    BPI_POOL_WAITER_QUEUED,
    BPI_POOL_WAITER_GRANTED, /* or refused: its answer is on its way */
};

/* One wish for a link; embedded in the caller's object, which lives until granted, refused or cancelled. */
struct bpi_pool_waiter {
    enum bpi_pool_waiter_state state;
    /* Set by the caller before bpi_pool_wait(). */
    struct bpi_pool_key key;
    uint32_t protocol_bit; /* among bpi_pool_endpoint.protocols; 0 = any endpoint will do */
    bool relogin;          /* the protocol has LOGOFF and LOGON */
    bool is_check; /* a log-in to be checked: always gets a link of its own that is opened for it */
    enum bpi_class class_;
    enum bpi_priority priority;
    uint64_t user_key;     /* for user_links_max; 0 = not counted */
    uint64_t database_key; /* for database_links_max; 0 = not counted */
    /* Between whom a class is fair; 0 = all such are one tenant. Equal to user_key only where the tenant is that user:
     * then one that is capped says so for all of them. */
    uint64_t tenant_key;
    bp_usec expires_us;  /* it waits no longer than this; 0 = as long as it takes */
    bp_usec deadline_us; /* when its work should be done; 0 = any time */
    bool sheddable;      /* CoDel may refuse it, where its class turned that on */
    unsigned loop;
    /* Set by the pool. */
    bp_usec arrived_us;
    uint64_t sequence;
    bp_usec estimate_us;           /* how long it would wait, where it was refused for that */
    bool called;                   /* BPI_POOL_CALL was answered, and it hasn't come yet */
    struct bpi_pool_link *opening; /* the link that is being opened for it */
    struct bpi_pool_link *evicted; /* the link that is being closed for it */
    struct bpi_pool_queue_node node;
    struct bpi_pool_expiry_node expiry;
};

/* Why a waiter gets no link. */
enum bpi_pool_refusal {
    BPI_POOL_ADMITTED,
    BPI_POOL_QUEUE_FULL, /* waiting_max of its class */
    BPI_POOL_HOPELESS,   /* its deadline can't be met: said at once */
    BPI_POOL_EXPIRED,    /* it has waited until expires_us or its deadline */
    BPI_POOL_SHED, /* its class has been overloaded for a while: said at once, or while it waits (CoDel) */
};

struct bpi_pool_class_limits {
    unsigned min; /* links that are there for it */
    unsigned max; /* 0 = links_max */
    unsigned share;
    unsigned waiting_max;    /* 0 = no bound */
    bp_usec codel_target_us; /* 0 = off */
};

/* Limits; 0 = none where not said otherwise. */
struct bpi_pool_limits {
    unsigned links_max; /* at least 1 */
    unsigned idle_min;  /* links that are kept open without need */
    unsigned user_links_max;
    unsigned database_links_max;
    unsigned endpoint_links_max;
    unsigned endpoint_transactions_max; /* each holds a worker thread of the server */
    unsigned endpoint_connects_max;     /* at a time */
    unsigned errors_max;                /* a link with so many failed leases in a row is closed */
    struct bpi_pool_class_limits classes[BPI_CLASS_COUNT];
    bp_usec lend_max_hold_us; /* 0 = nothing is lent */
    bp_usec pass_over_us;
    bool barging;
    bp_usec auth_ttl_us;
    bp_usec idle_timeout_us; /* an idle link is closed after it */
    bp_usec
        lifetime_us; /* a link is closed at its first idle moment after it, less up to a tenth */
    bp_usec check_after_us; /* an idle link that was silent for longer is checked before use */
    bp_usec keep_alive_us;  /* an idle link is checked this often */
};

struct bpi_pool_endpoint {
    bool up;               /* links may be opened to it */
    bool draining;         /* its links are closed as they become idle, and none are opened */
    uint32_t protocols;    /* what it speaks, as the waiters' protocol_bit */
    bp_usec open_after_us; /* not before, though it is up: back-off after a failure */
    bp_usec down_us; /* when it went down: its links are checked if they were last heard before */
    unsigned open_count; /* links in any state but CLOSED */
    unsigned opening_count;
    unsigned leased_count;
    uint64_t granted_total;
    uint64_t turn; /* when it was leased from last, as a number that rises */
};

struct bpi_pool_class {
    unsigned leased;
    unsigned untenanted;            /* of them without a tenant */
    unsigned claimed;               /* links opened or closed for its waiters */
    struct bpi_pool_link *leases;   /* head = the oldest */
    struct bpi_pool_link *unjudged; /* the oldest lease that isn't known to be long yet */
    struct bpi_pool_share share;
    struct bpi_pool_queue queue;
    /* CoDel: since when its oldest waiter is above the target; 0 = it isn't. */
    bp_usec above_since_us;
    /* A standing queue (admit.c): whether there is one, since when the waits say the opposite (0 = they don't), and
     * when somebody came last. */
    bool queue_stands;
    bp_usec turning_since_us;
    bp_usec came_us;
    uint64_t granted_total;
    uint64_t refused_total[BPI_POOL_SHED + 1];
};

struct bpi_pool {
    struct bpi_pool_limits limits;
    struct bpi_pool_link *lists[BPI_POOL_STATE_COUNT]; /* but leases, which are in their classes */
    unsigned counts[BPI_POOL_STATE_COUNT];
    struct bpi_pool_class classes[BPI_CLASS_COUNT];
    unsigned minima_unused; /* the sum of what classes hold below their minima */
    unsigned slots;         /* what may be leased at one time */
    int64_t pass_now;       /* virtual time of the shares */
    int64_t wake_credit;    /* how far behind it a class may wake */
    unsigned claimed_count;
    struct bpi_pool_accounts users;
    struct bpi_pool_accounts databases;
    struct bpi_pool_accounts tenants; /* links held, by tenant and class */
    struct bpi_pool_waiter *checks;
    struct bpi_pool_expiry expiry;
    unsigned waiters_count; /* in all queues, checks too */
    unsigned called_count;
    unsigned doomed_idle_count;
    unsigned ending_count; /* live links near the end of their lives that want a replacement */
    bool check_was_last;   /* a check was served since the last grant: a waiter comes first */
    bool paused;
    unsigned held_back_count; /* waiters for whom it isn't yet worth to open a link */
    uint64_t kicked_loops;    /* told to ask decide() and haven't asked since */
    uint64_t sequence;
    uint64_t lease_ids;
    struct bpi_random random;
    /* grow.c */
    bp_usec connect_us; /* how long an opening takes, lately; 0 = not known */
    uint64_t waited_us; /* waiters that are held back x time, fading */
    bp_usec waited_at_us;
    uint16_t identity_live[BPI_POOL_IDENTITY_BUCKETS];
    uint32_t identity_waiting[BPI_POOL_IDENTITY_BUCKETS];
    bool has_warm_key;
    struct bpi_pool_key warm_key; /* what links without a waiter are opened as */
    uint32_t warm_protocol_bit;
    bp_usec idle_look_us; /* when all idle links are looked at for their age and silence */
    unsigned endpoints_count;
    struct bpi_pool_endpoint endpoints[BPI_POOL_ENDPOINTS_MAX];
    struct bpi_pool_router router;
    /* endpoint.c: a link was leased though another endpoint would have been much better, had there been a link: one is
     * opened to that, ahead of need. */
    uint64_t turns;
    bool spread_is_wanted;
    uint16_t spread_endpoint;
    struct bpi_pool_key spread_key;
};

enum bpi_pool_action_kind {
    BPI_POOL_NOTHING,
    BPI_POOL_GRANT,  /* `link` is `waiter`'s; with `login` it has to log on as the waiter first */
    BPI_POOL_REFUSE, /* `waiter` gets none, because of `refusal` */
    BPI_POOL_CALL,   /* barging: a link may be there for `waiter`, which asks by bpi_pool_come() */
    BPI_POOL_OPEN, /* open `link` to `link->endpoint` as `link->key`: the identity of `waiter`; else of `like`,
                    * which is on the asking loop; else the warm one. On the asking loop. */
    BPI_POOL_CHECK, /* ask `link` whether it is alive, on its own loop, with a short deadline */
    BPI_POOL_CLOSE, /* close `link`, on its own loop */
    BPI_POOL_KICK,  /* let the loop of `loop` ask bpi_pool_decide() */
};

struct bpi_pool_action {
    enum bpi_pool_action_kind kind;
    struct bpi_pool_waiter *waiter;
    struct bpi_pool_link *link;
    struct bpi_pool_link *like;
    bool login;
    bool keep_alive; /* CHECK: it is due by time alone, nobody waits for it */
    enum bpi_pool_refusal refusal;
    unsigned loop;
};

/* `seed` is for the jitter of lifetimes. */
void bpi_pool_init(struct bpi_pool *pool,
                   const struct bpi_pool_limits *limits,
                   unsigned endpoints_count,
                   uint64_t seed);
/* Takes other limits: all leases stay, and nothing is granted above the new ones. A new lifetime_us is for links that are
 * opened from now on. */
void bpi_pool_set_limits(struct bpi_pool *pool, const struct bpi_pool_limits *limits);
/* ... and for those that are open: their ends are what lifetime_us says. Those that would be over end within the next
 * tenth of it, not all at one time. */
void bpi_pool_renew_lives(struct bpi_pool *pool, bp_usec now_us);
/* Adds a place; it must be CLOSED (zeroed). */
void bpi_pool_add_place(struct bpi_pool *pool, struct bpi_pool_link *link);

/* Grants at once an idle link that fits exactly, where nobody has to go first: the quick way, which needs no
 * decide(). NULL: not now; the waiter may wait. On grant the link goes to the waiter's loop. */
struct bpi_pool_link *
bpi_pool_take(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);
/* A waiter joins the queue of its class (or the checks), unless it is refused at once. It must not be queued
 * already. */
enum bpi_pool_refusal
bpi_pool_wait(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);
/* A called waiter has come: what it is granted, or NULL: it waits on. */
struct bpi_pool_link *
bpi_pool_come(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);
/* Takes it out again; then the pool knows nothing of it. False: it was granted or refused already (a check: its
 * link is being opened), and the answer is on its way to its loop. */
bool bpi_pool_cancel(struct bpi_pool *pool, struct bpi_pool_waiter *waiter, bp_usec now_us);

/* A granted waiter whose link turned out to be dead, or a check whose link could not be opened: back into
 * the queue with its old place and time. */
void bpi_pool_wait_again(struct bpi_pool *pool, struct bpi_pool_waiter *waiter);
/* Takes one queued waiter of that identity out of the queue, as if it were granted: its owner is to be
 * told that the log-in failed. NULL: none is left. */
struct bpi_pool_waiter *
bpi_pool_take_waiter(struct bpi_pool *pool, const struct bpi_pool_key *key, bp_usec now_us);

/* The next thing to do, asked by `loop`, which asks on until the answer is NOTHING; the pool's state has
 * changed accordingly. */
struct bpi_pool_action bpi_pool_decide(struct bpi_pool *pool, unsigned loop, bp_usec now_us);
/* When decide() may have something to do by time alone; 0 = never. Later than now_us where decide() just
 * answered NOTHING. */
bp_usec bpi_pool_next_us(struct bpi_pool *pool, bp_usec now_us);

/* An opening link is connected and logged on. A check's own becomes its lease (class of the waiter),
 * any other one IDLE. */
void bpi_pool_link_opened(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* The lease ended with the link READY and clean. `failed`: by the server's fault, not the caller's. */
void bpi_pool_link_released(struct bpi_pool *pool,
                            struct bpi_pool_link *link,
                            bool failed,
                            bp_usec now_us);
/* A checked link answered. */
void bpi_pool_link_checked(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* A link that was to be checked wasn't asked after all: it is as idle, and as silent, as before. */
void bpi_pool_link_unchecked(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* Somebody closes the link; it still counts until bpi_pool_link_closed(). */
void bpi_pool_link_closing(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
void bpi_pool_link_closed(struct bpi_pool *pool, struct bpi_pool_link *link, bp_usec now_us);
/* An idle link of the endpoint becomes CHECKING: to see whether the server is alive. NULL: none is idle. */
struct bpi_pool_link *
bpi_pool_take_for_check(struct bpi_pool *pool, unsigned endpoint, bp_usec now_us);
/* A log-in failed: no link that is logged on with it will be used again, nor opened ahead. */
void bpi_pool_forget_identity(struct bpi_pool *pool, const struct bpi_pool_key *key);
/* All links are closed as soon as they are idle (RECONNECT, changed endpoints). */
void bpi_pool_doom_all(struct bpi_pool *pool);

/* What links are opened as that nobody waits for (idle_min). NULL: none are. */
void bpi_pool_set_warm_key(struct bpi_pool *pool,
                           const struct bpi_pool_key *key,
                           uint32_t protocol_bit);

/* `router` is copied; what it points to lives as long as the pool. NULL: none. */
void bpi_pool_set_router(struct bpi_pool *pool, const struct bpi_pool_router *router);

/* While paused nothing is granted or opened, and waiters wait on. */
void bpi_pool_pause(struct bpi_pool *pool, bool paused);

void bpi_pool_endpoint_up(struct bpi_pool *pool, unsigned endpoint);
/* Until bpi_pool_endpoint_up(). Its links stay, but idle ones are checked before use. */
void bpi_pool_endpoint_down(struct bpi_pool *pool,
                            unsigned endpoint,
                            bp_usec open_after_us,
                            bp_usec now_us);
/* No more leases on it; its links close as they become idle. False: takes it back into use. */
void bpi_pool_endpoint_drain(struct bpi_pool *pool, unsigned endpoint, bool draining);

unsigned bpi_pool_open_count(const struct bpi_pool *pool);
/* How many waiters are ahead of it in its class; one that isn't queued (any more) would be the last. */
unsigned bpi_pool_ahead_count(const struct bpi_pool *pool, const struct bpi_pool_waiter *waiter);
/* How long a waiter of this class would wait that came now (admit.c). */
bp_usec bpi_pool_estimate_us(const struct bpi_pool *pool,
                             const struct bpi_pool_waiter *waiter,
                             bp_usec now_us);
/* Whether decide() has nothing to do whatever the time: no waiter, nothing doomed, nothing to be opened ahead. */
bool bpi_pool_is_calm(const struct bpi_pool *pool);
/* Walks everything; false where an invariant is broken. */
bool bpi_pool_check(const struct bpi_pool *pool);

#endif
