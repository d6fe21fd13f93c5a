//! Dumps of a crashed Xen hypervisor on x86_64, with its list of domains.
//!
//! ```
//! use kdumpfile_testkit::xen::Hypervisor;
//!
//! let dump = Hypervisor::new().domain(0).domain(3).build();
//! assert_eq!(dump[..4], *b"\x7fELF");
//! ```

use crate::arch::Arch;
use crate::elf::{ElfBuilder, Segment};
use crate::endian::{ByteOrder, Bytes};
use crate::notes::xen::{CRASH_INFO, CrashInfo};
use crate::notes::{NT_PRSTATUS, Note, NoteWriter, prstatus};

/// Where the text of Xen 4.4 and later is, and where physical memory is mapped.
const TEXT: u64 = 0xffff_82d0_8000_0000;
const DIRECT: u64 = 0xffff_8300_0000_0000;
/// Where the hypervisor is in memory; its first tables are in its text.
const START: u64 = 0x20_0000;
/// Places in its text: the top-level table, `domain_list`, `Xen 4.17`'s extra version.
const TOP: u64 = 0x1000;
const LIST: u64 = 0x6000;
const EXTRA: u64 = 0x7000;
/// Where `struct domain`s begin, and how many bytes each of them has.
const DOMAINS: u64 = 0x8000;
const SIZE: u64 = 64;
/// Where the two members are in a `struct domain`.
const ID_AT: u64 = 8;
const NEXT_AT: u64 = 24;

/// Builds one dump; domains are linked in the order in which they are added.
#[derive(Clone, Debug, Default)]
pub struct Hypervisor {
    domains: Vec<u16>,
    links: Vec<(usize, u64)>,
    vmcoreinfo: Vec<String>,
    cpus: u64,
}

impl Hypervisor {
    /// Xen 4.17 without a domain and without the registers of any CPU.
    pub fn new() -> Self {
        let lines = [
            "PAGESIZE=4096".to_string(),
            format!("SYMBOL(pgd_l4)={:x}", TEXT + TOP),
            format!("SYMBOL(domain_list)={:x}", TEXT + LIST),
            format!("SIZE(domain)={SIZE}"),
            format!("OFFSET(domain.domain_id)={ID_AT}"),
            format!("OFFSET(domain.next_in_list)={NEXT_AT}"),
        ];
        Hypervisor { vmcoreinfo: lines.into(), ..Hypervisor::default() }
    }

    /// Adds a domain with this number.
    pub fn domain(mut self, id: u16) -> Self {
        self.domains.push(id);
        self
    }

    /// Adds the registers of a physical CPU.
    pub fn cpu(mut self) -> Self {
        self.cpus += 1;
        self
    }

    /// Virtual address of the `struct domain` that was added as number `index`.
    pub fn address(index: usize) -> u64 {
        DIRECT + START + DOMAINS + index as u64 * SIZE
    }

    /// Virtual address of the variable that the list begins with.
    pub fn list() -> u64 {
        TEXT + LIST
    }

    /// Lets domain `index` point to `address` as the next one.
    pub fn link(mut self, index: usize, address: u64) -> Self {
        self.links.push((index, address));
        self
    }

    /// Replaces the lines of VMCOREINFO that begin with `start` by one; an empty
    /// `line` removes them. Without any line there is no note of it.
    pub fn line(mut self, start: &str, line: &str) -> Self {
        self.vmcoreinfo.retain(|old| !old.starts_with(start));
        self.vmcoreinfo.extend((!line.is_empty()).then(|| line.to_string()));
        self
    }

    /// The lines of VMCOREINFO.
    pub fn vmcoreinfo(&self) -> String {
        self.vmcoreinfo.iter().map(|line| format!("{line}\n")).collect()
    }

    fn memory(&self) -> Vec<u8> {
        let mut memory = Bytes::zeroed(ByteOrder::Little, DOMAINS as usize);
        let mut entry = |table: u64, address: u64, level: u64, value: u64| {
            let index = address >> (12 + 9 * (level - 1)) & 511;
            memory.put_u64((table + 8 * index) as usize, value);
        };
        let table = |place: u64| (START + place) | 0x63;
        entry(TOP, TEXT, 4, table(0x2000));
        entry(0x2000, TEXT, 3, table(0x3000));
        entry(0x3000, TEXT, 2, START | 0xe3);
        entry(TOP, DIRECT, 4, table(0x4000));
        entry(0x4000, DIRECT, 3, 0xe3);
        memory.put_bytes(EXTRA as usize, b".2-testkit\0");
        if !self.domains.is_empty() {
            memory.put_u64(LIST as usize, Self::address(0));
        }
        for (index, id) in self.domains.iter().enumerate() {
            let place = (DOMAINS + index as u64 * SIZE) as usize;
            let last = index + 1 == self.domains.len();
            memory.put_u64(place + SIZE as usize - 8, 0);
            memory.put_bytes(place + ID_AT as usize, &id.to_le_bytes());
            memory.put_u64(place + NEXT_AT as usize, if last { 0 } else { Self::address(index + 1) });
        }
        for (index, address) in &self.links {
            memory.put_u64((DOMAINS + *index as u64 * SIZE + NEXT_AT) as usize, *address);
        }
        let mut memory = memory.into_vec();
        memory.resize(memory.len().next_multiple_of(4096), 0);
        memory
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let order = ByteOrder::Little;
        let info = CrashInfo {
            major: 4,
            minor: 17,
            extra_version: START + EXTRA,
            phys_start: Some(START),
            p2m_mfn: Some(0x1234),
            ..CrashInfo::default()
        };
        let mut notes = NoteWriter::new(order);
        for cpu in 0..self.cpus {
            let status = prstatus(Arch::X86_64, order, cpu as i32 + 1, |_, _| 0x1000 + cpu);
            notes = notes.note(Note::core(NT_PRSTATUS, status));
        }
        let mut notes = notes.push("Xen", CRASH_INFO, info.to_bytes(order, 8));
        if !self.vmcoreinfo.is_empty() {
            notes = notes.push("VMCOREINFO_XEN", 0, self.vmcoreinfo());
        }
        let notes = notes.finish();
        ElfBuilder::for_arch(Arch::X86_64).note(notes).segment(Segment::load(START, self.memory())).build()
    }
}
