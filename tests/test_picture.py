"""The picture of the gain: its colours are ffmpeg's, and it shows the place that gained most."""

from dataclasses import replace

import numpy as np
import pytest
from clips import ffmpeg, planes

from stdo_min.commands.picture import MATRICES, Comparison, to_rgb
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.png import read_png
from stdo_min.video.probe import probe
from stdo_min.video.read import Frame


def converted(frame, matrix, levels):
    """By ffmpeg, chroma repeated too."""
    height, width = frame.y.shape
    out = ffmpeg("-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-i", "pipe:0", "-vf",
                 f"scale=flags=neighbor+accurate_rnd+full_chroma_int:in_color_matrix={matrix}:in_range={levels}:"
                 "out_range=pc,format=rgb24", "-f", "rawvideo", "pipe:1", input=b"".join(p.tobytes() for p in frame))
    return np.frombuffer(out, np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("levels", ["tv", "pc"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_of_ffmpeg(matrix, levels):
    rng = np.random.default_rng(0)
    # Of legal values, since ffmpeg's arithmetic overflows on the wildest of the others.
    noise = Frame(*(rng.integers(16, 236, shape, dtype=np.uint8) for shape in ((64, 96), (32, 48), (32, 48))))
    for frame in (planes(96, 64)[0], noise):
        ours, theirs = to_rgb(frame, matrix, levels), converted(frame, matrix.replace("bt2020c", "bt2020nc").replace(
            "bt2020ncnc", "bt2020nc"), levels)
        assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_matrices_and_ranges_differ():
    """Or the test above would prove little."""
    frame = planes(96, 64)[0]
    seen = {to_rgb(frame, matrix, levels).tobytes() for matrix in ("bt709", "bt470bg", "bt2020nc")
            for levels in ("tv", "pc")}
    assert len(seen) == 6


def test_odd_sizes_lose_no_pixel():
    whole = to_rgb(planes(96, 64)[0], "bt709", "tv")
    y, u, v = planes(96, 64)[0]
    assert np.array_equal(to_rgb(Frame(y[:63, :95], u, v), "bt709", "tv"), whole[:63, :95])


def flat(value, size=(90, 160)):
    return Frame(np.full(size, value, np.uint8), *(np.full((size[0] // 2, size[1] // 2), 128, np.uint8),) * 2)


def test_panels_are_base_shown_source(tmp_path, clip):
    comparison = Comparison(probe(clip))
    comparison.consider(flat(16), flat(126), flat(235))
    comparison.write(tmp_path / "a.png")
    pixels = read_png(tmp_path / "a.png")
    assert pixels.shape == (180, 3 * 320, 3)
    for panel, value in enumerate((0, 128, 255)):
        assert (pixels[:, 320 * panel:320 * (panel + 1)] == value).all()


def test_colours_that_cannot_be_drawn_are_refused_before_any_work(clip):
    with pytest.raises(VideoError, match=r"clip\.mp4: its colours are ycgco.*leave --picture out"):
        Comparison(replace(probe(clip), color_space="ycgco"))
    assert Comparison(replace(probe(clip), color_space=None))
