//! What a translation asks of its user, and the chain of those who answer.
//!
//! ```text
//!   a question of the library
//!          |
//!          v
//!   record added last ---next---> ... ---next---> base record ---next---> "No ... callback"
//! ```
//!
//! Every record sees the chain below itself as [`Next`]. A method that a record
//! does not define passes the question on. Nothing is locked or borrowed while
//! a record runs: it may translate addresses with the same context, and it may
//! add or remove records. The question that is under way finishes with the
//! chain as it was when the question was asked.

use alloc::vec::Vec;
use core::fmt;

use super::error::{Error, Result};
use super::types::{ByteOrder, Caps, FullAddr};
use crate::sync::{Counter, Lock, MaybeSend, MaybeSync, Shared};

/// The bytes of a block of memory that somebody provides for a while.
///
/// Whoever provides them gets them back when the last [`PageBuf`] that shares
/// the object is dropped. `bytes` is a plain accessor: it returns the same
/// bytes each time and must not translate addresses itself.
pub trait PageBytes: MaybeSend + MaybeSync {
    /// The bytes of the block, in the order of the memory of the dump.
    fn bytes(&self) -> &[u8];
}

impl<T: AsRef<[u8]> + MaybeSend + MaybeSync> PageBytes for T {
    fn bytes(&self) -> &[u8] {
        self.as_ref()
    }
}

/// A block of memory: where it starts, its bytes and their order.
///
/// It need not be a page: one number of 4 or 8 bytes is as good as many pages.
#[derive(Clone)]
pub struct PageBuf {
    start: FullAddr,
    order: ByteOrder,
    bytes: Shared<dyn PageBytes>,
}

impl PageBuf {
    /// The block at `start`; `bytes` is dropped when the block is no longer
    /// used.
    pub fn new(start: FullAddr, order: ByteOrder, bytes: impl PageBytes + 'static) -> Self {
        Self::shared(start, order, Shared::new(bytes))
    }

    /// The block at `start`, whose bytes others use as well.
    pub fn shared(start: FullAddr, order: ByteOrder, bytes: Shared<dyn PageBytes>) -> Self {
        PageBuf { start, order, bytes }
    }

    /// Where the first byte of the block is.
    pub fn start(&self) -> FullAddr {
        self.start
    }

    /// The order of the bytes of numbers in the block.
    pub fn byte_order(&self) -> ByteOrder {
        self.order
    }

    /// The bytes of the block.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    /// The bytes from `addr` to the end of the block; none if `addr` is not in
    /// the block.
    pub fn tail(&self, addr: FullAddr) -> Option<&[u8]> {
        if addr.space != self.start.space {
            return None;
        }
        let offset = usize::try_from(addr.addr.wrapping_sub(self.start.addr)).ok()?;
        self.bytes().get(offset..).filter(|tail| !tail.is_empty())
    }
}

impl fmt::Debug for PageBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageBuf({} +{:#x} {:?})", self.start, self.bytes().len(), self.order)
    }
}

/// The seven questions that a translation may ask.
///
/// A question that a record does not answer itself goes to the next record.
/// [`Status::NoData`](super::Status::NoData) means "I do not know": the library
/// may then try another way. Any other failure ends the translation and comes
/// out unchanged, with what the library says about it in front.
pub trait Callbacks: MaybeSend + MaybeSync {
    /// The address spaces that [`page`](Self::page) can read directly.
    fn read_caps(&self, next: Next<'_>) -> Caps {
        next.read_caps()
    }

