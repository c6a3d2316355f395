from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stdo_min.algorithm.segments import cut, most_frames


@given(st.integers(1, 100_000), st.integers(1, 5000))
def test_parts_are_nearly_equal_and_none_is_too_long(frames, most):
    starts = np.array([*cut(frames, most), frames])
    lengths = np.diff(starts)
    assert starts[0] == 0 and lengths.min() >= 1 and lengths.max() <= most
    assert np.ptp(lengths) <= 1
    assert len(lengths) == -(-frames // most)


@given(st.integers(2, 20_000), st.integers(8, 2000), st.sets(st.integers(0, 20_000)))
def test_cuts_move_to_keyframes_that_are_near(frames, most, keyframes):
    keyframes = np.array(sorted(number for number in keyframes if number < frames), np.int64)
    plain, moved = cut(frames, most), cut(frames, most, keyframes)
    assert len(moved) == len(plain) and moved[0] == 0
    assert np.all(np.diff([*moved, frames]) >= 1)
    reach = frames // len(plain) // 4
    for before, after in zip(plain[1:], moved[1:], strict=True):
        near = keyframes[np.abs(keyframes - before) <= reach]
        assert after == before if len(near) == 0 else abs(after - before) == np.abs(near - before).min()


def test_the_length_of_a_segment():
    assert most_frames(20, Fraction(24000, 1001), 576) == 480
    assert most_frames(60, Fraction(24), 1296) == 809  # a label of each patch is kept in memory
    assert most_frames(20, Fraction(1, 100), 576) == 8  # less is no video
    assert most_frames(1e9, Fraction(25), 4) == 65535  # what the format allows


@given(st.integers(1, 3000), st.integers(8, 40), st.sets(st.integers(0, 3000)))
def test_no_part_is_a_still_image(frames, most, keyframes):
    """ffmpeg tells one frame from a picture by nothing."""
    keyframes = np.array(sorted(number for number in keyframes if number < frames), np.int64)
    lengths = np.diff([*cut(frames, most, keyframes), frames])
    assert lengths.min() >= min(2, frames)
