/* Shows the order of waiters inside a class: the queue by itself against a plain sort by random steps, and the rules of
 * queue.h one by one, through the pool where that is what a caller sees.
 */
#include "story.h"

#include "base/random.h"

static struct bpi_pool_queue line;
static uint64_t sequence;

static void line_start(void)
{
    memset(&line, 0, sizeof(line));
    memset(waiters, 0, sizeof(waiters));
    waiters_count = 0;
    sequence = 0;
    now_us = 1000000;
}

/* As bpi_pool_wait() fills it in. */
static struct bpi_pool_waiter *
line_make(enum bpi_priority priority, uint64_t tenant, bp_usec deadline_us)
{
    assert_true(waiters_count < WAITERS_MAX);
    struct bpi_pool_waiter *waiter = &waiters[waiters_count++];
    waiter->priority = priority;
    waiter->tenant_key = tenant;
    waiter->deadline_us = deadline_us;
    waiter->expiry.at_us = deadline_us;
    waiter->arrived_us = now_us;
    waiter->sequence = ++sequence;
    waiter->state = BPI_POOL_WAITER_QUEUED;
    return waiter;
}

static struct bpi_pool_waiter *line_add(enum bpi_priority priority, uint64_t tenant, unsigned held)
{
    struct bpi_pool_waiter *waiter = line_make(priority, tenant, 0);
    bpi_pool_queue_add(&line, waiter, held);
    return waiter;
}

static struct bpi_pool_waiter *line_first(void)
{
    struct bpi_pool_queue_walk walk;
    bpi_pool_queue_walk_init(&walk, &line, now_us);
    return bpi_pool_queue_walk_next(&walk);
}

/* What the pool does when it grants one. */
static void line_serve(struct bpi_pool_waiter *waiter, unsigned held)
{
    bpi_pool_queue_remove(&line, waiter);
    bpi_pool_queue_served(&line, waiter->priority, now_us);
    bpi_pool_queue_held(&line, waiter->tenant_key, held);
}

/* ---- the queue by itself ---- */

static void an_empty_queue_has_nobody(void **state)
{
    (void)state;
    line_start();
    assert_null(line_first());
    assert_null(bpi_pool_queue_oldest(&line));
    assert_int_equal(bpi_pool_queue_ahead(&line, BPI_PRIORITY_LOW, 1), 0);
    bpi_pool_queue_held(&line, 1, 5); /* nobody of it waits */
    assert_null(line_first());
}

static void higher_priorities_go_first(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *queued[BPI_PRIORITY_COUNT];
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT; i++) {
        queued[i] = line_add((enum bpi_priority)i, 0, 0);
    }
    for (unsigned i = BPI_PRIORITY_COUNT; i-- > 0;) {
        assert_ptr_equal(line_first(), queued[i]);
        bpi_pool_queue_remove(&line, queued[i]);
    }
}

static void a_level_that_has_waited_a_step_goes_among_the_next(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *low = line_add(BPI_PRIORITY_LOW, 0, 0);
    now_us += BPI_POOL_AGE_STEP_US - 1;
    struct bpi_pool_waiter *normal = line_add(BPI_PRIORITY_NORMAL, 0, 0);
    struct bpi_pool_waiter *high = line_add(BPI_PRIORITY_HIGH, 0, 0);
    assert_ptr_equal(line_first(), high);
    bpi_pool_queue_remove(&line, high);
    assert_ptr_equal(line_first(), normal);
    now_us += 1;
    assert_ptr_equal(line_first(), low); /* the level counts as normal, and it is older */
    now_us += BPI_POOL_AGE_STEP_US - 1;
    high = line_add(BPI_PRIORITY_HIGH, 0, 0);
    bpi_pool_queue_remove(&line, normal);
    assert_ptr_equal(line_first(), high);
    now_us += 1;
    assert_ptr_equal(line_first(), low);
}

