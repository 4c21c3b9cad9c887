/* A pool for callers in this process: the decider of src/pool between threads, event loops (mailboxes) and helper threads
 * that open, check and close connections through a caller's connector. The public face is <boltpool/pool.h>.
 *
 * One lock. The hot path is one short section each for acquire (bpi_pool_take) and release (bpi_pool_link_released), and
 * while nobody waits not even that (keep.h); whatever else there may be to do is asked of bpi_pool_decide() only where the decider isn't calm, by bpi_turn_end(). What
 * that answers is written down under the lock and carried out after it: nobody is woken, no thread started and no
 * connector called under the lock.
 *
 * Loops, as the decider calls them: 0 is all blocking threads, 1 .. 63 are mailboxes. A connection here has no thread of its own,
 * so any thread asks for any loop.
 *
 *   blocking_pool.c  acquire and release
 *   keep.c           leases that stay with their processor while nobody waits
 *   want.c           what is wanted, from struct bp_operation; the words for classes and work
 *   run.c            how long a thread goes on taking while others wait
 *   turn.c           the decider's answers, and carrying them out
 *   mailbox.c        the asynchronous form
 *   helper.c         threads that open, check and close; upkeep
 *   maintenance.c    which parts of the upkeep run
 *   pool_life.c      from bp_pool_new() to bp_pool_free()
 *   pool_stats.c     statistics, leases
 *   refusal.c        why somebody got nothing, as a sentence
 *
 * Memory: the pool goes when its last reference does (`refs`): the owner's, one for each thread, one for each turn that
 * touches it after unlocking. Leases that are out keep the owner's.
 */
#ifndef BPI_ENGINE_BLOCKING_POOL_H
#define BPI_ENGINE_BLOCKING_POOL_H

#include "base/histogram.h"
#include "base/lock.h"
#include "pool/pool.h"

#include <boltpool/pool.h>

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Handles of one place: a lease given back twice is known for so many leases. A power of two. */
#define BPI_PLACE_HANDLES 64
#define BPI_LEASE_NAME    48
#define BPI_POOL_NAME     64
#define BPI_OPEN_TEXT     128
/* Helpers that close beside those that open and those that check (connects_max each): were they shared, calls that
 * hang would keep broken connections open. */
#define BPI_CLOSE_HELPERS 4
#define BPI_CONNECTS_MAX  64
#define BPI_HELPERS_MAX   (2 * BPI_CONNECTS_MAX + BPI_CLOSE_HELPERS + 1)
/* Threads woken by one turn; more take another turn. */
#define BPI_TURN_WAKES 16

/* What a caller holds: the address says which place and which of its leases. */
struct bp_lease {
    uint8_t index; /* Immutable: in the place's handles */
};

enum bpi_job {
    BPI_JOB_NONE,
    BPI_JOB_OPEN,
    BPI_JOB_CHECK,      /* before use */
    BPI_JOB_KEEP_ALIVE, /* a check that is due by time alone */
    BPI_JOB_CLEAN, /* a check before anybody else gets it; for the decider it is still leased */
    BPI_JOB_CLOSE,
};

/* A place's word: who has it. Bits: state, sync, class, keepable, then the number of its lease. */
enum bpi_place_state {
    BPI_PLACE_HOME, /* the decider, or a helper */
    BPI_PLACE_OUT,  /* a caller, by handles[number % BPI_PLACE_HANDLES] */
    BPI_PLACE_KEPT, /* given back, but the decider wasn't told: keep.h */
    BPI_PLACE_BACK, /* given back, and the thread asks the connector how */
};
#define BPI_WORD_STATE       UINT32_C(0x3)
#define BPI_WORD_HELD        UINT32_C(0x1) /* of the state: OUT or BACK */
#define BPI_WORD_SYNC        UINT32_C(0x4) /* HELD: the decider has to be told when it comes back */
#define BPI_WORD_CLASS_SHIFT 3
#define BPI_WORD_CLASS       (UINT32_C(0x7) << BPI_WORD_CLASS_SHIFT)
#define BPI_WORD_KEEPABLE    UINT32_C(0x40) /* OUT: may be kept */
#define BPI_WORD_LEASE       UINT32_C(0x80) /* the lowest bit of the number */

