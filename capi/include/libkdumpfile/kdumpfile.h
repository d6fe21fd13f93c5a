/*
 * libkdumpfile: reading crash dumps of operating system kernels.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Written for this implementation from a description of the interface.
 * Functions that return a kdump_status leave a message for kdump_get_err()
 * when they fail, and none when they succeed.
 */
#ifndef _KDUMPFILE_H
#define _KDUMPFILE_H 1

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/sysmacros.h>

#include "addrxlat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ----- version ----------------------------------------------------------- */

#define KDUMPFILE_VER_MAJOR @MAJOR@
#define KDUMPFILE_VER_MINOR @MINOR@
#define KDUMPFILE_VER_MICRO @MICRO@

/* One number for a version, to be compared in #if. */
#define KDUMPFILE_MKVER(major, minor, micro) \
	(((major) << 16) | ((minor) << 8) | (micro))

#define KDUMPFILE_VERSION \
	KDUMPFILE_MKVER(KDUMPFILE_VER_MAJOR, KDUMPFILE_VER_MINOR, \
			KDUMPFILE_VER_MICRO)

#define KDUMPFILE_VERSION_STRING "@MAJOR@.@MINOR@.@MICRO@"

/* ----- numbers and addresses --------------------------------------------- */

/* Value of a number attribute. */
typedef uint_fast64_t kdump_num_t;

#define KDUMP_PRIoNUM PRIoFAST64
#define KDUMP_PRIuNUM PRIuFAST64
#define KDUMP_PRIxNUM PRIxFAST64
#define KDUMP_PRIXNUM PRIXFAST64

/* Any address; a physical one; a virtual one. */
typedef addrxlat_addr_t kdump_addr_t;
typedef kdump_addr_t kdump_paddr_t;
typedef kdump_addr_t kdump_vaddr_t;

#define KDUMP_ADDR_MAX ADDRXLAT_ADDR_MAX

#define KDUMP_PRIoADDR ADDRXLAT_PRIoADDR
#define KDUMP_PRIuADDR ADDRXLAT_PRIuADDR
#define KDUMP_PRIxADDR ADDRXLAT_PRIxADDR
#define KDUMP_PRIXADDR ADDRXLAT_PRIXADDR

/* ----- objects ----------------------------------------------------------- */

/* Access to a dump; used by one thread at a time, see kdump_clone(). */
typedef struct _kdump_ctx kdump_ctx_t;

/* A set of page frame numbers. */
typedef struct _kdump_bmp kdump_bmp_t;

/* Raw bytes. */
typedef struct _kdump_blob kdump_blob_t;

/* ----- status ------------------------------------------------------------ */

typedef enum _kdump_status {
	KDUMP_OK = 0,        /* success */
	KDUMP_ERR_SYSTEM,    /* the operating system refuses */
	KDUMP_ERR_NOTIMPL,   /* the library cannot do it */
	KDUMP_ERR_NODATA,    /* the dump, or an attribute, has no such data */
	KDUMP_ERR_CORRUPT,   /* the file contradicts itself */
	KDUMP_ERR_INVALID,   /* the caller asks for what cannot be */
	KDUMP_ERR_NOKEY,     /* there is no such attribute */
	KDUMP_ERR_EOF,       /* the file is too short */
	KDUMP_ERR_BUSY,      /* all slots of the cache are in use: try again */
	KDUMP_ERR_ADDRXLAT   /* the address cannot be translated */
} kdump_status;

/* ----- architectures ----------------------------------------------------- */

#define KDUMP_ARCH_AARCH64 "aarch64"
#define KDUMP_ARCH_ALPHA "alpha"
#define KDUMP_ARCH_ARM "arm"
#define KDUMP_ARCH_IA32 "ia32"
#define KDUMP_ARCH_IA64 "ia64"
#define KDUMP_ARCH_MIPS "mips"
#define KDUMP_ARCH_PPC "ppc"
#define KDUMP_ARCH_PPC64 "ppc64"
#define KDUMP_ARCH_RISCV32 "riscv32"
#define KDUMP_ARCH_RISCV64 "riscv64"
#define KDUMP_ARCH_S390 "s390"
#define KDUMP_ARCH_S390X "s390x"
#define KDUMP_ARCH_X86_64 "x86_64"

