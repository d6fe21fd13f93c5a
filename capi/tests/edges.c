/* The ends of address spaces, and the chain of callbacks, each function of it.
 *
 * Usage: edges DUMP, with a dump of x86_64 Linux that has VMCOREINFO.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <libkdumpfile/kdumpfile.h>

static unsigned checks, failures;

#define CHECK(what) \
	do { \
		++checks; \
		if (!(what)) { \
			++failures; \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
		} \
	} while (0)

static int same(const char *a, const char *b)
{
	if (a && b && strcmp(a, b))
		fprintf(stderr, "\"%s\" is not \"%s\"\n", a, b);
	return a == b || (a && b && !strcmp(a, b));
}

/* ----- addresses --------------------------------------------------------- */

#define PAGE 4096
#define TOP (-(kdump_addr_t)PAGE)

/* An ELF dump that has the last page of all addresses and the first one. */
static int wrapping_dump(void)
{
	static unsigned char file[4 * PAGE];
	Elf64_Ehdr *header = (Elf64_Ehdr *)file;
	Elf64_Phdr *segment = (Elf64_Phdr *)(header + 1);
	int fd = memfd_create("dump", 0), i;

	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_ident[EI_VERSION] = EV_CURRENT;
	header->e_type = ET_CORE;
	header->e_machine = EM_X86_64;
	header->e_version = EV_CURRENT;
	header->e_phoff = sizeof(*header);
	header->e_ehsize = sizeof(*header);
	header->e_phentsize = sizeof(*segment);
	header->e_phnum = 2;
	for (i = 0; i < 2; ++i) {
		segment[i].p_type = PT_LOAD;
		segment[i].p_offset = (1 + i) * PAGE;
		segment[i].p_paddr = segment[i].p_vaddr = i ? TOP : 0;
		segment[i].p_filesz = segment[i].p_memsz = PAGE;
		memset(file + (1 + i) * PAGE, 'a' + i, PAGE);
	}
	CHECK(fd >= 0 && write(fd, file, sizeof(file)) == sizeof(file));
	return fd;
}

static void test_addresses(const char *path)
{
	static const kdump_addrspace_t spaces[] = { KDUMP_MACHPHYSADDR, KDUMP_KVADDR };
	kdump_ctx_t *ctx = kdump_new();
	unsigned char bytes[4 * PAGE], *room;
	size_t length, whole;
	kdump_addr_t first = 0, clear;
	kdump_attr_t attr;
	kdump_status status;
	char *text = NULL;
	unsigned i;
	int fd = wrapping_dump(), real = open(path, O_RDONLY);

	/* From the last byte of all to the first one. */
	CHECK(kdump_open_fd(ctx, fd) == KDUMP_OK);
	for (i = 0; i < 2; ++i) {
		memset(bytes, 0, sizeof(bytes));
		length = 16;
		status = kdump_read(ctx, spaces[i], -(kdump_addr_t)8, bytes, &length);
		if (status != KDUMP_OK)
			fprintf(stderr, "space %u: %s\n", i, kdump_get_err(ctx));
		CHECK(status == KDUMP_OK && length == 16);
		CHECK(!memcmp(bytes, "bbbbbbbbaaaaaaaa", 16));
		/* Both pages, then one that is not there. */
		length = sizeof(bytes);
		CHECK(kdump_read(ctx, spaces[i], TOP, bytes, &length) != KDUMP_OK && kdump_get_err(ctx));
		CHECK(length == 2 * PAGE && bytes[0] == 'b' && bytes[PAGE - 1] == 'b');
		CHECK(bytes[PAGE] == 'a' && bytes[2 * PAGE - 1] == 'a');
		length = 1;
		CHECK(kdump_read(ctx, spaces[i], KDUMP_ADDR_MAX, bytes, &length) == KDUMP_OK && *bytes == 'b');
	}
	/* A string that no page ends. */
	CHECK(kdump_read_string(ctx, KDUMP_MACHPHYSADDR, TOP, &text) != KDUMP_OK && !text);
	kdump_free(ctx);
	close(fd);

	/* More than there can be memory for: as far as the dump goes. */
	ctx = kdump_new();
	CHECK(kdump_open_fd(ctx, real) == KDUMP_OK);
	CHECK(kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) == KDUMP_OK);
	CHECK(kdump_bmp_find_set(attr.val.bitmap, &first) == KDUMP_OK);
	clear = first;
	CHECK(kdump_bmp_find_clear(attr.val.bitmap, &clear) == KDUMP_OK);
	whole = (clear - first) * PAGE;
	room = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(room != MAP_FAILED);
	for (i = 0; i < 3; ++i) {
		static const size_t lengths[] = { SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX - 7 };

		length = lengths[i];
		CHECK(kdump_read(ctx, KDUMP_MACHPHYSADDR, first * PAGE, room, &length) == KDUMP_ERR_NODATA);
		CHECK(length == whole);
		length = lengths[i];
		CHECK(kdump_read(ctx, KDUMP_KPHYSADDR, KDUMP_ADDR_MAX - i, bytes, &length) != KDUMP_OK);
		CHECK(length == 0 && kdump_get_err(ctx));
		length = lengths[i];
		CHECK(kdump_read(ctx, KDUMP_KVADDR, KDUMP_ADDR_MAX - i, bytes, &length) != KDUMP_OK);
		CHECK(length == 0 && kdump_get_err(ctx));
	}
	munmap(room, whole);
	kdump_free(ctx);
	close(real);
}

