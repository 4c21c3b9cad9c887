/* Whether one of a few numbers lies apart from the others.
 *
 * Against the others, not against all: with five endpoints the one outlier widens the deviation of all so much that it
 * never lies 1.9 of them away (Envoy's success-rate rule, which is for at least five hosts, has that flaw).
 *
 * Pure; bounded by `count` squared at most.
 */
#ifndef BPI_ROUTE_OUTLIER_H
#define BPI_ROUTE_OUTLIER_H

#include <stdbool.h>

/* Envoy's default: of normally distributed shares one in thirty-five lies that low. */
#define BPI_ROUTE_OUTLIER_DEVIATIONS 1.9
/* The others may be so equal that their deviation is nothing; doubled, two endpoints are told apart only when one of
 * them fails a fifth of its work more. */
#define BPI_ROUTE_OUTLIER_MARGIN 0.1

/* values[index] lies below the others' mean by more than the deviations and the margin; *ret_against is the value that
 * it had to reach. Never true for one alone. */
bool bpi_route_outlier_low(const double *values,
                           unsigned count,
                           unsigned index,
                           double *ret_against);
/* The median of all but values[index], the upper one of two; 0 where there is no other. */
double bpi_route_outlier_median(const double *values, unsigned count, unsigned index);

#endif
