/* Everything at once, for as long as one likes: threads on clones of one context that read, look attributes up
 * and set them, iterate, translate, clone and free, while caches change their size.
 *
 * Usage: soak DUMP [SECONDS [THREADS]]
 *
 * All bytes are compared with what one thread read before. It fails on wrong bytes, on an error that nobody
 * asked for, on a thread that stands still for a minute, and on memory that grows.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libkdumpfile/kdumpfile.h>

#define MAX_THREADS 64
#define PAGES 256
#define PAGE 4096
#define SYMBOLS 64
#define SYMBOL_BYTES 6000

/* What the dump holds: read by one thread, before all others start. */
static kdump_addr_t pages[PAGES];
static unsigned char right[PAGES][PAGE];
static struct {
	char name[64];
	kdump_addr_t addr;
	size_t length;
	unsigned char bytes[SYMBOL_BYTES];
	kdump_addr_t machine; /* as libaddrxlat translates it */
	int has_machine;
} symbols[SYMBOLS];
static unsigned symbol_count;
static unsigned char bits[512];
static char *vmcoreinfo;
static kdump_num_t max_pfn;
static char release[128];
static int fd;

enum kind {
	READ_PHYSICAL, READ_VIRTUAL, READ_STRING, GET_ATTR, SET_ATTR, RESIZE, ITERATE, REFERENCE, BITMAP, VMCOREINFO,
	TRANSLATE, CALLBACK, CLONE, REOPEN, BLOB, WRONG, KINDS
};
static const char *const kind_names[KINDS] = {
	"physical reads", "virtual reads", "strings", "attributes read", "attributes set", "caches resized",
	"iterations", "references", "bitmaps", "VMCOREINFO", "translations", "callbacks added", "clones",
	"dumps opened", "blobs", "wrong requests"
};
/* How often in 256. */
static const unsigned char weights[KINDS] = { 92, 48, 4, 32, 8, 2, 4, 16, 8, 4, 12, 2, 8, 1, 3, 12 };

struct job {
	pthread_t thread;
	kdump_ctx_t *ctx;
	uint64_t random;
	unsigned long done[KINDS], busy, wrong;
	atomic_ulong steps; /* what the watcher looks at */
};

static struct job jobs[MAX_THREADS];
static atomic_int stop;

static unsigned next(struct job *job, unsigned limit)
{
	job->random ^= job->random << 13;
	job->random ^= job->random >> 7;
	job->random ^= job->random << 17;
	return (job->random >> 16) % limit;
}

static void complain(struct job *job, kdump_ctx_t *ctx, const char *what)
{
	const char *text = kdump_get_err(ctx);

	if (job->wrong++ < 5)
		fprintf(stderr, "thread %d: %s: %s\n", (int)(job - jobs), what, text ? text : "(no text)");
}

/* A status that must be OK, or BUSY where so many threads share a small cache. */
static int fine(struct job *job, kdump_ctx_t *ctx, kdump_status status, const char *what)
{
	if (status == KDUMP_OK)
		return 1;
	if (status == KDUMP_ERR_BUSY)
		++job->busy;
	else
		complain(job, ctx, what);
	return 0;
}

static void read_physical(struct job *job, kdump_ctx_t *ctx)
{
	unsigned at = next(job, PAGES), start = next(job, PAGE), length = 1 + next(job, PAGE - start);
	unsigned char page[PAGE];
	size_t done = length;

	if (!fine(job, ctx, kdump_read(ctx, KDUMP_MACHPHYSADDR, pages[at] + start, page, &done), "physical read"))
		return;
	if (done != length || memcmp(page, right[at] + start, length))
		complain(job, ctx, "physical read: other bytes");
}

static void read_virtual(struct job *job, kdump_ctx_t *ctx)
{
	unsigned at = next(job, symbol_count), start = next(job, symbols[at].length);
	unsigned length = 1 + next(job, symbols[at].length - start);
	unsigned char bytes[SYMBOL_BYTES];
	size_t done = length;

	if (!fine(job, ctx, kdump_read(ctx, KDUMP_KVADDR, symbols[at].addr + start, bytes, &done), "virtual read"))
		return;
	if (done != length || memcmp(bytes, symbols[at].bytes + start, length))
		complain(job, ctx, "virtual read: other bytes");
}

