/* Shows when links are opened: where it pays, in parallel within bounds, ahead of need where idle_min says so, and as
 * successors of links that near the end of their lives.
 *
 * `crowd` plays callers that come at once, with links that take time to open and holds that take time, and tells when the
 * last one was done.
 */
#include "story.h"

#define MS BP_USEC_PER_MS

struct crowd {
    bp_usec connect_us, hold_us;
    unsigned opened_count; /* openings that were begun */
    unsigned opening_max;  /* at one time */
    unsigned served;
    bp_usec done_us; /* when the last lease ended */
};

static bp_usec due_us[PLACES_MAX]; /* when what goes on at a place ends; 0 = nothing goes on */

/* Does what is to be done now. */
static void crowd_decide(struct crowd *crowd)
{
    struct bpi_pool_action action;
    while ((action = decide()).kind != BPI_POOL_NOTHING) {
        unsigned i = (unsigned)(action.link - places);
        if (action.kind == BPI_POOL_OPEN) {
            due_us[i] = now_us + crowd->connect_us;
            crowd->opened_count++;
        } else if (action.kind == BPI_POOL_GRANT) {
            due_us[i] = now_us + crowd->hold_us;
        } else {
            assert_int_equal(action.kind, BPI_POOL_CLOSE);
            closed(action.link);
        }
        if (pool.counts[BPI_POOL_OPENING] > crowd->opening_max) {
            crowd->opening_max = pool.counts[BPI_POOL_OPENING];
        }
    }
}

/* Lets things happen until `until_us`, or until nobody waits and nothing is leased. */
static void crowd_run(struct crowd *crowd, bp_usec until_us)
{
    crowd_decide(crowd);
    while (now_us < until_us) {
        bp_usec next_us = bpi_pool_next_us(&pool, now_us);
        unsigned first = PLACES_MAX;
        for (unsigned i = 0; i < PLACES_MAX; i++) {
            if (due_us[i] != 0 && (next_us == 0 || due_us[i] <= next_us)) {
                next_us = due_us[i];
                first = i;
            }
        }
        if (next_us == 0 || next_us > until_us) {
            now_us = until_us;
            break;
        }
        now_us = next_us;
        if (first != PLACES_MAX) {
            due_us[first] = 0;
            if (places[first].state == BPI_POOL_OPENING) {
                opened(&places[first]);
            } else {
                assert_int_equal(places[first].state, BPI_POOL_LEASED);
                released(&places[first]);
                crowd->served++;
                crowd->done_us = now_us;
            }
        }
        crowd_decide(crowd);
    }
}

/* A pool that knows how long connects take and holds last, with `idle` links open. */
static void crowd_start(struct crowd *crowd, unsigned places_count, unsigned idle, unsigned lessons)
{
    memset(due_us, 0, sizeof(due_us));
    start(places_count);
    struct crowd before = *crowd;
    for (unsigned i = 0; i < idle; i++) {
        arrive(NEW, ANN);
    }
    /* None is given back before all are there. */
    crowd->hold_us = 3600 * BP_USEC_PER_SECOND;
    while (pool.counts[BPI_POOL_LEASED] < idle) {
        crowd_run(crowd, now_us + crowd->connect_us);
    }
    crowd->hold_us = before.hold_us;
    for (unsigned i = 0; i < places_count; i++) {
        if (places[i].state == BPI_POOL_LEASED) {
            due_us[i] = 0;
            released(&places[i]);
        }
    }
    for (unsigned i = 0; i < lessons; i++) {
        arrive(NEW, ANN);
        crowd_run(crowd, now_us + 5 * crowd->hold_us);
    }
    assert_int_equal(pool.counts[BPI_POOL_IDLE], bpi_pool_open_count(&pool));
    *crowd = before;
}

/* ---- opening where it pays ---- */

