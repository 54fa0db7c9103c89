//! HTML to plain text: what a reader sees of the main part of a page, section by section.
//!
//! It is made for documentation that programs wrote (mdBook, Sphinx, Drupal) and takes any input: a tag that never ends
//! is text, and elements need not be closed.

use super::entities::decoded;

/// Elements that are not read.
const HIDDEN: [&str; 14] = [
    "button", "footer", "form", "head", "iframe", "nav", "noscript", "script", "select", "style", "svg", "template",
    "textarea", "title",
];
/// Elements whose content is not markup.
const RAW: [&str; 3] = ["script", "style", "textarea"];
/// Classes of marks and of lines that pages do not show.
const HIDDEN_CLASSES: [&str; 3] = ["headerlink", "boring", "buttons"];
/// Elements that stand for themselves, with a blank line around.
const PARAGRAPHS: [&str; 12] = ["blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "table"];
/// Elements that begin a line.
const LINES: [&str; 14] =
    ["article", "body", "dd", "details", "div", "dt", "hr", "li", "main", "ol", "section", "summary", "tr", "ul"];
/// Headings that begin a section.
const SECTIONS: [&str; 2] = ["h1", "h2"];

/// The sections of a page as plain text: what stands before the first heading of level 1 or 2, and each such heading
/// with what follows. The text of one may be empty.
///
/// Only the main part is read where the page marks one: `<main>` or `role="main"`. Preformatted text keeps its lines.
pub fn html_sections(source: &str) -> Vec<String> {
    let marked = source.contains("<main") || source.contains("role=\"main\"");
    let mut reader = Reader { depth: usize::from(!marked), main: None, ..Reader::default() };
    let mut rest = source;
    while !rest.is_empty() {
        let Some(start) = rest.find('<') else {
            reader.text(rest);
            break;
        };
        reader.text(&rest[..start]);
        rest = &rest[start..];
        let Some((tag, length)) = Tag::read(rest) else {
            reader.text("<");
            rest = &rest[1..];
            continue;
        };
        rest = &rest[length..];
        let raw = !tag.closes && RAW.contains(&tag.name.as_str());
        if !tag.name.is_empty() {
            reader.tag(&tag);
        }
        if raw {
            let end = format!("</{}", tag.name);
            rest = find_ignoring_case(rest, &end).map_or("", |end| &rest[end..]);
        }
    }
    reader.end_section();
    reader.sections
}

fn find_ignoring_case(text: &str, what: &str) -> Option<usize> {
    text.as_bytes().windows(what.len()).position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

/// A tag, or with an empty name a comment or declaration.
struct Tag {
    name: String,
    closes: bool,
    attributes: String,
}

impl Tag {
    /// The tag at the beginning of a text and its length; none where there is only a `<`.
    fn read(text: &str) -> Option<(Self, usize)> {
        let unnamed = |length| Some((Self { name: String::new(), closes: false, attributes: String::new() }, length));
        if let Some(comment) = text.strip_prefix("<!--") {
            return unnamed(comment.find("-->").map_or(text.len(), |end| end + 7));
        }
        if text.starts_with("<!") || text.starts_with("<?") {
            return unnamed(text.find('>').map_or(text.len(), |end| end + 1));
        }
        let closes = text.starts_with("</");
        let inside = &text[1 + usize::from(closes)..];
        if !inside.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return None;
        }
        let mut quote = None;
        let end = inside.bytes().position(|byte| match quote {
            Some(mark) => {
                quote = (byte != mark).then_some(mark);
                false
            }
            None => {
                quote = (byte == b'"' || byte == b'\'').then_some(byte);
                byte == b'>'
            }
        })?;
        let name_end = inside[..end].find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(end);
        let tag = Self {
            name: inside[..name_end].to_ascii_lowercase(),
            closes,
            attributes: inside[name_end..end].to_string(),
        };
        Some((tag, 2 + usize::from(closes) + end))
    }

    fn has_class(&self, classes: &[&str]) -> bool {
        let value = self.attributes.split_once("class=").map(|(_, value)| value.trim_start());
        let value = value.map(|value| match value.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split(['"', '\'']).next().unwrap_or_default(),
            None => value.split_whitespace().next().unwrap_or_default(),
        });
        value.is_some_and(|value| value.split_whitespace().any(|class| classes.contains(&class)))
    }

    fn is_main(&self) -> bool {
        self.name == "main" || self.attributes.contains("role=\"main\"")
    }
}

#[derive(Default)]
struct Reader {
    sections: Vec<String>,
    section: String,
    /// Above 0 inside of the main part.
    depth: usize,
    /// The element that is the main part.
    main: Option<String>,
    /// The hidden element that is being passed over, and how many of its name are open.
    hidden: Option<(String, usize)>,
    preformatted: usize,
    /// Whether white space was met since the last letter.
    space: bool,
}

