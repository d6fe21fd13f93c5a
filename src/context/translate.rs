//! Translating addresses with what the dump and the user say.
//!
//! The system of maps and methods is made when it is first needed, and anew
//! after something changed that it depends on. Whoever makes it does so
//! alone and then shares it: others make their own meanwhile rather than
//! wait, or use one that is only half done.

use super::record::{DumpRecord, caps_of, full_addr, space_of};
use super::{Context, frames};
use crate::attr::{Attributes, Value};
use crate::dump::{PageBuffers, Snapshot, translation_options};
use crate::error::{Error, Result, Status};
use crate::format::{Address, Space, memory};
use crate::io::LiveKind;
use crate::sync::{Fault, Shared, broken};
use crate::xlat::{self, Callbacks, Ctx, Kind, MethodIndex, System, os};

/// `xen.xlat`: kernel physical addresses are not those of the machine.
const XEN_XLAT_NONAUTO: u64 = 1;
/// Where the kernel's text begins on x86_64, less its load offset
/// (Documentation/arch/x86/x86_64/mm.rst).
const X86_64_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

impl Context {
    /// What translation asks when nobody above knows.
    pub(super) fn record(&self) -> Shared<dyn Callbacks> {
        Shared::new(DumpRecord {
            translation: self.translation.clone(),
            own: Shared::downgrade(&self.own),
            buffers: PageBuffers::default(),
        })
    }

    /// The context of translation, for its own calls and to add callbacks
    /// ([`Ctx::chain`]). At the bottom of the chain is this dump.
    pub fn xlat(&self) -> &Ctx {
        self.xlat.get_or_init(|| Ctx::new(Shared::new(xlat::Chain::with_base(self.record()))))
    }

    /// The maps and methods of this dump, set up as the attributes say now.
    ///
    /// # Errors
    /// What keeps the set-up from being complete, once: after that the system
    /// is there as far as it got, until something changes that it depends on.
    /// `Busy` is told each time, and may be over when it is tried again; so are
    /// too many set-ups that a symbol callback begins within one another.
    pub fn translation_system(&self) -> Result<Shared<System>> {
        self.call(|| {
            let snapshot = self.snapshot();
            self.system(&snapshot)
        })
    }

    /// A number that changes when something changes that the translation of
    /// this context depends on, so that its system is set up anew.
    pub fn translation_changes(&self) -> u64 {
        self.translation.scope().changes()
    }

    /// Makes this context translate with `system` until something changes that
    /// translation depends on. Clones are not affected.
    pub fn use_translation_system(&self, system: Shared<System>) {
        let changes = self.translation_changes();
        let old = self.system.replace(Some((changes, system)));
        drop(old);
        self.xlat().flush();
    }

    /// Ends [`Context::use_translation_system`] early.
    pub fn use_own_translation_system(&self) {
        let old = self.system.replace(None);
        drop(old);
        self.xlat().flush();
    }

    /// What the dump itself answers when translation asks, without the
    /// callbacks that were added to [`Context::xlat`]. It may outlive the
    /// context, and then knows less.
    pub fn dump_callbacks(&self) -> Shared<dyn Callbacks> {
        self.record()
    }

    /// The address in space `to` that stands for `address` in space `from`.
    ///
    /// # Errors
    /// `NoData` if what the translation needs is not in the dump; `AddrXlat`
    /// if the address is not mapped, or cannot be translated.
    pub fn translate_address(&self, from: Space, address: u64, to: Space) -> Result<u64> {
        self.call(|| {
            let snapshot = self.snapshot();
            let system = self.system(&snapshot)?;
            let source = full_addr(Address { space: from, value: address });
            let target = self.xlat().convert(Some(&system), xlat::AddrSpace(to as i32), source);
            target.map(|target| target.addr).map_err(xlat::Error::into_dump)
        })
    }

