//! The fixed part of the tree, as data: every key that exists from the start.
//!
//! The rows stand in the order of iteration. Nodes are created from the last
//! row to the first, because new children go to the front of their parent.

use super::hooks::{Hook, Os};
use super::tree::{ROOT, Tree};
use super::value::AttrType::{self, Address, Bitmap, Blob, Directory, Number, String};

/// Keys below `addrxlat.default` and `addrxlat.force`: options of the
/// translation set-up.
const XLAT_OPTIONS: &[(&str, AttrType)] = &[
    ("xen_xlat", Number),
    ("xen_p2m_mfn", Number),
    ("rootpgt", Directory),
    ("rootpgt.addr", Address),
    ("rootpgt.as", Number),
    ("phys_base", Address),
    ("page_shift", Number),
    ("virt_bits", Number),
    ("phys_bits", Number),
    ("version_code", Number),
    ("os_type", String),
    ("arch", String),
];

/// Keys below `linux.vmcoreinfo` and `xen.vmcoreinfo`.
const VMCOREINFO: &[(&str, AttrType)] = &[
    ("SYMBOL", Directory),
    ("SIZE", Directory),
    ("OFFSET", Directory),
    ("NUMBER", Directory),
    ("LENGTH", Directory),
    ("raw", Blob),
    ("lines", Directory),
];

const KEYS: &[(&str, AttrType, Hook)] = &[
    ("max_pfn", Number, Hook::Geometry),
    ("xen", Directory, Hook::None),
    ("xen.xlat", Number, Hook::Xlat),
    ("xen.type", Number, Hook::Xlat),
    ("xen.vmcoreinfo", Directory, Hook::None),
    ("xen.version_code", Number, Hook::XenVersionCode),
    ("xen.version", Directory, Hook::None),
    ("xen.version.extra_addr", Address, Hook::None),
    ("xen.version.extra", String, Hook::None),
    ("xen.version.minor", Number, Hook::XenVersion),
    ("xen.version.major", Number, Hook::XenVersion),
    ("xen.phys_start", Address, Hook::XlatOf(Os::Xen)),
    ("xen.p2m_mfn", Address, Hook::Xlat),
    ("linux", Directory, Hook::None),
    ("linux.phys_base", Address, Hook::XlatOf(Os::Linux)),
    ("linux.vmcoreinfo", Directory, Hook::None),
    ("linux.uts", Directory, Hook::None),
    ("linux.uts.domainname", String, Hook::None),
    ("linux.uts.machine", String, Hook::UtsMachine),
    ("linux.uts.version", String, Hook::None),
    ("linux.uts.release", String, Hook::UtsRelease),
    ("linux.uts.nodename", String, Hook::None),
    ("linux.uts.sysname", String, Hook::None),
    ("linux.task_struct", Blob, Hook::None),
    ("linux.version_code", Number, Hook::LinuxVersionCode),
    ("addrxlat", Directory, Hook::None),
    ("addrxlat.ostype", String, Hook::OsType),
    ("addrxlat.force", Directory, Hook::None),
    ("addrxlat.default", Directory, Hook::None),
    ("memory", Directory, Hook::None),
    ("memory.pagemap", Bitmap, Hook::None),
    ("file", Directory, Hook::None),
    ("file.first_pfn", Number, Hook::None),
    ("file.zero_excluded", Number, Hook::Geometry),
    ("file.pagemap", Bitmap, Hook::None),
    ("file.eraseinfo", Directory, Hook::None),
    ("file.eraseinfo.raw", Blob, Hook::None),
    ("file.mmap_policy", Number, Hook::None),
    ("file.fd", Number, Hook::FileFd),
    ("file.set", Directory, Hook::None),
    ("file.set.number", Number, Hook::FileSetNumber),
    ("file.read_cache", Directory, Hook::None),
    ("file.read_cache.misses", Number, Hook::None),
    ("file.read_cache.hits", Number, Hook::None),
    ("file.mmap_cache", Directory, Hook::None),
    ("file.mmap_cache.misses", Number, Hook::None),
    ("file.mmap_cache.hits", Number, Hook::None),
    ("file.description", String, Hook::None),
    ("file.format", String, Hook::None),
    ("file.qemu", Directory, Hook::None),
    ("file.qemu.blocks", String, Hook::None),
    ("file.qemu.above_4g", Address, Hook::None),
    ("file.qemu.below_4g", Number, Hook::None),
    ("cpu", Directory, Hook::None),
    ("cpu.number", Number, Hook::None),
    ("cache", Directory, Hook::None),
    ("cache.misses", Number, Hook::None),
    ("cache.hits", Number, Hook::None),
    ("cache.size", Number, Hook::CacheSize),
    ("arch", Directory, Hook::None),
    ("arch.page_shift", Number, Hook::PageShift),
    ("arch.page_size", Number, Hook::PageSize),
    ("arch.ptr_size", Number, Hook::None),
    ("arch.byte_order", Number, Hook::Geometry),
    ("arch.machine", Number, Hook::None),
    ("arch.name", String, Hook::ArchName),
    ("arch.pteval_size", Number, Hook::None),
];

/// The catalogue, and what a dump with a few CPUs adds to it.
const NODES_IN_ADVANCE: usize = 256;

/// Creates all fixed keys in an empty tree; none has a value.
pub(super) fn create(tree: &mut Tree) {
    tree.reserve(NODES_IN_ADVANCE);
    // Rows of one directory stand together: most find it here.
    let mut last = ("", ROOT);
    for &(key, kind, hook) in KEYS.iter().rev() {
        let (directory, name) = key.rsplit_once('.').unwrap_or(("", key));
        if directory != last.0 {
            let found = match directory {
                "" => Some(ROOT),
                path => tree.create_path(ROOT, path, Directory, Hook::None),
            };
            last = (directory, found.unwrap_or(ROOT));
        }
        let id = create_key(tree, last.1, name, kind, hook);
        match key {
            "linux.vmcoreinfo" => vmcoreinfo(tree, id, Os::Linux),
            "xen.vmcoreinfo" => vmcoreinfo(tree, id, Os::Xen),
            "addrxlat.default" | "addrxlat.force" => xlat_options(tree, id),
            _ => {}
        }
    }
}

fn create_key(tree: &mut Tree, base: u32, path: &str, kind: AttrType, hook: Hook) -> u32 {
    let created = tree.create_path(base, path, kind, hook);
    debug_assert!(created.is_some_and(|id| tree.node(id).kind == kind), "{path}");
    created.unwrap_or(base)
}

fn vmcoreinfo(tree: &mut Tree, top: u32, os: Os) {
    for &(key, kind) in VMCOREINFO.iter().rev() {
        let hook = if kind == Blob { Hook::VmcoreinfoRaw(os) } else { Hook::None };
        create_key(tree, top, key, kind, hook);
    }
}

fn xlat_options(tree: &mut Tree, top: u32) {
    for &(key, kind) in XLAT_OPTIONS.iter().rev() {
        create_key(tree, top, key, kind, Hook::Xlat);
    }
}
