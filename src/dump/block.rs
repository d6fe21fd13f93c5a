//! Pages of a dump, wherever they are: in a file that lends its bytes, in the
//! page cache, or in a buffer.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::ops::Deref;

use super::Opened;
use crate::attr::Geometry;
use crate::cache::{Key, Lookup, Page, PageCache};
use crate::error::{Error, Result, Status};
use crate::format::{Address, Filled, Place, Scratch};
use crate::io::FileSet;
use crate::sync::{Lock, Shared};

/// The largest page that is put into a buffer, in bytes. The kernel's largest
/// page size is 1 MiB (hexagon); a dump may claim any power of two, and one
/// page of that must not take all memory.
const PAGE_BUFFER_MAX: usize = 16 << 20;

/// There is no memory for a page, or it is not worth it.
#[cold]
fn no_page_buffer(size: usize) -> Error {
    Error::system(format!("Cannot allocate page buffer ({size} bytes)"))
}

/// Buffers that whoever reads pages uses again and again. They are taken while
/// a page is being filled; a source that reads from the same place meanwhile
/// gets others.
#[derive(Default)]
pub(crate) struct PageBuffers(Lock<Option<Box<Buffers>>>);

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    /// A page that is in no slot of the cache.
    private: Vec<u8>,
}

impl PageBuffers {
    fn with<R>(&self, body: impl FnOnce(&mut Buffers) -> R) -> R {
        let taken = self.0.lock().take();
        let mut buffers = taken.unwrap_or_default();
        let result = body(&mut buffers);
        let left = self.0.lock().replace(buffers);
        drop(left);
        result
    }
}

/// A page, for as long as somebody looks at it.
pub(crate) enum Held<'a> {
    /// In a file that lends its bytes.
    InFile { bytes: &'a [u8], file: usize, position: u64 },
    /// In the page cache, pinned.
    Cached(Page),
    /// In a buffer that will be used again.
    Private(&'a [u8]),
}

impl Deref for Held<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Held::InFile { bytes, .. } | Held::Private(bytes) => bytes,
            Held::Cached(page) => page,
        }
    }
}

/// A page that somebody keeps for a while.
pub(crate) enum Block {
    /// In the page cache, pinned.
    Cached(Page),
    /// In a file that lends its bytes.
    InFile { files: Shared<FileSet>, file: usize, position: u64, size: usize },
    /// Here only.
    Own(Vec<u8>),
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        match self {
            Block::Cached(page) => page,
            Block::InFile { files, file, position, size } => {
                files.borrow(*file, *position, *size).unwrap_or(&[])
            }
            Block::Own(bytes) => bytes,
        }
    }
}

impl Opened {
    /// log2 of the page size, and the cache for such pages.
    ///
    /// # Errors
    /// `Invalid` while the page size is not known.
    #[inline]
    pub fn page_cache(&self) -> Result<(u32, &PageCache)> {
        match &self.pages {
            Some((shift, cache)) => Ok((*shift, cache)),
            None => Err(Error::invalid("Page size is not known: set attribute arch.page_size")),
        }
    }

    /// Copies bytes of a page from `start` on, if it is cached.
    #[inline]
    pub fn copy_cached(&self, page: Address, start: usize, buf: &mut [u8]) -> bool {
        let key = Key { address: page.value, space: page.space as u8 };
        self.pages.as_ref().is_some_and(|(_, cache)| cache.copy(key, start, buf))
    }

    /// Calls `look` with the page at `page`, which is at `place`.
    ///
    /// # Errors
    /// `Corrupt` for a page that cannot be unpacked, `Busy` if every slot of
    /// the cache is taken, `NoData` for a place by another address.
    #[inline]
    pub fn look_at<R>(
        &self,
        geometry: &Geometry,
        page: Address,
        place: Place,
        buffers: &PageBuffers,
        look: impl FnOnce(Held<'_>) -> R,
    ) -> Result<R> {
        let (_, cache) = self.page_cache()?;
        let size = cache.page_size();
        match place {
            Place::Stored { file, position } => match self.files.borrow(file, position, size) {
                Some(bytes) => Ok(look(Held::InFile { bytes, file, position })),
                None => buffers.with(|buffers| {
                    let bytes = buffer(&mut buffers.private, size)?;
                    self.files.read(file, position, bytes)?;
                    Ok(look(Held::Private(bytes)))
                }),
            },
            Place::Translate => Err(Error::no_data("Page not found")),
            Place::Filled if size > PAGE_BUFFER_MAX => Err(no_page_buffer(size)),
            Place::Filled => match cache.get(Key { address: page.value, space: page.space as u8 }) {
                Lookup::Hit(found) => Ok(look(Held::Cached(found))),
                Lookup::Busy(busy) => Err(Error::new(Status::Busy, format!("{busy}"))),
                Lookup::NoMemory => Err(no_page_buffer(size)),
                Lookup::Fill(mut slot) => buffers.with(|buffers| {
                    let filled = self.format.fill(geometry, page, slot.bytes(), &mut buffers.scratch)?;
                    if filled == Filled::Synthetic {
                        return Ok(look(Held::Private(slot.bytes())));
                    }
                    match slot.commit() {
                        Some(found) => Ok(look(Held::Cached(found))),
                        None => Err(Error::bare(Status::Busy)),
                    }
                }),
                Lookup::InFlight => buffers.with(|buffers| {
                    let bytes = buffer(&mut buffers.private, size)?;
                    self.format.fill(geometry, page, bytes, &mut buffers.scratch)?;
                    Ok(look(Held::Private(bytes)))
                }),
            },
        }
    }

    /// The page that contains `address`, to keep, and where it begins; `None`
    /// for an address that is to be translated.
    ///
    /// # Errors
    /// `NoData` for a page that is not stored, and those of [`Opened::look_at`].
    pub fn block(
        &self,
        geometry: &Geometry,
        address: Address,
        buffers: &PageBuffers,
    ) -> Result<Option<(u64, Block)>> {
        let (shift, _) = self.page_cache()?;
        let start = address.value >> shift << shift;
        let page = Address { value: start, ..address };
        let place = match self.format.locate(geometry, page)? {
            Place::Translate => return Ok(None),
            place => place,
        };
        self.keep(geometry, page, place, buffers).map(|block| Some((start, block)))
    }

    /// The page at `page`, which is at `place`, to keep.
    ///
    /// # Errors
    /// Those of [`Opened::look_at`].
    pub fn keep(
        &self,
        geometry: &Geometry,
        page: Address,
        place: Place,
        buffers: &PageBuffers,
    ) -> Result<Block> {
        self.look_at(geometry, page, place, buffers, |held| match held {
            Held::InFile { bytes, file, position } => {
                Block::InFile { files: self.files.clone(), file, position, size: bytes.len() }
            }
            Held::Cached(page) => Block::Cached(page),
            Held::Private(bytes) => Block::Own(bytes.to_vec()),
        })
    }
}

/// The first `size` bytes of a buffer that grows when it must.
fn buffer(buffer: &mut Vec<u8>, size: usize) -> Result<&mut [u8]> {
    if size > PAGE_BUFFER_MAX {
        return Err(no_page_buffer(size));
    }
    if buffer.len() < size {
        let missing = size - buffer.len();
        buffer.try_reserve_exact(missing).map_err(|_| no_page_buffer(size))?;
        buffer.resize(size, 0);
    }
    Ok(&mut buffer[..size])
}
