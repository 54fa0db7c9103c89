//! `interfuse fid A B`: how far two sets of images are apart. A drop-in for `python -m pytorch_fid A B`: the distance is
//! the last number that it prints.

use std::time::Instant;

use anyhow::{bail, ensure};
use interfuse_evaluation::frechet::distance_of_gaussians;
use interfuse_evaluation::image_set::{ImageSet, SetReport};
use interfuse_evaluation::inception_score::{SPLITS, inception_score};
use interfuse_evaluation::kernel_distance::kid;
use interfuse_evaluation::manifold::{NEIGHBOURS, manifold};
use interfuse_evaluation::npz;
use interfuse_parameters::durable::{check_writable, write_file};
use interfuse_run::RunObserver as _;
use interfuse_run::distances::{
    Comparison, Distance, OpenedSide, Reading, Side, check_resamples, is_npz, joined, set_lines,
};
use interfuse_run::extractors::Network;
use serde_json::{Map, Value, json};

use crate::args::{FeaturesArgs, FidArgs};
use crate::print::say;
use crate::terminal::Terminal;

pub(crate) fn run(args: &FidArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.json {
        check_writable(path)?;
    }
    let needs_features = args.kid || args.cmmd || args.prdc || args.score;
    check_statistics(args, needs_features)?;
    if is_npz(&args.a) && is_npz(&args.b) && args.train.is_none() && !args.save_stats {
        return between_statistics(args);
    }
    let network = Network::open(&args.network.options())?;
    if args.save_stats {
        return save_statistics(args, &network);
    }
    let keep = needs_features || args.resamples > 0;
    let all = Reading { batch_size: args.network.batch_size, keep, most: None };
    // Wrong paths are told before the first image is read.
    let open = |path| OpenedSide::open(path, &*network);
    let (a, b, train) = (open(&args.a)?, open(&args.b)?, args.train.as_deref().map(open).transpose()?);
    require_images(args, [Some(&a), Some(&b), train.as_ref()])?;
    let mut terminal = Terminal::default();
    let (a, b) = (a.read(&*network, all, &mut terminal)?, b.read(&*network, all, &mut terminal)?);
    warn_of_differences(&a, &b);
    let as_many = Reading { most: b.images(), ..all };
    let train = train.map(|side| side.read(&*network, as_many, &mut terminal)).transpose()?;
    let sets = Comparison { real: &a, generated: &b, train: train.as_ref(), resamples: (args.resamples, args.seed) };

    let mut report = Map::new();
    for (key, side) in [("a", Some(&a)), ("b", Some(&b)), ("train", train.as_ref())] {
        report.extend(side.map(|side| (key.to_string(), describe(side))));
    }
    report.insert("extractor".into(), json!(network.name()));
    report.insert("resize".into(), json!(network.resize()));
    report.insert("weights".into(), serde_json::to_value(network.weights())?);
    if needs_features {
        companions(args, sets, &network, (&mut report, &mut terminal))?;
    }
    let measured = sets.measure(Distance::Frechet, &mut terminal)?;
    drop(terminal);
    let name = network.distance_name([&a, &b].iter().filter_map(|side| side.images()).min());
    report.insert("name".into(), json!(name));
    report.insert("distance".into(), json!(measured.value));
    report.extend(measured.interval.map(|interval| ("interval".into(), json!(interval))));
    report.extend(measured.baseline.map(|baseline| ("baseline".into(), json!(baseline))));
    report.insert("seed".into(), json!(args.seed));
    if let Some(path) = &args.json {
        write_file(path, &serde_json::to_vec_pretty(&Value::Object(report))?)?;
    }
    measured.beside(&name).iter().for_each(|line| say!("{line}"));
    say!("{name}:  {}", measured.value);
    Ok(())
}

