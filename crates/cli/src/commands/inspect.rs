//! `interfuse inspect`: what a configuration makes, without training anything.

use interfuse_data::{DocumentStream as _, Split};
use interfuse_image_tower::ImageTowerConfig;
use interfuse_kernels::WeightInit;
use interfuse_sequence::LayoutBuilder;
use interfuse_sequence::drawing::draw_mask;
use interfuse_transfusion::{FlopsPerToken, ParameterCounts, Transfusion};

use crate::args::ConfigArgs;
use crate::assembly::Plan;
use crate::settings::Settings;

pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let plan = Plan::new(Settings::load(&args.config, &args.overrides)?, None)?;
    print_parameters(&plan)?;
    print_flops(&plan);
    print_memory(&plan)?;
    print_mask(&plan)
}

fn print_parameters(plan: &Plan) -> anyhow::Result<()> {
    let model = Transfusion::new(&plan.card.model, &mut WeightInit::new(0, &burn::tensor::Device::flex()))?;
    let counts = ParameterCounts::of(&model);
    println!("parameters");
    println!("  stored      {:>14}", thousands(counts.stored));
    for (names, count) in plan.card.model.partition.iter().zip(&counts.parts) {
        println!("  part {:<14} {:>7}", names.join("+"), thousands(*count));
    }
    for modality in &plan.card.model.modalities() {
        let serves = |names: &Vec<String>| names.contains(&modality.name);
        let part = plan.card.model.partition.iter().position(serves).unwrap_or(0);
        println!(
            "  {:<8} ends {}, activated by a row {}",
            modality.name,
            thousands(counts.towers[modality.tower]),
            thousands(counts.activated(part, modality.tower)),
        );
    }
    Ok(())
}

fn print_flops(plan: &Plan) {
    let rows = plan.shape.rows();
    let flops = FlopsPerToken::of(&plan.card.model, rows);
    println!("training FLOPs of a row, in sequences of {rows} rows");
    println!("  matrices of the backbone   {:.3e}", flops.matrices);
    println!("  causal attention        {:.3e}", flops.causal_attention);
    for (modality, tower) in plan.card.model.modalities().iter().zip(&flops.towers) {
        println!("  ends of {:<15} {tower:.3e}", modality.name);
    }
    let step = FlopsPerToken::of_rows(&plan.card.model, &plan.shape.capacity)
        * (plan.settings.train.sequences() * plan.settings.train.gradient_accumulation) as f64;
    println!("  a whole step            {step:.3e}");
}

/// An estimate from shapes. What is kept for the backward pass grows with the rows; attention keeps no scores.
fn print_memory(plan: &Plan) -> anyhow::Result<()> {
    let (model, train) = (&plan.card.model, &plan.settings.train);
    let device = burn::tensor::Device::flex();
    let stored = ParameterCounts::of(&Transfusion::new(model, &mut WeightInit::new(0, &device))?).stored;
    let rows = (train.sequences() * plan.shape.rows()) as f64;
    let backbone = &model.backbone;
    let per_row = backbone.n_layers * (10 * backbone.d_model + 3 * backbone.feed_forward());
    let mib = |floats: f64| floats * 4.0 / 1024.0 / 1024.0;
    println!("memory, estimated (f32)");
    println!("  weights, gradients, moments, average  {:>8.1} MiB", mib(5.0 * stored as f64));
    println!("  activations of a micro-batch          {:>8.1} MiB", mib(rows * per_row as f64));
    Ok(())
}

fn print_mask(plan: &Plan) -> anyhow::Result<()> {
    let mut documents = plan.documents(Split::Train)?;
    let format = plan.card.model.sequence_format();
    let mut builder = LayoutBuilder::new(format.clone());
    let sample = documents.document(0)?;
    builder.push_sample(&sample, &plan.shape)?;
    let layout = builder.finish(&plan.shape);
    let special = plan.tokenizer.special();
    let label = |_: usize, id: u32| match id {
        id if id == special.bos => "BOS".into(),
        id if id == special.eos => "EOS".into(),
        id if id == special.boi => "BOI".into(),
        id if id == special.eoi => "EOI".into(),
        id => plan.tokenizer.decode(&[id]).unwrap_or_else(|_| id.to_string()),
    };
    let patch_size = plan.card.model.image_tower().map_or(0, |tower: &ImageTowerConfig| tower.patch_size);
    println!(
        "the first document: modality, row, position, whether it has a loss, what it sees (patches of {patch_size})"
    );
    print!("{}", draw_mask(&layout, &plan.card.model.modalities(), &label));
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
