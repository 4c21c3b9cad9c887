/* Shows who is refused, and that nobody else is: full queues, deadlines that can't be met, and CoDel. */
#include "story.h"

#define MS BP_USEC_PER_MS

static enum bpi_pool_refusal try_to_wait(struct bpi_pool_waiter *waiter)
{
    enum bpi_pool_refusal refusal = bpi_pool_wait(&pool, waiter, now_us);
    check_pool();
    if (refusal != BPI_POOL_ADMITTED) {
        assert_int_not_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
    }
    return refusal;
}

static uint64_t refused_of(enum bpi_class class_, enum bpi_pool_refusal refusal)
{
    return pool.classes[class_].refused_total[refusal];
}

/* ---- bounded queues ---- */

static void a_full_queue_refuses_at_once_and_in_its_class_only(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_ANALYTICS)->waiting_max = 2;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *first = arrive_in(BPI_CLASS_ANALYTICS);
    arrive_in(BPI_CLASS_ANALYTICS);
    struct bpi_pool_waiter *third = make_in(BPI_CLASS_ANALYTICS);
    assert_int_equal(try_to_wait(third), BPI_POOL_QUEUE_FULL);
    assert_int_equal(refused_of(BPI_CLASS_ANALYTICS, BPI_POOL_QUEUE_FULL), 1);
    memset(third, 0xff, sizeof(*third));
    check_pool();
    arrive_in(BPI_CLASS_READ_ONLY);
    assert_true(cancel(first));
    arrive_in(BPI_CLASS_ANALYTICS);
    assert_int_equal(try_to_wait(make_in(BPI_CLASS_ANALYTICS)), BPI_POOL_QUEUE_FULL);
    expect_nothing();
}

static void a_queue_without_a_bound_takes_all(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(bpi_pool_wait(&pool, make_in(BPI_CLASS_READ_ONLY), now_us),
                         BPI_POOL_ADMITTED);
    }
    check_pool();
}

static void who_comes_back_is_never_refused_for_a_full_queue(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->waiting_max = 1;
    start(1);
    struct bpi_pool_waiter *waiter = arrive(NEW, ANN);
    struct bpi_pool_link *link = serve(waiter);
    arrive(NEW, ANN);
    bpi_pool_wait_again(&pool, waiter);
    closing(link);
    assert_int_equal(waiter->state, BPI_POOL_WAITER_QUEUED);
    closed(link);
    assert_ptr_equal(serve(waiter), link);
}

static void log_in_checks_do_not_fill_the_queue_of_a_class(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_HIGH_PRIORITY)->waiting_max = 1;
    start(1);
    leased(NEW, ANN);
    for (int i = 0; i < 5; i++) {
        arrive_check(NEW, BOB);
    }
    arrive_in(BPI_CLASS_HIGH_PRIORITY);
    assert_int_equal(try_to_wait(make_in(BPI_CLASS_HIGH_PRIORITY)), BPI_POOL_QUEUE_FULL);
}

/* ---- deadlines ---- */

/* One link that is held 100 ms at a time, as the pool knows, and `count` who wait for it. */
static struct bpi_pool_link *busy_link(unsigned count)
{
    start(1);
    teach(BPI_CLASS_READ_WRITE, 100 * MS);
    struct bpi_pool_link *link = leased(NEW, ANN);
    for (unsigned i = 0; i < count; i++) {
        arrive(NEW, ANN);
    }
    return link;
}

static struct bpi_pool_waiter *make_due_in(bp_usec span_us)
{
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->deadline_us = now_us + span_us;
    return waiter;
}

static void who_can_not_be_served_in_time_is_told_at_once(void **state)
{
    (void)state;
    busy_link(50); /* five seconds of work */
    struct bpi_pool_waiter *waiter = make_due_in(500 * MS);
    assert_int_equal(try_to_wait(waiter), BPI_POOL_HOPELESS);
    assert_in_range(waiter->estimate_us, 2 * BP_USEC_PER_SECOND, 8 * BP_USEC_PER_SECOND);
    assert_int_equal(refused_of(BPI_CLASS_READ_WRITE, BPI_POOL_HOPELESS), 1);
    assert_int_equal(try_to_wait(make_due_in(30 * BP_USEC_PER_SECOND)), BPI_POOL_ADMITTED);
}

/* A queue that has been standing is kept short for those who are in a hurry: for the others it is no harm. */
static void a_standing_queue_turns_away_who_would_feel_it(void **state)
{
    (void)state;
    busy_link(4); /* half a second of work, and more comes all the time */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(try_to_wait(make_due_in(3600 * BP_USEC_PER_SECOND)), BPI_POOL_ADMITTED);
        now_us += 20 * MS;
    }
    struct bpi_pool_waiter *waiter = make_due_in(20 * BP_USEC_PER_SECOND);
    assert_int_equal(try_to_wait(waiter), BPI_POOL_SHED);
    assert_true(64 * waiter->estimate_us > 20 * BP_USEC_PER_SECOND);
    assert_int_equal(refused_of(BPI_CLASS_READ_WRITE, BPI_POOL_SHED), 1);
    waiter = make_due_in(64 * waiter->estimate_us + BP_USEC_PER_SECOND);
    assert_int_equal(try_to_wait(waiter), BPI_POOL_ADMITTED);
    assert_int_equal(try_to_wait(make(NEW, ANN)), BPI_POOL_ADMITTED);
}

