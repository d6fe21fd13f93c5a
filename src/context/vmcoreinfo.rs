//! VMCOREINFO of the operating system that the dump is looked at as.

use alloc::string::String;
use alloc::vec::Vec;

use super::Context;
use crate::attr::Value;
use crate::dump::{Vmcoreinfo, Wording};
use crate::error::{Error, Result, Status};

impl Context {
    /// VMCOREINFO as it is in the dump: lines `KEY=VALUE`, each with a newline.
    /// Which system's it is says attribute `addrxlat.ostype`; likewise below.
    ///
    /// # Errors
    /// `NoData`: `OS type is not set`, `<os>.vmcoreinfo.raw is not set`.
    pub fn vmcoreinfo_raw(&self) -> Result<Vec<u8>> {
        self.call(|| {
            let raw = self.vmcoreinfo().part("raw")?;
            match self.attributes().get(raw)? {
                Value::Blob(blob) => Ok(blob.to_vec()),
                _ => Err(Error::invalid("Attribute type mismatch")),
            }
        })
    }

    /// The value of the line of VMCOREINFO with this key.
    ///
    /// # Errors
    /// `NoData`: `OS type is not set`, `<os>.vmcoreinfo.lines is not set`,
    /// `No such VMCOREINFO line`, `Data has been cleared`.
    pub fn vmcoreinfo_line(&self, key: &str) -> Result<String> {
        self.call(|| {
            const WORDING: Wording = Wording {
                missing: "No such VMCOREINFO line",
                unset: "Data has been cleared",
                broken: "Value cannot be revalidated",
            };
            match self.vmcoreinfo().value("lines", key, WORDING)? {
                Value::String(text) => Ok((&*text).into()),
                // A directory of keys with a common beginning.
                _ => Err(Error::no_data(WORDING.missing)),
            }
        })
    }

    /// The address that VMCOREINFO gives for a symbol of the kernel.
    ///
    /// # Errors
    /// `NoData`: `OS type is not set`, `<os>.vmcoreinfo.SYMBOL is not set`,
    /// `Symbol not found`, `Symbol has no value`.
    pub fn vmcoreinfo_symbol(&self, name: &str) -> Result<u64> {
        self.call(|| self.symbol_of_vmcoreinfo(name))
    }

    /// The address of a symbol of the kernel: from VMCOREINFO, or else from
    /// the symbol callback of this context.
    ///
    /// # Errors
    /// Those of [`Context::vmcoreinfo_symbol`] if there is no callback, and
    /// those of the callback.
    pub fn symbol_value(&self, name: &str) -> Result<u64> {
        self.call(|| match self.symbol_of_vmcoreinfo(name) {
            Err(error) if error.status() == Status::NoData => match &self.own.callbacks().symbol_value {
                Some(callback) => callback.symbol_value(self, name),
                None => Err(error),
            },
            known => known,
        })
    }

    fn symbol_of_vmcoreinfo(&self, name: &str) -> Result<u64> {
        const WORDING: Wording = Wording {
            missing: "Symbol not found",
            unset: "Symbol has no value",
            broken: "Value cannot be revalidated",
        };
        let value = self.vmcoreinfo().value("SYMBOL", name, WORDING)?;
        value.as_address().ok_or_else(|| Error::no_data(WORDING.missing))
    }

    fn vmcoreinfo(&self) -> Vmcoreinfo<'_> {
        Vmcoreinfo { attributes: self.attributes(), scope: self.translation.scope() }
    }
}
