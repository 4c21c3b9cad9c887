/* Who one is: passwords, two users at once, changing the user of a connection. */
#include "env.h"

#include <string.h>

#define SECOND 1000000
#define WHO    "SHOW CURRENT USER YIELD user"

/* Asks the server who one is, and must hear `name`. */
static void is_user(struct session *s, const char *name)
{
    s->options.database = "system";
    json_t *user = one(s, WHO, NULL);
    check(s->env, failed(s->env) || strcmp(json_string_value(user), name) == 0,
          "the server says %s to %s", json_string_value(user), name);
    json_decref(user);
}

/* A log-in that must be refused: on a connection of its own, and by a driver. */
static json_t *refused_login(struct env *e, const struct bp_login *login)
{
    struct bp_driver_config config;
    struct bp_failure failure = {0};
    struct bp_failure driver_failure = {0};
    struct bp_bolt *bolt = NULL;
    driver_config(e, &config);
    config.bolt.user = NULL;
    config.bolt.password = NULL;
    config.bolt.login = login;
    int error = bp_bolt_open(&config.bolt, &bolt, &failure);
    check(e, error == BP_E_SERVER_FAILURE && failure.error == error, "%s", bp_error_name(error));
    if (error == 0) {
        bp_bolt_close(bolt);
    }
    struct bp_driver *driver = driver_open(e, &config);
    if (!failed(e)) {
        error = bp_driver_verify(driver, 10 * SECOND, &driver_failure);
        check(e, error != 0 && driver_failure.error == error, "a driver with a wrong log-in: %s",
              bp_error_name(error));
        check(e, strcmp(driver_failure.code, failure.code) == 0, "a driver says %s instead of %s",
              driver_failure.code, failure.code);
    }
    json_t *seen = json_pack("[o, o]", told(e, &failure), told(e, &driver_failure));
    driver_close(e, driver);
    return seen;
}

static json_t *auth_wrong_password(struct env *e)
{
    const struct bp_login LOGINS[] = {
        {NULL, e->wrong, "not the password", NULL},
        {"basic", say(e, "nobody%s", e->tag), "whatever1", NULL},
        {"none", NULL, NULL, NULL},
        {"bearer", NULL, "token", NULL},
    };
    json_t *seen = json_array();
    for (size_t i = 0; i < sizeof(LOGINS) / sizeof(LOGINS[0]) && !failed(e); i++) {
        (void)json_array_append_new(seen, refused_login(e, &LOGINS[i]));
    }
    struct bp_bolt_config config;
    bolt_config(e, &config);
    config.user = e->wrong;
    config.password = USER_PASSWORD;
    struct session s = session_open(e, &config);
    is_user(&s, e->wrong);
    session_close(&s);
    return seen;
}

static struct bp_driver *driver_of(struct env *e, const char *name)
{
    struct bp_driver_config config;
    driver_config(e, &config);
    config.bolt.user = name;
    config.bolt.password = USER_PASSWORD;
    return driver_open(e, &config);
}

/* Two users and a third in turns, each by its driver and inside a transaction too. */
static json_t *auth_two_users(struct env *e)
{
    struct bp_driver *const drivers[] = {driver_of(e, e->alice), driver_of(e, e->bob), e->driver};
    const char *const names[] = {e->alice, e->bob, e->user};
    for (int i = 0; i < 75; i++) {
        struct session s = session_lease_from(e, drivers[i % 3]);
        is_user(&s, names[i % 3]);
        if (!failed(e) && good(e, s.bolt, bp_bolt_begin(s.bolt, &s.options), "bp_bolt_begin")) {
            is_user(&s, names[i % 3]);
            (void)good(e, s.bolt, bp_bolt_commit(s.bolt), "bp_bolt_commit");
        }
        session_close(&s);
    }
    driver_close(e, drivers[0]);
    driver_close(e, drivers[1]);
    return json_string("each its own");
}

static bool has_logon(const struct env *e)
{
    return e->bolt_major > 5 || (e->bolt_major == 5 && e->bolt_minor >= 1);
}

