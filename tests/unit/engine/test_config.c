/* Shows that a configuration is read as its table says and refused as a whole with file, line and reason.
 *
 * Each option is written down here a second time with its default, its bounds and what is wrong for it;
 * the reference is read back, so that an option that is missing here fails.
 */
#include "engine/config.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CLUSTER    "[cluster a]\nendpoints = bolt://h\n"
#define YEAR_US    ((uint64_t)366 * 24 * 3600 * 1000000)
#define TEXT_BYTES (BPI_CONFIG_TEXT_BYTES - 1)

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

/* ---- every option ---- */

enum type { TEXT, COUNT, BYTES, DURATION, VERSION, WORD, FLAG, AMOUNT, CLASSES };

struct expected {
    const char *name;
    enum type type;
    size_t offset;
    uint64_t initial; /* WORD: its index */
    const char *initial_text;
    uint64_t min, max; /* TEXT: max = longest; WORD: max = how many there are */
    const char *good;  /* a value that isn't the default */
};

#define OF(member) offsetof(struct bpi_cluster_config, member)

static const struct expected in_cluster[] = {
    {"listen", TEXT, OF(listen), 0, "127.0.0.1:7688", 0, TEXT_BYTES, "[::]:7000"},
    {"endpoints", TEXT, OF(endpoints), 0, "bolt://h", 0, 8 * BPI_CONFIG_TEXT_BYTES - 1,
     "neo4j://x"},
    {"advertised", TEXT, OF(advertised), 0, "", 0, TEXT_BYTES, "pool.example.org:7687"},
    {"endpoint_tls_ca_file", TEXT, OF(endpoint_tls_ca_file), 0, "", 0, TEXT_BYTES, "/ca.pem"},
    {"topology", WORD, OF(topology), BPI_TOPOLOGY_LIST, NULL, 0, 3, "equal"},
    {"strategy", WORD, OF(strategy), BPI_ROUTE_ADAPTIVE, NULL, 0, 5, "round_robin"},
    {"pool_mode", WORD, OF(pool_mode), BPI_POOL_MODE_TRANSACTION, NULL, 0, 2, "session"},
    {"max_links", COUNT, OF(max_links), 20, NULL, 1, 100000, "21"},
    {"max_user_links", COUNT, OF(max_user_links), 0, NULL, 0, 100000, "7"},
    {"max_database_links", COUNT, OF(max_database_links), 0, NULL, 0, 100000, "7"},
    {"min_idle_links", COUNT, OF(min_idle_links), 0, NULL, 0, 100000, "7"},
    {"max_connects", COUNT, OF(max_connects), 16, NULL, 1, 1000, "7"},
    {"max_endpoint_links", COUNT, OF(max_endpoint_links), 0, NULL, 0, 100000, "7"},
    {"max_endpoint_transactions", COUNT, OF(max_endpoint_transactions), 380, NULL, 0, 100000, "7"},
    {"link_error_limit", COUNT, OF(link_error_limit), 5, NULL, 0, 1000000, "7"},
    {"tenant_by", WORD, OF(tenant_by), BPI_TENANT_USER, NULL, 0, 3, "claim"},
    {"max_clients", COUNT, OF(max_clients), 10000, NULL, 1, 1000000, "7"},
    {"max_bolt_version", VERSION, OF(max_bolt_version), BPI_BOLT(6, 1), NULL, 0, 0, "4.4"},
    {"auth_type", WORD, OF(auth_type), BPI_AUTH_PASSTHROUGH, NULL, 0, 2, "passthrough"},
    {"auth_file", TEXT, OF(auth_file), 0, "", 0, TEXT_BYTES, "/users"},
    {"service_user", TEXT, OF(service_user), 0, "", 0, TEXT_BYTES, "neo4j"},
    {"service_password", TEXT, OF(service_password), 0, "", 0, TEXT_BYTES, "s3cret;#= x"},
    {"service_password_file", TEXT, OF(service_password_file), 0, "", 0, TEXT_BYTES, NULL},
    {"tls_mode", WORD, OF(tls_mode), BPI_TLS_OFF, NULL, 0, 3, "off"},
    {"tls_cert_file", TEXT, OF(tls_cert_file), 0, "", 0, TEXT_BYTES, "/cert.pem"},
    {"tls_key_file", TEXT, OF(tls_key_file), 0, "", 0, TEXT_BYTES, "/key.pem"},
    {"connect_timeout", DURATION, OF(connect_timeout_us), 5000000, NULL, 1000, YEAR_US, "1min"},
    {"client_login_timeout", DURATION, OF(client_login_timeout_us), 30000000, NULL, 1000, YEAR_US,
     "1min"},
    {"queue_timeout", DURATION, OF(queue_timeout_us), 30000000, NULL, 1000, YEAR_US, "250ms"},
    {"queue_notify_after", DURATION, OF(queue_notify_after_us), 5000000, NULL, 0, YEAR_US, "0"},
    {"idle_transaction_timeout", DURATION, OF(idle_transaction_timeout_us), 0, NULL, 0, YEAR_US,
     "5min"},
    {"transaction_timeout", DURATION, OF(transaction_timeout_us), 0, NULL, 0, YEAR_US, "1h"},
    {"reset_timeout", DURATION, OF(reset_timeout_us), 10000000, NULL, 1000, YEAR_US, "1500us"},
    {"keep_alive_interval", DURATION, OF(keep_alive_interval_us), 30000000, NULL, 0, YEAR_US, "5s"},
    {"auth_cache_ttl", DURATION, OF(auth_cache_ttl_us), 60000000, NULL, 0, YEAR_US, "0s"},
    {"link_auth_ttl", DURATION, OF(link_auth_ttl_us), 300000000, NULL, 0, YEAR_US, "1h"},
    {"link_idle_timeout", DURATION, OF(link_idle_timeout_us), 600000000, NULL, 0, YEAR_US, "1h"},
    {"link_lifetime", DURATION, OF(link_lifetime_us), 3600000000, NULL, 0, YEAR_US, "2h"},
    {"link_check_after", DURATION, OF(link_check_after_us), 30000000, NULL, 0, YEAR_US, "1s"},
    {"link_check_timeout", DURATION, OF(link_check_timeout_us), 1000000, NULL, 1000, YEAR_US, "2s"},
    {"link_keep_alive", DURATION, OF(link_keep_alive_us), 0, NULL, 0, YEAR_US, "1min"},
    {"dead_server_timeout", DURATION, OF(dead_server_timeout_us), 10000000, NULL, 0, YEAR_US, "5s"},
    {"lend_max_hold", DURATION, OF(lend_max_hold_us), 50000, NULL, 0, YEAR_US, "20ms"},
    {"pass_over", DURATION, OF(pass_over_us), 1000, NULL, 0, YEAR_US, "4ms"},
    {"leak_report_after", DURATION, OF(leak_report_after_us), 300000000, NULL, 0, YEAR_US, "0"},
    {"max_message_bytes", BYTES, OF(max_message_bytes), 128 << 20, NULL, 1024, UINT64_C(1) << 31,
     "2GiB"},
    {"max_login_message_bytes", BYTES, OF(max_login_message_bytes), 8192, NULL, 256, 1 << 20,
     "9KiB"},
    {"max_depth", COUNT, OF(max_depth), 256, NULL, 4, 1024, "5"},
    {"max_items", COUNT, OF(max_items), 16777216, NULL, 64, 2147483647, "65"},
    {"max_login_depth", COUNT, OF(max_login_depth), 4, NULL, 2, 64, "5"},
    {"max_login_items", COUNT, OF(max_login_items), 64, NULL, 8, 4096, "65"},
    {"max_pipelined_requests", COUNT, OF(max_pipelined_requests), 300, NULL, 8, 100000, "9"},
    {"client_buffer_bytes", BYTES, OF(client_buffer_bytes), 256 << 10, NULL, 4096, 1 << 30,
     "5000B"},
    {"record_buffer_bytes", BYTES, OF(record_buffer_bytes), 1 << 20, NULL, 65536, 1 << 30, "70000"},
};

