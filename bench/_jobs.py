"""The jobs that are timed: a float net with random weights, one lr frame, and what the hr frame must be.

A net here reads samples 0..255 and gives the residual in grey levels, so nobody has to normalise anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor

import numpy as np

YUV420, RGB = 0, 1
MARGIN = 16  # lr pixels along the border that are not compared, since peers pad there as they like
SHAPES = {  # name: (colour, channels of the hidden layers, kernel of the first layer); all others are 3x3
    "D16": (YUV420, (16, 16), 5),
    "8-8": (YUV420, (8, 8), 5),
    "16-16-16": (YUV420, (16, 16, 16), 5),
    "32-16": (YUV420, (32, 16), 5),
    "paper": (RGB, (64, 64, 32), 3),
    "rgb-16-16": (RGB, (16, 16), 3),
}


@dataclass(frozen=True, eq=False)
class Job:
    """One net for one size of frame, with the frame.

    weights[i] is float32 (out, in, k, k), biases[i] float32 (out,), lr uint8 (planes, height, width): what the net
    reads. chroma is uint8 (2, height / 2, width / 2), U and V, or None for RGB.
    """

    name: str
    scale: int
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    lr: np.ndarray
    chroma: np.ndarray | None

    @property
    def planes(self) -> int:
        """Planes that the net serves."""
        return len(self.lr)

    @property
    def height(self) -> int:
        """Of the lr frame."""
        return self.lr.shape[1]

    @property
    def width(self) -> int:
        """Of the lr frame."""
        return self.lr.shape[2]

    @property
    def title(self) -> str:
        """Net, scale and sizes in words."""
        sizes = f"{self.width}x{self.height} -> {self.width * self.scale}x{self.height * self.scale}"
        return f"{self.name} x{self.scale}, {'RGB' if self.chroma is None else 'yuv420p'} {sizes}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the net for one frame, without halo, base and chroma."""
        return sum(weight.size for weight in self.weights) * self.height * self.width

    @cached_property
    def _float(self) -> tuple[np.ndarray, list[float]]:
        return _evaluate(self.weights, self.biases, self.lr, self.scale)

    @property
    def residual(self) -> np.ndarray:
        """What the net gives, float32 (planes, height * scale, width * scale) in grey levels."""
        return self._float[0]

    @property
    def ranges(self) -> list[float]:
        """The largest activation of each hidden layer on this frame, and the largest absolute residual."""
        return self._float[1]

    @cached_property
    def wanted(self) -> list[np.ndarray]:
        """The hr planes as they should be, uint8: those of the net, then U and V where there are any."""
        served = [upscale(plane, self.scale) + residual for plane, residual in zip(self.lr, self.residual, strict=True)]
        carried = [upscale(plane, self.scale) for plane in ([] if self.chroma is None else self.chroma)]
        return [np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in served + carried]


