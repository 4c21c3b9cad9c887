/* `boltpool bench`: arguments, a progress line, the report. The work is in load.c.
 *
 * SIGINT and SIGTERM end the run early and still print what was measured; a second one gives up.
 */
#include "cli/command.h"

#include <boltpool/error.h>

#include "base/url.h"
#include "cli/bench_report.h"
#include "cli/bench_workload.h"
#include "cli/load.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define URLS_MAX       64
#define SECONDS_FOR    10.0 /* when neither a time nor a number of transactions is given */
#define SECONDS_MAX    1e7
#define PROGRESS_US    BP_USEC_PER_SECOND
#define SIGNAL_POLL_US (50 * BP_USEC_PER_MS)

static const char help[] =
    "usage: boltpool bench [OPTIONS] bolt://USER:PASSWORD@HOST:PORT [URL ...]\n\n"
    "Runs transactions against Bolt servers or poolers and measures them. The clients are\n"
    "spread over the URLs (schemes bolt, neo4j, with +s or +ssc for TLS).\n\n"
    "how much\n"
    "  -c, --clients N        connections at one time (1)\n"
    "  -j, --threads N        event loops that serve them (1)\n"
    "  -T, --time SECONDS     how long it runs (10)\n"
    "  -t, --transactions N   end after so many transactions, all clients together\n"
    "  -R, --rate N           transactions due each second, at random times; latencies are\n"
    "                         measured from when one was due. Without it each client goes on as\n"
    "                         soon as its last transaction has ended\n"
    "  -w, --warmup SECONDS   run so long before the time counts (0)\n"
    "what\n"
    "  -q, --query TEXT       the query (RETURN 1); may be given several times\n"
    "  -f, --file FILE        a query each line, or WEIGHT<tab>MODE<tab>QUERY; # begins a comment\n"
    "  -p, --param NAME=VALUE a parameter of all queries: an integer, a text, \"unique\" (a new\n"
    "                         number each time) or \"random:LOW:HIGH\"\n"
    "  -m, --mode r|w         access mode of the transactions (w)\n"
    "  -e, --explicit         BEGIN, RUN, COMMIT instead of auto-commit\n"
    "  -d, --database NAME    instead of the home database\n"
    "  -F, --fetch N          records for each PULL; -1 means all (1000)\n"
    "several at one time\n"
    "  -s, --stream PAIRS     a stream of its own, due at random times: pairs by commas, as\n"
    "                         rate=500,mode=r,operation=graph_traversal. Keys: name, rate (each\n"
    "                         second), clients (most in flight, 100), mode, explicit=1, retry=1,\n"
    "                         operation, priority, tenant, deadline (told to boltpool), app,\n"
    "                         good=TIME (later is late; the deadline), service=TIME (what a\n"
    "                         simulated server is asked for), burst=FACTOR:FROM:TO (seconds),\n"
    "                         query=TEXT (last). May be given several times\n"
    "      --queue-timeout TIME   one that found no free connection for so long is given up\n"
    "      --series TIME      streams: counts and waits of each such span, in the JSON\n"
    "      --samples FILE     streams: a line for each transaction, with tabs: stream, when it "
    "was\n"
    "                         due, latency, wait (-1: not told), in us, and what became of it\n"
    "how\n"
    "  -C, --reconnect        a new connection for each transaction\n"
    "  -r, --retry            try again as drivers do, for at most 30 s\n"
    "  -b, --bolt VERSION     speak this Bolt version at most (6.1)\n"
    "      --ca-file FILE     authorities for bolt+s (the system's)\n"
    "      --seed N           of all that is random (1)\n"
    "      --json             print one JSON object instead of a table\n"
    "  -h, --help\n\n"
    "exit status: 0 all transactions were committed, 1 some failed or the run could not start,\n"
    "2 called wrongly\n";

enum {
    OPTION_CA_FILE = 256,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_QUEUE_TIMEOUT,
    OPTION_SERIES,
    OPTION_SAMPLES
};

