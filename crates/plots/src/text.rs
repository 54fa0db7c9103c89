//! How wide text is, in the embedded typeface, so that margins and legends fit what they hold.
//!
//! The typeface is Inter 4.1, two cuts, Latin and Greek (SIL Open Font License 1.1, `fonts/OFL.txt`). A browser without it
//! takes another sans serif, whose text is at most some per cent wider; the margins leave that room.

use std::sync::LazyLock;

use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

/// The common cut.
pub(crate) const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.ttf");
/// The cut of titles.
pub(crate) const SEMI_BOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.ttf");
/// Families by preference; the first is the embedded one.
pub(crate) const FAMILIES: &str = "Inter, system-ui, 'Helvetica Neue', Arial, sans-serif";

/// Which cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    SemiBold,
}

/// Advances of characters in units of the text's size.
struct Advances {
    font: Option<FontRef<'static>>,
    /// Of a character that the typeface lacks.
    missing: f64,
}

impl Advances {
    fn of(bytes: &'static [u8]) -> Self {
        Self { font: FontRef::new(bytes).ok(), missing: 1.0 }
    }

    fn sum(&self, text: &str) -> f64 {
        let Some(font) = &self.font else { return text.chars().count() as f64 * self.missing };
        let metrics = GlyphMetrics::new(font, Size::new(1.0), LocationRef::default());
        let characters = font.charmap();
        let advance = |c: char| characters.map(c).and_then(|glyph| metrics.advance_width(glyph));
        text.chars().map(|c| advance(c).map_or(self.missing, f64::from)).sum()
    }
}

static ADVANCES: LazyLock<[Advances; 2]> = LazyLock::new(|| [REGULAR, SEMI_BOLD].map(Advances::of));

/// Width of `text` set at `size` pixels, in pixels.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    ADVANCES[usize::from(weight == Weight::SemiBold)].sum(text) * size
}

/// `text`, or its beginning and an ellipsis where it is wider than `room`.
pub(crate) fn fitted(text: &str, size: f64, weight: Weight, room: f64) -> String {
    if width(text, size, weight) <= room {
        return text.to_string();
    }
    let mut kept: String = text.to_string();
    while kept.pop().is_some() {
        let shorter = format!("{}…", kept.trim_end());
        if width(&shorter, size, weight) <= room {
            return shorter;
        }
    }
    String::new()
}

/// `text` broken at spaces into lines of at most `room`; a longer word is cut.
pub(crate) fn lines(text: &str, size: f64, weight: Weight, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, weight) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fitted(word, size, weight, room)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_typeface_has_every_sign_that_a_label_takes() {
        for bytes in [REGULAR, SEMI_BOLD] {
            let characters = FontRef::new(bytes).unwrap().charmap();
            for sign in "0123456789.−×⁻⁰¹²³⁴⁵⁶⁷⁸⁹…\u{202f}αβγδλσÄßé≈≤√∞→".chars()
            {
                assert!(characters.map(sign).is_some(), "{sign:?}");
            }
        }
    }

    #[test]
    fn widths_add_up_and_grow_with_size_and_weight() {
        let [one, two] = [width("10⁶", 10.0, Weight::Regular), width("10⁶", 20.0, Weight::Regular)];
        assert!((two - 2.0 * one).abs() < 1e-9 && one > 10.0 && one < 30.0, "{one}");
        assert!(width("loss", 12.0, Weight::SemiBold) > width("loss", 12.0, Weight::Regular));
        assert!(width("字", 12.0, Weight::Regular) > 0.0);
    }

    #[test]
    fn text_is_cut_and_broken_to_its_room() {
        let fits = |text: &str, room: f64| width(text, 12.0, Weight::Regular) <= room;
        let cut = fitted("a run with a long name", 12.0, Weight::Regular, 60.0);
        assert!(cut.ends_with('…') && cut.starts_with("a run") && fits(&cut, 60.0), "{cut}");
        assert_eq!(fitted("short", 12.0, Weight::Regular, 60.0), "short");
        assert_eq!(fitted("short", 12.0, Weight::Regular, 1.0), "");
        let broken = lines("image, held out, of all steps", 12.0, Weight::Regular, 60.0);
        assert!(broken.len() > 1 && broken.iter().all(|line| fits(line, 60.0)), "{broken:?}");
        assert_eq!(broken.join(" "), "image, held out, of all steps");
    }
}
