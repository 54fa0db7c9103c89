//! Against transformers and Pillow (`fixture/generate.py`).

use std::collections::BTreeMap;

use interfuse_parameters::HostTensor;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/features/clip/fixture").join(name)
}

fn expected() -> BTreeMap<String, HostTensor> {
    read_tensors(&fixture("expected.safetensors")).unwrap().into_iter().collect()
}

#[derive(serde::Deserialize)]
struct Encoded {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn encoded() -> Encoded {
    serde_json::from_str(include_str!("fixture/ids.json")).unwrap()
}

fn images() -> Vec<Array3<u8>> {
    let image = |[height, width]: [usize; 2]| {
        Array3::from_shape_fn((3, height, width), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
    };
    [[45, 61], [33, 32], [20, 17]].map(image).to_vec()
}

fn gap<'a>(found: impl IntoIterator<Item = &'a f32>, expected: &HostTensor) -> f32 {
    found.into_iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn both_towers_are_those_of_transformers() {
    let expected = expected();
    for name in ["openai", "laion"] {
        let clip = Clip::open(&fixture(name), &Device::flex()).unwrap();
        let texts = clip.embed_texts(&encoded().texts).unwrap();
        let images = clip.embed_images(&images()).unwrap();
        let gaps =
            [gap(&texts, &expected[&format!("{name}.texts")]), gap(&images, &expected[&format!("{name}.images")])];
        assert!(gaps.iter().all(|&gap| gap < 1e-4), "{name}: {gaps:?}");
        let alone = clip.embed_texts(&encoded().texts[..1]).unwrap();
        let same = alone.iter().zip(&texts).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(same && clip.dim() == 12, "padding changes a text");
    }
}

#[test]
fn texts_are_cut_and_padded_as_in_transformers() {
    let config = ClipConfig::read(&fixture("openai")).unwrap();
    let texts = Texts::read(&fixture("openai"), &config.text).unwrap();
    let Encoded { texts: words, ids: expected } = encoded();
    let (ids, ends) = texts.encode(&words).unwrap();
    for ((row, expected), end) in ids.rows().into_iter().zip(&expected).zip(ends) {
        assert_eq!(row.iter().take(expected.len()).copied().collect::<Vec<_>>(), *expected);
        assert_eq!(end, expected.len() - 1);
    }
    assert_eq!(ids.ncols(), 77);
}

#[test]
fn images_are_prepared_as_by_pillow_to_the_grey_level() {
    let expected = expected();
    let preparation = Preparation::read(&fixture("openai"), 32).unwrap();
    for (index, image) in images().iter().enumerate() {
        let levels = preparation.levels(image).unwrap().mapv(f32::from);
        let level_gap = gap(&levels, &expected[&format!("levels.{index}")]);
        assert_eq!(level_gap, 0.0, "image {index}");
        let gap = gap(&preparation.apply(image).unwrap(), &expected[&format!("pixels.{index}")]);
        assert!(gap < 1e-5, "{gap}");
    }
}

#[test]
fn folders_that_are_no_clip_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let message =
        || Clip::open(folder.path(), &Device::flex()).err().map(|error| error.to_string()).unwrap_or_default();
    let copy = |name: &str| std::fs::copy(fixture("openai").join(name), folder.path().join(name)).unwrap();
    assert!(message().contains("config.json"));
    std::fs::write(folder.path().join("config.json"), "{\"model_type\": \"siglip\"}").unwrap();
    assert!(message().contains("siglip"), "{}", message());
    copy("config.json");
    assert!(message().contains("tokenizer.json"), "{}", message());
    copy("tokenizer.json");
    assert!(message().contains("pytorch_model.bin"), "{}", message());
    copy("model.safetensors");
    assert_eq!(message(), "");
    let config = std::fs::read_to_string(fixture("openai").join("config.json")).unwrap();
    let wider = config.replace("\"intermediate_size\": 32", "\"intermediate_size\": 48");
    std::fs::write(folder.path().join("config.json"), wider).unwrap();
    assert!(message().contains("mlp.fc1.weight: expected [48, 16], found [32, 16]"), "{}", message());
}
