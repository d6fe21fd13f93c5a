//! What the layouts of all architectures are made with.

use alloc::borrow::Cow;
use alloc::format;

use super::{Options, OsType};
use crate::xlat::ctx::Ctx;
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Kind, Method, PageTable};
use crate::xlat::step::{Step, Walker};
use crate::xlat::system::{MapIndex, System};
use crate::xlat::types::{AddrSpace, FullAddr};

pub(super) use crate::xlat::step::mask;

/// The code of Linux `a.b.c`, as in [`Options::version_code`].
pub(super) const fn linux_version(a: u64, b: u64, c: u64) -> u64 {
    (a << 16) + (b << 8) + c
}

/// The code of Xen `major.minor`, as in [`Options::version_code`].
pub(super) const fn xen_version(major: u64, minor: u64) -> u64 {
    (major << 16) | minor
}

/// What is done to the method of a region before the map is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    None,
    /// It becomes linear: the first address is physical address 0. The way back
    /// ([`MethodIndex::RDIRECT`], [`MapIndex::KphysDirect`]) is set up, too.
    Direct,
    /// It becomes the identity, to kernel physical addresses.
    IdentKphys,
    /// It becomes the identity, to machine physical addresses.
    IdentMachphys,
}

/// A run of addresses of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub first: u64,
    pub last: u64,
    pub method: MethodIndex,
    pub action: Action,
}

impl Region {
    /// Addresses for `method`, which is left as it is.
    pub const fn new(first: u64, last: u64, method: MethodIndex) -> Self {
        Region { first, last, method, action: Action::None }
    }

    /// Addresses of the direct mapping, the first of which is physical 0.
    pub const fn direct(first: u64, last: u64) -> Self {
        Region { first, last, method: MethodIndex::DIRECT, action: Action::Direct }
    }
}

/// How many processors are asked for their page tables.
pub(super) const CPUS_MAX: usize = 64;

/// Where the address of the root page table may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootSource {
    /// A control register of x86: its value is a machine physical address.
    Register(&'static str),
    /// A symbol: a kernel virtual address.
    Symbol(&'static str),
}

impl RootSource {
    /// The name of the register or symbol.
    pub const fn name(self) -> &'static str {
        match self {
            RootSource::Register(name) | RootSource::Symbol(name) => name,
        }
    }
}

/// What is not known is no failure.
pub(super) trait Known<T> {
    /// `NoData` as none.
    fn known(self) -> Result<Option<T>>;
}

impl<T> Known<T> for Result<T> {
    fn known(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.status() == Status::NoData => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A system that is being set up, and what it is set up from.
pub(super) struct Setup<'a> {
    pub ctx: &'a Ctx,
    pub sys: &'a mut System,
    pub options: &'a Options,
}

impl Setup<'_> {
    /// The operating system.
    pub fn os(&self) -> OsType {
        self.options.os.unwrap_or_default()
    }

    /// Adds regions to a map, which is made if it is not there.
    pub fn layout(&mut self, map: MapIndex, regions: &[Region]) -> Result<()> {
        for region in regions {
            let &Region { first, last, method, action } = region;
            match action {
                Action::None => {}
                Action::Direct => self.direct(method, first, last)?,
                Action::IdentKphys => self.sys.set_method(method, Method::linear(AddrSpace::KPHYS, 0)),
                Action::IdentMachphys => self.sys.set_method(method, Method::linear(AddrSpace::MACHPHYS, 0)),
            }
            self.set_range(map, first, last, method)?;
        }
        Ok(())
    }

    fn direct(&mut self, method: MethodIndex, first: u64, last: u64) -> Result<()> {
        self.sys.set_method(method, Method::linear(AddrSpace::KPHYS, first.wrapping_neg()));
        self.sys.set_method(MethodIndex::RDIRECT, Method::linear(AddrSpace::KVIRT, first));
        self.set_range(MapIndex::KphysDirect, 0, last.wrapping_sub(first), MethodIndex::RDIRECT)
    }

    /// Gives the addresses from `first` to `last` to `method`.
    pub fn set_range(&mut self, map: MapIndex, first: u64, last: u64, method: MethodIndex) -> Result<()> {
        let endoff = last.checked_sub(first).ok_or(Error::bare(Status::Invalid));
        let result = endoff.and_then(|endoff| self.sys.map_mut(map).set(first, endoff, method));
        result.map_err(|error| error.context(format!("Cannot set up mapping for {first:#x}-{last:#x}")))
    }

    /// Kernel physical and machine physical addresses up to `max` are the same.
    pub fn set_physmaps(&mut self, max: u64) -> Result<()> {
        let region = |method, action| Region { first: 0, last: max, method, action };
        let to_kphys = region(MethodIndex::MACHPHYS_KPHYS, Action::IdentKphys);
        self.layout(MapIndex::MachphysKphys, &[to_kphys])?;
        let to_machphys = region(MethodIndex::KPHYS_MACHPHYS, Action::IdentMachphys);
        self.layout(MapIndex::KphysMachphys, &[to_machphys])
    }

    /// What a linear method adds; none if it is not linear.
    pub fn linear_offset(&self, index: MethodIndex) -> Option<u64> {
        match self.sys.method(index)?.kind {
            Kind::Linear(offset) => Some(offset),
            _ => None,
        }
    }

    /// The value of a symbol, if it is known.
    pub fn symbol(&self, name: &str) -> Result<Option<u64>> {
        self.ctx.symbol_value(name).known()
    }

