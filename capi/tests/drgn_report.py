"""What drgn tells about a dump, as text: run with the library that its wheel
brings and with ours, and compared.

Usage: drgn_report.py FOLDER_OF_LIBRARIES DUMP
"""
import ctypes
import glob
import os
import sys

from drgn import Program


def attempt(what, call):
    try:
        print(what, call())
    except Exception as error:  # the text is what is compared
        print(what, type(error).__name__, error)


def symbols(vmcoreinfo):
    for line in vmcoreinfo.splitlines():
        if line.startswith("SYMBOL("):
            name, value = line[7:].split(")=")
            yield name, int(value, 16)


def threads(folder, dump):
    """Without debugging information drgn does not get as far as to look for
    the registers of a thread. So this asks the library for them, with the
    calls that drgn makes."""
    path = glob.glob(f"{folder}/libkdumpfile-*")[0]
    library = ctypes.CDLL(path)
    for name in ("kdump_new", "kdump_blob_pin"):
        getattr(library, name).restype = ctypes.c_void_p
    library.kdump_get_err.restype = ctypes.c_char_p
    library.kdump_blob_size.restype = ctypes.c_size_t
    number, blob = 2, 6

    class Attr(ctypes.Structure):
        _fields_ = [("type", ctypes.c_uint), ("value", ctypes.c_uint64)]

    def typed(key, kind, value):
        if ".so.10." not in path:
            return library.kdump_get_typed_attr(context, key, kind, ctypes.byref(value))
        attr = Attr(kind)
        status = library.kdump_get_typed_attr(context, key, ctypes.byref(attr))
        value.value = attr.value
        return status

    context = ctypes.c_void_p(library.kdump_new())
    with open(dump, "rb") as file:
        descriptor = Attr(number, file.fileno())
        status = library.kdump_set_attr(context, b"file.fd", ctypes.byref(descriptor))
        print("opened", status, library.kdump_get_err(context))
        value = ctypes.c_uint64(0)
        status = typed(b"cpu.number", number, value)
        print("CPUs", status, value.value)
        for cpu in range(value.value):
            key = b"cpu.%d.PRSTATUS" % cpu
            status = typed(key, blob, value)
            if status:
                print(key, status, library.kdump_get_err(context))
                continue
            start = ctypes.c_void_p(library.kdump_blob_pin(ctypes.c_void_p(value.value)))
            size = library.kdump_blob_size(ctypes.c_void_p(value.value))
            print(key, size, ctypes.string_at(start, size).hex())
        library.kdump_free(context)


def main():
    folder, dump = sys.argv[1:]
    threads(folder, dump)
    program = Program()
    try:
        program.set_core_dump(dump)
    except Exception as error:
        print("not opened", type(error).__name__, error)
        return
    print("platform", program.platform, program.flags)
    text = program["VMCOREINFO"].string_().decode()
    print("VMCOREINFO", repr(text))
    attempt("release", lambda: program["UTS_RELEASE"])
    attempt("page size", lambda: program["PAGE_SIZE"])
    attempt("threads", lambda: sorted(thread.tid for thread in program.threads()))
    attempt("crashed", lambda: program.crashed_thread())
    attempt("trace", lambda: program.stack_trace(0))
    for name, address in symbols(text):
        attempt(f"read {name}", lambda: program.read(address, 200).hex())
        attempt(f"long read {name}", lambda: program.read(address, 10000).hex())
        attempt(f"word {name}", lambda: hex(program.read_word(address)))
    for address in (0, 8, 0x1000, 0x10000, 0x100000, 0x1000000, 0x12345678, 1 << 40):
        attempt(f"physical {address:#x}", lambda: program.read(address, 6000, physical=True).hex())
        attempt(f"virtual {address:#x}", lambda: program.read(address, 6000).hex())
    wrong = (0xFFFFFFFFFFFFFFF0, 0xFFFFFFFFFFFFF000, 0xFFFFFFFF00000000, 0xDEAD000000000000, 0x0000800000000000)
    for address in wrong:
        attempt(f"virtual {address:#x}", lambda: program.read(address, 8).hex())


main()
