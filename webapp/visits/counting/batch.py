"""A batch of beacons as one frame: read from the stream's entries, checked, split by organisation. Pure functions.

None of it asks what is counted already, so it can be done for the next batch while PostgreSQL works on one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import polars as pl

from webapp.visits import backlog
from webapp.visits.backlog import Entry, Kind, Row
from webapp.visits.counting.enrichment import enrich

LAST_MS = 7_258_118_400_000
"""The year 2200: what lies beyond, or before 1970, is no time of a visit."""
_IS_ACTIVITY = ~pl.col("kind").is_in([int(Kind.DROPPED), int(Kind.IDENTIFY)])
_TYPES = {bytes: pl.Binary(), int: pl.Int64(), str: pl.String()}
ROW_SCHEMA = pl.Schema(
    {
        field.name: _TYPES[{"bytes": bytes, "int": int, "str": str}[str(Row.__annotations__[field.name])]]
        for field in msgspec.structs.fields(Row)
    }
)
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, pl.exceptions.PolarsError)


class UnstorableError(ValueError):
    """Among these rows is one that no table takes."""


def read_entries(entries: Sequence[Entry]) -> tuple[pl.DataFrame, list[tuple[Entry, Exception]]]:
    """All rows of these entries, and the entries that cannot be read, each with what is wrong with it."""
    try:
        return _frame_of_entries(entries), []
    except UNREADABLE:
        frames = [pl.DataFrame(schema=ROW_SCHEMA)]
        unreadable: list[tuple[Entry, Exception]] = []
        for entry in entries:
            try:
                frames.append(_frame_of_entries([entry]))
            except UNREADABLE as error:
                unreadable.append((entry, error))
        return pl.concat(frames), unreadable


def _frame_of_entries(entries: Sequence[Entry]) -> pl.DataFrame:
    """One frame of all: making one for each of many small groups would take longer than all the rest."""
    groups = [backlog.decode_short_columns(entry.content) for entry in entries]
    if any(len(group) != len(ROW_SCHEMA) for group in groups):
        raise ValueError("A group of beacons has more columns than a row, or fewer.")
    if not all(map(all, ([len(column) for column in group] for group in groups))):
        raise ValueError("A group of beacons has a column without a value.")
    heights = [len(group[backlog.ID_COLUMN]) for group in groups]
    parts = zip(ROW_SCHEMA.items(), zip(*groups, strict=True), strict=True)
    return pl.DataFrame([_series(name, kind, columns, heights) for (name, kind), columns in parts])


def _series(name: str, kind: pl.DataType, columns: tuple[list[Any], ...], heights: list[int]) -> pl.Series:
    """A group's column is as high as the group, or one value. Half of the columns are one value in all groups."""
    first = columns[0][:1]
    if all(column == first for column in columns):
        return pl.Series(name, first, kind).new_from_index(0, sum(heights))
    full = [column * height if len(column) == 1 else column for column, height in zip(columns, heights, strict=True)]
    return pl.Series(name, list(chain.from_iterable(full)), kind)


def frame_of_rows(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a frame."""
    return pl.DataFrame([msgspec.structs.astuple(row) for row in rows], schema=ROW_SCHEMA, orient="row")


def check(batch: pl.DataFrame) -> None:
    """Raise UnstorableError when a row has an id, a time or a text that no table takes."""
    ids = [pl.col(name).bin.size() != 16 for name, kind in ROW_SCHEMA.items() if kind == pl.Binary()]
    texts = [
        pl.col(name).str.contains("\x00", literal=True) for name, kind in ROW_SCHEMA.items() if kind == pl.String()
    ]
    time = ~pl.col("visited_ms").is_between(0, LAST_MS)
    kind = ~pl.col("kind").is_between(min(backlog.Kind), max(backlog.Kind))
    bad = batch.select(pl.any_horizontal(*ids, *texts, time, kind).any()).item()
    if bad:
        raise UnstorableError("A beacon has an id, a time, a kind or a text that cannot be stored.")


@dataclass(frozen=True)
class Part:
    """One organisation's rows, every id once, and those of activity with all that they say by themselves."""

    organisation_id: bytes
    rows: pl.DataFrame
    activity: pl.DataFrame


@dataclass(frozen=True)
class Batch:
    """What was read from the stream, as far as it can be worked out without a look at what is counted.

    Without `parts`, some row cannot be stored: whoever counts them finds out which.
    """

    position: str
    rows: pl.DataFrame
    unreadable: list[tuple[Entry, Exception]]
    parts: list[Part] | None

    @property
    def height(self) -> int:
        """How many rows and unreadable entries there are."""
        return self.rows.height + len(self.unreadable)


def prepare(entries: Sequence[Entry]) -> Batch:
    """All of these entries, ready to be counted."""
    rows, unreadable = read_entries(entries)
    try:
        parts: list[Part] | None = split(rows)
    except UNREADABLE:
        parts = None
    return Batch(entries[-1].id, rows, unreadable, parts)


def split(rows: pl.DataFrame) -> list[Part]:
    """The rows of each organisation; raises UnstorableError, or what else is wrong with one of them."""
    check(rows)
    if rows.get_column("id").n_unique() < rows.height:
        rows = rows.unique(["organisation_id", "id"], keep="first", maintain_order=True)
    parts = rows.partition_by("organisation_id", as_dict=True)
    return [
        Part(organisation_id, part, enrich(part.filter(_IS_ACTIVITY)))
        for (organisation_id,), part in sorted(parts.items())
    ]
