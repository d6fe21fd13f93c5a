//! The `utsname` of a Linux kernel, as its memory and dump headers hold it.
//!
//! Six texts of 65 bytes each (`struct new_utsname`, `include/linux/utsname.h`):
//! `sysname`, `nodename`, `release`, `version`, `machine`, `domainname`.

use alloc::format;
use alloc::string::String;

use crate::attr::Facts;
use crate::error::{Result, ResultExt};

/// Bytes of one field, the terminating NUL included (`__NEW_UTS_LEN + 1`).
pub const FIELD_SIZE: usize = 65;

/// Bytes of the whole structure.
pub const SIZE: usize = FIELDS.len() * FIELD_SIZE;

/// Keys below `linux.uts`, in the order of the structure, and whether an empty
/// text is worth setting.
const FIELDS: [(&str, bool); 6] = [
    ("sysname", false),
    ("nodename", true),
    ("release", false),
    ("version", false),
    ("machine", false),
    ("domainname", true),
];

/// Index of each field that the sanity check looks at.
const SYSNAME: usize = 0;
const RELEASE: usize = 2;
const MACHINE: usize = 4;

/// Text of field `index` (0 to 5): at most 64 bytes, up to the first NUL.
/// What `utsname` is too short for is empty.
pub fn field(utsname: &[u8], index: usize) -> &[u8] {
    let start = index.saturating_mul(FIELD_SIZE).min(utsname.len());
    let rest = &utsname[start..];
    let text = &rest[..rest.len().min(FIELD_SIZE - 1)];
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end]
}

/// Whether this looks like the `utsname` of a Linux kernel. The domain name is
/// not looked at.
pub fn looks_sane(utsname: &[u8]) -> bool {
    let terminated = |index: usize| utsname.get(index * FIELD_SIZE + FIELD_SIZE - 1) == Some(&0);
    (SYSNAME..=MACHINE).all(terminated)
        && field(utsname, SYSNAME) == b"Linux"
        && (RELEASE..=MACHINE).all(|index| !field(utsname, index).is_empty())
}

/// Sets `linux.uts.*`, whether the texts look sane or not. An empty text is
/// set for `nodename` and `domainname` only.
///
/// # Errors
/// `Cannot set attribute <key>` in front of what follows from the release
/// (`linux.version_code`) or from the machine (`arch.name`).
pub fn store(facts: &mut Facts<'_>, utsname: &[u8]) -> Result<()> {
    for (index, (key, may_be_empty)) in FIELDS.into_iter().enumerate() {
        let text = field(utsname, index);
        if may_be_empty || !text.is_empty() {
            let path = format!("linux.uts.{key}");
            facts
                .set_string(&path, &String::from_utf8_lossy(text))
                .context(|| format!("Cannot set attribute {path}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Attributes, Effects};
    use alloc::vec::Vec;

    fn utsname(texts: [&str; 6]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in texts {
            let start = bytes.len();
            bytes.extend(text.as_bytes());
            bytes.resize(start + FIELD_SIZE, 0);
        }
        bytes
    }

    #[test]
    fn sanity_needs_linux_and_what_every_kernel_has() {
        let sane = utsname(["Linux", "", "6.1.0", "#1 SMP", "x86_64", ""]);
        assert_eq!(sane.len(), SIZE);
        assert!(looks_sane(&sane));
        assert!(!looks_sane(&utsname(["Linus", "", "6.1.0", "#1 SMP", "x86_64", ""])));
        assert!(!looks_sane(&utsname(["Linux", "", "", "#1 SMP", "x86_64", ""])));
        assert!(!looks_sane(&utsname(["Linux", "", "6.1.0", "", "x86_64", ""])));
        assert!(!looks_sane(&utsname(["Linux", "", "6.1.0", "#1 SMP", "", ""])));
        assert!(!looks_sane(&[]));
        for index in 0..6 {
            let mut open_ended = sane.clone();
            open_ended[index * FIELD_SIZE + 64] = b'x';
            assert_eq!(looks_sane(&open_ended), index == 5, "{index}");
        }
    }

    #[test]
    fn fields_end_at_64_bytes_and_at_the_end_of_the_bytes() {
        let long = [b'a'; SIZE];
        assert_eq!(field(&long, 5).len(), 64);
        assert_eq!(field(&long[..70], 1).len(), 5);
        assert_eq!(field(&long, 6), b"");
        assert_eq!(field(&long, usize::MAX), b"");
    }

    #[test]
    fn stored_texts_bring_the_architecture_and_empty_ones_are_mostly_left_out() {
        let attributes = Attributes::new();
        let mut effects = Effects::default();
        let mut facts = Facts::new(&attributes, &mut effects);
        store(&mut facts, &utsname(["", "", "", "", "i686", ""])).unwrap();
        assert_eq!(facts.string("arch.name").as_deref(), Some("ia32"));
        assert_eq!(facts.string("linux.uts.nodename").as_deref(), Some(""));
        assert_eq!(facts.string("linux.uts.domainname").as_deref(), Some(""));
        for key in ["sysname", "release", "version"] {
            assert!(!facts.is_set(&format!("linux.uts.{key}")), "{key}");
        }
    }
}
