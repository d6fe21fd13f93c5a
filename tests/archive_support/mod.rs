//! What the tests of archives share.
#![allow(dead_code)]

use kdumpfile::io::{Archive, FileSet, Flattened, MmapPolicy, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Result, Status};

/// Bytes that can only be read, so that nothing is used in place.
pub struct Stored(pub Vec<u8>);

impl ReadAt for Stored {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read_at(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        ReadAt::len(&self.0)
    }
}

/// The same, of unknown length.
pub struct Endless(pub Vec<u8>);

impl ReadAt for Endless {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read_at(pos, buf)
    }
}

pub fn open_source(source: Source) -> Result<FileSet> {
    FileSet::open(vec![source], Vec::new(), Shared::new(MmapPolicy::default()))
}

pub fn open(bytes: &[u8]) -> Result<FileSet> {
    open_source(Shared::new(bytes.to_vec()))
}

pub fn refused(bytes: &[u8]) -> (Status, String) {
    let error = open(bytes).err().expect("the archive was opened");
    (error.status(), error.message())
}

/// Text that packs well, with a piece that does not now and then.
pub fn content(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state % 5 < 3 {
            bytes.extend(std::iter::repeat_n(state as u8, (state >> 20) as usize % 600));
        } else {
            bytes.extend(state.to_le_bytes());
        }
    }
    bytes.truncate(len);
    bytes
}

/// Reads here and there, backwards and to the end, from three kinds of sources.
pub fn check(archive: &[u8], kind: Archive, content: &[u8]) {
    let sources: [Source; 3] = [
        Shared::new(archive.to_vec()),
        Shared::new(Stored(archive.to_vec())),
        Shared::new(Endless(archive.to_vec())),
    ];
    for source in sources {
        let set = open_source(source).unwrap();
        assert_eq!(set.archive(0), Some(kind));
        assert_eq!(set.flattened(), Flattened::None);
        let mut buf = vec![0; 3000];
        for step in 0..40 {
            let pos = (content.len() - content.len() * step / 40).saturating_sub(2000);
            set.read(0, pos as u64, &mut buf).unwrap();
            let exist = (content.len() - pos).min(buf.len());
            assert!(buf[..exist] == content[pos..pos + exist], "at {pos}");
            assert!(buf[exist..].iter().all(|byte| *byte == 0), "behind the end from {pos}");
        }
        let whole = set.read_vec(0, 0, content.len() as u64, 0).unwrap();
        assert!(whole == content);
        set.read(0, content.len() as u64, &mut buf).unwrap();
        assert!(buf.iter().all(|byte| *byte == 0));
        assert_eq!(set.len(0), Some(content.len() as u64));
    }
}

/// Packs `content` with a program, if it is installed.
pub fn packed_by(program: &str, arguments: &[&str], content: &[u8]) -> Option<Vec<u8>> {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicU64, Ordering};
    // Tests of one program run at the same time.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let name = format!("kdumpfile-io-archive-{}-{call}-{program}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).unwrap();
    let output = Command::new(program).args(arguments).arg(&path).stderr(Stdio::null()).output();
    std::fs::remove_file(&path).unwrap();
    output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
}
