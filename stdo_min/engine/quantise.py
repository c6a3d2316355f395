"""From a trained float net to the integer net of FORMAT.md: u8 activations, i8 weights, one requantisation a channel.

Calibrated on patches of the very video the net serves, so ranges are exact rather than guessed. Each hidden channel
gets its own activation step (its maximum becomes 255), which the next layer's weights absorb. Weights are whole numbers
of a step of their output, as coarse as pays for the bits that it saves: at high resolution an error of step^2 / 12
saves one bit for each halving (Gish and Pierce, 1968). What rounding does wrong, weights that are rounded later make
good (`rounding.py`), and the layers behind. Biases are then chosen so that every channel's mean before the activation
is that of the float net.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from stdo_min.engine.autograd import Tensor, conv2d
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, RESIDUAL_UNIT, Net
from stdo_min.engine.rounding import LARGEST, Rounding
from stdo_min.engine.sensitivity import Sensitivity
from stdo_min.engine.windows import most_windows, windows
from stdo_min.format import sidecar
from stdo_min.format.net import MAX_MULTIPLIER, Layer

HEADROOM = 1.25  # times the largest residual seen in calibration is what the 16 bits must hold
TOGETHER = 2_000_000  # numbers of a convolution's windows at a time: 16 MB for each thread
HIDDEN_MULTIPLIER = 256  # the least with which a sum clamped at 32767 still gives q >= 255
MULTIPLIER_BITS = 4  # of a multiplier that are not 0: its step follows it, so fewer bits cost nothing
SHORT = (1 << MULTIPLIER_BITS) - 1 << 15 - MULTIPLIER_BITS  # the largest of them
MOST_ZEROS = 15  # bits at the end of a bias that may be left out
BEYOND = 3.0  # times what independent errors cost: weights that stay at their parent's are all off to the same side


class Worth(NamedTuple):
    """What makes steps coarser: how sensitive the picture is, and the mean squared error that one bit is worth."""

    sensitivity: Sensitivity
    bit: float

    def steps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The squares of the steps that pay, for weights (out, in) and biases (out,) as `sample_layers` gives them."""
        # The least of rise * step^2 / 12 - bit * log2(step).
        found = [[6 * self.bit / math.log(2) / np.maximum(rise, 1e-30) for rise in layer]
                 for layer in zip(*self.sensitivity, strict=True)]
        found[0][0] = found[0][0] / INPUT_UNIT**2
        found[-1] = [square * RESIDUAL_UNIT**2 for square in found[-1]]
        return [tuple(layer) for layer in found]


class Parent(NamedTuple):
    """An integer net that others are rounded near, and what one unit of each channel of its hidden layers is worth."""

    net: sidecar.Net
    units: list[np.ndarray]


def quantise(net: Net, lr: np.ndarray, threads: int = 1, worth: Worth | None = None,
             near: Parent | None = None) -> sidecar.Net:
    """The integer net of a float net, calibrated on given patches of its video.

    lr: uint8 (N, S, S) with S > 2*halo, patches with their halo, a few hundred of them. threads: change the speed only.
    worth: what bits are worth; without it steps are as fine as 8 bits allow. near: a net of this shape that the float
    net was trained from: steps are as there, and what the patches do not tell too. Raises ValueError for patches
    without room for the halo, for a net that is not finite, and for `near` without `worth`.
    """
    return quantise_layers(sample_layers(net), lr[None], threads, worth and worth.steps(), near)


def as_parent(net: Net, lr: np.ndarray, threads: int = 1, worth: Worth | None = None) -> Parent:
    """What `quantise` gives, for others to be rounded near it."""
    layers = sample_layers(net)
    found = _integers(layers, lr[None], threads, worth and worth.steps(), None)
    return Parent(sidecar.Net(tuple(layer for layer, _ in found)), [units for _, units in found])


def sample_layers(net: Net) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (weight, bias) of each layer, float64, for a net that reads samples 0..255 and gives grey levels."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in zip(net.weights, net.biases, strict=True)]
    weight, bias = layers[0]
    weight = weight / INPUT_UNIT
    layers[0] = weight, bias - INPUT_CENTRE * weight.sum(axis=(1, 2, 3))
    weight, bias = layers[-1]
    layers[-1] = weight * RESIDUAL_UNIT, bias * RESIDUAL_UNIT
    return layers


def quantise_layers(layers: list[tuple[np.ndarray, np.ndarray]], patches: np.ndarray, threads: int = 1,
                    steps: list[tuple[np.ndarray, np.ndarray]] | None = None,
                    near: Parent | None = None) -> sidecar.Net:
    """The integer net of float layers, calibrated on given patches.

    layers: weight (out, in, k, k) and bias (out,) of each; the first reads samples 0..255 of as many planes as it has
    inputs, the last gives the residual in grey levels. patches: uint8 (planes, N, S, S) with S > 2*halo, the halo
    included. steps: as `Worth.steps`, or None for the finest. near: as in `quantise`. Raises ValueError for patches of
    another shape or without room for the halo, for layers that are not finite, and for `near` without steps.
    """
    if near and steps is None:
        raise ValueError("a net near another has its steps: what bits are worth must be known")
    return sidecar.Net(tuple(layer for layer, _ in _integers(layers, patches, threads, steps, near)))


