/* Shows what has to hold for a configuration as a whole, whatever the order of its sections, and what follows from
 * several lines together: clusters, minima of classes, operations, rules, and what users may claim.
 */
#include "engine/config.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER "[cluster a]\nendpoints = bolt://h\n"

static struct bpi_config *parsed(const char *text)
{
    struct bpi_config *config = NULL;
    char why[1024] = "";
    if (bpi_config_parse("t.ini", text, &config, why, sizeof(why)) != 0) {
        fail_msg("%s\n%s", why, text);
    }
    return config;
}

/* The text is refused, and the message begins with `begin` and says `word`. */
static void refused(const char *text, const char *begin, const char *word)
{
    static struct bpi_config untouched;
    struct bpi_config *config = &untouched;
    char why[1024] = "";
    assert_int_equal(bpi_config_parse("t.ini", text, &config, why, sizeof(why)), BP_E_CONFIG);
    assert_ptr_equal(config, &untouched);
    if (strncmp(why, begin, strlen(begin)) != 0 || strstr(why, word) == NULL) {
        fail_msg("\"%s\" doesn't begin with \"%s\" or doesn't say \"%s\"; of:\n%.300s", why, begin,
                 word, text);
    }
}

static void what_does_not_fit_together_is_told_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begin, *word;
    } cases[] = {
        {CLUSTER "[operation read_only]\n", "t.ini:3: ", "that is a class"},
        {CLUSTER "[operation o]\nhigh_class = analytics\n", "t.ini:3: ", "names no class"},
        {CLUSTER "[class analytics]\nmin = 3\nmax = 2\n", "t.ini:3: ", "min = 3 is above max = 2"},
        {CLUSTER "[class analytics]\nmin = 60%\n", "t.ini:3: ", "min = 12 is above max = 10"},
        {"\n" CLUSTER "[class read_only]\nmin = 12\n[class read_write]\nmin = 45%\n",
         "t.ini:2: ", "(read_only 12 + read_write 9)"},
        {"[cluster b]\nendpoints = bolt://h\nlisten = h:1\nmax_links = 1000\n" CLUSTER
         "[class read_only]\nmin = 21\n",
         "t.ini:5: ", "[cluster a] max_links = 20 is less"},
        {"[cluster a]\n\n[cluster b]\nendpoints = bolt://h\n", "t.ini:1: ", "no endpoints"},
        {CLUSTER "\n[cluster b]\nendpoints = bolt://h\n", "t.ini:4: ", "the same address"},
        {CLUSTER "tls_mode = required\n", "t.ini:1: ", "needs tls_cert_file"},
        {CLUSTER "tls_mode = optional\ntls_key_file = x\n", "t.ini:1: ", "needs tls_cert_file"},
        {CLUSTER "auth_type = file\nauth_file = x\n", "t.ini:1: ", "service_user"},
        {CLUSTER "service_password_file = /nowhere/at/all\n", "t.ini:1: ", "o such file"},
        {CLUSTER "service_password_file = /dev/null\n", "t.ini:1: ", "it is empty"},
        {CLUSTER "service_password_file = /\n", "t.ini:1: ", "directory"},
        {CLUSTER "\n[rule r]\nuser = x\n", "t.ini:4: ", "names nothing"},
        {CLUSTER "[rule r]\n[rule s]\nclass = analytics\n", "t.ini:3: ", "names nothing"},
        {CLUSTER "[rule r]\noperation = nightly\n", "t.ini:3: ", "there is no 'nightly'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].begin, cases[i].word);
    }
}

static void a_rule_may_name_one_thing_or_all(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        unsigned things;
    } cases[] = {
        {"class = analytics", BPI_RULE_WORK},
        {"operation = nightly", BPI_RULE_WORK},
        {"priority = low", BPI_RULE_PRIORITY},
        {"deadline = 0", BPI_RULE_DEADLINE},
        {"deadline = 2s", BPI_RULE_DEADLINE},
        {"tenant = x", BPI_RULE_TENANT},
        {"shed = no", BPI_RULE_SHED},
        {"shed = yes\npriority = high", BPI_RULE_SHED | BPI_RULE_PRIORITY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 CLUSTER "[rule r]\n%s\n[operation nightly]\nclass = maintenance\n", cases[i].line);
        struct bpi_config *config = parsed(text);
        assert_int_equal(config->rules[0].things, cases[i].things);
        assert_int_equal(config->rules[0].operation_found != NULL, i == 1);
        bpi_config_unref(config);
    }
}

