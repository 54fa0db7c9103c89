//! Names of weights in older and in foreign files, turned into diffusers' present ones.
//!
//! Two tables: diffusers before 0.18 named the maps of attention `query`, `key`, `value` and `proj_attn`; the original code of
//! latent diffusion (CompVis), and with it FLUX's and BAGEL's `ae.safetensors`, has names of its own and counts the levels of
//! the decoder from the other end.

use interfuse_parameters::{HostTensor, HostTensors};

/// Where PyTorch Lightning keeps a model's weights in a checkpoint, beside all that training needs.
const STATE_DICT: &str = "state_dict.";
/// Prefix of an autoencoder inside a checkpoint of the whole of Stable Diffusion.
const FIRST_STAGE: &str = "first_stage_model.";
/// What the names of an autoencoder's weights begin with.
const PARTS: [&str; 5] = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize."];

/// The tensors under diffusers' names, and the matrices of attention as matrices even where the file has 1 × 1 kernels.
/// `levels` is the number of sizes of the network.
///
/// Of a checkpoint that holds more than an autoencoder, `state_dict.…` or `first_stage_model.…`, what is not of the
/// autoencoder is left out; of a file of weights alone only the losses that the original code kept beside them.
pub fn modern_names(tensors: HostTensors, levels: usize) -> HostTensors {
    let (tensors, is_checkpoint) = below(tensors, STATE_DICT);
    let (tensors, is_whole_model) = below(tensors, FIRST_STAGE);
    let is_of_autoencoder = |name: &str| match is_checkpoint || is_whole_model {
        true => PARTS.iter().any(|part| name.starts_with(part)),
        // A discriminator and a perceptual network.
        false => !name.starts_with("loss."),
    };
    let kept = tensors.into_iter().filter(|(name, _)| is_of_autoencoder(name));
    let renamed = kept.map(|(name, tensor)| {
        let name = of_old_attention(&of_latent_diffusion(&name, levels));
        let tensor = if name.contains(".attentions.") { as_matrix(tensor) } else { tensor };
        (name, tensor)
    });
    renamed.collect()
}

/// The tensors below a prefix and without it, where there are any; else all. And whether there were.
fn below(tensors: HostTensors, prefix: &str) -> (HostTensors, bool) {
    if !tensors.keys().any(|name| name.starts_with(prefix)) {
        return (tensors, false);
    }
    let below = |(name, tensor): (String, HostTensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor));
    (tensors.into_iter().filter_map(below).collect(), true)
}

/// `encoder.down.0.block.1.conv1.weight` → `encoder.down_blocks.0.resnets.1.conv1.weight`
fn of_latent_diffusion(name: &str, levels: usize) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let (head, rest): (String, &[&str]) = match parts.as_slice() {
        [net, "down", level, "block", index, rest @ ..] => (format!("{net}.down_blocks.{level}.resnets.{index}"), rest),
        [net, "down", level, "downsample", rest @ ..] => (format!("{net}.down_blocks.{level}.downsamplers.0"), rest),
        [net, "up", level, "block", index, rest @ ..] => {
            (format!("{net}.up_blocks.{}.resnets.{index}", from_the_other_end(level, levels)), rest)
        }
        [net, "up", level, "upsample", rest @ ..] => {
            (format!("{net}.up_blocks.{}.upsamplers.0", from_the_other_end(level, levels)), rest)
        }
        [net, "mid", "block_1", rest @ ..] => (format!("{net}.mid_block.resnets.0"), rest),
        [net, "mid", "block_2", rest @ ..] => (format!("{net}.mid_block.resnets.1"), rest),
        [net, "mid", "attn_1", map, kind] => {
            let map = match *map {
                "norm" => "group_norm",
                "q" => "to_q",
                "k" => "to_k",
                "v" => "to_v",
                "proj_out" => "to_out.0",
                other => other,
            };
            return format!("{net}.mid_block.attentions.0.{map}.{kind}");
        }
        [net, "norm_out", rest @ ..] => (format!("{net}.conv_norm_out"), rest),
        _ => return name.to_string(),
    };
    let rest = rest.iter().map(|part| if *part == "nin_shortcut" { "conv_shortcut" } else { part });
    std::iter::once(head.as_str()).chain(rest).collect::<Vec<_>>().join(".")
}

