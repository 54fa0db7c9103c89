"""Small random language models of every family that is read, as transformers writes them, and their logits.

    pip install torch transformers safetensors tokenizers
    python generate.py            # writes the folders beside this file
"""

import json
import pathlib

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(
    vocab_size=72, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5,
)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16,
)
IDS = [3, 41, 7, 7, 0, 60, 12, 71, 25, 33, 9, 2, 50, 18, 64, 5, 29, 44, 1, 38]


def llama3(config):
    """Newer versions of transformers keep the base of the angles beside their scaling."""
    if hasattr(config, "rope_parameters"):
        config.rope_parameters = dict(LLAMA3, rope_theta=50000.0)
    else:
        config.rope_scaling, config.rope_theta = LLAMA3, 50000.0
    return config


MODELS = {
    "llama": (LlamaForCausalLM, lambda: LlamaConfig(**SIZES, tie_word_embeddings=False), {}),
    "llama3-tied": (LlamaForCausalLM, lambda: llama3(LlamaConfig(**SIZES, tie_word_embeddings=True)), {}),
    "qwen2-shards": (Qwen2ForCausalLM, lambda: Qwen2Config(**SIZES, tie_word_embeddings=False), dict(max_shard_size="20KB")),
    "qwen3": (Qwen3ForCausalLM, lambda: Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True), {}),
    "llama-bf16": (LlamaForCausalLM, lambda: LlamaConfig(**SIZES, tie_word_embeddings=False), dict(dtype=torch.bfloat16)),
}


def tokenizer():
    """A byte-level BPE without markers for images."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>", "</s>"], initial_alphabet=[])
    made.train_from_iterator(["low mid high top"] * 4, trainer)
    return made


def main():
    for seed, (name, (kind, config, saving)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = kind(config()).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # Biases and norms start at 0 and 1, which would tell nothing apart.
                parameter += 0.1 * torch.randn_like(parameter)
        dtype = saving.pop("dtype", torch.float32)
        folder = HERE / name
        model = model.to(dtype)
        model.save_pretrained(folder, **saving)
        tokenizer().save(str(folder / "tokenizer.json"))
        with torch.no_grad():
            logits = model.float()(torch.tensor([IDS])).logits[0]
        (folder / "logits.json").write_text(json.dumps({"ids": IDS, "logits": [[round(x, 6) for x in row] for row in logits.tolist()]}))
        (folder / "generation_config.json").unlink(missing_ok=True)


main()
