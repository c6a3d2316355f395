"""`stdo demo`: a drawn clip, something to try everything on where no video is at hand, and what the tests run on.

It holds what data overfitting lives on: fine texture that comes back over space and time, sharp edges, text, smooth
gradients, still and moving parts, and one scene cut."""

import argparse
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stdo_min.commands import options
from stdo_min.video.ffmpeg import ffmpeg_process, file_url
from stdo_min.video.output import output_file
from stdo_min.video.read import Frame

# A to Z and 0 to 9: a letter is five columns, a byte each, whose lowest bit is the topmost of seven rows.
_FONT = np.frombuffer(bytes.fromhex(
    "7e1111117e7f494949363e414141227f4141221c7f494949417f090909013e4149497a7f0808087f00417f4100"
    "2040413f017f081422417f404040407f020c027f7f0408107f3e4141413e7f090909063e4151215e7f09192946"
    "464949493101017f01013f4040403f1f2040201f3f4038403f6314081463070870080761514945433e5149453e"
    "00427f400042615149462141454b311814127f1027454545393c4a49493001710905033649494936064949291e"
), np.uint8).reshape(36, 5)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_WORDS = "SPATIAL TEMPORAL DATA OVERFITTING FOR HIGH QUALITY VIDEO 480X270 TO 1920X1080 "


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("out", type=Path, metavar="OUT.mp4", help="where to write it")
    options.written(parser)


def run(a: argparse.Namespace) -> None:
    """Draw the clip and print its name."""
    with output_file(a.out, a.force) as final:
        write_demo(final)
    print(a.out)


