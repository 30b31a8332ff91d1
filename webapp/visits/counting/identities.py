"""Who a site's visitors said they are: the earliest link wins, another person later is refused and listed.

Earliest is what was named first, in whatever order and batches it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.lib.keys import fold_key
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.erased import erased_before

Connection = psycopg.Connection[Any]
Link = tuple[UUID, int, str, datetime]
"""Site, visitor, who it said to be, when."""


def link_identities(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> None:
    """Link each visitor with the identity that it named first; `name` is the identity.

    Former links stand against the new ones as if they came with them, so that one that came late wins over them.
    """
    if rows.is_empty():
        return
    named = rows.sort("visited_ms", "name").select("site_id", "visitor", "name", "visited_ms")
    links = [
        (UUID(bytes=site_id), visitor_number(site_id, visitor), fold_key(identity.strip()), _moment(visited_ms))
        for site_id, visitor, identity, visited_ms in named.iter_rows()
    ]
    links = _without_erased(connection, tenant, links)
    if not links:
        return
    visitors = _columns(sorted({link[:2] for link in links}))
    links += connection.execute(FORMER, [*visitors, tenant]).fetchall()
    columns = _columns(links)
    connection.execute(LINK, [tenant, *columns])
    connection.execute(REFUSE, [*columns, tenant])
    connection.execute(PARDON, [*visitors, tenant])


def _without_erased(connection: Connection, tenant: UUID, links: list[Link]) -> list[Link]:
    """Whoever is erased is not linked again by what they did before."""
    erased = erased_before(connection, tenant, {identity for _, _, identity, _ in links})
    return [link for link in links if link[2] not in erased or link[3].timestamp() * 1000 > erased[link[2]]]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


FORMER = """
    SELECT i.site_id, i.visitor, i.identity, i.first_at
    FROM unnest(%s::uuid[], %s::bigint[]) AS w (site_id, visitor)
    JOIN identities i ON i.organisation_id = %s AND i.site_id = w.site_id AND i.visitor = w.visitor
"""
LINK = """
    INSERT INTO identities (organisation_id, site_id, visitor, identity, first_at)
    SELECT DISTINCT ON (site_id, visitor) %s, site_id, visitor, identity, at
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[]) AS w (site_id, visitor, identity, at)
    ORDER BY site_id, visitor, at, identity COLLATE "C"
    ON CONFLICT (organisation_id, site_id, visitor) DO UPDATE SET
        identity = excluded.identity, first_at = excluded.first_at
    WHERE identities.first_at > excluded.first_at OR identities.identity <> excluded.identity
"""
REFUSE = """
    INSERT INTO refused_merges (organisation_id, site_id, visitor, identity, at)
    SELECT i.organisation_id, w.site_id, w.visitor, w.identity, min(w.at)
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[]) AS w (site_id, visitor, identity, at)
    JOIN identities i ON i.organisation_id = %s AND i.site_id = w.site_id AND i.visitor = w.visitor
    WHERE i.identity <> w.identity GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (organisation_id, site_id, visitor, identity) DO UPDATE SET at = excluded.at
    WHERE refused_merges.at > excluded.at
"""
PARDON = """
    DELETE FROM refused_merges r USING unnest(%s::uuid[], %s::bigint[]) AS w (site_id, visitor), identities i
    WHERE i.organisation_id = %s AND i.site_id = w.site_id AND i.visitor = w.visitor
        AND r.organisation_id = i.organisation_id AND r.site_id = i.site_id AND r.visitor = i.visitor
        AND r.identity = i.identity
"""
