"""Writes what jiwer 4.0.0 (with rapidfuzz) counts; run as `python generate.py`."""
import json
import random
from pathlib import Path

import jiwer

random.seed(0)
WORDS = ["the", "cat", "sat", "on", "a", "mat"]


def line(least):
    return " ".join(random.choices(WORDS, k=random.randint(least, 9)))


def counts(output):
    return {key: getattr(output, key) for key in ["hits", "substitutions", "deletions", "insertions"]}


cases = []
for _ in range(60):
    references = [line(1) for _ in range(random.randint(1, 3))]
    hypotheses = [line(0) for _ in references]
    words, characters = jiwer.process_words(references, hypotheses), jiwer.process_characters(references, hypotheses)
    cases.append({
        "references": references, "hypotheses": hypotheses,
        "words": counts(words), "wer": words.wer, "characters": counts(characters), "cer": characters.cer,
    })
Path(__file__).with_name("jiwer.json").write_text(json.dumps(cases, indent=1) + "\n")
