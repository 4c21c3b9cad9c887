/* A query in ten lines.
 *
 *     cc hello.c $(pkg-config --cflags --libs boltpool) -o hello
 *     ./hello bolt://neo4j:secret@127.0.0.1:7687
 *
 * Prints:
 *
 *     hello from Neo4j
 */
#include <boltpool/bolt.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct bp_bolt_config config;
    struct bp_bolt *bolt = NULL;
    struct bp_result *result = NULL;
    const struct bp_value *row;

    bp_bolt_config_init(&config);
    config.url = argc > 1 ? argv[1] : "bolt://neo4j:secret@127.0.0.1:7687";
    int error = bp_bolt_open(&config, &bolt, NULL);
    if (error == 0)
        error = bp_bolt_run(bolt, "RETURN 'hello from Neo4j' AS greeting", NULL, NULL, &result);
    while (error == 0 && bp_result_next(result, &row) == 1)
        printf("%.*s\n", (int)row[0].as.text.size, row[0].as.text.data);
    if (error == 0)
        error = bp_result_free(result); /* also says what bp_result_next() failed with */
    bp_bolt_close(bolt);

    if (error != 0)
        fprintf(stderr, "%s: %s\n", bp_error_name(error), bp_error_text(error));
    return error == 0 ? 0 : 1;
}
