//! QEMU migration streams (`virsh dump`, QMP `migrate`), and libvirt's save
//! images (`virsh save`), which hold one.
//!
//! ```text
//!   libvirt header, XML      only in save images
//!   "QEVM", version 3
//!   configuration            machine type: where RAM is ─────> machine
//!   section ram, in parts    pages, the later one wins ──────> ram
//!   sections of devices      registers of x86 CPUs ──────────> cpu
//!   description              where registers are ───────────> vmdesc
//! ```
//!
//! Memory is what the guest's main RAM block has, at guest-physical addresses;
//! video memory and ROMs are left out. Memory that was plugged in later is,
//! too: the stream does not tell where it is. The user may, before opening:
//!
//! | attribute | says |
//! | --- | --- |
//! | `file.qemu.below_4g` | bytes of RAM below the hole of x86 (`max-ram-below-4g`) |
//! | `file.qemu.above_4g` | address of the RAM behind the hole, for 4 GiB |
//! | `file.qemu.blocks` | where other blocks are: `NAME@ADDRESS,...`, hexadecimal |

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::extent::{ExtentDump, Extents};
use super::{Format, Opening};
use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;
use cpu::Cpu;
use machine::{Machine, Told};
use ram::Given;
use stream::Stream;
use vmdesc::Description;

mod cpu;
mod machine;
mod ram;
mod stream;
mod vmdesc;

/// Name of bare streams (attribute `file.format`).
pub const NAME: &str = "qemu";
/// Name of save images.
pub const LIBVIRT: &str = "libvirt";

const MAGIC: &[u8; 4] = b"QEVM";

/// Opens a QEMU migration stream.
///
/// # Errors
/// `NotImplemented` for machines, sections and pages that cannot be read,
/// `Corrupt` for a stream that ends early or makes no sense.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let mut magic = [0; 4];
    opening.files.read(0, 0, &mut magic).context(|| "Cannot read dump header")?;
    if magic != *MAGIC {
        return Ok(None);
    }
    if opening.files.count() > 1 {
        return Err(several());
    }
    read(opening.files, &mut opening.facts, NAME, 0, &Domain::default()).map(Some)
}

/// Opens a save image of libvirt.
///
/// # Errors
/// Those of [`open`]; `Corrupt` (`Save image is incomplete`); what is wrong
/// with the archive that follows the header of a packed image.
pub fn open_libvirt(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let mut raw = [0; HEADER];
    opening.files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    match raw.get(..16) {
        Some(b"LibvirtQemudSave") => {}
        Some(b"LibvirtQemudPart") => return Err(Error::corrupt("Save image is incomplete")),
        _ => return Ok(None),
    }
    let header = Header::parse(&raw)?;
    let start = HEADER as u64 + u64::from(header.data_len);
    let domain = Domain::read(opening.files, header.data_len)?;
    let unpacked;
    let (files, at) = match header.format {
        0 | 6 => (opening.files, start),
        // gzip, bzip2, xz, lzop, zstd: which one is told by what is there.
        1..=5 => {
            unpacked = Shared::new(opening.files.unpacked_from(0, start)?);
            (&unpacked, 0)
        }
        number => {
            let what = format!("Save image packed with number {number} not implemented");
            return Err(Error::not_implemented(what));
        }
    };
    let mut magic = [0; 4];
    files.read(0, at, &mut magic).context(|| format!("Cannot read stream at {start}"))?;
    if magic != *MAGIC {
        return Err(Error::corrupt(format!("No QEMU stream at {start}")));
    }
    if opening.files.count() > 1 {
        return Err(several());
    }
    read(files, &mut opening.facts, LIBVIRT, at, &domain).map(Some)
}

fn several() -> Error {
    Error::not_implemented("Multiple files not implemented")
}

