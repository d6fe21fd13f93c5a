/* What libkdumpfile.so.12 does in another way than libkdumpfile.so.10. */
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

int main(void)
{
	kdump_ctx_t *ctx = kdump_new();
	kdump_attr_value_t val;
	kdump_attr_ref_t ref;
	kdump_attr_t attr, owned;
	kdump_num_t num = 0;
	const char *str;

	CHECK(KDUMPFILE_VERSION >= KDUMPFILE_MKVER(0, 5, 5));
	CHECK(kdump_get_number_attr(ctx, "cache.size", &num) == KDUMP_OK);
	CHECK(num == 1024);

	/* The type is looked at first, and nothing is stored. */
	val.number = 77;
	CHECK(kdump_get_typed_attr(ctx, "cache.size", KDUMP_STRING, &val) ==
	      KDUMP_ERR_INVALID);
	CHECK(val.number == 77);
	CHECK(!strcmp(kdump_get_err(ctx), "Attribute type mismatch"));
	CHECK(kdump_get_typed_attr(ctx, "arch.name", KDUMP_NUMBER, &val) ==
	      KDUMP_ERR_INVALID);
	CHECK(kdump_get_typed_attr(ctx, "arch.name", KDUMP_STRING, &val) ==
	      KDUMP_ERR_NODATA);
	CHECK(kdump_get_typed_attr(ctx, "no.such", KDUMP_STRING, &val) ==
	      KDUMP_ERR_NOKEY);

	/* A value by reference is the caller's own. */
	CHECK(kdump_set_string_attr(ctx, "arch.name", "x86_64") == KDUMP_OK);
	CHECK(kdump_attr_ref(ctx, "arch.name", &ref) == KDUMP_OK);
	CHECK(kdump_attr_ref_get(ctx, &ref, &owned) == KDUMP_OK);
	CHECK(kdump_get_string_attr(ctx, "arch.name", &str) == KDUMP_OK);
	CHECK(owned.type == KDUMP_STRING && owned.val.string != str);
	CHECK(kdump_set_string_attr(ctx, "arch.name", "ppc64") == KDUMP_OK);
	CHECK(!strcmp(owned.val.string, "x86_64"));
	kdump_attr_discard(ctx, &owned);

	attr.type = KDUMP_BLOB;
	attr.val.blob = kdump_blob_new_dup("A=1\n", 4);
	CHECK(kdump_set_attr(ctx, "linux.vmcoreinfo.raw", &attr) == KDUMP_OK);
	CHECK(kdump_attr_ref(ctx, "linux.vmcoreinfo.raw", &ref) == KDUMP_OK);
	CHECK(kdump_attr_ref_get(ctx, &ref, &owned) == KDUMP_OK);
	CHECK(owned.type == KDUMP_BLOB && owned.val.blob == attr.val.blob);
	CHECK(kdump_blob_incref(owned.val.blob) == 3);
	CHECK(kdump_blob_decref(owned.val.blob) == 2);
	CHECK(kdump_clear_attr(ctx, "linux.vmcoreinfo.raw") == KDUMP_OK);
	CHECK(kdump_blob_size(owned.val.blob) == 4);
	kdump_attr_discard(ctx, &owned);

	/* What failed may be discarded, too. */
	owned.type = KDUMP_STRING;
	CHECK(kdump_attr_ref_get(ctx, &ref, &owned) == KDUMP_ERR_NODATA);
	CHECK(owned.type == KDUMP_NIL);
	kdump_attr_discard(ctx, &owned);
	kdump_free(ctx);
	printf("%u checks, %u failures\n", checks, failures);
	return failures ? 1 : 0;
}
