//! Machine types: where RAM is, and of which architecture it is.
//!
//! | machine | RAM of R bytes |
//! | --- | --- |
//! | `pc-i440fx-2.0` and later | from 3.5 GiB on: the rest above 3 GiB is at 4 GiB |
//! | `pc-i440fx-1.x`, `pc-0.x`, `pc-1.x` | what is above 3.5 GiB is at 4 GiB |
//! | `pc-q35-*` | from 2.75 GiB on: the rest above 2 GiB is at 4 GiB |
//! | `microvm` | what is above 3 GiB is at 4 GiB |
//! | `xenfv` | what is above 3.75 GiB is at 4 GiB |
//! | `virt` | from 1 GiB on (ARM), from 2 GiB on (RISC-V) |
//! | `pseries`, `s390-ccw-virtio` | from 0 on |
//!
//! The user may tell both places of x86 machines: where the option
//! `max-ram-below-4g` moved the hole (`file.qemu.below_4g`), and where the rest
//! begins (`file.qemu.above_4g`) of a guest of nearly 1 TiB on an AMD processor,
//! of which the stream says nothing.

use alloc::format;

use crate::arch::{Arch, ByteOrder};
use crate::error::{Error, Result};

const GIB: u64 = 1 << 30;
const FOUR_GIB: u64 = 4 * GIB;

/// What the user says about the two parts of RAM.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Bytes below the hole.
    pub below: Option<u64>,
    /// Address of what is above the hole.
    pub above: Option<u64>,
}

/// What a machine type implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// The architecture, if there is but one.
    pub arch: Option<Arch>,
    pub order: Option<ByteOrder>,
    /// Address of the first byte of RAM.
    start: u64,
    /// Offset in RAM of what is above the hole.
    split: Option<u64>,
    /// Address of what is above the hole.
    high: u64,
}

impl Machine {
    /// The machine of this name, with `size` bytes of RAM in a block called `block`.
    ///
    /// # Errors
    /// `NotImplemented` for a machine whose memory map is not known.
    pub fn new(name: Option<&str>, size: u64, block: &str, told: Told) -> Result<Machine> {
        let mut machine = match (Machine::by_name(name, size, block), told.below) {
            (Err(_), Some(_)) => Machine { arch: None, order: None, start: 0, split: None, high: FOUR_GIB },
            (machine, _) => machine?,
        };
        if machine.arch.is_none_or(|arch| arch == Arch::X86_64) && machine.start == 0 {
            if let Some(below) = told.below {
                machine.split = (size > below).then_some(below);
            }
            machine.high = told.above.unwrap_or(machine.high);
        }
        Ok(machine)
    }

    fn by_name(name: Option<&str>, size: u64, block: &str) -> Result<Machine> {
        let block = block.strip_prefix("/objects/").unwrap_or(block);
        let x86 = |limit: u64, split: u64| Machine {
            arch: Some(Arch::X86_64),
            order: Some(ByteOrder::Little),
            start: 0,
            split: (size >= limit).then_some(split),
            high: FOUR_GIB,
        };
        let flat = |arch: Arch, start, order| Machine {
            arch: Some(arch),
            order,
            start,
            split: None,
            high: FOUR_GIB,
        };
        let old_pc = x86(7 * GIB / 2, 7 * GIB / 2);
        // Machine types so old that they have no configuration are those of PCs.
        let Some(name) = name else { return Ok(old_pc) };
        let old = |rest: &str| rest.starts_with("0.") || rest.starts_with("1.");
        if name.starts_with("pc-q35-") || name == "q35" {
            return Ok(x86(0xb000_0000, 2 * GIB));
        }
        if let Some(rest) = name.strip_prefix("pc-i440fx-") {
            return Ok(if old(rest) { old_pc } else { x86(7 * GIB / 2, 3 * GIB) });
        }
        if name.strip_prefix("pc-").is_some_and(old) {
            return Ok(old_pc);
        }
        let virt = name == "virt" || name.starts_with("virt-");
        match name {
            "pc" => Ok(x86(7 * GIB / 2, 3 * GIB)),
            "microvm" => Ok(x86(3 * GIB, 3 * GIB)),
            _ if name.starts_with("xenfv") => Ok(x86(15 * GIB / 4, 15 * GIB / 4)),
            _ if virt && block.starts_with("riscv") => {
                Ok(flat(Arch::Riscv64, 2 * GIB, Some(ByteOrder::Little)))
            }
            // ARM of 32 or 64 bits.
            _ if virt => {
                let order = Some(ByteOrder::Little);
                Ok(Machine { arch: None, order, start: GIB, split: None, high: FOUR_GIB })
            }
            _ if name.starts_with("pseries") => Ok(flat(Arch::Ppc64, 0, None)),
            _ if name.starts_with("s390-ccw-virtio") => Ok(flat(Arch::S390x, 0, Some(ByteOrder::Big))),
            _ => Err(Error::not_implemented(format!("Memory map of machine {name} not implemented"))),
        }
    }

