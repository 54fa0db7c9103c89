//! Data with classes is measured by a classifier: a small network trained on the real training images. Does it see in a generated
//! image the class that the prompt named, and how far are the generated images from real ones in its features?
//!
//! The distance is Fréchet's on the classifier's features, so it compares runs of this project on one data set, and is no FID.

use std::path::Path;
use std::time::Instant;

use interfuse_checkpoint::Pretrained;
use interfuse_data::{Image, Source};
use interfuse_evaluation::classifier::{Classifier, ClassifierConfig};
use interfuse_evaluation::frechet::{Statistics, frechet_distance};
use interfuse_evaluation::proportion::Proportion;
use interfuse_sampling::{ImageRequest, SamplingConfig};
use ndarray::Array4;
use serde_json::json;

use super::generated::{Generated, PromptScores, array, generate_all};
use super::report::Report;
use crate::error::Result;
use crate::observer::{RunObserver, duration};

/// A classifier and how good it is.
pub(super) struct TrainedClassifier {
    network: Classifier,
    /// On held-out real images.
    accuracy: Proportion,
}

/// What was generated and found.
pub(super) struct Measured {
    pub(super) generated: Generated,
    recognised: Proportion,
    by_class: Vec<Proportion>,
    distance: f64,
    /// The same distance for as many real training images: what a perfect model would get.
    baseline: f64,
    classifier_accuracy: Proportion,
    classifier_fingerprint: String,
    /// The classification accuracy score (Ravuri and Vinyals, 1905.10887): how well a network that learned from generated images
    /// alone tells real ones apart.
    score: Proportion,
    /// The same of as many real training images.
    score_of_real: Proportion,
}

/// Passes over the images of the classification accuracy score, which are few.
const PASSES: usize = 20;

/// The classifier of a data set: from `path` if it is there, else trained and saved there.
pub(super) fn classifier(
    train: &dyn Source,
    held_out: &dyn Source,
    path: &Path,
    observer: &mut dyn RunObserver,
) -> Result<TrainedClassifier> {
    let network = match path.exists() {
        true => Classifier::load(path)?,
        false => {
            let started = Instant::now();
            let (images, labels) = labelled(train, usize::MAX)?;
            let classes = labels.iter().max().map_or(0, |most| most + 1);
            let config = ClassifierConfig::cnn_v1(classes);
            let network = Classifier::train(images.view(), &labels, &config, 0, &mut |progress| {
                observer.progress("steps of the classifier's training", progress.step, progress.steps);
            })?;
            network.save(path)?;
            observer.note(&format!("trained a classifier in {}", duration(started.elapsed().as_secs_f64())));
            network
        }
    };
    let (images, labels) = labelled(held_out, usize::MAX)?;
    let accuracy = network.accuracy(images.view(), &labels)?;
    Ok(TrainedClassifier { network, accuracy })
}

