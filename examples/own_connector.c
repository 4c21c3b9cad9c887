/* A pool of connections that aren't Bolt's: here those of a Redis server.
 *
 *     ./own_connector redis://127.0.0.1:6379
 *
 * The pool knows nothing of what it lends. A connector opens, checks and closes; the borrower says by the outcome how it left
 * the connection.
 *
 * Prints:
 *
 *     counted to 40 on at most 3 connections: yes
 *     after a broken one: counted to 41
 *     0 open, 1 closed because it was unhealthy
 */
#include <boltpool/pool.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define THREADS 4
#define COUNTS  10

struct redis {
    int fd;
};

struct server {
    char host[200];
    char port[8];
};

/* Sends one line and reads the line that answers it. 0, or the system's error. */
static int ask(struct redis *redis, const char *request, char *answer, size_t size)
{
    size_t length = 0;
    if (send(redis->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        return -errno;
    while (length + 1 < size) {
        ssize_t got = recv(redis->fd, answer + length, size - length - 1, 0);
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        length += (size_t)got;
        answer[length] = 0;
        if (strchr(answer, '\n'))
            return 0;
    }
    return -EMSGSIZE;
}

static void set_timeout(int fd, bp_usec timeout_us)
{
    struct timeval timeout;
    timeout.tv_sec = (time_t)(timeout_us / BP_USEC_PER_SECOND);
    timeout.tv_usec = (suseconds_t)(timeout_us % BP_USEC_PER_SECOND);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

/* On a helper thread of the pool: it may block. The pool tries again later, whatever the error, except for those of
 * boltpool/error.h that no retry helps against. */
static int redis_open(void *user, const struct bp_open_request *request, void **ret_connection)
{
    const struct server *server = (const struct server *)user;
    struct addrinfo hints = {0};
    struct addrinfo *addresses = NULL;
    int error = 0;
    hints.ai_socktype = SOCK_STREAM;
    int looked_up = getaddrinfo(server->host, server->port, &hints, &addresses);
    if (looked_up != 0) {
        snprintf(request->reterr_text, request->reterr_size, "%s: %s", server->host,
                 gai_strerror(looked_up));
        return -EHOSTUNREACH;
    }
    struct redis *redis = (struct redis *)malloc(sizeof(*redis));
    if (!redis) {
        freeaddrinfo(addresses);
        return BP_E_NO_MEMORY;
    }
    redis->fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (redis->fd < 0) {
        error = -errno;
    } else {
        set_timeout(redis->fd, request->timeout_us);
        if (connect(redis->fd, addresses->ai_addr, addresses->ai_addrlen) != 0) {
            error = -errno;
            close(redis->fd);
        }
    }
    freeaddrinfo(addresses);
    if (error != 0) {
        snprintf(request->reterr_text, request->reterr_size, "%s:%s can't be reached", server->host,
                 server->port);
        free(redis);
        return error;
    }
    *ret_connection = redis;
    return 0;
}

/* Whether one that was idle for long still works. */
static int redis_check(void *user, void *connection, bp_usec timeout_us)
{
    char answer[64];
    (void)user;
    set_timeout(((struct redis *)connection)->fd, timeout_us);
    int error = ask((struct redis *)connection, "PING\r\n", answer, sizeof(answer));
    return error != 0 ? error : strcmp(answer, "+PONG\r\n") == 0 ? 0 : BP_E_PROTOCOL;
}

static void redis_close(void *user, void *connection)
{
    (void)user;
    close(((struct redis *)connection)->fd);
    free(connection);
}

static int borrow(struct bp_pool *pool, struct bp_lease **ret_lease)
{
    struct bp_refusal refusal; /* says why: which limit, its value, what opening failed with */
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.name = "count";
    operation.reterr_refusal = &refusal;
    int error = bp_pool_acquire(pool, &operation, 5 * BP_USEC_PER_SECOND, ret_lease);
    if (error != 0)
        fprintf(stderr, "%s\n", refusal.text);
    return error;
}

/* Asks on a connection that it borrows; the number that the server answers (":17"). */
static int command(struct bp_pool *pool, const char *request, long *ret_number)
{
    struct bp_lease *lease;
    char answer[64];
    int error = borrow(pool, &lease);
    if (error != 0)
        return error;
    error = ask((struct redis *)bp_lease_connection(lease), request, answer, sizeof(answer));
    /* After an error nobody knows what else will come on it: close it. */
    int released = bp_pool_release(lease, error == 0 ? BP_OUTCOME_OK : BP_OUTCOME_BROKEN);
    if (error == 0)
        *ret_number = strtol(answer + 1, NULL, 10);
    return error != 0 ? error : released;
}

static void *work(void *user)
{
    long counter = 0;
    for (int i = 0; i < COUNTS; i++) {
        int error = command((struct bp_pool *)user, "INCR counter\r\n", &counter);
        if (error != 0) {
            fprintf(stderr, "%s\n", bp_error_text(error));
            break;
        }
    }
    return NULL;
}

static int story(struct bp_pool *pool)
{
    pthread_t threads[THREADS];
    struct bp_pool_stats stats = {0};
    struct bp_lease *lease;
    long counter = 0;
    stats.struct_size = sizeof(stats);

    int error = command(pool, "SET counter 0\r\n", &counter);
    if (error != 0)
        return error;
    int started = 0;
    while (started < THREADS && pthread_create(&threads[started], NULL, work, pool) == 0)
        started++;
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    error = command(pool, "INCRBY counter 0\r\n", &counter);
    if (error == 0)
        error = bp_pool_get_stats(pool, &stats);
    if (error != 0)
        return error;
    printf("counted to %ld on at most 3 connections: %s\n", counter,
           stats.created <= 3 ? "yes" : "no");

    /* Something is wrong with it: it is closed, and whoever needs one gets another. */
    error = borrow(pool, &lease);
    if (error == 0)
        error = bp_pool_release(lease, BP_OUTCOME_BROKEN);
    if (error == 0)
        error = command(pool, "INCR counter\r\n", &counter);
    if (error == 0)
        printf("after a broken one: counted to %ld\n", counter);
    return error;
}

int main(int argc, char **argv)
{
    static struct server server; /* lives until the pool is free */
    struct bp_connector connector = {0};
    struct bp_pool_config config;
    struct bp_pool *pool;
    if (argc != 2 || sscanf(argv[1], "redis://%199[^:/]:%7[0-9]", server.host, server.port) != 2) {
        fprintf(stderr, "usage: own_connector redis://HOST:PORT\n");
        return 2;
    }
    connector.struct_size = sizeof(connector);
    connector.user = &server;
    connector.open = redis_open;
    connector.check = redis_check;
    connector.close = redis_close;
    bp_pool_config_init(&config);
    config.name = "redis";
    config.links_max = 3;
    config.idle_min = 0;
    int error = bp_pool_new(&config, &connector, &pool);
    if (error != 0) {
        fprintf(stderr, "%s\n", bp_error_text(error));
        return 1;
    }
    error = story(pool);
    if (error != 0)
        fprintf(stderr, "%s\n", bp_error_text(error));
    /* Connections are closed on a helper thread; once the pool has stopped, all are. */
    struct bp_pool_stats stats = {0};
    stats.struct_size = sizeof(stats);
    if (bp_pool_stop(pool, 5 * BP_USEC_PER_SECOND) != 0)
        fprintf(stderr, "some connections are still in use\n");
    else if (bp_pool_get_stats(pool, &stats) == 0)
        printf("%d open, %d closed because it was unhealthy\n", (int)stats.open,
               (int)stats.closed_unhealthy);
    bp_pool_free(pool);
    return error == 0 ? 0 : 1;
}
