//! What VMCOREINFO says, for the operating system that `addrxlat.ostype` names.

use alloc::format;

use crate::attr::{AttrRef, Attributes, Scope, Value};
use crate::error::{Error, Result, Status};

/// VMCOREINFO of the operating system of a scope.
#[derive(Clone, Copy)]
pub(crate) struct Vmcoreinfo<'a> {
    pub attributes: &'a Attributes,
    pub scope: &'a Scope,
}

/// How the absence of a value is worded.
#[derive(Clone, Copy)]
pub(crate) struct Wording {
    /// There is no such key.
    pub missing: &'static str,
    /// The key has no value.
    pub unset: &'static str,
    /// Its value cannot be computed.
    pub broken: &'static str,
}

impl Vmcoreinfo<'_> {
    /// A part that has a value: `raw`, `lines`, `SYMBOL`, `NUMBER`, ...
    ///
    /// # Errors
    /// `NoData`: `OS type is not set`, `<os>.vmcoreinfo.<part> is not set`.
    pub fn part(&self, part: &str) -> Result<AttrRef> {
        let os = self.attributes.ostype_in(self.scope);
        let os = os.ok_or_else(|| Error::no_data("OS type is not set"))?;
        let path = format!("{}.vmcoreinfo.{part}", os.name());
        let attr = self.attributes.reference(Some(&path))?;
        match self.attributes.is_set(attr)? {
            true => Ok(attr),
            false => Err(Error::no_data(format!("{path} is not set"))),
        }
    }

    /// A value below a part.
    ///
    /// # Errors
    /// Those of [`Vmcoreinfo::part`]; `NoData` in the words of `wording`.
    pub fn value(&self, part: &str, key: &str, wording: Wording) -> Result<Value> {
        value_below(self.attributes, self.part(part)?, key, wording)
    }
}

/// A value below a directory.
///
/// # Errors
/// `NoData` in the words of `wording`.
pub(crate) fn value_below(
    attributes: &Attributes,
    directory: AttrRef,
    key: &str,
    wording: Wording,
) -> Result<Value> {
    let entry = attributes.sub_reference(directory, key).map_err(|_| Error::no_data(wording.missing))?;
    // Cleared, or deleted since, by another thread.
    if !attributes.is_set(entry).unwrap_or(false) {
        return Err(Error::no_data(wording.unset));
    }
    attributes.get(entry).map_err(|error| error.context(wording.broken).with_status(Status::NoData))
}
