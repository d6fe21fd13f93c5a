//! What the bits of page-table entries mean, one table for each format.

use kdumpfile::xlat::PteFormat;

/// Which entries a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// All that are present.
    Any,
    /// Those that map a page of any size.
    Leaf,
    /// Those that map a page on the lowest level.
    Page,
    /// Those that map a larger page.
    Huge,
    /// Those that point to another table.
    Table,
    /// Those that point to entries of huge pages (POWER).
    HugeTable,
}

/// A row: bits `shift..shift + width`.
struct Bits {
    on: On,
    shift: u32,
    width: u32,
    name: &'static str,
}

/// A bit that is named where it is set.
const fn bit(on: On, shift: u32, name: &'static str) -> Bits {
    Bits { on, shift, width: 1, name }
}

/// A number that is shown as `name=number`, unless it is 0.
const fn field(on: On, shift: u32, width: u32, name: &'static str) -> Bits {
    Bits { on, shift, width, name }
}

/// The meaning of the entries of a format.
struct Meaning {
    /// Masks of bits: the entry is absent if none of them is set (or all are,
    /// where `invalid`), on the lowest level and above it.
    valid: [u64; 2],
    invalid: bool,
    bits: &'static [Bits],
    /// Whether an entry that maps no page points to entries of huge pages.
    huge_table: fn(u64) -> bool,
}

/// There is no such thing.
const NEVER: fn(u64) -> bool = |_| false;

use On::{Any, Huge, HugeTable, Leaf, Page, Table};

/// Intel SDM volume 3, "Paging".
const X86: Meaning = Meaning {
    valid: [1, 1],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Any, 0, "present"),
        bit(Any, 1, "writable"),
        bit(Any, 2, "user"),
        bit(Any, 3, "write-through"),
        bit(Any, 4, "uncached"),
        bit(Any, 5, "accessed"),
        bit(Leaf, 6, "dirty"),
        bit(Page, 7, "pat"),
        bit(Huge, 7, "huge"),
        bit(Huge, 12, "pat"),
        bit(Leaf, 8, "global"),
        field(Leaf, 59, 4, "key"),
        bit(Any, 63, "nx"),
    ],
};

/// The same without the bits above 31.
const IA32: Meaning = Meaning {
    valid: [1, 1],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Any, 0, "present"),
        bit(Any, 1, "writable"),
        bit(Any, 2, "user"),
        bit(Any, 3, "write-through"),
        bit(Any, 4, "uncached"),
        bit(Any, 5, "accessed"),
        bit(Leaf, 6, "dirty"),
        bit(Page, 7, "pat"),
        bit(Huge, 7, "huge"),
        bit(Huge, 12, "pat"),
        bit(Leaf, 8, "global"),
    ],
};

/// Arm ARM, "VMSAv8-64 translation table format descriptors"; the long
/// descriptors of AArch32 are the same.
const ARM64: Meaning = Meaning {
    valid: [1, 1],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Any, 0, "valid"),
        bit(Table, 1, "table"),
        bit(Page, 1, "page"),
        field(Leaf, 2, 3, "attr"),
        bit(Leaf, 5, "ns"),
        bit(Leaf, 6, "user"),
        bit(Leaf, 7, "read-only"),
        bit(Leaf, 10, "accessed"),
        bit(Leaf, 11, "not-global"),
        bit(Leaf, 50, "guarded"),
        bit(Leaf, 51, "dirty-managed"),
        bit(Leaf, 52, "contiguous"),
        bit(Leaf, 53, "pxn"),
        bit(Leaf, 54, "uxn"),
        bit(Table, 59, "pxn-table"),
        bit(Table, 60, "uxn-table"),
        field(Table, 61, 2, "ap-table"),
        bit(Table, 63, "ns-table"),
    ],
};

