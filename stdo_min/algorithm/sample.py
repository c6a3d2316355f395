"""Sampling: one pass over a segment that keeps the patches to train on.

A segment has more patches than memory, and its frames are seen once. Each patch gets a priority when it passes: how
much it has to teach, divided by a random number. Those of the highest priority are kept (priority sampling, Duffield,
Lund and Thorup, J. ACM 54/6, 2007). How likely each was to be kept is known in the end, so training can weigh it: the
harder patches train more often, whatever the size of the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from stdo_min.algorithm import patches
from stdo_min.algorithm.frames import Pairs
from stdo_min.algorithm.net_pixels import net_plane
from stdo_min.algorithm.show import patch_errors
from stdo_min.engine.pool import Pool
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import patch_pixels

LEAST_PATCHES = 64  # with fewer nothing is learned
EXPONENT = 0.75
SLACK = 16  # a pool holds 1/SLACK more than it keeps, so that it is seldom sorted


@dataclass(frozen=True)
class Sampled:
    """A pool, and how it came about.

    probability: float64 (N,), with which each patch was kept. base_errors: float64 (N,), the mean squared error of
    each under the base, in grey levels squared. frame: int32 (N,), of the segment, that each was cut from; None where
    the pool came from elsewhere. mean_error: the mean squared error of all pixels of all frames under the base.
    """

    pool: Pool
    probability: np.ndarray
    base_errors: np.ndarray
    frame: np.ndarray | None = None
    mean_error: float = 0.0

    def save(self, file: BinaryIO) -> None:
        """Write to a file what `load` reads."""
        for array in (self.pool.lr, self.pool.residual, self.pool.weight, self.probability, self.base_errors,
                      self.frame, np.array(self.mean_error)):
            np.save(file, array, allow_pickle=False)

    @classmethod
    def load(cls, file: BinaryIO) -> Sampled:
        """Read what `save` wrote."""
        lr, residual, weight, *others, mean_error = (np.load(file, allow_pickle=False) for _ in range(7))
        return cls(Pool(lr, residual, weight), *others, float(mean_error))


def sample(pairs: Pairs, header: sidecar.Sidecar, halo: int, size: int, rng: np.random.Generator, threads: int = 1,
           progress: Callable[[int], None] | None = None) -> Sampled:
    """A pool of at most `size` patches of a segment, from one pass over its frames; all patches where they fit.

    header: gives the sizes; its segments are not read. halo: in net pixels. progress: gets the number of frames done.
    """
    rows, columns = header.rows, header.columns
    side = header.net_side * header.net_scale
    pixels = np.maximum(patch_pixels(header.hr_height, header.hr_width, side, (rows, columns)), 1)
    base = Upscaler(sidecar.write(sidecar.of_nets(header, [])))
    keeper, cut, seen = Keeper(size, header.net_side, halo, header.net_scale), corners(header), net_plane(header)
    error = frames = 0
    with ThreadPoolExecutor(threads) as executor:
        for index, (lr, hr) in enumerate(pairs):
            found = patch_errors(base, 0, lr.y, hr.y, executor, threads)[0]
            error, frames, errors = error + int(found.sum()), index + 1, (found / pixels).ravel()
            chosen, places = keeper.choose(sampling(errors), rng)
            keeper.put(places, seen(lr), hr.y, cut[:, chosen], index)
            if progress:
                progress(index + 1)
    return replace(keeper.sampled(), mean_error=error / max(frames * header.hr_height * header.hr_width, 1))


def corners(header: sidecar.Sidecar) -> np.ndarray:
    """The top left corners of all patches, int64 (2, rows * columns), y and x in net pixels.

    Patches of the last row and column are moved inwards until they are whole.
    """
    height, width, side = header.net_height, header.net_width, header.net_side
    ys, xs = patches.grid(height, width, side)
    return np.stack((np.minimum(ys, height - side), np.minimum(xs, width - side)))


def patch_bytes(patch: int, halo: int, scale: int) -> int:
    """The memory that one patch of a pool takes."""
    return (patch + 2 * halo) ** 2 + 2 * (patch * scale) ** 2


def capacity(memory: int, patch: int, halo: int, scale: int) -> int:
    """How many patches are kept in `memory` bytes, LEAST_PATCHES at the least."""
    return max(LEAST_PATCHES, memory // patch_bytes(patch, halo, scale) * SLACK // (SLACK + 1))


def sampling(errors: np.ndarray) -> np.ndarray:
    """How often to train on patches of these mean squared errors: error^EXPONENT (docs/training.md)."""
    return (errors + 0.05) ** EXPONENT  # 0.05: patches that are perfect already are still seen now and then


class Keeper:
    """The patches of highest priority so far, each in a slot of arrays whose size is fixed at the start."""

    def __init__(self, size: int, patch: int, halo: int, scale: int):
        """size: patches to keep, LEAST_PATCHES at the least; patch, halo: in net pixels."""
        self._size = max(size, LEAST_PATCHES)
        room = self._size + max(1, self._size // SLACK)
        self._lr = np.empty((room, patch + 2 * halo, patch + 2 * halo), np.uint8)
        self._residual = np.empty((room, patch, patch, scale * scale), np.int16)
        self._errors, self._frame = np.empty(room), np.empty(room, np.int32)
        self._weight, self._priority = np.empty(room), np.empty(room)
        self._free = np.arange(room)[::-1]  # slots, the next to use last
        self._threshold = 0.0  # the highest priority that was ever turned away
        self._geometry = patch, halo, scale

    def choose(self, weight: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Which patches to keep of those that come with a weight each, float64 (n,), and the slot of each."""
        priority = weight / (1 - rng.random(len(weight)))
        chosen = np.flatnonzero(priority > self._threshold)
        if len(chosen) > len(self._free):
            self._turn_away(priority[chosen])
            chosen = chosen[priority[chosen] > self._threshold]
        left = len(self._free) - len(chosen)
        self._free, places = self._free[:left], self._free[left:][::-1]
        self._weight[places], self._priority[places] = weight[chosen], priority[chosen]
        return chosen, places

    def put(self, places: np.ndarray, lr: np.ndarray, hr: np.ndarray, corner: np.ndarray, frame: int) -> None:
        """Cut the chosen patches of a frame out into their slots; corner: int64 (2, n)."""
        self._errors[places] = patches.cut_residuals(lr, hr, *corner, places, *self._geometry, self._lr,
                                                     self._residual)
        self._frame[places] = frame

    def sampled(self) -> Sampled:
        """The pool, all patches of weight 1."""
        if len(self._priority) - len(self._free) > self._size:
            self._turn_away(np.empty(0))
        count = len(self._priority) - len(self._free)
        # The last patches move into the slots that are free, so that the pool needs no second copy.
        holes = np.sort(self._free[self._free < count])
        last = np.setdiff1d(np.arange(count, len(self._priority)), self._free)
        for array in (self._lr, self._residual, self._errors, self._frame, self._weight):
            array[holes] = array[last]
        pool = Pool(self._lr[:count], self._residual[:count], np.ones(count))
        probability = np.minimum(1.0, self._weight[:count] / self._threshold) if self._threshold else np.ones(count)
        return Sampled(pool, probability, self._errors[:count], self._frame[:count])

    def _turn_away(self, coming: np.ndarray) -> None:
        """Raise the threshold so that `size` patches stay, of those kept and those coming, and free the others."""
        kept = np.setdiff1d(np.arange(len(self._priority)), self._free)
        both = np.concatenate((self._priority[kept], coming))
        self._threshold = max(self._threshold, np.partition(both, -self._size - 1)[-self._size - 1])
        self._free = np.concatenate((self._free, kept[self._priority[kept] <= self._threshold][::-1]))
