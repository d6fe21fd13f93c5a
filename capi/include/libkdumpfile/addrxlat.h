/*
 * libaddrxlat: translation of addresses between address spaces.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Written for this implementation from a description of the interface.
 */
#ifndef _ADDRXLAT_H
#define _ADDRXLAT_H 1

#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ----- version ----------------------------------------------------------- */

#define ADDRXLAT_VER_MAJOR @MAJOR@
#define ADDRXLAT_VER_MINOR @MINOR@
#define ADDRXLAT_VER_MICRO @MICRO@

/* One number for a version, to be compared in #if. */
#define ADDRXLAT_MKVER(major, minor, micro) \
	(((major) << 16) | ((minor) << 8) | (micro))

#define ADDRXLAT_VERSION \
	ADDRXLAT_MKVER(ADDRXLAT_VER_MAJOR, ADDRXLAT_VER_MINOR, \
		       ADDRXLAT_VER_MICRO)

#define ADDRXLAT_VERSION_STRING "@MAJOR@.@MINOR@.@MICRO@"

/* ----- status ------------------------------------------------------------ */

typedef enum _addrxlat_status {
	ADDRXLAT_OK = 0,           /* success */
	ADDRXLAT_ERR_NOTIMPL,      /* the library cannot do it */
	ADDRXLAT_ERR_NOTPRESENT,   /* the address is not mapped */
	ADDRXLAT_ERR_INVALID,      /* the address, or a table, is wrong */
	ADDRXLAT_ERR_NOMEM,        /* there is no memory */
	ADDRXLAT_ERR_NODATA,       /* what is needed is not known */
	ADDRXLAT_ERR_NOMETH,       /* there is no way */

	/* This and all lower numbers belong to callbacks. */
	ADDRXLAT_ERR_CUSTOM_BASE = -1
} addrxlat_status;

/* The general text for a status. */
const char *addrxlat_strerror(addrxlat_status status);

/* ----- addresses --------------------------------------------------------- */

/* An address; a distance of two; an entry of a page table. */
typedef uint_fast64_t addrxlat_addr_t;
typedef int_fast64_t addrxlat_off_t;
typedef uint_fast64_t addrxlat_pte_t;

#define ADDRXLAT_ADDR_MAX (~(addrxlat_addr_t)0)

#define ADDRXLAT_PRIoADDR PRIoFAST64
#define ADDRXLAT_PRIuADDR PRIuFAST64
#define ADDRXLAT_PRIxADDR PRIxFAST64
#define ADDRXLAT_PRIXADDR PRIXFAST64

#define ADDRXLAT_PRIoPTE PRIoFAST64
#define ADDRXLAT_PRIuPTE PRIuFAST64
#define ADDRXLAT_PRIxPTE PRIxFAST64
#define ADDRXLAT_PRIXPTE PRIXFAST64

typedef enum _addrxlat_addrspace {
	ADDRXLAT_KPHYSADDR = 0,    /* physical, as the kernel sees it */
	ADDRXLAT_MACHPHYSADDR,     /* physical, as the machine sees it */
	ADDRXLAT_KVADDR,           /* virtual, of the kernel */
	ADDRXLAT_NOADDR = -1       /* no address */
} addrxlat_addrspace_t;

const char *addrxlat_addrspace_name(addrxlat_addrspace_t as);

/* A mask of address spaces is made of these. */
#define ADDRXLAT_CAPS(val) (1UL << (unsigned)(val))

/* An address with its space. */
typedef struct _addrxlat_fulladdr {
	addrxlat_addr_t addr;
	addrxlat_addrspace_t as;
} addrxlat_fulladdr_t;

typedef enum _addrxlat_byte_order {
	ADDRXLAT_BIG_ENDIAN = 0,
	ADDRXLAT_LITTLE_ENDIAN,
	ADDRXLAT_HOST_ENDIAN = -1
} addrxlat_byte_order_t;

