//! Ways through a system: which maps are tried, what is said when none leads
//! anywhere, and what is remembered.

mod xlat_support;

use std::cell::RefCell;
use std::rc::Rc;

use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Custom, Error, FullAddr, MapIndex, MemArray, Method,
    MethodIndex, Next, PageBuf, PageTable, PagingForm, PteFormat, Result, Run, Status, Step, System, Walker,
};
use xlat_support::{Memory, ctx};

const A: MethodIndex = MethodIndex(8);
const B: MethodIndex = MethodIndex(9);
const C: MethodIndex = MethodIndex(10);

/// One level of 512 entries.
fn pgt(target: AddrSpace, root: FullAddr) -> Method {
    let form = PagingForm::new(PteFormat::X86_64, &[12, 9]).unwrap();
    Method::page_table(target, PageTable::new(root, form))
}

/// Puts `method` into place `index`, for all addresses of `map`.
fn cover(sys: &mut System, map: MapIndex, index: MethodIndex, method: Method) {
    sys.set_method(index, method);
    sys.map_mut(map).set(0, u64::MAX, index).unwrap();
}

fn failure<T: std::fmt::Debug>(result: Result<T>) -> (Status, String) {
    let error = result.unwrap_err();
    (error.status(), error.to_string())
}

fn no_method(text: &str) -> (Status, String) {
    (Status::NoMethod, text.into())
}

/// A context that can read nothing.
fn blind() -> Ctx {
    Ctx::new(Shared::new(Chain::new()))
}

#[test]
fn address_in_a_wanted_space_needs_no_system() {
    let addr = FullAddr::new(AddrSpace(17), 5);
    assert_eq!(blind().op(None, Caps(1 << 17), addr, Ok), Ok(addr));
    assert_eq!(blind().convert(None, AddrSpace::KVIRT, FullAddr::kvirt(7)), Ok(FullAddr::kvirt(7)));
}

#[test]
fn failures_say_what_is_missing() {
    let ctx = blind();
    let sys = System::new();
    let kvirt = FullAddr::kvirt(0);
    assert_eq!(failure(ctx.op(Some(&sys), Caps(8), kvirt, Ok)), no_method("No suitable capabilities"));
    assert_eq!(
        failure(ctx.convert(Some(&sys), AddrSpace::NOADDR, FullAddr::NONE)),
        no_method("No suitable capabilities")
    );
    assert_eq!(failure(ctx.op(None, Caps::KPHYS, kvirt, Ok)), no_method("No translation system"));
    assert_eq!(
        failure(ctx.op(Some(&sys), Caps::KPHYS, FullAddr::NONE, Ok)),
        (Status::NotImplemented, "Unrecognized address space".into())
    );
    assert_eq!(failure(ctx.op(Some(&sys), Caps::KPHYS, kvirt, Ok)), no_method("No way to translate"));
}

#[test]
fn text_of_the_last_failed_way_follows() {
    let ctx = blind();
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, pgt(AddrSpace::KPHYS, FullAddr::NONE));
    let convert = |sys: &System| failure(ctx.convert(Some(sys), AddrSpace::KPHYS, FullAddr::kvirt(0x5123)));
    assert_eq!(convert(&sys), no_method("No way to translate: Page table address not specified"));

    // Another map of virtual addresses makes the text go, even if it is empty.
    sys.set_map(MapIndex::Hw, Some(Shared::default()));
    assert_eq!(convert(&sys), no_method("No way to translate"));
    sys.set_map(MapIndex::Hw, None);
    // One of the next stage is for other addresses, so the text stays.
    sys.set_map(MapIndex::MachphysKphys, Some(Shared::default()));
    assert_eq!(convert(&sys), no_method("No way to translate: Page table address not specified"));

    sys.set_method(A, Method::NONE);
    assert_eq!(convert(&sys), no_method("No way to translate: Null translation method"));
    sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex(77)).unwrap();
    assert_eq!(convert(&sys), no_method("No way to translate"));
}

