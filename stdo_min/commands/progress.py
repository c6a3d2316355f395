"""Progress bars, on stderr, where it is a terminal."""

from __future__ import annotations

import importlib.util
import math
import sys


class Bars:
    """One bar after the other, made when its first progress comes."""

    def __init__(self, quiet: bool):
        self._quiet, self._bar = quiet, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def _show(self, name, **options):
        if self._bar is None or self._name != name:
            from tqdm import tqdm

            self.__exit__()
            self._bar, self._name = tqdm(desc=name, disable=self._quiet or None, **options), name
        return self._bar

    def note(self, line: str) -> None:
        """A line for the user, on stderr."""
        if not self._quiet:
            if self._bar is not None:
                self._bar.clear()
            print(f"stdo: {line}", file=sys.stderr, flush=True)

    def frames(self, name: str):
        """The progress(done, total) of a task that counts frames; None where tqdm is not installed."""
        if importlib.util.find_spec("tqdm") is None:  # tqdm is installed for training; players do without
            return None

        def progress(done, total):
            bar = self._show(name, unit=" frames")
            bar.total = total
            bar.update(done - bar.n)
        return progress

    def training(self, stage: str, done: float, psnr: float) -> None:
        """The progress of `encode` and `train`; see engine.budget.Progress."""
        layout = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        # A run may go on in the middle.
        bar = self._show("training", total=1.0, initial=done, bar_format=layout)
        bar.set_description_str(f"{stage:9}", refresh=False)
        if not math.isnan(psnr):
            bar.set_postfix_str(f"{psnr:.2f} dB so far", refresh=False)
        bar.update(max(0.0, done - bar.n))
