/* See config_option.h. The table is in config_table.c; here what is done with its rows. */
#include "engine/config_option.h"

#include "engine/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static bool parse_scaled(const char *text,
                         const char *const *units,
                         const uint64_t *factors,
                         size_t count,
                         bool bare,
                         uint64_t *ret_value)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    if (*end == '\0') {
        *ret_value = number;
        return bare || number == 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i]) == 0) {
            return !__builtin_mul_overflow((uint64_t)number, factors[i], ret_value);
        }
    }
    return false;
}

static bool parse_duration(const char *text, uint64_t *ret_us)
{
    static const char *const units[] = {"us", "ms", "s", "min", "h"};
    static const uint64_t factors[] = {1, 1000, 1000000, 60000000, UINT64_C(3600000000)};
    return parse_scaled(text, units, factors, 5, false, ret_us);
}

static bool parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    static const uint64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30};
    return parse_scaled(text, units, factors, 4, true, ret_bytes);
}

static bool parse_word(const char *words, const char *text, unsigned *ret_index)
{
    size_t size = strlen(text);
    unsigned index = 0;
    const char *at = words;
    while (true) {
        const char *end = strchr(at, '|');
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (length == size && memcmp(at, text, size) == 0) {
            *ret_index = index;
            return true;
        }
        if (end == NULL) {
            return false;
        }
        at = end + 1;
        index++;
    }
}

/* "read_only, analytics": a bit for each. False: reterr_word is what is no class. */
static bool parse_classes(const char *text, unsigned *ret_bits, const char **reterr_word)
{
    unsigned bits = 0;
    while (*(text += strspn(text, " ,\t")) != '\0') {
        size_t size = strcspn(text, " ,\t");
        enum bpi_class class_;
        if (!bpi_class_parse(text, size, &class_)) {
            *reterr_word = text;
            return false;
        }
        bits |= 1u << class_;
        text += size;
    }
    *ret_bits = bits;
    return true;
}

/* "10" or "10%". */
static bool parse_amount(const char *text, uint64_t max, struct bpi_amount *ret_amount)
{
    static const char *const units[] = {"%"};
    static const uint64_t factors[] = {1};
    uint64_t number;
    size_t size = strlen(text);
    bool is_percent = size > 0 && text[size - 1] == '%';
    if (!parse_scaled(text, units, factors, 1, true, &number) ||
        number > (is_percent ? 100 : max)) {
        return false;
    }
    *ret_amount = (struct bpi_amount){.value = (unsigned)number, .is_percent = is_percent};
    return true;
}

static bool wrong(char *text, size_t size, const char *format, ...) BP_PRINTF(3, 4);

static bool wrong(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return false;
}

/* Values that are no number in bounds. */
static bool
set_word(const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    unsigned index;
    bool is_flag = option->type == BPI_OPTION_FLAG;
    const char *words = is_flag ? "no|yes" : option->words;
    if (!parse_word(words, value, &index)) {
        return wrong(text, size, "%s: '%.60s' is none of %s", option->name, value, words);
    }
    if (is_flag) {
        bool flag = index == 1;
        memcpy(target, &flag, sizeof(flag));
    } else {
        memcpy(target, &index, sizeof(index));
    }
    return true;
}

static bool
set_text(const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    if (strlen(value) >= option->size) {
        return wrong(text, size, "%s: longer than %zu bytes", option->name, option->size - 1);
    }
    snprintf(target, option->size, "%s", value);
    return true;
}

static bool set_version(
    const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    bpi_bolt_version version;
    if (!bpi_bolt_version_parse(value, &version)) {
        return wrong(text, size,
                     "%s: '%.60s' is no Bolt version that boltpool speaks (4.1-4.4, 5.0-5.4, "
                     "5.6-5.8, 6.0, 6.1)",
                     option->name, value);
    }
    memcpy(target, &version, sizeof(version));
    return true;
}

static bool set_classes(
    const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    unsigned bits;
    const char *word;
    if (!parse_classes(value, &bits, &word)) {
        size_t word_size = strcspn(word, " ,\t");
        return wrong(text, size, "%s: '%.*s' is none of %s", option->name,
                     (int)(word_size > 60 ? 60 : word_size), word, option->words);
    }
    memcpy(target, &bits, sizeof(bits));
    return true;
}

static bool set_amount(
    const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    struct bpi_amount amount;
    if (!parse_amount(value, option->max, &amount)) {
        return wrong(text, size,
                     "%s: '%.60s' is neither a number of links (0 .. %" PRIu64
                     ") nor a part of max_links (0%% .. 100%%)",
                     option->name, value, option->max);
    }
    memcpy(target, &amount, sizeof(amount));
    return true;
}

