//! What the user types about laws of scaling.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::sweep::{BatchArgs, CalibrateArgs, ModalitiesArgs, PhenomenaArgs, SweepArgs, SweepPlanArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum ScalingCommand {
    /// Fit the law of one modality, or with --pair that of two in one model, to a table of runs
    Fit(FitArgs),
    /// Predict a loss, or the best size for a budget, by a fit
    Predict(PredictArgs),
    /// From which size or how many tokens on two modalities help each other, by a fit of a pair
    Barrier(BarrierArgs),
    /// Draw a fit and its table on one page that needs nothing else
    Plot(PlotArgs),
    /// Time this machine at the sizes of a sweep, and count the tokens of its documents
    Calibrate(CalibrateArgs),
    /// List the runs of a sweep, their cost and the hours that they will take
    Plan(SweepPlanArgs),
    /// Train what is left of a sweep, and write one table of all runs
    Sweep(SweepArgs),
    /// Train what is left of a sweep over batch sizes, and say which batch is best for every size and budget
    Batch(BatchArgs),
    /// What modalities do to each other in runs: who waits for whom, spikes of the gradient
    Phenomena(PhenomenaArgs),
    /// Which data sets are modalities of their own, by the losses of models on each other's data
    Modalities(ModalitiesArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// Table of finished runs, with columns params, loss, and tokens or flops; or the folders of the runs themselves
    #[arg(required = true)]
    pub(crate) table: Vec<PathBuf>,
    /// The held-out loss of a modality in metrics.jsonl, where names do not say it, such as
    /// --loss text=held_out/voices.text_loss; may be repeated
    #[arg(long = "loss", value_name = "MODALITY=KEY", value_parser = assignment)]
    pub(crate) losses: Vec<(String, String)>,
    /// The modality to be fitted, where the table has several
    #[arg(long, conflicts_with = "pair")]
    pub(crate) modality: Option<String>,
    /// Two modalities, such as 'speech|text': fit both and what they do to each other
    #[arg(long, value_name = "A|B")]
    pub(crate) pair: Option<String>,
    /// Move the laws of both modalities too when the pair is fitted, from the result of two steps
    #[arg(long, requires = "pair")]
    pub(crate) joint: bool,
    /// Read a column under another name, such as --rename loss=loss_c4_val; may be repeated
    #[arg(long, value_name = "NEW=OLD", value_parser = assignment)]
    pub(crate) rename: Vec<(String, String)>,
    /// Do not read a column; may be repeated
    #[arg(long, value_name = "COLUMN")]
    pub(crate) ignore: Vec<String>,
    /// Read only rows whose column has a value, such as --only train_set=rpj; may be repeated
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = assignment)]
    pub(crate) only: Vec<(String, String)>,
    /// Keep the best run of each modality, size and budget
    #[arg(long)]
    pub(crate) best_of_cells: bool,
    /// Threshold of Huber's loss, in log loss
    #[arg(long, default_value_t = 1e-3)]
    pub(crate) delta: f64,
    /// Resampled tables from which intervals are taken
    #[arg(long, default_value_t = 200)]
    pub(crate) resamples: usize,
    /// Of the resampling
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// File of the fit
    #[arg(long, default_value = "fit.json")]
    pub(crate) out: PathBuf,
}

impl FitArgs {
    /// The fit of a pair with everything else as usual.
    pub(crate) fn of_pair(table: PathBuf, pair: &str, out: PathBuf) -> Self {
        Self {
            table: vec![table],
            losses: vec![],
            modality: None,
            pair: Some(pair.into()),
            joint: false,
            rename: vec![],
            ignore: vec![],
            only: vec![],
            best_of_cells: false,
            delta: 1e-3,
            resamples: 200,
            seed: 0,
            out,
        }
    }

