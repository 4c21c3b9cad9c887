/* Watches whether the endpoints are alive, and counts how well they and their links are.
 *
 * Loop 0 looks at all links a few times in each dead_server_timeout: since when answers are due, and when each server
 * was heard last. What that means is decided in pool/suspicion.h; the question goes to an idle link, or by the probe.
 * Of an endpoint that is dead, every loop buries its own links: whoever waits for them hears of it as of a lost
 * connection. Links on which the server was heard meanwhile stay.
 */
#include "base/container.h"
#include "base/log.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"

#include <string.h>

/* Looks in a dead_server_timeout; but never more than 20 or less than one a second. Half of them find a dead server
 * an eighth of the time later. */
#define LOOKS       8
#define LOOK_MIN_US ((bp_usec)50000)
#define LOOK_MAX_US BP_USEC_PER_SECOND
/* Where there is a choice of endpoints, one that stalls is to be found within a second. */
#define BALANCE_MAX_US ((bp_usec)250000)
/* What part of dead_server_timeout an idle link has, before the server is asked on a new connection, too. */
#define PATIENCE_PART 4

static void lock(struct bpi_cluster *cluster)
{
    pthread_mutex_lock(&cluster->mutex);
}

static void unlock(struct bpi_cluster *cluster)
{
    pthread_mutex_unlock(&cluster->mutex);
}

/* ---- how well they are ---- */

bp_usec bpi_cluster_silent_max_us(const struct bpi_cluster_config *config)
{
    /* Not sooner than the watch: a server that is stopped with its window closed looks the same to the system. */
    return 2 * config->dead_server_timeout_us;
}

void bpi_watch_count_round_trip(struct bpi_link *link)
{
    if (link->round_trip_us != 0) {
        bpi_health_round_trip(&link->health, link->round_trip_us);
        bpi_health_round_trip(&link->cluster->endpoints[link->place.endpoint].health,
                              link->round_trip_us);
        link->round_trip_us = 0;
    }
}

void bpi_watch_count_outcome(struct bpi_link *link, bool failed, bp_usec now_us)
{
    bpi_watch_count_round_trip(link);
    bpi_health_outcome(&link->health, failed, now_us);
    bpi_health_outcome(&link->cluster->endpoints[link->place.endpoint].health, failed, now_us);
}

/* ---- burying ---- */

/* The link at `index` if it is one of a dead endpoint on this loop; else NULL. *ret_more: there are others behind it. */
static struct bpi_link *find_dead(struct bpi_cluster_loop *own,
                                  unsigned index,
                                  uint64_t dead,
                                  bp_usec spoke_before_us,
                                  bool *ret_more)
{
    struct bpi_cluster *cluster = own->cluster;
    struct bpi_link *found = NULL;
    lock(cluster);
    *ret_more = index < cluster->links_count;
    if (*ret_more) {
        struct bpi_link *link = cluster->links[index];
        const struct bpi_pool_link *place = &link->place;
        if (place->state != BPI_POOL_CLOSED && place->loop == bpi_loop_index(own->loop) &&
            link->loop == own->loop && (dead >> place->endpoint & 1) != 0 &&
            atomic_load_explicit(&link->spoke_us, memory_order_relaxed) <= spoke_before_us) {
            found = link;
        }
    }
    unlock(cluster);
    return found;
}

static void on_bury_mail(struct bpi_mail *mail)
{
    struct bpi_cluster_loop *own = BPI_CONTAINER(mail, struct bpi_cluster_loop, bury);
    uint64_t dead = atomic_exchange(&own->dead_endpoints, 0);
    bp_usec span_us = bpi_cluster_config(own->cluster)->dead_server_timeout_us;
    bp_usec now_us = bpi_loop_now_us(own->loop);
    bp_usec before_us = now_us > span_us ? now_us - span_us : 0;
    bool more = true;
    for (unsigned i = 0; more; i++) {
        struct bpi_link *link = find_dead(own, i, dead, before_us, &more);
        if (link != NULL) {
            bpi_link_bury(link);
        }
    }
}

static void bury(struct bpi_cluster *cluster, unsigned index)
{
    const struct bpi_cluster_config *config = bpi_cluster_config(cluster);
    struct bpi_endpoint *endpoint = &cluster->endpoints[index];
    lock(cluster);
    unsigned open = cluster->pool.endpoints[index].open_count;
    bpi_health_failed(&endpoint->health);
    bpi_pool_endpoint_down(&cluster->pool, index, 0, bpi_loop_now_us(cluster->loops[0]));
    bpi_balance_unreached(cluster, index, bpi_loop_now_us(cluster->loops[0]));
    unlock(cluster);
    if (open > 0) {
        bpi_log(
            BPI_LOG_WARN, "cluster",
            "%s: %s is dead: it has said nothing for twice dead_server_timeout = %.3g s, on a new "
            "connection either; its %u connections are closed",
            config->name, endpoint->name, (double)config->dead_server_timeout_us / 1e6, open);
    }
    for (unsigned i = 0; i < cluster->loops_count; i++) {
        struct bpi_cluster_loop *own = &cluster->per_loop[i];
        if (atomic_fetch_or(&own->dead_endpoints, UINT64_C(1) << index) == 0) {
            bpi_loop_post(own->loop, &own->bury);
        }
    }
    bpi_probe_want(&endpoint->probe);
}

/* ---- asking ---- */

