//! The same walks by Debian's libaddrxlat, step by step.
//!
//! Every address of memory has an entry, made of a hash of the address and a
//! few bits that are fixed, so both sides see the same tables without a file.

mod xlat_support;

use std::fmt::Write;
use std::path::Path;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, Method, Next, PageBuf, PageTable,
    PagingForm, PteFormat, Result, Step, Walker,
};
use kdumpfile_testkit::peer;
use xlat_support::{Rng, systems};

/// Memory full of pseudo-random entries.
#[derive(Clone, Copy)]
struct Noise {
    size: usize,
    seed: u64,
    and: u64,
    or: u64,
    order: ByteOrder,
}

impl Callbacks for Noise {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::MACHPHYS | Caps::KVIRT
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let value = Rng(self.seed ^ addr.addr).next() & self.and | self.or;
        let mut bytes = value.to_le_bytes()[..self.size].to_vec();
        if self.order == ByteOrder::Big {
            bytes.reverse();
        }
        Ok(PageBuf::new(addr, self.order, bytes))
    }
}

fn state(step: &Step) -> String {
    let idx: Vec<_> = step.idx[..usize::from(step.remain)].iter().map(|idx| format!("{idx:x}")).collect();
    let base = step.base;
    format!("{} {} {}:{:x} {}", step.remain, step.elemsz, base.space.0, base.addr, idx.join(","))
}

fn ours(noise: Noise, method: &Method, addr: u64) -> String {
    let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(noise))));
    let walker = Walker::new(&ctx, None, method);
    let text = |error: kdumpfile::xlat::Error| format!("{} {error}", error.status().code());
    let mut out = Vec::new();
    let mut step = Step::default();
    let mut result = walker.launch(&mut step, addr);
    while result.is_ok() {
        out.push(state(&step));
        if step.remain == 0 {
            break;
        }
        result = walker.step(&mut step);
    }
    out.extend(result.err().map(text));
    let mut step = Step::new(FullAddr::kvirt(addr));
    out.push(walker.walk(&mut step).map_or_else(text, |()| state(&step)));
    out.join("; ")
}

/// Format, fields, and sets of bits that entries have never and always.
type Shape = (PteFormat, &'static [u16], &'static [(u64, u64)]);

const ALL: u64 = u64::MAX;

const SHAPES: &[Shape] = &[
    (PteFormat::Pfn32, &[10, 6, 6], &[(ALL, 0)]),
    (PteFormat::Pfn64, &[12, 9, 9, 9], &[(ALL, 0), (0xf, 0)]),
    (PteFormat::Ia32, &[12, 10, 10], &[(ALL, 1), (ALL, 0x81), (!0x80, 1)]),
    (PteFormat::Ia32Pae, &[12, 9, 9, 2], &[(ALL, 1), (!0x80, 1), (ALL, 0)]),
    (PteFormat::X86_64, &[12, 9, 9, 9, 9], &[(ALL, 1), (!0x80, 1), (ALL, 0x81)]),
    (PteFormat::X86_64, &[12, 9, 9, 9, 9, 9], &[(ALL, 1), (!0x80, 1)]),
    (PteFormat::Aarch64, &[12, 9, 9, 9, 9], &[(ALL, 3), (ALL, 1), (!2, 1)]),
    (PteFormat::Aarch64, &[14, 11, 11, 11, 1], &[(ALL, 3), (ALL, 1)]),
    (PteFormat::Aarch64, &[16, 13, 13, 6], &[(ALL, 3), (ALL, 1)]),
    // Without the address bits that this version of the peer loses.
    (PteFormat::Aarch64Lpa, &[16, 13, 13, 10], &[(!(1 << 47), 3), (!(1 << 47), 1)]),
    (PteFormat::Aarch64Lpa2, &[12, 9, 9, 9, 9, 4], &[(!(1 << 49), 3), (!(1 << 49), 1)]),
    // Tables that are there from the first to the last index.
    (PteFormat::S390x, &[12, 8, 11, 11, 11, 11], &[(!0xfff, 0x00f), (!0xbff, 0xf)]),
    (PteFormat::S390x, &[12, 8, 11, 11], &[(!0x4ff, 7), (!0x4ff, 3)]),
    (PteFormat::S390x, &[12, 8, 11], &[(!0x4ff, 3), (!0xff, 0)]),
    (PteFormat::S390x, &[12, 8], &[(ALL, 0)]),
    (PteFormat::Ppc64LinuxRpn30, &[16, 12, 12, 4], &[(ALL, 0), (!3, 1 << 63), (!(1 << 63 | 3), 0)]),
];

