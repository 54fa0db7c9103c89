//! The classifier: a small classifier, trained on real images, that says what a generated image shows.
//!
//! It serves twice. The fraction of generated images in which it sees what the prompt said is a score without a model of ours in
//! it, and its features give a Fréchet distance. Both are worth no more than the classifier, so print its accuracy on real
//! images that it was not trained on beside them; and both compare only with numbers of the same classifier, so print its
//! [`fingerprint`](Classifier::fingerprint) too.
//!
//! It runs on the CPU, always: training takes minutes, and a classifier that is the same everywhere is worth more than a quick
//! one. A seed gives the same weights each time on one machine.

mod adam;
mod network;
mod storage;

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use ndarray::{Array2, ArrayView1, ArrayView4, Axis};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use adam::Adam;
use network::{Judgement, Network, Shape};

use crate::{EvaluationError, proportion::Proportion};

/// Images judged at once; more would not be faster and would need more memory.
const CHUNK: usize = 500;

/// How to train a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Classes to tell apart, from 2 to 4096.
    pub classes: usize,
    /// Passes over the images, at least 1.
    pub epochs: usize,
    /// Images a step, at least 1.
    pub batch_size: usize,
    /// Adam's rate at the start, above 0; it falls in a straight line to 0.
    pub learning_rate: f64,
}

impl ClassifierConfig {
    /// The recipe of the classifier `cnn_v1`: 91.2 % on the real test set of Fashion-MNIST, in two to three minutes on two cores.
    ///
    /// Scores by this classifier (`fd_fashion_cnn_v1`) compare only while the recipe stays as it is.
    pub fn cnn_v1(classes: usize) -> Self {
        Self { classes, epochs: 6, batch_size: 128, learning_rate: 2e-3 }
    }

