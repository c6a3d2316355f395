"""Graphs: what they count, that C computes what NumPy computes, and that every tier gives the same floats."""

import numpy as np
import pytest
from stdo_min._stdo import ffi, lib
from test_autograd import numeric
from tiers import TRAINING_TIERS, require

from stdo_min.engine import autograd
from stdo_min.engine import graph as graphs
from stdo_min.engine.autograd import Tensor
from stdo_min.engine.backbones import BACKBONES, edsr, espcn, srcnn, vdsr, wdsr
from stdo_min.engine.blocks import MAX_CHANNELS, Blocks
from stdo_min.engine.convolution import BLOCK, Workspace
from stdo_min.engine.graph import INPUT, Graph
from stdo_min.engine.readable import Readable

SMALL = {"espcn": espcn(3), "srcnn": srcnn(2), "srcnn-955": srcnn(2, middle=5), "vdsr": vdsr(2, layers=4),
         "edsr": edsr(4, blocks=2, channels=16), "edsr x3": edsr(3, blocks=1, channels=16),
         "wdsr": wdsr(2, blocks=2, channels=16, wide=40)}


@pytest.mark.parametrize(("name", "scale", "planes", "parameters", "gigamacs"), [
    # STDO (arXiv 2303.08331) and the authors' code: 71,056 parameters; 9.18 GMAC from 480x270, which is 4.08 for 720p
    ("espcn", 4, 3, 71_056, 4.1),
    # Dong et al. 2016, weights alone: 8,032 and 57,184; Ahn et al. 2018 (arXiv 1803.08664), table 1: 57k, 52.7 G
    ("srcnn", 2, 1, 8_032 + 97, 7.4), ("srcnn-955", 2, 1, 57_184 + 97, 52.7),
    ("vdsr", 2, 1, 665_921, 612.6),  # Ahn et al.: 665k, 612.6 G
    # Lim et al. 2017: 1.37 M at scale 2; later tables: 1,370k 316.3 G, 1,555k 160.2 G, 1,518k 114.0 G
    ("edsr", 2, 3, 1_369_859, 316.2), ("edsr", 3, 3, 1_554_499, 160.3), ("edsr", 4, 3, 1_517_571, 114.2),
    ("wdsr", 2, 3, 1_187_484, 273.0), ("wdsr", 4, 3, 1_200_624, 69.0),  # Yu et al. 2018: 1.19 M, 1.20 M
])
def test_sizes_are_those_of_the_papers(name, scale, planes, parameters, gigamacs):
    backbone = BACKBONES[name](scale, planes)
    pixels = 1280 * 720 / (1 if backbone.upscaled else scale**2)  # mult-adds are told for a result of 720p
    assert backbone.graph.parameters == parameters
    assert sum(p.size for p in backbone.graph.new_parameters(np.random.default_rng(0))) == parameters
    assert round(backbone.graph.products * pixels / 1e9, 1) == gigamacs


