//! What must hold for any system over any memory.

mod xlat_support;

use kdumpfile::xlat::{FullAddr, MethodIndex, Result};
use xlat_support::Rng;
use xlat_support::systems::{Noise, address, caps, method, system};

fn text(result: Result<FullAddr>) -> String {
    match result {
        Ok(addr) => addr.to_string(),
        Err(error) => format!("{} {error}", error.status().code()),
    }
}

#[test]
fn what_is_remembered_changes_no_result_and_no_message() {
    let mut rng = Rng(99);
    let mut good = 0;
    for _ in 0..800 {
        let noise = Noise { caps: caps(&mut rng), seed: rng.next() };
        let with = noise.ctx();
        let without = noise.ctx();
        without.set_caching(false);
        let (mut sys, script) = system(&mut rng);
        let wanted = [caps(&mut rng), caps(&mut rng)];
        for round in 0..200 {
            if round % 50 == 49 {
                let index = MethodIndex(rng.below(8) as i32);
                sys.set_method(index, method(&mut rng).0);
            }
            let addr = address(&mut rng);
            let caps = wanted[rng.below(2) as usize];
            let expected = text(without.op(Some(&sys), caps, addr, Ok));
            let found = text(with.op(Some(&sys), caps, addr, Ok));
            assert_eq!(found, expected, "{addr} to {caps:?} in\n{script}");
            good += u32::from(!expected.contains(' ') && !caps.contains(addr.space));
        }
    }
    assert!(good > 10_000, "only {good} translations lead anywhere");
}

#[test]
fn all_addresses_of_a_run_translate_alike() {
    let mut rng = Rng(5);
    let mut long = 0;
    for _ in 0..500 {
        let noise = Noise { caps: caps(&mut rng), seed: rng.next() };
        let ctx = noise.ctx();
        let without = noise.ctx();
        without.set_caching(false);
        let (sys, script) = system(&mut rng);
        let caps = caps(&mut rng);
        for _ in 0..40 {
            let addr = address(&mut rng);
            let Ok(run) = ctx.run(Some(&sys), caps, addr) else {
                continue;
            };
            assert_eq!(run.source, addr);
            long += u32::from(run.endoff > 0 && !caps.contains(addr.space));
            for offset in [0, run.endoff, run.endoff / 2, run.endoff / 7, rng.next() & run.endoff] {
                let offset = offset.min(run.endoff);
                assert!(addr.addr.checked_add(offset).is_some(), "runs do not go around the end");
                let expected = Ok(run.target.offset(offset));
                let found = without.op(Some(&sys), caps, addr.offset(offset), Ok);
                assert_eq!(found, expected, "{addr} + {offset:#x} to {caps:?} in\n{script}");
            }
        }
    }
    assert!(long > 1_000, "only {long} runs are longer than a byte");
}

#[test]
fn runs_of_a_range_are_the_longest_there_are() {
    let mut rng = Rng(11);
    let (mut joined, mut failed) = (0, 0);
    for _ in 0..300 {
        let noise = Noise { caps: caps(&mut rng), seed: rng.next() };
        let ctx = noise.ctx();
        let without = noise.ctx();
        without.set_caching(false);
        let (sys, script) = system(&mut rng);
        let caps = caps(&mut rng);
        for _ in 0..6 {
            let start = address(&mut rng);
            let endoff = rng.below(0x6000);
            let convert = |addr| without.op(Some(&sys), caps, addr, Ok);
            let mut at = start;
            let mut before: Option<FullAddr> = None;
            let mut left = Some(endoff.min(!start.addr));
            for run in ctx.runs(Some(&sys), caps, start, endoff) {
                let run = match run {
                    Ok(run) => run,
                    Err(error) => {
                        assert_eq!(text(Err(error)), text(convert(at)), "{at} in\n{script}");
                        failed += 1;
                        left = None;
                        continue;
                    }
                };
                let rest = left.expect("nothing comes after a failure or the end");
                assert!(run.source == at && run.endoff <= rest, "{run:?} {at} {rest:#x}");
                assert_ne!(before, Some(run.target), "two runs that are one");
                for offset in [0, run.endoff, rng.next() & run.endoff] {
                    let found = convert(at.offset(offset));
                    assert_eq!(found, Ok(run.target.offset(offset)), "{at} + {offset:#x} in\n{script}");
                }
                joined += u32::from(run.endoff > 0xfff);
                before = run.target.addr.checked_add(run.endoff).map(|_| run.target.offset(run.endoff + 1));
                at = at.offset(run.endoff).offset(1);
                left = (rest - run.endoff).checked_sub(1);
            }
            assert_eq!(left, None, "the range is translated to its end");
        }
    }
    assert!(joined > 100 && failed > 100, "{joined} {failed}");
}
