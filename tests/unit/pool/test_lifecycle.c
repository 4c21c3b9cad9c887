/* What becomes of a link and of a waiter, from the opening to the close: endpoints that go and come, ages, pause and
 * drain, clocks that jump; closing in each state, and cancelling in each state. Checks and errors: test_health.c.
 */
#include "story.h"

#define MS BP_USEC_PER_MS

/* ---- openings, closings, endpoints ---- */

static void a_failed_opening_is_tried_again_for_the_same_waiter(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_waiter *first = arrive(NEW, ANN);
    struct bpi_pool_waiter *second = arrive(NEW, ANN);
    struct bpi_pool_link *link = expect_open(first);
    expect_nothing();
    closed(link);
    link = expect_open(first);
    closing(link); /* given up, and still connected */
    expect_nothing();
    closed(link);
    opened(expect_open(first));
    expect_grant(first, false);
    (void)second;
}

static void an_endpoint_that_is_down_gets_no_openings(void **state)
{
    (void)state;
    start(2);
    bpi_pool_endpoint_down(&pool, 0, 0, now_us);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    arrive_check(NEW, ANN);
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), 0);
    bpi_pool_endpoint_up(&pool, 0);
    assert_int_equal(decide().kind, BPI_POOL_OPEN);
    expect_open(waiter);
}

static void an_endpoint_in_backoff_is_opened_to_when_its_time_comes(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    pool.endpoints[0].open_after_us = now_us + 100000;
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), now_us + 100000);
    now_us += 100000;
    expect_open(waiter);
}

static void a_waiter_in_backoff_at_the_limit_is_woken_to_evict(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    released(link);
    arrive(OLD, ANN);
    pool.endpoints[0].open_after_us = now_us + 100000;
    expect_nothing();
    now_us += BPI_POOL_FIT_WAIT_US;
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), pool.endpoints[0].open_after_us);
    now_us = pool.endpoints[0].open_after_us;
    expect_close(link);
}

static void only_endpoints_that_speak_the_version_are_opened_to(void **state)
{
    (void)state;
    start_on(4, 2);
    pool.endpoints[0].protocols = NEW_BIT;
    pool.endpoints[1].protocols = OLD_BIT;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(expect_open(arrive(OLD, ANN))->endpoint, 1);
    }
    assert_int_equal(expect_open(arrive(NEW, ANN))->endpoint, 0);
}

static void doomed_links_are_closed_when_they_are_idle(void **state)
{
    (void)state;
    start(4);
    struct bpi_pool_link *idle = leased(NEW, ANN);
    struct bpi_pool_link *busy = leased(NEW, ANN);
    struct bpi_pool_link *other = leased(NEW, BOB);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *opening = expect_open(waiter);
    released(idle);
    released(other);
    bpi_pool_forget_identity(&pool, &idle->key);
    expect_close(idle);
    expect_nothing(); /* its waiter is patient, though the other link could swap its log-in */
    opened(opening);
    expect_close(opening);
    closed(opening);
    opening = expect_open(waiter);
    released(busy);
    expect_close(busy);
    bpi_pool_doom_all(&pool);
    expect_close(other);
    opened(opening);
    expect_close(opening);
    for (unsigned i = 0; i < 4; i++) {
        if (places[i].state == BPI_POOL_CLOSING) {
            closed(&places[i]);
        }
    }
    opened(expect_open(waiter)); /* a place is as good as new */
    expect_grant(waiter, false);
}

static void a_lowered_limit_shrinks_the_pool_under_load(void **state)
{
    (void)state;
    start(4);
    struct bpi_pool_link *links[4];
    for (unsigned i = 0; i < 4; i++) {
        links[i] = leased(NEW, ANN);
    }
    struct bpi_pool_waiter *first = arrive(NEW, ANN);
    struct bpi_pool_waiter *second = arrive(NEW, ANN);
    limits.links_max = 2;
    bpi_pool_set_limits(&pool, &limits);
    expect_nothing();
    released(links[0]);
    expect_close(links[0]);
    released(links[1]);
    expect_close(links[1]);
    released(links[2]);
    /* Two are on their way out, which is enough though they still count. */
    expect_grant(first, false);
    expect_nothing();
    closed(links[0]);
    closed(links[1]);
    expect_nothing();
    released(links[3]);
    expect_grant(second, false);
    assert_int_equal(bpi_pool_open_count(&pool), 2);
}

