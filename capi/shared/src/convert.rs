//! Methods: from the structures of C to those of Rust and back.

use core::ffi::c_int;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{AddrSpace, Kind, MemArray, Method, PageTable, PagingForm, PteFormat};

use crate::chain::{full_addr, rust_addr};
use crate::custom::{CCustom, CLookup, Owner};
use crate::types::{self, Meth};

/// The method that a record stands for. Only the members of its kind are
/// looked at.
///
/// # Safety
/// `meth` is valid, and stays as it is while the result is used; so do the
/// table and the functions that it may have. `owner.meth` is `meth`, or what
/// that is a copy of.
pub unsafe fn to_rust(meth: *const Meth, owner: Owner) -> Method {
    // SAFETY: as above; padding is not looked at.
    let (kind, target, param) =
        unsafe { ((*meth).kind, AddrSpace((*meth).target_as), &raw const (*meth).param) };
    // SAFETY: each member is looked at only for its own kind.
    let kind = unsafe {
        match kind {
            types::KIND_NOMETH => Kind::None,
            types::KIND_CUSTOM => Kind::Custom(Shared::new(CCustom(owner))),
            types::KIND_LINEAR => Kind::Linear((*param).linear.off as u64),
            types::KIND_PGT => {
                let pgt = &raw const (*param).pgt;
                let (format, nfields) = ((*pgt).pf.pte_format, (*pgt).pf.nfields);
                let mut fields = [0; types::FIELDS_MAX];
                for (level, bits) in fields.iter_mut().enumerate().take(nfields.into()) {
                    *bits = (*pgt).pf.fieldsz[level];
                }
                let form = PagingForm::unchecked(PteFormat::from_code(format), nfields, fields);
                let mut table = PageTable::new(rust_addr((*pgt).root), form);
                table.pte_mask = (*pgt).pte_mask;
                Kind::Pgt(table)
            }
            types::KIND_LOOKUP => Kind::Custom(Shared::new(CLookup((*param).lookup))),
            types::KIND_MEMARR => {
                let array = &raw const (*param).memarr;
                Kind::MemArr(MemArray {
                    base: rust_addr((*array).base),
                    shift: (*array).shift,
                    elemsz: (*array).elemsz,
                    valsz: (*array).valsz,
                })
            }
            other => Kind::Unknown(other as c_int),
        }
    };
    Method { target, kind }
}

/// A method without any kind, all bytes zero.
pub fn no_meth() -> Meth {
    // SAFETY: all bytes zero is a value of every member.
    unsafe { core::mem::zeroed() }
}

/// The record of a method. A lookup table is given to `keep`, which returns
/// where it is kept. A method of Rust functions has no record: it becomes none.
pub fn to_c(method: &Method, keep: impl FnOnce(&[types::LookupElem]) -> *mut types::LookupElem) -> Meth {
    let mut meth = no_meth();
    meth.target_as = method.target.0;
    let (kind, param) = match &method.kind {
        Kind::None | Kind::Custom(_) => (types::KIND_NOMETH, meth.param),
        Kind::Linear(off) => {
            meth.param.linear = types::ParamLinear { off: *off as i64 };
            (types::KIND_LINEAR, meth.param)
        }
        Kind::Pgt(table) => {
            meth.param.pgt = types::ParamPgt {
                root: full_addr(table.root),
                pte_mask: table.pte_mask,
                pf: types::PagingForm {
                    pte_format: table.form.format().code(),
                    nfields: table.form.nfields(),
                    fieldsz: *table.form.field_sizes(),
                },
            };
            (types::KIND_PGT, meth.param)
        }
        Kind::Lookup(lookup) => {
            let elems: Vec<types::LookupElem> = lookup
                .elems()
                .iter()
                .map(|elem| types::LookupElem { orig: elem.orig, dest: elem.dest })
                .collect();
            meth.param.lookup =
                types::ParamLookup { endoff: lookup.endoff(), nelem: elems.len(), tbl: keep(&elems) };
            (types::KIND_LOOKUP, meth.param)
        }
        Kind::MemArr(array) => {
            meth.param.memarr = types::ParamMemarr {
                base: full_addr(array.base),
                shift: array.shift,
                elemsz: array.elemsz,
                valsz: array.valsz,
            };
            (types::KIND_MEMARR, meth.param)
        }
        Kind::Unknown(number) => (*number as u32, meth.param),
        _ => (types::KIND_NOMETH, meth.param),
    };
    meth.kind = kind;
    meth.param = param;
    meth
}