/* ----- objects ----------------------------------------------------------- */

/* Callbacks, and the error of the last call. */
typedef struct _addrxlat_ctx addrxlat_ctx_t;

/* Which method is for which addresses. */
typedef struct _addrxlat_map addrxlat_map_t;

/* Maps and methods. */
typedef struct _addrxlat_sys addrxlat_sys_t;

/* ----- callbacks --------------------------------------------------------- */

typedef struct _addrxlat_buffer addrxlat_buffer_t;
typedef struct _addrxlat_cb addrxlat_cb_t;

/* Called when a buffer is no longer needed. */
typedef void addrxlat_put_page_fn(const addrxlat_buffer_t *buf);

/* A block of memory. */
struct _addrxlat_buffer {
	addrxlat_fulladdr_t addr;          /* of the first byte */
	const void *ptr;                   /* the bytes */
	size_t size;                       /* how many there are */
	addrxlat_byte_order_t byte_order;  /* of numbers in them */
	addrxlat_put_page_fn *put_page;
	void *priv;                        /* for put_page */
};

/* Fills a buffer with the block that contains buf->addr. */
typedef addrxlat_status addrxlat_get_page_fn(const addrxlat_cb_t *cb,
					     addrxlat_buffer_t *buf);

/* The address spaces that get_page can read, as a mask. */
typedef unsigned long addrxlat_read_caps_fn(const addrxlat_cb_t *cb);

/* The value of a register. */
typedef addrxlat_status addrxlat_cb_reg_value_fn(const addrxlat_cb_t *cb,
						 const char *name,
						 addrxlat_addr_t *val);

/* The address of a symbol. */
typedef addrxlat_status addrxlat_cb_sym_value_fn(const addrxlat_cb_t *cb,
						 const char *name,
						 addrxlat_addr_t *val);

/* The size of a symbol or type. */
typedef addrxlat_status addrxlat_cb_sym_sizeof_fn(const addrxlat_cb_t *cb,
						  const char *name,
						  addrxlat_addr_t *val);

/* The offset of a member. */
typedef addrxlat_status addrxlat_cb_sym_offsetof_fn(const addrxlat_cb_t *cb,
						    const char *obj,
						    const char *elem,
						    addrxlat_addr_t *val);

/* A number that the kernel exports. */
typedef addrxlat_status addrxlat_cb_num_value_fn(const addrxlat_cb_t *cb,
						 const char *name,
						 addrxlat_addr_t *val);

/*
 * One record of a chain of callbacks. Its functions may call those of the
 * record below, with that record: cb->next->get_page(cb->next, buf).
 */
struct _addrxlat_cb {
	const addrxlat_cb_t *next;
	void *priv;                        /* for the functions */
	addrxlat_get_page_fn *get_page;
	addrxlat_read_caps_fn *read_caps;
	addrxlat_cb_reg_value_fn *reg_value;
	addrxlat_cb_sym_value_fn *sym_value;
	addrxlat_cb_sym_sizeof_fn *sym_sizeof;
	addrxlat_cb_sym_offsetof_fn *sym_offsetof;
	addrxlat_cb_num_value_fn *num_value;
};

/* ----- contexts ---------------------------------------------------------- */

/* A new context with one reference. */
addrxlat_ctx_t *addrxlat_ctx_new(void);

/* Both return the new number of references. */
unsigned long addrxlat_ctx_incref(addrxlat_ctx_t *ctx);
unsigned long addrxlat_ctx_decref(addrxlat_ctx_t *ctx);

/* Puts a message in front of the error and returns the status. */
addrxlat_status addrxlat_ctx_err(addrxlat_ctx_t *ctx, addrxlat_status status,
				 const char *msgfmt, ...)
#ifdef __GNUC__
	__attribute__((__format__(__printf__, 3, 4)))
#endif
	;

/* Forgets the error. */
void addrxlat_ctx_clear_err(addrxlat_ctx_t *ctx);

