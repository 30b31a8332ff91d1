"""The rows that an import left out, as a file to mend and drop again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import each_rejected_row


def rejected_rows_csv(bulk_action: BulkAction) -> Iterator[str]:
    """The file's own columns and two more, a row at a time. The mark in front tells Excel that it is UTF-8.

    Cells beyond the header's width follow the two columns, so that nothing of a row is lost.
    """
    file_format = FileFormat(**bulk_action.format)
    width = file_format.column_count
    yield "\ufeff" + _line([*file_format.header, "Row number", "Reason"], file_format.delimiter)
    for row in each_rejected_row(bulk_action.organisation_id, bulk_action.id):
        cells = [*row.cells, *[""] * (width - len(row.cells))]
        yield _line([*cells[:width], row.row_number, row.reason, *cells[width:]], file_format.delimiter)


def _line(cells: list[Any], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow(cells)
    return line.getvalue()
