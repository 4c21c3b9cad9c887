/* See eject.h. */
#include "route/eject.h"

#include "base/assert.h"

#include <string.h>

/* 2^10 x 5 s is above the cap. */
#define DOUBLINGS_MAX 10

static void state_set(struct bpi_route_eject *eject, enum bpi_route_state state, bp_usec now_us)
{
    eject->state = state;
    eject->since_us = now_us;
    eject->passed = 0;
    eject->probe = 0;
    eject->is_reached = false;
}

void bpi_route_eject_begin(struct bpi_route_eject *eject,
                           enum bpi_route_reason reason,
                           double unit,
                           bp_usec now_us)
{
    if (eject->state == BPI_ROUTE_FIT && now_us > eject->since_us &&
        now_us - eject->since_us > 2 * eject->timeout_us) {
        eject->times = 0;
    }
    bp_usec whole_us = BPI_ROUTE_EJECT_US << eject->times;
    if (whole_us > BPI_ROUTE_EJECT_MAX_US) {
        whole_us = BPI_ROUTE_EJECT_MAX_US;
    }
    if (eject->times < DOUBLINGS_MAX) {
        eject->times++;
    }
    state_set(eject, BPI_ROUTE_EJECTED, now_us);
    eject->reason = reason;
    bp_usec half_us = whole_us / 2;
    eject->timeout_us = half_us + (bp_usec)(unit * (double)(whole_us - half_us));
    eject->until_us = now_us + eject->timeout_us;
}

/* What was seen before says nothing about what comes after. */
static void signs_clear(struct bpi_route_eject *eject)
{
    eject->sick = BPI_ROUTE_REASON_NONE;
    eject->unreached = eject->lost = eject->slow = eject->unanswered = 0;
    memset(eject->window, 0, sizeof(eject->window));
}

void bpi_route_eject_end(struct bpi_route_eject *eject, bp_usec now_us)
{
    state_set(eject, BPI_ROUTE_FIT, now_us);
}

static void window_advance(struct bpi_route_eject *eject, bp_usec now_us)
{
    for (unsigned i = 0; i <= BPI_ROUTE_WINDOW_SECONDS; i++) {
        if (now_us < eject->window_us || now_us - eject->window_us < BP_USEC_PER_SECOND) {
            return;
        }
        memmove(eject->window + 1, eject->window, sizeof(eject->window) - sizeof(eject->window[0]));
        eject->window[0] = (struct bpi_route_eject_second){0};
        eject->window_us += BP_USEC_PER_SECOND;
    }
    eject->window_us = now_us; /* it was quiet for longer than the window is */
}

/* It has to be reached before a client's work goes there. */
static bool seemed_dead(const struct bpi_route_eject *eject)
{
    return eject->reason == BPI_ROUTE_REASON_CONNECTION ||
           eject->reason == BPI_ROUTE_REASON_STALLED || eject->reason == BPI_ROUTE_REASON_LOST;
}

bool bpi_route_eject_tick(struct bpi_route_eject *eject, bp_usec now_us)
{
    window_advance(eject, now_us);
    if (eject->state != BPI_ROUTE_EJECTED || now_us < eject->until_us) {
        return false;
    }
    state_set(eject, BPI_ROUTE_PROBING, now_us);
    eject->is_reached = !seemed_dead(eject) && eject->unreached == 0;
    return true;
}

bool bpi_route_eject_may_probe(const struct bpi_route_eject *eject)
{
    return eject->state == BPI_ROUTE_PROBING && eject->is_reached && eject->probe == 0;
}

uint32_t bpi_route_eject_probe(struct bpi_route_eject *eject)
{
    BP_DEBUG_ASSERT(bpi_route_eject_may_probe(eject));
    eject->probe_last = eject->probe_last == UINT32_MAX ? 1 : eject->probe_last + 1;
    eject->probe = eject->probe_last;
    return eject->probe;
}

static enum bpi_route_eject_step passed(struct bpi_route_eject *eject, bp_usec now_us)
{
    eject->passed++;
    if (eject->passed < BPI_ROUTE_PROBES) {
        return BPI_ROUTE_EJECT_NOTHING;
    }
    signs_clear(eject);
    state_set(eject, BPI_ROUTE_FIT, now_us);
    return BPI_ROUTE_EJECT_RETURNED;
}