#[test]
fn unreadable_table_names_the_entry_that_was_wanted() {
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, pgt(AddrSpace::KPHYS, FullAddr::kphys(0x7000)));
    let addr = FullAddr::kvirt(0x5123);
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    assert_eq!(
        failure(ctx(&memory).convert(Some(&sys), AddrSpace::KPHYS, addr)),
        no_method("No way to translate: Cannot read 64-bit PTE at KPHYSADDR:0x7028: No such word")
    );
    assert_eq!(
        failure(blind().convert(Some(&sys), AddrSpace::KPHYS, addr)),
        no_method(
            "No way to translate: Cannot read 64-bit PTE at KPHYSADDR:0x7028: No suitable capabilities"
        )
    );
}

#[test]
fn table_that_is_needed_for_itself_is_a_loop() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, pgt(AddrSpace::KPHYS, FullAddr::kvirt(0x1000)));
    let expected = no_method(
        "No way to translate: Cannot read 64-bit PTE at KVADDR:0x1028: \
         No way to translate: Cannot read 64-bit PTE at KVADDR:0x1008: \
         No way to translate: Cannot read 64-bit PTE at KVADDR:0x1008: Infinite recursion loop",
    );
    for _ in 0..2 {
        assert_eq!(failure(ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(0x5000))), expected);
    }
    // The same table is fine when another map knows where it is.
    cover(&mut sys, MapIndex::Hw, B, Method::linear(AddrSpace::KPHYS, 0x10_0000));
    memory.put64(0x10_1028, 0x77_7001);
    let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(0x5abc));
    assert_eq!(found, Ok(FullAddr::kphys(0x77_7abc)));
}

#[test]
fn depth_of_nested_tables_is_bounded() {
    // Each entry lies behind an address that is one page further.
    struct Ladder;
    impl Custom for Ladder {
        fn first_step(&self, walker: &Walker<'_>, _: &mut Step, addr: u64) -> Result<()> {
            walker.ctx().read_u64(walker.system(), FullAddr::kvirt(addr + 0x1000), "rung").map(|_| ())
        }
        fn next_step(&self, _: &Walker<'_>, _: &mut Step) -> Result<()> {
            Ok(())
        }
    }
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, Method::custom(AddrSpace::KPHYS, Ladder));
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    let (status, text) = failure(ctx(&memory).convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(0)));
    assert_eq!(status, Status::NoMethod);
    assert!(text.ends_with(": Infinite recursion loop"), "{text}");
    assert_eq!(text.matches("Cannot read 64-bit rung").count(), 64);
}

#[test]
fn routes_lead_through_the_maps_of_each_source() {
    let linear = |target, offset| Method::linear(target, offset);
    let mut sys = System::new();
    let ctx = blind();
    cover(&mut sys, MapIndex::KvPhys, A, linear(AddrSpace::MACHPHYS, 0x1000));
    cover(&mut sys, MapIndex::MachphysKphys, B, linear(AddrSpace::KPHYS, 0x20_0000));
    let op = |sys: &System, caps, addr| ctx.op(Some(sys), caps, addr, Ok);
    assert_eq!(op(&sys, Caps::KPHYS, FullAddr::kvirt(1)), Ok(FullAddr::kphys(0x20_1001)));
    assert_eq!(op(&sys, Caps::KPHYS | Caps::MACHPHYS, FullAddr::kvirt(1)), Ok(FullAddr::machphys(0x1001)));
    assert_eq!(op(&sys, Caps::KPHYS, FullAddr::machphys(1)), Ok(FullAddr::kphys(0x20_0001)));

    cover(&mut sys, MapIndex::KphysDirect, C, linear(AddrSpace::KVIRT, 1 << 63));
    assert_eq!(op(&sys, Caps::KVIRT, FullAddr::kphys(1)), Ok(FullAddr::kvirt(1 << 63 | 1)));
    assert_eq!(op(&sys, Caps::KVIRT, FullAddr::machphys(1)), Ok(FullAddr::kvirt(1 << 63 | 0x20_0001)));
    // Machine addresses are preferred, but KPHYS_MACHPHYS is not there yet.
    assert_eq!(op(&sys, Caps::MACHPHYS, FullAddr::kphys(1)), Err(Error::no_method("No way to translate")));
    let both = Caps::MACHPHYS | Caps::KVIRT;
    assert_eq!(op(&sys, both, FullAddr::kphys(1)), Ok(FullAddr::kvirt(1 << 63 | 1)));
    cover(&mut sys, MapIndex::KphysMachphys, MethodIndex(11), linear(AddrSpace::MACHPHYS, 3));
    assert_eq!(op(&sys, both, FullAddr::kphys(1)), Ok(FullAddr::machphys(4)));
}