static void the_lowest_level_reaches_the_top_and_falls_when_it_was_served(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *low = line_add(BPI_PRIORITY_LOW, 0, 0);
    struct bpi_pool_waiter *lower = line_add(BPI_PRIORITY_LOW, 0, 0);
    now_us += 3 * BPI_POOL_AGE_STEP_US;
    struct bpi_pool_waiter *critical = line_add(BPI_PRIORITY_CRITICAL, 0, 0);
    assert_ptr_equal(line_first(), low);
    line_serve(low, 1);
    /* Levels age, not waiters: the other one has to wait again, though it came as early. */
    assert_ptr_equal(line_first(), critical);
    now_us += 3 * BPI_POOL_AGE_STEP_US - 1;
    bpi_pool_queue_remove(&line, critical);
    critical = line_add(BPI_PRIORITY_CRITICAL, 0, 0);
    assert_ptr_equal(line_first(), critical);
    now_us += 1;
    assert_ptr_equal(line_first(), lower);
}

static void a_level_does_not_age_while_nobody_waits_in_it(void **state)
{
    (void)state;
    line_start();
    line_serve(line_add(BPI_PRIORITY_LOW, 0, 0), 0);
    now_us += 100 * BPI_POOL_AGE_STEP_US;
    struct bpi_pool_waiter *normal = line_add(BPI_PRIORITY_NORMAL, 0, 0);
    line_add(BPI_PRIORITY_LOW, 0, 0);
    assert_ptr_equal(line_first(), normal);
}

static void ageing_ignores_a_clock_that_jumps_back(void **state)
{
    (void)state;
    line_start();
    now_us = 1000 * BPI_POOL_AGE_STEP_US;
    line_add(BPI_PRIORITY_LOW, 0, 0);
    struct bpi_pool_waiter *normal = line_add(BPI_PRIORITY_NORMAL, 0, 0);
    now_us -= 500 * BPI_POOL_AGE_STEP_US;
    assert_ptr_equal(line_first(), normal);
}

static void the_tenant_that_holds_least_goes_first(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *two = line_add(BPI_PRIORITY_NORMAL, 1, 2);
    struct bpi_pool_waiter *none = line_add(BPI_PRIORITY_NORMAL, 2, 0);
    struct bpi_pool_waiter *one = line_add(BPI_PRIORITY_NORMAL, 3, 1);
    assert_ptr_equal(line_first(), none);
    bpi_pool_queue_held(&line, 2, 3);
    assert_ptr_equal(line_first(), one);
    bpi_pool_queue_held(&line, 1, 0);
    assert_ptr_equal(line_first(), two);
    struct bpi_pool_waiter *other = line_add(BPI_PRIORITY_HIGH, 4, 60); /* priority is first */
    assert_ptr_equal(line_first(), other);
}

static void equal_tenants_take_turns(void **state)
{
    (void)state;
    line_start();
    unsigned served[3] = {0};
    for (unsigned i = 0; i < 90; i++) {
        line_add(BPI_PRIORITY_NORMAL, 1 + (i < 80 ? 0 : i % 2 + 1), 0); /* 80 of the first */
    }
    for (unsigned i = 0; i < 15; i++) {
        struct bpi_pool_waiter *first = line_first();
        served[first->tenant_key - 1]++;
        line_serve(first, 1);
        bpi_pool_queue_held(&line, first->tenant_key, 0); /* and gives it back */
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(served[i], 5);
    }
}

static void tenants_that_hold_very_many_take_turns(void **state)
{
    (void)state;
    line_start();
    unsigned held[2] = {BPI_POOL_HELD_MAX + 5, BPI_POOL_HELD_MAX + 900};
    for (unsigned i = 0; i < 20; i++) {
        line_add(BPI_PRIORITY_NORMAL, i % 2, held[i % 2]);
    }
    unsigned served[2] = {0};
    for (unsigned i = 0; i < 10; i++) {
        struct bpi_pool_waiter *first = line_first();
        served[first->tenant_key]++;
        line_serve(first, ++held[first->tenant_key]);
    }
    assert_int_equal(served[0], 5);
    assert_int_equal(served[1], 5);
}

