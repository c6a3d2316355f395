"""The conformance vectors as videos, for termux.sh: FOLDER makes them, --compare FOLDER checks what came of them."""

import hashlib
import subprocess
import sys
from pathlib import Path

from make_vectors import VECTORS

from stdo_min.commands.decode import decode
from stdo_min.format.sidecar import read
from stdo_min.player import open_video
from stdo_min.video.ffmpeg import ffmpeg_executable


def names():
    """Those that a player plays."""
    return [path.stem for path in sorted(VECTORS.glob("*.stdo")) if not read(path.read_bytes()).colour]


def make(folder):
    """NAME.mkv, coded without loss, and NAME.stdo beside it."""
    for name in names():
        data = (VECTORS / f"{name}.stdo").read_bytes()
        sidecar = read(data)
        (folder / f"{name}.stdo").write_bytes(data)
        subprocess.run([ffmpeg_executable(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size",
                        f"{sidecar.lr_width}x{sidecar.lr_height}", "-i", VECTORS / f"{name}.lr", "-vf",
                        "setparams=range=tv", "-c:v", "ffv1", folder / f"{name}.mkv"], check=True)


def compare(folder):
    """Decode here too, and hold all against it."""
    for name in names():
        out = folder / f"{name}.here.y4m"
        decode(open_video(folder / f"{name}.mkv"), out, force=True)
        for other in ("hr", "pipe", "c"):
            found, wanted = ((hashlib.md5(pixels(path)).hexdigest()) for path in (folder / f"{name}.{other}.y4m", out))
            print(f"{name:12} {other:5} {found} {'ok' if found == wanted else 'DIFFERS: ' + wanted}")
            if found != wanted:
                sys.exit(1)


def pixels(path):
    """A y4m file without its first line, in which ffmpeg's releases say more or less."""
    return path.read_bytes().partition(b"\n")[2]


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        compare(Path(sys.argv[2]))
    else:
        make(Path(sys.argv[1]))
