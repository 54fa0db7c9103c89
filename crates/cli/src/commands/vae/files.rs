//! `interfuse vae encode|decode|reconstruct`: an autoencoder used on files and folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use burn::tensor::Device;
use interfuse_data::{Image, images_below};
use interfuse_parameters::durable::{check_folder, create_folder};
use interfuse_run::autoencoder::pairs;
use interfuse_run::autoencoder::quality::{Likeness, Quality, reconstruct as come_back};
use interfuse_run::distances::{Comparison, Distance, Gathering, require_for_distance, rgb};
use interfuse_run::extractors::Network;
use interfuse_run::sample_folder::enlarged_grid;
use interfuse_run::{RunObserver as _, sentence};
use interfuse_vae::{Codec, LatentFile, Vae, VaeCodec, VaeConfig, VqCodec, folder};
use ndarray::Array3;

use crate::args::{VaeArgs, VaeFilesArgs, VaeReconstructArgs};
use crate::print::say;
use crate::terminal::Terminal;

/// Pairs of the grid that `vae reconstruct --out` writes.
const SHOWN: usize = 32;

pub(crate) fn encode(args: &VaeFilesArgs) -> anyhow::Result<()> {
    let codec = AnyCodec::open(&args.vae)?;
    let inputs = Input::gather(&args.inputs, images_below)?;
    check_folder(&args.out)?;
    Input::check_results(&inputs, &args.out, "safetensors")?;
    run(&inputs, "encoded", |input| {
        let latents = codec.encode(open(&input.path, codec.channels(), args.vae.size)?)?;
        Ok(latents.write(&input.output(&args.out, "safetensors")?)?)
    })?;
    say!("latents: {}", args.out.display());
    Ok(())
}

pub(crate) fn decode(args: &VaeFilesArgs) -> anyhow::Result<()> {
    let codec = AnyCodec::open(&args.vae)?;
    ensure!(args.vae.size.is_none(), "--size: latents have a size of their own; expected none");
    let inputs = Input::gather(&args.inputs, latents_below)?;
    check_folder(&args.out)?;
    Input::check_results(&inputs, &args.out, "png")?;
    run(&inputs, "decoded", |input| {
        let pixels = codec.decode(LatentFile::read(&input.path)?)?;
        Ok(Image::from_unit_range(pixels.view())?.save_png(&input.output(&args.out, "png")?)?)
    })?;
    say!("images: {}", args.out.display());
    Ok(())
}

pub(crate) fn reconstruct(args: &VaeReconstructArgs) -> anyhow::Result<()> {
    let device = interfuse_run::device::open(&args.vae.device)?;
    let opened = folder::open(&args.vae.vae, &device)?;
    let network = opened.config.network().clone();
    let inputs = Input::gather(&args.inputs, images_below)?;
    // Beside the folder, so that the folder holds reconstructions alone.
    let grid = args.out.as_ref().map(|out| out.display().to_string().trim_end_matches('/').to_string());
    let grid = grid.map(|out| PathBuf::from(format!("{out}.pairs.png")));
    if let (Some(out), Some(grid)) = (&args.out, &grid) {
        check_folder(out)?;
        Input::check_results(&inputs, out, "png")?;
        let replaced =
            |input: &Input| matches!((input.path.canonicalize(), grid.canonicalize()), (Ok(a), Ok(b)) if a == b);
        ensure!(
            !inputs.iter().any(replaced),
            "--out: expected a folder whose grid replaces no input, found {}",
            grid.display()
        );
    }
    let networks = Network::known(&args.networks.known_weights(), &device)?;
    if !networks.is_empty() {
        require_for_distance(&listed(&args.inputs), inputs.len())?;
    }
    let mut distances: Vec<Reconstructed<'_>> = networks.iter().map(Reconstructed::new).collect();
    let (mut likenesses, mut shown) = (vec![], vec![]);
    run(&inputs, "reconstructed", |input| {
        let image = open(&input.path, network.in_channels, args.vae.size)?;
        let shape = image.shape();
        network.check_shape([shape.channels, shape.height, shape.width])?;
        for back in come_back(&opened.vae, std::slice::from_ref(&image), &device)? {
            if let Some(out) = &args.out {
                back.save_png(&input.output(out, "png")?)?;
            }
            likenesses.push(Likeness::of(&image, &back)?);
            for distance in &mut distances {
                distance.take(&image, &back)?;
            }
            if shown.len() < SHOWN && shown.first().is_none_or(|(first, _): &(Image, _)| first.shape() == shape) {
                shown.push((image.clone(), back));
            }
        }
        Ok(())
    })?;
    say!("{}", Quality::of(&likenesses));
    for distance in distances {
        distance.print()?;
    }
    if let Some(grid) = grid {
        let (images, reconstructions): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
        enlarged_grid(&pairs(&images, reconstructions), 8)?.save_png(&grid)?;
        say!("image and reconstruction side by side: {}", grid.display());
    }
    Ok(())
}

/// Images and their reconstructions in the features of a network.
struct Reconstructed<'a> {
    network: &'a Network,
    images: Gathering<'a>,
    reconstructions: Gathering<'a>,
}

impl<'a> Reconstructed<'a> {
    fn new(network: &'a Network) -> Self {
        let [images, reconstructions] = [(); 2].map(|()| Gathering::new(&**network, false));
        Self { network, images, reconstructions }
    }

    fn take(&mut self, image: &Image, reconstruction: &Image) -> anyhow::Result<()> {
        self.images.push(rgb(image)?)?;
        Ok(self.reconstructions.push(rgb(reconstruction)?)?)
    }

