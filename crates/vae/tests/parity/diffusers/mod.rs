//! Autoencoders against diffusers (`generate.py`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_parameters::{HostTensor, HostTensors, read_tensors, write_tensors};
use interfuse_vae::{Vae, VaeConfig, folder};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/diffusers").join(name)
}

fn expected(name: &str) -> HostTensors {
    read_tensors(&fixture(name).join("expected.safetensors")).expect("fixture")
}

fn tensor(host: &HostTensor) -> Tensor<4> {
    Tensor::from_data(TensorData::new(host.values.clone(), host.shape.clone()), &Device::flex())
}

/// The largest difference.
fn gap(found: Tensor<4>, expected: &HostTensor) -> f32 {
    assert_eq!(found.dims().to_vec(), expected.shape);
    let found = found.into_data().try_to_vec::<f32>().expect("fixture");
    found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_four_published_kinds_encode_and_decode_as_in_diffusers() {
    for name in ["sd15", "sdxl", "sd3", "flux"] {
        let opened = folder::open(&fixture(name), &Device::flex()).expect("fixture");
        let (Vae::Kl(vae), expected) = (opened.vae, expected(name)) else { panic!("{name} has continuous latents") };
        let posterior = vae.encode(tensor(&expected["image"]));
        let gaps = [
            gap(posterior.mean, &expected["mean"]),
            gap(posterior.log_variance, &expected["logvar"]),
            gap(vae.decode(tensor(&expected["latents"])), &expected["decoded"]),
        ];
        assert!(gaps.iter().all(|&gap| gap < 1e-4), "{name}: {gaps:?}");
    }
}

#[test]
fn the_published_kinds_are_known_by_name() {
    for name in ["sd15", "sdxl", "sd3", "flux"] {
        let VaeConfig::AutoencoderKL(small) = folder::read_config(&fixture(name)).expect("fixture") else {
            panic!("{name}")
        };
        let published = interfuse_vae::AutoencoderConfig::published(name).expect("fixture");
        assert_eq!(small.network.latent_channels, published.network.latent_channels);
        assert_eq!(small.use_quant_conv, published.use_quant_conv);
        assert_eq!(small.use_post_quant_conv, published.use_post_quant_conv);
        assert_eq!(small.scale, published.scale);
    }
}

#[test]
fn codes_are_those_of_diffusers() {
    let opened = folder::open(&fixture("vq"), &Device::flex()).expect("fixture");
    let (Vae::Vq(vae), expected) = (opened.vae, expected("vq")) else { panic!("codes") };
    let ids = vae.quantize.ids(vae.vectors(tensor(&expected["image"])));
    let values: Vec<f32> = ids.clone().into_data().iter::<f32>().collect();
    assert_eq!(values, expected["ids"].values);
    let gap = gap(vae.decode(ids), &expected["decoded"]);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
fn older_and_foreign_names_lead_to_the_same_networks() {
    let device = Device::flex();
    let expected = expected("sd15");
    let config = folder::read_config(&fixture("sd15")).expect("fixture");
    let old = folder::open(&fixture("sd15_old"), &device).expect("fixture").vae;
    let foreign = folder::load(&config, &fixture("sd15_ldm").join("ae.safetensors"), &device).expect("fixture");
    for vae in [old, foreign] {
        let Vae::Kl(vae) = vae else { panic!("continuous latents") };
        let gap = gap(vae.encode(tensor(&expected["image"])).mean, &expected["mean"]);
        assert!(gap < 1e-4, "{gap}");
    }
}

#[test]
fn a_folder_of_ours_has_the_names_the_shapes_and_the_keys_of_diffusers() {
    for name in ["sd15", "flux", "vq"] {
        let written = tempfile::tempdir().expect("fixture");
        let opened = folder::open(&fixture(name), &Device::flex()).expect("fixture");
        folder::write(written.path(), &opened.config, &opened.vae).expect("fixture");
        let tensors = |folder: &Path| read_tensors(&folder.join(folder::WEIGHTS)).expect("fixture");
        assert!(tensors(&fixture(name)) == tensors(written.path()), "{name}: every tensor comes back as it was");
        let keys = |folder: &Path| -> serde_json::Map<String, serde_json::Value> {
            serde_json::from_str(&std::fs::read_to_string(folder.join(folder::CONFIG)).expect("fixture"))
                .expect("fixture")
        };
        let (theirs, ours) = (keys(&fixture(name)), keys(written.path()));
        assert!(ours.iter().all(|(key, value)| theirs.get(key) == Some(value)), "{name}: {ours:?}");
        // What is left out is what diffusers fills in by itself.
        let missing: BTreeSet<&str> =
            theirs.keys().map(String::as_str).filter(|key| !ours.contains_key(*key)).collect();
        let known = BTreeSet::from([
            "_diffusers_version",
            "force_upcast",
            "latents_mean",
            "latents_std",
            "sample_size",
            "shift_factor",
            // Of VQModel.
            "lookup_from_codebook",
            "norm_type",
            "scaling_factor",
        ]);
        assert!(missing.is_subset(&known), "{name}: {missing:?}");
    }
}

/// A folder with the settings of `sd15` and weights that were changed.
fn changed(change: impl FnOnce(&mut HostTensors)) -> String {
    let folder = tempfile::tempdir().expect("fixture");
    std::fs::copy(fixture("sd15").join(folder::CONFIG), folder.path().join(folder::CONFIG)).expect("fixture");
    let mut tensors = read_tensors(&fixture("sd15").join(folder::WEIGHTS)).expect("fixture");
    change(&mut tensors);
    write_tensors(&tensors, &folder.path().join(folder::WEIGHTS)).expect("fixture");
    folder::open(folder.path(), &Device::flex()).expect_err("refused").to_string()
}

#[test]
fn tensors_that_are_missing_unexpected_or_misshapen_are_listed() {
    let name = "decoder.conv_in.weight";
    let missing = changed(|tensors| drop(tensors.remove(name)));
    assert!(missing.contains("missing") && missing.contains(name), "{missing}");
    let unexpected = changed(|tensors| drop(tensors.insert("extra.weight".into(), tensors[name].clone())));
    assert!(unexpected.contains("extra.weight"), "{unexpected}");
    let misshapen = changed(|tensors| tensors.get_mut(name).expect("fixture").shape.swap(0, 1));
    assert!(misshapen.contains(name), "{misshapen}");
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let name = "decoder.conv_in.weight";
    for value in [f32::NAN, f32::INFINITY] {
        let message = changed(|tensors| tensors.get_mut(name).expect("fixture").values[3] = value);
        let found = format!("expected finite numbers, found NaN or infinity in {name}");
        assert!(message.contains(folder::WEIGHTS) && message.contains(&found), "{message}");
    }
}

/// Both classes of diffusers have 0.18215 where the key is absent; other keys stay as they are.
#[test]
fn an_absent_scaling_factor_is_that_of_diffusers() {
    for name in ["sd15", "vq"] {
        let written = tempfile::tempdir().expect("fixture");
        let path = written.path().join(folder::CONFIG);
        let text = std::fs::read_to_string(fixture(name).join(folder::CONFIG)).expect("fixture");
        let with: serde_json::Value = serde_json::from_str(&text).expect("fixture");
        let mut without = with.clone();
        let factor = without.as_object_mut().and_then(|keys| keys.remove("scaling_factor")).expect("fixture");
        assert_eq!(factor, 0.18215);
        std::fs::write(&path, without.to_string()).expect("fixture");
        let config = folder::read_config(written.path()).expect("settings");
        assert_eq!(config, folder::read_config(&fixture(name)).expect("fixture"));
        folder::write_config(written.path(), &config).expect("written");
        let back: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("written")).expect("JSON");
        assert_eq!(back["scaling_factor"], 0.18215);
    }
}

/// As PyTorch Lightning saves them: an autoencoder by itself, and within the whole of a latent diffusion model.
#[test]
fn weights_of_a_checkpoint_are_read_without_what_is_beside_them() {
    let device = Device::flex();
    let config = folder::read_config(&fixture("sd15")).expect("fixture");
    let original = fixture("sd15_ldm").join("ae.safetensors");
    let weights = read_tensors(&original).expect("fixture");
    let expected = interfuse_parameters::export_weights(&folder::load(&config, &original, &device).expect("fixture"));
    let other = HostTensor { shape: vec![1], values: vec![1.0] };
    let folder = tempfile::tempdir().expect("fixture");
    let path = folder.path().join("model.safetensors");
    for (prefix, beside) in [
        ("state_dict.", "state_dict.loss.logvar"),
        ("state_dict.", "state_dict.model_ema.decay"),
        ("state_dict.first_stage_model.", "state_dict.model.diffusion_model.out.weight"),
    ] {
        let mut tensors: HostTensors =
            weights.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect();
        tensors.insert(beside.into(), other.clone());
        write_tensors(&tensors, &path).expect("written");
        let loaded = folder::load(&config, &path, &device).expect("the autoencoder");
        assert!(interfuse_parameters::export_weights(&loaded) == expected, "{prefix} {beside}");
    }
}

#[test]
fn truncated_files_and_other_networks_are_refused_by_name() {
    let (device, folder) = (Device::flex(), tempfile::tempdir().expect("fixture"));
    let message = |folder: &Path| folder::open(folder, &device).expect_err("refused").to_string();
    assert!(message(folder.path()).contains("config.json"));
    std::fs::copy(fixture("sd15").join(folder::CONFIG), folder.path().join(folder::CONFIG)).expect("fixture");
    assert!(message(folder.path()).contains("none of them"), "{}", message(folder.path()));
    let weights = std::fs::read(fixture("sd15").join(folder::WEIGHTS)).expect("fixture");
    for length in [0, 5, 100, weights.len() / 2, weights.len() - 1] {
        std::fs::write(folder.path().join(folder::WEIGHTS), &weights[..length]).expect("fixture");
        assert!(message(folder.path()).contains(folder::WEIGHTS), "{length}: {}", message(folder.path()));
    }
    let config = std::fs::read_to_string(fixture("sd15").join(folder::CONFIG)).expect("fixture");
    for (from, to, named) in [
        ("AutoencoderKL", "UNet2DModel", "UNet2DModel"),
        ("\"silu\"", "\"relu\"", "relu"),
        ("\"norm_num_groups\": 4", "\"norm_num_groups\": 3", "norm_num_groups"),
        ("\"latent_channels\": 4", "\"latent_channels\": 0", "latent_channels"),
        ("\"scaling_factor\": 0.18215", "\"scaling_factor\": 0", "scaling_factor"),
    ] {
        std::fs::write(folder.path().join(folder::CONFIG), config.replace(from, to)).expect("fixture");
        assert!(message(folder.path()).contains(named), "{to}: {}", message(folder.path()));
    }
}
