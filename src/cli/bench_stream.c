/* A stream of `boltpool bench`, from one argument: pairs by commas, "name=reads,rate=500,mode=r,service=exp:5ms".
 *
 *   name=TEXT          what the report calls it (its operation)
 *   rate=N             transactions due each second; required
 *   clients=N          its connections, so most in flight (100)
 *   mode=r|w           access mode (w)
 *   explicit=1         BEGIN, RUN, COMMIT instead of auto-commit
 *   retry=1            try again as drivers do
 *   operation=TEXT, priority=TEXT, tenant=TEXT, deadline=TIME     said in tx_metadata, as boltpool_...
 *   app=TEXT           said in tx_metadata
 *   good=TIME          what comes later is late (the deadline)
 *   service=TIME       how long a simulated server works on it: 5ms, exp:5ms, lognormal:5ms:0.5
 *   burst=X:FROM:TO    X times the rate from that second to that one; may come several times
 *   query=TEXT         the rest of the argument, commas and all (RETURN 1)
 */
#include "cli/bench_workload.h"

#include <boltpool/error.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX    1e6
#define CLIENTS_MAX 50000
#define CLIENTS_FEW 100
#define FACTOR_MAX  1e4
#define SECONDS_MAX 1e6
#define SPAN_MAX_US 3.6e9

/* While the pairs are read. */
struct reading {
    struct bpi_load_entry *entry;
    struct bpi_bench_stream *stream;
    const char *service;
    bp_usec deadline_us;
};

static bool number_read(const char *text, double high, char stop, double *ret, const char **ret_end)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != stop || !(number >= 0) || number > high) {
        return false;
    }
    *ret = number;
    *ret_end = end + (stop != '\0');
    return true;
}

bool bpi_bench_span_parse(const char *text, bp_usec *ret_span_us)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}};
    char *end;
    double number = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++) {
        double us = number * units[i].us;
        if (strcmp(end, units[i].unit) == 0 && us >= 1 && us <= SPAN_MAX_US) {
            *ret_span_us = (bp_usec)us;
            return true;
        }
    }
    return false;
}

static bool pair_add(struct reading *reading, const char *key, const char *value, int64_t number)
{
    struct bpi_load_entry *entry = reading->entry;
    if (entry->metadata_count == BPI_BENCH_PAIRS_MAX) {
        return false;
    }
    reading->stream->pairs[entry->metadata_count++] =
        (struct bpi_load_pair){.key = key, .value = value, .number = number};
    return true;
}

static bool burst_add(struct reading *reading, const char *text)
{
    struct bpi_load_entry *entry = reading->entry;
    struct bpi_load_burst burst;
    if (entry->burst_count == BPI_BENCH_BURSTS_MAX ||
        !number_read(text, FACTOR_MAX, ':', &burst.factor, &text) ||
        !number_read(text, SECONDS_MAX, ':', &burst.from_s, &text) ||
        !number_read(text, SECONDS_MAX, '\0', &burst.to_s, &text) || burst.to_s <= burst.from_s) {
        return false;
    }
    reading->stream->bursts[entry->burst_count++] = burst;
    return true;
}

/* The pairs of tx_metadata. Returns 1 where it is none of them, else whether it is good. */
static int metadata_read(struct reading *reading, const char *key, const char *value)
{
    static const char *const keys[][2] = {
        {"operation", "boltpool_operation"},
        {"priority", "boltpool_priority"},
        {"tenant", "boltpool_tenant"},
        {"app", "app"},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(key, keys[i][0]) == 0) {
            return *value != '\0' && pair_add(reading, keys[i][1], value, 0) ? 0 : BP_E_CONFIG;
        }
    }
    if (strcmp(key, "deadline") == 0) {
        bool good = bpi_bench_span_parse(value, &reading->deadline_us) &&
                    pair_add(reading, "boltpool_deadline_ms", NULL,
                             (int64_t)((reading->deadline_us + 999) / 1000));
        return good ? 0 : BP_E_CONFIG;
    }
    return 1;
}

static bool flag_read(const char *value, bool *ret_flag)
{
    *ret_flag = *value == '1';
    return strcmp(value, "1") == 0 || strcmp(value, "0") == 0;
}

