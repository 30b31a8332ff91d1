"""Whether what is counted is what raw rows say, by site and quarter of an hour.

Of people who were erased the roll-ups still tell, and raw rows do not: what they had is noted when it goes, and counts
as if it were there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.visits.buckets import QUARTER_MS
from webapp.visits.counting.copying import copy_out
from webapp.visits.counting.raw_rows import frames_of, read_raw_rows
from webapp.visits.counting.tallying import SITE_COUNTS, tally_quarters
from webapp.visits.models import RawKind

SHOWN_LIMIT = 20
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Difference:
    """A bucket of which roll-ups and raw rows tell different things."""

    at: datetime
    counted: tuple[int, ...]
    raw: tuple[int, ...]

    def __str__(self) -> str:
        parts = [
            f"{name} {counted:,} counted, {raw:,} in raw rows"
            for name, counted, raw in zip(SITE_COUNTS, self.counted, self.raw, strict=True)
            if counted != raw
        ]
        return f"{self.at:%Y-%m-%d %H:%M} UTC: {'; '.join(parts)}"


def find_differences(connection: Connection, tenant: UUID, site_id: UUID) -> list[Difference]:
    """All of a site's, as far back as there are all its raw rows. The transaction sees one moment (REPEATABLE READ)."""
    left = _sum_raw(read_raw_rows(tenant, site_id))
    columns = pl.Schema(dict.fromkeys(left.columns, pl.Int64()))
    raw = _added([left, copy_out(connection, ERASED, [tenant, site_id], columns)])
    counted = copy_out(connection, COUNTED, [tenant, site_id], columns)
    compared = pl.col("quarter") >= _complete_from(connection, tenant, site_id)
    both = counted.join(raw, on="quarter", how="full", suffix="_raw", coalesce=True).fill_null(0)
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_raw") for name in SITE_COUNTS)
    found = both.filter(compared & differs).sort("quarter")
    return [_difference(row) for row in found.iter_rows(named=True)]


def _complete_from(connection: Connection, tenant: UUID, site_id: UUID) -> int:
    """From when on retention took no raw rows, in milliseconds."""
    found = connection.execute(COMPLETE_FROM, [tenant, site_id]).fetchone()
    return round(found[0].timestamp() * 1000) if found and found[0] else 0


def _sum_raw(files: dict[RawKind, list[str]]) -> pl.DataFrame:
    parts = [
        tally_quarters(kind, frame.with_columns(quarter=pl.col(time) - pl.col(time) % QUARTER_MS))
        for kind, time in ((RawKind.ACTIVITY, "visited_ms"), (RawKind.VISIT, "started_ms"))
        for frame in frames_of(kind, files[kind])
    ]
    return _added(parts)


def _added(parts: list[pl.DataFrame]) -> pl.DataFrame:
    empty = pl.DataFrame(schema=dict.fromkeys(("quarter", *SITE_COUNTS), pl.Int64))
    added = pl.concat([empty, *parts], how="diagonal_relaxed")
    return added.group_by("quarter").agg(pl.col(SITE_COUNTS).fill_null(0).sum().cast(pl.Int64))


def count_erased_quarters(connection: Connection, tenant: UUID, site_id: UUID) -> int:
    """How many quarters of an hour hold counts of people who were erased."""
    row = connection.execute(ERASED_QUARTERS, [tenant, site_id]).fetchone()
    return int(row[0]) if row else 0


def _difference(row: dict[str, int]) -> Difference:
    at = datetime.fromtimestamp(row["quarter"] / 1000, UTC)
    return Difference(at, tuple(row[name] for name in SITE_COUNTS), tuple(row[f"{name}_raw"] for name in SITE_COUNTS))


COMPLETE_FROM = "SELECT raw_complete_from FROM sites WHERE organisation_id = %s AND id = %s"
ERASED_QUARTERS = "SELECT count(*) FROM erased_counts WHERE organisation_id = %s AND site_id = %s"
ERASED = f"""
    SELECT (extract(epoch FROM bucket_at) * 1000)::bigint, {", ".join(SITE_COUNTS)} FROM erased_counts
    WHERE organisation_id = %s AND site_id = %s
"""  # noqa: S608
COUNTED = f"""
    SELECT (extract(epoch FROM bucket_at) * 1000)::bigint, {", ".join(SITE_COUNTS)} FROM site_roll_ups
    WHERE organisation_id = %s AND site_id = %s AND grain = 'quarter'
"""  # noqa: S608  (put together from the names above)