static void read_string(struct job *job, kdump_ctx_t *ctx)
{
	unsigned at = next(job, symbol_count);
	char *text;

	if (!memchr(symbols[at].bytes, 0, symbols[at].length))
		return;
	if (!fine(job, ctx, kdump_read_string(ctx, KDUMP_KVADDR, symbols[at].addr, &text), "string"))
		return;
	if (strcmp(text, (char *)symbols[at].bytes))
		complain(job, ctx, "string: other text");
	free(text);
}

static void get_attr(struct job *job, kdump_ctx_t *ctx)
{
	kdump_num_t num = 0;
	kdump_addr_t addr = 0;
	const char *text = "";
	char key[128];
	unsigned at = next(job, symbol_count);

	switch (next(job, 4)) {
	case 0:
		if (fine(job, ctx, kdump_get_number_attr(ctx, "max_pfn", &num), "max_pfn") && num != max_pfn)
			complain(job, ctx, "max_pfn: another number");
		break;
	case 1:
		if (fine(job, ctx, kdump_get_string_attr(ctx, "linux.uts.release", &text), "release") &&
		    strcmp(text, release))
			complain(job, ctx, "release: another text");
		break;
	case 2:
		snprintf(key, sizeof(key), "linux.vmcoreinfo.SYMBOL.%s", symbols[at].name);
		if (fine(job, ctx, kdump_get_address_attr(ctx, key, &addr), key) && addr != symbols[at].addr)
			complain(job, ctx, "symbol: another address");
		break;
	default:
		fine(job, ctx, kdump_get_number_attr(ctx, "cache.hits", &num), "cache.hits");
		fine(job, ctx, kdump_get_number_attr(ctx, "cache.size", &num), "cache.size");
		break;
	}
}

static void set_attr(struct job *job, kdump_ctx_t *ctx)
{
	switch (next(job, 6)) {
	case 0:
		fine(job, ctx, kdump_set_number_attr(ctx, "addrxlat.default.page_shift", 12), "page_shift");
		break;
	case 1:
		fine(job, ctx, kdump_clear_attr(ctx, "addrxlat.default.page_shift"), "no page_shift");
		break;
	case 2:
		fine(job, ctx, kdump_set_number_attr(ctx, KDUMP_ATTR_FILE_MMAP_POLICY, next(job, 4)), "mmap_policy");
		break;
	case 3:
		fine(job, ctx, kdump_set_number_attr(ctx, KDUMP_ATTR_ZERO_EXCLUDED, next(job, 2)), "zero_excluded");
		break;
	case 4:
		fine(job, ctx, kdump_set_string_attr(ctx, "file.set.0.name", next(job, 2) ? "dump" : "a longer name"),
		     "name");
		break;
	default:
		fine(job, ctx, kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"), "ostype");
		break;
	}
}

static unsigned walk(struct job *job, kdump_ctx_t *ctx, const kdump_attr_ref_t *dir, unsigned limit)
{
	kdump_attr_iter_t iter;
	kdump_status status = kdump_attr_ref_iter_start(ctx, dir, &iter);
	unsigned seen = 0;

	/* A directory may lose its last value while others clear it. */
	if (status == KDUMP_ERR_NODATA)
		return 0;
	if (!fine(job, ctx, status, "iteration"))
		return 0;
	while (iter.key && seen < limit) {
		kdump_attr_t attr;

		++seen;
		if (strlen(iter.key) > 200)
			complain(job, ctx, "iteration: a long key");
		if (kdump_attr_ref_type(&iter.pos) == KDUMP_DIRECTORY) {
			seen += walk(job, ctx, &iter.pos, limit - seen);
		} else {
			attr.type = KDUMP_NUMBER;
			status = kdump_attr_ref_get(ctx, &iter.pos, &attr);
			if (status != KDUMP_OK && status != KDUMP_ERR_NODATA)
				complain(job, ctx, "iteration: value");
		}
		kdump_attr_unref(ctx, &iter.pos);
		if (!fine(job, ctx, kdump_attr_iter_next(ctx, &iter), "iteration: next"))
			break;
	}
	kdump_attr_iter_end(ctx, &iter);
	return seen;
}

static void iterate(struct job *job, kdump_ctx_t *ctx)
{
	kdump_attr_ref_t root;

	if (fine(job, ctx, kdump_attr_ref(ctx, NULL, &root), "root") && walk(job, ctx, &root, 400) < 20)
		complain(job, ctx, "iteration: it ended early");
}

static void reference(struct job *job, kdump_ctx_t *ctx)
{
	kdump_attr_ref_t base, sub, copy;
	kdump_attr_t attr;

	if (!fine(job, ctx, kdump_attr_ref(ctx, "linux", &base), "linux") ||
	    !fine(job, ctx, kdump_sub_attr_ref(ctx, &base, "uts.release", &sub), "uts.release"))
		return;
	copy = sub;
	kdump_attr_unref(ctx, &sub);
	if (kdump_attr_ref_type(&copy) != KDUMP_STRING || !kdump_attr_ref_isset(&copy))
		complain(job, ctx, "reference: another type");
	if (fine(job, ctx, kdump_attr_ref_get(ctx, &copy, &attr), "reference") && strcmp(attr.val.string, release))
		complain(job, ctx, "reference: another text");
	kdump_attr_unref(ctx, &copy);
}

static void bitmap(struct job *job, kdump_ctx_t *ctx)
{
	unsigned char found[sizeof(bits)];
	kdump_attr_t attr;
	kdump_addr_t pfn;
	kdump_bmp_t *bmp;
	unsigned at = next(job, PAGES);

	if (!fine(job, ctx, kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr), "pagemap"))
		return;
	bmp = attr.val.bitmap;
	kdump_bmp_incref(bmp);
	pfn = pages[at] / PAGE;
	if (kdump_bmp_find_set(bmp, &pfn) != KDUMP_OK || pfn != pages[at] / PAGE)
		complain(job, ctx, "bitmap: another bit");
	if (kdump_bmp_get_bits(bmp, 0, sizeof(bits) * 8 - 1, found) != KDUMP_OK ||
	    memcmp(found, bits, sizeof(bits)))
		complain(job, ctx, "bitmap: other bits");
	pfn = max_pfn;
	if (kdump_bmp_find_set(bmp, &pfn) != KDUMP_ERR_NODATA)
		complain(job, ctx, "bitmap: a bit behind the end");
	/* The error string of a bitmap is one for all threads, so it is not looked at. */
	kdump_bmp_decref(bmp);
}

