/* Input: a query. Shown: its shape is no longer than it and fits into its room; blanks at its end make no difference;
 * and a query that ends in a number has the shape of one that ends in another.
 */
#include "fuzz.h"

#include "proxy/learn.h"

static size_t shape(const uint8_t *data, size_t size, char *text)
{
    size_t used = bpi_learn_normalise((const char *)data, size, text);
    FUZZ_CHECK(used <= size && used <= BPI_LEARN_TEXT_BYTES);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *query = malloc(size + 8);
    char *text = malloc(BPI_LEARN_TEXT_BYTES);
    char *other = malloc(BPI_LEARN_TEXT_BYTES);
    FUZZ_CHECK(query != NULL && text != NULL && other != NULL);
    uint8_t *exact = fuzz_copy(data, size);
    (void)shape(exact, size, text);
    free(exact);
    if (size + 8 <= BPI_LEARN_TEXT_BYTES) {
        if (size > 0) {
            memcpy(query, data, size);
        }
        /* The quote and the comment that may be open end here or swallow both numbers. */
        memcpy(query + size, "\n = 17 ", 7);
        size_t first = shape(query, size + 7, text);
        memcpy(query + size, "\n = 203", 7);
        size_t second = shape(query, size + 7, other);
        bool is_name = memchr(text, '`', first) != NULL; /* what stands in back-quotes stays */
        FUZZ_CHECK(is_name || (first == second && memcmp(text, other, first) == 0));
    }
    free(query);
    free(text);
    free(other);
    return 0;
}
