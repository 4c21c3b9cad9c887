/* Shows which of its sources decides what an operation is: rules, then what the client may claim, then the class
 * and the access mode; for every operation, priority and cap. And that metadata of whatever form does no
 * harm: it is read as if what makes no sense weren't there.
 */
#include "proxy/classify.h"

#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLUSTER "[cluster a]\nendpoints = bolt://h\n"
#define S       BP_USEC_PER_SECOND

/* What one case is about; `config` lives until the next one. */
static struct bpi_config *config;
static struct bpi_buffer metadata;
static struct bpi_pack_writer writer;
static struct bpi_operation operation;

static void configure(const char *sections)
{
    char text[4096];
    char why[512] = "";
    bpi_config_unref(config);
    config = NULL;
    snprintf(text, sizeof(text), CLUSTER "%s", sections);
    if (bpi_config_parse("t.ini", text, &config, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
}

/* A write of neo4j's without a query, by a driver that calls itself test/1; without metadata. */
static void operation_begin(void)
{
    bpi_buffer_done(&metadata);
    operation = (struct bpi_operation){.user = "neo4j", .application = "test/1"};
}

/* Metadata of `pairs` pairs, which the caller writes next. */
static void metadata_begin(uint32_t pairs)
{
    operation_begin();
    bpi_pack_writer_init(&writer, &metadata);
    bpi_pack_map(&writer, pairs);
}

static struct bpi_classified classified(void)
{
    assert_int_equal(writer.status, 0);
    operation.tx.metadata =
        (struct bpi_bolt_span){bpi_buffer_size(&metadata) == 0 ? NULL : bpi_buffer_head(&metadata),
                               bpi_buffer_size(&metadata)};
    return bpi_classify(config, &operation);
}

/* "key=value key=value" */
static void claim(const char *pairs)
{
    char copy[1024];
    char *rest = copy;
    char *word;
    uint32_t count = 0;
    snprintf(copy, sizeof(copy), "%s", pairs);
    for (const char *at = pairs; (at = strchr(at, '=')) != NULL; at++) {
        count++;
    }
    metadata_begin(count);
    while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
        char *equals = strchr(word, '=');
        *equals = '\0';
        bpi_pack_text(&writer, word);
        bpi_pack_text(&writer, equals + 1);
    }
}

static void tenant_is(struct bpi_classified is, const char *tenant)
{
    if (tenant == NULL) {
        assert_null(is.tenant.data);
    } else {
        assert_int_equal(is.tenant.size, strlen(tenant));
        assert_memory_equal(is.tenant.data, tenant, is.tenant.size);
    }
}

/* ---- nothing is said ---- */

static void the_access_mode_decides_where_nothing_is_said(void **state)
{
    (void)state;
    configure("");
    for (int read = 0; read < 2; read++) {
        operation_begin();
        operation.tx.mode_read = read != 0;
        struct bpi_classified is = classified();
        assert_int_equal(is.class_, read ? BPI_CLASS_READ_ONLY : BPI_CLASS_READ_WRITE);
        assert_string_equal(is.name, read ? "read_only" : "read_write");
        assert_int_equal(is.priority, BPI_PRIORITY_NORMAL);
        assert_int_equal(is.deadline_us, 0);
        assert_int_equal(is.lowered + is.bad, 0);
        tenant_is(is, NULL);
    }
}

static void only_transactions_that_drivers_retry_are_sheddable(void **state)
{
    (void)state;
    static const char *const rules[] = {"", "[rule r]\nshed = yes\n", "[rule r]\nshed = no\n"};
    for (int i = 0; i < 3; i++) {
        configure(rules[i]);
        for (int begin = 0; begin < 2; begin++) {
            operation_begin();
            operation.is_explicit = begin != 0;
            assert_int_equal(classified().sheddable, i == 0 ? begin : i == 1);
        }
    }
}

static void a_learnt_query_is_analytics_where_nothing_else_is_said(void **state)
{
    (void)state;
    configure("[user reporter]\nmax_priority = high\n[rule r]\ndatabase = x\nclass = maintenance\n"
              "[class analytics]\ndeadline = 7s\n");
    operation_begin();
    operation.is_slow = true;
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_ANALYTICS);
    assert_string_equal(is.name, "analytics");
    assert_int_equal(is.deadline_us, 7 * S);
    operation.tx.db = (struct bpi_bolt_text){"x", 1};
    assert_int_equal(classified().class_, BPI_CLASS_MAINTENANCE);
    claim("boltpool_operation=read_only");
    operation.is_slow = true;
    assert_int_equal(classified().class_, BPI_CLASS_READ_ONLY);
    claim("boltpool_priority=high");
    operation.is_slow = true;
    assert_int_equal(classified().class_, BPI_CLASS_ANALYTICS); /* it isn't granted */
    operation.user = "reporter";
    assert_int_equal(classified().class_, BPI_CLASS_READ_WRITE);
}

