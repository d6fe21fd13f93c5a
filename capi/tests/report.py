"""Everything that Debian's Python modules tell about a dump, as text.

Run once on each of the two libraries; the outputs are compared. A second
argument leaves bitmaps out: Debian's library writes beyond the buffer for
those of ELF dumps, and does not end.
"""
import sys

import addrxlat
import kdumpfile

# What a cache counts is not the same with another cache.
STATISTICS = ("hits", "misses")
SPACES = (addrxlat.KPHYSADDR, addrxlat.MACHPHYSADDR, addrxlat.KVADDR, 3)


def attempt(what, call):
    try:
        print(what, call())
    except (SystemError, AttributeError):
        # How these modules fail to report an error of libaddrxlat depends on chance.
        print(what, "failed")
    except Exception as error:  # the text is what is compared
        print(what, type(error).__name__, error)


def attributes(directory, indent):
    for key in directory:
        value = directory[key]
        kind = type(value).__name__
        if kind == "attr_dir":
            # Newer than the library that this is compared with.
            if key == "eraseinfo":
                continue
            print(f"{indent}{key}:")
            attributes(value, indent + "  ")
        elif key not in STATISTICS:
            if kind == "blob":
                value = bytes(value).hex()
            elif kind == "bmp":
                value = "" if len(sys.argv) > 2 else bytes(value.get_bits(0, 65535)).hex()
            print(f"{indent}{key} = {value}")


def method(meth):
    if isinstance(meth, addrxlat.PageTableMethod):
        root = meth.root
        return f"PGT {root.addrspace}:{root.addr:#x} {meth.pte_mask:#x} {meth.pte_format} {meth.fields}"
    if isinstance(meth, addrxlat.LinearMethod):
        return f"LINEAR {meth.off:#x}"
    if isinstance(meth, addrxlat.LookupMethod):
        return f"LOOKUP {meth.endoff:#x} {[tuple(elem) for elem in meth.tbl]}"
    if isinstance(meth, addrxlat.MemoryArrayMethod):
        return f"MEMARR {meth.base.addr:#x} {meth.shift} {meth.elemsz} {meth.valsz}"
    return f"kind {meth.kind}"


def walk(ctx, system, address):
    step = addrxlat.Step(ctx, system)
    step.meth = system.get_meth(addrxlat.SYS_METH_PGT)
    try:
        step.launch(address)
        while step.remain:
            print(f"  {step.remain} {step.base.addrspace}:{step.base.addr:#x} {step.elemsz} {step.raw} {step.idx}")
            step.step()
        print(f"  -> {step.base.addrspace}:{step.base.addr:#x}")
    except Exception:
        print("  -> failed", step.raw)


def main():
    dump = kdumpfile.kdumpfile(sys.argv[1])
    attributes(dump.attr, "")
    for key in ("no.such", "", ".", "arch.", ".arch.name", "linux.uts"):
        attempt(f"attr {key!r}", lambda: type(dump.attr[key]).__name__)
    dump.attr["addrxlat.ostype"] = "linux"
    system, ctx = dump.get_addrxlat_sys(), dump.get_addrxlat_ctx()
    for index in range(5):
        table = system.get_map(index)
        print("map", index, table and [(hex(part.endoff), part.meth) for part in table])
    for index in range(8):
        meth = system.get_meth(index)
        print("method", index, meth.target_as, method(meth))
    symbols = dump.attr["linux.vmcoreinfo.SYMBOL"]
    for name in symbols:
        address = symbols[name]
        attempt(f"read {name}", lambda: bytes(dump.read(addrxlat.KVADDR, address, 5000)).hex())
        for space in (addrxlat.KPHYSADDR, addrxlat.MACHPHYSADDR):
            full = addrxlat.FullAddress(addrxlat.KVADDR, address)
            attempt(f"conv {name} {space}", lambda: (full.conv(space, ctx, system), hex(full.addr))[1])
        print("walk", name)
        walk(ctx, system, address)
    for space in SPACES:
        for address in (0, 0x1000, 0x12345678, 0xFFFFFFFFFFFFFFF0, 0x7FFFFFFFF000):
            attempt(f"read {space} {address:#x}", lambda: bytes(dump.read(space, address, 5000)).hex())
    pages = dump.attr["file.pagemap"]
    at = 0
    for _ in range(0 if len(sys.argv) > 2 else 2000):
        try:
            at = pages.find_set(at)
            print("page", hex(at), bytes(dump.read(addrxlat.MACHPHYSADDR, at << dump.attr["arch.page_shift"], 64)).hex())
            at = pages.find_clear(at)
        except Exception as error:
            print("pages", type(error).__name__)
            break


main()
