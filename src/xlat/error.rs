//! Failures of address translation: a status and a chain of messages.
//!
//! The numbers are those of libaddrxlat's C ABI. A callback may fail with a
//! number of its own, which travels through a translation unchanged; that is
//! how a dump that is too busy to hand out a page says so.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error;

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// This library cannot do it (1).
    NotImplemented,
    /// The page tables, or a lookup table, do not map the address (2).
    NotPresent,
    /// The address, or an entry of a table, cannot be valid (3).
    Invalid,
    /// There is not enough memory (4).
    NoMemory,
    /// What is needed is not known or not stored (5). Another way may succeed.
    NoData,
    /// Nothing leads from one address space to the other (6). Another way may
    /// succeed.
    NoMethod,
    /// Any other number but 0: negative ones belong to the callbacks.
    Other(i32),
}

impl Status {
    /// All slots of a page cache are in use; nothing was changed, and a retry
    /// may succeed. It is [`error::Status::Busy`] on its way through a
    /// translation.
    pub const BUSY: Status = Status::Other(-(error::Status::Busy.code() as i32));

    /// What a callback says for an address of a space that it reads, when this
    /// one has to be looked for in another space: some dumps store some virtual
    /// addresses. The address is then translated by the system at hand, which
    /// may still be under construction.
    pub const ELSEWHERE: Status = Status::Other(i32::MIN);

    /// The number that the C ABI uses for this status.
    pub const fn code(self) -> i32 {
        match self {
            Status::NotImplemented => 1,
            Status::NotPresent => 2,
            Status::Invalid => 3,
            Status::NoMemory => 4,
            Status::NoData => 5,
            Status::NoMethod => 6,
            Status::Other(code) => code,
        }
    }

    /// The status of a number of the C ABI; none for 0, which is success.
    pub const fn from_code(code: i32) -> Option<Status> {
        Some(match code {
            0 => return None,
            1 => Status::NotImplemented,
            2 => Status::NotPresent,
            3 => Status::Invalid,
            4 => Status::NoMemory,
            5 => Status::NoData,
            6 => Status::NoMethod,
            _ => Status::Other(code),
        })
    }

    /// The general text for this status.
    pub const fn text(self) -> &'static str {
        match self {
            Status::NotImplemented => "Unimplemented feature",
            Status::NotPresent => "Page not present",
            Status::Invalid => "Invalid address",
            Status::NoMemory => "Memory allocation failure",
            Status::NoData => "Data not available",
            Status::NoMethod => "No translation method",
            Status::Other(_) => "Unknown error",
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
/// Making one without a message allocates nothing: scans of page tables meet
/// absent entries by the thousand.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    status: Status,
    /// Oldest first: prepending a message is a push.
    messages: Vec<Message>,
}

/// The result of everything that can fail in this module.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// A failure with one message.
    pub fn new(status: Status, message: impl Into<Message>) -> Self {
        Error { status, messages: Vec::from([message.into()]) }
    }

    /// A failure that carries no text of its own.
    pub const fn bare(status: Status) -> Self {
        Error { status, messages: Vec::new() }
    }

    /// [`Status::NotImplemented`] with a message.
    pub fn not_implemented(message: impl Into<Message>) -> Self {
        Self::new(Status::NotImplemented, message)
    }

    /// [`Status::NotPresent`] with a message.
    pub fn not_present(message: impl Into<Message>) -> Self {
        Self::new(Status::NotPresent, message)
    }

    /// [`Status::Invalid`] with a message.
    pub fn invalid(message: impl Into<Message>) -> Self {
        Self::new(Status::Invalid, message)
    }

    /// [`Status::NoData`] with a message.
    pub fn no_data(message: impl Into<Message>) -> Self {
        Self::new(Status::NoData, message)
    }

    /// What a callback answers for a block that it has by another address:
    /// one that is read in its space only as far as that was dumped, and has
    /// to be translated beyond that.
    pub fn elsewhere() -> Self {
        Self::bare(Status::ELSEWHERE)
    }

