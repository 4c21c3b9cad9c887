/* See cluster.h. Events of links, the face, and the life of it all; grants are in grant.c, probes in probe.c, log-in
 * checks in login.c. */
#include "engine/cluster.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"
#include "engine/link.h"
#include "net/conn.h"
#include "net/tls.h"

#include <boltpool/error.h>

#include <openssl/rand.h>
#include <uv.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A server that refuses a log-in for want of threads is asked again after so long, growing up to the maximum. With
 * half of the first, one that is full for a moment is found again sooner, and twice as many ask it meanwhile. */
#define REFUSED_MIN_US ((bp_usec)100000)
#define REFUSED_MAX_US BP_USEC_PER_SECOND

static struct bpi_cluster_loop *loop_of(struct bpi_cluster *cluster, const struct bpi_loop *loop)
{
    return &cluster->per_loop[bpi_loop_index(loop)];
}

static void lock(struct bpi_cluster *cluster)
{
    pthread_mutex_lock(&cluster->mutex);
}

static void unlock(struct bpi_cluster *cluster)
{
    pthread_mutex_unlock(&cluster->mutex);
}

/* ---- events of links ---- */

void bpi_cluster_link_opened(struct bpi_link *link)
{
    struct bpi_cluster *cluster = link->cluster;
    struct bpi_identity *before = NULL;
    lock(cluster);
    cluster->stats->links_opened++;
    link->health = (struct bpi_health){0};
    bpi_watch_count_round_trip(link);
    bpi_backoff_reset(&cluster->endpoints[link->place.endpoint].refusals);
    if (cluster->pool.limits.idle_min > 0) {
        /* Links that nobody waits for are opened as the one that came last. */
        before = cluster->warm_identity;
        cluster->warm_identity = bpi_identity_ref(link->identity);
        bpi_pool_set_warm_key(&cluster->pool, &link->place.key,
                              bpi_bolt_versions_of(link->version));
    }
    bpi_pool_link_opened(&cluster->pool, &link->place, bpi_loop_now_us(link->loop));
    bpi_balance_reached(cluster, link->place.endpoint, bpi_loop_now_us(link->loop));
    unlock(cluster);
    bpi_identity_unref(before);
    bpi_cluster_run_soon(cluster, link->loop);
}

void bpi_cluster_link_checked(struct bpi_link *link)
{
    struct bpi_cluster *cluster = link->cluster;
    lock(cluster);
    cluster->stats->links_checked++;
    bpi_watch_count_round_trip(link);
    bpi_pool_link_checked(&cluster->pool, &link->place, bpi_loop_now_us(link->loop));
    unlock(cluster);
    bpi_cluster_run_soon(cluster, link->loop);
}

void bpi_cluster_link_released(struct bpi_link *link)
{
    struct bpi_cluster *cluster = link->cluster;
    bp_usec now_us = bpi_loop_now_us(link->loop);
    lock(cluster);
    bpi_watch_count_outcome(link, link->failed, now_us);
    bpi_balance_ended(link, false, now_us);
    bpi_pool_link_released(&cluster->pool, &link->place, link->failed, now_us);
    link->failed = false;
    unlock(cluster);
    bpi_cluster_run_soon(cluster, link->loop);
}

void bpi_cluster_idle_link_lost(struct bpi_link *link)
{
    struct bpi_cluster *cluster = link->cluster;
    lock(cluster);
    bool idle = link->place.state == BPI_POOL_IDLE;
    if (idle) {
        /* Nobody may be granted it any more; the place is freed just below. */
        bpi_pool_link_closing(&cluster->pool, &link->place, bpi_loop_now_us(link->loop));
    }
    unlock(cluster);
    if (idle) {
        bpi_cluster_link_closed(link, true, BP_E_SERVER_LOST);
    }
}

