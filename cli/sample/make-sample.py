#!/usr/bin/env python3
"""Reduce a kernel dump to the small sample that the command line carries.

    make-sample.py SOURCE OUT

SOURCE is an x86_64 dump in kdump-compressed format (version 6, one file, not flattened, zlib or raw pages)
whose VMCOREINFO names the kallsyms tables. OUT becomes a dump in the same format, zlib level 9, with the
headers, notes and RAM map of SOURCE, and only these pages:

* every page table of the kernel's half of the address space, so each kernel address that SOURCE can
  translate, OUT can translate too (most lead to pages that were left out);
* the objects named in OBJECTS, the kernel log with its descriptors, the kernel command line, the roots of
  the memory model;
* for each CPU: the task that runs there, its stack, and the code at its instruction pointer;
* the first pages of the vmalloc, vmemmap and module areas that are not one byte repeated.

Equal pages share their stored data. The same SOURCE and zlib give the same OUT byte by byte.
"""
import re
import struct
import sys
import zlib

PAGE = 4096
LIMIT = 512 * 1024
HEADER_SIZE, SUB_HEADER_SIZE = 464, 104
DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page_flags
ZLIB = 0x1
# Offsets in the 64-bit common header and in the sub-header.
STATUS, BLOCK_SIZE, SUB_HDR_BLOCKS, BITMAP_BLOCKS = 424, 428, 432, 436
SPLIT, OFFSET_NOTE, OFFSET_ERASEINFO, MAX_MAPNR_64 = 12, 48, 64, 96

KERNEL_TEXT = 0xFFFFFFFF80000000
AREAS = {  # first address, last address, pages to keep
    "vmalloc": (0xFFFFC90000000000, 0xFFFFE8FFFFFFFFFF, 64),
    "vmemmap": (0xFFFFEA0000000000, 0xFFFFEAFFFFFFFFFF, 4),
    "modules": (0xFFFFFFFFC0000000, 0xFFFFFFFFFEFFFFFF, 96),
}
PRESENT, LARGE, ADDRESS_BITS = 1, 0x80, 0x000FFFFFFFFFF000
# Size of what is kept at each symbol. The true sizes of structures without one in VMCOREINFO differ between
# kernels; where one is a guess it is on the large side.
TASK_SIZE, STACK_SIZE = 3 * PAGE, 4 * PAGE
OBJECTS = {
    "_stext": 8 * PAGE,
    "linux_banner": 512,
    "linux_proc_banner": 512,
    "sys_call_table": PAGE,
    "init_uts_ns": 512,
    "init_task": TASK_SIZE,
    "init_mm": 1024,
    "init_top_pgt": PAGE,
    "vmcoreinfo_note": 2 * PAGE,
    "phys_base": 8,
    "page_offset_base": 8,
    "vmalloc_base": 8,
    "vmemmap_base": 8,
    "high_memory": 8,
    "max_pfn": 8,
    "jiffies": 8,
    "nr_cpu_ids": 4,
    "__cpu_online_mask": 1024,
    "__per_cpu_offset": 64,
    "crashing_cpu": 4,
    "node_data": 8,
    "node_online_map": 128,
    "mem_section": 8,
    "saved_command_line": 8,
    "clear_seq": 24,
}


