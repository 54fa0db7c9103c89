//! Quotations of `fortune`: files without an extension, with a line of `%` between one and the next.

use std::path::Path;

use crate::corpus::Builder;
use crate::error::CorpusError;
use crate::kinds::walk::{files_below, name_of, read_text};
use crate::texts::{Form, Store};

/// Files of drawings made of letters.
const DRAWINGS: [&str; 1] = ["ascii-art"];

/// Adds the quotations of a folder.
pub(super) fn add(builder: &mut Builder, folder: &Path) -> Result<(), CorpusError> {
    let of_text = |file: &Path| file.extension().is_none() && !DRAWINGS.contains(&name_of(file).as_str());
    for file in files_below(folder, |_| false, of_text)?.files {
        let name = name_of(&file);
        let path = folder.join(&file);
        let (start, text) = match read_text(&path)? {
            Ok(read) => read,
            Err(reason) => {
                builder.skip(format!("`{name}`: {reason}"));
                continue;
            }
        };
        builder.group(format!("fortunes/{name}"), Store::File(path), Form::Plain);
        for (number, (offset, quotation)) in quotations(&text).into_iter().enumerate() {
            let place = (start + offset as u64, quotation.len() as u32);
            builder.add(Some(number as u32), place, quotation.to_string());
        }
    }
    Ok(())
}

/// The quotations of a file with their offsets, none of them blank.
fn quotations(text: &str) -> Vec<(usize, &str)> {
    let mut found = vec![];
    let (mut offset, mut start) = (0, 0);
    let mut push = |start: usize, end: usize| {
        let quotation = text[start..end].trim_end();
        if !quotation.is_empty() {
            found.push((start, quotation));
        }
    };
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "%" {
            push(start, offset);
            start = offset + line.len();
        }
        offset += line.len();
    }
    push(start.min(offset), offset);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_percent_divides() {
        let text = "One\n\ttwo\n%\n%\n100 %\n%\r\nlast";
        assert_eq!(quotations(text), [(0, "One\n\ttwo"), (13, "100 %"), (22, "last")]);
        assert!(quotations("%\n").is_empty());
    }
}
