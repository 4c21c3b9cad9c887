/* The rules by which an endpoint is picked among those that are fit; route.h says who is, pick.c has the rules. */
#ifndef BPI_ROUTE_STRATEGY_H
#define BPI_ROUTE_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>

enum bpi_route_strategy {
    BPI_ROUTE_ADAPTIVE,             /* the shortest expected delay: load.h; the default */
    BPI_ROUTE_ROUND_ROBIN,          /* one after the other */
    BPI_ROUTE_LEAST_CONNECTIONS,    /* the fewest transactions, as Neo4j's drivers */
    BPI_ROUTE_WEIGHTED_ROUND_ROBIN, /* in proportion to the weights, evenly spread */
    BPI_ROUTE_PERFORMANCE_BASED,    /* at random, in proportion to success over latency */
};

#define BPI_ROUTE_STRATEGY_COUNT 5

/* "adaptive" ... */
const char *bpi_route_strategy_name(enum bpi_route_strategy strategy);
/* The strategy of that name, which need not be zero-terminated. False for another word. */
bool bpi_route_strategy_parse(const char *name, size_t size, enum bpi_route_strategy *ret_strategy);

#endif
