"""What becomes of an import's chunk that went wrong every time: its rows are rejected, so that the others can go in.

Nothing is done again that may have stopped the worker. If only reading the rows stops it too, the next attempt
rejects them unread.
"""

from __future__ import annotations

from collections.abc import Sequence

from webapp.bulk_actions.chunks import MAX_ATTEMPTS, Sends, finish_stage, finish_unmerged, note_given_up
from webapp.bulk_actions.models import BulkAction, BulkActionChunk
from webapp.bulk_actions.parse import Rejected
from webapp.bulk_actions.queries import get_bulk_action, list_staged_row_numbers
from webapp.bulk_actions.rejecting import Row, note_rejected, rows_among, rows_of
from webapp.lib.storage import Storage
from webapp.records.entities import get_entity

REMEDY = "Look whether something in it is unusual, and drop it again."


def reject_stage_chunk(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Reject every row of the chunk that is not blank. Unread, they are one entry of the report and count as rows."""
    note_given_up(chunk)
    rows = rows_of(chunk, storage) if _may_read(chunk) else None
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
    cells = dict(rows_among(numbers, chunk, storage)) if _may_read(chunk) else {}
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
