/* Shows what comes of things that meet: the time of a log-in check ends while its last client goes, a lease is killed while
 * its link is on the way, or while its client's RESET is at the server. The moments are made, not waited for: a loop is
 * held up by a letter, and a mutex that is handed on in order says who comes next. Simulated servers, real sockets.
 */
#include "harness.h"

#include <semaphore.h>
#include <utlist.h>

#define MS     BP_USEC_PER_MS
#define KILLED "FAILURE:ClientError.Transaction.Terminated"

/* ---- moments ---- */

/* A letter that holds its loop up until it is told to go on. */
struct hold {
    struct bpi_mail mail;
    sem_t holds, go;
};

static void on_hold(struct bpi_mail *mail)
{
    struct hold *hold = (struct hold *)(void *)mail;
    sem_post(&hold->holds);
    while (sem_wait(&hold->go) != 0) {
    }
}

static void hold_loop(struct hold *hold, struct bpi_cluster *cluster, unsigned loop)
{
    assert_int_equal(sem_init(&hold->holds, 0, 0), 0);
    assert_int_equal(sem_init(&hold->go, 0, 0), 0);
    hold->mail.deliver = on_hold;
    bpi_loop_post(cluster->loops[loop], &hold->mail);
    while (sem_wait(&hold->holds) != 0) {
    }
}

/* The id of the one lease there is, and the loop that it is on or bound for. */
static uint64_t find_lease(struct bpi_cluster *cluster, unsigned *ret_loop)
{
    uint64_t id = 0;
    pthread_mutex_lock(&cluster->mutex);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_pool_link *place;
        DL_FOREACH(cluster->pool.classes[i].leases, place)
        {
            assert_int_equal(id, 0);
            id = place->lease_id;
            *ret_loop = place->loop;
        }
    }
    pthread_mutex_unlock(&cluster->mutex);
    return id;
}

static uint64_t await_lease(struct bpi_cluster *cluster, unsigned *ret_loop)
{
    uint64_t id = 0;
    wait_for((id = find_lease(cluster, ret_loop)) != 0);
    return id;
}

/* The system hands such a mutex to whoever has waited longest, when it is unlocked. */
static void use_fair_mutex(struct bpi_cluster *cluster)
{
    pthread_mutexattr_t fair;
    assert_int_equal(pthread_mutexattr_init(&fair), 0);
    assert_int_equal(pthread_mutexattr_setprotocol(&fair, PTHREAD_PRIO_INHERIT), 0);
    assert_int_equal(pthread_mutex_destroy(&cluster->mutex), 0);
    assert_int_equal(pthread_mutex_init(&cluster->mutex, &fair), 0);
    pthread_mutexattr_destroy(&fair);
}

/* ---- log-in checks ---- */

/* The check's time ends on one loop; on the other one its last client goes at that moment. */
static void a_check_ends_once_when_its_time_and_its_last_client_end_together(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nqueue_timeout = 700ms"};
    char why[512] = "";
    house_open_sims(&house);
    assert_int_equal(bpi_daemon_new(house_config(&house, house.lines), &house.daemon, why, 512), 0);
    struct bpi_cluster *cluster = bpi_daemon_cluster(house.daemon, 0);
    use_fair_mutex(cluster);
    bpi_log_level_set(BPI_LOG_ERROR);
    assert_int_equal(bpi_daemon_start(house.daemon), 0);
    house.port = bpi_daemon_port(house.daemon, 0);
    bpi_cluster_pause(cluster); /* so that no link is opened for it */
    /* On a busy machine a moment may be missed. */
    for (int round = 0, good = 0; good < 3 && round < 30; round++) {
        struct wire wires[2];
        for (int i = 0; i < 2; i++) {
            wire_connect(&wires[i], house.port);
            wire_handshake(&wires[i], V58);
            wire_put_hello(&wires[i], "neo4j", "secret12");
            wire_flush(&wires[i]);
            assert_string_equal(told(&wires[i], 1), "SUCCESS");
        }
        uint64_t checked = house_stats(&house).logins_checked;
        bp_usec began_us = bpi_clock_now_us();
        for (int i = 0; i < 2; i++) {
            wire_put_logon(&wires[i], "neo4j", "secret12");
            wire_flush(&wires[i]);
            wait_for(house_stats(&house).waiters == 1);
            usleep(20000);
        }
        wire_close(&wires[0]); /* the one on whose loop the check is */
        wait_for(house_clients(&house) == 1);
        pthread_mutex_lock(&cluster->mutex);
        good += cluster->checks_count == 1 && cluster->stats->logins_checked == checked + 1;
        /* The timer waits for the mutex, */
        while (bpi_clock_now_us() < began_us + 780 * MS) {
            usleep(1000);
        }
        wire_close(&wires[1]);
        usleep(50000); /* and behind it the client's end. */
        pthread_mutex_unlock(&cluster->mutex);
        wait_for(house_clients(&house) == 0);
        pthread_mutex_lock(&cluster->mutex);
        assert_int_equal(cluster->checks_count, 0);
        assert_null(cluster->checks);
        pthread_mutex_unlock(&cluster->mutex);
    }
    bpi_cluster_resume(cluster);
    house_close(&house);
}

