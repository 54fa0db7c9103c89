//! Conversations: from one's own edits and questions to a model that edits and answers, by configuration alone.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::CacheUse;
use interfuse_run::training::pretrained;
use interfuse_run::{Plan, Run, Settings};
use interfuse_sampling::{EditRequest, Exchange, Question, SamplingConfig, answer, edit};
use interfuse_sequence::{LatentImage, LayoutBuilder, RowShape, Sample, Segment};
use interfuse_transfusion::TrainBatch;
use ndarray::Array3;
use serde_json::json;

/// Grey levels and their names.
const LEVELS: [(&str, u8); 4] = [("black", 20), ("dark", 90), ("light", 160), ("white", 235)];

fn plain(level: u8) -> Image {
    Image::new(Array3::from_elem((1, 4, 4), level)).unwrap()
}

/// Every level as an image, every change from one to another as an edit, and a question about each.
fn corpus(folder: &Path) {
    let (mut edits, mut questions) = (vec![], vec![]);
    for (name, level) in LEVELS {
        plain(level).save_png(&folder.join(format!("{name}.png"))).unwrap();
        let turns = json!([{"from": "human", "value": "<image>\nwhat is it?"}, {"from": "gpt", "value": name}]);
        questions.push(json!({ "image": format!("{name}.png"), "conversations": turns }).to_string());
        for (other, _) in LEVELS {
            let images = [name, other].map(|name| format!("{name}.png"));
            let edit = format!("make it {other}");
            edits.push(json!({"original": images[0], "edit": edit, "edited": images[1]}).to_string());
        }
    }
    std::fs::write(folder.join("edits.jsonl"), edits.join("\n")).unwrap();
    std::fs::write(folder.join("questions.jsonl"), questions.join("\n")).unwrap();
}

fn settings(folder: &Path, changes: &[&str]) -> Settings {
    let part = |name: &str, layout: &str| {
        format!(
            "[[data.mixture]]\nname = '{name}'\n[data.mixture.content]\nkind = 'conversations'\n\
             source = {{ kind = 'files', files = [{:?}], layout = {{ kind = '{layout}' }}, images = {folder:?}, held_out = 0.0 }}\n",
            folder.join(format!("{name}.jsonl"))
        )
    };
    let text = format!(
        "run = {{ dir = {:?}, device = 'cpu', seed = 3 }}\ntokenizer = {{ vocab_size = 280 }}\n\
         [data]\nimage_size = [4, 4]\nchannels = 1\n{}{}\
         [model]\npartition = [['text'], ['image']]\n\
         backbone = {{ d_model = 48, n_layers = 2, n_heads = 2, d_ff = 96, qk_norm = true }}\n\
         [model.modalities.text]\nobjective = 'next_token'\n\
         [model.modalities.image]\nobjective = 'denoise'\npatch_size = 2\nprediction = 'clean'\n\
         [objective]\nweights = {{ image = 1.0 }}\n\
         [optimizer]\nlearning_rate = 5e-3\nwarmup_steps = 10\nema_decay = 0.9\n\
         [train]\nsteps = 150\nbatch_size = 16\n\
         [intervals]\nvalidation = 75\npreview = 0\ncheckpoint = 1000\n[validation]\nimages = 8\n",
        folder.join("run"),
        part("edits", "edit"),
        part("questions", "conversation"),
    );
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    Settings::parse(&text, Path::new("conversations.toml"), &changes).unwrap()
}

fn trained(folder: &Path) -> (Run, Pretrained) {
    let mut run = Run::begin(settings(folder, &[])).unwrap();
    run.train(&mut (), &AtomicBool::new(false)).unwrap();
    let model = pretrained(&run.plan, &run.trainer);
    (run, model)
}

fn mean(image: &Image) -> f64 {
    image.pixels().iter().map(|&level| f64::from(level)).sum::<f64>() / image.pixels().len() as f64
}

