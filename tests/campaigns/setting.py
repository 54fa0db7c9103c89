"""What every campaign needs: small images, configurations that train in a second, and ways to run the program.

Nothing but Python's standard library is used.
"""

import hashlib
import json
import os
import resource
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path

COLOURS = {
    "red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 220), "yellow": (240, 220, 40),
    "black": (0, 0, 0), "white": (255, 255, 255), "pink": (250, 150, 190), "cyan": (40, 220, 230),
}
HEIGHT, WIDTH = 8, 16

MODEL = """
[run]
dir = "run"
device = "cpu"
keep_checkpoints = 1000

[data]
image_size = [8, 16]
source = { kind = "folder", path = "images", held_out = 0.0 }

[tokenizer]
vocab_size = 261

[model]
partition = [["text"], ["image"]]

[model.backbone]
d_model = 16
n_layers = 1
n_heads = 2

[model.modalities.text]
objective = "next_token"

[model.modalities.image]
objective = "denoise"
patch_size = 4
process = "rectified_flow"
prediction = "velocity"

[optimizer]
learning_rate = 3e-3
warmup_steps = 2

[train]
steps = 6
batch_size = 2

[intervals]
validation = 3
preview = 3
checkpoint = 3

[sampling]
steps = 2
guidance = 2.0
max_tokens = 8
"""

AUTOENCODER = """
[run]
dir = "vae-run"
device = "cpu"
keep_checkpoints = 1000

[data]
image_size = [8, 16]
source = { kind = "folder", path = "images", held_out = 0.25 }

[vae]
latent_channels = 2
block_out_channels = [4, 4]
norm_num_groups = 2

[optimizer]
warmup_steps = 2

[train]
steps = 4
batch_size = 2

[intervals]
validation = 2
preview = 2
checkpoint = 2
"""


def png(width, height, pixel):
    """A PNG of 8 bits and three channels; `pixel(x, y)` gives three numbers."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def coloured(colour):
    """An image whose lower half is black."""
    return png(WIDTH, HEIGHT, lambda x, y: colour if y < HEIGHT // 2 else (0, 0, 0))


def prepare(folder):
    """Writes `images/`, `tiny.toml` and `vae.toml` into a folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for name, colour in COLOURS.items():
        (folder / f"images/{name}.png").write_bytes(coloured(colour))
        lines.append(json.dumps({"file_name": f"{name}.png", "text": name}) + "\n")
    (folder / "images/metadata.jsonl").write_text("".join(lines))
    (folder / "tiny.toml").write_text(MODEL)
    (folder / "vae.toml").write_text(AUTOENCODER)


def changed(command, *changes):
    """A command with a `--set` for each change."""
    return [*command, *(word for change in changes for word in ("--set", change))]


class Ended:
    """How a program ended: its status (negative: a signal), what it said, and after how long."""

    def __init__(self, status, stdout, stderr, seconds, timed_out=False):
        self.status, self.stdout, self.stderr = status, stdout, stderr
        self.seconds, self.timed_out = seconds, timed_out

    def trouble(self):
        """Why this is no way to end, whatever was asked; `None` for success and for an error with a message."""
        if self.timed_out:
            return f"still running after {self.seconds:.0f} s"
        if self.status == 101 or "panicked at" in self.stderr:
            lines = self.stderr.splitlines()
            at = next((number for number, line in enumerate(lines) if "panicked at" in line), 0)
            return "panic: " + " ".join(lines[at:at + 2])
        if self.status < 0:
            return f"ended by signal {-self.status}: {self.stderr[-200:]}"
        if self.status != 0 and not self.stderr.strip():
            return f"status {self.status} without a message"
        return None

    def message(self):
        """The last line of what it complained."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Program:
    """The program under test, in a folder."""

    def __init__(self, path, folder):
        self.path, self.folder = str(Path(path).resolve()), Path(folder)
        self.environment = {**os.environ, "RUST_BACKTRACE": "0"}

    def start(self, args, **more):
        """Starts it in a process group of its own."""
        return subprocess.Popen([self.path, *map(str, args)], cwd=self.folder, env=self.environment,
                                stdin=subprocess.DEVNULL, start_new_session=True, **more)

    def run(self, args, timeout=120.0, memory=None, before=None):
        """Runs it to its end; `memory` limits its address space in bytes, `before` is called in the child."""
        def limits():
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            if before:
                before()
        started = time.monotonic()
        child = self.start(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limits)
        timed_out = False
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
        text = (part.decode("utf-8", "replace") for part in (out, err))
        return Ended(child.returncode, *text, time.monotonic() - started, timed_out)

    def must(self, args, **more):
        """Runs it to its end, which has to be a success."""
        ended = self.run(args, **more)
        if ended.status != 0:
            raise SystemExit(f"{' '.join(map(str, args))} failed: {ended.stderr}")
        return ended


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder):
    """Every file below a folder by its name there, with its SHA-256."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): digest(path) for path in files}


class Account:
    """Counts cases and keeps what failed; one line a failure, and a status for the shell."""

    def __init__(self, folder):
        self.folder, self.cases, self.failures = Path(folder), 0, []

    def case(self, name, trouble):
        """Counts a case; `trouble` is `None` or what is wrong."""
        self.cases += 1
        if trouble:
            self.failures.append(f"{name}: {trouble}")
            print(f"FAILED {name}: {trouble}", flush=True)

    def end(self):
        """Prints the sum and gives the exit status."""
        print(f"{self.cases} cases, {len(self.failures)} failures", flush=True)
        return 1 if self.failures else 0
