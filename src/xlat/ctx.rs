//! Contexts: who is asked for memory, and what was read last.

use alloc::format;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;

use super::cache::{ReadCache, copy};
use super::callbacks::{Callbacks, Chain, ChainSnapshot, PageBuf};
use super::error::{Error, Result, Status};
use super::op::InFlight;
use super::system::System;
use super::tlb::Tlb;
use super::types::{ByteOrder, Caps, FullAddr};
use crate::sync::Shared;

/// How deep reads and translations may nest before they count as a loop.
pub(super) const DEPTH_MAX: usize = 64;

/// How many translations one translation may need, directly or not. Each of
/// them may try several ways, so the depth alone would bound nothing.
pub(super) const NEEDS_MAX: u32 = 1 << 16;

/// The steps of one translation, with all that it needs.
const TRANSLATION_MAX: u64 = 1 << 20;

/// The steps of a search. Nonsense tables may never come to an end, but those of
/// a direct mapping of 128 TiB by pages of 2 MiB do, or 256 GiB by pages of 4 KiB.
const SEARCH_MAX: u64 = 1 << 26;

/// What one user of translations holds: the chain of callbacks, the blocks of
/// memory that were read last, and the translations that were found last.
///
/// A context is used by one thread at a time; with threads it may move to
/// another one. Several contexts may use one [`System`] at the same time.
/// Callbacks may use the context that asks them.
pub struct Ctx {
    chain: Shared<Chain>,
    snapshot: RefCell<Option<(u64, ChainSnapshot)>>,
    reads: RefCell<ReadCache>,
    /// What is being asked of the chain at this moment: a question for one of
    /// these addresses comes from its own answer.
    fetching: RefCell<Vec<FullAddr>>,
    /// The translations that are under way.
    pub(super) in_flight: RefCell<Vec<InFlight>>,
    /// How many translations the one that is under way has needed so far.
    pub(super) needs: Cell<u32>,
    /// The steps that are left for the operation that is under way; none if no
    /// operation is.
    budget: Cell<Option<u64>>,
    /// The steps of a search.
    steps_max: Cell<u64>,
    /// How often something was found to depend on itself.
    pub(super) loops: Cell<u64>,
    pub(super) tlb: RefCell<Tlb>,
    caching: Cell<bool>,
    /// How often all translations were forgotten.
    forgotten: Cell<u64>,
    /// What the chain can read directly, during one call from outside.
    caps: Cell<Option<Caps>>,
}

impl Ctx {
    /// A context that asks `chain`.
    pub fn new(chain: Shared<Chain>) -> Self {
        Ctx {
            chain,
            snapshot: RefCell::default(),
            reads: RefCell::default(),
            fetching: RefCell::default(),
            in_flight: RefCell::default(),
            needs: Cell::new(0),
            budget: Cell::new(None),
            steps_max: Cell::new(SEARCH_MAX),
            loops: Cell::new(0),
            tlb: RefCell::default(),
            caching: Cell::new(true),
            forgotten: Cell::new(0),
            caps: Cell::new(None),
        }
    }

    /// A context that asks the same records, but on top of another base.
    pub fn clone_onto(&self, base: Shared<dyn Callbacks>) -> Self {
        let clone = Ctx::new(Shared::new(self.chain.clone_onto(base)));
        clone.caching.set(self.caching.get());
        clone.steps_max.set(self.steps_max.get());
        clone
    }

    /// The records that are asked; they may be changed at any time. Blocks and
    /// translations that came from the chain as it was are forgotten then.
    pub fn chain(&self) -> &Shared<Chain> {
        &self.chain
    }

    /// Forgets the blocks of memory that were read, and what was translated.
    ///
    /// For changes that a chain does not show: when its records begin to read
    /// other spaces, or other memory.
    pub fn flush(&self) {
        self.flush_translations();
        let blocks = self.reads.try_borrow_mut().map(|mut reads| core::mem::take(&mut *reads));
        // Dropped here, where nothing is borrowed: blocks may belong to a user.
        drop(blocks);
    }

