"""Our kernels by themselves, one thread: what scales, narrow nets and maps in pieces cost, for a frame of 1920x1080.

A share is what the products take at peak, and the bytes of both frames at the rate at which they are copied.
Times are those of the thread, the least of many, so that what else runs takes no part.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from time import thread_time

import numpy as np

from bench.peak import compiler
from stdo_min.format.library import Upscaler
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import net_scale, write

HR = (1920, 1080)
SCALES = (Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4))
D16 = ((5, 16), (3, 16))
NETS = {"D16": (D16, SCALES), **{f"one layer of {n}": (((5, n),), SCALES[:2]) for n in (8, 6, 4)}}
PATCHES = (8, 16, 32)
STRIPS = (64, 128, 192, 256, 384, 512)  # KiB
WIDE = {"D16 x1": (1, D16), "32-32 x2": (2, ((5, 32), (3, 32))), "64-64-32 x2": (2, ((3, 64), (3, 64), (3, 32)))}


class Frame:
    """One job: a frame of random samples, and a net for all or some of its patches."""

    def __init__(self, scale: Fraction, hidden: tuple[tuple[int, int], ...], patch: int = 20, nets: int = 1,
                 strip: int = 0):
        rng = np.random.default_rng(0)
        width, height = (int(side / scale) for side in HR)
        half = (height // 2, width // 2)
        self.lr = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((height, width), half, half))
        made = [random_net(rng, scale, list(hidden), 3, least_weight=-127) for _ in range(nets)]
        self.labels = np.ones((1, -(-height // patch), -(-width // patch)), np.uint8)
        header = make_sidecar(scale, (width, height), patch, [(tuple(made), self.labels)], chroma=1, mode=1)
        self.upscaler = Upscaler(write(header), strip=strip)
        self.out = self.upscaler.upscale(0, self.labels[0], self.lr)
        net_pixels = HR[0] * HR[1] // net_scale(scale) ** 2
        self.macs = net_pixels * made[0].products
        self.bytes = sum(plane.nbytes for plane in self.lr + self.out)

    def milliseconds(self, seconds: float, labels: np.ndarray | None = None) -> float:
        """The least of all frames in some seconds."""
        labels = self.labels[0] if labels is None else labels
        return least(lambda: self.upscaler.upscale(0, labels, self.lr, out=self.out), seconds)


def least(run, seconds: float) -> float:
    """The least milliseconds of this thread that a call takes."""
    end, times = thread_time() + seconds, []
    while thread_time() < end or len(times) < 3:
        begun = thread_time()
        run()
        times.append(thread_time() - begun)
    return 1e3 * min(times)


def peak_of_thread(seconds: float) -> float:
    """GMAC/s in int8 of one thread, by its own time."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "peak.so"
        subprocess.run([*compiler()[0], "-O2", "-shared", "-fPIC", "-o", str(binary),
                        str(Path(__file__).with_name("peak.c"))], check=True)
        loop = ctypes.CDLL(str(binary)).peak_int8
    loop.argtypes, loop.restype = [ctypes.c_int64], ctypes.c_int64
    turns = 100_000
    return loop(turns) / least(lambda: loop(turns), seconds) * 1e-6


def scales(seconds: float) -> str:
    """The table of scales and nets."""
    peak = peak_of_thread(seconds)
    plane = np.zeros(3 * HR[0] * HR[1] // 2, np.uint8)
    copied = np.empty_like(plane)
    rate = 2 * plane.nbytes / least(lambda: np.copyto(copied, plane), seconds / 4)  # bytes a millisecond
    lines = [f"one thread, hr {HR[0]}x{HR[1]}; peak {peak:.0f} GMAC/s, copying {rate * 1e-6:.1f} GB/s",
             f"{'':22} {'products/px':>11} {'ms':>8} {'GMAC/s':>8} {'% peak':>7} {'share ms':>9} {'x share':>8} "
             f"{'to x4':>6}"]
    for name, (hidden, wanted) in NETS.items():
        found = {}
        for scale in wanted:
            frame = Frame(scale, hidden)
            ms = frame.milliseconds(seconds)
            found[scale] = (frame, ms, frame.macs / peak * 1e-6 + frame.bytes / rate)
        if hidden == D16:
            _, ms, share = found[Fraction(4)]
            best = ms / share
        for scale, (frame, ms, share) in found.items():
            done, ratio = frame.macs / ms * 1e-6, ms / share
            lines.append(f"  {name + ' x' + str(scale):20} {frame.macs / (HR[0] * HR[1]):11.0f} {ms:8.2f} {done:8.0f} "
                         f"{100 * done / peak:7.0f} {share:9.2f} {ratio:8.2f} {ratio / best:6.2f}")
    return "\n".join(lines)


def maps(seconds: float, scale: Fraction = Fraction(4)) -> str:
    """How much longer a frame takes where neighbouring patches have other nets, by side of a patch."""
    lines = [f"D16 x{scale}, maps of two nets: ms of one label, and how many times as long",
             f"{'patch':>7} {'whole':>8} {'checkerboard':>13} {'random':>8} {'blobs':>8}"]
    for patch in PATCHES:
        frame = Frame(scale, D16, patch, nets=2)
        shape = frame.labels[0].shape
        whole = frame.milliseconds(seconds)
        times = [frame.milliseconds(seconds, labels) / whole for labels in pieces(shape)]
        lines.append(f"{patch:7} {whole:8.2f} {times[0]:13.2f} {times[1]:8.2f} {times[2]:8.2f}")
    return "\n".join(lines)


def strips(seconds: float) -> str:
    """What strips of several sizes take, and the one that the player takes where nobody says."""
    lines = ["ms a frame by KiB that the rows between layers may take (stdo_options.strip, stdo-y4m --strip)",
             f"{'':12} " + "".join(f"{size:8}" for size in STRIPS) + "  chosen"]
    for name, (scale, hidden) in WIDE.items():
        times = [Frame(Fraction(scale), hidden, strip=1024 * size).milliseconds(seconds) for size in (*STRIPS, 0)]
        lines.append(f"  {name:11}" + "".join(f"{ms:8.2f}" for ms in times))
    return "\n".join(lines)


def pieces(shape: tuple[int, int]) -> list[np.ndarray]:
    """Labels 1 and 2 as a checkerboard, at random, and in blobs of some patches, as those of a film lie."""
    rng = np.random.default_rng(0)
    y, x = np.indices(shape)
    noise = rng.standard_normal(shape)
    smooth = sum(np.roll(noise, (dy, dx), (0, 1)) for dy in range(-2, 3) for dx in range(-2, 3))
    return [(1 + chosen).astype(np.uint8) for chosen in ((x + y) % 2, rng.integers(0, 2, shape), smooth > 0)]