typedef enum _kdump_byte_order {
	KDUMP_BIG_ENDIAN = ADDRXLAT_BIG_ENDIAN,
	KDUMP_LITTLE_ENDIAN = ADDRXLAT_LITTLE_ENDIAN
} kdump_byte_order_t;

/* How files are mapped (attribute file.mmap_policy). */
typedef enum _kdump_mmap_policy {
	KDUMP_MMAP_NEVER = 0,  /* only read */
	KDUMP_MMAP_ALWAYS,     /* only map */
	KDUMP_MMAP_TRY,        /* map, or else read */
	KDUMP_MMAP_TRY_ONCE    /* the same until mapping fails once */
} kdump_mmap_policy_t;

/* What Xen has to do with the dump (attribute xen.type). */
typedef enum _kdump_xen_type {
	KDUMP_XEN_NONE = 0,    /* nothing */
	KDUMP_XEN_SYSTEM,      /* the whole machine, hypervisor included */
	KDUMP_XEN_DOMAIN       /* one domain */
} kdump_xen_type_t;

/* Whether the kernel translates physical addresses (attribute xen.xlat). */
typedef enum _kdump_xen_xlat {
	KDUMP_XEN_AUTO = 0,    /* the hypervisor does */
	KDUMP_XEN_NONAUTO      /* the kernel does */
} kdump_xen_xlat_t;

/* ----- contexts ---------------------------------------------------------- */

/* A new context without a dump, or NULL without memory. */
kdump_ctx_t *kdump_new(void);

/* What a clone has for itself beyond its error and its callbacks. */
enum kdump_clone_bits {
	KDUMP_CLONE_BIT_XLAT = 0   /* address translation */
};
#define KDUMP_CLONE_XLAT (1UL << KDUMP_CLONE_BIT_XLAT)

/*
 * Another context for the same dump, for instance for another thread. The two
 * share attributes, caches and files; private data and callbacks are copied.
 */
kdump_ctx_t *kdump_clone(const kdump_ctx_t *orig, unsigned long flags);

/* Frees a context. File descriptors stay open. */
void kdump_free(kdump_ctx_t *ctx);

/* Puts a message in front of the error and returns the status. */
kdump_status kdump_err(kdump_ctx_t *ctx, kdump_status status,
		       const char *msgfmt, ...)
#ifdef __GNUC__
	__attribute__((__format__(__printf__, 3, 4)))
#endif
	;

/* Forgets the error. */
void kdump_clear_err(kdump_ctx_t *ctx);

/* The error of the last call, or NULL. */
const char *kdump_get_err(kdump_ctx_t *ctx);

/* The general text for a status. */
const char *kdump_strerror(kdump_status status);

/*
 * The address translation of a dump, one new reference for each pointer that
 * is not NULL. The same objects are returned by each call.
 */
kdump_status kdump_get_addrxlat(kdump_ctx_t *ctx, addrxlat_ctx_t **axctx,
				addrxlat_sys_t **axsys);

/* From the byte order of the dump to that of this machine. */
uint_fast16_t kdump_d16toh(kdump_ctx_t *ctx, uint_fast16_t val);
uint_fast32_t kdump_d32toh(kdump_ctx_t *ctx, uint_fast32_t val);
uint_fast64_t kdump_d64toh(kdump_ctx_t *ctx, uint_fast64_t val);

/* A pointer that the library keeps and never looks at; NULL at first. */
void kdump_set_priv(kdump_ctx_t *ctx, void *data);
void *kdump_get_priv(kdump_ctx_t *ctx);

/* Finds the address of a symbol that VMCOREINFO does not have. */
typedef kdump_status kdump_get_symbol_val_fn(kdump_ctx_t *ctx,
					     const char *name,
					     kdump_addr_t *val);

/* Replaces that function, and returns the one before. */
kdump_get_symbol_val_fn *kdump_cb_get_symbol_val(kdump_ctx_t *ctx,
						 kdump_get_symbol_val_fn *cb);

/* ----- opening ----------------------------------------------------------- */

/* Names the first n files in messages. NULL removes a name. */
kdump_status kdump_set_filenames(kdump_ctx_t *ctx, unsigned n,
				 const char *const *names);

static inline kdump_status
kdump_set_filename(kdump_ctx_t *ctx, const char *name)
{
	return kdump_set_filenames(ctx, 1, &name);
}

/* Opens a dump of n files. Their descriptors must stay open. */
kdump_status kdump_open_fdset(kdump_ctx_t *ctx, unsigned nfds, const int *fds);

