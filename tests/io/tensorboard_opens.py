"""TensorBoard's own reader on the event files that python_interop_test.cpp wrote: tensorboard_opens.py FOLDER"""

import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
# What was logged at step 8 was lost: the second writer's session begins there.
assert events.Tags()["scalars"] == ["train/loss"], events.Tags()
assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5), (2**40, -0.25)]
assert events.Tags()["images"] == ["samples"], events.Tags()
(image,) = events.Images("samples")
assert (image.step, image.height, image.width) == (7, 4, 5)
assert image.encoded_image_string.startswith(b"\x89PNG")
# The IHDR chunk: width, height, 8 bits, RGB.
assert struct.unpack(">IIBB", image.encoded_image_string[16:26]) == (5, 4, 8, 2)