/* A link can't be opened for a check whose client has gone meanwhile: it is not tried again for nobody. */
static void a_check_that_nobody_wants_is_not_tried_again(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2\nqueue_timeout = 30s\nconnect_timeout = 400ms"};
    house_open(&house);
    struct bpi_cluster *cluster = bpi_daemon_cluster(house.daemon, 0);
    struct wire wire;
    wire_connect(&wire, house.port);
    wire_handshake(&wire, V58);
    wire_put_hello(&wire, "neo4j", "secret12");
    wire_flush(&wire);
    assert_string_equal(told(&wire, 1), "SUCCESS");
    fault(house.sim, "hang"); /* its handshake isn't answered */
    wire_put_logon(&wire, "neo4j", "secret12");
    wire_flush(&wire);
    wait_for(house_stats(&house).links_open == 1);
    wire_close(&wire);
    bp_usec began_us = bpi_clock_now_us();
    wait_for(house_stats(&house).links_open == 0 && house_stats(&house).waiters == 0);
    wait_for(bpi_clock_now_us() - began_us > 500 * MS);
    pthread_mutex_lock(&cluster->mutex);
    unsigned checks = cluster->checks_count;
    pthread_mutex_unlock(&cluster->mutex);
    assert_int_equal(checks, 0);
    fault(house.sim, "none");
    house_close(&house);
}

/* ---- KILL ---- */

static void a_lease_is_killed_though_its_link_is_held_up_on_its_way(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nmin_idle_links = 0"};
    house_open(&house);
    struct bpi_cluster *cluster = bpi_daemon_cluster(house.daemon, 0);
    struct wire wires[2];
    unsigned from;
    unsigned to;
    client_open(&wires[0], &house, V58);
    client_open(&wires[1], &house, V58);
    expect(&wires[0], "BEGIN", 1, "SUCCESS");
    (void)await_lease(cluster, &from);
    expect(&wires[0], "ROLLBACK", 1, "SUCCESS");
    for (int round = 0; round < 3; round++) {
        struct hold hold;
        hold_loop(&hold, cluster, from);
        wire_send(&wires[1], "BEGIN; RUN:CREATE (:T {id: 1}); PULL");
        uint64_t id = await_lease(cluster, &to);
        assert_int_not_equal(from, to);
        /* More than once, as people do. */
        assert_int_equal(bpi_daemon_kill_lease(house.daemon, "main", id), 0);
        assert_int_equal(bpi_daemon_kill_lease(house.daemon, "main", id), 0);
        usleep(300000);
        if (round == 2) {
            wire_close(&wires[1]); /* and its client goes before it arrives */
            usleep(50000);
        }
        sem_post(&hold.go);
        if (round < 2) {
            assert_string_equal(told(&wires[1], 1), KILLED);
            expect(&wires[1], "RESET", 3, "IGNORED IGNORED SUCCESS");
        }
        wait_for(house_is_idle(&house));
        /* Back to the loop where it was; nothing of the KILL is left. */
        expect(&wires[0], "BEGIN; RUN; PULL; COMMIT", 4, "SUCCESS SUCCESS RECORD SUCCESS SUCCESS");
    }
    assert_int_equal(bpi_sim_committed(house.sim, "1"), 0);
    wire_close(&wires[0]);
    house_close(&house);
}

