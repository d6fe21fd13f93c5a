//! How much work searches and translations do at most, and that real kernels
//! need less.

mod xlat_support;

use kdumpfile::sync::{Counter, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Lookup, LookupElem, MapIndex,
    MemArray, Method, MethodIndex, Next, PageBuf, PageTable, PagingForm, PteFormat, Result, Status, Step,
    System, Walker,
};
use xlat_support::Rng;
use xlat_support::systems::{self, Noise};

/// Memory in which each word follows from its address.
struct Words {
    caps: Caps,
    order: ByteOrder,
    word: fn(u64) -> u64,
    /// log2 of the bytes that are read at once.
    block: u32,
    reads: Counter,
    reads_max: u64,
}

impl Words {
    fn new(caps: Caps, order: ByteOrder, word: fn(u64) -> u64) -> Self {
        Words { caps, order, word, block: 3, reads: Counter::new(0), reads_max: u64::MAX }
    }

    fn ctx(self) -> (Shared<Words>, Ctx) {
        let words = Shared::new(self);
        (words.clone(), Ctx::new(Shared::new(Chain::with_base(words))))
    }
}

impl Callbacks for Words {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        assert!(self.reads.add(1) < self.reads_max, "no end after {} reads", self.reads_max);
        if addr.addr & 4 != 0 {
            return Err(Error::no_data("No such word"));
        }
        let size = 1_u64 << self.block;
        let start = addr.addr & !(size - 1);
        let words = (start..=start + (size - 1)).step_by(8).map(self.word);
        let bytes: Vec<u8> = match self.order {
            ByteOrder::Big => words.flat_map(u64::to_be_bytes).collect(),
            _ => words.flat_map(u64::to_le_bytes).collect(),
        };
        Ok(PageBuf::new(FullAddr { addr: start, ..addr }, self.order, bytes))
    }
}

const TOO_LONG: &str = "Search of page tables takes too many steps";

/// The search comes to an end that says why.
fn assert_limited(words: &Words, result: Result<()>) {
    let error = result.expect_err("there is nothing to be found");
    assert_eq!((error.status(), error.message().as_str()), (Status::NoData, TOO_LONG));
    assert!(words.reads.get() > 1 << 12, "only {} reads", words.reads.get());
}

#[test]
fn search_of_a_table_without_end_has_one() {
    // 2^40 absent entries.
    let words = Words::new(Caps::MACHPHYS, ByteOrder::Little, |_| 0);
    let (words, ctx) = Words { block: 16, reads_max: 1 << 14, ..words }.ctx();
    let method = xlat_support::method(PteFormat::X86_64, &[12, 40]);
    let walker = Walker::new(&ctx, None, &method);
    assert_limited(&words, walker.lowest_mapped(&mut 0, u64::MAX >> 13).map(|_| ()));
}

#[test]
fn search_of_ever_new_tables_has_an_end() {
    // Every page is mapped, and no table is met again.
    let words = Words::new(Caps::MACHPHYS, ByteOrder::Little, |addr| Rng(addr).next() & 0x7fff_ffff_f000 | 3);
    let (words, ctx) = Words { block: 12, reads_max: 1 << 15, ..words }.ctx();
    ctx.set_steps_max(1 << 22);
    let method = xlat_support::method(PteFormat::X86_64, &[12, 9, 9, 9, 9]);
    let walker = Walker::new(&ctx, None, &method);
    assert_limited(&words, walker.lowest_unmapped(&mut 0, u64::MAX >> 17));
}

#[test]
fn search_of_tables_that_need_ever_more_translations_has_an_end() {
    // A virtual address is translated by an array that has its element at about
    // twice the address. There are two such arrays; elements of the first one are
    // never stored where they should be, which shows at the end only.
    let words = Words::new(Caps::KPHYS, ByteOrder::Little, |addr| Rng(addr).next() & !1);
    let (words, ctx) = Words { reads_max: 1 << 21, ..words }.ctx();
    ctx.set_steps_max(1 << 22);
    let mut sys = System::new();
    for (map, index, first) in [(MapIndex::KvPhys, 8, 0x7_0004), (MapIndex::Hw, 9, 0x1000)] {
        let array = MemArray { base: FullAddr::kvirt(first), shift: 3, elemsz: 16, valsz: 8 };
        sys.set_method(MethodIndex(index), Method::memory_array(AddrSpace::KPHYS, array));
        sys.map_mut(map).set(0, u64::MAX, MethodIndex(index)).unwrap();
        sys.map_mut(map).set(1 << 62, u64::MAX >> 1, MethodIndex::DIRECT).unwrap();
    }
    sys.set_method(MethodIndex::DIRECT, Method::linear(AddrSpace::KPHYS, 0));
    let table =
        PageTable::new(FullAddr::kvirt(1 << 51), PagingForm::new(PteFormat::X86_64, &[12, 20]).unwrap());
    let method = Method::page_table(AddrSpace::KPHYS, table);
    let walker = Walker::new(&ctx, Some(&sys), &method);
    // One entry of it can be looked at.
    let mut step = Step::new(FullAddr::kvirt(0x5000));
    assert_eq!(walker.walk(&mut step).unwrap_err().status(), Status::NotPresent);
    let first = words.reads.get();
    assert!(first > 1 << 10, "{first}");
    assert_limited(&words, walker.lowest_mapped(&mut 0, u64::MAX >> 33).map(|_| ()));
}

