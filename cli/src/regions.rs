//! Parts of the kernel's address space that have a purpose.
//!
//! | known by | for example |
//! | --- | --- |
//! | methods of translation | direct map, kernel text |
//! | numbers in VMCOREINFO | `NUMBER(VMALLOC_START)` |
//! | variables of the kernel | `vmalloc_base` of x86_64 |
//! | the kernel's documentation | fixmap, EFI: places that were never moved |
//!
//! The first that names a region is believed. The last one takes care to say
//! nothing of kernels that randomise their layout: whether this one did shows
//! where its direct map is.

use kdumpfile::xlat::{Kind, MapIndex, MethodIndex, PagingForm, PteFormat};
use kdumpfile::{Context, Space};

use crate::translation::Tables;

/// A part of the address space with a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub name: &'static str,
    pub first: u64,
    pub last: Option<u64>,
    pub source: String,
}

/// Methods that stand for a region.
const METHODS: [(MethodIndex, &str, &str); 3] = [
    (MethodIndex::DIRECT, DIRECT, "DIRECT"),
    (MethodIndex::KTEXT, "kernel text", "KTEXT"),
    (MethodIndex::VMEMMAP, VMEMMAP, "VMEMMAP"),
];

const DIRECT: &str = "direct map";
const MODULES: &str = "modules";
const VMALLOC: &str = "vmalloc";
const VMEMMAP: &str = "vmemmap";
const IMAGE: &str = "kernel image";
const LOWCORE: &str = "lowcore";

/// Regions whose bounds the kernel exports as numbers; the end is the first
/// address behind.
const NUMBERS: [(&str, &str, &str); 4] = [
    (MODULES, "MODULES_VADDR", "MODULES_END"),
    (VMALLOC, "VMALLOC_START", "VMALLOC_END"),
    (VMEMMAP, "VMEMMAP_START", "VMEMMAP_END"),
    (IMAGE, "KERNEL_LINK_ADDR", ""),
];

/// Variables of x86_64 that hold the first address of a region.
const VARIABLES: [(&str, &str); 2] = [(VMALLOC, "vmalloc_base"), (VMEMMAP, "vmemmap_base")];

/// The regions of a dump, by ascending address.
pub fn regions(context: &Context, tables: &Tables) -> Vec<Region> {
    let mut regions = Vec::new();
    let map = tables.system.map(MapIndex::KvPhys).or(tables.system.map(MapIndex::Hw));
    for range in map.iter().flat_map(|map| map.ranges()) {
        if let Some((_, name, method)) = METHODS.iter().find(|row| row.0 == range.method) {
            let source = format!("method {method}");
            regions.push(Region { name, first: range.first, last: Some(range.last), source });
        }
    }
    let os = context.string("addrxlat.ostype").unwrap_or_default();
    let number = |name: &str| context.number(&format!("{os}.vmcoreinfo.NUMBER.{name}")).ok();
    for (name, first, end) in NUMBERS {
        if let Some(start) = number(first) {
            let last = number(end).map(|end| end.wrapping_sub(1)).filter(|last| *last >= start);
            regions.push(Region { name, first: start, last, source: format!("NUMBER({first})") });
        }
    }
    let arch = context.string("arch.name").unwrap_or_default();
    if arch == "x86_64" {
        for (name, variable) in VARIABLES {
            let mut bytes = [0; 8];
            if let Ok(address) = context.symbol_value(variable)
                && context.read(Space::KernelVirtual, address, &mut bytes).is_ok()
            {
                let first = u64::from_le_bytes(bytes);
                regions.push(Region { name, first, last: None, source: variable.into() });
            }
        }
    }
    let form = tables.system.method(MethodIndex::PGT).and_then(|method| match &method.kind {
        Kind::Pgt(table) => Some(table.form),
        _ => None,
    });
    let direct = regions.iter().find(|region| region.name == DIRECT).map(|region| region.first);
    let line = |name: &str| {
        let text = context.string(&format!("{os}.vmcoreinfo.lines.{name}")).ok()?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    let facts = Facts {
        os: &os,
        arch: &arch,
        version: context.number(&format!("{os}.version_code")).ok(),
        form,
        direct,
        page_struct: context.number(&format!("{os}.vmcoreinfo.SIZE.page")).ok(),
        number: &number,
        line: &line,
    };
    let fixed = documented(&facts);
    add(&mut regions, fixed);
    regions.sort_by_key(|region| region.first);
    regions
}

/// Adds what is not known yet, and ends where only they are missing.
fn add(regions: &mut Vec<Region>, more: Vec<Region>) {
    for region in more {
        match regions.iter_mut().find(|known| known.name == region.name) {
            None => regions.push(region),
            Some(known) if known.first == region.first => known.last = known.last.or(region.last),
            Some(_) => {}
        }
    }
}

/// What the documented layout of a kernel depends on.
struct Facts<'a> {
    os: &'a str,
    arch: &'a str,
    /// As [`version`] packs it.
    version: Option<u64>,
    form: Option<PagingForm>,
    /// Where the direct map begins.
    direct: Option<u64>,
    /// Bytes of a `struct page`.
    page_struct: Option<u64>,
    /// Numbers in VMCOREINFO.
    number: &'a dyn Fn(&str) -> Option<u64>,
    /// Lines of VMCOREINFO that are hexadecimal numbers.
    line: &'a dyn Fn(&str) -> Option<u64>,
}

