"""A formula-made image resized by torch, Pillow and torch-fidelity: python generate.py.

torch 2.15, Pillow, torch-fidelity 0.4.0. Pillow resizes float channels one by one, as clean-fid 0.1.35 does.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import save_file
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

SIZE = (23, 31)


def image(height, width):
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    return ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256).astype(np.float32)


def clean(a):
    channels = [np.asarray(Image.fromarray(c, mode="F").resize(SIZE[::-1], Image.BICUBIC)) for c in a]
    return np.clip(np.stack(channels), 0, 255)


out = {}
for index, shape in enumerate([(37, 53), (11, 9), (23, 31)]):
    a = image(*shape)
    t = torch.from_numpy(a)[None]
    out[f"pytorch.{index}"] = F.interpolate(t, size=SIZE, mode="bilinear", align_corners=False)[0].numpy()
    out[f"clean.{index}"] = clean(a)
    out[f"tensorflow1.{index}"] = interpolate_bilinear_2d_like_tensorflow1x(t, size=SIZE, align_corners=False)[0].numpy()
save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, Path(__file__).with_name("expected.safetensors"))
