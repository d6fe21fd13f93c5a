//! Reading memory: from addresses to pages of the dump.

use alloc::format;
use alloc::vec::Vec;

use super::{Context, no_way};
use crate::cache::Key;
use crate::dump::{Opened, Snapshot};
use crate::error::{Error, Result, ResultExt};
use crate::format::{Address, Place, Space};

/// As many bytes of a cached page are copied without pinning it. A number, or
/// a structure that is not large; others are not to wait for more.
const COPIED_AT_ONCE: usize = 256;

impl Context {
    /// Reads `buf.len()` bytes at `address`.
    ///
    /// # Errors
    /// `NoData` for pages that are not stored, `Corrupt` for pages that cannot
    /// be decompressed, `AddrXlat` for addresses that cannot be translated,
    /// `Busy` (`Cache is fully utilized`) if every slot of the page cache is
    /// pinned: a retry may succeed, and attribute `cache.size` should be
    /// raised if more threads read than there are slots.
    pub fn read(&self, space: Space, address: u64, buf: &mut [u8]) -> Result<()> {
        self.read_partial(space, address, buf).1
    }

    /// Reads all of `buf`, if that is at most 256 bytes of one page that is
    /// cached, at an address whose translation is known. `false` if it is not,
    /// and then nothing was done: [`Context::read`] is to be asked.
    ///
    /// That is the part of `read` that takes no memory and cannot fail, for
    /// those who count instructions.
    #[inline(always)]
    pub fn read_cached(&self, space: Space, address: u64, buf: &mut [u8]) -> bool {
        if !self.from_cache.get() || buf.len() > COPIED_AT_ONCE {
            return false;
        }
        let snapshot = self.snapshot();
        let Some(opened) = &snapshot.opened else { return false };
        let Some((shift, cache)) = &opened.pages else { return false };
        let address = Address { space, value: address };
        let known = match opened.spaces.contains(space) {
            true => Some((address, u64::MAX)),
            false => self.known_translation(&snapshot, address),
        };
        let Some((address, endoff)) = known else { return false };
        let start = address.value & ((1 << shift) - 1);
        let key = Key { address: address.value - start, space: address.space as u8 };
        let read = endoff >= buf.len() as u64 && cache.copy(key, start as usize, buf);
        if read {
            self.clear_error();
        }
        read
    }

    /// Like [`Context::read`], but also tells how many bytes were read before
    /// the page that failed; the rest of `buf` is untouched.
    #[inline]
    pub fn read_partial(&self, space: Space, address: u64, buf: &mut [u8]) -> (usize, Result<()>) {
        // What is asked for most often: a number in a page that is cached.
        if self.read_cached(space, address, buf) {
            return (buf.len(), Ok(()));
        }
        self.read_pages(space, address, buf)
    }

    /// The same, page by page.
    fn read_pages(&self, space: Space, address: u64, buf: &mut [u8]) -> (usize, Result<()>) {
        let mut done = 0;
        let result = self.call(|| {
            let snapshot = self.snapshot();
            let mut at = address;
            while done < buf.len() {
                let n = self.copy(&snapshot, Address { space, value: at }, &mut buf[done..])?;
                done += n;
                at = at.wrapping_add(n as u64);
            }
            Ok(())
        });
        (done, result)
    }

    /// Reads the bytes at `address` up to (without) the first NUL.
    ///
    /// # Errors
    /// Those of [`Context::read`]; `System` (`Cannot enlarge string to <n> bytes`).
    pub fn read_string(&self, space: Space, address: u64) -> Result<Vec<u8>> {
        self.call(|| {
            let snapshot = self.snapshot();
            let mut text = Vec::new();
            let mut at = address;
            loop {
                let ended = self.look(&snapshot, Address { space, value: at }, |bytes| {
                    let end = bytes.iter().position(|byte| *byte == 0);
                    let found = &bytes[..end.unwrap_or(bytes.len())];
                    at = at.wrapping_add(bytes.len() as u64);
                    text.try_reserve(found.len()).map_err(|_| {
                        Error::system(format!("Cannot enlarge string to {} bytes", text.len() + found.len()))
                    })?;
                    text.extend_from_slice(found);
                    Ok(end.is_some())
                })??;
                if ended {
                    return Ok(text);
                }
            }
        })
    }

    /// Copies the bytes from `address` to the end of its page, or of what
    /// translates alike, as far as `buf` has room for them: how many those are.
    #[inline]
    fn copy(&self, snapshot: &Snapshot, address: Address, buf: &mut [u8]) -> Result<usize> {
        // Where the last page came from the cache, this one may be there, too.
        if self.from_cache.get()
            && buf.len() <= COPIED_AT_ONCE
            && let Some(count) = self.copy_cached(snapshot, address, buf)
        {
            return Ok(count);
        }
        let (opened, part, place) = self.find(snapshot, address)?;
        self.from_cache.set(place == Place::Filled);
        let Part { page, start, end } = part;
        let count = (end - start).min(buf.len());
        let buf = &mut buf[..count];
        let bytes = start..start + count;
        opened.look_at(&snapshot.geometry, page, place, &self.buffers, |held| {
            buf.copy_from_slice(&held[bytes]);
            count
        })
    }

