/* See blocking_pool.h: threads that open, check and close connections, and the one for upkeep.
 *
 * Helpers are started when there are more jobs than helpers that sleep, up to a bound for each kind, and stay until the pool
 * stops. A connector that hangs keeps its helper and its place, and nothing else.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/futex.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

#include <stdio.h>
#include <string.h>

/* After a failed connect the next try waits about this long, doubling up to the maximum: a server that restarts is
 * found again within a quarter of a second, one that is down costs a connect every other second. */
#define BACKOFF_MIN_US ((bp_usec)100000)
#define BACKOFF_MAX_US ((bp_usec)2000000)
/* Upkeep looks at least this often, for leases that are held too long, and for what the decider hasn't heard of for so
 * long. */
#define UPKEEP_US BP_USEC_PER_SECOND
/* Leaks reported in one go. */
#define LEAKS_MAX 8

/* ---- jobs ---- */

static enum bpi_helper_kind kind_of(enum bpi_job job)
{
    switch (job) {
    case BPI_JOB_OPEN:
        return BPI_HELPER_OPEN;
    case BPI_JOB_CHECK:
    case BPI_JOB_KEEP_ALIVE:
    case BPI_JOB_CLEAN:
        return BPI_HELPER_CHECK;
    case BPI_JOB_CLOSE:
    case BPI_JOB_NONE:
        break;
    }
    return BPI_HELPER_CLOSE;
}

static void reserve_helper(struct bpi_turn *turn, enum bpi_helper_kind kind)
{
    struct bp_pool *pool = turn->pool;
    struct bpi_helper *helper = &pool->helpers[pool->helpers_count];
    helper->pool = pool;
    helper->kind = kind;
    if (turn->helpers_count == 0) {
        turn->helpers_first = pool->helpers_count;
    }
    turn->helpers_count++;
    pool->helpers_count++;
    pool->jobs[kind].helpers++;
    pool->threads_count++;
}

void bpi_helper_push(struct bpi_turn *turn, struct bpi_place *place, enum bpi_job job)
{
    enum bpi_helper_kind kind = kind_of(job);
    struct bpi_jobs *jobs = &turn->pool->jobs[kind];
    BP_ASSERT(place->job == BPI_JOB_NONE);
    place->job = job;
    place->next_job = NULL;
    if (jobs->first == NULL) {
        jobs->first = place;
    } else {
        jobs->last->next_job = place;
    }
    jobs->last = place;
    jobs->count++;
    atomic_fetch_add_explicit(&jobs->word, 1, memory_order_relaxed);
    turn->helper_wakes[kind]++;
    if (jobs->count > jobs->idle_helpers && jobs->helpers < jobs->helpers_max &&
        turn->pool->helpers_count < BPI_HELPERS_MAX) {
        reserve_helper(turn, kind);
    }
}

struct bpi_place *bpi_helper_take_back(struct bp_pool *pool, enum bpi_job job)
{
    struct bpi_jobs *jobs = &pool->jobs[kind_of(job)];
    struct bpi_place *taken = NULL;
    struct bpi_place *last = NULL;
    for (struct bpi_place **at = &jobs->first; *at != NULL;) {
        struct bpi_place *place = *at;
        if (place->job != job) {
            last = place;
            at = &place->next_job;
            continue;
        }
        *at = place->next_job;
        place->next_job = taken;
        place->job = BPI_JOB_NONE;
        taken = place;
        jobs->count--;
    }
    jobs->last = last;
    return taken;
}

static struct bpi_place *pop(struct bpi_jobs *jobs)
{
    struct bpi_place *place = jobs->first;
    if (place != NULL) {
        jobs->first = place->next_job;
        jobs->count--;
    }
    return place;
}

void bpi_pool_count_open(struct bp_pool *pool, int change, bp_usec now_us)
{
    if (now_us > pool->open_at_us) {
        pool->open_us += pool->established * (now_us - pool->open_at_us);
        pool->open_at_us = now_us;
    }
    pool->established = (unsigned)((int)pool->established + change);
}

/* ---- what helpers do ---- */

