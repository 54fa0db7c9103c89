//! The files that published networks come in: found in the usual places, told apart by their hash.

use std::path::{Path, PathBuf};

use interfuse_parameters::{HostTensors, read_tensors, sha256};

use super::WeightsOrigin;
use crate::error::EvaluationError;

/// A published file.
#[derive(Debug, Clone, Copy)]
pub struct PublishedFile {
    /// What it is, for messages.
    pub what: &'static str,
    /// Names that it is spread under.
    pub names: &'static [&'static str],
    /// Of its bytes, in hexadecimal.
    pub sha256: &'static str,
    /// An environment variable that may hold its path.
    pub variable: &'static str,
    /// Where it comes from.
    pub source: &'static str,
}

impl PublishedFile {
    /// Looks at `path`, or, without one, where the environment variable points and in the cache folders of PyTorch.
    ///
    /// # Errors
    /// When it is nowhere: the message lists where it was looked for and where it comes from.
    pub fn find(&self, path: Option<&Path>) -> Result<PathBuf, EvaluationError> {
        if let Some(path) = path {
            return Ok(path.to_path_buf());
        }
        if let Some(path) = std::env::var_os(self.variable) {
            return Ok(path.into());
        }
        let places: Vec<PathBuf> =
            cache_folders().iter().flat_map(|folder| self.names.iter().map(move |name| folder.join(name))).collect();
        match places.iter().find(|path| path.is_file()) {
            Some(path) => Ok(path.clone()),
            None => Err(EvaluationError::Weights {
                path: places.first().cloned().unwrap_or_default(),
                reason: format!(
                    "there is no such file; {} is {}; give its path, or set the variable {}",
                    self.what, self.source, self.variable
                ),
            }),
        }
    }

    /// Reads the tensors of a file, which must be the published one unless `allow_unknown`.
    ///
    /// # Errors
    /// When it cannot be read, or is another file.
    pub fn read(&self, path: &Path, allow_unknown: bool) -> Result<(HostTensors, WeightsOrigin), EvaluationError> {
        let bytes = std::fs::read(path).map_err(|source| EvaluationError::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let sha256 = sha256::of_bytes(&bytes);
        let published = sha256 == self.sha256;
        if !published && !allow_unknown {
            let other = self.other_file(path, &bytes).unwrap_or_default();
            let reason = format!(
                "expected {} with sha256 {}, found sha256 {sha256}{other}; --allow-unknown-weights takes any file of the \
                 same layout and marks every number",
                self.what, self.sha256
            );
            return Err(EvaluationError::Weights { path: path.to_path_buf(), reason });
        }
        drop(bytes);
        let tensors = read_tensors(path)
            .map_err(|error| EvaluationError::Weights { path: path.to_path_buf(), reason: error.to_string() })?;
        Ok((tensors, WeightsOrigin { sha256, published }))
    }

    /// What a file is that people take for this one.
    fn other_file(&self, path: &Path, bytes: &[u8]) -> Option<&'static str> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with("inception_v3_google") {
            return Some(", which is torchvision's classifier: other weights than the FID is defined by");
        }
        let is_zip = bytes.starts_with(b"PK");
        let is_torch_script = is_zip && bytes.windows(9).take(1 << 20).any(|window| window == b"constants");
        (is_torch_script && name.ends_with(".pt")).then_some(", a TorchScript program: take the .pth of pytorch-fid")
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn hash(path: &Path) -> Result<String, EvaluationError> {
    let fail = |source| EvaluationError::File { action: "read", path: path.to_path_buf(), source };
    sha256::of_file(path).map_err(fail)
}

/// `hub/checkpoints` of PyTorch.
fn cache_folders() -> Vec<PathBuf> {
    let from = |variable: &str, below: &str| std::env::var_os(variable).map(|path| PathBuf::from(path).join(below));
    let folders = [
        from("TORCH_HOME", "hub/checkpoints"),
        from("XDG_CACHE_HOME", "torch/hub/checkpoints"),
        from("HOME", ".cache/torch/hub/checkpoints"),
    ];
    folders.into_iter().flatten().collect()
}