static bool set_number(
    const struct bpi_option *option, void *target, const char *value, char *text, size_t size)
{
    uint64_t number = 0;
    if (option->type == BPI_OPTION_COUNT) {
        if (!parse_scaled(value, NULL, NULL, 0, true, &number)) {
            return wrong(text, size, "%s: '%.60s' is no whole number", option->name, value);
        }
    } else if (option->type == BPI_OPTION_BYTES) {
        if (!parse_bytes(value, &number)) {
            return wrong(text, size, "%s: '%.60s' is no size, as 8KiB or 1MiB", option->name,
                         value);
        }
    } else if (!parse_duration(value, &number)) {
        return wrong(text, size,
                     "%s: '%.60s' is no duration; give a unit: us, ms, s, min or h, as 30s",
                     option->name, value);
    }
    if (number < option->min || number > option->max) {
        return wrong(text, size, "%s: '%.60s' is outside %" PRIu64 " .. %" PRIu64 "%s",
                     option->name, value, option->min, option->max,
                     option->type == BPI_OPTION_DURATION ? " us" : "");
    }
    if (option->type == BPI_OPTION_COUNT) {
        unsigned count = (unsigned)number;
        memcpy(target, &count, sizeof(count));
    } else {
        memcpy(target, &number, sizeof(number));
    }
    return true;
}

bool bpi_option_set(const struct bpi_option *option,
                    void *base,
                    const char *value,
                    char *reterr_text,
                    size_t reterr_text_size)
{
    static bool (*const set[])(const struct bpi_option *option, void *target, const char *value,
                               char *text, size_t size) = {
        [BPI_OPTION_TEXT] = set_text,       [BPI_OPTION_COUNT] = set_number,
        [BPI_OPTION_BYTES] = set_number,    [BPI_OPTION_DURATION] = set_number,
        [BPI_OPTION_VERSION] = set_version, [BPI_OPTION_WORD] = set_word,
        [BPI_OPTION_FLAG] = set_word,       [BPI_OPTION_AMOUNT] = set_amount,
        [BPI_OPTION_CLASSES] = set_classes,
    };
    if (!set[option->type](option, (char *)base + option->offset, value, reterr_text,
                           reterr_text_size)) {
        return false;
    }
    if (option->has != 0) {
        memcpy((char *)base + option->has, &(bool){true}, sizeof(bool));
    }
    return true;
}

/* ---- names ---- */

static bool is_in(const struct bpi_option *option, unsigned places)
{
    return (places & 1u << option->place) != 0;
}

const struct bpi_option *bpi_option_find(unsigned places, const char *name)
{
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (is_in(&bpi_options[i], places) && strcmp(bpi_options[i].name, name) == 0) {
            return &bpi_options[i];
        }
    }
    return NULL;
}

