/* Shows how classes share the links: minima, what is lent, caps, and shares of link time; share.h by itself first, then
 * through the pool. Long runs with random holds are in test_pool_load.c.
 */
#include "story.h"

#define MS BP_USEC_PER_MS

/* ---- share.h by itself ---- */

static void a_lease_is_charged_in_advance_and_by_its_hold_in_the_end(void **state)
{
    (void)state;
    struct bpi_pool_share share;
    bpi_pool_share_init(&share, 2);
    now_us = 1000000;
    assert_int_equal(share.pass, 0);
    bp_usec charged_us = bpi_pool_share_begin(&share, 0, false, now_us);
    assert_true(charged_us > 0);
    assert_true(share.pass == (int64_t)charged_us * share.step);
    now_us += 70 * MS;
    bpi_pool_share_end(&share, 1, 70 * MS, charged_us, now_us);
    assert_true(share.pass == (int64_t)(70 * MS) * share.step);
    charged_us = bpi_pool_share_begin(&share, 0, false, now_us);
    bpi_pool_share_end(&share, 1, 0, charged_us, now_us);
    assert_true(share.pass == (int64_t)(70 * MS) * share.step);
}

static void steps_are_as_shares_say(void **state)
{
    (void)state;
    struct bpi_pool_share shares[3];
    bpi_pool_share_init(&shares[0], 1);
    bpi_pool_share_init(&shares[1], 3);
    bpi_pool_share_init(&shares[2], 500);
    double one = (double)shares[0].step;
    assert_true(one / (double)shares[1].step > 2.98 && one / (double)shares[1].step < 3.02);
    assert_true(one / (double)shares[2].step > 490 && one / (double)shares[2].step < 510);
    bpi_pool_share_set(&shares[1], 1);
    assert_true(shares[1].step == shares[0].step);
}

static void a_class_that_wakes_has_a_head_start_and_no_more(void **state)
{
    (void)state;
    struct bpi_pool_share share;
    bpi_pool_share_init(&share, 4);
    bpi_pool_share_wake(&share, 1000);
    assert_true(share.pass == 1000);
    bpi_pool_share_wake(&share, 500); /* it is not put back */
    assert_true(share.pass == 1000);
}

static void the_mean_hold_rises_while_nothing_completes(void **state)
{
    (void)state;
    struct bpi_pool_share share;
    bpi_pool_share_init(&share, 1);
    now_us = 1000000;
    assert_true(bpi_pool_share_hold_us(&share, 0, now_us) == BPI_POOL_HOLD_US);
    for (int i = 0; i < 1000; i++) {
        bp_usec charged_us = bpi_pool_share_begin(&share, 0, false, now_us);
        now_us += 2 * MS;
        bpi_pool_share_end(&share, 1, 2 * MS, charged_us, now_us);
    }
    bp_usec hold_us = bpi_pool_share_hold_us(&share, 0, now_us);
    assert_true(hold_us >= 2 * MS && hold_us < 2 * MS + 300);
    for (unsigned i = 0; i < 10; i++) {
        bpi_pool_share_begin(&share, i, false, now_us);
    }
    bp_usec before_us = bpi_pool_share_hold_us(&share, 10, now_us);
    assert_true(bpi_pool_share_hold_us(&share, 10, now_us + BP_USEC_PER_SECOND) > 20 * before_us);
    /* A time before the last one adds nothing. */
    assert_true(bpi_pool_share_hold_us(&share, 10, now_us - MS) == before_us);
}

static void the_mean_hold_is_never_nothing(void **state)
{
    (void)state;
    struct bpi_pool_share share;
    bpi_pool_share_init(&share, 1);
    for (int i = 0; i < 10000; i++) {
        bp_usec charged_us = bpi_pool_share_begin(&share, 0, false, 1);
        bpi_pool_share_end(&share, 1, 0, charged_us, 1);
    }
    assert_true(bpi_pool_share_hold_us(&share, 0, 1) > 0);
}

