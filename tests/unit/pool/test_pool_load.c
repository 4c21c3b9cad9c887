/* Shows by simulation what callers would see: 50 links on a virtual clock, arrivals by Poisson, holds that are drawn
 * from a seed, the pool's own decisions. Each test prints its figures; the bars are those of the issue, with the margin
 * by which the measured value was better where a bar has one. The same on real sockets is in bench/.
 *
 * Loads are in links that would be busy (Erlangs). A run is deterministic; BP_SEED=N draws other numbers.
 */
#include "base/histogram.h"
#include "base/random.h"
#include "pool/pool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINKS       50
#define STREAMS_MAX 8
#define WAITERS_MAX 65536
#define SEED        1
#define NEVER       UINT64_MAX
#define MS          BP_USEC_PER_MS
#define SECOND      BP_USEC_PER_SECOND

enum hold { CONSTANT, EXPONENTIAL, LOGNORMAL };

/* Work of one kind. */
struct stream {
    enum bpi_class class_;
    enum hold hold;
    double hold_us;
    double load;  /* links that it would keep busy; 0 = there is always some more of it */
    double burst; /* times the load, in [burst_from_us, burst_to_us) of each period */
    bp_usec burst_period_us, burst_from_us, burst_to_us;
    bp_usec deadline_us; /* after arrival; 0 = none */
    unsigned loops;      /* arrivals come on one of so many loops */

    bp_usec next_us; /* arrival */
    uint64_t arrived, served, refused, late, in_time;
    uint64_t busy_us;
    struct bpi_histogram waits;
};

struct job {
    struct bpi_pool_waiter waiter;
    struct stream *stream;
    bp_usec arrived_us;
    struct job *next_free;
};

struct place {
    struct bpi_pool_link link;
    struct job *job;
    bp_usec due_us;
    bp_usec since_us;
};

static struct bpi_pool pool;
static struct bpi_pool_limits limits;
static struct place places[LINKS];
static struct job jobs[WAITERS_MAX];
static struct job *free_jobs;
static struct stream streams[STREAMS_MAX];
static unsigned streams_count;
static struct bpi_random dice;
static bp_usec now_us;
static bp_usec measured_from_us, measured_to_us; /* arrivals in between are counted */
static const struct bpi_pool_key key = {.protocol = 1, .identity = {1}};

static uint64_t seed(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *text = getenv("BP_SEED");
    return text == NULL ? SEED : strtoull(text, NULL, 10);
}

/* ---- chance ---- */

static double normal(void)
{
    double radius = sqrt(-2 * log1p(-bpi_random_unit(&dice)));
    return radius * cos(6.283185307179586 * bpi_random_unit(&dice));
}

static bp_usec draw_hold(const struct stream *stream)
{
    double hold_us = stream->hold_us;
    if (stream->hold == EXPONENTIAL) {
        hold_us = bpi_random_exponential(&dice, hold_us);
    } else if (stream->hold == LOGNORMAL) {
        hold_us *= exp(normal() - 0.5); /* sigma 1, of this mean */
    }
    return hold_us < 1 ? 1 : (bp_usec)hold_us;
}

static double load_now(const struct stream *stream)
{
    if (stream->burst_period_us == 0) {
        return stream->load;
    }
    bp_usec at_us = now_us % stream->burst_period_us;
    bool bursts = at_us >= stream->burst_from_us && at_us < stream->burst_to_us;
    return stream->load * (bursts ? stream->burst : 1);
}

static void draw_arrival(struct stream *stream)
{
    double gap_us = bpi_random_exponential(&dice, stream->hold_us / load_now(stream));
    stream->next_us = now_us + (bp_usec)(gap_us + 0.5);
}

/* ---- the world ---- */

static bool is_measured(const struct job *job)
{
    return job->arrived_us >= measured_from_us && job->arrived_us < measured_to_us;
}

static void job_ends(struct job *job)
{
    job->next_free = free_jobs;
    free_jobs = job;
}

static void job_starts(struct job *job, struct bpi_pool_link *link)
{
    struct place *place = (struct place *)(void *)link;
    struct stream *stream = job->stream;
    assert_null(place->job);
    place->job = job;
    place->since_us = now_us;
    place->due_us = now_us + draw_hold(stream);
    link->loop = job->waiter.loop;
    if (is_measured(job)) {
        bool is_late =
            stream->deadline_us != 0 && place->due_us - job->arrived_us > stream->deadline_us;
        bpi_histogram_record(&stream->waits, now_us - job->arrived_us);
        stream->served++;
        stream->late += is_late;
        stream->in_time += !is_late;
    }
}

