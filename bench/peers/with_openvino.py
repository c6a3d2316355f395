"""OpenVINO: fp32, bf16, and int8 from the same QDQ graph as ONNX Runtime's."""

from __future__ import annotations

import numpy as np
import openvino as ov

from bench._jobs import Job
from bench.peers import NET, WHOLE, Ready, Variant, graph, shuffle

CORE = ov.Core()


def variants(job: Job, threads: int) -> list[Variant]:
    """Each arithmetic with its input and output in the forms that have been the fastest for some net."""
    found = []

    def offer(dtype, part, settings, hint, model, outside=False):
        def build():
            made = model()
            return _build(job, threads, *(made if part == NET else (made, None)), dtype, hint, outside)
        found.append(Variant("OpenVINO", dtype, part, settings, build))

    for dtype, hint in (("fp32", "f32"), ("bf16", "bf16")):
        for pixels in (False, True):
            offer(dtype, NET, f"{'uint8' if pixels else 'fp32'} in, {dtype} out",
                  hint, lambda pixels=pixels: graph.bare(job, False, False, pixels))
    for coded in (False, True):
        offer("int8", NET, f"uint8 in, {'uint8' if coded else 'fp32'} out", "f32",
              lambda coded=coded: graph.bare(job, True, coded, True))
    offer("fp32", WHOLE, "rounded by QuantizeLinear", "f32",
          lambda: graph.whole(job, False, False, "convolution", "quantise"))
    # QuantizeLinear fails to compile here with bf16.
    offer("bf16", WHOLE, "rounded by Cast", "bf16", lambda: graph.whole(job, False, False, "convolution", "cast"))
    for coded, rounding, hint in ((False, "quantise", "f32"), (True, "quantise", "f32"), (True, "cast", "bf16")):
        offer("int8", WHOLE, f"{'uint8' if coded else 'fp32'} residual, base in {hint}", hint,
              lambda coded=coded, rounding=rounding: graph.whole(job, True, coded, "convolution", rounding))
    # DepthToSpace takes longer than a small net; NumPy's copy does not.
    offer("fp32", NET, "fp32 in, NumPy shuffle", "f32", lambda: graph.bare(job, False, False, False, True), True)
    offer("int8", NET, "uint8 in, uint8 out, NumPy shuffle", "f32",
          lambda: graph.bare(job, True, True, True, True), True)
    for dtype, hint, int8 in (("fp32", "f32", False), ("bf16", "bf16", False), ("int8", "f32", True)):
        offer(dtype, WHOLE, "rounded by Cast, NumPy shuffle", hint,
              lambda int8=int8: graph.whole(job, int8, int8, "convolution", "cast", True), True)
    return found


def _build(job: Job, threads: int, model: bytes, worth: float | None, dtype: str, hint: str, outside: bool) -> Ready:
    read = CORE.read_model(model)
    if worth is not None and not outside:
        read = _bare_form(read, dtype)
    compiled = CORE.compile_model(read, "CPU", {
        "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    inputs = {"lr": job.lr[None]} if job.chroma is None else {"lr": job.lr[None], "chroma": job.chroma[None]}
    keep = []  # shared memory does not keep the arrays alive
    for port in compiled.inputs:
        keep.append(np.ascontiguousarray(inputs[port.any_name], port.element_type.to_dtype()))
        request.set_tensor(port, ov.Tensor(keep[-1], shared_memory=True))

    given = [request.get_tensor(port) for port in compiled.outputs]
    shuffled = []
    if outside:
        for source in given:
            _, height, width, channels = source.shape
            shape = (channels // job.scale**2, height * job.scale, width * job.scale)
            shuffled.append(np.empty(shape, source.element_type.to_dtype()))

    def run(_alive=keep):
        request.start_async()
        request.wait()
        for source, target in zip(given, shuffled, strict=False):
            shuffle(source.data[0], target)

    def planes():
        if outside:
            hr = [plane for target in shuffled for plane in target]
            return hr if worth is None else graph.residual(hr, worth)
        if worth is None:
            return [plane for port in compiled.outputs for plane in request.get_tensor(port).data[0]]
        return graph.residual(list(_values(request.get_tensor(compiled.outputs[0]))[0].transpose(2, 0, 1)), worth)

    ran = _convolutions(compiled)
    wanted = {"fp32": "f32", "bf16": "bf16", "int8": "I8"}[dtype]
    count = sum(1 for primitive in ran if primitive.endswith(wanted))
    return Ready(run, planes, f"{count} of {len(ran)} convolutions ran as {wanted}")


def _bare_form(model: ov.Model, dtype: str) -> ov.Model:
    """The output as OpenVINO has it inside, channels last and not widened: that saves a pass over the hr frame."""
    steps = ov.preprocess.PrePostProcessor(model)
    steps.output(0).model().set_layout(ov.Layout("NCHW"))
    steps.output(0).tensor().set_layout(ov.Layout("NHWC"))
    if dtype == "bf16":
        steps.output(0).tensor().set_element_type(ov.Type.bf16)
    return steps.build()


def _values(tensor: ov.Tensor) -> np.ndarray:
    """A tensor's values in a type that NumPy has."""
    if tensor.element_type != ov.Type.bf16:
        return tensor.data
    return (tensor.data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _convolutions(compiled) -> list[str]:
    """The primitive of each convolution in the graph that really runs, such as brgconv_avx512_I8."""
    found = []
    for node in compiled.get_runtime_model().get_ops():
        told = {key: getattr(value, "value", value) for key, value in node.get_rt_info().items()}
        if told["layerType"] == "Convolution":
            found.append(str(told["primitiveType"]))
    return found
