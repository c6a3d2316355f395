"""Which net each patch gets, against errors of frames upscaled whole."""

import numpy as np
import pytest

from stdo_min.algorithm.assign import assign
from stdo_min.algorithm.chunk import Cut
from stdo_min.algorithm.fitted import Fitted
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.score import scores
from stdo_min.format.classes import activity
from stdo_min.format.library import Upscaler, plane_shapes
from stdo_min.format.psnr import patch_pixels, squared_errors
from stdo_min.format.random_nets import random_net
from stdo_min.format.sidecar import Sidecar, of_nets, write
from stdo_min.video.read import Frame

HEADER = Sidecar(2, 0, 8, 1, 30, 20, 59, 39, ())
GRID = 3, 4
PIXELS, PATCHES = 5 * 59 * 39, 5 * 12
FREE = Price(10**12, PIXELS, PATCHES)  # an lr video so large that more bytes are worth nothing


@pytest.fixture(scope="module")
def nets():
    """A net that adds nothing, and one that adds noise; a third that adds nothing either."""
    rng = np.random.default_rng(1)
    noise = random_net(rng, 2, [(3, 4)], 3)
    silent = random_net(rng, 2, [(3, 4)], 3)
    for layer in silent.layers:
        layer.weight[:], layer.bias[:] = 0, 0
    return silent, noise, silent


def frames(nets, count=5):
    """Frames some of whose patches are just what the second net makes of them."""
    rng, pairs = np.random.default_rng(2), []
    upscaler = Upscaler(write(of_nets(HEADER, nets)))
    for index in range(count):
        lr = Frame(*(rng.integers(0, 256, shape).astype(np.uint8) for shape in plane_shapes(30, 20)))
        labels = np.zeros(GRID, np.uint8)
        labels[index % 3, 1:] = 2
        pairs.append((lr, Frame(*upscaler.upscale(0, labels, lr))))
    return pairs, upscaler


def errors_of(pairs, upscaler, label):
    return np.array([squared_errors(hr.y, upscaler.upscale(0, np.full(GRID, label, np.uint8), lr)[0], 16, GRID)
                     for lr, hr in pairs])


@pytest.mark.parametrize("threads", [1, 2])
def test_each_patch_gets_the_best(nets, threads):
    pairs, _ = frames(nets)
    done = []
    found = assign(iter(pairs), HEADER, Fitted(nets, "best"), FREE, threads, done.append)
    expected = np.zeros((5, *GRID), np.uint8)
    for index in range(5):
        expected[index, index % 3, 1:] = 1  # renumbered: of the nets only the second is used
    np.testing.assert_array_equal(found.labels, expected)
    assert found.nets == (nets[1],) and found.error == 0
    assert found.base_error == errors_of(*frames(nets), 0).sum()
    assert done == [1, 2, 3, 4, 5]


def test_one_net_serves_all_or_none(nets):
    pairs, upscaler = frames(nets)
    found = assign(iter(pairs), HEADER, Fitted((nets[1],), "all"), FREE)
    base, noise = errors_of(pairs, upscaler, 0).sum(), errors_of(pairs, upscaler, 2).sum()
    assert noise > base  # most patches are the base's own
    assert found.nets == () and not found.labels.any() and found.error == found.base_error == base
    noisy = [(lr, Frame(*upscaler.upscale(0, np.full(GRID, 2, np.uint8), lr))) for lr, _ in pairs]
    found = assign(iter(noisy), HEADER, Fitted((nets[1],), "all"), FREE)
    assert found.nets == (nets[1],) and np.all(found.labels == 1) and found.error == 0 < found.base_error


def test_patches_of_chunks_by_time_have_their_own_net_or_the_base(nets):
    pairs, upscaler = frames(nets)
    found = assign(iter(pairs), HEADER, Fitted((nets[1], nets[0]), "own", Cut(np.array([3.0]))), FREE)
    better = errors_of(pairs, upscaler, 2) < errors_of(pairs, upscaler, 0)
    better[3:] = False  # the second chunk's net is as good as the base, which is cheaper
    np.testing.assert_array_equal(found.labels, better.astype(np.uint8))
    assert found.nets == (nets[1],)


