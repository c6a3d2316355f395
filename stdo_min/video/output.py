"""Files that appear whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stdo_min.video.ffmpeg import VideoError

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def output_file(path: str | os.PathLike, force: bool = False,
                inputs: Sequence[str | os.PathLike] = ()) -> Iterator[Path]:
    """Give a temporary name beside `path` that becomes `path` if the block succeeds and vanishes if it does not.

    Raises VideoError if `path` is one of the `inputs`, exists and `force` is not set, is not a regular file, or cannot
    be written."""
    shown, path = path, Path(os.path.realpath(path))
    if any(path == Path(os.path.realpath(read)) or (path.exists() and os.path.exists(read) and path.samefile(read))
           for read in inputs):
        raise VideoError(f"{shown}: is itself an input; choose another name for the output")
    if path.exists():
        if not path.is_file():
            raise VideoError(f"{shown}: {'a directory' if path.is_dir() else 'not a regular file'}; give a file name")
        if not force:
            raise VideoError(f"{shown}: exists already; choose another name or add --force")
    if not path.parent.is_dir():
        raise VideoError(f"{shown}: there is no directory {path.parent}; make it first")
    temporary = path.with_name(f".stdo-{secrets.token_hex(4)}{path.suffix}")
    try:
        # Made now, so that a directory that refuses it is known before hours of work.
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise VideoError(f"{shown}: cannot be written ({error.strerror}); choose another directory") from None
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise VideoError(f"{shown}: cannot be written ({error.strerror}); check the disk") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