/// Arm ARM for ARMv7-A, "Short-descriptor translation table format
/// descriptors".
const ARM: Meaning = Meaning {
    valid: [3, 3],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Page, 0, "xn"),
        bit(Leaf, 2, "bufferable"),
        bit(Leaf, 3, "cacheable"),
        field(Page, 4, 2, "ap"),
        field(Page, 6, 3, "tex"),
        bit(Page, 9, "read-only"),
        bit(Page, 10, "shared"),
        bit(Page, 11, "not-global"),
        bit(Huge, 4, "xn"),
        field(Table, 5, 4, "domain"),
        field(Huge, 10, 2, "ap"),
        field(Huge, 12, 3, "tex"),
        bit(Huge, 15, "read-only"),
        bit(Huge, 16, "shared"),
        bit(Huge, 17, "not-global"),
        bit(Huge, 18, "supersection"),
    ],
};

/// RISC-V privileged architecture, "Supervisor-Level ISA".
const RISCV: Meaning = Meaning {
    valid: [1, 1],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Any, 0, "valid"),
        bit(Any, 1, "readable"),
        bit(Any, 2, "writable"),
        bit(Any, 3, "executable"),
        bit(Any, 4, "user"),
        bit(Any, 5, "global"),
        bit(Leaf, 6, "accessed"),
        bit(Leaf, 7, "dirty"),
        field(Leaf, 61, 2, "pbmt"),
        bit(Leaf, 63, "napot"),
    ],
};

/// z/Architecture Principles of Operation, "Dynamic Address Translation": a set
/// bit means that the entry is invalid.
const S390X: Meaning = Meaning {
    valid: [1 << 10, 1 << 5],
    invalid: true,
    huge_table: NEVER,
    bits: &[
        bit(Leaf, 8, "nx"),
        bit(Any, 9, "protected"),
        bit(Huge, 10, "large"),
        field(Table, 0, 2, "length"),
        field(Table, 6, 2, "offset"),
    ],
};

/// Power ISA 3.0, "Radix Tree Translation"; bits are counted from the least
/// significant.
const RADIX: Meaning = Meaning {
    valid: [1 << 63, 1 << 63],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Any, 63, "valid"),
        bit(Leaf, 62, "leaf"),
        bit(Leaf, 2, "readable"),
        bit(Leaf, 1, "writable"),
        bit(Leaf, 0, "executable"),
        bit(Leaf, 3, "privileged"),
        field(Leaf, 4, 2, "attr"),
        bit(Leaf, 7, "changed"),
        bit(Leaf, 8, "referenced"),
        field(Table, 0, 5, "next-size"),
    ],
};

/// Linux since 4.6 on POWER with a hash table: `_PAGE_*` as with a radix tree
/// (`arch/powerpc/include/asm/book3s/64/pgtable.h`). Nothing but the address
/// of a table tells that there is one.
const HASH: Meaning = Meaning {
    valid: [1 << 63, u64::MAX],
    invalid: false,
    huge_table: |entry| entry & 0x3f != 0,
    bits: &[
        bit(Leaf, 63, "valid"),
        bit(Leaf, 62, "leaf"),
        bit(Leaf, 2, "readable"),
        bit(Leaf, 1, "writable"),
        bit(Leaf, 0, "executable"),
        bit(Leaf, 3, "privileged"),
        field(Leaf, 4, 2, "attr"),
        bit(Leaf, 7, "changed"),
        bit(Leaf, 8, "referenced"),
        field(HugeTable, 2, 4, "huge-size"),
    ],
};

