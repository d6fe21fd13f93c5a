//! The rules of ELF dumps through the public interface, one test a rule.
//! Comments name the section of the format description.

#[path = "elf_rules/flattened.rs"]
mod flattened;
#[path = "elf_rules/headers.rs"]
mod headers;
#[path = "elf_rules/notes.rs"]
mod notes;
#[path = "elf_rules/pages.rs"]
mod pages;
#[path = "elf_rules/peer.rs"]
mod peer;
#[path = "elf_rules/registers.rs"]
mod registers;
#[path = "elf_rules/segments.rs"]
mod segments;
mod support;
#[path = "elf_rules/xen.rs"]
mod xen;

use kdumpfile::{Context, Result, Space, Status};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{Class, ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{Note, NoteWriter};
use support::*;

const EIO: &str = "Input/output error";
const LITTLE: ByteOrder = ByteOrder::Little;

/// `len` bytes that differ from place to place and from seed to seed, none of
/// them zero.
fn data(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| ((i * 7 + i / 251 * 13 + seed * 31) % 255 + 1) as u8).collect()
}

/// A 64-bit little-endian dump of x86_64 without segments.
fn x86_64() -> ElfBuilder {
    ElfBuilder::for_arch(Arch::X86_64)
}

/// A `PT_LOAD` segment with [`data`].
fn load(virt: u64, phys: u64, seed: u64, len: usize) -> Segment {
    Segment::load(phys, data(seed, len)).vaddr(virt)
}

/// A page of 4 KiB from any space.
fn page_in(dump: &Context, space: Space, address: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0x5a; 4096];
    dump.read(space, address, &mut bytes)?;
    Ok(bytes)
}

/// A page of 4 KiB by its machine address.
fn phys(dump: &Context, address: u64) -> Result<Vec<u8>> {
    page_in(dump, Space::MachinePhysical, address)
}

/// A page of 4 KiB by its kernel virtual address.
fn virt(dump: &Context, address: u64) -> Result<Vec<u8>> {
    page_in(dump, Space::KernelVirtual, address)
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

fn no_way() -> (Status, String) {
    fails(Status::AddrXlat, "No way to translate")
}

fn no_value() -> (Status, String) {
    fails(Status::NoData, "Key has no value")
}

/// Notes one behind the other.
fn notes_of(order: ByteOrder, notes: impl IntoIterator<Item = Note>) -> Vec<u8> {
    notes.into_iter().fold(NoteWriter::new(order), NoteWriter::note).finish()
}

/// Keys of the children with a value, in the order of iteration.
fn keys(dump: &Context, path: &str) -> Vec<String> {
    let directory = dump.attr(Some(path)).unwrap();
    let next = |at| dump.next_child(directory, at).unwrap();
    std::iter::successors(next(None), |entry| next(Some(entry.attr))).map(|entry| entry.key).collect()
}

/// Both classes in both byte orders.
fn encodings() -> impl Iterator<Item = (Class, ByteOrder)> {
    Class::ALL.into_iter().flat_map(|class| ByteOrder::ALL.map(|order| (class, order)))
}
