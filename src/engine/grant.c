/* Doing what the pool wants: grants and refusals reach whoever asked, links are opened, checked and closed.
 *
 * A wish that nobody has to wait before, and that an idle link of its own loop fits, is granted inside
 * bpi_cluster_acquire(). All else is done at the end of the turn (bpi_cluster_run_soon), so that no event of a link
 * ends in another event of the same link.
 */
#include "base/assert.h"
#include "base/container.h"
#include "engine/cluster.h"
#include "engine/cluster_internal.h"
#include "engine/config.h"
#include "engine/link.h"
#include "net/conn.h"

#include <boltpool/error.h>

#include <stdio.h>
#include <string.h>

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

/* ---- answers to wishes ---- */

/* A link that died after it was granted, or was to be checked: its place is free. On `loop`. */
static void bury(struct bpi_link *link, struct bpi_loop *loop)
{
    link->loop = loop;
    if (link->conn != NULL) {
        bpi_link_close(link);
    } else {
        bpi_cluster_link_closed(link, true, BP_E_SERVER_LOST);
    }
}

/* Hands a link to whoever it was granted to. On the wish's loop. */
static void deliver(struct bpi_wish *wish)
{
    struct bpi_cluster *cluster = wish->cluster;
    struct bpi_link *link = wish->link;
    if (link != NULL && !bpi_link_is_alive(link)) {
        wish->link = NULL;
        if (!wish->unwanted) {
            /* It keeps its turn. */
            lock(cluster);
            bpi_pool_wait_again(&cluster->pool, &wish->waiter);
            unlock(cluster);
        }
        bury(link, wish->loop);
        if (wish->unwanted) {
            wish->on_done(wish, NULL, false);
        }
        return;
    }
    wish->on_done(wish, link, wish->login);
}

static void on_wish_mail(struct bpi_mail *mail)
{
    struct bpi_wish *wish = BPI_CONTAINER(mail, struct bpi_wish, mail);
    struct bpi_link *link = wish->link;
    if (link != NULL) {
        bpi_link_arrive(link, wish->loop);
    }
    deliver(wish);
}

/* Granted at once on its own loop, but the link was dead. */
static void on_wish_here_mail(struct bpi_mail *mail)
{
    deliver(BPI_CONTAINER(mail, struct bpi_wish, mail));
}

void bpi_cluster_answer(struct bpi_wish *wish)
{
    wish->mail.deliver = on_wish_mail;
    bpi_loop_post(wish->loop, &wish->mail);
}

/* A granted link leaves its loop for the wish's. On the link's loop. */
static void send_away(struct bpi_link *link, struct bpi_wish *wish)
{
    bpi_link_leave(link);
    bpi_cluster_answer(wish);
}

static void on_send_away_mail(struct bpi_mail *mail)
{
    struct bpi_link *link = BPI_CONTAINER(mail, struct bpi_link, mail);
    struct bpi_wish *wish = link->bound_for;
    link->bound_for = NULL;
    if (wish->loop == link->loop) {
        deliver(wish);
    } else {
        send_away(link, wish);
    }
}

/* `link_loop`: where the link was when it was granted; read under the lock. */
static void do_grant(struct bpi_cluster *cluster,
                     struct bpi_link *link,
                     struct bpi_wish *wish,
                     struct bpi_loop *here,
                     unsigned link_loop)
{
    wish->link = link;
    if (link_loop != bpi_loop_index(here)) {
        link->bound_for = wish;
        link->mail.deliver = on_send_away_mail;
        bpi_loop_post(cluster->loops[link_loop], &link->mail);
    } else if (wish->loop != here) {
        send_away(link, wish);
    } else {
        deliver(wish);
    }
}

/* With the lock. */
static void
note_grant(struct bpi_cluster *cluster, const struct bpi_pool_action *action, bp_usec now_us)
{
    struct bpi_cluster_stats *stats = cluster->stats;
    bp_usec arrived_us = action->waiter->arrived_us;
    stats->granted[action->link->class_]++;
    stats->logins_swapped += action->login;
    bpi_histogram_record(&stats->wait[action->link->class_],
                         now_us > arrived_us ? now_us - arrived_us : 0);
    action->link->loop = action->waiter->loop;
    bpi_balance_granted(cluster, (struct bpi_link *)(void *)action->link,
                        (const struct bpi_wish *)(const void *)action->waiter, now_us);
}

/* ---- the other actions ---- */

static void on_goodbye_mail(struct bpi_mail *mail)
{
    struct bpi_link *link = BPI_CONTAINER(mail, struct bpi_link, mail);
    if (!atomic_load(&link->cluster->aborted)) {
        bpi_link_say_goodbye(link);
    }
}

