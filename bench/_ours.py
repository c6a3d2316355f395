"""Our rows: the whole job by the C library, with a float net, and with the integer net made from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bench._float import float_upscaler
from bench._jobs import Job
from bench.peers import WHOLE, Ready, Variant
from stdo_min.algorithm import patches
from stdo_min.algorithm.patches import cut
from stdo_min.engine.quantise import quantise_layers
from stdo_min.format import reference, sidecar
from stdo_min.format.library import Upscaler

PATCH = 20  # what `stdo encode` takes by default
CALIBRATION = 512  # patches, as many as the encoder takes
WHO = "stdo"


def variants(job: Job, threads: int) -> list[Variant]:
    """int8, which is checked against NumPy first, and fp32."""
    return [Variant(WHO, "int8", WHOLE, f"patch {PATCH}", lambda: _integer(job, threads)),
            Variant(WHO, "fp32", WHOLE, f"patch {PATCH}", lambda: _float(job, threads))]


def _integer(job: Job, threads: int) -> Ready:
    whole = sidecar.of_nets(_header(job), (integer_net(job),))
    ready = _ready(job, Upscaler(sidecar.write(whole)), threads)
    ready.run()
    _require_reference(whole, job, ready.planes())
    return ready


def _float(job: Job, threads: int) -> Ready:
    layers = [(weight.transpose(0, 2, 3, 1), bias) for weight, bias in zip(job.weights, job.biases, strict=True)]
    colour = 1 if job.chroma is None else 0
    return _ready(job, float_upscaler(layers, job.scale, colour, (job.width, job.height), patch=PATCH), threads)


def _header(job: Job) -> sidecar.Sidecar:
    hr = (job.width * job.scale, job.height * job.scale)
    return sidecar.Sidecar(job.scale, 0, PATCH, 0, job.width, job.height, *hr, (), colour=int(job.chroma is None))


def _ready(job: Job, upscaler: Upscaler, threads: int) -> Ready:
    lr = tuple(job.lr) if job.chroma is None else (*job.lr, *job.chroma)
    out = tuple(np.empty(tuple(job.scale * side for side in plane.shape), np.uint8) for plane in lr)
    labels = np.ones((upscaler.rows, upscaler.columns), np.uint8)
    executor = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def run():
        upscaler.upscale(0, labels, lr, out=out, executor=executor, threads=threads)

    return Ready(run, lambda: list(out), f"tier {upscaler.tier}")


def integer_net(job: Job) -> sidecar.Net:
    """The integer net that the encoder would make, calibrated on patches spread over the frame."""
    layers = [(weight.astype(np.float64), bias.astype(np.float64))
              for weight, bias in zip(job.weights, job.biases, strict=True)]
    ys, xs = patches.grid(job.height, job.width, PATCH)
    spread = np.linspace(0, len(ys) - 1, min(len(ys), CALIBRATION)).astype(int)
    halo = sum(weight.shape[2] // 2 for weight in job.weights)
    return quantise_layers(layers, np.stack([cut(plane, ys[spread], xs[spread], PATCH, halo)
                                             for plane in job.lr]))


def _require_reference(header: sidecar.Sidecar, job: Job, hr: list[np.ndarray]) -> None:
    """Raise ValueError unless two corners of the hr planes are, byte for byte, what NumPy makes of FORMAT.md."""
    side, scale = 64, job.scale
    unsure = header.segments[0].nets[0].halo + 4  # lr pixels next to a cut, which read what lies beyond it
    small = replace(header, lr_width=side, lr_height=side, hr_width=side * scale, hr_height=side * scale)
    labels = np.ones((small.rows, small.columns), np.uint8)
    lr = [*job.lr, *([] if job.chroma is None else job.chroma)]
    for end in (False, True):
        crops = []
        for plane in lr:
            size = side * plane.shape[1] // job.width
            crops.append(np.ascontiguousarray(plane[-size:, -size:] if end else plane[:size, :size]))
        wanted = reference.upscale_frame(small, 0, labels, tuple(crops))
        for name, crop, expected, plane in zip("012", crops, wanted, hr, strict=True):
            sure = (len(crop) - unsure) * scale
            found = plane[-sure:, -sure:] if end else plane[:sure, :sure]
            expected = expected[-sure:, -sure:] if end else expected[:sure, :sure]
            if not np.array_equal(found, expected):
                wrong = int((found != expected).sum())
                raise ValueError(f"plane {name} differs from the reference in {wrong} of {found.size} pixels")
