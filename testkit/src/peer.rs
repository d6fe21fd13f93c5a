//! The programs of the distribution that tests compare with.
//!
//! None of them is needed: each helper says whether its program is there.
//! Debian 12 has libkdumpfile 0.5.1, which is older than the descriptions that
//! the builders follow: it knows no flattened streams, no registers of arm and
//! riscv64, no ERASEINFO and only the packed layout of 32-bit sub-headers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::truth::Report;

/// The Python interpreter that Debian's `python3-libkdumpfile` belongs to.
pub const PYTHON: &str = "/usr/bin/python3";

/// The program of this name in `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// makedumpfile, if it is installed.
pub fn makedumpfile() -> Option<PathBuf> {
    program("makedumpfile")
}

/// Whether [`PYTHON`] can import `kdumpfile` (asked once).
pub fn python_kdumpfile() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| python("import kdumpfile"))
}

fn python(script: &str) -> bool {
    let mut command = Command::new(PYTHON);
    command.args(["-c", script]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether tests run in continuous integration, where nothing may be skipped
/// for want of a program or a file (`CI=true`).
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Runs a program to its end with `input` on its standard input.
///
/// # Errors
/// The text of why it could not run, or what it said on standard error.
pub fn pipe(program: &Path, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let output = std::thread::scope(|scope| {
        // A program that stops early closes its end; its status tells why.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output()
    })
    .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

/// Runs `makedumpfile -R`, which turns a flattened stream into a plain file.
///
/// # Errors
/// What makedumpfile said.
pub fn rearrange(stream: &[u8]) -> Result<Vec<u8>, String> {
    let program = makedumpfile().ok_or("no makedumpfile")?;
    let dir = scratch_dir("rearrange");
    let file = dir.join("plain");
    let text = |error: std::io::Error| error.to_string();
    let result = pipe(&program, &["-R", file.to_str().expect("UTF-8 path")], stream)
        .and_then(|_| std::fs::read(&file).map_err(text));
    std::fs::remove_dir_all(&dir).map_err(text)?;
    result
}

/// A new directory for one use below the system's temporary directory.
pub fn scratch_dir(purpose: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("kdumpfile-testkit-{}-{purpose}-{number}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    dir
}

/// Whether the peer's shared library (`libkdumpfile.so.10`) can be loaded
/// through Python (asked once).
pub fn library() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| {
        let usable = python("import ctypes; ctypes.CDLL('libkdumpfile.so.10')");
        assert!(usable || !in_ci(), "libkdumpfile10 is not installed, but CI=true");
        usable
    })
}

/// What the peer library says about a set of files, in the layout of the
/// ground truth files; `None` if the library is not installed.
///
/// `attrs` are string or number attributes to set before the files are opened,
/// as (`path`, `value`); values of digits only become numbers. All pages that
/// `file.pagemap` names below PFN 2^20 (all below `max_pfn` where there is no
/// pagemap) are read as MACHPHYSADDR.
///
/// # Panics
/// With `CI=true` if the library is not installed; if it crashes or an
/// attribute cannot be set.
pub fn report(files: &[impl AsRef<Path>], attrs: &[(&str, &str)]) -> Option<Report> {
    if !library() {
        return None;
    }
    let mut command = Command::new(PYTHON);
    command.args(["-c", include_str!("peer_report.py"), &files.len().to_string()]);
    command.args(files.iter().map(AsRef::as_ref));
    command.args(attrs.iter().map(|(path, value)| format!("{path}={value}")));
    let output = command.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "peer: {}: {said}", output.status);
    Some(Report::new(serde_json::from_slice(&output.stdout).expect("peer prints JSON")))
}

/// Like [`report`], for a set of file images in memory.
pub fn report_images(images: &[impl AsRef<[u8]>], attrs: &[(&str, &str)]) -> Option<Report> {
    let dir = scratch_dir("report");
    let write = |(i, image): (usize, &_)| {
        let file = dir.join(format!("dump{i}"));
        std::fs::write(&file, AsRef::<[u8]>::as_ref(image)).expect("scratch file");
        file
    };
    let files: Vec<PathBuf> = images.iter().enumerate().map(write).collect();
    let report = report(&files, attrs);
    std::fs::remove_dir_all(&dir).expect("scratch directory");
    report
}

/// Like [`report`], for one file image in memory.
pub fn report_image(image: &[u8], attrs: &[(&str, &str)]) -> Option<Report> {
    report_images(&[image], attrs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Codec;
    use crate::diskdump::DiskdumpBuilder;
    use crate::image::{RamImage, page_bytes};
    use crate::notes::Utsname;

    #[test]
    fn the_peer_opens_sets_with_attributes_and_says_why_it_cannot() {
        let builder = DiskdumpBuilder::default()
            .utsname(Utsname::empty())
            .pages((0..130).map(|pfn| (pfn, page_bytes(pfn))), Codec::Zlib);
        let Some(report) = report_images(&builder.build_set(&[64]), &[("arch.name", "s390x")]) else {
            return;
        };
        assert_eq!(report.string("arch.name").as_deref(), Some("s390x"));
        assert_eq!(report.number("file.set.number"), Some(2));
        let expected = RamImage::new(0, 4096).expected(0..130);
        assert_eq!(report.pages().unwrap().sha256, expected.sha256());
        let report = report_image(b"nothing of the kind", &[]).unwrap();
        assert_eq!(report.open_status(), 2);
        assert!(report.open_error().unwrap().ends_with("Unknown file format"));
    }

    #[test]
    fn pipe_gives_the_output_or_what_was_said_on_standard_error() {
        let cat = program("cat").unwrap();
        let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        assert!(pipe(&cat, &[], &data).unwrap() == data);
        let failure = pipe(&cat, &["/nonexistent/file"], &[]).unwrap_err();
        assert!(failure.contains("/nonexistent/file"), "{failure}");
        assert!(program("no-such-program-anywhere").is_none());
    }
}