#define CLUSTER_OPTIONS_COUNT (sizeof(in_cluster) / sizeof(in_cluster[0]))

static const struct expected in_process[] = {
    {"loops", COUNT, offsetof(struct bpi_config, loops), 0, NULL, 0, 64, "3"},
    {"log_level", WORD, offsetof(struct bpi_config, log_level_value), BPI_LOG_INFO, NULL, 0, 4,
     "debug"},
    {"drain_timeout", DURATION, offsetof(struct bpi_config, drain_timeout_us), 30000000, NULL, 0,
     YEAR_US, "1s"},
    {"learn_classes", FLAG, offsetof(struct bpi_config, learn_classes), 0, NULL, 0, 2, "yes"},
    {"learn_after", DURATION, offsetof(struct bpi_config, learn_after_us), 2000000, NULL, 1000,
     YEAR_US, "1s"},
};

#define PROCESS_OPTIONS_COUNT (sizeof(in_process) / sizeof(in_process[0]))

/* Of read_write; min and max of the AMOUNTs are numbers of links. */
static const struct expected in_class[] = {
    {"min", AMOUNT, offsetof(struct bpi_class_config, min), 0, NULL, 0, 100000, "1"},
    {"max", AMOUNT, offsetof(struct bpi_class_config, max), 0, NULL, 0, 100000, "1"},
    {"share", COUNT, offsetof(struct bpi_class_config, share), 200, NULL, 1, 10000, "1"},
    {"max_waiting", COUNT, offsetof(struct bpi_class_config, max_waiting), 10000, NULL, 0, 1000000,
     "0"},
    {"queue_timeout", DURATION, offsetof(struct bpi_class_config, queue_timeout_us), 0, NULL, 0,
     YEAR_US, "1s"},
    {"deadline", DURATION, offsetof(struct bpi_class_config, deadline_us), 0, NULL, 0, YEAR_US,
     "1s"},
    {"codel_target", DURATION, offsetof(struct bpi_class_config, codel_target_us), 0, NULL, 0,
     YEAR_US, "5ms"},
};

#define CLASS_OPTIONS_COUNT (sizeof(in_class) / sizeof(in_class[0]))

static const struct expected in_users[] = {
    {"max_priority", WORD, offsetof(struct bpi_claim_config, max_priority), BPI_PRIORITY_NORMAL,
     NULL, 0, 4, "high"},
    {"classes", CLASSES, offsetof(struct bpi_claim_config, classes), 0xf, NULL, 0, 0, "analytics"},
};

#define USERS_OPTIONS_COUNT (sizeof(in_users) / sizeof(in_users[0]))

static const struct {
    const struct expected *options;
    size_t count;
    const char *head; /* of their section */
} tables[] = {
    {in_cluster, CLUSTER_OPTIONS_COUNT, "# one\n\n; three\n" CLUSTER "max_links = 100000\n"},
    {in_process, PROCESS_OPTIONS_COUNT, CLUSTER "[boltpool]\n"},
    {in_class, CLASS_OPTIONS_COUNT, CLUSTER "max_links = 100000\n[class read_write]\n"},
    {in_users, USERS_OPTIONS_COUNT, CLUSTER "[users]\n"},
    {in_users, USERS_OPTIONS_COUNT, CLUSTER "[user a*]\n"},
};

#define TABLES_COUNT (sizeof(tables) / sizeof(tables[0]))
/* [operation] has class and high_class, [rule] five conditions and six things to name. */
#define OTHER_OPTIONS_COUNT (2 + 11)

static uint64_t number_of(const struct expected *option, const void *base)
{
    const char *at = (const char *)base + option->offset;
    uint64_t number = 0;
    unsigned small = 0;
    bpi_bolt_version version = 0;
    struct bpi_amount amount;
    bool flag = false;
    switch (option->type) {
    case AMOUNT:
        memcpy(&amount, at, sizeof(amount));
        return amount.value;
    case FLAG:
        memcpy(&flag, at, sizeof(flag));
        return flag;
    case BYTES:
    case DURATION:
        memcpy(&number, at, sizeof(number));
        return number;
    case VERSION:
        memcpy(&version, at, sizeof(version));
        return version;
    case COUNT:
    case WORD:
    case CLASSES:
        memcpy(&small, at, sizeof(small));
        return small;
    case TEXT:
        break;
    }
    return 0;
}

