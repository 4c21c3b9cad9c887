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
    BPI_OPTION_WORD, /* one of `words`, stored as its index */
};

enum bpi_option_place {
    BPI_PLACE_PROCESS, /* [boltpool] alone */
    BPI_PLACE_CLUSTER, /* [cluster NAME], and [boltpool] as the default of all */
    BPI_PLACE_OWN,     /* [cluster NAME] alone */
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
    const char *words; /* BPI_OPTION_WORD: "a|b|c" */
    bool reload;
    const char *help;
};

extern const struct bpi_option bpi_options[];
extern const size_t bpi_options_count;
/* The only option of [class NAME]. */
extern const struct bpi_option bpi_option_class_max;

/* Reads `value` into the option's place in `base` (a bpi_config, bpi_cluster_config or bpi_class_config, by
 * its place). False: reterr_text says what is wrong and what is possible. */
bool bpi_option_set(const struct bpi_option *option,
                    void *base,
                    const char *value,
                    char *reterr_text,
                    size_t reterr_text_size);
/* The option whose name is nearest (edit distance), for "did you mean"; or NULL. */
const char *bpi_option_nearest(const char *name);

#endif
