//! The memory of a running machine, and what its system tells.

use kdumpfile::error::{Error, Result};
use kdumpfile::io::{Live, LiveKind, LiveXen, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Value};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{Note, NoteWriter};

use super::open_elf;
use crate::examine;
use crate::input::Input;
use crate::seeds::Seeds;

/// A machine whose memory is a file.
struct Machine {
    memory: Vec<u8>,
    /// Whether what lies behind its end cannot be read, or is not there.
    fails: bool,
    live: Live,
}

impl ReadAt for Machine {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        match usize::try_from(pos).ok().filter(|at| *at < self.memory.len()) {
            None if self.fails => Err(Error::system("Bad address")),
            _ => self.memory.as_slice().read_at(pos, buf),
        }
    }

    fn live(&self) -> Option<Live> {
        Some(self.live.clone())
    }
}

/// What a system tells about itself, and its memory.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let kind = if options & 1 != 0 { LiveKind::Kcore } else { LiveKind::Device };
    let page_size = match input.byte() {
        shift @ 0..=63 => 1 << shift,
        64..=191 => 4096,
        _ => input.number(),
    };
    let mut live = Live::new(kind, page_size);
    live.big_endian = options & 2 != 0;
    live.arch = input.one_of(&[Some("x86_64"), Some("aarch64"), Some("s390x"), Some("ia32"), None]);
    live.xen = match input.byte() {
        0 => Err(Error::system("Error opening /sys/hypervisor/guest_type")),
        bits @ 1..=15 => Ok(Some(LiveXen { control: bits & 1 != 0, paravirtualized: bits & 2 != 0 })),
        _ => Ok(None),
    };
    let len = input.index(256);
    live.iomem = (options & 4 != 0).then(|| String::from_utf8_lossy(input.bytes(len)).into_owned());
    let told = (options & 8 != 0).then(|| (input.number(), input.number()));
    let mut memory = match kind {
        LiveKind::Kcore => open_elf::templates()[input.index(open_elf::templates().len())].bytes.clone(),
        LiveKind::Device => Vec::new(),
    };
    // A note, where the system may say that it is.
    let order = if live.big_endian { ByteOrder::Big } else { ByteOrder::Little };
    let note = match options & 16 {
        0 => input.0.to_vec(),
        _ => NoteWriter::new(order).note(Note::vmcoreinfo(input.0)).finish(),
    };
    let at = memory.len() as u64;
    live.vmcoreinfo = told.or(Some((at, note.len() as u64)));
    memory.extend(note);
    memory.resize(memory.len().next_multiple_of(4096), 0x5a);

    let dump = Context::new();
    if options & 32 != 0 {
        dump.set("addrxlat.ostype", Value::from("linux")).expect("a known system");
    }
    let source: Source = Shared::new(Machine { memory, fails: options & 64 != 0, live });
    let opened = dump.open(vec![source]);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::all(&dump);
}

/// Machines that tell where VMCOREINFO and the kernel are.
pub fn seeds(seeds: &mut Seeds) {
    let iomem = b"00100000-bfffffff : System RAM\n  3f000000-4020bb07 : Kernel code\n";
    let text = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000123\n";
    for (arch, options) in (0..5).zip([4 | 16 | 32, 16 | 64, 2 | 16, 4 | 16, 0]) {
        let head = [options, 64, arch, 16, iomem.len() as u8];
        let iomem: &[u8] = if options & 4 != 0 { iomem } else { &[] };
        seeds.add(&format!("device-{arch}"), &[&head, iomem, text]);
        seeds.add(&format!("xen-{arch}"), &[&[options, 64, arch, arch, 0], text]);
    }
    seeds.add("kcore", &[&[1 | 16, 64, 0, 16, 0, 0], text]);
    seeds.add("told", &[&[8, 64, 0, 16, 0, 0, 9], text]);
}
