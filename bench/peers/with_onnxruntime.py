"""ONNX Runtime: fp32 and int8 (QDQ, uint8 activations, int8 weights for each channel).

int8 quantises the residual too: the last convolution would run in float otherwise.
"""

from __future__ import annotations

import tempfile
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from bench._jobs import Job
from bench.peers import NET, WHOLE, Ready, Variant, graph, shuffle

NUMPY_OF = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


def variants(job: Job, threads: int) -> list[Variant]:
    """fp32 and int8; threads that wait spinning or not; shuffled by the graph or by NumPy."""
    found = []
    for dtype, outside, spin in product(("fp32", "int8"), (False, True), (False, True) if threads > 1 else (False,)):
        words = f"{'spinning' if spin else 'not spinning'}{', NumPy shuffle' if outside else ''}"

        def build(part, dtype=dtype, outside=outside, spin=spin):
            int8, worth = dtype == "int8", None
            if part == NET:
                model, worth = graph.bare(job, int8, int8, int8, outside)
            else:
                model = graph.whole(job, int8, int8, "convolution", "quantise", outside)
            return _build(job, threads, model, dtype, spin, worth, outside)
        found += [Variant("ONNX Runtime", dtype, part, words, partial(build, part)) for part in (NET, WHOLE)]
    return found


def _build(job: Job, threads: int, model: bytes, dtype: str, spin: bool, worth: float | None,
           outside: bool) -> Ready:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    options.add_session_config_entry("session.force_spinning_stop", "1")  # when a run has ended: others want the cores
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        operators = [node.op_type for node in onnx.load(optimized).graph.node]
    note = f"{operators.count('QLinearConv')} of {len(job.weights)} layers in int8" if dtype == "int8" else ""

    binding, outputs, inputs = session.io_binding(), [], {"lr": job.lr[None]}
    if job.chroma is not None:
        inputs["chroma"] = job.chroma[None]
    for wanted in session.get_inputs():
        array = inputs[wanted.name].astype(NUMPY_OF[wanted.type])
        binding.bind_ortvalue_input(wanted.name, ort.OrtValue.ortvalue_from_numpy(array))
    for given in session.get_outputs():
        outputs.append(ort.OrtValue.ortvalue_from_shape_and_type(given.shape, NUMPY_OF[given.type]))
        binding.bind_ortvalue_output(given.name, outputs[-1])

    given = [output.numpy() for output in outputs]  # views
    shuffled = []
    if outside:
        for _, height, width, channels in (array.shape for array in given):
            shape = (channels // job.scale**2, height * job.scale, width * job.scale)
            shuffled.append(np.empty(shape, given[0].dtype))

    def run():
        session.run_with_iobinding(binding)
        for source, target in zip(given, shuffled, strict=False):
            shuffle(source[0], target)

    def planes():
        hr = [plane for target in (shuffled if outside else [array[0] for array in given]) for plane in target]
        return hr if worth is None else graph.residual(hr, worth)

    return Ready(run, planes, note)
