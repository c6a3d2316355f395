"""Numba without a place for its cache: said once, and everything works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import stdo_min

PACKAGE = Path(stdo_min.__file__).parent


def run(folder, code):
    environment = {**os.environ, "PYTHONPATH": str(folder), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache"}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-B", "-c", code]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


def test_an_unwritable_cache_is_said_once_and_done_without(clip, tmp_path):
    """Files where the folders should be stop even root from writing there."""
    shutil.copytree(PACKAGE, tmp_path / "stdo_min", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "stdo_min" / "algorithm" / "__pycache__").write_text("")
    arguments = ["encode", str(clip), str(tmp_path / "out.mkv"), "--scale", "2", "--steps", "4", "--net", "2", "--mode",
                 "single", "-q"]
    done = run(tmp_path, f"import sys; from stdo_min.cli import main; sys.exit(main({arguments!r}))")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Numba cannot keep what it compiles") == 1
    assert done.stderr.startswith("stdo: ") and done.stderr.count("\n") == 1
    assert "out.mkv: 24 frames" in done.stdout


def test_a_full_disk_is_no_reason_to_stop(tmp_path):
    """What is compiled cannot be saved: that is said once, and the functions work."""
    (tmp_path / "full.py").write_text(f"""
import errno, sys, warnings
sys.path.insert(0, {str(PACKAGE.parent)!r})
from numba.core import caching
from stdo_min.algorithm.compiled import compiled

def full(*_):
    print("tried")
    raise OSError(errno.ENOSPC, "No space left on device")

caching.IndexDataCacheFile.save = full
warnings.showwarning = lambda message, *_: print(message)

@compiled
def twice(x):
    return 2 * x

@compiled
def four_times(x):
    return 2 * twice(x)

print(four_times(3))
""")
    done = subprocess.run([sys.executable, tmp_path / "full.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tried") == 2 and done.stdout.count("Numba cannot keep what it compiles") == 1
    assert done.stdout.endswith("\n12\n")


def test_what_was_compiled_is_kept_where_it_can_be(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "stdo_min", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(tmp_path, "import numpy as np; from stdo_min.algorithm.chunk import kmeans; kmeans(np.arange(9.0), 3)")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert list((tmp_path / "stdo_min" / "algorithm" / "__pycache__").glob("chunk*.nbi"))
