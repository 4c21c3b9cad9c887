/* Shows that answers find their requests, that a peer out of step is noticed, and when a link counts
 * as clean. A script is a line of words: a request as it is sent, or ">" and an answer, with "!" where
 * the answer must be refused.
 */
#include "bolt/client_state.h"

#include "base/random.h"
#include "bolt/message.h"

#include <boltpool/error.h>

#include "tests/unit/bolt/bytes.h"

static uint8_t tag_of(const char *name)
{
    for (unsigned tag = 0; tag < 256; tag++) {
        if (strcmp(bpi_bolt_tag_name((uint8_t)tag), name) == 0) {
            return (uint8_t)tag;
        }
    }
    fail_msg("no tag %s", name);
    return 0;
}

/* ">MORE" is a SUCCESS with has_more. */
static void play_answer(struct bpi_client_state *client, const char *word)
{
    bool refused = word[0] == '!';
    word += refused ? 1 : 0;
    bool more = strcmp(word, "MORE") == 0;
    uint8_t oldest = bpi_client_state_oldest(client);
    uint8_t request = 0xee;
    struct bpi_client_state before = *client;
    uint8_t tag = tag_of(more ? "SUCCESS" : word);
    int error = bpi_client_state_received(client, tag, more, &request);
    assert_int_equal(error, refused ? BP_E_UNEXPECTED : 0);
    assert_int_equal(request, refused ? 0xee : oldest);
    if (refused) {
        assert_memory_equal(client, &before, sizeof(before));
    }
}

static void play(struct bpi_client_state *client, const char *script)
{
    char words[1024];
    snprintf(words, sizeof(words), "%s", script);
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        if (word[0] == '>') {
            play_answer(client, word + 1);
        } else {
            assert_int_equal(bpi_client_state_sent(client, tag_of(word)), 0);
        }
    }
}

static void start(struct bpi_client_state *client, bpi_bolt_version version, const char *script)
{
    bpi_client_state_init(client, version);
    play(client, bpi_bolt_has_logon(version) ? "HELLO LOGON >SUCCESS >SUCCESS" : "HELLO >SUCCESS");
    assert_true(bpi_client_state_clean(client));
    play(client, script);
}

static void usual_work_ends_clean(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "RUN PULL >SUCCESS >RECORD >RECORD >SUCCESS",
        "RUN PULL >SUCCESS >RECORD >MORE PULL >RECORD >MORE DISCARD >SUCCESS",
        "BEGIN RUN PULL COMMIT >SUCCESS >SUCCESS >RECORD >SUCCESS >SUCCESS",
        "BEGIN >SUCCESS RUN RUN >SUCCESS >SUCCESS PULL PULL >MORE >SUCCESS ROLLBACK >SUCCESS",
        "ROUTE TELEMETRY RUN DISCARD >SUCCESS >SUCCESS >SUCCESS >SUCCESS",
        "RESET >SUCCESS",
        "RUN PULL >FAILURE >IGNORED RESET >SUCCESS",
        "RUN PULL RESET >IGNORED >IGNORED >SUCCESS",
        "RUN PULL RESET >SUCCESS >RECORD >FAILURE >SUCCESS",
        "RUN PULL RESET >SUCCESS >IGNORED >SUCCESS",
        "BEGIN >SUCCESS RUN >FAILURE COMMIT >IGNORED RESET >SUCCESS",
        "RESET RESET RESET >IGNORED >IGNORED >SUCCESS",
        "RESET RESET >SUCCESS >SUCCESS",
        "RESET RUN RESET >IGNORED >IGNORED >SUCCESS",
        "RESET BEGIN RUN PULL COMMIT >SUCCESS >SUCCESS >SUCCESS >SUCCESS >SUCCESS",
        "RUN >SUCCESS RUN >FAILURE RUN >FAILURE RESET >SUCCESS",
        "LOGOFF LOGON RUN PULL >SUCCESS >SUCCESS >SUCCESS >SUCCESS",
    };
    for (size_t i = 0; i < COUNT(scripts); i++) {
        struct bpi_client_state client;
        start(&client, BPI_BOLT(5, 8), scripts[i]);
        assert_true(bpi_client_state_clean(&client));
        assert_false(client.open_tx);
        assert_int_equal(client.pending_resets, 0);
        assert_int_equal(bpi_client_state_oldest(&client), 0);
        bpi_client_state_done(&client);
    }
}

