/* How a link comes from one hand into the next: the quick way (take), callers that are threads (call and come), and
 * waiters of several loops.
 */
#include "story.h"

#include "base/random.h"

/* ---- loops ---- */

static void another_loop_is_kicked_once_to_open_its_link(void **state)
{
    (void)state;
    start(3);
    struct bpi_pool_waiter *far[2];
    for (unsigned i = 0; i < 2; i++) {
        far[i] = make(NEW, ANN);
        far[i]->loop = 1;
        queue(far[i]);
    }
    struct bpi_pool_action action = decide_on(0);
    assert_int_equal(action.kind, BPI_POOL_KICK);
    assert_int_equal(action.loop, 1);
    assert_int_equal(decide_on(0).kind, BPI_POOL_NOTHING);
    for (unsigned i = 0; i < 2; i++) {
        action = decide_on(1);
        assert_int_equal(action.kind, BPI_POOL_OPEN);
        assert_ptr_equal(action.waiter, far[i]);
        assert_int_equal(action.link->loop, 1);
    }
    assert_int_equal(decide_on(1).kind, BPI_POOL_NOTHING);
}

static void a_kick_that_came_too_late_is_sent_again(void **state)
{
    (void)state;
    start(2);
    struct bpi_pool_link *busy = leased(NEW, ANN);
    struct bpi_pool_waiter *far = make(OLD, BOB);
    far->loop = 1;
    queue(far);
    assert_int_equal(decide_on(0).kind, BPI_POOL_KICK);
    limits.links_max = 1; /* the place goes before the kick arrives */
    bpi_pool_set_limits(&pool, &limits);
    assert_int_equal(decide_on(1).kind, BPI_POOL_NOTHING);
    closing(busy);
    closed(busy);
    assert_int_equal(decide_on(0).kind, BPI_POOL_KICK);
    assert_int_equal(decide_on(1).kind, BPI_POOL_OPEN);
}

static void a_place_is_kept_for_an_older_waiter_of_a_kicked_loop(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_waiter *far = make(OLD, BOB);
    far->loop = 1;
    queue(far);
    struct bpi_pool_waiter *near = arrive(NEW, ANN);
    assert_int_equal(decide_on(0).kind, BPI_POOL_KICK);
    assert_int_equal(decide_on(0).kind, BPI_POOL_NOTHING);
    assert_null(near->opening);
    struct bpi_pool_action action = decide_on(1);
    assert_ptr_equal(action.waiter, far);
    assert_int_equal(decide_on(1).kind, BPI_POOL_NOTHING);
}

static void a_cancelled_waiter_of_a_kicked_loop_frees_its_place(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_waiter *far = make(OLD, BOB);
    far->loop = 1;
    queue(far);
    struct bpi_pool_waiter *near = arrive(NEW, ANN);
    assert_int_equal(decide_on(0).kind, BPI_POOL_KICK);
    assert_int_equal(decide_on(0).kind, BPI_POOL_NOTHING);
    assert_true(cancel(far));
    /* Cancelled on its own loop, which asks and finds the place free for this one. */
    struct bpi_pool_action action = decide_on(1);
    assert_int_equal(action.kind, BPI_POOL_KICK);
    assert_int_equal(action.loop, 0);
    expect_open(near);
}

static void a_grant_goes_to_a_waiter_of_any_loop(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *far = make(NEW, ANN);
    far->loop = 5;
    queue(far);
    released(link);
    assert_ptr_equal(expect_grant(far, false), link);
}

/* ---- the own loop ---- */

static struct bpi_pool_waiter *arrive_on(unsigned loop)
{
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->loop = loop;
    return queue(waiter);
}

static void a_returned_link_goes_to_the_oldest_of_its_own_loop(void **state)
{
    (void)state;
    limits.pass_over_us = 1000;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *far = arrive_on(1);
    struct bpi_pool_waiter *near[2] = {arrive_on(0), arrive_on(0)};
    for (unsigned i = 0; i < 2; i++) {
        now_us += 100;
        released(link);
        expect_grant(near[i], false);
    }
    now_us += 100;
    released(link);
    expect_grant(far, false);
}

