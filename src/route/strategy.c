/* See strategy.h. */
#include "route/strategy.h"

#include <string.h>

static const char *const names[BPI_ROUTE_STRATEGY_COUNT] = {
    [BPI_ROUTE_ADAPTIVE] = "adaptive",
    [BPI_ROUTE_ROUND_ROBIN] = "round_robin",
    [BPI_ROUTE_LEAST_CONNECTIONS] = "least_connections",
    [BPI_ROUTE_WEIGHTED_ROUND_ROBIN] = "weighted_round_robin",
    [BPI_ROUTE_PERFORMANCE_BASED] = "performance_based",
};

const char *bpi_route_strategy_name(enum bpi_route_strategy strategy)
{
    return names[strategy];
}

bool bpi_route_strategy_parse(const char *name, size_t size, enum bpi_route_strategy *ret_strategy)
{
    for (int i = 0; i < BPI_ROUTE_STRATEGY_COUNT; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0) {
            *ret_strategy = (enum bpi_route_strategy)i;
            return true;
        }
    }
    return false;
}
