//! The text of an SVG: elements, escaped words and rounded lengths.

use std::fmt::Write as _;

use crate::text::Weight;

/// Where text begins, relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How text is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lettering {
    pub(crate) size: f64,
    pub(crate) weight: Weight,
    pub(crate) anchor: Anchor,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stroke<'a> {
    pub(crate) color: &'a str,
    pub(crate) width: f64,
    pub(crate) opacity: f64,
    pub(crate) dashed: bool,
}

impl Stroke<'_> {
    fn attributes(&self) -> String {
        let mut text = format!("stroke='{}' stroke-width='{}'", self.color, length(self.width));
        if self.opacity < 1.0 {
            text.push_str(&format!(" stroke-opacity='{}'", length(self.opacity)));
        }
        if self.dashed {
            text.push_str(" stroke-dasharray='6 4'");
        }
        text
    }
}

/// An SVG under construction.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    text: String,
}

impl Svg {
    /// Adds text that is markup already.
    pub(crate) fn markup(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    /// A straight line.
    pub(crate) fn line(&mut self, from: [f64; 2], to: [f64; 2], stroke: Stroke<'_>) {
        let [x1, y1, x2, y2] = [from[0], from[1], to[0], to[1]].map(length);
        let stroke = stroke.attributes();
        self.markup(&format!("<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' {stroke}/>"));
    }

    /// A line through points.
    pub(crate) fn polyline(&mut self, points: &[[f64; 2]], stroke: Stroke<'_>) {
        let (points, stroke) = (listed(points), stroke.attributes());
        self.markup(&format!("<polyline points='{points}' fill='none' stroke-linejoin='round' {stroke}/>"));
    }

    /// A filled area.
    pub(crate) fn polygon(&mut self, points: &[[f64; 2]], fill: &str, opacity: f64) {
        let (points, opacity) = (listed(points), length(opacity));
        self.markup(&format!("<polygon points='{points}' fill='{fill}' fill-opacity='{opacity}'/>"));
    }

    /// A filled rectangle, by two opposite corners.
    pub(crate) fn rectangle(&mut self, a: [f64; 2], b: [f64; 2], fill: &str, opacity: f64) {
        let [x, y] = [0, 1].map(|axis| length(a[axis].min(b[axis])));
        let [width, height] = [0, 1].map(|axis| length((a[axis] - b[axis]).abs()));
        let opacity = if opacity < 1.0 { format!(" fill-opacity='{}'", length(opacity)) } else { String::new() };
        self.markup(&format!("<rect x='{x}' y='{y}' width='{width}' height='{height}' fill='{fill}'{opacity}/>"));
    }

    /// Words at a place, their foot on it.
    pub(crate) fn words(&mut self, words: &str, at: [f64; 2], lettering: Lettering) {
        self.set(words, at, lettering, "");
    }

    /// Words that read upwards.
    pub(crate) fn words_upwards(&mut self, words: &str, at: [f64; 2], lettering: Lettering) {
        let turn = format!(" transform='rotate(-90 {} {})'", length(at[0]), length(at[1]));
        self.set(words, at, lettering, &turn);
    }

    /// Dark words with a white rim, to be read on any colour.
    pub(crate) fn words_rimmed(&mut self, words: &str, at: [f64; 2], lettering: Lettering) {
        let rim = " style='fill:#000;stroke:#fff;stroke-width:3px;stroke-linejoin:round;paint-order:stroke'";
        self.set(words, at, lettering, rim);
    }

    fn set(&mut self, words: &str, at: [f64; 2], lettering: Lettering, attributes: &str) {
        let [x, y, size] = [at[0], at[1], lettering.size].map(length);
        let anchor = match lettering.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor='middle'",
            Anchor::End => " text-anchor='end'",
        };
        let weight = if lettering.weight == Weight::SemiBold { " font-weight='600'" } else { "" };
        let words = escaped(words);
        self.markup(&format!("<text x='{x}' y='{y}' font-size='{size}'{anchor}{weight}{attributes}>{words}</text>"));
    }

    /// The text of all elements.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Points as an attribute has them.
fn listed(points: &[[f64; 2]]) -> String {
    let mut text = String::with_capacity(points.len() * 12);
    for [x, y] in points {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{space}{},{}", length(*x), length(*y));
    }
    text
}

/// A length to a hundredth, without zeros that say nothing; far off the paper where it is beyond counting.
pub(crate) fn length(value: f64) -> String {
    let text = format!("{:.2}", value.clamp(-1e6, 1e6));
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// Text as it stands between tags and in attributes; a character that XML forbids becomes the replacement character.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_and_never_minus_zero() {
        let found = [1.0, 1.5, 0.126, -0.001, 1e300, -2.10].map(length);
        assert_eq!(found, ["1", "1.5", "0.13", "0", "1000000", "-2.1"]);
    }

    #[test]
    fn words_cannot_leave_their_element() {
        assert_eq!(escaped("<b a='\"'>&\u{0}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
    }
}
