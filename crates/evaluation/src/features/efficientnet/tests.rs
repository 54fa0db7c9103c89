//! Against the code of efficientnet-lite-pytorch (`fixture/generate.py`).

use interfuse_parameters::read_tensors;

use super::*;
use crate::features::formula_fixture::{formula_image, formula_weights, relative_gap};
use crate::image_set::{ImageSet, NamedImage, SetReport};

/// The layout of the file: names and shapes.
const LAYOUT: &str = include_str!("fixture/names.json");

fn expected() -> HostTensors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/efficientnet/fixture/expected.safetensors");
    read_tensors(Path::new(path)).unwrap().into_iter().collect()
}

#[test]
fn features_are_those_of_the_package() {
    let origin = WeightsOrigin { sha256: "formula".into(), published: false };
    let network = EfficientNet::of(formula_weights(LAYOUT), origin, Path::new("formula"), &Device::flex()).unwrap();
    let gap = relative_gap(&network.features(&[formula_image([300, 260])]).unwrap(), &expected()["formula"]);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
#[ignore = "needs efficientnet-lite0-57934424.pth, named by INTERFUSE_EFFICIENTNET or in PyTorch's cache"]
fn features_of_the_published_weights_are_those_of_the_package() {
    let network = EfficientNet::load(None, false, &Device::flex()).unwrap();
    let gap = relative_gap(&network.features(&[formula_image([300, 260])]).unwrap(), &expected()["published"]);
    assert!(gap < 1e-4, "{gap}");
    assert_eq!(
        network.classes(&[formula_image([300, 260])]).unwrap(),
        [expected()["published_class"].values[0] as usize]
    );
}

/// By what is on them rather than by another program: the wrong order of channels, say, would pass every test of parity.
#[test]
#[ignore = "needs efficientnet-lite0-57934424.pth, named by INTERFUSE_EFFICIENTNET or in PyTorch's cache"]
fn photographs_are_of_what_they_show() {
    let network = EfficientNet::load(None, false, &Device::flex()).unwrap();
    let photographs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features/efficientnet/fixture/photographs");
    let mut seen = vec![];
    let mut classify = |batch: Vec<NamedImage>, _: &SetReport| {
        let (names, pixels): (Vec<_>, Vec<_>) = batch.into_iter().map(|image| (image.name, image.pixels)).unzip();
        seen.extend(names.into_iter().zip(network.classes(&pixels)?));
        Ok(())
    };
    ImageSet::open(&photographs).unwrap().for_each_batch(8, &mut classify).unwrap();
    let class_of = |name: &str| seen.iter().find(|(seen, _)| seen == name).map(|(_, class)| *class);
    // One of ImageNet's five kinds of house cat: which of the striped ones it is, the network hardly knows.
    assert!(class_of("cat.jpg").is_some_and(|class| (281..=285).contains(&class)), "{seen:?}");
    // "espresso"
    assert_eq!(class_of("coffee.jpg"), Some(967));
}