/* What a lost connection means for its endpoint. With the lock. True: it has to be asked. */
static bool note_loss(struct bpi_link *link, bool established, int error, bp_usec now_us)
{
    struct bpi_cluster *cluster = link->cluster;
    unsigned index = link->place.endpoint;
    struct bpi_endpoint *endpoint = &cluster->endpoints[index];
    struct bpi_pool_endpoint *seen = &cluster->pool.endpoints[index];
    if (error == 0) {
        return false;
    }
    if (established) {
        cluster->stats->links_lost++;
        bpi_watch_count_outcome(link, true, now_us);
    }
    if (error == BP_E_SERVER_FAILURE) {
        /* It refuses log-ins for want of threads: it is up, but asking at once would not help. */
        seen->open_after_us =
            now_us + bpi_backoff_next(&endpoint->refusals, REFUSED_MIN_US, REFUSED_MAX_US,
                                      bpi_random_unit(&cluster->random));
        return false;
    }
    if (!established && error != BP_E_NO_MEMORY) {
        bpi_balance_unreached(cluster, index, now_us);
    }
    bool was_up = seen->up;
    if (established && error == UV_ETIMEDOUT) {
        return was_up; /* one that hangs says nothing of its neighbours: the answer to the question does */
    }
    if (was_up) {
        /* It may have restarted as another version: it is asked before links are opened again. */
        bpi_pool_endpoint_down(&cluster->pool, index, 0, now_us);
    }
    return was_up;
}

void bpi_cluster_link_closed(struct bpi_link *link, bool established, int error)
{
    struct bpi_cluster *cluster = link->cluster;
    struct bpi_cluster_loop *own = loop_of(cluster, link->loop);
    unsigned endpoint = link->place.endpoint;
    bp_usec now_us = bpi_loop_now_us(link->loop);
    bpi_kill_forget(link);
    lock(cluster);
    bpi_pool_link_closing(&cluster->pool, &link->place, now_us);
    bpi_balance_ended(link, error != 0, now_us);
    bool ask = note_loss(link, established, error, now_us);
    unlock(cluster);
    /* The place is freed at the end of the turn: until then the link's own events are still on the stack,
     * and another loop must not open it under their feet. */
    link->next_closed = own->closed;
    own->closed = link;
    if (ask && !atomic_load(&cluster->stopping)) {
        const char *more;
        if (bpi_log_allowed(&own->lost_log, 5, now_us, &more)) {
            bpi_log(BPI_LOG_WARN, "cluster",
                    "%s: a connection to %s was lost (%s); asking whether it is up%s",
                    bpi_cluster_config(cluster)->name, cluster->endpoints[endpoint].name,
                    bp_error_text(error), more);
        }
        if (established && error == UV_ETIMEDOUT) {
            bpi_probe_press(&cluster->endpoints[endpoint].probe);
        } else {
            bpi_probe_want(&cluster->endpoints[endpoint].probe);
        }
    }
    bpi_cluster_run_soon(cluster, own->loop);
}

struct bpi_server_failure *bpi_server_failure_new(const struct bpi_bolt_answer *answer,
                                                  bpi_bolt_version version)
{
    size_t meta_size = answer->tag == BPI_BOLT_FAILURE ? answer->meta.size : 0;
    struct bpi_server_failure *failure = calloc(1, sizeof(*failure) + meta_size);
    if (failure == NULL) {
        return NULL;
    }
    failure->version = version;
    failure->meta_size = meta_size;
    if (meta_size > 0) {
        memcpy(failure->meta, answer->meta.data, meta_size);
    }
    snprintf(failure->code, sizeof(failure->code), "%.*s",
             (int)(answer->code.size < 127 ? answer->code.size : 127),
             answer->code.data == NULL ? "" : answer->code.data);
    snprintf(failure->message, sizeof(failure->message), "%.*s",
             (int)(answer->message.size < 511 ? answer->message.size : 511),
             answer->message.data == NULL ? "" : answer->message.data);
    return failure;
}

