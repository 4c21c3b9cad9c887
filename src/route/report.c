/* See report.h. */
#include "route/report.h"

void bpi_route_report_set(struct bpi_route_report *report,
                          unsigned running,
                          unsigned local,
                          bp_usec now_us)
{
    *report = (struct bpi_route_report){
        .running = running, .local = local, .uses = BPI_ROUTE_REPORT_USES, .at_us = now_us};
}

void bpi_route_report_used(struct bpi_route_report *report)
{
    if (report->uses > 0) {
        report->uses--;
    }
}

unsigned
bpi_route_report_running(const struct bpi_route_report *report, unsigned local, bp_usec now_us)
{
    if (report->uses == 0 ||
        (now_us > report->at_us && now_us - report->at_us > BPI_ROUTE_REPORT_AGE_US)) {
        return local;
    }
    uint64_t others = report->running > report->local ? report->running - report->local : 0;
    uint64_t all = others + local;
    return all < UINT32_MAX ? (unsigned)all : UINT32_MAX;
}
