//! The procedural shapes are measured exactly: which attributes of the scene that a prompt names are on the generated image,
//! and which does a caption name? Scenes that training has not seen are measured apart from those that it has.

use interfuse_data::Image;
use interfuse_data::shapes::{Jitter, Scene, render};
use interfuse_evaluation::shapes::{Judged, SceneReader, SceneScore};
use interfuse_sampling::{ImageRequest, Pretrained, SamplingConfig, caption};
use serde_json::{Value, json};

use super::generated::{Generated, PromptScores, generate_all};
use super::row;
use crate::progress::counting_bar;

/// What was generated, written and found.
pub(super) struct Measured {
    pub(super) generated: Generated,
    seen: Scores,
    held_out: Scores,
}

/// Of scenes of one kind.
struct Scores {
    generated: SceneScore,
    written: SceneScore,
}

/// Draws `count` scenes, as many of those that training saw as of those that it did not, and captions as many.
pub(super) fn measure(
    pretrained: &Pretrained,
    sampling: &SamplingConfig,
    (count, seed): (usize, u64),
) -> anyhow::Result<Measured> {
    let [_, height, width] = pretrained.card.image_shape;
    let half = |held_out: bool| -> Vec<Scene> {
        let all: Vec<Scene> = Scene::all().filter(|scene| scene.is_held_out() == held_out).collect();
        // 61 has no divisor in common with the number of scenes, so that they come well mixed.
        (0..count.max(2) / 2).map(|index| all[(index * 61) % all.len()]).collect()
    };
    let wanted: Vec<Scene> = [half(false), half(true)].concat();
    let requests = wanted.iter().enumerate();
    let requests = requests
        .map(|(i, scene)| ImageRequest { prompt: scene.caption(), seed: seed.wrapping_add(i as u64) })
        .collect();
    let mut generated = generate_all(pretrained, requests, sampling)?;

    let reader = SceneReader::new([height, width]);
    let on_images: Vec<Judged> = wanted
        .iter()
        .zip(&generated.images)
        .map(|(&scene, image)| Ok(Judged::image(scene, reader.read(image.pixels())?)))
        .collect::<anyhow::Result<_>>()?;

    let rendered: Vec<Image> = wanted
        .iter()
        .enumerate()
        .map(|(i, &scene)| Image::new(render(scene, [height, width], Jitter::of(seed.wrapping_add(i as u64)))))
        .collect::<Result<_, _>>()?;
    let bar = counting_bar("images captioned", rendered.len());
    let written = caption(pretrained, &rendered, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let written = super::texts(written);
    let in_captions: Vec<Judged> =
        wanted.iter().zip(&written).map(|(&scene, text)| Judged::caption(scene, text)).collect();

    let right = on_images.iter().map(|judged| judged.count_right() as f64).collect();
    generated.scores = Some(PromptScores { what: "attributes that are right, of five", values: right });

    let middle = wanted.len() / 2;
    let scores = |range: std::ops::Range<usize>| Scores {
        generated: SceneScore::of(&on_images[range.clone()]),
        written: SceneScore::of(&in_captions[range]),
    };
    Ok(Measured { seen: scores(0..middle), held_out: scores(middle..wanted.len()), generated })
}

/// Prints a table and returns it.
pub(super) fn report(measured: &Measured, pretrained: &Pretrained) -> anyhow::Result<Value> {
    super::heading(pretrained.card.step);
    for (kind, scores) in [("seen", &measured.seen), ("held-out", &measured.held_out)] {
        for (what, score) in [("generated", &scores.generated), ("captioned", &scores.written)] {
            row(&format!("{kind} scenes {what} right"), &score.all, Some(100.0 * score.chance_of_all));
            for (attribute, fraction, chance) in &score.attributes {
                row(&format!("  {attribute}"), fraction, Some(100.0 * chance));
            }
        }
    }
    println!("{}", measured.generated.summary());
    let of = |scores: &Scores| json!({ "generated": scores.generated, "captioned": scores.written });
    Ok(json!({
        "step": pretrained.card.step,
        "generated": measured.generated.report(),
        "seen_scenes": of(&measured.seen),
        "held_out_scenes": of(&measured.held_out),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}
