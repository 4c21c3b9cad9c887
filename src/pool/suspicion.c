/* See suspicion.h. */
#include "pool/suspicion.h"

static bool is_over(bp_usec since_us, bp_usec span_us, bp_usec now_us)
{
    return now_us >= since_us && now_us - since_us >= span_us;
}

static void
state_set(struct bpi_suspicion *suspicion, enum bpi_suspicion_state state, bp_usec now_us)
{
    suspicion->state = state;
    suspicion->asked_us = now_us;
}

enum bpi_suspicion_step bpi_suspicion_next(struct bpi_suspicion *suspicion,
                                           const struct bpi_suspicion_limits *limits,
                                           bp_usec due_us,
                                           bp_usec heard_us,
                                           bp_usec now_us)
{
    bp_usec span_us = limits->dead_after_us;
    if (span_us == 0 ||
        (suspicion->state != BPI_SUSPICION_CALM && heard_us >= suspicion->asked_us)) {
        state_set(suspicion, BPI_SUSPICION_CALM, 0);
    }
    bool is_silent = span_us != 0 && due_us != 0 && is_over(due_us, span_us, now_us) &&
                     is_over(heard_us, span_us, now_us);
    switch (suspicion->state) {
    case BPI_SUSPICION_CALM:
        if (is_silent) {
            state_set(suspicion, BPI_SUSPICION_ASKED_LINK, now_us);
            return BPI_SUSPICION_ASK_LINK;
        }
        break;
    case BPI_SUSPICION_ASKED_LINK:
        if (is_over(suspicion->asked_us, limits->patience_us, now_us)) {
            state_set(suspicion, BPI_SUSPICION_ASKED_SERVER, now_us);
            return BPI_SUSPICION_ASK_SERVER;
        }
        break;
    case BPI_SUSPICION_ASKED_SERVER:
        if (is_over(suspicion->asked_us, span_us, now_us)) {
            /* The question stays the one that counts: what is heard later is a sign of life. */
            state_set(suspicion, BPI_SUSPICION_DEAD, suspicion->asked_us);
            return BPI_SUSPICION_BURY;
        }
        break;
    case BPI_SUSPICION_DEAD:
        return is_silent ? BPI_SUSPICION_BURY : BPI_SUSPICION_NOTHING;
    }
    return BPI_SUSPICION_NOTHING;
}

void bpi_suspicion_asked(struct bpi_suspicion *suspicion, bp_usec now_us)
{
    if (suspicion->state == BPI_SUSPICION_CALM || suspicion->state == BPI_SUSPICION_ASKED_LINK) {
        state_set(suspicion, BPI_SUSPICION_ASKED_SERVER, now_us);
    }
}