/* ----- callbacks --------------------------------------------------------- */

static struct {
	unsigned get_page, read_caps, reg_value, sym_value, sym_sizeof, sym_offsetof, num_value;
} calls;
static const addrxlat_cb_t *mine;

static addrxlat_status my_get_page(const addrxlat_cb_t *cb, addrxlat_buffer_t *buf)
{
	CHECK(cb == mine && cb->priv == &calls);
	++calls.get_page;
	return cb->next->get_page(cb->next, buf);
}

static unsigned long my_read_caps(const addrxlat_cb_t *cb)
{
	CHECK(cb == mine && cb->priv == &calls);
	++calls.read_caps;
	return cb->next->read_caps(cb->next);
}

#define MINE(what) \
	static addrxlat_status my_##what(const addrxlat_cb_t *cb, const char *name, addrxlat_addr_t *val) \
	{ \
		CHECK(cb == mine && cb->priv == &calls); \
		++calls.what; \
		return strcmp(name, "mine") ? cb->next->what(cb->next, name, val) : (*val = 4711, ADDRXLAT_OK); \
	}
MINE(reg_value)
MINE(sym_value)
MINE(sym_sizeof)
MINE(num_value)

static addrxlat_status my_sym_offsetof(const addrxlat_cb_t *cb, const char *obj, const char *elem,
				       addrxlat_addr_t *val)
{
	CHECK(cb == mine && cb->priv == &calls);
	++calls.sym_offsetof;
	return cb->next->sym_offsetof(cb->next, obj, elem, val);
}

/* All that a record answers. */
struct answers {
	addrxlat_status status[6];
	addrxlat_addr_t value[5], start;
	size_t size;
	addrxlat_byte_order_t order;
	unsigned long caps;
	unsigned char first;
};

static void ask(const addrxlat_cb_t *cb, addrxlat_ctx_t *ctx, addrxlat_addr_t page, struct answers *got)
{
	addrxlat_buffer_t buf;

	memset(got, 0, sizeof(*got));
	memset(&buf, 0, sizeof(buf));
	got->caps = cb->read_caps(cb);
	got->status[0] = cb->reg_value(cb, "rip", &got->value[0]);
	got->status[1] = cb->sym_value(cb, "init_uts_ns", &got->value[1]);
	got->status[2] = cb->sym_sizeof(cb, "page", &got->value[2]);
	got->status[3] = cb->sym_offsetof(cb, "page", "flags", &got->value[3]);
	got->status[4] = cb->num_value(cb, "PG_lru", &got->value[4]);
	buf.addr.as = ADDRXLAT_MACHPHYSADDR;
	buf.addr.addr = page + 123;
	got->status[5] = cb->get_page(cb, &buf);
	if (got->status[5] == ADDRXLAT_OK) {
		got->start = buf.addr.addr;
		got->size = buf.size;
		got->order = buf.byte_order;
		got->first = *(const unsigned char *)buf.ptr;
		if (buf.put_page)
			buf.put_page(&buf);
	}
	addrxlat_ctx_clear_err(ctx);
}

