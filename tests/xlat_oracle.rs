//! Random page tables of every format, made the other way round: first what is
//! mapped where is drawn, then tables are written that say so, by what manuals
//! and kernels say of each bit. Bits that say nothing are noise.

mod xlat_support;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, MapIndex, Method, MethodIndex, Next,
    PageBuf, PageTable, PagingForm, PteFormat, Result, Status, Step, System, Walker,
};
use xlat_support::Rng;

/// What an entry is like; `noise` are random bits.
struct Rules {
    format: PteFormat,
    fields: &'static [u16],
    order: ByteOrder,
    /// Physical addresses have so many bits.
    phys_bits: u32,
    /// An entry with `level` steps to go for the page at an address, if there are
    /// pages of that size.
    page: fn(level: usize, phys: u64, noise: u64) -> Option<u64>,
    /// An entry for the table at an address, whose index has `bits` bits.
    table: fn(level: usize, addr: u64, bits: u64, noise: u64) -> u64,
    /// An entry for nothing.
    absent: fn(noise: u64) -> u64,
}

/// The direct mapping of POWER.
const DIRECT: u64 = 0xc000_0000_0000_0000;

fn rules() -> Vec<Rules> {
    use PteFormat::{
        Aarch64, Aarch64Lpa, Aarch64Lpa2, Arm, ArmLpae, Ia32, Ia32Pae, LoongArch64, Pfn32, Pfn64,
        Ppc64Linux3_10, Ppc64Linux4_5, Ppc64Linux4_6, Ppc64Linux4_7, Ppc64LinuxHash, Ppc64LinuxRpn17,
        Ppc64LinuxRpn30, Ppc64Radix, Riscv32, Riscv64, S390x, X86_64,
    };

    let little = |format, fields, phys_bits, page, table, absent| Rules {
        format,
        fields,
        order: ByteOrder::Little,
        phys_bits,
        page,
        table,
        absent,
    };
    let big = |format, fields, phys_bits, page, table, absent| Rules {
        order: ByteOrder::Big,
        ..little(format, fields, phys_bits, page, table, absent)
    };
    // Fields of bits that are noise: up to bit `last`, from bit `first` on.
    const fn bits(last: u32, first: u32) -> u64 {
        (u64::MAX >> (63 - last)) & (u64::MAX << first)
    }
    const ZERO: fn(u64) -> u64 = |_| 0;
    const NO_BIT_0: fn(u64) -> u64 = |noise| noise & !1;

    // VMSAv8-64: attributes 11:2 and 63:50.
    const ARM_NOISE: u64 = bits(11, 2) | bits(63, 50);
    let aarch64_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| match level {
        1 => Some(phys | 3 | noise & ARM_NOISE),
        2 => Some(phys | 1 | noise & ARM_NOISE),
        _ => None,
    };
    let aarch64_table: fn(usize, u64, u64, u64) -> u64 =
        |_, addr, _, noise| addr | 3 | noise & (bits(11, 2) | bits(63, 50));
    // With 4 KiB granule there are blocks of 1 GiB, too.
    let aarch64_4k: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| match level {
        1 => Some(phys | 3 | noise & ARM_NOISE),
        2 | 3 => Some(phys | 1 | noise & ARM_NOISE),
        _ => None,
    };
    // 51:48 of the address in 15:12.
    let lpa_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| {
        let entry = phys & bits(47, 16) | (phys >> 48) << 12 | noise & (bits(11, 2) | bits(63, 50));
        (level < 4).then_some(entry | if level == 1 { 3 } else { 1 })
    };
    // 51:50 of the address in 9:8.
    let lpa2_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| {
        let noise = noise & (bits(7, 2) | bits(11, 10) | bits(63, 51));
        let entry = phys & bits(49, 12) | (phys >> 50) << 8 | noise;
        (level < 5).then_some(entry | if level == 1 { 3 } else { 1 })
    };
    let lpa2_table: fn(usize, u64, u64, u64) -> u64 =
        |_, addr, _, noise| addr | 3 | noise & (bits(7, 2) | bits(11, 10) | bits(63, 51));

    const X86_NOISE: u64 = bits(6, 1) | bits(11, 8) | bits(63, 52);
    let long_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| match level {
        // Bit 7 of the last level is no size.
        1 => Some(phys | 1 | noise & (X86_NOISE | 1 << 7)),
        2 | 3 => Some(phys | 0x81 | noise & (X86_NOISE | 1 << 12)),
        _ => None,
    };
    let long_table: fn(usize, u64, u64, u64) -> u64 =
        |level, addr, _, noise| addr | 1 | noise & (X86_NOISE | if level > 3 { 1 << 7 } else { 0 });

    let s390x_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| match level {
        1 => Some(phys | noise & (bits(9, 0) | 1 << 11)),
        2 => Some(phys | 0x400 | noise & (bits(4, 4) | bits(9, 6) | 3)),
        3 => Some(phys | 0x404 | noise & (bits(4, 4) | bits(9, 6) | 3)),
        _ => None,
    };
    let s390x_table: fn(usize, u64, u64, u64) -> u64 = |level, addr, _, noise| match level {
        2 => addr | noise & (bits(4, 4) | bits(9, 6) | 3),
        _ => addr | (level as u64 - 2) << 2 | 3 | noise & (bits(4, 4) | bits(9, 8)),
    };

    let riscv_page: fn(usize, u64, u64) -> Option<u64> = |_, phys, noise| {
        Some(phys >> 12 << 10 | 1 | [2, 6, 8, 10, 14][noise as usize % 5] | noise & bits(9, 4))
    };
    let riscv_table: fn(usize, u64, u64, u64) -> u64 =
        |_, addr, _, noise| addr >> 12 << 10 | 1 | noise & bits(9, 4);

    let loong_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| {
        let huge = if level > 1 { 1 << 6 | noise & 1 << 12 } else { noise & 1 << 6 };
        let present = [1 << 7, 1 << 10, 1 << 7 | 1 << 10][noise as usize % 3];
        (level < 4).then_some(phys | huge | present | noise & (bits(5, 0) | bits(9, 8) | bits(63, 61)))
    };
    let loong_table: fn(usize, u64, u64, u64) -> u64 = |_, addr, _, _| 0x9000_0000_0000_0000 | addr;
    // Empty directories point to a table without pages, which is such an entry.
    let loong_absent: fn(u64) -> u64 = |noise| 0x9000_0000_7000_0000 | noise & bits(5, 0);

    let pfn_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, _| (level == 1).then_some(phys >> 12);
    let pfn_table: fn(usize, u64, u64, u64) -> u64 = |_, addr, _, _| addr >> 12;

    let radix_page: fn(usize, u64, u64) -> Option<u64> =
        |level, phys, noise| (level < 4).then_some(phys | 3 << 62 | noise & (bits(11, 0) | bits(61, 57)));
    let radix_table: fn(usize, u64, u64, u64) -> u64 =
        |_, addr, bits_of_index, noise| addr | 1 << 63 | bits_of_index | noise & bits(7, 5);
    let no_top: fn(u64) -> u64 = |noise| noise & bits(62, 0);

    // Linux on a hash table: frames in place since 4.6.
    let hash_page: fn(usize, u64, u64) -> Option<u64> =
        |_, phys, noise| Some(phys | 3 << 62 | noise & bits(11, 0));
    let hash_table: fn(usize, u64, u64, u64) -> u64 =
        |_, addr, _, noise| addr | noise & (1 << 63 | bits(7, 6));
    let plain_table: fn(usize, u64, u64, u64) -> u64 = |_, addr, _, _| addr;
    let virtual_table: fn(usize, u64, u64, u64) -> u64 = |_, addr, _, _| DIRECT | addr;
    // A number of the frame before that.
    let rpn30_page: fn(usize, u64, u64) -> Option<u64> = |level, phys, noise| {
        let low = if level == 1 { 0 } else { 1 + noise % 3 };
        Some((phys >> 16) << 30 | noise & bits(29, 2) | low | if level == 1 { 4 } else { 0 })
    };
    let rpn30_3_10: fn(usize, u64, u64) -> Option<u64> =
        |level, phys, noise| Some((phys >> 16) << 30 | noise & bits(29, 2) | if level == 1 { 1 } else { 3 });
    let rpn17_page: fn(usize, u64, u64) -> Option<u64> =
        |level, phys, noise| (level == 1).then_some((phys >> 12) << 17 | noise & bits(16, 1) | 1);
    let rpn17_3_10: fn(usize, u64, u64) -> Option<u64> =
        |_, phys, noise| Some((phys >> 12) << 17 | noise & bits(16, 2) | 1);
    let rpn30_4_5: fn(usize, u64, u64) -> Option<u64> =
        |_, phys, noise| Some((phys >> 16) << 30 | noise & bits(29, 2) | 3);
    let rpn18_4_5: fn(usize, u64, u64) -> Option<u64> =
        |_, phys, noise| Some((phys >> 12) << 18 | noise & bits(17, 2) | 3);

    let mut rules = vec![
        little(Pfn32, &[12, 10, 10], 44, pfn_page, pfn_table, ZERO),
        little(Pfn64, &[12, 9, 9, 9], 52, pfn_page, pfn_table, ZERO),
        little(Aarch64, &[12, 9, 9, 9, 9], 48, aarch64_4k, aarch64_table, NO_BIT_0),
        little(Aarch64, &[14, 11, 11, 11, 1], 48, aarch64_page, aarch64_table, NO_BIT_0),
        little(Aarch64, &[16, 13, 13, 6], 48, aarch64_page, aarch64_table, NO_BIT_0),
        little(Aarch64Lpa, &[16, 13, 13, 10], 52, lpa_page, aarch64_table, NO_BIT_0),
        little(Aarch64Lpa2, &[12, 9, 9, 9, 9, 4], 52, lpa2_page, lpa2_table, NO_BIT_0),
        little(
            Aarch64Lpa2,
            &[14, 11, 11, 11, 5],
            52,
            |level, phys, noise| {
                let noise = noise & (bits(7, 2) | bits(13, 10) | bits(63, 51));
                let entry = phys & bits(49, 14) | (phys >> 50) << 8 | noise;
                (level < 4).then_some(entry | if level == 1 { 3 } else { 1 })
            },
            lpa2_table,
            NO_BIT_0,
        ),
        little(ArmLpae, &[12, 9, 9, 2], 40, aarch64_4k, aarch64_table, NO_BIT_0),
        little(
            Arm,
            &[12, 8, 12],
            32,
            |level, phys, noise| match level {
                // A small page; a section has no bit 18.
                1 => Some(phys | 2 | noise & (bits(11, 2) | 1)),
                _ => Some(phys | 2 | noise & (bits(17, 2) | 1 << 19 | 1)),
            },
            |_, addr, _, noise| addr | 1 | noise & bits(9, 2),
            |noise| noise & !3,
        ),
        little(
            Ia32,
            &[12, 10, 10],
            40,
            |level, phys, noise| match level {
                1 => Some(phys | 1 | noise & bits(11, 1)),
                // 39:32 of the address in 20:13.
                _ => {
                    Some(phys & bits(31, 22) | (phys >> 32) << 13 | 0x81 | noise & (bits(12, 8) | bits(6, 1)))
                }
            },
            |_, addr, _, noise| addr | 1 | noise & (bits(11, 8) | bits(6, 1)),
            NO_BIT_0,
        ),
        little(
            Ia32Pae,
            &[12, 9, 9, 2],
            52,
            |level, phys, noise| match level {
                1 => Some(phys | 1 | noise & (X86_NOISE | 1 << 7)),
                2 => Some(phys | 0x81 | noise & (X86_NOISE | bits(20, 12))),
                _ => None,
            },
            |level, addr, _, noise| addr | 1 | noise & (X86_NOISE | if level == 3 { 1 << 7 } else { 0 }),
            NO_BIT_0,
        ),
        little(X86_64, &[12, 9, 9, 9, 9], 52, long_page, long_table, NO_BIT_0),
        little(X86_64, &[12, 9, 9, 9, 9, 9], 52, long_page, long_table, NO_BIT_0),
        little(Riscv32, &[12, 10, 10], 34, riscv_page, riscv_table, NO_BIT_0),
        little(LoongArch64, &[12, 9, 9, 9, 9], 48, loong_page, loong_table, loong_absent),
        little(LoongArch64, &[14, 11, 11, 11], 48, loong_page, loong_table, loong_absent),
        little(LoongArch64, &[16, 13, 13, 13], 48, loong_page, loong_table, loong_absent),
        // Of all invalid bits one is for each kind of table.
        big(S390x, &[12, 8, 11], 52, s390x_page, s390x_table, |noise| noise | 0x420),
        big(S390x, &[12, 8, 11, 11], 52, s390x_page, s390x_table, |noise| noise | 0x420),
        big(S390x, &[12, 8, 11, 11, 11, 11], 60, s390x_page, s390x_table, |noise| noise | 0x420),
        big(Ppc64Radix, &[16, 5, 9, 9, 13], 57, radix_page, radix_table, no_top),
        big(Ppc64Radix, &[12, 9, 9, 9, 13], 57, radix_page, radix_table, no_top),
        big(Ppc64LinuxHash, &[16, 8, 10, 10, 8], 53, hash_page, hash_table, ZERO),
        big(Ppc64LinuxHash, &[12, 9, 7, 9, 9], 53, hash_page, hash_table, ZERO),
        big(Ppc64Linux4_7, &[16, 8, 5, 5, 12], 53, hash_page, hash_table, ZERO),
        big(Ppc64Linux4_6, &[16, 8, 5, 5, 12], 53, hash_page, plain_table, ZERO),
        little(Ppc64Linux4_6, &[12, 9, 7, 9, 9], 53, hash_page, plain_table, ZERO),
    ];
    for fields in [&[12_u16, 9, 9, 9][..], &[12, 9, 9, 9, 9], &[12, 9, 9, 9, 9, 9]] {
        rules.push(little(Riscv64, fields, 56, riscv_page, riscv_table, NO_BIT_0));
    }
    for (format, fields, phys_bits, page) in [
        (Ppc64LinuxRpn30, &[16_u16, 12, 12, 4][..], 50, rpn30_page),
        (Ppc64LinuxRpn17, &[12, 9, 7, 7, 9], 50, rpn17_page),
        (Ppc64Linux3_10, &[16, 8, 10, 12], 50, rpn30_3_10),
        (Ppc64Linux3_10, &[12, 9, 7, 9, 9], 50, rpn17_3_10),
        (Ppc64Linux4_5, &[16, 8, 10, 12], 50, rpn30_4_5),
        (Ppc64Linux4_5, &[12, 9, 7, 9, 9], 50, rpn18_4_5),
    ] {
        rules.push(big(format, fields, phys_bits, page, virtual_table, ZERO));
    }
    rules
}