/* ---- what clients claim ---- */

static const struct {
    const char *name;
    enum bpi_class class_, high_class;
} works[] = {
    {"inheritance_chain_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
    {"property_resolution_read", BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
    {"concept_creation", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
    {"concept_update", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
    {"bulk_analytics", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
    {"graph_traversal", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
    {"maintenance_operation", BPI_CLASS_MAINTENANCE, BPI_CLASS_MAINTENANCE},
    {"critical_operation", BPI_CLASS_HIGH_PRIORITY, BPI_CLASS_HIGH_PRIORITY},
    /* Classes are what they are, whatever the priority. */
    {"read_only", BPI_CLASS_READ_ONLY, BPI_CLASS_READ_ONLY},
    {"read_write", BPI_CLASS_READ_WRITE, BPI_CLASS_READ_WRITE},
    {"analytics", BPI_CLASS_ANALYTICS, BPI_CLASS_ANALYTICS},
    {"maintenance", BPI_CLASS_MAINTENANCE, BPI_CLASS_MAINTENANCE},
    {"high_priority", BPI_CLASS_HIGH_PRIORITY, BPI_CLASS_HIGH_PRIORITY},
    /* One's own. */
    {"lookup", BPI_CLASS_READ_ONLY, BPI_CLASS_MAINTENANCE},
    /* Nothing. */
    {NULL, BPI_CLASS_READ_ONLY, BPI_CLASS_HIGH_PRIORITY},
};

#define WORKS_COUNT (sizeof(works) / sizeof(works[0]))

/* One operation claimed at one priority by a user with one cap and leave for `classes`. */
static void one_claim(size_t work, int priority, int cap, unsigned classes, bool read)
{
    char pairs[256] = "";
    snprintf(pairs, sizeof(pairs), "%s%s%s%s%s",
             works[work].name == NULL ? "" : "boltpool_operation=",
             works[work].name == NULL ? "" : works[work].name,
             works[work].name != NULL && priority >= 0 ? " " : "",
             priority >= 0 ? "boltpool_priority=" : "",
             priority >= 0 ? bpi_priority_name((enum bpi_priority)priority) : "");
    claim(pairs);
    operation.tx.mode_read = read;
    struct bpi_classified is = classified();
    int claimed = priority < 0 ? BPI_PRIORITY_NORMAL : priority;
    int granted = claimed < cap ? claimed : cap;
    bool is_high = granted >= BPI_PRIORITY_HIGH;
    unsigned lowered = priority > cap ? 1 : 0;
    enum bpi_class expected =
        read ? (is_high ? BPI_CLASS_HIGH_PRIORITY : BPI_CLASS_READ_ONLY) : BPI_CLASS_READ_WRITE;
    if (works[work].name != NULL && (classes & 1u << works[work].class_) != 0) {
        expected = is_high ? works[work].high_class : works[work].class_;
        assert_string_equal(is.name, works[work].name);
    } else if (works[work].name != NULL) {
        lowered++;
    }
    if ((int)is.priority != granted || is.class_ != expected || is.lowered != lowered ||
        is.bad != 0) {
        fail_msg("\"%s\" (%s) with cap %d and classes %x: %s, %s, %u lowered, %u bad; expected %s, "
                 "%d, %u",
                 pairs, read ? "r" : "w", cap, classes, bpi_class_name(is.class_),
                 bpi_priority_name(is.priority), is.lowered, is.bad, bpi_class_name(expected),
                 granted, lowered);
    }
}

static void every_claim_is_cut_at_every_cap(void **state)
{
    (void)state;
    static const unsigned leaves[] = {0, 0xf, 0x1f, 1 << BPI_CLASS_READ_ONLY,
                                      1 << BPI_CLASS_HIGH_PRIORITY};
    for (int cap = 0; cap < BPI_PRIORITY_COUNT; cap++) {
        configure("[operation lookup]\nclass = read_only\nhigh_class = maintenance\n");
        config->claim.max_priority = (enum bpi_priority)cap;
        config->max_priority_min = (enum bpi_priority)cap;
        for (size_t leave = 0; leave < sizeof(leaves) / sizeof(leaves[0]); leave++) {
            config->claim.classes = leaves[leave];
            for (size_t work = 0; work < WORKS_COUNT; work++) {
                for (int priority = -1; priority < BPI_PRIORITY_COUNT; priority++) {
                    one_claim(work, priority, cap, leaves[leave], true);
                    one_claim(work, priority, cap, leaves[leave], false);
                }
            }
        }
    }
}

static void by_default_nobody_claims_more_than_normal(void **state)
{
    (void)state;
    configure("");
    claim("boltpool_operation=critical_operation boltpool_priority=critical");
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_READ_WRITE);
    assert_int_equal(is.priority, BPI_PRIORITY_NORMAL);
    assert_int_equal(is.lowered, 2);
}

static void a_user_has_its_own_cap(void **state)
{
    (void)state;
    configure("[user boss*]\nmax_priority = critical\nclasses = high_priority\n"
              "[user slow]\nmax_priority = low\n");
    claim("boltpool_operation=high_priority boltpool_priority=critical");
    operation.user = "boss1";
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_HIGH_PRIORITY);
    assert_int_equal(is.priority, BPI_PRIORITY_CRITICAL);
    assert_int_equal(is.lowered, 0);
    operation_begin();
    operation.user = "slow"; /* it needn't claim anything to be low */
    is = classified();
    assert_int_equal(is.priority, BPI_PRIORITY_LOW);
    assert_int_equal(is.lowered, 0);
}

static void put_deadline(int kind)
{
    static const char *const texts[] = {"250", "250.5", "0.5"};
    static const int64_t integers[] = {250, 1, (int64_t)366 * 24 * 3600 * 1000};
    static const double reals[] = {250, 0.25, 0.001};
    metadata_begin(1);
    bpi_pack_text(&writer, "boltpool_deadline_ms");
    if (kind < 3) {
        bpi_pack_int(&writer, integers[kind]);
    } else if (kind < 6) {
        bpi_pack_float(&writer, reals[kind - 3]);
    } else {
        bpi_pack_text(&writer, texts[kind - 6]);
    }
}

static void a_deadline_is_taken_in_the_forms_that_languages_make(void **state)
{
    (void)state;
    static const bp_usec expected[] = {
        250000, 1000, (bp_usec)366 * 24 * 3600 * S, 250000, 250, 1, 250000, 250500, 500};
    configure("[class read_write]\ndeadline = 9s\n");
    for (int kind = 0; kind < 9; kind++) {
        put_deadline(kind);
        struct bpi_classified is = classified();
        assert_int_equal(is.deadline_us, expected[kind]);
        assert_int_equal(is.bad, 0);
    }
    operation_begin();
    assert_int_equal(classified().deadline_us, 9 * S);
}

static void the_tenant_is_what_tenant_by_says(void **state)
{
    (void)state;
    configure("");
    claim("boltpool_tenant=acme app=shop");
    tenant_is(classified(), NULL);
    operation.tenant_by = BPI_TENANT_CLAIM;
    tenant_is(classified(), "acme");
    operation.tenant_by = BPI_TENANT_APPLICATION;
    tenant_is(classified(), "shop");
    operation_begin();
    operation.tenant_by = BPI_TENANT_CLAIM;
    tenant_is(classified(), NULL);
    operation.tenant_by = BPI_TENANT_APPLICATION;
    tenant_is(classified(), "test/1");
}

/* ---- rules ---- */

static void a_rule_is_above_every_claim_and_every_cap(void **state)
{
    (void)state;
    configure("[users]\nmax_priority = low\nclasses =\n"
              "[rule r]\noperation = property_resolution_read\npriority = critical\ndeadline = 3s\n"
              "tenant = ours\n");
    claim("boltpool_operation=maintenance boltpool_priority=high boltpool_deadline_ms=5 "
          "boltpool_tenant=theirs");
    operation.tenant_by = BPI_TENANT_CLAIM;
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_HIGH_PRIORITY);
    assert_string_equal(is.name, "property_resolution_read");
    assert_int_equal(is.priority, BPI_PRIORITY_CRITICAL);
    assert_int_equal(is.deadline_us, 3 * S);
    tenant_is(is, "ours");
    assert_int_equal(is.lowered, 0); /* nothing of it was looked at */
}

static void a_class_beside_an_operation_is_what_counts(void **state)
{
    (void)state;
    configure("[rule r]\noperation = inheritance_chain_read\nclass = analytics\npriority = high\n");
    operation_begin();
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_ANALYTICS);
    assert_string_equal(is.name, "inheritance_chain_read");
}

static void of_the_rules_that_hold_the_first_that_names_a_thing_decides_it(void **state)
{
    (void)state;
    configure("[rule a]\nuser = bob\nclass = maintenance\n"
              "[rule b]\nuser = neo*\npriority = high\n"
              "[rule c]\nclass = analytics\npriority = low\ndeadline = 0\n"
              "[rule d]\nclass = read_only\ntenant = last\ndeadline = 1s\nshed = yes\n"
              "[class analytics]\ndeadline = 4s\n");
    claim("boltpool_deadline_ms=77");
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_ANALYTICS);
    assert_int_equal(is.priority, BPI_PRIORITY_HIGH);
    assert_int_equal(is.deadline_us, 0);
    assert_true(is.sheddable);
    tenant_is(is, "last");
    operation.user = "bob";
    is = classified();
    assert_int_equal(is.class_, BPI_CLASS_MAINTENANCE);
    assert_int_equal(is.priority, BPI_PRIORITY_LOW);
}

static void what_a_rule_leaves_open_the_client_may_say(void **state)
{
    (void)state;
    configure("[rule r]\npriority = high\n");
    claim("boltpool_operation=inheritance_chain_read boltpool_deadline_ms=50");
    struct bpi_classified is = classified();
    assert_int_equal(is.class_, BPI_CLASS_HIGH_PRIORITY); /* which it couldn't have claimed */
    assert_int_equal(is.deadline_us, 50000);
    assert_int_equal(is.lowered, 0);
    operation_begin();
    operation.tx.mode_read = true;
    assert_int_equal(classified().class_, BPI_CLASS_HIGH_PRIORITY);
    operation.tx.mode_read = false;
    assert_int_equal(classified().class_, BPI_CLASS_READ_WRITE);
}

static void each_condition_is_looked_at(void **state)
{
    (void)state;
    static const char *const conditions[] = {
        "user = al*", "database = mov*", "database =",       "application = sh?p",
        "mode = r",   "mode = w",        "query = ^match\\b"};
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        char rule[128];
        snprintf(rule, sizeof(rule), "[rule r]\n%s\nclass = maintenance\n", conditions[i]);
        configure(rule);
        for (int holds = 0; holds < 2; holds++) {
            claim(i == 3 && holds ? "app=shop" : "app=bank");
            operation.user = i == 0 && holds ? "alice" : "neo4j";
            const char *database = i == 1 ? (holds ? "movies" : "neo4j") : (holds ? "" : "neo4j");
            operation.tx.db = (struct bpi_bolt_text){database, strlen(database)};
            operation.tx.mode_read = (i == 4) == (holds != 0);
            const char *query = holds ? "MATCH (n)" : "RETURN 1";
            operation.query = (struct bpi_bolt_text){query, strlen(query)};
            assert_int_equal(classified().class_ == BPI_CLASS_MAINTENANCE, holds);
        }
    }
    /* Without a query no pattern fits, not even one that fits everything. */
    configure("[rule r]\nquery = .*\nclass = maintenance\n");
    operation_begin();
    assert_int_equal(classified().class_, BPI_CLASS_READ_WRITE);
    operation.query = (struct bpi_bolt_text){"", 0};
    assert_int_equal(classified().class_, BPI_CLASS_MAINTENANCE);
}

