/* See outlier.h. */
#include "route/outlier.h"

#include <math.h>

bool bpi_route_outlier_low(const double *values,
                           unsigned count,
                           unsigned index,
                           double *ret_against)
{
    if (count < 2) {
        return false;
    }
    double sum = 0;
    double squares = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += i == index ? 0 : values[i];
        squares += i == index ? 0 : values[i] * values[i];
    }
    double others = count - 1;
    double mean = sum / others;
    double variance = squares / others - mean * mean;
    double apart = variance > 0 ? BPI_ROUTE_OUTLIER_DEVIATIONS * sqrt(variance) : 0;
    double bound = mean - (apart > BPI_ROUTE_OUTLIER_MARGIN ? apart : BPI_ROUTE_OUTLIER_MARGIN);
    if (values[index] >= bound) {
        return false;
    }
    *ret_against = bound;
    return true;
}

double bpi_route_outlier_median(const double *values, unsigned count, unsigned index)
{
    unsigned rank = count < 2 ? 0 : (count - 1) / 2;
    for (unsigned i = 0; i < count; i++) {
        if (i == index) {
            continue;
        }
        unsigned below = 0;
        for (unsigned j = 0; j < count; j++) {
            bool is_below = values[j] < values[i] || (values[j] == values[i] && j < i);
            below += j != index && j != i && is_below ? 1 : 0;
        }
        if (below == rank) {
            return values[i];
        }
    }
    return 0;
}