    /// The address of an offset in RAM, and how many bytes from there on follow
    /// each other. `None` for an offset beyond all addresses.
    pub fn place(&self, offset: u64) -> Option<(u64, u64)> {
        match self.split {
            Some(split) if offset >= split => Some((self.high.checked_add(offset - split)?, u64::MAX)),
            Some(split) => Some((offset, split - offset)),
            None => Some((self.start.checked_add(offset)?, u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, size: u64, offsets: &[u64]) -> alloc::vec::Vec<u64> {
        let machine = Machine::new(Some(name), size, "ram", Told::default()).unwrap();
        offsets.iter().map(|offset| machine.place(*offset).unwrap().0).collect()
    }

    #[test]
    fn ram_is_split_below_4_gib_where_the_machine_type_says() {
        let big = 8 * GIB;
        for (name, limit, split) in [
            ("pc-i440fx-7.2", 0xe000_0000, 0xc000_0000),
            ("pc-i440fx-rhel7.6.0", 0xe000_0000, 0xc000_0000),
            ("pc-i440fx-1.7", 0xe000_0000, 0xe000_0000),
            ("pc-1.2", 0xe000_0000, 0xe000_0000),
            ("pc-0.15", 0xe000_0000, 0xe000_0000),
            ("pc-q35-focal", 0xb000_0000, 0x8000_0000),
            ("microvm", 0xc000_0000, 0xc000_0000),
            ("xenfv", 0xf000_0000, 0xf000_0000),
        ] {
            assert_eq!(places(name, limit - 4096, &[0, limit - 8192]), [0, limit - 8192], "{name}");
            let high = [split - 1, FOUR_GIB, FOUR_GIB + big - 1 - split];
            assert_eq!(places(name, big, &[split - 1, split, big - 1]), high, "{name}");
        }
    }

    #[test]
    fn other_machines_have_ram_in_one_piece() {
        assert_eq!(places("virt-7.2", 8 * GIB, &[0, 5 * GIB]), [GIB, 6 * GIB]);
        assert_eq!(places("pseries-7.2", 8 * GIB, &[0, 5 * GIB]), [0, 5 * GIB]);
        assert_eq!(places("s390-ccw-virtio-7.2", 8 * GIB, &[5 * GIB]), [5 * GIB]);
        let riscv =
            Machine::new(Some("virt"), GIB, "/objects/riscv_virt_board.ram", Told::default()).unwrap();
        assert_eq!((riscv.place(7), riscv.arch), (Some((2 * GIB + 7, u64::MAX)), Some(Arch::Riscv64)));
    }

    #[test]
    fn a_machine_with_an_unknown_map_is_refused() {
        let error = Machine::new(Some("sbsa-ref"), GIB, "ram", Told::default()).unwrap_err();
        assert_eq!(error.message(), "Memory map of machine sbsa-ref not implemented");
    }

    #[test]
    fn what_the_user_says_of_the_hole_counts_on_x86() {
        let told = Told { below: Some(GIB), above: Some(1 << 40) };
        let place = |name, size, told| {
            let machine = Machine::new(Some(name), size, "ram", told).unwrap();
            [0, GIB - 1, GIB].map(|offset| machine.place(offset).unwrap().0)
        };
        for name in ["pc", "pc-q35-7.2", "microvm", "new-x86"] {
            assert_eq!(place(name, 2 * GIB, told), [0, GIB - 1, 1 << 40], "{name}");
            assert_eq!(place(name, GIB, told), [0, GIB - 1, GIB], "{name}");
        }
        let below = Told { above: None, ..told };
        assert_eq!(place("pc", 2 * GIB, below), [0, GIB - 1, FOUR_GIB]);
        assert_eq!(place("virt", 2 * GIB, told), [GIB, 2 * GIB - 1, 2 * GIB]);
        assert_eq!(place("pseries-7.2", 2 * GIB, told), [0, GIB - 1, GIB]);
    }
}
