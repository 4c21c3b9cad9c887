/* Leases of a test's pool: taken, given back by two threads, and that none is left at the end. */
#ifndef TESTS_UNIT_ENGINE_LEASES_H
#define TESTS_UNIT_ENGINE_LEASES_H

#include "connector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#define LEASE_WAIT_US (20 * BP_USEC_PER_SECOND)

static inline struct bp_lease *take(struct bp_pool *pool)
{
    struct bp_lease *lease = NULL;
    assert_int_equal(bp_pool_acquire(pool, NULL, LEASE_WAIT_US, &lease), 0);
    assert_non_null(lease);
    return lease;
}

static inline void end(struct bp_pool *pool, struct test_connector *connector)
{
    assert_int_equal(bp_pool_stop(pool, 10 * BP_USEC_PER_SECOND), 0);
    bp_pool_free(pool);
    assert_int_equal(atomic_load(&connector->opened), atomic_load(&connector->closed));
    assert_int_equal(atomic_load(&connector->wrong), 0);
}

static inline void *release_one(void *lease)
{
    return (void *)(intptr_t)(bp_pool_release(lease, BP_OUTCOME_OK) == 0);
}

/* Two threads give it back at the same time; how many succeed. */
static inline unsigned release_by_two(struct bp_lease *lease)
{
    pthread_t threads[2];
    unsigned released = 0;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, release_one, lease), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        void *succeeded;
        pthread_join(threads[i], &succeeded);
        released += succeeded != NULL;
    }
    return released;
}

#endif
