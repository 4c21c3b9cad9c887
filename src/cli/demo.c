/* `boltpool demo`: the whole of it in one process, on simulated servers.
 *
 * Three servers, the pooler in front of them, and 200 clients with a mixed load; a table while it runs, a
 * summary at the end. Everything listens on free ports of 127.0.0.1, and no file is written.
 */
#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/load.h"
#include "proxy/daemon.h"
#include "sim/server.h"

#include <boltpool/error.h>

#include <jansson.h>

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVERS       3
#define CLIENTS       200
#define MAX_LINKS     48
#define ANALYTICS_MAX 12
#define USER          "demo"
#define PASSWORD      "demo-password"

/* Between two looks at the load: a signal is noticed at once. */
#define TICK_US BP_USEC_PER_SECOND

static const struct bpi_load_pair analytics_metadata[] = {
    {.key = "boltpool_operation", .value = "bulk_analytics"}};
static const struct bpi_load_pair maintenance_metadata[] = {
    {.key = "boltpool_operation", .value = "maintenance_operation"}};

/* Weights in percent; service times come on top of the server's own 4 ms. */
static const struct bpi_load_entry workload[] = {
    {.name = "browse the catalogue (reads)",
     .query = "MATCH (p:Product) RETURN p LIMIT 10 /* sim: rows=10 bytes=120 */",
     .mode_read = true,
     .weight = 62},
    {.name = "change a basket (writes)",
     .query = "MERGE (b:Basket) RETURN 1 /* sim: rows=1 */",
     .is_explicit = true,
     .weight = 25},
    {.name = "check out (high priority by rule)",
     .query = "CREATE (o:Checkout) RETURN 1 /* sim: rows=1 */",
     .weight = 10},
    {.name = "report (analytics)",
     .query = "MATCH (o:Order) RETURN o /* sim: rows=500 bytes=100 ms=100 */",
     .metadata = analytics_metadata,
     .metadata_count = 1,
     .mode_read = true,
     .weight = 2},
    {.name = "tidy up (maintenance)",
     .query = "MATCH (b:Basket) DELETE b /* sim: ms=20 */",
     .metadata = maintenance_metadata,
     .metadata_count = 1,
     .weight = 1},
};

struct demo {
    struct bpi_sim *servers[SERVERS];
    struct bpi_daemon *daemon;
    struct bpi_load *load;
    struct bpi_url url;
    unsigned clients_max;
    unsigned sessions_on_servers_max;
    double seconds;
};

static int fail(const char *what, const char *text)
{
    fprintf(stderr, "boltpool demo: %s: %s\n", what, text);
    return 1;
}

/* ---- set up ---- */

static int start_servers(struct demo *demo)
{
    static const struct bpi_sim_user user = {USER, PASSWORD};
    char text[256];
    for (unsigned i = 0; i < SERVERS; i++) {
        struct bpi_sim_options options = {
            .users = &user,
            .user_count = 1,
            .worker_count_max = MAX_LINKS,
            .query_service = {.spread = BPI_SIM_EXPONENTIAL, .mean_us = 4000},
            .commit_service = {.spread = BPI_SIM_EXPONENTIAL, .mean_us = 1000},
            .seed = i + 1,
        };
        if (bpi_sim_start(&options, &demo->servers[i], text, sizeof(text)) != 0) {
            return fail("can't start a simulated server", text);
        }
    }
    return 0;
}

static int start_pooler(struct demo *demo)
{
    char text[2048];
    char error_text[512];
    struct bpi_config *config;
    snprintf(text, sizeof(text),
             "[boltpool]\n"
             "log_level = error\n"
             "[cluster demo]\n"
             "listen = 127.0.0.1:0\n"
             "endpoints = bolt://127.0.0.1:%u, bolt://127.0.0.1:%u, bolt://127.0.0.1:%u\n"
             "topology = equal\n"
             "max_links = %d\n"
             "[class analytics]\n"
             "max = %d\n"
             "[rule checkout]\n"
             "query = :Checkout\n"
             "class = high_priority\n",
             bpi_sim_port(demo->servers[0]), bpi_sim_port(demo->servers[1]),
             bpi_sim_port(demo->servers[2]), MAX_LINKS, ANALYTICS_MAX);
    if (bpi_config_parse("demo", text, &config, error_text, sizeof(error_text)) != 0) {
        return fail("its configuration is wrong", error_text);
    }
    bpi_log_level_set(config->log_level_value);
    if (bpi_daemon_new(config, &demo->daemon, error_text, sizeof(error_text)) != 0) {
        bpi_config_unref(config);
        return fail("can't start the pooler", error_text);
    }
    int error = bpi_daemon_start(demo->daemon);
    return error == 0 ? 0 : fail("can't start the pooler", bp_error_text(error));
}