static void has_default(const struct expected *option, const void *base)
{
    if (option->type == TEXT) {
        assert_string_equal((const char *)base + option->offset, option->initial_text);
    } else if (number_of(option, base) != option->initial) {
        fail_msg("%s is %llu by default", option->name,
                 (unsigned long long)number_of(option, base));
    }
}

static void every_option_has_its_default(void **state)
{
    (void)state;
    struct bpi_config *config = parsed(CLUSTER);
    for (size_t i = 0; i < CLUSTER_OPTIONS_COUNT; i++) {
        has_default(&in_cluster[i], &config->clusters[0]);
    }
    for (size_t i = 0; i < PROCESS_OPTIONS_COUNT; i++) {
        has_default(&in_process[i], config);
    }
    for (size_t i = 0; i < CLASS_OPTIONS_COUNT; i++) {
        has_default(&in_class[i], &config->classes[BPI_CLASS_READ_WRITE]);
    }
    for (size_t i = 0; i < USERS_OPTIONS_COUNT; i++) {
        has_default(&in_users[i], &config->claim);
    }
    assert_string_equal(config->clusters[0].listen_host, "127.0.0.1");
    assert_int_equal(config->clusters[0].listen_port, 7688);
    assert_string_equal(config->file, "t.ini");
    bpi_config_unref(config);
}

static void each_class_has_its_own_defaults(void **state)
{
    (void)state;
    static const struct {
        unsigned max_percent, share;
    } expected[BPI_CLASS_COUNT] = {{0, 200}, {0, 200}, {50, 50}, {25, 20}, {0, 500}};
    struct bpi_config *config = parsed(CLUSTER);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_class_config *class_ = &config->classes[i];
        assert_int_equal(class_->max.value, expected[i].max_percent);
        assert_int_equal(class_->max.is_percent, expected[i].max_percent != 0);
        assert_int_equal(class_->share, expected[i].share);
        assert_int_equal(class_->min.value, 0);
        assert_int_equal(class_->max_waiting, 10000);
    }
    bpi_config_unref(config);
}

static void every_option_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLUSTER_OPTIONS_COUNT; i++) {
        const struct expected *option = &in_cluster[i];
        char text[512];
        if (option->good == NULL) {
            continue;
        }
        snprintf(text, sizeof(text), CLUSTER "%s = %s\n", option->name, option->good);
        struct bpi_config *config = parsed(text);
        const struct bpi_cluster_config *cluster = &config->clusters[0];
        if (option->type == TEXT) {
            assert_string_equal((const char *)cluster + option->offset, option->good);
        } else if (option->type != WORD) {
            assert_int_not_equal(number_of(option, cluster), option->initial);
        }
        bpi_config_unref(config);
    }
    struct bpi_config *config =
        parsed("[boltpool]\nloops=3\nlog_level = debug\ndrain_timeout = 1s\nlearn_classes = yes\n"
               "learn_after = 1ms\n" CLUSTER "pool_mode = session\nmax_bolt_version = 5.4\n"
               "tenant_by = application\nmax_links = 90000\n[class analytics]\nmax = 2\n"
               "[class high_priority]\nmax = 100000\nmin = 3\nshare = 4\nqueue_timeout = 5s\n"
               "deadline = 6s\nmax_waiting = 7\ncodel_target = 8ms\n");
    assert_int_equal(config->loops, 3);
    assert_int_equal(config->log_level_value, BPI_LOG_DEBUG);
    assert_int_equal(config->drain_timeout_us, 1000000);
    assert_true(config->learn_classes);
    assert_int_equal(config->learn_after_us, 1000);
    assert_int_equal(config->clusters[0].pool_mode, BPI_POOL_MODE_SESSION);
    assert_int_equal(config->clusters[0].max_bolt_version, BPI_BOLT(5, 4));
    assert_int_equal(config->clusters[0].tenant_by, BPI_TENANT_APPLICATION);
    assert_int_equal(config->classes[BPI_CLASS_ANALYTICS].max.value, 2);
    assert_false(config->classes[BPI_CLASS_ANALYTICS].max.is_percent);
    const struct bpi_class_config *high = &config->classes[BPI_CLASS_HIGH_PRIORITY];
    assert_int_equal(high->max.value, 100000);
    assert_int_equal(high->min.value, 3);
    assert_int_equal(high->share, 4);
    assert_int_equal(high->queue_timeout_us, 5000000);
    assert_int_equal(high->deadline_us, 6000000);
    assert_int_equal(high->max_waiting, 7);
    assert_int_equal(high->codel_target_us, 8000);
    bpi_config_unref(config);
}

static void one_option(const char *head, const char *name, const char *value, bool good)
{
    char *text = NULL;
    assert_true(asprintf(&text, "%s%s = %s\n", head, name, value) > 0);
    unsigned line = 1;
    for (const char *at = head; (at = strchr(at, '\n')) != NULL; at++) {
        line++;
    }
    char begin[32];
    snprintf(begin, sizeof(begin), "t.ini:%u: %s: ", line, name);
    if (good) {
        bpi_config_unref(parsed(text));
    } else {
        refused(text, begin, "");
    }
    free(text);
}

