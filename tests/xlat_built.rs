//! Page tables that are built here, by rules written the other way round: from
//! an address to the entry. What was mapped must be found, and nothing else.

mod xlat_support;

use std::collections::BTreeMap;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Caps, FullAddr, Method, PageTable, PagingForm, PteFormat, Status, Step, Walker,
};
use xlat_support::{Memory, Rng, ctx};

/// Makes an entry for an address (of a table, or of a page) on a level, with
/// flags that do not matter where flags may be.
type Encode = fn(addr: u64, level: usize, flags: u64) -> u64;

struct Rules {
    format: PteFormat,
    fields: &'static [u16],
    /// The bits of physical addresses of pages.
    phys_bits: u32,
    /// The bits of physical addresses of tables.
    table_bits: u32,
    /// Whether tables lie in virtual memory.
    virtual_tables: bool,
    /// The levels that can map a page.
    leaf_levels: &'static [usize],
    table: Encode,
    leaf: Encode,
}

const NONE: Rules = Rules {
    format: PteFormat::None,
    fields: &[],
    phys_bits: 48,
    table_bits: 40,
    virtual_tables: false,
    leaf_levels: &[1],
    table: |addr, _, _| addr,
    leaf: |addr, _, _| addr,
};

const X86: Rules = Rules {
    format: PteFormat::X86_64,
    phys_bits: 52,
    leaf_levels: &[1, 2, 3],
    table: |addr, _, flags| addr | 1 | flags & (0xfff << 52 | 0xe7e),
    leaf: |addr, level, flags| {
        addr | 1
            | flags & (0xfff << 52 | 0xf7e)
            | if level > 1 { 0x80 | flags & 0x1000 } else { flags & 0x80 }
    },
    ..NONE
};

const PAE: Rules = Rules {
    format: PteFormat::Ia32Pae,
    fields: &[12, 9, 9, 2],
    leaf_levels: &[1, 2],
    // The top level knows no size bit.
    table: |addr, level, flags| addr | 1 | flags & (0xe00 | if level == 3 { 0x80 } else { 0 }),
    ..X86
};

const IA32: Rules = Rules {
    format: PteFormat::Ia32,
    fields: &[12, 10, 10],
    phys_bits: 32,
    table_bits: 32,
    leaf_levels: &[1],
    table: |addr, _, flags| addr | 1 | flags & 0xf7e,
    leaf: |addr, _, flags| addr | 1 | flags & 0xffe,
    ..NONE
};

/// Only pages of 4 MiB have 40 bits.
const IA32_PSE36: Rules = Rules {
    phys_bits: 40,
    leaf_levels: &[2],
    leaf: |addr, _, flags| addr & 0xffc0_0000 | (addr >> 32) << 13 | 0x81 | flags & 0xf7e,
    ..IA32
};

const AARCH64: Rules = Rules {
    format: PteFormat::Aarch64,
    table: |addr, _, flags| addr | 3 | flags & (0x1f << 59 | 0xffc),
    leaf: |addr, level, flags| addr | if level == 1 { 3 } else { 1 } | flags & (0xfffc << 48 | 0xffc),
    ..NONE
};

const LPA: Rules = Rules {
    format: PteFormat::Aarch64Lpa,
    fields: &[16, 13, 13, 10],
    phys_bits: 52,
    leaf_levels: &[1, 2, 3],
    table: |addr, _, flags| addr & !0xffff | (addr >> 48) << 12 | 3 | flags & (0x1f << 59 | 0xffc),
    leaf: |addr, level, flags| {
        let low = if level == 1 { 3 } else { 1 };
        addr & (0xffff_ffff << 16) | (addr >> 48) << 12 | low | flags & (0xfffc << 48 | 0xffc)
    },
    ..NONE
};

const LPA2: Rules = Rules {
    format: PteFormat::Aarch64Lpa2,
    phys_bits: 52,
    table: |addr, _, flags| addr | 3 | flags & (0x1f << 59 | 0xcfc),
    leaf: |addr, level, flags| {
        let low = if level == 1 { 3 } else { 1 };
        addr & !(3 << 50) | (addr >> 50) << 8 | low | flags & (0xffe << 52 | 0xcfc)
    },
    ..NONE
};

