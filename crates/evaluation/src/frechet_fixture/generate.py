"""Writes cases.json: pairs of feature sets and their Fréchet distances, from numpy and scipy.

    pip install numpy scipy
    python generate.py

Written with numpy 2.4.6 and scipy 1.17.1. The features are multiples of 1/64, so that f32 holds them exactly.
"""

import json
import pathlib

import numpy as np
from scipy.linalg import sqrtm

rng = np.random.default_rng(7)


def features(count, dim, mean=0.0, mix=None):
    values = rng.normal(size=(count, dim))
    values = values if mix is None else values @ mix
    return np.round((values + mean) * 64) / 64


def by_square_root(a, b):
    """The definition, for covariances of full rank."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    root = sqrtm(cov_a @ cov_b)
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root.real))


def by_nuclear_norm(a, b):
    """Tr (S1 S2)^(1/2) is the nuclear norm of A B^T with S1 = A^T A and S2 = B^T B: right for any rank."""
    difference = a.mean(0) - b.mean(0)
    left, right = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    root = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    return float(difference @ difference + (left**2).sum() + (right**2).sum() - 2 * root)


mix = rng.normal(size=(6, 6))
cases = {
    "full rank": (features(40, 6), features(50, 6, mean=0.5, mix=mix), by_square_root),
    "a far mean": (features(40, 6, mean=100.0), features(40, 6, mean=101.0), by_square_root),
    "fewer pictures than features": (features(4, 9), features(5, 9, mean=0.25), by_nuclear_norm),
    "features that never change": (
        features(30, 3, mix=np.eye(3, 7)),
        features(30, 3, mix=rng.normal(size=(3, 7))),
        by_nuclear_norm,
    ),
}

written = []
for name, (a, b, distance) in cases.items():
    value = distance(a, b)
    # Two ways to the same number: neither is to be trusted alone.
    assert distance is by_nuclear_norm or abs(value - by_nuclear_norm(a, b)) < 1e-9 * max(1.0, value), name
    written.append({"name": name, "a": a.tolist(), "b": b.tolist(), "distance": value})

pathlib.Path(__file__).with_name("cases.json").write_text(json.dumps(written) + "\n")
