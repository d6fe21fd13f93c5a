/* Calls the exported functions: what they do, how they fail, who frees what.
 *
 * Usage: functions DUMP, with a dump of x86_64 Linux that has VMCOREINFO.
 * Run under valgrind for the part about memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkdumpfile/kdumpfile.h>

static unsigned checks, failures;

#define CHECK(what) \
	do { \
		++checks; \
		if (!(what)) { \
			++failures; \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#what); \
		} \
	} while (0)

static int same(const char *a, const char *b)
{
	if (a && b && strcmp(a, b))
		fprintf(stderr, "\"%s\" is not \"%s\"\n", a, b);
	return a == b || (a && b && !strcmp(a, b));
}

#define FAILS(call, status, text) \
	do { \
		CHECK((call) == (status)); \
		CHECK(same(kdump_get_err(ctx), text)); \
	} while (0)

#define WORKS(call) FAILS(call, KDUMP_OK, NULL)

/* ----- errors ------------------------------------------------------------ */

static void test_errors(void)
{
	kdump_ctx_t *ctx = kdump_new();
	char text[401];
	int i;

	CHECK(ctx && !kdump_get_err(ctx));
	CHECK(kdump_err(ctx, KDUMP_OK, "nothing") == KDUMP_OK);
	CHECK(!kdump_get_err(ctx));
	CHECK(kdump_err(ctx, KDUMP_ERR_NODATA, "inner %d", 7) ==
	      KDUMP_ERR_NODATA);
	CHECK(kdump_err(ctx, KDUMP_ERR_CORRUPT, "outer %s", "x") ==
	      KDUMP_ERR_CORRUPT);
	CHECK(same(kdump_get_err(ctx), "outer x: inner 7"));
	memset(text, 'y', 400);
	text[400] = 0;
	kdump_err(ctx, KDUMP_ERR_NODATA, "%s", text);
	CHECK(strlen(kdump_get_err(ctx)) == 400 + 2 + 16);
	kdump_clear_err(ctx);
	CHECK(!kdump_get_err(ctx));
	if (open("/no/such/file", O_RDONLY) < 0)
		kdump_err(ctx, KDUMP_ERR_SYSTEM, "Cannot open");
	CHECK(same(kdump_get_err(ctx),
		   "Cannot open: No such file or directory"));
	kdump_clear_err(ctx);
	kdump_err(ctx, KDUMP_ERR_NODATA, "%s", "");
	CHECK(same(kdump_get_err(ctx), ""));
	for (i = -1; i < 11; ++i)
		CHECK(kdump_strerror((kdump_status)i));
	CHECK(same(kdump_strerror(KDUMP_ERR_BUSY), "Too many pending requests"));
	CHECK(same(kdump_strerror((kdump_status)10), "Unknown error"));
	kdump_free(ctx);
	kdump_free(NULL);
}

/* ----- attributes -------------------------------------------------------- */

