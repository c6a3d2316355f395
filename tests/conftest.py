"""The clip that the tests share, and how hypothesis runs."""

import pytest
from hypothesis import settings

from stdo_min.demo import write_demo

# The same examples in every run; no deadline, because the first call of a Numba function compiles it.
settings.register_profile("stdo", deadline=None, derandomize=True)
settings.load_profile("stdo")


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Path of a drawn .mp4 with sound: 160x90, 12 frames per second, 24 frames, one cut; do not change it."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_demo(path, 160, 90, 2, 12)
    return path