static void a_spike_of_short_holds_opens_at_most_one_more(void **state)
{
    (void)state;
    struct crowd crowd = {.connect_us = 150 * MS, .hold_us = 2 * MS};
    limits.idle_min = 5;
    crowd_start(&crowd, 50, 5, 100);
    assert_int_equal(bpi_pool_open_count(&pool), 5);
    bp_usec begin_us = now_us;
    for (unsigned i = 0; i < 50; i++) {
        arrive(NEW, ANN);
    }
    crowd_run(&crowd, now_us + BP_USEC_PER_SECOND);
    print_message("50 at once on 5 links of 2 ms: %.1f ms, %u more opened\n",
                  (double)(crowd.done_us - begin_us) / 1000, crowd.opened_count);
    assert_int_equal(crowd.served, 50);
    assert_true(crowd.opened_count <= 1);
    assert_true(crowd.done_us - begin_us <= 22 * MS); /* HikariCP's */
}

/* The same before anything is known but how long the five took to open. */
static void a_spike_on_a_pool_that_has_just_started_opens_few(void **state)
{
    (void)state;
    struct crowd crowd = {.connect_us = 150 * MS, .hold_us = 2 * MS};
    struct bpi_pool_key key = {.protocol = NEW, .identity = {ANN}};
    limits.idle_min = 5;
    memset(due_us, 0, sizeof(due_us));
    start(50);
    bpi_pool_set_warm_key(&pool, &key, NEW_BIT);
    crowd_run(&crowd, now_us + BP_USEC_PER_SECOND);
    assert_int_equal(pool.counts[BPI_POOL_IDLE], 5);
    crowd.opened_count = 0;
    bp_usec begin_us = now_us;
    for (unsigned i = 0; i < 50; i++) {
        arrive(NEW, ANN);
    }
    crowd_run(&crowd, now_us + BP_USEC_PER_SECOND);
    print_message("the same, nothing known: %.1f ms, %u more opened\n",
                  (double)(crowd.done_us - begin_us) / 1000, crowd.opened_count);
    assert_int_equal(crowd.served, 50);
    assert_true(crowd.opened_count <= 1);
    assert_true(crowd.done_us - begin_us <= 22 * MS);
}

static void long_holds_open_as_many_as_come(void **state)
{
    (void)state;
    for (unsigned lessons = 0; lessons < 2; lessons++) {
        for (unsigned idle = 0; idle < 6; idle += 5) {
            struct crowd crowd = {.connect_us = 20 * MS, .hold_us = 200 * MS};
            crowd_start(&crowd, 50, idle, lessons * 100);
            bp_usec begin_us = now_us;
            for (unsigned i = 0; i < 50; i++) {
                arrive(NEW, ANN);
            }
            crowd_run(&crowd, now_us + 10 * BP_USEC_PER_SECOND);
            print_message("50 at once, connect 20 ms, hold 200 ms, %u idle, %s: %.1f ms\n", idle,
                          lessons == 0 ? "nothing known" : "known",
                          (double)(crowd.done_us - begin_us) / 1000);
            assert_int_equal(crowd.served, 50);
            assert_true(crowd.done_us - begin_us <= 286 * MS); /* 1.3 x 220 ms */
        }
    }
}

static void growth_within_a_bound_on_connects_still_comes_to_its_end(void **state)
{
    (void)state;
    struct crowd crowd = {.connect_us = 20 * MS, .hold_us = 200 * MS};
    limits.endpoint_connects_max = 4;
    crowd_start(&crowd, 50, 0, 0);
    bp_usec begin_us = now_us;
    for (unsigned i = 0; i < 50; i++) {
        arrive(NEW, ANN);
    }
    crowd_run(&crowd, now_us + 10 * BP_USEC_PER_SECOND);
    assert_int_equal(crowd.served, 50);
    assert_true(crowd.opening_max <= 4);
    /* 10 rounds of 4 in the first 200 ms, and what comes back. */
    print_message("the same, 4 connects at a time: %.1f ms, %u opened\n",
                  (double)(crowd.done_us - begin_us) / 1000, crowd.opened_count);
    assert_true(crowd.done_us - begin_us <= 520 * MS);
}