    /// Forgets what was translated, but keeps the blocks of memory.
    pub(super) fn flush_translations(&self) {
        self.forgotten.set(self.forgotten.get().wrapping_add(1));
        if let Ok(mut tlb) = self.tlb.try_borrow_mut() {
            tlb.clear();
        }
        self.caps.set(None);
    }

    /// Whether translations that were found are remembered (they are, unless
    /// told otherwise). Memory that changes while it is read also wants a
    /// [`flush`](Self::flush) before each use.
    pub fn set_caching(&self, caching: bool) {
        self.caching.set(caching);
        self.flush_translations();
    }

    #[inline]
    pub(crate) fn caching(&self) -> bool {
        self.caching.get()
    }

    /// Numbers of which one changes when what was translated by then is to be
    /// forgotten, however that is kept.
    #[inline]
    pub(crate) fn memory(&self) -> (u64, u64) {
        (self.forgotten.get(), self.chain.version())
    }

    /// Whether the chain is asked for memory at this moment.
    pub(super) fn in_callback(&self) -> bool {
        self.fetching.try_borrow().map_or(true, |fetching| !fetching.is_empty())
    }

    /// Whether nothing is kept that came from another chain.
    pub(super) fn is_current(&self) -> bool {
        let version = self.chain.version();
        self.snapshot
            .try_borrow()
            .is_ok_and(|snapshot| snapshot.as_ref().is_some_and(|(seen, _)| *seen == version))
    }

    /// Forgets what came from a chain that was changed since.
    pub(super) fn refresh(&self) {
        if !self.is_current() {
            self.records();
        }
    }

    /// The chain as it is now. What came from another one is forgotten.
    pub(super) fn records(&self) -> ChainSnapshot {
        let version = self.chain.version();
        if let Ok(snapshot) = self.snapshot.try_borrow()
            && let Some((seen, records)) = &*snapshot
            && *seen == version
        {
            return records.clone();
        }
        let records = self.chain.snapshot();
        let old = match self.snapshot.try_borrow_mut() {
            Ok(mut snapshot) => snapshot.replace((version, records.clone())),
            Err(_) => None,
        };
        if old.is_some() {
            self.flush();
        }
        drop(old);
        records
    }

    /// The address spaces that can be read directly.
    pub fn read_caps(&self) -> Caps {
        let records = self.records();
        records.head().read_caps()
    }

    /// The same during one call from outside, without asking again.
    pub(super) fn current_caps(&self) -> Caps {
        self.refresh();
        if let Some(caps) = self.caps.get() {
            return caps;
        }
        let caps = self.read_caps();
        if self.budget.get().is_some() || !self.is_idle() {
            self.caps.set(Some(caps));
        }
        caps
    }

