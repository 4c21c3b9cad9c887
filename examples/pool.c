/* Threads that share a driver, with kinds of work, and what its pool says of itself.
 *
 *     ./pool bolt://neo4j:secret@127.0.0.1:7687
 *
 * Eight threads want a connection for each of their queries, and there are four. Each query says what kind of work it is:
 * two connections are kept for work of high priority, and reports never have more than two.
 *
 * Prints (one lease of read_write is that of bp_driver_verify()):
 *
 *     read_only        80 granted, 0 refused
 *     read_write       41 granted, 0 refused
 *     analytics        40 granted, 0 refused
 *     maintenance      0 granted, 0 refused
 *     high_priority    40 granted, 0 refused
 *     201 leases on at most 4 connections: yes; all returned: yes
 */
#include <boltpool/driver.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define THREADS 8
#define QUERIES 25

/* What each thread does in turns. A type of operation has a class: bp_work_class(). */
static const struct {
    enum bp_work work;
    enum bp_priority priority;
    const char *name;
    const char *query;
} kinds[] = {
    {BP_WORK_INHERITANCE_CHAIN_READ, BP_PRIORITY_NORMAL, "show basket", "RETURN 1"},
    {BP_WORK_INHERITANCE_CHAIN_READ, BP_PRIORITY_HIGH, "pay basket", "RETURN 2"},
    {BP_WORK_PROPERTY_RESOLUTION_READ, BP_PRIORITY_NORMAL, "show article", "RETURN 3"},
    {BP_WORK_CONCEPT_UPDATE, BP_PRIORITY_NORMAL, "save basket", "RETURN 4"},
    {BP_WORK_BULK_ANALYTICS, BP_PRIORITY_LOW, "report", "UNWIND range(1, 1000) AS i RETURN sum(i)"},
};

struct worker {
    struct bp_driver *driver;
    pthread_t thread;
    int error;
    char text[BP_FAILURE_TEXT];
};

static int query(struct bp_driver *driver,
                 const struct bp_operation *operation,
                 const char *text,
                 struct worker *worker)
{
    struct bp_lease *lease;
    struct bp_bolt *bolt;
    struct bp_result *result = NULL;
    int error = bp_driver_acquire(driver, operation, BP_WAIT_DEFAULT, &lease, &bolt);
    if (error != 0) {
        snprintf(worker->text, sizeof(worker->text), "%s", operation->reterr_refusal->text);
        return error;
    }
    error = bp_bolt_run(bolt, text, NULL, NULL, &result);
    if (error == 0)
        error = bp_result_free(result);
    if (error != 0)
        snprintf(worker->text, sizeof(worker->text), "%s", bp_bolt_failure(bolt)->text);
    int released = bp_driver_release(lease);
    return error != 0 ? error : released;
}

static void *work(void *user)
{
    struct worker *worker = (struct worker *)user;
    struct bp_refusal refusal; /* says who gets nothing why: which limit, its value, who waits */
    for (int i = 0; i < QUERIES && worker->error == 0; i++) {
        size_t kind = (size_t)i % (sizeof(kinds) / sizeof(kinds[0]));
        struct bp_operation operation = BP_OPERATION_INIT;
        operation.work = kinds[kind].work;
        operation.priority = kinds[kind].priority;
        operation.name = kinds[kind].name;
        operation.reterr_refusal = &refusal;
        worker->error = query(worker->driver, &operation, kinds[kind].query, worker);
    }
    return NULL;
}

static int show(struct bp_driver *driver)
{
    struct bp_pool_stats stats = {0};
    stats.struct_size = sizeof(stats);
    int error = bp_pool_get_stats(bp_driver_pool(driver), &stats);
    if (error != 0)
        return error;
    for (int i = 0; i < BP_CLASS_COUNT; i++)
        printf("%-16s %" PRIu64 " granted, %" PRIu64 " refused\n", bp_class_name((enum bp_class)i),
               stats.classes[i].granted, stats.classes[i].refused);
    printf("%" PRIu64 " leases on at most 4 connections: %s; all returned: %s\n", stats.acquired,
           stats.created <= 4 ? "yes" : "no", stats.returned == stats.acquired ? "yes" : "no");
    return 0;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    struct bp_driver_config config;
    struct bp_driver *driver;
    struct bp_failure failure;
    if (argc != 2) {
        fprintf(stderr, "usage: pool URL\n");
        return 2;
    }
    bp_driver_config_init(&config);
    config.bolt.url = argv[1];
    config.pool.links_max = 4;
    config.pool.idle_min = 1;
    config.pool.classes[BP_CLASS_HIGH_PRIORITY].min = 2;
    config.pool.classes[BP_CLASS_ANALYTICS].max = 2;
    int error = bp_driver_new(&config, &driver);
    if (error != 0) {
        fprintf(stderr, "%s\n", bp_error_text(error));
        return 1;
    }
    error = bp_driver_verify(driver, 15 * BP_USEC_PER_SECOND, &failure);
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], failure.text);
        (void)bp_driver_free(driver, 0);
        return 1;
    }

    int threads = 0;
    for (; threads < THREADS; threads++) {
        workers[threads].driver = driver;
        if (pthread_create(&workers[threads].thread, NULL, work, &workers[threads]) != 0)
            break;
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error != 0) {
            error = workers[i].error;
            fprintf(stderr, "%s: %s\n", bp_error_name(error), workers[i].text);
        }
    }
    if (error == 0)
        error = show(driver);
    if (bp_driver_free(driver, 5 * BP_USEC_PER_SECOND) != 0)
        fprintf(stderr, "some leases were still out\n");
    return error == 0 && threads == THREADS ? 0 : 1;
}
