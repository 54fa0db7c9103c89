//! Weights that the parts of a partition have in common: which ones is a matter of configuration, from none, which is
//! Mixture-of-Transformers, to all, which is the dense model.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor};
use interfuse_data::LoaderCursor;
use interfuse_image_tower::{NoiseKey, TimestepChoice, TimestepConditioning};
use interfuse_mot::{CacheUse, NormPlacement, PartConfig, WeightKind};
use interfuse_parameters::{HostTensors, import_weights, parameters};
use interfuse_tests::run::Run;
use interfuse_tests::*;
use interfuse_trainer::optimization::gradients::FlatGradients;
use interfuse_trainer::{Learner as _, checkpoint};
use interfuse_transfusion::counts::backbone_parameters;
use interfuse_transfusion::{
    ModelConfig, Normalizer, ObjectiveConfig, ParameterCounts, Predictions, TrainBatch, Transfusion, hybrid_loss,
};
use std::collections::BTreeMap;
use std::path::Path;

use WeightKind::{Ffn, Norm, O, Qkv};

/// Every subset of the kinds.
fn subsets() -> impl Iterator<Item = Vec<WeightKind>> {
    let of = |bits: usize| (0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| WeightKind::ALL[bit]).collect();
    (0..16).map(of)
}

/// Text and image, with every kind of norm that there is.
fn untied(kinds: &[WeightKind], from: usize) -> ModelConfig {
    let mut config = mot_config();
    (config.backbone.untie, config.backbone.untie_from) = (kinds.to_vec(), from);
    config.backbone.qk_norm = true;
    image_tower(&mut config).timestep_conditioning = TimestepConditioning::AdaLn;
    config.validate().unwrap();
    config
}

fn dense() -> ModelConfig {
    ModelConfig { partition: vec![vec!["text".into(), "image".into()]], ..untied(&WeightKind::ALL, 0) }
}

/// Weights other than those of the start, so that nothing is zero or one by construction.
fn shaken(config: &ModelConfig, device: &Device) -> Transfusion {
    let model = model(config, 1, device);
    let mut tensors = weights(&model);
    for (index, tensor) in tensors.values_mut().enumerate() {
        for (place, value) in tensor.values.iter_mut().enumerate() {
            *value += 0.05 * ((index * 131 + place * 17) as f32 * 0.37).sin();
        }
    }
    import_weights(model, tensors, Path::new("shaken")).unwrap()
}

/// The weights of the dense model for every owner of a model that ties some of them.
fn of_dense(dense: &HostTensors, names: impl Iterator<Item = String>) -> HostTensors {
    let in_dense = |name: &str| name.replace(".text.", ".text+image.").replace(".image.", ".text+image.");
    let of = |name: String| {
        let tensor = if name.starts_with("towers") { &dense[&name] } else { &dense[&in_dense(&name)] };
        (name, tensor.clone())
    };
    names.map(of).collect()
}

fn batch(config: &ModelConfig, device: &Device) -> TrainBatch {
    let sequences =
        [vec![caption_first(1, &[7, 8, 9]), image_first(2, &[10])], vec![interleaved(3), text_only(4, &[5, 6])]];
    let layouts: Vec<_> = sequences.iter().map(|samples| pack(config, samples, &row_shape(2, 24))).collect();
    TrainBatch::new(&layouts, config, NoiseKey { seed: 5, step: 7 }, TimestepChoice::Sampled, device)
}

fn predict(model: &Transfusion, batch: &TrainBatch) -> Predictions {
    model.forward(batch.input(), CacheUse::None)
}

fn gradients(model: &Transfusion, config: &ModelConfig, device: &Device) -> BTreeMap<String, Tensor<1>> {
    let batch = batch(config, device);
    let normalizer = Normalizer::of(&batch);
    let loss = hybrid_loss(model, &predict(model, &batch), &batch, &ObjectiveConfig::default(), &normalizer);
    let mut gradients = FlatGradients::of(model, loss.total.backward(), |_| None);
    let names: Vec<String> = gradients.names().map(String::from).collect();
    names.into_iter().filter_map(|name| Some((name.clone(), gradients.take(&name)?))).collect()
}