    /// Whether no translation is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.try_borrow().is_ok_and(|in_flight| in_flight.is_empty())
    }

    /// Sets how many steps a search of page tables may take before it fails (2^26
    /// unless told otherwise): entries that are looked at, and all that it takes
    /// to read them. A set-up ([`os::init`](super::os::init)) may take twice as
    /// many, a single translation no more than 2^20 of them.
    ///
    /// With the usual number, searches go through a direct mapping of 128 TiB in
    /// pages of 2 MiB, or 256 GiB in pages of 4 KiB.
    pub fn set_steps_max(&self, steps: u64) {
        self.steps_max.set(steps);
    }

    /// The steps of a search.
    pub(super) fn steps_max(&self) -> u64 {
        self.steps_max.get()
    }

    /// From here on and while the result lives, no more than `max` steps are
    /// made, nor more than what an operation has left of which this is a part.
    pub(super) fn limit(&self, max: u64) -> Limit<'_> {
        let before = self.budget.get();
        let given = before.map_or(max, |before| before.min(max));
        self.budget.set(Some(given));
        Limit { ctx: self, before, given }
    }

    /// The limit of a single translation, unless there is one already.
    pub(super) fn limit_of_translation(&self) -> Option<Limit<'_>> {
        self.budget.get().is_none().then(|| self.limit(self.steps_max().min(TRANSLATION_MAX)))
    }

    /// Takes `steps` from what is left for the operation that is under way.
    pub(super) fn spend(&self, steps: u64) -> Result<()> {
        let Some(left) = self.budget.get() else { return Ok(()) };
        let rest = left.checked_sub(steps);
        self.budget.set(Some(rest.unwrap_or(0)));
        // No status that makes anybody try another way.
        rest.map(|_| ()).ok_or_else(|| Error::invalid("Translation takes too many steps"))
    }

    /// The call from outside has come to its end, unless it is a longer one.
    pub(super) fn forget_caps(&self) {
        if self.budget.get().is_none() {
            self.caps.set(None);
        }
    }

    /// Reads 32 bits at `addr`, in the order of bytes of their block. An
    /// address that cannot be read directly is translated first, by `sys`; so is
    /// one that the callbacks say is found [elsewhere](Status::ELSEWHERE).
    ///
    /// # Errors
    ///
    /// Those of the callbacks and of the translation, behind
    /// `Cannot read 32-bit {what} at {addr}`.
    pub fn read_u32(&self, sys: Option<&System>, addr: FullAddr, what: &str) -> Result<u32> {
        let (bytes, order) = self.read(sys, addr, what)?;
        Ok(order.u32(bytes))
    }

    /// Reads 64 bits at `addr`; otherwise as [`read_u32`](Self::read_u32).
    ///
    /// # Errors
    ///
    /// Those of the callbacks and of the translation, behind
    /// `Cannot read 64-bit {what} at {addr}`.
    pub fn read_u64(&self, sys: Option<&System>, addr: FullAddr, what: &str) -> Result<u64> {
        let (bytes, order) = self.read(sys, addr, what)?;
        Ok(order.u64(bytes))
    }

    /// Reads `N` bytes and says in which order they stand.
    pub(super) fn read<const N: usize>(
        &self,
        sys: Option<&System>,
        addr: FullAddr,
        what: &str,
    ) -> Result<([u8; N], ByteOrder)> {
        let caps = self.current_caps();
        let direct = if caps.contains(addr.space) { self.read_direct(addr) } else { Err(Error::elsewhere()) };
        let result = match direct {
            Err(error) if error.status() == Status::ELSEWHERE => {
                self.op(sys, caps.without(addr.space), addr, |addr| self.read_direct(addr))
            }
            direct => direct,
        };
        result.map_err(|error| error.context(format!("Cannot read {}-bit {what} at {addr}", N * 8)))
    }

    /// Whether `addr` can be read as it is. What is read in its space but was
    /// not dumped is translated by `sys`.
    pub fn can_read_directly(&self, sys: Option<&System>, addr: FullAddr) -> bool {
        let caps = self.read_caps();
        if !caps.contains(addr.space) {
            return false;
        }
        match self.read_direct::<1>(addr) {
            Err(error) if error.status() == Status::ELSEWHERE => {
                self.op(sys, caps.without(addr.space), addr, |addr| self.read_direct::<1>(addr)).is_ok()
            }
            direct => direct.is_ok(),
        }
    }

    /// Reads `N` bytes from the block that contains `addr` and, if it ends too
    /// early, from those that follow.
    fn read_direct<const N: usize>(&self, addr: FullAddr) -> Result<([u8; N], ByteOrder)> {
        let mut bytes = [0; N];
        let (mut done, order) = self.read_part(addr, &mut bytes)?;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (count, next) = self.read_part(addr.offset(done as u64), rest)?;
            if next != order {
                return Err(Error::no_data("Byte order changes within a number"));
            }
            done += count;
        }
        Ok((bytes, order))
    }

    /// Reads what the block that contains `addr` has: one byte at least.
    fn read_part(&self, addr: FullAddr, buf: &mut [u8]) -> Result<(usize, ByteOrder)> {
        // A block that is borrowed by its own accessor is fetched once more.
        if let Some(found) = self.reads.try_borrow_mut().ok().and_then(|mut reads| reads.read(addr, buf)) {
            return Ok(found);
        }
        let block = self.fetch(addr)?;
        let found = copy(&block, addr, buf).ok_or_else(|| Error::no_data("Block lies elsewhere"))?;
        let old = self.reads.try_borrow_mut().ok().and_then(|mut reads| reads.insert(block));
        drop(old);
        Ok(found)
    }

    /// Copies what is at `addr`, as far as it is in a block that was read lately
    /// by this address: how many bytes, and their order.
    pub(super) fn at_hand(&self, addr: FullAddr, buf: &mut [u8]) -> Option<(usize, ByteOrder)> {
        self.reads.try_borrow_mut().ok()?.read(addr, buf)
    }

    /// Asks the chain for the block that contains `addr`.
    fn fetch(&self, addr: FullAddr) -> Result<PageBuf> {
        let fetching = Fetching::begin(self, addr)?;
        // Given back before another one is asked for, so that a provider which
        // has few of them need not have one more.
        let old = self.reads.try_borrow_mut().ok().and_then(|mut reads| reads.evict());
        drop(old);
        let records = self.records();
        let block = records.head().page(addr);
        drop(fetching);
        block
    }

    /// Makes the block that contains `addr` the first to go.
    pub(super) fn demote(&self, addr: FullAddr) {
        if let Ok(mut reads) = self.reads.try_borrow_mut() {
            reads.demote(addr);
        }
    }

    /// The value of a register.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, behind `Cannot read register "{name}"`.
    pub fn register(&self, name: &str) -> Result<u64> {
        let value = self.records().head().register(name);
        value.map_err(|error| error.context(format!("Cannot read register \"{name}\"")))
    }

    /// The address of a symbol.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, behind `Cannot resolve "{name}"`.
    pub fn symbol_value(&self, name: &str) -> Result<u64> {
        let value = self.records().head().symbol_value(name);
        value.map_err(|error| error.context(format!("Cannot resolve \"{name}\"")))
    }

    /// The size of a symbol or type in bytes.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, behind `Cannot get sizeof({name})`.
    pub fn symbol_size(&self, name: &str) -> Result<u64> {
        let value = self.records().head().symbol_size(name);
        value.map_err(|error| error.context(format!("Cannot get sizeof({name})")))
    }

    /// How many bytes `member` is away from the start of `container`.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, behind `Cannot get offsetof({container}, {member})`.
    pub fn symbol_offset(&self, container: &str, member: &str) -> Result<u64> {
        let value = self.records().head().symbol_offset(container, member);
        value.map_err(|error| error.context(format!("Cannot get offsetof({container}, {member})")))
    }

    /// The value of a number that the kernel exports.
    ///
    /// # Errors
    ///
    /// Those of the callbacks, behind `Cannot get number({name})`.
    pub fn number(&self, name: &str) -> Result<u64> {
        let value = self.records().head().number(name);
        value.map_err(|error| error.context(format!("Cannot get number({name})")))
    }
}

