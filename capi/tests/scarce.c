/* All that one does with a dump, while memory runs out at one place after the other.
 *
 * Usage: scarce DUMP [EVERY], with a dump of x86_64 Linux that has VMCOREINFO.
 *
 * Memory is refused from the N-th allocation of a round on, for each N (or each EVERY-th) until a round needs
 * no more than that. Nothing may end the program; what works must be right, and what does not says so. After
 * each round memory is there again, and then all must work with the same objects.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkdumpfile/kdumpfile.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

static long left = -1; /* allocations that are still granted; negative: all */
static unsigned long refused;

static int granted(void)
{
	if (left == 0) {
		++refused;
		return 0;
	}
	if (left > 0)
		--left;
	return 1;
}

void *malloc(size_t size)
{
	return granted() ? __libc_malloc(size) : (errno = ENOMEM, NULL);
}

void *calloc(size_t count, size_t size)
{
	return granted() ? __libc_calloc(count, size) : (errno = ENOMEM, NULL);
}

void *realloc(void *block, size_t size)
{
	return granted() ? __libc_realloc(block, size) : (errno = ENOMEM, NULL);
}

int posix_memalign(void **place, size_t align, size_t size)
{
	*place = granted() ? __libc_memalign(align, size) : NULL;
	return *place ? 0 : ENOMEM;
}

void *aligned_alloc(size_t align, size_t size)
{
	return granted() ? __libc_memalign(align, size) : (errno = ENOMEM, NULL);
}

static unsigned failures;
static unsigned long statuses[16], nulls;

static void complain(int line, const char *what)
{
	++failures;
	fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
}

#define CHECK(what) \
	do { \
		if (!(what)) \
			complain(__LINE__, #what); \
	} while (0)

static int fd;
static unsigned char right[2][8192];
static kdump_addr_t place[2];
static char *right_raw;

/* Counts a status; whether the call worked. */
static int works(kdump_ctx_t *ctx, kdump_status status, int line)
{
	++statuses[status & 15];
	if (status != KDUMP_OK && !kdump_get_err(ctx))
		complain(line, "no message");
	if (status != KDUMP_OK && left < 0) {
		complain(line, "memory is there");
		fprintf(stderr, "\t%s\n", kdump_get_err(ctx));
	}
	return status == KDUMP_OK;
}
#define WORKS(call) works(ctx, call, __LINE__)

/* What is asked of an open dump. */
static void use(kdump_ctx_t *ctx)
{
	unsigned char bytes[8192];
	kdump_attr_t attr;
	kdump_num_t num;
	kdump_attr_iter_t iter;
	kdump_attr_ref_t ref;
	kdump_blob_t *blob;
	kdump_ctx_t *clone;
	addrxlat_ctx_t *axctx;
	addrxlat_sys_t *axsys;
	addrxlat_fulladdr_t addr;
	addrxlat_cb_t *cb;
	size_t length;
	char *text;
	unsigned i;

	for (i = 0; i < 2; ++i) {
		length = sizeof(bytes);
		memset(bytes, 0x55, sizeof(bytes));
		if (WORKS(kdump_read(ctx, i ? KDUMP_KVADDR : KDUMP_MACHPHYSADDR, place[i], bytes, &length)))
			CHECK(length == sizeof(bytes));
		CHECK(length <= sizeof(bytes) && !memcmp(bytes, right[i], length));
	}
	text = NULL;
	if (WORKS(kdump_read_string(ctx, KDUMP_KVADDR, place[1] + 4, &text)))
		CHECK(text && !strcmp(text, (char *)right[1] + 4));
	free(text);
	text = NULL;
	if (WORKS(kdump_vmcoreinfo_raw(ctx, &text)))
		CHECK(text && (!right_raw || !strcmp(text, right_raw)));
	free(text);
	text = NULL;
	if (WORKS(kdump_vmcoreinfo_line(ctx, "PAGESIZE", &text)))
		CHECK(text && !strcmp(text, "4096"));
	free(text);
	if (WORKS(kdump_get_number_attr(ctx, KDUMP_ATTR_PAGE_SIZE, &num)))
		CHECK(num == 4096);
	if (WORKS(kdump_get_attr(ctx, "linux.uts.sysname", &attr)))
		CHECK(!strcmp(attr.val.string, "Linux"));
	if (WORKS(kdump_set_string_attr(ctx, "linux.uts.domainname", "where-nobody-is")) &&
	    WORKS(kdump_get_attr(ctx, "linux.uts.domainname", &attr)))
		CHECK(!strcmp(attr.val.string, "where-nobody-is"));
	if (WORKS(kdump_get_attr(ctx, "memory.pagemap", &attr)))
		kdump_bmp_find_set(attr.val.bitmap, &(kdump_addr_t){ 0 });
	WORKS(kdump_set_number_attr(ctx, "cache.size", 64 + (num & 1)));
	if (WORKS(kdump_attr_iter_start(ctx, "linux.uts", &iter)))
		while (iter.key && WORKS(kdump_attr_iter_next(ctx, &iter)))
			;
	if (WORKS(kdump_attr_ref(ctx, "linux.uts.machine", &ref)) && WORKS(kdump_attr_ref_get(ctx, &ref, &attr)))
		CHECK(attr.type == KDUMP_STRING);

	blob = kdump_blob_new_dup("PAGESIZE=4096\nSYMBOL(x)=12\n", 27);
	if (blob) {
		attr.type = KDUMP_BLOB;
		attr.val.blob = blob;
		kdump_blob_incref(blob);
		WORKS(kdump_set_attr(ctx, "xen.vmcoreinfo.raw", &attr));
		/* Its reference went with the value, whatever became of that, but not if nothing was begun. */
		if (WORKS(kdump_get_attr(ctx, "xen.vmcoreinfo.SYMBOL.x", &attr)))
			CHECK(attr.val.address == 0x12);
		WORKS(kdump_clear_attr(ctx, "xen.vmcoreinfo.raw"));
		while (kdump_blob_decref(blob))
			;
	} else {
		++nulls;
	}

	clone = kdump_clone(ctx, i & 1 ? KDUMP_CLONE_XLAT : 0);
	nulls += !clone;
	if (clone) {
		length = 8;
		if (kdump_read(clone, KDUMP_KVADDR, place[1], bytes, &length) == KDUMP_OK)
			CHECK(!memcmp(bytes, right[1], 8));
		kdump_free(clone);
	}

	if (WORKS(kdump_get_addrxlat(ctx, &axctx, &axsys))) {
		cb = addrxlat_ctx_add_cb(axctx);
		addr.as = ADDRXLAT_KVADDR;
		addr.addr = place[1];
		if (addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx, axsys) == ADDRXLAT_OK)
			CHECK(addr.as == ADDRXLAT_MACHPHYSADDR);
		length = 8;
		if (WORKS(kdump_read(ctx, KDUMP_KVADDR, place[1], bytes, &length)))
			CHECK(!memcmp(bytes, right[1], 8));
		if (cb)
			addrxlat_ctx_del_cb(axctx, cb);
		addrxlat_ctx_decref(axctx);
		addrxlat_sys_decref(axsys);
	}
	kdump_err(ctx, KDUMP_ERR_SYSTEM, "a message of some %d characters %s", 200, right_raw ? right_raw : "");
	CHECK(kdump_get_err(ctx));
	kdump_clear_err(ctx);
}

