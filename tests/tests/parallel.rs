//! Several ranks train what one process trains, bit by bit.

use interfuse_data::{DocumentConfig, LoaderCursor};
use interfuse_tests::ranks::on_ranks;
use interfuse_tests::run::Run;
use interfuse_tests::weights;
use interfuse_trainer::{Learner as _, Ranks, StepReport, TrainError, Trainer, checkpoint};

/// Six micro-batches of a step: among them some without text targets or without images are likely.
fn small_run() -> Run {
    let mut run = Run::new();
    (run.train.batch_size, run.train.gradient_accumulation) = (2, 6);
    run.documents = DocumentConfig { image_first: 0.3, caption_dropout: 0.3, ..Default::default() };
    run
}

fn steps(trainer: &mut Trainer, count: usize) -> Vec<StepReport> {
    (0..count).map(|_| trainer.step().expect("a step")).collect()
}

/// Everything of a report but its duration.
fn numbers(reports: Vec<StepReport>) -> Vec<StepReport> {
    reports.into_iter().map(|report| StepReport { seconds: 0.0, waited: 0.0, ..report }).collect()
}

#[test]
fn any_number_of_ranks_takes_the_same_steps() {
    const STEPS: usize = 5;
    let run = small_run();
    let mut alone = run.trainer(LoaderCursor::default());
    let expected = numbers(steps(&mut alone, STEPS));
    let fingerprint = checkpoint::fingerprint(&alone);
    for size in [1, 2, 3, 4] {
        let found = on_ranks(size, |ranks| {
            let mut trainer = run.trainer(LoaderCursor::default()).among(ranks).expect("enough micro-batches");
            let reports = numbers(steps(&mut trainer, STEPS));
            (reports, checkpoint::fingerprint(&trainer), weights(&trainer.ema_model()))
        });
        for (reports, found, average) in found {
            assert_eq!(reports, expected, "{size} ranks");
            assert_eq!(found, fingerprint, "the weights of {size} ranks, bit by bit");
            assert_eq!(average, weights(&alone.ema_model()), "and their average");
        }
    }
}

#[test]
fn a_resume_may_have_another_number_of_ranks() {
    let run = small_run();
    let mut alone = run.trainer(LoaderCursor::default());
    steps(&mut alone, 4);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("step-000002");
    on_ranks(3, |ranks| {
        let leads = ranks.rank() == 0;
        let mut trainer = run.trainer(LoaderCursor::default()).among(ranks).expect("enough micro-batches");
        steps(&mut trainer, 2);
        if leads {
            run.save(&trainer, &path);
        }
    });
    let found = on_ranks(2, |ranks| {
        let mut trainer = run.resumed(&path).among(ranks).expect("enough micro-batches");
        steps(&mut trainer, 2);
        checkpoint::fingerprint(&trainer)
    });
    assert!(found.into_iter().all(|found| found == checkpoint::fingerprint(&alone)));
}

#[test]
fn more_ranks_than_micro_batches_are_refused_and_one_that_is_asked_stops_all() {
    let run = small_run();
    let refused = on_ranks(7, |ranks| run.trainer(LoaderCursor::default()).among(ranks).err().map(|e| e.to_string()));
    let expected = "train.gradient_accumulation: expected at least 7, a micro-batch for each rank, found 6";
    assert!(refused.into_iter().all(|error| error.as_deref() == Some(expected)));
    let stopped = on_ranks(2, |ranks: Ranks| -> Result<[bool; 2], TrainError> {
        let is_second = ranks.rank() == 1;
        let mut trainer = run.trainer(LoaderCursor::default()).among(ranks)?;
        Ok([trainer.stops(false)?, trainer.stops(is_second)?])
    });
    assert!(stopped.into_iter().all(|stopped| stopped.expect("an answer") == [false, true]));
}

#[test]
fn a_rank_that_ends_is_noticed_by_the_others() {
    let run = small_run();
    let outcomes = on_ranks(3, |ranks| {
        let ends = ranks.rank() == 2;
        let mut trainer = run.trainer(LoaderCursor::default()).among(ranks).expect("enough micro-batches");
        trainer.step().expect("a first step");
        if ends { None } else { Some(trainer.step().err().map(|error| error.to_string())) }
    });
    for error in outcomes.into_iter().flatten() {
        assert!(error.expect("an error").contains("has ended"));
    }
}
