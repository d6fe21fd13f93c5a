#!/usr/bin/env python3
"""Ask Debian's libkdumpfile what it sees in a dump.

    peer.py [--arch NAME] [--symbols FILE] FILE...     (several files: one split set)

Prints one JSON object: the status of the open, every attribute with its type, the pages that
`file.pagemap` names (counts and SHA-256 over their content in PFN order, as a whole and for each
group of 1024 PFNs), and after `addrxlat.ostype` was set to `linux` what changed in the attributes
and how each address of the symbol file (a JSON object: name -> hexadecimal address) is translated.

The C library is called directly, because its old Python module neither tells an address from a number
nor opens a split set. PEER_LIBDIR names a folder with another build of libkdumpfile.so.10 and
libaddrxlat.so.3; by default the system's are used.

Debian 12's 0.5.1 against the ground truth which 0.5.4 (plus 31 commits) gave for the same files, over
x86_64, arm64, i386, s390x and ppc64 dumps: attributes with their types, pages, translations and
messages agree, but

* it does not know `file.eraseinfo.raw` (see `attributes_unknown_to_library` in the output);
* it refuses flattened files, "Unknown file format": ask about the product of `makedumpfile -R` instead,
  where only `file.description` differs;
* on an ELF file whose segments overlap, as in /proc/vmcore of x86_64, both pagemaps lose pages, although
  each page can be read: pass the page ranges of the program headers (`elf.py`);
* on i386 with PAE nothing is translated ("Infinite recursion loop").
"""
import argparse
import ctypes as c
import hashlib
import json
import os
import sys

KPHYS, MACHPHYS, KVADDR = 0, 1, 2
NIL, DIRECTORY, NUMBER, ADDRESS, STRING, BITMAP, BLOB = range(7)
TYPE_NAMES = ["nil", "directory", "number", "address", "string", "bitmap", "blob"]
CHUNK_PAGES = 1024
BLOB_HEX_LIMIT = 8192
MAX_BITMAP_BITS = 1 << 26
# They describe the reader's process, not the dump.
VOLATILE = ("fd", "hits", "misses")
# Known to 0.5.4, not to 0.5.1.
NEWER_ATTRIBUTES = ("file.eraseinfo", "file.eraseinfo.raw")


class Value(c.Union):
    _fields_ = [("number", c.c_uint64), ("string", c.c_char_p), ("ptr", c.c_void_p)]


class Attr(c.Structure):
    _fields_ = [("type", c.c_int), ("val", Value)]


class Ref(c.Structure):
    _fields_ = [("ptr", c.c_void_p)]


class Iter(c.Structure):
    _fields_ = [("key", c.c_char_p), ("pos", Ref)]


class FullAddr(c.Structure):
    _fields_ = [("addr", c.c_uint64), ("space", c.c_int)]


def load(name):
    folder = os.environ.get("PEER_LIBDIR")
    return c.CDLL(os.path.join(folder, name) if folder else name, mode=c.RTLD_GLOBAL)


def declare(lib, result, names):
    for name in names.split():
        getattr(lib, name).restype = result


