"""What is mutated: for each kind its seeds, where the mutants lie, and the command that reads them."""

import io
import json
import pickle
import shutil
import struct
import sys
import tarfile
import types
import wave
import zipfile
from collections import OrderedDict
from pathlib import Path

from kill_scenes import SWEEP, TEXTS
from setting import changed, prepare

ROOT = Path(__file__).resolve().parents[2]
CRATES = ROOT / "crates"


class Kind:
    """Files of one kind. `places` are where mutants go; more than one mutant a command where a bad file is only skipped."""

    def __init__(self, name, seeds, places, command, text=False, head=0):
        self.name, self.seeds, self.places, self.command = name, seeds, places, command
        self.text, self.head = text, head

    def files(self, draws):
        return [(place, draws.choice(self.seeds)) for place in self.places]

    def restored(self):
        """Files of the program's own that have to be whole again for the next kind."""
        return [(place, self.seeds[0]) for place in self.places if not place.startswith("mutants")]


def pytorch(tensors):
    """A file of `torch.save`, written without PyTorch: a zip with a pickle of tensors and a file for each storage."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild(*_):
        raise NotImplementedError
    rebuild.__module__, rebuild.__name__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor_v2"
    torch.FloatStorage, torch._utils, utils._rebuild_tensor_v2 = storage, utils, rebuild
    sys.modules.update({"torch": torch, "torch._utils": utils})

    class Tensor:
        def __init__(self, key, shape, count):
            self.key, self.shape, self.count = key, shape, count

        def __reduce__(self):
            strides = [1] * len(self.shape)
            for axis in range(len(self.shape) - 2, -1, -1):
                strides[axis] = strides[axis + 1] * self.shape[axis + 1]
            return rebuild, (Storage(self.key, self.count), 0, tuple(self.shape), tuple(strides), False, OrderedDict())

    class Storage:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", storage, thing.key, "cpu", thing.count) if isinstance(thing, Storage) else None

    state, data = OrderedDict(), {}
    for index, (name, (shape, values)) in enumerate(tensors.items()):
        state[name], data[str(index)] = Tensor(str(index), shape, len(values) // 4), values
    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump(state)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for key, values in data.items():
            archive.writestr(f"archive/data/{key}", values)
        archive.writestr("archive/version", "3\n")
    del sys.modules["torch"], sys.modules["torch._utils"]
    return out.getvalue()


def tensors_of(path):
    """Names, shapes and bytes of a safetensors file."""
    contents = path.read_bytes()
    length = struct.unpack("<Q", contents[:8])[0]
    header = json.loads(contents[8:8 + length])
    header.pop("__metadata__", None)
    cut = lambda info: contents[8 + length + info["data_offsets"][0]:8 + length + info["data_offsets"][1]]
    return {name: (info["shape"], cut(info)) for name, info in header.items()}


def clip(path, rising):
    """Three quarters of a second of a triangle wave."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        period = lambda k: 40 - k // 300 if rising else 20 + k // 300
        file.writeframes(b"".join(struct.pack("<h", int(16000 * ((k % period(k)) / period(k) - 0.5))) for k in range(6000)))


def npy(shape, values):
    """An array of doubles as NumPy writes it."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack(f"<{len(values)}d", *values)


def statistics(path, size):
    """Mean and covariance of a set of images, as pytorch-fid keeps them."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mu.npy", npy(f"({size},)", [0.1 * k for k in range(size)]))
        square = [1.0 + row if row == column else 0.1 for row in range(size) for column in range(size)]
        archive.writestr("sigma.npy", npy(f"({size}, {size})", square))


def write_tar(folder, path):
    with tarfile.open(path, "w") as tar:
        for image in sorted((folder / "images").glob("*.png")):
            for suffix, data in (("png", image.read_bytes()), ("txt", image.stem.encode())):
                member = tarfile.TarInfo(f"{image.stem}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def prepare_seeds(program):
    """Trains what is needed, and keeps a copy of every seed in `seeds/`."""
    folder = program.folder
    prepare(folder)
    seeds = folder / "seeds"
    seeds.mkdir()
    program.must(["train", "tiny.toml"])
    program.must(["vae", "train", "vae.toml"])
    shutil.rmtree(folder / "run/checkpoints/step-000003")
    shutil.copytree(folder / "run", folder / "other")
    # Hashes would find every mutant before a reader sees it.
    for path in folder.rglob("SHA256SUMS"):
        path.unlink()
    (folder / "clips").mkdir()
    for number in range(8):
        clip(folder / f"clips/{number}.wav", number % 2 == 0)
        (folder / f"clips/{number}.txt").write_text(f"tone {number}")
    program.must(["speech", "units", "train", "clips", "--units", "8", "--sample-rate", "8000", "--held-out", "0.25"])
    program.must(["speech", "units", "encode", "--out", "units.txt", "clips/0.wav", "clips/1.wav"])
    write_tar(folder, seeds / "images.tar")
    statistics(seeds / "statistics.npz", 6)
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "texts.toml").write_text(TEXTS)
    (folder / "texts").mkdir()
    for number in range(20):
        (folder / f"texts/{number}.txt").write_text(f"{number} " + " ".join(f"w{number * k % 89}" for k in range(30)))
    rows = ["params,tokens,loss"] + [f"{p},{t},{2 + 60 / p ** 0.3 + 90 / t ** 0.3:.5f}" for p in (1e6, 4e6, 2e7, 8e7)
                                     for t in (1e7, 1e8, 1e9)]
    (seeds / "table.csv").write_text("\n".join(rows) + "\n")
    checkpoint, vae = folder / "run/checkpoints/step-000006", folder / "vae-run/vae"
    weights = vae / "diffusion_pytorch_model.safetensors"
    (seeds / "weights.bin").write_bytes(pytorch(tensors_of(weights)))
    own = ["tiny.toml", "vae.toml", "sweep.toml", "units.txt", "units.safetensors", "images/metadata.jsonl",
           "run/config.toml", "run/metrics.jsonl"]
    for path in [*(folder / name for name in own), checkpoint / "config.json", checkpoint / "tokenizer.json",
                 checkpoint / "ema.safetensors", weights]:
        shutil.copy(path, seeds / path.name)
    shutil.copy(vae / "config.json", seeds / "vae-config.json")
    program.must(["scaling", "fit", "seeds/table.csv", "--resamples", "2", "--out", "seeds/fit.json"])
    # A folder whose weights PyTorch has written.
    (folder / "pickled").mkdir()
    shutil.copy(vae / "config.json", folder / "pickled/config.json")


