"""Reads events.bin with TensorBoard's own code and checks that every event arrives as it was meant.

    pip install tensorboard
    INTERFUSE_WRITE_FIXTURE=1 cargo test -p interfuse-run tensorboard   # renews events.bin from the Rust writer
    python verify.py

The Rust test then holds the writer to these bytes. Confirmed with tensorboard 2.21.0.
"""

import pathlib
import shutil
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

here = pathlib.Path(__file__).parent

with tempfile.TemporaryDirectory() as folder:
    # TensorBoard knows an event file by its name. The first file is a run that was interrupted after step 400; the second
    # begins by saying that the run goes on from step 1, so the first one's step 300 must have been forgotten.
    shutil.copy(here / "events.bin", pathlib.Path(folder, "events.out.tfevents.0.interfuse.0"))
    shutil.copy(here / "events.bin", pathlib.Path(folder, "events.out.tfevents.1.interfuse.0"))
    events = EventAccumulator(folder).Reload()

    assert events.file_version == 2.0, events.file_version

    (scalar,) = events.Scalars("loss/total")
    assert (scalar.wall_time, scalar.step, scalar.value) == (1_700_000_000.5, 300, 0.125), scalar

    (image,) = events.Images("previews")
    assert (image.step, image.width, image.height) == (300, 1, 1), image
    assert image.encoded_image_string.startswith(b"\x89PNG"), image
    assert image.encoded_image_string.endswith(b"IEND\xaeB`\x82"), image

    # TensorBoard's reader never forgets a text, so both files' are here.
    text, _ = events.Tensors("caption")
    assert (text.step, list(text.tensor_proto.string_val)) == (301, [b"a red circle"]), text
    plugin = events.SummaryMetadata("caption").plugin_data.plugin_name
    assert plugin == "text", plugin

print("TensorBoard reads every event, and forgets what a resumed run repeats.")
