/* Tens of thousands of leases from many threads over a real server, each kind of use mixed with all others.
 *
 * usage: driver_leases URI USER PASSWORD [LEASES [THREADS [LINKS [SEED]]]]        (30000 64 12)
 *
 * Threads borrow connections of one driver: rows with parameters, transactions that commit, roll back or are left,
 * managed work, results that nobody reads, errors, connections that are cut by another thread, connections that are reset,
 * tries that don't wait, and an eighth of the threads has a mailbox each. Connections live for 3 s and are looked at when
 * they were silent for 50 ms, statistics are read meanwhile.
 *
 * What must hold: every answer is that of the query which asked, since each sends a number of its own; what was committed is
 * there once, and nothing else; at the end no lease is out, acquired = returned and at least LEASES, created = closed +
 * open, and the server shows at most LINKS connections. Sanitizers report by their own exit status. Prints one JSON object.
 */
#include <boltpool/driver.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND      1000000
#define THREADS_MAX 256
#define IN_FLIGHT   4 /* requests of one mailbox */
#define AGENT       "boltpool-leases/1.0"
#define LABEL       "Lease"

enum kind {
    ROWS,
    TRANSACTION,
    MANAGED,
    ONE_CALL,
    ABANDONED,
    FAILING,
    CANCELLED,
    RESET,
    EMPTY,
    AT_ONCE,
    ASYNC,
    KINDS
};

static const char *const KIND_NAMES[KINDS] = {"rows",      "transaction", "managed",   "one_call",
                                              "abandoned", "failing",     "cancelled", "reset",
                                              "empty",     "at_once",     "async"};

/* Of a hundred uses of a thread without a mailbox. */
static const unsigned KIND_SHARES[ASYNC] = {30, 18, 12, 10, 9, 8, 2, 4, 3, 4};

/* A connection that may be cut by the canceller while it stands here. Lock: mutex. */
struct slot {
    pthread_mutex_t mutex;
    struct bp_bolt *bolt;
    bool is_cut;
};

struct stage {
    struct bp_driver *driver;
    struct bp_pool *pool;
    unsigned threads, links;
    atomic_long left;    /* uses that nobody has begun */
    atomic_long written; /* nodes whose transaction was committed */
    atomic_bool is_over; /* for the canceller and the reader of statistics */
    atomic_long kinds[KINDS];
    atomic_long refused; /* as they may be: tries that don't wait, and those with a deadline */
    atomic_long cut;     /* connections that the canceller cut */
    struct slot slots[THREADS_MAX];
    pthread_mutex_t mutex;
    char problem[1024]; /* Lock: mutex; "" = none */
};

/* Owner: its thread. */
struct worker {
    struct stage *stage;
    unsigned number;
    uint64_t random;
    int64_t who; /* the number of the use under way, like no other's */
    pthread_t thread;
};

/* ---- what is wrong ---- */

