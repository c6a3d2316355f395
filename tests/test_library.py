"""The C library against the NumPy twin, byte for byte."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from make_corpus import CORPUS
from samples import random_frame, random_labels
from tiers import HERE

from stdo_min.format.base import SCALES
from stdo_min.format.classes import activity, read_classes
from stdo_min.format.library import Previous, Statistics, StdoError, Upscaler, ffi, lib, new_struct, plane_shapes
from stdo_min.format.net import Layer, Net
from stdo_min.format.random_nets import make_sidecar, random_chroma_net, random_net
from stdo_min.format.reference import upscale_frame
from stdo_min.format.sidecar import read, write

SHAPES = [  # scale, hidden layers (kernel, channels), kernel of the last layer
    (1, [], 1),
    (2, [], 9),
    (3, [(1, 1)], 1),
    (4, [(5, 16), (3, 16)], 3),
    (1, [(3, 8), (3, 8), (3, 8)], 3),
    (2, [(9, 3), (1, 64)], 5),
    (3, [(3, 64), (1, 33)], 3),
    (4, [(5, 7), (1, 17), (3, 5)], 1),
    (Fraction(3, 2), [(5, 8)], 3),
    (Fraction(3, 2), [(9, 16), (3, 16), (1, 3)], 5),
]
SIZES = [(8, 8), (9, 31), (33, 16), (40, 24), (47, 29)]  # lr width, height


def case(shape, size=(33, 21), patch=16, nets=2, *, seed=0, crop=(0, 0), chroma=0, colour=0):
    """Return a sidecar of one frame with random nets, its labels (all used where they fit), and an lr frame."""
    scale, hidden, last_kernel = shape
    if Fraction(scale).denominator > 1:  # which asks for even sizes and patches that are multiples of 4
        size, patch = tuple(side // 2 * 2 for side in size), -(-patch // 4) * 4
    rng = np.random.default_rng(seed)
    found = tuple(random_net(rng, scale, hidden, last_kernel, 3 if colour else 1) for _ in range(nets))
    labels = random_labels(rng, 1, size, patch, nets)
    sidecar = make_sidecar(scale, size, patch, [(found, labels)], crop=crop, chroma=chroma, colour=colour)
    return sidecar, labels[0], random_frame(rng, *size, colour)


def chroma_case(shape, size=(33, 21), patch=16, nets=1, *, hidden=((3, 4),), **more):
    """The same, with a net for chroma."""
    sidecar, labels, lr = case(shape, size, patch, nets, **more)
    net = random_chroma_net(np.random.default_rng(patch), sidecar.scale, list(hidden), shape[2])
    return replace(sidecar, segments=(replace(sidecar.segments[0], chroma=net),)), labels, lr


def assert_same(found, expected):
    for letter, a, b in zip("yuv", found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"plane {letter}")


def assert_c_is_reference(sidecar, labels, lr):
    data, expected = write(sidecar), upscale_frame(sidecar, 0, labels, lr)
    for tier in HERE:
        upscaler = Upscaler(data, tier)
        assert upscaler.tier == tier
        assert_same(upscaler.upscale(0, labels, lr), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_net_shapes(shape):
    for seed in range(3):
        assert_c_is_reference(*case(shape, seed=seed))


PAPER = (4, [(3, 64), (3, 64), (3, 32)], 3)


@pytest.mark.parametrize("shape", [*SHAPES[:4], PAPER, (2, [(3, 24), (5, 12)], 1)], ids=str)
def test_rgb(shape):
    assert_c_is_reference(*case(shape, colour=1, crop=(1, 0)))


@pytest.mark.parametrize("channels", [*range(1, 10), 15, 16, 17, 24, 31, 32, 48, 63, 64])
def test_widths(channels):
    assert_c_is_reference(*case((2, [(3, channels), (3, 4)], 1), (16, 9), 8, seed=channels))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("patch", [8, 11, 32, 128])
def test_sizes(size, patch):
    for seed, scale in enumerate(SCALES):
        crop = (2 * scale.numerator - 1, scale.numerator // 2)
        assert_c_is_reference(*case((scale, [(5, 4)], 3), size, patch, seed=seed, crop=crop, chroma=seed % 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("patch", [8, 11, 128])
def test_nets_for_chroma(size, patch):
    for seed, scale in enumerate(SCALES):
        crop = (2 * scale.numerator - 1, scale.numerator // 2)
        more = {"seed": seed, "crop": crop, "chroma": seed % 2, "hidden": [(5, 4), (3, 9)][: seed % 3]}
        assert_c_is_reference(*chroma_case((scale, [(5, 4)], 3), size, patch, seed % 2, **more))


def test_a_net_for_chroma_reads_luma_and_both_planes():
    sidecar, labels, lr = chroma_case((2, [(3, 4)], 3))
    upscaler, far = Upscaler(write(sidecar)), (12, 8)
    for plane, at in ((0, (24, 16)), (1, far), (2, far)):
        other = tuple(plane.copy() for plane in lr)
        other[plane][at[0] - 5:at[0] + 5, at[1] - 5:at[1] + 5] ^= 255
        for seen, was in zip(upscaler.upscale(0, labels, other)[1:], upscaler.upscale(0, labels, lr)[1:], strict=True):
            assert not np.array_equal(seen, was)


@pytest.mark.parametrize("weight", [-128, 127])
@pytest.mark.parametrize("bias", [-(2**30), 0, 2**30])
@pytest.mark.parametrize("shift", [0, 13, 24])
@pytest.mark.parametrize("multiplier", [1, 32767])
def test_worst_case_operands(weight, bias, shift, multiplier):
    def layer(kernel, out, inputs, sign):
        weights = np.full((out, kernel, kernel, inputs), weight if sign > 0 else -1 - weight, np.int8)
        return Layer(kernel, shift, np.full(out, multiplier, np.uint16), np.full(out, bias, np.int32), weights)

    # The second layer is as wide as the format allows, and the first saturates it: the largest sum there is.
    bright = Layer(1, 0, np.full(64, 32767, np.uint16), np.full(64, 2**30, np.int32), np.zeros((64, 1, 1, 1), np.int8))
    nets = (Net((layer(9, 4, 1, 1),)), Net((bright, layer(9, 4, 64, 1))), Net((layer(1, 9, 1, -1), layer(3, 4, 9, 1))))
    sidecar = make_sidecar(2, (24, 8), 8, [(nets, np.array([[[1, 2, 3]]], np.uint8))])
    for level in (0, 255):
        lr = tuple(np.full(shape, level, np.uint8) for shape in plane_shapes(24, 8))
        assert_c_is_reference(sidecar, np.array([[1, 2, 3]], np.uint8), lr)


def test_rounding_at_and_just_below_the_half():
    # bias * multiplier is 16383 or 16384 above a multiple of 32768; the second layer makes each unit some grey levels.
    pairs = [(1, 16383), (1, 16384), (3, 5461), (2, 8192), (23, 2137), (6, 8192), (-1, 16384), (-1, 16385)] * 2
    bias, multiplier = np.array(pairs, np.int32).T
    first = Layer(1, 0, multiplier.astype(np.uint16), bias.copy(), np.zeros((16, 1, 1, 1), np.int8))
    weight = (127 * np.eye(16)).astype(np.int8).reshape(16, 1, 1, 16)
    second = Layer(1, 0, np.full(16, 32767, np.uint16), np.full(16, 2, np.int32), weight)
    labels = np.ones((1, 1, 1), np.uint8)
    sidecar = make_sidecar(4, (8, 8), 8, [((Net((first, second)),), labels)])
    lr = tuple(np.full(shape, 100, np.uint8) for shape in plane_shapes(8, 8))
    assert_c_is_reference(sidecar, labels[0], lr)
    y = Upscaler(write(sidecar)).upscale(0, labels[0], lr)[0]
    assert y[:4, :4].ravel().tolist() == [100, 102, 100, 102, 102, 104, 100, 100] * 2


@pytest.mark.parametrize(("shape", "planes"), [((2, [(5, 4)], 3), 1), ((Fraction(3, 2), [(3, 4)], 3), 1),
                                              ((4, [(3, 4)], 1), 3)])
def test_products_are_those_of_each_rectangle_with_what_later_layers_read(shape, planes):
    (sidecar, labels, _), patch = case(shape, (48, 32), 16, colour=int(planes > 1)), 16
    upscaler, net_patch = Upscaler(write(sidecar)), sidecar.net_side
    (first, last), k = sidecar.segments[0].nets[0].layers, sidecar.segments[0].nets[0].kernels[1] - 1
    assert labels.shape == (2, 3) and patch == sidecar.patch

    def of(width, height):
        return (width + k) * (height + k) * first.weight.size + width * height * last.weight.size

    assert upscaler.products(0, np.zeros((2, 3), np.uint8)) == 0
    assert upscaler.products(0, np.ones((2, 3), np.uint8)) == of(3 * net_patch, 2 * net_patch)
    mixed = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
    assert upscaler.products(0, mixed) == 2 * of(net_patch, net_patch) + of(2 * net_patch, net_patch)
    with pytest.raises(StdoError, match="label"):
        upscaler.products(0, np.full((2, 3), 9, np.uint8))


def test_products_of_a_net_for_chroma_are_those_of_all_of_u_and_v():
    sidecar, labels, _ = chroma_case((2, [(3, 4)], 3), (48, 32), 16)
    net = sidecar.segments[0].chroma
    (first, last), k = net.layers, net.kernels[1] - 1
    expected = (24 + k) * (16 + k) * first.weight.size + 24 * 16 * last.weight.size
    assert Upscaler(write(sidecar)).products(0, np.zeros_like(labels)) == expected


def test_patches_of_one_net_give_the_whole_frame():
    whole, labels, lr = case((3, [(5, 8), (3, 8)], 3), (50, 37), 128, nets=1)
    expected = Upscaler(write(whole)).upscale(0, np.ones_like(labels), lr)
    for patch in (8, 13, 36):
        tiled = replace(whole, patch=patch)
        labels = np.ones((tiled.rows, tiled.columns), np.uint8)
        assert_same(Upscaler(write(tiled)).upscale(0, labels, lr), expected)


@pytest.mark.parametrize("tier", HERE)
@pytest.mark.parametrize("scale, colour", [(1, 0), (Fraction(3, 2), 0), (4, 0), (2, 1)])
def test_maps_in_pieces_and_strips_of_any_width_change_no_byte(tier, scale, colour):
    """Gaps between patches of a net are computed where this costs less: with kernels of 9 on every tier."""
    sidecar, any_labels, lr = case((scale, [(9, 4), (9, 4)], 9), (170, 62), 8, nets=3, colour=colour)
    rng, shape = np.random.default_rng(1), any_labels.shape
    y, x = np.indices(shape)
    stripes, sparse = 1 + x // 2 % 3, np.where(rng.random(shape) < 0.1, 2, 1)
    for labels in ((x + y) % 2 + 1, rng.integers(0, 4, shape), stripes, sparse):
        labels = labels.astype(np.uint8)
        expected = upscale_frame(sidecar, 0, labels, lr)
        for strip in (0, 1, 4000):
            assert_same(Upscaler(write(sidecar), tier, strip).upscale(0, labels, lr), expected)


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("ok.*.stdo")))
def test_corpus(name):
    data = (CORPUS / name).read_bytes()
    sidecar, upscaler = read(data), Upscaler(data)
    lr = random_frame(np.random.default_rng(0), sidecar.lr_width, sidecar.lr_height)
    for frame in range(sidecar.frames):
        segment, labels = upscaler.segment_of(frame), upscaler.labels(frame, lr[0])
        if sidecar.segments[segment].computed:
            data = sidecar.segments[segment].map_data, len(sidecar.segments[segment].nets)
            np.testing.assert_array_equal(labels, read_classes(*data).labels(activity(lr[0], sidecar.patch)))
            with pytest.raises(StdoError, match="NULL"):
                upscaler.labels(frame)
        assert_same(upscaler.upscale(segment, labels, lr), upscale_frame(sidecar, segment, labels, lr))


def test_the_comparison_can_fail():
    sidecar, labels, lr = case(SHAPES[3])
    wrong = upscale_frame(sidecar, 0, labels, lr)
    wrong[0][-1, -1] ^= 1
    with pytest.raises(AssertionError, match="plane y"):
        assert_same(Upscaler(write(sidecar)).upscale(0, labels, lr), wrong)


def next_frame(rng, lr, labels, nets):
    """A frame in which a few samples and labels differ from the one given."""
    planes = [plane.copy() for plane in lr]
    for plane in planes:
        y, x = rng.integers(0, plane.shape[0]), rng.integers(0, plane.shape[1])
        plane[y : y + 2, x : x + 3] ^= 5
    labels = labels.copy()
    labels.flat[rng.integers(0, labels.size)] = rng.integers(0, nets + 1)
    return tuple(planes), labels


@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("scale", [Fraction(3, 2), Fraction(2)])
@pytest.mark.parametrize(("patch", "size"), [(8, (71, 40)), (9, (64, 45)), (13, (40, 66))])
def test_reuse_changes_no_byte_and_is_counted(patch, size, scale, colour):
    sidecar, labels, lr = case((scale, [(5, 4)], 3), size, patch, seed=patch, crop=(1, 3), chroma=1, colour=colour)
    data, rng = write(sidecar), np.random.default_rng(patch)
    upscaler, plain = Upscaler(data), Upscaler(data)
    out, previous = upscaler.upscale(0, labels, lr), Previous(0, labels, lr)
    reused = 0
    with ThreadPoolExecutor(2) as executor:
        for threads in (1, 2, 1, 2, 1):
            lr, labels = next_frame(rng, lr, labels, 2)
            upscaler.statistics = Statistics()
            upscaler.upscale(0, labels, lr, out, executor, threads, previous)
            assert_same(out, plain.upscale(0, labels, lr))
            done = upscaler.statistics
            assert done.net + done.base + done.reused == labels.size
            assert done.reused > labels.size // 2
            reused += done.reused
            previous = Previous(0, labels, lr)
    assert reused < 5 * labels.size


@pytest.mark.parametrize("scale", [Fraction(3, 2), Fraction(2)])
@pytest.mark.parametrize(("patch", "size"), [(8, (71, 40)), (9, (64, 45)), (13, (40, 66))])
def test_chroma_of_a_net_is_reused_where_luma_too_is_unchanged(patch, size, scale):
    sidecar, labels, lr = chroma_case((scale, [(5, 4)], 3), size, patch, seed=patch, crop=(1, 3), chroma=1)
    upscaler, rng = Upscaler(write(sidecar)), np.random.default_rng(patch)
    out = upscaler.upscale(0, labels, lr)
    for changed in (0, 1, 2, 0, 1, 2):
        before, lr = lr, tuple(plane.copy() for plane in lr)
        y, x = (int(rng.integers(side)) for side in lr[changed].shape)
        lr[changed][y, x] ^= 9
        expected, marked = upscaler.upscale(0, labels, lr), tuple(plane ^ 1 for plane in out)
        shown = upscaler.upscale(0, labels, lr, tuple(plane.copy() for plane in marked),
                                 previous=Previous(0, labels, before))
        for plane, right, mark in zip(shown[1:], expected[1:], marked[1:], strict=True):
            kept = plane != right  # these are as they were, mark and all, and were right
            assert 0.3 < kept.mean() < 1
            np.testing.assert_array_equal(plane[kept], mark[kept])
            np.testing.assert_array_equal(plane[kept] ^ 1, right[kept])
        out = expected


def test_a_change_of_segment_reuses_nothing():
    rng = np.random.default_rng(3)
    labels = np.ones((1, 2, 2), np.uint8)
    segments = [((random_net(rng, 2, [(3, 4)], 1),), labels) for _ in range(2)]
    upscaler = Upscaler(write(make_sidecar(2, (16, 16), 8, segments)))
    lr = random_frame(rng, 16, 16)
    out = upscaler.upscale(0, labels[0], lr)
    expected = upscaler.upscale(1, labels[0], lr)
    upscaler.upscale(1, labels[0], lr, out, previous=Previous(0, labels[0], lr))
    assert_same(out, expected)
    assert upscaler.statistics == Statistics(net=12)


def test_reuse_reads_the_previous_frame_from_other_planes():
    sidecar, labels, lr = case((3, [(3, 5)], 3), (40, 40), 8, crop=(4, 2))
    expected = upscale_frame(sidecar, 0, labels, lr)
    old_lr, new_lr = Guarded(plane_shapes(40, 40), 1), Guarded(plane_shapes(40, 40), 2, upwards=True)
    shapes = plane_shapes(sidecar.hr_width, sidecar.hr_height)
    old_hr, new_hr = Guarded(shapes, 3), Guarded(shapes, 4, upwards=True)
    for guarded, planes in ((old_lr, lr), (new_lr, lr), (old_hr, expected)):
        for plane, pixels in zip(guarded.planes, planes, strict=True):
            plane[:] = pixels
    handle = ffi.new("stdo_sidecar **")
    data = write(sidecar)
    assert lib.stdo_open_memory(data, len(data), ffi.NULL, handle) == lib.STDO_OK
    c_sidecar = ffi.gc(handle[0], lib.stdo_close)
    own_labels, old_labels = (ffi.new("uint8_t[]", labels.tobytes()) for _ in range(2))
    images = [old_lr.image("stdo_const_image *"), old_hr.image("stdo_const_image *")]
    previous = new_struct("stdo_previous", labels=old_labels, lr=images[0][0], hr=images[1][0])
    done, scratch = new_struct("stdo_statistics"), ffi.new("uint8_t[]", lib.stdo_scratch_size(c_sidecar))
    frame = new_struct("stdo_frame", labels=own_labels, lr=new_lr.image("stdo_const_image *")[0],
                       hr=new_hr.image("stdo_image *")[0], previous=previous)
    assert lib.stdo_upscale_rows(c_sidecar, frame, 0, sidecar.rows, scratch, done) == lib.STDO_OK
    assert_same(new_hr.planes, expected)
    new_hr.assert_guards_untouched()
    assert (done.net, done.base, done.reused) == (0, 0, labels.size)


# ---- Surfaces that are written in turn ----


def opened(sidecar, tiers=""):
    """The C library's handle of a sidecar, and scratch."""
    data, handle = write(sidecar), ffi.new("stdo_sidecar **")
    assert lib.stdo_open_memory(data, len(data), tiers.encode(), handle) == lib.STDO_OK
    handle = ffi.gc(handle[0], lib.stdo_close)
    return handle, ffi.new("uint8_t[]", lib.stdo_scratch_size(handle))