/* The error, or NULL. */
const char *addrxlat_ctx_get_err(const addrxlat_ctx_t *ctx);

/* Adds a record on top, which passes everything on until it is changed. */
addrxlat_cb_t *addrxlat_ctx_add_cb(addrxlat_ctx_t *ctx);

/* Removes a record, and frees it. */
void addrxlat_ctx_del_cb(addrxlat_ctx_t *ctx, addrxlat_cb_t *cb);

/* The record on top. */
const addrxlat_cb_t *addrxlat_ctx_get_cb(const addrxlat_ctx_t *ctx);

/* ----- methods ----------------------------------------------------------- */

/* How a method translates. */
typedef enum _addrxlat_kind {
	ADDRXLAT_NOMETH = 0,       /* not at all */
	ADDRXLAT_CUSTOM,           /* by functions of the caller */
	ADDRXLAT_LINEAR,           /* by adding an offset */
	ADDRXLAT_PGT,              /* by page tables */
	ADDRXLAT_LOOKUP,           /* by a list of objects */
	ADDRXLAT_MEMARR            /* by an array in memory */
} addrxlat_kind_t;

typedef struct _addrxlat_step addrxlat_step_t;

/* Begins to translate addr: sets base, remain, elemsz and idx. */
typedef addrxlat_status addrxlat_first_step_fn(addrxlat_step_t *step,
					       addrxlat_addr_t addr);

/* Goes on with the element at base. */
typedef addrxlat_status addrxlat_next_step_fn(addrxlat_step_t *step);

typedef struct _addrxlat_param_custom {
	addrxlat_first_step_fn *first_step;
	addrxlat_next_step_fn *next_step;
	void *data;                        /* for the two */
} addrxlat_param_custom_t;

typedef struct _addrxlat_param_linear {
	addrxlat_off_t off;                /* target less source */
} addrxlat_param_linear_t;

/* Formats of page-table entries. */
typedef enum _addrxlat_pte_format {
	ADDRXLAT_PTE_INVALID = -1,
	ADDRXLAT_PTE_NONE = 0,             /* no table: only an offset */
	ADDRXLAT_PTE_PFN32,                /* frame numbers of 32 bits */
	ADDRXLAT_PTE_PFN64,                /* frame numbers of 64 bits */
	ADDRXLAT_PTE_AARCH64,              /* Arm, 64 bits */
	ADDRXLAT_PTE_IA32,                 /* x86, 32 bits */
	ADDRXLAT_PTE_IA32_PAE,             /* x86, 32 bits, PAE */
	ADDRXLAT_PTE_X86_64,               /* x86, 64 bits */
	ADDRXLAT_PTE_S390X,                /* z/Architecture */
	ADDRXLAT_PTE_PPC64_LINUX_RPN30,    /* POWER, Linux before 3.10 */
	ADDRXLAT_PTE_AARCH64_LPA,          /* Arm, 64 bits, 64K pages, LPA */
	ADDRXLAT_PTE_AARCH64_LPA2,         /* Arm, 64 bits, LPA2 */
	ADDRXLAT_PTE_ARM,                  /* Arm, 32 bits, short descriptors */
	ADDRXLAT_PTE_RISCV32,              /* RISC-V, 32 bits */
	ADDRXLAT_PTE_RISCV64               /* RISC-V, 64 bits */
} addrxlat_pte_format_t;

/* The name of a format, or NULL; the format of a name, or -1. */
const char *addrxlat_pte_format_name(addrxlat_pte_format_t fmt);
addrxlat_pte_format_t addrxlat_pte_format(const char *name);

/* log2 of the size of an entry in bytes, or -1. */
int addrxlat_pteval_shift(addrxlat_pte_format_t fmt);

/* Into how many parts an address can be cut. */
#define ADDRXLAT_FIELDS_MAX 8

