//! Against the code of efficientnet-lite-pytorch (`fixture/generate.py`).

use interfuse_parameters::read_tensors;

use super::*;
use crate::features::formula_fixture::{formula_picture, formula_weights, relative_gap};

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
    let gap = relative_gap(&network.features(&[formula_picture([300, 260])]).unwrap(), &expected()["formula"]);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
#[ignore = "needs efficientnet-lite0-57934424.pth, named by INTERFUSE_EFFICIENTNET or in PyTorch's cache"]
fn features_of_the_published_weights_are_those_of_the_package() {
    let network = EfficientNet::load(None, false, &Device::flex()).unwrap();
    let gap = relative_gap(&network.features(&[formula_picture([300, 260])]).unwrap(), &expected()["published"]);
    assert!(gap < 1e-4, "{gap}");
    assert_eq!(
        network.classes(&[formula_picture([300, 260])]).unwrap(),
        [expected()["published_class"].values[0] as usize]
    );
}
