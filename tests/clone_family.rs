//! A family of clones against a simple model of what they share: long random
//! sequences of operations, after each of which every member is looked at.
//! The same text for all sharing backends.

mod context_support;

use std::collections::HashMap;

use context_support::page;
use kdumpfile::sync::Shared;
use kdumpfile::{AttrRef, Blob, Callbacks, CloneOptions, Context, Result, Space, Status, Value};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;

const SEEDS: u64 = 10;
const STEPS: u64 = 10_000;
/// As many contexts as live at the same time.
const FAMILY: u64 = 6;
/// Pages of a dump; the odd ones are excluded from it.
const PAGES: u64 = 8;

/// Attributes that all see. Opening a dump sets none of them.
const SHARED: [&str; 4] = ["xen.version.extra", "xen.type", "file.zero_excluded", "cache.size"];
/// Attributes that those see which share a translation.
const SCOPED: [&str; 4] = [
    "addrxlat.default.virt_bits",
    "addrxlat.default.os_type",
    "addrxlat.force.phys_bits",
    "addrxlat.force.rootpgt.as",
];
const DIRECTORIES: [&str; 4] = ["addrxlat", "addrxlat.default", "addrxlat.force.rootpgt", "xen.version"];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn key(&mut self) -> &'static str {
        if self.below(2) == 0 { self.choose(&SHARED) } else { self.choose(&SCOPED) }
    }
}

/// Which values a key has: one map for all, one for each translation.
type Values = HashMap<&'static str, Value>;

/// What a context should be like.
struct Expected {
    translation: u64,
    private: Option<u64>,
    symbol: Option<u64>,
    error: Option<Status>,
}

#[derive(Default)]
struct Model {
    shared: Values,
    translations: HashMap<u64, Values>,
    next_translation: u64,
    /// The dump that is open, by its seed, and the slots that its cache has.
    open: Option<(u64, u64)>,
}

fn scoped(key: &str) -> bool {
    key.starts_with("addrxlat")
}

impl Model {
    fn values(&mut self, key: &str, translation: u64) -> &mut Values {
        match scoped(key) {
            true => self.translations.get_mut(&translation).unwrap(),
            false => &mut self.shared,
        }
    }

    fn set(&mut self, key: &'static str, translation: u64, value: Value) {
        if let ("cache.size", Some(number), Some((_, slots))) = (key, value.as_number(), &mut self.open) {
            // Clearing the attribute leaves the cache as it is.
            *slots = number;
        }
        self.values(key, translation).insert(key, value);
    }

    fn number(&self, key: &str) -> u64 {
        self.shared.get(key).and_then(Value::as_number).unwrap_or(0)
    }

    fn page(&self, pfn: u64) -> Result<Vec<u8>, Status> {
        let (seed, slots) = self.open.ok_or(Status::AddrXlat)?;
        if slots == 0 {
            return Err(Status::Busy);
        }
        match (pfn % 2, self.number("file.zero_excluded")) {
            (0, _) => Ok(page(seed, pfn)),
            (_, 0) => Err(Status::NoData),
            _ => Ok(vec![0; 4096]),
        }
    }
}

fn value_for(key: &str, random: &mut Random) -> Value {
    match key {
        "xen.version.extra" | "addrxlat.default.os_type" => {
            Value::from(&*format!("text {}", random.below(4)))
        }
        "cache.size" => Value::Number(random.below(6)),
        _ => Value::Number(random.below(3)),
    }
}

fn dump_of(seed: u64) -> Vec<u8> {
    let pages = (0..PAGES).step_by(2).map(|pfn| (pfn, page(seed, pfn)));
    DiskdumpBuilder::default().pages(pages, Codec::Snappy).max_mapnr(PAGES).build()
}

/// The contexts, what they should be like, and handles that live as long as
/// they like.
#[derive(Default)]
struct Family {
    members: Vec<(Context, Expected)>,
    model: Model,
    handles: Vec<(AttrRef, &'static str, u64)>,
    blobs: Vec<(Blob, u8)>,
}

impl Family {
    fn new() -> Self {
        let mut family = Family::default();
        let translation = family.new_translation(Values::new());
        family.model.shared.insert("cache.size", Value::Number(1024));
        let first = Expected { translation, private: None, symbol: None, error: None };
        family.members.push((Context::new(), first));
        family
    }

