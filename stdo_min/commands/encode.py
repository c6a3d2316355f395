"""From a source video to an lr video and its sidecar; or to the sidecar alone, for an lr video that exists."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from stdo_min.algorithm.overfit import MODES, overfit
from stdo_min.engine import nets
from stdo_min.engine.budget import Effort, Progress
from stdo_min.engine.quantise import dequantize
from stdo_min.format import base as resample
from stdo_min.format import patchmap, sidecar
from stdo_min.format.psnr import psnr
from stdo_min.player import read_sidecar
from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.lr import encode_lr, lr_size
from stdo_min.video.mux import CONTAINERS, MATROSKA, ending, mux_mkv
from stdo_min.video.output import output_file
from stdo_min.video.pictures import open_source
from stdo_min.video.probe import VideoInfo, probe
from stdo_min.video.read import Frame, read_lr, read_source

SEGMENT_SECONDS = 60
SEGMENT_PATCHES = 1 << 20  # over all its frames: a score and a label are kept for each
SITING_FRAMES = 12
CENTRE, LEFT = 0, 1  # the header's chroma field


@dataclass(frozen=True)
class Result:
    """What an encode gave: the file written, frames, luma PSNR in dB as played and of the base, sizes in bytes."""

    path: Path
    frames: int
    nets: int
    psnr_y: float
    psnr_bicubic_y: float
    bytes_lr: int
    bytes_sidecar: int


@dataclass(frozen=True)
class Recipe:
    """How to train: the options that `stdo encode` and `stdo train` share.

    mode: one of overfit.MODES. chunks: how many, in mode auto at most, or None to choose. refine: how often patches
    move to their best net while the nets train. channels: of the hidden layers. patch: side in lr pixels. effort: for
    the whole video. memory: bytes of patches kept for training. seed: of all randomness. threads: 1 or more. general:
    path of a sidecar whose first net scores the patches and starts the training, or None.
    """

    mode: str = "auto"
    chunks: int | None = None
    refine: int = 64
    channels: tuple[int, ...] = (16, 16)
    patch: int = 20
    effort: Effort = Effort(seconds=300)
    memory: int = 512 << 20
    seed: int = 0
    threads: int = 1
    general: Path | None = None

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        if not 1 <= len(self.channels) <= 7 or not all(1 <= c <= 64 for c in self.channels):
            raise ValueError(f"channels are {self.channels}; a net has 1..7 hidden layers of 1..64 channels")
        for name, value, least, most in (("chunks", self.chunks, 1, sidecar.MAX_NETS), ("patch", self.patch, 8, 128),
                                         ("refine", self.refine, 0, 1000),
                                         ("threads", self.threads, 1, 256), ("memory", self.memory, 1, 1 << 40)):
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be {least}..{most}")


def encode(source: Path, out: Path, scale: int, recipe: Recipe, *, codec: str = "x264", crf: int | None = None,
           lossless: bool = False, rate: Fraction | None = None, force: bool = False, executor: Executor | None = None,
           lr_progress: Callable[[int, int | None], None] | None = None, progress: Progress | None = None) -> Result:
    """Make the lr video of `source` and its sidecar: `out` .mkv holds both, `out` .mp4 has OUT.stdo beside it.

    rate: of a folder of frames, see open_source. lr_progress: (frames done, frames expected or None) while the lr video
    is coded. progress: as in `overfit`, over the whole video. Nothing is left behind on failure. Raises VideoError for
    files, ValueError for options.
    """
    if ending(out) not in CONTAINERS:
        raise VideoError(f"{out}: the lr video is written as {', '.join(CONTAINERS)}; give one of these endings")
    info = open_source(source, rate)
    width, height = lr_size(info.width, info.height, scale)
    _check_patch(source, width, height, recipe.patch)
    general = _general(recipe.general, scale)
    inputs = [source, *filter(None, [recipe.general])]
    with ExitStack() as files:
        final = files.enter_context(output_file(out, force, inputs))
        stdo = None if ending(out) in MATROSKA else files.enter_context(
            output_file(out.with_suffix(".stdo"), force, inputs))
        # What is muxed later lies beside the result, in a folder that goes on any failure.
        lr_path = final.with_name("lr.mkv") if stdo is None else final
        frames = encode_lr(info, lr_path, scale, codec=codec, crf=crf, lossless=lossless, progress=lr_progress)
        data, segments = _sidecar(probe(lr_path), info, frames, scale, LEFT, recipe, general, executor, progress)
        if stdo is None:
            attached = final.with_name("video.stdo")
            attached.write_bytes(data)
            mux_mkv(lr_path, attached, final)
        else:
            stdo.write_bytes(data)
    bytes_lr = out.stat().st_size - (len(data) if stdo is None else 0)
    return _result(out, segments, bytes_lr, len(data))


def train(lr: Path, hr: Path, out: Path, recipe: Recipe, *, scale: int | None = None, rate: Fraction | None = None,
          force: bool = False, executor: Executor | None = None, progress: Progress | None = None) -> Result:
    """Make the sidecar `out` of an lr video that exists, from the source `hr` it was made from.

    scale: by default what the two sizes say. rate: of a folder of frames, see open_source. The videos must have the
    same frames. Raises VideoError for files that do not fit.
    """
    lr_info, info = probe(lr), open_source(hr, rate)
    found = [s for s in (1, 2, 3, 4) if lr_size(info.width, info.height, s) == (lr_info.width, lr_info.height)
             or (lr_info.width * s, lr_info.height * s) == (info.width, info.height)]
    if not found or (scale or found[0]) not in found:
        raise VideoError(f"{lr}: {lr_info.width}x{lr_info.height} is not {info.width}x{info.height} at scale "
                         f"{scale or '1, 2, 3 or 4'}; give an lr video of that size")
    scale = scale or found[0]
    _check_patch(lr, lr_info.width, lr_info.height, recipe.patch)
    general = _general(recipe.general, scale)
    with output_file(out, force, [lr, hr, *filter(None, [recipe.general])]) as final:
        with closing(read_lr(lr_info)) as coded:
            frames = sum(1 for _ in coded)
        siting = chroma_siting(lr_info, info, scale)
        data, segments = _sidecar(lr_info, info, frames, scale, siting, recipe, general, executor, progress)
        final.write_bytes(data)
    return _result(out, segments, lr.stat().st_size, len(data))


def _sidecar(lr_info: VideoInfo, info: VideoInfo, frames: int, scale: int, siting: int, recipe: Recipe, general,
             executor, progress) -> tuple[bytes, list[tuple[int, ...]]]:
    """The bytes of the sidecar; and for each segment frames, nets, squared error, that of the base, and hr pixels."""
    rng = np.random.default_rng(recipe.seed)
    header = sidecar.Sidecar(
        scale=scale, mode=0, patch=recipe.patch, chroma=siting, lr_width=lr_info.width,
        lr_height=lr_info.height, hr_width=info.width, hr_height=info.height, segments=())
    lengths = segment_lengths(frames, lr_info.rate, header.rows * header.columns)
    with ExitStack() as readers:
        # One thread, or the sums of calibration would depend on their number.
        readers.enter_context(threadpool_limits(1, "blas"))
        passes = _Passes(lambda: readers.enter_context(closing(frame_pairs(lr_info, info, scale))))
        results, segments, first = [], [], 0
        for length in lengths:
            crcs = _Crcs()
            # The last segment takes all that is left, so that frames too many are noticed in its first pass.
            parts = passes.over(first, None if first + length == frames else length, crcs)
            result = overfit(
                header, length, parts, mode=recipe.mode, chunks=recipe.chunks, refine=recipe.refine,
                channels=recipe.channels, effort=recipe.effort.times(length / frames), memory=recipe.memory, rng=rng,
                threads=recipe.threads, general=general, executor=executor,
                progress=_part(progress, first / frames, length / frames))
            # Only sums are kept: what grows with the video is its sidecar alone.
            results.append((length, len(result.nets), int(result.errors.sum()), int(result.base_errors.sum()),
                            length * header.hr_width * header.hr_height))
            map_data = patchmap.encode(result.labels, len(result.nets))
            segments.append(sidecar.Segment(first, length, crcs.first, crcs.whole, result.nets, map_data))
            first += length
    mode = recipe.mode
    if mode == "auto":  # the file says what was chosen
        mode = "stdo" if any(len(segment.nets) > 1 for segment in segments) else "single"
    number = next(number for number, name in sidecar.MODES.items() if name == mode)
    return sidecar.write(replace(header, mode=number, segments=tuple(segments))), results


class _Passes:
    """Passes over the frames of a video, segment by segment: each goes on where it stopped, and no frame is decoded
    twice in one. They are opened when they are first asked for."""

    def __init__(self, frames: Callable[[], Iterator]):
        self._frames, self._open = frames, []

    def over(self, first: int, length: int | None, crcs: _Crcs) -> Iterator[Iterator]:
        """The passes over `length` frames from frame `first` on, or over all that are left; the first counts `crcs`."""
        for number in count():
            if number == len(self._open):
                self._open.append([0, self._frames()])
            at, left = self._open[number]
            for _ in islice(left, first - at):
                pass  # a segment before did without this pass
            self._open[number][0] = first + (length or 0)
            part = left if length is None else islice(left, length)
            yield part if number else crcs.taken(part)


class _Crcs:
    """The checksums by which the player knows that an lr video is the sidecar's own; see lr_first_crc in FORMAT.md."""

    def __init__(self):
        self.first, self.whole = 0, 0

    def taken(self, pairs):
        """The same pairs, summed up as they pass."""
        for index, (lr, hr) in enumerate(pairs):
            for plane in lr:
                self.whole = zlib.crc32(plane, self.whole)
            if index == 0:
                self.first = self.whole
            yield lr, hr


