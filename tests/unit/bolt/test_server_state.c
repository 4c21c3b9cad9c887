/* Shows the whole state table: every state with every tag in every version, and every step on.
 * The expectation is written out as rows of letters, so that it can be compared with what servers did
 * line by line: a accept, i ignore, f FAILURE and close, c close without a word.
 */
#include "bolt/server_state.h"

#include "bolt/message.h"

#include "tests/unit/bolt/bytes.h"

static const uint8_t tags[] = {
    BPI_BOLT_HELLO, BPI_BOLT_LOGON,     BPI_BOLT_LOGOFF,   BPI_BOLT_RESET, BPI_BOLT_RUN,
    BPI_BOLT_BEGIN, BPI_BOLT_COMMIT,    BPI_BOLT_ROLLBACK, BPI_BOLT_PULL,  BPI_BOLT_DISCARD,
    BPI_BOLT_ROUTE, BPI_BOLT_TELEMETRY, BPI_BOLT_GOODBYE,
};

/* Columns: HELLO LOGON LOGOFF RESET RUN BEGIN COMMIT ROLLBACK PULL DISCARD ROUTE TELEMETRY GOODBYE,
 * as a server of 5.4 and newer judges them. */
static const char *const table[] = {
    [BPI_SERVER_NEGOTIATION] = "afffffffffffc",    [BPI_SERVER_AUTHENTICATION] = "faffffffffffc",
    [BPI_SERVER_READY] = "ffaaaaffffaac",          [BPI_SERVER_AUTO_COMMIT] = "fffaffffaaffc",
    [BPI_SERVER_IN_TRANSACTION] = "fffaafaaaaffc", [BPI_SERVER_FAILED] = "fffaifiiiiiic",
    [BPI_SERVER_DEFUNCT] = "ccccccccccccc",
};

static char letter_of(enum bpi_server_verdict verdict)
{
    switch (verdict) {
    case BPI_SERVER_ACCEPT:
        return 'a';
    case BPI_SERVER_IGNORE:
        return 'i';
    case BPI_SERVER_FAIL_CLOSE:
        return 'f';
    case BPI_SERVER_CLOSE:
    default:
        return 'c';
    }
}

static char expected_letter(enum bpi_server_state state, bpi_bolt_version version, size_t column)
{
    uint8_t tag = tags[column];
    bool newer = ((tag == BPI_BOLT_LOGON || tag == BPI_BOLT_LOGOFF) && version < BPI_BOLT(5, 1)) ||
                 (tag == BPI_BOLT_ROUTE && version < BPI_BOLT(4, 3)) ||
                 (tag == BPI_BOLT_TELEMETRY && version < BPI_BOLT(5, 4));
    bool old_reset =
        state == BPI_SERVER_NEGOTIATION && tag == BPI_BOLT_RESET && version < BPI_BOLT(5, 0);
    return newer || old_reset ? 'c' : table[state][column];
}

static void every_request_is_judged_as_servers_do(void **state)
{
    (void)state;
    for (bpi_bolt_versions rest = bpi_bolt_versions_all(); rest != 0; rest &= rest - 1) {
        bpi_bolt_version version = bpi_bolt_versions_oldest(rest);
        for (unsigned s = 0; s <= BPI_SERVER_DEFUNCT; s++) {
            for (size_t column = 0; column < COUNT(tags); column++) {
                enum bpi_server_state at = (enum bpi_server_state)s;
                char verdict = letter_of(bpi_server_judge(at, version, tags[column]));
                char expected = expected_letter(at, version, column);
                if (verdict != expected) {
                    fail_msg("%s in %s of %x: %c, not %c", bpi_bolt_tag_name(tags[column]),
                             bpi_server_state_name(at), (unsigned)version, verdict, expected);
                }
            }
        }
    }
}

static void every_tag_that_is_no_request_closes_silently(void **state)
{
    (void)state;
    for (unsigned s = 0; s <= BPI_SERVER_DEFUNCT; s++) {
        for (unsigned tag = 0; tag < 256; tag++) {
            if (memchr(tags, (int)tag, sizeof(tags)) == NULL) {
                assert_int_equal(
                    bpi_server_judge((enum bpi_server_state)s, BPI_BOLT_NEWEST, (uint8_t)tag),
                    BPI_SERVER_CLOSE);
            }
        }
    }
}

