"""How a draft's rows would be stored: read span by span, for a moment at a time, from any row on.

Nothing is written, and nothing but one span is in memory, however long the file is. Workbooks and files of wide
characters can only be cut in a copy, so until that is made their first rows are shown.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from webapp.bulk_actions.copies import has_copy, problem_of_copy
from webapp.bulk_actions.detect import FileFormat
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.parse import (
    UNREADABLE,
    Layout,
    MiscountError,
    attribute_faults,
    decode,
    keepable,
    misshape_of,
    parse,
)
from webapp.bulk_actions.records import Span, UnreadableFileError, find_spans
from webapp.bulk_actions.sources import look_again, source_of
from webapp.bulk_actions.work import layout_of
from webapp.lib.storage import Storage
from webapp.records.fields import FaultError, Field
from webapp.records.rules import Mode

ROWS_SHOWN = 100
SPAN_BYTES = 512 * 1024
LOOK_SECONDS = 0.3
CELL_LENGTH = 200
NOT_TEXT = "These bytes are no text in the file's encoding."
READS_OTHERWISE = "From here the file reads otherwise than before. Begin again at its first row."


@dataclass(frozen=True)
class Place:
    """The first record that is wanted, and a span at or before it from which to read; the file's first record is 0."""

    offset: int
    first_record: int
    record: int

    def __str__(self) -> str:
        """As it stands in an address."""
        return f"{self.offset}.{self.first_record}.{self.record}"


@dataclass(frozen=True)
class PreviewCell:
    """A value as it would be stored, or as it is in the file and why it cannot be; `before` if storing alters it."""

    text: str
    fault: str | None = None
    before: str | None = None


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
    """Some rows, the number of the last one that was looked at, and the place to go on from; None at the end.

    `labels` are (what a column goes into, its name in the file). `is_looking` when time was over before enough rows
    were found; `is_sample` while only the file's first rows can be shown; `problem` is why the file cannot be read on.
    """

    labels: list[tuple[str, str]]
    rows: list[PreviewRow] = field(default_factory=list)
    searched_to: int = 0
    next_place: Place | None = None
    is_looking: bool = False
    is_sample: bool = False
    problem: str | None = None


def preview_rows(
    bulk_action: BulkAction, storage: Storage, place: Place | None = None, *, only_problems: bool = False
) -> PreviewPage:
    """Rows from a place on; None is the file's first row of data."""
    layout = layout_of(bulk_action)
    page = PreviewPage(_labels(layout, FileFormat(**bulk_action.format)))
    try:
        if is_waiting(bulk_action, storage):
            _show_sample(bulk_action, storage, layout, page, only_problems=only_problems)
        else:
            begin = place or Place(*first_place(bulk_action))
            _look(page, layout, _spans(bulk_action, storage, begin), begin, only_problems=only_problems)
    except UnreadableFileError as error:
        page.problem = str(error)
    except MiscountError:
        page.problem = READS_OTHERWISE
    return page


def is_waiting(bulk_action: BulkAction, storage: Storage) -> bool:
    """Whether the copy is missing in which alone the file can be cut."""
    return FileFormat(**bulk_action.format).needs_conversion and not has_copy(bulk_action, storage)


def first_place(bulk_action: BulkAction) -> tuple[int, int, int]:
    """(offset of the file's first record, its number, number of the first record of data)."""
    file_format = FileFormat(**bulk_action.format)
    above = file_format.leading_row_count
    return source_of(bulk_action).start, above, above + (1 if file_format.has_header else 0)


