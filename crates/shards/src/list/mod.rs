//! Which files a list of patterns means: folders, globs, ranges, and mixtures of these.
//!
//! ```text
//! shards/                     every shard below a folder
//! shards/*.tar                a glob: `*`, `?`, `[0-9]`, `**`
//! shards/{00000..01242}.tar   a range, with as many digits as it is written with
//! {cc,sbu}/part-{0..9}.tar    alternatives
//! ```

mod braces;
mod natural;
mod remote;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::containers::is_shard;
use crate::error::ShardError;

/// Files of shards in natural order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardList {
    /// The files.
    pub shards: Vec<PathBuf>,
    /// Files that a range or an alternative names and that do not exist, beside others that do.
    pub missing: Vec<PathBuf>,
}

impl ShardList {
    /// The files that patterns mean.
    ///
    /// # Errors
    ///
    /// When a pattern matches nothing, is malformed, or is an address on another machine; when a folder cannot be read.
    pub fn expand<P: AsRef<str>>(patterns: &[P]) -> Result<Self, ShardError> {
        if patterns.is_empty() {
            return Err(ShardError::setting("shards", "at least one folder, file or pattern", "none"));
        }
        let mut list = Self::default();
        for pattern in patterns {
            list.add(pattern.as_ref())?;
        }
        // The same file may be meant by several patterns.
        let mut seen = BTreeSet::new();
        list.shards.retain(|path| seen.insert(path.clone()));
        list.shards.sort_by(|a, b| natural::compare(&a.to_string_lossy(), &b.to_string_lossy()));
        Ok(list)
    }

    /// Adds what one pattern means.
    fn add(&mut self, pattern: &str) -> Result<(), ShardError> {
        if let Some(error) = remote::refused(pattern) {
            return Err(error);
        }
        // A file whose name has braces or brackets of its own is meant by its name.
        let names = if Path::new(pattern).exists() { vec![pattern.to_string()] } else { braces::expand(pattern)? };
        let (mut found, mut missing) = (vec![], vec![]);
        for name in &names {
            let path = Path::new(name);
            if path.is_dir() {
                below(path, &mut found)?;
            } else if path.exists() {
                found.push(path.to_path_buf());
            } else if name.contains(['*', '?', '[']) {
                globbed(name, &mut found)?;
            } else {
                missing.push(path.to_path_buf());
            }
        }
        if found.is_empty() {
            let searched = match names.as_slice() {
                [name] if Path::new(name).is_dir() => {
                    format!("expected files that end in {}", crate::containers::ENDINGS)
                }
                [name] => format!("looked for `{name}`"),
                [first, .., last] => format!("looked for {} names from `{first}` to `{last}`", names.len()),
                [] => "it names nothing".into(),
            };
            return Err(ShardError::NoMatch { pattern: pattern.into(), searched });
        }
        self.shards.append(&mut found);
        self.missing.append(&mut missing);
        Ok(())
    }
}

/// What a glob matches: files that it names, and the shards below folders that it names.
fn globbed(pattern: &str, found: &mut Vec<PathBuf>) -> Result<(), ShardError> {
    let malformed = |error: glob::PatternError| ShardError::malformed(pattern, "a glob", error);
    let hidden = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    for path in glob::glob_with(pattern, hidden).map_err(malformed)? {
        let path = path.map_err(|error| ShardError::File {
            action: "read",
            path: error.path().to_path_buf(),
            source: error.into(),
        })?;
        match path.is_dir() {
            // `**` names every folder as well as the files in it, so that a folder is not opened for it.
            true if pattern.ends_with("**") => {}
            true => below(&path, found)?,
            false => found.push(path),
        }
    }
    Ok(())
}

/// The shards below a folder. Hidden entries are passed over, and so are links to folders, which might lead in a circle, and
/// the Parquet files that img2dataset writes beside its tars, which have no images.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), ShardError> {
    let mut here = vec![];
    for entry in fs::read_dir(folder).map_err(ShardError::file("read", folder))? {
        let entry = entry.map_err(ShardError::file("read", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(ShardError::file("read", &path))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            below(&path, found)?;
        } else if is_shard(&path) {
            here.push(path);
        }
    }
    let names: BTreeSet<PathBuf> = here.iter().cloned().collect();
    let is_sidecar = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "parquet") && names.contains(&path.with_extension("tar"))
    };
    found.extend(here.into_iter().filter(|path| !is_sidecar(path)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(root: &tempfile::TempDir, patterns: &[&str]) -> Result<(Vec<String>, usize), ShardError> {
        let patterns: Vec<String> =
            patterns.iter().map(|pattern| root.path().join(pattern).display().to_string()).collect();
        let list = ShardList::expand(&patterns)?;
        let name = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        Ok((list.shards.iter().map(name).collect(), list.missing.len()))
    }

    #[test]
    fn folders_globs_and_ranges_mix_in_natural_order() {
        let root =
            folder(&["a/2.tar", "a/10.tar", "a/1.tar", "a/notes.md", "a/.x.tar", "b/c/part.parquet", "b/t.jsonl.gz"]);
        let (all, _) = names(&root, &["a", "b/"]).unwrap();
        assert_eq!(all, ["a/1.tar", "a/2.tar", "a/10.tar", "b/c/part.parquet", "b/t.jsonl.gz"]);
        assert_eq!(names(&root, &["a/*.tar", "a/1.tar"]).unwrap().0, ["a/1.tar", "a/2.tar", "a/10.tar"]);
        assert_eq!(names(&root, &["a/{1..3}.tar"]).unwrap(), (vec!["a/1.tar".into(), "a/2.tar".into()], 1));
        assert_eq!(
            names(&root, &["{a,b}/{?,t*}{,.jsonl}.{tar,gz}"]).unwrap().0,
            ["a/1.tar", "a/2.tar", "b/t.jsonl.gz"]
        );
        assert_eq!(names(&root, &["**/*.parquet"]).unwrap().0, ["b/c/part.parquet"]);
    }

    #[test]
    fn what_lies_beside_tars_is_no_shard() {
        let root = folder(&["0.tar", "0.parquet", "0_stats.json", "1.parquet"]);
        assert_eq!(names(&root, &["."]).unwrap().0, ["0.tar", "1.parquet"]);
    }

    #[test]
    fn what_matches_nothing_is_named() {
        let root = folder(&["a/notes.md", "a/0_stats.json"]);
        for (pattern, part) in [
            ("b/*.tar", "b/*.tar"),
            ("b/{000..999}.tar", "1000 names"),
            ("a", "expected files that end in"),
            ("b.tar", "looked for"),
        ] {
            let message = names(&root, &[pattern]).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("matches no shard"), "{message}");
        }
        assert!(ShardList::expand::<&str>(&[]).unwrap_err().to_string().contains("at least one"));
        assert!(names(&root, &["a/[.tar"]).unwrap_err().to_string().contains("glob"));
    }
}