static void one_of_another_loop_is_passed_over_only_for_a_while(void **state)
{
    (void)state;
    limits.pass_over_us = 1000;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *far = arrive_on(1);
    for (unsigned i = 0; i < 20; i++) {
        arrive_on(0);
    }
    bp_usec begin_us = now_us;
    while (far->state == BPI_POOL_WAITER_QUEUED) {
        now_us += 90;
        released(link);
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        link->loop = action.waiter->loop;
    }
    assert_in_range(now_us - begin_us, 1000, 1089);
}

static void without_pass_over_the_oldest_is_served_whatever_its_loop(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *far = arrive_on(1);
    arrive_on(0);
    released(link);
    expect_grant(far, false);
}

/* The first in order is young, and stands for the whole class only if nobody behind it is old. */
static void one_who_has_waited_long_is_not_passed_over_because_of_a_young_one(void **state)
{
    (void)state;
    limits.pass_over_us = 1000;
    start(2);
    struct bpi_pool_waiter *holder = make(NEW, ANN);
    holder->tenant_key = 1;
    struct bpi_pool_link *held = serve(queue(holder)); /* so that tenant 1 comes after tenant 2 */
    struct bpi_pool_link *link = leased(NEW, BOB);
    struct bpi_pool_waiter *queued[3];
    for (unsigned i = 0; i < 3; i++) {
        queued[i] = make(NEW, BOB);
        queued[i]->tenant_key = i == 2 ? 2 : 1;
        queued[i]->loop = i == 1 ? 0 : 1;
    }
    queue(queued[0]); /* far and old */
    queue(queued[1]); /* near */
    now_us += 5000;
    queue(queued[2]); /* far, young, and first */
    released(link);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_not_equal(action.waiter, queued[1]);
    (void)held;
}

static void the_own_loop_outdoes_neither_priority_nor_class(void **state)
{
    (void)state;
    limits.pass_over_us = 1000;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    limits_of(BPI_CLASS_HIGH_PRIORITY)->min = 1;
    bpi_pool_set_limits(&pool, &limits);
    struct bpi_pool_waiter *high = make(NEW, ANN);
    high->priority = BPI_PRIORITY_HIGH;
    high->loop = 1;
    queue(high);
    struct bpi_pool_waiter *other = make_in(BPI_CLASS_HIGH_PRIORITY);
    other->loop = 2;
    queue(other);
    struct bpi_pool_waiter *near = arrive_on(0);
    released(link);
    expect_grant(other, false);
    limits_of(BPI_CLASS_HIGH_PRIORITY)->min = 0;
    bpi_pool_set_limits(&pool, &limits);
    link->loop = 0;
    released(link);
    expect_grant(high, false);
    released(link);
    expect_grant(near, false);
}

/* ---- the quick way ---- */

static void a_fitting_idle_link_is_taken_without_a_queue(void **state)
{
    (void)state;
    start(2);
    fill(2);
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    struct bpi_pool_link *link = take(waiter);
    assert_non_null(link);
    assert_int_equal(pool.classes[BPI_CLASS_READ_WRITE].leased, 1);
    assert_int_equal(link->class_, BPI_CLASS_READ_WRITE);
    assert_false(cancel(waiter));
    assert_null(take(make(NEW, BOB))); /* it fits by log-in only */
    assert_null(take(make(OLD, ANN)));
    released(link);
    expect_nothing();
    /* A waiter whose link was dead comes back from here as well. */
    waiter = make(NEW, ANN);
    link = take(waiter);
    bpi_pool_wait_again(&pool, waiter);
    closing(link);
    serve(waiter);
}

static void nobody_takes_before_those_who_must_go_first(void **state)
{
    (void)state;
    start(2);
    fill(2);
    struct bpi_pool_link *link = take(make(NEW, ANN));
    take(make(NEW, ANN));
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    released(link);
    assert_null(take(make(NEW, ANN)));
    expect_grant(waiter, false);
}

