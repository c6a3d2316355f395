"""How long to train: an effort in seconds or in steps, and a clock that deals it out over the stages of a segment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

# Stage, how much of the whole is done (0..1), PSNR in dB of what is trained, nan where it is not known.
Progress = Callable[[str, float, float], None]
LEAST = 0.1  # of the effort is left for training, however long the passes over the frames take


@dataclass(frozen=True)
class Effort:
    """`seconds` of wall-clock time, or `steps` of training, which can be repeated exactly.

    Raises ValueError unless one of them is given, greater than 0.
    """

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self):
        if (self.seconds is None) == (self.steps is None) or (self.seconds or self.steps or 0) <= 0:
            raise ValueError(f"give seconds or steps, greater than 0, not seconds={self.seconds}, steps={self.steps}")

    def times(self, share: float) -> Effort:
        """A share of this effort."""
        return Effort(steps=max(1, round(self.steps * share))) if self.steps else Effort(seconds=self.seconds * share)

    def done(self, steps: int, started: float) -> float:
        """How much of this effort is over, 0..1, after `steps`, and since time.monotonic() was `started`."""
        return min(1.0, steps / self.steps if self.steps else (time.monotonic() - started) / self.seconds)


class Clock:
    """What is left of an effort, and how much of it is done."""

    def __init__(self, effort: Effort, progress: Progress | None):
        self.effort, self.progress = effort, progress
        self.reserve = 0.0  # seconds to keep for what comes after training
        self._started, self._steps, self._done = time.monotonic(), 0.0, 0.0

    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._started

    def left(self, share: float) -> Effort:
        """A share of what is left for training."""
        if self.effort.steps:
            return Effort(steps=max(1, round(share * (self.effort.steps - self._steps))))
        left = max(self.effort.seconds - self.elapsed() - self.reserve, LEAST * self.effort.seconds)
        return Effort(seconds=share * left)

    def say(self, stage: str, psnr: float = math.nan) -> None:
        """Report the progress of a stage."""
        done = self._steps / self.effort.steps if self.effort.steps else self.elapsed() / self.effort.seconds
        self._done = max(self._done, min(done, 1.0))
        if self.progress:
            self.progress(stage, self._done, psnr)

    def counting(self, stage: str, effort: Effort) -> Callable[[float, float], None]:
        """The progress of one training, for `training.train`, as progress of the whole; its steps are counted."""
        before = self._steps

        def note(done, psnr):
            self._steps = before + done * (effort.steps or 0)
            self.say(stage, psnr)

        return note
