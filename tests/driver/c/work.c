/* Managed work, many connections at once, cancelled work, and the asynchronous form. */
#include "env.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000
#define TASKS  20
#define EACH   20

/* What a unit of work is told. */
struct unit {
    struct env *e;
    struct bp_tx_options options;
    const char *query;
    int64_t id;
    int tries;
    json_t *value;
};

static struct unit unit_of(struct env *e, const char *query)
{
    struct unit unit = {.e = e, .query = query, .options = BP_TX_OPTIONS_INIT};
    unit.options.database = "neo4j";
    return unit;
}

/* A query with $id, to its end; a user's code, so that errors go back to the driver. */
static int run_with_id(struct bp_bolt *bolt, const char *query, int64_t id)
{
    struct bp_params *params;
    struct bp_result *result;
    int error = bp_params_new(&params);
    if (error != 0) {
        return error;
    }
    (void)bp_params_int(params, "id", id);
    error = bp_bolt_run(bolt, query, params, NULL, &result);
    bp_params_free(params);
    return error == 0 ? bp_result_free(result) : error;
}

/* All rows of the unit's query, as its value. */
static int read_all(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    struct bp_result *result;
    const struct bp_value *row;
    unit->tries++;
    int status = bp_bolt_run(bolt, unit->query, NULL, NULL, &result);
    if (status != 0) {
        return status;
    }
    json_decref(unit->value);
    unit->value = json_array();
    while ((status = bp_result_next(result, &row)) == 1) {
        (void)json_array_append_new(unit->value, shown(unit->e, row));
    }
    int error = bp_result_free(result);
    return status != 0 ? status : error;
}

/* Executes it, which must succeed. */
static void execute(struct unit *unit, bp_work_function work)
{
    struct bp_failure failure = {0};
    struct env *e = unit->e;
    if (!failed(e)) {
        int error = bp_driver_execute(e->driver, NULL, &unit->options, work, unit, &failure);
        check(e, error == 0, "bp_driver_execute: %s: %s %s", bp_error_name(error), failure.code,
              failure.text);
    }
}

static void query_begins(void *user)
{
    struct unit *unit = user;
    unit->tries++;
    json_decref(unit->value);
    unit->value = json_array();
}

static int query_row(void *user, struct bp_result *result, const struct bp_value *row)
{
    struct unit *unit = user;
    (void)json_array_append_new(
        unit->value,
        json_pack("[o, o]", string_of(bp_result_column(result, 0)), shown(unit->e, row)));
    return 0;
}

static int query_row_enough(void *user, struct bp_result *result, const struct bp_value *row)
{
    (void)query_row(user, result, row);
    return 7;
}

static json_t *value_of(struct unit *unit)
{
    json_t *value = unit->value == NULL ? json_null() : unit->value;
    unit->value = NULL;
    return value;
}

/* Managed write and read, and one-call queries; one that has enough after a row is rolled back. */
static json_t *managed(struct env *e)
{
    struct unit unit = unit_of(e, say(e, "CREATE (n:%s {i: 7}) RETURN n.i", e->label));
    execute(&unit, read_all);
    json_t *written = value_of(&unit);
    unit.query = say(e, "MATCH (n:%s) RETURN n.i", e->label);
    unit.options.access = BP_ACCESS_READ;
    execute(&unit, read_all);
    json_t *read = value_of(&unit);
    struct bp_operation operation = BP_OPERATION_INIT;
    struct bp_failure failure = {0};
    operation.work = BP_WORK_INHERITANCE_CHAIN_READ;
    operation.name = "one call";
    unit.query = say(e, "MATCH (n:%s) RETURN n.i AS i", e->label);
    if (!failed(e)) {
        int error = bp_driver_query(e->driver, &operation, &unit.options, unit.query, NULL,
                                    query_begins, query_row, &unit, &failure);
        check(e, error == 0, "bp_driver_query: %s %s", bp_error_name(error), failure.text);
    }
    json_t *queried = value_of(&unit);
    unit.options.access = BP_ACCESS_WRITE;
    if (!failed(e)) {
        struct bp_params *params = params_int(e, "n", 3);
        int error = bp_driver_query(
            e->driver, NULL, &unit.options,
            say(e, "UNWIND range(1, $n) AS i CREATE (n:%s {i: i}) RETURN n.i AS i", e->label),
            params, query_begins, query_row_enough, &unit, &failure);
        check(e, error == 7, "a row function that ends the query: %d", error);
        bp_params_free(params);
    }
    return json_pack("[o, o, o, o, o]", written, read, queried, value_of(&unit), count(e));
}