static inline kdump_status
kdump_open_fd(kdump_ctx_t *ctx, int fd)
{
	return kdump_open_fdset(ctx, 1, &fd);
}

/* ----- reading ----------------------------------------------------------- */

typedef enum _kdump_addrspace {
	KDUMP_KPHYSADDR = ADDRXLAT_KPHYSADDR,       /* as the kernel sees it */
	KDUMP_MACHPHYSADDR = ADDRXLAT_MACHPHYSADDR, /* as the machine does */
	KDUMP_KVADDR = ADDRXLAT_KVADDR,             /* kernel virtual */
	KDUMP_NOADDR = ADDRXLAT_NOADDR              /* none */
} kdump_addrspace_t;

/*
 * Reads *plength bytes. Afterwards *plength is the number of bytes that were
 * read, which is less only after a failure.
 */
kdump_status kdump_read(kdump_ctx_t *ctx, kdump_addrspace_t as,
			kdump_addr_t addr, void *buffer, size_t *plength);

/* Reads up to the first NUL; the caller frees the string with free(). */
kdump_status kdump_read_string(kdump_ctx_t *ctx, kdump_addrspace_t as,
			       kdump_addr_t addr, char **pstr);

/* ----- bitmaps ----------------------------------------------------------- */

/* Both return the new number of references. */
unsigned long kdump_bmp_incref(kdump_bmp_t *bmp);
unsigned long kdump_bmp_decref(kdump_bmp_t *bmp);

/* The error of the last call with this bitmap, or NULL. */
const char *kdump_bmp_get_err(const kdump_bmp_t *bmp);

/* Bits first to last, both included; the lowest bit of each byte first. */
kdump_status kdump_bmp_get_bits(kdump_bmp_t *bmp, kdump_addr_t first,
				kdump_addr_t last, unsigned char *raw);

/* The next set, or clear, bit from *idx on. */
kdump_status kdump_bmp_find_set(kdump_bmp_t *bmp, kdump_addr_t *idx);
kdump_status kdump_bmp_find_clear(kdump_bmp_t *bmp, kdump_addr_t *idx);

/* ----- blobs ------------------------------------------------------------- */

/* A blob of bytes from malloc(), which it takes over; or of a copy. */
kdump_blob_t *kdump_blob_new(void *data, size_t size);
kdump_blob_t *kdump_blob_new_dup(const void *data, size_t size);

/* Both return the new number of references. */
unsigned long kdump_blob_incref(kdump_blob_t *blob);
unsigned long kdump_blob_decref(kdump_blob_t *blob);

/* The bytes, which stay in place until each pin is taken back. */
void *kdump_blob_pin(kdump_blob_t *blob);
unsigned long kdump_blob_unpin(kdump_blob_t *blob);

size_t kdump_blob_size(const kdump_blob_t *blob);

/* Replaces the bytes, unless they are pinned. */
kdump_status kdump_blob_set(kdump_blob_t *blob, void *data, size_t size);

/* ----- attributes -------------------------------------------------------- */

typedef enum _kdump_attr_type {
	KDUMP_NIL = 0,    /* no value */
	KDUMP_DIRECTORY,  /* other attributes */
	KDUMP_NUMBER,
	KDUMP_ADDRESS,
	KDUMP_STRING,
	KDUMP_BITMAP,
	KDUMP_BLOB
} kdump_attr_type_t;

typedef union _kdump_attr_value {
	kdump_num_t number;
	kdump_addr_t address;
	const char *string;
	kdump_bmp_t *bitmap;
	kdump_blob_t *blob;
} kdump_attr_value_t;

typedef struct _kdump_attr {
	kdump_attr_type_t type;
	kdump_attr_value_t val;
} kdump_attr_t;

/* An attribute; may be copied, and is valid while the attribute exists. */
typedef struct _kdump_attr_ref {
	void *_ptr;
} kdump_attr_ref_t;

/* A place in a directory; key is NULL at its end. */
typedef struct _kdump_attr_iter {
	const char *key;
	kdump_attr_ref_t pos;
} kdump_attr_iter_t;

/*
 * Sets or clears (KDUMP_NIL) an attribute. A string is copied; a reference to
 * a bitmap or blob goes to the attribute.
 */
kdump_status kdump_set_attr(kdump_ctx_t *ctx, const char *key,
			    const kdump_attr_t *valp);