static void earlier_deadlines_of_a_tenant_go_first(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *late = line_make(BPI_PRIORITY_NORMAL, 1, now_us + 3000000);
    struct bpi_pool_waiter *none = line_make(BPI_PRIORITY_NORMAL, 1, 0);
    struct bpi_pool_waiter *soon = line_make(BPI_PRIORITY_NORMAL, 1, now_us + 1000000);
    struct bpi_pool_waiter *latest =
        line_make(BPI_PRIORITY_NORMAL, 1, now_us + 2 * BPI_POOL_ORDER_US);
    struct bpi_pool_waiter *as_soon = line_make(BPI_PRIORITY_NORMAL, 1, now_us + 1000000);
    struct bpi_pool_waiter *expected[] = {soon, as_soon, late, none, latest};
    bpi_pool_queue_add(&line, late, 0);
    bpi_pool_queue_add(&line, none, 0);
    bpi_pool_queue_add(&line, soon, 0);
    bpi_pool_queue_add(&line, latest, 0);
    bpi_pool_queue_add(&line, as_soon, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_ptr_equal(line_first(), expected[i]);
        bpi_pool_queue_remove(&line, expected[i]);
    }
}

static void who_comes_back_has_its_old_place(void **state)
{
    (void)state;
    line_start();
    struct bpi_pool_waiter *queued[4];
    for (unsigned i = 0; i < 4; i++) {
        queued[i] = line_add(BPI_PRIORITY_NORMAL, 1, 0);
        now_us += 10;
    }
    bpi_pool_queue_remove(&line, queued[0]);
    bpi_pool_queue_remove(&line, queued[2]);
    bpi_pool_queue_add(&line, queued[2], 0);
    bpi_pool_queue_add(&line, queued[0], 0);
    assert_ptr_equal(bpi_pool_queue_oldest(&line), queued[0]);
    for (unsigned i = 0; i < 4; i++) {
        assert_ptr_equal(line_first(), queued[i]);
        bpi_pool_queue_remove(&line, queued[i]);
    }
}

static void a_walk_leaves_out_the_rest_of_a_tenant(void **state)
{
    (void)state;
    line_start();
    for (unsigned i = 0; i < 10; i++) {
        line_add(BPI_PRIORITY_NORMAL, 1, 0);
    }
    struct bpi_pool_waiter *other = line_add(BPI_PRIORITY_NORMAL, 2, 1);
    struct bpi_pool_waiter *low = line_add(BPI_PRIORITY_LOW, 1, 0);
    struct bpi_pool_queue_walk walk;
    bpi_pool_queue_walk_init(&walk, &line, now_us);
    assert_int_equal(bpi_pool_queue_walk_next(&walk)->tenant_key, 1);
    assert_int_equal(bpi_pool_queue_walk_next(&walk)->tenant_key, 1);
    bpi_pool_queue_walk_skip_tenant(&walk);
    assert_ptr_equal(bpi_pool_queue_walk_next(&walk), other);
    bpi_pool_queue_walk_skip_tenant(&walk);
    assert_ptr_equal(bpi_pool_queue_walk_next(&walk), low);
    bpi_pool_queue_walk_skip_tenant(&walk);
    assert_null(bpi_pool_queue_walk_next(&walk));
    assert_null(bpi_pool_queue_walk_next(&walk));
}

