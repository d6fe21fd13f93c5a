//! Payloads of notes and sections that Xen writes.

use super::RegisterSlot;
use crate::endian::{ByteOrder, Bytes};

/// XEN_ELFNOTE_CRASH_INFO
pub const CRASH_INFO: u32 = 0x100_0001;
/// XEN_ELFNOTE_CRASH_REGS
pub const CRASH_REGS: u32 = 0x100_0002;
/// XEN_ELFNOTE_DUMPCORE_NONE
pub const DUMPCORE_NONE: u32 = 0x200_0000;
/// XEN_ELFNOTE_DUMPCORE_HEADER
pub const DUMPCORE_HEADER: u32 = 0x200_0001;
/// XEN_ELFNOTE_DUMPCORE_XEN_VERSION
pub const DUMPCORE_XEN_VERSION: u32 = 0x200_0002;
/// XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION
pub const DUMPCORE_FORMAT_VERSION: u32 = 0x200_0003;
/// Magic of a paravirtualized guest in the dumpcore header.
pub const MAGIC_PV: u64 = 0xF00F_EBED;
/// Magic of an HVM guest in the dumpcore header.
pub const MAGIC_HVM: u64 = 0xF00F_EBEE;

/// The desc of a crash info note, as words of pointer size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashInfo {
    /// Xen's major version.
    pub major: u64,
    /// Xen's minor version.
    pub minor: u64,
    /// Machine address of the extra version string.
    pub extra_version: u64,
    /// Changeset, compiler, date and time: machine addresses of strings.
    pub strings: [u64; 4],
    /// Taint flags.
    pub tainted: u64,
    /// Physical start of Xen (x86 only).
    pub phys_start: Option<u64>,
    /// Frame of dom0's list of p2m frame lists.
    pub p2m_mfn: Option<u64>,
}

impl CrashInfo {
    /// The desc: 8 words, and one more for each optional field that is there.
    pub fn to_bytes(&self, order: ByteOrder, ptr_size: usize) -> Vec<u8> {
        let mut out = Bytes::new(order);
        let [changeset, compiler, date, time] = self.strings;
        let head =
            [self.major, self.minor, self.extra_version, changeset, compiler, date, time, self.tainted];
        for word in head.into_iter().chain(self.phys_start).chain(self.p2m_mfn) {
            out.push_uint(ptr_size, word);
        }
        out.into_vec()
    }
}

/// The desc of a crash registers note: cr0, cr2, cr3, cr4 of one CPU.
pub fn crash_regs(order: ByteOrder, ptr_size: usize, cr: [u64; 4]) -> Vec<u8> {
    let mut out = Bytes::new(order);
    for value in cr {
        out.push_uint(ptr_size, value);
    }
    out.into_vec()
}

/// The desc of a dumpcore header note (32 bytes).
pub fn dumpcore_header(order: ByteOrder, magic: u64, vcpus: u64, pages: u64, page_size: u64) -> Vec<u8> {
    let mut out = Bytes::new(order);
    out.put_u64(0, magic).put_u64(8, vcpus).put_u64(16, pages).put_u64(24, page_size);
    out.into_vec()
}

/// The desc of a dumpcore format version note (8 bytes).
pub fn format_version(order: ByteOrder, version: u64) -> Vec<u8> {
    order.uint(8, version)
}

/// The desc of a dumpcore Xen version note: 1280 bytes, or 1276 with a
/// pointer size of 4. `extra` is cut at 16 bytes.
pub fn xen_version(
    order: ByteOrder,
    ptr_size: usize,
    major: u64,
    minor: u64,
    extra: &str,
    page_size: u64,
) -> Vec<u8> {
    let mut out = Bytes::zeroed(order, 1264);
    out.put_u64(0, major).put_u64(8, minor);
    out.put_bytes(16, &extra.as_bytes()[..extra.len().min(16)]);
    out.put_bytes(32, b"gcc (testkit)");
    out.put_bytes(176, b"xen-3.0-x86_64");
    out.push_uint(ptr_size, 0xffff_8000_0000_0000);
    out.push_u64(page_size);
    out.into_vec()
}

/// Size of one element of `.xen_prstatus` on x86_64.
pub const VCPU_CONTEXT_SIZE: usize = 5168;

/// The named registers of an x86_64 vCPU context.
pub fn vcpu_registers() -> Vec<RegisterSlot> {
    let mut out = Vec::new();
    let mut add = |name: &str, offset, len| {
        out.push(RegisterSlot { name: name.to_string(), offset, len });
    };
    let general = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi";
    for (i, name) in general.split(' ').enumerate() {
        add(name, 520 + 8 * i, 8);
    }
    add("rip", 648, 8);
    add("cs", 656, 2);
    add("rflags", 664, 8);
    add("rsp", 672, 8);
    for (i, name) in "ss es ds fs gs".split(' ').enumerate() {
        add(name, 680 + 8 * i, 2);
    }
    for i in 0..8 {
        add(&format!("cr{i}"), 4984 + 8 * i, 8);
    }
    for i in 0..8 {
        add(&format!("dr{i}"), 5048 + 8 * i, 8);
    }
    out
}

/// One element of `.xen_prstatus`; `value` is asked for each register by its
/// number in [`vcpu_registers`] and its name.
pub fn vcpu_context(order: ByteOrder, mut value: impl FnMut(usize, &str) -> u64) -> Vec<u8> {
    let mut out = Bytes::zeroed(order, VCPU_CONTEXT_SIZE);
    for (i, slot) in vcpu_registers().iter().enumerate() {
        out.put_uint(slot.offset, slot.len, value(i, &slot.name));
    }
    out.into_vec()
}
