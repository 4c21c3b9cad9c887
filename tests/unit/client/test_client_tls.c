/* The client over TLS: who is trusted, and that bytes of any amount pass both ways. */
#include "../net/certificate.h"
#include "support.h"

static struct stage tls_stage(const struct certificates *certificates)
{
    return stage_up((struct bpi_sim_options){.tls_cert_file = certificates->chain_file,
                                             .tls_key_file = certificates->key_file});
}

static char *file_text(const char *name)
{
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static void the_authority_decides(void **state)
{
    struct certificates *certificates = *state;
    struct stage stage = tls_stage(certificates);
    struct bp_bolt_config config = stage_config(&stage);
    char url[64];
    struct bp_bolt *bolt;
    struct bp_failure failure;
    snprintf(url, sizeof(url), "bolt+s://localhost:%u", bpi_sim_port(stage.sim));
    config.url = url;
    /* Nobody has signed it whom the system trusts. */
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_TLS);
    assert_non_null(strstr(failure.text, "certificate"));
    assert_int_equal(failure.retryable, 0);
    config.tls_ca_file = certificates->ca_file;
    bolt = open_bolt(&config);
    assert_int_equal(one_int(bolt, "RETURN 1"), 1);
    bp_bolt_close(bolt);
    /* The same as text. */
    char *pem = file_text(certificates->ca_file);
    config.tls_ca_file = NULL;
    config.tls_ca_pem = pem;
    bp_bolt_close(open_bolt(&config));
    /* Another name than it bears, and the name it bears at another address. */
    config.tls_server_name = "other.example";
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_TLS);
    config.tls_server_name = "db.example";
    bp_bolt_close(open_bolt(&config));
    free(pem);
    /* Whatever it is. */
    config = stage_config(&stage);
    config.tls = BP_TLS_ANY;
    bp_bolt_close(open_bolt(&config));
    /* Without TLS the server doesn't talk. */
    config.tls = BP_TLS_NONE;
    assert_true(bp_bolt_open(&config, &bolt, &failure) < 0);
    stage_down(&stage);
}

static void a_key_of_ones_own_must_fit(void **state)
{
    struct certificates *certificates = *state;
    struct stage stage = tls_stage(certificates);
    struct bp_bolt_config config = stage_config(&stage);
    struct bp_bolt *bolt;
    struct bp_failure failure;
    config.tls = BP_TLS_ANY;
    config.tls_cert_file = certificates->chain_file;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    config.tls_key_file = certificates->other_key_file;
    assert_int_equal(bp_bolt_open(&config, &bolt, &failure), BP_E_CONFIG);
    config.tls_key_file = certificates->key_file;
    bp_bolt_close(open_bolt(&config));
    stage_down(&stage);
}

static void any_amount_passes_both_ways(void **state)
{
    struct certificates *certificates = *state;
    struct stage stage = tls_stage(certificates);
    struct bp_bolt_config config = stage_config(&stage);
    config.tls = BP_TLS_ANY;
    struct bp_bolt *bolt = open_bolt(&config);
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 70000, 5000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = malloc(sizes[i] + 1);
        assert_non_null(text);
        memset(text, 'x', sizes[i]);
        struct bp_params *params;
        assert_int_equal(bp_params_new(&params), 0);
        assert_int_equal(bp_params_text(params, "p", text, sizes[i]), 0);
        struct bp_result *result;
        const struct bp_value *row;
        assert_int_equal(bp_bolt_run(bolt, "RETURN $p AS p", params, NULL, &result), 0);
        assert_int_equal(bp_result_next(result, &row), 1);
        assert_int_equal(row[0].as.text.size, sizes[i]);
        assert_memory_equal(row[0].as.text.data, text, sizes[i]);
        assert_int_equal(bp_result_free(result), 0);
        bp_params_free(params);
        free(text);
    }
    int64_t rows, sum;
    struct bp_result *result = run(bolt, "UNWIND range(1, 20000) AS x RETURN x");
    assert_int_equal(drain(result, &rows, &sum), 0);
    assert_int_equal(rows, 20000);
    assert_int_equal(bp_result_free(result), 0);
    bp_bolt_close(bolt);
    stage_down(&stage);
}

static void a_handshake_that_is_cut_is_an_error(void **state)
{
    struct certificates *certificates = *state;
    struct stage stage = tls_stage(certificates);
    struct bp_bolt_config config = stage_config(&stage);
    config.tls = BP_TLS_ANY;
    struct bp_bolt *bolt;
    for (unsigned cut = 1; cut < 4000; cut += 37) {
        char script[32];
        snprintf(script, sizeof(script), "drop=%u", cut);
        assert_int_equal(bpi_sim_fault(stage.sim, script), 0);
        int error = bp_bolt_open(&config, &bolt, NULL);
        if (error == 0) {
            bp_bolt_close(bolt);
        }
        assert_true(error == 0 || error == BP_E_TLS || error == BP_E_SERVER_LOST ||
                    error == UV_ECONNRESET);
    }
    assert_int_equal(bpi_sim_fault(stage.sim, "none"), 0);
    bp_bolt_close(open_bolt(&config));
    stage_down(&stage);
}

static int group_setup(void **state)
{
    static struct certificates certificates;
    certificates_make(&certificates);
    *state = &certificates;
    return 0;
}

static int group_teardown(void **state)
{
    certificates_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_authority_decides),
        cmocka_unit_test(a_key_of_ones_own_must_fit),
        cmocka_unit_test(any_amount_passes_both_ways),
        cmocka_unit_test(a_handshake_that_is_cut_is_an_error),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
