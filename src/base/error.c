/* The error table of <boltpool/error.h> as functions. */
#include <boltpool/error.h>

#include <boltpool/version.h>

#include <uv.h>

const char *bp_version(void)
{
    return BP_VERSION_STRING;
}

const char *bp_error_name(int error)
{
    switch (error) {
    case 0:
        return "OK";
#define BP_ERROR_NAME(name, number, retryable, code, text)                                         \
    case number:                                                                                   \
        return "BP_E_" #name;
        BP_ERRORS(BP_ERROR_NAME)
#undef BP_ERROR_NAME
    default:
        return error < 0 && error >= -4095 ? uv_err_name(error) : "unknown";
    }
}

const char *bp_error_text(int error)
{
    switch (error) {
    case 0:
        return "no error";
#define BP_ERROR_TEXT(name, number, retryable, code, text)                                         \
    case number:                                                                                   \
        return text;
        BP_ERRORS(BP_ERROR_TEXT)
#undef BP_ERROR_TEXT
    default:
        return error < 0 && error >= -4095 ? uv_strerror(error) : "unknown error";
    }
}

int bp_error_retryable(int error)
{
    switch (error) {
#define BP_ERROR_RETRY(name, number, retryable, code, text)                                        \
    case number:                                                                                   \
        return retryable;
        BP_ERRORS(BP_ERROR_RETRY)
#undef BP_ERROR_RETRY
    default:
        return 0;
    }
}

const char *bp_error_neo4j_code(int error)
{
    switch (error) {
#define BP_ERROR_CODE(name, number, retryable, code, text)                                         \
    case number:                                                                                   \
        return code;
        BP_ERRORS(BP_ERROR_CODE)
#undef BP_ERROR_CODE
    default:
        return "Neo.DatabaseError.General.UnknownError";
    }
}
