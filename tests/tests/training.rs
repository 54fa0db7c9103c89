//! Training: overfitting, accumulation, resume, and what happens when a loss is non-finite.

use std::path::Path;

use burn::tensor::Device;
use interfuse_checkpoint::ModelCard;
use interfuse_data::{DocumentConfig, DocumentStream as _, LoaderCursor};
use interfuse_kernels::{Precision, with_reference};
use interfuse_parameters::{import_weights, read_tensors, write_tensors};
use interfuse_sequence::SequenceLayout;
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::Learner as _;
use interfuse_trainer::{StepReport, TrainPrecision, Trainer, checkpoint};

fn steps(trainer: &mut Trainer, count: usize) -> Vec<StepReport> {
    (0..count).map(|_| trainer.step().expect("a step")).collect()
}

fn loss(report: &StepReport, name: &str) -> f64 {
    report.modalities.iter().find(|modality| modality.name == name).expect("the modality").loss
}

/// Eight samples, learned by heart: both losses fall near their lower bound, which for text is the choice among eight captions.
#[test]
fn eight_samples_are_learned_by_heart() {
    let run = Run::new();
    let mut trainer = run.trainer(LoaderCursor::default());
    let reports = steps(&mut trainer, 200);
    let mean = |name: &str| reports[180..].iter().map(|report| loss(report, name)).sum::<f64>() / 20.0;
    let (text, image) = (mean("text"), mean("image"));
    // Which of eight colours comes is chance: ln 8 nats, spread over the tokens with a target of a document.
    let tokens = reports[0].modalities.iter().find(|m| m.name == "text").expect("text").count as f64 / 8.0;
    let lower_bound = 8f64.ln() / tokens;
    assert!(text < lower_bound + 0.08, "text loss {text:.3}, lower bound {lower_bound:.3}");
    assert!(image < 0.03, "image loss {image:.4}");
    assert!(loss(&reports[0], "image") > 0.3, "it was not there from the start");
}

/// It begins as one with the image first does; an end behind its image would teach that captions are empty.
#[test]
fn a_document_without_its_caption_ends_with_its_image() {
    let mut run = Run::new();
    for (caption_dropout, parts) in [(1.0, 2), (0.0, 3)] {
        run.documents = DocumentConfig { image_first: 0.0, caption_dropout, ..Default::default() };
        let mut documents = run.documents();
        for number in 0..8 {
            let sample = documents.document(number).expect("a document");
            assert_eq!(sample.segments.len(), parts);
            assert!(matches!(sample.segments[1].content, interfuse_sequence::Content::Denoise(_)));
        }
    }
}

/// Bitwise: the steps after a resume are those of a run that was never interrupted.
#[test]
fn ten_steps_are_five_and_five_after_a_resume() {
    let mut run = Run::new();
    run.documents = DocumentConfig { image_first: 0.3, caption_dropout: 0.2, ..Default::default() };
    run.train.documents_per_sequence = Some(2);
    let mut through = run.trainer(LoaderCursor::default());
    let all = steps(&mut through, 10);

    let mut first = run.trainer(LoaderCursor::default());
    steps(&mut first, 5);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step-000005");
    run.save(&first, &path);
    drop(first);
    let mut second = run.resumed(&path);
    assert_eq!(second.step, 5);
    let rest = steps(&mut second, 5);

    for (a, b) in all[5..].iter().zip(&rest) {
        assert_eq!((a.step, a.total, a.gradient_norm), (b.step, b.total, b.gradient_norm));
    }
    assert_eq!(checkpoint::fingerprint(&through), checkpoint::fingerprint(&second), "the weights, bit by bit");
    assert_eq!(weights(&through.ema_model()), weights(&second.ema_model()), "their average as well");
}

/// Two micro-batches of four are one batch of eight.
#[test]
fn accumulated_gradients_are_those_of_one_batch() {
    let whole = Run::new();
    let mut parts = Run::new();
    (parts.train.batch_size, parts.train.gradient_accumulation) = (4, 2);
    let (mut a, mut b) = (whole.trainer(LoaderCursor::default()), parts.trainer(LoaderCursor::default()));
    for _ in 0..3 {
        let (a, b) = (a.step().expect("a step"), b.step().expect("a step"));
        assert!((a.total - b.total).abs() < 1e-4 * a.total.abs(), "{} against {}", a.total, b.total);
        assert!((a.gradient_norm - b.gradient_norm).abs() < 1e-3 * a.gradient_norm);
        assert_eq!(a.part_gradient_norms.len(), 2);
    }
}

