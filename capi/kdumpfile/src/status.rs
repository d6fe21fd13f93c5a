//! Status codes.

use core::ffi::{c_char, c_uint};

use kdumpfile::{Error, Result, Status};

/// `kdump_status`.
pub type KStatus = c_uint;

/// `KDUMP_OK`.
pub const OK: KStatus = 0;
/// `KDUMP_ERR_SYSTEM`.
pub const SYSTEM: KStatus = 1;
/// `KDUMP_ERR_INVALID`.
pub const INVALID: KStatus = 5;

/// The number of a status.
pub(crate) fn number(status: Status) -> KStatus {
    status.code().into()
}

/// What a function that failed says and returns: a pointer, so that what
/// succeeds has little to carry.
pub(crate) struct Failure(Box<(KStatus, String)>);

impl Failure {
    /// A status and the text to it.
    #[cold]
    pub fn new(status: KStatus, text: impl Into<String>) -> Self {
        Failure(Box::new((status, text.into())))
    }

    pub fn status(&self) -> KStatus {
        self.0.0
    }

    pub fn text(&self) -> &str {
        &self.0.1
    }

    /// The same text under another status.
    pub fn with_status(mut self, status: Status) -> Self {
        self.0.0 = number(status);
        self
    }
}

/// The status of a number; numbers without a meaning are failures, too.
pub(crate) fn from_number(status: KStatus) -> Status {
    const ALL: [Status; 9] = [
        Status::System,
        Status::NotImplemented,
        Status::NoData,
        Status::Corrupt,
        Status::Invalid,
        Status::NoKey,
        Status::Eof,
        Status::Busy,
        Status::AddrXlat,
    ];
    ALL.into_iter().find(|known| number(*known) == status).unwrap_or(Status::Invalid)
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Self {
        Failure::new(number(error.status()), error.message())
    }
}

/// The result of an entry function's body.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The general text for a status.
#[unsafe(no_mangle)]
pub extern "C" fn kdump_strerror(status: KStatus) -> *const c_char {
    let text = match status {
        0 => c"Success",
        1 => c"OS error",
        2 => c"Unimplemented feature",
        3 => c"Data is not stored in the dump file",
        4 => c"Corrupted file data",
        5 => c"Invalid value",
        6 => c"No such attribute key",
        7 => c"Unexpected EOF",
        8 => c"Too many pending requests",
        9 => c"Address translation error",
        _ => c"Unknown error",
    };
    text.as_ptr()
}
