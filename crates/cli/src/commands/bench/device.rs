//! `interfuse bench device`: whether a device computes what the CPU computes, and how fast it multiplies.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use burn::tensor::{DType, Device, Tensor};
use interfuse_data::LoaderCursor;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_kernels::linear::product;
use interfuse_kernels::precision::tensor_cores;
use interfuse_kernels::{Precision, with_precision};
use interfuse_mot::CacheUse;
use interfuse_run::{Plan, Settings};
use interfuse_sequence::SequenceLayout;
use interfuse_trainer::Trainer;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_transfusion::{Normalizer, TrainBatch, hybrid_loss};
use serde_json::{Value, json};

use super::{YARDSTICK, device_memory};
use crate::args::{DeviceArgs, DevicePart};
use crate::print::say;

/// What the small model changes in the yardstick: every kind of layer that a model can have.
const SMALL: [&str; 9] = [
    "model.partition=[[\"text\"],[\"image\"]]",
    "model.backbone.d_model=128",
    "model.backbone.n_layers=2",
    "model.backbone.n_heads=2",
    "model.backbone.n_kv_heads=1",
    "model.backbone.qk_norm=true",
    "model.backbone.d_ff=344",
    "model.modalities.image.timestep_conditioning=\"ada_ln\"",
    "train.documents_per_sequence=2",
];

/// How far a device may be from the CPU, as a fraction of the norm of all gradients.
const TOLERANCES: [(Precision, f64); 2] = [(Precision::F32, 2e-3), (Precision::Bf16, 2e-2)];

/// Losses and gradients of one batch.
struct Computed {
    total: f64,
    /// By weight.
    gradients: Vec<(String, Vec<f32>)>,
}

/// Prints one JSON object.
///
/// # Errors
/// When there is no such device, or it is further from the CPU than it may be.
pub(crate) fn check(args: &DeviceArgs) -> anyhow::Result<()> {
    let device = interfuse_run::device::open(&args.device)?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let mut report = json!({ "device": args.device, "tensor_cores": tensor_cores(&device) });
    let mut far = vec![];
    if wanted(DevicePart::Parity) {
        report["parity"] = parity(&device, &mut far)?;
    }
    if wanted(DevicePart::Products) {
        report["products"] = products(&device)?.into();
    }
    report["device_memory"] = device_memory(&device).into();
    say!("{}", serde_json::to_string_pretty(&report)?);
    anyhow::ensure!(far.is_empty(), "{}", far.join("; "));
    Ok(())
}

/// Losses and gradients against those of the CPU, in every precision that the device has; `far` gets what is too far away.
fn parity(device: &Device, far: &mut Vec<String>) -> anyhow::Result<Value> {
    let (model, layouts) = small_model(&Device::flex())?;
    let expected = compute(&model, &layouts, &Device::flex(), Precision::F32)?;
    let mut parity = serde_json::Map::new();
    for (precision, tolerance) in TOLERANCES.into_iter().rev() {
        if !precision.runs_on(device) {
            parity.insert(precision.to_string(), Value::Null);
            continue;
        }
        tracing::debug!("computing in {precision}");
        let (model, layouts) = small_model(device)?;
        let found = compute(&model, &layouts, device, precision)?;
        let (report, gap) = compare(&expected, &found)?;
        tracing::debug!("{precision}: {report}");
        if gap.is_nan() || gap > tolerance {
            far.push(format!("{precision} is {gap:.2e} from the CPU, more than {tolerance:.0e}"));
        }
        parity.insert(precision.to_string(), report);
    }
    Ok(parity.into())
}

fn small_model(device: &Device) -> anyhow::Result<(Trainer, Vec<SequenceLayout>)> {
    let overrides: Vec<String> = SMALL.iter().map(ToString::to_string).collect();
    let settings = Settings::parse(YARDSTICK.1, Path::new(YARDSTICK.0), &overrides)?;
    let mut plan = Plan::new(settings)?;
    plan.device = device.clone();
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    let layouts = trainer.loader.next_batch(2)?;
    Ok((trainer, layouts))
}