static void an_idle_link_is_closed_after_its_time(void **state)
{
    (void)state;
    limits.idle_timeout_us = 1000000;
    start(2);
    struct bpi_pool_link *first = leased(NEW, ANN);
    struct bpi_pool_link *second = leased(NEW, ANN);
    released(first);
    now_us += 1000;
    released(second);
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), first->idle_us + 1000000);
    now_us = first->idle_us + 1000000;
    expect_close(first);
    expect_nothing();
    now_us = bpi_pool_next_us(&pool, now_us);
    expect_close(second);
    assert_int_equal(bpi_pool_next_us(&pool, now_us), 0);
}

static void a_link_is_closed_at_its_first_idle_moment_after_its_life(void **state)
{
    (void)state;
    limits.lifetime_us = 1000000;
    start(2);
    struct bpi_pool_link *busy = leased(NEW, ANN);
    struct bpi_pool_link *idle = leased(NEW, ANN);
    released(idle);
    expect_nothing();
    now_us = bpi_pool_next_us(&pool, now_us);
    assert_in_range(now_us - idle->opened_us, 900000, 1000000);
    assert_int_equal(now_us, idle->life_until_us);
    expect_close(idle);
    expect_nothing();
    arrive(NEW, BOB);
    now_us = busy->opened_us + 1000000;
    released(busy);
    expect_close(busy);
}

static void another_lifetime_is_for_open_links_too_where_they_are_told(void **state)
{
    (void)state;
    limits.lifetime_us = 10 * BP_USEC_PER_SECOND;
    start(3);
    struct bpi_pool_link *busy = leased(NEW, ANN);
    struct bpi_pool_link *idle = leased(NEW, ANN);
    struct bpi_pool_link *last = leased(NEW, ANN);
    released(idle);
    now_us = last->life_until_us - MS;
    released(last); /* it wants a replacement */
    assert_int_equal(pool.ending_count, 1);
    /* No end: nothing is replaced or closed, and the links are granted. */
    limits.lifetime_us = 0;
    bpi_pool_set_limits(&pool, &limits);
    bpi_pool_renew_lives(&pool, now_us);
    check_pool();
    assert_int_equal(pool.ending_count, 0);
    now_us += 100 * BP_USEC_PER_SECOND;
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), 0);
    released(busy);
    expect_nothing();
    assert_non_null(take(make(NEW, ANN)));
    /* An end again: what is too old goes, but not at this moment, and not later than a tenth. */
    limits.lifetime_us = 2000 * MS;
    bpi_pool_set_limits(&pool, &limits);
    bpi_pool_renew_lives(&pool, now_us);
    check_pool();
    for (unsigned i = 0; i < 3; i++) {
        assert_true(places[i].life_until_us > now_us);
        assert_true(places[i].life_until_us <= now_us + 201 * MS);
    }
    bp_usec begin_us = now_us;
    for (unsigned i = 0; i < 2; i++) {
        struct bpi_pool_action action = decide_until(begin_us + 201 * MS);
        assert_int_equal(action.kind, BPI_POOL_CLOSE);
        closed(action.link);
    }
}

static void times_of_a_loop_whose_clock_is_ahead_count_as_now(void **state)
{
    (void)state;
    limits.idle_timeout_us = 1000000;
    limits.lifetime_us = 1000000;
    limits.auth_ttl_us = 1000000;
    start(1);
    now_us += 1000;
    struct bpi_pool_link *link = leased(NEW, ANN);
    released(link);
    now_us -= 1000;
    expect_nothing();
    expect_grant(arrive(NEW, ANN), false);
    released(link);
    expect_nothing();
    assert_int_equal(link->state, BPI_POOL_IDLE);
}

/* ---- cancelling and coming again ---- */

static void a_waiter_can_be_cancelled_in_every_state(void **state)
{
    (void)state;
    start(2);
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    assert_true(cancel(waiter)); /* never queued */
    queue(waiter);
    assert_true(cancel(waiter)); /* queued */
    assert_int_equal(waiter->state, BPI_POOL_WAITER_NONE);
    expect_nothing();

    queue(waiter);
    struct bpi_pool_link *link = expect_open(waiter);
    assert_true(cancel(waiter)); /* a link is opened for it */
    memset(waiter, 0xff, sizeof(*waiter));
    check_pool();
    opened(link);
    expect_nothing();
    assert_int_equal(link->state, BPI_POOL_IDLE);

    struct bpi_pool_link *other = leased(NEW, BOB);
    released(other);
    waiter = arrive(OLD, ANN);
    expect_close(link);
    assert_true(cancel(waiter)); /* a link is closed for it */
    memset(waiter, 0xff, sizeof(*waiter));
    closed(link);
    expect_nothing();

    waiter = arrive(NEW, BOB);
    expect_grant(waiter, false);
    assert_false(cancel(waiter)); /* granted */

    struct bpi_pool_waiter *check = arrive_check(NEW, CAT);
    assert_true(cancel(check));
    expect_nothing();
}

