"""What goes into a container beside the picture: sound, subtitles, chapters, and the sidecar as an attachment."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, file_url, input_arguments
from stdo_min.video.probe import VideoInfo
from stdo_min.video.read import grid_start

SIDECAR_TYPE = "application/x-stdo"
SIDECAR_NAME = "video.stdo"
MATROSKA = (".mkv",)
CONTAINERS = (".mp4", ".m4v", ".mov", *MATROSKA)


def ending(path: str | os.PathLike) -> str:
    """The ending of a file's name in small letters, with its dot, as MATROSKA and CONTAINERS have it; '' for none."""
    return Path(path).suffix.lower()


def join(parts: Sequence[Path], info: VideoInfo, out_path: str | os.PathLike,
         sidecar: str | os.PathLike | None = None) -> None:
    """Write a video file of the pictures of `parts`, one after the other, and of all else that the source `info` has.

    Nothing is coded anew. parts: what encode_part writes, all in one folder that can be written. out_path: .mp4, .m4v,
    .mov or .mkv. sidecar: a file to attach, in .mkv only; an older one of the source is left out. Raises VideoError if
    a file cannot be read or written."""
    out_path = Path(out_path)
    attached = [] if sidecar is None else _attach(info, out_path, sidecar)
    carried = carried_streams(info, 1, out_path)
    source = [] if info.pictures else input_arguments(info.path)
    with _concat_list(parts) as listed:
        # The place of the first frame on the grid keeps picture and sound in step.
        start = f"{float(grid_start(info) / info.rate):.6f}"
        arguments = ["-xerror", "-itsoffset", start, "-f", "concat", "-safe", "0", *input_arguments(listed), *source,
                     "-map", "0:v", "-c:v", "copy", "-disposition:v", "default", *carried, *attached,
                     "-fflags", "+bitexact",  # Matroska would get numbers drawn by chance, so equal runs would differ
                     file_url(out_path)]
        with ffmpeg_process(arguments, out_path):
            pass


def check_container(info: VideoInfo, out_path: str | os.PathLike) -> None:
    """Raise the VideoError that `join` would raise because `out_path` cannot hold the source's sound or subtitles."""
    carried = carried_streams(info, 0, Path(out_path))
    if info.has_audio or info.subtitles:
        # The muxer refuses when it writes the header, for which the first tenth of a second will do.
        with tempfile.TemporaryDirectory(prefix="stdo-") as folder, ffmpeg_process(
                ["-t", "0.1", *input_arguments(info.path), *carried, file_url(Path(folder, f"a{ending(out_path)}"))],
                Path(out_path)):
            pass


def read_attachment(info: VideoInfo, limit: int = 1 << 30) -> bytes | None:
    """The sidecar that a Matroska file carries, or None.

    Raises VideoError if the file is damaged, or the attachment has more than `limit` bytes."""
    for attachment in info.attachments:
        if attachment.mimetype == SIDECAR_TYPE:
            # The null output is there because ffmpeg refuses to run without one.
            arguments = [f"-dump_attachment:{attachment.index}", "pipe:1", *input_arguments(info.path), "-map", "0:V:0",
                         "-c", "copy", "-frames:v", "1", "-f", "null", "-"]
            with ffmpeg_process(arguments, info.path, stdout=subprocess.PIPE) as process:
                data = process.stdout.read(limit + 1)
                if len(data) > limit:
                    raise VideoError(f"{info.path}: its sidecar has more than {limit >> 20} MiB; make it again")
                return data
    return None


def carried_streams(info: VideoInfo, source: int, out_path: Path) -> list[str]:
    """ffmpeg arguments that carry all but the video of `info`, its input number `source`, into `out_path`.

    Raises VideoError for a container other than .mp4, .m4v, .mov and .mkv."""
    if ending(out_path) not in CONTAINERS:
        raise VideoError(f"{out_path}: cannot write {out_path.suffix or 'a file without ending'}; "
                         f"use one of {', '.join(CONTAINERS)}")
    matroska = ending(out_path) in MATROSKA
    front = [] if matroska else ["-movflags", "+faststart"]
    if info.pictures:
        return front
    arguments = ["-map", f"{source}:a?", "-c:a", "copy", "-map", f"{source}:s?"]
    for number, codec in enumerate(info.subtitles):
        # MP4 holds no text but mov_text, and nothing else holds that: text is converted between the two.
        foreign = (codec == "mov_text") == matroska
        arguments += [f"-c:s:{number}", ("srt" if matroska else "mov_text") if foreign else "copy"]
    if matroska:
        for attachment in info.attachments:
            if attachment.mimetype != SIDECAR_TYPE:
                arguments += ["-map", f"{source}:{attachment.index}"]
        arguments += ["-c:t", "copy"]
    return [*arguments, *front, "-map_metadata", str(source), "-map_chapters", str(source)]


def _attach(info: VideoInfo, out_path: Path, sidecar: str | os.PathLike) -> list[str]:
    if ending(out_path) not in MATROSKA:
        raise VideoError(f"{out_path}: only Matroska holds a sidecar; give the output the ending .mkv")
    place = sum(attachment.mimetype != SIDECAR_TYPE for attachment in info.attachments)
    return ["-attach", file_url(sidecar), f"-metadata:s:t:{place}", f"mimetype={SIDECAR_TYPE}",
            f"-metadata:s:t:{place}", f"filename={SIDECAR_NAME}"]


@contextmanager
def _concat_list(parts: Sequence[Path]) -> Iterator[Path]:
    """A list for ffmpeg's concat demuxer, beside the parts, while the block runs."""
    folder = os.path.abspath(Path(parts[0]).parent)
    # A line cannot hold the line break of a folder's name. Names without a folder are looked for beside the list, but
    # not found where its own name has what ends a name in a web address.
    before = "./" if "\n" in folder else f"file:{folder}/"
    names = [(before + Path(part).name).replace("'", "'\\''") for part in parts]
    listed = Path(folder, f".{secrets.token_hex(4)}.parts")
    try:
        listed.write_text("".join(f"file '{name}'\n" for name in names), encoding="utf-8")
        yield listed
    finally:
        listed.unlink(missing_ok=True)