static void try_bounds(const struct expected *option, const char *head)
{
    static const char *const no_numbers[] = {"",     "x",   "-1",    "1.5",
                                             "0x10", "1 2", "+1",    "99999999999999999999999",
                                             "1k",   "1KB", "1 week"};
    char value[32];
    const char *unit = option->type == DURATION ? "us" : "";
    if (option->type == COUNT || option->type == BYTES || option->type == DURATION ||
        option->type == AMOUNT) {
        for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
            one_option(head, option->name, no_numbers[i], false);
        }
        snprintf(value, sizeof(value), "%llu%s", (unsigned long long)option->min, unit);
        one_option(head, option->name, value, true);
        snprintf(value, sizeof(value), "%llu%s", (unsigned long long)option->max, unit);
        one_option(head, option->name, value, true);
        snprintf(value, sizeof(value), "%llu%s", (unsigned long long)option->max + 1, unit);
        one_option(head, option->name, value, false);
        if (option->min > 0) {
            snprintf(value, sizeof(value), "%llu%s", (unsigned long long)option->min - 1, unit);
            one_option(head, option->name, value, false);
            one_option(head, option->name, "0", false);
        }
    }
    if (option->type == DURATION) {
        one_option(head, option->name, "5", false); /* five what? */
        one_option(head, option->name, "18446744073709551615h", false);
    }
    if (option->type == BYTES) {
        one_option(head, option->name, "18446744073709551615KiB", false);
    }
    if (option->type == AMOUNT) {
        one_option(head, option->name, "0%", true);
        one_option(head, option->name, "100%", true);
        one_option(head, option->name, "101%", false);
        one_option(head, option->name, "%", false);
        one_option(head, option->name, "5%%", false);
        one_option(head, option->name, "-5%", false);
        one_option(head, option->name, "5.5%", false);
    }
    if (option->type == CLASSES) {
        one_option(head, option->name, "read_only, fast", false);
        one_option(head, option->name, "high_priority ,maintenance", true);
        one_option(head, option->name, "", true);
    }
    if (option->type == WORD || option->type == VERSION || option->type == FLAG) {
        one_option(head, option->name, "", false);
        one_option(head, option->name, "nonsense", false);
        one_option(head, option->name, "OFF", false);
    }
    if (option->type == TEXT) {
        char *longer = malloc(option->max + 2);
        memset(longer, 'x', option->max + 1);
        longer[option->max + 1] = '\0';
        one_option(head, option->name, longer, false);
        free(longer);
    }
}

static void bounds_are_kept_and_errors_name_the_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < TABLES_COUNT; i++) {
        for (size_t j = 0; j < tables[i].count; j++) {
            try_bounds(&tables[i].options[j], tables[i].head);
        }
    }
    one_option(CLUSTER, "max_bolt_version", "5.5", false);
    one_option(CLUSTER, "max_bolt_version", "4.0", false);
    static const char *const in_rule[] = {"class", "priority",  "deadline",   "tenant",
                                          "shed",  "mode",      "user",       "database",
                                          "query", "operation", "application"};
    for (size_t i = 0; i < sizeof(in_rule) / sizeof(in_rule[0]); i++) {
        char value[BPI_CONFIG_TEXT_BYTES + 1];
        memset(value, 'x', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        one_option(CLUSTER "[rule r]\n", in_rule[i], value, false);
    }
    one_option(CLUSTER "[operation o]\n", "class", "fast", false);
    one_option(CLUSTER "[operation o]\n", "high_class", "", false);
}

static void the_reference_prints_every_option(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bpi_config_reference(out);
    fclose(out);
    size_t rows = 0;
    for (const char *at = text; (at = strstr(at, "\n| `")) != NULL; at++) {
        rows++;
        const char *end = strchr(at + 1, '\n');
        int pipes = 0;
        for (const char *c = at + 1; c < end; c++) {
            pipes += *c == '|';
        }
        assert_int_equal(pipes, 7); /* no cell has one of its own */
    }
    size_t expected = OTHER_OPTIONS_COUNT;
    for (size_t i = 0; i < TABLES_COUNT - 1; i++) { /* [users] and [user] are the same rows */
        expected += tables[i].count;
        for (size_t j = 0; j < tables[i].count; j++) {
            char row[64];
            snprintf(row, sizeof(row), "\n| `%s` | ", tables[i].options[j].name);
            assert_non_null(strstr(text, row));
        }
    }
    assert_int_equal(rows, expected);
    assert_non_null(strstr(text, "| `max` | [class] | `0`, analytics `50%`, maintenance `25%` |"));
    assert_non_null(strstr(text, "`off`, `optional`, `required`"));
    free(text);
}

/* ---- sections ---- */

static void clusters_get_the_defaults_of_boltpool_wherever_it_stands(void **state)
{
    (void)state;
    struct bpi_config *config = parsed("[boltpool]\nmax_links = 5\nqueue_timeout = 1s\n"
                                       "[cluster a]\nendpoints = bolt://h\nmax_links = 6\n"
                                       "[cluster b]\nendpoints = bolt://h\nlisten = h:1\n"
                                       "[boltpool]\nmax_links = 7\nmax_clients = 8\n");
    assert_int_equal(config->clusters_count, 2);
    assert_int_equal(config->clusters[0].max_links, 6);
    assert_int_equal(config->clusters[1].max_links, 7);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(config->clusters[i].max_clients, 8);
        assert_int_equal(config->clusters[i].queue_timeout_us, 1000000);
    }
    bpi_config_unref(config);
}

static void a_section_may_stand_twice_and_the_last_value_holds(void **state)
{
    (void)state;
    struct bpi_config *config = parsed("[cluster a]\nmax_links = 5\nmax_links = 6\n"
                                       "[class analytics]\nmax = 1\n"
                                       "[rule r]\nuser = x\n"
                                       "[cluster a]\nendpoints = bolt://one\nmax_clients = 9\n"
                                       "[rule r]\nclass = analytics\n"
                                       "[cluster a]\nendpoints = bolt://two\n"
                                       "[class analytics]\nmax = 2\n");
    assert_int_equal(config->clusters_count, 1);
    assert_int_equal(config->clusters[0].max_links, 6);
    assert_int_equal(config->clusters[0].max_clients, 9);
    assert_int_equal(config->clusters[0].endpoints_count, 1);
    assert_string_equal(config->clusters[0].endpoint[0].host, "two");
    assert_int_equal(config->clusters[0].line, 1);
    assert_int_equal(config->classes[BPI_CLASS_ANALYTICS].max.value, 2);
    assert_int_equal(config->classes[BPI_CLASS_ANALYTICS].line, 4);
    assert_int_equal(config->rules_count, 1);
    assert_string_equal(config->rules[0].user, "x");
    bpi_config_unref(config);
}