static void test_last_record(void)
{
	static const char *const texts[] = {
		"No reg_value callback", "No sym_value callback", "No sym_sizeof callback",
		"No sym_offsetof callback", "No sym_offsetof callback", "No get_page callback"
	};
	addrxlat_ctx_t *ctx = addrxlat_ctx_new();
	const addrxlat_cb_t *last = addrxlat_ctx_get_cb(ctx);
	addrxlat_cb_t copy = *last, *above;
	addrxlat_cb_t bare;
	const addrxlat_cb_t *asked[3];
	addrxlat_buffer_t buf;
	addrxlat_addr_t val;
	unsigned i, k;

	CHECK(!last->next && last->priv == ctx);
	above = addrxlat_ctx_add_cb(ctx);
	CHECK(above->next == last && !above->priv && addrxlat_ctx_get_cb(ctx) == above);
	/* By a copy, and by what passes everything on. */
	asked[0] = last;
	asked[1] = &copy;
	asked[2] = above;
	for (i = 0; i < 3; ++i) {
		const addrxlat_cb_t *cb = asked[i];

		CHECK(cb->read_caps(cb) == 0);
		for (k = 0; k < 6; ++k) {
			addrxlat_status status = k == 0 ? cb->reg_value(cb, "x", &val) :
						 k == 1 ? cb->sym_value(cb, "x", &val) :
						 k == 2 ? cb->sym_sizeof(cb, "x", &val) :
						 k == 3 ? cb->sym_offsetof(cb, "x", "y", &val) :
						 k == 4 ? cb->num_value(cb, "x", &val) :
							  cb->get_page(cb, &buf);

			CHECK(status == ADDRXLAT_ERR_NODATA);
			CHECK(same(addrxlat_ctx_get_err(ctx), texts[k]));
			addrxlat_ctx_clear_err(ctx);
		}
	}
	memset(&bare, 0, sizeof(bare));
	bare.read_caps = last->read_caps;
	CHECK(bare.read_caps(&bare) == 0);
	addrxlat_ctx_del_cb(ctx, &bare); /* was never added */
	addrxlat_ctx_del_cb(ctx, (addrxlat_cb_t *)last);
	CHECK(addrxlat_ctx_get_cb(ctx) == above);
	addrxlat_ctx_del_cb(ctx, above);
	CHECK(addrxlat_ctx_get_cb(ctx) == last);
	CHECK(addrxlat_ctx_decref(ctx) == 0);
}

