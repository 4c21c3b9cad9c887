/* See blocking_pool.h: from bp_pool_new() to bp_pool_free(). */
#include "base/assert.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/log.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#define LINKS_MAX 10000
/* How long bp_pool_free() waits for calls of the connector that behave. */
#define FREE_WAIT_US (5 * BP_USEC_PER_SECOND)

/* ---- configuration ---- */

void bp_pool_config_init(struct bp_pool_config *config)
{
    *config = (struct bp_pool_config){
        .struct_size = sizeof(*config),
        .name = "pool",
        .links_max = 50,
        .idle_min = 5,
        .connects_max = 16,
        .errors_max = 3,
        .queue_timeout_us = 30 * BP_USEC_PER_SECOND,
        .open_timeout_us = 15 * BP_USEC_PER_SECOND,
        .check_timeout_us = 2 * BP_USEC_PER_SECOND,
        .pass_over_us = 4 * BP_USEC_PER_MS,
        .lend_max_hold_us = 50 * BP_USEC_PER_MS,
        .lifetime_us = 3600 * BP_USEC_PER_SECOND,
        .idle_timeout_us = 600 * BP_USEC_PER_SECOND,
        .check_after_us = 30 * BP_USEC_PER_SECOND,
        .keep_alive_us = 120 * BP_USEC_PER_SECOND,
        .leak_report_after_us = 60 * BP_USEC_PER_SECOND,
    };
    for (unsigned i = 0; i < BP_CLASS_COUNT; i++) {
        config->classes[i].share = 100;
    }
}

/* What is wrong with it, or NULL. */
static const char *mistake_in(const struct bp_pool_config *config)
{
    if (config->struct_size != sizeof(*config)) {
        return "struct_size isn't sizeof(struct bp_pool_config): call bp_pool_config_init()";
    }
    if (config->links_max < 1 || config->links_max > LINKS_MAX) {
        return "links_max isn't in 1 .. 10000";
    }
    if (config->connects_max < 1 || config->connects_max > BPI_CONNECTS_MAX) {
        return "connects_max isn't in 1 .. 64";
    }
    if (config->queue_timeout_us == 0 || config->queue_timeout_us == BP_WAIT_DEFAULT) {
        return "queue_timeout_us is 0 or BP_WAIT_DEFAULT";
    }
    unsigned minima = 0;
    for (unsigned i = 0; i < BP_CLASS_COUNT; i++) {
        const struct bp_class_config *class_ = &config->classes[i];
        minima += class_->min <= LINKS_MAX ? class_->min : LINKS_MAX;
        if (class_->share < 1 || class_->share > BPI_POOL_SHARE_MAX) {
            return "the share of a class isn't in 1 .. 10000";
        }
        if (class_->max != 0 && class_->min > class_->max) {
            return "the min of a class is above its max";
        }
    }
    return minima <= config->links_max ? NULL : "the classes' minima are more than links_max";
}

/* ---- memory ---- */

static _Atomic uint32_t *alive_new(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    /* Where the kernel can't do this (before 4.14), a forked child isn't told. */
    (void)madvise(page, size, MADV_WIPEONFORK);
    atomic_init((_Atomic uint32_t *)page, 1);
    return page;
}

static void alive_free(_Atomic uint32_t *alive)
{
    if (alive != NULL) {
        munmap(alive, (size_t)sysconf(_SC_PAGESIZE));
    }
}

static void destroy(struct bp_pool *pool)
{
    bpi_mailboxes_free(pool);
    alive_free(pool->alive);
    bpi_keep_done(pool);
    free(pool->places);
    struct bp_connector connector = pool->connector;
    free(pool);
    if (connector.done != NULL) {
        connector.done(connector.user);
    }
}

void bpi_pool_unref(struct bp_pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) == 1) {
        destroy(pool);
    }
}

static int places_new(struct bp_pool *pool)
{
    unsigned count = pool->config.links_max;
    size_t size = count * sizeof(*pool->places);
    pool->places = aligned_alloc(alignof(struct bpi_place), size);
    if (pool->places == NULL) {
        return BP_E_NO_MEMORY;
    }
    memset(pool->places, 0, size);
    for (unsigned i = count; i-- > 0;) {
        struct bpi_place *place = &pool->places[i];
        place->pool = pool;
        for (unsigned j = 0; j < BPI_PLACE_HANDLES; j++) {
            place->handles[j].index = (uint8_t)j;
        }
        bpi_pool_add_place(&pool->decider, &place->link);
    }
    return 0;
}

static struct bp_pool *pool_alloc(void)
{
    /* Its hot parts are on cache lines of their own. */
    size_t size = (sizeof(struct bp_pool) + 63) / 64 * 64;
    struct bp_pool *pool = aligned_alloc(64, size);
    if (pool != NULL) {
        memset(pool, 0, size);
        atomic_init(&pool->refs, 1);
    }
    return pool;
}

