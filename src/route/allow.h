/* Who may take a transaction: roles, bookmarks, services, states and circuits. route.h has the rules. */
#ifndef BPI_ROUTE_ALLOW_H
#define BPI_ROUTE_ALLOW_H

#include <boltpool/types.h>

struct bpi_route;
struct bpi_route_wish;

/* *ret_endpoints: those that may take it now, never empty; *ret_probes: those of them that wait for a probe.
 * Errors: as bpi_route_pick(). */
BP_MUST_CHECK int bpi_route_allow(struct bpi_route *route,
                                  uint64_t candidates,
                                  const struct bpi_route_wish *wish,
                                  bp_usec now_us,
                                  uint64_t *ret_endpoints,
                                  uint64_t *ret_probes);

#endif
