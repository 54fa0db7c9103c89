//! `interfuse data`: a look at data, and data written out.

use std::sync::Arc;

use interfuse_data::inspect::{Spread, Summary, contact_sheet, summarise};
use interfuse_data::{LoaderCursor, Split};

use crate::args::{DataExportArgs, DataInspectArgs};
use crate::assembly::Plan;
use crate::progress::counting_bar;
use crate::settings::Settings;

/// Pictures of the contact sheet.
const ON_THE_SHEET: usize = 64;
/// Sequences by which the fill of the rows is measured.
const PACKED: usize = 256;

pub(crate) fn inspect(args: &DataInspectArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    let seed = settings.run.seed;
    let plan = Plan::new(settings, None)?;
    for split in [Split::Train, Split::HeldOut] {
        let source = interfuse_data::open(&plan.settings.data, split)?;
        let same = split == Split::HeldOut && source.held_out_is_train();
        let name = if split == Split::Train { "train" } else { "held out" };
        if same {
            println!("held out: nothing can be held out; measured on the training pictures under fixed noise");
            continue;
        }
        println!("{name}:");
        print_summary(&summarise(source.as_ref(), Some(&plan.tokenizer))?);
    }
    print_fill(&plan)?;
    let source = interfuse_data::open(&plan.settings.data, Split::Train)?;
    contact_sheet(source.as_ref(), ON_THE_SHEET, seed)?.save_png(&args.out)?;
    println!("contact sheet: {}", args.out.display());
    Ok(())
}

fn print_summary(summary: &Summary) {
    let spread = |spread: &Spread| format!("{} to {}, {:.1} on average", spread.min, spread.max, spread.mean);
    println!("  {} pictures, {} of them bad, {} left out", summary.pictures, summary.bad, summary.skipped);
    for example in summary.bad_examples.iter().chain(&summary.skipped_examples) {
        println!("    {example}");
    }
    if let (Some(height), Some(width)) = (&summary.native_height, &summary.native_width) {
        println!("  height {}; width {}", spread(height), spread(width));
    }
    let shape = summary.shape;
    println!("  brought to {} channels of {} × {} pixels", shape.channels, shape.height, shape.width);
    println!("  {} captions, {} of them distinct", summary.captions, summary.distinct_captions);
    println!("  characters: {}", spread(&summary.characters));
    if let Some(tokens) = &summary.tokens {
        println!("  tokens: {}", spread(&tokens.spread));
        let most = tokens.histogram.values().copied().max().unwrap_or(1);
        for (length, count) in &tokens.histogram {
            println!("    {length:>4} {:<30} {count}", "▇".repeat((30 * count).div_ceil(most)));
        }
    }
}

/// How much of the rows is not padding.
fn print_fill(plan: &Plan) -> anyhow::Result<()> {
    let mut loader = plan.loader(LoaderCursor::default())?;
    let sequences = loader.next_batch(PACKED)?;
    println!("row shape, over {PACKED} sequences:");
    for (lane, modality) in plan.card.model.modalities().iter().enumerate() {
        let capacity = plan.shape.capacity[lane];
        let filled: usize = sequences.iter().map(|sequence| sequence.lanes[lane].filled()).sum();
        let share = 100.0 * filled as f64 / (capacity * PACKED).max(1) as f64;
        println!("  {:<8} {capacity:>5} rows, {share:.0} % filled", modality.name);
    }
    Ok(())
}

pub(crate) fn export(args: &DataExportArgs) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config, &args.overrides)?;
    let source: Arc<dyn interfuse_data::Source> = interfuse_data::open(&settings.data, args.split.into())?.into();
    let bar = counting_bar("pictures", source.len());
    let report = interfuse_data::export::export(source.as_ref(), &args.folder, &mut |done, _| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    println!("{} pictures in {}", report.written, args.folder.display());
    if let Some(first) = report.skipped.first() {
        println!("skipped {}; first: {first}", report.skipped.len());
    }
    Ok(())
}
