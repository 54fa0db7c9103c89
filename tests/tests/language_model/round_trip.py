"""A language model of transformers into a run and out again: two steps of training, then what transformers and PyTorch make of it.

    pip install torch transformers safetensors tokenizers numpy pillow
    cargo build --release
    python tests/tests/language_model/round_trip.py target/release/interfuse

For the folders of this directory: `interfuse train` starts from them, `interfuse export` gives the text part back,
`AutoModelForCausalLM` opens it, and its logits are compared with those of the whole model, which `assets/pytorch/reader.py`
reads from the checkpoint. It ends with an error where they differ by 1e-4 or more, or where anything cannot be opened.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from PIL import Image

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "assets" / "pytorch"))
from reader import Transfusion  # noqa: E402

COLOURS = {"low red": (220, 30, 30), "mid green": (30, 180, 40), "high blue": (30, 40, 220), "top white": (255, 255, 255)}
FROZEN = ["qwen3"]
# What a configuration says of a language model's sizes; `interfuse train` names every one that differs.
BACKBONES = {
    "llama": "n_kv_heads = 2\nd_ff = 40\nnorm_epsilon = 1e-5",
    "llama3-tied": 'n_kv_heads = 2\nd_ff = 40\nnorm_epsilon = 1e-5\nrope_theta = 5e4\nrope_scaling = { kind = "llama3", '
    "factor = 8.0, low_frequency_factor = 1.0, high_frequency_factor = 4.0, original_positions = 16 }",
    "qwen2-shards": "n_kv_heads = 2\nd_ff = 40\nnorm_epsilon = 1e-5\nqkv_bias = true",
    "qwen3": "n_kv_heads = 2\nd_ff = 40\nnorm_epsilon = 1e-5\nqk_norm = true\nhead_dim = 16",
    "llama-bf16": "n_kv_heads = 2\nd_ff = 40\nnorm_epsilon = 1e-5",
}
CONFIG = """
[run]
dir = "{run}"
device = "cpu"

[data]
image_size = [8, 8]
source = {{ kind = "folder", path = "{images}", held_out = 0.0 }}

[start]
language_model = "{language_model}"

[model]
partition = [["text"], ["image"]]
positions = "axial"

[model.backbone]
d_model = 24
n_layers = 2
n_heads = 4
{backbone}

[model.modalities.text]
objective = "next_token"
tied_head = {tied}

[model.modalities.image]
objective = "denoise"
patch_size = 4
timestep_conditioning = "row"

[optimizer]
warmup_steps = 1
learning_rate = 1e-2
parts = {{ text = {{ frozen = {frozen} }} }}

[train]
steps = 2
batch_size = 4

[validation]
images = 0

[preview]
count = 1
"""


def images(folder):
    folder.mkdir()
    rows = []
    for number, (caption, colour) in enumerate(COLOURS.items()):
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(rows) + "\n")


def trained(interfuse, name, folder):
    """The checkpoint of a run of two steps, and the folder that its text part was exported to."""
    tied = json.loads((HERE / name / "config.json").read_text())["tie_word_embeddings"]
    fields = dict(run=folder / name, images=folder / "images", language_model=HERE / name, backbone=BACKBONES[name])
    config = folder / f"{name}.toml"
    config.write_text(CONFIG.format(**fields, tied=str(tied).lower(), frozen=str(name in FROZEN).lower()))
    exported = folder / f"{name}-exported"
    for command in (["train", config], ["export", folder / name, exported]):
        done = subprocess.run([interfuse, *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"interfuse {command[0]} of {name}: {done.stderr or done.stdout}")
    return folder / name / "checkpoints" / "step-000002", exported


def gap(a, b):
    return (a - b).abs().max().item()


def main():
    torch.manual_seed(0)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        images(folder / "images")
        for name in BACKBONES:
            checkpoint, exported = trained(sys.argv[1], name, folder)
            theirs = transformers.AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32).eval()
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(exported)
            ours = Transfusion(checkpoint)
            ids = json.loads((HERE / name / "logits.json").read_text())["ids"]
            with torch.no_grad():
                logits = theirs(torch.tensor([ids])).logits[0]
                [expected] = ours([("text", ids)])
            difference = gap(logits, expected)
            prompt = tokenizer("low mid", return_tensors="pt", add_special_tokens=False)
            written = theirs.generate(**prompt, max_new_tokens=8, do_sample=False, eos_token_id=None)
            assert difference < 1e-4 and written.shape[1] == prompt["input_ids"].shape[1] + 8, (name, difference)
            special = ours.card["special_tokens"]
            markers = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
            assert markers == {key: special[key] for key in markers}, (name, markers, special)
            assert tokenizer.decode(prompt["input_ids"][0]) == "low mid", tokenizer.decode(prompt["input_ids"][0])
            before = transformers.AutoModelForCausalLM.from_pretrained(HERE / name, dtype=torch.float32).eval()
            with torch.no_grad():
                moved = gap(before(torch.tensor([ids])).logits[0], logits[:, : before.config.vocab_size])
            assert (moved < 1e-5) == (name in FROZEN), (name, moved)
            print(f"{name} ({type(theirs).__name__}): logits {difference:.1e} from the whole model's, {moved:.1e} from before")


main()