static void pool_init(struct bp_pool *pool,
                      const struct bp_pool_config *config,
                      const struct bp_connector *connector)
{
    struct bpi_pool_limits limits;
    bp_usec now_us = bpi_clock_now_us();
    pool->config = *config;
    if (config->idle_min > config->links_max) {
        pool->config.idle_min = config->links_max;
    }
    pool->connector = *connector;
    pool->maintenance = BP_MAINTENANCE_ALL;
    bpi_maintenance_fill(pool, &limits);
    bpi_pool_init(&pool->decider, &limits, 1, now_us ^ (uint64_t)(uintptr_t)pool);
    /* All connections are alike: no protocol to choose, no identity to change. */
    struct bpi_pool_key key = {0};
    bpi_pool_set_warm_key(&pool->decider, &key, 0);
    bpi_pool_endpoint_up(&pool->decider, 0);
    snprintf(pool->name, sizeof(pool->name), "%s", config->name == NULL ? "pool" : config->name);
    pool->config.name = pool->name;
    pool->created_us = pool->open_at_us = now_us;
    pool->jobs[BPI_HELPER_OPEN].helpers_max = config->connects_max;
    pool->jobs[BPI_HELPER_CHECK].helpers_max = config->connects_max;
    pool->jobs[BPI_HELPER_CLOSE].helpers_max = BPI_CLOSE_HELPERS;
}

int bp_pool_new(const struct bp_pool_config *config,
                const struct bp_connector *connector,
                struct bp_pool **ret_pool)
{
    if (config == NULL || connector == NULL || ret_pool == NULL) {
        return BP_E_CONFIG;
    }
    const char *mistake = mistake_in(config);
    if (mistake == NULL &&
        (connector->struct_size != sizeof(*connector) || connector->open == NULL)) {
        mistake =
            "the connector's struct_size isn't sizeof(struct bp_connector), or it has no open";
    }
    if (mistake != NULL) {
        /* Where the size differs, `log` may be somewhere else. */
        if (config->struct_size == sizeof(*config) && config->log != NULL) {
            config->log(config->log_user, BP_LOG_ERROR, mistake);
        }
        return BP_E_CONFIG;
    }
    bpi_thread_id_forget();
    struct bp_pool *pool = pool_alloc();
    if (pool == NULL) {
        if (connector->done != NULL) {
            connector->done(connector->user);
        }
        return BP_E_NO_MEMORY;
    }
    pool_init(pool, config, connector);
    pool->alive = alive_new();
    int error = pool->alive == NULL ? BP_E_NO_MEMORY : places_new(pool);
    if (error == 0) {
        error = bpi_keep_init(pool);
    }
    if (error != 0) {
        bpi_pool_unref(pool);
        return error;
    }
    error = bpi_helpers_start_first(pool);
    if (error != 0) {
        bp_pool_free(pool);
        return error;
    }
    *ret_pool = pool;
    return 0;
}

/* ---- words ---- */

void bpi_pool_log(const struct bp_pool *pool, enum bp_log_level level, const char *format, ...)
{
    if (pool->config.log == NULL) {
        return;
    }
    char text[512];
    int used = snprintf(text, sizeof(text), "pool %s: ", pool->name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    pool->config.log(pool->config.log_user, level, text);
}

int bpi_pool_misused(const struct bp_pool *pool, const char *what)
{
#ifdef NDEBUG
    (void)pool;
    (void)what;
#else
    if (pool->config.log != NULL) {
        bpi_pool_log(pool, BP_LOG_ERROR, "misused: %s", what);
    } else {
        bpi_log(BPI_LOG_ERROR, "pool", "pool %s misused: %s", pool->name, what);
    }
#endif
    return BP_E_USAGE;
}

/* ---- what is done to the whole ---- */

int bpi_pool_check_call(const struct bp_pool *pool)
{
    if (pool == NULL) {
        return BP_E_USAGE;
    }
    if (!bpi_pool_is_here(pool)) {
        return bpi_pool_misused(pool, "a call in a forked child: the pool is the parent's");
    }
    return 0;
}

static int pause_pool(struct bp_pool *pool, bool paused)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    bpi_pool_pause(&pool->decider, paused);
    bpi_keep_sweep(pool, now_us);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end(&turn, 0, now_us);
    return 0;
}

int bp_pool_pause(struct bp_pool *pool)
{
    return pause_pool(pool, true);
}

int bp_pool_resume(struct bp_pool *pool)
{
    return pause_pool(pool, false);
}

int bp_pool_reconnect(struct bp_pool *pool)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    bpi_keep_sweep(pool, now_us);
    bpi_pool_doom_all(&pool->decider);
    bpi_keep_look(pool, 0, now_us); /* those that are out */
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end(&turn, 0, now_us);
    return 0;
}

static bool is_drained(const struct bp_pool *pool)
{
    return pool->decider.waiters_count == 0 && pool->decider.counts[BPI_POOL_LEASED] == 0;
}

bool bpi_pool_is_over(const struct bp_pool *pool)
{
    return pool->phase == BPI_POOL_STOPS && bpi_pool_open_count(&pool->decider) == 0;
}

