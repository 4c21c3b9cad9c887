/* A simulation of rules that pick an endpoint, and how long one pick takes; see ../balance.py.
 *
 * Endpoints are queues in order of arrival with eight workers each; services are lognormal with a mean of 10 ms and
 * sigma 1, times what the endpoint is slower by when the work begins; arrivals are Poisson. All rules of a seed get the
 * same arrivals and the same services. Nothing here opens a connection. The strategies are src/route's own code, the
 * others are written down here as their papers and sources say.
 *
 * balance sim SCENARIO RULE SEED ARRIVALS | balance pick ENDPOINTS SECONDS
 */
#include "base/random.h"
#include "route/route.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS       8
#define SERVICE_US    10000.0
#define SIGMA         1.0
#define ENDPOINTS_MAX 64
/* The first part of a run only fills the queues. */
#define WARM_PART 0.1

struct scenario {
    const char *name;
    unsigned endpoints;
    double load; /* share of what all can do */
    bool is_transient;
    double slowness[ENDPOINTS_MAX];
};

static struct scenario scenarios[] = {
    {"slow_one", 3, 0.80, false, {1, 1, 3}},
    {"three_speeds", 20, 0.85, false, {0}},
    {"transient", 8, 0.70, true, {0}},
    {"equal", 8, 0.85, false, {0}},
};

static void scenarios_fill(void)
{
    for (unsigned i = 0; i < 20; i++) {
        static const double speeds[] = {0.7, 1, 1.8};
        scenarios[1].slowness[i] = speeds[i % 3];
    }
    for (unsigned i = 0; i < 8; i++)
        scenarios[2].slowness[i] = scenarios[3].slowness[i] = 1;
}

enum rule {
    ADAPTIVE,
    ROUND_ROBIN,
    LEAST_CONNECTIONS,
    WEIGHTED_ROUND_ROBIN,
    PERFORMANCE_BASED,
    PEAK_EWMA,
    POWER_OF_TWO,
    BEST_THREE,
    ADAPTIVE_LIMIT_HALF,
    ADAPTIVE_LIMIT_TWICE,
    RULE_COUNT,
};

static const char *const rule_names[RULE_COUNT] = {
    "adaptive",  "round_robin",  "least_connections", "weighted_round_robin", "performance_based",
    "peak_ewma", "power_of_two", "best_three",        "adaptive_k_half",      "adaptive_k_twice",
};

struct job {
    double arrived_us;
    double work_us; /* on an endpoint of slowness 1 */
    struct bpi_route_ticket ticket;
    unsigned endpoint;
    unsigned next; /* in its queue; index + 1 */
};

struct endpoint {
    unsigned running; /* in the queue and in work */
    unsigned working;
    unsigned head, tail;
    /* Peak-EWMA. */
    double ewma_us;
    double ewma_at_us;
    /* Slow phases. */
    double slow_from_us, slow_until_us;
};

/* A heap of what ends when. */
struct end {
    double at_us;
    unsigned job;
};

static struct scenario *scenario;
static enum rule rule;
static struct endpoint endpoints[ENDPOINTS_MAX];
static struct bpi_random phases[ENDPOINTS_MAX];
static struct bpi_random picks;
static struct bpi_route route;
static struct job *jobs;
static struct end *heap;
static unsigned heap_count;

static void heap_push(double at_us, unsigned job)
{
    unsigned at = heap_count++;
    while (at > 0 && heap[(at - 1) / 2].at_us > at_us) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = (struct end){at_us, job};
}

static struct end heap_pop(void)
{
    struct end first = heap[0];
    struct end last = heap[--heap_count];
    unsigned at = 0;
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= heap_count) {
            break;
        }
        if (child + 1 < heap_count && heap[child + 1].at_us < heap[child].at_us) {
            child++;
        }
        if (heap[child].at_us >= last.at_us) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static double normal(struct bpi_random *random)
{
    double radius = sqrt(-2 * log1p(-bpi_random_unit(random)));
    return radius * cos(2 * 3.14159265358979323846 * bpi_random_unit(random));
}

