"""The methods that the paper compares, and ours, on one backbone and one budget.

Published ones train as the authors' released code does: L1, Adam at 1e-3, patches drawn alike, zeros around each patch.
Those that go on from one net first train it on everything for a fifth of the budget at a constant rate, as the paper's
warm-up does. Every other stage begins Adam anew and goes half a cosine down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench._backbones import GraphStepper
from bench._rgb import HALO, HR, Patches
from stdo_min.algorithm import chunk
from stdo_min.algorithm.refine import Chunks, refine
from stdo_min.algorithm.sample import Sampled, sampling
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.backbones import Backbone
from stdo_min.engine.budget import Budget
from stdo_min.engine.convolution import Workspace, batch_input, convolutions
from stdo_min.engine.graph import INPUT, Convolution
from stdo_min.engine.net import INPUT_CENTRE, INPUT_UNIT, RESIDUAL_UNIT, Net
from stdo_min.engine.optimiser import Adam, learning_rate
from stdo_min.engine.pool import Pool
from stdo_min.engine.train import Stepper, train
from stdo_min.format.psnr import psnr

RATE, WARM_UP = 1e-3, 0.2
BATCH, PARTS = 9_216, 4  # lr pixels of a batch, 16 patches of 24x24; parts of it, whatever the number of threads
SPARSE, LOOKS = 0.05, 8  # EMT: the share of the weights that a stretch has of its own; batches that choose them
ROUNDS = 64  # of refinement
POINTS, PROBES = 20, 64  # of a curve, and one more for each stage; patches that it is measured on

Parameters = list[np.ndarray]


@dataclass
class Served:
    """Nets that are trained, and which of them serves each patch.

    outputs(net, index): residuals in grey levels, float32 (n, H', W', outputs). member: int (N,), 0 for the base alone,
    else the net, counted from 1. sent: numbers that are sent in float32, and the bytes of what says where they belong.
    """

    outputs: Callable[[int, np.ndarray], np.ndarray]
    member: np.ndarray
    nets: int
    sent: int
    more_bytes: int = 0


@dataclass
class Run:
    """A backbone on a clip with a budget: what every method gets."""

    backbone: Backbone
    patches: Patches
    others: Sequence[Patches]  # of other clips, for the general net
    chunks: int
    budget: Budget
    rng: np.random.Generator
    threads: int
    rate: float = RATE  # the first learning rate of published methods
    curve: list[tuple[str, float, float]] = field(default_factory=list)  # stage, share of the whole budget, dB

    def __post_init__(self):
        self.stepper = self.stepper_for(self.patches)
        self._began, self._probing, self._steps, self._due = None, 0.0, 0, 0.0

    @property
    def factor(self) -> int:
        """The scale that the graph leaves to a last pixel shuffle."""
        return round((1 if self.backbone.upscaled else self.patches.scale) / self.backbone.graph.size)

    @property
    def batch(self) -> int:
        """Patches of a batch."""
        side = HR if self.backbone.upscaled else HR // self.patches.scale
        return max(PARTS, BATCH // side**2 // PARTS * PARTS)

    def stepper_for(self, *clips: Patches) -> GraphStepper:
        """What trains the backbone on the patches of some clips."""
        pixels = [np.clip((clip.base + 32) >> 6, 0, 255).astype(np.uint8) if self.backbone.upscaled
                  else clip.unpadded() for clip in clips]
        residuals = [clip.residual(self.factor) for clip in clips]
        return GraphStepper(self.backbone, np.concatenate(pixels), np.concatenate(residuals), self.threads, PARTS)

    def new(self) -> Parameters:
        """New parameters."""
        return self.backbone.graph.new_parameters(self.rng)

    def drawing(self, weight: np.ndarray, count: int | None = None,
                rng: np.random.Generator | None = None) -> Callable[[], np.ndarray]:
        """A function that draws a batch, or `count` patches, by weights (N,)."""
        running, rng = np.cumsum(weight), rng or self.rng

        def draw():
            at = np.searchsorted(running, rng.random(count or self.batch) * running[-1], side="right")
            return np.sort(np.minimum(at, len(running) - 1))

        return draw

    def probed(self, weight: np.ndarray) -> np.ndarray:
        """Patches that a curve is measured on, drawn by weights (N,) without a change to what is trained."""
        return self.drawing(weight, PROBES, np.random.default_rng(0))()

    def now(self) -> float:
        """Seconds since the first call, on a clock that stands still while a curve is measured."""
        self._began = self._began or time.monotonic()
        return time.monotonic() - self._began - self._probing

    def stepped(self, stage: str, decibel: Callable[[], float]) -> None:
        """A step of a stage is done: add a point to the curve where one is due."""
        self._steps += 1
        share = self.budget.done(self._steps, time.monotonic() - self.now())
        if share < self._due and self.curve and stage == self.curve[-1][0]:
            return
        began = time.monotonic()
        self.curve.append((stage, share, decibel()))
        self._due = (math.floor(share * POINTS) + 1) / POINTS
        self._probing += time.monotonic() - began

    def train(self, parameters: Parameters, weight: np.ndarray, budget: Budget, stage: str = "train",
              cosine: bool = True, stepper: GraphStepper | None = None, only: Parameters | None = None) -> Parameters:
        """Train a copy of the parameters on patches drawn by weights (N,).

        stage: what the curve calls it. stepper: for patches of other clips. only: masks of what may change.
        """
        parameters, stepper = [p.copy() for p in parameters], stepper or self.stepper
        draw, adam, probed = self.drawing(weight), Adam(parameters, beta2=0.999), self.probed(weight)
        steps, began = 0, self.now()
        while (done := budget.done(steps, time.monotonic() - (self.now() - began))) < 1:
            _, gradients = stepper.gradients(parameters, draw())
            if only is not None:
                gradients = [gradient * mask for gradient, mask in zip(gradients, only, strict=True)]
            adam.step(gradients, learning_rate(done, self.rate, 0.0, 4e-5) if cosine else self.rate)
            steps += 1
            self.stepped(stage, lambda: float(psnr(stepper.errors(parameters, probed).mean(), 1)))
        return parameters

    def warmed_up(self) -> tuple[Parameters, Budget]:
        """One net trained on everything, and what is left of the budget, by its clock."""
        began, part = self.now(), self.budget.part(WARM_UP)
        parameters = self.train(self.new(), np.ones(len(self.patches)), part, "warm-up", cosine=False)
        return parameters, self.left(began, part)

    def left(self, began: float, used: Budget) -> Budget:
        """What is left of the budget after `used` of its steps, or of its seconds since `now` was `began`."""
        if self.budget.steps is not None:
            return Budget(steps=self.budget.steps - used.steps)
        return self.budget.less(self.now() - began)

    def serve(self, nets: Sequence[Parameters], member: np.ndarray, sent: int | None = None,
              more_bytes: int = 0) -> Served:
        """The nets as they are served; sent: by default all of their numbers."""
        def outputs(number, index):
            return self.stepper.outputs(nets[number - 1], index)

        return Served(outputs, member, len(nets), sent or len(nets) * self.backbone.graph.parameters, more_bytes)


def general(run: Run) -> Served:
    """One net trained on other clips, of which each is drawn as often."""
    weight = np.concatenate([np.full(len(other), 1 / len(other)) for other in run.others])
    parameters = run.train(run.new(), weight, run.budget, stepper=run.stepper_for(*run.others))
    return run.serve([parameters], np.ones(len(run.patches), int))


def one_net(run: Run) -> Served:
    """awDNN: one net, overfitted."""
    weight = np.ones(len(run.patches))
    return run.serve([run.train(run.new(), weight, run.budget)], weight.astype(int))


def _a_net_each(run: Run, labels: np.ndarray, start: Parameters, left: Budget) -> Served:
    """A net for each of the labels 1.., which share the budget alike."""
    count = int(labels.max())
    nets = [run.train(start, labels == number, part, f"net {number}") for number, part in
            enumerate(left.split([1 / count] * count), 1)]
    return run.serve(nets, labels.astype(int))


def _stretches(run: Run) -> np.ndarray:
    frames = run.patches.frames
    return chunk.by_time(frames, min(run.chunks, frames)).labels(run.patches.frame)


def nas(run: Run) -> Served:
    """NAS (Yeo et al. 2018): a net for each stretch of time."""
    start, left = run.warmed_up()
    return _a_net_each(run, _stretches(run), start, left)


def cafm(run: Run) -> Served:
    """CaFM (Liu et al. 2021): one net, and for each stretch a factor and an offset of each channel of each layer.

    They are folded into the weights, in training as in playing: the stretch's weight is factor * weight, its bias
    factor * bias + offset.
    """
    labels = _stretches(run)
    shared, count = run.new(), int(labels.max())
    shared_adam = Adam(shared, beta2=0.999)
    own = [[array for bias in shared[1::2] for array in (np.ones_like(bias), np.zeros_like(bias))]
           for _ in range(count)]
    adams = [Adam(arrays, beta2=0.999) for arrays in own]
    draws = [run.drawing(labels == number) for number in range(1, count + 1)]
    probed = run.probed(np.ones(len(labels)))

    def folded(stretch):
        found = []
        for weight, bias, factor, offset in _quads(own[stretch]):
            found += [factor[:, None, None, None] * weight, factor * bias + offset]
        return found

    def _quads(arrays):
        return zip(shared[::2], shared[1::2], arrays[::2], arrays[1::2], strict=True)

    def decibel():
        errors = [run.stepper.errors(folded(stretch), probed[labels[probed] == stretch + 1])
                  for stretch in range(count)]
        return float(psnr(np.concatenate(errors).mean(), 1))

    steps, began = 0, run.now()
    while (done := run.budget.done(steps, time.monotonic() - (run.now() - began))) < 1:
        stretch = int(run.rng.integers(count))
        _, gradients = run.stepper.gradients(folded(stretch), draws[stretch]())
        of_shared, of_own = [], []
        for (weight, bias, factor, _), d_weight, d_bias in zip(_quads(own[stretch]), gradients[::2], gradients[1::2],
                                                               strict=True):
            of_shared += [factor[:, None, None, None] * d_weight, factor * d_bias]
            of_own += [(d_weight * weight).sum(axis=(1, 2, 3)) + d_bias * bias, d_bias]
        rate = learning_rate(done, run.rate, 0.0, 4e-5)
        shared_adam.step(of_shared, rate)
        adams[stretch].step(of_own, rate)
        steps += 1
        run.stepped("train", decibel)
    sent = run.backbone.graph.parameters + count * sum(array.size for array in own[0])
    return run.serve([folded(stretch) for stretch in range(count)], labels.astype(int), sent)


def emt(run: Run) -> Served:
    """EMT-style (Li et al. 2022): one net, and for each stretch new values of the few weights whose gradients say most.

    Half of the budget goes to the one net; 5 % of the weights are new in each stretch, and the place of each is sent in
    as many bits as it takes to count all weights. The original's meta-learning of that net is left out.
    """
    began, labels, whole = run.now(), _stretches(run), np.ones(len(run.patches))
    start = run.train(run.new(), whole, run.budget.part(0.5), "one net")
    left, nets, count = run.left(began, run.budget.part(0.5)), [], int(labels.max())
    for number, part in enumerate(left.split([1 / count] * count), 1):
        draw, sums = run.drawing(labels == number), [np.zeros_like(p) for p in start]
        for _ in range(LOOKS):
            for total, gradient in zip(sums, run.stepper.gradients(start, draw())[1], strict=True):
                total += gradient
        sizes = np.concatenate([np.abs(total).ravel() for total in sums])
        least = np.partition(sizes, -round(SPARSE * len(sizes)))[-round(SPARSE * len(sizes))]
        nets.append(run.train(start, labels == number, part, f"stretch {number}",
                              only=[np.abs(total) >= least for total in sums]))
    parameters = run.backbone.graph.parameters
    own = round(SPARSE * parameters)
    places = math.ceil(own * math.ceil(math.log2(parameters)) / 8)
    return run.serve(nets, labels.astype(int), parameters + count * own, count * places)


def _scored(run: Run) -> tuple[Parameters, Budget, np.ndarray, np.ndarray]:
    """The warm-up net, what is left, and each patch's score in dB and error under it."""
    began = run.now()
    start, _ = run.warmed_up()
    errors = run.stepper.errors(start, np.arange(len(run.patches)))
    return start, run.left(began, run.budget.part(WARM_UP)), psnr(np.maximum(errors, 1e-9), 1), errors


