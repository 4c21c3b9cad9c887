/* See query_options.h. */
#include "sim/query_options.h"

#include <boltpool/error.h>

#include "sim/query.h"

#include <stdlib.h>
#include <string.h>

/* 1e12 rows or bytes are more than a run of any test can send. */
#define NUMBER_MAX 1e12
/* A message of one row above this would be refused by drivers' buffers before it tells anything. */
#define ROW_BYTES_MAX (64u << 20)

static bool pair_read(const char *key, const char *value, struct bpi_sim_query *query)
{
    if (strcmp(key, "fail") == 0) {
        if (strlen(value) >= sizeof(query->fail_code)) {
            return false;
        }
        memcpy(query->fail_code, value, strlen(value) + 1);
        return true;
    }
    if (strcmp(key, "service") == 0) {
        query->has_service = bpi_sim_service_parse(value, &query->service);
        return query->has_service;
    }
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !(number >= 0) || number > NUMBER_MAX) {
        return false;
    }
    if (strcmp(key, "rows") == 0) {
        query->row_count = (uint64_t)number;
    } else if (strcmp(key, "bytes") == 0 && number <= ROW_BYTES_MAX) {
        query->row_bytes = (uint32_t)number;
    } else if (strcmp(key, "ms") == 0) {
        query->service = (struct bpi_sim_service){.mean_us = number * 1e3};
        query->has_service = true;
    } else if (strcmp(key, "fail_at_row") == 0) {
        query->fail_at_row = (int64_t)number;
    } else if (strcmp(key, "drop_after") == 0) {
        query->drop_after = (int64_t)number;
    } else if (strcmp(key, "hang") == 0) {
        query->hang = number > 0;
    } else if (strcmp(key, "close") == 0) {
        query->close = number > 0;
    } else if (strcmp(key, "notify") == 0) {
        query->notify = number > 0;
    } else {
        return false;
    }
    return true;
}

int bpi_sim_query_options_read(const char *text, size_t size, struct bpi_sim_query *query)
{
    char *copy = strndup(text, size);
    if (copy == NULL) {
        return BP_E_NO_MEMORY;
    }
    int error = 0;
    char *at = copy + strspn(copy, " \t\r\n");
    if (strncmp(at, "sim:", 4) == 0) {
        at += 4;
        char *pair;
        while ((pair = strsep(&at, " \t\r\n,")) != NULL && error == 0) {
            char *equals = strchr(pair, '=');
            if (equals != NULL) {
                *equals = '\0';
            }
            if (*pair != '\0' && (equals == NULL || !pair_read(pair, equals + 1, query))) {
                error = BP_E_CONFIG;
            }
        }
        if (error == 0 && query->fail_at_row >= 0 && query->fail_code[0] == '\0') {
            static const char code[] = "Neo.DatabaseError.General.UnknownError";
            memcpy(query->fail_code, code, sizeof(code));
        }
    }
    free(copy);
    return error;
}
