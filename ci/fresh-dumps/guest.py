#!/usr/bin/env python3
"""Run a guest under QEMU and take its memory.

    guest.py dump  OUTDIR KERNEL INITRD      stop a running guest, dump it in QEMU's formats, save its RAM
    guest.py crash OUTDIR KERNEL INITRD      let a guest crash, keep the /proc/vmcore that it copied to a disk

Each writes FACTS (what the guest printed, and for `dump` the emulator's own view of addresses and RAM) as
OUTDIR/dump-facts.json or OUTDIR/crash-facts.json. No KVM is needed.
"""
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

DUMP_RAM_MIB = 128
# Of these the crash kernel gets CRASH_KERNEL_MIB.
CRASH_RAM_MIB = 288
CRASH_KERNEL_MIB = 104
BOOT_SECONDS = 240
# Without KASLR and with four levels of page tables these stay where x86_64 puts them.
DIRECT_MAP, VMEMMAP = 0xFFFF888000000000, 0xFFFFEA0000000000


class Guest:
    def __init__(self, workdir, kernel, initrd, ram_mib, append, extra=()):
        self.console, self.monitor = f"{workdir}/console", f"{workdir}/qmp"
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "qemu64", "-smp", "2"]
        command += ["-m", f"{ram_mib}M", "-kernel", kernel, "-initrd", initrd]
        command += ["-append", f"console=ttyS0 nokaslr no_hash_pointers init_on_free=1 {append}"]
        command += ["-display", "none", "-no-reboot", "-monitor", "none", "-serial", f"file:{self.console}"]
        command += ["-qmp", f"unix:{self.monitor},server=on,wait=off", *extra]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.started = time.time()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def output(self):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_for(self, done):
        """Waits until done() is true; a guest that ends or hangs before is an error."""
        while not done():
            ended = self.process.poll() is not None
            if not done() and (ended or time.time() - self.started > BOOT_SECONDS):
                raise SystemExit(f"the guest {'ended' if ended else 'hangs'}; its last lines:\n{self.output()[-3000:]}")
            time.sleep(0.2)

    def sections(self):
        """What init printed: section name -> list of lines."""
        out = {}
        for name, line in re.findall(r"^@(\w+) (.*?)\r*$", self.output(), re.M):
            out.setdefault(name, []).append(line)
        return out

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.monitor)
        self.qmp = connection.makefile("rw")
        self.qmp.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while "event" in (answer := json.loads(self.qmp.readline())):
            pass
        if "error" in answer:
            raise SystemExit(f"QEMU: {command}: {answer['error']['desc']}")
        return answer["return"]

    def physical(self, kvaddr):
        """Where the emulator's own page walk finds a virtual address, in hexadecimal; None: unmapped."""
        answer = self.ask("human-monitor-command", **{"command-line": f"gva2gpa {kvaddr:#x}"})
        found = re.search(r"gpa: 0x([0-9a-f]+)", answer)
        return found[1] if found else None


def addresses(sections):
    """Name -> virtual address (hexadecimal) of everything that is worth a translation."""
    out = {}
    for line in sections["symbol"]:
        address, name = line.split(" ", 1)
        if int(address, 16):
            out[name] = address
    for line in sections.get("vmalloc", []):
        area, _, owner = line.split()[:3]
        address = area.split("-")[0].removeprefix("0x")
        out[f"vmalloc:{owner}:{address}"] = address
    ram = DUMP_RAM_MIB << 20
    for label, base, offsets in (
        ("direct", DIRECT_MAP, (0x1000, 0x100000, 0x1234567, 0x5000040, ram - 8)),
        ("vmemmap", VMEMMAP, (0, 0x4000, 0x100000)),
    ):
        for offset in offsets:
            out[f"{label}:{base + offset:x}"] = f"{base + offset:x}"
    return out


def facts_of(sections):
    one = {name: sections[name][0] for name in ("kernel_release", "banner", "cmdline", "vmcoreinfo_addr")}
    return {**one, "page_size": 4096, "iomem": sections["iomem"], "modules": sections.get("modules", [])}