typedef struct _addrxlat_paging_form {
	addrxlat_pte_format_t pte_format;
	unsigned short nfields;                      /* parts of an address */
	unsigned short fieldsz[ADDRXLAT_FIELDS_MAX]; /* bits, offset first */
} addrxlat_paging_form_t;

typedef struct _addrxlat_param_pgt {
	addrxlat_fulladdr_t root;          /* the top-level table */
	addrxlat_pte_t pte_mask;           /* bits that entries lose */
	addrxlat_paging_form_t pf;
} addrxlat_param_pgt_t;

/* An object of a lookup table: its first address here and there. */
typedef struct _addrxlat_lookup_elem {
	addrxlat_addr_t orig;
	addrxlat_addr_t dest;
} addrxlat_lookup_elem_t;

typedef struct _addrxlat_param_lookup {
	addrxlat_addr_t endoff;            /* size of an object less one */
	size_t nelem;                      /* number of objects */
	addrxlat_lookup_elem_t *tbl;       /* belongs to the caller */
} addrxlat_param_lookup_t;

typedef struct _addrxlat_param_memarr {
	addrxlat_fulladdr_t base;          /* the array */
	unsigned shift;                    /* log2 of bytes for an element */
	unsigned elemsz;                   /* size of an element */
	unsigned valsz;                    /* size of the value in it */
} addrxlat_param_memarr_t;

typedef union _addrxlat_param {
	addrxlat_param_custom_t custom;
	addrxlat_param_linear_t linear;
	addrxlat_param_pgt_t pgt;
	addrxlat_param_lookup_t lookup;
	addrxlat_param_memarr_t memarr;
} addrxlat_param_t;

typedef struct _addrxlat_meth {
	addrxlat_kind_t kind;
	addrxlat_addrspace_t target_as;    /* space of the result */
	addrxlat_param_t param;
} addrxlat_meth_t;

/* ----- maps -------------------------------------------------------------- */

/* Places of methods in a system. */
typedef enum _addrxlat_sys_meth {
	ADDRXLAT_SYS_METH_NONE = -1,
	ADDRXLAT_SYS_METH_PGT = 0,         /* page tables of the kernel */
	ADDRXLAT_SYS_METH_UPGT,            /* page tables of a process */
	ADDRXLAT_SYS_METH_DIRECT,          /* direct mapping */
	ADDRXLAT_SYS_METH_KTEXT,           /* text of the kernel */
	ADDRXLAT_SYS_METH_VMEMMAP,         /* page structures */
	ADDRXLAT_SYS_METH_RDIRECT,         /* direct mapping, in reverse */
	ADDRXLAT_SYS_METH_MACHPHYS_KPHYS,
	ADDRXLAT_SYS_METH_KPHYS_MACHPHYS,
	ADDRXLAT_SYS_METH_CUSTOM           /* the first one for the caller */
} addrxlat_sys_meth_t;

#define ADDRXLAT_SYS_METH_CUSTOM_NUM 8
#define ADDRXLAT_SYS_METH_NUM \
	(ADDRXLAT_SYS_METH_CUSTOM + ADDRXLAT_SYS_METH_CUSTOM_NUM)

typedef struct _addrxlat_range {
	addrxlat_addr_t endoff;            /* size less one */
	addrxlat_sys_meth_t meth;
} addrxlat_range_t;

/* A new map, which maps nothing, with one reference. */
addrxlat_map_t *addrxlat_map_new(void);

/* Both return the new number of references. */
unsigned long addrxlat_map_incref(addrxlat_map_t *map);
unsigned long addrxlat_map_decref(addrxlat_map_t *map);

/* The ranges, which follow each other from address 0 on. */
size_t addrxlat_map_len(const addrxlat_map_t *map);
const addrxlat_range_t *addrxlat_map_ranges(const addrxlat_map_t *map);

