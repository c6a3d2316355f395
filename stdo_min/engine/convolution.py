"""The engine in C, as operations of the autograd: all convolutions of a net over a batch of patches, and the loss.

They compute what `readable.py` computes with NumPy, but faster: no windows are copied, patches come straight from the
pool, and arrays are kept from step to step. Activations are float32 (N, C/16, H, W, 16). Every tier gives the same
floats.
"""

from __future__ import annotations

import os

import numpy as np

from stdo_min._stdo import ffi, lib
from stdo_min.engine.autograd import Function

BLOCK = 16  # channels side by side
LOSSES = {"l1": lib.STDO_TRAIN_L1, "charbonnier": lib.STDO_TRAIN_CHARBONNIER, "l2": lib.STDO_TRAIN_L2}


class Workspace:
    """Arrays that one thread uses again in every step, each under its name."""

    def __init__(self, tiers: str | None = None):
        """Choose the kernels: the best of `tiers` (with commas), by default of the environment's STDO_CPU, or of all.

        Raises ValueError for a word that names no tier.
        """
        words = os.environ.get("STDO_CPU", "") if tiers is None else tiers
        self.kernels = lib.stdo_train_best(os.fsencode(words))
        if self.kernels == ffi.NULL:
            raise ValueError(f"STDO_CPU={words}: no such tier")
        self.tier = ffi.string(lib.stdo_train_tier(self.kernels)).decode()
        self.plan = None  # of the latest net and batch
        self._arrays = {}

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return the float32 array of this name, with any content; a new one only where its shape has changed."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            array = self._arrays[name] = np.empty(shape, np.float32)
        return array

    @property
    def nbytes(self) -> int:
        """The memory kept."""
        return sum(array.nbytes for array in self._arrays.values())


