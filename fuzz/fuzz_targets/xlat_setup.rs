//! Address translation over memory, symbols and numbers that may say anything.

use kdumpfile::sync::{Counter, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, MapIndex, MethodIndex, Next, PageBuf,
    Result, System,
};

use crate::input::Input;
use crate::seeds::Seeds;

/// What set-up knows layouts for, and a few names that it does not know.
const ARCHES: [&str; 10] =
    ["x86_64", "ia32", "i686", "aarch64", "arm", "riscv64", "loongarch64", "ppc64", "s390x", "vax"];

/// Addresses where layouts have their borders, and where kernels put things.
pub(crate) const ADDRESSES: [u64; 16] = [
    0,
    0x1000,
    0x0100_0000,
    0xc000_0000,
    0xffff_f000,
    0x003f_ffff_ffff,
    0x7fff_ffff_f000,
    0x9000_0000_0020_0000,
    0xc000_0000_0000_0000,
    0xc008_0000_0000_0000,
    0xff11_0000_0000_0000,
    0xffff_8000_0801_0000,
    0xffff_8880_0000_0000,
    0xffff_ffc0_0000_0000,
    0xffff_ffff_8100_0000,
    u64::MAX,
];

/// More reads than this for a run would be a search without end. A word may take
/// two of them, and there are the steps of one set-up, and of translations.
const READS_MAX: u64 = 200 * 2 * STEPS_MAX;

/// A machine: words of memory, in a pattern that repeats for ever, and numbers
/// for names.
pub(crate) struct Machine {
    words: Vec<u64>,
    numbers: Vec<u64>,
    /// How an address becomes the number of a word.
    shift: u32,
    caps: Caps,
    order: ByteOrder,
    reads: Counter,
}

/// The steps of a search, which are not many so that a run is short.
pub(crate) const STEPS_MAX: u64 = 1 << 14;

impl Machine {
    pub(crate) fn new(input: &mut Input<'_>) -> Self {
        let caps = Caps(u64::from(input.byte()));
        let order = if input.byte() & 1 == 0 { ByteOrder::Little } else { ByteOrder::Big };
        // By words, by tables, or by large pages.
        let shift = input.one_of(&[3, 3, 3, 12, 21]);
        let numbers =
            (0..8).map(|_| if input.byte() & 1 == 0 { input.number() } else { input.one_of(&ADDRESSES) });
        let numbers = numbers.collect();
        let mut words = Vec::new();
        while !input.is_empty() && words.len() < 4096 {
            words.push(input.number());
        }
        let reads = Counter::new(0);
        Machine { words, numbers, shift, caps, order, reads }
    }

    /// A number for a name; every fourth name is not known.
    fn named(&self, name: &str) -> Result<u64> {
        let hash =
            name.bytes().fold(7, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        match self.numbers.get(hash % (self.numbers.len() + self.numbers.len() / 3)) {
            Some(number) => Ok(*number),
            None => Err(Error::no_data("unknown")),
        }
    }
}

impl Callbacks for Machine {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        assert!(self.reads.add(1) < READS_MAX, "a search without end");
        let place = (addr.addr >> self.shift).wrapping_add(addr.addr >> 3 & 511) as usize;
        let word = *self.words.get(place % self.words.len().max(1)).unwrap_or(&0);
        // Some words are not in the dump, some only by another address.
        match word % 67 {
            66 => Err(Error::no_data("unreadable")),
            65 if addr.space == AddrSpace::KVIRT => Err(Error::elsewhere()),
            _ => {
                let bytes =
                    if self.order == ByteOrder::Big { word.to_be_bytes() } else { word.to_le_bytes() };
                let start = FullAddr { addr: addr.addr & !7, ..addr };
                Ok(PageBuf::new(start, self.order, bytes))
            }
        }
    }

    fn register(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.named(name)
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.named(name)
    }

    fn symbol_size(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.named(name)
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        self.named(container).map(|offset| offset % 4096 + member.len() as u64)
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.named(name)
    }
}

pub(crate) fn option(input: &mut Input<'_>, plausible: &[u64]) -> Option<u64> {
    match input.byte() % 4 {
        0 => None,
        1 => Some(input.number()),
        _ => Some(input.one_of(plausible)),
    }
}

pub(crate) fn address(input: &mut Input<'_>) -> u64 {
    let base = input.one_of(&ADDRESSES);
    base.wrapping_add(input.uint(3))
}

