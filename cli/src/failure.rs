//! What ends a command early, and the exit code for it.
//!
//! | code | means |
//! | --- | --- |
//! | 0 | done (also if the reader of the output went away) |
//! | 1 | the dump says no: data is missing or corrupt, a file cannot be read |
//! | 2 | the command line makes no sense |

use std::io;

use crate::output::printable;

/// Why a command could not do all of its work.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The dump (or its file) says no.
    Dump {
        /// From the general to the particular, joined by `": "`.
        text: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The output could not be written.
    Output(io::Error),
}

/// The result of a command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure about the dump called `name`.
    pub fn dump(name: &str, error: &kdumpfile::Error) -> Self {
        let text = error.to_string();
        // Errors of an open name the file already.
        let text = if text.contains(name) { text } else { format!("{name}: {text}") };
        Failure::Dump { text, hint: None }
    }

    /// The same with an advice.
    pub fn with_hint(mut self, advice: Option<String>) -> Self {
        if let Failure::Dump { hint, .. } = &mut self {
            *hint = advice;
        }
        self
    }

    /// Tells the user, unless nobody listens; returns the exit code.
    pub fn report(self) -> u8 {
        // Standard error may be closed as well; there is nobody left to tell.
        use io::Write;
        let mut stderr = io::stderr().lock();
        match self {
            Failure::Usage(text) => {
                let _ = writeln!(stderr, "kdumpfile: {}\nTry 'kdumpfile --help'.", printable(&text));
                2
            }
            Failure::Dump { text, hint } => {
                let _ = writeln!(stderr, "kdumpfile: {}", printable(&text));
                if let Some(hint) = hint {
                    let _ = writeln!(stderr, "hint: {}", printable(&hint));
                }
                1
            }
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::Output(error) => {
                let _ = writeln!(stderr, "kdumpfile: Cannot write the output: {error}");
                1
            }
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Output(error.into())
    }
}
