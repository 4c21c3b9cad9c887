/* What people ask of the daemon (daemon.h): of its clusters at once, of its clients by a tour of all loops.
 *
 * A tour is one letter to each loop, which does its part with its own sessions; the last one sends the answer home.
 * Nobody waits, so a tour may be asked for on a loop as well.
 */
#include "base/container.h"
#include "proxy/daemon.h"
#include "proxy/session.h"

#include <boltpool/error.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- clusters ---- */

/* By any thread, so the configuration isn't looked at: a reload waits for the loops alone before it frees the old one. */
static bool is_meant(struct bpi_daemon *daemon, unsigned index, const char *name)
{
    return name == NULL || strcmp(bpi_daemon_cluster_name(daemon, index), name) == 0;
}

/* Has each cluster that is meant do it. */
static int
each_cluster(struct bpi_daemon *daemon, const char *name, void (*run)(struct bpi_cluster *cluster))
{
    int error = BP_E_USAGE;
    for (unsigned i = 0; i < bpi_daemon_clusters_count(daemon); i++) {
        if (is_meant(daemon, i, name)) {
            run(bpi_daemon_cluster(daemon, i));
            error = 0;
        }
    }
    return error;
}

int bpi_daemon_pause(struct bpi_daemon *daemon, const char *cluster)
{
    return each_cluster(daemon, cluster, bpi_cluster_pause);
}

int bpi_daemon_resume(struct bpi_daemon *daemon, const char *cluster)
{
    return each_cluster(daemon, cluster, bpi_cluster_resume);
}

int bpi_daemon_reconnect(struct bpi_daemon *daemon, const char *cluster)
{
    return each_cluster(daemon, cluster, bpi_cluster_reconnect);
}

int bpi_daemon_pause_state(struct bpi_daemon *daemon,
                           const char *cluster,
                           enum bpi_cluster_pause_state *ret_state,
                           unsigned *ret_leased)
{
    bool found = false;
    enum bpi_cluster_pause_state least = BPI_CLUSTER_PAUSED;
    unsigned sum = 0;
    for (unsigned i = 0; i < bpi_daemon_clusters_count(daemon); i++) {
        if (is_meant(daemon, i, cluster)) {
            unsigned leased;
            enum bpi_cluster_pause_state state =
                bpi_cluster_pause_state(bpi_daemon_cluster(daemon, i), &leased);
            least = state < least ? state : least;
            sum += leased;
            found = true;
        }
    }
    if (!found) {
        return BP_E_USAGE;
    }
    *ret_state = least;
    *ret_leased = sum;
    return 0;
}

int bpi_daemon_drain_endpoint(struct bpi_daemon *daemon,
                              const char *cluster,
                              const char *endpoint,
                              bool draining)
{
    int error = BP_E_USAGE;
    for (unsigned i = 0; i < bpi_daemon_clusters_count(daemon); i++) {
        if (is_meant(daemon, i, cluster) &&
            bpi_cluster_drain(bpi_daemon_cluster(daemon, i), endpoint, draining) == 0) {
            error = 0;
        }
    }
    return error;
}

int bpi_daemon_kill_lease(struct bpi_daemon *daemon, const char *cluster, uint64_t lease_id)
{
    /* Each cluster counts its own leases: without a name an id could mean two. */
    if (cluster == NULL && bpi_daemon_clusters_count(daemon) > 1) {
        return BP_E_USAGE;
    }
    for (unsigned i = 0; i < bpi_daemon_clusters_count(daemon); i++) {
        if (is_meant(daemon, i, cluster)) {
            return bpi_cluster_kill(bpi_daemon_cluster(daemon, i), lease_id);
        }
    }
    return BP_E_USAGE;
}

/* ---- tours ---- */

struct tour;

struct stop {
    struct bpi_mail mail;
    struct tour *tour;
    struct bpi_worker *worker;
};

/* Freed by the last stop, or at home. */
struct tour {
    void (*visit)(struct tour *tour, struct bpi_worker *worker);
    void (*end)(struct tour *tour);
    struct bpi_daemon_answer answer;
    struct bpi_loop *home; /* NULL: whoever asked has none */
    struct bpi_mail home_mail;
    _Atomic unsigned left;
    /* of leases */
    pthread_mutex_t mutex;
    struct bpi_lease_info *leases; /* Lock: mutex */
    size_t leases_count;
    size_t leases_max;
    /* of KILL */
    uint64_t client_id;
    _Atomic bool found;
    struct stop stops[];
};

static void tour_end(struct tour *tour)
{
    tour->end(tour);
    pthread_mutex_destroy(&tour->mutex);
    free(tour->leases);
    free(tour);
}

static void on_home_mail(struct bpi_mail *mail)
{
    tour_end(BPI_CONTAINER(mail, struct tour, home_mail));
}

static void on_stop_mail(struct bpi_mail *mail)
{
    struct stop *stop = BPI_CONTAINER(mail, struct stop, mail);
    struct tour *tour = stop->tour;
    tour->visit(tour, stop->worker);
    if (atomic_fetch_sub(&tour->left, 1) > 1) {
        return;
    }
    if (tour->home == NULL || tour->home == stop->worker->loop) {
        tour_end(tour);
    } else {
        tour->home_mail.deliver = on_home_mail;
        bpi_loop_post(tour->home, &tour->home_mail);
    }
}

