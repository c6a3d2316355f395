"""stdo_min/format/patchmap.py against itself, against the C decoder, and against known bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import random_labels

from stdo_min.format.library import Upscaler
from stdo_min.format.patchmap import decode, encode
from stdo_min.format.random_nets import make_sidecar, random_net
from stdo_min.format.sidecar import Segment, Sidecar, write

reproducible = settings(derandomize=True, deadline=None, max_examples=100, database=None)


def tiny_nets(count: int) -> tuple:
    rng = np.random.default_rng(0)
    return tuple(random_net(rng, 1, [], 1) for _ in range(count))


@reproducible
@given(st.integers(0, 2**32), st.integers(0, 63), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
def test_decode_undoes_encode(seed, nets, frames, rows, columns):
    labels = random_labels(np.random.default_rng(seed), frames, (columns, rows), 1, nets)
    np.testing.assert_array_equal(decode(encode(labels, nets), frames, rows, columns, nets), labels)


@reproducible
@given(st.binary(max_size=200), st.integers(1, 63))
def test_any_bytes_are_a_map_and_c_decodes_the_same(data, nets):
    segment = Segment(0, 5, 0, 0, tiny_nets(nets), data)
    upscaler = Upscaler(write(Sidecar(1, 0, 8, 0, 60, 30, 60, 30, (segment,))))
    expected = decode(data, 5, upscaler.rows, upscaler.columns, nets)
    for frame in range(5):
        np.testing.assert_array_equal(upscaler.labels(frame), expected[frame])
    assert expected.max() <= nets


def test_labels_in_any_order():
    rng = np.random.default_rng(1)
    size, patch = (40, 24), 8
    runs = [(nets, random_labels(rng, frames, size, patch, nets)) for nets, frames in ((3, 7), (0, 4), (1, 1), (5, 6))]
    upscaler = Upscaler(write(make_sidecar(1, size, patch, [(tiny_nets(nets), labels) for nets, labels in runs])))
    expected = np.concatenate([labels for _, labels in runs])
    for frame in [*range(18), *reversed(range(18)), 0, 17, 17, 3, 3, 6, 5, 12, 13, *rng.integers(0, 18, 100).tolist()]:
        np.testing.assert_array_equal(upscaler.labels(frame), expected[frame], err_msg=str(frame))
        assert upscaler.segment_of(frame) == np.searchsorted([7, 11, 12], frame, side="right")
    for frame in (-1, 18):
        with pytest.raises(IndexError, match=r"must be 0\.\.17"):
            upscaler.labels(frame)


def test_carry_runs_through_bytes_of_255():
    # Labels made by decoding bytes of 255 drive `low` to the top of the interval, where carries happen.
    for tail in range(1, 40):
        labels = decode(b"\xab" + b"\xff" * tail, 4, 10, 10, 7)
        np.testing.assert_array_equal(decode(encode(labels, 7), 4, 10, 10, 7), labels)


def test_a_still_map_costs_almost_nothing():
    labels = np.full((100, 20, 20), 2, np.uint8)
    assert len(encode(labels, 4)) < 100
    assert encode(np.zeros((100, 20, 20), np.uint8), 4) == b""


def test_known_bytes():
    labels = (np.arange(3 * 4 * 5).reshape(3, 4, 5) // 7 % 4).astype(np.uint8)
    assert encode(labels, 3).hex() == "02509de0aca35223394ff8d89b6f7d"


def test_refusals():
    with pytest.raises(ValueError, match="a label is 4; the segment has 3 nets"):
        encode(np.full((1, 2, 2), 4, np.uint8), 3)
    with pytest.raises(ValueError, match="int64"):
        encode(np.zeros((1, 2, 2), np.int64), 3)
