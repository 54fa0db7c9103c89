"""Makes expected.json: mixtures of experts in NumPy, in float64, with values and gradients written out by hand.

    python generate.py        NumPy 2

The loss is sum(y * w) + balance_loss * balance + z_loss * z, where balance and z are means over rows that are not padding.
Gradients are checked here against central differences, and that no row is so near to another choice that rounding to
float32 could change the routing.
"""

import json
import pathlib

import numpy as np

BATCH, ROWS, D, F, EXPERTS = 3, 6, 4, 3, 4
# Rows of each sequence that are not padding; the padding of the second stands in front.
FILLED = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 1, 0]], dtype=float)

CASES = {
    "expert choice": {"experts": EXPERTS},
    "expert choice, capacity 1.5, z-loss": {"experts": EXPERTS, "capacity": 1.5, "z_loss": 0.3},
    "switch": {"experts": EXPERTS, "routing": "top_k", "balance_loss": 0.7, "z_loss": 0.3},
    "switch, balanced over the step": {
        "experts": EXPERTS, "routing": "top_k", "balance_loss": 0.7, "balance_over": "step", "z_loss": 0.0,
    },
    "top 2": {"experts": EXPERTS, "routing": "top_k", "top_k": 2, "balance_loss": 0.7, "z_loss": 0.3},
    "top 3, not normalized": {
        "experts": EXPERTS, "routing": "top_k", "top_k": 3, "normalize_gates": False, "balance_loss": 0.0, "z_loss": 0.0,
    },
}


def wave(seed, *shape):
    """The same numbers as the test makes: sin(seed + 1.7 i + 0.9 sin(5.3 i)) for the i-th element."""
    i = np.arange(np.prod(shape))
    return np.sin(seed + 1.7 * i + 0.9 * np.sin(5.3 * i)).reshape(shape)


def inputs():
    return {
        "x": wave(1, BATCH, ROWS, D),
        "router": 1.5 * wave(2, D, EXPERTS),
        "gate": wave(3, EXPERTS, D, F),
        "up": wave(4, EXPERTS, D, F),
        "down": wave(5, EXPERTS, F, D),
    }


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def route(p, config):
    """1 where an expert takes a row. [B, S, E]"""
    taken = np.zeros_like(p)
    margin = np.inf
    for b in range(BATCH):
        rows = np.flatnonzero(FILLED[b])
        if config.get("routing") == "top_k":
            k = config.get("top_k", 1)
            for i in rows:
                order = np.argsort(-p[b, i])
                taken[b, i, order[:k]] = 1
                ranked = p[b, i, order]
                margin = min(margin, (ranked[:-1] - ranked[1:]).min())
        else:
            k = int(np.ceil(len(rows) * config.get("capacity", 1.0) / EXPERTS))
            for e in range(EXPERTS):
                order = rows[np.argsort(-p[b, rows, e])]
                taken[b, order[:k], e] = 1
                if k < len(order):
                    margin = min(margin, p[b, order[k - 1], e] - p[b, order[k], e])
    return taken, margin


def mixture(v, config, fractions=None):
    """Loss, values and gradients."""
    x, w = v["x"], wave(6, BATCH, ROWS, D)
    n = FILLED.sum()
    logits = x @ v["router"]
    p = softmax(logits)
    taken, margin = route(p, config)
    is_top_k = config.get("routing") == "top_k"
    normalizes = is_top_k and config.get("normalize_gates", config.get("top_k", 1) > 1)
    chosen = (p * taken).sum(-1, keepdims=True)
    gates = p * taken / np.where(chosen > 0, chosen, 1) if normalizes else p * taken

    # SwiGLU of every expert over every row. [B, S, E, ·]
    g = np.einsum("bsd,edf->bsef", x, v["gate"])
    u = np.einsum("bsd,edf->bsef", x, v["up"])
    sigmoid = 1 / (1 + np.exp(-g))
    h = g * sigmoid * u
    out = np.einsum("bsef,efd->bsed", h, v["down"])
    y = (gates[..., None] * out).sum(2)

    alpha = config.get("balance_loss", 0.01) if is_top_k else 0.0
    beta = config.get("z_loss", 0.001 if is_top_k else 0.0)
    over = (0, 1) if config.get("balance_over") == "step" else 1
    counts = taken.sum(over, keepdims=True)
    f = counts / counts.sum(-1, keepdims=True)
    # The mean over rows of E · Σ f · P of the row's sequence is E / n · Σ over rows of Σ f · p.
    balance = EXPERTS / n * (f * p * FILLED[..., None]).sum()
    log_sum = np.log(np.exp(logits).sum(-1))
    z = (FILLED * log_sum**2).sum() / n
    loss = (y * w).sum() + alpha * balance + beta * z

    d_out = gates[..., None] * w[:, :, None]
    d_gates = (out * w[:, :, None]).sum(-1) * taken
    if normalizes:
        safe = np.where(chosen > 0, chosen, 1)
        d_p = taken * (d_gates / safe - (d_gates * p).sum(-1, keepdims=True) / safe**2)
    else:
        d_p = d_gates
    d_p = d_p + alpha * EXPERTS / n * f * FILLED[..., None]
    d_logits = p * (d_p - (d_p * p).sum(-1, keepdims=True))
    d_logits += beta / n * (FILLED * 2 * log_sum)[..., None] * p
    d_h = np.einsum("bsed,efd->bsef", d_out, v["down"])
    d_u = d_h * g * sigmoid
    d_g = d_h * u * sigmoid * (1 + g * (1 - sigmoid))
    gradients = {
        "x": np.einsum("bsef,edf->bsd", d_g, v["gate"]) + np.einsum("bsef,edf->bsd", d_u, v["up"])
        + d_logits @ v["router"].T,
        "router": np.einsum("bsd,bse->de", x, d_logits),
        "gate": np.einsum("bsd,bsef->edf", x, d_g),
        "up": np.einsum("bsd,bsef->edf", x, d_u),
        "down": np.einsum("bsef,bsed->efd", h, d_out),
    }
    statistics = {
        "taken": taken.sum(1),
        "unrouted": (FILLED * (taken.sum(-1) == 0)).sum(),
        "entropy": -(FILLED[..., None] * p * np.log(p)).sum(),
        "balance": balance * n,
        "z": z * n,
    }
    return loss, y, gradients, statistics, margin


def check(config):
    values = inputs()
    _, _, gradients, _, margin = mixture(values, config)
    assert margin > 1e-4, margin
    for name, value in values.items():
        for place in np.ndindex(value.shape):
            def at(shift):
                moved = dict(values)
                moved[name] = value.copy()
                moved[name][place] += shift
                return mixture(moved, config)[0]
            slope = (at(1e-6) - at(-1e-6)) / 2e-6
            assert abs(slope - gradients[name][place]) < 1e-7, (name, place, slope, gradients[name][place])


def flat(a):
    return [float(f"{x:.9g}") for x in np.ravel(a)]


cases = []
for name, config in CASES.items():
    check(config)
    loss, y, gradients, statistics, _ = mixture(inputs(), config)
    cases.append({
        "name": name,
        "config": config,
        "loss": float(loss),
        "y": flat(y),
        "gradients": {key: flat(value) for key, value in gradients.items()},
        "statistics": {key: flat(value) for key, value in statistics.items()},
    })
sizes = {"batch": BATCH, "rows": ROWS, "d_model": D, "d_ff": F, "experts": EXPERTS, "filled": flat(FILLED)}
text = json.dumps({"sizes": sizes, "cases": cases}, indent=None, separators=(",", ":"))
pathlib.Path(__file__).with_name("expected.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")
