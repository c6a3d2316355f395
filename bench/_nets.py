"""Integer nets of random weights, where only their speed is asked for."""

from __future__ import annotations

import numpy as np

from stdo_min.format import patchmap
from stdo_min.format.sidecar import Layer, Net, Segment, Sidecar, write


def random_sidecar(hidden: tuple[tuple[int, int], ...], scale: int, width: int, height: int, patch: int = 20) -> bytes:
    """Return a sidecar of one frame with one net for luma; hidden lists (kernel, channels), the last kernel is 3.

    Weights are -127..127, as quantise makes them.
    """
    rng, layers, inputs = np.random.default_rng(0), [], 1
    for kernel, out in (*hidden, (3, scale * scale)):
        weight = rng.integers(-127, 128, (out, kernel, kernel, inputs)).astype(np.int8)
        layers.append(Layer(kernel, 6, np.full(out, 1000, np.uint16), rng.integers(-999, 999, out, np.int32), weight))
        inputs = out
    labels = np.ones((1, -(-height // patch), -(-width // patch)), np.uint8)
    segment = Segment(0, 1, 0, 0, (Net(tuple(layers)),), patchmap.encode(labels, 1))
    return write(Sidecar(scale, 1, patch, 1, width, height, width * scale, height * scale, (segment,)))
