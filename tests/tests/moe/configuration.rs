//! Experts as a matter of configuration: what fits, what is refused, what is counted, and how weights are called.

use burn::tensor::Device;
use interfuse_parameters::{HostTensors, import_weights, read_tensors, write_tensors};
use interfuse_tests::*;
use interfuse_transfusion::counts::backbone_parameters;
use interfuse_transfusion::{FlopsPerToken, ModelConfig, ParameterCounts};
use std::path::Path;

use crate::{TOP_2, with_experts};

/// Mixture-of-Transformers whose text part alone has experts.
fn hybrid(feed_forward: &str) -> Result<ModelConfig, String> {
    let text = format!(
        "partition = [['text'], ['image']]
        latent_shape = [2, 4, 6]
        [backbone]
        d_model = 16
        n_layers = 2
        n_heads = 2
        d_ff = 24
        [backbone.parts.text]
        feed_forward = {{ kind = 'moe', {feed_forward} }}
        [modalities.image]
        objective = 'denoise'
        patch_size = 2
        [modalities.text]
        objective = 'next_token'
        vocab_size = 23"
    );
    let config: ModelConfig = toml::from_str(&text).map_err(|error| error.message().to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn one_part_alone_may_have_experts() {
    let config = hybrid("experts = 4").unwrap();
    let model = model(&config, 1, &Device::flex());
    let shapes: Vec<(String, Vec<usize>)> = weights(&model).into_iter().map(|(name, w)| (name, w.shape)).collect();
    let of = |name: &str| shapes.iter().find(|(found, _)| found == name).map(|(_, shape)| shape.clone());
    let text = "backbone.layers.0.parts.text.feed_forward";
    assert_eq!(of(&format!("{text}.router.weight")), Some(vec![4, 16]));
    assert_eq!(of(&format!("{text}.experts.gate.weight")), Some(vec![4, 24, 16]), "matrices as PyTorch stores them");
    assert_eq!(of(&format!("{text}.experts.down.weight")), Some(vec![4, 16, 24]));
    assert_eq!(of("backbone.layers.0.parts.image.feed_forward.gate.weight"), Some(vec![24, 16]));
    assert!(config.sees_the_future("text") && !config.sees_the_future("image"));
}

#[test]
fn weights_of_experts_survive_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let config = with_experts(&[&["text", "image"]], TOP_2);
    let original = weights(&model(&config, 4, &Device::flex()));
    write_tensors(&original, &path).unwrap();
    let loaded = import_weights(model(&config, 5, &Device::flex()), read_tensors(&path).unwrap(), &path).unwrap();
    assert_eq!(weights(&loaded), original);

    let refused = |change: &dyn Fn(&mut HostTensors)| {
        let mut tensors = original.clone();
        change(&mut tensors);
        import_weights(model(&config, 5, &Device::flex()), tensors, Path::new("file")).unwrap_err().to_string()
    };
    let name = "backbone.layers.0.parts.text+image.feed_forward.experts.up.weight";
    let message = refused(&|tensors| tensors.get_mut(name).unwrap().shape = vec![4, 16, 24]);
    assert!(message.contains("expected [4, 24, 16], found [4, 16, 24]"), "{message}");
    assert!(refused(&|tensors| drop(tensors.remove(name))).contains(&format!("missing {name}")));
}

#[test]
fn faults_are_named_with_their_whole_key() {
    let refused = |text: &str| hybrid(text).unwrap_err();
    assert!(refused("experts = 0").starts_with("model.backbone.parts.text.feed_forward.experts: expected from 1"));
    assert!(
        refused("experts = 2, routing = 'top_k', top_k = 3")
            .contains("feed_forward.top_k: expected from 1 to experts = 2")
    );
    assert!(refused("experts = 2, top_k = 1").contains("feed_forward.top_k: expected only with routing = \"top_k\""));
    assert!(refused("experts = 2, routing = 'random'").contains("unknown variant `random`"));
    assert!(refused("experts = 2, capcity = 1.0").contains("unknown field `capcity`"));
    let mut config = mot_config();
    config.backbone.parts.insert("speech".into(), Default::default());
    let message = config.validate().unwrap_err().to_string();
    assert_eq!(message, "model.backbone.parts: expected a part of the partition (text, image), found `speech`");
}

#[test]
fn a_configuration_without_the_key_has_one_network_and_says_so() {
    let written = toml::to_string(&mot_config()).unwrap();
    assert!(written.contains("[backbone.feed_forward]\nkind = \"swiglu\""), "{written}");
    let without = written.replace("[backbone.feed_forward]\nkind = \"swiglu\"\n", "");
    assert_ne!(written, without);
    assert_eq!(toml::from_str::<ModelConfig>(&without).unwrap(), mot_config());
}

#[test]
fn experts_are_counted_stored_and_activated() {
    let (d, f, layers) = (16, 24, 2);
    let network = 3 * d * f;
    let dense = mot_config();
    for (text, experts, per_row) in
        [("experts = 4", 4, 1.0), (TOP_2, 4, 2.0), ("experts = 8\ncapacity = 2.0\nd_ff = 12", 8, 1.0)]
    {
        let config = with_experts(&[&["text"], &["image"]], text);
        let counts = ParameterCounts::of(&model(&config, 1, &Device::flex()), &config);
        let plain = ParameterCounts::of(&model(&dense, 1, &Device::flex()), &dense);
        assert_eq!(counts.backbone, backbone_parameters(&config).unwrap(), "{text}");
        let stored =
            plain.parts[0] - layers * network + layers * experts * (d + 3 * d * config.feed_forward("text").width(f));
        assert_eq!(counts.parts[0], stored, "{text}");
        let active =
            plain.parts[0] - layers * network + layers * (d * experts) + (layers as f64 * per_row) as usize * network;
        assert_eq!(counts.activated(0, TEXT), active + counts.towers[TEXT], "{text}");

        let (flops, plain) = (FlopsPerToken::of(&config, 64), FlopsPerToken::of(&dense, 64));
        let router = 6.0 * (layers * d * experts) as f64;
        let more = 6.0 * layers as f64 * (per_row - 1.0) * network as f64;
        assert!((flops.matrices[TEXT] - plain.matrices[TEXT] - router - more).abs() < 1e-6, "{text}");
        assert_eq!(flops.causal_attention, plain.causal_attention);
    }
    let config = hybrid("experts = 4").unwrap();
    let flops = FlopsPerToken::of(&config, 64);
    assert_eq!(
        flops.matrices[TEXT] - flops.matrices[IMAGE],
        6.0 * (layers * d * 4) as f64,
        "a router is all that differs"
    );
}
