"""Float nets in the C library, for comparisons: no sidecar holds one."""

from __future__ import annotations

import numpy as np
from stdo_min._stdo import ffi, lib

from stdo_min.format.library import Upscaler


def float_upscaler(
    layers: list[tuple[np.ndarray, np.ndarray]],
    scale: int,
    colour: int,
    lr_size: tuple[int, int],
    tiers: str | None = None,
    patch: int = 20,
) -> Upscaler:
    """Return an upscaler with one float net, whose label is 1.

    layers holds (weight float32 (out, kernel, kernel, in), bias float32 (out,)); the net reads lr samples 0..255
    and gives the residual in grey levels. lr_size is (width, height). Raises ValueError for arrays that do not fit
    together, and StdoError for what is beyond the limits.
    """
    arrays = [tuple(np.ascontiguousarray(array, np.float32) for array in layer) for layer in layers]
    inputs = 3 if colour == lib.STDO_COLOUR_RGB else 1
    for number, (weight, bias) in enumerate(arrays):
        out, kernel = weight.shape[0], weight.shape[1] if weight.ndim > 1 else 0
        if weight.shape != (out, kernel, kernel, inputs) or bias.shape != (out,):
            raise ValueError(f"layer {number} has weight {weight.shape} and bias {bias.shape}; they must be "
                             f"(out, kernel, kernel, {inputs}) and (out,)")
        inputs = out
    c_layers = ffi.new("stdo_float_layer[]", len(layers))
    for c_layer, (weight, bias) in zip(c_layers, arrays, strict=True):
        c_layer.kernel, c_layer.channels = weight.shape[1], weight.shape[0]
        c_layer.weight, c_layer.bias = ffi.from_buffer("float[]", weight), ffi.from_buffer("float[]", bias)
    net = ffi.new("stdo_float_net *", (colour, scale, patch, *lr_size, len(layers), c_layers))
    return Upscaler.opened_by(lambda words, handle: lib.stdo_open_float(net, words, handle), tiers)
