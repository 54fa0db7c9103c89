"""What is killed: each scene knows its command, what must hold after every kill, and what at the end."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

from setting import changed, digest, tree

STEPS = 60
TRAIN = changed(["train", "tiny.toml"], f"train.steps={STEPS}", "intervals.checkpoint=3", "intervals.preview=20",
                "intervals.validation=10", "train.gradient_accumulation=2")
VAE = changed(["vae", "train", "vae.toml"], "train.steps=30", "intervals.checkpoint=3", "intervals.preview=10",
              "intervals.validation=10")
ON_LATENTS = ['codec={kind="vae",path="vae-run/vae",cache="latents"}', "model.modalities.image.patch_size=2"]

TEXTS = """
[run]
dir = "unused"
device = "cpu"

[data]
mixture_by = "tokens"

[[data.mixture]]
name = "texts"
content = { kind = "texts", corpus = { kind = "folder", path = "texts" }, document_bytes = 128, max_tokens = 64 }

[tokenizer]
vocab_size = 261

[model]
partition = [["text"]]

[model.backbone]
d_model = 16
n_layers = 1
n_heads = 2

[model.modalities.text]
objective = "next_token"

[train]
steps = 1
batch_size = 4

[intervals]
validation = 0
preview = 0
checkpoint = 10
"""

SWEEP = """
sizes = ["8K"]
tokens = ["20K", "40K"]
seeds = [0, 1]
least_steps = 20

