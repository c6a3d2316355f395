"""A job as an ONNX graph, for ONNX Runtime and OpenVINO: float or quantised (QDQ), bare or whole."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from bench._jobs import Job, bicubic_convolution

OPSET, IR = 18, 9


class Graph:
    """Nodes and constants of a graph in the order in which they are added; names count up."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def constant(self, array: np.ndarray) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add a node with one output and return the output's name."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}{len(self.nodes)}", **attributes))
        return name

    def take(self, name: str, dtype: int, shape: tuple[int, ...]) -> str:
        """Add an input of the graph."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def give(self, source: str, name: str, dtype: int, shape: tuple[int, ...]) -> None:
        """Make a node's output an output of the graph."""
        next(node for node in self.nodes if node.output[0] == source).output[0] = name
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def serialized(self) -> bytes:
        """The checked model."""
        model = helper.make_model(helper.make_graph(self.nodes, "job", self.inputs, self.outputs, self.constants),
                                  opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        checker.check_model(model)
        return model.SerializeToString()

    def quantise(self, x: str, scale: float, zero: int) -> str:
        """x in whole steps of `scale`, uint8."""
        return self.add("QuantizeLinear", x, self.constant(np.float32(scale)), self.constant(np.uint8(zero)))

    def dequantise(self, x: str, scale: np.ndarray | float, zero: np.ndarray) -> str:
        """The float value of whole steps."""
        return self.add("DequantizeLinear", x, self.constant(np.asarray(scale, np.float32)), self.constant(zero),
                        **({"axis": 0} if np.ndim(scale) else {}))


def bare(job: Job, int8: bool, residual_uint8: bool, pixels: bool, outside: bool = False) -> tuple[bytes, float]:
    """The net and its pixel shuffle, and what one unit of its output is worth in grey levels.

    The input is float32 or, where `pixels` says so, uint8 (1, planes, height, width); the output is the residual
    (1, planes, height * scale, width * scale), float32 or uint8 around 128; `outside` leaves the shuffle to the caller,
    who gets (1, height, width, planes * scale^2).
    """
    g = Graph()
    x = g.take("lr", TensorProto.UINT8 if pixels else TensorProto.FLOAT, (1, *job.lr.shape))
    x = _net(g, job, _as_float(g, x, int8) if pixels else x, int8, residual_uint8)
    worth = _residual_step(job) if residual_uint8 else 1.0
    _give(g, job, x, "hr", TensorProto.UINT8 if residual_uint8 else TensorProto.FLOAT, job.lr.shape, outside)
    return g.serialized(), worth


def whole(job: Job, int8: bool, residual_uint8: bool, base: str, rounding: str, outside: bool = False) -> bytes:
    """uint8 planes in, uint8 planes out: inputs `lr` (and `chroma`), outputs `hr` (and `hr_chroma`), each (1, n, h, w).

    base: "resize" adds the framework's own bicubic to the shuffled residual; "convolution" computes it before the
    pixel shuffle, as a float convolution, so that what is shuffled is uint8 already. rounding: "quantise" turns floats
    into pixels with one QuantizeLinear, "cast" with Round, Clip and Cast.
    """
    g = Graph()
    lr = g.take("lr", TensorProto.UINT8, (1, *job.lr.shape))
    pixels = _as_float(g, lr, int8)
    residual = _net(g, job, pixels, int8, residual_uint8)
    if residual_uint8 and base == "convolution":
        residual = g.dequantise(residual, _residual_step(job), np.uint8(128))
    if base == "resize":
        residual = _shuffle(g, residual, job.scale)
        if residual_uint8:
            residual = g.dequantise(residual, _residual_step(job), np.uint8(128))
    plain = g.add("Cast", lr, to=TensorProto.FLOAT) if int8 else pixels
    hr = _pixels(g, job, plain, job.planes, residual, base, rounding)
    _give(g, job, hr, "hr", TensorProto.UINT8, job.lr.shape, outside, shuffled=base == "resize")
    if job.chroma is not None:
        chroma = g.take("chroma", TensorProto.UINT8, (1, *job.chroma.shape))
        chroma = g.add("Cast", chroma, to=TensorProto.FLOAT)
        hr = _pixels(g, job, chroma, 2, None, base, rounding)
        _give(g, job, hr, "hr_chroma", TensorProto.UINT8, job.chroma.shape, outside, shuffled=base == "resize")
    return g.serialized()


def _give(g: Graph, job: Job, x: str, name: str, dtype: int, lr_shape: tuple[int, ...], outside: bool,
          shuffled: bool = False) -> None:
    """Make x an output: shuffled here, or channels last for a shuffle `outside`."""
    planes, height, width = lr_shape
    if outside:
        g.give(g.add("Transpose", x, perm=(0, 2, 3, 1)), name, dtype, (1, height, width, planes * job.scale**2))
    else:
        x = x if shuffled else _shuffle(g, x, job.scale)
        g.give(x, name, dtype, (1, planes, height * job.scale, width * job.scale))


def _as_float(g: Graph, x: str, int8: bool) -> str:
    return g.dequantise(x, 1.0, np.uint8(0)) if int8 else g.add("Cast", x, to=TensorProto.FLOAT)


def _residual_step(job: Job) -> float:
    return job.ranges[-1] / 127


def _net(g: Graph, job: Job, x: str, int8: bool, residual_uint8: bool) -> str:
    """The convolutions: activations in 255 steps up to the largest of each layer, weights in 127 for each channel."""
    in_step, last = 1.0, len(job.weights) - 1
    for index, (weight, bias) in enumerate(zip(job.weights, job.biases, strict=True)):
        if int8:
            steps = np.abs(weight).max(axis=(1, 2, 3)) / 127
            whole_weight = np.rint(weight / steps[:, None, None, None]).astype(np.int8)
            whole_bias = np.rint(bias / (steps * in_step)).astype(np.int32)
            w = g.dequantise(g.constant(whole_weight), steps, np.zeros(len(steps), np.int8))
            b = g.dequantise(g.constant(whole_bias), steps * in_step, np.zeros(len(steps), np.int32))
        else:
            w, b = g.constant(weight), g.constant(bias)
        pad = weight.shape[2] // 2
        x = g.add("Conv", x, w, b, kernel_shape=weight.shape[2:], pads=[pad] * 4)
        if index < last:
            x = g.add("Relu", x)
        if int8 and index < last:
            in_step = job.ranges[index] / 255
            x = g.dequantise(g.quantise(x, in_step, 0), in_step, np.uint8(0))
    return g.quantise(x, _residual_step(job), 128) if residual_uint8 else x


def _shuffle(g: Graph, x: str, scale: int) -> str:
    return g.add("DepthToSpace", x, blocksize=scale, mode="CRD")


def _pixels(g: Graph, job: Job, plain: str, planes: int, residual: str | None, base: str, rounding: str) -> str:
    """uint8 hr pixels from float lr planes `plain` and a residual; both are shuffled where the base is resized."""
    if base == "resize":
        sizes = g.constant(np.float32([1, 1, job.scale, job.scale]))
        x = g.add("Resize", plain, "", sizes, mode="cubic", coordinate_transformation_mode="half_pixel",
                  cubic_coeff_a=-0.75)
    else:
        weight = g.constant(np.tile(bicubic_convolution(job.scale), (planes, 1, 1, 1)))
        x = g.add("Conv", plain, weight, kernel_shape=(5, 5), pads=[2] * 4, group=planes)
    if residual is not None:
        x = g.add("Add", x, residual)
    if rounding == "quantise":
        x = g.quantise(x, 1.0, 0)
    else:
        x = g.add("Clip", g.add("Round", x), g.constant(np.float32(0)), g.constant(np.float32(255)))
        x = g.add("Cast", x, to=TensorProto.UINT8)
    return x


def residual(planes: list[np.ndarray], worth: float) -> list[np.ndarray]:
    """The residual in grey levels from what a bare graph gave, float32 or uint8 around 128."""
    centre = np.float32(128 if planes[0].dtype == np.uint8 else 0)
    return [(plane.astype(np.float32) - centre) * np.float32(worth) for plane in planes]
