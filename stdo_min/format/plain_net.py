"""The code of a net in versions 1 and 2, where every number has its bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from stdo_min.format.fields import Fields, require
from stdo_min.format.net import MAX_BIAS, MAX_CHANNELS, MAX_KERNEL, MAX_LAYERS, MAX_MULTIPLIER, MAX_SHIFT, Layer, Net

_LAYER = struct.Struct("<BBBB")


def plain_bytes(kernels: Sequence[int], channels: Sequence[int], planes: int = 1) -> int:
    """The size of a net of this shape."""
    inputs = (planes, *channels)
    return 1 + sum(4 + 6 * out + k * k * last * out
                   for k, last, out in zip(kernels, inputs, channels, strict=False))


def write_net(net: Net) -> bytes:
    """The bytes of a net."""
    layers = (_LAYER.pack(layer.kernel, layer.out, layer.shift, 0) + layer.multiplier.astype("<u2").tobytes()
              + layer.bias.astype("<i4").tobytes() + layer.weight.tobytes() for layer in net.layers)
    return bytes([len(net.layers)]) + b"".join(layers)


def _read_layer(fields: Fields, inputs: int, last_out: int | None) -> Layer:
    kernel, out, shift, reserved = _LAYER.unpack(fields.take(_LAYER.size))
    require(kernel % 2 == 1 and kernel <= MAX_KERNEL, "NET", f"a kernel is {kernel}; it must be 1, 3, 5, 7 or 9")
    require(1 <= out <= MAX_CHANNELS, "NET", f"a layer has {out} channels; it must be 1..{MAX_CHANNELS}")
    require(shift <= MAX_SHIFT, "NET", f"a shift is {shift}; it must be 0..{MAX_SHIFT}")
    require(reserved == 0, "NET", f"a layer's reserved byte is {reserved}; it must be 0")
    require(last_out in (None, out), "NET", f"a last layer has {out} channels; it must be {last_out}")

    fields.require(out * (2 + 4 + kernel * kernel * inputs))
    multiplier, bias = fields.array("<u2", out), fields.array("<i4", out)
    require(
        multiplier.min() >= 1 and multiplier.max() <= MAX_MULTIPLIER, "NET", f"a multiplier is not 1..{MAX_MULTIPLIER}"
    )
    require(bias.min() >= -MAX_BIAS and bias.max() <= MAX_BIAS, "NET", f"a bias is not -{MAX_BIAS}..{MAX_BIAS}")
    weight = fields.array("i1", out * kernel * kernel * inputs).reshape(out, kernel, kernel, inputs)
    return Layer(kernel, shift, multiplier, bias, weight)


def read_net(fields: Fields, outputs: int, planes: int) -> Net:
    """The net that comes next. Raises SidecarError."""
    (count,) = fields.take(1)
    require(1 <= count <= MAX_LAYERS, "NET", f"a net has {count} layers; it must be 1..{MAX_LAYERS}")
    layers: list[Layer] = []
    for number in range(count):
        inputs = layers[-1].out if layers else planes
        layers.append(_read_layer(fields, inputs, outputs if number == count - 1 else None))
    return Net(tuple(layers))