/* A place for a connection.
 * Lock: the pool's, for what isn't said otherwise.
 * Owner: whoever `word` says, for the fields after it; atomic because statistics read them meanwhile. */
struct bpi_place {
    struct bpi_pool_link link; /* first: the decider's part */
    struct bp_pool *pool;      /* Immutable */
    uint64_t leak_reported;    /* the lease that was */
    bool is_unhealthy;
    uint32_t told_leases; /* of kept_leases: the decider was told */
    uint64_t told_rested_us;
    enum bpi_job job;
    struct bpi_place *next_job;

    alignas(64) _Atomic uint32_t word;
    _Atomic uint32_t kept_leases; /* of which the decider doesn't know */
    _Atomic uint64_t kept_held_us;
    _Atomic bp_usec since_us; /* OUT: since when; KEPT: when it was given back */
    _Atomic(void *) connection;
    _Atomic int work;
    _Atomic int thread;
    _Atomic uint64_t name[BPI_LEASE_NAME / 8]; /* zero-terminated bytes */

    alignas(64) struct bp_lease handles[BPI_PLACE_HANDLES]; /* Immutable */
};

enum bpi_answer {
    BPI_ANSWER_NONE,
    BPI_ANSWER_CALLED,
    BPI_ANSWER_GRANTED,
    BPI_ANSWER_REFUSED,
};

/* One who wants a connection: a thread in bp_pool_acquire(), or an asynchronous request.
 * Lock: the pool's, but for `answer`, whose last store (GRANTED or REFUSED) hands `place` and `error` over. */
struct bpi_want {
    struct bpi_pool_waiter waiter; /* first: the decider's part */
    _Atomic uint32_t answer;       /* what a thread sleeps on */
    int error;                     /* REFUSED */
    struct bpi_place *place;       /* GRANTED */
    bp_usec quiet_until_us;        /* a thread that came in vain looks again then, by itself */
    bool is_unwoken;               /* CALLED, and left asleep until then */
    struct bp_mailbox *mailbox;    /* NULL: a thread */
    struct bpi_want *prev, *next;  /* in a list of the mailbox */
    const char *name;
    enum bp_work work;
    int thread;
};

enum bpi_pool_phase {
    BPI_POOL_RUNS,
    BPI_POOL_DRAINS,
    BPI_POOL_STOPS,
};

enum bpi_helper_kind {
    BPI_HELPER_OPEN,
    BPI_HELPER_CHECK,
    BPI_HELPER_CLOSE,
    BPI_HELPER_KINDS,
};

/* Jobs of one kind. Lock: the pool's. */
struct bpi_jobs {
    struct bpi_place *first, *last;
    unsigned count;
    unsigned idle_helpers;
    unsigned helpers;
    unsigned helpers_max;
    _Atomic uint32_t word; /* changes when a job was added; helpers sleep on it */
};

struct bpi_keep_slot;

struct bpi_helper {
    struct bp_pool *pool;
    enum bpi_helper_kind kind; /* BPI_HELPER_KINDS: the upkeep */
    pthread_t thread;
    bool is_started;
};

struct bp_pool {
    /* Immutable. */
    struct bp_pool_config config;
    char name[BPI_POOL_NAME];
    struct bp_connector connector; /* its last member is read at each release, as what follows */
    /* 1 in the process that made the pool: the page is wiped in a forked child. */
    _Atomic uint32_t *alive;
    struct bpi_place *places;
    struct bpi_keep_slot *slots;
    unsigned slots_mask;
    bool may_keep; /* no class has a minimum: keep.h */

    /* Atomic: whether leases are kept; changed under the lock. */
    alignas(64) atomic_bool keeps;

    alignas(64) struct bpi_lock lock;
    /* Lock: `lock`, from here to the end but where it says otherwise. */
    enum bpi_pool_phase phase;
    bool threads_ended; /* they were joined or detached; one that is started now detaches itself */
    bool is_freed;      /* by the owner, whose reference is dropped when no lease is out any more */
    uint64_t returned_total;
    uint64_t busy_us[BPI_CLASS_COUNT];    /* of leases that ended */
    uint64_t kept_total[BPI_CLASS_COUNT]; /* leases that the decider learnt of later */
    /* Connections with BPI_JOB_CLEAN: whose lease is over, although the decider has them as leased. So the limits hold,
     * and for shares and for how long a class holds a connection its cleaning counts: nobody else could use it. */
    unsigned cleaning[BPI_CLASS_COUNT];
    alignas(64) struct bpi_pool decider;

