/* `boltpool sim`: simulated servers until a signal comes. The work is in sim/. */
#include "cli/command.h"

#include <boltpool/error.h>

#include "bolt/version.h"
#include "sim/server.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS_MAX   64
#define SERVERS_MAX 64

static const char help[] =
    "usage: boltpool sim [OPTIONS]\n\n"
    "Runs simulated Neo4j servers until SIGINT or SIGTERM: real Bolt, no database. Queries may\n"
    "ask for rows, time and failures in a comment: RETURN 1 /* sim: rows=1000 bytes=200 ms=20 "
    "*/\n"
    "or /* sim: service=exp:5ms */\n\n"
    "  -p, --port PORT        listen here; 0 takes a free port (7687)\n"
    "  -n, --count N          so many servers, on the ports that follow (1)\n"
    "  -l, --listen HOST      address to listen on (127.0.0.1)\n"
    "  -V, --versions A-B     Bolt versions that it speaks, or one alone (4.1-6.1)\n"
    "  -a, --auth USER:PASSWORD[,...]   who may log on (everybody)\n"
    "      --databases A,B    its databases, the home one first (neo4j,system)\n"
    "      --agent TEXT       its name in HELLO (Neo4j/5.26.30)\n"
    "      --workers N        transactions and queries at one time (400); more are refused\n"
    "      --worker-wait      more wait for a free worker, in the order in which they came\n"
    "  -s, --service TIME     of each query: 5ms, exp:5ms, lognormal:5ms:0.5 (0)\n"
    "      --commit TIME      of each COMMIT (0)\n"
    "      --login TIME       of each log-in (0)\n"
    "      --report-service   say service_us in the summary that ends a transaction: how long its\n"
    "                         requests were here unanswered\n"
    "      --keep-alive TIME  of its NOOPs while it is at work, and its hint to clients (60s)\n"
    "      --seed N           of all that is random (1)\n"
    "  -f, --fault SCRIPT     words by commas: refuse, hang, freeze, down, slow=X, drop=BYTES,\n"
    "                         fail=CODE@P, fail_commit=CODE@P, leader=no, drop_commit, "
    "lose_commit\n"
    "      --tls-cert FILE    PEM chain; connections are TLS then\n"
    "      --tls-key FILE     its key (in the same file)\n"
    "      --tls-optional     take plain connections, too\n"
    "  -h, --help\n\n"
    "SIGUSR1 prints what the servers have counted.\n"
    "exit status: 0 ended by a signal, 1 could not start, 2 called wrongly\n";

enum {
    OPTION_DATABASES = 256,
    OPTION_AGENT,
    OPTION_WORKERS,
    OPTION_WORKER_WAIT,
    OPTION_REPORT,
    OPTION_COMMIT,
    OPTION_LOGIN,
    OPTION_SEED,
    OPTION_KEEP_ALIVE,
    OPTION_CERT,
    OPTION_KEY,
    OPTION_OPTIONAL,
};

struct arguments {
    struct bpi_sim_options sim;
    struct bpi_sim_user users[USERS_MAX];
    char *users_text; /* what `users` points into */
    unsigned count;
};

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "boltpool sim: %s: %s\n", what, why);
    return 2;
}

static bool
number_parse(const char *text, unsigned long low, unsigned long high, unsigned long *ret)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number < low || number > high) {
        return false;
    }
    *ret = number;
    return true;
}

/* "5.0-5.8", "4.4" */
static bool versions_parse(const char *text, bpi_bolt_versions *ret_versions)
{
    char oldest[8];
    bpi_bolt_version from;
    bpi_bolt_version to;
    const char *dash = strchr(text, '-');
    size_t size = dash == NULL ? strlen(text) : (size_t)(dash - text);
    if (size >= sizeof(oldest)) {
        return false;
    }
    memcpy(oldest, text, size);
    oldest[size] = '\0';
    if (!bpi_bolt_version_parse(oldest, &from) ||
        !bpi_bolt_version_parse(dash == NULL ? oldest : dash + 1, &to) || from > to) {
        return false;
    }
    *ret_versions = bpi_bolt_versions_range(from, to);
    return true;
}