static void one_who_waits_alone_gets_a_link_of_its_own_in_the_end(void **state)
{
    (void)state;
    /* The only link is held for an hour, after many short ones: by what is known it would be back soon. */
    struct crowd crowd = {.connect_us = 50 * MS, .hold_us = MS};
    crowd_start(&crowd, 4, 1, 200);
    leased(NEW, ANN);
    bp_usec begin_us = now_us;
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    while (waiter->opening == NULL) {
        crowd_decide(&crowd);
        if (waiter->opening == NULL) {
            now_us = bpi_pool_next_us(&pool, now_us);
            assert_int_not_equal(now_us, 0);
        }
        assert_true(now_us - begin_us < 20 * 50 * MS);
    }
    print_message("opened for one that waits behind a long hold after %.1f ms\n",
                  (double)(now_us - begin_us) / 1000);
}

/* However long connects take, waiting is the dearer thing in the end. */
static void a_slow_connect_is_paid_for_in_the_end(void **state)
{
    (void)state;
    static const bp_usec connects[] = {50 * MS, 300 * MS, 1000 * MS, 5000 * MS};
    for (unsigned i = 0; i < 4; i++) {
        struct crowd crowd = {.connect_us = connects[i], .hold_us = MS};
        crowd_start(&crowd, 4, 1, 200);
        leased(NEW, ANN); /* and doesn't come back */
        struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
        bp_usec begin_us = now_us;
        struct bpi_pool_action action = decide_until(now_us + 20 * connects[i]);
        assert_int_equal(action.kind, BPI_POOL_OPEN);
        assert_ptr_equal(action.waiter, waiter);
        print_message("connect %.0f ms: opened after %.1f ms\n", (double)connects[i] / 1000,
                      (double)(now_us - begin_us) / 1000);
    }
}

/* A link that can never be the waiter's is no reason to wait for it. */
static void a_link_of_another_version_is_not_waited_for(void **state)
{
    (void)state;
    struct crowd crowd = {.connect_us = 500 * MS, .hold_us = MS};
    crowd_start(&crowd, 4, 1, 100);
    bp_usec begin_us = now_us;
    struct bpi_pool_waiter *waiter = arrive(OLD, ANN);
    struct bpi_pool_action action = decide_until(now_us + 10 * BP_USEC_PER_SECOND);
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_ptr_equal(action.waiter, waiter);
    assert_true(now_us - begin_us <= 4 * crowd.connect_us);
}

static void an_opening_in_progress_counts_for_those_who_wait(void **state)
{
    (void)state;
    /* Two wait, and a link for one of them comes soon: a burst that ends meanwhile must not open more. */
    struct crowd crowd = {.connect_us = 20 * MS, .hold_us = 200 * MS};
    crowd_start(&crowd, 50, 0, 20);
    for (unsigned i = 0; i < 10; i++) {
        arrive(NEW, ANN);
    }
    crowd_run(&crowd, now_us + 10 * BP_USEC_PER_SECOND);
    assert_int_equal(crowd.served, 10);
    assert_true(bpi_pool_open_count(&pool) <= 11);
}

static void the_first_waiter_of_an_empty_pool_has_its_link_opened_at_once(void **state)
{
    (void)state;
    start(4);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    bp_usec begin_us = now_us;
    struct bpi_pool_link *link = expect_open(waiter);
    assert_true(now_us == begin_us);
    now_us += 150 * MS;
    opened(link);
    assert_ptr_equal(expect_grant(waiter, false), link);
    now_us += MS;
    released(link);
    closing(link);
    closed(link);
    waiter = arrive(NEW, ANN);
    begin_us = now_us;
    expect_open(
        waiter); /* and so it is when connects are known to be slow: no link can come back */
    assert_true(now_us == begin_us);
}

/* ---- bounds ---- */

static void connects_at_a_time_are_bounded_by_endpoint(void **state)
{
    (void)state;
    limits.endpoint_connects_max = 3;
    start_on(20, 2);
    for (unsigned i = 0; i < 20; i++) {
        arrive(NEW, ANN);
    }
    unsigned count = 0;
    while (decide_until(now_us + PATIENCE_US).kind == BPI_POOL_OPEN) {
        count++;
    }
    assert_int_equal(count, 6);
    assert_int_equal(pool.endpoints[0].opening_count, 3);
    assert_int_equal(pool.endpoints[1].opening_count, 3);
    /* One that failed makes room for one more, at its endpoint. */
    for (unsigned i = 0; i < 20; i++) {
        if (places[i].state == BPI_POOL_OPENING && places[i].endpoint == 1) {
            closed(&places[i]);
            break;
        }
    }
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_int_equal(action.link->endpoint, 1);
    assert_int_equal(decide_until(now_us + PATIENCE_US).kind, BPI_POOL_NOTHING);
}