[[groups]]
modalities = ["text"]
config = "texts.toml"
tokens_per_document = 50.0
losses = { text = "held_out/texts.text_loss" }
"""


def steps_of(checkpoints):
    """Steps of the checkpoints that have their right name."""
    if not checkpoints.is_dir():
        return set()
    names = (path.name for path in checkpoints.iterdir())
    return {name for name in names if name.startswith("step-") and name[5:].isdigit()}


def without_times(line):
    """Metrics without what a clock or the memory says."""
    loud = ("seconds", "per_second", "time", "memory", "duration", "elapsed")
    return {key: value for key, value in line.items() if not any(word in key for word in loud)}


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Training:
    """A run: its checkpoints are those of a run that nobody killed, and none goes."""

    name, train, run = "train", TRAIN, "run"
    # How often the whole process group is killed instead of the program alone, and after how many kills it is left alone.
    group, most = 1.0, 40

    def __init__(self, program, reference):
        self.program, self.reference = program, reference
        self.folder, self.seen, self.longest = program.folder / self.run, set(), reference["seconds"]

    @classmethod
    def reference(cls, program):
        ended = program.must(cls.train)
        print(f"{cls.name}: {ended.seconds:.2f} s when nobody kills it", flush=True)
        return {"seconds": ended.seconds, "folder": program.folder, "files": tree(program.folder / cls.run)}

    def command(self):
        begun = steps_of(self.folder / "checkpoints")
        return [*self.train, "--resume"] if begun else self.train

    def after_kill(self):
        steps = steps_of(self.folder / "checkpoints")
        gone, self.seen = self.seen - steps, steps
        if gone:
            return f"checkpoints are gone: {sorted(gone)}"
        for step in sorted(steps, key=lambda name: int(name[5:]))[-2:]:
            if other := self.differs(f"checkpoints/{step}"):
                return other
        return None

    def differs(self, below):
        """The first file below a folder of the run that is not as in the reference."""
        prefix = f"{below}/" if below else ""
        expected = {name: hash for name, hash in self.reference["files"].items() if name.startswith(prefix)}
        found = {f"{prefix}{name}": hash for name, hash in tree(self.folder / below).items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                return f"{name} differs" if name in expected and name in found else f"{name} is there in one run only"
        return None

    def finished(self):
        return True

    def finish(self):
        if self.last() not in steps_of(self.folder / "checkpoints"):
            self.program.must(self.command())

    @classmethod
    def last(cls):
        return f"step-{STEPS:06}"

    def at_end(self):
        self.finish()
        if other := self.differs("checkpoints"):
            return other
        lines = [[without_times(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()]
                 for folder in (self.folder, self.reference["folder"] / self.run)]
        if lines[0] != lines[1]:
            pair = next(((a, b) for a, b in zip(*lines) if a != b), (len(lines[0]), len(lines[1])))
            return f"metrics.jsonl differs: {pair}"
        left = [path.name for path in self.folder.rglob("*") if path.name.endswith((".partial", ".replaced"))]
        return f"left behind: {left}" if left else None


class Autoencoder(Training):
    """The same of an autoencoder; `vae/` beside the checkpoints is that of a checkpoint."""

    name, train, run = "vae", VAE, "vae-run"

    @classmethod
    def last(cls):
        return "step-000030"

    def at_end(self):
        return super().at_end() or self.differs("vae")


class Cache(Training):
    """Every file of a latent cache is whole or absent, and nobody trains on a cache that is not whole."""

    name, run, most = "cache", "latents", 12
    train = changed(["data", "encode", "tiny.toml"], *ON_LATENTS)

    @classmethod
    def reference(cls, program):
        program.must(["vae", "train", "vae.toml"])
        cls.more_images(program.folder)
        return super().reference(program)

    @staticmethod
    def more_images(folder):
        lines = []
        for number in range(400):
            shutil.copy(folder / "images/red.png", folder / f"images/{number}.png")
            lines.append(json.dumps({"file_name": f"{number}.png", "text": f"red {number}"}) + "\n")
        with (folder / "images/metadata.jsonl").open("a") as file:
            file.writelines(lines)
        # A cache remembers when its images were changed.
        for path in (folder / "images").iterdir():
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def __init__(self, program, reference):
        super().__init__(program, reference)
        self.more_images(program.folder)
        shutil.copytree(reference["folder"] / "vae-run", program.folder / "vae-run")

    def command(self):
        return self.train

    def after_kill(self):
        files = tree(self.folder) if self.folder.exists() else {}
        files = {name: hash for name, hash in files.items() if not name.endswith(".partial")}
        for name, hash in files.items():
            if self.reference["files"].get(name) != hash:
                return f"{name} differs"
        if len(files) == len(self.reference["files"]):
            # Whole: the next one begins again.
            shutil.rmtree(self.folder)
            return None
        ended = self.program.run(changed(["train", "tiny.toml"], *ON_LATENTS, "train.steps=1"))
        expected = ended.status == 1 and "latents" in ended.message()
        return None if expected else f"trained on a part of a cache, {sorted(files)}: {ended.status} {ended.stderr}"

    def finished(self):
        self.made = getattr(self, "made", 0) + 1
        return self.made > 5

    def finish(self):
        self.program.must(self.train)

    def at_end(self):
        self.finish()
        return self.differs("")


class Sweep(Training):
    """A sweep, killed alone or with its children: no finished run is lost or repeated."""

    name, run, group = "sweep", "sweep", 0.5
    train = ["scaling", "sweep", "sweep.toml", "--out", "sweep"]

    @staticmethod
    def prepare(folder):
        (folder / "texts").mkdir(exist_ok=True)
        for number in range(60):
            words = " ".join(f"word{(number * 31 + place * 17) % 97}" for place in range(40))
            (folder / f"texts/{number}.txt").write_text(f"{number} {words}\n")
        (folder / "texts.toml").write_text(TEXTS)
        (folder / "sweep.toml").write_text(SWEEP)

    @classmethod
    def reference(cls, program):
        cls.prepare(program.folder)
        return super().reference(program)

    def __init__(self, program, reference):
        super().__init__(program, reference)
        self.prepare(program.folder)

    def command(self):
        return self.train

    def after_kill(self):
        weights = {name for name in tree(self.folder) if name.endswith("model.safetensors")} if self.folder.exists() else set()
        weights = {name for name in weights if ".partial" not in name}
        for name in weights & self.reference["files"].keys():
            path = self.folder / name
            if path.exists() and digest(path) != self.reference["files"][name]:
                return f"{name} differs"
        return None

    def finish(self):
        # Children that the kill has left go on to their ends; the sweep waits for their locks or is refused by them.
        for _ in range(30):
            ended = self.program.run(self.train)
            if ended.status == 0:
                return
            time.sleep(1.0)
        raise SystemExit(f"the sweep does not end: {ended.stderr}")

    def at_end(self):
        self.finish()
        files = tree(self.folder)
        for name, hash in self.reference["files"].items():
            if name.endswith("safetensors") or name == "table.csv":
                if files.get(name) != hash:
                    return f"{name} differs"
        return None


class Server(Training):
    """A server leaves the run as it was, and says the same after a kill."""

    name, run, most = "serve", "run", 12
    train = ["train", "tiny.toml"]

    @classmethod
    def reference(cls, program):
        reference = super().reference(program)
        reference["seconds"] = 1.0
        return reference

    def __init__(self, program, reference):
        super().__init__(program, reference)
        shutil.copytree(reference["folder"] / "run", self.folder)
        self.asking = None

    def command(self):
        port = free_port()
        # Clients ask all the time, from a shell of their own; the kill comes while an answer is made.
        body = json.dumps({"prompt": "red", "n": 2, "size": "16x8"})
        loop = (f"for i in $(seq 40); do curl -s -m 5 -o /dev/null -H 'Content-Type: application/json' -d '{body}' "
                f"http://127.0.0.1:{port}/v1/images/generations; sleep 0.02; done")
        self.end_asking()
        self.asking = subprocess.Popen(["sh", "-c", loop], start_new_session=True)
        return ["serve", "run", "--port", port]

    def end_asking(self):
        if self.asking:
            self.asking.terminate()
            self.asking.wait()

    def after_kill(self):
        self.end_asking()
        return self.differs("")

    def finished(self):
        return False

    def finish(self):
        port = free_port()
        child = self.program.start(["serve", "run", "--port", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.answer = self.ask(port)
        finally:
            child.kill()
            child.wait()

    @staticmethod
    def ask(port):
        body = json.dumps({"prompt": "red", "n": 1, "size": "16x8"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/images/generations", body,
                                         {"Content-Type": "application/json"})
        for _ in range(100):
            try:
                return json.load(urllib.request.urlopen(request, timeout=20))["data"]
            except urllib.error.HTTPError:
                raise
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server does not answer")

    def at_end(self):
        self.finish()
        known = self.reference.setdefault("answer", self.answer)
        return self.differs("") or (None if known == self.answer else "another image for the same prompt")


SCENES = {scene.name: scene for scene in (Training, Autoencoder, Cache, Sweep, Server)}
