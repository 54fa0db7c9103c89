"""The U-Net patcher of a checkpoint, for `reader.py`: convolutions that halve the latents, and their mirror image.

`M` is one image, `C × H × W` its latents, `p` the patch size.
"""

import torch
import torch.nn.functional as F


def down(model, name, config, x_t, t):
    """Patches `[H/p · W/p, widths[-1]]` of the latents, and what the way up needs: the time and the larger sizes."""
    time = F.silu(model.time(name + ".time", t))
    x, sizes = conv(model, x_t[None], name + ".conv_in"), []
    for level in range(len(config["widths"])):
        x = blocks(model, f"{name}.down.{level}", config, x, time)
        sizes.append(x)
        x = conv(model, F.pad(x, (0, 1, 0, 1)), f"{name}.down.{level}.resample", stride=2, padding=0)
    return x[0].flatten(1).T, (time, sizes)


def up(model, name, config, places, upward):
    """The image `[C, H, W]` of what the backbone left at every place, `[widths[-1], H/p, W/p]`."""
    x, (time, sizes) = places[None], upward
    for level, size in enumerate(reversed(sizes)):
        x = conv(model, F.interpolate(x, scale_factor=2), f"{name}.up.{level}.resample")
        x = blocks(model, f"{name}.up.{level}", config, torch.cat([x, size], 1), time)
    return conv(model, norm(model, x, name + ".norm_out", config), name + ".conv_out")[0]


def blocks(model, name, config, x, time):
    for block in (f"{name}.blocks.{index}" for index in range(config["blocks"])):
        y = conv(model, norm(model, x, block + ".norm1", config), block + ".conv1")
        y = y + model.linear(time, block + ".time")[:, None, None]
        y = conv(model, norm(model, y, block + ".norm2", config), block + ".conv2")
        has_shortcut = block + ".shortcut.weight" in model.weights
        x = y + (conv(model, x, block + ".shortcut", padding=0) if has_shortcut else x)
    return x


def conv(model, x, name, stride=1, padding=1):
    return F.conv2d(x, model.weights[name + ".weight"], model.weights[name + ".bias"], stride, padding)


def norm(model, x, name, config):
    """Group norm, and SiLU behind it."""
    return F.silu(F.group_norm(x, config["groups"], model.weights[name + ".weight"], model.weights[name + ".bias"], 1e-6))