__attribute__((format(printf, 2, 3))) static void fail(struct stage *stage, const char *format, ...)
{
    va_list arguments;
    pthread_mutex_lock(&stage->mutex);
    if (stage->problem[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(stage->problem, sizeof(stage->problem), format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&stage->mutex);
    atomic_store(&stage->left, 0); /* the others end soon */
}

static bool has_failed(struct stage *stage)
{
    pthread_mutex_lock(&stage->mutex);
    bool is_failed = stage->problem[0] != '\0';
    pthread_mutex_unlock(&stage->mutex);
    return is_failed;
}

/* Fails unless the call said what it must say. */
static void
expect(struct worker *worker, const struct bp_bolt *bolt, int error, int expected, const char *what)
{
    if (error != expected) {
        const char *text = bolt != NULL && error != BP_E_USAGE ? bp_bolt_failure(bolt)->text : "";
        fail(worker->stage, "thread %u, use %lld: %s: %s instead of %s: %s", worker->number,
             (long long)worker->who, what, bp_error_name(error), bp_error_name(expected), text);
    }
}

/* ---- chance ---- */

/* xorshift64*, one for each thread, so that a run is made of its seed and the scheduler. */
static unsigned roll(struct worker *worker, unsigned below)
{
    worker->random ^= worker->random >> 12;
    worker->random ^= worker->random << 25;
    worker->random ^= worker->random >> 27;
    return (unsigned)((worker->random * 0x2545f4914f6cdd1dU) >> 33) % below;
}

static struct bp_operation operation_of(struct worker *worker)
{
    static const char *const TENANTS[] = {NULL, "red", "green", "blue"};
    struct bp_operation operation = BP_OPERATION_INIT;
    operation.work = (enum bp_work)roll(worker, BP_WORK_COUNT);
    operation.priority = (enum bp_priority)roll(worker, 4);
    operation.tenant = TENANTS[roll(worker, 4)];
    operation.name = "lease";
    return operation;
}

/* A deadline for one in eight: far away, but where a class gets nothing at all for a while, such work is refused at once. */
static void set_deadline(struct worker *worker, struct bp_operation *operation)
{
    operation->deadline_us = roll(worker, 8) == 0 ? bp_now_us() + 120LLU * SECOND : 0;
}

/* ---- queries that answer with the number they were given ---- */

static struct bp_params *params_of(struct worker *worker, int64_t n)
{
    char text[32];
    struct bp_params *params = NULL;
    int error = bp_params_new(&params);
    (void)snprintf(text, sizeof(text), "use %lld", (long long)worker->who);
    if (error == 0) {
        (void)bp_params_int(params, "who", worker->who);
        (void)bp_params_int(params, "n", n);
        (void)bp_params_string(params, "text", text);
        (void)bp_params_list(params, "list");
        (void)bp_params_float(params, NULL, 0.5);
        (void)bp_params_bool(params, NULL, 1);
        (void)bp_params_end(params);
        error = bp_params_error(params);
    }
    expect(worker, NULL, error, 0, "parameters");
    return params;
}

static const char ROWS_QUERY[] = "UNWIND range(1, $n) AS i RETURN i, $who, $text, $list";

/* Whether row `i` is what ROWS_QUERY answers to this use. */
static bool is_mine(const struct worker *worker, const struct bp_value *row, int64_t i)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "use %lld", (long long)worker->who);
    return row[0].type == BP_TYPE_INT && row[0].as.integer == i && row[1].type == BP_TYPE_INT &&
           row[1].as.integer == worker->who && row[2].type == BP_TYPE_STRING &&
           row[2].as.text.size == (size_t)length &&
           memcmp(row[2].as.text.data, text, (size_t)length) == 0 && row[3].type == BP_TYPE_LIST &&
           row[3].count == 2;
}

/* Reads at most `most` rows of `n`, which must be this use's. Returns the last status. */
static int read_rows(struct worker *worker, struct bp_result *result, int64_t n, int64_t most)
{
    const struct bp_value *row;
    int64_t i = 0;
    int status = 1;
    while (i < most && (status = bp_result_next(result, &row)) == 1) {
        i++;
        if (!is_mine(worker, row, i)) {
            fail(worker->stage, "thread %u, use %lld: row %lld is another query's", worker->number,
                 (long long)worker->who, (long long)i);
            return BP_E_INTERNAL;
        }
    }
    if (status == 0 && i != n) {
        fail(worker->stage, "%lld rows instead of %lld", (long long)i, (long long)n);
        return BP_E_INTERNAL;
    }
    return status;
}

/* ROWS_QUERY to its end. Returns the first error. */
static int run_rows(struct worker *worker, struct bp_bolt *bolt, int64_t n)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_params *params = params_of(worker, n);
    struct bp_result *result = NULL;
    options.database = "neo4j";
    options.access = BP_ACCESS_READ;
    options.fetch_size = roll(worker, 3) == 0 ? 7 : 0;
    int error = bp_bolt_run(bolt, ROWS_QUERY, params, &options, &result);
    bp_params_free(params);
    if (error != 0) {
        return error;
    }
    int status = read_rows(worker, result, n, n + 1);
    error = bp_result_free(result);
    return status != 0 ? status : error;
}