pub(crate) fn full_address(input: &mut Input<'_>) -> FullAddr {
    let space = AddrSpace(i32::from(input.byte() % 5) - 1);
    FullAddr::new(space, address(input))
}

/// Each map covers everything, and names methods that there are.
pub(crate) fn maps_are_whole(sys: &System) {
    for map in MapIndex::ALL.into_iter().filter_map(|index| sys.map(index)) {
        let mut next = Some(0);
        for range in map.ranges() {
            assert_eq!(Some(range.first), next, "ranges follow each other");
            assert!(range.method == MethodIndex::NONE || sys.method(range.method).is_some());
            next = range.last.checked_add(1);
        }
        assert!(next.is_none() || map.is_empty(), "a map covers everything");
    }
}

/// Whether a failure may depend on what is remembered: with it fewer steps are
/// made.
pub(crate) fn gave_up<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| {
        let message = error.message();
        message.contains("too many steps") || message.contains("Infinite recursion loop")
    })
}

/// Sets translation up for a system that does not exist, and translates.
///
/// Set-up ends; the maps that come of it name methods that there are; a
/// translation is the same with and without memory of earlier ones, and its
/// run begins with it.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = Options {
        arch: Some(input.one_of(&ARCHES).into()),
        os: input.one_of(&[None, Some(OsType::Linux), Some(OsType::Linux), Some(OsType::Xen)]),
        version_code: option(&mut input, &[0x2060b, 0x30a00, 0x40500, 0x40700, 0x50400, 0x61200, 0x40003]),
        phys_bits: option(&mut input, &[32, 36, 40, 52]),
        virt_bits: option(&mut input, &[31, 32, 36, 39, 42, 47, 48, 52, 53, 57]),
        page_shift: option(&mut input, &[12, 14, 16, 21]),
        phys_base: option(&mut input, &[0, 0x4000_0000, 0x8000_0000]),
        root: (input.byte() & 1 == 0).then(|| full_address(&mut input)),
        xen_p2m_mfn: option(&mut input, &[1, 0x1234]),
        xen_xlat: input.one_of(&[None, Some(true), Some(false)]),
    };
    let addresses: Vec<FullAddr> = (0..6).map(|_| full_address(&mut input)).collect();
    let machine = Shared::new(Machine::new(&mut input));
    let ctx = Ctx::new(Shared::new(Chain::with_base(machine.clone())));
    ctx.set_steps_max(STEPS_MAX);
    let mut sys = System::new();
    let _ = os::init(&mut sys, &ctx, &options);
    maps_are_whole(&sys);
    let forgetful = Ctx::new(Shared::new(Chain::with_base(machine)));
    forgetful.set_caching(false);
    forgetful.set_steps_max(STEPS_MAX);
    for source in addresses {
        for space in [AddrSpace::KPHYS, AddrSpace::MACHPHYS] {
            let first = ctx.convert(Some(&sys), space, source);
            for again in [&ctx, &forgetful] {
                let second = again.convert(Some(&sys), space, source);
                assert!(gave_up(&first) || gave_up(&second) || second.ok() == first.as_ref().ok().copied());
            }
            if let Ok(run) = ctx.run(Some(&sys), Caps::of(space), source) {
                assert_eq!(first.ok(), Some(run.target));
                // Its last address translates alike.
                let last = ctx.convert(Some(&sys), space, source.offset(run.endoff)).ok();
                assert_eq!(last, Some(run.target.offset(run.endoff)));
            }
        }
    }
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    // One machine for each architecture.
    let words = words();
    for arch in 0..10u8 {
        let options = [arch, 1, 2, 4, 0, 2, 6, 2, 0, 2, 0, 0, 2, 1, 16, 0, 0, 0, 0];
        let machine = [2, 0, 0, 1, 14, 1, 2, 1, 12, 1, 6, 1, 11, 0, 0, 0, 1, 0, 2];
        seeds.add(&format!("arch-{arch}"), &[&options, &[2; 24], &machine, &words]);
    }
}

/// Entries that many formats take for present ones, and others.
pub(super) fn words() -> Vec<u8> {
    (0..60u64)
        .flat_map(|n| {
            [vec![135], (n << 12 | [0x63, 0x3, 0x7c0, 0xcf][n as usize % 4]).to_le_bytes().to_vec()].concat()
        })
        .collect()
}
