//! The headers of a SADUMP file, as data. All of them are little endian.
//!
//! ```text
//!              single partition     disk set, disk 1     media backup
//!   0                                                    media header, 4096 bytes
//!   P          partition header     partition header     partition header
//!   P + B      dump header          disk set header      dump header
//! ```
//!
//! The block size `B` stands nowhere in front of the dump header: the rest of
//! the partition header's block is filled with a row of numbers that ends with
//! the block.

use alloc::format;
use alloc::vec::Vec;

use crate::arch::ByteOrder;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

const ORDER: ByteOrder = ByteOrder::Little;

/// A GUID or an EFI time: compared, never looked into.
pub type Id = [u8; 16];

/// `sadump` of the partition header: `"sadu"` and `"mp\0\0"`.
const SIGNATURE: [u8; 8] = *b"sadump\0\0";

/// Bytes of the partition header up to the row of numbers.
const PARTITION_BYTES: usize = 168;
/// Bytes of the media header that are used.
const MEDIA_BYTES: usize = 48;
/// Bytes that the media header takes, whatever the block size.
const MEDIA_SIZE: u64 = 4096;
/// Bytes of the dump header.
const DUMP_BYTES: usize = 120;
/// Blocks larger than this are none; all known dumps have 4096 bytes.
const BLOCK_MAX: u64 = 1 << 20;

fn id(raw: &[u8], at: usize) -> Id {
    raw.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; 16])
}

/// What stands in front of every file of a dump.
#[derive(Clone, Copy)]
pub struct Partition {
    /// Byte position of this header: 0, or behind the media header.
    pub position: u64,
    /// The media header of a backup.
    pub media: Option<Media>,
    /// The system (GUID at 88).
    pub sadump_id: Id,
    /// The set (GUID at 104).
    pub disk_set_id: Id,
    /// This device (GUID at 120).
    pub vol_id: Id,
    /// When the dump was taken (EFI time at 136).
    pub time_stamp: Id,
    /// Number of this disk in its set, from 1; 0 for a single partition (u32
    /// at 152).
    pub set_disk_set: u32,
    /// Bytes used on this device, from its start (u64 at 160).
    pub used_device: u64,
}

/// What stands in front of a dump that was copied to other media.
#[derive(Clone, Copy)]
pub struct Media {
    /// GUID at 0.
    sadump_id: Id,
    /// GUID at 16.
    disk_set_id: Id,
    /// EFI time at 32.
    time_stamp: Id,
}

impl Partition {
    /// Reads the header of a file; `None` if that is no file of a SADUMP.
    ///
    /// # Errors
    /// `Cannot read dump header`.
    pub fn read(files: &FileSet, file: usize) -> Result<Option<Partition>> {
        let mut raw = [0; PARTITION_BYTES];
        let unread = || "Cannot read dump header";
        files.read(file, 0, &mut raw).context(unread)?;
        if raw.starts_with(&SIGNATURE) {
            return Ok(Some(Self::decode(&raw, 0, None)));
        }
        // A file that ends in front of the second header needs no look at it.
        if files.len(file).is_some_and(|end| end <= MEDIA_SIZE) {
            return Ok(None);
        }
        let media = Media {
            sadump_id: id(&raw, 0),
            disk_set_id: id(&raw, 16),
            time_stamp: id(raw.get(..MEDIA_BYTES).unwrap_or_default(), 32),
        };
        files.read(file, MEDIA_SIZE, &mut raw).context(unread)?;
        Ok(raw.starts_with(&SIGNATURE).then(|| Self::decode(&raw, MEDIA_SIZE, Some(media))))
    }

    fn decode(raw: &[u8], position: u64, media: Option<Media>) -> Partition {
        Partition {
            position,
            media,
            sadump_id: id(raw, 88),
            disk_set_id: id(raw, 104),
            vol_id: id(raw, 120),
            time_stamp: id(raw, 136),
            set_disk_set: ORDER.u32(raw, 152),
            used_device: ORDER.u64(raw, 160),
        }
    }

    /// Number of this disk in its set; 0 if it is not one of a set.
    pub fn disk(&self) -> u32 {
        if self.media.is_some() { 0 } else { self.set_disk_set }
    }

    /// Whether the media header is one of this very dump.
    ///
    /// # Errors
    /// `Corrupt` (`Partition <field> does not match media backup header`).
    pub fn check_media(&self) -> Result<()> {
        let Some(media) = &self.media else { return Ok(()) };
        for (what, ours, theirs) in [
            ("system ID", &self.sadump_id, &media.sadump_id),
            ("disk set ID", &self.disk_set_id, &media.disk_set_id),
            ("timestamp", &self.time_stamp, &media.time_stamp),
        ] {
            if ours != theirs {
                return Err(Error::corrupt(format!("Partition {what} does not match media backup header")));
            }
        }
        Ok(())
    }

