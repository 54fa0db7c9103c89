"""`kill -9` at random moments: no checkpoint is lost, and what is resumed ends with the same bytes.

    python3 tests/campaigns/kills.py PROGRAM FOLDER [--kills 1000] [--minutes 20] [--seed 0]

Each episode trains (or encodes, or sweeps, or serves) in a new folder and is killed again and again until it ends by itself.
After every kill, what has the right name must be whole, byte for byte that of a run which nobody killed, and no
checkpoint may have gone. Every kill is a line in FOLDER/kills.jsonl; the same command goes on where the last one ended, and
ends when so many kills are there or so many minutes are over. The status is 1 when anything was lost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from kill_scenes import SCENES
from setting import Program, prepare


class Ledger:
    """All kills so far, in a file."""

    def __init__(self, path):
        self.path = path
        self.lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def add(self, line):
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def kills(self):
        return sum(line["kind"] == "kill" for line in self.lines)

    def failures(self):
        return [line for line in self.lines if line.get("lost")]

    def episodes(self):
        return sum(line["kind"] == "end" for line in self.lines)


def killed(program, args, delay, group):
    """Starts a command and kills it after a delay; whether it was still running, and how it ended."""
    with (program.folder / "output.txt").open("wb") as output:
        child = program.start(args, stdout=output, stderr=subprocess.STDOUT)
        try:
            return False, child.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            if group:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
            status = child.wait()
            # It may have ended by itself just before the signal.
            return status == -signal.SIGKILL, status


def episode(scene, program, ledger, draws, until):
    """Kills one scene until it ends by itself, and says what was lost."""
    number, kills = ledger.episodes(), 0
    while time.monotonic() < until and kills < scene.most:
        delay = draws.uniform(0.0, scene.longest * draws.choice([0.3, 0.6, 1.0]))
        args = scene.command()
        was_killed, status = killed(program, args, delay, draws.random() < scene.group)
        if not was_killed and status != 0:
            said = (program.folder / "output.txt").read_text(errors="replace")[-500:]
            ledger.add({"kind": "end", "scene": scene.name, "episode": number, "lost": f"status {status}: {said}"})
            return
        lost = scene.after_kill()
        if was_killed:
            kills += 1
            ledger.add({"kind": "kill", "scene": scene.name, "episode": number, "delay": round(delay, 4), "lost": lost})
        if not was_killed and scene.finished():
            break
    else:
        # Nobody kills it any more.
        scene.finish()
    lost = scene.at_end()
    ledger.add({"kind": "end", "scene": scene.name, "episode": number, "kills": kills, "lost": lost})
    print(f"episode {number}: {scene.name}, {kills} kills, {lost or 'nothing lost'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scene", choices=sorted(SCENES))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    folder = asked.folder.resolve()
    ledger = Ledger(folder / "kills.jsonl")
    names = [asked.scene] if asked.scene else list(SCENES)
    until = time.monotonic() + 60 * asked.minutes
    references = {}
    while ledger.kills() < asked.kills and time.monotonic() < until:
        number = ledger.episodes()
        name = names[number % len(names)]
        if name not in references:
            whole = folder / f"reference-{name}"
            shutil.rmtree(whole, ignore_errors=True)
            prepare(whole)
            references[name] = SCENES[name].reference(Program(asked.program, whole))
        place = folder / "episode"
        shutil.rmtree(place, ignore_errors=True)
        prepare(place)
        program = Program(asked.program, place)
        scene = SCENES[name](program, references[name])
        episode(scene, program, ledger, random.Random(f"{asked.seed}/{number}"), until)
        if ledger.lines[-1].get("lost"):
            shutil.copytree(place, folder / f"lost-{number}", dirs_exist_ok=True)
    for line in ledger.failures():
        print(f"LOST {json.dumps(line)}")
    counts = {name: sum(line["kind"] == "kill" and line["scene"] == name for line in ledger.lines) for name in SCENES}
    print(f"{ledger.kills()} kills {counts}, {ledger.episodes()} episodes, {len(ledger.failures())} losses")
    return 1 if ledger.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
