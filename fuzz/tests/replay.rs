//! Every target on every file of its corpus, and on mutations of it that are
//! the same in every run.
//!
//! `KDUMPFILE_MUTATIONS` says how many mutations of each file (default 2000).
//! An input that fails is kept in `artifacts`, under a name that the message tells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kdumpfile_fuzz::TARGETS;
use kdumpfile_testkit::image::Rng;

/// Longest input that a mutation makes, in bytes.
const INPUT_MAX: usize = 64 << 10;
/// No input may take longer, even on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// The files of a corpus, sorted by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder("corpus", target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let run = TARGETS.iter().find(|row| row.0 == target).expect("the target is in the table").1;
    let mutations = std::env::var("KDUMPFILE_MUTATIONS").map_or(2000, |text| text.parse().unwrap());
    let files = corpus(target);
    assert!(!files.is_empty(), "there are no seeds for {target}");
    for (number, (name, seed)) in files.iter().enumerate() {
        check(target, run, name, seed);
        let mut rng = Rng::new(number as u64 + 1);
        for mutation in 0..mutations {
            let other = &files[rng.below(files.len() as u64) as usize].1;
            let input = mutated(&mut rng, seed, other);
            check(target, run, &format!("{name}-{mutation}"), &input);
        }
    }
}

fn check(target: &str, run: fn(&[u8]), name: &str, input: &[u8]) {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| run(input)));
    let took = start.elapsed();
    if result.is_err() || took > TIME_MAX {
        let artifacts = folder("artifacts", target);
        let path = artifacts.join(name);
        let kept = std::fs::create_dir_all(&artifacts).and_then(|()| std::fs::write(&path, input));
        let what = if result.is_err() { "failed" } else { "was slow" };
        panic!("{target} {what} after {took:?}; input {}: {kept:?}", path.display());
    }
}

/// One to six changes of `seed`: bits, bytes, words, runs moved, cut or doubled,
/// pieces of `other`.
fn mutated(rng: &mut Rng, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + rng.below(6) {
        let len = bytes.len();
        let at = rng.below(len as u64) as usize;
        // Headers are where a change does most.
        let at = if rng.below(2) == 0 { at % 512 } else { at };
        let run = 1 + rng.below(32) as usize;
        let end = (at + run).min(len);
        match rng.below(9) {
            0 if len > 0 => bytes[at] ^= 1 << rng.below(8),
            1 if len > 0 => bytes[at] = rng.next_u64() as u8,
            2 if len > 0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
            3 => {
                let word = [0, 1, u64::MAX, i64::MAX as u64, u32::MAX.into(), 4096][rng.below(6) as usize];
                let word = word.to_le_bytes();
                for (to, from) in bytes[at..].iter_mut().zip(&word[..1 << rng.below(4)]) {
                    *to = *from;
                }
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.below(len as u64 + 1) as usize;
                bytes.splice(to..to, copy);
            }
            6 => bytes.truncate(at),
            7 => {
                let from = rng.below(other.len() as u64 + 1) as usize;
                let piece = &other[from..(from + run).min(other.len())];
                bytes.splice(at..end, piece.iter().copied());
            }
            _ => {
                let noise: Vec<u8> = (0..run).map(|_| rng.next_u64() as u8).collect();
                bytes.splice(at..at, noise);
            }
        }
    }
    bytes.truncate(INPUT_MAX);
    bytes
}

macro_rules! replays {
    ($($test:ident: $target:literal,)*) => {
        $(#[test]
        fn $test() {
            replay($target);
        })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|row| row.0).collect();
            assert_eq!(names, [$($target),*]);
        }
    };
}

replays! {
    any_file_can_be_opened_or_refused: "open",
    changed_elf_cores_can_be_opened_or_refused: "open_elf",
    changed_diskdumps_can_be_opened_or_refused: "open_diskdump",
    changed_lkcd_dumps_can_be_opened_or_refused: "open_lkcd",
    changed_sadumps_can_be_opened_or_refused: "open_sadump",
    changed_s390_dumps_can_be_opened_or_refused: "open_s390dump",
    changed_lime_images_can_be_opened_or_refused: "open_lime",
    streams_of_qemu_can_be_opened_or_refused: "open_qemu",
    changed_vmware_states_can_be_opened_or_refused: "open_vmware",
    changed_states_of_panicked_vmware_guests_can_be_opened_or_refused: "open_vmware_guest",
    changed_windows_dumps_can_be_opened_or_refused: "open_windows",
    changed_xen_domains_can_be_opened_or_refused: "open_xc_core",
    changed_saved_domains_can_be_opened_or_refused: "open_xc_save",
    raw_images_can_be_opened_or_refused: "open_raw",
    live_memory_can_be_opened_or_refused: "open_live",
    changed_split_sets_can_be_opened_or_refused: "split_set",
    flattened_streams_are_what_the_model_says: "flattened",
    archives_are_the_same_from_every_side: "archive",
    notes_stay_inside: "notes",
    vmcoreinfo_rows_arrive: "vmcoreinfo",
    attributes_keep_their_promises: "attributes",
    codecs_agree_with_other_decoders: "codec",
    translation_is_set_up_or_refused: "xlat_setup",
    walks_and_searches_agree: "xlat_walk",
    kernels_that_lie_are_translated_or_refused: "xlat_vmcoreinfo",
}

#[test]
fn the_corpus_is_small() {
    let files = TARGETS.iter().flat_map(|row| corpus(row.0));
    let bytes: usize = files.map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}