static void test_attributes(void)
{
	kdump_ctx_t *ctx = kdump_new();
	kdump_ctx_t *clone;
	kdump_attr_t attr;
	kdump_attr_ref_t ref, sub, copy;
	kdump_attr_iter_t iter;
	kdump_num_t num = 0;
	const char *str, *again;
	unsigned n = 0;

	WORKS(kdump_get_number_attr(ctx, "cache.size", &num));
	CHECK(num == 1024);
	FAILS(kdump_get_attr(ctx, "no.such", &attr), KDUMP_ERR_NOKEY,
	      "No such key");
	FAILS(kdump_set_number_attr(ctx, "no.such", 1), KDUMP_ERR_NODATA,
	      "No such key");
	FAILS(kdump_get_attr(ctx, "arch.name", &attr), KDUMP_ERR_NODATA,
	      "Key has no value");
	FAILS(kdump_set_number_attr(ctx, "arch.name", 1), KDUMP_ERR_INVALID,
	      "Type mismatch");
	FAILS(kdump_get_string_attr(ctx, "cache.size", &str),
	      KDUMP_ERR_INVALID, "Attribute type mismatch");
	WORKS(kdump_set_string_attr(ctx, "arch.name", "x86_64"));
	WORKS(kdump_get_string_attr(ctx, "arch.name", &str));
	CHECK(same(str, "x86_64"));
	WORKS(kdump_get_string_attr(ctx, "arch.name", &again));
	CHECK(again == str);
	WORKS(kdump_clear_attr(ctx, "arch.name"));

	WORKS(kdump_attr_ref(ctx, NULL, &ref));
	CHECK(kdump_attr_ref_type(&ref) == KDUMP_DIRECTORY);
	FAILS(kdump_sub_attr_ref(ctx, &ref, "no", &sub), KDUMP_ERR_NOKEY,
	      "No such key");
	WORKS(kdump_sub_attr_ref(ctx, &ref, "cache.size", &sub));
	CHECK(kdump_attr_ref_type(&sub) == KDUMP_NUMBER);
	CHECK(kdump_attr_ref_isset(&sub));
	copy = sub;
	kdump_attr_unref(ctx, &sub);
	kdump_attr_unref(ctx, &copy);
	WORKS(kdump_attr_ref_get(ctx, &copy, &attr));
	CHECK(attr.type == KDUMP_NUMBER && attr.val.number == 1024);
	attr.val.number = 99;
	WORKS(kdump_attr_ref_set(ctx, &copy, &attr));
	FAILS(kdump_set_sub_attr(ctx, &ref, "no", &attr), KDUMP_ERR_NOKEY,
	      "No such key");
	attr.val.number = 98;
	WORKS(kdump_set_sub_attr(ctx, &ref, "cache.size", &attr));
	WORKS(kdump_get_number_attr(ctx, "cache.size", &num));
	CHECK(num == 98);

	FAILS(kdump_attr_iter_start(ctx, "no", &iter), KDUMP_ERR_NOKEY,
	      "No such path");
	FAILS(kdump_attr_iter_start(ctx, "cpu", &iter), KDUMP_ERR_NODATA,
	      "Key has no value");
	FAILS(kdump_attr_iter_start(ctx, "cache.size", &iter),
	      KDUMP_ERR_INVALID, "Path is a leaf attribute");
	WORKS(kdump_attr_iter_start(ctx, "cache", &iter));
	while (iter.key) {
		++n;
		kdump_attr_unref(ctx, &iter.pos);
		WORKS(kdump_attr_iter_next(ctx, &iter));
	}
	CHECK(n == 3 && !iter.pos._ptr);
	FAILS(kdump_attr_iter_next(ctx, &iter), KDUMP_ERR_INVALID,
	      "End of iteration");
	kdump_attr_iter_end(ctx, &iter);
	CHECK(!kdump_get_err(ctx));
	WORKS(kdump_attr_ref_iter_start(ctx, &ref, &iter));
	CHECK(iter.key && strlen(iter.key) > 0);

	/* References to what was deleted are refused. */
	WORKS(kdump_set_number_attr(ctx, "file.set.number", 2));
	WORKS(kdump_attr_ref(ctx, "file.set.1.name", &sub));
	WORKS(kdump_set_number_attr(ctx, "file.set.number", 1));
	CHECK(kdump_attr_ref_type(&sub) == KDUMP_NIL);
	CHECK(kdump_attr_ref_get(ctx, &sub, &attr) == KDUMP_ERR_NOKEY);
	WORKS(kdump_set_number_attr(ctx, "file.set.number", 2));
	CHECK(kdump_attr_ref_get(ctx, &sub, &attr) != KDUMP_OK);

	/* Clones share attributes, and errors are their own. */
	clone = kdump_clone(ctx, 0);
	CHECK(kdump_get_attr(ctx, "no", &attr) == KDUMP_ERR_NOKEY);
	CHECK(clone && !kdump_get_err(clone));
	CHECK(kdump_get_number_attr(clone, "cache.size", &num) == KDUMP_OK);
	CHECK(num == 98);
	kdump_free(ctx);
	CHECK(kdump_set_number_attr(clone, "cache.size", 5) == KDUMP_OK);
	kdump_free(clone);
}

/* ----- private data and the symbol callback ------------------------------ */

static kdump_status symbol(kdump_ctx_t *ctx, const char *name,
			   kdump_addr_t *val)
{
	*val = strlen(name);
	return kdump_get_priv(ctx) ? KDUMP_OK : KDUMP_ERR_NODATA;
}

static void test_own(void)
{
	kdump_ctx_t *ctx = kdump_new();
	kdump_ctx_t *clone;
	int one, two;

	CHECK(!kdump_get_priv(ctx));
	kdump_set_priv(ctx, &one);
	CHECK(!kdump_cb_get_symbol_val(ctx, symbol));
	clone = kdump_clone(ctx, KDUMP_CLONE_XLAT);
	CHECK(kdump_get_priv(clone) == &one);
	kdump_set_priv(clone, &two);
	CHECK(kdump_get_priv(ctx) == &one);
	CHECK(kdump_cb_get_symbol_val(clone, NULL) == symbol);
	CHECK(kdump_cb_get_symbol_val(ctx, NULL) == symbol);
	kdump_free(ctx);
	kdump_free(clone);
}

/* ----- blobs ------------------------------------------------------------- */

