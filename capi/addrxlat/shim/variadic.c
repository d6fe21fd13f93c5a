/* addrxlat_ctx_err: the one variadic function of libaddrxlat. */
#include "message.h"

struct _addrxlat_ctx;

/* Defined in Rust, not exported. */
char *addrxlat_shim_room(struct _addrxlat_ctx *ctx, size_t length);
void addrxlat_shim_cut(struct _addrxlat_ctx *ctx, const char *start, size_t length);

int addrxlat_ctx_err(struct _addrxlat_ctx *ctx, int status, const char *msgfmt, ...)
{
    if (status && ctx && msgfmt)
        ADD_MESSAGE(ctx, msgfmt, msgfmt, addrxlat_shim_room, addrxlat_shim_cut, 64);
    return status;
}
