//! Against pytorch-fid and torch-fidelity, on weights made by a formula (`fixture/generate.py`).

use interfuse_parameters::{HostTensor, HostTensors, read_tensors, write_tensors};

use super::*;

/// The numbers of `formula` in `fixture/generate.py`.
fn formula(count: usize, salt: u64) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |index| {
        let x = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
        let x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = x ^ (x >> 29);
        (x >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0
    })
}

/// Every tensor of the layout that `names.json` lists, by the formula.
fn formula_weights() -> HostTensors {
    let names: Vec<(String, Vec<usize>)> = serde_json::from_str(include_str!("fixture/names.json")).unwrap();
    let tensors = names.into_iter().enumerate().map(|(salt, (name, shape))| {
        let count = shape.iter().product();
        let fan_in: usize = shape.iter().skip(1).product();
        let numbers = formula(count, salt as u64);
        let values: Vec<f32> = match name.rsplit('.').next() {
            _ if shape.len() > 1 => numbers.map(|x| (x * (6.0 / fan_in as f64).sqrt()) as f32).collect(),
            Some("running_var") => numbers.map(|x| (1.0 + 0.3 * x) as f32).collect(),
            Some("weight") => numbers.map(|x| (1.0 + 0.2 * x) as f32).collect(),
            _ => numbers.map(|x| (0.1 * x) as f32).collect(),
        };
        (name, HostTensor { shape, values })
    });
    tensors.collect()
}

fn network(layer: Layer, resize: Resize) -> Inception {
    let device = Device::flex();
    let mut reader = WeightsReader::new(formula_weights(), &device);
    let origin = WeightsOrigin { sha256: "formula".into(), published: false };
    let network = Inception::of(&mut reader, origin, (layer, resize), &device);
    reader.finish(Path::new("formula")).unwrap();
    network
}

fn picture() -> Array3<u8> {
    Array3::from_shape_fn((3, 48, 40), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
}

/// The largest difference, as a share of the largest value.
fn gap(found: &Array2<f32>, expected: &HostTensor) -> f32 {
    assert_eq!(found.len(), expected.values.len());
    let largest = expected.values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
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
            let found = network.features(&[picture()]).unwrap();
            let gap = gap(&found, &expected[&format!("{mode}.{}", layer.dim())]);
            assert!(gap < 1e-4, "{mode} {layer:?}: {gap}");
        }
        if mode == "tensorflow1" {
            let features = network.features(&[picture()]).unwrap();
            let gap = gap(&network.logits(&features).unwrap(), &expected["tensorflow1.logits_unbiased"]);
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
    let mut tensors = formula_weights();
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
    assert!(refused.contains("missing fc.weight") && refused.contains("spare AuxLogits.fc.bias"), "{refused}");
}
