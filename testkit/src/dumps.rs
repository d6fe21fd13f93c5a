//! Real dumps of real kernels, for the tests that have them at hand.
//!
//! They are looked for in the folder that the environment variable
//! `KDUMPFILE_DUMPS` names (a relative path counts from the workspace), else
//! in `../shared/dumps` beside the workspace. Without them tests are skipped
//! with a line on standard error; with `CI=true` that is a failure.
//!
//! Packed dumps (`.zst`) and those that makedumpfile makes from another one
//! are put into `kdumpfile-dumps` below the target folder once and used from
//! there afterwards.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::peer;
use crate::truth::Truth;

/// A real dump with its ground truth.
#[derive(Clone, Debug)]
pub struct RealDump {
    /// Name of the dump.
    pub name: String,
    /// Its files, unpacked, in the order in which they are opened.
    pub files: Vec<PathBuf>,
    /// What is known about it, as JSON.
    pub truth: serde_json::Value,
}

impl RealDump {
    /// The ground truth with accessors.
    pub fn truth(&self) -> Truth {
        Truth::new(self.truth.clone())
    }
}

/// Dumps that are listed but not stored: name, makedumpfile options, source.
const MADE: [(&str, &[&str], &str); 2] = [
    ("x86_64-6.1.kdump-lzo-d31", &["-l", "-d", "31"], "x86_64-6.1.kdump-zlib-d31"),
    ("x86_64-6.1.kdump-zlib-d31-flat", &["-F", "-c", "-d", "31"], "x86_64-6.1.kdump-zlib-d31"),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testkit is in a workspace").to_path_buf()
}

/// The folder of the dumps, whether it is there or not.
pub fn folder() -> PathBuf {
    match std::env::var_os("KDUMPFILE_DUMPS") {
        Some(path) => workspace().join(path),
        None => workspace().join("../shared/dumps"),
    }
}

/// The folder of freshly made dumps, if the environment variable
/// `KDUMPFILE_FRESH_DUMPS` names it (`ci/fresh-dumps.sh` makes one; a relative
/// path counts from the workspace).
pub fn fresh_folder() -> Option<PathBuf> {
    let path = std::env::var_os("KDUMPFILE_FRESH_DUMPS");
    if path.is_none() {
        eprintln!("skipped: fresh dumps, KDUMPFILE_FRESH_DUMPS is not set");
    }
    Some(workspace().join(path?))
}

/// What is known about the guest of one run of `ci/fresh-dumps.sh`, `dump` for
/// one: [`RealDump::truth`] without what belongs to a dump alone. `None`
/// without [`fresh_folder`].
///
/// # Panics
/// If there is no such run in the folder, or its file cannot be parsed.
pub fn fresh_facts(run: &str) -> Option<Truth> {
    Some(load_truth(&fresh_folder()?.join(format!("{run}-facts.json"))))
}

/// Freshly made dumps with their ground truth; empty without [`fresh_folder`].
///
/// # Panics
/// If the folder has no ground truth in it, or that cannot be parsed.
pub fn fresh_dumps() -> Vec<RealDump> {
    let Some(folder) = fresh_folder() else { return Vec::new() };
    let truths = truths_in(&folder);
    assert!(!truths.is_empty(), "no fresh dumps at {}", folder.display());
    let ready = |truth: Truth| RealDump {
        name: format!("fresh {}", truth.name()),
        files: truth.files().iter().map(|file| folder.join(&file.name)).collect(),
        truth: truth.json().clone(),
    };
    truths.into_iter().map(ready).collect()
}

/// The folder for unpacked dumps.
pub fn cache_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace().join(target).join("kdumpfile-dumps")
}

/// Says that something is missing: a line, or a failure with `CI=true`.
fn missing(what: &str) {
    assert!(!peer::in_ci(), "{what}, but CI=true");
    eprintln!("skipped: {what}");
}

/// The ground truth of each dump, by name; nothing is unpacked. Empty if the
/// dumps are not there.
///
/// # Panics
/// With `CI=true` if they are not; if a ground truth file cannot be parsed.
pub fn all_truths() -> Vec<Truth> {
    let folder = folder();
    let truths = truths_in(&folder);
    if truths.is_empty() {
        missing(&format!("no real dumps at {}", folder.display()));
    }
    truths
}

/// Each ground truth in a folder, by file name.
fn truths_in(folder: &Path) -> Vec<Truth> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.expect("folder entry").path()).collect())
        .unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let truths = paths.iter().map(|path| load_truth(path));
    truths.filter(|truth| truth.json().get("reference").is_some()).collect()
}

