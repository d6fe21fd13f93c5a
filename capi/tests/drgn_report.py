"""What drgn tells about a dump, as text: run with the library that its wheel
brings and with ours, and compared. VMCOREINFO comes on standard input."""
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


def main():
    program = Program()
    program.set_core_dump(sys.argv[1])
    print("platform", program.platform)
    attempt("threads", lambda: sorted(thread.tid for thread in program.threads()))
    attempt("crashed", lambda: program.crashed_thread())
    text = sys.stdin.read()
    for name, address in symbols(text):
        attempt(f"read {name}", lambda: program.read(address, 200).hex())
        attempt(f"long read {name}", lambda: program.read(address, 10000).hex())
        attempt(f"word {name}", lambda: hex(program.read_word(address)))
    for address in (0, 8, 0x1000, 0x10000, 0x100000, 0x1000000, 0x12345678, 1 << 40):
        attempt(f"physical {address:#x}", lambda: program.read(address, 6000, physical=True).hex())
        attempt(f"virtual {address:#x}", lambda: program.read(address, 6000).hex())
    for address in (0xFFFFFFFFFFFFFFF0, 0xDEAD000000000000):
        attempt(f"virtual {address:#x}", lambda: program.read(address, 8).hex())


main()
