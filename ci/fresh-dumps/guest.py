#!/usr/bin/env python3
"""Run a guest under QEMU and take its memory.

    guest.py dump  OUTDIR KERNEL INITRD      stop a running guest, dump it in QEMU's formats, save its RAM
    guest.py crash OUTDIR KERNEL INITRD      let a guest crash, keep the /proc/vmcore that it copied to a disk
    guest.py NAME  OUTDIR KERNEL INITRD      one of VARIANTS: a guest with another layout of addresses, dumped

Each writes FACTS (what the guest printed, and but for `crash` the emulator's own view of addresses and RAM)
as OUTDIR/dump-facts.json, OUTDIR/crash-facts.json or OUTDIR/NAME-facts.json; the dumps and the RAM of a
variant are OUTDIR/NAME.*. No KVM is needed.
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

import qcow2

DUMP_RAM_MIB = 128
# Of these the crash kernel gets CRASH_KERNEL_MIB.
CRASH_RAM_MIB = 288
CRASH_KERNEL_MIB = 104
# A machine that is busy with other things, too, needs minutes.
BOOT_SECONDS = 600
# Name -> processor, kernel parameters.
VARIANTS = {
    "kaslr": ("qemu64", ""),
    "la57": ("qemu64,+la57", "nokaslr"),
    # The processor of QEMU is not known to leak, so the kernel has to be asked.
    "pti": ("qemu64", "nokaslr pti=on"),
    "kaslr-la57-pti": ("qemu64,+la57", "pti=on"),
}
PLAIN = ("qemu64", "nokaslr")
# How long a guest may be found in user space again and again before it is stopped for good.
STOP_SECONDS = 60


class Guest:
    def __init__(self, workdir, kernel, initrd, ram_mib, kind, append, extra=()):
        self.console, self.monitor = f"{workdir}/console", f"{workdir}/qmp"
        cpu, parameters = kind
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", cpu, "-smp", "2"]
        command += ["-m", f"{ram_mib}M", "-kernel", kernel, "-initrd", initrd]
        # A busy machine may not give the guest the timer ticks that it waits for at the start. A kernel that
        # panics ends the guest at once.
        robust = "no_timer_check panic=-1"
        command += ["-append", f"console=ttyS0 {robust} {parameters} no_hash_pointers init_on_free=1 {append}"]
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

    def stop_in_kernel(self, kvaddr):
        """Stops the guest when the page tables in use have a kernel address: with PTI, those of user space
        have next to none."""
        until = time.time() + STOP_SECONDS
        while True:
            self.ask("stop")
            if self.physical(kvaddr):
                return
            if time.time() > until:
                raise SystemExit(f"the guest never has {kvaddr:#x} mapped")
            self.ask("cont")
            time.sleep(0.1)

    def run_job(self, command, **arguments):
        """Runs a command that is a job, and waits for its end."""
        self.ask(command, **{"job-id": command}, **arguments)
        while True:
            job = next(job for job in self.ask("query-jobs") if job["id"] == command)
            if job["status"] == "concluded":
                break
            time.sleep(0.05)
        if "error" in job:
            raise SystemExit(f"QEMU: {command}: {job['error']}")
        self.ask("job-dismiss", id=command)

    def snapshot(self, disk):
        """Does what `savevm` does, into a new qcow2 file."""
        self.run_job("blockdev-create", options={"driver": "file", "filename": disk, "size": 0})
        self.ask("blockdev-add", **{"driver": "file", "filename": disk, "node-name": "state-file"})
        self.run_job("blockdev-create", options={"driver": "qcow2", "file": "state-file", "size": 1 << 20})
        self.ask("blockdev-add", **{"driver": "qcow2", "file": "state-file", "node-name": "state"})
        self.run_job("snapshot-save", tag="state", vmstate="state", devices=["state"])
        self.ask("blockdev-del", **{"node-name": "state"})
        self.ask("blockdev-del", **{"node-name": "state-file"})

    def migrate(self, path):
        self.ask("migrate", uri=f"exec:cat > '{path}'")
        while (status := self.ask("query-migrate")["status"]) != "completed":
            if status in ("failed", "cancelled"):
                raise SystemExit(f"QEMU: the migration {status}")
            time.sleep(0.05)


def addresses(sections):
    """Name -> virtual address (hexadecimal) of what the guest named and is worth a translation."""
    out = {}
    for line in sections["symbol"]:
        address, name = line.split(" ", 1)
        if int(address, 16):
            out[name] = address
    for line in sections.get("vmalloc", []):
        area, _, owner = line.split()[:3]
        address = area.split("-")[0].removeprefix("0x")
        out[f"vmalloc:{owner}:{address}"] = address
    return out


def areas(bases, ram_size):
    """Name -> virtual address of some places in the direct mapping and in vmemmap."""
    out = {}
    for label, variable, offsets in (
        ("direct", "page_offset_base", (0x1000, 0x100000, 0x1234567, 0x5000040, ram_size - 8)),
        ("vmemmap", "vmemmap_base", (0, 0x4000, 0x100000)),
    ):
        for address in (bases[variable] + offset for offset in offsets):
            out[f"{label}:{address:x}"] = f"{address:x}"
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


def layout(flags, vmcoreinfo, bases):
    """What the guest has of that which its addresses depend on."""
    moved = int(re.search(r"^KERNELOFFSET=([0-9a-f]+)$", vmcoreinfo, re.M)[1], 16)
    return {
        # Either may be at its usual place by chance.
        "kaslr": moved != 0 or bases["page_offset_base"] not in (0xFFFF888000000000, 0xFF11000000000000),
        "la57": "la57" in flags.split(),
        "pti": "pti" in flags.split(),
    }


def wanted_layout(kind):
    cpu, parameters = kind
    return {
        "kaslr": "nokaslr" not in parameters.split(),
        "la57": "+la57" in cpu.split(","),
        "pti": "pti=on" in parameters.split(),
    }


def read_ram(guest, path, size):
    guest.ask("pmemsave", val=0, size=size, filename=path)
    with open(path, "rb") as file:
        return file.read()


def dump(out, kernel, initrd, workdir, kind=PLAIN, prefix=""):
    size = DUMP_RAM_MIB << 20
    with Guest(workdir, kernel, initrd, DUMP_RAM_MIB, kind, "role=stay", ["-device", "vmcoreinfo"]) as guest:
        guest.wait_for(lambda: "ready" in guest.sections())
        print(f"guest {prefix or 'dump'} is up after {time.time() - guest.started:.1f} s")
        sections = guest.sections()
        named = addresses(sections)
        guest.connect()
        guest.stop_in_kernel(int(named["page_offset_base"], 16))
        ram = read_ram(guest, f"{out}/{prefix}ram.raw", size)

        def variable(name):
            return struct.unpack_from("<Q", ram, int(guest.physical(int(named[name], 16)), 16))[0]

        bases = {name: variable(name) for name in ("page_offset_base", "vmalloc_base", "vmemmap_base")}
        wanted = {**named, **areas(bases, size)}
        walked = {name: {"kvaddr": a, "kphys": guest.physical(int(a, 16))} for name, a in wanted.items()}
        for name, paging, form in (
            ("qemu.elf", False, {"format": "elf"}),
            ("qemu-paging.elf", True, {}),
            ("qemu.kdump-zlib", False, {"format": "kdump-zlib"}),
        ):
            guest.ask("dump-guest-memory", paging=paging, protocol=f"file:{out}/{prefix}{name}", **form)
        if not prefix:
            guest.snapshot(f"{workdir}/disk")
            qcow2.save_vmstate(f"{workdir}/disk", f"{out}/savevm.stream")
            # The last, as the guest cannot go on from there.
            guest.migrate(f"{out}/migrate.stream")
        guest.ask("quit")
        guest.process.wait(30)
    for entry in walked.values():
        at = int(entry["kphys"] or "0", 16)
        if entry["kphys"] and at < size:
            # No further than this page: the next one may be anywhere.
            entry["bytes"] = ram[at : at + min(64, 4096 - at % 4096)].hex()
    facts = facts_of(sections)
    facts["symbols"] = {name: a["kvaddr"] for name, a in walked.items() if ":" not in name}
    facts["bases"] = {name: f"{base:x}" for name, base in bases.items()}
    facts["vmcoreinfo"] = vmcoreinfo_text(ram, facts["vmcoreinfo_addr"])
    facts["layout"] = layout(sections["cpu_flags"][0], facts["vmcoreinfo"], bases)
    if facts["layout"] != wanted_layout(kind):
        raise SystemExit(f"the guest {prefix or 'dump'} was to be {wanted_layout(kind)}, but is {facts['layout']}")
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
    # As distributions boot it; the stored dumps have a crash without.
    append = f"role=crash crashkernel={CRASH_KERNEL_MIB}M"
    with Guest(workdir, kernel, initrd, CRASH_RAM_MIB, VARIANTS["kaslr"], append, extra) as guest:
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
    facts["symbols"] = {name: a for name, a in addresses(sections).items() if ":" not in name}
    return {"guest": facts}


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("dump", "crash", *VARIANTS):
        raise SystemExit(__doc__)
    mode, out, kernel, initrd = sys.argv[1:]
    out = os.path.abspath(out)
    with tempfile.TemporaryDirectory() as workdir:
        if mode in VARIANTS:
            facts = dump(out, kernel, initrd, workdir, VARIANTS[mode], f"{mode}.")
        else:
            facts = (dump if mode == "dump" else crash)(out, kernel, initrd, workdir)
    with open(f"{out}/{mode}-facts.json", "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)


if __name__ == "__main__":
    main()