    fn new_translation(&mut self, values: Values) -> u64 {
        let number = self.model.next_translation;
        self.model.next_translation += 1;
        self.model.translations.insert(number, values);
        number
    }

    /// Drops what the model knows of translations that nobody has any more;
    /// the first one stays, as the dump itself has it.
    fn forget_translations(&mut self) {
        let members = &self.members;
        let alive =
            |number: u64| number == 0 || members.iter().any(|(_, expected)| expected.translation == number);
        self.model.translations.retain(|number, _| alive(*number));
    }

    /// Runs one operation; returns its name.
    fn step(&mut self, random: &mut Random, files: &[Vec<u8>]) -> &'static str {
        let at = random.below(self.members.len() as u64) as usize;
        let translation = self.members[at].1.translation;
        let (name, outcome) = match random.below(16) {
            0 | 1 => {
                let key = random.key();
                let value = value_for(key, random);
                self.model.set(key, translation, value.clone());
                ("set", self.members[at].0.set(key, value).map_err(|e| e.status()))
            }
            2 => {
                let key = if random.below(4) == 0 { random.choose(&DIRECTORIES) } else { random.key() };
                self.model
                    .values(key, translation)
                    .retain(|other, _| *other != key && !other.starts_with(&format!("{key}.")));
                ("clear", self.members[at].0.clear(Some(key)).map_err(|e| e.status()))
            }
            3 => {
                let key = random.key();
                let handle = self.members[at].0.attr(Some(key)).unwrap();
                self.handles.push((handle, key, translation));
                if self.handles.len() > 20 {
                    self.handles.swap_remove(random.below(20) as usize);
                }
                ("reference", Ok(()))
            }
            4 if !self.handles.is_empty() => {
                let (handle, key, of) = random.choose(&self.handles);
                let value = value_for(key, random);
                let exists = !scoped(key) || self.model.translations.contains_key(&of);
                if exists {
                    self.model.set(key, of, value.clone());
                }
                let set = self.members[at].0.set_attr(handle, value).map_err(|e| e.status());
                assert_eq!(set, if exists { Ok(()) } else { Err(Status::NoKey) });
                ("set by reference", set)
            }
            5 if !self.handles.is_empty() => {
                let (handle, key, of) = random.choose(&self.handles);
                let exists = !scoped(key) || self.model.translations.contains_key(&of);
                let expected = match exists {
                    true => self.model.values(key, of).get(key).cloned().ok_or(Status::NoData),
                    false => Err(Status::NoKey),
                };
                let found = self.members[at].0.get_attr(handle).map_err(|e| e.status());
                assert_same(&found, &expected);
                ("get by reference", found.map(drop))
            }
            6 if (self.members.len() as u64) < FAMILY => {
                let own = random.below(2) == 0;
                let clone = self.members[at].0.clone_with(CloneOptions::new().own_translation(own));
                let translation = match own {
                    true => self.new_translation(self.model.translations[&translation].clone()),
                    false => translation,
                };
                let original = &self.members[at].1;
                let expected = Expected { translation, error: None, ..*original };
                self.members.push((clone, expected));
                // Cloning is no call of the original.
                return "clone";
            }
            7 if self.members.len() > 1 => {
                self.members.swap_remove(at);
                self.forget_translations();
                return "drop";
            }
            8 => {
                let private = (random.below(4) > 0).then(|| random.below(100));
                self.members[at].1.private = private;
                match private {
                    Some(data) => self.members[at].0.set_private_data(data),
                    None => self.members[at].0.clear_private_data(),
                }
                return "private data";
            }
            9 => {
                let symbol = (random.below(4) > 0).then(|| random.below(100));
                self.members[at].1.symbol = symbol;
                let mut callbacks = Callbacks::default();
                if let Some(address) = symbol {
                    callbacks.symbol_value = Some(Shared::new(move |_: &Context, _: &str| Ok(address)));
                }
                self.members[at].0.set_callbacks(callbacks);
                return "callback";
            }
            10 => {
                let (context, expected) = &self.members[at];
                let found = context.symbol_value("nowhere").map_err(|e| e.status());
                assert_eq!(found, expected.symbol.ok_or(Status::NoData));
                ("symbol", found.map(drop))
            }
            11 => {
                let pfn = random.below(PAGES);
                let mut bytes = vec![0xee; 4096];
                let read = self.members[at].0.read(Space::MachinePhysical, pfn << 12, &mut bytes);
                let expected = self.model.page(pfn);
                let found = read.map(|()| bytes).map_err(|e| e.status());
                // Whole pages would drown the message.
                assert!(found == expected, "PFN {pfn}: {:?} for {:?}", found.err(), expected.err());
                ("read", found.map(drop))
            }
            12 => ("failing get", self.members[at].0.get("no.such.key").map(drop).map_err(|e| e.status())),
            13 => {
                let byte = random.below(256) as u8;
                let blob = Blob::new(vec![byte; 3]);
                let value = Value::Blob(blob.clone());
                let set = self.members[at].0.set("linux.task_struct", value).map_err(|e| e.status());
                self.blobs.push((blob, byte));
                if self.blobs.len() > 5 {
                    self.blobs.remove(0);
                }
                ("set blob", set)
            }
            14 if random.below(8) == 0 => {
                let seed = random.below(2);
                let opened = self.members[at].0.open_bytes(files[seed as usize].clone());
                let slots = self.model.shared.get("cache.size").and_then(Value::as_number);
                self.model.open = Some((seed, slots.unwrap_or(1024)));
                ("open", opened.map_err(|e| e.status()))
            }
            15 if random.below(16) == 0 => {
                let opened = self.members[at].0.open_bytes(b"no dump".to_vec()).map_err(|e| e.status());
                assert_eq!(opened, Err(Status::NotImplemented));
                self.model.open = None;
                ("open what is no dump", opened)
            }
            _ => {
                let attr = self.members[at].0.attr(Some("cache.size")).unwrap();
                assert!(self.members[at].0.attr_path(attr).unwrap() == "cache.size");
                ("path", Ok(()))
            }
        };
        self.members[at].1.error = outcome.err();
        name
    }