fn changes() -> Vec<(EditRequest, u8)> {
    let each = LEVELS.iter().flat_map(|&(_, from)| LEVELS.map(|(name, to)| (from, name, to)));
    let request = |(from, name, to): (u8, &str, u8)| {
        (EditRequest { images: vec![plain(from)], instruction: format!("make it {name}"), seed: u64::from(from) }, to)
    };
    each.map(request).collect()
}

fn sampling(guidance: f64, image_guidance: f64) -> SamplingConfig {
    SamplingConfig { steps: 4, guidance, image_guidance, ..SamplingConfig::default() }
}

#[test]
fn a_model_learns_to_edit_and_to_answer_and_does_so_in_a_batch_as_alone() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let (_, model) = trained(folder.path());

    let questions: Vec<Question> =
        LEVELS.iter().map(|(_, level)| Question::new(vec![plain(*level)], "what is it?")).collect();
    let config = sampling(1.0, 1.0);
    let answers = answer(&model, &questions, &config, &mut |_| {}).unwrap();
    let said: Vec<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(said, LEVELS.map(|(name, _)| name));
    let alone = answer(&model, &questions[2..3], &config, &mut |_| {}).unwrap();
    assert_eq!(alone[0], answers[2]);

    let (requests, wanted): (Vec<EditRequest>, Vec<u8>) = changes().into_iter().unzip();
    let edited = edit(&model, &requests, &config, &mut |_| {}).unwrap();
    for ((request, image), level) in requests.iter().zip(&edited).zip(wanted) {
        let found = mean(image);
        assert!((found - f64::from(level)).abs() < 24.0, "{}: {found}, expected {level}", request.instruction);
    }
    for scales in [(1.0, 1.0), (2.0, 1.0), (2.0, 1.5)] {
        let config = sampling(scales.0, scales.1);
        let all = edit(&model, &requests, &config, &mut |_| {}).unwrap();
        let one = edit(&model, &requests[5..6], &config, &mut |_| {}).unwrap();
        let apart = all[5].pixels().iter().zip(one[0].pixels()).map(|(&a, &b)| a.abs_diff(b)).max();
        assert!(apart <= Some(1), "guidance {scales:?}: {apart:?}");
    }
    // Outside its interval there is no guidance at all.
    let never = SamplingConfig { guidance_interval: [0.0, 0.0], ..sampling(5.0, 3.0) };
    let unguided = edit(&model, &requests[5..6], &never, &mut |_| {}).unwrap();
    assert!(unguided[0].pixels().iter().zip(edited[5].pixels()).all(|(&a, &b)| a.abs_diff(b) <= 1));
}

/// The likeliest token behind a question that stands behind another and its answer, as a document of training has them.
fn likeliest_behind(model: &Pretrained, image: &Image, words: &[&str]) -> u32 {
    let special = model.card.special_tokens;
    let config = &model.card.model;
    let lanes = ["image", "text"].map(|name| config.lane(name).unwrap());
    let x_0 = Arc::new(model.codec.encode(image.to_unit_range()).unwrap().mean);
    let mut behind = vec![special.eoi];
    for turn in words {
        behind.extend(model.tokenizer.encode(turn).unwrap());
        behind.push(special.eos);
    }
    let last = behind.len() + 1;
    let segments = vec![
        Segment::tokens(lanes[1], vec![special.bos, special.boi]),
        Segment::image(lanes[0], LatentImage { x_0, precedes_caption: true }).with_given(true),
        Segment::tokens(lanes[1], behind),
    ];
    let sample = Sample { id: 0, segments };
    let format = config.sequence_format();
    let shape = RowShape { capacity: format.rows_of(&sample) };
    let mut builder = LayoutBuilder::new(format);
    builder.push_sample(&sample, &shape).unwrap();
    let key = NoiseKey { seed: 0, step: 0 };
    let batch = TrainBatch::new(&[builder.finish(&shape)], config, key, TimestepChoice::At(0.0), &model.device);
    let logits = model.model.forward(batch.input(), CacheUse::None).logits(lanes[1]).unwrap();
    let [_, _, vocab] = logits.dims();
    let numbers = interfuse_tests::values(logits.slice([0..1, last..last + 1, 0..vocab]));
    (0..vocab as u32).max_by(|&a, &b| numbers[a as usize].total_cmp(&numbers[b as usize])).unwrap()
}

