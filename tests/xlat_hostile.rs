//! Nonsense of every kind: nothing panics, everything ends.

mod xlat_support;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, Kind, Lookup, LookupElem, MapIndex,
    MemArray, Method, MethodIndex, Next, PageBuf, PageTable, PagingForm, PteFormat, Result, Status, Step,
    System, Walker,
};
use xlat_support::Rng;

/// Blocks of any size at any place, filled with noise or with one entry.
struct Chaos {
    seed: u64,
    caps: Caps,
    entry: Option<u64>,
}

impl Callbacks for Chaos {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let mut rng = Rng(self.seed ^ addr.addr);
        let value = self.entry.unwrap_or_else(|| rng.next());
        if self.entry.is_some() {
            return Ok(PageBuf::new(addr, ByteOrder::Little, value.to_le_bytes()));
        }
        let before = rng.below(3) * rng.below(20);
        let len = rng.below(40) as usize;
        let bytes: Vec<u8> = value.to_ne_bytes().into_iter().cycle().take(len).collect();
        let order = [ByteOrder::Big, ByteOrder::Little, ByteOrder::Host][rng.below(3) as usize];
        Ok(PageBuf::new(addr.offset(before.wrapping_neg()), order, bytes))
    }
}

/// A number that is likely to be on some edge.
fn edge(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => rng.below(8),
        1 => u64::MAX - rng.below(8),
        2 => 1 << rng.below(64),
        3 => (1 << rng.below(64)) - 1,
        _ => rng.next(),
    }
}

fn full_addr(rng: &mut Rng) -> FullAddr {
    FullAddr::new(AddrSpace(rng.below(5) as i32 - 1), edge(rng))
}

fn format(rng: &mut Rng) -> PteFormat {
    let all = PteFormat::ALL;
    all.get(rng.below(all.len() as u64 + 1) as usize).copied().unwrap_or(PteFormat::Unknown(-1))
}

fn form(rng: &mut Rng) -> PagingForm {
    let wild = rng.below(4) == 0;
    let fields = core::array::from_fn(|_| if wild { rng.next() as u16 } else { 1 + rng.below(20) as u16 });
    let nfields = if wild { rng.below(12) } else { rng.below(7) };
    PagingForm::unchecked(format(rng), nfields as u16, fields)
}

fn method(rng: &mut Rng) -> Method {
    let target = AddrSpace(rng.below(5) as i32 - 1);
    let kind = match rng.below(8) {
        0 => Kind::Linear(edge(rng)),
        1 => Kind::MemArr(MemArray {
            base: full_addr(rng),
            shift: rng.below(80) as u32,
            elemsz: edge(rng) as u32,
            valsz: 4 * rng.below(4) as u32,
        }),
        2 => {
            let elems: Vec<_> =
                (0..rng.below(5)).map(|_| LookupElem { orig: edge(rng), dest: edge(rng) }).collect();
            Kind::Lookup(Lookup::new(edge(rng), elems))
        }
        3 => Kind::Unknown(rng.next() as i32),
        _ => Kind::Pgt(PageTable {
            root: full_addr(rng),
            pte_mask: edge(rng) & edge(rng),
            form: form(rng),
            strict: rng.below(2) == 0,
        }),
    };
    Method { target, kind }
}

#[test]
fn random_nonsense_neither_panics_nor_runs_for_ever() {
    let mut rng = Rng(0xdead);
    let mut statuses = std::collections::HashSet::new();
    for _ in 0..4_000 {
        let entry = if rng.below(2) == 0 { Some(edge(&mut rng) | rng.below(4)) } else { None };
        let chaos = Chaos { seed: rng.next(), caps: Caps(rng.below(16)), entry };
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(chaos))));
        let mut sys = System::new();
        for index in 0..6 {
            sys.set_method(MethodIndex(index), method(&mut rng));
        }
        for index in MapIndex::ALL {
            for _ in 0..rng.below(4) {
                let _ = sys.map_mut(index).set(
                    edge(&mut rng),
                    edge(&mut rng),
                    MethodIndex(rng.below(7) as i32 - 1),
                );
            }
        }
        for _ in 0..10 {
            let caps = Caps(rng.below(16));
            let addr = full_addr(&mut rng);
            match ctx.run(Some(&sys), caps, addr) {
                Ok(run) => assert!(caps.contains(run.target.space)),
                Err(error) => {
                    statuses.insert(error.status());
                    assert!(!error.message().is_empty());
                }
            }
            let method = method(&mut rng);
            let walker = Walker::new(&ctx, Some(&sys), &method);
            let mut step = Step::new(addr);
            let _ = walker.walk(&mut step);
            // Also from states that no launch has set.
            let mut step = Step {
                remain: rng.below(12) as u16,
                elemsz: edge(&mut rng) as u32,
                idx: core::array::from_fn(|_| edge(&mut rng)),
                ..Step::new(addr)
            };
            let _ = walker.step(&mut step);
        }
    }
    for status in [Status::NotImplemented, Status::NotPresent, Status::Invalid, Status::NoMethod] {
        assert!(statuses.contains(&status), "{status:?} was never met: {statuses:?}");
    }
}

