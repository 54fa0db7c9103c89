//! The model: equivalences, visibility seen from outside, gradients, and exact counts.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor};
use interfuse_image_tower::{NoiseKey, PredictionTarget, TimestepChoice, TimestepConditioning, UNetConfig};
use interfuse_mot::{CacheUse, NormPlacement};
use interfuse_parameters::{HostTensors, import_weights};
use interfuse_sequence::{PositionScheme, Sample};
use interfuse_tests::*;
use interfuse_transfusion::{
    HybridLoss, ModelConfig, Normalizer, ObjectiveConfig, Predictions, TrainBatch, Transfusion, hybrid_loss,
};
use std::path::Path;

const KEY: NoiseKey = NoiseKey { seed: 5, step: 7 };

fn batch(config: &ModelConfig, sequences: &[Vec<Sample>], device: &Device) -> TrainBatch {
    let shape = row_shape(2, 24);
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(config, samples, &shape)).collect();
    TrainBatch::new(&layouts, config, KEY, TimestepChoice::Sampled, device)
}

fn predict(model: &Transfusion, batch: &TrainBatch) -> Predictions {
    model.forward(batch.input(), CacheUse::None)
}

fn loss(model: &Transfusion, batch: &TrainBatch) -> HybridLoss {
    hybrid_loss(model, &predict(model, batch), batch, &ObjectiveConfig::default(), &Normalizer::of(batch))
}

/// Weights other than those of the start, so that nothing is zero or one by construction.
fn shaken(config: &ModelConfig, seed: u64, device: &Device) -> Transfusion {
    let model = model(config, seed, device);
    let mut tensors = weights(&model);
    for (index, (_, tensor)) in tensors.iter_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    import_weights(model, tensors, Path::new("shaken")).expect("the same names")
}

/// Variants of the architecture that every equivalence must hold for.
fn variants(parts: &[&[&str]]) -> Vec<(&'static str, ModelConfig)> {
    let base = || small_config(parts);
    let change = |f: &dyn Fn(&mut ModelConfig)| {
        let mut config = base();
        f(&mut config);
        config
    };
    vec![
        ("plain", base()),
        ("grouped queries", change(&|c| c.backbone.n_kv_heads = Some(1))),
        (
            "post-norm and qk-norm",
            change(&|c| {
                c.backbone.norm = NormPlacement::Post;
                c.backbone.qk_norm = true;
            }),
        ),
        ("axial", change(&|c| c.positions = PositionScheme::Axial)),
        (
            "adaptive norms",
            change(&|c| {
                let tower = image_tower(c);
                tower.timestep_conditioning = TimestepConditioning::AdaLn;
                tower.prediction = PredictionTarget::Clean;
                tower.patch_overlap = 1;
                tower.learned_positions = true;
            }),
        ),
        ("time added to rows", change(&|c| image_tower(c).timestep_conditioning = TimestepConditioning::Row)),
        ("u-net", change(&|c| image_tower(c).unet = Some(small_unet()))),
    ]
}

/// One size, so that a patch is of 2 × 2 latents.
fn small_unet() -> UNetConfig {
    UNetConfig { widths: vec![4], blocks: 2, groups: 2 }
}

fn mixed_sequences() -> Vec<Vec<Sample>> {
    vec![
        vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])],
        vec![interleaved(3), text_only(4, &[5, 6])],
        vec![text_only(5, &[11, 12, 13])],
    ]
}

/// The weights of the dense model `text+image`, once for each part of a Mixture-of-Transformers.
fn copied_to_parts(dense: &HostTensors) -> HostTensors {
    let mut copies = HostTensors::new();
    for (name, tensor) in dense {
        for part in ["text", "image"] {
            copies.insert(name.replace(".text+image.", &format!(".{part}.")), tensor.clone());
        }
    }
    copies
}