    fn validate(&self) -> Result<(), EvaluationError> {
        let refuse = |key, expected, found: String| Err(EvaluationError::Setting { key, expected, found });
        match *self {
            Self { classes, .. } if !(2..=4096).contains(&classes) => {
                refuse("classes", "2 to 4096", classes.to_string())
            }
            Self { epochs: 0, .. } => refuse("epochs", "at least 1", "0".to_owned()),
            Self { batch_size: 0, .. } => refuse("batch_size", "at least 1", "0".to_owned()),
            Self { learning_rate: rate, .. } if !(rate > 0.0 && rate.is_finite()) => {
                refuse("learning_rate", "above 0", rate.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingProgress {
    /// Steps done, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The mean cross-entropy of the step's images, in nats.
    pub loss: f32,
}

/// A trained classifier.
#[derive(Debug, Clone)]
pub struct Classifier {
    network: Network,
}

impl Classifier {
    /// Trains a classifier on real images. `report` hears of each step.
    ///
    /// # Shapes
    /// - `images`: `[count, channels, height, width]`, values in [-1, 1]
    /// - `labels`: `[count]`, each below `config.classes`
    ///
    /// # Errors
    /// A setting is out of range, there are no images, labels do not fit, or the loss is no longer finite.
    pub fn train(
        images: ArrayView4<'_, f32>,
        labels: &[usize],
        config: &ClassifierConfig,
        seed: u64,
        report: &mut dyn FnMut(TrainingProgress),
    ) -> Result<Self, EvaluationError> {
        config.validate()?;
        check_labels(&images, labels, config.classes)?;
        let (count, channels, height, width) = images.dim();
        let shape = Shape { channels, height, width, classes: config.classes };

        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut network = Network::new(shape, &mut rng, &Device::flex());
        let mut adam = Adam::new(&network.weights);

        let steps = config.epochs * count.div_ceil(config.batch_size);
        let mut step = 0;
        let mut order: Vec<usize> = (0..count).collect();
        for _ in 0..config.epochs {
            order.shuffle(&mut rng);
            for batch in order.chunks(config.batch_size) {
                let rate = config.learning_rate * (1.0 - step as f64 / steps as f64);
                let labels: Vec<usize> = batch.iter().map(|&index| labels[index]).collect();
                let images = images.select(Axis(0), batch);
                let loss = train_step(&mut network, &mut adam, images.view(), &labels, rate)?;
                step += 1;
                report(TrainingProgress { step, steps, loss });
            }
        }
        Ok(Self { network })
    }

    /// The class that the classifier sees in each image.
    ///
    /// # Shapes
    /// - `images`: `[count, channels, height, width]`, values in [-1, 1]
    ///
    /// # Errors
    /// The images are not of the shape that it was trained on.
    pub fn predict(&self, images: ArrayView4<'_, f32>) -> Result<Vec<usize>, EvaluationError> {
        Ok(self.verdicts(images)?.classes())
    }

    /// All that the classifier says of each image.
    ///
    /// # Shapes
    /// - `images`: `[count, channels, height, width]`, values in [-1, 1]
    ///
    /// # Errors
    /// The images are not of the shape that it was trained on.
    pub fn verdicts(&self, images: ArrayView4<'_, f32>) -> Result<Verdicts, EvaluationError> {
        let logits = self.outputs(images, |output| output.logits)?;
        let classes = self.network.shape.classes;
        let logits = Array2::from_shape_vec((logits.len() / classes, classes), logits)
            .map_err(|error| EvaluationError::Device(error.to_string()))?;
        Ok(Verdicts { logits })
    }

    /// The fraction of images in which the classifier sees what `labels` says.
    ///
    /// # Shapes
    /// - `images`: `[count, channels, height, width]`, values in [-1, 1]
    /// - `labels`: `[count]`
    ///
    /// # Errors
    /// There are no images, they are not of the shape that it was trained on, or labels do not fit.
    pub fn accuracy(&self, images: ArrayView4<'_, f32>, labels: &[usize]) -> Result<Proportion, EvaluationError> {
        check_labels(&images, labels, self.network.shape.classes)?;
        let predicted = self.predict(images)?;
        Ok(Proportion::of(predicted.iter().zip(labels).map(|(predicted, label)| predicted == label)))
    }

    /// The classifier's last layer but one, for a Fréchet distance: `[count, 64]`, none negative.
    ///
    /// # Shapes
    /// - `images`: `[count, channels, height, width]`, values in [-1, 1]
    ///
    /// # Errors
    /// The images are not of the shape that it was trained on.
    pub fn features(&self, images: ArrayView4<'_, f32>) -> Result<Array2<f32>, EvaluationError> {
        let features = self.outputs(images, |output| output.features)?;
        let rows = features.len() / network::FEATURES;
        Array2::from_shape_vec((rows, network::FEATURES), features)
            .map_err(|error| EvaluationError::Device(error.to_string()))
    }

    /// Writes the classifier to `path` as safetensors, whole or not at all.
    ///
    /// # Errors
    /// The path cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), EvaluationError> {
        storage::save(&self.network, path)
    }

    /// Reads a classifier that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// The file cannot be read, or is not a classifier of this version with every tensor in its shape and no other.
    pub fn load(path: &Path) -> Result<Self, EvaluationError> {
        Ok(Self { network: storage::load(path, &Device::flex())? })
    }

    /// Sixteen hexadecimal digits (FNV-1a, 64 bits) that name these weights: numbers compare only where they are equal.
    ///
    /// # Errors
    /// The weights cannot be read from the device.
    pub fn fingerprint(&self) -> Result<String, EvaluationError> {
        let bytes = storage::weight_bytes(&self.network)?.concat();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Ok(format!("{hash:016x}"))
    }

    /// One part of the output of all images, row after row.
    fn outputs(
        &self,
        images: ArrayView4<'_, f32>,
        part: impl Fn(Judgement) -> Tensor<2>,
    ) -> Result<Vec<f32>, EvaluationError> {
        let Shape { channels, height, width, .. } = self.network.shape;
        if images.shape()[1..] != [channels, height, width] {
            let found = &images.shape()[1..];
            return Err(EvaluationError::mismatch("the classifier's images", [channels, height, width], found));
        }
        let mut all = Vec::new();
        for chunk in images.axis_chunks_iter(Axis(0), CHUNK) {
            let output = self.network.forward(chunk, &Device::flex());
            all.extend(values(part(output))?);
        }
        Ok(all)
    }
}

/// What a classifier says of images.
#[derive(Debug, Clone)]
pub struct Verdicts {
    /// `[count, classes]`
    logits: Array2<f32>,
}

impl Verdicts {
    /// The class that it sees in each image.
    pub fn classes(&self) -> Vec<usize> {
        let best = |row: ArrayView1<'_, f32>| {
            row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(class, _)| class)
        };
        self.logits.rows().into_iter().map(best).collect()
    }

    /// The probability that it gives to one class of each image, from 0 to 1.
    ///
    /// # Panics
    /// When a class is not one of the classifier's.
    pub fn probabilities_of(&self, classes: &[usize]) -> Vec<f64> {
        let probability = |(row, &class): (ArrayView1<'_, f32>, &usize)| {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weight = |logit: f32| f64::from(logit - most).exp();
            weight(row[class]) / row.iter().map(|&logit| weight(logit)).sum::<f64>()
        };
        self.logits.rows().into_iter().zip(classes).map(probability).collect()
    }
}

/// One step of Adam; returns the loss before it.
fn train_step(
    network: &mut Network,
    adam: &mut Adam<8>,
    images: ArrayView4<'_, f32>,
    labels: &[usize],
    rate: f64,
) -> Result<f32, EvaluationError> {
    let device = Device::flex().autodiff();
    let tracked = Network {
        shape: network.shape,
        weights: network.weights.clone().map(|weight| Tensor::from_inner(weight).require_grad()),
    };
    let indices: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(indices, [labels.len(), 1]), &device);
    let logits = tracked.forward(images, &device).logits;
    let loss = -log_softmax(logits, 1).gather(1, targets).mean();

    let mut gradients = loss.backward();
    let gradients = tracked.weights.map(|weight| {
        // A weight that the loss does not depend on has no gradient, which is a gradient of zero.
        weight.grad_remove(&mut gradients).unwrap_or_else(|| weight.inner().zeros_like())
    });
    adam.update(&mut network.weights, gradients, rate);

    match values(loss.inner())?.first() {
        Some(&loss) if loss.is_finite() => Ok(loss),
        _ => Err(EvaluationError::NotFinite("the classifier's training loss")),
    }
}

fn check_labels(images: &ArrayView4<'_, f32>, labels: &[usize], classes: usize) -> Result<(), EvaluationError> {
    if images.is_empty() {
        return Err(EvaluationError::TooFew { what: "images", least: 1, found: 0 });
    }
    let count = images.shape()[0];
    if labels.len() != count {
        return Err(EvaluationError::mismatch("labels, one an image", count, labels.len()));
    }
    match labels.iter().find(|&&label| label >= classes) {
        Some(label) => Err(EvaluationError::mismatch("a label", 0..classes, label)),
        None => Ok(()),
    }
}

/// A tensor's values, back on the host.
fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, EvaluationError> {
    let data = tensor.try_into_data().map_err(|error| EvaluationError::Device(format!("{error:?}")))?;
    data.try_to_vec().map_err(|error| EvaluationError::Device(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    const CONFIG: ClassifierConfig = ClassifierConfig { classes: 3, epochs: 4, batch_size: 16, learning_rate: 5e-3 };

    /// Images of 2 x 9 x 6, dark but for one row, which is the class; with noise that differs from image to image.
    fn stripes(count: usize) -> (Array4<f32>, Vec<usize>) {
        let labels: Vec<usize> = (0..count).map(|index| index % 3).collect();
        let images = Array4::from_shape_fn((count, 2, 9, 6), |(n, c, y, x)| {
            let noise = ((n * 131 + c * 71 + y * 37 + x * 13) as f32).sin() * 0.3;
            noise + if y / 3 == n % 3 { 0.6 } else { -0.6 }
        });
        (images, labels)
    }

    fn trained(seed: u64) -> Classifier {
        let (images, labels) = stripes(96);
        Classifier::train(images.view(), &labels, &CONFIG, seed, &mut |_| {}).unwrap()
    }

    #[test]
    fn it_learns_to_tell_classes_apart() {
        let (images, labels) = stripes(150);
        let classifier = trained(0);
        let unseen = images.slice(ndarray::s![96.., .., .., ..]);
        assert_eq!(classifier.accuracy(unseen, &labels[96..]).unwrap().fraction, 1.0);
        let features = classifier.features(unseen).unwrap();
        assert_eq!(features.dim(), (54, 64));
        assert!(features.iter().all(|&value| value >= 0.0));
    }

    #[test]
    fn a_seed_is_a_classifier() {
        let fingerprint = |seed| trained(seed).fingerprint().unwrap();
        assert_eq!(fingerprint(0), fingerprint(0));
        assert_ne!(fingerprint(0), fingerprint(1));
    }

    #[test]
    fn progress_counts_every_step() {
        let (images, labels) = stripes(20);
        let mut heard = Vec::new();
        let mut report = |progress: TrainingProgress| heard.push((progress.step, progress.steps));
        Classifier::train(images.view(), &labels, &CONFIG, 0, &mut report).unwrap();
        assert_eq!(heard, (1..=8).map(|step| (step, 8)).collect::<Vec<_>>());
    }

    #[test]
    fn a_loaded_classifier_predicts_alike() {
        let (images, _) = stripes(12);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classifier.safetensors");
        let classifier = trained(0);
        classifier.save(&path).unwrap();
        let loaded = Classifier::load(&path).unwrap();
        assert_eq!(loaded.features(images.view()).unwrap(), classifier.features(images.view()).unwrap());
        assert_eq!(loaded.fingerprint().unwrap(), classifier.fingerprint().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (images, labels) = stripes(6);
        let refusal = |labels: &[usize], config: ClassifierConfig| {
            Classifier::train(images.view(), labels, &config, 0, &mut |_| {}).unwrap_err().to_string()
        };
        assert_eq!(refusal(&labels[1..], CONFIG), "labels, one an image: expected 6, found 5");
        assert_eq!(refusal(&labels, ClassifierConfig { classes: 2, ..CONFIG }), "a label: expected 0..2, found 2");
        assert!(refusal(&labels, ClassifierConfig { epochs: 0, ..CONFIG }).starts_with("epochs must be at least 1"));
        assert!(
            refusal(&labels, ClassifierConfig { learning_rate: f64::NAN, ..CONFIG }).contains("above 0, found NaN")
        );

        let other = Array4::zeros((1, 2, 9, 7));
        let error = trained(0).predict(other.view()).unwrap_err().to_string();
        assert_eq!(error, "the classifier's images: expected [2, 9, 6], found [2, 9, 7]");
    }
}
