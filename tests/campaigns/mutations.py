"""Mutated files through the program: every reader answers with a result or a message.

    python3 tests/campaigns/mutations.py PROGRAM FOLDER [--minutes 10] [--seed 0] [--only KIND]

Seeds are small files that the program has made itself, and fixtures of the tests. A panic, a signal, more than 20 seconds or
more than 2 GiB of memory is a failure; what failed is kept in FOLDER/failures. Each case is a function of the seed, its kind
and its number, and each kind gets the same share of the time.
"""

import argparse
import random
import re
import resource
import shutil
import sys
import time
from pathlib import Path

from mutation_kinds import kinds, prepare_seeds
from mutator import mutated
from setting import Account, Program

SECONDS, MEMORY, ADDRESSES = 20.0, 2 << 30, 12 << 30


def peak():
    """The most memory that any child has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def one(program, kind, number, seed, account, keep):
    """One case: mutants in the place of a kind's files, and its command."""
    draws = random.Random(f"{seed}/{kind.name}/{number}")
    written = {}
    for place, source in kind.files(draws):
        contents = mutated(source.read_bytes(), draws, kind.text, kind.head)
        (program.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (program.folder / place).write_bytes(contents)
        written[place] = contents
    shutil.rmtree(program.folder / "out", ignore_errors=True)
    before = peak()
    ended = program.run(kind.command, timeout=SECONDS, memory=ADDRESSES)
    trouble = ended.trouble()
    if not trouble and peak() > max(before, MEMORY):
        trouble = f"{peak() / (1 << 30):.1f} GiB of memory"
    account.case(f"{kind.name} {number}", trouble)
    if trouble:
        for place, contents in written.items():
            path = keep / f"{kind.name}-{number}" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
    for place, source in kind.restored():
        (program.folder / place).write_bytes(source.read_bytes())
    return ended


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    asked = parser.parse_args()
    place = asked.folder.resolve() / "place"
    shutil.rmtree(place, ignore_errors=True)
    program = Program(asked.program, place)
    prepare_seeds(program)
    chosen = [kind for kind in kinds(place) if asked.only in (None, kind.name)]
    account = Account(asked.folder)
    share = 60 * asked.minutes / len(chosen)
    for kind in chosen:
        until, number, accepted, messages = time.monotonic() + share, 0, 0, set()
        before = len(account.failures)
        while time.monotonic() < until:
            ended = one(program, kind, number, asked.seed, account, asked.folder.resolve() / "failures")
            accepted += ended.status == 0
            messages.add(re.sub(r"\d+", "#", ended.message())[:80])
            number += 1
        print(f"{kind.name}: {number} cases, {accepted} accepted, {len(messages)} different messages, "
              f"{len(account.failures) - before} failures", flush=True)
    return account.end()


if __name__ == "__main__":
    sys.exit(main())
