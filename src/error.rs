//! Errors: a status and a chain of messages, newest first.
//!
//! Each layer that knows more puts its own message in front of what it got
//! from below, so that the text reads from the general to the particular:
//! `vmcore: Cannot read ELF notes at 312: Input/output error`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What kind of failure an [`Error`] is; the numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Status {
    /// The operating system, the storage below or memory allocation failed.
    System = 1,
    /// The file is understood, but this part of it is not supported.
    NotImplemented = 2,
    /// The data is not stored in the dump.
    NoData = 3,
    /// What the file says cannot be true.
    Corrupt = 4,
    /// The caller passed a value that is not allowed here.
    Invalid = 5,
    /// There is no attribute of this name.
    NoKey = 6,
    /// The file ends too early.
    Eof = 7,
    /// All slots are in use; nothing was changed, a retry may succeed.
    Busy = 8,
    /// An address could not be translated.
    AddrXlat = 9,
}

impl Status {
    /// The number that the C ABI uses for this status (1 to 9; 0 is success).
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The general text for this status.
    pub const fn text(self) -> &'static str {
        match self {
            Status::System => "OS error",
            Status::NotImplemented => "Unimplemented feature",
            Status::NoData => "Data is not stored in the dump file",
            Status::Corrupt => "Corrupted file data",
            Status::Invalid => "Invalid value",
            Status::NoKey => "No such attribute key",
            Status::Eof => "Unexpected EOF",
            Status::Busy => "Too many pending requests",
            Status::AddrXlat => "Address translation error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// One message of an error chain.
pub type Message = Cow<'static, str>;

/// A failure: its [`Status`] and what each layer said about it.
///
/// One pointer wide, so that a `Result<()>` costs nothing on the good path.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    status: Status,
    /// Oldest first: prepending a message is a push.
    messages: Vec<Message>,
}

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// An error with one message.
    pub fn new(status: Status, message: impl Into<Message>) -> Self {
        Error(Box::new(Inner { status, messages: Vec::from([message.into()]) }))
    }

    /// An error that carries no text of its own.
    pub fn bare(status: Status) -> Self {
        Error(Box::new(Inner { status, messages: Vec::new() }))
    }

    /// [`Status::System`] with a message.
    pub fn system(message: impl Into<Message>) -> Self {
        Self::new(Status::System, message)
    }

    /// [`Status::NotImplemented`] with a message.
    pub fn not_implemented(message: impl Into<Message>) -> Self {
        Self::new(Status::NotImplemented, message)
    }

    /// [`Status::NoData`] with a message.
    pub fn no_data(message: impl Into<Message>) -> Self {
        Self::new(Status::NoData, message)
    }

    /// [`Status::Corrupt`] with a message.
    pub fn corrupt(message: impl Into<Message>) -> Self {
        Self::new(Status::Corrupt, message)
    }

    /// [`Status::Invalid`] with a message.
    pub fn invalid(message: impl Into<Message>) -> Self {
        Self::new(Status::Invalid, message)
    }

    /// What kind of failure this is.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Puts a message in front of the chain: `outer: inner`.
    #[must_use]
    pub fn context(mut self, message: impl Into<Message>) -> Self {
        // An empty text says nothing, so it does not earn a delimiter.
        if self.0.messages.len() == 1 && self.0.messages[0].is_empty() {
            self.0.messages.clear();
        }
        self.0.messages.push(message.into());
        self
    }

    /// The same chain under another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.0.status = status;
        self
    }

    /// The messages, newest (most general) first.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.0.messages.iter().rev().map(|m| m.as_ref())
    }

    /// The messages joined by `": "`; empty when no layer said anything.
    pub fn message(&self) -> String {
        let mut text = String::new();
        for (i, message) in self.messages().enumerate() {
            if i > 0 {
                text.push_str(": ");
            }
            text.push_str(message);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.messages.is_empty() {
            return f.write_str(self.0.status.text());
        }
        for (i, message) in self.messages().enumerate() {
            if i > 0 {
                f.write_str(": ")?;
            }
            f.write_str(message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.0.status, self.message())
    }
}

impl core::error::Error for Error {}

/// Adds a message to the error of a result.
pub trait ResultExt<T> {
    /// Puts `message()` in front of the error's chain; it is called on failure only.
    fn context<M: Into<Message>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context<M: Into<Message>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| error.context(message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn newest_message_stands_first() {
        let error = Error::system("Bad file descriptor").context("Cannot read file #0");
        assert_eq!(error.to_string(), "Cannot read file #0: Bad file descriptor");
        assert_eq!(error.status(), Status::System);
    }

    #[test]
    fn empty_text_earns_no_delimiter_but_an_empty_prefix_does() {
        assert_eq!(Error::no_data("").context("outer").message(), "outer");
        assert_eq!(Error::no_data("old").context("").message(), ": old");
        assert_eq!(Error::bare(Status::Busy).message(), "");
        assert_eq!(Error::bare(Status::Busy).to_string(), "Too many pending requests");
    }
}