void bpi_cluster_login_refused(struct bpi_cluster *cluster,
                               struct bpi_identity *identity,
                               const struct bpi_bolt_answer *answer,
                               bpi_bolt_version version,
                               struct bpi_loop *loop)
{
    struct bpi_pool_key key = {0};
    memcpy(key.identity, bpi_identity_digest(identity), sizeof(key.identity));
    lock(cluster);
    bpi_auth_cache_forget(&cluster->auth_cache, key.identity);
    bpi_pool_forget_identity(&cluster->pool, &key);
    unlock(cluster);
    /* Whoever waits with it would only try it again. */
    while (true) {
        struct bpi_server_failure *failure = bpi_server_failure_new(answer, version);
        if (failure == NULL) {
            break;
        }
        lock(cluster);
        struct bpi_pool_waiter *waiter =
            bpi_pool_take_waiter(&cluster->pool, &key, bpi_loop_now_us(loop));
        unlock(cluster);
        if (waiter == NULL) {
            free(failure);
            break;
        }
        struct bpi_wish *wish = (struct bpi_wish *)(void *)waiter;
        wish->link = NULL;
        wish->failure = failure;
        bpi_cluster_answer(wish);
    }
    bpi_cluster_run_soon(cluster, loop);
}

/* ---- the face ---- */

const uint8_t *bpi_cluster_key(const struct bpi_cluster *cluster)
{
    return cluster->key;
}

void bpi_cluster_face_get(struct bpi_cluster *cluster, struct bpi_cluster_face *ret_face)
{
    lock(cluster);
    *ret_face = cluster->face;
    unlock(cluster);
    bpi_bolt_version newest = bpi_cluster_config(cluster)->max_bolt_version;
    ret_face->versions &= bpi_bolt_versions_range(BPI_BOLT(4, 1), newest);
}

bool bpi_cluster_face_wait(struct bpi_cluster *cluster, struct bpi_face_waiter *waiter)
{
    waiter->loop = bpi_loop_current();
    lock(cluster);
    bool unknown = cluster->face.versions == 0;
    if (unknown) {
        waiter->queued = true;
        DL_APPEND(cluster->face_waiters, waiter);
    }
    unlock(cluster);
    return unknown;
}

bool bpi_cluster_face_cancel(struct bpi_cluster *cluster, struct bpi_face_waiter *waiter)
{
    lock(cluster);
    bool queued = waiter->queued;
    if (queued) {
        waiter->queued = false;
        DL_DELETE(cluster->face_waiters, waiter);
    }
    unlock(cluster);
    return queued;
}

/* ---- life ---- */

static struct bpi_pool_limits limits_of(const struct bpi_config *whole,
                                        const struct bpi_cluster_config *config)
{
    struct bpi_pool_limits limits = {
        .links_max = config->max_links,
        .idle_min = config->min_idle_links,
        .user_links_max = config->max_user_links,
        .database_links_max = config->max_database_links,
        .endpoint_links_max = config->max_endpoint_links,
        .endpoint_transactions_max = config->max_endpoint_transactions,
        .endpoint_connects_max = config->max_connects,
        .errors_max = config->link_error_limit,
        .lend_max_hold_us = config->lend_max_hold_us,
        .pass_over_us = config->pass_over_us,
        .auth_ttl_us = config->link_auth_ttl_us,
        .idle_timeout_us = config->link_idle_timeout_us,
        .lifetime_us = config->link_lifetime_us,
        .check_after_us = config->link_check_after_us,
        .keep_alive_us = config->link_keep_alive_us,
    };
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        const struct bpi_class_config *class_ = &whole->classes[i];
        limits.classes[i] = (struct bpi_pool_class_limits){
            .min = bpi_amount_of(class_->min, config->max_links, false),
            .max = bpi_amount_of(class_->max, config->max_links, true),
            .share = class_->share,
            .waiting_max = class_->max_waiting,
            .codel_target_us = class_->codel_target_us,
        };
    }
    return limits;
}

