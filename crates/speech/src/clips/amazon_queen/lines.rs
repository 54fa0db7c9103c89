//! The lines of the voices by the names of their clips.
//!
//! A line is said in segments, each of which ends at `*` and two characters that name a gesture. Segments are counted from 1,
//! the empty ones too, which have no clip. Numbers are big-endian, and offsets count from byte 20 of an entry.
//!
//! | where | name of a clip | layout |
//! |---|---|---|
//! | dialogue `.DOG` | talk key `%02d`, line `%04X`, `J` (Joe) or `P` (the other), segment `%X` | levels, –, talk key, Joe's count, the other's count at 0, 2, 4, 6, 8; the other's table at the number at 22, Joe's at 32 + 96 · levels |
//! | cutscene `.CUT` | its name filled up to five by `_`, string `%02d`, segment `%X` | strings from the number at 8 on; the first is no line |
//! | what Joe says of things | `JOE`, number `%04d`, segment `%X` | `QUEEN2.JAS`, a text; counts of rooms, names and descriptions at 0, 2 and 6 of `QUEEN.JAS` |
//!
//! A table holds for each line two bytes, its number, and a string. A string is its length in a byte, its text, and zeros up to a
//! multiple of 4 (dialogues) or 2 (cutscenes); an empty one has no zeros.

use std::collections::BTreeMap;

use super::container::Container;
use crate::error::SpeechError;

/// What an entry of an archive begins with.
const ENTRY_HEADER: usize = 20;
/// More strings than any cutscene has; what follows them is no string.
const MOST_STRINGS: usize = 99;
/// Joe's answers, which are numbered before the descriptions of things.
const ANSWERS: usize = 40;
/// Names of verbs, which stand before the answers.
const VERBS: usize = 12;

/// One segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) by_joe: bool,
}

/// Segments by the names of their clips.
pub(super) type Lines = BTreeMap<String, Line>;

/// Reads all lines.
///
/// # Errors
/// When the container cannot be read. An entry that is not as it should be has no lines, or fewer.
pub(super) fn read(container: &Container) -> Result<Lines, SpeechError> {
    let mut lines = Lines::new();
    let of = |kind: &str| -> Vec<_> { container.entries().filter(|(name, _)| name.ends_with(kind)).collect() };
    let bytes = |entries: &[(&str, _)]| container.read(entries.iter().map(|(_, place)| *place));
    for entry in bytes(&of(".DOG"))? {
        dialogue(&mut lines, &entry);
    }
    let cutscenes = of(".CUT");
    for ((name, _), entry) in cutscenes.iter().zip(bytes(&cutscenes)?) {
        cutscene(&mut lines, name.trim_end_matches(".CUT"), &entry);
    }
    if let [index, list] = bytes(&[of("QUEEN.JAS"), of("QUEEN2.JAS")].concat())?.as_slice() {
        observations(&mut lines, index, list);
    }
    Ok(lines)
}

/// A dialogue between Joe and another.
fn dialogue(lines: &mut Lines, entry: &[u8]) -> Option<()> {
    let entry = entry.get(ENTRY_HEADER..)?;
    let levels = number(entry, 0)? as i16;
    let (key, joes, others) = (number(entry, 4)?, number(entry, 6)?, number(entry, 8)?);
    let joe = 32 + 96 * usize::from(levels.unsigned_abs());
    let other = usize::from(number(entry, 22)?);
    for (mut place, count, who) in [(joe, joes, 'J'), (other, others, 'P')] {
        for _ in 0..count {
            let id = number(entry, place + 2)?;
            let text = string(entry, place + 4, 4)?;
            place = text.end;
            segments(lines, text.bytes, &format!("{key:02}{id:04X}{who}"), who == 'J');
        }
    }
    Some(())
}

/// A scene that plays by itself.
fn cutscene(lines: &mut Lines, name: &str, entry: &[u8]) -> Option<()> {
    let entry = entry.get(ENTRY_HEADER..)?;
    let mut place = string(entry, usize::from(number(entry, 8)?), 2)?.end;
    for count in 1..=MOST_STRINGS {
        let text = string(entry, place, 2)?;
        place = text.end;
        segments(lines, text.bytes, &format!("{name:_<5}{count:02}"), false);
    }
    Some(())
}

/// What Joe says of things: descriptions are counted from 41, the answers from 1.
fn observations(lines: &mut Lines, index: &[u8], list: &[u8]) -> Option<()> {
    let count = |at: usize| number(index, ENTRY_HEADER + at).map(usize::from);
    let (rooms, names, descriptions) = (count(0)?, count(2)?, count(6)?);
    let answers = descriptions + names + rooms + VERBS;
    let texts: Vec<&[u8]> = list.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let numbered =
        (0..descriptions).map(|row| (row, ANSWERS + row + 1)).chain((0..ANSWERS).map(|row| (answers + row, row + 1)));
    for (row, number) in numbered {
        segments(lines, texts.get(row)?, &format!("JOE{number:04}"), true);
    }
    Some(())
}

