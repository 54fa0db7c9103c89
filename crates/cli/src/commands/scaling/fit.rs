//! `interfuse scaling fit`: a table in, a law with its intervals and doubts out.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use interfuse_scaling::Interval;
use interfuse_scaling::law::{FitSettings, Law, LawFit, fit_law};
use interfuse_scaling::optimal::params_exponent;
use interfuse_scaling::table::{ReadOptions, Table};
use interfuse_scaling::uncertainty::{BootstrapSettings, bootstrap_law, fit_warnings, leave_largest_out, sensitivity};

use interfuse_sweep::runs::{TableOptions, table_of};

use super::file::{FitFile, Fitted, HeldOutError, Range, Single, TableSource, check_replaceable, finite};
use super::{constant, mixed, short};
use crate::args::FitArgs;
use crate::print::say;

/// How everything of one command is fitted.
pub(super) struct Settings {
    pub(super) fit: FitSettings,
    pub(super) bootstrap: BootstrapSettings,
}

pub(crate) fn run(args: &FitArgs) -> anyhow::Result<()> {
    let settings = Settings {
        fit: FitSettings { delta: args.delta, ..FitSettings::default() },
        bootstrap: BootstrapSettings { resamples: args.resamples, seed: args.seed, ..BootstrapSettings::default() },
    };
    settings.fit.validate()?;
    settings.bootstrap.validate()?;
    check_replaceable(&args.out, |bytes| serde_json::from_slice::<FitFile>(bytes).is_ok())?;
    // The command says the new name first, the reader of tables the column's.
    let rename = args.rename.iter().map(|(new, old)| (old.clone(), new.clone())).collect();
    let options = ReadOptions { rename, ignore: args.ignore.clone(), only: args.only.clone() };
    let (source, table) = match args.table.as_slice() {
        [table] if !table.is_dir() => TableSource::read(table, options, args.best_of_cells)?,
        folders => of_folders(folders, &args.losses, options, args.best_of_cells)?,
    };
    say!("{}: {} runs  sha256 {}", source.path.display(), table.runs().len(), source.sha256);
    source.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    let fit = match &args.pair {
        Some(pair) => {
            let mixed = mixed::fit(&table, pair, args.joint, &settings)?;
            say_single(&mixed.first);
            say_single(&mixed.second);
            mixed::say_mixed(&mixed);
            Fitted::Mixed(Box::new(mixed))
        }
        None => {
            let single = fit_single(&chosen(&table, args.modality.as_deref())?, &settings)?;
            say_single(&single);
            Fitted::Single(Box::new(single))
        }
    };
    FitFile::new(source, fit).write(&args.out)?;
    say!("fit: {}", args.out.display());
    Ok(())
}

/// The table of run folders.
fn of_folders(
    folders: &[PathBuf],
    losses: &[(String, String)],
    options: ReadOptions,
    best_of_cells: bool,
) -> anyhow::Result<(TableSource, Table)> {
    let read = TableOptions { losses: losses.iter().cloned().collect(), different_data: false };
    let found = table_of(folders, &read)?;
    found.notes.iter().for_each(|note| say!("note: {note}"));
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Ok(TableSource::of(names.join(" "), found.table, options, best_of_cells))
}

/// The runs of a modality; without its name, those of the only one that there is.
pub(super) fn chosen(table: &Table, modality: Option<&str>) -> anyhow::Result<Table> {
    let known = table.modalities();
    let names = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match modality {
        None if known.len() > 1 => {
            bail!("the table has runs of {}: choose one with --modality, or two and their pair with --pair", names())
        }
        Some(name) if !known.contains(name) => bail!("the table has no runs of `{name}`, but of {}", names()),
        Some(name) => Ok(table.of(name)),
        None => Ok(table.clone()),
    }
}

/// Fits the law of a table of one modality.
fn fit_single(table: &Table, settings: &Settings) -> anyhow::Result<Single> {
    with_uncertainty(table, fit_law(table, &settings.fit)?, settings)
}

