/* Shows who may take a transaction by role, bookmark, service and circuit, and by which name it is refused. */
#include "base/random.h"
#include "routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int fit(bool is_write, uint64_t candidates, uint64_t *ret_set)
{
    struct bpi_route_wish wish = {.is_write = is_write, .database = 1};
    return bpi_route_fit(&route, candidates, &wish, now_us, ret_set);
}

static uint64_t fit_set(bool is_write)
{
    uint64_t set = 0;
    assert_int_equal(fit(is_write, ALL, &set), 0);
    return set;
}

static int refusal(bool is_write)
{
    struct bpi_route_wish wish = {.is_write = is_write, .database = 1};
    struct bpi_route_ticket ticket = {.endpoint = 77};
    uint64_t set = 77;
    int error = bpi_route_pick(&route, ALL, &wish, now_us, &ticket);
    assert_int_equal(bpi_route_fit(&route, ALL, &wish, now_us, &set), error);
    assert_true(error != 0 && ticket.endpoint == 77 && set == 77);
    return error;
}

static void service(unsigned endpoint, enum bpi_route_service to)
{
    assert_int_equal(bpi_route_set_service(&route, endpoint, to, now_us), 0);
}

/* The set for a transaction that shows these bookmarks. */
static uint64_t bound(bool is_write, const uint64_t *bookmarks, unsigned count)
{
    struct bpi_route_wish wish = {
        .is_write = is_write, .database = 1, .bookmarks = bookmarks, .bookmarks_count = count};
    uint64_t set = 0;
    int error = bpi_route_fit(&route, ALL, &wish, now_us, &set);
    return error == 0 ? set : 0;
}

static void issue(unsigned endpoint, uint64_t bookmark)
{
    struct bpi_route_wish wish = {.database = 1};
    struct bpi_route_ticket ticket;
    bpi_route_ticket(&route, endpoint, &wish, &ticket);
    bpi_route_issued(&route, &ticket, bookmark);
}

static void table(uint64_t readers, uint64_t writers)
{
    struct bpi_route_table answer = {.database = 1,
                                     .readers = readers,
                                     .writers = writers,
                                     .routers = ALL,
                                     .ttl_us = 300 * BP_USEC_PER_SECOND};
    bpi_route_table_came(&route, &answer, now_us);
}

static void empty_and_unknown_sets_have_names(void **state)
{
    (void)state;
    bpi_route_init(&route, BPI_ROUTE_EQUAL, 1);
    assert_int_equal(refusal(false), BP_E_ENDPOINTS_EMPTY);
    start(BPI_ROUTE_EQUAL, 3);
    uint64_t set;
    assert_int_equal(fit(false, 0, &set), BP_E_ENDPOINTS_EMPTY);
    assert_int_equal(fit(false, 0xf8, &set), BP_E_ENDPOINT_UNKNOWN);
    assert_int_equal(fit(false, 0xfc, &set), 0);
    assert_int_equal(set, 4);
    assert_int_equal(bpi_route_add(&route, 64, BPI_ROUTE_READ_ONLY, 0, now_us),
                     BP_E_ENDPOINT_UNKNOWN);
    assert_int_equal(bpi_route_add(&route, 2, BPI_ROUTE_READ_ONLY, 0, now_us), BP_E_USAGE);
    assert_int_equal(bpi_route_remove(&route, 3, now_us), BP_E_ENDPOINT_UNKNOWN);
    assert_int_equal(bpi_route_set_limit(&route, 64, 1, now_us), BP_E_ENDPOINT_UNKNOWN);
    assert_int_equal(bpi_route_set_service(&route, 3, BPI_ROUTE_DRAIN, now_us),
                     BP_E_ENDPOINT_UNKNOWN);
    assert_int_equal(bpi_route_set_access(&route, 3, BPI_ROUTE_READ_ONLY, now_us),
                     BP_E_ENDPOINT_UNKNOWN);
}

static void weights_are_set_all_or_none(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    struct bpi_route_weight weights[] = {{0, 7}, {1, 8}};
    assert_int_equal(bpi_route_set_weights(&route, weights, 0), BP_E_ENDPOINTS_EMPTY);
    static const struct {
        struct bpi_route_weight weight;
        int error;
    } wrong[] = {{{1, 0}, BP_E_WEIGHT},
                 {{1, BPI_ROUTE_WEIGHT_MAX + 1}, BP_E_WEIGHT},
                 {{3, 5}, BP_E_ENDPOINT_UNKNOWN},
                 {{64, 5}, BP_E_ENDPOINT_UNKNOWN}};
    for (unsigned i = 0; i < 4; i++) {
        weights[1] = wrong[i].weight;
        assert_int_equal(bpi_route_set_weights(&route, weights, 2), wrong[i].error);
        assert_int_equal(route.endpoints[0].weight, BPI_ROUTE_WEIGHT_DEFAULT);
    }
    weights[1] = (struct bpi_route_weight){1, BPI_ROUTE_WEIGHT_MAX};
    assert_int_equal(bpi_route_set_weights(&route, weights, 2), 0);
    assert_int_equal(route.endpoints[0].weight, 7);
}

