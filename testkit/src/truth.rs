//! The ground truth that stands beside each real dump (`NAME.json`).
//!
//! The layout is described in the README of the dumps. Accessors that a test
//! cannot do without panic with the path of what is missing; the others
//! return `Option`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

/// The value of an attribute, as the ground truth tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttrValue {
    /// A directory.
    Directory,
    /// Text.
    String(String),
    /// A number.
    Number(u64),
    /// An address.
    Address(u64),
    /// Inclusive ranges of set bits.
    Bitmap(Vec<RangeInclusive<u64>>),
    /// Bytes: how many, their SHA-256, and the first 8192 of them.
    Blob {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of all bytes in lower-case hex.
        sha256: String,
        /// Up to 8192 bytes.
        head: Vec<u8>,
    },
}

/// What is known about one address of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Symbol name or kind of address.
    pub name: String,
    /// Kernel virtual address.
    pub kvaddr: u64,
    /// Physical address; `None`: not mapped.
    pub kphys: Option<u64>,
}

/// What a reader found when it read all pages that `file.pagemap` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Unit of the PFNs in bytes.
    pub page_size: u64,
    /// Pages that were read.
    pub read_ok: u64,
    /// Pages that could not be read.
    pub read_failed: u64,
    /// Pages that were read and are all zero.
    pub zero_pages: u64,
    /// SHA-256 over all pages that were read, by ascending PFN.
    pub sha256: String,
    /// Pages in a chunk of `chunk_sha256`.
    pub chunk_pages: u64,
    /// SHA-256 over the pages that were read in each chunk; key: PFN / `chunk_pages`.
    pub chunk_sha256: BTreeMap<u64, String>,
}

/// One file of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTruth {
    /// File name.
    pub name: String,
    /// Length in bytes, unpacked.
    pub size: u64,
    /// SHA-256 of the unpacked file in lower-case hex.
    pub sha256: String,
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| hex(value))
}

fn hex(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_string)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// A ground truth file.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth(Value);

impl Truth {
    /// From the parsed JSON.
    pub fn new(json: Value) -> Self {
        Truth(json)
    }

    /// The JSON itself.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The value at a JSON pointer such as `/guest/page_size`.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("ground truth has no {pointer}"))
    }

    /// Name of the dump.
    pub fn name(&self) -> String {
        text(self.at("/name")).expect("name is text")
    }

    /// Canonical architecture name.
    pub fn arch(&self) -> String {
        text(self.at("/arch")).expect("arch is text")
    }

    /// `uname -r` of the guest.
    pub fn kernel_release(&self) -> String {
        text(self.at("/guest/kernel_release")).expect("kernel_release is text")
    }

    /// Page size of the guest's kernel in bytes.
    pub fn page_size(&self) -> u64 {
        number(self.at("/guest/page_size")).expect("page_size is a number")
    }

    /// The files in the order in which they are opened.
    pub fn files(&self) -> Vec<FileTruth> {
        let files = self.at("/files").as_array().expect("files is a list");
        let file = |file: &Value| {
            Some(FileTruth {
                name: text(&file["name"])?,
                size: file["size"].as_u64()?,
                sha256: text(&file["sha256"])?,
            })
        };
        files.iter().map(|value| file(value).expect("name, size and sha256 of a file")).collect()
    }

    /// The virtual address of a symbol of the guest.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        hex(self.0.pointer("/guest/symbols")?.get(name)?)
    }

    /// The VMCOREINFO text in the guest's memory.
    pub fn vmcoreinfo(&self) -> Option<String> {
        text(self.0.pointer("/guest/vmcoreinfo")?)
    }

    /// Text of `linux_banner` without its newline.
    pub fn banner(&self) -> Option<String> {
        text(self.0.pointer("/guest/banner")?)
    }

    /// Translations by the emulator's own page walk; empty if there are none.
    pub fn emulator_translations(&self) -> Vec<Translation> {
        let Some(map) = self.0.get("emulator_translations").and_then(Value::as_object) else {
            return Vec::new();
        };
        map.iter()
            .map(|(name, entry)| Translation {
                name: name.clone(),
                kvaddr: hex(&entry["kvaddr"]).unwrap_or_else(|| panic!("kvaddr of {name}")),
                kphys: hex(&entry["kphys"]),
            })
            .collect()
    }

    /// Up to 64 bytes of the guest's raw RAM, to the end of the page at the
    /// most, where the emulator found the address of this name.
    pub fn emulator_bytes(&self, name: &str) -> Option<Vec<u8>> {
        unhex(self.0.get("emulator_translations")?.get(name)?.get("bytes")?.as_str()?)
    }

    /// SHA-256 of each chunk of 1024 pages of the guest's raw RAM; key: PFN / 1024.
    pub fn ram_chunk_sha256(&self) -> BTreeMap<u64, String> {
        self.0.pointer("/ram/chunk_sha256").map(chunks).unwrap_or_default()
    }

    /// What the reference says when the files are just opened.
    pub fn as_opened(&self) -> Report {
        Report(self.at("/reference/as_opened").clone())
    }

    /// What the reference says when `arch.name` is set before the open.
    pub fn with_arch_name(&self) -> Option<Report> {
        self.0.pointer("/reference/with_arch_name").cloned().map(Report)
    }
}