static void wrong_sections_and_names_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begin, *word;
    } cases[] = {
        {"", "t.ini: ", "no [cluster NAME]"},
        {"\n# nothing\n", "t.ini: ", "no [cluster NAME]"},
        {"x = 1\n", "t.ini:1: ", "before any [section]"},
        {"\n[clusters a]\n", "t.ini:2: ", "unknown section [clusters a]"},
        {"[]\n", "t.ini:1: ", "unknown section []"},
        {"[cluster]\n", "t.ini:1: ", "unknown section"},
        {"[cluster a b]\n", "t.ini:1: ", "a name has letters"},
        {"[cluster ]\n", "t.ini:1: ", "unknown section"},
        {"[cluster \xc3\xa4]\n", "t.ini:1: ", "a name has letters"},
        {"[class fast]\n", "t.ini:1: ", "the classes are"},
        {"[cluster a\nmax_links = 1\n", "t.ini:1: ", "[NAME]"},
        {"[cluster a] max_links = 1\n", "t.ini:1: ", "[NAME]"},
        {CLUSTER "max_links\n", "t.ini:3: ", "neither"},
        {CLUSTER "= 1\n", "t.ini:3: ", "neither"},
        {CLUSTER "\n\nmax_link = 1\n", "t.ini:5: ", "did you mean 'max_links'?"},
        {CLUSTER "Queue_Timeout = 1s\n", "t.ini:3: ", "did you mean 'queue_timeout'?"},
        {CLUSTER "wholly_unknown_thing = 1s\n", "t.ini:3: ", "has no option"},
        {CLUSTER "loops = 1\n", "t.ini:3: ", "belongs into the [boltpool] section"},
        {"[boltpool]\nlisten = h:1\n", "t.ini:2: ", "belongs into a [cluster NAME] section"},
        {"[boltpool]\nlog_levle = info\n", "t.ini:2: ", "did you mean 'log_level'?"},
        {CLUSTER "[class analytics]\nmix = 1\n", "t.ini:4: ", "there are min, max, share"},
        {CLUSTER "[boltpool]\nclaimable_classes = analytics\n",
         "t.ini:4: ", "in a [users] section"},
        {CLUSTER "max_priority = low\n", "t.ini:3: ", "belongs into the [users] section"},
        {CLUSTER "share = 1\n", "t.ini:3: ", "belongs into a [class NAME] section"},
        {CLUSTER "[users]\nprio = low\n", "t.ini:4: ", "there are max_priority, classes"},
        {CLUSTER "[users x]\n", "t.ini:3: ", "unknown section [users x]"},
        {CLUSTER "[user]\n", "t.ini:3: ", "unknown section [user]"},
        {CLUSTER "[user a b]\n", "t.ini:3: ", "no blanks"},
        {CLUSTER "[operation o o]\n", "t.ini:3: ", "a name has letters"},
        {CLUSTER "min_idle_links = 21\n", "t.ini:1: ", "above max_links = 20"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].begin, cases[i].word);
    }
    char *name = NULL;
    assert_true(asprintf(&name, "[cluster %0100d]\n", 1) > 0);
    refused(name, "t.ini:1: ", "a name has letters");
    free(name);
}

static void blanks_comments_and_line_ends_are_as_in_other_ini_files(void **state)
{
    (void)state;
    struct bpi_config *config = parsed("\xef\xbb\xbf; written by an editor\r\n"
                                       "  [cluster a]  ; the only one\r\n"
                                       "\tendpoints=bolt://h:1\t; a comment\r\n"
                                       "    max_links   =   5   \r\n"
                                       "    service_password = a;b#c = d ; a comment\r\n"
                                       "    # another\r\n"
                                       "max_clients = 7"); /* no end of line */
    assert_int_equal(config->clusters[0].max_links, 5);
    assert_int_equal(config->clusters[0].max_clients, 7);
    assert_int_equal(config->clusters[0].endpoint[0].port, 1);
    assert_string_equal(config->clusters[0].service_password, "a;b#c = d");
    bpi_config_unref(config);
}

/* ---- addresses ---- */

static void endpoints_are_a_list(void **state)
{
    (void)state;
    struct bpi_config *config =
        parsed("[cluster a]\n"
               "endpoints = bolt://one:7000 ro, bolt+s://[2001:db8::1]:7001  rw weight=7 limit=40 ,"
               "bolt+ssc://[::1]\n"
               "listen = [::1]:9000\n");
    const struct bpi_cluster_config *cluster = &config->clusters[0];
    assert_int_equal(cluster->endpoints_count, 3);
    assert_string_equal(cluster->endpoint[0].host, "one");
    assert_int_equal(cluster->endpoint[0].port, 7000);
    assert_string_equal(cluster->endpoint[1].host, "2001:db8::1");
    assert_true(cluster->endpoint[1].tls && !cluster->endpoint[1].routing);
    assert_int_equal(cluster->topology, BPI_TOPOLOGY_LIST);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(cluster->endpoint_is[i].is_writer, i == 1);
        assert_int_equal(cluster->endpoint_is[i].weight, i == 1 ? 7 : 100);
        assert_int_equal(cluster->endpoint_is[i].limit, i == 1 ? 40 : 0);
    }
    assert_string_equal(cluster->endpoint[2].host, "::1");
    assert_int_equal(cluster->endpoint[2].port, 7687);
    assert_string_equal(cluster->listen_host, "::1");
    assert_int_equal(cluster->listen_port, 9000);
    bpi_config_unref(config);
}