static bool pair_read(struct reading *reading, const char *key, const char *value)
{
    struct bpi_load_entry *entry = reading->entry;
    double number = 0;
    const char *end;
    int metadata = metadata_read(reading, key, value);
    if (metadata <= 0) {
        return metadata == 0;
    }
    if (strcmp(key, "name") == 0) {
        entry->name = value;
        return *value != '\0';
    }
    if (strcmp(key, "rate") == 0) {
        return number_read(value, RATE_MAX, '\0', &entry->rate, &end) && entry->rate > 0;
    }
    if (strcmp(key, "clients") == 0) {
        bool good = number_read(value, CLIENTS_MAX, '\0', &number, &end) && number >= 1;
        entry->client_count = (uint32_t)number;
        return good;
    }
    if (strcmp(key, "mode") == 0) {
        entry->mode_read = *value == 'r';
        return strcmp(value, "r") == 0 || strcmp(value, "w") == 0;
    }
    if (strcmp(key, "explicit") == 0) {
        return flag_read(value, &entry->is_explicit);
    }
    if (strcmp(key, "retry") == 0) {
        return flag_read(value, &entry->retry);
    }
    if (strcmp(key, "good") == 0) {
        return bpi_bench_span_parse(value, &entry->good_us);
    }
    if (strcmp(key, "service") == 0) {
        reading->service = value;
        return *value != '\0' && strpbrk(value, " */") == NULL;
    }
    return strcmp(key, "burst") == 0 && burst_add(reading, value);
}

/* Cuts the pairs apart in place. Returns NULL, or the one that is wrong. */
static const char *pairs_read(struct reading *reading, char *text)
{
    while (text != NULL && *text != '\0') {
        char *pair = text;
        bool is_query = strncmp(pair, "query=", 6) == 0;
        text = is_query ? NULL : strchr(text, ',');
        if (text != NULL) {
            *text++ = '\0';
        }
        char *equals = strchr(pair, '=');
        if (is_query) {
            reading->entry->query = equals + 1;
        }
        if (equals == NULL) {
            return pair;
        }
        *equals = '\0';
        if (!is_query && !pair_read(reading, pair, equals + 1)) {
            return pair;
        }
    }
    return reading->entry->rate > 0 ? NULL : "rate";
}

/* The query with what it asks of a simulated server. */
static char *query_make(const struct reading *reading)
{
    const char *query = reading->entry->query == NULL ? "RETURN 1" : reading->entry->query;
    char *made;
    int size = reading->service == NULL
                   ? asprintf(&made, "%s", query)
                   : asprintf(&made, "%s /* sim: service=%s */", query, reading->service);
    return size < 0 ? NULL : made;
}

int bpi_bench_workload_stream(struct bpi_bench_workload *workload,
                              const char *text,
                              char *reterr_text,
                              size_t reterr_text_size)
{
    if (workload->stream_count == BPI_BENCH_STREAMS_MAX ||
        workload->entry_count == BPI_BENCH_ENTRIES_MAX) {
        snprintf(reterr_text, reterr_text_size, "more than %d of them", BPI_BENCH_STREAMS_MAX);
        return BP_E_CONFIG;
    }
    struct bpi_load_entry entry = {.client_count = CLIENTS_FEW};
    struct reading reading = {.entry = &entry,
                              .stream = &workload->streams[workload->stream_count]};
    char *pairs = strdup(text);
    snprintf(reterr_text, reterr_text_size, "out of memory");
    if (pairs == NULL) {
        return BP_E_NO_MEMORY;
    }
    workload->texts[workload->text_count++] = pairs;
    const char *wrong = pairs_read(&reading, pairs);
    if (wrong != NULL) {
        snprintf(reterr_text, reterr_text_size, "%s is missing, unknown or no such value", wrong);
        return BP_E_CONFIG;
    }
    char *query = query_make(&reading);
    if (query == NULL) {
        return BP_E_NO_MEMORY;
    }
    workload->texts[workload->text_count++] = query;
    workload->stream_count++;
    entry.query = query;
    entry.good_us = entry.good_us == 0 ? reading.deadline_us : entry.good_us;
    entry.metadata = reading.stream->pairs;
    entry.bursts = reading.stream->bursts;
    for (size_t i = 0; i < entry.metadata_count && entry.name == NULL; i++) {
        bool named = strcmp(entry.metadata[i].key, "boltpool_operation") == 0;
        entry.name = named ? entry.metadata[i].value : NULL;
    }
    workload->entries[workload->entry_count++] = entry;
    return 0;
}