/* Fails once by a lost connection; nothing of the first try stays. */
static int lose_once(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    unit->tries++;
    int error = run_with_id(bolt, unit->query, unit->tries);
    if (unit->tries == 1) {
        check(unit->e, error == 0, "the first try: %s", bp_error_name(error));
        bp_bolt_cancel(bolt);
        error = run_with_id(bolt, unit->query, unit->tries);
        check(unit->e, error == BP_E_SERVER_LOST, "after cancel: %s", bp_error_name(error));
    }
    return error;
}

static json_t *managed_retry(struct env *e)
{
    struct unit unit = unit_of(e, say(e, "CREATE (:%s {try: $id})", e->label));
    execute(&unit, lose_once);
    return json_pack("[i, o]", unit.tries,
                     run_rows(e, say(e, "MATCH (n:%s) RETURN n.try", e->label), NULL));
}

/* ---- a deadlock ---- */

struct deadlock {
    struct unit unit;
    struct session other;
    pthread_t thread;
    bool has_thread;
};

#define LOCK_QUERY "MATCH (n:%s {k: '%s'}) SET n.n = n.n + 1"

static void *take_first(void *user)
{
    struct deadlock *deadlock = user;
    struct env *e = deadlock->unit.e;
    drain(&deadlock->other, say(e, LOCK_QUERY, e->label, "a"), NULL);
    if (!failed(e)) {
        (void)good(e, deadlock->other.bolt, bp_bolt_commit(deadlock->other.bolt), "bp_bolt_commit");
    }
    return NULL;
}

static int take_both(void *user, struct bp_bolt *bolt)
{
    struct deadlock *deadlock = user;
    struct env *e = deadlock->unit.e;
    deadlock->unit.tries++;
    int error = run_with_id(bolt, say(e, LOCK_QUERY, e->label, "a"), 0);
    if (error == 0 && !deadlock->has_thread) {
        deadlock->has_thread = pthread_create(&deadlock->thread, NULL, take_first, deadlock) == 0;
        (void)usleep(300000);
    }
    return error != 0 ? error : run_with_id(bolt, say(e, LOCK_QUERY, e->label, "b"), 0);
}

/* The server itself ends the managed transaction; the retry makes it succeed. */
static json_t *managed_deadlock(struct env *e)
{
    struct deadlock deadlock = {.unit = unit_of(e, NULL)};
    struct bp_failure failure = {0};
    json_decref(run_rows(
        e, say(e, "CREATE (:%s {k: 'a', n: 0}), (:%s {k: 'b', n: 0})", e->label, e->label), NULL));
    /* Older than the managed one, so the managed one is the victim. */
    deadlock.other = session_open(e, NULL);
    struct session *other = &deadlock.other;
    if (!failed(e)) {
        (void)good(e, other->bolt, bp_bolt_begin(other->bolt, &other->options), "bp_bolt_begin");
    }
    drain(other, say(e, LOCK_QUERY, e->label, "b"), NULL);
    if (!failed(e)) {
        int error = bp_driver_execute(e->driver, NULL, &deadlock.unit.options, take_both, &deadlock,
                                      &failure);
        check(e, error == 0, "bp_driver_execute: %s: %s", bp_error_name(error), failure.text);
    }
    if (deadlock.has_thread) {
        (void)pthread_join(deadlock.thread, NULL);
    }
    session_close(other);
    return json_pack(
        "[i, o]", deadlock.unit.tries,
        run_rows(e, say(e, "MATCH (n:%s) RETURN n.k, n.n ORDER BY n.k", e->label), NULL));
}

static int refuse(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    unit->tries++;
    int error = run_with_id(bolt, unit->query, 0);
    return error != 0 ? error : 42;
}

static int divide(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    unit->tries++;
    int error = run_with_id(bolt, unit->query, 0);
    return error != 0 ? error : run_with_id(bolt, "RETURN 1 / 0", 0);
}