const ARM: Rules = Rules {
    format: PteFormat::Arm,
    fields: &[12, 8, 12],
    phys_bits: 32,
    table_bits: 32,
    leaf_levels: &[1, 2],
    table: |addr, _, flags| addr | 1 | flags & 0x3fc,
    leaf: |addr, level, flags| match level {
        1 => addr | 2 | flags & 0xffd,
        _ => addr | 2 | flags & (0xbfffd & 0xfffff),
    },
    ..NONE
};

const LPAE: Rules = Rules { format: PteFormat::ArmLpae, fields: &[12, 9, 9, 2], phys_bits: 40, ..AARCH64 };

const S390X: Rules = Rules {
    format: PteFormat::S390x,
    phys_bits: 63,
    leaf_levels: &[1, 2, 3],
    table: |addr, level, flags| {
        // Segment tables point to tables of 2 KiB; regions to whole ones.
        let kind = (level as u64 - 2) << 2;
        addr | kind | if level > 2 { 3 } else { flags & 0x200 }
    },
    leaf: |addr, level, flags| match level {
        1 => addr | flags & 0x3ff,
        _ => addr | (level as u64 - 2) << 2 | 0x400 | flags & 0x2c3,
    },
    ..NONE
};

const RISCV64: Rules = Rules {
    format: PteFormat::Riscv64,
    phys_bits: 56,
    leaf_levels: &[1, 2, 3],
    table: |addr, _, flags| addr >> 12 << 10 | 1 | flags & 0x3f0,
    leaf: |addr, _, flags| addr >> 12 << 10 | 3 | flags & (3 << 61 | 0x3fc),
    ..NONE
};

const RISCV32: Rules = Rules {
    format: PteFormat::Riscv32,
    fields: &[12, 10, 10],
    phys_bits: 34,
    table_bits: 34,
    leaf_levels: &[1, 2],
    leaf: |addr, _, flags| addr >> 12 << 10 | 3 | flags & 0x3fc,
    ..RISCV64
};

const RPN30: Rules = Rules {
    format: PteFormat::Ppc64LinuxRpn30,
    fields: &[16, 12, 12, 4],
    phys_bits: 50,
    virtual_tables: true,
    leaf_levels: &[1, 2, 3],
    table: |addr, _, _| addr,
    leaf: |addr, _, flags| addr >> 16 << 30 | 1 | flags & 0x3fff_ffff,
    ..NONE
};

const RADIX: Rules = Rules {
    format: PteFormat::Ppc64Radix,
    phys_bits: 57,
    leaf_levels: &[1, 2, 3],
    table: |addr, _, _| 1 << 63 | addr | 9,
    leaf: |addr, _, flags| 3 << 62 | addr | flags & 0xfff,
    ..NONE
};

const HASH: Rules = Rules {
    format: PteFormat::Ppc64LinuxHash,
    phys_bits: 53,
    table: |addr, _, flags| addr | flags & (1 << 63 | 0xc0),
    leaf: |addr, _, flags| 3 << 62 | addr | flags & (0x1ff << 53 | 0xfff),
    ..RADIX
};

const LOONGARCH64: Rules = Rules {
    format: PteFormat::LoongArch64,
    leaf_levels: &[1, 2],
    table: |addr, _, _| 0x9 << 60 | addr,
    leaf: |addr, level, flags| {
        addr | 0x80 | flags & (7 << 61 | 0xf3f) | if level > 1 { 0x40 } else { flags & 0x40 }
    },
    ..NONE
};

const PFN: Rules = Rules {
    format: PteFormat::Pfn64,
    fields: &[12, 9, 9, 9],
    phys_bits: 63,
    table: |addr, _, _| addr >> 12,
    leaf: |addr, _, _| addr >> 12,
    ..NONE
};

