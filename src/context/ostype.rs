//! What is read from the dump once somebody says which system it is.

use alloc::string::String;

use super::Context;
use crate::arch::{Arch, ByteOrder};
use crate::attr::{AttrRef, Os, Value};
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::infer::{self, Evidence};
use crate::format::{Space, elf, memory};
use crate::io::LiveKind;
use crate::notes::{self, uts};
use crate::xlat::os::s390x_lowcore::{Vmcoreinfo, find_vmcoreinfo};

/// Where `utsname` may begin within `init_uts_ns`: the structure has a few
/// members in front of it, which differ from kernel to kernel.
const UTSNAME_WITHIN: usize = 128;

/// What `utsname` begins with.
const SYSNAME: &[u8] = b"Linux\0";

impl Context {
    /// Sets an attribute, and does what a new `addrxlat.ostype` asks for. If
    /// that fails the attribute has its new value all the same.
    pub(super) fn apply(&self, attr: AttrRef, value: Value) -> Result<()> {
        let os = self.dump.set(attr, value)?;
        if self.attributes().reference(Some("linux.vmcoreinfo.raw")) == Ok(attr) {
            self.infer_architecture()?;
        }
        let Some(os) = os else { return Ok(()) };
        if os == Os::Linux {
            self.read_lowcore()?;
        }
        if os == Os::Linux && self.attributes().string("linux.uts.sysname").is_none() {
            self.find_utsname()?;
        }
        self.read_xen_extra_version()
    }

    /// Sets `arch.name` of an open dump that does not tell its architecture, if
    /// VMCOREINFO that the user set tells it.
    fn infer_architecture(&self) -> Result<()> {
        if self.snapshot().opened.is_none() {
            return Ok(());
        }
        self.dump.describe(|facts| {
            // A machine with a name is none of those that are known.
            if facts.is_set("linux.uts.machine") {
                return Ok(());
            }
            let order = match facts.number("arch.byte_order") {
                Some(0) => ByteOrder::Big,
                _ => ByteOrder::Little,
            };
            let pointer_size = facts.number("arch.ptr_size").and_then(|size| u8::try_from(size).ok());
            let pointer_size = pointer_size.unwrap_or(8);
            let evidence = Evidence { order, pointer_size, machine: b"", notes: b"" };
            infer::settle(facts, &evidence).map(|_| ())
        })
    }

    /// What a dump that was just opened tells by its memory, if it is known
    /// already which system it is.
    pub(super) fn look_around(&self) {
        // Nor is what the running system does not tell.
        let _ = self.read_running_vmcoreinfo();
        if self.attributes().ostype_in(self.translation.scope()) == Some(Os::Linux) {
            // What cannot be found out now is not missing from an open dump.
            let _ = self.read_lowcore();
        }
    }

    /// Sets `linux.vmcoreinfo.raw` of a `/proc/kcore` that lacks it, from where
    /// the running system says that it is.
    fn read_running_vmcoreinfo(&self) -> Result<()> {
        self.dump.describe(|facts| {
            if !elf::lacks_vmcoreinfo_of_running_kernel(facts) {
                return Ok(());
            }
            let source = self.snapshot().opened.as_ref().map(|opened| opened.files.raw_source(0).clone());
            match source.and_then(|source| source.live()) {
                Some(live) if live.kind == LiveKind::Kcore => {
                    memory::tell_vmcoreinfo(&live, facts, |address, bytes| {
                        self.read(Space::MachinePhysical, address, bytes)
                    })
                }
                _ => Ok(()),
            }
        })
    }

    /// Sets `linux.vmcoreinfo.raw` of an s390x kernel from where its lowcore
    /// says that it is, unless it is known already.
    fn read_lowcore(&self) -> Result<()> {
        let attributes = self.attributes();
        let known =
            attributes.reference(Some("linux.vmcoreinfo.raw")).and_then(|raw| attributes.is_set(raw))?;
        if known || attributes.string("arch.name").as_deref() != Some(Arch::S390x.name()) {
            return Ok(());
        }
        let found = find_vmcoreinfo(&mut |address, bytes| self.read(Space::KernelPhysical, address, bytes))?;
        match found {
            Some(Vmcoreinfo::Text(text)) => self
                .dump
                .describe(|facts| facts.set_blob("linux.vmcoreinfo.raw", text))
                .context(|| "Cannot set VMCOREINFO"),
            Some(Vmcoreinfo::Note(note)) => self.dump.describe(|facts| notes::noarch(facts, &note)),
            None => Ok(()),
        }
    }

    /// Sets `linux.uts.*` from memory, where VMCOREINFO says where it is and
    /// that can be read.
    fn find_utsname(&self) -> Result<()> {
        let unreachable = |error: &Error| matches!(error.status(), Status::NoData | Status::AddrXlat);
        let address = match self.utsname_address() {
            Ok(Some(address)) => address,
            Err(error) if !unreachable(&error) => return Err(error),
            _ => return Ok(()),
        };
        let mut utsname = [0; uts::SIZE];
        match self.read(Space::KernelVirtual, address, &mut utsname) {
            // Nothing to translate with says nothing about the dump.
            Err(error) if error.status() == Status::AddrXlat => return Ok(()),
            read => read?,
        }
        if !uts::looks_sane(&utsname) {
            return Err(Error::corrupt("Wrong utsname content"));
        }
        self.dump.describe(|facts| uts::store(facts, &utsname))
    }

    fn utsname_address(&self) -> Result<Option<u64>> {
        let symbol = |name| self.attributes().number(name);
        if let Some(address) = symbol("linux.vmcoreinfo.SYMBOL.system_utsname") {
            return Ok(Some(address));
        }
        let Some(namespace) = symbol("linux.vmcoreinfo.SYMBOL.init_uts_ns") else { return Ok(None) };
        let mut head = [0; UTSNAME_WITHIN + SYSNAME.len()];
        self.read(Space::KernelVirtual, namespace, &mut head)?;
        let offset = head.windows(SYSNAME.len()).position(|text| text == SYSNAME);
        let offset = offset.ok_or_else(|| Error::corrupt("UTS_SYSNAME not found"))?;
        Ok(Some(namespace.wrapping_add(offset as u64)))
    }

    fn read_xen_extra_version(&self) -> Result<()> {
        let Some(address) = self.attributes().number("xen.version.extra_addr") else { return Ok(()) };
        let text = match self.read_string(Space::MachinePhysical, address) {
            Err(error) if error.status() == Status::NoData => return Ok(()),
            read => read.context(|| "Cannot read Xen extra version")?,
        };
        let text = String::from_utf8_lossy(&text);
        self.dump
            .describe(|facts| facts.set_string("xen.version.extra", &text))
            .context(|| "Cannot set Xen extra version")
    }
}