/* Work that fails for good: by its own number, and by the server's. */
static json_t *managed_user_error(struct env *e)
{
    struct unit unit = unit_of(e, say(e, "CREATE (:%s)", e->label));
    struct bp_failure failure = {0};
    int own = bp_driver_execute(e->driver, NULL, &unit.options, refuse, &unit, NULL);
    check(e, own == 42, "42 came back as %d", own);
    int theirs = bp_driver_execute(e->driver, NULL, &unit.options, divide, &unit, &failure);
    check(e, theirs == BP_E_SERVER_FAILURE, "a division by zero: %s", bp_error_name(theirs));
    check(e, unit.tries == 2, "%d tries instead of two", unit.tries);
    return json_pack("[o, o, o]", told(e, &failure), count(e), run_one(e, "RETURN 1", NULL));
}

/* ---- many ---- */

static void add_echo(struct session *s, int64_t i, int64_t *total)
{
    json_t *value = one(s, "RETURN $i", params_int(s->env, "i", i));
    check(s->env, failed(s->env) || json_integer_value(value) == i, "another query's value");
    *total += json_integer_value(value);
    json_decref(value);
}

static json_t *session_reuse(struct env *e)
{
    int64_t total = 0;
    struct session s = session_open(e, NULL);
    for (int64_t i = 0; i < 200; i++) {
        add_echo(&s, i, &total);
    }
    session_close(&s);
    return json_integer(total);
}

/* `size` leases of a driver, one query each. */
static json_t *leases_of(struct env *e, struct bp_driver *driver, int64_t size)
{
    int64_t total = 0;
    for (int64_t i = 0; i < size; i++) {
        struct session s = session_lease_from(e, driver);
        add_echo(&s, i, &total);
        session_close(&s);
    }
    return json_integer(total);
}

static json_t *session_many(struct env *e)
{
    return leases_of(e, e->driver, 100);
}

/* A pool that asks a connection before every reuse. */
static json_t *liveness_check(struct env *e)
{
    struct bp_driver_config config;
    driver_config(e, &config);
    config.pool.check_after_us = 1;
    struct bp_driver *driver = driver_open(e, &config);
    json_t *total = leases_of(e, driver, 20);
    driver_close(e, driver);
    return total;
}

/* A pool that replaces its connections all the time: within a tenth of a second, as a thread that gives one back and
 * asks at once is given it again. */
static json_t *connection_lifetime(struct env *e)
{
    struct bp_driver_config config;
    driver_config(e, &config);
    config.pool.lifetime_us = 1;
    struct bp_driver *driver = driver_open(e, &config);
    int64_t total = 0;
    for (int64_t i = 0; i < 10; i++) {
        struct session s = session_lease_from(e, driver);
        add_echo(&s, i, &total);
        session_close(&s);
        (void)usleep(150000);
    }
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    if (!failed(e)) {
        (void)good(e, NULL, bp_pool_get_stats(bp_driver_pool(driver), &stats), "bp_pool_get_stats");
        check(e, stats.created >= 5, "only %llu connections", (unsigned long long)stats.created);
    }
    driver_close(e, driver);
    return json_integer(total);
}

/* ---- many at once ---- */

struct task {
    struct unit unit;
    pthread_t thread;
    bool is_running;
};

static int create_with_id(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    return run_with_id(bolt, unit->query, unit->id);
}

static void *task_run(void *user)
{
    struct task *task = user;
    int64_t first = task->unit.id;
    for (int i = 0; i < EACH; i++) {
        task->unit.id = first + i;
        execute(&task->unit, create_with_id);
    }
    return NULL;
}

static json_t *totals(struct env *e)
{
    return run_rows(
        e, say(e, "MATCH (n:%s) RETURN count(n), count(DISTINCT n.id), sum(n.id)", e->label), NULL);
}

/* More threads than a pooler has links. */
static json_t *parallel(struct env *e)
{
    struct task tasks[TASKS];
    const char *query = say(e, "CREATE (:%s {id: $id})", e->label);
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = (struct task){.unit = unit_of(e, query)};
        tasks[i].unit.id = (int64_t)i * EACH;
        tasks[i].is_running = pthread_create(&tasks[i].thread, NULL, task_run, &tasks[i]) == 0;
        check(e, tasks[i].is_running, "pthread_create");
    }
    for (int i = 0; i < TASKS; i++) {
        if (tasks[i].is_running) {
            (void)pthread_join(tasks[i].thread, NULL);
        }
    }
    return totals(e);
}

/* ---- bookmarks, addresses ---- */

