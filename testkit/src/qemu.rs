//! QEMU migration streams, and libvirt's save images around them.
//!
//! A stream is put together item by item, in any order and with any contents;
//! [`guest`] makes a whole one.

use crate::compress;
use crate::endian::ByteOrder;

/// Item types.
pub mod item {
    /// End of the sections.
    pub const EOF: u8 = 0;
    /// First part of a section.
    pub const START: u8 = 1;
    /// A further part.
    pub const PART: u8 = 2;
    /// The last part.
    pub const END: u8 = 3;
    /// A whole section.
    pub const FULL: u8 = 4;
}

/// Number of the RAM section.
pub const RAM: u32 = 2;

/// A name behind its length.
fn name(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// Records of a RAM section, in pages of one size.
#[derive(Clone, Debug, Default)]
pub struct Records(pub Vec<u8>);

impl Records {
    /// A record with a block name, or of the same block as the last one.
    pub fn record(mut self, address: u64, flags: u64, block: Option<&str>, data: &[u8]) -> Self {
        let same = if block.is_some() { 0 } else { 0x20 };
        self.0.extend((address | flags | same).to_be_bytes());
        self.0.extend(block.map(name).unwrap_or_default());
        self.0.extend(data);
        self
    }

    /// The list of blocks with what follows each of them; `total` may lie.
    pub fn list(mut self, total: u64, blocks: &[(&str, u64)]) -> Self {
        self.0.extend((total | 4).to_be_bytes());
        for (block, length) in blocks {
            self.0.extend(name(block));
            self.0.extend(length.to_be_bytes());
        }
        self
    }

    /// A page of one byte.
    pub fn fill(self, address: u64, block: Option<&str>, byte: u8) -> Self {
        self.record(address, 0x02, block, &[byte])
    }

    /// A page as it is.
    pub fn page(self, address: u64, block: Option<&str>, data: &[u8]) -> Self {
        self.record(address, 0x08, block, data)
    }

    /// A page packed with zlib.
    pub fn packed(self, address: u64, block: Option<&str>, data: &[u8]) -> Self {
        let packed = compress::zlib(data, 1);
        let data = [&(packed.len() as u32).to_be_bytes()[..], &packed].concat();
        self.record(address, 0x100, block, &data)
    }

    /// Changes of a page from what it was sent as before; see [`xbzrle`].
    pub fn changes(self, address: u64, block: Option<&str>, old: &[u8], new: &[u8]) -> Self {
        let changes = xbzrle(old, new);
        let data = [&[1][..], &(changes.len() as u16).to_be_bytes(), &changes].concat();
        self.record(address, 0x40, block, &data)
    }

    /// The end of the payload.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend(0x10u64.to_be_bytes());
        self.0
    }
}

