/* See balance.h. */
#include "engine/balance.h"

#include "base/assert.h"
#include "base/log.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"
#include "engine/link.h"

#include <boltpool/error.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool bpi_cluster_has_choice(const struct bpi_cluster *cluster)
{
    return cluster->endpoints_count > 1;
}

/* ---- what the pool asks ---- */

static struct bpi_route_wish route_wish(const struct bpi_wish *wish)
{
    return (struct bpi_route_wish){
        .is_write = wish->is_write,
        .database = wish->database,
        .bookmarks = wish->bookmarks,
        .bookmarks_count = wish->bookmarks_count,
    };
}

static uint64_t fit(void *user, const struct bpi_pool_waiter *waiter, bp_usec now_us)
{
    struct bpi_cluster *cluster = user;
    const struct bpi_wish *wish = (const struct bpi_wish *)(const void *)waiter;
    uint64_t endpoints = 0;
    if (waiter->is_check) {
        return UINT64_MAX; /* whoever is up can say whether a password is right */
    }
    struct bpi_route_wish asked = route_wish(wish);
    if (bpi_route_fit(&cluster->route, UINT64_MAX, &asked, now_us, &endpoints) != 0) {
        return 0;
    }
    cluster->costs_for = endpoints;
    return endpoints;
}

static double
cost(void *user, const struct bpi_pool_waiter *waiter, unsigned endpoint, bp_usec now_us)
{
    struct bpi_cluster *cluster = user;
    const struct bpi_wish *wish = (const struct bpi_wish *)(const void *)waiter;
    if ((cluster->route.probing >> endpoint & 1) != 0) {
        return -1; /* it is asked first, or it would never come back */
    }
    if (wish->preferred < BPI_ROUTE_ENDPOINTS_MAX) {
        return wish->preferred == endpoint ? 0 : 1;
    }
    if (waiter->is_check) {
        return 0;
    }
    if (cluster->costs_for != 0) {
        bpi_route_costs(&cluster->route, cluster->costs_for, now_us, cluster->costs);
        cluster->costs_for = 0;
    }
    double value = cluster->costs[endpoint];
    return isfinite(value) ? value : 1e18;
}

/* ---- life ---- */

void bpi_balance_init(struct bpi_cluster *cluster, const struct bpi_cluster_config *config)
{
    uint64_t seed;
    memcpy(&seed, cluster->key + sizeof(seed), sizeof(seed));
    bool is_list = config->topology == BPI_TOPOLOGY_LIST;
    bpi_route_init(&cluster->route, is_list ? BPI_ROUTE_LIST : BPI_ROUTE_EQUAL, seed);
    if (!bpi_cluster_has_choice(cluster)) {
        return;
    }
    struct bpi_route_weight weights[BPI_CONFIG_ENDPOINTS_MAX];
    for (unsigned i = 0; i < config->endpoints_count; i++) {
        const struct bpi_endpoint_config *endpoint = &config->endpoint_is[i];
        int error = bpi_route_add(&cluster->route, i,
                                  endpoint->is_writer || !is_list ? BPI_ROUTE_READ_WRITE
                                                                  : BPI_ROUTE_READ_ONLY,
                                  endpoint->limit, bpi_loop_now_us(cluster->loops[0]));
        BP_ASSERT(error == 0); /* the configuration was checked */
        weights[i] = (struct bpi_route_weight){i, endpoint->weight};
    }
    int error = bpi_route_set_weights(&cluster->route, weights, config->endpoints_count);
    BP_ASSERT(error == 0);
    bpi_balance_reload(cluster, config);
    struct bpi_pool_router router = {cluster, fit, cost};
    bpi_pool_set_router(&cluster->pool, &router);
}

void bpi_balance_reload(struct bpi_cluster *cluster, const struct bpi_cluster_config *config)
{
    bpi_route_set_strategy(&cluster->route, config->strategy);
}

/* ---- transactions ---- */

void bpi_balance_asked(struct bpi_cluster *cluster, struct bpi_wish *wish, bp_usec now_us)
{
    wish->preferred = BPI_ROUTE_ENDPOINTS_MAX;
    enum bpi_route_strategy strategy = cluster->route.strategy;
    if (!bpi_cluster_has_choice(cluster) || wish->waiter.is_check ||
        strategy == BPI_ROUTE_ADAPTIVE || strategy == BPI_ROUTE_LEAST_CONNECTIONS) {
        return;
    }
    /* These say whose turn it is, not what an endpoint costs. Where that one has no link to spare, another one serves. */
    struct bpi_route_wish asked = route_wish(wish);
    struct bpi_route_ticket ticket;
    if (bpi_route_pick(&cluster->route, UINT64_MAX, &asked, now_us, &ticket) == 0) {
        wish->preferred = ticket.endpoint;
    }
}

void bpi_balance_granted(struct bpi_cluster *cluster,
                         struct bpi_link *link,
                         const struct bpi_wish *wish,
                         bp_usec now_us)
{
    if (!bpi_cluster_has_choice(cluster) || wish->waiter.is_check) {
        return;
    }
    struct bpi_route_wish asked = route_wish(wish);
    bpi_route_ticket(&cluster->route, link->place.endpoint, &asked, &link->ticket);
    bpi_route_started(&cluster->route, &link->ticket, now_us);
    link->outcome = BPI_ROUTE_OK;
}

