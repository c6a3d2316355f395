"""Assignment: the net or the base for each patch of every frame, by the pixels shown and by what the map costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from stdo_min.algorithm.computed import bits_of, fit_thresholds
from stdo_min.algorithm.fitted import Fitted
from stdo_min.algorithm.frames import Pairs
from stdo_min.algorithm.labels import drop_nets, map_bits
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.score import scores
from stdo_min.algorithm.show import patch_errors
from stdo_min.format import netcode, sidecar
from stdo_min.format.classes import Classes, activity
from stdo_min.format.library import Upscaler
from stdo_min.format.psnr import patch_pixels

COUNTED = 50  # frames of a segment whose arithmetic is counted
# Where labels would take too much arithmetic: what a bit of the map then costs, of the mean squared error of a patch.
DEARER = (0.003, 0.03, 0.3, 1e9)


@dataclass(frozen=True)
class Assigned:
    """The nets that patches use, the label of each patch, uint8 (frames, rows, columns), and luma squared errors.

    error, base_error: summed over all pixels of all frames, as shown and under the base alone. classes: what the labels
    follow from where the player computes them. cost: J, rounded, where nets could be left out. shared: the same for a
    file that has the general model's net in its table, its bytes not counted, where `fitted` has nets for that.
    """

    nets: tuple[sidecar.Net, ...]
    labels: np.ndarray
    error: int
    base_error: int
    classes: Classes | None = None
    cost: int = 0
    shared: Assigned | None = None


def assign(pairs: Pairs, header: sidecar.Sidecar, fitted: Fitted, price: Price, threads: int = 1,
           progress: Callable[[int], None] | None = None, max_mac: float = math.inf) -> Assigned:
    """Give each patch of a segment's frames its net; nets that do not pay for their bytes are left out.

    header: gives the sizes; its segments are not read. progress: gets the number of frames done. max_mac: products per
    hr pixel that a frame may take on average, where its nets alone do not take more; a patch whose neighbours have
    another net takes some for the pixels around it.
    """
    nets, alone = (*fitted.nets, *fitted.near, *filter(None, [fitted.general])), 1 + len(fitted.nets)
    shown, own = _upscaler(header, nets), _Own(header, fitted) if fitted.choice == "own" else None
    errors, active, labels, error, base_error = [], [], [], 0, 0
    with ThreadPoolExecutor(threads) as executor:
        for index, (lr, hr) in enumerate(pairs):
            found = patch_errors(shown, 0, lr.y, hr.y, executor, threads)
            if fitted.choice == "all":
                chosen = np.ones(found.shape[1:], np.uint8)
                errors.append(found.sum(axis=(1, 2)))
            elif own:
                chosen = own.labels(index, lr, hr, executor, threads)
                chosen = chosen * (_under(found, chosen) < found[0])
            else:
                chosen = np.argmin(found[:alone], axis=0).astype(np.uint8)
                errors.append(found.astype(np.float32))
                active.append(activity(lr.y, header.patch))
            labels.append(chosen)
            error, base_error = error + int(_under(found, chosen).sum()), base_error + int(found[0].sum())
            if progress:
                progress(index + 1)
    labels, errors, active = np.array(labels), np.array(errors), np.array(active)
    if own or not nets:
        return _with_used_nets(nets, labels, error, base_error)
    weight, bits, plays = price.of_bit(error), _bits(header, fitted), _plays(shown, header, nets, max_mac)

    def of(count) -> Assigned:
        """With the first so many labels."""
        if fitted.choice == "all":
            costs = errors[:, :count].sum(axis=0) + weight * np.append(0, bits[:count - 1])
            best = int(np.argmin(costs))
            return _with_used_nets(nets, np.full_like(labels, best), int(errors[:, best].sum()), base_error, None,
                                   round(costs[best]))
        given, classes, cost = _priced(errors[:, :count], active, weight, bits[:count - 1], plays)
        left = int(sum(_under(found, chosen).sum(dtype=np.float64)
                       for found, chosen in zip(errors, given, strict=True)))
        return _with_used_nets(nets, given, left, base_error, classes, round(cost))

    return replace(of(alone), shared=of(1 + len(nets)) if fitted.general else None)


def _bits(header, fitted) -> np.ndarray:
    """What each net costs where it is used; the general model's own bytes are the file's."""
    whole = [header.bytes_of(net) for net in (*fitted.nets, *fitted.near)]
    apart = [len(netcode.encode(net, fitted.general)) for net in fitted.near]
    near = np.minimum(whole[len(fitted.nets):], apart) if apart else []
    return 8 * np.array([*whole[:len(fitted.nets)], *near, *([0] if fitted.general else [])])


def _plays(shown, header, nets, max_mac) -> Callable[[np.ndarray], bool]:
    """Says whether labels, uint8 (frames, rows, columns), take no more arithmetic than they may."""
    limit = max_mac * header.hr_width * header.hr_height
    if max(net.products for net in nets) * header.net_width * header.net_height > limit:
        return lambda labels: True  # nets as wide as these were asked for

    def plays(labels):
        some = labels[np.unique(np.linspace(0, len(labels) - 1, COUNTED).astype(int))]
        return sum(shown.products(0, frame) for frame in some) <= limit * len(some)

    return plays


def _priced(errors, active, weight, bits, plays) -> tuple[np.ndarray, Classes | None, float]:
    """The labels of least J that play: coded in a map, or computed by the player, with their classes; and J."""
    def cost(labels, more):
        used = np.unique(labels[labels > 0]).astype(int) - 1
        found = np.take_along_axis(errors, labels[:, None].astype(np.intp), axis=1)
        return found.sum(dtype=np.float64) + weight * (bits[used].sum() + more)

    coded, classes = drop_nets(errors, weight, bits), fit_thresholds(active, errors, weight, bits)
    # Labels that change less often, since their bits cost more, make larger rectangles; those of one net are the last.
    for dearer in DEARER:
        if plays(coded):
            break
        map_weight = max(weight, dearer * errors[:, 0].mean(dtype=np.float64))
        coded = drop_nets(errors, map_weight, bits * weight / map_weight)
    computed = classes.labels(active)
    costs = cost(computed, bits_of(classes, 0 * bits)), cost(coded, map_bits(coded, len(bits)))
    return (computed, classes, costs[0]) if costs[0] < costs[1] and plays(computed) else (coded, None, costs[1])


class _Own:
    """Says which chunk each patch is in."""

    def __init__(self, header, fitted):
        self._cut, self._grid = fitted.cut, (header.rows, header.columns)
        self._scorer = fitted.scorer and _upscaler(header, [fitted.scorer])
        self._pixels = patch_pixels(header.hr_height, header.hr_width, header.net_side * header.net_scale, self._grid)

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


def _with_used_nets(nets, labels, error, base_error, classes=None, cost=0) -> Assigned:
    used = [number for number in range(1, len(nets) + 1) if np.any(labels == number)]
    renumbered = np.zeros(len(nets) + 1, np.uint8)
    renumbered[used] = np.arange(1, len(used) + 1)
    if classes is not None:
        classes = Classes(classes.thresholds, renumbered[classes.table]) if used else None
    return Assigned(tuple(nets[number - 1] for number in used), renumbered[labels], error, base_error, classes, cost)
