"""What goes into a container beside the picture: sound, subtitles, chapters, and the sidecar as an attachment."""

import os
import subprocess
from pathlib import Path

from stdo_min.video.ffmpeg import VideoError, ffmpeg_process, file_url, input_arguments
from stdo_min.video.probe import VideoInfo, probe

SIDECAR_TYPE = "application/x-stdo"
SIDECAR_NAME = "video.stdo"
MATROSKA = (".mkv",)
CONTAINERS = (".mp4", ".m4v", ".mov", *MATROSKA)


def ending(path: str | os.PathLike) -> str:
    """The ending of a file's name in small letters, with its dot, as MATROSKA and CONTAINERS have it; '' for none."""
    return Path(path).suffix.lower()


def mux_mkv(lr_path: str | os.PathLike, sidecar_path: str | os.PathLike, out_path: str | os.PathLike) -> None:
    """Copy an lr video into a Matroska file that carries its sidecar; an older sidecar in it is left out.

    Raises VideoError if a file cannot be read or written."""
    info, out_path = probe(lr_path), Path(out_path)
    if ending(out_path) not in MATROSKA:
        raise VideoError(f"{out_path}: only Matroska holds a sidecar; give the output the ending .mkv")
    place = sum(attachment.mimetype != SIDECAR_TYPE for attachment in info.attachments)
    arguments = [*input_arguments(lr_path), "-map", "0:V:0", "-c:v", "copy", *carried_streams(info, 0, out_path),
                 "-attach", file_url(sidecar_path), f"-metadata:s:t:{place}", f"mimetype={SIDECAR_TYPE}",
                 f"-metadata:s:t:{place}", f"filename={SIDECAR_NAME}", file_url(out_path)]
    with ffmpeg_process(arguments, out_path):
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
    else:
        arguments += ["-movflags", "+faststart"]
    return [*arguments, "-map_metadata", str(source), "-map_chapters", str(source)]
