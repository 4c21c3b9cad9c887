/* Shows that events come out as they went in, and that the oldest are lost when nobody drains. */
#include "route/event.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void events_come_in_order(void **state)
{
    (void)state;
    static struct bpi_route_events events;
    struct bpi_route_event event = {0};
    assert_false(bpi_route_events_pop(&events, &event));
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 3; i++) {
            event.endpoint = 3 * round + i;
            bpi_route_events_push(&events, &event);
        }
        for (unsigned i = 0; i < 3; i++) {
            assert_true(bpi_route_events_pop(&events, &event));
            assert_int_equal(event.endpoint, 3 * round + i);
        }
        assert_false(bpi_route_events_pop(&events, &event));
    }
    assert_int_equal(events.lost_total, 0);
}

static void the_oldest_are_lost_and_counted(void **state)
{
    (void)state;
    static struct bpi_route_events events;
    struct bpi_route_event event = {0};
    for (unsigned i = 0; i < BPI_ROUTE_EVENTS + 10; i++) {
        event.endpoint = i;
        bpi_route_events_push(&events, &event);
    }
    assert_int_equal(events.lost_total, 10);
    for (unsigned i = 10; i < BPI_ROUTE_EVENTS + 10; i++) {
        assert_true(bpi_route_events_pop(&events, &event));
        assert_int_equal(event.endpoint, i);
    }
    assert_false(bpi_route_events_pop(&events, &event));
}

static void each_kind_and_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i <= BPI_ROUTE_EVENT_CIRCUIT_CLOSED; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(bpi_route_event_name((enum bpi_route_event_kind)i),
                                    bpi_route_event_name((enum bpi_route_event_kind)j));
    }
    for (int i = 0; i <= BPI_ROUTE_REASON_ORDERED; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(bpi_route_reason_name((enum bpi_route_reason)i),
                                    bpi_route_reason_name((enum bpi_route_reason)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order),
        cmocka_unit_test(the_oldest_are_lost_and_counted),
        cmocka_unit_test(each_kind_and_reason_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
