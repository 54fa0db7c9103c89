//! What a run is called, and which seed its name tells.

use std::path::Path;

/// The name of a run without its seed, and the seed: `runs/dense-seed1` is `dense` of seed 1, and so is `runs/dense/seed1`.
pub(super) fn name_and_seed(path: &Path) -> (String, Option<u64>) {
    let part = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // A table that every trainer calls the same is known by its folder.
    let named = match part(&absolute) {
        Some(name) if name == "metrics" => absolute.parent().unwrap_or(&absolute),
        _ => &absolute,
    };
    let own = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own = own.strip_suffix(".csv").unwrap_or(&own);
    let (name, seed) = split(own);
    match named.parent().and_then(part) {
        Some(above) if name.is_empty() => (above, seed),
        _ if name.is_empty() => (own.to_string(), seed),
        _ => (name.to_string(), seed),
    }
}

/// `dense-seed1` and `dense_s1` are `dense` and 1.
fn split(name: &str) -> (&str, Option<u64>) {
    let whole = (name, None);
    let before = name.trim_end_matches(|character: char| character.is_ascii_digit());
    let Ok(seed) = name[before.len()..].parse() else { return whole };
    let before = before.trim_end_matches(['-', '_', '=', '.']);
    let marked =
        before.strip_suffix("seed").or_else(|| before.strip_suffix('s').filter(|rest| rest.ends_with(['-', '_', '.'])));
    match marked {
        Some(rest) => (rest.trim_end_matches(['-', '_', '.']), Some(seed)),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_from_names() {
        let of = |path: &str| name_and_seed(Path::new(path));
        for (path, name, seed) in [
            ("runs/dense-seed1", "dense", Some(1)),
            ("runs/dense/seed_2", "dense", Some(2)),
            ("runs/mot_s3", "mot", Some(3)),
            ("runs/mot-7b", "mot-7b", None),
            ("runs/loss2", "loss2", None),
            ("foreign/mot.seed4.csv", "mot", Some(4)),
            ("foreign/mot-seed5/metrics.csv", "mot", Some(5)),
        ] {
            assert_eq!(of(path), (name.to_string(), seed), "{path}");
        }
    }
}