static void a_class_is_quick_when_it_was_seen_to_be(void **state)
{
    (void)state;
    struct bpi_pool_share share;
    bpi_pool_share_init(&share, 1);
    for (int i = 0; i < BPI_POOL_QUICK_MIN; i++) {
        assert_false(bpi_pool_share_is_quick(&share)); /* not known yet */
        bpi_pool_share_judge(&share, false);
    }
    assert_true(bpi_pool_share_is_quick(&share));
    for (int i = 0; i < 1000; i++) {
        bpi_pool_share_judge(&share, i % 25 == 0); /* 4 % are long */
    }
    assert_true(bpi_pool_share_is_quick(&share));
    for (int i = 0; i < 200; i++) {
        bpi_pool_share_judge(&share, i % 10 == 0); /* 10 % */
    }
    assert_false(bpi_pool_share_is_quick(&share));
    for (int i = 0; i < 2000; i++) {
        bpi_pool_share_judge(&share, false);
    }
    assert_true(bpi_pool_share_is_quick(&share)); /* it may change for the better */
}

/* Ten years of a hundred links, and one hold as long as a clock may jump. */
static void passes_do_not_overflow(void **state)
{
    (void)state;
    bp_usec year_us = 365 * 24 * 3600 * BP_USEC_PER_SECOND;
    limits.classes[BPI_CLASS_ANALYTICS].share = 1;
    limits.classes[BPI_CLASS_READ_ONLY].share = 1;
    start(2);
    for (int i = 0; i < 20; i++) {
        struct bpi_pool_link *slow = leased_in(BPI_CLASS_ANALYTICS);
        struct bpi_pool_link *quick = leased_in(BPI_CLASS_READ_ONLY);
        now_us += MS;
        released(quick);
        now_us += year_us;
        released(slow);
    }
    /* And both are served in turn as before. */
    unsigned served[2] = {0};
    struct bpi_pool_link *links[2];
    bpi_pool_pause(&pool, true);
    for (unsigned i = 0; i < 200; i++) {
        arrive_in(i < 100 ? BPI_CLASS_ANALYTICS : BPI_CLASS_READ_ONLY);
    }
    bpi_pool_pause(&pool, false);
    for (unsigned i = 0; i < 2; i++) {
        struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        links[i] = action.link;
        served[action.link->class_ == BPI_CLASS_READ_ONLY]++;
    }
    for (unsigned i = 0; i < 98; i++) {
        now_us += 10 * MS;
        released(links[i % 2]);
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        served[action.link->class_ == BPI_CLASS_READ_ONLY]++;
        links[i % 2] = action.link;
    }
    assert_true(served[0] + served[1] == 100);
    assert_true(served[1] >= 40); /* the one that had less is not passed over */
}

/* ---- minima ---- */

static void a_class_below_its_minimum_goes_first(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 2;
    limits_of(BPI_CLASS_ANALYTICS)->share = 1000;
    start(3);
    struct bpi_pool_link *links[3];
    for (unsigned i = 0; i < 3; i++) {
        links[i] = i < 2 ? leased_in(BPI_CLASS_READ_ONLY) : leased_in(BPI_CLASS_ANALYTICS);
    }
    struct bpi_pool_waiter *old = arrive_in(BPI_CLASS_ANALYTICS);
    now_us += 100 * MS;
    struct bpi_pool_waiter *young = arrive_in(BPI_CLASS_READ_ONLY);
    released(links[0]);
    expect_grant(young, false); /* one of two is held */
    /* At its minimum it has no such right: it had two links more often than its share is. */
    for (int i = 0; i < 3; i++) {
        arrive_in(BPI_CLASS_READ_ONLY);
    }
    released(links[2]);
    struct bpi_pool_link *link = decide().link;
    for (int i = 0; i < 3 && link->class_ == BPI_CLASS_READ_ONLY; i++) {
        now_us += 100 * MS;
        released(link);
        link = decide().link;
    }
    assert_int_equal(old->state, BPI_POOL_WAITER_GRANTED);
}

