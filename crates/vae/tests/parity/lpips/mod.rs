//! The perceptual distance against the package lpips (`generate.py`).

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_parameters::{HostTensor, HostTensors, write_tensors};
use interfuse_vae::loss::Lpips;

/// The numbers of `formula` in `generate.py`.
fn formula(count: usize, salt: u64, scale: f64) -> Vec<f32> {
    let number = |index: u64| {
        let x = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
        let x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = x ^ (x >> 29);
        (((x >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0) * scale) as f32
    };
    (0..count as u64).map(number).collect()
}

/// Both files under the names of torchvision and of lpips.
fn formula_weights() -> [HostTensors; 2] {
    let widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    let places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let (mut vgg, mut heads, mut inputs) = (HostTensors::new(), HostTensors::new(), 3);
    for (salt, (place, width)) in places.into_iter().zip(widths).enumerate() {
        let shape = vec![width, inputs, 3, 3];
        let values = formula(shape.iter().product(), salt as u64, (6.0 / (inputs * 9) as f64).sqrt());
        vgg.insert(format!("features.{place}.weight"), HostTensor { shape, values });
        let values = formula(width, 100 + salt as u64, 0.1);
        vgg.insert(format!("features.{place}.bias"), HostTensor { shape: vec![width], values });
        inputs = width;
    }
    // What the file holds besides and the loss does not need.
    vgg.insert("classifier.0.bias".into(), HostTensor { shape: vec![2], values: vec![0.0; 2] });
    for (salt, width) in [64, 128, 256, 512, 512].into_iter().enumerate() {
        let values = formula(width, 200 + salt as u64, 1.0).into_iter().map(f32::abs).collect();
        heads.insert(format!("lin{salt}.model.1.weight"), HostTensor { shape: vec![1, width, 1, 1], values });
    }
    [vgg, heads]
}

fn image(salt: u64, channels: usize) -> Tensor<4> {
    let values = formula(channels * 32 * 32, salt, 1.0);
    Tensor::from_data(TensorData::new(values, [1, channels, 32, 32]), &Device::flex())
}

#[test]
fn the_distance_is_that_of_the_package_lpips() {
    let folder = tempfile::tempdir().expect("fixture");
    let [vgg_path, heads_path] = ["vgg.safetensors", "heads.safetensors"].map(|name| folder.path().join(name));
    let [vgg, heads] = formula_weights();
    write_tensors(&vgg, &vgg_path).expect("fixture");
    write_tensors(&heads, &heads_path).expect("fixture");
    let lpips = Lpips::load(&vgg_path, &heads_path, &Device::flex()).expect("fixture");
    let found = [
        lpips.distance(image(300, 3), image(301, 3)),
        lpips.distance(image(300, 3), image(300, 3).mul_scalar(0.9)),
        lpips.distance(image(302, 1), image(303, 1)),
    ];
    let expected: Vec<f32> = serde_json::from_str(include_str!("expected.json")).expect("fixture");
    for (found, expected) in found.into_iter().zip(expected) {
        let found: f32 = found.into_scalar();
        assert!((found - expected).abs() < 1e-4 * expected, "{found} {expected}");
    }
    assert_eq!(lpips.distance(image(300, 3), image(300, 3)).into_scalar::<f32>(), 0.0);
    let message = Lpips::load(&heads_path, &vgg_path, &Device::flex()).expect_err("refused").to_string();
    assert!(message.contains("missing") && message.contains("heads.safetensors"), "{message}");
}
