//! Listens to training: writes metrics, previews and checkpoints into the run folder, and shows progress.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use interfuse_data::documents::MARKERS;
use interfuse_data::{DataError, Picture};
use interfuse_sampling::{Drawing, ModelCard, Pretrained, SamplingConfig, draw};
use interfuse_sequence::Objective;
use interfuse_trainer::{Due, HeldOut, HeldOutReport, Observer, StepReport, TrainError, Trainer, checkpoint};
use serde_json::{Map, Value, json};

use crate::assembly::Plan;
use crate::metrics::{self, EventFile, JsonLines};
use crate::progress::TrainProgress;
use crate::run_folder::RunFolder;
use crate::sample_folder::enlarged_grid;

/// Listens to training.
pub(crate) struct Recorder<'a> {
    plan: &'a Plan,
    folder: &'a RunFolder,
    metrics: JsonLines,
    events: EventFile,
    progress: TrainProgress,
    held_out: HeldOut,
    prompts: Vec<Drawing>,
    tokenizer: Vec<u8>,
    started: Instant,
}

impl<'a> Recorder<'a> {
    /// Continues the curves from `step`, 0 for a new run.
    pub(crate) fn new(plan: &'a Plan, folder: &'a RunFolder, step: u64) -> anyhow::Result<Self> {
        let metrics = match step {
            0 => JsonLines::create(&folder.metrics())?,
            step => JsonLines::resume(&folder.metrics(), step)?,
        };
        let mut events = EventFile::create(folder.path(), (step > 0).then_some(step))?;
        let config = toml::to_string(&plan.settings)?;
        events.text("config", step, &format!("```toml\n{config}\n```"))?;
        Ok(Self {
            metrics,
            events,
            progress: TrainProgress::new(step, plan.settings.train.steps),
            held_out: plan.held_out()?,
            prompts: preview_prompts(plan)?,
            tokenizer: plan.tokenizer.to_bytes()?,
            started: Instant::now(),
            plan,
            folder,
        })
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.progress.finish();
    }

    fn record_step(&mut self, report: &StepReport) -> anyhow::Result<()> {
        let mut record = Map::new();
        let mut put = |name: &str, value: f64| record.insert(name.into(), json!(value));
        put("step", report.step as f64);
        put("loss", report.total);
        for modality in &report.modalities {
            put(&format!("{}_loss", modality.name), modality.loss);
            put(&format!("{}_count", modality.name), modality.count as f64);
        }
        put("gradient_norm", report.gradient_norm);
        for (expert, norm) in &report.expert_gradient_norms {
            put(&format!("gradient_norm.{expert}"), *norm);
        }
        put("learning_rate", report.learning_rate);
        put("rows_per_second", report.rows as f64 / report.seconds.max(1e-9));
        put("flops_per_second", report.flops / report.seconds.max(1e-9));
        put("seconds", self.started.elapsed().as_secs_f64());
        for (name, value) in record.iter().filter(|(name, _)| *name != "step") {
            self.events.scalar(&format!("train/{name}"), report.step, value.as_f64().unwrap_or(f64::NAN))?;
        }
        record.insert("step".into(), json!(report.step));
        if let Some(culprit) = &report.skipped {
            record.insert("skipped".into(), json!(culprit));
        }
        self.metrics.write(&Value::Object(record))
    }

    fn record_held_out(&mut self, report: &HeldOutReport) -> anyhow::Result<()> {
        let split = if report.is_train { "train_fixed_noise" } else { "held_out" };
        let mut record = Map::new();
        record.insert("step".into(), json!(report.step));
        record.insert(format!("{split}/text_loss"), json!(report.text));
        record.insert(format!("{split}/image_loss"), json!(report.image_mean()));
        for (level, loss) in &report.image {
            record.insert(format!("{split}/image_loss.t={level}"), json!(loss));
        }
        for (name, value) in record.iter().filter(|(name, _)| *name != "step") {
            self.events.scalar(name, report.step, value.as_f64().unwrap_or(f64::NAN))?;
        }
        let levels: Vec<String> = report.image.iter().map(|(t, loss)| format!("t={t}: {loss:.4}")).collect();
        let name = if report.is_train { "training pictures, fixed noise" } else { "held out" };
        self.progress.line(&format!(
            "step {}  {name}: text {:.3}  image {}",
            report.step,
            report.text,
            levels.join("  ")
        ));
        self.metrics.write(&Value::Object(record))
    }

    fn preview(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        let pretrained = pretrained(self.plan, trainer)?;
        let pictures = draw(&pretrained, &self.prompts, &self.plan.settings.sampling, &mut |_| {})?;
        let grid = enlarged_grid(&pictures, 8)?;
        let path = self.folder.preview(trainer.step);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        grid.save_png(&path)?;
        self.show_in_tensorboard(&grid, trainer.step)?;
        self.progress.line(&format!("step {}  preview: {}", trainer.step, path.display()));
        Ok(())
    }

