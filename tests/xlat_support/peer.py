"""Translate addresses in memory of pseudo-random entries with Debian's libaddrxlat.

Lines of standard input, with numbers in hexadecimal but for the small ones:

    walk FORMAT FIELDS MASK SEED AND OR BIG ADDR    answered by the states of all steps, and of a walk
    memory CAPS SEED AND                            what conversions read from now on
    system                                          a new one, for the lines below
    method INDEX KIND ...
    set MAP FIRST ENDOFF INDEX
    op CAPS SPACE ADDR                              answered by the result

Calls the library itself: its Python module of this version has no steps that work.
"""
import ctypes as c
import sys

MACHPHYSADDR, KVADDR, KIND_PGT = 1, 2, 3
M64 = (1 << 64) - 1


class FullAddr(c.Structure):
    _fields_ = [("addr", c.c_uint64), ("space", c.c_int)]


class Buffer(c.Structure):
    _fields_ = [
        ("addr", FullAddr),
        ("ptr", c.c_void_p),
        ("size", c.c_size_t),
        ("byte_order", c.c_int),
        ("put_page", c.c_void_p),
        ("priv", c.c_void_p),
    ]


GET_PAGE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Buffer))
READ_CAPS = c.CFUNCTYPE(c.c_ulong, c.c_void_p)


class Callbacks(c.Structure):
    _fields_ = [("next", c.c_void_p), ("priv", c.c_void_p), ("get_page", GET_PAGE), ("read_caps", READ_CAPS)]


class Method(c.Structure):
    _fields_ = [
        ("kind", c.c_int),
        ("target", c.c_int),
        ("root", FullAddr),
        ("pte_mask", c.c_uint64),
        ("format", c.c_int),
        ("nfields", c.c_uint16),
        ("fields", c.c_uint16 * 8),
    ]


class Linear(c.Structure):
    _fields_ = [("kind", c.c_int), ("target", c.c_int), ("off", c.c_uint64), ("rest", c.c_uint64 * 5)]


class Lookup(c.Structure):
    _fields_ = [
        ("kind", c.c_int),
        ("target", c.c_int),
        ("endoff", c.c_uint64),
        ("nelem", c.c_size_t),
        ("tbl", c.c_void_p),
        ("rest", c.c_uint64 * 3),
    ]


class MemArr(c.Structure):
    _fields_ = [
        ("kind", c.c_int),
        ("target", c.c_int),
        ("base", FullAddr),
        ("shift", c.c_uint),
        ("elemsz", c.c_uint),
        ("valsz", c.c_uint),
        ("rest", c.c_uint64 * 2),
    ]


class Range(c.Structure):
    _fields_ = [("endoff", c.c_uint64), ("meth", c.c_int)]


OP = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(FullAddr))


class OpCtl(c.Structure):
    _fields_ = [
        ("ctx", c.c_void_p),
        ("sys", c.c_void_p),
        ("op", OP),
        ("data", c.c_void_p),
        ("caps", c.c_ulong),
    ]


class Step(c.Structure):
    _fields_ = [
        ("ctx", c.c_void_p),
        ("sys", c.c_void_p),
        ("meth", c.POINTER(Method)),
        ("remain", c.c_uint16),
        ("elemsz", c.c_uint32),
        ("base", FullAddr),
        ("raw", c.c_uint64),
        ("idx", c.c_uint64 * 9),
    ]


lib = c.CDLL("libaddrxlat.so.3")
lib.addrxlat_ctx_new.restype = c.c_void_p
lib.addrxlat_ctx_add_cb.restype = c.POINTER(Callbacks)
lib.addrxlat_ctx_add_cb.argtypes = [c.c_void_p]
lib.addrxlat_ctx_decref.argtypes = [c.c_void_p]
lib.addrxlat_ctx_get_err.restype = c.c_char_p
lib.addrxlat_ctx_get_err.argtypes = [c.c_void_p]
lib.addrxlat_launch.argtypes = [c.POINTER(Step), c.c_uint64]
lib.addrxlat_step.argtypes = [c.POINTER(Step)]
lib.addrxlat_walk.argtypes = [c.POINTER(Step)]
lib.addrxlat_pte_format.argtypes = [c.c_char_p]
lib.addrxlat_ctx_err.argtypes = [c.c_void_p, c.c_int, c.c_char_p]
lib.addrxlat_sys_new.restype = c.c_void_p
lib.addrxlat_map_new.restype = c.c_void_p
lib.addrxlat_sys_get_map.restype = c.c_void_p
lib.addrxlat_sys_get_map.argtypes = [c.c_void_p, c.c_int]
lib.addrxlat_sys_set_map.argtypes = [c.c_void_p, c.c_int, c.c_void_p]
lib.addrxlat_sys_set_meth.argtypes = [c.c_void_p, c.c_int, c.c_void_p]
lib.addrxlat_map_set.argtypes = [c.c_void_p, c.c_uint64, c.POINTER(Range)]
lib.addrxlat_op.argtypes = [c.POINTER(OpCtl), c.POINTER(FullAddr)]


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


class Noise:
    """The memory that all entries are read from."""

    caps = 1 << MACHPHYSADDR | 1 << KVADDR
    size, big, gaps = 8, False, False
    ctx = None