static void a_minimum_goes_before_shares_however_much_the_class_has_had(void **state)
{
    (void)state;
    start(2);
    fill(2);
    struct bpi_pool_link *link = leased_in(BPI_CLASS_READ_ONLY);
    leased_in(BPI_CLASS_READ_WRITE);
    /* An hour of link time more than the other one, which came to wait meanwhile. */
    pool.classes[BPI_CLASS_READ_ONLY].share.pass +=
        3600 * (int64_t)BP_USEC_PER_SECOND * pool.classes[BPI_CLASS_READ_ONLY].share.step;
    struct bpi_pool_waiter *rival = arrive_in(BPI_CLASS_READ_WRITE);
    limits_of(BPI_CLASS_READ_ONLY)->min = 1;
    bpi_pool_set_limits(&pool, &limits);
    struct bpi_pool_waiter *own = arrive_in(BPI_CLASS_READ_ONLY);
    released(link);
    expect_grant(own, false);
    released(link);
    limits_of(BPI_CLASS_READ_ONLY)->min = 0;
    bpi_pool_set_limits(&pool, &limits);
    arrive_in(BPI_CLASS_READ_ONLY);
    expect_grant(rival, false); /* without a minimum it is the other one's turn */
}

static void all_classes_below_their_minima_are_served_before_any_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].min = 1;
    }
    limits.classes[BPI_CLASS_READ_WRITE].share = 1000;
    limits.lend_max_hold_us = 50 * MS;
    start(5);
    teach(BPI_CLASS_READ_WRITE, MS);
    struct bpi_pool_link *links[5];
    unsigned held = 0;
    for (; held < 5 - BPI_POOL_LENT_SPARE; held++) {
        links[held] = leased_in(BPI_CLASS_READ_WRITE);
    }
    struct bpi_pool_waiter *above = arrive_in(BPI_CLASS_READ_WRITE);
    struct bpi_pool_waiter *below[BPI_CLASS_COUNT] = {0};
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        if (i != BPI_CLASS_READ_WRITE) {
            below[i] = arrive_in((enum bpi_class)i);
        }
    }
    unsigned served = 0;
    for (int turns = 0; turns < 50 && served < 4; turns++) {
        struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
        if (action.kind == BPI_POOL_OPEN) {
            opened(action.link);
        } else if (action.kind == BPI_POOL_GRANT) {
            assert_ptr_not_equal(action.waiter, above);
            served++;
        } else {
            assert_true(held > 0);
            now_us += MS;
            released(links[--held]);
        }
    }
    assert_int_equal(served, 4);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        assert_true(below[i] == NULL || below[i]->state == BPI_POOL_WAITER_GRANTED);
    }
}

/* Lets as many of the class in as there may be; openings take no time. Returns how many leases it has then. */
static unsigned flood(enum bpi_class class_)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        arrive_in(class_);
    }
    while (true) {
        struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
        if (action.kind == BPI_POOL_OPEN) {
            opened(action.link);
        } else if (action.kind == BPI_POOL_NOTHING) {
            return pool.classes[class_].leased;
        } else {
            assert_int_equal(action.kind, BPI_POOL_GRANT);
        }
    }
}

static void nothing_is_lent_to_a_class_whose_holds_are_not_known(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 3;
    limits_of(BPI_CLASS_HIGH_PRIORITY)->min = 2;
    limits.lend_max_hold_us = 50 * MS;
    start(8);
    fill(8);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 3);
    /* What was kept is there at once. */
    for (unsigned i = 0; i < 3; i++) {
        expect_grant(arrive_in(BPI_CLASS_READ_ONLY), false);
    }
    arrive_in(BPI_CLASS_READ_ONLY);
    expect_nothing(); /* the rest is the other's */
    for (unsigned i = 0; i < 2; i++) {
        expect_grant(arrive_in(BPI_CLASS_HIGH_PRIORITY), false);
    }
    expect_nothing();
}

static void nothing_is_opened_for_whom_the_minima_of_others_forbid(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 5;
    start(8);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 3);
    assert_int_equal(bpi_pool_open_count(&pool), 3);
    struct bpi_pool_waiter *waiter = arrive_in(BPI_CLASS_READ_ONLY);
    opened(expect_open(waiter));
    expect_grant(waiter, false);
}