    fn show_in_tensorboard(&mut self, grid: &Picture, step: u64) -> anyhow::Result<()> {
        let (shape, png) = (grid.shape(), grid.to_png()?);
        let [width, height, channels] = [shape.width, shape.height, shape.channels].map(|size| size as u32);
        let picture = metrics::Picture { png: &png, width, height, channels };
        self.events.picture("preview", step, picture)
    }

    fn save(&mut self, trainer: &Trainer) -> anyhow::Result<()> {
        let card = ModelCard { step: trainer.step, ..self.plan.card.clone() };
        let path = self.folder.checkpoint(trainer.step);
        checkpoint::save(trainer, &card, &self.tokenizer, &path)?;
        let kept = self.plan.settings.run.keep_checkpoints;
        let all = self.folder.checkpoints()?;
        let old: Vec<&PathBuf> = all.iter().rev().skip(kept).map(|(_, path)| path).collect();
        for path in old {
            std::fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

impl Observer<Trainer> for Recorder<'_> {
    fn stepped(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<(), TrainError> {
        if let Some(complaint) = trainer.loader.take_complaint() {
            let cursor = trainer.loader.cursor();
            let text = format!("skipped {} bad and {} too long; first: {complaint}", cursor.bad, cursor.too_long);
            self.progress.line(&text);
        }
        if let Some(culprit) = &report.skipped {
            self.progress.line(&format!("step {} skipped: {culprit} is not finite", report.step));
        }
        self.progress.step(report);
        self.record_step(report).map_err(observer_error)
    }

    fn due(&mut self, trainer: &Trainer, what: Due) -> Result<(), TrainError> {
        let done = match what {
            Due::HeldOut if self.held_out.is_empty() => Ok(()),
            Due::HeldOut => {
                let setup = &trainer.setup;
                let run = (setup.seed, trainer.step);
                let model = trainer.ema_model();
                let report = self.held_out.measure(&model, &setup.model, run, setup.train.sequences, &setup.device)?;
                self.record_held_out(&report)
            }
            Due::Preview if self.prompts.is_empty() => Ok(()),
            Due::Preview => self.preview(trainer),
            Due::Checkpoint => self.save(trainer),
        };
        done.map_err(observer_error)
    }
}

fn observer_error(error: anyhow::Error) -> TrainError {
    TrainError::Observer(crate::sentence(&error))
}

/// The moving average of a run in progress, as sampling wants it.
pub(crate) fn pretrained(plan: &Plan, trainer: &Trainer) -> anyhow::Result<Pretrained> {
    Ok(Pretrained {
        card: ModelCard { step: trainer.step, ..plan.card.clone() },
        model: trainer.ema_model(),
        tokenizer: plan.tokenizer.clone(),
        codec: std::sync::Arc::clone(&plan.codec),
        device: trainer.setup.device.clone(),
    })
}

/// What the previews show: the configured prompts, or captions spread evenly over the training data.
///
/// # Errors
/// A configured prompt is longer than the rows; a caption that is longer is left out, as it is in training.
pub(crate) fn preview_prompts(plan: &Plan) -> anyhow::Result<Vec<Drawing>> {
    let preview = &plan.settings.preview;
    let has_images = plan.card.model.lane_of(Objective::Denoise).is_some();
    let limit = plan.card.max_text_rows;
    let rows = |prompt: &str| Ok::<_, DataError>(plan.tokenizer.encode(prompt)?.len() + MARKERS);
    let mut prompts = preview.prompts.clone();
    for prompt in &prompts {
        let found = rows(prompt)?;
        ensure!(found <= limit, "preview.prompts: expected at most {limit} tokens, found {found} in {prompt:?}");
    }
    if prompts.is_empty() && has_images {
        let source = interfuse_data::open(&plan.settings.data, interfuse_data::Split::Train)?;
        let count = preview.count.min(source.len());
        prompts = (0..count).map(|i| source.captions(i * source.len() / count)[0].clone()).collect();
        prompts.retain(|caption| rows(caption).is_ok_and(|found| found <= limit));
    }
    let drawings = prompts.into_iter().enumerate();
    Ok(drawings.map(|(seed, prompt)| Drawing { prompt, seed: seed as u64 }).collect())
}

/// The settings of sampling with what the command line changes.
pub(crate) fn sampling_of(base: &SamplingConfig, args: &crate::args::DrawArgs) -> anyhow::Result<SamplingConfig> {
    let mut sampling = base.clone();
    sampling.guidance = args.guidance.unwrap_or(sampling.guidance);
    sampling.steps = args.steps.unwrap_or(sampling.steps);
    sampling.temperature = args.temperature.unwrap_or(sampling.temperature);
    sampling.solver = args.solver.map(Into::into).or(sampling.solver);
    sampling.validate()?;
    Ok(sampling)
}
