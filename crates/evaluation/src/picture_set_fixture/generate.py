"""Pictures of every kind of pixel, and what Pillow's `convert("RGB")` makes of them: python generate.py.

Pillow 13, numpy, safetensors.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

HERE = Path(__file__).parent
HEIGHT, WIDTH = 13, 17


def channel(number):
    y, x = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    return ((number * 83 + y * 19 + x * 11 + x * y) % 256).astype(np.uint8)


def as_rgb(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1).copy())


colours = np.stack([channel(number) for number in range(4)], axis=2)
palette = Image.fromarray(channel(0) % 16)
palette.putpalette([(index * step + 40) % 256 for index in range(16) for step in (37, 91, 151)])
transparent = palette.copy()
transparent.info["transparency"] = bytes([0, 128, 255, 7] * 4)
pictures = {
    "bits": Image.fromarray(channel(0)).convert("1", dither=Image.Dither.NONE),
    "colour": Image.fromarray(colours[:, :, :3]),
    "colour_and_alpha": Image.fromarray(colours),
    "grey": Image.fromarray(channel(1)),
    "grey_and_alpha": Image.merge("LA", [Image.fromarray(channel(0)), Image.fromarray(channel(1))]),
    "palette": palette,
    "palette_and_alpha": transparent,
}

expected = {}
for name, picture in pictures.items():
    picture.save(HERE / f"{name}.png")
    expected[name] = as_rgb(HERE / f"{name}.png")
pictures["colour_and_alpha"].save(HERE / "colour.webp", lossless=True, exact=True)
expected["colour.webp"] = as_rgb(HERE / "colour.webp")
save_file(expected, HERE / "expected.safetensors")
