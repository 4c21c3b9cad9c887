/* A lease as people see it: whose it is, whether it takes suspiciously long, and its end by KILL.
 *
 * A transaction that holds a link for leak_report_after is reported, and again each time that it has taken twice as
 * long as at the last report, so that a forgotten one costs a dozen lines a month. When one that was reported ends,
 * that is said, too: else nobody could tell a leak from work that takes its time.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"
#include "proxy/daemon.h"
#include "proxy/session.h"

#include <inttypes.h>
#include <string.h>

/* Lines a second, of one loop: after a server hangs for minutes, hundreds of leases come to their time at once. */
#define LEAK_LINES_MAX     5
#define LEAK_DOUBLINGS_MAX 32

bool bpi_session_may_be_committed(const struct bpi_session *session)
{
    return session->commit_sent || (session->lease_kind == BPI_LEASE_AUTO && !session->mode_read &&
                                    session->unanswered > 0);
}

/* ---- leak report ---- */

bp_usec bpi_session_leak_at_us(const struct bpi_session *session)
{
    bp_usec after_us = bpi_session_config(session)->leak_report_after_us;
    if (after_us == 0 || session->link == NULL || session->lease_kind == BPI_LEASE_SESSION ||
        session->leak_reports > LEAK_DOUBLINGS_MAX) {
        return 0;
    }
    return session->leased_us + (after_us << session->leak_reports);
}

/* Who holds it, since when and for what, and on whose side it stands still. */
static void leak_log(struct bpi_session *session, const char *what, bp_usec now_us)
{
    const struct bpi_pool_link *place = &session->link->place;
    const char *agent = session->hello == NULL ? "" : session->hello->application;
    const char *own = bpi_session_user(session);
    bp_usec held_us = now_us - session->leased_us;
    char user[128];
    char application[128];
    char since[32];
    const char *more;
    if (!bpi_log_allowed(&session->worker->leak_log, LEAK_LINES_MAX, now_us, &more)) {
        return;
    }
    bpi_clock_format(bpi_clock_wall_us() - (int64_t)held_us, since, sizeof(since));
    bpi_log(BPI_LOG_WARN, "lease",
            "client %" PRIu64 " %s a link of [cluster %s] since %s, for %.3g s, longer than "
            "leak_report_after: user '%s', operation %s, driver '%s'; %s for %.1f s; lease %" PRIu64
            " of class %s to %s%s",
            session->id, what, bpi_session_config(session)->name, since, (double)held_us / 1e6,
            bpi_log_quote(user, sizeof(user), own, strlen(own)), session->operation,
            bpi_log_quote(application, sizeof(application), agent, strlen(agent)),
            session->unanswered > 0 ? "the server has said nothing" : "it has done nothing",
            (double)(now_us - session->active_us) / 1e6, place->lease_id,
            bpi_class_name(place->class_),
            bpi_cluster_endpoint_name(session->front->cluster, place->endpoint), more);
}

void bpi_session_leak_check(struct bpi_session *session, bp_usec now_us)
{
    bp_usec at_us = bpi_session_leak_at_us(session);
    if (at_us == 0 || now_us < at_us) {
        return;
    }
    while (at_us != 0 && now_us >= at_us) {
        session->leak_reports++;
        at_us = bpi_session_leak_at_us(session);
    }
    leak_log(session, "holds", now_us);
}

void bpi_session_leak_end(struct bpi_session *session)
{
    if (session->leak_reports > 0 && session->link != NULL) {
        leak_log(session, "has given back, having held it,", bpi_session_now_us(session));
    }
    session->leak_reports = 0;
}

/* ---- KILL ---- */

static const char killed_lease[] =
    "boltpool: the transaction was rolled back: an administrator has ended it (KILL)";
static const char killed_client[] =
    "boltpool: the connection is closed: an administrator has ended it (KILL)";

/* The server is at a COMMIT that nothing stops any more: the lease ends all the same, and as nobody knows how that
 * one does, so does the client's connection. */
static void cut(struct bpi_session *session)
{
    struct bpi_link *link = session->link;
    bpi_session_leak_end(session);
    session->link = NULL;
    bpi_link_close(link);
    session->phase = BPI_SESSION_CLOSING;
}

void bpi_session_lease_killed(void *user)
{
    struct bpi_session *session = user;
    BP_ASSERT(session->link != NULL);
    bpi_session_log(session, BPI_LOG_WARN, "its lease was ended by KILL");
    if (session->stopping) {
        bpi_session_stop_end(session);
    } else if (session->lease_kind == BPI_LEASE_SESSION) {
        /* Between transactions of session mode nothing is lost with the link. */
        struct bpi_link *link = session->link;
        session->link = NULL;
        session->state = session->ahead;
        session->unanswered =
            0; /* its RESET, which is still in its queue and is answered from there */
        session->reset_sent = false;
        bpi_link_clean(link);
    } else if (!bpi_session_may_be_committed(session) || session->mid_record) {
        bpi_session_evict(session, BPI_CODE_TERMINATED, killed_lease);
    } else if (bpi_session_may_reset(session)) {
        bpi_session_stop(session, BPI_CODE_TERMINATED, killed_lease);
    } else {
        cut(session);
    }
    bpi_session_pump(session);
}

void bpi_session_kill(struct bpi_session *session)
{
    bool is_told = session->phase == BPI_SESSION_MESSAGES && !session->mid_record &&
                   session->version != 0 &&
                   (session->wish_wait == BPI_WAIT_ON ||
                    (session->link != NULL && session->unanswered > 0 && !session->failed &&
                     !session->reset_sent && !bpi_session_outcome_is_unknown(session)));
    bpi_session_log(session, BPI_LOG_WARN, "its connection is closed by KILL");
    if (is_told) {
        bpi_session_fail(session, BPI_CODE_TERMINATED, killed_client, false);
    }
    if (session->mid_record) {
        bpi_session_close(session);
    } else {
        bpi_session_close_flushed(session);
    }
}