static void test_chain(const char *path)
{
	kdump_ctx_t *ctx = kdump_new();
	int fd = open(path, O_RDONLY);
	addrxlat_ctx_t *axctx;
	addrxlat_sys_t *axsys;
	addrxlat_cb_t *first, *second;
	const addrxlat_cb_t *bottom;
	struct answers right, got;
	kdump_addr_t page = 0, symbol, i;
	addrxlat_fulladdr_t addr;
	kdump_attr_t attr;
	addrxlat_addr_t val;
	addrxlat_opt_t opts[2];
	addrxlat_sys_t *other;
	unsigned char bytes[8], expected[8];
	size_t length = 8;

	CHECK(kdump_open_fd(ctx, fd) == KDUMP_OK);
	CHECK(kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux") == KDUMP_OK);
	CHECK(kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) == KDUMP_OK);
	CHECK(kdump_bmp_find_set(attr.val.bitmap, &page) == KDUMP_OK);
	page *= PAGE;
	CHECK(kdump_vmcoreinfo_symbol(ctx, "init_uts_ns", &symbol) == KDUMP_OK);
	CHECK(kdump_read(ctx, KDUMP_KVADDR, symbol, expected, &length) == KDUMP_OK);
	CHECK(kdump_get_addrxlat(ctx, &axctx, &axsys) == KDUMP_OK);
	bottom = addrxlat_ctx_get_cb(axctx);
	CHECK(bottom->priv == ctx);
	ask(bottom, axctx, page, &right);
	for (i = 1; i < 6; ++i)
		CHECK(right.status[i] == ADDRXLAT_OK);
	CHECK(right.value[1] == symbol && right.start == page && right.size == PAGE);
	CHECK(right.caps & ADDRXLAT_CAPS(ADDRXLAT_MACHPHYSADDR));

	/* Two records that were left as they are. */
	first = addrxlat_ctx_add_cb(axctx);
	second = addrxlat_ctx_add_cb(axctx);
	CHECK(second->next == first && first->next == bottom);
	ask(first, axctx, page, &got);
	CHECK(!memcmp(&got, &right, sizeof(got)));
	ask(second, axctx, page, &got);
	CHECK(!memcmp(&got, &right, sizeof(got)));
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = symbol;
	CHECK(addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx, axsys) == ADDRXLAT_OK);

	/* The lower one answers itself, below one that passes all on. */
	mine = first;
	first->priv = &calls;
	first->get_page = my_get_page;
	first->read_caps = my_read_caps;
	first->reg_value = my_reg_value;
	first->sym_value = my_sym_value;
	first->sym_sizeof = my_sym_sizeof;
	first->sym_offsetof = my_sym_offsetof;
	first->num_value = my_num_value;
	ask(second, axctx, page, &got);
	CHECK(!memcmp(&got, &right, sizeof(got)));
	CHECK(calls.get_page == 1 && calls.read_caps == 1 && calls.reg_value == 1 && calls.sym_value == 1);
	CHECK(calls.sym_sizeof == 1 && calls.sym_offsetof == 1 && calls.num_value == 1);
	CHECK(second->reg_value(second, "mine", &val) == ADDRXLAT_OK && val == 4711);
	CHECK(second->sym_value(second, "mine", &val) == ADDRXLAT_OK && val == 4711);
	CHECK(second->sym_sizeof(second, "mine", &val) == ADDRXLAT_OK && val == 4711);
	CHECK(second->num_value(second, "mine", &val) == ADDRXLAT_OK && val == 4711);

	/* Both libraries ask them. */
	memset(&calls, 0, sizeof(calls));
	memset(bytes, 0, sizeof(bytes));
	length = 8;
	CHECK(kdump_read(ctx, KDUMP_KVADDR, symbol, bytes, &length) == KDUMP_OK);
	CHECK(!memcmp(bytes, expected, 8));
	other = addrxlat_sys_new();
	addrxlat_opt_arch(&opts[0], "x86_64");
	addrxlat_opt_os_type(&opts[1], "linux");
	CHECK(addrxlat_sys_os_init(other, axctx, 2, opts) == ADDRXLAT_OK);
	CHECK(calls.get_page && calls.read_caps && calls.sym_value && calls.num_value);
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = symbol;
	CHECK(addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx, other) == ADDRXLAT_OK);
	CHECK(addrxlat_sys_decref(other) == 0);

	addrxlat_ctx_del_cb(axctx, first);
	CHECK(addrxlat_ctx_get_cb(axctx) == second && second->next == bottom);
	ask(second, axctx, page, &got);
	CHECK(!memcmp(&got, &right, sizeof(got)));
	/* Both outlive the dump, which answers no more. */
	kdump_free(ctx);
	CHECK(second->sym_value(second, "init_uts_ns", &val) == ADDRXLAT_ERR_NODATA);
	CHECK(second->read_caps(second) == 0);
	CHECK(addrxlat_sys_decref(axsys) == 0);
	CHECK(addrxlat_ctx_decref(axctx) == 0);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "Usage: %s DUMP\n", argv[0]);
		return 2;
	}
	test_addresses(argv[1]);
	test_last_record();
	test_chain(argv[1]);
	printf("%u checks, %u failures\n", checks, failures);
	return failures ? 1 : 0;
}
