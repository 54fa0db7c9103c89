//! What published networks say of generated images: distances to real ones, and the CLIP score. Only where the user has their
//! weights.

use std::path::PathBuf;

use burn::tensor::Device;
use interfuse_data::{Image, Source, spread};
use interfuse_evaluation::clip_score::clip_score;
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::kernel_distance::kid;
use interfuse_evaluation::manifold::{NEIGHBOURS, manifold};
use ndarray::{Array2, Array3};
use serde_json::{Value, json};

use super::generated::{Generated, PromptScores};
use super::report::Report;
use crate::distances::{BATCH, Comparison, Distance, Side, check_resamples, joined, require_for_distance, rgb};
use crate::error::Result;
use crate::extractors::{KnownWeights, Network};
use crate::observer::RunObserver;

/// The networks that are at hand.
#[derive(Default)]
pub struct Published {
    networks: Vec<Network>,
    clip: Option<Clip>,
    resamples: usize,
}

/// Which of them.
#[derive(Debug, Clone, Default)]
pub struct PublishedOptions {
    /// The networks whose features are compared.
    pub distances: KnownWeights,
    /// Folder of a CLIP model from Hugging Face.
    pub clip: Option<PathBuf>,
    /// How often images are resampled for the interval of a distance; 0 for none.
    pub resamples: usize,
}

/// The sets that are compared, as 8-bit RGB.
struct Sets {
    generated: Vec<Array3<u8>>,
    /// Held out; of the training set where nothing is held out.
    real: Vec<Array3<u8>>,
    /// As many of the training set as were generated, where others are held out.
    train: Option<Vec<Array3<u8>>>,
}

impl Published {
    /// Opens what the user names.
    ///
    /// # Errors
    /// When weights are missing or of another network.
    pub fn open(options: &PublishedOptions, device: &Device) -> Result<Self> {
        check_resamples(options.resamples)?;
        let networks = Network::known(&options.distances, device)?;
        let clip = options.clip.as_deref().map(|folder| Clip::open(folder, device)).transpose()?;
        Ok(Self { networks, clip, resamples: options.resamples })
    }

    /// Refuses, before anything is generated, a count or data that leave too few images for a distance.
    ///
    /// # Errors
    /// Names the images that are too few, how many are needed and how many there are.
    pub(super) fn check_counts(&self, generated: usize, (train, held_out): (&dyn Source, &dyn Source)) -> Result<()> {
        if self.networks.is_empty() && self.clip.is_none() {
            return Ok(());
        }
        require_for_distance("--count", generated)?;
        if !held_out.held_out_is_train() {
            require_for_distance("the held-out images of the data", held_out.len())?;
        }
        require_for_distance("the training images of the data", train.len())
    }

    /// Adds the numbers to the report. Cosines of CLIP become the scores of prompts.
    pub(super) fn measure(
        &self,
        generated: &mut Generated,
        (train, held_out): (&dyn Source, &dyn Source),
        seed: u64,
        (report, observer): (&mut Report, &mut dyn RunObserver),
    ) -> Result<()> {
        if self.networks.is_empty() && self.clip.is_none() {
            return Ok(());
        }
        let of_source = |source: &dyn Source, most: usize| all_rgb(&spread(source, most).1);
        let sets = Sets {
            generated: all_rgb(&generated.images)?,
            real: of_source(held_out, usize::MAX)?,
            train: match held_out.held_out_is_train() {
                true => None,
                false => Some(of_source(train, generated.images.len())?),
            },
        };
        let least = sets.generated.len().min(sets.real.len());
        let mut distances = vec![];
        for network in &self.networks {
            let name = network.distance_name(Some(least));
            distances.push(self.distances(&sets, (&**network, &name), Distance::Frechet, seed, (report, observer))?);
        }
        if let Some(clip) = &self.clip {
            let name = format!("CMMD on {}", clip.name());
            distances.push(self.distances(&sets, (clip, &name), Distance::Cmmd, seed, (report, observer))?);
            score(clip, generated, &sets.generated, seed, (report, observer))?;
        }
        report.value["distances"] = Value::Array(distances);
        Ok(())
    }