/// Linux before that. `_PAGE_EXEC` is the opposite of the processor's bit
/// (`arch/powerpc/include/asm/pte-hash64.h` and `pte-hash64-64k.h` of 3.9). The
/// bits above 11 say where in the hash table the page is; what bit 10 is depends
/// on the page size.
const HASH_3_9_64K: Meaning = Meaning {
    // The present bit is not needed for an address.
    valid: [u64::MAX, u64::MAX],
    invalid: false,
    huge_table: |entry| entry >> 63 == 0,
    bits: &[
        bit(Leaf, 0, "present"),
        bit(Leaf, 1, "user"),
        bit(Leaf, 2, "executable"),
        bit(Leaf, 3, "guarded"),
        bit(Leaf, 4, "coherent"),
        bit(Leaf, 5, "uncached"),
        bit(Leaf, 6, "write-through"),
        bit(Leaf, 7, "dirty"),
        bit(Leaf, 8, "accessed"),
        bit(Leaf, 9, "writable"),
        bit(Leaf, 10, "special"),
        bit(Leaf, 11, "busy"),
        field(Leaf, 12, 16, "hashed"),
        bit(Leaf, 28, "combo"),
        bit(Leaf, 29, "4k-pfn"),
        bit(Table, 63, "table"),
        field(HugeTable, 2, 4, "huge-size"),
    ],
};

/// The same with pages of 4 KiB (`pte-hash64-4k.h`).
const HASH_3_9_4K: Meaning = Meaning {
    valid: [1, u64::MAX],
    invalid: false,
    huge_table: |entry| entry >> 63 == 0,
    bits: &[
        bit(Leaf, 0, "present"),
        bit(Leaf, 1, "user"),
        bit(Leaf, 2, "executable"),
        bit(Leaf, 3, "guarded"),
        bit(Leaf, 4, "coherent"),
        bit(Leaf, 5, "uncached"),
        bit(Leaf, 6, "write-through"),
        bit(Leaf, 7, "dirty"),
        bit(Leaf, 8, "accessed"),
        bit(Leaf, 9, "writable"),
        bit(Leaf, 10, "hashed"),
        bit(Leaf, 11, "busy"),
        bit(Leaf, 16, "special"),
        bit(Table, 63, "table"),
        field(HugeTable, 2, 4, "huge-size"),
    ],
};

/// From 3.10 to 4.4, with pages of either size; bit 10 as above.
const HASH_3_10: Meaning = Meaning {
    valid: [1, u64::MAX],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Leaf, 0, "present"),
        bit(Leaf, 1, "user"),
        bit(Leaf, 2, "executable"),
        bit(Leaf, 3, "guarded"),
        bit(Leaf, 4, "coherent"),
        bit(Leaf, 5, "uncached"),
        bit(Leaf, 6, "write-through"),
        bit(Leaf, 7, "dirty"),
        bit(Leaf, 8, "accessed"),
        bit(Leaf, 9, "writable"),
        bit(Leaf, 11, "busy"),
    ],
};

/// 4.5 (`arch/powerpc/include/asm/book3s/64/hash.h`).
const HASH_4_5: Meaning = Meaning {
    valid: [2, u64::MAX],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Leaf, 0, "leaf"),
        bit(Leaf, 1, "present"),
        bit(Leaf, 2, "user"),
        bit(Leaf, 3, "executable"),
        bit(Leaf, 4, "guarded"),
        bit(Leaf, 5, "uncached"),
        bit(Leaf, 6, "write-through"),
        bit(Leaf, 7, "dirty"),
        bit(Leaf, 8, "accessed"),
        bit(Leaf, 9, "writable"),
        bit(Leaf, 10, "hashed"),
        bit(Leaf, 11, "busy"),
    ],
};

/// LoongArch reference manual volume 1, and what Linux adds (7, 8, 10).
const LOONGARCH: Meaning = Meaning {
    valid: [1 << 7 | 1 << 10, u64::MAX],
    invalid: false,
    huge_table: NEVER,
    bits: &[
        bit(Leaf, 0, "valid"),
        bit(Leaf, 1, "dirty"),
        field(Leaf, 2, 2, "plv"),
        field(Leaf, 4, 2, "mat"),
        bit(Page, 6, "global"),
        bit(Huge, 6, "huge"),
        bit(Leaf, 7, "present"),
        bit(Leaf, 8, "writable"),
        bit(Leaf, 10, "protnone"),
        bit(Huge, 12, "global"),
        bit(Leaf, 61, "nr"),
        bit(Leaf, 62, "nx"),
        bit(Leaf, 63, "rplv"),
    ],
};

