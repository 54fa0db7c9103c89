"""One bit, flipped, in every file of a run folder: it is told of, or it changes nothing.

    python3 tests/campaigns/bit_flips.py PROGRAM FOLDER [--flips 12] [--seed 0]

Each case copies a run folder, flips one bit of one file at a place that the seed decides, and asks the commands that read the
file. A panic, a signal, a hang, or a success with other results and not a word about it is a failure.
"""

import argparse
import random
import re
import shutil
import sys
from pathlib import Path

from setting import Account, Program, changed, prepare, tree

ON_LATENTS = ['codec={kind="vae",path="vae-run/vae"}', "model.modalities.image.patch_size=2", 'run.dir="latent"']
CACHED = ['codec={kind="vae",path="vae-run/vae",cache="latents"}', "model.modalities.image.patch_size=2",
          'run.dir="from-cache"']


class Question:
    """A command, and the files that hold its results."""

    def __init__(self, args, results):
        self.args, self.results = args, results


def questions():
    """By the folder whose files are flipped: what reads them."""
    resume = lambda changes, run: Question([*changed(["train", "tiny.toml"], "train.steps=9", *changes), "--resume"],
                                           f"{run}/checkpoints/step-000009")
    sample = lambda run: Question(["sample", run, "red", "--count", "1", "--out", "out"], "out")
    encode = Question(["vae", "encode", "images", "--vae", "vae-run/vae", "--out", "out"], "out")
    again = Question([*changed(["vae", "train", "vae.toml"], "train.steps=6"), "--resume"],
                     "vae-run/checkpoints/step-000006")
    return {
        "run": [resume([], "run"), sample("run"), Question(["sample", "run", "red", "--raw-weights", "--out", "out"], "out")],
        "latent": [resume(ON_LATENTS, "latent"), sample("latent")],
        "vae-run": [again, encode],
        "latents": [Question(changed(["train", "tiny.toml"], *CACHED), "from-cache/checkpoints/step-000006")],
    }


def plain(text):
    """Lines without numbers, which a clock may change."""
    return {re.sub(r"[0-9.]+", "#", line) for line in text.splitlines() if line.strip()}


def results(folder):
    """The files that hold results; what differs by the clock is left out."""
    return tree(folder) if folder.exists() else {}


def places(path, random_numbers, count):
    """Where a bit is flipped: half of them in the first 4 KiB, where headers are."""
    size = path.stat().st_size
    for number in range(count):
        below = min(size, 4096) if number % 2 else size
        yield random_numbers.randrange(below), random_numbers.randrange(8)


def flip(path, place, bit):
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1 << bit
    path.write_bytes(contents)


def judge(ended, found, known):
    """What is wrong with the end of a command on a flipped file; `None` for a message or the same results."""
    if trouble := ended.trouble():
        return trouble
    if ended.status != 0:
        return None
    told = plain(ended.stderr) - known["stderr"] or plain(ended.stdout) - known["stdout"]
    if found != known["results"] and not told:
        other = [name for name in found.keys() | known["results"].keys() if found.get(name) != known["results"].get(name)]
        return f"other results without a word: {sorted(other)[:3]}"
    return None


def ask(program, question):
    ended = program.run(question.args, timeout=60.0)
    return ended, results(program.folder / question.results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flips", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    whole, place = asked.folder.resolve() / "whole", asked.folder.resolve() / "flipped"
    shutil.rmtree(whole, ignore_errors=True)
    prepare(whole)
    program = Program(asked.program, whole)
    program.must(["train", "tiny.toml"])
    program.must(["vae", "train", "vae.toml"])
    program.must(changed(["train", "tiny.toml"], *ON_LATENTS))
    program.must(changed(["data", "encode", "tiny.toml"], *CACHED))
    program = Program(asked.program, place)

    def fresh():
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)

    account = Account(asked.folder)
    for folder, asks in questions().items():
        known = {}
        for question in asks:
            fresh()
            ended, found = ask(program, question)
            if ended.status != 0:
                raise SystemExit(f"{question.args}: {ended.stderr}")
            known[question] = {"stderr": plain(ended.stderr), "stdout": plain(ended.stdout), "results": found}
        for name in tree(whole / folder):
            random_numbers = random.Random(f"{asked.seed}/{folder}/{name}")
            messages, before = set(), len(account.failures)
            if not (whole / folder / name).stat().st_size:
                continue
            for where, bit in places(whole / folder / name, random_numbers, asked.flips):
                for question in asks:
                    fresh()
                    flip(place / folder / name, where, bit)
                    ended, found = ask(program, question)
                    account.case(f"{folder}/{name} byte {where} bit {bit}: {' '.join(question.args[:2])}",
                                 judge(ended, found, known[question]))
                    if ended.status:
                        messages.add(re.sub(r"\d+", "#", ended.message())[:140])
            print(f"{folder}/{name}: {len(account.failures) - before} failures, {len(messages)} different messages, "
                  f"such as: {next(iter(sorted(messages)), 'none')}", flush=True)
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