def test_patches_of_chunks_by_score_are_told_apart_by_the_scorer(nets):
    pairs, upscaler = frames(nets)
    pixels = patch_pixels(39, 59, 16, GRID)
    under = errors_of(pairs, upscaler, 2)
    values = scores(under / pixels, pixels)
    middle = float(np.median(values))
    found = assign(iter(pairs), HEADER, Fitted((nets[0], nets[1]), "own", Cut(np.array([middle])), nets[1]), FREE)
    better = (values >= middle) & (under < errors_of(pairs, upscaler, 0))
    np.testing.assert_array_equal(found.labels, better.astype(np.uint8))
    assert better.any() and not better.all()


def noisy_where(nets, chosen, rng):
    """Frames that are what the second net makes of some patches, and the base of the others, a little off."""
    upscaler, pairs = Upscaler(write(of_nets(HEADER, nets))), []
    for _ in range(5):
        lr = Frame(*(rng.integers(0, 256, shape).astype(np.uint8) for shape in plane_shapes(30, 20)))
        lr.y[:, :15] = lr.y[:, :15] // 16 + 100
        shown = Frame(*upscaler.upscale(0, np.where(chosen(lr), 2, 0).astype(np.uint8), lr))
        pairs.append((lr, shown._replace(y=np.clip(shown.y.astype(int) + rng.integers(-1, 2, shown.y.shape), 0,
                                                   255).astype(np.uint8))))
    return pairs


def test_nets_that_cost_more_than_they_save_are_left_out(nets):
    pairs = noisy_where(nets, lambda lr: np.arange(12).reshape(GRID) == 5, np.random.default_rng(3))
    found = assign(iter(pairs), HEADER, Fitted(nets, "best"), FREE)
    assert found.nets == (nets[1],) and found.labels.any()
    dear = assign(iter(pairs), HEADER, Fitted(nets, "best"), Price(1, PIXELS, PATCHES))
    assert dear.nets == () and not dear.labels.any() and dear.error == dear.base_error > found.error


def test_labels_that_follow_from_the_lr_frame_are_computed(nets):
    def active(lr):
        return activity(lr.y, HEADER.patch) >= 3000

    pairs = noisy_where(nets, active, np.random.default_rng(4))
    found = assign(iter(pairs), HEADER, Fitted(nets, "best"), Price(3000, PIXELS, PATCHES))
    assert found.classes is not None and found.nets == (nets[1],)
    for (lr, _), labels in zip(pairs, found.labels, strict=True):
        np.testing.assert_array_equal(found.classes.labels(activity(lr.y, HEADER.patch)), labels)
        np.testing.assert_array_equal(labels, active(lr).astype(np.uint8))


def test_labels_that_would_take_more_arithmetic_than_may_be_get_larger_rectangles():
    """Two nets, each the better one on every other patch: whole frames of one net take 4 * 64 products a pixel."""
    rng = np.random.default_rng(5)
    nets = tuple(random_net(rng, 2, [(3, 8)], 3) for _ in range(2))
    upscaler, pairs = Upscaler(write(of_nets(HEADER, nets))), []
    mixed = np.indices(GRID).sum(axis=0) % 2
    for _ in range(3):
        lr = Frame(*(rng.integers(0, 256, shape).astype(np.uint8) for shape in plane_shapes(30, 20)))
        pairs.append((lr, Frame(*upscaler.upscale(0, (1 + mixed).astype(np.uint8), lr))))
    pixels = HEADER.hr_width * HEADER.hr_height
    free = assign(iter(pairs), HEADER, Fitted(nets, "best"), FREE)
    np.testing.assert_array_equal(free.labels, np.broadcast_to(1 + mixed, free.labels.shape))
    taken = upscaler.products(0, free.labels[0])
    alone = upscaler.products(0, np.ones(GRID, np.uint8))
    assert taken > 1.05 * alone

    limit = 1.02 * alone / pixels
    bound = assign(iter(pairs), HEADER, Fitted(nets, "best"), FREE, max_mac=limit)
    found = Upscaler(write(of_nets(HEADER, bound.nets)))
    assert np.mean([found.products(0, labels) for labels in bound.labels]) <= 1.02 * alone
    assert free.error < bound.error <= bound.base_error
    wide = assign(iter(pairs), HEADER, Fitted(nets, "best"), FREE, max_mac=0.5 * limit)
    np.testing.assert_array_equal(wide.labels, free.labels)  # nets as wide as these were asked for
