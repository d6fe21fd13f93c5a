//! The description behind the device state: which fields each device has.
//!
//! ```text
//!   u8 0x06, u32 length, {"page_size": 4096, "devices": [
//!       {"name": "cpu", "instance_id": 0, "fields": [
//!           {"name": "env.regs", "array_len": 16, "size": 8}, ...],
//!        "subsections": [{"vmsd_name": ..., "fields": [...]}]}, ...]}
//! ```
//!
//! It is the last item of a stream, and is found from the end of the file.
//! State has no lengths in the stream; the sizes here are what leads from one
//! device to the next one.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::stream::{Cursor, FOOTER, SECTION_FULL, SUBSECTION};
use crate::error::{Result, ResultExt, Status};
use crate::io::FileSet;

/// Type of the item.
const VMDESCRIPTION: u8 = 0x06;
/// Bytes in front of the text: type and length.
const HEADER: usize = 5;
/// Bytes that are searched for the beginning of the description: about 12,000
/// are of each CPU.
const MOST_TEXT: u64 = 64 << 20;
/// Bytes that are read at once.
const PART: u64 = 64 << 10;
/// Devices and their subsections, at most.
const MOST_STATES: usize = 1 << 16;
/// Fields of CPUs that are kept, at most.
const MOST_FIELDS: usize = 1 << 18;
/// How the names of fields begin that are kept: nine of each CPU.
const KEPT: [&str; 6] = ["env.regs", "env.eip", "env.eflags", "env.segs", "env.cr[", "env.efer"];
/// Subsections may have subsections; no device has more than two levels.
const MOST_LEVELS: u32 = 8;

/// A field of a CPU.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: String,
    /// Bytes from the beginning of the state.
    pub offset: u64,
    /// Bytes of one element.
    pub size: u64,
    /// Elements; 1 for what is no array.
    pub count: u64,
}

/// State of a device, or a subsection of it.
#[derive(Debug, Default)]
struct State {
    name: String,
    /// Bytes of all fields.
    size: u64,
    /// What the fields are, if they are those of a CPU.
    fields: Vec<Field>,
    subsections: Vec<State>,
}

/// One device.
#[derive(Debug)]
struct Device {
    instance: u32,
    state: State,
}

/// A CPU, as the description has it.
pub(super) struct Place<'a> {
    /// Number of the CPU.
    pub instance: u32,
    /// Byte position of its state.
    pub position: u64,
    /// Its fields, in ascending order.
    pub fields: &'a [Field],
}

/// What the description says.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// Bytes of a page of the guest.
    pub page_size: Option<u64>,
    devices: Vec<Device>,
}

impl Description {
    /// Finds the description at the end of the file. `None` if there is none
    /// that makes sense, as in streams of old versions and in those that were cut.
    pub fn find(files: &FileSet) -> Result<Option<Description>> {
        let Some(end) = files.len(0) else { return Ok(None) };
        let failed = || "Cannot read description of the devices";
        let mut last = [0];
        let Some(last_at) = end.checked_sub(1) else { return Ok(None) };
        files.read(0, last_at, &mut last).context(failed)?;
        if last != *b"}" {
            return Ok(None);
        }
        let mut bytes = vec![0; PART as usize + HEADER];
        let mut from = end;
        while from > 0 && end - from < MOST_TEXT {
            let to = from;
            from = from.saturating_sub(PART);
            // What begins in this part; its header may go on in the next one.
            let size = ((to - from) as usize).saturating_add(HEADER);
            let part = bytes.get_mut(..size).unwrap_or_default();
            files.read(0, from, part).context(failed)?;
            let begins = |(skip, raw): (usize, &[u8])| {
                let position = from + skip as u64;
                let [VMDESCRIPTION, a, b, c, d, b'{'] = *raw else { return None };
                let text = position + HEADER as u64;
                (u64::from(u32::from_be_bytes([a, b, c, d])) + text == end).then_some(text)
            };
            if let Some(text) = part.windows(HEADER + 1).enumerate().rev().find_map(begins) {
                let text = files.read_vec(0, text, end - text, MOST_TEXT).context(failed)?;
                return Ok(Description::parse(&text));
            }
        }
        Ok(None)
    }

    fn parse(text: &[u8]) -> Option<Description> {
        let mut json = Json { text, at: 0, states: MOST_STATES, fields: MOST_FIELDS };
        let mut description = Description::default();
        json.object(|json, key| match key {
            "page_size" => {
                description.page_size = Some(json.number()?);
                Some(())
            }
            "devices" => json.array(|json| {
                description.devices.push(json.device()?);
                Some(())
            }),
            _ => json.skip(),
        })?;
        Some(description)
    }

