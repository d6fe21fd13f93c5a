//! Walks and searches of page tables, and systems of methods, that are nonsense.

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    Caps, Chain, Ctx, FullAddr, Kind, Lookup, LookupElem, MapIndex, MemArray, Method, MethodIndex, PageTable,
    PagingForm, PteFormat, Result, Status, Step, System, Walker,
};

use super::xlat_setup::{Machine, STEPS_MAX, full_address, gave_up, maps_are_whole, words};
use crate::input::Input;
use crate::seeds::Seeds;

/// How many pages are walked to say what a search must find.
const PAGES: u64 = 48;

fn form(input: &mut Input<'_>) -> PagingForm {
    const KERNELS: [&[u16]; 16] = [
        &[12, 9, 9, 9, 9],
        &[12, 9, 9, 9, 9, 9],
        &[12, 10, 10],
        &[12, 9, 9, 2],
        &[12, 9, 9, 9],
        &[12, 9, 9, 9, 9, 4],
        &[14, 11, 11, 11, 1],
        &[16, 13, 13, 6],
        &[16, 13, 13, 10],
        &[12, 8, 12],
        &[12, 8, 11, 11, 11, 11],
        &[16, 12, 12, 4],
        &[16, 8, 10, 10, 8],
        &[16, 5, 9, 9, 13],
        &[12, 2, 2, 2],
        &[12, 3, 1],
    ];
    let format = match usize::from(input.byte()) {
        number if number < 8 * PteFormat::ALL.len() => PteFormat::ALL[number % PteFormat::ALL.len()],
        other => PteFormat::Unknown(other as i32),
    };
    let mut sizes = [0; PagingForm::FIELDS_MAX];
    let nfields = match input.byte() {
        kernel @ 0..=127 => {
            let fields = KERNELS[usize::from(kernel) % KERNELS.len()];
            sizes[..fields.len()].copy_from_slice(fields);
            fields.len() as u16
        }
        wild @ 128..=199 => {
            sizes.fill_with(|| u16::from(input.byte() % 24));
            u16::from(wild % 10)
        }
        wilder => {
            sizes.fill_with(|| input.number() as u16);
            u16::from(wilder % 12)
        }
    };
    PagingForm::unchecked(format, nfields, sizes)
}

fn page_table(input: &mut Input<'_>) -> PageTable {
    let form = form(input);
    let root = full_address(input);
    let flags = input.byte();
    let pte_mask = if flags & 6 == 6 { input.number() } else { 0 };
    PageTable { root, pte_mask, form, strict: flags & 1 != 0 }
}

fn method(input: &mut Input<'_>) -> Method {
    let target = full_address(input).space;
    let kind = match input.byte() % 8 {
        0 => Kind::Linear(input.number()),
        1 => Kind::MemArr(MemArray {
            base: full_address(input),
            shift: u32::from(input.byte()),
            elemsz: input.number() as u32,
            valsz: input.one_of(&[8, 4, 8, 4, 0, 2]),
        }),
        2 => {
            let elems = (0..input.byte() % 6)
                .map(|_| LookupElem { orig: input.number(), dest: input.number() })
                .collect::<Vec<_>>();
            Kind::Lookup(Lookup::new(input.number(), elems))
        }
        3 if input.byte() & 1 == 0 => Kind::None,
        3 => Kind::Unknown(input.number() as i32),
        _ => Kind::Pgt(page_table(input)),
    };
    Method { target, kind }
}

/// Translates by methods, page tables and maps that may be anything.
///
/// Everything ends, after no more steps than it may take; steps come to the same
/// as a walk; searches find what walks of each page find; what is remembered
/// changes no result.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let table = page_table(&mut input);
    let space = full_address(&mut input).space;
    let (first, pages, offset) = (full_address(&mut input).addr, input.uint(2), input.number());
    let mut sys = System::new();
    for index in 0..input.byte() % 6 {
        sys.set_method(MethodIndex(index.into()), method(&mut input));
    }
    for index in MapIndex::ALL {
        for _ in 0..input.byte() % 4 {
            let (start, endoff) = (full_address(&mut input).addr, input.number());
            let _ = sys.map_mut(index).set(start, endoff, MethodIndex(i32::from(input.byte() % 8) - 1));
        }
    }
    let sources = [0; 3].map(|_| (full_address(&mut input), Caps(u64::from(input.byte() % 16))));
    let machine = Shared::new(Machine::new(&mut input));
    let context = |caching| {
        let ctx = Ctx::new(Shared::new(Chain::with_base(machine.clone())));
        ctx.set_steps_max(STEPS_MAX);
        ctx.set_caching(caching);
        ctx
    };
    let (ctx, forgetful) = (context(true), context(false));

    maps_are_whole(&sys);
    for (source, caps) in sources {
        let first = ctx.op(Some(&sys), caps, source, Ok);
        assert!(first.as_ref().map_or(true, |target| caps.contains(target.space)));
        for again in [&ctx, &forgetful] {
            let second = again.op(Some(&sys), caps, source, Ok);
            assert!(gave_up(&first) || gave_up(&second) || first == second, "{first:?} {second:?}");
        }
        for run in ctx.runs(Some(&sys), caps, source, 0x2fff).take(64).flatten() {
            let last = forgetful.op(Some(&sys), caps, run.source.offset(run.endoff), Ok);
            assert!(gave_up(&last) || last == Ok(run.target.offset(run.endoff)), "{run:?} {last:?}");
        }
    }

    let method = Method::page_table(space, table);
    for sys in [None, Some(&sys)] {
        let walker = Walker::new(&forgetful, sys, &method);
        walk(&walker, first);
        let last = first.saturating_add(pages << 12);
        let results = [
            status(walker.lowest_mapped(&mut { first }, last).map(|_| ())),
            status(walker.highest_mapped(&mut { last }, first).map(|_| ())),
            status(walker.lowest_unmapped(&mut { first }, last)),
            status(walker.highest_linear(&mut { first }, last, offset)),
        ];
        if results.iter().all(|result| *result != Err(Status::Invalid)) {
            let walker = Walker::new(&ctx, sys, &method);
            let _ = walker.lowest_mapped(&mut { first }, u64::MAX);
            let _ = walker.lowest_unmapped(&mut { first }, u64::MAX);
            let _ = walker.highest_mapped(&mut { first }, 0);
        }
    }
    compare(&Walker::new(&forgetful, None, &method), &table.form, first);
}