impl Reader {
    fn tag(&mut self, tag: &Tag) {
        if let Some((name, open)) = &mut self.hidden {
            if *name == tag.name {
                *open = if tag.closes { *open - 1 } else { *open + 1 };
                if *open == 0 {
                    self.hidden = None;
                }
            }
            return;
        }
        self.follow_main(tag);
        let closed_itself = tag.attributes.ends_with('/');
        if self.depth == 0 {
            return;
        }
        if !tag.closes && !closed_itself && (HIDDEN.contains(&tag.name.as_str()) || tag.has_class(&HIDDEN_CLASSES)) {
            self.hidden = Some((tag.name.clone(), 1));
            return;
        }
        if SECTIONS.contains(&tag.name.as_str()) && !tag.closes {
            self.end_section();
        }
        if PARAGRAPHS.contains(&tag.name.as_str()) {
            self.breaks(2);
        } else if LINES.contains(&tag.name.as_str()) || tag.name == "br" {
            self.breaks(1);
        }
        match (tag.name.as_str(), tag.closes) {
            ("pre", false) => self.preformatted += 1,
            ("pre", true) => self.preformatted = self.preformatted.saturating_sub(1),
            ("li", false) => self.section.push_str("- "),
            ("td" | "th", false) if !self.section.ends_with('\n') && !self.section.is_empty() => {
                self.section.push('\t');
            }
            _ => {}
        }
    }

    /// Enters and leaves the main part.
    fn follow_main(&mut self, tag: &Tag) {
        match &self.main {
            None if self.depth == 0 && !tag.closes && tag.is_main() => {
                self.main = Some(tag.name.clone());
                self.depth = 1;
            }
            Some(main) if *main == tag.name && !tag.attributes.ends_with('/') => {
                self.depth = if tag.closes { self.depth.saturating_sub(1) } else { self.depth + 1 };
                if self.depth == 0 {
                    self.main = None;
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, raw: &str) {
        if self.depth == 0 || self.hidden.is_some() || raw.is_empty() {
            return;
        }
        let text = decoded(raw);
        if self.preformatted > 0 {
            self.space = false;
            self.section.push_str(&text);
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            let letters = word.trim_end();
            if !letters.is_empty() {
                if self.space && !self.section.is_empty() && !self.section.ends_with(char::is_whitespace) {
                    self.section.push(' ');
                }
                self.section.push_str(letters);
            }
            self.space = letters.len() < word.len() || (self.space && letters.is_empty());
        }
    }

    /// Ends the line, and with two breaks the paragraph.
    fn breaks(&mut self, count: usize) {
        self.space = false;
        // The mark of an item belongs to what follows.
        if self.section.ends_with("\n- ") || self.section == "- " {
            return;
        }
        let text = self.section.trim_end().len();
        // A paragraph that has ended stays ended.
        let ended = self.section[text..].matches('\n').count().min(2);
        self.section.truncate(text);
        if !self.section.is_empty() {
            self.section.push_str(&"\n".repeat(count.max(ended)));
        }
    }

    fn end_section(&mut self) {
        let section = std::mem::take(&mut self.section);
        self.space = false;
        let trimmed = section.trim_matches('\n').trim_end();
        if !trimmed.trim().is_empty() {
            self.sections.push(trimmed.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_its_sections() {
        let page = "<!DOCTYPE html><html><head><title>T</title></head><body><nav>menu</nav><main>\n\
            <h1 id=a><a class=\"header\" href='#a'>First &amp; <em>last</em></a><a class=\"headerlink\">¶</a></h1>\n\
            <p>One\n  two<b>three</b>.<br>four</p><!-- no > text --><ul><li><p>a</p></li><li>b</li></ul>\n\
            <pre><code>fn main() {\n<span class=\"boring\">hidden\n</span>    x &lt; y\n}\n</code></pre>\
            <h2>Second</h2>text<table><tr><td>1</td><td>2</td></tr></table></main><p>footer</p></body></html>";
        let expected = [
            "First & last\n\nOne twothree.\nfour\n\n- a\n\n- b\n\nfn main() {\n    x < y\n}",
            "Second\n\ntext\n\n1\t2",
        ];
        assert_eq!(html_sections(page), expected);
    }

    #[test]
    fn the_main_part_may_be_a_division() {
        let page = "<div>before<div class=\"body\" role=\"main\"><div>in</div>side</div>after</div>";
        assert_eq!(html_sections(page), ["in\nside"]);
        assert_eq!(html_sections("no <main element"), Vec::<String>::new());
        assert_eq!(html_sections("plain, 1 < 2"), ["plain, 1 < 2"]);
    }

    #[test]
    fn broken_pages_do_no_harm() {
        let page =
            "<p>a<h2>b<script>if (a < b) '</p>' </SCRIPT>c<svg><svg/>d</li></ul></main></div><p title=\"x>y\">e<!-- ";
        for end in (0..=page.len()).filter(|&end| page.is_char_boundary(end)) {
            html_sections(&page[..end]);
        }
        assert_eq!(html_sections("<style>x{}</style>a<script>never ends"), ["a"]);
    }
}
