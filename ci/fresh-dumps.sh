#!/usr/bin/env bash
# ci/fresh-dumps.sh [OUTDIR]
#
# Boots Debian's cloud kernel under QEMU (emulated, no KVM, no root), takes its memory in every format that
# QEMU and makedumpfile write, lets a second guest crash and keep its /proc/vmcore, dumps others whose kernel
# lays its addresses out differently (KASLR, five levels of page tables, PTI), and writes the ground truth
# NAME.json of each dump. A set made from the same kernel by the same scripts is used again.
# If something it needs is missing, it says so; that is an error only if the variable CI is "true".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
parts=$here/fresh-dumps
out=${1:-$here/../target/fresh-dumps}
mkdir -p "$out"
out=$(cd "$out" && pwd)

skip() {
    echo "fresh dumps: SKIPPED: $*"
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
}

export PATH=$PATH:/usr/sbin:/sbin
for tool in qemu-system-x86_64 busybox makedumpfile kexec cpio xz python3 apt-get dpkg-deb ldd; do
    command -v "$tool" > /dev/null || skip "$tool is missing"
done
busybox=$(command -v busybox)
ldd "$busybox" > /dev/null 2>&1 && skip "$busybox is linked dynamically, install busybox-static"
python3 -c 'import ctypes; ctypes.CDLL("libkdumpfile.so.10")' 2> /dev/null || skip "libkdumpfile.so.10 is missing"

package=$(apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '/Depends: linux-image/ {print $2; exit}')
[ -n "$package" ] || skip "apt knows no kernel package, run apt-get update"
# apt-cache does not end early here: a closed pipe would be an error.
kernel_version=$(apt-cache show "$package" | awk '/^Version:/ && !seen {print $2; seen = 1}')
stamp="$package $kernel_version $(qemu-system-x86_64 --version | sed -n 1p) $(cat "$0" "$parts"/* 2> /dev/null | sha256sum)"
if [ "$(cat "$out/stamp" 2> /dev/null)" = "$stamp" ]; then
    echo "fresh dumps: using the set of $package $kernel_version in $out"
    exit 0
fi
if [ -n "$(ls "$out")" ] && [ ! -e "$out/.made-by-fresh-dumps" ]; then
    echo "fresh dumps: $out holds other things, which would be deleted"
    exit 1
fi
rm -rf "${out:?}"/*
: > "$out/.made-by-fresh-dumps"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "fresh dumps: $package $kernel_version"
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" > apt.log 2>&1) ||
    skip "cannot download $package: $(tail -n 1 "$work/apt.log")"
dpkg-deb -x "$work"/linux-image-*.deb "$work/package"
kernel=$(find "$work/package/boot" -name 'vmlinuz-*')

# --- initial file systems ----------------------------------------------------------------------------
add_module() { # add_module ROOT NAME NUMBER: the number keeps the order of loading
    local file
    file=$(find "$work/package" -name "$2.ko" -o -name "$2.ko.xz")
    case $file in
        '') ;; # built in
        *.xz) xz -dc "$file" > "$1/modules/$3-$2.ko" ;;
        *) cp "$file" "$1/modules/$3-$2.ko" ;;
    esac
}
new_root() {
    local number=10 module
    mkdir -p "$1/bin" "$1/modules"
    cp "$busybox" "$1/bin/busybox"
    cp "$parts/init" "$1/init"
    chmod 755 "$1/init"
    for module in qemu_fw_cfg virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci \
        virtio_blk loop; do
        add_module "$1" "$module" "$number"
        number=$((number + 1))
    done
}
pack() { (cd "$1" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc -R 0:0) | gzip -1 > "$2"; }

new_root "$work/plain"
pack "$work/plain" "$work/initrd"

new_root "$work/crashing"
mkdir -p "$work/crashing/sbin" "$work/crashing/crash"
cp "$(command -v kexec)" "$work/crashing/sbin/kexec"
ldd "$(command -v kexec)" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$work/crashing$(dirname "$library")"
    cp -L "$library" "$work/crashing$library"
done
cp "$kernel" "$work/crashing/crash/kernel"
cp "$work/initrd" "$work/crashing/crash/initrd"
pack "$work/crashing" "$work/initrd-crashing"

# --- two guests at a time ----------------------------------------------------------------------------
guest() { python3 "$parts/guest.py" "$1" "$out" "$kernel" "${2:-$work/initrd}"; }
{ guest crash "$work/initrd-crashing" && guest pti && guest la57; } > "$work/guests.log" 2>&1 &
other_guests=$!
guest dump
guest kaslr
guest kaslr-la57-pti

keep_ram() { # keep_ram PREFIX: makes PREFIXram.elf of PREFIXqemu.elf
    python3 - "$parts" "$out/$1" << 'EOF'
import os, sys
sys.path.insert(0, sys.argv[1])
import elf
elf.keep_ram(f"{sys.argv[2]}qemu.elf", f"{sys.argv[2]}ram.elf", os.path.getsize(f"{sys.argv[2]}ram.raw"))
EOF
}

# --- makedumpfile ------------------------------------------------------------------------------------
cd "$out"
filter() { # filter OPTION...: its output is shown only if it fails
    makedumpfile "$@" > "$work/makedumpfile.log" 2>&1 || {
        tail -n 5 "$work/makedumpfile.log"
        echo "fresh dumps: makedumpfile $* failed"
        exit 1
    }
}
keep_ram ""
filter -c -d 31 ram.elf makedumpfile.zlib-d31
filter -l -d 31 ram.elf makedumpfile.lzo-d31
filter -c -d 0 ram.elf makedumpfile.zlib-d0
filter -E -d 31 ram.elf makedumpfile.elf-d31
filter -c -d 31 --split --splitblock-size 1024 ram.elf makedumpfile.zlib-d31-split{1,2,3}
makedumpfile -F -c -d 31 ram.elf > makedumpfile.zlib-d31-flat 2> "$work/makedumpfile.log"
rm ram.elf

wait "$other_guests" || { cat "$work/guests.log"; exit 1; }
cat "$work/guests.log"
filter -c -d 31 vmcore vmcore.zlib-d31
variants="kaslr la57 pti kaslr-la57-pti"
for variant in $variants; do
    keep_ram "$variant."
    filter -c -d 31 "$variant.ram.elf" "$variant.makedumpfile.zlib-d31"
    rm -f "$variant.ram.elf" "$variant.qemu.elf"
done
chmod u+rw ./*

python3 "$parts/truth.py" "$out"
for variant in $variants; do rm "$variant.ram.raw"; done
# Pages of zeroes, the most, need no room on the disk.
for file in *.elf *.raw vmcore; do fallocate --dig-holes "$file" 2> /dev/null || true; done
printf '%s\n' "$stamp" > stamp