struct bench {
    struct bpi_load_options load;
    struct bpi_bench_workload workload;
    struct bpi_url urls[URLS_MAX];
    const char *queries[BPI_BENCH_ENTRIES_MAX];
    size_t query_count;
    const char *file;
    bool mode_read;
    bool is_explicit;
    bool json;
    bp_usec series_us;
    const char *samples_file;
};

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "boltpool bench: %s: %s\n", what, why);
    return 2;
}

static bool number_parse(const char *text, double low, double high, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= low) || number > high) {
        return false;
    }
    *ret_number = number;
    return true;
}

static bool count_parse(const char *text, double low, double high, double *ret_number)
{
    return number_parse(text, low, high, ret_number) && !(floor(*ret_number) < *ret_number);
}

/* Options with a number; returns 0, the exit status, or -1 where it is none of them. */
static int number_read(struct bench *bench, int option, const char *text)
{
    struct bpi_load_options *load = &bench->load;
    double number = 0;
    bool valid = true;
    switch (option) {
    case 'c':
        valid = count_parse(text, 1, 100000, &number);
        load->client_count = (uint32_t)number;
        return valid ? 0 : wrong("--clients", "no number from 1 to 100000");
    case 'j':
        valid = count_parse(text, 1, 256, &number);
        load->thread_count = (uint32_t)number;
        return valid ? 0 : wrong("--threads", "no number from 1 to 256");
    case 'T':
        valid = number_parse(text, 0.001, SECONDS_MAX, &load->seconds);
        return valid ? 0 : wrong("--time", "no number of seconds above 0");
    case 't':
        valid = count_parse(text, 1, 1e15, &number);
        load->transactions = (uint64_t)number;
        return valid ? 0 : wrong("--transactions", "no number above 0");
    case 'R':
        valid = number_parse(text, 0.001, 1e8, &load->rate);
        return valid ? 0 : wrong("--rate", "no number above 0");
    case 'w':
        valid = number_parse(text, 0, SECONDS_MAX, &load->warmup_seconds);
        return valid ? 0 : wrong("--warmup", "no number of seconds");
    case 'F':
        valid = count_parse(text, -1, 1e9, &number) && (number < 0 || number >= 1);
        load->fetch_size = (int64_t)number;
        return valid ? 0 : wrong("--fetch", "neither -1 nor a number above 0");
    case OPTION_SEED:
        valid = count_parse(text, 0, 1e15, &number);
        load->seed = (uint64_t)number;
        return valid ? 0 : wrong("--seed", "no number");
    default:
        return -1;
    }
}

/* All others; returns 0 or the exit status. */
static int text_read(struct bench *bench, int option, const char *text)
{
    struct bpi_load_options *load = &bench->load;
    bpi_bolt_version version;
    char why[128];
    switch (option) {
    case 'q':
        if (bench->query_count == BPI_BENCH_ENTRIES_MAX || *text == '\0') {
            return wrong("--query", "empty, or more than 256 of them");
        }
        bench->queries[bench->query_count++] = text;
        return 0;
    case 'p':
        return bpi_bench_workload_param(&bench->workload, text) == 0
                   ? 0
                   : wrong("--param", "neither NAME=VALUE nor NAME=random:LOW:HIGH, or too many");
    case 'm':
        bench->mode_read = *text == 'r';
        return strcmp(text, "r") == 0 || strcmp(text, "w") == 0
                   ? 0
                   : wrong("--mode", "neither r nor w");
    case 's':
        return bpi_bench_workload_stream(&bench->workload, text, why, sizeof(why)) == 0
                   ? 0
                   : wrong("--stream", why);
    case OPTION_QUEUE_TIMEOUT:
        return bpi_bench_span_parse(text, &load->queue_timeout_us)
                   ? 0
                   : wrong("--queue-timeout", "no time like 500ms");
    case OPTION_SERIES:
        load->samples = true;
        return bpi_bench_span_parse(text, &bench->series_us) && bench->series_us >= 1000
                   ? 0
                   : wrong("--series", "no time from 1ms");
    case OPTION_SAMPLES:
        load->samples = true;
        bench->samples_file = text;
        return 0;
    case 'b':
        if (!bpi_bolt_version_parse(text, &version)) {
            return wrong("--bolt", "no version from 4.1 to 6.1");
        }
        load->versions = bpi_bolt_versions_range(0, version);
        return 0;
    case 'f':
        bench->file = text;
        return 0;
    case 'd':
        load->database = text;
        return 0;
    case OPTION_CA_FILE:
        load->ca_file = text;
        return 0;
    case 'e':
        bench->is_explicit = true;
        return 0;
    case 'C':
        load->reconnect = true;
        return 0;
    case 'r':
        load->retry = true;
        return 0;
    case OPTION_JSON:
        bench->json = true;
        return 0;
    default:
        fputs("try: boltpool bench --help\n", stderr);
        return 2;
    }
}