/// The distance of two files of statistics: no image is looked at, so no network is opened.
fn between_statistics(args: &FidArgs) -> anyhow::Result<()> {
    let [a, b] = [npz::read_statistics(&args.a)?, npz::read_statistics(&args.b)?];
    let [expected, found] = [a.mean.len(), b.mean.len()];
    ensure!(expected == found, "{}: expected {expected} features, found {found}", args.b.display());
    let (name, distance) = (format!("Fréchet distance of {expected} features"), distance_of_gaussians(&a, &b)?);
    if let Some(path) = &args.json {
        let report =
            json!({ "a": { "statistics": true }, "b": { "statistics": true }, "name": name, "distance": distance });
        write_file(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    say!("{name}:  {distance}");
    Ok(())
}

/// Refuses sets of too few images before any goes through the network.
fn require_images(args: &FidArgs, [a, b, train]: [Option<&OpenedSide>; 3]) -> anyhow::Result<()> {
    for side in [a, b, train].into_iter().flatten() {
        side.require_for_distance()?;
    }
    let neighbours = args.prdc.then_some([a, b]).into_iter().flatten().flatten();
    for side in neighbours {
        side.require(NEIGHBOURS + 1, " for --prdc")?;
    }
    if args.score
        && let Some(generated) = b
    {
        generated.require(SPLITS, " for --score")?;
    }
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
    Ok(check_resamples(args.resamples)?)
}

fn describe(side: &Side) -> Value {
    match side.report() {
        None => json!({ "statistics": true }),
        Some(report) => json!({ "images": report.images, "bad": report.bad, "animated": report.animated }),
    }
}

/// Writes a set's features and the names of its images.
pub(crate) fn features(args: &FeaturesArgs) -> anyhow::Result<()> {
    check_writable(&args.out)?;
    let network = Network::open(&args.network.options())?;
    let set = ImageSet::open(&args.images)?;
    let (mut names, mut rows) = (vec![], vec![]);
    let (mut terminal, total, mut done) = (Terminal::default(), set.len().unwrap_or(0), 0);
    let started = Instant::now();
    let report = set.for_each_batch(args.network.batch_size, &mut |batch, _| {
        done += batch.len();
        terminal.progress("images", done, total);
        let (batch_names, pixels): (Vec<_>, Vec<_>) = batch.into_iter().map(|each| (each.name, each.pixels)).unzip();
        names.extend(batch_names);
        rows.push(network.features(&pixels)?);
        Ok(())
    })?;
    drop(terminal);
    let rate = names.len() as f64 / started.elapsed().as_secs_f64().max(1e-9);
    set_lines(&args.images.display().to_string(), &report).iter().for_each(|line| say!("{line}"));
    npz::write_features(&args.out, &names, &joined(&rows)?)?;
    say!("  {rate:.2} images/s");
    say!("{} vectors of {} features: {}", names.len(), network.dim(), args.out.display());
    Ok(())
}

fn save_statistics(args: &FidArgs, network: &Network) -> anyhow::Result<()> {
    ensure!(is_npz(&args.b), "--save-stats: expected the name of an .npz to write, found {}", args.b.display());
    let reading = Reading { batch_size: args.network.batch_size, keep: false, most: None };
    check_writable(&args.b)?;
    let side = OpenedSide::open(&args.a, &**network)?;
    side.require_for_distance()?;
    let side = side.read(&**network, reading, &mut Terminal::default())?;
    npz::write_statistics(&args.b, &side.gaussian()?)?;
    say!("statistics of {} images: {}", side.images().unwrap_or_default(), args.b.display());
    Ok(())
}

/// What else is asked for; A is the real set where it matters.
fn companions(
    args: &FidArgs,
    sets: Comparison<'_>,
    network: &Network,
    (report, terminal): (&mut Map<String, Value>, &mut Terminal),
) -> anyhow::Result<()> {
    let (real, generated) = (sets.real.vectors()?, sets.generated.vectors()?);
    if args.kid {
        let found = kid(real.view(), generated.view(), args.seed)?;
        say!("KID ± standard deviation:  {found}  ({} subsets of {})", found.subsets, found.subset_size);
        report.insert("kid".into(), serde_json::to_value(found)?);
        if let Some(baseline) = sets.baseline(Distance::Kid)? {
            say!("KID, baseline:  {baseline:.6}");
            report.insert("kid_baseline".into(), json!(baseline));
        }
    }
    if args.cmmd {
        let found = sets.measure(Distance::Cmmd, terminal)?;
        let name = format!("CMMD on {}", network.name());
        say!("{name}:  {:.4}", found.value);
        found.beside(&name).iter().for_each(|line| say!("{line}"));
        report.insert("cmmd".into(), json!(found));
    }
    if args.prdc {
        let found = manifold(real.view(), generated.view(), NEIGHBOURS)?;
        say!("{found}  ({} neighbours; A is taken as real)", found.neighbours);
        report.insert("prdc".into(), serde_json::to_value(found)?);
    }
    if args.score {
        let Network::Inception(network) = network else {
            bail!("--score: expected the Inception network, found {}", network.name());
        };
        let found = inception_score(network.logits(generated)?.view(), SPLITS, Some(args.seed))?;
        say!("Inception score of B:  {:.4} ± {:.4}  ({} parts)", found.mean, found.std, found.splits);
        report.insert("inception_score".into(), serde_json::to_value(found)?);
    }
    Ok(())
}

/// What makes a distance say more of the files than of what is on them.
fn warn_of_differences(a: &Side, b: &Side) {
    let (Some(a), Some(b)) = (a.report(), b.report()) else { return };
    let fraction = |report: &SetReport| report.jpeg as f64 / report.images.max(1) as f64;
    if (fraction(a) - fraction(b)).abs() > 0.5 {
        say!("warning: one side is JPEG and the other is not; compression alone moves the distance");
    }
    let usual = |report: &SetReport| report.sizes.iter().max_by_key(|(_, count)| **count).map(|(size, _)| *size);
    if let (Some(a), Some(b)) = (usual(a), usual(b))
        && a != b
    {
        let [a, b] = [a, b].map(|(height, width)| format!("{width} × {height}"));
        say!("warning: most images are {a} on one side and {b} on the other; sharpness alone moves the distance");
    }
}