def _integers(layers, patches, threads, steps, near):
    """The integer layers, and what a unit of each of their channels is worth."""
    planes, halo = layers[0][0].shape[1], sum(weight.shape[2] // 2 for weight, _ in layers)
    if patches.ndim != 4 or len(patches) != planes or patches.size == 0 or min(patches.shape[2:]) <= 2 * halo:
        raise ValueError(f"calibration takes patches (N, S, S) of {planes} planes with S > {2 * halo}, not shape "
                         f"{patches.shape}")
    if not all(np.isfinite(array).all() for layer in layers for array in layer):
        raise ValueError("the net has weights that are not finite: train it again at a lower learning rate")
    with ThreadPoolExecutor(threads) as executor:
        return list(_quantised(layers, patches, planes, steps, near, partial(_convolve, executor)))


def _quantised(layers, patches, planes, pays, near, convolve):
    """The integer layers, first to last; pays: the squares of the steps that pay, or None."""
    exact = patches.astype(np.float64)  # what the float net sees; then, layer by layer, its activations
    coded = exact  # the integer net's activations, whole numbers
    steps = np.ones(planes)  # what one unit of each channel of `coded` is worth in `exact`
    pays = pays or [(np.zeros(weight.shape[:2]), np.zeros(len(bias))) for weight, bias in layers]
    for number, ((weight, bias), (of_weight, of_bias)) in enumerate(zip(layers[:-1], pays, strict=False)):
        wanted = convolve(exact, weight) + bias[:, None, None, None]
        largest = np.maximum(wanted.max(axis=(1, 2, 3)), 0)
        # A channel that is hardly ever on gains nothing from a fine step, and would ask for a multiplier out of range.
        out_steps = near.units[number] if near else np.maximum(largest, max(largest.max() / 16, 1e-9)) / 255
        least = np.full(len(weight), float(HIDDEN_MULTIPLIER))
        layer, coded = _quantise_layer(weight * steps[:, None, None], wanted, coded, out_steps, least,
                                       (of_weight * steps**2, of_bias), near and near.net.layers[number], convolve)
        yield layer, out_steps
        exact, coded, steps = np.maximum(wanted, 0), np.clip(coded, 0, 255).astype(np.float64), out_steps
    weight, bias = (64 * array for array in layers[-1])
    of_weight, of_bias = (64**2 * square for square in pays[-1])
    wanted = convolve(exact, weight) + bias[:, None, None, None]
    least = np.maximum(np.abs(wanted).max(axis=(1, 2, 3)) * HEADROOM, HIDDEN_MULTIPLIER)
    out_steps = np.ones(len(weight))
    yield _quantise_layer(weight * steps[:, None, None], wanted, coded, out_steps, least,
                          (of_weight * steps**2, of_bias), near and near.net.layers[-1], convolve)[0], out_steps


def _quantise_layer(weight, wanted, coded, out_steps, least, pays, near, convolve):
    """One layer, and its output q (FORMAT.md) on the calibration patches, before any clamp.

    weight: (out, in, k, k), from the whole inputs `coded` to `wanted`, (out, N, H, W). q: about wanted / out_steps.
    least: the smallest multiplier of each channel. pays: the squares of the steps that pay, of weights (out, in) and
    biases (out,). near: a layer whose steps it has and whose numbers it keeps to, or None.
    """
    # Whole numbers whose sums stay below 2^24 are exact in float32, at half the time and memory.
    exact = np.float32 if weight[0].size * 255 * 127 < 1 << 24 else np.float64
    most = most_windows(weight[0].size)
    rounding, outputs = Rounding(windows(coded, weight.shape[2], most)), windows(wanted, 1, most)
    # Of an error, what later weights make good does not count.
    pays_off = np.sqrt(_mean_square(pays[0], axis=1) * rounding.variance / rounding.left)
    if near:
        shift, multiplier, middle = near.shift, near.multiplier.astype(np.int64), near.bias - (1 << near.shift >> 1)
        step = multiplier / 2.0 ** (15 + shift) * out_steps
        start = near.weight.transpose(0, 3, 1, 2).reshape(len(weight), -1).astype(np.float64)
        flat = rounding.refitted(start * step[:, None], outputs)
        # By the rule for steps, a squared error of one step costs as much as so many bits.
        whole = rounding.near(flat, step, start, BEYOND * 6 / math.log(2) * (step / pays_off) ** 2)
    else:
        middle = np.zeros(len(weight))
        flat = rounding.refitted(weight.reshape(len(weight), -1), outputs)
        largest = np.abs(flat).max(axis=1)
        coarsest = np.minimum(largest, SHORT / 2**15 * out_steps)  # a weight of 1, or the largest multiplier
        wished = np.maximum(np.minimum(pays_off, coarsest), largest / LARGEST)
        shift, multiplier = _multipliers(wished / out_steps, least)
        # The step is computed from the rounded multiplier, so its rounding costs nothing.
        step = multiplier / 2.0 ** (15 + shift) * out_steps
        whole = rounding(flat, step)
    whole = whole.reshape(weight.shape)
    summed = convolve(coded.astype(exact), whole.astype(exact))
    bias = wanted.mean(axis=(1, 2, 3)) / step - summed.mean(axis=(1, 2, 3), dtype=np.float64)
    zeros = np.log2(max(_mean_square(pays[1] / step**2, axis=0), 1)) / 2
    unit = 1 << int(np.clip(np.floor(zeros), 0, MOST_ZEROS))
    bias = np.rint((bias - middle) / unit) * unit + middle
    bias = np.clip(bias, -2**29, 2**29)  # only dead or saturated channels exceed it
    bias = bias + ((1 << shift) >> 1)  # the shift rounds down; half a unit makes it round to nearest
    sums = summed.astype(np.int32) + bias.astype(np.int32)[:, None, None, None]
    q = np.clip(sums >> shift, -32768, 32767) * multiplier.astype(np.int32)[:, None, None, None] + 16384 >> 15
    layer = Layer(kernel=weight.shape[2], shift=shift, multiplier=multiplier.astype(np.uint16),
                  bias=bias.astype(np.int32), weight=np.ascontiguousarray(whole.astype(np.int8).transpose(0, 2, 3, 1)))
    return layer, q


def _mean_square(squares, axis):
    """The square of the one step that does as well as steps of their own: what errors cost is their inverse."""
    return 1 / np.mean(1 / np.maximum(squares, 1e-30), axis=axis)


def _multipliers(ratio, least):
    """The shift of a layer and the multiplier of each channel, so that multiplier / 2^(15 + shift) >= ratio, hardly
    more.

    The smallest shift that gives every channel its `least` multiplier keeps most bits before the multiplication;
    where the channels differ too much for one shift, those of small weights get a coarser step. Weights too large for
    any multiplier are clipped by the caller.
    """
    used = ratio[ratio > 0]
    if len(used) == 0:
        return 0, np.minimum(np.maximum(np.ceil(least), 1), MAX_MULTIPLIER).astype(np.int64)
    # With a shift of at most 14, a sum that is not clamped to 16 bits is below 2^29, and so is its bias.
    fitting = [s for s in range(15) if ratio.max() * 2.0 ** (15 + s) <= SHORT] or [0]
    enough = [s for s in fitting if np.all((ratio * 2.0 ** (15 + s) >= least)[ratio > 0])]
    shift = enough[0] if enough else fitting[-1]
    found = _short(np.maximum(ratio * 2.0 ** (15 + shift), least))
    return shift, np.minimum(found, MAX_MULTIPLIER).astype(np.int64)


def _short(values):
    """The least numbers of MULTIPLIER_BITS bits and zeros that are not below the values, float64."""
    parts, lengths = np.frexp(values)
    return np.maximum(np.ceil(np.ldexp(np.ceil(np.ldexp(parts, MULTIPLIER_BITS)), lengths - MULTIPLIER_BITS)), 1)


def _convolve(executor, x, weight):
    """Valid convolution; a few patches at a time bound the memory, and the executor's threads share them."""
    parts = np.array_split(x, min(x.shape[1], -(-x.size * weight[0, 0].size // TOGETHER)), axis=1)
    return np.concatenate(list(executor.map(lambda part: conv2d(Tensor(part), Tensor(weight)).data, parts)), axis=1)


def dequantise(net: sidecar.Net, scale: int) -> Net:
    """The float net that an integer net approximates: a start for training on another video.

    An activation of 128 becomes 1.0, so the weights have the size that training is used to. Raises ValueError if the
    last layer has not scale^2 channels.
    """
    if net.channels[-1] != scale * scale:
        raise ValueError(f"the net has {net.channels[-1]} outputs; scale {scale} takes {scale * scale}")
    unit = INPUT_UNIT
    weights, biases = [], []
    for index, layer in enumerate(net.layers):
        worth = layer.multiplier / 2.0 ** (15 + layer.shift)
        weight = layer.weight.astype(np.float64).transpose(0, 3, 1, 2) * worth[:, None, None, None]
        bias = (layer.bias - ((1 << layer.shift) >> 1)) * worth
        if index == 0:
            bias = bias + INPUT_CENTRE * weight.sum(axis=(1, 2, 3))
        out_unit = 64 * RESIDUAL_UNIT if index == len(net.layers) - 1 else unit
        weights.append(np.ascontiguousarray(weight * unit / out_unit, np.float32))
        biases.append((bias / out_unit).astype(np.float32))
    return Net(weights, biases, scale)