static void those_ahead_are_higher_ones_and_as_many_of_each_tenant(void **state)
{
    (void)state;
    line_start();
    for (unsigned i = 0; i < 7; i++) {
        line_add(BPI_PRIORITY_HIGH, 1, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        line_add(BPI_PRIORITY_NORMAL, 1, 0);
    }
    /* One tenant alone: all of its own, and those above. */
    assert_int_equal(bpi_pool_queue_ahead(&line, BPI_PRIORITY_NORMAL, 1), 107);
    assert_int_equal(bpi_pool_queue_ahead(&line, BPI_PRIORITY_HIGH, 1), 7);
    assert_int_equal(bpi_pool_queue_ahead(&line, BPI_PRIORITY_CRITICAL, 1), 0);
    assert_int_equal(bpi_pool_queue_ahead(&line, BPI_PRIORITY_LOW, 1), 107);
    /* One that has nobody waiting goes behind one of the other, or none, however many those are. */
    assert_in_range(bpi_pool_queue_ahead(&line, BPI_PRIORITY_NORMAL, 2), 7, 8);
    line_add(BPI_PRIORITY_NORMAL, 2, 0);
    line_add(BPI_PRIORITY_NORMAL, 2, 0);
    assert_in_range(bpi_pool_queue_ahead(&line, BPI_PRIORITY_NORMAL, 2), 7 + 4, 7 + 5);
}

/* ---- against a sort ---- */

#define CROWD        120
#define TENANTS      5
#define RANDOM_STEPS 20000

static bool in_line[CROWD];
static unsigned tenant_held[TENANTS];
static bp_usec level_served_us[BPI_PRIORITY_COUNT];

static const struct bpi_pool_waiter *oldest_of(unsigned level)
{
    const struct bpi_pool_waiter *oldest = NULL;
    for (unsigned i = 0; i < CROWD; i++) {
        if (in_line[i] && (unsigned)waiters[i].priority == level &&
            (oldest == NULL || waiters[i].sequence < oldest->sequence)) {
            oldest = &waiters[i];
        }
    }
    return oldest;
}

/* Whether all of `a`'s level go before all of `b`'s. */
static bool level_goes_before(unsigned a, unsigned b)
{
    bp_usec rank[2];
    const struct bpi_pool_waiter *oldest[2];
    for (unsigned i = 0; i < 2; i++) {
        unsigned level = i == 0 ? a : b;
        oldest[i] = oldest_of(level);
        bp_usec since_us = oldest[i]->arrived_us;
        since_us = level_served_us[level] > since_us ? level_served_us[level] : since_us;
        rank[i] = level + (now_us - since_us) / BPI_POOL_AGE_STEP_US;
        rank[i] = rank[i] > 3 + BPI_PRIORITY_COUNT ? 3 + BPI_PRIORITY_COUNT : rank[i];
    }
    return rank[0] > rank[1] || (rank[0] == rank[1] && oldest[0]->sequence < oldest[1]->sequence);
}

static bp_usec order_of(const struct bpi_pool_waiter *waiter)
{
    return waiter->deadline_us != 0 ? waiter->deadline_us : waiter->arrived_us + BPI_POOL_ORDER_US;
}

static void expect_in_order(const struct bpi_pool_waiter *a, const struct bpi_pool_waiter *b)
{
    if (a->priority != b->priority) {
        /* Far beyond the top there is no order by age any more: such levels take turns in some order. */
        bool may_be_equal = oldest_of(a->priority)->arrived_us + 4 * BPI_POOL_AGE_STEP_US < now_us;
        assert_true(level_goes_before(a->priority, b->priority) || may_be_equal);
        return;
    }
    if (a->tenant_key != b->tenant_key) {
        assert_true(tenant_held[a->tenant_key] <= tenant_held[b->tenant_key]);
        return;
    }
    assert_true(order_of(a) < order_of(b) ||
                (order_of(a) == order_of(b) && a->sequence < b->sequence));
}

static void random_queues_agree_with_a_sort(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, STORY_SEED);
    line_start();
    memset(in_line, 0, sizeof(in_line));
    memset(tenant_held, 0, sizeof(tenant_held));
    memset(level_served_us, 0, sizeof(level_served_us));
    unsigned count = 0;
    for (unsigned step = 0; step < RANDOM_STEPS; step++) {
        now_us += bpi_random_below(&random, 30000);
        unsigned i = (unsigned)bpi_random_below(&random, CROWD);
        if (!in_line[i] && bpi_random_below(&random, 3) > 0) {
            waiters_count = i;
            bp_usec deadline_us = bpi_random_below(&random, 2) == 0
                                      ? now_us + bpi_random_below(&random, 40000000)
                                      : 0;
            struct bpi_pool_waiter *waiter =
                line_make((enum bpi_priority)bpi_random_below(&random, BPI_PRIORITY_COUNT),
                          bpi_random_below(&random, TENANTS), deadline_us);
            bpi_pool_queue_add(&line, waiter, tenant_held[waiter->tenant_key]);
            in_line[i] = true;
            count++;
        } else if (in_line[i]) {
            bpi_pool_queue_remove(&line, &waiters[i]);
            in_line[i] = false;
            count--;
            if (bpi_random_below(&random, 2) == 0) {
                level_served_us[waiters[i].priority] = now_us;
                bpi_pool_queue_served(&line, waiters[i].priority, now_us);
            }
        }
        uint64_t tenant = bpi_random_below(&random, TENANTS);
        tenant_held[tenant] = (unsigned)bpi_random_below(&random, 5);
        bpi_pool_queue_held(&line, tenant, tenant_held[tenant]);

        assert_int_equal(line.count, count);
        struct bpi_pool_queue_walk walk;
        bpi_pool_queue_walk_init(&walk, &line, now_us);
        struct bpi_pool_waiter *last = NULL;
        struct bpi_pool_waiter *waiter;
        unsigned told = 0;
        bool seen[CROWD] = {false};
        while ((waiter = bpi_pool_queue_walk_next(&walk)) != NULL) {
            unsigned index = (unsigned)(waiter - waiters);
            assert_true(in_line[index] && !seen[index]);
            seen[index] = true;
            told++;
            if (last != NULL) {
                expect_in_order(last, waiter);
            }
            last = waiter;
        }
        assert_int_equal(told, count);
        const struct bpi_pool_waiter *oldest = NULL;
        for (unsigned level = 0; level < BPI_PRIORITY_COUNT; level++) {
            const struct bpi_pool_waiter *one = oldest_of(level);
            if (one != NULL && (oldest == NULL || one->sequence < oldest->sequence)) {
                oldest = one;
            }
        }
        assert_ptr_equal(bpi_pool_queue_oldest(&line), oldest);
    }
}

