//! Which part serves which lanes: an architecture.

use burn::tensor::Tensor;
use interfuse_sequence::RowGeometry;

/// The residual stream, kept apart by part: `[B, S_e, D]` for each part that has rows.
pub type Streams = Vec<Option<Tensor<3>>>;

/// A partition of the lanes among the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// For each part its lanes, in the order in which they lie in its stream.
    parts: Vec<Vec<usize>>,
    /// The name of each part: those of its modalities, such as `text` or `image+speech`.
    names: Vec<String>,
    lanes: usize,
}

impl Partition {
    /// Reads a partition written in names; `modalities` are the names of the lanes.
    ///
    /// # Errors
    /// When a name is unknown, or a modality is not in exactly one part; says which.
    pub fn from_names(partition: &[Vec<String>], modalities: &[String]) -> Result<Self, String> {
        let mut owner = vec![None; modalities.len()];
        let mut parts = Vec::new();
        for (index, names) in partition.iter().enumerate() {
            if names.is_empty() {
                return Err(format!("partition: part {index} serves no modality"));
            }
            let mut lanes = Vec::new();
            for name in names {
                let Some(lane) = modalities.iter().position(|modality| modality == name) else {
                    return Err(format!(
                        "partition: no modality is named `{name}`; there are {}",
                        modalities.join(", ")
                    ));
                };
                if owner[lane].replace(index).is_some() {
                    return Err(format!("partition: modality `{name}` is named twice"));
                }
                lanes.push(lane);
            }
            parts.push(lanes);
        }
        if let Some(lane) = owner.iter().position(Option::is_none) {
            return Err(format!("partition: no part serves modality `{}`", modalities[lane]));
        }
        let names = partition.iter().map(|names| names.join("+")).collect();
        Ok(Self { parts, names, lanes: modalities.len() })
    }

    /// The lanes of each part.
    pub fn parts(&self) -> &[Vec<usize>] {
        &self.parts
    }

    /// The name of each part: those of its modalities, such as `text` or `image+speech`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Puts lanes side by side into streams; a lane or a part may have no rows.
    pub fn join(&self, lanes: &[Option<Tensor<3>>]) -> Streams {
        self.parts
            .iter()
            .map(|owned| {
                let parts: Vec<Tensor<3>> = owned.iter().filter_map(|&lane| lanes[lane].clone()).collect();
                match parts.len() {
                    0 => None,
                    1 => parts.into_iter().next(),
                    _ => Some(Tensor::cat(parts, 1)),
                }
            })
            .collect()
    }

    /// The inverse of [`Self::join`]; `rows` is the number of rows of each lane.
    pub fn split(&self, streams: Streams, rows: &[usize]) -> Vec<Option<Tensor<3>>> {
        let mut lanes = vec![None; self.lanes];
        for (owned, stream) in self.parts.iter().zip(streams) {
            let Some(stream) = stream else { continue };
            let present: Vec<usize> = owned.iter().copied().filter(|&lane| rows[lane] > 0).collect();
            if let [lane] = present[..] {
                lanes[lane] = Some(stream);
                continue;
            }
            let mut start = 0;
            for lane in present {
                lanes[lane] = Some(stream.clone().narrow(1, start, rows[lane]));
                start += rows[lane];
            }
        }
        lanes
    }

    /// The geometry of every stream.
    pub fn join_geometry(&self, lanes: &[Option<&RowGeometry>]) -> Vec<Option<RowGeometry>> {
        let of_part = |owned: &Vec<usize>| {
            let parts: Vec<&RowGeometry> = owned.iter().filter_map(|&lane| lanes[lane]).collect();
            (!parts.is_empty()).then(|| RowGeometry::cat(&parts))
        };
        self.parts.iter().map(of_part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parts: &[&[&str]]) -> Vec<Vec<String>> {
        parts.iter().map(|names| names.iter().map(|name| name.to_string()).collect()).collect()
    }

    #[test]
    fn a_partition_has_every_modality_once() {
        let modalities = ["image".to_string(), "speech".into(), "text".into()];
        let read = |parts: &[&[&str]]| Partition::from_names(&names(parts), &modalities);
        assert_eq!(read(&[&["text"], &["image", "speech"]]).unwrap().parts(), [vec![2], vec![0, 1]]);
        assert!(read(&[&["text"], &["image"]]).unwrap_err().contains("no part serves modality `speech`"));
        assert!(read(&[&["text", "speech"], &["image", "text"]]).unwrap_err().contains("`text` is named twice"));
        assert!(read(&[&["txt"]]).unwrap_err().contains("no modality is named `txt`"));
        assert!(read(&[&[]]).unwrap_err().contains("serves no modality"));
    }
}
