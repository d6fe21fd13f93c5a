//! Set-ups whose facts are all lies: every address has some word, every name
//! has some value. Nothing may panic, or go on for ever.

#[path = "xlat_support/mod.rs"]
mod xlat_support;

use std::time::{Duration, Instant};

use kdumpfile::sync::{Counter, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, Next, PageBuf, Result, System,
};
use xlat_support::Rng;

/// What a word is like: any number, an address in the direct mapping of POWER,
/// or one near a page table of s390x.
#[derive(Clone, Copy, Debug)]
enum Words {
    Any,
    Pointers,
    Small,
}

struct Liar {
    seed: u64,
    words: Words,
    reads: Counter,
}

impl Liar {
    fn word(&self, key: u64) -> u64 {
        let random = Rng(self.seed ^ key.rotate_left(17)).next();
        match self.words {
            Words::Any => random,
            Words::Pointers => 0xc000_0000_0000_0000 | (random & 0x3_ffff_ffff_fff8),
            Words::Small => random & 0xf_ffff,
        }
    }

    fn named(&self, name: &str) -> u64 {
        let value =
            self.word(name.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))));
        // Some are plausible.
        if value & 0x100 == 0 { value & 0xff } else { value }
    }
}

impl Callbacks for Liar {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::MACHPHYS
    }
    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.reads.add(1);
        let start = FullAddr { addr: addr.addr & !7, ..addr };
        Ok(PageBuf::new(start, ByteOrder::Big, self.word(start.addr).to_be_bytes().to_vec()))
    }
    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        Ok(self.named(name))
    }
    fn symbol_size(&self, _: Next<'_>, name: &str) -> Result<u64> {
        Ok(self.named(name))
    }
    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        Ok(self.named(container) ^ self.named(member) & 0xff)
    }
    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        Ok(self.named(name))
    }
}

#[test]
fn lies_end_in_a_system_or_a_failure() {
    let mut rng = Rng(2026);
    let started = Instant::now();
    let (mut set_up, mut translated) = (0, 0);
    for round in 0..120 {
        let words = [Words::Any, Words::Pointers, Words::Small][round % 3];
        let arch = ["ppc64", "s390x"][round / 3 % 2];
        let maybe = |rng: &mut Rng, value: u64| (rng.next() & 1 == 0).then_some(value);
        let version = rng.next() % 0x7_0000;
        let options = Options {
            arch: Some(arch.into()),
            os: Some(OsType::Linux),
            version_code: maybe(&mut rng, version),
            page_shift: maybe(&mut rng, 12 + 4 * (version & 1)),
            virt_bits: maybe(&mut rng, version & 63),
            root: maybe(&mut rng, version << 12).map(FullAddr::kphys),
            ..Options::default()
        };
        let liar = Shared::new(Liar { seed: rng.next(), words, reads: Counter::new(0) });
        let ctx = Ctx::new(Shared::new(Chain::with_base(liar.clone())));
        let mut sys = System::new();
        set_up += usize::from(os::init(&mut sys, &ctx, &options).is_ok());
        for _ in 0..20 {
            let addr = FullAddr::kvirt(rng.next());
            translated += usize::from(ctx.convert(Some(&sys), AddrSpace::KPHYS, addr).is_ok());
        }
        // A list of 2^20 parts has three words each.
        assert!(liar.reads.get() <= 3 << 20 | 0x10000, "{options:?} {words:?}");
    }
    eprintln!("{set_up} of 120 set up, {translated} of 2400 translated in {:?}", started.elapsed());
    assert!(set_up > 0 && translated > 0);
    assert!(started.elapsed() < Duration::from_secs(120));
}
