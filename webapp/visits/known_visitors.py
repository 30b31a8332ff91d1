"""Keeping what each nameable visitor did, in the transaction that counts its pageviews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.visits.counting.copying import copy_in
from webapp.visits.counting.erased import erased_before
from webapp.visits.visitor_keys import KeyKind, Seen, kind_of, tally_visitors, visitor_key

VISITOR_LIMITS = {KeyKind.EMAIL: 5_000_000, KeyKind.OTHER: 1_000_000}
"""Visitors that an organisation keeps by key: site keys are public, so anyone may make keys up. Those kept
already go on being counted when no new one is let in; charts and unique visitors know no such limit."""
STAGED_SCHEMA = {"visitor_key": pl.String, "first_ms": pl.Int64, "last_ms": pl.Int64, "pageview_count": pl.Int64}
Connection = psycopg.Connection[Any]


def add_known_visitors(connection: Connection, tenant: UUID, pageviews: pl.DataFrame) -> None:
    """Add one organisation's new pageviews to its visitors: `identifier` is what the site calls them."""
    tallied = _tally(pageviews)
    if not tallied:
        return
    if erased := erased_before(connection, tenant, tallied):
        tallied = _tally(_since_erased(pageviews, erased))
    for key in _beyond_limits(connection, tenant, tallied):
        del tallied[key]
    connection.execute(MAKE_STAGED_VISITORS)
    connection.execute("TRUNCATE staged_visitors")
    rows = [(key, seen.first_ms, seen.last_ms, seen.pageview_count) for key, seen in sorted(tallied.items())]
    copy_in(connection, "staged_visitors", pl.DataFrame(rows, schema=STAGED_SCHEMA, orient="row"))
    connection.execute(ADD_TO_VISITORS, [tenant, tenant])


def _tally(pageviews: pl.DataFrame) -> dict[str, Seen]:
    at = pl.col("visited_ms")
    summed = pageviews.group_by("identifier", maintain_order=True).agg(
        at.min().alias("first"), at.max().alias("last"), pl.len()
    )
    return tally_visitors(summed.iter_rows())


def _since_erased(pageviews: pl.DataFrame, erased: Mapping[str, int]) -> pl.DataFrame:
    """Without what people did before they were erased."""
    identifiers = pageviews.get_column("identifier").unique()
    since = [erased.get(visitor_key(identifier) or "", -1) for identifier in identifiers]
    known = pl.DataFrame([identifiers, pl.Series("since_ms", since, pl.Int64)])
    found = pageviews.join(known, on="identifier", how="left", maintain_order="left")
    return found.filter(pl.col("visited_ms") > pl.col("since_ms"))


def _beyond_limits(connection: Connection, tenant: UUID, tallied: Mapping[str, Seen]) -> set[str]:
    """New keys for which there is no room."""
    kept_counts = dict(connection.execute(VISITOR_COUNTS, [tenant]).fetchall())
    crowded: set[str] = set()
    for kind, limit in VISITOR_LIMITS.items():
        keys = [key for key in tallied if kind_of(key) is kind]
        room = max(0, limit - kept_counts.get(kind.value, 0))
        if len(keys) > room:
            known = {key for (key,) in connection.execute(KNOWN_KEYS, [keys, tenant])}
            crowded.update([key for key in keys if key not in known][room:])
    return crowded


VISITOR_COUNTS = "SELECT kind, visitor_count FROM known_visitor_counts WHERE organisation_id = %s"
MAKE_STAGED_VISITORS = """
    CREATE TEMP TABLE IF NOT EXISTS staged_visitors (
        visitor_key text, first_ms bigint, last_ms bigint, pageview_count bigint
    ) ON COMMIT DELETE ROWS
"""
# One index look-up for each, whatever the planner thinks of the sizes.
KNOWN_KEYS = """
    SELECT w.visitor_key FROM unnest(%s::text[]) AS w (visitor_key)
    CROSS JOIN LATERAL (
        SELECT 1 FROM known_visitors k WHERE k.organisation_id = %s AND k.visitor_key = w.visitor_key LIMIT 1
    ) AS known
"""
ADD_TO_VISITORS = """
    WITH added AS (
        INSERT INTO known_visitors (organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count)
        SELECT %s, visitor_key, to_timestamp(first_ms / 1000.0), to_timestamp(last_ms / 1000.0), pageview_count
        FROM staged_visitors
        ON CONFLICT (organisation_id, visitor_key) DO UPDATE SET
            first_seen_at = least(known_visitors.first_seen_at, excluded.first_seen_at),
            last_seen_at = greatest(known_visitors.last_seen_at, excluded.last_seen_at),
            pageview_count = known_visitors.pageview_count + excluded.pageview_count
        RETURNING visitor_key, xmax = 0 AS is_new
    )
    INSERT INTO known_visitor_counts (organisation_id, kind, visitor_count)
    SELECT %s, CASE WHEN strpos(visitor_key, '@') > 0 THEN 'email' ELSE 'other' END, count(*)
    FROM added WHERE is_new GROUP BY 2
    ON CONFLICT (organisation_id, kind) DO UPDATE SET
        visitor_count = known_visitor_counts.visitor_count + excluded.visitor_count
"""
