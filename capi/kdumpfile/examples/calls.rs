//! What `capi/tests/calls.c` does, through the Rust API: to see what the C ABI
//! costs beside it.
//!
//! Usage: calls DUMP WHAT COUNT

use std::hint::black_box;
use std::process::ExitCode;

use kdumpfile::{Context, Space, Value};

/// What is called.
#[derive(Clone, Copy)]
enum What {
    Nothing,
    Number,
    Text,
    Reference,
    Read(Space),
}

fn run(dump: &str, what: &str, count: u64) -> kdumpfile::Result<bool> {
    let ctx = Context::new();
    ctx.open_paths(&[dump])?;
    ctx.set("addrxlat.ostype", Value::from("linux"))?;
    let reference = ctx.attr(Some("max_pfn"))?;
    let addr = match what {
        "virtual" => ctx.vmcoreinfo_symbol("init_uts_ns")?,
        _ => ctx.bitmap("file.pagemap")?.find_set(0)? * 4096,
    };
    let what = match what {
        "nothing" => What::Nothing,
        "get-number" => What::Number,
        "get-string" => What::Text,
        "get-reference" => What::Reference,
        "physical" => What::Read(Space::MachinePhysical),
        "virtual" => What::Read(Space::KernelVirtual),
        _ => return Ok(false),
    };
    for _ in 0..count {
        match what {
            What::Nothing => ctx.clear_error(),
            What::Number => drop(black_box(ctx.get("arch.page_size")?)),
            What::Text => drop(black_box(ctx.get("linux.uts.release")?)),
            What::Reference => drop(black_box(ctx.get_attr(reference)?)),
            What::Read(space) => {
                let mut bytes = [0; 8];
                ctx.read(space, addr, &mut bytes)?;
                black_box(bytes);
            }
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
