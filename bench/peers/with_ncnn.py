"""ncnn: fp32, bf16, fp16 and int8, from a .param and a .bin written here.

ncnn knows signed activations only, so int8 nets read samples less 128, and have 127 steps after a ReLU.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import ncnn
import numpy as np

from bench._jobs import Job, bicubic_convolution
from bench.peers import NET, WHOLE, Ready, Variant

INT8_TAG = 0x000D4B38
# Pools as in ncnn's own benchmark; shared, for they never shrink and only one net runs at a time.
BLOBS, WORKSPACE = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
DTYPES = {
    "fp32": {},
    "bf16": {"use_bf16_storage": True, "use_bf16_packed": True},
    "fp16": {"use_fp16_storage": True, "use_fp16_packed": True, "use_fp16_arithmetic": True},
    "int8": {},
}


class _Model:
    """The text and the weights of a ncnn model as they grow, a layer at a time."""

    def __init__(self):
        self.lines, self.blobs, self.weights = [], set(), b""

    def add(self, operator: str, inputs: list[str], output: str | list[str], *parameters: str) -> str:
        """Add a layer, its parameters as `number=value`; return its (first) output."""
        outputs = [output] if isinstance(output, str) else output
        self.blobs.update(inputs, outputs)
        self.lines.append(" ".join([operator, f"layer{len(self.lines)}", str(len(inputs)), str(len(outputs)), *inputs,
                                    *outputs, *parameters]))
        return outputs[0]

    def convolution(self, x: str, output: str, weight: np.ndarray, bias: np.ndarray, relu: bool,
                    steps: tuple[float, float | None] | None = None) -> str:
        """A padded convolution; `steps` are what a unit of its int8 input and, if not float, of its output is worth."""
        out, _, kernel, _ = weight.shape
        parameters = [f"0={out}", f"1={kernel}", f"4={kernel // 2}", "5=1", f"6={weight.size}", f"9={int(relu)}"]
        if steps is None:
            self.weights += struct.pack("<I", 0) + weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes()
        else:
            in_step, out_step = steps
            parameters.append("8=2" if out_step is None else "8=102")
            scales = 127 / np.abs(weight).max(axis=(1, 2, 3))
            whole = np.rint(weight * scales[:, None, None, None]).astype(np.int8).tobytes()
            self.weights += struct.pack("<I", INT8_TAG) + whole + bytes(-len(whole) % 4)
            self.weights += bias.astype("<f4").tobytes() + scales.astype("<f4").tobytes()
            self.weights += struct.pack("<f", 1 / in_step)
            if out_step is not None:
                self.weights += struct.pack("<f", 1 / out_step)
        return self.add("Convolution", [x], output, *parameters)

    def pixels(self, x: str, output: str, planes: int, job: Job, centre: float, residual: str | None) -> str:
        """hr planes of float values, which only have to be truncated to be pixels, from lr planes less `centre`."""
        parts = [x]
        if planes > 1:
            parts = [f"{output}_lr{plane}" for plane in range(planes)]
            self.add("Slice", [x], parts, f"-23300={planes}" + ",-233" * planes)
        weight, bias = bicubic_convolution(job.scale), np.full(job.scale**2, centre + 0.5)
        bases = [self.convolution(part, f"{output}_base{i}", weight, bias, False) for i, part in enumerate(parts)]
        x = self.add("Concat", bases, f"{output}_base", "0=0") if planes > 1 else bases[0]
        if residual is not None:
            x = self.add("BinaryOp", [x, residual], f"{output}_sum", "0=0")
        x = self.add("Clip", [x], f"{output}_clip", "0=0.0", "1=255.0")
        return self.add("PixelShuffle", [x], output, f"0={job.scale}")

    def load(self, net: ncnn.Net) -> None:
        """Give the model to ncnn, which takes weights from a file only."""
        with tempfile.TemporaryDirectory() as folder:
            text, weights = Path(folder) / "job.param", Path(folder) / "job.bin"
            text.write_text("\n".join(["7767517", f"{len(self.lines)} {len(self.blobs)}", *self.lines, ""]))
            weights.write_bytes(self.weights)
            if net.load_param(str(text)) or net.load_model(str(weights)):
                raise RuntimeError("ncnn refuses the model")


def _model(job: Job, int8: bool, part: str) -> _Model:
    model = _Model()
    x = model.add("Input", [], "lr", f"0={job.width}", f"1={job.height}", f"2={job.planes}")
    if part == WHOLE:
        x = model.add("Split", [x], ["lr_net", "lr_base"])
    in_step = 1.0
    for index, (weight, bias) in enumerate(zip(job.weights, job.biases, strict=True)):
        last = index == len(job.weights) - 1
        if int8 and index == 0:
            bias = bias + 128 * weight.sum(axis=(1, 2, 3))
        out_step = None if last else job.ranges[index] / 127
        x = model.convolution(x, f"layer{index}_out", weight, bias, not last, (in_step, out_step) if int8 else None)
        in_step = out_step
    if part == NET:
        model.add("PixelShuffle", [x], "hr", f"0={job.scale}")
        return model
    centre = 128.0 if int8 else 0.0
    model.pixels("lr_base", "hr", job.planes, job, centre, x)
    if job.chroma is not None:
        model.add("Input", [], "chroma", f"0={job.width // 2}", f"1={job.height // 2}", "2=2")
        model.pixels("chroma", "hr_chroma", 2, job, centre, None)
    return model


def variants(job: Job, threads: int) -> list[Variant]:
    """Each arithmetic; fp32 and int8 with Winograd and without."""
    BLOBS.clear()
    WORKSPACE.clear()
    found = []
    for dtype in DTYPES:
        for part in (NET, WHOLE):
            for winograd in (True, False) if dtype in ("fp32", "int8") else (True,):
                def build(dtype=dtype, part=part, winograd=winograd):
                    return _build(job, threads, dtype, part, winograd)
                found.append(Variant("ncnn", dtype, part, "Winograd" if winograd else "no Winograd", build))
    return found


def _build(job: Job, threads: int, dtype: str, part: str, winograd: bool) -> Ready:
    net = ncnn.Net()
    net.opt.blob_allocator, net.opt.workspace_allocator = BLOBS, WORKSPACE
    net.opt.num_threads, net.opt.use_winograd_convolution = threads, winograd
    for name in ("use_bf16_storage", "use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic"):
        setattr(net.opt, name, False)
    for name, value in DTYPES[dtype].items():
        setattr(net.opt, name, value)
    _model(job, dtype == "int8", part).load(net)
    centre = np.float32(128 if dtype == "int8" else 0)
    sources = {"lr": job.lr} if part == NET or job.chroma is None else {"lr": job.lr, "chroma": job.chroma}
    floats = {name: planes - centre for name, planes in sources.items()}
    pixels = {name: np.empty((len(planes), *(job.scale * side for side in planes.shape[1:])), np.uint8)
              for name, planes in sources.items()}
    last = []

    def run():
        extractor = net.create_extractor()
        last.clear()
        for name, planes in sources.items():
            if part == WHOLE:
                np.subtract(planes, centre, out=floats[name])
            extractor.input(name, ncnn.Mat(floats[name]))
        for name in sources:
            status, hr = extractor.extract("hr" if name == "lr" else "hr_chroma")
            if status:
                raise RuntimeError(f"ncnn ends with {status}")
            if part == WHOLE:
                np.copyto(pixels[name], np.array(hr, copy=False), casting="unsafe")
            last.append(hr)

    def planes():
        if part == NET:
            return list(np.array(last[0]))
        return [plane for hr in pixels.values() for plane in hr]

    return Ready(run, planes)
