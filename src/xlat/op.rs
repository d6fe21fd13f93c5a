//! From an address to an address space where something can be done with it.
//!
//! ```text
//!   source         stage 1                       stage 2
//!   KVADDR         KV_PHYS, else HW              MACHPHYS_KPHYS, else KPHYS_MACHPHYS
//!   KPHYSADDR      KPHYS_MACHPHYS, KPHYS_DIRECT  -
//!   MACHPHYSADDR   MACHPHYS_KPHYS                KPHYS_DIRECT
//! ```
//!
//! Each stage takes the first map that leads anywhere. The translation is done
//! as soon as the result lies in a space that is wanted.

use alloc::vec::Vec;
use core::cell::RefMut;

use super::ctx::{Ctx, DEPTH_MAX, NEEDS_MAX};
use super::error::{Error, Result, Status};
use super::map::{MethodIndex, Range};
use super::method::{Kind, Method};
use super::pgt::reach;
use super::step::{Step, Walker, mask};
use super::system::{MapIndex, System};
use super::types::{AddrSpace, Caps, FullAddr};

/// The maps that may lead from a space to another, stage by stage.
struct Route {
    id: u8,
    stages: &'static [&'static [MapIndex]],
}

impl Route {
    const fn new(id: u8, stages: &'static [&'static [MapIndex]]) -> Self {
        Route { id, stages }
    }

    fn choose(source: AddrSpace, caps: Caps) -> Result<&'static Route> {
        use MapIndex::{Hw, KphysDirect, KphysMachphys, KvPhys, MachphysKphys};
        static KVIRT: Route = Route::new(0, &[&[KvPhys, Hw], &[MachphysKphys, KphysMachphys]]);
        static KPHYS_ANY: Route = Route::new(1, &[&[KphysMachphys, KphysDirect]]);
        static KPHYS_MACHPHYS: Route = Route::new(2, &[&[KphysMachphys]]);
        static KPHYS_KVIRT: Route = Route::new(3, &[&[KphysDirect]]);
        static MACHPHYS: Route = Route::new(4, &[&[MachphysKphys], &[KphysDirect]]);

        let (machphys, kvirt) = (caps.contains(AddrSpace::MACHPHYS), caps.contains(AddrSpace::KVIRT));
        match source {
            AddrSpace::KVIRT => Ok(&KVIRT),
            AddrSpace::KPHYS if machphys && kvirt => Ok(&KPHYS_ANY),
            AddrSpace::KPHYS if machphys => Ok(&KPHYS_MACHPHYS),
            AddrSpace::KPHYS => Ok(&KPHYS_KVIRT),
            AddrSpace::MACHPHYS => Ok(&MACHPHYS),
            _ => Err(Error::not_implemented("Unrecognized address space")),
        }
    }
}

/// A translation that is under way: it must not be needed for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct InFlight {
    addr: FullAddr,
    route: u8,
}

/// What it costs to look for a way that is not remembered, in steps of a walk:
/// one that leads nowhere has much to say about it.
const WAY_STEPS: u64 = 8;

/// While it lives, its translation is under way.
struct Guard<'a>(&'a Ctx);

impl<'a> Guard<'a> {
    fn begin(ctx: &'a Ctx, entry: InFlight) -> Result<Self> {
        let mut list: RefMut<'_, Vec<InFlight>> = ctx.in_flight.borrow_mut();
        let needs = if list.is_empty() { 0 } else { ctx.needs.get().saturating_add(1) };
        ctx.needs.set(needs);
        ctx.spend(1)?;
        if list.len() >= DEPTH_MAX || needs > NEEDS_MAX || list.contains(&entry) {
            ctx.loops.set(ctx.loops.get().wrapping_add(1));
            return Err(Error::no_method("Infinite recursion loop"));
        }
        list.push(entry);
        Ok(Guard(ctx))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut list = self.0.in_flight.borrow_mut();
        list.pop();
        if list.is_empty() {
            self.0.forget_caps();
        }
    }
}

