//! The structures of `addrxlat.h`, field by field.
//!
//! Enumerations are plain integers: a C program may store any number in them.
//! Bytes that a C program never set may hold anything, so what is behind a
//! pointer is copied and looked at field by field, never compared as a whole.

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_ushort, c_void};

/// `addrxlat_ctx_t`; only libaddrxlat knows what is in it.
#[repr(C)]
pub struct CtxOpaque {
    _private: [u8; 0],
}

/// `addrxlat_sys_t`; only libaddrxlat knows what is in it.
#[repr(C)]
pub struct SysOpaque {
    _private: [u8; 0],
}

/// `addrxlat_map_t`; only libaddrxlat knows what is in it.
#[repr(C)]
pub struct MapOpaque {
    _private: [u8; 0],
}

/// `addrxlat_status`.
pub type AxStatus = c_int;

/// Success of a function of libaddrxlat.
pub const AX_OK: AxStatus = 0;
/// `ADDRXLAT_ERR_NOTIMPL`.
pub const AX_NOTIMPL: AxStatus = 1;
/// `ADDRXLAT_ERR_NOMEM`.
pub const AX_NOMEM: AxStatus = 4;
/// `ADDRXLAT_ERR_NODATA`.
pub const AX_NODATA: AxStatus = 5;
/// `ADDRXLAT_ERR_NOMETH`.
pub const AX_NOMETH: AxStatus = 6;
/// `ADDRXLAT_ERR_CUSTOM_BASE`: what a panic in libaddrxlat ends as.
pub const AX_CUSTOM_BASE: AxStatus = -1;

/// `ADDRXLAT_FIELDS_MAX`.
pub const FIELDS_MAX: usize = 8;
/// `ADDRXLAT_SYS_METH_NUM`.
pub const METH_NUM: usize = 16;
/// `ADDRXLAT_SYS_MAP_NUM`.
pub const MAP_NUM: usize = 5;

/// `addrxlat_fulladdr_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullAddr {
    /// The address in bytes.
    pub addr: u64,
    /// `addrxlat_addrspace_t`.
    pub space: c_int,
}

/// `addrxlat_put_page_fn`.
pub type PutPageFn = unsafe extern "C" fn(buf: *const Buffer);

/// `addrxlat_buffer_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    /// On entry to `get_page` the address that is wanted, then the start.
    pub addr: FullAddr,
    /// The bytes.
    pub ptr: *const c_void,
    /// The number of bytes.
    pub size: usize,
    /// `addrxlat_byte_order_t`.
    pub byte_order: c_int,
    /// Called when the bytes are no longer needed.
    pub put_page: Option<PutPageFn>,
    /// For `put_page`.
    pub private: *mut c_void,
}

/// `addrxlat_get_page_fn`.
pub type GetPageFn = unsafe extern "C" fn(cb: *const Cb, buf: *mut Buffer) -> AxStatus;
/// `addrxlat_read_caps_fn`.
pub type ReadCapsFn = unsafe extern "C" fn(cb: *const Cb) -> c_ulong;
/// `addrxlat_cb_reg_value_fn` and the others with one name.
pub type ValueFn = unsafe extern "C" fn(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus;
/// `addrxlat_cb_sym_offsetof_fn`.
pub type OffsetFn =
    unsafe extern "C" fn(cb: *const Cb, obj: *const c_char, elem: *const c_char, val: *mut u64) -> AxStatus;

/// `addrxlat_cb_t`. Clients read and write these records in memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Cb {
    /// The record below.
    pub next: *const Cb,
    /// For the functions.
    pub private: *mut c_void,
    /// The block of memory that contains an address.
    pub get_page: Option<GetPageFn>,
    /// Spaces that `get_page` reads directly.
    pub read_caps: Option<ReadCapsFn>,
    /// Value of a register.
    pub reg_value: Option<ValueFn>,
    /// Address of a symbol.
    pub sym_value: Option<ValueFn>,
    /// Size of a symbol or type.
    pub sym_sizeof: Option<ValueFn>,
    /// Offset of a member.
    pub sym_offsetof: Option<OffsetFn>,
    /// A number that the kernel exports.
    pub num_value: Option<ValueFn>,
}

