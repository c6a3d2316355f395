"""The arithmetic of FORMAT.md written to be read: the NumPy twin of the C library, for tests and for study.

It evaluates every net on the whole frame and picks by label afterwards. Because a net reads its halo from the real
neighbours of a patch, that gives the same bytes as evaluating it patch by patch.

At scale 3/2 a net reads the base, which has full size, and corrects it as it would an lr frame at scale 1.
"""

from __future__ import annotations

import numpy as np

from stdo_min.format.base import base, to_pixels, upscale
from stdo_min.format.net import Layer, Net
from stdo_min.format.sidecar import Sidecar


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


def net_residual(net: Net, lr: np.ndarray, scale: int) -> np.ndarray:
    """Return a net's residual, int32 (planes that it serves, height * scale, width * scale) in 64ths of a grey level.

    lr is uint8 (planes, height, width): those planes of a whole lr frame that the net reads.
    """
    _, height, width = lr.shape
    halo = (net.halo, net.halo)
    u = np.pad(lr, ((0, 0), halo, halo), mode="edge").astype(np.int32).transpose(1, 2, 0)
    for layer in net.layers[:-1]:
        u = np.clip(convolve(layer, u), 0, 255)
    q = convolve(net.layers[-1], u).reshape(height, width, -1, scale, scale)
    return q.transpose(2, 0, 3, 1, 4).reshape(-1, height * scale, width * scale)


def upscale_planes(sidecar: Sidecar, nets: tuple[Net, ...], labels: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Return the planes that nets serve, uint8 (planes, lr_height * scale, lr_width * scale), before the crop.

    labels is (rows, columns); lr is uint8 (planes, lr_height, lr_width).
    """
    scale = sidecar.net_scale
    if scale != sidecar.scale:
        lr = np.stack([upscale(plane, sidecar.scale) for plane in lr])
    height, width = lr.shape[1:]
    per_pixel = labels.repeat(sidecar.net_side, 0).repeat(sidecar.net_side, 1)[:height, :width]
    per_pixel = per_pixel.repeat(scale, 0).repeat(scale, 1)
    values = np.stack([base(plane, scale) for plane in lr])
    for label in np.unique(labels[labels > 0]):
        chosen = per_pixel == label
        values[:, chosen] += net_residual(nets[label - 1], lr, scale)[:, chosen]
    return to_pixels(values)


def mean_luma(luma: np.ndarray) -> np.ndarray:
    """Return the mean of the four luma samples of each chroma sample, uint8 (height / 2, width / 2), rounded up."""
    height, width = luma.shape
    four = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge").astype(np.int32)
    return ((four[::2, ::2] + four[::2, 1::2] + four[1::2, ::2] + four[1::2, 1::2] + 2) >> 2).astype(np.uint8)


def upscale_chroma(sidecar: Sidecar, net: Net | None, lr: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the planes U and V, uint8 (2, height * scale, width * scale), before the crop; lr holds y, u and v."""
    left = bool(sidecar.chroma)
    if net is None:
        return np.stack([upscale(plane, sidecar.scale, left) for plane in lr[1:]])
    scale, seen = sidecar.net_scale, (*lr[1:], mean_luma(lr[0]))
    if scale != sidecar.scale:
        seen = [upscale(plane, sidecar.scale, left) for plane in seen]
    under = np.stack([base(plane, scale, left) for plane in seen[:2]])
    return to_pixels(under + net_residual(net, np.stack(seen), scale))


def upscale_frame(
    sidecar: Sidecar, segment: int, labels: np.ndarray, lr: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the hr planes (y, u, v) or (r, g, b) of one frame, uint8; those of chroma have half the size rounded up.

    labels is (rows, columns) for the given segment; lr holds the planes of the lr frame in the same way.
    """
    height, width, nets = sidecar.hr_height, sidecar.hr_width, sidecar.segments[segment]
    served = upscale_planes(sidecar, nets.nets, labels, np.stack(lr[: sidecar.planes]))[:, :height, :width]
    if sidecar.planes == 3:
        return tuple(served)
    return *served, *upscale_chroma(sidecar, nets.chroma, lr)[:, : (height + 1) // 2, : (width + 1) // 2]