/// Addresses that translate alike: `source + n` becomes `target + n` for each
/// `n` up to `endoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first address.
    pub source: FullAddr,
    /// What it becomes.
    pub target: FullAddr,
    /// The number of addresses less one.
    pub endoff: u64,
}

/// A translation and how far around the address it is the same.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) target: FullAddr,
    /// How many addresses below translate alike.
    pub(super) before: u64,
    /// How many addresses above translate alike.
    pub(super) after: u64,
    /// Whether code of the user took part, which may answer otherwise later.
    pub(super) custom: bool,
}

impl Found {
    fn start(addr: FullAddr) -> Self {
        Found { target: addr, before: addr.addr, after: !addr.addr, custom: false }
    }

    /// What was found here holds from `first` to `last` only, in terms of the
    /// address that the translation has reached.
    fn clip(&mut self, first: u64, last: u64) {
        self.before = self.before.min(self.target.addr.saturating_sub(first));
        self.after = self.after.min(last.saturating_sub(self.target.addr));
    }

    /// The same for the aligned block of 2^`bits` bytes around that address.
    fn clip_block(&mut self, bits: u32) {
        let block = mask(bits);
        self.clip(self.target.addr & !block, self.target.addr | block);
    }
}

impl Ctx {
    /// Finds the way from `addr` into a space of `caps`, and calls `op` with
    /// the address there. What `op` returns is returned.
    ///
    /// # Errors
    ///
    /// * `NotImplemented`: `addr` lies in none of the known spaces.
    /// * `NoMethod`: there is no way, or it needs itself.
    /// * `NotPresent`, `Invalid`: tables say so.
    /// * Those of the callbacks, but for `NoData`, after which another way is
    ///   tried.
    pub fn op<T>(
        &self,
        sys: Option<&System>,
        caps: Caps,
        addr: FullAddr,
        op: impl FnOnce(FullAddr) -> Result<T>,
    ) -> Result<T> {
        if caps.contains(addr.space) {
            return op(addr);
        }
        let (found, guard) = self.resolve(sys, caps, addr)?;
        let result = op(found.target);
        drop(guard);
        result
    }

    /// The address in `space` that `addr` stands for.
    ///
    /// # Errors
    ///
    /// As for [`op`](Self::op).
    pub fn convert(&self, sys: Option<&System>, space: AddrSpace, addr: FullAddr) -> Result<FullAddr> {
        self.find(sys, Caps::of(space), addr).map(|found| found.target)
    }

    /// The run of addresses that begins at `addr`, which is translated into a
    /// space of `caps`, and all of which translates alike.
    ///
    /// The run may end before the addresses cease to translate alike: it is
    /// what the tables that were read for `addr` alone say.
    ///
    /// # Errors
    ///
    /// As for [`op`](Self::op).
    pub fn run(&self, sys: Option<&System>, caps: Caps, addr: FullAddr) -> Result<Run> {
        let found = self.find(sys, caps, addr)?;
        // A run does not go around the end of the target space.
        let endoff = found.after.min(!found.target.addr);
        Ok(Run { source: addr, target: found.target, endoff })
    }

    /// The run that `addr` is in, if it was found before and nothing changed
    /// since, and for how many bytes before `addr` it goes back. Nobody else's
    /// code runs, whatever was changed.
    #[inline]
    pub(crate) fn known_run(&self, sys: &System, caps: Caps, addr: FullAddr) -> Option<(u64, Run)> {
        // Nothing can be a loop when nothing is under way.
        let found = if self.is_idle() { self.still_known(sys, caps, addr)? } else { return None };
        let endoff = found.after.min(!found.target.addr);
        Some((found.before, Run { source: addr, target: found.target, endoff }))
    }

    /// What `op` would call its operation with.
    fn find(&self, sys: Option<&System>, caps: Caps, addr: FullAddr) -> Result<Found> {
        if caps.contains(addr.space) {
            return Ok(Found::start(addr));
        }
        // Nothing can be a loop when nothing is under way.
        if let Some(sys) = sys
            && self.is_idle()
            && let Some(found) = self.remembered(sys, caps, addr)
        {
            return Ok(found);
        }
        self.resolve(sys, caps, addr).map(|(found, _)| found)
    }