/* Creates a node in the open transaction. */
static int run_create(struct worker *worker, struct bp_bolt *bolt)
{
    struct bp_params *params = params_of(worker, 1);
    struct bp_result *result = NULL;
    int error = bp_bolt_run(bolt, "CREATE (:" LABEL " {who: $who})", params, NULL, &result);
    bp_params_free(params);
    return error == 0 ? bp_result_free(result) : error;
}

static int begin(struct bp_bolt *bolt)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.database = "neo4j";
    return bp_bolt_begin(bolt, &options);
}

/* ---- uses of a lease that is held ---- */

static void use_transaction(struct worker *worker, struct bp_bolt *bolt)
{
    unsigned end = roll(worker, 4);
    bool is_writing = roll(worker, 8) == 0;
    expect(worker, bolt, begin(bolt), 0, "begin");
    expect(worker, bolt, run_rows(worker, bolt, 1 + roll(worker, 20)), 0, "first in transaction");
    if (is_writing) {
        expect(worker, bolt, run_create(worker, bolt), 0, "create");
    } else {
        expect(worker, bolt, run_rows(worker, bolt, 1), 0, "second in transaction");
    }
    if (end == 0) {
        expect(worker, bolt, bp_bolt_rollback(bolt), 0, "rollback");
    } else if (end == 1) {
        return; /* given back as it is */
    } else {
        expect(worker, bolt, bp_bolt_commit(bolt), 0, "commit");
        atomic_fetch_add(&worker->stage->written, is_writing ? 1 : 0);
    }
}

/* Leaves rows unread; the result may be freed before or after the lease is given back. */
static struct bp_result *use_abandoned(struct worker *worker, struct bp_bolt *bolt)
{
    struct bp_params *params = params_of(worker, 3000);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_result *result = NULL;
    options.database = "neo4j";
    if (roll(worker, 2) == 0) {
        expect(worker, bolt, begin(bolt), 0, "begin");
    }
    int error = bp_bolt_run(bolt, ROWS_QUERY, params, &options, &result);
    expect(worker, bolt, error, 0, "run");
    bp_params_free(params);
    if (error != 0) {
        return NULL;
    }
    int status = read_rows(worker, result, 3000, roll(worker, 20));
    expect(worker, bolt, status, 1, "some rows");
    if (roll(worker, 3) == 0) {
        expect(worker, bolt, bp_result_free(result), 0, "free");
        result = NULL;
    }
    return result;
}

static void use_failing(struct worker *worker, struct bp_bolt *bolt)
{
    static const char *const QUERIES[] = {"RETURN 1 / 0", "RETURN",
                                          "UNWIND [1, 0] AS x RETURN 1 / x"};
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_result *result = NULL;
    bool is_explicit = roll(worker, 2) == 0;
    options.database = "neo4j";
    if (is_explicit) {
        expect(worker, bolt, begin(bolt), 0, "begin");
    }
    int error = bp_bolt_run(bolt, QUERIES[roll(worker, 3)], NULL, &options, &result);
    if (error == 0) {
        struct bp_summary summary;
        error = bp_result_summary(result, &summary);
        (void)bp_result_free(result);
    }
    expect(worker, bolt, error, BP_E_SERVER_FAILURE, "a query that fails");
    if (roll(worker, 2) == 0) {
        return;
    }
    if (is_explicit) {
        error = run_rows(worker, bolt, 1);
        expect(worker, bolt, error, BP_E_SERVER_FAILURE, "in a failed transaction");
        expect(worker, bolt, bp_bolt_rollback(bolt), 0, "rollback");
    }
    expect(worker, bolt, run_rows(worker, bolt, 3), 0, "after an error");
}