/* How much slower the endpoint is at that time; each 4x for 2 s every 20 s or so in `transient`. */
static double slowness(unsigned index, double now_us)
{
    struct endpoint *endpoint = &endpoints[index];
    if (!scenario->is_transient) {
        return scenario->slowness[index];
    }
    while (now_us >= endpoint->slow_until_us) {
        endpoint->slow_from_us =
            endpoint->slow_until_us + bpi_random_exponential(&phases[index], 18e6);
        endpoint->slow_until_us = endpoint->slow_from_us + 2e6;
    }
    return now_us >= endpoint->slow_from_us ? 4 : 1;
}

static double peak_ewma_cost(unsigned index, double now_us)
{
    const struct endpoint *endpoint = &endpoints[index];
    if (endpoint->ewma_us <= 0) {
        return endpoint->running == 0 ? 0 : 1e12 + endpoint->running;
    }
    double ewma_us = endpoint->ewma_us * exp(-(now_us - endpoint->ewma_at_us) / 10e6);
    return ewma_us * (endpoint->running + 1);
}

/* Finagle: a peak is taken at once and fades with 10 s. */
static void peak_ewma_seen(unsigned index, double took_us, double now_us)
{
    struct endpoint *endpoint = &endpoints[index];
    if (took_us > endpoint->ewma_us) {
        endpoint->ewma_us = took_us;
    } else {
        double kept = exp(-(now_us - endpoint->ewma_at_us) / 10e6);
        endpoint->ewma_us = endpoint->ewma_us * kept + took_us * (1 - kept);
    }
    endpoint->ewma_at_us = now_us;
}

static unsigned two_of(double (*cost)(unsigned, double), double now_us)
{
    unsigned count = scenario->endpoints;
    unsigned one = (unsigned)bpi_random_below(&picks, count);
    unsigned other = (unsigned)bpi_random_below(&picks, count - 1);
    other += other >= one ? 1 : 0;
    return cost(other, now_us) < cost(one, now_us) ? other : one;
}

static double running_cost(unsigned index, double now_us)
{
    (void)now_us;
    return endpoints[index].running;
}

/* The three with the least smoothed latency times load, one of them at random. */
static unsigned best_three(double now_us)
{
    unsigned best[3] = {0};
    unsigned count = 0;
    for (unsigned i = 0; i < scenario->endpoints; i++) {
        unsigned at = count < 3 ? count++ : 3;
        while (at > 0 && peak_ewma_cost(i, now_us) < peak_ewma_cost(best[at - 1], now_us)) {
            if (at < 3) {
                best[at] = best[at - 1];
            }
            at--;
        }
        if (at < 3) {
            best[at] = i;
        }
    }
    return best[bpi_random_below(&picks, count)];
}

static bool is_route(void)
{
    return rule <= PERFORMANCE_BASED || rule >= ADAPTIVE_LIMIT_HALF;
}

static unsigned pick(struct job *job, double now_us)
{
    switch (rule) {
    case PEAK_EWMA:
        return two_of(peak_ewma_cost, now_us);
    case POWER_OF_TWO:
        return two_of(running_cost, now_us);
    case BEST_THREE:
        return best_three(now_us);
    default:
        break;
    }
    struct bpi_route_wish wish = {.database = 1};
    if (bpi_route_pick(&route, UINT64_MAX, &wish, (bp_usec)now_us, &job->ticket) != 0) {
        fputs("no endpoint\n", stderr);
        exit(1);
    }
    bpi_route_started(&route, &job->ticket, (bp_usec)now_us);
    return job->ticket.endpoint;
}

static void work(unsigned index, double now_us)
{
    struct endpoint *endpoint = &endpoints[index];
    while (endpoint->working < WORKERS && endpoint->head != 0) {
        unsigned number = endpoint->head - 1;
        endpoint->head = jobs[number].next;
        endpoint->working++;
        heap_push(now_us + jobs[number].work_us * slowness(index, now_us), number);
    }
}

