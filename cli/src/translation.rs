//! Prepares a dump for address translation: operating system, VMCOREINFO,
//! symbols, and what the user knows better.

use std::fs;
use std::path::Path;

use kdumpfile::xlat::{self, AddrSpace, FullAddr};
use kdumpfile::{Blob, CloneOptions, Context, Error, Space, Status, Value};

use crate::args::{AddressSpace, Os, Translation};
use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::symbols::{self, Kind};

/// No VMCOREINFO is larger: it is kept in one page.
const VMCOREINFO_MAX: u64 = 1 << 20;

/// Applies what the user said; what was not said is taken from the dump.
pub fn prepare(dump: &Dump, options: &Translation) -> Result<()> {
    let told = match dump.context.string("addrxlat.ostype").as_deref() {
        Ok("linux") => Some(Os::Linux),
        Ok("xen") => Some(Os::Xen),
        _ => None,
    };
    let text = options.vmcoreinfo.as_deref().map(read_vmcoreinfo).transpose()?;
    let written_by = text.as_deref().and_then(author);
    let os = options.os.or(told).or(written_by).unwrap_or_else(|| guess_os(&dump.context));
    if let (Some(path), Some(text)) = (&options.vmcoreinfo, text) {
        let key = format!("{}.vmcoreinfo.raw", os.name());
        let stored = dump.context.set(&key, Value::Blob(Blob::new(text)));
        stored.map_err(|error| Failure::dump(&path.display().to_string(), &error))?;
    }
    let kallsyms = options.kallsyms.iter().map(|path| (Kind::Kallsyms, &**path));
    let system_map = options.system_map.iter().map(|path| (Kind::SystemMap, &**path));
    symbols::load(&dump.context, &kallsyms.chain(system_map).collect::<Vec<_>>())?;
    set_os(&dump.context, os);
    Ok(())
}

/// Sets the operating system. What is read from the dump on that occasion may
/// be damaged; the type is set all the same, and translation says what it
/// cannot do without that.
pub fn set_os(context: &Context, os: Os) {
    let _ = context.set("addrxlat.ostype", Value::from(os.name()));
}

fn shows_linux(context: &Context) -> bool {
    context.get("linux.vmcoreinfo.raw").is_ok()
        || context.string("linux.uts.sysname").is_ok_and(|name| name == "Linux")
}

/// The system that the dump shows beyond doubt: by VMCOREINFO, by the names of
/// the system, by notes of the hypervisor. Linux goes first, as below.
pub fn evident_os(context: &Context) -> Option<Os> {
    let xen =
        context.get("xen.vmcoreinfo.raw").is_ok() || context.number("xen.type").is_ok_and(|kind| kind == 1);
    match shows_linux(context) {
        true => Some(Os::Linux),
        false => xen.then_some(Os::Xen),
    }
}

/// What the dump shows. A hypervisor has VMCOREINFO of its own; a dump of the
/// whole machine has that of the kernel of domain 0 as well, which is what most
/// people look for. Linux is also the best guess where nothing tells: without
/// any system nothing can be translated.
pub fn guess_os(context: &Context) -> Os {
    match !shows_linux(context) && context.get("xen.vmcoreinfo.raw").is_ok() {
        true => Os::Xen,
        false => Os::Linux,
    }
}

/// Whose VMCOREINFO it is, by a line that only that has.
fn author(text: &[u8]) -> Option<Os> {
    let has = |start: &[u8]| text.split(|byte| *byte == b'\n').any(|line| line.starts_with(start));
    match has(b"OSRELEASE=") {
        true => Some(Os::Linux),
        false => has(b"SYMBOL(domain_list)=").then_some(Os::Xen),
    }
}

fn read_vmcoreinfo(path: &Path) -> Result<Vec<u8>> {
    let failed = |text: String| Failure::Dump { text: format!("{}: {text}", path.display()), hint: None };
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > VMCOREINFO_MAX {
        return Err(failed(format!("{size} bytes: too large for VMCOREINFO")));
    }
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let genuine = text.split(|byte| *byte == b'\n').any(|line| line.contains(&b'='));
    if !genuine || text.starts_with(b"\x7fELF") {
        let hint = "it is text with lines KEY=VALUE, as 'kdumpfile vmcoreinfo' writes it".to_string();
        let text = format!("{}: this is not VMCOREINFO", path.display());
        return Err(Failure::Dump { text, hint: Some(hint) });
    }
    Ok(text)
}

impl AddressSpace {
    /// The space for reads and translations.
    pub fn space(self) -> Space {
        match self {
            AddressSpace::Kv => Space::KernelVirtual,
            AddressSpace::Kphys => Space::KernelPhysical,
            AddressSpace::Mach => Space::MachinePhysical,
        }
    }

    /// The same for steps.
    pub fn addr_space(self) -> AddrSpace {
        match self {
            AddressSpace::Kv => AddrSpace::KVIRT,
            AddressSpace::Kphys => AddrSpace::KPHYS,
            AddressSpace::Mach => AddrSpace::MACHPHYS,
        }
    }
}

/// A system of maps and methods with what it was set up for.
pub struct Tables {
    pub context: Context,
    pub system: kdumpfile::sync::Shared<xlat::System>,
}

impl Dump {
    /// Maps and methods as far as they could be set up, and why not further.
    pub fn tables(&self) -> (Tables, Option<Error>) {
        // The reason is told once only, and may have been told to a read that
        // took place meanwhile: a translation of its own starts anew.
        let context = self.context.clone_with(CloneOptions::new().own_translation(true));
        let error = context.translation_system().err();
        let system = context.translation_system().unwrap_or_default();
        (Tables { context, system }, error)
    }

    /// What to advise after a failed translation.
    pub fn translation_hint(&self, error: &Error) -> Option<String> {
        if !matches!(error.status(), Status::AddrXlat | Status::NoData) {
            return None;
        }
        if self.context.get("arch.name").is_err() {
            return Some(
                "the dump does not say its architecture; tell it, as in --set arch.name=x86_64".into(),
            );
        }
        let os = self.context.string("addrxlat.ostype").unwrap_or_default();
        let (_, why) = self.tables();
        if error.status() == Status::NoData && why.is_none() {
            // All is set up; it is the page that is not there.
            return None;
        }
        let why = why.map(|why| format!("translation is not set up completely: {why}"));
        if self.context.get(&format!("{os}.vmcoreinfo.raw")).is_err() {
            let search = format!(
                "there is no VMCOREINFO of {os}; 'kdumpfile vmcoreinfo FILE --scan' searches memory for it"
            );
            return Some(why.into_iter().chain([search]).collect::<Vec<_>>().join("; "));
        }
        why
    }
}

/// As messages of the library write an address of a space.
pub fn full(address: FullAddr) -> String {
    address.to_string()
}
