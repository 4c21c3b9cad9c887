/* See blocking_pool.h: statistics and leases. */
#include "base/clock.h"
#include "engine/blocking_pool.h"
#include "engine/keep.h"

#include <stdlib.h>
#include <string.h>

static void fill_waits(struct bp_wait_stats *stats, struct bpi_histogram *waits, uint64_t granted)
{
    /* Those that didn't wait aren't in the histogram, which keeps it off the hot path. */
    uint64_t quick = granted > waits->count ? granted - waits->count : 0;
    uint64_t room = UINT32_MAX - waits->buckets[0];
    waits->count += quick;
    waits->buckets[0] += (uint32_t)(quick < room ? quick : room);
    stats->p50_us = bpi_histogram_quantile(waits, 0.5);
    stats->p90_us = bpi_histogram_quantile(waits, 0.9);
    stats->p99_us = bpi_histogram_quantile(waits, 0.99);
    stats->p999_us = bpi_histogram_quantile(waits, 0.999);
    stats->max_us = waits->max_us;
    stats->mean_us = (bp_usec)bpi_histogram_mean_us(waits);
}

static double part_of(uint64_t busy_us, uint64_t open_us)
{
    double ratio = open_us == 0 ? 0.0 : (double)busy_us / (double)open_us;
    return ratio > 1.0 ? 1.0 : ratio;
}

/* The lock is held. Returns how long its connections were in use. */
static uint64_t
fill_class(const struct bp_pool *pool, struct bp_pool_stats *stats, unsigned number, bp_usec now_us)
{
    const struct bpi_pool_class *class_ = &pool->decider.classes[number];
    struct bp_wait_stats *waits = &stats->classes[number];
    uint64_t leases;
    uint64_t held_us;
    unsigned kept;
    bpi_keep_count(pool, (enum bpi_class)number, &leases, &held_us, &kept);
    waits->granted = class_->granted_total + pool->kept_total[number] + leases;
    for (unsigned i = 0; i < sizeof(class_->refused_total) / sizeof(class_->refused_total[0]);
         i++) {
        waits->refused += class_->refused_total[i];
    }
    waits->active = class_->leased - kept - pool->cleaning[number];
    waits->returned = waits->granted - waits->active;
    waits->waiting = class_->queue.count;
    stats->acquired += waits->granted;
    /* What is kept was returned, although the decider thinks otherwise. */
    stats->returned += leases + kept;
    stats->active -= kept + pool->cleaning[number];
    stats->idle += kept;
    stats->checking += pool->cleaning[number];
    const struct bpi_pool_link *link = class_->leases;
    for (; link != NULL; link = link->next) {
        const struct bpi_place *place = (const struct bpi_place *)(const void *)link;
        struct bp_lease_info info;
        held_us += bpi_place_info(place, &info, now_us) ? info.held_us : 0;
    }
    held_us += pool->busy_us[number];
    waits->utilisation = part_of(held_us, pool->open_us);
    return held_us;
}

/* The lock is held. */
static void fill_counts(struct bp_pool *pool, struct bp_pool_stats *stats, bp_usec now_us)
{
    const struct bpi_pool *decider = &pool->decider;
    stats->open = bpi_pool_open_count(decider);
    stats->opening = decider->counts[BPI_POOL_OPENING];
    stats->idle = decider->counts[BPI_POOL_IDLE];
    stats->checking = decider->counts[BPI_POOL_CHECKING];
    stats->active = decider->counts[BPI_POOL_LEASED];
    stats->closing = decider->counts[BPI_POOL_CLOSING];
    stats->waiting = decider->waiters_count;
    stats->created = pool->created_total;
    stats->create_failed = pool->create_failed_total;
    stats->closed = pool->closed_total;
    stats->closed_unhealthy = pool->unhealthy_total;
    stats->returned = pool->returned_total;
    stats->leaks_reported = pool->leaks_total;
    stats->age_us = now_us - pool->created_us;
    bpi_pool_count_open(pool, 0, now_us);
    uint64_t busy_us = 0;
    for (unsigned i = 0; i < BP_CLASS_COUNT; i++) {
        busy_us += fill_class(pool, stats, i, now_us);
    }
    stats->utilisation = part_of(busy_us, pool->open_us);
}

int bp_pool_get_stats(struct bp_pool *pool, struct bp_pool_stats *stats)
{
    if (pool == NULL || stats == NULL || stats->struct_size != sizeof(*stats) ||
        !bpi_pool_is_here(pool)) {
        return BP_E_USAGE;
    }
    struct bpi_histogram *waits = malloc(sizeof(pool->waits));
    if (waits == NULL) {
        return BP_E_NO_MEMORY;
    }
    *stats = (struct bp_pool_stats){.struct_size = sizeof(*stats)};
    bp_usec now_us = bpi_clock_now_us();
    bpi_lock_lock(&pool->lock);
    fill_counts(pool, stats, now_us);
    memcpy(waits, pool->waits, sizeof(pool->waits));
    bpi_lock_unlock(&pool->lock);
    for (unsigned i = 0; i < BP_CLASS_COUNT; i++) {
        fill_waits(&stats->classes[i], &waits[i], stats->classes[i].granted);
    }
    free(waits);
    return 0;
}

bool bpi_place_info(const struct bpi_place *place, struct bp_lease_info *info, bp_usec now_us)
{
    _Static_assert(sizeof(info->name) == BPI_LEASE_NAME, "the public and the kept name");
    uint32_t word = atomic_load_explicit(&place->word, memory_order_acquire);
    if ((word & BPI_WORD_STATE) != BPI_PLACE_OUT) {
        return false;
    }
    bp_usec since_us = atomic_load_explicit(&place->since_us, memory_order_relaxed);
    uint64_t words[BPI_LEASE_NAME / 8];
    /* Its owner may change at any moment, and the parts be of two leases: this is for people. */
    for (unsigned i = 0; i < BPI_LEASE_NAME / 8; i++) {
        words[i] = atomic_load_explicit(&place->name[i], memory_order_relaxed);
    }
    memcpy(info->name, words, sizeof(info->name));
    info->name[sizeof(info->name) - 1] = '\0';
    info->id = (uint64_t)(place - place->pool->places + 1) << 32 | word / BPI_WORD_LEASE;
    info->held_us = now_us > since_us ? now_us - since_us : 0;
    info->class_ = (enum bp_class)place->link.class_;
    info->work = (enum bp_work)atomic_load_explicit(&place->work, memory_order_relaxed);
    info->thread = atomic_load_explicit(&place->thread, memory_order_relaxed);
    return true;
}

int bp_pool_leases(struct bp_pool *pool, struct bp_lease_info *infos, size_t size)
{
    if (pool == NULL || (infos == NULL && size > 0) || !bpi_pool_is_here(pool)) {
        return BP_E_USAGE;
    }
    bp_usec now_us = bpi_clock_now_us();
    size_t count = 0;
    bpi_lock_lock(&pool->lock);
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        struct bpi_pool_link *link = pool->decider.classes[i].leases;
        for (; link != NULL; link = link->next) {
            struct bp_lease_info info;
            if (!bpi_place_info(bpi_place_of(link), &info, now_us)) {
                continue;
            }
            if (count < size) {
                infos[count] = info;
            }
            count++;
        }
    }
    bpi_lock_unlock(&pool->lock);
    return (int)count;
}
