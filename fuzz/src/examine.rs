//! Looks at everything that a context offers, and at its consistency.

use kdumpfile::{AttrType, Bitmap, Context, Space, Value};

const SPACES: [Space; 3] = [Space::KernelPhysical, Space::MachinePhysical, Space::KernelVirtual];
/// How many bytes are read at once.
const CHUNK: usize = 64;
/// The most bytes that a text may have for the sum of a run to stay small.
const TEXT_MAX: u64 = 4 << 20;
/// The most nodes that are looked at.
const NODES_MAX: usize = 4000;

/// Attributes, bitmaps and memory of `dump`, whether it is open or not.
pub fn all(dump: &Context) {
    attributes(dump);
    let pagemap = dump.bitmap("file.pagemap").ok();
    let ram = dump.bitmap("memory.pagemap").ok();
    for map in pagemap.iter().chain(&ram) {
        bitmap(map);
    }
    memory(dump, pagemap.as_ref());
}

/// Walks the whole tree; each entry must be found by its own path.
pub fn attributes(dump: &Context) {
    let root = dump.attr(None).expect("the root is always there");
    let mut directories = vec![root];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        let mut previous = None;
        loop {
            let entry = dump.next_child(directory, previous);
            let Ok(Some(entry)) = entry else {
                assert!(entry.is_ok(), "{:?}", entry.err());
                break;
            };
            assert!(dump.attr_is_set(entry.attr), "an iteration shows {} without a value", entry.key);
            let path = dump.attr_path(entry.attr).expect("an entry has a path");
            assert!(path.ends_with(&entry.key), "{path} does not end with {}", entry.key);
            // Keys of VMCOREINFO may hold characters that paths cannot.
            if !path.contains("..") && !path.starts_with('.') && !path.ends_with('.') {
                assert_eq!(dump.attr(Some(&path)).ok(), Some(entry.attr), "{path}");
            }
            match dump.get_attr(entry.attr) {
                Ok(value) => look(&value, dump.attr_type(entry.attr)),
                Err(error) => assert!(!error.message().is_empty(), "{path}: {error:?}"),
            }
            if dump.attr_type(entry.attr) == Some(AttrType::Directory) {
                directories.push(entry.attr);
            }
            previous = Some(entry.attr);
            seen += 1;
            if seen > NODES_MAX {
                return;
            }
        }
    }
}

fn look(value: &Value, kind: Option<AttrType>) {
    assert_eq!(Some(value.attr_type()), kind);
    if let Value::Blob(blob) = value {
        let bytes = blob.to_vec();
        assert_eq!(bytes.len(), blob.len());
        blob.pin().with(|pinned| assert!(pinned == bytes));
    }
}

/// Three ways to ask for bits give the same answers.
fn bitmap(map: &Bitmap) {
    let mut end = 0;
    for (number, range) in map.ranges().take(20).enumerate() {
        let Ok((first, last)) = range else { return };
        assert!(first <= last, "range {first} to {last}");
        assert!(number == 0 || first > end, "{first} is not above {end}");
        assert_eq!(map.find_set(first).ok(), Some(first));
        if let Ok(clear) = map.find_clear(first) {
            assert!(clear > last || last == u64::MAX, "{clear} is clear, {first} to {last} are set");
        }
        window(map, first);
        window(map, last);
        end = last;
    }
    for from in [0, 1, 1 << 20, u64::MAX - 1, u64::MAX] {
        window(map, from);
    }
}

/// 32 bits around `at`, one by one.
fn window(map: &Bitmap, at: u64) {
    let first = at.saturating_sub(9);
    let last = first.saturating_add(31);
    let mut bits = [0xa5; 4];
    if map.bits(first, last, &mut bits).is_err() {
        return;
    }
    for bit in first..=last {
        let index = (bit - first) as usize;
        let set = bits[index / 8] >> (index % 8) & 1 != 0;
        assert_eq!(map.find_set(bit).ok() == Some(bit), set, "bit {bit}");
    }
}

/// First and last pages, and addresses where arithmetic may go wrong.
fn memory(dump: &Context, pagemap: Option<&Bitmap>) {
    let page_size = dump.number("arch.page_size").unwrap_or(4096);
    let mut pfns = Vec::new();
    let mut pages = 0u64;
    if let Some(map) = pagemap {
        for (first, last) in map.ranges().take(64).flatten() {
            pages = pages.saturating_add(last - first).saturating_add(1);
            if pfns.len() < 6 {
                pfns.extend([first, last]);
            }
        }
        let max = dump.number("max_pfn").unwrap_or(0);
        let near = max.saturating_sub(40);
        pfns.extend(map.find_set(near).ok());
        pfns.extend([max.wrapping_sub(1), max]);
    }
    let mut addresses: Vec<u64> = pfns.iter().map(|pfn| pfn.wrapping_mul(page_size)).collect();
    addresses.extend([
        0,
        1,
        page_size.wrapping_sub(CHUNK as u64 / 2),
        0x1234,
        1 << 32,
        u64::MAX - 70,
        u64::MAX,
    ]);
    addresses.extend([0xffff_8880_0000_0000, 0xffff_ffff_8100_0000, 0xc000_0000]);
    let short = pages.saturating_mul(page_size) <= TEXT_MAX;
    let clone = dump.clone();
    // What keeps translation from being set up is told once.
    let _ = dump.translation_system();
    for space in SPACES {
        for address in &addresses {
            let mut buf = [0xa5; CHUNK];
            let (done, result) = dump.read_partial(space, *address, &mut buf);
            assert_eq!(result.is_ok(), done == CHUNK, "{done} bytes at {address:#x}: {result:?}");
            assert!(
                buf[done..].iter().all(|byte| *byte == 0xa5),
                "bytes behind the first {done} were touched"
            );
            // The second read finds the page in the cache.
            let mut again = [0xa5; CHUNK];
            let (redone, _) = clone.read_partial(space, *address, &mut again);
            assert_eq!(redone, done, "at {address:#x}");
            assert!(again == buf, "a second read at {address:#x} differs");
            if short && let Ok(text) = dump.read_string(space, *address) {
                let common = text.len().min(done);
                assert!(text[..common] == buf[..common], "a string at {address:#x} differs");
                assert!(done <= text.len() || buf[text.len()] == 0);
            }
        }
    }
}
