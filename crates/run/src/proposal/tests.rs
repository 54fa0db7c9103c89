//! What must hold of every proposal, over a grid of data, wishes and machines.

use std::path::Path;

use interfuse_data::survey::{CaptionSurvey, Sides, Survey};

use super::candidate::Candidate;
use super::facts::{Facts, Size, Wishes};
use super::{Proposal, Recipe, Speed, Timing, propose};
use crate::carriers::{Carriers, Coding, ExtraIds, Held, fill_in};
use crate::settings::Settings;

/// Two cores of a CPU: a step of the quickstart takes some 50 ms.
const TWO_CORES: Speed = Speed { fixed: 0.01, flops_per_second: 1.2e11 };

/// 737 images of stamps as facts, with changes.
pub(super) fn facts(change: impl FnOnce(&mut Facts)) -> Facts {
    let sides = Sides { min: 40, median: 200, max: 600 };
    let captions =
        CaptionSurvey { captions: 737, distinct: 700, distinct_words: 900, words: 4.0, bytes: 24.0, longest: 300 };
    let survey = Survey {
        images: 737,
        skipped: 0,
        opened: 256,
        bad: 0,
        height: sides,
        width: sides,
        aspect: 1.0,
        transparent: 200,
        coloured: 256,
        seconds_per_image: 0.003,
        captions,
        example: "a red apple".into(),
    };
    let wishes = Wishes {
        images: "my images".into(),
        size: Size { height: 32, width: 32 },
        minutes: 10.0,
        dir: "runs/mine".into(),
        device: "cpu".into(),
    };
    let mut facts = Facts { wishes, survey, memory: Some(4 << 30), at_once: 2 };
    change(&mut facts);
    facts
}

/// Of a data set like that of a preset.
fn preset(images: usize, distinct: usize, words: usize, size: &str, minutes: f64) -> Proposal {
    let facts = facts(|facts| {
        facts.survey.images = images;
        facts.survey.captions.distinct = distinct;
        facts.survey.captions.distinct_words = words;
        facts.survey.seconds_per_image = 1e-4;
        facts.wishes.size = Size::parse(size).unwrap();
        facts.wishes.minutes = minutes;
    });
    propose(&facts, TWO_CORES).unwrap()
}

/// A grid of what data, wishes and machines may be, but for the minutes.
fn grid() -> Vec<(Facts, Speed)> {
    let mut grid = vec![];
    for size in ["1", "8x16", "28", "31x17", "32", "48x64", "128", "512"] {
        for (images, distinct) in [(1, 1), (8, 8), (737, 700), (8192, 5000), (60_000, 10), (3_000_000, 2_900_000)] {
            for (memory, at_once, speed) in [
                (None, 1, Speed { fixed: 0.05, flops_per_second: 2e14 }),
                (Some(6 << 30), 2, TWO_CORES),
                (Some(64 << 30), 48, Speed { fixed: 0.0, flops_per_second: 3e12 }),
            ] {
                let facts = facts(|facts| {
                    facts.survey.images = images;
                    facts.survey.captions.distinct = distinct;
                    facts.survey.captions.captions = images;
                    facts.wishes.size = Size::parse(size).unwrap();
                    (facts.memory, facts.at_once) = (memory, at_once);
                });
                grid.push((facts, speed));
            }
        }
    }
    grid
}

const MINUTES: [f64; 14] = [0.05, 0.2, 1.0, 2.0, 4.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 240.0, 1440.0, 40_000.0];

#[test]
fn more_minutes_never_give_fewer_row_steps() {
    for (mut facts, speed) in grid() {
        let (mut before, mut text): (f64, String) = (0.0, String::new());
        for minutes in MINUTES {
            facts.wishes.minutes = minutes;
            let proposal = propose(&facts, speed).unwrap();
            let (rows, what) = (proposal.row_steps(), format!("{minutes} minutes: {proposal:?}"));
            assert!(rows >= before, "{rows} rows after {before}\n{text}\n{what}");
            (before, text) = (rows, what);
        }
    }
}

