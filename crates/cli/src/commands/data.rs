//! `interfuse data inspect` and `export`: a look at data, and data written out.

use interfuse_data::Split;
use interfuse_data::inspect::{Spread, Summary, contact_sheet, summarise};
use interfuse_data::sources::left_out;
use interfuse_parameters::durable::check_writable;
use interfuse_run::{Plan, RunObserver as _, Settings};
use serde_json::{Value, json};

use crate::args::{DataExportArgs, DataInspectArgs};
use crate::commands::inspect::print_fill;
use crate::print::say;
use crate::terminal::Terminal;

/// Images of the contact sheet.
const ON_THE_SHEET: usize = 64;
/// Sequences by which the fill of the rows is measured.
const PACKED: usize = 256;

pub(crate) fn inspect(args: &DataInspectArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let settings = Settings::load(&args.config.config, &args.config.overrides)?;
    check_writable(&args.out)?;
    let seed = settings.run.seed;
    let plan = Plan::new(settings)?;
    let mut summaries = vec![];
    for split in [Split::Train, Split::HeldOut] {
        let source = plan.images()?.of(split);
        let same = split == Split::HeldOut && source.held_out_is_train();
        let name = if split == Split::Train { "train" } else { "held out" };
        if same {
            say!("held out: nothing can be held out; measured on the training images under fixed noise");
            summaries.push(Value::Null);
            continue;
        }
        say!("{name}:");
        let summary = summarise(source.as_ref(), Some(&plan.tokenizer));
        print_summary(&summary, split);
        summaries.push(serde_json::to_value(summary)?);
    }
    let rows = print_fill(&plan, PACKED)?;
    contact_sheet(plan.images()?.train.as_ref(), ON_THE_SHEET, seed)?.save_png(&args.out)?;
    say!("contact sheet: {}", args.out.display());
    let [train, held_out] = [0, 1].map(|split| summaries.get(split));
    args.answer.give(&json!({ "train": train, "held_out": held_out, "rows": rows, "contact_sheet": args.out }))
}

fn print_summary(summary: &Summary, split: Split) {
    let spread = |spread: &Spread| format!("{} to {}, {:.1} on average", spread.min, spread.max, spread.mean);
    say!("  {} images, {} of them bad, {} left out", summary.images, summary.bad, summary.skipped);
    // What was left out is of the whole data set, and said once.
    let skipped = if split == Split::Train { &summary.skipped_examples[..] } else { &[] };
    for example in summary.bad_examples.iter().chain(skipped) {
        say!("    {example}");
    }
    if let (Some(height), Some(width)) = (&summary.native_height, &summary.native_width) {
        say!("  height {}; width {}", spread(height), spread(width));
    }
    let shape = summary.shape;
    match &summary.sizes[..] {
        [] | [_] => say!("  brought to {} channels of {} × {} pixels", shape.channels, shape.height, shape.width),
        sizes => {
            say!("  brought to {} channels of", shape.channels);
            for size in sizes {
                let empty = if size.images == 0 { ": nothing is of these proportions" } else { "" };
                say!("    {:>4} × {:<4} pixels  {} images{empty}", size.height, size.width, size.images);
            }
        }
    }
    say!("  {} captions, {} of them distinct", summary.captions, summary.distinct_captions);
    if summary.bad_captions > 0 {
        say!("  {} captions are bad:", summary.bad_captions);
        summary.bad_caption_examples.iter().for_each(|example| say!("    {example}"));
    }
    say!("  characters: {}", spread(&summary.characters));
    if let Some(tokens) = &summary.tokens {
        say!("  tokens: {}", spread(&tokens.spread));
        let most = tokens.histogram.values().copied().max().unwrap_or(1);
        for (length, count) in &tokens.histogram {
            say!("    {length:>4} {:<30} {count}", "▇".repeat((30 * count).div_ceil(most)));
        }
    }
}

pub(crate) fn export(args: &DataExportArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let settings = Settings::load(&args.config, &args.overrides)?;
    let data = interfuse_data::open(&settings.data)?;
    let source = data.of(args.split.into());
    left_out(source.as_ref()).iter().for_each(|line| say!("{line}"));
    let mut terminal = Terminal::default();
    let report = interfuse_data::export::export(source.as_ref(), &args.folder, &mut |done, all| {
        terminal.progress("images", done, all);
    })?;
    drop(terminal);
    say!("{} images in {}", report.written, args.folder.display());
    if let Some(first) = report.skipped.first() {
        say!("skipped {}; first: {first}", report.skipped.len());
    }
    args.answer.give(&json!({ "images": report.written, "skipped": report.skipped, "folder": args.folder }))
}
