/* How well a link or an endpoint is, as a number from 0 (dead) to 1 (well).
 *
 *   score = quick x sound x answering, and half of that for each failure in a row
 *     quick     = 1 / (1 + lag / BPI_HEALTH_LAG_US), lag = how much more the smoothed round trip is than the best
 *                 one, less four deviations
 *     sound     = 1 - faults, the smoothed share of outcomes that failed by the server's fault; where nothing ends
 *                 it halves every BPI_HEALTH_FADE_US, so that what isn't used is not blamed for ever
 *     answering = 1 - the time that a question is unanswered / the time after which the server counts as dead
 * Round trips are of requests that hold no work (RESET, log-ins, HELLO), because a query may take any time. They are
 * smoothed like TCP's (RFC 6298: 1/8 of the distance for the mean, 1/4 for the deviation), faults by 1/8, too. The
 * best round trip rises by 1/64 of the distance, so that a longer way to the server is the normal one after some
 * hundred questions. Overload (Neo.TransientError) and what a client did wrong (Neo.ClientError) are no faults.
 *
 * Pure: the time is handed in. Lock: whoever owns it.
 */
#ifndef BPI_POOL_HEALTH_H
#define BPI_POOL_HEALTH_H

#include <boltpool/types.h>

#include <stdbool.h>

/* A round trip that takes this much longer than it should halves the score: what a person notices. Doubled, a server
 * that answers a tenth of a second late still looks well. */
#define BPI_HEALTH_LAG_US ((bp_usec)50000)
/* Doubled, an endpoint that was mended looks ill for twice as long while nobody uses it. */
#define BPI_HEALTH_FADE_US (30 * BP_USEC_PER_SECOND)

/* Zeroed = nothing is known, which is well. */
struct bpi_health {
    bp_usec round_trip_us; /* smoothed; 0 = none yet */
    bp_usec deviation_us;
    bp_usec best_us;
    double faults; /* 0..1, as of `judged_us` */
    bp_usec judged_us;
    unsigned failures; /* in a row: of connecting, or of questions */
    bp_usec asked_us;  /* since when a question is unanswered; 0 = none is */
};

void bpi_health_round_trip(struct bpi_health *health, bp_usec took_us);
/* A piece of work has ended; `failed`: by the server's fault. */
void bpi_health_outcome(struct bpi_health *health, bool failed, bp_usec now_us);
/* A question to the server is out. The first one that is unanswered counts. */
void bpi_health_asked(struct bpi_health *health, bp_usec now_us);
void bpi_health_answered(struct bpi_health *health);
/* A connection could not be made, or a question wasn't answered in time. */
void bpi_health_failed(struct bpi_health *health);
/* `dead_after_us`: a question that is unanswered for so long is one to a dead server; 0 = no such time. */
double bpi_health_score(const struct bpi_health *health, bp_usec dead_after_us, bp_usec now_us);

#endif