    /// The fit of one modality with everything else as usual.
    pub(crate) fn of_modality(table: PathBuf, modality: &str, out: PathBuf) -> Self {
        Self { modality: Some(modality.into()), pair: None, ..Self::of_pair(table, modality, out) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// File of the fit
    pub(crate) fit: PathBuf,
    /// Parameters, such as 70M or 8e6
    #[arg(long, value_parser = count, requires = "tokens", required_unless_present = "flops")]
    pub(crate) params: Option<f64>,
    /// Tokens, of a pair those of both
    #[arg(long, value_parser = count, requires = "params")]
    pub(crate) tokens: Option<f64>,
    /// Budget of training FLOPs, of which the best size is said
    #[arg(long, value_parser = count, conflicts_with_all = ["params", "tokens"])]
    pub(crate) flops: Option<f64>,
    /// Of a fit of a pair, the law of one of its modalities by itself
    #[arg(long)]
    pub(crate) modality: Option<String>,
    /// Of the tokens of a pair, the fraction that the first modality has
    #[arg(long, default_value_t = 0.5)]
    pub(crate) first_share: f64,
    #[command(flatten)]
    pub(crate) answer: super::AnswerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BarrierArgs {
    /// File of the fit of a pair
    pub(crate) fit: PathBuf,
    /// Parameters: from how many tokens on do the two help each other?
    #[arg(long, value_parser = count, conflicts_with = "tokens")]
    pub(crate) params: Option<f64>,
    /// Tokens of both: from which size on do the two help each other?
    #[arg(long, value_parser = count)]
    pub(crate) tokens: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// File of the fit
    pub(crate) fit: PathBuf,
    /// The table that it was fitted to
    pub(crate) table: PathBuf,
    /// The page
    #[arg(long, default_value = "scaling.html")]
    pub(crate) out: PathBuf,
    /// Also write every figure as PNG and SVG into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) png: Option<PathBuf>,
}

/// `NEW=OLD`, both not empty.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((new, old)) if !new.is_empty() && !old.is_empty() => Ok((new.to_owned(), old.to_owned())),
        _ => Err(format!("expected two names with = between, found `{text}`")),
    }
}

/// A count such as 8e6, 70M, 1.5B or 2_000_000: finite and from 1 up.
fn count(text: &str) -> Result<f64, String> {
    const FORMS: &str = "expected a number such as 8e6, or one with K, M, B or T such as 70M";
    let digits = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "K" | "k" => 1e3,
        "M" | "m" => 1e6,
        "B" | "b" => 1e9,
        "T" | "t" => 1e12,
        other => return Err(format!("unknown suffix `{other}` in `{text}`; {FORMS}")),
    };
    let number: f64 = digits.replace('_', "").parse().map_err(|_| format!("`{text}` is no number; {FORMS}"))?;
    match number * factor {
        count if count.is_finite() && count >= 1.0 => Ok(count),
        _ => Err(format!("expected a finite number from 1 up, found `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, expected) in
            [("8e6", 8e6), ("5B", 5e9), ("70M", 7e7), ("1.5T", 1.5e12), ("12k", 12e3), ("2_000_000", 2e6), ("1E9", 1e9)]
        {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_counts_are_refused_by_name() {
        for (text, part) in [
            ("5G", "unknown suffix `G` in `5G`"),
            ("5MB", "`MB`"),
            ("-3M", "from 1 up, found `-3M`"),
            ("0", "found `0`"),
            ("1e-3", "found `1e-3`"),
            ("", "`` is no number"),
            ("nan", "unknown suffix `nan`"),
            ("1e400", "found `1e400`"),
            ("1,5B", "`1,5B` is no number"),
        ] {
            let message = count(text).expect_err(text);
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn an_assignment_has_two_names() {
        assert_eq!(assignment("loss=a=b"), Ok(("loss".to_owned(), "a=b".to_owned())));
        assert!(["loss", "=b", "loss="].into_iter().all(|text| assignment(text).is_err()));
    }
}