static void test_blobs(void)
{
	static const char lines[] = "OSRELEASE=6.1\nSYMBOL(x)=1234\n";
	kdump_ctx_t *ctx = kdump_new();
	char *data = (char *)malloc(8);
	kdump_blob_t *blob;
	kdump_attr_t attr;
	kdump_addr_t addr = 0;
	char *text;

	memcpy(data, "12345678", 8);
	blob = kdump_blob_new(data, 8);
	CHECK(blob && kdump_blob_size(blob) == 8);
	CHECK(kdump_blob_incref(blob) == 2 && kdump_blob_decref(blob) == 1);
	CHECK(kdump_blob_pin(blob) == data && kdump_blob_pin(blob) == data);
	CHECK(kdump_blob_unpin(blob) == 1);
	CHECK(kdump_blob_set(blob, NULL, 0) == KDUMP_ERR_BUSY);
	CHECK(kdump_blob_unpin(blob) == 0);
	CHECK(kdump_blob_set(blob, data, 4) == KDUMP_OK);
	CHECK(kdump_blob_size(blob) == 4);
	CHECK(kdump_blob_set(blob, NULL, 7) == KDUMP_OK);
	CHECK(kdump_blob_size(blob) == 0 && !kdump_blob_pin(blob));
	CHECK(kdump_blob_unpin(blob) == 0);
	CHECK(kdump_blob_decref(blob) == 0);

	/* A reference goes to the attribute, but for another type or no key. */
	blob = kdump_blob_new_dup(lines, sizeof(lines) - 1);
	attr.type = KDUMP_BLOB;
	attr.val.blob = blob;
	FAILS(kdump_set_attr(ctx, "no.such", &attr), KDUMP_ERR_NODATA,
	      "No such key");
	FAILS(kdump_set_attr(ctx, "cache.size", &attr), KDUMP_ERR_INVALID,
	      "Type mismatch");
	CHECK(kdump_blob_incref(blob) == 2);
	WORKS(kdump_set_attr(ctx, "linux.vmcoreinfo.raw", &attr));
	WORKS(kdump_get_attr(ctx, "linux.vmcoreinfo.raw", &attr));
	CHECK(attr.type == KDUMP_BLOB && attr.val.blob == blob);
	CHECK(kdump_blob_decref(blob) == 1);
	FAILS(kdump_vmcoreinfo_raw(ctx, &text), KDUMP_ERR_NODATA,
	      "OS type is not set");
	WORKS(kdump_set_string_attr(ctx, "addrxlat.ostype", "linux"));
	WORKS(kdump_vmcoreinfo_raw(ctx, &text));
	CHECK(same(text, lines));
	free(text);
	WORKS(kdump_vmcoreinfo_line(ctx, "OSRELEASE", &text));
	CHECK(same(text, "6.1"));
	free(text);
	FAILS(kdump_vmcoreinfo_line(ctx, "NONE", &text), KDUMP_ERR_NODATA,
	      "No such VMCOREINFO line");
	WORKS(kdump_vmcoreinfo_symbol(ctx, "x", &addr));
	CHECK(addr == 0x1234);
	FAILS(kdump_vmcoreinfo_symbol(ctx, "y", &addr), KDUMP_ERR_NODATA,
	      "Symbol not found");

	/* Pinned for ever, and freed with the context all the same; and a blob
	 * that outlives its context. */
	CHECK(kdump_blob_pin(blob) != NULL);
	kdump_free(ctx);
	ctx = kdump_new();
	attr.val.blob = blob = kdump_blob_new_dup(lines, sizeof(lines) - 1);
	CHECK(kdump_blob_incref(blob) == 2);
	WORKS(kdump_set_attr(ctx, "linux.vmcoreinfo.raw", &attr));
	kdump_free(ctx);
	CHECK(kdump_blob_size(blob) == sizeof(lines) - 1);
	CHECK(kdump_blob_decref(blob) == 0);
}

/* ----- a dump ------------------------------------------------------------ */

static addrxlat_status counted(const addrxlat_cb_t *cb, const char *name,
			       addrxlat_addr_t *val)
{
	++*(unsigned *)cb->priv;
	return cb->next->num_value(cb->next, name, val);
}