#[test]
fn only_missing_data_and_methods_let_another_map_try() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Big);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, pgt(AddrSpace::KPHYS, FullAddr::kphys(0x1000)));
    cover(&mut sys, MapIndex::Hw, B, Method::linear(AddrSpace::KPHYS, 5));
    let convert = |addr| ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
    assert_eq!(convert(0), Ok(FullAddr::kphys(5)), "the entry is not in the dump");
    memory.put64(0x1008, 0);
    assert_eq!(failure(convert(0x1000)), (Status::NotPresent, "Page not present: pte[1] = 0x0".into()));
    assert_eq!(failure(convert(1 << 30)), (Status::Invalid, "Virtual address too big".into()));
}

#[test]
fn busy_provider_is_asked_again_and_nothing_else_is_tried() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    memory.put64(0x1000, 0x3001);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    let method = pgt(AddrSpace::KPHYS, FullAddr::kphys(0x1000));
    cover(&mut sys, MapIndex::KvPhys, A, method.clone());
    cover(&mut sys, MapIndex::Hw, B, Method::linear(AddrSpace::KPHYS, 5));
    memory.be_busy_once(0x1000);
    let convert = || ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(0x123));
    let error = convert().unwrap_err();
    assert_eq!(error.status(), Status::BUSY);
    assert_eq!(error.into_dump().status(), kdumpfile::Status::Busy);
    assert_eq!(convert(), Ok(FullAddr::kphys(0x3123)));

    // A step that met a busy provider can simply be made again.
    ctx.flush();
    memory.be_busy_once(0x1000);
    let walker = Walker::new(&ctx, Some(&sys), &method);
    let mut step = Step::default();
    walker.launch(&mut step, 0x123).unwrap();
    let before = step;
    assert_eq!(walker.step(&mut step).unwrap_err().status(), Status::BUSY);
    assert_eq!(step, before);
    walker.step(&mut step).unwrap();
    walker.step(&mut step).unwrap();
    assert_eq!((step.base, step.remain, step.elemsz), (FullAddr::kphys(0x3123), 0, 0));
    walker.step(&mut step).unwrap();
    assert_eq!(step.base, FullAddr::kphys(0x3123), "no step is left");

    memory.be_busy_once(0x1000);
    ctx.flush();
    let mut step = Step::new(FullAddr::kvirt(0x123));
    assert_eq!(walker.walk(&mut step).unwrap_err().status(), Status::BUSY);
    walker.walk(&mut step).unwrap();
    assert_eq!(step.base, FullAddr::kphys(0x3123));
}

#[test]
fn failed_step_shows_the_entry_that_is_to_blame() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    memory.put64(0x1028, 0x1230);
    let ctx = ctx(&memory);
    let method = pgt(AddrSpace::KPHYS, FullAddr::kphys(0x1000));
    let walker = Walker::new(&ctx, None, &method);
    let mut step = Step::default();
    walker.launch(&mut step, 0x5678).unwrap();
    assert_eq!((step.remain, step.elemsz, step.idx[..3].to_vec()), (2, 8, vec![0x678, 5, 0]));
    let error = walker.step(&mut step).unwrap_err();
    assert_eq!(error.message(), "Page not present: pte[5] = 0x1230");
    assert_eq!((step.remain, step.base), (1, FullAddr::kphys(0x1028)));
    let error = walker.quiet().walk(&mut Step::new(FullAddr::kvirt(0x5678))).unwrap_err();
    assert_eq!((error.status(), error.message()), (Status::NotPresent, String::new()));
    assert_eq!(step.raw, kdumpfile::xlat::Raw::Value(0x1230));
}

#[test]
fn status_of_the_user_comes_out_unchanged() {
    let ctx = blind();
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, Method::linear(AddrSpace::KPHYS, 5));
    let result: Result<()> = ctx.op(Some(&sys), Caps::KPHYS, FullAddr::kvirt(0), |addr| {
        assert_eq!(addr, FullAddr::kphys(5));
        Err(Error::new(Status::Other(-77), "mine"))
    });
    assert_eq!(result, Err(Error::new(Status::Other(-77), "mine")));
    // Even one that would let another map try.
    let result: Result<()> =
        ctx.op(Some(&sys), Caps::KPHYS, FullAddr::kvirt(0), |_| Err(Error::no_data("x")));
    assert_eq!(result, Err(Error::no_data("x")));
}

