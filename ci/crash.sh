#!/usr/bin/env bash
# ci/crash.sh [DUMP...]: what Debian's `crash` makes of dumps, beside what kdumpfile does.
#
# Dumps given, or the stored and fresh ones: where `crash --osrelease` knows the release, kdumpfile must
# tell the same. Samples of every format, as tests/every_format.rs makes them (and opens and reads all of
# them): whether crash takes them for a dump, as a table; it needs a kernel with debug information for more.
# Variables:
#   CI=true                without the program `crash` the check fails
#   KDUMPFILE_DUMPS, KDUMPFILE_FRESH_DUMPS   folders of dumps
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v crash > /dev/null; then
    echo "crash: there is no program crash (apt-get install crash); nothing is compared"
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
cargo build -q -p kdumpfile-cli
kdumpfile=${CARGO_TARGET_DIR:-target}/debug/kdumpfile

dumps=("$@")
if [ $# -eq 0 ]; then
    for folder in "${KDUMPFILE_DUMPS:-../shared/dumps}" "${KDUMPFILE_FRESH_DUMPS:-target/fresh-dumps}"; do
        for truth in "$folder"/*.json; do
            [ ! -f "${truth%.json}" ] || dumps+=("${truth%.json}")
        done
    done
fi
failed=0
for dump in "${dumps[@]}"; do
    theirs=$(timeout 60 crash --osrelease "$dump" 2> /dev/null | tail -n 1 || true)
    ours=$("$kdumpfile" attr "$dump" --key linux.uts.release 2> /dev/null | sed 's/.* = //' || true)
    verdict=same
    if [ "${theirs:-unknown}" = unknown ]; then
        verdict="not known to crash"
    elif [ "$theirs" != "$ours" ]; then
        verdict="DIFFERS: crash says $theirs"
        failed=1
    fi
    printf '%-36s %-24s %s\n' "$(basename "$dump")" "${ours:--}" "$verdict"
done

samples=$(mktemp -d)
trap 'rm -rf "$samples"' EXIT
KDUMPFILE_SAMPLES=$samples cargo test -q -p kdumpfile --test every_format every_format_opens_by_the_paths_of_its_files > /dev/null
for sample in "$samples"/*.0; do
    format=$(basename "$sample")
    # Any ELF file will do as the kernel: what matters is how far crash gets.
    said=$(timeout 60 crash -s "$sample" /bin/sh < /dev/null 2>&1 || true)
    verdict=recognised
    [[ $said != *"not a supported file format"* ]] || verdict="not recognised"
    echo "${format%-*} $verdict"
done | sort | uniq -c
exit $failed