class Peer:
    """One context of the C library with one opened set of files."""

    def __init__(self, files, arch=None):
        self.ax = load("libaddrxlat.so.3")
        self.kd = load("libkdumpfile.so.10")
        declare(self.kd, c.c_void_p, "kdump_new kdump_blob_pin")
        declare(self.kd, c.c_char_p, "kdump_get_err kdump_strerror")
        declare(self.kd, c.c_size_t, "kdump_blob_size")
        declare(self.ax, c.c_char_p, "addrxlat_ctx_get_err addrxlat_strerror")
        self.ctx = c.c_void_p(self.kd.kdump_new())
        if arch:
            self.set_string("arch.name", arch)
        self.fds = [os.open(name, os.O_RDONLY) for name in files]
        self.status = self.kd.kdump_open_fdset(self.ctx, len(files), (c.c_int * len(files))(*self.fds))
        self.error = self.last_error() if self.status else None

    def last_error(self):
        text = self.kd.kdump_get_err(self.ctx)
        return text.decode(errors="replace") if text else None

    def set_string(self, key, text):
        attr = Attr(STRING)
        attr.val.string = text.encode()
        status = self.kd.kdump_set_attr(self.ctx, key.encode(), c.byref(attr))
        return {"value": text, "status": status, "error": self.last_error() if status else None}

    def get(self, key):
        attr = Attr()
        if self.kd.kdump_get_attr(self.ctx, key.encode(), c.byref(attr)):
            return None
        return attr

    # -- attributes ---------------------------------------------------------------------------

    def attributes(self):
        found = {}
        root = Ref()
        if self.kd.kdump_attr_ref(self.ctx, None, c.byref(root)) == 0:
            self._walk(root, "", found)
        return found

    def _walk(self, directory, prefix, found):
        cursor = Iter()
        if self.kd.kdump_attr_ref_iter_start(self.ctx, c.byref(directory), c.byref(cursor)):
            return
        while cursor.key is not None:
            key = cursor.key.decode(errors="replace")
            if key not in VOLATILE:
                attr = Attr()
                status = self.kd.kdump_attr_ref_get(self.ctx, c.byref(cursor.pos), c.byref(attr))
                path = prefix + key
                if status:
                    found[path] = {"type": "error", "status": status, "error": self.last_error()}
                else:
                    found[path] = self._describe(attr)
                    if attr.type == DIRECTORY:
                        self._walk(Ref(cursor.pos.ptr), path + ".", found)
            if self.kd.kdump_attr_iter_next(self.ctx, c.byref(cursor)):
                return

    def _describe(self, attr):
        out = {"type": TYPE_NAMES[attr.type]}
        if attr.type == NUMBER:
            out["value"] = attr.val.number
        elif attr.type == ADDRESS:
            out["value"] = format(attr.val.number, "x")
        elif attr.type == STRING:
            out["value"] = attr.val.string.decode(errors="replace")
        elif attr.type == BITMAP:
            out["value"] = self.ranges(attr.val.ptr)
        elif attr.type == BLOB:
            data = self.blob(attr.val.ptr)
            out.update(size=len(data), sha256=hashlib.sha256(data).hexdigest(), hex=data[:BLOB_HEX_LIMIT].hex())
        return out

    def blob(self, ptr):
        ptr = c.c_void_p(ptr)
        data = c.string_at(self.kd.kdump_blob_pin(ptr), self.kd.kdump_blob_size(ptr))
        self.kd.kdump_blob_unpin(ptr)
        return data

    def ranges(self, ptr):
        """The set bits of a bitmap as inclusive ranges.

        All bits are fetched in one go: in 0.5.1 kdump_bmp_find_clear stands still on ELF files whose
        segments overlap, and kdump_bmp_get_bits writes out of bounds if a segment starts behind the
        last bit that was asked for.
        """
        limit = self.get("max_pfn")
        if limit is None or limit.val.number == 0:
            return []
        limit = limit.val.number
        if limit > MAX_BITMAP_BITS:
            raise SystemExit(f"max_pfn is {limit}: too many bits for this script")
        raw = c.create_string_buffer((limit + 7) // 8)
        if self.kd.kdump_bmp_get_bits(c.c_void_p(ptr), c.c_uint64(0), c.c_uint64(limit - 1), raw):
            raise SystemExit("cannot get the bits of a bitmap")
        out, start = [], None
        bits = "".join(format(byte, "08b")[::-1] for byte in raw.raw)[:limit] + "0"
        while (first := bits.find("1", start or 0)) >= 0:
            start = bits.index("0", first)
            out.append([first, start - 1])
        return out

    # -- pages --------------------------------------------------------------------------------

    def read(self, space, addr, size):
        """Returns (status, bytes that were read)."""
        buf, length = c.create_string_buffer(size), c.c_size_t(size)
        status = self.kd.kdump_read(self.ctx, space, c.c_uint64(addr), buf, c.byref(length))
        return status, buf.raw[: length.value]

    def pages(self, ranges=None):
        """Reads all pages of the inclusive PFN ranges; by default those of file.pagemap."""
        pagemap, size = self.get("file.pagemap"), self.get("arch.page_size")
        if pagemap is None or size is None:
            return None
        size = size.val.number
        zero = bytes(size)
        total, chunks, failures = hashlib.sha256(), {}, []
        counts = {"read_ok": 0, "zero_pages": 0, "read_failed": 0}
        for first, last in self.ranges(pagemap.val.ptr) if ranges is None else ranges:
            for pfn in range(first, last + 1):
                status, data = self.read(MACHPHYS, pfn * size, size)
                if status:
                    counts["read_failed"] += 1
                    if len(failures) < 50:
                        failures.append(
                            {"pfn": pfn, "status": status, "bytes": len(data), "error": self.last_error()}
                        )
                    continue
                counts["read_ok"] += 1
                counts["zero_pages"] += data == zero
                total.update(data)
                chunks.setdefault(str(pfn // CHUNK_PAGES), hashlib.sha256()).update(data)
        return {
            "space": "MACHPHYSADDR",
            "page_size": size,
            **counts,
            "sha256": total.hexdigest(),
            "failures": failures,
            "chunk_pages": CHUNK_PAGES,
            "chunk_sha256": {key: value.hexdigest() for key, value in chunks.items()},
        }

    # -- addresses ----------------------------------------------------------------------------

    def translate(self, symbols):
        axctx, axsys = c.c_void_p(), c.c_void_p()
        status = self.kd.kdump_get_addrxlat(self.ctx, c.byref(axctx), c.byref(axsys))
        summary = {"status": status, "error": self.last_error() if status else None}
        if status:
            return summary, {}
        out = {}
        for name, text in symbols.items():
            kvaddr = int(text, 16)
            one = out[name] = {"kvaddr": text}
            for space, label in ((KPHYS, "kphys"), (MACHPHYS, "machphys")):
                addr = FullAddr(kvaddr, KVADDR)
                status = self.ax.addrxlat_fulladdr_conv(c.byref(addr), space, axctx, axsys)
                if status:
                    one[label + "_status"] = status
                    one[label + "_error"] = (self.ax.addrxlat_ctx_get_err(axctx) or b"").decode(errors="replace")
                else:
                    one[label] = format(addr.addr, "x")
            status, data = self.read(KVADDR, kvaddr, 64)
            if status:
                one.update(read_status=status, read_len=len(data), read_error=self.last_error())
            else:
                one["bytes64"] = data.hex()
        return summary, out

    def string_at(self, kvaddr):
        text = c.c_char_p()
        status = self.kd.kdump_read_string(self.ctx, KVADDR, c.c_uint64(kvaddr), c.byref(text))
        return {"status": status, "error": self.last_error()} if status else text.value.decode(errors="replace")


def unknown_attributes():
    """The attributes among NEWER_ATTRIBUTES which this build of the library has never heard of."""
    peer = Peer([])
    return [key for key in NEWER_ATTRIBUTES if peer.kd.kdump_get_attr(peer.ctx, key.encode(), c.byref(Attr())) == 6]


def reference(files, arch=None, symbols=None, with_pages=True, page_ranges=None):
    """Everything that the peer says about one set of files, as one JSON-able dictionary."""
    symbols = symbols or {}
    peer = Peer(files, arch)
    out = {
        "files": [os.path.basename(name) for name in files],
        "open_status": peer.status,
        "open_error": peer.error,
    }
    if arch:
        out["set_before_open"] = {"arch.name": arch}
    if peer.status:
        return out
    before = out["attributes"] = peer.attributes()
    if with_pages:
        out["pages"] = peer.pages(page_ranges)
    out["set_ostype"] = peer.set_string("addrxlat.ostype", "linux")
    out["get_addrxlat"], out["xlat"] = peer.translate(symbols)
    if "linux_banner" in symbols:
        out["linux_banner"] = peer.string_at(int(symbols["linux_banner"], 16))
    raw = peer.get("linux.vmcoreinfo.raw")
    out["vmcoreinfo_raw"] = peer.blob(raw.val.ptr).decode(errors="replace") if raw is not None else None
    if raw is None:
        out["vmcoreinfo_raw_error"] = "linux.vmcoreinfo.raw is not set"
    after = peer.attributes()
    out["attributes_changed_by_ostype"] = {k: v for k, v in after.items() if before.get(k) != v}
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", help="value of arch.name, set before the open")
    parser.add_argument("--symbols", help="JSON file: name -> hexadecimal kernel virtual address")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    symbols = {}
    if args.symbols:
        with open(args.symbols, encoding="utf-8") as file:
            symbols = json.load(file)
    out = reference(args.files, args.arch, symbols)
    out["attributes_unknown_to_library"] = unknown_attributes()
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
