#!/usr/bin/env bash
# ci/capi-tsan.sh [SECONDS]: the thread sanitizer on the C ABI: capi/tests/soak.c with 8 threads, and threads.c.
# All of it is instrumented: our libraries, Rust's standard library and the C programs.
#
# Needs a nightly compiler with component rust-src, and gcc. Variables as for ci/capi.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
dump=${KDUMPFILE_DUMPS:-../shared/dumps}/x86_64-6.1.kdump-zlib-d31
[ -e "$dump" ] || { echo "$dump is not there"; exit 1; }
target=x86_64-unknown-linux-gnu
work=$PWD/target/tsan
runtime=$(rustc +nightly --print sysroot)/lib/rustlib/$target/lib/librustc-nightly_rt.tsan.a
[ -e "$runtime" ] || { echo "there is no nightly compiler"; exit 1; }
mkdir -p "$work/bin" "$work/include/libkdumpfile"

RUSTFLAGS=-Zsanitizer=thread cargo +nightly build -q --locked -Zbuild-std --target $target --target-dir "$work" \
    -p kdumpfile-capi-addrxlat -p kdumpfile-capi-kdumpfile
for header in kdumpfile addrxlat; do
    sed -e 's/@MAJOR@/0/; s/@MINOR@/5/; s/@MICRO@/4/' "capi/include/libkdumpfile/$header.h" \
        > "$work/include/libkdumpfile/$header.h"
done
for program in soak threads; do
    # The runtime is that of Rust, so gcc must not link its own.
    gcc -O1 -g -std=gnu11 -fsanitize=thread -I "$work/include" -c -o "$work/bin/$program.o" "capi/tests/$program.c"
    gcc -no-pie -o "$work/bin/$program" "$work/bin/$program.o" \
        -Wl,--start-group "$work/$target/debug/"lib{kdumpfile,addrxlat}_capi.a -Wl,--end-group \
        "$runtime" -lpthread -ldl -lm -lrt -lstdc++ -lgcc_s
done
export TSAN_OPTIONS="halt_on_error=0 exitcode=66"
"$work/bin/soak" "$dump" "$seconds"
"$work/bin/threads" "$dump" 2000
