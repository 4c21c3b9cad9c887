/* Shows how the pool keeps to links that are alive: checks before use, keep-alive, and links that fail in a row.
 */
#include "story.h"

#define MS BP_USEC_PER_MS

/* ---- checks before use, keep-alive ---- */

/* So many idle links that took 150 ms to connect, and were silent for longer than they may. */
static void start_silent(unsigned count)
{
    struct bpi_pool_key key = {.protocol = NEW, .identity = {ANN}};
    limits.check_after_us = 5 * BP_USEC_PER_SECOND;
    limits.idle_min = count;
    start(count + 2);
    bpi_pool_set_warm_key(&pool, &key, NEW_BIT);
    for (unsigned i = 0; i < count; i++) {
        struct bpi_pool_link *link = decide().link;
        now_us += 150 * MS;
        opened(link);
    }
    bpi_pool_set_warm_key(&pool, NULL, 0);
    now_us += limits.check_after_us + 1;
    expect_nothing();
    assert_int_equal(pool.counts[BPI_POOL_IDLE], count);
}

static void a_silent_link_is_checked_before_it_is_granted(void **state)
{
    (void)state;
    start_silent(1);
    struct bpi_pool_link *link = pool.lists[BPI_POOL_IDLE];
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    assert_null(take(waiter)); /* not the quick way */
    queue(waiter);
    expect_probe(link);
    expect_nothing();
    now_us += MS;
    checked(link);
    assert_ptr_equal(expect_grant(waiter, false), link);
    released(link);
    waiter = make(NEW, ANN);
    assert_ptr_equal(take(waiter), link); /* it was heard */
}

static void a_link_that_was_heard_in_time_is_not_checked(void **state)
{
    (void)state;
    limits.check_after_us = 5 * BP_USEC_PER_SECOND;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    now_us += 10 * BP_USEC_PER_SECOND; /* it was in use */
    released(link);
    now_us += limits.check_after_us;
    assert_ptr_equal(take(make(NEW, ANN)), link);
}

static void a_link_that_fails_its_check_lets_the_next_be_tried(void **state)
{
    (void)state;
    start_silent(2);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    struct bpi_pool_link *dead = action.link;
    expect_nothing(); /* one at a time for one waiter */
    closing(dead);
    action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_ptr_not_equal(action.link, dead);
    checked(action.link);
    assert_ptr_equal(expect_grant(waiter, false), action.link);
    closed(dead);
    expect_nothing();
}

static void a_slow_check_keeps_no_other_link_from_being_tried(void **state)
{
    (void)state;
    start_silent(2);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *slow = decide().link;
    expect_nothing();
    bp_usec slow_us = now_us + BPI_POOL_CHECK_SLOW_US;
    now_us += BPI_POOL_FIT_WAIT_US; /* nothing else is due before */
    expect_nothing();
    bp_usec next_us = bpi_pool_next_us(&pool, now_us);
    assert_true(next_us != 0 && next_us <= slow_us);
    struct bpi_pool_action action = decide_until(slow_us);
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_true(now_us <= slow_us);
    assert_ptr_not_equal(action.link, slow);
    struct bpi_pool_link *other = action.link;
    checked(other);
    assert_ptr_equal(expect_grant(waiter, false), other);
    now_us += MS;
    checked(slow); /* alive after all */
    expect_nothing();
    assert_int_equal(slow->state, BPI_POOL_IDLE);
}

static void a_check_that_never_ends_does_not_keep_a_waiter_for_ever(void **state)
{
    (void)state;
    start_silent(1);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *slow = decide().link;
    bp_usec begin_us = now_us;
    struct bpi_pool_action action = decide_until(now_us + 10 * BP_USEC_PER_SECOND);
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_ptr_equal(action.waiter, waiter);
    /* As soon as waiting costs more than connecting, several times over. */
    assert_true(now_us - begin_us < 2 * BP_USEC_PER_SECOND);
    opened(action.link);
    expect_grant(waiter, false);
    assert_int_equal(slow->state, BPI_POOL_CHECKING);
}

static void silent_links_are_checked_for_as_many_as_wait(void **state)
{
    (void)state;
    start_silent(5);
    for (int i = 0; i < 3; i++) {
        arrive(NEW, ANN);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(decide().kind, BPI_POOL_CHECK);
    }
    expect_nothing();
}

static void a_heard_link_is_logged_on_while_a_silent_one_is_checked(void **state)
{
    (void)state;
    limits.check_after_us = 5 * BP_USEC_PER_SECOND;
    start(3);
    struct bpi_pool_link *links[3];
    for (unsigned i = 0; i < 3; i++) {
        links[i] = leased(NEW, ANN);
    }
    released(links[0]);
    released(links[1]);
    now_us += 10 * BP_USEC_PER_SECOND;
    struct bpi_pool_waiter *bob = arrive(NEW, BOB);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK); /* there are silent links only */
    released(links[2]);
    action = decide_until(now_us + BPI_POOL_FIT_WAIT_US);
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, bob);
    assert_ptr_equal(action.link, links[2]);
}

static void a_silent_link_is_not_logged_on_anew_unchecked(void **state)
{
    (void)state;
    limits.check_after_us = 5 * BP_USEC_PER_SECOND;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    released(link);
    now_us += 10 * BP_USEC_PER_SECOND;
    struct bpi_pool_waiter *bob = arrive(NEW, BOB);
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    if (action.kind == BPI_POOL_CHECK) {
        checked(link);
        action = decide_until(now_us + PATIENCE_US);
    } else {
        /* The log-in is a round trip of its own, which tells as much. */
        assert_true(action.login);
    }
    assert_int_equal(action.kind, BPI_POOL_GRANT);
    assert_ptr_equal(action.waiter, bob);
}