/// Tables, entry by entry; what is not written is absent.
struct Memory {
    words: BTreeMap<u64, u64>,
    size: usize,
    order: ByteOrder,
    absent: fn(u64) -> u64,
}

impl Callbacks for Memory {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::MACHPHYS | Caps::KVIRT
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let place = addr.addr & !DIRECT;
        let entry = self.words.get(&place).copied();
        let entry = entry.unwrap_or_else(|| (self.absent)(Rng(addr.addr).next()));
        let mut bytes = entry.to_le_bytes()[..self.size].to_vec();
        if self.order == ByteOrder::Big {
            bytes.reverse();
        }
        // Formats that are always big-endian do not care what a block is.
        Ok(PageBuf::new(addr, self.order, bytes))
    }
}

/// What is mapped: first virtual address to physical address and log2 of the size.
type Mapped = BTreeMap<u64, (u64, u32)>;

/// Tables under construction.
struct Builder<'a> {
    rules: &'a Rules,
    form: PagingForm,
    words: BTreeMap<u64, u64>,
    /// The tables below entries.
    tables: BTreeMap<u64, u64>,
    next: u64,
    mapped: Mapped,
}

const ROOT: u64 = 0x100_0000;
/// Room for the largest table.
const TABLE: u64 = 0x2_0000;