def planes_image(struct, planes):
    pointers = [ffi.cast("uint8_t *", plane.ctypes.data) for plane in planes]
    return ffi.new(struct, {"plane": pointers, "stride": [plane.strides[0] for plane in planes]})


class Ring:
    """A caller with surfaces that it writes in turn; what frames leave behind in them stays there."""

    def __init__(self, sidecar, surfaces):
        self.sidecar, (self.handle, self.scratch) = sidecar, opened(sidecar)
        shapes = plane_shapes(sidecar.hr_width, sidecar.hr_height, sidecar.colour)
        self.surfaces = [tuple(np.full(shape, 99, np.uint8) for shape in shapes) for _ in range(surfaces)]
        self.ages = np.full((sidecar.rows, sidecar.columns), 77, np.uint8)  # which nobody reads at first
        self.frames, self.before = 0, None

    def upscale(self, labels, lr, cuts=()):
        hr, labels = self.surfaces[self.frames % len(self.surfaces)], np.ascontiguousarray(labels)
        old_labels, old_lr, old_hr = self.before or (labels, lr, hr)
        previous = new_struct("stdo_previous", labels=ffi.from_buffer("uint8_t[]", old_labels),
                              lr=planes_image("stdo_const_image *", old_lr)[0],
                              hr=planes_image("stdo_const_image *", old_hr)[0])
        frame = new_struct("stdo_frame", labels=ffi.from_buffer("uint8_t[]", labels),
                           lr=planes_image("stdo_const_image *", lr)[0], hr=planes_image("stdo_image *", hr)[0],
                           previous=previous if self.before else ffi.NULL,
                           ages=ffi.from_buffer("uint8_t[]", self.ages, require_writable=True),
                           hr_age=len(self.surfaces) if self.frames >= len(self.surfaces) else 0)
        done = new_struct("stdo_statistics")
        for begin, end in pairwise([0, *cuts, self.sidecar.rows]):
            assert lib.stdo_upscale_rows(self.handle, frame, begin, end, self.scratch, done) == lib.STDO_OK
        self.frames, self.before = self.frames + 1, (labels, lr, hr)
        return hr, done


