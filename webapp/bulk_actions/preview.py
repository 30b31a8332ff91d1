"""How a draft's rows would be stored: read span by span, for a moment at a time, from any row on.

Nothing is written, and nothing but one span is in memory, however long the file is. Workbooks and files of wide
characters can only be cut when they are converted, so of those the first rows are shown.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.parse import UNREADABLE, Layout, decode, misshape_of
from webapp.bulk_actions.records import Span, UnreadableFileError, find_spans
from webapp.bulk_actions.sources import look_again, source_of
from webapp.bulk_actions.work import layout_of
from webapp.lib.storage import Storage
from webapp.records.fields import FaultError, Field

ROWS_SHOWN = 100
SPAN_BYTES = 256 * 1024
LOOK_SECONDS = 0.4
CELL_LENGTH = 200


@dataclass(frozen=True)
class PreviewCell:
    """A value as it would be stored, or as it is in the file and why it cannot be."""

    text: str
    fault: str | None = None


@dataclass(frozen=True)
class PreviewRow:
    """A row of the file; `fault` is about the whole of it."""

    number: int
    cells: Sequence[PreviewCell]
    fault: str | None = None

    @property
    def has_problem(self) -> bool:
        return self.fault is not None or any(cell.fault for cell in self.cells)


@dataclass
class PreviewPage:
    """Some rows, how far was looked, and the place to go on from as "offset.record.record"; None at the end."""

    labels: list[str]
    rows: list[PreviewRow] = field(default_factory=list)
    searched_to: int = 0
    next_place: str | None = None
    is_sample: bool = False
    problem: str | None = None
    """Why the file cannot be read on."""


def preview_rows(bulk_action: BulkAction, storage: Storage, place: str, *, only_problems: bool) -> PreviewPage:
    """Rows from a place on. A damaged place begins at the front."""
    layout = layout_of(bulk_action)
    page = PreviewPage(_labels(layout))
    try:
        return _look(bulk_action, storage, layout, page, place, only_problems=only_problems)
    except UnreadableFileError as error:
        page.problem = str(error)
        return page


def _look(
    bulk_action: BulkAction, storage: Storage, layout: Layout, page: PreviewPage, place: str, *, only_problems: bool
) -> PreviewPage:
    file_format = FileFormat(**bulk_action.format)
    if file_format.is_wide or file_format.is_workbook:
        return _sample_of(bulk_action, storage, layout, page, only_problems=only_problems)
    deadline = time.monotonic() + LOOK_SECONDS
    for record, row, span in _records(bulk_action, storage, layout, place):
        shown = _row_of(record + 1, row, layout)
        page.searched_to = record + 1
        if shown.has_problem or not only_problems:
            page.rows.append(shown)
        if len(page.rows) == ROWS_SHOWN or time.monotonic() > deadline:
            page.next_place = f"{span.start_offset}.{span.first_record}.{record + 1}"
            break
    return page


def _labels(layout: Layout) -> list[str]:
    return [wanted.label for _, wanted in layout.fields] + [name for _, name in layout.attributes]


def _records(
    bulk_action: BulkAction, storage: Storage, layout: Layout, place: str
) -> Iterator[tuple[int, list[str], Span]]:
    """(number of the record, the file's first being 0, its cells, its span) from a place on, blank ones left out."""
    source, file_format = source_of(bulk_action), FileFormat(**bulk_action.format)
    size = storage.size(source.key)
    above = file_format.leading_row_count
    start, first, wanted = _place_of(place) or (source.start, above, above + (1 if file_format.has_header else 0))
    spans = find_spans(
        lambda low, high: storage.read(source.key, low, high), size, file_format.delimiter, SPAN_BYTES, start, first
    )
    for span in spans:
        text, _ = decode(storage.read(source.key, span.start_offset, span.end_offset), layout.encoding)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter)
        for record, row in enumerate(rows, span.first_record):
            if record >= wanted and any(map(str.strip, row)):
                yield record, row, span


def _place_of(place: str) -> tuple[int, int, int] | None:
    """(start of the span, number of its first record, number of the wanted one)."""
    parts = place.split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    start, first, wanted = map(int, parts)
    return start, first, wanted


def _sample_of(
    bulk_action: BulkAction, storage: Storage, layout: Layout, page: PreviewPage, *, only_problems: bool
) -> PreviewPage:
    file_format = FileFormat(**bulk_action.format)
    detected = look_again(bulk_action, storage, file_format, has_header=file_format.has_header)
    numbered = list(zip(detected.row_numbers, detected.rows, strict=True))[:ROWS_SHOWN]
    shown = [_row_of(number, row, layout) for number, row in numbered]
    page.rows = [row for row in shown if row.has_problem or not only_problems]
    page.searched_to, page.is_sample = len(numbered), True
    return page


def _row_of(number: int, row: list[str], layout: Layout) -> PreviewRow:
    fault = misshape_of(row, layout)
    wide = [*row, *[""] * (layout.column_count - len(row))]
    cells = [_cell_of(wide[column].strip(), wanted, layout) for column, wanted in layout.fields]
    cells += [PreviewCell(_short(wide[column].strip())) for column, _ in layout.attributes]
    return PreviewRow(number, cells, fault)


def _cell_of(cell: str, wanted: Field, layout: Layout) -> PreviewCell:
    if UNREADABLE.search(cell):
        return PreviewCell(_short(cell.encode("utf-8", "replace").decode()), "These bytes are no text.")
    try:
        return PreviewCell(_short(wanted.shown(wanted.parse(cell, layout.context), layout.context)))
    except FaultError as error:
        return PreviewCell(_short(cell), str(error))


def _short(text: str) -> str:
    return text if len(text) <= CELL_LENGTH else text[: CELL_LENGTH - 1] + "…"