impl Facts<'_> {
    fn since(&self, major: u64, minor: u64) -> bool {
        self.version.is_some_and(|found| found >= version(major, minor))
    }

    fn before(&self, major: u64, minor: u64) -> bool {
        self.version.is_some_and(|found| found < version(major, minor))
    }

    fn format(&self) -> Option<PteFormat> {
        self.form.map(|form| form.format())
    }

    /// log2 of the page size of the page tables.
    fn page_shift(&self) -> Option<u32> {
        self.form.map(|form| form.field(0))
    }
}

/// A version of Linux as attribute `linux.version_code` has it.
const fn version(major: u64, minor: u64) -> u64 {
    major << 16 | minor << 8
}

/// Regions at places that documentation gives for this kernel.
fn documented(facts: &Facts<'_>) -> Vec<Region> {
    let (source, rows) = match (facts.os, facts.arch) {
        ("linux", "x86_64") => ("Documentation/arch/x86/x86_64/mm.rst", x86_64(facts)),
        ("linux", "aarch64") => ("Documentation/arch/arm64/memory.rst", aarch64(facts)),
        ("linux", "riscv64") => ("Documentation/arch/riscv/vm-layout.rst", riscv64(facts)),
        ("linux", "ppc64") => ("arch/powerpc/include/asm/book3s/64", ppc64(facts)),
        ("linux", "s390x") => ("VMCOREINFO", s390x(facts)),
        ("linux", "loongarch64") => ("arch/loongarch/include/asm/addrspace.h", loongarch64()),
        ("xen", "x86_64") => ("xen/arch/x86/include/asm/config.h", xen()),
        _ => return Vec::new(),
    };
    let region = |(name, first, last)| {
        let source = if name == LOWCORE { "z/Architecture" } else { source };
        Region { name, first, last, source: source.into() }
    };
    rows.into_iter().map(region).collect()
}

