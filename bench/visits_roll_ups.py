"""Two years of roll-ups for the visits benchmark: those of the made month, counted as they always are, and moved.

The made month is tallied by the very functions that count batches; months and sites then differ by their time alone,
also in their sketches, which takes as long to merge as if they were of different visitors.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from bench.visits_data import Template
from webapp.visits.counting.copying import copy_in
from webapp.visits.counting.sketches import merge, sketch_of
from webapp.visits.counting.tallying import (
    DIMENSION_COUNTS,
    PAGE_COUNTS,
    SITE_COUNTS,
    list_visitors,
    tally_dimensions,
    tally_pages,
    tally_sites,
    with_buckets,
)
from webapp.visits.models import Grain, RawKind
from webapp.visits.raw.frames import TIME_COLUMNS

MONTHS_OF_DAYS = 1
Connection = psycopg.Connection[Any]
TABLES = {
    "site_roll_ups": ((), (*SITE_COUNTS, "page_count")),
    "page_roll_ups": (("page_id",), PAGE_COUNTS),
    "dimension_roll_ups": (("dimension", "value"), DIMENSION_COUNTS),
}
TYPES = {"page_id": "uuid", "dimension": "text", "value": "text"}
SKETCHED = {
    "visitors": ", visitors",
    "sketch": ", (SELECT visitors FROM made_sketches WHERE grain = 'month')",
}
NOT_SKETCHED = {"visitors": "", "sketch": ""}
KEYS = {
    "site_roll_ups": "organisation_id, site_id, grain, bucket_at",
    "page_roll_ups": "organisation_id, site_id, grain, bucket_at, page_id",
    "dimension_roll_ups": "organisation_id, site_id, dimension, grain, bucket_at, value",
}


def make_roll_ups(connection: Connection, template: Template, organisation_id: UUID) -> None:
    """The made month's roll-ups in tables of the connection's own, times in milliseconds since its beginning."""
    rows, visits = (
        with_buckets(_frame(template, kind).with_columns(site=pl.lit(0, pl.UInt32)), TIME_COLUMNS[kind], {0: "UTC"})
        for kind in RawKind
    )
    pages = tally_pages(rows, visits)
    _add_addresses(connection, organisation_id, pages.select("page_id", "page").unique("page_id"))
    _copy(connection, "page_roll_ups", pages)
    _copy(connection, "dimension_roll_ups", tally_dimensions(rows, visits))
    counted = pages.group_by("day").agg(page_count=pl.col("page_id").n_unique().cast(pl.Int64))
    sites = tally_sites(rows, visits).join(counted, on="day", how="left")
    _copy(connection, "site_roll_ups", sites, {"page_count": pl.col("page_count").first()})
    _set_sketches(connection, list_visitors(rows))


def add_roll_ups(
    connection: Connection, organisation_id: UUID, site_id: UUID, months: Sequence[date], *, is_measured: bool
) -> None:
    """A site's roll-ups of these months, up to now.

    Single days are most of all rows (over 100 million for 100 million pageviews on 50 sites): of sites that are not
    measured, only those of the present month are made, so that a disk of usual size is enough.
    """
    for month in months:
        first = datetime(month.year, month.month, 1, tzinfo=UTC)
        passed = {"organisation_id": organisation_id, "site_id": site_id, "first": first}
        passed["passed_ms"] = round((time.time() - first.timestamp()) * 1000)
        for table, (key, counts) in TABLES.items():
            names = {"table": table, "key": "".join(f"{name}, " for name in key), "counts": ", ".join(counts)}
            sums = ", ".join(f"sum({name})" for name in counts)
            names |= SKETCHED if table == "site_roll_ups" else NOT_SKETCHED
            grouped = f"GROUP BY {', '.join(key)}" if key else ""
            if is_measured or month in months[-MONTHS_OF_DAYS:]:
                connection.execute(ADD_DAYS.format(**names), passed)
            connection.execute(ADD_MONTH.format(**names, sums=sums, grouped=grouped), passed)


def drop_keys(connection: Connection) -> None:
    """Rows go in faster without their indexes."""
    for table in TABLES:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}")


def add_keys(connection: Connection) -> None:
    """The indexes again."""
    connection.execute("SET maintenance_work_mem = '1GB'")
    for table, key in KEYS.items():
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({key})")
        connection.execute(f"VACUUM ANALYZE {table}")


def _frame(template: Template, kind: RawKind) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.parquet"
        template.database.execute(f"COPY {kind.value} TO '{path}' (FORMAT parquet)")
        return pl.read_parquet(path)


def _add_addresses(connection: Connection, organisation_id: UUID, addresses: pl.DataFrame) -> None:
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS made_pages (id uuid, url text)")
    connection.execute("TRUNCATE made_pages")
    copy_in(connection, "made_pages", addresses)
    connection.execute(
        "INSERT INTO pages (organisation_id, id, url) SELECT %s, id, url FROM made_pages ON CONFLICT DO NOTHING",
        [organisation_id],
    )


def _copy(connection: Connection, table: str, tally: pl.DataFrame, first: dict[str, pl.Expr] | None = None) -> None:
    """Days (of a site, quarters too) of a tally."""
    key, counts = TABLES[table]
    columns = ["grain text", "at_ms bigint", *(f"{name} {TYPES[name]}" for name in key)]
    columns += [f"{name} bigint" for name in counts]
    connection.execute(f"DROP TABLE IF EXISTS made_{table}")
    connection.execute(f"CREATE TEMP TABLE made_{table} ({', '.join(columns)})")
    grains = (Grain.QUARTER, Grain.DAY) if table == "site_roll_ups" else (Grain.DAY,)
    summed = {name: pl.col(name).sum() for name in counts} | (first or {})
    for grain in grains:
        rows = tally.group_by(grain.value, *key).agg(**summed).with_columns(grain=pl.lit(grain.value))
        rows = rows.select("grain", grain.value, *key, *counts).sort(grain.value, *key)
        copy_in(connection, f"made_{table}", rows)


def _set_sketches(connection: Connection, visitors: pl.DataFrame) -> None:
    made: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    for quarter, day, numbers in visitors.group_by("quarter", "day").agg("visitor").iter_rows():
        made[Grain.QUARTER.value, quarter].append(sketch_of(numbers))
        made[Grain.DAY.value, day].append(made[Grain.QUARTER.value, quarter][0])
    connection.execute("DROP TABLE IF EXISTS made_sketches")
    connection.execute("CREATE TEMP TABLE made_sketches (grain text, at_ms bigint, visitors bytea)")
    with connection.cursor() as cursor:
        rows = [(grain, at_ms, merge(sketches)) for (grain, at_ms), sketches in made.items()]
        whole = merge(sketch for _, _, sketch in rows)
        cursor.executemany("INSERT INTO made_sketches VALUES (%s, %s, %s)", [*rows, ("month", 0, whole)])
    connection.execute("ALTER TABLE made_site_roll_ups ADD visitors bytea")
    connection.execute("""
        UPDATE made_site_roll_ups r SET visitors = s.visitors FROM made_sketches s
        WHERE s.grain = r.grain AND s.at_ms = r.at_ms
    """)


ADD_DAYS = """
    INSERT INTO {table} (organisation_id, site_id, grain, bucket_at, {key}{counts}{visitors})
    SELECT %(organisation_id)s, %(site_id)s, grain, %(first)s + at_ms * interval '1 millisecond',
        {key}{counts}{visitors}
    FROM made_{table} WHERE at_ms < %(passed_ms)s ORDER BY grain, at_ms
"""
ADD_MONTH = """
    INSERT INTO {table} (organisation_id, site_id, grain, bucket_at, {key}{counts}{visitors})
    SELECT %(organisation_id)s, %(site_id)s, 'month', %(first)s, {key}{sums}{sketch}
    FROM made_{table} WHERE at_ms < %(passed_ms)s AND grain = 'day' {grouped}
"""