/* "user:password,user:password" */
static bool users_parse(struct arguments *arguments, const char *text)
{
    free(arguments->users_text);
    arguments->sim.user_count = 0;
    arguments->users_text = strdup(text);
    char *rest = arguments->users_text;
    char *pair;
    while (rest != NULL && (pair = strsep(&rest, ",")) != NULL) {
        char *colon = strchr(pair, ':');
        if (colon == NULL || colon == pair || arguments->sim.user_count == USERS_MAX) {
            return false;
        }
        *colon = '\0';
        arguments->users[arguments->sim.user_count++] =
            (struct bpi_sim_user){.name = pair, .password = colon + 1};
    }
    arguments->sim.users = arguments->users;
    return arguments->sim.user_count > 0;
}

static int service_read(const char *what, const char *text, struct bpi_sim_service *service)
{
    return bpi_sim_service_parse(text, service)
               ? 0
               : wrong(what, "no time like 5ms, exp:250us, lognormal:5ms:0.5");
}

/* A plain time of at least half a second: clients are told twice as many whole seconds. */
static int keep_alive_read(const char *text, bp_usec *ret_us)
{
    struct bpi_sim_service time;
    if (!bpi_sim_service_parse(text, &time) || time.spread != BPI_SIM_FIXED ||
        time.mean_us < 500000) {
        return wrong("--keep-alive", "no time of at least 500ms");
    }
    *ret_us = (bp_usec)time.mean_us;
    return 0;
}

/* One option with its argument; returns 0 or the exit status. */
static int option_read(struct arguments *arguments, int option, const char *text)
{
    struct bpi_sim_options *sim = &arguments->sim;
    unsigned long number = 0;
    switch (option) {
    case 'p':
        if (!number_parse(text, 0, 65535, &number)) {
            return wrong("--port", "no number from 0 to 65535");
        }
        sim->port = (uint16_t)number;
        return 0;
    case 'n':
        if (!number_parse(text, 1, SERVERS_MAX, &number)) {
            return wrong("--count", "no number from 1 to 64");
        }
        arguments->count = (unsigned)number;
        return 0;
    case 'V':
        return versions_parse(text, &sim->versions)
                   ? 0
                   : wrong("--versions", "no range like 5.0-5.8 within 4.1 to 6.1");
    case 'a':
        return users_parse(arguments, text) ? 0 : wrong("--auth", "not USER:PASSWORD by commas");
    case OPTION_WORKERS:
        if (!number_parse(text, 1, 1000000, &number)) {
            return wrong("--workers", "no number above 0");
        }
        sim->worker_count_max = (uint32_t)number;
        return 0;
    case OPTION_SEED:
        if (!number_parse(text, 0, 1000000000, &number)) {
            return wrong("--seed", "no number");
        }
        sim->seed = number;
        return 0;
    case OPTION_KEEP_ALIVE:
        return keep_alive_read(text, &sim->keep_alive_us);
    case 's':
        return service_read("--service", text, &sim->query_service);
    case OPTION_COMMIT:
        return service_read("--commit", text, &sim->commit_service);
    case OPTION_LOGIN:
        return service_read("--login", text, &sim->login_service);
    case 'l':
        sim->host = text;
        return 0;
    case 'f':
        sim->faults = text;
        return 0;
    case OPTION_DATABASES:
        sim->databases = text;
        return 0;
    case OPTION_AGENT:
        sim->agent = text;
        return 0;
    case OPTION_CERT:
        sim->tls_cert_file = text;
        return 0;
    case OPTION_KEY:
        sim->tls_key_file = text;
        return 0;
    case OPTION_WORKER_WAIT:
        sim->worker_wait = true;
        return 0;
    case OPTION_REPORT:
        sim->service_report = true;
        return 0;
    case OPTION_OPTIONAL:
        sim->tls_optional = true;
        return 0;
    default:
        fputs("try: boltpool sim --help\n", stderr);
        return 2;
    }
}

