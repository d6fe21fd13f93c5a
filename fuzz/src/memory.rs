//! Memory without a header: raw images, and the memory of a running machine.

use kdumpfile::error::{Error, Result};
use kdumpfile::io::{Live, LiveKind, LiveXen, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Value};
use kdumpfile_testkit::compress;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{Note, NoteWriter};

use crate::examine;
use crate::input::Input;
use crate::source::Shy;
use crate::templates::elves;

/// One to three files, each with what the user says about it and a length.
pub fn run_open_raw(data: &[u8]) {
    let mut input = Input(data);
    let dump = Context::new();
    let options = input.byte();
    let count = 1 + input.index(3);
    dump.set("file.set.number", Value::Number(count as u64)).expect("a number of files");
    if options & 1 != 0 {
        let arch = input.one_of(&["x86_64", "ia64", "aarch64", "s390x", "ppc64"]);
        dump.set("arch.name", Value::from(arch)).expect("a known architecture");
    }
    if options & 2 != 0 {
        let size = 1 << (8 + input.index(15));
        let _ = dump.set("arch.page_size", Value::Number(size));
    }
    if options & 4 != 0 {
        dump.set("file.mmap_policy", Value::Number(u64::from(input.byte() % 4))).expect("a policy");
    }
    let mut sources: Vec<Source> = Vec::new();
    for file in 0..count {
        let kind = input.byte();
        if kind & 1 == 0 || file == 0 {
            let base = Value::Address(input.number());
            dump.set(&format!("file.set.{file}.base"), base).expect("an address");
        }
        for (bit, key) in [(2, "offset"), (4, "length")] {
            if kind & bit != 0 {
                let number = Value::Number(input.number());
                dump.set(&format!("file.set.{file}.{key}"), number).expect("a number");
            }
        }
        let len = input.uint(2);
        let bytes: Vec<u8> = (0..len).map(|at| (at >> 4) as u8 ^ file as u8).collect();
        sources.push(match kind >> 5 {
            0..=3 => Shared::new(bytes),
            4 => Shared::new(compress::gzip(&bytes)),
            number => Shared::new(Shy { bytes, sized: number == 5 }),
        });
    }
    let opened = dump.open(sources);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    if opened.is_ok() {
        assert_eq!(dump.string("file.format").expect("it is open"), "raw");
    }
    examine::all(&dump);
}

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
pub fn run_open_live(data: &[u8]) {
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
        LiveKind::Kcore => elves()[input.index(elves().len())].bytes.clone(),
        LiveKind::Device => Vec::new(),
    };
    // A note, where the system may say that it is.
    let order = if live.big_endian { ByteOrder::Big } else { ByteOrder::Little };
    let note = match options & 16 {
        0 => input.0.to_vec(),
        _ => NoteWriter::new(order).note(Note::vmcoreinfo(input.0.to_vec())).finish(),
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