static void job_arrives(struct stream *stream)
{
    struct job *job = free_jobs;
    assert_non_null(job);
    free_jobs = job->next_free;
    *job = (struct job){.stream = stream, .arrived_us = now_us};
    struct bpi_pool_waiter *waiter = &job->waiter;
    waiter->key = key;
    waiter->class_ = stream->class_;
    waiter->priority = BPI_PRIORITY_NORMAL;
    waiter->deadline_us = stream->deadline_us == 0 ? 0 : now_us + stream->deadline_us;
    waiter->loop = stream->loops < 2 ? 0 : (unsigned)bpi_random_below(&dice, stream->loops);
    stream->arrived += is_measured(job);
    struct bpi_pool_link *link = bpi_pool_take(&pool, waiter, now_us);
    if (link != NULL) {
        job_starts(job, link);
    } else if (bpi_pool_wait(&pool, waiter, now_us) != BPI_POOL_ADMITTED) {
        stream->refused += is_measured(job);
        job_ends(job);
    }
}

static void decide(void)
{
    struct bpi_pool_action action;
    while ((action = bpi_pool_decide(&pool, 0, now_us)).kind != BPI_POOL_NOTHING) {
        struct job *job = (struct job *)(void *)action.waiter;
        if (action.kind == BPI_POOL_GRANT) {
            struct stream *stream = job->stream;
            job_starts(job, action.link);
            if (stream->load <= 0) {
                job_arrives(stream); /* the backlog stays as long as it is */
            }
        } else {
            assert_int_equal(action.kind, BPI_POOL_REFUSE);
            job->stream->refused += is_measured(job);
            job_ends(job);
        }
    }
}

static void hold_ends(struct place *place)
{
    struct job *job = place->job;
    bp_usec from_us = place->since_us > measured_from_us ? place->since_us : measured_from_us;
    if (now_us > from_us) {
        job->stream->busy_us += now_us - from_us;
    }
    place->job = NULL;
    bpi_pool_link_released(&pool, &place->link, false, now_us);
    job_ends(job);
}

/* All links open and idle, and a share for each class. */
static void world_init(void)
{
    memset(places, 0, sizeof(places));
    memset(streams, 0, sizeof(streams));
    streams_count = 0;
    free_jobs = NULL;
    for (unsigned i = 0; i < WAITERS_MAX; i++) {
        job_ends(&jobs[i]);
    }
    bpi_random_init(&dice, seed());
    now_us = SECOND;
    limits = (struct bpi_pool_limits){
        .links_max = LINKS, .idle_min = LINKS, .lend_max_hold_us = 50 * MS};
    static const unsigned shares[BPI_CLASS_COUNT] = {4, 4, 2, 1, 5};
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].share = shares[i];
    }
}

static struct stream *add_stream(enum bpi_class class_, enum hold hold, double hold_us, double load)
{
    struct stream *stream = &streams[streams_count++];
    stream->class_ = class_;
    stream->hold = hold;
    stream->hold_us = hold_us;
    stream->load = load;
    bpi_histogram_init(&stream->waits);
    return stream;
}

static void open_all(void)
{
    bpi_pool_init(&pool, &limits, 1, seed());
    pool.endpoints[0].protocols = 1;
    bpi_pool_endpoint_up(&pool, 0);
    for (unsigned i = 0; i < LINKS; i++) {
        bpi_pool_add_place(&pool, &places[i].link);
    }
    bpi_pool_set_warm_key(&pool, &key, 1);
    struct bpi_pool_action action;
    while ((action = bpi_pool_decide(&pool, 0, now_us)).kind != BPI_POOL_NOTHING) {
        assert_int_equal(action.kind, BPI_POOL_OPEN);
        now_us += 20 * MS;
        bpi_pool_link_opened(&pool, action.link, now_us);
    }
    assert_int_equal(pool.counts[BPI_POOL_IDLE], LINKS);
}