static void arrive(unsigned number)
{
    struct job *job = &jobs[number];
    unsigned index = pick(job, job->arrived_us);
    struct endpoint *endpoint = &endpoints[index];
    job->endpoint = index;
    job->next = 0;
    endpoint->running++;
    if (endpoint->head == 0) {
        endpoint->head = number + 1;
    } else {
        jobs[endpoint->tail - 1].next = number + 1;
    }
    endpoint->tail = number + 1;
    work(index, job->arrived_us);
}

static double leave(struct end end)
{
    struct job *job = &jobs[end.job];
    endpoints[job->endpoint].running--;
    endpoints[job->endpoint].working--;
    double took_us = end.at_us - job->arrived_us;
    peak_ewma_seen(job->endpoint, took_us, end.at_us);
    if (is_route()) {
        bpi_route_finished(&route, &job->ticket, BPI_ROUTE_OK, (bp_usec)end.at_us);
    }
    work(job->endpoint, end.at_us);
    return took_us;
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one;
    double b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void start(uint64_t seed)
{
    static const enum bpi_route_strategy strategies[RULE_COUNT] = {
        [ROUND_ROBIN] = BPI_ROUTE_ROUND_ROBIN,
        [LEAST_CONNECTIONS] = BPI_ROUTE_LEAST_CONNECTIONS,
        [WEIGHTED_ROUND_ROBIN] = BPI_ROUTE_WEIGHTED_ROUND_ROBIN,
        [PERFORMANCE_BASED] = BPI_ROUTE_PERFORMANCE_BASED,
    };
    unsigned limit = rule == ADAPTIVE_LIMIT_HALF    ? WORKERS / 2
                     : rule == ADAPTIVE_LIMIT_TWICE ? WORKERS * 2
                                                    : WORKERS;
    bpi_random_init(&picks, seed + 1000);
    bpi_route_init(&route, BPI_ROUTE_EQUAL, seed + 2000);
    bpi_route_set_strategy(&route, strategies[rule]);
    for (unsigned i = 0; i < scenario->endpoints; i++) {
        bpi_random_init(&phases[i], seed * 100 + i + 3000);
        if (bpi_route_add(&route, i, BPI_ROUTE_READ_WRITE, limit, 0) != 0) {
            exit(1);
        }
        /* Weights say what an operator knows: how fast each is. */
        struct bpi_route_weight weight = {
            i, (unsigned)lround(100 / (scenario->is_transient ? 1 : scenario->slowness[i]))};
        if (rule == WEIGHTED_ROUND_ROBIN && bpi_route_set_weights(&route, &weight, 1) != 0) {
            exit(1);
        }
    }
}

/* Arrivals and services, from the seed alone. */
static void arrivals_make(uint64_t seed, unsigned count)
{
    struct bpi_random random;
    bpi_random_init(&random, seed);
    double capacity = 0;
    for (unsigned i = 0; i < scenario->endpoints; i++) {
        /* 2 s of 20 at a quarter of the speed. */
        double mean = scenario->is_transient ? 1 / (0.9 + 0.1 / 4) : scenario->slowness[i];
        capacity += WORKERS / (SERVICE_US * mean);
    }
    double at_us = 0;
    for (unsigned i = 0; i < count; i++) {
        at_us += bpi_random_exponential(&random, 1 / (capacity * scenario->load));
        jobs[i].arrived_us = at_us;
        jobs[i].work_us = SERVICE_US * exp(SIGMA * normal(&random) - SIGMA * SIGMA / 2);
    }
}

static void simulate(uint64_t seed, unsigned count)
{
    double *delays_us = calloc(count, sizeof(*delays_us));
    jobs = calloc(count, sizeof(*jobs));
    heap = calloc(count + 1, sizeof(*heap));
    if (delays_us == NULL || jobs == NULL || heap == NULL) {
        exit(1);
    }
    start(seed);
    arrivals_make(seed, count);
    unsigned arrived = 0;
    unsigned measured = 0;
    unsigned ejected = 0;
    double tick_us = 0;
    while (arrived < count || heap_count > 0) {
        bool is_end =
            heap_count > 0 && (arrived == count || heap[0].at_us <= jobs[arrived].arrived_us);
        double now_us = is_end ? heap[0].at_us : jobs[arrived].arrived_us;
        for (; is_route() && tick_us < now_us; tick_us += 1e6)
            bpi_route_tick(&route, (bp_usec)tick_us);
        struct bpi_route_event event;
        while (bpi_route_next_event(&route, &event))
            ejected += event.kind == BPI_ROUTE_EVENT_EJECTED ? 1 : 0;
        if (!is_end) {
            arrive(arrived++);
            continue;
        }
        struct end end = heap_pop();
        double took_us = leave(end);
        if (end.job >= (unsigned)(WARM_PART * count)) {
            delays_us[measured++] = took_us;
        }
    }
    double sum_us = 0;
    for (unsigned i = 0; i < measured; i++)
        sum_us += delays_us[i];
    qsort(delays_us, measured, sizeof(*delays_us), by_size);
    printf("{\"mean_ms\": %.4f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"p999_ms\": %.4f, "
           "\"ejected\": %u}\n",
           sum_us / measured / 1e3, delays_us[measured / 2] / 1e3,
           delays_us[(unsigned)(0.99 * measured)] / 1e3,
           delays_us[(unsigned)(0.999 * measured)] / 1e3, ejected);
    free(delays_us);
    free(jobs);
    free(heap);
}

static double clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Picks among endpoints that are at work: 64 transactions run at any time, 20 us pass between two picks. `turn` is a
 * pick with its start and the end of another; `pick` is the difference to turns that take the next endpoint. */
static double turns(unsigned count, double seconds, bool is_picked)
{
    enum { RUNNING = 64, BATCH = 4096 };
    static struct bpi_route_ticket tickets[RUNNING];
    struct bpi_route_wish wish = {.database = 1};
    bp_usec now_us = 1;
    uint64_t done = 0;
    uint64_t sum = 0;
    bpi_route_init(&route, BPI_ROUTE_EQUAL, 1);
    for (unsigned i = 0; i < count; i++) {
        if (bpi_route_add(&route, i, BPI_ROUTE_READ_WRITE, WORKERS, now_us) != 0) {
            exit(1);
        }
    }
    memset(tickets, 0, sizeof(tickets));
    double best_ns = INFINITY;
    for (double until_ns = clock_ns() + seconds * 1e9; clock_ns() < until_ns;) {
        double begin_ns = clock_ns();
        for (unsigned i = 0; i < BATCH; i++) {
            struct bpi_route_ticket *ticket = &tickets[done++ % RUNNING];
            now_us += 20;
            if (ticket->is_started) {
                bpi_route_finished(&route, ticket, BPI_ROUTE_OK, now_us);
            }
            if (!is_picked) {
                bpi_route_ticket(&route, (unsigned)(done % count), &wish, ticket);
            } else if (bpi_route_pick(&route, UINT64_MAX, &wish, now_us, ticket) != 0) {
                exit(1);
            }
            sum += ticket->endpoint;
            bpi_route_started(&route, ticket, now_us);
        }
        double took_ns = (clock_ns() - begin_ns) / BATCH;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    return sum == UINT64_MAX ? 0 : best_ns;
}

int main(int argc, char **argv)
{
    scenarios_fill();
    if (argc == 4 && strcmp(argv[1], "pick") == 0) {
        unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
        double seconds = strtod(argv[3], NULL);
        double turn_ns = turns(count, seconds, true);
        printf("{\"turn_ns\": %.1f, \"pick_ns\": %.1f}\n", turn_ns,
               turn_ns - turns(count, seconds, false));
        return 0;
    }
    if (argc != 6 || strcmp(argv[1], "sim") != 0) {
        fputs("balance sim SCENARIO RULE SEED ARRIVALS | balance pick ENDPOINTS SECONDS\n", stderr);
        return 2;
    }
    for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        scenario = strcmp(scenarios[i].name, argv[2]) == 0 ? &scenarios[i] : scenario;
    while (rule < RULE_COUNT && strcmp(rule_names[rule], argv[3]) != 0)
        rule++;
    if (scenario == NULL || rule == RULE_COUNT) {
        fputs("unknown scenario or rule\n", stderr);
        return 2;
    }
    simulate(strtoull(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10));
    return 0;
}
