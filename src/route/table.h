/* Routing tables of a Neo4j cluster: which endpoints read, write and route for a database, and when to ask anew.
 *
 * A table is asked for with ROUTE; this file keeps the answers and says who is to be asked for, the owner asks.
 * States of a table -> what leads on:
 *   UNKNOWN -> bpi_route_tables_put -> FRESH
 *   FRESH   -> its time to live is over | a server said that it doesn't lead, or seems dead | a change of endpoints -> STALE
 *   STALE   -> put -> FRESH           STALE -> as long again as it was to live -> UNKNOWN (refused until it is asked)
 * A STALE one is used while it is asked for anew: who doesn't lead any more says so itself, so it costs a retry, never a
 * wrong answer.
 *
 * One fetch for a database is out at a time (bpi_route_tables_fetch). One that fails is tried again after a growing time;
 * one that was never ended counts as failed after BPI_ROUTE_TABLE_FETCH_US.
 *
 * A database is known by a hash of its name. The home database of a user (no name in BEGIN) is found by an
 * alias, which a ROUTE without a name taught. Bounded: the BPI_ROUTE_TABLES databases and BPI_ROUTE_HOMES users that were
 * asked about last.
 *
 * Pure: the time is handed in. Lock: the owner's.
 */
#ifndef BPI_ROUTE_TABLE_H
#define BPI_ROUTE_TABLE_H

#include <boltpool/types.h>

#include <stdbool.h>

/* Doubled, 6 KiB more; Neo4j serves at most 100 databases by default. */
#define BPI_ROUTE_TABLES 128
#define BPI_ROUTE_HOMES  256
/* Waits between fetches that fail: doubled each time, between these. */
#define BPI_ROUTE_TABLE_RETRY_US     ((bp_usec)100000)
#define BPI_ROUTE_TABLE_RETRY_MAX_US (5 * BP_USEC_PER_SECOND)
/* A fetch that takes longer is lost: ROUTE is a small query. */
#define BPI_ROUTE_TABLE_FETCH_US (10 * BP_USEC_PER_SECOND)
/* A table that lives longer than a day is taken for one that never ends. */
#define BPI_ROUTE_TABLE_TTL_MAX_US (86400 * BP_USEC_PER_SECOND)

enum bpi_route_table_state {
    BPI_ROUTE_TABLE_UNKNOWN,
    BPI_ROUTE_TABLE_FRESH,
    BPI_ROUTE_TABLE_STALE,
};

struct bpi_route_table {
    bool is_used;
    bool is_known;   /* somebody answered once */
    bool is_stale;   /* marked, before its time */
    bool is_fetched; /* a fetch is out */
    uint64_t database;
    uint64_t readers; /* of endpoints, as bits */
    uint64_t writers;
    uint64_t routers;
    bp_usec put_us;
    bp_usec ttl_us;
    bp_usec asked_us;  /* least recently used goes */
    bp_usec fetch_us;  /* when the last fetch began */
    bp_usec retry_us;  /* not before */
    unsigned failures; /* of fetches, in a row */
};

struct bpi_route_home {
    bool is_used;
    uint64_t user;
    uint64_t database;
    bp_usec asked_us;
    bp_usec until_us;
};

/* Zeroed = none is known. */
struct bpi_route_tables {
    struct bpi_route_table tables[BPI_ROUTE_TABLES];
    struct bpi_route_home homes[BPI_ROUTE_HOMES];
    unsigned last; /* where the last one was found: most work is for one database */
};

/* The table of a database, whatever its state; NULL = never heard of. Borrowed until the next call. */
const struct bpi_route_table *bpi_route_tables_get(const struct bpi_route_tables *tables,
                                                   uint64_t database);
enum bpi_route_table_state bpi_route_table_state(const struct bpi_route_table *table,
                                                 bp_usec now_us);
/* The same, for work: it is remembered that it is wanted, so that it is asked for. Never NULL. */
const struct bpi_route_table *
bpi_route_tables_want(struct bpi_route_tables *tables, uint64_t database, bp_usec now_us);
/* A server's answer, with which its fetch ends. A time to live of 0 is stale at once. */
void bpi_route_tables_put(struct bpi_route_tables *tables,
                          const struct bpi_route_table *answer,
                          bp_usec now_us);
/* A database to ask for now; the caller does, and ends it by _put or _fetch_failed. False = there is none. */
bool bpi_route_tables_fetch(struct bpi_route_tables *tables,
                            bp_usec now_us,
                            uint64_t *ret_database);
void bpi_route_tables_fetch_failed(struct bpi_route_tables *tables,
                                   uint64_t database,
                                   bp_usec now_us);
/* The endpoint said that it doesn't lead this database. */
void bpi_route_tables_not_a_leader(struct bpi_route_tables *tables,
                                   uint64_t database,
                                   unsigned endpoint);
/* The endpoint seems dead: where it leads, another one may lead by now. */
void bpi_route_tables_doubt(struct bpi_route_tables *tables, unsigned endpoint);
/* Servers came, went or changed: all are asked for anew. */
void bpi_route_tables_changed(struct bpi_route_tables *tables);
void bpi_route_tables_remove_endpoint(struct bpi_route_tables *tables, unsigned endpoint);

void bpi_route_tables_set_home(struct bpi_route_tables *tables,
                               uint64_t user,
                               uint64_t database,
                               bp_usec until_us,
                               bp_usec now_us);
/* The database that a user's work without a name goes to. False = it has to be asked for. */
bool bpi_route_tables_home(struct bpi_route_tables *tables,
                           uint64_t user,
                           bp_usec now_us,
                           uint64_t *ret_database);

#endif