/* Links go to the servers that are known, so the load waits until all are. */
static int wait_for_servers(struct demo *demo)
{
    struct bpi_cluster_stats *stats = calloc(1, sizeof(*stats));
    unsigned up = 0;
    for (int i = 0; stats != NULL && i < 500 && up < SERVERS; i++) {
        usleep(10000);
        bpi_cluster_stats_get(bpi_daemon_cluster(demo->daemon, 0), stats);
        up = 0;
        for (unsigned j = 0; j < SERVERS; j++) {
            up += stats->endpoints[j].up;
        }
    }
    free(stats);
    return up == SERVERS ? 0 : fail("can't start the load", "a simulated server can't be reached");
}

static int start_load(struct demo *demo)
{
    char address[64];
    char text[256];
    snprintf(address, sizeof(address), "bolt://127.0.0.1:%u", bpi_daemon_port(demo->daemon, 0));
    if (bpi_url_parse(address, &demo->url, text, sizeof(text)) != 0) {
        return fail("can't start the load", text);
    }
    struct bpi_load_options options = {
        .urls = &demo->url,
        .url_count = 1,
        .user = USER,
        .password = PASSWORD,
        .entries = workload,
        .entry_count = sizeof(workload) / sizeof(workload[0]),
        .client_count = CLIENTS,
        .thread_count = 1,
        .seconds = demo->seconds,
        .retry = true,
        .seed = 1,
    };
    if (bpi_load_start(&options, &demo->load, text, sizeof(text)) != 0) {
        return fail("can't start the load", text);
    }
    return 0;
}

/* ---- what it shows ---- */

static double quantile_ms(const struct bpi_histogram *histogram, double quantile)
{
    return (double)bpi_histogram_quantile(histogram, quantile) / 1000.0;
}

static unsigned server_connections(struct demo *demo)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SERVERS; i++) {
        struct bpi_sim_stats stats;
        bpi_sim_stats(demo->servers[i], &stats);
        sum += stats.sessions_now;
    }
    return (unsigned)sum;
}

/* Prints the table of classes; returns the lines. */
static int print_classes(const struct bpi_cluster_stats *stats)
{
    printf("  %-14s %10s %8s %8s %12s %12s\n", "class", "granted", "in use", "waiting",
           "wait p50 ms", "wait p99 ms");
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        printf("  %-14s %10" PRIu64 " %8u %8u %12.2f %12.2f\n", bpi_class_name((enum bpi_class)i),
               stats->granted[i], stats->leased[i], stats->queued[i],
               quantile_ms(&stats->wait[i], 0.5), quantile_ms(&stats->wait[i], 0.99));
    }
    return 1 + BPI_CLASS_COUNT;
}

static int print_endpoints(struct demo *demo, const struct bpi_cluster_stats *stats)
{
    printf("  %-24s %6s %10s %14s\n", "server", "links", "granted", "transactions");
    for (unsigned i = 0; i < SERVERS; i++) {
        struct bpi_sim_stats server;
        bpi_sim_stats(demo->servers[i], &server);
        printf("  %-24s %6u %10" PRIu64 " %14" PRIu64 "\n", stats->endpoints[i].name,
               stats->endpoints[i].links_open, stats->endpoints[i].granted,
               server.transactions_committed);
    }
    return 1 + SERVERS;
}

struct look {
    struct bpi_cluster_stats cluster;
    struct bpi_load_results load;
    struct bpi_daemon_stats daemon;
};

