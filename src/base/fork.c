/* See fork.h. */
#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>

/* Atomic: written in a child while it has one thread. */
static atomic_uint generation = 1;

static void count_child(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

/* When the library is loaded, so that no fork comes before. */
__attribute__((constructor)) static void watch_forks(void)
{
    /* Where this fails there is no memory for 48 bytes: a child isn't told then. */
    (void)pthread_atfork(NULL, NULL, count_child);
}

unsigned bpi_fork_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
