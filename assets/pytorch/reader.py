"""A checkpoint of Interfuse in plain PyTorch: the logits of a document's tokens and the predictions of its images.

    model = Transfusion("runs/mine/checkpoints/step-000500")
    logits, prediction, _ = model([("text", ids), ("image", x_t, 0.7), ("text", more_ids)])

It reads every partition, weights in common, all positions and timestep conditionings, scaled angles, overlapping patches,
learned positions, the skip, and next-token modalities of one vocabulary (codes of images with their grid, units of speech);
the U-Net patcher is in `unet.py`. It refuses mixtures of experts and settings that it does not know. Images are latents.
`S` rows of the document, `D` width of the model, `Dh` width of a head, `P` patches of an image of `C × H × W` latents.
"""

import functools
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

# The settings that are understood; another one might mean that something else is computed.
KNOWN = set("""partition positions latent_shape backbone modalities d_model n_layers n_heads head_dim n_kv_heads d_ff norm qk_norm
    qkv_bias rope_theta rope_scaling norm_epsilon dropout feed_forward untie untie_from parts objective vocabulary vocab_size tied_head
    z_loss patch_size patch_overlap unet learned_positions process prediction skip loss_space timestep_conditioning timesteps""".split())


def check(card):
    """Refuses a card that it does not understand."""
    if (card.get("model_type"), card.get("format_version")) != ("transfusion", 2):
        raise ValueError("config.json: expected model_type transfusion and format_version 2")
    model, backbone = card["model"], card["model"]["backbone"]
    if unknown := set().union(model, backbone, *model["modalities"].values()) - KNOWN:
        raise NotImplementedError(f"config.json: settings that the reader does not know: {sorted(unknown)}")
    networks = [backbone["feed_forward"], *(part.get("feed_forward") for part in backbone.get("parts", {}).values())]
    if any(network and network["kind"] != "swiglu" for network in networks):
        raise NotImplementedError("config.json: the reader has no mixtures of experts")


