/* What a class has had, and how long it holds a link.
 *
 * Stride scheduling (Waldspurger and Weihl 1995) over link time: each class has a pass, which grows by the time that
 * it holds links divided by its share, and the class with the smallest pass is served. A lease is charged in advance
 * by the class's mean hold, and the difference when it ends. What a class holds below its minimum is free of charge, so
 * that shares divide what the minima leave; so is what it got while no other class waited. A class that wakes can't
 * hoard: its pass becomes at least the virtual time (the pass of the class served last) less what virtual time gains in
 * BPI_POOL_WAKE_US while all classes are busy, as in Seastar's fair queue. Simulated with bursts of analytics over 50
 * links: with 5 ms interactive classes wait 3.3 ms (p99), with 20 ms 2.4 ms; more brings nothing.
 *
 * The mean hold is link time over completions (the utilisation law), so it rises while nothing completes; both are
 * halved every BPI_POOL_HOLD_WINDOW completions.
 * Lock: the cluster's mutex.
 */
#ifndef BPI_POOL_SHARE_H
#define BPI_POOL_SHARE_H

#include <boltpool/types.h>

#include <stdbool.h>

#define BPI_POOL_WAKE_US   ((bp_usec)20000)
#define BPI_POOL_SHARE_MAX 10000
/* Steps are fractions, so that shares as 4:3 differ by what they say. */
#define BPI_POOL_STEP_SCALE  256
#define BPI_POOL_HOLD_WINDOW 128
/* The mean hold before anything is known: a small query. It weighs as much as two completions. */
#define BPI_POOL_HOLD_US ((bp_usec)10000)
/* Holds to be seen before a class counts as one with short holds. */
#define BPI_POOL_QUICK_MIN 20
/* A pass above this calls for bpi_pool_share_rebase(). */
#define BPI_POOL_PASS_MAX (INT64_C(1) << 61)

struct bpi_pool_share {
    int64_t pass;     /* link time (us) x step */
    int64_t step;     /* BPI_POOL_SHARE_MAX x BPI_POOL_STEP_SCALE / share */
    uint64_t busy_us; /* link time in the window, up to changed_us */
    uint64_t done;    /* completions in the window */
    bp_usec changed_us;
    bp_usec mean_us;   /* of completed holds, moving */
    unsigned observed; /* holds known to be short or long, and the long ones among them */
    unsigned observed_long;
};

void bpi_pool_share_init(struct bpi_pool_share *share, unsigned weight);
void bpi_pool_share_set(struct bpi_pool_share *share, unsigned weight);
/* The class has something to do again: its pass is no less than `least`. */
void bpi_pool_share_wake(struct bpi_pool_share *share, int64_t least);
/* A lease begins while `leased` others of the class are held. Returns what was charged in advance. */
bp_usec
bpi_pool_share_begin(struct bpi_pool_share *share, unsigned leased, bool is_free, bp_usec now_us);
/* One of `leased` ends after `hold_us`, which was charged `charged_us` (0: it was free of charge). */
void bpi_pool_share_end(struct bpi_pool_share *share,
                        unsigned leased,
                        bp_usec hold_us,
                        bp_usec charged_us,
                        bp_usec now_us);
/* Virtual time has become large: all passes become smaller by the same. */
void bpi_pool_share_rebase(struct bpi_pool_share *share, int64_t by);
/* A hold is over (or known to be long before its end). */
void bpi_pool_share_judge(struct bpi_pool_share *share, bool is_long);
/* Whether at least 95 % of the holds seen lately were short. */
bool bpi_pool_share_is_quick(const struct bpi_pool_share *share);
/* The mean hold while `leased` are held: never 0. */
bp_usec bpi_pool_share_hold_us(const struct bpi_pool_share *share, unsigned leased, bp_usec now_us);

#endif