static void a_granted_waiter_whose_link_is_dead_keeps_its_turn(void **state)
{
    (void)state;
    start(2);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_link *other = leased(NEW, ANN);
    struct bpi_pool_waiter *queued[3];
    for (unsigned i = 0; i < 3; i++) {
        queued[i] = arrive(NEW, ANN);
        now_us += 10;
    }
    released(link);
    released(other);
    expect_grant(queued[0], false);
    expect_grant(queued[1], false);
    uint64_t arrived_us = queued[0]->arrived_us;
    bpi_pool_wait_again(&pool, queued[1]);
    bpi_pool_wait_again(&pool, queued[0]);
    assert_int_equal(queued[0]->arrived_us, arrived_us);
    check_pool();
    closing(link);
    closing(other);
    closing(other); /* twice does no harm */
    closed(link);
    closed(other);
    link = expect_open(queued[0]);
    other = expect_open(queued[1]);
    opened(other);
    expect_grant(queued[0], false);
    opened(link);
    expect_grant(queued[1], false);
    expect_nothing();
}

static void waiters_of_a_refused_login_are_taken_out(void **state)
{
    (void)state;
    start(1);
    leased(NEW, BOB);
    struct bpi_pool_waiter *ann = arrive(NEW, ANN);
    struct bpi_pool_waiter *bob = arrive(NEW, BOB);
    struct bpi_pool_waiter *old = arrive(OLD, ANN);
    assert_ptr_equal(bpi_pool_take_waiter(&pool, &ann->key, now_us), ann);
    assert_ptr_equal(bpi_pool_take_waiter(&pool, &ann->key, now_us), old);
    assert_null(bpi_pool_take_waiter(&pool, &ann->key, now_us));
    check_pool();
    assert_int_equal(bob->state, BPI_POOL_WAITER_QUEUED);
}

static void a_place_that_is_added_is_used(void **state)
{
    (void)state;
    static struct bpi_pool_link more;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    limits.links_max = 2;
    bpi_pool_set_limits(&pool, &limits);
    expect_nothing();
    memset(&more, 0, sizeof(more));
    bpi_pool_add_place(&pool, &more);
    assert_ptr_equal(expect_open(waiter), &more);
}

/* ---- ages ---- */

static void lives_end_apart_and_within_a_tenth(void **state)
{
    (void)state;
    limits.lifetime_us = 1000 * BP_USEC_PER_SECOND;
    start(40);
    fill(40);
    bp_usec first_us = UINT64_MAX;
    bp_usec last_us = 0;
    for (unsigned i = 0; i < 40; i++) {
        bp_usec life_us = places[i].life_until_us - places[i].opened_us;
        assert_in_range(life_us, limits.lifetime_us / 10 * 9, limits.lifetime_us);
        first_us = life_us < first_us ? life_us : first_us;
        last_us = life_us > last_us ? life_us : last_us;
    }
    assert_true(last_us - first_us > limits.lifetime_us / 20); /* not all at one time */
}

static void every_idle_link_ends_at_its_time_not_only_the_longest_idle(void **state)
{
    (void)state;
    limits.lifetime_us = 1000 * MS;
    start(2);
    struct bpi_pool_link *old = leased(NEW, ANN);
    now_us += 500 * MS;
    struct bpi_pool_link *young = leased(NEW, ANN);
    released(young);
    now_us += MS;
    released(old); /* the most recently used: it would be the next one to be taken */
    expect_nothing();
    bp_usec end_us = old->life_until_us;
    assert_true(bpi_pool_next_us(&pool, now_us) <= end_us);
    now_us = end_us;
    struct bpi_pool_action action = decide();
    while (action.kind == BPI_POOL_OPEN) {
        action = decide(); /* its replacement */
    }
    assert_int_equal(action.kind, BPI_POOL_CLOSE);
    assert_ptr_equal(action.link, old);
}

