"""Nets of random integers and sidecars with them: to measure the speed of a net that nobody trained, and for tests."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from stdo_min.format import patchmap
from stdo_min.format.net import CHROMA_INPUTS, CHROMA_PLANES, Layer, Net
from stdo_min.format.sidecar import VERSION, Segment, Sidecar, net_scale


def random_net(rng: np.random.Generator, scale: Fraction | int, hidden: list[tuple[int, int]], last_kernel: int,
               planes: int = 1, least_weight: int = -128) -> Net:
    """A net of random integers.

    hidden lists (kernel, channels). Weights are least_weight..127: the format allows -128, but the quantiser makes
    none below -127, for which some kernels are faster.
    """
    return _random(rng, [*hidden, (last_kernel, planes * net_scale(scale) ** 2)], planes, least_weight)


def random_chroma_net(rng: np.random.Generator, scale: Fraction | int, hidden: list[tuple[int, int]],
                      last_kernel: int) -> Net:
    """The same for chroma."""
    return _random(rng, [*hidden, (last_kernel, CHROMA_PLANES * net_scale(scale) ** 2)], CHROMA_INPUTS, -128)


def _random(rng, shape, inputs, least_weight) -> Net:
    layers = []
    for kernel, out in shape:
        weight = rng.integers(least_weight, 128, (out, kernel, kernel, inputs)).astype(np.int8)
        # A shift and multiplier that bring most sums to 0..255, so that both ends of the clamp are met but not always.
        shift = int(rng.integers(0, 8))
        spread = 8000 * kernel * inputs**0.5 / (1 << shift)
        multiplier = rng.integers(1, max(2, min(32768, int(32768 * 300 / spread))), out).astype(np.uint16)
        bias = rng.integers(-10000, 10000, out).astype(np.int32)
        layers.append(Layer(kernel, shift, multiplier, bias, weight))
        inputs = out
    return Net(tuple(layers))


def like(rng: np.random.Generator, net: Net) -> Net:
    """A net whose biases and weights differ a little from those of another: as training on from it may leave it."""
    layers = []
    for layer in net.layers:
        bias = layer.bias + rng.integers(-9, 10, layer.bias.shape).astype(np.int32)
        weight = np.clip(layer.weight.astype(int) + rng.integers(-2, 3, layer.weight.shape), -128, 127).astype(np.int8)
        layers.append(replace(layer, bias=bias, weight=weight))
    return Net(tuple(layers))


def make_sidecar(
    scale: Fraction | int, size: tuple[int, int], patch: int, segments: list[tuple[tuple[Net, ...], np.ndarray]], *,
    crop: tuple[int, int] = (0, 0), chroma: int = 0, mode: int = 2, colour: int = 0,
    version: int = VERSION,
) -> Sidecar:  # fmt: skip
    """A sidecar for lr frames of size (width, height); as there are no such frames, their checksums are 1 and 2.

    segments lists (nets, labels uint8 (frames, rows, columns)). crop: the hr pixels, across and down, by which the
    video is smaller than its lr size times scale.
    """
    found, first_frame = [], 0
    for nets, labels in segments:
        found.append(Segment(first_frame, len(labels), 1, 2, nets, patchmap.encode(labels, len(nets))))
        first_frame += len(labels)
    (width, height), (crop_x, crop_y) = size, crop
    hr_width, hr_height = int(width * scale) - crop_x, int(height * scale) - crop_y
    return Sidecar(Fraction(scale), mode, patch, chroma, width, height, hr_width, hr_height, tuple(found), colour,
                   version)


def random_sidecar(rng: np.random.Generator, scale: int, hidden: list[tuple[int, int]], size: tuple[int, int],
                   patch: int, crop: tuple[int, int] = (0, 0)) -> Sidecar:
    """A sidecar of one luma frame in which one net, like those the quantiser makes, serves every patch.

    hidden, size and crop: as above; the last kernel is 3.
    """
    net = random_net(rng, scale, hidden, 3, least_weight=-127)
    labels = np.ones((1, -(-size[1] // patch), -(-size[0] // patch)), np.uint8)
    return make_sidecar(scale, size, patch, [((net,), labels)], crop=crop, chroma=1, mode=1)
