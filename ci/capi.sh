#!/usr/bin/env bash
# ci/capi.sh: the C ABI, from the symbols to programs that were built for the C library.
#
# Builds both generations below target/capi and compares with Debian's libkdumpfile10. Variables:
#   KDUMPFILE_DUMPS        folder of the stored dumps (default ../shared/dumps)
#   KDUMPFILE_CAPI_PROFILE Cargo profile (default capi: optimised as a whole, slow to build; dev is quick)
#   KDUMPFILE_CAPI_SOAK    seconds of the soak test (default 10)
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== [%4d s] %s\n' "$SECONDS" "$*"; }
fail() {
    echo "capi: $*"
    exit 1
}

step "Debian packages"
packages=(gcc g++ binutils pkg-config libkdumpfile10 libkdumpfile-dev python3-libkdumpfile valgrind zstd)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    apt-get -q update > /dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}" > /dev/null
fi

work=$PWD/target/capi
prefix=$work/prefix
lib=$prefix/lib
dumps=${KDUMPFILE_DUMPS:-../shared/dumps}
profile=${KDUMPFILE_CAPI_PROFILE:-capi}
mkdir -p "$work"

step "only the public interface is used"
# Another package sees no more than that; what is left are the ways around it.
# Items that are public for tests only are hidden from the documentation, all in one module.
! grep -rln 'doc(hidden)' src | grep -v '^src/cache/' || fail "hidden items outside of src/cache"
! grep -rn 'kdumpfile::cache' capi --include='*.rs' || fail "the page cache is not for front ends"
! grep -rnE '#\[path|include!\(' capi --include='*.rs' || fail "sources are taken from elsewhere"
grep -hE '^(kdumpfile|libc|cc|kdumpfile-capi-[a-z]+) *=|^[a-z0-9_-]+ *= *[{"]' capi/*/Cargo.toml |
    grep -vE '^(kdumpfile(-capi-[a-z]+)?|libc|cc|name|description) *=' && fail "an unexpected dependency"

for abi in 12 10; do
    step "libraries of generation $abi"
    cargo run -q -p xtask -- install-capi --prefix "$prefix" --abi "$abi" --profile "$profile"
done

step "exported symbols"
debian=$(dirname "$(ldconfig -p | awk '/libkdumpfile\.so\.10 /{print $NF}')")
exported() { nm -D --with-symbol-versions --defined-only "$1" | awk '$2 == "T" {print $3}' | sort; }
compare() { # compare NAME LIST OBJECT NODE: symbols that are exported, and those that should be
    local name=$1 list=$2 object=$3 node=$4
    sed "s/\$/@@$node/" "$list" | sort > "$work/$name.wanted"
    exported "$object" > "$work/$name.found"
    if ! diff "$work/$name.wanted" "$work/$name.found"; then fail "$name exports something else"; fi
    echo "$name: $(wc -l < "$work/$name.found") symbols @@$node"
}
cat capi/map/kdumpfile.txt capi/map/kdumpfile-more.txt > "$work/list10"
cat "$work/list10" capi/map/kdumpfile-12.txt > "$work/list12"
compare libaddrxlat.so.3 capi/map/addrxlat.txt "$lib/libaddrxlat.so.3" LIBADDRXLAT_0
compare libkdumpfile.so.10 "$work/list10" "$lib/libkdumpfile.so.10" LIBKDUMPFILE_0
compare libkdumpfile.so.12 "$work/list12" "$lib/libkdumpfile.so.12" LIBKDUMPFILE_0
exported "$debian/libaddrxlat.so.3" | diff - "$work/libaddrxlat.so.3.found" || fail "Debian's libaddrxlat has other symbols"
absent=$(exported "$debian/libkdumpfile.so.10" | comm -23 - "$work/libkdumpfile.so.10.found")
[ -z "$absent" ] || fail "Debian's libkdumpfile has more: $absent"
exported "$debian/libkdumpfile.so.10" | comm -13 - "$work/libkdumpfile.so.10.found" | sed 's/^/more than Debian has: /'
for name in libaddrxlat.so.3 libkdumpfile.so.10 libkdumpfile.so.12; do
    readelf -d "$lib/$name" | grep -q "SONAME.*\[$name\]" || fail "$name has another soname"
done

step "headers and layout"
for standard in c99 c11 gnu11; do
    for header in kdumpfile addrxlat; do
        for include in include include/libkdumpfile12; do
            [ -d "$prefix/$include" ] || continue
            echo "#include <libkdumpfile/$header.h>
                int main(void) { return 0; }" |
                gcc -x c -std=$standard -pedantic -Wall -Wextra -Werror -I "$prefix/$include" -fsyntax-only -
        done
    done
    gcc -std=$standard -pedantic -Wall -Wextra -Werror -I "$prefix/include" -fsyntax-only capi/tests/layout.c
done
for header in kdumpfile addrxlat; do
    echo "#include <libkdumpfile/$header.h>" |
        g++ -x c++ -std=c++17 -pedantic -Wall -Wextra -Werror -I "$prefix/include" -fsyntax-only -
done
gcc -DOLD_HEADER -fsyntax-only capi/tests/layout.c
echo "layouts are those of Debian's headers"

step "functions, called from C"
export PKG_CONFIG_PATH=$lib/pkgconfig
# shellcheck disable=SC2046 # several words
build() { # build SOURCE PROGRAM MODULE...: with what pkg-config says
    local source=$1 program=$2
    shift 2
    gcc -g -std=gnu11 -Wall -Wextra -o "$program" "$source" $(pkg-config --cflags --libs "$@")
}
dump=$dumps/x86_64-6.1.kdump-zlib-d31
build capi/tests/functions.c "$work/functions" libkdumpfile libaddrxlat
build capi/tests/generation12.c "$work/generation12" libkdumpfile-12 libaddrxlat-12
memcheck=(valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect)
LD_LIBRARY_PATH=$lib "${memcheck[@]}" "$work/generation12"
if [ -e "$dump" ]; then LD_LIBRARY_PATH=$lib "${memcheck[@]}" "$work/functions" "$dump"; else echo "no dumps in $dumps"; fi
build capi/tests/edges.c "$work/edges" libkdumpfile libaddrxlat
[ ! -e "$dump" ] || LD_LIBRARY_PATH=$lib "${memcheck[@]}" "$work/edges" "$dump"

step "without memory, many threads, many children"
build capi/tests/memory.c "$work/memory" libkdumpfile libaddrxlat
LD_LIBRARY_PATH=$lib "$work/memory"
build capi/tests/scarce.c "$work/scarce" libkdumpfile libaddrxlat
[ ! -e "$dump" ] || LD_LIBRARY_PATH=$lib "$work/scarce" "$dump" 7
build capi/tests/threads.c "$work/threads" libkdumpfile
[ ! -e "$dump" ] || LD_LIBRARY_PATH=$lib "$work/threads" "$dump" 20000
build capi/tests/soak.c "$work/soak" libkdumpfile libaddrxlat
[ ! -e "$dump" ] || LD_LIBRARY_PATH=$lib "$work/soak" "$dump" "${KDUMPFILE_CAPI_SOAK:-10}"

step "static libraries"
# shellcheck disable=SC2046
gcc -std=gnu11 -o "$work/static" capi/tests/functions.c -I "$prefix/include" "$lib/libkdumpfile.a" "$lib/libaddrxlat.a" \
    $(sed -n 's/^Libs.private: //p' "$lib/pkgconfig/libkdumpfile.pc")
[ ! -e "$dump" ] || "$work/static" "$dump"

# The same dumps for both libraries: those that Debian's knows. What differs on purpose is taken out: counts of
# caches, file.eraseinfo and what notes of QEMU say (which are newer), and messages about files that have no name.
known=()
for file in x86_64-6.1.kdump-zlib-d31 x86_64-6.1.kdump-snappy-d31 x86_64-6.1.kdump-zstd-d31 arm64-6.1.kdump-zlib-d31; do
    [ ! -e "$dumps/$file" ] || known+=("$dumps/$file")
done
differ=0 compared=0
both() { # both WHAT OURS PEERS: runs both, and compares what they write and return
    local what=$1 ours=$2 peers=$3
    (LD_LIBRARY_PATH=$lib eval "$ours"; echo "exit $?") > "$work/ours.txt" 2>&1 || true
    (eval "$peers"; echo "exit $?") > "$work/peers.txt" 2>&1 || true
    for side in ours peers; do
        sed -E -i -e '/^ *eraseinfo: $/,/^ *raw: \[  \]$/d' -e '/^ *(hits|misses): /d' -e '/^ *(QEMU|cr[0-4])(:| =) /d' \
            -e 's/Cannot set file\.set\.0\.fd: /file #0: /' -e 's,[^ ]*\.(ours|peers) ,PROGRAM ,' "$work/$side.txt"
    done
    compared=$((compared + 1))
    if ! cmp -s "$work/ours.txt" "$work/peers.txt"; then
        differ=$((differ + 1))
        echo "differs: $what"
        diff "$work/peers.txt" "$work/ours.txt" | cut -c 1-200 | head -n 12 || true
    fi
}

step "Debian's examples on both libraries"
for example in dumpattr listxendoms showxlat; do
    source=/usr/share/doc/libkdumpfile-dev/examples/$example.c
    [ -e "$source" ] || fail "$source is not there: documentation was not installed"
    # shellcheck disable=SC2046
    gcc -o "$work/$example.ours" "$source" $(pkg-config --cflags --libs libkdumpfile libaddrxlat)
    gcc -o "$work/$example.peers" "$source" -lkdumpfile -laddrxlat
done
for file in "${known[@]}"; do
    for arguments in "dumpattr $file" "dumpattr $file cpu" "dumpattr $file file.pagemap" "dumpattr $file no.such" \
        "showxlat $file" "showxlat $file linux" "showxlat $file xen" "showxlat $file other" "listxendoms $file"; do
        case $arguments in
            # QEMU's notes, which Debian's library does not read, have CR3 and CR4 of an x86 guest: ours finds
            # page tables for these where Debian's finds none.
            "showxlat "*x86_64*[0-9] | "showxlat "*x86_64*" xen") continue ;;
        esac
        both "$arguments" "$work/${arguments/ /.ours }" "$work/${arguments/ /.peers }"
    done
done
for arguments in "dumpattr" "dumpattr /dev/null" "dumpattr $PWD/README.md" "dumpattr /no/such"; do
    both "$arguments" "$work/${arguments/dumpattr/dumpattr.ours}" "$work/${arguments/dumpattr/dumpattr.peers}"
done

step "Debian's Python modules on both libraries"
for file in "${known[@]}"; do
    both "report.py $file" "/usr/bin/python3 capi/tests/report.py $file" "/usr/bin/python3 capi/tests/report.py $file"
    echo "$(basename "$file"): $(wc -l < "$work/ours.txt") lines"
done

# Of the other ELF dump Debian's library reads pages that are not there, as zeroes.
for file in x86_64-6.1.elf-d31; do
    [ -e "$dumps/$file.zst" ] && command -v zstd > /dev/null || continue
    zstd -q -d -f "$dumps/$file.zst" -o "$work/elf"
    both "report.py $file" "/usr/bin/python3 capi/tests/report.py $work/elf -" \
        "/usr/bin/python3 capi/tests/report.py $work/elf -"
    echo "$file: $(wc -l < "$work/ours.txt") lines"
    rm -f "$work/elf"
done

step "each library with the other half of Debian"
for half in libaddrxlat.so.3 libkdumpfile.so.10; do
    rm -rf "$work/half"
    mkdir "$work/half"
    cp "$lib/$half" "$work/half/"
    for file in "${known[@]}"; do
        both "$half alone: $file" "LD_LIBRARY_PATH=$work/half /usr/bin/python3 capi/tests/report.py $file" \
            "/usr/bin/python3 capi/tests/report.py $file"
    done
done

echo
echo "capi: $compared runs compared, $differ differ"
[ "$differ" = 0 ]