    /// The block that contains `addr`.
    ///
    /// `addr` is the exact address of the number of 4 or 8 bytes that is
    /// wanted, never rounded, and nothing is read ahead.
    ///
    /// # Errors
    ///
    /// `NoData` if the block is not known; [`Error::elsewhere`] if the address
    /// must be translated after all, although others of its space need not.
    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        next.page(addr)
    }

    /// The value of a register, for example `cr3`: that of the first CPU. That of
    /// another one is asked for as `cpu.1.reg.cr3`.
    ///
    /// # Errors
    ///
    /// `NoData` if it is not known.
    fn register(&self, next: Next<'_>, name: &str) -> Result<u64> {
        next.register(name)
    }

    /// The address of a symbol.
    ///
    /// # Errors
    ///
    /// `NoData` if it is not known.
    fn symbol_value(&self, next: Next<'_>, name: &str) -> Result<u64> {
        next.symbol_value(name)
    }

    /// The size of a symbol or type in bytes.
    ///
    /// # Errors
    ///
    /// `NoData` if it is not known.
    fn symbol_size(&self, next: Next<'_>, name: &str) -> Result<u64> {
        next.symbol_size(name)
    }

    /// How many bytes `member` is away from the start of `container`.
    ///
    /// # Errors
    ///
    /// `NoData` if it is not known.
    fn symbol_offset(&self, next: Next<'_>, container: &str, member: &str) -> Result<u64> {
        next.symbol_offset(container, member)
    }

    /// The value of a number that the kernel exports, for example
    /// `pgtable_l5_enabled`.
    ///
    /// # Errors
    ///
    /// `NoData` if it is not known.
    fn number(&self, next: Next<'_>, name: &str) -> Result<u64> {
        next.number(name)
    }
}

#[derive(Clone)]
struct Record {
    id: RecordId,
    callbacks: Shared<dyn Callbacks>,
}

/// Names a record of a [`Chain`], and of its clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId(u64);

/// The part of a chain below a record.
///
/// A question that comes to its end has no answer: `NoData`, `No ... callback`.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    /// The record to ask is the last one.
    records: &'a [Record],
}

impl<'a> Next<'a> {
    /// Asks the first record below, or `end` when there is none.
    fn ask<T>(self, end: impl FnOnce() -> T, question: impl FnOnce(&'a dyn Callbacks, Next<'a>) -> T) -> T {
        match self.records.split_last() {
            Some((record, records)) => question(&*record.callbacks, Next { records }),
            None => end(),
        }
    }

    /// The address spaces that the records below read directly; none at the end.
    pub fn read_caps(self) -> Caps {
        self.ask(|| Caps::NONE, |record, next| record.read_caps(next))
    }

    /// The block that contains `addr`.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No get_page callback`.
    pub fn page(self, addr: FullAddr) -> Result<PageBuf> {
        self.ask(|| Err(Error::no_data("No get_page callback")), |record, next| record.page(next, addr))
    }

    /// The value of a register.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No reg_value callback`.
    pub fn register(self, name: &str) -> Result<u64> {
        self.ask(|| Err(Error::no_data("No reg_value callback")), |record, next| record.register(next, name))
    }

    /// The address of a symbol.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No sym_value callback`.
    pub fn symbol_value(self, name: &str) -> Result<u64> {
        self.ask(
            || Err(Error::no_data("No sym_value callback")),
            |record, next| record.symbol_value(next, name),
        )
    }

    /// The size of a symbol or type in bytes.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No sym_sizeof callback`.
    pub fn symbol_size(self, name: &str) -> Result<u64> {
        self.ask(
            || Err(Error::no_data("No sym_sizeof callback")),
            |record, next| record.symbol_size(next, name),
        )
    }

    /// How many bytes `member` is away from the start of `container`.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No sym_offsetof callback`.
    pub fn symbol_offset(self, container: &str, member: &str) -> Result<u64> {
        self.ask(
            || Err(Error::no_data("No sym_offsetof callback")),
            |record, next| record.symbol_offset(next, container, member),
        )
    }

    /// The value of a number that the kernel exports.
    ///
    /// # Errors
    ///
    /// Those of the records below; at the end, `No num_value callback`.
    pub fn number(self, name: &str) -> Result<u64> {
        self.ask(|| Err(Error::no_data("No num_value callback")), |record, next| record.number(next, name))
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.records.iter().map(|record| record.id)).finish()
    }
}

/// The records as they are at one moment; they stay so whatever is added or
/// removed meanwhile.
#[derive(Clone)]
pub struct ChainSnapshot(Shared<Vec<Record>>);

