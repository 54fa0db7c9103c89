//! Fits of a sweep beside the numbers of the paper that it follows, as a page of Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use interfuse_run::reproduction::scaling::PAPER;
use interfuse_scaling::Interval;
use interfuse_scaling::mixed::barrier;
use interfuse_sweep::phenomena::{PhenomenaSettings, phenomena};

use super::constant;
use super::file::{FitFile, Fitted, HeldOutError, Mixed, Single};
use super::mixed::is_identified;
use super::sweep::exponents_of;

/// What came out of fits of pairs and of single modalities, and of the mixed runs, and what the paper says.
///
/// # Errors
/// When a fit or a run folder cannot be read.
pub(crate) fn beside_the_paper(fits: &[PathBuf], mixed_runs: &[PathBuf]) -> anyhow::Result<String> {
    let (mut pairs, mut alone, mut of_pairs) = (vec![], vec![], vec![]);
    for path in fits {
        match FitFile::read(path)?.fit {
            Fitted::Mixed(mixed) => {
                pairs.push(mixed);
                of_pairs.push(path.clone());
            }
            Fitted::Single(single) => alone.push(single),
        }
    }
    let mut page = String::from(
        "# Laws of mixed-modal models beside the paper's (2301.03728)\n\nOf the paper, α and β of single modalities are \
         known; its E, A, B and all constants of pairs were published as figures alone.\n\n## Single modalities\n\n\
         | | α | 95 % | the paper's α | β | 95 % | the paper's β | largest size, predicted without it |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let singles = pairs.iter().flat_map(|mixed| [&mixed.first, &mixed.second]).chain(alone.iter().map(AsRef::as_ref));
    let singles: BTreeMap<&str, &Single> = singles.map(|single| (single.modality.as_str(), single)).collect();
    for single in singles.values() {
        page += &single_row(single);
    }
    page += "\n## Pairs\n\n| | C | 95 % | a barrier exists in | largest size, predicted without it |\n|---|---|---|---|---|\n";
    for mixed in &pairs {
        page += &pair_row(mixed);
    }
    let settings = PhenomenaSettings { exponents: exponents_of(&of_pairs)?, ..PhenomenaSettings::default() };
    let counted = phenomena(mixed_runs, &settings)?.to_text();
    let _ = write!(page, "\n## Phenomena\n\n```\n{}\n```\n", counted.trim_end());
    Ok(page)
}

fn single_row(single: &Single) -> String {
    let (fit, bootstrap) = (&single.fit, &single.bootstrap);
    let (alpha, beta) = (bootstrap.interval(|law| law.alpha), bootstrap.interval(|law| law.beta));
    let exponent = |value, interval| known(fit.converged, is_identified(interval), value);
    let paper = PAPER.iter().find(|(name, ..)| *name == single.modality);
    let [paper_alpha, paper_beta] =
        paper.map_or(["–".into(), "–".into()], |(_, alpha, beta)| [alpha, beta].map(|value| value.to_string()));
    format!(
        "| {} | {} | {} | {paper_alpha} | {} | {} | {paper_beta} | {} |\n",
        single.modality,
        exponent(fit.law.alpha, &alpha),
        between(&alpha),
        exponent(fit.law.beta, &beta),
        between(&beta),
        missed_by(single.held_out.as_ref())
    )
}

fn pair_row(mixed: &Mixed) -> String {
    let Mixed { fit, bootstrap, .. } = mixed;
    let barriers = bootstrap.fraction(|law| matches!(barrier::cheapest(&law.interaction), Ok(Some(_))));
    let synergy = bootstrap.interval(|law| law.interaction.constants()[0]);
    let is_known = is_identified(&magnitudes(&synergy));
    format!(
        "| {} | {} | {} | {:.0} % of resampled laws | {} |\n",
        // A bar parts the columns of a table.
        mixed.pair().replace('|', " and "),
        known(fit.converged, is_known, fit.law.interaction.constants()[0]),
        between(&synergy),
        100.0 * barriers,
        missed_by(mixed.held_out.as_ref())
    )
}

/// A constant, or why it is none.
fn known(converged: bool, identified: bool, value: f64) -> String {
    match (converged, identified) {
        (false, _) => "did not converge".into(),
        (true, false) => "not identified".into(),
        (true, true) => constant(value),
    }
}

/// An interval below 0 turned to the other side.
fn magnitudes(interval: &Interval) -> Interval {
    match interval.high < 0.0 {
        true => Interval { low: -interval.high, high: -interval.low, ..*interval },
        false => *interval,
    }
}

fn between(interval: &Interval) -> String {
    format!("{} to {}", constant(interval.low), constant(interval.high))
}

fn missed_by(held_out: Option<&HeldOutError>) -> String {
    let Some(error) = held_out else { return "the others are too few".into() };
    let HeldOutError { mean_error, worst_error, runs, .. } = error;
    match error.why_void() {
        Some(reason) => reason.into(),
        None => {
            format!("{:.2} % off on average, {:.2} % at worst ({runs} runs)", 100.0 * mean_error, 100.0 * worst_error)
        }
    }
}

#[cfg(test)]
mod tests {
    use interfuse_scaling::law::{Law, LawFit};
    use interfuse_scaling::mixed::{Interaction, MixedFit, MixedLaw, Steps};
    use interfuse_scaling::uncertainty::{Bootstrap, BootstrapSettings};

    use super::*;
    use crate::commands::scaling::file::Range;

    const LAW: Law = Law { e: 2.0, a: 60.0, b: 90.0, alpha: 0.25, beta: 0.5 };
    const RANGE: Range = Range { params: (1e6, 1e9), tokens: (1e8, 1e10) };
    const ERROR: HeldOutError =
        HeldOutError { params: 1e9, runs: 3, mean_error: 0.01, worst_error: 0.02, converged: true };

    fn fit(converged: bool) -> LawFit {
        LawFit {
            law: LAW,
            delta: 1e-3,
            objective: 0.0,
            gradient_norm: 0.0,
            converged,
            rows: 12,
            starts: 1,
            reached: 1,
            others: vec![],
        }
    }

    fn resampled<L>(laws: Vec<L>) -> Bootstrap<L> {
        Bootstrap { laws, settings: BootstrapSettings::default() }
    }

    /// A law whose α is between these two in resampled tables.
    fn single(converged: bool, alphas: [f64; 2]) -> Single {
        Single {
            modality: "text".into(),
            fit: fit(converged),
            bootstrap: resampled(alphas.map(|alpha| Law { alpha, ..LAW }).to_vec()),
            residuals: vec![],
            range: RANGE,
            held_out: Some(ERROR),
            warnings: vec![],
        }
    }

    /// A pair whose C is between these two in resampled tables.
    fn pair(converged: bool, synergies: [f64; 2]) -> Mixed {
        let law = |c| {
            let interaction = Interaction { c, a: 8.0, b: 60.0, alpha: 0.2, beta: 0.3 };
            MixedLaw { first: LAW, second: LAW, interaction }
        };
        let fit = MixedFit {
            law: law(0.2),
            steps: Steps::Two,
            first: fit(true),
            second: fit(true),
            objective: 0.0,
            gradient_norm: 0.0,
            converged,
            rows: 12,
            starts: 1,
            reached: 1,
        };
        let [first, second] = [(); 2].map(|()| single(true, [0.2, 0.3]));
        let bootstrap = resampled(synergies.map(law).to_vec());
        Mixed { first, second, fit, bootstrap, residuals: vec![], range: RANGE, held_out: None, warnings: vec![] }
    }

    #[test]
    fn a_constant_that_is_none_is_not_printed_as_one() {
        let row = single_row(&single(true, [0.2, 0.3]));
        assert!(row.starts_with("| text | 0.250000 | ") && row.contains("1.00 % off on average"), "{row}");
        // β is known all the same.
        let row = single_row(&single(true, [0.01, 0.3]));
        assert!(row.starts_with("| text | not identified | ") && row.contains("| 0.500000 |"), "{row}");
        let row = single_row(&single(false, [0.2, 0.3]));
        assert_eq!(row.matches("did not converge").count(), 2, "{row}");

        assert!(pair_row(&pair(true, [0.1, 0.3])).starts_with("| text and text | 0.200000 | "));
        for synergies in [[0.01, 0.3], [-0.1, 0.3]] {
            assert!(pair_row(&pair(true, synergies)).contains("| not identified |"), "{synergies:?}");
        }
        assert!(pair_row(&pair(true, [-0.3, -0.1])).contains("| 0.200000 |"));
        assert!(pair_row(&pair(false, [0.1, 0.3])).contains("| did not converge |"));
    }

    #[test]
    fn a_prediction_of_no_law_has_no_percentages() {
        assert!(missed_by(Some(&ERROR)).contains("2.00 % at worst (3 runs)"));
        let absurd = missed_by(Some(&HeldOutError { mean_error: 5e11, worst_error: 6e11, ..ERROR }));
        assert!(absurd.contains("do not identify the law") && !absurd.contains('%'), "{absurd}");
        let unconverged = missed_by(Some(&HeldOutError { converged: false, ..ERROR }));
        assert!(unconverged.contains("did not converge") && !unconverged.contains('%'), "{unconverged}");
        assert_eq!(missed_by(None), "the others are too few");
    }
}
