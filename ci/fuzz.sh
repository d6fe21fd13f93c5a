#!/usr/bin/env bash
# ci/fuzz.sh [SECONDS]: the fuzz targets, as far as they can be run here.
#
# The corpus and mutations of it are replayed as a test, which any compiler can build. With a nightly compiler
# and cargo-fuzz, and if SECONDS is given, each target is then fuzzed that long (for one target: its name as
# the second argument). What is found stays in fuzz/artifacts; move it to fuzz/corpus/TARGET/found-NAME once
# it is understood. Variables:
#   CI=true               not to be able to fuzz although SECONDS is given is an error
#   KDUMPFILE_MUTATIONS   how many mutations of each file are replayed (default 2000)
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-0}
only=${2:-}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# The linked objects of the two builds differ; nothing here belongs to the workspace of the library.
replay_dir=$PWD/target/fuzz-stable
fuzz_dir=$PWD/target/fuzz
new_corpus=$PWD/target/fuzz-corpus

echo "fuzz: replaying the corpus"
# An input that makes the library ask for much memory must fail, not the machine.
(
    ulimit -v $((8 << 20))
    cargo test -q --locked --manifest-path fuzz/Cargo.toml --no-default-features --target-dir "$replay_dir"
)

[ "$seconds" -gt 0 ] || exit 0
if ! cargo +nightly --version > /dev/null 2>&1 || ! cargo fuzz --version > /dev/null 2>&1; then
    echo "fuzz: there is no nightly compiler, or no cargo-fuzz (cargo install cargo-fuzz); nothing is fuzzed"
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
failed=()
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    [ "$target" != mod ] || continue
    [ -z "$only" ] || [ "$only" = "$target" ] || continue
    echo "fuzz: $target for $seconds s"
    artifacts=fuzz/artifacts/$target
    mkdir -p "$new_corpus/$target" "$artifacts"
    # New inputs go to the first folder, so that the committed corpus stays as it is.
    KDUMPFILE_TARGET=$target cargo +nightly fuzz run --target-dir "$fuzz_dir" target \
        "$new_corpus/$target" "fuzz/corpus/$target" -- -artifact_prefix="$artifacts/" \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=512 -timeout=20 \
        -print_final_stats=1 || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz: failed: ${failed[*]}"
    exit 1
fi
