"""Exports: each chunk writes a part of the file; a download streams the parts one after another.

What a spreadsheet would run as a formula begins with = + - @, a tab or a carriage return (OWASP, "CSV injection").
But so do "-5" and "+4930…", which are data; so whoever exports chooses. Kept as it is, the file can be dropped again
and changes nothing; neutralised, such cells get an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import xlsxwriter
from psycopg import sql

from webapp.bulk_actions.chunks import check_running
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.verbs.places import Place, exists_in, note_all, note_rest
from webapp.extensions import driver_connection
from webapp.lib.storage import READ_BLOCK_BYTES, Storage
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, Entity, get_entity
from webapp.records.fields import Field

EXPORT_KEY = re.compile(r"[0-9a-f-]{36}/exports/[0-9a-f-]{36}/[a-z0-9]+\.(csv|xlsx)")
BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
ROWS_PER_SHEET = 1_048_575
"""What a worksheet holds below its heading."""
CELL_LIMIT = 32_767
LINES_PER_BLOCK = 200
CELL = """CASE WHEN {0} ~ E'[",\\r\\n]' THEN '"' || replace({0}, '"', '""') || '"' ELSE {0} END"""
"""A text as a cell of CSV."""
TIMES = {"created_at": "Created", "updated_at": "Changed"}


@dataclass(frozen=True)
class Export:
    """What is written, and how."""

    organisation_id: UUID
    bulk_action_id: UUID
    entity: Entity
    columns: tuple[str, ...]
    file_format: str
    neutralises: bool

    @property
    def header(self) -> list[str]:
        """The names of own fields may come from strangers' files, as cells do."""
        names = [TIMES.get(name) or self.entity.label_of_column(name) for name in self.columns]
        return [f"'{name}" if self.neutralises and name.startswith(FORMULA_STARTS) else name for name in names]

    def part_key(self, index: int) -> str:
        """Where the store keeps a part."""
        return f"{self.organisation_id}/exports/{self.bulk_action_id}/{index:06d}.csv"

    @property
    def workbook_key(self) -> str:
        return f"{self.organisation_id}/exports/{self.bulk_action_id}/all.xlsx"


def export_of(bulk_action: BulkAction) -> Export:
    """The export that a bulk action is."""
    parameters = bulk_action.parameters
    return Export(
        bulk_action.organisation_id,
        bulk_action.id,
        get_entity(bulk_action.entity),
        tuple(parameters["columns"]),
        parameters["format"],
        parameters["formulas"] == "neutralise",
    )


def is_export(key: str) -> bool:
    """Whether an object of the store belongs to an export."""
    return EXPORT_KEY.fullmatch(key) is not None


CHUNKS_IDS = (
    "(SELECT k.record_ids FROM bulk_action_chunks k WHERE k.organisation_id = {organisation_id}"
    " AND k.bulk_action_id = {bulk_action_id} AND k.phase = 'work' AND k.index = {part})::uuid[]"
)


def write_part(export: Export, place: Place, storage: Storage) -> None:
    """Write the records that there are, in the order of their ids, and keep the outcome of each."""
    content, count = _written(export, place, CHUNKS_IDS)
    if count == place.row_count:
        note_all(place, "succeeded")
    else:
        present_count = note_rest(place, "succeeded", exists_in(place.entity.name))
        content, count = _written(export, place, SUCCEEDED_IDS)
        if count != present_count:
            raise psycopg.errors.SerializationFailure("A record was deleted while it was exported.")
    storage.write(export.part_key(place.part), [content])


SUCCEEDED_IDS = (
    "(SELECT o.record_ids FROM bulk_action_outcomes o WHERE o.organisation_id = {organisation_id}"
    " AND o.bulk_action_id = {bulk_action_id} AND o.outcome = 'succeeded' AND o.part = {part})::uuid[]"
)


def _written(export: Export, place: Place, ids: str) -> tuple[bytes, int]:
    """Those of the records that there are as CSV, and how many.

    PostgreSQL makes lines of them and hands over hundreds at once: COPY hands over each by itself, which costs more
    than the making.
    """
    cells = [sql.SQL(CELL).format(_column(export, name, place)) for name in export.columns]
    statement = sql.SQL(
        f"SELECT string_agg(line, '' ORDER BY place), count(*) FROM (SELECT row_number() OVER (ORDER BY c.id) AS place,"
        f" concat({{cells}}, E'\n') AS line FROM {{table}} c WHERE c.organisation_id = {{organisation_id}}"
        f" AND c.id = ANY ({ids})) AS lines GROUP BY place / {LINES_PER_BLOCK} ORDER BY place / {LINES_PER_BLOCK}"
    ).format(
        cells=sql.SQL(", ',', ").join(cells),
        table=sql.Identifier(export.entity.name),
        **{name: sql.Literal(value) for name, value in place.values.items()},
    )
    blocks = driver_connection().execute(statement).fetchall()
    return "".join(lines for lines, _ in blocks).encode(), sum(count for _, count in blocks)


