"""pykdumpfile (PyPI), built against our headers, on our library.

Usage: pykdumpfile_check.py DUMP, with a dump of x86_64 Linux.
"""
import os
import sys

import addrxlat
import kdumpfile
from _addrxlat import lib
from kdumpfile import constants

checks = 0
failures = []


def check(what, condition):
    global checks
    checks += 1
    if not condition:
        failures.append(what)
        print("failed:", what)


def raises(what, kind, call):
    try:
        value = call()
        check(f"{what}: {value!r} instead of {kind.__name__}", False)
    except kind:
        check(what, True)
    except Exception as error:
        check(f"{what}: {type(error).__name__} {error}", False)


def attributes(dump):
    attr = dump.attr
    check("number", attr["cache.size"] == 1024)
    check("text", attr["arch.name"] == "x86_64" and attr.arch.name == "x86_64")
    check("nested", attr["arch"]["page_size"] == 4096)
    check("order of keys", list(attr)[-1] == "arch" or "arch" in list(attr))
    check("length", len(attr["arch"]) == len(list(attr["arch"])))
    check("membership", "arch.name" in attr and "no.such" not in attr)
    raises("missing key", KeyError, lambda: attr["no.such"])
    raises("missing attribute", AttributeError, lambda: attr.nothing)
    raises("wrong type", TypeError, lambda: attr.__setitem__("cache.size", "text"))
    attr["cache.size"] = 77
    check("set number", attr["cache.size"] == 77)
    attr["arch.name"] = "ppc64"
    check("set text", attr["arch.name"] == "ppc64")
    attr["arch.name"] = "x86_64"
    attr["addrxlat.default.phys_base"] = 0x1000
    check("set address", attr["addrxlat.default.phys_base"] == 0x1000)
    attr["addrxlat.default.phys_base"] = None
    raises("cleared", KeyError, lambda: attr["addrxlat.default.phys_base"])
    check("pairs", dict(attr["cache"].items())["size"] == 77)
    check("get", attr.get("no.such", 5) == 5)


def reading(dump):
    pages = dump.attr["file.pagemap"]
    first = pages.find_set(0)
    check("bitmap", isinstance(pages, kdumpfile.Bitmap) and first >= 0)
    check("next clear bit", pages.find_clear(first) > first)
    bits = pages.get_bits(first, first + 15)
    check("bits", len(bits) == 2 and bits[0] & 1)
    raises("no bit", kdumpfile.NoDataError, lambda: pages.find_set(constants.ADDR_MAX))
    page = dump.read(constants.MACHPHYSADDR, first << 12, 4096)
    check("page", len(bytes(page)) == 4096)
    raises("not stored", kdumpfile.NoDataError, lambda: dump.read(constants.MACHPHYSADDR, 1 << 50, 8))
    dump.attr["addrxlat.ostype"] = "linux"
    check("half a page", bytes(dump.read(constants.KPHYSADDR, (first << 12) + 10, 100)) == bytes(page)[10:110])
    release = dump.attr["linux.uts.release"]
    check("release", dump.vmcoreinfo_line("OSRELEASE").decode() == release)
    raw = dump.vmcoreinfo_raw()
    check("raw", raw == bytes(dump.attr["linux.vmcoreinfo.raw"].get()) and b"OSRELEASE=" in raw)
    raises("no line", kdumpfile.NoDataError, lambda: dump.vmcoreinfo_line("NONE"))
    symbol = dump.vmcoreinfo_symbol("init_uts_ns")
    check("symbol", symbol == dump.attr["linux.vmcoreinfo.SYMBOL.init_uts_ns"])
    raises("no symbol", kdumpfile.NoDataError, lambda: dump.vmcoreinfo_symbol("no_such"))
    memory = bytes(dump.read(constants.KVADDR, symbol, 1024))
    at = memory.index(b"Linux\0")
    check("string", dump.read_string(constants.KVADDR, symbol + at) == b"Linux")
    check("release in memory", release.encode() in memory)
    check("16 bits", dump.d16toh(0x1234) == 0x1234)
    check("32 bits", dump.d32toh(0x12345678) == 0x12345678)
    check("64 bits", dump.d64toh(0x123456789ABCDEF0) == 0x123456789ABCDEF0)
    return symbol, memory


