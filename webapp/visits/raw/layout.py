"""How raw rows lie in a sealed file, and writing one with DuckDB.

A file holds one month, so that a year is a dozen files. Its rows are sorted by what people filter by: the columns of
country, device and so on become a few runs, which makes them small, and lets a filter pass over whole groups of
rows. Of a visit's changes only what is left of them goes in, and which visits became one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from webapp.visits.models import RawKind
from webapp.visits.raw.frames import PLACE, TIME_COLUMNS, VISIT_SCHEMA

Cursor = duckdb.DuckDBPyConnection
FORMAT = """
    FORMAT parquet, PARQUET_VERSION V2, COMPRESSION lz4_raw, ROW_GROUP_SIZE 122_880, DICTIONARY_SIZE_LIMIT 20_000,
    STRING_DICTIONARY_PAGE_SIZE_LIMIT 8_388_608
"""
"""Read two to three times as fast as the usual format with zstd, in which most of a question's time went into
unpacking, for a fifth more bytes. A group's pages are kept as numbers and compared once each, not once a row."""
SUMS = {
    RawKind.ACTIVITY: "count(*), sum(visited_ms), sum(engaged_ms)",
    RawKind.VISIT: "sum(sign), sum(sign * started_ms), sum(sign * pageview_count)",
}
"""What must be the same before and after rows are moved."""
SIGNED = ", ".join("sum(sign)::TINYINT AS sign" if name == "sign" else name for name in VISIT_SCHEMA)
UNSIGNED = ", ".join(name for name in VISIT_SCHEMA if name != "sign")
ROWS = {
    RawKind.ACTIVITY: "SELECT * FROM read_parquet($paths) WHERE {condition}",
    RawKind.VISIT: f"""
        SELECT {SIGNED} FROM read_parquet($paths) WHERE {{condition}} GROUP BY {UNSIGNED}
        HAVING sum(sign) <> 0 OR joined <> 0
    """,
}
Sums = tuple[Any, ...]


@dataclass(frozen=True)
class Written:
    """A file on this machine, ready to be stored."""

    path: Path
    row_count: int
    byte_count: int
    from_at: datetime
    to_at: datetime
    sums: Sums


def list_months(cursor: Cursor, kind: RawKind, paths: list[str]) -> dict[date, Sums]:
    """The months (UTC) of the rows, and what those of each add up to."""
    statement = f"""
        SELECT date_trunc('month', make_timestamp({TIME_COLUMNS[kind]} * 1000))::DATE, {SUMS[kind]}
        FROM read_parquet($paths) GROUP BY 1 ORDER BY 1
    """
    return {row[0]: row[1:] for row in cursor.execute(statement, {"paths": paths}).fetchall()}


def write_month(
    cursor: Cursor, kind: RawKind, paths: list[str], month: date, target: Path, without: Sequence[int] = ()
) -> Written | None:
    """Write the month's rows into one file, but for those of some visitors; None when nothing is left of them."""
    first, after = month_bounds(month)
    own = " AND NOT list_contains($without, visitor)" if without else ""
    rows = ROWS[kind].format(condition=f"{TIME_COLUMNS[kind]} >= {first} AND {TIME_COLUMNS[kind]} < {after}{own}")
    statement = f"""
        COPY ({rows} ORDER BY {", ".join(PLACE)}, visitor, {TIME_COLUMNS[kind]})
        TO '{str(target).replace("'", "''")}' ({FORMAT})
    """
    cursor.execute(statement, {"paths": paths, **({"without": list(without)} if without else {})})
    return look_at(cursor, kind, target)


def look_at(cursor: Cursor, kind: RawKind, path: Path) -> Written | None:
    """What is in a file; None for nothing."""
    statement = f"""
        SELECT count(*), min({TIME_COLUMNS[kind]}), max({TIME_COLUMNS[kind]}), {SUMS[kind]} FROM read_parquet($paths)
    """
    [row] = cursor.execute(statement, {"paths": [str(path)]}).fetchall()
    row_count, first_ms, last_ms, *sums = row
    if not row_count:
        return None
    return Written(path, row_count, path.stat().st_size, _moment(first_ms), _moment(last_ms), tuple(sums))


def holds_visitors(cursor: Cursor, path: str, visitors: Sequence[int]) -> bool:
    """Whether a file has a row of one of these visitors."""
    statement = "SELECT count(*) > 0 FROM read_parquet($paths) WHERE list_contains($visitors, visitor)"
    [row] = cursor.execute(statement, {"paths": [path], "visitors": list(visitors)}).fetchall()
    return bool(row[0])


def month_bounds(month: date) -> tuple[int, int]:
    """A month in milliseconds, and where the next one begins."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    first, after = (datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month, following))
    return round(first.timestamp() * 1000), round(after.timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