static void run(bp_usec span_us)
{
    bp_usec end_us = now_us + span_us;
    uint64_t turns = 0;
    while (true) {
        bp_usec at_us = bpi_pool_next_us(&pool, now_us);
        at_us = at_us == 0 ? NEVER : at_us;
        struct stream *first_stream = NULL;
        struct place *first_place = NULL;
        for (unsigned i = 0; i < streams_count; i++) {
            if (streams[i].load > 0 && streams[i].next_us < at_us) {
                at_us = streams[i].next_us;
                first_stream = &streams[i];
            }
        }
        for (unsigned i = 0; i < LINKS; i++) {
            if (places[i].job != NULL && places[i].due_us <= at_us) {
                at_us = places[i].due_us;
                first_place = &places[i];
            }
        }
        if (at_us >= end_us) {
            break;
        }
        now_us = at_us;
        if (first_place != NULL) {
            hold_ends(first_place);
        } else if (first_stream != NULL) {
            job_arrives(first_stream);
            draw_arrival(first_stream);
        }
        decide();
        if (++turns % 4096 == 0) {
            assert_true(bpi_pool_check(&pool));
        }
    }
    now_us = end_us;
}

/* Starts all streams, lets them run in, and counts for `span_us`. */
static void start_streams(bp_usec run_in_us, bp_usec span_us)
{
    open_all();
    measured_from_us = now_us + run_in_us;
    measured_to_us = measured_from_us + span_us;
    for (unsigned i = 0; i < streams_count; i++) {
        if (streams[i].load > 0) {
            draw_arrival(&streams[i]);
        }
        for (unsigned j = 0; streams[i].load <= 0 && j < 2 * LINKS; j++) {
            job_arrives(&streams[i]);
        }
    }
    decide();
}

static void measure(bp_usec run_in_us, bp_usec span_us)
{
    start_streams(run_in_us, span_us);
    run(run_in_us + span_us);
}

static double wait_ms(const struct stream *stream, double quantile)
{
    return (double)bpi_histogram_quantile(&stream->waits, quantile) / 1000;
}

static double busy_part(bp_usec span_us)
{
    uint64_t busy_us = 0;
    for (unsigned i = 0; i < streams_count; i++) {
        busy_us += streams[i].busy_us;
    }
    return (double)busy_us / ((double)span_us * LINKS);
}

static void print_waits(const char *what)
{
    print_message("%s: p99 wait", what);
    for (unsigned i = 0; i < streams_count; i++) {
        print_message("%s %s %.2f ms", i == 0 ? "" : ",", bpi_class_name(streams[i].class_),
                      wait_ms(&streams[i], 0.99));
    }
    print_message("\n");
}

static void set_minima(const unsigned *minima)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        limits.classes[i].min = minima[i];
    }
}

/* ---- shares ---- */

static void expect_shares(const char *what, enum hold hold, const double *holds_us)
{
    world_init();
    double sum = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        add_stream((enum bpi_class)i, hold, holds_us[i], 0);
        sum += limits.classes[i].share;
    }
    measure(5 * SECOND, 120 * SECOND);
    double busy = busy_part(120 * SECOND) * 120e6 * LINKS;
    double worst = 0;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        double wanted = limits.classes[i].share / sum;
        double apart = fabs((double)streams[i].busy_us / busy / wanted - 1);
        worst = apart > worst ? apart : worst;
    }
    print_message("shares of link time, %s: at most %.2f %% off\n", what, worst * 100);
    assert_true(worst < 0.02);
}

static void backlogged_classes_get_their_shares_within_two_percent(void **state)
{
    (void)state;
    static const double equal[BPI_CLASS_COUNT] = {10e3, 10e3, 10e3, 10e3, 10e3};
    static const double mixed[BPI_CLASS_COUNT] = {1e3, 10e3, 200e3, 50e3, 5e3};
    static const double other[BPI_CLASS_COUNT] = {200e3, 5e3, 1e3, 10e3, 50e3};
    expect_shares("10 ms constant", CONSTANT, equal);
    expect_shares("10 ms exponential", EXPONENTIAL, equal);
    expect_shares("10 ms lognormal", LOGNORMAL, equal);
    expect_shares("1 to 200 ms constant", CONSTANT, mixed);
    expect_shares("1 to 200 ms exponential", EXPONENTIAL, mixed);
    expect_shares("1 to 200 ms lognormal", LOGNORMAL, mixed);
    expect_shares("200 to 1 ms lognormal", LOGNORMAL, other);
}

/* ---- classes ---- */