/* Adds places until there are `count`. Before the lock is needed, or by the reloading thread. */
static int add_places(struct bpi_cluster *cluster, unsigned count)
{
    unsigned have = cluster->links_count;
    if (count <= have) {
        return 0;
    }
    struct bpi_link **links = calloc(count, sizeof(*links));
    if (links == NULL) {
        return BP_E_NO_MEMORY;
    }
    unsigned made = have;
    while (made < count && (links[made] = calloc(1, sizeof(struct bpi_link))) != NULL) {
        links[made]->cluster = cluster;
        made++;
    }
    int error = made < count ? BP_E_NO_MEMORY : 0;
    if (error != 0) {
        while (made > have) {
            free(links[--made]);
        }
        free(links);
        return error;
    }
    lock(cluster);
    for (unsigned i = 0; i < have; i++) {
        links[i] = cluster->links[i];
    }
    for (unsigned i = have; i < count; i++) {
        bpi_pool_add_place(&cluster->pool, &links[i]->place);
    }
    struct bpi_link **old = cluster->links;
    cluster->links = links;
    cluster->links_count = count;
    unlock(cluster);
    free(old);
    return 0;
}

static void on_abort(struct bpi_mail *mail)
{
    struct bpi_cluster_loop *own = BPI_CONTAINER(mail, struct bpi_cluster_loop, abort);
    struct bpi_cluster *cluster = own->cluster;
    bpi_timer_clear(own->loop, &own->timer);
    atomic_store(&cluster->aborted, true);
    for (unsigned i = 0; i < cluster->links_count; i++) {
        struct bpi_link *link = cluster->links[i];
        lock(cluster);
        bool mine = link->place.state != BPI_POOL_CLOSED &&
                    link->place.loop == bpi_loop_index(own->loop) && link->loop == own->loop;
        unlock(cluster);
        if (mine && link->conn != NULL) {
            bpi_link_close(link);
        }
    }
}

static int make_endpoint(struct bpi_cluster *cluster,
                         const struct bpi_cluster_config *config,
                         unsigned index,
                         char *reterr_text,
                         size_t reterr_text_size)
{
    struct bpi_endpoint *endpoint = &cluster->endpoints[index];
    endpoint->url = config->endpoint[index];
    snprintf(endpoint->name, sizeof(endpoint->name), "%s:%u", endpoint->url.host,
             endpoint->url.port);
    bpi_probe_init(&endpoint->probe, cluster, index);
    if (!endpoint->url.tls) {
        return 0;
    }
    return bpi_tls_client_new(
        endpoint->url.tls_verify,
        config->endpoint_tls_ca_file[0] == '\0' ? NULL : config->endpoint_tls_ca_file,
        &endpoint->tls, reterr_text, reterr_text_size);
}

int bpi_cluster_new(const struct bpi_config *whole,
                    const struct bpi_cluster_config *config,
                    struct bpi_loop **loops,
                    unsigned loops_count,
                    struct bpi_cluster **ret_cluster,
                    char *reterr_text,
                    size_t reterr_text_size)
{
    int error = BP_E_NO_MEMORY;
    snprintf(reterr_text, reterr_text_size, "[cluster %s]: out of memory", config->name);
    struct bpi_cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL) {
        return error;
    }
    pthread_mutex_init(&cluster->mutex, NULL);
    atomic_init(&cluster->whole, whole);
    atomic_init(&cluster->config, config);
    cluster->loops_count = loops_count;
    cluster->endpoints_count = config->endpoints_count;
    cluster->loops = calloc(loops_count, sizeof(*cluster->loops));
    cluster->per_loop = calloc(loops_count, sizeof(*cluster->per_loop));
    cluster->endpoints = calloc(config->endpoints_count, sizeof(*cluster->endpoints));
    cluster->stats = calloc(1, sizeof(*cluster->stats));
    if (cluster->loops == NULL || cluster->per_loop == NULL || cluster->endpoints == NULL ||
        cluster->stats == NULL) {
        goto fail;
    }
    if (RAND_bytes(cluster->key, sizeof(cluster->key)) != 1) {
        snprintf(reterr_text, reterr_text_size, "the system has no random numbers");
        error = BP_E_INTERNAL;
        goto fail;
    }
    for (unsigned i = 0; i < loops_count; i++) {
        struct bpi_cluster_loop *own = &cluster->per_loop[i];
        cluster->loops[i] = loops[i];
        own->cluster = cluster;
        own->loop = loops[i];
        bpi_cluster_loop_init(own);
        own->abort.deliver = on_abort;
        /* Loop 0 has those of the probes and of the watch, too. */
        error = bpi_timer_reserve(loops[i], i == 0 ? 2 + (int)config->endpoints_count : 1);
        if (error != 0) {
            goto fail;
        }
    }
    struct bpi_pool_limits limits = limits_of(whole, config);
    uint64_t seed;
    memcpy(&seed, cluster->key, sizeof(seed));
    bpi_pool_init(&cluster->pool, &limits, config->endpoints_count, seed);
    bpi_random_init(&cluster->random, ~seed);
    error = add_places(cluster, config->max_links);
    if (error != 0) {
        goto fail;
    }
    for (unsigned i = 0; i < config->endpoints_count; i++) {
        error = make_endpoint(cluster, config, i, reterr_text, reterr_text_size);
        if (error != 0) {
            goto fail;
        }
    }
    bpi_balance_init(cluster, config);
    bpi_watch_init(cluster);
    *ret_cluster = cluster;
    return 0;
