//! Ranges and alternatives in braces, as shells expand them.

use crate::error::ShardError;

/// Beyond it, a typing error is likelier than a wish.
const MOST_NAMES: usize = 10_000_000;

/// Every name that a pattern with `{000..999}` and `{a,b}` means, in the order in which it is written; braces may lie in
/// braces. What is neither a range nor a list is left as it stands.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, ShardError> {
    let Some((start, end)) = first_braces(pattern) else {
        return Ok(vec![pattern.to_string()]);
    };
    let (before, inside, after) = (&pattern[..start], &pattern[start + 1..end], &pattern[end + 1..]);
    let after = expand(after)?;
    let middle = match range(inside) {
        Some(range) => range?,
        None => {
            let alternatives = alternatives(inside);
            match alternatives.as_slice() {
                [one] => expand(one)?.into_iter().map(|one| format!("{{{one}}}")).collect(),
                several => several.iter().map(|one| expand(one)).collect::<Result<Vec<_>, _>>()?.concat(),
            }
        }
    };
    check(pattern, middle.len().saturating_mul(after.len()))?;
    let names = middle.iter().flat_map(|middle| after.iter().map(move |after| format!("{before}{middle}{after}")));
    Ok(names.collect())
}

/// Where the first pair of braces opens and closes.
fn first_braces(pattern: &str) -> Option<(usize, usize)> {
    let start = pattern.find('{')?;
    let mut depth = 0;
    for (at, letter) in pattern[start..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((start, start + at)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The parts between the commas that lie in no braces of their own.
fn alternatives(inside: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (vec![], 0_usize, 0);
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts
}

/// The numbers of `000..999`, written with as many digits as the longer end if either end begins with a zero.
fn range(inside: &str) -> Option<Result<Vec<String>, ShardError>> {
    let (first, last) = inside.split_once("..")?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (from, to) = (number(first)?, number(last)?);
    let padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
    if let Err(error) = check(inside, from.abs_diff(to).saturating_add(1) as usize) {
        return Some(Err(error));
    }
    let name = |value| format!("{value:0width$}");
    Some(Ok(if from <= to { (from..=to).map(name).collect() } else { (to..=from).rev().map(name).collect() }))
}

fn check(pattern: &str, names: usize) -> Result<(), ShardError> {
    match names {
        0..=MOST_NAMES => Ok(()),
        found => Err(ShardError::malformed(pattern, format!("at most {MOST_NAMES} names"), format!("{found} of them"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_expanded_as_by_a_shell() {
        let expanded = |pattern| expand(pattern).unwrap().join(" ");
        for (pattern, expected) in [
            ("a", "a"),
            ("{08..11}.tar", "08.tar 09.tar 10.tar 11.tar"),
            ("{8..11}", "8 9 10 11"),
            ("{2..0}", "2 1 0"),
            ("{0..2}", "0 1 2"),
            ("x{a,b{0..1},}y", "xay xb0y xb1y xy"),
            ("{a,b}{c,d}", "ac ad bc bd"),
            ("{one}", "{one}"),
            ("{a..b}", "{a..b}"),
            ("{open", "{open"),
            ("shut}", "shut}"),
            ("{}", "{}"),
            ("{é,ü}..{000..001}", "é..000 é..001 ü..000 ü..001"),
        ] {
            assert_eq!(expanded(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn too_many_names_are_refused() {
        for pattern in ["{0..99999999999}", "{0..9999}{0..9999}", "{0..18446744073709551615}"] {
            assert!(expand(pattern).unwrap_err().to_string().contains("at most"), "{pattern}");
        }
    }
}