noise = Noise()
kept = []


@GET_PAGE
def get_page(_, buffer):
    addr = buffer[0].addr.addr
    value = mix(noise.seed ^ addr)
    kind = value >> 60
    value &= noise.band
    if noise.gaps and kind == 0:
        return lib.addrxlat_ctx_err(noise.ctx, 5, b"Lost")
    if not noise.gaps or kind != 1:
        value |= noise.bor
    data = (value & ((1 << (8 * noise.size)) - 1)).to_bytes(noise.size, "big" if noise.big else "little")
    data = c.create_string_buffer(data, noise.size)
    kept.append(data)
    buffer[0].ptr, buffer[0].size = c.addressof(data), noise.size
    buffer[0].byte_order = 0 if noise.big else 1
    return 0


@READ_CAPS
def read_caps(_):
    return noise.caps


def new_ctx():
    ctx = lib.addrxlat_ctx_new()
    callbacks = lib.addrxlat_ctx_add_cb(ctx)
    callbacks[0].get_page, callbacks[0].read_caps = get_page, read_caps
    return ctx


def full_addr(text):
    space, addr = text.split(":")
    return FullAddr(int(addr, 16), int(space))


def page_table(target, root, mask, name, fields):
    meth = Method(KIND_PGT, target, root, int(mask, 16))
    meth.format = lib.addrxlat_pte_format(name.encode())
    fields = [int(bits) for bits in fields.split(",")]
    meth.nfields = len(fields)
    meth.fields[: len(fields)] = fields
    return meth


def state(step):
    idx = ",".join(f"{idx:x}" for idx in step.idx[: step.remain])
    return f"{step.remain} {step.elemsz} {step.base.space}:{step.base.addr:x} {idx}"


def failure(ctx, status):
    return f"{status} {lib.addrxlat_ctx_get_err(ctx).decode()}"


def walk(name, fields, mask, seed, band, bor, big, addr):
    addr = int(addr, 16)
    meth = page_table(MACHPHYSADDR, FullAddr(0x1000, MACHPHYSADDR), mask, name, fields)
    noise.size = 1 << lib.addrxlat_pteval_shift(meth.format)
    noise.seed, noise.band, noise.bor, noise.big = int(seed, 16), int(band, 16), int(bor, 16), int(big)
    kept.clear()
    ctx = new_ctx()
    out = []
    step = Step(ctx, None, c.pointer(meth))
    status = lib.addrxlat_launch(step, addr)
    while status == 0:
        out.append(state(step))
        if step.remain == 0:
            break
        status = lib.addrxlat_step(step)
    if status != 0:
        out.append(failure(ctx, status))
    step = Step(ctx, None, c.pointer(meth))
    step.base.addr = addr
    status = lib.addrxlat_walk(step)
    out.append(failure(ctx, status) if status else state(step))
    lib.addrxlat_ctx_decref(ctx)
    print("; ".join(out))


def memory(caps, seed, band):
    if noise.ctx is not None:
        lib.addrxlat_ctx_decref(noise.ctx)
    kept.clear()
    noise.caps, noise.seed, noise.band = int(caps), int(seed, 16), int(band, 16)
    noise.bor, noise.gaps, noise.ctx = 1, True, new_ctx()


def system():
    noise.sys = lib.addrxlat_sys_new()


def method(index, kind, target=0, *rest):
    target = int(target)
    if kind == "none":
        meth = Linear(0, 0)
    elif kind == "linear":
        meth = Linear(2, target, int(rest[0], 16))
    elif kind == "memarr":
        meth = MemArr(5, target, full_addr(rest[0]), int(rest[1]), int(rest[2]), 8)
    elif kind == "lookup":
        numbers = [int(number, 16) for pair in rest[1].split(",") for number in pair.split(":")]
        table = (c.c_uint64 * len(numbers))(*numbers)
        kept.append(table)
        meth = Lookup(4, target, int(rest[0], 16), len(numbers) // 2, c.addressof(table))
    else:
        meth = page_table(target, full_addr(rest[0]), *rest[1:])
    lib.addrxlat_sys_set_meth(noise.sys, int(index), c.byref(meth))


def set_range(index, first, endoff, meth):
    index = int(index)
    table = lib.addrxlat_sys_get_map(noise.sys, index)
    if table is None:
        table = lib.addrxlat_map_new()
        lib.addrxlat_sys_set_map(noise.sys, index, table)
    lib.addrxlat_map_set(table, int(first, 16), Range(int(endoff, 16), int(meth)))


@OP
def store(_, addr):
    noise.found = f"{addr[0].space}:{addr[0].addr:x}"
    return 0


def operate(caps, space, addr):
    control = OpCtl(noise.ctx, noise.sys, store, None, int(caps))
    status = lib.addrxlat_op(control, FullAddr(int(addr, 16), int(space)))
    print(failure(noise.ctx, status) if status else noise.found)


commands = {"walk": walk, "memory": memory, "system": system, "method": method, "set": set_range, "op": operate}
for line in sys.stdin:
    command, *words = line.split()
    commands[command](*words)
