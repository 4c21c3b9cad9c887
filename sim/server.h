/* A simulated Neo4j server in this process: real sockets, real Bolt, no database.
 *
 * It answers as Neo4j 4.4, 5.26 and 2026 were seen to answer (states, RESET, limits, metadata by
 * version), runs on a thread of its own, and can be told to misbehave. What a query may ask for is in
 * query.h. Every function here may be called from any thread.
 *
 * Equation: transactions_begun = committed + rolled_back + transactions_open.
 */
#ifndef BPI_SIM_SERVER_H
#define BPI_SIM_SERVER_H

#include "bolt/version.h"
#include "sim/service.h"
#include "sim/users.h"

#include <boltpool/types.h>

#include <stdbool.h>

struct bpi_sim;

struct bpi_sim_user {
    const char *name;
    const char *password;
};

/* Zeroed = a server without authentication that answers at once on a free port of 127.0.0.1. Everything is
 * copied. */
struct bpi_sim_options {
    const char *host;           /* NULL: 127.0.0.1 */
    uint16_t port;              /* 0: a free one */
    bpi_bolt_versions versions; /* 0: all */
    const char *agent;          /* NULL: "Neo4j/5.26.30" */
    const char *databases;      /* by commas, the first is the home one; NULL: "neo4j,system" */
    const struct bpi_sim_user *users;
    size_t user_count;  /* 0: every log-in passes */
    bool impersonation; /* accept imp_user, which a Community server refuses */

    uint32_t worker_count_max; /* 0: 400, as a real server */
    bool worker_wait;          /* work above it waits for a free worker instead of being refused */
    bool service_report;       /* tell service_us in a transaction's last summary */
    struct bpi_sim_service query_service;  /* of each RUN */
    struct bpi_sim_service commit_service; /* of each COMMIT */
    struct bpi_sim_service login_service;  /* of each log-in */
    uint64_t seed;

    bp_usec keep_alive_us;       /* 0: 60 s */
    bp_usec login_timeout_us;    /* 0: 30 s */
    uint32_t login_failures_max; /* 0: 3 */
    bp_usec login_lock_us;       /* 0: 5 s */
    const char *faults;          /* a script as bpi_sim_fault() takes; NULL: none */
    const char *tls_cert_file;   /* PEM; NULL: plain only */
    const char *tls_key_file;
    bool tls_optional; /* plain connections are taken too */
};

struct bpi_sim_stats {
    uint64_t connections_now; /* that finished the handshake or not */
    uint64_t connections_max;
    uint64_t connections_total;
    uint64_t sessions_now; /* logged on */
    uint64_t sessions_max;
    uint64_t workers_now;
    uint64_t workers_max;
    uint64_t transactions_open;
    uint64_t transactions_open_max;
    uint64_t transactions_begun; /* explicit and auto-commit */
    uint64_t transactions_committed;
    uint64_t transactions_rolled_back;
    uint64_t queries;
    uint64_t records;
    uint64_t logons; /* that passed, in HELLO too */
    uint64_t logoffs;
    uint64_t login_failures;
    uint64_t resets;
    uint64_t routes;
    uint64_t telemetries;
    uint64_t failures;       /* FAILURE messages */
    uint64_t ignored;        /* IGNORED messages */
    uint64_t no_threads;     /* refused for want of a worker */
    uint64_t closed_illegal; /* connections closed for what the client sent */
    uint64_t noops;
};

/* Errors: BP_E_CONFIG and libuv's; reterr_text says which option or address. */
BP_MUST_CHECK int bpi_sim_start(const struct bpi_sim_options *options,
                                struct bpi_sim **ret_sim,
                                char *reterr_text,
                                size_t reterr_text_size);
/* Kills all connections, ends the thread and frees it; NULL is fine. */
void bpi_sim_stop(struct bpi_sim *sim);
uint16_t bpi_sim_port(const struct bpi_sim *sim);
void bpi_sim_stats(struct bpi_sim *sim, struct bpi_sim_stats *ret_stats);
/* False where nobody of that name was ever known. */
bool bpi_sim_user_stats(struct bpi_sim *sim,
                        const char *name,
                        struct bpi_sim_user_stats *ret_stats);

/* Adds a user or changes the password; sessions that are logged on stay. */
BP_MUST_CHECK int bpi_sim_user_set(struct bpi_sim *sim, const char *name, const char *password);
bool bpi_sim_user_drop(struct bpi_sim *sim, const char *name);

/* How often a transaction that created this id was committed. */
uint64_t bpi_sim_committed(struct bpi_sim *sim, const char *id);
/* How many ids were committed; *ret_doubled (or NULL): how many commits were one too many. */
uint64_t bpi_sim_committed_count(struct bpi_sim *sim, uint64_t *ret_doubled);

/* Misbehaviour, as words by commas or blanks; in effect when it returns. "word=no" ends one, "none" all:
 *   refuse         new connections are accepted and closed
 *   hang           new connections are accepted and never answered
 *   freeze         nothing is answered on any connection, as by a stopped process
 *   down, up       no listener and no connections; the same port again
 *   slow=x         service times are x times as long
 *   drop=n         the next connection dies once n bytes were sent on it
 *   fail=CODE@p    each query fails with probability p (1 without @p); several may be set, fail=no
 *   fail_commit=CODE@p   the same for COMMIT
 *   leader=no      writes fail with NotALeader; leader=yes
 *   drop_commit=n  the next n commits (1 without =n) are done, and the connection dies unanswered
 *   lose_commit=n  the next n commits are not done, and the connection dies unanswered
 * A commit is COMMIT or the end of an auto-commit result.
 * Errors: BP_E_CONFIG, nothing has changed then; libuv's when `up` can't bind.
 */
BP_MUST_CHECK int bpi_sim_fault(struct bpi_sim *sim, const char *script);

#endif