    /// Follows the devices from a position on and tells where the CPUs are;
    /// `None` if the stream is not what the description says.
    pub fn cpus(&self, files: &FileSet, start: u64) -> Result<Option<Vec<Place<'_>>>> {
        let mut cursor = Cursor::new(files, start);
        let mut cpus = Vec::new();
        for device in &self.devices {
            match device.position(&mut cursor) {
                Ok(Some(position)) if device.state.name == "cpu" => {
                    let fields = &device.state.fields;
                    cpus.push(Place { instance: device.instance, position, fields });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) if error.status() == Status::Corrupt => return Ok(None),
                Err(error) => {
                    return Err(error.context(format!("Cannot follow devices at {}", cursor.position)));
                }
            }
        }
        Ok(Some(cpus))
    }
}

impl Device {
    /// Where the state of this device is, if the device is next; goes on behind it.
    fn position(&self, cursor: &mut Cursor<'_>) -> Result<Option<u64>> {
        if cursor.u8()? != SECTION_FULL {
            return Ok(None);
        }
        let id = cursor.u32()?;
        let name = cursor.name()?;
        let instance = cursor.u32()?;
        let _version = cursor.u32()?;
        if name != self.state.name || instance != self.instance {
            return Ok(None);
        }
        let position = cursor.position;
        if !self.state.pass(cursor)? {
            return Ok(None);
        }
        // Old machine types have no footers.
        if cursor.peek(1)?.first() == Some(&FOOTER) {
            cursor.skip(1)?;
            if cursor.u32()? != id {
                return Ok(None);
            }
        }
        Ok(Some(position))
    }
}

