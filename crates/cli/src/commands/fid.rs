//! `interfuse fid A B`: how far two sets of images are apart. A drop-in for `python -m pytorch_fid A B`: the distance is
//! the last number that it prints.

use std::time::Instant;

use anyhow::{bail, ensure};
use interfuse_evaluation::image_set::{ImageSet, SetReport};
use interfuse_evaluation::inception_score::{SPLITS, inception_score};
use interfuse_evaluation::kernel_distance::kid;
use interfuse_evaluation::manifold::{NEIGHBOURS, manifold};
use interfuse_evaluation::npz;
use serde_json::{Map, Value, json};

use crate::args::{FeaturesArgs, FidArgs};
use crate::atomic_file::write_whole;
use crate::distances::{Comparison, Distance, Reading, Side, check_resamples, is_npz, joined, print_set};
use crate::extractors::Network;
use crate::progress::counting_bar;

pub(crate) fn run(args: &FidArgs) -> anyhow::Result<()> {
    let network = Network::open(&args.network)?;
    if args.save_stats {
        return save_statistics(args, &network);
    }
    let needs_features = args.kid || args.cmmd || args.prdc || args.score;
    check_statistics(args, needs_features)?;
    let keep = needs_features || args.resamples > 0;
    let all = Reading { batch_size: args.network.batch_size, keep, most: None };
    let (a, b) = (Side::read(&args.a, &*network, all)?, Side::read(&args.b, &*network, all)?);
    warn_of_differences(&a, &b);
    let as_many = Reading { most: b.images(), ..all };
    let train = args.train.as_ref().map(|path| Side::read(path, &*network, as_many)).transpose()?;
    let sets = Comparison { real: &a, generated: &b, train: train.as_ref(), resamples: (args.resamples, args.seed) };

    let mut report = Map::new();
    for (key, side) in [("a", Some(&a)), ("b", Some(&b)), ("train", train.as_ref())] {
        report.extend(side.map(|side| (key.to_string(), describe(side))));
    }
    report.insert("extractor".into(), json!(network.name()));
    report.insert("resize".into(), json!(network.resize()));
    report.insert("weights".into(), serde_json::to_value(network.weights())?);
    if needs_features {
        companions(args, sets, &network, &mut report)?;
    }
    let measured = sets.measure(Distance::Frechet)?;
    let name = network.distance_name([&a, &b].iter().filter_map(|side| side.images()).min());
    report.insert("name".into(), json!(name));
    report.insert("distance".into(), json!(measured.value));
    report.extend(measured.interval.map(|interval| ("interval".into(), json!(interval))));
    report.extend(measured.baseline.map(|baseline| ("baseline".into(), json!(baseline))));
    report.insert("seed".into(), json!(args.seed));
    if let Some(path) = &args.json {
        write_whole(path, &serde_json::to_vec_pretty(&Value::Object(report))?)?;
    }
    measured.print_beside(&name);
    println!("{name}:  {}", measured.value);
    Ok(())
}

/// Refuses what statistics cannot tell before anything is computed.
fn check_statistics(args: &FidArgs, needs_features: bool) -> anyhow::Result<()> {
    let sides = [Some(&args.a), Some(&args.b), args.train.as_ref()];
    if let Some(path) = sides.into_iter().flatten().find(|path| is_npz(path)).filter(|_| needs_features) {
        bail!("{}: KID, CMMD, precision, recall and the score need images, not statistics", path.display());
    }
    ensure!(
        args.resamples == 0 || !is_npz(&args.a) || !is_npz(&args.b),
        "--resamples: expected images on one side at least, found statistics on both"
    );
    check_resamples(args.resamples)
}

fn describe(side: &Side) -> Value {
    match side.report() {
        None => json!({ "statistics": true }),
        Some(report) => json!({ "images": report.images, "bad": report.bad, "animated": report.animated }),
    }
}