def vmcoreinfo_text(ram, where):
    """Text of the VMCOREINFO note at WHERE ("ADDRESS SIZE", as in /sys/kernel/vmcoreinfo)."""
    address = int(where.split()[0], 16)
    namesz, descsz, _ = struct.unpack_from("<III", ram, address)
    start = address + 12 + (namesz + 3) // 4 * 4
    return bytes(ram[start : start + descsz]).decode()


def chunk_hashes(ram, pages_per_chunk=1024):
    step = pages_per_chunk * 4096
    return {str(i): hashlib.sha256(ram[i * step : (i + 1) * step]).hexdigest() for i in range(len(ram) // step)}


def dump(out, kernel, initrd, workdir):
    size = DUMP_RAM_MIB << 20
    with Guest(workdir, kernel, initrd, DUMP_RAM_MIB, "role=stay", ["-device", "vmcoreinfo"]) as guest:
        guest.wait_for(lambda: "ready" in guest.sections())
        print(f"guest is up after {time.time() - guest.started:.1f} s")
        sections = guest.sections()
        guest.connect()
        guest.ask("stop")
        walked = {name: {"kvaddr": a, "kphys": guest.physical(int(a, 16))} for name, a in addresses(sections).items()}
        guest.ask("pmemsave", val=0, size=size, filename=f"{out}/ram.raw")
        for name, paging, form in (
            ("qemu.elf", False, {"format": "elf"}),
            ("qemu-paging.elf", True, {}),
            ("qemu.kdump-zlib", False, {"format": "kdump-zlib"}),
        ):
            guest.ask("dump-guest-memory", paging=paging, protocol=f"file:{out}/{name}", **form)
        guest.ask("quit")
        guest.process.wait(30)
    with open(f"{out}/ram.raw", "rb") as file:
        ram = file.read()
    facts = facts_of(sections)
    facts["symbols"] = {name: a["kvaddr"] for name, a in walked.items() if ":" not in name}
    facts["vmcoreinfo"] = vmcoreinfo_text(ram, facts["vmcoreinfo_addr"])
    return {
        "guest": facts,
        "emulator_translations": walked,
        "ram": {
            "base": "0",
            "size": size,
            "sha256": hashlib.sha256(ram).hexdigest(),
            "chunk_pages": 1024,
            "page_size": 4096,
            "chunk_sha256": chunk_hashes(ram),
        },
    }


def crash(out, kernel, initrd, workdir):
    disk = f"{workdir}/disk"
    with open(disk, "wb") as file:
        file.truncate((CRASH_RAM_MIB + 64) << 20)
    extra = ["-drive", f"if=none,id=d,format=raw,cache=unsafe,file={disk}", "-device", "virtio-blk-pci,drive=d"]
    append = f"role=crash crashkernel={CRASH_KERNEL_MIB}M"
    with Guest(workdir, kernel, initrd, CRASH_RAM_MIB, append, extra) as guest:
        guest.wait_for(lambda: guest.process.poll() is not None and "captured" in guest.sections())
        print(f"crash and copy took {time.time() - guest.started:.1f} s")
        sections = guest.sections()
    with open(disk, "rb") as source, open(f"{out}/vmcore", "wb") as target:
        left = int(sections["vmcore_size"][0])
        while left:
            block = source.read(min(1 << 20, left))
            target.write(block)
            left -= len(block)
    facts = facts_of(sections)
    facts["symbols"] = {n: a for n, a in addresses(sections).items() if ":" not in n}
    return {"guest": facts}


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("dump", "crash"):
        raise SystemExit(__doc__)
    mode, out, kernel, initrd = sys.argv[1:]
    with tempfile.TemporaryDirectory() as workdir:
        facts = (dump if mode == "dump" else crash)(os.path.abspath(out), kernel, initrd, workdir)
    with open(f"{out}/{mode}-facts.json", "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)


if __name__ == "__main__":
    main()
