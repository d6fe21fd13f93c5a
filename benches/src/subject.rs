//! What is measured: libraries that open dumps, behind one interface.
//!
//! Calls through the interface are for thousands of reads at a time, so that
//! the interface itself costs nothing.

use std::ffi::CStr;
use std::hint::black_box;
use std::path::PathBuf;

use kdumpfile::{Context, Space, Value};

use crate::c::CLibrary;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The environment variable that tells other processes of a run where our
/// `libkdumpfile.so.10` is.
pub const OUR_C: &str = "KDUMPFILE_BENCH_C";

/// One of the libraries that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Our Rust API.
    Rust,
    /// Our C ABI, as `cargo run -p xtask -- install-capi` builds it.
    OurC,
    /// The C library of the distribution.
    Peer,
}

impl Subject {
    pub const ALL: [Subject; 3] = [Subject::Rust, Subject::OurC, Subject::Peer];

    /// As tables and JSON name it.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Rust => "rust",
            Subject::OurC => "c",
            Subject::Peer => "peer",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// Loads the library; it stays until the process ends.
    pub fn load(self) -> Outcome<&'static dyn Library> {
        let file = match self {
            Subject::Rust => return Ok(&OurRust),
            Subject::OurC => std::env::var_os(OUR_C).ok_or("our C ABI is not built")?.into(),
            Subject::Peer => PathBuf::from("libkdumpfile.so.10"),
        };
        Ok(Box::leak(Box::new(CLibrary::load(&file)?)))
    }
}

/// A library that opens dumps.
pub trait Library: Sync {
    fn subject(&self) -> Subject;
    /// Opens the dump that these files make up.
    fn open(&'static self, paths: &[PathBuf]) -> Outcome<Box<dyn Dump>>;
}

/// One context. It may move to another thread.
pub trait Dump: Send {
    /// Another context for the same dump.
    fn another(&self) -> Outcome<Box<dyn Dump>>;
    /// Fills `buffer` at each of these addresses; how many reads failed.
    fn read_each(&mut self, space: Space, addresses: &[u64], buffer: &mut [u8]) -> u64;
    /// The same, and a sum over all bytes, which depends on their order.
    fn sum_each(&mut self, space: Space, addresses: &[u64], buffer: &mut [u8]) -> (u64, u64) {
        let (mut failed, mut sum) = (0, 0);
        for address in addresses {
            buffer.fill(0);
            failed += self.read_each(space, std::slice::from_ref(address), buffer);
            for word in buffer.chunks_exact(8) {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                sum = u64::rotate_left(sum, 5).wrapping_add(word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
        (failed, sum)
    }
    /// Adds up the words of the pages at these addresses, as they can be had
    /// fastest; how many reads failed, and the sum.
    fn look_each(&mut self, space: Space, addresses: &[u64], buffer: &mut [u8]) -> (u64, u64) {
        let (mut failed, mut sum) = (0, 0);
        for address in addresses {
            failed += self.read_each(space, std::slice::from_ref(address), buffer);
            sum = total(buffer).wrapping_add(sum);
        }
        (failed, sum)
    }
    /// Asks for each of these attributes so many times; how many had no value.
    fn get_each(&mut self, keys: &[&CStr], times: u64) -> u64;
    fn set_number(&mut self, key: &CStr, number: u64) -> Outcome<()>;
    fn set_text(&mut self, key: &CStr, text: &CStr) -> Outcome<()>;
}

/// The sum of all words; several at a time, so that adding is not what takes
/// the time.
fn total(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 8];
    let (lines, _) = bytes.as_chunks::<64>();
    for line in lines {
        let (words, _) = line.as_chunks();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

struct OurRust;

impl Library for OurRust {
    fn subject(&self) -> Subject {
        Subject::Rust
    }

    fn open(&'static self, paths: &[PathBuf]) -> Outcome<Box<dyn Dump>> {
        let dump = Context::new();
        dump.open_paths(paths)?;
        Ok(Box::new(dump))
    }
}

impl Dump for Context {
    fn another(&self) -> Outcome<Box<dyn Dump>> {
        Ok(Box::new(self.clone()))
    }

    fn read_each(&mut self, space: Space, addresses: &[u64], buffer: &mut [u8]) -> u64 {
        let mut failed = 0;
        for address in addresses {
            failed += u64::from(self.read(space, *address, buffer).is_err());
            black_box(&buffer);
        }
        failed
    }

    fn look_each(&mut self, space: Space, addresses: &[u64], _: &mut [u8]) -> (u64, u64) {
        let (mut failed, mut sum) = (0, 0);
        for address in addresses {
            match self.page(space, *address) {
                Ok(page) => sum = total(&page).wrapping_add(sum),
                Err(_) => failed += 1,
            }
        }
        (failed, sum)
    }

    fn get_each(&mut self, keys: &[&CStr], times: u64) -> u64 {
        let keys: Vec<&str> = keys.iter().filter_map(|key| key.to_str().ok()).collect();
        let mut failed = 0;
        for _ in 0..times {
            for key in &keys {
                failed += u64::from(black_box(self.get(key)).is_err());
            }
        }
        failed
    }

    fn set_number(&mut self, key: &CStr, number: u64) -> Outcome<()> {
        Ok(self.set(key.to_str()?, Value::Number(number))?)
    }

    fn set_text(&mut self, key: &CStr, text: &CStr) -> Outcome<()> {
        Ok(self.set(key.to_str()?, Value::from(text.to_str()?))?)
    }
}