    struct bpi_jobs jobs[BPI_HELPER_KINDS];
    struct bpi_helper helpers[BPI_HELPERS_MAX];
    unsigned helpers_count;
    struct bp_mailbox *mailboxes; /* all that ever were: see mailbox.c */
    unsigned mailboxes_count;

    /* Upkeep. */
    unsigned maintenance; /* of enum bp_maintenance: what runs */
    _Atomic uint32_t upkeep_word;
    bp_usec upkeep_at_us; /* when the upkeep thread looks next */
    bp_usec retry_at_us;  /* when connecting is tried again; 0 = it isn't held back */
    bp_usec backoff_us;
    /* Ends: those who drain or stop it sleep on `quiet_word`. */
    _Atomic uint32_t quiet_word;
    unsigned threads_count;

    /* Figures. */
    bp_usec created_us;
    uint64_t created_total;
    uint64_t create_failed_total;
    uint64_t closed_total;
    uint64_t unhealthy_total;
    uint64_t leaks_total;
    unsigned established; /* connections there are now */
    uint64_t open_us;     /* connections x time, up to open_at_us */
    bp_usec open_at_us;
    int open_error; /* the last one, until an opening succeeds */
    char open_text[BPI_OPEN_TEXT];
    struct bpi_histogram waits[BPI_CLASS_COUNT]; /* of those that did wait */

    atomic_uint refs;
};

/* What is to be done once the lock is free. */
struct bpi_turn {
    struct bp_pool *pool;
    struct bpi_want *self; /* it needs no waking: it is the caller's own */
    int thread;
    bp_usec now_us;
    /* Set by the caller: nothing has happened but that one link came back. Then the first answer that somebody gets is
     * enough: the links that are idle are spoken for, and when something is due by time alone has been asked when
     * those that wait came. */
    bool is_one_link;
    bool has_posted;
    bool gives_up; /* one that was called came in vain: asking on would call it again */
    bool is_full;
    bool wakes_upkeep;
    bool wakes_quiet;
    bool has_ref;
    unsigned helper_wakes[BPI_HELPER_KINDS];
    unsigned helpers_first, helpers_count; /* to be started */
    unsigned wakes_count;
    unsigned mailboxes_count;
    const _Atomic uint32_t *wakes[BPI_TURN_WAKES];
    struct bp_mailbox *mailboxes[BPI_TURN_WAKES]; /* to be signalled */
};

/* ---- want.c ---- */

/* The kernel's id of this thread. */
int bpi_thread_id(void);
void bpi_thread_id_forget(void);
/* BP_E_USAGE for an operation that makes no sense. NULL is fine. */
int bpi_want_init(struct bpi_want *want, const struct bp_operation *operation);
void bpi_want_set_timeout(struct bpi_want *want, bp_usec now_us, bp_usec timeout_us);

/* ---- turn.c ---- */

void bpi_turn_begin(struct bpi_turn *turn, struct bp_pool *pool);
/* Tells `want` its answer. */
void bpi_turn_post(struct bpi_turn *turn, struct bpi_want *want, enum bpi_answer answer);
void bpi_turn_wake(struct bpi_turn *turn, const _Atomic uint32_t *word);
void bpi_turn_signal(struct bpi_turn *turn, struct bp_mailbox *mailbox);
/* The lock is held; asks the decider until it has nothing more to say, unlocks, and carries it out. */
void bpi_turn_end(struct bpi_turn *turn, unsigned loop, bp_usec now_us);
/* A turn that is full: unlocks, carries out, locks again. */
void bpi_turn_flush(struct bpi_turn *turn);
/* Unlocks and carries out what is there without asking. */
void bpi_turn_end_quietly(struct bpi_turn *turn);
/* The place is `want`'s, who gets the answer later or right now. */
void bpi_place_lend(struct bpi_place *place, const struct bpi_want *want, bp_usec now_us);
/* A connection that ends: closed by a helper, unless there is none. */
void bpi_place_close(struct bpi_turn *turn,
                     struct bpi_place *place,
                     bool is_unhealthy,
                     bp_usec now_us);
