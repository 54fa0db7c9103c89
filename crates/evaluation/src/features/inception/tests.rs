//! Against pytorch-fid and torch-fidelity, on weights made by a formula (`fixture/generate.py`).

use interfuse_parameters::{HostTensor, read_tensors, write_tensors};

use super::*;
use crate::features::formula_fixture::{formula_image, formula_weights, relative_gap};

/// The layout of the file: names and shapes.
const LAYOUT: &str = include_str!("fixture/names.json");

fn network(layer: Layer, resize: Resize) -> Inception {
    let device = Device::flex();
    let mut reader = WeightsReader::new(formula_weights(LAYOUT), &device);
    let origin = WeightsOrigin { sha256: "formula".into(), published: false };
    let network = Inception::of(&mut reader, origin, (layer, resize), &device);
    reader.finish(Path::new("formula")).unwrap();
    network
}

#[test]
fn features_of_all_layers_are_those_of_pytorch_fid_and_torch_fidelity() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/inception/fixture/expected.safetensors");
    let expected = read_tensors(Path::new(path)).unwrap();
    let mut network = network(Layer::D2048, Resize::Pytorch);
    for (mode, resize) in [("pytorch", Resize::Pytorch), ("tensorflow1", Resize::Tensorflow1)] {
        network.resize = resize;
        for layer in [Layer::D64, Layer::D192, Layer::D768, Layer::D2048] {
            network.layer = layer;
            let found = network.features(&[formula_image([48, 40])]).unwrap();
            let gap = relative_gap(&found, &expected[&format!("{mode}.{}", layer.dim())]);
            assert!(gap < 1e-4, "{mode} {layer:?}: {gap}");
        }
        if mode == "tensorflow1" {
            let features = network.features(&[formula_image([48, 40])]).unwrap();
            let gap = relative_gap(&network.logits(&features).unwrap(), &expected["tensorflow1.logits_unbiased"]);
            assert!(gap < 1e-4, "logits: {gap}");
        }
    }
}

#[test]
fn other_files_are_refused_with_a_reason_unless_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inception_v3_google-0cc3c7bd.safetensors");
    let message = |allow: bool| {
        let loaded = Inception::load(Some(&path), allow, (Layer::D64, Resize::Pytorch), &Device::flex());
        loaded.err().map(|error| error.to_string())
    };
    assert!(message(false).unwrap().contains("cannot read"));
    let mut tensors = formula_weights(LAYOUT);
    write_tensors(&tensors, &path).unwrap();
    let refused = message(false).unwrap();
    assert!(
        refused.contains(FILE.sha256) && refused.contains("torchvision") && refused.contains("--allow"),
        "{refused}"
    );
    assert_eq!(message(true), None);
    tensors.remove("fc.weight");
    tensors.insert("AuxLogits.fc.bias".into(), HostTensor { shape: vec![1], values: vec![0.0] });
    write_tensors(&tensors, &path).unwrap();
    let refused = message(true).unwrap();
    assert!(refused.contains("missing fc.weight") && refused.contains("unexpected AuxLogits.fc.bias"), "{refused}");
}