    /// [`Status::NoMethod`] with a message.
    pub fn no_method(message: impl Into<Message>) -> Self {
        Self::new(Status::NoMethod, message)
    }

    /// What kind of failure this is.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Puts a message in front of the chain: `outer: inner`.
    #[must_use]
    pub fn context(mut self, message: impl Into<Message>) -> Self {
        // An empty text says nothing, so it does not earn a delimiter.
        if let [only] = self.messages.as_slice()
            && only.is_empty()
        {
            self.messages.clear();
        }
        self.messages.push(message.into());
        self
    }

    /// The same chain under another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// The messages, newest (most general) first.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().rev().map(AsRef::as_ref)
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
        if self.messages.is_empty() {
            return f.write_str(self.status.text());
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
        write!(f, "{:?}({:?})", self.status, self.message())
    }
}

impl core::error::Error for Error {}

/// The border to dumps. These are no `From` conversions, so that `?` keeps one
/// meaning in code that knows only one of the two error types.
impl Error {
    /// How a failed translation looks to who reads a dump: a callback's own
    /// status comes back as what it was, missing data stays missing data, and
    /// all the rest is [`error::Status::AddrXlat`].
    pub fn into_dump(self) -> error::Error {
        use error::Status as S;
        const DUMP: [S; 9] = [
            S::System,
            S::NotImplemented,
            S::NoData,
            S::Corrupt,
            S::Invalid,
            S::NoKey,
            S::Eof,
            S::Busy,
            S::AddrXlat,
        ];
        let status = match self.status {
            Status::NoData => S::NoData,
            Status::Other(code) if code < 0 => DUMP
                .into_iter()
                .find(|status| i32::from(status.code()) == code.wrapping_neg())
                .unwrap_or(S::AddrXlat),
            _ => S::AddrXlat,
        };
        self.messages.into_iter().fold(error::Error::bare(status), error::Error::context)
    }

    /// How a failure of a dump looks to a translation: missing data lets it try
    /// another way, all the rest ends it and comes back as what it was.
    pub fn from_dump(failure: &error::Error) -> Self {
        let status = match failure.status() {
            error::Status::NoData => Status::NoData,
            status => Status::Other(-i32::from(status.code())),
        };
        let mut messages: Vec<Message> =
            failure.messages().map(|text| Message::Owned(String::from(text))).collect();
        messages.reverse();
        Error { status, messages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_number_but_zero_is_a_status_and_comes_back() {
        assert_eq!(Status::from_code(0), None);
        for code in (-20..=20).filter(|&code| code != 0) {
            assert_eq!(Status::from_code(code).map(Status::code), Some(code));
        }
        let texts: Vec<_> = (1..=7).filter_map(Status::from_code).map(Status::text).collect();
        assert_eq!(
            texts,
            [
                "Unimplemented feature",
                "Page not present",
                "Invalid address",
                "Memory allocation failure",
                "Data not available",
                "No translation method",
                "Unknown error",
            ]
        );
    }

    #[test]
    fn messages_of_a_dump_survive_the_way_there_and_back() {
        let dump = error::Error::new(error::Status::Eof, "inner").context("outer");
        let there = Error::from_dump(&dump);
        assert_eq!((there.status(), there.to_string()), (Status::Other(-7), "outer: inner".into()));
        assert_eq!(there.into_dump(), dump);
        assert_eq!(Error::from_dump(&error::Error::bare(error::Status::Busy)).status(), Status::BUSY);
    }

    #[test]
    fn only_missing_data_keeps_its_meaning_across_the_border() {
        let status = |status| Error::bare(status).into_dump().status();
        assert_eq!(status(Status::NoData), error::Status::NoData);
        for other in [Status::NotPresent, Status::NoMethod, Status::Other(7), Status::Other(i32::MIN)] {
            assert_eq!(status(other), error::Status::AddrXlat);
        }
        assert_eq!(Error::from_dump(&error::Error::no_data("x")).status(), Status::NoData);
    }
}
