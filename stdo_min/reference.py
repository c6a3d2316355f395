"""The arithmetic of FORMAT.md written to be read: the NumPy twin of the C library, for tests and for study.

It evaluates every net on the whole frame and picks by label afterwards. Because a net reads its halo from the real
neighbours of a patch, that gives the same bytes as evaluating it patch by patch.
"""

from __future__ import annotations

import numpy as np

from stdo_min.resample import base, to_pixels, upscale
from stdo_min.sidecar import Layer, Net, Sidecar


def convolve(layer: Layer, u: np.ndarray) -> np.ndarray:
    """Return the requantised values q, int32 (height, width, out), of a layer.

    u is int32 (height + kernel - 1, width + kernel - 1, in) with values 0..255.
    """
    margin = layer.kernel - 1
    height, width = u.shape[0] - margin, u.shape[1] - margin
    acc = np.empty((height, width, layer.out), np.int32)
    acc[:] = layer.bias
    for row in range(layer.kernel):
        for column in range(layer.kernel):
            acc += u[row : row + height, column : column + width] @ layer.weight[:, row, column].astype(np.int32).T
    a = np.clip(acc >> layer.shift, -32768, 32767)
    return (a * layer.multiplier.astype(np.int32) + 16384) >> 15


def net_residual(net: Net, lr_y: np.ndarray, scale: int) -> np.ndarray:
    """Return a net's residual, int32 (height * scale, width * scale) in 64ths of a grey level.

    lr_y is the uint8 (height, width) luma of a whole lr frame.
    """
    height, width = lr_y.shape
    u = np.pad(lr_y, net.halo, mode="edge").astype(np.int32)[:, :, None]
    for layer in net.layers[:-1]:
        u = np.clip(convolve(layer, u), 0, 255)
    q = convolve(net.layers[-1], u)
    return q.reshape(height, width, scale, scale).transpose(0, 2, 1, 3).reshape(height * scale, width * scale)


def upscale_luma(sidecar: Sidecar, nets: tuple[Net, ...], labels: np.ndarray, lr_y: np.ndarray) -> np.ndarray:
    """Return the uint8 luma (lr_height * scale, lr_width * scale) before the crop; labels is (rows, columns)."""
    height, width = lr_y.shape
    per_pixel = labels.repeat(sidecar.patch, 0).repeat(sidecar.patch, 1)[:height, :width]
    per_pixel = per_pixel.repeat(sidecar.scale, 0).repeat(sidecar.scale, 1)
    values = base(lr_y, sidecar.scale)
    for label in np.unique(labels[labels > 0]):
        chosen = per_pixel == label
        values[chosen] += net_residual(nets[label - 1], lr_y, sidecar.scale)[chosen]
    return to_pixels(values)


def upscale_frame(
    sidecar: Sidecar, segment: int, labels: np.ndarray, lr: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the hr planes (y, u, v) of one frame, uint8, chroma of half the size rounded up.

    labels is (rows, columns) for the given segment; lr holds the planes of the lr frame in the same way.
    """
    height, width = sidecar.hr_height, sidecar.hr_width
    y = upscale_luma(sidecar, sidecar.segments[segment].nets, labels, lr[0])[:height, :width]
    u, v = (
        upscale(plane, sidecar.scale, bool(sidecar.chroma))[: (height + 1) // 2, : (width + 1) // 2] for plane in lr[1:]
    )
    return y, u, v