    /// The same, if the page is cached, without asking the format for it.
    #[inline]
    fn copy_cached(&self, snapshot: &Snapshot, address: Address, buf: &mut [u8]) -> Option<usize> {
        let opened = snapshot.opened.as_ref()?;
        let (address, endoff) = match opened.spaces.contains(address.space) {
            true => (address, u64::MAX),
            false => self.known_translation(snapshot, address)?,
        };
        let Part { page, start, end } = Part::of(opened, address, endoff).ok()?;
        let count = (end - start).min(buf.len());
        opened.copy_cached(page, start, &mut buf[..count]).then_some(count)
    }

    /// Calls `look` with the bytes from `address` to the end of its page, or
    /// of what translates alike.
    fn look<R>(&self, snapshot: &Snapshot, address: Address, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let (opened, part, place) = self.find(snapshot, address)?;
        let Part { page, start, end } = part;
        opened.look_at(&snapshot.geometry, page, place, &self.buffers, |held| look(&held[start..end]))
    }

    /// Finds the page of an address, and where that is.
    #[inline]
    pub(super) fn find<'a>(
        &self,
        snapshot: &'a Snapshot,
        address: Address,
    ) -> Result<(&'a Opened, Part, Place)> {
        let direct = snapshot.opened.as_ref().filter(|opened| opened.spaces.contains(address.space));
        let found = match direct {
            Some(opened) => {
                let part = Part::of(opened, address, u64::MAX)?;
                match opened.format.locate(&snapshot.geometry, part.page)? {
                    // Not dumped by this address; by another one, perhaps.
                    Place::Translate => self.translate(snapshot, &*self.system(snapshot)?, address)?,
                    place => return Ok((opened, part, place)),
                }
            }
            None => match self.known_translation(snapshot, address) {
                Some(known) => known,
                None => {
                    let system = self.system(snapshot)?;
                    self.translate(snapshot, &system, address).context(|| "Cannot get page I/O address")?
                }
            },
        };
        let (address, endoff) = found;
        let opened = snapshot.opened.as_ref().ok_or_else(|| no_way(snapshot))?;
        let part = Part::of(opened, address, endoff)?;
        let place = opened.format.locate(&snapshot.geometry, part.page)?;
        Ok((opened, part, place))
    }
}

/// A part of a page.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub page: Address,
    pub start: usize,
    pub end: usize,
}

impl Part {
    /// From `address` to the end of its page, and `endoff` behind it at most.
    #[inline]
    fn of(opened: &Opened, address: Address, endoff: u64) -> Result<Part> {
        let (shift, cache) = opened.page_cache()?;
        let start = (address.value & ((1u64 << shift) - 1)) as usize;
        let left = cache.page_size() - start;
        let wanted = usize::try_from(endoff).map_or(usize::MAX, |endoff| endoff.saturating_add(1));
        let page = Address { value: address.value - start as u64, ..address };
        Ok(Part { page, start, end: start + left.min(wanted) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::Value;
    use crate::error::Status;
    use crate::io::ReadAt;
    use crate::sync::Shared;
    use alloc::vec;

    /// Bytes that cannot be used in place.
    struct Stored(Vec<u8>);

    impl ReadAt for Stored {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            self.0.read_at(pos, buf)
        }
    }

    #[test]
    fn a_page_size_without_bounds_takes_no_memory() {
        use kdumpfile_testkit::elf::{ElfBuilder, Segment};
        let page_size = 1u64 << 33;
        let arch = kdumpfile_testkit::arch::Arch::X86_64;
        // A page that is stored as a whole, and one that must be put together.
        let whole = Segment::load(0, vec![7; 64]).memsz(2 * page_size).filesz(2 * page_size);
        let parts = Segment::load(4 * page_size, vec![7; 64]);
        let file = ElfBuilder::for_arch(arch).segment(whole).segment(parts).build();
        let dump = Context::new();
        dump.open(vec![Shared::new(Stored(file))]).unwrap();
        dump.set("arch.page_size", Value::Number(page_size)).unwrap();
        for address in [0, 4 * page_size] {
            let error = dump.read(Space::MachinePhysical, address, &mut [0; 64]).unwrap_err();
            assert_eq!(error.status(), Status::System);
            assert_eq!(error.message(), "Cannot allocate page buffer (8589934592 bytes)");
        }
    }
}