#[test]
fn parts_of_equal_weights_are_the_dense_model() {
    let device = Device::flex();
    let dense_variants = variants(&[&["text", "image"]]);
    let mot_variants = variants(&[&["text"], &["image"]]);
    for ((name, dense_config), (_, mut mot_config)) in dense_variants.into_iter().zip(mot_variants) {
        // The part of text has no adaptive norm, so its fraction of the dense weights has none either.
        let adaptive = name == "adaptive norms";
        let dense = shaken(&dense_config, 1, &device);
        let mut copies = copied_to_parts(&weights(&dense));
        if adaptive {
            copies.retain(|name, _| !(name.contains("parts.text.") && name.contains("modulation")));
        }
        mot_config.partition = vec![vec!["text".into()], vec!["image".into()]];
        let mot = import_weights(model(&mot_config, 9, &device), copies, Path::new("copies")).unwrap();
        let (a, b) =
            (batch(&dense_config, &mixed_sequences(), &device), batch(&mot_config, &mixed_sequences(), &device));
        let (a, b) = (predict(&dense, &a), predict(&mot, &b));
        assert!(gap(a.logits(TEXT).unwrap(), b.logits(TEXT).unwrap()) < 2e-5, "{name}");
        assert!(gap(a.images(IMAGE).unwrap(), b.images(IMAGE).unwrap()) < 2e-5, "{name}");
    }
}

#[test]
fn it_does_not_matter_which_part_comes_first() {
    let device = Device::flex();
    let swapped_variants = variants(&[&["image"], &["text"]]);
    for ((name, config), (_, swapped_config)) in variants(&[&["text"], &["image"]]).into_iter().zip(swapped_variants) {
        let first = shaken(&config, 1, &device);
        let blank = model(&swapped_config, 2, &device);
        let second = import_weights(blank, weights(&first), Path::new("swapped")).unwrap();
        let (a, b) = (batch(&config, &mixed_sequences(), &device), batch(&swapped_config, &mixed_sequences(), &device));
        let (a, b) = (predict(&first, &a), predict(&second, &b));
        assert!(gap(a.logits(TEXT).unwrap(), b.logits(TEXT).unwrap()) < 2e-5, "{name}");
        assert!(gap(a.images(IMAGE).unwrap(), b.images(IMAGE).unwrap()) < 2e-5, "{name}");
    }
}

#[test]
fn packed_documents_are_as_if_alone() {
    let device = Device::flex();
    for (name, config) in variants(&[&["text"], &["image"]]) {
        let model = shaken(&config, 1, &device);
        let (a, b) = (caption_first(1, &[7, 8, 9]), image_first(2, &[10]));
        let packed = predict(&model, &batch(&config, &[vec![a.clone(), b.clone()]], &device));
        let alone = predict(&model, &batch(&config, &[vec![a], vec![b]], &device));
        let rows = |p: &Predictions, sequence: usize, from: usize, count: usize| {
            p.logits(TEXT).unwrap().slice([sequence..sequence + 1, from..from + count, 0..VOCAB])
        };
        assert!(gap(rows(&packed, 0, 0, 7), rows(&alone, 0, 0, 7)) < 2e-5, "{name}: text of the first");
        assert!(gap(rows(&packed, 0, 7, 5), rows(&alone, 1, 0, 5)) < 2e-5, "{name}: text of the second");
        let slot = |p: &Predictions, sequence: usize, slot: usize| {
            p.images(IMAGE).unwrap().slice([sequence..sequence + 1, slot..slot + 1, 0..2, 0..4, 0..6])
        };
        assert!(gap(slot(&packed, 0, 0), slot(&alone, 0, 0)) < 2e-5, "{name}: image of the first");
        assert!(gap(slot(&packed, 0, 1), slot(&alone, 1, 0)) < 2e-5, "{name}: image of the second");
    }
}