/* While it stands in the slot anybody may cut it. */
static void use_cancelled(struct worker *worker, struct bp_bolt *bolt)
{
    struct slot *slot = &worker->stage->slots[worker->number];
    if (roll(worker, 3) == 0) {
        bp_bolt_cancel(bolt);
        expect(worker, bolt, run_rows(worker, bolt, 3), BP_E_SERVER_LOST, "cut by its own thread");
        return;
    }
    pthread_mutex_lock(&slot->mutex);
    slot->bolt = bolt;
    slot->is_cut = false;
    pthread_mutex_unlock(&slot->mutex);
    int error = 0;
    for (int i = 0; i < 20 && error == 0; i++) {
        error = run_rows(worker, bolt, 500);
    }
    pthread_mutex_lock(&slot->mutex);
    slot->bolt = NULL;
    bool is_cut = slot->is_cut;
    pthread_mutex_unlock(&slot->mutex);
    if (error != 0) {
        expect(worker, bolt, error, is_cut ? BP_E_SERVER_LOST : 0, "cut by another thread");
    }
}

static void use_reset(struct worker *worker, struct bp_bolt *bolt)
{
    struct bp_result *unread = roll(worker, 2) == 0 ? use_abandoned(worker, bolt) : NULL;
    expect(worker, bolt, bp_bolt_reset(bolt, 20LLU * SECOND), 0, "reset");
    if (unread != NULL) {
        const struct bp_value *row;
        expect(worker, NULL, bp_result_next(unread, &row), BP_E_USAGE, "a result after a reset");
        (void)bp_result_free(unread);
    }
    expect(worker, bolt, run_rows(worker, bolt, 2), 0, "after a reset");
}

/* ---- managed ---- */

struct unit {
    struct worker *worker;
    bool is_writing;
    int64_t rows; /* seen in this try */
};

static int work_managed(void *user, struct bp_bolt *bolt)
{
    struct unit *unit = user;
    int error = run_rows(unit->worker, bolt, 5);
    return error == 0 && unit->is_writing ? run_create(unit->worker, bolt) : error;
}

static void row_begin(void *user)
{
    struct unit *unit = user;
    unit->rows = 0;
}

static int row_seen(void *user, struct bp_result *result, const struct bp_value *row)
{
    struct unit *unit = user;
    unit->rows++;
    return bp_result_columns(result) == 4 && is_mine(unit->worker, row, unit->rows) ? 0 : 1;
}

static void use_managed(struct worker *worker, enum kind kind)
{
    struct unit unit = {.worker = worker};
    struct bp_operation operation = operation_of(worker);
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_failure failure = {0};
    int error;
    options.database = "neo4j";
    if (kind == MANAGED) {
        unit.is_writing = roll(worker, 8) == 0;
        error = bp_driver_execute(worker->stage->driver, &operation, &options, work_managed, &unit,
                                  &failure);
        atomic_fetch_add(&worker->stage->written, error == 0 && unit.is_writing ? 1 : 0);
    } else {
        struct bp_params *params = params_of(worker, 10);
        options.access = BP_ACCESS_READ;
        error = bp_driver_query(worker->stage->driver, &operation, &options, ROWS_QUERY, params,
                                row_begin, row_seen, &unit, &failure);
        bp_params_free(params);
    }
    if (error != 0 || (kind == ONE_CALL && unit.rows != 10)) {
        fail(worker->stage, "%s: %s, %lld rows: %s", KIND_NAMES[kind], bp_error_name(error),
             (long long)unit.rows, failure.text);
    }
}

/* ---- threads ---- */

