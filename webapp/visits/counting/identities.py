"""Who a site's visitors said they are: the first link wins, another person later is refused and listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.lib.keys import fold_key
from webapp.visits.counting.enrichment import visitor_number

Connection = psycopg.Connection[Any]


def link_identities(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> None:
    """Link each visitor with the identity that it named first; `name` is the identity."""
    if rows.is_empty():
        return
    named = rows.sort("visited_ms", "name").select("site_id", "visitor", "name", "visited_ms")
    links = [
        (UUID(bytes=site_id), visitor_number(site_id, visitor), fold_key(identity.strip()), _moment(visited_ms))
        for site_id, visitor, identity, visited_ms in named.iter_rows()
    ]
    columns = [list(column) for column in zip(*links, strict=True)]
    connection.execute(LINK, [tenant, *columns])
    connection.execute(REFUSE, [*columns, tenant])


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


LINK = """
    INSERT INTO identities (organisation_id, site_id, visitor, identity, first_at)
    SELECT DISTINCT ON (site_id, visitor) %s, site_id, visitor, identity, at
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[]) AS w (site_id, visitor, identity, at)
    ORDER BY site_id, visitor, at, identity
    ON CONFLICT (organisation_id, site_id, visitor) DO NOTHING
"""
REFUSE = """
    INSERT INTO refused_merges (organisation_id, site_id, visitor, identity, at)
    SELECT i.organisation_id, w.site_id, w.visitor, w.identity, min(w.at)
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[]) AS w (site_id, visitor, identity, at)
    JOIN identities i ON i.organisation_id = %s AND i.site_id = w.site_id AND i.visitor = w.visitor
    WHERE i.identity <> w.identity GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (organisation_id, site_id, visitor, identity) DO NOTHING
"""