static void test_dump(const char *path)
{
	kdump_ctx_t *ctx = kdump_new();
	kdump_ctx_t *clone;
	int fd = open(path, O_RDONLY), bad = -1;
	unsigned char page[2][8192], bits[2];
	size_t length = 8;
	kdump_addr_t first = 0, next, symbol_addr;
	kdump_attr_t attr;
	kdump_bmp_t *bmp;
	addrxlat_ctx_t *axctx, *axctx2;
	addrxlat_sys_t *axsys, *axsys2;
	addrxlat_fulladdr_t addr;
	addrxlat_meth_t meth;
	addrxlat_range_t range;
	addrxlat_map_t *map, *saved;
	addrxlat_cb_t *cb;
	unsigned calls = 0, i;
	const char *name = "dump";
	char *text;

	CHECK(fd >= 0);
	FAILS(kdump_read(ctx, KDUMP_KPHYSADDR, 0, page[0], &length),
	      KDUMP_ERR_ADDRXLAT,
	      "Cannot get page I/O address: No suitable capabilities");
	CHECK(length == 0);
	CHECK(kdump_open_fd(ctx, bad) == KDUMP_ERR_SYSTEM);
	CHECK(kdump_get_err(ctx) &&
	      strstr(kdump_get_err(ctx), "Bad file descriptor"));
	WORKS(kdump_set_filename(ctx, name));
	CHECK(kdump_open_fd(ctx, bad) == KDUMP_ERR_SYSTEM);
	CHECK(!strncmp(kdump_get_err(ctx), "dump: ", 6));
	WORKS(kdump_set_filenames(ctx, 1, &name));
	WORKS(kdump_open_fdset(ctx, 1, &fd));
	WORKS(kdump_open_fd(ctx, fd));
	WORKS(kdump_set_number_attr(ctx, KDUMP_ATTR_FILE_FD, fd));
	CHECK(kdump_d16toh(ctx, 0x1234) == 0x1234);
	CHECK(kdump_d32toh(ctx, 0x12345678) == 0x12345678);
	CHECK(kdump_d64toh(ctx, 0x123456789abcdef0) == 0x123456789abcdef0);

	WORKS(kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr));
	bmp = attr.val.bitmap;
	CHECK(kdump_bmp_incref(bmp) == 2);
	CHECK(kdump_bmp_find_set(bmp, &first) == KDUMP_OK);
	next = first;
	CHECK(kdump_bmp_find_clear(bmp, &next) == KDUMP_OK && next > first);
	CHECK(kdump_bmp_get_bits(bmp, first, first + 8, bits) == KDUMP_OK);
	CHECK((bits[0] & 1) && !(bits[1] & 0xfe));
	next = KDUMP_ADDR_MAX;
	CHECK(kdump_bmp_find_set(bmp, &next) == KDUMP_ERR_NODATA);
	CHECK(same(kdump_bmp_get_err(bmp), "No such bit found"));
	CHECK(next == KDUMP_ADDR_MAX);

	length = 0;
	WORKS(kdump_read(ctx, KDUMP_KPHYSADDR, 0, NULL, &length));
	length = 100;
	WORKS(kdump_read(ctx, KDUMP_MACHPHYSADDR, first << 12, page[0], &length));
	CHECK(length == 100);
	length = 8;
	FAILS(kdump_read(ctx, KDUMP_NOADDR, 0, page[0], &length),
	      KDUMP_ERR_ADDRXLAT,
	      "Cannot get page I/O address: Unrecognized address space");

	WORKS(kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"));
	WORKS(kdump_vmcoreinfo_symbol(ctx, "init_uts_ns", &symbol_addr));
	length = sizeof(page[0]);
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr, page[0], &length));
	CHECK(length == sizeof(page[0]));
	CHECK(kdump_read_string(ctx, KDUMP_KVADDR, symbol_addr, &text) == KDUMP_OK);
	free(text);

	/* The same by the objects of libaddrxlat. */
	WORKS(kdump_get_addrxlat(ctx, &axctx, &axsys));
	WORKS(kdump_get_addrxlat(ctx, &axctx2, NULL));
	WORKS(kdump_get_addrxlat(ctx, NULL, &axsys2));
	CHECK(axctx == axctx2 && axsys == axsys2);
	addrxlat_ctx_decref(axctx2);
	addrxlat_sys_decref(axsys2);
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = symbol_addr;
	CHECK(addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx,
				     axsys) == ADDRXLAT_OK);
	CHECK(addr.as == ADDRXLAT_MACHPHYSADDR);
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_MACHPHYSADDR, addr.addr, page[1], &length));
	CHECK(!memcmp(page[0], page[1], 64));

	/* A record on top that passes on, and one function of our own. */
	cb = addrxlat_ctx_add_cb(axctx);
	CHECK(cb && addrxlat_ctx_get_cb(axctx) == cb);
	length = sizeof(page[1]);
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr, page[1], &length));
	CHECK(!memcmp(page[0], page[1], sizeof(page[0])));
	cb->priv = &calls;
	cb->num_value = counted;
	clone = kdump_clone(ctx, KDUMP_CLONE_XLAT);
	WORKS(kdump_set_number_attr(ctx, "addrxlat.default.page_shift", 12));
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr, page[1], &length));
	CHECK(calls > 0);
	calls = 0;
	length = 64;
	CHECK(kdump_read(clone, KDUMP_KVADDR, symbol_addr, page[1], &length) ==
	      KDUMP_OK);
	CHECK(calls > 0);
	kdump_free(clone);
	addrxlat_ctx_del_cb(axctx, cb);

	/* What a client changes in the system is what the dump uses. */
	meth = *addrxlat_sys_get_meth(axsys, ADDRXLAT_SYS_METH_KTEXT);
	CHECK(meth.kind == ADDRXLAT_LINEAR);
	meth.param.linear.off += 0x1000;
	addrxlat_sys_set_meth(axsys, ADDRXLAT_SYS_METH_KTEXT, &meth);
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr - 0x1000, page[1], &length));
	CHECK(!memcmp(page[0], page[1], 64));
	meth.param.linear.off -= 0x1000;
	addrxlat_sys_set_meth(axsys, ADDRXLAT_SYS_METH_KTEXT, &meth);
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr, page[1], &length));
	CHECK(!memcmp(page[0], page[1], 64));

	/* The same for maps: in place, and replaced; also seen by a clone. */
	clone = kdump_clone(ctx, 0);
	map = addrxlat_sys_get_map(axsys, ADDRXLAT_SYS_MAP_KV_PHYS);
	range.endoff = 0xfff;
	range.meth = ADDRXLAT_SYS_METH_CUSTOM;
	meth.param.linear.off -= 0x2000;
	addrxlat_sys_set_meth(axsys, ADDRXLAT_SYS_METH_CUSTOM, &meth);
	length = 64;
	CHECK(kdump_read(clone, KDUMP_KVADDR, 0x5000 + symbol_addr % 0x1000, page[1], &length) != KDUMP_OK);
	saved = addrxlat_map_copy(map);
	CHECK(addrxlat_map_set(map, 0x5000, &range) == ADDRXLAT_OK);
	meth.param.linear.off = (addrxlat_off_t)((addr.addr & ~0xfffULL) - 0x5000);
	addrxlat_sys_set_meth(axsys, ADDRXLAT_SYS_METH_CUSTOM, &meth);
	for (i = 0; i < 3; ++i) {
		length = 64;
		WORKS(kdump_read(i & 1 ? clone : ctx, KDUMP_KVADDR, 0x5000 + addr.addr % 0x1000, page[1], &length));
		CHECK(!memcmp(page[0], page[1], 64));
	}
	addrxlat_sys_set_map(axsys, ADDRXLAT_SYS_MAP_KV_PHYS, saved);
	CHECK(addrxlat_map_decref(saved) == 1);
	length = 64;
	CHECK(kdump_read(ctx, KDUMP_KVADDR, 0x5000 + addr.addr % 0x1000, page[1], &length) != KDUMP_OK);
	length = 64;
	CHECK(kdump_read(clone, KDUMP_KVADDR, 0x5000 + addr.addr % 0x1000, page[1], &length) != KDUMP_OK);
	/* An attribute has the last word. */
	CHECK(addrxlat_map_set(saved, 0x5000, &range) == ADDRXLAT_OK);
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_KVADDR, 0x5000 + addr.addr % 0x1000, page[1], &length));
	WORKS(kdump_clear_attr(clone, "addrxlat.default.page_shift"));
	length = 64;
	CHECK(kdump_read(ctx, KDUMP_KVADDR, 0x5000 + addr.addr % 0x1000, page[1], &length) != KDUMP_OK);
	length = 64;
	WORKS(kdump_read(ctx, KDUMP_KVADDR, symbol_addr, page[1], &length));
	CHECK(!memcmp(page[0], page[1], 64));
	kdump_free(clone);

	/* What outlives the context. */
	kdump_free(ctx);
	CHECK(addrxlat_ctx_get_cb(axctx)->read_caps(addrxlat_ctx_get_cb(axctx)) == 0);
	CHECK(addrxlat_ctx_decref(axctx) == 0);
	CHECK(addrxlat_sys_decref(axsys) == 0);
	next = first;
	CHECK(kdump_bmp_find_set(bmp, &next) == KDUMP_OK && next == first);
	CHECK(kdump_bmp_decref(bmp) == 0);
	close(fd);
}