@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("surfaces", [1, 2, 3, 5])
def test_surfaces_written_in_turn_hold_the_same_bytes(surfaces, colour):
    """Frames in which most of the picture stands still, in parts that change from frame to frame."""
    for scale, patch, size in ((2, 9, (64, 45)), (Fraction(3, 2), 8, (72, 40))):
        sidecar, labels, lr = case((scale, [(5, 4)], 3), size, patch, seed=patch, crop=(1, 3), chroma=1, colour=colour)
        ring, plain, rng = Ring(sidecar, surfaces), Upscaler(write(sidecar)), np.random.default_rng(surfaces)
        expected_ages = np.zeros_like(ring.ages, dtype=int)
        for number in range(12):
            old_lr, old_labels = lr, labels
            if number > 0 and rng.random() < 0.7:  # or a frame that is the one before
                lr, labels = next_frame(rng, lr, labels, 2)
            hr, done = ring.upscale(labels, lr, sorted(rng.integers(0, sidecar.rows + 1, 2).tolist()))
            assert_same(hr, plain.upscale(0, labels, lr))
            same = labels == old_labels
            still = all(np.array_equal(a, b) for a, b in zip(lr, old_lr, strict=True))
            assert number == 0 or not still or (ring.ages[same] > 0).all()
            expected_ages = np.where(ring.ages > 0, expected_ages + 1, 0)
            np.testing.assert_array_equal(ring.ages, expected_ages)
            assert (ring.ages == 0).sum() >= done.net + done.base
            assert number > 0 or (ring.ages == 0).all()
            assert (ring.ages[~same] == 0).all()