/* Session mode, between transactions: the client's RESET has gone to the server, which says nothing. */
static void a_client_whose_link_is_killed_under_its_reset_is_as_idle_as_others(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\npool_mode = session\nreset_timeout = 500ms\n"
                                   "keep_alive_interval = 50ms"};
    house_open(&house);
    struct bpi_cluster *cluster = bpi_daemon_cluster(house.daemon, 0);
    struct wire wire;
    unsigned loop;
    client_open(&wire, &house, V58);
    expect(&wire, "RUN; PULL", 2, "SUCCESS RECORD SUCCESS");
    fault(house.sim, "freeze");
    wire_send(&wire, "RESET");
    usleep(50000);
    uint64_t id = await_lease(cluster, &loop);
    assert_int_equal(bpi_daemon_kill_lease(house.daemon, "main", id), 0);
    assert_string_equal(told(&wire, 1), "SUCCESS");
    assert_true(is_silent(&wire, 200)); /* no sign of life is due where no answer is */
    bpi_daemon_drain(house.daemon);
    wait_for(bpi_daemon_is_drained(house.daemon));
    assert_string_equal(told(&wire, 1), "EOF");
    wire_close(&wire);
    fault(house.sim, "none");
    house_close(&house);
}

/* ---- configurations ---- */

struct asker {
    struct bpi_daemon *daemon;
    atomic_bool ends;
    atomic_uint answers;
};

/* As an administrator's thread, which is no loop. */
static void *ask_on(void *argument)
{
    struct asker *asker = argument;
    while (!atomic_load(&asker->ends)) {
        enum bpi_cluster_pause_state state;
        unsigned leased;
        struct bpi_cluster_stats stats;
        bool good = bpi_daemon_resume(asker->daemon, "main") == 0 &&
                    bpi_daemon_pause_state(asker->daemon, "main", &state, &leased) == 0 &&
                    bpi_daemon_kill_lease(asker->daemon, "main", UINT64_MAX) == BP_E_USAGE;
        bpi_cluster_stats_get(bpi_daemon_cluster(asker->daemon, 0), &stats);
        if (!good) {
            break;
        }
        atomic_fetch_add(&asker->answers, 1);
    }
    return NULL;
}

/* The old configuration is freed once each loop has had a turn: whoever asks from elsewhere must not be at it. Sanitizers
 * see it. */
static void the_daemon_answers_any_thread_while_it_reloads(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 2"};
    house_open(&house);
    struct asker asker = {.daemon = house.daemon};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &asker), 0);
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(house_reload(&house, i % 2 ? "max_links = 2" : "max_links = 3"), 0);
    }
    unsigned answers = atomic_load(&asker.answers);
    wait_for(atomic_load(&asker.answers) > answers);
    atomic_store(&asker.ends, true);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    house_close(&house);
}

/* ---- the end ---- */

struct visitor {
    struct house *house;
    atomic_bool *ends;
    unsigned index;
    unsigned visits;
    pthread_t thread;
};

/* Comes, asks for something, and mostly doesn't wait for the answer. */
static void *visit(void *argument)
{
    static const char *const words[] = {
        "RUN; PULL",
        "BEGIN; RUN:RETURN 1 /*sim: ms=50*/; PULL",
        "RUN:RETURN 1 /*sim: hang=1*/; PULL; RESET",
        "RUN:RETURN 1 /*sim: rows=2000 bytes=500*/; PULL",
    };
    struct visitor *visitor = argument;
    const struct bpi_sim_user *user = &house_users[visitor->index % 3];
    while (!atomic_load(visitor->ends)) {
        struct wire wire = {.fd = -1};
        if (wire_try_connect(&wire, visitor->house->port)) {
            uint8_t hello[20] = {0x60, 0x60, 0xb0, 0x17, 0, 0, 8, 5};
            uint8_t answer[4];
            if (send(wire.fd, hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello) &&
                wire_read(&wire, answer, 4) == 4) {
                wire.version = V58;
                wire_put_hello(&wire, user->name, user->password);
                wire_put_logon(&wire, user->name, user->password);
                char copy[128];
                snprintf(copy, sizeof(copy), "%s", words[(visitor->index + visitor->visits) % 4]);
                char *rest = copy;
                char *word;
                while ((word = strsep(&rest, ";")) != NULL) {
                    wire_put_word(&wire, word + strspn(word, " "));
                }
                (void)!send(wire.fd, bpi_buffer_head(&wire.out), bpi_buffer_size(&wire.out),
                            MSG_NOSIGNAL);
                visitor->visits++;
                usleep(visitor->visits * 7919 % 20000);
            }
            wire_close(&wire);
        } else {
            usleep(1000);
        }
    }
    return NULL;
}