def create(name: str, scale: int, lr_width: int, lr_height: int) -> Job:
    """The job of a net of SHAPES: the same weights and the same frame in every run."""
    colour, hidden, kernel = SHAPES[name]
    rng = np.random.default_rng([scale, len(hidden), *hidden])
    planes = 3 if colour == RGB else 1
    lr = np.stack([_frame(lr_width, lr_height, rng) for _ in range(planes)])
    half = (lr_width // 2, lr_height // 2)
    chroma = None if colour == RGB else np.stack([_frame(*half, rng) for _ in range(2)])
    weights, biases, inputs = [], [], planes
    for outputs in (*hidden, planes * scale * scale):
        deviation = np.sqrt(2 / (inputs * kernel * kernel))  # He et al. 2015
        weights.append((rng.standard_normal((outputs, inputs, kernel, kernel)) * deviation).astype(np.float32))
        biases.append((rng.standard_normal(outputs) * 0.1).astype(np.float32))
        inputs, kernel = outputs, 3
    # The net reads samples 0..255, not -1..1; the first layer makes up for it.
    weights[0] = weights[0] / np.float32(128)
    biases[0] = biases[0] - weights[0].sum(axis=(1, 2, 3)) * np.float32(128)
    raw = _evaluate(weights, biases, lr[:, :64, :64], scale)[0]
    to_four_levels = np.float32(4 / raw.std())  # a residual as large as those of trained nets
    weights[-1], biases[-1] = weights[-1] * to_four_levels, biases[-1] * to_four_levels
    return Job(name, scale, tuple(weights), tuple(biases), lr, chroma)


def _frame(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A plane uint8 (height, width) with slow waves, edges and noise."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    values = np.full((height, width), 118, np.float32)
    for _ in range(6):
        across, down, phase = rng.uniform(-0.25, 0.25, 2).tolist() + [rng.uniform(0, 6.3)]
        wave = np.sin(across * x + down * y + phase)
        values += rng.uniform(5, 18) * (wave if rng.random() < 0.5 else np.sign(wave))
    return np.clip(np.rint(values + rng.normal(0, 6, values.shape)), 0, 255).astype(np.uint8)


def _evaluate(weights, biases, lr, scale) -> tuple[np.ndarray, list[float]]:
    """The residual, float32 (planes, H * scale, W * scale), and the largest value after each layer."""
    planes, height, width = lr.shape
    halo = sum(weight.shape[2] // 2 for weight in weights)
    padded = np.pad(lr, ((0, 0), (halo, halo), (halo, halo)), "edge").transpose(1, 2, 0).astype(np.float32)
    out = np.empty((planes, height * scale, width * scale), np.float32)
    largest = np.zeros(len(weights))
    for top in range(0, height, 32):  # bands of rows stay in the cache
        rows = min(32, height - top)
        u = padded[top : top + rows + 2 * halo]
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            u = _convolve(u, weight) + bias
            last = index == len(weights) - 1
            u = u if last else np.maximum(u, 0)
            largest[index] = max(largest[index], float(np.abs(u).max()))
        shuffled = u.reshape(rows, width, planes, scale, scale).transpose(2, 0, 3, 1, 4)
        out[:, top * scale : (top + rows) * scale] = shuffled.reshape(planes, rows * scale, width * scale)
    return out, largest.tolist()


def _convolve(u: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A valid convolution of u (H + k - 1, W + k - 1, in) with weight (out, in, k, k), float32 (H, W, out).

    With rows laid end to end each tap is one product of contiguous matrices. What wraps around lies right of W.
    """
    k = weight.shape[2]
    height, stride = u.shape[0] - k + 1, u.shape[1]
    flat = np.ascontiguousarray(u).reshape(-1, u.shape[2])
    count = height * stride - (k - 1)
    out = np.zeros((height * stride, len(weight)), np.float32)
    for row in range(k):
        for column in range(k):
            begin = row * stride + column
            out[:count] += flat[begin : begin + count] @ np.ascontiguousarray(weight[:, :, row, column].T)
    return out.reshape(height, stride, -1)[:, : stride - k + 1]


def bicubic(scale: int) -> tuple[np.ndarray, ...]:
    """The weights of the lr samples -2..2 around one for each of its output positions, float64 (5,); a = -0.75."""
    phases = []
    for r in range(scale):
        position = (Fraction(2 * r + 1, 2) / scale) - Fraction(1, 2)
        taps = np.zeros(5)
        for sample in range(floor(position) - 1, floor(position) + 3):
            taps[sample + 2] = _keys(abs(position - sample))
        phases.append(taps)
    return tuple(phases)


def _keys(distance: Fraction, a: Fraction = Fraction(-3, 4)) -> Fraction:
    """The cubic kernel of Keys 1981."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else Fraction(0)


def bicubic_convolution(scale: int) -> np.ndarray:
    """The base as a convolution before a pixel shuffle, float32 (scale^2, 1, 5, 5)."""
    phases = bicubic(scale)
    return np.stack([np.outer(down, across) for down in phases for across in phases]).astype(np.float32)[:, None]


def upscale(plane: np.ndarray, scale: int) -> np.ndarray:
    """The exact bicubic upscale, float64 (height * scale, width * scale), of a plane whose edges are replicated."""
    for _ in range(2):  # rows, then columns
        padded = np.pad(plane.astype(np.float64), ((2, 2), (0, 0)), "edge")
        out = np.empty((len(plane) * scale, plane.shape[1]))
        for r, taps in enumerate(bicubic(scale)):
            out[r::scale] = sum(tap * padded[j : j + len(plane)] for j, tap in enumerate(taps))
        plane = out.T
    return plane


def interior(plane: np.ndarray, border: int) -> np.ndarray:
    """A plane without `border` pixels on each side."""
    return plane[border : plane.shape[0] - border, border : plane.shape[1] - border]
