//! Sequences of operations on attributes, through several clones.

use kdumpfile::dump::OpenDescriptor;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{AttrRef, AttrType, Blob, Context, Error, Result, Space, Value};

use super::{open_diskdump, open_elf};
use crate::examine;
use crate::input::Input;
use crate::seeds::Seeds;

/// Keys of every kind: plain, with hooks, directories, created by a dump, by
/// VMCOREINFO, and none at all.
const PATHS: [&str; 60] = [
    "max_pfn",
    "xen.xlat",
    "xen.type",
    "xen.vmcoreinfo.raw",
    "xen.vmcoreinfo",
    "xen.version_code",
    "xen.version.extra",
    "xen.version.minor",
    "xen.version.major",
    "xen.phys_start",
    "xen",
    "linux",
    "linux.phys_base",
    "linux.vmcoreinfo",
    "linux.vmcoreinfo.raw",
    "linux.vmcoreinfo.lines",
    "linux.vmcoreinfo.lines.PAGESIZE",
    "linux.vmcoreinfo.lines.OSRELEASE",
    "linux.vmcoreinfo.lines.SYMBOL(swapper_pg_dir)",
    "linux.vmcoreinfo.SYMBOL.swapper_pg_dir",
    "linux.vmcoreinfo.NUMBER.phys_base",
    "linux.vmcoreinfo.OFFSET.page.flags",
    "linux.uts",
    "linux.uts.machine",
    "linux.uts.release",
    "linux.uts.sysname",
    "linux.version_code",
    "addrxlat",
    "addrxlat.ostype",
    "addrxlat.force.rootpgt.addr",
    "addrxlat.default.os_type",
    "memory.pagemap",
    "file",
    "file.zero_excluded",
    "file.pagemap",
    "file.eraseinfo.raw",
    "file.mmap_policy",
    "file.fd",
    "file.set",
    "file.set.number",
    "file.set.0.fd",
    "file.set.1.fd",
    "file.set.0.name",
    "file.read_cache.hits",
    "file.format",
    "file.description",
    "cpu",
    "cpu.number",
    "cpu.0",
    "cpu.0.PRSTATUS",
    "cpu.0.reg.rip",
    "cpu.1.reg.rax",
    "cpu.0.pid",
    "cache.size",
    "cache.hits",
    "arch.page_shift",
    "arch.page_size",
    "arch.byte_order",
    "arch.name",
    "no.such.key",
];

const TEXTS: [&str; 10] =
    ["x86_64", "aarch64", "s390x", "i686", "linux", "xen", "6.1.0", "4096", "", "255.255.65536-rc1"];

/// Opens descriptors: each number is a template.
struct Templates;

impl OpenDescriptor for Templates {
    fn open(&self, fd: u64) -> Result<Source> {
        let all: Vec<&Vec<u8>> =
            open_elf::templates().iter().chain(open_diskdump::templates()).map(|dump| &dump.bytes).collect();
        let bytes = usize::try_from(fd).ok().and_then(|fd| all.get(fd));
        let bytes = bytes.ok_or_else(|| Error::invalid("There is no such file"))?;
        Ok(Shared::new((*bytes).clone()))
    }
}