fn chunks(value: &Value) -> BTreeMap<u64, String> {
    let map = value.as_object().into_iter().flatten();
    map.filter_map(|(key, hash)| Some((key.parse().ok()?, text(hash)?))).collect()
}

/// What a reader said about a dump.
#[derive(Clone, Debug, PartialEq)]
pub struct Report(Value);

impl Report {
    /// From JSON in the layout of `reference.as_opened`.
    pub fn new(json: Value) -> Self {
        Report(json)
    }

    /// The JSON itself.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Status number of the open; 0 is success.
    pub fn open_status(&self) -> u64 {
        self.0["open_status"].as_u64().expect("open_status is a number")
    }

    /// Message of a failed open.
    pub fn open_error(&self) -> Option<String> {
        text(&self.0["open_error"])
    }

    /// All attributes by their full path.
    pub fn attributes(&self) -> BTreeMap<String, AttrValue> {
        let map = self.0["attributes"].as_object().into_iter().flatten();
        map.map(|(path, value)| {
            let value = attribute(value).unwrap_or_else(|| panic!("attribute {path}: {value}"));
            (path.clone(), value)
        })
        .collect()
    }

    /// One attribute.
    pub fn attribute(&self, path: &str) -> Option<AttrValue> {
        attribute(self.0["attributes"].get(path)?)
    }

