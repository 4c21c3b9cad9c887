/* boltpool's pool, through the public functions only.
 *
 * usage: boltpool CASE WARM_S SECONDS
 *   uncontended, contended, waiting: threads (measure.h)
 *   loop:   64 tasks on one event loop, 8 connections held 100 us by a timer of their own
 *   loops:  two event loops that hand one connection to and fro, in strict order
 *
 * The configuration is the default one but for the number of connections (and the strict order of `loops`): five classes, statistics, leak report, the real clock.
 */
#include <boltpool/pool.h>

#include "measure.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#define TASKS   64
#define HOLD_NS 100000

static void fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, bp_error_text(error));
    exit(1);
}

/* ---- a connection that does nothing ---- */

static int connector_open(void *user, const struct bp_open_request *request, void **ret_connection)
{
    (void)user;
    (void)request;
    *ret_connection = malloc(64);
    return *ret_connection == NULL ? BP_E_NO_MEMORY : 0;
}

static int connector_check(void *user, void *connection, bp_usec timeout_us)
{
    (void)user;
    (void)connection;
    (void)timeout_us;
    return 0;
}

static void connector_close(void *user, void *connection)
{
    (void)user;
    free(connection);
}

static bool is_strict;

static void *pool_new(unsigned links)
{
    struct bp_pool_config config;
    struct bp_connector connector = {
        .struct_size = sizeof(connector),
        .open = connector_open,
        .check = connector_check,
        .close = connector_close,
    };
    bp_pool_config_init(&config);
    config.links_max = links;
    config.idle_min = links;
    if (is_strict) {
        config.pass_over_us = 0;
    }
    struct bp_pool *pool;
    int error = bp_pool_new(&config, &connector, &pool);
    if (error != 0) {
        fail("bp_pool_new", error);
    }
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    do {
        usleep(1000);
        error = bp_pool_get_stats(pool, &stats);
    } while (error == 0 && stats.idle < links);
    return pool;
}

/* ---- threads ---- */

static void *bench_acquire(struct worker *worker)
{
    struct bp_lease *lease;
    int error = bp_pool_acquire(worker->context, NULL, BP_WAIT_DEFAULT, &lease);
    if (error != 0) {
        fail("bp_pool_acquire", error);
    }
    return lease;
}

static void bench_release(struct worker *worker, void *lease)
{
    (void)worker;
    int error = bp_pool_release(lease, BP_OUTCOME_OK);
    if (error != 0) {
        fail("bp_pool_release", error);
    }
}

/* ---- one event loop ---- */

struct loop {
    struct bp_pool *pool;
    struct bp_mailbox *mailbox;
    int epoll;
    bool is_timed;
    uint64_t ops;
    uint64_t held_ns;
    struct waits waits;
};

struct task {
    struct loop *loop;
    int timer;
    uint64_t asked_ns;
    uint64_t granted_ns;
    uint64_t ops;
    struct bp_lease *lease;
    struct bp_request request;
};

static void task_ask(struct task *task);

static void
on_granted(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct task *task = user;
    if (error != 0) {
        fail(refusal->text, error);
    }
    task->lease = lease;
    task->granted_ns = measure_now_ns();
    measure_wait(&task->loop->waits, task->granted_ns - task->asked_ns);
    struct itimerspec hold = {.it_value = {0, HOLD_NS}};
    timerfd_settime(task->timer, 0, &hold, NULL);
}

static void task_ask(struct task *task)
{
    task->asked_ns = measure_now_ns();
    int error = bp_pool_acquire_async(task->loop->pool, task->loop->mailbox, NULL, BP_WAIT_DEFAULT,
                                      on_granted, task, &task->request);
    if (error != 0) {
        fail("bp_pool_acquire_async", error);
    }
}

static void on_timer(struct task *task, bool goes_on)
{
    uint64_t count;
    if (read(task->timer, &count, sizeof(count)) != sizeof(count)) {
        return;
    }
    task->loop->held_ns += measure_now_ns() - task->granted_ns;
    task->loop->ops++;
    task->ops++;
    int error = bp_pool_release(task->lease, BP_OUTCOME_OK);
    if (error != 0) {
        fail("bp_pool_release", error);
    }
    task->lease = NULL;
    /* Who waits gets it at once, and not after the other timers of this turn. */
    (void)bp_mailbox_dispatch(task->loop->mailbox);
    if (goes_on) {
        task_ask(task);
    }
}

static void watch(struct loop *loop, int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        fail("epoll_ctl", BP_E_INTERNAL);
    }
}

static void loop_init(struct loop *loop, struct bp_pool *pool)
{
    memset(loop, 0, sizeof(*loop));
    loop->pool = pool;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    int error = bp_mailbox_new(pool, &loop->mailbox);
    if (error != 0) {
        fail("bp_mailbox_new", error);
    }
    watch(loop, bp_mailbox_fd(loop->mailbox), NULL);
}

static void task_init(struct task *task, struct loop *loop)
{
    memset(task, 0, sizeof(*task));
    task->loop = loop;
    task->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(loop, task->timer, task);
}

static void turn(struct loop *loop, bool goes_on)
{
    struct epoll_event events[TASKS];
    int count = epoll_wait(loop->epoll, events, TASKS, 10);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != NULL) {
            on_timer(events[i].data.ptr, goes_on);
        }
    }
    if (bp_mailbox_dispatch(loop->mailbox) < 0) {
        fail("bp_mailbox_dispatch", BP_E_USAGE);
    }
}

