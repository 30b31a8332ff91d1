"""A batch of beacons as one frame: read from the stream's entries, checked, split by organisation. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import polars as pl

from webapp.visits import backlog
from webapp.visits.backlog import Row

LAST_MS = 7_258_118_400_000
"""The year 2200: what lies beyond, or before 1970, is no time of a visit."""
_TYPES = {bytes: pl.Binary(), int: pl.Int64(), str: pl.String()}
ROW_SCHEMA = pl.Schema(
    {
        field.name: _TYPES[{"bytes": bytes, "int": int, "str": str}[str(Row.__annotations__[field.name])]]
        for field in msgspec.structs.fields(Row)
    }
)


class UnstorableError(ValueError):
    """Among these rows is one that no table takes."""


class Columns:
    """The columns of several groups, one after the other."""

    def __init__(self) -> None:
        self._columns: list[list[object]] = [[] for _ in ROW_SCHEMA]

    def add(self, content: bytes) -> None:
        """Add a group; raises ValueError for one that cannot be read, and then adds nothing."""
        columns = backlog.decode_columns(content)
        if len(columns) != len(ROW_SCHEMA) or len({len(column) for column in columns}) != 1:
            raise ValueError("A group of beacons has columns of different lengths, or not all of them.")
        frame_of(columns)
        for all_values, values in zip(self._columns, columns, strict=True):
            all_values.extend(values)

    def frame(self) -> pl.DataFrame:
        return frame_of(self._columns)


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
    once = batch.unique(["organisation_id", "id"], keep="first", maintain_order=True)
    parts = once.partition_by("organisation_id", as_dict=True)
    return sorted((organisation_id, part) for (organisation_id,), part in parts.items())