    /// A string attribute.
    pub fn string(&self, path: &str) -> Option<String> {
        match self.attribute(path)? {
            AttrValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number or address attribute.
    pub fn number(&self, path: &str) -> Option<u64> {
        match self.attribute(path)? {
            AttrValue::Number(value) | AttrValue::Address(value) => Some(value),
            _ => None,
        }
    }

    /// A bitmap attribute such as `file.pagemap`: inclusive ranges of PFNs.
    pub fn bitmap(&self, path: &str) -> Option<Vec<RangeInclusive<u64>>> {
        match self.attribute(path)? {
            AttrValue::Bitmap(ranges) => Some(ranges),
            _ => None,
        }
    }

    /// The pages, if they were read.
    pub fn pages(&self) -> Option<Pages> {
        let pages = self.0.get("pages").filter(|pages| pages.is_object())?;
        let count = |name: &str| pages.get(name).and_then(Value::as_u64);
        Some(Pages {
            page_size: count("page_size")?,
            read_ok: count("read_ok")?,
            read_failed: count("read_failed")?,
            zero_pages: count("zero_pages")?,
            sha256: text(&pages["sha256"])?,
            chunk_pages: count("chunk_pages").unwrap_or(0),
            chunk_sha256: chunks(&pages["chunk_sha256"]),
        })
    }

    /// Translations of the reader: name, virtual address, KPHYSADDR.
    pub fn translations(&self) -> Vec<Translation> {
        let map = self.0["xlat"].as_object().into_iter().flatten();
        map.filter_map(|(name, entry)| {
            Some(Translation {
                name: name.clone(),
                kvaddr: hex(entry.get("kvaddr")?)?,
                kphys: entry.get("kphys").and_then(hex),
            })
        })
        .collect()
    }

    /// The 64 bytes that the reader found at the virtual address of `name`.
    pub fn bytes_at(&self, name: &str) -> Option<Vec<u8>> {
        unhex(self.0["xlat"].get(name)?.get("bytes64")?.as_str()?)
    }

    /// The string at `linux_banner`.
    pub fn linux_banner(&self) -> Option<String> {
        text(self.0.get("linux_banner")?)
    }
}

fn attribute(entry: &Value) -> Option<AttrValue> {
    let value = &entry["value"];
    Some(match entry["type"].as_str()? {
        "directory" => AttrValue::Directory,
        "string" => AttrValue::String(text(value)?),
        "number" => AttrValue::Number(value.as_u64()?),
        "address" => AttrValue::Address(hex(value)?),
        "bitmap" => {
            let range = |pair: &Value| Some(pair[0].as_u64()?..=pair[1].as_u64()?);
            AttrValue::Bitmap(value.as_array()?.iter().map(range).collect::<Option<_>>()?)
        }
        "blob" => AttrValue::Blob {
            size: entry["size"].as_u64()?,
            sha256: text(&entry["sha256"])?,
            head: unhex(entry["hex"].as_str()?)?,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_answers_by_type() {
        let report = Report::new(json!({
            "open_status": 0, "open_error": null,
            "attributes": {
                "arch": {"type": "directory"},
                "arch.name": {"type": "string", "value": "x86_64"},
                "max_pfn": {"type": "number", "value": 5},
                "linux.phys_base": {"type": "address", "value": "ffffffffffffff00"},
                "file.pagemap": {"type": "bitmap", "value": [[0, 1], [4, 4]]},
                "file.eraseinfo.raw": {"type": "blob", "size": 2, "sha256": "x", "hex": "0aff"},
            },
            "xlat": {"_stext": {"kvaddr": "ff00", "kphys": "1000", "bytes64": "4889"}},
        }));
        assert_eq!((report.open_status(), report.open_error()), (0, None));
        assert_eq!(report.string("arch.name").as_deref(), Some("x86_64"));
        assert_eq!(report.number("linux.phys_base"), Some(u64::MAX - 0xff));
        assert_eq!(report.bitmap("file.pagemap"), Some(vec![0..=1, 4..=4]));
        assert_eq!(report.number("arch.name"), None);
        assert_eq!(report.attributes().len(), 6);
        let AttrValue::Blob { size: 2, head, .. } = report.attribute("file.eraseinfo.raw").unwrap() else {
            panic!("a blob of 2 bytes");
        };
        assert_eq!(head, [10, 255]);
        assert_eq!(report.translations()[0].kphys, Some(0x1000));
        assert_eq!(report.bytes_at("_stext"), Some(vec![0x48, 0x89]));
        assert_eq!(report.pages(), None);
    }

    #[test]
    fn every_ground_truth_file_can_be_read_to_its_end() {
        for truth in crate::dumps::all_truths() {
            let name = truth.name();
            assert!(truth.page_size().is_power_of_two(), "{name}");
            assert!(!truth.kernel_release().is_empty() && !truth.files().is_empty(), "{name}");
            for report in [Some(truth.as_opened()), truth.with_arch_name()].into_iter().flatten() {
                assert_eq!(report.open_status(), 0, "{name}");
                assert!(report.attributes().len() > 20, "{name}");
                assert!(report.bitmap("file.pagemap").is_some_and(|map| !map.is_empty()), "{name}");
                assert!(report.string("file.format").is_some(), "{name}");
            }
            let pages = truth.as_opened().pages().unwrap();
            assert_eq!(pages.sha256.len(), 64, "{name}");
            assert!(pages.chunk_sha256.len() as u64 * pages.chunk_pages >= pages.read_ok, "{name}");
            // What the file says about its own translations, counted again.
            let walked = truth.emulator_translations();
            let report = truth.with_arch_name().unwrap_or(truth.as_opened());
            let counted = &report.json()["translations_compared_with_emulator"]["same"];
            let same = report.translations().iter().filter(|t| walked.contains(t)).count() as u64;
            assert_eq!(same, counted.as_u64().unwrap_or(0), "{name}");
        }
    }
}
