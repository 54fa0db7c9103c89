//! Data with classes is measured by a judge: a small network trained on the real training pictures. Does it see in a drawn
//! picture the class that the prompt named, and how far are the drawn pictures from real ones in its features?
//!
//! The distance is Fréchet's on the judge's features, so it compares runs of this project on one data set, and is no FID.

use std::path::Path;
use std::time::Instant;

use interfuse_data::{Picture, Source};
use interfuse_evaluation::classifier::{Classifier, ClassifierConfig};
use interfuse_evaluation::frechet::{Statistics, frechet_distance};
use interfuse_evaluation::proportion::Proportion;
use interfuse_sampling::{Drawing, Pretrained, SamplingConfig};
use ndarray::Array4;
use serde_json::{Value, json};

use super::drawn::{Drawn, PromptScores, array, draw_all};
use super::row;
use crate::progress::{counting_bar, duration};

/// A judge and how good it is.
pub(super) struct Judge {
    network: Classifier,
    /// On held-out real pictures.
    accuracy: Proportion,
}

/// What was drawn and found.
pub(super) struct Measured {
    pub(super) drawn: Drawn,
    recognised: Proportion,
    by_class: Vec<Proportion>,
    distance: f64,
    /// The same distance for as many real training pictures: what a perfect model would get.
    floor: f64,
    judge_accuracy: Proportion,
    judge_fingerprint: String,
    /// The classification accuracy score (Ravuri and Vinyals, 1905.10887): how well a network that learned from drawn pictures
    /// alone tells real ones apart.
    score: Proportion,
    /// The same of as many real training pictures.
    score_of_real: Proportion,
}

/// Passes over the pictures of the classification accuracy score, which are few.
const PASSES: usize = 20;

/// The judge of a data set: from `path` if it is there, else trained and saved there.
pub(super) fn judge(train: &dyn Source, held_out: &dyn Source, path: &Path) -> anyhow::Result<Judge> {
    let network = match path.exists() {
        true => Classifier::load(path)?,
        false => {
            let started = Instant::now();
            let (pictures, labels) = labelled(train, usize::MAX)?;
            let classes = labels.iter().max().map_or(0, |most| most + 1);
            let bar = counting_bar("steps of the judge's training", 0);
            let config = ClassifierConfig::cnn_v1(classes);
            let network = Classifier::train(pictures.view(), &labels, &config, 0, &mut |progress| {
                bar.set_length(progress.steps as u64);
                bar.set_position(progress.step as u64);
            })?;
            bar.finish_and_clear();
            network.save(path)?;
            println!("trained a judge in {}", duration(started.elapsed().as_secs_f64()));
            network
        }
    };
    let (pictures, labels) = labelled(held_out, usize::MAX)?;
    let accuracy = network.accuracy(pictures.view(), &labels)?;
    Ok(Judge { network, accuracy })
}

