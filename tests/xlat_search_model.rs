//! The four searches against a walk of every page, over random tables of every
//! format.

mod xlat_support;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, FullAddr, MapIndex, Method, MethodIndex, Next,
    PageBuf, PageTable, PagingForm, PteFormat, Result, Status, Step, System, Walker,
};
use xlat_support::Rng;

/// Tables of a level are at 2^20 times the steps to go at their entries.
const LEVEL_SHIFT: u32 = 20;

/// Memory full of tables: an entry follows from its address.
struct Tables {
    form: PagingForm,
    seed: u64,
    /// One entry of so many is absent.
    absent: u64,
}

impl Tables {
    fn entry(&self, addr: u64) -> u64 {
        use PteFormat::*;

        let mut rng = Rng(self.seed ^ (addr & 0xff_ffff).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let level = (addr >> LEVEL_SHIFT & 7).max(1);
        let form = &self.form;
        let page_shift = form.field(0);
        let is_absent = rng.below(self.absent) == 0;
        let is_huge = level > 1 && rng.below(4) == 0;
        let table = (level - 1) << LEVEL_SHIFT | rng.below(4) << 16;
        let page = rng.next() & 0xfff_f000;
        let is_table = level > 1 && !is_huge;
        let addr = if is_table { table } else { page };
        // Of a huge page directory.
        let size_code = if rng.below(20) == 0 { rng.below(16) } else { rng.below(9) } << 2;
        let directory = 1 << LEVEL_SHIFT | rng.below(4) << 16 | size_code;
        let frame = addr >> page_shift;
        let bit = |mask: u64, rng: &mut Rng| if rng.below(2) == 0 { mask } else { 0 };
        match form.format() {
            S390x if is_absent => {
                if level > 1 {
                    0x20
                } else {
                    0x400
                }
            }
            _ if is_absent => 0,
            Pfn32 | Pfn64 if level > 1 => table >> page_shift,
            Pfn32 | Pfn64 => 1 + frame,
            Aarch64 | Aarch64Lpa | Aarch64Lpa2 | ArmLpae => addr | if is_huge { 1 } else { 3 },
            Ia32 | Ia32Pae | X86_64 => addr | if is_huge { 0x81 } else { 1 },
            S390x => {
                let table_type = if level > 1 { (level - 2) << 2 } else { 0 };
                match level {
                    1 => addr,
                    2 | 3 if is_huge => addr & !0xfff | 0x400 | table_type,
                    2 => table | table_type,
                    _ => table | table_type | rng.below(3) << 6 | (1 + rng.below(3)),
                }
            }
            Arm if is_table => addr | 1,
            Arm if is_huge => addr & !(1 << 18) | 2 | bit(1 << 18, &mut rng),
            Arm => addr | (1 + rng.below(3)),
            Riscv32 | Riscv64 if is_table => addr >> 12 << 10 | 1,
            Riscv64 if level == 1 && rng.below(4) == 0 => (addr >> 16 << 14) | 8 << 10 | 0xf | 1 << 63,
            Riscv32 | Riscv64 => addr >> 12 << 10 | 0xf,
            Ppc64Radix if is_table => addr | 1 << 63 | u64::from(form.field(level as usize - 1)),
            Ppc64Radix => addr | 3 << 62,
            LoongArch64 if is_table => addr,
            LoongArch64 => addr | if is_huge { 0xc0 } else { 0x80 },
            Ppc64LinuxRpn30 | Ppc64LinuxRpn17 if is_table => addr | 0xc << 60,
            Ppc64LinuxRpn30 if is_huge && rng.below(2) == 0 => frame << 30 | 3,
            Ppc64LinuxRpn30 | Ppc64LinuxRpn17 if is_huge => directory,
            Ppc64LinuxRpn30 => frame << 30 | 0x391,
            Ppc64LinuxRpn17 => frame << 17 | bit(1, &mut rng),
            Ppc64Linux3_10 | Ppc64Linux4_5 if is_table => addr | 0xc << 60,
            Ppc64Linux3_10 | Ppc64Linux4_5 if is_huge && rng.below(2) == 0 => directory | 4,
            Ppc64Linux3_10 | Ppc64Linux4_5 => {
                let shift = match (form.format(), page_shift) {
                    (_, 16) => 30,
                    (Ppc64Linux4_5, _) => 18,
                    _ => 17,
                };
                frame << shift | 1 | bit(2, &mut rng)
            }
            Ppc64Linux4_6 | Ppc64Linux4_7 | Ppc64LinuxHash if is_table => addr,
            Ppc64LinuxHash if is_huge && rng.below(2) == 0 => directory | 4,
            Ppc64Linux4_6 | Ppc64Linux4_7 | Ppc64LinuxHash => addr | 3 << 62,
            other => panic!("{other:?} has no entries"),
        }
    }
}

impl Callbacks for Tables {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::KPHYS | Caps::KVIRT
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let entry = self.entry(addr.addr);
        Ok(match self.form.format().pteval_shift() {
            Some(2) => PageBuf::new(addr, ByteOrder::Big, (entry as u32).to_be_bytes()),
            _ => PageBuf::new(addr, ByteOrder::Big, entry.to_be_bytes()),
        })
    }
}