#[test]
fn with_nothing_untied_any_partition_is_the_dense_model() {
    for (kinds, from) in [(vec![], 0), (WeightKind::ALL.to_vec(), 2)] {
        for norm in [NormPlacement::Pre, NormPlacement::Post] {
            let device = Device::flex().autodiff();
            let change = |mut config: ModelConfig| {
                config.backbone.norm = norm;
                if norm == NormPlacement::Post {
                    image_tower(&mut config).timestep_conditioning = TimestepConditioning::Patch;
                }
                config
            };
            let (dense_config, config) = (change(dense()), change(untied(&kinds, from)));
            assert_eq!(
                weights(&model(&config, 3, &device)),
                weights(&model(&dense_config, 3, &device)),
                "the same names, and the same weights from the same seed"
            );
            let dense = shaken(&dense_config, &device);
            let tied = import_weights(model(&config, 9, &device), weights(&dense), Path::new("dense")).unwrap();
            let (a, b) = (predict(&dense, &batch(&dense_config, &device)), predict(&tied, &batch(&config, &device)));
            assert!(gap(a.logits(TEXT).unwrap(), b.logits(TEXT).unwrap()) < 1e-6);
            assert!(gap(a.images(IMAGE).unwrap(), b.images(IMAGE).unwrap()) < 1e-6);
            let (a, b) = (gradients(&dense, &dense_config, &device), gradients(&tied, &config, &device));
            assert!(a.keys().eq(b.keys()));
            for (name, a) in a {
                let scale = values(a.clone()).into_iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
                assert!(gap(a, b[&name].clone()) < 1e-5 * scale, "gradient of {name}");
            }
        }
    }
}

/// Whatever is untied, equal weights make the dense model; what is tied has the sum of its parts' gradients.
#[test]
fn a_weight_in_common_has_the_gradients_of_all_parts() {
    let device = Device::flex().autodiff();
    let dense_model = shaken(&dense(), &device);
    let copied = |config: &ModelConfig| {
        let blank = model(config, 9, &device);
        let copies = of_dense(&weights(&dense_model), weights(&blank).into_keys());
        import_weights(blank, copies, Path::new("copies")).unwrap()
    };
    let apart_config = untied(&WeightKind::ALL, 0);
    let apart = gradients(&copied(&apart_config), &apart_config, &device);
    let expected = predict(&dense_model, &batch(&dense(), &device));
    for (kinds, from) in subsets().map(|kinds| (kinds, 0)).chain([(WeightKind::ALL.to_vec(), 1)]) {
        let config = untied(&kinds, from);
        let tied = copied(&config);
        let found = predict(&tied, &batch(&config, &device));
        let logits = gap(expected.logits(TEXT).unwrap(), found.logits(TEXT).unwrap());
        assert!(logits < 2e-5, "{kinds:?} from {from}: {logits}");
        for (name, gradient) in gradients(&tied, &config, &device) {
            let of = |part: &str| apart.get(&name.replace(".text+image.", &format!(".{part}."))).cloned();
            let sum = match name.contains(".text+image.") {
                true => of("text").into_iter().chain(of("image")).reduce(|a, b| a + b),
                false => of("text"),
            };
            let sum = sum.unwrap();
            let scale = values(sum.clone()).into_iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
            let gap = gap(sum, gradient);
            assert!(gap < 2e-5 * scale, "{kinds:?} from {from}, gradient of {name}: {gap} of {scale}");
        }
    }
}

