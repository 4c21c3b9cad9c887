/* The strategies: one endpoint out of a set, all of which may take the work. A full scan each, because a pooler knows its
 * own load of all of them exactly; choosing between two at random, as clients with thousands of servers do, is worse
 * (bench/balance).
 */
#ifndef BPI_ROUTE_PICK_H
#define BPI_ROUTE_PICK_H

#include <boltpool/types.h>

struct bpi_route;

/* `among` isn't empty and holds only endpoints that are there. Moves the turns of the round robins. */
unsigned bpi_route_choose(struct bpi_route *route, uint64_t among, bp_usec now_us);
/* As bpi_route_cost(), without asking whether it may be used. */
/* Those of all in `among`, each at its endpoint's place; where one can't be told from the least, it is that. */
void bpi_route_choose_costs(const struct bpi_route *route,
                            uint64_t among,
                            bp_usec now_us,
                            double *ret_costs);
double bpi_route_choose_cost(const struct bpi_route *route, unsigned endpoint, bp_usec now_us);

#endif
