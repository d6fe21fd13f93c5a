#!/usr/bin/env bash
# ci/fresh-xen.sh [OUTDIR]
#
# Boots Debian's Xen with Debian's kernel as its paravirtualised domain 0 under QEMU (emulated, no KVM, no
# root), and takes the memory of the whole machine as somebody does who does not know of Xen: as ELF and as
# kdump-compressed. What the emulator says of addresses is written to xen-facts.json. tests/xen_real.rs reads
# all of it if KDUMPFILE_FRESH_DUMPS names OUTDIR (default: where ci/fresh-dumps.sh keeps its set).
# It takes about a minute; ci/test.sh does not run it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../target/fresh-dumps}
mkdir -p "$out"
out=$(cd "$out" && pwd)

for tool in qemu-system-x86_64 busybox cpio xz python3 apt-get dpkg-deb; do
    command -v "$tool" > /dev/null || { echo "fresh Xen: $tool is missing"; exit 1; }
done
named() { apt-cache depends "$1" | awk -v name="$2" '$1 == "Depends:" && $2 ~ name && !seen {print $2; seen = 1}'; }
hypervisor=$(named xen-system-amd64 '^xen-hypervisor-.*-amd64$')
linux=$(named linux-image-amd64 '^linux-image-')
[ -n "$hypervisor" ] && [ -n "$linux" ] || { echo "fresh Xen: apt knows no packages, run apt-get update"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fresh Xen: $hypervisor, $linux"
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$hypervisor" "$linux" > apt.log 2>&1) ||
    { tail -n 1 "$work/apt.log"; exit 1; }
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/package"; done
gzip -dc "$work"/package/boot/xen-*.gz > "$work/xen"

mkdir -p "$work/root/bin" "$work/root/modules"
cp "$(command -v busybox)" "$work/root/bin/busybox"
cp "$here/fresh-dumps/init" "$work/root/init"
chmod 755 "$work/root/init"
module=$(find "$work/package/lib/modules" -name 'loop.ko*')
case $module in
    *.xz) xz -dc "$module" > "$work/root/modules/loop.ko" ;;
    ?*) cp "$module" "$work/root/modules/loop.ko" ;;
esac
(cd "$work/root" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc -R 0:0) | gzip -1 > "$work/initrd"

rm -f "$out"/xen.* "$out/xen-facts.json"
python3 "$here/fresh-xen/machine.py" "$out" "$work/xen" "$work"/package/boot/vmlinuz-* "$work/initrd"
chmod u+rw "$out"/xen.*
fallocate --dig-holes "$out/xen.qemu.elf" 2> /dev/null || true
