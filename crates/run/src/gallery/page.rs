//! The page, in Markdown, so that it is read where the source is read.

use std::fmt::Write as _;
use std::path::Path;

use interfuse_parameters::durable::{create_folder, write_file};

use super::{Exhibit, Gallery, Illustration};
use crate::error::{Context as _, Result};
use crate::observer::duration;

pub(super) fn save(gallery: &Gallery, page: &Path) -> Result<()> {
    let folder = page.with_extension("");
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    create_folder(&folder)?;
    for exhibit in &gallery.exhibits {
        for illustration in &exhibit.illustrations {
            illustration.image.save_png(&folder.join(file_name(exhibit, illustration)))?;
        }
    }
    write_file(page, text(gallery, &name).as_bytes()).with_context(|| format!("cannot write {}", page.display()))
}

fn file_name(exhibit: &Exhibit, illustration: &Illustration) -> String {
    format!("{}{}.png", exhibit.name, illustration.suffix)
}

/// The page, whose images lie in `folder`.
fn text(gallery: &Gallery, folder: &str) -> String {
    let names: Vec<&str> = gallery.exhibits.iter().map(|exhibit| exhibit.name.as_str()).collect();
    let mut text = format!(
        "# Gallery\n\nWhat runs have made, from their folders: `interfuse gallery {} --out {folder}.md`.\n\
         Minutes are from the first step to the last, previews and held-out losses included.\n",
        names.join(" ")
    );
    for exhibit in &gallery.exhibits {
        section(&mut text, exhibit, folder);
    }
    text
}

fn section(text: &mut String, exhibit: &Exhibit, folder: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n## {}\n", exhibit.name);
    for illustration in &exhibit.illustrations {
        let _ = writeln!(text, "![{}]({folder}/{})\n", exhibit.name, file_name(exhibit, illustration));
        if !illustration.caption.is_empty() {
            let _ = writeln!(text, "*{}*\n", escaped(&illustration.caption));
        }
    }
    let _ = writeln!(
        text,
        "| {} M weights | {} steps in {} |",
        millions(exhibit.weights),
        exhibit.steps,
        duration(exhibit.seconds)
    );
    text.push_str("|---|---|\n");
    for measure in &exhibit.measures {
        let _ = writeln!(text, "| {} | {} |", escaped(&measure.what), measure.value);
    }
}

fn millions(weights: u64) -> String {
    format!("{:.2}", weights as f64 / 1e6)
}

/// Words of a person's data, which Markdown must not read as its own.
fn escaped(words: &str) -> String {
    words.chars().fold(String::new(), |mut text, letter| {
        match letter {
            '*' | '_' | '`' | '|' | '<' | '[' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push(' '),
            _ => text.push(letter),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::Measure;

    #[test]
    fn a_page_has_a_section_a_run_and_keeps_words_as_they_are() {
        let measures = vec![Measure { what: "a_b: captions".into(), value: "75.0 %".into() }];
        let exhibit = Exhibit {
            name: "fruit".into(),
            weights: 4_906_000,
            steps: 300,
            seconds: 61.0,
            measures,
            illustrations: vec![],
        };
        let text = text(&Gallery { exhibits: vec![exhibit] }, "gallery");
        assert!(text.contains("`interfuse gallery fruit --out gallery.md`"), "{text}");
        assert!(text.contains("## fruit\n\n| 4.91 M weights | 300 steps in 1m 01s |"), "{text}");
        assert!(text.contains("| a\\_b: captions | 75.0 % |"), "{text}");
        assert_eq!(escaped("*a* | <b>\n`c`"), "\\*a\\* \\| \\<b> \\`c\\`");
    }
}
