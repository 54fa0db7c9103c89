//! An image of a record: bytes in it, or a name of a member beside it or of a file in a folder.

use std::fs;
use std::path::{Component, Path};

use super::Source;
use crate::error::ShardError;
use crate::example::{EncodedImage, is_image};
use crate::value::Value;

impl Source<'_> {
    /// The image that a field gives: bytes, a struct `{bytes, path}`, or a name. None where it is missing: null, without
    /// bytes, or a name that nothing has.
    pub(super) fn image(&mut self, value: Value, place: usize) -> Result<Option<EncodedImage>, ShardError> {
        match value {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(EncodedImage::new(bytes, "")),
            Value::Text(name) => self.named_image(&name, place),
            Value::Struct(mut fields) => {
                let mut take = |wanted: &str| {
                    let place = fields.iter().position(|(name, _)| name == wanted)?;
                    Some(std::mem::take(&mut fields[place].1))
                };
                let name = match take("path") {
                    Some(Value::Text(name)) => name,
                    _ => String::new(),
                };
                match take("bytes") {
                    Some(Value::Bytes(bytes)) => Ok(EncodedImage::new(bytes, &name)),
                    Some(Value::Null) | None if !name.is_empty() => self.named_image(&name, place),
                    Some(Value::Null) => Ok(None),
                    Some(other) => Err(self.malformed("bytes of an image", other.described())),
                    None => {
                        Err(self
                            .malformed("an image as a struct of `bytes` and `path`", Value::Struct(fields).described()))
                    }
                }
            }
            other => {
                Err(self.malformed("an image as bytes, a struct of `bytes` and `path`, or a name", other.described()))
            }
        }
    }

    /// The image of a name: the member whose suffix is that name, or the member numbered by its place, or the file.
    fn named_image(&mut self, name: &str, place: usize) -> Result<Option<EncodedImage>, ShardError> {
        if let Some((suffix, bytes)) = self.member_image(name).or_else(|| self.numbered_image(place)) {
            return Ok(EncodedImage::new(bytes, &suffix));
        }
        let Some(folder) = &self.reading.images else { return Ok(None) };
        // Addresses stand where images were not fetched.
        if name.is_empty() || name.contains("://") {
            return Ok(None);
        }
        let parts = Path::new(name).components().filter(|part| *part != Component::CurDir);
        if !parts.clone().all(|part| matches!(part, Component::Normal(_))) {
            return Err(self.malformed("an image's name inside the folder of images", format!("`{name}`")));
        }
        let path = folder.join(parts.collect::<std::path::PathBuf>());
        match fs::read(&path) {
            Ok(bytes) => Ok(EncodedImage::new(bytes, name)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ShardError::file("read", &path)(error)),
        }
    }

    /// The member that a name means, in upper or lower case.
    fn member_image(&mut self, name: &str) -> Option<(String, Vec<u8>)> {
        let Value::Struct(fields) = &mut self.record.value else { return None };
        let name = name.to_lowercase();
        let (suffix, value) =
            fields.iter_mut().find(|(suffix, value)| *suffix == name && matches!(value, Value::Bytes(_)))?;
        taken(suffix, value)
    }

    /// The member `0.jpg`, `1.png`, … of a place.
    pub(super) fn numbered_image(&mut self, place: usize) -> Option<(String, Vec<u8>)> {
        let Value::Struct(fields) = &mut self.record.value else { return None };
        let is_here = |suffix: &str| {
            let number = suffix.split_once('.').filter(|(_, rest)| is_image(rest)).map(|(number, _)| number);
            number.and_then(|number| number.parse().ok()) == Some(place)
        };
        let (suffix, value) =
            fields.iter_mut().find(|(suffix, value)| is_here(suffix) && matches!(value, Value::Bytes(_)))?;
        taken(suffix, value)
    }

    /// The first member that is an image, whatever its suffix.
    pub(super) fn first_image(&mut self) -> Option<Value> {
        let Value::Struct(fields) = &mut self.record.value else { return None };
        let is_member = |(suffix, value): &&mut (String, Value)| is_image(suffix) && matches!(value, Value::Bytes(_));
        fields.iter_mut().find(is_member).map(|(_, value)| std::mem::take(value))
    }
}

fn taken(suffix: &str, value: &mut Value) -> Option<(String, Vec<u8>)> {
    match std::mem::take(value) {
        Value::Bytes(bytes) => Some((suffix.to_string(), bytes)),
        _ => None,
    }
}