/// `addrxlat_first_step_fn`.
pub type FirstStepFn = unsafe extern "C" fn(step: *mut Step, addr: u64) -> AxStatus;
/// `addrxlat_next_step_fn`.
pub type NextStepFn = unsafe extern "C" fn(step: *mut Step) -> AxStatus;

/// `addrxlat_param_custom_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamCustom {
    /// Begins a translation.
    pub first_step: Option<FirstStepFn>,
    /// Goes on with it.
    pub next_step: Option<NextStepFn>,
    /// For the two.
    pub data: *mut c_void,
}

/// `addrxlat_param_linear_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamLinear {
    /// What is added to an address.
    pub off: i64,
}

/// `addrxlat_paging_form_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PagingForm {
    /// `addrxlat_pte_format_t`.
    pub pte_format: c_int,
    /// How many of the fields are used.
    pub nfields: c_ushort,
    /// Sizes of the fields in bits, page offset first.
    pub fieldsz: [c_ushort; FIELDS_MAX],
}

/// `addrxlat_param_pgt_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamPgt {
    /// Where the top-level table is.
    pub root: FullAddr,
    /// Bits that are taken out of each entry.
    pub pte_mask: u64,
    /// Levels and format.
    pub pf: PagingForm,
}

/// `addrxlat_lookup_elem_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupElem {
    /// First address here.
    pub orig: u64,
    /// First address there.
    pub dest: u64,
}

/// `addrxlat_param_lookup_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamLookup {
    /// Size of an object in bytes less one.
    pub endoff: u64,
    /// Number of objects.
    pub nelem: usize,
    /// The objects; they belong to whoever made the method.
    pub tbl: *mut LookupElem,
}

/// `addrxlat_param_memarr_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamMemarr {
    /// Where the array begins.
    pub base: FullAddr,
    /// log2 of the bytes that an element stands for.
    pub shift: c_uint,
    /// Size of an element in bytes.
    pub elemsz: c_uint,
    /// Size of the value in an element in bytes.
    pub valsz: c_uint,
}

/// `addrxlat_param_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Param {
    /// For `ADDRXLAT_CUSTOM`.
    pub custom: ParamCustom,
    /// For `ADDRXLAT_LINEAR`.
    pub linear: ParamLinear,
    /// For `ADDRXLAT_PGT`.
    pub pgt: ParamPgt,
    /// For `ADDRXLAT_LOOKUP`.
    pub lookup: ParamLookup,
    /// For `ADDRXLAT_MEMARR`.
    pub memarr: ParamMemarr,
}

/// `addrxlat_meth_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Meth {
    /// `addrxlat_kind_t`.
    pub kind: c_uint,
    /// `addrxlat_addrspace_t` of the result.
    pub target_as: c_int,
    /// What belongs to the kind.
    pub param: Param,
}

/// `ADDRXLAT_NOMETH`.
pub const KIND_NOMETH: c_uint = 0;
/// `ADDRXLAT_CUSTOM`.
pub const KIND_CUSTOM: c_uint = 1;
/// `ADDRXLAT_LINEAR`.
pub const KIND_LINEAR: c_uint = 2;
/// `ADDRXLAT_PGT`.
pub const KIND_PGT: c_uint = 3;
/// `ADDRXLAT_LOOKUP`.
pub const KIND_LOOKUP: c_uint = 4;
/// `ADDRXLAT_MEMARR`.
pub const KIND_MEMARR: c_uint = 5;

/// `addrxlat_range_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Size of the range in bytes less one.
    pub endoff: u64,
    /// `addrxlat_sys_meth_t`.
    pub meth: c_int,
}

/// `addrxlat_optval_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union OptVal {
    /// Text.
    pub str: *const c_char,
    /// Number.
    pub num: c_ulong,
    /// Address.
    pub addr: u64,
    /// Address with its space.
    pub fulladdr: FullAddr,
}

