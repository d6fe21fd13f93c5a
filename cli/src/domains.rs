//! `kdumpfile domains`: what Xen ran.
//!
//! | dump | shows |
//! | --- | --- |
//! | of the machine, hypervisor included | the hypervisor, and its list of domains |
//! | of one domain (`xc_core`) | that domain |

use std::io::Write;

use kdumpfile::{Error, Status, XenDomain};
use serde_json::{Value, json};

use crate::args::{Domains, Os, Translation};
use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output, printable};
use crate::{pages, regs, translation};

/// Whose memory a dump has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    System,
    Domain,
}

/// The one domain of a dump.
struct Single {
    /// "PV" or "HVM".
    kind: Option<&'static str>,
    vcpus: Option<u64>,
    pages: Option<u64>,
}

/// What the dump says of Xen itself.
struct Xen {
    scope: Scope,
    version: Option<String>,
    /// Physical CPUs whose registers are in the dump.
    cpus: Option<usize>,
    p2m_mfn: Option<u64>,
}

/// Lists the domains that are in the dump.
pub fn run(dump: &Dump, args: &Domains, json: bool, out: &mut Output) -> Result<()> {
    let given = args.vmcoreinfo.is_some();
    let scope = scope(dump, given).ok_or_else(|| Failure::Dump {
        text: format!("{}: this is no dump of Xen or of a domain of it", dump.name),
        hint: Some("what Xen writes has notes of its own; 'kdumpfile attr FILE --key xen' lists them".into()),
    })?;
    if scope == Scope::Domain {
        let xen = xen(dump, scope);
        let single = single(dump);
        match json {
            true => write_json(&xen, vec![single_json(&single)], None, out)?,
            false => write_single(&xen, &single, out)?,
        }
        return Ok(());
    }
    let options = Translation {
        os: Some(Os::Xen),
        vmcoreinfo: args.vmcoreinfo.clone(),
        kallsyms: None,
        system_map: None,
    };
    translation::prepare(dump, &options)?;
    let (domains, error) = walk(dump);
    let xen = xen(dump, scope);
    match json {
        true => write_json(&xen, domains.iter().map(domain_json).collect(), error.as_ref(), out)?,
        false => write_list(&xen, &domains, out)?,
    }
    match error {
        None => Ok(()),
        Some(error) => {
            let hint = hint(dump, &error);
            Err(dump.failure(&error).with_hint(hint))
        }
    }
}

/// Whose memory it is; none if nothing speaks of Xen.
fn scope(dump: &Dump, vmcoreinfo: bool) -> Option<Scope> {
    let context = &dump.context;
    if context.string("file.format").is_ok_and(|format| format.starts_with("xc_core")) {
        return Some(Scope::Domain);
    }
    let known = vmcoreinfo || context.get("xen.vmcoreinfo.raw").is_ok();
    (known || context.number("xen.type").is_ok_and(|kind| kind == 1)).then_some(Scope::System)
}

fn xen(dump: &Dump, scope: Scope) -> Xen {
    let context = &dump.context;
    let number = |path: &str| context.number(path).ok();
    let version = number("xen.version.major").map(|major| {
        let minor = number("xen.version.minor").unwrap_or(0);
        let extra = context.string("xen.version.extra").unwrap_or_default();
        format!("{major}.{minor}{extra}")
    });
    let cpus = regs::cpus(context).ok().filter(|_| scope == Scope::System);
    Xen { scope, version, cpus, p2m_mfn: context.address("xen.p2m_mfn").ok() }
}

fn single(dump: &Dump) -> Single {
    let context = &dump.context;
    let kind = match context.number("xen.xlat") {
        Ok(0) => Some("HVM"),
        Ok(_) => Some("PV"),
        Err(_) => None,
    };
    let pages = context.bitmap("file.pagemap").ok().and_then(|pages| pages::count(&pages).ok());
    Single { kind, vcpus: context.number("cpu.number").ok(), pages }
}