/* ----- a dump of several files, and clones ------------------------------- */

/* PATH-split1 to PATH-split3 are parts of the dump, if they are there. */
static void test_split(const char *path)
{
	static const unsigned char orders[][3] = { { 0, 1, 2 }, { 2, 0, 1 }, { 1, 2, 0 } };
	kdump_ctx_t *whole = kdump_new(), *ctx = kdump_new();
	int fd = open(path, O_RDONLY), parts[3], fds[3];
	unsigned char page[2][4096];
	unsigned long wrong = 0, pages = 0;
	char name[3][1024];
	kdump_attr_t attr;
	kdump_num_t num;
	kdump_addr_t pfn;
	unsigned i, j;

	for (i = 0; i < 3; ++i) {
		snprintf(name[i], sizeof(name[i]), "%s-split%u", path, i + 1);
		parts[i] = open(name[i], O_RDONLY);
	}
	if (parts[0] >= 0 && parts[1] >= 0 && parts[2] >= 0) {
		CHECK(kdump_open_fd(whole, fd) == KDUMP_OK);
		CHECK(kdump_get_attr(whole, KDUMP_ATTR_FILE_PAGEMAP, &attr) == KDUMP_OK);
		for (i = 0; i < 3; ++i) {
			for (j = 0; j < 3; ++j)
				fds[j] = parts[orders[i][j]];
			/* On the same context each time. */
			WORKS(kdump_open_fdset(ctx, 3, fds));
			WORKS(kdump_get_number_attr(ctx, "file.set.number", &num));
			CHECK(num == 3);
			CHECK(kdump_get_number_attr(ctx, "file.set.2.fd", &num) == KDUMP_OK && (int)num == fds[2]);
			CHECK(kdump_get_number_attr(ctx, KDUMP_ATTR_FILE_FD, &num) == KDUMP_ERR_NODATA);
			for (pfn = i; kdump_bmp_find_set(attr.val.bitmap, &pfn) == KDUMP_OK; pfn += 97) {
				size_t length = sizeof(page[0]);

				++pages;
				wrong += kdump_read(whole, KDUMP_MACHPHYSADDR, pfn << 12, page[0], &length) != KDUMP_OK;
				wrong += kdump_read(ctx, KDUMP_MACHPHYSADDR, pfn << 12, page[1], &length) != KDUMP_OK ||
					 memcmp(page[0], page[1], sizeof(page[0]));
			}
		}
		CHECK(wrong == 0 && pages > 100);
		/* A part that is not there, is what a dump of the other parts lacks. */
		WORKS(kdump_open_fdset(ctx, 2, parts));
		WORKS(kdump_open_fdset(ctx, 0, NULL));
		fds[1] = -1;
		CHECK(kdump_open_fdset(ctx, 3, fds) == KDUMP_ERR_SYSTEM && kdump_get_err(ctx));
	}
	for (i = 0; i < 3; ++i)
		close(parts[i]);
	close(fd);
	kdump_free(whole);
	kdump_free(ctx);
}

