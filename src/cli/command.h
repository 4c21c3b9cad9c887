/* The subcommands of `boltpool`. Each gets its own name as argv[0] and returns the exit status:
 * 0 done, 1 it failed, 2 called wrongly.
 */
#ifndef BPI_CLI_COMMAND_H
#define BPI_CLI_COMMAND_H

int bpi_cmd_serve(int argc, char **argv);
int bpi_cmd_demo(int argc, char **argv);
int bpi_cmd_sim(int argc, char **argv);
int bpi_cmd_bench(int argc, char **argv);
int bpi_cmd_config(int argc, char **argv);
int bpi_cmd_hash_password(int argc, char **argv);

#endif