/// Draws as many pictures of each class, each from one of the class's captions in turn.
pub(super) fn measure(
    pretrained: &Pretrained,
    judge: &Judge,
    (train, held_out): (&dyn Source, &dyn Source),
    sampling: &SamplingConfig,
    (count, seed): (usize, u64),
) -> anyhow::Result<Measured> {
    let captions = captions_by_class(train);
    let classes = captions.len();
    let present: Vec<usize> = (0..classes).filter(|&class| !captions[class].is_empty()).collect();
    let (mut drawings, mut wanted) = (vec![], vec![]);
    for i in 0..count.max(1) {
        let (class, turn) = (present[i % present.len()], i / present.len());
        let prompt = captions[class][turn % captions[class].len()].clone();
        drawings.push(Drawing { prompt, seed: seed.wrapping_add(i as u64) });
        wanted.push(class);
    }
    let mut drawn = draw_all(pretrained, drawings, sampling)?;
    let pictures = array(&drawn.pictures)?;
    let verdicts = judge.network.verdicts(pictures.view())?;
    let (seen, values) = (verdicts.classes(), verdicts.probabilities_of(&wanted));
    drawn.scores = Some(PromptScores { what: "probability of the prompted class, by the judge", values });
    let of_class = |class: usize| {
        let pairs = wanted.iter().zip(&seen).filter(move |(wanted, _)| **wanted == class);
        Proportion::of(pairs.map(|(wanted, seen)| wanted == seen))
    };
    let statistics = |pictures: &Array4<f32>| -> anyhow::Result<Statistics> {
        Ok(Statistics::of(judge.network.features(pictures.view())?.view())?)
    };
    let (held_out_pictures, held_out_labels) = labelled(held_out, usize::MAX)?;
    let (training_pictures, training_labels) = labelled(train, drawn.pictures.len())?;
    let real = statistics(&held_out_pictures)?;
    let as_many = statistics(&training_pictures)?;
    let score = |pictures: &Array4<f32>, labels: &[usize]| -> anyhow::Result<Proportion> {
        let config = ClassifierConfig { epochs: PASSES, batch_size: 32, ..ClassifierConfig::cnn_v1(classes.max(2)) };
        let student = Classifier::train(pictures.view(), labels, &config, 0, &mut |_| {})?;
        Ok(student.accuracy(held_out_pictures.view(), &held_out_labels)?)
    };
    Ok(Measured {
        recognised: Proportion::of(wanted.iter().zip(&seen).map(|(wanted, seen)| wanted == seen)),
        by_class: (0..classes).map(of_class).collect(),
        distance: frechet_distance(&statistics(&pictures)?, &real)?,
        floor: frechet_distance(&as_many, &real)?,
        judge_accuracy: judge.accuracy,
        judge_fingerprint: judge.network.fingerprint()?,
        score: score(&pictures, &wanted)?,
        score_of_real: score(&training_pictures, &training_labels)?,
        drawn,
    })
}

/// Prints a table and returns it.
pub(super) fn report(measured: &Measured, pretrained: &Pretrained) -> anyhow::Result<Value> {
    super::heading(pretrained.card.step);
    let chance = 100.0 / measured.by_class.len() as f64;
    row("drawn pictures recognised as what was prompted", &measured.recognised, Some(chance));
    let shares = measured.by_class.iter().enumerate();
    let shares: Vec<String> = shares.map(|(class, share)| format!("{class}: {:.0} %", 100.0 * share.share)).collect();
    println!("  by class  {}", shares.join("  "));
    row("the judge on held-out real pictures", &measured.judge_accuracy, Some(chance));
    row("real ones told apart by a network that saw drawn ones", &measured.score, Some(chance));
    row("… and by one that saw as many real ones", &measured.score_of_real, Some(chance));
    println!(
        "Fréchet distance on the judge's features (fd_cnn_v1): {:.1}; {:.1} for as many real training pictures",
        measured.distance, measured.floor,
    );
    println!("{}", measured.drawn.summary());
    Ok(json!({
        "step": pretrained.card.step,
        "drawn": measured.drawn.report(),
        "recognised": serde_json::to_value(measured.recognised)?,
        "recognised_by_class": serde_json::to_value(&measured.by_class)?,
        "fd_cnn_v1": measured.distance,
        "fd_cnn_v1_of_real_training_pictures": measured.floor,
        "judge_accuracy": serde_json::to_value(measured.judge_accuracy)?,
        "judge_fingerprint": measured.judge_fingerprint,
        "classification_accuracy_score": serde_json::to_value(measured.score)?,
        "classification_accuracy_score_of_real_pictures": serde_json::to_value(measured.score_of_real)?,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// At most `count` pictures with their classes, spread evenly over the source.
fn labelled(source: &dyn Source, count: usize) -> anyhow::Result<(Array4<f32>, Vec<usize>)> {
    let step = (source.len() / count.min(source.len()).max(1)).max(1);
    let (mut pictures, mut labels): (Vec<Picture>, Vec<usize>) = (vec![], vec![]);
    for index in (0..source.len()).step_by(step).take(count) {
        if let (Ok(picture), Some(label)) = (source.picture(index), source.label(index)) {
            pictures.push(picture);
            labels.push(label);
        }
    }
    Ok((array(&pictures)?, labels))
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
            classes[label] = source.captions(index).to_vec();
        }
    }
    classes
}