static void read_vmcoreinfo(struct job *job, kdump_ctx_t *ctx)
{
	unsigned at = next(job, symbol_count);
	kdump_addr_t addr = 0;
	char *text;

	if (fine(job, ctx, kdump_vmcoreinfo_raw(ctx, &text), "VMCOREINFO")) {
		if (strcmp(text, vmcoreinfo))
			complain(job, ctx, "VMCOREINFO: another text");
		free(text);
	}
	if (fine(job, ctx, kdump_vmcoreinfo_line(ctx, "OSRELEASE", &text), "OSRELEASE")) {
		if (strcmp(text, release))
			complain(job, ctx, "OSRELEASE: another text");
		free(text);
	}
	if (fine(job, ctx, kdump_vmcoreinfo_symbol(ctx, symbols[at].name, &addr), "symbol") &&
	    addr != symbols[at].addr)
		complain(job, ctx, "symbol: another address");
}

/* Through the objects of libaddrxlat. */
static void translate(struct job *job, kdump_ctx_t *ctx)
{
	unsigned at = next(job, symbol_count);
	addrxlat_fulladdr_t addr;
	addrxlat_ctx_t *axctx;
	addrxlat_sys_t *axsys;
	addrxlat_status status;

	if (!symbols[at].has_machine ||
	    !fine(job, ctx, kdump_get_addrxlat(ctx, &axctx, &axsys), "kdump_get_addrxlat"))
		return;
	addr.as = ADDRXLAT_KVADDR;
	addr.addr = symbols[at].addr;
	status = addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx, axsys);
	if (status == -KDUMP_ERR_BUSY)
		++job->busy;
	else if (status != ADDRXLAT_OK) {
		if (job->wrong++ < 5)
			fprintf(stderr, "translation: %s\n", addrxlat_ctx_get_err(axctx));
	} else if (addr.addr != symbols[at].machine)
		complain(job, ctx, "translation: another address");
	addrxlat_sys_decref(axsys);
	addrxlat_ctx_decref(axctx);
}

