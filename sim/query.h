/* What a simulated server understands of a query's text.
 *
 * A few forms of Cypher are answered truly, the rest with rows of integers:
 *   RETURN 1, 'a', $p AS x          literals and parameters, a parameter's bytes verbatim
 *   UNWIND range(a, b) AS x RETURN x
 *   CREATE (:T {id: $id})           the id goes to the ledger when the transaction commits
 *   SHOW CURRENT USER               who is logged on
 *   CALL dbms.routing.getRoutingTable($context, $db)
 * A comment asks for more, as pairs that may stand in any order:
 *   / * sim: rows=1000 bytes=200 ms=20 * /
 *   rows=n       that many rows                bytes=n     each with n more bytes
 *   ms=x         service time of this query    hang=1      no answer until RESET
 *   service=x    the same as fixed:5ms, exp:5ms, lognormal:5ms:0.5
 *   fail=CODE    FAILURE instead of a result   fail_at_row=n   ... once n rows are sent
 *   close=1      the connection dies at once   drop_after=n    ... after n more bytes were sent
 *   notify=1     a notification (or status) in the summary
 * (written there without the blanks between star and slash).
 */
#ifndef BPI_SIM_QUERY_H
#define BPI_SIM_QUERY_H

#include "base/buffer.h"
#include "bolt/message.h"
#include "sim/service.h"

#include <stdbool.h>

/* More columns, or a longer id or code, make the query fail. */
#define BPI_SIM_COLUMNS_MAX 64
#define BPI_SIM_ID_SIZE     64
#define BPI_SIM_CODE_SIZE   96

enum bpi_sim_query_type {
    BPI_SIM_QUERY_READ,
    BPI_SIM_QUERY_WRITE,
    BPI_SIM_QUERY_READ_WRITE,
    BPI_SIM_QUERY_SCHEMA,
};

/* One column of every row: bytes of `values`, or the row's number where size is 0. */
struct bpi_sim_column {
    size_t offset;
    size_t size;
};

struct bpi_sim_query {
    enum bpi_sim_query_type type;
    struct bpi_buffer fields; /* names, one encoded string after the other */
    struct bpi_buffer values;
    struct bpi_sim_column columns[BPI_SIM_COLUMNS_MAX];
    uint32_t column_count;
    uint64_t row_count;
    int64_t row_first;  /* number of the first row */
    uint32_t row_bytes; /* of a last column, 0 = none */
    struct bpi_sim_service service;
    bool has_service;    /* else the server's own distribution */
    int64_t fail_at_row; /* -1: `fail_code` instead of any row */
    int64_t drop_after;  /* -1: no */
    bool hang;
    bool close;
    bool notify;
    char fail_code[BPI_SIM_CODE_SIZE];
    char id[BPI_SIM_ID_SIZE]; /* empty: none */
};

/* What a query may ask about its session. */
struct bpi_sim_query_context {
    const char *user;
    const char *address; /* the server's own "host:port" */
    struct bpi_bolt_span parameters;
};

/* Works on half-read and on done objects. */
void bpi_sim_query_done(struct bpi_sim_query *query);
/* Reads the text. Errors: BP_E_SERVER_FAILURE: *reterr_code and *reterr_message are static and say what
 * the server answers; BP_E_NO_MEMORY. `query` is to be done in any case. */
BP_MUST_CHECK int bpi_sim_query_read(struct bpi_bolt_text text,
                                     const struct bpi_sim_query_context *context,
                                     struct bpi_sim_query *query,
                                     const char **reterr_code,
                                     const char **reterr_message);
/* The "address" of a routing context (an encoded map), with a port added where it has none; else
 * `fallback`. Returns `into`. */
const char *bpi_sim_routing_address(struct bpi_bolt_span context,
                                    const char *fallback,
                                    char *into,
                                    size_t into_size);

#endif