impl Builder<'_> {
    /// Maps the page of `level` that contains `virt`, if nothing is there yet and
    /// the format has such pages.
    fn map(&mut self, virt: u64, level: usize, rng: &mut Rng) {
        let size = self.rules.format.pteval_shift().unwrap();
        let span = self.form.span(level);
        let first = virt >> span << span;
        let phys = (rng.next() & (u64::MAX >> (64 - self.rules.phys_bits))) >> span << span;
        // Only large pages of ia32 have more than 32 bits.
        let phys = if self.rules.format == PteFormat::Ia32 && level == 1 { phys & 0xffff_f000 } else { phys };
        let Some(page) = (self.rules.page)(level, phys, rng.next()) else { return };
        if size == 2 && page >> 32 != 0 || page == 0 {
            return;
        }
        let mut table = ROOT;
        for at in (level..usize::from(self.form.nfields())).rev() {
            let index = virt >> self.form.span(at) & ((1 << self.form.field(at)) - 1);
            let place = table + (index << size);
            if at == level {
                if let Entry::Vacant(vacant) = self.words.entry(place) {
                    vacant.insert(page);
                    self.mapped.insert(first, (phys, span));
                }
                return;
            }
            table = match self.tables.get(&place) {
                Some(table) => *table,
                None if self.words.contains_key(&place) => return,
                None => {
                    self.next += TABLE;
                    let bits = u64::from(self.form.field(at - 1));
                    self.words.insert(place, (self.rules.table)(at, self.next, bits, rng.next()));
                    self.tables.insert(place, self.next);
                    self.next
                }
            };
        }
    }
}

