/* The plainest pool there is: one mutex, one condition variable, a stack of idle connections; whoever comes first takes.
 *
 * usage: mutex CASE WARM_S SECONDS
 */
#include "measure.h"

#define LINKS_MAX 64

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    unsigned idle_count;
    unsigned waiting_count;
    void *idle[LINKS_MAX];
};

static int connections[LINKS_MAX];

static void *bench_acquire(struct worker *worker)
{
    struct pool *pool = worker->context;
    pthread_mutex_lock(&pool->mutex);
    while (pool->idle_count == 0) {
        pool->waiting_count++;
        pthread_cond_wait(&pool->returned, &pool->mutex);
        pool->waiting_count--;
    }
    void *connection = pool->idle[--pool->idle_count];
    pthread_mutex_unlock(&pool->mutex);
    return connection;
}

static void bench_release(struct worker *worker, void *connection)
{
    struct pool *pool = worker->context;
    pthread_mutex_lock(&pool->mutex);
    pool->idle[pool->idle_count++] = connection;
    bool somebody_waits = pool->waiting_count > 0;
    pthread_mutex_unlock(&pool->mutex);
    if (somebody_waits) {
        pthread_cond_signal(&pool->returned);
    }
}

static void *pool_new(unsigned links)
{
    static struct pool pool;
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.returned, NULL);
    for (unsigned i = 0; i < links; i++) {
        pool.idle[pool.idle_count++] = &connections[i];
    }
    return &pool;
}

int main(int argc, char **argv)
{
    if (argc < 4 ||
        !measure_case(argv[1], pool_new, strtod(argv[2], NULL), strtod(argv[3], NULL))) {
        fputs("usage: mutex uncontended|contended|waiting WARM_S SECONDS\n", stderr);
        return 2;
    }
    return 0;
}