static void long_texts_are_cut_not_overrun(void **state)
{
    (void)state;
    configure("[rule r]\nquery = tail\nclass = maintenance\n[rule s]\napplication = *y\n"
              "class = analytics\n");
    size_t size = 100000;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    memcpy(text + size - 4, "tail", 4);
    metadata_begin(1);
    bpi_pack_text(&writer, "app");
    bpi_pack_string(&writer, text, size);
    operation.query = (struct bpi_bolt_text){text, size};
    operation.tx.db = (struct bpi_bolt_text){text, size};
    operation.user = "u";
    assert_int_equal(classified().class_, BPI_CLASS_READ_WRITE);
    memcpy(text, "tail", 4);
    assert_int_equal(classified().class_, BPI_CLASS_MAINTENANCE);
    free(text);
}

/* ---- hostile metadata ---- */

enum { KINDS = 16 };

/* A value of no sense for any of our keys. */
static void put_nonsense(int kind)
{
    char longer[300];
    memset(longer, '9', sizeof(longer));
    switch (kind) {
    case 0:
        bpi_pack_bool(&writer, true);
        break;
    case 1:
        bpi_pack_int(&writer, -1);
        break;
    case 2:
        bpi_pack_int(&writer, INT64_MAX);
        break;
    case 3:
        bpi_pack_int(&writer, INT64_MIN);
        break;
    case 4:
        bpi_pack_float(&writer, 0.0 / (double)(kind - 4));
        break;
    case 5:
        bpi_pack_float(&writer, 1e308 * 10);
        break;
    case 6:
        bpi_pack_float(&writer, -5);
        break;
    case 7:
        bpi_pack_float(&writer, 1e18);
        break;
    case 8:
        bpi_pack_bytes(&writer, "250", 3);
        break;
    case 9:
        bpi_pack_list(&writer, 1);
        bpi_pack_int(&writer, 250);
        break;
    case 10:
        bpi_pack_map(&writer, 1);
        bpi_pack_text(&writer, "boltpool_operation");
        bpi_pack_text(&writer, "analytics");
        break;
    case 11:
        bpi_pack_struct(&writer, 0x44, 1);
        bpi_pack_int(&writer, 1);
        break;
    case 12:
        bpi_pack_text(&writer, "");
        break;
    case 13:
        bpi_pack_string(&writer, longer, sizeof(longer));
        break;
    case 14: /* deeper than anybody means */
        for (int i = 0; i < 900; i++) {
            bpi_pack_list(&writer, 1);
        }
        bpi_pack_int(&writer, 1);
        break;
    default:
        bpi_pack_int(&writer, 0);
        break;
    }
}

