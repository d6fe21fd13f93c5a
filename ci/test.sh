#!/usr/bin/env bash
# ci/test.sh: the whole check, from a bare Debian machine to the last test.
#
# Installs what is missing (as root, or by sudo without a password), checks style, documentation and house
# rules, makes fresh dumps, and runs all tests. The tests come last, so that the output ends with their
# summaries. Variables:
#   CI=true                whatever cannot be checked here is an error
#   KDUMPFILE_DUMPS        folder of the stored dumps; the tests have a default
#   KDUMPFILE_FRESH_DUMPS  where the fresh dumps are; set here
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== [%4d s] %s\n' "$SECONDS" "$*"; }
run() {
    printf '+ %s\n' "$*"
    "$@"
}

# --- set-up ------------------------------------------------------------------------------------------
packages=(makedumpfile libkdumpfile10 libkdumpfile-dev python3 python3-libkdumpfile qemu-system-x86
    busybox-static crash kexec-tools cpio xz-utils zstd lz4 gcc g++ binutils pkg-config valgrind)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
missing_of() { # missing_of PACKAGE...: those which are not installed
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || echo "$package"
    done
}
install() { # install PACKAGE...: what apt can install of them; the caller looks at the outcome
    command -v apt-get > /dev/null || return 0
    as_root apt-get -q update > /dev/null || return 0
    local package
    for package in "$@"; do
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -y install --no-install-recommends "$package" > /dev/null || true
    done
}

step "Debian packages"
if command -v dpkg-query > /dev/null; then
    mapfile -t missing < <(missing_of "${packages[@]}")
    if [ ${#missing[@]} -gt 0 ]; then
        echo "installing ${missing[*]}"
        install "${missing[@]}"
        mapfile -t missing < <(missing_of "${packages[@]}")
    fi
    if [ ${#missing[@]} -gt 0 ]; then echo "still missing: ${missing[*]}"; else echo "all there"; fi
else
    echo "not a Debian system; wanted are: ${packages[*]}"
fi

step "Rust"
[ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH
if ! command -v cargo > /dev/null; then
    # Debian's own compiler may be too old; its rustup, where there is one, fetches a current one.
    install rustup
    if command -v rustup > /dev/null; then rustup default stable; else install cargo rustfmt rust-clippy; fi
fi
command -v cargo > /dev/null || {
    echo "cargo is missing and could not be installed: see https://rustup.rs"
    exit 1
}
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
present=$(rustc --version | cut -d' ' -f2)
echo "rustc $present, $wanted or newer is wanted"
if [ "$(printf '%s\n' "$wanted" "$present" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "this compiler is too old: see https://rustup.rs"
    exit 1
fi

# Tests read whole dumps, so they are optimised, but every arithmetic overflow must still be seen.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only
# A change of Cargo.lock belongs into a commit.
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
locked=(--locked)

# --- what needs no build -----------------------------------------------------------------------------
step "formatting"
run cargo fmt --all --check
# A workspace of its own, with modules that only a macro names.
run rustfmt --edition 2024 --check fuzz/fuzz_targets/*.rs fuzz/src/bin/*.rs fuzz/tests/*.rs

step "house rules"
run bash ci/house-rules.sh

step "inventory of unsafe code"
run bash ci/unsafe-inventory.sh

step "oldest supported compiler"
run bash ci/msrv.sh

step "fresh dumps"
fresh=$PWD/target/fresh-dumps
run bash ci/fresh-dumps.sh "$fresh"
[ ! -e "$fresh/stamp" ] || export KDUMPFILE_FRESH_DUMPS=$fresh

# --- lints and documentation -------------------------------------------------------------------------
# The library alone for the small feature sets: the other packages of the workspace ask for its defaults.
feature_sets=("--no-default-features" "--no-default-features --features spin-threads")
for features in "${feature_sets[@]}" "--all-features"; do
    step "clippy $features"
    # shellcheck disable=SC2086 # several words
    run cargo clippy "${locked[@]}" -q -p kdumpfile --all-targets $features -- -D warnings
done
step "clippy of the workspace"
run cargo clippy "${locked[@]}" -q --workspace --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" run cargo doc "${locked[@]}" -q --no-deps --workspace

# --- tests -------------------------------------------------------------------------------------------
step "loom"
run bash ci/loom.sh

step "without an operating system"
run bash ci/bare.sh

step "C ABI"
KDUMPFILE_CAPI_PROFILE=dev run bash ci/capi.sh

step "fuzz corpus"
KDUMPFILE_MUTATIONS=${KDUMPFILE_MUTATIONS:-300} run bash ci/fuzz.sh

for features in "${feature_sets[@]}" "--all-features"; do
    step "tests $features"
    # shellcheck disable=SC2086 # several words
    run cargo test "${locked[@]}" -q -p kdumpfile $features
done
step "dumps that crash opens"
run bash ci/crash.sh
step "tests of the workspace"
run cargo test "${locked[@]}" --workspace