/* Gives the addresses from addr to addr + range->endoff a method. */
addrxlat_status addrxlat_map_set(addrxlat_map_t *map, addrxlat_addr_t addr,
				 const addrxlat_range_t *range);

/* The method of an address. */
addrxlat_sys_meth_t addrxlat_map_search(const addrxlat_map_t *map,
					addrxlat_addr_t addr);

/* A copy with one reference. */
addrxlat_map_t *addrxlat_map_copy(const addrxlat_map_t *map);

/* ----- systems ----------------------------------------------------------- */

/* Places of maps in a system. */
typedef enum _addrxlat_sys_map {
	ADDRXLAT_SYS_MAP_HW = 0,           /* virtual, as the hardware does */
	ADDRXLAT_SYS_MAP_KV_PHYS,          /* virtual to physical */
	ADDRXLAT_SYS_MAP_KPHYS_DIRECT,     /* physical to virtual */
	ADDRXLAT_SYS_MAP_MACHPHYS_KPHYS,
	ADDRXLAT_SYS_MAP_KPHYS_MACHPHYS,
	ADDRXLAT_SYS_MAP_NUM
} addrxlat_sys_map_t;

/* A new system without maps and methods, with one reference. */
addrxlat_sys_t *addrxlat_sys_new(void);

/* Both return the new number of references. */
unsigned long addrxlat_sys_incref(addrxlat_sys_t *sys);
unsigned long addrxlat_sys_decref(addrxlat_sys_t *sys);

/* What is known about an operating system. */
typedef enum _addrxlat_optidx {
	ADDRXLAT_OPT_NULL = 0,             /* nothing */
	ADDRXLAT_OPT_arch,                 /* architecture */
	ADDRXLAT_OPT_os_type,              /* "linux" or "xen" */
	ADDRXLAT_OPT_version_code,         /* see ADDRXLAT_VER_LINUX, _XEN */
	ADDRXLAT_OPT_phys_bits,            /* bits of a physical address */
	ADDRXLAT_OPT_virt_bits,            /* bits of a virtual address */
	ADDRXLAT_OPT_page_shift,           /* log2 of the page size */
	ADDRXLAT_OPT_phys_base,            /* where the kernel is */
	ADDRXLAT_OPT_rootpgt,              /* the top-level page table */
	ADDRXLAT_OPT_xen_p2m_mfn,          /* frame of the p2m tree */
	ADDRXLAT_OPT_xen_xlat,             /* whether Xen translates */
	ADDRXLAT_OPT_NUM
} addrxlat_optidx_t;

typedef union _addrxlat_optval {
	const char *str;
	unsigned long num;
	addrxlat_addr_t addr;
	addrxlat_fulladdr_t fulladdr;
} addrxlat_optval_t;

typedef struct _addrxlat_opt {
	addrxlat_optidx_t idx;
	addrxlat_optval_t val;
} addrxlat_opt_t;

#define ADDRXLAT_VER_LINUX(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define ADDRXLAT_VER_XEN(major, minor) (((major) << 16) | (minor))

static inline void
addrxlat_opt_arch(addrxlat_opt_t *opt, const char *val)
{
	opt->idx = ADDRXLAT_OPT_arch;
	opt->val.str = val;
}

static inline void
addrxlat_opt_os_type(addrxlat_opt_t *opt, const char *val)
{
	opt->idx = ADDRXLAT_OPT_os_type;
	opt->val.str = val;
}

static inline void
addrxlat_opt_version_code(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_version_code;
	opt->val.num = val;
}

static inline void
addrxlat_opt_phys_bits(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_phys_bits;
	opt->val.num = val;
}

static inline void
addrxlat_opt_virt_bits(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_virt_bits;
	opt->val.num = val;
}

static inline void
addrxlat_opt_page_shift(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_page_shift;
	opt->val.num = val;
}

static inline void
addrxlat_opt_phys_base(addrxlat_opt_t *opt, addrxlat_addr_t val)
{
	opt->idx = ADDRXLAT_OPT_phys_base;
	opt->val.addr = val;
}

