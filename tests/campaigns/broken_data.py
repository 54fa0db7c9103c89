"""A tenth of a data set is broken: the rest is trained on, and what is broken is counted exactly.

    python3 tests/campaigns/broken_data.py PROGRAM FOLDER [--images 400] [--seed 0]

The same images lie in a folder and in tars; a tenth of the files is cut short, empty, of another format or damaged in their
middle. `data inspect` has to count them all, and a training that sees every image has to end by itself.
"""

import argparse
import io
import json
import random
import re
import shutil
import sys
import tarfile
from pathlib import Path

from setting import Account, MODEL, Program, changed, png

#: Ways to break a file. Each leaves no image that could be decoded whole.
BREAKS = {
    "cut": lambda contents, draws: contents[:draws.randrange(9, len(contents) - 12)],
    "empty": lambda contents, draws: b"",
    "text": lambda contents, draws: b"<html>404</html>",
    "damaged": lambda contents, draws: contents[:45] + bytes(draws.randrange(256) for _ in contents[45:]),
    "header": lambda contents, draws: b"\0" * 16 + contents[16:],
}


def speckled(draws):
    """An image of random pixels, which does not compress to nothing."""
    return png(16, 8, lambda x, y: [draws.randrange(256) for _ in range(3)])


def write(folder, count, draws):
    """Images in a folder and in tars, the same ones broken; the broken names."""
    (folder / "images").mkdir(parents=True)
    (folder / "shards").mkdir()
    (folder / "tiny.toml").write_text(MODEL)
    broken = sorted(draws.sample(range(count), count // 10))
    lines, shards = [], [tarfile.open(folder / f"shards/{number}.tar", "w") for number in range(4)]
    for number in range(count):
        contents = speckled(draws)
        if number in broken:
            contents = BREAKS[list(BREAKS)[number % len(BREAKS)]](contents, draws)
        name = f"{number:05}"
        (folder / f"images/{name}.png").write_bytes(contents)
        lines.append(json.dumps({"file_name": f"{name}.png", "text": f"image {number}"}) + "\n")
        for suffix, data in (("png", contents), ("txt", f"image {number}".encode())):
            member = tarfile.TarInfo(f"{name}.{suffix}")
            member.size = len(data)
            shards[number % 4].addfile(member, io.BytesIO(data))
    for tar in shards:
        tar.close()
    (folder / "images/metadata.jsonl").write_text("".join(lines))
    return [f"{number:05}" for number in broken]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    place = asked.folder.resolve() / "data"
    shutil.rmtree(place, ignore_errors=True)
    broken = write(place, asked.images, random.Random(asked.seed))
    program, account = Program(asked.program, place), Account(asked.folder)
    sources = {"folder": "images", "shards": 'data.source={kind="shards",shards=["shards/{0..3}.tar"],held_out=0.0}'}
    for name, source in sources.items():
        source = [source] if name == "shards" else []
        ended = program.run(changed(["data", "inspect", "tiny.toml"], *source))
        found = re.search(r"(\d+) images, (\d+) of them bad", ended.stdout)
        counts = tuple(map(int, found.groups())) if found else None
        expected = (asked.images, len(broken))
        account.case(f"{name}: data inspect", ended.trouble() or
                     (None if counts == expected else f"expected {expected} images and bad ones, found {counts}"))
        # Two documents a step: every whole image comes once.
        whole = asked.images - len(broken)
        once = changed(["train", "tiny.toml"], f"train.steps={whole // 2}", f"run.dir=\"run-{name}\"",
                       "intervals.validation=0", "intervals.preview=0", "intervals.checkpoint=0", *source)
        ended = program.run(once, timeout=300)
        account.case(f"{name}: train", ended.trouble() or (None if ended.status == 0 else ended.message()))
        state = next(iter((place / f"run-{name}/checkpoints").glob("*/training_state/state.json")), None)
        cursor = json.loads(state.read_text())["cursor"] if state else {}
        found = [line for line in ended.stdout.splitlines() if line.startswith("skipped")]
        print(f"{name}: {counts} images and bad ones; training: cursor {cursor}; {found[-1] if found else 'no word'}", flush=True)
        # Broken ones that lie behind the last whole one in the order of the epoch have not been opened.
        bad, behind = cursor.get("bad"), asked.images - cursor.get("next", 0)
        exact = bad is not None and bad + behind == len(broken) and behind >= 0
        account.case(f"{name}: counted in training", None if exact else f"expected {len(broken)}, found {bad} + {behind}")
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
