//! The dumps that are measured: real ones, and ones that are built from their
//! pages. What is built stays below the target folder for the next run.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kdumpfile::{Context, Space};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::flatten::Flattener;
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::{dumps, elf};

use crate::subject::Outcome;

/// Bytes of a page in everything that is built.
pub const PAGE: u64 = 4096;
/// Changes when built files change.
const VERSION: u32 = 1;
/// Pages of the dump for reads with many cached pages.
const MANY: u64 = 20_000;
/// Pages of memory where there are no real dumps.
const SYNTHETIC: u64 = 15_000;
/// Pages of the large ELF file where there are no real dumps.
const LARGE: u64 = 40_000;
/// Records of the flattened stream.
const RECORDS: usize = 1_000_000;
/// Pages that the sparse dumps have, evenly over their memory.
const SPARSE: u64 = 4096;

/// A dump, and what to call it.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub paths: Vec<PathBuf>,
}

/// All dumps.
pub struct Files {
    /// Dumps of one memory with pages of each codec, and stored as they are.
    pub codecs: Vec<Named>,
    /// The same memory as ELF.
    pub elf: Named,
    /// The file in which a kernel that crashed is, as that was written.
    pub vmcore: Option<Named>,
    /// An ELF file of more than 64 MiB, which the peer cannot keep mapped.
    pub large: Named,
    /// `MANY` pages, zlib.
    pub many: Named,
    /// Claims 1 TiB and 16 TiB of memory.
    pub sparse: [Named; 2],
    /// The dump with stored pages, as a flattened stream.
    pub flattened: Option<Named>,
    /// The memory in 16 files.
    pub split: Named,
}

/// Addresses of the pages in the dumps that claim much memory.
pub fn sparse_addresses(tebibytes: u64) -> Vec<u64> {
    sparse_pfns(tebibytes).map(|pfn| pfn * PAGE).collect()
}

fn sparse_pfns(tebibytes: u64) -> impl Iterator<Item = u64> {
    let step = (tebibytes << 40) / PAGE / SPARSE;
    (0..SPARSE).map(move |page| page * step + page % 7)
}

/// The folder for what is built.
fn folder() -> PathBuf {
    dumps::cache_folder().with_file_name("bench-files")
}

