//! Rotary position embedding (Su et al., 2104.09864) in the half-split layout of Llama.
//!
//! Dimensions: `B` batch, `S` rows, `H` heads, `Dh` width of a head.
//!
//! Channel `c` and channel `c + Dh/2` of a head are the two coordinates of a point that is turned by the angle
//! `position · theta^(-2c/Dh)`. A row may have several positions (its place in the sequence, its patch's row and column);
//! each frequency then belongs to one of these axes, as in Qwen2-VL (2409.12191, section 2.1).

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod reference;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};

use self::cpu::RopeCpu;
use crate::place::{Place, place_of};

pub use self::reference::{norm_rotate_reference, reference};

/// Which axis of a row's position each of the `Dh/2` frequencies turns by.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeFrequencies {
    /// For each frequency the axis and its angular speed.
    speeds: Vec<(usize, f32)>,
}

impl RopeFrequencies {
    /// Every frequency turns by the place in the sequence (axis 0).
    pub fn sequential(head_dim: usize, theta: f64) -> Self {
        Self::interleaved(head_dim, theta, &[0])
    }

    /// The frequencies are dealt out in turn to the axes sequence, patch row, patch column; so each axis has fast and
    /// slow frequencies. A text row has the same position on all three and is turned as in [`Self::sequential`].
    pub fn axial(head_dim: usize, theta: f64) -> Self {
        Self::interleaved(head_dim, theta, &[0, 1, 2])
    }

    /// The same with every angular speed, in radians a position, changed: for positions beyond those of training.
    #[must_use]
    pub fn scaled(self, change: impl Fn(f64) -> f64) -> Self {
        let speeds = self.speeds.into_iter().map(|(axis, speed)| (axis, change(f64::from(speed)) as f32));
        Self { speeds: speeds.collect() }
    }

    fn interleaved(head_dim: usize, theta: f64, axes: &[usize]) -> Self {
        let speeds = (0..head_dim / 2)
            .map(|c| (axes[c % axes.len()], theta.powf(-2.0 * c as f64 / head_dim as f64) as f32))
            .collect();
        Self { speeds }
    }

    /// For each axis the angular speed of every frequency, 0 for those of other axes. `[Dh/2]` each.
    fn speeds(&self, device: &Device, dtype: DType) -> Vec<Tensor<1>> {
        let of_axis = |wanted: usize| {
            let speeds = self.speeds.iter().map(|&(axis, speed)| if axis == wanted { speed } else { 0.0 });
            let speeds: Vec<f32> = speeds.collect();
            let count = speeds.len();
            Tensor::from_data(TensorData::new(speeds, [count]), (device, dtype))
        };
        let used = self.speeds.iter().map(|&(axis, _)| axis + 1).max().unwrap_or(0);
        (0..used).map(of_axis).collect()
    }
}

/// Cosine and sine of the angles of every row, shared by all layers and heads.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// `[B, S, 1, Dh/2]`
    cos: Tensor<4>,
    /// `[B, S, 1, Dh/2]`
    sin: Tensor<4>,
}

impl RopeTable {
    /// # Shapes
    /// - `positions`: `[B, S, 3]`, the place in the sequence and the row and column of the patch
    pub fn new(positions: Tensor<3>, frequencies: &RopeFrequencies) -> Self {
        let device = positions.device();
        // Sixteen bits do not tell positions above 256 apart.
        let dtype = if positions.dtype().size() < 4 { DType::F32 } else { positions.dtype() };
        let positions = positions.cast(dtype);
        // Axis by axis rather than as a matrix product: on tensor cores that would round positions to 10 bits.
        let axes = frequencies.speeds(&device, dtype).into_iter();
        let [batch, rows, _] = positions.dims();
        let angles = axes.enumerate().map(|(axis, speeds)| {
            let place = positions.clone().narrow(2, axis, 1).unsqueeze_dim::<4>(2);
            place * speeds.unsqueeze::<4>()
        });
        let angles = angles.reduce(|sum, angles| sum + angles);
        let angles = angles.unwrap_or_else(|| Tensor::zeros([batch, rows, 1, 0], (&device, dtype)));
        Self { cos: angles.clone().cos(), sin: angles.sin() }
    }
}