static void a_class_with_short_holds_borrows_all_but_two(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 6;
    limits.lend_max_hold_us = 50 * MS;
    start(10);
    teach(BPI_CLASS_READ_WRITE, 5 * MS);
    assert_int_equal(flood(BPI_CLASS_READ_WRITE), 10 - BPI_POOL_LENT_SPARE);
    for (unsigned i = 0; i < BPI_POOL_LENT_SPARE; i++) {
        struct bpi_pool_waiter *waiter = arrive_in(BPI_CLASS_READ_ONLY);
        assert_ptr_equal(serve(waiter)->sponsor, NULL);
    }
    struct bpi_pool_waiter *waiter = arrive_in(BPI_CLASS_READ_ONLY);
    expect_nothing();
    now_us += 5 * MS;
    for (unsigned i = 0; i < 10; i++) {
        if (places[i].state == BPI_POOL_LEASED && places[i].class_ == BPI_CLASS_READ_WRITE) {
            released(&places[i]);
            break;
        }
    }
    expect_grant(waiter, false); /* what comes back is its own */
    expect_nothing();
}

static void a_class_leaves_no_more_free_than_others_lack(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 1;
    limits.lend_max_hold_us = 50 * MS;
    start(6);
    teach(BPI_CLASS_READ_WRITE, 5 * MS);
    assert_int_equal(flood(BPI_CLASS_READ_WRITE), 5);
}

static void a_class_with_long_holds_borrows_nothing(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 6;
    limits.lend_max_hold_us = 50 * MS;
    start(10);
    teach(BPI_CLASS_ANALYTICS, 60 * MS);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 4);
}

static void nothing_is_lent_where_that_is_turned_off(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 6;
    limits.lend_max_hold_us = 0;
    start(10);
    teach(BPI_CLASS_READ_WRITE, MS);
    assert_int_equal(flood(BPI_CLASS_READ_WRITE), 4);
}

/* The first sign of long holds is that they don't end. */
static void a_class_that_turns_slow_borrows_no_more(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 5;
    limits.lend_max_hold_us = 50 * MS;
    start(10);
    teach(BPI_CLASS_ANALYTICS, 5 * MS);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 8);
    now_us += 2 * BP_USEC_PER_SECOND;
    expect_nothing();
    unsigned returned = 0;
    for (unsigned i = 0; i < 10 && returned < 6; i++) {
        if (places[i].state == BPI_POOL_LEASED) {
            released(&places[i]);
            returned++;
            while (decide().kind == BPI_POOL_GRANT) {
            }
        }
    }
    assert_true(pool.classes[BPI_CLASS_ANALYTICS].leased <= 5);
}

static void a_class_below_its_own_minimum_need_not_leave_free_what_others_lack(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 3;
    limits_of(BPI_CLASS_ANALYTICS)->min = 3;
    start(6);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 3);
    assert_int_equal(flood(BPI_CLASS_READ_ONLY), 3);
}

static void transactions_of_the_endpoints_bound_what_may_be_lent(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 3;
    limits.endpoint_transactions_max = 5;
    start(20);
    fill(5);
    /* Twenty links could be open, but five be leased: three of them are kept. */
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 2);
    for (unsigned i = 0; i < 3; i++) {
        serve(arrive_in(BPI_CLASS_READ_ONLY));
    }
}

/* ---- caps ---- */

static void caps_hold_in_each_class_by_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].max = i + 1;
    }
    start(20);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        assert_int_equal(flood((enum bpi_class)i), i + 1);
    }
}

static void a_cap_below_the_minimum_wins(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_ANALYTICS)->min = 3;
    limits_of(BPI_CLASS_ANALYTICS)->max = 2;
    start(6);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 2);
}

static void other_limits_are_taken_over_in_mid_run(void **state)
{
    (void)state;
    start(6);
    fill(6);
    assert_int_equal(flood(BPI_CLASS_ANALYTICS), 6);
    limits_of(BPI_CLASS_ANALYTICS)->max = 3;
    limits_of(BPI_CLASS_READ_ONLY)->min = 2;
    bpi_pool_set_limits(&pool, &limits);
    check_pool();
    assert_int_equal(pool.classes[BPI_CLASS_ANALYTICS].leased, 6); /* all leases stay */
    for (unsigned i = 0; i < 3; i++) {
        released(&places[i]);
        expect_nothing();
    }
    released(&places[3]);
    assert_int_equal(decide().kind, BPI_POOL_GRANT);
    expect_nothing();
    for (unsigned i = 0; i < 2; i++) {
        expect_grant(arrive_in(BPI_CLASS_READ_ONLY), false);
    }
}

