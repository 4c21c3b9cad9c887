/* See clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

bp_usec bpi_clock_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (bp_usec)now.tv_sec * BP_USEC_PER_SECOND + (bp_usec)now.tv_nsec / 1000;
}

int64_t bpi_clock_wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void bpi_clock_format(int64_t wall_us, char *text, size_t size)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
             (int)(wall_us / 1000 % 1000));
}