/// Name, first and last address; none where the end is not known.
type Row = (&'static str, u64, Option<u64>);

const fn row(name: &'static str, first: u64, last: u64) -> Row {
    (name, first, Some(last))
}

/// The direct map of x86_64 where it is not randomised: since 4.20 with 4
/// levels and with 5, and since 2.6.31.
const X86_64_DIRECT: u64 = 0xffff_8880_0000_0000;
const X86_64_DIRECT_5: u64 = 0xff11_0000_0000_0000;
const X86_64_DIRECT_OLD: u64 = 0xffff_8800_0000_0000;

/// Where the kernel's text is linked, and for how many bytes of it there is
/// room unless VMCOREINFO says otherwise.
const X86_64_TEXT: u64 = 0xffff_ffff_8000_0000;
const X86_64_IMAGE: u64 = 512 << 20;

fn x86_64(facts: &Facts<'_>) -> Vec<Row> {
    let five_levels = facts.form.is_some_and(|form| form.nfields() == 6);
    let modern = facts.since(4, 20)
        || matches!(facts.direct, Some(X86_64_DIRECT)) && !facts.before(4, 20)
        || five_levels && matches!(facts.direct, Some(X86_64_DIRECT_5)) && !facts.before(4, 20);
    // What came before 2.6.31 had other places.
    let older = facts.version.is_some_and(|found| found < version(2, 6) + 31);
    let mut rows = Vec::new();
    // A base that was randomised is elsewhere, by chance or not at all.
    match facts.direct {
        Some(X86_64_DIRECT_5) if five_levels => rows.extend([
            row(VMALLOC, 0xffa0_0000_0000_0000, 0xffd1_ffff_ffff_ffff),
            row(VMEMMAP, 0xffd4_0000_0000_0000, 0xffd5_ffff_ffff_ffff),
        ]),
        Some(X86_64_DIRECT | X86_64_DIRECT_OLD) if !five_levels && !older => rows.extend([
            row(VMALLOC, 0xffff_c900_0000_0000, 0xffff_e8ff_ffff_ffff),
            row(VMEMMAP, 0xffff_ea00_0000_0000, 0xffff_eaff_ffff_ffff),
        ]),
        _ => {}
    }
    if modern {
        rows.push(match five_levels {
            true => row("LDT remap", 0xff10_0000_0000_0000, 0xff10_ffff_ffff_ffff),
            false => row("LDT remap", 0xffff_8800_0000_0000, 0xffff_887f_ffff_ffff),
        });
        rows.push(row("cpu entry area", 0xffff_fe00_0000_0000, 0xffff_fe7f_ffff_ffff));
    }
    if modern || facts.since(3, 16) {
        rows.extend([
            row("espfix stacks", 0xffff_ff00_0000_0000, 0xffff_ff7f_ffff_ffff),
            row("EFI", 0xffff_ffef_0000_0000, 0xffff_fffe_ffff_ffff),
        ]);
    }
    let image = (facts.number)("KERNEL_IMAGE_SIZE").filter(|size| (1 << 20..=1 << 30).contains(size));
    rows.extend([
        row(MODULES, X86_64_TEXT + image.unwrap_or(X86_64_IMAGE), 0xffff_ffff_feff_ffff),
        row("fixmap", 0xffff_ffff_ff00_0000, 0xffff_ffff_ff5f_ffff),
        row("vsyscall", 0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_0fff),
    ]);
    rows
}

/// Bytes of the area of modules on 64-bit Arm before 6.5, and of the one of BPF
/// in front of it.
const AARCH64_MODULES: u64 = 128 << 20;
/// The size of a `struct page` where VMCOREINFO does not say it.
const PAGE_STRUCT: u64 = 64;

/// The first of the last 2^`bits` addresses.
const fn minus(bits: u32) -> u64 {
    if bits >= 64 { 0 } else { u64::MAX << bits }
}

fn aarch64(facts: &Facts<'_>) -> Vec<Row> {
    let (Some(form), true) = (facts.form, facts.since(4, 6) && facts.before(5, 18)) else {
        // What came later exports where everything is.
        return Vec::new();
    };
    // The width that the kernel was built for, which the machine may lack.
    let bits =
        (facts.number)("VA_BITS").and_then(|bits| u32::try_from(bits).ok()).unwrap_or(form.virt_bits());
    let page_shift = form.field(0);
    let page_struct = facts.page_struct.filter(|size| (32..=256).contains(size)).unwrap_or(PAGE_STRUCT);
    let Some(shift) = page_shift.checked_sub(page_struct.next_power_of_two().trailing_zeros()) else {
        return Vec::new();
    };
    if !(36..=52).contains(&bits) {
        return Vec::new();
    }
    let page_end = minus(bits.min(48) - 1);
    let mut rows = Vec::new();
    if !facts.before(5, 11) {
        // Before, KASAN may have taken the place of modules.
        let bpf = if facts.before(5, 17) { AARCH64_MODULES } else { 0 };
        let modules = page_end + bpf;
        if bpf > 0 {
            rows.push(row("BPF", page_end, modules - 1));
        }
        rows.push(row(MODULES, modules, modules + AARCH64_MODULES - 1));
        rows.push((VMEMMAP, minus(bits - shift), None));
    } else if facts.before(5, 4) {
        let page_offset = minus(bits - 1);
        rows.push(row(VMEMMAP, page_offset - (1 << (bits - 1 - shift)), page_offset - 1));
    } else {
        let size = page_end.wrapping_sub(minus(bits)) >> shift;
        let end = (2_u64 << 20).wrapping_neg();
        rows.push(row(VMEMMAP, end - size, end - 1));
    }
    rows
}

fn riscv64(facts: &Facts<'_>) -> Vec<Row> {
    match facts.since(5, 13) {
        true => Vec::from([row(IMAGE, 0xffff_ffff_8000_0000, u64::MAX)]),
        false => Vec::new(),
    }
}

fn ppc64(facts: &Facts<'_>) -> Vec<Row> {
    let radix = facts.format() == Some(PteFormat::Ppc64Radix);
    let of_64k = facts.page_shift() == Some(16);
    if facts.before(5, 2) && facts.form.is_some() && !radix {
        return Vec::from([
            row(VMALLOC, 0xd000_0000_0000_0000, 0xd000_07ff_ffff_ffff),
            row("I/O", 0xd000_0800_0000_0000, 0xd000_0fff_ffff_ffff),
            (VMEMMAP, 0xf000_0000_0000_0000, None),
        ]);
    }
    match facts.since(5, 2) && (radix || of_64k) {
        true => Vec::from([
            row(VMALLOC, 0xc008_0000_0000_0000, 0xc009_ffff_ffff_ffff),
            row("I/O", 0xc00a_0000_0000_0000, 0xc00b_ffff_ffff_ffff),
            (VMEMMAP, 0xc00c_0000_0000_0000, None),
        ]),
        false => Vec::new(),
    }
}

fn s390x(facts: &Facts<'_>) -> Vec<Row> {
    let line = |name: &str| (facts.line)(name);
    let mut rows = Vec::from([row(LOWCORE, 0, 0x1fff)]);
    if let (Some(start), Some(end)) = (line("SAMODE31"), line("EAMODE31"))
        && start < end
    {
        rows.push(row("31-bit code", start, end - 1));
    }
    // Without the physical address the kernel is where it would be without
    // virtual memory.
    if line("KERNELOFFPHYS").is_some() {
        rows.extend(line("KERNELOFFSET").map(|start| (IMAGE, start, None)));
        rows.extend(line("IDENTITYBASE").map(|start| ("identity map", start, None)));
    }
    rows
}

fn loongarch64() -> Vec<Row> {
    Vec::from([
        row("uncached window", 0x8000_0000_0000_0000, 0x8000_ffff_ffff_ffff),
        ("modules, vmalloc", 0xffff_8000_0000_0000, None),
    ])
}

fn xen() -> Vec<Row> {
    Vec::from([row("machine to phys", 0xffff_8000_0000_0000, 0xffff_803f_ffff_ffff)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Facts<'_> = Facts {
        os: "linux",
        arch: "",
        version: None,
        form: None,
        direct: None,
        page_struct: None,
        number: &|_| None,
        line: &|_| None,
    };

    fn form(format: PteFormat, fields: &[u16]) -> Option<PagingForm> {
        Some(PagingForm::new(format, fields).unwrap())
    }

    fn text(facts: &Facts<'_>) -> Vec<String> {
        let last = |last: Option<u64>| last.map_or("?".into(), |last| format!("{last:x}"));
        documented(facts)
            .iter()
            .map(|row| format!("{} {:x}-{}", row.name, row.first, last(row.last)))
            .collect()
    }

    const MOVED: [&str; 2] = ["vmalloc", "vmemmap"];

    #[test]
    fn x86_64_with_four_levels_is_that_of_its_documentation() {
        let four = form(PteFormat::X86_64, &[12, 9, 9, 9, 9]);
        let facts = Facts { arch: "x86_64", version: Some(version(6, 1)), form: four, ..NOTHING };
        let fixed = text(&facts);
        assert_eq!(
            fixed,
            [
                "LDT remap ffff880000000000-ffff887fffffffff",
                "cpu entry area fffffe0000000000-fffffe7fffffffff",
                "espfix stacks ffffff0000000000-ffffff7fffffffff",
                "EFI ffffffef00000000-fffffffeffffffff",
                "modules ffffffffa0000000-fffffffffeffffff",
                "fixmap ffffffffff000000-ffffffffff5fffff",
                "vsyscall ffffffffff600000-ffffffffff600fff",
            ]
        );
        let moved = text(&Facts { direct: Some(0xffff_9b40_0000_0000), ..facts });
        assert_eq!(moved, fixed, "a randomised layout says nothing of vmalloc");
        let in_place = text(&Facts { direct: Some(X86_64_DIRECT), ..facts });
        assert_eq!(
            in_place[..2],
            ["vmalloc ffffc90000000000-ffffe8ffffffffff", "vmemmap ffffea0000000000-ffffeaffffffffff"]
        );
        assert_eq!(in_place[2..], fixed);
        let large =
            text(&Facts { number: &|name| (name == "KERNEL_IMAGE_SIZE").then_some(1 << 30), ..facts });
        assert_eq!(large[4], "modules ffffffffc0000000-fffffffffeffffff");
        // A size that cannot be is none.
        assert_eq!(text(&Facts { number: &|_| Some(u64::MAX), ..facts }), fixed);
    }

    #[test]
    fn what_the_kernel_exports_goes_before_what_is_documented() {
        let region = |name, first, last| Region { name, first, last, source: String::new() };
        let mut known = vec![region("a", 1, None), region("b", 3, None), region("c", 5, Some(6))];
        let more = [("a", 1, 2), ("b", 4, 9), ("c", 5, 9), ("d", 7, 8)];
        add(&mut known, more.map(|(name, first, last)| region(name, first, Some(last))).into());
        let expected = [("a", 1, Some(2)), ("b", 3, None), ("c", 5, Some(6)), ("d", 7, Some(8))];
        assert_eq!(known, expected.map(|(name, first, last)| region(name, first, last)));
    }

    #[test]
    fn x86_64_with_five_levels_has_its_own_places() {
        let five = form(PteFormat::X86_64, &[12, 9, 9, 9, 9, 9]);
        let facts = Facts {
            arch: "x86_64",
            version: Some(version(6, 12)),
            form: five,
            direct: Some(X86_64_DIRECT_5),
            ..NOTHING
        };
        assert_eq!(
            text(&facts)[..4],
            [
                "vmalloc ffa0000000000000-ffd1ffffffffffff",
                "vmemmap ffd4000000000000-ffd5ffffffffffff",
                "LDT remap ff10000000000000-ff10ffffffffffff",
                "cpu entry area fffffe0000000000-fffffe7fffffffff",
            ]
        );
        let moved = text(&Facts { direct: Some(0xff29_4000_0000_0000), ..facts });
        assert!(!moved.iter().any(|row| MOVED.iter().any(|name| row.starts_with(name))), "{moved:?}");
    }

    #[test]
    fn old_or_unknown_x86_64_kernels_have_only_what_never_moved() {
        let four = form(PteFormat::X86_64, &[12, 9, 9, 9, 9]);
        let facts = Facts { arch: "x86_64", form: four, ..NOTHING };
        assert_eq!(text(&facts).len(), 3, "modules, fixmap, vsyscall");
        let old = Facts { direct: Some(X86_64_DIRECT_OLD), version: Some(version(4, 4)), ..facts };
        assert_eq!(text(&old).len(), 3 + 2 + 2);
        let older = Facts { version: Some(version(2, 6) + 27), ..old };
        assert_eq!(text(&older).len(), 3);
        // Where it is tells what kernel it is.
        assert_eq!(text(&Facts { direct: Some(X86_64_DIRECT), ..facts }).len(), 3 + 2 + 2 + 2);
    }

    #[test]
    fn aarch64_before_it_exported_its_regions() {
        let facts = |minor, bits: &[u16]| {
            let form = form(PteFormat::Aarch64, bits);
            text(&Facts { arch: "aarch64", version: Some(version(5, minor)), form, ..NOTHING })
        };
        let of_48 = [12, 9, 9, 9, 9];
        // As NUMBER() of the later 6.1 says, whose layout is that of 5.17.
        assert_eq!(
            facts(17, &of_48),
            ["modules ffff800000000000-ffff800007ffffff", "vmemmap fffffc0000000000-?"]
        );
        assert_eq!(
            facts(15, &of_48),
            [
                "BPF ffff800000000000-ffff800007ffffff",
                "modules ffff800008000000-ffff80000fffffff",
                "vmemmap fffffc0000000000-?"
            ]
        );
        // Documentation/arm64/memory.rst of 5.4: 2 TiB in front of the last 2 MiB.
        assert_eq!(facts(4, &of_48), ["vmemmap fffffdffffe00000-ffffffffffdfffff"]);
        assert_eq!(facts(0, &of_48), ["vmemmap ffff7e0000000000-ffff7fffffffffff"]);
        assert_eq!(facts(18, &of_48), [""; 0], "NUMBER() says all");
        assert_eq!(facts(17, &[12]), [""; 0]);
        let odd = Facts {
            arch: "aarch64",
            version: Some(version(5, 17)),
            form: form(PteFormat::Aarch64, &of_48),
            page_struct: Some(4096),
            number: &|_| Some(u64::MAX),
            ..NOTHING
        };
        // What cannot be is as if it were not said.
        assert_eq!(text(&odd), facts(17, &of_48));
    }

    #[test]
    fn places_of_other_architectures() {
        let at = |arch, major, minor, form| {
            text(&Facts { arch, version: Some(version(major, minor)), form, ..NOTHING })
        };
        let radix = form(PteFormat::Ppc64Radix, &[16, 5, 9, 9, 13]);
        let hash = form(PteFormat::Ppc64LinuxHash, &[16, 8, 10, 10, 8]);
        let of_4k = form(PteFormat::Ppc64LinuxHash, &[12, 9, 7, 9, 9]);
        assert_eq!(
            at("ppc64", 6, 1, radix),
            [
                "vmalloc c008000000000000-c009ffffffffffff",
                "I/O c00a000000000000-c00bffffffffffff",
                "vmemmap c00c000000000000-?"
            ]
        );
        assert_eq!(at("ppc64", 6, 1, hash), at("ppc64", 6, 1, radix));
        assert_eq!(at("ppc64", 6, 1, of_4k), [""; 0]);
        assert_eq!(at("ppc64", 5, 1, hash)[0], "vmalloc d000000000000000-d00007ffffffffff");
        assert_eq!(at("ppc64", 5, 1, radix), [""; 0]);
        assert_eq!(at("riscv64", 5, 13, None), ["kernel image ffffffff80000000-ffffffffffffffff"]);
        assert_eq!(at("riscv64", 5, 12, None), [""; 0]);
        assert_eq!(at("loongarch64", 6, 1, None).len(), 2);
        assert_eq!(at("s390x", 6, 1, None), ["lowcore 0-1fff"]);
        assert_eq!(at("m68k", 6, 1, None), [""; 0]);
        let lines = |name: &str| {
            let rows = [("SAMODE31", 0x2000), ("EAMODE31", 0x5000), ("KERNELOFFSET", 0x3ff_e000_0000)];
            let moved = [("KERNELOFFPHYS", 0x10_0000), ("IDENTITYBASE", 0x1000_0000_0000)];
            rows.into_iter().chain(moved).find(|row| row.0 == name).map(|row| row.1)
        };
        assert_eq!(
            text(&Facts { arch: "s390x", line: &lines, ..NOTHING }),
            [
                "lowcore 0-1fff",
                "31-bit code 2000-4fff",
                "kernel image 3ffe0000000-?",
                "identity map 100000000000-?"
            ]
        );
        assert_eq!(text(&Facts { os: "xen", arch: "x86_64", ..NOTHING }).len(), 1);
    }
}