static bool is_stopped(const struct bp_pool *pool)
{
    return pool->threads_count == 0;
}

/* Sleeps until `is_done`; the lock isn't held. False: it isn't, and the time is over. */
static bool
wait_quiet(struct bp_pool *pool, bool (*is_done)(const struct bp_pool *), bp_usec timeout_us)
{
    bp_usec until_us;
    if (__builtin_add_overflow(bpi_clock_now_us(), timeout_us, &until_us)) {
        until_us = UINT64_MAX / 4;
    }
    for (;;) {
        bpi_lock_lock(&pool->lock);
        uint32_t word = atomic_load_explicit(&pool->quiet_word, memory_order_relaxed);
        bool done = is_done(pool);
        bpi_lock_unlock(&pool->lock);
        if (done) {
            return true;
        }
        if (bpi_clock_now_us() >= until_us) {
            return false;
        }
        bpi_futex_wait(&pool->quiet_word, word, until_us);
    }
}

int bp_pool_drain(struct bp_pool *pool, bp_usec timeout_us)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    if (pool->phase == BPI_POOL_RUNS) {
        pool->phase = BPI_POOL_DRAINS;
    }
    bpi_keep_sweep(pool, now_us);
    bpi_lock_unlock(&pool->lock);
    return wait_quiet(pool, is_drained, timeout_us) ? 0 : UV_ETIMEDOUT;
}

/* ---- the end ---- */

void bpi_pool_refuse_all(struct bpi_turn *turn, int error, bp_usec now_us)
{
    struct bp_pool *pool = turn->pool;
    struct bpi_pool_key key = {0};
    struct bpi_pool_waiter *waiter;
    while ((waiter = bpi_pool_take_waiter(&pool->decider, &key, now_us)) != NULL) {
        struct bpi_want *want = bpi_want_of(waiter);
        want->error = error;
        bpi_turn_post(turn, want, BPI_ANSWER_REFUSED);
        if (turn->is_full) {
            bpi_turn_flush(turn);
        }
    }
}

/* Connections that nobody has begun to check needn't be any more. */
static void close_unchecked(struct bpi_turn *turn, bp_usec now_us)
{
    static const enum bpi_job checks[] = {BPI_JOB_CHECK, BPI_JOB_KEEP_ALIVE, BPI_JOB_CLEAN};
    struct bp_pool *pool = turn->pool;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct bpi_place *place = bpi_helper_take_back(pool, checks[i]);
        while (place != NULL) {
            struct bpi_place *next = place->next_job;
            if (checks[i] == BPI_JOB_CLEAN) {
                pool->cleaning[place->link.class_]--;
            }
            bpi_place_close(turn, place, false, now_us);
            place = next;
        }
    }
}

static void begin_stop(struct bp_pool *pool)
{
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    if (pool->phase != BPI_POOL_STOPS) {
        pool->phase = BPI_POOL_STOPS;
        bpi_keep_sweep(pool, now_us);
        close_unchecked(&turn, now_us);
        bpi_pool_refuse_all(&turn, BP_E_CLOSED, now_us);
    }
    bpi_turn_end_quietly(&turn);
}

static void end_threads(struct bp_pool *pool, bool joins)
{
    bpi_lock_lock(&pool->lock);
    pool->threads_ended = true;
    bpi_lock_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->helpers_count; i++) {
        struct bpi_helper *helper = &pool->helpers[i];
        bpi_lock_lock(&pool->lock);
        bool is_started = helper->is_started;
        helper->is_started = false;
        bpi_lock_unlock(&pool->lock);
        if (is_started && joins) {
            pthread_join(helper->thread, NULL);
        } else if (is_started) {
            pthread_detach(helper->thread);
        }
    }
}

int bp_pool_stop(struct bp_pool *pool, bp_usec timeout_us)
{
    int error = bpi_pool_check_call(pool);
    if (error != 0) {
        return error;
    }
    begin_stop(pool);
    if (!wait_quiet(pool, is_stopped, timeout_us)) {
        return UV_ETIMEDOUT;
    }
    end_threads(pool, true);
    return 0;
}

void bp_pool_free(struct bp_pool *pool)
{
    if (pool == NULL || !bpi_pool_is_here(pool)) {
        return; /* in a forked child the threads aren't there, and the lock may be held for ever */
    }
    begin_stop(pool);
    bpi_lock_lock(&pool->lock);
    bool has_leases = pool->decider.counts[BPI_POOL_LEASED] > bpi_cleaning_count(pool);
    bpi_lock_unlock(&pool->lock);
    bool is_over = wait_quiet(pool, is_stopped, has_leases ? 0 : FREE_WAIT_US);
    end_threads(pool, is_over);
    bpi_lock_lock(&pool->lock);
    pool->is_freed = true;
    struct bpi_turn turn;
    bpi_turn_begin(&turn, pool);
    bpi_turn_end_quietly(&turn); /* drops the owner's reference where no lease is out */
}
