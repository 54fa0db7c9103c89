//! Speech as a modality: from clips to a model that understands and speaks, by configuration alone, alone or beside images.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use interfuse_checkpoint::Pretrained;
use interfuse_data::mixture::SpeechSet;
use interfuse_data::{Image, Split};
use interfuse_run::training::pretrained;
use interfuse_run::{Plan, Run, Settings};
use interfuse_sampling::{
    ImageRequest, Piece, SamplingConfig, SpeechPrompt, SpeechRequest, generate, sound, speak, transcribe, units_of,
    write,
};
use interfuse_speech::audio::{Audio, read, write_wav};
use interfuse_speech::units::{UnitConfig, UnitTraining, train};
use ndarray::Array3;

/// Words, and the pitch that each is said at.
const WORDS: [(&str, f32); 4] = [("low", 300.0), ("mid", 700.0), ("high", 1500.0), ("top", 3000.0)];
/// Samples a second.
const RATE: u32 = 8000;

/// Every pair of words as a clip beside its text, and as an image of two stripes.
fn corpus(folder: &Path) -> Vec<String> {
    let clips = folder.join("clips");
    std::fs::create_dir_all(&clips).unwrap();
    std::fs::create_dir_all(folder.join("images")).unwrap();
    let mut texts = vec![];
    for (i, (first, low)) in WORDS.iter().enumerate() {
        for (j, (second, high)) in WORDS.iter().enumerate() {
            let samples = [low, high].into_iter().flat_map(|pitch| {
                (0..RATE / 4).map(move |n| 0.5 * (n as f32 / RATE as f32 * pitch * std::f32::consts::TAU).sin())
            });
            let name = format!("{i}{j}");
            write_wav(&clips.join(format!("{name}.wav")), &Audio { samples: samples.collect(), rate: RATE }).unwrap();
            let text = format!("{first} {second}");
            std::fs::write(clips.join(format!("{name}.txt")), &text).unwrap();
            let stripes = Array3::from_shape_fn((3, 8, 8), |(_, y, _)| if y < 4 { 80 * i as u8 } else { 80 * j as u8 });
            Image::new(stripes).unwrap().save_png(&folder.join(format!("images/{name}.png"))).unwrap();
            std::fs::write(folder.join(format!("images/{name}.txt")), &text).unwrap();
            texts.push(text);
        }
    }
    texts
}

/// A codec of these clips.
fn learn_units(folder: &Path) {
    let source = format!("source = {{ kind = 'folder', path = {:?} }}", folder.join("clips"));
    #[derive(serde::Deserialize)]
    struct Named {
        source: interfuse_speech::clips::ClipSource,
    }
    let clips = toml::from_str::<Named>(&source).unwrap().source.open().unwrap();
    let config = UnitConfig { units: 10, sample_rate: RATE, ..Default::default() };
    let (codec, _) = train(&config, &UnitTraining::default(), &clips, &mut |_, _| {}).unwrap();
    codec.save(&folder.join("units.safetensors")).unwrap();
}

/// A run on speech, with images beside it or without.
fn settings(folder: &Path, with_images: bool, steps: usize) -> Settings {
    let voices = format!(
        "[[data.mixture]]\nname = 'voices'\n[data.mixture.content]\nkind = 'speech'\nheld_out = 0.2\n\
         units = {:?}\nclips = {{ kind = 'folder', path = {:?} }}\n",
        folder.join("units.safetensors"),
        folder.join("clips")
    );
    let (partition, images) = match with_images {
        false => ("[['text', 'speech']]", String::new()),
        true => (
            "[['text'], ['image'], ['speech']]",
            "[model.modalities.image]\nobjective = 'denoise'\npatch_size = 4\n".into(),
        ),
    };
    let images_part =
        if with_images { "[[data.mixture]]\nname = 'stripes'\ncontent = { kind = 'images' }\n" } else { "" };
    let text = format!(
        "run = {{ dir = {:?}, device = 'cpu', seed = 3 }}\ntokenizer = {{ vocab_size = 270 }}\n\
         [data]\nimage_size = [8, 8]\nsource = {{ kind = 'folder', path = {:?}, held_out = 0.2 }}\n{voices}{images_part}\
         [model]\npartition = {partition}\nbackbone = {{ d_model = 48, n_layers = 2, n_heads = 2, d_ff = 96, qk_norm = true }}\n\
         [model.modalities.text]\nobjective = 'next_token'\n\
         [model.modalities.speech]\nobjective = 'next_token'\nvocabulary = 'text'\n{images}\
         [optimizer]\nlearning_rate = 5e-3\nwarmup_steps = 10\nema_decay = 0.9\n\
         [train]\nsteps = {steps}\nbatch_size = 16\n\
         [intervals]\nvalidation = 10\npreview = 0\ncheckpoint = 1000\n[validation]\nimages = 8\n",
        folder.join("run"),
        folder.join("images"),
    );
    Settings::parse(&text, Path::new("speech.toml"), &[]).unwrap()
}