/* Fills `bench`; returns 0, the exit status, or -1 when the help was printed. */
static int arguments_read(struct bench *bench, int argc, char **argv)
{
    static const struct option options[] = {
        {"clients", required_argument, NULL, 'c'},
        {"threads", required_argument, NULL, 'j'},
        {"time", required_argument, NULL, 'T'},
        {"transactions", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'R'},
        {"warmup", required_argument, NULL, 'w'},
        {"query", required_argument, NULL, 'q'},
        {"file", required_argument, NULL, 'f'},
        {"param", required_argument, NULL, 'p'},
        {"mode", required_argument, NULL, 'm'},
        {"explicit", no_argument, NULL, 'e'},
        {"database", required_argument, NULL, 'd'},
        {"fetch", required_argument, NULL, 'F'},
        {"reconnect", no_argument, NULL, 'C'},
        {"retry", no_argument, NULL, 'r'},
        {"bolt", required_argument, NULL, 'b'},
        {"ca-file", required_argument, NULL, OPTION_CA_FILE},
        {"seed", required_argument, NULL, OPTION_SEED},
        {"json", no_argument, NULL, OPTION_JSON},
        {"stream", required_argument, NULL, 's'},
        {"queue-timeout", required_argument, NULL, OPTION_QUEUE_TIMEOUT},
        {"series", required_argument, NULL, OPTION_SERIES},
        {"samples", required_argument, NULL, OPTION_SAMPLES},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread runs yet */
    while ((option = getopt_long(argc, argv, "c:j:T:t:R:w:q:f:p:m:ed:F:Crb:s:h", options, NULL)) !=
           -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return -1;
        }
        int status = number_read(bench, option, optarg);
        if (status < 0) {
            status = text_read(bench, option, optarg);
        }
        if (status != 0) {
            return status;
        }
    }
    if (optind == argc) {
        return wrong("arguments", "no URL; try: boltpool bench --help");
    }
    if (argc - optind > URLS_MAX) {
        return wrong("arguments", "more than 64 URLs");
    }
    for (int i = optind; i < argc; i++) {
        char why[256];
        if (bpi_url_parse(argv[i], &bench->urls[bench->load.url_count], why, sizeof(why)) != 0) {
            return wrong("URL", why);
        }
        bench->load.url_count++;
    }
    return 0;
}

static int workload_make(struct bench *bench)
{
    struct bpi_bench_workload *workload = &bench->workload;
    char why[512] = "out of memory";
    int error = 0;
    if (bench->file != NULL) {
        error = bpi_bench_workload_read(workload, bench->file, bench->mode_read, bench->is_explicit,
                                        why, sizeof(why));
    }
    if (bench->file == NULL && bench->query_count == 0 && workload->stream_count == 0) {
        bench->queries[bench->query_count++] = "RETURN 1";
    }
    for (size_t i = 0; i < bench->query_count && error == 0; i++) {
        error = bpi_bench_workload_add(workload, bench->queries[i], bench->mode_read,
                                       bench->is_explicit, 1);
    }
    if (error != 0) {
        return wrong("workload", error == BP_E_FULL ? "more than 256 queries" : why);
    }
    bpi_bench_workload_finish(workload);
    bench->load.entries = workload->entries;
    bench->load.entry_count = workload->entry_count;
    return 0;
}