/// Level 0 is the largest image in one notation and the smallest in the other.
fn from_the_other_end(level: &str, levels: usize) -> String {
    level.parse::<usize>().map_or_else(|_| level.to_string(), |level| (levels.max(1) - 1).abs_diff(level).to_string())
}

/// `mid_block.attentions.0.query.weight` → `mid_block.attentions.0.to_q.weight`
fn of_old_attention(name: &str) -> String {
    if !name.contains(".attentions.") {
        return name.to_string();
    }
    let maps = [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")];
    maps.iter().fold(name.to_string(), |name, (old, new)| name.replace(old, new))
}

/// `[out, in, 1, 1]` → `[out, in]`
fn as_matrix(tensor: HostTensor) -> HostTensor {
    match tensor.shape.as_slice() {
        &[rows, columns, 1, 1] => HostTensor { shape: vec![rows, columns], values: tensor.values },
        _ => tensor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(name: &str) -> Option<String> {
        let tensor = HostTensor { shape: vec![2, 2, 1, 1], values: vec![0.0; 4] };
        modern_names(HostTensors::from([(name.to_string(), tensor)]), 4).into_keys().next()
    }

    #[test]
    fn both_tables_lead_to_the_present_names() {
        for (old, new) in [
            ("encoder.down.0.block.1.nin_shortcut.bias", "encoder.down_blocks.0.resnets.1.conv_shortcut.bias"),
            ("encoder.down.2.downsample.conv.weight", "encoder.down_blocks.2.downsamplers.0.conv.weight"),
            ("decoder.up.3.block.2.norm1.weight", "decoder.up_blocks.0.resnets.2.norm1.weight"),
            ("decoder.up.1.upsample.conv.weight", "decoder.up_blocks.2.upsamplers.0.conv.weight"),
            ("encoder.mid.block_2.conv1.weight", "encoder.mid_block.resnets.1.conv1.weight"),
            ("decoder.mid.attn_1.proj_out.weight", "decoder.mid_block.attentions.0.to_out.0.weight"),
            ("decoder.norm_out.weight", "decoder.conv_norm_out.weight"),
            ("encoder.mid_block.attentions.0.query.weight", "encoder.mid_block.attentions.0.to_q.weight"),
            ("encoder.mid_block.attentions.0.proj_attn.bias", "encoder.mid_block.attentions.0.to_out.0.bias"),
            ("first_stage_model.decoder.conv_in.weight", "decoder.conv_in.weight"),
            ("quant_conv.weight", "quant_conv.weight"),
        ] {
            assert_eq!(renamed(old).as_deref(), Some(new));
        }
        assert_eq!(renamed("loss.discriminator.main.0.weight"), None);
    }

    #[test]
    fn of_a_checkpoint_only_the_autoencoder_is_kept() {
        for (old, new) in [
            ("state_dict.decoder.norm_out.weight", Some("decoder.conv_norm_out.weight")),
            ("state_dict.first_stage_model.quant_conv.bias", Some("quant_conv.bias")),
            ("state_dict.loss.logvar", None),
            ("state_dict.model_ema.decay", None),
            ("first_stage_model.discriminator.weight", None),
            ("extra.weight", Some("extra.weight")),
        ] {
            assert_eq!(renamed(old).as_deref(), new, "{old}");
        }
        let tensor = || HostTensor { shape: vec![1], values: vec![0.0] };
        let names =
            ["state_dict.encoder.conv_in.bias", "state_dict.model.diffusion_model.x", "optimizer_states.0.exp_avg"];
        let kept = modern_names(names.into_iter().map(|name| (name.to_string(), tensor())).collect(), 4);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["encoder.conv_in.bias"]);
    }
}