static void links_of_an_endpoint_are_bounded(void **state)
{
    (void)state;
    limits.endpoint_links_max = 3;
    start_on(20, 2);
    unsigned on[2] = {0};
    for (unsigned i = 0; i < 6; i++) {
        on[leased(NEW, ANN)->endpoint]++;
    }
    assert_int_equal(on[0], 3);
    assert_int_equal(on[1], 3);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    assert_int_equal(decide_until(now_us + PATIENCE_US).kind, BPI_POOL_NOTHING);
    struct bpi_pool_link *link = &places[0];
    for (unsigned i = 0; i < 20; i++) {
        link = places[i].state == BPI_POOL_LEASED ? &places[i] : link;
    }
    closing(link);
    assert_int_equal(decide_until(now_us + PATIENCE_US).kind, BPI_POOL_NOTHING);
    closed(link); /* only now it counts no more */
    assert_int_equal(expect_open(waiter)->endpoint, link->endpoint);
}

static void an_endpoint_that_is_full_is_evicted_from_for_its_own_version(void **state)
{
    (void)state;
    limits.endpoint_links_max = 1;
    start_on(4, 2);
    pool.endpoints[0].protocols = NEW_BIT;
    pool.endpoints[1].protocols = OLD_BIT;
    released(leased(NEW, ANN));
    struct bpi_pool_link *old = leased(OLD, ANN);
    released(old);
    /* Places are free, yet endpoint 1 is full: one of its own links has to go. */
    struct bpi_pool_waiter *bob = arrive(OLD, BOB);
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    assert_int_equal(action.kind, BPI_POOL_CLOSE);
    assert_ptr_equal(action.link, old);
    closed(old);
    assert_int_equal(expect_open(bob)->endpoint, 1);
}

static void transactions_and_links_of_an_endpoint_are_counted_apart(void **state)
{
    (void)state;
    limits.endpoint_transactions_max = 2;
    limits.endpoint_links_max = 4;
    start(10);
    limits.endpoint_transactions_max = 4;
    bpi_pool_set_limits(&pool, &limits);
    fill(4); /* four may be open ... */
    limits.endpoint_transactions_max = 2;
    bpi_pool_set_limits(&pool, &limits);
    struct bpi_pool_link *first = leased(NEW, ANN);
    leased(NEW, ANN);
    struct bpi_pool_waiter *third = arrive(NEW, ANN);
    assert_int_equal(decide_until(now_us + PATIENCE_US).kind, BPI_POOL_NOTHING);
    assert_null(take(make(NEW, ANN)));
    assert_int_equal(bpi_pool_open_count(&pool), 4); /* ... and two in use */
    assert_int_equal(pool.endpoints[0].leased_count, 2);
    released(first);
    expect_grant(third, false);
}

static void an_endpoint_without_threads_left_leaves_the_work_to_another(void **state)
{
    (void)state;
    limits.endpoint_transactions_max = 2;
    start_on(10, 2);
    fill(4);
    unsigned on[2] = {0};
    for (unsigned i = 0; i < 4; i++) {
        on[leased(NEW, ANN)->endpoint]++;
    }
    assert_int_equal(on[0], 2);
    assert_int_equal(on[1], 2);
}

/* ---- ahead of need ---- */

static const struct bpi_pool_key warm_key = {.protocol = NEW, .identity = {BOB}};

