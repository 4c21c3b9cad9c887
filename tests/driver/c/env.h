/* What every scenario gets: a driver, a tag for its own data, three more users; and how it tells what it saw.
 *
 * A scenario returns JSON that may hold only what must be equal directly and through a pooler. What is wrong by itself goes to
 * fail(): the first such text becomes the scenario's result. After it every helper does nothing and returns something harmless, so
 * a scenario needs no error handling of its own and runs to its end.
 *
 * Only public functions are used: the program is linked against the shared library.
 */
#ifndef TESTS_DRIVER_C_ENV_H
#define TESTS_DRIVER_C_ENV_H

#include <boltpool/driver.h>

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#define USER_PASSWORD "somepass1"
/* Looks for termination while it runs, on 5.x and later; would take minutes. */
#define LONG_QUERY "UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)"

struct text;

/* One run. Owner: the main thread; the threads of a scenario only read it, and call fail() and say(). */
struct env {
    const char *uri;
    const char *user;
    const char *password;
    const char *ca_file; /* NULL = the system's */
    char tag[16];
    char label[96]; /* of the running scenario */
    char alice[32], bob[32], wrong[32];
    struct bp_driver *driver;
    int server_major;
    int bolt_major, bolt_minor;
    pthread_mutex_t mutex;
    char problem[2048]; /* Lock: mutex; "" = none */
    struct text *texts; /* Lock: mutex; what say() made, until the scenario's end */
};

struct scenario {
    const char *name;
    json_t *(*run)(struct env *e);
};

/* Each file's own; they end with a name NULL. */
extern const struct scenario values_scenarios[];
extern const struct scenario transaction_scenarios[];
extern const struct scenario work_scenarios[];
extern const struct scenario result_scenarios[];
extern const struct scenario error_scenarios[];
extern const struct scenario identity_scenarios[];
extern const struct scenario summary_scenarios[];

/* Opens the driver and makes the users. False: `problem` says why. */
bool env_init(struct env *e);
void env_done(struct env *e);
/* Forgets the last scenario's texts and problem. */
void env_next(struct env *e, const char *scenario);

/* ---- what is wrong ---- */

/* The scenario failed; the first text counts. Threads: any. */
__attribute__((format(printf, 2, 3))) void fail(struct env *e, const char *format, ...);
bool failed(struct env *e);
/* fail() unless it holds. */
#define check(e, condition, ...) ((condition) ? (void)0 : fail((e), __VA_ARGS__))
/* fail() with what `bolt` (NULL = none) says of it, unless error is 0. Returns whether it is. */
bool good(struct env *e, const struct bp_bolt *bolt, int error, const char *what);
/* What an application can tell from a failure, less names made for this run. */
json_t *told(struct env *e, const struct bp_failure *failure);

/* ---- texts ---- */

/* A text that lives until the scenario's end. Threads: any. */
__attribute__((format(printf, 2, 3))) const char *say(struct env *e, const char *format, ...);
/* This run's tag and all numbers masked. */
const char *clean(struct env *e, const char *text);
/* The run's address under bolt or neo4j, with the same kind of encryption. */
const char *with_scheme(struct env *e, const char *scheme);

/* ---- connections ---- */

/* The run's configuration. */
void bolt_config(struct env *e, struct bp_bolt_config *config);
void driver_config(struct env *e, struct bp_driver_config *config);
struct bp_driver *driver_open(struct env *e, const struct bp_driver_config *config);
void driver_close(struct env *e, struct bp_driver *driver);

/* One user of one connection: leased from a driver, or opened for it. The options hold for what it runs. */
struct session {
    struct env *env;
    struct bp_lease *lease; /* NULL = its own connection */
    struct bp_bolt *bolt;   /* NULL = it failed */
    struct bp_tx_options options;
};

/* Of the run's driver, on database neo4j. */
struct session session_lease(struct env *e);
struct session session_lease_from(struct env *e, struct bp_driver *driver);
/* A connection of its own; config NULL = the run's. */
struct session session_open(struct env *e, const struct bp_bolt_config *config);
void session_close(struct session *s);

/* ---- queries ---- */

struct bp_params *params_new(struct env *e);
/* With one value in it. */
struct bp_params *params_int(struct env *e, const char *key, int64_t value);
struct bp_params *params_string(struct env *e, const char *key, const char *value);

/* The functions below free `params` (NULL = none). */

/* NULL after a failure. */
struct bp_result *run(struct session *s, const char *query, struct bp_params *params);
/* The next row, or NULL at the end. */
const struct bp_value *next(struct session *s, struct bp_result *result);
/* All rows that are left, as lists; frees the result. */
json_t *rest(struct session *s, struct bp_result *result);
json_t *rows(struct session *s, const char *query, struct bp_params *params);
/* The first value of the only row. */
json_t *one(struct session *s, const char *query, struct bp_params *params);
/* Runs it to its end, and looks at nothing. */
void drain(struct session *s, const char *query, struct bp_params *params);
/* Runs it to its end, which must fail; what was told. */
json_t *refused(struct session *s, const char *query, struct bp_params *params);
/* Whether the call failed as it must; what was told. */
json_t *refused_call(struct session *s, int error);

/* In a leased session of their own. */
json_t *run_rows(struct env *e, const char *query, struct bp_params *params);
json_t *run_one(struct env *e, const char *query, struct bp_params *params);
/* How many nodes the running scenario's label has. */
json_t *count(struct env *e);

/* A value as JSON: containers, numbers and texts as such, all else as bp_value_format() writes it. */
json_t *shown(struct env *e, const struct bp_value *value);
/* Its type and text, a hash of both where they are long. */
json_t *printed(struct env *e, const struct bp_value *value);
json_t *string_of(struct bp_text text);
bool text_is(struct bp_text text, const char *expected);

#endif
