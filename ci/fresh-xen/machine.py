#!/usr/bin/env python3
"""Run Xen and Linux as its domain 0 under QEMU, and take the memory of the machine.

    machine.py OUTDIR XEN KERNEL INITRD

Writes OUTDIR/xen.qemu.elf, OUTDIR/xen.qemu.kdump-zlib and OUTDIR/xen-facts.json. There, `kphys` of
`emulator_translations` is an address of the machine, as the emulator knows no other; names that begin with
"xen:" are addresses of the hypervisor.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fresh-dumps"))
import guest

# The builder of domain 0 wants its memory in one piece of a power of two.
RAM_MIB = 512
DOM0_MIB = 160
# Where the hypervisor has things (xen/arch/x86/include/asm/config.h of 4.14 and later).
HYPERVISOR = {
    "text": 0xFFFF82D040200000,
    "m2p": 0xFFFF800000000000,
    "frame_table": 0xFFFF82E000000000,
    "direct": 0xFFFF830000100000,
    "direct_far": 0xFFFF830012345678,
}
PAGE_OFFSET = 0xFFFF888000000000


class Machine(guest.Guest):
    def __init__(self, workdir, xen, kernel, initrd):
        self.console, self.monitor = f"{workdir}/console", f"{workdir}/qmp"
        domain = "console=hvc0 panic=-1 no_hash_pointers init_on_free=1 role=stay"
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "qemu64", "-smp", "2"]
        command += ["-m", f"{RAM_MIB}M", "-kernel", xen]
        command += ["-append", f"console=com1 com1=115200,8n1 noreboot dom0_mem={DOM0_MIB}M"]
        command += ["-initrd", f"{kernel} {domain},{initrd}"]
        command += ["-display", "none", "-no-reboot", "-monitor", "none", "-serial", f"file:{self.console}"]
        command += ["-qmp", f"unix:{self.monitor},server=on,wait=off"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.started = time.time()


def main():
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    out, xen, kernel, initrd = sys.argv[1:]
    out = os.path.abspath(out)
    size = RAM_MIB << 20
    with tempfile.TemporaryDirectory() as workdir, Machine(workdir, xen, kernel, initrd) as machine:
        machine.wait_for(lambda: "ready" in machine.sections() or "Panic on CPU" in machine.output())
        if "ready" not in machine.sections():
            raise SystemExit(machine.output()[-2000:])
        print(f"domain 0 is up after {time.time() - machine.started:.1f} s")
        sections = machine.sections()
        named = guest.addresses(sections)
        machine.connect()
        # Its user space has page tables without the kernel.
        machine.stop_in_kernel(int(named["page_offset_base"], 16))
        ram = guest.read_ram(machine, f"{workdir}/ram", size)
        wanted = {name: int(address, 16) for name, address in named.items()}
        for offset in (0, 0x1000, 0x1234567, 0x5000040):
            wanted[f"direct:{offset:x}"] = PAGE_OFFSET + offset
        for name, address in HYPERVISOR.items():
            wanted[f"xen:{name}"] = address
        walked = {n: {"kvaddr": f"{a:x}", "kphys": machine.physical(a)} for n, a in wanted.items()}
        for name, form in (("xen.qemu.elf", "elf"), ("xen.qemu.kdump-zlib", "kdump-zlib")):
            machine.ask("dump-guest-memory", paging=False, protocol=f"file:{out}/{name}", format=form)
        machine.ask("quit")
        machine.process.wait(30)
    for entry in walked.values():
        at = int(entry["kphys"] or "0", 16)
        if entry["kphys"] and at < size:
            entry["bytes"] = ram[at : at + min(64, 4096 - at % 4096)].hex()
    one = {name: sections[name][0] for name in ("kernel_release", "banner", "cmdline")}
    facts = {"guest": one, "emulator_translations": walked}
    with open(f"{out}/xen-facts.json", "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)


if __name__ == "__main__":
    main()