/* A record on the chain of a clone, for some reads. */
static void callback(struct job *job, kdump_ctx_t *ctx)
{
	kdump_ctx_t *clone = kdump_clone(ctx, KDUMP_CLONE_XLAT);
	addrxlat_ctx_t *axctx;
	addrxlat_cb_t *cb;

	if (fine(job, clone, kdump_get_addrxlat(clone, &axctx, NULL), "kdump_get_addrxlat")) {
		cb = addrxlat_ctx_add_cb(axctx);
		read_virtual(job, clone);
		read_virtual(job, clone);
		addrxlat_ctx_del_cb(axctx, cb);
		read_virtual(job, clone);
		addrxlat_ctx_decref(axctx);
	}
	kdump_free(clone);
}

static void clone_and_free(struct job *job, kdump_ctx_t *ctx)
{
	kdump_ctx_t *one = kdump_clone(ctx, next(job, 2) ? KDUMP_CLONE_XLAT : 0);
	kdump_ctx_t *two = kdump_clone(one, next(job, 2) ? KDUMP_CLONE_XLAT : 0);

	read_physical(job, two);
	read_virtual(job, one);
	if (next(job, 2)) {
		kdump_free(one);
		read_virtual(job, two);
		get_attr(job, two);
	} else {
		kdump_free(two);
		two = one;
		read_virtual(job, two);
	}
	/* Sometimes the clone takes the place of the context. */
	if (next(job, 4) == 0) {
		kdump_free(job->ctx);
		job->ctx = kdump_clone(two, 0);
	}
	kdump_free(two);
}

