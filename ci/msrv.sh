#!/usr/bin/env bash
# ci/msrv.sh: `rust-version` in Cargo.toml is what the most demanding dependency asks for, no more and no
# less; and if rustup has that toolchain, everything builds with it.
set -euo pipefail
cd "$(dirname "$0")/.."
declared=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
read -r demanded by < <(cargo metadata --format-version 1 --all-features | python3 -c '
import json, sys
def number(version): return [*map(int, version.split("."))] + [0] * (2 - version.count("."))
asked = [(number(p["rust_version"]), p["rust_version"], p["name"])
         for p in json.load(sys.stdin)["packages"] if p["source"] and p["rust_version"]]
_, version, name = max(asked)
print(version, name)')
# 1.92 and 1.92.0 are one version.
if [ "${declared%.0}" != "${demanded%.0}" ]; then
    echo "msrv: Cargo.toml says rust-version = \"$declared\", the most demanding dependency ($by) asks for $demanded"
    exit 1
fi
echo "msrv: $declared, as $by asks for"
installed=$(rustup toolchain list 2> /dev/null | awk -v want="$declared" '
    { version = $1; sub(/-.*/, "", version) }
    version == want || version == want ".0" { print version; exit }') || true
if [ -z "$installed" ]; then
    echo "msrv: rustup has no toolchain $declared here, so nothing was built with it"
    exit 0
fi
cargo "+$installed" check --locked -q --workspace --all-features --target-dir target/msrv
echo "msrv: builds with $installed"
