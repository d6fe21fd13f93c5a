//! VMCOREINFO: the text that a kernel leaves about itself, as attributes.
//!
//! | row | becomes |
//! | --- | --- |
//! | any `KEY=VALUE` | string `lines.KEY` (dots in the key make directories) |
//! | `SYMBOL(sym)=hex` | address `SYMBOL.sym` |
//! | `LENGTH(s)`, `NUMBER(s)`, `OFFSET(s)`, `SIZE(s)` | number below that directory |
//! | `PAGESIZE`, `OSRELEASE`, `NUMBER(phys_base)` | also set what they name |
//!
//! The kernel writes it in `kernel/vmcore_info.c` (`kernel/crash_core.c`
//! before 6.9).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::hooks::{Effects, Hook, Os};
use super::number::parse_whole;
use super::text::Text;
use super::tree::{ROOT, Slot, Tree};
use super::value::{AttrType, Value};
use crate::error::{Result, ResultExt};

/// Directories whose children come from the text.
const PARSED: &[&str] = &["lines", "LENGTH", "NUMBER", "OFFSET", "SIZE", "SYMBOL"];

/// Rows that would make the tree larger than this many nodes are dropped: two
/// bytes of text can ask for a directory of a hundred. Kernels write a few
/// hundred rows.
const MAX_NODES: usize = 1 << 19;
/// A longer text is parsed at once. Kernels write one page, or a few.
const UNREAD_MAX: usize = 1 << 16;

/// Keys of rows that others follow from.
const PAGE_SIZE: &str = "PAGESIZE";
const RELEASE: &str = "OSRELEASE";
const PHYS_BASE: &str = "NUMBER(phys_base)";

/// A text that was parsed only as far as others follow from it. That takes a
/// part of the time of making all attributes, which few ask for.
pub(super) struct Unread {
    os: Os,
    text: Vec<u8>,
}

/// A text of blank rows says little about how many attributes it has.
const NODES_IN_ADVANCE: usize = 1 << 10;

impl Os {
    fn vmcoreinfo(self) -> &'static str {
        match self {
            Os::Linux => "linux.vmcoreinfo",
            Os::Xen => "xen.vmcoreinfo",
        }
    }
}

impl Tree {
    fn vmcoreinfo_directory(&self, os: Os, key: &str) -> Option<u32> {
        self.lookup(ROOT, os.vmcoreinfo()).and_then(|top| self.child(top, key))
    }

    /// Deletes everything that was parsed from the text, or would be.
    pub(super) fn forget_vmcoreinfo(&mut self, os: Os) {
        self.unread.retain(|unread| unread.os != os);
        for key in PARSED {
            if let Some(directory) = self.vmcoreinfo_directory(os, key) {
                self.delete_children(directory);
            }
        }
    }

    /// Parses the text anew; stops at the first row that cannot be set. With
    /// `later` only what others follow from is taken from it now, if it is as
    /// kernels write it.
    pub(super) fn parse_vmcoreinfo(
        &mut self,
        os: Os,
        text: Vec<u8>,
        later: bool,
        effects: &mut Effects,
    ) -> Result<()> {
        if !self.filling {
            self.forget_vmcoreinfo(os);
        }
        let followed = match later && !self.filling && self.has_room_for(&text) {
            true => rows_to_follow(&text),
            false => None,
        };
        if let Some(followed) = followed {
            for (key, value) in followed {
                self.follow_known_row(os, key, value, effects)
                    .context(|| format!("Cannot set VMCOREINFO '{key}'"))?;
            }
            self.unread.push(Unread { os, text });
            return Ok(());
        }
        let Some(lines) = self.vmcoreinfo_directory(os, "lines") else { return Ok(()) };
        self.reserve_for(&text);
        for (key, value) in rows(&text) {
            self.set_vmcoreinfo_row(os, lines, &key, &value, effects)
                .context(|| format!("Cannot set VMCOREINFO '{key}'"))?;
        }
        Ok(())
    }

    /// Whether all attributes of a text fit, whatever its rows are.
    fn has_room_for(&self, text: &[u8]) -> bool {
        // A dot can be a directory, in each of two places.
        text.len() <= UNREAD_MAX && self.has_room_for_nodes(2 * text.len(), MAX_NODES)
    }

    fn reserve_for(&mut self, text: &[u8]) {
        let rows = text.iter().filter(|byte| **byte == b'\n').count();
        // Most rows are typed, and then two attributes.
        self.reserve((2 * rows).min(NODES_IN_ADVANCE));
    }

