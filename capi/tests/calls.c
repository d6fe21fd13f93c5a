/* One kind of call, many times: for counting the instructions of a call (ci/capi-calls.sh).
 *
 * Usage: calls DUMP WHAT COUNT
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkdumpfile/kdumpfile.h>

int main(int argc, char **argv)
{
	kdump_ctx_t *ctx = kdump_new();
	addrxlat_ctx_t *axctx = NULL;
	addrxlat_sys_t *axsys = NULL;
	addrxlat_cb_t *cb = NULL;
	kdump_addrspace_t space = KDUMP_MACHPHYSADDR;
	kdump_addr_t addr = 0, virtual_addr;
	kdump_attr_t attr, pagemap;
	kdump_attr_ref_t ref;
	unsigned long count, i;
	unsigned char bytes[8];
	const char *what;
	size_t length;
	int fd;

	if (argc != 4)
		return 2;
	what = argv[2];
	count = strtoul(argv[3], NULL, 0);
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || kdump_open_fd(ctx, fd) != KDUMP_OK ||
	    kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux") != KDUMP_OK ||
	    kdump_vmcoreinfo_symbol(ctx, "init_uts_ns", &virtual_addr) != KDUMP_OK ||
	    kdump_attr_ref(ctx, "max_pfn", &ref) != KDUMP_OK ||
	    kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &pagemap) != KDUMP_OK ||
	    kdump_bmp_find_set(pagemap.val.bitmap, &addr) != KDUMP_OK) {
		fprintf(stderr, "%s\n", kdump_get_err(ctx));
		return 2;
	}
	addr *= 4096;
	if (strncmp(what, "virtual", 7) == 0) {
		space = KDUMP_KVADDR;
		addr = virtual_addr;
	}
	/* The translation is in a client's hands, or goes through a client. */
	if (strstr(what, "handed") || strstr(what, "callback"))
		if (kdump_get_addrxlat(ctx, &axctx, &axsys) != KDUMP_OK)
			return 2;
	if (strstr(what, "callback"))
		cb = addrxlat_ctx_add_cb(axctx);

	if (!strcmp(what, "nothing")) {
		/* The call that does nothing but come and go. */
		for (i = 0; i < count; ++i)
			kdump_clear_err(ctx);
	} else if (!strcmp(what, "get-number")) {
		for (i = 0; i < count; ++i)
			if (kdump_get_attr(ctx, "arch.page_size", &attr) != KDUMP_OK)
				return 1;
	} else if (!strcmp(what, "get-string")) {
		for (i = 0; i < count; ++i)
			if (kdump_get_attr(ctx, "linux.uts.release", &attr) != KDUMP_OK)
				return 1;
	} else if (!strcmp(what, "get-reference")) {
		for (i = 0; i < count; ++i)
			if (kdump_attr_ref_get(ctx, &ref, &attr) != KDUMP_OK)
				return 1;
	} else {
		for (i = 0; i < count; ++i) {
			length = sizeof(bytes);
			if (kdump_read(ctx, space, addr, bytes, &length) != KDUMP_OK) {
				fprintf(stderr, "%s\n", kdump_get_err(ctx));
				return 1;
			}
		}
	}
	if (cb)
		addrxlat_ctx_del_cb(axctx, cb);
	if (axctx) {
		addrxlat_ctx_decref(axctx);
		addrxlat_sys_decref(axsys);
	}
	kdump_free(ctx);
	return 0;
}