def read_place(text: str) -> Place | None:
    """The place in an address; None for a damaged one."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 16 for part in parts):
        return None
    offset, first_record, record = map(int, parts)
    return Place(offset, first_record, record)


def place_of_row(bulk_action: BulkAction, row_number: int) -> Place:
    """Where to begin for a row: at the front, since only reading tells where it is."""
    offset, first_record, first_of_data = first_place(bulk_action)
    return Place(offset, first_record, max(row_number - 1, first_of_data))


# Reading ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """A span and its bytes."""

    span: Span
    data: bytes


def _spans(bulk_action: BulkAction, storage: Storage, place: Place) -> Iterator[Read]:
    """Spans from a place on; those that end before its record are cut and not read."""
    source, file_format = source_of(bulk_action), FileFormat(**bulk_action.format)
    size = storage.size(source.key)

    def read(start: int, end: int) -> bytes:
        return storage.read(source.key, start, end)

    for span in find_spans(read, size, file_format.delimiter, SPAN_BYTES, place.offset, place.first_record):
        is_wanted = span.first_record + span.record_count > place.record
        yield Read(span, read(span.start_offset, span.end_offset) if is_wanted else b"")


def _look(page: PreviewPage, layout: Layout, reads: Iterator[Read], place: Place, *, only_problems: bool) -> None:
    """Fill the page until it is full, the time is over, or the file is."""
    deadline = time.monotonic() + LOOK_SECONDS
    look = _problem_rows if only_problems else _all_rows
    for read in reads:
        span = read.span
        for row in look(read, layout, place.record) if read.data else ():
            page.rows.append(row)
            if len(page.rows) == ROWS_SHOWN:
                page.searched_to = row.number
                page.next_place = Place(span.start_offset, span.first_record, row.number)
                return
        following = span.first_record + span.record_count
        page.searched_to = following
        if time.monotonic() > deadline:
            page.next_place = Place(span.end_offset, following, max(following, place.record))
            page.is_looking = True
            return


def _all_rows(read: Read, layout: Layout, wanted: int) -> Iterator[PreviewRow]:
    """The span's rows from a record on, blank ones left out."""
    text, _ = decode(read.data, layout.encoding)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter)
    for record, row in enumerate(rows, read.span.first_record):
        if record >= wanted and any(map(str.strip, row)):
            yield _row_of(record + 1, row, layout)


def _problem_rows(read: Read, layout: Layout, wanted: int) -> Iterator[PreviewRow]:
    """The rows that the import's own reading rejects, which looks at whole columns and so is quick."""
    plain = replace(layout, rules=replace(layout.rules, mode=Mode.CREATE_AND_UPDATE))
    span = read.span
    parsed = parse(read.data, plain, span.first_record + 1, span.record_count, skip_header=False)
    for rejected in parsed.rejected:
        if rejected.row_number > wanted:
            row = _row_of(rejected.row_number, rejected.cells, layout)
            yield row if row.has_problem else replace(row, fault=rejected.reason)


def _show_sample(
    bulk_action: BulkAction, storage: Storage, layout: Layout, page: PreviewPage, *, only_problems: bool
) -> None:
    file_format = FileFormat(**bulk_action.format)
    detected = look_again(bulk_action, storage, file_format, has_header=file_format.has_header)
    numbered = list(zip(detected.row_numbers, detected.rows, strict=True))[:ROWS_SHOWN]
    shown = [_row_of(number, row, layout) for number, row in numbered]
    page.rows = [row for row in shown if row.has_problem or not only_problems]
    page.searched_to = numbered[-1][0] if numbered else 0
    page.is_sample = True
    page.problem = problem_of_copy(bulk_action, storage)


# Showing ------------------------------------------------------------------------------------------


def _labels(layout: Layout, file_format: FileFormat) -> list[tuple[str, str]]:
    fields = [(wanted.label, file_format.header[column]) for column, wanted in layout.fields]
    return fields + [(name, file_format.header[column]) for column, name in layout.attributes]


def _row_of(number: int, row: list[str], layout: Layout) -> PreviewRow:
    wide = [*row, *[""] * (layout.column_count - len(row))]
    cells = [_field_cell(wide[column].strip(), wanted, layout) for column, wanted in layout.fields]
    cells += [_own_cell(wide[column].strip(), name) for column, name in layout.attributes]
    is_misshapen = len(row) != layout.column_count
    return PreviewRow(number, cells, misshape_of(row, layout) if is_misshapen else None)


def _field_cell(cell: str, wanted: Field, layout: Layout) -> PreviewCell:
    if UNREADABLE.search(cell):
        return PreviewCell(_short(cell), NOT_TEXT)
    try:
        stored = wanted.shown(wanted.parse(cell, layout.context), layout.context)
    except FaultError as error:
        return PreviewCell(_short(cell), str(error))
    return PreviewCell(_short(stored), before=_short(cell) if stored != cell else None)


def _own_cell(cell: str, name: str) -> PreviewCell:
    if UNREADABLE.search(cell):
        return PreviewCell(_short(cell), NOT_TEXT)
    faults = attribute_faults(name, [cell])
    return PreviewCell(_short(cell), faults[0][1] if faults else None)


def _short(text: str) -> str:
    shown = keepable(text)
    return shown if len(shown) <= CELL_LENGTH else shown[: CELL_LENGTH - 1] + "…"