/* Whatever it was, it lives: what only says that it is dead is over. */
static enum bpi_route_eject_step alive(struct bpi_route_eject *eject, bp_usec now_us)
{
    eject->unreached = 0;
    if (eject->sick == BPI_ROUTE_REASON_CONNECTION || eject->sick == BPI_ROUTE_REASON_STALLED) {
        eject->sick = BPI_ROUTE_REASON_NONE;
    }
    if (eject->state == BPI_ROUTE_EJECTED && seemed_dead(eject)) {
        state_set(eject, BPI_ROUTE_PROBING, now_us);
        eject->is_reached = true;
        eject->passed = 1;
        return BPI_ROUTE_EJECT_PROBING;
    }
    return BPI_ROUTE_EJECT_NOTHING;
}

enum bpi_route_eject_step bpi_route_eject_answered(struct bpi_route_eject *eject, bp_usec now_us)
{
    enum bpi_route_eject_step step = alive(eject, now_us);
    if (step != BPI_ROUTE_EJECT_NOTHING || eject->state != BPI_ROUTE_PROBING) {
        return step;
    }
    eject->is_reached = true;
    /* That one can be reached which is slow, fails or loses its connections was known before. */
    return seemed_dead(eject) && eject->reason != BPI_ROUTE_REASON_LOST ? passed(eject, now_us)
                                                                        : BPI_ROUTE_EJECT_NOTHING;
}

static enum bpi_route_eject_step failed(const struct bpi_route_eject *eject)
{
    return eject->state == BPI_ROUTE_PROBING ? BPI_ROUTE_EJECT_FAILED : BPI_ROUTE_EJECT_NOTHING;
}

enum bpi_route_eject_step bpi_route_eject_unreached(struct bpi_route_eject *eject)
{
    eject->unreached++;
    eject->sick = BPI_ROUTE_REASON_CONNECTION;
    eject->sick_figure = eject->unreached;
    eject->sick_against = 0;
    return failed(eject);
}

void bpi_route_eject_started(struct bpi_route_eject *eject, bp_usec now_us)
{
    if (eject->unanswered++ == 0) {
        eject->unanswered_us = now_us;
    }
}

/* Takes the probe of that number back; false if it isn't the one that is out. */
static bool probe_end(struct bpi_route_eject *eject, uint32_t probe)
{
    if (probe == 0 || probe != eject->probe) {
        return false;
    }
    eject->probe = 0;
    return true;
}

enum bpi_route_eject_step
bpi_route_eject_outcome(struct bpi_route_eject *eject, bool is_good, uint32_t probe, bp_usec now_us)
{
    window_advance(eject, now_us);
    eject->unanswered = 0;
    bool is_probe = probe_end(eject, probe);
    if (!is_good) {
        eject->window[0].bad++;
        return is_probe ? failed(eject) : BPI_ROUTE_EJECT_NOTHING;
    }
    eject->window[0].good++;
    eject->lost = 0;
    if (eject->sick == BPI_ROUTE_REASON_LOST) {
        eject->sick = BPI_ROUTE_REASON_NONE;
    }
    enum bpi_route_eject_step step = alive(eject, now_us);
    return is_probe ? passed(eject, now_us) : step;
}

enum bpi_route_eject_step
bpi_route_eject_lost(struct bpi_route_eject *eject, uint32_t probe, bp_usec now_us)
{
    enum bpi_route_eject_step step = bpi_route_eject_outcome(eject, false, probe, now_us);
    eject->lost++;
    if (eject->lost >= BPI_ROUTE_LOST_MAX && eject->sick == BPI_ROUTE_REASON_NONE) {
        eject->sick = BPI_ROUTE_REASON_LOST;
        eject->sick_figure = eject->lost;
        eject->sick_against = 0;
    }
    return step;
}

void bpi_route_eject_void(struct bpi_route_eject *eject, uint32_t probe)
{
    (void)probe_end(eject, probe);
}

void bpi_route_eject_counts(const struct bpi_route_eject *eject,
                            unsigned *ret_good,
                            unsigned *ret_bad)
{
    unsigned good = 0;
    unsigned bad = 0;
    for (unsigned i = 0; i < BPI_ROUTE_WINDOW_SECONDS; i++) {
        good += eject->window[i].good;
        bad += eject->window[i].bad;
    }
    *ret_good = good;
    *ret_bad = bad;
}
