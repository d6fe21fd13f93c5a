#!/usr/bin/env bash
# ci/fresh-xen.sh [OUTDIR]
#
# Boots Debian's Xen with Debian's kernel as its paravirtualised domain 0 under QEMU (emulated, no KVM, no
# root), and takes the memory of the whole machine as somebody does who does not know of Xen: as ELF and as
# kdump-compressed. What the emulator says of addresses is written to xen-facts.json. In a second machine,
# domain 0 crashes, and Xen's crash kernel keeps /proc/vmcore. tests/xen_real.rs reads all of it if
# KDUMPFILE_FRESH_DUMPS names OUTDIR (default: where ci/fresh-dumps.sh keeps its set).
# It takes some minutes; ci/test.sh does not run it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../target/fresh-dumps}
mkdir -p "$out"
out=$(cd "$out" && pwd)

export PATH=$PATH:/usr/sbin:/sbin
for tool in qemu-system-x86_64 busybox kexec cpio xz python3 apt-get dpkg-deb ldd; do
    command -v "$tool" > /dev/null || { echo "fresh Xen: $tool is missing"; exit 1; }
done
named() { apt-cache depends "$1" | awk -v name="$2" '$1 == "Depends:" && $2 ~ name && !seen {print $2; seen = 1}'; }
hypervisor=$(named xen-system-amd64 '^xen-hypervisor-.*-amd64$')
linux=$(named linux-image-amd64 '^linux-image-')
if [ -z "$hypervisor" ] || [ -z "$linux" ]; then
    echo "fresh Xen: apt knows no packages, run apt-get update"
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fresh Xen: $hypervisor, $linux"
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$hypervisor" "$linux" > apt.log 2>&1) ||
    { tail -n 1 "$work/apt.log"; exit 1; }
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/package"; done
gzip -dc "$work"/package/boot/xen-*.gz > "$work/xen"

new_root() { # new_root ROOT MODULE...
    local root=$1 number=10 module file
    shift
    mkdir -p "$root/bin" "$root/modules"
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp "$here/fresh-dumps/init" "$root/init"
    chmod 755 "$root/init"
    for module in "$@"; do
        file=$(find "$work/package/lib/modules" -name "$module.ko" -o -name "$module.ko.xz")
        case $file in
            '') ;; # built in
            *.xz) xz -dc "$file" > "$root/modules/$number-$module.ko" ;;
            *) cp "$file" "$root/modules/$number-$module.ko" ;;
        esac
        number=$((number + 1))
    done
}
pack() { (cd "$1" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc -R 0:0) | gzip -1 > "$2"; }
virtio="virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk"

new_root "$work/plain" loop
pack "$work/plain" "$work/initrd"
# shellcheck disable=SC2086
new_root "$work/capturing" $virtio
pack "$work/capturing" "$work/initrd-capturing"
# shellcheck disable=SC2086
new_root "$work/crashing" xen-privcmd xenfs $virtio loop
mkdir -p "$work/crashing/sbin" "$work/crashing/crash"
cp "$(command -v kexec)" "$work/crashing/sbin/kexec"
ldd "$(command -v kexec)" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$work/crashing$(dirname "$library")"
    cp -L "$library" "$work/crashing$library"
done
cp "$work"/package/boot/vmlinuz-* "$work/crashing/crash/kernel"
cp "$work/initrd-capturing" "$work/crashing/crash/initrd"
pack "$work/crashing" "$work/initrd-crashing"

rm -f "$out"/xen.* "$out"/xen-*facts.json
machine() { python3 "$here/fresh-xen/machine.py" "$1" "$out" "$work/xen" "$work"/package/boot/vmlinuz-* "$work/$2"; }
machine dump initrd
machine crash initrd-crashing
chmod u+rw "$out"/xen.*
fallocate --dig-holes "$out/xen.qemu.elf" 2> /dev/null || true
