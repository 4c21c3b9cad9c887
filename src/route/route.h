/* Which endpoint of a cluster takes a transaction, and which endpoints take none for a while.
 *
 * A pure decider. The owner reports what happens (endpoints come, go and change; one was or wasn't reached; a
 * transaction starts and ends; a second passes) and asks: who takes this transaction (bpi_route_pick), who may
 * (bpi_route_fit), what would one more cost there (bpi_route_cost). After each call that may change an endpoint's state
 * it drains bpi_route_next_event().
 *
 * Who may take a transaction:
 *   1. Its role. EQUAL endpoints are one database: all take all. A LIST is of independent servers: at most one takes
 *      writes, all read, and who shows bookmarks goes to their one issuer while that takes transactions at all, else
 *      (several issuers, an unknown one, one that is out of service) to the writer. In a CLUSTER the database's routing table
 *      (table.h) names readers and writers; where none of the readers is fit, the writers read.
 *   2. Its service. DRAIN takes only what bookmarks bind to it; MAINTENANCE nothing.
 *   3. Its state (eject.h): FIT takes all, PROBING one at a time, EJECTED none.
 *   4. The circuit of endpoint and database (breaker.h); but for a write that only one endpoint may take.
 * Among those the strategy picks (pick.h); one that waits for a probe is asked first, or it would never come back.
 *
 * Rules of ejection, over those in service (READY), n of them:
 *   - at most n / 2 are not FIT; one that looks sick stays FIT where that or the next rule says so
 *   - the only endpoint that may take the writes of a LIST, or of a database of a CLUSTER, is FIT; while it is sick
 *     it takes only what nobody else may, and tables that name it as a writer are asked for anew where it seems dead
 *   - more than n / 2 look sick: it is us, or the network. That is panic: all are FIT, and none is ejected until it is over
 * A change of roles or services that breaks one of them makes endpoints FIT at once.
 *
 * Times may come from several loops, whose clocks differ a little: one that lies before the last counts as no time passed.
 * No sockets, no clock, no allocation; random numbers come from the seed. Every loop is bounded by
 * BPI_ROUTE_ENDPOINTS_MAX or a table's size.
 * Lock: the cluster's mutex, held by the caller around every function here.
 */
#ifndef BPI_ROUTE_ROUTE_H
#define BPI_ROUTE_ROUTE_H

#include "base/random.h"
#include "route/bookmarks.h"
#include "route/breaker.h"
#include "route/eject.h"
#include "route/event.h"
#include "route/load.h"
#include "route/report.h"
#include "route/strategy.h"
#include "route/table.h"

#include <boltpool/error.h>
#include <boltpool/types.h>

#include <stdbool.h>

/* Bits of a set of endpoints; as many as the pool has. */
#define BPI_ROUTE_ENDPOINTS_MAX  64
#define BPI_ROUTE_WEIGHT_DEFAULT 100
#define BPI_ROUTE_WEIGHT_MAX     10000
/* Looks at shares and latencies this often. Doubled, an outlier stays a few seconds longer. */
#define BPI_ROUTE_SWEEP_US BP_USEC_PER_SECOND
/* Outcomes in the window (10 s) below which neither share nor latency means something. */
#define BPI_ROUTE_OUTCOMES_MIN 20
/* Whose share of successes is above is no outlier, however well the others do. */
#define BPI_ROUTE_SHARE_MIN 0.8
/* So many times the median of the others' latency, for so many sweeps in a row. Three speeds of servers are not sick. */
#define BPI_ROUTE_SLOW_TIMES  5.0
#define BPI_ROUTE_SLOW_SWEEPS 3
/* So many transactions without any answer for so long, and for so many times the typical latency, while the others
 * answered. Shorter, each long garbage collection is one; 4 long queries in a row on one endpoint are rare. */
#define BPI_ROUTE_STALL_COUNT   4
#define BPI_ROUTE_STALL_US      ((bp_usec)500000)
#define BPI_ROUTE_STALL_LATENCY 20.0
/* Costs that lie so close are equal, however much is known, and decided at random, so that many poolers don't herd. */
#define BPI_ROUTE_TIE 1.05

enum bpi_route_kind {
    BPI_ROUTE_EQUAL,
    BPI_ROUTE_LIST,
    BPI_ROUTE_CLUSTER,
};

/* Of an endpoint of a LIST. */
enum bpi_route_access {
    BPI_ROUTE_READ_ONLY,
    BPI_ROUTE_READ_WRITE,
};

enum bpi_route_service {
    BPI_ROUTE_READY,
    BPI_ROUTE_DRAIN,
    BPI_ROUTE_MAINTENANCE,
};

