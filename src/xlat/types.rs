//! Address spaces, full addresses, capabilities and byte orders.

use core::fmt;
use core::ops::BitOr;

/// What an address is relative to; the number is that of the C ABI.
///
/// Numbers without a name are kept as they are, so that a method of the user
/// may lead into a space of the user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddrSpace(pub i32);

impl AddrSpace {
    /// Physical address as the kernel sees it.
    pub const KPHYS: AddrSpace = AddrSpace(0);
    /// Physical address as the processor or the hypervisor sees it. It differs
    /// from [`KPHYS`](Self::KPHYS) in paravirtualised Xen guests only.
    pub const MACHPHYS: AddrSpace = AddrSpace(1);
    /// Kernel virtual address.
    pub const KVIRT: AddrSpace = AddrSpace(2);
    /// No address at all: a page-table root that is not known.
    pub const NOADDR: AddrSpace = AddrSpace(-1);

    /// The name of the space, as messages use it.
    pub const fn name(self) -> &'static str {
        match self {
            AddrSpace::KPHYS => "KPHYSADDR",
            AddrSpace::MACHPHYS => "MACHPHYSADDR",
            AddrSpace::KVIRT => "KVADDR",
            AddrSpace::NOADDR => "NOADDR",
            _ => "invalid addrspace_t",
        }
    }
}

impl fmt::Display for AddrSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for AddrSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AddrSpace(-1..=2) => f.write_str(self.name()),
            AddrSpace(number) => write!(f, "AddrSpace({number})"),
        }
    }
}

/// An address (in bytes) and the space that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FullAddr {
    /// The address in bytes.
    pub addr: u64,
    /// The space of the address.
    pub space: AddrSpace,
}

impl FullAddr {
    /// The address that is none.
    pub const NONE: FullAddr = FullAddr::new(AddrSpace::NOADDR, 0);

    /// Address `addr` of `space`.
    pub const fn new(space: AddrSpace, addr: u64) -> Self {
        FullAddr { addr, space }
    }

    /// A physical address as the kernel sees it.
    pub const fn kphys(addr: u64) -> Self {
        Self::new(AddrSpace::KPHYS, addr)
    }

    /// A physical address as the processor sees it.
    pub const fn machphys(addr: u64) -> Self {
        Self::new(AddrSpace::MACHPHYS, addr)
    }

    /// A kernel virtual address.
    pub const fn kvirt(addr: u64) -> Self {
        Self::new(AddrSpace::KVIRT, addr)
    }

    /// The address `offset` bytes further, around the end of the space if need
    /// be.
    #[must_use]
    pub const fn offset(self, offset: u64) -> Self {
        FullAddr { addr: self.addr.wrapping_add(offset), space: self.space }
    }
}

/// As messages write it: `KVADDR:0xffff888000001000`.
impl fmt::Display for FullAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", self.space, self.addr)
    }
}

impl fmt::Debug for FullAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of address spaces: bit *n* stands for space *n*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Caps(pub u64);

impl Caps {
    /// No space.
    pub const NONE: Caps = Caps(0);
    /// Kernel physical addresses only.
    pub const KPHYS: Caps = Caps::of(AddrSpace::KPHYS);
    /// Machine physical addresses only.
    pub const MACHPHYS: Caps = Caps::of(AddrSpace::MACHPHYS);
    /// Kernel virtual addresses only.
    pub const KVIRT: Caps = Caps::of(AddrSpace::KVIRT);

    /// The set of this one space; empty for [`AddrSpace::NOADDR`] and for
    /// numbers that the mask has no bit for.
    pub const fn of(space: AddrSpace) -> Caps {
        if space.0 >= 0 && space.0 < 64 { Caps(1 << space.0) } else { Caps(0) }
    }

    /// The same without a space.
    pub const fn without(self, space: AddrSpace) -> Caps {
        Caps(self.0 & !Caps::of(space).0)
    }

    /// Whether `space` is in the set.
    pub const fn contains(self, space: AddrSpace) -> bool {
        self.0 & Caps::of(space).0 != 0
    }
}

impl BitOr for Caps {
    type Output = Caps;

    fn bitor(self, other: Caps) -> Caps {
        Caps(self.0 | other.0)
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaces = (0..64).map(AddrSpace).filter(|&space| self.contains(space));
        f.debug_set().entries(spaces).finish()
    }
}

/// The order of the bytes of a number in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Most significant byte first (0 in the C ABI).
    Big,
    /// Least significant byte first (1 in the C ABI).
    Little,
    /// That of the machine which runs this program (-1 in the C ABI).
    Host,
}

impl ByteOrder {
    /// The number that `bytes` stand for.
    pub const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            ByteOrder::Big => u32::from_be_bytes(bytes),
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Host => u32::from_ne_bytes(bytes),
        }
    }

    /// The number that `bytes` stand for.
    pub const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            ByteOrder::Big => u64::from_be_bytes(bytes),
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Host => u64::from_ne_bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn spaces_have_the_names_and_numbers_of_the_c_interface() {
        let names: [&str; 5] = core::array::from_fn(|n| AddrSpace(n as i32 - 1).name());
        assert_eq!(names, ["NOADDR", "KPHYSADDR", "MACHPHYSADDR", "KVADDR", "invalid addrspace_t"]);
        assert_eq!(format!("{}", FullAddr::kvirt(0xabc)), "KVADDR:0xabc");
    }

    #[test]
    fn spaces_without_a_bit_are_in_no_set() {
        assert_eq!(Caps::KVIRT, Caps(4));
        assert_eq!(Caps::of(AddrSpace(63)), Caps(1 << 63));
        for space in [AddrSpace::NOADDR, AddrSpace(64), AddrSpace(i32::MIN), AddrSpace(i32::MAX)] {
            assert_eq!(Caps::of(space), Caps::NONE);
            assert!(!Caps(u64::MAX).contains(space));
        }
        assert_eq!(format!("{:?}", Caps::KPHYS | Caps::KVIRT), "{KPHYSADDR, KVADDR}");
    }
}
