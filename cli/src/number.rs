//! Numbers on the command line.

/// A decimal number, or a hex one after `0x`.
pub fn address(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // Not even a sign is a digit.
        Some(digits) if digits.starts_with('+') => Err("not a hex number".into()),
        Some(digits) => u64::from_str_radix(digits, 16).map_err(|error| format!("not a hex number: {error}")),
        None if !text.starts_with('+') && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            text.parse().map_err(|_| "not a decimal number (hex numbers begin with 0x)".into())
        }
        None => Err("neither a decimal number nor hex after 0x".into()),
    }
}

/// A hex number, with or without `0x`.
pub fn hex(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    match digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => u64::from_str_radix(digits, 16).map_err(|error| format!("not a hex number: {error}")),
        false => Err("not a hex number".into()),
    }
}

/// A positive number of bytes with an optional binary suffix.
pub fn length(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("there is nothing to read".into()),
        bytes => Ok(bytes),
    }
}

/// A number with an optional binary suffix.
pub fn size(text: &str) -> Result<u64, String> {
    let shift = match text.bytes().last().map(|b| b.to_ascii_uppercase()) {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number = address(digits)?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than 64 bits can say".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hex_and_lengths_have_suffixes() {
        assert_eq!(address("0xffffffff81000000"), Ok(0xffff_ffff_8100_0000));
        assert_eq!(address("4096"), Ok(4096));
        assert_eq!(hex("ffff8880"), Ok(0xffff_8880));
        assert_eq!(hex("0x10"), Ok(16));
        assert_eq!(length("4k"), Ok(4096));
        assert_eq!(length("0x10M"), Ok(16 << 20));
        assert_eq!(length("2G"), Ok(2 << 30));
        assert_eq!((size("0"), size("3G")), (Ok(0), Ok(3 << 30)));
        assert!(address("ffff8880").unwrap_err().contains("0x"));
        for bad in ["", "-1", "+1", "0x", "0x+1", "1 ", "0x1ffffffffffffffff", "é"] {
            assert!(address(bad).is_err() && hex(bad).is_err(), "{bad}");
        }
        for bad in ["0", "K", "17179869184G", "1T", "éK"] {
            assert!(length(bad).is_err(), "{bad}");
        }
    }
}