/// Writes a set's features and the names of its images.
pub(crate) fn features(args: &FeaturesArgs) -> anyhow::Result<()> {
    let network = Network::open(&args.network)?;
    let set = ImageSet::open(&args.images)?;
    let (mut names, mut rows) = (vec![], vec![]);
    let bar = counting_bar("images", set.len().unwrap_or(0));
    let started = Instant::now();
    let report = set.for_each_batch(args.network.batch_size, &mut |batch, _| {
        bar.inc(batch.len() as u64);
        let (batch_names, pixels): (Vec<_>, Vec<_>) = batch.into_iter().map(|each| (each.name, each.pixels)).unzip();
        names.extend(batch_names);
        rows.push(network.features(&pixels)?);
        Ok(())
    })?;
    bar.finish_and_clear();
    let rate = names.len() as f64 / started.elapsed().as_secs_f64().max(1e-9);
    print_set(&args.images.display().to_string(), &report);
    npz::write_features(&args.out, &names, &joined(&rows)?)?;
    println!("  {rate:.2} images/s");
    println!("{} vectors of {} features: {}", names.len(), network.dim(), args.out.display());
    Ok(())
}

fn save_statistics(args: &FidArgs, network: &Network) -> anyhow::Result<()> {
    ensure!(is_npz(&args.b), "--save-stats: expected the name of an .npz to write, found {}", args.b.display());
    let reading = Reading { batch_size: args.network.batch_size, keep: false, most: None };
    let side = Side::read(&args.a, &**network, reading)?;
    npz::write_statistics(&args.b, &side.gaussian()?)?;
    println!("statistics of {} images: {}", side.images().unwrap_or_default(), args.b.display());
    Ok(())
}

/// What else is asked for; A is the real set where it matters.
fn companions(
    args: &FidArgs,
    sets: Comparison<'_>,
    network: &Network,
    report: &mut Map<String, Value>,
) -> anyhow::Result<()> {
    let (real, generated) = (sets.real.vectors()?, sets.generated.vectors()?);
    if args.kid {
        let found = kid(real.view(), generated.view(), args.seed)?;
        println!("KID ± standard deviation:  {found}  ({} subsets of {})", found.subsets, found.subset_size);
        report.insert("kid".into(), serde_json::to_value(found)?);
        if let Some(baseline) = sets.floor(Distance::Kid)? {
            println!("KID, baseline:  {baseline:.6}");
            report.insert("kid_baseline".into(), json!(baseline));
        }
    }
    if args.cmmd {
        let found = sets.measure(Distance::Cmmd)?;
        let name = format!("CMMD on {}", network.name());
        println!("{name}:  {:.4}", found.value);
        found.print_beside(&name);
        report.insert("cmmd".into(), json!(found));
    }
    if args.prdc {
        let found = manifold(real.view(), generated.view(), NEIGHBOURS)?;
        println!("{found}  ({} neighbours; A is taken as real)", found.neighbours);
        report.insert("prdc".into(), serde_json::to_value(found)?);
    }
    if args.score {
        let Network::Inception(network) = network else {
            bail!("--score: expected the Inception network, found {}", network.name());
        };
        let found = inception_score(network.logits(generated)?.view(), SPLITS, Some(args.seed))?;
        println!("Inception score of B:  {:.4} ± {:.4}  ({} parts)", found.mean, found.std, found.splits);
        report.insert("inception_score".into(), serde_json::to_value(found)?);
    }
    Ok(())
}

/// What makes a distance say more of the files than of what is on them.
fn warn_of_differences(a: &Side, b: &Side) {
    let (Some(a), Some(b)) = (a.report(), b.report()) else { return };
    let fraction = |report: &SetReport| report.jpeg as f64 / report.images.max(1) as f64;
    if (fraction(a) - fraction(b)).abs() > 0.5 {
        println!("warning: one side is JPEG and the other is not; compression alone moves the distance");
    }
    let usual = |report: &SetReport| report.sizes.iter().max_by_key(|(_, count)| **count).map(|(size, _)| *size);
    if let (Some(a), Some(b)) = (usual(a), usual(b))
        && a != b
    {
        let [a, b] = [a, b].map(|(height, width)| format!("{width} × {height}"));
        println!("warning: most images are {a} on one side and {b} on the other; sharpness alone moves the distance");
    }
}
