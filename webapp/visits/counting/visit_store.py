"""The visits kept for stitching: found for a batch's visitors, written and removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.visits.counting.copying import as_csv, copy_csv_in, copy_in, copy_out
from webapp.visits.counting.stitching import IDLE_MS, KEPT_SCHEMA

Connection = psycopg.Connection[Any]
_FOUND_SCHEMA = pl.Schema({**KEPT_SCHEMA, "site": pl.UInt32()})


def find_visits(connection: Connection, tenant: UUID, rows: pl.DataFrame, sites: pl.DataFrame) -> pl.DataFrame:
    """Visits that rows of this batch may belong to; `sites` has each `site` number with its `site_id`."""
    reach = rows.group_by("site", "visitor").agg(
        first_ms=pl.col("visited_ms").min() - IDLE_MS, last_ms=pl.col("visited_ms").max() + IDLE_MS
    )
    staged = reach.join(sites, on="site").select("site_id", "site", "visitor", "first_ms", "last_ms")
    connection.execute(MAKE_STAGED_REACHES)
    connection.execute("TRUNCATE staged_reaches")
    copy_in(connection, "staged_reaches", staged.sort("site", "visitor"))
    return copy_out(connection, FIND_VISITS, [tenant], _FOUND_SCHEMA)


@dataclass(frozen=True)
class VisitRows:
    """Visits to be removed and to be written, as tables take them; b"" for none."""

    removed: bytes
    written: bytes


def visit_rows(written: pl.DataFrame, removed: pl.DataFrame, sites: pl.DataFrame) -> VisitRows:
    """Remove visits that began otherwise or were joined; write those that are new or changed."""
    gone = removed.join(sites, on="site").select("site_id", "visitor", "started_ms")
    rows = written.join(sites, on="site").select("site_id", pl.col(KEPT_SCHEMA.names()).exclude("site"))
    return VisitRows(as_csv(gone), as_csv(rows.sort("site_id", "visitor", "started_ms")))


def write_visits(connection: Connection, tenant: UUID, rows: VisitRows) -> None:
    """Remove and write them."""
    connection.execute(MAKE_STAGED_VISITS)
    for table, content, statement in (
        ("staged_gone", rows.removed, REMOVE_VISITS),
        ("staged_visits", rows.written, WRITE_VISITS),
    ):
        if content:
            connection.execute(f"TRUNCATE {table}")
            copy_csv_in(connection, table, content)
            connection.execute(statement, [tenant])


MAKE_STAGED_REACHES = """
    CREATE TEMP TABLE IF NOT EXISTS staged_reaches (
        site_id uuid, site int, visitor bigint, first_ms bigint, last_ms bigint
    ) ON COMMIT DELETE ROWS
"""
MAKE_STAGED_VISITS = """
    CREATE TEMP TABLE IF NOT EXISTS staged_visits (
        site_id uuid, visitor bigint, started_ms bigint, last_ms bigint, entry_ms bigint, exit_ms bigint,
        visit bigint, pageview_count int, event_count int, product_count int,
        entry_page text, exit_page text, attributes text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_gone (
        site_id uuid, visitor bigint, started_ms bigint
    ) ON COMMIT DELETE ROWS
"""
# Milliseconds since 1970 and back; exact, since a double holds such numbers of microseconds.
_MS = "(extract(epoch FROM {}) * 1000)::bigint"
_AT = "to_timestamp({} / 1000.0)"
# One index look-up for each, whatever the planner thinks of the sizes.
FIND_VISITS = f"""
    SELECT w.site, v.visitor, {_MS.format("v.started_at")}, {_MS.format("v.last_at")}, {_MS.format("v.entry_at")},
        {_MS.format("v.exit_at")}, v.visit, v.pageview_count, v.event_count, v.product_count,
        v.entry_page, v.exit_page, v.attributes
    FROM staged_reaches w
    CROSS JOIN LATERAL (
        SELECT * FROM visits v
        WHERE v.organisation_id = %s AND v.site_id = w.site_id AND v.visitor = w.visitor
          AND v.started_at <= {_AT.format("w.last_ms")} AND v.last_at >= {_AT.format("w.first_ms")}
        OFFSET 0
    ) AS v
"""  # noqa: S608  (put together from the names above)
REMOVE_VISITS = f"""
    DELETE FROM visits v USING staged_gone w
    WHERE v.organisation_id = %s AND v.site_id = w.site_id AND v.visitor = w.visitor
      AND v.started_at = {_AT.format("w.started_ms")}
"""  # noqa: S608
WRITE_VISITS = f"""
    INSERT INTO visits (
        organisation_id, site_id, visitor, started_at, last_at, entry_at, exit_at, visit,
        pageview_count, event_count, product_count, entry_page, exit_page, attributes, changed_at
    )
    SELECT %s, site_id, visitor, {_AT.format("started_ms")}, {_AT.format("last_ms")}, {_AT.format("entry_ms")},
        {_AT.format("exit_ms")}, visit, pageview_count, event_count, product_count, entry_page, exit_page,
        attributes, now()
    FROM staged_visits
    ON CONFLICT (organisation_id, site_id, visitor, started_at) DO UPDATE SET
        last_at = excluded.last_at, entry_at = excluded.entry_at, exit_at = excluded.exit_at, visit = excluded.visit,
        pageview_count = excluded.pageview_count, event_count = excluded.event_count,
        product_count = excluded.product_count,
        entry_page = excluded.entry_page, exit_page = excluded.exit_page, attributes = excluded.attributes,
        changed_at = excluded.changed_at
"""  # noqa: S608
