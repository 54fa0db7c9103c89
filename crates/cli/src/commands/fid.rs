//! `interfuse fid A B`: how far two sets of pictures are apart. A drop-in for `python -m pytorch_fid A B`: the distance is
//! the last number that it prints.

use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure};
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::features::efficientnet::EfficientNet;
use interfuse_evaluation::features::inception::{Inception, Layer};
use interfuse_evaluation::features::resize::Resize;
use interfuse_evaluation::frechet::{Gaussian, Statistics, distance_of_features, distance_of_gaussians};
use interfuse_evaluation::inception_score::{SPLITS, inception_score};
use interfuse_evaluation::kernel_distance::{cmmd, kid};
use interfuse_evaluation::manifold::{NEIGHBOURS, manifold};
use interfuse_evaluation::npz;
use interfuse_evaluation::picture_set::{PictureSet, SetReport};
use ndarray::{Array2, Axis};
use serde_json::{Map, Value, json};

use crate::args::{ExtractorArgs, ExtractorName, FeaturesArgs, FidArgs, ResizeName};
use crate::atomic_file::write_whole;
use crate::progress::counting_bar;

/// Below this many pictures the distance carries their number in its name, for it falls as the number grows.
const CUSTOMARY: usize = 10_000;

pub(crate) fn run(args: &FidArgs) -> anyhow::Result<()> {
    let needs_features = args.kid || args.cmmd || args.prdc || args.score;
    let network = open(&args.network)?;
    if args.save_stats {
        return save_statistics(args, &network);
    }
    let a = Side::of(&args.a, &network, args.network.batch_size, needs_features)?;
    let b = Side::of(&args.b, &network, args.network.batch_size, needs_features)?;
    warn_of_differences(&a, &b);
    let mut report = Map::new();
    for (key, side) in [("a", &a), ("b", &b)] {
        report.insert(key.into(), side.describe());
    }
    report.insert("extractor".into(), json!(network.name()));
    report.insert("resize".into(), json!(network.resize()));
    report.insert("weights".into(), serde_json::to_value(network.weights())?);
    if needs_features {
        companions(args, (&a, &b), &network, &mut report)?;
    }
    let distance = distance(&a, &b)?;
    let least = [&a, &b].iter().filter_map(|side| side.pictures()).min();
    let name = network.distance_name(least);
    report.insert("name".into(), json!(name));
    report.insert("distance".into(), json!(distance));
    if let Some(path) = &args.json {
        write_whole(path, &serde_json::to_vec_pretty(&Value::Object(report))?)?;
    }
    println!("{name}:  {distance}");
    Ok(())
}

/// Writes a set's features and the names of its pictures.
pub(crate) fn features(args: &FeaturesArgs) -> anyhow::Result<()> {
    let network = open(&args.network)?;
    let set = PictureSet::open(&args.pictures)?;
    let (mut names, mut rows) = (vec![], vec![]);
    let bar = counting_bar("pictures", set.len().unwrap_or(0));
    let report = set.for_each_batch(args.network.batch_size, &mut |batch, _| {
        bar.inc(batch.len() as u64);
        let (batch_names, pixels): (Vec<_>, Vec<_>) = batch.into_iter().map(|each| (each.name, each.pixels)).unzip();
        names.extend(batch_names);
        rows.push(network.features(&pixels)?);
        Ok(())
    })?;
    bar.finish_and_clear();
    print_set(&args.pictures, &report);
    npz::write_features(&args.out, &names, &joined(&rows)?)?;
    println!("{} vectors of {} features: {}", names.len(), network.dim(), args.out.display());
    Ok(())
}

/// A network, and whether the distance of its features may be called FID.
enum Network {
    Inception(Box<Inception>),
    Other(Box<dyn FeatureExtractor>),
}

impl std::ops::Deref for Network {
    type Target = dyn FeatureExtractor;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Inception(network) => network.as_ref(),
            Self::Other(network) => network.as_ref(),
        }
    }
}