/// The bytes are operations.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut contexts = vec![Context::new()];
    contexts[0].set_opener(Shared::new(Templates));
    let mut handles: Vec<AttrRef> = Vec::new();
    let mut steps = 0;
    while !input.is_empty() && steps < 200 {
        steps += 1;
        let dump = &contexts[input.index(contexts.len())];
        match input.byte() % 16 {
            0..=3 => set_by_path(dump, &mut input),
            4 | 5 => set_by_handle(dump, &mut input, &handles),
            6 => clear(dump, &mut input),
            7 => {
                let path = path(&mut input);
                if let Ok(handle) = dump.attr(Some(&path)) {
                    assert_eq!(dump.attr_path(handle).expect("a new handle"), path.trim_start_matches('.'));
                    handles.push(handle);
                }
            }
            8 => {
                if let Some(base) = pick(&mut input, &handles)
                    && let Ok(handle) = dump.sub_attr(base, &path(&mut input))
                {
                    handles.push(handle);
                }
            }
            9 => iterate(dump, pick(&mut input, &handles), pick(&mut input, &handles)),
            10 => {
                if let Some(handle) = pick(&mut input, &handles) {
                    look(dump, handle);
                }
            }
            11 => {
                if contexts.len() < 4 {
                    let clone = contexts[input.index(contexts.len())].clone();
                    assert!(clone.last_error().is_none());
                    contexts.push(clone);
                } else {
                    let last = input.index(contexts.len());
                    contexts.swap_remove(last);
                }
            }
            12 => {
                let fds: Vec<u64> = (0..input.index(3)).map(|_| u64::from(input.byte() % 18)).collect();
                let opened = dump.open_descriptors(&fds);
                assert_eq!(dump.last_error().is_some(), opened.is_err());
            }
            13 => {
                let mut buf = [0; 40];
                let space =
                    input.one_of(&[Space::KernelPhysical, Space::MachinePhysical, Space::KernelVirtual]);
                let _ = dump.read(space, input.number(), &mut buf);
            }
            14 => examine::attributes(dump),
            _ => {
                let names = [Some("vmcore"), None, Some("vmcore.1")];
                let _ = dump.set_file_names(&names[..input.index(4)]);
            }
        }
    }
    for dump in &contexts {
        examine::all(dump);
    }
}

fn pick(input: &mut Input<'_>, handles: &[AttrRef]) -> Option<AttrRef> {
    handles.get(input.index(handles.len())).copied()
}

fn path(input: &mut Input<'_>) -> String {
    match input.byte() {
        tag @ 0..=239 => PATHS[usize::from(tag) % PATHS.len()].into(),
        tag => String::from_utf8_lossy(input.bytes(usize::from(tag & 15))).into_owned(),
    }
}

/// A user may ask for a million files and gets three keys for each, but not in
/// the memory of a fuzzer.
fn bounded(path: &str, value: Value) -> Value {
    match value {
        Value::Number(count) if path.ends_with("file.set.number") && count <= 1 << 20 => {
            Value::Number(count % 3000)
        }
        value => value,
    }
}

fn value(input: &mut Input<'_>, kind: Option<AttrType>) -> Value {
    // Mostly of the right type.
    let kind = match input.byte() {
        tag @ 0..=5 => usize::from(tag),
        _ => match kind {
            Some(AttrType::Directory) => 0,
            Some(AttrType::Number) => 1,
            Some(AttrType::Address) => 2,
            Some(AttrType::String) => 3,
            _ => 4,
        },
    };
    match kind {
        0 => Value::Directory,
        1 => Value::Number(input.number()),
        2 => Value::Address(input.number()),
        3 => match input.byte() {
            tag @ 0..=199 => Value::from(TEXTS[usize::from(tag) % TEXTS.len()]),
            tag => Value::from(&*String::from_utf8_lossy(input.bytes(usize::from(tag & 15)))),
        },
        _ => match input.byte() {
            0..=63 => {
                Value::Blob(Blob::new(b"OSRELEASE=5.0.1\nPAGESIZE=8192\nNUMBER(phys_base)=-1\n".to_vec()))
            }
            tag => Value::Blob(Blob::new(input.bytes(usize::from(tag)).to_vec())),
        },
    }
}

/// Keys whose value is not what was set: they count or are derived.
fn keeps_its_value(path: &str, value: &Value) -> bool {
    // A register has as many bits as it has.
    let narrow = path.starts_with("cpu.") && matches!(value, Value::Number(_));
    !(narrow
        || matches!(value, Value::Directory)
        || path.ends_with("_cache.hits")
        || path.starts_with("cache."))
}

fn set_by_path(dump: &Context, input: &mut Input<'_>) {
    let path = path(input);
    let handle = dump.attr(Some(&path)).ok();
    let value = bounded(&path, value(input, handle.and_then(|handle| dump.attr_type(handle))));
    let result = dump.set(&path, value.clone());
    assert_eq!(dump.last_error().is_some(), result.is_err());
    assert!(result.is_err() || handle.is_some(), "{path:?} was set, but is no key");
    if let (Ok(()), Some(handle)) = (result, handle) {
        check_set(dump, &path, handle, &value);
    }
}

