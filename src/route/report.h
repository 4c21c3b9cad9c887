/* What an endpoint itself, or a probe of it, says about its load, where several poolers share it.
 *
 * Local counts mislead then: an endpoint that has nothing from us may be full of others' work. So the corrected load is
 *
 *   max(local, reported + (local - local when it was reported))
 *
 * for at most BPI_ROUTE_REPORT_AGE_US and BPI_ROUTE_REPORT_USES picks of that endpoint, because old news send everybody
 * to the same place (Prequal, NSDI 2024, has the same two bounds). A single pooler needs none of it and leaves it off.
 *
 * Pure: the time is handed in. Lock: the owner's.
 */
#ifndef BPI_ROUTE_REPORT_H
#define BPI_ROUTE_REPORT_H

#include <boltpool/types.h>

/* Prequal's age. Doubled, what has ended meanwhile is avoided twice as long. */
#define BPI_ROUTE_REPORT_AGE_US BP_USEC_PER_SECOND
/* Doubled, poolers that got the same report herd twice as much. */
#define BPI_ROUTE_REPORT_USES 3

/* Zeroed = nothing was reported. */
struct bpi_route_report {
    unsigned running; /* as reported, ours included */
    unsigned local;   /* ours at that time */
    unsigned uses;    /* left */
    bp_usec at_us;
};

void bpi_route_report_set(struct bpi_route_report *report,
                          unsigned running,
                          unsigned local,
                          bp_usec now_us);
/* One pick was made by it. */
void bpi_route_report_used(struct bpi_route_report *report);
/* The corrected load, where we have `local` transactions there now. */
unsigned
bpi_route_report_running(const struct bpi_route_report *report, unsigned local, bp_usec now_us);

#endif