def _column(export: Export, name: str, place: Place) -> sql.Composable:
    """A column as text."""
    shown = _shown(export.entity, name, place.organisation_id)
    if not export.neutralises or name in TIMES:
        return shown
    starts = sql.SQL(", ").join(sql.Literal(start) for start in FORMULA_STARTS)
    cell = sql.SQL("CASE WHEN left({0}, 1) IN ({1}) THEN '''' || {0} ELSE {0} END")
    return cell.format(sql.SQL("({})").format(shown), starts)


def _shown(entity: Entity, name: str, organisation_id: UUID) -> sql.Composable:
    column = sql.Identifier("c", name)
    if name in TIMES:
        return sql.SQL("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')").format(column)
    field = entity.fields_by_name.get(name)
    if field is None:
        return sql.SQL("c.attributes ->> {}").format(sql.Literal(name.removeprefix(ATTRIBUTE_PREFIX)))
    return _shown_field(field, column, organisation_id)


def _shown_field(field: Field, column: sql.Composable, organisation_id: UUID) -> sql.Composable:
    """As `Field.shown` has it."""
    if field.sql_type == "text[]":
        return sql.SQL("array_to_string({}, '; ')").format(column)
    if field.sql_type == "boolean":
        return sql.SQL("CASE WHEN {} THEN 'yes' ELSE 'no' END").format(column)
    if field.sql_type == "numeric":
        trimmed = "CASE WHEN scale(trim_scale({0})) < 2 THEN round({0}, 2) ELSE trim_scale({0}) END"
        return sql.SQL(f"({trimmed})::text").format(column)
    if field.sql_type == "uuid":
        emails = {str(member): email for member, email in context_of(organisation_id).member_emails.items()}
        return sql.SQL("{}::jsonb ->> {}::text").format(sql.Literal(json.dumps(emails)), column)
    return column


def stream_csv(export: Export, part_count: int, storage: Storage) -> Iterator[bytes]:
    """The file in pieces: heading, then part after part. The mark in front tells Excel that it is UTF-8."""
    heading = io.StringIO()
    csv.writer(heading, lineterminator="\n").writerow(export.header)
    yield (BYTE_ORDER_MARK + heading.getvalue()).encode()
    for index in range(part_count):
        yield from storage.stream(export.part_key(index))


def write_workbook(export: Export, part_count: int, storage: Storage) -> None:
    """Make a workbook of the parts, a row at a time; beyond what a sheet holds, further sheets follow."""
    with tempfile.NamedTemporaryFile(suffix=".xlsx") as file:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        book = xlsxwriter.Workbook(file.name, options)
        _fill(book, export, _rows(export, part_count, storage))
        book.close()
        with Path(file.name).open("rb") as made:
            storage.write(export.workbook_key, iter(lambda: made.read(READ_BLOCK_BYTES), b""))


def _fill(book: Any, export: Export, rows: Iterator[list[str]]) -> None:
    numbers = {place for place, name in enumerate(export.columns) if _is_number(export.entity, name)}
    sheet, at = None, 0
    for row in rows:
        if sheet is None or at > ROWS_PER_SHEET:
            sheet, at = book.add_worksheet(), 1
            sheet.write_row(0, 0, export.header)
        for place, cell in enumerate(row):
            if cell and place in numbers:
                sheet.write_number(at, place, float(cell))
            elif cell:
                sheet.write_string(at, place, cell[:CELL_LIMIT])
        at += 1
    if sheet is None:
        book.add_worksheet().write_row(0, 0, export.header)


def _is_number(entity: Entity, name: str) -> bool:
    field = entity.fields_by_name.get(name)
    return field is not None and field.sql_type == "numeric"


def _rows(export: Export, part_count: int, storage: Storage) -> Iterator[list[str]]:
    for index in range(part_count):
        check_running(export.organisation_id, export.bulk_action_id)
        part = storage.read(export.part_key(index), 0, storage.size(export.part_key(index)))
        yield from csv.reader(io.StringIO(part.decode(), newline=""))