fn read(
    files: &Shared<FileSet>,
    facts: &mut Facts<'_>,
    name: &'static str,
    start: u64,
    domain: &Domain,
) -> Result<Box<dyn Format>> {
    let description = Description::find(files)?;
    let page_size = description.as_ref().and_then(|description| description.page_size);
    let page_bits = page_size.filter(|size| size.is_power_of_two()).map_or(12, u64::ilog2);
    let given = given_blocks(facts)?;
    let mut stream = Stream::read(files, start, page_bits, &given)?;
    let ram = &mut stream.ram;
    let block = String::from(ram.names().next().unwrap_or_default());
    let machine_name = stream.machine.as_deref().or(domain.machine.as_deref());
    let told = Told { below: facts.number("file.qemu.below_4g"), above: facts.number("file.qemu.above_4g") };
    let machine = Machine::new(machine_name, ram.size(), &block, told)?;
    let extents = Shared::new(Extents::new(ram.extents(|offset| machine.place(offset))?)?);

    let (mut arch, order) = match domain.arch.as_deref() {
        Some("ppc64le") => (Some(Arch::Ppc64), Some(ByteOrder::Little)),
        Some("ppc64") => (Some(Arch::Ppc64), Some(ByteOrder::Big)),
        Some(text) => (Arch::from_uts_machine(text).or(machine.arch), machine.order),
        None => (machine.arch, machine.order),
    };
    let cpus = match arch {
        Some(Arch::X86_64 | Arch::Ia32) => Cpu::all(files, stream.devices, description.as_ref())?,
        _ => Default::default(),
    };
    if !cpus.is_empty() && !cpus.iter().any(Cpu::is_long) {
        arch = Some(Arch::Ia32);
    }

    let what = match name {
        LIBVIRT => "Libvirt core dump",
        _ => "QEMU snapshot",
    };
    let mut described =
        machine_name.map_or_else(|| what.into(), |machine| format!("{what}, machine {machine}"));
    if let Some((block, size)) = ram.left_out() {
        described.push_str(&format!(
            "; without the {size} bytes of block {block}, whose address file.qemu.blocks can tell"
        ));
    }
    facts.set_string("file.description", &described)?;
    if let Some(order) = order
        && !facts.is_set("arch.byte_order")
    {
        facts.set_number("arch.byte_order", order.number())?;
    }
    if let Some(arch) = arch
        && !facts.is_set("arch.name")
    {
        facts.set_string("arch.name", arch.name())?;
    }
    if facts.geometry().page_shift.is_none() {
        facts.set_number("arch.page_size", ram.page_size())?;
    }
    if !cpus.is_empty() {
        facts.set_number("cpu.number", cpus.len() as u64)?;
    }
    let arch = facts.arch();
    for cpu in &cpus {
        if let Some(arch @ (Arch::X86_64 | Arch::Ia32)) = arch {
            cpu.store(facts, arch)?;
        }
    }
    ExtentDump::describe(&extents, true, facts)?;
    Ok(Box::new(ExtentDump {
        name,
        files: files.clone(),
        extents,
        maker: Some(Box::new(stream.ram.into_maker())),
        omits_zeroes: false,
    }))
}

/// What `file.qemu.blocks` says.
fn given_blocks(facts: &Facts<'_>) -> Result<Vec<Given>> {
    let Some(text) = facts.string("file.qemu.blocks") else { return Ok(Vec::new()) };
    let mut given: Vec<Given> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let row = part.rsplit_once('@').and_then(|(name, address)| {
            let address = address.strip_prefix("0x").unwrap_or(address);
            Some(Given { name: name.into(), address: u64::from_str_radix(address, 16).ok()? })
        });
        let row = row.ok_or_else(|| {
            Error::invalid(format!("file.qemu.blocks has \"{part}\" where NAME@ADDRESS is wanted"))
        })?;
        if given.iter().any(|other| other.name == row.name) {
            return Err(Error::invalid(format!("file.qemu.blocks has block \"{}\" twice", row.name)));
        }
        given.push(row);
    }
    Ok(given)
}

/// Bytes of libvirt's header.
const HEADER: usize = 92;

/// libvirt's header, in the byte order of the host.
struct Header {
    data_len: u32,
    format: u32,
}

impl Header {
    fn parse(raw: &[u8; HEADER]) -> Result<Header> {
        let mut words = [ByteOrder::Little, ByteOrder::Big].map(|order| {
            let version = order.u32(raw, 16);
            let data_len = order.u32(raw, 20);
            (version, Header { data_len, format: if version == 2 { order.u32(raw, 28) } else { 0 } })
        });
        words.sort_by_key(|(version, _)| *version);
        match words {
            [(version @ ..=2, header), _] if version > 0 => Ok(header),
            [(version, _), _] => {
                Err(Error::not_implemented(format!("Save image version {version} not implemented")))
            }
        }
    }
}

/// The longest description of a domain that is looked at.
const MAX_XML: u32 = 1 << 20;

/// What libvirt's description of the domain says.
#[derive(Default)]
struct Domain {
    arch: Option<String>,
    machine: Option<String>,
}

impl Domain {
    fn read(files: &FileSet, length: u32) -> Result<Domain> {
        let length = u64::from(length.min(MAX_XML));
        let bytes = files
            .read_vec(0, HEADER as u64, length, u64::from(MAX_XML))
            .context(|| "Cannot read description of the domain")?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        // Elements <type> are in <os> only.
        let tag = text.find("<os").and_then(|at| {
            let os = text.get(at..)?;
            let tag = os.get(os.find("<type ")?..)?;
            tag.get(..tag.find('>')?)
        });
        let value = |name: &str| {
            let rest = tag?.split_once(&*format!(" {name}="))?.1;
            let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            Some(String::from(rest.get(1..)?.split_once(quote)?.0))
        };
        Ok(Domain { arch: value("arch"), machine: value("machine") })
    }
}