void bpi_watch_asked(struct bpi_cluster *cluster, unsigned endpoint)
{
    bpi_suspicion_asked(&cluster->endpoints[endpoint].suspicion,
                        bpi_loop_now_us(cluster->loops[0]));
}

void bpi_watch_heard(struct bpi_cluster *cluster, unsigned endpoint)
{
    cluster->endpoints[endpoint].heard_us = bpi_loop_now_us(cluster->loops[0]);
}

static void ask_server(struct bpi_cluster *cluster, unsigned index)
{
    bpi_watch_asked(cluster, index);
    bpi_probe_press(&cluster->endpoints[index].probe);
}

static void ask_link(struct bpi_cluster *cluster, unsigned index)
{
    struct bpi_loop *loop = cluster->loops[0];
    lock(cluster);
    struct bpi_pool_link *place =
        bpi_pool_take_for_check(&cluster->pool, index, bpi_loop_now_us(loop));
    unsigned link_loop = place == NULL ? 0 : place->loop;
    unlock(cluster);
    if (place == NULL) {
        ask_server(cluster, index);
    } else {
        bpi_cluster_check_link(cluster, (struct bpi_link *)(void *)place, link_loop, loop);
    }
}

/* ---- looking ---- */

/* What is seen of one endpoint. */
struct sight {
    bp_usec due_us;
    bp_usec heard_us;
    enum bpi_suspicion_step step;
};

/* With the lock. */
static void look_at_links(struct bpi_cluster *cluster, struct sight *sights)
{
    for (unsigned i = 0; i < cluster->links_count; i++) {
        struct bpi_link *link = cluster->links[i];
        if (link->place.state == BPI_POOL_CLOSED) {
            continue;
        }
        struct sight *sight = &sights[link->place.endpoint];
        bp_usec due_us = atomic_load_explicit(&link->due_us, memory_order_relaxed);
        bp_usec spoke_us = atomic_load_explicit(&link->spoke_us, memory_order_relaxed);
        if (due_us != 0 && (sight->due_us == 0 || due_us < sight->due_us)) {
            sight->due_us = due_us;
        }
        if (spoke_us > sight->heard_us) {
            sight->heard_us = spoke_us;
        }
    }
}

static void look(struct bpi_cluster *cluster, struct sight *sights)
{
    const struct bpi_cluster_config *config = bpi_cluster_config(cluster);
    bp_usec now_us = bpi_loop_now_us(cluster->loops[0]);
    bp_usec part_us = config->dead_server_timeout_us / PATIENCE_PART;
    struct bpi_suspicion_limits limits = {
        .dead_after_us = config->dead_server_timeout_us,
        .patience_us =
            config->link_check_timeout_us < part_us ? config->link_check_timeout_us : part_us,
    };
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        sights[i] = (struct sight){.heard_us = cluster->endpoints[i].heard_us};
    }
    lock(cluster);
    look_at_links(cluster, sights);
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        struct bpi_endpoint *endpoint = &cluster->endpoints[i];
        sights[i].step = bpi_suspicion_next(&endpoint->suspicion, &limits, sights[i].due_us,
                                            sights[i].heard_us, now_us);
        if (endpoint->suspicion.state == BPI_SUSPICION_CALM) {
            endpoint->health.asked_us = 0;
        } else {
            bpi_health_asked(&endpoint->health, now_us);
        }
    }
    unlock(cluster);
}

static bp_usec look_every_us(const struct bpi_cluster *cluster)
{
    bp_usec every_us = bpi_cluster_config(cluster)->dead_server_timeout_us / LOOKS;
    bp_usec max_us = cluster->endpoints_count > 1 ? BALANCE_MAX_US : LOOK_MAX_US;
    return every_us > max_us || every_us == 0 ? max_us
           : every_us < LOOK_MIN_US           ? LOOK_MIN_US
                                              : every_us;
}

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_cluster *cluster = BPI_CONTAINER(timer, struct bpi_cluster, watch_timer);
    struct sight sights[BPI_CONFIG_ENDPOINTS_MAX] = {0};
    look(cluster, sights);
    bpi_balance_tick(cluster);
    for (unsigned i = 0; i < cluster->endpoints_count; i++) {
        switch (sights[i].step) {
        case BPI_SUSPICION_ASK_LINK:
            ask_link(cluster, i);
            break;
        case BPI_SUSPICION_ASK_SERVER:
            ask_server(cluster, i);
            break;
        case BPI_SUSPICION_BURY:
            bury(cluster, i);
            break;
        case BPI_SUSPICION_NOTHING:
            break;
        }
    }
    struct bpi_loop *loop = cluster->loops[0];
    bpi_timer_set(loop, timer, bpi_loop_now_us(loop) + look_every_us(cluster));
}

/* ---- life ---- */

void bpi_watch_init(struct bpi_cluster *cluster)
{
    cluster->watch_timer.on_fire = on_timer;
    for (unsigned i = 0; i < cluster->loops_count; i++) {
        cluster->per_loop[i].bury.deliver = on_bury_mail;
    }
}

void bpi_watch_start(struct bpi_cluster *cluster)
{
    struct bpi_loop *loop = cluster->loops[0];
    bpi_timer_set(loop, &cluster->watch_timer, bpi_loop_now_us(loop) + look_every_us(cluster));
}

void bpi_watch_stop(struct bpi_cluster *cluster)
{
    bpi_timer_clear(cluster->loops[0], &cluster->watch_timer);
}
