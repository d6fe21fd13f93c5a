#!/usr/bin/env bash
# ci/loom.sh: explores the interleavings of the shared state with loom, and how
# many there are; then puts one fault in per model, which the model must notice.
# Builds of their own, as `--cfg loom` swaps the primitives of the whole library.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -d loom-tests ]; then
    echo "loom: there is no folder loom-tests"
    exit 0
fi
flags=${RUSTFLAGS:-}
models() { # models CFG...: tests the models under these settings
    RUSTFLAGS="$flags $*" cargo test --release --manifest-path loom-tests/Cargo.toml \
        --target-dir target/loom -- --nocapture
}
echo "loom: every model must hold"
models --cfg loom
echo "loom: every model must notice its fault"
models --cfg loom --cfg broken