impl ChainSnapshot {
    /// Where a question starts: at the record that was added last.
    pub fn head(&self) -> Next<'_> {
        Next { records: &self.0 }
    }

    /// Whether nothing was added or removed between `self` and `other`.
    pub fn same(&self, other: &ChainSnapshot) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone)]
struct State {
    /// The base record, if any, stands first. Replaced as a whole by each
    /// change, so that a snapshot costs one count.
    records: Shared<Vec<Record>>,
    next_id: u64,
}

/// The records that answer the questions of a translation.
///
/// A clone has the same records, and is changed on its own from then on.
pub struct Chain {
    state: Lock<State>,
    /// Counts the changes, so that who holds a snapshot sees cheaply that it
    /// is out of date.
    version: Counter,
}

impl Chain {
    /// The identity of the base record.
    const BASE: RecordId = RecordId(0);

    /// A chain without records: nothing is known.
    pub fn new() -> Self {
        Self::from_records(Vec::new())
    }

    /// A chain whose bottom is `base`, which cannot be removed.
    pub fn with_base(base: Shared<dyn Callbacks>) -> Self {
        Self::from_records(Vec::from([Record { id: Self::BASE, callbacks: base }]))
    }

    /// The same records on top of another base record.
    pub fn clone_onto(&self, base: Shared<dyn Callbacks>) -> Self {
        let state = self.state.lock().clone();
        let base = Record { id: Self::BASE, callbacks: base };
        let added = state.records.iter().filter(|record| record.id != Self::BASE).cloned();
        let records = core::iter::once(base).chain(added).collect();
        Chain {
            state: Lock::new(State { records: Shared::new(records), next_id: state.next_id }),
            version: Counter::new(0),
        }
    }

    fn from_records(records: Vec<Record>) -> Self {
        Chain {
            state: Lock::new(State { records: Shared::new(records), next_id: 1 }),
            version: Counter::new(0),
        }
    }

    /// Puts a record on top of the chain; it is asked first from now on.
    pub fn add(&self, callbacks: Shared<dyn Callbacks>) -> RecordId {
        let mut state = self.state.lock();
        let id = RecordId(state.next_id);
        state.next_id += 1;
        let mut records = Vec::clone(&state.records);
        records.push(Record { id, callbacks });
        let old = core::mem::replace(&mut state.records, Shared::new(records));
        // What this releases may be the user's, so not under the lock.
        drop(state);
        self.version.add(1);
        drop(old);
        id
    }

    /// Takes a record out of the chain, wherever it is. Returns whether it was
    /// there; the base record stays.
    pub fn remove(&self, id: RecordId) -> bool {
        if id == Self::BASE {
            return false;
        }
        let mut state = self.state.lock();
        if state.records.iter().all(|record| record.id != id) {
            return false;
        }
        let records = state.records.iter().filter(|record| record.id != id).cloned().collect();
        let old = core::mem::replace(&mut state.records, Shared::new(records));
        drop(state);
        self.version.add(1);
        drop(old);
        true
    }

    /// A number that changes with each change of the chain.
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// The records as they are now, for one or more questions.
    pub fn snapshot(&self) -> ChainSnapshot {
        ChainSnapshot(self.state.lock().records.clone())
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let state = self.state.lock().clone();
        Chain { state: Lock::new(state), version: Counter::new(0) }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_tuple("Chain").field(&snapshot.head()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xlat::Status;
    use alloc::string::ToString;

    /// Answers `number` with `own` plus what is below, and nothing else.
    struct Plus(u64);

    impl Callbacks for Plus {
        fn number(&self, next: Next<'_>, name: &str) -> Result<u64> {
            Ok(self.0 + next.number(name).unwrap_or(0))
        }
    }

    #[test]
    fn an_empty_chain_knows_nothing_and_says_what_is_missing() {
        let snapshot = Chain::new().snapshot();
        let head = snapshot.head();
        assert_eq!(head.read_caps(), Caps::NONE);
        let texts = [
            head.page(FullAddr::kphys(0)).map(drop),
            head.register("cr3").map(drop),
            head.symbol_value("x").map(drop),
            head.symbol_size("x").map(drop),
            head.symbol_offset("x", "y").map(drop),
            head.number("x").map(drop),
        ]
        .map(|result| result.map_err(|error| (error.status(), error.to_string())));
        let expected = ["get_page", "reg_value", "sym_value", "sym_sizeof", "sym_offsetof", "num_value"]
            .map(|name| Err((Status::NoData, alloc::format!("No {name} callback"))));
        assert_eq!(texts, expected);
    }

    #[test]
    fn each_record_sees_the_chain_below_itself() {
        let chain = Chain::with_base(Shared::new(Plus(1)));
        let ten = chain.add(Shared::new(Plus(10)));
        chain.add(Shared::new(Plus(100)));
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(111));
        assert!(chain.remove(ten) && !chain.remove(ten));
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(101));
        assert!(chain.snapshot().head().register("r").is_err(), "passed through both to the end");
    }