def images(graph, seed=0, height=6, width=9):
    """A batch of two inputs, and a gradient of the result, float64 (C, N, H, W)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((graph.operations[0].inputs, 2, height, width))
    return x, rng.standard_normal((graph.outputs, 2, int(height * graph.size), int(width * graph.size)))


def random_parameters(graph):
    """As they begin, but no layer begins small, and biases are not 0."""
    rng = np.random.default_rng(1)
    return [p / np.sqrt(np.mean(p**2) * p[0].size) if p.ndim == 4 else
            rng.standard_normal(p.shape).astype(np.float32) * 0.1 for p in graph.new_parameters(rng)]


def by_numpy(graph, x, d_out):
    tensors = [Tensor(p.astype(np.float64), requires_grad=True) for p in random_parameters(graph)]
    y = graph.run(Readable, Tensor(x), tensors)
    y.backward(d_out)
    return y.data, [t.grad for t in tensors]


def by_c(graph, x, d_out, tier="c", runs=1):
    work = Workspace(tier)
    require(work.tier, tier)
    operations = Blocks(work)
    batch = np.ascontiguousarray(x.transpose(1, 2, 3, 0), np.float32)
    _, count, height, width = d_out.shape
    blocks = np.zeros((-(-graph.outputs // BLOCK) * BLOCK, *d_out.shape[1:]), np.float32)
    blocks[:graph.outputs] = d_out
    gradient = np.ascontiguousarray(blocks.reshape(-1, BLOCK, count, height, width).transpose(2, 0, 3, 4, 1))
    for _ in range(runs):
        tensors = [Tensor(p, requires_grad=True) for p in random_parameters(graph)]
        y = graph.run(operations, Tensor(batch), tensors)
        out = y.data.transpose(1, 4, 0, 2, 3).reshape(blocks.shape)[:graph.outputs].copy()
        y.backward(gradient)
    return out, [t.grad for t in tensors]


@pytest.mark.parametrize("name", SMALL)
def test_c_computes_what_numpy_computes(name):
    graph = SMALL[name].graph
    x, d_out = images(graph)
    (expected, expected_gradients), (found, gradients) = by_numpy(graph, x, d_out), by_c(graph, x, d_out, runs=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert len(gradients) == 2 * len(graph.convolutions)
    for one, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("tier", TRAINING_TIERS)
@pytest.mark.parametrize("width", [1, 4, 9, 23])
@pytest.mark.parametrize("name", ["edsr", "wdsr", "srcnn-955"])
def test_every_tier_gives_the_floats_of_plain_c(tier, name, width):
    graph = SMALL[name].graph
    x, d_out = images(graph, width, 3, width)
    for found, plain in zip(by_c(graph, x, d_out, tier), by_c(graph, x, d_out), strict=True):
        for a, b in zip(*(each if isinstance(each, list) else [each] for each in (found, plain)), strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_gradients_of_a_graph_with_every_operation():
    graph = Graph(1)
    x = graph.convolution(INPUT, 3)
    x = graph.sum(x, graph.convolution(graph.convolution(x, 4, relu=True), 3))
    graph.shuffle(graph.convolution(x, 64, kernel=1), 2)
    pixels, target = images(graph, height=3, width=2)
    arrays = [p.astype(np.float64) for p in random_parameters(graph)]

    def loss(*tensors):
        return autograd.l2(graph.run(Readable, Tensor(pixels), list(tensors)), Tensor(target))

    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    loss(*tensors).backward()
    for index, tensor in enumerate(tensors):
        np.testing.assert_allclose(tensor.grad, numeric(loss, arrays, index), rtol=1e-5, atol=1e-7)


def test_new_residual_blocks_hardly_change_what_they_read():
    graph = edsr(2).graph
    x, _ = images(graph, height=5, width=5)
    y = graph.run(Readable, Tensor(x), [Tensor(p) for p in graph.new_parameters(np.random.default_rng(3))])
    assert 0.01 < y.data.std() < 1


def test_relu_is_read_by_one_convolution_alone():
    graph = Graph(1)
    x = graph.convolution(INPUT, 4, relu=True)
    graph.convolution(x, 4)
    for read in (lambda: graph.convolution(x, 4), lambda: graph.sum(x, x), lambda: graph.shuffle(x, 2)):
        with pytest.raises(ValueError, match="operation 1 ends with ReLU"):
            read()


def two():
    """A graph with an operation of 16 channels and one of 64."""
    graph = Graph(3)
    graph.convolution(INPUT, 16)
    graph.convolution(1, 64)
    return graph


@pytest.mark.parametrize(("add", "said"), [
    (lambda graph: Graph(0), "the input has 0 channels"), (lambda graph: Graph(17), "the input has 17 channels"),
    (lambda graph: graph.convolution(1, 8, 4), "operation 3 has a kernel of 4 and 8 outputs"),
    (lambda graph: graph.convolution(1, 8, 11), "kernel of 11"),
    (lambda graph: graph.convolution(1, 0), "and 0 outputs"),
    (lambda graph: graph.convolution(3, 8), "no operation 3 yet"), (lambda graph: graph.sum(1, -1), "no operation -1"),
    (lambda graph: graph.sum(1, graph.convolution(1, 8)), "operations 1 and 3 give 16 .* and 8 channels"),
    (lambda graph: graph.sum(1, graph.shuffle(2, 2)), "at 1 times the input and 16 channels at 2 times"),
    (lambda graph: graph.sum(INPUT, graph.convolution(1, 3)), "convolutions alone may read the input"),
    (lambda graph: graph.shuffle(INPUT, 2), "convolutions alone may read the input"),
    (lambda graph: graph.shuffle(1, 2), "gives 16 channels; a shuffle by 2 needs a multiple of 64"),
    (lambda graph: graph.shuffle(2, 0), "a shuffle by 0"),
])
def test_what_not_both_can_compute_is_refused(add, said):
    graph = two()
    with pytest.raises(ValueError, match=said):
        add(graph)


def test_limits_are_those_of_c():
    assert graphs.BLOCK == BLOCK

    def runs(kernel, planes, channels):
        layer = ffi.new("stdo_train_layer *", (1, 8, 8, kernel, planes, channels, True, False, True))
        return lib.stdo_train_scratch_size(layer) > 0

    assert runs(graphs.MAX_KERNEL, graphs.MAX_PLANES, MAX_CHANNELS)
    assert not runs(graphs.MAX_KERNEL + 2, graphs.MAX_PLANES, MAX_CHANNELS)
    assert not runs(graphs.MAX_KERNEL, graphs.MAX_PLANES + 1, MAX_CHANNELS)
    assert not runs(graphs.MAX_KERNEL, graphs.MAX_PLANES, MAX_CHANNELS + 1)
    graph = Graph(1)
    graph.convolution(INPUT, MAX_CHANNELS + 1)
    weights = [Tensor(p) for p in graph.new_parameters(np.random.default_rng(0))]
    with pytest.raises(ValueError, match="operation 1 has 257 channels; in C it may have 256"):
        graph.run(Blocks(), Tensor(np.zeros((1, 4, 4, 1), np.float32)), weights)


def test_a_graph_that_ends_with_relu_is_refused():
    graph = Graph(1)
    graph.convolution(INPUT, 4, relu=True)
    weights = [Tensor(p) for p in graph.new_parameters(np.random.default_rng(0))]
    for operations, shape in ((Blocks(), (1, 4, 4, 1)), (Readable, (1, 1, 4, 4))):
        with pytest.raises(ValueError, match="the last operation ends with ReLU"):
            graph.run(operations, Tensor(np.zeros(shape, np.float32)), weights)


@pytest.mark.parametrize(("weight", "bias", "planes"), [
    ((16, 1, 3, 3), (16,), 2), ((16, 1, 3, 1), (16,), 1), ((16, 1, 3), (16,), 1), ((16, 1, 3, 3), (15,), 1),
    ((16, 1, 3, 3), (1, 16), 1),
])
def test_arrays_that_do_not_fit_are_refused(weight, bias, planes):
    graph = Graph(1)
    graph.convolution(INPUT, 16)
    with pytest.raises(ValueError, match="operation 1 has a weight"):
        graph.run(Blocks(), Tensor(np.zeros((1, 4, 4, planes), np.float32)),
                  [Tensor(np.zeros(shape, np.float32)) for shape in (weight, bias)])


def test_a_shuffle_of_parts_of_blocks_is_refused():
    with pytest.raises(ValueError, match="multiple of 64"):
        Blocks().shuffle(2, Tensor(np.zeros((1, 1, 4, 4, 16), np.float32)), 2)