    /// The system of maps and methods, set up as far as that is possible.
    pub(super) fn system(&self, snapshot: &Snapshot) -> Result<Shared<System>> {
        let changes = self.translation.scope().changes();
        if let Some((seen, system)) = &*self.system.borrow()
            && *seen == changes
        {
            return Ok(system.clone());
        }
        let system = match self.translation.system(changes) {
            Some(system) => system,
            // Without pages there is nothing to set it up from.
            None if snapshot.spaces().is_empty() => return Ok(Shared::default()),
            None => {
                // A callback that reads from the context that asks it gets
                // what there is: nothing yet.
                let Some(_building) = self.own.begin_building() else { return Ok(Shared::default()) };
                if broken(Fault::HalfBuilt) {
                    self.translation.keep(changes, Shared::default());
                }
                // One that has a callback which reads by other contexts may
                // lead to set-ups without end.
                let Some(_set_up) = self.dump.set_ups.begin() else {
                    let text = "Too many set-ups of address translation within one another";
                    return Err(Error::new(Status::Busy, text));
                };
                let (system, outcome) = self.set_up()?;
                if let Err(busy) = &outcome
                    && busy.status() == Status::Busy
                {
                    // It may succeed when it is tried again.
                    return Err(busy.clone());
                }
                self.translation.keep(changes, system.clone());
                if let Err(error) = outcome {
                    self.system.replace(Some((changes, system)));
                    return Err(error);
                }
                system
            }
        };
        self.system.replace(Some((changes, system.clone())));
        Ok(system)
    }

    /// Sets a system up: what came of it, and what went wrong.
    fn set_up(&self) -> Result<(Shared<System>, Result<()>)> {
        let attributes = self.attributes();
        let mut system = System::new();
        if attributes.string("arch.name").is_none() {
            return Ok((Shared::new(system), Ok(())));
        }
        let mut options = translation_options(attributes, self.translation.scope())?;
        let outcome = self.kernel(&mut system, &mut options);
        // This table needs no kernel.
        let format = self.snapshot().opened.as_ref().map(|opened| opened.format.clone());
        let frames = match (format, attributes.number("xen.xlat"), options.page_shift) {
            (Some(format), Some(XEN_XLAT_NONAUTO), Some(shift)) => {
                frames::set_up(&mut system, &format, shift)
            }
            _ => Ok(()),
        };
        Ok((Shared::new(system), outcome.and(frames)))
    }

    /// Sets up what an operating system and its architecture make of addresses.
    fn kernel(&self, system: &mut System, options: &mut os::Options) -> Result<()> {
        let attributes = self.attributes();
        if options.os == Some(os::OsType::Linux)
            && options.arch.as_deref() == Some("x86_64")
            && options.phys_base.is_none()
            && let Some(base) = self.live_phys_base()?
        {
            attributes.note("linux.phys_base", Value::Address(base));
            options.phys_base = Some(base);
        }
        os::init(system, self.xlat(), options).map_err(xlat::Error::into_dump)?;
        // Tables that are known by their virtual address alone say nothing.
        if options.os == Some(os::OsType::Linux)
            && options.arch.as_deref() == Some("arm")
            && (options.phys_base, options.root) == (None, None)
            && system.method(MethodIndex::DIRECT).is_none_or(xlat::Method::is_none)
        {
            self.find_arm_memory(system, options)?;
        }
        note_entry_size(attributes, system);
        if options.os == Some(os::OsType::Linux)
            && options.arch.as_deref() == Some("x86_64")
            && attributes.number("linux.phys_base").is_none()
        {
            let text = system.method(MethodIndex::KTEXT).map(|method| &method.kind);
            if let Some(Kind::Linear(offset)) = text {
                let base = offset.wrapping_add(X86_64_KERNEL_MAP);
                attributes.note("linux.phys_base", Value::Address(base));
            } else if attributes.number("xen.type").is_some_and(|kind| kind != 0) {
                attributes.note("linux.phys_base", Value::Address(0));
                options.phys_base.get_or_insert(0);
                os::init(system, self.xlat(), options).map_err(xlat::Error::into_dump)?;
            }
        }
        Ok(())
    }

