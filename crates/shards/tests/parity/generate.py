"""Writes small shards of every layout with other programs, and what these programs read from them.

Made with webdataset 1.0.2, pyarrow 26.0.1, Pillow 13.0.0 and zstandard 0.25.0:

    python generate.py

Tars are read by webdataset, Parquet by pyarrow, JSON by Python; only then are the fields put into reading order here.
"""

import gzip
import io
import json
import tarfile
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import webdataset as wds
import zstandard
from PIL import Image

HERE = Path(__file__).parent
expected = {}


def encoded(number, kind="PNG"):
    image = Image.new("RGB", (4, 3), (number * 20 % 256, 99, number))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def example(key, parts, captions=(), label=None, turns=(), left_out=0, fields=None):
    part = lambda part: part if isinstance(part, str) else {"image": part.hex()}
    return {
        "key": key,
        "parts": [part(one) for one in parts],
        "captions": list(captions),
        "label": label,
        "turns": [list(turn) for turn in turns],
        "images_left_out": left_out,
        "fields": fields or {},
    }


def tar(name, members, form=tarfile.GNU_FORMAT, mode="w"):
    with tarfile.open(HERE / name, mode, format=form) as archive:
        for path, data in members:
            info = tarfile.TarInfo(path)
            if data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
                continue
            data = data.encode() if isinstance(data, str) else data
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def samples(name):
    """What webdataset reads, with members that come up twice passed over by its handler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = wds.shardlists.SimpleShardList([str(HERE / name)])
        return list(wds.tariterators.tarfile_samples(stream, handler=wds.handlers.ignore_and_continue))


def captioned():
    """As img2dataset lays them out: key of nine digits, jpg, txt and json."""
    with wds.TarWriter(str(HERE / "captioned.tar"), mtime=0) as writer:
        for number in range(5):
            text = f"Photo {number} — café\n"
            data = {"caption": text.strip(), "url": f"u{number}", "width": 4, "similarity": number / 4}
            writer.write({"__key__": f"{number:09}", "jpg": encoded(number, "JPEG"), "txt": text, "json": data})
    (HERE / "captioned.tar.gz").write_bytes(gzip.compress((HERE / "captioned.tar").read_bytes(), mtime=0))
    for name in ["captioned.tar", "captioned.tar.gz"]:
        expected[name] = []
        for sample in samples(name):
            fields = {"json.width": json.loads(sample["json"])["width"]}
            caption = sample["txt"].decode().strip()
            expected[name].append(example(sample["__key__"], [sample["jpg"]], [caption], fields=fields))


def messy():
    """Everything that a tar can have beside what it should."""
    long = "folder.with.dots/" + "k" * 120
    members = [
        ("folder", None),
        ("__meta__/ignored.txt", "x"),
        ("__about__", "x"),
        ("readme", "no suffix"),
        (".hidden.txt", "x"),
        ("x/a.JPG", encoded(1, "JPEG")),
        ("x/a.txt", "one"),
        ("x/a.cls", "7"),
        ("x/a.seg.png", encoded(2)),
        ("b.png", encoded(3)),
        (f"{long}.webp", encoded(4, "WEBP")),
        (f"{long}.txt", "long name"),
        ("b.txt", "out of order"),
        ("d.gif", encoded(5, "GIF")),
        ("d.txt", "first"),
        ("d.txt", "second"),
        ("e.bmp", encoded(6, "BMP")),
        ("e.txt", ""),
        ("f.npy", b"\xff\xfe\x00"),
        ("f.jpeg", encoded(7, "JPEG")),
        ("f.txt", "  last  "),
    ]
    tar("messy-gnu.tar", members)
    tar("messy-pax.tar", [(path.replace("kkk", "ké"), data) for path, data in members], tarfile.PAX_FORMAT)
    for name in ["messy-gnu.tar", "messy-pax.tar"]:
        expected[name] = []
        for sample in samples(name):
            images = [data for suffix, data in sample.items() if suffix in ("jpg", "jpeg", "png", "webp", "gif", "bmp")]
            caption = sample.get("txt", b"").decode().strip()
            label = int(sample["cls"]) if "cls" in sample else None
            bad = {"key": sample["__key__"], "bad": True}
            usable = bool(images) and bool(caption)
            expected[name].append(example(sample["__key__"], images[:1], [caption], label) if usable else bad)


def parquet(name, rows, schema, **options):
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), HERE / name, **options)
    return pq.read_table(HERE / name).to_pylist()


def captioned_parquet():
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("text", pa.string()), ("label", pa.int64()), ("id", pa.string()), ("size", pa.list_(pa.int32()))])
    rows = [
        {"image": {"bytes": encoded(n), "path": f"{n}.png"}, "text": f"row {n}", "label": n % 3, "id": f"id-{n}", "size": [n, 4]}
        for n in range(7)
    ]
    rows[3]["text"] = None
    rows[4]["image"] = None
    rows[5]["image"]["bytes"] = b""
    read = parquet("struct.parquet", rows, schema, compression="snappy", row_group_size=3)
    expected["struct.parquet"] = []
    for row in read:
        usable = row["text"] and row["image"] and row["image"]["bytes"]
        parts = [row["image"]["bytes"]] if usable else []
        good = example(row["id"], parts, [row["text"]], row["label"], fields={"size": row["size"]})
        expected["struct.parquet"].append(good if usable else {"key": row["id"], "bad": True})

    schema = pa.schema([("jpg", pa.large_binary()), ("sentences", pa.list_(pa.string())), ("extra", pa.map_(pa.string(), pa.int8()))])
    rows = [{"jpg": encoded(n, "JPEG"), "sentences": [f"a {n}", None, "", f"b {n}", f"a {n}"], "extra": {"k": n}} for n in range(5)]
    rows[2]["sentences"] = []
    rows[3]["sentences"] = None
    for compression in ["zstd", "gzip", "none"]:
        name = f"binary-{compression}.parquet"
        read = parquet(name, rows, schema, compression=compression, row_group_size=2, use_dictionary=compression == "gzip", data_page_version="2.0" if compression == "zstd" else "1.0")
        expected[name] = []
        for index, row in enumerate(read):
            captions = list(dict.fromkeys(text for text in row["sentences"] or [] if text))
            key = f"{name}#{index}"
            expected[name].append(example(key, [row["jpg"]], captions) if captions else {"key": key, "bad": True})


def texts():
    lines = [json.dumps({"text": f"Line {n} ü \U0001f600 {'x' * n}", "id": n}, ensure_ascii=n % 2 == 0) for n in range(70)]
    lines[3] = ""
    lines[5] = '{"text": 5}'
    lines[6] = "not json"
    lines[7] = '{"words": "x"}'
    text = "\n".join(lines)
    (HERE / "texts.jsonl").write_text(text + "\n")
    (HERE / "texts.jsonl.gz").write_bytes(gzip.compress(text[:900].encode(), mtime=0) + gzip.compress(text[900:].encode(), mtime=0))
    frames = [zstandard.compress(text[a:b].encode()) for a, b in [(0, 700), (700, 701), (701, None)]]
    skippable = (0x184D2A53).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    (HERE / "texts.jsonl.zst").write_bytes(frames[0] + skippable + frames[1] + frames[2])
    for name in ["texts.jsonl", "texts.jsonl.gz", "texts.jsonl.zst"]:
        expected[name] = []
        for index, line in enumerate(line for line in lines if line):
            key = f"{name}#{index}"
            try:
                row = json.loads(line)
                text = row["text"] if isinstance(row["text"], str) else None
            except (ValueError, KeyError):
                text = None
            expected[name].append(example(key, [text]) if text else {"key": key, "bad": True})


def interleaved():
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("images", pa.list_(struct)), ("texts", pa.list_(pa.string())), ("metadata", pa.string())])
    image = lambda n: {"bytes": encoded(n), "path": None}
    rows = [
        {"images": [None, image(1), image(2), None], "texts": ["Before.", None, None, "After."], "metadata": "m"},
        {"images": [image(3), None], "texts": [None, "Only."], "metadata": None},
        {"images": [{"bytes": None, "path": None}, image(4), None], "texts": [None, None, "One is missing."], "metadata": None},
        {"images": [None], "texts": ["a", "b"], "metadata": None},
        {"images": [None, None], "texts": [None, None], "metadata": None},
    ]
    read = parquet("obelics.parquet", rows, schema, row_group_size=2)
    expected["obelics.parquet"] = []
    for index, row in enumerate(read):
        parts, left_out = [], 0
        for one, text in zip(row["images"], row["texts"]):
            if text is not None:
                parts.append(text)
            elif one is not None and one["bytes"]:
                parts.append(one["bytes"])
            elif one is not None:
                left_out += 1
        key = f"obelics.parquet#{index}"
        usable = len(row["images"]) == len(row["texts"]) and parts
        expected["obelics.parquet"].append(example(key, parts, left_out=left_out) if usable else {"key": key, "bad": True})

    document = {
        "url": "u",
        "text_list": ["Zero.", "One.", "Two."],
        "image_info": [
            {"image_name": "b.png", "matched_text_index": 2, "matched_sim": 0.3},
            {"image_name": "a.jpg", "matched_text_index": 0, "matched_sim": 0.2},
            {"image_name": "c.png", "matched_text_index": 2, "matched_sim": 0.2},
        ],
    }
    beyond = {"text_list": ["x"], "image_info": [{"image_name": "b.png", "matched_text_index": 1}]}
    tar("mmc4.tar", [
        ("doc0.json", json.dumps(document)),
        ("doc0.a.jpg", encoded(1, "JPEG")),
        ("doc0.b.png", encoded(2)),
        ("doc0.2.png", encoded(3)),
        ("doc1.json", json.dumps({"text_list": ["No image."], "image_info": []})),
        ("doc2.json", json.dumps(beyond)),
        ("doc2.b.png", encoded(4)),
    ])
    expected["mmc4.tar"] = []
    for sample in samples("mmc4.tar"):
        data = json.loads(sample["json"])
        parts, good = [], True
        for index, sentence in enumerate(data["text_list"]):
            for place, info in enumerate(data["image_info"]):
                if info["matched_text_index"] == index:
                    parts.append(sample.get(info["image_name"]) or sample[f"{place}.png"])
            parts.append(sentence)
        good = all(info["matched_text_index"] < len(data["text_list"]) for info in data["image_info"])
        expected["mmc4.tar"].append(example(sample["__key__"], parts) if good else {"key": sample["__key__"], "bad": True})


def edits():
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("original_prompt", pa.string()), ("original_image", image), ("edit_prompt", pa.string()), ("edited_prompt", pa.string()), ("edited_image", image)])
    rows = [
        {"original_prompt": "o", "original_image": {"bytes": encoded(n, "JPEG"), "path": None}, "edit_prompt": f"make it {n}", "edited_prompt": "e", "edited_image": {"bytes": encoded(n + 1, "JPEG"), "path": None}}
        for n in range(3)
    ]
    read = parquet("edits.parquet", rows, schema)
    expected["edits.parquet"] = [
        example(f"edits.parquet#{n}", [row["original_image"]["bytes"], row["edit_prompt"], row["edited_image"]["bytes"]])
        for n, row in enumerate(read)
    ]
    members = [(f"{n}.{suffix}", data) for n in range(2) for suffix, data in [("edited.png", encoded(n + 9)), ("original.jpg", encoded(n, "JPEG")), ("json", json.dumps({"edit": f"turn {n}"}))]]
    tar("edits.tar", members)
    expected["edits.tar"] = [
        example(sample["__key__"], [sample["original.jpg"], json.loads(sample["json"])["edit"], sample["edited.png"]])
        for sample in samples("edits.tar")
    ]


def conversations():
    (HERE / "images" / "deep").mkdir(parents=True, exist_ok=True)
    (HERE / "images" / "deep" / "a.jpg").write_bytes(encoded(1, "JPEG"))
    (HERE / "images" / "b.png").write_bytes(encoded(2))
    turn = lambda who, what: {"from": who, "value": what}
    rows = [
        {"id": "one", "image": "deep/a.jpg", "conversations": [turn("human", "<image>\nWhat is \"this\"? [{"), turn("gpt", "A plain \\ colour.")]},
        {"id": "two", "conversations": [turn("human", "Hello"), turn("gpt", "Hi }]")]},
        {"id": "three", "image": ["b.png", "./deep/a.jpg"], "conversations": [turn("human", "First <image> then <image>"), turn("gpt", "Yes")]},
        {"id": "four", "image": "nowhere.png", "conversations": [turn("human", "<image>")]},
        {"id": "five", "image": "b.png", "conversations": [turn("human", "no place")]},
        {"id": "six", "image": "../generate.py", "conversations": [turn("human", "<image>")]},
        {"id": "seven", "conversations": [turn("human", 3)]},
    ]
    (HERE / "llava.json").write_text(json.dumps(rows, indent=1))
    expected["llava.json"] = []
    for row in json.loads((HERE / "llava.json").read_text()):
        names = row.get("image", [])
        names = [names] if isinstance(names, str) else names
        parts, turns, places, good = [], [], 0, True
        for one in row["conversations"]:
            start = len(parts)
            if not isinstance(one["value"], str):
                good = False
                continue
            for index, piece in enumerate(one["value"].split("<image>")):
                if index > 0:
                    path = HERE / "images" / names[places]
                    good &= path.exists() and ".." not in names[places]
                    parts.append(path.read_bytes() if path.exists() else b"")
                    places += 1
                if piece.strip():
                    parts.append(piece.strip())
            turns.append((one["from"], start, len(parts)))
        good &= places == len(names)
        expected["llava.json"].append(example(row["id"], parts, turns=turns) if good else {"key": row["id"], "bad": True})


if __name__ == "__main__":
    for make in [captioned, messy, captioned_parquet, texts, interleaved, edits, conversations]:
        make()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
