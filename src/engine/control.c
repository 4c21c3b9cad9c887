/* What people ask of a cluster: PAUSE, RESUME, RECONNECT, DRAIN, KILL, and how it is.
 *
 * Each of them changes the pool under the lock and has every loop ask what there is to do now; nothing here waits.
 */
#include "base/container.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static void lock(struct bpi_cluster *cluster)
{
    pthread_mutex_lock(&cluster->mutex);
}

static void unlock(struct bpi_cluster *cluster)
{
    pthread_mutex_unlock(&cluster->mutex);
}

/* ---- PAUSE, RESUME, RECONNECT, DRAIN ---- */

void bpi_cluster_pause(struct bpi_cluster *cluster)
{
    lock(cluster);
    bpi_pool_pause(&cluster->pool, true);
    bpi_pool_doom_all(&cluster->pool);
    unlock(cluster);
    bpi_cluster_kick_all(cluster);
}

void bpi_cluster_resume(struct bpi_cluster *cluster)
{
    lock(cluster);
    bpi_pool_pause(&cluster->pool, false);
    unlock(cluster);
    bpi_cluster_kick_all(cluster);
}

enum bpi_cluster_pause_state bpi_cluster_pause_state(struct bpi_cluster *cluster,
                                                     unsigned *ret_leased)
{
    lock(cluster);
    bool paused = cluster->pool.paused;
    unsigned open = bpi_pool_open_count(&cluster->pool);
    if (ret_leased != NULL) {
        *ret_leased = cluster->pool.counts[BPI_POOL_LEASED];
    }
    unlock(cluster);
    if (!paused) {
        return BPI_CLUSTER_RUNNING;
    }
    return open > 0 ? BPI_CLUSTER_PAUSING : BPI_CLUSTER_PAUSED;
}

void bpi_cluster_reconnect(struct bpi_cluster *cluster)
{
    lock(cluster);
    bpi_pool_doom_all(&cluster->pool);
    unlock(cluster);
    bpi_cluster_kick_all(cluster);
}

int bpi_cluster_drain(struct bpi_cluster *cluster, const char *endpoint, bool draining)
{
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        if (strcmp(cluster->endpoints[i].name, endpoint) == 0) {
            lock(cluster);
            bpi_pool_endpoint_drain(&cluster->pool, i, draining);
            unlock(cluster);
            bpi_cluster_kick_all(cluster);
            return 0;
        }
    }
    return BP_E_USAGE;
}

/* ---- KILL ---- */

/* A KILL on its way to the loop of the lease, or, where the link is still on its way there, waiting for it in
 * `link->kill`. Owner: that loop; freed there. */
struct bpi_kill {
    struct bpi_mail mail;
    struct bpi_cluster *cluster;
    uint64_t lease_id;
};

/* With the lock. */
static struct bpi_link *find_lease(struct bpi_cluster *cluster, uint64_t lease_id)
{
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_link *place;
        DL_FOREACH(cluster->pool.classes[i].leases, place)
        {
            if (place->lease_id == lease_id) {
                return (struct bpi_link *)(void *)place;
            }
        }
    }
    return NULL;
}

static void on_kill_mail(struct bpi_mail *mail)
{
    struct bpi_kill *kill = BPI_CONTAINER(mail, struct bpi_kill, mail);
    struct bpi_cluster *cluster = kill->cluster;
    struct bpi_loop *loop = bpi_loop_current();
    lock(cluster);
    struct bpi_link *link = find_lease(cluster, kill->lease_id);
    bool is_here = link != NULL && link->place.loop == bpi_loop_index(loop) && link->loop == loop;
    unlock(cluster);
    /* A lease doesn't change its loop, but its link may not have arrived yet: the loop where it is may be busy. */
    bool waits = link != NULL && !(is_here && bpi_link_kill(link));
    if (waits && link->kill == NULL) {
        link->kill = kill;
    } else {
        free(kill);
    }
}

void bpi_kill_arrived(struct bpi_link *link)
{
    struct bpi_kill *kill = link->kill;
    link->kill = NULL;
    bpi_loop_defer(link->loop, &kill->mail);
}

