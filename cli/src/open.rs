//! Opening dumps, and what to say when that fails.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kdumpfile::format::FORMATS;
use kdumpfile::sync::Shared;
use kdumpfile::{Bitmap, Context, Error, Space, Status};

use crate::failure::{Failure, Result};
use crate::progress::Unpacking;
use crate::raw::{self, RawImage};
use crate::settings::{self, Setting};

/// Names the built-in sample in the place of a file.
pub const SAMPLE: &str = "sample:";

/// What the sample is called in messages.
const SAMPLE_NAME: &str = "sample";

/// A real dump with a few hundred of its pages; see `sample/README.md`.
static SAMPLE_DUMP: &[u8] = include_bytes!("../sample/vmcore.sample");

/// An open dump.
pub struct Dump {
    /// The dump itself.
    pub context: Context,
    /// What to call it in messages.
    pub name: String,
    /// Whether it is the built-in sample.
    pub sample: bool,
    /// Size of all files in bytes, as far as it is known.
    pub file_bytes: u64,
}

/// Opens the dump that these files make up, or that these images of memory do,
/// with what the user says of it.
pub fn open(files: &[PathBuf], images: &[RawImage], settings: &[Setting]) -> Result<Dump> {
    if images.is_empty() && files.iter().any(|file| file.as_os_str() == SAMPLE) {
        return match files {
            [_] => open_sample(settings),
            _ => Err(Failure::Usage(format!("{SAMPLE} is a whole dump: it goes with no other FILE"))),
        };
    }
    let name = files.first().map(|file| file.display().to_string()).unwrap_or_default();
    let context = Context::new();
    let files = &raw::files(files, images)?[..];
    raw::prepare(&context, images).map_err(|error| Failure::Usage(error.to_string()))?;
    let set = settings::before_opening(&context, settings)?;
    context.watch_unpacking(Some(Shared::new(Unpacking::default())));
    let mut opened = context.open_paths(files);
    let pair;
    let mut files = files;
    if let ([state], Err(error)) = (files, &opened)
        && error.message().contains(".vmem")
        && let memory = state.with_extension("vmem")
        && memory.is_file()
    {
        eprintln!("kdumpfile: the memory is in {}", memory.display());
        pair = [state.clone(), memory];
        files = &pair;
        opened = context.open_paths(files);
    }
    context.watch_unpacking(None);
    match opened {
        Ok(()) => {
            settings::after_opening(&context, &name, settings, &set)?;
            let sizes = files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len()));
            let file_bytes = sizes.fold(0, u64::saturating_add);
            Ok(Dump { context, name, sample: false, file_bytes })
        }
        Err(error) => Err(Failure::dump(&name, &error).with_hint(open_hint(&error, files))),
    }
}

/// Opens the built-in sample.
pub fn open_sample(settings: &[Setting]) -> Result<Dump> {
    let context = Context::new();
    let set = settings::before_opening(&context, settings)?;
    let opened = context
        .set_file_names(&[Some(SAMPLE_NAME)])
        .and_then(|()| context.open(vec![Shared::new(SAMPLE_DUMP)]));
    opened.map_err(|error| Failure::dump(SAMPLE_NAME, &error))?;
    settings::after_opening(&context, SAMPLE_NAME, settings, &set)?;
    Ok(Dump { context, name: SAMPLE_NAME.into(), sample: true, file_bytes: SAMPLE_DUMP.len() as u64 })
}

impl Dump {
    /// A failure about this dump.
    pub fn failure(&self, error: &Error) -> Failure {
        Failure::dump(&self.name, error)
    }

    /// `arch.page_size` in bytes: the unit of PFNs.
    pub fn page_size(&self) -> Result<u64> {
        let size = self.context.number("arch.page_size").map_err(|error| {
            let error = error.context("arch.page_size");
            self.failure(&error)
        })?;
        if size.is_power_of_two() {
            Ok(size)
        } else {
            Err(Failure::Dump { text: format!("{}: arch.page_size is {size}", self.name), hint: None })
        }
    }

    /// The bitmap at `path`.
    pub fn bitmap(&self, path: &'static str) -> Result<Bitmap> {
        self.context.bitmap(path).map_err(|error| self.failure(&error.context(path)))
    }

    /// The address space to read physical addresses of the kernel in: without
    /// Xen they are those of the machine, which some formats only know.
    pub fn kernel_physical(&self) -> Space {
        let xen = self.context.number("xen.type").is_ok_and(|kind| kind != 0);
        if xen || self.context.spaces().contains(Space::KernelPhysical) {
            Space::KernelPhysical
        } else {
            Space::MachinePhysical
        }
    }

    /// What to advise after a failed read.
    pub fn read_hint(&self, error: &Error) -> Option<String> {
        if error.status() != Status::NoData {
            return None;
        }
        if self.context.get("file.set.missing").is_ok() {
            return Some("a part of the split dump is missing; name all of its files".into());
        }
        Some("the page is not in the dump; 'kdumpfile pages' lists those that are".into())
    }
}

/// What to advise when a dump cannot be opened. Archives that cannot be read
/// in place need no advice: the error says how to unpack them.
fn open_hint(error: &Error, files: &[PathBuf]) -> Option<String> {
    files.iter().find_map(|file| file_hint(file)).or_else(|| {
        (error.status() == Status::NotImplemented && error.message().contains("Unknown file format")).then(
            || {
                let names = |reads: bool| -> Vec<&str> {
                    FORMATS.iter().filter(|row| row.reads == reads).map(|row| row.name).collect()
                };
                let (read, refused) = (names(true).join(", "), names(false).join(", "));
                format!("known formats: {read}; recognised only: {refused}")
            },
        )
    })
}

fn file_hint(path: &Path) -> Option<String> {
    let name = path.display();
    let metadata = match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Some("dumps hold secrets and mostly belong to root; try with sudo".into());
        }
        Err(_) => return None,
    };
    if metadata.is_dir() {
        return Some(format!("{name} is a folder; name the dump in it"));
    }
    (metadata.is_file() && metadata.len() == 0).then(|| format!("{name} is empty: nothing was saved"))
}
