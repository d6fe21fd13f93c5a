//! Named sections: what Xen's tools write instead of program headers.
//!
//! | name | holds |
//! | --- | --- |
//! | `.xen_pages` | the pages, one behind the other |
//! | `.xen_p2m` | pairs of PFN and GMFN, one for each page |
//! | `.xen_pfn` | PFNs, one for each page of an auto-translated domain |
//! | `.note.Xen` | notes |
//! | `.xen_prstatus` | contexts of the virtual CPUs |
//!
//! Format: `docs/misc/dump-core-format.txt` of Xen. The type of a section is
//! not looked at.

use alloc::vec::Vec;

use super::header::{Header, Section};
use super::stored_notes::StoredNotes;
use super::xc_core::FrameTable;
use crate::attr::Facts;
use crate::error::{Result, ResultExt};
use crate::io::FileSet;
use crate::notes;
use crate::notes::xen::DumpcoreHeader;

/// `xen.xlat`: PFN and GMFN are the same.
const XLAT_AUTO: u64 = 0;
/// `xen.xlat`: the domain sees other frame numbers than the machine has.
const XLAT_NONAUTO: u64 = 1;

/// Sections with a known name that are evaluated, at most: each takes time in
/// proportion to the file, and a dump has five.
const MOST_KNOWN: usize = 64;

/// Bytes of a section name that are looked at: the longest known one and a NUL.
const NAME: usize = ".xen_prstatus".len() + 1;

/// Bytes of guest contexts that are read, at most.
const MOST_PRSTATUS: u64 = 1 << 28;

/// What the sections say about the pages of a Xen domain.
#[derive(Default)]
pub struct Found {
    /// Byte position of `.xen_pages`.
    pub pages: Option<u64>,
    /// The table that says which pages these are, unless it is at position 0.
    pub frames: Option<FrameTable>,
}

/// Evaluates all sections with a known name, in the order of their headers.
///
/// # Errors
/// `Cannot read ELF string table at <position>`, `Cannot create Xen P2M map`,
/// `Cannot create Xen PFN map`, `Cannot read '.note.Xen'`, `Cannot process Xen
/// notes`, `Cannot read '.xen_prstatus'`, `Cannot process Xen prstatus`, each
/// in front of its reason.
pub fn process(files: &FileSet, header: &Header, facts: &mut Facts<'_>) -> Result<Found> {
    let mut found = Found::default();
    let mut vcpus = None;
    for (name, section) in known(files, header)? {
        match name {
            Name::Pages => {
                if section.offset != 0 {
                    found.pages = Some(section.offset);
                }
            }
            Name::P2m | Name::Pfn => {
                let (xlat, failure) = match name {
                    Name::P2m => (XLAT_NONAUTO, "Cannot create Xen P2M map"),
                    _ => (XLAT_AUTO, "Cannot create Xen PFN map"),
                };
                facts.set_number("xen.xlat", xlat).context(|| failure)?;
                let order = header.encoding.order;
                let table = FrameTable::read(files, (section.offset, section.size), name == Name::P2m, order)
                    .context(|| failure)?;
                facts.set_number("max_pfn", table.max_pfn()).context(|| failure)?;
                if section.offset != 0 {
                    found.frames = Some(table);
                }
            }
            Name::Notes => {
                let mut stored = StoredNotes::new(files, facts.byte_order());
                let place = (section.offset, section.size);
                stored.process(
                    place,
                    || "Cannot read '.note.Xen'".into(),
                    |bytes| {
                        vcpus = DumpcoreHeader::find(bytes, facts.byte_order())
                            .and_then(DumpcoreHeader::plausible_vcpus)
                            .or(vcpus);
                        notes::noarch(facts, bytes)
                            .and_then(|()| notes::arch(facts, bytes))
                            .context(|| "Cannot process Xen notes")
                    },
                )?;
            }
            Name::Prstatus => {
                let bytes = stored_part(files, &section).context(|| "Cannot read '.xen_prstatus'")?;
                notes::xen::prstatus(facts, &bytes).context(|| "Cannot process Xen prstatus")?;
            }
        }
    }
    if let (Some(vcpus), false) = (vcpus, facts.is_set("cpu.number")) {
        facts.set_number("cpu.number", vcpus)?;
    }
    Ok(found)
}

/// A section name that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Pages,
    P2m,
    Pfn,
    Notes,
    Prstatus,
}

impl Name {
    fn new(name: &[u8]) -> Option<Name> {
        Some(match name {
            b".xen_pages" => Name::Pages,
            b".xen_p2m" => Name::P2m,
            b".xen_pfn" => Name::Pfn,
            b".note.Xen" => Name::Notes,
            b".xen_prstatus" => Name::Prstatus,
            _ => return None,
        })
    }
}

/// The sections with a known name.
fn known(files: &FileSet, header: &Header) -> Result<Vec<(Name, Section)>> {
    let mut known = Vec::new();
    if header.names == 0 || header.names >= header.sections.count {
        return Ok(known);
    }
    let Some(strings) = header.section(files, header.names)? else { return Ok(known) };
    Section::for_each(files, header, |section| {
        if known.len() < MOST_KNOWN
            && let Some(name) = name_of(files, &strings, &section)?
        {
            known.push((name, section));
        }
        Ok(())
    })?;
    Ok(known)
}

/// Looks a name up in the string table, which is never read as a whole: its
/// size may be anything. Its end ends a name as a NUL does.
fn name_of(files: &FileSet, strings: &Section, section: &Section) -> Result<Option<Name>> {
    let start = u64::from(section.name);
    let Some(left) = strings.size.checked_sub(start).filter(|left| *left > 0) else { return Ok(None) };
    let Some(position) = strings.offset.checked_add(start) else { return Ok(None) };
    let mut raw = [0; NAME];
    let raw = &mut raw[..NAME.min(usize::try_from(left).unwrap_or(NAME))];
    files
        .read(0, position, raw)
        .context(|| alloc::format!("Cannot read ELF string table at {}", strings.offset))?;
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    Ok(Name::new(&raw[..end]))
}

/// Contents of a section as far as they are in the file.
fn stored_part(files: &FileSet, section: &Section) -> Result<Vec<u8>> {
    let left = files.len(0).map_or(u64::MAX, |len| len.saturating_sub(section.offset));
    files.read_vec(0, section.offset, section.size.min(left).min(MOST_PRSTATUS), MOST_PRSTATUS)
}
