"""Rows of a file that stay out after all: read once more, and kept with their cells and the reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from uuid import UUID

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkActionChunk, Phase
from webapp.bulk_actions.parse import Rejected, cells_as_json, keepable
from webapp.bulk_actions.queries import get_bulk_action, list_chunks
from webapp.bulk_actions.sources import source_of
from webapp.extensions import driver_connection
from webapp.lib.storage import Storage

Row = tuple[int, list[str]]


def note_rejected(organisation_id: UUID, bulk_action_id: UUID, rejected: Sequence[Rejected]) -> None:
    """Keep rejected rows with their cells, which may hold what PostgreSQL cannot: it shows as U+FFFD."""
    if not rejected:
        return
    statement = (
        "INSERT INTO rejected_rows (organisation_id, bulk_action_id, row_number, reason, cells)"
        " SELECT %s, %s, row_number, reason, cells::jsonb"
        " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS rows (row_number, reason, cells)"
    )
    numbers = [row.row_number for row in rejected]
    reasons = [keepable(row.reason) for row in rejected]
    cells = [cells_as_json(row.cells) for row in rejected]
    driver_connection().execute(statement, [organisation_id, bulk_action_id, numbers, reasons, cells])


def rows_among(numbers: Sequence[int], partition: BulkActionChunk, storage: Storage) -> Iterator[Row]:
    """Those rows of the file, read a chunk at a time."""
    wanted = set(numbers)
    for chunk in list_chunks(partition.organisation_id, partition.bulk_action_id, Phase.STAGE):
        if wanted.intersection(range(chunk.first_row_number, chunk.first_row_number + chunk.row_count)):
            yield from (row for row in rows_of(chunk, storage) or [] if row[0] in wanted)


def rows_of(chunk: BulkActionChunk, storage: Storage) -> list[Row] | None:
    """The chunk's rows with their numbers, as the csv module reads them; None when it cannot."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
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