static void what_makes_no_sense_is_as_if_it_were_not_there(void **state)
{
    (void)state;
    static const char *const keys[] = {"boltpool_operation",
                                       "boltpool_priority",
                                       "boltpool_deadline_ms",
                                       "boltpool_tenant",
                                       "app",
                                       "else"};
    configure("[users]\nmax_priority = critical\nclasses = read_only, high_priority\n"
              "[class read_write]\ndeadline = 2s\n");
    for (size_t key = 0; key < sizeof(keys) / sizeof(keys[0]); key++) {
        for (int kind = 0; kind < KINDS; kind++) {
            metadata_begin(3);
            bpi_pack_text(&writer, "before");
            bpi_pack_text(&writer, "x");
            bpi_pack_text(&writer, keys[key]);
            put_nonsense(kind);
            bpi_pack_text(&writer, "after");
            bpi_pack_null(&writer);
            operation.tenant_by = BPI_TENANT_CLAIM;
            struct bpi_classified is = classified();
            assert_int_equal(is.class_, BPI_CLASS_READ_WRITE);
            assert_int_equal(is.priority, BPI_PRIORITY_NORMAL);
            assert_int_equal(is.deadline_us, 2 * S);
            assert_int_equal(is.lowered, 0);
            tenant_is(is, NULL);
            if (is.bad != (key < 4 ? 1u : 0u)) {
                fail_msg("%s, kind %d: %u bad", keys[key], kind, is.bad);
            }
        }
    }
}

