"""Whether the reader computes what Interfuse computed, on documents whose outputs it left beside a checkpoint.

    python assets/pytorch/check.py                   # the checkpoints of tests/tests/pytorch_reader
    python assets/pytorch/check.py FOLDER… --write   # and writes the reader's outputs as reader.json

A folder holds a checkpoint, `documents.json`, a list of documents whose segments are `{"modality", "ids", "grid"}` or
`{"modality", "x_t", "shape", "t"}`, and `interfuse.json`, for each document one flat list of numbers a segment.
"""

import argparse
import json
import pathlib

import torch

from reader import Transfusion

CASES = pathlib.Path(__file__).parents[2] / "tests" / "tests" / "pytorch_reader"
TOLERANCE = 1e-4


def segment(value):
    if "ids" in value:
        return value["modality"], value["ids"], value.get("grid")
    return value["modality"], torch.tensor(value["x_t"]).reshape(value["shape"]), value["t"]


def outputs(folder):
    """What the reader computes of the folder's documents: for each a flat list of numbers a segment."""
    model = Transfusion(folder)
    documents = json.loads((folder / "documents.json").read_text())
    with torch.no_grad():
        return [[x.flatten() for x in model([segment(value) for value in document])] for document in documents]


def gap(found, expected):
    """The largest difference. Other numbers of documents, segments or values are an error."""
    pairs = [pair for documents in zip(found, expected, strict=True) for pair in zip(*documents, strict=True)]
    return max((a - torch.tensor(b)).abs().max().item() for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--write", action="store_true", help="write reader.json into each folder")
    arguments = parser.parse_args()
    folders = arguments.folders or sorted(path.parent for path in CASES.glob("*/documents.json"))
    failed = []
    for folder in folders:
        found = outputs(folder)
        difference = gap(found, json.loads((folder / "interfuse.json").read_text()))
        print(f"{folder.name}: {sum(x.numel() for document in found for x in document)} numbers, largest gap {difference:.1e}")
        failed += [folder.name] if not difference < TOLERANCE else []
        if arguments.write:
            values = [[[round(value, 6) for value in x.tolist()] for x in document] for document in found]
            (folder / "reader.json").write_text(json.dumps(values) + "\n")
    if failed or not folders:
        raise SystemExit(f"differ by {TOLERANCE} or more: {', '.join(failed)}" if failed else "no folder has documents.json")


main()