struct bpi_route_endpoint {
    uint32_t generation; /* tells it from another one that had its place before */
    enum bpi_route_access access;
    enum bpi_route_service service;
    struct bpi_route_load load;
    double weight_part; /* BPI_ROUTE_WEIGHT_DEFAULT / weight */
    unsigned weight;
    int64_t turn; /* weighted_round_robin: what it is owed */
    struct bpi_route_eject eject;
    struct bpi_route_report report;
    uint64_t picked_total;
};

struct bpi_route {
    enum bpi_route_kind kind;
    enum bpi_route_strategy strategy;
    bool is_shared; /* other poolers load the endpoints, too: reports count */
    bool is_panic;
    /* Sets of endpoints, by bit. */
    uint64_t present;
    uint64_t ready;   /* in service */
    uint64_t drained; /* in DRAIN */
    uint64_t writers; /* READ_WRITE */
    uint64_t fit;     /* FIT, whatever their service */
    uint64_t probing;
    uint64_t
        spared; /* FIT and sick, because nobody else takes their writes: they take only what nobody else may */
    unsigned next;   /* where round robin goes on */
    double prior_us; /* mean service time of all */
    bp_usec swept_us;
    struct bpi_random random;
    struct bpi_route_endpoint endpoints[BPI_ROUTE_ENDPOINTS_MAX];
    struct bpi_route_events events;
    struct bpi_route_breaker breaker;
    struct bpi_route_tables tables;       /* CLUSTER */
    struct bpi_route_bookmarks bookmarks; /* LIST */
};

/* What is to be done. */
struct bpi_route_wish {
    bool is_write;
    uint64_t database;         /* a hash of its name; the home database's where it has none */
    const uint64_t *bookmarks; /* hashes, borrowed; only a LIST looks at them */
    unsigned bookmarks_count;
};

/* One transaction on its way: the caller keeps it from pick to finish, next to the lease. */
struct bpi_route_ticket {
    unsigned endpoint;
    uint32_t generation;
    uint64_t database;
    bool is_write;
    bool is_started;
    uint32_t probe;   /* it shows whether the endpoint is well again */
    uint32_t circuit; /* ... whether the database is */
    bp_usec started_us;
};

enum bpi_route_outcome {
    BPI_ROUTE_OK,
    BPI_ROUTE_CLIENT_FAULT, /* Neo.ClientError: the server did its work */
    BPI_ROUTE_SERVER_FAULT, /* Neo.DatabaseError */
    BPI_ROUTE_OVERLOADED,   /* Neo.TransientError of memory, threads, time */
    BPI_ROUTE_NOT_A_LEADER, /* and what is like it: it takes no writes */
    BPI_ROUTE_CONNECTION_LOST,
    BPI_ROUTE_CANCELLED, /* it says nothing: never sent, or ended from our side */
};

/* Settings. Endpoints are numbers below BPI_ROUTE_ENDPOINTS_MAX, the same as the pool's. */

void bpi_route_init(struct bpi_route *route, enum bpi_route_kind kind, uint64_t seed);
/* Any time; nothing is lost. */
void bpi_route_set_strategy(struct bpi_route *route, enum bpi_route_strategy strategy);
void bpi_route_set_shared(struct bpi_route *route, bool is_shared);
/* `limit`: transactions that it works on at a time, 0 = BPI_ROUTE_LIMIT_DEFAULT; rather too low than too high.
 * Errors: BP_E_USAGE (it is there), BP_E_ENDPOINT_UNKNOWN (no such number), BP_E_ENDPOINT_ACCESS (a LIST has its writer). */
BP_MUST_CHECK int bpi_route_add(struct bpi_route *route,
                                unsigned endpoint,
                                enum bpi_route_access access,
                                unsigned limit,
                                bp_usec now_us);
/* Its transactions may still end; their tickets are known by their generation. Errors: BP_E_ENDPOINT_UNKNOWN. */
BP_MUST_CHECK int bpi_route_remove(struct bpi_route *route, unsigned endpoint, bp_usec now_us);
/* Errors: BP_E_ENDPOINT_UNKNOWN, BP_E_ENDPOINT_ACCESS. */
BP_MUST_CHECK int bpi_route_set_access(struct bpi_route *route,
                                       unsigned endpoint,
                                       enum bpi_route_access access,
                                       bp_usec now_us);
BP_MUST_CHECK int
bpi_route_set_limit(struct bpi_route *route, unsigned endpoint, unsigned limit, bp_usec now_us);
BP_MUST_CHECK int bpi_route_set_service(struct bpi_route *route,
                                        unsigned endpoint,
                                        enum bpi_route_service service,
                                        bp_usec now_us);

