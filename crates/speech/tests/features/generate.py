"""Writes the features of a synthetic signal by torchaudio 0.13.1; run as `python3 generate.py`.

The signal is a gliding tone with noise of a linear congruential generator, so that the test can make it by itself.
Kaldi's MFCC at its defaults without energy, and deltas twice, in double precision.
"""
import json
from pathlib import Path

import numpy as np
import torch
import torchaudio


def signal(rate, length):
    state, noise = 1, []
    for _ in range(length):
        state = (state * 1103515245 + 12345) % 2**31
        noise.append(state / 2**30 - 1)
    time = np.arange(length) / rate
    tone = 0.4 * np.sin(2 * np.pi * (200 * time + 900 * time**2)) * np.sin(2 * np.pi * 3 * time) ** 2
    return (tone + 0.02 * np.array(noise) + 0.01).astype(np.float32)


cases = []
for rate, length in [(16000, 8137), (8000, 4000), (48000, 2400)]:
    samples = torch.tensor(signal(rate, length), dtype=torch.float64)[None]
    mfcc = torchaudio.compliance.kaldi.mfcc(samples, sample_frequency=rate, use_energy=False, dither=0.0).T
    first = torchaudio.functional.compute_deltas(mfcc)
    second = torchaudio.functional.compute_deltas(first)
    features = torch.cat([mfcc, first, second]).T
    cases.append({
        "rate": rate,
        "length": length,
        "features": [[round(float(x), 5) for x in row] for row in features],
    })
    print(rate, features.shape, float(features.abs().max()))
Path(__file__).with_name("features.json").write_text(json.dumps({"cases": cases}) + "\n")
