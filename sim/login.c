/* HELLO, LOGON and LOGOFF of a simulated server. Up to Bolt 5.0 HELLO holds the log-in. */
#include <boltpool/error.h>

#include "sim/server_types.h"
#include "sim/session.h"

#include <stdio.h>
#include <string.h>

void bpi_sim_login_forget(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    if (!session->logged_on) {
        return;
    }
    session->logged_on = false;
    pthread_mutex_lock(&sim->mutex);
    sim->stats.sessions_now--;
    struct bpi_sim_user_entry *user =
        bpi_sim_users_find(&sim->users, session->user, strlen(session->user));
    if (user != NULL) {
        user->stats.sessions_now--;
    }
    pthread_mutex_unlock(&sim->mutex);
}

/* Checks the token and counts; the verdict is answered when the service time is over. */
static enum bpi_sim_login login_check(struct bpi_sim_session *session, struct bpi_bolt_span extra)
{
    struct bpi_sim *sim = session->sim;
    struct bpi_bolt_auth auth;
    if (bpi_bolt_auth_read(extra, &auth) != 0) {
        return BPI_SIM_LOGIN_WRONG;
    }
    struct bpi_sim_user_entry *user = NULL;
    enum bpi_sim_login login = BPI_SIM_LOGIN_WRONG;
    pthread_mutex_lock(&sim->mutex);
    if (sim->users.auth_off || (bpi_bolt_text_is(auth.scheme, "basic") &&
                                auth.principal.data != NULL && auth.credentials.data != NULL)) {
        login = bpi_sim_users_check(
            &sim->users, auth.principal.data == NULL ? "" : auth.principal.data,
            auth.principal.size, auth.credentials.data == NULL ? "" : auth.credentials.data,
            auth.credentials.size, bpi_loop_now_us(sim->loop), &user);
    }
    session->user[0] = '\0';
    if (login == BPI_SIM_LOGIN_PASSED) {
        snprintf(session->user, sizeof(session->user), "%.*s", (int)auth.principal.size,
                 auth.principal.data == NULL ? "" : auth.principal.data);
    }
    pthread_mutex_unlock(&sim->mutex);
    return login;
}

static void login_start(struct bpi_sim_session *session, uint8_t tag, struct bpi_bolt_span extra)
{
    struct bpi_sim *sim = session->sim;
    session->login = login_check(session, extra);
    bp_usec span_us = bpi_sim_service_draw(&sim->login_service, &sim->random);
    session->work_tag = tag;
    if (span_us > 0) {
        bpi_sim_session_work(session, BPI_SIM_WORK_LOGIN, tag, span_us);
    } else {
        bpi_sim_login_end(session);
    }
}

static void login_passed(struct bpi_sim_session *session)
{
    struct bpi_sim *sim = session->sim;
    session->logged_on = true;
    bpi_timer_clear(sim->loop, &session->login_timer);
    pthread_mutex_lock(&sim->mutex);
    sim->stats.logons++;
    sim->stats.sessions_now++;
    if (sim->stats.sessions_now > sim->stats.sessions_max) {
        sim->stats.sessions_max = sim->stats.sessions_now;
    }
    struct bpi_sim_user_entry *user =
        bpi_sim_users_find(&sim->users, session->user, strlen(session->user));
    if (user != NULL) {
        user->stats.logons++;
        user->stats.sessions_now++;
        if (user->stats.sessions_now > user->stats.sessions_max) {
            user->stats.sessions_max = user->stats.sessions_now;
        }
    }
    pthread_mutex_unlock(&sim->mutex);
}

void bpi_sim_login_end(struct bpi_sim_session *session)
{
    session->work = BPI_SIM_WORK_NONE;
    if (session->login != BPI_SIM_LOGIN_PASSED) {
        bool locked = session->login == BPI_SIM_LOGIN_LOCKED;
        bpi_sim_count(session->sim, &session->sim->stats.login_failures);
        bpi_sim_session_fail_close(
            session, session->work_tag,
            locked ? "Neo.ClientError.Security.AuthenticationRateLimit"
                   : "Neo.ClientError.Security.Unauthorized",
            locked ? "Wrong credentials were given too often. Wait before another try."
                   : "The client is unauthorized due to authentication failure.");
        return;
    }
    login_passed(session);
    int error = session->work_tag == BPI_BOLT_HELLO
                    ? bpi_sim_answer_hello(session, session->utc_patch)
                    : bpi_sim_answer_logon(session);
    if (error != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, session->work_tag, BPI_SERVER_SUCCEEDED);
}

/* Whether HELLO's filter hides the simulated notification (GENERIC, INFORMATION). */
static bool hello_hides(const struct bpi_bolt_hello *hello)
{
    struct bpi_pack_reader reader;
    const char *text;
    size_t size;
    if (hello->severity.data != NULL) {
        bpi_pack_reader_init(&reader, hello->severity.data, hello->severity.size);
        if (bpi_pack_next_string(&reader, &text, &size) == 0 && size != strlen("INFORMATION")) {
            return true;
        }
    }
    return hello->disabled.data != NULL &&
           memmem(hello->disabled.data, hello->disabled.size, "GENERIC", 7) != NULL;
}

void bpi_sim_hello(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    const char *reason = "";
    struct bpi_bolt_hello hello;
    int error = bpi_bolt_hello_check(request->extra, session->version, &reason);
    if (error == 0 && bpi_bolt_hello_read(request->extra, &hello) != 0) {
        error = BP_E_PROTOCOL;
        reason = "HELLO is malformed.";
    }
    if (error == BP_E_PROTOCOL) {
        /* The connection stays, dead, until the log-in timer ends it. */
        bpi_sim_session_fail(session, request->tag, "Neo.ClientError.Request.Invalid", reason);
        return;
    }
    if (error != 0) {
        bpi_sim_count(session->sim, &session->sim->stats.closed_illegal);
        bpi_sim_session_close(session, false);
        return;
    }
    session->utc_patch = bpi_bolt_has_patch(session->version) && hello.patch_utc;
    session->notifications_off =
        bpi_bolt_has_notification_filter(session->version) && hello_hides(&hello);
    if (!bpi_bolt_has_logon(session->version)) {
        login_start(session, request->tag, request->extra);
        return;
    }
    if (bpi_sim_answer_hello(session, false) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, request->tag, BPI_SERVER_SUCCEEDED);
}

void bpi_sim_logon(struct bpi_sim_session *session, const struct bpi_bolt_request *request)
{
    login_start(session, request->tag, request->extra);
}

void bpi_sim_logoff(struct bpi_sim_session *session)
{
    bpi_sim_count(session->sim, &session->sim->stats.logoffs);
    bpi_sim_login_forget(session);
    bpi_sim_session_login_timer(session);
    if (bpi_sim_answer_empty(session) != 0) {
        bpi_sim_session_close(session, true);
        return;
    }
    bpi_sim_session_after(session, BPI_BOLT_LOGOFF, BPI_SERVER_SUCCEEDED);
}
