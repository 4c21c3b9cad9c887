/* See server.h: the life of a simulated server and the calls from other threads.
 *
 * A call that concerns the loop is a letter to it, and the caller waits for its end. `stop` aborts all
 * connections first, so the loop runs out of handles and its thread ends.
 */
#include "sim/server.h"

#include "base/container.h"
#include <boltpool/error.h>

#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "sim/server_types.h"
#include "sim/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A call to the loop: lives on the caller's stack until `done`. */
struct call {
    struct bpi_mail mail;
    struct bpi_sim *sim;
    int (*run)(struct bpi_sim *sim, const char *argument);
    const char *argument;
    int result;
    bool done; /* Lock: sim->mutex */
};

static void call_deliver(struct bpi_mail *mail)
{
    struct call *call = BPI_CONTAINER(mail, struct call, mail);
    struct bpi_sim *sim = call->sim;
    int result = call->run(sim, call->argument);
    pthread_mutex_lock(&sim->mutex);
    call->result = result;
    call->done = true;
    pthread_cond_broadcast(&sim->called);
    pthread_mutex_unlock(&sim->mutex);
}

static int call_on_loop(struct bpi_sim *sim,
                        int (*run)(struct bpi_sim *sim, const char *argument),
                        const char *argument)
{
    if (bpi_loop_current() == sim->loop) {
        return run(sim, argument);
    }
    struct call call = {.mail.deliver = call_deliver, .sim = sim, .run = run, .argument = argument};
    bpi_loop_post(sim->loop, &call.mail);
    pthread_mutex_lock(&sim->mutex);
    while (!call.done) {
        pthread_cond_wait(&sim->called, &sim->mutex);
    }
    pthread_mutex_unlock(&sim->mutex);
    return call.result;
}

void bpi_sim_count(struct bpi_sim *sim, uint64_t *counter)
{
    pthread_mutex_lock(&sim->mutex);
    ++*counter;
    pthread_mutex_unlock(&sim->mutex);
}

void bpi_sim_gauge(struct bpi_sim *sim, uint64_t *gauge, uint64_t *highest, int change)
{
    pthread_mutex_lock(&sim->mutex);
    *gauge = change < 0 ? *gauge - 1 : *gauge + 1;
    if (*gauge > *highest) {
        *highest = *gauge;
    }
    pthread_mutex_unlock(&sim->mutex);
}

const char *bpi_sim_database(const struct bpi_sim *sim, const char *name, size_t name_size)
{
    if (name_size == 0) {
        return sim->databases;
    }
    for (const char *at = sim->databases; *at != '\0'; at += strlen(at) + 1) {
        if (strlen(at) == name_size && memcmp(at, name, name_size) == 0) {
            return at;
        }
    }
    return NULL;
}

static void on_accept(struct bpi_listener *listener, int fd, void *user)
{
    (void)listener;
    bpi_sim_session_accept(user, fd);
}

static void connections_kill(struct bpi_sim *sim)
{
    while (sim->sessions != NULL) {
        bpi_sim_session_close(sim->sessions, true);
    }
    if (sim->listener != NULL) {
        bpi_listener_close(sim->listener);
        sim->listener = NULL;
    }
}

static int faults_apply(struct bpi_sim *sim, const char *script)
{
    bool was_frozen = sim->faults.freeze;
    int error = bpi_sim_faults_apply(&sim->faults, script);
    if (error != 0) {
        return error;
    }
    if (sim->faults.down) {
        connections_kill(sim);
    } else if (sim->listener == NULL) {
        error = bpi_listener_open(sim->loop, sim->host, sim->port, on_accept, sim, &sim->listener);
    }
    if (was_frozen && !sim->faults.freeze) {
        struct bpi_sim_session *next;
        for (struct bpi_sim_session *session = sim->sessions; session != NULL; session = next) {
            next = session->next;
            bpi_sim_session_turn(session);
        }
    }
    return error;
}

static int loop_end(struct bpi_sim *sim, const char *argument)
{
    (void)argument;
    connections_kill(sim);
    return 0;
}

