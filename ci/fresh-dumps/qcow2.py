"""The machine state in a qcow2 file, where `savevm` puts it: what a test of dumps needs, and no more."""
import struct

HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
SNAPSHOT = struct.Struct(">QIHHIIQII")
L1_OFFSET, CLUSTER = 0x00FFFFFFFFFFFE00, 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62


def table(file, position, entries):
    file.seek(position)
    return struct.unpack(f">{entries}Q", file.read(entries * 8))


def save_vmstate(source, target):
    """Writes the machine state of the first snapshot, a migration stream, as a file of its own.

    It stands in the snapshot's address space behind the disk, from the first L2 table that the disk does
    not need.
    """
    with open(source, "rb") as file:
        magic, _, _, _, cluster_bits, disk_size, _, _, _, _, _, snapshots, snapshots_at = HEADER.unpack(
            file.read(HEADER.size)
        )
        if magic != b"QFI\xfb" or not snapshots:
            raise SystemExit(f"{source}: no qcow2 file with a snapshot")
        file.seek(snapshots_at)
        l1_at, l1_size, _, _, _, _, _, small_size, extra = SNAPSHOT.unpack(file.read(SNAPSHOT.size))
        left = struct.unpack(">Q", file.read(8))[0] if extra >= 8 else small_size
        cluster = 1 << cluster_bits
        entries = cluster // 8
        first = -(-disk_size // (entries * cluster))
        with open(target, "wb") as out:
            for l2_at in table(file, l1_at, l1_size)[first:]:
                l2_at &= L1_OFFSET
                for entry in table(file, l2_at, entries) if l2_at else [0] * entries:
                    if entry & COMPRESSED:
                        raise SystemExit(f"{source}: compressed machine state")
                    size = min(left, cluster)
                    file.seek(entry & CLUSTER)
                    out.write(file.read(size) if entry & CLUSTER else bytes(size))
                    left -= size
                    if not left:
                        return
    raise SystemExit(f"{source}: the machine state ends early")