static void idle_links_are_opened_ahead_as_the_warm_key(void **state)
{
    (void)state;
    limits.idle_min = 3;
    start(8);
    expect_nothing(); /* as whom? */
    bpi_pool_set_warm_key(&pool, &warm_key, NEW_BIT);
    for (unsigned i = 0; i < 3; i++) {
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_OPEN);
        assert_null(action.waiter);
        assert_null(action.like);
        assert_memory_equal(&action.link->key, &warm_key, sizeof(warm_key));
    }
    expect_nothing();
    for (unsigned i = 0; i < 8; i++) {
        if (places[i].state == BPI_POOL_OPENING) {
            opened(&places[i]);
        }
    }
    expect_nothing();
    assert_int_equal(pool.counts[BPI_POOL_IDLE], 3);
    expect_grant(arrive(NEW, BOB), false);
    bpi_pool_set_warm_key(&pool, NULL, 0);
    check_pool();
}

static void nothing_is_opened_ahead_above_a_limit_or_to_where_it_can_not_be(void **state)
{
    (void)state;
    limits.idle_min = 6;
    limits.endpoint_connects_max = 2;
    start(3);
    bpi_pool_endpoint_down(&pool, 0, 0, now_us);
    bpi_pool_set_warm_key(&pool, &warm_key, NEW_BIT);
    expect_nothing();
    bpi_pool_endpoint_up(&pool, 0);
    pool.endpoints[0].protocols = OLD_BIT;
    expect_nothing();
    pool.endpoints[0].protocols = NEW_BIT;
    struct bpi_pool_link *first = decide().link;
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
    expect_nothing(); /* two at a time */
    opened(first);
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
    expect_nothing();
    assert_int_equal(bpi_pool_open_count(&pool), 3);
}

static void a_log_in_that_failed_is_opened_ahead_no_more(void **state)
{
    (void)state;
    limits.idle_min = 2;
    start(4);
    bpi_pool_set_warm_key(&pool, &warm_key, NEW_BIT);
    struct bpi_pool_link *link = decide().link;
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
    bpi_pool_forget_identity(&pool, &warm_key);
    closed(link);
    assert_int_equal(decide_until(now_us + 10 * PATIENCE_US).kind, BPI_POOL_NOTHING);
}

static void ahead_openings_wait_for_the_end_of_a_back_off(void **state)
{
    (void)state;
    limits.idle_min = 1;
    start(4);
    bpi_pool_set_warm_key(&pool, &warm_key, NEW_BIT);
    pool.endpoints[0].open_after_us = now_us + 100 * MS;
    expect_nothing();
    assert_true(bpi_pool_next_us(&pool, now_us) == now_us + 100 * MS);
    assert_false(bpi_pool_is_calm(&pool));
    now_us += 100 * MS;
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
}

static void a_dead_idle_link_is_replaced_ahead(void **state)
{
    (void)state;
    limits.idle_min = 1;
    start(4);
    bpi_pool_set_warm_key(&pool, &warm_key, NEW_BIT);
    struct bpi_pool_link *link = decide().link;
    opened(link);
    expect_nothing();
    closing(link);
    closed(link);
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(a_spike_of_short_holds_opens_at_most_one_more),
        STORY(a_spike_on_a_pool_that_has_just_started_opens_few),
        STORY(long_holds_open_as_many_as_come),
        STORY(growth_within_a_bound_on_connects_still_comes_to_its_end),
        STORY(one_who_waits_alone_gets_a_link_of_its_own_in_the_end),
        STORY(a_slow_connect_is_paid_for_in_the_end),
        STORY(a_link_of_another_version_is_not_waited_for),
        STORY(an_opening_in_progress_counts_for_those_who_wait),
        STORY(the_first_waiter_of_an_empty_pool_has_its_link_opened_at_once),
        STORY(connects_at_a_time_are_bounded_by_endpoint),
        STORY(links_of_an_endpoint_are_bounded),
        STORY(an_endpoint_that_is_full_is_evicted_from_for_its_own_version),
        STORY(transactions_and_links_of_an_endpoint_are_counted_apart),
        STORY(an_endpoint_without_threads_left_leaves_the_work_to_another),
        STORY(idle_links_are_opened_ahead_as_the_warm_key),
        STORY(nothing_is_opened_ahead_above_a_limit_or_to_where_it_can_not_be),
        STORY(a_log_in_that_failed_is_opened_ahead_no_more),
        STORY(ahead_openings_wait_for_the_end_of_a_back_off),
        STORY(a_dead_idle_link_is_replaced_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