static void a_link_beyond_its_life_is_not_granted(void **state)
{
    (void)state;
    limits.lifetime_us = 1000 * MS;
    start(2);
    struct bpi_pool_link *old = leased(NEW, ANN);
    now_us += 500 * MS;
    struct bpi_pool_link *young = leased(NEW, ANN);
    released(young);
    released(old);
    now_us = old->life_until_us + MS;
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    struct bpi_pool_link *link = take(waiter);
    if (link == NULL) {
        link = serve(queue(waiter));
    }
    assert_ptr_equal(link, young);
}

/* Links that are in use all the time: nobody waits for a connect when their lives end. */
static void links_in_use_are_replaced_before_their_end(void **state)
{
    (void)state;
    limits.lifetime_us = 10 * BP_USEC_PER_SECOND;
    start(4);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_link *opening = NULL;
    bp_usec opening_due_us = 0;
    unsigned replacements = 0;
    unsigned opened_for_waiters = 0;
    for (unsigned i = 0; i < 30000; i++) { /* 30 s of 1 ms each */
        now_us += MS;
        released(link);
        if (opening != NULL && now_us >= opening_due_us) {
            opened(opening);
            opening = NULL;
        }
        struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
        struct bpi_pool_action action;
        link = NULL;
        while ((action = decide()).kind != BPI_POOL_NOTHING) {
            if (action.kind == BPI_POOL_OPEN) {
                if (action.waiter != NULL) {
                    opened_for_waiters++;
                } else {
                    assert_non_null(action.like);
                    assert_memory_equal(&action.link->key, &action.like->key,
                                        sizeof(action.link->key));
                    assert_int_equal(action.link->endpoint, action.like->endpoint);
                    assert_true(now_us < action.like->life_until_us);
                    replacements++;
                }
                assert_null(opening);
                opening = action.link;
                opening_due_us = now_us + 150 * MS;
            } else if (action.kind == BPI_POOL_CLOSE) {
                closed(action.link);
            } else {
                assert_int_equal(action.kind, BPI_POOL_GRANT);
                assert_ptr_equal(action.waiter, waiter);
                link = action.link;
            }
        }
        assert_non_null(link); /* nobody had to wait */
        waiters_count = 0;
    }
    assert_in_range(replacements, 2, 4); /* one each nine to ten seconds */
    assert_int_equal(opened_for_waiters, 0);
}

static void a_log_in_that_was_refused_has_no_successor(void **state)
{
    (void)state;
    limits.lifetime_us = 10 * BP_USEC_PER_SECOND;
    start(4);
    struct bpi_pool_link *link = leased(NEW, ANN);
    now_us = link->life_until_us - 10 * MS;
    released(link); /* it would be replaced now */
    bpi_pool_forget_identity(&pool, &link->key);
    check_pool();
    expect_close(link);
    expect_nothing();
}

static void at_the_limit_there_is_no_place_for_a_replacement(void **state)
{
    (void)state;
    limits.lifetime_us = 10 * BP_USEC_PER_SECOND;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    now_us = link->life_until_us - 10 * MS;
    released(link);
    expect_nothing();
    link = leased(NEW, ANN);
    now_us = link->life_until_us;
    released(link);
    expect_close(link);
}

static void idle_links_are_trimmed_down_to_idle_min(void **state)
{
    (void)state;
    limits.idle_min = 2;
    limits.idle_timeout_us = 1000 * MS;
    start(6);
    fill(6);
    unsigned closed_count = 0;
    struct bpi_pool_action action;
    while ((action = decide_until(now_us + 100 * BP_USEC_PER_SECOND)).kind != BPI_POOL_NOTHING) {
        assert_int_equal(action.kind, BPI_POOL_CLOSE);
        closed_count++;
    }
    assert_int_equal(closed_count, 4);
    assert_int_equal(pool.counts[BPI_POOL_IDLE], 2);
}

/* ---- pause and drain ---- */