#[test]
fn searches_of_nonsense_end_at_their_limit() {
    let mut rng = Rng(0xbeef);
    for _ in 0..1_500 {
        let entry = if rng.below(3) == 0 { Some(edge(&mut rng)) } else { None };
        let chaos = Chaos { seed: rng.next(), caps: Caps(6), entry };
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(chaos))));
        let table =
            PageTable { root: FullAddr::machphys(0), ..PageTable::new(FullAddr::NONE, form(&mut rng)) };
        let method = Method::page_table(AddrSpace::MACHPHYS, table);
        let walker = Walker::new(&ctx, None, &method);
        let first = edge(&mut rng);
        // Not many pages, wherever they are.
        let last = first.saturating_add(rng.below(1 << 18));
        let _ = walker.lowest_mapped(&mut { first }, last);
        let _ = walker.highest_mapped(&mut { last }, first);
        let _ = walker.lowest_unmapped(&mut { first }, last);
        let _ = walker.highest_linear(&mut { first }, last, edge(&mut rng));
    }
}

#[test]
fn ways_that_need_ever_more_ways_come_to_an_end() {
    // Each element lies at twice the address of what it is for, and there are
    // two ways to everything: 2^64 of them, were they all tried.
    let ctx = Ctx::new(Shared::new(Chain::new()));
    let mut sys = System::new();
    for (map, index) in [(MapIndex::KvPhys, 0), (MapIndex::Hw, 1)] {
        let base = FullAddr::kvirt(0x1000 + index);
        let array = MemArray { base, shift: 3, elemsz: 16, valsz: 8 };
        sys.set_method(MethodIndex(index as i32), Method::memory_array(AddrSpace::KPHYS, array));
        sys.map_mut(map).set(0, u64::MAX, MethodIndex(index as i32)).unwrap();
    }
    struct Kphys;
    impl Callbacks for Kphys {
        fn read_caps(&self, _: Next<'_>) -> Caps {
            Caps::KPHYS
        }
    }
    ctx.chain().add(Shared::new(Kphys));
    let error = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(8)).unwrap_err();
    assert_eq!(error.status(), Status::NoMethod);
    assert!(error.message().ends_with(": Infinite recursion loop"));
}

#[test]
fn table_that_contains_itself_is_walked_by_its_levels_only() {
    // Each entry points to the table that it is in.
    let chaos = Chaos { seed: 0, caps: Caps::MACHPHYS, entry: Some(0x3) };
    let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(chaos))));
    for (format, fields) in
        [(PteFormat::X86_64, [12, 9, 9, 9, 9].as_slice()), (PteFormat::Aarch64, &[12, 9, 9, 9, 9])]
    {
        let method = xlat_support::method(format, fields);
        let walker = Walker::new(&ctx, None, &method);
        let mut step = Step::new(FullAddr::kvirt(0x1234_5678_9abc));
        walker.walk(&mut step).unwrap();
        assert_eq!(step.base, FullAddr::machphys(0xabc));
        // Every page is mapped, so a search for a hole must give up some time.
        let mut addr = 0;
        let error = walker.lowest_unmapped(&mut addr, 0x3fff_ffff).unwrap_err();
        assert_eq!((error.status(), addr), (Status::NotPresent, 0x4000_0000));
    }
}
