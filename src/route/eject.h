/* Whether one endpoint is fit, ejected, or on its way back; and what makes it look sick.
 *
 * States -> what leads on (bpi_route_eject_*):
 *   FIT     -> _begin  -> EJECTED
 *   EJECTED -> time is over (_tick), or a sign of life from one that seemed dead (_answered, _outcome) -> PROBING
 *   PROBING -> BPI_ROUTE_PROBES good probes in a row -> FIT         PROBING -> a bad one -> EJECTED, for longer
 *   EJECTED | PROBING -> _end (a rule of the whole set, route.h) -> FIT
 *
 * This file knows one endpoint. Who may be ejected at all (never more than half, never the only writer) is decided in
 * route.c, which looks at all.
 *
 * Time-outs grow: BPI_ROUTE_EJECT_US x 2^(times - 1) up to BPI_ROUTE_EJECT_MAX_US, between half and the whole of that at
 * random, so that several poolers don't come back together. `times` starts anew once it was fit for twice the last one.
 *
 * While it is PROBING, one probe is out at a time: a transaction, which carries a number, so that one that was sent
 * before isn't taken for it. One that seemed dead (it couldn't be reached, or stalled) gets transactions only after the
 * owner has reached it (`is_reached`), so no client pays for the first try; reaching it is a good probe.
 *
 * Signs of sickness: it couldn't be reached, once; BPI_ROUTE_LOST_MAX connections in a row that broke under a transaction;
 * it answers none of several transactions while others work; a share of successes or a latency that lie apart from the
 * others' (route.c looks at all, outlier.h compares).
 *
 * Pure: time and random number are handed in. Lock: the owner's.
 */
#ifndef BPI_ROUTE_EJECT_H
#define BPI_ROUTE_EJECT_H

#include "route/event.h"

#include <boltpool/types.h>

#include <stdbool.h>

/* Envoy's base 30 s is for hundreds of hosts; of three servers one is missed. Doubled, a restarted server that nobody
 * checks is missed for longer. */
#define BPI_ROUTE_EJECT_US (5 * BP_USEC_PER_SECOND)
/* Envoy's. */
#define BPI_ROUTE_EJECT_MAX_US (300 * BP_USEC_PER_SECOND)
/* Good probes in a row. One may be luck; doubled, the way back takes six round trips. */
#define BPI_ROUTE_PROBES 3
/* Connections that break in a row: one may have been killed, two may be a firewall's. */
#define BPI_ROUTE_LOST_MAX 3
/* The share of successes is that of so many seconds. */
#define BPI_ROUTE_WINDOW_SECONDS 10

enum bpi_route_state {
    BPI_ROUTE_FIT,
    BPI_ROUTE_EJECTED,
    BPI_ROUTE_PROBING,
};

/* Zeroed = fit. */
struct bpi_route_eject {
    enum bpi_route_state state;
    enum bpi_route_reason reason; /* of the ejection */
    bp_usec since_us;             /* in this state */
    bp_usec until_us;             /* EJECTED */
    bp_usec timeout_us;           /* the last one */
    unsigned times;
    unsigned passed;     /* PROBING: good probes */
    uint32_t probe;      /* PROBING: the number of the one that is out; 0 = none is */
    uint32_t probe_last; /* the number that was given last */
    bool is_reached;     /* PROBING: transactions may probe */
    /* Signs. */
    enum bpi_route_reason sick; /* NONE = it looks well; kept in every state */
    double sick_figure;
    double sick_against;
    unsigned unreached;    /* in a row */
    unsigned lost;         /* in a row */
    unsigned slow;         /* sweeps in a row that found it slow */
    unsigned unanswered;   /* transactions that began since the last one ended */
    bp_usec unanswered_us; /* since when: the first of them began */
    struct bpi_route_eject_second {
        uint32_t good;
        uint32_t bad;
    } window[BPI_ROUTE_WINDOW_SECONDS];
    bp_usec window_us; /* when the newest second of it began */
};

/* `unit` is random in [0, 1). */
void bpi_route_eject_begin(struct bpi_route_eject *eject,
                           enum bpi_route_reason reason,
                           double unit,
                           bp_usec now_us);
/* Makes it fit. */
void bpi_route_eject_end(struct bpi_route_eject *eject, bp_usec now_us);
/* Lets time pass. True where the time-out was over, and it is PROBING now. */
bool bpi_route_eject_tick(struct bpi_route_eject *eject, bp_usec now_us);
/* A probe may be sent. */
bool bpi_route_eject_may_probe(const struct bpi_route_eject *eject);
/* It is sent; where one may be. Its number, for the outcome. */
uint32_t bpi_route_eject_probe(struct bpi_route_eject *eject);

enum bpi_route_eject_step {
    BPI_ROUTE_EJECT_NOTHING,
    BPI_ROUTE_EJECT_PROBING,
    BPI_ROUTE_EJECT_RETURNED,
    BPI_ROUTE_EJECT_FAILED, /* on its way back: it is to be ejected again */
};

/* It was reached: a connection was opened and logged on, or a question was answered. */
enum bpi_route_eject_step bpi_route_eject_answered(struct bpi_route_eject *eject, bp_usec now_us);
/* It couldn't be reached. */
enum bpi_route_eject_step bpi_route_eject_unreached(struct bpi_route_eject *eject);
/* A transaction begins. */
void bpi_route_eject_started(struct bpi_route_eject *eject, bp_usec now_us);
/* A transaction ended well, or badly by the server's fault. `probe`: its number, if it was sent to see; 0 = it wasn't. */
enum bpi_route_eject_step bpi_route_eject_outcome(struct bpi_route_eject *eject,
                                                  bool is_good,
                                                  uint32_t probe,
                                                  bp_usec now_us);
/* Its connection broke: a bad outcome and more. */
enum bpi_route_eject_step
bpi_route_eject_lost(struct bpi_route_eject *eject, uint32_t probe, bp_usec now_us);
/* It ended, and says nothing. */
void bpi_route_eject_void(struct bpi_route_eject *eject, uint32_t probe);
/* Outcomes in the window. */
void bpi_route_eject_counts(const struct bpi_route_eject *eject,
                            unsigned *ret_good,
                            unsigned *ret_bad);

#endif
