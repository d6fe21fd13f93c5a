#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kdumpfile_fuzz::run_open_xc_save(data));
