//! `struct new_utsname`: six fields of 65 bytes.

/// The fields of a utsname; each is cut at 65 bytes, so that a field of 65
/// bytes or more has no NUL behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Utsname {
    pub sysname: Vec<u8>,
    pub nodename: Vec<u8>,
    pub release: Vec<u8>,
    pub version: Vec<u8>,
    pub machine: Vec<u8>,
    pub domainname: Vec<u8>,
}

impl Utsname {
    /// Size of one field in bytes.
    pub const FIELD: usize = 65;
    /// Size of the structure in bytes.
    pub const SIZE: usize = 390;

    /// A utsname as a running Linux has it.
    pub fn linux(release: &str, machine: &str) -> Self {
        Utsname {
            sysname: b"Linux".to_vec(),
            nodename: b"testkit".to_vec(),
            release: release.into(),
            version: b"#1 SMP".to_vec(),
            machine: machine.into(),
            domainname: b"(none)".to_vec(),
        }
    }

    /// All zero.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What QEMU writes: only the machine.
    pub fn qemu(machine: &str) -> Self {
        Utsname { machine: machine.into(), ..Self::default() }
    }

    /// The structure.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::SIZE);
        for field in
            [&self.sysname, &self.nodename, &self.release, &self.version, &self.machine, &self.domainname]
        {
            let end = out.len() + Self::FIELD;
            out.extend_from_slice(&field[..field.len().min(Self::FIELD)]);
            out.resize(end, 0);
        }
        out
    }
}