static void news_of_unknown_endpoints_are_ignored(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 2);
    static const unsigned unknown[] = {2, 63, 64, UINT32_MAX};
    for (unsigned i = 0; i < 4; i++) {
        bpi_route_reached(&route, unknown[i], now_us);
        bpi_route_unreached(&route, unknown[i], now_us);
        bpi_route_restore(&route, unknown[i], now_us);
        bpi_route_reported(&route, unknown[i], 5, now_us);
    }
    struct bpi_route_event event;
    assert_false(bpi_route_next_event(&route, &event));
    bpi_route_check(&route);
}

static void equal_endpoints_take_all(void **state)
{
    (void)state;
    start(BPI_ROUTE_EQUAL, 3);
    assert_int_equal(fit_set(false), 7);
    assert_int_equal(fit_set(true), 7);
}

static void a_list_writes_to_its_one_writer_and_reads_from_all(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    assert_int_equal(fit_set(false), 7);
    assert_int_equal(fit_set(true), 1);
    assert_int_equal(bpi_route_add(&route, 3, BPI_ROUTE_READ_WRITE, 8, now_us),
                     BP_E_ENDPOINT_ACCESS);
    assert_int_equal(bpi_route_set_access(&route, 1, BPI_ROUTE_READ_WRITE, now_us),
                     BP_E_ENDPOINT_ACCESS);
    assert_int_equal(bpi_route_set_access(&route, 0, BPI_ROUTE_READ_ONLY, now_us), 0);
    assert_int_equal(refusal(true), BP_E_NO_WRITER);
    assert_int_equal(bpi_route_set_access(&route, 1, BPI_ROUTE_READ_WRITE, now_us), 0);
    assert_int_equal(fit_set(true), 2);
}

static void services_keep_out_what_they_say(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    service(1, BPI_ROUTE_DRAIN);
    assert_int_equal(fit_set(false), 5);
    service(2, BPI_ROUTE_MAINTENANCE);
    assert_int_equal(fit_set(false), 1);
    service(0, BPI_ROUTE_MAINTENANCE);
    assert_int_equal(refusal(false), BP_E_NO_ENDPOINT);
    assert_int_equal(refusal(true), BP_E_NO_WRITER);
    service(1, BPI_ROUTE_READY);
    assert_int_equal(fit_set(false), 2);
}

static void bookmarks_lead_to_their_issuer(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    issue(1, 11);
    issue(2, 22);
    issue(2, 23);
    issue(0, 33);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 2);
    assert_int_equal(bound(false, (uint64_t[]){22, 23}, 2), 4);
    assert_int_equal(bound(false, (uint64_t[]){33}, 1), 1);
    /* Of several, or of an unknown one: the writer. Writes go there anyway. */
    assert_int_equal(bound(false, (uint64_t[]){11, 22}, 2), 1);
    assert_int_equal(bound(false, (uint64_t[]){99}, 1), 1);
    assert_int_equal(bound(false, (uint64_t[]){22, 99}, 2), 1);
    assert_int_equal(bound(true, (uint64_t[]){11}, 1), 1);
}

static void
a_drained_issuer_still_serves_its_bookmarks_and_one_in_maintenance_does_not(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    issue(1, 11);
    issue(0, 33);
    service(1, BPI_ROUTE_DRAIN);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 2);
    service(1, BPI_ROUTE_MAINTENANCE);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 1);
    service(0, BPI_ROUTE_DRAIN);
    assert_int_equal(bound(true, (uint64_t[]){33}, 1), 1);
    assert_int_equal(bound(true, (uint64_t[]){99}, 1), 0);
    assert_int_equal(refusal(true), BP_E_NO_WRITER);
}

static void an_ejected_issuer_is_stood_in_for_and_a_busy_one_waited_for(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    issue(1, 11);
    uint64_t bookmark = 11;
    struct bpi_route_wish wish = {.database = 1, .bookmarks = &bookmark, .bookmarks_count = 1};
    uint64_t set;
    /* It isn't among the candidates, so it has no link free: nobody else knows the bookmark. */
    assert_int_equal(bpi_route_fit(&route, 5, &wish, now_us, &set), BP_E_NO_ENDPOINT);
    bpi_route_unreached(&route, 1, now_us);
    assert_int_equal(bound(false, &bookmark, 1), 1);
}