/// Perturbs every row in turn and looks at who notices: exactly those that may see it, in packed, interleaved and
/// image-first layouts.
#[test]
fn a_hidden_row_changes_nothing_for_those_who_may_not_see_it() {
    let device = Device::flex();
    let config = mot_config();
    let model = shaken(&config, 1, &device);
    let copied =
        [vec![text(&[BOS, 5, BOI])], image(6, true).with_clean_copy().into(), vec![text(&[EOI, 7, EOS])]].concat();
    let layouts = [
        vec![caption_first(1, &[7, 8]), image_first(2, &[10])],
        vec![interleaved(3)],
        vec![image_first(4, &[5, 6, 7]), text_only(5, &[9])],
        vec![Sample { id: 6, segments: copied }],
    ];
    for samples in layouts {
        let layout = pack(&config, &samples, &row_shape(2, 24));
        let rows = layout.reading_order();
        let visibility = |(lane, row): (usize, usize)| layout.lanes[lane].visibility[row];
        let base = outputs(&model, &batch(&config, std::slice::from_ref(&samples), &device));
        for &changed in &rows {
            let perturbed =
                outputs(&model, &perturbed(&batch(&config, std::slice::from_ref(&samples), &device), changed, &device));
            for &row in rows.iter().filter(|&&row| row != changed) {
                let (before, after) = (&base[row.0][row.1], &perturbed[row.0][row.1]);
                let moved = before.iter().zip(after).any(|(a, b)| (a - b).abs() > 1e-6);
                let may_see = visibility(row).may_attend(&visibility(changed));
                // In two layers a row also sees what the rows that it sees have seen; visibility is transitive here.
                assert_eq!(moved, may_see, "row {row:?} and changed row {changed:?} in {samples:?}");
            }
        }
    }
}

/// What the model says of each row, by lane.
fn outputs(model: &Transfusion, batch: &TrainBatch) -> [Vec<Vec<f32>>; 2] {
    let predictions = predict(model, batch);
    let images = predictions.images(IMAGE).unwrap();
    let patches = interfuse_image_tower::patchify::patchify(images, 2);
    let rows = |x: Tensor<3>| -> Vec<Vec<f32>> {
        let [_, _, width] = x.dims();
        values(x).chunks(width).map(<[f32]>::to_vec).collect()
    };
    [rows(patches), rows(predictions.logits(TEXT).unwrap())]
}

/// The batch with another content in one row of one lane.
fn perturbed(batch: &TrainBatch, (lane, row): (usize, usize), device: &Device) -> TrainBatch {
    use burn::tensor::{Int, TensorData};
    use interfuse_sequence::LaneRows;
    let mut batch = batch.clone();
    if lane == TEXT {
        let LaneRows::NextToken(rows) = &mut batch.batch.lanes[TEXT].as_mut().unwrap().content else { panic!("text") };
        let mut ids = rows.ids.clone().into_data().convert::<i64>().try_to_vec::<i64>().unwrap();
        ids[row] = (ids[row] + 5) % VOCAB as i64;
        let shape = rows.ids.dims();
        rows.ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), device);
    } else {
        let noised = batch.noised[IMAGE].as_mut().unwrap();
        let patches = interfuse_image_tower::patchify::patchify(noised.x_t.clone(), 2);
        let shape = patches.dims();
        let mut x = values(patches);
        for value in &mut x[row * shape[2]..(row + 1) * shape[2]] {
            *value += 1.0;
        }
        let patches = Tensor::from_data(TensorData::new(x, shape), device);
        noised.x_t = interfuse_image_tower::patchify::unpatchify(patches, 2, LATENT_SHAPE);
    }
    batch
}

#[test]
fn gradients_reach_every_part_with_rows_and_no_other() {
    let device = Device::flex().autodiff();
    for unet in [None, Some(small_unet())] {
        let mut config = mot_config();
        image_tower(&mut config).unet = unet;
        gradients_reach(&config, &device);
    }
}

fn gradients_reach(config: &ModelConfig, device: &Device) {
    let model = shaken(config, 1, device);
    let touched = |sequences: &[Vec<Sample>]| -> Vec<String> {
        let gradients = loss(&model, &batch(config, sequences, device)).total.backward();
        let flat = interfuse_trainer::optimization::gradients::FlatGradients::of(&model, gradients, |_| None);
        let norms = flat.squared_norms().map(values).unwrap_or_default();
        flat.names().zip(norms).filter(|(_, norm)| *norm > 0.0).map(|(name, _)| name.to_string()).collect()
    };
    let all: Vec<String> = weights(&model).into_keys().collect();
    let mixed = touched(&mixed_sequences());
    assert_eq!(mixed, all, "a mixed batch reaches every weight");

    let text = touched(&[vec![text_only(1, &[5, 6])]]);
    let of_text =
        |name: &String| [".parts.text.", ".final_norms.text.", "towers.text."].iter().any(|owner| name.contains(owner));
    assert!(!text.is_empty() && text.iter().all(of_text), "text alone leaves the image's weights untouched: {text:?}");
}