    #[test]
    fn base_record_cannot_be_removed() {
        let chain = Chain::with_base(Shared::new(Plus(1)));
        assert!(!chain.remove(Chain::BASE));
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(1));
    }

    #[test]
    fn clone_has_the_same_records_and_changes_alone() {
        let chain = Chain::with_base(Shared::new(Plus(1)));
        let ten = chain.add(Shared::new(Plus(10)));
        let clone = chain.clone();
        assert!(clone.remove(ten), "identities are those of the original");
        clone.add(Shared::new(Plus(1000)));
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(11));
        assert_eq!(clone.snapshot().head().number("n").ok(), Some(1001));
    }

    #[test]
    fn records_can_be_put_onto_another_base() {
        let chain = Chain::with_base(Shared::new(Plus(1)));
        let ten = chain.add(Shared::new(Plus(10)));
        let other = chain.clone_onto(Shared::new(Plus(2)));
        assert_eq!(other.snapshot().head().number("n").ok(), Some(12));
        assert!(other.remove(ten));
        assert_eq!(other.snapshot().head().number("n").ok(), Some(2));
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(11));
    }

    #[test]
    fn snapshot_stays_as_it_was_and_knows_of_changes() {
        let chain = Chain::new();
        let before = chain.snapshot();
        assert!(before.same(&chain.snapshot()));
        let id = chain.add(Shared::new(Plus(5)));
        assert!(before.head().number("n").is_err());
        assert!(!before.same(&chain.snapshot()));
        let with = chain.snapshot();
        assert!(chain.remove(id) && !with.same(&chain.snapshot()));
        assert_eq!(with.head().number("n").ok(), Some(5), "the removed record still lives here");
    }

    /// Takes itself out of the chain while it is asked.
    struct Once(Shared<Chain>, Lock<Option<RecordId>>);

    impl Callbacks for Once {
        fn register(&self, next: Next<'_>, name: &str) -> Result<u64> {
            let id = self.1.lock().take();
            let removed = id.is_some_and(|id| self.0.remove(id));
            self.0.add(Shared::new(Plus(7)));
            assert!(removed);
            next.register(name)
        }
    }

    #[test]
    fn record_may_change_the_chain_while_it_is_asked() {
        let chain = Shared::new(Chain::new());
        let once = Shared::new(Once(chain.clone(), Lock::new(None)));
        *once.1.lock() = Some(chain.add(once.clone()));
        drop(once);
        let error = chain.snapshot().head().register("pc").unwrap_err();
        assert_eq!(error.to_string(), "No reg_value callback");
        assert_eq!(chain.snapshot().head().number("n").ok(), Some(7));
    }

    #[test]
    fn block_ends_where_its_bytes_end() {
        let block = PageBuf::new(FullAddr::kphys(0xffff_ffff_ffff_fffe), ByteOrder::Big, [1_u8, 2, 3, 4]);
        assert_eq!(block.tail(FullAddr::kphys(u64::MAX)), Some(&[2, 3, 4][..]));
        assert_eq!(block.tail(FullAddr::kphys(1)), Some(&[4][..]), "across the end of the space");
        assert_eq!(block.tail(FullAddr::kphys(2)), None);
        assert_eq!(block.tail(FullAddr::machphys(u64::MAX)), None);
    }
}
