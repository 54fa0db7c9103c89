//! How much of an autoencoder's training step its convolutions take, with the kernels and with their reference implementations: forward
//! and backward of `configs/vae_emoji.toml` (4 images of 64 × 64) on one thread, as a worker runs them, and of its
//! convolutions alone.
//!
//!   cargo bench --workspace --bench convolutions

// A benchmark that cannot run has nothing better to do than to stop.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use burn::tensor::{Device, Tensor, TensorData};
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use interfuse_kernels::{ConvSteps, WeightInit, conv2d, with_reference};
use interfuse_parameters::parameters;
use interfuse_vae::{AutoencoderConfig, AutoencoderKl, LatentScale, NetworkConfig};

const IMAGES: usize = 4;
const SIDE: usize = 64;

fn wave<const R: usize>(shape: [usize; R]) -> Tensor<R> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

/// A convolution of the network with its input.
struct Convolution {
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    steps: ConvSteps,
}

impl Convolution {
    /// By the name of its weight, `None` for what is no convolution.
    fn of(name: &str, shape: &[usize], levels: usize) -> Option<Self> {
        let &[outputs, inputs, kernel, _] = shape else { return None };
        let halves = name.contains("downsamplers");
        let steps = match halves {
            true => ConvSteps { stride: 2, padding: [[0, 1]; 2] },
            false => ConvSteps::new(1, kernel / 2),
        };
        let side = side(name, levels);
        Some(Self {
            x: wave([IMAGES, inputs, side, side]),
            weight: wave([outputs, inputs, kernel, kernel]),
            bias: wave([outputs]),
            steps,
        })
    }

    fn both_ways(&self) {
        let y = conv2d(self.x.clone(), self.weight.clone(), Some(self.bias.clone()), self.steps);
        black_box(y.sum().backward());
    }
}

/// Side of the input of a convolution, of which a name says where it is.
fn side(name: &str, levels: usize) -> usize {
    let last = levels - 1;
    let level = |before: &str| -> Option<usize> { name.split(before).nth(1)?.split('.').next()?.parse().ok() };
    let below = if let Some(level) = level("down_blocks.") {
        level
    } else if let Some(level) = level("up_blocks.") {
        // The image is enlarged before the upsampler's convolution.
        last - level - usize::from(name.contains("upsamplers"))
    } else if name.starts_with("encoder.conv_in") || name.starts_with("decoder.conv_out") {
        0
    } else {
        last
    };
    SIDE >> below
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, work: impl Fn()) {
    group.sample_size(10);
    group.bench_function("kernels", |bencher| bencher.iter(&work));
    group.bench_function("reference implementations", |bencher| bencher.iter(|| with_reference(&work)));
}

fn step(criterion: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let network = NetworkConfig {
        in_channels: 3,
        out_channels: 3,
        latent_channels: 4,
        block_out_channels: vec![32, 64, 64],
        layers_per_block: 1,
        norm_num_groups: 8,
        mid_block_add_attention: true,
    };
    let levels = network.block_out_channels.len();
    let config =
        AutoencoderConfig { network, use_quant_conv: true, use_post_quant_conv: true, scale: LatentScale::default() };
    let vae = AutoencoderKl::new(&config, &mut WeightInit::new(0, &Device::flex().autodiff()));
    let pixels = wave([IMAGES, 3, SIDE, SIDE]);
    measure(&mut criterion.benchmark_group("whole step"), || {
        let posterior = vae.encode(pixels.clone());
        let noise = Tensor::zeros(posterior.mean.dims(), &pixels.device());
        let back = vae.decode(posterior.sample(noise));
        black_box((back - pixels.clone()).abs().mean().backward());
    });
    let all: Vec<Convolution> =
        parameters(&vae).iter().filter_map(|info| Convolution::of(&info.name, &info.shape, levels)).collect();
    measure(&mut criterion.benchmark_group("its convolutions alone"), || all.iter().for_each(Convolution::both_ways));
}

criterion_group!(benches, step);
criterion_main!(benches);
