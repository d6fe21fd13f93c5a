//! What `capi/tests/calls.c` does, through the Rust API: to see what the C ABI
//! costs beside it.
//!
//! Usage: calls DUMP WHAT COUNT

use std::hint::black_box;
use std::process::ExitCode;

use kdumpfile::{Context, Space, Value};

fn run(dump: &str, what: &str, count: u64) -> kdumpfile::Result<bool> {
    let ctx = Context::new();
    ctx.open_paths(&[dump])?;
    ctx.set("addrxlat.ostype", Value::from("linux"))?;
    let reference = ctx.attr(Some("max_pfn"))?;
    let (space, addr) = if what == "virtual" {
        (Space::KernelVirtual, ctx.vmcoreinfo_symbol("init_uts_ns")?)
    } else {
        (Space::MachinePhysical, ctx.bitmap("file.pagemap")?.find_set(0)? * 4096)
    };
    for _ in 0..count {
        match what {
            "nothing" => ctx.clear_error(),
            "get-number" => drop(black_box(ctx.get("arch.page_size")?)),
            "get-string" => drop(black_box(ctx.get("linux.uts.release")?)),
            "get-reference" => drop(black_box(ctx.get_attr(reference)?)),
            "physical" | "virtual" => {
                let mut bytes = [0; 8];
                ctx.read(space, addr, &mut bytes)?;
                black_box(bytes);
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dump, what, count] = arguments.as_slice() else { return ExitCode::from(2) };
    match run(dump, what, count.parse().unwrap_or(0)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
