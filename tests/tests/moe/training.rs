//! Experts in training: exact accumulation, ranks, a resume, and what is reported.

use interfuse_data::{DocumentConfig, LoaderCursor};
use interfuse_mot::FeedForwardConfig;
use interfuse_tests::ranks::on_ranks;
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::{Learner as _, StepReport, Trainer, checkpoint};

use crate::{ALL, EXPERT_CHOICE, feed_forward};

const OVER_STEPS: &str = "experts = 4\nrouting = 'top_k'\nbalance_loss = 0.5\nbalance_over = 'step'\nz_loss = 0.1";
const OVER_SEQUENCES: &str = "experts = 4\nrouting = 'top_k'\nbalance_loss = 0.5\nz_loss = 0.1";

/// A run whose parts all have experts. Sequences hold some documents each, a few without text, so that they differ in rows.
fn run(text: &str) -> Run {
    let mut run = Run::new();
    run.config.backbone.feed_forward = feed_forward(text);
    run.train.documents_per_sequence = Some(2);
    run.documents = DocumentConfig { image_first: 0.3, caption_dropout: 0.4, ..Default::default() };
    run
}

fn steps(trainer: &mut Trainer, count: usize) -> Vec<StepReport> {
    (0..count).map(|_| trainer.step().unwrap()).collect()
}

fn loss(report: &StepReport, name: &str) -> f64 {
    report.modalities.iter().find(|modality| modality.name == name).unwrap().loss
}

/// The text part alone has experts, and learns.
#[test]
fn a_hybrid_is_a_matter_of_configuration_and_learns() {
    for text in ALL {
        let mut run = Run::new();
        let part = interfuse_mot::PartConfig { feed_forward: Some(feed_forward(text)) };
        run.config.backbone.parts.insert("text".into(), part);
        assert_eq!(run.config.backbone.feed_forward, FeedForwardConfig::default());
        let reports = steps(&mut run.trainer(LoaderCursor::default()), 40);
        let (first, last) = (&reports[0], &reports[39]);
        assert!(loss(last, "text") < 0.5 * loss(first, "text"), "{text}");
        assert!(loss(last, "image") < 0.7 * loss(first, "image"), "{text}");
        let names: Vec<&str> = first.routers.iter().map(|router| router.part.as_str()).collect();
        assert_eq!(names, ["text"], "the image part has no router");
        for report in &reports {
            let router = &report.routers[0];
            let mean = router.mean();
            assert_eq!((router.layers.len(), mean.load.len()), (2, 4));
            assert!((mean.load.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(router.largest_load() >= mean.load.iter().copied().fold(0.0, f64::max));
            assert!(mean.entropy > 0.0 && mean.entropy <= 4f64.ln() + 1e-6);
            match text {
                EXPERT_CHOICE => {
                    assert!(mean.load.iter().all(|load| (load - 0.25).abs() < 1e-9), "balanced by construction");
                    assert!((0.0..1.0).contains(&mean.unrouted));
                    assert_eq!(report.router_loss, Some(0.0));
                }
                _ => {
                    assert_eq!(mean.unrouted, 0.0);
                    let expected: f64 = router.layers.iter().map(|layer| 0.01 * layer.balance + 0.001 * layer.z).sum();
                    assert!((report.router_loss.unwrap() - expected).abs() < 1e-6);
                    let parts = loss(report, "text") + 5.0 * loss(report, "image") + expected;
                    assert!((report.total - parts).abs() < 1e-5 * parts, "the losses of routers are in the total");
                }
            }
        }
    }
}

/// Two micro-batches of four are one batch of eight, the losses of routers included.
#[test]
fn accumulated_gradients_are_those_of_one_batch() {
    for text in [EXPERT_CHOICE, OVER_SEQUENCES, OVER_STEPS] {
        let (whole, mut parts) = (run(text), run(text));
        (parts.train.batch_size, parts.train.gradient_accumulation) = (4, 2);
        let (mut a, mut b) = (whole.trainer(LoaderCursor::default()), parts.trainer(LoaderCursor::default()));
        for _ in 0..3 {
            let (a, b) = (a.step().unwrap(), b.step().unwrap());
            assert!((a.total - b.total).abs() < 1e-4 * a.total.abs(), "{text}: {} against {}", a.total, b.total);
            let (of_a, of_b) = (a.router_loss.unwrap(), b.router_loss.unwrap());
            assert!((of_a - of_b).abs() < 1e-5 * of_a.max(1.0), "{text}: {of_a} against {of_b}");
            let gap = (a.gradient_norm - b.gradient_norm).abs();
            assert!(gap < 1e-4 * a.gradient_norm, "{text}: {} against {}", a.gradient_norm, b.gradient_norm);
        }
        assert!(weight_gap(&weights(&a.model), &weights(&b.model)) < 1e-4, "{text}: the weights after three steps");
    }
}

/// Otherwise the test above would show nothing: over a step and over sequences, loads are balanced otherwise.
#[test]
fn balance_over_a_step_is_not_that_over_its_sequences() {
    let balance = |text: &str| {
        let report = run(text).trainer(LoaderCursor::default()).step().unwrap();
        report.routers[0].mean().balance
    };
    let (over_steps, over_sequences) = (balance(OVER_STEPS), balance(OVER_SEQUENCES));
    assert!(
        over_sequences - over_steps > 1e-3,
        "{over_sequences} and {over_steps}: a sequence is less even than the step"
    );
}

/// Everything of a report but its duration.
fn numbers(reports: Vec<StepReport>) -> Vec<StepReport> {
    reports.into_iter().map(|report| StepReport { seconds: 0.0, waited: 0.0, ..report }).collect()
}

#[test]
fn any_number_of_ranks_takes_the_same_steps() {
    for text in [EXPERT_CHOICE, OVER_STEPS] {
        let mut run = run(text);
        (run.train.batch_size, run.train.gradient_accumulation) = (2, 4);
        let mut alone = run.trainer(LoaderCursor::default());
        let expected = numbers(steps(&mut alone, 3));
        for size in [2, 3] {
            let found = on_ranks(size, |ranks| {
                let mut trainer = run.trainer(LoaderCursor::default()).among(ranks).unwrap();
                (numbers(steps(&mut trainer, 3)), checkpoint::fingerprint(&trainer))
            });
            for (reports, fingerprint) in found {
                assert_eq!(reports, expected, "{text}: {size} ranks");
                assert_eq!(fingerprint, checkpoint::fingerprint(&alone), "{text}: the weights, bit by bit");
            }
        }
    }
}

#[test]
fn a_resume_goes_on_bit_by_bit() {
    let run = run(OVER_SEQUENCES);
    let mut through = run.trainer(LoaderCursor::default());
    steps(&mut through, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-000002");
    run.save(&through, &path);
    let mut resumed = run.resumed(&path);
    assert_eq!(numbers(steps(&mut through, 2)), numbers(steps(&mut resumed, 2)));
    assert_eq!(checkpoint::fingerprint(&through), checkpoint::fingerprint(&resumed));
}
