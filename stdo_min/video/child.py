"""Children that die with us, even where we are killed and clean up nothing.

Linux and Android: the kernel kills a child when the thread that started it ends (PR_SET_PDEATHSIG). So one thread
starts all of them, and lives as long as the process. Elsewhere a child whose parent was killed works on to its own end,
which is soon where it reads from or writes to one of our pipes."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

_PR_SET_PDEATHSIG = 1


def start(command: Sequence[str], **options) -> subprocess.Popen:
    """Start a program in a session of its own, which Ctrl-C does not reach; `options` are those of Popen.

    Raises OSError if it cannot be started."""
    if _prctl is None:
        return subprocess.Popen(command, start_new_session=True, **options)
    order = Future()
    _orders().put((order, command, options))
    try:
        return order.result()
    except BaseException:  # Ctrl-C: no caller gets the child, so it is ended as soon as it is there
        order.add_done_callback(_end)
        raise


def die_with(prctl, getppid, kill, pid, parent: int) -> None:
    """In the child, between fork and exec: ask for SIGKILL when the thread that forked ends.

    The functions come as arguments: to look one up may take a lock, which another thread may have held at the fork."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if getppid() != parent:  # the parent died before this took effect
        kill(pid(), signal.SIGKILL)


def _find_prctl():
    if sys.platform not in ("linux", "android"):
        return None
    prctl = ctypes.PyDLL(None).prctl  # PyDLL keeps the interpreter's lock, which could not be got back after the fork
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return prctl


_prctl = _find_prctl()
_lock, _queue = threading.Lock(), None


def _forget() -> None:
    """After a fork of this process, in the new one, which lacks the thread that starts children."""
    global _lock, _queue
    _lock, _queue = threading.Lock(), None


if _prctl is not None:
    os.register_at_fork(after_in_child=_forget)


def _orders() -> queue.SimpleQueue:
    global _queue
    with _lock:
        if _queue is None:
            _queue = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(_queue, os.getpid()), name="stdo-children", daemon=True).start()
        return _queue


def _serve(orders: queue.SimpleQueue, parent: int) -> None:
    prepare = partial(die_with, _prctl, os.getppid, os.kill, os.getpid, parent)
    while True:
        order, command, options = orders.get()
        try:
            order.set_result(subprocess.Popen(command, start_new_session=True, preexec_fn=prepare, **options))
        except BaseException as error:
            order.set_exception(error)
        del order, options  # open files are not kept until the next order


def _end(order: Future) -> None:
    if not order.cancelled() and order.exception() is None:
        order.result().kill()
        order.result().wait()
