/* See driver.h: work in a transaction, and again where that helps. */
#include "base/clock.h"
#include "base/random.h"
#include "client/driver.h"

#include <boltpool/error.h>

#include <errno.h>
#include <time.h>

/* As the official drivers wait: 1 s, doubled each time, give or take a fifth so that those that failed together don't
 * come back together. */
#define RETRY_FIRST_US  BP_USEC_PER_SECOND
#define RETRY_GROWTH    2
#define RETRY_JITTER_OF 5

static void sleep_us(bp_usec us)
{
    struct timespec time = {
        .tv_sec = (time_t)(us / BP_USEC_PER_SECOND),
        .tv_nsec = (long)(us % BP_USEC_PER_SECOND) * 1000,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR) {
    }
}

static bp_usec jittered(bp_usec delay_us, struct bpi_random *random)
{
    bp_usec spread_us = delay_us / RETRY_JITTER_OF;
    return delay_us - spread_us + bpi_random_below(random, 2 * spread_us + 1);
}

/* What one try came to. */
struct
try {
    int error;
    bool again; /* the same may succeed next time */
    struct bp_failure failure;
};

/* Ends the transaction as the work wants. */
static void end(struct bpi_client *client, struct try *try)
{
    if (try->error != 0) {
        /* Its failure, if that is why: the words are needed after the rollback. */
        if (client->failure->error != 0 && client->failure->error == try->error) {
            try->failure = *client->failure;
            try->again = try->failure.retryable != 0;
        } else {
            bpi_failure_say(&try->failure, try->error,
                            try->error > 0 ? "the work was given up" : NULL);
        }
        if (!client->is_lost && client->tx != BPI_TX_NONE) {
            int ended = bpi_tx_rollback(client); /* lost or not, the words are those of the work */
            (void)ended;
        }
        return;
    }
    if (client->is_lost || client->tx != BPI_TX_NONE) {
        try->error = client->is_lost ? BP_E_SERVER_LOST : bpi_tx_commit(client);
    } else if (client->failure->error != 0) {
        try->error = client->failure->error; /* BEGIN was refused, and the work didn't care */
    } else {
        try->error = bpi_failure_set(client, BP_E_USAGE, "the work ended its transaction itself");
    }
    if (try->error != 0) {
        try->failure = *client->failure;
        try->again = try->failure.retryable != 0;
    }
}

static void try_once(struct bp_driver *driver,
                     const struct bp_operation *operation,
                     const struct bp_tx_options *options,
                     bp_work_function work,
                     void *user,
                     struct try *try)
{
    struct bp_lease *lease;
    struct bp_bolt *bolt;
    try->again = false;
    /* Who waited in vain has waited long enough: the pool's own time-out isn't multiplied. */
    try->error =
        bpi_driver_acquire(driver, operation, BP_WAIT_DEFAULT, &lease, &bolt, &try->failure);
    if (try->error != 0) {
        return;
    }
    struct bpi_client *client = NULL;
    try->error = bpi_client_enter(bolt, &client);
    if (try->error == 0) {
        bpi_failure_clear(client);
        try->error = bpi_tx_begin_check(client, options);
        /* BEGIN goes out with the first query. */
        if (try->error == 0) {
            try->error = bpi_tx_begin_put(client, options);
        }
        if (try->error != 0) {
            try->failure = *client->failure;
        }
        bpi_client_leave(client);
        if (try->error == 0) {
            try->error = work(user, bolt);
            if (bpi_client_enter(bolt, &client) == 0) {
                end(client, try);
                bpi_client_leave(client);
            } else {
                try->error = bpi_failure_say(&try->failure, BP_E_USAGE,
                                             "the work left its connection in another thread");
            }
        }
    } else {
        bpi_failure_say(&try->failure, try->error, NULL);
    }
    (void)bp_driver_release(lease);
}

int bp_driver_execute(struct bp_driver *driver,
                      const struct bp_operation *operation,
                      const struct bp_tx_options *options,
                      bp_work_function work,
                      void *user,
                      struct bp_failure *reterr_failure)
{
    if (driver == NULL || work == NULL) {
        return bpi_failure_say(reterr_failure, BP_E_USAGE, "execute: no driver, or no work");
    }
    bp_usec begin_us = bpi_clock_now_us();
    struct bpi_random random;
    bpi_random_init(&random, begin_us ^ (uint64_t)(uintptr_t)&random);
    bp_usec delay_us = RETRY_FIRST_US;
    struct try try;
    for (;;) {
        try_once(driver, operation, options, work, user, &try);
        bp_usec now_us = bpi_clock_now_us();
        bp_usec wait_us = jittered(delay_us, &random);
        bool in_time = now_us - begin_us + wait_us <= driver->retry_time_us;
        bool before_deadline =
            options == NULL || options->deadline_us == 0 || now_us + wait_us < options->deadline_us;
        if (try.error == 0 || !try.again || !in_time || !before_deadline) {
            break;
        }
        sleep_us(wait_us);
        delay_us *= RETRY_GROWTH;
    }
    if (try.error != 0) {
        bpi_failure_copy(reterr_failure, &try.failure);
    }
    return try.error;
}

/* ---- one query ---- */

struct query {
    const char *text;
    const struct bp_params *params;
    int64_t fetch_size;
    void (*begin)(void *user);
    bp_row_function on_row;
    void *user;
};

static int run_query(void *user, struct bp_bolt *bolt)
{
    const struct query *query = user;
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.fetch_size = query->fetch_size;
    struct bp_result *result;
    const struct bp_value *row;
    if (query->begin != NULL) {
        query->begin(query->user);
    }
    int error = bp_bolt_run(bolt, query->text, query->params, &options, &result);
    if (error != 0) {
        return error;
    }
    int got = 0;
    while (error == 0 && (got = bp_result_next(result, &row)) == 1) {
        error = query->on_row == NULL ? 0 : query->on_row(query->user, result, row);
    }
    error = error != 0 ? error : got;
    int freed = bp_result_free(result);
    return error != 0 ? error : freed;
}

int bp_driver_query(struct bp_driver *driver,
                    const struct bp_operation *operation,
                    const struct bp_tx_options *options,
                    const char *query,
                    const struct bp_params *params,
                    void (*begin)(void *user),
                    bp_row_function on_row,
                    void *user,
                    struct bp_failure *reterr_failure)
{
    struct query work = {query, params, options == NULL ? 0 : options->fetch_size,
                         begin, on_row, user};
    return bp_driver_execute(driver, operation, options, run_query, &work, reterr_failure);
}
