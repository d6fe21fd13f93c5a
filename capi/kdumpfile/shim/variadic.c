/* kdump_err: the one variadic function of libkdumpfile. */
#include <errno.h>
#include "message.h"

struct _kdump_ctx;

/* Defined in Rust, not exported. */
void kdump_shim_begin(struct _kdump_ctx *ctx, unsigned status, int error);
char *kdump_shim_room(struct _kdump_ctx *ctx, size_t length);
void kdump_shim_cut(struct _kdump_ctx *ctx, const char *start, size_t length);

unsigned kdump_err(struct _kdump_ctx *ctx, unsigned status, const char *msgfmt, ...)
{
    int error = errno;

    if (status && ctx && msgfmt) {
        kdump_shim_begin(ctx, status, error);
        errno = error; /* for %m */
        ADD_MESSAGE(ctx, msgfmt, msgfmt, kdump_shim_room, kdump_shim_cut, 160);
    }
    return status;
}