fn compute(
    trainer: &Trainer,
    layouts: &[SequenceLayout],
    device: &Device,
    precision: Precision,
) -> anyhow::Result<Computed> {
    let (model, setup) = (&trainer.model, &trainer.setup);
    let key = NoiseKey { seed: 0, step: 0 };
    let batch = TrainBatch::new(layouts, &setup.model, key, TimestepChoice::Sampled, &device.clone().autodiff());
    let (total, mut gradients) = with_precision(precision, || {
        let predictions = model.forward(batch.input(), CacheUse::None);
        let loss = hybrid_loss(model, &predictions, &batch, &setup.objective, &Normalizer::of(&batch));
        let gradients = FlatGradients::of(model, loss.total.backward(), |_| None);
        (loss.total.inner(), gradients)
    });
    let total = f64::from(host(total)?.first().copied().unwrap_or(f32::NAN));
    let names: Vec<String> = gradients.names().map(str::to_string).collect();
    let values = |name: String| {
        let gradient = gradients.take(&name).context("a gradient by its name")?;
        Ok((name, host(gradient)?))
    };
    Ok(Computed { total, gradients: names.into_iter().map(values).collect::<anyhow::Result<_>>()? })
}

fn host(x: Tensor<1>) -> anyhow::Result<Vec<f32>> {
    let data = x.try_into_data().map_err(|error| anyhow::anyhow!("the device failed: {error:?}"))?;
    Ok(data.convert::<f32>().try_to_vec::<f32>().unwrap_or_default())
}

/// The gap is that of all gradients together.
fn compare(expected: &Computed, found: &Computed) -> anyhow::Result<(Value, f64)> {
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let (mut error, mut norm, mut worst) = (0.0, 0.0, (String::new(), 0.0));
    anyhow::ensure!(expected.gradients.len() == found.gradients.len(), "the device gives other gradients");
    for ((name, a), (_, b)) in expected.gradients.iter().zip(&found.gradients) {
        let one_error = squares(&mut a.iter().zip(b).map(|(a, b)| a - b));
        let one_norm = squares(&mut a.iter().copied());
        let gap = (one_error / one_norm.max(1e-30)).sqrt();
        if gap > worst.1 || gap.is_nan() {
            worst = (name.clone(), gap);
        }
        error += one_error;
        norm += one_norm;
    }
    let gap = (error / norm).sqrt();
    let loss = (found.total / expected.total - 1.0).abs();
    let report = json!({
        "loss": found.total,
        "loss_gap": loss,
        "gradient_gap": gap,
        "worst_gradient": { "name": worst.0, "gap": worst.1 },
    });
    Ok((report, gap.max(loss)))
}

/// Which product of a linear map is timed.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// `x W`
    Forward,
    /// `dy Wᵀ`
    Rows,
    /// `xᵀ dy`
    Weight,
}

/// TFLOP/s of the three products of linear maps at the widths of a layer of 768 and of 1536 channels.
fn products(device: &Device) -> anyhow::Result<Vec<Value>> {
    let sizes = match *device == Device::flex() {
        true => vec![[512, 512, 512]],
        // The first is so small that it shows what a launch costs.
        false => vec![[384, 192, 512], [1024, 1024, 1024], [16384, 768, 768], [16384, 768, 2048], [16384, 1536, 4096]],
    };
    let mut reports = vec![];
    for (precision, _) in TOLERANCES.into_iter().rev() {
        if !precision.runs_on(device) {
            continue;
        }
        for size in &sizes {
            for pass in [Pass::Forward, Pass::Rows, Pass::Weight] {
                let tflops = product_speed(device, precision, *size, pass)?;
                tracing::debug!("{precision} {pass:?} {size:?}: {tflops:.1} TFLOP/s");
                let pass = format!("{pass:?}").to_lowercase();
                reports
                    .push(json!({ "precision": precision.to_string(), "pass": pass, "size": size, "tflops": tflops }));
            }
        }
    }
    Ok(reports)
}

fn product_speed(
    device: &Device,
    precision: Precision,
    [rows, d_in, d_out]: [usize; 3],
    pass: Pass,
) -> anyhow::Result<f64> {
    let dtype = precision.shorter_rows_on(device).unwrap_or(DType::F32);
    let wave = |rows: usize, columns: usize| {
        let steps = Tensor::<1, burn::tensor::Int>::arange(0..(rows * columns) as i64, device).float();
        steps.mul_scalar(0.37).sin().reshape([rows, columns]).cast(dtype)
    };
    let (a, b) = match pass {
        Pass::Forward => (wave(rows, d_in), wave(d_in, d_out)),
        Pass::Rows => (wave(rows, d_out), wave(d_in, d_out).transpose()),
        Pass::Weight => (wave(rows, d_in).transpose(), wave(rows, d_out)),
    };
    let multiply = || with_precision(precision, || drop(product(a.clone(), b.clone())));
    (0..3).for_each(|_| multiply());
    device.sync()?;
    let (started, times) = (Instant::now(), 20);
    (0..times).for_each(|_| multiply());
    device.sync()?;
    let seconds = started.elapsed().as_secs_f64() / f64::from(times);
    Ok(2.0 * (rows * d_in * d_out) as f64 / seconds / 1e12)
}
