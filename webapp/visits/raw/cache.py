"""Copies of raw rows on this machine's disk, for DuckDB to read.

What is copied never changes, so that two processes may fill the cache at once: a copy appears whole under its name or
not at all. The copies used longest ago are removed when there are too many; nothing is lost by it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

TRIM_SECONDS = 60.0
SPILL, SEALING = "spill-", "sealing-"
"""Folders of DuckDB for what does not fit into memory, and of files that are being written."""
UNFINISHED = "."
UNUSED_SECONDS = 24 * 3600
"""What nobody read for a day goes: what was replaced, and so perhaps erased, is never read again."""


class RawCache:
    """A folder of copies, bounded in bytes."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._trimmed_at = 0.0

    def find(self, name: str) -> Path | None:
        """The copy of this name, marked as used."""
        self._trim_now_and_then()
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def keep(self, name: str, blocks: Iterable[bytes]) -> Path:
        """Make the copy of this name."""
        path = self._folder / name
        handle, unfinished = tempfile.mkstemp(dir=self._folder, prefix=UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                for block in blocks:
                    file.write(block)
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        self._trim_now_and_then()
        return path

    def trim(self) -> None:
        """Remove the copies that were not used for a day, and of the others those used longest ago until they fit."""
        kept_bytes = 0
        for used_at, byte_count, path in sorted(self._copies(), reverse=True):
            kept_bytes += byte_count
            is_too_much = kept_bytes > self._limit_bytes and not path.name.startswith(UNFINISHED)
            if is_too_much or used_at < time.time() - UNUSED_SECONDS:
                path.unlink(missing_ok=True)
        for path in self._folder.glob(f"{SPILL}*"):
            if _is_unused(path) and _is_empty(path):
                shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.glob(f"{SEALING}*"):
            if _is_unused(path):  # whoever wrote there was killed
                shutil.rmtree(path, ignore_errors=True)

    def _trim_now_and_then(self) -> None:
        if time.monotonic() - self._trimmed_at > TRIM_SECONDS:
            self._trimmed_at = time.monotonic()
            self.trim()

    def _copies(self) -> list[tuple[float, int, Path]]:
        found = []
        for entry in os.scandir(self._folder):
            try:
                status = entry.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if entry.is_file():
                found.append((status.st_mtime, status.st_size, Path(entry.path)))
        return found


def _is_unused(folder: Path) -> bool:
    """Whether a folder was not written to for a day. Another process may remove it meanwhile."""
    try:
        return folder.stat().st_mtime < time.time() - UNUSED_SECONDS
    except FileNotFoundError:
        return False


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except FileNotFoundError:
        return False
