"""Running ffmpeg: which one, what it may open, and what its complaints mean."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import imageio_ffmpeg

from stdo_min.video import child

FFMPEG = "IMAGEIO_FFMPEG_EXE"  # the environment variable that names it

# What ffmpeg may open for an input: see input_arguments.
LOCAL = "file,crypto,data"
NETWORK = "http,https,httpproxy,tcp,tls,crypto,data"
STALLED = 15  # seconds: half to wait for a byte, half for the answer to a second request

_DAMAGED = "the file is damaged or cut short; copy it again, or mend it with ffmpeg -i IN -crf 16 OUT.mkv"
_REMEDIES = {
    # Stands first, because the complaints that follow it look like damage.
    "Stream ends prematurely": "the server hung up, and is gone or cannot begin in the middle; download the file",
    "Connection refused": "check the address, and that the server runs",
    "timed out": "the server does not answer; try again later",
    "not on whitelist": "it names what may not be opened from there; give the video itself",
    "codec not currently supported in container": "give the output the ending .mkv, which holds every codec",
    "Subtitle encoding currently only possible": "give the output the ending .mkv, which holds picture subtitles",
    "Unknown encoder": "choose another codec or install an ffmpeg built with it",
    "Source Height must be at least": "choose another codec or a smaller scale",
    "Source Width must be at least": "choose another codec or a smaller scale",
    "No space left on device": "free some space on the disk",
    "moov atom not found": "the end of the file is missing; copy or download it again",
    **dict.fromkeys(("File ended prematurely", "partial file", "orrupt", "rror while decoding", "Invalid NAL unit size",
                     "Invalid data found when processing"), _DAMAGED),
}
# ffmpeg exits with 0 after these: a Matroska file cut short, an MP4 cut within a packet of a stream that is not read,
# and (before release 6) a disk full at the last bytes.
_UNSEEN = ("File ended prematurely", "partial file", "Error writing trailer")
_AFTERMATH = ("Error opening", "Error while", "Error initializing", "Error submitting", "Error marking", "Terminating",
              "Conversion failed", "Nothing was written", "Could not write header", "Task finished", "Svt[info]",
              "x265 [info]")


class Address(str):
    """A network address that may be opened: one is made only where the user allows it."""

    __slots__ = ()


class VideoError(Exception):
    """A video cannot be read or written; the message is one line that names the file and the remedy."""


def ffmpeg_executable() -> str:
    """Path of the ffmpeg in use: $IMAGEIO_FFMPEG_EXE, else imageio-ffmpeg's own, else the one on PATH.

    Raises VideoError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise VideoError("no ffmpeg found: install it (Termux: pkg install ffmpeg; Debian: apt install ffmpeg), "
                         f"or name it in {FFMPEG}") from None


def file_url(path: str | os.PathLike) -> str:
    """The name under which ffmpeg takes `path` as a plain file, even if it begins with '-' or contains ':'."""
    return "file:" + os.fspath(path)


def input_arguments(path: str | os.PathLike) -> list[str]:
    """ffmpeg arguments that read `path` as a plain file, and an Address from the network.

    Both can name others, as playlists do. What a file names must be a file, and what an address names an address."""
    if isinstance(path, Address):
        # Servers hang up on a client that does not read for a while, as none of our passes reads while nets train.
        # ffmpeg then asks for the rest, once each time. Where a demuxer tries again (matroska's, three times), it takes
        # that much longer until ffmpeg gives up.
        return ["-protocol_whitelist", NETWORK, "-rw_timeout", str(STALLED * 10**6 // 2), "-reconnect", "1",
                "-reconnect_delay_max", "0", "-i", path]
    return ["-protocol_whitelist", LOCAL, "-i", file_url(path)]


def ffmpeg_encoders() -> frozenset[str]:
    """The names of the encoders that the ffmpeg in use has."""
    with ffmpeg_process(["-encoders"], Path("ffmpeg"), stdout=subprocess.PIPE) as process:
        return frozenset(line.split()[1] for line in process.stdout.read().decode().splitlines() if line[:2] in
                         (" V", " A", " S") and "=" not in line)


@contextmanager
def ffmpeg_process(arguments: Sequence[str], subject: Path, **pipes) -> Iterator[subprocess.Popen]:
    """Run ffmpeg while the block runs, killing it if the block is left early.

    `pipes` go to Popen (stdin, stdout). Raises VideoError, about `subject`, if ffmpeg fails or cannot start."""
    command = [ffmpeg_executable(), "-hide_banner", "-nostdin", "-y", "-v", "error", *arguments]
    # stderr goes to a file, because an undrained pipe would block ffmpeg. The child has a session of its own, so that
    # Ctrl-C reaches only us and files are closed in one order.
    with tempfile.TemporaryFile() as log:
        process = _start(command, FFMPEG, stdin=pipes.pop("stdin", subprocess.DEVNULL), stderr=log, **pipes)
        try:
            yield process
            if process.stdin:
                process.stdin.close()
            process.wait()
        except BrokenPipeError:
            if not process.stdin:
                raise
            with suppress(OSError):
                process.stdin.close()
            # Most likely ffmpeg gave up, and its log says why. If it exits with 0, the broken pipe was another one.
            if process.wait() == 0:
                raise
        finally:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):
                    pipe.close()
        words = _words(log)
        if process.returncode or any(needle in words for needle in _UNSEEN):
            raise VideoError(f"{subject}: {reason(words)}")


class Answer(NamedTuple):
    """What a program gave that ran to its end: its exit code, its stdout, and its stderr as text."""

    code: int
    out: bytes
    words: str


def ask(program: str, arguments: Sequence[str], named: str = FFMPEG) -> Answer:
    """Run ffmpeg or ffprobe to its end; its output is kept in memory, so it must be short.

    Raises VideoError if it cannot be started; `named` is the environment variable that names the program."""
    with tempfile.TemporaryFile() as log:
        process = _start([program, "-hide_banner", *arguments], named, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=log)
        try:
            out = process.stdout.read()
            process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        return Answer(process.returncode, out, _words(log))


def reason(words: str) -> str:
    """The line of ffmpeg's complaints that tells the cause, with a remedy where one is known."""
    lines = [re.sub(r"^(\[[^]]*\] )*(file:)?|, should be \d{20}$", "", line.strip()) for line in words.splitlines()]
    for needle, remedy in _REMEDIES.items():
        for line in lines:
            if needle in line:
                return f"{line}; {remedy}"
    # The first complaint is the cause of the others.
    telling = [line for line in lines if line and not line.startswith(_AFTERMATH)]
    return (telling or lines or ["ffmpeg stopped without a word"])[0]


def _start(command: list[str], named: str, **pipes) -> subprocess.Popen:
    try:
        return child.start(command, **pipes)
    except OSError as error:
        raise VideoError(f"{command[0]}: cannot be run ({error.strerror}); check {named}") from None


def _words(log: BinaryIO) -> str:
    log.seek(0)
    return log.read(1 << 20).decode(errors="replace")