/* ---- shares of link time ---- */

/* One class after the other on so many links, all backlogged, for so many leases in all; `holds` by class, 0 = it has
 * nothing to do. Returns the link time of each in `ret_busy_us`. */
static void saturate(unsigned count, unsigned leases, const bp_usec *holds, bp_usec *ret_busy_us)
{
    struct bpi_pool_link *links[PLACES_MAX] = {0};
    bp_usec due_us[PLACES_MAX] = {0};
    fill(count);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        ret_busy_us[i] = 0;
        for (unsigned j = 0; holds[i] != 0 && j < 2 * count; j++) {
            arrive_in((enum bpi_class)i);
        }
    }
    while (leases > 0) {
        struct bpi_pool_action action = decide();
        if (action.kind == BPI_POOL_GRANT) {
            unsigned i = 0;
            while (links[i] != NULL) {
                i++;
            }
            links[i] = action.link;
            due_us[i] = now_us + holds[action.link->class_];
            queue(action.waiter); /* the next one of its class */
            continue;
        }
        assert_int_equal(action.kind, BPI_POOL_NOTHING);
        unsigned first = 0;
        for (unsigned i = 1; i < count; i++) {
            first = due_us[i] < due_us[first] ? i : first;
        }
        assert_non_null(links[first]);
        now_us = due_us[first];
        ret_busy_us[links[first]->class_] += holds[links[first]->class_];
        leases--;
        released(links[first]);
        links[first] = NULL;
    }
}

static void expect_shares(const bp_usec *busy_us, const unsigned *shares, double within)
{
    double busy = 0;
    double sum = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        busy += (double)busy_us[i];
        sum += shares[i];
    }
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        double part = (double)busy_us[i] / busy;
        double wanted = shares[i] / sum;
        if (part < wanted * (1 - within) || part > wanted * (1 + within)) {
            fail_msg("class %u has %.4f of the link time instead of %.4f", i, part, wanted);
        }
    }
}

static void backlogged_classes_get_their_shares_of_link_time(void **state)
{
    (void)state;
    static const unsigned shares[BPI_CLASS_COUNT] = {4, 4, 2, 1, 5};
    static const bp_usec equal[BPI_CLASS_COUNT] = {10 * MS, 10 * MS, 10 * MS, 10 * MS, 10 * MS};
    static const bp_usec mixed[BPI_CLASS_COUNT] = {5 * MS, 20 * MS, 200 * MS, 70 * MS, 1 * MS};
    bp_usec busy_us[BPI_CLASS_COUNT];
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].share = shares[i];
    }
    start(20);
    saturate(20, 20000, equal, busy_us);
    expect_shares(busy_us, shares, 0.02);
    start(20);
    saturate(20, 60000, mixed, busy_us);
    expect_shares(busy_us, shares, 0.02);
}

static void a_share_that_nobody_asks_for_is_divided_among_the_others(void **state)
{
    (void)state;
    static const unsigned shares[BPI_CLASS_COUNT] = {3, 0, 1, 0, 0};
    static const bp_usec holds[BPI_CLASS_COUNT] = {10 * MS, 0, 30 * MS, 0, 0};
    bp_usec busy_us[BPI_CLASS_COUNT];
    limits.classes[BPI_CLASS_READ_ONLY].share = 3;
    limits.classes[BPI_CLASS_READ_WRITE].share = 100;
    start(8);
    saturate(8, 8000, holds, busy_us);
    expect_shares(busy_us, shares, 0.02);
}

