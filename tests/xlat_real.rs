//! Page tables of real kernels, against what the emulator found in them.
//!
//! The parameters of each kernel are given here; finding them is another task.

mod xlat_support;

use std::path::PathBuf;

use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, MapIndex, Method, MethodIndex, Next,
    PageBuf, PageTable, PagingForm, PteFormat, Result, Status, System,
};
use kdumpfile::{Context, Space};
use kdumpfile_testkit::dumps::real_dump;

/// The pages of a dump.
struct Dump {
    context: Lock<Context>,
    order: ByteOrder,
    page_size: u64,
}

impl Callbacks for Dump {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::MACHPHYS
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let start = FullAddr { addr: addr.addr & !(self.page_size - 1), ..addr };
        let mut bytes = vec![0; self.page_size as usize];
        let read = self.context.lock().read(Space::MachinePhysical, start.addr, &mut bytes);
        read.map_err(|error| Error::from_dump(&error))?;
        Ok(PageBuf::new(start, self.order, bytes))
    }
}

#[cfg(feature = "std")]
fn open(files: &[PathBuf]) -> Context {
    let dump = Context::new();
    dump.open_paths(files).unwrap();
    dump
}

#[cfg(not(feature = "std"))]
fn open(files: &[PathBuf]) -> Context {
    use kdumpfile::io::Source;

    let dump = Context::new();
    let sources = files.iter().map(|file| Shared::new(std::fs::read(file).unwrap()) as Source);
    dump.open(sources.collect()).unwrap();
    dump
}

/// A system that sends all virtual addresses through page tables at `root`.
fn system(format: PteFormat, fields: &[u16], root: u64) -> System {
    let table = PageTable::new(FullAddr::machphys(root), PagingForm::new(format, fields).unwrap());
    let mut sys = System::new();
    sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::MACHPHYS, table));
    sys.map_mut(MapIndex::Hw).set(0, u64::MAX, MethodIndex::PGT).unwrap();
    sys
}

fn ctx(context: Context) -> Ctx {
    let order = match context.number("arch.byte_order") {
        Ok(0) => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let page_size = context.number("arch.page_size").unwrap();
    let dump = Dump { context: Lock::new(context), order, page_size };
    Ctx::new(Shared::new(Chain::with_base(Shared::new(dump))))
}

fn check_against_emulator(name: &str, format: PteFormat, fields: &[u16]) {
    let Some(dump) = real_dump(name) else {
        eprintln!("skipped: no {name}");
        return;
    };
    let translations = dump.truth().emulator_translations();
    let root = translations.iter().find(|entry| entry.name == "swapper_pg_dir").unwrap();
    let sys = system(format, fields, root.kphys.unwrap());
    let ctx = ctx(open(&dump.files));
    // Forth and back, so that what is remembered is used too.
    for entry in translations.iter().chain(translations.iter().rev()) {
        // One processor's view of its prefix area is not that of its tables.
        if format == PteFormat::S390x && entry.kvaddr < 0x2000 {
            continue;
        }
        let found = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(entry.kvaddr));
        let found = found.map(|addr| addr.addr).map_err(|error| error.status());
        assert_eq!(
            found,
            entry.kphys.ok_or(Status::NotPresent),
            "{name}: {} {:#x}",
            entry.name,
            entry.kvaddr
        );
    }
    println!("{name}: {} addresses", translations.len());
}

#[test]
fn tables_of_x86_64_say_what_the_emulator_says() {
    check_against_emulator("x86_64-6.1.kdump-zlib-d31", PteFormat::X86_64, &[12, 9, 9, 9, 9]);
}

#[test]
fn tables_of_arm64_say_what_the_emulator_says() {
    check_against_emulator("arm64-6.1.kdump-zlib-d31", PteFormat::Aarch64, &[12, 9, 9, 9, 9]);
}

#[test]
fn tables_of_i386_with_pae_say_what_the_emulator_says() {
    check_against_emulator("i386-pae-6.1.qemu-kdump-zlib", PteFormat::Ia32Pae, &[12, 9, 9, 2]);
}

#[test]
fn tables_of_s390x_say_what_the_emulator_says() {
    check_against_emulator("s390x-6.1.qemu-kdump-zlib", PteFormat::S390x, &[12, 8, 11, 11]);
}

#[test]
fn radix_tree_of_ppc64_maps_its_linear_part_linearly() {
    let name = "kdump-ppc64el.kdump-zlib-d31";
    let Some(dump) = real_dump(name) else {
        eprintln!("skipped: no {name}");
        return;
    };
    const LINEAR: u64 = 0xc << 60;
    let context = open(&dump.files);
    context.set("addrxlat.ostype", kdumpfile::Value::String("linux".into())).unwrap();
    let root = context.address("linux.vmcoreinfo.SYMBOL.swapper_pg_dir").unwrap();
    let sys = system(PteFormat::Ppc64Radix, &[16, 5, 9, 9, 13], root - LINEAR);
    let ctx = ctx(context);
    let convert = |addr| ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(addr));
    let banner = dump.truth().symbol("linux_banner").unwrap();
    for addr in [LINEAR, root, banner, LINEAR + 0x123_4567, LINEAR + 0xfff_ffff] {
        assert_eq!(convert(addr), Ok(FullAddr::machphys(addr - LINEAR)), "{addr:#x}");
    }
    // 512 MiB of memory, and nothing behind it.
    let method = sys.method(MethodIndex::PGT).unwrap();
    let walker = kdumpfile::xlat::Walker::new(&ctx, Some(&sys), method);
    let mut addr = LINEAR;
    walker.lowest_unmapped(&mut addr, LINEAR + (1 << 40)).unwrap();
    assert_eq!(addr, LINEAR + (512 << 20));
    // The vmalloc area begins at c008000000000000, where there is something.
    let mut addr = 0xc008_0000_0000_0000;
    let step = walker.lowest_mapped(&mut addr, 0xc009_ffff_ffff_ffff).unwrap();
    assert!(step.base.addr < 512 << 20, "{addr:#x} is {}", step.base);
}