static void interactive_classes_wait_little_while_analytics_bursts(void **state)
{
    (void)state;
    static const unsigned minima[BPI_CLASS_COUNT] = {6, 6, 6, 6, 6};
    for (unsigned loops = 1; loops <= 4; loops += 3) {
        world_init();
        set_minima(minima);
        limits.pass_over_us = loops > 1 ? 1000 : 0;
        for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
            struct stream *stream = add_stream((enum bpi_class)i, LOGNORMAL, 10e3, 7.5);
            stream->loops = loops;
            if (i == BPI_CLASS_ANALYTICS) {
                /* Four times as much in 10 s of 30: 60 links of work in all. */
                stream->burst = 4;
                stream->burst_period_us = 30 * SECOND;
                stream->burst_to_us = 10 * SECOND;
            }
        }
        measure(5 * SECOND, 120 * SECOND);
        print_waits(loops == 1 ? "4x burst of analytics, minima 6" : "the same on 4 loops");
        print_message("  busy %.1f %%\n", busy_part(120 * SECOND) * 100);
        assert_true(wait_ms(&streams[BPI_CLASS_READ_ONLY], 0.99) < 3);
        assert_true(wait_ms(&streams[BPI_CLASS_READ_WRITE], 0.99) < 3);
        assert_true(wait_ms(&streams[BPI_CLASS_HIGH_PRIORITY], 0.99) < 3);
    }
}

static void interactive_classes_wait_little_beside_long_holds(void **state)
{
    (void)state;
    static const unsigned minima[][BPI_CLASS_COUNT] = {
        {6, 6, 6, 6, 6}, {8, 8, 8, 2, 8}, {12, 12, 6, 2, 12}};
    for (unsigned i = 0; i < 3; i++) {
        world_init();
        set_minima(minima[i]);
        for (unsigned j = 0; j < BPI_CLASS_COUNT; j++) {
            if (j == BPI_CLASS_ANALYTICS) {
                add_stream((enum bpi_class)j, CONSTANT, 2e6, 0);
            } else if (j != BPI_CLASS_MAINTENANCE) {
                add_stream((enum bpi_class)j, LOGNORMAL, 10e3, 0.6 * minima[i][j]);
            }
        }
        measure(10 * SECOND, 120 * SECOND);
        char what[80];
        snprintf(what, sizeof(what), "analytics holds 2 s, minima %u %u %u %u %u", minima[i][0],
                 minima[i][1], minima[i][2], minima[i][3], minima[i][4]);
        print_waits(what);
        for (unsigned j = 0; j < streams_count; j++) {
            assert_true(streams[j].class_ == BPI_CLASS_ANALYTICS || wait_ms(&streams[j], 0.99) < 5);
        }
    }
}

/* ---- overload ---- */

static void overload(unsigned classes, enum hold hold, bp_usec deadline_us, double times)
{
    world_init();
    for (unsigned i = 0; i < classes; i++) {
        static const enum bpi_class order[] = {BPI_CLASS_READ_WRITE, BPI_CLASS_READ_ONLY,
                                               BPI_CLASS_HIGH_PRIORITY};
        struct stream *stream = add_stream(order[i], hold, 10e3, 0.8 * LINKS / classes);
        stream->deadline_us = deadline_us;
        stream->burst = times / 0.8;
        stream->burst_period_us = 3600 * SECOND;
        stream->burst_from_us = 12 * SECOND;
        stream->burst_to_us = 32 * SECOND;
    }
    start_streams(0, 0);
    run(12 * SECOND - now_us);
    measured_from_us = now_us;
    measured_to_us = now_us + 20 * SECOND;
    run(20 * SECOND);
    uint64_t in_time = 0, arrived = 0, refused = 0, late = 0;
    measured_from_us = NEVER; /* what was admitted is still in its queues */
    run(100 * MS);
    double longest_ms = 0;
    for (unsigned i = 0; i < streams_count; i++) {
        in_time += streams[i].in_time;
        arrived += streams[i].arrived;
        refused += streams[i].refused;
        late += streams[i].late;
        double ms = wait_ms(&streams[i], 0.99);
        if (streams_count > 1) {
            print_message("  %s: p99 wait %.1f ms, %.1f %% refused\n",
                          bpi_class_name(streams[i].class_), ms,
                          100 * (double)streams[i].refused / (double)streams[i].arrived);
        }
        longest_ms = ms > longest_ms ? ms : longest_ms;
        bpi_histogram_init(&streams[i].waits);
        streams[i].refused = 0;
    }
    measured_from_us = now_us;
    measured_to_us = NEVER;
    run(5 * SECOND);
    double after_ms = 0;
    uint64_t refused_after = 0;
    for (unsigned i = 0; i < streams_count; i++) {
        double ms = wait_ms(&streams[i], 0.99);
        after_ms = ms > after_ms ? ms : after_ms;
        refused_after += streams[i].refused;
    }
    double goodput = (double)in_time / (20.0 * LINKS * 100);
    print_message(
        "%.1fx for 20 s, deadline %.0f ms, %u class%s, %s holds: goodput %.2f %% of capacity, "
        "%.1f %% refused, %.2f %% late, p99 wait %.1f ms; from 100 ms after the end on "
        "%.2f ms, %llu refused\n",
        times, (double)deadline_us / 1000, classes, classes == 1 ? "" : "es",
        hold == LOGNORMAL     ? "lognormal"
        : hold == EXPONENTIAL ? "exponential"
                              : "constant",
        goodput * 100, 100 * (double)refused / (double)arrived,
        100 * (double)late / (double)arrived, longest_ms, after_ms,
        (unsigned long long)refused_after);
    assert_true(goodput >= 0.98);
    assert_true(after_ms < (times > 2 ? 10 : 5));
    /* Of 20,000 that came in those five seconds: a queue of one class may end a little later. */
    assert_true(refused_after <= 100);
}