static void unfinished_work_is_not_clean(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        enum bpi_server_state at;
        bool open_tx;
    } cases[] = {
        {"RUN", BPI_SERVER_READY, false},
        {"RUN >SUCCESS", BPI_SERVER_AUTO_COMMIT, false},
        {"RUN PULL >SUCCESS >MORE", BPI_SERVER_AUTO_COMMIT, false},
        {"BEGIN", BPI_SERVER_READY, true},
        {"BEGIN >SUCCESS", BPI_SERVER_IN_TRANSACTION, true},
        {"BEGIN >SUCCESS COMMIT", BPI_SERVER_IN_TRANSACTION, true},
        {"BEGIN >FAILURE", BPI_SERVER_FAILED, false},
        {"BEGIN >SUCCESS RUN >FAILURE", BPI_SERVER_FAILED, false},
        {"BEGIN >SUCCESS RUN RESET >IGNORED", BPI_SERVER_FAILED, false},
        {"BEGIN COMMIT BEGIN >SUCCESS >SUCCESS", BPI_SERVER_READY, true},
        {"RUN >FAILURE", BPI_SERVER_FAILED, false},
        {"RESET RESET >IGNORED", BPI_SERVER_FAILED, false},
        {"LOGOFF >SUCCESS", BPI_SERVER_AUTHENTICATION, false},
        {"LOGOFF >SUCCESS LOGON >FAILURE", BPI_SERVER_DEFUNCT, false},
        {"GOODBYE", BPI_SERVER_DEFUNCT, false},
        {"RUN GOODBYE >SUCCESS", BPI_SERVER_DEFUNCT, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_client_state client;
        start(&client, BPI_BOLT(5, 8), cases[i].script);
        assert_false(bpi_client_state_clean(&client));
        assert_int_equal(client.state, cases[i].at);
        assert_int_equal(client.open_tx, cases[i].open_tx);
        bpi_client_state_done(&client);
    }
}

static void a_peer_out_of_step_is_noticed(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        /* Nothing was asked, as the SUCCESS that a server sends while it stops. */
        ">!SUCCESS",
        ">!FAILURE",
        ">!IGNORED",
        ">!RECORD",
        /* Rows without a PULL. */
        "RUN >!RECORD",
        "RUN >SUCCESS DISCARD >!RECORD",
        "RESET >!RECORD",
        /* An IGNORED that nothing explains. */
        "RUN >!IGNORED",
        "RESET >!IGNORED",
        "RESET RESET >IGNORED >!IGNORED",
        "BEGIN >SUCCESS COMMIT >!IGNORED",
        /* Success after a failure without RESET. */
        "RUN PULL >FAILURE >!SUCCESS",
        "RUN PULL >FAILURE >!RECORD",
        "RUN PULL RESET >IGNORED >!SUCCESS",
        /* A request as an answer. */
        "RUN >!RUN",
        "RUN >!HELLO",
    };
    for (size_t i = 0; i < COUNT(scripts); i++) {
        struct bpi_client_state client;
        start(&client, BPI_BOLT(5, 8), scripts[i]);
        bpi_client_state_done(&client);
    }
}