/* Read your writes across connections. */
static json_t *bookmarks(struct env *e)
{
    struct bp_bookmarks *marks = NULL;
    json_t *seen = json_array();
    (void)good(e, NULL, bp_bookmarks_new(&marks), "bp_bookmarks_new");
    struct unit unit = unit_of(e, say(e, "CREATE (:%s {id: $id})", e->label));
    unit.options.bookmarks = marks;
    check(e, failed(e) || bp_bookmarks_count(marks) == 0, "new bookmarks are empty");
    char last[512] = "";
    for (int i = 0; i < 5 && !failed(e); i++) {
        char mark[512] = "";
        if (i % 2 == 0) {
            execute(&unit, create_with_id);
        } else {
            struct session writer = session_open(e, NULL);
            writer.options.bookmarks = marks;
            drain(&writer, say(e, "CREATE (:%s)", e->label), NULL);
            session_close(&writer);
        }
        int64_t length = bp_bookmarks_get(marks, 0, mark, sizeof(mark));
        check(e,
              bp_bookmarks_count(marks) == 1 && length > 0 && length < 512 &&
                  strcmp(mark, last) != 0,
              "no new bookmark after a write");
        (void)snprintf(last, sizeof(last), "%s", mark);
        struct session reader = session_lease(e);
        reader.options.bookmarks = marks;
        reader.options.access = BP_ACCESS_READ;
        (void)json_array_append_new(
            seen, one(&reader, say(e, "MATCH (n:%s) RETURN count(n)", e->label), NULL));
        session_close(&reader);
        struct bp_bookmarks *copy = NULL;
        (void)good(e, NULL, bp_bookmarks_new(&copy), "bp_bookmarks_new");
        (void)good(e, NULL, bp_bookmarks_add(copy, mark), "bp_bookmarks_add");
        struct session other = session_open(e, NULL);
        other.options.bookmarks = copy;
        (void)json_array_append_new(
            seen, one(&other, say(e, "MATCH (n:%s) RETURN count(n)", e->label), NULL));
        session_close(&other);
        bp_bookmarks_free(copy);
    }
    bp_bookmarks_free(marks);
    return seen;
}

/* bolt and neo4j, read and write, every database. */
static json_t *schemes(struct env *e)
{
    static const char *const DATABASES[] = {"neo4j", NULL, "system"};
    json_t *seen = json_array();
    for (int i = 0; i < 12; i++) {
        struct bp_driver_config config;
        driver_config(e, &config);
        config.bolt.url = with_scheme(e, i < 6 ? "bolt" : "neo4j");
        struct bp_driver *driver = driver_open(e, &config);
        struct bp_failure failure = {0};
        if (!failed(e)) {
            int error = bp_driver_verify(driver, 10 * SECOND, &failure);
            check(e, error == 0, "%s: %s", bp_error_name(error), failure.text);
        }
        struct session s = session_lease_from(e, driver);
        s.options.access = i % 2 == 0 ? BP_ACCESS_READ : BP_ACCESS_WRITE;
        s.options.database = DATABASES[i / 2 % 3];
        bool is_system = i / 2 % 3 == 2;
        struct bp_result *result =
            run(&s, is_system ? "SHOW DEFAULT DATABASE YIELD name" : "RETURN 'x'", NULL);
        const struct bp_value *row = next(&s, result);
        json_t *value = row == NULL ? json_null() : shown(e, row);
        struct bp_summary summary = {0};
        if (result != NULL && !failed(e)) {
            (void)good(e, s.bolt, bp_result_summary(result, &summary), "bp_result_summary");
        }
        (void)json_array_append_new(seen, json_pack("[b, i, i, o, o]", i < 6, (int)s.options.access,
                                                    i / 2 % 3, value, string_of(summary.database)));
        (void)bp_result_free(result);
        session_close(&s);
        driver_close(e, driver);
    }
    return seen;
}

/* ---- cancelled work ---- */

struct sleeper {
    struct session s;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_running; /* Lock: mutex */
    bool is_done;    /* Lock: mutex */
    int error;       /* Lock: mutex */
    const char *query;
    bool is_explicit;
    pthread_t thread;
};

static void sleeper_set(struct sleeper *sleeper, bool *flag, int error)
{
    pthread_mutex_lock(&sleeper->mutex);
    *flag = true;
    sleeper->error = error;
    pthread_cond_broadcast(&sleeper->changed);
    pthread_mutex_unlock(&sleeper->mutex);
}

