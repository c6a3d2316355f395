"""examples/stdo_from_scratch.py: it imports nothing of ours, and does as well as the engine in as many steps."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import write_raw
from threadpoolctl import threadpool_limits

from stdo_min.commands.demo import draw
from stdo_min.engine import autograd, readable
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.budget import Budget
from stdo_min.engine.net import new_net
from stdo_min.engine.pool import Pool
from stdo_min.engine.shuffle import unshuffle
from stdo_min.engine.train import train

SCRIPT = Path(__file__).parents[1] / "examples" / "stdo_from_scratch.py"
STEPS = 150


@pytest.fixture(scope="module")
def scratch():
    spec = importlib.util.spec_from_file_location("stdo_from_scratch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def frames():
    return np.array([frame.y for frame in draw(np.random.default_rng(0), 320, 160, 1, 6)])


def test_it_is_numpy_alone_and_short():
    tree = ast.parse(SCRIPT.read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"sys", "numpy"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert sum(bool(line.strip()) for line in SCRIPT.read_text().splitlines()) <= 150


def test_gradients_are_those_of_the_engines_autograd(scratch):
    rng = np.random.default_rng(0)
    lr, target = rng.uniform(0, 255, (1, 2, 12, 12)), rng.standard_normal((4, 2, 4, 4))
    net = [p + 0.1 * rng.standard_normal(p.shape) for p in scratch.new_net(rng)]
    matrix, mean = scratch.whitening(lr)

    values = [scratch.Value(p) for p in net]
    found = scratch.squared_error(scratch.forward(values, lr, (matrix, mean)), target)
    found.backward(1.0)
    first = net[0].reshape(len(net[0]), -1) @ matrix
    pixels = [first.reshape(net[0].shape), net[1] - (first @ mean)[:, 0], *net[2:]]  # weights of what is not whitened
    leaves = [Tensor(p, requires_grad=True) for p in pixels]
    loss = autograd.l2(readable.forward(leaves, Tensor((lr - 128) / 128)), Tensor(target))
    loss.backward()
    assert found.data == pytest.approx(float(loss.data), rel=1e-6)
    expected = [(leaves[0].grad.reshape(first.shape) @ matrix).reshape(net[0].shape), *(p.grad for p in leaves[1:])]
    # The windows' mean moves with the first weights, and the bias pulls it back.
    expected[0] -= (leaves[1].grad[:, None] * (matrix @ mean)[:, 0]).reshape(net[0].shape)
    for value, gradient in zip(values, expected, strict=True):
        assert np.abs(value.grad - gradient).max() < 1e-5 * np.abs(gradient).max() + 1e-7


def test_unshuffle_is_what_the_shuffle_undoes(scratch):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 80))
    assert np.array_equal(scratch.unshuffle(pixels), unshuffle(pixels, scratch.SCALE).transpose(3, 0, 1, 2))


def test_it_comes_within_0_3_db_of_the_engine_in_as_many_steps(scratch, frames):
    with threadpool_limits(1, "blas"):  # others of BLAS would wait busily on the core that the next test runs on
        base, general, chunks = scratch.overfit(frames, STEPS)
    assert general > base + 1
    assert chunks > general + 0.2
    engine_general, engine_chunks = _by_the_engine(scratch, frames)
    assert general > engine_general - 0.3
    assert chunks > engine_chunks - 0.3


def test_it_reads_a_y4m_file_and_says_what_it_gains(scratch, tmp_path):
    clip = list(draw(np.random.default_rng(0), 80, 40, 0.5, 8))
    path = write_raw(tmp_path / "clip.y4m", clip, coder=("-strict", "-1"))
    assert np.array_equal(scratch.read_luma(path), np.array([frame.y for frame in clip]))
    said = subprocess.run([sys.executable, SCRIPT, path, "30"], capture_output=True, check=True, text=True,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}).stdout
    base, general, chunks = (float(word) for word in said.replace(",", "").split() if word[0].isdigit())
    assert base < general < chunks


def _by_the_engine(scratch, frames):
    """The same with the engine's training, on the same patches, drawn alike, judged alike."""
    size = frames.shape[1:]
    small = np.clip(np.rint(scratch.resize(frames, (size[0] // 2, size[1] // 2))), 0, 255)
    lr, hr = scratch.cut(small[None], scratch.HALO), scratch.cut(scratch.unshuffle(frames), 0)
    base = scratch.cut(scratch.unshuffle(scratch.resize(small, size)), 0)
    residual = hr - base
    pool = Pool(lr[0].astype(np.uint8), np.rint(64 * residual).astype(np.int16).transpose(1, 2, 3, 0).copy(),
                np.square(residual).mean(axis=(0, 2, 3)) ** 0.5 + 1e-3)
    rng = np.random.default_rng(0)

    def trained(net, own):
        part = Pool(pool.lr[own], pool.residual[own], pool.weight[own])
        net = train(net, part, Budget(steps=STEPS), rng)
        return net, scratch.errors(net.parameters, lr[:, own], base[:, own], hr[:, own], None)

    general, of_general = trained(new_net(scratch.CHANNELS, 2, rng), np.arange(len(pool)))
    of_chunks, chunk = of_general.copy(), scratch.chunks_of(scratch.psnr(of_general))
    for number in np.unique(chunk):
        own = np.flatnonzero(chunk == number)
        of_chunks[own] = trained(general, own)[1]
    return scratch.psnr(of_general.mean()), scratch.psnr(of_chunks.mean())
