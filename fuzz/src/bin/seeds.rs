//! Writes the seeds into the corpus, always the same: `cargo run
//! --no-default-features --bin seeds` in this folder. Findings, which begin with
//! `found-`, stay.

use std::fs;
use std::io::Result;
use std::path::Path;

use kdumpfile_fuzz::{Seeds, TARGETS};

fn main() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut bytes = 0;
    for target in TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with("found-") {
                fs::remove_file(entry.path())?;
            }
        }
        let mut seeds = Seeds::default();
        (target.seeds)(&mut seeds);
        for (name, seed) in &seeds.files {
            fs::write(folder.join(name), seed)?;
            bytes += seed.len();
        }
    }
    println!("{bytes} bytes of seeds");
    Ok(())
}
