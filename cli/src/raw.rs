//! `--raw-at`: raw images of memory, and where they belong.

use std::path::PathBuf;
use std::str::FromStr;

use kdumpfile::{Context, Value};

use crate::failure::{Failure, Result};
use crate::number;

/// `BASE[@OFFSET[+LENGTH]][:ARCH]`: a file, or a part of it, as memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawImage {
    base: u64,
    offset: Option<u64>,
    length: Option<u64>,
    arch: Option<String>,
}

impl FromStr for RawImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, arch) = match text.split_once(':') {
            Some((_, "")) => return Err("an architecture belongs behind ':'".into()),
            Some((place, arch)) => (place, Some(arch.to_owned())),
            None => (text, None),
        };
        let (base, part) = match place.split_once('@') {
            Some((base, part)) => (base, Some(part)),
            None => (place, None),
        };
        let (offset, length) = match part.map(|part| part.split_once('+').unwrap_or((part, ""))) {
            None => (None, None),
            Some((offset, "")) => (Some(number::address(offset)?), None),
            Some((offset, length)) => (Some(number::address(offset)?), Some(number::length(length)?)),
        };
        Ok(RawImage { base: number::address(base)?, offset, length, arch })
    }
}

/// The files that images are in: several parts of one file are one image each.
pub fn files(files: &[PathBuf], images: &[RawImage]) -> Result<Vec<PathBuf>> {
    match (files, images) {
        (_, []) => Ok(files.to_vec()),
        ([file], images) => Ok(vec![file.clone(); images.len()]),
        (files, images) if files.len() == images.len() => Ok(files.to_vec()),
        (files, images) => Err(Failure::Usage(format!(
            "{} files, but {} times --raw-at: say for each file where it belongs",
            files.len(),
            images.len()
        ))),
    }
}

/// Says where each file belongs.
pub fn prepare(context: &Context, images: &[RawImage]) -> kdumpfile::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    context.set("file.set.number", Value::Number(images.len() as u64))?;
    for (file, image) in images.iter().enumerate() {
        context.set(&format!("file.set.{file}.base"), Value::Address(image.base))?;
        for (key, value) in [("offset", image.offset), ("length", image.length)] {
            if let Some(value) = value {
                context.set(&format!("file.set.{file}.{key}"), Value::Number(value))?;
            }
        }
        if let Some(arch) = &image.arch {
            context.set("arch.name", Value::from(&arch[..]))?;
            let order = match &arch[..] {
                "x86_64" | "ia32" | "aarch64" | "riscv32" | "riscv64" | "loongarch64" => Some(1),
                "s390" | "s390x" => Some(0),
                _ => None,
            };
            if let Some(order) = order {
                context.set("arch.byte_order", Value::Number(order))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_base_and_perhaps_a_part_and_an_architecture() {
        let image = |text: &str| text.parse::<RawImage>();
        let parts = |text: &str| {
            let RawImage { base, offset, length, arch } = image(text).unwrap();
            (base, offset, length, arch)
        };
        assert_eq!(parts("0"), (0, None, None, None));
        assert_eq!(parts("0x80000000:aarch64"), (0x8000_0000, None, None, Some("aarch64".into())));
        assert_eq!(parts("0x100000000@0xc0000000"), (1 << 32, Some(0xc000_0000), None, None));
        assert_eq!(parts("0@0+3G:x86_64"), (0, Some(0), Some(3 << 30), Some("x86_64".into())));
        for bad in ["", "c0000000", "0:", "0@", "0@x", "0@0+0", ":x86_64", "-1"] {
            assert!(image(bad).is_err(), "{bad}");
        }
    }
}
