/* `boltpool config`: checks a file, or prints the reference of all options. */
#include "cli/command.h"

#include "engine/config.h"

#include <stdio.h>
#include <string.h>

int bpi_cmd_config(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        bpi_config_reference(stdout);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "check") == 0) {
        struct bpi_config *config;
        char error_text[1024];
        if (bpi_config_read(argv[2], &config, error_text, sizeof(error_text)) != 0) {
            fprintf(stderr, "%s\n", error_text);
            return 1;
        }
        printf("%s: good: %u cluster%s, %u rule%s\n", argv[2], config->clusters_count,
               config->clusters_count == 1 ? "" : "s", config->rules_count,
               config->rules_count == 1 ? "" : "s");
        bpi_config_unref(config);
        return 0;
    }
    fputs(
        "usage: boltpool config check FILE.ini    says whether it is good, or what is wrong where\n"
        "       boltpool config reference         prints all options as a Markdown table\n",
        argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