static void a_new_server_in_an_old_place_is_not_the_issuer(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    issue(1, 11);
    struct bpi_route_wish wish = {.database = 1};
    struct bpi_route_ticket ticket;
    bpi_route_ticket(&route, 1, &wish, &ticket);
    bpi_route_started(&route, &ticket, now_us);
    assert_int_equal(bpi_route_remove(&route, 1, now_us), 0);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 1);
    assert_int_equal(bpi_route_add(&route, 1, BPI_ROUTE_READ_ONLY, 8, now_us), 0);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 1);
    /* Nor does what the old one still does count for the new one. */
    bpi_route_issued(&route, &ticket, 12);
    bpi_route_finished(&route, &ticket, BPI_ROUTE_SERVER_FAULT, now_us);
    assert_int_equal(bound(false, (uint64_t[]){12}, 1), 1);
    assert_int_equal(route.endpoints[1].load.running, 0);
}

/* One writer, two readers, independent: each write is read by its bookmark, and reads show what they got from reads. */
static void a_thousand_writes_are_read_where_they_were_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct bpi_random random;
        bpi_random_init(&random, seed);
        start(BPI_ROUTE_LIST, 3);
        uint64_t bookmarks[1000];
        unsigned issuers[1000];
        for (unsigned i = 0; i < 1000; i++) {
            now_us += bpi_random_below(&random, 10000);
            bool is_write = bpi_random_below(&random, 2) == 0;
            unsigned shown = i == 0 ? 0 : (unsigned)bpi_random_below(&random, 4);
            uint64_t show[4] = {0};
            uint64_t sources = 0;
            for (unsigned j = 0; j < shown; j++) {
                unsigned which = (unsigned)bpi_random_below(&random, i);
                show[j] = bookmarks[which];
                sources |= UINT64_C(1) << issuers[which];
            }
            struct bpi_route_wish wish = {
                .is_write = is_write, .database = 1, .bookmarks = show, .bookmarks_count = shown};
            struct bpi_route_ticket ticket;
            assert_int_equal(bpi_route_pick(&route, ALL, &wish, now_us, &ticket), 0);
            uint64_t at = UINT64_C(1) << ticket.endpoint;
            if (is_write || (sources & (sources - 1)) != 0) {
                assert_int_equal(ticket.endpoint, 0);
            } else {
                assert_true(sources == 0 || at == sources);
            }
            bpi_route_started(&route, &ticket, now_us);
            bookmarks[i] = bpi_random_next(&random);
            issuers[i] = ticket.endpoint;
            bpi_route_issued(&route, &ticket, bookmarks[i]);
            bpi_route_finished(&route, &ticket, BPI_ROUTE_OK, now_us);
        }
    }
}

static void a_cluster_goes_by_its_table(void **state)
{
    (void)state;
    start(BPI_ROUTE_CLUSTER, 3);
    assert_int_equal(refusal(false), BP_E_NO_ROUTES);
    uint64_t database = 0;
    assert_true(bpi_route_tables_fetch(&route.tables, now_us, &database));
    assert_int_equal(database, 1);
    table(6, 1);
    assert_int_equal(fit_set(false), 6);
    assert_int_equal(fit_set(true), 1);
    /* Bookmarks are the cluster's. */
    issue(1, 11);
    assert_int_equal(bound(false, (uint64_t[]){11}, 1), 6);
    /* Endpoints that nobody added are no endpoints. */
    table(~UINT64_C(1), 1);
    assert_int_equal(fit_set(false), 6);
    struct bpi_route_wish other = {.database = 2};
    uint64_t set;
    assert_int_equal(bpi_route_fit(&route, ALL, &other, now_us, &set), BP_E_NO_ROUTES);
}

static void writers_read_where_no_reader_is_fit(void **state)
{
    (void)state;
    start(BPI_ROUTE_CLUSTER, 3);
    table(4, 1);
    bpi_route_unreached(&route, 2, now_us);
    assert_int_equal(fit_set(false), 1);
    table(0, 1);
    assert_int_equal(fit_set(false), 1);
}