/* How many there are, for the report. */
static void clients_count(struct bench *bench)
{
    struct bpi_load_options *load = &bench->load;
    if (bench->workload.stream_count > 0) {
        load->client_count = 0;
        for (size_t i = 0; i < load->entry_count; i++) {
            load->client_count += load->entries[i].client_count;
        }
    }
    if (load->thread_count > load->client_count) {
        load->thread_count = load->client_count;
    }
}

/* Waits for the end, with a line each second on a terminal. */
static void run_watch(struct bpi_load *load, const sigset_t *signals)
{
    bool tty = isatty(STDERR_FILENO) != 0;
    static struct bpi_load_results before;
    static struct bpi_load_results now;
    unsigned polls = 0;
    unsigned signals_count = 0;
    while (!bpi_load_wait(load, SIGNAL_POLL_US)) {
        const struct timespec none = {0};
        if (sigtimedwait(signals, NULL, &none) > 0) {
            bpi_load_stop(load);
            if (++signals_count > 1) {
                break;
            }
        }
        if (tty && ++polls % (PROGRESS_US / SIGNAL_POLL_US) == 0 &&
            bpi_load_snapshot(load, &now) == 0) {
            bpi_bench_report_progress(stderr, &before, &now);
            bpi_load_results_done(&now);
            before = now;
        }
    }
    if (tty) {
        fputs("\r\033[K", stderr);
    }
}

static int bench_run(struct bench *bench)
{
    struct bpi_load *load;
    struct bpi_load_results results;
    char why[512];
    sigset_t signals;
    sigset_t before;
    /* The loops' threads inherit the mask, so that this thread alone takes the signals. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int status = 1;
    if (bpi_load_start(&bench->load, &load, why, sizeof(why)) != 0) {
        fprintf(stderr, "boltpool bench: %s\n", why);
    } else {
        run_watch(load, &signals);
        if (bpi_load_snapshot(load, &results) == 0) {
            int error = 0;
            if (bench->json) {
                error = bpi_bench_report_json(stdout, &bench->load, &results, bench->series_us);
            } else {
                bpi_bench_report_table(stdout, &bench->load, &results);
            }
            if (error == 0 && bench->samples_file != NULL) {
                error = bpi_bench_samples_write(bench->samples_file, &results);
            }
            if (error != 0) {
                fprintf(stderr, "boltpool bench: %s\n", bp_error_text(error));
            }
            status =
                error != 0 || results.failed > 0 || results.unknown > 0 || results.committed == 0;
            bpi_load_results_done(&results);
        }
        bpi_load_free(load);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

int bpi_cmd_bench(int argc, char **argv)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        fputs("boltpool bench: out of memory\n", stderr);
        return 1;
    }
    bench->load.seed = 1;
    bench->load.client_count = 1;
    bench->load.thread_count = 1;
    bench->load.urls = bench->urls;
    int status = arguments_read(bench, argc, argv);
    if (status == 0) {
        if (!(bench->load.seconds > 0) && bench->load.transactions == 0) {
            bench->load.seconds = SECONDS_FOR;
        }
        status = workload_make(bench);
    }
    if (status == 0) {
        clients_count(bench);
    }
    if (status == 0) {
        status = bench_run(bench);
    }
    bpi_bench_workload_done(&bench->workload);
    explicit_bzero(bench->urls, sizeof(bench->urls));
    free(bench);
    return status < 0 ? 0 : status;
}