/// Adds the segments of a line that are not blank.
fn segments(lines: &mut Lines, mut text: &[u8], name: &str, by_joe: bool) {
    let mut segment = 1;
    while !text.is_empty() {
        let end = text.iter().position(|&byte| byte == b'*').unwrap_or(text.len());
        // Letters beyond ASCII do not occur; as Latin-1 every byte is one.
        let said: String = text[..end].iter().map(|&byte| char::from(byte)).collect();
        if said.contains(char::is_alphanumeric) {
            lines.insert(format!("{name}{segment:X}"), Line { text: said.trim().to_string(), by_joe });
        }
        text = text.get(end + 3..).unwrap_or_default();
        segment += 1;
    }
}

/// A string and the place after it.
struct Text<'a> {
    bytes: &'a [u8],
    end: usize,
}

fn string(entry: &[u8], place: usize, multiple: usize) -> Option<Text<'_>> {
    let length = usize::from(*entry.get(place)?);
    let bytes = entry.get(place + 1..place + 1 + length)?;
    let end = place + 1 + length;
    Some(Text { bytes, end: if length == 0 { end } else { end.next_multiple_of(multiple) } })
}

fn number(entry: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_be_bytes(entry.get(place..place + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &Lines) -> Vec<(&str, &str, bool)> {
        lines.iter().map(|(name, line)| (name.as_str(), line.text.as_str(), line.by_joe)).collect()
    }

    /// An entry of numbers at their places, and of texts after them.
    fn entry(numbers: &[(usize, u16)], texts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut entry = vec![0; ENTRY_HEADER + 400];
        for &(place, number) in numbers {
            entry[ENTRY_HEADER + place..][..2].copy_from_slice(&number.to_be_bytes());
        }
        for &(place, text) in texts {
            entry[ENTRY_HEADER + place..][..text.len()].copy_from_slice(text);
        }
        entry
    }

    #[test]
    fn segments_are_counted_though_empty() {
        let mut lines = Lines::new();
        segments(&mut lines, b"*FLHey, over here!*01It's you. *15...*16!", "X", true);
        assert_eq!(texts(&lines), [("X2", "Hey, over here!", true), ("X3", "It's you.", true)]);
        segments(&mut lines, b"cut off*0", "Y", false);
        assert_eq!(texts(&lines)[2..], [("Y1", "cut off", false)]);
    }

    #[test]
    fn dialogues_have_two_tables() {
        // One level: Joe's table is at 128. Strings end on multiples of 4.
        let entry = entry(
            &[(0, 0xffff), (4, 7), (6, 2), (8, 1), (22, 300)],
            &[(128, b"\0\0\0\x1a\x05Hello\0\0\0\0\xff\xff\x02No\0"), (300, b"\0\0\0\x1a\x06Hi.*01")],
        );
        let mut lines = Lines::new();
        assert!(dialogue(&mut lines, &entry).is_some());
        assert_eq!(texts(&lines), [("07001AJ1", "Hello", true), ("07001AP1", "Hi.", false), ("07FFFFJ1", "No", true)]);
    }

    #[test]
    fn cutscenes_have_a_string_before_their_lines() {
        let entry = entry(&[(8, 40)], &[(40, b"\x03*FL\x02Hi\0\x01*\x04Oh..\0")]);
        let mut lines = Lines::new();
        cutscene(&mut lines, "C1A", &entry);
        assert_eq!(texts(&lines), [("C1A__011", "Hi", false), ("C1A__031", "Oh..", false)]);
    }

    #[test]
    fn observations_stand_in_a_list() {
        let index = entry(&[(0, 1), (2, 2), (6, 2)], &[]);
        let mut list = b"A bone!*24\r\nIt's open*02\r\nrock\r\ncage\r\nR1\r\n".to_vec();
        list.extend(b"verb\r\n".repeat(VERBS));
        list.extend(b"I can't.*03Really.\r\n".repeat(ANSWERS));
        let mut lines = Lines::new();
        assert!(observations(&mut lines, &index, &list).is_some());
        assert_eq!(lines["JOE00411"].text, "A bone!");
        assert_eq!(lines["JOE00421"].text, "It's open");
        assert_eq!((lines["JOE00011"].text.as_str(), lines["JOE00402"].text.as_str()), ("I can't.", "Really."));
        assert_eq!(lines.len(), 2 + 2 * ANSWERS);
    }

    #[test]
    fn entries_that_are_cut_off_have_fewer_lines() {
        let entry = entry(
            &[(0, 1), (4, 7), (6, 9), (8, 9), (22, 300)],
            &[(128, b"\0\0\0\x1a\x05Hello\0\0"), (300, b"\0\0\0\x1a\x06Hi.*01")],
        );
        for end in 0..entry.len() {
            let mut lines = Lines::new();
            dialogue(&mut lines, &entry[..end]);
            cutscene(&mut lines, "C1A", &entry[..end]);
            observations(&mut lines, &entry[..end], b"x");
            assert!(lines.len() < 40);
        }
    }
}
