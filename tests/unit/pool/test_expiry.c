/* Shows that waiters are answered in time: the heap against a plain table by random steps, and small stories of waiters
 * that the pool has to refuse at expires_us or at their deadline, whatever else goes on.
 */
#include "story.h"

#include "base/random.h"

/* ---- the heap ---- */

#define NODES 200
#define STEPS 200000

static struct bpi_pool_expiry_node nodes[NODES];
static bp_usec at_us[NODES]; /* the table's: 0 = not in the heap */

static bp_usec earliest(void)
{
    bp_usec least = 0;
    for (unsigned i = 0; i < NODES; i++) {
        if (at_us[i] != 0 && (least == 0 || at_us[i] < least)) {
            least = at_us[i];
        }
    }
    return least;
}

static void the_root_is_always_the_earliest(void **state)
{
    (void)state;
    struct bpi_pool_expiry expiry = {0};
    struct bpi_random random;
    bpi_random_init(&random, STORY_SEED);
    memset(nodes, 0, sizeof(nodes));
    memset(at_us, 0, sizeof(at_us));
    for (unsigned step = 0; step < STEPS; step++) {
        /* Phases in which it grows and phases in which it shrinks, with many equal times. */
        bool grows = bpi_random_below(&random, 100) < (step / 1000 % 2 == 0 ? 70 : 30);
        unsigned i = (unsigned)bpi_random_below(&random, NODES);
        if (grows && at_us[i] == 0) {
            at_us[i] = 1 + bpi_random_below(&random, step % 3 == 0 ? 10 : 1000000);
            bpi_pool_expiry_add(&expiry, &nodes[i], at_us[i]);
        } else if (!grows) {
            bpi_pool_expiry_remove(&expiry, &nodes[i]); /* whether it is in there or not */
            at_us[i] = 0;
        }
        assert_int_equal(expiry.root == NULL ? 0 : expiry.root->at_us, earliest());
        assert_int_equal(nodes[i].at_us, at_us[i]);
    }
}

static void what_is_taken_from_the_root_comes_in_order(void **state)
{
    (void)state;
    struct bpi_random random;
    bpi_random_init(&random, STORY_SEED);
    struct bpi_pool_expiry expiry = {0};
    memset(nodes, 0, sizeof(nodes));
    for (unsigned i = 0; i < NODES; i++) {
        bpi_pool_expiry_add(&expiry, &nodes[i], 1 + bpi_random_below(&random, 100));
    }
    bp_usec last_us = 0;
    unsigned count = 0;
    while (expiry.root != NULL) {
        assert_true(expiry.root->at_us >= last_us);
        last_us = expiry.root->at_us;
        bpi_pool_expiry_remove(&expiry, expiry.root);
        count++;
    }
    assert_int_equal(count, NODES);
}

/* A million in the worst orders: neither the stack nor the time may grow with them. */
#define MANY 1000000

static void a_million_in_any_order_take_no_stack(void **state)
{
    (void)state;
    static struct bpi_pool_expiry_node many[MANY];
    for (int order = 0; order < 3; order++) {
        struct bpi_pool_expiry expiry = {0};
        memset(many, 0, sizeof(many));
        for (unsigned i = 0; i < MANY; i++) {
            bp_usec time_us = order == 0 ? 1 + i : order == 1 ? MANY - i : 1;
            bpi_pool_expiry_add(&expiry, &many[i], time_us);
        }
        bp_usec last_us = 0;
        for (unsigned i = 0; i < MANY; i++) {
            /* From the root and from the middle by turns. */
            struct bpi_pool_expiry_node *node = i % 2 == 0 ? expiry.root : &many[i];
            if (i % 2 == 0) {
                assert_non_null(node);
                assert_true(node->at_us >= last_us);
                last_us = node->at_us;
            }
            bpi_pool_expiry_remove(&expiry, node);
            if (expiry.root == NULL) {
                break;
            }
        }
    }
}

/* ---- waiters ---- */

static struct bpi_pool_waiter *
make_until(enum bpi_class class_, bp_usec expires_us, bp_usec deadline_us)
{
    struct bpi_pool_waiter *waiter = make_in(class_);
    waiter->expires_us = expires_us;
    waiter->deadline_us = deadline_us;
    return waiter;
}

