"""One run with all that people bring: from tars, texts and edits, in three sizes, on a language model, to PyTorch.

    pip install torch transformers safetensors tokenizers numpy pillow
    cargo build --release
    python tests/end_to_end/walk.py target/release/interfuse

It makes photographs of three proportions in WebDataset's tars, a folder of texts, and edits; trains a Mixture-of-Transformers
on them whose text part is a small language model and frozen; ends it half-way and goes on; draws a prompt in each of the three
sizes, edits an image, captions one, exports the text part, and opens both in PyTorch. It takes less than a minute and ends with an
error where anything is not as it should be.
"""

import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

import torch
import transformers
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "assets" / "pytorch"))
from reader import Transfusion  # noqa: E402

LANGUAGE_MODEL = ROOT / "tests" / "tests" / "language_model" / "qwen3"
# Height and width; the words are what the language model's tokenizer has letters for.
SIZES = {"low": (16, 32), "mid": (24, 24), "high": (32, 16)}
COLOURS = {"hot": (220, 40, 30), "dim": (40, 40, 60), "top": (240, 230, 210)}
STEPS = 60
CONFIG = """
[run]
dir = "{run}"
device = "cpu"

[data]
image_size = [24, 24]
buckets = {{ sizes = [[16, 32], [32, 16]] }}
source = {{ kind = "shards", shards = ["{shards}/photographs-{{0..2}}.tar"], held_out = 0.1 }}

[[data.mixture]]
name = "photographs"
weight = 2.0
content = {{ kind = "images" }}

[[data.mixture]]
name = "texts"
weight = 1.0
content = {{ kind = "texts", corpus = {{ kind = "folder", path = "{texts}" }} }}

[[data.mixture]]
name = "edits"
weight = 1.0
content = {{ kind = "conversations", source = {{ kind = "files", files = ["{edits}/edits.jsonl"], layout = {{ kind = "edit" }}, images = "{edits}" }} }}

[start]
language_model = "{language_model}"

[model]
partition = [["text"], ["image"]]
positions = "axial"

[model.backbone]
d_model = 24
n_layers = 2
n_heads = 4
n_kv_heads = 2
d_ff = 40
norm_epsilon = 1e-5
qk_norm = true
head_dim = 16

[model.modalities.text]
objective = "next_token"
tied_head = true

[model.modalities.image]
objective = "denoise"
patch_size = 8
learned_positions = true
prediction = "clean"

[objective]
image_averaging = "patch"

[optimizer]
learning_rate = 3e-3
warmup_steps = 5
parts = {{ text = {{ frozen = true }} }}

[train]
steps = {steps}
batch_size = 8

[intervals]
validation = {steps}
preview = {steps}
checkpoint = {half}

[sampling]
steps = 10
"""


