//! What is searched for.

use kdumpfile::Context;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::Match;
use crate::args::Search;
use crate::number;

/// The longest match of a regular expression. With a bound, a match does not
/// depend on how memory is divided among threads.
pub const LONGEST: usize = 4096;

/// Longer texts and bytes are not searched for.
const BYTES_MAX: usize = 1 << 16;

/// What is searched for.
pub enum Pattern {
    /// These bytes.
    Bytes(Box<Finder<'static>>),
    /// What a regular expression matches.
    Regex(Regex),
}

impl Pattern {
    /// From the command line; an error is one of usage.
    pub fn new(args: &Search, context: &Context) -> Result<Pattern, String> {
        let text = &args.pattern;
        if args.regex {
            return Self::regex(text);
        }
        let bytes = match (args.hex, args.u64) {
            (true, _) => hex(text)?,
            (_, true) => {
                let number = number::address(text).map_err(|error| format!("{text}: {error}"))?;
                match context.number("arch.byte_order") {
                    Ok(0) => number.to_be_bytes().to_vec(),
                    Ok(_) => number.to_le_bytes().to_vec(),
                    Err(error) => return Err(format!("{text}: arch.byte_order: {error}")),
                }
            }
            _ => text.as_bytes().to_vec(),
        };
        Self::bytes(&bytes)
    }

    /// These bytes.
    pub fn bytes(bytes: &[u8]) -> Result<Pattern, String> {
        match bytes.len() {
            0 => Err("there is nothing to search for".into()),
            1..=BYTES_MAX => Ok(Pattern::Bytes(Box::new(Finder::new(bytes).into_owned()))),
            length => Err(format!("{length} bytes are more than can be searched for ({BYTES_MAX})")),
        }
    }

    /// A regular expression over bytes.
    pub fn regex(text: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(text).unicode(false).build().map_err(|error| error.to_string())?;
        match regex.is_match(b"") {
            true => Err(format!("{text}: this matches nothing at all, which is everywhere")),
            false => Ok(Pattern::Regex(regex)),
        }
    }

    /// How many bytes behind the first one a match may have.
    pub fn reach(&self) -> usize {
        match self {
            Pattern::Bytes(finder) => finder.needle().len() - 1,
            Pattern::Regex(_) => LONGEST - 1,
        }
    }

    /// Whether no match begins in another one.
    pub fn excludes(&self) -> bool {
        matches!(self, Pattern::Regex(_))
    }

    /// Where the next match may begin after this one.
    pub fn resume_after(&self, found: &Match, resume: u64) -> u64 {
        match self.excludes() {
            true => found.address.saturating_add(found.length as u64),
            false => resume,
        }
    }

    /// The first match in `text` that begins at `from` or behind it, but before
    /// `until`: position and length.
    pub fn find(&self, text: &[u8], from: usize, until: usize) -> Option<(usize, usize)> {
        match self {
            Pattern::Bytes(finder) => {
                let length = finder.needle().len();
                let end = until.saturating_add(length - 1).min(text.len());
                let found = finder.find(text.get(from..end)?)?;
                Some((from + found, length))
            }
            Pattern::Regex(regex) => find_regex(regex, text, from, until),
        }
    }

    /// All of them, in order.
    pub fn find_all(&self, text: &[u8], from: usize, until: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut at = from;
        while let Some((start, length)) = self.find(text, at, until) {
            found.push((start, length));
            at = if self.excludes() { start + length } else { start + 1 };
        }
        found
    }
}

/// The first place where the expression matches, if nothing behind the longest
/// match is looked at.
fn find_regex(regex: &Regex, text: &[u8], from: usize, until: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while at < until {
        // A match that begins in the first half ends within this.
        let window = &text[..(at + 2 * LONGEST).min(text.len())];
        let Some(found) = regex.find_at(window, at) else {
            if window.len() == text.len() {
                return None;
            }
            at += LONGEST;
            continue;
        };
        let start = found.start();
        if start >= until {
            return None;
        }
        let window = &text[..(start + LONGEST).min(text.len())];
        match regex.find_at(window, start) {
            Some(found) if found.start() == start && !found.is_empty() => return Some((start, found.len())),
            _ => at = start + 1,
        }
    }
    None
}

/// Bytes from pairs of hex digits.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<_>>().ok_or_else(|| format!("{text}: pairs of hex digits are wanted"))
}