/// An address with few indices that are likely: neighbours, and both ends.
fn address(form: &PagingForm, signed: bool, rng: &mut Rng) -> u64 {
    let mut addr = rng.next() & ((1 << form.field(0)) - 1);
    for level in 1..usize::from(form.nfields()) {
        let last = (1 << form.field(level)) - 1;
        let index = match rng.below(8) {
            0 => last,
            1 => rng.next() & last,
            2 => last / 2 + 1,
            _ => rng.below(3) & last,
        };
        addr |= index << form.span(level);
    }
    let bits = form.virt_bits();
    if signed && addr >> (bits - 1) != 0 { addr | u64::MAX << bits } else { addr }
}

#[test]
fn walks_find_what_tables_were_written_for() {
    let mut rng = Rng(17);
    let rules = rules();
    for format in PteFormat::ALL.into_iter().filter(|format| *format != PteFormat::None) {
        assert!(rules.iter().any(|rules| rules.format == format), "{format:?} is not tried");
    }
    for rules in &rules {
        let form = PagingForm::new(rules.format, rules.fields).unwrap();
        let size = 1 << rules.format.pteval_shift().unwrap();
        let (mut pages, mut huge, mut holes) = (0, 0, 0);
        let target = AddrSpace::MACHPHYS;
        let table = PageTable::new(FullAddr::machphys(ROOT), form);
        let method = Method::page_table(target, table);
        let empty = Ctx::new(Shared::new(Chain::new()));
        let top = 1 << (form.virt_bits() - 1);
        let launch = |addr| Walker::new(&empty, None, &method).launch(&mut Step::default(), addr);
        let signed = launch(top).is_err() && launch(top | u64::MAX << (form.virt_bits() - 1)).is_ok();
        for _ in 0..40 {
            let mut builder = Builder {
                rules,
                form,
                words: BTreeMap::new(),
                tables: BTreeMap::new(),
                next: ROOT,
                mapped: BTreeMap::new(),
            };
            for _ in 0..60 {
                let level = if rng.below(4) == 0 { 1 + rng.below(u64::from(form.nfields()) - 1) } else { 1 };
                builder.map(address(&form, signed, &mut rng), level as usize, &mut rng);
            }
            let Builder { words, mapped, .. } = builder;
            let memory = Memory { words, size, order: rules.order, absent: rules.absent };
            let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(memory))));
            let mut sys = System::new();
            sys.set_method(MethodIndex::PGT, method.clone());
            sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
            let walker = Walker::new(&ctx, None, &method);
            for _ in 0..200 {
                let addr = match rng.below(2) {
                    0 => address(&form, signed, &mut rng),
                    _ => {
                        let (&first, &(_, bits)) =
                            mapped.iter().nth(rng.below(mapped.len() as u64) as usize).unwrap();
                        first | rng.next() & ((1 << bits) - 1)
                    }
                };
                let page = mapped.range(..=addr).next_back();
                let page = page.filter(|(first, (_, bits))| (addr - *first) >> bits == 0);
                let expected = page.map(|(first, (phys, _))| FullAddr::new(target, phys + (addr - first)));
                let what = format!("{form:?} {addr:#x} {page:x?}");
                let mut step = Step::new(FullAddr::kvirt(addr));
                let walk = walker.walk(&mut step).map(|()| step.base);
                let op = ctx.convert(Some(&sys), target, FullAddr::kvirt(addr));
                match expected {
                    Some(_) => assert_eq!((walk.ok(), op.ok()), (expected, expected), "{what}"),
                    None => {
                        assert_eq!(
                            walk.as_ref().unwrap_err().status(),
                            Status::NotPresent,
                            "{what}: {walk:?}"
                        );
                        assert_eq!(op.unwrap_err().status(), Status::NotPresent, "{what}");
                    }
                }
                match page {
                    Some((_, (_, bits))) if *bits > form.field(0) => huge += 1,
                    Some(_) => pages += 1,
                    None => holes += 1,
                }
            }
        }
        let has_huge = (2..rules.fields.len()).any(|level| (rules.page)(level, 0, 0).is_some());
        assert!(pages > 500 && holes > 500 && (huge > 100 || !has_huge), "{form:?} {pages} {huge} {holes}");
    }
}

