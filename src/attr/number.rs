//! Numbers in text, with the syntax of C's `strtoul`, which the kernel's own
//! consumers use for VMCOREINFO.

/// Reads a number at the start of `text`: blanks, an optional sign, digits in
/// `base` (0: `0x` is hexadecimal, a leading `0` octal, else decimal; base 16
/// accepts `0x`). Too large a number saturates, a negative one wraps. Returns
/// the number and what follows it, or `None` without a digit.
pub(super) fn parse_prefix(text: &str, base: u32) -> Option<(u64, &str)> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (base, digits) = match (base, hex) {
        (0 | 16, Some(rest)) => (16, rest),
        (0, None) if digits.starts_with('0') => (8, digits),
        (0, None) => (10, digits),
        (base, _) => (base, digits),
    };
    let mut value: u64 = 0;
    let mut overflow = false;
    let mut length = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(base)) {
        length += 1;
        match value.checked_mul(base.into()).and_then(|v| v.checked_add(digit.into())) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if length == 0 {
        return None;
    }
    let value = match (overflow, negative) {
        (true, _) => u64::MAX,
        (false, true) => value.wrapping_neg(),
        (false, false) => value,
    };
    Some((value, &digits[length..]))
}

/// The number that all of `text` is; an empty text counts as 0.
pub(super) fn parse_whole(text: &str, base: u32) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    parse_prefix(text, base).and_then(|(value, rest)| rest.is_empty().then_some(value))
}

/// The `linux.version_code` of a kernel release: `a.b.c...` gives
/// `(a << 16) + (b << 8) + min(c, 255)` (`KERNEL_VERSION` of the kernel's
/// `<linux/version.h>`).
pub(super) fn linux_version_code(release: &str) -> Option<u64> {
    let (a, rest) = parse_prefix(release, 10)?;
    let (b, rest) = parse_prefix(rest.strip_prefix('.')?, 10)?;
    let (c, _) = parse_prefix(rest.strip_prefix('.')?, 10)?;
    Some((a << 16).wrapping_add(b << 8).wrapping_add(c.min(255)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_strtoul_reads_them() {
        for (text, base, value) in [
            ("4096", 10, Some(4096)),
            (" +7", 10, Some(7)),
            ("-1", 0, Some(u64::MAX)),
            ("0x1f", 0, Some(31)),
            ("0X1f", 16, Some(31)),
            ("1f", 16, Some(31)),
            ("017", 0, Some(15)),
            ("0", 0, Some(0)),
            ("08", 0, None),
            ("0x", 16, None),
            ("0xg", 0, None),
            ("", 10, Some(0)),
            ("-", 10, None),
            ("12 ", 10, None),
            ("99999999999999999999", 10, Some(u64::MAX)),
            ("é", 10, None),
        ] {
            assert_eq!(parse_whole(text, base), value, "{text:?} in base {base}");
        }
    }

    #[test]
    fn kernel_releases_give_version_codes() {
        for (release, code) in [
            ("5.4.3-foo", Some(328_707)),
            ("5.4.300", Some(328_959)),
            ("6.1.0-50-cloud-amd64", Some(393_472)),
            ("5.4", None),
            ("5.4-rc1", None),
            ("5", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(linux_version_code(release), code, "{release:?}");
        }
    }
}
