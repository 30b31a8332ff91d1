"""Copies of files that cannot be cut as they are, as CSV in UTF-8: made once for each way of reading a file.

A copy appears whole or not at all. The preview asks for it, and the import makes it if nobody did.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.files import COPIES_SUFFIX
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import lock_running_tries
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.workbooks import local_copy, rows_of
from webapp.extensions import db
from webapp.lib.storage import Storage, StorageMissingError

NAME_LENGTH = 16
PROBLEM_SUFFIX = ".problem"
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 3))")
TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 3))")


def copy_key(bulk_action: BulkAction) -> str:
    """Where the store keeps the copy, as the file is now read. A dry run shares its draft's."""
    found = FileFormat(**bulk_action.format)
    how = [found.encoding, found.sheet, found.column_count, found.byte_order_mark, found.leading_byte_count]
    name = hashlib.sha256(json.dumps(how).encode()).hexdigest()[:NAME_LENGTH]
    return f"{bulk_action.file_key}{COPIES_SUFFIX}/{name}"


def has_copy(bulk_action: BulkAction, storage: Storage) -> bool:
    """Whether the copy is there, whole."""
    return storage.has(copy_key(bulk_action))


def problem_of_copy(bulk_action: BulkAction, storage: Storage) -> str | None:
    """Why the copy could not be made, if somebody tried."""
    key = copy_key(bulk_action) + PROBLEM_SUFFIX
    try:
        return storage.read(key, 0, storage.size(key)).decode()
    except StorageMissingError:
        return None


def make_copy(bulk_action: BulkAction, storage: Storage) -> None:
    """Make the copy, or wait for whoever does. Raises UnreadableFileError when the file cannot be read to its end."""
    db.session.execute(LOCK, {"key": copy_key(bulk_action)})
    if not has_copy(bulk_action, storage):
        convert(storage, bulk_action)


def prepare_copy(bulk_action: BulkAction, storage: Storage) -> None:
    """Make the copy for the preview, unless somebody is at it; keep the reason when it cannot be made.

    One at a time in an organisation, so that many large workbooks hold up nobody else; of a draft, only the last
    that was looked at is kept. Whoever waits for another asks again.
    """
    key = copy_key(bulk_action)
    names = (f"copies of {bulk_action.organisation_id}", key)
    if not all(db.session.execute(TRY_LOCK, {"key": name}).scalar_one() for name in names):
        return
    if has_copy(bulk_action, storage):
        return
    _delete_others(bulk_action, storage)
    try:
        convert(storage, bulk_action)
    except UnreadableFileError as error:
        storage.write(key + PROBLEM_SUFFIX, [str(error).encode()])


def _delete_others(bulk_action: BulkAction, storage: Storage) -> None:
    """Copies of the draft as it was read before, unless a try may read one."""
    if lock_running_tries(bulk_action.organisation_id, bulk_action.id):
        return
    for other in storage.keys(bulk_action.file_key + COPIES_SUFFIX):
        storage.delete(other)


def convert(storage: Storage, bulk_action: BulkAction) -> None:
    """Make the copy that can be cut. Raises UnreadableFileError when a workbook cannot be read to its end."""
    file_format = FileFormat(**bulk_action.format)
    if not file_format.is_workbook:
        _convert_wide(storage, bulk_action, file_format)
        return
    with local_copy(storage, bulk_action.file_key) as path:
        rows = rows_of(path, file_format.sheet, file_format.column_count)
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
