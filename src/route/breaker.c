/* See breaker.h. */
#include "route/breaker.h"

#include <math.h>
#include <stddef.h>

#define SET_BITS 5
/* 2^6 x 1 s is above the cap. */
#define DOUBLINGS_MAX 6

_Static_assert(BPI_ROUTE_BREAKERS == BPI_ROUTE_BREAKER_WAYS << SET_BITS, "set_of() gives SET_BITS");

static unsigned set_of(unsigned endpoint, uint64_t database)
{
    /* Fibonacci hashing (Knuth 6.4), the endpoint moved to where it changes the upper bits. */
    uint64_t key = database ^ ((uint64_t)(endpoint + 1) << 40);
    return (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - SET_BITS)) *
           BPI_ROUTE_BREAKER_WAYS;
}

/* Where it is; BPI_ROUTE_BREAKERS = nowhere. */
static unsigned
index_of(const struct bpi_route_breaker *breaker, unsigned endpoint, uint64_t database)
{
    unsigned first = set_of(endpoint, database);
    for (unsigned i = first; breaker->used_count > 0 && i < first + BPI_ROUTE_BREAKER_WAYS; i++) {
        const struct bpi_route_circuit *circuit = &breaker->circuits[i];
        if (circuit->is_used && circuit->endpoint == endpoint && circuit->database == database) {
            return i;
        }
    }
    return BPI_ROUTE_BREAKERS;
}

const struct bpi_route_circuit *
bpi_route_breaker_get(const struct bpi_route_breaker *breaker, unsigned endpoint, uint64_t database)
{
    unsigned index = index_of(breaker, endpoint, database);
    return index == BPI_ROUTE_BREAKERS ? NULL : &breaker->circuits[index];
}

static struct bpi_route_circuit *
find(struct bpi_route_breaker *breaker, unsigned endpoint, uint64_t database)
{
    unsigned index = index_of(breaker, endpoint, database);
    return index == BPI_ROUTE_BREAKERS ? NULL : &breaker->circuits[index];
}

static void state_set(struct bpi_route_breaker *breaker,
                      struct bpi_route_circuit *circuit,
                      enum bpi_route_circuit_state state)
{
    breaker->broken_count -= circuit->state != BPI_ROUTE_CIRCUIT_CLOSED ? 1 : 0;
    breaker->broken_count += state != BPI_ROUTE_CIRCUIT_CLOSED ? 1 : 0;
    circuit->state = state;
    circuit->probe = 0;
}

static void forget(struct bpi_route_breaker *breaker, struct bpi_route_circuit *circuit)
{
    state_set(breaker, circuit, BPI_ROUTE_CIRCUIT_CLOSED);
    *circuit = (struct bpi_route_circuit){0};
    breaker->used_count--;
}

static bool is_better_victim(const struct bpi_route_circuit *one,
                             const struct bpi_route_circuit *other)
{
    if (!one->is_used || !other->is_used) {
        return other->is_used;
    }
    bool one_closed = one->state == BPI_ROUTE_CIRCUIT_CLOSED;
    bool other_closed = other->state == BPI_ROUTE_CIRCUIT_CLOSED;
    return one_closed != other_closed ? one_closed : one->used_us < other->used_us;
}

static unsigned
create(struct bpi_route_breaker *breaker, unsigned endpoint, uint64_t database, bp_usec now_us)
{
    unsigned first = set_of(endpoint, database);
    unsigned victim = first;
    for (unsigned i = first; i < first + BPI_ROUTE_BREAKER_WAYS; i++) {
        if (is_better_victim(&breaker->circuits[i], &breaker->circuits[victim])) {
            victim = i;
        }
    }
    if (breaker->circuits[victim].is_used) {
        forget(breaker, &breaker->circuits[victim]);
    }
    breaker->circuits[victim] = (struct bpi_route_circuit){
        .is_used = true, .endpoint = endpoint, .database = database, .used_us = now_us};
    breaker->used_count++;
    return victim;
}

bool bpi_route_breaker_may(const struct bpi_route_breaker *breaker,
                           unsigned endpoint,
                           uint64_t database,
                           bp_usec now_us)
{
    if (breaker->broken_count == 0) {
        return true;
    }
    const struct bpi_route_circuit *circuit = bpi_route_breaker_get(breaker, endpoint, database);
    if (circuit == NULL || circuit->state == BPI_ROUTE_CIRCUIT_CLOSED) {
        return true;
    }
    return circuit->state == BPI_ROUTE_CIRCUIT_OPEN ? now_us >= circuit->until_us
                                                    : circuit->probe == 0;
}

