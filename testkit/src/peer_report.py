# Asks the peer library about a dump: peer_report.py NUMBER-OF-FILES FILE... [ATTRIBUTE=VALUE]...
# Prints JSON in the layout of the ground truth files.
import ctypes
import hashlib
import json
import os
import sys
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_ubyte, c_void_p

DIRECTORY, NUMBER, ADDRESS, STRING, BITMAP, BLOB = range(1, 7)
MACHPHYSADDR = 1
# Bitmaps may have bits far above any page of a dump made by a test.
LAST_PFN = (1 << 20) - 1

lib = ctypes.CDLL("libkdumpfile.so.10")


class Value(ctypes.Union):
    _fields_ = [("number", c_uint64), ("string", c_char_p), ("pointer", c_void_p)]


class Attr(ctypes.Structure):
    _fields_ = [("type", c_int), ("val", Value)]


class Iter(ctypes.Structure):
    _fields_ = [("key", c_char_p), ("pos", c_void_p)]


def function(name, result, *arguments):
    found = getattr(lib, name)
    found.restype = result
    found.argtypes = arguments
    return found


new = function("kdump_new", c_void_p)
get_err = function("kdump_get_err", c_char_p, c_void_p)
set_attr = function("kdump_set_attr", c_int, c_void_p, c_char_p, ctypes.POINTER(Attr))
open_fdset = function("kdump_open_fdset", c_int, c_void_p, c_uint, ctypes.POINTER(c_int))
iter_start = function("kdump_attr_iter_start", c_int, c_void_p, c_char_p, ctypes.POINTER(Iter))
iter_next = function("kdump_attr_iter_next", c_int, c_void_p, ctypes.POINTER(Iter))
get_attr = function("kdump_get_attr", c_int, c_void_p, c_char_p, ctypes.POINTER(Attr))
find_set = function("kdump_bmp_find_set", c_int, c_void_p, ctypes.POINTER(c_uint64))
find_clear = function("kdump_bmp_find_clear", c_int, c_void_p, ctypes.POINTER(c_uint64))
blob_pin = function("kdump_blob_pin", c_void_p, c_void_p)
blob_size = function("kdump_blob_size", c_size_t, c_void_p)
blob_unpin = function("kdump_blob_unpin", ctypes.c_ulong, c_void_p)
read = function(
    "kdump_read", c_int, c_void_p, c_int, c_uint64, c_void_p, ctypes.POINTER(c_size_t)
)


def message(ctx):
    return (get_err(ctx) or b"").decode(errors="replace")


def ranges(bitmap):
    found = []
    index = c_uint64(0)
    while find_set(bitmap, byref(index)) == 0:
        first = index.value
        if find_clear(bitmap, byref(index)) != 0 or index.value <= first:
            break
        found.append([first, index.value - 1])
    return found


def describe(attr):
    if attr.type == NUMBER:
        return {"type": "number", "value": attr.val.number}
    if attr.type == ADDRESS:
        return {"type": "address", "value": "%x" % attr.val.number}
    if attr.type == STRING:
        return {"type": "string", "value": (attr.val.string or b"").decode(errors="replace")}
    if attr.type == BITMAP:
        return {"type": "bitmap", "value": ranges(attr.val.pointer)}
    if attr.type == BLOB:
        size = blob_size(attr.val.pointer)
        data = ctypes.string_at(blob_pin(attr.val.pointer), size) if size else b""
        if size:
            blob_unpin(attr.val.pointer)
        digest = hashlib.sha256(data).hexdigest()
        return {"type": "blob", "size": size, "sha256": digest, "hex": data[:8192].hex()}
    return {"type": "directory"}


def walk(ctx, prefix, out):
    position = Iter()
    if iter_start(ctx, prefix.encode() or None, byref(position)) != 0:
        return
    while position.key:
        path = prefix + ("." if prefix else "") + position.key.decode(errors="replace")
        attr = Attr()
        if get_attr(ctx, path.encode(), byref(attr)) == 0:
            out[path] = describe(attr)
            if attr.type == DIRECTORY:
                walk(ctx, path, out)
        if iter_next(ctx, byref(position)) != 0:
            return


def read_pages(ctx, attributes):
    page_size = attributes.get("arch.page_size", {}).get("value", 0)
    # A format without a pagemap has every page, or nobody knows which.
    last = attributes.get("max_pfn", {}).get("value", 0) - 1
    pagemap = attributes.get("file.pagemap", {}).get("value", [[0, last]])
    pages = {
        "page_size": page_size,
        "read_ok": 0,
        "read_failed": 0,
        "zero_pages": 0,
        "failures": [],
    }
    total = hashlib.sha256()
    if not page_size:
        return None
    buffer = (c_ubyte * page_size)()
    for first, last in pagemap:
        for pfn in range(first, min(last, LAST_PFN) + 1):
            length = c_size_t(page_size)
            status = read(ctx, MACHPHYSADDR, pfn * page_size, buffer, byref(length))
            if status != 0:
                pages["read_failed"] += 1
                if len(pages["failures"]) < 50:
                    pages["failures"].append(
                        {
                            "pfn": pfn,
                            "status": status,
                            "bytes_read": length.value,
                            "error": message(ctx),
                        }
                    )
                continue
            data = bytes(buffer)
            pages["read_ok"] += 1
            pages["zero_pages"] += not any(data)
            total.update(data)
    pages["sha256"] = total.hexdigest()
    return pages


def main():
    count = int(sys.argv[1])
    files = sys.argv[2 : 2 + count]
    ctx = new()
    result = {"open_status": 0, "open_error": None, "attributes": {}, "pages": None}
    for assignment in sys.argv[2 + count :]:
        path, _, text = assignment.partition("=")
        attr = Attr()
        if text.isdigit():
            attr.type, attr.val.number = NUMBER, int(text)
        else:
            attr.type, attr.val.string = STRING, text.encode()
        if set_attr(ctx, path.encode(), byref(attr)) != 0:
            sys.exit("cannot set %s: %s" % (assignment, message(ctx)))
    descriptors = (c_int * count)(*[os.open(file, os.O_RDONLY) for file in files])
    result["open_status"] = open_fdset(ctx, count, descriptors)
    if result["open_status"] == 0:
        walk(ctx, "", result["attributes"])
        result["pages"] = read_pages(ctx, result["attributes"])
    else:
        result["open_error"] = message(ctx)
    print(json.dumps(result))


main()
