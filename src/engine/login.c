/* Checking a client's log-in with a server: once for each distinct log-in at a time.
 *
 * A check is a wish that always gets a link of its own opened for it (pool.h: is_check), so a wrong
 * password is tried once and kills only that link. On success the link, logged on already, joins the idle
 * ones. Clients that come with the same log-in meanwhile wait for the same check.
 */
#include "base/assert.h"
#include "base/container.h"
#include "engine/cluster_internal.h"

#include <boltpool/error.h>

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* More checks at one time than this are a flood: the next one is refused, to be tried again. Finding one among
 * them is a walk under the lock of a few microseconds. */
#define CHECKS_MAX 512

static void on_login_mail(struct bpi_mail *mail)
{
    struct bpi_login *login = BPI_CONTAINER(mail, struct bpi_login, mail);
    login->on_done(login);
}

/* On its loop, once it is in no list. */
static void check_free(struct bpi_login_check *check)
{
    bpi_timer_clear(check->wish.loop, &check->timer);
    int error = bpi_timer_reserve(check->wish.loop, -1);
    (void)error; /* giving back can't fail */
    bpi_identity_unref(check->identity);
    free(check);
}

/* With the lock: nobody finds it any more. */
static void leave(struct bpi_cluster *cluster, struct bpi_login_check *check)
{
    DL_DELETE(cluster->checks, check);
    cluster->checks_count--;
}

/* Answers all subscribers and ends the check. On its loop. */
static void check_end(struct bpi_login_check *check,
                      int status,
                      const struct bpi_bolt_answer *answer,
                      bpi_bolt_version version)
{
    struct bpi_cluster *cluster = check->wish.cluster;
    pthread_mutex_lock(&cluster->mutex);
    leave(cluster, check);
    struct bpi_login *subscribers = check->subscribers;
    struct bpi_login *login;
    DL_FOREACH(subscribers, login)
    {
        login->check = NULL;
    }
    pthread_mutex_unlock(&cluster->mutex);
    while (subscribers != NULL) {
        login = subscribers;
        DL_DELETE(subscribers, login);
        login->status = status;
        login->expired = check->expired;
        if (answer != NULL) {
            login->failure = bpi_server_failure_new(answer, version);
            if (login->failure == NULL) {
                login->status = BP_E_NO_MEMORY;
            }
        }
        bpi_loop_post(login->loop, &login->mail);
    }
    check_free(check);
}

void bpi_login_check_verified(struct bpi_login_check *check, struct bpi_link *link)
{
    struct bpi_cluster *cluster = check->wish.cluster;
    bp_usec ttl_us = bpi_cluster_config(cluster)->auth_cache_ttl_us;
    check->link = NULL;
    if (!check->expired && ttl_us > 0) {
        pthread_mutex_lock(&cluster->mutex);
        bpi_auth_cache_put(&cluster->auth_cache, bpi_identity_digest(check->identity),
                           bpi_loop_now_us(check->wish.loop) + ttl_us);
        pthread_mutex_unlock(&cluster->mutex);
    }
    check_end(check, 0, NULL, 0);
    bpi_cluster_link_released(link);
}

void bpi_login_check_refused(struct bpi_login_check *check,
                             const struct bpi_bolt_answer *answer,
                             bpi_bolt_version version)
{
    check_end(check, BP_E_SERVER_FAILURE, answer, version);
}

void bpi_login_check_lost(struct bpi_login_check *check, bool sent)
{
    struct bpi_cluster *cluster = check->wish.cluster;
    if (sent) {
        /* Servers close without a word on a log-in that they can't read; a password is tried once. */
        check_end(check, BP_E_SERVER_LOST, NULL, 0);
        return;
    }
    if (check->timer.position == 0) {
        /* The time ran out while the link was being opened. */
        check_end(check, BP_E_QUEUE_TIMEOUT, NULL, 0);
        return;
    }
    struct bpi_loop *loop = check->wish.loop;
    pthread_mutex_lock(&cluster->mutex);
    bool is_wanted = check->subscribers != NULL;
    if (is_wanted) {
        bpi_pool_wait_again(&cluster->pool, &check->wish.waiter);
    } else {
        leave(cluster, check); /* all have gone while its link was being opened */
    }
    pthread_mutex_unlock(&cluster->mutex);
    if (!is_wanted) {
        check_free(check);
    }
    bpi_cluster_run_soon(cluster, loop);
}

