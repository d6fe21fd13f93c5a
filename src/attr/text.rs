//! Text of an attribute.

use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use crate::sync::Shared;

/// Text that is shared by all who have it, and used like a `&str`. A NUL stands
/// behind it in memory, so that C can read it where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Shared<str>);

impl Text {
    /// The bytes of the text and a NUL. They stay where they are as long as any
    /// of those who share the text has it. (There may be other NULs among them:
    /// a value is what the user says it is.)
    pub fn as_bytes_with_nul(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get(..self.0.len().saturating_sub(1)).unwrap_or_default()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = String::with_capacity(text.len() + 1);
        bytes.push_str(text);
        bytes.push('\0');
        Text(bytes.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use alloc::format;

    #[test]
    fn nul_stands_behind_the_text_and_is_no_part_of_it() {
        for text in ["", "linux", "gr\u{fc}n", "a\0b"] {
            let kept = Text::from(text);
            assert_eq!((&*kept, kept.len()), (text, text.len()));
            assert_eq!(kept.as_bytes_with_nul(), [text.as_bytes(), &[0]].concat());
            assert_eq!((&*format!("{kept}"), format!("{kept:?}")), (text, format!("{text:?}")));
            let shared = kept.clone();
            assert_eq!(shared.as_bytes_with_nul().as_ptr(), kept.as_bytes_with_nul().as_ptr());
        }
    }
}