static int take_look(struct demo *demo, struct look *ret_look)
{
    bpi_cluster_stats_get(bpi_daemon_cluster(demo->daemon, 0), &ret_look->cluster);
    bpi_daemon_stats_get(demo->daemon, &ret_look->daemon);
    if (ret_look->daemon.clients > demo->clients_max) {
        demo->clients_max = ret_look->daemon.clients;
    }
    unsigned sessions = server_connections(demo);
    if (sessions > demo->sessions_on_servers_max) {
        demo->sessions_on_servers_max = sessions;
    }
    return bpi_load_snapshot(demo->load, &ret_look->load);
}

/* On a terminal the table stays in its place; elsewhere a line every five seconds is enough. */
static void
show_progress(struct demo *demo, struct look *look, unsigned second, uint64_t *last, int *lines)
{
    uint64_t rate = look->load.committed - *last;
    *last = look->load.committed;
    if (!isatty(STDOUT_FILENO)) {
        if (second % 5 == 0) {
            printf("%3u s: %" PRIu64 " transactions, %" PRIu64
                   "/s, %u clients on %u links, %u wait\n",
                   second, look->load.committed, rate, look->daemon.clients,
                   look->cluster.links_open, look->cluster.waiters);
            fflush(stdout);
        }
        return;
    }
    if (*lines > 0) {
        printf("\033[%dA\033[J", *lines);
    }
    printf("boltpool demo, second %u: %" PRIu64 " transactions, %" PRIu64 "/s; %u clients share %u "
           "links; %u wait\n\n",
           second, look->load.committed, rate, look->daemon.clients, look->cluster.links_open,
           look->cluster.waiters);
    *lines = 2 + print_classes(&look->cluster);
    puts("");
    *lines += 1 + print_endpoints(demo, &look->cluster);
    fflush(stdout);
}

static void print_summary(struct demo *demo, struct look *look)
{
    printf("\n%" PRIu64 " transactions in %.1f s (%.0f/s), %" PRIu64 " failed, %" PRIu64
           " retried\n%u clients shared at most %u connections to %d servers\n\n",
           look->load.committed, look->load.elapsed_s,
           look->load.elapsed_s > 0 ? (double)look->load.committed / look->load.elapsed_s : 0.0,
           look->load.failed, look->load.retries, demo->clients_max, look->cluster.links_open_max,
           SERVERS);
    print_classes(&look->cluster);
    puts("");
    print_endpoints(demo, &look->cluster);
    printf("\n  %-34s %12s %9s %9s %9s\n", "what the clients saw", "transactions", "p50 ms",
           "p99 ms", "max ms");
    for (size_t i = 0; i < look->load.entry_count; i++) {
        const struct bpi_load_entry_results *entry = &look->load.entries[i];
        printf("  %-34s %12" PRIu64 " %9.2f %9.2f %9.2f\n", entry->name, entry->committed,
               quantile_ms(&entry->latency, 0.5), quantile_ms(&entry->latency, 0.99),
               (double)entry->latency.max_us / 1000.0);
    }
    for (size_t i = 0; i < look->load.error_count; i++) {
        printf("  error: %s: %" PRIu64 "\n", look->load.errors[i].code, look->load.errors[i].count);
    }
}

static int print_json(struct demo *demo, struct look *look)
{
    json_t *classes = json_object();
    json_t *endpoints = json_array();
    for (unsigned i = 0; i < BPI_CLASS_COUNT; i++) {
        json_object_set_new(classes, bpi_class_name((enum bpi_class)i),
                            json_pack("{s:I,s:f,s:f}", "granted",
                                      (json_int_t)look->cluster.granted[i], "wait_p50_ms",
                                      quantile_ms(&look->cluster.wait[i], 0.5), "wait_p99_ms",
                                      quantile_ms(&look->cluster.wait[i], 0.99)));
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        struct bpi_sim_stats server;
        bpi_sim_stats(demo->servers[i], &server);
        json_array_append_new(
            endpoints, json_pack("{s:s,s:I,s:I,s:I}", "name", look->cluster.endpoints[i].name,
                                 "granted", (json_int_t)look->cluster.endpoints[i].granted,
                                 "transactions", (json_int_t)server.transactions_committed,
                                 "connections_max", (json_int_t)server.connections_max));
    }
    json_t *root = json_pack(
        "{s:I,s:I,s:I,s:i,s:i,s:f,s:f,s:o,s:o}", "transactions", (json_int_t)look->load.committed,
        "failed", (json_int_t)look->load.failed, "retried", (json_int_t)look->load.retries,
        "clients", (int)demo->clients_max, "links_max", (int)look->cluster.links_open_max,
        "seconds", look->load.elapsed_s, "latency_p99_ms", quantile_ms(&look->load.latency, 0.99),
        "classes", classes, "endpoints", endpoints);
    if (root == NULL) {
        return fail("can't write the summary", "out of memory");
    }
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts("");
    json_decref(root);
    return 0;
}

