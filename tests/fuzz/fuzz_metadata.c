/* Input: a byte of choices, then tx_metadata as a client could send it. Shown: a class, a priority and a name come
 * out whatever it is; no claim passes its cap; a tenant lies inside the input; and a rule stands
 * above all of it.
 */
#include "fuzz.h"

#include "proxy/classify.h"

static struct bpi_config *parsed(const char *sections)
{
    struct bpi_config *config = NULL;
    char text[512];
    char why[512];
    snprintf(text, sizeof(text), "[cluster a]\nendpoints = bolt://h\n%s", sections);
    FUZZ_CHECK(bpi_config_parse("fuzz", text, &config, why, sizeof(why)) == 0);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bpi_config *open;
    static struct bpi_config *ruled;
    if (open == NULL) {
        open = parsed("[users]\nmax_priority = high\nclasses = read_only, analytics\n");
        ruled =
            parsed("[rule r]\nclass = maintenance\npriority = low\ndeadline = 1s\ntenant = t\n");
    }
    uint8_t choice = fuzz_byte(&data, &size);
    uint8_t *copy = fuzz_copy(data, size);
    struct bpi_operation operation = {
        .user = "u",
        .application = "a",
        .tx = {.mode_read = (choice & 1) != 0, .metadata = {copy, size}},
        .is_explicit = (choice & 2) != 0,
        .tenant_by = (enum bpi_tenant_by)(choice >> 2 & 3) % 3,
    };
    struct bpi_classified is = bpi_classify(open, &operation);
    FUZZ_CHECK(is.name != NULL && is.priority <= BPI_PRIORITY_HIGH);
    FUZZ_CHECK(is.class_ != BPI_CLASS_MAINTENANCE);
    FUZZ_CHECK(is.class_ != BPI_CLASS_HIGH_PRIORITY || is.priority == BPI_PRIORITY_HIGH);
    FUZZ_CHECK(is.sheddable == operation.is_explicit);
    if (operation.tenant_by == BPI_TENANT_CLAIM && is.tenant.data != NULL) {
        const uint8_t *tenant = (const uint8_t *)is.tenant.data;
        FUZZ_CHECK(tenant >= copy && is.tenant.size < BPI_CONFIG_TENANT_BYTES &&
                   tenant + is.tenant.size <= copy + size);
    }
    is = bpi_classify(ruled, &operation);
    FUZZ_CHECK(is.class_ == BPI_CLASS_MAINTENANCE && is.priority == BPI_PRIORITY_LOW);
    FUZZ_CHECK(is.deadline_us == BP_USEC_PER_SECOND && bpi_bolt_text_is(is.tenant, "t"));
    FUZZ_CHECK(is.lowered == 0);
    free(copy);
    return 0;
}
