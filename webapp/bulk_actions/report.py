"""The rows that an import left out, as a file to mend and drop again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.mapping import REPORT_COLUMNS, own_width
from webapp.bulk_actions.models import RejectedRow
from webapp.bulk_actions.queries import REPORT_PAGE_ROWS, list_rejected_rows
from webapp.extensions import db, tenant
from webapp.lib.multipart import plain_name


def report_name(file_name: str) -> str:
    """What the file of an upload's rejected rows is called."""
    return f"{plain_name(file_name).rsplit('.', 1)[0]} - rejected rows.csv"


def rejected_rows_csv(organisation_id: UUID, bulk_action_id: UUID, file_format: FileFormat) -> Iterator[str]:
    """The file's own columns and two more, in pieces. The mark in front tells Excel that it is UTF-8.

    Whoever downloads may be slow, so nothing is held between two pieces: neither a transaction nor the
    tenant, which belongs to whatever this thread does meanwhile.
    """
    yield "\ufeff" + _lines([[*file_format.header[: own_width(file_format.header)], *REPORT_COLUMNS]], file_format)
    after = 0
    while rows := _next_rows(organisation_id, bulk_action_id, after):
        yield _lines([_cells(row, file_format) for row in rows], file_format)
        after = rows[-1].row_number


def _next_rows(organisation_id: UUID, bulk_action_id: UUID, after: int) -> list[RejectedRow]:
    with tenant(organisation_id):
        rows = list(list_rejected_rows(organisation_id, bulk_action_id, after=after, limit=REPORT_PAGE_ROWS))
        db.session.expunge_all()
        db.session.rollback()
    return rows


def _cells(row: RejectedRow, file_format: FileFormat) -> list[Any]:
    """Cells beyond the header's width follow number and reason, so that nothing of a row is lost.

    What an earlier report said of the row is left out, once the row was mended and dropped again.
    """
    own, width = own_width(file_format.header), file_format.column_count
    cells = [*row.cells, *[""] * (width - len(row.cells))]
    return [*cells[:own], row.row_number, row.reason, *cells[width:]]


def _lines(rows: list[list[Any]], file_format: FileFormat) -> str:
    lines = io.StringIO()
    csv.writer(lines, delimiter=file_format.delimiter).writerows(rows)
    return lines.getvalue()
