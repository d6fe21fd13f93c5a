//! A progress bar for work that takes long, on a terminal only.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kdumpfile::io::Watch;

/// Work that ends sooner gets no bar.
const PATIENCE: Duration = Duration::from_millis(700);

/// How far some work is, on standard error.
pub struct Progress {
    began: Instant,
    total: u64,
    terminal: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work of `total` bytes begins.
    pub fn new(total: u64) -> Self {
        Progress { began: Instant::now(), total, terminal: std::io::stderr().is_terminal(), bar: None }
    }

    /// So many bytes are done.
    pub fn set(&mut self, done: u64) {
        if self.terminal && self.bar.is_none() && self.began.elapsed() > PATIENCE {
            let style = ProgressStyle::with_template(
                "{wide_bar} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
            );
            let bar = ProgressBar::new(self.total).with_elapsed(self.began.elapsed());
            self.bar = Some(match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            });
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar for the unpacking of an archive.
#[derive(Default)]
pub struct Unpacking(Mutex<Option<Progress>>);

impl Watch for Unpacking {
    fn unpacked(&self, done: u64, total: Option<u64>) {
        let (Some(total), Ok(mut progress)) = (total, self.0.lock()) else { return };
        // The archive of another file, or a block of this one.
        if progress.as_ref().is_some_and(|progress| progress.total != total) {
            *progress = None;
        }
        progress.get_or_insert_with(|| Progress::new(total)).set(done);
    }
}