/// Turns every head of every row by its row's angles.
///
/// # Shapes
/// - `x`: `[B, S, H, Dh]`; returns the same
pub fn rotate(x: Tensor<4>, table: &RopeTable) -> Tensor<4> {
    let place = place_of(&x);
    if place == Place::Reference {
        return reference(x, table);
    }
    let (x, cos, sin) = (x.into_dispatch(), table.cos.clone().into_dispatch(), table.sin.clone().into_dispatch());
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::RopeGpu>::rotate(x, cos, sin),
        _ => <Dispatch as RopeCpu>::rotate(x, cos, sin),
    })
}

/// Norms every head by its root mean square, as [`crate::rms_norm()`] does, and turns it: what becomes of queries and keys
/// that are normed (QK-norm, 2302.05442).
///
/// # Shapes
/// - `x`: `[B, S, H, Dh]`, `weight`: `[Dh]`; returns the shape of `x`
pub fn norm_rotate(x: Tensor<4>, weight: Tensor<1>, epsilon: f64, table: &RopeTable) -> Tensor<4> {
    let place = place_of(&x);
    if place == Place::Reference {
        return norm_rotate_reference(x, weight, epsilon, table);
    }
    let (cos, sin) = (table.cos.clone().into_dispatch(), table.sin.clone().into_dispatch());
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match place {
        #[cfg(feature = "gpu")]
        Place::Gpu => <Dispatch as gpu::RopeGpu>::norm_rotate(x, weight, cos, sin, epsilon),
        _ => <Dispatch as RopeCpu>::norm_rotate(x, weight, cos, sin, epsilon),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(positions: &[[f32; 3]], frequencies: &RopeFrequencies, device: &Device) -> RopeTable {
        let flat: Vec<f32> = positions.iter().flatten().copied().collect();
        RopeTable::new(Tensor::from_data(TensorData::new(flat, [1, positions.len(), 3]), device), frequencies)
    }

    fn head(values: Vec<f32>, rows: usize, device: &Device) -> Tensor<4> {
        let width = values.len() / rows;
        Tensor::from_data(TensorData::new(values, [1, rows, 1, width]), device)
    }

    #[test]
    fn the_product_of_two_rows_depends_on_their_distance_alone() {
        let device = Device::flex();
        let frequencies = RopeFrequencies::sequential(8, 1e4);
        let dot = |p: f32, q: f32| {
            let row: Vec<f32> = (0..8).map(|c| (c as f32 * 0.9).cos()).collect();
            let a = rotate(head(row.clone(), 1, &device), &table(&[[p, p, p]], &frequencies, &device));
            let b = rotate(head(row, 1, &device), &table(&[[q, q, q]], &frequencies, &device));
            (a * b).sum().into_scalar::<f32>()
        };
        assert!((dot(3.0, 1.0) - dot(10.0, 8.0)).abs() < 1e-5);
        assert!((dot(3.0, 1.0) - dot(3.0, 2.0)).abs() > 1e-3);
    }

    #[test]
    fn channel_zero_turns_by_its_position_in_radians() {
        let device = Device::flex();
        let frequencies = RopeFrequencies::sequential(4, 1e4);
        let out = rotate(head(vec![1.0, 0.0, 0.0, 0.0], 1, &device), &table(&[[2.0; 3]], &frequencies, &device));
        let out = out.to_data().try_to_vec::<f32>().unwrap();
        assert!((out[0] - 2f32.cos()).abs() < 1e-6 && (out[2] - 2f32.sin()).abs() < 1e-6);
    }

    #[test]
    fn text_rows_do_not_know_axial_from_sequential() {
        let device = Device::flex();
        let row: Vec<f32> = (0..16).map(|c| (c as f32).sin()).collect();
        let turned = |frequencies: &RopeFrequencies, position: [f32; 3]| {
            rotate(head(row.clone(), 1, &device), &table(&[position], frequencies, &device))
        };
        let (sequential, axial) = (RopeFrequencies::sequential(16, 1e4), RopeFrequencies::axial(16, 1e4));
        let gap =
            |position| (turned(&sequential, position) - turned(&axial, position)).abs().max().into_scalar::<f32>();
        assert_eq!(gap([5.0; 3]), 0.0);
        assert!(gap([5.0, 6.0, 9.0]) > 1e-2);
    }
}