/// A fit with everything that is known of its uncertainty.
pub(super) fn with_uncertainty(table: &Table, mut fit: LawFit, settings: &Settings) -> anyhow::Result<Single> {
    ensure!(is_finite(&fit.law), "the best law has constants beyond all numbers: the table determines none");
    let bootstrap = finite(bootstrap_law(table, &fit, settings.bootstrap)?)?;
    let alternatives = sensitivity(table, &fit).ok();
    let warnings = fit_warnings(table, &fit, Some(&bootstrap), alternatives.as_ref());
    // JSON has no infinity, and of no use is a law that has one.
    fit.others.retain(is_finite);
    Ok(Single {
        modality: table.runs().first().map(|run| run.modality.clone()).unwrap_or_default(),
        residuals: fit.law.residuals(table.runs()),
        range: Range::of(table),
        held_out: held_out(table, settings),
        fit,
        bootstrap,
        warnings,
    })
}

pub(super) fn is_finite(law: &Law) -> bool {
    law.constants().iter().all(|constant| constant.is_finite())
}

/// Nothing where the smaller sizes cannot be fitted by themselves.
fn held_out(table: &Table, settings: &Settings) -> Option<HeldOutError> {
    // The interval of each held-out run is not said here, so that few resamples will do.
    let bootstrap = BootstrapSettings { resamples: 2, ..settings.bootstrap };
    let held_out = leave_largest_out(table, 1, &settings.fit, bootstrap).ok()?;
    let params = held_out.runs.first()?.params;
    let (mean_error, worst_error) = (held_out.mean_error, held_out.worst_error);
    let converged = held_out.fit.converged;
    HeldOutError { params, runs: held_out.runs.len(), mean_error, worst_error, converged }.finite()
}

/// Says everything of the law of one modality.
fn say_single(single: &Single) {
    let Single { modality, fit, bootstrap, range, .. } = single;
    say!("");
    say!("law of {modality}: L = E + A / N^alpha + B / D^beta, from {} runs", fit.rows);
    say_range(range, "D");
    for (place, name) in Law::NAMES.iter().enumerate() {
        say_constant(name, fit.law.constants()[place], &bootstrap.interval(|law| law.constants()[place]));
    }
    say_constant("N_opt ~ C^", params_exponent(&fit.law), &bootstrap.interval(params_exponent));
    say_reached(fit);
    say_held_out(single.held_out.as_ref());
    single.warnings.iter().for_each(|warning| say!("warning: {warning}"));
}

/// Says between which sizes and tokens; `tokens` is whose.
pub(super) fn say_range(range: &Range, tokens: &str) {
    let [least, most, few, many] = [range.params.0, range.params.1, range.tokens.0, range.tokens.1].map(short);
    say!("  N {least} to {most}, {tokens} {few} to {many}");
}

/// Says a constant and its interval.
pub(super) fn say_constant(name: &str, value: f64, interval: &Interval) {
    let percent = interval.level * 100.0;
    say!(
        "  {name:<10} {:>14}   {percent} %: {} to {}",
        constant(value),
        constant(interval.low),
        constant(interval.high)
    );
}

fn say_reached(fit: &LawFit) {
    say!("  objective {:.10e} (sum of Huber's loss of log loss, delta {})", fit.objective, fit.delta);
    say!(
        "  gradient norm {:.1e}, {}; {} of {} starts reached it",
        fit.gradient_norm,
        if fit.converged { "converged" } else { "not converged" },
        fit.reached,
        fit.starts
    );
}

/// Says how well the largest size is predicted.
pub(super) fn say_held_out(held_out: Option<&HeldOutError>) {
    let Some(error) = held_out else {
        say!("  largest size left out: the others are too few to be fitted");
        return;
    };
    let HeldOutError { params, runs, mean_error, worst_error, .. } = error;
    let found = match error.why_void() {
        Some(reason) => reason.to_owned(),
        None => format!("predicted to {:.2} % on average, {:.2} % at worst", 100.0 * mean_error, 100.0 * worst_error),
    };
    say!("  largest size left out ({}, runs: {runs}): {found}", short(*params));
}