fn meaning(format: PteFormat) -> Option<&'static Meaning> {
    Some(match format {
        PteFormat::X86_64 | PteFormat::Ia32Pae => &X86,
        PteFormat::Ia32 => &IA32,
        PteFormat::Aarch64 | PteFormat::Aarch64Lpa | PteFormat::Aarch64Lpa2 | PteFormat::ArmLpae => &ARM64,
        PteFormat::Arm => &ARM,
        PteFormat::Riscv32 | PteFormat::Riscv64 => &RISCV,
        PteFormat::S390x => &S390X,
        PteFormat::Ppc64Radix => &RADIX,
        PteFormat::Ppc64LinuxRpn30 => &HASH_3_9_64K,
        PteFormat::Ppc64LinuxRpn17 => &HASH_3_9_4K,
        PteFormat::Ppc64Linux3_10 => &HASH_3_10,
        PteFormat::Ppc64Linux4_5 => &HASH_4_5,
        PteFormat::Ppc64Linux4_6 | PteFormat::Ppc64Linux4_7 | PteFormat::Ppc64LinuxHash => &HASH,
        PteFormat::LoongArch64 => &LOONGARCH,
        _ => return None,
    })
}

/// What the bits of an entry say; `leaf` if it maps a page.
pub fn flags(format: PteFormat, entry: u64, level: usize, leaf: bool) -> Vec<String> {
    let Some(meaning) = meaning(format) else { return Vec::new() };
    let set = entry & meaning.valid[usize::from(level > 1)] != 0;
    if set == meaning.invalid {
        // What the other bits mean is up to the kernel: swap, migration.
        return vec![if entry == 0 { "none" } else { "not-present" }.into()];
    }
    let huge_table = !leaf && (meaning.huge_table)(entry);
    let concerns = |bits: &&Bits| match bits.on {
        Any => true,
        Leaf => leaf,
        Page => leaf && level == 1,
        Huge => leaf && level > 1,
        Table => !leaf && !huge_table,
        HugeTable => huge_table,
    };
    let show = |bits: &Bits| {
        let value = entry >> bits.shift & ((1 << bits.width) - 1);
        match (value, bits.width) {
            (0, _) => None,
            (_, 1) => Some(bits.name.to_string()),
            (value, _) => Some(format!("{}={value}", bits.name)),
        }
    };
    let valid = meaning.invalid.then(|| "valid".to_string());
    valid.into_iter().chain(meaning.bits.iter().filter(concerns).filter_map(show)).collect()
}

