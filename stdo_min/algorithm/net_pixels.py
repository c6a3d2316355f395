"""The pixels that nets read: those of the lr frame, or, at scale 3/2, those of its base, which has full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.video.read import Frame


def net_plane(header: sidecar.Sidecar) -> Callable[[Frame], np.ndarray]:
    """What makes of an lr frame the luma that nets read, uint8 (net_height, net_width)."""
    if header.net_scale == header.scale:
        return lambda lr: lr.y
    whole = replace(header, hr_width=header.net_width, hr_height=header.net_height)
    base = Upscaler(sidecar.write(sidecar.of_nets(whole, [])))
    labels = np.zeros((base.rows, base.columns), np.uint8)
    return lambda lr: base.upscale(0, labels, lr)[0]