static struct tour *tour_new(struct bpi_daemon *daemon, const struct bpi_daemon_answer *answer)
{
    unsigned count = bpi_daemon_loops_count(daemon);
    struct tour *tour = calloc(1, sizeof(*tour) + count * sizeof(tour->stops[0]));
    if (tour == NULL) {
        return NULL;
    }
    pthread_mutex_init(&tour->mutex, NULL);
    tour->answer = *answer;
    tour->home = bpi_loop_current();
    atomic_init(&tour->left, count);
    for (unsigned i = 0; i < count; i++) {
        tour->stops[i].mail.deliver = on_stop_mail;
        tour->stops[i].tour = tour;
        tour->stops[i].worker = bpi_daemon_worker(daemon, i);
    }
    return tour;
}

static void tour_start(struct bpi_daemon *daemon, struct tour *tour)
{
    unsigned count = bpi_daemon_loops_count(daemon);
    for (unsigned i = 0; i < count; i++) {
        bpi_loop_post(tour->stops[i].worker->loop,
                      &tour->stops[i].mail); /* the last one may free */
    }
}

/* ---- leases ---- */

static void describe(const struct bpi_session *session, struct bpi_lease_info *ret)
{
    const struct bpi_pool_link *place = &session->link->place;
    *ret = (struct bpi_lease_info){
        .lease_id = place->lease_id,
        .client_id = session->id,
        .class_ = place->class_,
        .priority = place->priority,
        .held_us = bpi_session_now_us(session) - session->leased_us,
        .is_waiting = session->unanswered > 0,
    };
    snprintf(ret->cluster, sizeof(ret->cluster), "%.63s", bpi_session_config(session)->name);
    snprintf(ret->endpoint, sizeof(ret->endpoint), "%.127s",
             bpi_cluster_endpoint_name(session->front->cluster, place->endpoint));
    snprintf(ret->user, sizeof(ret->user), "%.63s", bpi_session_user(session));
    snprintf(ret->application, sizeof(ret->application), "%.63s",
             session->hello == NULL ? "" : session->hello->application);
    snprintf(ret->operation, sizeof(ret->operation), "%s", session->operation);
}

/* Keeps the oldest ones, in order; bounded by the places of all clusters. */
static void keep(struct tour *tour, const struct bpi_lease_info *lease)
{
    pthread_mutex_lock(&tour->mutex);
    size_t at = tour->leases_count;
    while (at > 0 && tour->leases[at - 1].held_us < lease->held_us) {
        at--;
    }
    if (at < tour->leases_max) {
        if (tour->leases_count < tour->leases_max) {
            tour->leases_count++;
        }
        memmove(&tour->leases[at + 1], &tour->leases[at],
                (tour->leases_count - at - 1) * sizeof(*lease));
        tour->leases[at] = *lease;
    }
    pthread_mutex_unlock(&tour->mutex);
}

static void visit_leases(struct tour *tour, struct bpi_worker *worker)
{
    const struct bpi_session *session;
    DL_FOREACH(worker->sessions, session)
    {
        if (session->link != NULL) {
            struct bpi_lease_info lease;
            describe(session, &lease);
            keep(tour, &lease);
        }
    }
}

static void end_leases(struct tour *tour)
{
    tour->answer.on_leases(tour->answer.user, tour->leases, tour->leases_count);
}

int bpi_daemon_leases(struct bpi_daemon *daemon,
                      size_t count_max,
                      const struct bpi_daemon_answer *answer)
{
    struct tour *tour = tour_new(daemon, answer);
    if (tour == NULL) {
        return BP_E_NO_MEMORY;
    }
    /* One more, so that there is an array where nothing is wanted. */
    tour->leases = calloc(count_max + 1, sizeof(*tour->leases));
    if (tour->leases == NULL) {
        pthread_mutex_destroy(&tour->mutex);
        free(tour);
        return BP_E_NO_MEMORY;
    }
    tour->leases_max = count_max;
    tour->visit = visit_leases;
    tour->end = end_leases;
    tour_start(daemon, tour);
    return 0;
}

/* ---- KILL of a client ---- */

static void visit_client(struct tour *tour, struct bpi_worker *worker)
{
    struct bpi_session *session;
    DL_FOREACH(worker->sessions, session)
    {
        if (session->id == tour->client_id && session->phase != BPI_SESSION_GONE) {
            atomic_store(&tour->found, true);
            bpi_session_kill(session);
            return;
        }
    }
}

static void end_client(struct tour *tour)
{
    tour->answer.on_killed(tour->answer.user, atomic_load(&tour->found));
}

int bpi_daemon_kill_client(struct bpi_daemon *daemon,
                           uint64_t client_id,
                           const struct bpi_daemon_answer *answer)
{
    struct tour *tour = tour_new(daemon, answer);
    if (tour == NULL) {
        return BP_E_NO_MEMORY;
    }
    tour->client_id = client_id;
    tour->visit = visit_client;
    tour->end = end_client;
    tour_start(daemon, tour);
    return 0;
}
