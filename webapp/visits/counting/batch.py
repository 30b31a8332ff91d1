"""A batch of beacons as one frame: read from the stream's entries, checked, split by organisation. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
import polars as pl

from webapp.visits import backlog
from webapp.visits.backlog import Entry, Row

LAST_MS = 7_258_118_400_000
"""The year 2200: what lies beyond, or before 1970, is no time of a visit."""
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
    groups = [backlog.decode_columns(entry.content) for entry in entries]
    if any(len(group) != len(ROW_SCHEMA) for group in groups):
        raise ValueError("A group of beacons has more columns than a row, or fewer.")
    return frame_of([list(chain.from_iterable(parts)) for parts in zip(*groups, strict=True)])


def frame_of(columns: list[list[object]]) -> pl.DataFrame:
    """Columns in the order of a row's fields."""
    return pl.DataFrame(columns, schema=ROW_SCHEMA, orient="col")


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


def by_organisation(batch: pl.DataFrame) -> list[tuple[bytes, pl.DataFrame]]:
    """Each organisation's rows, every id once."""
    if batch.get_column("id").n_unique() < batch.height:
        batch = batch.unique(["organisation_id", "id"], keep="first", maintain_order=True)
    parts = batch.partition_by("organisation_id", as_dict=True)
    return sorted((organisation_id, part) for (organisation_id,), part in parts.items())
