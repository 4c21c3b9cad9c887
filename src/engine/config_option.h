/* The table of options: what there is, where it may stand, its bounds, default and sentence.
 *
 * config.c reads files by it; reload, `boltpool config reference` and "did you mean" look into it too.
 */
#ifndef BPI_ENGINE_CONFIG_OPTION_H
#define BPI_ENGINE_CONFIG_OPTION_H

#include <boltpool/types.h>

#include <stdbool.h>

enum bpi_option_type {
    BPI_OPTION_TEXT,
    BPI_OPTION_COUNT,
    BPI_OPTION_BYTES,
    BPI_OPTION_DURATION,
    BPI_OPTION_VERSION,
    BPI_OPTION_WORD,    /* one of `words`, stored as its index */
    BPI_OPTION_FLAG,    /* yes or no */
    BPI_OPTION_AMOUNT,  /* a number of links, or per cent of all */
    BPI_OPTION_CLASSES, /* a list, stored as bits */
};

enum bpi_option_place {
    BPI_PLACE_PROCESS, /* [boltpool] alone */
    BPI_PLACE_CLUSTER, /* [cluster NAME], and [boltpool] as the default of all */
    BPI_PLACE_OWN,     /* [cluster NAME] alone */
    BPI_PLACE_CLASS,   /* [class NAME] */
    BPI_PLACE_USERS,   /* [users], and [user NAME] in its place */
    BPI_PLACE_OPERATION,
    BPI_PLACE_RULE,
    BPI_PLACE_COUNT,
};

struct bpi_option {
    const char *name;
    enum bpi_option_place place;
    enum bpi_option_type type;
    size_t offset;
    size_t size; /* BPI_OPTION_TEXT: bytes of the array */
    uint64_t min;
    uint64_t max;
    const char *initial;
    const char *words; /* BPI_OPTION_WORD, BPI_OPTION_CLASSES: "a|b|c" */
    bool reload;
    const char *help;
    size_t has;                  /* the place of a bool that is set with the option; 0 = none */
    const char *const *initials; /* BPI_PLACE_CLASS: a default for each class, `initial` is none */
};

extern const struct bpi_option bpi_options[];
extern const size_t bpi_options_count;
/* The option of that name in one of `places` (bits of enum bpi_option_place), or NULL. */
const struct bpi_option *bpi_option_find(unsigned places, const char *name);
/* Reads `value` into the option's place in `base`, the struct that its place is about. False: reterr_text
 * says what is wrong and what is possible. */
bool bpi_option_set(const struct bpi_option *option,
                    void *base,
                    const char *value,
                    char *reterr_text,
                    size_t reterr_text_size);
/* The option of `places` whose name is nearest (edit distance), for "did you mean"; or NULL. */
const char *bpi_option_nearest(unsigned places, const char *name);
/* Where an option of that place belongs: "the [boltpool] section" ... */
const char *bpi_option_place_text(enum bpi_option_place place);

#endif
