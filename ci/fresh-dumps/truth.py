#!/usr/bin/env python3
"""Write the ground truth of each fresh dump as NAME.json next to it.

    truth.py OUTDIR

The peer's answers stand under `reference`, in the layout of the stored dumps' JSON files; `guest`,
`emulator_translations` and `ram` do not come from any reader of dumps. The peer is held against these: a
page, a translation or a byte that differs ends the script with an error, as the dump or the peer is broken
then; but for bytes in pages that the peer is known to miss (elf.peer_reads_zeroes_at), which are listed.
"""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

import elf
import guest
import peer

SPLIT = [f"makedumpfile.zlib-d31-split{i}" for i in (1, 2, 3)]
# Name, description, producer, run, files.
DUMPS = [
    ("qemu.kdump-zlib", "dump-guest-memory, flattened, all pages", "qemu", "dump", None),
    ("qemu.elf", "dump-guest-memory, ELF", "qemu", "dump", None),
    ("qemu-paging.elf", "dump-guest-memory with paging, ELF", "qemu", "dump", None),
    ("makedumpfile.zlib-d31", "zlib, -d 31", "makedumpfile", "dump", None),
    ("makedumpfile.lzo-d31", "LZO, -d 31", "makedumpfile", "dump", None),
    ("makedumpfile.zlib-d0", "zlib, all pages", "makedumpfile", "dump", None),
    ("makedumpfile.zlib-d31-split", "zlib, -d 31, in three files", "makedumpfile", "dump", SPLIT),
    ("makedumpfile.zlib-d31-flat", "zlib, -d 31, flattened", "makedumpfile", "dump", None),
    ("makedumpfile.elf-d31", "ELF, -d 31", "makedumpfile", "dump", None),
    ("vmcore", "/proc/vmcore of a crashed kernel", "kernel", "crash", None),
    ("vmcore.zlib-d31", "/proc/vmcore filtered by makedumpfile, zlib, -d 31", "makedumpfile", "crash", None),
]
for variant in guest.VARIANTS:
    DUMPS += [
        (f"{variant}.qemu.kdump-zlib", "dump-guest-memory, flattened, all pages", "qemu", variant, None),
        (f"{variant}.qemu-paging.elf", "dump-guest-memory with paging, ELF", "qemu", variant, None),
        (f"{variant}.makedumpfile.zlib-d31", "zlib, -d 31", "makedumpfile", variant, None),
    ]


