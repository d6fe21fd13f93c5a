//! The memory of the running machine: what its system tells about it.
//!
//! | file | is | told by |
//! | --- | --- | --- |
//! | `/dev/mem` | character device 1:1 | its device number |
//! | `/dev/crash` and others | a character device with major number 10 | its device number |
//! | `/proc/kcore` | an ELF file | its path |
//!
//! Formats know no devices: a source says by [`ReadAt::live`](super::ReadAt::live)
//! that it is one, and hands over what was found out.

use crate::error::{Error, Result};
use alloc::format;
use alloc::string::String;

#[cfg(all(feature = "live", unix))]
pub use host::Host;

/// Which kind of file the memory is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// A character device whose positions are physical addresses.
    Device,
    /// `/proc/kcore`.
    Kcore,
}

impl LiveKind {
    /// Whether the character device with these numbers is memory: `/dev/mem`
    /// is, `/dev/kmem` (1:2) is not, and all that is `misc` (10) may be.
    pub fn of_device(major: u64, minor: u64) -> Option<LiveKind> {
        matches!((major, minor), (1, 1) | (10, _)).then_some(LiveKind::Device)
    }
}

/// What Xen says about the machine that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveXen {
    /// Whether this is the domain that controls the others.
    pub control: bool,
    /// Whether the domain is paravirtualized: it sees machine addresses.
    pub paravirtualized: bool,
}

/// The machine that a source is the memory of.
#[derive(Clone, Debug)]
pub struct Live {
    /// Which kind of file it is.
    pub kind: LiveKind,
    /// Size of a page in bytes.
    pub page_size: u64,
    /// Name of the architecture as in attribute `arch.name`, if it has one.
    pub arch: Option<&'static str>,
    /// Whether numbers are big endian.
    pub big_endian: bool,
    /// Xen, if the system runs under it, or why it cannot be told.
    pub xen: Result<Option<LiveXen>>,
    /// Physical address and size in bytes of the note with VMCOREINFO.
    pub vmcoreinfo: Option<(u64, u64)>,
    /// The text of `/proc/iomem`.
    pub iomem: Option<String>,
}

impl Live {
    /// A machine like the one that this program was built for, about which
    /// nothing else is known.
    pub fn new(kind: LiveKind, page_size: u64) -> Live {
        Live {
            kind,
            page_size,
            arch: HOST_ARCH,
            big_endian: cfg!(target_endian = "big"),
            xen: Ok(None),
            vmcoreinfo: None,
            iomem: None,
        }
    }

    /// The first physical address of the kernel's code: the resource called
    /// `Kernel code` in `/proc/iomem`. `None` if there is no such line, or it
    /// says 0 because the reader has no right to know.
    ///
    /// # Errors
    /// `Corrupt` (`Invalid iomem format: <line>`).
    pub fn kernel_code(&self) -> Result<Option<u64>> {
        self.iomem.as_deref().map_or(Ok(None), kernel_code)
    }
}

/// The first address of the resource `Kernel code` in the text of `/proc/iomem`.
fn kernel_code(iomem: &str) -> Result<Option<u64>> {
    const SPACE: [char; 6] = [' ', '\x0c', '\n', '\r', '\t', '\x0b'];
    for line in iomem.lines() {
        let Some((range, name)) = line.split_once(':') else { continue };
        if name.trim_matches(SPACE) != "Kernel code" {
            continue;
        }
        let invalid = || Error::corrupt(format!("Invalid iomem format: {line}"));
        let range = range.trim_start_matches(SPACE);
        let digits = range.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(range.len());
        let (start, rest) = range.split_at(digits);
        if !rest.trim_start_matches(SPACE).starts_with('-') {
            return Err(invalid());
        }
        let start = u64::from_str_radix(start, 16).map_err(|_| invalid())?;
        return Ok(Some(start).filter(|start| *start != 0));
    }
    Ok(None)
}

/// Name of the architecture of this machine.
const HOST_ARCH: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("x86_64")
} else if cfg!(target_arch = "x86") {
    Some("ia32")
} else if cfg!(target_arch = "aarch64") {
    Some("aarch64")
} else if cfg!(target_arch = "arm") {
    Some("arm")
} else if cfg!(target_arch = "powerpc64") {
    Some("ppc64")
} else if cfg!(target_arch = "powerpc") {
    Some("ppc")
} else if cfg!(target_arch = "riscv64") {
    Some("riscv64")
} else if cfg!(target_arch = "riscv32") {
    Some("riscv32")
} else if cfg!(target_arch = "s390x") {
    Some("s390x")
} else if cfg!(target_arch = "loongarch64") {
    Some("loongarch64")
} else {
    None
};

/// What needs files of the operating system.
#[cfg(all(feature = "live", unix))]
mod host {
    use super::{Live, LiveKind, LiveXen};
    use crate::error::{Error, Result, ResultExt};
    use crate::io::file::os_error;
    use alloc::format;
    use alloc::string::String;
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::path::{Path, PathBuf};

    /// The page size in the auxiliary vector of a process (`AT_PAGESZ`).
    const AT_PAGESZ: usize = 6;

    /// The page size if the system does not tell.
    const PAGE_SIZE: u64 = 4096;

    /// Where the system tells about itself.
    pub struct Host {
        root: PathBuf,
    }

    impl Host {
        /// The system whose `/proc` and `/sys` are below `root`: `/`, but for
        /// tests and containers.
        pub fn new(root: impl AsRef<Path>) -> Host {
            Host { root: root.as_ref().into() }
        }

