"""Sets a system up with Debian's libaddrxlat and prints what became of it."""

import json
import sys
import addrxlat as ax

MACHINE, OPTIONS = json.load(sys.stdin)
PAGES = {int(addr): bytes.fromhex(data) for addr, data in MACHINE["pages"].items()}
MAPS = ["Hw", "KvPhys", "KphysDirect", "MachphysKphys", "KphysMachphys"]
METHODS = ["NONE", "PGT", "UPGT", "DIRECT", "KTEXT", "VMEMMAP", "RDIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"]


def known(names, name):
    if name not in names:
        raise ax.NoDataError("Unknown")
    return names[name]


class Context(ax.Context):
    def cb_read_caps(self):
        return MACHINE["caps"]

    def cb_get_page(self, addr):
        phys = addr.addr
        if addr.addrspace == ax.KVADDR:
            for first, last, start in MACHINE["segments"]:
                if first <= addr.addr <= last:
                    phys = start + addr.addr - first
                    break
            else:
                raise ax.NoDataError("No segment")
        if phys & ~0xfff not in PAGES:
            raise ax.NoDataError("No memory")
        addr.addr &= ~0xfff
        return PAGES[phys & ~0xfff], ax.LITTLE_ENDIAN

    def cb_reg_value(self, name):
        return known(MACHINE["registers"], name)

    def cb_sym_value(self, name):
        return known(MACHINE["symbols"], name)

    def cb_sym_offsetof(self, obj, elem):
        return known(MACHINE["offsets"], obj + "." + elem)

    def cb_num_value(self, name):
        return known(MACHINE["numbers"], name)


context, system = Context(), ax.System()
if "rootpgt" in OPTIONS:
    OPTIONS["rootpgt"] = ax.FullAddress(*OPTIONS["rootpgt"])
try:
    system.os_init(context, **OPTIONS)
    print("ok")
except ax.BaseException as error:
    print("%d: %s" % (error.status, error.message))
for index, name in enumerate(MAPS):
    start = 0
    for found in system.get_map(index) or ():
        print("%s %x-%x %s" % (name, start, start + found.endoff, METHODS[found.meth + 1]))
        start += found.endoff + 1
for index in range(8):
    method = system.get_meth(index)
    text = None
    if method.kind == ax.LINEAR:
        text = "linear %d %x" % (method.target_as, method.off)
    elif method.kind == ax.PGT:
        text = "pgt %d %d:%x %x %s:%s" % (method.target_as, method.root.addrspace, method.root.addr,
                                          method.pte_mask, ax.pte_format_name(method.pte_format),
                                          ",".join(map(str, method.fields)))
    elif method.kind == ax.MEMARR:
        text = "memarr %d %d:%x %d %d %d" % (method.target_as, method.base.addrspace, method.base.addr,
                                             method.shift, method.elemsz, method.valsz)
    if text:
        print(METHODS[index + 1], text)