void bpi_kill_forget(struct bpi_link *link)
{
    free(link->kill);
    link->kill = NULL;
}

int bpi_cluster_kill(struct bpi_cluster *cluster, uint64_t lease_id)
{
    struct bpi_kill *kill = calloc(1, sizeof(*kill));
    if (kill == NULL) {
        return BP_E_NO_MEMORY;
    }
    kill->mail.deliver = on_kill_mail;
    kill->cluster = cluster;
    kill->lease_id = lease_id;
    lock(cluster);
    const struct bpi_link *link = find_lease(cluster, lease_id);
    unsigned loop = link == NULL ? 0 : link->place.loop;
    unlock(cluster);
    if (link == NULL) {
        free(kill);
        return BP_E_USAGE;
    }
    bpi_loop_post(cluster->loops[loop], &kill->mail);
    return 0;
}

/* ---- how it is ---- */

const char *bpi_cluster_endpoint_name(const struct bpi_cluster *cluster, unsigned endpoint)
{
    return cluster->endpoints[endpoint].name;
}

/* With the lock. */
static void
fill_health(struct bpi_cluster *cluster, struct bpi_cluster_stats *stats, bp_usec now_us)
{
    bp_usec dead_after_us = bpi_cluster_config(cluster)->dead_server_timeout_us;
    unsigned count = 0;
    double sum = 0;
    stats->links_health_worst = 1;
    for (unsigned i = 0; i < cluster->links_count; i++) {
        const struct bpi_link *link = cluster->links[i];
        enum bpi_pool_link_state state = link->place.state;
        if (state != BPI_POOL_IDLE && state != BPI_POOL_CHECKING && state != BPI_POOL_LEASED) {
            continue;
        }
        double score = bpi_health_score(&link->health, dead_after_us, now_us);
        count++;
        sum += score;
        if (score < stats->links_health_worst) {
            stats->links_health_worst = score;
        }
    }
    stats->links_health_mean = count == 0 ? 1 : sum / count;
}

/* With the lock. */
static void
fill_endpoints(struct bpi_cluster *cluster, struct bpi_cluster_stats *stats, bp_usec now_us)
{
    bp_usec dead_after_us = bpi_cluster_config(cluster)->dead_server_timeout_us;
    stats->endpoints_count = cluster->endpoints_count;
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        const struct bpi_endpoint *endpoint = &cluster->endpoints[i];
        const struct bpi_pool_endpoint *seen = &cluster->pool.endpoints[i];
        memcpy(stats->endpoints[i].name, endpoint->name, sizeof(stats->endpoints[i].name));
        stats->endpoints[i].up = seen->up;
        stats->endpoints[i].draining = seen->draining;
        stats->endpoints[i].links_open = seen->open_count;
        stats->endpoints[i].leased = seen->leased_count;
        stats->endpoints[i].granted = seen->granted_total;
        stats->endpoints[i].health = bpi_health_score(&endpoint->health, dead_after_us, now_us);
        stats->endpoints[i].round_trip_us = endpoint->health.round_trip_us;
    }
}

void bpi_cluster_stats_get(struct bpi_cluster *cluster, struct bpi_cluster_stats *ret_stats)
{
    bp_usec now_us = bpi_loop_now_us(cluster->loops[0]);
    lock(cluster);
    *ret_stats = *cluster->stats;
    const struct bpi_pool *pool = &cluster->pool;
    ret_stats->links_open = bpi_pool_open_count(pool);
    ret_stats->links_idle = pool->counts[BPI_POOL_IDLE];
    ret_stats->links_leased = pool->counts[BPI_POOL_LEASED];
    ret_stats->waiters = pool->waiters_count;
    ret_stats->paused = pool->paused;
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        ret_stats->leased[i] = pool->classes[i].leased;
        ret_stats->queued[i] = pool->classes[i].queue.count;
    }
    fill_endpoints(cluster, ret_stats, now_us);
    fill_health(cluster, ret_stats, now_us);
    unlock(cluster);
}