/// Small spaces of each format.
fn forms() -> Vec<PagingForm> {
    use PteFormat::*;

    let mut forms = Vec::new();
    for format in PteFormat::ALL {
        let all: &[&[u16]] = match format {
            None => continue,
            Aarch64Lpa | Ppc64LinuxRpn30 => &[&[16, 2, 2, 2], &[16, 3, 2], &[16, 1, 2, 1, 2]],
            Ppc64LinuxHash | Ppc64Linux3_10 | Ppc64Linux4_5 | Ppc64Linux4_6 | Ppc64Linux4_7 => {
                &[&[16, 2, 2, 2], &[12, 2, 2, 2], &[12, 4, 1, 2], &[16, 1, 2, 1, 2]]
            }
            Arm => &[&[12, 2, 3], &[12, 4, 5]],
            Ia32 | Riscv32 => &[&[12, 3, 3], &[12, 1, 5]],
            S390x => &[&[12, 2, 3], &[12, 2, 2, 2], &[12, 1, 2, 2, 3], &[12, 1, 1, 3, 2, 2]],
            _ => &[&[12, 2, 2, 2], &[12, 3, 2], &[12, 4, 2, 1], &[12, 1, 2, 1, 2, 1]],
        };
        forms.extend(all.iter().map(|fields| PagingForm::new(format, fields).unwrap()));
    }
    forms
}

/// What a walk says of each page.
struct Pages {
    shift: u32,
    pages: Vec<Result<u64, Status>>,
}

impl Pages {
    fn at(&self, number: u64) -> &Result<u64, Status> {
        &self.pages[number as usize]
    }

    fn first_where(
        &self,
        mut numbers: impl Iterator<Item = u64>,
        wanted: impl Fn(&Result<u64, Status>) -> bool,
    ) -> Result<Option<u64>, Status> {
        for number in numbers.by_ref() {
            match self.at(number) {
                page if wanted(page) => return Ok(Some(number)),
                Err(status) if *status != Status::NotPresent => return Err(*status),
                _ => {}
            }
        }
        Ok(None)
    }

    fn numbers(&self, first: u64, last: u64) -> std::ops::Range<u64> {
        let end = (last >> self.shift).saturating_add(1).min(self.pages.len() as u64);
        first >> self.shift..end
    }

    fn lowest_mapped(&self, first: u64, last: u64) -> Result<Option<u64>, Status> {
        self.first_where(self.numbers(first, last), Result::is_ok)
    }

    fn lowest_unmapped(&self, first: u64, last: u64) -> Result<Option<u64>, Status> {
        self.first_where(self.numbers(first, last), |page| *page == Err(Status::NotPresent))
    }

    fn highest_mapped(&self, first: u64, last: u64) -> Result<Option<u64>, Status> {
        // A page counts by its last byte.
        self.first_where(self.numbers(first, last).rev(), Result::is_ok)
    }

    /// The last page of the linear run from `first` on; that it goes to the end
    /// of the range, or beyond it, is told by none.
    fn highest_linear(&self, first: u64, last: u64, offset: u64) -> Result<Option<u64>, Status> {
        let mut next = first;
        let mut result = Err(Status::NotPresent);
        while let Some(start) = self.lowest_mapped(next, last)? {
            let virt = start << self.shift;
            if *self.at(start) != Ok(virt.wrapping_add(offset)) {
                return result;
            }
            let Some(end) = self.lowest_unmapped(virt, last)? else { return Ok(None) };
            result = Ok(Some(end - 1));
            next = end << self.shift;
        }
        result
    }

    /// What is from the page behind `first` up to `end`, which is beyond the
    /// limit, belongs to one page that is mapped.
    fn assert_mapped(&self, first: u64, end: u64, what: &str) {
        for number in (first >> self.shift) + 1..(end >> self.shift).min(self.pages.len() as u64) {
            assert!(self.at(number).is_ok(), "{what}: {number:#x} is not mapped");
        }
    }
}