def errors(dump):
    dump.clear_err()
    check("no error", dump.get_err() is None)
    raises("not open", kdumpfile.NotImplementedError, lambda: kdumpfile.Context().open("/dev/null"))
    raises("bad descriptor", kdumpfile.SystemError, lambda: kdumpfile.Context().open_fd(-1))
    dump.err(kdumpfile.ERR_CORRUPT if hasattr(kdumpfile, "ERR_CORRUPT") else constants.ERR_CORRUPT, "message %d")
    check("own error", dump.get_err() == "message %d")
    dump.err(constants.ERR_CORRUPT, "outer")
    check("chain", dump.get_err() == "outer: message %d")
    dump.clear_err()
    for status in range(10):
        check(f"status {status}", isinstance(kdumpfile.strerror(status), str))


def blobs(dump):
    blob = dump.attr["linux.vmcoreinfo.raw"]
    check("blob", isinstance(blob, kdumpfile.Blob))
    bytes_before = bytes(blob.get())
    new = kdumpfile.Blob()
    new.set(b"OSRELEASE=1.2.3\nSYMBOL(one)=11\n")
    check("own blob", bytes(new.get()) == b"OSRELEASE=1.2.3\nSYMBOL(one)=11\n")
    other = kdumpfile.Context()
    other.attr["addrxlat.ostype"] = "linux"
    raises("unset", KeyError, lambda: other.attr["linux.vmcoreinfo.raw"])
    raises("no vmcoreinfo", kdumpfile.NoDataError, other.vmcoreinfo_raw)
    check("kept", bytes(blob.get()) == bytes_before)


def clones(dump, symbol, memory):
    clone = dump.clone(0)
    check("clone reads", bytes(clone.read(constants.KVADDR, symbol, 1024)) == memory)
    clone.attr["cache.size"] = 55
    check("clone shares", dump.attr["cache.size"] == 55)
    split = dump.clone(constants.CLONE_XLAT)
    split.attr["addrxlat.ostype"] = "xen"
    check("own translation", dump.attr["addrxlat.ostype"] == "linux")
    check("still reads", bytes(dump.read(constants.KVADDR, symbol, 1024)) == memory)


class Counting(addrxlat.Context):
    """Memory of one page, which counts what it is asked."""

    def __init__(self):
        super().__init__()
        self.pages = 0

    def cb_get_page(self, buf):
        self.pages += 1
        if buf.addr.addr >= 4096:
            raise addrxlat.NoDataError("nothing there")
        buf.addr = addrxlat.FullAddress(buf.addr.addrspace, 0)
        buf.byte_order = addrxlat.LITTLE_ENDIAN
        buf.data = bytes(range(256)) * 16

    def cb_read_caps(self):
        return addrxlat.CAPS(addrxlat.MACHPHYSADDR)

    def cb_sym_value(self, name):
        return len(name)


def translation(dump, symbol, memory):
    ctx, system = dump.get_addrxlat()
    full = addrxlat.FullAddress(addrxlat.KVADDR, symbol)
    full.conv(addrxlat.MACHPHYSADDR, ctx, system)
    check("converted", full.addrspace == addrxlat.MACHPHYSADDR)
    check("same bytes", bytes(dump.read(constants.MACHPHYSADDR, full.addr, 256)) == memory[:256])
    hw = system.get_map(addrxlat.SYS_MAP_HW)
    check("map", len(hw) == 3 and hw[0].endoff == 0x7FFFFFFFFFFF)
    check("search", hw.search(symbol) == addrxlat.SYS_METH_PGT)
    table = system.get_meth(addrxlat.SYS_METH_PGT)
    check("page table", table.pte_format == addrxlat.PTE_X86_64 and table.target_as == addrxlat.MACHPHYSADDR)
    # pykdumpfile loses the fields and the root of what comes from the library.
    raw = lib.addrxlat_sys_get_meth(system._cdata, addrxlat.SYS_METH_PGT).param.pgt
    check("fields", list(raw.pf.fieldsz)[: raw.pf.nfields] == [12, 9, 9, 9, 9])
    root = addrxlat.FullAddress(getattr(raw.root, "as"), raw.root.addr)
    own = addrxlat.PageTableMethod(
        table.target_as, root=root, pte_format=table.pte_format, fields=(12, 9, 9, 9, 9)
    )
    step = addrxlat.Step(ctx, system, own)
    step.launch(symbol)
    check("launched", step.remain == 5 and step.idx[0] == symbol & 0xFFF)
    # Its steps put the base that they began with back before each call, so they cannot go on.
    text = system.get_meth(addrxlat.SYS_METH_KTEXT)
    check("text", isinstance(text, addrxlat.LinearMethod) and (symbol + text.off) % 2**64 == full.addr)