/// `addrxlat_opt_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Opt {
    /// `addrxlat_optidx_t`.
    pub idx: c_uint,
    /// The value.
    pub val: OptVal,
}

/// The member `raw` of `addrxlat_step_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union StepRaw {
    /// For custom methods.
    pub data: *mut c_void,
    /// The entry of a page table.
    pub pte: u64,
    /// The object of a lookup table.
    pub elem: *const LookupElem,
    /// The value in an array.
    pub addr: u64,
}

/// `addrxlat_step_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Step {
    /// Who is asked for memory.
    pub ctx: *mut CtxOpaque,
    /// What translates the places of tables; may be NULL.
    pub sys: *mut SysOpaque,
    /// The method in use.
    pub meth: *const Meth,
    /// Steps that are left.
    pub remain: c_ushort,
    /// Size of an element of the table.
    pub elemsz: c_uint,
    /// The table to be indexed next.
    pub base: FullAddr,
    /// What was read last.
    pub raw: StepRaw,
    /// The indices.
    pub idx: [u64; FIELDS_MAX + 1],
}

/// `addrxlat_op_fn`.
pub type OpFn = unsafe extern "C" fn(data: *mut c_void, addr: *const FullAddr) -> AxStatus;

/// `addrxlat_op_ctl_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OpCtl {
    /// Who is asked for memory.
    pub ctx: *mut CtxOpaque,
    /// Maps and methods; may be NULL.
    pub sys: *mut SysOpaque,
    /// Called with the address that was found.
    pub op: Option<OpFn>,
    /// For `op`.
    pub data: *mut c_void,
    /// Spaces that `op` accepts.
    pub caps: c_ulong,
}

impl Cb {
    /// A record of which nothing is set.
    pub const EMPTY: Cb = Cb {
        next: core::ptr::null(),
        private: core::ptr::null_mut(),
        get_page: None,
        read_caps: None,
        reg_value: None,
        sym_value: None,
        sym_sizeof: None,
        sym_offsetof: None,
        num_value: None,
    };
}

/// Sizes and offsets of a 64-bit machine; the C side of the same table is
/// checked by a compiled program (ci/capi.sh).
#[cfg(target_pointer_width = "64")]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<c_long>() == 8);
    assert!(size_of::<FullAddr>() == 16 && offset_of!(FullAddr, space) == 8);
    assert!(size_of::<Buffer>() == 56);
    assert!(offset_of!(Buffer, ptr) == 16 && offset_of!(Buffer, size) == 24);
    assert!(offset_of!(Buffer, byte_order) == 32 && offset_of!(Buffer, put_page) == 40);
    assert!(offset_of!(Buffer, private) == 48);
    assert!(size_of::<Cb>() == 72 && offset_of!(Cb, get_page) == 16 && offset_of!(Cb, num_value) == 64);
    assert!(size_of::<ParamCustom>() == 24 && size_of::<ParamLinear>() == 8);
    assert!(size_of::<PagingForm>() == 24 && offset_of!(PagingForm, fieldsz) == 6);
    assert!(size_of::<ParamPgt>() == 48 && offset_of!(ParamPgt, pf) == 24);
    assert!(size_of::<ParamLookup>() == 24 && size_of::<LookupElem>() == 16);
    assert!(size_of::<ParamMemarr>() == 32 && offset_of!(ParamMemarr, valsz) == 24);
    assert!(size_of::<Param>() == 48 && size_of::<Meth>() == 56 && offset_of!(Meth, param) == 8);
    assert!(size_of::<Range>() == 16 && offset_of!(Range, meth) == 8);
    assert!(size_of::<OptVal>() == 16 && size_of::<Opt>() == 24 && offset_of!(Opt, val) == 8);
    assert!(size_of::<Step>() == 128);
    assert!(offset_of!(Step, remain) == 24 && offset_of!(Step, elemsz) == 28);
    assert!(offset_of!(Step, base) == 32 && offset_of!(Step, raw) == 48 && offset_of!(Step, idx) == 56);
    assert!(size_of::<OpCtl>() == 40 && offset_of!(OpCtl, caps) == 32);
};