static void a_list_has_one_writer_and_equal_servers_have_none(void **state)
{
    (void)state;
    struct bpi_config *config = parsed("[cluster a]\nendpoints = bolt://a, bolt://b\n");
    assert_int_equal(config->clusters[0].topology, BPI_TOPOLOGY_LIST);
    assert_true(config->clusters[0].endpoint_is[0].is_writer);
    assert_false(config->clusters[0].endpoint_is[1].is_writer);
    bpi_config_unref(config);
    config = parsed("[cluster a]\nendpoints = bolt://a ro, bolt://b ro\n");
    assert_false(config->clusters[0].endpoint_is[0].is_writer);
    bpi_config_unref(config);
    config = parsed("[cluster a]\nendpoints = neo4j://a, neo4j://b\n");
    assert_int_equal(config->clusters[0].topology, BPI_TOPOLOGY_EQUAL);
    bpi_config_unref(config);
    config = parsed("[cluster a]\nendpoints = bolt://a, bolt://b\ntopology = equal\n");
    assert_int_equal(config->clusters[0].topology, BPI_TOPOLOGY_EQUAL);
    bpi_config_unref(config);
    refused("[cluster a]\nendpoints = bolt://a rw, bolt://b rw\n",
            "t.ini:", "one takes the writes");
    refused("[cluster a]\nendpoints = bolt://a rw, bolt://b\ntopology = equal\n",
            "t.ini:", "topology = list");
    refused("[cluster a]\nendpoints = bolt://a, neo4j://b\n", "t.ini:", "all the same");
    refused("[cluster a]\nendpoints = rw bolt://a\n", "t.ini:2:", "before any address");
    refused("[cluster a]\nendpoints = bolt://a weight=0\n", "t.ini:2:", "1 to 10000");
    refused("[cluster a]\nendpoints = bolt://a weight=x\n", "t.ini:2:", "1 to 10000");
    refused("[cluster a]\nendpoints = bolt://a limit=9999999\n", "t.ini:2:", "1 to 1000000");
    refused("[cluster a]\nendpoints = bolt://a mass=9\n", "t.ini:2:", "neither an address");
}

static void port_0_takes_a_free_one_for_as_many_clusters_as_there_are(void **state)
{
    (void)state;
    struct bpi_config *config =
        parsed(CLUSTER "listen = [::]:0\n"
                       "[cluster b]\nendpoints = bolt://h\nlisten = [::]:0\n");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(config->clusters[i].listen_host, "::");
        assert_int_equal(config->clusters[i].listen_port, 0);
    }
    bpi_config_unref(config);
    refused(CLUSTER "listen = ::0\n", "t.ini:3: listen", "");
    refused(CLUSTER "listen = :0\n", "t.ini:3: listen", "");
    refused("[cluster a]\nendpoints = bolt://h:0\n", "t.ini:2: endpoints", "the port is 0");
}

static void wrong_addresses_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begin, *word;
    } cases[] = {
        {"[cluster a]\nendpoints =\n", "t.ini:2: endpoints", "at least one"},
        {"[cluster a]\nendpoints = , ,\n", "t.ini:2: endpoints", "at least one"},
        {"[cluster a]\nendpoints = h:7687\n", "t.ini:2: endpoints", "must begin with"},
        {"[cluster a]\nendpoints = bolt://a, bolt://b:0\n", "t.ini:2: endpoints: number 2", "0"},
        {"[cluster a]\nendpoints = bolt://::1\n", "t.ini:2: endpoints", "[::1]"},
        {"[cluster a]\nendpoints = bolt://u:p@h\n", "t.ini:2: endpoints", "no user"},
        {CLUSTER "listen = h:x\n", "t.ini:3: listen", "not a number"},
        {CLUSTER "listen = ::1\n", "t.ini:3: listen", "[::1]"},
        {CLUSTER "listen = bolt://h:1\n", "t.ini:3: listen", ""},
        {CLUSTER "listen = u@h:1\n", "t.ini:3: listen", "an address and a port"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].begin, cases[i].word);
    }
}

static void as_many_endpoints_as_there_may_be_and_no_more(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        char text[4096] = "[cluster a]\nendpoints = ";
        for (int i = 0; i < BPI_CONFIG_ENDPOINTS_MAX + more; i++) {
            char one[32];
            snprintf(one, sizeof(one), "bolt://host-%d:7687, ", i);
            strncat(text, one, sizeof(text) - strlen(text) - 1);
        }
        if (more == 1) {
            refused(text, "t.ini:2: endpoints: more than 64", "");
            continue;
        }
        /* One line of more than a kilobyte, read whole. */
        struct bpi_config *config = parsed(text);
        assert_int_equal(config->clusters[0].endpoints_count, BPI_CONFIG_ENDPOINTS_MAX);
        assert_string_equal(config->clusters[0].endpoint[63].host, "host-63");
        bpi_config_unref(config);
    }
}

/* ---- rules ---- */

static void rules_keep_their_order_and_compile_their_expression(void **state)
{
    (void)state;
    struct bpi_config *config =
        parsed(CLUSTER "[rule last.of-all_1]\nclass = analytics\nquery = ^ *match\\b.*(apoc|gds)\n"
                       "[rule b]\ndatabase =\nmode = r\nuser = r*\napplication = x ; y\n"
                       "class = high_priority\n");
    assert_int_equal(config->rules_count, 2);
    const struct bpi_rule_config *rule = &config->rules[0];
    assert_string_equal(rule->name, "last.of-all_1");
    assert_int_equal(rule->class_, BPI_CLASS_ANALYTICS);
    assert_true(rule->has_regex && !rule->has_database);
    assert_int_equal(regexec(&rule->regex, "  MATCH (n) CALL gds.x", 0, NULL, 0), 0);
    assert_int_not_equal(regexec(&rule->regex, "MATCHES gds", 0, NULL, 0), 0);
    rule = &config->rules[1];
    assert_true(rule->has_database && !rule->has_regex);
    assert_string_equal(rule->database, "");
    assert_true(rule->has_mode);
    assert_int_equal(rule->mode, BPI_MODE_READ);
    assert_string_equal(rule->user, "r*");
    assert_string_equal(rule->application, "x");
    bpi_config_unref(config);
}