#[test]
fn a_question_is_asked_after_those_that_were_answered() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let plan = Plan::new(settings(folder.path(), &["train.steps=1"])).unwrap();
    let trainer = plan.trainer(Default::default()).unwrap();
    let mut model = pretrained(&plan, &trainer);
    // The corpus has no document of two questions.
    model.card.max_text_rows = 40;
    let config = SamplingConfig { max_caption_tokens: Some(1), ..sampling(1.0, 1.0) };
    let mut found = vec![];
    for (name, level) in LEVELS {
        let asked = ["what is it?", name, "make it"];
        let exchange = Exchange { question: asked[0].into(), answer: asked[1].into() };
        let question = Question::behind(vec![plain(level)], &[exchange], asked[2]);
        let said = answer(&model, &[question], &config, &mut |_| {}).unwrap();
        let expected = likeliest_behind(&model, &plain(level), &asked);
        assert_eq!(said[0].text, model.tokenizer.decode(&[expected]).unwrap().trim(), "{name}");
        found.push(expected);
    }
    let long = Exchange { question: "what is it? ".repeat(40), answer: "dark".into() };
    let question = Question::behind(vec![plain(3)], &[long], "what is it?");
    let refused = answer(&model, &[question], &config, &mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("trained on rows of at most 40") && refused.contains("too many"), "{refused}");
}

#[test]
fn a_resumed_run_on_conversations_is_the_run_that_was_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let of = |dir: &str, steps: usize| {
        let dir = format!("run.dir={:?}", folder.path().join(dir));
        settings(folder.path(), &[&dir, &format!("train.steps={steps}"), "optimizer.schedule=\"constant\""])
    };
    let finished = |mut run: Run| {
        run.train(&mut (), &AtomicBool::new(false)).unwrap();
        interfuse_tests::weights(&run.trainer.model)
    };
    let whole = finished(Run::begin(of("whole", 8)).unwrap());
    finished(Run::begin(of("parted", 4)).unwrap());
    let run = Run::resume(of("parted", 8)).unwrap();
    let changes = &run.resumed.as_ref().unwrap().changes;
    assert!(changes.iter().all(|change| change.contains("train.steps")), "{changes:?}");
    assert_eq!(interfuse_tests::weight_gap(&whole, &finished(run)), 0.0);
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let plan = Plan::new(settings(folder.path(), &["train.steps=1"])).unwrap();
    let trainer = plan.trainer(Default::default()).unwrap();
    let model = pretrained(&plan, &trainer);
    let refused = |images: Vec<Image>, instruction: &str, config: &SamplingConfig| {
        let request = EditRequest { images, instruction: instruction.into(), seed: 0 };
        edit(&model, &[request], config, &mut |_| {}).unwrap_err().to_string()
    };
    let config = sampling(1.0, 1.0);
    let odd = Image::new(Array3::zeros((1, 8, 7))).unwrap();
    assert!(refused(vec![odd], "make it dark", &config).contains("8 × 7 pixels does not fit the model"));
    let coloured = Image::new(Array3::zeros((3, 4, 4))).unwrap();
    assert!(refused(vec![coloured], "make it dark", &config).contains("has 3 channels, but the model takes 1"));
    let long = "make it dark ".repeat(40);
    assert!(refused(vec![plain(3)], &long, &config).contains("trained on rows of at most"));
    let wrong = SamplingConfig { guidance_interval: [0.7, 0.2], ..config };
    assert!(refused(vec![plain(3)], "make it dark", &wrong).contains("sampling.guidance_interval"));
}
