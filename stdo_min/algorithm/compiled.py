"""Numba for the loops that NumPy has no function for; what it compiles is kept on disk where that can be written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

from numba import njit


def compiled(function: Callable) -> Callable:
    """A function compiled by Numba when it is first called; it runs without Python's lock.

    Numba writes beside the source or into the user's cache; where it can do neither, or the disk is full, this warns,
    and the function is compiled anew in each run.
    """
    try:
        fast = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nothing is compiled yet, so it can only mean that there is no place to write
        _warn()
        return njit(nogil=True)(function)
    save = fast._cache.save_overload

    def save_if_there_is_room(*compiled_function):
        try:
            save(*compiled_function)
        except OSError:
            _warn()
    fast._cache.save_overload = save_if_there_is_room
    return fast


@cache
def _warn():
    """Warn once for all functions; Numba resets what Python remembers of warnings, so Python would show it again."""
    warnings.warn("Numba cannot keep what it compiles, which costs a few seconds in each run: neither the folder of "
                  "stdo_min nor the user's cache can be written; name a folder that can in NUMBA_CACHE_DIR",
                  stacklevel=2)