/* Life */

static void sim_free(struct bpi_sim *sim)
{
    if (sim->loop != NULL) {
        bpi_loop_free(sim->loop);
    }
    bpi_tls_context_unref(sim->tls);
    bpi_sim_users_done(&sim->users);
    bpi_sim_ledger_done(&sim->ledger);
    pthread_cond_destroy(&sim->called);
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

static bool databases_set(struct bpi_sim *sim, const char *list)
{
    size_t size = strlen(list);
    /* One byte for the last name's end, one for the list's. */
    if (size == 0 || size + 2 > sizeof(sim->databases)) {
        return false;
    }
    memcpy(sim->databases, list, size);
    for (size_t i = 0; i < size; i++) {
        if (sim->databases[i] == ',') {
            sim->databases[i] = '\0';
        }
    }
    return sim->databases[0] != '\0';
}

static int options_set(struct bpi_sim *sim,
                       const struct bpi_sim_options *options,
                       char *reterr_text,
                       size_t reterr_text_size)
{
    const char *wrong = NULL;
    int error = BP_E_CONFIG;
    const char *host = options->host == NULL ? "127.0.0.1" : options->host;
    const char *agent = options->agent == NULL ? "Neo4j/5.26.30" : options->agent;
    snprintf(sim->host, sizeof(sim->host), "%s", host);
    snprintf(sim->agent, sizeof(sim->agent), "%s", agent);
    sim->versions = options->versions == 0 ? bpi_bolt_versions_all() : options->versions;
    sim->impersonation = options->impersonation;
    sim->worker_count_max = options->worker_count_max == 0 ? 400 : options->worker_count_max;
    sim->worker_wait = options->worker_wait;
    sim->service_report = options->service_report;
    sim->query_service = options->query_service;
    sim->commit_service = options->commit_service;
    sim->login_service = options->login_service;
    sim->keep_alive_us =
        options->keep_alive_us == 0 ? 60 * BP_USEC_PER_SECOND : options->keep_alive_us;
    sim->login_timeout_us =
        options->login_timeout_us == 0 ? 30 * BP_USEC_PER_SECOND : options->login_timeout_us;
    sim->users.failures_max = options->login_failures_max == 0 ? 3 : options->login_failures_max;
    sim->users.lock_us =
        options->login_lock_us == 0 ? 5 * BP_USEC_PER_SECOND : options->login_lock_us;
    sim->users.auth_off = options->user_count == 0;
    sim->tls_optional = options->tls_optional;
    bpi_random_init(&sim->random, options->seed);
    bpi_sim_faults_init(&sim->faults);
    if (strlen(host) >= sizeof(sim->host)) {
        wrong = "the host is too long";
    } else if (strlen(agent) >= sizeof(sim->agent)) {
        wrong = "the agent is too long";
    } else if (!databases_set(sim,
                              options->databases == NULL ? "neo4j,system" : options->databases)) {
        wrong = "the list of databases is empty or too long";
    } else if (options->faults != NULL &&
               bpi_sim_faults_apply(&sim->faults, options->faults) != 0) {
        wrong = "the fault script holds an unknown word or a wrong value";
    }
    for (size_t i = 0; wrong == NULL && i < options->user_count; i++) {
        error = bpi_sim_users_set(&sim->users, options->users[i].name, options->users[i].password);
        wrong = error != 0 ? "a user's name or password is too long" : NULL;
    }
    if (wrong != NULL) {
        snprintf(reterr_text, reterr_text_size, "%s", wrong);
        return error;
    }
    if (options->tls_cert_file == NULL) {
        return 0;
    }
    return bpi_tls_server_new(options->tls_cert_file,
                              options->tls_key_file == NULL ? options->tls_cert_file
                                                            : options->tls_key_file,
                              &sim->tls, reterr_text, reterr_text_size);
}

int bpi_sim_start(const struct bpi_sim_options *options,
                  struct bpi_sim **ret_sim,
                  char *reterr_text,
                  size_t reterr_text_size)
{
    struct bpi_sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL) {
        snprintf(reterr_text, reterr_text_size, "out of memory");
        return BP_E_NO_MEMORY;
    }
    pthread_mutex_init(&sim->mutex, NULL);
    pthread_cond_init(&sim->called, NULL);
    int error = options_set(sim, options, reterr_text, reterr_text_size);
    if (error == 0) {
        error = bpi_loop_new(0, &sim->loop);
        error = error != 0 ? error : bpi_loop_precise(sim->loop);
        snprintf(reterr_text, reterr_text_size, "%s", error == 0 ? "" : bp_error_text(error));
    }
    if (error != 0) {
        goto fail;
    }
    error = bpi_listener_open(sim->loop, sim->host, options->port, on_accept, sim, &sim->listener);
    if (error != 0) {
        snprintf(reterr_text, reterr_text_size, "can't listen on %s port %u: %s", sim->host,
                 (unsigned)options->port, bp_error_text(error));
        goto fail;
    }
    sim->port = bpi_listener_port(sim->listener);
    snprintf(sim->address, sizeof(sim->address),
             strchr(sim->host, ':') == NULL ? "%s:%u" : "[%s]:%u", sim->host, (unsigned)sim->port);
    if (sim->faults.down) {
        connections_kill(sim);
    }
    error = bpi_loop_start(sim->loop);
    if (error != 0) {
        snprintf(reterr_text, reterr_text_size, "can't start: %s", bp_error_text(error));
        connections_kill(sim);
        goto fail;
    }
    *ret_sim = sim;
    return 0;
fail:
    sim_free(sim);
    return error;
}