static inline void
addrxlat_opt_rootpgt(addrxlat_opt_t *opt, const addrxlat_fulladdr_t *val)
{
	opt->idx = ADDRXLAT_OPT_rootpgt;
	opt->val.fulladdr = *val;
}

static inline void
addrxlat_opt_xen_p2m_mfn(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_xen_p2m_mfn;
	opt->val.num = val;
}

static inline void
addrxlat_opt_xen_xlat(addrxlat_opt_t *opt, unsigned long val)
{
	opt->idx = ADDRXLAT_OPT_xen_xlat;
	opt->val.num = val;
}

/* Sets a system up for an operating system. */
addrxlat_status addrxlat_sys_os_init(addrxlat_sys_t *sys, addrxlat_ctx_t *ctx,
				     unsigned optc,
				     const addrxlat_opt_t *opts);

/* Puts a map in place, which gets one more reference. */
void addrxlat_sys_set_map(addrxlat_sys_t *sys, addrxlat_sys_map_t idx,
			  addrxlat_map_t *map);

/* A map, without a reference for the caller; or NULL. */
addrxlat_map_t *addrxlat_sys_get_map(const addrxlat_sys_t *sys,
				     addrxlat_sys_map_t idx);

/* Copies a method into the system. */
void addrxlat_sys_set_meth(addrxlat_sys_t *sys, addrxlat_sys_meth_t idx,
			   const addrxlat_meth_t *meth);

/* A method, which is valid as long as the system is. */
const addrxlat_meth_t *addrxlat_sys_get_meth(const addrxlat_sys_t *sys,
					     addrxlat_sys_meth_t idx);

/* ----- translation ------------------------------------------------------- */

/* How far a translation in steps has come. */
struct _addrxlat_step {
	addrxlat_ctx_t *ctx;               /* who is asked */
	addrxlat_sys_t *sys;               /* may be NULL */
	const addrxlat_meth_t *meth;       /* the method */
	unsigned short remain;             /* steps to go */
	unsigned elemsz;                   /* size of an element at base */
	addrxlat_fulladdr_t base;          /* table, page, then the result */
	union {
		void *data;                /* custom methods */
		addrxlat_pte_t pte;        /* page tables */
		const addrxlat_lookup_elem_t *elem;
		addrxlat_addr_t addr;      /* arrays in memory */
	} raw;                             /* what was read last */
	addrxlat_addr_t idx[ADDRXLAT_FIELDS_MAX + 1];
};

/* Begins to translate an address. */
addrxlat_status addrxlat_launch(addrxlat_step_t *step, addrxlat_addr_t addr);

/* Makes one step. */
addrxlat_status addrxlat_step(addrxlat_step_t *step);

/* Translates step->base.addr in one go. */
addrxlat_status addrxlat_walk(addrxlat_step_t *step);

/* Does something with an address. */
typedef addrxlat_status addrxlat_op_fn(void *data,
				       const addrxlat_fulladdr_t *addr);

typedef struct _addrxlat_op_ctl {
	addrxlat_ctx_t *ctx;
	addrxlat_sys_t *sys;
	addrxlat_op_fn *op;
	void *data;                        /* for op */
	unsigned long caps;                /* spaces that op accepts */
} addrxlat_op_ctl_t;

/* Calls ctl->op with an address in one of ctl->caps that addr stands for. */
addrxlat_status addrxlat_op(const addrxlat_op_ctl_t *ctl,
			    const addrxlat_fulladdr_t *addr);

/* Translates an address to a space. */
addrxlat_status addrxlat_fulladdr_conv(addrxlat_fulladdr_t *faddr,
				       addrxlat_addrspace_t as,
				       addrxlat_ctx_t *ctx,
				       addrxlat_sys_t *sys);

#ifdef __cplusplus
}
#endif

#endif /* _ADDRXLAT_H */
