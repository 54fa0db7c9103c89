"""Small autoencoders of diffusers with random weights, and what they make of an image: python generate.py.

diffusers 0.42, torch 2.15. One folder for each published kind (sd15, sdxl, sd3, flux) and for VQModel, in the very layout
that diffusers writes, with expected.safetensors beside the weights. `sd15_old` has the names of diffusers before 0.18 and
`sd15_ldm` those of the original code; that diffusers itself reads both as the same networks is asserted here.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, VQModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
WEIGHTS = "diffusion_pytorch_model.safetensors"
SMALL = {
    "block_out_channels": [4, 8, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "norm_num_groups": 4,
}
KINDS = {
    "sd15": {"latent_channels": 4, "scaling_factor": 0.18215},
    "sdxl": {"latent_channels": 4, "scaling_factor": 0.13025, "force_upcast": True},
    "sd3": {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609,
            "use_quant_conv": False, "use_post_quant_conv": False},
    "flux": {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159,
             "use_quant_conv": False, "use_post_quant_conv": False},
}


def randomise(model):
    """Norms and biases away from 1 and 0, so that none can be left out unseen."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.2 + (1.0 if "norm" in name and "weight" in name else 0.0))
    return model.eval()


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def continuous(name, seed):
    torch.manual_seed(seed)
    model = randomise(AutoencoderKL(**SMALL, **KINDS[name]))
    folder = fresh(name)
    model.save_pretrained(folder)
    image = torch.rand(1, 3, 24, 40) * 2 - 1
    latents = torch.randn(1, KINDS[name]["latent_channels"], 3, 5)
    with torch.no_grad():
        posterior = model.encode(image).latent_dist
        out = {"image": image, "mean": posterior.mean, "logvar": posterior.logvar,
               "latents": latents, "decoded": model.decode(latents).sample}
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors")
    return model, image


def codes(seed):
    torch.manual_seed(seed)
    model = randomise(VQModel(**SMALL, latent_channels=4, num_vq_embeddings=32, vq_embed_dim=8))
    with torch.no_grad():
        # As fresh, all codes lie near 0, and one of them is nearest to everything.
        model.quantize.embedding.weight.copy_(torch.randn(32, 8) * 0.3)
    folder = fresh("vq")
    model.save_pretrained(folder)
    image = torch.rand(1, 3, 24, 40) * 2 - 1
    with torch.no_grad():
        vectors = model.encode(image).latents
        _, _, (_, _, ids) = model.quantize(vectors)
        decoded = model.decode(vectors).sample
    assert len(set(ids.flatten().tolist())) > 3
    out = {"image": image, "ids": ids.reshape(1, 3, 5).float(), "decoded": decoded}
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors")


OLD = [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")]
LDM = [(".to_q.", ".q."), (".to_k.", ".k."), (".to_v.", ".v."), (".to_out.0.", ".proj_out."), (".group_norm.", ".norm.")]


def ldm_name(name):
    for level in range(4):
        for block in range(3):
            name = name.replace(f"encoder.down_blocks.{level}.resnets.{block}", f"encoder.down.{level}.block.{block}")
            name = name.replace(f"decoder.up_blocks.{level}.resnets.{block}", f"decoder.up.{3 - level}.block.{block}")
        name = name.replace(f"down_blocks.{level}.downsamplers.0", f"down.{level}.downsample")
        name = name.replace(f"up_blocks.{level}.upsamplers.0", f"up.{3 - level}.upsample")
    for block in range(2):
        name = name.replace(f"mid_block.resnets.{block}", f"mid.block_{block + 1}")
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for new, old in LDM:
            name = name.replace(new, old)
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def other_names(model, image):
    tensors = load_file(HERE / "sd15" / WEIGHTS)
    with torch.no_grad():
        mean = model.encode(image).latent_dist.mean

    folder = fresh("sd15_old")
    folder.mkdir()
    shutil.copy(HERE / "sd15" / "config.json", folder)
    old = {}
    for name, tensor in tensors.items():
        for new_map, old_map in OLD if ".attentions." in name else []:
            name = name.replace(new_map, old_map)
        old[name] = tensor
    save_file(old, folder / WEIGHTS)
    again = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False)
    with torch.no_grad():
        assert torch.equal(again.encode(image).latent_dist.mean, mean)

    folder = fresh("sd15_ldm")
    folder.mkdir()
    is_map = lambda name: ".attentions." in name and name.endswith("weight") and "group_norm" not in name
    ldm = {ldm_name(name): tensor[:, :, None, None] if is_map(name) else tensor for name, tensor in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in ldm.items()}, folder / "ae.safetensors")
    config = json.loads((HERE / "sd15" / "config.json").read_text())
    converted = convert_ldm_vae_checkpoint(dict(ldm), config)
    assert converted.keys() == tensors.keys()
    assert all(torch.equal(converted[name].reshape(tensors[name].shape), tensors[name]) for name in tensors)


if __name__ == "__main__":
    first = continuous("sd15", 0)
    for seed, name in enumerate(list(KINDS)[1:], start=1):
        continuous(name, seed)
    codes(9)
    other_names(*first)