#[test]
fn a_loss_that_is_no_number_skips_the_step_and_ends_the_run_after_three() {
    let run = Run::new();
    let mut trainer = run.trainer(LoaderCursor::default());
    steps(&mut trainer, 1);
    let mut broken = weights(&trainer.model);
    broken.get_mut("towers.image.patch_in.weight").expect("the patch projection").values[0] = f32::NAN;
    trainer.model = import_weights(trainer.model.clone(), broken, Path::new("broken")).expect("the same names");
    let before = checkpoint::fingerprint(&trainer);

    for _ in 0..2 {
        let report = trainer.step().expect("the step is skipped");
        assert!(report.skipped.expect("skipped").contains("loss"));
    }
    let message = trainer.step().expect_err("the third in a row").to_string();
    assert!(message.contains("step 4") && message.contains("3th step in a row"), "{message}");
    assert_eq!(trainer.skipped.total, 3);
    let same = before
        .iter()
        .zip(checkpoint::fingerprint(&trainer))
        .all(|((_, a), (_, b))| a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert!(same, "nothing was updated");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let run = Run::new();
    let trainer = run.trainer(LoaderCursor::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step-000000");
    run.save(&trainer, &path);

    let mut other = run.card();
    other.model.backbone.n_layers = 3;
    let refused = |card: &ModelCard, seed| checkpoint::open(&path, card, seed).err().expect("refused").to_string();
    assert!(refused(&other, 1).contains("config.json: expected model.backbone.n_layers = 3"));
    assert!(refused(&run.card(), 2).contains("state.json: expected seed 2, found seed 1"));

    let weights = path.join("model.safetensors");
    let whole = std::fs::read(&weights).expect("the weights");
    std::fs::write(&weights, &whole[..whole.len() / 2]).expect("torn");
    let mut trainer = run.trainer(LoaderCursor::default());
    let resumed = checkpoint::open(&path, &run.card(), 1).expect("the state is whole");
    let message = resumed.restore(&mut trainer).expect_err("torn").to_string();
    assert!(message.contains("model.safetensors: expected a whole safetensors file"), "{message}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_old_one() {
    let run = Run::new();
    let trainer = run.trainer(LoaderCursor::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step-000000");
    run.save(&trainer, &path);
    let before = std::fs::read(path.join("model.safetensors")).expect("the weights");
    // Something that is no folder stands where the new one is to be written.
    let temporary = folder.path().join("step-000000.partial");
    std::fs::write(&temporary, "in the way").expect("written");
    let tokenizer = run.tokenizer.to_bytes().expect("bytes");
    let failed = checkpoint::save(&trainer, &run.card(), &tokenizer, &path);
    assert!(failed.is_err());
    assert_eq!(std::fs::read(path.join("model.safetensors")).expect("still there"), before);
}

#[test]
fn weights_survive_the_file() {
    let device = Device::flex();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    let original = weights(&model(&mot_config(), 4, &device));
    write_tensors(&original, &path).expect("written");
    assert_eq!(read_tensors(&path).expect("read"), original);
    let other = model(&mot_config(), 5, &device);
    let loaded = import_weights(other, read_tensors(&path).expect("read"), &path).expect("the same model");
    assert_eq!(weights(&loaded), original);
}

#[test]
fn fused_operations_train_as_their_references_do() {
    const STEPS: u64 = 50;
    let losses = |plain: bool| -> Vec<f64> {
        let mut run = Run::new();
        run.optimizer.learning_rate = 1e-3;
        let mut trainer = run.trainer(LoaderCursor::default());
        let mut train = || (0..STEPS).map(|_| trainer.step().expect("a step").total).collect();
        if plain { with_reference(train) } else { train() }
    };
    for (step, (fused, plain)) in losses(false).into_iter().zip(losses(true)).enumerate() {
        assert!((fused - plain).abs() < 1e-3 * plain.abs(), "step {step}: {fused} against {plain}");
    }
}

/// Losses within 1 % at every step, and a run goes on in either precision.
#[test]
fn bf16_trains_as_f32_does() {
    const STEPS: usize = 50;
    if !Precision::Bf16.runs_on(&Device::flex()) {
        return;
    }
    let mut run = Run::new();
    run.optimizer.learning_rate = 1e-3;
    let mut long = run.trainer(LoaderCursor::default());
    run.train.precision = TrainPrecision::Bf16;
    let mut short = run.trainer(LoaderCursor::default());
    let (expected, found) = (steps(&mut long, STEPS), steps(&mut short, STEPS));
    for (found, expected) in found.iter().zip(&expected) {
        let gap = (found.total - expected.total).abs() / expected.total;
        assert!(gap < 1e-2, "step {}: {} against {}", found.step, found.total, expected.total);
    }
    assert!(found.iter().zip(&expected).any(|(a, b)| a.total != b.total), "factors have been rounded");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step-000050");
    run.save(&short, &path);
    run.train.precision = TrainPrecision::F32;
    let (found, expected) = (run.resumed(&path).step().expect("a step"), short.step().expect("a step"));
    assert!((found.total - expected.total).abs() < 1e-2 * expected.total);
}

#[test]
fn batches_made_ahead_are_those_that_would_have_come() {
    let run = Run::new();
    let (mut ahead, mut plain) = [(); 2].map(|()| run.trainer(LoaderCursor::default()).loader).into();
    let ids = |batches: Vec<Vec<SequenceLayout>>| -> Vec<String> {
        batches.into_iter().flatten().map(|layout| format!("{:?}", layout.lanes[TEXT].content)).collect()
    };
    for _ in 0..5 {
        let before = ahead.cursor().clone();
        ahead.prepare(3, 2);
        assert_eq!(*ahead.cursor(), before, "nobody has them yet");
        assert_eq!(ids(ahead.next_batches(3, 2).expect("ahead")), ids(plain.next_batches(3, 2).expect("plain")));
        assert_eq!(ahead.cursor(), plain.cursor());
    }
    // Another size than was prepared.
    ahead.prepare(3, 2);
    assert_eq!(ids(ahead.next_batches(1, 1).expect("ahead")), ids(plain.next_batches(1, 1).expect("plain")));
    assert_eq!(ahead.cursor(), plain.cursor());
}