/// The domains up to the first one that cannot be read, and why that is.
fn walk(dump: &Dump) -> (Vec<XenDomain>, Option<Error>) {
    let mut domains = Vec::new();
    let list = match dump.context.xen_domains() {
        Ok(list) => list,
        Err(error) => return (domains, Some(error)),
    };
    for domain in list {
        match domain {
            Ok(domain) => domains.push(domain),
            Err(error) => return (domains, Some(error)),
        }
    }
    (domains, None)
}

fn hint(dump: &Dump, error: &Error) -> Option<String> {
    if dump.context.get("xen.vmcoreinfo.raw").is_err() {
        let text = "there is no VMCOREINFO of the hypervisor, which says where its domains are; \
                    'kdumpfile vmcoreinfo FILE --scan' searches memory for it, --vmcoreinfo takes it";
        return Some(text.into());
    }
    match error.status() {
        Status::NoData | Status::AddrXlat => {
            Some("'kdumpfile maps FILE --os xen' shows how addresses of the hypervisor are translated".into())
        }
        _ => None,
    }
}

/// What is special about a domain.
fn name(domain: &XenDomain) -> Option<&'static str> {
    if domain.is_dom0() { Some("dom0") } else { domain.reserved_name() }
}

fn domain_json(domain: &XenDomain) -> Value {
    json!({
        "id": domain.id,
        "address": format!("{:x}", domain.address),
        "dom0": domain.is_dom0(),
        "name": name(domain),
    })
}

fn single_json(single: &Single) -> Value {
    json!({"type": single.kind, "vcpus": single.vcpus, "pages": single.pages})
}

fn write_json(xen: &Xen, domains: Vec<Value>, error: Option<&Error>, out: &mut Output) -> Result<()> {
    let scope = match xen.scope {
        Scope::System => "system",
        Scope::Domain => "domain",
    };
    let object = json!({
        "scope": scope,
        "version": xen.version,
        "cpus": xen.cpus,
        "p2m_mfn": xen.p2m_mfn.map(|mfn| format!("{mfn:x}")),
        "domains": domains,
        "error": error.map(Error::to_string),
    });
    writeln!(out, "{object:#}")?;
    Ok(())
}

fn row(out: &mut Output, title: &str, text: &str) -> std::io::Result<()> {
    let padded = format!("{title:<10}");
    writeln!(out, "{}{}", out.bold(&padded), printable(text))
}

fn write_head(xen: &Xen, out: &mut Output) -> std::io::Result<()> {
    let version = xen.version.as_deref().unwrap_or("version not known");
    let scope = match xen.scope {
        Scope::System => "dump of the machine",
        Scope::Domain => "dump of one domain",
    };
    row(out, "Xen", &format!("{version}, {scope}"))?;
    if let Some(cpus) = xen.cpus {
        row(out, "CPUs", &format!("{cpus} with registers"))?;
    }
    if let Some(mfn) = xen.p2m_mfn {
        row(out, "p2m", &format!("of dom0, from machine frame {mfn:#x} on"))?;
    }
    Ok(())
}

fn write_list(xen: &Xen, domains: &[XenDomain], out: &mut Output) -> std::io::Result<()> {
    write_head(xen, out)?;
    row(out, "Domains", &domains.len().to_string())?;
    if !domains.is_empty() {
        writeln!(out, "{}", out.bold("   id  struct domain"))?;
    }
    for domain in domains {
        let name = name(domain).unwrap_or("");
        let line = format!("{:>5}  {:016x}  {name}", domain.id, domain.address);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_single(xen: &Xen, single: &Single, out: &mut Output) -> std::io::Result<()> {
    write_head(xen, out)?;
    let unknown = || "not known".to_string();
    row(out, "Type", single.kind.unwrap_or("not known"))?;
    row(out, "VCPUs", &single.vcpus.map_or_else(unknown, |vcpus| vcpus.to_string()))?;
    row(out, "Pages", &single.pages.map_or_else(unknown, |pages| output::count(pages, "page")))
}