def _by_score(run: Run, scores: np.ndarray) -> np.ndarray:
    """Chunks by k-means; no more than there are different scores."""
    return chunk.kmeans(scores, min(run.chunks, len(np.unique(scores))))[0]


def stdo_quantile(run: Run) -> Served:
    """STDO as in the authors' released code: scores cut at equal counts."""
    start, left, scores, _ = _scored(run)
    return _a_net_each(run, chunk.quantiles(scores, run.chunks), start, left)


def stdo(run: Run) -> Served:
    """STDO as in the paper: scores cut by k-means, here the best there is."""
    start, left, scores, _ = _scored(run)
    return _a_net_each(run, _by_score(run, scores), start, left)


def jstdo(run: Run) -> Served:
    """JSTDO: one net, patches drawn by what their chunk has to teach."""
    start, left, scores, errors = _scored(run)
    labels = _by_score(run, scores)
    weight = chunk.informative(labels, errors, np.ones(len(errors)))
    return run.serve([run.train(start, weight, left)], np.ones(len(errors), int))


def _our_pool(run: Run) -> Sampled:
    """The patches as this project trains on them: with real neighbours around, drawn by their error."""
    halo = len(run.backbone.graph.convolutions)
    inner = slice(HALO - halo, run.patches.lr.shape[1] - HALO + halo)
    errors = np.mean(np.square(run.stepper.residual / np.float32(64)), axis=(1, 2, 3), dtype=np.float64)
    pool = Pool(np.ascontiguousarray(run.patches.lr[:, inner, inner]), run.stepper.residual, sampling(errors))
    return Sampled(pool, np.ones(len(pool)), errors, run.patches.frame, float(errors.mean()))