/* A dump of one's own, for a short time, and another file descriptor for it. */
static void reopen(struct job *job, kdump_ctx_t *unused)
{
	kdump_ctx_t *ctx = kdump_new();
	int mine = dup(fd);

	(void)unused;
	if (fine(job, ctx, kdump_open_fd(ctx, mine), "open")) {
		fine(job, ctx, kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"), "ostype");
		read_physical(job, ctx);
		read_virtual(job, ctx);
		fine(job, ctx, kdump_open_fd(ctx, fd), "open again");
		read_physical(job, ctx);
	}
	kdump_free(ctx);
	close(mine);
}

static void blob(struct job *job, kdump_ctx_t *unused)
{
	kdump_ctx_t *ctx = kdump_new();
	kdump_attr_t attr;
	kdump_addr_t addr = 0;
	unsigned at = next(job, symbol_count);

	(void)unused;
	attr.type = KDUMP_BLOB;
	attr.val.blob = kdump_blob_new(strdup(vmcoreinfo), strlen(vmcoreinfo));
	kdump_blob_pin(attr.val.blob);
	fine(job, ctx, kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux"), "ostype");
	if (fine(job, ctx, kdump_set_attr(ctx, "linux.vmcoreinfo.raw", &attr), "blob") &&
	    fine(job, ctx, kdump_vmcoreinfo_symbol(ctx, symbols[at].name, &addr), "symbol of a blob") &&
	    addr != symbols[at].addr)
		complain(job, ctx, "blob: another address");
	attr.val.blob = kdump_blob_new_dup("SYMBOL(x)=1\n", 12);
	fine(job, ctx, kdump_set_attr(ctx, "linux.vmcoreinfo.raw", &attr), "another blob");
	if (kdump_vmcoreinfo_symbol(ctx, "x", &addr) != KDUMP_OK || addr != 1)
		complain(job, ctx, "blob: its successor has another address");
	kdump_free(ctx);
}

static void ask_wrongly(struct job *job, kdump_ctx_t *ctx)
{
	unsigned char bytes[16];
	size_t length = sizeof(bytes);
	kdump_attr_t attr;
	kdump_status status;

	switch (next(job, 4)) {
	case 0:
		status = kdump_read(ctx, KDUMP_KVADDR, 0xdead000000000000, bytes, &length);
		if (status == KDUMP_ERR_BUSY)
			++job->busy;
		else if (status == KDUMP_OK || length || !kdump_get_err(ctx))
			complain(job, ctx, "a read of nothing worked");
		break;
	case 1:
		if (kdump_get_attr(ctx, "no.such.key", &attr) != KDUMP_ERR_NOKEY ||
		    strcmp(kdump_get_err(ctx), "No such key"))
			complain(job, ctx, "there is a key that is not");
		break;
	case 2:
		if (kdump_set_number_attr(ctx, "linux.uts.release", 1) != KDUMP_ERR_INVALID ||
		    !kdump_get_err(ctx))
			complain(job, ctx, "a number became a text");
		break;
	default:
		kdump_clear_err(ctx);
		if (kdump_err(ctx, KDUMP_ERR_CORRUPT, "%s %d", "message", 5) != KDUMP_ERR_CORRUPT ||
		    strcmp(kdump_get_err(ctx), "message 5"))
			complain(job, ctx, "another message");
		break;
	}
	kdump_clear_err(ctx);
}

static void resize(struct job *job, kdump_ctx_t *ctx)
{
	/* Now and then there is less room than there are threads. */
	fine(job, ctx, kdump_set_number_attr(ctx, "cache.size", next(job, 16) ? 16 + next(job, 500) : 1 + next(job, 8)),
	     "cache.size");
}

static void *work(void *data)
{
	static void (*const functions[KINDS])(struct job *, kdump_ctx_t *) = {
		read_physical, read_virtual, read_string, get_attr, set_attr, resize, iterate, reference, bitmap,
		read_vmcoreinfo, translate, callback, clone_and_free, reopen, blob, ask_wrongly
	};
	struct job *job = (struct job *)data;

	while (!atomic_load(&stop)) {
		unsigned pick = next(job, 256), kind = 0;

		while (pick >= weights[kind])
			pick -= weights[kind++];
		functions[kind](job, job->ctx);
		++job->done[kind];
		atomic_fetch_add(&job->steps, 1);
	}
	return NULL;
}

/* What the program has of the system, and what it uses of that, in KiB. */
static unsigned long resident(void)
{
	unsigned long size = 0, pages_resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file) {
		if (fscanf(file, "%lu %lu", &size, &pages_resident) != 2)
			pages_resident = 0;
		fclose(file);
	}
	return pages_resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static unsigned long used(void)
{
	struct mallinfo2 info = mallinfo2();

	return (info.uordblks + info.hblkhd) / 1024;
}

/* Reads what the threads compare with. */
static int prepare(kdump_ctx_t *ctx)
{
	addrxlat_ctx_t *axctx;
	addrxlat_sys_t *axsys;
	kdump_attr_t attr;
	const char *text;
	kdump_addr_t pfn = 0;
	char *line, *end;
	size_t length;
	unsigned i;

	if (kdump_open_fd(ctx, fd) != KDUMP_OK ||
	    kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux") != KDUMP_OK ||
	    kdump_get_number_attr(ctx, "max_pfn", &max_pfn) != KDUMP_OK ||
	    kdump_get_string_attr(ctx, "linux.uts.release", &text) != KDUMP_OK ||
	    kdump_vmcoreinfo_raw(ctx, &vmcoreinfo) != KDUMP_OK ||
	    kdump_get_attr(ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) != KDUMP_OK)
		return 0;
	snprintf(release, sizeof(release), "%s", text);
	if (kdump_bmp_get_bits(attr.val.bitmap, 0, sizeof(bits) * 8 - 1, bits) != KDUMP_OK)
		return 0;
	for (i = 0; i < PAGES; ++i, pfn += 1 + max_pfn / PAGES / 2) {
		length = PAGE;
		if (kdump_bmp_find_set(attr.val.bitmap, &pfn) != KDUMP_OK) {
			pfn = 1;
			if (kdump_bmp_find_set(attr.val.bitmap, &pfn) != KDUMP_OK)
				return 0;
		}
		pages[i] = pfn * PAGE;
		if (kdump_read(ctx, KDUMP_MACHPHYSADDR, pages[i], right[i], &length) != KDUMP_OK)
			return 0;
	}
	if (kdump_get_addrxlat(ctx, &axctx, &axsys) != KDUMP_OK)
		return 0;
	for (line = vmcoreinfo; (line = strstr(line, "SYMBOL(")) && symbol_count < SYMBOLS; line = end) {
		addrxlat_fulladdr_t addr;

		line += strlen("SYMBOL(");
		end = strchr(line, ')');
		if (!end || (size_t)(end - line) >= sizeof(symbols[0].name))
			break;
		snprintf(symbols[symbol_count].name, sizeof(symbols[0].name), "%.*s", (int)(end - line), line);
		addr.addr = symbols[symbol_count].addr = strtoull(end + 2, &end, 16);
		length = SYMBOL_BYTES;
		kdump_read(ctx, KDUMP_KVADDR, addr.addr, symbols[symbol_count].bytes, &length);
		symbols[symbol_count].length = length;
		addr.as = ADDRXLAT_KVADDR;
		symbols[symbol_count].has_machine =
			addrxlat_fulladdr_conv(&addr, ADDRXLAT_MACHPHYSADDR, axctx, axsys) == ADDRXLAT_OK;
		symbols[symbol_count].machine = addr.addr;
		if (length > 0)
			++symbol_count;
	}
	addrxlat_ctx_decref(axctx);
	addrxlat_sys_decref(axsys);
	return symbol_count > 0;
}

int main(int argc, char **argv)
{
	unsigned long seconds = argc > 2 ? strtoul(argv[2], NULL, 0) : 10, count = argc > 3 ? strtoul(argv[3], NULL, 0) : 8;
	unsigned long seen[MAX_THREADS] = { 0 }, wrong = 0, busy = 0, done[KINDS] = { 0 };
	unsigned long before, after, half_used = 0, half_resident = 0, end_used = 0, end_resident = 0;
	unsigned still[MAX_THREADS] = { 0 };
	time_t start = time(NULL), now, last = start;
	kdump_ctx_t *ctx;
	unsigned i, kind;

	if (argc < 2 || count < 1 || count > MAX_THREADS) {
		fprintf(stderr, "Usage: %s DUMP [SECONDS [THREADS]]\n", argv[0]);
		return 2;
	}
	fd = open(argv[1], O_RDONLY);
	/* What is made once and stays, such as the stacks of threads, is made now. */
	ctx = kdump_new();
	if (fd < 0 || !prepare(ctx)) {
		fprintf(stderr, "%s: %s\n", argv[1], kdump_get_err(ctx));
		return 2;
	}
	kdump_free(ctx);
	before = used();

	ctx = kdump_new();
	if (kdump_open_fd(ctx, fd) != KDUMP_OK || kdump_set_string_attr(ctx, KDUMP_ATTR_OSTYPE, "linux") != KDUMP_OK)
		return 2;
	for (i = 0; i < count; ++i) {
		jobs[i].ctx = kdump_clone(ctx, i % 4 == 3 ? KDUMP_CLONE_XLAT : 0);
		jobs[i].random = 0x9e3779b97f4a7c15 * (i + 1);
		pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
	}
	kdump_free(ctx);

	/* The largest amounts of each half are compared: caches that change their size make them go up and down. */
	while ((now = time(NULL)) < start + (time_t)seconds) {
		unsigned long mem = used(), res = resident();

		usleep(200000);
		if (now < start + (time_t)(seconds / 2)) {
			half_used = mem > half_used ? mem : half_used;
			half_resident = res > half_resident ? res : half_resident;
		} else {
			end_used = mem > end_used ? mem : end_used;
			end_resident = res > end_resident ? res : end_resident;
		}
		if (now == last)
			continue;
		for (i = 0; i < count; ++i) {
			unsigned long steps = atomic_load(&jobs[i].steps);

			still[i] = steps == seen[i] ? still[i] + 1 : 0;
			seen[i] = steps;
			if (still[i] > 60) {
				fprintf(stderr, "thread %u stands still\n", i);
				abort();
			}
		}
		if (now / 60 != last / 60)
			fprintf(stderr, "%5ld s: %lu KiB used, %lu KiB resident\n", (long)(now - start), mem, res);
		last = now;
	}
	atomic_store(&stop, 1);
	for (i = 0; i < count; ++i) {
		pthread_join(jobs[i].thread, NULL);
		kdump_free(jobs[i].ctx);
		wrong += jobs[i].wrong;
		busy += jobs[i].busy;
		for (kind = 0; kind < KINDS; ++kind)
			done[kind] += jobs[i].done[kind];
	}
	after = used();
	for (kind = 0; kind < KINDS; ++kind)
		printf("%10lu %s\n", done[kind], kind_names[kind]);
	printf("%10lu times there was no room in the cache\n", busy);
	printf("memory at most: first half %lu KiB used, %lu resident; second half %lu used, %lu resident\n", half_used,
	       half_resident, end_used, end_resident);
	printf("memory used without a dump: before %lu KiB, after %lu KiB\n", before, after);
	if (end_used > half_used + half_used / 2 + 1024 || after > before + 512) {
		printf("memory grows\n");
		++wrong;
	}
	printf("%lu threads, %lu s: %lu wrong\n", count, seconds, wrong);
	close(fd);
	free(vmcoreinfo);
	return wrong ? 1 : 0;
}
