/* Shows that the argument of a stream becomes the entry that it describes, and that a wrong one is refused by the
 * pair that is wrong.
 */
#include "cli/bench_workload.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool same(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void a_stream_is_what_its_pairs_say(void **state)
{
    (void)state;
    static struct bpi_bench_workload workload;
    char why[128];
    assert_int_equal(bpi_bench_workload_stream(
                         &workload,
                         "rate=12.5,clients=7,mode=r,explicit=1,retry=1,operation=graph_traversal,"
                         "priority=high,tenant=t1,deadline=500ms,service=exp:10ms,burst=4:10:20,"
                         "burst=0:30:40.5",
                         why, sizeof(why)),
                     0);
    assert_int_equal(bpi_bench_workload_stream(
                         &workload, "name=x,rate=1,good=20ms,query=RETURN 1, 2", why, sizeof(why)),
                     0);
    assert_int_equal(workload.entry_count, 2);
    const struct bpi_load_entry *entry = &workload.entries[0];
    assert_string_equal(entry->name, "graph_traversal");
    assert_string_equal(entry->query, "RETURN 1 /* sim: service=exp:10ms */");
    assert_true(same(entry->rate, 12.5));
    assert_int_equal(entry->client_count, 7);
    assert_true(entry->mode_read && entry->is_explicit && entry->retry);
    assert_int_equal(entry->good_us, 500000); /* the deadline, where nothing else is said */
    assert_int_equal(entry->metadata_count, 4);
    assert_string_equal(entry->metadata[0].key, "boltpool_operation");
    assert_string_equal(entry->metadata[3].key, "boltpool_deadline_ms");
    assert_null(entry->metadata[3].value);
    assert_int_equal(entry->metadata[3].number, 500);
    assert_int_equal(entry->burst_count, 2);
    assert_true(same(entry->bursts[0].factor, 4) && same(entry->bursts[1].to_s, 40.5));
    entry = &workload.entries[1];
    assert_string_equal(entry->name, "x");
    assert_string_equal(entry->query, "RETURN 1, 2");
    assert_int_equal(entry->good_us, 20000);
    assert_int_equal(entry->client_count, 100);
    assert_int_equal(entry->metadata_count, 0);
    assert_false(entry->mode_read || entry->is_explicit || entry->retry);
    bpi_bench_workload_done(&workload);
}

static void wrong_pairs_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *named;
    } wrong[] = {
        {"", "rate "},
        {"mode=r", "rate "},
        {"rate=0", "rate "},
        {"rate=5,", NULL},
        {"rate=5,speed=3", "speed "},
        {"rate=5,mode=x", "mode "},
        {"rate=5,deadline=5", "deadline "},
        {"rate=5,good=0ms", "good "},
        {"rate=5,clients=0", "clients "},
        {"rate=5,explicit=yes", "explicit "},
        {"rate=5,burst=2:5:5", "burst "},
        {"rate=5,burst=2:5", "burst "},
        {"rate=5,service=exp:5ms */", "service "},
        {"rate=5,oops", "oops "},
        {"rate=5,app=", "app "},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        static struct bpi_bench_workload workload;
        char why[128] = "";
        int error = bpi_bench_workload_stream(&workload, wrong[i].text, why, sizeof(why));
        if (wrong[i].named == NULL) {
            assert_int_equal(error, 0);
        } else {
            assert_true(error != 0);
            assert_memory_equal(why, wrong[i].named, strlen(wrong[i].named));
            assert_int_equal(workload.entry_count, 0);
        }
        bpi_bench_workload_done(&workload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_what_its_pairs_say),
        cmocka_unit_test(wrong_pairs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
