/* Reads rows with boltpool's client, through the public functions only.
 *
 * usage: boltpool URI USER PASSWORD QUERY ROWS REPEATS [copy]
 *
 * One connection with default settings reads the query once to warm up and then REPEATS times, each value of each row being summed: of the
 * row as it was read, or of a copy that is made of it and freed.
 * Prints what that took of the clock and, of this process alone, of the processors, and the sums.
 */
#include <boltpool/bolt.h>
#include <boltpool/pool.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define COLUMNS 5

struct sums {
    int64_t rows, ints, truths, lengths, ends;
    double floats;
};

static void fail(const char *what, int error, const struct bp_failure *failure)
{
    fprintf(stderr, "%s: %s: %s\n", what, bp_error_name(error), failure->text);
    exit(1);
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void add_text(struct sums *sums, const struct bp_value *value)
{
    sums->lengths += (int64_t)value->as.text.size;
    sums->ends += value->as.text.data[value->as.text.size - 1];
}

static void add_row(struct sums *sums, const struct bp_value *row)
{
    static const enum bp_type TYPES[COLUMNS] = {BP_TYPE_INT, BP_TYPE_FLOAT, BP_TYPE_STRING,
                                                BP_TYPE_BOOL, BP_TYPE_STRING};
    for (int i = 0; i < COLUMNS; i++) {
        if (row[i].type != TYPES[i]) {
            fprintf(stderr, "column %d is %s\n", i, bp_type_name(row[i].type));
            exit(1);
        }
    }
    sums->rows++;
    sums->ints += row[0].as.integer;
    sums->floats += row[1].as.real;
    sums->truths += row[3].as.boolean;
    add_text(sums, &row[2]);
    add_text(sums, &row[4]);
}

static void read_rows(struct bp_bolt *bolt,
                      const char *query,
                      const struct bp_params *params,
                      bool copies,
                      struct sums *sums)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_result *result;
    const struct bp_value *row;
    int status;
    options.access = BP_ACCESS_READ;
    options.database = "neo4j";
    int error = bp_bolt_run(bolt, query, params, &options, &result);
    if (error != 0) {
        fail("run", error, bp_bolt_failure(bolt));
    }
    while ((status = bp_result_next(result, &row)) == 1) {
        struct bp_row *copy;
        if (!copies) {
            add_row(sums, row);
        } else if ((error = bp_row_copy(row, COLUMNS, &copy)) == 0) {
            add_row(sums, bp_row_values(copy));
            bp_row_free(copy);
        } else {
            fail("copy", error, bp_bolt_failure(bolt));
        }
    }
    error = bp_result_free(result);
    if (status != 0 || error != 0) {
        fail("rows", status != 0 ? status : error, bp_bolt_failure(bolt));
    }
}

int main(int count, char **arguments)
{
    struct bp_bolt_config config;
    struct bp_bolt *bolt;
    struct bp_failure failure = {0};
    struct bp_params *params;
    struct rusage before, after;
    struct sums warm = {0}, sums = {0};
    if (count != 7 && count != 8) {
        fprintf(stderr, "usage: boltpool URI USER PASSWORD QUERY ROWS REPEATS [copy]\n");
        return 2;
    }
    bp_bolt_config_init(&config);
    config.url = arguments[1];
    config.user = arguments[2];
    config.password = arguments[3];
    int error = bp_bolt_open(&config, &bolt, &failure);
    if (error != 0) {
        fail("open", error, &failure);
    }
    error = bp_params_new(&params);
    if (error != 0 ||
        (error = bp_params_int(params, "rows", strtoll(arguments[5], NULL, 10))) != 0) {
        fail("parameters", error, &failure);
    }
    long repeats = strtol(arguments[6], NULL, 10);
    read_rows(bolt, arguments[4], params, count == 8, &warm);
    getrusage(RUSAGE_SELF, &before);
    bp_usec began_us = bp_now_us();
    for (long i = 0; i < repeats; i++) {
        read_rows(bolt, arguments[4], params, count == 8, &sums);
    }
    double seconds = (double)(bp_now_us() - began_us) / 1e6;
    getrusage(RUSAGE_SELF, &after);
    bp_params_free(params);
    bp_bolt_close(bolt);
    printf("{\"rows\": %" PRId64 ", \"seconds\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, "
           "\"ints\": %" PRId64 ", \"floats\": %.3f, \"truths\": %" PRId64 ", "
           "\"lengths\": %" PRId64 ", \"ends\": %" PRId64 "}\n",
           sums.rows, seconds, seconds_of(after.ru_utime) - seconds_of(before.ru_utime),
           seconds_of(after.ru_stime) - seconds_of(before.ru_stime), sums.ints, sums.floats,
           sums.truths, sums.lengths, sums.ends);
    return 0;
}
