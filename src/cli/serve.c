/* `boltpool serve`: the daemon with its signals.
 *
 * SIGHUP reloads, SIGUSR1 pauses, SIGUSR2 resumes (as PgBouncer's do), SIGTERM and SIGINT drain, a second one ends at
 * once. Signals are blocked everywhere and taken by the main thread, which does nothing else.
 */
#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/config.h"
#include "proxy/daemon.h"

#include <boltpool/error.h>
#include <boltpool/version.h>

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Exit statuses, documented in docs/operations.md. */
enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CUT = 3 };

static int usage(FILE *out, int status)
{
    fputs("usage: boltpool serve -c FILE.ini\n"
          "       boltpool serve [-l HOST:PORT] [-n MAX_LINKS] bolt://HOST:PORT[,...]\n\n"
          "  -c, --config FILE     read the configuration from FILE\n"
          "  -t, --test            check the configuration and exit\n"
          "  -l, --listen ADDRESS  listen here (127.0.0.1:7688)\n"
          "  -n, --max-links N     connections to the servers (20)\n"
          "  -v, --verbose         log more\n\n"
          "signals: HUP reloads, USR1 pauses, USR2 resumes, TERM and INT drain, a second one ends\n"
          "at once\n"
          "exit status: 0 drained and stopped, 1 could not start, 2 called wrongly, 3 cut short\n",
          out);
    return status;
}

struct arguments {
    const char *file;
    const char *listen;
    const char *max_links;
    const char *endpoints;
    bool test;
    bool verbose;
};

static int read_config(const struct arguments *arguments, struct bpi_config **ret_config)
{
    char error_text[1024];
    int error;
    if (arguments->file != NULL) {
        error = bpi_config_read(arguments->file, ret_config, error_text, sizeof(error_text));
    } else {
        char text[8192];
        int size = snprintf(text, sizeof(text),
                            "[cluster main]\nlisten = %s\nendpoints = %s\nmax_links = %s\n",
                            arguments->listen, arguments->endpoints, arguments->max_links);
        if (size < 0 || (size_t)size >= sizeof(text) ||
            strpbrk(arguments->endpoints, "\r\n") != NULL) {
            fprintf(stderr, "boltpool: the endpoints are too long\n");
            return BP_E_CONFIG;
        }
        error = bpi_config_parse("arguments", text, ret_config, error_text, sizeof(error_text));
    }
    if (error != 0) {
        bpi_log(BPI_LOG_ERROR, "config", "%s", error_text);
    }
    return error;
}

static void reload(struct bpi_daemon *daemon, const struct arguments *arguments)
{
    struct bpi_config *config;
    char error_text[1024] = "";
    if (arguments->file == NULL) {
        bpi_log(BPI_LOG_WARN, "config", "SIGHUP: there is no file to read again");
        return;
    }
    if (read_config(arguments, &config) != 0) {
        bpi_log(BPI_LOG_ERROR, "config", "SIGHUP: nothing was changed");
        return;
    }
    int error = bpi_daemon_reload(daemon, config, error_text, sizeof(error_text));
    if (error != 0) {
        bpi_config_unref(config);
        bpi_log(BPI_LOG_ERROR, "config", "SIGHUP: nothing was changed: %s", error_text);
        return;
    }
    if (arguments->verbose) {
        bpi_log_level_set(BPI_LOG_DEBUG);
    }
    bpi_log(BPI_LOG_INFO, "config", "%s was read again", arguments->file);
}

static void pause_all(struct bpi_daemon *daemon)
{
    int error = bpi_daemon_pause(daemon, NULL);
    (void)error; /* there always is a cluster */
    bpi_log(BPI_LOG_INFO, "serve",
            "SIGUSR1: pausing: new work waits, running transactions may end; SIGUSR2 resumes");
}

static void resume_all(struct bpi_daemon *daemon)
{
    int error = bpi_daemon_resume(daemon, NULL);
    (void)error;
    bpi_log(BPI_LOG_INFO, "serve", "SIGUSR2: resumed");
}

/* The next signal; while a pause is under way its end is looked for, and told in the log. */
static int next_signal(struct bpi_daemon *daemon, const sigset_t *signals, bool *pausing)
{
    struct timespec moment = {.tv_nsec = 50000000};
    while (*pausing) {
        enum bpi_cluster_pause_state state;
        unsigned leased;
        int signal = sigtimedwait(signals, NULL, &moment);
        if (signal > 0) {
            return signal;
        }
        if (bpi_daemon_pause_state(daemon, NULL, &state, &leased) == 0 &&
            state == BPI_CLUSTER_PAUSED) {
            bpi_log(BPI_LOG_INFO, "serve",
                    "paused: no connection to the servers is left; they may be restarted");
            *pausing = false;
        }
    }
    int signal;
    return sigwait(signals, &signal) == 0 ? signal : 0;
}

