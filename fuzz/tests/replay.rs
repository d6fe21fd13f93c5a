//! Every target on every file of its corpus, and on mutations of it that are
//! the same in every run.
//!
//! `KDUMPFILE_MUTATIONS` says how many mutations of each file (default 2000).
//! An input that fails is kept in `artifacts`, under a name that the message tells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kdumpfile_fuzz::{Seeds, TARGETS};
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
    let run = TARGETS.iter().find(|row| row.name == target).expect("the target is in the table").run;
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
    ($($test:ident: $target:ident,)*) => {
        $(#[test]
        fn $test() {
            replay(stringify!($target));
        })*
    };
}

kdumpfile_fuzz::for_each_target!(replays);

/// `cargo run --no-default-features --bin seeds` writes them anew.
#[test]
fn the_corpus_has_the_seeds_of_every_target_as_they_are_made() {
    let folders = std::fs::read_dir(folder("corpus", "")).unwrap();
    let mut folders: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    folders.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(folders, names);
    for target in TARGETS {
        let mut seeds = Seeds::default();
        (target.seeds)(&mut seeds);
        seeds.files.sort();
        let mut files = corpus(target.name);
        files.retain(|(name, _)| !name.starts_with("found-"));
        let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&files), names(&seeds.files), "{}", target.name);
        for (file, seed) in files.iter().zip(&seeds.files) {
            assert!(file.1 == seed.1, "{}: {}", target.name, seed.0);
        }
    }
}

#[test]
fn the_corpus_is_small() {
    let files = TARGETS.iter().flat_map(|row| corpus(row.name));
    let bytes: usize = files.map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}