/// A clone asks the same records, from a chain of its own, and remembers
/// nothing yet.
impl Clone for Ctx {
    fn clone(&self) -> Self {
        let clone = Ctx::new(Shared::new(Chain::clone(&self.chain)));
        clone.caching.set(self.caching.get());
        clone.steps_max.set(self.steps_max.get());
        clone
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// While it lives, there is a limit to the steps that are made.
pub(super) struct Limit<'a> {
    ctx: &'a Ctx,
    before: Option<u64>,
    given: u64,
}

impl Limit<'_> {
    /// Whether something was not done because it would have taken more steps.
    pub(super) fn is_reached(&self) -> bool {
        self.ctx.budget.get() == Some(0)
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let spent = self.given.saturating_sub(self.ctx.budget.get().unwrap_or(0));
        self.ctx.budget.set(self.before.map(|before| before.saturating_sub(spent)));
        if self.ctx.is_idle() {
            self.ctx.forget_caps();
        }
    }
}

/// While it lives, its address is being asked for.
struct Fetching<'a>(&'a Ctx);

impl<'a> Fetching<'a> {
    fn begin(ctx: &'a Ctx, addr: FullAddr) -> Result<Self> {
        let mut fetching = ctx.fetching.borrow_mut();
        if fetching.len() >= DEPTH_MAX || fetching.contains(&addr) {
            ctx.loops.set(ctx.loops.get().wrapping_add(1));
            return Err(Error::no_data("Infinite read recursion"));
        }
        fetching.push(addr);
        Ok(Fetching(ctx))
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.fetching.borrow_mut().pop();
    }
}
