//! What a dump answers when translation asks: the bottom of the chain of
//! callbacks of a context.
//!
//! It is shared with whoever holds the context of translation, so it refers
//! to the dump by handles of its own; of what belongs to the context alone it
//! has a weak one, and answers nothing more once that is gone.

use crate::attr::Value;
use crate::dump::{PageBuffers, Snapshot, Translation, Vmcoreinfo, Wording, value_below};
use crate::error::{Result, Status};
use crate::format::{Address, Space};
use crate::sync::{Counted, WeakShared};
use crate::xlat::{self, AddrSpace, ByteOrder, Callbacks, Caps, FullAddr, Next, PageBuf};

use super::Context;
use super::own::Own;

/// Answers from a dump.
pub(super) struct DumpRecord {
    pub translation: Counted<Translation>,
    pub own: WeakShared<Own>,
    pub buffers: PageBuffers,
}

/// The space of the interface to dumps that an address of translation is in.
pub(super) fn space_of(space: AddrSpace) -> Option<Space> {
    match space {
        AddrSpace::KPHYS => Some(Space::KernelPhysical),
        AddrSpace::MACHPHYS => Some(Space::MachinePhysical),
        AddrSpace::KVIRT => Some(Space::KernelVirtual),
        _ => None,
    }
}

/// The same for translation.
pub(super) fn full_addr(address: Address) -> FullAddr {
    FullAddr::new(AddrSpace(address.space as i32), address.value)
}

/// What can be read directly, for translation.
pub(super) fn caps_of(snapshot: &Snapshot) -> Caps {
    Caps(snapshot.spaces().mask().into())
}

fn wording(missing: &'static str, unset: &'static str, broken: &'static str) -> Wording {
    Wording { missing, unset, broken }
}

impl DumpRecord {
    fn block(&self, addr: FullAddr) -> Result<PageBuf, xlat::Error> {
        let (_, snapshot) = self.translation.dump().current();
        let no_space = || xlat::Error::not_implemented("Unrecognized address space");
        let space = space_of(addr.space).ok_or_else(no_space)?;
        let opened = snapshot.opened.as_ref().filter(|opened| opened.spaces.contains(space));
        let opened = opened.ok_or_else(|| xlat::Error::no_method("No suitable capabilities"))?;
        let address = Address { space, value: addr.addr };
        let block = opened.block(&snapshot.geometry, address, &self.buffers);
        match block {
            Ok(Some((start, block))) => {
                let order = match snapshot.geometry.byte_order {
                    crate::arch::ByteOrder::Big => ByteOrder::Big,
                    crate::arch::ByteOrder::Little => ByteOrder::Little,
                };
                Ok(PageBuf::new(FullAddr::new(addr.space, start), order, block))
            }
            Ok(None) => Err(xlat::Error::elsewhere()),
            Err(error) => Err(xlat::Error::from_dump(&error)),
        }
    }

    fn vmcoreinfo(&self) -> Vmcoreinfo<'_> {
        Vmcoreinfo { attributes: &self.translation.dump().attributes, scope: self.translation.scope() }
    }

    fn number_of(&self, part: &str, name: &str, wording: Wording) -> Result<u64> {
        let value = self.vmcoreinfo().value(part, name, wording)?;
        let number = value.as_number().or(value.as_address());
        // A directory of names with a common beginning.
        number.ok_or_else(|| crate::Error::no_data(wording.missing))
    }

    fn symbol(&self, name: &str) -> Result<u64> {
        let wording = wording(
            "Symbol value attribute not found",
            "Symbol value attribute is unset",
            "Symbol value attribute cannot be revalidated",
        );
        match self.number_of("SYMBOL", name, wording) {
            Err(error) if error.status() == Status::NoData => {
                let Some(own) = self.own.upgrade() else { return Err(error) };
                let Some(callback) = own.callbacks().symbol_value.clone() else { return Err(error) };
                // It has all that belongs to the context that asks.
                let context =
                    Context::sharing(self.translation.dump().clone(), self.translation.clone(), own);
                callback.symbol_value(&context, name)
            }
            known => known,
        }
    }

    /// A number with a line of its own, in hexadecimal: `KERNELOFFSET=2000000`
    /// (`arch_crash_save_vmcoreinfo` of several architectures).
    fn plain_number(&self, name: &str) -> Option<u64> {
        let wording = wording("", "", "");
        let line = self.vmcoreinfo().value("lines", name, wording).ok()?;
        let text = line.as_str()?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    }

    fn register_value(&self, name: &str) -> Result<u64> {
        let attributes = &self.translation.dump().attributes;
        let wording = wording(
            "Register attribute not found",
            "Register attribute is unset",
            "Register attribute cannot be revalidated",
        );
        let (directory, name) = match name.rsplit_once('.') {
            // By its path: that of any CPU.
            Some((directory, name)) if directory.starts_with("cpu.") => (directory, name),
            _ => ("cpu.0.reg", name),
        };
        let registers = attributes.reference(Some(directory));
        let registers = registers.map_err(|_| crate::Error::no_data("No registers"))?;
        let value = value_below(attributes, registers, name, wording)?;
        value.as_number().ok_or_else(|| crate::Error::no_data(wording.missing))
    }

    fn offset(&self, container: &str, member: &str) -> Result<u64> {
        let missing = "Container object attribute not found";
        let offsets = self.vmcoreinfo().part("OFFSET")?;
        let attributes = &self.translation.dump().attributes;
        let object = attributes.sub_reference(offsets, container);
        let object = object.map_err(|_| crate::Error::no_data(missing))?;
        let wording = wording(
            "Field attribute not found",
            "Field attribute is unset",
            "Field attribute cannot be revalidated",
        );
        let value: Value = value_below(attributes, object, member, wording)?;
        value.as_number().ok_or_else(|| crate::Error::no_data(wording.missing))
    }
}

impl Callbacks for DumpRecord {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        caps_of(&self.translation.dump().current().1)
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> xlat::Result<PageBuf> {
        self.block(addr)
    }

    fn register(&self, _: Next<'_>, name: &str) -> xlat::Result<u64> {
        self.register_value(name).map_err(|error| xlat::Error::from_dump(&error))
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> xlat::Result<u64> {
        self.symbol(name).map_err(|error| xlat::Error::from_dump(&error))
    }

    fn symbol_size(&self, _: Next<'_>, name: &str) -> xlat::Result<u64> {
        let wording = wording(
            "Symbol size attribute not found",
            "Symbol size attribute is unset",
            "Symbol size attribute cannot be revalidated",
        );
        self.number_of("SIZE", name, wording).map_err(|error| xlat::Error::from_dump(&error))
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> xlat::Result<u64> {
        self.offset(container, member).map_err(|error| xlat::Error::from_dump(&error))
    }

    fn number(&self, _: Next<'_>, name: &str) -> xlat::Result<u64> {
        let wording = wording(
            "Number attribute not found",
            "Number attribute is unset",
            "Number attribute cannot be revalidated",
        );
        let number = match self.number_of("NUMBER", name, wording) {
            Err(error) if error.status() == Status::NoData => self.plain_number(name).ok_or(error),
            known => known,
        };
        number.map_err(|error| xlat::Error::from_dump(&error))
    }
}
