//! Kernels that lie: every way of setting a system up ends, whatever memory,
//! symbols and numbers say.

mod xlat_support;

use kdumpfile::sync::{Counter, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, MapIndex, MethodIndex, Next, PageBuf,
    Result, System,
};
use xlat_support::Rng;

const ARCHES: [&str; 4] = ["aarch64", "arm", "loongarch64", "riscv64"];

/// Memory, symbols and numbers out of a hat, the same ones each time.
struct Liar {
    seed: u64,
    caps: Caps,
    /// Bits that words have in common.
    and: u64,
    or: u64,
    reads: Counter,
}

impl Liar {
    /// Something that depends on `what` only.
    fn say(&self, what: u64) -> u64 {
        Rng(self.seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next()
    }

    fn name(&self, name: &str, plausible: &[u64]) -> Result<u64> {
        let mut rng =
            Rng(self.say(name.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte))));
        match rng.below(4) {
            0 => Err(Error::no_data("unknown")),
            1 => Ok(rng.next()),
            _ => Ok(plausible[rng.below(plausible.len() as u64) as usize]),
        }
    }
}

impl Callbacks for Liar {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.reads.add(1);
        let value = self.say(addr.addr) & self.and | self.or;
        if value.is_multiple_of(61) {
            return Err(Error::no_data("unreadable"));
        }
        Ok(PageBuf::new(addr, ByteOrder::Little, value.to_le_bytes()))
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        let plausible = [
            0xffff_8000_0801_0000,
            0xffff_ffff_8000_0000,
            0xc010_0000,
            0xc000_4000,
            0x9000_0000_0020_0000,
            0,
        ];
        self.name(name, &plausible)
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.name(name, &[16, 12, 25, 39, 48, 52, 57, 0xffff_8000_0000_0000, 0, 1])
    }
}

fn option(rng: &mut Rng, plausible: &[u64]) -> Option<u64> {
    match rng.below(4) {
        0 | 1 => None,
        2 => Some(rng.next()),
        _ => Some(plausible[rng.below(plausible.len() as u64) as usize]),
    }
}

#[test]
fn lies_end_in_a_system_or_an_error() {
    let mut rng = Rng(21);
    let mut outcomes = [[0_u32; 2]; ARCHES.len()];
    for round in 0..8000 {
        let arch = round % ARCHES.len();
        let liar = Shared::new(Liar {
            seed: rng.next(),
            caps: Caps(rng.below(8)),
            // Few bits of an address make tables that meet again and again.
            and: [u64::MAX, 0xffff_ffff_ffff, 0xffff, 0x3fff_ffff][rng.below(4) as usize],
            or: [0, 1, 3, 7, 0xcf, 0x9000_0000_0000_0000][rng.below(6) as usize],
            reads: Counter::new(0),
        });
        let root = (rng.below(3) == 0).then(|| FullAddr::new(AddrSpace(rng.below(5) as i32 - 1), rng.next()));
        let options = Options {
            arch: Some(ARCHES[arch].into()),
            os: [None, Some(OsType::Linux), Some(OsType::Linux), Some(OsType::Xen)][rng.below(4) as usize],
            version_code: option(&mut rng, &[0x40500, 0x50400, 0x61200]),
            phys_bits: option(&mut rng, &[32, 40]),
            virt_bits: option(&mut rng, &[36, 39, 42, 47, 48, 52, 55, 57]),
            page_shift: [None, Some(12), Some(14), Some(16), Some(rng.below(70))][rng.below(5) as usize],
            phys_base: option(&mut rng, &[0, 0x4000_0000]),
            root,
            ..Options::default()
        };
        let ctx = Ctx::new(Shared::new(Chain::with_base(liar.clone())));
        let mut sys = System::new();
        let result = os::init(&mut sys, &ctx, &options);
        outcomes[arch][usize::from(result.is_ok())] += 1;
        assert!(liar.reads.get() < 1 << 20, "{options:?}: {} reads", liar.reads.get());
        // What came out of it can be used.
        for addr in [0, 0xc010_1234, 0xffff_8000_0801_0000, u64::MAX, rng.next()] {
            let _ = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
        }
        for map in MapIndex::ALL.into_iter().filter_map(|index| sys.map(index)) {
            assert!(
                map.ranges()
                    .all(|range| range.method == MethodIndex::NONE || sys.method(range.method).is_some())
            );
        }
    }
    println!("failed and set up: {outcomes:?}");
    assert!(outcomes.iter().flatten().all(|&count| count > 50), "{outcomes:?}");
}

#[test]
fn guesses_about_arm_memory_end() {
    let mut rng = Rng(22);
    for _ in 0..20 {
        let liar =
            Liar { seed: rng.next(), caps: Caps::MACHPHYS, and: u64::MAX, or: 2, reads: Counter::new(0) };
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(liar))));
        let found = os::guess_arm_memory(&ctx, &Options::default());
        assert_eq!(found, Ok(None));
    }
}