/* Reads all rows: a result that is freed unread would be dropped before it is there. */
static int read_to_end(struct session *s, const char *query)
{
    struct bp_result *result;
    const struct bp_value *row;
    int status = bp_bolt_run(s->bolt, query, NULL, &s->options, &result);
    if (status != 0) {
        return status;
    }
    while ((status = bp_result_next(result, &row)) == 1) {
    }
    int error = bp_result_free(result);
    return status != 0 ? status : error;
}

static void *sleeper_run(void *user)
{
    struct sleeper *sleeper = user;
    struct bp_bolt *bolt = sleeper->s.bolt;
    int error = sleeper->is_explicit ? bp_bolt_begin(bolt, &sleeper->s.options) : 0;
    sleeper_set(sleeper, &sleeper->is_running, error);
    if (error == 0) {
        error = read_to_end(&sleeper->s, sleeper->query);
    }
    sleeper_set(sleeper, &sleeper->is_done, error);
    return NULL;
}

/* Runs the query on `s`, in a thread of its own. */
static void
sleeper_start(struct sleeper *sleeper, struct session s, const char *query, bool is_explicit)
{
    *sleeper = (struct sleeper){.s = s, .query = query, .is_explicit = is_explicit};
    pthread_mutex_init(&sleeper->mutex, NULL);
    pthread_cond_init(&sleeper->changed, NULL);
    if (pthread_create(&sleeper->thread, NULL, sleeper_run, sleeper) != 0) {
        fail(s.env, "pthread_create");
        return;
    }
    pthread_mutex_lock(&sleeper->mutex);
    while (!sleeper->is_running) {
        pthread_cond_wait(&sleeper->changed, &sleeper->mutex);
    }
    pthread_mutex_unlock(&sleeper->mutex);
    (void)usleep(200000);
    pthread_mutex_lock(&sleeper->mutex);
    check(s.env, !sleeper->is_done, "over at once: %s", bp_error_name(sleeper->error));
    pthread_mutex_unlock(&sleeper->mutex);
}

/* Cuts it; it must come back soon, and with the error that says so. */
static void sleeper_cancel(struct sleeper *sleeper)
{
    struct env *e = sleeper->s.env;
    bp_usec began_us = bp_now_us();
    bp_bolt_cancel(sleeper->s.bolt);
    (void)pthread_join(sleeper->thread, NULL);
    bp_usec spent_us = bp_now_us() - began_us;
    check(e, sleeper->error == BP_E_SERVER_LOST, "cancelled: %s", bp_error_name(sleeper->error));
    check(e, spent_us < SECOND, "cancelled after %llu us", (unsigned long long)spent_us);
    check(e, bp_bolt_get_state(sleeper->s.bolt) == BP_BOLT_LOST, "cancelled, and not lost");
    session_close(&sleeper->s);
}

/* Work cut off in mid-query; new work must succeed at once. */
static json_t *cancel_running(struct env *e)
{
    json_t *seen = json_array();
    if (e->server_major < 5) {
        json_decref(seen);
        return json_string(
            "not on this server"); /* its queries don't notice that their client is gone */
    }
    for (int i = 0; i < 4 && !failed(e); i++) {
        struct sleeper sleeper;
        struct session s = i < 2 ? session_lease(e) : session_open(e, NULL);
        if (s.bolt == NULL) {
            break;
        }
        sleeper_start(&sleeper, s, LONG_QUERY, i % 2 == 1);
        sleeper_cancel(&sleeper);
        (void)json_array_append_new(seen, run_one(e, "RETURN 1", NULL));
    }
    struct session s = session_open(e, NULL);
    s.options.deadline_us = bp_now_us() + 300000;
    if (!failed(e)) {
        int error = read_to_end(&s, LONG_QUERY);
        check(e, error == -ETIMEDOUT, "past its deadline: %s", bp_error_name(error));
    }
    session_close(&s);
    return seen;
}