/* Flags without a meaning have none. */
static void test_clone_flags(const char *path)
{
	static const unsigned long flags[] = { 0, 2, 0x100, ~1UL, 1, ~0UL };
	int fd = open(path, O_RDONLY);
	unsigned i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); ++i) {
		int own = flags[i] & KDUMP_CLONE_XLAT;
		kdump_ctx_t *ctx = kdump_new(), *clone;
		kdump_num_t num = 0;
		const char *text = "";

		WORKS(kdump_open_fd(ctx, fd));
		WORKS(kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"));
		clone = kdump_clone(ctx, flags[i]);
		CHECK(clone && kdump_get_string_attr(clone, KDUMP_ATTR_OSTYPE, &text) == KDUMP_OK);
		CHECK(same(text, "linux"));
		CHECK(kdump_set_string_attr(clone, KDUMP_ATTR_OSTYPE, "xen") == KDUMP_OK);
		WORKS(kdump_get_string_attr(ctx, KDUMP_ATTR_OSTYPE, &text));
		CHECK(same(text, own ? "linux" : "xen"));
		CHECK(kdump_set_number_attr(clone, "cache.size", 77) == KDUMP_OK);
		WORKS(kdump_get_number_attr(ctx, "cache.size", &num));
		CHECK(num == 77);
		kdump_free(i & 1 ? ctx : clone);
		kdump_free(i & 1 ? clone : ctx);
	}
	close(fd);
}

/* ----- libaddrxlat ------------------------------------------------------- */

static void test_maps(void)
{
	addrxlat_map_t *map = addrxlat_map_new(), *copy;
	addrxlat_range_t range;
	const addrxlat_range_t *ranges;

	CHECK(addrxlat_map_len(map) == 0 && !addrxlat_map_ranges(map));
	CHECK(addrxlat_map_search(map, 5) == ADDRXLAT_SYS_METH_NONE);
	range.endoff = 0xfff;
	range.meth = ADDRXLAT_SYS_METH_KTEXT;
	CHECK(addrxlat_map_set(map, 0x1000, &range) == ADDRXLAT_OK);
	ranges = addrxlat_map_ranges(map);
	CHECK(addrxlat_map_len(map) == 3);
	CHECK(ranges[0].endoff == 0xfff && ranges[0].meth == -1);
	CHECK(ranges[1].endoff == 0xfff && ranges[1].meth == 3);
	CHECK(ranges[2].endoff == 0xffffffffffffdfff && ranges[2].meth == -1);
	copy = addrxlat_map_copy(map);
	range.endoff = ADDRXLAT_ADDR_MAX;
	CHECK(addrxlat_map_set(map, 0, &range) == ADDRXLAT_OK);
	CHECK(addrxlat_map_len(map) == 1 && addrxlat_map_len(copy) == 3);
	CHECK(addrxlat_map_search(copy, 0x1fff) == 3);
	CHECK(addrxlat_map_search(copy, 0x2000) == -1);
	CHECK(addrxlat_map_incref(map) == 2 && addrxlat_map_decref(map) == 1);
	CHECK(addrxlat_map_decref(map) == 0 && addrxlat_map_decref(copy) == 0);
}

static unsigned puts_left;
static uint64_t numbers[512];

static void put(const addrxlat_buffer_t *buf)
{
	CHECK(buf->priv == numbers);
	--puts_left;
}

static addrxlat_status get(const addrxlat_cb_t *cb, addrxlat_buffer_t *buf)
{
	(void)cb;
	if (buf->addr.addr >= sizeof(numbers))
		return addrxlat_ctx_err((addrxlat_ctx_t *)cb->priv, (addrxlat_status)-5, "no %s", "memory");
	buf->addr.addr = 0;
	buf->ptr = numbers;
	buf->size = sizeof(numbers);
	buf->byte_order = ADDRXLAT_HOST_ENDIAN;
	buf->put_page = put;
	buf->priv = numbers;
	++puts_left;
	return ADDRXLAT_OK;
}

static unsigned long caps(const addrxlat_cb_t *cb)
{
	(void)cb;
	return ADDRXLAT_CAPS(ADDRXLAT_MACHPHYSADDR);
}

static addrxlat_status first_step(addrxlat_step_t *step, addrxlat_addr_t addr)
{
	step->base.addr = *(addrxlat_addr_t *)step->meth->param.custom.data;
	step->idx[0] = addr;
	step->elemsz = 2;
	step->remain = 1;
	return addr == 13 ? (addrxlat_status)-77 : ADDRXLAT_OK;
}

static addrxlat_status record(void *data, const addrxlat_fulladdr_t *addr)
{
	*(addrxlat_fulladdr_t *)data = *addr;
	return (addrxlat_status)-3;
}

