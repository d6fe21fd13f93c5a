//! How the pages of a dump are packed: the mix of codecs.

use std::collections::BTreeMap;

use kdumpfile::codec::Codec;
use kdumpfile::{Bitmap, Context, Space};
use serde_json::json;

use crate::output;

/// Of a larger dump, so many pages are looked at, evenly spread.
const SAMPLED: u64 = 1 << 20;

/// Counts over the pages of a dump.
pub struct CodecMix {
    /// Pages of each codec, by its name.
    pages: BTreeMap<&'static str, u64>,
    /// Pages looked at.
    looked_at: u64,
    /// Whether only some of the pages were looked at.
    sampled: bool,
}

fn name(codec: Option<Codec>) -> &'static str {
    match codec {
        None => "uncompressed",
        Some(Codec::Zlib) => "zlib",
        Some(Codec::Lzo) => "lzo",
        Some(Codec::Snappy) => "snappy",
        Some(Codec::Zstd) => "zstd",
        Some(Codec::Rle) => "rle",
    }
}

impl CodecMix {
    /// Looks at the descriptors of `number` pages in `present`; pages whose
    /// descriptor cannot be read are left out.
    pub fn gather(context: &Context, present: &Bitmap, number: u64, page_bytes: u64) -> Option<CodecMix> {
        let space = [Space::MachinePhysical, Space::KernelPhysical, Space::KernelVirtual]
            .into_iter()
            .find(|space| context.spaces().contains(*space))?;
        let step = number.div_ceil(SAMPLED).max(1);
        let mut mix = CodecMix { pages: BTreeMap::new(), looked_at: 0, sampled: step > 1 };
        // How many pages to pass over before the next one is looked at.
        let mut skip = 0;
        for range in present.ranges() {
            let (first, last) = range.ok()?;
            let mut pfn = first.saturating_add(skip);
            while pfn <= last {
                if let Some(address) = pfn.checked_mul(page_bytes)
                    && let Ok(packing) = context.packing(space, address)
                {
                    *mix.pages.entry(name(packing.codec)).or_default() += 1;
                    mix.looked_at += 1;
                }
                pfn = pfn.saturating_add(step);
            }
            skip = pfn - last - 1;
        }
        (mix.looked_at > 0).then_some(mix)
    }

    /// As one line of text, the most frequent codec first.
    pub fn text(&self) -> String {
        let mut counts: Vec<_> = self.pages.iter().collect();
        counts.sort_by_key(|(_, pages)| std::cmp::Reverse(**pages));
        let share = |pages: u64| 100.0 * pages as f64 / self.looked_at as f64;
        let list: Vec<String> =
            counts.iter().map(|(name, pages)| format!("{name} {:.1} %", share(**pages))).collect();
        let mut text = list.join(", ");
        if self.sampled {
            text.push_str(&format!(" (of {} looked at)", output::count(self.looked_at, "page")));
        }
        text
    }

    /// As JSON.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "pages": self.pages,
            "looked_at": self.looked_at,
            "sampled": self.sampled,
        })
    }
}