/* The lock is held. */
static void opened(struct bpi_turn *turn, struct bpi_place *place, void *connection, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    atomic_store_explicit(&place->connection, connection, memory_order_relaxed);
    pool->created_total++;
    pool->open_error = 0;
    pool->backoff_us = 0;
    pool->retry_at_us = 0;
    bpi_pool_count_open(pool, +1, now_us);
    bpi_pool_endpoint_up(&pool->decider, 0);
    bpi_pool_link_opened(&pool->decider, &place->link, now_us);
    if (pool->phase == BPI_POOL_STOPS) {
        bpi_place_close(turn, place, false, now_us);
    }
}

/* The lock is held. */
static void open_failed(
    struct bpi_turn *turn, struct bpi_place *place, int error, const char *text, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    pool->create_failed_total++;
    pool->open_error = error;
    snprintf(pool->open_text, sizeof(pool->open_text), "%s", text);
    bpi_pool_link_closed(&pool->decider, &place->link, now_us);
    if (pool->phase == BPI_POOL_STOPS) {
        return;
    }
    if (pool->retry_at_us <= now_us) {
        /* Those that were under way together and fail one after the other are one failure. */
        bp_usec wait_us = 2 * pool->backoff_us;
        wait_us = wait_us < BACKOFF_MIN_US ? BACKOFF_MIN_US : wait_us;
        pool->backoff_us = wait_us > BACKOFF_MAX_US ? BACKOFF_MAX_US : wait_us;
        bp_usec jitter_us = bpi_random_below(&pool->decider.random, pool->backoff_us / 4);
        pool->retry_at_us = now_us + pool->backoff_us - jitter_us;
        bpi_pool_endpoint_down(&pool->decider, 0, pool->retry_at_us, now_us);
        pool->upkeep_at_us = 0;
        atomic_fetch_add_explicit(&pool->upkeep_word, 1, memory_order_relaxed);
        turn->wakes_upkeep = true;
    }
    bool is_ours = error <= BP_E_PROTOCOL;
    if (is_ours && bp_error_retryable(error) == 0) {
        bpi_pool_refuse_all(turn, error, now_us);
    }
}

static void *connection_of(struct bpi_place *place)
{
    return atomic_load_explicit(&place->connection, memory_order_relaxed);
}

static void do_open(struct bp_pool *pool, struct bpi_place *place)
{
    char text[BPI_OPEN_TEXT] = "";
    void *connection = NULL;
    bp_usec timeout_us = pool->config.open_timeout_us;
    struct bp_open_request request = {
        .struct_size = sizeof(request),
        .timeout_us = timeout_us,
        .deadline_us = bpi_clock_now_us() + timeout_us,
        .reterr_text = text,
        .reterr_size = sizeof(text),
    };
    int error = pool->connector.open(pool->connector.user, &request, &connection);
    if (error == 0 && connection == NULL) {
        error = BP_E_USAGE;
        snprintf(text, sizeof(text), "the connector returned neither a connection nor an error");
    }
    text[sizeof(text) - 1] = '\0';
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    if (error == 0) {
        opened(&turn, place, connection, now_us);
    } else {
        open_failed(&turn, place, error, text, now_us);
    }
    bpi_turn_end(&turn, 0, now_us);
    if (error != 0) {
        bpi_pool_log(pool, BP_LOG_WARN, "opening a connection failed: %s%s%s", bp_error_text(error),
                     text[0] == '\0' ? "" : ": ", text);
    }
}

static void do_check(struct bp_pool *pool, struct bpi_place *place, enum bpi_job job)
{
    bool is_clean = job == BPI_JOB_CLEAN;
    int error = pool->connector.check(pool->connector.user, connection_of(place),
                                      pool->config.check_timeout_us);
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    if (is_clean) {
        pool->cleaning[place->link.class_]--;
    }
    if (error != 0) {
        bpi_place_close(&turn, place, true, now_us);
    } else if (is_clean) {
        bpi_pool_link_released(&pool->decider, &place->link, false, now_us);
    } else {
        bpi_pool_link_checked(&pool->decider, &place->link, now_us);
    }
    bpi_turn_end(&turn, 0, now_us); /* once the pool stops, it closes what is idle */
    if (error != 0) {
        bpi_pool_log(pool, BP_LOG_INFO, "%s failed its check: %s",
                     is_clean ? "a connection that came back unclean" : "an idle connection",
                     bp_error_text(error));
    }
}