class Transfusion:
    """`weights` has every tensor by its name in the file; those that require a gradient get one."""

    def __init__(self, folder, average=True, device="cpu"):
        """Reads a checkpoint folder: the moving average of the weights if it is there and wanted."""
        folder, self.device = pathlib.Path(folder), torch.device(device)
        self.card = json.loads((folder / "config.json").read_text())
        check(self.card)
        self.model, self.backbone = self.card["model"], self.card["model"]["backbone"]
        ema = folder / "ema.safetensors"
        tensors = load_file(ema if average and ema.exists() else folder / "model.safetensors", device=str(device))
        self.weights = {name: tensor.float() for name, tensor in tensors.items()}
        self.part_of = {name: "+".join(names) for names in self.model["partition"] for name in names}
        self.everyone = "+".join(self.part_of)  # The owner of what all parts have in common.
        self.tower_of = {n: "towers." + (m.get("vocabulary") or n) for n, m in self.model["modalities"].items()}
        self.head_dim = self.backbone.get("head_dim") or self.backbone["d_model"] // self.backbone["n_heads"]

    def __call__(self, segments):
        """Runs over the segments of one document in reading order and returns a tensor for each.
        Tokens are `(modality, ids)`, or `(modality, ids, [rows, columns])` on a grid, and become logits `[S, V]`. An image is
        `(modality, x_t, t)`, `t` from 0 (clean) to 1 (noise), and becomes what its modality's `prediction` names, `[C, H, W]`.
        """
        streams, ends, positions, until, parts, place = [], [], [], [], {}, 0
        for name, content, *rest in segments:
            config, start = self.model["modalities"][name], len(until)
            if config["objective"] == "denoise":
                grid = [side // config["patch_size"] for side in content.shape[1:]]
                x, context = self.embed_image(self.tower_of[name], config, content.to(self.device).float(), float(rest[0]))
                until += [start + len(x)] * len(x)  # A patch sees its whole image besides what comes before.
            else:
                x, grid, context = self.weights[self.tower_of[name] + ".embedding"][content], *(rest or [None]), {}
                until += range(start + 1, start + len(x) + 1)  # A token sees what comes before, and itself.
            stands, place = self.positions(place, len(x), grid)
            its = torch.arange(start, start + len(x), device=self.device)
            parts.setdefault(self.part_of[name], []).append((its, context.get("condition")))
            ends.append((self.tower_of[name], config, its, context))
            streams, positions = [*streams, x], positions + stands
        x = self.layers(torch.cat(streams), parts, positions, torch.tensor(until, device=self.device))
        return [self.predict(tower, config, x[its], context) for tower, config, its, context in ends]

    def layers(self, x, parts, positions, until):
        """The backbone over rows `[S, D]`; `parts` has for each part its stretches of rows and their conditions."""
        angles = torch.tensor(positions, device=self.device, dtype=torch.float32) @ self.speeds()
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        visible = torch.arange(len(x), device=self.device) < until[:, None]
        index = {part: torch.cat([its for its, _ in stretches]) for part, stretches in parts.items()}
        is_post, n_heads = self.backbone["norm"] == "post", self.backbone["n_heads"]
        kv_heads = self.backbone.get("n_kv_heads") or n_heads

        def rotated(x, rows, norm):
            a, b = (self.rms_norm(x, norm) if self.backbone["qk_norm"] else x).chunk(2, -1)
            return torch.cat([a * cos[rows] - b * sin[rows], b * cos[rows] + a * sin[rows]], -1)

        def enter(x, norm, shift, scale):  # What a sub-layer reads of the rows,
            return (x if is_post else self.rms_norm(x, norm)) * (1 + scale) + shift

        def leave(x, norm, gate):  # and what it adds to them.
            return (self.rms_norm(x, norm) if is_post else x) * gate

        for layer in range(self.backbone["n_layers"]):
            q, k, v = (x.new_empty(len(x), heads, self.head_dim) for heads in (n_heads, kv_heads, kv_heads))
            own = functools.partial(self.owned, f"backbone.layers.{layer}.parts")
            terms = {part: self.modulation(own(part, "modulation.terms"), parts[part]) for part in parts}
            for part, rows in index.items():
                y = enter(x[rows], own(part, "attention_norm"), *terms[part][:2])
                fields = [self.linear(y, own(part, field)) for field in ("query", "key", "value")]
                query, key, v[rows] = (field.unflatten(-1, (-1, self.head_dim)) for field in fields)
                q[rows], k[rows] = rotated(query, rows, own(part, "query_norm")), rotated(key, rows, own(part, "key_norm"))
            k, v = (heads.repeat_interleave(n_heads // kv_heads, 1).transpose(0, 1) for heads in (k, v))
            attended = F.scaled_dot_product_attention(q.transpose(0, 1), k, v, attn_mask=visible).transpose(0, 1).flatten(1)
            before, x = x, torch.empty_like(x)
            for part, rows in index.items():
                _, _, gate, *entering, last_gate = terms[part]
                y = before[rows] + leave(self.linear(attended[rows], own(part, "output")), own(part, "attention_norm"), gate)
                z = enter(y, own(part, "feed_forward_norm"), *entering)
                z = F.silu(self.linear(z, own(part, "feed_forward.gate"))) * self.linear(z, own(part, "feed_forward.up"))
                x[rows] = y + leave(self.linear(z, own(part, "feed_forward.down")), own(part, "feed_forward_norm"), last_gate)
        out = torch.empty_like(x)
        for part, rows in index.items():
            out[rows] = self.rms_norm(x[rows], self.owned("backbone.final_norms", part, ""))
        return out

    def owned(self, prefix, part, field):
        """The name of a part's weights: its own, or those that all parts have in common."""
        own, common = (f"{prefix}.{owner}.{field}".rstrip(".") for owner in (part, self.everyone))
        return own if own + ".weight" in self.weights else common

    def modulation(self, name, stretches):
        """Shift, scale and gate of both sub-layers (adaLN); a row without a condition passes as it is."""
        if all(condition is None for _, condition in stretches):
            return 0.0, 0.0, 1.0, 0.0, 0.0, 1.0
        neutral = torch.tensor([0.0, 0.0, 1.0] * 2, device=self.device).repeat_interleave(self.backbone["d_model"])
        terms = [neutral if condition is None else self.linear(condition, name) for _, condition in stretches]
        return torch.cat([term.expand(len(its), -1) for (its, _), term in zip(stretches, terms)]).chunk(6, -1)

    def speeds(self):
        """Radians a position of every frequency, by axis: place in the sequence, row, column. `[3, Dh/2]`"""
        half, scaling = self.head_dim // 2, self.backbone.get("rope_scaling")
        speeds = self.backbone["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) / half)
        if scaling:
            slow, kept = speeds / scaling["factor"], 0
            if scaling["kind"] == "llama3":
                low, high = scaling["low_frequency_factor"], scaling["high_frequency_factor"]
                kept = ((scaling["original_positions"] * speeds / math.tau - low) / (high - low)).clamp(0, 1)
            speeds = (1 - kept) * slow + kept * speeds
        axes = torch.arange(half) % (3 if self.model["positions"] == "axial" else 1)
        return (F.one_hot(axes, 3).T * speeds).float().to(self.device)

    def positions(self, start, size, grid):
        """Where rows stand for the rotary embedding, on all three axes, and where what follows them does."""
        if grid is None or self.model["positions"] == "sequential":
            return [[start + row] * 3 for row in range(size)], start + size
        if self.model["positions"] == "shared":
            return [[start] * 3] * size, start + 1
        return [[start, start + row // grid[1], start + row % grid[1]] for row in range(size)], start + max(grid)

    def embed_image(self, tower, config, x_t, t):
        """Rows `[P, D]` of a noisy image, and what its prediction needs besides."""
        p, context, time = config["patch_size"], {"x_t": x_t, "t": t}, self.time(tower + ".time", t)
        if config.get("unet"):
            from unet import down
            patches, context["upward"] = down(self, tower + ".unet", config["unet"], x_t, t)
        else:  # The channel is the fastest within a patch, where `unfold` has it the slowest.
            patches = F.unfold(x_t[None], p, stride=p)[0].T.unflatten(-1, (-1, p * p)).transpose(-1, -2).flatten(1)
        time_of = {config["timestep_conditioning"]: time}
        rows = self.linear(patches + time_of.get("patch", 0), tower + ".patch_in") + time_of.get("row", 0)
        context["condition"] = F.silu(time) if "ada_ln" in time_of else None
        if config["learned_positions"]:  # In an image of another size they are interpolated between the centres of its patches.
            own, grid = ([side // p for side in shape[1:]] for shape in (self.model["latent_shape"], x_t.shape))
            places = self.weights[tower + ".positions"].T.unflatten(-1, own)[None]
            rows = rows + F.interpolate(places, grid, mode="bilinear").flatten(2)[0].T
        return rows, context

    def predict(self, tower, config, rows, context):
        """The logits of tokens `[S, V]`, or what the tower puts out for an image `[C, H, W]`."""
        if not context:
            return F.linear(rows, self.weights.get(tower + ".head.weight", self.weights[tower + ".embedding"]))
        p, overlap, (channels, height, width) = config["patch_size"], config["patch_overlap"], context["x_t"].shape
        if context["condition"] is not None:
            shift, scale = self.linear(context["condition"], tower + ".modulation").chunk(2, -1)
            rows = rows * (1 + scale) + shift
        patches = self.linear(rows, tower + ".patch_out")
        if config.get("unet"):
            from unet import up
            out = up(self, tower + ".unet", config["unet"], patches.T.unflatten(-1, (height // p, width // p)), context["upward"])
        else:
            patches = patches.unflatten(-1, (-1, channels)).transpose(-1, -2).flatten(1).T
            out = F.fold(patches[None], (height, width), p + 2 * overlap, padding=overlap, stride=p)[0]
        angle = context["t"] * math.pi / 2
        return math.sin(angle) * context["x_t"] + math.cos(angle) * out if config["skip"] else out

    def time(self, name, t):
        """The timestep as a vector: DiT's, whose times are a thousand times ours."""
        angles = 1000 * t * 1e4 ** (-torch.arange(128, device=self.device) / 128)
        return self.linear(F.silu(self.linear(torch.cat([angles.cos(), angles.sin()]), name + ".hidden")), name + ".output")

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"], self.weights.get(name + ".bias"))

    def rms_norm(self, x, name):
        return F.rms_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.backbone["norm_epsilon"])