fn set_by_handle(dump: &Context, input: &mut Input<'_>, handles: &[AttrRef]) {
    let Some(handle) = pick(input, handles) else { return };
    let path = dump.attr_path(handle);
    let value = bounded(path.as_deref().unwrap_or(""), value(input, dump.attr_type(handle)));
    let result = dump.set_attr(handle, value.clone());
    match path {
        Ok(path) if result.is_ok() => check_set(dump, &path, handle, &value),
        Ok(_) => {}
        Err(_) => assert!(result.is_err(), "an attribute that is gone was set"),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) | (Value::Address(a), Value::Address(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Blob(a), Value::Blob(b)) => a.same_object(b),
        _ => false,
    }
}

fn check_set(dump: &Context, path: &str, handle: AttrRef, value: &Value) {
    // Setting may open a dump, which may take the attribute along.
    if dump.attr_type(handle).is_none() {
        return;
    }
    assert!(dump.attr_is_set(handle), "{path} was set");
    if keeps_its_value(path, value) {
        let got = dump.clone().get_attr(handle);
        assert!(got.as_ref().is_ok_and(|got| same(got, value)), "{path} is {got:?}, not {value:?}");
    }
}

fn clear(dump: &Context, input: &mut Input<'_>) {
    let path = path(input);
    let handle = dump.attr(Some(&path));
    let result = dump.clear(Some(&path));
    assert_eq!(result.is_ok(), handle.is_ok(), "{path}");
    if let Ok(handle) = handle {
        // Rows of VMCOREINFO go together with what they were parsed from.
        assert!(!dump.attr_is_set(handle), "{path} was cleared");
        assert!(dump.get_attr(handle).is_err(), "{path} was cleared");
    }
}

fn iterate(dump: &Context, directory: Option<AttrRef>, previous: Option<AttrRef>) {
    let Some(directory) = directory else { return };
    if let Ok(Some(entry)) = dump.next_child(directory, previous) {
        look(dump, entry.attr);
    }
    let mut previous = None;
    let mut count = 0;
    while let Ok(Some(entry)) = dump.next_child(directory, previous) {
        assert!(dump.attr_is_set(entry.attr));
        previous = Some(entry.attr);
        count += 1;
        assert!(count < 1 << 21, "an iteration does not end");
    }
}

fn look(dump: &Context, handle: AttrRef) {
    let kind = dump.attr_type(handle);
    let set = dump.attr_is_set(handle);
    let path = dump.attr_path(handle);
    assert_eq!(path.is_ok(), kind.is_some());
    assert!(kind.is_some() || !set, "an attribute that is gone has a value");
    match dump.get_attr(handle) {
        Ok(value) => assert!(set && Some(value.attr_type()) == kind),
        Err(error) => assert!(!error.message().is_empty() || !set),
    }
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    // Context, operation, and what it needs; see `run_attributes`.
    let programs: [(&str, &[u8]); 7] = [
        ("open", &[0, 12, 1, 0, 0, 14, 0, 13, 0, 1, 0, 11, 0, 0, 6, 47, 0, 14]),
        ("open-set", &[0, 12, 2, 8, 9, 0, 14, 0, 12, 1, 8, 0, 13, 1, 130, 0, 0, 16, 0, 14]),
        (
            "handles",
            &[0, 7, 13, 0, 7, 14, 0, 0, 14, 9, 10, 0, 7, 16, 0, 10, 1, 0, 6, 14, 0, 10, 2, 0, 9, 0, 0],
        ),
        ("clones", &[0, 11, 0, 0, 11, 0, 0, 0, 56, 9, 10, 1, 14, 1, 6, 56, 2, 14, 0, 0, 55, 9, 13]),
        (
            "page-size",
            &[0, 12, 1, 0, 0, 0, 56, 9, 10, 0, 13, 0, 3, 0, 0, 55, 9, 7, 0, 0, 53, 9, 0, 0, 13, 0, 1],
        ),
        (
            "file-set",
            &[0, 15, 3, 0, 0, 39, 9, 2, 0, 0, 40, 9, 1, 0, 0, 41, 9, 1, 0, 14, 0, 6, 38, 0, 0, 37, 9, 1],
        ),
        (
            "registers",
            &[0, 12, 1, 0, 0, 7, 49, 0, 7, 50, 0, 4, 0, 9, 23, 0, 0, 49, 9, 10, 0, 10, 0, 0, 10, 1],
        ),
    ];
    for (name, program) in programs {
        seeds.add(name, &[program]);
    }
}