/* ---- the run ---- */

static void watch(struct demo *demo, bool quiet, const sigset_t *signals)
{
    uint64_t last = 0;
    int lines = 0;
    bp_usec next_us = bpi_clock_now_us() + TICK_US;
    for (unsigned second = 1; !bpi_load_is_done(demo->load); second++) {
        while (bpi_clock_now_us() < next_us && !bpi_load_is_done(demo->load)) {
            struct timespec pause = {.tv_nsec = 20000000};
            if (sigtimedwait(signals, NULL, &pause) > 0) {
                bpi_load_stop(demo->load);
                bpi_load_wait(demo->load, 0);
                return;
            }
        }
        next_us += TICK_US;
        struct look *look = calloc(1, sizeof(*look));
        if (look != NULL && take_look(demo, look) == 0) {
            if (!quiet) {
                show_progress(demo, look, second, &last, &lines);
            }
            bpi_load_results_done(&look->load);
        }
        free(look);
    }
}

static int summarize(struct demo *demo, bool json)
{
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL || take_look(demo, look) != 0) {
        free(look);
        return fail("no summary", "out of memory");
    }
    int status = look->load.failed == 0 && look->load.committed > 0 ? 0 : 1;
    if (json) {
        status |= print_json(demo, look);
    } else {
        print_summary(demo, look);
    }
    bpi_load_results_done(&look->load);
    free(look);
    return status;
}

static int usage(FILE *out, int status)
{
    fputs("usage: boltpool demo [--seconds N] [--json]\n\n"
          "  -s, --seconds N  run for N seconds (30); 0 runs until interrupted\n"
          "  -j, --json       print the summary as one JSON object\n\n"
          "exit status: 0 all transactions succeeded, 1 some failed, 2 called wrongly\n",
          out);
    return status;
}

int bpi_cmd_demo(int argc, char **argv)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct demo demo = {.seconds = 30};
    bool json = false;
    char *end;
    int option;
    while ((option = getopt_long(argc, argv, "s:jh", options, NULL)) != -1) {
        switch (option) {
        case 's':
            demo.seconds = strtod(optarg, &end);
            if (*end != '\0' || end == optarg || !(demo.seconds >= 0) || demo.seconds > 1e6) {
                fprintf(stderr, "boltpool demo: '%.40s' is no number of seconds\n", optarg);
                return 2;
            }
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            return usage(stdout, 0);
        default:
            return usage(stderr, 2);
        }
    }
    if (optind < argc) {
        return usage(stderr, 2);
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int status = start_servers(&demo);
    if (status == 0) {
        status = start_pooler(&demo);
    }
    if (status == 0) {
        status = wait_for_servers(&demo);
    }
    if (status == 0) {
        status = start_load(&demo);
    }
    if (status == 0) {
        if (!json) {
            printf(
                "boltpool demo: %d clients, a pooler with max_links = %d on port %u, %d simulated "
                "servers\n\n",
                CLIENTS, MAX_LINKS, bpi_daemon_port(demo.daemon, 0), SERVERS);
        }
        watch(&demo, json, &signals);
        status = summarize(&demo, json);
    }
    bpi_load_free(demo.load);
    bpi_daemon_free(demo.daemon);
    for (unsigned i = 0; i < SERVERS; i++) {
        bpi_sim_stop(demo.servers[i]);
    }
    return status;
}