uint32_t bpi_route_breaker_started(struct bpi_route_breaker *breaker,
                                   unsigned endpoint,
                                   uint64_t database,
                                   bp_usec now_us)
{
    if (breaker->broken_count == 0) {
        return 0;
    }
    struct bpi_route_circuit *circuit = find(breaker, endpoint, database);
    if (circuit == NULL || circuit->state == BPI_ROUTE_CIRCUIT_CLOSED) {
        return 0;
    }
    if (circuit->state == BPI_ROUTE_CIRCUIT_OPEN && now_us >= circuit->until_us) {
        state_set(breaker, circuit, BPI_ROUTE_CIRCUIT_HALF_OPEN);
    }
    if (circuit->state != BPI_ROUTE_CIRCUIT_HALF_OPEN || circuit->probe != 0) {
        return 0; /* nobody else takes this work, so it goes there all the same */
    }
    breaker->probe_last = breaker->probe_last == UINT32_MAX ? 1 : breaker->probe_last + 1;
    circuit->probe = breaker->probe_last;
    return circuit->probe;
}

static void open_circuit(struct bpi_route_breaker *breaker,
                         struct bpi_route_circuit *circuit,
                         double unit,
                         bp_usec now_us)
{
    bp_usec whole_us = BPI_ROUTE_BREAKER_US << circuit->times;
    if (whole_us > BPI_ROUTE_BREAKER_MAX_US) {
        whole_us = BPI_ROUTE_BREAKER_MAX_US;
    }
    if (circuit->times < DOUBLINGS_MAX) {
        circuit->times++;
    }
    state_set(breaker, circuit, BPI_ROUTE_CIRCUIT_OPEN);
    bp_usec half_us = whole_us / 2;
    circuit->until_us = now_us + half_us + (bp_usec)(unit * (double)(whole_us - half_us));
}

static void count(struct bpi_route_circuit *circuit, bool is_good, bp_usec now_us)
{
    if (now_us > circuit->used_us) {
        double kept = exp(-(double)(now_us - circuit->used_us) / (double)BPI_ROUTE_BREAKER_FADE_US);
        circuit->good *= kept;
        circuit->bad *= kept;
        circuit->used_us = now_us;
    }
    circuit->good += is_good ? 1 : 0;
    circuit->bad += is_good ? 0 : 1;
    circuit->row = is_good ? 0 : circuit->row + 1;
}

static bool is_broken(const struct bpi_route_circuit *circuit)
{
    return circuit->row >= BPI_ROUTE_BREAKER_ROW ||
           (circuit->good + circuit->bad >= BPI_ROUTE_BREAKER_MIN && circuit->good < circuit->bad);
}

enum bpi_route_breaker_step bpi_route_breaker_outcome(struct bpi_route_breaker *breaker,
                                                      unsigned endpoint,
                                                      uint64_t database,
                                                      bool is_good,
                                                      uint32_t probe,
                                                      double unit,
                                                      bp_usec now_us,
                                                      struct bpi_route_circuit *ret_circuit)
{
    unsigned index = index_of(breaker, endpoint, database);
    if (index == BPI_ROUTE_BREAKERS) {
        if (is_good) {
            return BPI_ROUTE_BREAKER_NOTHING;
        }
        index = create(breaker, endpoint, database, now_us);
    }
    struct bpi_route_circuit *circuit = &breaker->circuits[index];
    bool is_probe =
        circuit->state == BPI_ROUTE_CIRCUIT_HALF_OPEN && probe != 0 && circuit->probe == probe;
    count(circuit, is_good, now_us);
    if (circuit->state == BPI_ROUTE_CIRCUIT_CLOSED ? is_broken(circuit) : is_probe && !is_good) {
        open_circuit(breaker, circuit, unit, now_us);
        *ret_circuit = *circuit;
        return BPI_ROUTE_BREAKER_OPENED;
    }
    if (is_probe) {
        *ret_circuit = *circuit;
        forget(breaker, circuit);
        return BPI_ROUTE_BREAKER_CLOSED;
    }
    return BPI_ROUTE_BREAKER_NOTHING;
}

void bpi_route_breaker_void(struct bpi_route_breaker *breaker,
                            unsigned endpoint,
                            uint64_t database,
                            uint32_t probe)
{
    struct bpi_route_circuit *circuit = find(breaker, endpoint, database);
    if (circuit != NULL && probe != 0 && circuit->probe == probe) {
        circuit->probe = 0;
    }
}

void bpi_route_breaker_forget(struct bpi_route_breaker *breaker, unsigned endpoint)
{
    for (unsigned i = 0; i < BPI_ROUTE_BREAKERS; i++) {
        if (breaker->circuits[i].is_used && breaker->circuits[i].endpoint == endpoint) {
            forget(breaker, breaker->circuits + i);
        }
    }
}