static inline kdump_status
kdump_set_number_attr(kdump_ctx_t *ctx, const char *key, kdump_num_t num)
{
	kdump_attr_t attr;

	attr.type = KDUMP_NUMBER;
	attr.val.number = num;
	return kdump_set_attr(ctx, key, &attr);
}

static inline kdump_status
kdump_set_address_attr(kdump_ctx_t *ctx, const char *key, kdump_addr_t addr)
{
	kdump_attr_t attr;

	attr.type = KDUMP_ADDRESS;
	attr.val.address = addr;
	return kdump_set_attr(ctx, key, &attr);
}

static inline kdump_status
kdump_set_string_attr(kdump_ctx_t *ctx, const char *key, const char *str)
{
	kdump_attr_t attr;

	attr.type = KDUMP_STRING;
	attr.val.string = str;
	return kdump_set_attr(ctx, key, &attr);
}

static inline kdump_status
kdump_clear_attr(kdump_ctx_t *ctx, const char *key)
{
	kdump_attr_t attr;

	attr.type = KDUMP_NIL;
	attr.val.number = 0;
	return kdump_set_attr(ctx, key, &attr);
}

/*
 * The value of an attribute. Strings, bitmaps and blobs are borrowed: valid
 * until the attribute changes, or all contexts of the dump are freed.
 */
kdump_status kdump_get_attr(kdump_ctx_t *ctx, const char *key,
			    kdump_attr_t *valp);

#if KDUMPFILE_VERSION < KDUMPFILE_MKVER(0, 5, 5)

/* The same for an attribute that has to be of type valp->type. */
kdump_status kdump_get_typed_attr(kdump_ctx_t *ctx, const char *key,
				  kdump_attr_t *valp);

static inline kdump_status
kdump_get_number_attr(kdump_ctx_t *ctx, const char *key, kdump_num_t *num)
{
	kdump_attr_t attr;
	kdump_status status;

	attr.type = KDUMP_NUMBER;
	status = kdump_get_typed_attr(ctx, key, &attr);
	if (status == KDUMP_OK)
		*num = attr.val.number;
	return status;
}

static inline kdump_status
kdump_get_address_attr(kdump_ctx_t *ctx, const char *key, kdump_addr_t *addr)
{
	kdump_attr_t attr;
	kdump_status status;

	attr.type = KDUMP_ADDRESS;
	status = kdump_get_typed_attr(ctx, key, &attr);
	if (status == KDUMP_OK)
		*addr = attr.val.address;
	return status;
}

static inline kdump_status
kdump_get_string_attr(kdump_ctx_t *ctx, const char *key, const char **str)
{
	kdump_attr_t attr;
	kdump_status status;

	attr.type = KDUMP_STRING;
	status = kdump_get_typed_attr(ctx, key, &attr);
	if (status == KDUMP_OK)
		*str = attr.val.string;
	return status;
}

#else /* from 0.5.5 on */

/* The same for an attribute that has to be of this type. */
kdump_status kdump_get_typed_attr(kdump_ctx_t *ctx, const char *key,
				  kdump_attr_type_t type,
				  kdump_attr_value_t *valp);

static inline kdump_status
kdump_get_number_attr(kdump_ctx_t *ctx, const char *key, kdump_num_t *num)
{
	kdump_attr_value_t val;
	kdump_status status;

	status = kdump_get_typed_attr(ctx, key, KDUMP_NUMBER, &val);
	if (status == KDUMP_OK)
		*num = val.number;
	return status;
}

static inline kdump_status
kdump_get_address_attr(kdump_ctx_t *ctx, const char *key, kdump_addr_t *addr)
{
	kdump_attr_value_t val;
	kdump_status status;

	status = kdump_get_typed_attr(ctx, key, KDUMP_ADDRESS, &val);
	if (status == KDUMP_OK)
		*addr = val.address;
	return status;
}

static inline kdump_status
kdump_get_string_attr(kdump_ctx_t *ctx, const char *key, const char **str)
{
	kdump_attr_value_t val;
	kdump_status status;

	status = kdump_get_typed_attr(ctx, key, KDUMP_STRING, &val);
	if (status == KDUMP_OK)
		*str = val.string;
	return status;
}

/* Gives back what kdump_attr_ref_get() stored. */
void kdump_attr_discard(kdump_ctx_t *ctx, kdump_attr_t *attr);

