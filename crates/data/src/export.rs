//! Writes any source as an imagefolder that Hugging Face's `datasets`, and this crate, can open.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::error::DataError;
use crate::sources::Source;

/// What became of an export.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExportReport {
    /// Images that were written.
    pub written: usize,
    /// Images that could not be read, one sentence each. They are left out.
    pub skipped: Vec<String>,
}

/// Writes `000000.png`, `000001.png`, … and `metadata.jsonl` with `file_name`, `text` and, where
/// there is one, `label`.
///
/// The images have the shape that the source gives them. `text` is a string where every image
/// has one caption, and a list of strings otherwise. `progress` is told the number of images
/// dealt with and of all images.
///
/// # Errors
///
/// When the folder holds anything already, or cannot be written.
pub fn export(
    source: &dyn Source,
    folder: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ExportReport, DataError> {
    prepare(folder)?;
    let path = folder.join("metadata.jsonl");
    let mut metadata = BufWriter::new(File::create(&path).map_err(DataError::io("create", &path))?);
    // Readers of columns expect one type per column, so one image with two captions makes lists
    // of them all.
    let several = (0..source.len()).any(|index| source.captions(index).is_ok_and(|captions| captions.len() > 1));
    let mut report = ExportReport::default();
    for index in 0..source.len() {
        match source.image(index).and_then(|image| Ok((image, source.captions(index)?))) {
            Ok((image, captions)) => {
                let name = format!("{:06}.png", report.written);
                image.save_png(&folder.join(&name))?;
                let text = if several { json!(captions) } else { json!(captions.first()) };
                let mut row = json!({ "file_name": name, "text": text });
                if let Some(label) = source.label(index) {
                    row["label"] = json!(label);
                }
                writeln!(metadata, "{row}").map_err(DataError::io("write", &path))?;
                report.written += 1;
            }
            Err(error) => report.skipped.push(format!("{}: {error}", source.name(index))),
        }
        progress(index + 1, source.len());
    }
    metadata.flush().map_err(DataError::io("write", &path))?;
    Ok(report)
}

/// Makes the folder where it does not exist, and refuses one that is in use.
fn prepare(folder: &Path) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
    let mut entries = fs::read_dir(folder).map_err(DataError::io("read", folder))?;
    match entries.next() {
        None => Ok(()),
        Some(entry) => {
            let entry = entry.map_err(DataError::io("read", folder))?;
            let found = format!("`{}`", entry.file_name().display());
            Err(DataError::NotEmpty { path: folder.into(), found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataConfig;
    use crate::sources::emoji::EmojiConfig;
    use crate::sources::folder::FolderConfig;
    use crate::sources::{SourceConfig, open};

    fn config(source: SourceConfig) -> DataConfig {
        DataConfig { image_size: [12, 10], source, ..DataConfig::default() }
    }

    fn folder_config(path: &Path) -> DataConfig {
        config(SourceConfig::Folder(FolderConfig { path: path.into(), held_out: 0.0 }))
    }

    fn assert_equal(one: &dyn Source, other: &dyn Source) {
        assert_eq!(one.len(), other.len());
        for index in 0..one.len() {
            assert_eq!(one.captions(index).unwrap(), other.captions(index).unwrap());
            assert_eq!(one.label(index), other.label(index));
            assert_eq!(one.image(index).unwrap(), other.image(index).unwrap(), "{}", one.name(index));
        }
    }

    #[test]
    fn an_export_opens_as_the_same_images_and_captions() {
        let folder = tempfile::tempdir().unwrap();
        let emoji = EmojiConfig { groups: vec!["activities".into()], ..EmojiConfig::default() };
        let source = open(&config(SourceConfig::Emoji(emoji))).unwrap().train;
        let mut last = (0, 0);
        let report = export(&*source, folder.path(), &mut |done, all| last = (done, all)).unwrap();
        assert_eq!((report.written, report.skipped.len()), (source.len(), 0));
        assert_eq!(last, (source.len(), source.len()));
        assert_equal(&*source, &*open(&folder_config(folder.path())).unwrap().train);
    }

    #[test]
    fn lists_of_captions_and_labels_survive_and_bad_images_are_left_out() {
        let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let image = crate::Image::new(ndarray::Array3::from_elem((3, 12, 10), 9)).unwrap();
        image.save_png(&first.path().join("good.png")).unwrap();
        fs::write(first.path().join("bad.png"), "not an image").unwrap();
        let rows = r#"{"file_name": "bad.png", "text": "bad"}
            {"file_name": "good.png", "text": ["one", "two"], "label": 4}
            {"file_name": "good.png", "text": "three"}"#;
        fs::write(first.path().join("metadata.jsonl"), rows).unwrap();
        let source = open(&folder_config(first.path())).unwrap().train;
        let report = export(&*source, second.path(), &mut |_, _| {}).unwrap();
        assert_eq!((report.written, report.skipped.len()), (2, 1));
        assert!(report.skipped[0].contains("bad.png"));
        let metadata = fs::read_to_string(second.path().join("metadata.jsonl")).unwrap();
        assert_eq!(
            metadata,
            "{\"file_name\":\"000000.png\",\"text\":[\"one\",\"two\"],\"label\":4}\n\
             {\"file_name\":\"000001.png\",\"text\":[\"three\"]}\n"
        );
        let reopened = open(&folder_config(second.path())).unwrap().train;
        assert_eq!((reopened.captions(0).unwrap().len(), reopened.label(0)), (2, Some(4)));
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious.txt"), "mine").unwrap();
        let source = open(&DataConfig::default()).unwrap().train;
        let message = export(&*source, folder.path(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(message.contains("precious.txt"), "{message}");
    }
}