static void what_others_lack_is_not_taken(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 2;
    limits_of(BPI_CLASS_ANALYTICS)->max = 1;
    start(4);
    fill(4);
    assert_non_null(take(make_in(BPI_CLASS_ANALYTICS)));
    assert_null(take(make_in(BPI_CLASS_ANALYTICS))); /* its cap */
    assert_non_null(take(make_in(BPI_CLASS_READ_WRITE)));
    assert_null(take(make_in(BPI_CLASS_READ_WRITE))); /* another one's minimum */
    assert_non_null(take(make_in(BPI_CLASS_READ_ONLY)));
    assert_non_null(take(make_in(BPI_CLASS_READ_ONLY)));
}

static void caps_of_users_and_databases_hold_for_taking(void **state)
{
    (void)state;
    limits.user_links_max = 2;
    limits.database_links_max = 1;
    start(6);
    fill(2);
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->database_key = 7;
    assert_non_null(take(waiter));
    waiter = make(NEW, ANN);
    waiter->database_key = 7;
    assert_null(take(waiter));
    waiter->database_key = 0; /* not counted */
    assert_non_null(take(waiter));
    assert_null(take(make(NEW, ANN)));
}

static void a_stale_or_doomed_link_is_not_taken(void **state)
{
    (void)state;
    limits.auth_ttl_us = BP_USEC_PER_SECOND;
    start(2);
    fill(1);
    now_us += BP_USEC_PER_SECOND;
    assert_null(take(make(NEW, ANN)));
    struct bpi_pool_link *link = serve(arrive(NEW, ANN));
    released(link);
    bpi_pool_doom_all(&pool);
    assert_null(take(make(NEW, ANN)));
    expect_close(link);
}

/* ---- threads ---- */

#define PASS_OVER_US ((bp_usec)4000)

static struct bpi_pool_link *come(struct bpi_pool_waiter *waiter)
{
    struct bpi_pool_link *link = bpi_pool_come(&pool, waiter, now_us);
    check_pool();
    assert_false(waiter->called);
    if (link == NULL) {
        assert_int_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
    } else {
        assert_int_equal(waiter->state, BPI_POOL_WAITER_GRANTED);
        assert_int_equal(link->state, BPI_POOL_LEASED);
    }
    return link;
}

/* One link that is in use, among threads. */
static struct bpi_pool_link *start_barging(void)
{
    limits.barging = true;
    limits.pass_over_us = PASS_OVER_US;
    start(1);
    fill(1);
    return take(make(NEW, ANN));
}

static void a_returned_link_is_called_out_and_not_handed_over(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    expect_nothing();
    released(link);
    expect_call(waiter);
    assert_int_equal(link->state, BPI_POOL_IDLE);
    expect_nothing(); /* once */
    assert_ptr_equal(come(waiter), link);
    expect_nothing();
}

static void whoever_comes_first_takes_it(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    released(link);
    expect_call(waiter);
    assert_ptr_equal(take(make(NEW, ANN)), link); /* one that was running anyway */
    assert_null(come(waiter));                    /* waits on, with its old place and time */
    expect_nothing();
    released(link);
    expect_call(waiter); /* and is called again */
    assert_ptr_equal(come(waiter), link);
}

static void who_has_waited_long_enough_is_handed_the_link(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    for (int i = 0; i < 3; i++) {
        now_us += PASS_OVER_US / 4;
        released(link);
        if (i == 0) {
            expect_call(waiter); /* and sleeps on */
        }
        expect_nothing();
        assert_ptr_equal(take(make(NEW, ANN)), link);
    }
    now_us += PASS_OVER_US / 4;
    released(link);
    assert_null(take(make(NEW, ANN))); /* nobody goes before it now */
    assert_ptr_equal(expect_grant(waiter, false), link);
    assert_null(bpi_pool_come(&pool, waiter, now_us)); /* it has its link */
    check_pool();
}