static void while_paused_nothing_is_granted_or_opened(void **state)
{
    (void)state;
    limits.idle_min = 3;
    limits.idle_timeout_us = 60 * BP_USEC_PER_SECOND;
    start(4);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_key key = link->key;
    bpi_pool_pause(&pool, true);
    bpi_pool_set_warm_key(&pool, &key, NEW_BIT);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_waiter *bob = arrive(NEW, BOB);
    struct bpi_pool_waiter *check = arrive_check(NEW, CAT);
    expect_nothing();
    released(link);
    expect_nothing();
    assert_null(take(make(NEW, ANN)));
    assert_int_equal(decide_until(now_us + 10 * BP_USEC_PER_SECOND).kind, BPI_POOL_NOTHING);
    bpi_pool_pause(&pool, false);
    unsigned granted = 0;
    unsigned opened_count = 0;
    struct bpi_pool_action action;
    while ((action = decide_until(now_us + PATIENCE_US)).kind != BPI_POOL_NOTHING) {
        granted += action.kind == BPI_POOL_GRANT;
        opened_count += action.kind == BPI_POOL_OPEN;
    }
    assert_int_equal(waiter->state, BPI_POOL_WAITER_GRANTED);
    assert_int_equal(check->state, BPI_POOL_WAITER_GRANTED);
    assert_non_null(bob->opening);
    assert_int_equal(granted, 1);
    assert_true(opened_count >= 2);
}

static void an_opening_that_ends_while_paused_waits_with_its_waiter(void **state)
{
    (void)state;
    start(2);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *link = expect_open(waiter);
    bpi_pool_pause(&pool, true);
    opened(link);
    expect_nothing();
    bpi_pool_pause(&pool, false);
    assert_ptr_equal(expect_grant(waiter, false), link);
}

static void a_paused_pool_still_closes_what_has_to_go(void **state)
{
    (void)state;
    start(2);
    fill(1);
    struct bpi_pool_link *link = pool.lists[BPI_POOL_IDLE];
    bpi_pool_pause(&pool, true);
    bpi_pool_doom_all(&pool);
    expect_close(link);
}

static void a_drained_endpoint_loses_its_links_as_they_become_idle(void **state)
{
    (void)state;
    start_on(6, 2);
    struct bpi_pool_link *links[4];
    for (unsigned i = 0; i < 4; i++) {
        links[i] = leased(NEW, ANN);
        assert_int_equal(links[i]->endpoint, i % 2);
    }
    released(links[0]);
    released(links[1]);
    struct bpi_pool_waiter *waiter = make(NEW, BOB);
    bpi_pool_endpoint_drain(&pool, 0, true);
    check_pool();
    expect_close(links[0]);
    closed(links[0]);
    assert_ptr_equal(take(make(NEW, ANN)), links[1]);
    assert_null(take(make(NEW, ANN)));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(expect_open(i == 0 ? queue(waiter) : arrive(NEW, BOB))->endpoint, 1);
    }
    expect_nothing();
    released(links[2]); /* its lease ends in peace */
    expect_close(links[2]);
    closed(links[2]);
    assert_int_equal(pool.endpoints[0].open_count, 0);
    expect_nothing();
    bpi_pool_endpoint_drain(&pool, 0, false);
    arrive(OLD, CAT);
    assert_int_equal(decide_until(now_us + PATIENCE_US).link->endpoint, 0);
}

static void an_opening_to_an_endpoint_that_is_drained_is_not_granted(void **state)
{
    (void)state;
    start_on(4, 2);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *link = expect_open(waiter);
    bpi_pool_endpoint_drain(&pool, link->endpoint, true);
    opened(link);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CLOSE);
    assert_ptr_equal(action.link, link);
    assert_int_not_equal(serve(waiter)->endpoint, link->endpoint);
}

static void idle_links_of_an_endpoint_that_is_down_are_checked_before_use(void **state)
{
    (void)state;
    start(2);
    fill(2);
    struct bpi_pool_link *link = take(make(NEW, ANN));
    bpi_pool_endpoint_down(&pool, 0, 0, now_us);
    expect_nothing(); /* none is closed */
    assert_null(take(make(NEW, ANN)));
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_CHECK);
    now_us += MS;
    checked(action.link); /* it has been heard since */
    assert_ptr_equal(expect_grant(waiter, false), action.link);
    now_us += MS;
    released(link); /* and so was this one */
    assert_ptr_equal(take(make(NEW, ANN)), link);
    released(action.link);
    bpi_pool_endpoint_up(&pool, 0);
    assert_non_null(take(make(NEW, ANN)));
}

static void an_endpoint_that_is_up_again_has_its_links_in_use(void **state)
{
    (void)state;
    start(1);
    fill(1);
    bpi_pool_endpoint_down(&pool, 0, 0, now_us);
    assert_null(take(make(NEW, ANN)));
    bpi_pool_endpoint_up(&pool, 0);
    assert_non_null(take(make(NEW, ANN)));
}