impl Network {
    /// FID for the network of 2015 alone; few pictures and unknown weights are part of the name.
    fn distance_name(&self, least: Option<usize>) -> String {
        let mut name = match (self, self.dim()) {
            (Self::Inception(_), 2048) => "FID".to_string(),
            (Self::Inception(_), dim) => format!("FID of the {dim} features"),
            (Self::Other(network), _) => format!("fd_{}", network.name()),
        };
        if let Some(least) = least.filter(|&least| least < CUSTOMARY) {
            name = format!("{name}-{least}");
        }
        if !self.weights().published {
            name = format!("{name} with unknown weights");
        }
        name
    }
}

fn open(args: &ExtractorArgs) -> anyhow::Result<Network> {
    ensure!(args.batch_size > 0, "--batch-size: expected at least 1, found 0");
    let device = crate::device::open(&args.device)?;
    let (weights, allow) = (args.weights.as_deref(), args.allow_unknown_weights);
    Ok(match args.extractor {
        ExtractorName::Inception => {
            let Some(layer) = Layer::of_dim(args.dims) else {
                bail!("--dims: expected 64, 192, 768 or 2048, found {}", args.dims);
            };
            let resize = match args.resize {
                ResizeName::Pytorch => Resize::Pytorch,
                ResizeName::Clean => Resize::Clean,
                ResizeName::Tensorflow1 => Resize::Tensorflow1,
            };
            Network::Inception(Box::new(Inception::load(weights, allow, (layer, resize), &device)?))
        }
        ExtractorName::Efflite0 => Network::Other(Box::new(EfficientNet::load(weights, allow, &device)?)),
        ExtractorName::Clip => {
            let Some(folder) = weights else {
                bail!("--weights: expected the folder of a CLIP model, found none");
            };
            Network::Other(Box::new(Clip::open(folder, &device)?))
        }
    })
}

fn save_statistics(args: &FidArgs, network: &Network) -> anyhow::Result<()> {
    let is_npz = args.b.extension().is_some_and(|extension| extension == "npz");
    ensure!(is_npz, "--save-stats: expected the name of an .npz to write, found {}", args.b.display());
    let side = Side::of(&args.a, network, args.network.batch_size, false)?;
    npz::write_statistics(&args.b, &side.gaussian()?)?;
    println!("statistics of {} pictures: {}", side.pictures().unwrap_or_default(), args.b.display());
    Ok(())
}

/// One of the two sets.
enum Side {
    /// Statistics of a file, of unknown many pictures.
    File(Gaussian),
    /// Pictures whose features are still there.
    Features(Array2<f32>, SetReport),
    /// Pictures whose features were too many to keep.
    Statistics(Statistics, SetReport),
}

