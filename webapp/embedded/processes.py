"""Processes of this machine: finding a server's by the folder it works in, and ending them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


def processes_in(folder: Path, name: str) -> list[psutil.Process]:
    """Living processes of this name whose working folder is `folder`.

    A process id from a file proves nothing: after kill -9 it may be a zombie's, or anybody's.
    """
    return [process for process in psutil.process_iter() if _works_in(process, folder, name)]


def _works_in(process: psutil.Process, folder: Path, name: str) -> bool:
    try:
        if process.name() != name or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.cwd()) == folder
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def end(processes: Iterable[psutil.Process], signals: Iterable[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds; True when all are gone."""
    asked = list(processes)
    for number, seconds in signals:
        for process in asked:
            _send(process, number)
        if wait_until(lambda: all(map(is_gone, asked)), seconds):
            return True
    return False


def is_gone(process: psutil.Process) -> bool:
    """Ended, whether or not its parent has taken note (a zombie holds nothing any more)."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until `condition` holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def die_with_parent(parent: int, number: signal.Signals) -> Callable[[], None]:
    """What a child runs between fork and exec, so that the kernel signals it when its parent dies.

    Nothing else covers `kill -9` of the supervisor, which runs no handler.
    """

    def prepare() -> None:
        if sys.platform != "linux":
            return
        _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def lower_priority(pid: int, niceness: int) -> None:
    """Let a process that has just begun, and what it will start, wait for the processor more than others do.

    Linux shares the processor among sessions before it looks at the niceness within one (sched(7), autogroup), so
    the session is told too. Where that cannot be, the process merely runs as fast as the others.
    """
    if not niceness:
        return
    with contextlib.suppress(OSError):  # it may have ended
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness), encoding="ascii")