static void the_longest_idle_link_asks_the_server(void **state)
{
    (void)state;
    start(3);
    struct bpi_pool_link *first = leased(NEW, ANN);
    struct bpi_pool_link *second = leased(NEW, ANN);
    released(first);
    now_us += MS;
    released(second); /* the one that the next waiter would get */
    assert_ptr_equal(bpi_pool_take_for_check(&pool, 0, now_us), first);
    check_pool();
}

/* ---- clocks ---- */

static void a_clock_that_jumps_does_no_harm(void **state)
{
    (void)state;
    static const int64_t jumps[] = {-3600, 3600, -7200, 365 * 24 * 3600, -30, -1, 1};
    limits.idle_timeout_us = 600 * BP_USEC_PER_SECOND;
    limits.lifetime_us = 3600 * BP_USEC_PER_SECOND;
    limits.auth_ttl_us = 300 * BP_USEC_PER_SECOND;
    limits.check_after_us = 60 * BP_USEC_PER_SECOND;
    limits.keep_alive_us = 120 * BP_USEC_PER_SECOND;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(2);
    now_us = 1000000 * BP_USEC_PER_SECOND;
    for (unsigned i = 0; i < 700; i++) {
        bp_usec jump_us =
            (bp_usec)(jumps[i % 7] < 0 ? -jumps[i % 7] : jumps[i % 7]) * BP_USEC_PER_SECOND;
        now_us = jumps[i % 7] < 0 ? now_us - jump_us : now_us + jump_us;
        struct bpi_pool_waiter *waiter = arrive(i % 3 == 0 ? OLD : NEW, 1 + i % 2);
        struct bpi_pool_link *link = NULL;
        bp_usec begin_us = now_us;
        while (link == NULL) {
            struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
            assert_true(now_us - begin_us <= 3 * PATIENCE_US);
            if (action.kind == BPI_POOL_GRANT) {
                assert_ptr_equal(action.waiter, waiter);
                link = action.link;
            } else if (action.kind == BPI_POOL_OPEN) {
                opened(action.link);
            } else if (action.kind == BPI_POOL_CLOSE) {
                closed(action.link);
            } else if (action.kind == BPI_POOL_CHECK) {
                checked(action.link);
            }
        }
        if (i % 2 == 0) {
            now_us += i * 1000;
        } else {
            now_us -= i * 1000;
        }
        released(link);
        waiters_count = 0;
    }
}

static void growth_survives_a_clock_that_jumps_back(void **state)
{
    (void)state;
    start(4);
    now_us = 1000000 * BP_USEC_PER_SECOND;
    /* Connects are known to take 50 ms, and holds 1 ms: one more is opened only after a while. */
    struct bpi_pool_link *link = expect_open(arrive(NEW, ANN));
    now_us += 50 * MS;
    opened(link);
    assert_int_equal(decide().kind, BPI_POOL_GRANT);
    for (int i = 0; i < 500; i++) {
        now_us += MS;
        released(link);
        waiters_count = 0;
        assert_ptr_equal(take(make(NEW, ANN)), link);
    }
    now_us -= 3600 * BP_USEC_PER_SECOND;
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_action action = decide_until(now_us + 5 * BP_USEC_PER_SECOND);
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_ptr_equal(action.waiter, waiter);
}

/* ---- closing in each state ---- */