static void test_steps(void)
{
	addrxlat_ctx_t *ctx = addrxlat_ctx_new();
	addrxlat_sys_t *sys = addrxlat_sys_new();
	addrxlat_map_t *map = addrxlat_map_new();
	addrxlat_lookup_elem_t table[2] = { { 0x100, 0x5000 }, { 0x200, 0x7000 } };
	addrxlat_range_t range = { ADDRXLAT_ADDR_MAX, ADDRXLAT_SYS_METH_CUSTOM };
	addrxlat_addr_t start = 0x400;
	addrxlat_fulladdr_t addr;
	addrxlat_op_ctl_t ctl;
	addrxlat_meth_t meth;
	addrxlat_step_t step;
	addrxlat_opt_t opt[2];
	addrxlat_cb_t *cb;

	CHECK(ctx && !addrxlat_ctx_get_err(ctx));
	CHECK(addrxlat_ctx_incref(ctx) == 2 && addrxlat_ctx_decref(ctx) == 1);
	CHECK(addrxlat_sys_incref(sys) == 2 && addrxlat_sys_decref(sys) == 1);
	CHECK(addrxlat_ctx_err(ctx, (addrxlat_status)-9, "x%d", 1) == -9);
	CHECK(same(addrxlat_ctx_get_err(ctx), "x1"));
	addrxlat_ctx_clear_err(ctx);
	CHECK(!addrxlat_ctx_get_err(ctx));

	memset(&step, 0, sizeof(step));
	memset(&meth, 0, sizeof(meth));
	step.ctx = ctx;
	step.meth = &meth;
	CHECK(addrxlat_launch(&step, 1) == ADDRXLAT_ERR_NOMETH);
	CHECK(same(addrxlat_ctx_get_err(ctx), "Null translation method"));
	meth.kind = (addrxlat_kind_t)99;
	CHECK(addrxlat_launch(&step, 1) == ADDRXLAT_ERR_NOTIMPL);
	meth.kind = ADDRXLAT_LINEAR;
	meth.target_as = ADDRXLAT_MACHPHYSADDR;
	meth.param.linear.off = -0x10;
	step.base.addr = 0x18;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_OK);
	CHECK(step.base.addr == 8 && step.base.as == ADDRXLAT_MACHPHYSADDR);
	CHECK(step.remain == 0 && step.elemsz == 0);

	meth.kind = ADDRXLAT_LOOKUP;
	meth.param.lookup.endoff = 0xf;
	meth.param.lookup.nelem = 2;
	meth.param.lookup.tbl = table;
	CHECK(addrxlat_launch(&step, 0x20a) == ADDRXLAT_OK);
	CHECK(step.remain == 1 && step.raw.elem == &table[1]);
	CHECK(addrxlat_step(&step) == ADDRXLAT_OK && step.base.addr == 0x700a);
	CHECK(addrxlat_launch(&step, 0x210) == ADDRXLAT_ERR_NOTPRESENT);
	CHECK(same(addrxlat_ctx_get_err(ctx), "Not mapped"));

	/* An array in memory, through callbacks. */
	CHECK(!addrxlat_ctx_get_cb(ctx)->next);
	cb = addrxlat_ctx_add_cb(ctx);
	meth.kind = ADDRXLAT_MEMARR;
	meth.param.memarr.base.as = ADDRXLAT_MACHPHYSADDR;
	meth.param.memarr.base.addr = 0;
	meth.param.memarr.shift = 12;
	meth.param.memarr.elemsz = meth.param.memarr.valsz = 8;
	step.base.addr = 0x3456;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_ERR_NOMETH ||
	      addrxlat_ctx_get_err(ctx));
	cb->priv = ctx;
	cb->get_page = get;
	cb->read_caps = caps;
	numbers[3] = 0x77;
	step.base.addr = 0x3456;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_OK);
	CHECK(step.base.addr == 0x77456 && step.raw.addr == 0x77);
	step.base.addr = 0x1000000;
	CHECK(addrxlat_walk(&step) == -5);
	CHECK(same(addrxlat_ctx_get_err(ctx),
		   "Cannot read 64-bit memory array element at MACHPHYSADDR:0x8000: no memory"));

	/* Page tables: the entry that is not present can be looked at. */
	meth.kind = ADDRXLAT_PGT;
	memset(&meth.param, 0, sizeof(meth.param));
	meth.param.pgt.root.as = ADDRXLAT_MACHPHYSADDR;
	meth.param.pgt.pf.pte_format = ADDRXLAT_PTE_X86_64;
	meth.param.pgt.pf.nfields = 2;
	meth.param.pgt.pf.fieldsz[0] = 12;
	meth.param.pgt.pf.fieldsz[1] = 9;
	numbers[5] = 0x9001;
	numbers[6] = 0xabc0;
	step.base.addr = 0x5123;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_OK && step.base.addr == 0x9123);
	step.base.addr = 0x6123;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_ERR_NOTPRESENT);
	CHECK(step.raw.pte == 0xabc0);

	/* Functions of the caller, alone and in a system. */
	meth.kind = ADDRXLAT_CUSTOM;
	memset(&meth.param, 0, sizeof(meth.param));
	meth.param.custom.first_step = first_step;
	meth.param.custom.data = &start;
	step.base.addr = 3;
	CHECK(addrxlat_walk(&step) == ADDRXLAT_OK && step.base.addr == 0x406);
	CHECK(addrxlat_launch(&step, 13) == -77);
	addrxlat_sys_set_meth(sys, ADDRXLAT_SYS_METH_CUSTOM, &meth);
	CHECK(addrxlat_map_set(map, 0, &range) == ADDRXLAT_OK);
	addrxlat_sys_set_map(sys, ADDRXLAT_SYS_MAP_KV_PHYS, map);
	CHECK(addrxlat_map_decref(map) == 1);
	CHECK(addrxlat_sys_get_map(sys, ADDRXLAT_SYS_MAP_KV_PHYS) == map);
	CHECK(!addrxlat_sys_get_map(sys, ADDRXLAT_SYS_MAP_HW));
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = 4;
	CHECK(addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, ctx, sys) ==
	      ADDRXLAT_OK);
	CHECK(addr.as == ADDRXLAT_MACHPHYSADDR && addr.addr == 0x408);
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = 13;
	CHECK(addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, ctx, sys) == -77);
	CHECK(addr.as == ADDRXLAT_KVADDR && addr.addr == 13);
	ctl.ctx = ctx;
	ctl.sys = sys;
	ctl.op = record;
	ctl.data = &addr;
	ctl.caps = ADDRXLAT_CAPS(ADDRXLAT_MACHPHYSADDR);
	addr.addr = 1;
	CHECK(addrxlat_op(&ctl, &addr) == -3);
	CHECK(addr.addr == 0x402);
	addr.as = ADDRXLAT_KVADDR;
	ctl.sys = NULL;
	CHECK(addrxlat_op(&ctl, &addr) == ADDRXLAT_ERR_NOMETH);
	CHECK(same(addrxlat_ctx_get_err(ctx), "No translation system"));
	ctl.caps = 0;
	CHECK(addrxlat_op(&ctl, &addr) == ADDRXLAT_ERR_NOMETH);
	CHECK(same(addrxlat_ctx_get_err(ctx), "No suitable capabilities"));

	/* Setting a system up. */
	CHECK(addrxlat_sys_os_init(sys, ctx, 0, NULL) == ADDRXLAT_ERR_NODATA);
	CHECK(same(addrxlat_ctx_get_err(ctx), "Cannot determine architecture"));
	opt[0].idx = (addrxlat_optidx_t)11;
	CHECK(addrxlat_sys_os_init(sys, ctx, 1, opt) == ADDRXLAT_ERR_NOTIMPL);
	CHECK(same(addrxlat_ctx_get_err(ctx), "Unknown option: 11"));
	addrxlat_opt_arch(&opt[0], "vax");
	CHECK(addrxlat_sys_os_init(sys, ctx, 1, opt) == ADDRXLAT_ERR_NOTIMPL);
	CHECK(same(addrxlat_ctx_get_err(ctx), "Unsupported architecture"));
	CHECK(addrxlat_sys_get_map(sys, ADDRXLAT_SYS_MAP_KV_PHYS) == map);
	addrxlat_opt_arch(&opt[0], "ia32");
	addrxlat_opt_phys_bits(&opt[1], 32);
	CHECK(addrxlat_sys_os_init(sys, ctx, 2, opt) == ADDRXLAT_OK);
	CHECK(addrxlat_sys_get_meth(sys, ADDRXLAT_SYS_METH_PGT)->kind ==
	      ADDRXLAT_PGT);

	CHECK(addrxlat_sys_decref(sys) == 0);
	CHECK(puts_left == 1);
	CHECK(addrxlat_ctx_decref(ctx) == 0);
	CHECK(puts_left == 0);
}

