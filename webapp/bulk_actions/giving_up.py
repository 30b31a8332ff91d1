"""What becomes of an import's chunk that went wrong every time: its rows are rejected, so that the others can go in.

Nothing is done again that may have stopped the worker. If only reading the rows stops it too, the next attempt
rejects them unread.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from webapp.bulk_actions.chunks import MAX_ATTEMPTS, Sends, finish_stage, finish_unmerged, note_given_up
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, Phase
from webapp.bulk_actions.parse import Rejected
from webapp.bulk_actions.queries import get_bulk_action, list_chunks, list_staged_row_numbers
from webapp.bulk_actions.sources import source_of
from webapp.bulk_actions.work import note_rejected
from webapp.lib.storage import Storage
from webapp.records.entities import get_entity

REMEDY = "Look whether something in it is unusual, and drop it again."
Row = tuple[int, list[str]]


def reject_stage_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Reject every row of the chunk that is not blank. Unread, they are one entry of the report and count as rows."""
    note_given_up(chunk)
    rows = _rows_of(chunk, storage) if _may_read(chunk) else None
    if rows is None:
        _reject(chunk, [(chunk.first_row_number, [])], f"{_span(chunk)} could not even be read, and were left out.")
        return finish_stage(chunk, 0, chunk.row_count, 0)
    kept = [row for row in rows if any(map(str.strip, row[1]))]
    _reject(chunk, kept, f"{_span(chunk)} together {_stopped()}, so they were left out. {REMEDY}")
    return finish_stage(chunk, 0, len(kept), len(rows) - len(kept))


def reject_merge_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Reject every staged row of the partition, with its cells as they are in the file if they can be read."""
    note_given_up(chunk)
    key = (chunk.organisation_id, chunk.bulk_action_id)
    staged = get_entity(_bulk_action_of(chunk).entity).staged
    numbers = list_staged_row_numbers(staged, *key, chunk.start_offset, chunk.end_offset)
    cells = dict(_rows_among(numbers, chunk, storage)) if _may_read(chunk) else {}
    reason = f"Writing this row together with {len(numbers) - 1:,} others {_stopped()}, so it was left out. {REMEDY}"
    _reject(chunk, [(number, cells.get(number, [])) for number in numbers], reason)
    return finish_unmerged(chunk, len(numbers))


def given_up_words(chunk: BulkActionChunk) -> str:
    """Why the whole bulk action fails, when it cannot do without this chunk."""
    return f"Working on it {_stopped()}, so it was given up.{_last_error(chunk)}"


def _may_read(chunk: BulkActionChunk) -> bool:
    """Only once: whether that stopped the worker too is not known otherwise."""
    return chunk.attempt_count == MAX_ATTEMPTS + 1


def _reject(chunk: BulkActionChunk, rows: Sequence[Row], reason: str) -> None:
    reason += _last_error(chunk)
    rejected = [Rejected(number, reason, cells) for number, cells in rows]
    note_rejected(chunk.organisation_id, chunk.bulk_action_id, rejected)


def _rows_among(numbers: Sequence[int], partition: BulkActionChunk, storage: Storage) -> Iterator[Row]:
    """Those rows of the file, read a chunk at a time."""
    wanted = set(numbers)
    for chunk in list_chunks(partition.organisation_id, partition.bulk_action_id, Phase.STAGE):
        if wanted.intersection(range(chunk.first_row_number, chunk.first_row_number + chunk.row_count)):
            yield from (row for row in _rows_of(chunk, storage) or [] if row[0] in wanted)


def _rows_of(chunk: BulkActionChunk, storage: Storage) -> list[Row] | None:
    """The chunk's rows with their numbers, as the csv module reads them; None when it cannot."""
    bulk_action = _bulk_action_of(chunk)
    source, file_format = source_of(bulk_action), FileFormat(**bulk_action.format)
    data = storage.read(source.key, chunk.start_offset, chunk.end_offset)
    lines = io.StringIO(data.decode(source.encoding, "surrogateescape"), newline="")
    try:
        records = list(csv.reader(lines, delimiter=file_format.delimiter))
    except csv.Error:
        return None
    header_count = len(records) - chunk.row_count
    if header_count not in (0, 1):
        return None
    return list(enumerate(records[header_count:], chunk.first_row_number))


def _bulk_action_of(chunk: BulkActionChunk) -> BulkAction:
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    return bulk_action


def _span(chunk: BulkActionChunk) -> str:
    return f"Rows {chunk.first_row_number:,} to {chunk.first_row_number + chunk.row_count - 1:,}"


def _stopped() -> str:
    return f"stopped the worker {MAX_ATTEMPTS} times"


def _last_error(chunk: BulkActionChunk) -> str:
    return f" The last error: {chunk.error}" if chunk.error else ""
