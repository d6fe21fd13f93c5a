//! `kdumpfile info`: what the dump is, for the person who has to find out now.
//!
//! First everything is gathered, then it is shown as text or JSON; the JSON
//! is documented in the help of the command and stays as it is.

use std::io::Write;
use std::path::PathBuf;

use kdumpfile::xlat::{Kind, MapIndex, MethodIndex};
use kdumpfile::{Context, Error, Value};
use serde_json::json;

use crate::codecs::CodecMix;
use crate::failure::Result;
use crate::open::{Dump, SAMPLE};
use crate::output::{self, Output, printable};
use crate::{attr, pages, translation};

/// CPUs that the text shows.
const CPUS_SHOWN: usize = 16;

/// Names of the instruction pointer in `cpu.N.reg`; no architecture has two.
const INSTRUCTION_POINTERS: [&str; 4] = ["rip", "eip", "pc", "pswa"];

/// What is known about the dump.
struct Info {
    files: Vec<String>,
    /// What each file was packed with.
    archives: Vec<Option<String>>,
    sample: bool,
    file_bytes: u64,
    format: Option<String>,
    description: Option<String>,
    arch: Arch,
    kernel: Kernel,
    layout: Layout,
    crash_time: Option<i64>,
    memory: Memory,
    codecs: Option<CodecMix>,
    cpu_number: Option<u64>,
    cpus: Vec<Cpu>,
    missing: Vec<Missing>,
}

struct Arch {
    name: Option<String>,
    inferred: Option<String>,
    byte_order: Option<&'static str>,
    pointer_bytes: Option<u64>,
    page_bytes: Option<u64>,
}

struct Kernel {
    sysname: Option<String>,
    release: Option<String>,
    version: Option<String>,
    machine: Option<String>,
    nodename: Option<String>,
    build_id: Option<String>,
}

/// How virtual addresses of the kernel are translated.
#[derive(Default)]
struct Layout {
    os: Option<String>,
    /// Format of the page tables, and the bits of an address that they take.
    page_tables: Option<String>,
    /// First and last address.
    direct_map: Option<(u64, u64)>,
    kernel_text: Option<(u64, u64)>,
}

/// Numbers of pages.
struct Memory {
    ram: Option<u64>,
    present: Option<u64>,
    excluded: Option<u64>,
    max_pfn: Option<u64>,
}

