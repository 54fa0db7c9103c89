//! The mixed law: seven sizes and three budgets give their constants back.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_scaling::law::{FitSettings, Grid, Law};
use interfuse_scaling::mixed::{
    Interaction, MeasuredInteraction, MixedBootstrap, MixedFit, MixedLaw, MixedSettings, MixedTables, Steps, barrier,
    bootstrap_mixed, fit_mixed, measured_interactions,
};
use interfuse_scaling::table::{Run, Table};
use interfuse_scaling::uncertainty::BootstrapSettings;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

const TRUTH: MixedLaw = MixedLaw {
    first: Law { e: 1.9, a: 300.0, b: 250.0, alpha: 0.31, beta: 0.24 },
    second: Law { e: 2.3, a: 60.0, b: 150.0, alpha: 0.18, beta: 0.22 },
    interaction: Interaction { c: 0.1, a: 20.0, b: 20.0, alpha: 0.34, beta: 0.28 },
};

/// Tables of the two modalities and of their pair, with noise of the log loss.
fn sweep(noise: f64, seed: u64) -> [Table; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let normal = Normal::new(0.0, noise).unwrap();
    let mut tables = [vec![], vec![], vec![]];
    for params in [8e6, 3e7, 1.25e8, 3.5e8, 7.6e8, 1.3e9, 6.7e9] {
        for tokens in [5e9, 1e10, 1e11] {
            let losses = [
                TRUTH.first.loss(params, 0.5 * tokens),
                TRUTH.second.loss(params, 0.5 * tokens),
                TRUTH.loss(params, 0.5 * tokens, 0.5 * tokens),
            ];
            for (at, loss) in losses.into_iter().enumerate() {
                let seen = if at < 2 { 0.5 * tokens } else { tokens };
                tables[at].push(Run::new(params, seen, loss * normal.sample(&mut rng).exp()));
            }
        }
    }
    tables.map(|runs| Table::new(runs).unwrap())
}

fn fit(tables: &[Table; 3], steps: Steps) -> MixedFit {
    let grid =
        Grid { a: vec![5.0, 10.0], b: vec![5.0, 10.0], e: vec![0.5], alpha: vec![0.25, 0.5], beta: vec![0.25, 0.5] };
    let settings = MixedSettings { fit: FitSettings { grid, ..FitSettings::default() }, steps };
    fit_mixed(of(tables), &settings).unwrap()
}

fn of(tables: &[Table; 3]) -> MixedTables<'_> {
    MixedTables { first: &tables[0], second: &tables[1], mixed: &tables[2] }
}

#[test]
fn both_ways_give_the_constants_back() {
    let tables = sweep(0.0, 0);
    for steps in [Steps::Two, Steps::Joint] {
        let fit = fit(&tables, steps);
        assert!(fit.converged && fit.objective < 1e-12, "{fit:?}");
        let found = fit.law.interaction.constants();
        for ((name, found), expected) in Interaction::NAMES.iter().zip(found).zip(TRUTH.interaction.constants()) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{steps:?} {name}: {found}");
        }
        let cheapest = |law: &Interaction| barrier::cheapest(law).unwrap().unwrap();
        let (found, expected) = (cheapest(&fit.law.interaction), cheapest(&TRUTH.interaction));
        assert!((found.flops / expected.flops - 1.0).abs() < 1e-3, "{found:?}");
    }
}

#[test]
fn measured_interactions_have_the_sign_of_the_law() {
    let tables = sweep(0.0, 0);
    let measured = measured_interactions(of(&tables), &TRUTH);
    assert_eq!(measured.len(), 21);
    for run in &measured {
        let expected = TRUTH.interaction.delta(run.params, run.tokens);
        assert!((run.delta - expected).abs() < 1e-12, "{run:?}");
        assert!((run.delta_of_runs.unwrap() - expected).abs() < 1e-12, "{run:?}");
    }
    let fit = fit(&tables, Steps::Two);
    let settings = BootstrapSettings { resamples: 4, seed: 0, level: 0.95 };
    let bootstrap = bootstrap_mixed(of(&tables), &fit, settings).unwrap();
    let file = serde_json::to_string(&(&fit, &bootstrap, &measured)).unwrap();
    let (fit, resampled, again): (MixedFit, MixedBootstrap, Vec<MeasuredInteraction>) =
        serde_json::from_str(&file).unwrap();
    assert_eq!((fit.rows, resampled.laws.len(), again.len()), (21, 4, 21));
    assert!(measured[0].delta > 0.0 && measured[20].delta < 0.0, "competition when small, synergy when large");
}

#[test]
fn intervals_of_the_interaction_hold_the_truth() {
    let mut hits = [0; 2];
    for seed in 0..4 {
        let tables = sweep(0.002, seed);
        for (at, steps) in [Steps::Two, Steps::Joint].into_iter().enumerate() {
            let fit = fit(&tables, steps);
            let settings = BootstrapSettings { resamples: 20, seed, level: 0.95 };
            let bootstrap = bootstrap_mixed(of(&tables), &fit, settings).unwrap();
            let interval = bootstrap.interval(|law| law.interaction.delta(30e9, 50e9));
            hits[at] += usize::from(interval.contains(TRUTH.interaction.delta(30e9, 50e9)));
        }
    }
    assert!(hits.iter().all(|hits| *hits >= 3), "{hits:?}");
}

#[test]
fn a_share_other_than_half_is_honored_and_few_runs_refused() {
    let mut tables = sweep(0.0, 0);
    let runs = tables[2].runs().iter().map(|run| Run {
        first_share: Some(0.8),
        loss: TRUTH.loss(run.params, 0.8 * run.tokens, 0.2 * run.tokens),
        ..run.clone()
    });
    tables[2] = Table::new(runs.collect()).unwrap();
    assert!(fit(&tables, Steps::Two).objective < 1e-12);
    let few = tables[2].filtered(|run| run.params < 1e7);
    let one = |at: f64| vec![at];
    let grid = Grid { a: one(5.0), b: one(5.0), e: one(0.5), alpha: one(0.3), beta: one(0.3) };
    let settings = MixedSettings { fit: FitSettings { grid, ..FitSettings::default() }, steps: Steps::Two };
    let error = fit_mixed(MixedTables { mixed: &few, ..of(&tables) }, &settings).unwrap_err().to_string();
    assert_eq!(error, "runs for 5 constants: at least 5 needed, found 3");
}
