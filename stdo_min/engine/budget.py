"""How long to train: a budget in seconds or in steps, and the clock that deals it out over the stages of a segment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Stage, how much of the whole is done (0..1), PSNR in dB of what is trained, nan where it is not known.
Progress = Callable[[str, float, float], None]
TRAINING_AT_LEAST = 0.1  # of the seconds, however long the passes over the frames take


@dataclass(frozen=True)
class Budget:
    """`seconds` of wall-clock time, or `steps` of training, which can be repeated exactly; 0 trains nothing.

    Raises ValueError unless exactly one of them is given, 0 or greater.
    """

    seconds: float | None = None
    steps: int | None = None

    def __post_init__(self):
        if (self.seconds is None) == (self.steps is None) or not (self.seconds or self.steps or 0) >= 0:
            raise ValueError(f"give seconds or steps, 0 or more, not seconds={self.seconds}, steps={self.steps}")

    def part(self, share: float) -> Budget:
        """A share, 0..1, of this budget; steps are rounded to the nearest whole number."""
        if self.steps is not None:
            return Budget(steps=round(self.steps * share))
        return Budget(seconds=self.seconds * share)

    def split(self, shares: Sequence[float]) -> list[Budget]:
        """A part for each share (0..1, together 1).

        Of a budget in steps each part has at least one, until none is left. Rounding never makes the parts more than
        the whole.
        """
        if self.steps is None:
            return [self.part(share) for share in shares]
        parts, left = [], self.steps
        for share in shares:
            parts.append(Budget(steps=min(left, max(1, self.part(share).steps))))
            left -= parts[-1].steps
        return parts

    def at_most(self, other: Budget) -> Budget:
        """The smaller of two budgets of one kind."""
        if self.steps is not None:
            return Budget(steps=min(self.steps, other.steps))
        return Budget(seconds=min(self.seconds, other.seconds))

    def less(self, seconds: float) -> Budget:
        """What is left of this budget once `seconds` are over; steps do not pass by themselves."""
        return self if self.seconds is None else Budget(seconds=max(0.0, self.seconds - seconds))

    def done(self, steps: int, started: float) -> float:
        """How much of this budget is used, 0..1, by `steps` steps that began when time.monotonic() was `started`."""
        whole, used = (self.steps, steps) if self.steps is not None else (self.seconds, time.monotonic() - started)
        return min(1.0, used / whole) if whole else 1.0


class Clock:
    """What is left of a budget, and how much of it is done."""

    def __init__(self, budget: Budget, progress: Progress | None = None, least: float | None = None):
        """least: the seconds that training gets in any case; by default a tenth of the budget's."""
        self.budget, self.progress = budget, progress
        self._least = TRAINING_AT_LEAST * (budget.seconds or 0.0) if least is None else least
        self._started, self._steps, self._trained, self._done = time.monotonic(), 0, 0.0, 0.0

    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._started

    def left(self, keep: float = 0.0) -> Budget:
        """What is left for training; `keep`: the seconds to keep back for what comes after it.

        Of a budget in seconds training gets `least`, or a video whose passes take long would not be trained.
        """
        if self.budget.steps is not None:
            return Budget(steps=self.budget.steps - self._steps)
        left = self.budget.seconds - self.elapsed() - keep
        return Budget(seconds=max(left, self._least - self._trained, 0.0))

    def say(self, stage: str, psnr: float = math.nan) -> None:
        """Report the progress of a stage; psnr: in dB, nan where it is not known."""
        self._done = max(self._done, self.budget.done(self._steps, self._started))
        if self.progress:
            self.progress(stage, self._done, psnr)

    def counting(self, stage: str, budget: Budget) -> Callable[[float, float], None]:
        """A progress(done, dB) for one training with a budget: counts its steps, and reports progress of the whole."""
        steps, trained, began = self._steps, self._trained, self.elapsed()

        def note(done, psnr):
            self._steps = steps + round(done * (budget.steps or 0))
            self._trained = trained + self.elapsed() - began
            self.say(stage, psnr)

        return note
