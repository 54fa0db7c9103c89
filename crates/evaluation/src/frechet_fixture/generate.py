"""Writes cases.json, pairs of feature sets and their Fréchet distances, and gaussians.json, pairs of statistics.

    pip install numpy scipy mpmath
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
    "fewer images than features": (features(4, 9), features(5, 9, mean=0.25), by_nuclear_norm),
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


def ill_conditioned(dim, decades, seed):
    """A mean and a covariance whose eigenvalues reach over `decades`, in directions of chance."""
    rng = np.random.default_rng(seed)
    vectors, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    covariance = (vectors * np.logspace(0, -decades, dim)) @ vectors.T
    return rng.normal(size=dim), (covariance + covariance.T) / 2


def by_exact_numbers(a, b):
    """In 60 digits, where rounding has no say; the general square root of scipy has few digits left here."""
    import mpmath

    mpmath.mp.dps = 60
    first, second = mpmath.matrix(a.tolist()), mpmath.matrix(b.tolist())
    values, vectors = mpmath.eigsy(first)
    root = vectors * mpmath.diag([mpmath.sqrt(value) for value in values])
    product = root.T * second * root
    return float(sum(mpmath.sqrt(value) for value in mpmath.eigsy((product + product.T) / 2, eigvals_only=True)))


written = []
for name, decades in [("a condition of 1e4", 4), ("a condition of 1e8", 8)]:
    (mean_a, cov_a), (mean_b, cov_b) = ill_conditioned(8, decades, 1), ill_conditioned(8, decades, 2)
    root = by_exact_numbers(cov_a, cov_b)
    general = np.trace(sqrtm(cov_a @ cov_b)).real
    assert abs(general / root - 1) < 1e-6, (name, general, root)
    distance = float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)
    case = {"name": name, "distance": distance}
    for side, mean, covariance in [("a", mean_a, cov_a), ("b", mean_b, cov_b)]:
        case[side] = {"mean": mean.tolist(), "covariance": covariance.tolist()}
    written.append(case)
pathlib.Path(__file__).with_name("gaussians.json").write_text(json.dumps(written) + "\n")