static void on_timer(struct bpi_timer *timer)
{
    struct bpi_login_check *check = BPI_CONTAINER(timer, struct bpi_login_check, timer);
    struct bpi_cluster *cluster = check->wish.cluster;
    struct bpi_loop *loop = check->wish.loop;
    pthread_mutex_lock(&cluster->mutex);
    /* Both in one: its last client may go on another loop at this moment, and end it, too. Where it is abandoned, the mail
     * that ends it is on its way; where its link is being opened, that ends within connect_timeout. */
    bool ends = !check->abandoned &&
                bpi_pool_cancel(&cluster->pool, &check->wish.waiter, bpi_loop_now_us(loop));
    pthread_mutex_unlock(&cluster->mutex);
    if (ends) {
        bpi_cluster_run_soon(cluster, loop);
        check_end(check, BP_E_QUEUE_TIMEOUT, NULL, 0);
    }
}

static void fresh_free(struct bpi_loop *loop, struct bpi_login_check *fresh)
{
    if (fresh != NULL) {
        int error = bpi_timer_reserve(loop, -1);
        (void)error; /* giving back can't fail */
        free(fresh);
    }
}

void bpi_cluster_verify(struct bpi_cluster *cluster,
                        struct bpi_login *login,
                        struct bpi_identity *identity,
                        bpi_bolt_version version,
                        bool utc_patch)
{
    struct bpi_loop *loop = bpi_loop_current();
    const uint8_t *digest = bpi_identity_digest(identity);
    struct bpi_login_check *fresh = calloc(1, sizeof(*fresh));
    if (fresh != NULL && bpi_timer_reserve(loop, 1) != 0) {
        free(fresh);
        fresh = NULL;
    }
    login->cluster = cluster;
    login->loop = loop;
    login->mail.deliver = on_login_mail;
    login->status = 0;
    login->expired = false;
    login->check = NULL;
    login->failure = NULL;
    pthread_mutex_lock(&cluster->mutex);
    bool known = bpi_auth_cache_holds(&cluster->auth_cache, digest, bpi_loop_now_us(loop));
    struct bpi_login_check *check = NULL;
    if (!known) {
        DL_FOREACH(cluster->checks, check)
        {
            if (memcmp(bpi_identity_digest(check->identity), digest, BPI_POOL_IDENTITY_BYTES) ==
                0) {
                break;
            }
        }
        if (check == NULL && fresh != NULL && cluster->checks_count < CHECKS_MAX) {
            cluster->checks_count++;
            check = fresh;
            check->identity = bpi_identity_ref(identity);
            DL_APPEND(cluster->checks, check);
        }
        if (check != NULL) {
            login->check = check;
            DL_APPEND(check->subscribers, login);
        }
        cluster->stats->logins_checked += check != NULL && check == fresh;
    }
    pthread_mutex_unlock(&cluster->mutex);
    if (known || check == NULL) {
        login->status = known ? 0 : BP_E_FULL;
        fresh_free(loop, fresh);
        bpi_loop_defer(loop, &login->mail);
        return;
    }
    if (check != fresh) {
        fresh_free(loop, fresh);
        return;
    }
    check->wish.identity = check->identity;
    check->wish.version = version;
    check->wish.utc_patch = utc_patch;
    check->wish.check = check;
    check->wish.waiter.is_check = true;
    check->wish.waiter.class_ = BPI_CLASS_HIGH_PRIORITY;
    check->timer.on_fire = on_timer;
    bpi_timer_set(loop, &check->timer,
                  bpi_loop_now_us(loop) + bpi_cluster_config(cluster)->queue_timeout_us);
    struct bpi_link *none;
    enum bpi_pool_refusal refusal = bpi_cluster_acquire(cluster, &check->wish, &none);
    BP_ASSERT(refusal == BPI_POOL_ADMITTED &&
              none == NULL); /* checks always wait for a link of their own */
}

static void on_check_abandoned(struct bpi_mail *mail)
{
    struct bpi_login_check *check = BPI_CONTAINER(mail, struct bpi_login_check, wish.mail);
    check_free(check);
}

bool bpi_cluster_verify_cancel(struct bpi_cluster *cluster, struct bpi_login *login)
{
    struct bpi_login_check *abandoned = NULL;
    pthread_mutex_lock(&cluster->mutex);
    struct bpi_login_check *check = login->check;
    bool subscribed = check != NULL;
    if (subscribed) {
        DL_DELETE(check->subscribers, login);
        login->check = NULL;
        /* Nobody asks any more: unless its link is being opened already, it ends. */
        if (check->subscribers == NULL && check->wish.waiter.state == BPI_POOL_WAITER_QUEUED &&
            bpi_pool_cancel(&cluster->pool, &check->wish.waiter,
                            bpi_loop_now_us(bpi_loop_current()))) {
            leave(cluster, check);
            check->abandoned = true;
            abandoned = check;
        }
    }
    pthread_mutex_unlock(&cluster->mutex);
    if (abandoned != NULL) {
        abandoned->wish.mail.deliver = on_check_abandoned;
        bpi_loop_post(abandoned->wish.loop, &abandoned->wish.mail);
    }
    return subscribed;
}