static void a_call_that_is_not_followed_loses_nothing(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *first = arrive(NEW, ANN);
    now_us += 10;
    struct bpi_pool_waiter *second = arrive(NEW, ANN);
    released(link);
    expect_call(first);
    expect_nothing();
    /* It never comes: the link is its own when its time is up, and the pool says when. */
    assert_true(bpi_pool_next_us(&pool, now_us) == first->arrived_us + PASS_OVER_US);
    struct bpi_pool_action action = decide_until(first->arrived_us + PASS_OVER_US);
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, first);
    assert_true(now_us == first->arrived_us + PASS_OVER_US);
    released(link);
    action = decide();
    assert_true(action.kind == BPI_POOL_CALL || action.kind == BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, second);
}

static void another_is_called_when_the_one_that_was_called_leaves(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *first = arrive(NEW, ANN);
    struct bpi_pool_waiter *second = arrive(NEW, ANN);
    released(link);
    expect_call(first);
    assert_true(cancel(first));
    expect_call(second);
    assert_ptr_equal(come(second), link);
}

static void another_is_called_when_the_one_that_was_called_expires(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *first = make(NEW, ANN);
    first->expires_us = now_us + 1000;
    queue(first);
    struct bpi_pool_waiter *second = arrive(NEW, ANN);
    released(link);
    expect_call(first);
    now_us += 1000;
    expect_refuse(first, BPI_POOL_EXPIRED);
    assert_null(bpi_pool_come(&pool, first, now_us));
    expect_call(second);
}

static void as_many_are_called_as_links_are_there(void **state)
{
    (void)state;
    limits.barging = true;
    limits.pass_over_us = PASS_OVER_US;
    start(3);
    fill(3);
    struct bpi_pool_link *links[3];
    struct bpi_pool_waiter *queued[5];
    for (unsigned i = 0; i < 3; i++) {
        links[i] = take(make(NEW, ANN));
    }
    for (unsigned i = 0; i < 5; i++) {
        queued[i] = arrive(NEW, ANN);
    }
    for (unsigned i = 0; i < 3; i++) {
        released(links[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        expect_call(queued[i]);
    }
    expect_nothing();
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(come(queued[i]));
    }
}

static void one_who_comes_finds_no_link_of_another_identity(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *ann = arrive(NEW, ANN);
    released(link);
    expect_call(ann);
    assert_null(bpi_pool_take(&pool, make(NEW, BOB), now_us));
    assert_ptr_equal(come(ann), link);
    struct bpi_pool_waiter *bob = arrive(NEW, BOB);
    released(link);
    /* It fits by log-in: that is granted, since nobody could come by and do so. */
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, bob);
    assert_true(action.login);
}

static void who_barges_is_of_no_lower_rank(void **state)
{
    (void)state;
    struct bpi_pool_link *link = start_barging();
    struct bpi_pool_waiter *high = make(NEW, ANN);
    high->priority = BPI_PRIORITY_HIGH;
    queue(high);
    released(link);
    expect_call(high);
    assert_null(take(make(NEW, ANN)));
    assert_ptr_equal(come(high), link);
}

static void a_class_below_its_minimum_is_not_barged_past(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_ONLY)->min = 1;
    limits_of(BPI_CLASS_READ_ONLY)->share = 1;
    limits.barging = true;
    limits.pass_over_us = PASS_OVER_US;
    start(1);
    fill(1);
    struct bpi_pool_link *link = take(make_in(BPI_CLASS_READ_ONLY));
    struct bpi_pool_waiter *waiter = arrive_in(BPI_CLASS_READ_ONLY);
    released(link);
    expect_call(waiter);
    assert_null(take(make_in(BPI_CLASS_ANALYTICS)));
    assert_ptr_equal(come(waiter), link);
}

