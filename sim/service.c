/* See service.h. */
#include "sim/service.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An hour: what is longer is a mistake in the text, and hang=1 exists for "never". */
#define SERVICE_MAX_US 3.6e9
#define TWO_PI         6.283185307179586

/* "5ms" up to the end or a colon; NULL where it is none. */
static const char *span_parse(const char *text, double *ret_us)
{
    char *unit;
    double value = strtod(text, &unit);
    if (unit == text || !(value >= 0)) {
        return NULL;
    }
    size_t size = strcspn(unit, ":");
    if (size == 2 && strncmp(unit, "us", 2) == 0) {
        *ret_us = value;
    } else if (size == 2 && strncmp(unit, "ms", 2) == 0) {
        *ret_us = value * 1e3;
    } else if (size == 1 && *unit == 's') {
        *ret_us = value * 1e6;
    } else if (size == 0 && !(value > 0)) {
        *ret_us = 0;
    } else {
        return NULL;
    }
    return *ret_us <= SERVICE_MAX_US ? unit + size : NULL;
}

bool bpi_sim_service_parse(const char *text, struct bpi_sim_service *ret_service)
{
    static const struct {
        const char *name;
        enum bpi_sim_spread spread;
    } spreads[] = {
        {"fixed:", BPI_SIM_FIXED},
        {"exp:", BPI_SIM_EXPONENTIAL},
        {"lognormal:", BPI_SIM_LOGNORMAL},
    };
    struct bpi_sim_service service = {.spread = BPI_SIM_FIXED};
    for (size_t i = 0; i < sizeof(spreads) / sizeof(spreads[0]); i++) {
        size_t size = strlen(spreads[i].name);
        if (strncmp(text, spreads[i].name, size) == 0) {
            service.spread = spreads[i].spread;
            text += size;
            break;
        }
    }
    text = span_parse(text, &service.mean_us);
    if (text == NULL) {
        return false;
    }
    if (*text == ':' && service.spread == BPI_SIM_LOGNORMAL) {
        char *end;
        service.sigma = strtod(text + 1, &end);
        if (end == text + 1 || !(service.sigma > 0) || service.sigma > 4) {
            return false;
        }
        text = end;
    }
    if (*text != '\0') {
        return false;
    }
    *ret_service = service;
    return true;
}

bp_usec bpi_sim_service_draw(const struct bpi_sim_service *service, struct bpi_random *random)
{
    double us = service->mean_us;
    if (!(us > 0)) {
        return 0;
    }
    if (service->spread == BPI_SIM_EXPONENTIAL) {
        us = bpi_random_exponential(random, us);
    } else if (service->spread == BPI_SIM_LOGNORMAL) {
        double sigma = service->sigma > 0 ? service->sigma : 1.0;
        /* Box and Muller; 1-u keeps the logarithm finite. */
        double normal =
            sqrt(-2 * log1p(-bpi_random_unit(random))) * cos(TWO_PI * bpi_random_unit(random));
        us *= exp(sigma * normal - sigma * sigma / 2);
    }
    return us < SERVICE_MAX_US ? (bp_usec)us : (bp_usec)SERVICE_MAX_US;
}
