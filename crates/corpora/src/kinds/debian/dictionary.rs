//! Dictionaries as the dictionary server has them: an index of headwords and a compressed text.
//!
//! A line of the index is `headword TAB offset TAB length`, the numbers in base 64 with `A` as 0 and `/` as 63, the
//! highest digit first. Several headwords may lead to one entry; those that begin with `00-database` or `00-` tell of
//! the dictionary.

use std::collections::BTreeSet;
use std::path::Path;

use crate::corpus::Builder;
use crate::error::CorpusError;
use crate::texts::{Dictzip, Form, Store};

/// The longest entry that is believed, in bytes; a longer one is damage.
const LONGEST: u64 = 1 << 24;

/// Adds the entries of a dictionary in the order in which they lie.
pub(super) fn add(builder: &mut Builder, folder: &Path, name: &str) -> Result<(), CorpusError> {
    let index = folder.join(format!("{name}.index"));
    let lines = std::fs::read(&index).map_err(CorpusError::file("read", &index))?;
    let mut places = BTreeSet::new();
    for (number, line) in lines.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let mut fields = line.split(|&byte| byte == b'\t');
        let headword = fields.next().unwrap_or_default();
        let place = fields.next().and_then(number_of).zip(fields.next().and_then(number_of));
        match place.filter(|(_, length)| *length <= LONGEST) {
            Some(place) if !headword.starts_with(b"00-") => drop(places.insert(place)),
            Some(_) => {}
            None => {
                let name = format!("{} line {}", index.display(), number + 1);
                let found = String::from_utf8_lossy(line).into_owned();
                return Err(CorpusError::malformed(name, "`headword`, offset and length, between tabs", found));
            }
        }
    }
    let text = Dictzip::open(&folder.join(format!("{name}.dict.dz")))?;
    let mut wrong = 0;
    let mut entries = vec![];
    for (offset, length) in places {
        match String::from_utf8(text.read(offset, length as usize)?) {
            Ok(raw) => entries.push((offset, length, raw)),
            Err(_) => wrong += 1,
        }
    }
    builder.group(name, Store::Dictzip(text), Form::DictionaryEntry);
    for (number, (offset, length, raw)) in entries.into_iter().enumerate() {
        if let Some(entry) = Form::DictionaryEntry.text(&raw).filter(|entry| !entry.trim().is_empty()) {
            builder.add(Some(number as u32), (offset, length as u32), entry);
        }
    }
    builder.skip_all(wrong, |count| format!("{count} entries of `{name}` are not in UTF-8"));
    Ok(())
}

/// A number in the index's base 64.
fn number_of(digits: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        number = number.checked_mul(64)?.checked_add(u64::from(value))?;
    }
    (!digits.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_64_digits() {
        for (digits, number) in [("A", 0), ("/", 63), ("BA", 64), ("5I", 57 * 64 + 8), ("DzBR", 995_409)] {
            assert_eq!(number_of(digits.as_bytes()), Some(number), "{digits}");
        }
        for wrong in ["", "=", "A A", "////////////"] {
            assert_eq!(number_of(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
