//! Numbers for a trained model, on the data that it was trained on.
//!
//! How it is measured follows from what the data offers, not from where it comes from: captions that name scenes are
//! measured exactly, `scenes`; classes by a classifier, `classes`; captions alone as memory, `memory`. Where the
//! user has the weights of published networks, those say more: `published`. Speech is measured by what is understood, `speech`,
//! conversations by what is answered, `conversations`.

mod classes;
mod conversations;
mod generated;
mod losses;
mod memory;
mod neighbours;
mod numbers;
mod page;
mod published;
pub(crate) mod report;
mod scenes;
mod speech;

use std::path::{Path, PathBuf};

use interfuse_checkpoint::Pretrained;
use interfuse_checkpoint::folder::{AVERAGE, write_json};
use interfuse_data::{Collections, Image, Source, evenly};
use interfuse_evaluation::bootstrap::Mean;
use interfuse_sampling::{ImageRequest, SamplingConfig};
use serde_json::{Value, json};

use self::generated::Generated;
use self::neighbours::Neighbours;
pub use self::published::{Published, PublishedOptions};
pub use self::report::{Entry, Report};
use crate::error::{Context as _, Result, refuse};
use crate::loaded_run::LoadedRun;
use crate::observer::RunObserver;
use crate::plan::Plan;
use crate::run_folder::RunFolder;
use crate::sample_folder::{self, Origin};
use crate::settings::Settings;

/// Images of the grid that goes with the numbers.
const ON_THE_GRID: usize = 48;
/// Images that are generated where the data does not say how many.
const USUAL_COUNT: usize = 1000;

/// How a model is measured.
pub struct EvaluationOptions {
    /// Images to generate; of a set with classes, as many of each.
    pub count: usize,
    /// Of the first image.
    pub seed: u64,
    /// How they are sampled.
    pub sampling: SamplingConfig,
    /// Networks that the user has weights of.
    pub published: Published,
}

/// Measures a trained model on the data of its run, and leaves `evaluation.json`, `report.html` and a grid of images in
/// its folder.
///
/// # Errors
/// When the run's settings or data are missing, sampling fails, or a file cannot be written.
pub fn evaluate(run: &LoadedRun, options: &EvaluationOptions, observer: &mut dyn RunObserver) -> Result<Report> {
    let Some(settings) = &run.settings else {
        let found = run.checkpoint.display();
        refuse!("{found}: expected a run folder with config.toml, which names the data to measure on");
    };
    let subject = Subject {
        settings,
        data: &Collections::open(&settings.data)?,
        pretrained: &run.pretrained,
        sampling: &options.sampling,
        count: Some(options.count),
        seed: options.seed,
        checkpoint: &run.checkpoint,
        weights: &run.weights,
    };
    subject.measure(&options.published, &Places::in_folder(run.folder()), observer)
}

/// Measures a model that is being trained or has just been.
pub(crate) fn measure_in_training(
    plan: &Plan,
    pretrained: &Pretrained,
    folder: &RunFolder,
    observer: &mut dyn RunObserver,
) -> Result<Report> {
    let checkpoint = folder.checkpoint(pretrained.card.step);
    let subject = Subject {
        settings: &plan.settings,
        data: &plan.data,
        pretrained,
        sampling: &plan.settings.sampling,
        count: None,
        seed: 0,
        checkpoint: &checkpoint,
        weights: &checkpoint.join(AVERAGE),
    };
    subject.measure(&Published::default(), &Places::in_folder(folder.path()), observer)
}

/// Where the files of an evaluation go.
struct Places {
    folder: PathBuf,
    samples: PathBuf,
    report: PathBuf,
    page: PathBuf,
}

impl Places {
    fn in_folder(folder: &Path) -> Self {
        let [samples, report, page] = ["samples", "evaluation.json", "report.html"].map(|name| folder.join(name));
        Self { folder: folder.to_path_buf(), samples, report, page }
    }
}

