"""Putting checked rows of a file where the merge finds them: by COPY, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from sqlalchemy import delete

from webapp.extensions import db, driver_connection
from webapp.records.entities import ATTRIBUTES, Entity

BUCKET_COUNT = 4096
"""Keys are spread over this many buckets; a merge takes a range of them."""
ROWS_PER_BLOCK = 4_000
CELLS = "cells"
# In COPY's text format these would end a cell or a row, or begin an escape.
ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


@dataclass(frozen=True)
class StagedRows:
    """Rows of one import as one sequence of cells, in PostgreSQL's text form, for each column that it fills."""

    entity: Entity
    organisation_id: UUID
    bulk_action_id: UUID
    row_numbers: Sequence[int]
    columns: Mapping[str, Sequence[str]]


def stage_rows(rows: StagedRows) -> None:
    """Copy rows in the order of their buckets."""
    if not rows.row_numbers:
        return
    names = ("organisation_id", "bulk_action_id", "bucket", "row_number", rows.entity.key_column, *_filled(rows))
    statement = f"COPY {rows.entity.staged.name} ({', '.join(names)}) FROM STDIN WITH (FORMAT text, NULL '')"
    with driver_connection().cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for block in copy_blocks(rows):
            copy.write(block)


def _filled(rows: StagedRows) -> list[str]:
    known = (*rows.entity.field_names, ATTRIBUTES, CELLS)
    return [name for name in known if name in rows.columns]


def copy_blocks(rows: StagedRows) -> Iterator[bytes]:
    """The rows in COPY's text format. A blank cell is NULL; neighbours share a bucket, so a merge reads few pages."""
    keys = fold_column(rows.columns[rows.entity.key.name], rows.entity.key.fold)
    buckets = [crc32(key) % BUCKET_COUNT for key in map(str.encode, keys)]
    lines = copy_lines([buckets, rows.row_numbers], [keys, *(rows.columns[name] for name in _filled(rows))])
    order = sorted(range(len(lines)), key=buckets.__getitem__)
    start = f"{rows.organisation_id}\t{rows.bulk_action_id}\t"
    for first in range(0, len(order), ROWS_PER_BLOCK):
        block = f"\n{start}".join([lines[position] for position in order[first : first + ROWS_PER_BLOCK]])
        yield f"{start}{block}\n".encode()


def copy_lines(numbers: Sequence[Sequence[int]], cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows as COPY's lines. Cells are escaped only where the lines show that one of them needs it."""
    shown = [list(map(str, column)) for column in numbers]
    lines = list(map("\t".join, zip(*shown, *cells, strict=True)))
    whole = "\n".join(lines)
    tab_count = len(lines) * (len(shown) + len(cells) - 1)
    is_plain = "\\" not in whole and "\r" not in whole
    if is_plain and whole.count("\t") == tab_count and whole.count("\n") == len(lines) - 1:
        return lines
    return list(map("\t".join, zip(*shown, *map(escaped, cells), strict=True)))


def fold_column(cells: Sequence[str], fold: Callable[[str], str]) -> Sequence[str]:
    """The unique keys of a column."""
    if "".join(cells).isascii():
        return list(map(str.lower, cells))
    return list(map(fold, cells))


def escaped(column: Sequence[str]) -> Sequence[str]:
    """The column as COPY's text format wants it; hardly any column needs a change."""
    whole = "".join(column)
    for special, escape in ESCAPES:
        if special in whole:
            column = [cell.replace(special, escape) for cell in column]
    return column


def clean_staged(entity: Entity, organisation_id: UUID, bulk_action_id: UUID, start: int, end: int) -> None:
    """Remove what an import staged in buckets from `start` up to, not including, `end`."""
    staged = entity.staged.c
    db.session.execute(
        delete(entity.staged).where(
            staged.organisation_id == organisation_id,
            staged.bulk_action_id == bulk_action_id,
            staged.bucket >= start,
            staged.bucket < end,
        )
    )