static void check(struct bpi_link *link)
{
    if (bpi_link_is_alive(link)) {
        bpi_link_check(link);
    } else {
        bury(link, link->loop);
    }
}

static void on_check_mail(struct bpi_mail *mail)
{
    check(BPI_CONTAINER(mail, struct bpi_link, mail));
}

/* `here` is not the link's loop. */
static void post(struct bpi_cluster *cluster,
                 struct bpi_link *link,
                 unsigned link_loop,
                 void (*action)(struct bpi_mail *))
{
    link->mail.deliver = action;
    bpi_loop_post(cluster->loops[link_loop], &link->mail);
}

void bpi_cluster_check_link(struct bpi_cluster *cluster,
                            struct bpi_link *link,
                            unsigned link_loop,
                            struct bpi_loop *here)
{
    if (link_loop == bpi_loop_index(here)) {
        check(link);
    } else {
        post(cluster, link, link_loop, on_check_mail);
    }
}

static void kick(struct bpi_cluster *cluster, unsigned index)
{
    struct bpi_cluster_loop *other = &cluster->per_loop[index];
    if (!atomic_exchange(&other->kicked, true)) {
        bpi_loop_post(other->loop, &other->kick);
    }
}

void bpi_cluster_kick_all(struct bpi_cluster *cluster)
{
    for (unsigned i = 0; i < cluster->loops_count; i++) {
        kick(cluster, i);
    }
}

/* `identity`: of a link that nobody waits for; its reference is passed on. */
static void
do_open(const struct bpi_pool_action *action, struct bpi_loop *here, struct bpi_identity *identity)
{
    struct bpi_link *link = (struct bpi_link *)(void *)action->link;
    struct bpi_wish *wish = (struct bpi_wish *)(void *)action->waiter;
    struct bpi_link *like = (struct bpi_link *)(void *)action->like;
    bool utc_patch = action->link->key.protocol >> 16 != 0;
    if (wish != NULL) {
        bpi_link_open(link, wish->loop, wish->identity, utc_patch,
                      wish->waiter.is_check ? wish : NULL);
        return;
    }
    if (like != NULL) {
        identity = like->identity == NULL ? NULL : bpi_identity_ref(like->identity);
    }
    link->loop = here;
    if (identity == NULL) {
        bpi_cluster_link_closed(link, false, 0);
        return;
    }
    bpi_link_open(link, here, identity, utc_patch, NULL);
    bpi_identity_unref(identity);
}

static void free_places(struct bpi_cluster *cluster, struct bpi_cluster_loop *own)
{
    bp_usec now_us = bpi_loop_now_us(own->loop);
    lock(cluster);
    while (own->closed != NULL) {
        struct bpi_link *link = own->closed;
        own->closed = link->next_closed;
        link->next_closed = NULL;
        bpi_pool_link_closed(&cluster->pool, &link->place, now_us);
    }
    unlock(cluster);
}

/* What was decided under the lock, and what has to be known from there. */
struct decision {
    struct bpi_pool_action action;
    unsigned link_loop;
    bp_usec next_us;
    struct bpi_identity *warm;
};

static struct decision decide(struct bpi_cluster *cluster, struct bpi_loop *loop, bp_usec now_us)
{
    struct decision decision = {0};
    lock(cluster);
    decision.action = bpi_pool_decide(&cluster->pool, bpi_loop_index(loop), now_us);
    const struct bpi_pool_action *action = &decision.action;
    decision.link_loop = action->link != NULL ? action->link->loop : 0;
    if (action->kind == BPI_POOL_GRANT) {
        BP_ASSERT(action->link != NULL && action->waiter != NULL);
        note_grant(cluster, action, now_us);
    } else if (action->kind == BPI_POOL_REFUSE) {
        cluster->stats->refused[action->waiter->class_]++;
    } else if (action->kind == BPI_POOL_OPEN) {
        unsigned open = bpi_pool_open_count(&cluster->pool);
        if (open > cluster->stats->links_open_max) {
            cluster->stats->links_open_max = open;
        }
        if (action->waiter == NULL && action->like == NULL && cluster->warm_identity != NULL) {
            decision.warm = bpi_identity_ref(cluster->warm_identity);
        }
    } else if (action->kind == BPI_POOL_NOTHING) {
        decision.next_us = bpi_pool_next_us(&cluster->pool, now_us);
    }
    unlock(cluster);
    return decision;
}

