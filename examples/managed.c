/* Managed transactions: what may be tried again is, and bookmarks let a reader see what was written.
 *
 *     ./managed bolt://neo4j:secret@127.0.0.1:7687
 *
 * Two threads lock two nodes in opposite order. The server ends one of them by a failure that is retryable, and
 * bp_driver_execute() begins its work again, about a second later.
 *
 * Prints (which of the two has to try again is up to the server):
 *
 *     left and right are both done, after <...> tries
 *     the reader sees 2, with bookmarks of 1 or more writes: yes
 */
#include <boltpool/driver.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

struct worker {
    struct bp_driver *driver;
    struct bp_bookmarks *bookmarks;
    pthread_barrier_t *both_hold_one;
    const char *first, *second;
    int tries;
    int error;
    struct bp_failure failure;
};

static int run(struct bp_bolt *bolt, const char *query, const char *name)
{
    struct bp_params *params = NULL;
    struct bp_result *result = NULL;
    struct bp_summary summary;
    int error = bp_params_new(&params);
    if (error == 0 && name)
        error = bp_params_string(params, "name", name);
    if (error == 0)
        error = bp_bolt_run(bolt, query, params, NULL, &result);
    if (error == 0) {
        error = bp_result_summary(result, &summary); /* waits until it has run to its end */
        int freed = bp_result_free(result);
        error = error != 0 ? error : freed;
    }
    bp_params_free(params);
    return error;
}

/* May be called several times: all that it does is in the transaction, but for counting its tries. Its errors are those of
 * the connection, so that the driver can see whether to try again. */
static int lock_both(void *user, struct bp_bolt *bolt)
{
    struct worker *worker = (struct worker *)user;
    const char *query = "MATCH (n:BpLock {name: $name}) SET n.count = n.count + 1";
    int error = run(bolt, query, worker->first);
    if (worker->tries++ == 0)
        pthread_barrier_wait(worker->both_hold_one);
    return error != 0 ? error : run(bolt, query, worker->second);
}

static void *work(void *user)
{
    struct worker *worker = (struct worker *)user;
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.bookmarks = worker->bookmarks; /* both threads use the same */
    worker->error =
        bp_driver_execute(worker->driver, NULL, &options, lock_both, worker, &worker->failure);
    if (worker->tries == 0) /* it never got there: the other one must not wait for it */
        pthread_barrier_wait(worker->both_hold_one);
    return NULL;
}

static int prepare(void *user, struct bp_bolt *bolt)
{
    (void)user;
    int error = run(bolt, "MATCH (n:BpLock) DELETE n", NULL);
    return error != 0 ? error
                      : run(bolt,
                            "CREATE (:BpLock {name: 'left', count: 0}), (:BpLock {name: 'right', "
                            "count: 0})",
                            NULL);
}

static int clean(void *user, struct bp_bolt *bolt)
{
    (void)user;
    return run(bolt, "MATCH (n:BpLock) DELETE n", NULL);
}

static int on_row(void *user, struct bp_result *result, const struct bp_value *row)
{
    (void)result;
    *(int64_t *)user = row[0].as.integer;
    return 0;
}

static int
story(struct bp_driver *driver, struct bp_bookmarks *bookmarks, struct bp_failure *failure)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.bookmarks = bookmarks;
    int error = bp_driver_execute(driver, NULL, &options, prepare, NULL, failure);
    if (error != 0)
        return error;

    pthread_barrier_t both_hold_one;
    pthread_t thread;
    struct worker left = {driver, bookmarks, &both_hold_one, "left", "right", 0, 0, {0}};
    struct worker right = {driver, bookmarks, &both_hold_one, "right", "left", 0, 0, {0}};
    if (pthread_barrier_init(&both_hold_one, NULL, 2) != 0)
        return BP_E_NO_MEMORY;
    if (pthread_create(&thread, NULL, work, &left) != 0) {
        pthread_barrier_destroy(&both_hold_one);
        return BP_E_NO_MEMORY;
    }
    work(&right);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&both_hold_one);
    if (left.error != 0 || right.error != 0) {
        *failure = left.error != 0 ? left.failure : right.failure;
        return left.error != 0 ? left.error : right.error;
    }
    printf("left and right are both done, after %d tries\n", left.tries + right.tries);

    /* A read, by its class and its access; the server waits until it has what the bookmarks stand for. */
    int64_t count = 0;
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = BP_WORK_READ_ONLY;
    options.access = BP_ACCESS_READ;
    error = bp_driver_query(driver, &operation, &options,
                            "MATCH (n:BpLock {name: 'left'}) RETURN n.count", NULL, NULL, on_row,
                            &count, failure);
    if (error != 0)
        return error;
    printf("the reader sees %" PRId64 ", with bookmarks of 1 or more writes: %s\n", count,
           bp_bookmarks_count(bookmarks) > 0 ? "yes" : "no");
    options.access = BP_ACCESS_WRITE;
    return bp_driver_execute(driver, NULL, &options, clean, NULL, failure);
}

int main(int argc, char **argv)
{
    struct bp_driver_config config;
    struct bp_driver *driver = NULL;
    struct bp_bookmarks *bookmarks = NULL;
    struct bp_failure failure = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: managed URL\n");
        return 2;
    }
    bp_driver_config_init(&config);
    config.bolt.url = argv[1];
    config.pool.links_max = 4;
    config.pool.idle_min = 1; /* at most links_max */
    int error = bp_driver_new(&config, &driver);
    if (error == 0)
        error = bp_bookmarks_new(&bookmarks);
    if (error == 0)
        error = story(driver, bookmarks, &failure);
    if (error != 0)
        fprintf(stderr, "%s: %s %s\n", bp_error_name(error), failure.code, failure.text);
    bp_bookmarks_free(bookmarks);
    if (bp_driver_free(driver, 5 * BP_USEC_PER_SECOND) != 0)
        fprintf(stderr, "some leases were still out\n");
    return error == 0 ? 0 : 1;
}
