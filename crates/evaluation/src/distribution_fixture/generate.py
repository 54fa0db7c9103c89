"""Distances of formula-made features: python generate.py.

numpy, scipy, torch-fidelity 0.4.0 (KID, Inception score), prdc 0.2 (precision, recall, density, coverage). CMMD is
the formula of google-research/cmmd/distance.py. Also writes numpy.npz.
"""

import json
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from prdc import compute_prdc
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

HERE = Path(__file__).parent


def features(count, dim, salt, scale):
    row, column = np.meshgrid(np.arange(count), np.arange(dim), indexing="ij")
    x = ((row * 7919 + column * 104729 + salt * 1299709 + row * column * 31) % 10007) / 10007.0
    return ((x * 2 - 1) * scale + 0.1 * salt).astype(np.float32)


def cmmd(x, y):
    x, y = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x.astype(np.float64), y.astype(np.float64)))
    gamma = 1 / (2 * 10**2)

    def mean(a, b):
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
        return np.exp(-gamma * squares).mean()

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


a, b = features(60, 8, 0, 1.0), features(60, 8, 1, 1.3)
out = {}
kid = kid_features_to_metric(torch.from_numpy(a).double(), torch.from_numpy(b).double(), kid_subsets=1, kid_subset_size=60,
                             verbose=False)
out["kid"] = kid["kernel_inception_distance_mean"]
out["cmmd"] = cmmd(a, b)
out.update(compute_prdc(real_features=a.astype(np.float64), fake_features=features(50, 8, 1, 1.3).astype(np.float64),
                        nearest_k=5))
logits = torch.from_numpy(features(60, 8, 0, 3.0))
score = isc_features_to_metric(logits, splits=7, shuffle=False)
out["inception_score"] = score["inception_score_mean"]
out["inception_score_deviation"] = score["inception_score_std"]
# Fewer images than features, on both sides.
x, y = features(12, 40, 0, 1.0).astype(np.float64), features(15, 40, 1, 1.3).astype(np.float64)
shift = x.mean(0) - y.mean(0)
products = np.linalg.eigvals(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False))
root = np.sqrt(np.maximum(products.real, 0)).sum()
out["frechet_of_few"] = shift @ shift + np.cov(x, rowvar=False).trace() + np.cov(y, rowvar=False).trace() - 2 * root
(HERE / "expected.json").write_text(json.dumps({key: float(value) for key, value in out.items()}, indent=1) + "\n")
np.savez_compressed(HERE / "numpy.npz", mu=np.array([1.0, -2.5]), sigma=np.array([[1.0, 0.5], [0.5, 2.0]]))
