/* Shows that the pool survives what nobody thought of: seeded random clients do legal and illegal things,
 * pipelined at random and left at random, while servers fail, freeze, die and come back, the limits are
 * reloaded, and an administrator pauses, drains, renews and kills. Afterwards every link is idle, no client is left, a commit that was told was made exactly once
 * and one that was refused never.
 *
 * The seed is printed; BP_SEED repeats it, BP_CHAOS_MS sets how long it lasts.
 */
#include "harness.h"

#include "base/random.h"

#include <stdatomic.h>

#define CLIENTS   10
#define IDS_MAX   200000
#define WORDS_MAX 12

enum outcome {
    NEVER_SENT,
    UNKNOWN, /* the connection ended before it was answered */
    TOLD,    /* SUCCESS */
    REFUSED, /* FAILURE or IGNORED */
};

struct chaos {
    struct house *house;
    atomic_bool ended;
    atomic_uint next_id;
    unsigned char *outcomes; /* by id; each written by one client */
};

struct mischief {
    struct chaos *chaos;
    struct bpi_random random;
    unsigned index;
    unsigned done;
    pthread_t thread;
};

static unsigned draw(struct bpi_random *random, unsigned below)
{
    return (unsigned)(bpi_random_next(random) % below);
}

/* What was sent of a write: where its deciding answer stands among the answers. */
struct plan {
    unsigned summaries;
    unsigned id;
    int decided_by; /* index of the summary; -1: no write in it */
};

static void put(struct wire *wire, struct plan *plan, const char *word)
{
    wire_put_word(wire, word);
    plan->summaries += strcmp(word, "GOODBYE") != 0;
}

static void put_write(struct mischief *client, struct wire *wire, struct plan *plan)
{
    char query[96];
    unsigned id = atomic_fetch_add(&client->chaos->next_id, 1);
    if (id >= IDS_MAX) {
        put(wire, plan, "RUN");
        return;
    }
    plan->id = id;
    snprintf(query, sizeof(query), "RUN:CREATE (:T {id: %u}) /*sim: ms=%u*/", id,
             draw(&client->random, 3));
    put(wire, plan, query);
}

static void put_random(struct mischief *client, struct wire *wire, struct plan *plan)
{
    static const char *const words[] = {
        "RUN",
        "RUN; PULL",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "RESET",
        "PULL",
        "PULL:1",
        "DISCARD",
        "ROUTE",
        "RUN:nonsense",
        "RUN:RETURN 1 /*sim: hang=1*/",
        "RUN:RETURN 1 /*sim: rows=3000 bytes=500*/",
        "RUN:RETURN 1 /*sim: close=1*/",
        "RUN:RETURN 1 /*sim: rows=9 bytes=90 drop_after=300*/",
        "RUN:RETURN 1 /*sim: bytes=300000*/",
        "GOODBYE",
        "RESET; RESET",
        "HELLO",
        "PULL:0",
    };
    char copy[96];
    snprintf(copy, sizeof(copy), "%s",
             words[draw(&client->random, sizeof(words) / sizeof(words[0]))]);
    char *rest = copy;
    char *word;
    while ((word = strsep(&rest, ";")) != NULL) {
        put(wire, plan, word + strspn(word, " "));
    }
}

/* Puts one round's requests; the connection is READY before it. */
static struct plan put_round(struct mischief *client, struct wire *wire)
{
    struct plan plan = {.decided_by = -1};
    unsigned kind = draw(&client->random, 10);
    if (kind < 3) {
        put_write(client, wire, &plan);
        plan.decided_by = 1;
        put(wire, &plan, draw(&client->random, 2) == 0 ? "PULL" : "DISCARD");
    } else if (kind < 7) {
        put(wire, &plan, "BEGIN");
        put_write(client, wire, &plan);
        put(wire, &plan, "PULL");
        plan.decided_by = 3;
        put(wire, &plan, "COMMIT");
    } else {
        unsigned count = 1 + draw(&client->random, WORDS_MAX);
        for (unsigned i = 0; i < count; i++) {
            put_random(client, wire, &plan);
        }
    }
    if (draw(&client->random, 4) == 0) {
        put(wire, &plan, "RESET");
    }
    if (plan.id == 0) {
        plan.decided_by = -1;
    }
    return plan;
}