def objects():
    ranges = addrxlat.Map()
    check("empty map", len(ranges) == 0)
    ranges.set(0x1000, addrxlat.Range(0xFFF, addrxlat.SYS_METH_CUSTOM))
    check("ranges", [part.meth for part in ranges] == [-1, 8, -1])
    check("copy", len(ranges.copy()) == 3)
    ctx, system = Counting(), addrxlat.System()
    system.set_map(addrxlat.SYS_MAP_KV_PHYS, ranges)
    array = addrxlat.MemoryArrayMethod(
        addrxlat.MACHPHYSADDR, addrxlat.FullAddress(addrxlat.MACHPHYSADDR, 0), 12, 8, 8
    )
    system.set_meth(addrxlat.SYS_METH_CUSTOM, array)
    full = addrxlat.FullAddress(addrxlat.KVADDR, 0x1234)
    full.conv(addrxlat.MACHPHYSADDR, ctx, system)
    check("array", full.addr == (0x0F0E0D0C0B0A0908 << 12) % 2**64 + 0x234)
    check("one page", ctx.pages == 1)
    raises("no way", addrxlat.NoMethodError, lambda: addrxlat.FullAddress(addrxlat.KVADDR, 0).conv(0, ctx, system))
    lookup = addrxlat.LookupMethod(addrxlat.MACHPHYSADDR, 0xFF, ((0x100, 0x5000), (0x300, 0x9000)))
    step = addrxlat.Step(ctx, None, lookup)
    step.launch(0x310)
    check("lookup", step.remain == 1 and step.idx[0] == 0x10)
    raises("not in table", addrxlat.NotPresentError, lambda: step.launch(0x200))
    linear = addrxlat.LinearMethod(addrxlat.KPHYSADDR, -0x10)
    step = addrxlat.Step(ctx, None, linear)
    step.launch(0x10)
    check("linear", step.remain == 1 and step.idx[0] == 0x10)
    raises("no architecture", addrxlat.NoDataError, lambda: system.os_init(ctx))
    raises("unknown architecture", addrxlat.NotImplementedError, lambda: system.os_init(ctx, arch="vax"))
    system.os_init(ctx, arch="ia32", phys_bits=32)
    check("set up", system.get_meth(addrxlat.SYS_METH_PGT).kind == addrxlat.PGT)
    check("names", addrxlat.addrspace_name(2) == "KVADDR" and addrxlat.pte_format("arm") == addrxlat.PTE_ARM)
    check("shift", addrxlat.pteval_shift(addrxlat.PTE_IA32) == 2)
    ctx.err(addrxlat.ERR_NODATA, "text")
    check("error", ctx.get_err() == "text")
    ctx.clear_err()
    check("no error", ctx.get_err() is None)


def main():
    dump = kdumpfile.Context()
    check("fresh", dump.attr["cache.size"] == 1024)
    dump.set_filename("named")
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    dump.open_fd(descriptor)
    check("name", dump.attr["file.set.0.name"] == "named")
    attributes(dump)
    symbol, memory = reading(dump)
    errors(dump)
    blobs(dump)
    clones(dump, symbol, memory)
    translation(dump, symbol, memory)
    objects()
    print(f"pykdumpfile: {checks} checks, {len(failures)} failures")
    sys.exit(bool(failures))


main()