/* ---- through the pool ---- */

static struct bpi_pool_waiter *
arrive_as(enum bpi_priority priority, uint64_t tenant, bp_usec deadline_us)
{
    struct bpi_pool_waiter *waiter = make(NEW, ANN);
    waiter->priority = priority;
    waiter->tenant_key = tenant;
    waiter->deadline_us = deadline_us;
    return queue(waiter);
}

static void the_pool_serves_priorities_before_arrival(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *queued[BPI_PRIORITY_COUNT];
    for (unsigned i = 0; i < BPI_PRIORITY_COUNT; i++) {
        queued[i] = arrive_as((enum bpi_priority)i, 0, 0);
    }
    for (unsigned i = BPI_PRIORITY_COUNT; i-- > 0;) {
        released(link);
        expect_grant(queued[i], false);
        assert_int_equal(link->priority, i);
    }
}

static void low_ones_are_served_under_an_endless_load_of_critical_ones(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *low[3];
    for (unsigned i = 0; i < 3; i++) {
        low[i] = arrive_as(BPI_PRIORITY_LOW, 0, 0);
    }
    struct bpi_pool_waiter *spare = arrive_as(BPI_PRIORITY_CRITICAL, 0, 0);
    bp_usec begin_us = now_us;
    unsigned served = 0;
    while (served < 3) {
        now_us += 10000;
        released(link);
        struct bpi_pool_action action = decide();
        assert_int_equal(action.kind, BPI_POOL_GRANT);
        if (action.waiter == spare) {
            spare = queue(action.waiter);
        } else {
            assert_ptr_equal(action.waiter, low[served]);
            served++;
        }
        /* A level of this rank has one in three steps, whatever comes above it. */
        assert_true(now_us - begin_us < 3 * 3 * BPI_POOL_AGE_STEP_US + 500000);
    }
}

static void tenants_get_equal_parts_however_many_they_ask_for(void **state)
{
    (void)state;
    start(12);
    struct bpi_pool_link *links[12];
    for (unsigned i = 0; i < 12; i++) {
        struct bpi_pool_waiter *waiter = make(NEW, ANN);
        waiter->tenant_key = 1;
        links[i] = serve(queue(waiter));
    }
    for (unsigned i = 0; i < 200; i++) {
        arrive_as(BPI_PRIORITY_NORMAL, 1, 0);
    }
    for (unsigned i = 0; i < 30; i++) {
        arrive_as(BPI_PRIORITY_NORMAL, 2 + i % 2, 0);
    }
    for (unsigned i = 0; i < 12; i++) {
        now_us += 100;
        released(links[i]);
        assert_int_equal(decide().kind, BPI_POOL_GRANT);
    }
    unsigned held[4] = {0};
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(places[i].state, BPI_POOL_LEASED);
        held[places[i].tenant_key]++;
    }
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(held[i], 4); /* max-min */
    }
}