@pytest.mark.parametrize("surfaces", [1, 3])
def test_what_a_surface_holds_is_neither_computed_nor_copied(surfaces):
    """Where the frame before is damaged, only what is copied from it shows that."""
    sidecar, labels, lr = case((2, [(3, 4)], 3), (40, 24), 8)
    expected = upscale_frame(sidecar, 0, labels, lr)
    ring = Ring(sidecar, surfaces)
    for number in range(surfaces + 2):
        if number > 0:
            ring.before = (*ring.before[:2], tuple(plane.copy() for plane in ring.before[2]))
            for plane in ring.before[2]:
                plane ^= 0xFF if number >= surfaces else 0  # every patch has been here since it was computed
        hr, done = ring.upscale(labels, tuple(plane.copy() for plane in lr))
        assert_same(hr, expected)
        assert done.reused == (labels.size if number else 0)
    ring.frames = 0  # as if nothing were known of the surface
    ring.before[2][0][:] = 7
    hr, _ = ring.upscale(labels, lr)
    assert (hr[0] == 7).all()


def test_ages_end_at_255_and_hr_age_needs_them():
    sidecar, labels, lr = case((2, [], 1), (16, 16), 8, nets=1)
    ring = Ring(sidecar, 2)
    for _ in range(260):
        hr, _ = ring.upscale(labels, lr)
    assert (ring.ages == 255).all()
    assert_same(hr, upscale_frame(sidecar, 0, labels, lr))
    images = {"lr": planes_image("stdo_const_image *", lr)[0], "hr": planes_image("stdo_image *", hr)[0]}
    frame = new_struct("stdo_frame", labels=ffi.from_buffer("uint8_t[]", labels), hr_age=2, **images)
    assert lib.stdo_upscale_rows(ring.handle, frame, 0, 1, ring.scratch, ffi.NULL) == lib.STDO_ERROR_ARGUMENT