#define NEG   BPI_SERVER_NEGOTIATION
#define AUTH  BPI_SERVER_AUTHENTICATION
#define READY BPI_SERVER_READY
#define AUTO  BPI_SERVER_AUTO_COMMIT
#define TX    BPI_SERVER_IN_TRANSACTION
#define FAIL  BPI_SERVER_FAILED
#define DEAD  BPI_SERVER_DEFUNCT

/* Every accepted request with the state after success, after has_more and after failure. */
static const struct {
    enum bpi_server_state from;
    uint8_t tag;
    enum bpi_server_state success, more, failure;
} steps[] = {
    {NEG, BPI_BOLT_HELLO, AUTH, AUTH, DEAD},     {AUTH, BPI_BOLT_LOGON, READY, READY, DEAD},
    {READY, BPI_BOLT_RUN, AUTO, AUTO, FAIL},     {READY, BPI_BOLT_BEGIN, TX, TX, FAIL},
    {READY, BPI_BOLT_ROUTE, READY, READY, FAIL}, {READY, BPI_BOLT_TELEMETRY, READY, READY, FAIL},
    {READY, BPI_BOLT_LOGOFF, AUTH, AUTH, FAIL},  {READY, BPI_BOLT_RESET, READY, READY, FAIL},
    {AUTO, BPI_BOLT_PULL, READY, AUTO, FAIL},    {AUTO, BPI_BOLT_DISCARD, READY, AUTO, FAIL},
    {AUTO, BPI_BOLT_RESET, READY, READY, FAIL},  {TX, BPI_BOLT_RUN, TX, TX, FAIL},
    {TX, BPI_BOLT_PULL, TX, TX, FAIL},           {TX, BPI_BOLT_DISCARD, TX, TX, FAIL},
    {TX, BPI_BOLT_COMMIT, READY, READY, FAIL},   {TX, BPI_BOLT_ROLLBACK, READY, READY, FAIL},
    {TX, BPI_BOLT_RESET, READY, READY, FAIL},    {FAIL, BPI_BOLT_RESET, READY, READY, FAIL},
};

static void every_accepted_request_leads_where_servers_go(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (unsigned s = 0; s <= BPI_SERVER_DEFUNCT; s++) {
        for (size_t column = 0; column < COUNT(tags); column++) {
            accepted += table[s][column] == 'a' ? 1 : 0;
        }
    }
    assert_int_equal(accepted, COUNT(steps));
    for (size_t i = 0; i < COUNT(steps); i++) {
        bpi_bolt_version version = BPI_BOLT(5, 8);
        enum bpi_server_state from = steps[i].from;
        uint8_t tag = steps[i].tag;
        assert_int_equal(bpi_server_judge(from, version, tag), BPI_SERVER_ACCEPT);
        assert_int_equal(bpi_server_state_after(from, version, tag, BPI_SERVER_SUCCEEDED),
                         steps[i].success);
        assert_int_equal(bpi_server_state_after(from, version, tag, BPI_SERVER_HAS_MORE),
                         steps[i].more);
        assert_int_equal(bpi_server_state_after(from, version, tag, BPI_SERVER_FAILED_OUTCOME),
                         steps[i].failure);
    }
}

static void hello_logs_on_before_5_1(void **state)
{
    (void)state;
    for (bpi_bolt_versions rest = bpi_bolt_versions_all(); rest != 0; rest &= rest - 1) {
        bpi_bolt_version version = bpi_bolt_versions_oldest(rest);
        assert_int_equal(bpi_server_state_after(NEG, version, BPI_BOLT_HELLO, BPI_SERVER_SUCCEEDED),
                         version < BPI_BOLT(5, 1) ? READY : AUTH);
    }
}

static void nothing_leads_out_of_defunct(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(tags); i++) {
        assert_int_equal(
            bpi_server_state_after(DEAD, BPI_BOLT(5, 8), tags[i], BPI_SERVER_SUCCEEDED), DEAD);
    }
    assert_int_equal(
        bpi_server_state_after(READY, BPI_BOLT(5, 8), BPI_BOLT_GOODBYE, BPI_SERVER_SUCCEEDED),
        DEAD);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(bpi_server_state_name(READY), "READY");
    assert_string_equal(bpi_server_state_name(DEAD), "DEFUNCT");
    assert_string_equal(bpi_server_state_name((enum bpi_server_state)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_judged_as_servers_do),
        cmocka_unit_test(every_tag_that_is_no_request_closes_silently),
        cmocka_unit_test(every_accepted_request_leads_where_servers_go),
        cmocka_unit_test(hello_logs_on_before_5_1),
        cmocka_unit_test(nothing_leads_out_of_defunct),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
