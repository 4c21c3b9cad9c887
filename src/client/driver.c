/* See driver.h: a pool of Bolt connections. */
#include "client/driver.h"

#include "base/clock.h"

#include <boltpool/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_TIME_US (30 * BP_USEC_PER_SECOND)
/* Connections that died while they were idle are given back and another one is asked for; after so many, the caller
 * gets the error. More than a pool may hold. */
#define DEAD_MAX 10001

void bp_driver_config_init(struct bp_driver_config *config)
{
    memset(config, 0, sizeof(*config));
    config->struct_size = sizeof(*config);
    bp_bolt_config_init(&config->bolt);
    bp_pool_config_init(&config->pool);
    config->retry_time_us = RETRY_TIME_US;
}

/* ---- the connector ---- */

/* What the pool is told: an error of ours that isn't retryable fails all who wait, so what may be over soon must not be
 * one. */
static int error_for_pool(int error, const struct bp_failure *failure)
{
    bool passes = failure->retryable != 0 ||
                  strcmp(failure->code, "Neo.ClientError.Security.AuthenticationRateLimit") == 0;
    return error == BP_E_SERVER_FAILURE && passes ? BP_E_SERVER_LOST : error;
}

static int open_one(void *user, const struct bp_open_request *request, void **ret_connection)
{
    struct bp_driver *driver = user;
    struct bpi_buffer token = {0};
    pthread_mutex_lock(&driver->mutex);
    int error =
        bpi_buffer_append(&token, bpi_buffer_head(&driver->token), bpi_buffer_size(&driver->token));
    pthread_mutex_unlock(&driver->mutex);
    if (error != 0) {
        return error;
    }
    struct bpi_client *client = NULL;
    struct bp_failure failure;
    error = bpi_client_open(
        driver->settings, (struct bpi_bolt_span){bpi_buffer_head(&token), bpi_buffer_size(&token)},
        request->deadline_us, &client, &failure);
    bpi_buffer_wipe(&token);
    if (error != 0) {
        pthread_mutex_lock(&driver->mutex);
        driver->open_failure = failure;
        pthread_mutex_unlock(&driver->mutex);
        snprintf(request->reterr_text, request->reterr_size, "%s%s%s", failure.code,
                 failure.code[0] == '\0' ? "" : ": ", failure.text);
        return error_for_pool(error, &failure);
    }
    client->is_leased = true;
    *ret_connection = client;
    return 0;
}

static int check_one(void *user, void *connection, bp_usec timeout_us)
{
    (void)user;
    struct bpi_client *client = connection;
    return client->is_lost ? BP_E_SERVER_LOST : bpi_client_reset(client, timeout_us);
}

static void close_one(void *user, void *connection)
{
    (void)user;
    bpi_client_close(connection);
}

/* On the thread that gives it back. */
static enum bp_outcome returned(void *user, void *connection, enum bp_outcome said)
{
    (void)user;
    struct bpi_client *client = connection;
    bpi_client_end_lease(client);
    bool is_fault = client->is_fault;
    client->is_fault = false;
    /* A server that refuses for want of threads closes the connection, too. */
    if (said == BP_OUTCOME_BROKEN || client->is_lost ||
        (client->owes_reset && bpi_channel_has_news(&client->channel))) {
        return BP_OUTCOME_BROKEN;
    }
    bpi_failure_clear(client);
    if (client->tx != BPI_TX_NONE || client->expected_count > 0 || client->open != NULL) {
        return BP_OUTCOME_UNCLEAN;
    }
    return is_fault ? BP_OUTCOME_ERROR : said;
}

static void driver_free(struct bp_driver *driver)
{
    bpi_client_settings_unref(driver->settings);
    bpi_buffer_wipe(&driver->token);
    pthread_mutex_destroy(&driver->mutex);
    free(driver);
}

/* The pool calls nothing any more. */
static void done(void *user)
{
    driver_free(user);
}

/* ---- life ---- */

static void complain(const struct bp_driver_config *config, const char *text)
{
    if (config->pool.log != NULL && text[0] != '\0') {
        config->pool.log(config->pool.log_user, BP_LOG_ERROR, text);
    }
}

int bp_driver_new(const struct bp_driver_config *config, struct bp_driver **ret_driver)
{
    if (config == NULL || ret_driver == NULL) {
        return BP_E_USAGE;
    }
    if (config->struct_size != sizeof(*config)) {
        return BP_E_CONFIG;
    }
    struct bp_driver *driver = calloc(1, sizeof(*driver));
    if (driver == NULL) {
        return BP_E_NO_MEMORY;
    }
    pthread_mutex_init(&driver->mutex, NULL);
    driver->retry_time_us = config->retry_time_us;
    char text[512] = "";
    int error = bpi_client_settings_new(&config->bolt, &driver->settings, text, sizeof(text));
    if (error == 0) {
        error = bpi_buffer_append(&driver->token, bpi_buffer_head(&driver->settings->token),
                                  bpi_buffer_size(&driver->settings->token));
    }
    struct bp_connector connector = {
        .struct_size = sizeof(connector),
        .user = driver,
        .open = open_one,
        .check = check_one,
        .close = close_one,
        .returned = returned,
        .done = done,
    };
    if (error != 0) {
        complain(config, text);
        driver_free(driver);
        return error;
    }
    error = bp_pool_new(&config->pool, &connector, &driver->pool);
    if (error != 0) {
        /* Any other failure has called done(). */
        if (error == BP_E_CONFIG) {
            driver_free(driver);
        }
        return error;
    }
    *ret_driver = driver;
    return 0;
}

