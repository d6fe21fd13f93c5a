"""Program headers of little-endian ELF64 core files: what a test of dumps needs, and no more."""
import struct

PAGE_SIZE = 4096
PT_LOAD, PT_NOTE = 1, 4
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
# Positions in the unpacked structures.
E_PHOFF, E_SHOFF, E_EHSIZE, E_PHNUM, E_SHENTSIZE, E_SHNUM, E_SHSTRNDX = 5, 6, 8, 10, 11, 12, 13
P_TYPE, P_OFFSET, P_VADDR, P_PADDR, P_FILESZ, P_MEMSZ = 0, 2, 3, 4, 5, 6


def read_headers(file):
    """The ELF header and the program headers, as lists of their fields."""
    file.seek(0)
    ehdr = list(EHDR.unpack(file.read(EHDR.size)))
    file.seek(ehdr[E_PHOFF])
    return ehdr, [list(PHDR.unpack(file.read(PHDR.size))) for _ in range(ehdr[E_PHNUM])]


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def page_ranges(path, size_field):
    """Inclusive PFN ranges that the segments cover, by P_FILESZ or P_MEMSZ; merged and sorted."""
    with open(path, "rb") as file:
        segments = [phdr for phdr in read_headers(file)[1] if phdr[P_TYPE] == PT_LOAD and phdr[size_field]]
    out = []
    for phdr in sorted(segments, key=lambda phdr: phdr[P_PADDR]):
        first = phdr[P_PADDR] // PAGE_SIZE
        last = (phdr[P_PADDR] + phdr[size_field] - 1) // PAGE_SIZE
        if out and first <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], last)
        else:
            out.append([first, last])
    return out


def peer_reads_zeroes_at(path, kvaddr):
    """Whether the peer misses the page of a virtual address and takes it for zeroes in front of a segment.

    It looks for the first segment that ends behind the page, but by ascending physical addresses; one that
    starts a whole page behind is near enough for it. So a page is lost if the next one by virtual addresses
    comes first by physical ones, and no other segment at higher virtual addresses before both.
    """
    page = kvaddr // PAGE_SIZE * PAGE_SIZE
    with open(path, "rb") as file:
        segments = [phdr for phdr in read_headers(file)[1] if phdr[P_TYPE] == PT_LOAD and phdr[P_FILESZ]]
    for phdr in sorted(segments, key=lambda phdr: phdr[P_PADDR]):
        if phdr[P_VADDR] + phdr[P_FILESZ] > page:
            return page < phdr[P_VADDR] <= page + PAGE_SIZE
    return False


def keep_ram(source, target, ram_size):
    """Copies QEMU's ELF dump in the form that makedumpfile accepts.

    QEMU since 7.2 writes the section headers before the program headers, and segments for video memory
    and ROM; makedumpfile expects the program headers right behind the ELF header, and RAM only.
    """
    with open(source, "rb") as file:
        ehdr, phdrs = read_headers(file)
        data_start = min(phdr[P_OFFSET] for phdr in phdrs)
        phdrs = [phdr for phdr in phdrs if phdr[P_TYPE] != PT_LOAD or phdr[P_PADDR] < ram_size]
        data_end = max(phdr[P_OFFSET] + phdr[P_FILESZ] for phdr in phdrs)
        ehdr[E_PHOFF], ehdr[E_EHSIZE], ehdr[E_PHNUM] = EHDR.size, EHDR.size, len(phdrs)
        for section_field in (E_SHOFF, E_SHENTSIZE, E_SHNUM, E_SHSTRNDX):
            ehdr[section_field] = 0
        head = EHDR.pack(*ehdr) + b"".join(PHDR.pack(*phdr) for phdr in phdrs)
        if len(head) > data_start:
            raise SystemExit(f"{source}: no room for {len(phdrs)} program headers")
        file.seek(data_start)
        with open(target, "wb") as out:
            out.write(head.ljust(data_start, b"\0"))
            while data_start < data_end:
                block = file.read(min(1 << 20, data_end - data_start))
                out.write(block)
                data_start += len(block)