def kinds(folder):
    """All kinds, of a folder that [`prepare_seeds`] has prepared."""
    seed = lambda *names: [folder / "seeds" / name for name in names]
    checkpoint, sample = "run/checkpoints/step-000006", ["sample", "run", "red", "--count", "1", "--out", "out"]
    images = [path for kind in ("kinds", "jpeg", "animated") for path in
              sorted((CRATES / f"evaluation/src/image_set/fixture/{kind}").glob("*.*")) if path.stat().st_size < 100_000]
    audio = [path for path in sorted((CRATES / "speech/tests/audio").iterdir())
             if path.suffix in (".wav", ".flac", ".mp3", ".ogg")]
    reconstruct = ["vae", "reconstruct", "images", "--out", "out", "--vae"]
    shards = 'data.source={kind="shards",shards=["mutants/images.tar"],held_out=0.0}'
    return [
        Kind("configuration", seed("tiny.toml"), ["mutants/tiny.toml"], ["inspect", "mutants/tiny.toml"], text=True),
        Kind("autoencoder-configuration", seed("vae.toml"), ["mutants/vae.toml"], ["vae", "inspect", "mutants/vae.toml"],
             text=True),
        Kind("sweep", seed("sweep.toml"), ["sweep.toml"], ["scaling", "plan", "sweep.toml"], text=True),
        Kind("table", seed("table.csv"), ["mutants/table.csv"],
             ["scaling", "fit", "mutants/table.csv", "--resamples", "2", "--out", "mutants/fit.json"], text=True),
        Kind("fit", seed("fit.json"), ["mutants/fit.json"],
             ["scaling", "predict", "mutants/fit.json", "--params", "70M", "--tokens", "5B"], text=True),
        Kind("captions", seed("metadata.jsonl"), ["images/metadata.jsonl"], ["data", "inspect", "tiny.toml"], text=True),
        Kind("metrics", seed("metrics.jsonl"), ["other/metrics.jsonl"],
             ["compare", "run", "other", "--training-only", "--resamples", "5", "--out", "out"], text=True),
        Kind("run-configuration", seed("config.toml"), ["run/config.toml"], sample, text=True),
        Kind("card", seed("config.json"), [f"{checkpoint}/config.json"], sample, text=True),
        Kind("tokenizer", seed("tokenizer.json"), [f"{checkpoint}/tokenizer.json"], sample, text=True),
        Kind("safetensors", seed("ema.safetensors"), [f"{checkpoint}/ema.safetensors"], sample, head=4096),
        Kind("autoencoder", seed("vae-config.json"), ["vae-run/vae/config.json"], [*reconstruct, "vae-run/vae"], text=True),
        Kind("pickle", seed("weights.bin"), ["pickled/diffusion_pytorch_model.bin"], [*reconstruct, "pickled"], head=9000),
        Kind("tar", seed("images.tar"), ["mutants/images.tar"], changed(["data", "inspect", "tiny.toml"], shards), head=3000),
        Kind("image", images, [f"mutants/images/{number}{path.suffix}" for number, path in enumerate(images)],
             ["vae", "encode", "mutants/images", "--vae", "vae-run/vae", "--out", "out"], head=600),
        Kind("audio", audio, [f"mutants/clips/{number}{path.suffix}" for number, path in enumerate(audio)],
             ["speech", "units", "encode", "--out", "out.txt",
              *(f"mutants/clips/{number}{path.suffix}" for number, path in enumerate(audio))], head=300),
        Kind("statistics", seed("statistics.npz"), ["mutants/statistics.npz"],
             ["fid", "seeds/statistics.npz", "mutants/statistics.npz"], head=300),
        Kind("units", seed("units.txt"), ["mutants/units.txt"],
             ["speech", "error-rate", "mutants/units.txt", "units.txt"], text=True),
        Kind("unit-codec", seed("units.safetensors"), ["units.safetensors"],
             ["speech", "units", "encode", "--out", "out.txt", "clips/0.wav"], head=3000),
    ]
