/* See share.h. */
#include "pool/share.h"

/* Weight of the mean hold before anything is known, in completions. */
#define PRIOR_DONE 2
/* Holds after which older ones count half: old enough to judge by, young enough to follow a change. */
#define JUDGED_WINDOW 200
/* A longer hold counts as this: a clock that jumped by a year must not weigh for a year. */
#define HOLD_US_MAX (3600 * BP_USEC_PER_SECOND)
/* Nor does a time between two events. */
#define SPAN_US_MAX (60 * BP_USEC_PER_SECOND)

void bpi_pool_share_set(struct bpi_pool_share *share, unsigned weight)
{
    unsigned clipped = weight == 0 ? 1 : weight > BPI_POOL_SHARE_MAX ? BPI_POOL_SHARE_MAX : weight;
    share->step = (int64_t)BPI_POOL_SHARE_MAX * BPI_POOL_STEP_SCALE / clipped;
}

void bpi_pool_share_init(struct bpi_pool_share *share, unsigned weight)
{
    *share = (struct bpi_pool_share){.mean_us = BPI_POOL_HOLD_US};
    bpi_pool_share_set(share, weight);
}

void bpi_pool_share_wake(struct bpi_pool_share *share, int64_t least)
{
    if (share->pass < least) {
        share->pass = least;
    }
}

static bp_usec span(bp_usec now_us, bp_usec since_us)
{
    return now_us - since_us < SPAN_US_MAX ? now_us - since_us : SPAN_US_MAX;
}

/* Adds the link time since the last change. A clock that lies behind adds nothing. */
static void advance(struct bpi_pool_share *share, unsigned leased, bp_usec now_us)
{
    if (now_us > share->changed_us) {
        share->busy_us += leased * span(now_us, share->changed_us);
        share->changed_us = now_us;
    } else if (share->changed_us - now_us > BP_USEC_PER_SECOND) {
        share->changed_us = now_us; /* the clock was set back */
    }
}

bp_usec
bpi_pool_share_begin(struct bpi_pool_share *share, unsigned leased, bool is_free, bp_usec now_us)
{
    advance(share, leased, now_us);
    if (is_free) {
        return 0;
    }
    share->pass += (int64_t)share->mean_us * share->step;
    return share->mean_us;
}

void bpi_pool_share_end(struct bpi_pool_share *share,
                        unsigned leased,
                        bp_usec hold_us,
                        bp_usec charged_us,
                        bp_usec now_us)
{
    hold_us = hold_us < HOLD_US_MAX ? hold_us : HOLD_US_MAX;
    advance(share, leased, now_us);
    if (charged_us != 0) {
        share->pass += ((int64_t)hold_us - (int64_t)charged_us) * share->step;
    }
    /* An eighth of the difference, rounded away from zero so that it arrives. */
    int64_t apart = (int64_t)hold_us - (int64_t)share->mean_us;
    share->mean_us = (bp_usec)((int64_t)share->mean_us + (apart + (apart > 0 ? 7 : -7)) / 8);
    share->mean_us = share->mean_us == 0 ? 1 : share->mean_us;
    share->done++;
    if (share->done >= BPI_POOL_HOLD_WINDOW) {
        share->done /= 2;
        share->busy_us /= 2;
    }
}

void bpi_pool_share_rebase(struct bpi_pool_share *share, int64_t by)
{
    share->pass = share->pass < by - BPI_POOL_PASS_MAX ? -BPI_POOL_PASS_MAX : share->pass - by;
}

void bpi_pool_share_judge(struct bpi_pool_share *share, bool is_long)
{
    share->observed++;
    share->observed_long += is_long;
    if (share->observed >= JUDGED_WINDOW) {
        share->observed /= 2;
        share->observed_long /= 2;
    }
}

bool bpi_pool_share_is_quick(const struct bpi_pool_share *share)
{
    return share->observed >= BPI_POOL_QUICK_MIN && share->observed_long * 20 <= share->observed;
}

bp_usec bpi_pool_share_hold_us(const struct bpi_pool_share *share, unsigned leased, bp_usec now_us)
{
    uint64_t busy_us = share->busy_us;
    if (now_us > share->changed_us) {
        busy_us += leased * span(now_us, share->changed_us);
    }
    bp_usec hold_us = (busy_us + PRIOR_DONE * BPI_POOL_HOLD_US) / (share->done + PRIOR_DONE);
    return hold_us == 0 ? 1 : hold_us;
}