static void a_waiter_is_refused_at_the_time_that_it_named(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *waiter = queue(make_until(BPI_CLASS_READ_WRITE, now_us + 3000000, 0));
    struct bpi_pool_waiter *patient = arrive(NEW, ANN);
    expect_nothing();
    bp_usec end_us = now_us + 3000000;
    struct bpi_pool_action action = decide_until(end_us - 1);
    assert_int_equal(action.kind, BPI_POOL_NOTHING);
    assert_true(bpi_pool_next_us(&pool, now_us) == end_us);
    now_us = end_us;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
    memset(waiter, 0xff, sizeof(*waiter)); /* the pool knows nothing of it any more */
    expect_nothing();
    assert_int_equal(pool.classes[BPI_CLASS_READ_WRITE].refused_total[BPI_POOL_EXPIRED], 1);
    assert_int_equal(patient->state, BPI_POOL_WAITER_QUEUED);
}

static void a_waiter_is_refused_at_its_deadline(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *waiter =
        queue(make_until(BPI_CLASS_READ_WRITE, now_us + 3000000, now_us + 500000));
    bp_usec end_us = now_us + 500000;
    assert_int_equal(decide_until(end_us - 1).kind, BPI_POOL_NOTHING);
    now_us = end_us;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
}

static void whoever_asks_refuses_who_has_waited_long_enough(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *waiter = make_until(BPI_CLASS_ANALYTICS, now_us + 1000, 0);
    waiter->loop = 3;
    queue(waiter);
    now_us += 1000;
    struct bpi_pool_action action = decide_on(1);
    assert_int_equal(action.kind, BPI_POOL_REFUSE);
    assert_ptr_equal(action.waiter, waiter);
    assert_int_equal(decide_on(3).kind, BPI_POOL_NOTHING);
}

static void expired_waiters_of_all_classes_come_in_order_of_time(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    struct bpi_pool_waiter *queued[BPI_CLASS_COUNT];
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        queued[i] = queue(make_until((enum bpi_class)i, now_us + 1000 * (BPI_CLASS_COUNT - i), 0));
    }
    now_us += 10000;
    for (unsigned i = BPI_CLASS_COUNT; i-- > 0;) {
        expect_refuse(queued[i], BPI_POOL_EXPIRED);
    }
    expect_nothing();
}

static void a_paused_pool_still_refuses_in_time(void **state)
{
    (void)state;
    start(1);
    fill(1);
    bpi_pool_pause(&pool, true);
    struct bpi_pool_waiter *waiter = queue(make_until(BPI_CLASS_READ_WRITE, now_us + 1000, 0));
    expect_nothing();
    assert_true(bpi_pool_next_us(&pool, now_us) == now_us + 1000);
    now_us += 1000;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
}

static void an_opening_outlives_the_waiter_that_expired(void **state)
{
    (void)state;
    start(2);
    struct bpi_pool_waiter *waiter =
        queue(make_until(BPI_CLASS_READ_WRITE, now_us + 2 * PATIENCE_US, 0));
    bp_usec end_us = now_us + 2 * PATIENCE_US;
    struct bpi_pool_link *link = expect_open(waiter);
    now_us = end_us;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
    memset(waiter, 0xff, sizeof(*waiter));
    check_pool();
    assert_null(link->sponsor);
    opened(link);
    expect_nothing();
    assert_int_equal(link->state, BPI_POOL_IDLE);
}

static void an_eviction_outlives_the_waiter_that_expired(void **state)
{
    (void)state;
    start(1);
    fill(1);
    struct bpi_pool_waiter *waiter = make(OLD, ANN);
    waiter->expires_us = now_us + 2 * PATIENCE_US;
    queue(waiter);
    struct bpi_pool_action action = decide_until(now_us + PATIENCE_US);
    assert_int_equal(action.kind, BPI_POOL_CLOSE);
    now_us = waiter->expires_us;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
    memset(waiter, 0xff, sizeof(*waiter));
    closed(action.link);
    expect_nothing();
}

