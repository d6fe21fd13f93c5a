//! What translation is set up from, as the attributes say it.
//!
//! Later sources go before earlier ones: `addrxlat.default`, what the dump
//! tells, `addrxlat.force`.

use alloc::format;
use alloc::string::String;

use crate::attr::{Attributes, Os, Scope, Value};
use crate::error::{Result, ResultExt};
use crate::xlat::os::{Options, OsType};
use crate::xlat::{AddrSpace, FullAddr};

/// `xen.xlat`: whether the dump's addresses need no translation by Xen.
const XEN_XLAT_AUTO: u64 = 0;
/// `xen.type`: the dump is one of the whole machine, hypervisor included.
const XEN_TYPE_SYSTEM: u64 = 1;

/// The options for a scope.
///
/// # Errors
/// What computing an attribute says, behind the option that it is for.
pub(crate) fn translation_options(attributes: &Attributes, scope: &Scope) -> Result<Options> {
    let known = Known { attributes, scope };
    let mut options = Options::default();
    known.stored("addrxlat.default", &mut options)?;
    known.detected(&mut options)?;
    known.stored("addrxlat.force", &mut options)?;
    Ok(options)
}

struct Known<'a> {
    attributes: &'a Attributes,
    scope: &'a Scope,
}

impl Known<'_> {
    /// The value of an attribute, if it has one.
    fn value(&self, path: &str) -> Result<Option<Value>> {
        let Ok(attr) = self.attributes.reference_in(self.scope, Some(path)) else { return Ok(None) };
        match self.attributes.is_set(attr)? {
            true => self.attributes.get(attr).map(Some),
            false => Ok(None),
        }
    }

    fn number(&self, path: &str) -> Result<Option<u64>> {
        Ok(self.value(path)?.and_then(|value| value.as_number().or(value.as_address())))
    }

    fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.value(path)?.and_then(|value| value.as_str().map(String::from)))
    }

    /// Options that the user stored in a directory.
    fn stored(&self, directory: &str, options: &mut Options) -> Result<()> {
        let number = |key: &str, option: &mut Option<u64>| -> Result<()> {
            let value = self.number(&format!("{directory}.{key}"));
            if let Some(value) = value.context(|| format!("Cannot get {key} addrxlat option"))? {
                *option = Some(value);
            }
            Ok(())
        };
        number("version_code", &mut options.version_code)?;
        number("phys_bits", &mut options.phys_bits)?;
        number("virt_bits", &mut options.virt_bits)?;
        number("page_shift", &mut options.page_shift)?;
        number("phys_base", &mut options.phys_base)?;
        number("xen_p2m_mfn", &mut options.xen_p2m_mfn)?;
        let mut xen_xlat = None;
        number("xen_xlat", &mut xen_xlat)?;
        if let Some(flag) = xen_xlat {
            options.xen_xlat = Some(flag != 0);
        }
        if let Some(arch) =
            self.text(&format!("{directory}.arch")).context(|| "Cannot get arch addrxlat option")?
        {
            options.arch = Some(arch);
        }
        if let Some(os) =
            self.text(&format!("{directory}.os_type")).context(|| "Cannot get os_type addrxlat option")?
        {
            options.os = Some(OsType::from_name(&os));
        }
        let (mut space, mut address) = (None, None);
        number("rootpgt.as", &mut space)?;
        number("rootpgt.addr", &mut address)?;
        if let (Some(space), Some(address)) = (space, address) {
            // A number that is no space is as good as none.
            let space = i32::try_from(space).map_or(AddrSpace::NOADDR, AddrSpace);
            options.root = Some(FullAddr::new(space, address));
        }
        Ok(())
    }

    /// Options that follow from what is known of the dump.
    fn detected(&self, options: &mut Options) -> Result<()> {
        if let Some(arch) = self.text("arch.name")? {
            options.arch = Some(arch);
        }
        let os = self.attributes.ostype_in(self.scope);
        if let Some(os) = os {
            options.os = Some(OsType::from_name(os.name()));
            let path = format!("{}.version_code", os.name());
            if let Some(code) = self.number(&path).context(|| format!("Cannot get {path}"))? {
                options.version_code = Some(code);
            }
        }
        if let Some(shift) = self.number("arch.page_shift")? {
            options.page_shift = Some(shift);
        }
        match os {
            Some(Os::Linux) => self.linux(options),
            Some(Os::Xen) => {
                if let Some(start) = self.number("xen.phys_start").context(|| "Cannot get xen.phys_start")? {
                    options.phys_base = Some(start);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn linux(&self, options: &mut Options) -> Result<()> {
        // Without VMCOREINFO the page tables themselves have to tell.
        if options.arch.as_deref() == Some("ia32") && self.value("linux.vmcoreinfo.lines")?.is_some() {
            let pae = self.text("linux.vmcoreinfo.lines.CONFIG_X86_PAE");
            let pae = pae.context(|| "Cannot get CONFIG_X86_PAE from vmcoreinfo")?;
            options.phys_bits = Some(if pae.as_deref() == Some("y") { 52 } else { 32 });
        }
        if options.arch.as_deref() == Some("arm")
            && self.text("linux.vmcoreinfo.lines.CONFIG_ARM_LPAE")?.as_deref() == Some("y")
        {
            // Long descriptors have physical addresses of 40 bits.
            options.phys_bits = Some(40);
        }
        if let Some(base) = self.number("linux.phys_base")? {
            options.phys_base = Some(base);
        }
        let differs = |value: Option<u64>, from: u64| value.is_some_and(|value| value != from);
        if differs(self.number("xen.xlat")?, XEN_XLAT_AUTO)
            || self.number("xen.type")? == Some(XEN_TYPE_SYSTEM)
        {
            options.xen_xlat = Some(true);
        }
        let root = self.number("xen.p2m_mfn").context(|| "Cannot get p2m_mfn from vmcoreinfo")?;
        if let Some(root) = root {
            options.xen_p2m_mfn = Some(root);
        }
        Ok(())
    }
}
