#!/usr/bin/env bash
# ci/capi-calls.sh [COUNT]: how many instructions a call of the C ABI costs, by cachegrind: with our library, with
# Debian's, and through the Rust API. Each program runs twice, and what COUNT more calls cost is divided by COUNT.
# Instructions are counted and not timed, so that it does not matter what else the machine does.
#
# Variables as for ci/capi.sh, which installs what this needs.
set -euo pipefail
cd "$(dirname "$0")/.."

count=${1:-20000}
work=$PWD/target/capi-calls
dump=${KDUMPFILE_DUMPS:-../shared/dumps}/x86_64-6.1.kdump-zlib-d31
profile=${KDUMPFILE_CAPI_PROFILE:-capi}
[ -e "$dump" ] || { echo "$dump is not there"; exit 1; }
mkdir -p "$work"

cargo run -q -p xtask -- install-capi --prefix "$work/prefix" --abi 10 --profile "$profile" > /dev/null
cargo build -q --locked --profile "$profile" -p kdumpfile-capi-kdumpfile --example calls
folder=$profile
[ "$profile" != dev ] || folder=debug
lib=$work/prefix/lib
# shellcheck disable=SC2046 # several words
PKG_CONFIG_PATH=$lib/pkgconfig gcc -O2 -std=gnu11 -Wall -Wextra -o "$work/calls" capi/tests/calls.c \
    $(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs libkdumpfile libaddrxlat)

# instructions PROGRAM WHAT COUNT
instructions() {
    valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$1" "$dump" "$2" "$3" 2>&1 |
        sed -n 's/.*I *refs: *//p' | tr -d ,
}
per_call() { # per_call PROGRAM WHAT
    local few many
    few=$(instructions "$1" "$2" 1000)
    many=$(instructions "$1" "$2" $((1000 + count)))
    if [ -n "$few" ] && [ -n "$many" ]; then echo $(((many - few) / count)); else echo -; fi
}

printf '%-22s %8s %8s %8s\n' "instructions per call" ours rust peer
for what in nothing get-number get-string get-reference physical virtual virtual-handed virtual-callback; do
    ours=$(LD_LIBRARY_PATH=$lib per_call "$work/calls" $what)
    rust=$(per_call "target/$folder/examples/calls" $what)
    peer=$(per_call "$work/calls" $what)
    printf '%-22s %8s %8s %8s\n' "$what" "$ours" "$rust" "$peer"
done