static void a_null_says_nothing(void **state)
{
    (void)state;
    static const char *const keys[] = {"boltpool_operation", "boltpool_priority",
                                       "boltpool_deadline_ms", "boltpool_tenant", "app"};
    configure("");
    metadata_begin(5);
    for (size_t i = 0; i < 5; i++) {
        bpi_pack_text(&writer, keys[i]);
        bpi_pack_null(&writer);
    }
    operation.tenant_by = BPI_TENANT_APPLICATION;
    struct bpi_classified is = classified();
    assert_int_equal(is.bad, 0);
    assert_int_equal(is.class_, BPI_CLASS_READ_WRITE);
    tenant_is(is, "test/1");
}

static void texts_that_are_no_number_are_no_deadline(void **state)
{
    (void)state;
    static const char *const texts[] = {"x",   "1e3",           "0x10",  "-1", "+1", "1 ",
                                        "nan", "inf",           "1.2.3", ".",  "0",  "0.0",
                                        "1s",  "99999999999999"};
    configure("");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        metadata_begin(1);
        bpi_pack_text(&writer, "boltpool_deadline_ms");
        bpi_pack_text(&writer, texts[i]);
        struct bpi_classified is = classified();
        if (is.bad != 1 || is.deadline_us != 0) {
            fail_msg("\"%s\" is taken for %llu us", texts[i], (unsigned long long)is.deadline_us);
        }
    }
}

