"""LPIPS of the package lpips 0.1.4 over VGG-16 of torchvision, with weights made by a formula: python generate.py.

The formula (`formula_weights` in main.rs has it again) stands for the 59 MB of real weights, which are not ours to keep.
"""

import json
from pathlib import Path

import lpips
import numpy as np
import torch


def formula(count, salt, scale):
    index = np.arange(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt) * np.uint64(0xD1B54A32D192ED03)
        x ^= x >> np.uint64(31)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(29)
    uniform = (x >> np.uint64(40)).astype(np.float64) / 2.0**24 * 2.0 - 1.0
    return torch.from_numpy((uniform * scale).astype(np.float32))


def fill(model):
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    layers = {str(i): layer for part in [model.net.slice1, model.net.slice2, model.net.slice3, model.net.slice4,
                                         model.net.slice5] for i, layer in part.named_children()}
    with torch.no_grad():
        for salt, place in enumerate(places):
            layer = layers[str(place)]
            fan_in = layer.weight[0].numel()
            layer.weight.copy_(formula(layer.weight.numel(), salt, (6.0 / fan_in) ** 0.5).reshape(layer.weight.shape))
            layer.bias.copy_(formula(layer.bias.numel(), 100 + salt, 0.1))
        for salt, head in enumerate([model.lin0, model.lin1, model.lin2, model.lin3, model.lin4]):
            weight = head.model[1].weight
            weight.copy_(formula(weight.numel(), 200 + salt, 1.0).abs().reshape(weight.shape))


def image(salt, channels, size):
    return formula(channels * size * size, salt, 1.0).reshape(1, channels, size, size)


model = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False).eval()
fill(model)
with torch.no_grad():
    colour = model(image(300, 3, 32), image(301, 3, 32)).item()
    near = model(image(300, 3, 32), image(300, 3, 32) * 0.9).item()
    grey = model(image(302, 1, 32).expand(1, 3, 32, 32), image(303, 1, 32).expand(1, 3, 32, 32)).item()
Path(__file__).with_name("expected.json").write_text(json.dumps([colour, near, grey]) + "\n")