static void set_outcome(struct mischief *client, const struct plan *plan, enum outcome outcome)
{
    if (plan->decided_by >= 0) {
        client->chaos->outcomes[plan->id] = (unsigned char)outcome;
    }
}

/* Writes what was put in pieces, and may leave before the end. Returns false then. */
static bool flush_in_pieces(struct mischief *client, struct wire *wire)
{
    size_t size = bpi_buffer_size(&wire->out);
    size_t sent = 0;
    bool leaves = draw(&client->random, 12) == 0;
    size_t end = leaves ? draw(&client->random, (unsigned)size + 1) : size;
    while (sent < end) {
        size_t piece = draw(&client->random, 3) == 0 ? 1 + draw(&client->random, 40) : end;
        piece = piece < end - sent ? piece : end - sent;
        wire_write(wire, bpi_buffer_head(&wire->out) + sent, piece);
        sent += piece;
        if (draw(&client->random, 8) == 0) {
            usleep(draw(&client->random, 300));
        }
    }
    bpi_buffer_clear(&wire->out);
    return !leaves;
}

/* Reads the answers; sends a RESET where none come (a query may hang). False: the connection is of no use. */
static bool read_round(struct mischief *client, struct wire *wire, struct plan *plan)
{
    unsigned got = 0;
    unsigned summaries = plan->summaries;
    while (got < summaries) {
        struct pollfd poller = {.fd = wire->fd, .events = POLLIN};
        if (bpi_buffer_size(&wire->in) == 0 && poll(&poller, 1, 60) == 0) {
            if (draw(&client->random, 3) == 0) {
                return false; /* impatient */
            }
            wire_put_word(wire, "RESET");
            wire_flush(wire);
            summaries++;
            if (poll(&poller, 1, 15000) == 0) {
                fail_msg("no answer to a RESET within 15 s");
            }
        }
        if (!wire_next(wire)) {
            return false;
        }
        uint8_t tag = bpi_buffer_head(&wire->reader.message)[1];
        if (tag == BPI_BOLT_RECORD) {
            continue;
        }
        if ((int)got == plan->decided_by) {
            set_outcome(client, plan, tag == BPI_BOLT_SUCCESS ? TOLD : REFUSED);
        }
        got++;
    }
    return true;
}

static bool connect_once(struct mischief *client, struct wire *wire)
{
    struct house *house = client->chaos->house;
    const struct bpi_sim_user *user = &house_users[draw(&client->random, 3)];
    bpi_bolt_version version = house_versions[draw(&client->random, HOUSE_VERSIONS)];
    bool wrong = draw(&client->random, 40) == 0;
    uint8_t hello[20] = {
        0x60, 0x60, 0xb0, 0x17, 0, 0, (uint8_t)(version & 0xff), (uint8_t)(version >> 8)};
    uint8_t answer[4];
    wire_connect(wire, house->port);
    wire_write(wire, hello, sizeof(hello));
    if (draw(&client->random, 40) == 0 || wire_read(wire, answer, 4) != 4) {
        return false;
    }
    wire->version = version;
    unsigned summaries = 1;
    wire_put_hello(wire, user->name, wrong ? "wrong" : user->password);
    if (bpi_bolt_has_logon(version)) {
        wire_put_logon(wire, user->name, wrong ? "wrong" : user->password);
        summaries = 2;
    }
    wire_flush(wire);
    const char *text = wire_take(wire, (int)summaries);
    return strcmp(text, summaries == 2 ? "SUCCESS SUCCESS" : "SUCCESS") == 0;
}

