//! Standard output, and how sizes, times and bytes look on it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Standard output with a buffer that holds a few pages of text.
pub struct Output {
    writer: BufWriter<StdoutLock<'static>>,
    colour: bool,
}

impl Output {
    /// Colours only on a terminal whose user did not opt out (`NO_COLOR`).
    pub fn new() -> Self {
        let stdout = io::stdout();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let colour =
            stdout.is_terminal() && !dumb && std::env::var_os("NO_COLOR").is_none_or(|flag| flag.is_empty());
        Output { writer: BufWriter::with_capacity(1 << 16, stdout.lock()), colour }
    }

    /// `text` as a title.
    pub fn bold<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.styled("1", text)
    }

    /// `text` as something to look at.
    pub fn warning<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.styled("33", text)
    }

    fn styled<'a>(&self, style: &str, text: &'a str) -> Cow<'a, str> {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m").into() } else { text.into() }
    }

    /// Writes a value as JSON on one line, without a newline.
    pub fn json(&mut self, value: impl Into<serde_json::Value>) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, &value.into()).map_err(io::Error::from)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// `text` from a dump without what could drive a terminal: control characters
/// become escapes, newlines in messages stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() && c != '\n';
    if !text.contains(odd) {
        return text.into();
    }
    let mut safe = String::new();
    for c in text.chars() {
        if odd(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

/// A number of bytes in binary units: `59.6 MiB`; exact where it is whole.
pub fn size(bytes: u128) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) != 0 {
        unit += 1;
    }
    let scale = 1u128 << (10 * unit);
    if bytes.is_multiple_of(scale) {
        format!("{} {}", bytes / scale, UNITS[unit])
    } else {
        format!("{:.1} {}", bytes as f64 / scale as f64, UNITS[unit])
    }
}

/// A count with its noun: `1 page`, `2 pages`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A time in seconds since 1970 as UTC: `2026-11-24 23:28:56 UTC`. `None` for
/// years that do not have four digits.
pub fn utc(unix: i64) -> Option<String> {
    let (days, second) = (unix.div_euclid(86400), unix.rem_euclid(86400));
    let (year, month, day) = civil_from_days(days)?;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"))
}

/// Year, month and day of a number of days since 1970-01-01, by counting in
/// whole 400-year cycles that begin on 1 March: the leap day is then the last
/// day of a year, and the months before it follow a fixed pattern.
fn civil_from_days(days: i64) -> Option<(i64, i64, i64)> {
    // From 0000-03-01 to 1970-01-01.
    let days = days.checked_add(719_468)?;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, twice over.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + 400 * cycle + next_year;
    (0..=9999).contains(&year).then_some((year, month, day))
}

/// Writes bytes the way `hexdump -C` does: 16 on a line with their address
/// and ASCII, equal lines shown as one `*`.
pub struct Hexdump {
    address: u64,
    last: Option<[u8; 16]>,
    starred: bool,
}

impl Hexdump {
    /// A hexdump that begins at `address`.
    pub fn new(address: u64) -> Self {
        Hexdump { address, last: None, starred: false }
    }

    /// The next bytes; a multiple of 16 but for the last call.
    pub fn write(&mut self, out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        for line in bytes.chunks(16) {
            let whole: Option<[u8; 16]> = line.try_into().ok();
            if whole.is_some() && whole == self.last {
                if !self.starred {
                    writeln!(out, "*")?;
                }
                self.starred = true;
            } else {
                writeln!(out, "{}", hexdump_line(self.address, line))?;
                self.starred = false;
            }
            self.last = whole;
            self.address = self.address.wrapping_add(line.len() as u64);
        }
        Ok(())
    }

    /// The address behind the last byte.
    pub fn end(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{:016x}", self.address)
    }
}

fn hexdump_line(address: u64, bytes: &[u8]) -> String {
    let mut line = format!("{address:016x} ");
    for column in 0..16 {
        if column % 8 == 0 {
            line.push(' ');
        }
        match bytes.get(column) {
            Some(byte) => {
                let _ = write!(line, "{byte:02x} ");
            }
            None => line.push_str("   "),
        }
    }
    line.push_str(" |");
    line.extend(bytes.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }));
    line.push('|');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_where_they_are_whole() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(62_545_920), "59.6 MiB");
        assert_eq!(size(1 << 63), "8 EiB");
        assert_eq!(size(1023), "1023 bytes");
    }

    #[test]
    fn times_are_those_of_date_u() {
        // date -u -d @SECONDS
        assert_eq!(utc(0).unwrap(), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(1_795_444_336).unwrap(), "2026-11-23 14:32:16 UTC");
        assert_eq!(utc(951_782_399).unwrap(), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400).unwrap(), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(4_107_542_400).unwrap(), "2100-03-01 00:00:00 UTC");
        assert_eq!(utc(-1).unwrap(), "1969-12-31 23:59:59 UTC");
        assert_eq!(utc(253_402_300_799).unwrap(), "9999-12-31 23:59:59 UTC");
        assert_eq!(utc(253_402_300_800), None);
        assert_eq!(utc(i64::MAX), None);
        assert_eq!(utc(i64::MIN), None);
    }

    #[test]
    fn hexdump_looks_like_the_one_of_util_linux() {
        let mut bytes = [0u8; 70];
        bytes[..5].copy_from_slice(b"Linux");
        bytes[64..].copy_from_slice(b"\x7fELF\xff ");
        let mut out = Vec::new();
        let mut dump = Hexdump::new(0x1000);
        dump.write(&mut out, &bytes[..32]).unwrap();
        dump.write(&mut out, &bytes[32..]).unwrap();
        dump.end(&mut out).unwrap();
        let expected = "\
0000000000001000  4c 69 6e 75 78 00 00 00  00 00 00 00 00 00 00 00  |Linux...........|
0000000000001010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
0000000000001040  7f 45 4c 46 ff 20                                 |.ELF. |
0000000000001046
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(printable("a\x1b[31m\tb\u{9b}\nc"), "a\\u{1b}[31m\\tb\\u{9b}\nc");
        assert_eq!(printable("(none)"), "(none)");
    }
}