static void run_loop(double warm_s, double seconds)
{
    static struct loop loop;
    static struct task tasks[TASKS];
    loop_init(&loop, pool_new(8));
    for (unsigned i = 0; i < TASKS; i++) {
        task_init(&tasks[i], &loop);
        task_ask(&tasks[i]);
    }
    uint64_t begin_ns = measure_now_ns();
    uint64_t cpu_ns = 0;
    for (unsigned part = 0; part < 2; part++) {
        uint64_t until_ns = begin_ns + (uint64_t)((part == 0 ? warm_s : seconds) * 1e9);
        cpu_ns = measure_cpu_ns();
        loop.ops = loop.held_ns = 0;
        memset(&loop.waits, 0, sizeof(loop.waits));
        for (unsigned i = 0; i < TASKS; i++) {
            tasks[i].ops = 0;
        }
        while (measure_now_ns() < until_ns) {
            turn(&loop, true);
        }
        if (part == 0) {
            begin_ns = measure_now_ns();
        }
    }
    static struct result result;
    result.seconds = (double)(measure_now_ns() - begin_ns) / 1e9;
    result.cpu_ns = (double)(measure_cpu_ns() - cpu_ns);
    result.ops = loop.ops;
    result.held_ns = (double)loop.held_ns / (double)loop.ops;
    result.waits = loop.waits;
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (unsigned i = 0; i < TASKS; i++) {
        least = tasks[i].ops < least ? tasks[i].ops : least;
        most = tasks[i].ops > most ? tasks[i].ops : most;
    }
    result.fairness = (double)most / (double)(least == 0 ? 1 : least);
    measure_print(&result);
}

/* ---- two event loops ---- */

/* One connection, two loops that want nothing but to have it, and a strict order (pass_over_us = 0): so each release hands it
 * to the other loop, and both do nothing else. The holder waits for the other one to have asked (its CPU counts, too). Turns
 * that stayed with a loop are counted, and must be few. */
static atomic_int last_holder;
static atomic_bool loops_stop;
static atomic_bool is_asking[2];

struct player {
    struct loop loop;
    struct bp_request request;
    struct bp_lease *lease;
    int number;
    _Atomic uint64_t handed; /* written by its loop alone */
    _Atomic uint64_t stayed;
    pthread_t thread;
};

static void on_ball(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct player *player = user;
    if (error != 0) {
        fail(refusal->text, error);
    }
    player->lease = lease;
    atomic_store(&is_asking[player->number - 1], false);
    bool is_handed = atomic_exchange(&last_holder, player->number) != player->number;
    atomic_fetch_add_explicit(is_handed ? &player->handed : &player->stayed, 1,
                              memory_order_relaxed);
}

static void player_ask(struct player *player)
{
    int error = bp_pool_acquire_async(player->loop.pool, player->loop.mailbox, NULL,
                                      BP_WAIT_DEFAULT, on_ball, player, &player->request);
    if (error != 0) {
        fail("bp_pool_acquire_async", error);
    }
    atomic_store(&is_asking[player->number - 1], true);
}

static void *play(void *argument)
{
    struct player *player = argument;
    loop_init(&player->loop, player->loop.pool);
    player_ask(player);
    while (!atomic_load_explicit(&loops_stop, memory_order_relaxed)) {
        (void)bp_mailbox_dispatch(player->loop.mailbox);
        if (player->lease != NULL) {
            while (!atomic_load(&is_asking[2 - player->number]) && !atomic_load(&loops_stop)) {
                __asm__ volatile("" ::: "memory");
            }
            int error = bp_pool_release(player->lease, BP_OUTCOME_OK);
            if (error != 0) {
                fail("bp_pool_release", error);
            }
            player->lease = NULL;
            player_ask(player);
            continue; /* what it granted is due already; only then it sleeps */
        }
        struct epoll_event event;
        (void)epoll_wait(player->loop.epoll, &event, 1, 10);
    }
    return NULL;
}

static uint64_t handed_by(struct player *players)
{
    return atomic_load(&players[0].handed) + atomic_load(&players[1].handed);
}

static void run_loops(double warm_s, double seconds)
{
    static struct player players[2];
    struct bp_pool *pool = pool_new(1);
    for (int i = 0; i < 2; i++) {
        players[i].number = i + 1;
        players[i].loop.pool = pool;
        if (pthread_create(&players[i].thread, NULL, play, &players[i]) != 0) {
            fail("pthread_create", BP_E_NO_MEMORY);
        }
    }
    usleep((useconds_t)(warm_s * 1e6));
    uint64_t handed = handed_by(players);
    uint64_t cpu_ns = measure_cpu_ns();
    usleep((useconds_t)(seconds * 1e6));
    cpu_ns = measure_cpu_ns() - cpu_ns;
    handed = handed_by(players) - handed;
    loops_stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(players[i].thread, NULL);
    }
    double all = (double)handed_by(players);
    double stayed = (double)(atomic_load(&players[0].stayed) + atomic_load(&players[1].stayed));
    printf("{\"handed\": %llu, \"seconds\": %.6f, \"cpu_ns\": %llu, \"handed_ratio\": %.4f}\n",
           (unsigned long long)handed, seconds, (unsigned long long)cpu_ns, all / (all + stayed));
}

int main(int argc, char **argv)
{
    double warm_s = argc > 3 ? strtod(argv[2], NULL) : 0;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
    if (seconds > 0 && measure_case(argv[1], pool_new, warm_s, seconds)) {
        return 0;
    }
    if (seconds > 0 && strcmp(argv[1], "loop") == 0) {
        run_loop(warm_s, seconds);
    } else if (seconds > 0 && strcmp(argv[1], "loops") == 0) {
        is_strict = true;
        run_loops(warm_s, seconds);
    } else {
        fputs("usage: boltpool uncontended|contended|waiting|loop|loops WARM_S SECONDS\n", stderr);
        return 2;
    }
    return 0;
}
