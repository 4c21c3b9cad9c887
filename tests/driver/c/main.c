/* Runs the shared scenarios (../scenarios.md) with boltpool's own client.
 *
 * usage: driver_c [--ca FILE] [--only REGEX] [--times] URI USER PASSWORD
 *
 * Prints one JSON object {scenario: result}; a scenario that fails by itself has the result {"!": "what happened"}.
 */
#include "env.h"

#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

static const struct scenario *const GROUPS[] = {
    values_scenarios, transaction_scenarios, work_scenarios,    result_scenarios,
    error_scenarios,  identity_scenarios,    summary_scenarios,
};

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: driver_c [--ca FILE] [--only REGEX] [--times] URI USER PASSWORD\n");
    return 2;
}

/* One scenario; one that breaks must not hide the others. */
static json_t *attempt(struct env *e, const struct scenario *scenario)
{
    env_next(e, scenario->name);
    json_t *result = scenario->run(e);
    if (!failed(e) && result == NULL) {
        fail(e, "a result that is no JSON");
    }
    if (failed(e)) {
        json_decref(result);
        result = json_pack("{s:s}", "!", e->problem);
        result = result != NULL ? result : json_pack("{s:s}", "!", "a problem that is not UTF-8");
    }
    return result;
}

int main(int count, char **arguments)
{
    static const struct option OPTIONS[] = {
        {"ca", required_argument, NULL, 'c'},
        {"only", required_argument, NULL, 'o'},
        {"times", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    struct env e = {0};
    const char *only = "";
    bool has_times = false;
    int option;
    while ((option = getopt_long(count, arguments, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'c':
            e.ca_file = optarg;
            break;
        case 'o':
            only = optarg;
            break;
        case 't':
            has_times = true;
            break;
        default:
            return usage();
        }
    }
    regex_t wanted;
    if (count - optind != 3 || regcomp(&wanted, only, REG_EXTENDED | REG_NOSUB) != 0) {
        return usage();
    }
    e.uri = arguments[optind];
    e.user = arguments[optind + 1];
    e.password = arguments[optind + 2];
    if (!env_init(&e)) {
        (void)fprintf(stderr, "%s\n", e.problem);
        return 1;
    }
    json_t *found = json_object();
    for (size_t group = 0; group < sizeof(GROUPS) / sizeof(GROUPS[0]); group++) {
        for (const struct scenario *scenario = GROUPS[group]; scenario->name != NULL; scenario++) {
            if (regexec(&wanted, scenario->name, 0, NULL, 0) != 0) {
                continue;
            }
            bp_usec began_us = bp_now_us();
            (void)json_object_set_new(found, scenario->name, attempt(&e, scenario));
            if (has_times) {
                double seconds = (double)(bp_now_us() - began_us) / 1e6;
                (void)fprintf(stderr, "%7.2f s  %s\n", seconds, scenario->name);
            }
        }
    }
    env_done(&e);
    int error = json_dumpf(found, stdout, JSON_COMPACT) != 0 || fflush(stdout) != 0;
    json_decref(found);
    regfree(&wanted);
    return error == 0 && !failed(&e) ? 0 : 1;
}
