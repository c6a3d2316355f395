"""What training a segment gives: its integer nets, and how patches choose among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from stdo_min.algorithm.chunk import Cut
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.sample import Sampled
from stdo_min.engine.net import Net
from stdo_min.engine.pool import Pool
from stdo_min.engine.quantise import Parent, Worth, quantise
from stdo_min.engine.sensitivity import sensitivity
from stdo_min.engine.train import Stepper
from stdo_min.format import sidecar

CALIBRATION_PIXELS = 100_000  # net pixels, halo included: 128 patches of 20x20 with a halo of 4; more change nothing


class General(NamedTuple):
    """The general model: a float net, and its integer net for a film whose segments may share it."""

    net: Net
    parent: Parent | None = None


@dataclass(frozen=True)
class Fitted:
    """The integer nets of a segment, numbered from 1 as labels are, and which of them a patch may have.

    choice: 'all': every patch has net 1, or all have the base. 'best': each has the net that serves it best, or the
    base. 'own': each has the net of its chunk, or the base where that is better. For 'own', `cut` says which chunk a
    patch is in, by its score under the net `scorer`, or by the number of its frame where there is no scorer.
    near, general: the same nets rounded near the general model, and its own, for a file that has it in its table;
    not of 'own'. chroma: a net for U and V, of whose worth nothing is known yet.
    """

    nets: tuple[sidecar.Net, ...]
    choice: Literal["all", "best", "own"]
    cut: Cut | None = None
    scorer: sidecar.Net | None = None
    near: tuple[sidecar.Net, ...] = ()
    general: sidecar.Net | None = None
    chroma: sidecar.Net | None = None


def calibrated(net: Net, pool: Pool, threads: int, worth: Worth | None = None,
               near: Parent | None = None) -> sidecar.Net:
    """The integer net of a float net, calibrated on patches of its pool.

    worth: what its bits are worth; without it, it is as fine as 8 bits allow. near: as in `quantise`.
    """
    return quantise(net, calibration(pool), threads, worth, near)


def calibration(pool: Pool) -> np.ndarray:
    """Patches picked evenly from those of a pool with a weight, or from all where none has one: uint8 (n, S, S)."""
    drawn = np.flatnonzero(pool.weight) if pool.weight.any() else np.arange(len(pool))
    count = min(len(drawn), max(8, CALIBRATION_PIXELS // pool.lr[0].size))
    return pool.lr[drawn[np.linspace(0, len(drawn) - 1, count).astype(int)]]


def worth_of(net: Net, sampled: Sampled, serves: np.ndarray, mean_error: float, price: Price,
             rng: np.random.Generator) -> Worth | None:
    """What bits of a net are worth that serves some patches of a pool; None where it serves none.

    serves: bool (N,). mean_error: the mean squared error of the whole segment, which says what a bit of lr video saves.
    """
    if not serves.any():
        return None
    weight = 1 / sampled.probability
    served = price.pixels * weight[serves].sum() / weight.sum()
    with Stepper(sampled.pool, 1) as stepper:
        found = sensitivity(net, stepper, weight * serves, rng)
    bit = price.of_bit(max(mean_error, 1e-9) * price.pixels) / served
    # To a quarter of an octave: the few bytes by which an lr video in parts and in one file differ hardly ever show.
    return Worth(found, 2.0 ** (round(4 * math.log2(bit)) / 4))
