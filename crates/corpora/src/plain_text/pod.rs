//! Perl's documentation (POD) to plain text, section by section.
//!
//! Paragraphs are separated by blank lines. One that begins with `=` is a command, one that begins with white space
//! stays as it is, and others have codes such as `B<bold>`, `L<text|link>` and `C<< a > b >>`.

use super::entities::character;

/// The sections of a document: what stands before the first `=head1`, and each such heading with what follows.
pub fn pod_sections(source: &str) -> Vec<String> {
    let mut sections = vec![];
    let mut section: Vec<String> = vec![];
    // In files of Perl, documentation begins with a command and ends with `=cut`.
    let (mut documentation, mut passed_over) = (false, false);
    for paragraph in paragraphs(source) {
        let command = paragraph.strip_prefix('=').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        let Some(command) = command else {
            if documentation && !passed_over {
                let verbatim = paragraph.starts_with([' ', '\t']);
                section.push(if verbatim { paragraph } else { without_codes(&joined(&paragraph)) });
            }
            continue;
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        documentation = name != "cut";
        match name {
            "begin" => passed_over = true,
            "end" => passed_over = false,
            _ if passed_over => {}
            "head1" => {
                end_section(&mut sections, &mut section);
                section.push(without_codes(&joined(rest)));
            }
            "head2" | "head3" | "head4" => section.push(without_codes(&joined(rest))),
            "item" => {
                let item = without_codes(&joined(rest));
                let mark = item.trim_start_matches(['*', '-']).trim();
                section.push(if mark.is_empty() { "-".into() } else { format!("- {mark}") });
            }
            // `over`, `back`, `for`, `encoding`, `pod`, `cut`: nothing to read.
            _ => {}
        }
    }
    end_section(&mut sections, &mut section);
    sections
}

/// Paragraphs, with their lines as they are.
fn paragraphs(source: &str) -> impl Iterator<Item = String> {
    let mut lines = source.lines().peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.trim().is_empty()).is_some() {}
        let mut paragraph = lines.next()?.trim_end().to_string();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            paragraph.push('\n');
            paragraph.push_str(line.trim_end());
        }
        Some(paragraph)
    })
}

fn joined(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn end_section(sections: &mut Vec<String>, section: &mut Vec<String>) {
    section.retain(|paragraph| !paragraph.is_empty());
    if !section.is_empty() {
        sections.push(std::mem::take(section).join("\n\n"));
    }
}

/// A paragraph without its codes.
fn without_codes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let Some(code) = rest[..start].chars().last().filter(char::is_ascii_uppercase) else {
            out.push_str(&rest[..=start]);
            rest = &rest[start + 1..];
            continue;
        };
        let opening = rest[start..].bytes().take_while(|&byte| byte == b'<').count();
        let Some((inside, length)) = inside(&rest[start + opening..], opening) else {
            out.push_str(&rest[..start + opening]);
            rest = &rest[start + opening..];
            continue;
        };
        out.push_str(&rest[..start - 1]);
        out.push_str(&shown(code, inside.trim_matches(if opening > 1 { ' ' } else { '\0' })));
        rest = &rest[start + opening + length..];
    }
    out.push_str(rest);
    // A code that shows nothing leaves the space before it.
    out.trim_end().to_string()
}

/// What stands between the opening and the closing brackets of a code, and its length with the latter.
fn inside(text: &str, opening: usize) -> Option<(&str, usize)> {
    if opening > 1 {
        let closing = format!(" {}", ">".repeat(opening));
        let end = text.find(&closing)?;
        return Some((&text[..end], end + closing.len()));
    }
    let mut open = 1_usize;
    let mut before = ' ';
    for (place, letter) in text.char_indices() {
        match letter {
            '<' if before.is_ascii_uppercase() => open += 1,
            '>' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[..place], place + 1));
        }
        before = letter;
    }
    None
}

/// What a reader sees of a code.
fn shown(code: char, inside: &str) -> String {
    match code {
        'X' | 'Z' => String::new(),
        'E' => match inside {
            "sol" => "/".into(),
            "verbar" => "|".into(),
            _ => {
                let number = inside.parse::<u32>().ok().and_then(char::from_u32).map(String::from);
                number.or_else(|| character(inside)).unwrap_or_else(|| inside.to_string())
            }
        },
        'L' => match inside.split_once('|') {
            Some((text, _)) => without_codes(text),
            None => without_codes(inside).replace('"', ""),
        },
        _ => without_codes(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_its_sections() {
        let pod = "my $code;\n\n=encoding utf8\n\n=head1 NAME\nX<name>\n\nperl - B<the I<language>>,\nC<< a -> b >> E<lt>x>\n\n\
            =over 4\n\n=item *\n\nL<perlfunc/\"open\">\n\n=item Two\n\n=back\n\n=for comment no\n\n\
            =begin html\n\nno\n\n=end html\n\n  verbatim C<x>\n\n\
            =head1 NEXT\n\nLast L<page|http://x/>.\n\n=cut\n\nmore code\n";
        let expected = [
            "NAME\n\nperl - the language, a -> b <x>\n\n-\n\nperlfunc/open\n\n- Two\n\n  verbatim C<x>",
            "NEXT\n\nLast page.",
        ];
        assert_eq!(pod_sections(pod), expected);
    }

    #[test]
    fn broken_codes_stay_text() {
        for same in ["a < b", "C<never ends", "C<< never ends >", "if (A <B)", "x<y>", "<", "É<"] {
            assert_eq!(without_codes(same), same);
        }
        assert_eq!(without_codes("C<>E<eacute>E<233>E<unknown>F</etc>"), "ééunknown/etc");
    }
}
