"""PyTorch: fp32 and bf16, frozen by TorchScript or compiled by Inductor.

The base is a convolution before the pixel shuffle, so that uint8 is shuffled: F.interpolate took the whole job about
twice the time.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F

from bench._jobs import Job, bicubic_convolution
from bench.peers import NET, WHOLE, Ready, Variant

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class _Net(torch.nn.Module):
    def __init__(self, job: Job, dtype: torch.dtype):
        super().__init__()
        layers = []
        for weight, bias in zip(job.weights, job.biases, strict=True):
            out, inputs, kernel, _ = weight.shape
            layer = torch.nn.Conv2d(inputs, out, kernel, padding=kernel // 2)
            layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
            layers += [layer, torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers[:-1]).to(dtype)
        self.scale = job.scale

    def forward(self, x):
        return F.pixel_shuffle(self.layers(x), self.scale)


class _Whole(torch.nn.Module):
    def __init__(self, job: Job, dtype: torch.dtype, memory: torch.memory_format):
        super().__init__()
        self.net, self.scale, self.dtype, self.memory = _Net(job, dtype), job.scale, dtype, memory
        for name, planes in (("lr_base", job.planes), ("chroma_base", 2)):
            self.register_buffer(name, torch.from_numpy(np.tile(bicubic_convolution(job.scale), (planes, 1, 1, 1))))

    def forward(self, lr, *chroma):
        x = lr.to(self.dtype).contiguous(memory_format=self.memory)
        values = self.base(lr, self.lr_base) + self.net.layers(x).float()
        return tuple(self.pixels(values) for values in (values, *(self.base(uv, self.chroma_base) for uv in chroma)))

    def base(self, planes, weight):
        x = planes.float().contiguous(memory_format=self.memory)
        return F.conv2d(x, weight, padding=2, groups=planes.shape[1])

    def pixels(self, values):
        return F.pixel_shuffle(values.round().clamp(0, 255).to(torch.uint8), self.scale)


def _frozen(module, inputs):
    """Frozen; the first run lets it specialise."""
    run = torch.jit.freeze(torch.jit.trace(module, inputs))
    run(*inputs)
    return run


def _optimized(module, inputs):
    """Frozen, its weights laid out for oneDNN."""
    return torch.jit.optimize_for_inference(torch.jit.trace(module, inputs))


def _compiled(module, inputs):
    """Compiled to C++ by Inductor, with constant weights."""
    torch._dynamo.reset()  # what was compiled for another number of threads
    with torch._inductor.config.patch(freezing=True):
        run = torch.compile(module, dynamic=False)
        run(*inputs)
    return run


WAYS = {"frozen": _frozen, "optimize_for_inference": _optimized, "compile": _compiled}


def variants(job: Job, threads: int) -> list[Variant]:
    """fp32 and bf16 in each way that has been the fastest, or near it, for some net."""
    found = []
    for dtype in ("fp32", "bf16"):
        for memory, way in (("channels_last", "frozen"), ("contiguous", "optimize_for_inference"),
                            ("channels_last", "compile")):
            for part in (NET, WHOLE):
                if way == "optimize_for_inference" and (dtype, part) != ("fp32", NET):
                    continue  # it is for fp32 only, and was never the best for the whole job
                def build(dtype=dtype, memory=memory, way=way, part=part):
                    return _build(job, threads, dtype, memory, way, part)
                found.append(Variant("PyTorch", dtype, part, f"{memory} {way}", build))
    return found


def _build(job: Job, threads: int, dtype: str, memory: str, way: str, part: str) -> Ready:
    torch.set_num_threads(threads)
    kind, form = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype], FORMATS[memory]
    lr = torch.from_numpy(job.lr)[None]
    if part == NET:
        module, inputs = _Net(job, kind), (lr.to(kind).contiguous(memory_format=form),)
    else:
        module = _Whole(job, kind, form)
        inputs = (lr,) if job.chroma is None else (lr, torch.from_numpy(job.chroma)[None])
    module = module.eval().to(memory_format=form)
    last = []

    def run():
        with torch.no_grad():
            last[:] = [function(*inputs)]

    def planes():
        hr = (last[0],) if part == NET else last[0]
        return [plane.float().numpy() if part == NET else plane.numpy() for part_of in hr for plane in part_of[0]]

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every line warns that TorchScript is deprecated
        function = WAYS[way](module, inputs)
    return Ready(run, planes)