/// The status, or nothing.
fn status<T>(result: Result<T>) -> Result<T, Status> {
    result.map_err(|error| error.status())
}

#[test]
fn searches_find_what_a_walk_of_every_page_finds() {
    let mut rng = Rng(3);
    for form in forms() {
        let (mut found, mut failed) = ([0; 4], 0);
        for round in 0..60 {
            let tables = Tables { form, seed: rng.next(), absent: [2, 3, 8, 40, 1000][round % 5] };
            let what = format!("{form:?} {:#x} {}", tables.seed, tables.absent);
            let root = FullAddr::kphys(u64::from(form.nfields() - 1) << LEVEL_SHIFT);
            let pgt = Method::page_table(AddrSpace::KPHYS, PageTable::new(root, form));
            let mut sys = System::new();
            sys.set_method(MethodIndex::PGT, pgt);
            sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
            let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(tables))));
            let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
            let shift = form.field(0);
            let page = (1 << shift) - 1;
            // Where the top bit must be repeated, only the lower half.
            let mut count = 1_u64 << (form.virt_bits() - shift);
            if walker.launch(&mut Step::default(), (count / 2) << shift).is_err() {
                count /= 2;
            }
            let walk = |number| {
                let mut step = Step::new(FullAddr::kvirt(number << shift));
                status(walker.walk(&mut step)).map(|()| step.base.addr)
            };
            let pages = Pages { shift, pages: (0..count).map(walk).collect() };
            let end = count << shift;
            for _ in 0..12 {
                let (a, b) = (rng.below(end), rng.below(end));
                let (a, b) = (a.min(b), a.max(b));
                let what = format!("{what}: {a:#x} to {b:#x}");

                let mut at = a;
                let result = status(walker.lowest_mapped(&mut at, b)).map(|step| step.base.addr);
                let expected = pages.lowest_mapped(a, b);
                match expected {
                    Ok(Some(number)) => {
                        assert_eq!((result, at), (*pages.at(number), number << shift), "{what}")
                    }
                    Ok(None) => assert_eq!(result, Err(Status::NotPresent), "lowest mapped {what}"),
                    Err(error) => assert_eq!(result, Err(error), "lowest mapped {what}"),
                }
                found[0] += u32::from(matches!(expected, Ok(Some(_))));
                failed += u32::from(expected.is_err());

                let mut at = b;
                let result = status(walker.highest_mapped(&mut at, a)).map(|step| step.base.addr);
                match pages.highest_mapped(a, b) {
                    Ok(Some(number)) => {
                        let phys = pages.at(number).map(|phys| phys + page);
                        assert_eq!((result, at), (phys, number << shift | page), "highest mapped {what}");
                        found[1] += 1;
                    }
                    Ok(None) => assert_eq!(result, Err(Status::NotPresent), "highest mapped {what}"),
                    Err(error) => assert_eq!(result, Err(error), "highest mapped {what}"),
                }

                // Also with a limit that is not in the space any more.
                let limit = if rng.below(4) == 0 { u64::MAX } else { b };
                let mut at = a;
                let result = status(walker.lowest_unmapped(&mut at, limit));
                match pages.lowest_unmapped(a, limit) {
                    Ok(Some(number)) => {
                        assert_eq!((result, at), (Ok(()), number << shift), "lowest unmapped {what}");
                        found[2] += 1;
                    }
                    Ok(None) => {
                        assert_eq!(result, Err(Status::NotPresent), "lowest unmapped {what}");
                        assert!(at > limit.min(end - 1), "lowest unmapped {what}: {at:#x}");
                        pages.assert_mapped(b, at, &what);
                    }
                    Err(error) => assert_eq!(result, Err(error), "lowest unmapped {what}"),
                }

                let first = pages.lowest_mapped(a, b).ok().flatten();
                let offset = first.map_or(0, |number| {
                    pages.at(number).expect("it is mapped").wrapping_sub(number << shift)
                });
                let mut at = a;
                let result = status(walker.highest_linear(&mut at, b, offset));
                match pages.highest_linear(a, b, offset) {
                    Ok(Some(number)) => {
                        assert_eq!((result, at), (Ok(()), number << shift | page), "linear {what}");
                        found[3] += 1;
                    }
                    Ok(None) => {
                        assert_eq!(result, Ok(()), "linear {what}");
                        assert!(at >= b, "linear {what}: {at:#x}");
                        pages.assert_mapped(b, at + 1, &what);
                    }
                    Err(error) => assert_eq!(result, Err(error), "linear {what}"),
                }
            }
        }
        assert!(found.iter().all(|&found| found > 60), "{form:?} {found:?} {failed}");
    }
}