impl State {
    /// Goes on behind the fields and subsections; whether these are the ones.
    fn pass(&self, cursor: &mut Cursor<'_>) -> Result<bool> {
        cursor.skip(self.size)?;
        for subsection in &self.subsections {
            if cursor.u8()? != SUBSECTION || cursor.name()? != subsection.name {
                return Ok(false);
            }
            let _version = cursor.u32()?;
            if !subsection.pass(cursor)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads as much of JSON as a description takes; `None` for what is wrong.
struct Json<'a> {
    text: &'a [u8],
    at: usize,
    /// States and fields that may still come.
    states: usize,
    fields: usize,
}

impl Json<'_> {
    /// The next character that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                other => return Some(other),
            }
        }
    }

    /// Whether this character is next; it is taken then.
    fn eat(&mut self, byte: u8) -> Option<bool> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Some(there)
    }

    /// A text; escapes stay as they are, because no name has any.
    fn string(&mut self) -> Option<&str> {
        if !self.eat(b'"')? {
            return None;
        }
        let start = self.at;
        loop {
            match *self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        core::str::from_utf8(self.text.get(start..self.at - 1)?).ok()
    }

    /// A number that is neither negative nor broken.
    fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let digits = self.text.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = core::str::from_utf8(self.text.get(self.at..self.at + digits)?).ok()?;
        self.at += digits;
        text.parse().ok()
    }

    /// Goes on behind any value.
    fn skip(&mut self) -> Option<()> {
        let mut levels = 0u32;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    levels += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    levels = levels.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if levels > 0 => {
                    self.at += 1;
                    continue;
                }
                b',' | b':' => return None,
                // A number or a word.
                _ => {
                    let rest = self.text.get(self.at..)?;
                    self.at += rest.iter().take_while(|byte| !b",:]}[{\" \t\r\n".contains(byte)).count();
                }
            }
            if levels == 0 {
                return Some(());
            }
        }
    }

    /// An object, whose values `member` reads.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        if !self.eat(b'{')? {
            return None;
        }
        if self.eat(b'}')? {
            return Some(());
        }
        loop {
            let key = String::from(self.string()?);
            if !self.eat(b':')? {
                return None;
            }
            member(self, &key)?;
            if self.eat(b'}')? {
                return Some(());
            }
            if !self.eat(b',')? {
                return None;
            }
        }
    }

    /// An array, whose elements `element` reads.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.eat(b'[')? {
            return None;
        }
        if self.eat(b']')? {
            return Some(());
        }
        loop {
            element(self)?;
            if self.eat(b']')? {
                return Some(());
            }
            if !self.eat(b',')? {
                return None;
            }
        }
    }

    fn device(&mut self) -> Option<Device> {
        let mut device = Device { instance: 0, state: State::default() };
        self.states = self.states.checked_sub(1)?;
        self.object(|json, key| match key {
            "name" => {
                device.state.name = json.string()?.into();
                Some(())
            }
            "instance_id" => {
                device.instance = json.number()?.try_into().ok()?;
                Some(())
            }
            _ => json.member(key, &mut device.state, 0),
        })?;
        Some(device)
    }

    /// What devices and subsections have.
    fn member(&mut self, key: &str, state: &mut State, level: u32) -> Option<()> {
        match key {
            "fields" => self.array(|json| json.field(state)),
            "subsections" => self.array(|json| {
                let mut subsection = State::default();
                json.states = json.states.checked_sub(1)?;
                if level >= MOST_LEVELS {
                    return None;
                }
                json.object(|json, key| match key {
                    "vmsd_name" => {
                        subsection.name = json.string()?.into();
                        Some(())
                    }
                    _ => json.member(key, &mut subsection, level + 1),
                })?;
                state.subsections.push(subsection);
                Some(())
            }),
            _ => self.skip(),
        }
    }

    fn field(&mut self, state: &mut State) -> Option<()> {
        let mut field = Field { name: String::new(), offset: state.size, size: 0, count: 1 };
        self.object(|json, key| {
            match key {
                "name" => field.name = json.string()?.into(),
                "size" => field.size = json.number()?,
                "array_len" => field.count = json.number()?,
                _ => json.skip()?,
            }
            Some(())
        })?;
        state.size = state.size.checked_add(field.size.checked_mul(field.count)?)?;
        // The name of a device stands in front of its fields.
        if state.name == "cpu" && KEPT.iter().any(|name| field.name.starts_with(name)) {
            self.fields = self.fields.checked_sub(1)?;
            state.fields.push(field);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_the_size_of_each_state() {
        let text = br#"{"configuration": {"a": [1, -2.5e3, "\"}", null]}, "page_size": 16384, "devices": [
            {"name": "cpu", "instance_id": 3, "vmsd_name": "cpu", "fields": [
                {"name": "env.regs", "array_len": 16, "type": "uint64", "size": 8},
                {"name": "s", "type": "struct", "struct": {"fields": [{"name": "x", "size": 4}]}, "size": 20},
                {"name": "env.efer", "size": 8}],
             "subsections": [{"vmsd_name": "cpu/x", "fields": [{"name": "y", "size": 9}],
                "subsections": [{"vmsd_name": "z", "fields": []}]}]},
            {"name": "empty", "instance_id": 0} ]}"#;
        let description = Description::parse(text).unwrap();
        assert_eq!(description.page_size, Some(16384));
        let [cpu, empty] = &description.devices[..] else { panic!() };
        assert_eq!((&*cpu.state.name, cpu.instance, cpu.state.size), ("cpu", 3, 156));
        let [regs, efer] = &cpu.state.fields[..] else { panic!() };
        assert_eq!((regs.size, regs.count, efer.offset), (8, 16, 148));
        let subsection = &cpu.state.subsections[0];
        assert_eq!((&*subsection.name, subsection.size), ("cpu/x", 9));
        assert_eq!(subsection.subsections[0].name, "z");
        assert_eq!((&*empty.state.name, empty.state.size), ("empty", 0));
    }

    #[test]
    fn what_is_no_description_is_none() {
        for text in [
            &b""[..],
            b"{",
            b"[]",
            b"{\"devices\": 5}",
            b"{\"devices\": [{]}",
            b"{\"page_size\": -1}",
            b"{\"x\": }",
            b"{\"x\": ]}",
            b"{\"x\" 1}",
            b"{\"x\\",
            b"{\"devices\": [{\"fields\": [{\"size\": 99999999999999999999}]}]}",
            b"{\"devices\": [{\"fields\": [{\"size\": 4294967296, \"array_len\": 4294967296}]}]}",
        ] {
            assert!(Description::parse(text).is_none(), "{}", String::from_utf8_lossy(text));
        }
        let deep = [&b"{\"x\": "[..], &[b'['; 100_000], &[b']'; 100_000], b"}"].concat();
        assert!(Description::parse(&deep).is_some());
        let open = b"{\"subsections\": [".repeat(10_000);
        let device = [&b"{\"devices\": ["[..], &open].concat();
        assert!(Description::parse(&device).is_none());
    }
}
