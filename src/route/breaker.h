/* A circuit breaker for each endpoint and database: one database may be broken where the others of its server are well.
 *
 * States of a circuit -> what leads on:
 *   CLOSED    -> BPI_ROUTE_BREAKER_ROW failures in a row, or fewer good than bad of at least BPI_ROUTE_BREAKER_MIN lately -> OPEN
 *   OPEN      -> its time-out is over -> HALF_OPEN: one transaction at a time
 *   HALF_OPEN -> it ended well -> CLOSED (forgotten)     HALF_OPEN -> badly -> OPEN, for longer
 *   any -> forgotten, as the least recently used of its set -> CLOSED
 * Failures are the server's: not the client's, not overload, not a lost connection (which is the endpoint's), not a
 * switch of leaders.
 *
 * A circuit is kept from its first failure on, so well databases cost nothing. Bounded: BPI_ROUTE_BREAKERS in
 * sets of BPI_ROUTE_BREAKER_WAYS, the least recently used of a set goes, one that is CLOSED before others.
 *
 * Pure: time and random number are handed in. Lock: the owner's.
 */
#ifndef BPI_ROUTE_BREAKER_H
#define BPI_ROUTE_BREAKER_H

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_ROUTE_BREAKERS     256
#define BPI_ROUTE_BREAKER_WAYS 8
/* Finagle's five. Doubled, twice as many clients see the failure before it opens. */
#define BPI_ROUTE_BREAKER_ROW 5
/* Outcomes below which a share means nothing. */
#define BPI_ROUTE_BREAKER_MIN 20.0
/* Outcomes fade by 1/e in it. */
#define BPI_ROUTE_BREAKER_FADE_US (10 * BP_USEC_PER_SECOND)
/* The n-th time-out is this x 2^(n - 1), between half and the whole, at most the other. */
#define BPI_ROUTE_BREAKER_US     BP_USEC_PER_SECOND
#define BPI_ROUTE_BREAKER_MAX_US (60 * BP_USEC_PER_SECOND)

enum bpi_route_circuit_state {
    BPI_ROUTE_CIRCUIT_CLOSED,
    BPI_ROUTE_CIRCUIT_OPEN,
    BPI_ROUTE_CIRCUIT_HALF_OPEN,
};

struct bpi_route_circuit {
    bool is_used;
    enum bpi_route_circuit_state state;
    unsigned endpoint;
    uint64_t database;
    bp_usec used_us;
    bp_usec until_us; /* OPEN */
    unsigned times;
    unsigned row;   /* failures in a row */
    uint32_t probe; /* HALF_OPEN: the number of the transaction that is out; 0 = none */
    double good;    /* as of used_us */
    double bad;
};

/* Zeroed = all closed. */
struct bpi_route_breaker {
    struct bpi_route_circuit circuits[BPI_ROUTE_BREAKERS];
    unsigned used_count;
    unsigned broken_count; /* of them not CLOSED */
    uint32_t probe_last;
};

/* A transaction may go there now. OPEN becomes HALF_OPEN by bpi_route_breaker_started(), so this changes nothing. */
bool bpi_route_breaker_may(const struct bpi_route_breaker *breaker,
                           unsigned endpoint,
                           uint64_t database,
                           bp_usec now_us);
/* One goes there. Its number, if it is the probe of a circuit; else 0. */
uint32_t bpi_route_breaker_started(struct bpi_route_breaker *breaker,
                                   unsigned endpoint,
                                   uint64_t database,
                                   bp_usec now_us);

enum bpi_route_breaker_step {
    BPI_ROUTE_BREAKER_NOTHING,
    BPI_ROUTE_BREAKER_OPENED, /* *ret_circuit says until when, and its figures */
    BPI_ROUTE_BREAKER_CLOSED,
};

/* It ended. `unit` is random in [0, 1). *ret_circuit is set unless the answer is NOTHING. */
enum bpi_route_breaker_step bpi_route_breaker_outcome(struct bpi_route_breaker *breaker,
                                                      unsigned endpoint,
                                                      uint64_t database,
                                                      bool is_good,
                                                      uint32_t probe,
                                                      double unit,
                                                      bp_usec now_us,
                                                      struct bpi_route_circuit *ret_circuit);
/* It ended, and says nothing about the database. */
void bpi_route_breaker_void(struct bpi_route_breaker *breaker,
                            unsigned endpoint,
                            uint64_t database,
                            uint32_t probe);
/* The endpoint is another one now. */
void bpi_route_breaker_forget(struct bpi_route_breaker *breaker, unsigned endpoint);
/* NULL = nothing is known, which is CLOSED. */
const struct bpi_route_circuit *bpi_route_breaker_get(const struct bpi_route_breaker *breaker,
                                                      unsigned endpoint,
                                                      uint64_t database);

#endif