    /// Sets up 32-bit Arm anew with the start of memory: as the headers of the
    /// dump say it, or else as page tables show where they are.
    fn find_arm_memory(&self, system: &mut System, options: &mut os::Options) -> Result<()> {
        let offset = self.snapshot().opened.as_ref().and_then(|opened| opened.format.linear_offset());
        let told = match offset {
            Some(offset) => os::told_arm_memory(self.xlat(), options, offset),
            None => Ok(None),
        };
        if let Some(told) = told.map_err(xlat::Error::into_dump)? {
            let mut found = System::new();
            let init = os::init(&mut found, self.xlat(), &told);
            if let Err(busy) = &init
                && busy.status() == xlat::Status::BUSY
            {
                return init.map_err(xlat::Error::into_dump);
            }
            // The tables must bear it out.
            if init.is_ok() && found.method(MethodIndex::DIRECT).is_some_and(|method| !method.is_none()) {
                (*system, *options) = (found, told);
                return Ok(());
            }
        }
        if let Some(guess) = os::guess_arm_memory(self.xlat(), options).map_err(xlat::Error::into_dump)? {
            *options = guess;
            os::init(system, self.xlat(), options).map_err(xlat::Error::into_dump)?;
        }
        Ok(())
    }

    /// What Linux calls `phys_base` on the running machine: the system tells
    /// where its code is, and VMCOREINFO or the user where that is mapped.
    fn live_phys_base(&self) -> Result<Option<u64>> {
        let snapshot = self.snapshot();
        let live = snapshot.opened.as_ref().and_then(|opened| opened.files.raw_source(0).live());
        let Some(live) = live.filter(|live| live.kind == LiveKind::Device) else { return Ok(None) };
        let Some(code) = live.kernel_code()? else { return Ok(None) };
        for name in ["_stext", "_text"] {
            match self.xlat().symbol_value(name) {
                Ok(text) => return Ok(Some(memory::phys_base_x86_64(code, text))),
                Err(error) if error.status() == xlat::Status::NoData => {}
                Err(error) => {
                    let error = error.into_dump();
                    return Err(error.context("Cannot get kernel text start address"));
                }
            }
        }
        Ok(None)
    }

    /// The same as [`translate`](Self::translate) for an address near which one
    /// was translated before, without any other work.
    #[inline]
    pub(super) fn known_translation(&self, snapshot: &Snapshot, address: Address) -> Option<(Address, u64)> {
        match self.recent_translation(address) {
            None if self.xlat.get()?.caching() => self.kept_translation(snapshot, address),
            known => known,
        }
    }

    /// The same for those that were not used last.
    #[inline(never)]
    fn kept_translation(&self, snapshot: &Snapshot, address: Address) -> Option<(Address, u64)> {
        let kept = self.system.borrow();
        let (_, system) = kept.as_ref().filter(|(seen, _)| *seen == self.translation.scope().changes())?;
        let source = full_addr(address);
        let caps = caps_of(snapshot).without(source.space);
        let (before, run) = self.xlat.get()?.known_run(system, caps, source)?;
        let target = Address { space: space_of(run.target.space)?, value: run.target.addr };
        self.keep_recent(address, target, before, run.endoff);
        Some((target, run.endoff))
    }

    /// Translates to a space that the dump is stored by: the address there,
    /// and for how many bytes more, at least, it goes on in parallel.
    pub(super) fn translate(
        &self,
        snapshot: &Snapshot,
        system: &System,
        address: Address,
    ) -> Result<(Address, u64)> {
        let source = full_addr(address);
        let caps = caps_of(snapshot).without(source.space);
        let run = self.xlat().run(Some(system), caps, source).map_err(xlat::Error::into_dump)?;
        let no_space = || Error::new(Status::AddrXlat, "Unrecognized address space");
        let space = space_of(run.target.space).ok_or_else(no_space)?;
        Ok((Address { space, value: run.target.addr }, run.endoff))
    }
}

/// Sets `arch.pteval_size` to the size of an entry of the kernel's page
/// tables, unless somebody knows it better.
fn note_entry_size(attributes: &Attributes, system: &System) {
    let Some(Kind::Pgt(table)) = system.method(MethodIndex::PGT).map(|method| &method.kind) else { return };
    if let (None, Some(shift)) = (attributes.number("arch.pteval_size"), table.form.format().pteval_shift()) {
        attributes.note("arch.pteval_size", Value::Number(1 << shift));
    }
}
