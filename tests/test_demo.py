import numpy as np
import pytest

from stdo_min.commands.demo import draw, write_demo
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.probe import probe
from stdo_min.video.read import read_source


@pytest.mark.parametrize("width,height", [(64, 48), (65, 47)])
def test_frames_have_the_size_asked_for(width, height):
    frames = list(draw(np.random.default_rng(1), width, height, 0.5, 8))
    assert len(frames) == 4
    for y, u, v in frames:
        assert y.shape == (height, width) and y.dtype == np.uint8
        assert u.shape == v.shape == (-(-height // 2), -(-width // 2))


def test_same_seed_same_frames():
    first, second, other = (list(draw(np.random.default_rng(seed), 64, 48, 0.5, 8)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for f, g in zip(first, second, strict=True) for a, b in zip(f, g, strict=True))
    assert not np.array_equal(first[0].y, other[0].y)


def test_it_moves_keeps_a_still_part_and_cuts_at_half():
    lumas = np.stack([frame.y for frame in draw(np.random.default_rng(0), 160, 90, 1, 12)]).astype(int)
    change = np.abs(np.diff(lumas, axis=0))
    assert change.any(axis=(1, 2)).all()
    assert (change[:5].max(axis=0) == 0).mean() > 0.3
    assert change.mean(axis=(1, 2)).argmax() == 5


def test_it_has_detail_that_halving_loses():
    luma = next(draw(np.random.default_rng(0), 160, 90, 1, 12)).y.astype(float)
    coarse = luma.reshape(45, 2, 80, 2).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert 10 * np.log10(255**2 / np.mean((luma - coarse) ** 2)) < 30


def test_file_has_all_frames_and_sound(clip):
    info = probe(clip)
    assert (info.width, info.height, info.rate, info.has_audio) == (160, 90, 12, True)
    assert (info.color_range, info.color_space) == ("tv", "bt709")
    assert sum(1 for _ in read_source(info)) == 24


def test_h264_cannot_be_odd(tmp_path):
    with pytest.raises(VideoError, match="divisible by 2"):
        write_demo(tmp_path / "odd.mp4", 65, 48, 0.5, 8)