struct Cpu {
    number: u64,
    pid: Option<u64>,
    /// Name and value of the instruction pointer.
    pointer: Option<(&'static str, u64)>,
}

/// Something that a complete dump has and this one lacks.
struct Missing {
    /// A word for programs.
    what: &'static str,
    /// A sentence for people.
    text: String,
}

/// Shows what is known about the dump that `files` make up.
pub fn run(dump: &Dump, files: &[PathBuf], json: bool, out: &mut Output) -> Result<()> {
    let info = gather(dump, files);
    if json {
        let object = to_json(&info);
        writeln!(out, "{object:#}")?;
    } else {
        show(&info, out)?;
    }
    Ok(())
}

fn string(context: &Context, path: &str) -> Option<String> {
    context.string(path).ok().filter(|text| !text.is_empty())
}

fn number(context: &Context, path: &str) -> Option<u64> {
    context.number(path).ok()
}

fn gather(dump: &Dump, files: &[PathBuf]) -> Info {
    let context = &dump.context;
    let layout = layout(dump);
    let files = match files {
        [] => vec![SAMPLE.to_string()],
        files => files.iter().map(|file| file.display().to_string()).collect(),
    };
    let archive = |number| string(context, &format!("file.set.{number}.archive"));
    let archives = (0..files.len()).map(archive).collect();
    let line = |key: &str| string(context, &format!("linux.vmcoreinfo.lines.{key}"));
    let uts = |key: &str| string(context, &format!("linux.uts.{key}"));
    let mut missing = Vec::new();
    let memory = memory(context, &mut missing);
    let info = Info {
        files,
        archives,
        sample: dump.sample,
        file_bytes: dump.file_bytes,
        format: string(context, "file.format"),
        description: string(context, "file.description"),
        arch: Arch {
            name: string(context, "arch.name"),
            inferred: said(context, "arch.inferred"),
            byte_order: number(context, "arch.byte_order").map(|n| if n == 0 { "big" } else { "little" }),
            pointer_bytes: number(context, "arch.ptr_size"),
            page_bytes: number(context, "arch.page_size"),
        },
        kernel: Kernel {
            sysname: uts("sysname"),
            // The crashed kernel knows its release best.
            release: line("OSRELEASE").or_else(|| uts("release")),
            version: uts("version"),
            machine: uts("machine"),
            nodename: uts("nodename").filter(|name| name != "(none)"),
            build_id: line("BUILD-ID"),
        },
        layout,
        crash_time: line("CRASHTIME").and_then(|text| text.parse().ok()),
        codecs: codecs(context, &memory),
        memory,
        cpu_number: number(context, "cpu.number"),
        cpus: cpus(context),
        missing,
    };
    with_missing(context, info)
}

/// The layout, if it is evident whose it is. Knowing that lets the library read
/// more from memory, such as the names of a Linux system.
fn layout(dump: &Dump) -> Layout {
    let context = &dump.context;
    if string(context, "addrxlat.ostype").is_none() {
        match translation::evident_os(context) {
            Some(os) => translation::set_os(context, os),
            None => return Layout::default(),
        }
    }
    // What is missing is not shown; 'maps' says why.
    let _ = context.translation_system();
    let system = context.translation_system().unwrap_or_default();
    let page_tables = system.method(MethodIndex::PGT).and_then(|method| match &method.kind {
        Kind::Pgt(table) => Some(format!("{:?}", table.form)),
        _ => None,
    });
    let region = |wanted: MethodIndex| {
        let map = system.map(MapIndex::KvPhys)?;
        let range = map.ranges().find(|range| range.method == wanted)?;
        Some((range.first, range.last))
    };
    Layout {
        os: string(context, "addrxlat.ostype"),
        page_tables,
        direct_map: region(MethodIndex::DIRECT),
        kernel_text: region(MethodIndex::KTEXT),
    }
}

fn memory(context: &Context, missing: &mut Vec<Missing>) -> Memory {
    let ram = context.bitmap("memory.pagemap").ok();
    let present = context.bitmap("file.pagemap").ok();
    let mut readable = |counted: Result<u64, Error>, path: &str| match counted {
        Ok(number) => Some(number),
        Err(error) => {
            missing.push(Missing { what: "pagemap", text: format!("{path} cannot be read: {error}") });
            None
        }
    };
    let ram_pages = ram.as_ref().and_then(|ram| readable(pages::count(ram), "memory.pagemap"));
    let present_pages = present.as_ref().and_then(|present| readable(pages::count(present), "file.pagemap"));
    let excluded = match (&ram, &present) {
        (Some(ram), Some(present)) if ram_pages.is_some() && present_pages.is_some() => {
            pages::count_without(ram, present).ok()
        }
        _ => None,
    };
    Memory { ram: ram_pages, present: present_pages, excluded, max_pfn: number(context, "max_pfn") }
}

fn codecs(context: &Context, memory: &Memory) -> Option<CodecMix> {
    let present = context.bitmap("file.pagemap").ok()?;
    CodecMix::gather(context, &present, memory.present?, number(context, "arch.page_size")?)
}

fn cpus(context: &Context) -> Vec<Cpu> {
    let mut cpus = Vec::new();
    let Ok(directory) = context.attr(Some("cpu")) else {
        return cpus;
    };
    let mut previous = None;
    while let Ok(Some(child)) = context.next_child(directory, previous) {
        previous = Some(child.attr);
        let Ok(cpu) = child.key.parse::<u64>() else {
            continue;
        };
        let pointer = INSTRUCTION_POINTERS
            .iter()
            .find_map(|name| Some((*name, number(context, &format!("cpu.{cpu}.reg.{name}"))?)));
        cpus.push(Cpu { number: cpu, pid: number(context, &format!("cpu.{cpu}.pid")), pointer });
    }
    cpus.sort_by_key(|cpu| cpu.number);
    cpus
}

/// An attribute that says something about the dump, whatever its type; `None`
/// if it says that there is nothing to say.
fn said(context: &Context, path: &str) -> Option<String> {
    match context.get(path).ok()? {
        Value::Directory | Value::Number(0) => None,
        Value::Number(number) => Some(number.to_string()),
        value => Some(attr::text(&value)).filter(|text| !text.is_empty()),
    }
}

/// Adds what is missing, the worst first.
fn with_missing(context: &Context, mut info: Info) -> Info {
    let mut add = |what, text| info.missing.push(Missing { what, text });
    if let Some(parts) = said(context, "file.set.missing") {
        add("parts", format!("a part of the split dump: PFNs {parts} are in none of these files"));
    }
    if info.arch.name.is_none() {
        let text = "the dump does not say its architecture, and nothing in it tells \
                    (if you know it: --set arch.name=x86_64)";
        add("arch", text.into());
    }
    if let Some(from) = &info.arch.inferred {
        add("arch", format!("the dump does not say its architecture; inferred from {from}"));
    }
    // Windows has nothing of the kind.
    let windows = info.format.as_deref() == Some("windows");
    let vmcoreinfo = ["linux.vmcoreinfo.raw", "xen.vmcoreinfo.raw"];
    if !windows && vmcoreinfo.iter().all(|path| context.get(path).is_err()) {
        let text = "VMCOREINFO: no symbols, no offsets, no kernel release \
                    ('kdumpfile vmcoreinfo FILE --scan' searches memory for it)";
        add("vmcoreinfo", text.into());
    }
    if info.crash_time.is_none() {
        add("crash_time", "the time of the crash was not recorded".into());
    }
    if info.memory.ram.is_none() {
        add("memory_map", "the dump does not say which pages were RAM".into());
    }
    if let Some(excluded) = info.memory.excluded.filter(|pages| *pages > 0) {
        add("pages", format!("{} of RAM were excluded", output::count(excluded, "page")));
    }
    if info.cpus.is_empty() {
        add("cpus", "registers of the CPUs".into());
    }
    info
}

fn to_json(info: &Info) -> serde_json::Value {
    let Info { arch, kernel, layout, memory, .. } = info;
    let crash_time = info.crash_time.map(|unix| json!({"unix": unix, "utc": output::utc(unix)}));
    let cpu = |cpu: &Cpu| {
        let (register, value) = cpu.pointer.map(|(name, value)| (name, format!("{value:x}"))).unzip();
        json!({"cpu": cpu.number, "pid": cpu.pid, "register": register, "value": value})
    };
    let range = |range: Option<(u64, u64)>| {
        range.map(|(first, last)| json!({"first": format!("{first:x}"), "last": format!("{last:x}")}))
    };
    let missing = |missing: &Missing| json!({"what": missing.what, "text": missing.text});
    json!({
        "files": info.files,
        "archives": info.archives,
        "sample": info.sample,
        "file_bytes": info.file_bytes,
        "format": {"name": info.format, "description": info.description},
        "arch": {
            "name": arch.name,
            "inferred": arch.inferred,
            "byte_order": arch.byte_order,
            "pointer_bytes": arch.pointer_bytes,
            "page_bytes": arch.page_bytes,
        },
        "kernel": {
            "sysname": kernel.sysname,
            "release": kernel.release,
            "version": kernel.version,
            "machine": kernel.machine,
            "nodename": kernel.nodename,
            "build_id": kernel.build_id,
        },
        "layout": {
            "os": layout.os,
            "page_tables": layout.page_tables,
            "direct_map": range(layout.direct_map),
            "kernel_text": range(layout.kernel_text),
        },
        "crash_time": crash_time,
        "memory": {
            "ram_pages": memory.ram,
            "present_pages": memory.present,
            "excluded_pages": memory.excluded,
            "max_pfn": memory.max_pfn,
        },
        "codecs": info.codecs.as_ref().map(CodecMix::json),
        "cpus": {"number": info.cpu_number, "list": info.cpus.iter().map(cpu).collect::<Vec<_>>()},
        "missing": info.missing.iter().map(missing).collect::<Vec<_>>(),
    })
}

const UNKNOWN: &str = "not known";

fn show(info: &Info, out: &mut Output) -> std::io::Result<()> {
    if info.sample {
        writeln!(out, "This is the sample dump inside this program, not your machine.")?;
        writeln!(out, "For your own dump: kdumpfile info FILE...\n")?;
    }
    let size = output::size(info.file_bytes.into());
    match &info.files[..] {
        [file] => row(out, "Dump", &format!("{file} ({size})"))?,
        [first, more @ ..] => {
            row(out, "Dump", &format!("{first} (first of {} files, {size})", more.len() + 1))?;
            for file in more {
                row(out, "", file)?;
            }
        }
        [] => {}
    }
    let mut archives: Vec<&str> = info.archives.iter().flatten().map(String::as_str).collect();
    archives.dedup();
    if !archives.is_empty() {
        row(
            out,
            "Archive",
            &format!("{} (read in place, nothing is unpacked to disk)", archives.join(", ")),
        )?;
    }
    let format = info.format.as_deref().unwrap_or(UNKNOWN);
    match &info.description {
        Some(description) => row(out, "Format", &format!("{description} ({format})"))?,
        None => row(out, "Format", format)?,
    }
    row(out, "Arch", &arch_text(&info.arch))?;

    let kernel = &info.kernel;
    let names = [kernel.sysname.as_deref(), kernel.release.as_deref()];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    row(out, "Kernel", if name.is_empty() { UNKNOWN } else { &name })?;
    for (title, text) in
        [("Version", &kernel.version), ("Build ID", &kernel.build_id), ("Host", &kernel.nodename)]
    {
        if let Some(text) = text {
            row(out, title, text)?;
        }
    }
    show_layout(&info.layout, out)?;
    let crashed = match info.crash_time {
        Some(unix) => output::utc(unix).unwrap_or_else(|| format!("{unix} seconds after 1970")),
        None => "time not recorded".into(),
    };
    row(out, "Crashed", &crashed)?;

    let memory = &info.memory;
    let page = info.arch.page_bytes;
    row(out, "RAM", &pages_text(memory.ram, page, None))?;
    row(out, "Present", &pages_text(memory.present, page, memory.ram))?;
    row(out, "Excluded", &pages_text(memory.excluded, page, memory.ram))?;
    if let Some(codecs) = &info.codecs {
        row(out, "Packed", &codecs.text())?;
    }
    show_cpus(info, out)?;

    if info.missing.is_empty() {
        return row(out, "Missing", "nothing");
    }
    let mut title = "Missing";
    for missing in &info.missing {
        let text = printable(&missing.text).into_owned();
        let text = out.warning(&text).into_owned();
        row_raw(out, std::mem::take(&mut title), &text)?;
    }
    Ok(())
}

fn show_layout(layout: &Layout, out: &mut Output) -> std::io::Result<()> {
    let Some(os) = &layout.os else { return Ok(()) };
    let mut text = os.clone();
    if let Some(tables) = &layout.page_tables {
        text.push_str(&format!(", page tables {tables}"));
    }
    row(out, "Layout", &text)?;
    for (name, range) in [("direct map", layout.direct_map), ("kernel text", layout.kernel_text)] {
        if let Some((first, last)) = range {
            row(out, "", &format!("{name} {first:016x}-{last:016x}"))?;
        }
    }
    Ok(())
}

fn arch_text(arch: &Arch) -> String {
    let mut text = arch.name.as_deref().unwrap_or(UNKNOWN).to_string();
    if arch.inferred.is_some() {
        text.push_str(" (inferred)");
    }
    if let Some(bytes) = arch.pointer_bytes {
        text.push_str(&format!(", {} bits", bytes.saturating_mul(8)));
    }
    if let Some(order) = arch.byte_order {
        text.push_str(&format!(", {order} endian"));
    }
    if let Some(bytes) = arch.page_bytes {
        text.push_str(&format!(", pages of {}", output::size(bytes.into())));
    }
    text
}

/// So many pages; with `all`, also which share of them that is.
fn pages_text(pages: Option<u64>, page_bytes: Option<u64>, all: Option<u64>) -> String {
    let Some(pages) = pages else {
        return UNKNOWN.into();
    };
    if pages == 0 {
        return "nothing".into();
    }
    let mut text = output::count(pages, "page");
    if let Some(bytes) = page_bytes {
        text = format!("{} in {text}", output::size(u128::from(pages) * u128::from(bytes)));
    }
    if let Some(all) = all.filter(|all| *all > 0) {
        text.push_str(&format!(" ({:.1} % of RAM)", pages as f64 * 100.0 / all as f64));
    }
    text
}

fn show_cpus(info: &Info, out: &mut Output) -> std::io::Result<()> {
    let number = info.cpu_number.map_or_else(|| UNKNOWN.into(), |number| number.to_string());
    row(out, "CPUs", &number)?;
    let digits = 2 * info.arch.pointer_bytes.unwrap_or(8).min(8) as usize;
    for cpu in info.cpus.iter().take(CPUS_SHOWN) {
        let pid = cpu.pid.map_or_else(|| "pid not known".into(), |pid| format!("pid {pid}"));
        let pointer = cpu.pointer.map(|(name, value)| format!(", {name} {value:0digits$x}"));
        row(out, "", &format!("CPU {}: {pid}{}", cpu.number, pointer.unwrap_or_default()))?;
    }
    if info.cpus.len() > CPUS_SHOWN {
        row(out, "", &format!("and {} more: kdumpfile attr --key cpu", info.cpus.len() - CPUS_SHOWN))?;
    }
    Ok(())
}

/// One row; the text may come from the dump.
fn row(out: &mut Output, title: &str, text: &str) -> std::io::Result<()> {
    row_raw(out, title, &printable(text))
}

fn row_raw(out: &mut Output, title: &str, text: &str) -> std::io::Result<()> {
    let padded = format!("{title:<10}");
    writeln!(out, "{}{text}", out.bold(&padded))
}