    fn print(self) -> anyhow::Result<()> {
        let (real, generated) = (self.images.finish("images")?, self.reconstructions.finish("reconstructions")?);
        let name = format!("reconstruction {}", self.network.distance_name(real.images()));
        let sets = Comparison { real: &real, generated: &generated, train: None, resamples: (0, 0) };
        say!("{name}:  {:.4}", sets.measure(Distance::Frechet, &mut ())?.value);
        Ok(())
    }
}

/// Either kind of autoencoder, used on one image.
enum AnyCodec {
    Kl(VaeCodec),
    Vq(VqCodec, usize),
}

impl AnyCodec {
    fn open(args: &VaeArgs) -> anyhow::Result<Self> {
        let device: Device = interfuse_run::device::open(&args.device)?;
        let opened = folder::open(&args.vae, &device)?;
        Ok(match (&opened.config, &opened.vae) {
            (VaeConfig::VQModel(config), Vae::Vq(_)) => {
                let channels = config.network.in_channels;
                Self::Vq(VqCodec::new(opened, &args.vae, &device)?, channels)
            }
            _ => Self::Kl(VaeCodec::new(opened, &args.vae, &device)?),
        })
    }

    fn channels(&self) -> usize {
        match self {
            Self::Kl(codec) => codec.config().network.in_channels,
            Self::Vq(_, channels) => *channels,
        }
    }

    fn encode(&self, image: Image) -> anyhow::Result<LatentFile> {
        let pixels = image.to_unit_range();
        Ok(match self {
            Self::Kl(codec) => LatentFile::Posterior(codec.posterior(pixels)?),
            Self::Vq(codec, _) => LatentFile::Codes(codec.ids(&pixels)?),
        })
    }

    fn decode(&self, latents: LatentFile) -> anyhow::Result<Array3<f32>> {
        match (self, latents) {
            (Self::Kl(codec), LatentFile::Posterior(posterior)) => Ok(codec.decode_unscaled(&posterior.mean)?),
            (Self::Vq(codec, _), LatentFile::Codes(ids)) => Ok(codec.image(&ids)?),
            (Self::Kl(_), _) => bail!("expected latents with a tensor `mean`, found codes, which are a VQModel's"),
            (Self::Vq(..), _) => {
                bail!("expected codes with a tensor `ids`, found latents, which are an AutoencoderKL's")
            }
        }
    }
}

/// A file, and its name below the folder that was named.
struct Input {
    path: PathBuf,
    name: PathBuf,
}

impl Input {
    /// The files that were named, and those that `below` finds in the folders that were named.
    fn gather<E: std::error::Error + Send + Sync + 'static>(
        named: &[PathBuf],
        below: impl Fn(&Path) -> Result<Vec<PathBuf>, E>,
    ) -> anyhow::Result<Vec<Self>> {
        let mut inputs = Vec::new();
        for path in named {
            if path.is_dir() {
                inputs.extend(below(path)?.into_iter().map(|name| Self { path: path.join(&name), name }));
            } else {
                let name = path.file_name().map(PathBuf::from).unwrap_or_default();
                inputs.push(Self { path: path.clone(), name });
            }
        }
        ensure!(!inputs.is_empty(), "found no file to work on in {}", listed(named));
        Ok(inputs)
    }

    /// Where its result goes.
    fn result(&self, folder: &Path, extension: &str) -> PathBuf {
        folder.join(&self.name).with_extension(extension)
    }

    /// Checks, before anything is written, that no result would replace another one, or a file beside an input.
    fn check_results(inputs: &[Self], folder: &Path, extension: &str) -> anyhow::Result<()> {
        let mut results: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        let beside: BTreeSet<PathBuf> = inputs.iter().filter_map(|input| folder_of(&input.path)).collect();
        for input in inputs {
            let result = input.result(folder, extension);
            if result.exists() && folder_of(&result).is_some_and(|folder| beside.contains(&folder)) {
                bail!(
                    "--out: expected a folder without a file that the result of {} would replace, found {}",
                    input.path.display(),
                    result.display()
                );
            }
            if let Some(other) = results.insert(result.clone(), &input.path) {
                bail!(
                    "expected inputs of different names, found {} and {}, whose results would both be {}; name them \
                     one by one with an --out each",
                    other.display(),
                    input.path.display(),
                    result.display()
                );
            }
        }
        Ok(())
    }

    /// Where its result goes; the folder is made.
    fn output(&self, folder: &Path, extension: &str) -> anyhow::Result<PathBuf> {
        let path = self.result(folder, extension);
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
        }
        Ok(path)
    }
}

/// The folder that a file is in, by its one true path; none where it does not exist.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().ok()
}

/// Several paths in a message.
fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The latents below a folder, as paths below it.
fn latents_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let name = below.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => folders.push(name),
                false if name.extension().is_some_and(|extension| extension == "safetensors") => found.push(name),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// An image at its own size, or brought to a square of `size` pixels a side.
fn open(path: &Path, channels: usize, size: Option<usize>) -> anyhow::Result<Image> {
    let image = Image::open(path, channels)?;
    Ok(match size {
        Some(size) => image.fitted([size, size])?,
        None => image,
    })
}

/// Works on every input; bad ones are skipped, counted and reported.
///
/// # Errors
/// When all are bad.
fn run(inputs: &[Input], done: &'static str, mut work: impl FnMut(&Input) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut terminal = Terminal::default();
    let mut bad = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        if let Err(error) = work(input) {
            bad.push(format!("{}: {}", input.path.display(), sentence(error.as_ref())));
        }
        terminal.progress(done, index + 1, inputs.len());
    }
    drop(terminal);
    if bad.len() == inputs.len() {
        bail!("{}", bad.swap_remove(0));
    }
    for reason in bad.iter().take(8) {
        say!("skipped {reason}");
    }
    say!("{done} {} of {} files", inputs.len() - bad.len(), inputs.len());
    Ok(())
}