/// What Linux calls an entry of `level`, where `top` is the highest one.
pub fn name(level: usize, top: usize) -> &'static str {
    match level {
        0 => "",
        1 => "pte",
        level if level == top => "pgd",
        2 => "pmd",
        3 => "pud",
        4 => "p4d",
        _ => "dir",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: PteFormat, entry: u64, level: usize, leaf: bool) -> String {
        flags(format, entry, level, leaf).join(" ")
    }

    #[test]
    fn entries_of_real_kernels_are_explained() {
        let huge = text(PteFormat::X86_64, 0x8000_0000_0100_01e3, 2, true);
        assert_eq!(huge, "present writable accessed dirty huge global nx");
        assert_eq!(text(PteFormat::X86_64, 0x7fd_2067, 4, false), "present writable user accessed");
        assert_eq!(text(PteFormat::Ia32, 0x0010_00e3, 2, true), "present writable accessed dirty huge");
        let page = text(PteFormat::Aarch64, 0x0078_0000_4021_0f93, 1, true);
        let expected = "valid page attr=4 read-only accessed not-global dirty-managed contiguous pxn uxn";
        assert_eq!(page, expected);
        assert_eq!(
            text(PteFormat::Riscv64, 0x2000_04eb, 2, true),
            "valid readable executable global accessed dirty"
        );
        assert_eq!(text(PteFormat::S390x, 0x0010_0200, 1, true), "valid protected");
        assert_eq!(
            text(PteFormat::Ppc64Radix, 0xc000_0000_0000_018f, 2, true),
            "valid leaf readable writable executable privileged changed referenced"
        );
    }

    #[test]
    fn each_generation_of_hash_tables_on_power_has_its_own_bits() {
        let page: u64 = 0x1234 << 30 | 0x0500_0000 | 0x3b7;
        let old = "present user executable coherent uncached dirty accessed writable";
        for (format, expected) in [
            (PteFormat::Ppc64LinuxRpn30, format!("{old} hashed=20480")),
            (PteFormat::Ppc64LinuxRpn17, old.to_string()),
            (PteFormat::Ppc64Linux3_10, old.to_string()),
            (PteFormat::Ppc64Linux4_5, "leaf present user guarded uncached dirty accessed writable".into()),
        ] {
            assert_eq!(text(format, page, 1, true), expected, "{format:?}");
        }
        assert_eq!(text(PteFormat::Ppc64LinuxRpn30, 0x3000_0401, 2, true), "present special combo 4k-pfn");
        let table = 0xc000_0000_0123_0000;
        for format in [PteFormat::Ppc64LinuxRpn30, PteFormat::Ppc64LinuxRpn17] {
            assert_eq!(text(format, table, 3, false), "table", "{format:?}");
            assert_eq!(text(format, 0x4000_0000_0123_002c, 3, false), "huge-size=11", "{format:?}");
        }
        for format in [PteFormat::Ppc64Linux4_6, PteFormat::Ppc64Linux4_7, PteFormat::Ppc64LinuxHash] {
            let page = text(format, 0xc000_0000_0000_018e, 1, true);
            assert_eq!(page, "valid leaf readable writable privileged changed referenced");
            assert_eq!(text(format, 0x8000_0000_0123_0000, 2, false), "");
            assert_eq!(text(format, 0x0123_0014, 2, false), "huge-size=5");
            assert_eq!(text(format, 0x4000_0000_0000_0001, 1, true), "not-present");
        }
        // Without its present bit this one is translated all the same.
        assert_eq!(text(PteFormat::Ppc64LinuxRpn30, 1 << 30, 1, true), "");
        assert_eq!(text(PteFormat::Ppc64Linux3_10, 1 << 30, 1, true), "not-present");
    }

    #[test]
    fn every_format_of_page_tables_has_a_meaning() {
        for format in PteFormat::ALL {
            let frames = matches!(format, PteFormat::None | PteFormat::Pfn32 | PteFormat::Pfn64);
            assert_eq!(meaning(format).is_none(), frames, "{format:?}");
        }
    }

    #[test]
    fn absent_entries_have_no_other_bits() {
        for (format, entry, expected) in [
            (PteFormat::X86_64, 0, "none"),
            (PteFormat::X86_64, 0x123_4500, "not-present"),
            (PteFormat::S390x, 1 << 10, "not-present"),
            (PteFormat::Arm, 0x1000, "not-present"),
            (PteFormat::LoongArch64, 0x1001, "not-present"),
            (PteFormat::Pfn64, 0, ""),
        ] {
            assert_eq!(text(format, entry, 1, false), expected, "{format:?}");
        }
    }

    #[test]
    fn levels_have_the_names_of_linux() {
        let names = |top| (1..=top).map(|level| name(level, top)).collect::<Vec<_>>();
        assert_eq!(names(2), ["pte", "pgd"]);
        assert_eq!(names(4), ["pte", "pmd", "pud", "pgd"]);
        assert_eq!(names(5), ["pte", "pmd", "pud", "p4d", "pgd"]);
    }
}
