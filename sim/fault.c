/* See fault.h. */
#include "sim/fault.h"

#include <boltpool/error.h>

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

/* Bytes, and counts of commits: above it is a typing mistake. */
#define NUMBER_MAX 1e9

void bpi_sim_faults_init(struct bpi_sim_faults *faults)
{
    *faults = (struct bpi_sim_faults){.slow = 1, .drop_next = -1};
}

static bool number_parse(const char *text, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0) || number > NUMBER_MAX) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* CODE@p; "no" empties the list. */
static bool failure_set(struct bpi_sim_failure *failures, uint32_t *count, const char *text)
{
    if (strcmp(text, "no") == 0) {
        *count = 0;
        return true;
    }
    struct bpi_sim_failure failure = {.probability = 1};
    const char *at = strchr(text, '@');
    size_t size = at == NULL ? strlen(text) : (size_t)(at - text);
    if (strncmp(text, "Neo.", 4) != 0 || size >= sizeof(failure.code) ||
        (at != NULL && (!number_parse(at + 1, &failure.probability) || failure.probability > 1))) {
        return false;
    }
    memcpy(failure.code, text, size);
    for (uint32_t i = 0; i < *count; i++) {
        if (strcmp(failures[i].code, failure.code) == 0) {
            failures[i] = failure;
            return true;
        }
    }
    if (*count == BPI_SIM_FAILURES_MAX) {
        return false;
    }
    failures[(*count)++] = failure;
    return true;
}

static bool flag_set(bool *flag, const char *value)
{
    bool off = value != NULL && strcmp(value, "no") == 0;
    *flag = !off;
    return off || value == NULL || strcmp(value, "yes") == 0;
}

static bool count_set(uint32_t *count, const char *value)
{
    double number = 1;
    if (value != NULL && strcmp(value, "no") == 0) {
        number = 0;
    } else if (value != NULL && !number_parse(value, &number)) {
        return false;
    }
    *count = (uint32_t)number;
    return true;
}

/* `value` is NULL for a word alone. */
static bool word_apply(struct bpi_sim_faults *faults, const char *word, const char *value)
{
    double number;
    if (strcmp(word, "none") == 0 && value == NULL) {
        bpi_sim_faults_init(faults);
        return true;
    }
    if (strcmp(word, "refuse") == 0) {
        return flag_set(&faults->refuse, value);
    }
    if (strcmp(word, "hang") == 0) {
        return flag_set(&faults->hang, value);
    }
    if (strcmp(word, "freeze") == 0) {
        return flag_set(&faults->freeze, value);
    }
    if (strcmp(word, "down") == 0) {
        return flag_set(&faults->down, value);
    }
    if (strcmp(word, "up") == 0 && value == NULL) {
        faults->down = false;
        return true;
    }
    if (strcmp(word, "drop_commit") == 0) {
        return count_set(&faults->drop_commits, value);
    }
    if (strcmp(word, "lose_commit") == 0) {
        return count_set(&faults->lose_commits, value);
    }
    if (value == NULL) {
        return false;
    }
    if (strcmp(word, "leader") == 0) {
        bool leader;
        bool valid = flag_set(&leader, value);
        faults->no_leader = !leader;
        return valid;
    }
    if (strcmp(word, "fail") == 0) {
        return failure_set(faults->failures, &faults->failure_count, value);
    }
    if (strcmp(word, "fail_commit") == 0) {
        return failure_set(faults->commit_failures, &faults->commit_failure_count, value);
    }
    if (strcmp(word, "slow") == 0 || strcmp(word, "drop") == 0) {
        bool slow = *word == 's';
        bool off = strcmp(value, "no") == 0;
        number = slow ? 1 : -1;
        if (!off && !number_parse(value, &number)) {
            return false;
        }
        faults->slow = slow ? number : faults->slow;
        faults->drop_next = slow ? faults->drop_next : (int64_t)number;
        return true;
    }
    return false;
}

int bpi_sim_faults_apply(struct bpi_sim_faults *faults, const char *script)
{
    struct bpi_sim_faults changed = *faults;
    char *copy = strdup(script);
    if (copy == NULL) {
        return BP_E_NO_MEMORY;
    }
    int error = 0;
    char *rest = copy;
    char *word;
    while (error == 0 && (word = strsep(&rest, ", \t\r\n")) != NULL) {
        char *equals = strchr(word, '=');
        if (equals != NULL) {
            *equals++ = '\0';
        }
        if (*word != '\0' && !word_apply(&changed, word, equals)) {
            error = BP_E_CONFIG;
        }
    }
    free(copy);
    if (error == 0) {
        *faults = changed;
    }
    return error;
}

const char *bpi_sim_failure_draw(const struct bpi_sim_failure *failures,
                                 uint32_t count,
                                 struct bpi_random *random)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bpi_random_unit(random) < failures[i].probability) {
            return failures[i].code;
        }
    }
    return NULL;
}