#[test]
fn translation_by_objects_that_overlap_has_an_end() {
    // Each lookup has to compare all objects, and each step is a lookup.
    let words = Words::new(Caps::KPHYS, ByteOrder::Little, |addr| Rng(addr).next());
    let (_, ctx) = words.ctx();
    ctx.set_steps_max(1 << 22);
    let elems: Vec<_> = (0..1 << 20).map(|dest| LookupElem { orig: 1 << 63, dest }).collect();
    let mut sys = System::new();
    sys.set_method(MethodIndex::VMEMMAP, Method::lookup(AddrSpace::KPHYS, Lookup::new(1, elems)));
    sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::VMEMMAP).unwrap();
    let table = PageTable::new(FullAddr::kvirt(0), PagingForm::new(PteFormat::X86_64, &[12, 30]).unwrap());
    let method = Method::page_table(AddrSpace::KPHYS, table);
    let walker = Walker::new(&ctx, Some(&sys), &method);
    let error = walker.lowest_mapped(&mut 0, u64::MAX >> 33).map(|_| ()).unwrap_err();
    assert_eq!((error.status(), error.message().as_str()), (Status::NoData, TOO_LONG));
}

/// Memory that counts how often it is asked.
struct Counted {
    noise: Noise,
    reads: Counter,
}

impl Callbacks for Counted {
    fn read_caps(&self, next: Next<'_>) -> Caps {
        self.noise.read_caps(next)
    }

    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.reads.add(1);
        self.noise.page(next, addr)
    }
}

#[test]
fn conversions_by_random_systems_end_within_their_steps() {
    let mut rng = Rng(23);
    let (mut most, mut given_up) = (0, 0);
    for _ in 0..1_500 {
        let steps = 1 << (2 + rng.below(8));
        let noise = Noise { caps: systems::caps(&mut rng), seed: rng.next() };
        let memory = Shared::new(Counted { noise, reads: Counter::new(0) });
        let ctx = Ctx::new(Shared::new(Chain::with_base(memory.clone())));
        ctx.set_steps_max(steps);
        ctx.set_caching(rng.below(2) == 0);
        let (sys, script) = systems::system(&mut rng);
        for _ in 0..30 {
            let (addr, caps) = (systems::address(&mut rng), systems::caps(&mut rng));
            memory.reads.set(0);
            let result = ctx.op(Some(&sys), caps, addr, Ok);
            let reads = memory.reads.get();
            assert!(reads <= steps, "{addr} to {caps:?}: {reads} reads for {steps} steps in\n{script}");
            most = most.max(reads);
            given_up += u32::from(result.is_err_and(|error| error.message().contains("too many steps")));
        }
    }
    assert!(most > 6 && given_up > 1_000, "{most} {given_up}");
}

#[test]
fn all_searches_of_a_set_up_together_have_an_end() {
    const STEPS: u64 = 1 << 16;
    // Each entry is a table or a page, by the address; physical address 0 is
    // mapped where direct mappings begin.
    let words = Words::new(Caps::MACHPHYS | Caps::KPHYS, ByteOrder::Little, |addr| {
        let random = Rng(addr).next() & 0x7fff_ffff_f000 | 3;
        if addr & 0xff8 == 0 { 3 } else { random }
    });
    let (words, ctx) = Words { reads_max: 2 * STEPS + 1000, ..words }.ctx();
    ctx.set_steps_max(STEPS);
    for levels in [48, 57] {
        words.reads.set(0);
        let options = Options {
            arch: Some("x86_64".into()),
            os: Some(OsType::Linux),
            root: Some(FullAddr::machphys(0x1000)),
            virt_bits: Some(levels),
            ..Options::default()
        };
        let _ = os::init(&mut System::new(), &ctx, &options);
        assert!(words.reads.get() > STEPS / 2, "{levels}: {} reads", words.reads.get());
    }
}

