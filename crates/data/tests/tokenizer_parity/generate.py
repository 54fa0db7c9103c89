"""Writes tokenizer.json and expected.json with the Python package `tokenizers`.

Run in this folder: python3 generate.py
Made with tokenizers 0.23.3. The test beside this file trains on the same captions in Rust and compares.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
VOCAB_SIZE = 360
SPECIAL = ["<bos>", "<eos>", "<boi>", "<eoi>", "<pad>"]
UNSEEN = [
    "",
    "purple apple",
    " leading and trailing ",
    "tabs\tand\r\nlines\n\n  more",
    "naïve café, 漢字かな, Ελληνικά, עברית",
    "👩🏽‍❤️‍👨🏿 🇿🇦 ☕️",
    "don't we'll I'VE 1234567890 x²",
    "a caption that says <eos> and <boi>",
    "\u0000\u007f\ufffd\u200b",
]


def main() -> None:
    captions = (HERE / "captions.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=True)

    tokenizer.encode_special_tokens = True
    cases = []
    for text in captions + UNSEEN:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == text, text
        cases.append({"text": text, "ids": ids})
    expected = {"vocab_size": VOCAB_SIZE, "cases": cases}
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
