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

use super::hooks::{Effects, Hook, Os};
use super::number::parse_whole;
use super::tree::{ROOT, Slot, Tree};
use super::value::{AttrType, Value};
use crate::error::{Result, ResultExt};
use crate::sync::Shared;

/// Directories whose children come from the text.
const PARSED: &[&str] = &["lines", "LENGTH", "NUMBER", "OFFSET", "SIZE", "SYMBOL"];

/// Rows that would make the tree larger than this many nodes are dropped: two
/// bytes of text can ask for a directory of a hundred. Kernels write a few
/// hundred rows.
const MAX_NODES: usize = 1 << 19;
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

    /// Deletes everything that was parsed from the text.
    pub(super) fn forget_vmcoreinfo(&mut self, os: Os) {
        for key in PARSED {
            if let Some(directory) = self.vmcoreinfo_directory(os, key) {
                self.delete_children(directory);
            }
        }
    }

    /// Parses the text anew; stops at the first row that cannot be set.
    pub(super) fn parse_vmcoreinfo(&mut self, os: Os, text: &[u8], effects: &mut Effects) -> Result<()> {
        if !self.filling {
            self.forget_vmcoreinfo(os);
        }
        let Some(lines) = self.vmcoreinfo_directory(os, "lines") else { return Ok(()) };
        let rows = text.iter().filter(|byte| **byte == b'\n').count();
        // Most rows are typed, and then two attributes.
        self.reserve((2 * rows).min(NODES_IN_ADVANCE));
        for row in text.split(|byte| *byte == b'\n') {
            let equals = row.iter().position(|byte| *byte == b'=').unwrap_or(row.len());
            let key = until_nul(&row[..equals]);
            let value = until_nul(row.get(equals + 1..).unwrap_or_default());
            // A blank row (or padding) has no name that anybody could ask for.
            if key.is_empty() {
                continue;
            }
            self.set_vmcoreinfo_row(os, lines, &key, &value, effects)
                .context(|| format!("Cannot set VMCOREINFO '{key}'"))?;
        }
        Ok(())
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
                let value: Shared<str> = value.into();
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
    fn follow_vmcoreinfo_row(
        &mut self,
        os: Os,
        key: &str,
        value: Shared<str>,
        effects: &mut Effects,
    ) -> Result<()> {
        if os == Os::Linux && key == "PAGESIZE" {
            if let Some(size) = parse_whole(&value, 10) {
                return self
                    .derive("arch.page_size", Value::Number(size), effects)
                    .context(|| "Cannot set page size");
            }
        } else if os == Os::Linux && key == "OSRELEASE" {
            return self
                .derive("linux.uts.release", Value::String(value), effects)
                .context(|| "Cannot set UTS release");
        }
        let Some((kind, symbol)) = typed_key(key) else { return Ok(()) };
        let value = match kind {
            "SYMBOL" => parse_whole(&value, 16).map(Value::Address),
            "LENGTH" | "NUMBER" | "OFFSET" | "SIZE" => parse_whole(&value, 0).map(Value::Number),
            _ => None,
        };
        let (Some(value), Some(directory)) = (value, self.vmcoreinfo_directory(os, kind)) else {
            return Ok(());
        };
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