/* With links that are opened, asked, cleaned and on their way, and clients that come and go. */
static void a_daemon_ends_in_the_middle_of_everything(void **state)
{
    (void)state;
    static const char *const harms[] = {"none", "freeze", "hang", "refuse", "none"};
    for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        struct house house = {
            .sims_count = 2,
            .loops = 3,
            .lines = "max_links = 3\nqueue_timeout = 200ms\nreset_timeout = 5s\nlink_check_after = "
                     "1ms\nlink_keep_alive = 2ms\nauth_cache_ttl = 0\nmin_idle_links = 2"};
        struct visitor visitors[8];
        atomic_bool ends = false;
        house_open(&house);
        for (unsigned j = 0; j < 8; j++) {
            visitors[j] = (struct visitor){.house = &house, .ends = &ends, .index = j};
            assert_int_equal(pthread_create(&visitors[j].thread, NULL, visit, &visitors[j]), 0);
        }
        usleep(200000);
        fault(house.sims[0], harms[i]);
        fault(house.sims[1], harms[i]);
        if (i == 4) {
            assert_int_equal(bpi_daemon_pause(house.daemon, NULL), 0);
        }
        usleep(30000);
        bp_usec began_us = bpi_clock_now_us();
        bpi_daemon_free(house.daemon);
        assert_true(bpi_clock_now_us() - began_us < 4 * BP_USEC_PER_SECOND);
        atomic_store(&ends, true);
        for (unsigned j = 0; j < 8; j++) {
            pthread_join(visitors[j].thread, NULL);
        }
        bpi_sim_stop(house.sims[0]);
        bpi_sim_stop(house.sims[1]);
        alarm(0);
    }
}

/* ---- links ---- */

/* The client reads nothing, so its link pauses; the last rows and the summary came in one piece, and the lease is over. */
static void a_link_that_was_released_while_it_paused_is_watched_again(void **state)
{
    (void)state;
    struct house house = {.lines = "max_links = 1\nclient_buffer_bytes = 64KiB"};
    house_open(&house);
    struct bpi_cluster *cluster = bpi_daemon_cluster(house.daemon, 0);
    struct wire wire;
    client_open(&wire, &house, V58);
    /* Small answers, one after the other, until the client's buffers are full. */
    for (int i = 0; i < 1000; i++) {
        put_run(&wire, "RETURN 1 /*sim: rows=40 bytes=500*/", "mode=r");
        wire_put_word(&wire, "PULL");
    }
    wire_flush(&wire);
    uint64_t before;
    do {
        before = sim_stats(house.sim).records;
        usleep(300000);
    } while (before != sim_stats(house.sim).records);
    wait_for(house_is_idle(&house));
    pthread_mutex_lock(&cluster->mutex);
    bool paused = cluster->links[0]->paused;
    pthread_mutex_unlock(&cluster->mutex);
    assert_false(paused);
    wire_close(&wire);
    house_close(&house);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_ends_once_when_its_time_and_its_last_client_end_together),
        cmocka_unit_test(a_check_that_nobody_wants_is_not_tried_again),
        cmocka_unit_test(a_lease_is_killed_though_its_link_is_held_up_on_its_way),
        cmocka_unit_test(a_client_whose_link_is_killed_under_its_reset_is_as_idle_as_others),
        cmocka_unit_test(the_daemon_answers_any_thread_while_it_reloads),
        cmocka_unit_test(a_daemon_ends_in_the_middle_of_everything),
        cmocka_unit_test(a_link_that_was_released_while_it_paused_is_watched_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