/* LOGOFF and LOGON on one connection; a driver whose log-in changes. */
static json_t *auth_session(struct env *e)
{
    const char *const names[] = {e->alice, e->bob, e->wrong};
    struct session s = session_open(e, NULL);
    struct bp_login login = {NULL, e->alice, USER_PASSWORD, NULL};
    if (failed(e)) {
        return json_null();
    }
    if (!has_logon(e)) {
        int error = bp_bolt_logon(s.bolt, &login);
        check(e, error == BP_E_VERSION, "LOGON: %s", bp_error_name(error));
        is_user(&s, e->user);
        session_close(&s);
        return json_string("not on this server");
    }
    for (int i = 0; i < 30; i++) {
        login.user = names[i % 3];
        if (good(e, s.bolt, bp_bolt_logon(s.bolt, &login), "bp_bolt_logon")) {
            is_user(&s, names[i % 3]);
        }
    }
    login.credentials = "not the password";
    int error = bp_bolt_logon(s.bolt, &login);
    check(e, error == BP_E_SERVER_FAILURE, "a wrong password: %s", bp_error_name(error));
    json_t *failure = refused_call(&s, error);
    error = bp_bolt_reset(s.bolt, 5 * SECOND);
    check(e, error == BP_E_SERVER_LOST, "after a wrong password: %s", bp_error_name(error));
    session_close(&s);

    struct bp_driver *driver = driver_of(e, e->alice);
    s = session_lease_from(e, driver);
    is_user(&s, e->alice);
    struct session kept = session_lease_from(e, driver);
    is_user(&kept, e->alice);
    session_close(&s);
    login = (struct bp_login){NULL, e->bob, USER_PASSWORD, NULL};
    if (!failed(e)) {
        (void)good(e, NULL, bp_driver_set_login(driver, &login), "bp_driver_set_login");
    }
    is_user(&kept, e->alice); /* a lease that is out stays whose it was */
    session_close(&kept);
    for (int i = 0; i < 5; i++) {
        s = session_lease_from(e, driver);
        is_user(&s, e->bob);
        session_close(&s);
    }
    driver_close(e, driver);
    return failure;
}

static json_t *auth_verify(struct env *e)
{
    struct bp_driver *driver = driver_of(e, e->alice);
    struct bp_login login = {NULL, e->wrong, "not the password", NULL};
    struct bp_failure failure = {0};
    int error = 0;
    if (!failed(e)) {
        error = bp_driver_verify(driver, 10 * SECOND, &failure);
        check(e, error == 0, "%s: %s", bp_error_name(error), failure.text);
        (void)good(e, NULL, bp_driver_set_login(driver, &login), "bp_driver_set_login");
        error = bp_driver_verify(driver, 10 * SECOND, &failure);
        check(e, error != 0, "a wrong password is fine");
    }
    driver_close(e, driver);
    return json_pack("[o, o]", told(e, &failure), run_one(e, "RETURN 1", NULL));
}

/* A password that must be changed first. */
static json_t *auth_password_change(struct env *e)
{
    const char *name = say(e, "fresh%s", e->tag);
    struct bp_bolt_config config;
    struct session system = session_lease(e);
    system.options.database = "system";
    drain(&system, say(e, "CREATE USER %s SET PASSWORD 'firstpass1' CHANGE REQUIRED", name), NULL);
    bolt_config(e, &config);
    config.user = name;
    config.password = "firstpass1";
    struct session s = session_open(e, &config);
    json_t *before = refused(&s, "RETURN 1", NULL);
    session_close(&s);
    s = session_open(e, &config);
    s.options.database = "system";
    struct bp_params *params = params_string(e, "old", "firstpass1");
    (void)bp_params_string(params, "new", "secondpass2");
    drain(&s, "ALTER CURRENT USER SET PASSWORD FROM $old TO $new", params);
    session_close(&s);
    config.password = "secondpass2";
    s = session_open(e, &config);
    json_t *after = one(&s, "RETURN 1", NULL);
    session_close(&s);
    const struct bp_login old = {NULL, name, "firstpass1", NULL};
    json_t *wrong = failed(e) ? json_null() : refused_login(e, &old);
    drain(&system, say(e, "DROP USER %s", name), NULL);
    session_close(&system);
    return json_pack("[o, o, o]", before, after, wrong);
}

const struct scenario identity_scenarios[] = {
    {"auth_wrong_password", auth_wrong_password},
    {"auth_two_users", auth_two_users},
    {"auth_session", auth_session},
    {"auth_verify", auth_verify},
    {"auth_password_change", auth_password_change},
    {NULL, NULL},
};