/* After an hour in which it wanted nothing, a class gets its share from then on and nothing for the hour. */
static void a_class_that_wakes_can_not_make_up_for_its_sleep(void **state)
{
    (void)state;
    start(1);
    fill(1);
    struct bpi_pool_link *link = leased_in(BPI_CLASS_READ_ONLY);
    for (int i = 0; i < 10000; i++) {
        now_us += 10 * MS;
        arrive_in(BPI_CLASS_READ_ONLY);
        released(link);
        link = decide().link;
        waiters_count = 0; /* all have been granted: their places in the table are used again */
    }
    for (unsigned i = 0; i < 200; i++) {
        arrive_in(i % 2 == 0 ? BPI_CLASS_READ_ONLY : BPI_CLASS_READ_WRITE);
    }
    unsigned served[BPI_CLASS_COUNT] = {0};
    for (int i = 0; i < 100; i++) {
        now_us += 10 * MS;
        released(link);
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        link = action.link;
        served[link->class_]++;
        if (i == 9) {
            assert_in_range(served[BPI_CLASS_READ_WRITE], 4, 7);
        }
    }
    assert_in_range(served[BPI_CLASS_READ_WRITE], 48, 53);
}

/* What it held while nobody else wanted links isn't held against it: it had no share to exceed. */
static void a_class_that_had_all_links_is_not_punished_for_it(void **state)
{
    (void)state;
    start(4);
    fill(4);
    waiters_count = 0;
    for (unsigned i = 0; i < 4; i++) {
        leased_in(BPI_CLASS_ANALYTICS);
    }
    now_us += 60 * BP_USEC_PER_SECOND; /* a minute of four links */
    for (unsigned i = 0; i < 40; i++) {
        arrive_in(i % 2 == 0 ? BPI_CLASS_READ_ONLY : BPI_CLASS_ANALYTICS);
    }
    unsigned served[BPI_CLASS_COUNT] = {0};
    bp_usec begin_us = now_us;
    for (unsigned i = 0; i < 240; i++) {
        now_us += 25 * MS;
        released(&places[i % 4]);
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        served[action.link->class_]++;
        queue(action.waiter); /* the next one of its class */
    }
    /* Half of them are its share from now on. */
    print_message(
        "analytics has %u of 240 leases in the %.1f s after it had all links for a minute\n",
        served[BPI_CLASS_ANALYTICS], (double)(now_us - begin_us) / 1e6);
    assert_true(served[BPI_CLASS_ANALYTICS] >= 80);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(a_lease_is_charged_in_advance_and_by_its_hold_in_the_end),
        STORY(steps_are_as_shares_say),
        STORY(a_class_that_wakes_has_a_head_start_and_no_more),
        STORY(the_mean_hold_rises_while_nothing_completes),
        STORY(the_mean_hold_is_never_nothing),
        STORY(a_class_is_quick_when_it_was_seen_to_be),
        STORY(passes_do_not_overflow),
        STORY(a_class_below_its_minimum_goes_first),
        STORY(a_minimum_goes_before_shares_however_much_the_class_has_had),
        STORY(all_classes_below_their_minima_are_served_before_any_other),
        STORY(nothing_is_lent_to_a_class_whose_holds_are_not_known),
        STORY(nothing_is_opened_for_whom_the_minima_of_others_forbid),
        STORY(a_class_with_short_holds_borrows_all_but_two),
        STORY(a_class_leaves_no_more_free_than_others_lack),
        STORY(a_class_with_long_holds_borrows_nothing),
        STORY(nothing_is_lent_where_that_is_turned_off),
        STORY(a_class_that_turns_slow_borrows_no_more),
        STORY(a_class_below_its_own_minimum_need_not_leave_free_what_others_lack),
        STORY(transactions_of_the_endpoints_bound_what_may_be_lent),
        STORY(caps_hold_in_each_class_by_itself),
        STORY(a_cap_below_the_minimum_wins),
        STORY(other_limits_are_taken_over_in_mid_run),
        STORY(backlogged_classes_get_their_shares_of_link_time),
        STORY(a_share_that_nobody_asks_for_is_divided_among_the_others),
        STORY(a_class_that_wakes_can_not_make_up_for_its_sleep),
        STORY(a_class_that_had_all_links_is_not_punished_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
