"""Assignment: for each patch of every frame the net that serves it best, or the base, by the pixels that are shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from stdo_min.algorithm.fitted import Fitted
from stdo_min.algorithm.frames import Pairs
from stdo_min.algorithm.score import scores
from stdo_min.algorithm.show import patch_errors
from stdo_min.format import sidecar
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import patch_pixels


@dataclass(frozen=True)
class Assigned:
    """The nets that patches use, the label of each patch, uint8 (frames, rows, columns), and luma squared errors.

    error, base_error: summed over all pixels of all frames, as shown and under the base alone.
    """

    nets: tuple[sidecar.Net, ...]
    labels: np.ndarray
    error: int
    base_error: int


def assign(pairs: Pairs, header: sidecar.Sidecar, fitted: Fitted, threads: int = 1,
           progress: Callable[[int], None] | None = None) -> Assigned:
    """Give each patch of a segment's frames its net.

    header: gives the sizes; its segments are not read. progress: gets the number of frames done.
    """
    shown, own = _upscaler(header, fitted.nets), _Own(header, fitted) if fitted.choice == "own" else None
    labels, error, base_error = [], 0, 0
    with ThreadPoolExecutor(threads) as executor:
        for index, (lr, hr) in enumerate(pairs):
            found = patch_errors(shown, 0, lr.y, hr.y, executor, threads)
            if fitted.choice == "all":
                chosen = np.ones(found.shape[1:], np.uint8)
            elif own:
                chosen = own.labels(index, lr, hr, executor, threads)
                chosen = chosen * (_under(found, chosen) < found[0])
            else:
                chosen = np.argmin(found, axis=0).astype(np.uint8)
            labels.append(chosen)
            error, base_error = error + int(_under(found, chosen).sum()), base_error + int(found[0].sum())
            if progress:
                progress(index + 1)
    if fitted.choice == "all" and error >= base_error:
        labels, error = [0 * chosen for chosen in labels], base_error
    return _with_used_nets(fitted.nets, np.array(labels), error, base_error)


class _Own:
    """Says which chunk each patch is in."""

    def __init__(self, header, fitted):
        self._cut, self._grid = fitted.cut, (header.rows, header.columns)
        self._scorer = fitted.scorer and _upscaler(header, [fitted.scorer])
        self._pixels = patch_pixels(header.hr_height, header.hr_width, header.patch * header.scale, self._grid)

    def labels(self, index, lr, hr, executor, threads):
        values = np.full(self._grid, index)
        if self._scorer:
            errors = patch_errors(self._scorer, 0, lr.y, hr.y, executor, threads)[1]
            values = scores(errors / np.maximum(self._pixels, 1), self._pixels)
        return self._cut.labels(values)


def _upscaler(header, nets) -> Upscaler:
    return Upscaler(sidecar.write(sidecar.of_nets(header, list(nets))))


def _under(found, labels):
    """The errors under the net that each patch is given."""
    return np.take_along_axis(found, labels[None].astype(np.intp), axis=0)[0]


def _with_used_nets(nets, labels, error, base_error) -> Assigned:
    used = [number for number in range(1, len(nets) + 1) if np.any(labels == number)]
    renumbered = np.zeros(len(nets) + 1, np.uint8)
    renumbered[used] = np.arange(1, len(used) + 1)
    return Assigned(tuple(nets[number - 1] for number in used), renumbered[labels], error, base_error)