/* A lease. One that may be refused, because it doesn't want to wait or has a deadline, is asked for again. */
static int acquire(struct worker *worker,
                   enum kind kind,
                   struct bp_lease **ret_lease,
                   struct bp_bolt **ret_bolt)
{
    struct bp_operation operation = operation_of(worker);
    struct bp_refusal refusal = {0};
    bp_usec timeout_us = kind == AT_ONCE ? 0 : 120LLU * SECOND;
    operation.reterr_refusal = &refusal;
    set_deadline(worker, &operation);
    int error =
        bp_driver_acquire(worker->stage->driver, &operation, timeout_us, ret_lease, ret_bolt);
    if ((error == BP_E_QUEUE_TIMEOUT && timeout_us == 0) ||
        (error == BP_E_HOPELESS && operation.deadline_us != 0)) {
        atomic_fetch_add(&worker->stage->refused, 1);
        operation.deadline_us = 0;
        error = bp_driver_acquire(worker->stage->driver, &operation, 120LLU * SECOND, ret_lease,
                                  ret_bolt);
    }
    if (error != 0) {
        fail(worker->stage, "acquire: %s: %s", bp_error_name(error), refusal.text);
    }
    return error;
}

/* A lease, its use, and its end. */
static void use(struct worker *worker, enum kind kind)
{
    struct bp_lease *lease = NULL;
    struct bp_bolt *bolt = NULL;
    struct bp_result *unread = NULL;
    if (acquire(worker, kind, &lease, &bolt) != 0) {
        return;
    }
    switch ((int)kind) {
    case TRANSACTION:
        use_transaction(worker, bolt);
        break;
    case ABANDONED:
        unread = use_abandoned(worker, bolt);
        break;
    case FAILING:
        use_failing(worker, bolt);
        break;
    case CANCELLED:
        use_cancelled(worker, bolt);
        break;
    case RESET:
        use_reset(worker, bolt);
        break;
    case EMPTY:
        break;
    default:
        expect(worker, bolt, run_rows(worker, bolt, 1 + roll(worker, 40)), 0, "rows");
        break;
    }
    expect(worker, NULL, bp_driver_release(lease), 0, "release");
    (void)bp_result_free(unread);
}

/* The number of the next use; false where all are begun. */
static bool next_use(struct worker *worker)
{
    long left = atomic_fetch_sub(&worker->stage->left, 1);
    worker->who = ((int64_t)worker->number << 32) + left;
    return left > 0;
}

static void *worker_run(void *user)
{
    struct worker *worker = user;
    while (next_use(worker)) {
        unsigned at = roll(worker, 100);
        unsigned kind = 0;
        while (at >= KIND_SHARES[kind]) {
            at -= KIND_SHARES[kind++];
        }
        if (kind == MANAGED || kind == ONE_CALL) {
            use_managed(worker, (enum kind)kind);
        } else {
            use(worker, (enum kind)kind);
        }
        atomic_fetch_add(&worker->stage->kinds[kind], 1);
    }
    return NULL;
}

/* ---- threads with a mailbox ---- */

struct mail {
    struct worker *worker;
    struct bp_mailbox *mailbox;
    int out; /* requests */
};

struct ask {
    struct mail *mail;
    struct bp_request request;
    int64_t who;
    bool has_deadline;
};

static void
on_granted(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal);

/* Asks for a lease for the use under way. One in ten changes its mind and asks again. */
static void ask_now(struct ask *ask, bool may_have_deadline)
{
    struct mail *mail = ask->mail;
    struct worker *worker = mail->worker;
    for (bool is_sure = false; !is_sure;) {
        struct bp_operation operation = operation_of(worker);
        if (may_have_deadline) {
            set_deadline(worker, &operation);
        }
        ask->has_deadline = operation.deadline_us != 0;
        int error = bp_pool_acquire_async(worker->stage->pool, mail->mailbox, &operation,
                                          120LLU * SECOND, on_granted, ask, &ask->request);
        if (error != 0) {
            fail(worker->stage, "acquire_async: %s", bp_error_name(error));
            return;
        }
        is_sure = roll(worker, 10) != 0;
        if (!is_sure) {
            expect(worker, NULL, bp_request_cancel(&ask->request), 0, "cancel a request");
        }
    }
    mail->out++;
}

static void ask_next(struct ask *ask)
{
    struct worker *worker = ask->mail->worker;
    if (next_use(worker)) {
        ask->who = worker->who;
        ask_now(ask, true);
    }
}