void bpi_balance_ended(struct bpi_link *link, bool lost, bp_usec now_us)
{
    struct bpi_cluster *cluster = link->cluster;
    if (!link->ticket.is_started) {
        return;
    }
    enum bpi_route_outcome outcome = link->outcome;
    /* A server that refuses and then closes has said why. */
    if (lost && (outcome == BPI_ROUTE_OK || outcome == BPI_ROUTE_CLIENT_FAULT)) {
        outcome = BPI_ROUTE_CONNECTION_LOST;
    }
    bpi_route_finished(&cluster->route, &link->ticket, outcome, now_us);
    link->ticket.is_started = false;
    link->outcome = BPI_ROUTE_OK;
}

static bool code_is(const struct bpi_bolt_answer *answer, const char *code)
{
    return bpi_bolt_text_is(answer->code, code);
}

void bpi_balance_note(struct bpi_link *link, const struct bpi_bolt_answer *answer)
{
    if (answer->tag != BPI_BOLT_FAILURE) {
        return;
    }
    enum bpi_route_outcome outcome = BPI_ROUTE_CLIENT_FAULT;
    if (bpi_bolt_answer_is_fault(answer)) {
        outcome = BPI_ROUTE_SERVER_FAULT;
    } else if (code_is(answer, "Neo.ClientError.Cluster.NotALeader") ||
               code_is(answer, "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase")) {
        outcome = BPI_ROUTE_NOT_A_LEADER;
    } else if (code_is(answer, "Neo.TransientError.Transaction.DeadlockDetected") ||
               code_is(answer, "Neo.TransientError.Transaction.ConstraintsChanged") ||
               code_is(answer, "Neo.TransientError.Transaction.Outdated")) {
        outcome = BPI_ROUTE_CLIENT_FAULT; /* the clients stand in each other's way */
    } else if (bpi_bolt_answer_is_transient(answer)) {
        outcome = BPI_ROUTE_OVERLOADED;
    }
    if (link->outcome == BPI_ROUTE_OK || link->outcome == BPI_ROUTE_CLIENT_FAULT) {
        link->outcome = outcome;
    }
}

/* ---- bookmarks ---- */

bool bpi_cluster_wants_bookmarks(const struct bpi_cluster *cluster)
{
    return bpi_cluster_has_choice(cluster) &&
           bpi_cluster_config(cluster)->topology == BPI_TOPOLOGY_LIST;
}

void bpi_cluster_issued(struct bpi_link *link, uint64_t bookmark)
{
    struct bpi_cluster *cluster = link->cluster;
    pthread_mutex_lock(&cluster->mutex);
    if (link->ticket.is_started) {
        bpi_route_issued(&cluster->route, &link->ticket, bookmark);
    }
    pthread_mutex_unlock(&cluster->mutex);
}

/* ---- servers ---- */

void bpi_balance_reached(struct bpi_cluster *cluster, unsigned endpoint, bp_usec now_us)
{
    if (bpi_cluster_has_choice(cluster)) {
        bpi_route_reached(&cluster->route, endpoint, now_us);
    }
}

void bpi_balance_unreached(struct bpi_cluster *cluster, unsigned endpoint, bp_usec now_us)
{
    if (bpi_cluster_has_choice(cluster)) {
        bpi_route_unreached(&cluster->route, endpoint, now_us);
    }
}

/* ---- by time ---- */

static void log_event(struct bpi_cluster *cluster, const struct bpi_route_event *event)
{
    const char *name = bpi_cluster_config(cluster)->name;
    const char *what = bpi_route_event_name(event->kind);
    if (event->kind == BPI_ROUTE_EVENT_PANIC || event->kind == BPI_ROUTE_EVENT_PANIC_OVER) {
        bpi_log(BPI_LOG_WARN, "route", "%s: %s: %s (%.6g, %.6g)", name, what,
                bpi_route_reason_name(event->reason), event->figure, event->against);
        return;
    }
    bool is_bad =
        event->kind == BPI_ROUTE_EVENT_EJECTED || event->kind == BPI_ROUTE_EVENT_CIRCUIT_OPEN;
    bpi_log(is_bad ? BPI_LOG_WARN : BPI_LOG_INFO, "route", "%s: %s: %s: %s (%.6g, %.6g)", name,
            cluster->endpoints[event->endpoint].name, what, bpi_route_reason_name(event->reason),
            event->figure, event->against);
}

void bpi_balance_tick(struct bpi_cluster *cluster)
{
    if (!bpi_cluster_has_choice(cluster)) {
        return;
    }
    struct bpi_route_event events[16];
    unsigned count;
    bp_usec now_us = bpi_loop_now_us(cluster->loops[0]);
    pthread_mutex_lock(&cluster->mutex);
    bpi_route_tick(&cluster->route, now_us);
    uint64_t check = bpi_route_to_check(&cluster->route);
    pthread_mutex_unlock(&cluster->mutex);
    bool has_changed = false;
    do {
        pthread_mutex_lock(&cluster->mutex);
        for (count = 0; count < 16 && bpi_route_next_event(&cluster->route, &events[count]);) {
            count++;
        }
        pthread_mutex_unlock(&cluster->mutex);
        for (unsigned i = 0; i < count; i++) {
            log_event(cluster, &events[i]);
        }
        has_changed = has_changed || count > 0;
    } while (count == 16);
    for (; check != 0; check &= check - 1) {
        bpi_probe_want(&cluster->endpoints[__builtin_ctzll(check)].probe);
    }
    if (has_changed) {
        bpi_cluster_kick_all(cluster); /* who waits may go elsewhere now */
    }
}
