//! VMCOREINFO text.

/// A VMCOREINFO text under construction: lines of `KEY=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vmcoreinfo {
    text: String,
    end: usize,
}

impl Vmcoreinfo {
    /// No lines yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A small but complete text, as a kernel of this release writes it.
    pub fn linux(release: &str, page_size: u64) -> Self {
        Self::new().osrelease(release).pagesize(page_size).line("CRASHTIME", "1700000000")
    }

    /// `key=value`
    pub fn line(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.raw(&format!("{key}={value}\n"))
    }

    /// Text as it is, with or without newlines.
    pub fn raw(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// `OSRELEASE=`
    pub fn osrelease(self, release: &str) -> Self {
        self.line("OSRELEASE", release)
    }

    /// `PAGESIZE=`
    pub fn pagesize(self, bytes: u64) -> Self {
        self.line("PAGESIZE", bytes)
    }

    /// `SYMBOL(name)=`, hexadecimal
    pub fn symbol(self, name: &str, address: u64) -> Self {
        self.line(&format!("SYMBOL({name})"), format_args!("{address:x}"))
    }

    /// `SIZE(name)=`
    pub fn size(self, name: &str, bytes: u64) -> Self {
        self.line(&format!("SIZE({name})"), bytes)
    }

    /// `OFFSET(structure.member)=`
    pub fn offset(self, structure: &str, member: &str, bytes: u64) -> Self {
        self.line(&format!("OFFSET({structure}.{member})"), bytes)
    }

    /// `LENGTH(name)=`
    pub fn length(self, name: &str, elements: u64) -> Self {
        self.line(&format!("LENGTH({name})"), elements)
    }

    /// `NUMBER(name)=`, signed decimal
    pub fn number(self, name: &str, value: i64) -> Self {
        self.line(&format!("NUMBER({name})"), value)
    }

    /// `CONFIG_name=y`
    pub fn config(self, name: &str) -> Self {
        self.line(&format!("CONFIG_{name}"), "y")
    }

    /// Leaves out the newline at the end.
    pub fn without_final_newline(mut self) -> Self {
        self.text.truncate(self.text.trim_end_matches('\n').len());
        self
    }

    /// Ends all lines so far with CR LF.
    pub fn crlf(mut self) -> Self {
        self.text = self.text.replace('\n', "\r\n");
        self
    }

    /// Adds so many NUL bytes behind the text.
    pub fn padded(mut self, bytes: usize) -> Self {
        self.end = bytes;
        self
    }

    /// The text.
    pub fn text(&self) -> String {
        self.text.clone() + &"\0".repeat(self.end)
    }

    /// The bytes of the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.text().into_bytes()
    }
}

impl AsRef<str> for Vmcoreinfo {
    /// The text without the padding.
    fn as_ref(&self) -> &str {
        &self.text
    }
}
