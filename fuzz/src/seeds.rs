//! Inputs that fuzzing begins with.

/// The seeds of one target.
#[derive(Default)]
pub struct Seeds {
    /// Name and bytes of each.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Seeds {
    /// Adds one, whose bytes are these parts.
    pub fn add(&mut self, name: &str, parts: &[&[u8]]) {
        self.files.push((name.into(), parts.concat()));
    }
}