class Source:
    """Reads pages and kernel memory of the source dump."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:8] != b"KDUMP   " or self.u32(8) != 6:
            raise SystemExit(f"{path}: not a kdump-compressed dump of version 6")
        if self.u32(BLOCK_SIZE) != PAGE or self.u32(PAGE + SPLIT):
            raise SystemExit(f"{path}: split, or its pages are not of {PAGE} bytes")
        half = self.u32(BITMAP_BLOCKS) // 2 * PAGE
        bitmaps = (1 + self.u32(SUB_HDR_BLOCKS)) * PAGE
        self.ram_map = self.data[bitmaps : bitmaps + half]
        stored = self.data[bitmaps + half : bitmaps + 2 * half]
        self.descriptors = bitmaps + 2 * half
        pfns = (pfn for pfn in range(8 * half) if stored[pfn >> 3] >> (pfn & 7) & 1)
        self.index = {pfn: number for number, pfn in enumerate(pfns)}
        start, size = struct.unpack_from("<QQ", self.data, PAGE + OFFSET_NOTE)
        self.notes = self.data[start : start + size]
        self.vmcoreinfo = self.find_note(b"VMCOREINFO").decode()
        self.root = self.symbol("init_top_pgt", "swapper_pg_dir") - KERNEL_TEXT + self.number("phys_base")

    def u32(self, offset):
        return struct.unpack_from("<I", self.data, offset)[0]

    # -- notes --------------------------------------------------------------------------------

    def all_notes(self):
        at = 0
        while at + 12 <= len(self.notes):
            namesz, descsz, kind = struct.unpack_from("<III", self.notes, at)
            name = self.notes[at + 12 : at + 12 + namesz].rstrip(b"\0")
            at += 12 + (namesz + 3) // 4 * 4
            yield name, kind, self.notes[at : at + descsz]
            at += (descsz + 3) // 4 * 4

    def find_note(self, wanted):
        for name, _, desc in self.all_notes():
            if name == wanted:
                return desc.rstrip(b"\0")
        raise SystemExit(f"no {wanted.decode()} note")

    def line(self, key, base):
        found = re.search(f"^{re.escape(key)}=(.*)$", self.vmcoreinfo, re.M)
        return int(found[1], base) if found else None

    def symbol(self, *names):
        for name in names:
            if (value := self.line(f"SYMBOL({name})", 16)) is not None:
                return value
        raise SystemExit(f"VMCOREINFO has no SYMBOL({names[0]})")

    def number(self, name):
        return self.line(f"NUMBER({name})", 10)

    def offset(self, name):
        return self.line(f"OFFSET({name})", 10)

    def size(self, name):
        return self.line(f"SIZE({name})", 10)

    # -- memory -------------------------------------------------------------------------------

    def page(self, pfn):
        """Content of a page, None if the dump does not hold it."""
        if pfn not in self.index:
            return None
        offset, size, flags, _ = DESCRIPTOR.unpack_from(self.data, self.descriptors + DESCRIPTOR.size * self.index[pfn])
        stored = self.data[offset : offset + size]
        if flags & ~ZLIB:
            raise SystemExit(f"PFN {pfn}: only zlib and raw pages can be read here")
        return zlib.decompress(stored) if flags & ZLIB else stored

    def table(self, paddr):
        content = self.page(paddr // PAGE)
        return struct.unpack("<512Q", content) if content else ()

    def translate(self, kvaddr):
        """Physical address of a kernel virtual address by the page tables; None: not mapped."""
        table = self.root
        for shift in (39, 30, 21, 12):
            entries = self.table(table)
            entry = entries[kvaddr >> shift & 511] if entries else 0
            if not entry & PRESENT:
                return None
            if shift == 12 or (entry & LARGE and shift < 39):
                offset_mask = (1 << shift) - 1
                return (entry & ADDRESS_BITS & ~offset_mask) | (kvaddr & offset_mask)
            table = entry & ADDRESS_BITS

    def read(self, kvaddr, size):
        out = b""
        while len(out) < size:
            at = kvaddr + len(out)
            paddr = self.translate(at)
            content = self.page(paddr // PAGE) if paddr is not None else None
            if content is None:
                raise SystemExit(f"{at:#x} is not in the source dump")
            out += content[at % PAGE : at % PAGE + size - len(out)]
        return out

    def u64(self, kvaddr):
        return struct.unpack("<Q", self.read(kvaddr, 8))[0]

    # -- symbols ------------------------------------------------------------------------------

    def kallsyms(self):
        """Name -> address of every symbol of the kernel image, from its own compressed table."""
        count = struct.unpack("<I", self.read(self.symbol("kallsyms_num_syms"), 4))[0]
        index = struct.unpack("<256H", self.read(self.symbol("kallsyms_token_index"), 512))
        table = self.read(self.symbol("kallsyms_token_table"), index[255] + 64)
        tokens = [table[start : table.index(0, start)] for start in index]
        base = self.u64(self.symbol("kallsyms_relative_base"))
        offsets = struct.unpack(f"<{count}i", self.read(self.symbol("kallsyms_offsets"), 4 * count))
        # The length of the names is nowhere stated; the token table follows them.
        start = self.symbol("kallsyms_names")
        names = self.read(start, self.symbol("kallsyms_token_table") - start)
        out, at = {}, 0
        for offset in offsets:
            length, at = names[at], at + 1
            if length & 0x80:
                length, at = length & 0x7F | names[at] << 7, at + 1
            text = b"".join(tokens[token] for token in names[at : at + length])
            at += length
            # Per-CPU symbols are absolute and not negative, all others count down from the base.
            out.setdefault(text[1:].decode(), offset if offset >= 0 else base - 1 - offset)
        if out.get("_stext") != self.symbol("_stext"):
            raise SystemExit("kallsyms of this kernel is laid out in another way")
        return out


class Selection:
    """The PFNs of the sample."""

    def __init__(self, source):
        self.source, self.pfns, self.first_pages = source, set(), {name: 0 for name in AREAS}

    def keep_memory(self, kvaddr, size):
        for page in range(kvaddr // PAGE, (kvaddr + size - 1) // PAGE + 1):
            paddr = self.source.translate(page * PAGE)
            if paddr is not None and paddr // PAGE in self.source.index:
                self.pfns.add(paddr // PAGE)

    def keep_tables(self, table, shift, base):
        """Keeps a page table and those below it; of the kernel's half only, at the top level."""
        if table // PAGE not in self.source.index or table // PAGE in self.pfns:
            return
        self.pfns.add(table // PAGE)
        for number, entry in enumerate(self.source.table(table)):
            if not entry & PRESENT or (shift == 39 and number < 256):
                continue
            kvaddr = base | number << shift
            if shift == 39:
                kvaddr |= 0xFFFF << 48
            if shift == 12 or (entry & LARGE and shift < 39):
                self.keep_first_pages(kvaddr, entry & ADDRESS_BITS)
            else:
                self.keep_tables(entry & ADDRESS_BITS, shift - 9, kvaddr)

    def keep_first_pages(self, kvaddr, paddr):
        for name, (first, last, count) in AREAS.items():
            if first <= kvaddr <= last and self.first_pages[name] < count:
                content = self.source.page(paddr // PAGE)
                # Megabytes of one byte repeated lie in front of the modules: room for BPF programs.
                if content is not None and content.count(content[0]) < PAGE:
                    self.pfns.add(paddr // PAGE)
                    self.first_pages[name] += 1

    def keep_log(self):
        source = self.source
        ring = source.u64(source.symbol("prb"))
        self.keep_memory(source.symbol("prb"), 8)
        self.keep_memory(ring, source.size("printk_ringbuffer"))
        descs = ring + source.offset("printk_ringbuffer.desc_ring")
        count = 1 << source.u64(descs + source.offset("prb_desc_ring.count_bits")) % 64
        for field, element in (("descs", "prb_desc"), ("infos", "printk_info")):
            start = source.u64(descs + source.offset(f"prb_desc_ring.{field}"))
            self.keep_memory(start, count * source.size(element))
        text = ring + source.offset("printk_ringbuffer.text_data_ring")
        bits = source.u64(text + source.offset("prb_data_ring.size_bits")) % 64
        self.keep_memory(source.u64(text + source.offset("prb_data_ring.data")), 1 << bits)

    def keep_memory_model(self):
        """What readers of struct page look at first: the sections, and the extent of the first node."""
        source = self.source
        roots = source.symbol("mem_section")
        self.keep_memory(roots, PAGE)
        self.keep_memory(source.u64(roots), PAGE)
        node = source.u64(source.symbol("node_data"))
        for field in ("nr_zones", "node_start_pfn", "node_spanned_pages", "node_id"):
            self.keep_memory(node + source.offset(f"pglist_data.{field}"), 8)

    def keep_cpus(self, symbols):
        # PRSTATUS of x86_64: the general registers start at 112; rip is the 17th, rsp the 20th.
        registers = [desc for name, kind, desc in self.source.all_notes() if (name, kind) == (b"CORE", 1)]
        for cpu, desc in enumerate(registers):
            rip, rsp = (struct.unpack_from("<Q", desc, 112 + 8 * number)[0] for number in (16, 19))
            self.keep_memory(rip & -PAGE, PAGE)
            self.keep_memory(rsp & -STACK_SIZE, STACK_SIZE)
            current = symbols.get("current_task")
            if current is not None:
                variable = current + self.source.u64(symbols["__per_cpu_offset"] + 8 * cpu)
                self.keep_memory(variable, 8)
                self.keep_memory(self.source.u64(variable), TASK_SIZE)


def select(source):
    chosen, symbols = Selection(source), source.kallsyms()
    chosen.keep_tables(source.root, 39, 0)
    for name, size in OBJECTS.items():
        kvaddr = symbols.get(name) or source.line(f"SYMBOL({name})", 16)
        if kvaddr is not None:
            chosen.keep_memory(kvaddr, size)
    if "saved_command_line" in symbols:
        chosen.keep_memory(source.u64(symbols["saved_command_line"]), 256)
    chosen.keep_memory_model()
    chosen.keep_log()
    chosen.keep_cpus(symbols)
    return sorted(chosen.pfns)


def write(source, pfns, path):
    """Writes the sample; returns its size."""
    front = 1 + source.u32(SUB_HDR_BLOCKS)
    head = bytearray(source.data[: front * PAGE])
    struct.pack_into("<I", head, STATUS, ZLIB)
    struct.pack_into("<QQ", head, PAGE + OFFSET_ERASEINFO, 0, 0)
    note_start = struct.unpack_from("<Q", head, PAGE + OFFSET_NOTE)[0]
    if note_start + len(source.notes) > len(head):
        raise SystemExit("the notes of the source do not stand in its sub-header blocks")
    stored = bytearray(len(source.ram_map))
    for pfn in pfns:
        stored[pfn >> 3] |= 1 << (pfn & 7)
    position = len(head) + 2 * len(stored) + DESCRIPTOR.size * len(pfns)
    places, descriptors, data = {}, b"", b""
    for pfn in pfns:
        content = source.page(pfn)
        if content not in places:
            packed, flags = zlib.compress(content, 9), ZLIB
            if len(packed) >= PAGE:
                packed, flags = content, 0
            places[content] = (position + len(data), len(packed), flags, 0)
            data += packed
        descriptors += DESCRIPTOR.pack(*places[content])
    sample = bytes(head) + source.ram_map + bytes(stored) + descriptors + data
    if len(sample) > LIMIT:
        raise SystemExit(f"the sample would have {len(sample)} bytes, more than {LIMIT}")
    with open(path, "wb") as file:
        file.write(sample)
    return len(sample)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source = Source(sys.argv[1])
    pfns = select(source)
    print(f"{len(pfns)} pages, {write(source, pfns, sys.argv[2])} bytes")


if __name__ == "__main__":
    main()
