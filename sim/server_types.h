/* The inside of a simulated server: for the files of sim/ only. */
#ifndef BPI_SIM_SERVER_TYPES_H
#define BPI_SIM_SERVER_TYPES_H

#include "base/random.h"
#include "sim/fault.h"
#include "sim/ledger.h"
#include "sim/server.h"
#include "sim/users.h"

#include <pthread.h>

struct bpi_listener;
struct bpi_loop;
struct bpi_sim_session;
struct bpi_tls_context;

#define BPI_SIM_DATABASES_SIZE 256

struct bpi_sim {
    /* Immutable after bpi_sim_start(). */
    struct bpi_loop *loop;
    struct bpi_tls_context *tls;
    bool tls_optional;
    uint16_t port;
    char host[64];
    char address[80]; /* "host:port", what ROUTE and LOGON advertise */
    char agent[64];
    char databases[BPI_SIM_DATABASES_SIZE]; /* zero-terminated names, ended by an empty one */
    bool impersonation;
    bpi_bolt_versions versions;
    uint32_t worker_count_max;
    bool worker_wait;
    bool service_report;
    struct bpi_sim_service query_service;
    struct bpi_sim_service commit_service;
    struct bpi_sim_service login_service;
    bp_usec keep_alive_us;
    bp_usec login_timeout_us;

    /* Owner: the server's loop. */
    struct bpi_listener *listener;
    struct bpi_sim_session *sessions;                     /* all that aren't closed */
    struct bpi_sim_session *waiting_first, *waiting_last; /* for a worker, longest first */
    struct bpi_random random;
    struct bpi_sim_faults faults;
    uint64_t session_number;

    /* Lock: mutex. It is innermost: nothing is called while it is held but the two structs' functions. */
    pthread_mutex_t mutex;
    pthread_cond_t called; /* a call to the loop has ended */
    struct bpi_sim_stats stats;
    struct bpi_sim_users users;
    struct bpi_sim_ledger ledger;
    uint64_t bookmark; /* number of the last commit */
};

/* Adds one to a counter, or takes one away, and keeps its highest value. */
void bpi_sim_count(struct bpi_sim *sim, uint64_t *counter);
void bpi_sim_gauge(struct bpi_sim *sim, uint64_t *gauge, uint64_t *highest, int change);
/* Whether the server has that database; the home one for an empty name. Its name, or NULL. */
const char *bpi_sim_database(const struct bpi_sim *sim, const char *name, size_t name_size);

#endif
