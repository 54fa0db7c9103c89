//! What published networks say of drawn pictures: distances to real ones, and the CLIP score. Only where the user has their
//! weights.

use std::path::Path;

use anyhow::ensure;
use burn::tensor::Device;
use interfuse_data::{Picture, Source, spread};
use interfuse_evaluation::clip_score::clip_score;
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::kernel_distance::kid;
use interfuse_evaluation::manifold::{NEIGHBOURS, manifold};
use ndarray::{Array2, Array3};
use serde_json::{Value, json};

use super::drawn::{Drawn, PromptScores};
use crate::args::PublishedArgs;
use crate::distances::{BATCH, Comparison, Distance, Side, check_resamples, joined, rgb};
use crate::extractors::Network;
use crate::progress::counting_bar;

/// The networks that are at hand.
#[derive(Default)]
pub(super) struct Published {
    networks: Vec<Network>,
    clip: Option<Clip>,
    resamples: usize,
}

/// The sets that are compared, as 8-bit RGB.
struct Sets {
    drawn: Vec<Array3<u8>>,
    /// Held out; of the training set where nothing is held out.
    real: Vec<Array3<u8>>,
    /// As many of the training set as were drawn, where others are held out.
    train: Option<Vec<Array3<u8>>>,
}

impl Published {
    /// Opens what the user names.
    pub(super) fn open(args: &PublishedArgs, device: &Device) -> anyhow::Result<Self> {
        check_resamples(args.resamples)?;
        let networks = Network::at_hand(&args.distances, device)?;
        let clip = args.clip.as_deref().map(|folder: &Path| Clip::open(folder, device)).transpose()?;
        Ok(Self { networks, clip, resamples: args.resamples })
    }

    /// Prints the numbers and adds them to the report. Cosines of CLIP become the scores of prompts.
    pub(super) fn measure(
        &self,
        drawn: &mut Drawn,
        (train, held_out): (&dyn Source, &dyn Source),
        seed: u64,
        report: &mut Value,
    ) -> anyhow::Result<()> {
        if self.networks.is_empty() && self.clip.is_none() {
            return Ok(());
        }
        let of_source = |source: &dyn Source, most: usize| all_rgb(&spread(source, most).1);
        let sets = Sets {
            drawn: all_rgb(&drawn.pictures)?,
            real: of_source(held_out, usize::MAX)?,
            train: match held_out.held_out_is_train() {
                true => None,
                false => Some(of_source(train, drawn.pictures.len())?),
            },
        };
        let least = sets.drawn.len().min(sets.real.len());
        ensure!(least > 1, "a distance: expected at least 2 drawn and 2 real pictures, found {least}");
        let mut distances = vec![];
        for network in &self.networks {
            let name = network.distance_name(Some(least));
            distances.push(self.distances(&sets, (&**network, &name), Distance::Frechet, seed)?);
        }
        if let Some(clip) = &self.clip {
            let name = format!("CMMD on {}", clip.name());
            distances.push(self.distances(&sets, (clip, &name), Distance::Cmmd, seed)?);
            report["clip_score"] = score(clip, drawn, &sets.drawn, seed)?;
        }
        report["distances"] = Value::Array(distances);
        Ok(())
    }

    /// A distance with all that goes with it.
    fn distances(
        &self,
        sets: &Sets,
        (network, name): (&dyn FeatureExtractor, &str),
        distance: Distance,
        seed: u64,
    ) -> anyhow::Result<Value> {
        let [drawn, real] = [("drawn pictures", &sets.drawn), ("real pictures", &sets.real)]
            .map(|(name, pictures)| Side::of_pictures(name, pictures, network));
        let (drawn, real) = (drawn?, real?);
        let train = sets.train.as_ref().map(|pictures| Side::of_pictures("training pictures", pictures, network));
        let train = train.transpose()?;
        let compared =
            Comparison { real: &real, drawn: &drawn, train: train.as_ref(), resamples: (self.resamples, seed) };
        let found = compared.measure(distance)?;
        println!("{name}:  {:.4}  ({} drawn against {} real)", found.value, sets.drawn.len(), sets.real.len());
        found.print_beside(name);
        let mut report = json!({
            "name": name,
            "extractor": network.name(),
            "resize": network.resize(),
            "weights": network.weights(),
            "drawn": sets.drawn.len(),
            "real": sets.real.len(),
            "real_is_training": sets.train.is_none(),
            "distance": found,
        });
        if distance == Distance::Frechet {
            let kernel = kid(real.vectors()?.view(), drawn.vectors()?.view(), seed)?;
            println!("  KID {kernel}  ({} subsets)", kernel.subsets);
            let floor = compared.floor(Distance::Kid)?;
            if let Some(floor) = floor {
                println!("  KID, floor {floor:.6}");
            }
            report["kid"] = json!({ "found": kernel, "floor": floor });
            // Balls reach to the fifth neighbour, so a handful of pictures has none.
            if sets.drawn.len().min(sets.real.len()) > NEIGHBOURS {
                let shares = manifold(real.vectors()?.view(), drawn.vectors()?.view(), NEIGHBOURS)?;
                println!("  {shares}");
                report["prdc"] = json!(shares);
            }
        }
        Ok(report)
    }
}

/// The CLIP score of drawn pictures and their prompts.
fn score(clip: &Clip, drawn: &mut Drawn, pictures: &[Array3<u8>], seed: u64) -> anyhow::Result<Value> {
    let prompts: Vec<String> = drawn.drawings.iter().map(|drawing| drawing.prompt.clone()).collect();
    let bar = counting_bar("pictures and prompts", prompts.len());
    let (mut images, mut texts): (Vec<Array2<f32>>, Vec<Array2<f32>>) = (vec![], vec![]);
    for (pictures, prompts) in pictures.chunks(BATCH).zip(prompts.chunks(BATCH)) {
        images.push(clip.embed_pictures(pictures)?);
        texts.push(clip.embed_texts(prompts)?);
        bar.inc(prompts.len() as u64);
    }
    bar.finish_and_clear();
    let (images, texts) = (joined(&images)?, joined(&texts)?);
    let found = clip_score(images.view(), texts.view(), &prompts, seed)?;
    println!("CLIP score, 100 · max(0, cos):  {}", found.score_100);
    println!(
        "  cosine {:.4}  R-precision among {} prompts {}",
        found.cosine.value, found.candidates, found.r_precision
    );
    let mut report = serde_json::to_value(&found)?;
    drawn.scores = Some(PromptScores { what: "cosine of picture and prompt, by CLIP", values: found.cosines });
    report["model"] = json!(clip.name());
    report["weights_sha256"] = json!(clip.sha256());
    Ok(report)
}

fn all_rgb(pictures: &[Picture]) -> anyhow::Result<Vec<Array3<u8>>> {
    pictures.iter().map(rgb).collect()
}
