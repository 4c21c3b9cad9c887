/* See bench_workload.h. */
#include "cli/bench_workload.h"

#include <boltpool/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Heavier entries than this hide all others. */
#define WEIGHT_MAX 1000000

void bpi_bench_workload_done(struct bpi_bench_workload *workload)
{
    for (size_t i = 0; i < workload->text_count; i++) {
        free(workload->texts[i]);
    }
    *workload = (struct bpi_bench_workload){0};
}

static const char *text_keep(struct bpi_bench_workload *workload, const char *text)
{
    char *copy = strdup(text);
    if (copy != NULL) {
        workload->texts[workload->text_count++] = copy;
    }
    return copy;
}

int bpi_bench_workload_add(struct bpi_bench_workload *workload,
                           const char *query,
                           bool mode_read,
                           bool is_explicit,
                           uint32_t weight)
{
    if (workload->entry_count == BPI_BENCH_ENTRIES_MAX) {
        return BP_E_FULL;
    }
    const char *kept = text_keep(workload, query);
    if (kept == NULL) {
        return BP_E_NO_MEMORY;
    }
    workload->entries[workload->entry_count++] = (struct bpi_load_entry){
        .query = kept,
        .mode_read = mode_read,
        .is_explicit = is_explicit,
        .weight = weight,
    };
    return 0;
}

static bool weight_parse(const char *text, uint32_t *ret_weight)
{
    char *end;
    errno = 0;
    unsigned long weight = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || weight == 0 || weight > WEIGHT_MAX) {
        return false;
    }
    *ret_weight = (uint32_t)weight;
    return true;
}

/* One line without its end. Returns NULL, or what is wrong. */
static const char *
line_read(struct bpi_bench_workload *workload, char *line, bool mode_read, bool is_explicit)
{
    char *query = line;
    uint32_t weight = 1;
    char *mode = strchr(line, '\t');
    char *second = mode == NULL ? NULL : strchr(mode + 1, '\t');
    if (second != NULL) {
        *mode++ = '\0';
        *second = '\0';
        query = second + 1;
        if (!weight_parse(line, &weight)) {
            return "the weight is no number from 1 to 1000000";
        }
        if (strcmp(mode, "r") != 0 && strcmp(mode, "w") != 0) {
            return "the mode is neither r nor w";
        }
        mode_read = *mode == 'r';
    }
    query += strspn(query, " \t");
    if (*query == '\0') {
        return "the query is missing";
    }
    switch (bpi_bench_workload_add(workload, query, mode_read, is_explicit, weight)) {
    case 0:
        return NULL;
    case BP_E_FULL:
        return "there are more than 256 queries";
    default:
        return "out of memory";
    }
}

int bpi_bench_workload_read(struct bpi_bench_workload *workload,
                            const char *path,
                            bool mode_read,
                            bool is_explicit,
                            char *reterr_text,
                            size_t reterr_text_size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int error = -errno;
        snprintf(reterr_text, reterr_text_size, "%s: %s", path, bp_error_text(error));
        return error;
    }
    char *line = NULL;
    size_t capacity = 0;
    size_t number = 0;
    const char *wrong = NULL;
    while (wrong == NULL && getline(&line, &capacity, file) >= 0) {
        number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[strspn(line, " \t")] != '\0' && line[0] != '#') {
            wrong = line_read(workload, line, mode_read, is_explicit);
        }
    }
    free(line);
    fclose(file);
    if (wrong == NULL && workload->entry_count == 0) {
        wrong = "there is no query in it";
    }
    if (wrong != NULL) {
        snprintf(reterr_text, reterr_text_size, "%s:%zu: %s", path, number, wrong);
        return BP_E_CONFIG;
    }
    return 0;
}

static bool integer_parse(const char *text, char stop, const char **ret_end, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != stop || errno != 0) {
        return false;
    }
    *ret_end = end;
    *ret_value = value;
    return true;
}

int bpi_bench_workload_param(struct bpi_bench_workload *workload, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        return BP_E_CONFIG;
    }
    if (workload->param_count == BPI_BENCH_PARAMS_MAX) {
        return BP_E_FULL;
    }
    char *kept = strdup(text);
    if (kept == NULL) {
        return BP_E_NO_MEMORY;
    }
    workload->texts[workload->text_count++] = kept;
    kept[equals - text] = '\0';
    const char *value = kept + (equals - text) + 1;
    const char *end = value;
    struct bpi_load_param param = {.name = kept, .kind = BPI_LOAD_TEXT, .text = value};
    if (strcmp(value, "unique") == 0) {
        param.kind = BPI_LOAD_UNIQUE;
    } else if (strncmp(value, "random:", 7) == 0) {
        param.kind = BPI_LOAD_RANDOM;
        if (!integer_parse(value + 7, ':', &end, &param.low) ||
            !integer_parse(end + 1, '\0', &end, &param.high) || param.low > param.high) {
            return BP_E_CONFIG;
        }
    } else if (integer_parse(value, '\0', &end, &param.low)) {
        param.kind = BPI_LOAD_INT;
    }
    workload->params[workload->param_count++] = param;
    return 0;
}

void bpi_bench_workload_finish(struct bpi_bench_workload *workload)
{
    for (size_t i = 0; i < workload->entry_count; i++) {
        workload->entries[i].params = workload->params;
        workload->entries[i].param_count = workload->param_count;
    }
}
