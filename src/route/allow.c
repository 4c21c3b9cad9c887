/* See allow.h. */
#include "route/allow.h"

#include "route/route.h"

static uint64_t bit(unsigned endpoint)
{
    return UINT64_C(1) << endpoint;
}

/* Endpoints that take work in their state: FIT, or PROBING with no probe out. */
static uint64_t usable(const struct bpi_route *route)
{
    uint64_t set = route->present & route->fit;
    for (uint64_t left = route->present & route->probing; left != 0; left &= left - 1) {
        unsigned endpoint = (unsigned)__builtin_ctzll(left);
        set |= bpi_route_eject_may_probe(&route->endpoints[endpoint].eject) ? bit(endpoint) : 0;
    }
    return set;
}

/* The one endpoint that issued all bookmarks and takes what they bind to it; 0 = the writer's work. */
static uint64_t issuer_of(struct bpi_route *route, const struct bpi_route_wish *wish)
{
    uint64_t set = 0;
    for (unsigned i = 0; i < wish->bookmarks_count; i++) {
        unsigned endpoint;
        uint32_t generation;
        if (!bpi_route_bookmarks_find(&route->bookmarks, wish->bookmarks[i], &endpoint,
                                      &generation) ||
            generation != route->endpoints[endpoint].generation) {
            return 0;
        }
        set |= bit(endpoint);
    }
    return (set & (set - 1)) == 0 ? set & (route->ready | route->drained) : 0;
}

/* Those whose role it is, in service, in any state. `*ret_other`: who stands in where none of them is fit. */
static int list_role(struct bpi_route *route,
                     const struct bpi_route_wish *wish,
                     uint64_t *ret_role,
                     uint64_t *ret_other)
{
    uint64_t writers = route->writers & route->ready;
    *ret_other = 0;
    if (wish->bookmarks_count == 0) {
        *ret_role = wish->is_write ? writers : route->ready;
        return wish->is_write && writers == 0 ? BP_E_NO_WRITER : 0;
    }
    uint64_t issuer = issuer_of(route, wish);
    if (wish->is_write) {
        /* Its own bookmarks may still be shown to a writer that is drained. */
        writers |= issuer & route->writers;
        issuer = 0;
    }
    *ret_role = issuer != 0 ? issuer : writers;
    *ret_other = issuer != 0 ? writers : 0;
    return (*ret_role | *ret_other) == 0 ? BP_E_NO_WRITER : 0;
}

static int cluster_role(struct bpi_route *route,
                        const struct bpi_route_wish *wish,
                        bp_usec now_us,
                        uint64_t *ret_role,
                        uint64_t *ret_other)
{
    const struct bpi_route_table *table =
        bpi_route_tables_want(&route->tables, wish->database, now_us);
    if (bpi_route_table_state(table, now_us) == BPI_ROUTE_TABLE_UNKNOWN) {
        return BP_E_NO_ROUTES;
    }
    uint64_t writers = table->writers & route->ready;
    *ret_role = wish->is_write ? writers : table->readers & route->ready;
    *ret_other = wish->is_write ? 0 : writers;
    return wish->is_write && writers == 0 ? BP_E_NO_WRITER : 0;
}

static int role(struct bpi_route *route,
                const struct bpi_route_wish *wish,
                bp_usec now_us,
                uint64_t *ret_role,
                uint64_t *ret_other)
{
    switch (route->kind) {
    case BPI_ROUTE_LIST:
        return list_role(route, wish, ret_role, ret_other);
    case BPI_ROUTE_CLUSTER:
        return cluster_role(route, wish, now_us, ret_role, ret_other);
    case BPI_ROUTE_EQUAL:
        break;
    }
    *ret_role = route->ready;
    *ret_other = 0;
    return 0;
}

static uint64_t
closed_circuits(const struct bpi_route *route, uint64_t set, uint64_t database, bp_usec now_us)
{
    if (route->breaker.broken_count == 0) {
        return set;
    }
    uint64_t closed = 0;
    for (uint64_t left = set; left != 0; left &= left - 1) {
        unsigned endpoint = (unsigned)__builtin_ctzll(left);
        closed |=
            bpi_route_breaker_may(&route->breaker, endpoint, database, now_us) ? bit(endpoint) : 0;
    }
    return closed;
}

int bpi_route_allow(struct bpi_route *route,
                    uint64_t candidates,
                    const struct bpi_route_wish *wish,
                    bp_usec now_us,
                    uint64_t *ret_endpoints,
                    uint64_t *ret_probes)
{
    if (candidates == 0 || route->present == 0) {
        return BP_E_ENDPOINTS_EMPTY;
    }
    if ((candidates & route->present) == 0) {
        return BP_E_ENDPOINT_UNKNOWN;
    }
    uint64_t wanted;
    uint64_t other;
    int error = role(route, wish, now_us, &wanted, &other);
    if (error != 0) {
        return error;
    }
    uint64_t may = usable(route);
    /* Nobody can stand in for the one writer or the issuer of a bookmark, so its circuit keeps nobody out. */
    bool is_only =
        (wish->is_write || (route->kind == BPI_ROUTE_LIST && wish->bookmarks_count > 0)) &&
        (wanted & (wanted - 1)) == 0;
    for (int i = 0; i < 2; i++) {
        uint64_t set = (i == 0 ? wanted : other) & may;
        uint64_t closed = is_only ? set : closed_circuits(route, set, wish->database, now_us);
        uint64_t well = closed & ~route->spared;
        closed = well != 0 ? well : closed;
        if (closed != 0) {
            /* Where they are fit but no candidates, nobody stands in: the caller waits. */
            *ret_endpoints = closed & candidates;
            *ret_probes = closed & candidates & route->probing;
            return *ret_endpoints != 0 ? 0 : BP_E_NO_ENDPOINT;
        }
        error = set != 0 ? BP_E_CIRCUIT_OPEN : error;
    }
    return error != 0 ? error : BP_E_NO_ENDPOINT;
}