static void
on_granted(void *user, int error, struct bp_lease *lease, const struct bp_refusal *refusal)
{
    struct ask *ask = user;
    struct worker *worker = ask->mail->worker;
    ask->mail->out--;
    worker->who = ask->who;
    if (error == BP_E_HOPELESS && ask->has_deadline) {
        atomic_fetch_add(&worker->stage->refused, 1);
        ask_now(ask, false);
        return;
    }
    if (error != 0) {
        fail(worker->stage, "not granted: %s: %s", bp_error_name(error), refusal->text);
        return;
    }
    struct bp_bolt *bolt = bp_lease_bolt(lease);
    expect(worker, bolt, run_rows(worker, bolt, 1 + roll(worker, 20)), 0, "rows by mail");
    expect(worker, NULL, bp_driver_release(lease), 0, "release by mail");
    atomic_fetch_add(&worker->stage->kinds[ASYNC], 1);
    ask_next(ask);
}

static void *mail_run(void *user)
{
    struct worker *worker = user;
    struct mail mail = {.worker = worker};
    struct ask asks[IN_FLIGHT] = {0};
    int error = bp_mailbox_new(worker->stage->pool, &mail.mailbox);
    if (error != 0) {
        fail(worker->stage, "bp_mailbox_new: %s", bp_error_name(error));
        return NULL;
    }
    for (int i = 0; i < IN_FLIGHT; i++) {
        asks[i].mail = &mail;
        ask_next(&asks[i]);
    }
    while (mail.out > 0) {
        struct pollfd polled = {.fd = bp_mailbox_fd(mail.mailbox), .events = POLLIN};
        if (bp_mailbox_dispatch(mail.mailbox) == 0) {
            (void)poll(&polled, 1, 1000);
        }
    }
    expect(worker, NULL, bp_mailbox_free(mail.mailbox), 0, "bp_mailbox_free");
    return NULL;
}

/* ---- the ones that disturb ---- */

static void *cancel_run(void *user)
{
    struct stage *stage = user;
    unsigned at = 0;
    while (!atomic_load(&stage->is_over)) {
        (void)usleep(3000);
        for (unsigned i = 0; i < stage->threads; i++) {
            struct slot *slot = &stage->slots[at++ % stage->threads];
            pthread_mutex_lock(&slot->mutex);
            bool is_found = slot->bolt != NULL && !slot->is_cut;
            if (is_found) {
                bp_bolt_cancel(slot->bolt);
                slot->is_cut = true;
                atomic_fetch_add(&stage->cut, 1);
            }
            pthread_mutex_unlock(&slot->mutex);
            if (is_found) {
                break;
            }
        }
    }
    return NULL;
}

/* A picture that is consistent at any time. */
static void stats_check(struct stage *stage, struct bp_pool_stats *ret_stats)
{
    struct bp_lease_info infos[16];
    struct bp_pool_stats stats = {.struct_size = sizeof(stats)};
    int error = bp_pool_get_stats(stage->pool, &stats);
    if (error != 0) {
        fail(stage, "bp_pool_get_stats: %s", bp_error_name(error));
        return;
    }
    unsigned sum = stats.opening + stats.idle + stats.checking + stats.active + stats.closing;
    if (stats.open != sum || stats.open > stage->links) {
        fail(stage, "open %u = %u of at most %u", stats.open, sum, stage->links);
    }
    if (stats.acquired - stats.returned != stats.active) {
        fail(stage, "acquired %llu - returned %llu = active %u", (unsigned long long)stats.acquired,
             (unsigned long long)stats.returned, stats.active);
    }
    if (bp_pool_leases(stage->pool, infos, 16) < 0) {
        fail(stage, "bp_pool_leases");
    }
    *ret_stats = stats;
}

