//! Language models of transformers as the text part: their logits, what is grown and copied, what stays frozen, and back.
//!
//! `generate.py` made the folders beside this file.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_checkpoint::{LanguageModel, ModelCard, OtherParts, Pretrained, language_model};
use interfuse_data::Tokenizer;
use interfuse_kernels::WeightInit;
use interfuse_mot::CacheUse;
use interfuse_parameters::{export_weights, read_tensors};
use interfuse_sequence::{Batch, LayoutBuilder, RowShape, Sample, Segment};
use interfuse_tests::run::{Run, model_card};
use interfuse_tests::{TEXT, mot_config, values};
use interfuse_trainer::{Learner as _, OptimizerConfig, PartOptimizerConfig, freeze};
use interfuse_transfusion::{LaneInput, ModalityConfig, ModelConfig, ModelInput, Transfusion};
use serde_json::Value;

const FOLDERS: [&str; 5] = ["llama", "llama3-tied", "qwen2-shards", "qwen3", "llama-bf16"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language_model").join(name)
}

/// Mixture-of-Transformers whose text part is a language model, with `more` ids in its vocabulary.
fn config_of(language_model: &LanguageModel, more: usize) -> ModelConfig {
    let mut config = mot_config();
    config.backbone = language_model.backbone.clone();
    if let Some(ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
        text.vocab_size = language_model.vocab_size + more;
        text.tied_head = language_model.tied_head;
    }
    config
}

fn started(name: &str, more: usize, others: OtherParts) -> (Transfusion, ModelConfig) {
    let language_model = LanguageModel::open(&folder(name)).unwrap();
    let config = config_of(&language_model, more);
    let blank = Transfusion::new(&config, &mut WeightInit::new(5, &Device::flex())).unwrap();
    (language_model.into_model(blank, &config, "text", others).unwrap(), config)
}

/// Logits after every id of a text. `[S · V]`
fn logits(model: &Transfusion, config: &ModelConfig, ids: &[u32]) -> Vec<f32> {
    let mut builder = LayoutBuilder::new(config.sequence_format());
    let shape = RowShape { capacity: vec![0, ids.len()] };
    builder.push_sample(&Sample { id: 0, segments: vec![Segment::tokens(TEXT, ids.to_vec())] }, &shape).unwrap();
    let device = Device::flex();
    let batch = Batch::new(&[builder.finish(&shape)], &device);
    let geometry = batch.lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.geometry.clone())).collect();
    let rows: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let data = burn::tensor::TensorData::new(rows, [1, ids.len()]);
    let mut lanes: Vec<Option<LaneInput>> = batch.lanes.iter().map(|_| None).collect();
    lanes[TEXT] = Some(LaneInput::NextToken(burn::tensor::Tensor::from_data(data, &device)));
    values(model.forward(ModelInput { lanes, geometry, dropout: None }, CacheUse::None).logits(TEXT).unwrap())
}