    /// The value of a number that the kernel exports, if it is known.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        self.ctx.number(name).known()
    }

    /// The value of a register, if it is known.
    pub fn register(&self, name: &str) -> Result<Option<u64>> {
        self.ctx.register(name).known()
    }

    /// The value of a control register of an x86 processor that has to do with
    /// page tables, if it is known and the processor uses them: one that has not
    /// started or that runs firmware does not (CR0.PG is clear). A CR0 of zero is
    /// none: one bit of it is always set.
    pub fn paging_register(&self, name: &str) -> Result<Option<u64>> {
        const CR0_PG: u64 = 1 << 31;
        let value = self.register(name)?;
        let off = value.is_some() && self.register("cr0")?.is_some_and(|cr0| cr0 != 0 && cr0 & CR0_PG == 0);
        Ok(value.filter(|_| !off))
    }

    /// Where the page tables of a processor of x86 start, if it is known. The first
    /// one has number 0.
    pub fn root_of_cpu(&self, cpu: usize) -> Result<Option<FullAddr>> {
        const FLAGS: u64 = mask(12);
        let cr3 = match cpu {
            0 => self.paging_register("cr3")?,
            _ => self.register(&format!("cpu.{cpu}.reg.cr3"))?,
        };
        // A processor that has not started has none.
        Ok(cr3.map(|cr3| cr3 & !FLAGS).filter(|root| cpu == 0 || *root != 0).map(FullAddr::machphys))
    }

    /// Reads 32 bits, by the system as far as it is set up.
    pub fn read_u32(&self, addr: FullAddr, what: &str) -> Result<u32> {
        self.ctx.read_u32(Some(&*self.sys), addr, what)
    }

    /// Reads 64 bits, by the system as far as it is set up.
    pub fn read_u64(&self, addr: FullAddr, what: &str) -> Result<u64> {
        self.ctx.read_u64(Some(&*self.sys), addr, what)
    }

    /// The parameters of a page-table method; none if it is not one.
    pub fn page_table(&self, index: MethodIndex) -> Option<&PageTable> {
        match &self.sys.method(index)?.kind {
            Kind::Pgt(table) => Some(table),
            _ => None,
        }
    }

    /// Changes the parameters of a page-table method; nothing happens if it is
    /// not one.
    pub fn change_table(&mut self, index: MethodIndex, change: impl FnOnce(&mut PageTable)) {
        let Some(mut method) = self.sys.method(index).cloned() else { return };
        if let Kind::Pgt(table) = &mut method.kind {
            change(table);
            self.sys.set_method(index, method);
        }
    }

    /// Where the table of a page-table method starts.
    pub fn root(&self, index: MethodIndex) -> FullAddr {
        self.page_table(index).map_or(FullAddr::NONE, |table| table.root)
    }

    /// The first of `sources` that is known.
    pub fn find_root(&self, sources: &[RootSource]) -> Result<Option<FullAddr>> {
        for &source in sources {
            let found = match source {
                RootSource::Register(name) => {
                    self.paging_register(name).map(|found| found.map(FullAddr::machphys))
                }
                RootSource::Symbol(name) => self.symbol(name).map(|found| found.map(FullAddr::kvirt)),
            };
            // Callers know this text from here as well as from the context.
            let found = found
                .map_err(|error| error.context(format!("Cannot resolve \"{}\"", source.name())))
                .explain("Cannot determine root page table")?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Steps of a method of the system as far as it is set up.
    pub fn walker(&self, index: MethodIndex) -> Walker<'_> {
        const NONE: &Method = &Method::NONE;
        Walker::new(self.ctx, Some(&*self.sys), self.sys.method(index).unwrap_or(NONE))
    }

    /// What the page tables of `index` say about a virtual address.
    pub fn walk(&self, index: MethodIndex, addr: u64) -> Result<FullAddr> {
        let mut step = Step::new(FullAddr::kvirt(addr));
        self.walker(index).walk(&mut step)?;
        Ok(step.base)
    }

    /// The kernel physical address of `addr`, by the system as far as it is set
    /// up.
    pub fn to_kphys(&self, addr: FullAddr) -> Result<u64> {
        Ok(self.ctx.convert(Some(&*self.sys), AddrSpace::KPHYS, addr)?.addr)
    }

    /// The kernel physical address that the kernel's page tables give a virtual
    /// address.
    pub fn vtop_pgt(&self, addr: u64) -> Result<u64> {
        self.to_kphys(self.walk(MethodIndex::PGT, addr)?)
    }

    /// Whether the kernel's page tables map physical address 0 at `addr`.
    ///
    /// # Errors
    ///
    /// Only that the callbacks are too busy to tell.
    pub fn is_directmap(&self, addr: u64) -> Result<bool> {
        match self.vtop_pgt(addr) {
            Ok(phys) => Ok(phys == 0),
            Err(error) if error.status() == Status::BUSY => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Failures of this kind are an answer: it is not there.
pub(super) fn is_absence(error: &Error) -> bool {
    matches!(error.status(), Status::NoMethod | Status::NoData | Status::NotPresent)
}

/// Puts a message in front of a failure.
pub(super) trait Explain<T> {
    /// `message: what was said`.
    fn explain(self, message: impl Into<Cow<'static, str>>) -> Result<T>;
}

impl<T> Explain<T> for Result<T> {
    fn explain(self, message: impl Into<Cow<'static, str>>) -> Result<T> {
        self.map_err(|error| error.context(message))
    }
}