def floats(array, shape=None):
    """A C pointer to a contiguous float32 array of a shape (by default its own); ValueError for any other array."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or array.shape != (shape or array.shape):
        gaps = "" if array.flags.c_contiguous else " with gaps"
        raise ValueError(f"an array is {array.dtype} {array.shape}{gaps}; it must be float32 {shape or array.shape}, "
                         "contiguous")
    return ffi.from_buffer("float[]", array)


def check_status(status):
    if status != lib.STDO_OK:
        raise ValueError(ffi.string(lib.stdo_status_string(status)).decode())


def batch_input(pool: np.ndarray, index: np.ndarray, centre: float, unit: float, workspace: Workspace) -> np.ndarray:
    """The input of a batch: (patch - centre) / unit for patches of a pool, float32 (N, H, W, C).

    pool: uint8 (patches, H, W) or (patches, H, W, C), contiguous. index: int64 (N,).
    """
    _check_index(index, len(pool))
    if pool.dtype != np.uint8 or pool.ndim not in (3, 4) or not pool.flags.c_contiguous:
        raise ValueError(f"the pool is {pool.dtype} {pool.shape}; it must be uint8 of 3 or 4 axes, contiguous")
    size = pool[0].size
    x = workspace.array("x", (len(index), *pool.shape[1:3], size // (pool.shape[1] * pool.shape[2])))
    lib.stdo_train_gather(ffi.from_buffer("uint8_t[]", pool), ffi.from_buffer("int64_t[]", index), len(index), size,
                          centre, 1 / unit, floats(x))
    return x


def _check_index(index, count):
    if (index.dtype != np.int64 or index.ndim != 1 or len(index) == 0 or not index.flags.c_contiguous
            or not 0 <= index.min() <= index.max() < count):
        raise ValueError(f"index is {index.dtype} {index}; it must be one row of int64, 0..{count - 1}")


class _Plan:
    """What C gets for a net and a batch: layers, pointers, scratch. It serves as long as the arrays are the same."""

    def __init__(self, x, parameters, workspace):
        self.inputs = (x, *parameters)  # kept alive, so that no other array can have their addresses
        patches, height, width, inputs = x.shape
        layers, needed, self.arrays = [], 0, []
        for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
            outputs, _, kernel, _ = weight.shape
            height, width = height - kernel + 1, width - kernel + 1
            layers.append((patches, max(height, 0), max(width, 0), kernel, inputs, outputs, number == 0,
                           2 * number < len(parameters) - 2))
            size = lib.stdo_train_scratch_size(ffi.new("stdo_train_layer *", layers[-1]))
            if weight.shape[1:] != (inputs, kernel, kernel) or bias.shape != (outputs,) or not size:
                raise ValueError(f"layer {number} has a weight of shape {weight.shape} and a bias of {bias.shape} for "
                                 f"{inputs} channels, and would give {patches} patches of {width}x{height}")
            out = workspace.array(f"out {number}", (patches, -(-outputs // BLOCK), height, width, BLOCK))
            d_x = workspace.array(f"d_x {number}", x.shape) if number else None
            self.arrays.append((x, weight, bias, out, d_x, workspace.array(f"d_weight {number}", weight.shape),
                                workspace.array(f"d_bias {number}", bias.shape)))
            x, inputs, needed = out, outputs, max(needed, size)
        self.out, self.gradients = x, [array for arrays in self.arrays for array in arrays[5:]]
        self.scratch = floats(workspace.array("scratch", (-(-needed // 4),)))
        self.layers = ffi.new("stdo_train_layer[]", layers)
        self.pointers = ffi.new("stdo_train_arrays[]", [
            [ffi.NULL if array is None else floats(array) for array in arrays] for arrays in self.arrays])


class Convolutions(Function):
    """Convolutions of x (N, H, W, C) with weights (O, C, k, k) and biases (O,), ReLU between: (N, O/16, H', W', 16).

    Applied to x, weight, bias, weight, bias...; backward gives no gradient for x.
    """

    def forward(self, x, *parameters, workspace):
        plan = workspace.plan
        if plan is None or list(map(id, plan.inputs)) != list(map(id, (x, *parameters))):
            plan = workspace.plan = _Plan(x, parameters, workspace)
        self.kernels, self.plan = workspace.kernels, plan
        check_status(lib.stdo_train_net_forward(self.kernels, plan.layers, plan.pointers, len(plan.arrays),
                                                plan.scratch))
        return plan.out

    def backward(self, d_out):
        plan = self.plan
        check_status(lib.stdo_train_net_backward(self.kernels, plan.layers, plan.pointers, len(plan.arrays),
                                                 floats(d_out, plan.out.shape), plan.scratch))
        return None, *plan.gradients


class ResidualLoss(Function):
    """The mean loss of y (N, O/16, H, W, 16) against residuals of a pool: |d|, sqrt(d^2 + epsilon^2) or d^2.

    pool, index, unit and loss: as in `losses`.
    """

    def forward(self, y, pool, index, unit, workspace, loss="l1", epsilon=0.0):
        self.d_y = workspace.array("d_y", y.shape)
        found = losses(y, pool, index, unit, workspace, loss, epsilon, self.d_y)
        return np.float32(sum(found.tolist()) / len(found))

    def backward(self, d_out):
        if d_out != 1:
            self.d_y *= d_out
        return (self.d_y,)


def losses(y: np.ndarray, pool: np.ndarray, index: np.ndarray, unit: float, workspace: Workspace, loss: str = "l1",
           epsilon: float = 0.0, d_y: np.ndarray | None = None) -> np.ndarray:
    """Return the mean loss of each patch, float64 (N,); d_y, where given, is filled with the gradient of their mean.

    y: outputs (N, O/16, H, W, 16). pool: int16 (patches, H, W, O), contiguous; times `unit` its values are the targets.
    index: int64 (N,), the patches that y is for. loss: l1, charbonnier or l2. Raises ValueError where they do not fit.
    """
    _check_index(index, len(pool))
    patches, blocks, height, width, _ = y.shape
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; it must be one of {', '.join(LOSSES)}")
    if (pool.dtype != np.int16 or not pool.flags.c_contiguous or pool.shape[1:3] != (height, width)
            or -(-pool.shape[3] // BLOCK) != blocks or len(index) != patches):
        raise ValueError(f"the pool is {pool.dtype} {pool.shape} and the index {index.shape} for outputs {y.shape}")
    layer = ffi.new("stdo_train_layer *", (patches, height, width, 1, 1, pool.shape[3], 0, 0))
    found, size = np.empty(patches), pool[0].size
    wanted, places = ffi.from_buffer("int16_t[]", pool), ffi.from_buffer("int64_t[]", index)
    targets = ffi.new("stdo_train_targets *", (LOSSES[loss], epsilon, unit, wanted, places))
    check_status(lib.stdo_train_loss_gradient(
        workspace.kernels, layer, targets, floats(y), 1 / (patches * size), ffi.from_buffer("double[]", found),
        ffi.NULL if d_y is None else floats(d_y, y.shape)))
    return found / size


convolutions, residual_loss = Convolutions.apply, ResidualLoss.apply