#[test]
fn adaptive_layers_start_as_the_identity() {
    let device = Device::flex();
    let mut config = mot_config();
    image_tower(&mut config).timestep_conditioning = TimestepConditioning::AdaLn;
    let model = model(&config, 1, &device);
    let batch = |caption: &[u32]| batch(&config, &[vec![caption_first(1, caption)]], &device);
    let images = |caption: &[u32]| predict(&model, &batch(caption)).images(IMAGE).unwrap();
    assert_eq!(gap(images(&[7]), images(&[9])), 0.0, "closed gates let nothing of the caption through");
}

/// Weights of the public sizes, by arithmetic: Tables 2 of Transfusion and 1 of Mixture-of-Transformers.
#[test]
fn parameter_counts_are_those_of_the_published_sizes() {
    use interfuse_mot::PartSettings;
    use interfuse_transfusion::counts::{backbone_parameters, part_parameters};
    let part = PartSettings { name: "text".into(), conditioned: false, feed_forward: Default::default() };
    let sizes = [
        ("0.16B", 16, 768, 12, 113_271_552usize, 275_695_104usize, 49_152_000usize),
        ("0.37B", 24, 1024, 16, 308_331_520, 682_199_040, 65_536_000),
        ("0.76B", 24, 1536, 24, 679_552_512, 1_457_409_024, 98_304_000),
        ("1.4B", 24, 2048, 16, 1_233_225_728, 2_597_523_456, 131_072_000),
        ("7B", 32, 4096, 32, 6_476_271_616, 13_214_687_232, 262_144_000),
    ];
    for (name, layers, d_model, heads, one_part, stored, embeddings) in sizes {
        let mut config = mot_config();
        config.backbone.n_layers = layers;
        config.backbone.d_model = d_model;
        config.backbone.n_heads = heads;
        config.backbone.d_ff = None;
        assert_eq!(2 * 32_000 * d_model, embeddings, "{name}");
        assert_eq!(part_parameters(&config, &part), one_part, "{name}");
        assert_eq!(backbone_parameters(&config).unwrap() + embeddings, stored, "{name} with two parts");
        let dense = ModelConfig { partition: vec![vec!["text".into(), "image".into()]], ..config };
        assert_eq!(backbone_parameters(&dense).unwrap(), one_part, "{name} dense");
    }
    // Chameleon 37M: heads of width 32, a vocabulary of 65,536.
    let mut config = mot_config();
    (config.backbone.n_layers, config.backbone.d_model, config.backbone.n_heads, config.backbone.d_ff) =
        (4, 256, 8, None);
    assert_eq!(part_parameters(&config, &part), 3_410_176);
}

/// A model that exists counts as the arithmetic says.
#[test]
fn counting_a_model_agrees_with_the_arithmetic() {
    use interfuse_transfusion::ParameterCounts;
    use interfuse_transfusion::counts::backbone_parameters;
    let device = Device::flex();
    for (name, config) in variants(&[&["text"], &["image"]]) {
        let counts = ParameterCounts::of(&model(&config, 1, &device), &config);
        assert_eq!(counts.backbone, backbone_parameters(&config).unwrap(), "{name}");
        assert_eq!(counts.backbone, counts.parts.iter().sum::<usize>(), "{name}");
        assert_eq!(counts.stored, counts.backbone + counts.towers.iter().sum::<usize>(), "{name}");
        assert_eq!(counts.towers[TEXT], 2 * VOCAB * config.backbone.d_model, "{name}: embedding and head");
    }
}