fn trained(folder: &Path, with_images: bool, steps: usize) -> (Run, Pretrained) {
    let mut run = Run::begin(settings(folder, with_images, steps)).unwrap();
    run.train(&mut (), &AtomicBool::new(false)).unwrap();
    let model = pretrained(&run.plan, &run.trainer);
    (run, model)
}

fn greedy() -> SamplingConfig {
    SamplingConfig { unit_temperature: 0.0, ..Default::default() }
}

/// The units and texts of what a run trains on.
fn utterances(run: &Run) -> (Vec<Vec<u32>>, Vec<String>) {
    let set: &SpeechSet = run.plan.data.speech().next().unwrap().1;
    set.train.iter().map(|each| (each.units.clone(), each.text.clone().unwrap())).unzip()
}

#[test]
fn a_model_learns_to_understand_and_to_speak() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    learn_units(folder.path());
    let (run, model) = trained(folder.path(), false, 200);
    let (units, texts) = utterances(&run);
    assert!(units.len() < 16, "some texts are held out");

    let heard = transcribe(&model, &units, &greedy(), &mut |_| {}).unwrap();
    let right = heard.iter().zip(&texts).filter(|(heard, text)| heard.text == **text).count();
    assert!(right + 1 >= texts.len(), "{right} of {} transcripts are right", texts.len());

    let request =
        |(seed, text): (usize, &String)| SpeechRequest { prompt: SpeechPrompt::Text(text.clone()), seed: seed as u64 };
    let requests: Vec<SpeechRequest> = texts.iter().enumerate().map(request).collect();
    let said = speak(&model, &requests, &greedy(), &mut |_| {}).unwrap();
    let same = said.iter().zip(&units).filter(|(said, units)| said.units == **units && said.cut_at.is_none()).count();
    let pairs: Vec<_> = said.iter().map(|said| &said.units).zip(&units).collect();
    assert!(same + 1 >= units.len(), "{same} of {} sentences sound as they were recorded: {pairs:?}", units.len());

    // Sound of units becomes units again, of a file as of memory.
    let clip = sound(&model, &said[0].units, 0).unwrap();
    assert!(clip.seconds() > 0.1 && !clip.is_silent());
    let first = &run.plan.data.speech().next().unwrap().1.train[0].name;
    let recorded = read(&folder.path().join("clips").join(first)).unwrap();
    assert_eq!(units_of(&model, recorded).unwrap(), units[0], "the codec in the model is that of the data");
}

#[test]
fn speech_does_not_depend_on_the_batch_nor_on_where_it_was_read_from() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    learn_units(folder.path());
    // A few steps, so that sentences differ in length and nothing is certain.
    let (run, model) = trained(folder.path(), false, 12);
    let (units, texts) = utterances(&run);
    let sampling = SamplingConfig { unit_temperature: 1.0, max_units: Some(12), ..Default::default() };
    let mut requests: Vec<SpeechRequest> =
        (0..4).map(|k| SpeechRequest { prompt: SpeechPrompt::Text(texts[k].clone()), seed: 7 + k as u64 }).collect();
    requests.push(SpeechRequest { prompt: SpeechPrompt::Units(units[0][..2].to_vec()), seed: 1 });
    requests.push(SpeechRequest { prompt: SpeechPrompt::Units(vec![]), seed: 2 });
    let together = speak(&model, &requests, &sampling, &mut |_| {}).unwrap();
    for (request, expected) in requests.iter().zip(&together) {
        let alone = speak(&model, std::slice::from_ref(request), &sampling, &mut |_| {}).unwrap();
        assert_eq!(alone[0], *expected, "{request:?}");
    }
    // What the model says by itself is what it says after having read half of it at once.
    let anything = SpeechRequest { prompt: SpeechPrompt::Units(vec![]), seed: 0 };
    let config = SamplingConfig { max_units: Some(10), ..greedy() };
    let whole = speak(&model, std::slice::from_ref(&anything), &config, &mut |_| {}).unwrap().remove(0);
    if whole.units.len() >= 2 {
        let (before, after) = whole.units.split_at(whole.units.len() / 2);
        let rest = SpeechRequest { prompt: SpeechPrompt::Units(before.to_vec()), seed: 0 };
        let config = SamplingConfig { max_units: Some(after.len()), ..config };
        assert_eq!(speak(&model, &[rest], &config, &mut |_| {}).unwrap()[0].units, after);
    }
    let alone: Vec<String> = units
        .iter()
        .map(|units| transcribe(&model, std::slice::from_ref(units), &sampling, &mut |_| {}).unwrap().remove(0).text)
        .collect();
    let together = transcribe(&model, &units, &sampling, &mut |_| {}).unwrap();
    assert_eq!(together.into_iter().map(|each| each.text).collect::<Vec<_>>(), alone);
}