    /// What follows from a row of [`rows_to_follow`].
    fn follow_known_row(&mut self, os: Os, key: &str, value: &str, effects: &mut Effects) -> Result<()> {
        match key {
            PHYS_BASE => match parse_whole(value, 0) {
                Some(base) => self.derive("linux.phys_base", Value::Address(base), effects),
                None => Ok(()),
            },
            _ => self.follow_fact(os, key, value, effects).map(drop),
        }
    }

    /// Makes the attributes of texts that were put off, if `path` (from the
    /// root) may lead to one.
    #[inline]
    pub(super) fn read_rows_for(&mut self, path: Option<&[u8]>) {
        if !self.unread.is_empty() && path.is_some_and(leads_to_rows) {
            self.read_rows();
        }
    }

    /// The same for a path from `base`.
    #[inline]
    pub(super) fn read_rows_below(&mut self, base: u32, path: &[u8]) {
        if !self.unread.is_empty() && (base != ROOT || leads_to_rows(path)) {
            self.read_rows();
        }
    }

    /// The same if something about `id` may depend on it: whether it has
    /// children, and so a value.
    #[inline]
    pub(super) fn read_rows_in(&mut self, id: u32) {
        if !self.unread.is_empty() && self.node(id).kind == AttrType::Directory {
            self.read_rows();
        }
    }

    /// Makes attributes of texts that will be parsed again for the next dump.
    pub(super) fn read_rows_that_stay(&mut self) {
        let stays = |tree: &Tree, unread: &Unread| {
            let raw = tree.vmcoreinfo_directory(unread.os, "raw");
            raw.is_some_and(|raw| tree.node(raw).persistent)
        };
        if self.unread.iter().any(|unread| stays(self, unread)) {
            self.read_rows();
        }
    }

    /// Makes the attributes of all texts that were put off. What follows from
    /// them was done when the text was set.
    pub(super) fn read_rows(&mut self) {
        for Unread { os, text } in core::mem::take(&mut self.unread) {
            let Some(lines) = self.vmcoreinfo_directory(os, "lines") else { continue };
            self.reserve_for(&text);
            for (key, value) in rows(&text) {
                self.make_vmcoreinfo_row(os, lines, &key, &value);
            }
        }
    }

    /// The attributes of a row, and nothing else.
    fn make_vmcoreinfo_row(&mut self, os: Os, lines: u32, key: &str, value: &str) {
        if !self.make_value(lines, key, Value::from(value), Hook::VmcoreinfoLine(os)) {
            return;
        }
        if let Some((kind, symbol, value)) = typed_value(key, value)
            && let Some(directory) = self.vmcoreinfo_directory(os, kind)
        {
            self.make_value(directory, symbol, value, Hook::VmcoreinfoDerived(os));
        }
    }

    /// Whether there is an attribute of the right type with that value now.
    fn make_value(&mut self, base: u32, path: &str, value: Value, hook: Hook) -> bool {
        if !self.has_room(path, MAX_NODES) {
            return false;
        }
        match self.create_path(base, path, value.attr_type(), hook) {
            Some(id) if self.node(id).kind == value.attr_type() => {
                self.give(id, Slot::Plain(Some(value)), false);
                true
            }
            _ => false,
        }
    }

    fn set_vmcoreinfo_row(
        &mut self,
        os: Os,
        lines: u32,
        key: &str,
        value: &str,
        effects: &mut Effects,
    ) -> Result<()> {
        if !self.has_room(key, MAX_NODES) {
            return Ok(());
        }
        // A key that is a directory already, or lies below a leaf, is dropped:
        // rows must not destroy each other.
        match self.create_path(lines, key, AttrType::String, Hook::VmcoreinfoLine(os)) {
            Some(id) if self.node(id).kind != AttrType::String => Ok(()),
            Some(id) if self.filling && self.node(id).set => self.apply_vmcoreinfo_line(os, id, effects),
            Some(id) if self.node(id).set => self.set(id, Value::from(value), false, effects),
            Some(id) => {
                let value = Text::from(value);
                self.give(id, Slot::Plain(Some(Value::String(value.clone()))), false);
                self.follow_vmcoreinfo_row(os, key, value, effects)
            }
            None => Ok(()),
        }
    }