fn all_rules() -> Vec<Rules> {
    vec![
        Rules { fields: &[12, 9, 9, 9, 9], ..X86 },
        Rules { fields: &[12, 9, 9, 9, 9, 9], ..X86 },
        PAE,
        IA32,
        IA32_PSE36,
        Rules { fields: &[12, 9, 9, 9], leaf_levels: &[1, 2, 3], ..AARCH64 },
        Rules { fields: &[12, 9, 9, 9, 9], leaf_levels: &[1, 2, 3], ..AARCH64 },
        Rules { fields: &[14, 11, 11, 11, 1], leaf_levels: &[1, 2], ..AARCH64 },
        Rules { fields: &[16, 13, 13, 6], leaf_levels: &[1, 2], ..AARCH64 },
        LPA,
        Rules { fields: &[12, 9, 9, 9, 9, 4], leaf_levels: &[1, 2, 3, 4], ..LPA2 },
        Rules { fields: &[14, 11, 11, 11, 5], leaf_levels: &[1, 2, 3], ..LPA2 },
        ARM,
        Rules { leaf_levels: &[1, 2, 3], ..LPAE },
        Rules { fields: &[12, 8, 11], leaf_levels: &[1, 2], ..S390X },
        Rules { fields: &[12, 8, 11, 11], ..S390X },
        Rules { fields: &[12, 8, 11, 11, 11, 11], ..S390X },
        Rules { fields: &[12, 9, 9, 9], ..RISCV64 },
        Rules { fields: &[12, 9, 9, 9, 9, 9], leaf_levels: &[1, 2, 3, 4, 5], ..RISCV64 },
        RISCV32,
        RPN30,
        Rules { fields: &[16, 5, 9, 9, 13], ..RADIX },
        Rules { fields: &[12, 9, 9, 9, 13], ..RADIX },
        Rules { fields: &[16, 8, 10, 10, 8], ..HASH },
        Rules { fields: &[12, 9, 7, 9, 9], ..HASH },
        Rules { fields: &[14, 11, 11, 11], ..LOONGARCH64 },
        Rules { fields: &[12, 9, 9, 9, 9], ..LOONGARCH64 },
        PFN,
    ]
}

/// A page that was mapped.
struct Page {
    virt: u64,
    phys: u64,
    bits: u32,
}

struct Builder<'a> {
    rules: &'a Rules,
    form: PagingForm,
    tables: BTreeMap<u64, Vec<u64>>,
    /// Entries that point to a table, by table and index.
    next: BTreeMap<(u64, usize), u64>,
    root: u64,
    rng: Rng,
}

impl Builder<'_> {
    fn new(rules: &Rules, seed: u64) -> Builder<'_> {
        let form = PagingForm::new(rules.format, rules.fields).unwrap();
        let mut builder =
            Builder { rules, form, tables: BTreeMap::new(), next: BTreeMap::new(), root: 0, rng: Rng(seed) };
        builder.root = builder.new_table(rules.fields.len() - 1);
        builder
    }

    /// Room for a table whose index is field `level`, aligned to 64 KiB.
    fn new_table(&mut self, level: usize) -> u64 {
        let high = if self.rules.virtual_tables { 0xc << 60 } else { 0 };
        loop {
            let addr = self.rng.next() & ((1 << self.rules.table_bits) - 1) & !0x1_ffff | high;
            if addr & !high != 0 && !self.tables.contains_key(&addr) {
                self.tables.insert(addr, vec![0; 1 << self.rules.fields[level]]);
                return addr;
            }
        }
    }

    fn index(&self, virt: u64, level: usize) -> usize {
        (virt >> self.form.span(level) & ((1 << self.form.field(level)) - 1)) as usize
    }

    /// Maps a random page; none if there is something already.
    fn map(&mut self) -> Option<Page> {
        let levels = self.rules.leaf_levels;
        let leaf = levels[self.rng.below(levels.len() as u64) as usize];
        let bits = self.form.span(leaf);
        // Half of them close to another one.
        let near = u64::MAX >> (64 - self.form.virt_bits());
        let near = if self.rng.below(2) == 0 { near & 0xff_ffff } else { near };
        let virt = (self.rng.next() & near) >> bits << bits;
        let phys = (self.rng.next() & ((1 << self.rules.phys_bits) - 1)) >> bits << bits;
        if phys == 0 {
            return None;
        }
        let mut table = self.root;
        for level in (leaf..self.rules.fields.len()).rev() {
            let index = self.index(virt, level);
            let entry = self.tables[&table][index];
            let flags = self.rng.next();
            if level == leaf {
                if entry != 0 {
                    return None;
                }
                self.tables.get_mut(&table)?[index] = (self.rules.leaf)(phys, level, flags);
                return Some(Page { virt, phys, bits });
            }
            table = match self.next.get(&(table, index)) {
                Some(&next) => next,
                None if entry != 0 => return None,
                None => {
                    let next = self.new_table(level - 1);
                    self.tables.get_mut(&table)?[index] = (self.rules.table)(next, level, flags);
                    self.next.insert((table, index), next);
                    next
                }
            };
        }
        None
    }

    /// The tables, for who reads them. Absent entries are absent in each format.
    fn memory(&self, order: ByteOrder) -> Shared<Memory> {
        let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, order);
        let always_big = matches!(self.rules.format, PteFormat::Ppc64Radix | PteFormat::Ppc64LinuxHash);
        let size = 1 << self.rules.format.pteval_shift().unwrap();
        for (&addr, table) in &self.tables {
            let mut bytes = Vec::new();
            for &entry in table {
                let absent = if self.rules.format == PteFormat::S390x { 0x420 } else { 0 };
                let entry = if entry == 0 { absent } else { entry };
                let mut word = entry.to_le_bytes()[..size].to_vec();
                if always_big || order == ByteOrder::Big {
                    word.reverse();
                }
                bytes.extend(word);
            }
            memory.put_block(addr, bytes);
        }
        memory
    }
}