static void operations_are_changed_and_added(void **state)
{
    (void)state;
    struct bpi_config *config = parsed(CLUSTER "[operation nightly]\nclass = maintenance\n"
                                               "[operation graph_traversal]\nclass = read_only\n"
                                               "[operation lookup]\nclass = read_only\n"
                                               "high_class = high_priority\n");
    static const struct {
        const char *name;
        enum bpi_class class_, high_class;
    } expected[] = {
        {"inheritance_chain_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
        {"property_resolution_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
        {"concept_creation", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
        {"concept_update", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
        {"bulk_analytics", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
        {"graph_traversal", BPI_CLASS_READ_ONLY, BPI_CLASS_ANALYTICS},
        {"maintenance_operation", BPI_CLASS_MAINTENANCE, BPI_CLASS_MAINTENANCE},
        {"critical_operation", BPI_CLASS_HIGH_PRIORITY, BPI_CLASS_HIGH_PRIORITY},
        {"nightly", BPI_CLASS_MAINTENANCE, BPI_CLASS_MAINTENANCE},
        {"lookup", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
    };
    size_t count = sizeof(expected) / sizeof(expected[0]);
    assert_int_equal(config->operations_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct bpi_operation_config *found =
            bpi_config_operation(config, expected[i].name, strlen(expected[i].name));
        assert_non_null(found);
        assert_int_equal(found->class_, expected[i].class_);
        assert_int_equal(found->high_class, expected[i].high_class);
    }
    assert_null(bpi_config_operation(config, "nightl", 6));
    assert_null(bpi_config_operation(config, "", 0));
    bpi_config_unref(config);
}

static void the_first_user_section_that_fits_stands_for_users(void **state)
{
    (void)state;
    struct bpi_config *config = parsed("[user report_*]\nclasses = analytics\n"
                                       "[user *@example.org]\nmax_priority = critical\n"
                                       "[user report_1]\nmax_priority = low\n" CLUSTER
                                       "[users]\nmax_priority = high\nclasses = read_only\n");
    const struct bpi_claim_config *claim = bpi_config_claim(config, "report_1");
    assert_int_equal(claim->classes, 1 << BPI_CLASS_ANALYTICS);
    assert_int_equal(claim->max_priority,
                     BPI_PRIORITY_HIGH); /* what it doesn't say is of [users] */
    claim = bpi_config_claim(config, "a@example.org");
    assert_int_equal(claim->classes, 1 << BPI_CLASS_READ_ONLY);
    assert_int_equal(claim->max_priority, BPI_PRIORITY_CRITICAL);
    assert_ptr_equal(bpi_config_claim(config, "neo4j"), &config->claim);
    assert_int_equal(config->claim.max_priority, BPI_PRIORITY_HIGH);
    assert_int_equal(config->max_priority_min, BPI_PRIORITY_LOW);
    bpi_config_unref(config);
}

static void an_amount_is_rounded_as_it_should(void **state)
{
    (void)state;
    static const struct {
        struct bpi_amount amount;
        unsigned whole, down, up;
    } cases[] = {
        {{0, false}, 20, 0, 0},
        {{7, false}, 20, 7, 7},
        {{7, false}, 3, 7, 7},
        {{0, true}, 20, 0, 0},
        {{10, true}, 20, 2, 2},
        {{10, true}, 25, 2, 3},
        {{1, true}, 1, 0, 1},
        {{25, true}, 3, 0, 1},
        {{100, true}, 100000, 100000, 100000},
        {{99, true}, 100000, 99000, 99000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(bpi_amount_of(cases[i].amount, cases[i].whole, false), cases[i].down);
        assert_int_equal(bpi_amount_of(cases[i].amount, cases[i].whole, true), cases[i].up);
    }
    /* All links may be kept. */
    bpi_config_unref(
        parsed(CLUSTER "[class read_only]\nmin = 50%\n[class read_write]\nmin = 10\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_together_is_told_with_its_line),
        cmocka_unit_test(a_rule_may_name_one_thing_or_all),
        cmocka_unit_test(operations_are_changed_and_added),
        cmocka_unit_test(the_first_user_section_that_fits_stands_for_users),
        cmocka_unit_test(an_amount_is_rounded_as_it_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