#[test]
fn pages_of_several_entries_are_found_by_each_of_them() {
    // 16 entries for one page: a supersection and a large page of arm, and 64 KiB
    // of Svnapot.
    let supersection = 0x4500_0000 | 0xa << 20 | 0x3 << 5 | 1 << 18 | 2;
    let napot = (0x123_4560_0000_u64 >> 12 | 8) << 10 | 1 << 63 | 0xf;
    for (format, fields, place, entry, above, virt, phys, bits) in [
        (
            PteFormat::Arm,
            &[12_u16, 8, 12][..],
            ROOT + 0x10 * 4,
            supersection,
            None,
            0x100_0000,
            0x3a_4500_0000,
            24,
        ),
        (PteFormat::Arm, &[12, 8, 12], 0x9040, 0x1237_0001, Some((ROOT, 0x9001)), 0x1_0000, 0x1237_0000, 16),
        (
            PteFormat::Riscv64,
            &[12, 9, 9],
            0x9080,
            napot,
            Some((ROOT, 0x9 << 10 | 1)),
            0x1_0000,
            0x123_4560_0000,
            16,
        ),
    ] {
        let size = 1 << format.pteval_shift().unwrap();
        let entries = (0..16).map(|index| (place + index * size as u64, entry));
        let words = entries.chain(above).collect();
        let memory = Memory { words, size, order: ByteOrder::Little, absent: |_| 0 };
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(memory))));
        let table = PageTable::new(FullAddr::machphys(ROOT), PagingForm::new(format, fields).unwrap());
        let mut sys = System::new();
        sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::MACHPHYS, table));
        sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
        let mut rng = Rng(bits);
        for _ in 0..100 {
            let offset = rng.next() & ((1_u64 << bits) - 1);
            let found = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(virt + offset));
            assert_eq!(found, Ok(FullAddr::machphys(phys + offset)), "{format:?} {offset:#x}");
        }
        for beside in [virt - 1, virt + (1 << bits)] {
            let found = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(beside));
            assert_eq!(found.unwrap_err().status(), Status::NotPresent, "{format:?} {beside:#x}");
        }
    }
}