fail:
    bpi_cluster_free(cluster);
    return error;
}

void bpi_cluster_start(struct bpi_cluster *cluster)
{
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        bpi_probe_want(&cluster->endpoints[i].probe);
    }
    bpi_watch_start(cluster);
}

void bpi_cluster_reload(struct bpi_cluster *cluster,
                        const struct bpi_config *whole,
                        const struct bpi_cluster_config *config)
{
    struct bpi_pool_limits limits = limits_of(whole, config);
    if (add_places(cluster, config->max_links) != 0) {
        bpi_log(BPI_LOG_ERROR, "cluster", "%s: no memory for more links", config->name);
        limits.links_max = cluster->links_count;
    }
    lock(cluster);
    atomic_store_explicit(&cluster->whole, whole, memory_order_release);
    atomic_store_explicit(&cluster->config, config, memory_order_release);
    bpi_pool_set_limits(&cluster->pool, &limits);
    bpi_balance_reload(cluster, config);
    unlock(cluster);
    bpi_cluster_kick_all(cluster);
}

void bpi_cluster_stop(struct bpi_cluster *cluster)
{
    atomic_store(&cluster->stopping, true);
    bpi_watch_stop(cluster);
    lock(cluster);
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        bpi_pool_endpoint_down(&cluster->pool, i, 0, bpi_clock_now_us());
    }
    bpi_pool_doom_all(&cluster->pool);
    unlock(cluster);
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        bpi_probe_stop(&cluster->endpoints[i].probe);
    }
    bpi_cluster_kick_all(cluster);
}

void bpi_cluster_abort(struct bpi_cluster *cluster)
{
    for (unsigned i = 0; i < cluster->loops_count; i++) {
        bpi_loop_post(cluster->loops[i], &cluster->per_loop[i].abort);
    }
}

bool bpi_cluster_is_closed(struct bpi_cluster *cluster)
{
    lock(cluster);
    bool closed = bpi_pool_open_count(&cluster->pool) == 0 && cluster->probes_running == 0 &&
                  cluster->checks == NULL;
    unlock(cluster);
    return closed;
}

void bpi_cluster_free(struct bpi_cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    struct bpi_login_check *check;
    struct bpi_login_check *after;
    DL_FOREACH_SAFE(cluster->checks, check, after)
    {
        bpi_identity_unref(check->identity);
        free(check);
    }
    for (unsigned i = 0; i < cluster->links_count; i++) {
        bpi_kill_forget(cluster->links[i]);
        free(cluster->links[i]);
    }
    free(cluster->links);
    bpi_identity_unref(cluster->warm_identity);
    for (unsigned i = 0; cluster->endpoints != NULL && i < cluster->endpoints_count; i++) {
        bpi_tls_context_unref(cluster->endpoints[i].tls);
    }
    free(cluster->endpoints);
    free(cluster->stats);
    free(cluster->per_loop);
    free(cluster->loops);
    pthread_mutex_destroy(&cluster->mutex);
    explicit_bzero(cluster->key, sizeof(cluster->key));
    free(cluster);
}
