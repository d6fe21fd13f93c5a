//! State files of VMware: suspended machines and snapshots.
//!
//! ```
//! use kdumpfile_testkit::vmware::VmwareBuilder;
//!
//! let state = VmwareBuilder::new(0xBED2_BED2).group("memory").regions(&[(0, 0, 2)]).build();
//! assert_eq!(state[..4], [0xd2, 0xbe, 0xd2, 0xbe]);
//! ```

use crate::endian::{ByteOrder, Bytes, Field};

/// Bytes of the header, and of a group descriptor.
const HEADER: usize = 12;
const GROUP: usize = 80;

/// Group `cpu` names its registers so; `r8` to `r15` follow.
const FIRST: [&str; 8] = ["rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi"];

/// Registers of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmwareCpu {
    /// `rax rcx rdx rbx rbp rsp rsi rdi r8..r15`.
    pub general: [u64; 16],
    /// `rip`.
    pub rip: u64,
    /// `eflags`.
    pub eflags: u32,
    /// `cr0` to `cr4`.
    pub cr: [u64; 5],
    /// Base of the interrupt descriptor table.
    pub idt: u64,
    /// Selector and base of ES, CS, SS, DS, FS, GS, LDTR, TR.
    pub segments: [(u32, u64); 8],
}

/// Builds one state file; what it is told need not make sense.
#[derive(Clone, Debug)]
pub struct VmwareBuilder {
    magic: u32,
    groups: Vec<(String, Bytes)>,
    /// Group, and a field relative to its start.
    fields: Vec<(usize, Field)>,
    count: Option<u32>,
}

impl VmwareBuilder {
    /// A file with this magic number and no group.
    pub fn new(magic: u32) -> Self {
        VmwareBuilder { magic, groups: vec![], fields: vec![], count: None }
    }

    /// Begins a group; what follows goes into it.
    pub fn group(mut self, name: &str) -> Self {
        self.groups.push((name.into(), Bytes::new(ByteOrder::Little)));
        self
    }

    /// Overwrites the number of groups in the header.
    pub fn group_count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    fn last(&mut self) -> &mut Bytes {
        &mut self.groups.last_mut().expect("a group was begun").1
    }

    fn field(&mut self, width: usize, value: u64) {
        let offset = self.last().len() as u64;
        self.fields.push((self.groups.len() - 1, Field { offset, width }));
        self.last().push_uint(width, value);
    }

    fn head(&mut self, name: &str, indices: &[u32], size: u64) {
        let tag = (name.len() as u64) << 8 | (indices.len() as u64) << 6 | size;
        self.field(2, tag);
        let end = self.last().len();
        self.last().put_bytes(end, name.as_bytes());
        for index in indices {
            self.last().push_uint(4, u64::from(*index));
        }
    }

    /// Adds a tag with a number of `width` bytes.
    pub fn number(mut self, name: &str, indices: &[u32], width: usize, value: u64) -> Self {
        self.head(name, indices, width as u64);
        self.field(width, value);
        self
    }

    /// Adds a tag with a value of fewer than 62 bytes.
    pub fn value(mut self, name: &str, indices: &[u32], value: &[u8]) -> Self {
        self.head(name, indices, value.len() as u64);
        let end = self.last().len();
        self.last().put_bytes(end, value);
        self
    }

    /// Adds a block with `pad` bytes in front of its data.
    pub fn block(self, name: &str, indices: &[u32], pad: usize, data: &[u8]) -> Self {
        self.any_block(63, name, indices, (pad, data, data.len()))
    }

    /// Adds a compressed block that says it has `size` bytes of memory.
    pub fn compressed(self, name: &str, indices: &[u32], data: &[u8], size: usize) -> Self {
        self.any_block(62, name, indices, (0, data, size))
    }