def _our_net(run: Run, pool: Pool, budget: Budget, stage: str = "train") -> Net:
    """One net trained as this project does: L2, SOAP on whitened windows."""
    parameters = run.new()
    parameters[-2] *= 0
    net = Net(parameters[::2], parameters[1::2], run.patches.scale)
    return train(net, pool, budget, run.rng, threads=run.threads, progress=_noting(run, stage))


def _noting(run: Run, stage: str) -> Callable[[float, float], None]:
    """A progress(done, dB) whose dB are those of the curve: our training measures them anyway."""
    return lambda done, decibel: run.stepped(stage, lambda: float(decibel))


def _our_serving(run: Run, pool: Pool, nets: Sequence[Net], member: np.ndarray) -> Served:
    works = [Workspace() for _ in range(run.threads)]

    def outputs(number, index):
        tensors = [Tensor(p) for p in nets[number - 1].parameters]
        found = np.empty((len(index), *pool.residual.shape[1:]), np.float32)

        def share(thread):
            for at in range(thread, len(index), run.threads):
                x = batch_input(pool.lr, index[at:at + 1], INPUT_CENTRE, INPUT_UNIT, works[thread])
                y = convolutions(Tensor(x), *tensors, workspace=works[thread]).data.transpose(0, 2, 3, 1, 4)
                found[at] = y.reshape(*y.shape[:3], -1)[0, ..., :found.shape[-1]]

        list(run.stepper.executor.map(share, range(run.threads)))
        found *= np.float32(RESIDUAL_UNIT)
        return found

    return Served(outputs, member, len(nets), len(nets) * run.backbone.graph.parameters)