static void names_that_only_begin_like_ours_are_not_ours(void **state)
{
    (void)state;
    static const char *const claims[] = {
        "boltpool_operation=analytic",  "boltpool_operation=analyticsx",
        "boltpool_operation=ANALYTICS", "boltpool_priority=hi",
        "boltpool_priority=High",       "boltpool_operation=lookup",
    };
    configure("[users]\nmax_priority = critical\n");
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        claim(claims[i]);
        struct bpi_classified is = classified();
        assert_int_equal(is.bad, 1);
        assert_int_equal(is.class_, BPI_CLASS_READ_WRITE);
        assert_int_equal(is.priority, BPI_PRIORITY_NORMAL);
    }
    claim("boltpool_operation2=analytics boltpool_operatio=analytics Boltpool_operation=analytics");
    assert_int_equal(classified().class_, BPI_CLASS_READ_WRITE);
    assert_int_equal(classified().bad, 0);
}

static void a_hundred_thousand_keys_are_walked_once(void **state)
{
    (void)state;
    configure("");
    metadata_begin(100001);
    for (int i = 0; i < 100000; i++) {
        bpi_pack_text(&writer, "boltpool_");
        bpi_pack_int(&writer, i);
    }
    bpi_pack_text(&writer, "boltpool_operation");
    bpi_pack_text(&writer, "analytics");
    assert_int_equal(classified().class_, BPI_CLASS_ANALYTICS);
}

/* Whatever bytes: an answer comes, and reads nothing outside (as the sanitizers see). */
static void broken_metadata_does_no_harm(void **state)
{
    (void)state;
    struct bpi_random random;
    uint64_t seed = 4;
    bpi_random_init(&random, seed);
    configure("[rule r]\napplication = z*\nclass = maintenance\n");
    claim("boltpool_operation=analytics boltpool_priority=low boltpool_deadline_ms=250 "
          "boltpool_tenant=t app=a");
    size_t size = bpi_buffer_size(&metadata);
    uint8_t *whole = malloc(size);
    assert_non_null(whole);
    memcpy(whole, bpi_buffer_head(&metadata), size);
    for (size_t cut = 0; cut <= size; cut++) {
        uint8_t *part = malloc(cut == 0 ? 1 : cut); /* its own, so that its end is watched */
        assert_non_null(part);
        memcpy(part, whole, cut);
        for (int round = 0; round < 20; round++) {
            operation.tx.metadata = (struct bpi_bolt_span){part, cut};
            struct bpi_classified is = bpi_classify(config, &operation);
            assert_true((unsigned)is.class_ < BPI_CLASS_COUNT);
            assert_true((unsigned)is.priority < BPI_PRIORITY_COUNT);
            assert_non_null(is.name);
            if (cut > 0) {
                part[bpi_random_below(&random, cut)] = (uint8_t)bpi_random_next(&random);
            }
        }
        free(part);
    }
    free(whole);
}

static int end(void **state)
{
    (void)state;
    bpi_config_unref(config);
    bpi_buffer_done(&metadata);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_access_mode_decides_where_nothing_is_said),
        cmocka_unit_test(only_transactions_that_drivers_retry_are_sheddable),
        cmocka_unit_test(a_learnt_query_is_analytics_where_nothing_else_is_said),
        cmocka_unit_test(every_claim_is_cut_at_every_cap),
        cmocka_unit_test(by_default_nobody_claims_more_than_normal),
        cmocka_unit_test(a_user_has_its_own_cap),
        cmocka_unit_test(a_deadline_is_taken_in_the_forms_that_languages_make),
        cmocka_unit_test(the_tenant_is_what_tenant_by_says),
        cmocka_unit_test(a_rule_is_above_every_claim_and_every_cap),
        cmocka_unit_test(a_class_beside_an_operation_is_what_counts),
        cmocka_unit_test(of_the_rules_that_hold_the_first_that_names_a_thing_decides_it),
        cmocka_unit_test(what_a_rule_leaves_open_the_client_may_say),
        cmocka_unit_test(each_condition_is_looked_at),
        cmocka_unit_test(long_texts_are_cut_not_overrun),
        cmocka_unit_test(what_makes_no_sense_is_as_if_it_were_not_there),
        cmocka_unit_test(a_null_says_nothing),
        cmocka_unit_test(texts_that_are_no_number_are_no_deadline),
        cmocka_unit_test(names_that_only_begin_like_ours_are_not_ours),
        cmocka_unit_test(a_hundred_thousand_keys_are_walked_once),
        cmocka_unit_test(broken_metadata_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
