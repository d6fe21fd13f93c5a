#!/usr/bin/env bash
# ci/bare.sh: the library without an operating system's library.
#
# Builds the two programs of bare/ (no std, no C library, no loader), runs them on the dump that is built in,
# and compares their checksum with what the command line says about the same dump. Prints their size, heap and
# stack. Then builds the library for the targets of firmware that are installed. Variables:
#   BARE_DUMP   another dump to build in than cli/sample/vmcore.sample (up to some 20 MB)
set -euo pipefail
cd "$(dirname "$0")/.."

dump=$(realpath "${BARE_DUMP:-cli/sample/vmcore.sample}")
export BARE_DUMP=$dump
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# The flags that matter are those of bare/.cargo/config.toml, which a variable would hide.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
target_dir=$PWD/target/bare
built=$target_dir/x86_64-unknown-linux-gnu/release

fail() {
    echo "bare: $*"
    exit 1
}

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    sum=$(cargo run -q --locked -p kdumpfile-cli -- hash "$dump" | cut -d' ' -f1)
    [ ${#sum} = 64 ] || fail "the command line has no checksum for $dump"

    cd bare
    cargo fmt --check
    cargo clippy -q --locked --target-dir "$target_dir" --features threads -- -D warnings
    for program in alone:5: pair:3:--features=threads; do
        IFS=: read -r name readings features <<< "$program"
        cargo build -q --locked --release --target-dir "$target_dir" --bin "$name" ${features:+"$features"}

        # Nothing is left to a loader or to another library.
        ! readelf -dlW "$built/$name" | grep -E 'DYNAMIC|INTERP|NEEDED' || fail "$name is not static"
        [ -z "$(nm -u "$built/$name")" ] || fail "$name lacks symbols: $(nm -u "$built/$name")"

        output=$(timeout 300 "$built/$name") || fail "$name failed: $output"
        echo "== $name"
        printf '%s\n' "$output" | sed "s/^$sum //; s/^/    /"
        [ "$(grep -c "^$sum " <<< "$output")" = "$readings" ] ||
            fail "$name does not read what the command line reads ($sum)"
        grep -q '^heap left: 0 bytes' <<< "$output" || fail "$name leaves memory behind"
        if [ "$name" = alone ]; then
            [ "$(grep -c 'asked the heap 0 times$' <<< "$output")" = "$readings" ] ||
                fail "reading pages that were read before takes memory"
        else
            grep -q '^held up' <<< "$output" || fail "$name was never busy"
        fi

        strip -o "$built/$name.stripped" "$built/$name"
        # size(1) lists sections; the dump is part of .rodata.
        size -A "$built/$name.stripped" | awk -v file="$(stat -c %s "$built/$name.stripped")" \
            -v dump="$(stat -c %s "$dump")" '
            $1 == ".text" { code = $2 }
            $1 == ".rodata" { constants = $2 - dump }
            END { print "    size: " file " bytes stripped, of these " code " code, " \
                  constants " constants, " dump " the dump" }'
    done
    cd ..
    echo "bare: both read $sum, as the command line does"
else
    echo "bare: the programs are for Linux on x86-64, this is $(uname -sm): not built"
fi

# --- targets without an operating system -----------------------------------------------------------------
installed=$(rustup target list --installed 2> /dev/null || true)
for target in x86_64-unknown-none thumbv7em-none-eabihf; do
    if ! grep -qx "$target" <<< "$installed"; then
        echo "bare: target $target is not installed, so the library was not built for it"
        continue
    fi
    for features in "" archive-xz,embedded-io,embedded-storage spin-threads; do
        # The counters of that feature are atomics of 64 bits.
        [ "$features$target" != spin-threadsthumbv7em-none-eabihf ] || continue
        cargo build -q --locked --release -p kdumpfile --no-default-features --features "$features" \
            --target "$target" --target-dir "$target_dir"
    done
    echo "bare: the library builds for $target"
done
