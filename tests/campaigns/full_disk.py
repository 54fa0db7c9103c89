"""A disk that fills up, and folders that cannot be written: a clear message, and nothing of before is lost.

    python3 tests/campaigns/full_disk.py PROGRAM FOLDER [--seed 0]

Where the system allows it (root on Linux), the disk is a tmpfs of a few hundred KiB that is full for real; elsewhere files are
limited in size by `RLIMIT_FSIZE`, which fails in the same place. A read-only folder is a mount of its own, since root may write
whatever the permissions say.
"""

import argparse
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from setting import Account, Program, changed, prepare, tree

#: What is written, and where: a command, and the folder whose contents of before have to survive.
COMMANDS = {
    "train": ([*changed(["train", "tiny.toml"], "train.steps=12"), "--resume"], "run"),
    "vae train": ([*changed(["vae", "train", "vae.toml"], "train.steps=8"), "--resume"], "vae-run"),
    "encode": (changed(["data", "encode", "tiny.toml"], 'codec={kind="vae",path="vae-run/vae",cache="latents"}',
                       "model.modalities.image.patch_size=2"), None),
    "export": (["data", "export", "tiny.toml", "exported"], None),
    "sample": (["sample", "run", "red", "--count", "4", "--out", "out"], None),
    "vae reconstruct": (["vae", "reconstruct", "images", "--vae", "vae-run/vae", "--out", "out"], None),
    "evaluate": (["evaluate", "run", "--count", "8"], "run"),
    "inspect": (["data", "inspect", "tiny.toml"], None),
}


def mount(place, options):
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
    return done.returncode == 0


def unmount(place):
    subprocess.run(["umount", str(place)], capture_output=True)


def fill(place, left):
    """Leaves so many bytes of room."""
    room = shutil.disk_usage(place).free
    with (place / "ballast").open("wb") as file:
        file.write(b"\0" * max(0, room - left))


def small_files(limit):
    """A limit on the size of files, whose signal is ignored so that writing fails instead."""
    def before():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return before


def loss(before, after, folder):
    """What was there before and is not, or is another file; curves may grow and reports be replaced."""
    growing = ("metrics.jsonl", "events.out", "config.toml", "evaluation.json", "report.html", "data.json")
    for name, hash in before.items():
        if folder and not name.startswith(f"{folder}/"):
            continue
        if not any(word in name for word in growing) and "/vae/" not in name and after.get(name) != hash:
            return f"{name} is {'another file' if name in after else 'gone'}"
    left = [name for name in after if ".partial" in name]
    return f"left behind: {left}" if left else None


def judge(ended, words):
    if trouble := ended.trouble():
        return trouble
    if ended.status != 0 and not any(word in ended.stderr for word in words):
        return f"no word about why: {ended.message()[:200]}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    whole, place = asked.folder.resolve() / "whole", asked.folder.resolve() / "place"
    shutil.rmtree(whole, ignore_errors=True)
    prepare(whole)
    program = Program(asked.program, whole)
    program.must(["train", "tiny.toml"])
    program.must(["vae", "train", "vae.toml"])
    known = tree(whole)
    real = mount(place, "size=16m")
    unmount(place)
    account, draws = Account(asked.folder), random.Random(asked.seed)
    print(f"the disk is {'a tmpfs' if real else 'a limit on the size of files'}", flush=True)
    for name, (args, folder) in COMMANDS.items():
        refused = 0
        for left in [0, *(draws.randrange(1, 600_000) for _ in range(7))]:
            if real:
                mount(place, "size=16m")
            shutil.rmtree(place / "run", ignore_errors=True)
            shutil.copytree(whole, place, dirs_exist_ok=True)
            program = Program(asked.program, place)
            if real:
                fill(place, left)
            ended = program.run(args, before=None if real else small_files(left))
            account.case(f"{name} with {left} bytes left", judge(ended, ["No space left", "File too large"])
                         or loss(known, tree(place), folder))
            refused += ended.status != 0
            if folder and "evaluate" not in args and ended.status != 0:
                (place / "ballast").unlink(missing_ok=True)
                again = program.run(args)
                account.case(f"{name} after {left} bytes, with room again", None if again.status == 0 else again.stderr)
            if real:
                unmount(place)
        print(f"{name}: refused {refused} of 8 times", flush=True)
    if real:
        for name, (args, folder) in COMMANDS.items():
            mount(place, "size=16m")
            shutil.copytree(whole, place, dirs_exist_ok=True)
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            ended = Program(asked.program, place).run(args)
            trouble = judge(ended, ["Read-only file system"]) or loss(known, tree(place), folder)
            account.case(f"{name} in a read-only folder", trouble or (None if ended.status else "it succeeded"))
            print(f"{name} in a read-only folder: {ended.message()[:160]}", flush=True)
            unmount(place)
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