def our_net(run: Run) -> Served:
    """Ours with one net: what the training alone gains."""
    pool = _our_pool(run).pool
    return _our_serving(run, pool, [_our_net(run, pool, run.budget)], np.ones(len(pool), int))


def ours(run: Run) -> Served:
    """Ours: from chunks by score on, patches move to the net that serves them best while the nets train."""
    began, sampled = run.now(), _our_pool(run)
    pool, everything = sampled.pool, np.arange(len(sampled.pool))
    general = _our_net(run, pool, run.budget.part(WARM_UP), "warm-up")
    passed = time.monotonic()
    with Stepper(pool, run.threads) as stepper:
        errors = stepper.errors(general, everything)
    passed = time.monotonic() - passed
    labels = _by_score(run, psnr(np.maximum(errors, 1e-9), 1))
    left = run.left(began, run.budget.part(WARM_UP)).less(run.chunks * passed)  # in which patches choose at the end
    chunks = refine(Chunks.of(general, labels, errors), sampled, ROUNDS, left, run.rng, threads=run.threads,
                    progress=_noting(run, "refine"))
    with Stepper(pool, run.threads) as stepper:
        found = [stepper.errors(net, everything) for net in chunks.nets]
    return _our_serving(run, pool, chunks.nets, np.argmin([sampled.base_errors, *found], axis=0))


def is_chain(backbone: Backbone) -> bool:
    """Whether our engine can train it: a chain of convolutions on lr patches."""
    layers = backbone.graph.operations
    return not backbone.upscaled and all(isinstance(layer, Convolution) and layer.source == INPUT + number
                                         for number, layer in enumerate(layers))


METHODS = {"general": general, "awDNN": one_net, "NAS": nas, "CaFM": cafm, "EMT": emt, "STDO quantile": stdo_quantile,
           "STDO": stdo, "JSTDO": jstdo, "our net": our_net, "ours": ours}

OURS = ("our net", "ours")
