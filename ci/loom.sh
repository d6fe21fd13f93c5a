#!/usr/bin/env bash
# ci/loom.sh: explores the interleavings of the shared state with loom.
# A build of its own, as `--cfg loom` swaps the primitives of the whole library.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -d loom-tests ]; then
    echo "loom: there is no folder loom-tests"
    exit 0
fi
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
exec cargo test --release --manifest-path loom-tests/Cargo.toml --target-dir target/loom
