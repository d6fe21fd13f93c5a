//! `--set`: what the user knows and the dump does not say.
//!
//! Some attributes decide how a dump is opened (`arch.name`, `file.qemu.*`), so
//! they are set before. Others exist only once it is open, or the dump has a
//! value of its own for them: these are set then.

use std::str::FromStr;

use kdumpfile::{AttrRef, AttrType, Context, Error, Value};

use crate::failure::{Failure, Result};
use crate::number;

/// `KEY=VALUE`.
#[derive(Clone, Debug)]
pub struct Setting {
    key: String,
    text: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(setting: &str) -> Result<Self, String> {
        match setting.split_once('=') {
            Some((key, _)) if key == "file.fd" || key.starts_with("file.set") => {
                Err("files are named on the command line; --raw-at tells where raw ones belong".into())
            }
            Some((key, text)) if !key.is_empty() => Ok(Setting { key: key.into(), text: text.into() }),
            _ => Err("KEY=VALUE is wanted".into()),
        }
    }
}

impl Setting {
    /// The attribute and its value, if there is such an attribute already.
    fn resolve(&self, context: &Context) -> Result<Result<(AttrRef, Value), Error>> {
        let attr = match context.attr(Some(&self.key)) {
            Ok(attr) => attr,
            Err(error) => return Ok(Err(error)),
        };
        let wrong = |error| Failure::Usage(format!("--set {}={}: {error}", self.key, self.text));
        let value = match context.attr_type(attr) {
            Some(AttrType::String) => Value::from(&*self.text),
            Some(AttrType::Number) => Value::Number(number::size(&self.text).map_err(wrong)?),
            Some(AttrType::Address) => Value::Address(number::hex(&self.text).map_err(wrong)?),
            _ => {
                return Err(Failure::Usage(format!("--set {}: only texts and numbers can be set", self.key)));
            }
        };
        Ok(Ok((attr, value)))
    }
}

/// Sets what can be set while there is no dump yet; whether it was, for each.
pub fn before_opening(context: &Context, settings: &[Setting]) -> Result<Vec<bool>> {
    let set = |setting: &Setting| {
        let resolved = setting.resolve(context)?;
        Ok(resolved.is_ok_and(|(attr, value)| context.set_attr(attr, value).is_ok()))
    };
    settings.iter().map(set).collect()
}

/// Sets what was not `set` before the dump was opened, and what the dump
/// overrode.
pub fn after_opening(context: &Context, name: &str, settings: &[Setting], set: &[bool]) -> Result<()> {
    for (setting, was_set) in settings.iter().zip(set) {
        let (attr, value) = setting
            .resolve(context)?
            .map_err(|error| Failure::Usage(format!("--set {}: {error}", setting.key)))?;
        // What is said of files has had its effect.
        let keep = *was_set && setting.key.starts_with("file.");
        if keep || context.get_attr(attr).is_ok_and(|now| is_same(&now, &value)) {
            continue;
        }
        let stored = context.set_attr(attr, value);
        stored.map_err(|error| Failure::dump(name, &error.context(setting.key.clone())))?;
    }
    Ok(())
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one == other,
        (Value::Number(one), Value::Number(other)) | (Value::Address(one), Value::Address(other)) => {
            one == other
        }
        _ => false,
    }
}