void bpi_sim_stop(struct bpi_sim *sim)
{
    if (sim == NULL) {
        return;
    }
    (void)call_on_loop(sim, loop_end, NULL);
    bpi_loop_stop(sim->loop);
    sim_free(sim);
}

/* Questions and changes from any thread */

uint16_t bpi_sim_port(const struct bpi_sim *sim)
{
    return sim->port;
}

void bpi_sim_stats(struct bpi_sim *sim, struct bpi_sim_stats *ret_stats)
{
    pthread_mutex_lock(&sim->mutex);
    *ret_stats = sim->stats;
    pthread_mutex_unlock(&sim->mutex);
}

bool bpi_sim_user_stats(struct bpi_sim *sim, const char *name, struct bpi_sim_user_stats *ret_stats)
{
    pthread_mutex_lock(&sim->mutex);
    const struct bpi_sim_user_entry *user = bpi_sim_users_find(&sim->users, name, strlen(name));
    if (user != NULL) {
        *ret_stats = user->stats;
    }
    pthread_mutex_unlock(&sim->mutex);
    return user != NULL;
}

int bpi_sim_user_set(struct bpi_sim *sim, const char *name, const char *password)
{
    pthread_mutex_lock(&sim->mutex);
    int error = bpi_sim_users_set(&sim->users, name, password);
    pthread_mutex_unlock(&sim->mutex);
    return error;
}

bool bpi_sim_user_drop(struct bpi_sim *sim, const char *name)
{
    pthread_mutex_lock(&sim->mutex);
    bool dropped = bpi_sim_users_drop(&sim->users, name);
    pthread_mutex_unlock(&sim->mutex);
    return dropped;
}

uint64_t bpi_sim_committed(struct bpi_sim *sim, const char *id)
{
    pthread_mutex_lock(&sim->mutex);
    uint64_t count = bpi_sim_ledger_count(&sim->ledger, id);
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

uint64_t bpi_sim_committed_count(struct bpi_sim *sim, uint64_t *ret_doubled)
{
    pthread_mutex_lock(&sim->mutex);
    uint64_t ids = sim->ledger.ids;
    if (ret_doubled != NULL) {
        *ret_doubled = sim->ledger.commits - ids;
    }
    pthread_mutex_unlock(&sim->mutex);
    return ids;
}

int bpi_sim_fault(struct bpi_sim *sim, const char *script)
{
    return call_on_loop(sim, faults_apply, script);
}