/// What transformers gave.
fn expected(name: &str) -> (Vec<u32>, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(folder(name).join("logits.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    (serde_json::from_value(value["ids"].clone()).unwrap(), serde_json::from_value(value["logits"].clone()).unwrap())
}

#[test]
fn logits_are_those_of_transformers() {
    for name in FOLDERS {
        let (ids, right) = expected(name);
        for more in [0, 5] {
            let (model, config) = started(name, more, OtherParts::Fresh);
            let found = logits(&model, &config, &ids);
            let width = right[0].len() + more;
            let rows = found.chunks(width).zip(&right);
            let gap = rows.flat_map(|(found, right)| found.iter().zip(right).map(|(a, b)| (f64::from(*a) - b).abs()));
            let gap = gap.fold(0.0, f64::max);
            assert!(gap < 1e-4, "{name}, {more} more ids: {gap}");
        }
    }
}

#[test]
fn other_parts_start_from_the_language_model_or_fresh() {
    let of = |others| {
        let (model, _) = started("qwen2-shards", 3, others);
        let weights = export_weights(&model);
        let part = |part: &str, field: &str| weights[&format!("backbone.layers.1.parts.{part}.{field}")].values.clone();
        ["query.weight", "key.bias", "feed_forward.down.weight", "attention_norm.weight"]
            .map(|field| part("text", field) == part("image", field))
    };
    assert_eq!(of(OtherParts::Copy), [true; 4]);
    assert_eq!(of(OtherParts::Fresh), [false; 4]);
    // Ids that the language model does not know are as large as those that it knows.
    let (model, _) = started("llama", 8, OtherParts::Copy);
    let embedding = export_weights(&model).remove("towers.text.embedding").unwrap();
    let deviation = |rows: &[f32]| (rows.iter().map(|x| x * x).sum::<f32>() / rows.len() as f32).sqrt();
    let (known, grown) = embedding.values.split_at(72 * 24);
    let ratio = deviation(grown) / deviation(known);
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

#[test]
fn what_goes_out_comes_back_in() {
    for name in FOLDERS {
        let (model, config) = started(name, 0, OtherParts::Fresh);
        let tokenizer = Tokenizer::load_with_markers(&folder(name).join("tokenizer.json")).unwrap();
        let card = ModelCard { ..model_card(&config, &tokenizer, [2, 4, 6]) };
        let codec = interfuse_vae::CodecConfig::Pixels.open(3, &Device::flex()).unwrap();
        let pretrained =
            Pretrained { card, model, tokenizer, codec: Arc::clone(&codec), units: None, device: Device::flex() };
        let out = tempfile::tempdir().unwrap();
        let written = out.path().join("exported");
        language_model::export(&pretrained, &written).unwrap();
        let again = LanguageModel::open(&written).unwrap();
        let blank = Transfusion::new(&config, &mut WeightInit::new(9, &Device::flex())).unwrap();
        let again = again.into_model(blank, &config, "text", OtherParts::Fresh).unwrap();
        let (ids, _) = expected(name);
        assert_eq!(logits(&again, &config, &ids), logits(&pretrained.model, &config, &ids), "{name}");
        // The tensors are those of the family, by name.
        let theirs = read_tensors(&written.join("model.safetensors")).unwrap();
        assert!(theirs.contains_key("model.layers.1.mlp.gate_proj.weight"), "{:?}", theirs.keys());
        let text = std::fs::read_to_string(written.join("tokenizer_config.json")).unwrap();
        let markers: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((markers["bos_token"].as_str(), markers["eos_token"].as_str()), (Some("<s>"), Some("</s>")));
        assert_eq!(
            theirs.contains_key("lm_head.weight"),
            name == "llama" || name == "qwen2-shards" || name == "llama-bf16"
        );
    }
}

#[test]
fn markers_of_images_are_added_to_a_tokenizer_that_has_none() {
    let path = folder("llama").join("tokenizer.json");
    assert!(Tokenizer::load(&path).unwrap_err().to_string().contains("boi"));
    let tokenizer = Tokenizer::load_with_markers(&path).unwrap();
    let special = tokenizer.special();
    assert_eq!((special.boi as usize + 2, special.eoi as usize + 1), (tokenizer.vocab_size(), tokenizer.vocab_size()));
}

#[test]
fn a_model_of_other_sizes_is_refused_with_the_sizes_that_it_needs() {
    let language_model = LanguageModel::open(&folder("qwen3")).unwrap();
    let message = language_model.check(&mot_config(), "text").unwrap_err().to_string();
    for part in ["d_model = 24 (found 16)", "head_dim = 16", "qk_norm = true", "tied_head = true", "72"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let broken = tempfile::tempdir().unwrap();
    let copy = |file: &str| std::fs::copy(folder("qwen2-shards").join(file), broken.path().join(file)).unwrap();
    let write = |text: &str| std::fs::write(broken.path().join("config.json"), text).unwrap();
    let open = || LanguageModel::open(broken.path()).err().unwrap().to_string();
    write("{\"model_type\": \"gpt2\"}");
    assert!(open().contains("one of llama") && open().contains("gpt2"), "{}", open());
    write("{\"model_type\": \"llama\"}");
    assert!(open().contains("hidden_size"), "{}", open());
    copy("config.json");
    assert!(open().contains("model.safetensors"), "{}", open());
    copy("model.safetensors.index.json");
    assert!(open().contains("00001-of"), "a shard is missing: {}", open());
}

#[test]
fn a_frozen_part_stays_as_it_is_to_the_bit_and_keeps_nothing() {
    let mut run = Run::new();
    let frozen = PartOptimizerConfig { frozen: true, ..Default::default() };
    run.optimizer = OptimizerConfig { parts: [("text".to_string(), frozen)].into(), ..run.optimizer.clone() };
    let mut trainer = run.trainer(Default::default());
    trainer.model = freeze(trainer.model.clone(), &run.optimizer).unwrap();
    trainer.ema = interfuse_trainer::optimization::Ema::learned(&trainer.model);
    let before = export_weights(&trainer.plain_model());
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    let after = export_weights(&trainer.plain_model());
    let changed: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert!(!changed.is_empty() && changed.iter().all(|name| !name.contains("text")), "{changed:?}");
    assert!(trainer.optimizer.moments.keys().chain(trainer.ema.averages.keys()).all(|name| !name.contains("text")));
    assert_eq!(export_weights(&trainer.ema_model()).keys().count(), before.len(), "the average is a whole model");

    let unknown =
        OptimizerConfig { parts: [("txt".to_string(), PartOptimizerConfig::default())].into(), ..run.optimizer };
    let message = freeze(trainer.model.clone(), &unknown).err().unwrap().to_string();
    assert!(message.contains("optimizer.parts.txt") && message.contains("image, text"), "{message}");
}
