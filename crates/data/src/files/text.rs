//! Text of unknown origin: captions are UTF-8, or UTF-16 with a byte order mark; anything else is refused by name rather
//! than read with letters lost.

use std::borrow::Cow;

/// The captions of a text file: each line that is not blank is one.
///
/// # Errors
///
/// When the bytes are neither UTF-8 nor UTF-16 with a byte order mark, or a caption holds NUL or U+FFFD, which stands for
/// letters that were lost. The sentence says what was expected and found.
pub fn caption_lines(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = decoded(bytes)?;
    checked(&text)?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect())
}

/// A text without its byte order mark.
pub(super) fn decoded(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let utf16 = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| number(*pair))).collect();
        match (text, rest) {
            (Ok(text), []) => Ok(Cow::Owned(text)),
            _ => Err("expected text in UTF-16, as its byte order mark says, or in UTF-8, found neither".to_string()),
        }
    };
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => utf8(text).map(Cow::Borrowed),
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        text => utf8(text).map(Cow::Borrowed),
    }
}

/// Whether bytes begin with the mark of UTF-16.
pub(super) fn is_utf16(start: &[u8]) -> bool {
    matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// Bytes that must be UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to();
        let found = bytes.get(place).copied().unwrap_or_default();
        format!("expected text in UTF-8, found the byte 0x{found:02x} at place {}", place + 1)
    })
}

/// Refuses what no caption holds.
pub(super) fn checked(caption: &str) -> Result<(), String> {
    match caption.chars().find(|letter| matches!(letter, '\0' | '\u{fffd}')) {
        None => Ok(()),
        Some('\0') => Err("expected text in UTF-8, found the character NUL".into()),
        Some(_) => Err("expected text in UTF-8, found U+FFFD, which stands for letters that were lost".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn captions_are_read_with_any_mark_and_any_line_ends() {
        for bytes in [
            b"a red apple\n".to_vec(),
            b"\xef\xbb\xbf\r\n a red apple \r\n\r\n".to_vec(),
            utf16("a red apple\r\n", u16::to_le_bytes),
            utf16("\na red apple", u16::to_be_bytes),
        ] {
            assert_eq!(caption_lines(&bytes).unwrap(), ["a red apple"]);
        }
        assert_eq!(caption_lines("café\n\n红色".as_bytes()).unwrap(), ["café", "红色"]);
        assert!(caption_lines(b" \n").unwrap().is_empty());
    }

    #[test]
    fn other_encodings_are_refused_with_the_word_utf_8() {
        for bytes in [
            &b"caf\xe9"[..],
            b"\xba\xec\xc9\xab",
            b"a\0b",
            b"\xff\xfea",
            b"\xff\xfe\x00\xd8",
            b"\xff\xfe\0\0a\0\0\0",
            "lost \u{fffd}".as_bytes(),
        ] {
            let reason = caption_lines(bytes).unwrap_err();
            assert!(reason.contains("UTF-8"), "{bytes:?}: {reason}");
        }
    }
}