static void *do_mischief(void *data)
{
    struct mischief *client = data;
    struct wire wire = {.fd = -1};
    bool usable = false;
    while (!atomic_load(&client->chaos->ended)) {
        if (!usable) {
            wire_close(&wire);
            usable = connect_once(client, &wire);
            if (!usable) {
                usleep(2000);
                continue;
            }
        }
        struct plan plan = put_round(client, &wire);
        set_outcome(client, &plan, UNKNOWN);
        usable = flush_in_pieces(client, &wire) && read_round(client, &wire, &plan);
        if (usable) {
            /* Whatever state that led to. */
            struct plan reset = {.decided_by = -1};
            put(&wire, &reset, "RESET");
            wire_flush(&wire);
            usable = read_round(client, &wire, &reset);
            uint8_t byte;
            if (usable && !is_silent(&wire, 1)) {
                if (bpi_buffer_size(&wire.in) > 0 || recv(wire.fd, &byte, 1, MSG_PEEK) > 0) {
                    fail_msg("an answer too many");
                }
                usable = false; /* its end: a KILL */
            }
        }
        client->done++;
    }
    wire_close(&wire);
    return NULL;
}

/* Any one of the leases that are out, or none; or one that was. */
static uint64_t some_lease(struct house *house, struct bpi_random *random)
{
    struct bpi_cluster *cluster = bpi_daemon_cluster(house->daemon, 0);
    uint64_t id = 0;
    pthread_mutex_lock(&cluster->mutex);
    unsigned skip = draw(random, 4);
    for (unsigned i = 0; i < cluster->links_count; i++) {
        const struct bpi_pool_link *place = &cluster->links[i]->place;
        if (place->lease_id != 0 && (id == 0 || skip-- > 0)) {
            id = place->lease_id;
        }
    }
    pthread_mutex_unlock(&cluster->mutex);
    return id;
}

static void on_killed(void *user, bool found)
{
    (void)user;
    (void)found;
}

/* What people may ask for. Each ends what it began. */
static void do_orders(struct house *house, struct bpi_random *random)
{
    const struct bpi_daemon_answer answer = {.on_killed = on_killed};
    struct bpi_cluster *cluster = bpi_daemon_cluster(house->daemon, 0);
    unsigned endpoint = draw(random, house->sims_count);
    const char *name = bpi_cluster_endpoint_name(cluster, endpoint);
    switch (draw(random, 5)) {
    case 0:
        assert_int_equal(bpi_daemon_pause(house->daemon, NULL), 0);
        usleep(draw(random, 100000));
        assert_int_equal(bpi_daemon_resume(house->daemon, NULL), 0);
        break;
    case 1:
        assert_int_equal(bpi_daemon_reconnect(house->daemon, NULL), 0);
        break;
    case 2:
        assert_int_equal(bpi_daemon_drain_endpoint(house->daemon, NULL, name, true), 0);
        usleep(draw(random, 100000));
        assert_int_equal(bpi_daemon_drain_endpoint(house->daemon, NULL, name, false), 0);
        break;
    case 3:
        for (unsigned i = 1 + draw(random, 20); i > 0; i--) {
            (void)!bpi_daemon_kill_lease(house->daemon, "main", some_lease(house, random));
            usleep(draw(random, 3000));
        }
        break;
    default: {
        uint64_t newest = bpi_daemon_next_id(house->daemon); /* one that nobody gets */
        uint64_t id = newest > 12 ? newest - draw(random, 12) : 1;
        assert_int_equal(bpi_daemon_kill_client(house->daemon, id, &answer), 0);
        break;
    }
    }
}

static void do_harm(struct house *house, const char *mode, struct bpi_random *random)
{
    static const char *const faults[] = {
        "drop=200",
        "drop=900",
        "drop_commit=1",
        "lose_commit=2",
        "fail=Neo.TransientError.Transaction.Outdated@0.2",
        "fail_commit=Neo.TransientError.Transaction.DeadlockDetected@0.3",
        "freeze",
        "refuse",
        "hang",
        "down",
        "slow=20",
        "leader=no",
    };
    struct bpi_sim *sim = house->sims[draw(random, house->sims_count)];
    unsigned index = draw(random, 22);
    if (index < 12) {
        fault(sim, faults[index]);
    } else if (index < 20) {
        do_orders(house, random);
    } else {
        char lines[512];
        snprintf(lines, sizeof(lines),
                 "max_links = %u\nqueue_timeout = 300ms\nconnect_timeout = 200ms\nreset_timeout = "
                 "300ms\nidle_transaction_timeout = %ums\ntransaction_timeout = %ums\n"
                 "client_buffer_bytes = 16KiB\nlink_keep_alive = %ums\nlink_check_after = %ums\n"
                 "link_lifetime = %ums\nmin_idle_links = %u\nauth_cache_ttl = %us\n"
                 "link_check_timeout = 100ms\ndead_server_timeout = %ums\n%s",
                 2 + draw(random, 6), draw(random, 3) * 50, draw(random, 3) * 100,
                 draw(random, 3) * 20, draw(random, 3) * 10, draw(random, 3) * 300, draw(random, 3),
                 draw(random, 2) * 60, draw(random, 3) * 200, mode);
        assert_int_equal(house_reload(house, lines), 0);
    }
    usleep(20000 + draw(random, 100000));
    if (index < 12) {
        fault(sim, index == 9 ? "up" : "none");
    }
}

