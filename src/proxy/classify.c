/* See classify.h. */
#include "proxy/classify.h"

#include "bolt/packstream.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pattern looks at the start of a query only: what comes later can be of any length. */
#define QUERY_BYTES_MAX 4096
/* As in the configuration: a deadline of more than a year is a mistake. */
#define DEADLINE_MS_MAX ((int64_t)366 * 24 * 3600 * 1000)

/* ---- what the client says ---- */

/* Of tx_metadata. `data` NULL: it isn't there. */
struct claims {
    struct bpi_bolt_text app;
    struct bpi_bolt_text operation;
    struct bpi_bolt_text priority;
    struct bpi_bolt_text tenant;
    bp_usec deadline_us; /* 0 = none */
    unsigned bad;
};

static bool read_text(struct bpi_bolt_span value, struct bpi_bolt_text *ret_text)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next_string(&reader, &ret_text->data, &ret_text->size) == 0;
}

/* "250" or "250.5", and nothing else that strtod() takes. False: it is no number. */
static bool text_to_ms(const uint8_t *data, size_t size, double *ret_ms)
{
    char text[32];
    if (size == 0 || size >= sizeof(text)) {
        return false;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    char *end = NULL;
    *ret_ms = strtod(text, &end);
    return strspn(text, "0123456789.") == size && end == text + size;
}

/* Milliseconds as an integer, as drivers send them, and as a float or a text, as some languages make them. */
static bool read_deadline(struct bpi_bolt_span value, bp_usec *ret_us)
{
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    double ms = 0;
    bpi_pack_reader_init(&reader, value.data, value.size);
    if (bpi_pack_next(&reader, &item) != 0) {
        return false;
    }
    if (item.type == BPI_PACK_INT) {
        if (item.integer <= 0 || item.integer > DEADLINE_MS_MAX) {
            return false;
        }
        *ret_us = (bp_usec)item.integer * BP_USEC_PER_MS;
        return true;
    }
    if (item.type == BPI_PACK_FLOAT) {
        ms = item.real;
    } else if (item.type != BPI_PACK_STRING || !text_to_ms(item.data, item.size, &ms)) {
        return false;
    }
    /* Written so that NaN fails. Less than a microsecond is no time at all. */
    if (!(ms >= 0.001 && ms <= (double)DEADLINE_MS_MAX)) {
        return false;
    }
    *ret_us = (bp_usec)(ms * (double)BP_USEC_PER_MS);
    return true;
}

/* What may be said of one key. False: the value makes no sense. */
static bool read_claim(struct claims *claims, struct bpi_bolt_text key, struct bpi_bolt_span value)
{
    if (bpi_bolt_text_is(key, "boltpool_deadline_ms")) {
        return read_deadline(value, &claims->deadline_us);
    }
    if (bpi_bolt_text_is(key, "boltpool_operation")) {
        return read_text(value, &claims->operation);
    }
    if (bpi_bolt_text_is(key, "boltpool_priority")) {
        return read_text(value, &claims->priority);
    }
    if (bpi_bolt_text_is(key, "boltpool_tenant")) {
        struct bpi_bolt_text tenant;
        if (!read_text(value, &tenant) || tenant.size == 0 ||
            tenant.size >= BPI_CONFIG_TENANT_BYTES) {
            return false;
        }
        claims->tenant = tenant;
        return true;
    }
    if (bpi_bolt_text_is(key, "app")) {
        /* Not ours alone: programs may put there what they like. */
        (void)!read_text(value, &claims->app);
    }
    return true;
}

static bool is_null(struct bpi_bolt_span value)
{
    struct bpi_pack_reader reader;
    struct bpi_pack_item item;
    bpi_pack_reader_init(&reader, value.data, value.size);
    return bpi_pack_next(&reader, &item) == 0 && item.type == BPI_PACK_NULL;
}

/* One walk over the map. What is broken in it, a server will refuse; until there its claims count. A key that
 * comes twice is refused by servers, too; here the last one counts. */
static struct claims read_claims(struct bpi_bolt_span metadata)
{
    struct claims claims = {0};
    struct bpi_pack_reader reader;
    uint32_t pairs = 0;
    if (metadata.data == NULL) {
        return claims;
    }
    bpi_pack_reader_init(&reader, metadata.data, metadata.size);
    if (bpi_pack_next_map(&reader, &pairs) != 0) {
        return claims;
    }
    for (uint32_t i = 0; i < pairs; i++) {
        struct bpi_bolt_text key;
        struct bpi_bolt_span value;
        if (bpi_pack_next_string(&reader, &key.data, &key.size) != 0 ||
            bpi_pack_take(&reader, &bpi_pack_limits_open, &value.data, &value.size) != 0) {
            break;
        }
        if (!is_null(value) && !read_claim(&claims, key, value)) {
            claims.bad++;
        }
    }
    return claims;
}

/* ---- what the rules say ---- */

/* Texts that a rule's conditions look at, each copied when the first of them needs it. */
struct texts {
    bool copied;
    char database[256];
    char application[256];
    char query[QUERY_BYTES_MAX];
};

/* Copies a text so that it ends with a zero; what doesn't fit is cut. */
static void copy_text(char *into, size_t size, struct bpi_bolt_text text)
{
    size_t kept = text.data == NULL ? 0 : text.size < size - 1 ? text.size : size - 1;
    if (kept > 0) {
        memcpy(into, text.data, kept);
    }
    into[kept] = '\0';
}

static struct bpi_bolt_text text_of(const char *text)
{
    return (struct bpi_bolt_text){.data = text, .size = strlen(text)};
}

static struct bpi_bolt_text application_of(const struct bpi_operation *operation,
                                           const struct claims *claims)
{
    return claims->app.data != NULL ? claims->app : text_of(operation->application);
}

static void
copy_texts(struct texts *texts, const struct bpi_operation *operation, const struct claims *claims)
{
    if (!texts->copied) {
        texts->copied = true;
        copy_text(texts->database, sizeof(texts->database), operation->tx.db);
        copy_text(texts->query, sizeof(texts->query), operation->query);
        copy_text(texts->application, sizeof(texts->application),
                  application_of(operation, claims));
    }
}

static bool rule_holds(const struct bpi_rule_config *rule,
                       const struct bpi_operation *operation,
                       const struct texts *texts)
{
    if (rule->user[0] != '\0' && fnmatch(rule->user, operation->user, 0) != 0) {
        return false;
    }
    if (rule->has_database && fnmatch(rule->database, texts->database, 0) != 0) {
        return false;
    }
    if (rule->application[0] != '\0' && fnmatch(rule->application, texts->application, 0) != 0) {
        return false;
    }
    if (rule->has_mode && (rule->mode == BPI_MODE_READ) != operation->tx.mode_read) {
        return false;
    }
    return !rule->has_regex ||
           (operation->query.data != NULL && regexec(&rule->regex, texts->query, 0, NULL, 0) == 0);
}

/* The rule that decides each thing; NULL = none. */
struct ruling {
    const struct bpi_rule_config *work;
    const struct bpi_rule_config *priority;
    const struct bpi_rule_config *deadline;
    const struct bpi_rule_config *tenant;
    const struct bpi_rule_config *shed;
};

static void
take(const struct bpi_rule_config **decides, const struct bpi_rule_config *rule, bool names_it)
{
    if (*decides == NULL && names_it) {
        *decides = rule;
    }
}

/* A rule whose things are all decided already isn't looked at. */
static struct ruling ask_rules(const struct bpi_config *config,
                               const struct bpi_operation *operation,
                               const struct claims *claims)
{
    struct ruling ruling = {0};
    struct texts texts;
    unsigned open = BPI_RULE_ALL;
    texts.copied = false;
    for (unsigned i = 0; i < config->rules_count && open != 0; i++) {
        const struct bpi_rule_config *rule = &config->rules[i];
        if ((rule->things & open) == 0) {
            continue;
        }
        copy_texts(&texts, operation, claims);
        if (rule_holds(rule, operation, &texts)) {
            take(&ruling.work, rule, (rule->things & BPI_RULE_WORK) != 0);
            take(&ruling.priority, rule, rule->has_priority);
            take(&ruling.deadline, rule, rule->has_deadline);
            take(&ruling.tenant, rule, rule->tenant[0] != '\0');
            take(&ruling.shed, rule, rule->has_shed);
            open &= ~rule->things;
        }
    }
    return ruling;
}

/* ---- both together ---- */

/* The cap holds for who claims nothing, too: else a user that is to be low would be better off so. */
static void decide_priority(const struct bpi_config *config,
                            const struct bpi_operation *operation,
                            const struct claims *claims,
                            const struct bpi_rule_config *rule,
                            struct bpi_classified *classified)
{
    enum bpi_priority claimed = BPI_PRIORITY_NORMAL;
    classified->priority = BPI_PRIORITY_NORMAL;
    if (rule != NULL) {
        classified->priority = rule->priority;
        return;
    }
    bool is_claimed = claims->priority.data != NULL;
    if (is_claimed && !bpi_priority_parse(claims->priority.data, claims->priority.size, &claimed)) {
        classified->bad++;
        is_claimed = false;
    }
    if (!is_claimed && config->max_priority_min >= BPI_PRIORITY_NORMAL) {
        return;
    }
    enum bpi_priority cap = bpi_config_claim(config, operation->user)->max_priority;
    classified->priority = claimed < cap ? claimed : cap;
    classified->lowered += is_claimed && claimed > cap;
}

static enum bpi_class class_of(const struct bpi_operation_config *work, bool is_high)
{
    return is_high ? work->high_class : work->class_;
}

/* What the client says that it is. False: nothing that counts. */
static bool take_claimed_work(const struct bpi_config *config,
                              const struct bpi_operation *operation,
                              const struct claims *claims,
                              bool is_high,
                              struct bpi_classified *classified)
{
    struct bpi_bolt_text claim = claims->operation;
    const struct bpi_operation_config *work = NULL;
    enum bpi_class class_;
    if (claim.data == NULL) {
        return false;
    }
    if (!bpi_class_parse(claim.data, claim.size, &class_)) {
        work = bpi_config_operation(config, claim.data, claim.size);
        if (work == NULL) {
            classified->bad++;
            return false;
        }
        class_ = work->class_;
    }
    if ((bpi_config_claim(config, operation->user)->classes & 1u << class_) == 0) {
        classified->lowered++;
        return false;
    }
    classified->class_ = work == NULL ? class_ : class_of(work, is_high);
    classified->name = work == NULL ? bpi_class_name(class_) : work->name;
    return true;
}

/* Neither a rule nor the client says what it is. */
static enum bpi_class guess_class(const struct bpi_operation *operation, bool is_high)
{
    if (operation->is_slow && !is_high) {
        return BPI_CLASS_ANALYTICS;
    }
    if (!operation->tx.mode_read) {
        return BPI_CLASS_READ_WRITE;
    }
    return is_high ? BPI_CLASS_HIGH_PRIORITY : BPI_CLASS_READ_ONLY;
}

static void decide_work(const struct bpi_config *config,
                        const struct bpi_operation *operation,
                        const struct claims *claims,
                        const struct bpi_rule_config *rule,
                        struct bpi_classified *classified)
{
    bool is_high = classified->priority >= BPI_PRIORITY_HIGH;
    if (rule != NULL) {
        const struct bpi_operation_config *work = rule->operation_found;
        classified->class_ =
            rule->has_class || work == NULL ? rule->class_ : class_of(work, is_high);
        classified->name = work == NULL ? bpi_class_name(classified->class_) : work->name;
    } else if (!take_claimed_work(config, operation, claims, is_high, classified)) {
        classified->class_ = guess_class(operation, is_high);
        classified->name = bpi_class_name(classified->class_);
    }
}

static struct bpi_bolt_text tenant_of(const struct bpi_operation *operation,
                                      const struct claims *claims,
                                      const struct bpi_rule_config *rule)
{
    struct bpi_bolt_text none = {0};
    if (rule != NULL) {
        return text_of(rule->tenant);
    }
    switch (operation->tenant_by) {
    case BPI_TENANT_APPLICATION:
        return application_of(operation, claims);
    case BPI_TENANT_CLAIM:
        return claims->tenant;
    case BPI_TENANT_USER:
        break;
    }
    return none;
}

struct bpi_classified bpi_classify(const struct bpi_config *config,
                                   const struct bpi_operation *operation)
{
    struct claims claims = read_claims(operation->tx.metadata);
    struct ruling ruling = {0};
    struct bpi_classified classified = {.bad = claims.bad};
    if (config->rules_count > 0) {
        ruling = ask_rules(config, operation, &claims);
    }
    decide_priority(config, operation, &claims, ruling.priority, &classified);
    decide_work(config, operation, &claims, ruling.work, &classified);
    classified.deadline_us = ruling.deadline != NULL ? ruling.deadline->deadline_us
                             : claims.deadline_us != 0
                                 ? claims.deadline_us
                                 : config->classes[classified.class_].deadline_us;
    classified.tenant = tenant_of(operation, &claims, ruling.tenant);
    classified.sheddable = ruling.shed != NULL ? ruling.shed->shed : operation->is_explicit;
    return classified;
}