    /// What follows from a new value of `lines.KEY`.
    pub(super) fn apply_vmcoreinfo_line(&mut self, os: Os, id: u32, effects: &mut Effects) -> Result<()> {
        self.all_translations_changed();
        let Some(lines) = self.vmcoreinfo_directory(os, "lines") else { return Ok(()) };
        let Some(Value::String(value)) = self.plain_value(id) else { return Ok(()) };
        self.follow_vmcoreinfo_row(os, &self.path(id, lines), value, effects)
    }

    /// The same; that translations changed is noted already.
    fn follow_vmcoreinfo_row(&mut self, os: Os, key: &str, value: Text, effects: &mut Effects) -> Result<()> {
        if self.follow_fact(os, key, &value, effects)? {
            return Ok(());
        }
        let Some((kind, symbol, value)) = typed_value(key, &value) else { return Ok(()) };
        let Some(directory) = self.vmcoreinfo_directory(os, kind) else { return Ok(()) };
        if !self.has_room(symbol, MAX_NODES) {
            return Ok(());
        }
        match self.create_path(directory, symbol, value.attr_type(), Hook::VmcoreinfoDerived(os)) {
            Some(id) if self.node(id).kind != value.attr_type() => Ok(()),
            Some(id) if self.filling && self.node(id).set => self.apply_vmcoreinfo_derived(os, id, effects),
            Some(id) if self.node(id).set => self.set(id, value, false, effects),
            Some(id) => {
                self.give(id, Slot::Plain(Some(value)), false);
                self.follow_vmcoreinfo_number(os, id, effects)
            }
            None => Ok(()),
        }
    }