#[test]
fn operation_that_translates_its_own_address_is_a_loop_remembered_or_not() {
    let ctx = blind();
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, Method::linear(AddrSpace::KPHYS, 5));
    for _ in 0..2 {
        let addr = FullAddr::kvirt(0x1000);
        let result = ctx.op(Some(&sys), Caps::KPHYS, addr, |_| ctx.op(Some(&sys), Caps::KPHYS, addr, Ok));
        assert_eq!(result, Err(Error::no_method("Infinite recursion loop")));
        assert_eq!(ctx.convert(Some(&sys), AddrSpace::KPHYS, addr), Ok(FullAddr::kphys(0x1005)));
    }
}

#[test]
fn translations_are_remembered_until_system_or_chain_change() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    memory.put64(0x1000, 0x3001);
    memory.put64(0x1008, 0);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    cover(&mut sys, MapIndex::KvPhys, A, pgt(AddrSpace::KPHYS, FullAddr::kphys(0x1000)));
    let convert = |sys: &System, addr| ctx.convert(Some(sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
    // Makes the blocks that were read go, so that only translations are left.
    let crowd_out = || {
        for addr in (0x2000..0x2040).step_by(8) {
            memory.put64(addr, 0);
            ctx.read_u64(None, FullAddr::kphys(addr), "word").unwrap();
        }
        memory.asked();
    };
    let asked = || memory.asked().len();

    assert_eq!(convert(&sys, 0x123), Ok(FullAddr::kphys(0x3123)));
    assert_eq!(asked(), 1);
    crowd_out();
    assert_eq!(convert(&sys, 0xfff), Ok(FullAddr::kphys(0x3fff)));
    assert_eq!(asked(), 0, "the same page");
    assert_eq!(convert(&sys.clone(), 0), Ok(FullAddr::kphys(0x3000)));
    assert_eq!(asked(), 0, "a clone is the same system");

    for _ in 0..2 {
        crowd_out();
        assert_eq!(convert(&sys, 0x1000).unwrap_err().status(), Status::NotPresent);
        assert_eq!(asked(), 1, "absent pages are not remembered");
    }

    sys.set_method(MethodIndex::UPGT, Method::NONE);
    memory.put64(0x1000, 0x4001);
    crowd_out();
    assert_eq!(convert(&sys, 0x123), Ok(FullAddr::kphys(0x4123)), "another system");

    struct Nothing;
    impl Callbacks for Nothing {}
    memory.put64(0x1000, 0x5001);
    ctx.chain().add(Shared::new(Nothing));
    assert_eq!(convert(&sys, 0x123), Ok(FullAddr::kphys(0x5123)), "another chain");

    ctx.set_caching(false);
    memory.put64(0x1000, 0x6001);
    crowd_out();
    assert_eq!(convert(&sys, 0x123), Ok(FullAddr::kphys(0x6123)));
}

#[test]
fn neighbour_of_a_known_page_costs_one_entry() {
    let memory = Memory::new(Caps::MACHPHYS, ByteOrder::Little);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    let method = xlat_support::method(PteFormat::X86_64, &[12, 9, 9, 9, 9]);
    cover(&mut sys, MapIndex::KvPhys, A, method);
    for (addr, entry) in [(0, 0x1001), (0x1000, 0x2001), (0x2000, 0x3001), (0x2008, 0x4001)] {
        memory.put64(addr, entry);
    }
    for (addr, entry) in [(0x3000, 0x7_7001), (0x3008, 0x8_8001), (0x4010, 0x9_9001)] {
        memory.put64(addr, entry);
    }
    let asked = |addr, expected| {
        let found = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(addr));
        assert_eq!(found, Ok(FullAddr::machphys(expected)));
        memory.asked().iter().map(|addr| addr.addr).collect::<Vec<_>>()
    };
    assert_eq!(asked(0x123, 0x7_7123), [0, 0x1000, 0x2000, 0x3000]);
    assert_eq!(asked(0x1123, 0x8_8123), [0x3008], "the same table");
    assert_eq!(asked(0x20_2123, 0x9_9123), [0x2008, 0x4010], "the table beside it");
}

