/* A route on a clock that the test moves, as the stories of its endpoints begin with it. */
#ifndef TESTS_UNIT_ROUTE_ROUTES_H
#define TESTS_UNIT_ROUTE_ROUTES_H

#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START (1000 * BP_USEC_PER_SECOND)
#define ALL   UINT64_MAX

static struct bpi_route route;
static bp_usec now_us;

/* So many endpoints for eight links each. Those of a list are copies, all but the first. */
static inline void start(enum bpi_route_kind kind, unsigned count)
{
    now_us = START;
    bpi_route_init(&route, kind, 42);
    for (unsigned i = 0; i < count; i++) {
        enum bpi_route_access access =
            kind == BPI_ROUTE_LIST && i > 0 ? BPI_ROUTE_READ_ONLY : BPI_ROUTE_READ_WRITE;
        assert_int_equal(bpi_route_add(&route, i, access, 8, now_us), 0);
    }
}

#endif
