//! Reference case E7: one layer of Algorithm 1 of Mixture-of-Transformers (2411.04996), post-norm, with the numbers that the
//! public code gives once its signatures are repaired.
//!
//! D = 4, 2 heads, 5 rows of modalities [0, 1, 1, 0, 1], RMSNorm with epsilon 1e-5 and unit weight, SwiGLU of width 6, no
//! rotary positions. `X[i][j] = cos(0.5 i + 0.8 j)`, `W[out][in] = 0.5 sin(0.7 (seed + 1) + 1.3 out + 0.9 in)` with seed
//! `10 m + index` for modality m and index in (q, k, v, o, gate, up, down).

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use burn::module::Param;
use burn::tensor::{Device, Int, Tensor, TensorData};
use interfuse_kernels::rope::RopeFrequencies;
use interfuse_kernels::{RopeTable, VisibleRanges, WeightInit};
use interfuse_mot::{
    BackboneConfig, FeedForward, Layer, LayerOutput, NormPlacement, PartSettings, Rows, Stream, StreamRows,
};
use interfuse_tests::values;

const D: usize = 4;
const D_FF: usize = 6;
/// The rows of each modality.
const ROWS: [&[usize]; 2] = [&[0, 3], &[1, 2, 4]];

const CAUSAL: [[f32; D]; 5] = [
    [3.633778, 0.967396, -2.518159, -2.339671],
    [3.134943, -1.037947, -3.460617, -1.246843],
    [2.536325, -1.982218, -3.791841, -0.781975],
    [2.53809, -1.462858, -3.892657, -1.477378],
    [-0.395769, -3.923208, -2.511956, 1.809526],
];
/// Row 1 when rows 1 and 2 are one image.
const WITH_IMAGE: [f32; D] = [2.977013, -1.273657, -3.428792, -0.994106];

fn weight(seed: usize, d_in: usize, d_out: usize, device: &Device) -> Param<Tensor<2>> {
    let value = |i: usize, o: usize| 0.5 * (0.7 * (seed as f64 + 1.0) + 1.3 * o as f64 + 0.9 * i as f64).sin();
    let values: Vec<f32> = (0..d_in).flat_map(|i| (0..d_out).map(move |o| value(i, o) as f32)).collect();
    Param::from_data(TensorData::new(values, [d_in, d_out]), device)
}

fn layer(device: &Device) -> Layer {
    let config = BackboneConfig { d_ff: Some(D_FF), norm: NormPlacement::Post, ..BackboneConfig::of(D, 1, 2) };
    let parts = ["first", "second"].map(|name| PartSettings {
        name: name.into(),
        conditioned: false,
        feed_forward: Default::default(),
    });
    let mut layer = Layer::new(&config, 0, &parts, &mut WeightInit::new(0, device));
    for (modality, part) in layer.parts.iter_mut().enumerate() {
        let seed = |index: usize| 10 * modality + index;
        for (index, projection) in
            [&mut part.query, &mut part.key, &mut part.value, &mut part.output].into_iter().enumerate()
        {
            projection.as_mut().unwrap().weight = weight(seed(index), D, D, device);
        }
        let Some(FeedForward::Swiglu(network)) = &mut part.feed_forward else { panic!("one network") };
        network.gate.weight = weight(seed(4), D, D_FF, device);
        network.up.weight = weight(seed(5), D, D_FF, device);
        network.down.weight = weight(seed(6), D_FF, D, device);
    }
    layer
}

/// Runs the layer on rows laid out modality by modality; `until` by place in reading order. Returns rows in reading order.
fn run(until: [i32; 5]) -> Vec<[f32; D]> {
    let device = Device::flex();
    let reading: Vec<usize> = ROWS.concat();
    let ints = |rows: &[usize], f: &dyn Fn(usize) -> i32| {
        let values: Vec<i32> = rows.iter().map(|&row| f(row)).collect();
        Tensor::<2, Int>::from_data(TensorData::new(values, [1, rows.len()]), &device)
    };
    let x = |row: usize| (0..D).map(move |j| (0.5 * row as f64 + 0.8 * j as f64).cos() as f32);
    let stream = |rows: &[usize]| {
        let values: Vec<f32> = rows.iter().flat_map(|&row| x(row)).collect();
        Some(Stream::new(Tensor::from_data(TensorData::new(values, [1, rows.len(), D]), &device)))
    };
    let of_stream = |rows: &[usize]| {
        // At position zero a rotation leaves everything as it is.
        let positions = Tensor::zeros([1, rows.len(), 3], &device);
        let keys = ints(&reading, &|row| row as i32);
        Some(StreamRows {
            dropout: None,
            rope: RopeTable::new(positions, &RopeFrequencies::sequential(2, 1e4)),
            visible: VisibleRanges::new(keys, ints(rows, &|_| 0), ints(rows, &|row| until[row])),
            filled: Tensor::ones([1, rows.len()], &device),
        })
    };
    let rows = Rows { streams: ROWS.map(of_stream).to_vec(), conditions: vec![None, None] };
    let LayerOutput { streams, .. } = layer(&device).forward(ROWS.map(stream).to_vec(), &rows, None);

    let mut out = vec![[0.0; D]; 5];
    let flat = streams.into_iter().flatten().map(Stream::joined).flat_map(values).collect::<Vec<f32>>();
    for (&row, values) in reading.iter().zip(flat.chunks(D)) {
        out[row].copy_from_slice(values);
    }
    out
}

fn assert_close(found: &[f32; D], expected: &[f32; D]) {
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 2e-5, "{found:?} against {expected:?}");
    }
}

#[test]
fn a_causal_layer_has_the_published_values() {
    for (found, expected) in run([1, 2, 3, 4, 5]).iter().zip(&CAUSAL) {
        assert_close(found, expected);
    }
}

#[test]
fn making_two_rows_an_image_changes_only_the_first_of_them() {
    let out = run([1, 3, 3, 4, 5]);
    for (row, found) in out.iter().enumerate() {
        assert_close(found, if row == 1 { &WITH_IMAGE } else { &CAUSAL[row] });
    }
}