impl Side {
    /// Features are kept where they are needed, or where there are fewer than a covariance has rows; memory does not grow
    /// with the set otherwise.
    fn of(path: &Path, network: &Network, batch_size: usize, keep: bool) -> anyhow::Result<Self> {
        if path.extension().is_some_and(|extension| extension == "npz") {
            ensure!(!keep, "{}: KID, precision, recall and the score need pictures, not statistics", path.display());
            let gaussian = npz::read_statistics(path)?;
            let (found, expected) = (gaussian.mean.len(), network.dim());
            ensure!(found == expected, "{}: expected {expected} features, found {found}", path.display());
            return Ok(Self::File(gaussian));
        }
        let set = PictureSet::open(path)?;
        let bar = counting_bar("pictures", set.len().unwrap_or(0));
        let mut statistics = Statistics::new(network.dim());
        let mut kept = Some(vec![]);
        let started = Instant::now();
        let report = set.for_each_batch(batch_size, &mut |batch, seen| {
            bar.inc(batch.len() as u64);
            let pixels: Vec<_> = batch.into_iter().map(|each| each.pixels).collect();
            let features = network.features(&pixels)?;
            statistics.add(features.view())?;
            if !keep && seen.pictures >= network.dim() {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                kept.push(features);
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        print_set(path, &report);
        let rate = report.pictures as f64 / started.elapsed().as_secs_f64().max(1e-9);
        println!("  {rate:.1} pictures/s");
        ensure!(report.pictures > 1, "{}: expected at least 2 pictures, found 1", path.display());
        Ok(match kept {
            Some(kept) => Self::Features(joined(&kept)?, report),
            None => Self::Statistics(statistics, report),
        })
    }

    fn report(&self) -> Option<&SetReport> {
        match self {
            Self::File(_) => None,
            Self::Features(_, report) | Self::Statistics(_, report) => Some(report),
        }
    }

    fn pictures(&self) -> Option<usize> {
        self.report().map(|report| report.pictures)
    }

    fn gaussian(&self) -> anyhow::Result<Gaussian> {
        Ok(match self {
            Self::File(gaussian) => gaussian.clone(),
            Self::Features(features, _) => Statistics::of(features.view())?.gaussian()?,
            Self::Statistics(statistics, _) => statistics.gaussian()?,
        })
    }

    fn describe(&self) -> Value {
        match self.report() {
            None => json!({ "statistics": true }),
            Some(report) => json!({ "pictures": report.pictures, "bad": report.bad, "animated": report.animated }),
        }
    }
}

fn distance(a: &Side, b: &Side) -> anyhow::Result<f64> {
    Ok(match (a, b) {
        (Side::Features(a, _), Side::Features(b, _)) => distance_of_features(a.view(), b.view())?,
        _ => distance_of_gaussians(&a.gaussian()?, &b.gaussian()?)?,
    })
}

/// What else is asked for; `a` is the real set where it matters.
fn companions(
    args: &FidArgs,
    (a, b): (&Side, &Side),
    network: &Network,
    report: &mut Map<String, Value>,
) -> anyhow::Result<()> {
    let (Side::Features(real, _), Side::Features(drawn, _)) = (a, b) else {
        bail!("expected pictures on both sides, found statistics");
    };
    if args.kid {
        let found = kid(real.view(), drawn.view(), args.seed)?;
        println!(
            "KID ± deviation:  {:.6} ± {:.6}  ({} subsets of {})",
            found.mean, found.deviation, found.subsets, found.subset_size
        );
        report.insert("kid".into(), serde_json::to_value(found)?);
    }
    if args.cmmd {
        let found = cmmd(real.view(), drawn.view())?;
        println!("CMMD on {}:  {found:.4}", network.name());
        report.insert("cmmd".into(), json!(found));
    }
    if args.prdc {
        let found = manifold(real.view(), drawn.view(), NEIGHBOURS)?;
        println!(
            "precision {:.4}  recall {:.4}  density {:.4}  coverage {:.4}  ({} neighbours; A is taken as real)",
            found.precision, found.recall, found.density, found.coverage, found.neighbours
        );
        report.insert("prdc".into(), serde_json::to_value(found)?);
    }
    if args.score {
        let Network::Inception(network) = network else {
            bail!("--score: expected the Inception network, found {}", network.name());
        };
        let found = inception_score(network.logits(drawn)?.view(), SPLITS, Some(args.seed))?;
        println!("Inception score of B:  {:.4} ± {:.4}  ({} parts)", found.mean, found.deviation, found.splits);
        report.insert("inception_score".into(), serde_json::to_value(found)?);
    }
    Ok(())
}

fn print_set(path: &Path, report: &SetReport) {
    println!("{}: {} pictures", path.display(), report.pictures);
    if report.bad > 0 {
        println!("  skipped {} bad ones; first: {}", report.bad, report.bad_examples.join("; "));
    }
    if report.animated > 0 {
        println!("  {} are animated; their first frame was taken", report.animated);
    }
}

/// What makes a distance say more of the files than of what is on them.
fn warn_of_differences(a: &Side, b: &Side) {
    let (Some(a), Some(b)) = (a.report(), b.report()) else { return };
    let share = |report: &SetReport| report.jpeg as f64 / report.pictures.max(1) as f64;
    if (share(a) - share(b)).abs() > 0.5 {
        println!("warning: one side is JPEG and the other is not; compression alone moves the distance");
    }
    let usual = |report: &SetReport| report.sizes.iter().max_by_key(|(_, count)| **count).map(|(size, _)| *size);
    if let (Some(a), Some(b)) = (usual(a), usual(b))
        && a != b
    {
        let [a, b] = [a, b].map(|(height, width)| format!("{width} × {height}"));
        println!("warning: most pictures are {a} on one side and {b} on the other; sharpness alone moves the distance");
    }
}

fn joined(parts: &[Array2<f32>]) -> anyhow::Result<Array2<f32>> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(ndarray::concatenate(Axis(0), &views)?)
}