void bpi_wait_count(struct bp_pool *pool, const struct bpi_want *want, bp_usec now_us);

/* A connection whose lease is over, but which has to be checked before anybody else gets it. */
void bpi_place_clean(struct bpi_turn *turn, struct bpi_place *place);
unsigned bpi_cleaning_count(const struct bp_pool *pool);

/* ---- helper.c ---- */

void bpi_helper_push(struct bpi_turn *turn, struct bpi_place *place, enum bpi_job job);
/* Takes jobs back that no helper has begun with: checks of this kind, in a list by `next_job`. */
struct bpi_place *bpi_helper_take_back(struct bp_pool *pool, enum bpi_job job);
/* Outside the lock: starts helpers first .. first + count - 1. */
int bpi_helper_start(struct bp_pool *pool, unsigned first, unsigned count);
/* One of each kind, so that no job waits for ever where threads are short, and the upkeep. */
int bpi_helpers_start_first(struct bp_pool *pool);
/* One more established connection, or one less. */
void bpi_pool_count_open(struct bp_pool *pool, int change, bp_usec now_us);

/* ---- pool_life.c ---- */

void bpi_pool_unref(struct bp_pool *pool);
/* BP_E_USAGE where the pool can't be called. */
int bpi_pool_check_call(const struct bp_pool *pool);
/* Whether threads of the pool have nothing left to do for ever. */
bool bpi_pool_is_over(const struct bp_pool *pool);
/* Refuses all that wait. */
void bpi_pool_refuse_all(struct bpi_turn *turn, int error, bp_usec now_us);
/* A line to the log callback. Never under the lock. */
void bpi_pool_log(const struct bp_pool *pool, enum bp_log_level level, const char *format, ...)
    BP_PRINTF(3, 4);
/* The caller's mistake: told where somebody listens. Returns BP_E_USAGE. */
int bpi_pool_misused(const struct bp_pool *pool, const char *what);

/* ---- maintenance.c ---- */

/* What the decider is told, of the configuration and of what runs. */
void bpi_maintenance_fill(const struct bp_pool *pool, struct bpi_pool_limits *limits);
/* When a lease that is out is reported; 0 = never. */
bp_usec bpi_maintenance_leak_us(const struct bp_pool *pool);

/* ---- mailbox.c ---- */

/* Outside the lock. */
void bpi_mailbox_signal(struct bp_mailbox *mailbox);
/* Under the lock: the want has an answer. */
void bpi_mailbox_deliver(struct bpi_turn *turn, struct bpi_want *want);
/* With the lock: one that was called comes. False: it waits on. */
bool bpi_mailbox_come(struct bp_pool *pool, struct bpi_want *want, bp_usec now_us);
bool bpi_mailbox_is_own(const struct bp_mailbox *mailbox, int thread);
void bpi_mailboxes_free(struct bp_pool *pool);

/* ---- pool_stats.c ---- */

/* The lease of a place, by whoever has the lock. False: it isn't out. */
bool bpi_place_info(const struct bpi_place *place, struct bp_lease_info *info, bp_usec now_us);

/* ---- refusal.c ---- */

/* Takes the lock for a moment. `refusal` may be NULL. Returns `error`. */
int bpi_refusal_tell(struct bp_pool *pool,
                     const struct bpi_want *want,
                     int error,
                     struct bp_refusal *refusal);
int bpi_refusal_error(enum bpi_pool_refusal refusal);

static inline struct bp_lease *bpi_place_lease(struct bpi_place *place)
{
    uint32_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
    return &place->handles[word / BPI_WORD_LEASE % BPI_PLACE_HANDLES];
}

static inline struct bpi_place *bpi_place_of(struct bpi_pool_link *link)
{
    return (struct bpi_place *)(void *)link;
}

static inline struct bpi_want *bpi_want_of(struct bpi_pool_waiter *waiter)
{
    return (struct bpi_want *)(void *)waiter;
}

static inline bool bpi_pool_is_here(const struct bp_pool *pool)
{
    return __builtin_expect(atomic_load_explicit(pool->alive, memory_order_relaxed) != 0, 1);
}

#endif