static void test_names(void)
{
	int i, unknown = 0;

	CHECK(same(addrxlat_strerror(ADDRXLAT_ERR_NOMETH), "No translation method"));
	CHECK(same(addrxlat_strerror((addrxlat_status)-1), "Unknown error"));
	CHECK(same(addrxlat_addrspace_name(ADDRXLAT_NOADDR), "NOADDR"));
	CHECK(same(addrxlat_addrspace_name((addrxlat_addrspace_t)9), "invalid addrspace_t"));
	CHECK(same(addrxlat_pte_format_name(ADDRXLAT_PTE_RISCV64), "riscv64"));
	CHECK(!addrxlat_pte_format_name((addrxlat_pte_format_t)14));
	CHECK(addrxlat_pte_format("X86_64") == ADDRXLAT_PTE_X86_64);
	CHECK(addrxlat_pte_format("") == -1);
	CHECK(addrxlat_pteval_shift(ADDRXLAT_PTE_IA32) == 2);
	CHECK(addrxlat_pteval_shift(ADDRXLAT_PTE_NONE) == -1);
	CHECK(addrxlat_pteval_shift(ADDRXLAT_PTE_RISCV32) == -1);
	CHECK(addrxlat_pteval_shift(ADDRXLAT_PTE_RISCV64) == 3);
	for (i = 0; i < 14; ++i)
		CHECK(addrxlat_pte_format(addrxlat_pte_format_name((addrxlat_pte_format_t)i)) == i);
	/* This library has formats from 256 on, which clients do not know. */
	for (i = 14; i < 600; ++i)
		unknown += addrxlat_pte_format_name((addrxlat_pte_format_t)i) ||
			   addrxlat_pteval_shift((addrxlat_pte_format_t)i) != -1;
	CHECK(unknown == 0);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "Usage: %s DUMP\n", argv[0]);
		return 2;
	}
	test_errors();
	test_attributes();
	test_own();
	test_blobs();
	test_maps();
	test_steps();
	test_names();
	test_dump(argv[1]);
	test_split(argv[1]);
	test_clone_flags(argv[1]);
	printf("%u checks, %u failures\n", checks, failures);
	return failures ? 1 : 0;
}