/* Waits for the end of the drain, a second signal, or the time-out. */
static int drain(struct bpi_daemon *daemon, const sigset_t *signals)
{
    bp_usec until_us = bpi_clock_now_us() + bpi_daemon_config(daemon)->drain_timeout_us;
    bpi_log(BPI_LOG_INFO, "serve", "draining: no new clients; running transactions may end");
    bpi_daemon_drain(daemon);
    while (!bpi_daemon_is_drained(daemon)) {
        if (bpi_clock_now_us() >= until_us) {
            bpi_log(BPI_LOG_WARN, "serve", "drain_timeout is over; what still runs is cut");
            return EXIT_CUT;
        }
        struct timespec pause = {.tv_nsec = 20000000};
        int signal = sigtimedwait(signals, NULL, &pause);
        if (signal == SIGTERM || signal == SIGINT) {
            bpi_log(BPI_LOG_WARN, "serve", "a second signal: what still runs is cut");
            return EXIT_CUT;
        }
        if (signal == SIGUSR2) {
            /* What waits through a pause is served too, where somebody still wants that. */
            resume_all(daemon);
        }
    }
    return EXIT_STOPPED;
}

/* Ten thousand clients need as many descriptors. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            bpi_log(BPI_LOG_WARN, "serve", "the limit of open files could not be raised");
        }
    }
}

/* Does what the signals say until one of them ends it. */
static int
run(struct bpi_daemon *daemon, const struct arguments *arguments, const sigset_t *signals)
{
    bool pausing = false;
    while (true) {
        switch (next_signal(daemon, signals, &pausing)) {
        case SIGHUP:
            reload(daemon, arguments);
            break;
        case SIGUSR1:
            pause_all(daemon);
            pausing = true;
            break;
        case SIGUSR2:
            resume_all(daemon);
            pausing = false;
            break;
        case SIGTERM:
        case SIGINT:
            return drain(daemon, signals);
        default:
            break;
        }
    }
}

static int serve(const struct arguments *arguments)
{
    struct bpi_config *config;
    struct bpi_daemon *daemon;
    char error_text[1024];
    sigset_t signals;
    if (read_config(arguments, &config) != 0) {
        return EXIT_FAILED;
    }
    if (arguments->test) {
        puts("the configuration is good");
        bpi_config_unref(config);
        return EXIT_STOPPED;
    }
    bpi_log_level_set(arguments->verbose ? BPI_LOG_DEBUG : config->log_level_value);
    raise_file_limit();
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int error = bpi_daemon_new(config, &daemon, error_text, sizeof(error_text));
    if (error != 0) {
        bpi_log(BPI_LOG_ERROR, "serve", "%s", error_text);
        bpi_config_unref(config);
        return EXIT_FAILED;
    }
    error = bpi_daemon_start(daemon);
    if (error != 0) {
        bpi_log(BPI_LOG_ERROR, "serve", "can't start its threads: %s", bp_error_text(error));
        bpi_daemon_free(daemon);
        return EXIT_FAILED;
    }
    for (unsigned i = 0; i < config->clusters_count; i++) {
        bpi_log(BPI_LOG_INFO, "serve",
                "boltpool " BP_VERSION_STRING ": cluster %s listens on %s:%u for %s",
                config->clusters[i].name, config->clusters[i].listen_host,
                bpi_daemon_port(daemon, i), config->clusters[i].endpoints);
    }
    int status = run(daemon, arguments, &signals);
    bpi_daemon_free(daemon);
    bpi_log(BPI_LOG_INFO, "serve", "stopped");
    return status;
}

int bpi_cmd_serve(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"test", no_argument, NULL, 't'},
        {"listen", required_argument, NULL, 'l'},
        {"max-links", required_argument, NULL, 'n'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {.listen = "127.0.0.1:7688", .max_links = "20"};
    int option;
    while ((option = getopt_long(argc, argv, "c:tl:n:vh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments.file = optarg;
            break;
        case 't':
            arguments.test = true;
            break;
        case 'l':
            arguments.listen = optarg;
            break;
        case 'n':
            arguments.max_links = optarg;
            break;
        case 'v':
            arguments.verbose = true;
            break;
        case 'h':
            return usage(stdout, EXIT_STOPPED);
        default:
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (optind < argc) {
        arguments.endpoints = argv[optind];
    }
    if ((arguments.file == NULL) == (arguments.endpoints == NULL) || optind + 1 < argc) {
        fprintf(stderr, "boltpool serve: give either -c FILE or the servers' addresses\n\n");
        return usage(stderr, EXIT_USAGE);
    }
    return serve(&arguments);
}