static void nobody_without_a_deadline_is_hopeless(void **state)
{
    (void)state;
    busy_link(50);
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->expires_us = now_us + 500 * MS; /* it may give up, yet it has no deadline */
    assert_int_equal(try_to_wait(waiter), BPI_POOL_ADMITTED);
}

static void a_deadline_that_leaves_time_enough_is_admitted(void **state)
{
    (void)state;
    busy_link(0);
    assert_int_equal(try_to_wait(make_due_in(BP_USEC_PER_SECOND)), BPI_POOL_ADMITTED);
}

static void a_deadline_does_not_refuse_where_a_link_is_free(void **state)
{
    (void)state;
    start(4);
    fill(4);
    struct bpi_pool_waiter *waiter = make_due_in(50 * MS);
    assert_int_equal(try_to_wait(waiter), BPI_POOL_ADMITTED);
    expect_grant(waiter, false);
}

static void nothing_known_refuses_nobody(void **state)
{
    (void)state;
    start(4);
    assert_int_equal(try_to_wait(make_due_in(500 * MS)), BPI_POOL_ADMITTED);
}

static void a_high_priority_has_less_to_wait_for(void **state)
{
    (void)state;
    busy_link(50);
    struct bpi_pool_waiter *normal = make_due_in(BP_USEC_PER_SECOND);
    struct bpi_pool_waiter *high = make_due_in(BP_USEC_PER_SECOND);
    high->priority = BPI_PRIORITY_HIGH;
    assert_int_equal(try_to_wait(normal), BPI_POOL_HOPELESS);
    assert_int_equal(try_to_wait(high), BPI_POOL_ADMITTED);
}

static void a_class_below_its_minimum_is_not_hopeless_because_of_others(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_HIGH_PRIORITY)->min = 1;
    start(2);
    fill(2);
    teach(BPI_CLASS_READ_WRITE, 100 * MS);
    leased(NEW, ANN);
    for (unsigned i = 0; i < 50; i++) {
        arrive(NEW, ANN);
    }
    struct bpi_pool_waiter *waiter = make_due_in(500 * MS);
    waiter->class_ = BPI_CLASS_HIGH_PRIORITY;
    assert_int_equal(try_to_wait(waiter), BPI_POOL_ADMITTED);
    expect_grant(waiter, false);
}

static void the_estimate_is_near_what_the_wait_becomes(void **state)
{
    (void)state;
    struct bpi_pool_link *link = busy_link(20);
    struct bpi_pool_waiter *last = make(NEW, ANN);
    bp_usec estimate_us = bpi_pool_estimate_us(&pool, last, now_us);
    bp_usec begin_us = now_us;
    queue(last);
    while (last->state == BPI_POOL_WAITER_QUEUED) {
        now_us += 100 * MS;
        released(link);
        assert_int_equal(decide().kind, BPI_POOL_GRANT);
    }
    double ratio = (double)estimate_us / (double)(now_us - begin_us);
    print_message("estimated %.0f ms, waited %.0f ms\n", (double)estimate_us / 1000,
                  (double)(now_us - begin_us) / 1000);
    assert_true(ratio > 0.7 && ratio < 1.4);
}

static void the_estimate_counts_what_a_class_may_have(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_ANALYTICS)->max = 1;
    start(10);
    fill(10);
    teach(BPI_CLASS_ANALYTICS, 100 * MS);
    leased_in(BPI_CLASS_ANALYTICS);
    for (unsigned i = 0; i < 20; i++) {
        arrive_in(BPI_CLASS_ANALYTICS);
    }
    bp_usec estimate_us = bpi_pool_estimate_us(&pool, make_in(BPI_CLASS_ANALYTICS), now_us);
    assert_true(estimate_us > 1400 * MS); /* one at a time, though nine links are idle */
}

/* ---- CoDel ---- */

/* Every `gap_us` one comes to a link that is held for 10 ms. Every second one may be shed. */
struct flow {
    struct bpi_pool_link *link;
    bp_usec due_us;
    unsigned shed, shed_wrongly, served;
};

static void flow_decide(struct flow *flow)
{
    struct bpi_pool_action action;
    while ((action = decide()).kind != BPI_POOL_NOTHING) {
        if (action.kind == BPI_POOL_GRANT) {
            flow->link = action.link;
            flow->due_us = now_us + 10 * MS;
            flow->served++;
        } else {
            assert_int_equal(action.kind, BPI_POOL_REFUSE);
            assert_int_equal(action.refusal, BPI_POOL_SHED);
            flow->shed++;
            flow->shed_wrongly += !action.waiter->sheddable;
        }
    }
}

