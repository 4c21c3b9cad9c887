/* See event.h. */
#include "route/event.h"

void bpi_route_events_push(struct bpi_route_events *events, const struct bpi_route_event *event)
{
    if (events->pushed - events->drained == BPI_ROUTE_EVENTS) {
        events->drained++;
        events->lost_total++;
    }
    events->ring[events->pushed++ % BPI_ROUTE_EVENTS] = *event;
}

bool bpi_route_events_pop(struct bpi_route_events *events, struct bpi_route_event *ret_event)
{
    if (events->drained == events->pushed) {
        return false;
    }
    *ret_event = events->ring[events->drained++ % BPI_ROUTE_EVENTS];
    return true;
}

const char *bpi_route_event_name(enum bpi_route_event_kind kind)
{
    static const char *const names[] = {
        [BPI_ROUTE_EVENT_EJECTED] = "ejected",
        [BPI_ROUTE_EVENT_PROBING] = "probing",
        [BPI_ROUTE_EVENT_RETURNED] = "returned",
        [BPI_ROUTE_EVENT_PANIC] = "panic",
        [BPI_ROUTE_EVENT_PANIC_OVER] = "panic_over",
        [BPI_ROUTE_EVENT_CIRCUIT_OPEN] = "circuit_open",
        [BPI_ROUTE_EVENT_CIRCUIT_CLOSED] = "circuit_closed",
    };
    return names[kind];
}

const char *bpi_route_reason_name(enum bpi_route_reason reason)
{
    static const char *const names[] = {
        [BPI_ROUTE_REASON_NONE] = "none",         [BPI_ROUTE_REASON_CONNECTION] = "connection",
        [BPI_ROUTE_REASON_LOST] = "lost",         [BPI_ROUTE_REASON_FAILURES] = "failures",
        [BPI_ROUTE_REASON_LATENCY] = "latency",   [BPI_ROUTE_REASON_STALLED] = "stalled",
        [BPI_ROUTE_REASON_PROBE] = "probe",       [BPI_ROUTE_REASON_TIME] = "time",
        [BPI_ROUTE_REASON_ANSWERED] = "answered", [BPI_ROUTE_REASON_PASSED] = "passed",
        [BPI_ROUTE_REASON_HALF] = "half",         [BPI_ROUTE_REASON_WRITER] = "writer",
        [BPI_ROUTE_REASON_PANIC] = "panic",       [BPI_ROUTE_REASON_ORDERED] = "ordered",
    };
    return names[reason];
}
