/* Explicit transactions: commit, failure, rollback.
 *
 *     ./transaction bolt://neo4j:secret@127.0.0.1:7687
 *
 * Prints:
 *
 *     moved 30: ann 70, bob 30
 *     refused: Neo.ClientError.Statement.ArithmeticError (no retry helps)
 *     state: failed; after the rollback: ready
 *     given up: ann 70, bob 30
 */
#include <boltpool/bolt.h>
#include <inttypes.h>
#include <stdio.h>

/* Runs a query to its end; nobody wants its rows. */
static int run(struct bp_bolt *bolt, const char *query, const struct bp_params *params)
{
    struct bp_result *result = NULL;
    struct bp_summary summary;
    int error = bp_bolt_run(bolt, query, params, NULL, &result);
    if (error != 0)
        return error;
    error = bp_result_summary(result, &summary); /* also: what was written, how long it took */
    int freed = bp_result_free(result);
    return error != 0 ? error : freed;
}

/* Moves `amount` from ann to bob, in the open transaction. */
static int move(struct bp_bolt *bolt, int64_t amount)
{
    struct bp_params *params = NULL;
    int error = bp_params_new(&params);
    if (error == 0)
        error = bp_params_int(params, "amount", amount);
    if (error == 0)
        error = run(bolt, "MATCH (a:BpAccount {name: 'ann'}) SET a.balance = a.balance - $amount",
                    params);
    if (error == 0)
        error = run(bolt, "MATCH (b:BpAccount {name: 'bob'}) SET b.balance = b.balance + $amount",
                    params);
    bp_params_free(params);
    return error;
}

static int show(struct bp_bolt *bolt, const char *what)
{
    struct bp_result *result = NULL;
    const struct bp_value *row;
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.access = BP_ACCESS_READ;
    const char *separator = ":";
    int error = bp_bolt_run(bolt, "MATCH (a:BpAccount) RETURN a.name, a.balance ORDER BY a.name",
                            NULL, &options, &result);
    if (error != 0)
        return error;
    printf("%s", what);
    while (bp_result_next(result, &row) == 1) {
        printf("%s %.*s %" PRId64, separator, (int)row[0].as.text.size, row[0].as.text.data,
               row[1].as.integer);
        separator = ",";
    }
    printf("\n");
    return bp_result_free(result);
}

static const char *state_name(struct bp_bolt *bolt)
{
    static const char *const names[] = {"ready", "streaming", "transaction", "failed", "lost"};
    return names[bp_bolt_get_state(bolt)];
}

static int story(struct bp_bolt *bolt)
{
    /* What the server shows of it in SHOW TRANSACTIONS, and when it ends it by itself. */
    struct bp_params *metadata = NULL;
    struct bp_tx_options options = BP_TX_OPTIONS_INIT;
    options.timeout_ms = 10000;
    int error = bp_params_new(&metadata);
    if (error == 0)
        error = bp_params_string(metadata, "application", "accounts");
    options.metadata = metadata;

    if (error == 0)
        error = bp_bolt_begin(bolt, &options);
    if (error == 0)
        error = move(bolt, 30);
    if (error == 0)
        error = bp_bolt_commit(bolt);
    if (error == 0)
        error = show(bolt, "moved 30");

    /* A failure leaves the transaction to be rolled back; nothing else is possible in it. */
    if (error == 0)
        error = bp_bolt_begin(bolt, &options);
    if (error == 0)
        error = move(bolt, 50);
    if (error == 0) {
        int refused = run(bolt, "RETURN 1 / 0", NULL);
        const struct bp_failure *failure = bp_bolt_failure(bolt);
        if (refused != BP_E_SERVER_FAILURE) {
            error = refused != 0 ? refused : BP_E_INTERNAL;
        } else {
            printf("refused: %s (%s)\n", failure->code,
                   failure->retryable ? "try again" : "no retry helps");
            printf("state: %s; ", state_name(bolt));
            error = bp_bolt_rollback(bolt);
            printf("after the rollback: %s\n", state_name(bolt));
        }
    }
    if (error == 0)
        error = show(bolt, "given up");
    bp_params_free(metadata);
    return error;
}

int main(int argc, char **argv)
{
    struct bp_bolt_config config;
    struct bp_failure failure;
    struct bp_bolt *bolt;
    if (argc != 2) {
        fprintf(stderr, "usage: transaction URL\n");
        return 2;
    }
    bp_bolt_config_init(&config);
    config.url = argv[1];
    if (bp_bolt_open(&config, &bolt, &failure) != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], failure.text);
        return 1;
    }
    int error = run(bolt, "MATCH (a:BpAccount) DELETE a", NULL);
    if (error == 0)
        error = run(bolt,
                    "CREATE (:BpAccount {name: 'ann', balance: 100}), (:BpAccount {name: 'bob', "
                    "balance: 0})",
                    NULL);
    if (error == 0)
        error = story(bolt);
    if (error == 0)
        error = run(bolt, "MATCH (a:BpAccount) DELETE a", NULL);
    if (error != 0)
        fprintf(stderr, "%s: %s\n", bp_error_name(error), bp_bolt_failure(bolt)->text);
    bp_bolt_close(bolt);
    return error == 0 ? 0 : 1;
}
