/* A simulated server and a client on it, for tests of src/client. */
#ifndef TESTS_UNIT_CLIENT_SUPPORT_H
#define TESTS_UNIT_CLIENT_SUPPORT_H

#include "base/clock.h"
#include "sim/server.h"

#include <boltpool/bolt.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct stage {
    struct bpi_sim *sim;
    char url[64];
};

static inline struct stage stage_up(struct bpi_sim_options options)
{
    struct stage stage = {0};
    char text[256] = "";
    if (bpi_sim_start(&options, &stage.sim, text, sizeof(text)) != 0) {
        fail_msg("%s", text);
    }
    snprintf(stage.url, sizeof(stage.url), "bolt://127.0.0.1:%u", bpi_sim_port(stage.sim));
    return stage;
}

static inline void stage_down(struct stage *stage)
{
    bpi_sim_stop(stage->sim);
}

static inline struct bp_bolt_config stage_config(const struct stage *stage)
{
    struct bp_bolt_config config;
    bp_bolt_config_init(&config);
    config.url = stage->url;
    return config;
}

static inline struct bp_bolt *open_bolt(const struct bp_bolt_config *config)
{
    struct bp_bolt *bolt;
    struct bp_failure failure;
    int error = bp_bolt_open(config, &bolt, &failure);
    if (error != 0) {
        fail_msg("%s: %s %s", bp_error_name(error), failure.code, failure.text);
    }
    return bolt;
}

static inline struct bp_bolt *stage_open(const struct stage *stage)
{
    struct bp_bolt_config config = stage_config(stage);
    return open_bolt(&config);
}

/* Runs a query that must be accepted. */
static inline struct bp_result *run(struct bp_bolt *bolt, const char *query)
{
    struct bp_result *result;
    int error = bp_bolt_run(bolt, query, NULL, NULL, &result);
    if (error != 0) {
        fail_msg("%s: %s", bp_error_name(error), bp_bolt_failure(bolt)->text);
    }
    return result;
}

/* The integer of the only row. */
static inline int64_t one_int(struct bp_bolt *bolt, const char *query)
{
    struct bp_result *result = run(bolt, query);
    const struct bp_value *row;
    assert_int_equal(bp_result_next(result, &row), 1);
    assert_int_equal(row[0].type, BP_TYPE_INT);
    int64_t value = row[0].as.integer;
    assert_int_equal(bp_result_next(result, &row), 0);
    assert_int_equal(bp_result_free(result), 0);
    return value;
}

/* Reads on to the end; the sum of the first column, its rows in *ret_rows. Returns what ended it. */
static inline int drain(struct bp_result *result, int64_t *ret_rows, int64_t *ret_sum)
{
    const struct bp_value *row;
    int got;
    *ret_rows = 0;
    *ret_sum = 0;
    while ((got = bp_result_next(result, &row)) == 1) {
        ++*ret_rows;
        *ret_sum += row[0].as.integer;
    }
    return got;
}

#endif
