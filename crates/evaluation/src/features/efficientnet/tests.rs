//! Against the code of efficientnet-lite-pytorch (`fixture/generate.py`).

use interfuse_parameters::{HostTensor, read_tensors};

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

fn formula_weights() -> HostTensors {
    let names: Vec<(String, Vec<usize>)> = serde_json::from_str(include_str!("fixture/names.json")).unwrap();
    let tensors = names.into_iter().enumerate().map(|(salt, (name, shape))| {
        let fan_in: usize = shape.iter().skip(1).product();
        let numbers = formula(shape.iter().product(), salt as u64);
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

fn picture() -> Array3<u8> {
    Array3::from_shape_fn((3, 300, 260), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
}

fn expected() -> HostTensors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/efficientnet/fixture/expected.safetensors");
    read_tensors(Path::new(path)).unwrap().into_iter().collect()
}

/// The largest difference, as a share of the largest value.
fn gap(found: &Array2<f32>, expected: &HostTensor) -> f32 {
    assert_eq!(found.len(), expected.values.len());
    let largest = expected.values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn features_are_those_of_the_package() {
    let origin = WeightsOrigin { sha256: "formula".into(), published: false };
    let network = EfficientNet::of(formula_weights(), origin, Path::new("formula"), &Device::flex()).unwrap();
    let gap = gap(&network.features(&[picture()]).unwrap(), &expected()["formula"]);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
#[ignore = "needs efficientnet-lite0-57934424.pth, named by INTERFUSE_EFFICIENTNET or in PyTorch's cache"]
fn features_of_the_published_weights_are_those_of_the_package() {
    let network = EfficientNet::load(None, false, &Device::flex()).unwrap();
    let gap = gap(&network.features(&[picture()]).unwrap(), &expected()["published"]);
    assert!(gap < 1e-4, "{gap}");
    assert_eq!(network.classes(&[picture()]).unwrap(), [expected()["published_class"].values[0] as usize]);
}