/// Forward and backward FLOPs of the published sizes in sequences of 4096 with 32,000 ids.
#[test]
fn flops_per_token_are_those_of_the_published_sizes() {
    use interfuse_transfusion::FlopsPerToken;
    let sizes = [
        (16, 768, 12, 6.795e8, 3.020e8, 1.475e8),
        (24, 1024, 16, 1.850e9, 6.040e8, 1.966e8),
        (24, 1536, 24, 4.077e9, 9.060e8, 2.949e8),
        (24, 2048, 16, 7.399e9, 1.208e9, 3.932e8),
        (32, 4096, 32, 3.886e10, 3.221e9, 7.864e8),
    ];
    for (layers, d_model, heads, matrices, attention, head) in sizes {
        for parts in [vec![vec!["text".into()], vec!["image".into()]], vec![vec!["text".into(), "image".into()]]] {
            let mut config = ModelConfig { partition: parts, ..mot_config() };
            (config.backbone.n_layers, config.backbone.d_model, config.backbone.n_heads) = (layers, d_model, heads);
            config.backbone.d_ff = None;
            if let Some(interfuse_transfusion::ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
                text.vocab_size = 32_000;
            }
            let flops = FlopsPerToken::of(&config, 4096);
            let close =
                |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 5e-4, "{found} for {expected}");
            flops.matrices.iter().for_each(|&found| close(found, matrices));
            close(flops.causal_attention, attention);
            close(flops.towers[TEXT], head);
        }
    }
}

#[test]
fn faults_of_a_configuration_are_named() {
    let refused = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = mot_config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    let message = refused(&|c| image_tower(c).patch_size = 4);
    assert!(message.contains("model.modalities.image.patch_size") && message.contains("width 6"), "{message}");
    assert!(
        refused(&|c| c.backbone.n_heads = 3)
            .contains("model.backbone.n_heads: expected a divisor of d_model = 16, found 3")
    );
    assert!(refused(&|c| c.backbone.n_kv_heads = Some(3)).contains("n_kv_heads"));
    assert!(refused(&|c| c.partition = vec![vec!["text".into()]]).contains("no part serves modality `image`"));
    assert!(
        refused(&|c| image_tower(c).prediction = PredictionTarget::Noise).contains("prediction: expected Velocity")
    );
    assert!(refused(&|c| image_tower(c).patch_overlap = 2).contains("patch_overlap: expected at most half"));
    assert!(refused(&|c| image_tower(c).timesteps.shift = 0.0).contains("timesteps.shift"));
    let with_unet = |change: &dyn Fn(&mut UNetConfig)| {
        refused(&|c| {
            let mut unet = small_unet();
            change(&mut unet);
            image_tower(c).unet = Some(unet);
        })
    };
    assert!(with_unet(&|unet| unet.widths = vec![4, 4]).contains("unet.widths: expected as many widths"));
    assert!(with_unet(&|unet| unet.widths = vec![3]).contains("multiples of unet.groups = 2, found 3"));
    assert!(with_unet(&|unet| unet.blocks = 0).contains("unet.blocks: expected at least 1"));
    let message = refused(&|c| {
        image_tower(c).unet = Some(small_unet());
        image_tower(c).patch_overlap = 1;
    });
    assert!(message.contains("patch_overlap: expected 0"), "{message}");
    let message = refused(&|c| {
        c.backbone.norm = NormPlacement::Post;
        image_tower(c).timestep_conditioning = TimestepConditioning::AdaLn;
    });
    assert!(message.contains("model.backbone.norm"), "{message}");
}

#[test]
fn foreign_weights_are_refused_with_a_list() {
    let device = Device::flex();
    let wide = model(&mot_config(), 1, &device);
    let mut tensors = weights(&wide);
    tensors.remove("towers.text.embedding");
    tensors.insert("unexpected".into(), tensors["backbone.final_norms.text.weight"].clone());
    tensors.get_mut("backbone.final_norms.image.weight").unwrap().shape = vec![4];
    let message = import_weights(wide, tensors, Path::new("file.safetensors")).unwrap_err().to_string();
    for part in [
        "file.safetensors",
        "missing towers.text.embedding [23, 16]",
        "unexpected unexpected",
        "expected [16], found [4]",
    ] {
        assert!(message.contains(part), "{message}");
    }
}