        /// What this open file is, if it is memory of the running machine.
        pub fn look(&self, file: &File) -> Option<Live> {
            self.kind(&file.metadata().ok()?).map(|kind| self.facts(kind))
        }

        fn kind(&self, file: &Metadata) -> Option<LiveKind> {
            if file.file_type().is_char_device() {
                let (major, minor) = device(file.rdev());
                return LiveKind::of_device(major, minor);
            }
            let kcore = fs::metadata(self.root.join("proc/kcore")).ok()?;
            let same = (kcore.dev(), kcore.ino()) == (file.dev(), file.ino());
            same.then_some(LiveKind::Kcore)
        }

        /// What the system tells about the memory in a file of this kind.
        pub fn facts(&self, kind: LiveKind) -> Live {
            let mut live = Live::new(kind, self.page_size().unwrap_or(PAGE_SIZE));
            live.xen = self.xen();
            live.vmcoreinfo = self.vmcoreinfo();
            live.iomem = fs::read_to_string(self.root.join("proc/iomem")).ok();
            live
        }

        fn page_size(&self) -> Option<u64> {
            const WORD: usize = size_of::<usize>();
            let vector = fs::read(self.root.join("proc/self/auxv")).ok()?;
            let (words, _) = vector.as_chunks::<WORD>();
            let (pairs, _) = words.as_chunks::<2>();
            let found = pairs.iter().find(|[key, _]| usize::from_ne_bytes(*key) == AT_PAGESZ);
            found.map(|[_, value]| usize::from_ne_bytes(*value) as u64).filter(|size| size.is_power_of_two())
        }

        /// `/sys/kernel/vmcoreinfo`: address and size in hex.
        fn vmcoreinfo(&self) -> Option<(u64, u64)> {
            let text = fs::read_to_string(self.root.join("sys/kernel/vmcoreinfo")).ok()?;
            let mut words = text
                .split_ascii_whitespace()
                .map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
            Some((words.next()??, words.next()??))
        }

        fn xen(&self) -> Result<Option<LiveXen>> {
            if !self.root.join("proc/xen").exists() {
                return Ok(None);
            }
            let control = match self.text("proc/xen/capabilities")? {
                Some(text) => text.split_ascii_whitespace().any(|word| word == "control_d"),
                None => false,
            };
            let name = "sys/hypervisor/guest_type";
            let opening =
                || Error::system("No such file or directory").context(format!("Error opening /{name}"));
            let text = self.text(name)?.ok_or_else(opening)?;
            let kind = text.split_ascii_whitespace().next();
            let kind = kind.ok_or_else(|| Error::system(format!("Error reading /{name}")))?;
            Ok(Some(LiveXen { control, paravirtualized: kind == "PV" }))
        }

        /// The text of a file; `None` if there is no such file.
        fn text(&self, name: &str) -> Result<Option<String>> {
            let mut file = match File::open(self.root.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => {
                    file.map_err(|error| os_error(&error)).context(|| format!("Error opening /{name}"))?
                }
            };
            let mut text = String::new();
            io::Read::read_to_string(&mut file, &mut text)
                .map_err(|error| os_error(&error))
                .context(|| format!("Error reading /{name}"))?;
            Ok(Some(text))
        }
    }

    /// Major and minor number of a device, as Linux packs them.
    fn device(number: u64) -> (u64, u64) {
        let major = number >> 8 & 0xfff | number >> 32 & !0xfff;
        let minor = number & 0xff | number >> 12 & !0xff & 0xffff_ffff;
        (major, minor)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn device_numbers_are_taken_apart_as_linux_packs_them() {
            assert_eq!(device(0x101), (1, 1));
            assert_eq!(device(0xa7e), (10, 126));
            // Both numbers are in two parts: makedev(0x12345, 0x6789a).
            assert_eq!(device(0x345 << 8 | 0x12000 << 32 | 0x9a | 0x67800 << 12), (0x12345, 0x6789a));
            assert_eq!(device(fs::metadata("/dev/null").unwrap().rdev()), (1, 3));
        }

        #[test]
        fn dev_null_and_ordinary_files_are_no_memory() {
            let host = Host::new("/");
            assert!(host.look(&File::open("/dev/null").unwrap()).is_none());
            assert!(host.look(&File::open("/proc/self/exe").unwrap()).is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_code_is_found_in_iomem_by_its_name_alone() {
        let text = "00000000-00000fff : Reserved\nno colon\n00100000-bfffffff : System RAM\n  01000000-0220bb07 : Kernel code\n  02400000-02e09fff : Kernel rodata\n";
        assert_eq!(kernel_code(text).unwrap(), Some(0x100_0000));
        assert_eq!(kernel_code("1000 - 2000 :\t Kernel code \x0b\r\n").unwrap(), Some(0x1000));
        assert_eq!(kernel_code("00000000-00000000 : Kernel code\n").unwrap(), None);
        assert_eq!(kernel_code("1000-2000 : Kernel codes\n").unwrap(), None);
        for bad in ["1000 2000 : Kernel code", "x-2000 : Kernel code", " : Kernel code"] {
            let error = kernel_code(bad).unwrap_err();
            assert_eq!(error.message(), format!("Invalid iomem format: {bad}"));
        }
    }

    #[test]
    fn memory_devices_are_told_by_their_numbers() {
        assert_eq!(LiveKind::of_device(1, 1), Some(LiveKind::Device));
        assert_eq!(LiveKind::of_device(10, 61), Some(LiveKind::Device));
        assert_eq!(LiveKind::of_device(1, 2), None);
        assert_eq!(LiveKind::of_device(8, 1), None);
    }
}