def picture(size, colour):
    """A bright stripe along the long side of an image of a colour."""
    height, width = size
    image = Image.new("RGB", (width, height), colour)
    stripe = (width, max(height // 8, 1)) if width >= height else (max(width // 8, 1), height)
    image.paste((250, 250, 120), (0, 0, *stripe))
    return image


def photographs(folder):
    """Sixty JPEGs of three proportions, of four times the size that they are trained in, in three tars."""
    folder.mkdir()
    number = 0
    for shard in range(3):
        with tarfile.open(folder / f"photographs-{shard}.tar", "w") as tar:
            for _ in range(20):
                word, size = list(SIZES.items())[number % 3]
                name, colour = list(COLOURS.items())[number // 3 % 3]
                jpeg = io.BytesIO()
                picture([4 * side for side in size], colour).save(jpeg, "JPEG", quality=92)
                for suffix, data in (("jpg", jpeg.getvalue()), ("txt", f"{word} {name}".encode())):
                    member = tarfile.TarInfo(f"{number:05}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                number += 1


def texts(folder):
    folder.mkdir()
    words = [*SIZES, *COLOURS]
    for number in range(24):
        chosen = [words[(number * 7 + place * place) % len(words)] for place in range(12 + number % 5)]
        (folder / f"{number:03}.txt").write_text(" ".join(chosen) + "\n")


def edits(folder):
    """An image of one colour, and what it is in another."""
    folder.mkdir()
    rows = []
    for before in COLOURS:
        picture((24, 24), COLOURS[before]).save(folder / f"{before}.png")
    for before in COLOURS:
        for after in COLOURS:
            if before != after:
                rows.append({"original": f"{before}.png", "edit": f"{after} it", "edited": f"{after}.png"})
    (folder / "edits.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))


def interfuse(*arguments):
    """What the program said on its standard output; ends everything where it fails."""
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"interfuse {' '.join(map(str, arguments[:2]))}: {done.stderr or done.stdout}")
    return done.stdout


def trained(folder):
    """A run that was ended half-way and went on."""
    config, run = folder / "config.toml", folder / "run"
    fields = dict(run=run, shards=folder / "shards", texts=folder / "texts", edits=folder / "edits")
    config.write_text(CONFIG.format(**fields, language_model=LANGUAGE_MODEL, steps=STEPS, half=STEPS // 2))
    interfuse("train", config, "--set", f"train.steps={STEPS // 2}")
    said = interfuse("train", config, "--resume")
    assert "resuming from" in said, said
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [step["image_loss"] for step in steps if "image_loss" in step]
    assert len(losses) > 10 and sum(losses[-5:]) < 0.8 * sum(losses[:5]), f"images are not learned: {losses}"
    print(f"trained {STEPS} steps in two parts: image loss {losses[0]:.3f} to {losses[-1]:.3f}")
    return run


def drawn(run, folder):
    """A prompt in each size, an edit of an image, and a caption."""
    for word, (height, width) in SIZES.items():
        out = folder / f"drawn-{word}"
        interfuse("sample", run, f"{word} hot", "--count", 1, "--size", f"{height}x{width}", "--out", out)
        image = Image.open(out / "000000.png")
        assert image.size == (width, height), (image.size, width, height)
    interfuse("edit", run, folder / "edits" / "dim.png", "hot it", "--count", 1, "--out", folder / "edited")
    assert Image.open(folder / "edited" / "000000.png").size == (24, 24)
    wide = folder / "wide.png"
    picture((40, 90), COLOURS["dim"]).save(wide)
    said = interfuse("caption", run, wide, folder / "edits" / "top.png")
    assert len(said.splitlines()) == 2, said
    print("drawn in three sizes, edited, captioned")


def opened(run, folder):
    """The text part in transformers and the whole model in PyTorch, against each other and against what it started from."""
    exported = folder / "exported"
    interfuse("export", run, exported)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32).eval()
    before = transformers.AutoModelForCausalLM.from_pretrained(LANGUAGE_MODEL, dtype=torch.float32).eval()
    ours = Transfusion(max((run / "checkpoints").glob("step-*")))
    ids = json.loads((LANGUAGE_MODEL / "logits.json").read_text())["ids"]
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits[0]
        [whole] = ours([("text", ids)])
        started = before(torch.tensor([ids])).logits[0]
    gap = (logits - whole).abs().max().item()
    moved = (logits[:, : before.config.vocab_size] - started).abs().max().item()
    assert gap < 1e-4, f"the exported text part differs from the whole model by {gap}"
    assert moved < 1e-5, f"the frozen text part moved by {moved}"
    print(f"opened in PyTorch: logits {gap:.1e} from the whole model's, {moved:.1e} from those that it started with")


def main():
    transformers.utils.logging.disable_progress_bar()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photographs(folder / "shards")
        texts(folder / "texts")
        edits(folder / "edits")
        run = trained(folder)
        drawn(run, folder)
        opened(run, folder)
    print(f"{time.monotonic() - started:.0f} seconds")


main()