fn status<T>(result: Result<T>) -> Result<T, Status> {
    result.map_err(|error| error.status())
}

/// Steps and a walk come to the same.
fn walk(walker: &Walker<'_>, addr: u64) {
    let mut walked = Step::new(FullAddr::kvirt(addr));
    let expected = walker.walk(&mut walked);
    let mut stepped = Step::new(FullAddr::kvirt(addr));
    let mut result = walker.launch(&mut stepped, addr);
    let mut steps = 0;
    while result.is_ok() && stepped.remain > 0 {
        result = walker.step(&mut stepped);
        steps += 1;
        assert!(steps <= Step::INDICES, "a walk without end");
    }
    if !gave_up(&expected) && !gave_up(&result) {
        assert_eq!(result, expected);
        assert!(walked == stepped || result.is_err(), "{walked:?} {stepped:?}");
    }
}

/// Searches of a few pages find what walks of each page find.
fn compare(walker: &Walker<'_>, form: &PagingForm, first: u64) {
    let shift = form.field(0);
    let bits = form.virt_bits();
    if !(2..=8).contains(&form.nfields()) || !(6..=20).contains(&shift) || bits > 64 {
        return;
    }
    let page = (1 << shift) - 1;
    // Within what the top-level table is for, and all of whose addresses can be
    // translated.
    let block = u64::MAX >> (65 - bits).min(63);
    let first = first & !page;
    let last = first.saturating_add((PAGES << shift) - 1).min(first | block);
    if last < first | page {
        return;
    }
    let walks: Vec<(u64, Result<u64>)> = (first..=last)
        .step_by(1 << shift)
        .map(|addr| {
            let mut step = Step::new(FullAddr::kvirt(addr));
            (addr, walker.walk(&mut step).map(|()| step.base.addr))
        })
        .collect();
    if walks.iter().any(|(_, walk)| gave_up(walk)) {
        return;
    }
    let find = |walks: &mut dyn Iterator<Item = &(u64, Result<u64>)>, mapped: bool| {
        for (addr, walk) in walks {
            match walk {
                Ok(target) if mapped => return Ok(Some((*addr, *target))),
                Err(error) if error.status() != Status::NotPresent => return Err(error.status()),
                Err(_) if !mapped => return Ok(Some((*addr, 0))),
                _ => {}
            }
        }
        Ok(None)
    };
    let agree = |what, found: Result<(u64, u64)>, expected: Result<Option<(u64, u64)>, Status>| {
        if gave_up(&found) {
            return;
        }
        let expected = expected.and_then(|expected| expected.ok_or(Status::NotPresent));
        assert_eq!(status(found), expected, "{what} {form:?} {first:#x} {last:#x}");
    };
    let mut at = first;
    let found = walker.lowest_mapped(&mut at, last).map(|step| (at, step.base.addr));
    agree("lowest mapped", found, find(&mut walks.iter(), true));
    let mut at = last;
    let found = walker.highest_mapped(&mut at, first);
    let found = found.map(|step| (at & !page, step.base.addr.wrapping_sub(page)));
    agree("highest mapped", found, find(&mut walks.iter().rev(), true));
    let mut at = first;
    let found = walker.lowest_unmapped(&mut at, last).map(|()| (at, 0));
    agree("lowest unmapped", found, find(&mut walks.iter(), false));
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    let words = words();
    // A small space of each format, with a root at 0 in machine memory.
    for format in 0..23u8 {
        let table = [format, 14, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // One page table method, and a map of all for it.
        let system = [1, 2, 0, 0, 0, 0, 4, format, 14, 2, 0, 0, 0, 0, 0];
        let maps = [1, 0, 0, 0, 0, 0, 23, 1, 1, 0, 0, 0, 0, 0, 23, 1, 0, 0, 0];
        let sources = [3, 0, 0, 0, 0, 1, 3, 0, 0x10, 0, 0, 2, 3, 0, 0x20, 0, 0, 3];
        let machine = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        seeds.add(&format!("format-{format}"), &[&table, &system, &maps, &sources, &machine, &words]);
    }
}
