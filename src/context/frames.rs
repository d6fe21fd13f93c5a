//! Kernel physical and machine physical addresses of a Xen domain, by the table
//! of frame numbers that its dump has.
//!
//! ```text
//!   KPHYS ── pfn ──> entry of .xen_p2m ── gmfn ──> MACHPHYS     and back
//! ```

use alloc::format;

use crate::error::{Result, ResultExt};
use crate::format::{Address, Format, Space};
use crate::sync::Shared;
use crate::xlat::{self, Custom, Map, MapIndex, Method, MethodIndex, Step, System, Walker};

use super::record::full_addr;

/// One direction.
struct Frames {
    format: Shared<dyn Format>,
    /// The space of the addresses that are translated.
    from: Space,
    /// The space of the results.
    to: Space,
    /// log2 of the size of a frame in bytes.
    shift: u32,
}

impl Custom for Frames {
    fn first_step(&self, _: &Walker<'_>, step: &mut Step, addr: u64) -> xlat::Result<()> {
        let frame = self.format.counterpart(addr >> self.shift, self.from);
        let frame = frame.map_err(|error| xlat::Error::from_dump(&error))?;
        let frame = frame.ok_or_else(|| xlat::Error::no_data("Frame not found"))?;
        let value = frame
            .checked_mul(1 << self.shift)
            .ok_or_else(|| xlat::Error::invalid(format!("Frame number out of range: {frame:#x}")))?;
        // The page, and the way into it as the last step.
        step.base = full_addr(Address { space: self.to, value });
        step.remain = 1;
        step.elemsz = 1;
        step.idx[0] = addr & ((1 << self.shift) - 1);
        step.leaf_bits = self.shift;
        Ok(())
    }

    fn next_step(&self, _: &Walker<'_>, _: &mut Step) -> xlat::Result<()> {
        Ok(())
    }
}

/// Replaces the maps between the two kinds of physical addresses. Nothing
/// happens if `format` has no table of frames of 2^`shift` bytes.
///
/// # Errors
/// `Failed p2m setup` and `Failed m2p setup` in front of what the map says.
pub(super) fn set_up(system: &mut System, format: &Shared<dyn Format>, shift: u64) -> Result<()> {
    const BOTH: [(MapIndex, MethodIndex, Space, Space, &str); 2] = [
        (
            MapIndex::KphysMachphys,
            MethodIndex::KPHYS_MACHPHYS,
            Space::KernelPhysical,
            Space::MachinePhysical,
            "Failed p2m setup",
        ),
        (
            MapIndex::MachphysKphys,
            MethodIndex::MACHPHYS_KPHYS,
            Space::MachinePhysical,
            Space::KernelPhysical,
            "Failed m2p setup",
        ),
    ];
    let Some(shift) = u32::try_from(shift).ok().filter(|shift| *shift < u64::BITS) else { return Ok(()) };
    if !format.has_counterparts() {
        return Ok(());
    }
    for (index, method, from, to, failure) in BOTH {
        let mut map = Map::new();
        map.set(0, u64::MAX, method).map_err(xlat::Error::into_dump).context(|| failure)?;
        let target = full_addr(Address { space: to, value: 0 }).space;
        let frames = Frames { format: format.clone(), from, to, shift };
        system.set_method(method, Method::custom(target, frames));
        system.set_map(index, Some(Shared::new(map)));
    }
    Ok(())
}