def draw(rng: np.random.Generator, width: int = 640, height: int = 360, seconds: float = 3.0,
         rate: int = 24) -> Iterator[Frame]:
    """Draw the clip frame by frame: y uint8 (height, width), 16..235; the same generator state gives the same frames.

    The scene cuts at half of `seconds`; `rate` is in frames per second."""
    frames = max(2, round(seconds * rate))
    scenes = _workshop(rng, width, height), _wall(rng, width, height)
    for number in range(frames):
        yield _subsample(scenes[number >= frames // 2](number))


def write_demo(path: str | os.PathLike, width: int = 640, height: int = 360, seconds: float = 3.0, rate: int = 24,
               seed: int = 0) -> None:
    """Write the drawn clip with a sine tone as sound to an .mp4 of high quality; width and height are even.

    Raises VideoError if ffmpeg cannot write it."""
    path = Path(path)
    arguments = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-framerate", str(rate),
                 "-i", "pipe:0", "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds}",
                 "-vf", "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
                 "-c:v", "libx264", "-preset", "fast", "-crf", "12", "-c:a", "aac", "-b:a", "96k",
                 "-f", "mp4", file_url(path)]
    with ffmpeg_process(arguments, path, stdin=subprocess.PIPE) as process:
        for frame in draw(np.random.default_rng(seed), width, height, seconds, rate):
            for plane in frame:
                process.stdin.write(plane)


# A scene is a function from the frame's number to a canvas: float32 (3, H, W), Y'CbCr at full size.
# A layer is painted by a mask (H, W), 0..1, and a colour: three numbers, or a canvas.


def _workshop(rng, width, height):
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    cloth = _tiled(_fabric(rng, 24), rows, columns)
    still = np.stack([70 + 90 * rows / height + 34 * cloth, 138 - 14 * columns / width, 112 + 20 * rows / height])
    radius = height / 5
    page = _page(rng, int(width * 0.42), int(height * 0.5))
    _paste(still, page, (height // 10, width // 14), (45, 128, 128), (212, 122, 132))
    banner = np.pad(_text(_WORDS * (1 + width // 900), 2), ((5, 3), (0, 0)))
    leaf = _fabric(rng, 16)

    def scene(number):
        canvas = still.copy()
        x, y = width * 0.72 + radius * np.sin(number / 9), height * 0.36 + radius * 0.4 * np.cos(number / 7)
        ball = _disc(rows, columns, y, x, radius)
        shade = 150 - 55 * ((rows - y) + (columns - x)) / radius / 2
        bark = _tiled(leaf, rows - round(y), columns - round(x))
        _paint(canvas, ball, np.stack([shade + 38 * bark, 108 + 0 * rows, 158 + 0 * rows]))
        top = int(height * 0.78)
        _paste(canvas, np.roll(banner, -2 * number, axis=1)[:, :width], (top, 0), (230, 128, 128), (28, 140, 124))
        return canvas

    return scene


def _wall(rng, width, height):
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    brick = _fabric(rng, 32)
    wave = _fabric(rng, 20)
    sign = np.pad(_text("STDO 2303 08331", max(1, height // 90)), 6)

    def scene(number):
        shift = 2 * number
        course = rows // 16
        along = columns + shift + 16 * (course % 2)
        joint = np.maximum(rows % 16 < 2, along % 32 < 2)
        canvas = np.stack([118 + 30 * _tiled(brick, rows, along), 112 + 6 * (course % 3), 156 - 5 * (course % 2)])
        _paint(canvas, joint.astype(np.float32), (172, 126, 130))
        sea = rows > height * 0.66 + 3 * np.sin(columns / 40)
        ripples = 74 + 40 * rows / height + 30 * _tiled(wave, rows, columns - number)
        _paint(canvas, sea.astype(np.float32), np.stack([ripples, 150 + 0 * rows, 108 + 0 * rows]))
        top, left = int(height * 0.12), int(width * 0.06)
        _paste(canvas, sign, (top, left), (222, 90, 146), (52, 120, 120))
        x, y = width * 0.75, height * 0.4
        turned = np.arctan2(rows - y, columns - x) + number / 30
        spokes = (np.sin(24 * turned) > 0) * _disc(rows, columns, y, x, height / 4)
        _paint(canvas, _disc(rows, columns, y, x, height / 4), (44, 128, 128))
        _paint(canvas, spokes.astype(np.float32), (205, 116, 140))
        return canvas

    return scene


def _fabric(rng, side):
    """A tile float32 (side, side), about -1..1, of random threads one to three pixels wide that joins at its edges."""
    noise = rng.standard_normal((side, side))
    spectrum = np.fft.fft2(noise)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    spectrum *= np.exp(-(((frequency - 0.2) / 0.1) ** 2))
    tile = np.fft.ifft2(spectrum).real
    return np.tanh(2 * tile / tile.std()).astype(np.float32)


def _tiled(tile, rows, columns):
    return tile[rows.astype(int) % tile.shape[0], columns.astype(int) % tile.shape[1]]


def _disc(rows, columns, y, x, radius):
    return np.clip(radius - np.hypot(rows - y, columns - x) + 0.5, 0, 1)


def _text(words, size):
    """Words as a mask float32 (8 * size, 6 * size * len(words)), 0 or 1."""
    mask = np.zeros((8, 6 * len(words)), np.float32)
    for place, letter in enumerate(words):
        if letter in _LETTERS:
            columns = _FONT[_LETTERS.index(letter)]
            mask[:7, 6 * place : 6 * place + 5] = columns[None] >> np.arange(7)[:, None] & 1
    return mask.repeat(size, 0).repeat(size, 1)


def _page(rng, width, height):
    """A mask float32 (height, width) of small print, lines of shuffled words."""
    mask = np.zeros((height, width), np.float32)
    words = _WORDS.split()
    for top in range(6, height - 10, 11):
        line = _text(" ".join(rng.permutation(words)), 1)[:, : width - 12]
        mask[top : top + 8, 6 : 6 + line.shape[1]] = line
    return mask


def _paint(canvas, mask, colour):
    colour = np.asarray(colour, np.float32)
    colour = colour if colour.ndim == 3 else colour[:, None, None]
    canvas += mask * (colour - canvas)


def _paste(canvas, mask, corner, ink, paper):
    """Paint a mask in `ink` on a sheet of `paper`, its top left at `corner` (row, column)."""
    area = canvas[:, corner[0] : corner[0] + mask.shape[0], corner[1] : corner[1] + mask.shape[1]]
    area[:] = np.reshape(paper, (3, 1, 1))
    _paint(area, mask[: area.shape[1], : area.shape[2]], ink)


def _subsample(canvas):
    height, width = canvas.shape[1:]
    even = np.pad(canvas[1:], ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    chroma = even.reshape(2, even.shape[1] // 2, 2, even.shape[2] // 2, 2).mean(axis=(2, 4))
    y = np.clip(np.rint(canvas[0]), 16, 235).astype(np.uint8)
    return Frame(y, *np.clip(np.rint(chroma), 16, 240).astype(np.uint8))