# ---- U and V in turns ----


class InTurns:
    """An image with U and V in turns, NV12 or NV21, inside larger arrays whose other bytes are `fill`."""

    def __init__(self, width, height, fill, *, v_first=False, upwards=False):
        half_height, half_width = plane_shapes(width, height)[1]
        self.luma = Guarded([(height, width)], fill, upwards)
        self.both = Guarded([(half_height, 2 * half_width)], fill, upwards)
        u, v = self.both.planes[0][:, 0::2], self.both.planes[0][:, 1::2]
        self.planes = (self.luma.planes[0], v, u) if v_first else (self.luma.planes[0], u, v)

    def image(self, struct):
        image = planes_image(struct, self.planes)
        image.chroma_step = 2
        return image

    def assert_guards_untouched(self):
        self.luma.assert_guards_untouched()
        self.both.assert_guards_untouched()


def filled(image, planes):
    for plane, pixels in zip(image.planes, planes, strict=True):
        plane[:] = pixels
    return image


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize(("patch", "size"), [(8, (29, 31)), (9, (70, 27)), (64, (9, 9)), (64, (70, 76))])
@pytest.mark.parametrize("of", [case, chroma_case], ids=["base", "net"])
def test_u_and_v_in_turns(scale, patch, size, of):
    """NV12 and NV21, read, written or both, in calls for parts of the rows: the planes that FORMAT.md says."""
    crop = (2 * scale.numerator - 1, 1)
    sidecar, labels, lr = of((scale, [(3, 4)], 3), size, patch, seed=patch, crop=crop, chroma=1)
    size, shape = (sidecar.lr_width, sidecar.lr_height), (sidecar.hr_width, sidecar.hr_height)
    expected, rng = upscale_frame(sidecar, 0, labels, lr), np.random.default_rng(patch)
    for tier in HERE:
        handle, scratch = opened(sidecar, tier)
        assert ffi.string(lib.stdo_tier(handle)).decode() == tier
        for number, kinds in enumerate([(1, 0), (0, 1), (1, 1), (2, 2), (2, 1)]):
            def image(kind, width, height, fill, upwards=number % 2 == 1):
                if kind == 0:
                    return Guarded(plane_shapes(width, height), fill, upwards)
                return InTurns(width, height, fill, v_first=kind == 2, upwards=upwards)

            source, target = filled(image(kinds[0], *size, 7), lr), image(kinds[1], *shape, 200)
            frame = new_struct("stdo_frame", labels=ffi.from_buffer("uint8_t[]", labels),
                               lr=source.image("stdo_const_image *")[0], hr=target.image("stdo_image *")[0])
            for begin, end in pairwise(sorted({0, int(rng.integers(sidecar.rows)), sidecar.rows})):
                assert lib.stdo_upscale_rows(handle, frame, begin, end, scratch, ffi.NULL) == lib.STDO_OK
            assert_same(target.planes, expected)
            target.assert_guards_untouched()


