//! `kdumpfile regs`: the registers of the CPUs.

use std::io::Write;

use kdumpfile::{Context, Error};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output, printable};

/// Characters of a line.
const LINE: usize = 80;

/// One CPU.
struct Cpu {
    number: u64,
    pid: Option<u64>,
    /// In the order of the architecture.
    registers: Vec<(String, u64)>,
}

/// Lists the registers of all CPUs, or of one.
pub fn run(dump: &Dump, wanted: Option<u64>, json: bool, out: &mut Output) -> Result<()> {
    let mut cpus = gather(&dump.context).map_err(|error| dump.failure(&error))?;
    if cpus.is_empty() {
        return Err(Failure::Dump { text: format!("{}: no registers of any CPU", dump.name), hint: None });
    }
    if let Some(wanted) = wanted {
        let all = cpus.len() as u64;
        let last = cpus.last().map_or(0, |cpu| cpu.number);
        cpus.retain(|cpu| cpu.number == wanted);
        if cpus.is_empty() {
            let text = format!("{}: no registers of CPU {wanted}", dump.name);
            let hint = format!("there are those of {}, up to CPU {last}", output::count(all, "CPU"));
            return Err(Failure::Dump { text, hint: Some(hint) });
        }
    }
    if json {
        let object = |cpu: &Cpu| {
            let registers =
                cpu.registers.iter().map(|(name, value)| (name.clone(), format!("{value:x}").into()));
            let registers: serde_json::Map<_, _> = registers.collect();
            json!({"cpu": cpu.number, "pid": cpu.pid, "registers": registers})
        };
        let list = json!(cpus.iter().map(object).collect::<Vec<_>>());
        writeln!(out, "{list:#}")?;
        return Ok(());
    }
    let pointer = dump.context.number("arch.ptr_size").unwrap_or(8);
    for (place, cpu) in cpus.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        show(cpu, 2 * pointer.min(8) as usize, out)?;
    }
    Ok(())
}

/// The number of CPUs whose registers are known.
pub fn cpus(context: &Context) -> Result<usize, Error> {
    gather(context).map(|cpus| cpus.len())
}

/// The CPUs whose registers are known, by number.
fn gather(context: &Context) -> Result<Vec<Cpu>, Error> {
    let mut cpus = Vec::new();
    let directory = context.attr(Some("cpu"))?;
    let mut previous = None;
    // Without any CPU the directory has no value.
    while context.attr_is_set(directory) {
        let Some(child) = context.next_child(directory, previous)? else { break };
        previous = Some(child.attr);
        let Ok(number) = child.key.parse::<u64>() else { continue };
        let registers = registers(context, number)?;
        let pid = context.number(&format!("cpu.{number}.pid")).ok();
        if !registers.is_empty() {
            cpus.push(Cpu { number, pid, registers });
        }
    }
    cpus.sort_by_key(|cpu| cpu.number);
    Ok(cpus)
}

fn registers(context: &Context, cpu: u64) -> Result<Vec<(String, u64)>, Error> {
    let Ok(directory) = context.attr(Some(&format!("cpu.{cpu}.reg"))) else { return Ok(Vec::new()) };
    let mut registers = Vec::new();
    let mut previous = None;
    while context.attr_is_set(directory) {
        let Some(child) = context.next_child(directory, previous)? else { break };
        previous = Some(child.attr);
        let value = context.get_attr(child.attr)?;
        if let Some(value) = value.as_number().or(value.as_address()) {
            registers.push((child.key.to_string(), value));
        }
    }
    // Children come newest first.
    registers.reverse();
    Ok(registers)
}

fn show(cpu: &Cpu, digits: usize, out: &mut Output) -> std::io::Result<()> {
    let mut title = format!("CPU {}", cpu.number);
    if let Some(pid) = cpu.pid {
        title.push_str(&format!(", pid {pid}"));
    }
    writeln!(out, "{}", out.bold(&title))?;
    let width = cpu.registers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let columns = (LINE / (width + digits + 2)).max(1);
    for line in cpu.registers.chunks(columns) {
        let cells =
            line.iter().map(|(name, value)| format!(" {:>width$} {value:0digits$x}", printable(name)));
        writeln!(out, "{}", cells.collect::<String>())?;
    }
    Ok(())
}