#[test]
fn runs_tell_how_far_a_translation_holds() {
    let memory = Memory::new(Caps::KPHYS | Caps::MACHPHYS, ByteOrder::Little);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    let form = PagingForm::new(PteFormat::X86_64, &[12, 9, 9]).unwrap();
    let table = PageTable::new(FullAddr::kphys(0x1000), form);
    sys.set_method(A, Method::page_table(AddrSpace::MACHPHYS, table));
    sys.map_mut(MapIndex::KvPhys).set(0, 0x2f_ffff, A).unwrap();
    memory.put64(0x1000, 0x2001);
    memory.put64(0x1008, 0x4000_0081);
    memory.put64(0x2000, 0x7001);
    let run = |sys: &System, caps, addr| ctx.run(Some(sys), caps, FullAddr::kvirt(addr)).unwrap();
    let expect = |addr, target, endoff| Run { source: FullAddr::kvirt(addr), target, endoff };
    for _ in 0..2 {
        let page = run(&sys, Caps::MACHPHYS, 0x100);
        assert_eq!(page, expect(0x100, FullAddr::machphys(0x7100), 0xeff));
        // The huge page of 2 MiB is cut by the end of its range.
        let huge = run(&sys, Caps::MACHPHYS, 0x2f_f000);
        assert_eq!(huge, expect(0x2f_f000, FullAddr::machphys(0x400f_f000), 0xfff));
        let huge = run(&sys, Caps::MACHPHYS, 0x20_0000);
        assert_eq!(huge, expect(0x20_0000, FullAddr::machphys(0x4000_0000), 0xf_ffff));
    }

    // A second stage with smaller frames cuts it further.
    let array = MemArray { base: FullAddr::kphys(0x10_0000), shift: 12, elemsz: 8, valsz: 8 };
    cover(&mut sys, MapIndex::MachphysKphys, B, Method::memory_array(AddrSpace::KPHYS, array));
    memory.put64(0x10_0000 + 0x40001 * 8, 0x99);
    let run = run(&sys, Caps::KPHYS, 0x20_1800);
    assert_eq!(run, expect(0x20_1800, FullAddr::kphys(0x9_9800), 0x7ff));
}

thread_local! {
    /// The context of a test, for the callbacks that use the one that asks them.
    static CTX: RefCell<Option<Rc<Ctx>>> = const { RefCell::new(None) };
}

/// Reads another word before each one that it is asked for.
struct Nested {
    inner: Shared<Memory>,
    other: Lock<Option<FullAddr>>,
}

impl Callbacks for Nested {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::KPHYS
    }

    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let other = *self.other.lock();
        if let (Some(other), Some(ctx)) = (other, CTX.with_borrow(Clone::clone)) {
            ctx.read_u64(None, other, "nested word")?;
        }
        self.inner.page(next, addr)
    }
}

fn nested() -> (Rc<Ctx>, Shared<Nested>) {
    let inner = Memory::new(Caps::KPHYS, ByteOrder::Little);
    let record = Shared::new(Nested { inner, other: Lock::default() });
    let ctx = Rc::new(Ctx::new(Shared::new(Chain::with_base(record.clone()))));
    CTX.set(Some(ctx.clone()));
    (ctx, record)
}

#[test]
fn provider_that_needs_what_it_is_asked_for_is_found_out() {
    let (ctx, record) = nested();
    record.inner.put64(0x100, 1);
    *record.other.lock() = Some(FullAddr::kphys(0x100));
    let result = ctx.read_u64(None, FullAddr::kphys(0x200), "word");
    assert_eq!(
        failure(result),
        (
            Status::NoData,
            "Cannot read 64-bit word at KPHYSADDR:0x200: \
             Cannot read 64-bit nested word at KPHYSADDR:0x100: \
             Cannot read 64-bit nested word at KPHYSADDR:0x100: Infinite read recursion"
                .into()
        )
    );
    *record.other.lock() = None;
    assert_eq!(ctx.read_u64(None, FullAddr::kphys(0x100), "word"), Ok(1));
}

#[test]
fn nested_reads_leave_the_outer_one_alone() {
    let (ctx, record) = nested();
    record.inner.put64(0x100, 1);
    record.inner.put64(0x200, 2);
    assert_eq!(ctx.read_u64(None, FullAddr::kphys(0x100), "word"), Ok(1));
    *record.other.lock() = Some(FullAddr::kphys(0x100));
    assert_eq!(ctx.read_u64(None, FullAddr::kphys(0x200), "word"), Ok(2));
    assert_eq!(ctx.read_u64(None, FullAddr::kphys(0x100), "word"), Ok(1));
}