static void overload_costs_no_goodput_and_ends_at_once(void **state)
{
    (void)state;
    overload(1, LOGNORMAL, 500 * MS, 2);
    overload(1, EXPONENTIAL, 500 * MS, 2);
    overload(1, CONSTANT, 500 * MS, 2);
    overload(3, LOGNORMAL, 500 * MS, 2);
    overload(3, EXPONENTIAL, 500 * MS, 3);
}

/* ---- sizing ---- */

static void fifty_links_are_busy_and_waits_are_short(void **state)
{
    (void)state;
    for (unsigned classes = 1; classes <= BPI_CLASS_COUNT; classes += 4) {
        world_init();
        static const unsigned minima[BPI_CLASS_COUNT] = {6, 6, 6, 6, 6};
        if (classes > 1) {
            set_minima(minima);
        }
        for (unsigned i = 0; i < classes; i++) {
            add_stream((enum bpi_class)i, EXPONENTIAL, 10e3, 0.86 * LINKS / classes);
        }
        measure(5 * SECOND, 300 * SECOND);
        struct bpi_histogram all;
        bpi_histogram_init(&all);
        for (unsigned i = 0; i < classes; i++) {
            bpi_histogram_merge(&all, &streams[i].waits);
        }
        double p99_ms = (double)bpi_histogram_quantile(&all, 0.99) / 1000;
        print_waits(classes == 1 ? "one class" : "five classes, minima 6");
        print_message("  50 links, load .86: busy %.1f %%, p99 wait of all %.2f ms\n",
                      busy_part(300 * SECOND) * 100, p99_ms);
        assert_true(busy_part(300 * SECOND) >= 0.85);
        assert_true(classes > 1 || p99_ms < 5);
    }
}

/* Each class keeps its share of what comes in, too: a class within its share waits little whatever the others do. */
static void a_class_within_its_share_waits_little_beside_backlogs(void **state)
{
    (void)state;
    world_init();
    add_stream(BPI_CLASS_READ_WRITE, LOGNORMAL, 10e3, 8); /* of 50 x 4 / 16 = 12.5 */
    add_stream(BPI_CLASS_READ_ONLY, LOGNORMAL, 10e3, 0);
    add_stream(BPI_CLASS_ANALYTICS, LOGNORMAL, 40e3, 0);
    add_stream(BPI_CLASS_MAINTENANCE, LOGNORMAL, 40e3, 0);
    add_stream(BPI_CLASS_HIGH_PRIORITY, LOGNORMAL, 10e3, 0);
    measure(5 * SECOND, 60 * SECOND);
    print_waits("one class at 64 % of its share beside four backlogs, no minima");
    assert_true(wait_ms(&streams[0], 0.99) < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backlogged_classes_get_their_shares_within_two_percent),
        cmocka_unit_test(interactive_classes_wait_little_while_analytics_bursts),
        cmocka_unit_test(interactive_classes_wait_little_beside_long_holds),
        cmocka_unit_test(overload_costs_no_goodput_and_ends_at_once),
        cmocka_unit_test(fifty_links_are_busy_and_waits_are_short),
        cmocka_unit_test(a_class_within_its_share_waits_little_beside_backlogs),
    };
    print_message("BP_SEED=%llu\n", (unsigned long long)seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
