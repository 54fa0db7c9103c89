//! `interfuse inspect`: what a configuration makes, without training anything.

use interfuse_image_tower::ImageTowerConfig;
use interfuse_kernels::WeightInit;
use interfuse_run::{Plan, Settings};
use interfuse_sequence::drawing::draw_mask;
use interfuse_trainer::lay_out;
use interfuse_transfusion::{FlopsPerToken, ParameterCounts, Transfusion};
use serde_json::{Value, json};

use super::inspect_memory;
use crate::args::InspectArgs;
use crate::print::say;

/// Sequences by which the fill of the rows is measured.
const PACKED: usize = 32;
/// Documents of which the first that can be made is drawn.
const LOOKED_AT: u64 = 64;

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let plan = Plan::new(Settings::load(&args.config.config, &args.config.overrides)?)?;
    let model = Transfusion::new(&plan.card.model, &mut WeightInit::new(0, &burn::tensor::Device::flex()))?;
    let counts = ParameterCounts::of(&model, &plan.card.model);
    print_parameters(&plan, &counts);
    print_flops(&plan);
    let memory = inspect_memory::print(&plan, counts.stored, args.memory)?;
    let rows = print_fill(&plan, PACKED)?;
    print_mask(&plan)?;
    args.answer.give(&json!({
        "parameters": counts,
        "flops_per_row": FlopsPerToken::of(&plan.card.model, plan.shape.rows()),
        "flops_per_step": flops_of_a_step(&plan),
        "memory_bytes": memory,
        "rows": rows,
    }))
}

fn print_parameters(plan: &Plan, counts: &ParameterCounts) {
    say!("parameters");
    say!("  stored      {:>14}", thousands(counts.stored));
    for ((names, stored), activated) in plan.card.model.partition.iter().zip(&counts.parts).zip(&counts.activated_parts)
    {
        let met = if activated == stored { String::new() } else { format!(", a row meets {}", thousands(*activated)) };
        say!("  part {:<14} {:>7}{met}", names.join("+"), thousands(*stored));
    }
    if counts.tied > 0 {
        say!("  common to all parts {:>6}", thousands(counts.tied));
    }
    for modality in &plan.card.model.modalities() {
        let serves = |names: &Vec<String>| names.contains(&modality.name);
        let part = plan.card.model.partition.iter().position(serves).unwrap_or(0);
        say!(
            "  {:<8} ends {}, activated by a row {}",
            modality.name,
            thousands(counts.towers[modality.tower]),
            thousands(counts.activated(part, modality.tower)),
        );
    }
}

fn print_flops(plan: &Plan) {
    let rows = plan.shape.rows();
    let flops = FlopsPerToken::of(&plan.card.model, rows);
    let of = if plan.card.image_sizes.is_empty() { "" } else { " with images of data.image_size" };
    say!("training FLOPs of a row, in sequences of {rows} rows{of}");
    for (modality, matrices) in plan.card.model.modalities().iter().zip(&flops.matrices) {
        say!("  matrices of {:<13} {matrices:.3e}", modality.name);
    }
    say!("  causal attention          {:.3e}", flops.causal_attention);
    for (modality, tower) in plan.card.model.modalities().iter().zip(&flops.towers) {
        say!("  ends of {:<17} {tower:.3e}", modality.name);
    }
    say!("  a whole step              {:.3e}", flops_of_a_step(plan));
}

fn flops_of_a_step(plan: &Plan) -> f64 {
    let sequences = plan.settings.train.sequences() * plan.settings.train.gradient_accumulation;
    FlopsPerToken::of_rows(&plan.card.model, &plan.shape.capacity) * sequences as f64
}

/// Prints how much of the rows is not padding, over so many sequences, and gives it for scripts.
pub(super) fn print_fill(plan: &Plan, sequences: usize) -> anyhow::Result<Vec<Value>> {
    let documents = plan.settings.train.documents_per_sequence.unwrap_or(1);
    say!("sequences of at most {documents} documents, over {sequences} of them");
    let (fill, mut found) = (plan.fill(sequences)?, vec![]);
    for ((modality, rows), fill) in plan.card.model.modalities().iter().zip(&plan.shape.capacity).zip(fill) {
        say!("  {:<8} {rows:>5} rows, {:.0} % filled", modality.name, 100.0 * fill);
        found.push(json!({ "modality": modality.name, "rows": rows, "fill": fill }));
    }
    Ok(found)
}

fn print_mask(plan: &Plan) -> anyhow::Result<()> {
    let mut documents = plan.training()?;
    let mut layout = |number| lay_out(&documents.document(number).ok()?, &plan.card.model, &plan.shape);
    let Some(layout) = (0..LOOKED_AT).find_map(&mut layout) else {
        say!("none of the first {LOOKED_AT} documents can be made and fits the rows");
        return Ok(());
    };
    let special = plan.tokenizer.special();
    let units = plan.card.speech.as_ref().map(|speech| speech.ids);
    let label = |_: usize, id: u32| match id {
        id if id == special.bos => "BOS".into(),
        id if id == special.eos => "EOS".into(),
        id if id == special.boi => "BOI".into(),
        id if id == special.eoi => "EOI".into(),
        id if units.is_some_and(|units| id == units.begin) => "BEGIN".into(),
        id if units.is_some_and(|units| id == units.end) => "END".into(),
        id if plan.tokenizer.mask_of(id).is_some() => format!("MASK{}", plan.tokenizer.mask_of(id).unwrap_or_default()),
        id => plan.tokenizer.decode(&[id]).unwrap_or_else(|_| id.to_string()),
    };
    let patch_size = plan.card.model.image_tower().map_or(0, |tower: &ImageTowerConfig| tower.patch_size);
    say!("the first document: modality, row, position, whether it has a loss, what it sees (patches of {patch_size})");
    say!("{}", draw_mask(&layout, &plan.card.model.modalities(), &label).trim_end());
    Ok(())
}

/// `1,234,567`
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_off() {
        for (number, text) in [(7, "7"), (1234, "1,234"), (275695104, "275,695,104")] {
            assert_eq!(super::thousands(number), text);
        }
    }
}