    /// A distance with all that goes with it.
    fn distances(
        &self,
        sets: &Sets,
        (network, name): (&dyn FeatureExtractor, &str),
        distance: Distance,
        seed: u64,
        (lines, observer): (&mut Report, &mut dyn RunObserver),
    ) -> Result<Value> {
        let mut side = |name: &str, images: &Vec<_>| Side::of_images(name, images, network, observer);
        let (generated, real) = (side("generated images", &sets.generated)?, side("real images", &sets.real)?);
        let train = sets.train.as_ref().map(|images| side("training images", images));
        let train = train.transpose()?;
        let compared =
            Comparison { real: &real, generated: &generated, train: train.as_ref(), resamples: (self.resamples, seed) };
        let found = compared.measure(distance, observer)?;
        let (generated_count, real_count) = (sets.generated.len(), sets.real.len());
        lines.note(format!("{name}:  {:.4}  ({generated_count} generated against {real_count} real)", found.value));
        found.beside(name).into_iter().for_each(|line| lines.note(line));
        let mut report = json!({
            "name": name,
            "extractor": network.name(),
            "resize": network.resize(),
            "weights": network.weights(),
            "generated": sets.generated.len(),
            "real": sets.real.len(),
            "real_is_training": sets.train.is_none(),
            "distance": found,
        });
        if distance == Distance::Frechet {
            let kernel = kid(real.vectors()?.view(), generated.vectors()?.view(), seed)?;
            lines.note(format!("  KID {kernel}  ({} subsets)", kernel.subsets));
            let baseline = compared.baseline(Distance::Kid)?;
            if let Some(baseline) = baseline {
                lines.note(format!("  KID, baseline {baseline:.6}"));
            }
            report["kid"] = json!({ "found": kernel, "baseline": baseline });
            // Balls reach to the fifth neighbour, so a handful of images has none.
            if sets.generated.len().min(sets.real.len()) > NEIGHBOURS {
                let fractions = manifold(real.vectors()?.view(), generated.vectors()?.view(), NEIGHBOURS)?;
                lines.note(format!("  {fractions}"));
                report["prdc"] = json!(fractions);
            }
        }
        Ok(report)
    }
}

/// The CLIP score of generated images and their prompts.
fn score(
    clip: &Clip,
    generated: &mut Generated,
    images: &[Array3<u8>],
    seed: u64,
    (report, observer): (&mut Report, &mut dyn RunObserver),
) -> Result<()> {
    let prompts: Vec<String> = generated.requests.iter().map(|request| request.prompt.clone()).collect();
    let (mut image_rows, mut text_rows): (Vec<Array2<f32>>, Vec<Array2<f32>>) = (vec![], vec![]);
    for (batch, (images, texts)) in images.chunks(BATCH).zip(prompts.chunks(BATCH)).enumerate() {
        image_rows.push(clip.embed_images(images)?);
        text_rows.push(clip.embed_texts(texts)?);
        observer.progress("images and prompts", batch * BATCH + texts.len(), prompts.len());
    }
    let (images, texts) = (joined(&image_rows)?, joined(&text_rows)?);
    let found = clip_score(images.view(), texts.view(), &prompts, seed)?;
    report.note(format!("CLIP score, 100 · max(0, cos):  {}", found.score_100));
    report.note(format!(
        "  cosine {:.4}  R-precision among {} prompts {}",
        found.cosine.value, found.candidates, found.r_precision
    ));
    let mut value = serde_json::to_value(&found)?;
    generated.scores = Some(PromptScores { what: "cosine of image and prompt, by CLIP", values: found.cosines });
    value["model"] = json!(clip.name());
    value["weights_sha256"] = json!(clip.sha256());
    report.value["clip_score"] = value;
    Ok(())
}

fn all_rgb(images: &[Image]) -> Result<Vec<Array3<u8>>> {
    images.iter().map(rgb).collect()
}