    /// What follows from a row that names a fact of the dump, if it is one.
    fn follow_fact(&mut self, os: Os, key: &str, value: &str, effects: &mut Effects) -> Result<bool> {
        match (os, key) {
            (Os::Linux, PAGE_SIZE) => match parse_whole(value, 10) {
                Some(size) => {
                    let set = self.derive("arch.page_size", Value::Number(size), effects);
                    set.context(|| "Cannot set page size").map(|()| true)
                }
                None => Ok(false),
            },
            (Os::Linux, RELEASE) => {
                let set = self.derive("linux.uts.release", Value::from(value), effects);
                set.context(|| "Cannot set UTS release").map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// What follows from a new value of `SYMBOL.*`, `NUMBER.*` and the like.
    pub(super) fn apply_vmcoreinfo_derived(&mut self, os: Os, id: u32, effects: &mut Effects) -> Result<()> {
        self.all_translations_changed();
        self.follow_vmcoreinfo_number(os, id, effects)
    }

    /// The same; that translations changed is noted already.
    fn follow_vmcoreinfo_number(&mut self, os: Os, id: u32, effects: &mut Effects) -> Result<()> {
        let is_phys_base = &*self.node(id).key == "phys_base"
            && self.vmcoreinfo_directory(os, "NUMBER") == Some(self.node(id).parent);
        match self.plain_value(id) {
            Some(Value::Number(base)) if is_phys_base => {
                self.derive("linux.phys_base", Value::Address(base), effects)
            }
            _ => Ok(()),
        }
    }
}

/// The rows of a text: keys and values.
fn rows(text: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let row = |row| {
        let (key, value) = key_and_value(row);
        let key = until_nul(key);
        // A blank row (or padding) has no name that anybody could ask for.
        (!key.is_empty()).then(|| (key, until_nul(value)))
    };
    text.split(|byte| *byte == b'\n').filter_map(row)
}

fn key_and_value(row: &[u8]) -> (&[u8], &[u8]) {
    let equals = row.iter().position(|byte| *byte == b'=').unwrap_or(row.len());
    (&row[..equals], row.get(equals + 1..).unwrap_or_default())
}

/// The rows that others follow from. `None` if what follows cannot be told
/// from these rows alone: because of others with names like theirs, which may
/// be in their way, or because one of them is refused.
fn rows_to_follow(text: &[u8]) -> Option<Vec<(&str, &str)>> {
    const FOLLOWED: [&str; 3] = [PAGE_SIZE, RELEASE, PHYS_BASE];
    let mut found = Vec::new();
    for row in text.split(|byte| *byte == b'\n') {
        // A parenthesis that is missing is such a name, too.
        let alike = |key: &str| row.starts_with(key.trim_end_matches(')').as_bytes());
        if !FOLLOWED.into_iter().any(alike) {
            continue;
        }
        let (key, value) = key_and_value(row);
        let (Ok(key), Cow::Borrowed(value)) = (core::str::from_utf8(key), until_nul(value)) else {
            return None;
        };
        let refused =
            key == PAGE_SIZE && parse_whole(value, 10).is_some_and(|size: u64| !size.is_power_of_two());
        if !FOLLOWED.contains(&key) || refused {
            return None;
        }
        found.push((key, value));
    }
    Some(found)
}

/// Whether a path from the root leads to what rows become.
fn leads_to_rows(path: &[u8]) -> bool {
    let path = path.strip_prefix(b".").unwrap_or(path);
    let path = path.strip_prefix(b"linux.").or_else(|| path.strip_prefix(b"xen."));
    let path = path.and_then(|path| path.strip_prefix(b"vmcoreinfo."));
    path.is_some_and(|path| path != b"raw")
}

/// What a row of the form `TYPE(symbol)=value` stands for.
fn typed_value<'a>(key: &'a str, value: &str) -> Option<(&'a str, &'a str, Value)> {
    let (kind, symbol) = typed_key(key)?;
    let value = match kind {
        "SYMBOL" => parse_whole(value, 16).map(Value::Address),
        "LENGTH" | "NUMBER" | "OFFSET" | "SIZE" => parse_whole(value, 0).map(Value::Number),
        _ => None,
    };
    Some((kind, symbol, value?))
}

/// `TYPE(symbol)` with nothing behind the parenthesis.
fn typed_key(key: &str) -> Option<(&str, &str)> {
    let (kind, rest) = key.split_once('(')?;
    let (symbol, behind) = rest.split_once(')')?;
    behind.is_empty().then_some((kind, symbol))
}

/// Text up to the first NUL; what is not UTF-8 is replaced.
fn until_nul(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::super::{AttrRef, Attributes};
    use super::*;
    use crate::attr::Blob;
    use crate::error::Status;
    use alloc::vec;

    /// Every attribute that has a value, in the order of iteration.
    fn everything(attributes: &Attributes) -> Vec<String> {
        let mut found = Vec::new();
        let mut todo = vec![attributes.reference(None).unwrap()];
        while let Some(directory) = todo.pop() {
            let mut previous: Option<AttrRef> = None;
            while let Some(entry) = attributes.next(directory, previous).unwrap() {
                previous = Some(entry.attr);
                let path = attributes.path(entry.attr).unwrap();
                match attributes.get(entry.attr) {
                    Ok(Value::Directory) => {
                        found.push(path);
                        todo.push(entry.attr);
                    }
                    value if path.ends_with(".raw") => assert!(value.is_ok()),
                    value => found.push(format!("{path} = {value:?}")),
                }
            }
        }
        found
    }

    fn set_raw(attributes: &Attributes, os: &str, text: &str, persistent: bool) -> Result<()> {
        let raw = attributes.reference(Some(&format!("{os}.vmcoreinfo.raw"))).unwrap();
        let blob = Value::Blob(Blob::new(text.into()));
        attributes.set(raw, blob, persistent, &mut Effects::default())
    }

    fn put_off(attributes: &Attributes) -> bool {
        !attributes.tree.lock().unread.is_empty()
    }

    const KERNEL: &str = "OSRELEASE=6.1.0-42-amd64\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82a14600\n\
        OFFSET(page.flags)=0\nSIZE(page)=64\nNUMBER(phys_base)=0x1000\nLENGTH(free_area)=11\n\
        NUMBER(KERNEL_IMAGE_SIZE)=1073741824\nKERNELOFFSET=0\nCRASHTIME=1700000000\n\n";

    /// Texts, and whether they wait.
    const TEXTS: [(&str, bool); 14] = [
        (KERNEL, true),
        ("", true),
        ("\n\n=x\n", true),
        ("a.b.c=1\na.b=2\na=3\nOFFSET(a.b)=1\nOFFSET(a)=2\n", true),
        ("SIZE(x)=1\nSIZE(x)=2\nSIZE(x)=no number\nSIZE(x)y=3\n", true),
        ("PAGESIZE=4096\nPAGESIZE=65536\n", true),
        ("PAGESIZE=no number\nOSRELEASE\n", true),
        ("NUMBER(phys_base)=1\nNUMBER(phys_base)=x\nNUMBER(a.phys_base)=3", true),
        ("PAGESIZE=4095\nOSRELEASE=1\n", false),
        ("PAGESIZE.x=1\nPAGESIZE=4096\n", false),
        ("NUMBER(phys_base.x)=1\nNUMBER(phys_base)=2\n", false),
        ("NUMBER(phys_base\0)=1\nSIZE(a)=2\n", false),
        ("OSRELEASE\0x=5.4.3\n", false),
        ("OSRELEASE=\u{fffd}\nX=\u{e4}\n", true),
    ];

    #[test]
    fn rows_that_wait_become_what_they_would_have_been_at_once() {
        for (text, waits) in TEXTS {
            for os in ["linux", "xen"] {
                let [now, later] = [(); 2].map(|()| Attributes::new());
                let same = |result: Result<()>| result.map_err(|error| error.message());
                let expected = same(set_raw(&now, os, text, true));
                assert!(!put_off(&now));
                assert_eq!(same(set_raw(&later, os, text, false)), expected, "{text:?}");
                assert_eq!(put_off(&later), waits, "{text:?}");
                for path in ["arch.page_size", "linux.phys_base"] {
                    assert_eq!(later.number(path), now.number(path), "{text:?}");
                }
                assert_eq!(later.string("linux.uts.release"), now.string("linux.uts.release"));
                assert_eq!(put_off(&later), waits, "{text:?}: facts are no rows");
                assert_eq!(everything(&later), everything(&now), "{text:?}");
            }
        }
    }

    #[test]
    fn each_way_to_a_row_finds_it() {
        const SYMBOL: &str = "linux.vmcoreinfo.SYMBOL";
        type Way = dyn Fn(&Attributes, [AttrRef; 2]) -> bool;
        let ways: [&Way; 8] = [
            &|a, _| a.reference(Some(&format!("{SYMBOL}.init_uts_ns"))).is_ok(),
            &|a, _| a.number(".linux.vmcoreinfo.SIZE.page") == Some(64),
            &|a, _| a.string("linux.vmcoreinfo.lines.CRASHTIME").is_some(),
            &|a, [directory, _]| a.is_set(directory).unwrap(),
            &|a, [directory, _]| a.get(directory).is_ok(),
            &|a, [directory, _]| a.sub_reference(directory, "init_uts_ns").is_ok(),
            &|a, [_, top]| a.next(top, None).unwrap().is_some_and(|entry| entry.key == "SYMBOL"),
            &|a, [directory, _]| a.next(directory, None).unwrap().is_some(),
        ];
        for (number, way) in ways.iter().enumerate() {
            let attributes = Attributes::new();
            // Whoever has a handle already must see them, too.
            let handles = [SYMBOL, "linux.vmcoreinfo"].map(|path| attributes.reference(Some(path)).unwrap());
            set_raw(&attributes, "linux", KERNEL, false).unwrap();
            assert!(put_off(&attributes));
            assert!(way(&attributes, handles), "way {number}");
        }
    }

    #[test]
    fn rows_that_wait_go_with_their_text() {
        let attributes = Attributes::new();
        set_raw(&attributes, "linux", KERNEL, false).unwrap();
        set_raw(&attributes, "linux", "OTHER=1\n", false).unwrap();
        assert!(attributes.reference(Some("linux.vmcoreinfo.lines.PAGESIZE")).is_err());
        assert_eq!(attributes.string("linux.vmcoreinfo.lines.OTHER").as_deref(), Some("1"));
        set_raw(&attributes, "linux", KERNEL, false).unwrap();
        attributes.clear_volatile(&mut Effects::default());
        let missing = attributes.reference(Some("linux.vmcoreinfo.SIZE.page")).unwrap_err();
        assert_eq!(missing.status(), Status::NoKey);
        // The same text, but now the user's: it stays, and so do its rows.
        set_raw(&attributes, "linux", KERNEL, false).unwrap();
        let raw = attributes.reference(Some("linux.vmcoreinfo.raw")).unwrap();
        let same = attributes.get(raw).unwrap();
        attributes.set(raw, same, true, &mut Effects::default()).unwrap();
        attributes.clear_volatile(&mut Effects::default());
        assert_eq!(attributes.number("linux.vmcoreinfo.SIZE.page"), Some(64));
        assert_eq!(attributes.number("arch.page_size"), Some(4096));
    }

    #[test]
    fn making_rows_derives_nothing_again() {
        let attributes = Attributes::new();
        set_raw(&attributes, "linux", KERNEL, false).unwrap();
        let release = attributes.reference(Some("linux.uts.release")).unwrap();
        attributes.set(release, Value::from("mine"), true, &mut Effects::default()).unwrap();
        let changes = attributes.first_scope().changes();
        assert_eq!(attributes.number("linux.vmcoreinfo.SIZE.page"), Some(64));
        assert_eq!(attributes.string("linux.uts.release").as_deref(), Some("mine"));
        assert_eq!(attributes.first_scope().changes(), changes);
    }
}