/// How a page differs from another one: numbers of bytes that stay and that
/// change (ULEB128), and the latter, as often as it takes.
pub fn xbzrle(old: &[u8], new: &[u8]) -> Vec<u8> {
    let number = |mut number: usize| {
        let mut bytes = vec![];
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let mut out = vec![];
    let mut at = 0;
    while at < new.len() {
        let run = |from: usize, same: bool| {
            let end = (from..new.len()).find(|at| (old[*at] == new[*at]) != same);
            end.unwrap_or(new.len()) - from
        };
        let same = run(at, true);
        let other = run(at + same, false);
        if other > 0 {
            out.extend(number(same));
            out.extend(number(other));
            out.extend(&new[at + same..at + same + other]);
        }
        at += same + other;
    }
    out
}

/// Fields of an x86 CPU as the description has them: name, elements, bytes of
/// an element. Their order and sizes are not those of any version of QEMU.
pub fn cpu_fields(word: u64) -> Vec<(&'static str, u64, u64)> {
    vec![
        ("env.hflags", 1, 4),
        ("env.cr[4]", 1, word),
        ("env.cr[3]", 1, word),
        ("env.segs", 6, word + 12),
        ("env.other", 3, 5),
        ("env.regs", if word == 8 { 16 } else { 8 }, word),
        ("env.eflags", 1, word),
        ("env.cr[0]", 1, word),
        ("env.eip", 1, word),
        ("env.efer", u64::from(word == 8), 8),
        ("env.cr[2]", 1, word),
        ("env.last", 1, 3),
    ]
}

/// A device of the description: name, number, fields and a subsection.
pub struct Described {
    /// Name of the section.
    pub name: &'static str,
    /// Number of the device.
    pub instance: u32,
    /// Name, elements, and bytes of an element.
    pub fields: Vec<(&'static str, u64, u64)>,
    /// Name and bytes of a subsection.
    pub subsection: Option<(&'static str, u64)>,
}

impl Described {
    /// Bytes of the fields.
    pub fn size(&self) -> usize {
        self.fields.iter().map(|field| field.1 * field.2).sum::<u64>() as usize
    }

    /// State whose fields have these values: the field, an element of it, and
    /// the bytes of its beginning.
    pub fn state(&self, values: &[(&str, u64, &[u8])]) -> Vec<u8> {
        let mut state: Vec<u8> = (0..self.size()).map(|at| 0x80 | at as u8).collect();
        for (name, element, bytes) in values {
            let mut at = 0;
            for field in &self.fields {
                if field.0 == *name {
                    let at = (at + element * field.2) as usize;
                    state[at..at + bytes.len()].copy_from_slice(bytes);
                }
                at += field.1 * field.2;
            }
        }
        if let Some((subsection, size)) = self.subsection {
            state.push(5);
            state.extend(name(subsection));
            state.extend(1u32.to_be_bytes());
            state.resize(state.len() + size as usize, 5);
        }
        state
    }

    fn json(&self) -> String {
        let field = |field: &(&str, u64, u64)| {
            let (name, count, size) = field;
            let array = if *count == 1 { String::new() } else { format!("\"array_len\": {count}, ") };
            format!("{{\"name\": \"{name}\", {array}\"type\": \"x\", \"size\": {size}}}")
        };
        let fields: Vec<_> = self.fields.iter().map(field).collect();
        let subsections = self.subsection.map_or(String::new(), |(name, size)| {
            format!(
                ", \"subsections\": [{{\"vmsd_name\": \"{name}\", \"version\": 1, \"fields\": \
                 [{{\"name\": \"x\", \"type\": \"buffer\", \"size\": {size}}}]}}]"
            )
        });
        format!(
            "{{\"name\": \"{}\", \"instance_id\": {}, \"vmsd_name\": \"x\", \"version\": 12, \"fields\": [{}]{}}}",
            self.name,
            self.instance,
            fields.join(", "),
            subsections
        )
    }
}

/// The text of a description.
pub fn description(page_size: u64, devices: &[Described]) -> String {
    let devices: Vec<_> = devices.iter().map(Described::json).collect();
    format!("{{\"page_size\": {page_size}, \"devices\": [{}]}}", devices.join(", "))
}

/// A stream under construction.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What there is so far.
    pub bytes: Vec<u8>,
    /// Whether a footer follows each section (machine types since 2.4).
    pub footers: bool,
}

impl Stream {
    /// Signature and version.
    pub fn new(version: u32) -> Self {
        Stream { bytes: [&b"QEVM"[..], &version.to_be_bytes()].concat(), footers: true }
    }

    /// Without footers.
    #[must_use]
    pub fn without_footers(self) -> Self {
        Stream { footers: false, ..self }
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// The machine type, with subsections: name and data.
    #[must_use]
    pub fn configuration(mut self, machine: &str, subsections: &[(&str, &[u8])]) -> Self {
        self.bytes.push(7);
        self.bytes.extend((machine.len() as u32).to_be_bytes());
        self.bytes.extend(machine.as_bytes());
        for (subsection, data) in subsections {
            self.bytes.push(5);
            self.bytes.extend(name(subsection));
            self.bytes.extend(1u32.to_be_bytes());
            self.bytes.extend(*data);
        }
        self
    }

    /// A section that has a name: the first or the only part.
    #[must_use]
    pub fn named(
        self,
        kind: u8,
        id: u32,
        section: &str,
        instance: u32,
        version: u32,
        payload: &[u8],
    ) -> Self {
        let header = [&name(section)[..], &instance.to_be_bytes(), &version.to_be_bytes(), payload].concat();
        self.part(kind, id, &header)
    }

    /// A further part of a section.
    #[must_use]
    pub fn part(mut self, kind: u8, id: u32, payload: &[u8]) -> Self {
        self.bytes.push(kind);
        self.bytes.extend(id.to_be_bytes());
        self.bytes.extend(payload);
        if self.footers {
            self.bytes.push(0x7e);
            self.bytes.extend(id.to_be_bytes());
        }
        self
    }

    /// RAM in three parts: list, records, end.
    #[must_use]
    pub fn ram(self, blocks: &[(&str, u64)], records: Records) -> Self {
        let total = blocks.iter().map(|block| block.1).sum();
        self.named(item::START, RAM, "ram", 0, 4, &Records::default().list(total, blocks).end())
            .part(item::PART, RAM, &records.end())
            .part(item::END, RAM, &Records::default().end())
    }

    /// The state of an x86 CPU: pairs of position and 64-bit value.
    #[must_use]
    pub fn cpu(self, instance: u32, values: &[(usize, u64)]) -> Self {
        let mut state = vec![0; 1200];
        for &(at, value) in [(136, 2), (456, 0x6000_0010)].iter().chain(values) {
            state[at..at + 8].copy_from_slice(&value.to_be_bytes());
        }
        self.named(item::FULL, 10 + instance, "cpu", instance, 12, &state)
    }

    /// The end of the sections, and an empty description.
    pub fn end(self) -> Vec<u8> {
        self.end_with("{}")
    }

    /// The end of the sections, and a description.
    pub fn end_with(self, description: &str) -> Vec<u8> {
        let length = (description.len() as u32).to_be_bytes();
        self.raw(&[item::EOF, 6]).raw(&length).raw(description.as_bytes()).bytes
    }
}

/// A stream with `mapped-ram`: one block, of which `pages` are stored, behind
/// `before` bytes; positions count from `zero`.
pub fn mapped(
    machine: &str,
    block: &str,
    length: u64,
    pages: &[(u64, Vec<u8>)],
    before: u64,
    zero: u64,
) -> Vec<u8> {
    let capability = [&1u32.to_be_bytes()[..], &name("mapped-ram")].concat();
    let stream = Stream::new(3).configuration(machine, &[("configuration/capabilities", &capability)]);
    let list = Records::default().list(length, &[(block, length)]);
    let start = [&[item::START], &RAM.to_be_bytes()[..], &name("ram"), &[0, 0, 0, 0, 0, 0, 0, 4]].concat();
    let mut stream = stream.raw(&start).raw(&list.0);
    let bitmap = before + stream.bytes.len() as u64 + 28;
    let first = (bitmap + length / 4096 / 8 + 8).next_multiple_of(1 << 20);
    let mut bits = vec![0; (length / 4096).div_ceil(64) as usize * 8];
    stream = stream.raw(&1u32.to_be_bytes()).raw(&4096u64.to_be_bytes());
    stream = stream.raw(&(bitmap - zero).to_be_bytes()).raw(&(first - zero).to_be_bytes());
    let mut data = vec![0; (first + length - before) as usize];
    for (page, bytes) in pages {
        bits[(page / 8) as usize] |= 1 << (page % 8);
        let at = (first - before + page * 4096) as usize;
        data[at..at + 4096].copy_from_slice(bytes);
    }
    data[..stream.bytes.len()].copy_from_slice(&stream.bytes);
    data[stream.bytes.len()..][..bits.len()].copy_from_slice(&bits);
    stream.bytes = data;
    stream
        .raw(&Records::default().end())
        .raw(&[0x7e, 0, 0, 0, 2])
        .part(item::END, RAM, &Records::default().end())
        .end()
}

/// libvirt's header with a description of the domain, padded to `data_len`.
pub fn save_image(
    order: ByteOrder,
    magic: &[u8; 16],
    version: u32,
    format: u32,
    xml: &str,
    data_len: u32,
) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    for word in [version, data_len, 1, format, 0] {
        bytes.extend(order.uint(4, word.into()));
    }
    bytes.resize(92, 0);
    bytes.extend(xml.as_bytes());
    bytes.resize(92 + data_len as usize, 0);
    bytes
}

/// A small guest of machine type `pc-i440fx-7.2`: what is in page `n` of its 64
/// pages is [`guest_page`]`(n)`; every kind of record is used, some pages twice.
pub fn guest(page_size: usize) -> Vec<u8> {
    let size = page_size as u64;
    let mut records =
        Records::default().fill(0, Some("pc.ram"), 0).page(0, Some("vga.vram"), &vec![9; page_size]);
    for n in 0..64 {
        let block = (n % 16 == 0).then_some("pc.ram");
        let data = guest_page(n, page_size);
        records = match n % 8 {
            0 | 1 => records.fill(n * size, block, data[0]),
            2..=5 => records.page(n * size, block, &data),
            _ => records.packed(n * size, block, &data),
        };
        if n == 40 {
            records = records.page(3 * size, None, &vec![1; page_size]).fill(4 * size, None, 77);
        }
    }
    records = records.page(3 * size, None, &guest_page(3, page_size));
    records = records.packed(4 * size, None, &guest_page(4, page_size));
    let bits = page_size.ilog2().to_be_bytes();
    Stream::new(3)
        .configuration("pc-i440fx-7.2", &[("configuration/target-page-bits", &bits)])
        .ram(&[("pc.ram", 64 * size), ("vga.vram", 4 * size)], records)
        .named(item::FULL, 0, "timer", 0, 2, &[0; 24])
        .cpu(0, &[(0, 0x1111), (128, 0xffff_ffff_8100_0000), (472, 0x1000), (816, 0xd01)])
        .end()
}

/// Page `n` of [`guest`].
pub fn guest_page(n: u64, page_size: usize) -> Vec<u8> {
    match n % 8 {
        0 | 1 => vec![(n / 8) as u8; page_size],
        _ => (0..page_size as u64).map(|at| (n * 31 + at / 5 + at * at / 777) as u8).collect(),
    }
}