def frame_pairs(lr_info: VideoInfo, info: VideoInfo, scale: int) -> Iterator[tuple[Frame, Frame]]:
    """The frames of an lr video and its source in step, the source's luma padded by its edge to lr size times scale.

    Raises VideoError where one of them has more frames than the other.
    """
    pad = (0, lr_info.height * scale - info.height), (0, lr_info.width * scale - info.width)
    with closing(read_lr(lr_info)) as coded, closing(read_source(info)) as original:
        for number, lr in enumerate(coded):
            hr = next(original, None)
            if hr is None:
                raise _miscount(info, lr_info, f"ends after {number} frames, before the lr video")
            yield lr, (hr._replace(y=np.pad(hr.y, pad, "edge")) if any(map(any, pad)) else hr)
        if next(original, None) is not None:
            raise _miscount(info, lr_info, f"has more frames than the {number + 1} of the lr video")


def _miscount(info, lr_info, what):
    return VideoError(f"{info.path}: {what} {lr_info.path}; both must show the same frames at one constant rate: "
                      "make the lr video with stdo encode, or remake the source with ffmpeg -fps_mode cfr")


def chroma_siting(lr_info: VideoInfo, info: VideoInfo, scale: int) -> int:
    """Where an lr video made elsewhere has its chroma samples: CENTRE where that gives the source back clearly better.

    A scaler that is not told otherwise centres them; LEFT is where MPEG video has them, and right where in doubt.
    """
    errors = {LEFT: 0, CENTRE: 0}
    with closing(frame_pairs(lr_info, info, scale)) as pairs:
        for lr, hr in islice(pairs, SITING_FRAMES):
            for low, high in ((lr.u, hr.u), (lr.v, hr.v)):
                for place in errors:
                    shown = resample.upscale(low, scale, chroma_left=place == LEFT)[:high.shape[0], :high.shape[1]]
                    errors[place] += int(np.sum(np.square(shown.astype(np.int32) - high)))
    return CENTRE if errors[CENTRE] < 0.95 * errors[LEFT] else LEFT