#endif

/* References to attributes; key NULL is the root. */
kdump_status kdump_attr_ref(kdump_ctx_t *ctx, const char *key,
			    kdump_attr_ref_t *ref);
kdump_status kdump_sub_attr_ref(kdump_ctx_t *ctx, const kdump_attr_ref_t *base,
				const char *subkey, kdump_attr_ref_t *ref);
void kdump_attr_unref(kdump_ctx_t *ctx, kdump_attr_ref_t *ref);

kdump_attr_type_t kdump_attr_ref_type(kdump_attr_ref_t *ref);
int kdump_attr_ref_isset(kdump_attr_ref_t *ref);

/*
 * The value of an attribute. Borrowed up to version 0.5.4; from 0.5.5 on the
 * caller gives it back with kdump_attr_discard().
 */
kdump_status kdump_attr_ref_get(kdump_ctx_t *ctx, const kdump_attr_ref_t *ref,
				kdump_attr_t *valp);
kdump_status kdump_attr_ref_set(kdump_ctx_t *ctx, kdump_attr_ref_t *ref,
				const kdump_attr_t *valp);
kdump_status kdump_set_sub_attr(kdump_ctx_t *ctx, const kdump_attr_ref_t *base,
				const char *subkey, const kdump_attr_t *valp);

/* One attribute of a directory after the other, those with a value. */
kdump_status kdump_attr_iter_start(kdump_ctx_t *ctx, const char *path,
				   kdump_attr_iter_t *iter);
kdump_status kdump_attr_ref_iter_start(kdump_ctx_t *ctx,
				       const kdump_attr_ref_t *ref,
				       kdump_attr_iter_t *iter);
kdump_status kdump_attr_iter_next(kdump_ctx_t *ctx, kdump_attr_iter_t *iter);
void kdump_attr_iter_end(kdump_ctx_t *ctx, kdump_attr_iter_t *iter);

/* ----- keys of attributes ------------------------------------------------ */

#define KDUMP_ATTR_FILE_FD "file.fd"
#define KDUMP_ATTR_FILE_SET "file.set"
#define KDUMP_ATTR_FILE_FORMAT "file.format"
#define KDUMP_ATTR_FILE_PAGEMAP "file.pagemap"
#define KDUMP_ATTR_MEMORY_PAGEMAP "memory.pagemap"
#define KDUMP_ATTR_ARCH_NAME "arch.name"
#define KDUMP_ATTR_BYTE_ORDER "arch.byte_order"
#define KDUMP_ATTR_PTR_SIZE "arch.ptr_size"
#define KDUMP_ATTR_PAGE_SIZE "arch.page_size"
#define KDUMP_ATTR_PAGE_SHIFT "arch.page_shift"
#define KDUMP_ATTR_NUM_CPUS "cpu.number"
#define KDUMP_ATTR_OSTYPE "addrxlat.ostype"
#define KDUMP_ATTR_XLAT_DEFAULT "addrxlat.default"
#define KDUMP_ATTR_XLAT_FORCE "addrxlat.force"
#define KDUMP_ATTR_XEN_TYPE "xen.type"
#define KDUMP_ATTR_XEN_XLAT "xen.xlat"
#define KDUMP_ATTR_LINUX_VERSION_CODE "linux.version_code"
#define KDUMP_ATTR_XEN_VERSION_CODE "xen.version_code"
#define KDUMP_ATTR_XEN_PHYS_START "xen.phys_start"
#define KDUMP_ATTR_ZERO_EXCLUDED "file.zero_excluded"
#define KDUMP_ATTR_FILE_MMAP_POLICY "file.mmap_policy"
#define KDUMP_ATTR_ERASEINFO "file.eraseinfo.raw"

/* ----- VMCOREINFO -------------------------------------------------------- */

/* Both strings are freed by the caller with free(). */
kdump_status kdump_vmcoreinfo_raw(kdump_ctx_t *ctx, char **raw);
kdump_status kdump_vmcoreinfo_line(kdump_ctx_t *ctx, const char *key,
				   char **val);

/* The address of a symbol. */
kdump_status kdump_vmcoreinfo_symbol(kdump_ctx_t *ctx, const char *symname,
				     kdump_addr_t *symvalue);

#ifdef __cplusplus
}
#endif

#endif /* _KDUMPFILE_H */
