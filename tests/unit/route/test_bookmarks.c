/* Shows that an issuer is found as long as it may be, and that what goes is what was used least recently: a plain list
 * of the same keys says which. */
#include "base/random.h"
#include "route/bookmarks.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct bpi_route_bookmarks bookmarks;

static int setup(void **state)
{
    (void)state;
    memset(&bookmarks, 0, sizeof(bookmarks));
    return 0;
}

static bool find(uint64_t key, unsigned *ret_endpoint)
{
    uint32_t generation;
    return bpi_route_bookmarks_find(&bookmarks, key, ret_endpoint, &generation);
}

static void the_issuer_is_found_and_may_change(void **state)
{
    (void)state;
    unsigned endpoint;
    uint32_t generation;
    assert_false(find(0, &endpoint));
    bpi_route_bookmarks_put(&bookmarks, 0, 3, 9);
    bpi_route_bookmarks_put(&bookmarks, UINT64_MAX, 63, 1);
    assert_true(bpi_route_bookmarks_find(&bookmarks, 0, &endpoint, &generation));
    assert_int_equal(endpoint, 3);
    assert_int_equal(generation, 9);
    assert_true(find(UINT64_MAX, &endpoint));
    assert_int_equal(endpoint, 63);
    bpi_route_bookmarks_put(&bookmarks, 0, 4, 10);
    assert_true(find(0, &endpoint));
    assert_int_equal(endpoint, 4);
    assert_int_equal(bookmarks.count, 2);
    assert_false(find(1, &endpoint));
}

static void the_least_recently_used_goes(void **state)
{
    (void)state;
    unsigned endpoint;
    for (uint64_t key = 0; key < BPI_ROUTE_BOOKMARKS; key++)
        bpi_route_bookmarks_put(&bookmarks, key, (unsigned)(key % 3), 1);
    /* The first half is shown again, so the second goes. */
    for (uint64_t key = 0; key < BPI_ROUTE_BOOKMARKS / 2; key++)
        assert_true(find(key, &endpoint));
    for (uint64_t key = 0; key < BPI_ROUTE_BOOKMARKS / 2; key++)
        bpi_route_bookmarks_put(&bookmarks, BPI_ROUTE_BOOKMARKS + key, 5, 1);
    for (uint64_t key = 0; key < BPI_ROUTE_BOOKMARKS / 2; key++) {
        assert_true(find(key, &endpoint));
        assert_int_equal(endpoint, key % 3);
        assert_false(find(BPI_ROUTE_BOOKMARKS / 2 + key, &endpoint));
        assert_true(find(BPI_ROUTE_BOOKMARKS + key, &endpoint));
    }
    assert_int_equal(bookmarks.count, BPI_ROUTE_BOOKMARKS);
}

/* Keys from a small range come again and again; stamps say when each was used. */
static void any_history_keeps_the_newest(void **state)
{
    (void)state;
    enum { KEYS = 3 * BPI_ROUTE_BOOKMARKS };
    static uint64_t stamps[KEYS];
    static unsigned issuers[KEYS];
    struct bpi_random random;
    bpi_random_init(&random, 31);
    memset(stamps, 0, sizeof(stamps));
    for (uint64_t step = 1; step <= 200000; step++) {
        uint64_t key = bpi_random_below(&random, KEYS);
        unsigned endpoint;
        if (bpi_random_below(&random, 2) == 0) {
            issuers[key] = (unsigned)bpi_random_below(&random, 64);
            bpi_route_bookmarks_put(&bookmarks, key * UINT64_C(0x10000000001), issuers[key], 1);
            stamps[key] = step;
        } else if (find(key * UINT64_C(0x10000000001), &endpoint)) {
            assert_int_equal(endpoint, issuers[key]);
            stamps[key] = step;
        } else if (stamps[key] != 0) {
            /* It was forgotten rightly: so many others were used since. */
            unsigned newer = 0;
            for (unsigned i = 0; i < KEYS; i++)
                newer += stamps[i] > stamps[key] ? 1 : 0;
            assert_true(newer >= BPI_ROUTE_BOOKMARKS);
            stamps[key] = 0;
        }
    }
    assert_int_equal(bookmarks.count, BPI_ROUTE_BOOKMARKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_issuer_is_found_and_may_change, setup),
        cmocka_unit_test_setup(the_least_recently_used_goes, setup),
        cmocka_unit_test_setup(any_history_keeps_the_newest, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
