"""The training step of configs/yardstick.toml in plain PyTorch, for comparison.

A dense decoder with d_model 256, 6 layers, 4 heads, SwiGLU 684 and RoPE; 8 sequences of 160 tokens (of 1024) and an image of
160 patches (of 64 numbers) with Transfusion's mask; fp32, AdamW, clipping by the global norm. With --bf16 the forward pass runs
under autocast.

    pip install torch
    python assets/benchmarks/yardstick.py --steps 10 --warmup 3
"""

import argparse
import math
import resource
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, LAYERS, HEADS, HIDDEN = 256, 6, 4, 684
ROWS, BATCH, VOCABULARY, PATCH = 320, 8, 1024, 64
IMAGE = (80, 240)  # The rows of the image; text before and after it.


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return F.rms_norm(x, (WIDTH,), self.weight, 1e-5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda d_in, d_out: nn.Linear(d_in, d_out, bias=False)
        self.attention_norm, self.feed_forward_norm = RmsNorm(), RmsNorm()
        self.query, self.key, self.value, self.output = (linear(WIDTH, WIDTH) for _ in range(4))
        self.gate, self.up, self.down = linear(WIDTH, HIDDEN), linear(WIDTH, HIDDEN), linear(HIDDEN, WIDTH)

    def forward(self, x, cos, sin, mask):
        def heads(y):
            return y.view(BATCH, ROWS, HEADS, WIDTH // HEADS).transpose(1, 2)

        def rotate(y):
            first, second = y.chunk(2, -1)
            return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

        h = self.attention_norm(x)
        q, k, v = rotate(heads(self.query(h))), rotate(heads(self.key(h))), heads(self.value(h))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.output(attended.transpose(1, 2).reshape(BATCH, ROWS, WIDTH))
        h = self.feed_forward_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.patch_in = nn.Linear(PATCH, WIDTH, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = RmsNorm()
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.patch_out = nn.Linear(WIDTH, PATCH, bias=False)
        half = WIDTH // HEADS // 2
        angles = torch.arange(ROWS).float()[:, None] * 1e4 ** (-torch.arange(half).float() / half)[None]
        row = torch.arange(ROWS)
        in_image = (row >= IMAGE[0]) & (row < IMAGE[1])
        mask = (row[None, :] <= row[:, None]) | (in_image[:, None] & in_image[None, :])
        for name, value in [("cos", angles.cos()), ("sin", angles.sin()), ("mask", mask)]:
            self.register_buffer(name, value)

    def forward(self, ids, patches, targets, patch_targets):
        text = self.embedding(ids)
        x = torch.cat([text[:, : IMAGE[0]], self.patch_in(patches), text[:, IMAGE[0] :]], 1)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        x = self.norm(x)
        text = torch.cat([x[:, : IMAGE[0]], x[:, IMAGE[1] :]], 1)
        text_loss = F.cross_entropy(self.head(text).reshape(-1, VOCABULARY), targets.reshape(-1))
        return text_loss + F.mse_loss(self.patch_out(x[:, IMAGE[0] : IMAGE[1]]), patch_targets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    tokens = ROWS - IMAGE[1] + IMAGE[0]
    ids, targets = (torch.randint(0, VOCABULARY, (BATCH, tokens)) for _ in range(2))
    patches, patch_targets = (torch.randn(BATCH, IMAGE[1] - IMAGE[0], PATCH) for _ in range(2))
    seconds = []
    for step in range(arguments.warmup + arguments.steps):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            loss = model(ids, patches, targets, patch_targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        if step >= arguments.warmup:
            seconds.append(time.perf_counter() - started)
    seconds.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"median step {1e3 * seconds[len(seconds) // 2]:.1f} ms")
    print(f"torch {torch.__version__}, {arguments.threads} threads, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