static void do_close(struct bp_pool *pool, struct bpi_place *place)
{
    if (pool->connector.close != NULL) {
        pool->connector.close(pool->connector.user, connection_of(place));
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    atomic_store_explicit(&place->connection, NULL, memory_order_relaxed);
    pool->closed_total++;
    pool->unhealthy_total += place->is_unhealthy;
    place->is_unhealthy = false;
    bpi_pool_count_open(pool, -1, now_us);
    bpi_pool_link_closed(&pool->decider, &place->link, now_us);
    bpi_turn_end(&turn, 0, now_us);
}

static void do_job(struct bp_pool *pool, struct bpi_place *place, enum bpi_job job)
{
    switch (job) {
    case BPI_JOB_OPEN:
        do_open(pool, place);
        break;
    case BPI_JOB_CHECK:
    case BPI_JOB_KEEP_ALIVE:
    case BPI_JOB_CLEAN:
        do_check(pool, place, job);
        break;
    case BPI_JOB_CLOSE:
        do_close(pool, place);
        break;
    case BPI_JOB_NONE:
        break;
    }
}

/* The lock is held. The thread is about to end; bpi_pool_stop() joins it. */
static void thread_ends(struct bp_pool *pool)
{
    pool->threads_count--;
    atomic_fetch_add_explicit(&pool->quiet_word, 1, memory_order_relaxed);
    bpi_lock_unlock(&pool->lock);
    bpi_futex_wake(&pool->quiet_word, UINT32_MAX);
    bpi_pool_unref(pool);
}

static void *run_helper(void *argument)
{
    struct bpi_helper *helper = argument;
    struct bp_pool *pool = helper->pool;
    struct bpi_jobs *jobs = &pool->jobs[helper->kind];
    for (;;) {
        bpi_lock_lock(&pool->lock);
        struct bpi_place *place = pop(jobs);
        if (place != NULL) {
            enum bpi_job job = place->job;
            place->job = BPI_JOB_NONE;
            bpi_lock_unlock(&pool->lock);
            do_job(pool, place, job);
            continue;
        }
        if (bpi_pool_is_over(pool)) {
            break;
        }
        uint32_t word = atomic_load_explicit(&jobs->word, memory_order_relaxed);
        jobs->idle_helpers++;
        bpi_lock_unlock(&pool->lock);
        bpi_futex_wait(&jobs->word, word, 0);
        bpi_lock_lock(&pool->lock);
        jobs->idle_helpers--;
        bpi_lock_unlock(&pool->lock);
    }
    thread_ends(pool);
    return NULL;
}

/* ---- upkeep ---- */

/* The lock is held. */
static unsigned find_leaks(struct bp_pool *pool, struct bp_lease_info *leaks, bp_usec now_us)
{
    bp_usec after_us = bpi_maintenance_leak_us(pool);
    unsigned count = 0;
    for (unsigned i = 0; after_us != 0 && i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_link *link = pool->decider.classes[i].leases;
        for (; link != NULL && count < LEAKS_MAX; link = link->next) {
            struct bpi_place *place = bpi_place_of(link);
            struct bp_lease_info *leak = &leaks[count];
            if (!bpi_place_info(place, leak, now_us) || leak->held_us < after_us ||
                place->leak_reported == leak->id) {
                continue;
            }
            place->leak_reported = leak->id;
            count++;
        }
    }
    pool->leaks_total += count;
    return count;
}

static void
report_leaks(const struct bp_pool *pool, const struct bp_lease_info *leaks, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct bp_lease_info *leak = &leaks[i];
        bpi_pool_log(
            pool, BP_LOG_WARN, "lease %llu is held for %.1f s: %s%s%s, acquired by thread %d",
            (unsigned long long)leak->id, (double)leak->held_us / 1e6, bp_work_name(leak->work),
            leak->name[0] == '\0' ? "" : " ", leak->name, leak->thread);
    }
}