static void chaos(const char *mode, unsigned loops, unsigned ms)
{
    const char *given = getenv("BP_SEED");
    const char *span = getenv("BP_CHAOS_MS");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : bpi_clock_now_us();
    char lines[256];
    snprintf(
        lines, sizeof(lines),
        "max_links = 4\nqueue_timeout = 300ms\nconnect_timeout = 200ms\nreset_timeout = 300ms\n%s",
        mode);
    struct house house = {.sims_count = 2, .loops = loops, .lines = lines};
    house.options[0].login_failures_max = 1000000;
    house.options[1].login_failures_max = 1000000;
    struct chaos all = {.house = &house, .outcomes = calloc(IDS_MAX, 1)};
    struct mischief clients[CLIENTS];
    struct bpi_random random;
    assert_non_null(all.outcomes);
    print_message("BP_SEED=%llu\n", (unsigned long long)seed);
    bpi_random_init(&random, seed);
    atomic_init(&all.next_id, 1);
    house_open(&house);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct mischief){.chaos = &all, .index = i};
        bpi_random_init(&clients[i].random, seed + 1 + i);
        assert_int_equal(pthread_create(&clients[i].thread, NULL, do_mischief, &clients[i]), 0);
    }
    bp_usec end_us =
        bpi_clock_now_us() + (span != NULL ? strtoull(span, NULL, 10) : ms) * BP_USEC_PER_MS;
    while (bpi_clock_now_us() < end_us) {
        usleep(draw(&random, 60000));
        do_harm(&house, mode, &random);
    }
    atomic_store(&all.ended, true);
    fault(house.sims[0], "none");
    fault(house.sims[1], "none");
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].done > 0);
    }
    wait_for(house_clients(&house) == 0);
    wait_for(house_is_idle(&house));
    unsigned ids = atomic_load(&all.next_id);
    unsigned counts[4] = {0};
    for (unsigned id = 1; id < ids && id < IDS_MAX; id++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", id);
        uint64_t committed =
            bpi_sim_committed(house.sims[0], name) + bpi_sim_committed(house.sims[1], name);
        counts[all.outcomes[id]]++;
        if (all.outcomes[id] == TOLD      ? committed != 1
            : all.outcomes[id] == REFUSED ? committed != 0
                                          : committed > 1) {
            fail_msg("id %u: outcome %u, committed %llu times", id, all.outcomes[id],
                     (unsigned long long)committed);
        }
    }
    assert_true(counts[TOLD] > 0);
    if (getenv("BP_LOG") != NULL) {
        print_message("told %u, refused %u, unknown %u\n", counts[TOLD], counts[REFUSED],
                      counts[UNKNOWN]);
    }
    free(all.outcomes);
    house_close(&house);
}

static void nothing_is_lost_or_done_twice_in_chaos(void **state)
{
    (void)state;
    chaos("", 2, 6000);
}

static void nothing_is_lost_or_done_twice_in_chaos_of_session_mode(void **state)
{
    (void)state;
    chaos("pool_mode = session", 1, 2000);
    chaos("pool_mode = session", 3, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_done_twice_in_chaos),
        cmocka_unit_test(nothing_is_lost_or_done_twice_in_chaos_of_session_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
