//! Compiles the variadic function of the interface.

fn main() {
    println!("cargo:rerun-if-changed=shim/variadic.c");
    println!("cargo:rerun-if-changed=../shared/shim/message.h");
    cc::Build::new()
        .file("shim/variadic.c")
        .include("../shared/shim")
        .std("c99")
        .warnings_into_errors(true)
        .compile("addrxlat_variadic");
}