#[test]
fn a_proposal_keeps_to_the_minutes_and_the_memory() {
    for (mut facts, speed) in grid() {
        for minutes in MINUTES {
            facts.wishes.minutes = minutes;
            let proposal = propose(&facts, speed).unwrap();
            assert!(proposal.steps == 1 || proposal.minutes() <= minutes, "{proposal:?}");
            assert!(facts.memory.is_none_or(|limit| proposal.memory <= limit), "{proposal:?}");
            assert!(proposal.interval() > 0 && proposal.warmup_steps() <= proposal.steps, "{proposal:?}");
        }
    }
}

#[test]
fn every_proposal_loads_and_its_model_fits_together() {
    for (mut facts, speed) in grid() {
        for minutes in [0.05, 5.0, 60.0, 40_000.0] {
            facts.wishes.minutes = minutes;
            let proposal = propose(&facts, speed).unwrap();
            let text = proposal.toml(None).unwrap();
            let settings = Settings::parse(&text, Path::new("proposed.toml"), &[]).unwrap();
            assert_eq!(settings.warnings(), Vec::<String>::new(), "{text}");
            assert_eq!(settings.train.batch_size * settings.train.gradient_accumulation, proposal.documents);
            // As a plan does once data is opened.
            let held = Held { images: Some(Coding::Continuous), speech: false };
            let carriers = Carriers::of(&settings.model, &settings.documents, held);
            let extra = ExtraIds { codes: None, units: None };
            let Size { height, width } = facts.wishes.size;
            let shape = [facts.channels(), height, width];
            let model = fill_in(settings.model, &carriers.unwrap(), facts.vocab_size(), extra, shape).unwrap();
            // What was counted is what is trained, but for how images are noised.
            let counted = proposal.candidate.model(&facts);
            assert_eq!((&model.partition, model.positions), (&counted.partition, counted.positions));
            assert_eq!(model.backbone, counted.backbone);
            assert_eq!(model.sequence_format(), counted.sequence_format());
        }
    }
}

#[test]
fn data_like_that_of_a_preset_gets_its_model_in_its_minutes() {
    let model = |proposal: &Proposal| {
        let Candidate { patch_size, d_model, n_layers, .. } = proposal.candidate;
        (proposal.recipe, patch_size, d_model, n_layers, proposal.documents)
    };
    assert_eq!(model(&preset(291, 291, 400, "32", 6.0)), (Recipe::ByHeart, 8, 192, 4, 16));
    let (recipe, patch_size, d_model, ..) = model(&preset(8192, 5000, 30, "32", 14.0));
    assert_eq!((recipe, patch_size, d_model), (Recipe::Composed, 4, 192));
    let (recipe, patch_size, d_model, _, documents) = model(&preset(60_000, 10, 12, "28", 10.0));
    assert_eq!((recipe, patch_size, d_model), (Recipe::Kinds, 7, 128));
    assert!((32..=64).contains(&documents), "{documents}");
}

#[test]
fn what_was_measured_replaces_what_was_predicted() {
    let proposal = preset(291, 291, 400, "32", 6.0);
    let slower = Timing { flops: 1.0, seconds: 2.0 * proposal.seconds_per_step };
    let timed = proposal.clone().timed(slower);
    assert!(timed.steps <= proposal.steps && timed.minutes() <= 6.0);
    assert_eq!((timed.candidate, timed.documents), (proposal.candidate, proposal.documents));
    assert!(timed.steps >= proposal.steps / 2 - 1);
}

#[test]
fn little_memory_gives_small_micro_batches_and_too_little_is_refused() {
    let propose_in = |mebibytes: usize| {
        let facts = facts(|facts| {
            facts.memory = Some(mebibytes << 20);
            facts.wishes.minutes = 60.0;
        });
        propose(&facts, TWO_CORES)
    };
    let (tight, wide) = (propose_in(700).unwrap(), propose_in(8000).unwrap());
    assert!(tight.candidate.d_model <= wide.candidate.d_model);
    assert!(tight.memory <= 700 << 20);
    let message = propose_in(256).unwrap_err().to_string();
    assert!(message.starts_with("--memory: expected at least 0."), "{message}");
}

#[test]
fn paths_are_written_so_that_they_are_read_back() {
    let facts = facts(|facts| facts.wishes.images = "it's \"mine\" \\ here".into());
    let text = propose(&facts, TWO_CORES).unwrap().toml(None).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(table["data"]["source"]["path"].as_str(), Some("it's \"mine\" \\ here"));
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}