static void carry_out(struct bpi_cluster *cluster, struct decision *decision, struct bpi_loop *here)
{
    const struct bpi_pool_action *action = &decision->action;
    struct bpi_link *link = (struct bpi_link *)(void *)action->link;
    struct bpi_wish *wish = (struct bpi_wish *)(void *)action->waiter;
    bool is_here = decision->link_loop == bpi_loop_index(here);
    switch (action->kind) {
    case BPI_POOL_GRANT:
        wish->login = action->login;
        do_grant(cluster, link, wish, here, decision->link_loop);
        break;
    case BPI_POOL_REFUSE:
        wish->link = NULL;
        wish->refusal = action->refusal;
        if (wish->loop == here) {
            deliver(wish);
        } else {
            bpi_cluster_answer(wish);
        }
        break;
    case BPI_POOL_OPEN:
        do_open(action, here, decision->warm);
        break;
    case BPI_POOL_CHECK:
        bpi_cluster_check_link(cluster, link, decision->link_loop, here);
        break;
    case BPI_POOL_CLOSE:
        if (is_here) {
            bpi_link_say_goodbye(link);
        } else {
            post(cluster, link, decision->link_loop, on_goodbye_mail);
        }
        break;
    case BPI_POOL_KICK:
        kick(cluster, action->loop);
        break;
    case BPI_POOL_CALL:
    case BPI_POOL_NOTHING:
        break;
    }
}

static void run(struct bpi_cluster *cluster, struct bpi_loop *loop)
{
    struct bpi_cluster_loop *own = loop_of(cluster, loop);
    if (own->closed != NULL) {
        free_places(cluster, own);
    }
    bp_usec now_us = bpi_loop_now_us(loop);
    struct decision decision = decide(cluster, loop, now_us);
    while (decision.action.kind != BPI_POOL_NOTHING) {
        carry_out(cluster, &decision, loop);
        decision = decide(cluster, loop, now_us);
    }
    bp_usec next_us = decision.next_us;
    if (next_us != 0 && (own->timer.position == 0 || next_us < own->timer.deadline_us)) {
        bpi_timer_set(loop, &own->timer, next_us);
    }
}

static void on_run(struct bpi_mail *mail)
{
    struct bpi_cluster_loop *own = BPI_CONTAINER(mail, struct bpi_cluster_loop, run);
    own->run_queued = false;
    run(own->cluster, own->loop);
}

static void on_kick(struct bpi_mail *mail)
{
    struct bpi_cluster_loop *own = BPI_CONTAINER(mail, struct bpi_cluster_loop, kick);
    atomic_store(&own->kicked, false);
    run(own->cluster, own->loop);
}

static void on_run_timer(struct bpi_timer *timer)
{
    struct bpi_cluster_loop *own = BPI_CONTAINER(timer, struct bpi_cluster_loop, timer);
    run(own->cluster, own->loop);
}

void bpi_cluster_loop_init(struct bpi_cluster_loop *own)
{
    own->timer.on_fire = on_run_timer;
    own->run.deliver = on_run;
    own->kick.deliver = on_kick;
}

void bpi_cluster_run_soon(struct bpi_cluster *cluster, struct bpi_loop *loop)
{
    struct bpi_cluster_loop *own = loop_of(cluster, loop);
    if (!own->run_queued) {
        own->run_queued = true;
        bpi_loop_defer(loop, &own->run);
    }
}

/* ---- wishes ---- */

static void fill_key(struct bpi_cluster *cluster, struct bpi_wish *wish)
{
    bpi_bolt_version link_version = bpi_bolt_version_link(wish->version, cluster->face.versions);
    struct bpi_pool_waiter *waiter = &wish->waiter;
    waiter->key.protocol = link_version | (uint32_t)wish->utc_patch << 16;
    waiter->protocol_bit = bpi_bolt_versions_of(link_version);
    waiter->relogin = bpi_bolt_has_logon(link_version);
    memcpy(waiter->key.identity, bpi_identity_digest(wish->identity), sizeof(waiter->key.identity));
}