    fn any_block(mut self, kind: u64, name: &str, indices: &[u32], body: (usize, &[u8], usize)) -> Self {
        let (pad, data, size) = body;
        let width = if self.magic & 0xf == 0 { 4 } else { 8 };
        self.head(name, indices, kind);
        self.field(width, data.len() as u64);
        self.field(width, size as u64);
        self.field(2, pad as u64);
        let end = self.last().len();
        self.last().put_bytes(end, &vec![0xee; pad]);
        self.last().put_bytes(end + pad, data);
        self
    }

    /// Adds regions of memory: page in the image, page of the guest, pages.
    pub fn regions(mut self, regions: &[(u32, u32, u32)]) -> Self {
        self = self.number("regionsCount", &[], 4, regions.len() as u64);
        for (index, (page, frame, pages)) in (0..).zip(regions) {
            let numbers = [("regionPageNum", page), ("regionPPN", frame), ("regionSize", pages)];
            for (name, number) in numbers {
                self = self.number(name, &[index], 4, u64::from(*number));
            }
        }
        self
    }

    /// Adds a CPU with a tag for each register.
    pub fn cpu(mut self, cpu: u32, state: &VmwareCpu) -> Self {
        for (number, value) in state.general.into_iter().enumerate() {
            let name = FIRST.get(number).map_or_else(|| format!("r{number}"), |name| (*name).into());
            self = self.number(&name, &[cpu], 8, value);
        }
        self = self.number("rip", &[cpu], 8, state.rip).number("eflags", &[cpu], 4, state.eflags.into());
        for (number, value) in (0..).zip(state.cr) {
            self = self.number("CR64", &[cpu, number], 8, value);
        }
        self = self.number("IDTR", &[cpu, 1], 4, state.idt & 0xffff_ffff);
        self.number("IDTR", &[cpu, 2], 4, state.idt >> 32).segments(cpu, state)
    }

    /// Adds a CPU with blocks of registers.
    pub fn cpu_in_blocks(self, cpu: u32, state: &VmwareCpu) -> Self {
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let mut cr = words(&state.cr);
        cr.resize(72, 0);
        let mut idtr = vec![0xff, 0x0f];
        idtr.extend(state.idt.to_le_bytes());
        self.block("gpregs", &[cpu], 3, &words(&state.general))
            .number("rip", &[cpu], 8, state.rip)
            .number("EFLAGS", &[cpu], 4, state.eflags.into())
            .block("CR64", &[cpu], 0, &cr)
            .block("IDTR", &[cpu], 0, &idtr)
            .segments(cpu, state)
    }

    fn segments(mut self, cpu: u32, state: &VmwareCpu) -> Self {
        for (number, (selector, base)) in (0..).zip(state.segments) {
            self = self.number("S", &[cpu, number], 4, selector.into()).number(
                "S.base64",
                &[cpu, number],
                8,
                base,
            );
        }
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_fields().0
    }

    /// The file, and where its numbers are.
    pub fn build_with_fields(&self) -> (Vec<u8>, Vec<Field>) {
        let mut out = Bytes::new(ByteOrder::Little);
        let count = self.count.unwrap_or(self.groups.len() as u32);
        for number in [self.magic, 8, count] {
            out.push_uint(4, number.into());
        }
        let mut fields = vec![Field { offset: 8, width: 4 }];
        let mut position = HEADER + self.groups.len() * GROUP;
        for (number, (name, tags)) in self.groups.iter().enumerate() {
            let at = HEADER + number * GROUP;
            out.put_bytes(at, &[0; 64]).put_bytes(at, name.as_bytes());
            // Tag 0 ends the group.
            let tags = [tags.clone().into_vec(), vec![0, 0]].concat();
            for (offset, value) in [(64, position), (72, tags.len())] {
                out.put_bytes(at + offset, &(value as u64).to_le_bytes());
                fields.push(Field { offset: (at + offset) as u64, width: 8 });
            }
            let inside = self.fields.iter().filter(|field| field.0 == number);
            fields
                .extend(inside.map(|(_, field)| Field { offset: field.offset + position as u64, ..*field }));
            out.put_bytes(position, &tags);
            position += tags.len();
        }
        (out.into_vec(), fields)
    }
}