#[test]
fn block_that_is_not_where_it_should_be_gives_no_data() {
    struct Elsewhere(u64, usize);
    impl Callbacks for Elsewhere {
        fn read_caps(&self, _: Next<'_>) -> Caps {
            Caps::KPHYS
        }
        fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
            Ok(PageBuf::new(addr.offset(self.0), ByteOrder::Big, vec![1_u8; self.1]))
        }
    }
    for (offset, size, good) in [(0, 8, true), (0, 0, false), (1, 99, false), (!0, 9, true), (!0, 1, false)] {
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(Elsewhere(offset, size)))));
        let result = ctx.read_u64(None, FullAddr::kphys(0x1000), "word");
        assert_eq!(result.is_ok(), good, "{offset} {size}");
        if let Err(error) = result {
            assert_eq!(error.status(), Status::NoData);
        }
    }
}

#[test]
fn number_may_lie_in_several_blocks() {
    let memory = Memory::new(Caps::KPHYS, ByteOrder::Little);
    for (addr, bytes) in [(0x1000, vec![1, 2, 3]), (0x1003, vec![4]), (0x1004, vec![5, 6, 7, 8, 9])] {
        memory.put_block(addr, bytes);
    }
    let ctx = ctx(&memory);
    for _ in 0..2 {
        let word = ctx.read_u64(None, FullAddr::kphys(0x1000), "word");
        assert_eq!(word, Ok(0x0807_0605_0403_0201));
        assert_eq!(ctx.read_u32(None, FullAddr::kphys(0x1005), "word"), Ok(0x0908_0706));
        assert_eq!(
            failure(ctx.read_u32(None, FullAddr::kphys(0x1006), "word")),
            (Status::NoData, "Cannot read 32-bit word at KPHYSADDR:0x1006: No such word".into())
        );
    }
}

#[test]
fn questions_name_what_was_asked_for() {
    let ctx = blind();
    let answers = [
        ctx.register("cr3"),
        ctx.symbol_value("_stext"),
        ctx.symbol_size("page"),
        ctx.symbol_offset("list_head", "next"),
        ctx.number("VA_BITS"),
    ]
    .map(failure);
    let expected = [
        "Cannot read register \"cr3\": No reg_value callback",
        "Cannot resolve \"_stext\": No sym_value callback",
        "Cannot get sizeof(page): No sym_sizeof callback",
        "Cannot get offsetof(list_head, next): No sym_offsetof callback",
        "Cannot get number(VA_BITS): No num_value callback",
    ]
    .map(|text| (Status::NoData, String::from(text)));
    assert_eq!(answers, expected);
    assert!(!ctx.can_read_directly(None, FullAddr::kphys(0)));
}

#[test]
fn runs_end_where_addresses_have_too_many_bits() {
    // Without a table, an address is an offset: of 2^12 bytes, of which the upper
    // half is at the end of the address space.
    let signed = PagingForm::new(PteFormat::X86_64, &[12]).unwrap();
    let unsigned = PagingForm::new(PteFormat::Ia32, &[12]).unwrap();
    for (form, last) in [(signed, 0x7ff), (unsigned, 0xfff)] {
        let method = Method::page_table(AddrSpace::KPHYS, PageTable::new(FullAddr::kphys(0x5000), form));
        let mut sys = System::new();
        cover(&mut sys, MapIndex::KvPhys, A, method);
        let caps = Caps::of(AddrSpace::KPHYS);
        let ctx = blind();
        let runs: Vec<_> = ctx.runs(Some(&sys), caps, FullAddr::kvirt(0x20), 0x2fff).take(2).collect();
        let run = Run { source: FullAddr::kvirt(0x20), target: FullAddr::kphys(0x5020), endoff: last - 0x20 };
        assert_eq!(runs.first(), Some(&Ok(run)), "{runs:?}");
        let beyond = FullAddr::kvirt(last + 1);
        assert_eq!(ctx.op(Some(&sys), caps, beyond, Ok).unwrap_err().status(), Status::Invalid);
    }
}
