#!/usr/bin/env bash
# ci/capi-pykdumpfile.sh: pykdumpfile from PyPI, built against our headers, for both generations of the C ABI.
#
# Needs a Python 3, a C compiler and a network. Variables as for ci/capi.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/target/capi-pykdumpfile
dump=${KDUMPFILE_DUMPS:-../shared/dumps}/x86_64-6.1.kdump-zlib-d31
profile=${KDUMPFILE_CAPI_PROFILE:-capi}
[ -e "$dump" ] || { echo "$dump is not there"; exit 1; }

# GENERATION VERSION HEADERS
while read -r abi version headers; do
    prefix=$work/$abi
    cargo run -q -p xtask -- install-capi --prefix "$prefix" --abi "$abi" --profile "$profile"
    # The plain names of the development links belong to generation 10.
    mkdir -p "$prefix/link"
    ln -sf "../lib/libkdumpfile.so.$abi" "$prefix/link/libkdumpfile.so"
    ln -sf ../lib/libaddrxlat.so.3 "$prefix/link/libaddrxlat.so"
    [ -x "$prefix/venv/bin/python" ] || python3 -m venv "$prefix/venv"
    CFLAGS="-I$prefix/$headers" LDFLAGS="-L$prefix/link -Wl,-rpath,$prefix/lib" \
        "$prefix/venv/bin/pip" install -q --disable-pip-version-check --no-cache-dir --force-reinstall \
        --no-binary pykdumpfile "pykdumpfile==$version"
    echo "pykdumpfile $version on libkdumpfile.so.$abi"
    "$prefix/venv/bin/python" capi/tests/pykdumpfile_check.py "$dump"
done << 'END'
10 0.5.4 include
12 0.5.5.1 include/libkdumpfile12
END