static void *stats_run(void *user)
{
    struct stage *stage = user;
    while (!atomic_load(&stage->is_over)) {
        struct bp_pool_stats stats;
        stats_check(stage, &stats);
        (void)usleep(10000);
    }
    return NULL;
}

/* ---- what the server says ---- */

/* The only number that a query of this connection answers; -1 after a failure. */
static int64_t ask_number(struct stage *stage, struct bp_bolt *bolt, const char *query)
{
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    struct bp_result *result = NULL;
    const struct bp_value *row;
    int64_t number = -1;
    options.database = "neo4j";
    int error = bp_bolt_run(bolt, query, NULL, &options, &result);
    if (error == 0) {
        int status = bp_result_next(result, &row);
        number = status == 1 && row[0].type == BP_TYPE_INT ? row[0].as.integer : 0;
        error = bp_result_free(result);
        error = status < 0 ? status : error;
    }
    if (error != 0) {
        fail(stage, "%s: %s: %s", query, bp_error_name(error), bp_bolt_failure(bolt)->text);
        return -1;
    }
    return number;
}

static const char CONNECTIONS_QUERY[] =
    "CALL dbms.listConnections() YIELD userAgent WITH * WHERE userAgent = '" AGENT
    "' RETURN count(*)";

/* ---- all of it ---- */

static void configure(struct bp_driver_config *config, char **arguments, unsigned links)
{
    bp_driver_config_init(config);
    config->bolt.url = arguments[1];
    config->bolt.user = arguments[2];
    config->bolt.password = arguments[3];
    config->bolt.user_agent = AGENT;
    config->bolt.fetch_size = 100;
    config->pool.links_max = links;
    config->pool.idle_min = links / 2;
    config->pool.lifetime_us = 3LLU * SECOND;
    config->pool.check_after_us = 50000;
    config->pool.queue_timeout_us = 120LLU * SECOND;
    config->pool.classes[BP_CLASS_HIGH_PRIORITY].min = 2;
    config->pool.classes[BP_CLASS_READ_ONLY].min = 2;
    config->pool.classes[BP_CLASS_ANALYTICS].max = links / 2;
}

static void run_threads(struct stage *stage, uint64_t seed)
{
    static struct worker workers[THREADS_MAX];
    pthread_t canceller, reader;
    if (pthread_create(&canceller, NULL, cancel_run, stage) != 0 ||
        pthread_create(&reader, NULL, stats_run, stage) != 0) {
        abort();
    }
    for (unsigned i = 0; i < stage->threads; i++) {
        struct worker *worker = &workers[i];
        *worker = (struct worker){
            .stage = stage, .number = i, .random = (seed + i + 1) * 0x9e3779b97f4a7c15U};
        if (pthread_create(&worker->thread, NULL, i % 8 == 7 ? mail_run : worker_run, worker) !=
            0) {
            abort();
        }
    }
    for (unsigned i = 0; i < stage->threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
    }
    atomic_store(&stage->is_over, true);
    (void)pthread_join(canceller, NULL);
    (void)pthread_join(reader, NULL);
}

/* Closing takes a moment, in the pool's helpers and in the server. */
static void check_end(struct stage *stage, struct bp_bolt *watcher, struct bp_pool_stats *ret_stats)
{
    int64_t connections = 0;
    struct bp_pool_stats stats = {0};
    for (int i = 0; i < 100; i++) {
        stats_check(stage, &stats);
        connections = ask_number(stage, watcher, CONNECTIONS_QUERY);
        if (stats.closing + stats.opening + stats.checking == 0 && connections <= stage->links) {
            break;
        }
        (void)usleep(50000);
    }
    if (stats.active != 0 || stats.waiting != 0 || bp_pool_leases(stage->pool, NULL, 0) != 0) {
        fail(stage, "%u leases are out, %u wait", stats.active, stats.waiting);
    }
    if (stats.acquired != stats.returned) {
        fail(stage, "acquired %llu, returned %llu", (unsigned long long)stats.acquired,
             (unsigned long long)stats.returned);
    }
    if (stats.created != stats.closed + stats.open) {
        fail(stage, "created %llu, closed %llu, open %u", (unsigned long long)stats.created,
             (unsigned long long)stats.closed, stats.open);
    }
    if (connections > (int64_t)stage->links) {
        fail(stage, "the server shows %lld connections", (long long)connections);
    }
    int64_t nodes = ask_number(stage, watcher, "MATCH (n:" LABEL ") RETURN count(DISTINCT n.who)");
    int64_t copies = ask_number(stage, watcher, "MATCH (n:" LABEL ") RETURN count(n)");
    if (nodes != atomic_load(&stage->written) || copies != nodes) {
        fail(stage, "%lld nodes of %lld uses instead of %ld", (long long)copies, (long long)nodes,
             atomic_load(&stage->written));
    }
    *ret_stats = stats;
}