    fn resolve(&self, sys: Option<&System>, caps: Caps, addr: FullAddr) -> Result<(Found, Guard<'_>)> {
        if caps.0 & (Caps::KPHYS | Caps::MACHPHYS | Caps::KVIRT).0 == 0 {
            return Err(Error::no_method("No suitable capabilities"));
        }
        let sys = sys.ok_or_else(|| Error::no_method("No translation system"))?;
        let route = Route::choose(addr.space, caps)?;
        let guard = Guard::begin(self, InFlight { addr, route: route.id })?;
        if let Some(found) = self.remembered(sys, caps, addr) {
            return Ok((found, guard));
        }
        let limit = self.limit_of_translation();
        self.spend(WAY_STEPS)?;
        let (loops, version) = (self.loops.get(), self.chain().version());
        let found = self.follow(route, sys, caps, addr)?;
        // Not what came out because something else was already under way, nor
        // what a chain says that is no longer there.
        if !found.custom && loops == self.loops.get() && version == self.chain().version() {
            self.remember(sys, caps, addr, &found);
        }
        drop(limit);
        Ok((found, guard))
    }

    fn follow(&self, route: &Route, sys: &System, caps: Caps, addr: FullAddr) -> Result<Found> {
        let mut found = Found::start(addr);
        let mut last_error = None;
        for stage in route.stages {
            for &index in *stage {
                let Some(map) = sys.map(index).filter(|_| index.source() == found.target.space) else {
                    continue;
                };
                last_error = None;
                let Range { first, last, method } = map.find(found.target.addr);
                found.clip(first, last);
                let Some(way) = sys.method(method) else {
                    continue;
                };
                match self.translate(sys, method, way, &mut found) {
                    Ok(()) if caps.contains(found.target.space) => return Ok(found),
                    Ok(()) => break,
                    Err(error) if matches!(error.status(), Status::NoMethod | Status::NoData) => {
                        last_error = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let error = last_error.unwrap_or(Error::bare(Status::NoMethod));
        Err(error.with_status(Status::NoMethod).context("No way to translate"))
    }

    /// Takes `found` one method further; it stays where it is if that fails,
    /// but is clipped to the addresses which fail alike.
    fn translate(&self, sys: &System, index: MethodIndex, method: &Method, found: &mut Found) -> Result<()> {
        match &method.kind {
            Kind::Linear(offset) => {
                found.target = FullAddr::new(method.target, found.target.addr.wrapping_add(*offset));
                return Ok(());
            }
            Kind::Lookup(lookup) if lookup.is_apart() => {
                if let Some(elem) = lookup.find(found.target.addr) {
                    found.clip(elem.orig, elem.orig.saturating_add(lookup.endoff()));
                }
            }
            Kind::Lookup(_) => found.clip_block(0),
            Kind::Custom(_) => found.custom = true,
            Kind::Pgt(_) | Kind::MemArr(_) | Kind::None | Kind::Unknown(_) => {}
        }
        let mut step = Step::new(found.target);
        let walker = Walker::new(self, Some(sys), method);
        let result = match &method.kind {
            Kind::Pgt(table) => self.walk_table(&walker, sys, index, table, &mut step),
            _ => walker.walk(&mut step),
        };
        match &method.kind {
            Kind::Pgt(table) if result.is_err() => found.clip_block(table.form.field(0)),
            Kind::Pgt(table) => {
                found.clip_block(step.leaf_bits);
                // A block can be larger than all that the table may be asked for.
                if step.leaf_bits >= table.form.virt_bits() {
                    let (first, last) = reach(&table.form, found.target.addr);
                    found.clip(first, last);
                }
            }
            Kind::MemArr(array) => found.clip_block(array.shift),
            _ => {}
        }
        result?;
        found.target = step.base;
        Ok(())
    }
}
