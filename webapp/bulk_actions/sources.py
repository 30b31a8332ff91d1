"""What an import is read from: its file as it is, or a copy of it as CSV in UTF-8, when bytes of it cannot be cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from webapp.bulk_actions.copies import copy_key
from webapp.bulk_actions.detect import SAMPLE_BYTES, WORKBOOK, Detected, FileFormat, detect, detect_as
from webapp.bulk_actions.files import HEAD_SUFFIX
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.workbooks import head_of, local_copy
from webapp.lib.storage import Storage, StorageMissingError
from webapp.records.entities import get_entity

WORKBOOK_SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


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
    with local_copy(storage, key) as path:
        made = head_of(path, sheet)
    storage.write(key + HEAD_SUFFIX, [made])
    return _parted(made)


def _parted(head: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, content = head.partition(b"\n")
    info: dict[str, Any] = json.loads(line)
    return info, content
