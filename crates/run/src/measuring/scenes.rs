//! The procedural shapes are measured exactly: which attributes of the scene that a prompt names are on the generated image,
//! and which does a caption name? Scenes that training has not seen are measured apart from those that it has.

use std::collections::HashSet;

use interfuse_checkpoint::Pretrained;
use interfuse_data::shapes::{Jitter, Scene, render};
use interfuse_data::{Image, Source, evenly};
use interfuse_evaluation::shapes::{Judged, SceneReader, SceneScore};
use interfuse_sampling::{ImageRequest, SamplingConfig, caption};
use serde_json::json;

use super::generated::{Generated, PromptScores, generate_all};
use super::report::Report;
use crate::error::Result;
use crate::observer::RunObserver;

/// Captions that are looked at.
const LOOKED_AT: usize = 1000;

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
    observer: &mut dyn RunObserver,
) -> Result<Measured> {
    let [_, height, width] = pretrained.card.image_shape;
    let half = |held_out: bool| -> Vec<Scene> {
        let all: Vec<Scene> = Scene::all().filter(|scene| scene.is_held_out() == held_out).collect();
        // 61 has no divisor in common with the number of scenes, so that they come well mixed.
        (0..count.max(2) / 2).map(|index| all[(index * 61) % all.len()]).collect()
    };
    let wanted: Vec<Scene> = [half(false), half(true)].concat();
    let requests = wanted.iter().enumerate();
    let requests = requests.map(|(i, scene)| ImageRequest::new(scene.caption(), seed.wrapping_add(i as u64))).collect();
    let mut generated = generate_all(pretrained, requests, sampling, observer)?;

    let reader = SceneReader::new([height, width]);
    let on_images: Vec<Judged> = wanted
        .iter()
        .zip(&generated.images)
        .map(|(&scene, image)| Ok(Judged::image(scene, reader.read(image.pixels())?)))
        .collect::<Result<_>>()?;

    let rendered: Vec<Image> = wanted
        .iter()
        .enumerate()
        .map(|(i, &scene)| Image::new(render(scene, [height, width], Jitter::of(seed.wrapping_add(i as u64)))))
        .collect::<Result<_, _>>()?;
    let mut progress = |done| observer.progress("images captioned", done, rendered.len());
    let written = caption(pretrained, &rendered, sampling, &mut progress)?;
    let written = super::generated::texts(written, observer);
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

impl Measured {
    pub(super) fn report(&self, pretrained: &Pretrained) -> Report {
        let mut report = Report::default();
        report.heading(pretrained.card.step);
        for (kind, scores) in [("seen", &self.seen), ("held-out", &self.held_out)] {
            for (what, score) in [("generated", &scores.generated), ("captioned", &scores.written)] {
                report.fraction(format!("{kind} scenes {what} right"), &score.all, Some(score.chance_of_all));
                for (attribute, fraction, chance) in &score.attributes {
                    report.fraction(format!("  {attribute}"), fraction, Some(*chance));
                }
            }
        }
        report.note(self.generated.summary());
        let of = |scores: &Scores| json!({ "generated": scores.generated, "captioned": scores.written });
        report.value = super::base(&self.generated, pretrained);
        report.value["seen_scenes"] = of(&self.seen);
        report.value["held_out_scenes"] = of(&self.held_out);
        report
    }
}

/// Whether captions are those of scenes, each of a whole one, and images have the colours to tell them by. Of many, some
/// are looked at.
pub(super) fn are_named(source: &dyn Source) -> bool {
    let known: HashSet<String> = Scene::all().map(Scene::caption).collect();
    source.shape().channels == 3
        && evenly(LOOKED_AT, source.len()).all(|index| {
            source.captions(index).is_ok_and(|captions| captions.iter().all(|caption| known.contains(caption)))
        })
}

#[cfg(test)]
mod tests {
    use interfuse_data::{DataConfig, SourceConfig};

    #[test]
    fn scenes_are_known_by_their_captions_alone() {
        let open = |source: &str| {
            let source: SourceConfig = toml::from_str(source).unwrap();
            let config = DataConfig { image_size: [16, 16], source, ..DataConfig::default() };
            interfuse_data::open(&config).unwrap().train
        };
        assert!(super::are_named(&*open("kind = 'shapes'\nimages = 9")));
        assert!(!super::are_named(&*open("kind = 'emoji'\ngroups = ['activities']")));
    }
}