    /// Looks at every member.
    fn check(&mut self, key: &'static str) {
        for (context, expected) in &mut self.members {
            assert_eq!(context.last_error().map(|error| error.status()), expected.error);
            assert_eq!(context.private_data::<u64>().as_deref(), expected.private.as_ref());
            let value = self.model.values(key, expected.translation).get(key).cloned();
            let found = context.get(key).map_err(|error| error.status());
            expected.error = found.as_ref().err().copied();
            assert_same(&found, &value.ok_or(Status::NoData));
        }
        if let (Some((blob, byte)), Some((context, expected))) = (self.blobs.last(), self.members.first_mut())
        {
            let shared = context.blob("linux.task_struct").unwrap();
            expected.error = None;
            assert!(shared.same_object(blob));
            assert_eq!(shared.to_vec(), [*byte; 3]);
        }
        for (blob, byte) in &self.blobs {
            assert_eq!(blob.to_vec(), [*byte; 3], "handles keep what they hold");
        }
    }
}

fn assert_same(found: &Result<Value, Status>, expected: &Result<Value, Status>) {
    let same = match (found, expected) {
        (Ok(found), Ok(expected)) => {
            (found.as_number(), found.as_str()) == (expected.as_number(), expected.as_str())
        }
        (Err(found), Err(expected)) => found == expected,
        _ => false,
    };
    assert!(same, "found {found:?}, expected {expected:?}");
}

/// Says how to come back to a failure.
struct Position {
    seed: u64,
    step: u64,
    last: &'static str,
}

impl Drop for Position {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}, step {}, after: {}", self.seed, self.step, self.last);
        }
    }
}

#[test]
fn hundred_thousand_steps_go_as_the_model_says() {
    let files = [dump_of(0), dump_of(1)];
    for seed in 1..=SEEDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut family = Family::new();
        let mut position = Position { seed, step: 0, last: "" };
        for step in 0..STEPS {
            position.step = step;
            position.last = family.step(&mut random, &files);
            family.check(random.key());
        }
    }
}