static void idle_links_are_kept_alive_and_stay_as_long_idle(void **state)
{
    (void)state;
    limits.keep_alive_us = 30 * BP_USEC_PER_SECOND;
    limits.idle_timeout_us = 100 * BP_USEC_PER_SECOND;
    start(2);
    fill(2);
    bp_usec begin_us = now_us;
    unsigned checks = 0;
    struct bpi_pool_action action;
    while ((action = decide_until(begin_us + 99 * BP_USEC_PER_SECOND)).kind != BPI_POOL_NOTHING) {
        assert_int_equal(action.kind, BPI_POOL_CHECK);
        assert_true(now_us - action.link->heard_us >= limits.keep_alive_us);
        assert_true(now_us - action.link->heard_us < limits.keep_alive_us + BP_USEC_PER_SECOND);
        now_us += MS;
        checked(action.link);
        checks++;
    }
    assert_int_equal(checks, 6); /* 3 each */
    now_us = begin_us + limits.idle_timeout_us;
    assert_int_equal(decide().kind, BPI_POOL_CLOSE);
    assert_int_equal(decide().kind, BPI_POOL_CLOSE);
    expect_nothing();
}

static void a_check_that_is_left_out_leaves_the_link_as_it_was(void **state)
{
    (void)state;
    limits.keep_alive_us = 30 * BP_USEC_PER_SECOND;
    limits.check_after_us = 40 * BP_USEC_PER_SECOND;
    start(1);
    fill(1);
    struct bpi_pool_action action = decide_until(now_us + 30 * BP_USEC_PER_SECOND);
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_true(action.keep_alive);
    struct bpi_pool_link before = *action.link;
    limits.keep_alive_us = 0;
    bpi_pool_set_limits(&pool, &limits);
    now_us += 20 * BP_USEC_PER_SECOND;
    bpi_pool_link_unchecked(&pool, action.link, now_us);
    check_pool();
    assert_int_equal(action.link->state, BPI_POOL_IDLE);
    assert_int_equal(action.link->idle_us, before.idle_us);
    assert_int_equal(action.link->heard_us, before.heard_us);
    expect_nothing();
    /* And it is asked before use, which isn't the same. */
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_false(action.keep_alive);
    checked(action.link);
    expect_grant(waiter, false);
}

static void a_link_in_use_needs_no_keep_alive(void **state)
{
    (void)state;
    limits.keep_alive_us = 30 * BP_USEC_PER_SECOND;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    now_us += 20 * BP_USEC_PER_SECOND;
    released(link);
    bp_usec heard_us = now_us;
    expect_nothing();
    struct bpi_pool_action action = decide_until(now_us + 100 * BP_USEC_PER_SECOND);
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    assert_true(now_us == heard_us + limits.keep_alive_us);
}

static void the_server_can_be_asked_by_an_idle_link(void **state)
{
    (void)state;
    start_on(4, 2);
    struct bpi_pool_link *first = leased(NEW, ANN);
    assert_int_equal(first->endpoint, 0);
    assert_null(bpi_pool_take_for_check(&pool, 0, now_us));
    released(first);
    assert_null(bpi_pool_take_for_check(&pool, 1, now_us));
    assert_ptr_equal(bpi_pool_take_for_check(&pool, 0, now_us), first);
    check_pool();
    assert_int_equal(first->state, BPI_POOL_CHECKING);
    assert_null(take(make(NEW, ANN)));
    checked(first);
    assert_ptr_equal(take(make(NEW, ANN)), first);
}

/* ---- errors ---- */

static void a_link_that_fails_too_often_in_a_row_is_closed(void **state)
{
    (void)state;
    limits.errors_max = 3;
    start(2);
    struct bpi_pool_link *link = leased(NEW, ANN);
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 2; j++) {
            failed(link);
            expect_nothing();
            assert_ptr_equal(leased(NEW, ANN), link);
        }
        released(link); /* the row is broken */
        assert_ptr_equal(leased(NEW, ANN), link);
    }
    for (int j = 0; j < 2; j++) {
        failed(link);
        assert_ptr_equal(leased(NEW, ANN), link);
    }
    failed(link);
    expect_close(link);
    closed(link);
    /* The place starts anew. */
    struct bpi_pool_link *again = leased(NEW, ANN);
    failed(again);
    expect_nothing();
    assert_int_equal(again->errors, 1);
}

static void without_a_limit_errors_close_nothing(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    for (int i = 0; i < 1000; i++) {
        failed(link);
        expect_nothing();
        assert_ptr_equal(take(make(NEW, ANN)), link);
        waiters_count = 0;
    }
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(a_silent_link_is_checked_before_it_is_granted),
        STORY(a_link_that_was_heard_in_time_is_not_checked),
        STORY(a_link_that_fails_its_check_lets_the_next_be_tried),
        STORY(a_slow_check_keeps_no_other_link_from_being_tried),
        STORY(a_check_that_never_ends_does_not_keep_a_waiter_for_ever),
        STORY(silent_links_are_checked_for_as_many_as_wait),
        STORY(a_heard_link_is_logged_on_while_a_silent_one_is_checked),
        STORY(a_silent_link_is_not_logged_on_anew_unchecked),
        STORY(idle_links_are_kept_alive_and_stay_as_long_idle),
        STORY(a_check_that_is_left_out_leaves_the_link_as_it_was),
        STORY(a_link_in_use_needs_no_keep_alive),
        STORY(the_server_can_be_asked_by_an_idle_link),
        STORY(a_link_that_fails_too_often_in_a_row_is_closed),
        STORY(without_a_limit_errors_close_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
