"""Set a translation system up with Debian's addrxlat, and print it.

Standard input: what is known, one fact a line; standard output: as `print` of kernel.rs.
"""
import sys
import addrxlat

words, zeroed, symbols, numbers, options, caps = {}, [], {}, {}, {}, 0
for line in sys.stdin:
    kind, *rest = line.split()
    if kind == "caps":
        caps = int(rest[0])
    elif kind == "word":
        words[int(rest[0])] = (int(rest[1]), int(rest[2]))
    elif kind == "zero":
        zeroed.append((int(rest[0]), int(rest[1])))
    elif kind == "symbol":
        symbols[rest[0]] = int(rest[1])
    elif kind == "number":
        numbers[rest[0]] = int(rest[1])
    elif kind == "text":
        options[rest[0]] = rest[1]
    elif kind == "option":
        options[rest[0]] = int(rest[1])
    elif kind == "root":
        options["rootpgt"] = addrxlat.FullAddress(int(rest[0]), int(rest[1]))
size = next(iter(words.values()), (0, 8))[1]


class Context(addrxlat.Context):
    def cb_read_caps(self):
        return caps

    def cb_get_page(self, addr):
        value = words.get(addr.addr)
        if value is None and any(first <= addr.addr <= last for first, last in zeroed):
            value = (0, size)
        if value is None:
            raise addrxlat.NoDataError("No such word")
        return value[0].to_bytes(value[1], "little"), addrxlat.LITTLE_ENDIAN

    def cb_sym_value(self, name):
        if name not in symbols:
            raise addrxlat.NoDataError("no symbol")
        return symbols[name]

    def cb_num_value(self, name):
        if name not in numbers:
            raise addrxlat.NoDataError("no number")
        return numbers[name]


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
        print(f"{name} +{method.off & (1 << 64) - 1:x} to {addrxlat.addrspace_name(method.target_as)}")
    elif isinstance(method, addrxlat.PageTableMethod):
        root = method.root
        where = f"{addrxlat.addrspace_name(root.addrspace)}:{root.addr:x}" if root else "NOADDR"
        if root and root.addrspace == addrxlat.NOADDR:
            where = "NOADDR"
        form = f"{addrxlat.pte_format_name(method.pte_format)}:" + ",".join(map(str, method.fields))
        print(f"{name} {where} {form} mask {method.pte_mask:x} to {addrxlat.addrspace_name(method.target_as)}")