/// Whether Debian's library is there.
fn peer_is_there() -> bool {
    if !peer::python_kdumpfile() {
        assert!(!peer::in_ci(), "python3-libkdumpfile is missing");
        eprintln!("skipped: no python3-libkdumpfile");
        return false;
    }
    true
}

/// The answers of Debian's library, a line each.
fn theirs(input: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xlat_support/peer.py");
    let output = peer::pipe(Path::new(peer::PYTHON), &[script], input.as_bytes()).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn steps_are_those_of_the_c_library() {
    if !peer_is_there() {
        return;
    }
    let mut rng = Rng(42);
    let mut cases = Vec::new();
    let mut input = String::new();
    for _ in 0..60 {
        for &(format, fields, shapes) in SHAPES {
            for &(and, or) in shapes {
                let bits: u32 = fields.iter().map(|&bits| u32::from(bits)).sum();
                let mut addr = rng.next();
                // Most addresses are good ones.
                if rng.below(8) != 0 && bits < 64 {
                    addr &= (1 << bits) - 1;
                    if format == PteFormat::X86_64 && addr >> (bits - 1) != 0 {
                        addr |= ALL << bits;
                    }
                }
                let big = rng.below(2) == 1;
                let order = if big { ByteOrder::Big } else { ByteOrder::Little };
                let size = 1 << format.pteval_shift().unwrap();
                let noise = Noise { size, seed: rng.next(), and, or, order };
                let mask = if rng.below(4) == 0 { 1 << 51 } else { 0 };
                let list: Vec<_> = fields.iter().map(u16::to_string).collect();
                let name = format.name().unwrap();
                writeln!(
                    input,
                    "walk {name} {} {mask:x} {:x} {and:x} {or:x} {} {addr:x}",
                    list.join(","),
                    noise.seed,
                    u8::from(big)
                )
                .unwrap();
                let form = PagingForm::new(format, fields).unwrap();
                let table = PageTable { pte_mask: mask, ..PageTable::new(FullAddr::machphys(0x1000), form) };
                cases.push((noise, Method::page_table(AddrSpace::MACHPHYS, table), addr));
            }
        }
    }
    let output = theirs(&input);
    let mut good = 0;
    let mut lines = output.lines();
    for ((noise, method, addr), line) in cases.iter().zip(input.lines()) {
        let ours = ours(*noise, method, *addr);
        let theirs = lines.next().unwrap();
        assert_eq!(ours, theirs, "ours left, theirs right: {line}");
        good += usize::from(ours.contains("; 0 0 "));
    }
    assert_eq!(lines.next(), None);
    assert!(good * 4 > cases.len(), "only {good} of {} walks lead anywhere", cases.len());
    eprintln!("{} walks, {good} of them to the end", cases.len());
}

#[test]
fn ways_through_random_systems_are_those_of_the_c_library() {
    if !peer_is_there() {
        return;
    }
    let mut rng = Rng(2026);
    let mut input = String::new();
    let mut ours = Vec::new();
    for _ in 0..300 {
        let noise = systems::Noise { caps: systems::caps(&mut rng), seed: rng.next() };
        let (sys, script) = systems::system(&mut rng);
        writeln!(input, "memory {} {:x} {:x}", noise.caps.0, noise.seed, systems::AND).unwrap();
        input.push_str(&script);
        let ctx = noise.ctx();
        for _ in 0..30 {
            let caps = systems::caps(&mut rng);
            let addr = systems::address(&mut rng);
            writeln!(input, "op {} {} {:x}", caps.0, addr.space.0, addr.addr).unwrap();
            ours.push(match ctx.op(Some(&sys), caps, addr, Ok) {
                Ok(found) => format!("{}:{:x}", found.space.0, found.addr),
                Err(error) => format!("{} {error}", error.status().code()),
            });
        }
    }
    let output = theirs(&input);
    let mut lines = output.lines();
    let (mut good, mut deep) = (0, 0);
    for ours in &ours {
        let theirs = lines.next().unwrap();
        assert_eq!(ours, theirs, "ours left, theirs right");
        good += usize::from(!ours.contains(' '));
        deep += usize::from(ours.contains("Infinite recursion loop"));
    }
    assert_eq!(lines.next(), None);
    eprintln!("{} translations, {good} of them succeed, {deep} end in a loop", ours.len());
    assert!(good * 4 > ours.len() && deep > 50);
}