struct bpi_route_weight {
    unsigned endpoint;
    unsigned
        weight; /* 1 .. BPI_ROUTE_WEIGHT_MAX; for weighted_round_robin, performance_based and adaptive */
};
/* All or none. Errors: BP_E_ENDPOINTS_EMPTY, BP_E_ENDPOINT_UNKNOWN, BP_E_WEIGHT. */
BP_MUST_CHECK int bpi_route_set_weights(struct bpi_route *route,
                                        const struct bpi_route_weight *weights,
                                        unsigned count);

/* What happens. A number of an endpoint that isn't there is ignored: news may come late. */

/* A connection was opened and logged on, or a question was answered. */
void bpi_route_reached(struct bpi_route *route, unsigned endpoint, bp_usec now_us);
/* No connection could be made, or it counts as dead; not: a log-in was refused. Ejects at once. */
void bpi_route_unreached(struct bpi_route *route, unsigned endpoint, bp_usec now_us);
/* It is well, somebody says: it is FIT without probes. */
void bpi_route_restore(struct bpi_route *route, unsigned endpoint, bp_usec now_us);
/* The transaction of a ticket begins: right after the pick, under the same lock. */
void bpi_route_started(struct bpi_route *route, struct bpi_route_ticket *ticket, bp_usec now_us);
/* Once for each started one. */
void bpi_route_finished(struct bpi_route *route,
                        struct bpi_route_ticket *ticket,
                        enum bpi_route_outcome outcome,
                        bp_usec now_us);
/* The endpoint issued a bookmark (LIST). */
void bpi_route_issued(struct bpi_route *route,
                      const struct bpi_route_ticket *ticket,
                      uint64_t bookmark);
/* It said how many transactions it has, ours included (set_shared). */
void bpi_route_reported(struct bpi_route *route,
                        unsigned endpoint,
                        unsigned running,
                        bp_usec now_us);
/* A routing table came. Endpoints that aren't there are left out of it. */
void bpi_route_table_came(struct bpi_route *route,
                          const struct bpi_route_table *answer,
                          bp_usec now_us);
/* At least each second; each 250 ms, a server that stalls is found within 0.75 s. */
void bpi_route_tick(struct bpi_route *route, bp_usec now_us);

/* Questions. */

/* Among `candidates`. *ret_ticket is for bpi_route_started().
 * Errors: BP_E_ENDPOINTS_EMPTY (no candidate, or the cluster has none), BP_E_ENDPOINT_UNKNOWN (none of them is there),
 * BP_E_NO_ROUTES (CLUSTER: bpi_route_tables_fetch() names the database), BP_E_NO_WRITER, BP_E_CIRCUIT_OPEN,
 * BP_E_NO_ENDPOINT (none is fit now). */
BP_MUST_CHECK int bpi_route_pick(struct bpi_route *route,
                                 uint64_t candidates,
                                 const struct bpi_route_wish *wish,
                                 bp_usec now_us,
                                 struct bpi_route_ticket *ret_ticket);
/* All that may take it now, so that an idle link to one of them can be taken; errors as above. */
BP_MUST_CHECK int bpi_route_fit(struct bpi_route *route,
                                uint64_t candidates,
                                const struct bpi_route_wish *wish,
                                bp_usec now_us,
                                uint64_t *ret_endpoints);
/* A ticket for one of those that bpi_route_fit() named, where somebody else chose. */
void bpi_route_ticket(struct bpi_route *route,
                      unsigned endpoint,
                      const struct bpi_route_wish *wish,
                      struct bpi_route_ticket *ret_ticket);
/* What one more transaction costs there, by the strategy; lower is better, comparable among endpoints only. INFINITY where
 * none may go, 0 everywhere for round_robin. */
double bpi_route_cost(const struct bpi_route *route, unsigned endpoint, bp_usec now_us);
/* The same for all in `endpoints`, each at its endpoint's place in an array of BPI_ROUTE_ENDPOINTS_MAX. Where one can't be told
 * from the least, by what is known, it is that: who compares them is free to choose. */
void bpi_route_costs(const struct bpi_route *route,
                     uint64_t endpoints,
                     bp_usec now_us,
                     double *ret_costs);
/* Those that the owner has to connect to, one try at a time each, because nobody else goes there: _reached or _unreached
 * is the answer. */
uint64_t bpi_route_to_check(const struct bpi_route *route);
bool bpi_route_next_event(struct bpi_route *route, struct bpi_route_event *ret_event);
/* Walks all and asserts the rules of ejection and what the sets say; for tests. */
void bpi_route_check(const struct bpi_route *route);

#endif
