"""Walk page tables of pseudo-random entries with Debian's libaddrxlat.

Each line of standard input: FORMAT FIELDS MASK SEED AND OR BIG ADDR (hexadecimal but for the first two).
Each line of standard output: the states of all steps, then the result of a walk.

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


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


class Noise:
    """The memory that all entries are read from."""


noise = Noise()
kept = []


@GET_PAGE
def get_page(_, buffer):
    addr = buffer[0].addr.addr
    value = mix(noise.seed ^ addr) & noise.band | noise.bor
    data = (value & ((1 << (8 * noise.size)) - 1)).to_bytes(noise.size, "big" if noise.big else "little")
    data = c.create_string_buffer(data, noise.size)
    kept.append(data)
    buffer[0].ptr, buffer[0].size = c.addressof(data), noise.size
    buffer[0].byte_order = 0 if noise.big else 1
    return 0


@READ_CAPS
def read_caps(_):
    return 1 << MACHPHYSADDR | 1 << KVADDR


def state(step):
    idx = ",".join(f"{idx:x}" for idx in step.idx[: step.remain])
    return f"{step.remain} {step.elemsz} {step.base.space}:{step.base.addr:x} {idx}"


def failure(ctx, status):
    return f"{status} {lib.addrxlat_ctx_get_err(ctx).decode()}"


for line in sys.stdin:
    name, fields, mask, seed, band, bor, big, addr = line.split()
    addr = int(addr, 16)
    fields = [int(bits) for bits in fields.split(",")]
    meth = Method(KIND_PGT, MACHPHYSADDR, FullAddr(0x1000, MACHPHYSADDR), int(mask, 16))
    meth.format = lib.addrxlat_pte_format(name.encode())
    meth.nfields = len(fields)
    meth.fields[: len(fields)] = fields
    noise.size = 1 << lib.addrxlat_pteval_shift(meth.format)
    noise.seed, noise.band, noise.bor, noise.big = int(seed, 16), int(band, 16), int(bor, 16), int(big)
    kept.clear()
    ctx = lib.addrxlat_ctx_new()
    callbacks = lib.addrxlat_ctx_add_cb(ctx)
    callbacks[0].get_page, callbacks[0].read_caps = get_page, read_caps
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
