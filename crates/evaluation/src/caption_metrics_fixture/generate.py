"""Caption metrics of a small corpus by pycocoevalcap 1.2: python generate.py.

Texts are already split, so that its Java tokeniser is not needed.
"""

import json
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
]
written = [
    "two small red circles in the top corner",
    "a large square in the middle of the picture",
    "three green squares",
    "a man riding a horse riding a horse",
    "an owl in a nest",
]
gts = {index: texts for index, texts in enumerate(references)}
res = {index: [text] for index, text in enumerate(written)}
out = {
    "written": written,
    "references": references,
    "bleu": Bleu(4).compute_score(gts, res, verbose=0)[0],
    "rouge_l": float(Rouge().compute_score(gts, res)[0]),
    "cider_d": float(Cider().compute_score(gts, res)[0]),
}
Path(__file__).with_name("expected.json").write_text(json.dumps(out, indent=1) + "\n")
