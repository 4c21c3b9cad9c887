/* `boltpool`: finds the subcommand. One file each in this folder. */
#include "cli/command.h"

#include <boltpool/version.h>

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", bpi_cmd_serve, "pool connections between drivers and Neo4j servers"},
    {"demo", bpi_cmd_demo, "show it all on simulated servers, nothing to install"},
    {"bench", bpi_cmd_bench, "load a Bolt server or pooler and measure it"},
    {"sim", bpi_cmd_sim, "run a simulated Bolt server, with faults on request"},
    {"config", bpi_cmd_config, "check a configuration file, or print the reference"},
    {"hash-password", bpi_cmd_hash_password, "make a line for the users file"},
};

static int usage(FILE *out, int status)
{
    fprintf(out, "boltpool " BP_VERSION_STRING ": a connection pooler for Neo4j\n\n"
                 "usage: boltpool COMMAND [OPTIONS]     boltpool COMMAND --help\n\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].help);
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return usage(stderr, 2);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("boltpool " BP_VERSION_STRING);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return usage(stdout, 0);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "boltpool: no command '%.60s'\n\n", argv[1]);
    return usage(stderr, 2);
}
