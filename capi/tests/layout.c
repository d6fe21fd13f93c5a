/* Sizes, offsets and values of the interface, as clients were compiled with. */
#include <libkdumpfile/kdumpfile.h>

#define SAME(name, value) typedef char name[(value) ? 1 : -1]
#define SIZE(type, size) SAME(size_of_##type, sizeof(type) == (size))
#define AT(type, member, offset) \
	SAME(offset_of_##type##_##member, offsetof(type, member) == (offset))
#define VALUE(name, value) SAME(value_of_##name, (long)(name) == (value))

SIZE(kdump_num_t, 8);
SIZE(kdump_addr_t, 8);
SIZE(addrxlat_off_t, 8);
SIZE(kdump_status, 4);
SIZE(kdump_attr_type_t, 4);
SIZE(addrxlat_status, 4);
SIZE(kdump_attr_value_t, 8);
SIZE(kdump_attr_t, 16);
AT(kdump_attr_t, type, 0);
AT(kdump_attr_t, val, 8);
SIZE(kdump_attr_ref_t, 8);
SIZE(kdump_attr_iter_t, 16);
AT(kdump_attr_iter_t, key, 0);
AT(kdump_attr_iter_t, pos, 8);

VALUE(KDUMP_OK, 0);
VALUE(KDUMP_ERR_SYSTEM, 1);
VALUE(KDUMP_ERR_NOTIMPL, 2);
VALUE(KDUMP_ERR_NODATA, 3);
VALUE(KDUMP_ERR_CORRUPT, 4);
VALUE(KDUMP_ERR_INVALID, 5);
VALUE(KDUMP_ERR_NOKEY, 6);
VALUE(KDUMP_ERR_EOF, 7);
VALUE(KDUMP_ERR_BUSY, 8);
VALUE(KDUMP_ERR_ADDRXLAT, 9);
VALUE(KDUMP_BIG_ENDIAN, 0);
VALUE(KDUMP_LITTLE_ENDIAN, 1);
VALUE(KDUMP_MMAP_NEVER, 0);
VALUE(KDUMP_MMAP_ALWAYS, 1);
VALUE(KDUMP_MMAP_TRY, 2);
VALUE(KDUMP_MMAP_TRY_ONCE, 3);
VALUE(KDUMP_XEN_NONE, 0);
VALUE(KDUMP_XEN_SYSTEM, 1);
VALUE(KDUMP_XEN_DOMAIN, 2);
VALUE(KDUMP_XEN_AUTO, 0);
VALUE(KDUMP_XEN_NONAUTO, 1);
VALUE(KDUMP_CLONE_BIT_XLAT, 0);
VALUE(KDUMP_CLONE_XLAT, 1);
VALUE(KDUMP_KPHYSADDR, 0);
VALUE(KDUMP_MACHPHYSADDR, 1);
VALUE(KDUMP_KVADDR, 2);
VALUE(KDUMP_NOADDR, -1);
VALUE(KDUMP_NIL, 0);
VALUE(KDUMP_DIRECTORY, 1);
VALUE(KDUMP_NUMBER, 2);
VALUE(KDUMP_ADDRESS, 3);
VALUE(KDUMP_STRING, 4);
VALUE(KDUMP_BITMAP, 5);
VALUE(KDUMP_BLOB, 6);

VALUE(ADDRXLAT_OK, 0);
VALUE(ADDRXLAT_ERR_NOTIMPL, 1);
VALUE(ADDRXLAT_ERR_NOTPRESENT, 2);
VALUE(ADDRXLAT_ERR_INVALID, 3);
VALUE(ADDRXLAT_ERR_NOMEM, 4);
VALUE(ADDRXLAT_ERR_NODATA, 5);
VALUE(ADDRXLAT_ERR_NOMETH, 6);
VALUE(ADDRXLAT_ERR_CUSTOM_BASE, -1);
VALUE(ADDRXLAT_KPHYSADDR, 0);
VALUE(ADDRXLAT_MACHPHYSADDR, 1);
VALUE(ADDRXLAT_KVADDR, 2);
VALUE(ADDRXLAT_NOADDR, -1);
VALUE(ADDRXLAT_BIG_ENDIAN, 0);
VALUE(ADDRXLAT_LITTLE_ENDIAN, 1);
VALUE(ADDRXLAT_HOST_ENDIAN, -1);
VALUE(ADDRXLAT_NOMETH, 0);
VALUE(ADDRXLAT_CUSTOM, 1);
VALUE(ADDRXLAT_LINEAR, 2);
VALUE(ADDRXLAT_PGT, 3);
VALUE(ADDRXLAT_LOOKUP, 4);
VALUE(ADDRXLAT_MEMARR, 5);
VALUE(ADDRXLAT_PTE_INVALID, -1);
VALUE(ADDRXLAT_PTE_NONE, 0);
VALUE(ADDRXLAT_PTE_PFN32, 1);
VALUE(ADDRXLAT_PTE_PFN64, 2);
VALUE(ADDRXLAT_PTE_AARCH64, 3);
VALUE(ADDRXLAT_PTE_IA32, 4);
VALUE(ADDRXLAT_PTE_IA32_PAE, 5);
VALUE(ADDRXLAT_PTE_X86_64, 6);
VALUE(ADDRXLAT_PTE_S390X, 7);
VALUE(ADDRXLAT_PTE_PPC64_LINUX_RPN30, 8);
VALUE(ADDRXLAT_PTE_AARCH64_LPA, 9);
VALUE(ADDRXLAT_PTE_AARCH64_LPA2, 10);
#ifndef OLD_HEADER
VALUE(ADDRXLAT_PTE_ARM, 11);
VALUE(ADDRXLAT_PTE_RISCV32, 12);
VALUE(ADDRXLAT_PTE_RISCV64, 13);
#endif
VALUE(ADDRXLAT_SYS_METH_NONE, -1);
VALUE(ADDRXLAT_SYS_METH_PGT, 0);
VALUE(ADDRXLAT_SYS_METH_UPGT, 1);
VALUE(ADDRXLAT_SYS_METH_DIRECT, 2);
VALUE(ADDRXLAT_SYS_METH_KTEXT, 3);
VALUE(ADDRXLAT_SYS_METH_VMEMMAP, 4);
VALUE(ADDRXLAT_SYS_METH_RDIRECT, 5);
VALUE(ADDRXLAT_SYS_METH_MACHPHYS_KPHYS, 6);
VALUE(ADDRXLAT_SYS_METH_KPHYS_MACHPHYS, 7);
VALUE(ADDRXLAT_SYS_METH_CUSTOM, 8);
VALUE(ADDRXLAT_SYS_METH_CUSTOM_NUM, 8);
VALUE(ADDRXLAT_SYS_METH_NUM, 16);
VALUE(ADDRXLAT_SYS_MAP_HW, 0);
VALUE(ADDRXLAT_SYS_MAP_KV_PHYS, 1);
VALUE(ADDRXLAT_SYS_MAP_KPHYS_DIRECT, 2);
VALUE(ADDRXLAT_SYS_MAP_MACHPHYS_KPHYS, 3);
VALUE(ADDRXLAT_SYS_MAP_KPHYS_MACHPHYS, 4);
VALUE(ADDRXLAT_SYS_MAP_NUM, 5);
VALUE(ADDRXLAT_OPT_NULL, 0);
VALUE(ADDRXLAT_OPT_arch, 1);
VALUE(ADDRXLAT_OPT_os_type, 2);
VALUE(ADDRXLAT_OPT_version_code, 3);
VALUE(ADDRXLAT_OPT_phys_bits, 4);
VALUE(ADDRXLAT_OPT_virt_bits, 5);
VALUE(ADDRXLAT_OPT_page_shift, 6);
VALUE(ADDRXLAT_OPT_phys_base, 7);
VALUE(ADDRXLAT_OPT_rootpgt, 8);
VALUE(ADDRXLAT_OPT_xen_p2m_mfn, 9);
VALUE(ADDRXLAT_OPT_xen_xlat, 10);
VALUE(ADDRXLAT_OPT_NUM, 11);
VALUE(ADDRXLAT_FIELDS_MAX, 8);

SIZE(addrxlat_fulladdr_t, 16);
AT(addrxlat_fulladdr_t, addr, 0);
AT(addrxlat_fulladdr_t, as, 8);
SIZE(addrxlat_buffer_t, 56);
AT(addrxlat_buffer_t, addr, 0);
AT(addrxlat_buffer_t, ptr, 16);
AT(addrxlat_buffer_t, size, 24);
AT(addrxlat_buffer_t, byte_order, 32);
AT(addrxlat_buffer_t, put_page, 40);
AT(addrxlat_buffer_t, priv, 48);
SIZE(addrxlat_cb_t, 72);
AT(addrxlat_cb_t, next, 0);
AT(addrxlat_cb_t, priv, 8);
AT(addrxlat_cb_t, get_page, 16);
AT(addrxlat_cb_t, read_caps, 24);
AT(addrxlat_cb_t, reg_value, 32);
AT(addrxlat_cb_t, sym_value, 40);
AT(addrxlat_cb_t, sym_sizeof, 48);
AT(addrxlat_cb_t, sym_offsetof, 56);
AT(addrxlat_cb_t, num_value, 64);
SIZE(addrxlat_param_custom_t, 24);
AT(addrxlat_param_custom_t, first_step, 0);
AT(addrxlat_param_custom_t, next_step, 8);
AT(addrxlat_param_custom_t, data, 16);
SIZE(addrxlat_param_linear_t, 8);
SIZE(addrxlat_paging_form_t, 24);
AT(addrxlat_paging_form_t, pte_format, 0);
AT(addrxlat_paging_form_t, nfields, 4);
AT(addrxlat_paging_form_t, fieldsz, 6);
SIZE(addrxlat_param_pgt_t, 48);
AT(addrxlat_param_pgt_t, root, 0);
AT(addrxlat_param_pgt_t, pte_mask, 16);
AT(addrxlat_param_pgt_t, pf, 24);
SIZE(addrxlat_lookup_elem_t, 16);
AT(addrxlat_lookup_elem_t, orig, 0);
AT(addrxlat_lookup_elem_t, dest, 8);
SIZE(addrxlat_param_lookup_t, 24);
AT(addrxlat_param_lookup_t, endoff, 0);
AT(addrxlat_param_lookup_t, nelem, 8);
AT(addrxlat_param_lookup_t, tbl, 16);
SIZE(addrxlat_param_memarr_t, 32);
AT(addrxlat_param_memarr_t, base, 0);
AT(addrxlat_param_memarr_t, shift, 16);
AT(addrxlat_param_memarr_t, elemsz, 20);
AT(addrxlat_param_memarr_t, valsz, 24);
SIZE(addrxlat_param_t, 48);
SIZE(addrxlat_meth_t, 56);
AT(addrxlat_meth_t, kind, 0);
AT(addrxlat_meth_t, target_as, 4);
AT(addrxlat_meth_t, param, 8);
SIZE(addrxlat_range_t, 16);
AT(addrxlat_range_t, endoff, 0);
AT(addrxlat_range_t, meth, 8);
SIZE(addrxlat_optval_t, 16);
SIZE(addrxlat_opt_t, 24);
AT(addrxlat_opt_t, idx, 0);
AT(addrxlat_opt_t, val, 8);
SIZE(addrxlat_step_t, 128);
AT(addrxlat_step_t, ctx, 0);
AT(addrxlat_step_t, sys, 8);
AT(addrxlat_step_t, meth, 16);
AT(addrxlat_step_t, remain, 24);
AT(addrxlat_step_t, elemsz, 28);
AT(addrxlat_step_t, base, 32);
AT(addrxlat_step_t, raw, 48);
AT(addrxlat_step_t, idx, 56);
SIZE(addrxlat_op_ctl_t, 40);
AT(addrxlat_op_ctl_t, ctx, 0);
AT(addrxlat_op_ctl_t, sys, 8);
AT(addrxlat_op_ctl_t, op, 16);
AT(addrxlat_op_ctl_t, data, 24);
AT(addrxlat_op_ctl_t, caps, 32);

#if KDUMPFILE_VERSION < KDUMPFILE_MKVER(0, 4, 1) || KDUMPFILE_VER_MAJOR != 0
# error "The version is not one that clients know."
#endif
SAME(address_max, KDUMP_ADDR_MAX == ADDRXLAT_ADDR_MAX && KDUMP_ADDR_MAX == UINT64_MAX);
SAME(caps, ADDRXLAT_CAPS(ADDRXLAT_KVADDR) == 4);
SAME(linux_version, ADDRXLAT_VER_LINUX(6, 1, 2) == 0x60102);
SAME(xen_version, ADDRXLAT_VER_XEN(4, 17) == 0x40011);

int main(void)
{
	return 0;
}