static void a_link_may_be_lost_in_every_state(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        limits.check_after_us = BP_USEC_PER_SECOND;
        start(1);
        /* OPENING */
        struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
        struct bpi_pool_link *link = expect_open(waiter);
        if (twice) {
            closing(link);
            assert_null(waiter->opening);
            closing(link);
            expect_nothing();
        }
        closed(link);
        /* LEASED */
        link = serve(waiter);
        if (twice) {
            closing(link);
            assert_int_equal(pool.classes[BPI_CLASS_READ_WRITE].leased, 0);
        }
        closed(link);
        assert_int_equal(pool.classes[BPI_CLASS_READ_WRITE].leased, 0);
        /* IDLE */
        link = leased(NEW, ANN);
        released(link);
        if (twice) {
            closing(link);
        }
        closed(link);
        expect_nothing();
        /* IDLE, and to be closed */
        link = leased(NEW, ANN);
        released(link);
        bpi_pool_doom_all(&pool);
        check_pool();
        if (twice) {
            closing(link);
        }
        closed(link);
        assert_int_equal(pool.doomed_idle_count, 0);
        expect_nothing();
        /* CHECKING */
        link = leased(NEW, ANN);
        released(link);
        now_us += 2 * BP_USEC_PER_SECOND;
        waiter = arrive(NEW, ANN);
        expect_probe(link);
        if (twice) {
            closing(link);
        }
        closed(link);
        /* CLOSING, for a waiter */
        link = serve(waiter);
        released(link);
        waiter = arrive(OLD, ANN);
        struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
        assert_int_equal(action.kind, BPI_POOL_CLOSE);
        if (twice) {
            closing(link);
            check_pool();
        }
        closed(link);
        assert_null(waiter->evicted);
        serve(waiter);
        /* OPENING, for a log-in check */
        closed(link);
        struct bpi_pool_waiter *check = arrive_check(NEW, BOB);
        link = expect_open(check);
        if (twice) {
            closing(link);
        }
        closed(link);
        assert_int_equal(bpi_pool_open_count(&pool), 0);
        expect_nothing();
    }
}

static void a_link_near_its_end_may_be_lost_too(void **state)
{
    (void)state;
    limits.lifetime_us = 10 * BP_USEC_PER_SECOND;
    start(3);
    struct bpi_pool_link *link = leased(NEW, ANN);
    now_us = link->life_until_us - MS;
    released(link); /* wants a replacement */
    closed(link);
    expect_nothing();
    link = leased(NEW, ANN);
    now_us = link->life_until_us - MS;
    released(link);
    struct bpi_pool_action action = decide();
    assert_int_equal(action.kind, BPI_POOL_OPEN);
    assert_ptr_equal(action.like, link);
    closed(link); /* before its replacement is there */
    opened(action.link);
    expect_nothing();
    assert_true(bpi_pool_is_calm(&pool));
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(a_failed_opening_is_tried_again_for_the_same_waiter),
        STORY(an_endpoint_that_is_down_gets_no_openings),
        STORY(an_endpoint_in_backoff_is_opened_to_when_its_time_comes),
        STORY(a_waiter_in_backoff_at_the_limit_is_woken_to_evict),
        STORY(only_endpoints_that_speak_the_version_are_opened_to),
        STORY(doomed_links_are_closed_when_they_are_idle),
        STORY(a_lowered_limit_shrinks_the_pool_under_load),
        STORY(an_idle_link_is_closed_after_its_time),
        STORY(a_link_is_closed_at_its_first_idle_moment_after_its_life),
        STORY(another_lifetime_is_for_open_links_too_where_they_are_told),
        STORY(times_of_a_loop_whose_clock_is_ahead_count_as_now),
        STORY(a_waiter_can_be_cancelled_in_every_state),
        STORY(a_granted_waiter_whose_link_is_dead_keeps_its_turn),
        STORY(waiters_of_a_refused_login_are_taken_out),
        STORY(a_place_that_is_added_is_used),
        STORY(lives_end_apart_and_within_a_tenth),
        STORY(every_idle_link_ends_at_its_time_not_only_the_longest_idle),
        STORY(a_link_beyond_its_life_is_not_granted),
        STORY(links_in_use_are_replaced_before_their_end),
        STORY(a_log_in_that_was_refused_has_no_successor),
        STORY(at_the_limit_there_is_no_place_for_a_replacement),
        STORY(idle_links_are_trimmed_down_to_idle_min),
        STORY(while_paused_nothing_is_granted_or_opened),
        STORY(an_opening_that_ends_while_paused_waits_with_its_waiter),
        STORY(a_paused_pool_still_closes_what_has_to_go),
        STORY(a_drained_endpoint_loses_its_links_as_they_become_idle),
        STORY(an_opening_to_an_endpoint_that_is_drained_is_not_granted),
        STORY(idle_links_of_an_endpoint_that_is_down_are_checked_before_use),
        STORY(an_endpoint_that_is_up_again_has_its_links_in_use),
        STORY(the_longest_idle_link_asks_the_server),
        STORY(a_clock_that_jumps_does_no_harm),
        STORY(growth_survives_a_clock_that_jumps_back),
        STORY(a_link_may_be_lost_in_every_state),
        STORY(a_link_near_its_end_may_be_lost_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