def segment_lengths(frames: int, rate: Fraction, patches: int) -> list[int]:
    """The frames of each segment: nearly equal parts of at most a minute and SEGMENT_PATCHES patches.

    frames: of the video; rate: frames per second; patches: of one frame.
    """
    most = max(1, min(round(SEGMENT_SECONDS * rate), SEGMENT_PATCHES // patches, sidecar.MAX_SEGMENT_FRAMES))
    count = -(-frames // most)
    return [frames * (index + 1) // count - frames * index // count for index in range(count)]


def _part(progress, begin, share):
    if progress is None:
        return None
    return lambda stage, done, psnr: progress(stage, begin + share * done, psnr)


def _general(path, scale) -> nets.Net | None:
    """The general model: the first net of another sidecar."""
    if path is None:
        return None
    try:
        other = sidecar.read(read_sidecar(path))
    except sidecar.SidecarError as error:
        raise VideoError(f"{path}: {error}; --general takes a .stdo file") from None
    found = [net for segment in other.segments for net in segment.nets]
    if not found or other.scale != scale:
        lack = f"was trained for scale {other.scale}, not {scale}" if found else "holds no net"
        raise VideoError(f"{path}: {lack}; give --general a sidecar with a net for this scale")
    return dequantize(found[0], scale)


def _check_patch(path, width, height, patch) -> None:
    if max(width, height) > 8192:
        raise VideoError(f"{path}: an lr video of {width}x{height}; each side has at most 8192 pixels")
    if min(width, height) < patch:
        raise VideoError(f"{path}: its lr video of {width}x{height} is smaller than one patch of {patch}x{patch}; "
                         f"choose a smaller --patch (8 or more) or a smaller --scale")


def _result(path, segments, bytes_lr, bytes_sidecar) -> Result:
    frames, nets_kept, errors, base_errors, pixels = (sum(numbers) for numbers in zip(*segments, strict=True))
    return Result(path, frames, nets_kept, float(psnr(errors, pixels)),
                  float(psnr(base_errors, pixels)), bytes_lr, bytes_sidecar)
