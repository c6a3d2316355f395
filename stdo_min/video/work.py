"""The work folder of a long run: what is finished lies there, so that the same command goes on after a kill."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from stdo_min.video.ffmpeg import VideoError
from stdo_min.video.output import LOCK, hold_lock, new_name, write_whole

_RUN, _SECONDS = "run.json", "seconds"
WRITING = "writing"  # a task that is finished when all others are, before the output is written


class Work:
    """A folder of finished tasks, each a file that is there whole or not at all."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where the file of a task lies, or will lie."""
        return self.folder / name

    def has(self, name: str) -> bool:
        """Whether a task is finished."""
        return self.path(name).exists()

    def open(self, name: str) -> BinaryIO:
        """The file of a finished task, to be read."""
        return self.path(name).open("rb")

    def keep(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        """Finish a task: write its file."""
        write_whole(self.path(name), write)

    def drop(self, name: str) -> None:
        """Remove the file of a task that is needed no more."""
        self.path(name).unlink(missing_ok=True)

    def seconds(self) -> float:
        """The seconds of a time budget that are used, as last kept."""
        return float(self.path(_SECONDS).read_text()) if self.has(_SECONDS) else 0.0

    def keep_seconds(self, seconds: float) -> None:
        """Keep how many seconds of a time budget are used."""
        self.keep(_SECONDS, lambda file: file.write(f"{seconds:.3f}".encode()))

    def finished(self) -> list[str]:
        """The names of the tasks that are finished."""
        return sorted(path.name for path in self.folder.iterdir()
                      if path.name not in (_RUN, _SECONDS, LOCK) and ".tmp" not in path.suffixes)

    def remove(self) -> None:
        """Remove the folder and all in it: at once by another name, under which the next run sweeps what is left."""
        gone = self.folder.with_name(new_name())
        os.rename(self.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def work_path(out: Path) -> Path:
    """The work folder of the run that makes `out`."""
    return out.with_name(f"{out.name}.work")


def was_writing(out: Path) -> bool:
    """Whether an earlier run was stopped while it wrote `out`, which it had checked it might."""
    return (work_path(out) / WRITING).exists()


@contextmanager
def open_work(out: Path, run: dict, restart: bool = False, note: Callable[[str], None] = print) -> Iterator[Work]:
    """The work folder beside `out`, new or as an earlier run left it; it is removed if the block succeeds.

    run: whatever the result depends on, as JSON takes it: a folder of a run that differs in it is refused, unless
    `restart` empties it. note: gets a line about what is found and what is left behind. Where the block fails, the
    folder stays if a task is finished. Raises VideoError for a folder of another run, one in use, or one that cannot
    be written.
    """
    folder = work_path(out)
    if folder.exists() and not folder.is_dir():
        raise VideoError(f"{folder}: is needed for work, but is not a directory; choose another output")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with hold_lock(folder / LOCK) as held:
            if not held:
                raise VideoError(f"{folder}: another run works in it; wait for it, or choose another output")
            work = _prepared(Work(folder), json.loads(json.dumps(run)), restart, out)
            done = len(work.finished())
            note(f"{folder}: goes on from there, {done} tasks are done" if done
                 else f"{folder}: takes what is finished, until all is")
            for other in _dead_beside(folder):
                note(f"{other}: is left of a run that did not finish; give its command again, or remove it")
            try:
                yield work
            except BaseException:
                _leave(work, note)
                raise
            work.remove()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO) \
                and str(error.filename or folder).startswith(str(folder)):
            raise VideoError(f"{folder}: cannot be written ({error.strerror}); make room or choose another output, "
                             "and give the same command again") from None
        raise


def _dead_beside(folder) -> Iterator[Path]:
    """The work folders of other runs in the same place that nobody works in."""
    for run in folder.parent.glob(f"*.work/{_RUN}"):
        if run.parent != folder:
            with suppress(OSError), hold_lock(run.parent / LOCK) as held:
                if held:
                    yield run.parent


def _prepared(work, run, restart, out) -> Work:
    if not work.has(_RUN) and any(path.name != LOCK and not path.name.startswith(_RUN)
                                  for path in work.folder.iterdir()):
        raise VideoError(f"{work.folder}: is needed for work, but holds something else; choose another output")
    for half in work.folder.glob("*.tmp*"):
        _remove(half)
    if work.has(_RUN) and not restart:
        with suppress(ValueError):
            before = json.loads(work.path(_RUN).read_text())
            if before == run:
                return work
            changed = [name for name in sorted({*before, *run}) if before.get(name) != run.get(name)]
            raise VideoError(f"{work.folder}: holds an unfinished run with other {' and '.join(changed)}; give the "
                             "same command as then, or add --restart to begin anew")
    for path in work.folder.iterdir():
        if path.name != LOCK:
            _remove(path)
    work.keep(_RUN, lambda file: file.write(json.dumps(run, indent=1).encode()))
    return work


def _remove(path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _leave(work, note) -> None:
    done = work.finished()
    if done:
        size = sum(work.path(name).stat().st_size for name in done)
        note(f"{work.folder}: keeps what is finished ({size / 1e6:,.0f} MB); the same command goes on from there")
    else:
        work.remove()