static void wrong_rules_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *begin, *word;
    } cases[] = {
        {CLUSTER "[rule r]\nquery = (\n", "t.ini:4: query", "no regular expression"},
        {CLUSTER "[rule r]\nquery = [\nclass = x\n", "t.ini:4: query", "no regular expression"},
        {CLUSTER "[rule r]\nquery = a\nquery = b\n", "t.ini:5: query", "twice"},
        {CLUSTER "[rule r]\nquery = a\n[rule r]\nquery = b\n", "t.ini:6: query", "twice"},
        {CLUSTER "[rule r]\nmode = x\n", "t.ini:4: mode", "none of r|w"},
        {CLUSTER "[rule r]\nclass = x\n", "t.ini:4: class", "none of"},
        {CLUSTER "[rule r]\nuse = x\n", "t.ini:4: ", "there are user, database"},
        {CLUSTER "[rule r]\npriority = urgent\n", "t.ini:4: priority", "low|normal|high|critical"},
        {CLUSTER "[rule r]\nshed = maybe\n", "t.ini:4: shed", "none of no|yes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].begin, cases[i].word);
    }
    char text[2048];
    snprintf(text, sizeof(text), CLUSTER "[rule r]\nquery = %0512d\n", 1);
    refused(text, "t.ini:4: query", "longer than 511 bytes");
    snprintf(text, sizeof(text), CLUSTER "[rule r]\nclass = analytics\nquery = %0511d\n", 1);
    bpi_config_unref(parsed(text));
}

/* ---- reload ---- */

static bool can_reload(const char *before, const char *after, char *why, size_t why_size)
{
    struct bpi_config *old = parsed(before);
    struct bpi_config *next = parsed(after);
    bool can = bpi_config_can_reload(old, next, why, why_size);
    bpi_config_unref(old);
    bpi_config_unref(next);
    return can;
}

static void what_needs_a_restart_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *after, *word; /* NULL: may be reloaded */
    } cases[] = {
        {CLUSTER, NULL},
        {CLUSTER "max_links = 99\nqueue_timeout = 1s\nmax_bolt_version = 5.0\n", NULL},
        {CLUSTER "tls_cert_file = x\ntls_key_file = y\ntls_mode = required\n", NULL},
        {CLUSTER "[class analytics]\nmax = 1\n[rule r]\nclass = analytics\n", NULL},
        {CLUSTER "[boltpool]\nlog_level = debug\nlearn_classes = yes\n", NULL},
        {CLUSTER "tenant_by = claim\nmax_connects = 1\nlink_keep_alive = 1s\n", NULL},
        {CLUSTER "[class analytics]\nmin = 10%\nshare = 1\n[users]\nmax_priority = low\n"
                 "[user x]\nclasses =\n[operation o]\nclass = analytics\n",
         NULL},
        {"[boltpool]\nloops = 4\n" CLUSTER, "loops"},
        {"[cluster b]\nendpoints = bolt://h\n", "renaming or reordering"},
        {CLUSTER "[cluster b]\nendpoints = bolt://h\nlisten = h:1\n", "adding or removing"},
        {"[cluster a]\nendpoints = bolt://h:7687\n", "endpoints"},
        {CLUSTER "listen = 127.0.0.1:1\n", "listen"},
        {CLUSTER "endpoint_tls_ca_file = x\n", "endpoint_tls_ca_file"},
        {CLUSTER "service_user = x\n", "service_user"},
        {CLUSTER "service_password = x\n", "service_password"},
        {CLUSTER "auth_type = file\nauth_file = x\nservice_user = x\nservice_password = x\n",
         "auth_type"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[256] = "";
        bool can = can_reload(CLUSTER, cases[i].after, why, sizeof(why));
        assert_int_equal(can, cases[i].word == NULL);
        if (!can && strstr(why, cases[i].word) == NULL) {
            fail_msg("\"%s\" doesn't say \"%s\"", why, cases[i].word);
        }
    }
    char why[256] = "";
    assert_false(
        can_reload("[cluster a]\nendpoints=bolt://h\n[cluster b]\nendpoints=bolt://h\nlisten=h:1\n",
                   "[cluster b]\nendpoints=bolt://h\nlisten=h:1\n[cluster a]\nendpoints=bolt://h\n",
                   why, sizeof(why)));
}

static void a_config_lives_until_its_last_reference_goes(void **state)
{
    (void)state;
    struct bpi_config *config = parsed(CLUSTER "[rule r]\nquery = a\nclass = analytics\n");
    assert_ptr_equal(bpi_config_ref(config), config);
    bpi_config_unref(config);
    assert_string_equal(config->clusters[0].name, "a");
    bpi_config_unref(config);
    bpi_config_unref(NULL);
}

/* ---- files ---- */

static char file_name[] = "/tmp/boltpool-test-config-XXXXXX";

static int file_make(void **state)
{
    (void)state;
    memset(file_name + strlen(file_name) - 6, 'X', 6);
    int descriptor = mkstemp(file_name);
    return descriptor < 0 ? -1 : close(descriptor);
}

static int file_remove(void **state)
{
    (void)state;
    return unlink(file_name);
}