static void a_failed_log_in_ends_the_link(void **state)
{
    (void)state;
    static const struct {
        bpi_bolt_version version;
        const char *script;
    } cases[] = {
        {BPI_BOLT(5, 0), "HELLO >FAILURE"},
        {BPI_BOLT(5, 8), "HELLO LOGON >FAILURE"},
        {BPI_BOLT(5, 8), "HELLO LOGON >SUCCESS >FAILURE"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_client_state client;
        bpi_client_state_init(&client, cases[i].version);
        assert_int_equal(client.state, BPI_SERVER_NEGOTIATION);
        play(&client, cases[i].script);
        assert_int_equal(client.state, BPI_SERVER_DEFUNCT);
        assert_false(bpi_client_state_may_reset(&client));
        bpi_client_state_done(&client);
    }
}

static void a_reset_waits_for_what_it_would_break(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        bool may;
    } cases[] = {
        {"", true},
        {"RUN", true},
        {"RUN PULL >SUCCESS", true},
        {"RUN >FAILURE", true},
        {"RESET", true},
        {"BEGIN >SUCCESS RUN", true},
        {"BEGIN", false},
        {"BEGIN RUN PULL", false},
        {"BEGIN >SUCCESS COMMIT", false},
        {"BEGIN >SUCCESS RUN PULL COMMIT >SUCCESS", false},
        {"BEGIN >SUCCESS ROLLBACK", false},
        {"LOGOFF", false},
        {"LOGOFF LOGON >SUCCESS", false},
        {"LOGOFF >SUCCESS", false},
        {"GOODBYE", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpi_client_state client;
        start(&client, BPI_BOLT(5, 8), cases[i].script);
        assert_int_equal(bpi_client_state_may_reset(&client), cases[i].may);
        bpi_client_state_done(&client);
    }
    struct bpi_client_state client;
    bpi_client_state_init(&client, BPI_BOLT(4, 4));
    assert_false(bpi_client_state_may_reset(&client));
    play(&client, "HELLO");
    assert_false(bpi_client_state_may_reset(&client));
    play(&client, ">SUCCESS");
    assert_true(bpi_client_state_may_reset(&client));
    bpi_client_state_done(&client);
}

static void unanswered_requests_can_be_asked_for(void **state)
{
    (void)state;
    struct bpi_client_state client;
    start(&client, BPI_BOLT(5, 8), "RUN PULL RESET");
    assert_int_equal(bpi_client_state_oldest(&client), BPI_BOLT_RUN);
    assert_true(bpi_client_state_awaits(&client, BPI_BOLT_RESET));
    assert_false(bpi_client_state_awaits(&client, BPI_BOLT_BEGIN));
    play(&client, ">SUCCESS >RECORD");
    assert_int_equal(bpi_client_state_oldest(&client), BPI_BOLT_PULL);
    bpi_client_state_done(&client);
    bpi_client_state_done(&client);
    assert_false(bpi_client_state_clean(&client));
}

static void the_ring_grows_to_its_limit_and_keeps_order(void **state)
{
    (void)state;
    struct bpi_client_state client;
    /* Seven answered ones move the ring's start off its beginning. */
    start(&client, BPI_BOLT(5, 8),
          "ROUTE ROUTE ROUTE ROUTE ROUTE >SUCCESS >SUCCESS >SUCCESS >SUCCESS >SUCCESS");
    for (int i = 0; i < BPI_CLIENT_PENDING_MAX; i++) {
        uint8_t tag = i % 3 == 0 ? BPI_BOLT_ROUTE : BPI_BOLT_TELEMETRY;
        assert_int_equal(bpi_client_state_sent(&client, tag), 0);
    }
    assert_int_equal(bpi_client_state_sent(&client, BPI_BOLT_RUN), BP_E_FULL);
    assert_int_equal(client.pending_count, BPI_CLIENT_PENDING_MAX);
    for (int i = 0; i < BPI_CLIENT_PENDING_MAX; i++) {
        uint8_t request;
        assert_int_equal(bpi_client_state_received(&client, BPI_BOLT_SUCCESS, false, &request), 0);
        assert_int_equal(request, i % 3 == 0 ? BPI_BOLT_ROUTE : BPI_BOLT_TELEMETRY);
    }
    assert_true(bpi_client_state_clean(&client));
    bpi_client_state_done(&client);
}

/* A server by the state table, which answers what it is sent: the client must always agree on the
 * state and never call it out of step. */
static void client_and_server_agree_on_random_sessions(void **state)
{
    (void)state;
    static const uint8_t choice[] = {
        BPI_BOLT_RUN,   BPI_BOLT_PULL,  BPI_BOLT_DISCARD, BPI_BOLT_BEGIN, BPI_BOLT_COMMIT,
        BPI_BOLT_ROUTE, BPI_BOLT_RESET, BPI_BOLT_LOGOFF,  BPI_BOLT_LOGON, BPI_BOLT_ROLLBACK,
    };
    const uint64_t seed = 20260903;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct bpi_random random;
    bpi_random_init(&random, seed);
    bpi_bolt_version version = BPI_BOLT(5, 8);
    for (int session = 0; session < 500; session++) {
        struct bpi_client_state client;
        start(&client, version, "");
        enum bpi_server_state server = BPI_SERVER_READY;
        for (int step = 0; step < 100; step++) {
            uint8_t tag = choice[bpi_random_below(&random, sizeof(choice))];
            enum bpi_server_verdict verdict = bpi_server_judge(server, version, tag);
            if (verdict != BPI_SERVER_ACCEPT && verdict != BPI_SERVER_IGNORE) {
                continue;
            }
            assert_int_equal(bpi_client_state_sent(&client, tag), 0);
            uint8_t request = 0;
            if (verdict == BPI_SERVER_IGNORE) {
                assert_int_equal(
                    bpi_client_state_received(&client, BPI_BOLT_IGNORED, false, &request), 0);
                continue;
            }
            bool failure = tag != BPI_BOLT_LOGON && bpi_random_below(&random, 6) == 0;
            bool more = !failure && bpi_random_below(&random, 3) == 0;
            enum bpi_server_outcome outcome =
                failure ? BPI_SERVER_FAILED_OUTCOME
                        : (more ? BPI_SERVER_HAS_MORE : BPI_SERVER_SUCCEEDED);
            server = bpi_server_state_after(server, version, tag, outcome);
            uint8_t answer = failure ? BPI_BOLT_FAILURE : BPI_BOLT_SUCCESS;
            assert_int_equal(bpi_client_state_received(&client, answer, more, &request), 0);
            assert_int_equal(request, tag);
            assert_int_equal(client.state, server);
            assert_int_equal(client.open_tx, server == BPI_SERVER_IN_TRANSACTION);
            assert_int_equal(bpi_client_state_clean(&client), server == BPI_SERVER_READY);
        }
        bpi_client_state_done(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_work_ends_clean),
        cmocka_unit_test(unfinished_work_is_not_clean),
        cmocka_unit_test(a_peer_out_of_step_is_noticed),
        cmocka_unit_test(a_failed_log_in_ends_the_link),
        cmocka_unit_test(a_reset_waits_for_what_it_would_break),
        cmocka_unit_test(unanswered_requests_can_be_asked_for),
        cmocka_unit_test(the_ring_grows_to_its_limit_and_keeps_order),
        cmocka_unit_test(client_and_server_agree_on_random_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