static kdump_ctx_t *all(void)
{
	kdump_ctx_t *ctx = kdump_new();

	if (!ctx) {
		++nulls;
		return NULL;
	}
	WORKS(kdump_set_number_attr(ctx, "file.mmap_policy", KDUMP_MMAP_NEVER));
	if (WORKS(kdump_open_fd(ctx, fd))) {
		WORKS(kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"));
		use(ctx);
	}
	return ctx;
}

/* No memory for long: calls are refused in the end, and work again when memory is back. */
static void test_long_without(void)
{
	static char text[2][4000];
	kdump_status status = KDUMP_OK;
	kdump_ctx_t *ctx = kdump_new();
	kdump_num_t num;
	unsigned i;

	memset(text[0], 'a', sizeof(text[0]) - 1);
	memset(text[1], 'b', sizeof(text[1]) - 1);
	left = 0;
	for (i = 0; i < 100000 && status == KDUMP_OK; ++i)
		status = kdump_set_string_attr(ctx, "linux.uts.domainname", text[i & 1]);
	CHECK(i > 10 && status == KDUMP_ERR_SYSTEM && kdump_get_err(ctx));
	CHECK(!strcmp(kdump_get_err(ctx), "Cannot allocate memory"));
	CHECK(kdump_get_number_attr(ctx, "cache.size", &num) == KDUMP_ERR_SYSTEM);
	CHECK(kdump_read(ctx, KDUMP_KPHYSADDR, 0, text[0], &(size_t){ 8 }) == KDUMP_ERR_SYSTEM);
	CHECK(!kdump_new() && !kdump_clone(ctx, 0));
	left = -1;
	CHECK(kdump_get_number_attr(ctx, "cache.size", &num) == KDUMP_OK && num == 1024);
	CHECK(kdump_set_string_attr(ctx, "linux.uts.domainname", "x") == KDUMP_OK);
	kdump_free(ctx);
}

int main(int argc, char **argv)
{
	unsigned long every = argc > 2 ? strtoul(argv[2], NULL, 0) : 1, rounds = 0;
	long granted_now;
	kdump_ctx_t *ctx;
	kdump_attr_t attr;
	size_t length;
	unsigned i;

	fd = open(argc > 1 ? argv[1] : "", O_RDONLY);
	ctx = kdump_new();
	if (fd < 0 || kdump_open_fd(ctx, fd) != KDUMP_OK ||
	    kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux") != KDUMP_OK ||
	    kdump_vmcoreinfo_symbol(ctx, "init_uts_ns", &place[1]) != KDUMP_OK ||
	    kdump_vmcoreinfo_raw(ctx, &right_raw) != KDUMP_OK ||
	    kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) != KDUMP_OK) {
		fprintf(stderr, "Usage: %s DUMP [EVERY]\n", argv[0]);
		return 2;
	}
	kdump_bmp_find_set(attr.val.bitmap, &place[0]);
	place[0] *= 4096;
	for (i = 0; i < 2; ++i) {
		length = sizeof(right[i]);
		CHECK(kdump_read(ctx, i ? KDUMP_KVADDR : KDUMP_MACHPHYSADDR, place[i], right[i], &length) ==
		      KDUMP_OK);
	}
	kdump_free(ctx);

	test_long_without();
	for (granted_now = 0;; granted_now += every) {
		refused = 0;
		left = granted_now;
		ctx = all();
		left = -1;
		++rounds;
		if (ctx) {
			/* With memory it goes on as if nothing had been. */
			if (WORKS(kdump_open_fd(ctx, fd)) &&
			    WORKS(kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux")))
				use(ctx);
			kdump_free(ctx);
		}
		if (!refused || failures > 20)
			break;
	}
	printf("%lu rounds, memory for up to %ld allocations; %lu times OK, %lu NULL, errors by status:", rounds,
	       granted_now, statuses[0], nulls);
	for (i = 1; i < 10; ++i)
		printf(" %lu", statuses[i]);
	printf("; %u failures\n", failures);
	free(right_raw);
	return failures ? 1 : 0;
}