/// What is measured.
struct Subject<'a> {
    settings: &'a Settings,
    data: &'a Collections,
    pretrained: &'a Pretrained,
    sampling: &'a SamplingConfig,
    /// Images to generate; as many as the data asks for if absent.
    count: Option<usize>,
    /// Of the first image.
    seed: u64,
    checkpoint: &'a Path,
    weights: &'a Path,
}

/// What data offers that a model can be measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// Captions that each name a whole scene, which can be rendered.
    Scenes,
    /// A class of every image.
    Classes,
    /// Captions.
    Captions,
}

impl Offer {
    fn of(source: &dyn Source) -> Self {
        if scenes::are_named(source) {
            Self::Scenes
        } else if (0..source.len()).all(|index| source.label(index).is_some()) {
            Self::Classes
        } else {
            Self::Captions
        }
    }
}

impl Subject<'_> {
    fn measure(&self, published: &Published, places: &Places, observer: &mut dyn RunObserver) -> Result<Report> {
        let Some(images) = &self.data.images else { return self.measure_without_images(places, observer) };
        let (train, held_out) = (images.train.as_ref(), images.held_out.as_ref());
        let offer = Offer::of(train);
        let count = self.count.unwrap_or(USUAL_COUNT);
        // Scenes are generated in pairs, one that training saw and one that it did not.
        let count = if offer == Offer::Scenes { count.max(2) } else { count };
        published.check_counts(count, (train, held_out))?;
        let (mut generated, mut report) = self.by_the_data(offer, (train, held_out), places, observer)?;
        let neighbours = Neighbours::find(&generated, train)?;
        // Held-out scenes are others, and so farther from training images whatever a model does.
        if offer != Offer::Scenes {
            memorisation(&neighbours, held_out, &mut report)?;
        }
        self.measure_speech(&mut report, observer)?;
        self.measure_conversations(places, &mut report, observer)?;
        losses::measure(self.settings, self.data, self.pretrained, &mut report)?;
        published.measure(&mut generated, (train, held_out), self.seed, (&mut report, observer))?;
        if let Some(scores) = &generated.scores {
            let mean = Mean::of(&scores.values, self.seed);
            report.note(format!("{}:  {mean}", scores.what));
            report.value["prompt_score"] = json!({ "what": scores.what, "mean": mean });
        }
        self.write_report(&mut report, places)?;
        self.write_page(&generated, &mut report, (&neighbours, train), places)?;
        Ok(report)
    }

    /// Data without captioned images has losses, and what is understood of speech and answered in conversations.
    fn measure_without_images(&self, places: &Places, observer: &mut dyn RunObserver) -> Result<Report> {
        let mut report = Report::default();
        report.heading(self.pretrained.card.step);
        report.value = json!({ "step": self.pretrained.card.step, "version": env!("CARGO_PKG_VERSION") });
        self.measure_speech(&mut report, observer)?;
        self.measure_conversations(places, &mut report, observer)?;
        losses::measure(self.settings, self.data, self.pretrained, &mut report)?;
        self.write_report(&mut report, places)?;
        Ok(report)
    }

    fn measure_speech(&self, report: &mut Report, observer: &mut dyn RunObserver) -> Result<()> {
        let model = (self.pretrained, self.sampling);
        speech::measure(model, self.data, (self.count, self.seed), report, observer)
    }

    fn measure_conversations(
        &self,
        places: &Places,
        report: &mut Report,
        observer: &mut dyn RunObserver,
    ) -> Result<()> {
        let Self { pretrained, sampling, count, seed, .. } = *self;
        let asking = conversations::Asking { pretrained, sampling, count, seed, folder: &places.folder };
        asking.measure(self.data, report, observer)
    }

    /// Leaves `evaluation.json`, which names the weights that were measured.
    fn write_report(&self, report: &mut Report, places: &Places) -> Result<()> {
        // While a model is trained, not every step that is measured is kept.
        if let Ok(sha256) = interfuse_vae::folder::hash_file(self.weights) {
            report.value["checkpoint"] = json!(self.checkpoint.display().to_string());
            report.value["weights"] = json!(self.weights.file_name().map(|name| name.to_string_lossy()));
            report.value["weights_sha256"] = json!(sha256);
        }
        write_json(&places.report, &report.value)?;
        report.note(format!("written to {}", places.report.display()));
        Ok(())
    }

    /// What the data itself knows.
    fn by_the_data(
        &self,
        offer: Offer,
        (train, held_out): (&dyn Source, &dyn Source),
        places: &Places,
        observer: &mut dyn RunObserver,
    ) -> Result<(Generated, Report)> {
        let Self { pretrained, sampling, seed, .. } = *self;
        let count = (self.count.unwrap_or(USUAL_COUNT), seed);
        match offer {
            Offer::Scenes => {
                let measured = scenes::measure(pretrained, sampling, count, observer)?;
                let report = measured.report(pretrained);
                Ok((measured.generated, report))
            }
            Offer::Classes => {
                let path = places.folder.join("classifier.safetensors");
                let classifier = classes::classifier(train, held_out, &path, observer)?;
                let sources = (train, held_out);
                let measured = classes::measure(pretrained, &classifier, sources, sampling, count, observer)?;
                let report = measured.report(pretrained);
                Ok((measured.generated, report))
            }
            Offer::Captions => {
                let count = (self.count.unwrap_or(train.len()), seed);
                let measured = memory::measure(pretrained, train, sampling, count, observer)?;
                let report = measured.report(pretrained);
                Ok((measured.generated, report))
            }
        }
    }

    /// Leaves a grid of generated images and `report.html`.
    fn write_page(
        &self,
        generated: &Generated,
        report: &mut Report,
        (neighbours, train): (&Neighbours, &dyn Source),
        places: &Places,
    ) -> Result<()> {
        let shown = || evenly(ON_THE_GRID, generated.requests.len());
        let requests: Vec<ImageRequest> = shown().map(|i| generated.requests[i].clone()).collect();
        let images: Vec<Image> = shown().map(|i| generated.images[i].clone()).collect();
        let origin = Origin { sampling: self.sampling, checkpoint: self.checkpoint, columns: 8 };
        let grid = sample_folder::write(&places.samples, &requests, &images, &origin)?;
        report.note(format!("a grid of prompts: {}", grid.display()));
        let contents = page::Contents {
            title: &format!("{}, step {}", places.folder.display(), self.pretrained.card.step),
            report: &report.value,
            metrics: std::fs::read_to_string(places.folder.join("metrics.jsonl")).ok(),
            grid: std::fs::read(&grid).with_context(|| format!("cannot read {}", grid.display()))?,
            prompts: requests.into_iter().map(|request| request.prompt).collect(),
            pairs: neighbours.pairs(generated, train)?,
            score: generated.scores.as_ref().map(|scores| scores.what),
        };
        page::write(&contents, &places.page)?;
        report.note(format!("the whole report: {}", places.page.display()));
        Ok(())
    }
}

/// How near generated images lie to training images.
fn memorisation(neighbours: &Neighbours, held_out: &dyn Source, report: &mut Report) -> Result<()> {
    if let Some(found) = neighbours.memorisation(held_out)? {
        report.note(format!(
            "nearer to a training image than a held-out one is: {:.1} % of the time (50 %: no copies, 100 %: copies)",
            100.0 * found.generated_is_nearer
        ));
        report.value["memorisation"] = serde_json::to_value(found)?;
    }
    Ok(())
}

/// What the model and the images of an evaluation were.
fn base(generated: &Generated, pretrained: &Pretrained) -> Value {
    json!({
        "step": pretrained.card.step,
        "generated": generated.report(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}