int bp_driver_free(struct bp_driver *driver, bp_usec timeout_us)
{
    if (driver == NULL) {
        return 0;
    }
    struct bp_pool *pool = driver->pool;
    int error = bp_pool_stop(pool, timeout_us);
    bp_pool_free(pool); /* and the driver with its last call */
    return error;
}

struct bp_pool *bp_driver_pool(struct bp_driver *driver)
{
    return driver == NULL ? NULL : driver->pool;
}

int bp_driver_set_login(struct bp_driver *driver, const struct bp_login *login)
{
    if (driver == NULL || login == NULL) {
        return BP_E_USAGE;
    }
    struct bpi_buffer token = {0};
    int error = bpi_client_token_write(login, &token);
    if (error != 0) {
        bpi_buffer_wipe(&token);
        return error;
    }
    pthread_mutex_lock(&driver->mutex);
    struct bpi_buffer old = driver->token;
    driver->token = token;
    pthread_mutex_unlock(&driver->mutex);
    bpi_buffer_wipe(&old);
    return bp_pool_reconnect(driver->pool);
}

/* ---- leases ---- */

struct bp_bolt *bp_lease_bolt(struct bp_lease *lease)
{
    struct bpi_client *client = bp_lease_connection(lease);
    return client == NULL ? NULL : bpi_client_handle(client);
}

/* Where connections can't be opened at all, what the server says of it is what the caller wants to know. */
static int say_refusal(struct bp_driver *driver,
                       struct bp_failure *failure,
                       int error,
                       const struct bp_refusal *refusal)
{
    bpi_failure_say(failure, error, refusal->text[0] != '\0' ? refusal->text : NULL);
    if (failure == NULL || error > BP_E_PROTOCOL || error <= BP_E_FULL) {
        return error;
    }
    pthread_mutex_lock(&driver->mutex);
    if (driver->open_failure.error == error) {
        *failure = driver->open_failure;
    }
    pthread_mutex_unlock(&driver->mutex);
    return error;
}

int bpi_driver_acquire(struct bp_driver *driver,
                       const struct bp_operation *operation,
                       bp_usec timeout_us,
                       struct bp_lease **ret_lease,
                       struct bp_bolt **ret_bolt,
                       struct bp_failure *reterr_failure)
{
    if (driver == NULL || ret_lease == NULL || ret_bolt == NULL) {
        return bpi_failure_say(reterr_failure, BP_E_USAGE, NULL);
    }
    struct bp_refusal refusal = {0};
    struct bp_operation wanted = BP_OPERATION_INIT;
    if (operation != NULL) {
        wanted = *operation;
    }
    if (wanted.reterr_refusal == NULL) {
        wanted.reterr_refusal = &refusal;
    }
    for (unsigned dead = 0; dead < DEAD_MAX; dead++) {
        struct bp_lease *lease;
        int error = bp_pool_acquire(driver->pool, &wanted, timeout_us, &lease);
        if (error != 0) {
            return say_refusal(driver, reterr_failure, error, wanted.reterr_refusal);
        }
        struct bpi_client *client = bp_lease_connection(lease);
        /* The server has nothing to say to one that is idle: it is the end. */
        if (!client->is_lost && !bpi_channel_has_news(&client->channel)) {
            *ret_lease = lease;
            *ret_bolt = bpi_client_handle(client);
            return 0;
        }
        (void)bp_pool_release(lease, BP_OUTCOME_BROKEN);
    }
    return bpi_failure_say(reterr_failure, BP_E_SERVER_LOST, NULL);
}

int bp_driver_acquire(struct bp_driver *driver,
                      const struct bp_operation *operation,
                      bp_usec timeout_us,
                      struct bp_lease **ret_lease,
                      struct bp_bolt **ret_bolt)
{
    return bpi_driver_acquire(driver, operation, timeout_us, ret_lease, ret_bolt, NULL);
}

int bp_driver_release(struct bp_lease *lease)
{
    return bp_pool_release(lease, BP_OUTCOME_OK);
}

int bp_driver_verify(struct bp_driver *driver,
                     bp_usec timeout_us,
                     struct bp_failure *reterr_failure)
{
    bp_usec deadline_us = bpi_clock_now_us() + timeout_us;
    struct bp_lease *lease = NULL;
    struct bp_bolt *bolt = NULL;
    int error = bpi_driver_acquire(driver, NULL, timeout_us, &lease, &bolt, reterr_failure);
    if (error != 0) {
        return error;
    }
    bp_usec now_us = bpi_clock_now_us();
    error = bp_bolt_reset(bolt, now_us < deadline_us ? deadline_us - now_us : 1);
    if (error != 0) {
        bpi_failure_copy(reterr_failure, bp_bolt_failure(bolt));
    }
    (void)bp_driver_release(lease);
    return error;
}