static void who_does_not_lead_gets_no_more_writes(void **state)
{
    (void)state;
    start(BPI_ROUTE_CLUSTER, 3);
    table(6, 1);
    struct bpi_route_wish wish = {.is_write = true, .database = 1};
    struct bpi_route_ticket ticket;
    assert_int_equal(bpi_route_pick(&route, ALL, &wish, now_us, &ticket), 0);
    bpi_route_started(&route, &ticket, now_us);
    bpi_route_finished(&route, &ticket, BPI_ROUTE_NOT_A_LEADER, now_us);
    assert_int_equal(refusal(true), BP_E_NO_WRITER);
    assert_int_equal(fit_set(false), 6);
    now_us += BP_USEC_PER_SECOND;
    uint64_t database = 0;
    assert_true(bpi_route_tables_fetch(&route.tables, now_us, &database));
    table(5, 2);
    assert_int_equal(fit_set(true), 2);
    struct bpi_route_event event;
    assert_false(bpi_route_next_event(&route, &event)); /* nobody is sick */
}

static void fail_on(unsigned endpoint, unsigned times)
{
    struct bpi_route_wish wish = {.database = 1};
    for (unsigned i = 0; i < times; i++) {
        struct bpi_route_ticket ticket;
        bpi_route_ticket(&route, endpoint, &wish, &ticket);
        bpi_route_started(&route, &ticket, now_us);
        bpi_route_finished(&route, &ticket, BPI_ROUTE_SERVER_FAULT, now_us);
    }
}

static void a_broken_database_is_kept_off_its_endpoint_only(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    fail_on(1, BPI_ROUTE_BREAKER_ROW);
    assert_int_equal(fit_set(false), 5);
    struct bpi_route_wish other = {.database = 2};
    uint64_t set;
    assert_int_equal(bpi_route_fit(&route, ALL, &other, now_us, &set), 0);
    assert_int_equal(set, 7);
    struct bpi_route_event event;
    assert_true(bpi_route_next_event(&route, &event));
    assert_int_equal(event.kind, BPI_ROUTE_EVENT_CIRCUIT_OPEN);
    assert_int_equal(event.endpoint, 1);
    assert_int_equal(event.database, 1);
    assert_int_equal((int)event.figure, BPI_ROUTE_BREAKER_ROW);
    assert_true(event.until_us > now_us);
}

static void
a_database_that_is_broken_everywhere_is_refused_by_name_but_for_the_one_writer(void **state)
{
    (void)state;
    start(BPI_ROUTE_LIST, 3);
    for (unsigned i = 0; i < 3; i++)
        fail_on(i, BPI_ROUTE_BREAKER_ROW);
    assert_int_equal(refusal(false), BP_E_CIRCUIT_OPEN);
    assert_int_equal(fit_set(true), 1);
    issue(2, 22);
    assert_int_equal(bound(false, (uint64_t[]){22}, 1), 4);
    /* One at a time tries again. */
    now_us += BPI_ROUTE_BREAKER_US;
    assert_int_equal(fit_set(false), 7);
    struct bpi_route_wish wish = {.database = 1};
    struct bpi_route_ticket tickets[3];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bpi_route_pick(&route, ALL, &wish, now_us, &tickets[i]), 0);
        bpi_route_started(&route, &tickets[i], now_us);
        assert_int_not_equal(tickets[i].circuit, 0);
    }
    assert_int_equal(refusal(false), BP_E_CIRCUIT_OPEN);
    bpi_route_finished(&route, &tickets[0], BPI_ROUTE_OK, now_us);
    assert_int_equal(fit_set(false), UINT64_C(1) << tickets[0].endpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_and_unknown_sets_have_names),
        cmocka_unit_test(weights_are_set_all_or_none),
        cmocka_unit_test(news_of_unknown_endpoints_are_ignored),
        cmocka_unit_test(equal_endpoints_take_all),
        cmocka_unit_test(a_list_writes_to_its_one_writer_and_reads_from_all),
        cmocka_unit_test(services_keep_out_what_they_say),
        cmocka_unit_test(bookmarks_lead_to_their_issuer),
        cmocka_unit_test(
            a_drained_issuer_still_serves_its_bookmarks_and_one_in_maintenance_does_not),
        cmocka_unit_test(an_ejected_issuer_is_stood_in_for_and_a_busy_one_waited_for),
        cmocka_unit_test(a_new_server_in_an_old_place_is_not_the_issuer),
        cmocka_unit_test(a_thousand_writes_are_read_where_they_were_written),
        cmocka_unit_test(a_cluster_goes_by_its_table),
        cmocka_unit_test(writers_read_where_no_reader_is_fit),
        cmocka_unit_test(who_does_not_lead_gets_no_more_writes),
        cmocka_unit_test(a_broken_database_is_kept_off_its_endpoint_only),
        cmocka_unit_test(
            a_database_that_is_broken_everywhere_is_refused_by_name_but_for_the_one_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
