//! The domains of a crashed Xen hypervisor.
//!
//! ```text
//! SYMBOL(domain_list) ─> struct domain ─> struct domain ─> ... ─> NULL
//!                          domain_id        domain_id
//!                          next_in_list     next_in_list
//! ```
//!
//! The hypervisor links all domains, in the order of their numbers, and says
//! in a VMCOREINFO of its own where that is (`crash_save_vmcoreinfo` of
//! `xen/common/kexec.c`).

use alloc::collections::BTreeSet;
use alloc::format;

use super::{CloneOptions, Context};
use crate::arch::ByteOrder;
use crate::attr::{Os, Value};
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::Space;

/// Numbers from here on are no guests (`DOMID_FIRST_RESERVED` of
/// `xen/include/public/xen.h`), so no list is longer.
const DOMAINS_MAX: usize = 0x8000;

/// Reserved numbers, as `xen/include/public/xen.h` names them.
const RESERVED: [(u16, &str); 7] = [
    (0x7ff0, "DOMID_SELF"),
    (0x7ff1, "DOMID_IO"),
    (0x7ff2, "DOMID_XEN"),
    (0x7ff3, "DOMID_COW"),
    (0x7ff4, "DOMID_INVALID"),
    (0x7ffe, "DOMID_IDLE (old)"),
    (0x7fff, "DOMID_IDLE"),
];

/// A domain that there was when the hypervisor crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct XenDomain {
    /// Its number (`domid_t`).
    pub id: u16,
    /// Virtual address of its `struct domain`, as the hypervisor sees it.
    pub address: u64,
}

impl XenDomain {
    /// Whether this is domain 0, the first one to run.
    pub fn is_dom0(&self) -> bool {
        self.id == 0
    }

    /// The name of a number that is no guest's: `DOMID_IDLE`, `DOMID_XEN`, ...
    pub fn reserved_name(&self) -> Option<&'static str> {
        RESERVED.iter().find(|row| row.0 == self.id).map(|row| row.1)
    }
}

/// The list of domains, read as it is walked; see [`Context::xen_domains`].
pub struct XenDomains {
    /// Translates as the hypervisor does.
    context: Context,
    order: ByteOrder,
    /// Bytes of a pointer.
    word: usize,
    id_at: u64,
    next_at: u64,
    /// The next one; none at the end.
    next: Option<u64>,
    seen: BTreeSet<u64>,
}

impl Context {
    /// Walks the list of domains of a hypervisor whose memory is in the dump.
    ///
    /// Addresses are translated as the hypervisor does, whatever
    /// `addrxlat.ostype` says; nothing that this context translates with is
    /// changed. The walk ends with the first error, which names the address
    /// that the list led to.
    ///
    /// ```
    /// # use kdumpfile::Context;
    /// fn show(dump: &Context) -> kdumpfile::Result<()> {
    ///     for domain in dump.xen_domains()? {
    ///         let domain = domain?;
    ///         println!("{} {:#x}", domain.id, domain.address);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `NoData` (`xen.vmcoreinfo.<name> is not set`) if the hypervisor does not
    /// say where the list is or how it is laid out, and what keeps the head of
    /// the list from being read. While walking: what keeps a domain from being
    /// read; `Corrupt` for a list that leads back into itself, or that has more
    /// than 32768 domains.
    pub fn xen_domains(&self) -> Result<XenDomains> {
        self.call(|| self.domains().context(|| "Cannot list the domains of Xen"))
    }

    fn domains(&self) -> Result<XenDomains> {
        let known = |name: &str| {
            let path = format!("xen.vmcoreinfo.{name}");
            let attributes = self.attributes();
            let attr = attributes.reference(Some(&path)).and_then(|attr| attributes.get(attr));
            let number = attr.ok().and_then(|value| value.as_number().or(value.as_address()));
            number.ok_or_else(|| Error::no_data(format!("{path} is not set")))
        };
        let head = known("SYMBOL.domain_list")?;
        let id_at = known("OFFSET.domain.domain_id")?;
        let next_at = known("OFFSET.domain.next_in_list")?;
        let word: usize = match self.attributes().number("arch.ptr_size") {
            Some(4) => 4,
            Some(8) => 8,
            _ => return Err(Error::no_data("arch.ptr_size is not set")),
        };
        if let Ok(size) = known("SIZE.domain") {
            let ends = [id_at.checked_add(2), next_at.checked_add(word as u64)];
            if ends.iter().any(|end| end.is_none_or(|end| end > size)) {
                let text =
                    format!("Members at {id_at} and {next_at} are not in the {size} bytes of a domain");
                return Err(Error::corrupt(text));
            }
        }
        let context = self.clone_with(CloneOptions::new().own_translation(true));
        // What is read from the dump on that occasion may be missing; the type
        // is set all the same.
        let _ = context.set("addrxlat.ostype", Value::from(Os::Xen.name()));
        let order = self.snapshot().geometry.byte_order;
        let mut list = XenDomains { context, order, word, id_at, next_at, next: None, seen: BTreeSet::new() };
        list.next = list.pointer(head).context(|| format!("Cannot read domain_list at {head:#x}"))?;
        Ok(list)
    }
}

impl XenDomains {
    fn uint(&self, address: u64, bytes: usize) -> Result<u64> {
        let mut raw = [0; 8];
        let raw = raw.get_mut(..bytes).unwrap_or_default();
        self.context.read(Space::KernelVirtual, address, raw)?;
        Ok(self.order.uint(raw))
    }

    /// The pointer at an address; `NULL` is none.
    fn pointer(&self, address: u64) -> Result<Option<u64>> {
        Ok(Some(self.uint(address, self.word)?).filter(|pointer| *pointer != 0))
    }

    fn domain(&mut self, address: u64) -> Result<XenDomain> {
        if self.seen.len() == DOMAINS_MAX {
            return Err(Error::corrupt(format!("More than {DOMAINS_MAX} domains, the next at {address:#x}")));
        }
        if !self.seen.insert(address) {
            return Err(Error::corrupt(format!("The list of domains leads back to {address:#x}")));
        }
        let member = |offset: u64| {
            let member = address.checked_add(offset);
            member.ok_or_else(|| Error::new(Status::AddrXlat, "Address is beyond 64 bits"))
        };
        let read = || -> Result<_> {
            let id = self.uint(member(self.id_at)?, 2)?;
            Ok((id as u16, self.pointer(member(self.next_at)?)?))
        };
        let (id, next) = read().context(|| format!("Cannot read domain at {address:#x}"))?;
        self.next = next;
        Ok(XenDomain { id, address })
    }
}

impl Iterator for XenDomains {
    type Item = Result<XenDomain>;

    fn next(&mut self) -> Option<Self::Item> {
        // An error leaves nowhere to go on from.
        let address = self.next.take()?;
        Some(self.domain(address))
    }
}
