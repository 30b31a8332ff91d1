"""What an import is read from: its file as it is, or a copy of it as CSV in UTF-8, when bytes of it cannot be cut.

Workbooks are opened in processes of their own (`sheets`), for which this one only carries bytes: a workbook that takes
too much memory, or far too long, costs nobody else anything.
"""

from __future__ import annotations

import codecs
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any

from webapp.bulk_actions.detect import SAMPLE_BYTES, WORKBOOK, Detected, FileFormat, detect, detect_as
from webapp.bulk_actions.files import HEAD_SUFFIX, copy_key
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.sheets import BROKEN, MAX_UNPACKED_BYTES, TOO_LARGE, UNREADABLE
from webapp.lib.storage import Storage, StorageMissingError
from webapp.records.entities import get_entity

WORKBOOK_SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
ROOT = Path(__file__).parents[2]
PIPE_BLOCK_BYTES = 1024 * 1024
ERROR_LENGTH = 2_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """The bytes that are planned and read."""

    key: str
    encoding: str
    start: int


def source_of(bulk_action: BulkAction) -> Source:
    """What to read of this import."""
    file_format = FileFormat(**bulk_action.format)
    if file_format.is_wide:
        return Source(copy_key(bulk_action), "utf-8", 0)
    if file_format.is_workbook:
        return Source(copy_key(bulk_action), "utf-8", file_format.leading_byte_count)
    return Source(
        bulk_action.file_key, file_format.encoding, file_format.byte_order_mark + file_format.leading_byte_count
    )


# Looking at it ------------------------------------------------------------------------------------


def look_at(bulk_action: BulkAction, storage: Storage, *, is_utf8: bool, odd_sample: bytes) -> Detected:
    """Find out how to read a new file; raises UnreadableFileError."""
    sample, is_whole = _read_sample(storage, bulk_action)
    if sample.startswith(WORKBOOK_SIGNATURES):
        return _look_at_sheet(bulk_action, storage, None, None)
    return detect(sample, get_entity(bulk_action.entity), is_whole=is_whole, is_utf8=is_utf8, odd_sample=odd_sample)


def look_again(bulk_action: BulkAction, storage: Storage, wanted: FileFormat, *, has_header: bool | None) -> Detected:
    """Read its beginning as somebody wants it; `has_header` None is found out. Raises UnreadableFileError."""
    if wanted.is_workbook:
        return _look_at_sheet(bulk_action, storage, wanted.sheet, has_header)
    sample, is_whole = _read_sample(storage, bulk_action)
    return detect_as(
        sample,
        get_entity(bulk_action.entity),
        wanted.encoding,
        is_whole=is_whole,
        delimiter=wanted.delimiter,
        has_header=has_header,
    )


def _read_sample(storage: Storage, bulk_action: BulkAction) -> tuple[bytes, bool]:
    """(the file's first bytes, whether they are all of it)."""
    end = min(bulk_action.file_byte_count, SAMPLE_BYTES)
    return storage.read(bulk_action.file_key, 0, end), end == bulk_action.file_byte_count


def _look_at_sheet(bulk_action: BulkAction, storage: Storage, sheet: str | None, has_header: bool | None) -> Detected:
    info, content = _head(bulk_action.file_key, storage, sheet)
    entity = get_entity(bulk_action.entity)
    detected = detect_as(content, entity, "utf-8", is_whole=True, delimiter=",", has_header=has_header)
    return replace(detected, format=replace(detected.format, kind=WORKBOOK, sheet=info["sheet"], sheets=info["sheets"]))


def _head(key: str, storage: Storage, sheet: str | None) -> tuple[dict[str, Any], bytes]:
    """(names of sheet and sheets, its first rows as CSV), which are kept: people look at them several times."""
    try:
        kept = storage.read(key + HEAD_SUFFIX, 0, storage.size(key + HEAD_SUFFIX))
    except StorageMissingError:
        kept = b""
    if kept:
        info, content = _parted(kept)
        if sheet in (None, info["sheet"]):
            return info, content
    with _local_copy(storage, key) as path:
        made = b"".join(_made_by("head", path, *([sheet] if sheet else [])))
    storage.write(key + HEAD_SUFFIX, [made])
    return _parted(made)


def _parted(head: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, content = head.partition(b"\n")
    info: dict[str, Any] = json.loads(line)
    return info, content


# Converting it ------------------------------------------------------------------------------------


def convert(storage: Storage, bulk_action: BulkAction) -> None:
    """Make the copy that can be cut. Raises UnreadableFileError when a workbook cannot be read to its end."""
    file_format = FileFormat(**bulk_action.format)
    if not file_format.is_workbook:
        _convert_wide(storage, bulk_action, file_format)
        return
    with _local_copy(storage, bulk_action.file_key) as path:
        rows = _made_by("rows", path, file_format.sheet, str(file_format.column_count))
        storage.write(copy_key(bulk_action), rows)


def _convert_wide(storage: Storage, bulk_action: BulkAction, file_format: FileFormat) -> None:
    """Rewrite a file of wide characters as UTF-8, a block at a time.

    What cannot be read stays unreadable in UTF-8, so that its row is rejected and not altered.
    """
    errors = "surrogatepass" if file_format.encoding.startswith("utf") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(file_format.encoding)(errors)
    start = file_format.byte_order_mark + file_format.leading_byte_count
    with ThreadPoolExecutor(max_workers=1) as reader:  # the store cannot be read from within its own writing
        blocks = _read_by(reader, storage.stream(bulk_action.file_key, start))
        storage.write(copy_key(bulk_action), (decoder.decode(block).encode("utf-8", errors) for block in blocks))


def _read_by(reader: ThreadPoolExecutor, blocks: Iterator[bytes]) -> Iterator[bytes]:
    while block := reader.submit(next, blocks, b"").result():
        yield block


# Asking another process ---------------------------------------------------------------------------


@contextmanager
def _local_copy(storage: Storage, key: str) -> Iterator[Path]:
    """The file on this machine's disk: a workbook is a zip, which is read from its end."""
    with NamedTemporaryFile(prefix="footfall-") as file:
        for block in storage.stream(key):
            file.write(block)
        file.flush()
        yield Path(file.name)


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
        if process.wait():
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
