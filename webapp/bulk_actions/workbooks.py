"""Asking `sheets` about a workbook: it is opened in a process of its own, for which this one only carries bytes.

A workbook that takes too much memory, or far too long, costs nobody else anything.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO

from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.sheets import BROKEN, MAX_UNPACKED_BYTES, TOO_LARGE, UNREADABLE
from webapp.lib.storage import Storage

ROOT = Path(__file__).parents[2]
PIPE_BLOCK_BYTES = 1024 * 1024
ERROR_LENGTH = 2_000
STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""What a machine that shuts down sends to all: it says nothing of the workbook, which is read again later."""

logger = logging.getLogger(__name__)


@contextmanager
def local_copy(storage: Storage, key: str) -> Iterator[Path]:
    """The file on this machine's disk: a workbook is a zip, which is read from its end."""
    with NamedTemporaryFile(prefix="footfall-") as file:
        for block in storage.stream(key):
            file.write(block)
        file.flush()
        yield Path(file.name)


def head_of(path: Path, sheet: str | None) -> bytes:
    """The sheets in a line of JSON, then a sheet's first rows. Raises UnreadableFileError."""
    return b"".join(_made_by("head", path, *([sheet] if sheet else [])))


def rows_of(path: Path, sheet: str, column_count: int) -> Iterator[bytes]:
    """All rows of a sheet as CSV in UTF-8. Raises UnreadableFileError."""
    return _made_by("rows", path, sheet, str(column_count))


def _made_by(verb: str, path: Path, *arguments: str) -> Iterator[bytes]:
    """What `sheets` writes; raises UnreadableFileError with the reason when it gives up, or is given up."""
    command = [sys.executable, "-m", "webapp.bulk_actions.sheets", verb, str(path), *arguments]
    with (
        TemporaryFile() as problems,
        subprocess.Popen(  # noqa: S603  (our own module, and no shell)
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=problems
        ) as process,
    ):
        try:
            yield from _bounded(process.stdout)
        except BaseException:  # nobody reads on
            process.kill()
            raise
        if -process.wait() in STOPPING:
            raise ChildProcessError("Reading a workbook was stopped from outside.")
        if process.returncode:
            raise UnreadableFileError(_reason(process.returncode, problems))


def _bounded(output: IO[bytes] | None) -> Iterator[bytes]:
    byte_count = 0
    while block := output.read(PIPE_BLOCK_BYTES) if output else b"":
        byte_count += len(block)
        if byte_count > MAX_UNPACKED_BYTES:
            raise UnreadableFileError(TOO_LARGE)
        yield block


def _reason(return_code: int, problems: IO[bytes]) -> str:
    """Its own words; when it was ended, by a limit of memory or time, ours."""
    problems.seek(0)
    text = problems.read().decode("utf-8", "replace").strip()
    if return_code == UNREADABLE:
        return text
    logger.warning("Reading a workbook ended with %s: %s", return_code, text[-ERROR_LENGTH:])
    return TOO_LARGE if return_code < 0 else BROKEN