def version(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()


def package_version(name):
    return version("dpkg-query", "-W", "-f", "${Version}\n", name)


def file_entry(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"name": os.path.basename(path), "size": os.path.getsize(path), "sha256": digest.hexdigest()}


def is_flattened(path):
    with open(path, "rb") as file:
        return file.read(16).rstrip(b"\0") == b"makedumpfile"


def ask(paths, arch, symbols, with_pages=True):
    """The peer's answer, by the detours which peer.py explains where the peer cannot answer directly."""
    if elf.is_elf(paths[0]):
        ranges = elf.page_ranges(paths[0], elf.P_FILESZ)
        out = peer.reference(paths, arch, symbols, with_pages, ranges)
        for key, value in (("file", ranges), ("memory", elf.page_ranges(paths[0], elf.P_MEMSZ))):
            out["attributes"][key + ".pagemap"]["value"] = value
        out["pagemaps_from"] = "program headers"
        return out
    out = peer.reference(paths, arch, symbols, with_pages)
    if out["open_status"] and is_flattened(paths[0]):
        plain = paths[0] + ".plain"
        with open(paths[0], "rb") as flat:
            subprocess.run(["makedumpfile", "-R", plain], stdin=flat, capture_output=True, check=True)
        out = peer.reference([plain], arch, symbols, with_pages)
        os.remove(plain)
        description = out["attributes"]["file.description"]
        description["value"] = "Flattened " + description["value"]
        out["files"] = [os.path.basename(paths[0])]
        out["asked_about"] = "the file made by makedumpfile -R"
    return out


def compare_with_ram(answer, ram):
    """Holds the hash of each group of pages that was read against the same pages of the raw RAM."""
    pages = answer["pages"]
    size, equal, different, outside = pages["page_size"], 0, [], 0
    groups = {}
    for first, last in answer["attributes"]["file.pagemap"]["value"]:
        for pfn in range(first, last + 1):
            groups.setdefault(str(pfn // pages["chunk_pages"]), []).append(pfn)
    for key, pfns in groups.items():
        if (pfns[-1] + 1) * size > len(ram):
            outside += 1
            continue
        digest = hashlib.sha256()
        for pfn in pfns:
            digest.update(ram[pfn * size : (pfn + 1) * size])
        if pages["chunk_sha256"].get(key) == digest.hexdigest():
            equal += 1
        else:
            different.append(key)
    return {"chunks_equal": equal, "chunks_outside_ram": outside, "chunks_different": different}


def compare_with_emulator(answer, walked):
    same, different = 0, []
    for name, truth in walked.items():
        found = answer["xlat"].get(name, {})
        if found.get("kphys") == truth["kphys"]:
            same += 1
        else:
            result = found.get("kphys", found.get("kphys_error"))
            different.append([name, truth["kvaddr"], result, truth["kphys"]])
    return {"same": same, "different": different}


def compare_bytes(answer, walked, path):
    """Holds what the peer read by virtual addresses against the RAM, where the file has it."""
    stored = answer["attributes"]["file.pagemap"]["value"]
    same, missed, different = 0, [], []
    for name, truth in walked.items():
        found = answer["xlat"].get(name, {}).get("bytes64")
        if found is None or "bytes" not in truth:
            continue
        pfn = int(truth["kphys"], 16) // 4096
        if not any(first <= pfn <= last for first, last in stored):
            continue
        if found.startswith(truth["bytes"]):
            same += 1
        elif elf.is_elf(path) and elf.peer_reads_zeroes_at(path, int(truth["kvaddr"], 16)):
            missed.append(name)
        else:
            different.append([name, truth["kvaddr"], found, truth["bytes"]])
    return {"same": same, "missed_by_the_peer": missed, "different": different}


def truth(folder, row, producers, library):
    """Writes the ground truth of one dump; returns what is printed of it, and its faults."""
    name, description, producer, run, files = row
    paths = [os.path.join(folder, file) for file in files or [name]]
    with open(f"{folder}/{run}-facts.json", encoding="utf-8") as file:
        facts = json.load(file)
    walked = facts.get("emulator_translations")
    symbols = {n: a["kvaddr"] for n, a in walked.items()} if walked else facts["guest"]["symbols"]
    answer = ask(paths, None, symbols)
    if answer["open_status"]:
        raise SystemExit(f"{name}: the peer cannot open it: {answer['open_error']}")
    reference = {**library, "as_opened": answer}
    translated = answer
    if "arch.name" not in answer["attributes"]:
        translated = reference["with_arch_name"] = ask(paths, "x86_64", symbols, with_pages=False)
    faults = [f"page {failure}" for failure in answer["pages"]["failures"]]
    missed = []
    if walked:
        compared = translated["bytes_compared_with_ram"] = compare_bytes(translated, walked, paths[0])
        faults += [f"bytes {difference}" for difference in compared["different"]]
        missed = compared["missed_by_the_peer"]
        compared = translated["translations_compared_with_emulator"] = compare_with_emulator(translated, walked)
        faults += [f"translation {difference}" for difference in compared["different"]]
        with open(f"{folder}/{run}.ram.raw" if run in guest.VARIANTS else f"{folder}/ram.raw", "rb") as file:
            compared = reference["pages_compared_with_ram"] = compare_with_ram(answer, file.read())
        faults += [f"pages of group {group} differ from RAM" for group in compared["chunks_different"]]
    if not str(translated["linux_banner"]).startswith(facts["guest"]["banner"]):
        faults.append(f"linux_banner {translated['linux_banner']}")
    out = {
        "name": name,
        "format_version": 1,
        "description": description,
        "producer": producers[producer],
        "run": run,
        "files": [file_entry(path) for path in paths],
        "arch": "x86_64",
        **facts,
        "reference": reference,
    }
    with open(f"{folder}/{name}.json", "w", encoding="utf-8") as file:
        json.dump(out, file, indent=1)
    said = f"{name}: {answer['pages']['read_ok']} pages, {answer['pages']['sha256'][:16]}"
    if missed:
        said += f"; the peer reads zeroes at {', '.join(missed)}"
    return said, faults


def main():
    folder = sys.argv[1]
    with open(f"{folder}/crash-facts.json", encoding="utf-8") as file:
        release = json.load(file)["guest"]["kernel_release"]
    producers = {
        "qemu": version("qemu-system-x86_64", "--version"),
        "makedumpfile": "makedumpfile " + package_version("makedumpfile"),
        "kernel": "Linux " + release,
    }
    library = {
        "library": f"libkdumpfile {package_version('libkdumpfile10')} (Debian)",
        "attributes_unknown_to_library": peer.unknown_attributes(),
    }
    good = True
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        outcomes = [(row[0], pool.submit(truth, folder, row, producers, library)) for row in DUMPS]
        for name, outcome in outcomes:
            said, faults = outcome.result()
            print(said)
            for fault in faults:
                print(f"{name}: {fault}", file=sys.stderr)
            good &= not faults
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