enum bpi_pool_refusal
bpi_cluster_acquire(struct bpi_cluster *cluster, struct bpi_wish *wish, struct bpi_link **ret_link)
{
    struct bpi_loop *loop = bpi_loop_current();
    bp_usec now_us = bpi_loop_now_us(loop);
    enum bpi_pool_refusal refusal = BPI_POOL_ADMITTED;
    unsigned link_loop = 0;
    wish->cluster = cluster;
    wish->loop = loop;
    wish->waiter.loop = bpi_loop_index(loop);
    wish->link = NULL;
    wish->login = false;
    wish->failure = NULL;
    wish->unwanted = false;
    wish->refusal = BPI_POOL_ADMITTED;
    *ret_link = NULL;
    lock(cluster);
    fill_key(cluster, wish);
    bpi_balance_asked(cluster, wish, now_us);
    struct bpi_pool_link *place = bpi_pool_take(&cluster->pool, &wish->waiter, now_us);
    if (place != NULL) {
        struct bpi_pool_action action = {
            .kind = BPI_POOL_GRANT, .waiter = &wish->waiter, .link = place};
        link_loop = place->loop;
        note_grant(cluster, &action, now_us);
    } else {
        refusal = bpi_pool_wait(&cluster->pool, &wish->waiter, now_us);
        cluster->stats->refused[wish->waiter.class_] += refusal != BPI_POOL_ADMITTED;
    }
    bool has_more = cluster->pool.spread_is_wanted;
    unlock(cluster);
    struct bpi_link *link = (struct bpi_link *)(void *)place;
    if (has_more) {
        bpi_cluster_run_soon(cluster, loop);
    }
    if (link == NULL) {
        if (refusal == BPI_POOL_ADMITTED) {
            bpi_cluster_run_soon(cluster, loop);
        }
    } else if (link_loop == bpi_loop_index(loop) && bpi_link_is_alive(link)) {
        *ret_link = link;
    } else {
        /* It comes by mail, or turns out dead: at the end of the turn or later. */
        wish->link = link;
        if (link_loop == bpi_loop_index(loop)) {
            wish->mail.deliver = on_wish_here_mail;
            bpi_loop_defer(loop, &wish->mail);
        } else {
            do_grant(cluster, link, wish, loop, link_loop);
        }
    }
    return refusal;
}

bool bpi_cluster_cancel(struct bpi_cluster *cluster, struct bpi_wish *wish)
{
    lock(cluster);
    bool cancelled = bpi_pool_cancel(&cluster->pool, &wish->waiter, bpi_loop_now_us(wish->loop));
    unlock(cluster);
    if (cancelled) {
        bpi_cluster_run_soon(cluster, wish->loop);
    }
    return cancelled;
}

static unsigned held_count(const struct bpi_pool_accounts *accounts, uint64_t key)
{
    const struct bpi_pool_account *account = key == 0 ? NULL : bpi_pool_accounts_get(accounts, key);
    return account == NULL ? 0 : account->counts[BPI_POOL_HELD];
}

/* What bpi_cluster_explain() needs to know. */
struct standing {
    unsigned ahead;
    unsigned open;
    unsigned leased;
    unsigned max;
    unsigned user;
    unsigned database;
    unsigned up;
    bool paused;
};

static struct standing standing_of(struct bpi_cluster *cluster, const struct bpi_wish *wish)
{
    const struct bpi_pool *pool = &cluster->pool;
    enum bpi_class class_ = wish->waiter.class_;
    lock(cluster);
    struct standing standing = {
        .ahead = bpi_pool_ahead_count(pool, &wish->waiter),
        .open = bpi_pool_open_count(pool),
        .leased = pool->classes[class_].leased,
        .max = pool->limits.classes[class_].max,
        .user = held_count(&pool->users, wish->waiter.user_key),
        .database = held_count(&pool->databases, wish->waiter.database_key),
        .paused = pool->paused,
    };
    for (unsigned i = 0; i < pool->endpoints_count; i++) {
        standing.up += pool->endpoints[i].up;
    }
    unlock(cluster);
    return standing;
}

const char *bpi_cluster_explain(struct bpi_cluster *cluster,
                                const struct bpi_wish *wish,
                                char *text,
                                size_t size)
{
    const struct bpi_cluster_config *config = bpi_cluster_config(cluster);
    struct standing standing = standing_of(cluster, wish);
    const char *class_name = bpi_class_name(wish->waiter.class_);
    int used;
    if (standing.paused) {
        used = snprintf(text, size, "cluster %s is paused", config->name);
    } else if (standing.up == 0) {
        used = snprintf(text, size, "no server of cluster %s can be reached", config->name);
    } else if (standing.max != 0 && standing.leased >= standing.max) {
        used = snprintf(text, size, "max = %u of [class %s] is reached", standing.max, class_name);
    } else if (config->max_user_links != 0 && standing.user >= config->max_user_links) {
        used = snprintf(text, size, "max_user_links = %u of [cluster %s] is reached for this user",
                        config->max_user_links, config->name);
    } else if (config->max_database_links != 0 && standing.database >= config->max_database_links) {
        used = snprintf(text, size,
                        "max_database_links = %u of [cluster %s] is reached for this database",
                        config->max_database_links, config->name);
    } else if (standing.open >= config->max_links) {
        used = snprintf(text, size, "max_links = %u of [cluster %s] is reached", config->max_links,
                        config->name);
    } else {
        used = snprintf(text, size, "a connection to cluster %s is being opened", config->name);
    }
    if (used > 0 && (size_t)used < size) {
        snprintf(text + used, size - (size_t)used, "; class %s has %u in use, %u wait ahead",
                 class_name, standing.leased, standing.ahead);
    }
    return text;
}