/* Returns 0, the exit status, or -1 when the help was printed. */
static int arguments_read(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"count", required_argument, NULL, 'n'},
        {"listen", required_argument, NULL, 'l'},
        {"versions", required_argument, NULL, 'V'},
        {"auth", required_argument, NULL, 'a'},
        {"databases", required_argument, NULL, OPTION_DATABASES},
        {"agent", required_argument, NULL, OPTION_AGENT},
        {"workers", required_argument, NULL, OPTION_WORKERS},
        {"worker-wait", no_argument, NULL, OPTION_WORKER_WAIT},
        {"report-service", no_argument, NULL, OPTION_REPORT},
        {"service", required_argument, NULL, 's'},
        {"commit", required_argument, NULL, OPTION_COMMIT},
        {"login", required_argument, NULL, OPTION_LOGIN},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"keep-alive", required_argument, NULL, OPTION_KEEP_ALIVE},
        {"fault", required_argument, NULL, 'f'},
        {"tls-cert", required_argument, NULL, OPTION_CERT},
        {"tls-key", required_argument, NULL, OPTION_KEY},
        {"tls-optional", no_argument, NULL, OPTION_OPTIONAL},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread runs yet */
    while ((option = getopt_long(argc, argv, "p:n:l:V:a:s:f:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return -1;
        }
        int status = option_read(arguments, option, optarg);
        if (status != 0) {
            return status;
        }
    }
    if (optind < argc) {
        return wrong("arguments", "there are none beside the options");
    }
    if (arguments->sim.port != 0 && arguments->sim.port + arguments->count - 1 > 65535) {
        return wrong("--count", "the ports end at 65535");
    }
    return 0;
}

static void stats_print(struct bpi_sim *const *sims, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct bpi_sim_stats stats;
        bpi_sim_stats(sims[i], &stats);
        printf("port %u: connections %" PRIu64 " (max %" PRIu64 "), workers %" PRIu64
               " (max %" PRIu64 "), committed %" PRIu64 ", rolled back %" PRIu64
               ", queries %" PRIu64 ", logons %" PRIu64 ", resets %" PRIu64 ", failures %" PRIu64
               ", no threads %" PRIu64 "\n",
               (unsigned)bpi_sim_port(sims[i]), stats.connections_now, stats.connections_max,
               stats.workers_now, stats.workers_max, stats.transactions_committed,
               stats.transactions_rolled_back, stats.queries, stats.logons, stats.resets,
               stats.failures, stats.no_threads);
    }
    fflush(stdout);
}

static int servers_run(const struct arguments *arguments)
{
    struct bpi_sim *sims[SERVERS_MAX];
    unsigned started = 0;
    int status = 0;
    sigset_t signals;
    sigset_t before;
    /* The servers' threads inherit the mask, so that this thread alone takes the signals. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    while (started < arguments->count && status == 0) {
        char why[512];
        struct bpi_sim_options options = arguments->sim;
        options.port = (uint16_t)(options.port + (options.port != 0 ? started : 0));
        options.seed += started;
        if (bpi_sim_start(&options, &sims[started], why, sizeof(why)) != 0) {
            fprintf(stderr, "boltpool sim: %s\n", why);
            status = 1;
        } else {
            printf("simulated server listens on %s port %u\n",
                   options.host == NULL ? "127.0.0.1" : options.host,
                   (unsigned)bpi_sim_port(sims[started]));
            started++;
        }
    }
    fflush(stdout);
    int signal_number = 0;
    while (status == 0 && sigwait(&signals, &signal_number) == 0 && signal_number == SIGUSR1) {
        stats_print(sims, started);
    }
    while (started > 0) {
        bpi_sim_stop(sims[--started]);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int bpi_cmd_sim(int argc, char **argv)
{
    struct arguments arguments = {.count = 1, .sim = {.port = 7687, .seed = 1}};
    int status = arguments_read(&arguments, argc, argv);
    if (status == 0) {
        status = servers_run(&arguments);
    }
    free(arguments.users_text);
    return status < 0 ? 0 : status;
}
