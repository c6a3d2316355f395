"""Reverse-mode differentiation over NumPy arrays, with just the operations that the nets need.

Arrays of images are float (C, N, H, W): channels first of all, so that a convolution over the whole batch is one matrix
product and a bias is one column. Gradients are checked in float64 by the tests; training runs in float32.
"""

from __future__ import annotations

import numpy as np


class Tensor:
    """An array and, after `backward`, the gradient of a scalar with respect to it.

    `data` is a float array, `grad` an array of the same shape or None. A tensor made by an operation remembers that
    operation only where one of its inputs wants a gradient, so inference builds no graph.
    """

    __slots__ = ("data", "grad", "requires_grad", "_maker")

    def __init__(self, data: np.ndarray, requires_grad: bool = False):
        self.data = np.asarray(data)
        if self.data.dtype.kind != "f":
            raise TypeError(f"a tensor holds floats, not {self.data.dtype}")
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self._maker: Function | None = None

    def backward(self, gradient: np.ndarray | None = None) -> None:
        """Add the gradient of a scalar to the `grad` of every leaf that wants one.

        gradient: of that scalar with respect to this tensor; by default this is the scalar. The graph is released as
        it is walked: a second call finds nothing. Raises ValueError for a gradient of another shape.
        """
        if gradient is None:
            gradient = np.ones_like(self.data)
            if gradient.size != 1:
                raise ValueError(f"backward starts from a scalar, not from shape {gradient.shape}")
        if gradient.shape != self.data.shape:
            raise ValueError(f"a gradient of shape {gradient.shape} for a tensor of shape {self.data.shape}")
        grads = {id(self): gradient}
        for tensor in reversed(_in_order(self)):
            gradient, maker = grads.pop(id(tensor)), tensor._maker
            if maker is None:
                tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
                continue
            tensor._maker = None
            for parent, d_parent in zip(maker.parents, maker.backward(gradient), strict=True):
                if parent.requires_grad:
                    if d_parent.shape != parent.data.shape:
                        raise ValueError(f"{type(maker).__name__} gave a gradient of shape {d_parent.shape} "
                                         f"for an input of shape {parent.data.shape}")
                    known = grads.get(id(parent))
                    grads[id(parent)] = d_parent if known is None else known + d_parent


def _in_order(root: Tensor) -> list[Tensor]:
    """The tensors that want gradients and that `root` depends on, each after its inputs; of any depth."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            if tensor._maker is not None:
                stack.extend((parent, False) for parent in tensor._maker.parents if parent.requires_grad)
    return order


class Function:
    """One operation: `forward` on arrays, and `backward` from the gradient of the result to those of the inputs."""

    def __init__(self, *parents: Tensor):
        self.parents = parents

    @classmethod
    def apply(cls, *parents: Tensor, **settings) -> Tensor:
        """Run the operation on tensors and, where a gradient is wanted, remember it in the result."""
        function = cls(*parents)
        result = Tensor(function.forward(*(parent.data for parent in parents), **settings),
                        requires_grad=any(parent.requires_grad for parent in parents))
        if result.requires_grad:
            result._maker = function
        return result


def _columns(x: np.ndarray, k: int) -> np.ndarray:
    """Every k x k window of x (C, N, H, W), as the columns of a matrix (C*k*k, N*(H-k+1)*(W-k+1))."""
    channels, batch, height, width = x.shape
    rows, columns = height - k + 1, width - k + 1
    windows = np.empty((channels, k, k, batch, rows, columns), x.dtype)
    for i in range(k):
        for j in range(k):
            windows[:, i, j] = x[:, :, i:i + rows, j:j + columns]
    return windows.reshape(channels * k * k, -1)


class Conv2d(Function):
    """Valid cross-correlation of x (C, N, H, W) with weight (O, C, k, k): (O, N, H-k+1, W-k+1)."""

    def forward(self, x, weight):
        self.x_shape, self.weight, k = x.shape, weight, weight.shape[2]
        self.columns = _columns(x, k)
        out = weight.reshape(len(weight), -1) @ self.columns
        return out.reshape(len(weight), x.shape[1], x.shape[2] - k + 1, x.shape[3] - k + 1)

    def backward(self, d_out):
        outputs, inputs, k, _ = self.weight.shape
        d_weight = (d_out.reshape(outputs, -1) @ self.columns.T).reshape(self.weight.shape)
        if not self.parents[0].requires_grad:
            return None, d_weight
        # The gradient of the input is itself a convolution: of d_out in a margin of zeros, with the weight turned
        # round.
        margin = ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1))
        turned = np.ascontiguousarray(self.weight[:, :, ::-1, ::-1].swapaxes(0, 1))
        d_x = turned.reshape(inputs, -1) @ _columns(np.pad(d_out, margin), k)
        return d_x.reshape(self.x_shape), d_weight


class Bias(Function):
    """x (C, N, H, W) plus bias (C,)."""

    def forward(self, x, bias):
        return x + bias[:, None, None, None]

    def backward(self, d_out):
        return d_out, d_out.sum(axis=(1, 2, 3))


class ReLU(Function):
    """max(x, 0); the subgradient at 0 is 0."""

    def forward(self, x):
        self.positive = x > 0
        return np.maximum(x, 0)

    def backward(self, d_out):
        return (d_out * self.positive,)


class Pad(Function):
    """x (C, N, H, W) with `margin` zeros on all four sides of each image."""

    def forward(self, x, margin):
        self.inner = (..., *(slice(margin, margin + side) for side in x.shape[2:]))
        return np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))

    def backward(self, d_out):
        return (d_out[self.inner],)


class Add(Function):
    """The sum of two arrays of one shape: a skip connection."""

    def forward(self, a, b):
        return a + b

    def backward(self, d_out):
        return d_out, d_out


class PixelShuffle(Function):
    """(C * factor^2, N, H, W) to (C, N, H * factor, W * factor), as `shuffle.shuffle` does for one plane."""

    def forward(self, x, factor):
        self.x_shape, self.factor = x.shape, factor
        channels, batch, height, width = x.shape
        x = x.reshape(channels // factor**2, factor, factor, batch, height, width).transpose(0, 3, 4, 1, 5, 2)
        return x.reshape(channels // factor**2, batch, height * factor, width * factor)

    def backward(self, d_out):
        (_, batch, height, width), factor = self.x_shape, self.factor
        d_out = d_out.reshape(-1, batch, height, factor, width, factor).transpose(0, 3, 5, 1, 2, 4)
        return (d_out.reshape(self.x_shape),)


class L1(Function):
    """Mean absolute difference of x and target; the subgradient at 0 is 0, and the target gets none."""

    def forward(self, x, target):
        self.difference = x - target
        return np.mean(np.abs(self.difference))

    def backward(self, d_out):
        return np.sign(self.difference) * (d_out / self.difference.size).astype(self.difference.dtype), None


class L2(Function):
    """Mean squared difference of x and target; the target gets no gradient."""

    def forward(self, x, target):
        self.difference = x - target
        return np.mean(np.square(self.difference))

    def backward(self, d_out):
        return self.difference * (2 * d_out / self.difference.size).astype(self.difference.dtype), None


conv2d, bias, relu, l1, l2 = Conv2d.apply, Bias.apply, ReLU.apply, L1.apply, L2.apply
pad, add, pixel_shuffle = Pad.apply, Add.apply, PixelShuffle.apply