/// Draws as many images of each class, each from one of the class's captions in turn.
pub(super) fn measure(
    pretrained: &Pretrained,
    classifier: &TrainedClassifier,
    (train, held_out): (&dyn Source, &dyn Source),
    sampling: &SamplingConfig,
    (count, seed): (usize, u64),
    observer: &mut dyn RunObserver,
) -> Result<Measured> {
    let captions = captions_by_class(train);
    let classes = captions.len();
    let present: Vec<usize> = (0..classes).filter(|&class| !captions[class].is_empty()).collect();
    let (mut requests, mut wanted) = (vec![], vec![]);
    for i in 0..count.max(1) {
        let (class, turn) = (present[i % present.len()], i / present.len());
        let prompt = captions[class][turn % captions[class].len()].clone();
        requests.push(ImageRequest::new(prompt, seed.wrapping_add(i as u64)));
        wanted.push(class);
    }
    let mut generated = generate_all(pretrained, requests, sampling, observer)?;
    let images = array(&generated.images, train.shape())?;
    let verdicts = classifier.network.verdicts(images.view())?;
    let (seen, values) = (verdicts.classes(), verdicts.probabilities_of(&wanted));
    generated.scores = Some(PromptScores { what: "probability of the prompted class, by the classifier", values });
    let of_class = |class: usize| {
        let pairs = wanted.iter().zip(&seen).filter(move |(wanted, _)| **wanted == class);
        Proportion::of(pairs.map(|(wanted, seen)| wanted == seen))
    };
    let statistics = |images: &Array4<f32>| -> Result<Statistics> {
        Ok(Statistics::of(classifier.network.features(images.view())?.view())?)
    };
    let (held_out_images, held_out_labels) = labelled(held_out, usize::MAX)?;
    let (training_images, training_labels) = labelled(train, generated.images.len())?;
    let real = statistics(&held_out_images)?;
    let as_many = statistics(&training_images)?;
    let score = |images: &Array4<f32>, labels: &[usize]| -> Result<Proportion> {
        let config = ClassifierConfig { epochs: PASSES, batch_size: 32, ..ClassifierConfig::cnn_v1(classes.max(2)) };
        let student = Classifier::train(images.view(), labels, &config, 0, &mut |_| {})?;
        Ok(student.accuracy(held_out_images.view(), &held_out_labels)?)
    };
    Ok(Measured {
        recognised: Proportion::of(wanted.iter().zip(&seen).map(|(wanted, seen)| wanted == seen)),
        by_class: (0..classes).map(of_class).collect(),
        distance: frechet_distance(&statistics(&images)?, &real)?,
        baseline: frechet_distance(&as_many, &real)?,
        classifier_accuracy: classifier.accuracy,
        classifier_fingerprint: classifier.network.fingerprint()?,
        score: score(&images, &wanted)?,
        score_of_real: score(&training_images, &training_labels)?,
        generated,
    })
}

impl Measured {
    pub(super) fn report(&self, pretrained: &Pretrained) -> Report {
        let mut report = Report::default();
        report.heading(pretrained.card.step);
        let chance = Some(1.0 / self.by_class.len() as f64);
        report.fraction("generated images recognised as what was prompted", &self.recognised, chance);
        let fractions = self.by_class.iter().enumerate();
        let fractions: Vec<String> =
            fractions.map(|(class, fraction)| format!("{class}: {:.0} %", 100.0 * fraction.fraction)).collect();
        report.note(format!("  by class  {}", fractions.join("  ")));
        report.fraction("the classifier on held-out real images", &self.classifier_accuracy, chance);
        report.fraction("real ones told apart by a network that saw generated ones", &self.score, chance);
        report.fraction("… and by one that saw as many real ones", &self.score_of_real, chance);
        report.note(format!(
            "Fréchet distance on the classifier's features (fd_cnn_v1): {:.1}; {:.1} for as many real training images",
            self.distance, self.baseline,
        ));
        report.note(self.generated.summary());
        report.value = super::base(&self.generated, pretrained);
        report.value["recognised"] = json!(self.recognised);
        report.value["recognised_by_class"] = json!(self.by_class);
        report.value["fd_cnn_v1"] = json!(self.distance);
        report.value["fd_cnn_v1_real_baseline"] = json!(self.baseline);
        report.value["classifier_accuracy"] = json!(self.classifier_accuracy);
        report.value["classifier_fingerprint"] = json!(self.classifier_fingerprint);
        report.value["classification_accuracy_score"] = json!(self.score);
        report.value["classification_accuracy_score_of_real_images"] = json!(self.score_of_real);
        report
    }
}

/// At most `count` images with their classes, spread evenly over the source.
fn labelled(source: &dyn Source, count: usize) -> Result<(Array4<f32>, Vec<usize>)> {
    let step = (source.len() / count.min(source.len()).max(1)).max(1);
    let (mut images, mut labels): (Vec<Image>, Vec<usize>) = (vec![], vec![]);
    for index in (0..source.len()).step_by(step).take(count) {
        if let (Ok(image), Some(label)) = (source.image(index), source.label(index)) {
            images.push(image);
            labels.push(label);
        }
    }
    Ok((array(&images, source.shape())?, labels))
}

/// The distinct captions of every class.
fn captions_by_class(source: &dyn Source) -> Vec<Vec<String>> {
    let mut classes: Vec<Vec<String>> = vec![];
    for index in 0..source.len() {
        let Some(label) = source.label(index) else { continue };
        if classes.len() <= label {
            classes.resize(label + 1, vec![]);
        }
        if classes[label].is_empty() {
            classes[label] = source.captions(index).unwrap_or_default();
        }
    }
    classes
}
