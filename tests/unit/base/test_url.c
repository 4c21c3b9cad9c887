/* Shows that addresses are read as the drivers' URI schemes say, and that what is wrong is named. */
#include "base/url.h"

#include <boltpool/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bpi_url parsed(const char *text)
{
    struct bpi_url url;
    char why[256] = "";
    if (bpi_url_parse(text, &url, why, sizeof(why)) != 0) {
        fail_msg("%s: %s", text, why);
    }
    return url;
}

static void schemes_decide_tls_checking_and_routing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tls, verify, routing;
    } cases[] = {
        {"bolt://h", false, false, false},    {"bolt+s://h", true, true, false},
        {"bolt+ssc://h", true, false, false}, {"neo4j://h", false, false, true},
        {"neo4j+s://h", true, true, true},    {"neo4j+ssc://h", true, false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_url url = parsed(cases[i].text);
        assert_int_equal(url.tls, cases[i].tls);
        assert_int_equal(url.tls_verify, cases[i].verify);
        assert_int_equal(url.routing, cases[i].routing);
        assert_int_equal(url.port, 7687);
        assert_string_equal(url.host, "h");
        assert_memory_equal(url.scheme, cases[i].text, strlen(url.scheme));
        assert_string_equal(url.user, "");
    }
}

static void the_login_is_cut_off_and_decoded(void **state)
{
    (void)state;
    struct bpi_url url = parsed("bolt://neo4j:a%3Ab%40c%2fd@db.example.org:7700/");
    assert_string_equal(url.user, "neo4j");
    assert_string_equal(url.password, "a:b@c/d");
    assert_string_equal(url.host, "db.example.org");
    assert_int_equal(url.port, 7700);
    url = parsed("bolt://only@h:1");
    assert_string_equal(url.user, "only");
    assert_string_equal(url.password, "");
    url = parsed("bolt://u:p@ss:w@h:65535");
    assert_string_equal(url.password, "p@ss:w");
    assert_int_equal(url.port, 65535);
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    struct bpi_url url = parsed("neo4j://u:p@[2001:db8::1]:9000");
    assert_string_equal(url.host, "2001:db8::1");
    assert_int_equal(url.port, 9000);
    url = parsed("bolt://[::1]");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7687);
}

static void what_is_wrong_is_named_and_the_result_untouched(void **state)
{
    (void)state;
    char long_host[400] = "bolt://";
    memset(long_host + 7, 'a', 300);
    char long_user[400] = "bolt://";
    memset(long_user + 7, 'u', 128);
    strncpy(long_user + 135, "@h", 3);
    const struct {
        const char *text, *word;
    } cases[] = {
        {"", "begin with"},
        {"host:7687", "begin with"},
        {"http://h", "begin with"},
        {"BOLT://h", "begin with"},
        {"bolt://", "host is missing"},
        {"bolt://:7687", "host is missing"},
        {"bolt://[]:1", "host is missing"},
        {"bolt://[::1", "no ]"},
        {"bolt://[::1]7", "behind a colon"},
        {"bolt://::1", "more than one colon"},
        {"bolt://h:", "port is missing"},
        {"bolt://h:x", "port is not a number"},
        {"bolt://h:65536", "above 65535"},
        {"bolt://h:0", "port is 0"},
        {"bolt://h:11111111111111111111", "port is too long"},
        {"bolt://@h", "user is missing"},
        {"bolt://:p@h", "user is missing"},
        {"bolt://u:%4@h", "password holds a %"},
        {"bolt://u%:p@h", "user holds a %"},
        {"bolt://u:%00@h", "zero byte"},
        {"bolt://a b", "no host has"},
        {"bolt://h/db", "path or a query"},
        {"neo4j://h?policy=x", "path or a query"},
        {long_host, "host is too long"},
        {long_user, "user is too long"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpi_url url = {.port = 1};
        char why[256] = "";
        assert_int_equal(bpi_url_parse(cases[i].text, &url, why, sizeof(why)), BP_E_CONFIG);
        if (strstr(why, cases[i].word) == NULL) {
            fail_msg("%s: \"%s\" doesn't say \"%s\"", cases[i].text, why, cases[i].word);
        }
        assert_int_equal(url.port, 1);
        assert_string_equal(url.host, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_decide_tls_checking_and_routing),
        cmocka_unit_test(the_login_is_cut_off_and_decoded),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(what_is_wrong_is_named_and_the_result_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
