"""Files that appear whole or not at all, and the removal of what killed runs have left behind."""

import errno
import os
import re
import secrets
import shutil
import socket
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from stdo_min.video.ffmpeg import VideoError

try:
    import fcntl
except ImportError:  # Windows: nothing tells a dead run's folder from a live one's
    fcntl = None

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
# A folder's run is alive as long as it holds the lock on the file in it. The file's name stands for the machine, since
# on a disk shared over a network another machine's locks may not be seen. A folder without a lock is left alone.
_FOLDER = re.compile(r"\.stdo-[0-9a-f]{8}")
LOCK, _UNLOCKED = f"lock-{zlib.crc32(os.fsencode(socket.gethostname())):08x}", "no-lock"


@contextmanager
def output_file(path: str | os.PathLike, force: bool = False,
                inputs: Sequence[str | os.PathLike] = ()) -> Iterator[Path]:
    """Give a temporary name that becomes `path` if the block succeeds and vanishes if it does not.

    It lies in a work_folder beside `path`, where the block may put other files. Raises VideoError if `path` is one of
    the `inputs`, exists and `force` is not set, is not a regular file, or cannot be written."""
    check_output(path, force, inputs)
    shown, path = path, Path(os.path.realpath(path))
    with ExitStack() as stack:
        try:
            # Made now, so that a directory that refuses it is known before hours of work.
            folder = stack.enter_context(work_folder(path.parent))
        except OSError as error:
            raise VideoError(f"{shown}: cannot be written ({error.strerror}); choose another directory") from None
        try:
            yield folder / f"out{path.suffix}"
            os.replace(folder / f"out{path.suffix}", path)
        except OSError as error:
            elsewhere = error.filename and folder not in Path(os.fsdecode(error.filename)).parents
            if error.errno not in _DISK_ERRORS or elsewhere:
                raise
            raise VideoError(f"{shown}: cannot be written ({error.strerror}); check the disk") from None


@contextmanager
def work_folder(directory: Path) -> Iterator[Path]:
    """A new folder `.stdo-*` in a directory, removed when the block ends; first, those of killed runs are removed.

    Raises OSError if the directory cannot be written."""
    _sweep(directory)
    folder, lock = _make_folder(directory)
    try:
        yield folder
    finally:
        with suppress(OSError):
            _empty(folder)
        if lock is not None:
            os.close(lock)  # Windows removes no file that is open
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file that is there whole or not at all, whenever this process or the machine stops.

    write: gets the file. Raises OSError.
    """
    half = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        # To be read too, because NumPy writes past Python to a file that is not, and then does not say why it failed.
        with half.open("w+b") as file:
            write(file)
        make_whole(half, path)
    except BaseException:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise


def make_whole(half: Path, path: Path) -> None:
    """Give a file that is written its name, once its bytes are on the disk."""
    with half.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(half, path)
    if os.name == "posix":  # so that the name is on the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold a lock on a file, made where it is missing; gives whether it was free. It ends with this process."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(file)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(file)


def check_output(path: str | os.PathLike, force: bool, inputs: Sequence[str | os.PathLike]) -> None:
    """Raise VideoError where `output_file` would refuse a path."""
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


def new_name() -> str:
    """A name that no folder has, for one that is swept when its run is dead."""
    return f".stdo-{secrets.token_hex(4)}"


def _make_folder(directory: Path) -> tuple[Path, int | None]:
    """A folder and the file descriptor that holds its lock; None where there are no locks."""
    while True:
        folder = directory / new_name()
        folder.mkdir(0o700)
        # Another run may sweep the folder before it is locked; then this loop makes another.
        with suppress(FileNotFoundError, BlockingIOError), ExitStack() as files:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            files.callback(os.close, lock)
            if not _lock(lock):
                files.close()  # Windows renames no file that is open
                os.rename(folder / LOCK, folder / _UNLOCKED)
                return folder, None
            if os.stat(folder / LOCK).st_ino == os.fstat(lock).st_ino:
                files.pop_all()
                return folder, lock


def _sweep(directory: Path) -> None:
    """Remove the folders of runs on this machine that no longer hold their lock."""
    if fcntl is None:
        return
    with suppress(OSError):
        for folder in list(directory.glob(".stdo-*")):
            with suppress(OSError):
                _remove_dead(folder)


def _remove_dead(folder: Path) -> None:
    found = folder.lstat()
    if not _FOLDER.fullmatch(folder.name) or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    with suppress(OSError):
        folder.rmdir()  # empty: its run was killed, or is about to lock it and notices
        return
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _lock(lock):
            _empty(folder)
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    """Remove all but the lock, which goes last: if we are killed on the way, the rest can still be swept."""
    for inside in folder.iterdir():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        elif inside.name != LOCK:
            inside.unlink()


def _lock(file: int) -> bool:
    """Take a lock that ends with this process; False where there are none. Raises BlockingIOError if it is taken."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        raise
    except OSError:
        return False