/// The tables of a direct mapping, as far as they are asked for.
struct DirectMapping {
    format: PteFormat,
    fields: &'static [u16],
    /// Steps to go at an entry for a page.
    leaf: usize,
    /// A page at this address.
    page: fn(u64) -> u64,
    /// A table at this address, whose entries have so many steps to go.
    table: fn(u64, usize) -> u64,
    /// A table's place has its level from this bit on, and below its number among
    /// those of the level.
    level_shift: u32,
    base: u64,
    size: u64,
    reads: Counter,
}

impl DirectMapping {
    fn form(&self) -> PagingForm {
        PagingForm::new(self.format, self.fields).unwrap()
    }

    fn place(&self, level: usize, number: u64) -> u64 {
        (level as u64) << self.level_shift | number << (self.fields[level] + 3)
    }

    fn word(&self, addr: u64) -> u64 {
        let level = (addr >> self.level_shift) as usize;
        let number = (addr & ((1 << self.level_shift) - 1)) >> 3;
        let form = self.form();
        let first = self.base & ((1 << form.virt_bits()) - 1);
        let virt = number << form.span(level);
        if virt.wrapping_sub(first >> form.span(level) << form.span(level)) >= self.size {
            0
        } else if level == self.leaf {
            (self.page)(virt - first)
        } else {
            (self.table)(self.place(level - 1, number), level - 1)
        }
    }
}

impl Callbacks for DirectMapping {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::KPHYS
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.reads.add(1);
        let start = addr.addr & !0xfff;
        let words = (start..start + 0x1000).step_by(8).map(|addr| self.word(addr));
        let order = if self.format == PteFormat::Ppc64Radix { ByteOrder::Big } else { ByteOrder::Little };
        let bytes: Vec<u8> = match order {
            ByteOrder::Big => words.flat_map(u64::to_be_bytes).collect(),
            _ => words.flat_map(u64::to_le_bytes).collect(),
        };
        Ok(PageBuf::new(FullAddr { addr: start, ..addr }, order, bytes))
    }
}

/// A direct mapping of x86_64 with five levels.
fn x86_64(leaf: usize, size: u64) -> DirectMapping {
    DirectMapping {
        format: PteFormat::X86_64,
        fields: &[12, 9, 9, 9, 9, 9],
        leaf,
        page: |phys| phys | 0x83,
        table: |place, _| place | 3,
        level_shift: 49,
        base: 0xff11_0000_0000_0000,
        size,
        reads: Counter::new(0),
    }
}

/// One of aarch64 with pages of 64 KiB and addresses of 52 bits.
fn aarch64(leaf: usize, size: u64) -> DirectMapping {
    DirectMapping {
        format: PteFormat::Aarch64Lpa,
        fields: &[16, 13, 13, 10],
        leaf,
        page: if leaf == 1 { |phys| phys | 3 } else { |phys| phys | 1 },
        table: |place, _| place | 3,
        level_shift: 44,
        base: 0xfff0_0000_0000_0000,
        size,
        reads: Counter::new(0),
    }
}

/// A radix tree of ppc64 with pages of 64 KiB.
fn radix(leaf: usize, size: u64) -> DirectMapping {
    DirectMapping {
        format: PteFormat::Ppc64Radix,
        fields: &[16, 5, 9, 9, 13],
        leaf,
        page: |phys| phys | 3 << 62,
        table: |place, level| place | 1 << 63 | [0, 5, 9, 9, 13][level],
        level_shift: 44,
        base: 0xc000_0000_0000_0000,
        size,
        reads: Counter::new(0),
    }
}

#[test]
fn searches_of_the_largest_kernels_are_not_too_long() {
    const TIB: u64 = 1 << 40;
    for mapping in [
        x86_64(2, 16 * TIB),
        x86_64(3, 1024 * TIB),
        x86_64(1, TIB / 64),
        aarch64(1, TIB / 4),
        aarch64(2, 256 * TIB),
        radix(1, TIB / 8),
        radix(2, 16 * TIB),
        radix(3, 1024 * TIB),
    ] {
        let (base, last) = (mapping.base, mapping.base + (mapping.size - 1));
        let what = format!("{:?} {} {:#x}", mapping.form(), mapping.leaf, mapping.size);
        let root = FullAddr::kphys(mapping.place(mapping.fields.len() - 1, 0));
        let table = PageTable::new(root, mapping.form());
        let mut sys = System::new();
        sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::KPHYS, table));
        sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(mapping))));
        let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
        let mut addr = base;
        walker.highest_linear(&mut addr, u64::MAX, base.wrapping_neg()).expect(&what);
        assert_eq!(addr, last, "{what}");
        assert_eq!(walker.highest_mapped(&mut { u64::MAX }, base).expect(&what).base.addr, last - base);
        assert_eq!(walker.lowest_mapped(&mut { base }, last).expect(&what).base.addr, 0, "{what}");
    }
}
