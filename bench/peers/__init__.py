"""The frameworks that infer is compared with, a file each; none of them is needed by anything else.

A peer is offered in several variants, of which the fastest that gives the right picture is timed. Each gets two jobs.
`whole`: uint8 planes in, uint8 planes out. `net`: the convolutions and the pixel shuffle, on input that is in the
framework's preferred form already, with output in whatever form it leaves it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from bench._jobs import Job

WHOLE, NET = "whole", "net"
FILES = {  # name: (file, packages it takes)
    "PyTorch": ("with_torch", ("torch",)),
    "ONNX Runtime": ("with_onnxruntime", ("onnxruntime", "onnx")),
    "OpenVINO": ("with_openvino", ("openvino", "onnx")),
    "ncnn": ("with_ncnn", ("ncnn",)),
}


@dataclass(frozen=True)
class Ready:
    """A variant that can run.

    run() does the job once. planes() gives what the last run left: for `whole` the uint8 hr planes, those of the net
    and then U and V; for `net` the residual, float32 (planes, height * scale, width * scale) in grey levels.
    """

    run: Callable[[], None]
    planes: Callable[[], list[np.ndarray]]
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """One way to do a job: who in which arithmetic, which part of it, with what settings, and how to get it ready."""

    who: str
    dtype: str
    part: str
    settings: str
    build: Callable[[], Ready]


def missing() -> dict[str, tuple[str, ...]]:
    """The frameworks that cannot run here, each with the packages it lacks."""
    lacking = {name: tuple(p for p in packages if not _version(p)) for name, (_, packages) in FILES.items()}
    return {name: packages for name, packages in lacking.items() if packages}


def versions() -> dict[str, str]:
    """The versions of the packages that are installed."""
    packages = sorted({package for _, needed in FILES.values() for package in needed})
    return {package: _version(package) for package in packages if _version(package)}


def variants(name: str, job: Job, threads: int) -> list[Variant]:
    """All variants of one framework, which must not be missing, for a job on some threads."""
    return importlib.import_module(f"bench.peers.{FILES[name][0]}").variants(job, threads)


def shuffle(channels_last: np.ndarray, out: np.ndarray) -> None:
    """Pixel shuffle by one copy: out (planes, H * scale, W * scale) from C-contiguous (H, W, planes * scale^2).

    The `scale` samples that stay side by side move as one word, which is several times faster than DepthToSpace.
    """
    height, width, channels = channels_last.shape
    planes, scale = len(out), out.shape[1] // height
    word = {2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}[scale * out.itemsize]
    words = channels_last.view(word).reshape(height, width, planes, channels // planes // scale)
    out.view(word).reshape(planes, height, scale, width)[...] = words.transpose(2, 0, 3, 1)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
