"""Images a second through the Inception of the FID, by pytorch-fid 0.3.0; and what both sides need for it.

    pip install pytorch-fid scikit-image
    python3 inception.py prepare FOLDER      # FOLDER/images (96 of 256 x 256) and FOLDER/weights.pth, of random numbers
    python3 inception.py time FOLDER         # prints images/s, 2 threads, 16 images at once

Beside it, in turn: interfuse features FOLDER/images --weights FOLDER/weights.pth --allow-unknown-weights --out f.npz, which
prints images/s as well. The numbers do not depend on the weights.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch

COUNT, SIDE = 96, 256


def network(state):
    """pytorch-fid would download the weights; `None` keeps those that PyTorch made up."""
    pytorch_fid.inception.load_state_dict_from_url = lambda url, progress: None
    original = torch.nn.Module.load_state_dict
    torch.nn.Module.load_state_dict = lambda self, *args, **kwargs: state and original(self, state, strict=False)
    made = pytorch_fid.inception.fid_inception_v3()
    torch.nn.Module.load_state_dict = original
    return made


def prepare(folder):
    from PIL import Image
    from skimage import data

    torch.manual_seed(0)
    folder.joinpath("images").mkdir(parents=True, exist_ok=True)
    state = network(None).state_dict()
    torch.save({name: x for name, x in state.items() if not name.endswith("num_batches_tracked")}, folder / "weights.pth")
    photographs = [data.astronaut(), data.coffee(), data.chelsea()]
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        photograph = photographs[index % 3]
        y, x = (rng.integers(0, length - SIDE) for length in photograph.shape[:2])
        Image.fromarray(photograph[y : y + SIDE, x : x + SIDE]).save(folder / "images" / f"{index:03}.png")


def measure(folder):
    torch.set_num_threads(2)
    made = network(torch.load(folder / "weights.pth"))
    pytorch_fid.inception.fid_inception_v3 = lambda: made
    inception = pytorch_fid.inception.InceptionV3([3]).eval()
    files = sorted(folder.joinpath("images").glob("*.png"))
    started = time.time()
    features = pytorch_fid.fid_score.get_activations(files, inception, 16, 2048, "cpu", 0)
    print(f"{len(files) / (time.time() - started):.2f} images/s")
    np.save(folder / "features.npy", features)


if __name__ == "__main__":
    {"prepare": prepare, "time": measure}[sys.argv[1]](Path(sys.argv[2]))
