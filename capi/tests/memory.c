/* Error strings and maps when there is no memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkdumpfile/kdumpfile.h>

extern void *__libc_malloc(size_t size);

static int refuse;
static const addrxlat_map_t *watched;
static size_t seen_length;

/* In place of the C library's: may refuse, and looks at a map meanwhile. */
void *malloc(size_t size)
{
	if (watched) {
		const addrxlat_map_t *map = watched;

		watched = NULL;
		seen_length = addrxlat_map_len(map);
		if (seen_length != 3 || addrxlat_map_ranges(map)[1].meth != 3)
			seen_length = 99;
	}
	return refuse ? NULL : __libc_malloc(size);
}

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

static const char letters[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghij";

static void add(addrxlat_ctx_t *ctx, const char *text)
{
	refuse = 1;
	addrxlat_ctx_err(ctx, ADDRXLAT_ERR_NODATA, "%s", text);
	refuse = 0;
}

int main(void)
{
	addrxlat_ctx_t *ctx = addrxlat_ctx_new();
	addrxlat_map_t *map = addrxlat_map_new();
	addrxlat_range_t range = { 0xfff, ADDRXLAT_SYS_METH_KTEXT };
	char expected[300], text[256];
	kdump_ctx_t *dump;

	/* A long text alone: 63 characters, marked at both ends. */
	add(ctx, letters);
	sprintf(expected, "<%.61s>", letters + 1);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	/* Nothing is free: the first character becomes the mark. */
	add(ctx, "x");
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));

	/* A long text in front of a short one. */
	addrxlat_ctx_clear_err(ctx);
	add(ctx, "123456789012345678901234567890");
	add(ctx, letters);
	sprintf(expected, "<%.29s>: 123456789012345678901234567890", letters + 33);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	CHECK(strlen(expected) == 63 + 1 - 1);

	/* Short ones in front of texts of 62, 63 and 100 characters. */
	addrxlat_ctx_clear_err(ctx);
	sprintf(text, "%.62s", letters);
	add(ctx, text);
	add(ctx, "short");
	sprintf(expected, "<%s", text);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	addrxlat_ctx_clear_err(ctx);
	sprintf(text, "%.63s", letters);
	add(ctx, text);
	add(ctx, "short");
	sprintf(expected, "<%s", text + 1);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	addrxlat_ctx_clear_err(ctx);
	memset(text, 'y', 100);
	text[100] = 0;
	addrxlat_ctx_err(ctx, ADDRXLAT_ERR_NODATA, "%s", text);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), text));
	add(ctx, "short");
	sprintf(expected, "<%s", text);
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	add(ctx, "short");
	CHECK(!strcmp(addrxlat_ctx_get_err(ctx), expected));
	CHECK(addrxlat_ctx_decref(ctx) == 0);

	/* The same for dumps, whose strings have more room. */
	dump = kdump_new();
	refuse = 1;
	kdump_err(dump, KDUMP_ERR_NODATA, "%s", text);
	kdump_err(dump, KDUMP_ERR_NODATA, "%s", letters);
	refuse = 0;
	CHECK(strlen(kdump_get_err(dump)) == 159);
	CHECK(kdump_get_err(dump)[0] == '<');
	CHECK(!strcmp(kdump_get_err(dump) + 59, text));
	refuse = 1;
	CHECK(!kdump_clone(dump, 0));
	CHECK(!kdump_clone(dump, KDUMP_CLONE_XLAT));
	refuse = 0;
	CHECK(strlen(kdump_get_err(dump)) == 159);
	kdump_free(dump);

	/* New objects are NULL. */
	refuse = 1;
	CHECK(!addrxlat_ctx_new());
	CHECK(!addrxlat_map_new());
	CHECK(!addrxlat_sys_new());
	CHECK(!kdump_new());
	refuse = 0;

	/* Maps stay as they were; and can be looked at while they change. */
	CHECK(addrxlat_map_set(map, 0x1000, &range) == ADDRXLAT_OK);
	refuse = 1;
	CHECK(addrxlat_map_set(map, 0x9000, &range) == ADDRXLAT_ERR_NOMEM);
	CHECK(!addrxlat_map_copy(map));
	refuse = 0;
	CHECK(addrxlat_map_len(map) == 3);
	watched = map;
	CHECK(addrxlat_map_set(map, 0x9000, &range) == ADDRXLAT_OK);
	CHECK(seen_length == 3 && addrxlat_map_len(map) == 5);
	CHECK(addrxlat_map_decref(map) == 0);

	printf("%u checks, %u failures\n", checks, failures);
	return failures ? 1 : 0;
}
