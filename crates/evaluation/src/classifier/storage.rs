//! A classifier as a safetensors file, so that a classifier is trained once and stays the same classifier.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_parameters::durable::write_file;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::network::{Network, Parameter, Shape};
use super::values;
use crate::EvaluationError;

/// What the metadata's `format` says. A change of the network is another format, for its numbers are not comparable.
const FORMAT: &str = "interfuse classifier 1";

/// No size in the metadata of a file may be larger: it would be a mistake, and could ask for any amount of memory.
const LARGEST: usize = 4096;

/// Writes `network`, whole or not at all.
pub(super) fn save(network: &Network, path: &Path) -> Result<(), EvaluationError> {
    let bytes = encode(network).map_err(|reason| refused(path, reason))?;
    Ok(write_file(path, &bytes)?)
}

/// Reads what [`save`] wrote. Every tensor must be there, in its shape, finite, and no other.
pub(super) fn load(path: &Path, device: &Device) -> Result<Network, EvaluationError> {
    let bytes =
        fs::read(path).map_err(|source| EvaluationError::File { action: "read", path: path.to_owned(), source })?;
    decode(&bytes, device).map_err(|reason| refused(path, reason))
}

/// The weights as little-endian bytes, in order: what is saved, and what a fingerprint is taken of.
pub(super) fn weight_bytes(network: &Network) -> Result<[Vec<u8>; 8], EvaluationError> {
    let mut all: [Vec<u8>; 8] = Default::default();
    for (bytes, weight) in all.iter_mut().zip(&network.weights) {
        *bytes = values(weight.clone())?.iter().flat_map(|value| value.to_le_bytes()).collect();
    }
    Ok(all)
}

fn refused(path: &Path, reason: String) -> EvaluationError {
    EvaluationError::Classifier { path: path.to_owned(), reason }
}

fn encode(network: &Network) -> Result<Vec<u8>, String> {
    let all = weight_bytes(network).map_err(|error| error.to_string())?;
    let parameters = network.shape.parameters();
    let mut views = Vec::with_capacity(all.len());
    for (Parameter { name, dims, .. }, bytes) in parameters.iter().zip(&all) {
        let view = TensorView::new(Dtype::F32, dims.to_vec(), bytes).map_err(|error| error.to_string())?;
        views.push((*name, view));
    }
    let shape = serde_json::to_string(&network.shape).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([("format".to_owned(), FORMAT.to_owned()), ("shape".to_owned(), shape)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

fn decode(bytes: &[u8], device: &Device) -> Result<Network, String> {
    let shape = decode_shape(bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let parameters = shape.parameters();
    if let Some(extra) = file.names().into_iter().find(|name| parameters.iter().all(|each| each.name != *name)) {
        return Err(format!("unknown tensor `{extra}`"));
    }
    let mut weights = Vec::with_capacity(parameters.len());
    for Parameter { name, dims, .. } in parameters {
        let view = file.tensor(name).map_err(|_| format!("tensor `{name}` is missing"))?;
        if view.dtype() != Dtype::F32 || view.shape() != dims {
            return Err(format!("tensor `{name}`: expected F32 {dims:?}, found {:?} {:?}", view.dtype(), view.shape()));
        }
        let (quads, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(format!("tensor `{name}` has values that are NaN or infinite"));
        }
        weights.push(Tensor::from_data(TensorData::new(values, dims), device));
    }
    let weights = weights.try_into().map_err(|_| "the number of tensors is wrong".to_owned())?;
    Ok(Network { shape, weights })
}

fn decode_shape(bytes: &[u8]) -> Result<Shape, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let entry = |key: &str| metadata.metadata().as_ref().and_then(|entries| entries.get(key).cloned());
    match entry("format") {
        Some(format) if format == FORMAT => {}
        Some(format) => return Err(format!("expected the format {FORMAT:?}, found {format:?}")),
        None => return Err("its metadata names no format".to_owned()),
    }
    let shape = entry("shape").ok_or("its metadata holds no shape")?;
    let shape: Shape = serde_json::from_str(&shape).map_err(|error| format!("its shape is unreadable: {error}"))?;
    let Shape { channels, height, width, classes } = shape;
    if [channels, height, width, classes].iter().any(|size| !(1..=LARGEST).contains(size)) {
        return Err(format!("a size in {shape:?} is not within 1 and {LARGEST}"));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn network() -> Network {
        let shape = Shape { channels: 3, height: 6, width: 5, classes: 4 };
        Network::new(shape, &mut ChaCha8Rng::seed_from_u64(1), &Device::flex())
    }

    /// The file of `network()`, its tensors or metadata changed.
    fn changed(change: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<u8>)>, &mut HashMap<String, String>)) -> Vec<u8> {
        let bytes = encode(&network()).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut metadata = metadata.metadata().clone().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter();
        let mut tensors = tensors.map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec())).collect();
        change(&mut tensors, &mut metadata);
        let views = tensors
            .iter()
            .map(|(name, dims, data)| (name.clone(), TensorView::new(Dtype::F32, dims.clone(), data).unwrap()));
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    #[track_caller]
    fn assert_refused(bytes: &[u8], expected: &str) {
        let reason = decode(bytes, &Device::flex()).err().unwrap();
        assert!(reason.contains(expected), "{reason}");
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classifier.safetensors");
        save(&network(), &path).unwrap();
        let loaded = load(&path, &Device::flex()).unwrap();
        assert_eq!(loaded.shape, network().shape);
        assert_eq!(weight_bytes(&loaded).unwrap(), weight_bytes(&network()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        assert_refused(&changed(|tensors, _| drop(tensors.pop())), "is missing");
        assert_refused(
            &changed(|tensors, _| tensors.push(("extra".into(), vec![0], vec![]))),
            "unknown tensor `extra`",
        );
        assert_refused(&changed(|tensors, _| tensors[0].1.reverse()), "expected F32");
        assert_refused(&changed(|tensors, _| tensors[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes())), "NaN");
        assert_refused(&changed(|_, metadata| metadata.clear()), "names no format");
        assert_refused(&changed(|_, metadata| drop(metadata.insert("format".into(), "x".into()))), "found \"x\"");
        let huge = r#"{"channels":1,"height":99999999999,"width":1,"classes":2}"#;
        assert_refused(
            &changed(|_, metadata| drop(metadata.insert("shape".into(), huge.into()))),
            "not within 1 and 4096",
        );
        assert_refused(b"not a safetensors file", "");
        let whole = encode(&network()).unwrap();
        assert_refused(&whole[..whole.len() - 7], "");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("no/classifier.safetensors"), &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/classifier.safetensors");
    }
}