    /// Bytes of a block: where the row of numbers behind the header ends. Each
    /// of them is 11 times (its predecessor + 7), the first one is arbitrary.
    ///
    /// # Errors
    /// `Cannot read magic number at <position>`; `Corrupt` (`Invalid magic
    /// number at <position>`) if the row does not end at a power of two.
    pub fn block_size(&self, files: &FileSet, file: usize) -> Result<u64> {
        let mut offset = PARTITION_BYTES as u64;
        let end = files.len(file).map_or(u64::MAX, |end| end.saturating_sub(self.position));
        let mut expected = None;
        let mut chunk = [0; 512];
        'row: while offset <= BLOCK_MAX {
            let at = self.position + offset;
            let known = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(chunk.len());
            let chunk = &mut chunk[..known];
            files
                .read(file, at, chunk)
                .context(|| format!("Cannot read magic number at {}", self.position))?;
            let (numbers, _) = chunk.as_chunks::<4>();
            for number in numbers {
                let number = u32::from_le_bytes(*number);
                if expected.is_some_and(|expected| expected != number) {
                    break 'row;
                }
                expected = Some(number.wrapping_add(7).wrapping_mul(11));
                offset += 4;
            }
            // The end of the file ends the row as well.
            if numbers.len() < 512 / 4 {
                break;
            }
        }
        if !offset.is_power_of_two() || offset > BLOCK_MAX {
            return Err(Error::corrupt(format!("Invalid magic number at {}", self.position + offset)));
        }
        Ok(offset)
    }
}

/// Bytes of the disk set header in front of its volumes.
const DISK_SET_BYTES: u64 = 16;
/// Bytes of one volume.
const VOLUME_BYTES: u64 = 32;

/// What disk 1 of a set says about the set.
pub struct DiskSet {
    /// Bytes that it takes.
    pub size: u64,
    /// GUIDs of the volumes, as many as there are disks or less.
    volumes: Vec<Id>,
}

impl DiskSet {
    /// Reads the header at `position` of a set of as many disks as there are
    /// files.
    ///
    /// # Errors
    /// `Cannot read disk set header size at <position>`, `Cannot read disk set
    /// header (<blocks> blocks) at <position>`; `Invalid` if files are missing
    /// or too many; `Corrupt` if the header has no room for the other disks.
    pub fn read(files: &FileSet, file: usize, position: u64, block_size: u64) -> Result<DiskSet> {
        let mut raw = [0; 4];
        files
            .read(file, position, &mut raw)
            .context(|| format!("Cannot read disk set header size at {position}"))?;
        let blocks = u32::from_le_bytes(raw);
        let size = u64::from(blocks) * block_size;
        let count = files.count() as u64;
        // Disk 1 needs no entry; who gives it one has one entry more.
        let needed = DISK_SET_BYTES + VOLUME_BYTES * count.saturating_sub(1);
        let too_short = || Error::corrupt(format!("Disk set header too short (need {needed}, have {size})"));
        if size < DISK_SET_BYTES {
            return Err(too_short());
        }
        let most = size.min(needed + VOLUME_BYTES);
        let raw = files
            .read_vec(file, position, most, u64::MAX)
            .context(|| format!("Cannot read disk set header ({blocks} blocks) at {position}"))?;
        let disks = ORDER.u32(&raw, 4);
        if u64::from(disks) != count {
            return Err(Error::invalid(format!(
                "Disk set comprises {disks} disk(s), but {count} file(s) given"
            )));
        }
        if size < needed {
            return Err(too_short());
        }
        let entries = raw.get(DISK_SET_BYTES as usize..).unwrap_or_default();
        let volumes = entries.chunks_exact(VOLUME_BYTES as usize).map(|entry| id(entry, 0)).collect();
        Ok(DiskSet { size, volumes })
    }

    /// Checks the volume of a disk from number 2 on.
    ///
    /// Real dumps list the disks other than disk 1; the reference takes the
    /// first entry for disk 1.
    ///
    /// # Errors
    /// `Corrupt` (`Disk #<disk> volume ID mismatch`).
    pub fn check(&self, disk: u32, vol_id: &Id) -> Result<()> {
        let entry = |back: u32| self.volumes.get(usize::try_from(disk.checked_sub(back)?).ok()?);
        if entry(2) == Some(vol_id) || entry(1) == Some(vol_id) {
            return Ok(());
        }
        Err(Error::corrupt(format!("Disk #{disk} volume ID mismatch")))
    }
}

/// What the dump is: one block of disk 1.
#[derive(Clone, Copy)]
pub struct DumpHeader {
    /// Blocks of the CPU states (u32 at 48).
    pub sub_hdr_size: u32,
    /// Blocks of the bitmap of memory (u32 at 52).
    pub bitmap_blocks: u32,
    /// Blocks of the bitmap of stored pages (u32 at 56).
    pub dumpable_bitmap_blocks: u32,
    /// Number of CPUs (u32 at 80).
    pub nr_cpus: u32,
    /// One above the highest PFN (u32 at 60, since version 1 u64 at 88).
    pub max_mapnr: u64,
}

impl DumpHeader {
    /// Reads the header at `position`. Its signature is not checked: the
    /// partition header has one.
    ///
    /// # Errors
    /// `Cannot read dump header`; `Corrupt` for another block size.
    pub fn read(files: &FileSet, file: usize, position: u64, block_size: u64) -> Result<DumpHeader> {
        let mut raw = [0; DUMP_BYTES];
        files.read(file, position, &mut raw).context(|| "Cannot read dump header")?;
        let found = ORDER.u32(&raw, 40);
        if u64::from(found) != block_size {
            return Err(Error::corrupt(format!(
                "Block size mismatch (header {found}, detected {block_size})"
            )));
        }
        let version = ORDER.u32(&raw, 8);
        Ok(DumpHeader {
            sub_hdr_size: ORDER.u32(&raw, 48),
            bitmap_blocks: ORDER.u32(&raw, 52),
            dumpable_bitmap_blocks: ORDER.u32(&raw, 56),
            nr_cpus: ORDER.u32(&raw, 80),
            max_mapnr: if version == 0 { ORDER.u32(&raw, 60).into() } else { ORDER.u64(&raw, 88) },
        })
    }
}
