"""Resamples noise with torchaudio 0.13.1 (Kaiser's window, librosa's `kaiser_best`); run as `python3 resample.py`.

In double precision: in single precision torchaudio rounds the places of its taps.
"""
import json
from pathlib import Path

import numpy as np
import torch
import torchaudio

noise = np.random.default_rng(0).uniform(-1, 1, 400).astype(np.float32)
cases = []
for old, new in [(8000, 16000), (11025, 16000), (22050, 16000), (44100, 16000), (16000, 8000)]:
    made = torchaudio.functional.resample(
        torch.tensor(noise, dtype=torch.float64), old, new, lowpass_filter_width=64, rolloff=0.9475937167399596,
        resampling_method="kaiser_window", beta=14.769656459379492,
    )
    cases.append({"from": old, "to": new, "samples": [round(float(x), 7) for x in made]})
Path(__file__).with_name("resampled.json").write_text(
    json.dumps({"noise": [float(x) for x in noise], "cases": cases}) + "\n"
)
