"""Makes the clips of this folder and what torchaudio makes of one of them.

Written with soundfile 0.14.0 (libsndfile with LAME, Vorbis and FLAC), numpy 2.4.6; run as `python generate.py`.
`resampled.json` is written by `resample.py`, which needs torchaudio 0.13.1.
"""
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent


def tone(rate, seconds, hertz=440.0, gain=0.5):
    return gain * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def main():
    rate = 8000
    mono = tone(rate, 0.25)
    soundfile.write(HERE / "mono.wav", mono, rate, subtype="PCM_16")
    soundfile.write(HERE / "bits24.wav", mono, rate, subtype="PCM_24")
    soundfile.write(HERE / "float.wav", mono, rate, subtype="FLOAT")
    soundfile.write(HERE / "bytes.wav", mono, rate, subtype="PCM_U8")
    soundfile.write(HERE / "mono.flac", mono, rate)
    soundfile.write(HERE / "mono.ogg", mono, rate, subtype="VORBIS")
    soundfile.write(HERE / "mpeg25.mp3", tone(11025, 0.5), 11025, subtype="MPEG_LAYER_III")
    soundfile.write(HERE / "mpeg1.mp3", tone(44100, 0.25), 44100, subtype="MPEG_LAYER_III")
    silent_left = np.stack([np.zeros_like(mono), mono], axis=1)
    soundfile.write(HERE / "silent_left.wav", silent_left, rate, subtype="PCM_16")
    both = np.stack([mono, tone(rate, 0.25, gain=0.25)], axis=1)
    soundfile.write(HERE / "stereo.flac", both, rate)
    soundfile.write(HERE / "one_sample.wav", mono[1:2], rate, subtype="PCM_16")
    soundfile.write(HERE / "no_sample.wav", mono[:0], rate, subtype="PCM_16")
    soundfile.write(HERE / "silence.wav", np.zeros(800), rate, subtype="PCM_16")


main()
