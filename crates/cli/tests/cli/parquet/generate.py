"""Writes `colours.parquet`: the images and captions of the tests' sandbox as a data set on the hub has them.

python generate.py (pyarrow 26.0.1, pillow 13.0.0)
"""

import io
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COLOURS = [
    ("red", (220, 30, 30)),
    ("green", (30, 180, 40)),
    ("blue", (30, 40, 220)),
    ("yellow", (240, 220, 40)),
    ("black", (0, 0, 0)),
    ("white", (255, 255, 255)),
    ("pink", (250, 150, 190)),
    ("cyan", (40, 220, 230)),
]


def encoded(colour):
    image = Image.new("RGB", (16, 8))
    image.paste(colour, (0, 0, 16, 4))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


schema = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("text", pa.string())]
)
rows = [{"image": {"bytes": encoded(colour), "path": f"{name}.png"}, "text": name} for name, colour in COLOURS]
path = pathlib.Path(__file__).parent / "colours.parquet"
pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=4, compression="zstd")
