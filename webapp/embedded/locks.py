"""Locks on files: the kernel drops them with the process, so a crash leaves none behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """One process's hold on a lock file: none, shared with others, or alone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def try_share(self) -> bool:
        """Hold it together with others; False when somebody holds it alone."""
        return self._try(fcntl.LOCK_SH)

    def try_alone(self) -> bool:
        """Hold it alone; False when anybody else holds it (then a shared hold may be lost)."""
        return self._try(fcntl.LOCK_EX)

    def wait_alone(self) -> None:
        """Hold it alone, however long that takes."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def read(self) -> str:
        """What the holder wrote."""
        return os.pread(self._file, 1000, 0).decode(errors="replace").strip()

    def write(self, text: str) -> None:
        """Leave a word for whoever finds the lock taken."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)

    def close(self) -> None:
        """Let go."""
        os.close(self._file)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time inside."""
    lock = FileLock(path)
    try:
        lock.wait_alone()
        yield
    finally:
        lock.close()
