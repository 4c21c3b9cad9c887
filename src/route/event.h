/* What happened to endpoints, for the log, metrics and whoever drains it: each change of state with its reason and
 * the figures that led to it.
 *
 * A ring of BPI_ROUTE_EVENTS: the owner drains it after each call that may fill it, or at least at each tick. Where it
 * doesn't, the oldest are lost and counted, never the newest. Lock: the owner's.
 */
#ifndef BPI_ROUTE_EVENT_H
#define BPI_ROUTE_EVENT_H

#include <boltpool/types.h>

#include <stdbool.h>

/* All 64 endpoints may change at one tick. Doubled, it costs 4 KiB. */
#define BPI_ROUTE_EVENTS 64

enum bpi_route_event_kind {
    BPI_ROUTE_EVENT_EJECTED,
    BPI_ROUTE_EVENT_PROBING,  /* its time is over: one transaction or check at a time */
    BPI_ROUTE_EVENT_RETURNED, /* it is fit again */
    BPI_ROUTE_EVENT_PANIC,    /* most look sick, so all are used and none is ejected */
    BPI_ROUTE_EVENT_PANIC_OVER,
    BPI_ROUTE_EVENT_CIRCUIT_OPEN, /* of an endpoint and a database */
    BPI_ROUTE_EVENT_CIRCUIT_CLOSED,
};

enum bpi_route_reason {
    BPI_ROUTE_REASON_NONE,
    /* Why it is sick. `figure` and `against` of the event: */
    BPI_ROUTE_REASON_CONNECTION, /* couldn't be reached: failures in a row, 0 */
    BPI_ROUTE_REASON_LOST,       /* connections were lost: in a row, 0 */
    BPI_ROUTE_REASON_FAILURES,   /* share of successes; what it had to be */
    BPI_ROUTE_REASON_LATENCY,    /* typical latency in us; the median of the others */
    BPI_ROUTE_REASON_STALLED,    /* transactions without an answer; us since the last one */
    BPI_ROUTE_REASON_PROBE,      /* it failed on its way back: how often it was ejected, 0 */
    /* Why it comes back. */
    BPI_ROUTE_REASON_TIME,     /* the time-out is over: the time-out in us, 0 */
    BPI_ROUTE_REASON_ANSWERED, /* it was reached though it was thought that it couldn't be */
    BPI_ROUTE_REASON_PASSED,   /* so many probes were good */
    BPI_ROUTE_REASON_HALF,     /* too few would be left: ejected; in service */
    BPI_ROUTE_REASON_WRITER,   /* nobody else takes writes */
    BPI_ROUTE_REASON_PANIC,    /* sick; in service */
    BPI_ROUTE_REASON_ORDERED,  /* somebody said so */
};

struct bpi_route_event {
    enum bpi_route_event_kind kind;
    enum bpi_route_reason reason;
    unsigned endpoint; /* none for PANIC and PANIC_OVER */
    uint64_t database; /* CIRCUIT_*: the key */
    bp_usec at_us;
    bp_usec until_us; /* EJECTED, CIRCUIT_OPEN: when it is tried again at the latest */
    double figure;
    double against;
};

/* Zeroed = empty. */
struct bpi_route_events {
    struct bpi_route_event ring[BPI_ROUTE_EVENTS];
    uint64_t pushed;
    uint64_t drained;
    uint64_t lost_total;
};

void bpi_route_events_push(struct bpi_route_events *events, const struct bpi_route_event *event);
/* The oldest one that wasn't drained yet. */
bool bpi_route_events_pop(struct bpi_route_events *events, struct bpi_route_event *ret_event);
/* "ejected", "latency" ... for logs and metrics. */
const char *bpi_route_event_name(enum bpi_route_event_kind kind);
const char *bpi_route_reason_name(enum bpi_route_reason reason);

#endif
