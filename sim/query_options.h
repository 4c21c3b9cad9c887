/* The pairs of a query's "sim:" comment; query.h lists them. */
#ifndef BPI_SIM_QUERY_OPTIONS_H
#define BPI_SIM_QUERY_OPTIONS_H

#include <boltpool/types.h>

struct bpi_sim_query;

/* Reads a comment's inside into `query`; one without "sim:" is none of ours. Errors: BP_E_CONFIG for an
 * unknown key or a wrong value, because a test that misspells a key should fail. */
BP_MUST_CHECK int
bpi_sim_query_options_read(const char *text, size_t size, struct bpi_sim_query *query);

#endif