static long argument(int count, char **arguments, int index, long otherwise)
{
    return count > index ? strtol(arguments[index], NULL, 10) : otherwise;
}

int main(int count, char **arguments)
{
    static struct stage stage = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct bp_driver_config config;
    struct bp_bolt *watcher = NULL;
    struct bp_failure failure = {0};
    struct bp_pool_stats stats = {0};
    if (count < 4) {
        (void)fprintf(stderr,
                      "usage: driver_leases URI USER PASSWORD [LEASES [THREADS [LINKS [SEED]]]]\n");
        return 2;
    }
    long leases = argument(count, arguments, 4, 30000);
    stage.threads = (unsigned)argument(count, arguments, 5, 64);
    stage.links = (unsigned)argument(count, arguments, 6, 12);
    uint64_t seed = (uint64_t)argument(count, arguments, 7, (long)getpid());
    if (stage.threads < 1 || stage.threads > THREADS_MAX || stage.links < 4) {
        return 2;
    }
    (void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    configure(&config, arguments, stage.links);
    for (unsigned i = 0; i < stage.threads; i++) {
        pthread_mutex_init(&stage.slots[i].mutex, NULL);
    }
    int error = bp_driver_new(&config, &stage.driver);
    if (error == 0) {
        config.bolt.user_agent = "boltpool-leases-watcher/1.0";
        error = bp_bolt_open(&config.bolt, &watcher, &failure);
    }
    if (error != 0) {
        (void)fprintf(stderr, "%s: %s\n", bp_error_name(error), failure.text);
        return 1;
    }
    stage.pool = bp_driver_pool(stage.driver);
    (void)ask_number(&stage, watcher, "MATCH (n:" LABEL ") DELETE n RETURN count(n)");
    atomic_store(&stage.left, leases);
    bp_usec began_us = bp_now_us();
    run_threads(&stage, seed);
    double seconds = (double)(bp_now_us() - began_us) / 1e6;
    check_end(&stage, watcher, &stats);
    if (stats.acquired < (uint64_t)leases) {
        fail(&stage, "%llu leases instead of %ld", (unsigned long long)stats.acquired, leases);
    }
    bp_bolt_close(watcher);
    error = bp_driver_free(stage.driver, 20LLU * SECOND);
    if (error != 0) {
        fail(&stage, "bp_driver_free: %s", bp_error_name(error));
    }
    (void)printf("{\"seconds\": %.1f, \"leases\": %llu, \"created\": %llu, \"closed\": %llu, "
                 "\"cut\": %ld, \"refused\": %ld",
                 seconds, (unsigned long long)stats.acquired, (unsigned long long)stats.created,
                 (unsigned long long)stats.closed, atomic_load(&stage.cut),
                 atomic_load(&stage.refused));
    for (int kind = 0; kind < KINDS; kind++) {
        (void)printf(", \"%s\": %ld", KIND_NAMES[kind], atomic_load(&stage.kinds[kind]));
    }
    (void)printf("}\n");
    if (has_failed(&stage)) {
        (void)fprintf(stderr, "FAIL: %s\n", stage.problem);
        return 1;
    }
    return 0;
}
