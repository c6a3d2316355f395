"""What to train and for how long: the choices that `stdo encode` and `stdo train` share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from stdo_min.algorithm.shape import MAX_MAC, shape_for
from stdo_min.engine.budget import Budget
from stdo_min.format.sidecar import MAX_NETS, check_channels

# A clip needs minutes whatever its length; a film as many as it can get, for which 4 times its length is bearable.
DEFAULT_START, DEFAULT_TIMES = 120.0, 4.0

MODES = {
    "auto": "as many nets as short trials on the video find best",
    "single": "one net",
    "time": "one net for each part of the time",
    "stdo": "one net for each chunk of patches, by their score",
    "stdo-quantile": "the same, cut at equal counts",
    "jstdo": "one net, trained more on the chunks that hold the error",
}


@dataclass(frozen=True)
class Times:
    """A budget that is so many times the length of the film."""

    factor: float


@dataclass(frozen=True)
class Recipe:
    """How to train one video; every field has the default of the command line.

    mode: a name of MODES. chunks: how many, in mode auto at most; None lets the mode choose. refine: how often patches
    move to the net that serves them best while the nets train; 0 leaves the mode as published. channels: of the hidden
    layers; None for what `shaped` finds. max_mac: products per hr pixel that it may take. patch: side in lr pixels,
    8..128. budget: for the whole film, from when its lr video is coded; `resolved` makes one of seconds or steps of it.
    memory: bytes of patches kept for training, of one segment. seed: of all randomness. general: path of a sidecar
    whose first net scores the patches and starts the training, or None. db_per_log: the codec's slope, dB for each
    e-fold of the bytes, where it was measured. plain: train nothing and ship the lr video as it is.
    Raises ValueError for a value beyond its limits.
    """

    mode: str = "auto"
    chunks: int | None = None
    refine: int = 64
    channels: tuple[int, ...] | None = None
    max_mac: int = MAX_MAC
    patch: int = 20
    budget: Budget | Times | None = None
    memory: int = 64 << 20
    seed: int = 0
    general: Path | None = None
    db_per_log: float | None = None
    plain: bool = False

    def resolved(self, seconds: float) -> Recipe:
        """The same with a budget in seconds or steps, for a film of so many seconds.

        Without a budget it gets DEFAULT_START seconds and DEFAULT_TIMES its length.
        """
        budget = self.budget
        if budget is None:
            budget = Budget(seconds=DEFAULT_START + DEFAULT_TIMES * seconds)
        elif isinstance(budget, Times):
            budget = Budget(seconds=budget.factor * seconds)
        return replace(self, budget=budget)

    def shaped(self, lr_bytes: float, net_scale: int) -> Recipe:
        """The same with the channels of a net for segments whose lr video has so many bytes each."""
        return self if self.channels else replace(self, channels=shape_for(lr_bytes, net_scale, self.max_mac))

    @property
    def one_net(self) -> bool:
        """Whether a segment has one net that serves all its patches."""
        return self.mode in ("single", "jstdo")

    @property
    def as_published(self) -> bool:
        """Whether each patch keeps the net of its chunk, even where another serves it better."""
        return self.refine == 0 and self.mode in ("time", "stdo", "stdo-quantile")

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        if self.channels is not None:
            check_channels(self.channels)
        for name, value, least, most in (("chunks", self.chunks, 1, MAX_NETS), ("patch", self.patch, 8, 128),
                                         ("refine", self.refine, 0, 1000), ("memory", self.memory, 1, 1 << 40)):
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be {least}..{most}")