static void file_write(const void *data, size_t size)
{
    FILE *file = fopen(file_name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void file_refused(const void *data, size_t size, const char *word)
{
    struct bpi_config *config = NULL;
    char why[1024] = "";
    file_write(data, size);
    assert_int_equal(bpi_config_read(file_name, &config, why, sizeof(why)), BP_E_CONFIG);
    assert_null(config);
    if (strncmp(why, file_name, strlen(file_name)) != 0 || strstr(why, word) == NULL) {
        fail_msg("\"%s\" doesn't say \"%s\"", why, word);
    }
}

static void a_file_is_read_and_its_password_file_too(void **state)
{
    (void)state;
    struct bpi_config *config = NULL;
    char why[1024] = "";
    char text[512];
    file_write(CLUSTER, strlen(CLUSTER));
    assert_int_equal(bpi_config_read(file_name, &config, why, sizeof(why)), 0);
    assert_string_equal(config->file, file_name);
    bpi_config_unref(config);

    file_write("s3cret \r\nsecond line", 20);
    snprintf(text, sizeof(text), CLUSTER "service_password_file = %s\n", file_name);
    config = parsed(text);
    assert_string_equal(config->clusters[0].service_password, "s3cret ");
    bpi_config_unref(config);

    char password[600];
    memset(password, 'p', sizeof(password));
    file_write(password, sizeof(password));
    refused(text, "t.ini:1: ", "too long");
}

static void a_file_that_is_none_is_refused(void **state)
{
    (void)state;
    struct bpi_config *config = NULL;
    char why[1024] = "";
    assert_int_equal(bpi_config_read("/nowhere/x.ini", &config, why, sizeof(why)), BP_E_CONFIG);
    assert_non_null(strstr(why, "o such file"));
    assert_int_equal(bpi_config_read("/", &config, why, sizeof(why)), BP_E_CONFIG);
    char *name = malloc(4000);
    memset(name, 'n', 3999);
    name[3999] = '\0';
    assert_int_equal(bpi_config_read(name, &config, why, sizeof(why)), BP_E_CONFIG);
    assert_int_equal(bpi_config_parse(name, CLUSTER, &config, why, sizeof(why)), BP_E_CONFIG);
    free(name);
    /* A message buffer that is too small is cut, not overrun. */
    char small[8];
    assert_int_equal(bpi_config_parse("t.ini", "x", &config, small, sizeof(small)), BP_E_CONFIG);
    assert_string_equal(small, "t.ini:1");
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
    size_t size = (size_t)3 << 20;
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, '\n', size);
    file_refused(data, size, "at most 1 MiB");
    file_refused(data, 1 << 20, "no [cluster NAME]");
    file_refused("[cluster a]\0endpoints = bolt://h\n", 33, "no text file");
    file_refused("\x7f"
                 "ELF\x02\x01\x01",
                 7, "control character");
    file_refused("[cluster a]\nendpoints = bolt://h\nlisten = \x1b[2J\n", 47, ":3: a control");
    for (unsigned i = 0; i < 4096; i++) {
        data[i] = (char)(i * 7 + 13);
    }
    file_refused(data, 4096, "no text file");
    memset(data, 'x', 1 << 20);
    file_refused(data, 1 << 20, ":1: the line is longer than 8192 bytes");
    memset(data, '[', 9000);
    data[8192] = '\n';
    file_refused(data, 8193, ":1: a section");
    memset(data, '=', 8192);
    file_refused(data, 8192, ":1: neither");
    free(data);
}

static void ten_thousand_sections_are_refused_quickly(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {
        {"cluster", ":65: more than 64 clusters"},
        {"rule", ":257: more than 256 rules"},
        {"user", ":257: more than 256 [user NAME]"},
        {"operation", ":57: more than 64 operations"},
    };
    for (int kind = 0; kind < 4; kind++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        for (int i = 0; i < 10000; i++) {
            fprintf(out, "[%s n%d]\n", kinds[kind][0], i);
        }
        fclose(out);
        file_refused(text, size, kinds[kind][1]);
        free(text);
    }
    /* The same one ten thousand times is one. */
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (int i = 0; i < 10000; i++) {
        fprintf(out, "[cluster a]\nendpoints=bolt://h\n");
    }
    fclose(out);
    struct bpi_config *config = parsed(text);
    assert_int_equal(config->clusters_count, 1);
    bpi_config_unref(config);
    free(text);
}

static void every_beginning_of_a_file_is_read_or_refused(void **state)
{
    (void)state;
    static const char whole[] =
        "[boltpool]\nloops = 2\n" CLUSTER "service_password = x ; y\n[class analytics]\nmax = 3\n"
        "[users]\nclasses = read_only, analytics\n[user n*]\nmax_priority = high\n"
        "[operation o]\nclass = analytics\n"
        "[rule r]\nquery = (a|b)\nclass = analytics\n";
    for (size_t i = 0; i < sizeof(whole); i++) {
        char text[sizeof(whole)];
        char why[1024] = "";
        struct bpi_config *config = NULL;
        memcpy(text, whole, i);
        text[i] = '\0';
        int error = bpi_config_parse("t.ini", text, &config, why, sizeof(why));
        assert_true(error == 0 ? config != NULL : config == NULL && why[0] != '\0');
        bpi_config_unref(config);
        if (i < sizeof(whole) - 1) {
            memcpy(text, whole, sizeof(whole));
            text[i] = (char)0xff;
            config = NULL;
            error = bpi_config_parse("t.ini", text, &config, why, sizeof(why));
            assert_true(error == 0 ? config != NULL : config == NULL);
            bpi_config_unref(config);
        }
    }
}

int main(void)
{
#define WITH_FILE(name) cmocka_unit_test_setup_teardown(name, file_make, file_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_its_default),
        cmocka_unit_test(each_class_has_its_own_defaults),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(bounds_are_kept_and_errors_name_the_line),
        cmocka_unit_test(the_reference_prints_every_option),
        cmocka_unit_test(clusters_get_the_defaults_of_boltpool_wherever_it_stands),
        cmocka_unit_test(a_section_may_stand_twice_and_the_last_value_holds),
        cmocka_unit_test(wrong_sections_and_names_are_told_with_their_line),
        cmocka_unit_test(blanks_comments_and_line_ends_are_as_in_other_ini_files),
        cmocka_unit_test(endpoints_are_a_list),
        cmocka_unit_test(a_list_has_one_writer_and_equal_servers_have_none),
        cmocka_unit_test(port_0_takes_a_free_one_for_as_many_clusters_as_there_are),
        cmocka_unit_test(wrong_addresses_are_told_with_their_line),
        cmocka_unit_test(as_many_endpoints_as_there_may_be_and_no_more),
        cmocka_unit_test(rules_keep_their_order_and_compile_their_expression),
        cmocka_unit_test(wrong_rules_are_told_with_their_line),
        cmocka_unit_test(what_needs_a_restart_is_told),
        cmocka_unit_test(a_config_lives_until_its_last_reference_goes),
        WITH_FILE(a_file_is_read_and_its_password_file_too),
        WITH_FILE(a_file_that_is_none_is_refused),
        WITH_FILE(hostile_files_are_refused),
        WITH_FILE(ten_thousand_sections_are_refused_quickly),
        cmocka_unit_test(every_beginning_of_a_file_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