/* How many letters have to change; `size` is at most 40. */
static size_t edit_distance(const char *name, size_t size, const char *other)
{
    size_t row[64];
    size_t other_size = strlen(other);
    for (size_t j = 0; j <= other_size; j++) {
        row[j] = j;
    }
    for (size_t k = 1; k <= size; k++) {
        size_t diagonal = row[0];
        row[0] = k;
        for (size_t j = 1; j <= other_size; j++) {
            size_t change = diagonal + (name[k - 1] != other[j - 1]);
            diagonal = row[j];
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[other_size];
}

const char *bpi_option_nearest(unsigned places, const char *name)
{
    const char *best = NULL;
    size_t best_distance = 4;
    size_t size = strlen(name);
    if (size > 40) {
        return NULL;
    }
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (is_in(&bpi_options[i], places)) {
            size_t distance = edit_distance(name, size, bpi_options[i].name);
            if (distance < best_distance) {
                best_distance = distance;
                best = bpi_options[i].name;
            }
        }
    }
    return best;
}

const char *bpi_option_place_text(enum bpi_option_place place)
{
    static const char *const texts[BPI_PLACE_COUNT] = {
        [BPI_PLACE_PROCESS] = "the [boltpool] section",
        [BPI_PLACE_CLUSTER] = "a [cluster NAME] section, or [boltpool]",
        [BPI_PLACE_OWN] = "a [cluster NAME] section",
        [BPI_PLACE_CLASS] = "a [class NAME] section",
        [BPI_PLACE_USERS] = "the [users] section, or a [user NAME] one",
        [BPI_PLACE_OPERATION] = "an [operation NAME] section",
        [BPI_PLACE_RULE] = "a [rule NAME] section",
    };
    return texts[place];
}

/* ---- reload ---- */

static bool option_equal(const struct bpi_option *option, const void *a, const void *b)
{
    const char *left = (const char *)a + option->offset;
    const char *right = (const char *)b + option->offset;
    switch (option->type) {
    case BPI_OPTION_TEXT:
        return strcmp(left, right) == 0;
    case BPI_OPTION_VERSION:
        return memcmp(left, right, sizeof(bpi_bolt_version)) == 0;
    case BPI_OPTION_COUNT:
    case BPI_OPTION_WORD:
    case BPI_OPTION_CLASSES:
        return memcmp(left, right, sizeof(unsigned)) == 0;
    case BPI_OPTION_FLAG:
        return memcmp(left, right, sizeof(bool)) == 0;
    case BPI_OPTION_AMOUNT: {
        struct bpi_amount a_amount, b_amount;
        memcpy(&a_amount, left, sizeof(a_amount));
        memcpy(&b_amount, right, sizeof(b_amount));
        return a_amount.value == b_amount.value && a_amount.is_percent == b_amount.is_percent;
    }
    case BPI_OPTION_BYTES:
    case BPI_OPTION_DURATION:
        break;
    }
    return memcmp(left, right, sizeof(uint64_t)) == 0;
}

bool bpi_config_can_reload(const struct bpi_config *config,
                           const struct bpi_config *next,
                           char *reterr_text,
                           size_t reterr_text_size)
{
    if (config->clusters_count != next->clusters_count) {
        snprintf(reterr_text, reterr_text_size, "adding or removing a cluster needs a restart");
        return false;
    }
    for (size_t i = 0; i < bpi_options_count; i++) {
        if (bpi_options[i].reload) {
            continue;
        }
        if (bpi_options[i].place == BPI_PLACE_PROCESS) {
            if (!option_equal(&bpi_options[i], config, next)) {
                snprintf(reterr_text, reterr_text_size, "changing %s needs a restart",
                         bpi_options[i].name);
                return false;
            }
            continue;
        }
        for (unsigned j = 0; j < config->clusters_count; j++) {
            const struct bpi_cluster_config *old = &config->clusters[j];
            if (strcmp(old->name, next->clusters[j].name) != 0) {
                snprintf(reterr_text, reterr_text_size,
                         "renaming or reordering clusters needs a restart");
                return false;
            }
            if (!option_equal(&bpi_options[i], old, &next->clusters[j])) {
                snprintf(reterr_text, reterr_text_size, "[cluster %s]: changing %s needs a restart",
                         old->name, bpi_options[i].name);
                return false;
            }
        }
    }
    return true;
}

/* ---- the reference ---- */

/* The value that most classes have first, then those of the others by name. */
static void print_initials(FILE *out, const char *const *initials)
{
    const char *most = initials[0];
    fprintf(out, "`%s`", most);
    for (int i = 0; i < BPI_CLASS_COUNT; i++) {
        if (strcmp(initials[i], most) != 0) {
            fprintf(out, ", %s `%s`", bpi_class_name((enum bpi_class)i), initials[i]);
        }
    }
}

static void print_words(FILE *out, const char *words)
{
    fputc('`', out);
    for (const char *at = words; *at != '\0'; at++) {
        if (*at == '|') {
            fputs("`, `", out);
        } else {
            fputc(*at, out);
        }
    }
    fputc('`', out);
}

static void print_values(FILE *out, const struct bpi_option *option)
{
    switch (option->type) {
    case BPI_OPTION_COUNT:
    case BPI_OPTION_BYTES:
        fprintf(out, "%" PRIu64 " .. %" PRIu64, option->min, option->max);
        break;
    case BPI_OPTION_DURATION:
        fprintf(out, "%s .. 366 days", option->min == 0 ? "0" : "1ms");
        break;
    case BPI_OPTION_WORD:
        print_words(out, option->words);
        break;
    case BPI_OPTION_FLAG:
        print_words(out, "yes|no");
        break;
    case BPI_OPTION_AMOUNT:
        fprintf(out, "0 .. %" PRIu64 ", 0%% .. 100%%", option->max);
        break;
    case BPI_OPTION_CLASSES:
        fprintf(out, "classes, separated by commas");
        break;
    case BPI_OPTION_VERSION:
        fprintf(out, "4.1 .. 6.1");
        break;
    case BPI_OPTION_TEXT:
        fprintf(out, "text");
        break;
    }
}

static void print_option(FILE *out, const struct bpi_option *option)
{
    static const char *const places[BPI_PLACE_COUNT] = {
        [BPI_PLACE_PROCESS] = "[boltpool]",    [BPI_PLACE_CLUSTER] = "[boltpool], [cluster]",
        [BPI_PLACE_OWN] = "[cluster]",         [BPI_PLACE_CLASS] = "[class]",
        [BPI_PLACE_USERS] = "[users], [user]", [BPI_PLACE_OPERATION] = "[operation]",
        [BPI_PLACE_RULE] = "[rule]",
    };
    fprintf(out, "| `%s` | %s | ", option->name, places[option->place]);
    if (option->initials != NULL) {
        print_initials(out, option->initials);
    } else if (option->initial[0] != '\0') {
        fprintf(out, "`%s`", option->initial);
    }
    fputs(" | ", out);
    print_values(out, option);
    fprintf(out, " | %s | %s |\n", option->reload ? "yes" : "restart", option->help);
}

void bpi_config_reference(FILE *out)
{
    fprintf(out, "| option | section | default | values | reload | what it does |\n"
                 "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < bpi_options_count; i++) {
        print_option(out, &bpi_options[i]);
    }
}