static void those_without_a_tenant_are_one_tenant(void **state)
{
    (void)state;
    start(4);
    struct bpi_pool_link *link = leased(NEW, ANN);
    leased(NEW, ANN);
    struct bpi_pool_waiter *other = make(NEW, ANN);
    other->tenant_key = 5;
    serve(queue(other));
    leased(NEW, ANN);
    struct bpi_pool_waiter *without = arrive(NEW, ANN);
    struct bpi_pool_waiter *with = arrive_as(BPI_PRIORITY_NORMAL, 5, 0);
    now_us += 1000;
    released(link);
    expect_grant(with, false); /* holds one; those without hold two */
    (void)without;
}

static void a_tenant_in_another_class_counts_for_itself(void **state)
{
    (void)state;
    start(4);
    for (unsigned i = 0; i < 3; i++) {
        struct bpi_pool_waiter *waiter = make_in(BPI_CLASS_ANALYTICS);
        waiter->tenant_key = 1;
        serve(queue(waiter));
    }
    struct bpi_pool_waiter *two = make(NEW, ANN);
    two->tenant_key = 2;
    struct bpi_pool_link *link = serve(queue(two));
    struct bpi_pool_waiter *second = arrive_as(BPI_PRIORITY_NORMAL, 2, 0);
    struct bpi_pool_waiter *first = arrive_as(BPI_PRIORITY_NORMAL, 1, 0);
    /* Holds three of analytics, yet none of this class, as the other one does when its link is back. */
    assert_int_equal(bpi_pool_ahead_count(&pool, second), 1);
    assert_int_equal(bpi_pool_ahead_count(&pool, first), 0);
    (void)link;
}

static void the_pool_serves_first_who_must_be_served_first(void **state)
{
    (void)state;
    start(1);
    struct bpi_pool_link *link = leased(NEW, ANN);
    struct bpi_pool_waiter *none = make(NEW, ANN);
    queue(none);
    struct bpi_pool_waiter *hasty = make(NEW, ANN);
    hasty->expires_us = now_us + 5 * BP_USEC_PER_SECOND; /* gives up early, and has no deadline */
    queue(hasty);
    struct bpi_pool_waiter *late =
        arrive_as(BPI_PRIORITY_NORMAL, 0, now_us + 10 * BP_USEC_PER_SECOND);
    struct bpi_pool_waiter *soon =
        arrive_as(BPI_PRIORITY_NORMAL, 0, now_us + 8 * BP_USEC_PER_SECOND);
    struct bpi_pool_waiter *expected[] = {hasty, soon, late, none};
    for (unsigned i = 0; i < 4; i++) {
        released(link);
        expect_grant(expected[i], false);
    }
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(an_empty_queue_has_nobody),
        STORY(higher_priorities_go_first),
        STORY(a_level_that_has_waited_a_step_goes_among_the_next),
        STORY(the_lowest_level_reaches_the_top_and_falls_when_it_was_served),
        STORY(a_level_does_not_age_while_nobody_waits_in_it),
        STORY(ageing_ignores_a_clock_that_jumps_back),
        STORY(the_tenant_that_holds_least_goes_first),
        STORY(equal_tenants_take_turns),
        STORY(tenants_that_hold_very_many_take_turns),
        STORY(earlier_deadlines_of_a_tenant_go_first),
        STORY(who_comes_back_has_its_old_place),
        STORY(a_walk_leaves_out_the_rest_of_a_tenant),
        STORY(those_ahead_are_higher_ones_and_as_many_of_each_tenant),
        STORY(random_queues_agree_with_a_sort),
        STORY(the_pool_serves_priorities_before_arrival),
        STORY(low_ones_are_served_under_an_endless_load_of_critical_ones),
        STORY(tenants_get_equal_parts_however_many_they_ask_for),
        STORY(those_without_a_tenant_are_one_tenant),
        STORY(a_tenant_in_another_class_counts_for_itself),
        STORY(the_pool_serves_first_who_must_be_served_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
