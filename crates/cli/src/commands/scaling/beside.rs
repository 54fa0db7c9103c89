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
use super::sweep::exponents_of;

/// What came out of fits of pairs and of the mixed runs, and what the paper says.
///
/// # Errors
/// When a fit cannot be read or is not of a pair, or a run folder cannot be read.
pub(crate) fn beside_the_paper(fits: &[PathBuf], mixed_runs: &[PathBuf]) -> anyhow::Result<String> {
    let mut pairs = vec![];
    for path in fits {
        if let Fitted::Mixed(mixed) = FitFile::read(path)?.fit {
            pairs.push(mixed);
        }
    }
    let mut page = String::from(
        "# Laws of mixed-modal models beside the paper's (2301.03728)\n\nOf the paper, α and β of single modalities are \
         known; its E, A, B and all constants of pairs were published as figures alone.\n\n## Single modalities\n\n\
         | | α | 95 % | the paper's α | β | 95 % | the paper's β | largest size, predicted without it |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let singles = pairs.iter().flat_map(|mixed| [&mixed.first, &mixed.second]);
    let singles: BTreeMap<&str, &Single> = singles.map(|single| (single.modality.as_str(), single)).collect();
    for single in singles.values() {
        page += &single_row(single);
    }
    page += "\n## Pairs\n\n| | C | 95 % | a barrier exists in | largest size, predicted without it |\n|---|---|---|---|---|\n";
    for mixed in &pairs {
        page += &pair_row(mixed);
    }
    let settings = PhenomenaSettings { exponents: exponents_of(fits)?, ..PhenomenaSettings::default() };
    let counted = phenomena(mixed_runs, &settings)?.to_text();
    let _ = write!(page, "\n## Phenomena\n\n```\n{}\n```\n", counted.trim_end());
    Ok(page)
}

fn single_row(single: &Single) -> String {
    let (law, bootstrap) = (&single.fit.law, &single.bootstrap);
    let (alpha, beta) = (bootstrap.interval(|law| law.alpha), bootstrap.interval(|law| law.beta));
    let paper = PAPER.iter().find(|(name, ..)| *name == single.modality);
    let [paper_alpha, paper_beta] =
        paper.map_or(["–".into(), "–".into()], |(_, alpha, beta)| [alpha, beta].map(|value| value.to_string()));
    format!(
        "| {} | {} | {} | {paper_alpha} | {} | {} | {paper_beta} | {} |\n",
        single.modality,
        constant(law.alpha),
        between(&alpha),
        constant(law.beta),
        between(&beta),
        missed_by(single.held_out.as_ref())
    )
}

fn pair_row(mixed: &Mixed) -> String {
    let Mixed { fit, bootstrap, .. } = mixed;
    let barriers = bootstrap.fraction(|law| matches!(barrier::cheapest(&law.interaction), Ok(Some(_))));
    let synergy = bootstrap.interval(|law| law.interaction.constants()[0]);
    format!(
        "| {} | {} | {} | {:.0} % of resampled laws | {} |\n",
        // A bar parts the columns of a table.
        mixed.pair().replace('|', " and "),
        constant(fit.law.interaction.constants()[0]),
        between(&synergy),
        100.0 * barriers,
        missed_by(mixed.held_out.as_ref())
    )
}

fn between(interval: &Interval) -> String {
    format!("{} to {}", constant(interval.low), constant(interval.high))
}

fn missed_by(held_out: Option<&HeldOutError>) -> String {
    held_out.map_or_else(
        || "the others are too few".into(),
        |HeldOutError { mean_error, worst_error, runs, .. }| {
            format!("{:.2} % off on average, {:.2} % at worst ({runs} runs)", 100.0 * mean_error, 100.0 * worst_error)
        },
    )
}