@pytest.mark.parametrize("kinds", [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("of", [case, chroma_case], ids=["base", "net"])
def test_reuse_of_u_and_v_in_turns(kinds, of):
    """From surfaces written in turn; chroma of a patch may change without its luma, and U without V."""
    sidecar, labels, lr = of((2, [(3, 4)], 3), (70, 45), 9, crop=(1, 3), chroma=1)
    plain, (handle, scratch), rng = Upscaler(write(sidecar)), opened(sidecar), np.random.default_rng(1)
    shape = (sidecar.hr_width, sidecar.hr_height)

    def image(kind, width, height):
        return InTurns(width, height, 5, v_first=kind == 2) if kind else Guarded(plane_shapes(width, height), 5)

    surfaces, ages, before = [image(kinds[1], *shape) for _ in range(2)], np.zeros_like(labels), None
    kept, done, alive = 0, new_struct("stdo_statistics"), []
    view = ffi.from_buffer("uint8_t[]", labels)
    for number in range(10):
        if number % 3:
            lr = tuple(plane.copy() for plane in lr)
            plane = lr[number % 3]  # U or V
            plane[rng.integers(plane.shape[0]), rng.integers(plane.shape[1])] ^= 9
        source, target = filled(image(kinds[0], 70, 45), lr), surfaces[number % 2]
        previous = new_struct("stdo_previous", labels=view, lr=before[0], hr=before[1]) if before else ffi.NULL
        frame = new_struct("stdo_frame", labels=view, lr=source.image("stdo_const_image *")[0],
                           hr=target.image("stdo_image *")[0], previous=previous, hr_age=2 if number > 1 else 0,
                           ages=ffi.from_buffer("uint8_t[]", ages, require_writable=True))
        assert lib.stdo_upscale_rows(handle, frame, 0, sidecar.rows, scratch, done) == lib.STDO_OK
        assert_same(target.planes, plain.upscale(0, labels, lr))
        kept += int((ages > 0).sum())
        before = source.image("stdo_const_image *")[0], target.image("stdo_const_image *")[0]
        alive.append(source)  # whose planes are read once more
    assert done.reused == 9 * labels.size  # luma never changed
    assert 8 * labels.size < kept < 9 * labels.size


def test_steps_that_are_none():
    sidecar, labels, _ = case((2, [], 1), (16, 16), 8, nets=1)
    rgb = case((2, [], 1), (16, 16), 8, nets=1, colour=1)[0]
    buffer = ffi.new("uint8_t[]", 4096)

    def status(sidecar, step, apart=1, strides=(0, 0, 0), **more):
        handle, scratch = opened(sidecar)
        image = {"plane": [buffer, buffer + 9, buffer + 9 + apart], "stride": strides, "chroma_step": step}
        frame = new_struct("stdo_frame", **{"labels": ffi.from_buffer("uint8_t[]", labels), "lr": image, "hr": image,
                                            **more})
        return lib.stdo_upscale_rows(handle, frame, 0, 0, scratch, ffi.NULL)

    assert {status(sidecar, 0), status(sidecar, 1), status(sidecar, 2), status(sidecar, 2, -1), status(rgb, 1)} == {
        lib.STDO_OK}
    planar = {"plane": [buffer] * 3}
    previous = new_struct("stdo_previous", labels=buffer, lr=planar, hr=planar)
    assert {status(sidecar, 3), status(sidecar, 2, 2), status(sidecar, 2, 1, (0, 0, 1)), status(rgb, 2),
            status(sidecar, 2, previous=previous)} == {lib.STDO_ERROR_ARGUMENT}

    def after(first, second):
        """The status of a frame in turns, where the one before had U and V at these places."""
        pair = {"plane": [buffer, buffer + first, buffer + second], "stride": (0, 0, 0), "chroma_step": 2}
        return status(sidecar, 2, previous=new_struct("stdo_previous", labels=buffer, lr=pair, hr=pair))

    assert after(9, 10) == lib.STDO_OK and after(10, 9) == lib.STDO_ERROR_ARGUMENT


# ---- The call itself, through cffi ----


class Guarded:
    """Planes inside larger arrays whose other bytes are `fill`; rows may run upwards."""

    def __init__(self, shapes, fill, upwards=False):
        self.outer = [np.full((h + 6, w + 10), fill, np.uint8) for h, w in shapes]
        self.planes = [outer[3:-3, 5:-5][:: -1 if upwards else 1] for outer in self.outer]
        self.fill = fill

    def image(self, struct):
        pointers = [ffi.cast("uint8_t *", plane.ctypes.data) for plane in self.planes]
        return ffi.new(struct, {"plane": pointers, "stride": [plane.strides[0] for plane in self.planes]})

    def assert_guards_untouched(self):
        for outer in self.outer:
            margin = outer.copy()
            margin[3:-3, 5:-5] = self.fill
            assert (margin == self.fill).all()


def raw_upscale(data, labels, lr, hr, ranges, scratch_offset=0):
    """Return the statuses of one call for each range of patch rows."""
    handle = ffi.new("stdo_sidecar **")
    assert lib.stdo_open_memory(data, len(data), b"", handle) == lib.STDO_OK
    sidecar = ffi.gc(handle[0], lib.stdo_close)
    size = lib.stdo_scratch_size(sidecar)
    scratch = ffi.new("uint8_t[]", b"\xa5" * (size + scratch_offset + 16))
    own_labels = ffi.new("uint8_t[]", labels.tobytes())
    frame = new_struct("stdo_frame", labels=own_labels, lr=lr.image("stdo_const_image *")[0],
                       hr=hr.image("stdo_image *")[0])
    results = [lib.stdo_upscale_rows(sidecar, frame, *rows, scratch + scratch_offset, ffi.NULL) for rows in ranges]
    tail = bytes(ffi.buffer(scratch + scratch_offset + size, 16))
    assert tail == b"\xa5" * 16
    return results


@pytest.mark.parametrize("upwards", [False, True])
@pytest.mark.parametrize(("patch", "size"), [(8, (29, 31)), (9, (24, 27)), (11, (17, 47)), (64, (9, 9))])
@pytest.mark.parametrize("served", [False, True], ids=["base", "chroma net"])
def test_any_split_of_rows_writes_every_sample_once_and_nothing_else(patch, size, upwards, served):
    of = chroma_case if served else case
    sidecar, labels, frame = of((3, [(3, 5)], 3), size, patch, seed=patch, crop=(4, 5), chroma=1)
    data, expected = write(sidecar), upscale_frame(sidecar, 0, labels, frame)
    rng = np.random.default_rng(patch)
    for _ in range(4):
        cuts = sorted({0, sidecar.rows, *rng.integers(0, sidecar.rows + 1, 3).tolist()})
        times_written = [np.zeros(plane.shape, int) for plane in expected]
        for rows in pairwise(cuts):
            # What two calls into frames of other content agree on was written; what surrounds lr must not matter.
            results = []
            for fill in (0, 255):
                lr = Guarded(plane_shapes(*size), 255 - fill, upwards)
                for plane, pixels in zip(lr.planes, frame, strict=True):
                    plane[:] = pixels
                hr = Guarded(plane_shapes(sidecar.hr_width, sidecar.hr_height), fill, upwards)
                assert raw_upscale(data, labels, lr, hr, [rows], int(rng.integers(64))) == [lib.STDO_OK]
                hr.assert_guards_untouched()
                results.append(hr.planes)
            for count, black, white, pixels in zip(times_written, *results, expected, strict=True):
                written = black == white
                np.testing.assert_array_equal(black[written], pixels[written])
                count += written
        assert all((count == 1).all() for count in times_written)


def test_refusals_leave_the_frame_alone():
    sidecar, labels, _ = case((2, [], 3), (20, 20), 8)
    lr, hr = Guarded(plane_shapes(20, 20), 0), Guarded(plane_shapes(40, 40), 7)
    rows = sidecar.rows
    too_great = labels.copy()
    too_great[1, 1] = 3
    assert raw_upscale(write(sidecar), too_great, lr, hr, [(0, rows)]) == [lib.STDO_ERROR_LABEL_RANGE]
    wrong = [(0, rows + 1), (2, 1), (2**32 - 1, 2**32 - 1)]
    assert raw_upscale(write(sidecar), labels, lr, hr, wrong) == [lib.STDO_ERROR_ROW_RANGE] * 3
    assert raw_upscale(write(sidecar), labels, lr, hr, [(0, 0), (rows, rows)]) == [lib.STDO_OK] * 2
    assert all((plane == 7).all() for plane in hr.outer)


def test_null_is_refused():
    sidecar, segment = ffi.new("stdo_sidecar **"), new_struct("stdo_segment_info")
    argument = lib.STDO_ERROR_ARGUMENT
    assert lib.stdo_open_memory(ffi.NULL, 0, b"", sidecar) == argument
    assert lib.stdo_open_memory(b"", 0, b"", ffi.NULL) == argument
    assert lib.stdo_get_info(ffi.NULL, new_struct("stdo_info")) == argument
    assert lib.stdo_map_new(ffi.NULL, ffi.new("stdo_map **")) == argument
    assert lib.stdo_map_read(ffi.NULL, 0, ffi.NULL, ffi.new("uint8_t *")) == argument
    assert lib.stdo_scratch_size(ffi.NULL) == 0
    lib.stdo_close(ffi.NULL)
    lib.stdo_map_free(ffi.NULL)
    data = write(case(SHAPES[0])[0])
    assert lib.stdo_open_memory(data, len(data), b"", sidecar) == lib.STDO_OK
    assert lib.stdo_get_segment(sidecar[0], 1, segment) == lib.STDO_ERROR_SEGMENT_RANGE
    scratch = ffi.new("uint8_t[]", lib.stdo_scratch_size(sidecar[0]))
    for frame in (ffi.NULL, new_struct("stdo_frame"), new_struct("stdo_frame", labels=scratch)):
        assert lib.stdo_upscale_rows(sidecar[0], frame, 0, 0, scratch, ffi.NULL) == argument
    lib.stdo_close(sidecar[0])


# ---- The Python wrapper ----


def test_threads_give_the_same_frame():
    sidecar, labels, lr = case((2, [(3, 6)], 3), (70, 90), 9)
    upscaler = Upscaler(write(sidecar))
    expected = upscaler.upscale(0, labels, lr)
    with ThreadPoolExecutor(3) as executor:
        for threads in (1, 2, 3, 100):
            out = tuple(np.full_like(plane, 9) for plane in expected)
            assert upscaler.upscale(0, labels, lr, out, executor, threads) is out
            assert_same(out, expected)


def test_wrapper_refuses_with_value_and_limit():
    sidecar, labels, lr = case((2, [], 1), (20, 20), 8)
    upscaler = Upscaler(write(sidecar))
    with pytest.raises(ValueError, match="a strip of -1 bytes"):
        Upscaler(write(sidecar), strip=-1)
    with pytest.raises(ValueError, match=r"labels is uint8 \(2, 3\); it must be uint8 \(3, 3\)"):
        upscaler.upscale(0, labels[:2], lr)
    with pytest.raises(ValueError, match="lr y is int32"):
        upscaler.upscale(0, labels, (lr[0].astype(np.int32), *lr[1:]))
    with pytest.raises(ValueError, match="must be C-contiguous"):
        upscaler.upscale(0, labels, (lr[0].T, *lr[1:]))
    with pytest.raises(ValueError, match="lr has 2 planes"):
        upscaler.upscale(0, labels, lr[:2])
    with pytest.raises(ValueError, match=r"out u .* must be uint8 \(20, 20\)"):
        upscaler.upscale(0, labels, lr, (np.empty((40, 40), np.uint8),) * 3)
    with pytest.raises(IndexError, match=r"segment is 1; it must be 0\.\.0"):
        upscaler.upscale(1, labels, lr)
    with pytest.raises(StdoError, match="label") as caught:
        upscaler.upscale(0, labels + 3, lr)
    assert caught.value.status == "STDO_ERROR_LABEL_RANGE"


@pytest.mark.parametrize(("size", "colour"), [((9, 7), 0), ((8, 2), 0), ((1, 1), 0), ((9, 7), 1)])
def test_an_image_in_a_buffer(size, colour):
    shapes = plane_shapes(*size, colour)
    assert lib.stdo_image_size(*size, colour) == sum(height * width for height, width in shapes)
    buffer = ffi.new("uint8_t[]", lib.stdo_image_size(*size, colour))
    image = lib.stdo_image_from_buffer(buffer, *size, colour)
    at = buffer
    for plane, stride, (height, width) in zip(image.plane, image.stride, shapes, strict=True):
        assert (plane, stride) == (at, width)
        at += height * width
    same = lib.stdo_image_for_reading(ffi.new("stdo_image *", image))
    assert list(same.plane) == list(image.plane) and list(same.stride) == list(image.stride)
    none = [lib.stdo_image_from_buffer(ffi.NULL, *size, colour), lib.stdo_image_for_reading(ffi.NULL)]
    assert all(plane == ffi.NULL for image in none for plane in image.plane)


def crc32(data, crc=0):
    return lib.stdo_crc32(crc, ffi.from_buffer("uint8_t[]", data), len(memoryview(data)))


def test_crc32_is_that_of_zlib():
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"6789", crc32(b"12345")) == 0xCBF43926
    assert crc32(b"") == 0
    assert crc32(np.arange(256, dtype=np.uint8)) == 0x29058C73


def test_every_status_has_its_own_line():
    lines = {ffi.string(lib.stdo_status_string(value)) for value in ffi.typeof("stdo_status").elements}
    assert len(lines) == len(ffi.typeof("stdo_status").elements)
    assert ffi.string(lib.stdo_status_string(99)) == b"unknown status"
