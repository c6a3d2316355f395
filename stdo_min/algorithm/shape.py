"""The shape of a net that is worth its bytes: the channels of its hidden layers, by the bytes of the lr video."""

from __future__ import annotations

FIRST_KERNEL, KERNEL = 5, 3  # of the first layer and the others
MAX_MAC = 900  # products per hr pixel that a phone plays

# From so many bytes of lr video a segment on. The wider net gains about 0.06 dB (docs/training.md), which is worth
# 1.5 % of the bytes, and costs about 80, 370 and 1,050 bytes more.
SHAPES = ((0, (4,)), (5_000, (4, 4)), (25_000, (8, 8)), (70_000, (16, 16)))


def macs(channels: tuple[int, ...], net_scale: int) -> float:
    """Products per hr pixel of a net with these hidden channels."""
    inputs = (1, *channels)
    kernels = [FIRST_KERNEL] + [KERNEL] * len(channels)
    products = sum(k * k * last * out
                   for k, last, out in zip(kernels, inputs, (*channels, net_scale**2), strict=True))
    return products / net_scale**2


def shape_for(lr_bytes: float, net_scale: int, max_mac: float = MAX_MAC) -> tuple[int, ...]:
    """The widest of SHAPES that pays where a segment's lr video has so many bytes.

    max_mac: the most products per hr pixel; the narrowest shape is taken where none has so few.
    """
    fits = [shape for least, shape in SHAPES if lr_bytes >= least and macs(shape, net_scale) <= max_mac]
    return fits[-1] if fits else SHAPES[0][1]