static void flow_run(struct flow *flow, unsigned arrivals, bp_usec gap_us, unsigned sheddable_part)
{
    for (unsigned i = 0; i < arrivals; i++) {
        bp_usec next_us = now_us + gap_us;
        while (flow->link != NULL && flow->due_us <= next_us) {
            struct bpi_pool_link *link = flow->link;
            now_us = flow->due_us;
            flow->link = NULL;
            released(link);
            flow_decide(flow);
        }
        now_us = next_us;
        if (waiters_count == WAITERS_MAX) {
            waiters_count = 0; /* long since granted or refused */
        }
        struct bpi_pool_waiter *waiter = make(NEW, ANN);
        waiter->sheddable = sheddable_part != 0 && i % sheddable_part == 0;
        enum bpi_pool_refusal refusal = try_to_wait(waiter);
        if (refusal != BPI_POOL_ADMITTED) {
            assert_int_equal(refusal, BPI_POOL_SHED);
            flow->shed++;
            flow->shed_wrongly += !waiter->sheddable;
        }
        flow_decide(flow);
    }
}

static void codel_sheds_only_who_may_be_shed(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 600, 5 * MS, 2);
    print_message("%u of 600 were shed, %u served\n", flow.shed, flow.served);
    assert_true(flow.shed > 100); /* 300 are too many */
    assert_int_equal(flow.shed_wrongly, 0);
    assert_int_equal(refused_of(BPI_CLASS_READ_WRITE, BPI_POOL_SHED), flow.shed);
}

static void codel_keeps_the_wait_of_sheddable_ones_short(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 1500, 5 * MS, 1);
    /* Half of them is what the link can do. */
    assert_in_range(flow.served, 700, 760);
    struct bpi_pool_waiter *oldest =
        bpi_pool_queue_oldest(&pool.classes[BPI_CLASS_READ_WRITE].queue);
    assert_true(oldest == NULL || now_us - oldest->arrived_us < 200 * MS);
}

static void codel_sheds_nobody_below_its_target_or_where_it_is_off(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 500, 20 * MS, 1);
    assert_int_equal(flow.shed, 0);
    setup(NULL);
    start(1);
    fill(1);
    memset(&flow, 0, sizeof(flow));
    flow_run(&flow, 500, 5 * MS, 1);
    assert_int_equal(flow.shed, 0);
}

static void a_short_burst_is_not_an_overload(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 20 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 4, 1, 1); /* four at once: the last waits 30 ms, once */
    flow_run(&flow, 100, 20 * MS, 1);
    assert_int_equal(flow.shed, 0);
}

/* Being late twice is no overload: what counts is how long it lasts without a break. */
static void short_bursts_far_apart_are_no_overload(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    for (int i = 0; i < 50; i++) {
        flow_run(&flow, 4, 1, 1); /* four at once: three wait up to 30 ms */
        flow_run(&flow, 1, 100 * MS, 1);
    }
    assert_int_equal(flow.shed, 0);
}

static void an_overload_is_forgotten_when_it_is_over(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_READ_WRITE)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 600, 5 * MS, 1);
    assert_true(flow.shed > 0);
    flow_run(&flow, 10, 20 * MS, 1); /* it empties */
    unsigned shed = flow.shed;
    flow_run(&flow, 300, 20 * MS, 1);
    assert_int_equal(flow.shed, shed);
}

static void a_target_in_one_class_sheds_in_no_other(void **state)
{
    (void)state;
    limits_of(BPI_CLASS_ANALYTICS)->codel_target_us = 5 * MS;
    start(1);
    fill(1);
    struct flow flow = {0};
    flow_run(&flow, 500, 5 * MS, 1); /* read_write */
    assert_int_equal(flow.shed, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(a_full_queue_refuses_at_once_and_in_its_class_only),
        STORY(a_queue_without_a_bound_takes_all),
        STORY(who_comes_back_is_never_refused_for_a_full_queue),
        STORY(log_in_checks_do_not_fill_the_queue_of_a_class),
        STORY(who_can_not_be_served_in_time_is_told_at_once),
        STORY(a_standing_queue_turns_away_who_would_feel_it),
        STORY(nobody_without_a_deadline_is_hopeless),
        STORY(a_deadline_that_leaves_time_enough_is_admitted),
        STORY(a_deadline_does_not_refuse_where_a_link_is_free),
        STORY(nothing_known_refuses_nobody),
        STORY(a_high_priority_has_less_to_wait_for),
        STORY(a_class_below_its_minimum_is_not_hopeless_because_of_others),
        STORY(the_estimate_is_near_what_the_wait_becomes),
        STORY(the_estimate_counts_what_a_class_may_have),
        STORY(codel_sheds_only_who_may_be_shed),
        STORY(codel_keeps_the_wait_of_sheddable_ones_short),
        STORY(codel_sheds_nobody_below_its_target_or_where_it_is_off),
        STORY(a_short_burst_is_not_an_overload),
        STORY(short_bursts_far_apart_are_no_overload),
        STORY(an_overload_is_forgotten_when_it_is_over),
        STORY(a_target_in_one_class_sheds_in_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