#[test]
fn images_and_speech_are_learned_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    learn_units(folder.path());
    let (run, model) = trained(folder.path(), true, 10);
    let metrics = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    for key in [
        "held_out/text_loss",
        "held_out/text_given_image_loss",
        "held_out/image_loss",
        "held_out/voices.text_loss",
        "held_out/voices.speech_given_text_loss",
        "held_out/voices.speech_loss",
        "held_out/voices.text_given_speech_loss",
        "speech_loss",
    ] {
        assert!(
            metrics.contains(&format!("\"{key}\"")) || metrics.contains(&format!("train/{key}")),
            "{key}: {metrics}"
        );
    }
    let last = metrics.lines().last().unwrap();
    assert!(!last.contains("null"), "every loss is a number: {last}");
    // Half of the documents have images, and sequences hold both kinds.
    let fill = run.plan.fill(64).unwrap();
    assert!(fill.iter().all(|fill| *fill > 0.6), "{fill:?} of {:?}", run.plan.shape);

    let config = SamplingConfig { steps: 2, max_units: Some(6), max_tokens: 8, ..Default::default() };
    let images = generate(&model, &[ImageRequest::new("low top", 0)], &config, &mut |_| {}).unwrap();
    assert_eq!(images.len(), 1);
    let seeds: Vec<u64> = (0..6).collect();
    let documents = write(&model, &seeds, &config).unwrap();
    for (seed, document) in seeds.iter().zip(&documents) {
        assert_eq!(write(&model, &[*seed], &config).unwrap()[0], *document, "free writing in a batch is as alone");
        for piece in document {
            if let Piece::Speech(units) = piece {
                assert!(units.len() <= 6 && units.iter().all(|unit| *unit < 10));
            }
        }
    }

    // What is saved speaks as what was trained, wherever the codec lies.
    std::fs::remove_file(folder.path().join("units.safetensors")).unwrap();
    let saved = interfuse_run::LoadedRun::open(&folder.path().join("run"), true, "cpu").unwrap().pretrained;
    let request = [SpeechRequest { prompt: SpeechPrompt::Text("mid high".into()), seed: 5 }];
    let said = |model: &Pretrained| speak(model, &request, &config, &mut |_| {}).unwrap();
    assert_eq!(said(&saved), said(&model));
    assert!(saved.units.is_some());
}

#[test]
fn what_a_model_was_not_trained_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    learn_units(folder.path());
    let (run, model) = trained(folder.path(), false, 1);
    let message = generate(&model, &[ImageRequest::new("low", 0)], &greedy(), &mut |_| {});
    assert!(message.unwrap_err().to_string().contains("without images"));
    let unknown = transcribe(&model, &[vec![3, 10]], &greedy(), &mut |_| {}).unwrap_err().to_string();
    assert!(unknown.contains("from 0 to 9") && unknown.contains("10"), "{unknown}");
    assert!(run.plan.images().err().unwrap().to_string().contains("images"));
    assert!(run.plan.documents(Split::Train).unwrap().is_none());
    assert!(matches!(model.device, Device { .. }));
}

#[test]
fn modalities_without_data_and_data_without_a_modality_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    learn_units(folder.path());
    let refused = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(folder.path(), true, 1);
        change(&mut settings);
        Plan::new(settings).err().map(|error| interfuse_run::sentence(&error)).unwrap_or_default()
    };
    let message = refused(&|settings| settings.data.mixture.retain(|part| part.is_images()));
    assert!(message.contains("model.modalities.speech") && message.contains("data"), "{message}");
    let message = refused(&|settings| settings.data.mixture.retain(|part| !part.is_images()));
    assert!(message.contains("model.modalities.image"), "{message}");
    let message = refused(&|settings| {
        settings.model.modalities.remove("speech");
        settings.model.partition.retain(|part| part != &["speech"]);
    });
    assert!(message.contains("documents.speech") && message.contains("vocabulary"), "{message}");
    let message = refused(&|settings| settings.documents.speech = Some("image".into()));
    assert!(message.contains("documents.speech") && message.contains("image"), "{message}");
}