/// Makes a file, unless it is there.
fn built(name: &str, build: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<PathBuf> {
    fs::create_dir_all(folder())?;
    let path = folder().join(format!("v{VERSION}-{name}"));
    if !path.exists() {
        eprintln!("building {name}");
        let mut partial = OsString::from(&path);
        partial.push(".partial");
        build(partial.as_ref())?;
        fs::rename(&partial, &path)?;
    }
    Ok(path)
}

/// The pages that everything is built of: those of a real dump.
struct Pages(Vec<(u64, Vec<u8>)>);

impl Pages {
    fn load(real: Option<&Named>) -> Outcome<Pages> {
        let Some(real) = real else {
            let image = RamImage::new(1, PAGE as usize);
            return Ok(Pages((0..SYNTHETIC).map(|pfn| (pfn, image.page_bytes(pfn))).collect()));
        };
        let dump = Context::new();
        dump.open_paths(&real.paths)?;
        let mut pages = Vec::new();
        for range in dump.bitmap("file.pagemap")?.ranges() {
            let (first, last) = range?;
            for pfn in first..=last {
                let mut page = vec![0; PAGE as usize];
                dump.read(Space::MachinePhysical, pfn * PAGE, &mut page)?;
                pages.push((pfn, page));
            }
        }
        Ok(Pages(pages))
    }

    fn builder(&self, codec: Codec) -> DiskdumpBuilder {
        DiskdumpBuilder::default().pages(self.0.iter().cloned(), codec)
    }
}

/// The real dump of that name, if it is there.
fn real(name: &str, real_name: &str) -> Option<Named> {
    let dump = dumps::real_dump(real_name)?;
    Some(Named { name: name.into(), paths: dump.files })
}

impl Files {
    /// Finds or builds all of them; with `short` not the largest.
    pub fn prepare(short: bool) -> Outcome<Files> {
        const REAL: [(&str, &str, Codec); 4] = [
            ("zlib", "x86_64-6.1.kdump-zlib-d31", Codec::Zlib),
            ("LZO", "x86_64-6.1.kdump-lzo-d31", Codec::Lzo),
            ("snappy", "x86_64-6.1.kdump-snappy-d31", Codec::Snappy),
            ("zstd", "x86_64-6.1.kdump-zstd-d31", Codec::Zstd),
        ];
        let found: Vec<_> = REAL.map(|(name, file, codec)| (name, real(name, file), codec)).into();
        let zlib = found[0].1.clone();
        // Read when the first file is built.
        let mut pages = None;
        let mut one = |name: &str, build: &dyn Fn(&Pages) -> Outcome<Vec<u8>>| -> Outcome<Named> {
            let path = built(name, |path| {
                if pages.is_none() {
                    pages = Some(Pages::load(zlib.as_ref())?);
                }
                Ok(fs::write(path, build(pages.as_ref().ok_or("no pages")?)?)?)
            })?;
            Ok(Named { name: name.into(), paths: vec![path] })
        };
        let mut codecs = Vec::new();
        for (name, dump, codec) in found {
            codecs.push(match dump {
                Some(dump) => dump,
                None => one(name, &|pages| Ok(pages.builder(codec).build()))?,
            });
        }
        let stored = one("stored", &|pages| Ok(pages.builder(Codec::Raw).build()))?;
        codecs.push(stored.clone());
        let elf = match real("ELF", "x86_64-6.1.elf-d31") {
            Some(elf) => elf,
            None => one("ELF", &|pages| Ok(elf_of(pages)))?,
        };
        let vmcore = real("vmcore", "kdump-x86_64.vmcore");
        let large = match &vmcore {
            Some(vmcore) => vmcore.clone(),
            None => one("large ELF", &|pages| {
                let pages = pages.0.iter().cycle().zip(0..LARGE).map(|((_, page), pfn)| (pfn, page.clone()));
                Ok(elf_of(&Pages(pages.collect())))
            })?,
        };
        let many = one("many", &|pages| {
            let pages = pages.0.iter().cycle().zip(0..MANY).map(|((_, page), pfn)| (pfn, page.clone()));
            Ok(DiskdumpBuilder::default().pages(pages, Codec::Zlib).build())
        })?;
        let split = split_set(zlib.as_ref())?;
        let flattened = match short {
            true => None,
            false => Some(flattened(&stored)?),
        };
        let sparse = |tebibytes: u64| -> Outcome<Named> {
            let name = format!("sparse {tebibytes} TiB");
            let path = built(&format!("sparse-{tebibytes}"), |path| Ok(sparse_dump(path, tebibytes)?))?;
            Ok(Named { name, paths: vec![path] })
        };
        Ok(Files { codecs, elf, vmcore, large, many, sparse: [sparse(1)?, sparse(16)?], flattened, split })
    }
}

/// The pages as ELF: one segment for each run of them.
fn elf_of(pages: &Pages) -> Vec<u8> {
    let mut builder = elf::ElfBuilder::for_arch(kdumpfile_testkit::arch::Arch::X86_64);
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (pfn, page) in &pages.0 {
        match runs.last_mut() {
            Some((start, bytes)) if *start + bytes.len() as u64 == pfn * PAGE => bytes.extend(page),
            _ => runs.push((pfn * PAGE, page.clone())),
        }
    }
    for (start, bytes) in runs {
        builder = builder.segment(elf::Segment::load(start, bytes));
    }
    builder.build()
}

/// The memory in 16 files of a split set, which share nothing but headers.
fn split_set(zlib: Option<&Named>) -> Outcome<Named> {
    const PARTS: usize = 16;
    let folder = built("split-16", |path| {
        let pages = Pages::load(zlib)?;
        let bound = |part: usize| pages.0[pages.0.len() * part / PARTS].0;
        let bounds: Vec<u64> = (1..PARTS).map(bound).collect();
        fs::create_dir_all(path)?;
        for (part, bytes) in pages.builder(Codec::Zlib).build_set(&bounds).iter().enumerate() {
            fs::write(path.join(format!("part-{part:02}")), bytes)?;
        }
        Ok(())
    })?;
    let paths = (0..PARTS).map(|part| folder.join(format!("part-{part:02}"))).collect();
    Ok(Named { name: "split set of 16".into(), paths })
}

/// A flattened stream of a million records.
fn flattened(dump: &Named) -> Outcome<Named> {
    let path = built("flattened", |path| {
        let image = fs::read(&dump.paths[0])?;
        Ok(fs::write(path, Flattener::new().record_size(image.len() / RECORDS).flatten(&image))?)
    })?;
    Ok(Named { name: "flattened, 1,000,000 records".into(), paths: vec![path] })
}

/// A dump that claims so much memory and stores few pages of it: holes are
/// where it says nothing.
fn sparse_dump(path: &Path, tebibytes: u64) -> io::Result<()> {
    let pfns = (tebibytes << 40) / PAGE;
    let bitmap = pfns / 8;
    let small = DiskdumpBuilder::default()
        .data(0, vec![1; PAGE as usize], Codec::Zlib)
        .patch("max_mapnr", pfns.min(u32::MAX.into()))
        .patch("max_mapnr_64", pfns)
        .patch("bitmap_blocks", 2 * bitmap / PAGE);
    let (bytes, layout) = small.build_with_layout();
    let file = File::create(path)?;
    file.write_all_at(&bytes[..layout.bitmap1 as usize], 0)?;
    let bitmap2 = layout.bitmap1 + bitmap;
    let descriptors = bitmap2 + bitmap;
    let mut data = descriptors + 24 * SPARSE;
    for (number, pfn) in sparse_pfns(tebibytes).enumerate() {
        for bits in [layout.bitmap1, bitmap2] {
            file.write_all_at(&[1 << (pfn % 8)], bits + pfn / 8)?;
        }
        let page: Vec<u8> = (0..PAGE / 8).flat_map(|word| (pfn * word).to_le_bytes()).collect();
        let packed = Codec::Zlib.compress(&page);
        let mut descriptor = Vec::new();
        descriptor.extend(data.to_le_bytes());
        descriptor.extend((packed.len() as u32).to_le_bytes());
        descriptor.extend(Codec::Zlib.flag().to_le_bytes());
        descriptor.extend(0u64.to_le_bytes());
        file.write_all_at(&descriptor, descriptors + 24 * number as u64)?;
        file.write_all_at(&packed, data)?;
        data += packed.len() as u64;
    }
    Ok(())
}
