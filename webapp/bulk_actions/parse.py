"""From a chunk's bytes to columns of checked cells, and the rows that must stay out, with their reasons."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from webapp.records.entities import ATTRIBUTE_PREFIX, ATTRIBUTES, Entity
from webapp.records.field_types import convert_columns
from webapp.records.fields import Context, Faults, Field
from webapp.records.rules import Rules
from webapp.records.staging import CELLS

MAX_ATTRIBUTE_LENGTH = 20_000
T = TypeVar("T")
Row = list[str]
# What "surrogateescape" makes of bytes that are no text in the file's encoding.
UNREADABLE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Rejected:
    """A row that stays out."""

    row_number: int
    reason: str
    cells: Row


@dataclass
class Parsed:
    """Accepted rows as one list of cells, in PostgreSQL's text form, for each column; what happened to the others."""

    row_numbers: Sequence[int] = ()
    columns: dict[str, Sequence[str]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    blank_count: int = 0


@dataclass(frozen=True)
class Layout:
    """How to read a chunk: (column, field) and (column, own attribute) of every column that somebody wants."""

    encoding: str
    delimiter: str
    column_count: int
    entity: Entity
    fields: tuple[tuple[int, Field], ...]
    attributes: tuple[tuple[int, str], ...]
    rules: Rules
    context: Context

    def label_of(self, column: int) -> str | None:
        """What a column is matched to; None when nobody wants it."""
        labels = {column: wanted.label for column, wanted in self.fields} | dict(self.attributes)
        return labels.get(column)


class MiscountError(Exception):
    """Reading a chunk found another number of records than planning it did: a fault of ours."""


def parse(data: bytes, layout: Layout, first_row_number: int, record_count: int, *, skip_header: bool) -> Parsed:
    """Read, check and sort out a chunk's records."""
    text, is_readable = decode(data, layout.encoding)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter))[1 if skip_header else 0 :]
    if len(rows) != record_count:
        raise MiscountError(f"Planned {record_count} records from row {first_row_number}, but read {len(rows)}.")
    parsed = Parsed(row_numbers=range(first_row_number, first_row_number + record_count))
    if not is_readable or any(len(row) != layout.column_count for row in rows):
        rows = _leave_out_misshapen(rows, parsed, layout)
    _check_columns(rows, parsed, layout)
    parsed.rejected.sort(key=lambda rejected: rejected.row_number)
    return parsed


def decode(data: bytes, encoding: str) -> tuple[str, bool]:
    """The text, and whether all of it is some: other bytes become lone surrogates."""
    try:
        return data.decode(encoding), True
    except UnicodeDecodeError:
        return data.decode(encoding, "surrogateescape"), False


def _leave_out_misshapen(rows: list[Row], parsed: Parsed, layout: Layout) -> list[Row]:
    """Only the rows with the right number of readable cells; the others are blank or rejected."""
    kept, numbers = [], []
    for number, row in zip(parsed.row_numbers, rows, strict=True):
        reason = misshape_of(row, layout)
        if reason is None:
            kept.append(row)
            numbers.append(number)
        else:
            _leave_out(parsed, number, reason, row)
    parsed.row_numbers = numbers
    return kept


def misshape_of(row: Row, layout: Layout) -> str | None:
    """Why a row cannot be read as one of the file's; None when it can."""
    if len(row) != layout.column_count:
        extent = "many" if len(row) > layout.column_count else "few"
        cells = "1 cell" if len(row) == 1 else f"{len(row):,} cells"
        return f"Too {extent} cells: the row has {cells}, the file {layout.column_count:,} columns."
    for column, cell in enumerate(row):
        if UNREADABLE.search(cell) and (label := layout.label_of(column)):
            return f"{label} holds bytes that are not text in the file's encoding ({layout.encoding})."
    return None


def _leave_out(parsed: Parsed, number: int, reason: str, row: Row) -> None:
    """Reject a row, unless nothing stands in it: spreadsheets write such rows at the end."""
    if any(map(str.strip, row)):
        parsed.rejected.append(Rejected(number, reason, row))
    else:
        parsed.blank_count += 1


def _check_columns(rows: list[Row], parsed: Parsed, layout: Layout) -> None:
    """Fill the columns with the rows in which every wanted cell can be kept."""
    cells = list(zip(*rows, strict=True)) if rows else [()] * layout.column_count
    wanted = [(field, stripped(cells[column])) for column, field in layout.fields]
    columns, faults = convert_columns(wanted, layout.context)
    own = {name: stripped(cells[column]) for column, name in layout.attributes}
    for name, column in own.items():
        for position, reason in attribute_faults(name, column):
            faults.setdefault(position, []).append(reason)
    for position in sorted(faults):
        _leave_out(parsed, parsed.row_numbers[position], " ".join(faults[position]), rows[position])
    if own:
        columns[ATTRIBUTES] = _objects(own, layout.rules)
    if layout.rules.may_reject:
        columns[CELLS] = list(map(cells_as_json, rows))
    parsed.columns = {name: _without(column, faults) for name, column in columns.items()}
    parsed.row_numbers = _without(parsed.row_numbers, faults)


def cells_as_json(cells: Row) -> str:
    """A row's cells for PostgreSQL; what it cannot hold shows as U+FFFD."""
    return json.dumps(list(map(keepable, cells)), ensure_ascii=False)


def keepable(text: str) -> str:
    """The text without what PostgreSQL cannot hold."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def attribute_faults(name: str, cells: Sequence[str]) -> Faults:
    """Cells of an own attribute that cannot be kept."""
    whole = "".join(cells)
    if "\x00" not in whole and max(map(len, cells), default=0) <= MAX_ATTRIBUTE_LENGTH:
        return []
    field = Field(f"{ATTRIBUTE_PREFIX}{name}", name, MAX_ATTRIBUTE_LENGTH)
    faults = [(position, field.fault_of(cell)) for position, cell in enumerate(cells)]
    return [(position, fault) for position, fault in faults if fault]


def _objects(own: dict[str, Sequence[str]], rules: Rules) -> list[str]:
    """Each row's own attributes as a JSON object; null empties what is there. "" for a row without any."""
    blanks = {name: rules.clears(ATTRIBUTE_PREFIX + name) for name in own}
    objects = []
    for cells in zip(*own.values(), strict=True):
        pairs = zip(own, cells, strict=True)
        filled = {name: cell or None for name, cell in pairs if cell or blanks[name]}
        objects.append(json.dumps(filled, ensure_ascii=False) if filled else "")
    return objects


def stripped(column: Sequence[str]) -> Sequence[str]:
    """Without white space around the cells. Most columns repeat few cells, so those are looked at once."""
    different = set(column)
    if all(cell == cell.strip() for cell in different):
        return column
    return list(map(str.strip, column))


def _without(values: Sequence[T], positions: dict[int, list[str]]) -> Sequence[T]:
    if not positions:
        return values
    return [value for position, value in enumerate(values) if position not in positions]
