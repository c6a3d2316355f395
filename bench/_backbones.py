"""A step of training a backbone: our graph in C, and PyTorch running the same graph."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stdo_min.engine.autograd import Tensor
from stdo_min.engine.backbones import BACKBONES, Backbone
from stdo_min.engine.blocks import Blocks
from stdo_min.engine.convolution import batch_input, losses, residual_loss
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, RESIDUAL_UNIT, TARGET_UNIT
from stdo_min.engine.optimiser import Adam

SCALE, SIDE, POOL, RATE = 4, 96, 64, 1e-3  # hr pixels of a patch, patches of the pool


class GraphStepper:
    """Gradients of a graph on patches of a pool, in parts that threads share."""

    def __init__(self, backbone: Backbone, pixels: np.ndarray, residual: np.ndarray, threads: int,
                 parts: int | None = None):
        """pixels: uint8 (patches, H, W, planes), what the graph reads. residual: int16 (patches, H', W', outputs), hr
        minus base in 64ths of a grey level, unshuffled as far as the graph leaves it. parts: equal ones of a batch,
        which decide in what order floats are added, as threads do not; by default one for each thread.
        """
        self.graph, self.pixels, self.residual = backbone.graph, pixels, residual
        self.parts = [Blocks() for _ in range(parts or threads)]
        self.evaluators = [Blocks() for _ in range(threads)]  # others, so that arrays keep their size
        self.executor = ThreadPoolExecutor(threads)

    def gradients(self, parameters: list[np.ndarray], index: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The mean L1 of a batch, in grey levels, and its gradient for each of the parameters.

        index: int64 (N,), N a multiple of the parts.
        """
        def share(part, mine):
            tensors = [Tensor(p, requires_grad=True) for p in parameters]
            loss = residual_loss(self._forward(tensors, mine, part), pool=self.residual, index=mine,
                                 unit=TARGET_UNIT, workspace=part.workspace)
            loss.backward()
            return float(loss.data), [tensor.grad for tensor in tensors]

        count = len(self.parts)
        shares = list(self.executor.map(share, self.parts, np.split(index, count)))
        found = sum(one for one, _ in shares) / count * RESIDUAL_UNIT
        sums = map(sum, zip(*(gradients for _, gradients in shares), strict=True))
        return found, [total / np.float32(count) for total in sums]

    def outputs(self, parameters: list[np.ndarray], index: np.ndarray) -> np.ndarray:
        """The graph's residual in grey levels, float32 (n, H', W', outputs), for the patches at `index`, int64 (n,)."""
        tensors, found = [Tensor(p) for p in parameters], np.empty((len(index), *self.residual.shape[1:]), np.float32)

        def part(thread, at, one):
            y = self._forward(tensors, one, thread).data.transpose(0, 2, 3, 1, 4)
            found[at] = y.reshape(*y.shape[:3], -1)[0, ..., :found.shape[-1]]

        self._each(part, index)
        found *= np.float32(RESIDUAL_UNIT)
        return found

    def errors(self, parameters: list[np.ndarray], index: np.ndarray) -> np.ndarray:
        """The mean squared error of each patch at `index`, float64 (N,), in grey levels squared."""
        tensors, found = [Tensor(p) for p in parameters], np.empty(len(index))

        def part(thread, at, one):
            y = self._forward(tensors, one, thread).data
            found[at] = losses(y, self.residual, one, TARGET_UNIT, thread.workspace, "l2")[0]

        self._each(part, index)
        return found * RESIDUAL_UNIT**2

    def _each(self, part, index):
        """part(thread, at, index[at:at+1]) for each patch, by all threads."""
        def share(number):
            for at in range(number, len(index), len(self.evaluators)):
                part(self.evaluators[number], at, index[at:at + 1])

        list(self.executor.map(share, range(len(self.evaluators))))

    def _forward(self, tensors, index, thread):
        x = batch_input(self.pixels, index, INPUT_CENTRE, INPUT_UNIT, thread.workspace)
        return self.graph.run(thread, Tensor(x), tensors)


def problem(name: str):
    """A backbone, its first parameters, a pool, and batches without end; equal for all contenders."""
    backbone, rng = BACKBONES[name](SCALE), np.random.default_rng(5)
    side = SIDE if backbone.upscaled else SIDE // SCALE
    smooth = np.cumsum(rng.normal(0, 3, (POOL, side, side, 3)), axis=2)
    pixels = np.clip(np.rint(128 + smooth), 0, 255).astype(np.uint8)
    wide = int(side * backbone.graph.size)
    residual = rng.integers(-1000, 1000, (POOL, wide, wide, backbone.graph.outputs)).astype(np.int16)
    residual[..., 0] += 600  # something a net can learn

    def batches():
        drawn = np.random.default_rng(6)
        while True:
            yield np.sort(drawn.integers(0, POOL, batch(backbone)))

    return backbone, backbone.graph.new_parameters(rng), pixels, residual, batches()


def batch(backbone: Backbone) -> int:
    """Patches of a step: as many hr pixels as two threads have work for, of nets at full size fewer."""
    return 4 if backbone.upscaled else 16


def gmacs(name: str) -> float:
    """10^9 multiply-accumulates of a step, counted as three times the forward products."""
    backbone = BACKBONES[name](SCALE)
    pixels = batch(backbone) * (SIDE if backbone.upscaled else SIDE // SCALE) ** 2
    return 3 * pixels * backbone.graph.products / 1e9


def ours(name: str, threads: int) -> Callable[[], float]:
    """A function that makes one step and returns its loss."""
    backbone, parameters, pixels, residual, batches = problem(name)
    stepper, adam = GraphStepper(backbone, pixels, residual, threads), Adam(parameters)

    def step():
        loss, gradients = stepper.gradients(parameters, next(batches))
        adam.step(gradients, RATE)
        return loss / RESIDUAL_UNIT

    return step


class Torch:
    """The operations of a graph by PyTorch."""

    @staticmethod
    def convolution(number, layer, x, weight, bias, after_relu):
        """The convolution with zeros around its input, and its ReLU."""
        from torch.nn.functional import conv2d

        y = conv2d(x, weight, bias, padding=layer.kernel // 2)
        return y.relu() if layer.relu else y

    @staticmethod
    def sum(number, first, second):
        """The sum."""
        return first + second

    @staticmethod
    def shuffle(number, x, factor):
        """The pixel shuffle."""
        from torch.nn.functional import pixel_shuffle

        return pixel_shuffle(x, factor)


def torchs(name: str, threads: int, settings: list[str]) -> Callable[[], float]:
    """The same step by PyTorch."""
    import torch

    torch.set_num_threads(threads)
    backbone, parameters, pixels, residual, batches = problem(name)
    form = torch.channels_last if "channels_last" in settings else torch.contiguous_format
    tensors = [torch.nn.Parameter(torch.from_numpy(p).contiguous(memory_format=form) if p.ndim == 4
                                  else torch.from_numpy(p)) for p in parameters]
    pool, targets = (torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=form)
                     for array in (pixels, residual))
    adam = torch.optim.Adam(tensors, RATE, betas=(0.9, 0.99), foreach=True)

    def forward(x):
        return backbone.graph.run(Torch, x, tensors)

    run = torch.compile(forward) if "compiled" in settings else forward

    def step():
        index = torch.from_numpy(next(batches))
        x = ((pool[index].float() - INPUT_CENTRE) * (1 / INPUT_UNIT)).contiguous(memory_format=form)
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in settings):
            y = run(x)
        loss = (y.float() - targets[index].float() * TARGET_UNIT).abs().mean()
        loss.backward()
        adam.step()
        return loss.item()

    return step
