"""Writes the inertia that scikit-learn 1.9.1 reaches; run as `python generate.py`.

Frames come from a linear congruential generator, so that the test can make them by itself: points around centers that
overlap, with a spread that differs by cluster and by number, as cepstra have it.
"""
import json
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans


class Numbers:
    def __init__(self):
        self.state = 1

    def __call__(self):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return self.state / 2**30 - 1


def frames(count, dim, centers):
    numbers = Numbers()
    around = [[4 * numbers() for _ in range(dim)] for _ in range(centers)]
    rows = []
    for row in range(count):
        center = around[row % centers]
        spread = 0.5 + (row % centers) / centers
        rows.append([center[d] + spread * (numbers() + numbers()) / (1 + d / 4) for d in range(dim)])
    return np.array(rows, dtype=np.float32)


cases = []
for count, dim, centers, clusters in [(3000, 6, 12, 10), (3000, 6, 12, 32), (2000, 39, 25, 25)]:
    data = frames(count, dim, centers)
    cases.append({
        "count": count, "dim": dim, "centers": centers, "clusters": clusters,
        "kmeans": float(KMeans(clusters, n_init=50, random_state=0).fit(data).inertia_),
        "mini_batch": float(MiniBatchKMeans(
            clusters, batch_size=10_000, max_iter=100, tol=0, n_init=20, max_no_improvement=100, reassignment_ratio=0,
            random_state=0,
        ).fit(data).inertia_),
    })
    print(cases[-1])
Path(__file__).with_name("inertia.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")
