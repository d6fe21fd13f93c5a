#!/usr/bin/env python3
"""Run Xen and Linux as its domain 0 under QEMU, and take the memory of the machine.

    machine.py dump  OUTDIR XEN KERNEL INITRD    stop the machine, dump it in QEMU's formats
    machine.py crash OUTDIR XEN KERNEL INITRD    let domain 0 crash, keep the /proc/vmcore of the machine

`dump` writes OUTDIR/xen.qemu.elf, OUTDIR/xen.qemu.kdump-zlib and OUTDIR/xen-facts.json. There, `kphys` of
`emulator_translations` is an address of the machine, as the emulator knows no other; names that begin with
"xen:" are addresses of the hypervisor. `crash` writes OUTDIR/xen.vmcore and OUTDIR/xen-crash-facts.json.
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
# With a crash kernel, which is in the memory of domain 0 until it is loaded.
CRASH_RAM_MIB = 640
CRASH_DOM0_MIB = 256
CRASH_KERNEL_MIB = 128
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
    def __init__(self, workdir, xen, kernel, initrd, ram_mib, options, role, extra=()):
        self.console, self.monitor = f"{workdir}/console", f"{workdir}/qmp"
        domain = f"console=hvc0 panic=-1 no_hash_pointers init_on_free=1 role={role}"
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "qemu64", "-smp", "2"]
        command += ["-m", f"{ram_mib}M", "-kernel", xen, "-append", f"console=com1 com1=115200,8n1 {options}"]
        command += ["-initrd", f"{kernel} {domain},{initrd}"]
        command += ["-display", "none", "-no-reboot", "-monitor", "none", "-serial", f"file:{self.console}"]
        command += ["-qmp", f"unix:{self.monitor},server=on,wait=off", *extra]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.started = time.time()


    def wait_for_section(self, name):
        """Waits until init has printed a section; a hypervisor that panics does not end QEMU."""
        self.wait_for(lambda: name in self.sections() or "Panic on CPU" in self.output())
        if name not in self.sections():
            raise SystemExit(self.output()[-2000:])


def write(path, facts):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)


def about(sections):
    return {name: sections[name][0] for name in ("kernel_release", "banner", "cmdline")}


def dump(out, files, workdir):
    size = RAM_MIB << 20
    with Machine(workdir, *files, RAM_MIB, f"noreboot dom0_mem={DOM0_MIB}M", "stay") as machine:
        machine.wait_for_section("ready")
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
    write(f"{out}/xen-facts.json", {"guest": about(sections), "emulator_translations": walked})


def crash(out, files, workdir):
    disk = f"{workdir}/disk"
    with open(disk, "wb") as file:
        file.truncate((CRASH_RAM_MIB + 64) << 20)
    extra = ["-drive", f"if=none,id=d,format=raw,cache=unsafe,file={disk}", "-device", "virtio-blk-pci,drive=d"]
    options = f"dom0_mem={CRASH_DOM0_MIB}M crashkernel={CRASH_KERNEL_MIB}M"
    with Machine(workdir, *files, CRASH_RAM_MIB, options, "crash", extra) as machine:
        machine.wait_for(lambda: machine.process.poll() is not None and "captured" in machine.sections())
        print(f"crash and copy took {time.time() - machine.started:.1f} s")
        sections = machine.sections()
    size = int(sections["vmcore_size"][0])
    os.truncate(disk, size)
    subprocess.run(["cp", "--sparse=always", disk, f"{out}/xen.vmcore"], check=True)
    symbols = {name: address for name, address in guest.addresses(sections).items() if ":" not in name}
    write(f"{out}/xen-crash-facts.json", {"guest": {**about(sections), "symbols": symbols}})


def main():
    if len(sys.argv) != 6 or sys.argv[1] not in ("dump", "crash"):
        raise SystemExit(__doc__)
    mode, out, *files = sys.argv[1:]
    with tempfile.TemporaryDirectory() as workdir:
        (dump if mode == "dump" else crash)(os.path.abspath(out), files, workdir)


if __name__ == "__main__":
    main()