/* One holds a lock and ends; of two that wait for it one is cancelled, and the other goes on. */
static json_t *cancel_thread(struct env *e)
{
    const char *query = say(e, "MATCH (n:%s) SET n.n = n.n + 1", e->label);
    struct sleeper waiting, cancelled;
    json_decref(run_rows(e, say(e, "CREATE (:%s {n: 0})", e->label), NULL));
    struct session holder = session_lease(e);
    if (!failed(e)) {
        (void)good(e, holder.bolt, bp_bolt_begin(holder.bolt, &holder.options), "bp_bolt_begin");
    }
    drain(&holder, say(e, "MATCH (n:%s) SET n.n = 100", e->label), NULL);
    struct session first = session_lease(e), second = session_lease(e);
    if (failed(e)) {
        session_close(&first);
        session_close(&second);
        session_close(&holder);
        return json_null();
    }
    sleeper_start(&waiting, first, query, false);
    sleeper_start(&cancelled, second, query, true);
    sleeper_cancel(&cancelled);
    session_close(&holder); /* rolls back, so the one that waits goes on from 0 */
    (void)pthread_join(waiting.thread, NULL);
    (void)good(e, waiting.s.bolt, waiting.error, "the one that waited");
    session_close(&waiting.s);
    return run_rows(e, say(e, "MATCH (n:%s) RETURN n.n", e->label), NULL);
}

/* ---- the asynchronous form ---- */

/* One thread with a mailbox, and tasks that ask again in their callbacks. */
struct async {
    struct env *e;
    struct bp_pool *pool;
    struct bp_mailbox *mailbox;
    const char *query;
    int left; /* tasks that aren't done */
};

struct async_task {
    struct async *async;
    struct bp_request request;
    int64_t id;
    int done;
};

static void
async_granted(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal);

static void async_ask(struct async_task *task)
{
    struct async *async = task->async;
    int error = failed(async->e)
                    ? BP_E_USAGE
                    : bp_pool_acquire_async(async->pool, async->mailbox, NULL, 60 * SECOND,
                                            async_granted, task, &task->request);
    if (error != 0) {
        fail(async->e, "bp_pool_acquire_async: %s", bp_error_name(error));
        async->left--;
    }
}

static void
async_granted(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct async_task *task = user;
    struct async *async = task->async;
    if (error != 0) {
        fail(async->e, "not granted: %s", refusal->text);
        async->left--;
        return;
    }
    struct bp_bolt *bolt = bp_lease_bolt(lease);
    (void)good(async->e, bolt, run_with_id(bolt, async->query, task->id + task->done), "granted");
    (void)good(async->e, NULL, bp_driver_release(lease), "bp_driver_release");
    task->done++;
    if (task->done < EACH && !failed(async->e)) {
        async_ask(task);
    } else {
        async->left--;
    }
}

/* So many tasks of EACH transactions in this thread. */
static void async_run(struct env *e, int tasks_count, const char *query)
{
    struct async async = {.e = e, .query = query, .left = tasks_count};
    struct async_task tasks[TASKS];
    if (failed(e)) {
        return;
    }
    async.pool = bp_driver_pool(e->driver);
    if (!good(e, NULL, bp_mailbox_new(async.pool, &async.mailbox), "bp_mailbox_new")) {
        return;
    }
    for (int i = 0; i < tasks_count; i++) {
        tasks[i] = (struct async_task){.async = &async, .id = (int64_t)i * EACH};
        async_ask(&tasks[i]);
    }
    while (async.left > 0) {
        struct pollfd polled = {.fd = bp_mailbox_fd(async.mailbox), .events = POLLIN};
        if (bp_mailbox_dispatch(async.mailbox) == 0 && poll(&polled, 1, 60000) == 0) {
            fail(e, "no answer in a mailbox for 60 s");
            for (int i = 0; i < tasks_count; i++) {
                (void)bp_request_cancel(&tasks[i].request);
            }
            break;
        }
    }
    (void)good(e, NULL, bp_mailbox_free(async.mailbox), "bp_mailbox_free");
}

static json_t *async_basic(struct env *e)
{
    async_run(e, 1, say(e, "UNWIND range(1, 100) AS i CREATE (n:%s {id: $id}) RETURN i", e->label));
    return totals(e);
}

static json_t *async_parallel(struct env *e)
{
    async_run(e, TASKS, say(e, "CREATE (:%s {id: $id})", e->label));
    return totals(e);
}

const struct scenario work_scenarios[] = {
    {"managed", managed},
    {"managed_retry", managed_retry},
    {"managed_deadlock", managed_deadlock},
    {"managed_user_error", managed_user_error},
    {"session_reuse", session_reuse},
    {"session_many", session_many},
    {"parallel", parallel},
    {"bookmarks", bookmarks},
    {"schemes", schemes},
    {"liveness_check", liveness_check},
    {"connection_lifetime", connection_lifetime},
    {"cancel_running", cancel_running},
    {"cancel_thread", cancel_thread},
    {"async_basic", async_basic},
    {"async_parallel", async_parallel},
    {NULL, NULL},
};
