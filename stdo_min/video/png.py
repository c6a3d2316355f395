"""PNG files: what one holds, its pixels, and writing one; WebP for pages. imageio is imported only for pixels."""

import struct
from pathlib import Path

import numpy as np

from stdo_min.video.ffmpeg import VideoError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ALPHA = (4, 6)  # colour types
WEBP_SIDE = 16_383  # pixels of a WebP's side at the most


def png_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of a PNG of 8 bits or fewer without transparency.

    Raises VideoError for any other file: 16 bits and transparency would be lost without a word."""
    try:
        with path.open("rb") as file:
            start = file.read(33)
            if len(start) < 33 or not start.startswith(_SIGNATURE) or start[12:16] != b"IHDR":
                raise VideoError(f"{path}: not a PNG in spite of its name; make it one, or rename it")
            width, height, depth, kind = struct.unpack(">IIBB", start[16:26])
            transparent = kind in _ALPHA or _has_chunk(file, b"tRNS")
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if depth > 8 or transparent:
        what = f"has {depth} bits a channel" if depth > 8 else "has transparency"
        raise VideoError(f"{path}: {what}, frames are 8-bit RGB or grey; convert it: ffmpeg -i IN.png -pix_fmt rgb24 "
                         "OUT.png")
    return width, height


def read_png(path: Path) -> np.ndarray:
    """The pixels of a PNG, uint8 (H, W, 3): RGB, with grey and palettes turned into it.

    Colour profiles are not applied. Raises VideoError if the file is damaged."""
    imread = _imageio().imread
    try:
        return imread(path, plugin="pillow", index=0, mode="RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise VideoError(f"{path}: cannot be decoded ({error}); copy or make it again") from None


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write pixels uint8 (H, W, 3), RGB, whatever the ending of the name. Raises OSError if that fails."""
    # Through memory: on a full disk imageio's own file complains once more when it is closed.
    path.write_bytes(_imageio().imwrite("<bytes>", pixels, plugin="pillow", extension=".png"))


def webp(pixels: np.ndarray, quality: int) -> bytes:
    """Pixels uint8 (H, W, 3), RGB, as a WebP of a quality of 1..100, the higher the better.

    Raises OSError if that fails, as it does with a side of more than WEBP_SIDE, and where Pillow has no WebP.
    """
    try:
        return _imageio().imwrite("<bytes>", pixels, plugin="pillow", extension=".webp", quality=quality)
    except (KeyError, ValueError) as error:  # Pillow's words for both
        raise OSError(f"no WebP of {pixels.shape[1]}x{pixels.shape[0]} pixels can be made ({error})") from None


def _has_chunk(file, wanted: bytes) -> bool:
    """Whether a chunk comes before the pixels; the file stands behind its first chunk."""
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (wanted, b"IDAT"):
            return name == wanted
        file.seek(length + 4, 1)
    return False


def _imageio():
    try:
        import imageio.v3
    except ImportError as error:
        raise VideoError(f"{error.name} is not installed, which PNG and WebP need: pip install imageio (Termux: first "
                         "pkg install python-pillow)") from None
    return imageio.v3