#[test]
fn what_is_in_common_is_stored_and_counted_once() {
    let device = Device::flex();
    for from in 0..=2 {
        for kinds in subsets() {
            let config = untied(&kinds, from);
            let model = model(&config, 1, &device);
            let names: Vec<String> = parameters(&model).into_iter().map(|weight| weight.name).collect();
            let counts = ParameterCounts::of(&model, &config);
            let dense = ParameterCounts::of(&interfuse_tests::model(&dense(), 1, &device), &dense());
            assert_eq!(weights(&model).len(), names.len(), "every name once");
            assert_eq!(counts.backbone, backbone_parameters(&config).unwrap(), "{kinds:?} from {from}");
            assert_eq!(counts.backbone, counts.tied + counts.parts.iter().sum::<usize>());
            // An image's row meets as many as in the dense model, wherever they lie.
            assert_eq!(counts.activated(1, IMAGE), dense.activated(0, IMAGE), "{kinds:?} from {from}");
            let owns = |owner: &str, layer: usize, weight: &str| {
                names.contains(&format!("backbone.layers.{layer}.parts.{owner}.{weight}.weight"))
            };
            let of_kinds = [(Qkv, "key"), (O, "output"), (Norm, "query_norm"), (Ffn, "feed_forward.up")];
            for layer in 0..2 {
                for (kind, weight) in of_kinds {
                    let is_untied = layer >= from && kinds.contains(&kind);
                    let owned = ["text", "image", "text+image"].map(|owner| owns(owner, layer, weight));
                    assert_eq!(owned, [is_untied, is_untied, !is_untied], "{kind:?} in layer {layer}");
                }
            }
        }
    }
}

#[test]
fn a_run_with_weights_in_common_learns_and_resumes_bit_by_bit() {
    let mut run = Run::new();
    run.config.backbone.untie = vec![Ffn];
    run.config.backbone.untie_from = 1;
    let mut through = run.trainer(LoaderCursor::default());
    let reports: Vec<_> = (0..30).map(|_| through.step().unwrap()).collect();
    assert!(reports[29].total < 0.5 * reports[0].total, "{} to {}", reports[0].total, reports[29].total);
    let mut owners: Vec<&str> = reports[0].part_gradient_norms.iter().map(|(name, _)| name.as_str()).collect();
    owners.sort_unstable();
    assert_eq!(owners, ["image", "text", "text+image"]);
    // The gates of adaptive norms are closed in the first step.
    assert!(reports[1].part_gradient_norms.iter().all(|(_, norm)| *norm > 0.0));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-000030");
    run.save(&through, &path);
    let mut resumed = run.resumed(&path);
    let (a, b) = (through.step().unwrap(), resumed.step().unwrap());
    assert_eq!((a.total, a.gradient_norm), (b.total, b.gradient_norm));
    assert_eq!(checkpoint::fingerprint(&through), checkpoint::fingerprint(&resumed));
    assert_eq!(weights(&through.ema_model()), weights(&resumed.ema_model()));
}

#[test]
fn what_cannot_be_tied_is_refused() {
    let refused = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = mot_config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    let message = refused(&|config| config.backbone.untie = vec![Ffn, O, Ffn]);
    assert_eq!(message, "model.backbone.untie: expected each kind at most once, found Ffn more often");
    let message = refused(&|config| config.backbone.untie_from = 3);
    assert_eq!(message, "model.backbone.untie_from: expected a layer, from 0 to n_layers = 2, found 3");
    let experts = |config: &mut ModelConfig| {
        let feed_forward = Some(toml::from_str("kind = 'moe'\nexperts = 4").unwrap());
        config.backbone.parts.insert("text".into(), PartConfig { feed_forward });
    };
    for (untie, from) in [(vec![Qkv], 0), (WeightKind::ALL.to_vec(), 1)] {
        let message = refused(&|config| {
            experts(config);
            (config.backbone.untie, config.backbone.untie_from) = (untie.clone(), from);
        });
        assert!(message.starts_with("model.backbone.untie: expected `ffn` in it and untie_from = 0"), "{message}");
    }
    let unknown = toml::from_str::<ModelConfig>(&toml::to_string(&mot_config()).unwrap().replace("\"qkv\"", "\"qk\""));
    assert!(unknown.unwrap_err().message().contains("unknown variant `qk`"));
}