/* When the next lease may be too old; the lock is held. */
static bp_usec next_look_us(struct bp_pool *pool, bp_usec now_us)
{
    bp_usec look_us = UPKEEP_US;
    bp_usec after_us = bpi_maintenance_leak_us(pool);
    if (after_us != 0 && after_us < look_us) {
        look_us = after_us;
    }
    bp_usec next_us = now_us + look_us;
    bp_usec decider_us = bpi_pool_next_us(&pool->decider, now_us);
    if (decider_us != 0 && decider_us < next_us) {
        next_us = decider_us;
    }
    if (pool->retry_at_us != 0 && pool->retry_at_us < next_us) {
        next_us = pool->retry_at_us;
    }
    return next_us;
}

static void *run_upkeep(void *argument)
{
    struct bp_pool *pool = argument;
    struct bp_lease_info leaks[LEAKS_MAX];
    for (;;) {
        bpi_lock_lock(&pool->lock);
        if (bpi_pool_is_over(pool)) {
            break;
        }
        bp_usec now_us = bpi_clock_now_us();
        if (pool->retry_at_us != 0 && now_us >= pool->retry_at_us) {
            pool->retry_at_us = 0;
            bpi_pool_endpoint_up(&pool->decider, 0);
        }
        bpi_keep_look(pool, UPKEEP_US, now_us);
        unsigned leaks_count = find_leaks(pool, leaks, now_us);
        struct bpi_turn turn;
        bpi_turn_begin(&turn, pool);
        pool->upkeep_at_us = 0; /* it is awake: it needs no waking */
        bpi_turn_end(&turn, 0, now_us);
        report_leaks(pool, leaks, leaks_count);
        bpi_lock_lock(&pool->lock);
        uint32_t word = atomic_load_explicit(&pool->upkeep_word, memory_order_relaxed);
        pool->upkeep_at_us = leaks_count == LEAKS_MAX ? now_us : next_look_us(pool, now_us);
        bp_usec until_us = pool->upkeep_at_us;
        bool is_over = bpi_pool_is_over(pool);
        bpi_lock_unlock(&pool->lock);
        if (!is_over) {
            bpi_futex_wait(&pool->upkeep_word, word, until_us);
        }
    }
    thread_ends(pool);
    return NULL;
}

/* ---- threads ---- */

int bpi_helper_start(struct bp_pool *pool, unsigned first, unsigned count)
{
    int result = 0;
    for (unsigned i = first; i < first + count; i++) {
        struct bpi_helper *helper = &pool->helpers[i];
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
        bool is_upkeep = helper->kind == BPI_HELPER_KINDS;
        int error = pthread_create(&helper->thread, NULL, is_upkeep ? run_upkeep : run_helper,
                                   is_upkeep ? (void *)pool : (void *)helper);
        bpi_lock_lock(&pool->lock);
        /* One that was started while the pool was stopped may have ended before anybody knew of it. */
        bool is_late = error == 0 && pool->threads_ended;
        helper->is_started = error == 0 && !is_late;
        if (error != 0) {
            /* The first one of its kind, which bp_pool_new() insists on, does the jobs alone. */
            if (!is_upkeep) {
                pool->jobs[helper->kind].helpers--;
            }
            pool->threads_count--;
            result = -error;
        }
        pthread_t thread = helper->thread;
        bpi_lock_unlock(&pool->lock);
        if (is_late) {
            pthread_detach(thread);
        }
        if (error != 0) {
            bpi_pool_unref(pool);
        }
    }
    return result;
}

int bpi_helpers_start_first(struct bp_pool *pool)
{
    /* All are reserved before the first one runs, and may reserve more. */
    for (unsigned i = 0; i <= BPI_HELPER_KINDS; i++) {
        pool->helpers[i].pool = pool;
        pool->helpers[i].kind = (enum bpi_helper_kind)i;
        if (i < BPI_HELPER_KINDS) {
            pool->jobs[i].helpers = 1;
        }
    }
    pool->helpers_count = pool->threads_count = BPI_HELPER_KINDS + 1;
    return bpi_helper_start(pool, 0, BPI_HELPER_KINDS + 1);
}
