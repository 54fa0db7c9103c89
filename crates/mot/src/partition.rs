//! Which expert serves which lanes: an architecture.

use burn::tensor::Tensor;
use interfuse_sequence::RowGeometry;

/// The residual stream, kept apart by expert: `[B, S_e, D]` for each expert that has rows.
pub type Streams = Vec<Option<Tensor<3>>>;

/// A partition of the lanes among the experts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// For each expert its lanes, in the order in which they lie in its stream.
    experts: Vec<Vec<usize>>,
    lanes: usize,
}

impl Partition {
    /// Reads a partition written in names; `modalities` are the names of the lanes.
    ///
    /// # Errors
    /// When a name is unknown, or a modality is not in exactly one expert; says which.
    pub fn from_names(experts: &[Vec<String>], modalities: &[String]) -> Result<Self, String> {
        let mut owner = vec![None; modalities.len()];
        let mut parts = Vec::new();
        for (index, names) in experts.iter().enumerate() {
            if names.is_empty() {
                return Err(format!("experts: expert {index} serves no modality"));
            }
            let mut lanes = Vec::new();
            for name in names {
                let Some(lane) = modalities.iter().position(|modality| modality == name) else {
                    return Err(format!("experts: no modality is named `{name}`; there are {}", modalities.join(", ")));
                };
                if owner[lane].replace(index).is_some() {
                    return Err(format!("experts: modality `{name}` is named twice"));
                }
                lanes.push(lane);
            }
            parts.push(lanes);
        }
        if let Some(lane) = owner.iter().position(Option::is_none) {
            return Err(format!("experts: no expert serves modality `{}`", modalities[lane]));
        }
        Ok(Self { experts: parts, lanes: modalities.len() })
    }

    /// The lanes of each expert.
    pub fn experts(&self) -> &[Vec<usize>] {
        &self.experts
    }

    /// Puts lanes side by side into streams; a lane or an expert may have no rows.
    pub fn join(&self, lanes: &[Option<Tensor<3>>]) -> Streams {
        self.experts
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
        for (owned, stream) in self.experts.iter().zip(streams) {
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
        let of_expert = |owned: &Vec<usize>| {
            let parts: Vec<&RowGeometry> = owned.iter().filter_map(|&lane| lanes[lane]).collect();
            (!parts.is_empty()).then(|| RowGeometry::cat(&parts))
        };
        self.experts.iter().map(of_expert).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(experts: &[&[&str]]) -> Vec<Vec<String>> {
        experts.iter().map(|names| names.iter().map(|name| name.to_string()).collect()).collect()
    }

    #[test]
    fn a_partition_has_every_modality_once() {
        let modalities = ["image".to_string(), "speech".into(), "text".into()];
        let read = |experts: &[&[&str]]| Partition::from_names(&names(experts), &modalities);
        assert_eq!(read(&[&["text"], &["image", "speech"]]).unwrap().experts(), [vec![2], vec![0, 1]]);
        assert!(read(&[&["text"], &["image"]]).unwrap_err().contains("no expert serves modality `speech`"));
        assert!(read(&[&["text", "speech"], &["image", "text"]]).unwrap_err().contains("`text` is named twice"));
        assert!(read(&[&["txt"]]).unwrap_err().contains("no modality is named `txt`"));
        assert!(read(&[&[]]).unwrap_err().contains("serves no modality"));
    }
}
