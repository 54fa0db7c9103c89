//! The library in one page: a small model of emoji, ten training steps, one image.
//!
//! ```sh
//! cargo run --release --example one_step
//! ```

// An example prints.
#![allow(clippy::print_stdout)]

use std::path::Path;

use interfuse_data::LoaderCursor;
use interfuse_run::training::pretrained;
use interfuse_run::{Plan, Settings};
use interfuse_sampling::{ImageRequest, generate};
use interfuse_trainer::Learner as _;

/// What a user would write into a file.
const CONFIGURATION: &str = r#"
run.dir = "unused"
data.source = { kind = "emoji", groups = ["food-and-drink"] }
tokenizer.vocab_size = 300
train = { steps = 10, batch_size = 8 }

[model]
partition = [["text"], ["image"]]
backbone = { d_model = 64, n_layers = 2, n_heads = 4 }

[model.modalities]
text = { objective = "next_token" }
image = { objective = "denoise", patch_size = 8 }
"#;

fn main() -> anyhow::Result<()> {
    // Every size that follows from another is filled in here, and the data opened.
    let plan = Plan::new(Settings::parse(CONFIGURATION, Path::new("the example"), &[])?)?;
    let mut trainer = plan.trainer(LoaderCursor::default())?;
    for _ in 0..10 {
        let report = trainer.step()?;
        let losses: Vec<String> =
            report.modalities.iter().map(|modality| format!("{} {:.3}", modality.name, modality.loss)).collect();
        println!("step {}  {}", report.step, losses.join("  "));
    }
    let model = pretrained(&plan, &trainer);
    let request = ImageRequest::new("pizza", 0);
    let images = generate(&model, &[request], &plan.settings.sampling, &mut |_| {})?;
    let path = std::env::temp_dir().join("interfuse-one-step.png");
    images[0].save_png(&path)?;
    println!("after so few steps an image is noise: {}", path.display());
    Ok(())
}