/// A virtual address as the format wants it above its fields.
fn extend(rules: &Rules, form: &PagingForm, virt: u64) -> u64 {
    let signed = matches!(rules.format, PteFormat::X86_64 | PteFormat::Riscv64 | PteFormat::LoongArch64);
    let bits = form.virt_bits();
    if signed && bits < 64 && virt >> (bits - 1) & 1 == 1 { virt | u64::MAX << bits } else { virt }
}

#[test]
fn what_was_mapped_is_found_and_nothing_else() {
    for (number, rules) in all_rules().iter().enumerate() {
        let name = format!("{:?} {:?}", rules.format, rules.fields);
        let mut builder = Builder::new(rules, number as u64);
        let mut pages: Vec<Page> = (0..60).filter_map(|_| builder.map()).collect();
        assert!(pages.len() > 20, "{name}: {} pages", pages.len());
        let order = if number % 2 == 0 { ByteOrder::Little } else { ByteOrder::Big };
        let memory = builder.memory(order);
        let ctx = ctx(&memory);
        let space = if rules.virtual_tables { AddrSpace::KVIRT } else { AddrSpace::MACHPHYS };
        let table = PageTable::new(FullAddr::new(space, builder.root), builder.form);
        let method = Method::page_table(AddrSpace::MACHPHYS, table);
        let walker = Walker::new(&ctx, None, &method);
        let walk = |virt: u64| {
            let mut step = Step::new(FullAddr::kvirt(extend(rules, &builder.form, virt)));
            walker.walk(&mut step).map(|()| step.base)
        };
        let mut rng = Rng(1000 + number as u64);
        for page in &pages {
            let size = (1_u64 << page.bits) - 1;
            for offset in [0, size, rng.next() & size, rng.next() & size] {
                let expected = Ok(FullAddr::machphys(page.phys + offset));
                assert_eq!(walk(page.virt + offset), expected, "{name}: {:#x}", page.virt + offset);
            }
        }
        let limit = u64::MAX >> (64 - builder.form.virt_bits());
        let mapped =
            |virt: u64| pages.iter().any(|page| virt >= page.virt && (virt - page.virt) >> page.bits == 0);
        for _ in 0..300 {
            let near = if rng.below(2) == 0 { 0x1ff_ffff } else { u64::MAX };
            let virt = rng.next() & limit & near;
            let found = walk(virt).map_err(|error| error.status());
            assert_eq!(found.is_ok(), mapped(virt), "{name}: {virt:#x}");
            assert!(found.is_ok() || found == Err(Status::NotPresent), "{name}: {found:?}");
        }

        // A search from page to page meets all of them, in order.
        pages.sort_by_key(|page| page.virt);
        let half = if extend(rules, &builder.form, limit) == limit { limit } else { limit >> 1 };
        let mut addr = 0;
        for page in pages.iter().filter(|page| page.virt <= half) {
            let step = walker.lowest_mapped(&mut addr, half).unwrap();
            assert_eq!((addr, step.base.addr), (page.virt, page.phys), "{name}");
            addr = page.virt + ((1 << page.bits) - 1);
            let mut down = addr;
            let step = walker.highest_mapped(&mut down, 0).unwrap();
            assert_eq!((down, step.base.addr), (addr, page.phys + ((1 << page.bits) - 1)), "{name}");
            addr = addr.wrapping_add(1);
            if addr == 0 {
                break;
            }
        }
    }
}
