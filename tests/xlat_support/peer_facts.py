"""Set a translation system up with Debian's addrxlat, and print it.

Standard input: what is known, one fact a line; standard output: as `print` of
facts.rs.
"""
import sys
import addrxlat

memory, known, options, order = {}, {}, {}, addrxlat.BIG_ENDIAN
for line in sys.stdin:
    kind, *rest = line.split()
    if kind == "order":
        order = addrxlat.BIG_ENDIAN if rest[0] == "big" else addrxlat.LITTLE_ENDIAN
    elif kind == "memory":
        memory[int(rest[0])] = bytes.fromhex(rest[1])
    elif kind == "text":
        options[rest[0]] = rest[1]
    elif kind == "option":
        options[rest[0]] = int(rest[1])
    elif kind == "root":
        options["rootpgt"] = addrxlat.FullAddress(int(rest[0]), int(rest[1]))
    else:
        known[kind, rest[0]] = int(rest[1])


def ask(kind, name):
    if (kind, name) not in known:
        raise addrxlat.NoDataError(f"no {kind}")
    return known[kind, name]


class Context(addrxlat.Context):
    def cb_read_caps(self):
        return addrxlat.CAPS(addrxlat.MACHPHYSADDR)

    def cb_get_page(self, addr):
        for start, block in memory.items():
            if start <= addr.addr < start + len(block):
                addr.addr = start
                return block, order
        raise addrxlat.NoDataError("No such memory")

    def cb_sym_value(self, name):
        return ask("symbol", name)

    def cb_sym_sizeof(self, name):
        return ask("size", name)

    def cb_sym_offsetof(self, container, member):
        return ask("offset", f"{container}.{member}")

    def cb_num_value(self, name):
        return ask("number", name)


METHODS = ["PGT", "UPGT", "DIRECT", "KTEXT", "VMEMMAP", "RDIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"]
ctx, system = Context(), addrxlat.System()
try:
    system.os_init(ctx, **options)
except addrxlat.BaseException as failure:
    print(f"error {failure.status}: {failure.message}")
for index, name in enumerate(["HW", "KV_PHYS", "KPHYS_DIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"]):
    ranges = system.get_map(index)
    if ranges is None:
        continue
    print(name)
    addr = 0
    for run in ranges:
        if run.meth >= 0:
            print(f"  {addr:x}-{addr + run.endoff:x} {METHODS[run.meth]}")
        addr += run.endoff + 1
for index, name in enumerate(METHODS):
    method = system.get_meth(index)
    if isinstance(method, addrxlat.LinearMethod):
        what = f"+{method.off & (1 << 64) - 1:x}"
    elif isinstance(method, addrxlat.PageTableMethod):
        root = method.root
        where = "NOADDR"
        if root is not None and root.addrspace != addrxlat.NOADDR:
            where = f"{addrxlat.addrspace_name(root.addrspace)}:{root.addr:x}"
        form = addrxlat.pte_format_name(method.pte_format) + ":" + ",".join(map(str, method.fields))
        what = f"{where} {form}"
    elif isinstance(method, addrxlat.LookupMethod):
        rows = "".join(f" {orig:x}->{dest:x}" for orig, dest in method.tbl)
        what = f"blocks of {method.endoff:x}:{rows}"
    else:
        continue
    print(f"{name} {what} to {addrxlat.addrspace_name(method.target_as)}")
