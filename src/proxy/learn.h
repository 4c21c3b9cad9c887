/* Which queries always take long.
 *
 * A query's shape is its text without what differs from call to call: bpi_learn_normalise() says how. The table
 * holds the shapes whose last transaction was slow, and how many in a row were; one that was quick puts
 * its shape out. So a shape is slow once BPI_LEARN_RUN transactions in a row were, until the first quick one;
 * and quick queries, of whatever shapes, never push a slow one out.
 *
 * Memory: BPI_LEARN_SHAPES entries of 16 bytes, 32 KiB for each loop, in the worker itself. A shape has its place
 * in one of the sets of BPI_LEARN_WAYS; where a set is full, the entry whose last transaction is the longest ago
 * goes. Two shapes are told apart by 64 bits of a keyed hash that the caller makes.
 *
 * Owner: the worker's loop; each learns for itself, and no lock is taken.
 */
#ifndef BPI_PROXY_LEARN_H
#define BPI_PROXY_LEARN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fewer would take a bad minute of the server for a query's nature; more learns later. */
#define BPI_LEARN_RUN    8
#define BPI_LEARN_SHAPES 2048
#define BPI_LEARN_WAYS   4
/* What comes behind in a query isn't looked at. */
#define BPI_LEARN_TEXT_BYTES 4096

struct bpi_learn {
    uint64_t ticks;
    struct {
        uint64_t shape;     /* 0 = free */
        uint64_t used : 56; /* the tick of its last transaction */
        uint64_t run : 8;   /* slow ones in a row, at most BPI_LEARN_RUN */
    } entries[BPI_LEARN_SHAPES];
};

/* Writes the query's shape to ret_text, at most BPI_LEARN_TEXT_BYTES, and returns its size. Of the first
 * BPI_LEARN_TEXT_BYTES of the query:
 *   - blanks, line ends and comments go, but for one blank between two words;
 *   - a text in quotes, or a number that is no part of a name, becomes `?`; a list of them becomes one `?`,
 *     however long it is;
 *   - names, parameters ($1), names in back-quotes and all else stay as they are, capitals too. */
size_t bpi_learn_normalise(const char *query, size_t size, char ret_text[BPI_LEARN_TEXT_BYTES]);

/* A transaction that began with that shape ended. 0 is none. */
void bpi_learn_note(struct bpi_learn *learn, uint64_t shape, bool is_slow);
/* Whether the last BPI_LEARN_RUN were all slow. */
bool bpi_learn_is_slow(const struct bpi_learn *learn, uint64_t shape);

#endif
