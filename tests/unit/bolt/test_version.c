/* Shows which versions exist for us, and that sets of them behave as sets. */
#include "bolt/version.h"

#include "tests/unit/bolt/bytes.h"

static const bpi_bolt_version versions[] = {
    BPI_BOLT(4, 1), BPI_BOLT(4, 2), BPI_BOLT(4, 3), BPI_BOLT(4, 4), BPI_BOLT(5, 0),
    BPI_BOLT(5, 1), BPI_BOLT(5, 2), BPI_BOLT(5, 3), BPI_BOLT(5, 4), BPI_BOLT(5, 6),
    BPI_BOLT(5, 7), BPI_BOLT(5, 8), BPI_BOLT(6, 0), BPI_BOLT(6, 1),
};

static void each_version_is_one_bit_from_oldest_to_newest(void **state)
{
    (void)state;
    bpi_bolt_versions all = 0;
    for (size_t i = 0; i < COUNT(versions); i++) {
        bpi_bolt_versions one = bpi_bolt_versions_of(versions[i]);
        assert_int_equal(one, (bpi_bolt_versions)1 << i);
        assert_int_equal(bpi_bolt_versions_newest(one), versions[i]);
        assert_int_equal(bpi_bolt_versions_oldest(one), versions[i]);
        all |= one;
    }
    assert_int_equal(all, bpi_bolt_versions_all());
    assert_int_equal(bpi_bolt_versions_newest(all), BPI_BOLT_NEWEST);
    assert_int_equal(bpi_bolt_versions_oldest(all), BPI_BOLT(4, 1));
    assert_int_equal(bpi_bolt_versions_newest(0), 0);
    assert_int_equal(bpi_bolt_versions_oldest(0), 0);
}

static void versions_that_nobody_speaks_are_the_empty_set(void **state)
{
    (void)state;
    assert_int_equal(bpi_bolt_versions_of(BPI_BOLT(5, 5)), 0);
    assert_int_equal(bpi_bolt_versions_of(BPI_BOLT(4, 0)), 0);
    assert_int_equal(bpi_bolt_versions_of(BPI_BOLT(3, 0)), 0);
    assert_int_equal(bpi_bolt_versions_of(0), 0);
    bpi_bolt_versions range = bpi_bolt_versions_range(BPI_BOLT(5, 4), BPI_BOLT(5, 6));
    assert_int_equal(range,
                     bpi_bolt_versions_of(BPI_BOLT(5, 4)) | bpi_bolt_versions_of(BPI_BOLT(5, 6)));
    assert_int_equal(bpi_bolt_versions_range(BPI_BOLT(5, 8), BPI_BOLT(5, 6)), 0);
}

static void names_are_read_as_they_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(versions); i++) {
        char name[8];
        bpi_bolt_version parsed = 0;
        bpi_bolt_version_format(versions[i], name, sizeof(name));
        assert_true(bpi_bolt_version_parse(name, &parsed));
        assert_int_equal(parsed, versions[i]);
    }
    static const char *const wrong[] = {"", "5", "5.", "5.5", "4.0", "5.80", " 5.8", "5.8 ", "x"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        bpi_bolt_version parsed = 77;
        assert_false(bpi_bolt_version_parse(wrong[i], &parsed));
        assert_int_equal(parsed, 77);
    }
}

static void links_use_the_newest_of_their_group_that_is_spoken(void **state)
{
    (void)state;
    bpi_bolt_versions all = bpi_bolt_versions_all();
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(4, 1), all), BPI_BOLT(4, 2));
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(5, 2), all), BPI_BOLT(5, 4));
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(5, 1), all), BPI_BOLT(5, 1));
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(5, 7), all), BPI_BOLT(5, 7));
    bpi_bolt_versions old = bpi_bolt_versions_range(BPI_BOLT(5, 0), BPI_BOLT(5, 3));
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(5, 2), old), BPI_BOLT(5, 3));
    assert_int_equal(bpi_bolt_version_link(BPI_BOLT(4, 4), 0), BPI_BOLT(4, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_is_one_bit_from_oldest_to_newest),
        cmocka_unit_test(versions_that_nobody_speaks_are_the_empty_set),
        cmocka_unit_test(names_are_read_as_they_are_written),
        cmocka_unit_test(links_use_the_newest_of_their_group_that_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
