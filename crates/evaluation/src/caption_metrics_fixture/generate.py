"""Caption metrics of a small corpus by pycocoevalcap 1.2: python generate.py.

Words are split by the rule of `words` in ../caption_metrics.rs instead of by its Java tokeniser.
"""

import json
import re
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

references = [
    ["two small red circles in the top left corner", "a pair of small red circles at the top left"],
    ["a large blue square in the middle", "one big blue square", "the blue square is large and in the middle"],
    ["three green triangles", "three triangles which are green"],
    ["a man riding a horse on the beach", "someone rides a horse along the sea"],
    ["an owl's eggs in a nest"],
    # Upper case and punctuation, a reference that is shorter by as much as the other is longer, and few words.
    ["Two SMALL circles, top-left!", "Look: two small circles at the top (left)."],
    ["one two three four five six", "one two three four five six seven eight nine ten"],
    ["apple", "an apple"],
    ["a caption that nothing was written for"],
]
written = [
    "two small red circles in the top corner",
    "a large square in the middle of the picture",
    "three green squares",
    "a man riding a horse riding a horse",
    "an owl in a nest",
    "two small CIRCLES; top left",
    "one two three four six seven eight nine",
    "apple",
    "",
]


def words(text):
    return " ".join(re.findall(r"(?:[^\W_]|')+", text.lower()))


gts = {index: [words(text) for text in texts] for index, texts in enumerate(references)}
res = {index: [words(text)] for index, text in enumerate(written)}
out = {
    "written": written,
    "references": references,
    "bleu": Bleu(4).compute_score(gts, res, verbose=0)[0],
    "rouge_l": float(Rouge().compute_score(gts, res)[0]),
    "cider_d": float(Cider().compute_score(gts, res)[0]),
}
Path(__file__).with_name("expected.json").write_text(json.dumps(out, indent=1) + "\n")
