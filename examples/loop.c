/* Waiting for connections in an event loop.
 *
 *     ./loop bolt://neo4j:secret@127.0.0.1:7687
 *
 * The loop polls two descriptors: the mailbox's, where connections arrive that were asked for, and a pipe's, where a worker
 * thread says that it is done. The loop itself never blocks: while six requests share two connections its clock goes
 * on ticking. (A query blocks the thread that runs it, so it is run by a worker.)
 *
 * Prints:
 *
 *     asked for 6 connections
 *     answers: 1 4 9 16 25 36
 *     the loop went on ticking: yes
 */
#include <boltpool/driver.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define REQUESTS 6

struct loop {
    struct bp_driver *driver;
    struct bp_mailbox *mailbox;
    int done[2]; /* a worker writes its job's number */
    int unanswered;
    int error;
};

struct job {
    struct bp_request request; /* the pool's while it is out */
    struct loop *loop;
    struct bp_lease *lease;
    int64_t number, answer;
    int error;
};

/* On a worker thread. The lease may be used and given back on any thread. */
static void *run(void *user)
{
    struct job *job = (struct job *)user;
    struct bp_bolt *bolt = bp_lease_bolt(job->lease);
    struct bp_params *params = NULL;
    struct bp_result *result = NULL;
    const struct bp_value *row;
    job->error = bp_params_new(&params);
    if (job->error == 0)
        job->error = bp_params_int(params, "number", job->number);
    if (job->error == 0)
        job->error = bp_bolt_run(
            bolt, "UNWIND range(1, 20000) AS i WITH count(i) AS n RETURN $number * $number", params,
            NULL, &result);
    while (job->error == 0 && bp_result_next(result, &row) == 1)
        job->answer = row[0].as.integer;
    if (job->error == 0)
        job->error = bp_result_free(result);
    bp_params_free(params);
    (void)bp_driver_release(job->lease);
    /* A pipe takes 8 bytes at once. */
    if (write(job->loop->done[1], &job->number, sizeof(job->number)) != sizeof(job->number))
        perror("write");
    return NULL;
}

/* On the loop's thread, inside bp_mailbox_dispatch(). */
static void
on_connection(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct job *job = (struct job *)user;
    pthread_t thread;
    if (error == 0) {
        job->lease = lease;
        if (pthread_create(&thread, NULL, run, job) == 0) {
            pthread_detach(thread);
            return;
        }
        (void)bp_driver_release(lease);
        error = BP_E_NO_MEMORY;
    }
    fprintf(stderr, "%s\n", refusal ? refusal->text : bp_error_text(error));
    job->loop->error = error;
    job->loop->unanswered--;
}

static void on_done(struct loop *loop, struct job *jobs)
{
    int64_t number = 0;
    if (read(loop->done[0], &number, sizeof(number)) != sizeof(number))
        return;
    if (jobs[number - 1].error != 0) {
        loop->error = jobs[number - 1].error;
        fprintf(stderr, "%s\n", bp_error_text(loop->error));
    }
    loop->unanswered--;
}

static int turn(struct loop *loop, struct job *jobs)
{
    struct pollfd fds[2] = {{bp_mailbox_fd(loop->mailbox), POLLIN, 0}, {loop->done[0], POLLIN, 0}};
    if (poll(fds, 2, 1) < 0)
        return BP_E_INTERNAL;
    if (fds[1].revents != 0)
        on_done(loop, jobs);
    /* After each turn, whether its descriptor is ready or not: it costs a load where there is nothing. */
    int called = bp_mailbox_dispatch(loop->mailbox);
    return called < 0 ? called : 0;
}

static int story(struct loop *loop)
{
    static struct job jobs[REQUESTS];
    unsigned ticks = 0;
    for (int i = 0; i < REQUESTS; i++) {
        struct bp_operation operation = BP_OPERATION_INIT;
        operation.work = BP_WORK_READ_ONLY;
        jobs[i].loop = loop;
        jobs[i].number = i + 1;
        int error =
            bp_pool_acquire_async(bp_driver_pool(loop->driver), loop->mailbox, &operation,
                                  BP_WAIT_DEFAULT, on_connection, &jobs[i], &jobs[i].request);
        if (error != 0)
            return error; /* (the callback won't be called) */
        loop->unanswered++;
    }
    printf("asked for %d connections\n", REQUESTS);
    while (loop->unanswered > 0) {
        int error = turn(loop, jobs);
        if (error != 0)
            return error;
        ticks++;
    }
    if (loop->error != 0)
        return loop->error;
    printf("answers:");
    for (int i = 0; i < REQUESTS; i++)
        printf(" %" PRId64, jobs[i].answer);
    printf("\nthe loop went on ticking: %s\n", ticks > REQUESTS ? "yes" : "no");
    return 0;
}

int main(int argc, char **argv)
{
    struct bp_driver_config config;
    static struct loop loop;
    if (argc != 2) {
        fprintf(stderr, "usage: loop URL\n");
        return 2;
    }
    bp_driver_config_init(&config);
    config.bolt.url = argv[1];
    config.pool.links_max = 2;
    config.pool.idle_min = 0;
    int error = bp_driver_new(&config, &loop.driver);
    if (error == 0)
        error = bp_mailbox_new(bp_driver_pool(loop.driver), &loop.mailbox);
    if (error == 0 && pipe(loop.done) != 0)
        error = BP_E_NO_MEMORY;
    if (error == 0)
        error = story(&loop);
    if (error != 0)
        fprintf(stderr, "%s\n", bp_error_text(error));
    if (loop.mailbox)
        (void)bp_mailbox_free(loop.mailbox);
    if (loop.driver)
        (void)bp_driver_free(loop.driver, 5 * BP_USEC_PER_SECOND);
    return error == 0 ? 0 : 1;
}