static void a_log_in_check_expires_too(void **state)
{
    (void)state;
    start(1);
    bpi_pool_endpoint_down(&pool, 0, 0, now_us);
    struct bpi_pool_waiter *check = make(NEW, ANN);
    check->is_check = true;
    check->expires_us = now_us + 1000;
    queue(check);
    expect_nothing();
    assert_true(bpi_pool_next_us(&pool, now_us) == now_us + 1000);
    now_us += 1000;
    expect_refuse(check, BPI_POOL_EXPIRED);
}

static void who_comes_back_keeps_its_time(void **state)
{
    (void)state;
    start(1);
    bp_usec end_us = now_us + 2 * PATIENCE_US;
    struct bpi_pool_waiter *waiter = queue(make_until(BPI_CLASS_READ_WRITE, end_us, 0));
    struct bpi_pool_link *link = serve(waiter);
    now_us = end_us - 1000;
    bpi_pool_wait_again(&pool, waiter);
    check_pool();
    closing(link);
    expect_nothing();
    assert_true(bpi_pool_next_us(&pool, now_us) == end_us);
    now_us = end_us;
    expect_refuse(waiter, BPI_POOL_EXPIRED);
}

static void who_comes_back_too_late_is_refused_at_once(void **state)
{
    (void)state;
    start(1);
    bp_usec end_us = now_us + 2 * PATIENCE_US;
    struct bpi_pool_waiter *waiter = queue(make_until(BPI_CLASS_READ_WRITE, end_us, 0));
    struct bpi_pool_link *link = serve(waiter);
    now_us = end_us + 1000;
    bpi_pool_wait_again(&pool, waiter);
    closing(link);
    expect_refuse(waiter, BPI_POOL_EXPIRED);
}

static void who_was_granted_or_has_gone_does_not_expire(void **state)
{
    (void)state;
    start(2);
    bp_usec end_us = now_us + 2 * PATIENCE_US;
    struct bpi_pool_waiter *granted = queue(make_until(BPI_CLASS_READ_WRITE, end_us, 0));
    struct bpi_pool_waiter *gone = queue(make_until(BPI_CLASS_READ_WRITE, end_us, 0));
    struct bpi_pool_waiter *quick = make_until(BPI_CLASS_READ_WRITE, end_us, 0);
    assert_true(cancel(gone));
    released(serve(granted));
    assert_non_null(take(quick));
    now_us = end_us + BP_USEC_PER_SECOND;
    expect_nothing();
    assert_int_equal(bpi_pool_next_us(&pool, now_us), 0);
}

static void two_thousand_that_expire_together_are_all_refused(void **state)
{
    (void)state;
    start(1);
    leased(NEW, ANN);
    bp_usec end_us = now_us + BP_USEC_PER_SECOND;
    unsigned count = WAITERS_MAX - waiters_count;
    for (unsigned i = 0; i < count; i++) {
        (void)bpi_pool_wait(&pool, make_until((enum bpi_class)(i % BPI_CLASS_COUNT), end_us, 0),
                            now_us);
    }
    check_pool();
    now_us = end_us;
    for (unsigned i = 0; i < count; i++) {
        struct bpi_pool_action action = bpi_pool_decide(&pool, 0, now_us);
        assert_int_equal(action.kind, BPI_POOL_REFUSE);
    }
    expect_nothing();
    assert_int_equal(pool.waiters_count, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        STORY(the_root_is_always_the_earliest),
        STORY(what_is_taken_from_the_root_comes_in_order),
        STORY(a_million_in_any_order_take_no_stack),
        STORY(a_waiter_is_refused_at_the_time_that_it_named),
        STORY(a_waiter_is_refused_at_its_deadline),
        STORY(whoever_asks_refuses_who_has_waited_long_enough),
        STORY(expired_waiters_of_all_classes_come_in_order_of_time),
        STORY(a_paused_pool_still_refuses_in_time),
        STORY(an_opening_outlives_the_waiter_that_expired),
        STORY(an_eviction_outlives_the_waiter_that_expired),
        STORY(a_log_in_check_expires_too),
        STORY(who_comes_back_keeps_its_time),
        STORY(who_comes_back_too_late_is_refused_at_once),
        STORY(who_was_granted_or_has_gone_does_not_expire),
        STORY(two_thousand_that_expire_together_are_all_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