fn load_truth(path: &Path) -> Truth {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let json = serde_json::from_slice(&text);
    Truth::new(json.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// All real dumps, ready to be opened; `None` if there are none at all. A dump
/// that cannot be made here (no makedumpfile) is left out with a message.
///
/// # Panics
/// As [`all_truths`], and if a dump cannot be unpacked.
pub fn real_dumps() -> Option<Vec<RealDump>> {
    let dumps: Vec<RealDump> = all_truths().into_iter().filter_map(prepare).collect();
    (!dumps.is_empty()).then_some(dumps)
}

/// One real dump by name; `None` if it is not there or cannot be made.
///
/// # Panics
/// As [`real_dumps`].
pub fn real_dump(name: &str) -> Option<RealDump> {
    let path = folder().join(format!("{name}.json"));
    if !path.is_file() {
        missing(&format!("no real dumps at {}", path.display()));
        return None;
    }
    prepare(load_truth(&path))
}

fn prepare(truth: Truth) -> Option<RealDump> {
    let files = truth.files().iter().map(|file| locate(&file.name, file.size)).collect::<Option<Vec<_>>>()?;
    Some(RealDump { name: truth.name(), files, truth: truth.json().clone() })
}

/// The file as it is stored, or unpacked or made in the cache folder.
fn locate(name: &str, size: u64) -> Option<PathBuf> {
    let stored = folder().join(name);
    if stored.is_file() {
        return Some(stored);
    }
    // Tests of one program run at once; the rename below is for the others.
    static MAKING: Mutex<()> = Mutex::new(());
    let _guard = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let cached = cache_folder().join(name);
    if fs::metadata(&cached).is_ok_and(|metadata| metadata.len() == size) {
        return Some(cached);
    }
    let packed = folder().join(format!("{name}.zst"));
    let made = MADE.iter().find(|row| row.0 == name);
    fs::create_dir_all(cache_folder()).expect("cache folder");
    let partial = cache_folder().join(format!("{name}.{}.tmp", std::process::id()));
    if packed.is_file() {
        unpack(&packed, &partial);
    } else if let Some(&(_, options, source)) = made {
        let Some(program) = peer::makedumpfile() else {
            missing(&format!("no makedumpfile to make {name}"));
            return None;
        };
        make(&program, options, &folder().join(source), &partial);
    } else {
        missing(&format!("no file {}", stored.display()));
        return None;
    }
    let got = fs::metadata(&partial).expect("unpacked file").len();
    assert_eq!(got, size, "size of {name}");
    fs::rename(&partial, &cached).expect("rename in the cache folder");
    Some(cached)
}

fn unpack(packed: &Path, to: &Path) {
    let mut out = fs::File::create(to).expect("file in the cache folder");
    if let Some(program) = peer::program("zstd") {
        let stdout = Stdio::from(out);
        let status = Command::new(program).args(["-dcq", "--"]).arg(packed).stdout(stdout).status();
        assert!(status.is_ok_and(|status| status.success()), "zstd -dc {}", packed.display());
        return;
    }
    let file = fs::File::open(packed).expect("packed dump");
    unpack_stream(std::io::BufReader::new(file), &mut out);
}

/// Unpacks without the zstd program.
fn unpack_stream(packed: impl Read, out: &mut impl Write) {
    zstd::stream::copy_decode(packed, out).expect("zstd data unpacks into the cache folder");
}

fn make(program: &Path, options: &[&str], source: &Path, to: &Path) {
    let mut command = Command::new(program);
    command.args(options).arg(source);
    if options.contains(&"-F") {
        command.stdout(fs::File::create(to).expect("file in the cache folder"));
    } else {
        command.arg(to).stdout(Stdio::null());
    }
    let output = command.stderr(Stdio::piped()).output().expect("makedumpfile runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "makedumpfile {options:?}: {said}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dump_has_files_of_the_right_size() {
        let Some(dumps) = real_dumps() else { return };
        for dump in &dumps {
            for (path, file) in dump.files.iter().zip(dump.truth().files()) {
                assert_eq!(fs::metadata(path).unwrap().len(), file.size, "{}", dump.name);
            }
        }
        assert!(dumps.iter().any(|dump| dump.files.len() > 1), "the split set");
    }

    #[test]
    fn packed_dumps_unpack_without_the_zstd_program() {
        let plain: Vec<u8> = (0..600).flat_map(crate::image::page_bytes).collect();
        let mut out = Vec::new();
        unpack_stream(crate::compress::zstd_level(&plain, 3).as_slice(), &mut out);
        assert!(out == plain);
    }

    #[test]
    fn the_peer_agrees_with_the_ground_truth_of_a_small_dump() {
        let Some(dump) = real_dump("kdump-ppc64el.kdump-zlib-d31") else { return };
        let Some(report) = peer::report(&dump.files, &[]) else { return };
        let truth = dump.truth().as_opened();
        assert_eq!(report.pages().unwrap().sha256, truth.pages().unwrap().sha256);
        assert_eq!(report.bitmap("file.pagemap"), truth.bitmap("file.pagemap"));
    }
}