/* Threads that come, take, wait and are called in any order: whoever is called comes some time later. */
static void no_wake_up_is_lost_among_threads(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, STORY_SEED);
    start_barging();
    released(&places[0]);
    bp_usec wait_us_max = 0;
    bp_usec called_us[16] = {0};
    bp_usec until_us = 0;
    waiters_count = 0;
    for (unsigned i = 0; i < 16; i++) {
        make(NEW, ANN);
    }
    for (unsigned step = 0; step < 200000; step++) {
        now_us += bpi_random_below(&random, 20);
        unsigned i = (unsigned)bpi_random_below(&random, 16);
        struct bpi_pool_link *link = &places[0];
        if (link->state == BPI_POOL_LEASED && now_us >= until_us) {
            released(link);
        } else if (waiters[i].state == BPI_POOL_WAITER_QUEUED) {
            if (waiters[i].called && now_us > called_us[i] + 50 && come(&waiters[i]) != NULL) {
                until_us = now_us + 100;
            }
        } else if (link->state != BPI_POOL_LEASED || bpi_random_below(&random, 4) == 0) {
            if (take(&waiters[i]) != NULL) {
                until_us = now_us + 100;
            } else {
                queue(&waiters[i]);
            }
        }
        struct bpi_pool_action action;
        while ((action = decide()).kind != BPI_POOL_NOTHING) {
            unsigned index = (unsigned)(action.waiter - waiters);
            if (action.kind == BPI_POOL_CALL) {
                called_us[index] = now_us;
            } else {
                assert_int_equal(action.kind, BPI_POOL_GRANT);
                until_us = now_us + 100;
            }
        }
        /* Somebody waits and a link lies idle: then somebody is called, and will come. */
        bool is_any_called = false;
        for (unsigned j = 0; j < 16; j++) {
            if (waiters[j].state == BPI_POOL_WAITER_QUEUED) {
                bp_usec waited_us = now_us - waiters[j].arrived_us;
                wait_us_max = waited_us > wait_us_max ? waited_us : wait_us_max;
                is_any_called |= waiters[j].called;
            }
        }
        assert_true(pool.waiters_count == 0 || link->state == BPI_POOL_LEASED || is_any_called);
    }
    print_message("longest wait among 16 threads: %.2f ms\n", (double)wait_us_max / 1000);
    assert_true(wait_us_max < PASS_OVER_US + 16 * 150);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(another_loop_is_kicked_once_to_open_its_link),
        STORY(a_kick_that_came_too_late_is_sent_again),
        STORY(a_place_is_kept_for_an_older_waiter_of_a_kicked_loop),
        STORY(a_cancelled_waiter_of_a_kicked_loop_frees_its_place),
        STORY(a_grant_goes_to_a_waiter_of_any_loop),
        STORY(a_returned_link_goes_to_the_oldest_of_its_own_loop),
        STORY(one_of_another_loop_is_passed_over_only_for_a_while),
        STORY(without_pass_over_the_oldest_is_served_whatever_its_loop),
        STORY(one_who_has_waited_long_is_not_passed_over_because_of_a_young_one),
        STORY(the_own_loop_outdoes_neither_priority_nor_class),
        STORY(a_fitting_idle_link_is_taken_without_a_queue),
        STORY(nobody_takes_before_those_who_must_go_first),
        STORY(what_others_lack_is_not_taken),
        STORY(caps_of_users_and_databases_hold_for_taking),
        STORY(a_stale_or_doomed_link_is_not_taken),
        STORY(a_returned_link_is_called_out_and_not_handed_over),
        STORY(whoever_comes_first_takes_it),
        STORY(who_has_waited_long_enough_is_handed_the_link),
        STORY(a_call_that_is_not_followed_loses_nothing),
        STORY(another_is_called_when_the_one_that_was_called_leaves),
        STORY(another_is_called_when_the_one_that_was_called_expires),
        STORY(as_many_are_called_as_links_are_there),
        STORY(one_who_comes_finds_no_link_of_another_identity),
        STORY(who_barges_is_of_no_lower_rank),
        STORY(a_class_below_its_minimum_is_not_barged_past),
        STORY(no_wake_up_is_lost_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
